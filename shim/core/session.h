// A session as the client holds it: leased devices with their memory, streams, events, modules and copies, all over one
// ordered command stream. The faces (runtime, later driver and libraries) are thin translations onto this class.
//
// Threads: everything may be called from any thread; bookkeeping is under short locks, none held across a wait unless
// it says so. Errors: DeviceResult carries a CUresult number for the application (0 = success); a lost connection is
// kDeviceUnknown (999) for every later call. Who decides on an error logs it.
// Units: bytes; sequence numbers of the command stream.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "shim/core/address_space.h"
#include "shim/core/array_table.h"
#include "shim/core/command_stream.h"
#include "shim/core/device_result.h"
#include "shim/core/foreign_memory.h"
#include "shim/core/handle_generation.h"
#include "shim/core/host_calls.h"
#include "shim/core/host_memory.h"
#include "shim/core/id_pool.h"
#include "shim/core/lease.h"
#include "shim/core/leased_device.h"
#include "shim/core/library_table.h"
#include "shim/core/module.h"
#include "shim/core/occupancy_table.h"
#include "shim/core/pitched_side.h"
#include "shim/core/pool_set.h"
#include "shim/core/session_facts.h"
#include "shim/core/stream.h"
#include "shim/core/texture_table.h"
#include "shim/core/window.h"

namespace accelmesh {

class Captures;
class Graph;
class GraphExec;
struct GraphCompileOptions;
struct GraphCondition;
struct GraphMemory;
struct GraphMemoryUse;
struct GraphNode;
struct GraphStep;

class ClientSession {
 public:
  // Offers window candidates until the worker takes one, and reads the devices.
  static Result<std::unique_ptr<ClientSession>> Open(std::unique_ptr<ClientChannel> channel,
                                                     std::function<void(std::string_view)> output);
  ~ClientSession();

  const std::vector<LeasedDevice>& devices() const { return devices_; }
  const SessionFacts& facts() const { return facts_; }
  CommandStream& commands() { return *commands_; }
  bool IsDeviceAddress(const void* pointer) const { return window_.Contains(pointer); }
  // The first asynchronous error, 0 if there is none. A sticky one stays; any other is taken (returned once).
  DeviceResult TakeAsyncError();
  DeviceResult StickyError() const;

  DeviceResult Malloc(std::uint32_t device, std::uint64_t bytes, std::uint64_t* address);
  DeviceResult Free(std::uint64_t address);
  // `limit` is a CUlimit number.
  DeviceResult SetLimit(std::uint32_t device, std::uint32_t limit, std::uint64_t value);
  void MemoryInfo(std::uint32_t device, std::uint64_t* free_bytes, std::uint64_t* total_bytes);
  // The allocation (or module global) around a device address; false if there is none.
  bool FindDeviceRange(std::uint64_t address, AddressSpace::Range* range, std::uint32_t* device);

  // Stream-ordered pools (memory_pool.h). A pool's pointer is its handle: what is none, or was destroyed, is refused.
  MemoryPool* DefaultPool(std::uint32_t device);
  MemoryPool* CurrentPool(std::uint32_t device);
  bool SetCurrentPool(std::uint32_t device, MemoryPool* pool);
  MemoryPool* CreatePool(std::uint32_t device, std::uint64_t bytes_max);
  bool DestroyPool(const MemoryPool* pool);
  bool TrimPool(MemoryPool* pool, std::uint64_t keep_bytes);
  // Calls `visit` with the pool, under the session's lock.
  bool WithPool(MemoryPool* pool, const std::function<void(MemoryPool&)>& visit);
  // `pool` null: the current one of the stream's device.
  DeviceResult MallocFromPool(MemoryPool* pool, Stream* stream, std::uint64_t bytes, std::uint64_t* address);
  // Ends an allocation when the stream gets there. One that is not a pool's is freed as by Free().
  DeviceResult FreeInOrder(Stream* stream, std::uint64_t address);

  // Arrays (array.h). A pointer is valid until it is destroyed; a level's until its array is.
  DeviceResult CreateArray(std::uint32_t device, const ArrayShape& shape, Array** array);
  DeviceResult DestroyArray(const Array* array);
  bool IsArray(const Array* array) const { return arrays_.Has(array); }
  DeviceResult CreateMipmappedArray(std::uint32_t device, const ArrayShape& shape, std::uint32_t levels,
                                    MipmappedArray** array);
  DeviceResult DestroyMipmappedArray(const MipmappedArray* array);
  bool IsMipmappedArray(const MipmappedArray* array) const { return arrays_.Has(array); }
  // Null if there is no such level.
  const Array* LevelOfArray(const MipmappedArray* array, std::uint32_t level) { return arrays_.Level(array, level); }

  // Texture and surface objects (texture.h). `origin` is kept for who asks FindTexture(), which gives null for what is
  // no such object.
  DeviceResult CreateTexture(bool is_surface, const TextureResource& resource, const TextureSampling& sampling,
                             const std::optional<TextureView>& view, std::shared_ptr<const void> origin,
                             std::uint64_t* handle);
  DeviceResult DestroyTexture(std::uint64_t handle, bool is_surface);
  std::shared_ptr<const void> FindTexture(std::uint64_t handle, bool is_surface) const {
    return textures_.Find(handle, is_surface);
  }

  DeviceResult MallocPinned(std::size_t bytes, unsigned flags, void** address, std::uint32_t device = 0);
  DeviceResult FreePinned(void* address);
  bool FindPinned(const void* address, PinnedRange* range);

  // Memory of the program's own. `flags` are remembered.
  DeviceResult RegisterHost(void* memory, std::size_t bytes, unsigned flags, std::uint32_t device = 0);
  DeviceResult UnregisterHost(void* memory);
  // Managed memory; Free() ends it.
  DeviceResult MallocManaged(std::uint32_t device, std::uint64_t bytes, unsigned flags, std::uint64_t* address);
  // By an address of either side; false if it is none of such memory.
  bool FindHost(const void* address, ReachableMemory* found);
  // What kernels name the memory by. `reach`: from now on they may use it even if no launch names it. kInvalidValue if
  // it is none of such memory.
  DeviceResult DeviceAddressOf(const void* host, std::uint64_t* device_address, bool reach = true);
  // Whether it is one by which both sides may name host memory: of the host window, or of a variable where a driver has
  // placed it.
  bool IsCommonAddress(std::uint64_t address) const {
    return host_window_.Contains(reinterpret_cast<void*>(address)) || foreign_.Contains(address);
  }
  // Whether kernels may read and write memory of the program.
  bool ReachesHost() const { return any_reached_.load(std::memory_order_relaxed); }
  // Calls `visit` with what was advised of the managed memory that all of [address, address + bytes) lies in; false if
  // it lies in none.
  bool WithAdvice(const void* address, std::uint64_t bytes, const std::function<void(AdviceMap&)>& visit);
  // Managed memory for variables: FreeVariables() ends it, not Free().
  DeviceResult MallocVariables(std::uint32_t device, std::uint64_t bytes, std::uint64_t* address);
  void FreeVariables(std::uint64_t address);
  // One stream, or the processor, has managed memory for its own: it may be written while the device works.
  void AttachTwin(std::uint64_t address, bool is_attached);
  // Brings what the device has written into memory that has a twin. Synchronize() and its like do so themselves; who
  // finds by a query that work is done calls this.
  DeviceResult Settle();

  // Streams. `Legacy(d)` is device d's default stream. Pointers are valid until DestroyStream.
  Stream* Legacy(std::uint32_t device) { return legacy_[device]; }
  DeviceResult CreateStream(std::uint32_t device, wire::StreamKind kind, unsigned flags, int priority, Stream** stream,
                            bool outlives_reset = false);
  DeviceResult DestroyStream(Stream* stream);
  bool IsStream(const Stream* stream);
  // Whether Synchronize() would not wait.
  bool Idle(const Stream& stream) const;
  DeviceResult Synchronize(const Stream& stream);
  DeviceResult SynchronizeDevice(std::uint32_t device);
  // Ends all that was made on the device. `end` is called once nothing that was posted before is under way, for what
  // others keep of it: modules, executable graphs, managed variables.
  DeviceResult ResetDevice(std::uint32_t device, const std::function<void()>& end);

  DeviceResult CreateEvent(std::uint32_t device, bool timing, Event** event, bool outlives_reset = false);
  DeviceResult DestroyEvent(Event* event);
  bool IsEvent(const Event* event);
  DeviceResult RecordEvent(Event* event, Stream* stream);
  DeviceResult WaitEvent(Stream* stream, Event* event);
  bool EventDone(const Event& event);
  DeviceResult SynchronizeEvent(const Event& event);
  DeviceResult EventElapsed(const Event& start, const Event& end, float* milliseconds);
  // How much of such a launch runs at a time on the kernel's device; asked once for each case. Only if
  // facts().occupancy_is_asked: else arithmetic tells.
  DeviceResult AskOccupancy(const KernelLayout& kernel, wire::OccupancyOf of, const LaunchGeometry& geometry,
                            std::uint64_t* count);

  // Sharing with the other sessions of the lease (session_ipc.cpp), where facts().shares_memory. An allocation that
  // another has open stays when it is freed, in the quota as well, until that has closed it.
  // kInvalidValue unless `address` is what Malloc() gave.
  DeviceResult ExportMemory(std::uint64_t address, LeasedMemory* memory);
  // The same memory has one address however often it is opened; it is there until it was closed as often.
  DeviceResult OpenMemory(const LeasedMemory& memory, std::uint64_t* address);
  DeviceResult CloseMemory(std::uint64_t address);
  DeviceResult CreateLeasedEvent(std::uint32_t device, Event** event);
  DeviceResult OpenLeasedEvent(std::uint32_t device, const wire::LeaseName& name, Event** event);

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

  std::shared_ptr<const LoadedModule> LoadModule(std::uint32_t device, ByteView image,
                                                 const std::vector<ManagedPlacement>& managed = {});
  // As LoadModule(), where the driver places the variables: they come back with their addresses, where the program has
  // them with their initial values until FreeVariables() of each, which comes before the module is unloaded.
  std::shared_ptr<const LoadedModule> LoadModuleAround(std::uint32_t device, ByteView image,
                                                       std::vector<ManagedPlacement>* variables);
  // Nothing may use the module any more: its launches have completed.
  void UnloadModule(const LoadedModule& module);
  DeviceResult Launch(Stream* stream, const KernelLayout& kernel, const LaunchGeometry& geometry,
                      void* const* arguments);

  // Functions of NVIDIA's libraries (session_library.cpp). `functions` has a bit for each that the server runs for the
  // device, by its number; asked once. kUnsupported, with a line in the log, if it has no such library.
  DeviceResult OpenLibrary(std::uint32_t library, std::uint32_t device, std::shared_ptr<const Bytes>* functions);
  // The number of what a handle is set to: the same for the same words.
  DeviceResult LibrarySettings(std::uint32_t library, ByteView words, std::uint32_t* settings);
  DeviceResult PostLibrary(Stream* stream, std::uint32_t library, std::uint32_t function, std::uint32_t settings,
                           ByteView arguments);
  // Waits for the function's results. `status` is the library's.
  DeviceResult QueryLibrary(Stream* stream, std::uint32_t library, std::uint32_t function, std::uint32_t settings,
                            ByteView arguments, std::uint32_t* status, Bytes* results);
  // Asks what depends on nothing but the arguments, before whatever is in streams. No round trip for what was answered
  // before this session, which the server tells when it opens the library, within bounds.
  DeviceResult AskLibrary(std::uint32_t library, std::uint32_t function, std::uint32_t device, ByteView arguments,
                          std::uint32_t* status, Bytes* results);

  // What a capturing stream is given goes into its graph (capture.h). The operations above do that themselves; these do
  // it where there is more to say than they are told. `external`: as a node of the graph's own.
  Captures& captures() { return *captures_; }
  DeviceResult RecordEvent(Event* event, Stream* stream, bool external);
  DeviceResult WaitEvent(Stream* stream, Event* event, bool external);

  // Executable graphs (graph_exec.h). `offending` is set to a node of the graph if that is what is wrong.
  DeviceResult InstantiateGraph(const Graph& graph, std::uint64_t flags, std::unique_ptr<GraphExec>* exec,
                                GraphNode** offending);
  DeviceResult EndGraph(std::unique_ptr<GraphExec> exec);
  bool UsesDevice(const Graph& graph, std::uint32_t device);
  // Tells the server what it does not know of the executable; a launch does that as well.
  DeviceResult DefineGraph(GraphExec* exec);
  // Behind what is in the stream and behind the launch before, like CUDA.
  DeviceResult LaunchGraph(Stream* stream, GraphExec* exec);
  // From the next launch on. `node` is one of the executable's own; who calls has checked that it may be updated so.
  DeviceResult UpdateGraphNode(GraphExec* exec, GraphNode* node, const GraphNode& update);
  // All of it, or of a child graph of it, to what a graph of the same shape does: nodes of the executable, and those
  // that take their places.
  using GraphNodePairs = std::vector<std::pair<GraphNode*, GraphNode*>>;
  DeviceResult UpdateGraph(GraphExec* exec, const Graph& update, const GraphNodePairs& pairs);
  DeviceResult UpdateChild(GraphExec* exec, const Graph& update, const GraphNodePairs& pairs);
  DeviceResult EnableGraphNode(GraphExec* exec, GraphNode* node, bool enabled);
  // kUnsupported where the server's backend has none.
  DeviceResult MakeGraphCondition(std::uint32_t device, std::uint32_t initial, bool assigns_initial,
                                  std::shared_ptr<const GraphCondition>* condition);

  // Memory of graphs (graph_memory.h). It lives as long as somebody holds it, or as the program has it.
  DeviceResult MakeGraphMemory(std::uint32_t device, std::uint64_t bytes, std::shared_ptr<GraphMemory>* memory);
  // False if it is none of a graph's; Free() and FreeInOrder() ask this.
  bool FreeGraphMemory(std::uint64_t address, DeviceResult* result);
  std::shared_ptr<GraphMemory> FindGraphMemory(std::uint64_t address);
  GraphMemoryUse GraphMemoryOf(std::uint32_t device);
  void ResetGraphMemoryHigh(std::uint32_t device, bool used);
  DeviceResult TrimGraphMemory(std::uint32_t device);

 private:
  ClientSession(std::unique_ptr<CommandStream> commands, Window window, Window host_window);
  Status ReadInfo(const Reply& reply);
  // session_ipc.cpp
  DeviceResult AddEvent(std::uint32_t device, bool timing, bool outlives_reset, Event** event);
  void ForgetEvent(Event* event);
  template <typename T>
  DeviceResult Ask(const T& command, Reply* reply);
  template <typename T>
  DeviceResult AskName(const T& command, wire::LeaseName* name);
  // Before an allocation is freed. `is_held`: not yet, another session has it open.
  DeviceResult EndExport(std::uint64_t address, bool* is_held);
  DeviceResult EndExports(std::uint32_t device);
  DeviceResult CloseImports(std::uint32_t device);
  // Frees what others have closed meanwhile; whether there was anything.
  bool ReapHeld();
  bool IsHeld(std::uint64_t address) const ACCELMESH_REQUIRES(memory_mu_);
  // Whoever hears of a record of such an event must find it made.
  DeviceResult CommitRecord();
  DeviceResult AskLeasedEvent(const Event& event, bool* is_done);
  DeviceResult WaitForLeased(const Event& event);
  // Whether what is about to be put into the stream is captured, or refused because of a capture: then `result` says
  // so, and is 0 if it is to be made a node.
  bool Diverts(const Stream& stream, DeviceResult* result);
  // The same for a copy, which is made a node here if it is to be one. `wait`: its synchronous form.
  bool DivertsCopy(const Stream& stream, const PitchedSide& dst, const PitchedSide& src, std::uint64_t width,
                   std::uint64_t height, std::uint64_t depth, bool wait, DeviceResult* result);
  // Posts a command that belongs to a stream and notes its sequence there, and in `posted` if it is asked for.
  template <typename T>
  DeviceResult PostOn(Stream* stream, const T& body, ByteView payload = {}, std::uint64_t* posted = nullptr);
  template <typename Predicate>
  DeviceResult Wait(Predicate done);
  DeviceResult Lost(const Status& status);
  using Point = StreamPosition;
  bool Passed(std::uint32_t slot, std::uint64_t sequence) const;
  bool Passed(const std::vector<Point>& work) const;
  bool OwnWorkPassed(const Stream& stream) const;
  // What a synchronise of the stream waits for.
  std::vector<Point> WorkBefore(const Stream& stream) const;
  bool AnythingPending() const;
  // Everything up to the returned sequence has completed on every stream.
  std::uint64_t PassedByAll() const;
  // The last command on any stream.
  std::uint64_t LastPosted() const;
  class Order;
  StreamName NameOf(const Stream& stream) const;
  // The last command of the legacy stream that goes with `stream`; 0 if none does.
  std::uint64_t LastOfLegacy(const StreamName& stream) const;
  // Posts a record or a wait, and notes it for pools once they need to know.
  DeviceResult PostRecord(std::uint32_t event, Stream* stream, std::uint64_t* sequence);
  DeviceResult PostWait(Stream* stream, std::uint32_t event);
  DeviceResult GrowPool(MemoryPool& pool, std::uint64_t bytes) ACCELMESH_REQUIRES(memory_mu_);
  DeviceResult FreePooled(MemoryPool& pool, std::uint64_t address) ACCELMESH_REQUIRES(memory_mu_);
  // Gives the device's memory back that pools hold for nobody; false if there is none.
  bool ReleaseIdle(std::uint32_t device) ACCELMESH_REQUIRES(memory_mu_);
  void GiveBack(const std::vector<PoolSet::Released>& released) ACCELMESH_REQUIRES(memory_mu_);
  // What an allocation that found no room may wait for; sequence == 0 if it can never fit.
  StreamPoint NextToPass(std::uint32_t device, std::uint64_t bytes) const ACCELMESH_REQUIRES(memory_mu_);
  DeviceResult WaitFor(const StreamPoint& point);
  // Behind a synchronise.
  void TidyPools();
  void ReapLanded();
  // Waits for the body of `token`, which the command `sequence` of stream slot `slot` sends; ends the expectation.
  // `landed` is false if the command completed without its bytes: it failed.
  DeviceResult AwaitBody(std::uint64_t token, std::uint32_t slot, std::uint64_t sequence, bool* landed);
  // Pinned memory that the server writes in place: noted when posted, forgotten when passed.
  void NotePinnedWrite(std::uint32_t slot, std::uint64_t sequence);
  bool PinnedWritesPending();
  // Whether an asynchronous copy into pinned memory may not have landed yet.
  bool HostWritesPending();
  DeviceResult CopyUp(Stream* stream, std::uint64_t dst, const std::uint8_t* from, std::uint64_t bytes, bool wait);
  DeviceResult CopyToHostWindow(Stream* stream, std::uint64_t dst, const std::uint8_t* src, std::uint64_t bytes,
                                bool wait);
  // As PostOn(), of a command that writes at `dst`, which may be host memory.
  template <typename T>
  DeviceResult PostNoted(Stream* stream, const T& body, std::uint64_t dst);
  // Copies what is at `src` now.
  DeviceResult SendPieces(Stream* stream, std::uint64_t dst, const std::uint8_t* src, std::uint64_t bytes);

  // Of a reset: what it takes from the program, and what becomes of that.
  struct Past;
  std::shared_ptr<Past> TakeObjects(std::uint32_t device);
  DeviceResult EndObjects(const Past& past);
  DeviceResult FreeAll(std::uint32_t device);
  // A stream that is to end; its work goes on in a nameless one in its place.
  std::unique_ptr<Stream> TakeStream(std::unique_ptr<Stream>* place) ACCELMESH_REQUIRES(stream_mu_);
  DeviceResult EndStream(std::uint32_t slot);
  DeviceResult EndEvent(std::uint32_t id);
  // kContextGone if the graph means something that a reset, or the unloading of a module, has ended.
  DeviceResult CheckCurrent(const Graph& graph);

  struct GraphBatch;
  GraphCompileOptions CompileOptions();
  DeviceResult CompileExec(GraphExec* exec, GraphNode** offending);
  DeviceResult RecompileGraph(GraphExec* exec);
  DeviceResult PostRecords(const GraphExec& exec, std::uint32_t first, std::uint32_t count);
  DeviceResult OrderLaunches(GraphExec* exec, Stream* stream);
  DeviceResult BeforeGraph(const GraphExec& exec, Stream* stream);
  DeviceResult AddStep(GraphBatch* batch, const Stream& stream, const GraphExec& exec, const GraphStep& step,
                       bool late);
  DeviceResult AddRecordsStep(GraphBatch* batch, std::uint32_t slot, const GraphExec& exec, const GraphStep& step,
                              bool late);
  bool AddHostStep(GraphBatch* batch, std::uint32_t slot, HostCalls::Function function, HostCalls::Function then);
  // Until the last launch of `exec` has passed.
  void KeepUntilPassed(const GraphExec& exec, std::unique_ptr<Graph> graph) ACCELMESH_REQUIRES(stream_mu_);
  // Lets go of what was kept until a launch had passed that has.
  void ReapGraphs();
  Result<std::uint64_t> PostOrdered(const Stream& stream, const GraphBatch& batch);
  DeviceResult PostGraphBatch(Stream* stream, GraphExec* exec, GraphBatch* batch);
  // Of launches: what they allocate and free.
  DeviceResult BeginGraphMemory(const GraphExec& exec);
  std::shared_ptr<GraphMemory> HoldGraphMemory(GraphMemory* memory) ACCELMESH_REQUIRES(memory_mu_);
  void SetLive(GraphMemory* memory, bool live) ACCELMESH_REQUIRES(memory_mu_);
  void ForgetGraphMemory(GraphMemory* memory);
  void EndGraphMemory(GraphMemory* memory) ACCELMESH_REQUIRES(memory_mu_);
  // The event's last record is this one, unless there is a later one already.
  void NoteRecord(Event* event, const Stream& stream, std::uint64_t sequence);
  // A function of the program's with what has to go before and behind it.
  HostCalls::Function AroundHostCall(HostCalls::Function function);

  using Named = std::vector<std::shared_ptr<ReachedTwin>>;
  HostRange* FindHostRange(std::uint64_t address) ACCELMESH_REQUIRES(pinned_mu_);
  DeviceResult MakeHostRange(std::size_t bytes, HostKind kind, HostRange* range);
  void AddHostRange(HostRange range) ACCELMESH_REQUIRES(pinned_mu_);
  DeviceResult RemoveHostRange(std::uint64_t address);
  // All that was made on the device, but the memory of managed variables.
  void RemoveHostRangesOf(std::uint32_t device);
  DeviceResult ChargeManaged(std::uint32_t device, std::uint64_t bytes, bool may_wait);
  DeviceResult FreeManaged(std::uint64_t address);
  DeviceResult MapOnServer(HostRange* range);
  // The program gets memory where the driver has placed the variable, and `variable` its address.
  DeviceResult AdoptVariable(std::uint32_t device, const LoadedModule& module, ManagedPlacement* variable);
  DeviceResult NameOnDevice(HostRange* range) ACCELMESH_REQUIRES(pinned_mu_);
  // `twin` is set if the range has just got one; AddReached() is to be told of it, not under this lock.
  DeviceResult Reach(HostRange* range, std::shared_ptr<ReachedTwin>* twin) ACCELMESH_REQUIRES(pinned_mu_);
  DeviceResult ReachByArgument(std::uint64_t address, Named* named);
  DeviceResult AddReached(std::shared_ptr<ReachedTwin> twin);
  void RemoveTwin(ReachedTwin& twin);
  // Whether all of [host, host + bytes) has a twin; copies then go to that, in stream order.
  bool HasTwin(const void* host, std::uint64_t bytes, std::uint64_t* device_address);
  // To be called before a launch with its argument block, and before any other command that names a device address;
  // behind either, NoteDeviceWork() if it may write host memory.
  DeviceResult BeforeKernel(Stream* stream, ByteView arguments);
  DeviceResult BeforeDeviceUse(Stream* stream, std::uint64_t address, bool writes = true);
  void NoteDeviceWork(std::uint32_t slot, std::uint64_t sequence);
  void NoteTwinWork(std::uint32_t slot, std::uint64_t sequence);
  // `writes`: NoteDeviceWork() follows, by this thread.
  DeviceResult PushTwins(Stream* stream, const Named& named, bool writes);
  DeviceResult PushTwin(ReachedTwin& twin, bool exact) ACCELMESH_REQUIRES(twin_mu_);
  // Behind a function of the program's, for kernels that were launched before it ran.
  void PushForHostCall();
  DeviceResult AskTextureHandle(std::uint64_t id, std::uint64_t* handle);
  DeviceResult BeginPull(Pull* pull);
  DeviceResult FinishPull(Pull* pull, std::vector<Pull>* again);

  std::unique_ptr<CommandStream> commands_;
  std::unique_ptr<Captures> captures_;
  HostCalls host_calls_;
  Window window_;
  Window host_window_;
  ForeignMemory foreign_;
  std::vector<LeasedDevice> devices_;  // constant after Open(), as is the next
  SessionFacts facts_;
  OccupancyTable occupancy_;
  LibraryTable libraries_;
  ArrayTable arrays_;
  TextureTable textures_;
  std::vector<Stream*> legacy_;  // by device
  std::atomic<bool> error_taken_{false};
  std::atomic<bool> lost_{false};

  mutable Mutex memory_mu_;
  std::vector<AddressSpace> memory_ ACCELMESH_GUARDED_BY(memory_mu_);
  std::map<std::uint64_t, std::pair<std::uint64_t, std::uint32_t>> globals_
      ACCELMESH_GUARDED_BY(memory_mu_);  // address -> bytes, device
  PoolSet pools_ ACCELMESH_GUARDED_BY(memory_mu_);
  LeasedMemoryTable leased_ ACCELMESH_GUARDED_BY(memory_mu_);
  std::atomic<bool> any_export_{false};  // from the first one on
  Mutex ipc_mu_;                         // held across waits: memory is opened and closed by one thread at a time
  std::map<std::uint64_t, std::unique_ptr<GraphMemory>> graph_memory_ ACCELMESH_GUARDED_BY(memory_mu_);  // by address
  std::vector<std::unique_ptr<GraphMemory>> past_graph_memory_ ACCELMESH_GUARDED_BY(memory_mu_);  // that graphs hold
  std::vector<std::uint64_t> lives_ ACCELMESH_GUARDED_BY(memory_mu_);  // by device: how often it was reset
  std::atomic<bool> any_graph_memory_{false};
  std::vector<std::vector<std::uint64_t>> free_conditions_ ACCELMESH_GUARDED_BY(memory_mu_);  // by device
  std::vector<GraphMemoryUse> graph_use_ ACCELMESH_GUARDED_BY(memory_mu_);                    // by device
  std::vector<Event*> free_marks_ ACCELMESH_GUARDED_BY(memory_mu_);  // by device; null until it is needed
  std::atomic<bool> pools_untidy_{false};                            // a synchronise has something to do for pools
  std::atomic<bool> orders_frees_{false};                            // from the first free in stream order on
  mutable Mutex order_mu_;
  StreamOrder order_ ACCELMESH_GUARDED_BY(order_mu_);

  mutable Mutex pinned_mu_;
  std::map<std::uint64_t, HostRange> host_ ACCELMESH_GUARDED_BY(pinned_mu_);         // by the program's address
  std::map<std::uint64_t, std::uint64_t> aliases_ ACCELMESH_GUARDED_BY(pinned_mu_);  // device address -> program's
  AddressSpace host_space_ ACCELMESH_GUARDED_BY(pinned_mu_);
  std::uint64_t twin_bytes_ ACCELMESH_GUARDED_BY(pinned_mu_) = 0;  // on the server, in no device's quota
  std::atomic<bool> any_host_{false};
  std::atomic<bool> any_reached_{false};
  std::uint32_t next_region_ ACCELMESH_GUARDED_BY(pinned_mu_) = 0;
  std::unordered_map<std::uint32_t, std::uint64_t> pinned_writes_
      ACCELMESH_GUARDED_BY(pinned_mu_);  // stream slot -> its last
  std::atomic<bool> any_pinned_write_{false};
  std::vector<Landing> landing_ ACCELMESH_GUARDED_BY(pinned_mu_);  // asynchronous copies into host memory
  std::atomic<int> landing_count_{0};

  // Held across waits, as ipc_mu_ and reset_mu_ are and no other lock: for whoever needs a twin that is being made.
  Mutex reach_mu_;
  mutable Mutex twin_mu_;
  std::vector<std::shared_ptr<ReachedTwin>> twins_ ACCELMESH_GUARDED_BY(twin_mu_);
  std::atomic<bool> any_twin_{false};
  std::unordered_map<std::uint32_t, TwinWork> twin_work_ ACCELMESH_GUARDED_BY(twin_mu_);  // by stream slot
  std::atomic<bool> any_twin_work_{false};
  // Threads between PushTwins() and NoteDeviceWork(): what they are about to post counts as under way.
  std::unordered_set<std::thread::id> twin_writers_ ACCELMESH_GUARDED_BY(twin_mu_);
  Stream* twin_stream_ ACCELMESH_GUARDED_BY(twin_mu_) = nullptr;  // of its own, for what goes there and comes back
  Event* twin_event_ ACCELMESH_GUARDED_BY(twin_mu_) = nullptr;    // behind what went there
  std::uint64_t twin_pushed_ ACCELMESH_GUARDED_BY(twin_mu_) = 0;

  HandleGeneration handle_generation_;
  mutable Mutex stream_mu_;
  std::vector<std::unique_ptr<Stream>> streams_ ACCELMESH_GUARDED_BY(stream_mu_);  // by slot; null where free
  std::vector<std::uint32_t> zombies_
      ACCELMESH_GUARDED_BY(stream_mu_);  // slots of destroyed streams whose work has not ended
  std::unordered_map<const Event*, std::unique_ptr<Event>> events_ ACCELMESH_GUARDED_BY(stream_mu_);
  std::unordered_map<std::uint32_t, std::uint64_t> loads_ ACCELMESH_GUARDED_BY(stream_mu_);  // by module
  std::uint64_t last_load_ ACCELMESH_GUARDED_BY(stream_mu_) = 0;
  IdPool event_ids_ ACCELMESH_GUARDED_BY(stream_mu_){limits::kEventsMax};
  IdPool module_ids_ ACCELMESH_GUARDED_BY(stream_mu_){limits::kModulesMax};
  IdPool graph_ids_ ACCELMESH_GUARDED_BY(stream_mu_){limits::kGraphsMax};
  std::uint64_t graph_bytes_ ACCELMESH_GUARDED_BY(stream_mu_) = 0;  // of all definitions
  // What executables have given up, the program's objects and conditions, until their last launch has passed.
  std::vector<std::pair<Point, std::unique_ptr<Graph>>> ended_graphs_ ACCELMESH_GUARDED_BY(stream_mu_);
  std::atomic<bool> any_ended_graph_{false};

  Mutex reset_mu_;
  // What the last resets took: a thread may be in a call with it, which ends long before it is given up.
  std::deque<std::shared_ptr<const Past>> past_ ACCELMESH_GUARDED_BY(reset_mu_);
};

}  // namespace accelmesh
