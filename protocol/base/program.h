// What an ELF program or library says of itself before it runs: which objects it needs and which CUDA runtime it
// brings.
//
// The bytes may be anything: every offset is checked against the file, and what does not fit ends in a Status.
// Threads: none of its own; functions on values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"

namespace accelmesh {

struct ProgramFacts {
  std::vector<std::string> needed;  // DT_NEEDED, in order
  bool has_fatbins = false;         // nvcc put device code into it
  bool imports_runtime = false;     // it takes __cudaRegisterFatBinary from a shared object
};

// kNotFound if it is no ELF file of this machine's kind (a script, say); kInvalidArgument if it is a broken one.
Result<ProgramFacts> ReadProgram(ByteView file);
Result<ProgramFacts> ReadProgramFile(const std::string& path);

// Why the CUDA runtime that an object brings cannot be served.
struct RuntimeFault {
  // It calls a shared runtime of another major version, whose functions mean other things under the same names.
  // Otherwise it carries a static runtime.
  bool is_other_major = false;
  std::string text;  // one line with cause and remedy; empty if nothing is wrong
};
RuntimeFault FindRuntimeFault(const ProgramFacts& facts, std::string_view name);

}  // namespace accelmesh
