// PNG files of SVG figures, by rsvg-convert (Debian's librsvg2-bin).
#pragma once

#include <string>

#include "protocol/base/result.h"

namespace accelmesh::sim {

// Makes `png` of `svg`. kUnavailable, with the remedy, if there is no rsvg-convert.
Status MakePng(const std::string& svg, const std::string& png);

}  // namespace accelmesh::sim
