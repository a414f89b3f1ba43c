// What makes a gpu-server serve leases: its key, the leases that it honours, and whom it does not let in. Without it
// the server is standalone: this user's programs over shm and ipc, any process of this machine over loopback tcp.
//
// Threads: Banned is safe from any; the rest belongs to the supervisor.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "protocol/base/mutex.h"
#include "protocol/security/curve.h"
#include "server/main/lease_book.h"

namespace accelmesh {

// Connection keys that are refused before they can say anything.
class Banned {
 public:
  void Set(const std::set<std::string>& keys) {  // hexadecimal
    const MutexLock lock(mutex_);
    keys_ = keys;
  }
  bool Has(const security::CurveKey& key) const {
    const MutexLock lock(mutex_);
    return keys_.count(security::HexOf(key.bytes)) != 0;
  }

 private:
  mutable Mutex mutex_;
  std::set<std::string> keys_ ACCELMESH_GUARDED_BY(mutex_);
};

struct ServerSecurity {
  security::CurvePair pair;  // of the server's identity
  std::unique_ptr<LeaseBook> leases;
  Banned banned;
};

// Where it all comes from: the identity "server" of `keys`, made if it is not there; the highest epochs in `state`.
// `market_key`: hexadecimal, or a file with it; the market whose leases are served.
struct SecurityOptions {
  std::string keys;   // a folder; empty: $XDG_CONFIG_HOME/accelmesh/keys
  std::string state;  // a folder; empty: $XDG_STATE_HOME/accelmesh
  std::string market_key;
};
Result<std::shared_ptr<ServerSecurity>> OpenSecurity(const SecurityOptions& options);

}  // namespace accelmesh
