// Book: all of the market's records in memory, with what follows from them: what of each slot is free, what it costs,
// which leases end when, and sums of money. Decisions read it; what they write is applied to it at once, before the
// registry has it, and the whole book is read anew should the registry refuse.
//
// Threads: one at a time. Ownership: owns its records.
#pragma once

#include <array>
#include <map>
#include <set>
#include <span>
#include <string_view>
#include <unordered_map>

#include "market/core/records.h"
#include "protocol/base/result.h"

namespace accelmesh::market {

struct Write {
  RecordKey key;
  Record record;
};
// What a decision came to: what it writes, and what it read that must not have changed.
struct Decision {
  std::vector<Write> writes;
  std::vector<RecordKey> reads;
};

struct MoneySums {
  std::int64_t balance = 0;
  std::int64_t held = 0;
  std::int64_t bond = 0;
  std::int64_t deposited = 0;
  std::int64_t held_by_leases = 0;
  bool operator==(const MoneySums&) const = default;
  std::int64_t all() const { return balance + held + bond; }
  // Every credit there is was deposited, and what is in escrow is in escrow for a lease.
  bool balanced() const { return all() == deposited && held == held_by_leases; }
};

class Book {
 public:
  Book() = default;
  Book(Book&&) = default;
  Book& operator=(Book&&) = default;
  Book(const Book&) = delete;
  Book& operator=(const Book&) = delete;

  template <typename T>
  const T* Find(Family family, const std::string& id) const {
    const auto& places = places_[static_cast<std::size_t>(family)];
    const auto at = places.find(id);
    return at == places.end() ? nullptr : std::get_if<T>(at->second);
  }
  const SlotRecord* Slot(const std::string& id) const { return Find<SlotRecord>(Family::kSlot, id); }
  const ServerRecord* Server(const std::string& id) const { return Find<ServerRecord>(Family::kServer, id); }
  const LeaseRecord* Lease(const std::string& id) const { return Find<LeaseRecord>(Family::kLease, id); }
  const AccountRecord* Account(const std::string& id) const { return Find<AccountRecord>(Family::kAccount, id); }
  const IdentityRecord* Identity(const std::string& id) const { return Find<IdentityRecord>(Family::kIdentity, id); }
  const PriceRecord* Price(const std::string& id) const { return Find<PriceRecord>(Family::kPrice, id); }
  const ReputationRecord* Reputation(const std::string& id) const {
    return Find<ReputationRecord>(Family::kReputation, id);
  }
  std::uint64_t Epoch(const std::string& slot) const;
  const std::map<std::string, Record>& All(Family family) const { return records_[static_cast<std::size_t>(family)]; }

  void Apply(const RecordKey& key, Record record);
  void Apply(const Decision& decision) {
    for (const Write& write : decision.writes) Apply(write.key, write.record);
  }

  // The registry's revision of a record, 0 if it has none; what a transaction compares.
  std::int64_t Revision(const RecordKey& key) const;
  void Confirm(const RecordKey& key, std::int64_t revision);

  // The scheduler's view of all slots, priced, with what is free. What is withdrawn or unreachable has nothing free.
  std::span<const scheduler::Slot> slots() const { return view_; }
  const scheduler::Slot* View(const std::string& id) const;
  bool IsReachable(const scheduler::Slot& slot) const { return Server(slot.server) != nullptr; }

  // Ids; of active leases unless it says otherwise.
  const std::set<std::string>& LeasesOfSlot(const std::string& slot) const { return Group(by_slot_, slot); }
  const std::set<std::string>& LeasesOfTenant(const std::string& tenant) const { return Group(by_tenant_, tenant); }
  const std::set<std::string>& SlotsOfServer(const std::string& server) const { return Group(by_server_, server); }
  const std::set<std::pair<std::int64_t, std::string>>& ByEnd() const { return by_end_; }
  const std::set<std::pair<std::int64_t, std::string>>& Ended() const { return ended_; }
  std::size_t active_leases() const { return by_end_.size(); }
  // With an ask, and no buyer yet.
  const std::set<std::string>& Asked() const { return asked_; }

  // Of the slots of a class that can be had: thousandths let and there are.
  struct Use {
    std::uint64_t let_milli = 0;
    std::uint64_t sold_milli = 0;
    std::int64_t reserve_lowest = 0;
    bool any = false;
  };
  std::map<std::string, Use> UseByClass() const;
  // The epoch below which nothing of the slot is let any more.
  std::uint64_t Floor(const std::string& slot) const;

  const MoneySums& sums() const { return sums_; }
  // The same, added up anew.
  MoneySums CountSums() const;

 private:
  struct Let {
    std::uint64_t share_milli = 0;
    std::uint64_t memory_bytes = 0;
  };
  using Groups = std::map<std::string, std::set<std::string>>;
  static const std::set<std::string>& Group(const Groups& groups, const std::string& id);
  void Count(const RecordKey& key, const Record& record, int sign);
  // Works out anew what is free and what it costs.
  void Refresh(const std::string& slot, bool terms_too = false);
  void RefreshServer(const std::string& server);

  std::array<std::map<std::string, Record>, kFamilies> records_;
  // Where each lies in `records_`, to find it without comparing its way through a hundred thousand others.
  std::array<std::unordered_map<std::string_view, Record*>, kFamilies> places_;
  std::unordered_map<std::string, std::int64_t> revisions_;
  std::vector<scheduler::Slot> view_;
  std::unordered_map<std::string, std::size_t> place_;
  std::unordered_map<std::string, Let> let_;
  Groups by_slot_;
  Groups by_tenant_;
  Groups by_server_;  // slots
  std::set<std::pair<std::int64_t, std::string>> by_end_;
  std::set<std::pair<std::int64_t, std::string>> ended_;
  std::set<std::string> asked_;
  MoneySums sums_;
};

// What a decision is about to write: records as it has changed them so far.
class Edit {
 public:
  explicit Edit(const Book& book) : book_(book) {}

  // A copy to change; made if it is not there.
  template <typename T>
  T& Open(Family family, const std::string& id) {
    const auto [at, is_new] = writes_.try_emplace(RecordKey{family, id});
    if (is_new) {
      const T* found = book_.Find<T>(family, id);
      at->second = found != nullptr ? *found : T{};
    }
    return std::get<T>(at->second);
  }
  AccountRecord& Account(const std::string& id) { return Open<AccountRecord>(Family::kAccount, id); }
  LeaseRecord& Lease(const std::string& id) { return Open<LeaseRecord>(Family::kLease, id); }
  SlotRecord& Slot(const std::string& id) { return Open<SlotRecord>(Family::kSlot, id); }
  void Put(Family family, const std::string& id, Record record) { writes_[{family, id}] = std::move(record); }
  void Delete(Family family, const std::string& id) { writes_[{family, id}] = std::monostate{}; }
  // It must be as it was when this is written.
  void Require(Family family, const std::string& id) { reads_.insert({family, id}); }
  // One higher than any epoch of the slot before. Fails when there is none.
  Result<std::uint64_t> NextEpoch(const std::string& slot);
  // So far.
  const std::map<RecordKey, Record>& writes() const { return writes_; }
  // Records that it writes or requires so far. A transaction compares each of them, and takes only so many.
  std::size_t keys() const;
  Decision Finish();

 private:
  const Book& book_;
  std::map<RecordKey, Record> writes_;
  std::set<RecordKey> reads_;
};

}  // namespace accelmesh::market
