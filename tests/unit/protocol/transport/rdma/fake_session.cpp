#include "tests/unit/protocol/transport/rdma/fake_session.h"

namespace accelmesh::rdma {
namespace {

class Ready final : public Awaiting {
 public:
  explicit Ready(std::unique_ptr<End> end) : end_(std::move(end)) {}
  Result<std::unique_ptr<End>> Await(Deadline) override { return std::move(end_); }
  void Cancel() override {}

 private:
  std::unique_ptr<End> end_;
};

}  // namespace

Result<Ends> Join(FakeFabric& fabric) {
  ACCELMESH_ASSIGN_OR_RETURN(Prepared client, Prepare(fabric.Take(kClientSide), Role::kClient));
  ACCELMESH_ASSIGN_OR_RETURN(Prepared server, Prepare(fabric.Take(kServerSide), Role::kServer));
  const Greeting client_greeting = client.greeting;
  const Greeting server_greeting = server.greeting;
  Ends ends;
  ends.client = std::make_unique<End>(std::move(client), server_greeting);
  ends.server = std::make_unique<End>(std::move(server), client_greeting);
  return ends;
}

std::unique_ptr<ServerChannel> Serve(std::unique_ptr<End> end) {
  return MakeServer(std::make_unique<Ready>(std::move(end)));
}

Channels OpenSession(FakeFabric& fabric) {
  Ends ends = Join(fabric).value();
  return {MakeClient(std::move(ends.client)), Serve(std::move(ends.server))};
}

}  // namespace accelmesh::rdma
