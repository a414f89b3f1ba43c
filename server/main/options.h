// What gpu-server was told on its command line. Values; checked when parsed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "server/device.h"

namespace accelmesh {

struct ServerSecurity;

struct TestShare {
  std::uint32_t milli = 0;
  std::uint64_t memory_bytes = 0;  // 0: no limit
};

struct ServerOptions {
  std::vector<std::string> listen;
  std::string backend = "cpu";
  std::string jit = "auto";  // device.cpu_jit as it was said
  BackendOptions device;
  std::uint32_t warm_workers = 1;
  std::uint16_t port_first = 0;
  std::uint16_t port_last = 0;
  bool trusts_fabric = false;  // rdma under leases, though it is not sealed
  int shares_fd = -1;          // a worker's: the page of shares (server/shares)
  // For tests: what sessions that come with a group secret have, as a lease would say it.
  std::map<std::string, TestShare> test_shares;
  std::string self;                          // this executable, to start workers
  std::string libraries;                     // where backends lie
  std::shared_ptr<ServerSecurity> security;  // null: standalone
};

}  // namespace accelmesh
