// How the two ends of an rdma session prove to each other that they know its secret: each shows its half of a mark made
// of it. A half says nothing of the secret or of the other half, and a worker takes one connection, so that whoever
// reads it on the wire gains nothing.
#pragma once

#include <array>
#include <cstring>
#include <span>

#include "protocol/transport/rdma/layout.h"
#include "protocol/transport/seal.h"

namespace accelmesh::rdma {

struct Marks {
  std::array<std::uint8_t, 16> client;
  std::array<std::uint8_t, 16> server;
};

inline Result<Marks> MarksOf(ByteView secret) {
  ACCELMESH_ASSIGN_OR_RETURN(const SealKeys keys, KeysOfSecret(secret));
  Marks marks;
  static_assert(sizeof(keys.mark) == sizeof(marks.client) + sizeof(marks.server));
  std::memcpy(marks.client.data(), keys.mark.data(), marks.client.size());
  std::memcpy(marks.server.data(), keys.mark.data() + marks.client.size(), marks.server.size());
  return marks;
}

// A greeting with this end's half, as bytes for the connection manager.
inline Bytes Signed(Greeting greeting, const std::array<std::uint8_t, 16>& half) {
  std::memcpy(greeting.mark, half.data(), half.size());
  const ByteView bytes = AsBytes(greeting);
  return {bytes.begin(), bytes.end()};
}

}  // namespace accelmesh::rdma
