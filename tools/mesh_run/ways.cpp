#include "tools/mesh_run/ways.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <string_view>

namespace accelmesh::mesh_run {

Ways OrderWays(const std::vector<std::string>& endpoints, const std::string& only, const Fabric& fabric) {
  constexpr std::array<std::string_view, 4> kOrder = {"shm", "ipc", "rdma", "tcp"};
  Ways ways;
  std::string left_out;
  for (const std::string_view scheme : kOrder) {
    for (const std::string& url : endpoints) {
      if (!url.starts_with(std::string(scheme) + ":")) continue;
      if (!only.empty() && scheme != only) {
        left_out += "; not " + url + ": --transport " + only;
      } else if (scheme == "rdma" && !fabric.has_active_port) {
        left_out += "; not " + url + ": no port of an RDMA device of this machine is active (`rdma link` lists them)";
      } else if (scheme == "rdma" && !fabric.is_trusted) {
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

bool HasActivePort(const std::string& devices) {
  std::error_code error;
  for (const auto& device : std::filesystem::directory_iterator(devices, error)) {
    for (const auto& port : std::filesystem::directory_iterator(device.path() / "ports", error)) {
      std::ifstream file(port.path() / "state");
      std::string state;
      if (std::getline(file, state) && state.find("ACTIVE") != std::string::npos) return true;
    }
  }
  return false;
}

}  // namespace accelmesh::mesh_run
