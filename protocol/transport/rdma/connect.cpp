// The client's side of establishing an rdma session.
#include "protocol/schema/session_generated.h"
#include "protocol/transport/rdma/client.h"
#include "protocol/transport/rdma/control.h"
#include "protocol/transport/rdma/mark.h"
#include "protocol/transport/rdma/rdma.h"
#include "protocol/transport/rdma/real_link.h"
#include "protocol/transport/refusal.h"
#include "protocol/transport/zmq_hello.h"

namespace accelmesh {
namespace rdma {
namespace {

constexpr const char* kWhere = "ConnectRdma";

// What goes wrong with the hello is said of the url that the user wrote.
Status OfEndpoint(const Status& status, const Endpoint& control, const Endpoint& endpoint) {
  std::string text = status.text();
  const std::string from = control.ToString();
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at)) {
    text.replace(at, from.size(), endpoint.ToString());
    at += endpoint.ToString().size();
  }
  return {status.code(), kWhere, std::move(text)};
}

// Where the worker says that it listens; at every address of its host means at that which the client was told.
Result<Endpoint> ParseWorker(std::string_view url, const Endpoint& supervisor) {
  ACCELMESH_ASSIGN_OR_RETURN(Endpoint worker, ParseEndpoint(url));
  if (worker.scheme != Endpoint::Scheme::kRdma || worker.port == 0)
    return Status(Code::kBadFrame, kWhere, "the welcome names no rdma endpoint of the worker");
  if (worker.host == "0.0.0.0" || worker.host == "::") worker.host = supervisor.host;
  return worker;
}

}  // namespace
}  // namespace rdma

Result<Connected> ConnectRdma(const Endpoint& endpoint, ByteView hello, Deadline deadline,
                              const security::CurveCredentials* credentials, bool trusts_fabric) {
  if (endpoint.scheme != Endpoint::Scheme::kRdma)
    return Status(Code::kInvalidArgument, "ConnectRdma.endpoint", endpoint.ToString() + " is not rdma://host:port");
  if (hello.size() > limits::kFrameBytesMax)
    return Status(Code::kLimitExceeded, "ConnectRdma.hello", "a hello has at most 1 MiB");
  // Another endpoint of the lease may do.
  if (credentials != nullptr && !trusts_fabric) {
    return rdma::FabricNotTrusted(Code::kUnavailable, endpoint, std::string(kTrustedFabricVariable) + "=1");
  }
  Connected connected;
  {
    const zmq::Context context;
    const Endpoint control = rdma::ControlOf(endpoint, credentials != nullptr);
    Result<Bytes> welcome = zmq::Greet(context, control, hello, deadline, credentials);
    if (!welcome.ok()) return rdma::OfEndpoint(welcome.status(), control, endpoint);
    connected.welcome = *std::move(welcome);
  }
  ACCELMESH_RETURN_IF_ERROR(StatusOfWelcome(connected.welcome));
  const auto* message = flatbuffers::GetRoot<wire::Welcome>(connected.welcome.data());
  if (message->worker_endpoint() == nullptr || message->secret() == nullptr)
    return Status(Code::kBadFrame, rdma::kWhere, "the welcome names no worker");
  ACCELMESH_ASSIGN_OR_RETURN(const Endpoint worker,
                             rdma::ParseWorker(message->worker_endpoint()->string_view(), endpoint));
  ACCELMESH_ASSIGN_OR_RETURN(const rdma::Marks marks,
                             rdma::MarksOf({message->secret()->data(), message->secret()->size()}));
  ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<rdma::RealLink> link,
                             rdma::RealLink::Resolve(worker.host, worker.port, deadline));
  rdma::RealLink* const connecting = link.get();
  ACCELMESH_ASSIGN_OR_RETURN(rdma::Prepared prepared, rdma::Prepare(std::move(link), rdma::Role::kClient));
  ACCELMESH_ASSIGN_OR_RETURN(const Bytes answer,
                             connecting->Connect(rdma::Signed(prepared.greeting, marks.client), deadline));
  ACCELMESH_ASSIGN_OR_RETURN(const rdma::Greeting peer, rdma::ReadGreeting(answer, marks.server));
  connected.channel = rdma::MakeClient(std::make_unique<rdma::End>(std::move(prepared), peer));
  return connected;
}

}  // namespace accelmesh
