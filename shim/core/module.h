// Modules as a device has loaded them: their kernels, their variables, and how a kernel is launched.
//
// Threads: values. Units: bytes.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "protocol/gen_commands.h"
#include "shim/core/device_result.h"

namespace accelmesh {

struct KernelLayout {
  std::uint32_t module = 0;
  std::uint64_t load = 0;  // of the module: no other has or had it
  std::uint32_t index = 0;
  std::string name;
  std::vector<wire::KernelParameter> parameters;
  std::uint32_t argument_bytes = 0;
  std::uint32_t max_threads_per_block = 0;
  std::uint32_t static_shared_bytes = 0;
  std::uint32_t local_bytes = 0;
  std::uint32_t constant_bytes = 0;
  std::uint32_t registers = 0;
  std::uint32_t ptx_version = 0;
  std::uint32_t binary_version = 0;
};
struct GlobalVariable {
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
};
struct LoadedModule {
  std::uint32_t id = 0;
  DeviceResult error = 0;  // why it did not load; then the rest is empty
  std::unordered_map<std::string, KernelLayout> kernels;
  std::unordered_map<std::string, GlobalVariable> globals;
};

struct LaunchGeometry {
  std::uint32_t grid[3];
  std::uint32_t block[3];
  std::uint32_t shared_bytes = 0;
  std::uint32_t attributes = 0;
};
// Where a __managed__ variable of a module lies.
struct ManagedPlacement {
  std::string name;
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  bool keep = false;  // another device's load has put the initial value there
};

}  // namespace accelmesh
