#include "protocol/transport/zmq_hello.h"

#include <sys/stat.h>
#include <unistd.h>

#include "protocol/transport/curve_socket.h"

namespace accelmesh::zmq {
namespace {

constexpr const char* kWhere = "ConnectZmq";

bool BelongsToAnother(const Endpoint& endpoint) {
  struct stat facts{};
  return endpoint.scheme == Endpoint::Scheme::kIpc && ::stat(endpoint.path.c_str(), &facts) == 0 &&
         facts.st_uid != ::geteuid();
}

// Why the connection ended before an answer came. `reached`: there was one.
Status WhyNoAnswer(const Endpoint& endpoint, const Monitor::Event& end, bool reached, bool secured) {
  const std::string url = endpoint.ToString();
  if (end.kind == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH) {
    return {Code::kPermissionDenied, kWhere,
            url +
                " refused this client's key: it is banned there, or its lease is for another server; get a new lease "
                "with mesh-run, or ask the server's owner"};
  }
  if (end.kind == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL && end.value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH) {
    return {Code::kPermissionDenied, kWhere,
            secured ? url +
                          " does without CURVE, and a lease is used with it only; another server is there now: get a "
                          "new lease with mesh-run"
                    : url + " serves leases only; start the program with mesh-run without --server, which gets one"};
  }
  if (!reached) {
    return {Code::kUnavailable, kWhere, "no gpu-server listens on " + url + "; start one with --listen " + url};
  }
  if (secured) {
    return {Code::kPermissionDenied, kWhere,
            url +
                " ended the handshake: it does not have the key that the lease names, or does without CURVE; another "
                "server is there now: get a new lease with mesh-run"};
  }
  if (BelongsToAnother(endpoint)) {
    return {Code::kPermissionDenied, kWhere,
            url +
                " belongs to another user, whose gpu-server hears that user's programs only; use a server of your own, "
                "or a lease"};
  }
  return {Code::kUnavailable, kWhere,
          url +
              " closed the connection without an answer: it serves leases only (start the program with mesh-run "
              "without --server, which gets one of the market), or it is no gpu-server"};
}

}  // namespace

Result<Bytes> Greet(const Context& context, const Endpoint& endpoint, ByteView hello, Deadline deadline,
                    const security::CurveCredentials* credentials) {
  Monitor monitor;
  ACCELMESH_ASSIGN_OR_RETURN(Socket socket, Socket::Open(context, ZMQ_DEALER, kFrameMessagesMax));
  ACCELMESH_RETURN_IF_ERROR(monitor.Watch(context, socket, "hello"));
  if (credentials != nullptr) ACCELMESH_RETURN_IF_ERROR(SecureClient(socket.get(), *credentials));
  ACCELMESH_RETURN_IF_ERROR(socket.Connect(endpoint));
  Message message(hello);
  // A connection that has failed already takes nothing; why it has is told below.
  if (socket.TrySend(message) == Io::kFailed) return ZmqStatus(zmq_errno(), kWhere, "sending the hello");
  socket.SetLinger(0);
  bool reached = false;
  for (;;) {
    Message answer;
    if (socket.TryReceive(answer) == Io::kDone) {
      const ByteView bytes = answer.bytes();
      return Bytes(bytes.begin(), bytes.end());
    }
    for (Monitor::Event event; monitor.Next(event);) {
      reached = reached || event.begins;
      if (!event.begins) return WhyNoAnswer(endpoint, event, reached, credentials != nullptr);
    }
    if (deadline.passed()) {
      return Status(Code::kUnavailable, kWhere,
                    endpoint.ToString() + " did not answer the hello in time; is it a gpu-server?");
    }
    zmq_pollitem_t items[2] = {{socket.get(), 0, ZMQ_POLLIN, 0}, {monitor.get(), 0, ZMQ_POLLIN, 0}};
    zmq_poll(items, 2, deadline.left_ms());
  }
}

}  // namespace accelmesh::zmq
