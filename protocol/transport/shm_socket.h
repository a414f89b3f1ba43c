// The unix socket of an shm session: hello and welcome, descriptors, and the sign of life (its end is the peer's end).
//
// Messages are datagrams of a SOCK_SEQPACKET socket, so that a length never has to be trusted:
//
//     kind:u32  argument:u32  size:u64  bytes[rest]       and at most one descriptor (SCM_RIGHTS)
//
// Threads: functions without state; a channel serialises who reads.
#pragma once

#include <cstdint>
#include <string>

#include "protocol/base/bytes.h"
#include "protocol/base/clock.h"
#include "protocol/base/result.h"
#include "protocol/transport/channel.h"

namespace accelmesh::shm {

enum class MessageKind : std::uint32_t {
  kHello = 1,    // client to supervisor: bytes are the Hello frame
  kWelcome = 2,  // worker to client: bytes are the Welcome frame, the descriptor is the session's memory
  kRefusal = 3,  // supervisor to client: bytes are a Welcome frame that refuses
  kShare = 4,    // client to worker: argument is the region, size its size, the descriptor its memory
  kShared = 5,   // worker to client: argument is the region, size a Code (0: done), bytes the reason
};

// What one datagram may hold; hellos and welcomes are far smaller.
inline constexpr std::size_t kMessageBytesMax = 64 * limits::kKiB;

struct Message {
  MessageKind kind = MessageKind::kHello;
  std::uint32_t argument = 0;
  std::uint64_t size = 0;
  Bytes bytes;
  int fd = -1;  // owned by whoever holds the message; -1: none
};

// Where sockets lie: $XDG_RUNTIME_DIR/accelmesh, else /tmp/accelmesh-UID. Makes the folder (0700) if `create`; refuses
// one that belongs to somebody else or that others may write (kPermissionDenied).
Result<std::string> SocketPath(const Endpoint& endpoint, bool create);

Status SendMessage(int fd, const Message& message, Deadline deadline);
// kClosed at the end of the connection, kBadFrame for anything malformed.
Result<Message> ReceiveMessage(int fd, Deadline deadline);

// Whether the peer's end is gone. Never waits.
bool IsHungUp(int fd);

}  // namespace accelmesh::shm
