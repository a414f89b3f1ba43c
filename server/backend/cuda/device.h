// NVIDIA GPUs as a backend, by the driver API. Loaded at start (driver.h); all devices that the driver shows this
// process, which CUDA_VISIBLE_DEVICES chooses.
//
// The executor only queues: what could wait goes to threads of this backend. Progress reports completions (progress.h),
// two movers carry copies that cannot go at once (mover.h), a service thread unmaps, unloads and registers (service.h),
// another makes what calls of NVIDIA's libraries need (library.h).
// Order is the driver's own: streams, events and the legacy rule are native. Only one thing is added: a mark on a
// legacy stream orders what stands around it, so before a command of a stream that has to do with it, all that came
// before gets its mark. Threads: as server/device.h says. After a sticky error commands complete without running.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "server/backend/cuda/arrays.h"
#include "server/backend/cuda/direct.h"
#include "server/backend/cuda/memory.h"
#include "server/backend/cuda/module.h"
#include "server/backend/cuda/mover.h"
#include "server/backend/cuda/output.h"
#include "server/backend/cuda/progress.h"
#include "server/backend/cuda/service.h"

namespace accelmesh {
namespace cuda {
class Library;
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const BackendOptions& options) : options_(options), streams_(limits::kStreamsMax) {}
  ~CudaBackend() override { Close(); }

  std::string name() const override { return "cuda"; }
  Status Prepare() override;
  void UsePlans(std::shared_ptr<PlanKeeper> keeper) override { plan_keeper_ = std::move(keeper); }
  void UseDirect(DirectLane* lane) override { lane_ = lane; }
  Result<std::vector<DeviceDescription>> Open(std::uint64_t window_base, std::uint64_t window_bytes,
                                              CompletionSink* sink) override;
  Status MemAlloc(std::uint32_t device, std::uint64_t address, std::uint64_t bytes) override;
  Status MemFree(std::uint32_t device, std::uint64_t address) override;
  Status MapHost(MutableByteView memory) override;
  Status UnmapHost(std::uint64_t address) override;
  bool shares_memory() const override;
  Result<SharedMemory> ExportMemory(std::uint32_t device, std::uint64_t address, std::uint64_t bytes) override;
  Status ShareMemory(std::uint32_t device, const SharedMemory& memory, std::uint64_t address,
                     std::uint64_t bytes) override;
  Status UnshareMemory(std::uint64_t address, std::uint64_t bytes) override;
  bool places_variables() const override { return false; }
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
  bool knows_occupancy() const override { return true; }
  Result<OccupancyAnswer> Occupancy(const OccupancyJob& job) override;
  bool has_conditions() const override { return true; }
  Status FetchWord(std::uint32_t stream, std::uint64_t sequence, std::uint64_t address) override;
  Result<std::uint32_t> ReadWord(std::uint32_t stream, std::uint64_t address) override;
  void LibraryOpen(std::uint32_t library, std::uint32_t device, std::function<void(Result<Bytes>)> answer) override;
  std::string LibraryIdentity(std::uint32_t library, std::uint32_t device) override;
  Status LibraryCall(std::uint32_t stream, std::uint64_t sequence, LibraryJob job,
                     std::function<void(LibraryAnswer)> answer) override;
  void LibraryAsk(LibraryJob job, std::function<void(Result<LibraryAnswer>)> answer) override;
  Status SetLimit(std::uint32_t device, std::uint32_t limit, std::uint64_t value) override;
  bool has_texture_handles() const override { return true; }
  Status TextureCreate(std::uint64_t id, const TextureJob& job) override;
  void TextureHandle(std::uint64_t id, std::function<void(Result<std::uint64_t>)> answer) override;
  Status TextureDestroy(std::uint64_t id) override;
  void RegionReleased(MutableByteView region) override;
  bool WantsInputDrained() const override { return !unmarked_.empty(); }
  void InputDrained() override;
  Status Hold(std::uint32_t stream, bool on) override;
  void Close() override;

 private:
  // What the driver and this backend's threads hold on to. Outlives the backend if a thread is stuck in the driver.
  struct Parts {
    explicit Parts(const cuda::Driver& loaded) : driver(loaded), output(driver), regions(driver) {}
    cuda::Driver driver;
    std::vector<std::unique_ptr<cuda::Device>> devices;
    std::uint8_t* pinned = nullptr;  // words, staging, the movers' buffers, a fetched word and a result a stream
    std::uint64_t window_base = 0;
    std::uint64_t window_bytes = 0;
    cuda::Output output;
    cuda::SharedRegions regions;
    std::unique_ptr<cuda::Progress> progress;
    std::unique_ptr<cuda::Mover> up;
    std::unique_ptr<cuda::Mover> down;
    std::unique_ptr<cuda::HostStops> host_stops;
    cuda::Service service;
    std::shared_ptr<cuda::Library> library;
    std::unique_ptr<cuda::Direct> direct;  // if the channel has a lane
    std::vector<std::unique_ptr<cuda::DeviceMemory>> memory;
    bool IsArenaPinned() { return regions.Find(direct->lane().bodies().data()) == cuda::SharedRegions::State::kPinned; }
    // Reasons why all streams wait: memory that is being found or registered.
    std::atomic<std::uint32_t> waits{0};
    CompletionSink* sink = nullptr;
    Mutex modules_mu;
    std::unordered_map<std::uint32_t, std::shared_ptr<cuda::Module>> modules ACCELMESH_GUARDED_BY(modules_mu);
    std::unordered_set<std::uint64_t> mapped_host;  // the service thread's
  };
  struct Event {
    CUevent handle = nullptr;
    cuda::Device* device = nullptr;
    bool timing = false;
    cuda::Dependency recorded_on;  // where its last record's mark is
  };
  using StreamPtr = std::shared_ptr<cuda::Stream>;
  // A texture or surface object, made by the service thread.
  struct Texture {
    const cuda::Device* device = nullptr;
    bool is_surface = false;
    Mutex mu;
    std::optional<Result<std::uint64_t>> handle ACCELMESH_GUARDED_BY(mu);
    std::vector<std::function<void(Result<std::uint64_t>)>> asked ACCELMESH_GUARDED_BY(mu);  // who waits for it

    void Finish(Result<std::uint64_t> made);
    void Ask(std::function<void(Result<std::uint64_t>)> answer);
    bool is_made();  // or known not to be
    void Destroy(const cuda::Driver& driver);
  };

  // Addresses that the driver has reserved.
  struct Held {
    std::uint64_t base = 0;
    std::uint64_t bytes = 0;
  };
  void HoldCandidates();
  void LetGo(const Held& held);
  Status MakeParts();
  Status MakeDevice(CUdevice handle);
  Status MakePinned();
  Result<DeviceDescription> Describe(const cuda::Device& device) const;
  PeerDescription DescribePeer(const cuda::Device& device, const cuda::Device& peer) const;
  void StartThreads();
  void JoinLane();
  void TearDown();

  cuda::Stream& At(std::uint32_t stream) const { return *streams_[stream]; }
  std::uint32_t* FetchedWord(std::uint32_t stream) const;
  bool IsStopped(const cuda::Stream& stream) const;
  // Before a command goes to the driver: makes the device current, and marks what the command would come to stand
  // before. False: the context is lost.
  bool Begin(cuda::Stream& stream);
  // What the stream's next mark stands behind: what the legacy-stream rule has it wait for; a mark of another stream.
  void NoteLegacyRule(cuda::Stream& stream);
  static void DependOn(cuda::Stream& stream, const StreamPtr& other, std::uint64_t mark);
  // Tells the client what went wrong with a command, if anything did.
  void Report(std::uint32_t stream, std::uint64_t sequence, CUresult result, const std::string& what);
  // After it: counts it, and marks the stream if many commands are without a mark. Count() does only the first.
  Status End(std::uint32_t stream, std::uint64_t sequence);
  // Has the driver allow the kernel what a launch asks for beyond what every launch may.
  CUresult Allow(cuda::Kernel& kernel, std::uint32_t shared_bytes, const ClusterJob& cluster);
  void Count(std::uint32_t stream, std::uint64_t sequence);
  void MarkAll(const StreamPtr& stream, std::unique_ptr<cuda::Parcel> parcel = nullptr,
               std::function<void()> tell = nullptr);
  // The stream comes to a stop with this command.
  Status StopAt(std::uint32_t stream, std::unique_ptr<cuda::Stop> stop);
  std::vector<cuda::Point> Points() const;
  // Runs `step` on the service thread until it is true; meanwhile all streams wait.
  void WaitFor(std::function<bool()> step);
  // texture.cpp. The array of the driver's that the side lies in; null if it is memory.
  std::shared_ptr<const cuda::RealArray> ArrayOf(const CopySide& side) const;
  void ForgetArray(std::uint64_t address);
  void DestroyTextures();

  BackendOptions options_;
  DirectLane* lane_ = nullptr;
  std::shared_ptr<PlanKeeper> plan_keeper_;
  std::unique_ptr<Parts> parts_;
  Status prepared_ = Status(Code::kInternal, "CudaBackend::Prepare", "not done");
  bool is_prepared_ = false;
  bool is_open_ = false;
  std::vector<Held> held_;  // candidates for the window, until one is chosen

  // The executor's.
  std::vector<StreamPtr> streams_;
  std::vector<StreamPtr> unmarked_;  // streams with commands that no mark covers
  std::vector<StreamPtr> retired_;   // destroyed, with work
  std::unordered_map<std::uint32_t, Event> events_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Texture>> textures_;
  std::map<std::uint64_t, std::shared_ptr<cuda::RealArray>> arrays_;  // by their first address
  struct Import {
    std::uint32_t device = 0;
    std::uint64_t start = 0;
  };
  std::map<std::uint64_t, Import> imports_;  // by the address that is used
  std::vector<void*> arguments_;             // of the launch at hand
};

}  // namespace accelmesh
