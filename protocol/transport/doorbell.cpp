#include "protocol/transport/doorbell.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>

namespace accelmesh::shm {
namespace {

std::uint32_t OnlyCpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // 0 is the calling thread: the one that is about to wait.
  if (sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) != 1) return 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) return static_cast<std::uint32_t>(cpu) + 1;
  }
  return 0;
}

}  // namespace

void Ring(Side& side) {
  side.bell.fetch_add(1, std::memory_order_seq_cst);
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&side.bell), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void SleepOnBell(Side& side, std::uint32_t seen, Duration wait) {
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(wait).count();
  const timespec timeout{static_cast<time_t>(ns / 1000000000), static_cast<long>(ns % 1000000000)};
  // Whatever it returns (woken, word changed, time over, signal): the caller looks again.
  syscall(SYS_futex, reinterpret_cast<std::uint32_t*>(&side.bell), FUTEX_WAIT, seen, &timeout, nullptr, 0);
}

Spinner::Spinner(Side& mine, const Side& peer) : mine_(&mine), peer_(&peer) { Refresh(); }

void Spinner::Refresh() { mine_->only_cpu.store(OnlyCpu(), std::memory_order_relaxed); }

bool Spinner::MustYield() const {
  const std::uint32_t mine = mine_->only_cpu.load(std::memory_order_relaxed);
  if (mine == 0) return false;
  // Bound to one CPU each, but not the same: the peer runs while we spin.
  const std::uint32_t peer = peer_->only_cpu.load(std::memory_order_relaxed);
  return peer == 0 || peer == mine;
}

void Spinner::Yield() { sched_yield(); }

}  // namespace accelmesh::shm
