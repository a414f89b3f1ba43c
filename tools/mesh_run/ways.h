// Which ways to its gpu-server a program tries, and in what order: shared memory first, a socket of this host, rdma
// where it may be used, tcp. A way that cannot be reached when the program connects is passed over for the next, so
// that a server of another machine, or a card whose port is down, costs one try.
//
// Threads: any; what looks at this machine takes the folder to look into.
#pragma once

#include <string>
#include <vector>

namespace accelmesh::mesh_run {

struct Ways {
  std::vector<std::string> urls;  // in this order
  std::string why;                // for --explain: the order, and what was left out and why
};

// What this machine and its user say of rdma.
struct Fabric {
  bool is_trusted = false;       // rdma is not sealed: a lease is used over it only if nobody else reaches the fabric
  bool has_active_port = false;  // of any RDMA device
};

// `only`: a scheme that --transport names; empty for all.
Ways OrderWays(const std::vector<std::string>& endpoints, const std::string& only, const Fabric& fabric);

// Whether a port of an RDMA device is up; `devices` is /sys/class/infiniband.
bool HasActivePort(const std::string& devices);

}  // namespace accelmesh::mesh_run
