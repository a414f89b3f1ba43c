// What a program means: its statements run one after another for all threads of a block at once.
#pragma once

#include <optional>

#include "protocol/base/bytes.h"
#include "tests/differential/program.h"

namespace accelmesh::differential {

struct ReferenceOptions {
  // This operation's results are wrong on purpose, in the last bit of the first: for tests of the tester.
  std::optional<std::uint32_t> wrong_operation;
};
// Memory (Layout) as the program leaves it.
Bytes RunReference(const Program& program, Bytes memory, const ReferenceOptions& options = {});

}  // namespace accelmesh::differential
