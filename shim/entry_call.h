// What the entry points of every face share: a call may be counted, no exception leaves it, and a function that is not
// remoted says so. `Face` is a type with: kLibrary, the library's name in reports; Status, the result that failures are
// told by; kNotSupported of it; OutOfHostMemory(), for an exception of ours; SayRefused(name, why); Note(name, status),
// of every call that ended.
#pragma once

#include <exception>
#include <type_traits>

#include "shim/runtime/statistics.h"

#define ACCELMESH_EXPORT __attribute__((visibility("default")))

namespace accelmesh {

template <typename Face, typename R>
R RefuseBy(const char* name, const char* why) {
  Face::SayRefused(name, why);
  if constexpr (std::is_same_v<R, typename Face::Status>) {
    return Face::kNotSupported;
  } else if constexpr (!std::is_void_v<R>) {
    return R{};
  }
}

// Every entry point has a Body type of its own, and so a counter of its own.
template <typename Face, typename R, typename Body>
R EnterBy(const char* name, Body body) noexcept {
  static constinit FunctionCount count(Face::kLibrary);
  const CountedCall counted(count, name);
  try {
    if constexpr (std::is_same_v<R, typename Face::Status>) {
      const R status = body();
      Face::Note(name, status);
      return status;
    } else {
      return body();
    }
  } catch (const std::exception&) {
    if constexpr (std::is_same_v<R, typename Face::Status>) return Face::OutOfHostMemory();
    if constexpr (!std::is_void_v<R>) return R{};
  }
}

}  // namespace accelmesh
