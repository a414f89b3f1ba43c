// Modules as a device has loaded them: their kernels, their variables, and how a kernel is launched.
//
// Threads: values. Units: bytes.
#pragma once

#include <array>
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
  // The cluster that it was compiled for, in blocks of each dimension, 0 for none; whether a launch has to name one
  // otherwise; CUclusterSchedulingPolicy of launches that name none.
  std::uint32_t cluster[3] = {0, 0, 0};
  bool cluster_must_be_set = false;
  std::uint8_t cluster_policy = 0;
};
struct GlobalVariable {
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  bool is_managed = false;  // and the driver has placed it
};
struct LoadedModule {
  std::uint32_t id = 0;
  DeviceResult error = 0;  // why it did not load; then the rest is empty
  std::unordered_map<std::string, KernelLayout> kernels;
  std::unordered_map<std::string, GlobalVariable> globals;
};

// As in a wire::Launch.
inline constexpr std::uint8_t kCooperative = 1;
inline constexpr std::uint8_t kLargeCluster = 2;
struct LaunchCluster {
  std::uint8_t policy = 0;
  std::array<std::uint8_t, 3> size{};
  std::array<std::uint8_t, 3> preferred{};
  bool is_of_kernel = false;  // `size`: the launch names none
  bool operator==(const LaunchCluster&) const = default;
};
inline wire::ClusterSize ToWire(const std::array<std::uint8_t, 3>& size) { return {size[0], size[1], size[2]}; }
struct LaunchGeometry {
  std::uint32_t grid[3];
  std::uint32_t block[3];
  std::uint32_t shared_bytes = 0;
  std::uint8_t attributes = 0;
  LaunchCluster cluster = {};
};
// Where a __managed__ variable of a module lies.
struct ManagedPlacement {
  std::string name;
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  bool keep = false;  // another device's load has put the initial value there
};

}  // namespace accelmesh
