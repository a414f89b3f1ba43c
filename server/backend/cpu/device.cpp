#include "server/backend/cpu/device.h"

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "protocol/transport/copy.h"
#include "server/module/image.h"

namespace accelmesh {
namespace {

constexpr std::uint64_t kGlobalsBytes = 1 * limits::kGiB;  // of the window, for module globals
constexpr std::uint8_t kLegacy = 0;
constexpr std::uint8_t kNonBlocking = 2;

std::uint32_t CoresHere() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof(set), &set) == 0 ? static_cast<std::uint32_t>(CPU_COUNT(&set)) : 1;
}

// The attribute numbers that CUDA 13 has (its gaps are none). What the table below does not set, this device does not
// have: textures, managed and mapped memory, cooperative and cluster launches, memory pools.
struct Numbers {
  std::uint32_t first;
  std::uint32_t last;
};
constexpr Numbers kAttributes[] = {{1, 43}, {45, 101}, {106, 106}, {108, 109}, {111, 135}, {138, 145}, {147, 147}};

// CUdevice_attribute numbers and what this device honestly is.
std::vector<std::pair<std::uint32_t, std::int32_t>> Attributes(std::uint32_t capability, std::uint32_t processors) {
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
      {31, 1},        // concurrent kernels
      {36, 1000000},  // memory clock, kHz
      {37, 64},       // bus width
      {39, 1024},     // threads per multiprocessor
      {40, 1},        // copy engines
      {41, 1},        // unified addressing
      {51, 32},       // texture pitch alignment
      {75, static_cast<std::int32_t>(capability / 10)},
      {76, static_cast<std::int32_t>(capability % 10)},
      {81, 65536},  // shared memory per multiprocessor
      {82, 65536},  // registers per multiprocessor
      {87, 2},      // single against double precision
      {97, 49152},  // shared memory per block with consent
      {106, 16},    // blocks per multiprocessor
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

CpuBackend::CpuBackend(const BackendOptions& options) : options_(options), streams_(limits::kStreamsMax) {
  if (options_.cpu_threads == 0) options_.cpu_threads = CoresHere();
  if (options_.memory_bytes == 0) options_.memory_bytes = 8 * limits::kGiB;
}

CpuBackend::~CpuBackend() { Close(); }

Result<std::vector<DeviceDescription>> CpuBackend::Open(std::uint64_t window_base, std::uint64_t window_bytes,
                                                        CompletionSink* sink) {
  if (window_bytes < 2 * kGlobalsBytes)
    return Status(Code::kInvalidArgument, "CpuBackend::Open", "the window is too small");
  const int fixed = options_.window_is_reserved ? MAP_FIXED : MAP_FIXED_NOREPLACE;
  void* wanted = reinterpret_cast<void*>(window_base);
  void* got =
      ::mmap(wanted, window_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | fixed, -1, 0);
  if (got != wanted) {
    if (got != MAP_FAILED) ::munmap(got, window_bytes);
    return Status(Code::kFull, "CpuBackend::Open", "the window is taken in the worker");
  }
  window_base_ = window_base;
  window_bytes_ = window_bytes;
  globals_top_ = window_base + window_bytes - kGlobalsBytes;
  memory_.Reset(window_base, window_bytes);
  sink_ = sink;
  for (std::uint32_t i = 0; i < options_.cpu_threads; ++i) pool_.emplace_back([this] { PoolMain(); });
  DeviceDescription device;
  device.name = "AccelMesh Software GPU";
  const std::string uuid = "AccelMesh-cpu-00";
  std::copy_n(uuid.begin(), device.uuid.size(), device.uuid.begin());
  device.pci_bus_id = "0000:00:00.0";
  device.memory_bytes = std::min(options_.memory_bytes, window_bytes - kGlobalsBytes);
  device.window_base = window_base;
  device.window_bytes = window_bytes - kGlobalsBytes;
  device.attributes = Attributes(options_.compute_capability, options_.cpu_threads);
  return std::vector<DeviceDescription>{std::move(device)};
}

void CpuBackend::Close() {
  {
    const MutexLock lock(mu_);
    stop_ = true;
  }
  cancel_.store(true);
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

// Modules ------------------------------------------------------------------------------------------------------------

Result<std::uint64_t> CpuBackend::AllocateGlobal(const ptx::Variable& variable) {
  const std::uint64_t address = AlignUp(globals_top_, std::max<std::uint64_t>(variable.alignment, 256));
  const std::uint64_t end = window_base_ + window_bytes_;
  if (address < globals_top_ || address > end || variable.bytes > end - address) {
    return Status(Code::kOutOfMemory, "CpuBackend::ModuleLoad", "no room for variable " + variable.name);
  }
  globals_top_ = address + variable.bytes;
  memory_.Allow(address, variable.bytes);
  return address;
}

Result<ModuleDescription> CpuBackend::ModuleLoad(std::uint32_t /*device*/, std::uint32_t id, Bytes image) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::string text, ExtractPtx(image, options_.compute_capability));
  auto module = std::make_shared<Module>();
  ACCELMESH_ASSIGN_OR_RETURN(module->source, ptx::ParseModule(text));
  ModuleDescription description;
  for (const ptx::Variable& variable : module->source->variables) {
    if (variable.is_extern) continue;
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t address, AllocateGlobal(variable));
    std::memset(reinterpret_cast<void*>(address), 0, variable.bytes);
    if (!variable.initial.empty())
      std::memcpy(reinterpret_cast<void*>(address), variable.initial.data(), variable.initial.size());
    module->symbols[variable.name] = address;
    description.globals.push_back({variable.name, address, variable.bytes, variable.space == ptx::Space::kConst});
  }
  for (const ptx::Variable& variable : module->source->variables) {
    for (const ptx::Variable::Relocation& relocation : variable.relocations) {
      const auto target = module->symbols.find(relocation.symbol);
      if (target == module->symbols.end()) {
        return Status(Code::kInvalidArgument, "CpuBackend::ModuleLoad", "no symbol is named " + relocation.symbol);
      }
      const std::uint64_t value = target->second + static_cast<std::uint64_t>(relocation.addend);
      std::memcpy(reinterpret_cast<void*>(module->symbols[variable.name] + relocation.offset), &value, sizeof(value));
    }
  }
  for (const ptx::Kernel& kernel : module->source->kernels) {
    auto made = std::make_unique<Kernel>();
    made->source = &kernel;
    module->kernels.push_back(std::move(made));
    KernelDescription out;
    out.name = kernel.name;
    for (const ptx::Parameter& parameter : kernel.parameters)
      out.parameters.emplace_back(parameter.offset, parameter.bytes);
    out.max_threads_per_block = kernel.max_threads;
    out.static_shared_bytes = kernel.static_shared_bytes;
    out.local_bytes = kernel.local_bytes;
    out.registers = std::min(255u, kernel.registers);
    out.ptx_version = module->source->target;
    out.binary_version = options_.compute_capability;
    description.kernels.push_back(std::move(out));
  }
  const MutexLock lock(modules_mu_);
  modules_[id] = std::move(module);
  return description;
}

Status CpuBackend::ModuleUnload(std::uint32_t module) {
  const MutexLock lock(modules_mu_);
  modules_.erase(module);  // Launches in flight hold it.
  return Status::Ok();
}

// Streams ------------------------------------------------------------------------------------------------------------

Status CpuBackend::StreamCreate(std::uint32_t stream, std::uint32_t /*device*/, std::uint8_t kind,
                                std::int32_t /*priority*/) {
  const MutexLock lock(mu_);
  streams_[stream].exists = true;
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

std::size_t CpuBackend::InFlight(std::uint32_t stream) const {
  const MutexLock lock(mu_);
  return streams_[stream].queued - streams_[stream].completed;
}

void CpuBackend::Enqueue(std::uint32_t stream, Task task) {
  {
    const MutexLock lock(mu_);
    Stream& state = streams_[stream];
    // CUDA's legacy default stream: it waits for all blocking streams, and they for it.
    if (state.kind != kNonBlocking) {
      for (const std::uint32_t other : live_streams_) {
        const Stream& s = streams_[other];
        const bool related =
            other != stream && s.kind != kNonBlocking && (s.kind == kLegacy) != (state.kind == kLegacy);
        if (related && s.completed < s.queued) task.after.emplace_back(other, s.queued);
      }
    }
    ++state.queued;
    state.tasks.push_back(std::move(task));
  }
  work_.NotifyOne();
}

bool CpuBackend::Ready(const Task& task) const {
  if (task.host_call.has_value() && host_calls_.contains(*task.host_call)) return false;
  for (const auto& [stream, ticket] : task.after) {
    if (streams_[stream].completed < ticket) return false;
  }
  return true;
}

void CpuBackend::FinishTask(std::uint32_t stream, std::uint64_t sequence) {
  // Published before the queue goes on, so that a stream's values grow.
  sink_->Completed(stream, sequence);
  const MutexLock lock(mu_);
  Stream& state = streams_[stream];
  state.busy = false;
  ++state.completed;
  if (!state.exists && state.tasks.empty()) std::erase(live_streams_, stream);
  work_.NotifyAll();
}

void CpuBackend::PoolMain() {
  tier0::BlockContext context;
  MutexLock lock(mu_);
  while (!stop_) {
    // Blocks of a running grid first: they finish something.
    std::erase_if(grids_, [](const std::shared_ptr<Grid>& grid) { return grid->next.load() >= grid->blocks; });
    if (!grids_.empty()) {
      const std::shared_ptr<Grid> grid = grids_.front();
      lock.Unlock();
      RunGrid(grid, context);
      lock.Lock();
      continue;
    }
    bool found = false;
    for (std::size_t i = 0; i < live_streams_.size() && !found; ++i) {
      const std::uint32_t slot = live_streams_[i];
      Stream& stream = streams_[slot];
      if (stream.busy || stream.tasks.empty() || !Ready(stream.tasks.front())) continue;
      found = true;
      stream.busy = true;
      Task task = std::move(stream.tasks.front());
      stream.tasks.pop_front();
      std::rotate(live_streams_.begin(), live_streams_.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                  live_streams_.end());
      if (task.grid != nullptr) {
        if (task.grid->blocks > 1) {
          grids_.push_back(task.grid);
          work_.NotifyAll();
        }
        lock.Unlock();
        RunGrid(task.grid, context);
      } else {
        lock.Unlock();
        task.run();
        FinishTask(slot, task.sequence);
      }
      lock.Lock();
    }
    if (!found) work_.Wait(mu_);
  }
}

// Work ---------------------------------------------------------------------------------------------------------------

Status CpuBackend::Launch(std::uint32_t stream, std::uint64_t sequence, const LaunchJob& job) {
  auto grid = std::make_shared<Grid>();
  {
    const MutexLock lock(modules_mu_);
    const auto found = modules_.find(job.module);
    if (found == modules_.end() || job.kernel >= found->second->kernels.size()) {
      return {Code::kBadFrame, "CpuBackend::Launch", "no such kernel"};
    }
    grid->module = found->second;
  }
  grid->kernel = grid->module->kernels[job.kernel].get();
  grid->arguments.assign(job.arguments.begin(), job.arguments.end());
  grid->launch.grid = job.grid;
  grid->launch.block = job.block;
  grid->launch.dynamic_shared_bytes = job.shared_bytes;
  grid->launch.memory = &memory_;
  grid->launch.cancel = &cancel_;
  grid->blocks = job.grid.count();
  grid->stream = stream;
  grid->sequence = sequence;
  Task task;
  task.sequence = sequence;
  task.grid = std::move(grid);
  Enqueue(stream, std::move(task));
  return Status::Ok();
}

void CpuBackend::RunGrid(const std::shared_ptr<Grid>& grid, tier0::BlockContext& context) {
  Kernel& kernel = *grid->kernel;
  std::call_once(kernel.once, [&] {
    const Module& module = *grid->module;
    kernel.decoded = tier0::Decode(*module.source, *kernel.source, [&module](std::string_view name) {
      const auto found = module.symbols.find(std::string(name));
      return found == module.symbols.end() ? std::uint64_t{0} : found->second;
    });
  });
  tier0::GridLaunch launch = grid->launch;
  launch.arguments = grid->arguments;
  std::function<void(std::string_view)> print = [this, &grid](std::string_view text) {
    sink_->Output(grid->sequence, text);
  };
  launch.print = &print;
  if (kernel.decoded.ok()) launch.kernel = kernel.decoded->get();
  while (true) {
    const std::uint64_t block = grid->next.fetch_add(1);
    if (block >= grid->blocks) return;
    if (!kernel.decoded.ok()) {
      if (!grid->failed.exchange(true)) {
        sink_->Failed(grid->stream, grid->sequence, kDeviceNotSupported, true, kernel.decoded.status().ToString());
      }
    } else if (!grid->failed.load(std::memory_order_relaxed) && !cancel_.load(std::memory_order_relaxed)) {
      const std::optional<tier0::Fault> fault = tier0::RunBlock(launch, block, context);
      if (fault.has_value() && !grid->failed.exchange(true)) {
        sink_->Failed(grid->stream, grid->sequence, fault->status, true, fault->text);
        // As on a GPU the context is lost with everything that still runs in it.
        cancel_.store(true);
      }
    }
    if (grid->done.fetch_add(1, std::memory_order_acq_rel) + 1 == grid->blocks)
      FinishTask(grid->stream, grid->sequence);
  }
}

namespace {
// The address of row (y, z) of one side; packed sides lie row after row.
std::uint8_t* RowOf(const CopySide& side, const std::uint8_t* packed, std::uint64_t width, std::uint64_t height,
                    std::uint64_t y, std::uint64_t z) {
  switch (side.kind) {
    case CopySide::Kind::kDevice:
      return reinterpret_cast<std::uint8_t*>(side.address + z * side.slice + y * side.pitch);
    case CopySide::Kind::kHost: return side.host.data() + z * side.slice + y * side.pitch;
    case CopySide::Kind::kBody:
    case CopySide::Kind::kToken: return const_cast<std::uint8_t*>(packed) + (z * height + y) * width;
  }
  return nullptr;
}
}  // namespace

void CpuBackend::RunCopy(std::uint32_t stream, std::uint64_t sequence, const CopyJob& job) {
  const std::uint8_t* packed = job.body != nullptr ? job.body->bytes().data() : nullptr;
  const bool linear = job.height == 1 && job.depth == 1;
  if (job.dst.kind != CopySide::Kind::kToken) {
    for (std::uint64_t z = 0; z < job.depth; ++z) {
      for (std::uint64_t y = 0; y < job.height; ++y) {
        std::uint8_t* to = RowOf(job.dst, packed, job.width, job.height, y, z);
        const std::uint8_t* from = RowOf(job.src, packed, job.width, job.height, y, z);
        // Only two places on the device can overlap.
        if (job.dst.kind == CopySide::Kind::kDevice && job.src.kind == CopySide::Kind::kDevice) {
          std::memmove(to, from, job.width);
        } else {
          CopyBody(to, from, job.width);
        }
      }
    }
    return;
  }
  Bytes rows;
  ByteView from;
  if (linear) {
    from = {RowOf(job.src, packed, job.width, 1, 0, 0), job.width};
  } else {
    rows.resize(job.width * job.height * job.depth);
    for (std::uint64_t z = 0; z < job.depth; ++z) {
      for (std::uint64_t y = 0; y < job.height; ++y) {
        std::memcpy(rows.data() + (z * job.height + y) * job.width, RowOf(job.src, packed, job.width, job.height, y, z),
                    job.width);
      }
    }
    from = rows;
  }
  for (std::size_t at = 0; at < from.size(); at += limits::kBulkBytesMax) {
    const Status sent =
        sink_->SendToClient(job.dst.token, at, from.subspan(at, std::min(limits::kBulkBytesMax, from.size() - at)));
    if (!sent.ok()) {
      sink_->Failed(stream, sequence, kDeviceUnknown, true,
                    "a copy to the client did not get through: " + sent.ToString());
      return;
    }
  }
}

Status CpuBackend::Copy(std::uint32_t stream, std::uint64_t sequence, CopyJob job) {
  auto shared = std::make_shared<CopyJob>(std::move(job));
  Task task;
  task.sequence = sequence;
  task.run = [this, stream, sequence, shared] { RunCopy(stream, sequence, *shared); };
  Enqueue(stream, std::move(task));
  return Status::Ok();
}

Status CpuBackend::Fill(std::uint32_t stream, std::uint64_t sequence, const FillJob& job) {
  Task task;
  task.sequence = sequence;
  task.run = [job] {
    for (std::uint64_t z = 0; z < job.depth; ++z) {
      for (std::uint64_t y = 0; y < job.height; ++y) {
        auto* row = reinterpret_cast<std::uint8_t*>(job.address + z * job.slice + y * job.pitch);
        if (job.element_bytes == 1) std::memset(row, static_cast<int>(job.value), job.width);
        if (job.element_bytes == 2)
          std::fill_n(reinterpret_cast<std::uint16_t*>(row), job.width, static_cast<std::uint16_t>(job.value));
        if (job.element_bytes == 4) std::fill_n(reinterpret_cast<std::uint32_t*>(row), job.width, job.value);
      }
    }
  };
  Enqueue(stream, std::move(task));
  return Status::Ok();
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
