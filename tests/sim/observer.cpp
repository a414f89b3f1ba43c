#include "tests/sim/observer.h"

#include <algorithm>

namespace accelmesh::market {

void Observer::Fault(registry::Revision revision, const std::string& what) {
  if (faults_.size() < 10) faults_.push_back("revision " + std::to_string(revision) + ": " + what);
}

void Observer::Read() {
  registry_->Snapshot("/", sim_.now() + std::chrono::seconds(5), [this](Result<registry::SnapshotResult> snapshot) {
    if (!snapshot.ok()) {
      sim_.At(sim_.now() + std::chrono::milliseconds(50), [this] { Read(); });
      return;
    }
    std::map<std::string, LeaseRecord> before = std::move(leases_);
    leases_.clear();
    accounts_.clear();
    slots_.clear();
    there_.clear();
    for (const registry::Entry& entry : snapshot->entries) Apply(entry, false);
    // Between two readings one may have ended and been forgotten: it is as it was seen last.
    for (const auto& [id, lease] : before) {
      if (!leases_.contains(id)) forgotten_[id] = lease;
    }
    Check(snapshot->revision);
    watch_ = registry_->Watch("/", snapshot->revision + 1, [this](Result<registry::Change> change) {
      if (!change.ok()) {
        sim_.At(sim_.now() + std::chrono::milliseconds(50), [this] { Read(); });
        return;
      }
      // A leader's pulse is no record.
      if (std::ranges::none_of(change->events,
                               [](const auto& event) { return ParsePath(event.entry.key).has_value(); }))
        return;
      std::set<std::string> losses;
      for (const registry::Event& event : change->events) {
        if (event.kind == registry::Event::Kind::kPut) {
          Apply(event.entry, true);
          continue;
        }
        const auto key = ParsePath(event.entry.key);
        if (!key) continue;
        if (key->family == Family::kLease) Forget(key->id, change->revision);
        if (key->family == Family::kAccount) Fault(change->revision, "an account was deleted");
        if (key->family == Family::kSlot) slots_.erase(key->id);
        if (key->family == Family::kServer) there_.erase(key->id);
        if (key->family == Family::kLoss) losses.insert(key->id);
      }
      // It has come back, or its bond is its owner's again.
      for (const std::string& server : losses) {
        if (there_.contains(server)) continue;
        ++gone_;
        const auto account = accounts_.find(server);
        if (account != accounts_.end() && account->second.bond != 0) {
          Fault(change->revision, "a server is gone for good and its bond is still there");
        }
      }
      Check(change->revision);
    });
  });
}

void Observer::Forget(const std::string& id, registry::Revision revision) {
  const auto lease = leases_.find(id);
  if (lease == leases_.end()) return;
  if (lease->second.state == LeaseState::kActive) Fault(revision, "lease " + id + " was deleted while it ran");
  forgotten_[id] = lease->second;
  leases_.erase(lease);
}

void Observer::Apply(const registry::Entry& entry, bool is_new) {
  const auto key = ParsePath(entry.key);
  if (!key) return;
  Result<Record> record = DecodeRecord(*key, entry.value);
  if (!record.ok()) return Fault(entry.mod_revision, record.status().text());
  if (const auto* lease = std::get_if<LeaseRecord>(&*record)) {
    // Leases of one transaction come in the order of their names; later ones are newer.
    const auto before = leases_.find(key->id);
    // One that was bought begins with an epoch of its own, and may have ended in the same transaction.
    const bool begins = before != leases_.end() && before->second.state == LeaseState::kPending &&
                        (lease->state == LeaseState::kActive || lease->epoch != before->second.epoch);
    if (is_new && (entry.version == 1 || begins)) {
      if (lease->epoch <= epochs_[lease->slot] || !begun_[lease->slot].insert(lease->epoch).second) {
        Fault(entry.mod_revision, "lease " + key->id + " has epoch " + std::to_string(lease->epoch) + " of " +
                                      lease->slot + ", which has been let with that or a later one");
      }
    } else {
      epochs_[lease->slot] = std::max(epochs_[lease->slot], lease->epoch);
    }
    if (lease->state != LeaseState::kActive && lease->state != LeaseState::kPending)
      ended_[key->id] = Name(lease->state);
    if (lease->state == LeaseState::kActive && ended_.contains(key->id)) {
      Fault(entry.mod_revision, "lease " + key->id + " was " + ended_[key->id] + " and runs again");
    }
    leases_[key->id] = *lease;
  } else if (const auto* account = std::get_if<AccountRecord>(&*record)) {
    const auto known = accounts_.find(key->id);
    if (known != accounts_.end() && account->deposited < known->second.deposited) {
      Fault(entry.mod_revision, "a deposit was lost");
    }
    accounts_[key->id] = *account;
  } else if (const auto* slot = std::get_if<SlotRecord>(&*record)) {
    slots_[key->id] = *slot;
  } else if (key->family == Family::kServer) {
    there_.insert(key->id);
  }
}

void Observer::Check(registry::Revision revision) {
  ++revisions_;
  for (const auto& [slot, epochs] : begun_) epochs_[slot] = std::max(epochs_[slot], *epochs.rbegin());
  begun_.clear();
  std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> let;
  std::map<std::string, std::int64_t> held;
  for (const auto& [id, lease] : leases_) {
    held[lease.tenant] += lease.held;
    if (lease.held < 0) Fault(revision, "lease " + id + " holds less than nothing");
    if (lease.refunded > 2 * lease.paid && lease.state != LeaseState::kServerLost) {
      Fault(revision, "lease " + id + " was refunded more than can be");
    }
    // What is bought and has not begun holds all of its price, and has no part of its slot.
    if (lease.state == LeaseState::kPending) {
      const auto seller = leases_.find(lease.bought.from);
      if (seller == leases_.end() || seller->second.state != LeaseState::kActive || seller->second.successor != id) {
        Fault(revision, "lease " + id + " is pending, and no lease that runs makes room for it");
      }
      continue;
    }
    if (lease.state != LeaseState::kActive) {
      if (lease.held != 0) Fault(revision, "lease " + id + " has ended and holds credits");
      continue;
    }
    let[lease.slot].first += lease.share_milli;
    let[lease.slot].second += lease.memory_bytes;
  }
  for (const auto& [id, sums] : let) {
    const auto slot = slots_.find(id);
    if (slot == slots_.end()) {
      Fault(revision, "slot " + id + " is gone and let");
      continue;
    }
    if (sums.first > slot->second.slot.share_milli) {
      Fault(revision, "slot " + id + " is let " + std::to_string(sums.first) + " thousandths");
    }
    if (sums.second > slot->second.slot.memory_bytes) {
      Fault(revision, "slot " + id + " has " + std::to_string(sums.second) + " bytes let");
    }
  }
  std::int64_t owned = 0;
  std::int64_t deposited = 0;
  for (const auto& [id, account] : accounts_) {
    if (account.balance < 0 || account.held < 0 || account.bond < 0) Fault(revision, "an account is below nothing");
    if (account.held != held[id]) Fault(revision, "an account holds in escrow what its leases do not");
    owned += account.balance + account.held + account.bond;
    deposited += account.deposited;
  }
  if (owned != deposited) {
    Fault(revision,
          "the credits are " + std::to_string(owned) + " and " + std::to_string(deposited) + " were deposited");
  }
}

}  // namespace accelmesh::market
