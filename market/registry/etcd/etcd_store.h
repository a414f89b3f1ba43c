// EtcdStore: the registry in etcd, for more than one machine. A thin client: every request goes to one member over
// gRPC; when that member cannot be reached or has no leader, to the next. What may have been applied is never sent
// again.
//
// https is mutual TLS, as the user that the certificate names. Old revisions are etcd's to compact
// (--auto-compaction-retention).
#pragma once

#include "market/registry/registry.h"

namespace accelmesh::registry {

// PEM files.
struct EtcdTls {
  std::string ca_file;
  std::string certificate_file;  // its common name is the user of etcd's roles
  std::string key_file;          // nobody else may read it
};

struct EtcdOptions {
  std::vector<std::string> endpoints;  // "host:port"
  std::optional<EtcdTls> tls;
  // Before every key in etcd, so that roles can be given the keys of one registry and several share a cluster. Empty,
  // or at most kEtcdPrefixBytesMax, beginning and not ending with '/'.
  std::string prefix;
  Duration connect = std::chrono::seconds(5);
  std::size_t requests_max = 4096;  // under way; more are answered with kFull
};

inline constexpr std::size_t kEtcdPrefixBytesMax = 128;

struct EtcdUrls {
  std::vector<std::string> endpoints;
  bool tls = false;
};
// "https://host:port,https://host:port", or http for all of them.
Result<EtcdUrls> ParseEtcdUrls(std::string_view urls);

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
