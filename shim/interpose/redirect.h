// Makes functions that are in memory run others instead: a jump over their first bytes, to a page nearby, to the other
// function. Code is never writable and executable at a time.
//
// Threads: nobody may run the functions' pages meanwhile, as nobody does before the constructors of their object.
#pragma once

#include <span>

#include "protocol/base/result.h"
#include "shim/interpose/near_pages.h"

namespace accelmesh {

struct Redirection {
  std::uintptr_t from = 0;  // begins with at least kJumpBytes of its own, behind `endbr64` if it has one
  std::uintptr_t to = 0;
  const char* argument = nullptr;  // if not null, what `to` gets as its first argument
};

// The pages must live as long as the code that now jumps to them. Nothing is changed if it fails, but for the last
// step: code that the system does not make executable again ends the program when it runs.
Result<NearPages> Redirect(std::span<const Redirection> redirections);

}  // namespace accelmesh
