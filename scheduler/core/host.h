// Machines with devices, as placement sees them: what is free, in whole numbers.
//
// Threads: values. Units: thousandths of a device or of a processor, MiB.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "scheduler/core/slot.h"

namespace accelmesh::scheduler {

inline constexpr std::size_t kDevicesPerHostMax = 16;
inline constexpr std::uint32_t kHostClassesMax = 64;

struct DeviceFree {
  std::uint32_t share_milli = 0;
  std::uint32_t memory_mib = 0;
  bool operator==(const DeviceFree&) const = default;
};

struct Host {
  std::uint32_t processor_milli = 0;
  std::uint32_t memory_mib = 0;
  std::uint32_t host_class = 0;  // the kind of its devices; a demand names the kinds that it takes
  std::uint32_t device_count = 0;
  std::array<DeviceFree, kDevicesPerHostMax> devices{};
  bool operator==(const Host&) const = default;
};

// What one task takes: of its host, and of each of `devices` devices.
struct Demand {
  std::uint32_t processor_milli = 0;
  std::uint32_t memory_mib = 0;
  std::uint32_t devices = 0;
  std::uint32_t share_milli = 0;
  std::uint32_t device_memory_mib = 0;
  std::uint64_t host_classes = ~0ULL;  // a bit for each class that will do
  bool operator==(const Demand&) const = default;
};

// Devices of a host, a bit each.
using DeviceMask = std::uint32_t;

inline bool FitsDevice(const DeviceFree& device, std::uint32_t share_milli, std::uint32_t memory_mib) {
  return device.share_milli >= share_milli && device.memory_mib >= memory_mib;
}

// Whether all but the devices are there.
inline bool FitsHost(const Host& host, const Demand& demand) {
  return host.processor_milli >= demand.processor_milli && host.memory_mib >= demand.memory_mib &&
         (demand.host_classes >> host.host_class & 1) != 0;
}

// Precondition: FitsHost(), and each device of `mask` fits.
inline void Take(Host& host, const Demand& demand, DeviceMask mask) {
  host.processor_milli -= demand.processor_milli;
  host.memory_mib -= demand.memory_mib;
  for (std::uint32_t i = 0; i < host.device_count; ++i) {
    if ((mask >> i & 1) == 0) continue;
    host.devices[i].share_milli -= demand.share_milli;
    host.devices[i].memory_mib -= demand.device_memory_mib;
  }
}

}  // namespace accelmesh::scheduler
