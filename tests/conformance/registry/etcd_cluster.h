// Members of etcd on loopback, each a process of its own with its own folder; ended by pid.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "protocol/base/clock.h"

namespace accelmesh::registry {

class EtcdCluster {
 public:
  // Throws what is wrong if the members do not start. `folder` is on the disk that is to be tested.
  EtcdCluster(std::size_t members, std::string folder);
  ~EtcdCluster();
  EtcdCluster(const EtcdCluster&) = delete;
  EtcdCluster& operator=(const EtcdCluster&) = delete;

  std::vector<std::string> endpoints() const;
  std::size_t size() const { return members_.size(); }
  // kill -9; Start again goes on with what is on its disk.
  void Kill(std::size_t member);
  void Start(std::size_t member);
  // SIGSTOP and SIGCONT.
  void Freeze(std::size_t member);
  void Thaw(std::size_t member);

 private:
  struct Member {
    pid_t pid = -1;
    int client_port = 0;
    int peer_port = 0;
  };
  std::string folder_;
  std::vector<Member> members_;
};

}  // namespace accelmesh::registry
