// A session as the client holds it: leased devices with their memory, streams, events, modules and copies, all over one
// ordered command stream. The faces (runtime, later driver and libraries) are thin translations onto this class.
//
// Threads: everything may be called from any thread; bookkeeping is under short locks, none held across a wait.
// Errors: DeviceResult carries a CUresult number for the application (0 = success); a lost connection is
// kDeviceUnknown (999) for every later call. Who decides on an error logs it.
// Units: bytes; sequence numbers of the command stream.
#pragma once

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "shim/core/address_space.h"
#include "shim/core/command_stream.h"
#include "shim/core/host_calls.h"
#include "shim/core/window.h"

namespace accelmesh {

// A CUresult number; the runtime's cudaError_t uses the same numbers for everything that the core returns.
using DeviceResult = std::uint32_t;

struct KernelLayout {
  std::uint32_t module = 0;
  std::uint32_t index = 0;
  std::string name;
  std::vector<wire::KernelParameter> parameters;
  std::uint32_t argument_bytes = 0;
  std::uint32_t max_threads_per_block = 0;
  std::uint32_t static_shared_bytes = 0;
  std::uint32_t local_bytes = 0;
  std::uint32_t constant_bytes = 0;
  std::uint32_t registers = 0;
  std::uint32_t ptx_version = 0;
  std::uint32_t binary_version = 0;
};
struct GlobalVariable {
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
};
struct LoadedModule {
  std::uint32_t id = 0;
  DeviceResult error = 0;  // why it did not load; then the rest is empty
  std::unordered_map<std::string, KernelLayout> kernels;
  std::unordered_map<std::string, GlobalVariable> globals;
};

struct LeasedDevice {
  std::string name;
  std::array<std::uint8_t, 16> uuid{};
  std::string pci_bus_id;
  std::uint64_t memory_bytes = 0;
  std::unordered_map<std::uint32_t, std::int32_t> attributes;
  int Attribute(std::uint32_t id) const {
    const auto found = attributes.find(id);
    return found == attributes.end() ? 0 : found->second;
  }
};

struct Stream {
  std::uint32_t slot = 0;
  std::uint32_t device = 0;
  wire::StreamKind kind = wire::StreamKind::Legacy;
  int priority = 0;
  unsigned flags = 0;
  std::atomic<std::uint64_t> last_sequence{0};
};

struct Event {
  std::uint32_t id = 0;
  std::uint32_t device = 0;
  bool timing = true;
  // What the last record put it behind, in one word, so that asking takes no lock: the stream's slot in the upper bits,
  // the sequence below. 0: never recorded.
  std::atomic<std::uint64_t> record{0};

  static constexpr unsigned kSequenceBits = 52;
  static_assert(limits::kStreamsMax <= 1u << (64 - kSequenceBits));
  static std::uint64_t SequenceOf(std::uint64_t record) { return record & ((std::uint64_t{1} << kSequenceBits) - 1); }
  static std::uint32_t SlotOf(std::uint64_t record) { return static_cast<std::uint32_t>(record >> kSequenceBits); }
  bool recorded() const { return record.load(std::memory_order_acquire) != 0; }
};

struct PinnedRange {
  std::uint8_t* address = nullptr;
  std::size_t bytes = 0;
  std::uint32_t region = 0;  // valid if shared
  bool shared = false;
  unsigned flags = 0;
};

struct PitchedSide {
  std::uint64_t address = 0;  // host or device
  std::uint64_t pitch = 0;
  std::uint64_t slice = 0;
  bool is_device = false;
};

struct LaunchGeometry {
  std::uint32_t grid[3];
  std::uint32_t block[3];
  std::uint32_t shared_bytes = 0;
  std::uint32_t attributes = 0;
};

class ClientSession {
 public:
  // Offers window candidates until the worker takes one, and reads the devices.
  static Result<std::unique_ptr<ClientSession>> Open(std::unique_ptr<ClientChannel> channel,
                                                     std::function<void(std::string_view)> output);
  ~ClientSession();

  const std::vector<LeasedDevice>& devices() const { return devices_; }
  const std::string& backend() const { return backend_; }
  int driver_version() const { return driver_version_; }
  CommandStream& commands() { return *commands_; }
  bool IsDeviceAddress(const void* pointer) const { return window_.Contains(pointer); }
  // The first asynchronous error, 0 if there is none. A sticky one stays; any other is taken (returned once).
  DeviceResult TakeAsyncError();
  DeviceResult StickyError() const;

  DeviceResult Malloc(std::uint32_t device, std::uint64_t bytes, std::uint64_t* address);
  DeviceResult Free(std::uint64_t address);
  void MemoryInfo(std::uint32_t device, std::uint64_t* free_bytes, std::uint64_t* total_bytes);
  // The allocation (or module global) around a device address; false if there is none.
  bool FindDeviceRange(std::uint64_t address, AddressSpace::Range* range, std::uint32_t* device);

  DeviceResult MallocPinned(std::size_t bytes, unsigned flags, void** address);
  DeviceResult FreePinned(void* address);
  bool FindPinned(const void* address, PinnedRange* range);

  // Streams. `Legacy(d)` is device d's default stream. Pointers are valid until DestroyStream.
  Stream* Legacy(std::uint32_t device) { return legacy_[device]; }
  DeviceResult CreateStream(std::uint32_t device, wire::StreamKind kind, unsigned flags, int priority, Stream** stream);
  DeviceResult DestroyStream(Stream* stream);
  bool IsStream(const Stream* stream);
  // Whether Synchronize() would not wait.
  bool Idle(const Stream& stream) const;
  DeviceResult Synchronize(const Stream& stream);
  DeviceResult SynchronizeDevice(std::uint32_t device);

  DeviceResult CreateEvent(std::uint32_t device, bool timing, Event** event);
  DeviceResult DestroyEvent(Event* event);
  bool IsEvent(const Event* event);
  DeviceResult RecordEvent(Event* event, Stream* stream);
  DeviceResult WaitEvent(Stream* stream, Event* event);
  bool EventDone(const Event& event);
  DeviceResult SynchronizeEvent(const Event& event);
  DeviceResult EventElapsed(const Event& start, const Event& end, float* milliseconds);

  // Runs `function` on a thread of the session's once the stream has come to it; what is behind it on the stream waits
  // for its end. It must not wait for the device.
  DeviceResult CallHost(Stream* stream, HostCalls::Function function);

  // Copies in stream order. `wait` asks for CUDA's synchronous form (the call returns when the copy is complete, or the
  // source of a host-to-device copy may be reused). Host memory may be pinned or pageable.
  DeviceResult CopyToDevice(Stream* stream, std::uint64_t dst, const void* src, std::uint64_t bytes, bool wait);
  DeviceResult CopyToHost(Stream* stream, void* dst, std::uint64_t src, std::uint64_t bytes, bool wait);
  DeviceResult CopyOnDevice(Stream* stream, std::uint64_t dst, std::uint64_t src, std::uint64_t bytes);
  // `width` bytes, `height` rows, `depth` slices; at least one side is device memory.
  DeviceResult CopyPitched(Stream* stream, const PitchedSide& dst, const PitchedSide& src, std::uint64_t width,
                           std::uint64_t height, std::uint64_t depth, bool wait);
  DeviceResult Fill(Stream* stream, const wire::Fill& fill);

  std::shared_ptr<const LoadedModule> LoadModule(std::uint32_t device, ByteView image);
  // Nothing may use the module any more: its launches have completed.
  void UnloadModule(const LoadedModule& module);
  DeviceResult Launch(Stream* stream, const KernelLayout& kernel, const LaunchGeometry& geometry,
                      void* const* arguments);

 private:
  ClientSession(std::unique_ptr<CommandStream> commands, Window window);
  Status ReadInfo(const Reply& reply);
  // Posts a command that belongs to a stream and notes its sequence there, and in `posted` if it is asked for.
  template <typename T>
  DeviceResult PostOn(Stream* stream, const T& body, ByteView payload = {}, std::uint64_t* posted = nullptr);
  template <typename Predicate>
  DeviceResult Wait(Predicate done);
  DeviceResult Lost(const Status& status);
  struct Point {
    std::uint32_t slot;
    std::uint64_t sequence;
  };
  bool Passed(std::uint32_t slot, std::uint64_t sequence) const;
  bool Passed(const std::vector<Point>& work) const;
  bool OwnWorkPassed(const Stream& stream) const;
  // What a synchronise of the stream waits for.
  std::vector<Point> WorkBefore(const Stream& stream) const;
  bool AnythingPending() const;
  // Everything up to the returned sequence has completed on every stream.
  std::uint64_t PassedByAll() const;
  void ReapLanded();
  // Waits for the body of `token`, which the command `sequence` of stream slot `slot` sends; ends the expectation.
  // `landed` is false if the command completed without its bytes: it failed.
  DeviceResult AwaitBody(std::uint64_t token, std::uint32_t slot, std::uint64_t sequence, bool* landed);
  // Pinned memory that the server writes in place: noted when posted, forgotten when passed.
  void NotePinnedWrite(std::uint32_t slot, std::uint64_t sequence);
  bool PinnedWritesPending();
  // Whether an asynchronous copy into pinned memory may not have landed yet.
  bool HostWritesPending();

  std::unique_ptr<CommandStream> commands_;
  HostCalls host_calls_;
  Window window_;
  std::vector<LeasedDevice> devices_;  // constant after Open(), as are the next three
  std::string backend_;
  int driver_version_ = 0;
  std::vector<Stream*> legacy_;  // by device
  std::atomic<bool> error_taken_{false};
  std::atomic<bool> lost_{false};

  mutable Mutex memory_mu_;
  std::vector<AddressSpace> memory_ ACCELMESH_GUARDED_BY(memory_mu_);
  std::map<std::uint64_t, std::pair<std::uint64_t, std::uint32_t>> globals_
      ACCELMESH_GUARDED_BY(memory_mu_);  // address -> bytes, device

  mutable Mutex pinned_mu_;
  std::map<std::uintptr_t, PinnedRange> pinned_ ACCELMESH_GUARDED_BY(pinned_mu_);
  std::uint32_t next_region_ ACCELMESH_GUARDED_BY(pinned_mu_) = 0;
  std::unordered_map<std::uint32_t, std::uint64_t> pinned_writes_
      ACCELMESH_GUARDED_BY(pinned_mu_);  // stream slot -> its last
  std::atomic<bool> any_pinned_write_{false};
  struct Landing {
    std::uint64_t token;
    std::uint32_t slot;
    std::uint64_t sequence;
  };
  std::vector<Landing> landing_ ACCELMESH_GUARDED_BY(pinned_mu_);  // asynchronous copies into host memory
  std::atomic<int> landing_count_{0};

  struct KnownHandle;
  std::atomic<std::uint64_t> handle_generation_{1};
  mutable Mutex stream_mu_;
  std::vector<std::unique_ptr<Stream>> streams_ ACCELMESH_GUARDED_BY(stream_mu_);  // by slot; null where free
  std::vector<std::uint32_t> zombies_
      ACCELMESH_GUARDED_BY(stream_mu_);  // slots of destroyed streams whose work has not ended
  std::unordered_map<const Event*, std::unique_ptr<Event>> events_ ACCELMESH_GUARDED_BY(stream_mu_);
  std::vector<std::uint32_t> free_event_ids_ ACCELMESH_GUARDED_BY(stream_mu_);
  std::uint32_t next_event_ ACCELMESH_GUARDED_BY(stream_mu_) = 0;
  std::vector<std::uint32_t> free_module_ids_ ACCELMESH_GUARDED_BY(stream_mu_);
  std::uint32_t next_module_ ACCELMESH_GUARDED_BY(stream_mu_) = 0;
};

}  // namespace accelmesh
