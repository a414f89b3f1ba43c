// Files of traces: text, plain or packed by xz.
#pragma once

#include <string>

#include "protocol/base/result.h"

namespace accelmesh::sim {

// The text of `path`, or of `path`.xz, of at most 64 MiB. kNotFound if there is neither.
Result<std::string> ReadPackedText(const std::string& path);

}  // namespace accelmesh::sim
