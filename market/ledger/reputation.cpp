#include "market/ledger/reputation.h"

#include <algorithm>
#include <array>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/push_relabel_max_flow.hpp>
#include <limits>

#include "market/ledger/beta_quantile.h"

namespace accelmesh::market::ledger {
namespace {

constexpr std::int64_t kMsPerHour = 3'600'000;
constexpr int kFractionBits = 20;
// 2^63 * 2^(-1/720), rounded: what is left of one after an hour.
constexpr std::uint64_t kHourly = 9214496928589582985ULL;

std::int64_t HourOf(std::int64_t ms) { return ms / kMsPerHour; }

// A product of two numbers in units of 2^-63, each at most 1.
std::uint64_t Times(std::uint64_t one, std::uint64_t other) {
  return static_cast<std::uint64_t>(UnsignedWide{one} * other >> 63);
}

// The directed graph of boost's push-relabel algorithm: each edge with one back.
class Flow {
 public:
  explicit Flow(std::size_t nodes) : graph_(nodes) {}
  void Add(std::size_t from, std::size_t to, std::int64_t capacity) {
    const Edge edge = boost::add_edge(from, to, graph_).first;
    const Edge back = boost::add_edge(to, from, graph_).first;
    boost::put(boost::edge_capacity, graph_, edge, capacity);
    boost::put(boost::edge_capacity, graph_, back, std::int64_t{0});
    boost::put(boost::edge_reverse, graph_, edge, back);
    boost::put(boost::edge_reverse, graph_, back, edge);
  }
  std::int64_t Most(std::size_t from, std::size_t to) { return boost::push_relabel_max_flow(graph_, from, to); }

 private:
  using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
  using Edge = Traits::edge_descriptor;
  using Graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, boost::no_property,
                                      boost::property<boost::edge_capacity_t, std::int64_t,
                                                      boost::property<boost::edge_residual_capacity_t, std::int64_t,
                                                                      boost::property<boost::edge_reverse_t, Edge>>>>;
  Graph graph_;
};

}  // namespace

std::string_view Name(ReputationEvent event) {
  switch (event) {
    case ReputationEvent::kDelivered: return "delivered";
    case ReputationEvent::kUptime: return "uptime";
    case ReputationEvent::kNotice: return "notice";
    case ReputationEvent::kPaid: return "paid";
    case ReputationEvent::kUsed: return "used";
  }
  return "unknown";
}

UnsignedWide Decayed(UnsignedWide value, std::int64_t hours) {
  if (hours <= 0) return value;
  const std::int64_t halves = hours / ReputationBook::kHalfLifeHours;
  if (halves >= 128) return 0;
  std::uint64_t factor = std::uint64_t{1} << 63;
  std::uint64_t power = kHourly;
  for (std::int64_t rest = hours % ReputationBook::kHalfLifeHours; rest > 0; rest /= 2) {
    if (rest % 2 == 1) factor = Times(factor, power);
    power = Times(power, power);
  }
  // 128 bits times 64: by halves.
  const UnsignedWide low = (value & std::numeric_limits<std::uint64_t>::max()) * factor >> 63;
  const UnsignedWide high = (value >> 64) * factor;
  return ((high << 1) + low) >> halves;
}

void DecayingWeight::Add(std::int64_t microcredits, std::int64_t at_hour) {
  UnsignedWide added = UnsignedWide(static_cast<std::uint64_t>(microcredits)) << kFractionBits;
  if (at_hour >= hour) {
    value = Decayed(value, at_hour - hour);
    hour = at_hour;
  } else {
    added = Decayed(added, hour - at_hour);
  }
  value += added;
}

std::int64_t DecayingWeight::At(std::int64_t now_hour) const {
  const UnsignedWide left = Decayed(value, now_hour - hour) >> kFractionBits;
  return static_cast<std::int64_t>(std::min<UnsignedWide>(left, static_cast<std::uint64_t>(kAmountMax)));
}

Status ReputationBook::Add(const Receipt& receipt) {
  ACCELMESH_RETURN_IF_ERROR(CheckReceipt(receipt));
  if (receipt.provider == receipt.buyer) return Status::Ok();
  const std::int64_t hour = HourOf(receipt.end_ms);
  const std::int64_t oldest = std::max(newest_hour_, hour) - kHalfLivesKept * kHalfLifeHours;
  if (hour < oldest) return Status::Ok();
  newest_hour_ = std::max(newest_hour_, hour);
  while (!seen_.empty() && seen_.begin()->first < oldest) seen_.erase(seen_.begin());
  Writer same;
  same.Text(receipt.lease);
  same.Raw(receipt.provider.bytes);
  same.Raw(receipt.buyer.bytes);
  same.Number(receipt.begin_ms);
  same.Number(receipt.end_ms);
  if (!seen_.emplace(hour, Sha256(same.bytes())).second) return Status::Ok();
  const std::int64_t weight = std::min(receipt.price_microcredits, receipt.bond_microcredits);
  if (weight == 0) return Status::Ok();
  const Subject provider{receipt.provider.bytes, ReputationRole::kProvider};
  const Subject buyer{receipt.buyer.bytes, ReputationRole::kBuyer};
  AddEvent(provider, ReputationEvent::kDelivered, weight, receipt.delivered_ppm, hour);
  AddEvent(provider, ReputationEvent::kUptime, weight, receipt.uptime_ppm, hour);
  if (receipt.had_notice) {
    AddEvent(provider, ReputationEvent::kNotice, weight, receipt.is_notice_honoured ? kPpm : 0, hour);
  }
  const std::int64_t paid = std::min(receipt.paid_microcredits, receipt.price_microcredits);
  AddEvent(buyer, ReputationEvent::kPaid, weight,
           static_cast<std::uint32_t>(UnsignedWide(static_cast<std::uint64_t>(paid)) * kPpm /
                                      static_cast<std::uint64_t>(receipt.price_microcredits)),
           hour);
  AddEvent(buyer, ReputationEvent::kUsed, weight, receipt.used_ppm, hour);
  auto& payers = paid_[provider.key];
  payers[buyer.key].Add(std::min(weight, paid), hour);
  if (payers.size() > kPayersKept) {
    payers.erase(std::min_element(payers.begin(), payers.end(), [hour](const auto& one, const auto& other) {
      return one.second.At(hour) < other.second.At(hour);
    }));
  }
  return Status::Ok();
}

void ReputationBook::AddEvent(const Subject& subject, ReputationEvent event, std::int64_t weight,
                              std::uint32_t good_ppm, std::int64_t hour) {
  const auto good = static_cast<std::int64_t>(UnsignedWide(static_cast<std::uint64_t>(weight)) * good_ppm / kPpm);
  Track& track = tracks_[subject][event];
  track.good.Add(good, hour);
  track.bad.Add(weight - good, hour);
}

void ReputationBook::SetDeposited(const security::PublicKey& key, std::int64_t microcredits) {
  deposited_[key.bytes] = std::clamp<std::int64_t>(microcredits, 0, kAmountMax);
}

std::int64_t ReputationBook::FlowTo(const Subject& subject, std::int64_t hour) const {
  std::map<Key, std::size_t> nodes;
  const auto node_of = [&](const Key& key) { return nodes.try_emplace(key, nodes.size() + 1).first->second; };
  const std::size_t sink = node_of(subject.key);
  for (const auto& [key, amount] : deposited_) node_of(key);
  for (const auto& [provider, buyers] : paid_) {
    node_of(provider);
    for (const auto& [buyer, weight] : buyers) node_of(buyer);
  }
  // Node 0 is where all money comes from. All amounts together must stay within 63 bits, or a flow overflows: then
  // everything is measured more coarsely.
  UnsignedWide all = 0;
  for (const auto& [key, amount] : deposited_) all += static_cast<std::uint64_t>(amount);
  int shift = 0;
  while (all >> shift >= UnsignedWide{1} << 61) ++shift;
  Flow flow(nodes.size() + 1);
  for (const auto& [key, amount] : deposited_) {
    const bool is_own = key == subject.key && subject.role == ReputationRole::kProvider;
    if (!is_own && amount > 0) flow.Add(0, node_of(key), amount >> shift);
  }
  for (const auto& [provider, buyers] : paid_) {
    for (const auto& [buyer, weight] : buyers) {
      flow.Add(node_of(buyer), node_of(provider), weight.At(hour) >> shift);
    }
  }
  const UnsignedWide most = UnsignedWide(static_cast<std::uint64_t>(flow.Most(0, sink))) << shift;
  return static_cast<std::int64_t>(std::min<UnsignedWide>(most, static_cast<std::uint64_t>(kAmountMax)));
}

ReputationFacts ReputationBook::FactsOf(const Track* track, std::int64_t hour, std::int64_t cap) const {
  ReputationFacts facts;
  facts.good_microcredits = track == nullptr ? 0 : track->good.At(hour);
  facts.bad_microcredits = track == nullptr ? 0 : track->bad.At(hour);
  facts.cap_microcredits = rules_.is_capped ? cap : facts.good_microcredits;
  const std::int64_t good = std::min(facts.good_microcredits, facts.cap_microcredits);
  facts.score_ppm = BetaQuantilePpm(rules_.prior_microcredits + good,
                                    rules_.prior_microcredits + facts.bad_microcredits, rules_.quantile_ppm);
  return facts;
}

ReputationFacts ReputationBook::Facts(const security::PublicKey& key, ReputationRole role, ReputationEvent event,
                                      std::int64_t now_ms) const {
  const Subject subject{key.bytes, role};
  const std::int64_t hour = HourOf(now_ms);
  const auto tracks = tracks_.find(subject);
  if (tracks == tracks_.end()) return FactsOf(nullptr, hour, 0);
  const auto track = tracks->second.find(event);
  if (track == tracks->second.end()) return FactsOf(nullptr, hour, 0);
  return FactsOf(&track->second, hour, rules_.is_capped ? FlowTo(subject, hour) : 0);
}

std::uint32_t ReputationBook::ScorePpm(const security::PublicKey& key, ReputationRole role, std::int64_t now_ms) const {
  const Subject subject{key.bytes, role};
  const std::int64_t hour = HourOf(now_ms);
  const auto tracks = tracks_.find(subject);
  if (tracks == tracks_.end()) return FactsOf(nullptr, hour, 0).score_ppm;
  const std::int64_t cap = rules_.is_capped ? FlowTo(subject, hour) : 0;
  std::uint32_t lowest = kPpm;
  for (const auto& [event, track] : tracks->second) lowest = std::min(lowest, FactsOf(&track, hour, cap).score_ppm);
  return lowest;
}

ReputationState ReputationBook::StateOf(const security::PublicKey& key) const {
  ReputationState state;
  for (const ReputationRole role : {ReputationRole::kProvider, ReputationRole::kBuyer}) {
    const auto tracks = tracks_.find({key.bytes, role});
    if (tracks == tracks_.end()) continue;
    for (const auto& [event, track] : tracks->second) state.tracks.push_back({role, event, track.good, track.bad});
  }
  const auto payers = paid_.find(key.bytes);
  if (payers == paid_.end()) return state;
  for (const auto& [buyer, weight] : payers->second) state.payers.push_back({{buyer}, weight});
  return state;
}

void ReputationBook::SetState(const security::PublicKey& key, const ReputationState& state) {
  tracks_.erase({key.bytes, ReputationRole::kProvider});
  tracks_.erase({key.bytes, ReputationRole::kBuyer});
  paid_.erase(key.bytes);
  for (const ReputationState::Track& track : state.tracks) {
    tracks_[{key.bytes, track.role}][track.event] = {track.good, track.bad};
  }
  for (const auto& [buyer, weight] : state.payers) paid_[key.bytes][buyer.bytes] = weight;
}

std::uint32_t QualityPpm(std::uint32_t score_ppm, std::uint32_t best_ppm) {
  constexpr std::uint32_t kTenth = kPpm / 10;
  if (score_ppm >= best_ppm || best_ppm == 0) return kPpm;
  const std::uint64_t part = (std::uint64_t{score_ppm} * 10 + best_ppm - 1) / best_ppm;
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(part, 1)) * kTenth;
}

std::vector<security::PublicKey> ReputationBook::Subjects(ReputationRole role) const {
  std::vector<security::PublicKey> subjects;
  for (const auto& [subject, tracks] : tracks_) {
    if (subject.role == role) subjects.push_back({subject.key});
  }
  return subjects;
}

}  // namespace accelmesh::market::ledger
