// The border of the contract libcuda: what is checked of every call before its body runs, and how a broken rule is
// told. The rules of single functions stand in functions.inc.
//
// Threads: everything here is safe from any thread. Errors: no exception crosses the C border (Enter).
#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tests/contract/control.h"

namespace accelmesh::contract {

enum class Function : std::uint32_t {
#define CONTRACT_FUNCTION(name, needs, waits) k_##name,
#include "tests/contract/functions.inc"
#undef CONTRACT_FUNCTION
  kCount
};

enum class Needs : std::uint8_t { Nothing, Init, Current, Usable };
enum class Waits : std::uint8_t { Never, Always, Pageable };

struct FunctionRule {
  const char* name;  // as in cuda.h, without the version
  Needs needs;
  Waits waits;
};
const FunctionRule& RuleOf(Function function);
// kCount if there is none.
Function FindFunction(std::string_view name);

struct Context;
struct Stream;

// One call on its way through the library.
class Call {
 public:
  explicit Call(Function function) : function_(function) {}
  // Injected errors and delays, then the rules of the function's row. Sets `context` if the row needs one.
  CUresult Begin();
  // Tells that the caller broke a rule; returns `code`.
  CUresult Break(contract_rule rule, CUresult code, const std::string& text) const;
  // For functions that wait only sometimes: whether this one may.
  CUresult MayWait(const char* why) const;
  // The stream of a handle, the default ones of the current context included. Null, told, if there is none.
  std::shared_ptr<Stream> FindStream(CUstream handle) const;
  // The object of a handle; null, told, if it was destroyed or never made.
  template <typename Table, typename Handle>
  auto Find(Table& table, Handle handle) const {
    auto found = table.Find(reinterpret_cast<std::uint64_t>(handle));
    if (found == nullptr && handle != nullptr) BadHandle(table.kind_name(), reinterpret_cast<std::uint64_t>(handle));
    return found;
  }
  void BadHandle(const char* kind, std::uint64_t handle) const;

  std::shared_ptr<Context> context;

 private:
  Function function_;
};

// Set while a host function runs on this thread: it may not call the driver.
void SetInHostFunction(bool on);

template <typename Body>
CUresult Enter(Function function, Body&& body) noexcept {
  try {
    Call call(function);
    const CUresult refused = call.Begin();
    return refused == CUDA_SUCCESS ? body(call) : refused;
  } catch (...) {
    return CUDA_ERROR_UNKNOWN;
  }
}

}  // namespace accelmesh::contract

// Definitions in the library's source files: extern "C" comes from cuda.h's declaration.
#define CONTRACT_API extern "C" __attribute__((visibility("default")))
