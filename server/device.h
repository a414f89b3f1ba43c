// What a device backend does for a session: the one interface between the executor and cpu, cuda and null devices.
//
// A backend is a shared object opened by the worker at start (CreateBackend below); it serves one session. The executor
// is its only caller unless a method says otherwise, and no method may wait for the device: work is queued on streams
// and its end is reported through CompletionSink, in order within a stream, from any thread. A stream's commands carry
// the session's sequence number.
//
// Order among streams is the backend's: streams run concurrently; a legacy stream's command waits for all earlier
// commands of that device's blocking streams and later ones of those wait for it (CUDA's legacy default stream).
// Device addresses are what the client chose; the backend reserves exactly the window offered in Open().
// Errors: a Status is the caller's mistake or ours (Code::kInvalidArgument etc.); an error of the device itself goes
// to CompletionSink::Failed with a CUresult number.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/limits.h"
#include "protocol/base/result.h"
#include "protocol/transport/channel.h"

namespace accelmesh {

// CUresult numbers that our own code decides on; everything else comes from a driver.
enum DeviceStatus : std::uint32_t {
  kDeviceOk = 0,
  kDeviceInvalidValue = 1,
  kDeviceOutOfMemory = 2,
  kDeviceInvalidContext = 201,
  kDeviceInvalidPtx = 218,
  kDeviceUnsupportedPtxVersion = 222,
  kDeviceNoBinary = 209,
  kDeviceInvalidHandle = 400,
  kDeviceNotFound = 500,
  kDeviceIllegalAddress = 700,
  kDeviceLaunchOutOfResources = 701,
  kDeviceAssert = 710,
  kDeviceMisaligned = 716,
  kDeviceInvalidPc = 718,
  kDeviceLaunchFailed = 719,
  kDeviceCooperativeLaunchTooLarge = 720,
  kDeviceNotSupported = 801,
  kDeviceUnknown = 999,
};

struct Dim3 {
  std::uint32_t x = 1, y = 1, z = 1;
  std::uint64_t count() const { return static_cast<std::uint64_t>(x) * y * z; }
};

// What a device is: enough for the client to answer every query without asking. `attributes` are pairs of
// CUdevice_attribute number and value.
// What a device's kernels can do with the memory of device `device`.
struct PeerDescription {
  std::uint32_t device = 0;
  bool native_atomics = false;
  bool array_access = false;
  bool partial_atomics = false;
  std::uint32_t performance_rank = 0;  // 0 is the best
};

struct DeviceDescription {
  std::string name;
  std::array<std::uint8_t, 16> uuid{};
  std::string pci_bus_id;
  std::uint64_t memory_bytes = 0;  // that this session may allocate
  std::uint64_t window_base = 0;
  std::uint64_t window_bytes = 0;
  std::uint64_t import_bytes = 0;  // behind that, where the session opens other sessions' memory; the session's to set
  // The device's part and what is opened there are whole units of this size.
  std::uint64_t import_unit_bytes = limits::kPageBytes;
  std::vector<std::pair<std::uint32_t, std::int32_t>> attributes;
  std::vector<PeerDescription> peers;  // the others that it reaches
};

struct KernelDescription {
  std::string name;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> parameters;  // offset, bytes
  std::uint32_t max_threads_per_block = 1024;
  std::uint32_t static_shared_bytes = 0;
  std::uint32_t local_bytes = 0;
  std::uint32_t constant_bytes = 0;
  std::uint32_t registers = 0;
  std::uint32_t ptx_version = 0;
  std::uint32_t binary_version = 0;
  // Clusters, of a device that has them: compiled in, in blocks, 0 for none; whether a launch has to have one; and
  // CUclusterSchedulingPolicy of launches that name none.
  std::uint32_t cluster[3] = {0, 0, 0};
  bool cluster_must_be_set = false;
  std::uint8_t cluster_policy = 0;
};
struct GlobalDescription {
  std::string name;
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  bool is_constant = false;
  bool is_managed = false;  // if the backend does not place variables: a driver has, as managed memory
};
struct ModuleDescription {
  std::vector<KernelDescription> kernels;
  std::vector<GlobalDescription> globals;
  // Its kernels may set conditions (Backend::has_conditions) in a way that is not ours: no graph with some runs them.
  bool has_foreign_conditions = false;
};

// One side of a copy. Exactly one of: device memory; bytes that came with the command (`body`, owned); memory the
// client shares (`host`, lives as long as the session); a token the client awaits (`token`, destination only).
struct CopySide {
  enum class Kind : std::uint8_t { kDevice, kBody, kHost, kToken };
  Kind kind = Kind::kDevice;
  std::uint64_t address = 0;
  MutableByteView host;
  MutableByteView region;  // all of the shared memory that `host` lies in
  std::uint64_t token = 0;
  std::uint64_t pitch = 0;  // bytes from row to row
  std::uint64_t slice = 0;  // bytes from slice to slice
};
// `depth` slices of `height` rows of `width` bytes. A linear copy is one row.
struct CopyJob {
  CopySide dst;
  CopySide src;
  std::unique_ptr<BulkBody> body;  // for kBody
  std::uint64_t width = 0;
  std::uint64_t height = 1;
  std::uint64_t depth = 1;
};
struct FillJob {
  std::uint64_t address = 0;
  std::uint64_t pitch = 0;
  std::uint64_t slice = 0;
  std::uint64_t width = 0;  // elements
  std::uint64_t height = 1;
  std::uint64_t depth = 1;
  std::uint32_t value = 0;
  std::uint32_t element_bytes = 1;
};
// How the blocks of a launch are put together.
struct ClusterJob {
  Dim3 size{0, 0, 0};         // blocks of one; 0: none is asked for
  Dim3 preferred{0, 0, 0};    // in the place of several of those, where there is room; 0: none
  std::uint8_t policy = 0;    // CUclusterSchedulingPolicy
  bool may_be_large = false;  // more blocks than every device has in one
};
struct LaunchJob {
  std::uint32_t device = 0;
  std::uint32_t module = 0;
  std::uint32_t kernel = 0;
  Dim3 grid;
  Dim3 block;
  std::uint32_t shared_bytes = 0;
  bool cooperative = false;
  ClusterJob cluster;
  ByteView arguments;  // valid during the call only
};
// What is asked about a launch: see wire::OccupancyOf.
struct OccupancyJob {
  enum class Of : std::uint8_t { kBlocks, kClusters, kClusterSize };
  Of of = Of::kBlocks;
  std::uint32_t module = 0;
  std::uint32_t kernel = 0;
  Dim3 grid;
  Dim3 block;
  std::uint32_t shared_bytes = 0;
  ClusterJob cluster;
};
struct OccupancyAnswer {
  DeviceStatus status = kDeviceOk;
  std::uint32_t count = 0;
  std::string text;  // of an error
};

// A texture or surface object. Numbers of formats, modes, flags and views are the CUDA driver's.
struct TextureJob {
  enum class Source : std::uint8_t { kLinear, kPitched, kArray, kMipmapped };
  // Extents are texels, 0 where a dimension is absent; the depth of a layered array counts its layers.
  struct Level {
    std::uint64_t address = 0;
    std::uint64_t pitch = 0;  // bytes from row to row
    std::uint64_t slice = 0;  // bytes from slice to slice
    std::uint64_t width = 0;
    std::uint32_t height = 0;
    std::uint32_t depth = 0;
  };
  struct Sampling {
    std::array<float, 4> border{};
    float mipmap_bias = 0;
    float mipmap_min = 0;
    float mipmap_max = 0;
    std::uint32_t anisotropy_max = 0;
    std::uint32_t flags = 0;  // CU_TRSF_*
    std::array<std::uint8_t, 3> address{};
    std::uint8_t filter = 0;
    std::uint8_t mipmap_filter = 0;
  };
  struct View {
    std::uint32_t first_level = 0;
    std::uint32_t last_level = 0;
    std::uint32_t first_layer = 0;
    std::uint32_t last_layer = 0;
    std::uint32_t format = 0;  // CUresourceViewFormat
  };
  std::uint32_t device = 0;
  Source source = Source::kLinear;
  bool is_surface = false;
  std::uint8_t format = 0;    // CUarray_format
  std::uint8_t channels = 0;  // 1, 2 or 4
  std::uint32_t array_flags = 0;
  std::vector<Level> levels;  // of the whole resource, at least one
  Sampling sampling;
  std::optional<View> view;
};

// What another session maps to reach an allocation: pieces of files, one behind the other, in whole units; the
// allocation begins `lead` bytes behind their start.
struct SharedPiece {
  std::uint64_t id = 0;      // of the file, never that of another; 0: the file of UseFile()
  std::uint64_t offset = 0;  // in the file
  std::uint64_t bytes = 0;
  int fd = -1;  // none of the file of UseFile() where it is exported
};
struct SharedMemory {
  std::vector<SharedPiece> pieces;
  std::uint64_t lead = 0;
  std::uint64_t span() const {
    std::uint64_t bytes = 0;
    for (const SharedPiece& piece : pieces) bytes += piece.bytes;
    return bytes;
  }
};

// One call of a function of NVIDIA's libraries; see protocol/library. `library` and `function` are one that the backend
// said it has, `arguments` have that function's shape.
struct LibraryJob {
  std::uint32_t device = 0;
  std::uint32_t library = 0;
  std::uint32_t function = 0;
  std::shared_ptr<const Bytes> settings;
  Bytes arguments;
};
struct LibraryAnswer {
  std::uint32_t status = 0;  // the library's
  Bytes results;
};

// Where a backend reports; safe from any thread.
class CompletionSink {
 public:
  virtual ~CompletionSink() = default;
  // All commands of `stream` up to `sequence` have completed, their effects are visible.
  virtual void Completed(std::uint32_t stream, std::uint64_t sequence) = 0;
  // The same where nobody waits for this command by itself and more of the stream's is queued behind it: the client may
  // hear of it a little later.
  virtual void Passing(std::uint32_t stream, std::uint64_t sequence) { Completed(stream, sequence); }
  // The command failed. `text` is for people. Followed by Completed() all the same.
  virtual void Failed(std::uint32_t stream, std::uint64_t sequence, DeviceStatus status, bool sticky,
                      std::string_view text) = 0;
  // Sends device bytes to the client's expectation `token`; waits for room. Not from the executor's thread.
  virtual Status SendToClient(std::uint64_t token, std::uint64_t offset, ByteView bytes) = 0;
  // InFlight(stream) has become 0; behind Completed(). Only a backend with conditions need say so.
  virtual void Drained(std::uint32_t /*stream*/) {}
  // Text that a kernel printed.
  virtual void Output(std::uint64_t sequence, std::string_view text) = 0;
  // What the device itself says to whoever runs the program: failed assertions.
  virtual void Complaint(std::uint64_t sequence, std::string_view text) = 0;
};

// Whose turn it is on the device, among the sessions of a server (server/shares). Any thread but the executor's.
class DeviceGate {
 public:
  virtual ~DeviceGate() = default;
  // Waits for a turn on so many threads of the device, some milliseconds of work. Leave() ends it.
  virtual std::uint32_t Enter(std::uint32_t threads) = 0;
  virtual void Leave(std::uint32_t turn) = 0;
  // Nobody waits any more, now and later.
  virtual void Stop() = 0;
};

// What a backend has made for one session and would have to make again for the next, as bytes that only it reads: it is
// handed what it kept for the same holder of leases, and nobody else's; a server without a market serves one owner, its
// user. Any thread; waits for files.
class PlanKeeper {
 public:
  virtual ~PlanKeeper() = default;
  virtual std::optional<Bytes> Find(ByteView key) = 0;
  virtual void Keep(ByteView key, ByteView plan) = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;
  // Does ahead what does not need to know the window, so that a warm worker's session begins at once. Open() does what
  // was not done, and says again why it cannot be.
  virtual Status Prepare() { return Status::Ok(); }
  // Before Open(): what computes asks it for turns. It outlives the backend. Whether the backend does.
  virtual bool UseGate(DeviceGate* /*gate*/) { return false; }
  // Before Open(): where plans of libraries outlive the session. Without one they are made anew.
  virtual void UsePlans(std::shared_ptr<PlanKeeper> /*keeper*/) {}
  // Before Open(): the session's channel has a way to the device's memory past this process's processor. It is there
  // until Close() has returned.
  virtual void UseDirect(DirectLane* /*lane*/) {}
  // Reserves exactly the window and describes the devices. kFull: the window is taken here, offer another.
  virtual Result<std::vector<DeviceDescription>> Open(std::uint64_t window_base, std::uint64_t window_bytes,
                                                      CompletionSink* sink) = 0;

  virtual Status MemAlloc(std::uint32_t device, std::uint64_t address, std::uint64_t bytes) = 0;
  virtual Status MemFree(std::uint32_t device, std::uint64_t address) = 0;

  // Host memory that the device may reach from now on, at this very address: pages of the worker, outside of the
  // window.
  virtual Status MapHost(MutableByteView memory) = 0;
  // The start of such memory; nothing uses it any more. Its pages are there until this returns.
  virtual Status UnmapHost(std::uint64_t address) = 0;

  // Whether the session says where managed variables lie. Else a driver does, in memory that this process may read and
  // write while the device works, and the module's globals tell where.
  virtual bool places_variables() const { return true; }
  // The variable `name` of the image that is loaded next as `module` lies at `memory`, which MapHost() was told of; its
  // initial value is written there unless `keep`.
  virtual void PlaceVariable(std::uint32_t /*module*/, std::string /*name*/, MutableByteView /*memory*/,
                             bool /*keep*/) {}
  // May take long; called on a service thread, one at a time, at the same time as other methods.
  virtual Result<ModuleDescription> ModuleLoad(std::uint32_t device, std::uint32_t module, Bytes image) = 0;
  virtual Status ModuleUnload(std::uint32_t module) = 0;

  virtual Status StreamCreate(std::uint32_t stream, std::uint32_t device, std::uint8_t kind, std::int32_t priority) = 0;
  virtual Status StreamDestroy(std::uint32_t stream) = 0;

  // How many commands of `stream` are queued and not complete; the executor parks a stream beyond its window.
  virtual std::size_t InFlight(std::uint32_t stream) const = 0;

  virtual Status Launch(std::uint32_t stream, std::uint64_t sequence, const LaunchJob& job) = 0;
  virtual Status Copy(std::uint32_t stream, std::uint64_t sequence, CopyJob job) = 0;
  virtual Status Fill(std::uint32_t stream, std::uint64_t sequence, const FillJob& job) = 0;

  virtual Status EventCreate(std::uint32_t event, bool timing) = 0;
  virtual Status EventDestroy(std::uint32_t event) = 0;
  virtual Status EventRecord(std::uint32_t stream, std::uint64_t sequence, std::uint32_t event) = 0;
  virtual Status StreamWaitEvent(std::uint32_t stream, std::uint64_t sequence, std::uint32_t event) = 0;
  // Both events have completed (the client waited for them). kInvalidArgument if one was never recorded or untimed.
  virtual Result<float> EventElapsedMs(std::uint32_t start, std::uint32_t end) = 0;

  // The stream stops when it comes to this: it reports everything before (Completed with sequence - 1), and completes
  // this command when HostDone(call) has come too, which may be before. `call` is unique among those not done.
  virtual Status HostWait(std::uint32_t stream, std::uint64_t sequence, std::uint64_t call) = 0;
  virtual Status HostDone(std::uint64_t call) = 0;

  // Texture and surface objects, over memory that is allocated. Who launches later may name the object: by its id,
  // which is never used again, or, if the backend has handles of its own, by what TextureHandle() gives. Destroyed once
  // no command that came before can still go to the backend; those that did may be running. kUnsupported says why not.
  virtual bool has_texture_handles() const { return false; }
  virtual Status TextureCreate(std::uint64_t /*id*/, const TextureJob& /*job*/) {
    return {Code::kUnsupported, "Backend::TextureCreate", "the " + name() + " backend has no textures"};
  }
  // Answers from any thread, once it is known.
  virtual void TextureHandle(std::uint64_t id, std::function<void(Result<std::uint64_t>)> answer) { answer(id); }
  virtual Status TextureDestroy(std::uint64_t /*id*/) { return Status::Ok(); }

  // Whether sessions of a lease can share memory of this backend; known once it is open. UseFile() comes before that: a
  // file in which the window's memory may lie from `offset` on. ExportMemory() of an allocation opens a descriptor for
  // each piece that lies in another file, for the caller to close; kFull: its memory is being found, ask again.
  // ShareMemory() maps what another session's backend exported, at `address - lead` of the window, where nothing is,
  // and [address, address + bytes) is as if allocated; the descriptors stay the caller's. UnshareMemory() ends that,
  // and nothing reaches the memory any more when it returns.
  virtual bool shares_memory() const { return false; }
  virtual void UseFile(int /*fd*/, std::uint64_t /*offset*/) {}
  virtual Result<SharedMemory> ExportMemory(std::uint32_t /*device*/, std::uint64_t /*address*/,
                                            std::uint64_t /*bytes*/) {
    return Status(Code::kUnsupported, "Backend::ExportMemory", "the " + name() + " backend shares no memory");
  }
  virtual Status ShareMemory(std::uint32_t /*device*/, const SharedMemory& /*memory*/, std::uint64_t /*address*/,
                             std::uint64_t /*bytes*/) {
    return {Code::kUnsupported, "Backend::ShareMemory", "the " + name() + " backend shares no memory"};
  }
  virtual Status UnshareMemory(std::uint64_t /*address*/, std::uint64_t /*bytes*/) { return Status::Ok(); }

  // Memory that the client shared is about to be unmapped: nothing may refer to it when this returns.
  virtual void RegionReleased(MutableByteView /*region*/) {}

  // Whether InputDrained() has something to do; asked before the executor waits for input. If so it looks once more,
  // and says so when there is none: a backend that reports the end of many commands at a time does it then.
  virtual bool WantsInputDrained() const { return false; }
  virtual void InputDrained() {}

  // Whether cudaGraphSetConditional(handle, value) of a kernel writes `value` to the four bytes at device address
  // `handle`. FetchWord() is a command of the stream that brings them to where ReadWord() reads them: allocated memory
  // that nothing in flight writes. A backend that reads the device's memory itself has nothing to bring. Between the
  // two the stream has drained, and nothing else of it has come.
  virtual bool has_conditions() const { return false; }
  virtual Status FetchWord(std::uint32_t /*stream*/, std::uint64_t /*sequence*/, std::uint64_t /*address*/) {
    return Status::Ok();
  }
  virtual Result<std::uint32_t> ReadWord(std::uint32_t /*stream*/, std::uint64_t /*address*/) {
    return Status(Code::kUnsupported, "Backend::ReadWord", "the " + name() + " backend has no conditions");
  }

  // How much of a launch the device runs at a time, where that depends on more than the client knows.
  virtual bool knows_occupancy() const { return false; }
  virtual Result<OccupancyAnswer> Occupancy(const OccupancyJob& /*job*/) {
    return Status(Code::kUnsupported, "Backend::Occupancy", "the client reckons it");
  }

  // The functions of a library that this backend runs, a bit for each by its number; answers from any thread, once. It
  // comes before every call of the library.
  virtual void LibraryOpen(std::uint32_t /*library*/, std::uint32_t /*device*/,
                           std::function<void(Result<Bytes>)> answer) {
    answer(Status(Code::kUnsupported, "Backend::LibraryOpen", "the " + name() + " backend has no such library"));
  }
  // What the answers of LibraryAsk() depend on besides the question: the library's build, the device, what else it
  // looks at. While that stays the same, so do they. Asked from where LibraryOpen() answers, which has succeeded;
  // empty: they are not to be remembered.
  virtual std::string LibraryIdentity(std::uint32_t /*library*/, std::uint32_t /*device*/) { return {}; }
  // A command of the stream. `answer` is null, or called from any thread before the command completes; what goes wrong
  // without it goes to CompletionSink::Failed.
  virtual Status LibraryCall(std::uint32_t /*stream*/, std::uint64_t /*sequence*/, LibraryJob /*job*/,
                             std::function<void(LibraryAnswer)> /*answer*/) {
    return {Code::kUnsupported, "Backend::LibraryCall", "the " + name() + " backend has no such library"};
  }

  // Of a function that IsAsked() (protocol/library): nothing of any stream. Answers from any thread, once.
  virtual void LibraryAsk(LibraryJob /*job*/, std::function<void(Result<LibraryAnswer>)> answer) {
    answer(Status(Code::kUnsupported, "Backend::LibraryAsk", "the " + name() + " backend has no such library"));
  }

  // A CUlimit of the device, checked by the client as CUDA does; holds for what comes after it. A backend without that
  // limit ignores it.
  virtual Status SetLimit(std::uint32_t /*device*/, std::uint32_t /*limit*/, std::uint64_t /*value*/) {
    return Status::Ok();
  }

  // null backend: holds or releases a stream. kUnsupported elsewhere.
  virtual Status Hold(std::uint32_t stream, bool on) = 0;

  // Stops running work as soon as possible and waits for the backend's threads. Called once, at the session's end.
  virtual void Close() = 0;
};

// When the cpu backend compiles kernels: those that are hot, in the background; none; or each before its first launch,
// for tests.
enum class JitMode : std::uint8_t { kAuto, kOff, kAlways };

struct BackendOptions {
  std::uint32_t cpu_threads = 0;          // 0: one per core
  std::uint32_t cpu_devices = 1;          // software GPUs, which share the threads, the memory and the window
  std::uint64_t memory_bytes = 0;         // of all devices; 0: what the backend finds reasonable
  std::uint32_t compute_capability = 80;  // 10 * major + minor
  // The client lives in this process and has reserved the window already (loopback).
  bool window_is_reserved = false;
  JitMode cpu_jit = JitMode::kAuto;
  std::string cpu_jit_cache;  // where compiled kernels are kept; "off": nowhere; empty: in the user's cache
};

// The symbol of a backend's shared object. Both sides are built together; the number is raised with every change here.
inline constexpr std::uint32_t kBackendAbi = 11;
using CreateBackendFunction = Backend* (*)(std::uint32_t abi, const BackendOptions& options);
inline constexpr const char* kCreateBackendSymbol = "accelmesh_create_backend";

}  // namespace accelmesh
