// Whether this process's program, as the loader has put it together, brings a CUDA runtime that the shim can serve.
#pragma once

#include <vector>

#include "protocol/base/program.h"

namespace accelmesh {

struct ObjectFault {
  bool is_program = false;  // the program itself, not a library of it
  RuntimeFault fault;
};
// What is wrong with the program and the objects that are loaded with it; called before any of them runs.
std::vector<ObjectFault> FaultsOfThisProgram();

}  // namespace accelmesh
