#include "market/slot_market/doorkeeper.h"

#include <sys/stat.h>

namespace accelmesh::market {
namespace {

// A flood of strangers makes the folder be read no more often. A program of this user makes its identity at first use
// and comes at once: that changes the folder, which is read then.
constexpr auto kReadAgain = std::chrono::milliseconds(200);

std::optional<security::CurveKey> CurveOf(const std::string& identity) {
  security::PublicKey key;
  if (!security::ParseHex(identity, key.bytes).ok()) return std::nullopt;
  Result<security::CurveKey> curve = security::CurveKeyOf(key);
  if (!curve.ok()) return std::nullopt;
  return *curve;
}

}  // namespace

void Doorkeeper::Set(const std::map<std::string, Record>& identities) {
  const MutexLock lock(mutex_);
  known_.clear();
  banned_.clear();
  for (const auto& [identity, record] : identities) {
    const std::optional<security::CurveKey> curve = CurveOf(identity);
    if (!curve) continue;
    (std::get<IdentityRecord>(record).is_banned ? banned_ : known_)[curve->bytes] = identity;
  }
}

void Doorkeeper::ReadFolder() {
  const Instant now = Clock::now();
  struct stat facts{};
  const std::int64_t changed =
      ::stat(folder_.c_str(), &facts) == 0 ? facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec : 0;
  if (read_ != Instant{} && changed == folder_changed_ && now - read_ < kReadAgain) return;
  read_ = now;
  folder_changed_ = changed;
  const Result<std::vector<security::IdentityFacts>> all = security::KeyFolder(folder_).List();
  if (!all.ok()) return;
  local_.clear();
  local_keys_.clear();
  for (const security::IdentityFacts& one : *all) {
    if (!one.fault.empty() || one.is_old) continue;
    const std::string identity = security::HexOf(one.public_key.bytes);
    const std::optional<security::CurveKey> curve = CurveOf(identity);
    if (!curve) continue;
    IdentityRecord record;
    record.name = one.name;
    switch (one.role) {
      case security::Role::kTenant: record.role = MarketRole::kTenant; break;
      case security::Role::kProvider: record.role = MarketRole::kProvider; break;
      case security::Role::kAdmin: record.role = MarketRole::kAdmin; break;
      case security::Role::kWitness: record.role = MarketRole::kWitness; break;
    }
    local_[identity] = record;
    local_keys_[curve->bytes] = identity;
  }
}

Result<std::string> Doorkeeper::Lookup(const security::CurveKey& key) {
  const MutexLock lock(mutex_);
  if (const auto banned = banned_.find(key.bytes); banned != banned_.end()) {
    return Status(Code::kPermissionDenied, "slot-market", "identity " + banned->second + " is banned");
  }
  if (const auto known = known_.find(key.bytes); known != known_.end()) return known->second;
  if (!local_keys_.contains(key.bytes)) ReadFolder();
  if (const auto local = local_keys_.find(key.bytes); local != local_keys_.end()) return local->second;
  return Status(Code::kPermissionDenied, "slot-market",
                "nobody knows this key; an admin lets its owner in with: slotctl keys trust HEX --role R --name N");
}

std::optional<IdentityRecord> Doorkeeper::Local(const std::string& identity) {
  const MutexLock lock(mutex_);
  auto at = local_.find(identity);
  if (at == local_.end()) {
    ReadFolder();
    at = local_.find(identity);
  }
  return at == local_.end() ? std::nullopt : std::optional(at->second);
}

}  // namespace accelmesh::market
