// Endpoints that people and servers name: what parses can be written and parsed again to the same.
#include "protocol/transport/channel.h"
#include "protocol/transport/emulator.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)ParseEmulatorOptions(text).ok();
  const Result<Endpoint> endpoint = ParseEndpoint(text);
  if (!endpoint.ok()) {
    fuzz::Require(!endpoint.status().text().empty(), "a refusal says why");
    fuzz::Require(endpoint.status().text().size() < 1024, "a refusal is bounded");
    return 0;
  }
  const Result<Endpoint> again = ParseEndpoint(endpoint->ToString());
  fuzz::Require(again.ok(), "what was parsed can be parsed again");
  fuzz::Require(again->scheme == endpoint->scheme && again->host == endpoint->host && again->port == endpoint->port &&
                    again->path == endpoint->path,
                "and means the same");
  return 0;
}
