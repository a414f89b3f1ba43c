// Establishing rdma sessions: the hello goes over ZeroMQ, the session over queue pairs.
//
// The client says hello to the supervisor as over tcp, and hears from it where its worker listens and the session's
// one-time secret. It then connects to the worker by rdma_cm and shows a half of a mark made of the secret; the worker
// answers with the other half. So the queue pair belongs to the session that was let in, and only to it; a worker takes
// one, and turns everybody else away.
//
// With a lease the hello is CURVE, as over tcp; without one it goes over 127.0.0.1, so that only this host's programs
// reach the server, whatever address its device has. What the queue pair carries is not sealed: whoever taps the fabric
// reads it, so under a lease both sides must say that they trust it.
//
// A build without the headers of libibverbs and librdmacm has these functions too; all of them are kUnsupported there.
#pragma once

#include "protocol/transport/channel.h"

namespace accelmesh {

// What a user sets to say that nobody else reaches the fabric.
inline constexpr const char* kTrustedFabricVariable = "ACCELMESH_TRUSTED_FABRIC";

Result<Connected> ConnectRdma(const Endpoint& endpoint, ByteView hello, Deadline deadline,
                              const security::CurveCredentials* credentials = nullptr, bool trusts_fabric = false);

// `security` as for ListenZmq(). kUnsupported if no device of this host has the address.
Result<std::unique_ptr<Listener>> ListenRdma(const Endpoint& endpoint, const ListenSecurity* security = nullptr,
                                             bool trusts_fabric = false);

struct OpenedRdma {
  std::unique_ptr<ServerChannel> channel;
  std::string endpoint;  // "rdma://10.0.0.1:40123": what goes into Welcome.worker_endpoint
};
Result<OpenedRdma> OpenRdmaWorker(const WorkerEndpoints& where, ByteView secret);

}  // namespace accelmesh
