// Operation graphs of cuDNN by libcudnn: plans of the wire (protocol/library/dnn_graph.h) as plans of the library.
//
// A plan is made from its words, attribute by attribute, and is the first one of what the library's heuristics name
// that can be finalised, which may compile for seconds: only the thread of library.h makes some. It is kept as long as
// the session, for all handles of its device and for every graph of the same words. A session is a process, so what the
// next one takes over is not the plan but a note of it (library_dnn_graph_note.h), of the same client, words, library
// and kind of device: heuristics and engines that do not run the graph are not tried again, and what was compiled is
// loaded. If a note no longer makes a plan, the plan is made from its words, and noted anew; one that failed never is.
//
// A plan of some engines keeps what one execution of it has going, so one thread executes it at a time: the executor
// leaves a plan that is being executed to the other thread.
//
// What a client says is words: numbers and descriptors. Handles and addresses that would be read on this side are not
// among them, a value is a copy of its bytes, and addresses of operands are only the device's to look at.
//
// Threads: beside each method stands whose it is.
#pragma once

#include <cudnn.h>

#include <atomic>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/mutex.h"
#include "protocol/library/dnn_graph.h"
#include "server/backend/cuda/library_dnn_graph_note.h"
#include "server/device.h"

namespace accelmesh::cuda {

class DnnLibrary;

// A descriptor that is destroyed with its owner.
class BackendDescriptor {
 public:
  BackendDescriptor(const DnnLibrary& library, int type);
  ~BackendDescriptor();
  BackendDescriptor(BackendDescriptor&& other) noexcept
      : library_(other.library_), descriptor_(std::exchange(other.descriptor_, nullptr)), status_(other.status_) {}
  BackendDescriptor(const BackendDescriptor&) = delete;
  BackendDescriptor& operator=(const BackendDescriptor&) = delete;

  // The first thing that went wrong.
  cudnnStatus_t status() const { return status_; }
  cudnnBackendDescriptor_t get() const { return descriptor_; }
  void Set(int name, int type, std::size_t count, const void* elements);
  template <typename T>
  void SetOne(int name, int type, const T& element) {
    Set(name, type, 1, &element);
  }
  void Finalize();
  // The library keeps it.
  void Abandon() { descriptor_ = nullptr; }
  // How many elements were written, and at most `count`; 0 if that fails.
  std::size_t Get(int name, int type, std::size_t count, void* elements) const;

 private:
  const DnnLibrary& library_;
  cudnnBackendDescriptor_t descriptor_ = nullptr;
  cudnnStatus_t status_;
};

struct GraphRefusal {
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  std::string why;  // for people
};

class GraphPlan {
 public:
  // Null, and why. By `note` if it can be, which says what to note of it then. The thread's of library.h.
  static std::shared_ptr<GraphPlan> Make(const DnnLibrary& library, cudnnHandle_t handle,
                                         std::span<const std::int64_t> words, GraphNote* note, GraphRefusal* refusal);

  // Tells it from others of its process.
  std::uint64_t number() const { return number_; }
  const DnnGraphAnswer& answer() const { return answer_; }
  // Of a tensor whose place a call says, by its unique id.
  bool IsAddress(std::int64_t uid) const {
    const auto tensor = is_value_.find(uid);
    return tensor != is_value_.end() && !tensor->second;
  }

  // Whoever executes it: false while somebody does.
  bool TryTake() { return !is_taken_.test_and_set(std::memory_order_acquire); }
  // Waits for the executor, which is in one call.
  void Take() {
    while (!TryTake()) is_taken_.wait(true, std::memory_order_relaxed);
  }
  void Give() {
    is_taken_.clear(std::memory_order_release);
    is_taken_.notify_one();
  }
  // It is not destroyed any more.
  void Abandon() {
    for (BackendDescriptor& descriptor : descriptors_) descriptor.Abandon();
  }
  // Who has taken it. `pairs` are a call's (DnnGraphExecute).
  cudnnStatus_t Execute(cudnnHandle_t handle, std::span<const std::int64_t> pairs, std::uint64_t workspace);

 private:
  GraphPlan(const DnnLibrary& library, std::uint64_t number) : library_(library), number_(number) {}

  const DnnLibrary& library_;
  std::uint64_t number_;
  std::map<std::int64_t, bool> is_value_;       // by unique id: what a variant pack names
  std::vector<BackendDescriptor> descriptors_;  // each behind those that it refers to, the plan last
  DnnGraphAnswer answer_;
  std::atomic_flag is_taken_;
};

// Those of one device.
class GraphPlans {
 public:
  using Settings = std::shared_ptr<const Bytes>;

  GraphPlans() = default;
  // Work still runs, if they have not been cleared: to destroy what it uses would wait for it.
  ~GraphPlans();
  GraphPlans(const GraphPlans&) = delete;
  GraphPlans& operator=(const GraphPlans&) = delete;

  // Before the first is made: who keeps notes of them, for whatever has the device's identity.
  void Remember(std::shared_ptr<PlanKeeper> keeper, const std::string& identity);
  // Null if it has not been made. Any thread's.
  std::shared_ptr<GraphPlan> Find(const Settings& settings);
  // Null, and why. The thread's of library.h.
  std::shared_ptr<GraphPlan> Make(const DnnLibrary& library, cudnnHandle_t handle, const Settings& settings,
                                  GraphRefusal* refusal);
  // The device is idle, and nobody calls any more.
  void Clear();

 private:
  std::shared_ptr<GraphPlan> MakeByNote(const DnnLibrary& library, cudnnHandle_t handle, const Bytes& words,
                                        GraphRefusal* refusal) const;

  std::shared_ptr<PlanKeeper> keeper_;
  std::string identity_;
  Mutex mu_;
  std::map<Bytes, std::shared_ptr<GraphPlan>> by_words_ ACCELMESH_GUARDED_BY(mu_);
  // Settings are a session's as long as it lives, and so what is found by where they lie.
  std::map<const Bytes*, std::pair<Settings, std::shared_ptr<GraphPlan>>> by_settings_ ACCELMESH_GUARDED_BY(mu_);
};

}  // namespace accelmesh::cuda
