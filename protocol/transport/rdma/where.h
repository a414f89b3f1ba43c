// Where an end runs, as far as its peer must know it: spinning for a peer is good unless the peer needs this very
// processor to answer. Threads: pure, but for HereIs().
#pragma once

#include <cstdint>

namespace accelmesh::rdma {

// Of a machine, and 1 + the processor if the end is bound to one, else 0. Zero: not told yet.
constexpr std::uint32_t WhereOf(std::uint16_t machine, std::uint32_t only_cpu) {
  return std::uint32_t{machine} << 16 | (only_cpu & 0xffff);
}
// `only_cpu` on this machine.
std::uint32_t HereIs(std::uint32_t only_cpu);

inline constexpr std::uint32_t kElsewhere = 0xffffffff;
// What a spinner is told of its peer's processor (doorbell.h): kElsewhere unless it is known to be on this machine.
constexpr std::uint32_t CpuOfPeer(std::uint32_t mine, std::uint32_t peers) {
  return peers != 0 && mine >> 16 == peers >> 16 ? peers & 0xffff : kElsewhere;
}

}  // namespace accelmesh::rdma
