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

// A static CUDA runtime inside an object, as its symbol table shows it. A program may well have a function of its own
// that is called cudaMalloc; the runtime is known by its internal functions, which no program writes.
enum class StaticRuntime {
  kNone,          // none, or nothing is left of its names
  kServed,        // CUDA 13's, with all that is needed to redirect it
  kOtherVersion,  // its functions mean other things under the same names
  kIncomplete,    // CUDA 13's, but names that are needed were stripped
};

struct ProgramFacts {
  std::vector<std::string> needed;  // DT_NEEDED, in order
  bool has_fatbins = false;         // nvcc put device code into it
  bool imports_runtime = false;     // it takes __cudaRegisterFatBinary from a shared object
  bool has_symbols = false;         // it was not stripped
  bool has_loader = false;          // a program that ld.so starts: others take no preload
  StaticRuntime static_runtime = StaticRuntime::kNone;
};

// kNotFound if it is no ELF file of this machine's kind (a script, say); kInvalidArgument if it is a broken one.
Result<ProgramFacts> ReadProgram(ByteView file);
Result<ProgramFacts> ReadProgramFile(const std::string& path);

// Whether `name` is that of a function which only a static runtime has inside: its authors' names are hashed.
bool IsRuntimeInternal(std::string_view name);

// Why the CUDA runtime that an object brings cannot be served.
struct RuntimeFault {
  // It calls a shared runtime of another major version, whose functions mean other things under the same names: its
  // calls would arrive here. Otherwise it carries a static runtime that cannot be reached.
  bool is_shared = false;
  std::string text;  // one line with cause and remedy; empty if nothing is wrong
};
RuntimeFault FindRuntimeFault(const ProgramFacts& facts, std::string_view name);
// The same for a program that is to be started.
RuntimeFault FindStartFault(const ProgramFacts& facts, std::string_view name);

}  // namespace accelmesh
