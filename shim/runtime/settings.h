// What a program sets for a device as a whole, and CUDA hands back: scheduling flags, cache preferences, limits, and
// which peers it may reach.
//
// Threads: plain atomics; any thread. cudaDeviceReset puts the defaults back.
#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "protocol/base/limits.h"

namespace accelmesh {

struct DeviceSettings {
  static constexpr std::size_t kLimits = cudaLimitPersistingL2CacheSize + 1;

  std::atomic<unsigned> flags{0};
  std::atomic<int> cache_config{cudaFuncCachePreferNone};
  std::atomic<std::uint64_t> limits[kLimits] = {1024, 1 << 20, 8 << 20, 0, 2048, 64, 0};  // by cudaLimit
  std::atomic<std::uint64_t> peers{0};  // bit d: device d's memory may be reached from this one

  void Reset() {
    const DeviceSettings fresh;
    flags.store(0, std::memory_order_relaxed);
    cache_config.store(fresh.cache_config, std::memory_order_relaxed);
    for (std::size_t i = 0; i < kLimits; ++i) limits[i].store(fresh.limits[i], std::memory_order_relaxed);
    peers.store(0, std::memory_order_relaxed);
  }
};
static_assert(limits::kDevicesMax <= 64);

extern constinit DeviceSettings g_device_settings[limits::kDevicesMax];

}  // namespace accelmesh
