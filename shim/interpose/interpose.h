// Static CUDA runtimes in this process, in the program and in its libraries, also those that are opened later: their
// functions are redirected to our entry points before any code of the object runs.
//
// Threads: Begin once, before there are any; afterwards whichever thread opens or closes a library does the work,
// under the loader's lock. The callbacks are called there: they may take locks that are never held while opening a
// library.
#pragma once

#include <string_view>

#include "protocol/base/program.h"
#include "shim/interpose/entry_points.h"

namespace accelmesh {

struct Interposition {
  EntryTable entry_points;
  // What a runtime's function runs that the table does not know; `name` lives for ever.
  int (*refuse)(const char* name) = nullptr;
  // An object, the program itself or not, whose CUDA runtime cannot be served.
  void (*on_fault)(bool is_program, const RuntimeFault& fault) = nullptr;
  // Libraries have been opened or closed.
  void (*on_change)() = nullptr;
  void (*on_out_of_memory)() = nullptr;
};

void BeginInterposing(const Interposition& interposition);

// Around fork(): no object may be halfway through when the child's copy is made.
void LockInterposingForFork();
void UnlockInterposingAfterFork();

}  // namespace accelmesh
