// CURVE on a libzmq socket: encrypted, and both ends known by their keys. For sockets of ours and those that a daemon
// makes by itself. Call before the socket binds or connects.
//
// Threads: those of the socket.
#pragma once

#include <zmq.h>

#include <optional>
#include <string>

#include "protocol/base/result.h"
#include "protocol/security/curve.h"

namespace accelmesh::zmq {

// Takes connections of CURVE clients alone, and of those only such as the context's ZapHandler (zap.h) admits to
// `domain`. Without one it admits nobody.
Status SecureServer(void* socket, const security::CurveSecret& secret, const std::string& domain);

// Connects as the holder of `keys.own`, to nobody but the holder of `keys.server_key`.
Status SecureClient(void* socket, const security::CurveCredentials& keys);

// A peer whose host has gone is noticed within some seconds, by the kernel. Not by libzmq's heartbeats: with a queue
// that is full they end the process when the peer goes (zeromq/libzmq issues 3596 and 4364), and they take a peer for
// gone that is only slow to read.
void NoticeGoneHosts(void* socket);

// What the ZapHandler said of the connection by which `message` came ("User-Id"); nothing if it came without CURVE.
std::optional<std::string> UserIdOf(zmq_msg_t* message);

}  // namespace accelmesh::zmq
