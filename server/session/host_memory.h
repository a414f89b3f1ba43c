// The host window on the worker's side: addresses that the client chose for host memory which the device may reach.
// What is mapped there is the client's own memory where it can be shared, else a twin: memory of this process that the
// client keeps like its own.
//
// Threads: none; the executor's. Ownership: unmaps the whole window when it goes, unless the client is in this process,
// which then maps all of it itself. Units: bytes.
#pragma once

#include <cstdint>
#include <map>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"

namespace accelmesh {

class HostMemory {
 public:
  explicit HostMemory(bool client_is_here) : client_is_here_(client_is_here) {}
  ~HostMemory() { Release(); }
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  bool client_is_here() const { return client_is_here_; }

  // Takes exactly these addresses: kFull if something is there, kBadFrame if they are no window.
  Status Reserve(std::uint64_t base, std::uint64_t bytes);
  void Release();
  // Raises what twins may add up to: the memory that a session may have on its devices.
  void AllowTwins(std::uint64_t bytes) { twin_bytes_max_ += bytes; }

  static constexpr std::uint32_t kNobody = 0xffffffff;
  struct Range {
    std::uint64_t bytes = 0;
    std::uint32_t device = kNobody;  // whose quota counts it
    bool is_twin = false;
  };
  // Maps `region` once more, at `address`. kInvalidArgument: not whole pages of the window that are free.
  Status MapRegion(std::uint64_t address, MutableByteView region, std::uint32_t device);
  // kOutOfMemory if it belongs to no device's quota and twins have all that they may have.
  Status MapTwin(std::uint64_t address, std::uint64_t bytes, std::uint32_t device);
  // The range that starts at `address`; null if none does.
  const Range* Find(std::uint64_t address) const;
  // Gives its pages back; the addresses stay reserved.
  Status Unmap(std::uint64_t address);

  bool Covers(std::uint64_t address, std::uint64_t bytes) const;

 private:
  Status CheckFree(std::uint64_t address, std::uint64_t bytes) const;

  const bool client_is_here_;
  std::uint64_t base_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t twin_bytes_ = 0;
  std::uint64_t twin_bytes_max_ = 0;
  std::map<std::uint64_t, Range> ranges_;
};

}  // namespace accelmesh
