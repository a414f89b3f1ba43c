// The server's side of establishing an rdma session: the supervisor's listener and the worker's.
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "protocol/base/log.h"
#include "protocol/transport/rdma/control.h"
#include "protocol/transport/rdma/mark.h"
#include "protocol/transport/rdma/rdma.h"
#include "protocol/transport/rdma/real_link.h"
#include "protocol/transport/rdma/server.h"

namespace accelmesh {
namespace rdma {
namespace {

// What a client that is taken gets to finish.
constexpr Duration kHandshake = std::chrono::seconds(5);

// The hellos' listener under the name that clients know.
class RdmaListener final : public Listener {
 public:
  RdmaListener(Endpoint endpoint, std::unique_ptr<Listener> control)
      : endpoint_(std::move(endpoint)), control_(std::move(control)) {
    endpoint_.port = control_->endpoint().port;
  }
  const Endpoint& endpoint() const override { return endpoint_; }
  int poll_fd() const override { return control_->poll_fd(); }
  Result<Arrival> Accept() override { return control_->Accept(); }
  Status Answer(std::uint64_t peer, ByteView welcome) override { return control_->Answer(peer, welcome); }

 private:
  Endpoint endpoint_;
  const std::unique_ptr<Listener> control_;
};

// Waits for the one client that knows the secret.
class AwaitingClient final : public Awaiting {
 public:
  AwaitingClient(std::unique_ptr<RealListener> listener, const Marks& marks)
      : listener_(std::move(listener)), marks_(marks), stop_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~AwaitingClient() override {
    if (stop_fd_ >= 0) ::close(stop_fd_);
  }

  Result<std::unique_ptr<End>> Await(Deadline deadline) override {
    for (;;) {
      ACCELMESH_ASSIGN_OR_RETURN(RealListener::Request request, listener_->Next(stop_fd_, deadline));
      const Result<Greeting> peer = ReadGreeting(request.greeting, marks_.client);
      if (!peer.ok()) {
        log::Warning("rdma", "a connection was turned away: " + peer.status().text());
        RealListener::Reject(std::move(request));
        continue;
      }
      ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<End> end, Take(std::move(request), *peer));
      // Nobody else is heard any more.
      listener_.reset();
      return end;
    }
  }
  void Cancel() override {
    const std::uint64_t one = 1;
    // Full means that it is set already.
    if (::write(stop_fd_, &one, sizeof(one)) < 0) return;
  }

 private:
  Result<std::unique_ptr<End>> Take(RealListener::Request request, const Greeting& peer) {
    RealLink* const accepting = request.link.get();
    ACCELMESH_RETURN_IF_ERROR(accepting->CreateQueues());
    ACCELMESH_ASSIGN_OR_RETURN(Prepared prepared, Prepare(std::move(request.link), Role::kServer));
    ACCELMESH_RETURN_IF_ERROR(accepting->Accept(Signed(prepared.greeting, marks_.server), Deadline::After(kHandshake)));
    return std::make_unique<End>(std::move(prepared), peer);
  }

  std::unique_ptr<RealListener> listener_;
  const Marks marks_;
  const int stop_fd_;
};

}  // namespace
}  // namespace rdma

Result<std::unique_ptr<Listener>> ListenRdma(const Endpoint& endpoint, const ListenSecurity* security,
                                             bool trusts_fabric) {
  if (endpoint.scheme != Endpoint::Scheme::kRdma)
    return Status(Code::kInvalidArgument, "ListenRdma", endpoint.ToString() + " is not rdma://host:port");
  if (security != nullptr && !trusts_fabric)
    return rdma::FabricNotTrusted(Code::kPermissionDenied, endpoint, "--trusted-fabric");
  // Found out now, and not by the first client.
  ACCELMESH_RETURN_IF_ERROR(rdma::RealListener::Listen(endpoint.host, 0).status());
  ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<Listener> control,
                             ListenZmq(rdma::ControlOf(endpoint, security != nullptr), security));
  return std::unique_ptr<Listener>(new rdma::RdmaListener(endpoint, std::move(control)));
}

Result<OpenedRdma> OpenRdmaWorker(const WorkerEndpoints& where, ByteView secret) {
  constexpr const char* kWhere = "OpenRdmaWorker";
  if (secret.size() < 16)
    return Status(Code::kInvalidArgument, "OpenRdmaWorker.secret", "a session's secret has at least 16 bytes");
  ACCELMESH_ASSIGN_OR_RETURN(const rdma::Marks marks, rdma::MarksOf(secret));
  Result<std::unique_ptr<rdma::RealListener>> listener =
      Status(Code::kUnavailable, kWhere,
             "every port of the worker range " + std::to_string(where.port_first) + "-" +
                 std::to_string(where.port_last) + " is taken; widen --worker-ports");
  if (where.port_first == 0) {
    listener = rdma::RealListener::Listen(where.host, 0);
  } else {
    for (unsigned port = where.port_first; !listener.ok() && port <= where.port_last; ++port) {
      Result<std::unique_ptr<rdma::RealListener>> tried =
          rdma::RealListener::Listen(where.host, static_cast<std::uint16_t>(port));
      if (!tried.ok() && tried.code() != Code::kUnavailable) return tried.status();
      if (tried.ok()) listener = std::move(tried);
    }
  }
  if (!listener.ok()) return listener.status();
  Endpoint endpoint;
  endpoint.scheme = Endpoint::Scheme::kRdma;
  endpoint.host = where.host;
  endpoint.port = (*listener)->port();
  OpenedRdma opened;
  opened.endpoint = endpoint.ToString();
  opened.channel = rdma::MakeServer(std::make_unique<rdma::AwaitingClient>(*std::move(listener), marks));
  return opened;
}

}  // namespace accelmesh
