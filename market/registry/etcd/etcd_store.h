// EtcdStore: the registry in etcd, for more than one machine. A thin client: every request goes to one member over
// gRPC; when that member cannot be reached or has no leader, to the next. What may have been applied is never sent
// again.
//
// Not yet: TLS (https URLs are refused by name). Old revisions are etcd's to compact (--auto-compaction-retention).
#pragma once

#include "market/registry/registry.h"

namespace accelmesh::registry {

struct EtcdOptions {
  std::vector<std::string> endpoints;  // "host:port"
  Duration connect = std::chrono::seconds(5);
  std::size_t requests_max = 4096;  // under way; more are answered with kFull
};

// "http://host:port,http://host:port"
Result<std::vector<std::string>> ParseEtcdUrls(std::string_view urls);

class EtcdStore : public Registry {
 public:
  // Forgets the changes up to `revision`, for all clients.
  virtual void Compact(Revision revision, Instant deadline, Done<Revision> done) = 0;
  // What etcd calls itself.
  virtual const std::string& version() const = 0;
};

// Waits until a member answers. Warns of versions with known faults.
Result<std::unique_ptr<EtcdStore>> OpenEtcdStore(EtcdOptions options);

}  // namespace accelmesh::registry
