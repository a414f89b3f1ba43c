// The PTX of a program.
#pragma once

#include <string>

#include "tests/differential/program.h"

namespace accelmesh::differential {

// A module with one kernel, "k", of one parameter: the address of its memory (Layout).
std::string WritePtx(const Program& program);

}  // namespace accelmesh::differential
