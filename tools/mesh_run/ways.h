// Which ways to its gpu-server a program tries, and in what order: shared memory first, a socket of this host, rdma
// where it may be used, tcp. A way that cannot be reached when the program connects is passed over for the next, so
// that a server of another machine, or a card whose port is down, costs one try.
//
// Threads: pure.
#pragma once

#include <string>
#include <vector>

namespace accelmesh::mesh_run {

struct Ways {
  std::vector<std::string> urls;  // in this order
  std::string why;                // for --explain: the order, and what was left out and why
};

// `only`: a scheme that --transport names; empty for all. `trusts_fabric`: rdma is not sealed, and a lease is used over
// it only by who says that nobody else reaches the fabric.
Ways OrderWays(const std::vector<std::string>& endpoints, const std::string& only, bool trusts_fabric);

}  // namespace accelmesh::mesh_run
