#include "tools/mesh_run/ways.h"

#include <array>
#include <string_view>

namespace accelmesh::mesh_run {

Ways OrderWays(const std::vector<std::string>& endpoints, const std::string& only, bool trusts_fabric) {
  constexpr std::array<std::string_view, 4> kOrder = {"shm", "ipc", "rdma", "tcp"};
  Ways ways;
  std::string left_out;
  for (const std::string_view scheme : kOrder) {
    for (const std::string& url : endpoints) {
      if (!url.starts_with(std::string(scheme) + ":")) continue;
      if (!only.empty() && scheme != only) {
        left_out += "; not " + url + ": --transport " + only;
      } else if (scheme == "rdma" && !trusts_fabric) {
        left_out += "; not " + url + ": rdma is not sealed, and ACCELMESH_TRUSTED_FABRIC=1 is not set";
      } else {
        ways.urls.push_back(url);
        ways.why += (ways.why.empty() ? "tried in this order: " : ", ") + url;
      }
    }
  }
  if (ways.urls.empty()) ways.why = "no way to the server is left";
  ways.why += left_out;
  return ways;
}

}  // namespace accelmesh::mesh_run
