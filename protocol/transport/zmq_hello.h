// The hello over tcp and ipc: one message to a supervisor, its answer, and why there is none.
//
// libzmq tells a client next to nothing of a refusal, so that waiting ends at a deadline, and what its monitor saw of
// the connection becomes a message that names the cause and what to do. Threads: functions.
#pragma once

#include "protocol/base/bytes.h"
#include "protocol/base/clock.h"
#include "protocol/security/curve.h"
#include "protocol/transport/zmq_socket.h"

namespace accelmesh::zmq {

// Says `hello` and returns the answer, not looked at. `credentials`: null without CURVE.
Result<Bytes> Greet(const Context& context, const Endpoint& endpoint, ByteView hello, Deadline deadline,
                    const security::CurveCredentials* credentials);

}  // namespace accelmesh::zmq
