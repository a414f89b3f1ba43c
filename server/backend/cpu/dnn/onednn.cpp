#include "server/backend/cpu/dnn/onednn.h"

#include <atomic>

// Of the OpenMP runtime that oneDNN is built on: its setting is each thread's own.
extern "C" void omp_set_num_threads(int threads);

namespace accelmesh::cpu_dnn {
namespace {

std::atomic<std::uint32_t> g_threads{1};

}  // namespace

void SetThreads(std::uint32_t threads) { g_threads.store(threads, std::memory_order_relaxed); }

void BeginThread() {
  static thread_local std::uint32_t set = 0;
  const std::uint32_t wanted = g_threads.load(std::memory_order_relaxed);
  if (set == wanted) return;
  omp_set_num_threads(static_cast<int>(wanted));
  set = wanted;
}

// Never destroyed: threads of the pool may outlive this object's destructors.
const dnnl::engine& Engine() {
  static const auto* const engine = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *engine;
}

dnnl::stream& Stream() {
  static thread_local dnnl::stream stream(Engine());
  return stream;
}

}  // namespace accelmesh::cpu_dnn
