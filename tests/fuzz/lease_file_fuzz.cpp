// Lease files: what parses is written back as it was, and refusals say why and repeat no secret.
#include "protocol/security/lease_file.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto file = security::ParseLeaseFile(text);
  if (!file.ok()) {
    fuzz::Require(!file.status().text().empty() && file.status().text().size() < 200, "a refusal says why");
    return 0;
  }
  fuzz::Require(!file->endpoints.empty() && file->endpoints.size() <= security::kLeaseEndpointsMax, "endpoints");
  fuzz::Require(!file->token.empty() && !file->lease.empty() && file->not_after_ms > 0, "all keys");
  const auto again = security::ParseLeaseFile(security::LeaseFileText(*file));
  fuzz::Require(again.ok() && again->endpoints == file->endpoints && again->server_key == file->server_key &&
                    again->holder.key == file->holder.key && again->holder.secret.bytes == file->holder.secret.bytes &&
                    again->token == file->token && again->lease == file->lease &&
                    again->not_after_ms == file->not_after_ms,
                "what was parsed is written back");
  return 0;
}
