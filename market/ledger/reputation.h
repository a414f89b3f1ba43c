// Reputation: how far somebody can be relied on, from counter-signed receipts and nothing else.
//
//   per subject, role and event   Beta(alpha, beta); alpha = prior + good, beta = prior + bad, in credits of weight
//   weight of an event            min(what the trade was worth, the provider's bond); halved every 30 days
//   score                         the 5 % quantile: newcomers begin low, so a new name is never worth more than an old
//   one graph cap                     good counts only as far as money that entered the market from outside can have
//   flowed to
//                                 the subject along trades: the maximal flow from all deposits, over edges buyer ->
//                                 provider of the trades' weights. A ring that pays itself in circles gains no more
//                                 than it has really brought (A. Cheng, E. Friedman, "Sybilproof Reputation
//                                 Mechanisms", 2005: flows from fixed sources are proof against false names). A
//                                 provider's own deposit is no source for it.
//   self-trade                    counts nothing
// Bad counts in full: nobody signs it of itself without a reason.
//
// Deterministic: whole microcredits, hours, and fixed-point decay; the same receipts in the same order give the same
// scores on every machine (beta_quantile.h). Receipts must have been verified (VerifyReceipt).
// Pure. Threads: one at a time.
#pragma once

#include <compare>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "market/ledger/receipt.h"

namespace accelmesh::market::ledger {

__extension__ using UnsignedWide = unsigned __int128;

enum class ReputationRole : std::uint8_t { kProvider = 0, kBuyer = 1 };
enum class ReputationEvent : std::uint8_t {
  kDelivered = 0,  // the throughput that was advertised
  kUptime = 1,
  kNotice = 2,  // kept, where one was due
  kPaid = 3,
  kUsed = 4,
};
std::string_view Name(ReputationEvent event);

struct ReputationRules {
  std::uint32_t quantile_ppm = 50'000;
  std::int64_t prior_microcredits = 1'000'000;  // of good and of bad that a newcomer is thought to have
  bool is_capped = true;                        // by the graph; false for worlds without deposits
};

struct ReputationFacts {
  std::int64_t good_microcredits = 0;  // decayed
  std::int64_t bad_microcredits = 0;
  std::int64_t cap_microcredits = 0;  // how much of the good may count; good if there is no cap
  std::uint32_t score_ppm = 0;
};

// A weight that decays: its value at `hour`, in 2^-20 microcredits.
struct DecayingWeight {
  UnsignedWide value = 0;
  std::int64_t hour = 0;
  bool operator==(const DecayingWeight&) const = default;
  void Add(std::int64_t microcredits, std::int64_t at_hour);
  std::int64_t At(std::int64_t now_hour) const;
};

// What a book knows of one identity, to be kept and given to another book.
struct ReputationState {
  struct Track {
    ReputationRole role = ReputationRole::kProvider;
    ReputationEvent event = ReputationEvent::kDelivered;
    DecayingWeight good;
    DecayingWeight bad;
    bool operator==(const Track&) const = default;
  };
  std::vector<Track> tracks;
  std::vector<std::pair<security::PublicKey, DecayingWeight>> payers;  // to it as a provider
  bool operator==(const ReputationState&) const = default;
};
// Of more payers, those who paid least are forgotten, which can only lower a cap.
inline constexpr std::size_t kPayersKept = 256;

class ReputationBook {
 public:
  static constexpr std::int64_t kHalfLifeHours = 30 * 24;
  // Older receipts than so many half-lives count nothing, and need not be remembered.
  static constexpr std::int64_t kHalfLivesKept = 20;

  explicit ReputationBook(ReputationRules rules = {}) : rules_(rules) {}

  // kInvalidArgument if it is out of bounds. A second receipt of the same parties, lease and time counts nothing.
  Status Add(const Receipt& receipt);
  // What somebody has brought into the market in all, less what was taken out again.
  void SetDeposited(const security::PublicKey& key, std::int64_t microcredits);

  ReputationFacts Facts(const security::PublicKey& subject, ReputationRole role, ReputationEvent event,
                        std::int64_t now_ms) const;
  // The lowest of a role's events that there are; a newcomer's if there are none.
  std::uint32_t ScorePpm(const security::PublicKey& subject, ReputationRole role, std::int64_t now_ms) const;
  ReputationState StateOf(const security::PublicKey& key) const;
  // Instead of what it knew of it.
  void SetState(const security::PublicKey& key, const ReputationState& state);

  // All of whom there are receipts.
  std::vector<security::PublicKey> Subjects(ReputationRole role) const;

 private:
  using Key = std::array<std::uint8_t, security::kKeyBytes>;
  struct Track {
    DecayingWeight good;
    DecayingWeight bad;
  };
  struct Subject {
    Key key;
    ReputationRole role;
    auto operator<=>(const Subject&) const = default;
  };
  void AddEvent(const Subject& subject, ReputationEvent event, std::int64_t weight, std::uint32_t good_ppm,
                std::int64_t hour);
  std::int64_t FlowTo(const Subject& subject, std::int64_t hour) const;
  ReputationFacts FactsOf(const Track* track, std::int64_t hour, std::int64_t cap) const;

  ReputationRules rules_;
  std::map<Subject, std::map<ReputationEvent, Track>> tracks_;
  std::map<Key, std::map<Key, DecayingWeight>> paid_;  // provider -> buyer
  std::map<Key, std::int64_t> deposited_;
  std::set<std::pair<std::int64_t, Hash>> seen_;  // receipts, by hour
  std::int64_t newest_hour_ = 0;
};

// What an ask counts by: its server's score as a part of the best one among the asks of its class, rounded up to
// tenths, and at least one. Where nobody is better known than others, all count in full.
std::uint32_t QualityPpm(std::uint32_t score_ppm, std::uint32_t best_ppm);

// Weight after so many hours, of a number in any unit: value * 2^(-hours / 720), rounded down. The same everywhere.
UnsignedWide Decayed(UnsignedWide value, std::int64_t hours);

}  // namespace accelmesh::market::ledger
