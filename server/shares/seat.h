// A session's seat at the device: what its worker asks before it uses the device, and tells of what it has used.
//
// Used is the processor time of the worker's process, whatever it was spent on: kernels, library calls, compiling,
// copying.
//
// Threads: any.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "protocol/base/mutex.h"
#include "server/device.h"
#include "server/session/quota.h"
#include "server/shares/page.h"

namespace accelmesh::shares {

class Seat final : public DeviceGate, public MemoryQuota {
 public:
  Seat(std::unique_ptr<Page> page, std::uint32_t seat) : page_(std::move(page)), seat_(seat) {}
  ~Seat() override { Settle(); }

  std::uint32_t Enter(std::uint32_t threads) override;
  void Leave(std::uint32_t turn) override;
  void Stop() override;

  bool Take(std::uint64_t bytes) override;
  void Give(std::uint64_t bytes) override;
  std::uint64_t limit() const override;

 private:
  // Says what was used until now.
  void Settle();
  void ChargeLocked(Turns& turns) ACCELMESH_REQUIRES(used_mu_);
  // The page is locked: ends what could not be ended while somebody else held it.
  void CatchUp(Turns& turns, std::int64_t now_ns);
  bool IsAlone() const { return page_->layout().leases.load(std::memory_order_relaxed) <= 1; }

  std::unique_ptr<Page> page_;
  const std::uint32_t seat_;
  std::atomic<bool> stopped_{false};
  Mutex used_mu_;
  std::int64_t used_ns_ ACCELMESH_GUARDED_BY(used_mu_) = 0;  // that was said
  std::atomic<std::int64_t> settled_ns_{0};                  // when
  Mutex missed_mu_;                                          // behind the page's lock; nobody waits while he holds it
  std::vector<std::uint32_t> not_left_ ACCELMESH_GUARDED_BY(missed_mu_);      // turns that are over
  std::vector<std::uint32_t> not_given_up_ ACCELMESH_GUARDED_BY(missed_mu_);  // threads that nobody waits for any more
  std::uint64_t not_given_bytes_ ACCELMESH_GUARDED_BY(missed_mu_) = 0;        // memory that is free
};

}  // namespace accelmesh::shares
