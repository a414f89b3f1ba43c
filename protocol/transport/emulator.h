// A slow, far or breaking network around any client's channel: round-trip time, bandwidth, jitter, and a disconnect at
// a chosen frame. For tests, and for trying a program against a server "far away" (ACCELMESH_EMULATE).
//
// What is delayed is decided by the options and the number of a message on its lane alone, so a run with the same seed
// makes the same decisions. The lanes do not share their bandwidth: each has a link of its own.
// Threads: two of its own per channel, one a direction; the interface keeps ClientChannel's rules.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "protocol/transport/channel.h"

namespace accelmesh {

struct EmulatorOptions {
  std::uint64_t rtt_us = 0;
  std::uint64_t bandwidth_mbps = 0;  // 10^6 bits a second, each lane and direction; 0: no limit
  std::uint64_t jitter_us = 0;       // up to this much is added, each message its own
  std::uint64_t seed = 1;
  // The connection breaks when the command lane's frame of this number (from 1) would arrive: it and everything that
  // is still under way, in both directions, is lost. 0: never.
  std::uint64_t disconnect_at_frame = 0;
};

// "rtt_us=300,bandwidth_mbps=1000,jitter_us=50,seed=1,disconnect_at_frame=0", each part once at most, in any order.
Result<EmulatorOptions> ParseEmulatorOptions(std::string_view text);

// Memory is not shared through an emulated network, whatever `inner` can.
std::unique_ptr<ClientChannel> Emulate(std::unique_ptr<ClientChannel> inner, const EmulatorOptions& options);

}  // namespace accelmesh
