// Lease tokens: whatever the bytes, what verifies is within what the market of the seeds has signed, or is refused with
// a reason. The seeds are written by make_lease_seeds with the same keys.
#include "protocol/security/lease_token.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/lease_world.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  using namespace accelmesh::security;
  static const fuzz::LeaseWorld world;
  const ByteView token(data, size);
  for (const std::uint8_t client : {fuzz::kTenantClient, fuzz::kSecondClient}) {
    const Result<Lease> lease = VerifyLease(token, world.Check(client));
    if (!lease.ok()) {
      fuzz::Require(!lease.status().text().empty(), "a refusal says why");
      fuzz::Require(lease.status().text().size() < 1024, "a refusal is bounded");
      continue;
    }
    fuzz::Require(lease->grant == world.grant, "no other grant has been signed");
    fuzz::Require(lease->terms == (client == fuzz::kTenantClient ? world.whole : world.part), "nor other terms");
  }
  (void)AttenuateLease(token, world.tenant, world.part).ok();
  return 0;
}
