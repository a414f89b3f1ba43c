// A Welcome, as a client takes it: the refusal, or the worker's endpoints and the secret.
#include "protocol/schema/session_generated.h"
#include "protocol/transport/channel.h"
#include "protocol/transport/refusal.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  const Bytes welcome(data, data + size);
  const Status status = StatusOfWelcome(welcome);
  fuzz::Require(status.text().size() <= limits::kTextBytesMax + 1024, "a refusal's text is bounded");
  if (!status.ok()) return 0;
  const auto& message = *flatbuffers::GetRoot<wire::Welcome>(welcome.data());
  if (message.secret() != nullptr) fuzz::Touch({message.secret()->data(), message.secret()->size()});
  if (message.worker_endpoint() == nullptr) return 0;
  std::string_view list = message.worker_endpoint()->string_view();
  while (!list.empty()) {
    const std::string_view one = list.substr(0, list.find(','));
    list.remove_prefix(std::min(list.size(), one.size() + 1));
    if (const Result<Endpoint> endpoint = ParseEndpoint(one); endpoint.ok()) {
      fuzz::Touch(AsBytes(std::string_view(endpoint->host)));
    }
  }
  return 0;
}
