// What verifying a lease token costs (Google Benchmark; not part of any tier). The arguments are the number of sublets,
// and whether the server has verified the same token before.
#include <benchmark/benchmark.h>

#include "protocol/security/lease_token.h"

namespace accelmesh::security {
namespace {

void VerifyToken(benchmark::State& state) {
  const SigningKey market = SigningKey::Generate().value();
  const SigningKey tenant = SigningKey::Generate().value();
  LeaseTerms terms{500, 1 << 30, 1'700'000'000'000, 1'700'000'900'000, {}, tenant.public_key()};
  terms.holder_key.bytes.fill(1);
  Bytes token = GrantLease(market, {"lease-1", "slot-1", "server-1", 7}, terms).value();
  for (std::int64_t i = 0; i < state.range(0); ++i) token = AttenuateLease(token, tenant, terms).value();
  EpochFence fence;
  if (!fence.Raise("slot-1", 7).ok()) state.SkipWithError("no fence");
  VerifiedSignatures verified;
  const LeaseCheck check{
      std::span(&market.public_key(), 1),       "server-1", terms.holder_key, 1'700'000'001'000, &fence,
      state.range(1) != 0 ? &verified : nullptr};
  for (auto _ : state) {
    const Result<Lease> lease = VerifyLease(token, check);
    if (!lease.ok()) state.SkipWithError("does not verify");
    benchmark::DoNotOptimize(lease);
  }
  state.counters["bytes"] = static_cast<double>(token.size());
}
BENCHMARK(VerifyToken)->ArgNames({"sublets", "again"})->ArgsProduct({{0, 1, 2}, {0, 1}})->Unit(benchmark::kMicrosecond);

// The floor: one signature over as many bytes.
void VerifySignature(benchmark::State& state) {
  const SigningKey key = SigningKey::Generate().value();
  const Bytes message(400, 7);
  const Signature signature = key.Sign(message);
  for (auto _ : state) benchmark::DoNotOptimize(IsSignedBy(key.public_key(), message, signature));
}
BENCHMARK(VerifySignature)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace accelmesh::security

BENCHMARK_MAIN();
