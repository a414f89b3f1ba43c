// Whether a hello gets what it asks for: the protocol version, and with security on a lease. Before any worker starts.
//
// The bytes of a hello may be anything. Threads: none; the supervisor's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "protocol/transport/channel.h"
#include "server/main/security.h"

namespace accelmesh {

struct Admission {
  enum class Kind : std::uint8_t {
    kServe,   // a session, under `lease` if there is one
    kAnswer,  // a notice about a lease was taken; `lease` says until when it counts
    kEnd,     // a lease was given back: `lease` has its name and holder
    kRefuse   // `refusal` (wire::Refusal) and `text`
  };
  Kind kind = Kind::kRefuse;
  std::uint8_t refusal = 0;
  std::string text;
  std::optional<AdmittedLease> lease;
};

// `security`: null without market. Anything but kRefuse means that the hello verifies as wire::Hello.
Admission Admit(const Arrival& arrival, const Endpoint& endpoint, ServerSecurity* security, std::int64_t now_ms);

}  // namespace accelmesh
