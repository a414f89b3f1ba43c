// The software GPU as a backend: memory in a reserved window, streams as ordered queues over a pool of threads, kernels
// from PTX on tier 0. One device.
//
// Threads: the executor calls; pool threads run tasks and report to the CompletionSink. One lock guards the queues; it
// is not held while a task runs.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "protocol/base/mutex.h"
#include "server/backend/cpu/global_space.h"
#include "server/backend/cpu/jit.h"
#include "server/backend/cpu/library.h"
#include "server/backend/cpu/ptx/module.h"
#include "server/backend/cpu/recycler.h"
#include "server/backend/cpu/tier0/heap.h"
#include "server/backend/cpu/tier0/tier0.h"
#include "server/device.h"

namespace accelmesh {

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const BackendOptions& options);
  ~CpuBackend() override;

  std::string name() const override { return "cpu"; }
  bool has_conditions() const override { return true; }
  bool UseGate(DeviceGate* gate) override {
    gate_ = gate;
    return true;
  }
  Result<std::uint32_t> ReadWord(std::uint32_t stream, std::uint64_t address) override;
  Result<std::vector<DeviceDescription>> Open(std::uint64_t window_base, std::uint64_t window_bytes,
                                              CompletionSink* sink) override;
  Status MemAlloc(std::uint32_t device, std::uint64_t address, std::uint64_t bytes) override;
  Status MemFree(std::uint32_t device, std::uint64_t address) override;
  Status MapHost(MutableByteView memory) override;
  Status UnmapHost(std::uint64_t address) override;
  bool shares_memory() const override { return true; }
  void UseFile(int fd, std::uint64_t offset) override;
  Result<SharedMemory> ExportMemory(std::uint32_t device, std::uint64_t address, std::uint64_t bytes) override;
  Status ShareMemory(std::uint32_t device, const SharedMemory& memory, std::uint64_t address,
                     std::uint64_t bytes) override;
  Status UnshareMemory(std::uint64_t address, std::uint64_t bytes) override;
  void PlaceVariable(std::uint32_t module, std::string name, MutableByteView memory, bool keep) override;
  Result<ModuleDescription> ModuleLoad(std::uint32_t device, std::uint32_t module, Bytes image) override;
  Status ModuleUnload(std::uint32_t module) override;
  Status StreamCreate(std::uint32_t stream, std::uint32_t device, std::uint8_t kind, std::int32_t priority) override;
  Status StreamDestroy(std::uint32_t stream) override;
  std::size_t InFlight(std::uint32_t stream) const override;
  Status Launch(std::uint32_t stream, std::uint64_t sequence, const LaunchJob& job) override;
  Status Copy(std::uint32_t stream, std::uint64_t sequence, CopyJob job) override;
  Status Fill(std::uint32_t stream, std::uint64_t sequence, const FillJob& job) override;
  Status EventCreate(std::uint32_t event, bool timing) override;
  Status EventDestroy(std::uint32_t event) override;
  Status EventRecord(std::uint32_t stream, std::uint64_t sequence, std::uint32_t event) override;
  Status StreamWaitEvent(std::uint32_t stream, std::uint64_t sequence, std::uint32_t event) override;
  Result<float> EventElapsedMs(std::uint32_t start, std::uint32_t end) override;
  Status HostWait(std::uint32_t stream, std::uint64_t sequence, std::uint64_t call) override;
  Status HostDone(std::uint64_t call) override;
  Status SetLimit(std::uint32_t device, std::uint32_t limit, std::uint64_t value) override;
  // library.cpp
  void LibraryOpen(std::uint32_t library, std::uint32_t device, std::function<void(Result<Bytes>)> answer) override;
  std::string LibraryIdentity(std::uint32_t library, std::uint32_t device) override;
  Status LibraryCall(std::uint32_t stream, std::uint64_t sequence, LibraryJob job,
                     std::function<void(LibraryAnswer)> answer) override;
  void LibraryAsk(LibraryJob job, std::function<void(Result<LibraryAnswer>)> answer) override;
  Status TextureCreate(std::uint64_t id, const TextureJob& job) override;
  Status TextureDestroy(std::uint64_t id) override;
  Status Hold(std::uint32_t stream, bool on) override;
  void Close() override;

 private:
  // A kernel of a loaded module; decoded at its first launch.
  struct Kernel {
    const ptx::Kernel* source = nullptr;
    std::once_flag once;
    Result<std::unique_ptr<tier0::DecodedKernel>> decoded{Status(Code::kInternal, "Kernel", "not decoded")};
    std::atomic<std::int64_t> busy_ns{0};       // that threads ran it on tier 0
    std::atomic<bool> hot[2] = {false, false};  // and so tier 1 was asked, by tier0::IsLinear() of the blocks
  };
  struct Module {
    explicit Module(GlobalSpace& space) : globals_in(space) {}
    Module(const Module&) = delete;
    Module& operator=(const Module&) = delete;
    ~Module() {
      for (const auto& [address, bytes] : globals) globals_in.Give(address, bytes);
    }
    GlobalSpace& globals_in;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> globals;  // address, bytes of what it has there
    std::shared_ptr<const ptx::Module> source;
    std::vector<std::unique_ptr<Kernel>> kernels;
    std::unordered_map<std::string, std::uint64_t> symbols;
  };
  // A launch whose blocks several threads share, given out in increasing order.
  struct Grid {
    std::shared_ptr<Module> module;
    Kernel* kernel = nullptr;
    std::once_flag once;                          // of what follows
    tier0::GridLaunch launch;                     // complete then
    std::array<std::uint8_t, 128> few_arguments;  // launch.arguments, if they fit
    Bytes many_arguments;
    std::shared_ptr<const tier0::TextureTable> textures;  // that there were when it came
    std::array<std::uint32_t, 4> workspace{};             // of a cooperative launch
    std::function<void(std::string_view)> print;
    std::function<void(std::string_view)> complain;
    std::uint64_t blocks = 0;
    std::uint64_t resident = 1;  // blocks that may have begun and not ended
    std::atomic<std::uint64_t> next{0};
    std::atomic<std::uint64_t> done{0};
    std::uint32_t stream = 0;
    std::uint64_t sequence = 0;
    bool passes = false;  // as its task
    std::atomic<bool> failed{false};
    Mutex mu;
    std::list<std::unique_ptr<tier0::BlockContext>> aside ACCELMESH_GUARDED_BY(mu);  // begun, not running
    std::atomic<std::size_t> aside_count{0};
  };
  struct Contexts;
  class Turn;
  using Tickets = std::vector<std::pair<std::uint32_t, std::uint64_t>>;  // of streams
  struct Task {
    std::uint64_t sequence = 0;
    Tickets after;
    std::function<void()> run;
    std::shared_ptr<Grid> grid;
    bool is_library = false;                 // computes, on all threads
    std::optional<std::uint64_t> host_call;  // waits for its end
    // Nobody waits for its end by itself; and, once it was taken, enough of the stream's stands behind it.
    bool passes = false;
  };
  struct Stream {
    bool exists = false;
    bool busy = false;
    std::uint32_t device = 0;
    std::uint8_t kind = 1;        // wire::StreamKind
    std::uint64_t queued = 0;     // tickets given
    std::uint64_t completed = 0;  // tickets done
    std::deque<Task> tasks;
  };
  struct Event {
    bool timing = false;
    bool recorded = false;
    std::uint32_t stream = 0;
    std::uint64_t ticket = 0;
    std::shared_ptr<std::atomic<std::int64_t>> at_ns = std::make_shared<std::atomic<std::int64_t>>(0);
  };

  // Memory for [address, address + bytes) of the window; `flags` say how it is placed.
  void* MapWindow(std::uint64_t address, std::uint64_t bytes, int flags) const;
  void Enqueue(std::uint32_t stream, Task task);
  void PoolMain();
  bool Passed(const Tickets& tickets) const ACCELMESH_REQUIRES(mu_);
  bool Ready(const Task& task) const ACCELMESH_REQUIRES(mu_);
  void FinishTask(std::uint32_t stream, std::uint64_t sequence, bool passes);
  // grid.cpp
  static bool HasBlocks(const Grid& grid);
  bool TakeTask(std::uint32_t* slot, Task* task) ACCELMESH_REQUIRES(mu_);
  void PrepareGrid(Grid& grid);
  struct FreshBlocks {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
  };
  std::unique_ptr<tier0::BlockContext> TakeBlocks(Grid& grid, Contexts& contexts, FreshBlocks* fresh);
  // Whether the grid had its slice and blocks are left; else there is nothing to do for this thread.
  bool RunGrid(const std::shared_ptr<Grid>& grid, Contexts& contexts);
  // copy.cpp
  void RunCopy(std::uint32_t stream, std::uint64_t sequence, const CopyJob& job);
  Result<std::uint64_t> AllocateGlobal(const ptx::Variable& variable);
  Status MakeHeap(const ptx::Module& module);
  // Lets go of unloaded modules whose variables nothing under way can mean any more.
  void ForgetModules();

  // Asks tier 1 for a kernel that has run for long.
  void CountTime(Grid& grid, Clock::duration time);

  BackendOptions options_;
  CompletionSink* sink_ = nullptr;
  DeviceGate* gate_ = nullptr;  // null: the device is this session's alone
  std::uint64_t window_base_ = 0;
  std::uint64_t window_bytes_ = 0;
  int file_ = -1;  // that the window's memory lies in, if others may map it
  std::uint64_t file_offset_ = 0;
  GlobalSpace globals_;  // before whatever holds modules
  tier0::MemoryMap memory_;
  std::atomic<bool> cancel_{false};
  std::array<std::atomic<std::uint32_t>, limits::kDevicesMax> stack_bytes_;
  std::atomic<std::uint64_t> heap_bytes_;                                // of a heap that is still to be made
  std::unique_ptr<tier0::Heap> heap_ ACCELMESH_GUARDED_BY(modules_mu_);  // once a module calls malloc

  Mutex host_mu_;
  std::map<std::uint64_t, std::uint64_t> host_ ACCELMESH_GUARDED_BY(host_mu_);  // address -> bytes

  Mutex modules_mu_;
  std::unordered_map<std::uint32_t, std::shared_ptr<Module>> modules_ ACCELMESH_GUARDED_BY(modules_mu_);
  struct Placed {
    MutableByteView memory;
    bool keep;
  };
  std::unordered_map<std::uint32_t, std::unordered_map<std::string, Placed>> placed_
      ACCELMESH_GUARDED_BY(modules_mu_);  // by module that is not loaded yet, name

  // What launches hold: made anew for the first launch after a change. The executor's.
  std::shared_ptr<const tier0::TextureTable> Textures();
  tier0::TextureTable textures_;
  std::shared_ptr<const tier0::TextureTable> textures_now_;

  Jit jit_;
  CpuLibrary library_;

  Recycler grid_memory_;  // before whatever holds grids

  mutable Mutex mu_;
  CondVar work_;
  std::vector<Stream> streams_ ACCELMESH_GUARDED_BY(mu_);
  std::vector<std::uint32_t> live_streams_ ACCELMESH_GUARDED_BY(mu_);
  std::unordered_map<std::uint32_t, Event> events_ ACCELMESH_GUARDED_BY(mu_);
  std::unordered_set<std::uint64_t> host_calls_ ACCELMESH_GUARDED_BY(mu_);  // that streams wait for
  std::vector<std::shared_ptr<Grid>> grids_ ACCELMESH_GUARDED_BY(mu_);      // with blocks left to give out
  struct PastModule {
    std::shared_ptr<Module> module;
    Tickets after;  // work that was under way when it was unloaded
  };
  std::vector<PastModule> past_modules_ ACCELMESH_GUARDED_BY(mu_);
  bool stop_ ACCELMESH_GUARDED_BY(mu_) = false;
  std::vector<std::thread> pool_;
};

}  // namespace accelmesh
