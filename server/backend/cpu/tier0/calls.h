// What the two kinds of calls share: of the module's device functions (call.cpp) and of what the runtime provides
// (runtime_calls.cpp). Private to this folder.
#pragma once

#include "server/backend/cpu/tier0/decoder.h"

namespace accelmesh::tier0 {

// A call taken apart.
struct Call {
  std::string_view name;                    // empty: through a pointer
  const ptx::Operand* pointer = nullptr;    // the register that holds it
  const ptx::Operand* prototype = nullptr;  // what stands for it
  const ptx::Operand* results = nullptr;
  const ptx::Operand* arguments = nullptr;
  std::size_t result_count() const { return results == nullptr ? 0 : results->elements.size(); }
  std::size_t argument_count() const { return arguments == nullptr ? 0 : arguments->elements.size(); }
};
// The place in the caller's frame of a .param variable that a call names, and how large it is.
Status CallVariable(Decoder& decoder, const ptx::Instruction& from, const ptx::Operand& operand, std::uint32_t* offset,
                    std::uint32_t* bytes);

// stack.cpp. The end of what a lane has for frames, and what does not fit before it.
std::uint64_t StackEnd(const Warp& warp, std::uint32_t stack_row, std::uint32_t lane);
void RaiseStackOverflow(Warp& warp, const Op& op, std::uint32_t lane, std::string_view what);

bool IsRuntimeFunction(std::string_view name);
// Fills the op of a call of such a function.
Status RuntimeCall(Decoder& decoder, const ptx::Instruction& from, const Call& call, Op& op);

}  // namespace accelmesh::tier0
