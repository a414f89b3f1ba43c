// Doorkeeper: who may connect to the market. Identities of the registry that are not banned, and those of the key
// folder of the market's own user, so that one user's programs need no setup; nobody else.
//
// Threads: Set() from the desk's; Lookup() from the ZAP handler's; Local() from both.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "market/core/book.h"
#include "protocol/base/clock.h"
#include "protocol/base/mutex.h"
#include "protocol/security/curve.h"
#include "protocol/security/key_file.h"

namespace accelmesh::market {

class Doorkeeper {
 public:
  explicit Doorkeeper(std::string folder) : folder_(std::move(folder)) {}

  // What the registry knows.
  void Set(const std::map<std::string, Record>& identities);
  // The identity of a connection's key, as hexadecimal; or why it may not come in.
  Result<std::string> Lookup(const security::CurveKey& key);
  // Of this user's keys.
  std::optional<IdentityRecord> Local(const std::string& identity);

 private:
  void ReadFolder() ACCELMESH_REQUIRES(mutex_);

  const std::string folder_;
  Mutex mutex_;
  std::map<std::array<std::uint8_t, security::kKeyBytes>, std::string> known_ ACCELMESH_GUARDED_BY(mutex_);
  std::map<std::array<std::uint8_t, security::kKeyBytes>, std::string> banned_ ACCELMESH_GUARDED_BY(mutex_);
  std::map<std::string, IdentityRecord> local_ ACCELMESH_GUARDED_BY(mutex_);
  std::map<std::array<std::uint8_t, security::kKeyBytes>, std::string> local_keys_ ACCELMESH_GUARDED_BY(mutex_);
  Instant read_ ACCELMESH_GUARDED_BY(mutex_);
  std::int64_t folder_changed_ ACCELMESH_GUARDED_BY(mutex_) = 0;
};

}  // namespace accelmesh::market
