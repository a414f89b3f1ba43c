#include "market/ledger/stated_reputation.h"

#include <algorithm>

namespace accelmesh::market::ledger {
namespace {

constexpr char kWhere[] = "ledger::StatedReputation";
constexpr std::size_t kTracksMax = 10;
constexpr std::size_t kTrackBytes = 2 + 2 * 24;
constexpr std::size_t kPayerBytes = security::kKeyBytes + 24;
constexpr std::int64_t kHoursMax = INT64_MAX / 3'600'000;
// A billion receipts of the largest amount there is.
constexpr int kWeightBits = 112;

bool IsWeight(const DecayingWeight& weight) {
  return weight.hour >= 0 && weight.hour <= kHoursMax && weight.value >> kWeightBits == 0;
}

void WriteWeight(Writer& writer, const DecayingWeight& weight) {
  writer.Number(static_cast<std::uint64_t>(weight.value));
  writer.Number(static_cast<std::uint64_t>(weight.value >> 64));
  writer.Number(weight.hour);
}
DecayingWeight ReadWeight(Reader& reader) {
  DecayingWeight weight;
  weight.value = reader.Number<std::uint64_t>();
  weight.value |= UnsignedWide{reader.Number<std::uint64_t>()} << 64;
  weight.hour = reader.Number<std::int64_t>();
  return weight;
}

}  // namespace

Status CheckStated(const StatedReputation& stated) {
  const auto wrong = [](const char* what) { return Status(Code::kInvalidArgument, kWhere, what); };
  const auto& [tracks, payers] = stated.state;
  if (tracks.size() > kTracksMax || payers.size() > kPayersKept) return wrong("more of something than is remembered");
  for (std::size_t i = 0; i < tracks.size(); ++i) {
    const ReputationState::Track& track = tracks[i];
    if (track.role > ReputationRole::kBuyer || track.event > ReputationEvent::kUsed) return wrong("no such track");
    if (!IsWeight(track.good) || !IsWeight(track.bad)) return wrong("a weight that receipts do not come to");
    if (i > 0 && std::pair(tracks[i - 1].role, tracks[i - 1].event) >= std::pair(track.role, track.event)) {
      return wrong("tracks that are not sorted, or there twice");
    }
  }
  for (std::size_t i = 0; i < payers.size(); ++i) {
    if (!IsWeight(payers[i].second)) return wrong("a weight that receipts do not come to");
    if (i > 0 && payers[i - 1].first.bytes >= payers[i].first.bytes) {
      return wrong("payers that are not sorted, or there twice");
    }
  }
  return Status::Ok();
}

void WriteStated(Writer& writer, const StatedReputation& stated) {
  writer.Raw(stated.key.bytes);
  writer.Number(static_cast<std::uint32_t>(stated.state.tracks.size()));
  for (const ReputationState::Track& track : stated.state.tracks) {
    writer.Number(static_cast<std::uint8_t>(track.role));
    writer.Number(static_cast<std::uint8_t>(track.event));
    WriteWeight(writer, track.good);
    WriteWeight(writer, track.bad);
  }
  writer.Number(static_cast<std::uint32_t>(stated.state.payers.size()));
  for (const auto& [payer, weight] : stated.state.payers) {
    writer.Raw(payer.bytes);
    WriteWeight(writer, weight);
  }
}

StatedReputation ReadStated(Reader& reader) {
  StatedReputation stated;
  stated.key.bytes = reader.Array<security::kKeyBytes>();
  for (std::size_t left = reader.Count(kTracksMax, kTrackBytes); left > 0; --left) {
    ReputationState::Track track;
    track.role = static_cast<ReputationRole>(reader.Number<std::uint8_t>());
    track.event = static_cast<ReputationEvent>(reader.Number<std::uint8_t>());
    track.good = ReadWeight(reader);
    track.bad = ReadWeight(reader);
    stated.state.tracks.push_back(track);
  }
  for (std::size_t left = reader.Count(kPayersKept, kPayerBytes); left > 0; --left) {
    security::PublicKey payer;
    payer.bytes = reader.Array<security::kKeyBytes>();
    stated.state.payers.emplace_back(payer, ReadWeight(reader));
  }
  return stated;
}

}  // namespace accelmesh::market::ledger
