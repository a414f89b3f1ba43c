// A device of the session, as the server describes it.
//
// Threads: constant once the session is open.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "protocol/gen_commands.h"

namespace accelmesh {

struct LeasedDevice {
  std::string name;
  std::array<std::uint8_t, 16> uuid{};
  std::string pci_bus_id;
  std::uint64_t memory_bytes = 0;
  std::unordered_map<std::uint32_t, std::int32_t> attributes;
  std::unordered_map<std::uint32_t, wire::PeerInfo> peers;  // devices whose memory its kernels reach
  int Attribute(std::uint32_t id) const {
    const auto found = attributes.find(id);
    return found == attributes.end() ? 0 : found->second;
  }
};

}  // namespace accelmesh
