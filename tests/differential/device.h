// The software GPU on one thread: runs the kernel of a PTX text on tier 0 or, compiled first, on tier 1.
#pragma once

#include <memory>
#include <string>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"
#include "server/backend/cpu/jit.h"

namespace accelmesh::differential {

enum class Tier { k0, k1 };

class Device {
 public:
  // `compiler`: the plugin of tier 1; empty: there is none.
  explicit Device(const std::string& compiler);
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  struct Geometry {
    std::uint32_t blocks = 1, block_x = 32, block_y = 1;
  };
  // Memory as the kernel leaves it. What the front end, the compiler or the kernel's faults say is the status;
  // kUnsupported if the compiler finds the kernel too large to be worth it.
  Result<Bytes> Run(const std::string& ptx, Tier tier, const Geometry& geometry, const Bytes& memory);

 private:
  Jit compiler_;
  std::uint64_t base_ = 0;
  tier0::MemoryMap map_;
  tier0::BlockContext context_;
};

}  // namespace accelmesh::differential
