// What gpu-server was told on its command line. Values; checked when parsed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/device.h"

namespace accelmesh {

struct ServerOptions {
  std::vector<std::string> listen;
  std::string backend = "cpu";
  std::string jit = "auto";  // device.cpu_jit as it was said
  BackendOptions device;
  std::uint32_t warm_workers = 1;
  std::uint16_t port_first = 0;
  std::uint16_t port_last = 0;
  std::string self;       // this executable, to start workers
  std::string libraries;  // where backends lie
};

}  // namespace accelmesh
