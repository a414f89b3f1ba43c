// What the supervisor hands a worker over their socket pair: one session. A fixed struct, since both ends are one
// binary. For shm the client's connection travels with it as a descriptor.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "protocol/base/bytes.h"
#include "server/shares/turns.h"

namespace accelmesh {

inline constexpr std::size_t kSecretBytes = 32;

struct Ticket {
  std::uint32_t scheme = 0;  // Endpoint::Scheme
  std::uint16_t port_first = 0;
  std::uint16_t port_last = 0;
  std::uint64_t session_id = 0;
  std::array<std::uint8_t, kSecretBytes> secret{};
  char host[64] = {};
  char folder[200] = {};
  std::uint32_t member = 0;
  std::uint32_t has_seat = 0;  // in a lease, as `member`: its file comes with a message of its own, a TicketFile
  // The lease that the session runs under; without a market all of it is 0.
  std::uint32_t is_secured = 0;  // zmq: by CURVE, and `client_key` alone may connect
  std::uint32_t lease_share_milli = 0;
  std::uint64_t lease_memory_bytes = 0;
  std::int64_t lease_not_after_ms = 0;
  std::uint32_t share_seat = shares::kNobody;  // in the page of shares
  std::array<std::uint8_t, 32> client_key{};   // whose session it is; over shm too
};
struct TicketFile {
  std::uint64_t session_id = 0;
};
struct TicketAnswer {
  std::uint32_t ok = 0;
  // The worker's endpoints, or why there are none. The longest: three ipc paths of 107 bytes with scheme and comma.
  char text[640] = {};
  char bulk[320] = {};                        // that of its bulk lane
  std::array<std::uint8_t, 32> worker_key{};  // if the session is secured
};
// What the supervisor tells a worker that serves, over a socket pair of its own: its lease has ended.
struct SessionEnd {
  char why[512] = {};  // for the client's log
};
// What a worker that serves asks of its lease (server/session/lease.h); an offer brings a descriptor.
struct LeaseRequest {
  enum Kind : std::uint32_t { kFileOf, kOffer, kEndOffer, kPieceOf };
  std::uint64_t number = 0;  // the answer has it too: one may come after its asker has given up
  std::uint32_t kind = kFileOf;
  std::uint32_t slot = 0;
  std::uint64_t session_id = 0;  // whose file or piece it is; what is offered is the worker's own
  std::uint64_t generation = 0;
  std::uint32_t index = 0;
  std::uint32_t reserved = 0;
  std::uint64_t piece_id = 0;
  std::uint64_t piece_offset = 0;
  std::uint64_t piece_bytes = 0;
};
// To all but kEndOffer; brings the descriptor that was asked for.
struct LeaseAnswer {
  std::uint64_t number = 0;
  std::uint32_t code = 0;  // Code
  std::uint32_t reserved = 0;
  std::uint64_t piece_id = 0;
  std::uint64_t piece_offset = 0;
  std::uint64_t piece_bytes = 0;
};

// Sends a message with an optional descriptor (-1: none). Does not wait: whoever leaves so many unread is ill.
Status SendMessage(int socket, ByteView message, int fd);
// Receives exactly sizeof(T) bytes; `fd` gets the descriptor or -1. kClosed at the peer's end.
Status ReceiveMessage(int socket, MutableByteView message, int* fd);

// The Welcome of a session, as a finished frame.
struct WelcomeFacts {
  std::uint64_t session_id = 0;
  ByteView secret;
  std::string worker_endpoint;  // zmq
  std::string bulk_endpoint;
  std::uint32_t worker_pid = 0;
  ByteView worker_key;  // CURVE
  std::int64_t lease_not_after_ms = 0;
};
Bytes MakeWelcome(const WelcomeFacts& facts);
// The answer to a notice about a lease.
Bytes MakeNoticeAnswer(std::int64_t lease_not_after_ms);
// The answer to who gives a lease back: what it has used, and how far it got its share.
Bytes MakeEndAnswer(std::uint64_t device_us, std::uint32_t delivered_ppm);
Bytes MakeRefusal(std::uint8_t refusal, const std::string& text);

}  // namespace accelmesh
