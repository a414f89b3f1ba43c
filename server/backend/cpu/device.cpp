#include "server/backend/cpu/device.h"

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

namespace accelmesh {
namespace {

constexpr std::uint64_t kGlobalsBytes = 1 * limits::kGiB;  // of the window, for module globals
constexpr std::uint64_t kHeapBytes = 8 * limits::kMiB;     // CUDA's default (cudaLimitMallocHeapSize)
constexpr std::uint8_t kLegacy = 0;
constexpr std::uint8_t kNonBlocking = 2;

std::uint32_t CoresHere() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof(set), &set) == 0 ? static_cast<std::uint32_t>(CPU_COUNT(&set)) : 1;
}

// The attribute numbers that CUDA 13 has (its gaps are none). What the table below does not set, this device does not
// have: host memory that both sides use at a time, cluster launches.
struct Numbers {
  std::uint32_t first;
  std::uint32_t last;
};
constexpr Numbers kAttributes[] = {{1, 43}, {45, 101}, {106, 106}, {108, 109}, {111, 135}, {138, 145}, {147, 147}};

// CUdevice_attribute numbers and what this device honestly is.
std::vector<std::pair<std::uint32_t, std::int32_t>> Attributes(std::uint32_t capability, std::uint32_t processors,
                                                               std::uint32_t ordinal) {
  const std::map<std::uint32_t, std::int32_t> present{
      {1, 1024},         // threads per block
      {2, 1024},         // block x
      {3, 1024},         // block y
      {4, 64},           // block z
      {5, 0x7fffffff},   // grid x
      {6, 65535},        // grid y
      {7, 65535},        // grid z
      {8, 49152},        // shared memory per block
      {9, 65536},        // constant memory
      {10, 32},          // warp size
      {11, 0x7fffffff},  // pitch
      {12, 65536},       // registers per block
      {13, 1000000},     // clock, kHz
      {14, 512},         // texture alignment: what allocations have
      {15, 1},           // copies and kernels overlap
      {16, static_cast<std::int32_t>(processors)},
      {19, 1},  // maps host memory
      // The extents of arrays: one, two and three dimensions, layers, gathering, the other way of three, cubemaps.
      {21, 131072},
      {22, 131072},
      {23, 65536},
      {24, 16384},
      {25, 16384},
      {26, 16384},
      {27, 32768},
      {28, 32768},
      {29, 2048},
      {42, 32768},
      {43, 2048},
      {45, 32768},
      {46, 32768},
      {47, 8192},
      {48, 8192},
      {49, 32768},
      {52, 32768},
      {53, 32768},
      {54, 2046},
      // And of those that are written as well.
      {55, 32768},
      {56, 131072},
      {57, 65536},
      {58, 16384},
      {59, 16384},
      {60, 16384},
      {61, 32768},
      {62, 2048},
      {63, 32768},
      {64, 32768},
      {65, 2048},
      {66, 32768},
      {67, 32768},
      {68, 2046},
      {73, 32768},
      {74, 32768},
      {77, 32768},                               // with mipmap levels
      {31, 1},                                   // concurrent kernels
      {34, static_cast<std::int32_t>(ordinal)},  // PCI device
      {36, 1000000},                             // memory clock, kHz
      {37, 64},                                  // bus width
      {39, 1024},                                // threads per multiprocessor
      {40, 1},                                   // copy engines
      {41, 1},                                   // unified addressing
      {30, 512},                                 // surface alignment
      {51, 32},                                  // texture pitch alignment
      // Textures over linear memory: of one dimension; width, height and pitch of two.
      {69, 1 << 28},
      {70, 131072},
      {71, 65000},
      {72, 2097120},
      {75, static_cast<std::int32_t>(capability / 10)},
      {76, static_cast<std::int32_t>(capability % 10)},
      {81, 65536},  // shared memory per multiprocessor
      {82, 65536},  // registers per multiprocessor
      {83, 1},      // managed memory
      {87, 2},      // single against double precision
      {95, 1},      // cooperative launches
      {97, 49152},  // shared memory per block with consent
      {99, 1},      // host memory may be registered
      {106, 16},    // blocks per multiprocessor
      {115, 1},     // memory pools
      {125, 1},     // events between processes, where a lease has several
      {131, -1},    // no NUMA node of its own
      {134, -1},    // nor one of the host that is closest
  };
  std::vector<std::pair<std::uint32_t, std::int32_t>> all;
  for (const Numbers& range : kAttributes) {
    for (std::uint32_t id = range.first; id <= range.last; ++id) {
      const auto found = present.find(id);
      all.emplace_back(id, found == present.end() ? 0 : found->second);
    }
  }
  return all;
}

std::int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

}  // namespace

CpuBackend::CpuBackend(const BackendOptions& options)
    : options_(options),
      heap_bytes_(kHeapBytes),
      jit_({options.cpu_jit, std::string(), options.cpu_jit_cache}),
      streams_(limits::kStreamsMax) {
  for (auto& bytes : stack_bytes_) bytes.store(tier0::kStackBytesDefault, std::memory_order_relaxed);
  if (options_.cpu_threads == 0) options_.cpu_threads = CoresHere();
  if (options_.memory_bytes == 0) options_.memory_bytes = 8 * limits::kGiB;
}

CpuBackend::~CpuBackend() { Close(); }

Result<std::vector<DeviceDescription>> CpuBackend::Open(std::uint64_t window_base, std::uint64_t window_bytes,
                                                        CompletionSink* sink) {
  if (window_bytes < (options_.cpu_devices + 1) * kGlobalsBytes)
    return Status(Code::kInvalidArgument, "CpuBackend::Open", "the window is too small");
  const int fixed = options_.window_is_reserved ? MAP_FIXED : MAP_FIXED_NOREPLACE;
  void* wanted = reinterpret_cast<void*>(window_base);
  window_base_ = window_base;
  void* got = MapWindow(window_base, window_bytes, fixed);
  if (got != wanted) {
    if (got != MAP_FAILED) ::munmap(got, window_bytes);
    return Status(Code::kFull, "CpuBackend::Open", "the window is taken in the worker");
  }
  window_bytes_ = window_bytes;
  globals_.Reset(window_base + window_bytes - kGlobalsBytes, kGlobalsBytes);
  memory_.Reset(window_base, window_bytes);
  sink_ = sink;
  for (std::uint32_t i = 0; i < options_.cpu_threads; ++i) pool_.emplace_back([this] { PoolMain(); });
  // Devices have equal parts of the window and of the memory; module globals lie behind them all.
  const std::uint64_t count = options_.cpu_devices;
  const std::uint64_t part = (window_bytes - kGlobalsBytes) / count / (2 * limits::kMiB) * (2 * limits::kMiB);
  std::vector<DeviceDescription> devices(count);
  for (std::uint32_t d = 0; d < count; ++d) {
    DeviceDescription& device = devices[d];
    const std::string ordinal = {static_cast<char>('0' + d / 10), static_cast<char>('0' + d % 10)};
    device.name = "AccelMesh Software GPU";
    const std::string uuid = "AccelMesh-cpu-" + ordinal;
    std::copy_n(uuid.begin(), device.uuid.size(), device.uuid.begin());
    char bus_id[24];
    std::snprintf(bus_id, sizeof(bus_id), "0000:00:%02x.0", d);
    device.pci_bus_id = bus_id;
    device.window_base = window_base + d * part;
    device.window_bytes = part;
    device.memory_bytes = std::min(options_.memory_bytes / count, part);
    device.attributes = Attributes(options_.compute_capability, options_.cpu_threads, d);
    // One process, one memory: a kernel does to another device's memory what it does to its own.
    for (std::uint32_t peer = 0; peer < count; ++peer) {
      if (peer != d) device.peers.push_back({peer, true, false, false, 0});
    }
  }
  return devices;
}

void CpuBackend::Close() {
  {
    const MutexLock lock(mu_);
    stop_ = true;
  }
  cancel_.store(true);
  if (gate_ != nullptr) gate_->Stop();
  work_.NotifyAll();
  for (std::thread& thread : pool_) thread.join();
  pool_.clear();
  if (window_bytes_ != 0 && !options_.window_is_reserved)
    ::munmap(reinterpret_cast<void*>(window_base_), window_bytes_);
  window_bytes_ = 0;
}

Status CpuBackend::MemAlloc(std::uint32_t /*device*/, std::uint64_t address, std::uint64_t bytes) {
  memory_.Allow(address, bytes);
  return Status::Ok();
}
// Pages stay: the client may give the range out again at any time, and kernels may still read it.
Status CpuBackend::MemFree(std::uint32_t /*device*/, std::uint64_t /*address*/) { return Status::Ok(); }

// Host memory --------------------------------------------------------------------------------------------------------

Status CpuBackend::MapHost(MutableByteView memory) {
  const auto address = reinterpret_cast<std::uint64_t>(memory.data());
  const MutexLock lock(host_mu_);
  if (!memory_.AllowHost(address, memory.size()))
    return {Code::kOutOfMemory, "CpuBackend::MapHost", "no memory for the table of pages"};
  host_[address] = memory.size();
  return Status::Ok();
}

Status CpuBackend::UnmapHost(std::uint64_t address) {
  const MutexLock lock(host_mu_);
  const auto found = host_.find(address);
  if (found == host_.end()) return {Code::kInvalidArgument, "CpuBackend::UnmapHost", "not mapped"};
  memory_.DenyHost(address, found->second);
  host_.erase(found);
  return Status::Ok();
}

Status CpuBackend::SetLimit(std::uint32_t device, std::uint32_t limit, std::uint64_t value) {
  constexpr std::uint32_t kStackSize = 0x00;
  constexpr std::uint32_t kMallocHeapSize = 0x02;
  if (limit == kStackSize)
    stack_bytes_[device].store(static_cast<std::uint32_t>(std::min<std::uint64_t>(value, limits::kMiB)),
                               std::memory_order_relaxed);
  // A heap lives as long as the session: what comes later than the first kernel that has one is too late, as natively.
  if (limit == kMallocHeapSize) heap_bytes_.store(std::min(value, kGlobalsBytes / 2), std::memory_order_relaxed);
  return Status::Ok();
}

// Streams ------------------------------------------------------------------------------------------------------------

Status CpuBackend::StreamCreate(std::uint32_t stream, std::uint32_t device, std::uint8_t kind,
                                std::int32_t /*priority*/) {
  const MutexLock lock(mu_);
  streams_[stream].exists = true;
  streams_[stream].device = device;
  streams_[stream].kind = kind;
  live_streams_.push_back(stream);
  return Status::Ok();
}

Status CpuBackend::StreamDestroy(std::uint32_t stream) {
  const MutexLock lock(mu_);
  // Queued work goes on; the slot stays in the list until it has drained.
  streams_[stream].exists = false;
  if (streams_[stream].tasks.empty() && !streams_[stream].busy) std::erase(live_streams_, stream);
  return Status::Ok();
}

Result<std::uint32_t> CpuBackend::ReadWord(std::uint32_t /*stream*/, std::uint64_t address) {
  std::uint32_t word = 0;
  std::memcpy(&word, reinterpret_cast<const void*>(address), sizeof(word));
  return word;
}

std::size_t CpuBackend::InFlight(std::uint32_t stream) const {
  const MutexLock lock(mu_);
  return streams_[stream].queued - streams_[stream].completed;
}

void CpuBackend::Enqueue(std::uint32_t stream, Task task) {
  {
    const MutexLock lock(mu_);
    Stream& state = streams_[stream];
    // CUDA's legacy default stream: it waits for all blocking streams of its device, and they for it.
    if (state.kind != kNonBlocking) {
      for (const std::uint32_t other : live_streams_) {
        const Stream& s = streams_[other];
        const bool related = other != stream && s.device == state.device && s.kind != kNonBlocking &&
                             (s.kind == kLegacy) != (state.kind == kLegacy);
        if (related && s.completed < s.queued) task.after.emplace_back(other, s.queued);
      }
    }
    ++state.queued;
    state.tasks.push_back(std::move(task));
  }
  work_.NotifyOne();
}

bool CpuBackend::Passed(const Tickets& tickets) const {
  for (const auto& [stream, ticket] : tickets) {
    if (streams_[stream].completed < ticket) return false;
  }
  return true;
}

bool CpuBackend::Ready(const Task& task) const {
  return (!task.host_call.has_value() || !host_calls_.contains(*task.host_call)) && Passed(task.after);
}

void CpuBackend::FinishTask(std::uint32_t stream, std::uint64_t sequence, bool passes) {
  // Published before the queue goes on, so that a stream's values grow.
  passes ? sink_->Passing(stream, sequence) : sink_->Completed(stream, sequence);
  {
    const MutexLock lock(mu_);
    Stream& state = streams_[stream];
    state.busy = false;
    ++state.completed;
    if (!state.exists && state.tasks.empty()) std::erase(live_streams_, stream);
    work_.NotifyAll();
    if (state.completed != state.queued) return;
  }
  sink_->Drained(stream);
}

// Events -------------------------------------------------------------------------------------------------------------

Status CpuBackend::EventCreate(std::uint32_t event, bool timing) {
  const MutexLock lock(mu_);
  events_[event].timing = timing;
  return Status::Ok();
}
Status CpuBackend::EventDestroy(std::uint32_t event) {
  const MutexLock lock(mu_);
  events_.erase(event);
  return Status::Ok();
}

Status CpuBackend::EventRecord(std::uint32_t stream, std::uint64_t sequence, std::uint32_t event) {
  std::shared_ptr<std::atomic<std::int64_t>> at_ns;
  {
    const MutexLock lock(mu_);
    Event& state = events_[event];
    state.recorded = true;
    state.stream = stream;
    state.ticket = streams_[stream].queued + 1;
    // A word of its own: an earlier record of the event may come to its turn later than this one.
    at_ns = state.at_ns = std::make_shared<std::atomic<std::int64_t>>(0);
  }
  Task task;
  task.sequence = sequence;
  task.run = [at_ns] { at_ns->store(NowNs()); };
  Enqueue(stream, std::move(task));
  return Status::Ok();
}

Status CpuBackend::StreamWaitEvent(std::uint32_t stream, std::uint64_t sequence, std::uint32_t event) {
  Task task;
  task.sequence = sequence;
  task.passes = true;
  task.run = [] {};
  {
    const MutexLock lock(mu_);
    const Event& state = events_[event];
    if (state.recorded) task.after.emplace_back(state.stream, state.ticket);
  }
  Enqueue(stream, std::move(task));
  return Status::Ok();
}

Result<float> CpuBackend::EventElapsedMs(std::uint32_t start, std::uint32_t end) {
  const MutexLock lock(mu_);
  const Event& a = events_[start];
  const Event& b = events_[end];
  if (!a.recorded || !b.recorded || !a.timing || !b.timing) {
    return Status(Code::kInvalidArgument, "EventElapsed", "an event was not recorded, or without timing");
  }
  return static_cast<float>(static_cast<double>(b.at_ns->load() - a.at_ns->load()) * 1e-6);
}

// Host functions -----------------------------------------------------------------------------------------------------

Status CpuBackend::HostWait(std::uint32_t stream, std::uint64_t sequence, std::uint64_t call) {
  {
    const MutexLock lock(mu_);
    host_calls_.insert(call);
  }
  // Two tasks: that the stream has come here is told by the first, as the completion of all before.
  Task reached;
  reached.sequence = sequence - 1;
  reached.run = [] {};
  Enqueue(stream, std::move(reached));
  Task done;
  done.sequence = sequence;
  done.run = [] {};
  done.host_call = call;
  Enqueue(stream, std::move(done));
  return Status::Ok();
}
Status CpuBackend::HostDone(std::uint64_t call) {
  {
    const MutexLock lock(mu_);
    host_calls_.erase(call);
  }
  work_.NotifyAll();
  return Status::Ok();
}

Status CpuBackend::Hold(std::uint32_t /*stream*/, bool /*on*/) {
  return {Code::kUnsupported, "CpuBackend::Hold", "only the null backend can hold a stream"};
}

}  // namespace accelmesh

extern "C" __attribute__((visibility("default"))) accelmesh::Backend* accelmesh_create_backend(
    std::uint32_t abi, const accelmesh::BackendOptions& options) {
  return abi == accelmesh::kBackendAbi ? new accelmesh::CpuBackend(options) : nullptr;
}
