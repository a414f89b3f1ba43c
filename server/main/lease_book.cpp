#include "server/main/lease_book.h"

#include <algorithm>

namespace accelmesh {
namespace {

using security::CurveKey;

// Of a lease that nobody has shown yet.
constexpr std::uint64_t kAnyEpoch = ~std::uint64_t{0};

bool IsSame(const security::SecretHash& a, const security::SecretHash& b) {
  unsigned difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

}  // namespace

LeaseBook::LeaseBook(std::string server, std::vector<security::PublicKey> markets,
                     std::unique_ptr<market::EpochFile> epochs)
    : server_(std::move(server)), markets_(std::move(markets)), epochs_(std::move(epochs)) {}

std::uint64_t LeaseBook::FloorOf(const std::string& slot) const {
  if (epochs_ != nullptr) return epochs_->Highest(slot);
  const auto floor = floors_.find(slot);
  return floor == floors_.end() ? 0 : floor->second;
}

Status LeaseBook::Fence(const std::string& slot, std::uint64_t epoch, const std::string& why) {
  if (epoch > FloorOf(slot)) {
    if (epochs_ != nullptr)
      ACCELMESH_RETURN_IF_ERROR(epochs_->Accept(slot, epoch));
    else
      floors_[slot] = epoch;
  }
  for (auto& [key, entry] : entries_) {
    if (entry.lease.slot != slot || entry.lease.epoch >= epoch || !entry.ended.empty()) continue;
    entry.ended = "lease " + entry.lease.lease + " was revoked: " + why + "; start the program again to win another";
  }
  return {};
}

Status LeaseBook::MakeRoom(const AdmittedLease& lease, const Slot& slot) {
  // By lease: it and its sublets share what it has.
  struct Part {
    std::uint64_t epoch = 0;
    std::uint32_t share_milli = 0;
    std::uint64_t memory_bytes = 0;
  };
  std::map<std::string, Part> parts;
  for (const auto& [key, entry] : entries_) {
    const AdmittedLease& other = entry.lease;
    if (other.slot != lease.slot || other.lease == lease.lease || !entry.ended.empty()) continue;
    Part& part = parts[other.lease];
    part.epoch = other.epoch;
    part.share_milli = std::max(part.share_milli, entry.whole_share_milli);
    part.memory_bytes = std::max(part.memory_bytes, entry.whole_memory_bytes);
  }
  std::vector<Part> latest_first;
  for (const auto& [name, part] : parts) latest_first.push_back(part);
  std::sort(latest_first.begin(), latest_first.end(), [](const Part& a, const Part& b) { return a.epoch > b.epoch; });
  // The latest ones stay, as many as fit; all before them go, unless one of those is later than `lease`.
  std::uint64_t share = lease.share_milli;
  std::uint64_t memory = lease.memory_bytes;
  for (const Part& part : latest_first) {
    share += part.share_milli;
    memory = memory > ~part.memory_bytes ? ~std::uint64_t{0} : memory + part.memory_bytes;
    if (share <= slot.share_milli && memory <= slot.memory_bytes) continue;
    if (part.epoch >= lease.epoch) {
      return {Code::kPermissionDenied, "LeaseBook",
              "a later grant of slot " + lease.slot + " is known, and both do not fit; ask the market for a new lease"};
    }
    return Fence(lease.slot, part.epoch + 1, "its share was granted anew");
  }
  return {};
}

Result<AdmittedLease> LeaseBook::Admit(ByteView token, const CurveKey& client_key, std::int64_t now_ms,
                                       const std::optional<security::SecretHash>& group) {
  security::LeaseCheck check;
  check.markets = markets_;
  check.server = server_;
  check.client_key = client_key;
  check.now_ms = now_ms;
  check.verified = &verified_;
  ACCELMESH_ASSIGN_OR_RETURN(const security::Lease verified, security::VerifyLease(token, check));
  AdmittedLease lease;
  lease.lease = verified.grant.lease;
  lease.slot = verified.grant.slot;
  lease.epoch = verified.grant.epoch;
  lease.share_milli = verified.terms.share_milli;
  lease.memory_bytes = verified.terms.memory_bytes;
  lease.not_after_ms = verified.terms.not_after_ms;
  lease.client_key = client_key;
  lease.sublets = verified.sublets;
  AdmittedLease whole = lease;
  whole.share_milli = verified.whole_share_milli;
  whole.memory_bytes = verified.whole_memory_bytes;
  if (const LeaseLimits::Limit* limit = limits_.Find(lease.lease, lease.epoch); limit != nullptr) {
    if (limit->share_milli == 0) return Status(Code::kPermissionDenied, "LeaseBook", limit->why);
    for (AdmittedLease* one : {&lease, &whole}) {
      one->share_milli = std::min(one->share_milli, limit->share_milli);
      one->memory_bytes = std::min(one->memory_bytes, limit->memory_bytes);
    }
  }
  const Sum others = SubletsOf(lease.lease, lease.Key());
  const std::uint64_t share_with_others = others.share_milli + (lease.sublets > 0 ? lease.share_milli : 1);
  if (share_with_others > whole.share_milli ||
      (lease.sublets > 0 && others.memory_bytes + lease.memory_bytes > whole.memory_bytes)) {
    return Status(Code::kPermissionDenied, "LeaseBook",
                  "lease " + lease.lease + " has " + std::to_string(whole.share_milli) + " thousandths and " +
                      std::to_string(whole.memory_bytes) + " bytes, of which " + std::to_string(others.share_milli) +
                      " and " + std::to_string(others.memory_bytes) + " are let on already; ask its holder for less");
  }
  const auto known = entries_.find(lease.Key());
  if (known != entries_.end() && !known->second.ended.empty() && lease.epoch <= known->second.lease.epoch) {
    return Status(Code::kPermissionDenied, "LeaseBook", known->second.ended);
  }
  if (known == entries_.end() && entries_.size() >= kLeasesMax) {
    return Status(Code::kLimitExceeded, "LeaseBook", "the server has as many leases as it may; try another slot");
  }
  // Sublets cost nothing; leases of the market's always find room beside them.
  if (known == entries_.end() && lease.sublets > 0 && entries_.size() >= kSubletsUpTo) {
    return Status(Code::kLimitExceeded, "LeaseBook",
                  "the server has as many leases as it may with sublets among them; use the lease itself");
  }
  if (known == entries_.end() && HoldersOf(lease.lease) >= kHoldersMax) {
    return Status(Code::kLimitExceeded, "LeaseBook",
                  "lease " + lease.lease + " was let on to " + std::to_string(kHoldersMax) +
                      " holders already; ask the market for a lease of its own");
  }
  if (const std::uint64_t floor = FloorOf(lease.slot); lease.epoch < floor) {
    return Status(Code::kPermissionDenied, "LeaseBook",
                  "the lease is of epoch " + std::to_string(lease.epoch) + " of slot " + lease.slot +
                      ", which has been let anew since (" + std::to_string(floor) +
                      "); ask the market for a new lease");
  }
  const auto described = slots_.find(lease.slot);
  const Slot slot = described == slots_.end() ? Slot{} : described->second;
  if (whole.share_milli > slot.share_milli || whole.memory_bytes > slot.memory_bytes) {
    return Status(Code::kPermissionDenied, "LeaseBook",
                  "the lease is for more than slot " + lease.slot + " has; ask the market for a new one");
  }
  if (const security::LeaseRest& rest = verified.grant.rest; !rest.lease.empty()) {
    Shrink(rest, "lease " + rest.lease + " was sold by its holder; start the program again to win another");
  }
  ACCELMESH_RETURN_IF_ERROR(MakeRoom(whole, slot));
  if (lease.sublets == 0 && whole.share_milli == slot.share_milli)
    ACCELMESH_RETURN_IF_ERROR(Fence(lease.slot, lease.epoch, "its slot was granted anew"));
  Entry& entry = entries_[lease.Key()];
  if (!entry.ended.empty()) entry = {};  // granted anew under a later epoch
  // Renewals may overtake one another.
  lease.not_after_ms = std::max(lease.not_after_ms, entry.lease.not_after_ms);
  if (entry.lease.share_milli != lease.share_milli || entry.lease.memory_bytes != lease.memory_bytes)
    changed_.insert(lease.Key());
  entry.lease = lease;
  entry.whole_share_milli = whole.share_milli;
  entry.whole_memory_bytes = whole.memory_bytes;
  if (group.has_value()) entry.group = group;
  Divide(lease.lease);
  return entry.lease;
}

LeaseBook::Sum LeaseBook::SubletsOf(const std::string& lease, const std::string& but) const {
  Sum sum;
  const std::string prefix = lease + "/";
  for (auto at = entries_.lower_bound(prefix); at != entries_.end() && at->first.starts_with(prefix); ++at) {
    const Entry& entry = at->second;
    if (entry.lease.sublets == 0 || !entry.ended.empty() || at->first == but) continue;
    sum.share_milli += entry.lease.share_milli;
    sum.memory_bytes += entry.lease.memory_bytes;
  }
  return sum;
}

void LeaseBook::Divide(const std::string& lease) {
  const Sum sublets = SubletsOf(lease);
  const std::string prefix = lease + "/";
  for (auto at = entries_.lower_bound(prefix); at != entries_.end() && at->first.starts_with(prefix); ++at) {
    Entry& entry = at->second;
    if (entry.lease.sublets != 0 || !entry.ended.empty()) continue;
    // Sessions that run keep a little of it.
    const auto left = [](std::uint64_t all, std::uint64_t gone) { return all - std::min(all, gone); };
    const auto share =
        static_cast<std::uint32_t>(std::max<std::uint64_t>(1, left(entry.whole_share_milli, sublets.share_milli)));
    const std::uint64_t memory = left(entry.whole_memory_bytes, sublets.memory_bytes);
    if (share == entry.lease.share_milli && memory == entry.lease.memory_bytes) continue;
    entry.lease.share_milli = share;
    entry.lease.memory_bytes = memory;
    changed_.insert(at->first);
  }
}

Result<AdmittedLease> LeaseBook::AdmitBySecret(std::string_view group_secret, std::int64_t now_ms) const {
  const security::SecretHash hash = security::HashOfSecret(AsBytes(group_secret));
  for (const auto& [key, entry] : entries_) {
    if (group_secret.empty()) break;
    if (!entry.group.has_value() || !IsSame(*entry.group, hash)) continue;
    if (!entry.ended.empty()) return Status(Code::kPermissionDenied, "LeaseBook", entry.ended);
    if (now_ms >= entry.lease.not_after_ms) continue;
    return entry.lease;
  }
  return Status(Code::kPermissionDenied, "LeaseBook",
                group_secret.empty()
                    ? "this server serves leases only; start the program with mesh-run without --server, "
                      "which gets one of the market"
                    : "no lease that this server knows, or one that has ended; start the program with "
                      "mesh-run again");
}

const AdmittedLease* LeaseBook::Find(const std::string& key) const {
  const auto entry = entries_.find(key);
  return entry == entries_.end() || !entry->second.ended.empty() ? nullptr : &entry->second.lease;
}

Status LeaseBook::End(const std::string& lease, const CurveKey& holder) {
  AdmittedLease name;
  name.lease = lease;
  name.client_key = holder;
  const auto entry = entries_.find(name.Key());
  if (entry == entries_.end()) {
    return {Code::kNotFound, "LeaseBook::End",
            "this key holds no lease of that name here; it may have ended by itself"};
  }
  if (entry->second.ended.empty()) entry->second.ended = "lease " + lease + " was given back by its holder";
  Divide(lease);
  return {};
}

std::size_t LeaseBook::HoldersOf(const std::string& lease) const {
  std::size_t holders = 0;
  const std::string prefix = lease + "/";
  for (auto at = entries_.lower_bound(prefix); at != entries_.end() && at->first.starts_with(prefix); ++at) ++holders;
  return holders;
}

void LeaseBook::Revoke(const std::string& lease, const std::string& why, std::uint64_t epoch) {
  for (auto& [key, entry] : entries_) {
    if (entry.lease.lease != lease) continue;
    epoch = std::max(epoch, entry.lease.epoch);
    if (entry.ended.empty()) entry.ended = why;
  }
  if (epoch != 0) limits_.Add(lease, {epoch, 0, 0, why});
}

void LeaseBook::Shrink(const security::LeaseRest& rest, const std::string& why) {
  if (rest.share_milli == 0) return Revoke(rest.lease, why, kAnyEpoch);
  limits_.Add(rest.lease, {kAnyEpoch, rest.share_milli, rest.memory_bytes, why});
  for (auto& [key, entry] : entries_) {
    AdmittedLease& lease = entry.lease;
    if (lease.lease != rest.lease || !entry.ended.empty()) continue;
    entry.whole_share_milli = std::min(entry.whole_share_milli, rest.share_milli);
    entry.whole_memory_bytes = std::min(entry.whole_memory_bytes, rest.memory_bytes);
    if (lease.share_milli <= rest.share_milli && lease.memory_bytes <= rest.memory_bytes) continue;
    lease.share_milli = std::min(lease.share_milli, rest.share_milli);
    lease.memory_bytes = std::min(lease.memory_bytes, rest.memory_bytes);
    changed_.insert(key);
  }
}

std::vector<AdmittedLease> LeaseBook::TakeChanged() {
  std::vector<AdmittedLease> changed;
  for (const std::string& key : changed_) {
    const auto entry = entries_.find(key);
    if (entry != entries_.end() && entry->second.ended.empty()) changed.push_back(entry->second.lease);
  }
  changed_.clear();
  return changed;
}

Status LeaseBook::Raise(const std::string& slot, std::uint64_t epoch) {
  return Fence(slot, epoch, "the market has taken it back");
}

std::vector<EndedLease> LeaseBook::Expire(std::int64_t now_ms) {
  limits_.Forget(now_ms);
  std::vector<EndedLease> ended;
  for (auto at = entries_.begin(); at != entries_.end();) {
    Entry& entry = at->second;
    const bool is_over = now_ms >= entry.lease.not_after_ms;
    if (is_over && entry.ended.empty()) {
      entry.ended = "lease " + entry.lease.lease +
                    " has ended at its time and was not renewed; let mesh-run renew it, or start the program again";
    } else if (entry.ended.empty() || entry.told) {
      // Kept until its token has ended too, so that it is not let in again.
      at = is_over && entry.told ? entries_.erase(at) : std::next(at);
      continue;
    }
    entry.told = true;
    ended.push_back({entry.lease, entry.ended});
    ++at;
  }
  for (const EndedLease& one : ended) {
    if (one.lease.sublets != 0) Divide(one.lease.lease);
  }
  return ended;
}

}  // namespace accelmesh
