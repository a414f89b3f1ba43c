#include "market/core/book.h"

#include <algorithm>
#include <limits>

namespace accelmesh::market {

const std::set<std::string>& Book::Group(const Groups& groups, const std::string& id) {
  static const std::set<std::string> none;
  const auto at = groups.find(id);
  return at == groups.end() ? none : at->second;
}

std::uint64_t Book::Epoch(const std::string& slot) const {
  const auto* record = Find<EpochRecord>(Family::kEpoch, slot);
  return record != nullptr ? record->epoch : 0;
}

const scheduler::Slot* Book::View(const std::string& id) const {
  const auto at = place_.find(id);
  return at == place_.end() ? nullptr : &view_[at->second];
}

std::int64_t Book::Revision(const RecordKey& key) const {
  const auto at = revisions_.find(PathOf(key));
  return at == revisions_.end() ? 0 : at->second;
}

void Book::Confirm(const RecordKey& key, std::int64_t revision) {
  if (revision == 0) {
    revisions_.erase(PathOf(key));
  } else {
    revisions_[PathOf(key)] = revision;
  }
}

namespace {

void Enter(std::map<std::string, std::set<std::string>>& groups, const std::string& group, const std::string& id,
           int sign) {
  if (sign > 0) {
    groups[group].insert(id);
    return;
  }
  const auto at = groups.find(group);
  if (at == groups.end()) return;
  at->second.erase(id);
  if (at->second.empty()) groups.erase(at);
}

}  // namespace

// Adds (1) or takes away (-1) what a record counts for.
void Book::Count(const RecordKey& key, const Record& record, int sign) {
  if (const auto* account = std::get_if<AccountRecord>(&record)) {
    sums_.balance += sign * account->balance;
    sums_.held += sign * account->held;
    sums_.bond += sign * account->bond;
    sums_.deposited += sign * account->deposited;
  } else if (const auto* slot = std::get_if<SlotRecord>(&record)) {
    Enter(by_server_, slot->slot.server, key.id, sign);
  } else if (const auto* lease = std::get_if<LeaseRecord>(&record)) {
    sums_.held_by_leases += sign * lease->held;
    if (lease->state == LeaseState::kPending) return;
    if (lease->state != LeaseState::kActive) {
      const std::pair ended{lease->ended_ms, key.id};
      if (sign > 0) {
        ended_.insert(ended);
      } else {
        ended_.erase(ended);
      }
      return;
    }
    Let& let = let_[lease->slot];
    const std::pair end{lease->not_after_ms, key.id};
    if (lease->ask.is_posted && lease->successor.empty()) {
      if (sign > 0) {
        asked_.insert(key.id);
      } else {
        asked_.erase(key.id);
      }
    }
    if (sign > 0) {
      let.share_milli += lease->share_milli;
      let.memory_bytes += lease->memory_bytes;
      by_end_.insert(by_end_.end(), end);
    } else {
      let.share_milli -= lease->share_milli;
      let.memory_bytes -= lease->memory_bytes;
      by_end_.erase(end);
    }
    Enter(by_slot_, lease->slot, key.id, sign);
    Enter(by_tenant_, lease->tenant, key.id, sign);
  }
}

void Book::Apply(const RecordKey& key, Record record) {
  auto& records = records_[static_cast<std::size_t>(key.family)];
  auto& places = places_[static_cast<std::size_t>(key.family)];
  const auto old = places.find(key.id);
  std::string slot;
  if (old != places.end()) {
    Count(key, *old->second, -1);
    if (const auto* lease = std::get_if<LeaseRecord>(old->second)) slot = lease->slot;
  }
  Count(key, record, 1);
  if (const auto* lease = std::get_if<LeaseRecord>(&record)) slot = lease->slot;
  if (std::holds_alternative<std::monostate>(record)) {
    if (old != places.end()) {
      places.erase(old);
      records.erase(key.id);
    }
  } else if (old != places.end()) {
    *old->second = std::move(record);
  } else {
    const auto at = records.emplace(key.id, std::move(record)).first;
    places.emplace(at->first, &at->second);
  }
  switch (key.family) {
    case Family::kSlot: Refresh(key.id, true); break;
    case Family::kLease: Refresh(slot); break;
    case Family::kServer: RefreshServer(key.id); break;
    case Family::kPrice: {
      std::vector<std::string> ids;
      for (const auto& [id, entry] : All(Family::kSlot)) {
        if (std::get<SlotRecord>(entry).class_name() == key.id) ids.push_back(id);
      }
      for (const std::string& id : ids) Refresh(id);
      break;
    }
    case Family::kAccount:
    case Family::kIdentity:
    case Family::kEpoch:
    case Family::kReport:
    case Family::kReputation:
    case Family::kBudget:
    case Family::kLoss: break;
  }
}

void Book::RefreshServer(const std::string& server) {
  for (const std::string& slot : SlotsOfServer(server)) Refresh(slot);
}

void Book::Refresh(const std::string& id, bool terms_too) {
  const SlotRecord* record = Slot(id);
  const auto at = place_.find(id);
  if (record == nullptr) {
    if (at == place_.end()) return;
    const std::size_t place = at->second;
    place_.erase(at);
    if (place + 1 != view_.size()) {
      view_[place] = std::move(view_.back());
      place_[view_[place].id] = place;
    }
    view_.pop_back();
    return;
  }
  const std::size_t place = at != place_.end() ? at->second : view_.size();
  if (at == place_.end()) {
    view_.push_back(record->slot);
    place_[id] = place;
  }
  scheduler::Slot& slot = view_[place];
  if (terms_too && at != place_.end()) slot = record->slot;
  const auto let = let_.find(id);
  const Let taken = let != let_.end() ? let->second : Let{};
  const bool is_there = Server(record->slot.server) != nullptr && !record->is_withdrawn;
  slot.share_milli_free = is_there && taken.share_milli < slot.share_milli
                              ? slot.share_milli - static_cast<std::uint32_t>(taken.share_milli)
                              : 0;
  slot.memory_bytes_free =
      is_there && taken.memory_bytes < slot.memory_bytes ? slot.memory_bytes - taken.memory_bytes : 0;
  slot.is_draining = record->is_draining || record->is_withdrawn;
  const PriceRecord* price = Price(record->class_name());
  slot.price_microcredits_per_hour = std::max(record->reserve_price, price != nullptr ? price->price_per_hour : 0);
}

std::map<std::string, Book::Use> Book::UseByClass() const {
  std::map<std::string, Use> uses;
  for (const auto& [id, entry] : All(Family::kSlot)) {
    const auto& record = std::get<SlotRecord>(entry);
    if (record.is_draining || record.is_withdrawn || Server(record.slot.server) == nullptr) continue;
    Use& use = uses[record.class_name()];
    const auto let = let_.find(id);
    use.let_milli += let != let_.end() ? let->second.share_milli : 0;
    use.sold_milli += record.slot.share_milli;
    use.reserve_lowest = use.any ? std::min(use.reserve_lowest, record.reserve_price) : record.reserve_price;
    use.any = true;
  }
  return uses;
}

std::uint64_t Book::Floor(const std::string& slot) const {
  std::uint64_t lowest = Epoch(slot) + 1;
  for (const std::string& id : LeasesOfSlot(slot)) lowest = std::min(lowest, Lease(id)->epoch);
  return lowest;
}

MoneySums Book::CountSums() const {
  MoneySums sums;
  for (const auto& [id, entry] : All(Family::kAccount)) {
    const auto& account = std::get<AccountRecord>(entry);
    sums.balance += account.balance;
    sums.held += account.held;
    sums.bond += account.bond;
    sums.deposited += account.deposited;
  }
  for (const auto& [id, entry] : All(Family::kLease)) sums.held_by_leases += std::get<LeaseRecord>(entry).held;
  return sums;
}

Result<std::uint64_t> Edit::NextEpoch(const std::string& slot) {
  EpochRecord& record = Open<EpochRecord>(Family::kEpoch, slot);
  if (record.epoch == std::numeric_limits<std::uint64_t>::max()) {
    return Status(Code::kLimitExceeded, "market::NextEpoch", "no epoch is left; register the slot under another name");
  }
  return ++record.epoch;
}

std::size_t Edit::keys() const {
  const auto is_read_only = [this](const RecordKey& key) { return !writes_.contains(key); };
  return writes_.size() + static_cast<std::size_t>(std::count_if(reads_.begin(), reads_.end(), is_read_only));
}

Decision Edit::Finish() {
  Decision decision;
  for (auto& [key, record] : writes_) decision.writes.push_back({key, std::move(record)});
  for (const RecordKey& key : reads_) {
    if (!writes_.contains(key)) decision.reads.push_back(key);
  }
  return decision;
}

}  // namespace accelmesh::market
