// The functions of a static CUDA runtime inside an object, found in the .symtab of its file.
//
// The bytes may be anything. Whatever this answers lies inside the file and inside executable segments, and no two
// answers overlap.
// Threads: none of its own; functions on values.
#pragma once

#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"
#include "shim/interpose/entry_points.h"

namespace accelmesh {

// Length of `endbr64` and of a jump with a 32-bit distance behind it.
inline constexpr std::size_t kBranchTargetBytes = 4;
inline constexpr std::size_t kJumpBytes = 5;
// Whether the code there begins with `endbr64`, which an indirect call must find where branch tracking is on.
bool BeginsWithBranchTarget(ByteView code);

struct RuntimeFunction {
  std::string_view name;              // inside the file's bytes
  std::uint64_t address = 0;          // as linked
  ByteView code;                      // its first bytes in the file: as many as a redirection overwrites
  const EntryPoint* entry = nullptr;  // null: a function of the runtime that the table does not know
};

// All functions of the runtime that a program can call: those that `table` knows, and any other of its naming that
// lies amid them. Not a program's own ones, whatever they are called. A Status if they cannot be told apart or cannot
// be overwritten. Precondition: ReadProgram() finds a runtime that is served.
Result<std::vector<RuntimeFunction>> FindRuntimeFunctions(ByteView file, EntryTable table);

}  // namespace accelmesh
