// How the software GPU runs kernels: launches become grids, and the threads of the pool take their blocks.
//
// A block runs in slices. One whose slice is over is put aside with all of its state, and the thread that ran it looks
// for other work: so blocks that wait for one another (grid.sync, locks, look-back), for a copy on another stream, or
// for nothing at all, keep nobody else from running, however few threads there are.
#include <algorithm>
#include <array>

#include "protocol/base/log.h"
#include "server/backend/cpu/device.h"

namespace accelmesh {
namespace {

// Of a block, until others of its grid get a turn; blocks of a cooperative grid change after every round.
constexpr std::chrono::milliseconds kBlockSlice{10};
// Of a grid on one thread, until tasks of other streams get a turn.
constexpr std::chrono::milliseconds kGridSlice{20};
// Both, where other sessions have their turns on the device.
constexpr std::chrono::milliseconds kSharedSlice{3};
// As cudaOccupancyMaxActiveBlocksPerMultiprocessor says of a multiprocessor: blocks, and threads.
constexpr std::uint64_t kBlocksPerProcessor = 16;
constexpr std::uint64_t kThreadsPerProcessor = 1024;
constexpr std::size_t kSpareContexts = 16;   // that a thread keeps
constexpr std::uint64_t kTurnsOfThread = 4;  // of a grid, at least: so that threads end at about the same time
// So many of a stream's tasks stand behind one of which the client may hear later: threads that share a stream and wait
// each for their own are told at once.
constexpr std::size_t kBehindPassing = 16;
// On tier 0, after which a kernel is hot.
constexpr std::chrono::milliseconds kHotAfter{5};

// Blocks that are on the device at the same time: a program may rely on these making progress together.
std::uint64_t ResidentBlocks(const Dim3& block, std::uint32_t processors) {
  const std::uint64_t threads = std::clamp<std::uint64_t>(block.count(), 1, kThreadsPerProcessor);
  return processors * std::min(kBlocksPerProcessor, kThreadsPerProcessor / threads);
}

bool HasRequiredBlock(const ptx::Kernel& kernel, const Dim3& block) {
  const std::uint32_t* required = kernel.required_threads;
  return required[0] == 0 || (required[0] == block.x && required[1] == block.y && required[2] == block.z);
}

}  // namespace

// What a thread of the pool keeps between blocks.
struct CpuBackend::Contexts {
  std::vector<std::unique_ptr<tier0::BlockContext>> spare;

  std::unique_ptr<tier0::BlockContext> Take() {
    if (spare.empty()) return std::make_unique<tier0::BlockContext>();
    std::unique_ptr<tier0::BlockContext> taken = std::move(spare.back());
    spare.pop_back();
    return taken;
  }
  void GiveBack(std::unique_ptr<tier0::BlockContext> context) {
    if (spare.size() < kSpareContexts) spare.push_back(std::move(context));
  }
};

// A thread's turn on a device that is shared. It is kept from one small piece of work to the next, for a slice.
class CpuBackend::Turn {
 public:
  explicit Turn(DeviceGate* gate) : gate_(gate) {}
  ~Turn() { End(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  // Waits for one on so many threads, unless this is one.
  void Begin(std::uint32_t threads) {
    if (gate_ == nullptr) return;
    if (threads_ != threads || (threads_ != 0 && Clock::now() >= over_)) End();
    if (threads_ != 0) return;
    turn_ = gate_->Enter(threads);
    threads_ = threads;
    over_ = Clock::now() + kSharedSlice;
  }
  // Whether somebody else may wait for its end.
  bool is_held() const { return threads_ != 0 && turn_ != kFree; }
  void End() {
    if (threads_ == 0) return;
    threads_ = 0;
    gate_->Leave(turn_);
  }

 private:
  static constexpr std::uint32_t kFree = 0xffffffff;  // the gate's: the device is this session's alone now

  DeviceGate* const gate_;
  std::uint32_t turn_ = 0;
  std::uint32_t threads_ = 0;  // 0: none
  Instant over_{};
};

Status CpuBackend::Launch(std::uint32_t stream, std::uint64_t sequence, const LaunchJob& job) {
  auto grid = std::allocate_shared<Grid>(Recycled<Grid>(grid_memory_));
  {
    const MutexLock lock(modules_mu_);
    const auto found = modules_.find(job.module);
    if (found == modules_.end() || job.kernel >= found->second->kernels.size()) {
      return {Code::kBadFrame, "CpuBackend::Launch", "no such kernel"};
    }
    grid->module = found->second;
    grid->launch.heap = heap_.get();
  }
  grid->kernel = grid->module->kernels[job.kernel].get();
  if (job.arguments.size() <= grid->few_arguments.size()) {
    std::copy(job.arguments.begin(), job.arguments.end(), grid->few_arguments.begin());
    grid->launch.arguments = {grid->few_arguments.data(), job.arguments.size()};
  } else {
    grid->many_arguments.assign(job.arguments.begin(), job.arguments.end());
    grid->launch.arguments = grid->many_arguments;
  }
  grid->textures = Textures();
  grid->launch.textures = grid->textures.get();
  grid->launch.grid = job.grid;
  grid->launch.block = job.block;
  grid->launch.dynamic_shared_bytes = job.shared_bytes;
  grid->launch.memory = &memory_;
  grid->launch.cancel = &cancel_;
  grid->launch.cooperative = job.cooperative;
  grid->launch.stack_bytes = stack_bytes_[job.device].load(std::memory_order_relaxed);
  grid->blocks = job.grid.count();
  grid->resident = ResidentBlocks(job.block, options_.cpu_threads);
  grid->stream = stream;
  grid->sequence = sequence;
  Task task;
  task.sequence = sequence;
  task.passes = true;
  if (job.cooperative && grid->blocks > grid->resident) {
    // The client counts first; this bounds what one that does not can ask for.
    sink_->Failed(stream, sequence, kDeviceCooperativeLaunchTooLarge, false,
                  "a cooperative launch of kernel " + grid->kernel->source->name + " with " +
                      std::to_string(grid->blocks) + " blocks, of which " + std::to_string(grid->resident) +
                      " fit on the device");
    task.run = [] {};
  } else if (!HasRequiredBlock(*grid->kernel->source, job.block)) {
    sink_->Failed(stream, sequence, kDeviceInvalidValue, false,
                  "kernel " + grid->kernel->source->name + " runs with the block that its .reqntid says only");
    task.run = [] {};
  } else {
    task.grid = std::move(grid);
  }
  Enqueue(stream, std::move(task));
  return Status::Ok();
}

bool CpuBackend::HasBlocks(const Grid& grid) { return grid.next.load() < grid.blocks || grid.aside_count.load() != 0; }

// The next task of a stream that may run now.
bool CpuBackend::TakeTask(std::uint32_t* slot, Task* task) {
  for (std::size_t i = 0; i < live_streams_.size(); ++i) {
    Stream& stream = streams_[live_streams_[i]];
    if (stream.busy || stream.tasks.empty() || !Ready(stream.tasks.front())) continue;
    *slot = live_streams_[i];
    stream.busy = true;
    *task = std::move(stream.tasks.front());
    stream.tasks.pop_front();
    task->passes = task->passes && stream.tasks.size() >= kBehindPassing;
    if (task->grid != nullptr) task->grid->passes = task->passes;
    std::rotate(live_streams_.begin(), live_streams_.begin() + static_cast<std::ptrdiff_t>(i) + 1, live_streams_.end());
    return true;
  }
  return false;
}

void CpuBackend::PoolMain() {
  Contexts contexts;
  bool tasks_first = false;  // a grid had its slice
  Turn turn(gate_);
  MutexLock lock(mu_);
  while (!stop_) {
    std::erase_if(grids_, [](const std::shared_ptr<Grid>& grid) { return !HasBlocks(*grid); });
    std::shared_ptr<Grid> grid;
    Task task;
    std::uint32_t slot = 0;
    // Blocks of a running grid first: they finish something.
    if ((tasks_first || grids_.empty()) && TakeTask(&slot, &task)) {
      grid = task.grid;
      if (grid != nullptr && grid->blocks > 1) {
        grids_.push_back(grid);
        work_.NotifyAll();
      }
    } else if (!grids_.empty()) {
      grid = grids_.front();
      std::rotate(grids_.begin(), grids_.begin() + 1, grids_.end());
    } else {
      if (turn.is_held()) {
        // Somebody else's; there may be work again when that is done.
        lock.Unlock();
        turn.End();
        lock.Lock();
        continue;
      }
      work_.Wait(mu_);
      continue;
    }
    lock.Unlock();
    if (grid != nullptr) {
      turn.Begin(1);
      tasks_first = RunGrid(grid, contexts);
    } else {
      tasks_first = false;
      // A copy may wait for the client, and keeps no turn meanwhile.
      if (task.is_library) {
        turn.Begin(options_.cpu_threads);
      } else {
        turn.End();
      }
      task.run();
      FinishTask(slot, task.sequence, task.passes);
    }
    lock.Lock();
    if (tasks_first && std::find(grids_.begin(), grids_.end(), grid) == grids_.end()) {
      grids_.push_back(std::move(grid));
      work_.NotifyOne();
    }
  }
}

void CpuBackend::PrepareGrid(Grid& grid) {
  Kernel& kernel = *grid.kernel;
  std::call_once(kernel.once, [&] {
    const Module& module = *grid.module;
    kernel.decoded = tier0::Decode(*module.source, *kernel.source, [&module](std::string_view name) {
      const auto found = module.symbols.find(std::string(name));
      return found == module.symbols.end() ? std::uint64_t{0} : found->second;
    });
  });
  grid.print = [this, sequence = grid.sequence](std::string_view text) { sink_->Output(sequence, text); };
  grid.complain = [this, sequence = grid.sequence](std::string_view text) { sink_->Complaint(sequence, text); };
  grid.launch.print = &grid.print;
  grid.launch.complain = &grid.complain;
  if (grid.launch.cooperative) {
    // As the driver's: its size, and the word of the barrier.
    grid.workspace[0] = sizeof(grid.workspace);
    grid.launch.workspace = {reinterpret_cast<std::uint8_t*>(grid.workspace.data()), sizeof(grid.workspace)};
  }
  if (kernel.decoded.ok()) {
    grid.launch.kernel = kernel.decoded->get();
    const bool linear = tier0::IsLinear(grid.launch.block);
    if (jit_.mode() == JitMode::kAlways && !kernel.hot[linear ? 1 : 0].exchange(true)) {
      if (const Status compiled = jit_.Compile(**kernel.decoded, linear); !compiled.ok())
        log::Info("jit", "a kernel stays on tier 0: " + compiled.ToString());
    }
  } else {
    grid.failed.store(true);
    sink_->Failed(grid.stream, grid.sequence, kDeviceNotSupported, true, kernel.decoded.status().ToString());
  }
}

// Blocks to run: fresh ones, and a context for them, or some that were put aside. Null if there are none.
// Fresh ones come in increasing order (look-back relies on it) until as many wait as fit on the device.
std::unique_ptr<tier0::BlockContext> CpuBackend::TakeBlocks(Grid& grid, Contexts& contexts, FreshBlocks* fresh) {
  if (grid.aside_count.load() < grid.resident) {
    // So many that each thread comes back some times before the end.
    const std::uint64_t wanted = grid.launch.kernel == nullptr ? 1 : tier0::BlocksAtOnce(grid.launch);
    const std::uint64_t left = grid.blocks - std::min(grid.next.load(std::memory_order_relaxed), grid.blocks);
    const std::uint64_t count = std::clamp<std::uint64_t>(left / (kTurnsOfThread * options_.cpu_threads), 1, wanted);
    const std::uint64_t block = grid.next.fetch_add(count);
    if (block < grid.blocks) {
      *fresh = {block, std::min(count, grid.blocks - block)};
      return contexts.Take();
    }
  }
  *fresh = {};
  const MutexLock lock(grid.mu);
  if (grid.aside.empty()) return nullptr;
  std::unique_ptr<tier0::BlockContext> taken = std::move(grid.aside.front());
  grid.aside.pop_front();
  grid.aside_count.fetch_sub(1);
  return taken;
}

void CpuBackend::CountTime(Grid& grid, Clock::duration time) {
  Kernel& kernel = *grid.kernel;
  const bool linear = tier0::IsLinear(grid.launch.block);
  std::atomic<bool>& hot = kernel.hot[linear ? 1 : 0];
  if (jit_.mode() != JitMode::kAuto || !kernel.decoded.ok() || hot.load(std::memory_order_relaxed)) return;
  const std::int64_t ns = std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
  if (kernel.busy_ns.fetch_add(ns, std::memory_order_relaxed) + ns < std::chrono::nanoseconds(kHotAfter).count() ||
      hot.exchange(true))
    return;
  jit_.CompileLater(kernel.decoded->get(), linear, grid.module);
}

bool CpuBackend::RunGrid(const std::shared_ptr<Grid>& grid, Contexts& contexts) {
  std::call_once(grid->once, [&] { PrepareGrid(*grid); });
  const Clock::time_point begin = Clock::now();
  Clock::time_point last = begin;
  const Clock::duration block_slice = gate_ != nullptr ? kSharedSlice : kBlockSlice;
  const Clock::duration grid_slice = gate_ != nullptr ? kSharedSlice : kGridSlice;
  while (true) {
    FreshBlocks fresh;
    std::unique_ptr<tier0::BlockContext> context = TakeBlocks(*grid, contexts, &fresh);
    if (context == nullptr) return false;
    tier0::Slice slice{true, std::nullopt};
    std::uint64_t ended = fresh.count != 0 ? fresh.count : context->blocks();
    const Clock::time_point now = Clock::now();
    CountTime(*grid, now - last);
    last = now;
    // After a fault the context is lost, with everything that still runs in it, as on a GPU.
    if (!grid->failed.load(std::memory_order_relaxed) && !cancel_.load(std::memory_order_relaxed)) {
      if (fresh.count != 0) slice.fault = tier0::BeginBlocks(grid->launch, fresh.first, fresh.count, *context);
      if (!slice.fault.has_value())
        slice = tier0::RunSlice(*context, grid->launch.cooperative ? now : now + block_slice);
    } else {
      // Nobody needs to take the rest one by one.
      ended += grid->blocks - std::min(grid->next.exchange(grid->blocks), grid->blocks);
    }
    if (!slice.done) {
      const MutexLock lock(grid->mu);
      grid->aside.push_back(std::move(context));
      grid->aside_count.fetch_add(1);
    } else {
      contexts.GiveBack(std::move(context));
      if (slice.fault.has_value() && !grid->failed.exchange(true)) {
        sink_->Failed(grid->stream, grid->sequence, slice.fault->status, true, slice.fault->text);
        cancel_.store(true);
      }
      if (grid->done.fetch_add(ended, std::memory_order_acq_rel) + ended == grid->blocks) {
        if (!grid->kernel->hot[tier0::IsLinear(grid->launch.block) ? 1 : 0].load(std::memory_order_relaxed))
          CountTime(*grid, Clock::now() - last);
        FinishTask(grid->stream, grid->sequence, grid->passes);
        return false;
      }
    }
    // The clock was read before this slice: a grid of many short blocks need not ask twice for each.
    if (now - begin >= grid_slice && HasBlocks(*grid)) return true;
  }
}

}  // namespace accelmesh
