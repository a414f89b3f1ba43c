#include "server/main/lease_book.h"

#include <algorithm>

namespace accelmesh {
namespace {

using security::CurveKey;

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
    part.share_milli = std::max(part.share_milli, other.share_milli);
    part.memory_bytes = std::max(part.memory_bytes, other.memory_bytes);
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
  const auto known = entries_.find(lease.Key());
  if (known != entries_.end() && !known->second.ended.empty() && lease.epoch <= known->second.lease.epoch) {
    return Status(Code::kPermissionDenied, "LeaseBook", known->second.ended);
  }
  if (known == entries_.end() && entries_.size() >= kLeasesMax) {
    return Status(Code::kLimitExceeded, "LeaseBook", "the server has as many leases as it may; try another slot");
  }
  if (const std::uint64_t floor = FloorOf(lease.slot); lease.epoch < floor) {
    return Status(Code::kPermissionDenied, "LeaseBook",
                  "the lease is of epoch " + std::to_string(lease.epoch) + " of slot " + lease.slot +
                      ", which has been let anew since (" + std::to_string(floor) +
                      "); ask the market for a new lease");
  }
  const auto described = slots_.find(lease.slot);
  const Slot slot = described == slots_.end() ? Slot{} : described->second;
  if (lease.share_milli > slot.share_milli || lease.memory_bytes > slot.memory_bytes) {
    return Status(Code::kPermissionDenied, "LeaseBook",
                  "the lease is for more than slot " + lease.slot + " has; ask the market for a new one");
  }
  ACCELMESH_RETURN_IF_ERROR(MakeRoom(lease, slot));
  if (lease.sublets == 0 && lease.share_milli == slot.share_milli)
    ACCELMESH_RETURN_IF_ERROR(Fence(lease.slot, lease.epoch, "its slot was granted anew"));
  Entry& entry = entries_[lease.Key()];
  if (!entry.ended.empty()) entry = {};  // granted anew under a later epoch
  // Renewals may overtake one another.
  lease.not_after_ms = std::max(lease.not_after_ms, entry.lease.not_after_ms);
  entry.lease = lease;
  if (group.has_value()) entry.group = group;
  return lease;
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
                group_secret.empty() ? "this server serves leases only; start the program with mesh-run, which gets one"
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
  return {};
}

void LeaseBook::Revoke(const std::string& lease, const std::string& why) {
  for (auto& [key, entry] : entries_) {
    if (entry.lease.lease == lease && entry.ended.empty()) entry.ended = why;
  }
}

Status LeaseBook::Raise(const std::string& slot, std::uint64_t epoch) {
  return Fence(slot, epoch, "the market has taken it back");
}

std::vector<EndedLease> LeaseBook::Expire(std::int64_t now_ms) {
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
  return ended;
}

}  // namespace accelmesh
