#include "market/desk/reputations.h"

#include <algorithm>

namespace accelmesh::market {
namespace {

using ledger::ReputationEvent;
using ledger::ReputationRole;

constexpr std::int64_t kScoredEachMs = 60'000;
constexpr std::int64_t kHourMs = 3'600'000;

ledger::DecayingWeight ToWeight(const ReputationRecord::Weight& weight) {
  return {ledger::UnsignedWide{weight.high} << 64 | weight.low, weight.hour};
}
ReputationRecord::Weight FromWeight(const ledger::DecayingWeight& weight) {
  return {static_cast<std::uint64_t>(weight.value >> 64), static_cast<std::uint64_t>(weight.value), weight.hour};
}

ledger::ReputationState ToState(const ReputationRecord& record) {
  ledger::ReputationState state;
  for (const ReputationRecord::Track& track : record.tracks) {
    if (track.role > static_cast<std::uint8_t>(ReputationRole::kBuyer) ||
        track.event > static_cast<std::uint8_t>(ReputationEvent::kUsed)) {
      continue;
    }
    state.tracks.push_back({static_cast<ReputationRole>(track.role), static_cast<ReputationEvent>(track.event),
                            ToWeight(track.good), ToWeight(track.bad)});
  }
  for (const ReputationRecord::Payer& payer : record.payers) {
    security::PublicKey key;
    if (payer.key.size() != key.bytes.size()) continue;
    std::copy(payer.key.begin(), payer.key.end(), key.bytes.begin());
    state.payers.emplace_back(key, ToWeight(payer.paid));
  }
  return state;
}

void FromState(const ledger::ReputationState& state, ReputationRecord& record) {
  record.tracks.clear();
  record.payers.clear();
  for (const ledger::ReputationState::Track& track : state.tracks) {
    record.tracks.push_back({static_cast<std::uint8_t>(track.role), static_cast<std::uint8_t>(track.event),
                             FromWeight(track.good), FromWeight(track.bad)});
  }
  for (const auto& [key, paid] : state.payers) {
    record.payers.push_back({std::string(key.bytes.begin(), key.bytes.end()), FromWeight(paid)});
  }
}

std::uint32_t NewcomersScore() {
  static const std::uint32_t score = ledger::ReputationBook().ScorePpm({}, ReputationRole::kProvider, 0);
  return score;
}

bool IsProvider(const ReputationRecord& record) {
  return std::any_of(record.tracks.begin(), record.tracks.end(), [](const ReputationRecord::Track& track) {
    return track.role == static_cast<std::uint8_t>(ReputationRole::kProvider);
  });
}

}  // namespace

std::uint32_t ScoreOf(const Book& book, const std::string& provider) {
  const ReputationRecord* record = book.Reputation(provider);
  return record != nullptr && record->score_ppm > 0 ? record->score_ppm : NewcomersScore();
}

void Reputations::Load(const Book& book) {
  reputations_ = ledger::ReputationBook();
  for (const auto& [id, entry] : book.All(Family::kReputation)) {
    security::PublicKey key;
    if (!security::ParseHex(id, key.bytes).ok()) continue;
    reputations_.SetState(key, ToState(std::get<ReputationRecord>(entry)));
  }
}

std::uint32_t Reputations::ScoreOf(const security::PublicKey& key, const Book& book, const Moment& moment) {
  // Good counts as far as money from outside can have flowed to it.
  for (const auto& [id, entry] : book.All(Family::kAccount)) {
    security::PublicKey owner;
    const std::int64_t deposited = std::get<AccountRecord>(entry).deposited;
    if (deposited > 0 && security::ParseHex(id, owner.bytes).ok()) reputations_.SetDeposited(owner, deposited);
  }
  return reputations_.ScorePpm(key, ReputationRole::kProvider, moment.now_ms);
}

void Reputations::Add(const ledger::Receipt& receipt, const Book& book, const Moment& moment, Edit& edit) {
  if (!reputations_.Add(receipt).ok()) return;
  auto& provider = edit.Open<ReputationRecord>(Family::kReputation, security::HexOf(receipt.provider.bytes));
  FromState(reputations_.StateOf(receipt.provider), provider);
  if (provider.scored_ms == 0 || moment.now_ms >= provider.scored_ms + kScoredEachMs) {
    provider.score_ppm = ScoreOf(receipt.provider, book, moment);
    provider.scored_ms = moment.now_ms;
  }
  auto& buyer = edit.Open<ReputationRecord>(Family::kReputation, security::HexOf(receipt.buyer.bytes));
  FromState(reputations_.StateOf(receipt.buyer), buyer);
}

Decision Reputations::Refresh(const Book& book, const Moment& moment, std::size_t most) {
  Edit edit(book);
  std::size_t count = 0;
  for (const auto& [id, entry] : book.All(Family::kReputation)) {
    const auto& record = std::get<ReputationRecord>(entry);
    if (count >= most) break;
    if (!IsProvider(record) || record.scored_ms / kHourMs >= moment.now_ms / kHourMs) continue;
    security::PublicKey key;
    if (!security::ParseHex(id, key.bytes).ok()) continue;
    auto& fresh = edit.Open<ReputationRecord>(Family::kReputation, id);
    fresh.score_ppm = ScoreOf(key, book, moment);
    fresh.scored_ms = moment.now_ms;
    ++count;
  }
  return edit.Finish();
}

std::vector<ledger::StatedReputation> Reputations::Stated(const Book& book) const {
  std::vector<ledger::StatedReputation> all;
  for (const auto& [id, entry] : book.All(Family::kReputation)) {
    ledger::StatedReputation stated;
    if (!security::ParseHex(id, stated.key.bytes).ok()) continue;
    stated.state = reputations_.StateOf(stated.key);
    all.push_back(std::move(stated));
  }
  return all;
}

messages::ReputationsT Reputations::List(const std::string& identity, const Book& book, const Moment& moment) const {
  messages::ReputationsT all;
  all.newcomer_ppm = NewcomersScore();
  for (const auto& [id, entry] : book.All(Family::kReputation)) {
    if (!identity.empty() && id != identity) continue;
    const auto& record = std::get<ReputationRecord>(entry);
    for (const ledger::ReputationState::Track& track : ToState(record).tracks) {
      if (all.reputations.size() >= kListedMax) return all;
      auto one = std::make_unique<messages::ReputationT>();
      one->identity = id;
      one->role = track.role == ReputationRole::kProvider ? "provider" : "buyer";
      one->event = Name(track.event);
      one->good_microcredits = track.good.At(moment.now_ms / kHourMs);
      one->bad_microcredits = track.bad.At(moment.now_ms / kHourMs);
      security::PublicKey key;
      if (track.role == ReputationRole::kProvider) {
        one->score_ppm = record.score_ppm;
      } else if (!identity.empty() && security::ParseHex(id, key.bytes).ok()) {
        one->score_ppm = reputations_.ScorePpm(key, ReputationRole::kBuyer, moment.now_ms);
      }
      all.reputations.push_back(std::move(one));
    }
  }
  return all;
}

}  // namespace accelmesh::market
