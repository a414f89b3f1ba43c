// What sealing and opening cost on one core, by each library that is here (Google Benchmark; not part of any tier):
// records of 1 MiB out of 64 MiB, in pieces as a bulk lane makes them. Sealed into a buffer of one record, opened in
// their place. The first argument: 0 is OpenSSL, 1 is ipsec-mb.
#include <benchmark/benchmark.h>

#include <algorithm>

#include "protocol/base/limits.h"
#include "protocol/transport/seal.h"

namespace accelmesh {
namespace {

constexpr std::size_t kRecords = 64;
constexpr std::size_t kRecordBytes = limits::kMiB;

struct Run {
  GcmLibrary library;
  std::size_t piece;
};
bool Prepare(benchmark::State& state, Run& run) {
  run = {static_cast<GcmLibrary>(state.range(0)), static_cast<std::size_t>(state.range(1)) * limits::kKiB};
  if (!HasGcm(run.library)) state.SkipWithError("this library or what it needs of the processor is not here");
  return HasGcm(run.library);
}

void Seal(benchmark::State& state) {
  Run run{};
  if (!Prepare(state, run)) return;
  const auto sealer = Sealer::Make(SealKey{}, run.library).value();
  const Bytes header(24, 3);
  const Bytes from(kRecords * kRecordBytes, 7);
  Bytes to(kRecordBytes);
  SealTag tag{};
  std::size_t record = 0;
  for (auto _ : state) {
    bool ok = sealer->Begin(header).ok();
    const ByteView body = ByteView(from).subspan(record++ % kRecords * kRecordBytes, kRecordBytes);
    for (std::size_t at = 0; at < kRecordBytes; at += run.piece)
      ok = sealer->Add(body.subspan(at, std::min(run.piece, kRecordBytes - at)), to.data() + at).ok() && ok;
    if (!sealer->End(tag).ok() || !ok) state.SkipWithError("does not seal");
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kRecordBytes));
}

void Open(benchmark::State& state) {
  Run run{};
  if (!Prepare(state, run)) return;
  const auto opener = Opener::Make(SealKey{}, run.library).value();
  const Bytes header(24, 3);
  Bytes memory(kRecords * kRecordBytes, 7);
  std::size_t record = 0;
  for (auto _ : state) {
    bool ok = opener->Begin(header).ok();
    const MutableByteView body = MutableByteView(memory).subspan(record++ % kRecords * kRecordBytes, kRecordBytes);
    for (std::size_t at = 0; at < kRecordBytes; at += run.piece)
      ok = opener->Add(body.subspan(at, std::min(run.piece, kRecordBytes - at))).ok() && ok;
    // Nobody sealed it: what it costs is the same.
    if (opener->End({}).code() != Code::kBadFrame || !ok) state.SkipWithError("does not open");
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kRecordBytes));
}

void Cases(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"library", "kib"})->Unit(benchmark::kMicrosecond);
  for (const GcmLibrary library : {GcmLibrary::kOpenSsl, GcmLibrary::kIpsecMb})
    for (const int kib : {16, 48, 256, 1024}) benchmark->Args({static_cast<int>(library), kib});
}
BENCHMARK(Seal)->Apply(Cases);
BENCHMARK(Open)->Apply(Cases);

}  // namespace
}  // namespace accelmesh

BENCHMARK_MAIN();
