// How accesses find their memory. Private to this folder.
#pragma once

#include "server/backend/cpu/tier0/decoder.h"

namespace accelmesh::tier0 {

// Raises the fault; null.
std::uint8_t* RaiseAccessFault(Warp& warp, const Op& op, std::uint32_t lane, std::uint64_t address, bool misaligned);

// The host address of `bytes` (a power of two, and the alignment) at an address of op's state space, or null with the
// fault raised.
inline std::uint8_t* ResolveAt(Warp& warp, const Op& op, std::uint32_t lane, std::uint64_t address,
                               std::uint32_t bytes) {
  BlockContext::State& s = *warp.block;
  std::uint8_t* found = nullptr;
  if (op.space == ptx::Space::kGlobal) {
    if (s.launch->memory->Allowed(address, bytes) || InsideBlock(warp, address, bytes)) [[likely]]
      found = reinterpret_cast<std::uint8_t*>(address);
  } else {
    // Addresses of the window wrap at 32 bits.
    const std::uint32_t offset = static_cast<std::uint32_t>(address);
    const bool shared = op.space == ptx::Space::kShared;
    const std::uint32_t size = shared ? s.shared_bytes : warp.local_stride;
    if (offset <= size && bytes <= size - offset)
      found = (shared ? s.shared_base() : warp.local + std::size_t{lane} * warp.local_stride) + offset;
  }
  if (found != nullptr && (reinterpret_cast<std::uint64_t>(found) & (bytes - 1)) == 0) [[likely]]
    return found;
  return RaiseAccessFault(warp, op, lane, address, found != nullptr);
}
// Of an access by one lane, at row a.
inline std::uint8_t* Resolve(Warp& warp, const Op& op, std::uint32_t lane, std::uint32_t bytes) {
  return ResolveAt(warp, op, lane, warp.r[op.a].lane[lane] + op.immediate, bytes);
}

// Fills space, a and immediate from an address operand.
Status AccessSpace(Decoder& decoder, const ptx::Instruction& from, const ptx::Operand& address, Op& op);

}  // namespace accelmesh::tier0
