// Members of etcd on loopback, each a process of its own with its own folder; ended by pid.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "market/registry/etcd/etcd_store.h"
#include "tests/conformance/registry/cut_proxy.h"

namespace accelmesh::registry {

class EtcdCluster {
 public:
  // Throws what is wrong if the members do not start. `folder` is on the disk that is to be tested.
  EtcdCluster(std::size_t members, std::string folder) : EtcdCluster(members, std::move(folder), false) {}
  // With mutual TLS, and a user "market" who may touch what begins with kRolePrefix only.
  static EtcdCluster WithRoles(std::size_t members, std::string folder) {
    return EtcdCluster(members, std::move(folder), true);
  }
  // Whose members talk to one another over a network that can be cut.
  static EtcdCluster WithNetwork(std::size_t members, std::string folder) {
    return EtcdCluster(members, std::move(folder), false, true);
  }
  static constexpr char kRolePrefix[] = "/accelmesh/market";
  ~EtcdCluster();
  EtcdCluster(const EtcdCluster&) = delete;
  EtcdCluster& operator=(const EtcdCluster&) = delete;

  std::vector<std::string> endpoints() const;
  // Of the user "market", or of another that was made: "root".
  std::optional<EtcdTls> tls(const std::string& user = "market") const;
  std::size_t size() const { return members_.size(); }
  // kill -9; Start again goes on with what is on its disk.
  void Kill(std::size_t member);
  void Start(std::size_t member);
  // SIGSTOP and SIGCONT.
  void Freeze(std::size_t member);
  void Thaw(std::size_t member);
  // Between a member and all others, both ways; clients still reach it.
  void Cut(std::size_t member) { cut_ = static_cast<int>(member); }
  void Join() { cut_ = -1; }

 private:
  struct Member {
    std::atomic<pid_t> pid{-1};
    int client_port = 0;
    int peer_port = 0;
    std::unique_ptr<CutProxy> way;  // by which others reach it
  };
  EtcdCluster(std::size_t members, std::string folder, bool has_roles, bool has_network = false);
  // Until it serves; what cannot be is thrown.
  void AwaitStart(std::size_t member);
  void MakeNetwork();
  // Where a member listens for the others, and where they look for it.
  std::string PeerUrl(std::size_t member) const;
  std::string WayUrl(std::size_t member) const;
  std::string Url(int port) const { return (has_roles_ ? "https" : "http") + ("://127.0.0.1:" + std::to_string(port)); }
  void MakeCertificates() const;
  void MakeRoles() const;

  std::string folder_;
  bool has_roles_;
  std::atomic<int> cut_{-1};
  std::vector<Member> members_;
};

}  // namespace accelmesh::registry
