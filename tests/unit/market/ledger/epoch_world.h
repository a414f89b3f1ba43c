// A small market that trades through a ledger: tenants who sign orders as real ones do, epochs that are sealed, cleared
// and recorded. The same seed makes the same ledger.
#pragma once

#include <map>
#include <random>
#include <set>

#include "market/ledger/ledger.h"
#include "market/ledger/promise.h"
#include "market/ledger/verify_folder.h"

namespace accelmesh::market::ledger {

class EpochWorld {
 public:
  static constexpr const char* kOrigin = "market.example/log";
  static constexpr std::int64_t kStartMs = 1'790'000'000'000;

  EpochWorld(std::unique_ptr<Store> store, std::uint64_t seed, const std::string& origin = kOrigin);
  ~EpochWorld();

  // Posts asks of some leases.
  void PostAsks(int count);
  // One epoch with so many bids and gangs. What was recorded, for those who look at it.
  EpochRecord RunEpoch(int bids, int gangs = 0);
  // What RunEpoch() makes, before it is recorded.
  EpochRecord MakeEpoch(int bids, int gangs);
  void AppendReceipt();
  // Whoever delivers, by turns: the first two parties, with these scores; what asks count by follows, and the outcome.
  static void GiveScores(EpochRecord& record, std::uint32_t first, std::uint32_t second);
  SignedOrder MakeBid(std::size_t tenant);
  // Takes a bid for the next epochs, as a market does that gives promises: where it is in the log.
  std::uint64_t TakeBid(std::size_t tenant);
  Promise PromiseOf(std::uint64_t index) const;
  // From now on records have all orders that are due; of those taken, each epoch leaves these out for such a reason,
  // and does not have those at all.
  bool has_promises = false;
  std::map<std::uint64_t, LeftOut> leaves_out;
  std::set<std::uint64_t> drops;

  Ledger& ledger() { return *ledger_; }
  FolderCheck check() const;
  const std::string& market() const { return market_; }
  // Of the record that was made last, as a verifier reads them.
  std::vector<SealedOrder> SealedOrders(const EpochRecord& record);
  Seal SealOf(const EpochRecord& record);
  const security::SigningKey& tenant(std::size_t i) const { return tenants_[i]; }
  std::int64_t Now() const { return kStartMs + 250 * static_cast<std::int64_t>(number_); }

 private:
  struct Standing {
    PostedOrder posted;
    SignedOrder order;
  };
  std::uint64_t Random(std::uint64_t least, std::uint64_t most) { return least + random_() % (most - least + 1); }

  std::mt19937_64 random_;
  std::unique_ptr<Ledger> ledger_;
  std::string market_;
  std::vector<security::SigningKey> tenants_;
  std::vector<Standing> asks_;
  std::vector<Standing> taken_;
  std::uint64_t number_ = 0;
  std::uint64_t operations_ = 0;
  std::int64_t credits_ = 5'000'000;
};

}  // namespace accelmesh::market::ledger
