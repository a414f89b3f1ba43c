// What an agent tells a gpu-server about a lease that it holds, over CURVE with the lease's key: that there is one (so
// that a renewal counts for sessions that run, and programs may come over shared memory), and that it is given back.
//
// Threads: functions; each call is a connection of its own and waits until `deadline` at most.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/base/bytes.h"
#include "protocol/base/clock.h"
#include "protocol/base/result.h"
#include "protocol/security/curve.h"
#include "protocol/transport/channel.h"

namespace accelmesh {

// Admits or extends the lease of `token`. `group`: the hash of the secret (ACCELMESH_GROUP) by which its programs are
// known over shared memory. The time (Unix, ms) until which the server now honours the lease.
Result<std::int64_t> NoteLease(const Endpoint& server, const security::CurveCredentials& credentials, ByteView token,
                               const std::optional<security::SecretHash>& group, Deadline deadline);

// What the server says that the lease's sessions have used of the device, and how far they got their share of it.
struct LeaseUse {
  std::uint64_t device_us = 0;
  std::uint32_t delivered_ppm = 1'000'000;
};
// Ends the lease and its sessions, and waits until they are over, a second at most. kNotFound if the server does not
// know it (any more).
Result<LeaseUse> EndLease(const Endpoint& server, const security::CurveCredentials& credentials,
                          const std::string& lease, Deadline deadline);

}  // namespace accelmesh
