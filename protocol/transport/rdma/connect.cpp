// The client's side of establishing an rdma session.
#include <algorithm>

#include "protocol/base/log.h"
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
// How long the way to the worker over the card may take; the hello has shown by then that its host is there. The
// connection manager repeats a message that was lost after 4.3 s.
constexpr Duration kOverTheCard = std::chrono::seconds(6);

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

Result<std::unique_ptr<End>> JoinWorker(const Endpoint& worker, const Marks& marks, Deadline deadline) {
  ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<RealLink> link, RealLink::Resolve(worker.host, worker.port, deadline));
  RealLink* const connecting = link.get();
  ACCELMESH_ASSIGN_OR_RETURN(Prepared prepared, Prepare(std::move(link), Role::kClient));
  ACCELMESH_ASSIGN_OR_RETURN(const Bytes answer,
                             connecting->Connect(Signed(prepared.greeting, marks.client), deadline));
  ACCELMESH_ASSIGN_OR_RETURN(const Greeting peer, ReadGreeting(answer, marks.server));
  return std::make_unique<End>(std::move(prepared), peer);
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
  const Deadline over_the_card(std::min(deadline.at(), Clock::now() + rdma::kOverTheCard));
  Result<std::unique_ptr<rdma::End>> joined = rdma::JoinWorker(worker, marks, over_the_card);
  // A card that leads nowhere: another endpoint of the lease may do.
  if (joined.code() == Code::kDeadlineExceeded) {
    return Status(
        Code::kUnavailable, rdma::kWhere,
        endpoint.ToString() + " does not answer over RDMA, though its host does; are the ports of both sides up?");
  }
  ACCELMESH_RETURN_IF_ERROR(joined.status());
  std::unique_ptr<rdma::End> end = *std::move(joined);
  ACCELMESH_ASSIGN_OR_RETURN(const rdma::WriteCosts costs, rdma::MeasureWrites(*end, deadline));
  const rdma::Thresholds thresholds = rdma::ThresholdsOf(costs);
  log::Info("rdma", rdma::Describe(costs, thresholds));
  connected.channel = rdma::MakeClient(std::move(end), thresholds);
  return connected;
}

}  // namespace accelmesh
