#include "tools/mesh_sim/market/parallel.h"

#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

namespace accelmesh::sim {

Status Parallel(std::size_t count, unsigned threads, const std::function<Status(std::size_t)>& work) {
  std::atomic<std::size_t> next{0};
  std::mutex mutex;
  Status first;
  const auto loop = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      const Status status = work(i);
      if (status.ok()) continue;
      const std::lock_guard lock(mutex);
      if (first.ok()) first = status;
      next = count;
      return;
    }
  };
  std::vector<std::thread> others;
  for (unsigned i = 1; i < threads; ++i) others.emplace_back(loop);
  loop();
  for (std::thread& other : others) other.join();
  return first;
}

}  // namespace accelmesh::sim
