// The state of the contract libcuda: handles, contexts, streams, memory. Private to this folder.
//
// Threads: one lock, State::mu, guards the queues, the regions and what hangs on them; work runs without it. Nothing of
// this is ever destroyed at the process's end: threads of streams may still run.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "protocol/base/bytes.h"
#include "server/backend/cpu/tier0/heap.h"
#include "server/backend/cpu/tier0/tier0.h"
#include "tests/contract/rules.h"

namespace accelmesh::contract {

// Handles are numbers that are never given out twice, so that the use of a destroyed one is seen.
template <typename T>
class Table {
 public:
  Table(std::uint64_t kind, const char* kind_name) : kind_(kind), kind_name_(kind_name) {}
  std::uint64_t Add(std::shared_ptr<T> object) {
    const std::lock_guard lock(mu_);
    const std::uint64_t handle = kHandles | kind_ << 40 | ++serial_ << 4;
    objects_.emplace(handle, std::move(object));
    return handle;
  }
  std::shared_ptr<T> Find(std::uint64_t handle) const {
    const std::lock_guard lock(mu_);
    const auto found = objects_.find(handle);
    return found == objects_.end() ? nullptr : found->second;
  }
  std::shared_ptr<T> Remove(std::uint64_t handle) {
    const std::lock_guard lock(mu_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) return nullptr;
    std::shared_ptr<T> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }
  std::vector<std::shared_ptr<T>> All() const {
    const std::lock_guard lock(mu_);
    std::vector<std::shared_ptr<T>> all;
    for (const auto& [handle, object] : objects_) all.push_back(object);
    return all;
  }
  template <typename Visit>
  void Each(Visit visit) const {
    const std::lock_guard lock(mu_);
    for (const auto& [handle, object] : objects_) visit(handle, *object);
  }
  template <typename Match>
  std::size_t RemoveIf(Match match) {
    const std::lock_guard lock(mu_);
    return std::erase_if(objects_, [&match](const auto& entry) { return match(*entry.second); });
  }
  const char* kind_name() const { return kind_name_; }

 private:
  // No address of this process looks like it.
  static constexpr std::uint64_t kHandles = std::uint64_t{0xc0da} << 48;
  const std::uint64_t kind_;
  const char* const kind_name_;
  mutable std::mutex mu_;
  std::uint64_t serial_ = 0;
  std::map<std::uint64_t, std::shared_ptr<T>> objects_;
};

struct Range {
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  bool Overlaps(const Range& other) const {
    return address < other.address + other.bytes && other.address < address + bytes;
  }
};

struct Module;
struct Kernel;
struct Graph;
struct Capture;

// A launch, ready to run; what a kernel node of a graph keeps.
struct KernelCall {
  std::shared_ptr<Module> module;
  Kernel* kernel = nullptr;
  CUfunction handle = nullptr;
  Dim3 grid;
  Dim3 block;
  std::uint32_t shared_bytes = 0;
  bool cooperative = false;
  Dim3 cluster;
  Bytes arguments;
};
// A launch as its caller asks for it.
struct LaunchRequest {
  CUfunction function = nullptr;
  Dim3 grid;
  Dim3 block;
  std::uint32_t shared_bytes = 0;
  bool cooperative = false;
  Dim3 cluster{0, 0, 0};    // 0: none asked for
  Dim3 preferred{0, 0, 0};  // likewise
};

// One piece of work of a stream, or a node of a graph.
struct Work {
  CUgraphNodeType type = CU_GRAPH_NODE_TYPE_EMPTY;
  std::function<CUresult()> run;  // what it returns, if no success, sticks to the context
  std::vector<Range> touches;     // memory that must stay while it is pending
  std::shared_ptr<const KernelCall> launch;
  bool runs_after_failure = false;
};
// A place in a stream: everything up to the ticket.
struct Place {
  std::shared_ptr<Stream> stream;
  std::uint64_t ticket = 0;
};
struct Task {
  Work work;
  std::vector<Place> after;
};

struct Stream {
  std::shared_ptr<Context> context;
  CUstream handle = nullptr;
  unsigned flags = 0;
  int priority = 0;
  std::uint64_t id = 0;
  bool legacy = false;
  // Under State::mu.
  std::deque<Task> tasks;  // the first may be running
  std::uint64_t queued = 0;
  std::uint64_t completed = 0;
  unsigned launches = 0;  // among the tasks
  bool started = false;
  bool ended = false;  // its thread goes when it has drained
  std::shared_ptr<Capture> capture;
  std::set<std::size_t> capture_tips;  // nodes that the next one comes after
  bool blocking() const { return (flags & CU_STREAM_NON_BLOCKING) == 0; }
};

struct Context {
  CUcontext handle = nullptr;
  int device = 0;
  unsigned flags = 0;
  bool primary = false;
  std::uint64_t id = 0;
  std::atomic<int> sticky{CUDA_SUCCESS};
  std::atomic<bool> cancel{false};  // ends running kernels and waits
  // Under State::mu.
  bool destroyed = false;
  std::shared_ptr<Stream> legacy;
  std::map<std::thread::id, std::shared_ptr<Stream>> per_thread;
  std::vector<std::shared_ptr<Stream>> streams;  // all, until they have drained
  std::map<int, std::size_t> limits;
  std::set<Context*> peers;
  std::string printed;  // by kernels, until the driver writes it out
  std::unique_ptr<tier0::Heap> heap;
};

struct Event {
  struct Record {
    Place place;
    std::int64_t at_ns = 0;
  };
  std::shared_ptr<Context> context;
  unsigned flags = 0;
  std::shared_ptr<Record> record;  // under State::mu; null before the first
  std::shared_ptr<Capture> capture;
  std::set<std::size_t> capture_tips;
};

// Memory that the device or its copies may touch, by its first address.
struct Region {
  enum class Kind : std::uint8_t { kMapped, kDevice, kGlobal, kHeap, kPinned, kRegistered, kManaged, kVariable };
  Kind kind = Kind::kDevice;
  std::uint64_t bytes = 0;
  int device = 0;
  unsigned flags = 0;
  std::uint32_t access = 0;      // bit d: device d may
  Context* context = nullptr;    // whose it is; none of mapped memory and managed variables
  std::uint64_t allocation = 0;  // handle of mapped memory
  bool host() const { return kind == Kind::kPinned || kind == Kind::kRegistered; }
  bool managed() const { return kind == Kind::kManaged || kind == Kind::kVariable; }
  bool shares_pages() const { return kind == Kind::kRegistered || kind == Kind::kVariable; }
};
// memory of cuMemCreate; lives until it is released and mapped nowhere.
struct Allocation {
  std::uint64_t handle = 0;
  CUmemAllocationProp properties{};
  std::uint64_t bytes = 0;
  int fd = -1;
  std::uint32_t references = 1;  // of the application
  bool is_imported = false;      // and another process pays for it
  ~Allocation();
};
struct Reservation {
  std::uint64_t bytes = 0;
  bool moved = false;  // not where it was asked for
};

struct Array {
  std::shared_ptr<Context> context;
  CUDA_ARRAY3D_DESCRIPTOR descriptor{};
  std::uint64_t element_bytes = 0;
  Bytes bytes;
  std::uint64_t pitch() const { return descriptor.Width * element_bytes; }
  std::uint64_t height() const { return std::max<std::uint64_t>(1, descriptor.Height); }
  std::uint64_t depth() const { return std::max<std::uint64_t>(1, descriptor.Depth); }
};

struct MipmappedArray {
  std::shared_ptr<Context> context;
  std::vector<std::uint64_t> levels;  // handles of arrays
};
// A texture or surface object.
struct Texture {
  std::shared_ptr<Context> context;
  CUDA_RESOURCE_DESC resource{};
  CUDA_TEXTURE_DESC sampling{};
  CUDA_RESOURCE_VIEW_DESC view{};
  bool has_view = false;
  bool is_surface = false;
  std::shared_ptr<const tier0::Texture> made;
};

struct Kernel {
  const ptx::Kernel* source = nullptr;
  int dynamic_shared_max = 0;  // with consent; 0: what every kernel may
  int carveout = -1;
  bool large_clusters = false;
  int cluster_policy = 0;
  int required_cluster[3] = {0, 0, 0};  // set at run time; 0: as compiled
  CUfunction handle = nullptr;
  std::once_flag once;
  Result<std::unique_ptr<tier0::DecodedKernel>> decoded{Status(Code::kInternal, "Kernel", "not decoded")};
};
// variables.cpp. Of a module; the modules of a library have them in common.
struct ManagedVariables {
  std::unordered_map<std::string, Range> ranges;
  // Finds room for one. Not under State::mu.
  bool Place(const ptx::Variable& variable, int device);
  ~ManagedVariables();
};
struct Module {
  std::shared_ptr<Context> context;
  CUmodule handle = nullptr;
  std::shared_ptr<const ptx::Module> source;
  std::vector<std::unique_ptr<Kernel>> kernels;
  std::unordered_map<std::string, Range> globals;
  Range memory;  // of the globals that are not managed
  std::shared_ptr<ManagedVariables> managed;
  bool of_library = false;
  ~Module();
};
struct FunctionRef {
  std::shared_ptr<Module> module;
  Kernel* kernel = nullptr;
};
struct Library {
  CUlibrary handle = nullptr;
  std::shared_ptr<const ptx::Module> source;
  std::vector<CUkernel> kernels;
  std::mutex mu;
  std::shared_ptr<ManagedVariables> managed;  // once a context has it
  std::map<Context*, std::shared_ptr<Module>> modules;
};
struct KernelRef {
  std::shared_ptr<Library> library;
  std::size_t index = 0;
};

// What cuLinkCreate made.
struct Link {
  std::vector<std::string> texts;
  Bytes image;
  unsigned options = 0;
  const CUjit_option* option = nullptr;  // the caller's, with their values, until the end
  void** values = nullptr;
};

struct Node {
  CUgraphNode handle = nullptr;
  Work work;
  std::set<std::size_t> after;           // indices in the graph, all smaller than its own
  std::vector<void*> argument_pointers;  // of a kernel, for who asks
};
struct Graph {
  std::vector<std::shared_ptr<Node>> nodes;
};
struct Capture {
  std::shared_ptr<Graph> graph;
  std::shared_ptr<Stream> origin;
  CUresult broken = CUDA_SUCCESS;
};
struct GraphExec {
  std::shared_ptr<Context> context;
  std::shared_ptr<Graph> source;
  std::vector<Work> nodes;  // as the source's; under State::mu
};

struct Device {
  std::shared_ptr<Context> primary;
  unsigned primary_flags = 0;
  unsigned primary_users = 0;
  std::uint64_t used_bytes = 0;
  std::uint64_t memory_bytes = 0;
  tier0::MemoryMap memory;                                        // what its kernels may touch, in pages
  std::unordered_map<std::uint64_t, std::uint32_t> shared_pages;  // how many registered ranges allow it
};

struct State {
  std::mutex mu;
  std::condition_variable changed;
  bool initialized = false;
  std::vector<std::unique_ptr<Device>> devices;
  std::map<std::uint64_t, Region> regions;
  std::map<std::uint64_t, std::uint64_t> variables;  // managed ones: address -> bytes
  std::vector<Range> variable_chunks;                // where they lie; never given back
  std::map<std::uint64_t, Reservation> reservations;
  std::uint64_t next_id = 1;

  Table<Context> contexts{1, "context"};
  Table<Stream> streams{2, "stream"};
  Table<Event> events{3, "event"};
  Table<Module> modules{4, "module"};
  Table<FunctionRef> functions{5, "function"};
  Table<Library> libraries{6, "library"};
  Table<KernelRef> kernels{7, "kernel"};
  Table<Graph> graphs{8, "graph"};
  Table<GraphExec> execs{9, "executable graph"};
  Table<Array> arrays{10, "array"};
  Table<Allocation> allocations{11, "allocation"};
  Table<Node> nodes{12, "graph node"};
  Table<MipmappedArray> mipmapped_arrays{13, "mipmapped array"};
  Table<Texture> textures{14, "texture or surface"};
  Table<Link> links{15, "link"};
};
// The one state of the process.
State& state();

template <typename Handle>
Handle AsHandle(std::uint64_t number) {
  return reinterpret_cast<Handle>(number);
}

// What tests and the environment ask for (control.cpp).
struct Settings {
  std::atomic<unsigned> devices{2};
  std::atomic<unsigned> capability{80};  // 10 * major + minor
  std::atomic<std::uint64_t> memory_bytes{std::uint64_t{8} << 30};
  std::atomic<unsigned> launch_depth{1024};
  std::atomic<unsigned> launch_delay_us{0};
  std::atomic<unsigned> moves{0};
  std::atomic<bool> require_hints{false};
  // What the devices say of network cards: that their writes can be waited for, and that memory is exported for them.
  std::atomic<bool> peer_memory{false};
  std::atomic<bool> dma_buf{false};
};
Settings& settings();
inline bool HasClusters() { return settings().capability >= 90; }
// Fault that every launch of the kernel commits; 0 for none.
int InjectedFault(const std::string& kernel);
// Error that this call returns instead of doing anything; 0 for none. Waits the injected delay.
int InjectedError(Function function);
bool OnExecutor();

// context.cpp
std::shared_ptr<Context> CurrentContext();
// Empties the calling thread's stack.
void ForgetCurrentContexts();
// Says what the kernels of the context have printed, as the driver does when somebody synchronises.
void WriteOut(Context& context);

// regions.cpp. All under State::mu.
inline constexpr std::uint64_t kGranularity = std::uint64_t{2} << 20;
inline constexpr std::uint64_t kPageBytes = 4096;
std::map<std::uint64_t, Region>::iterator FindRegion(std::uint64_t address);
void AddRegion(std::uint64_t address, const Region& region);
void RemoveRegion(std::uint64_t address);
// Lets devices of the mask, and no others, touch a region.
void SetAccess(std::uint64_t address, Region& region, std::uint32_t access);
// Whether all of the range is memory that some device may touch; tells a broken rule.
CUresult CheckDeviceRange(const Call& call, const Range& range);
// Whether work that names the range is pending anywhere.
bool InUse(const Range& range);
// Anonymous memory at an address of the system's choice, aligned for the device. 0 if there is none.
std::uint64_t MapMemory(std::uint64_t bytes);
void UnmapMemory(std::uint64_t address, std::uint64_t bytes);

// stream.cpp
// Queues the work, or adds it to the graph that the stream captures. `ticket`: its place in the stream.
CUresult Submit(const Call& call, const std::shared_ptr<Stream>& stream, Work work, std::vector<Place> after = {},
                std::uint64_t* ticket = nullptr);
// Waits for all that is queued now; the context's sticky error.
CUresult Drain(const std::shared_ptr<Stream>& stream);
CUresult DrainAll(const std::shared_ptr<Context>& context);
std::shared_ptr<Stream> MakeStream(const std::shared_ptr<Context>& context, unsigned flags, int priority, bool legacy);
// Ends the context's streams: what runs is cancelled, and waited for.
void EndStreams(const std::shared_ptr<Context>& context);
std::int64_t NowNs();

// module.cpp
// The function of a CUfunction or of a CUkernel that was cast to it, in the current context.
std::shared_ptr<FunctionRef> FindKernel(const Call& call, CUfunction handle);
// Texts made into a module, or what the compiler has to say of them.
CUresult Compile(std::vector<std::string> texts, std::shared_ptr<const ptx::Module>* module, std::string* said);
// Writes into the caller's log of errors, as far as it goes, and how much was written.
void WriteLog(const std::string& said, unsigned count, const CUjit_option* options, void** values);

// link.cpp. The texts of an image that cuLinkComplete made; nothing if it is another.
std::optional<std::vector<std::string>> TextsOfLinked(const void* image);

// function.cpp
inline constexpr int kProcessors = 8;
// Blocks of the kernel that one multiprocessor runs at a time.
int BlocksPerProcessor(const Kernel& kernel, unsigned threads, std::uint64_t shared_bytes);
// The cluster that launches of the kernel have if they name none, 0 for none.
Dim3 ClusterOf(const Kernel& kernel);
// What is wrong with the clusters of a launch. `request` may lack its grid.
CUresult CheckCluster(const Call& call, const Kernel& kernel, const LaunchRequest& request);
// Dynamic shared memory that a launch may ask for.
std::uint64_t DynamicSharedMax(const Kernel& kernel);

// array.cpp
std::uint64_t FormatBytes(CUarray_format format);
// texture.cpp. What kernels of the context find; kept by the caller as long as one runs.
tier0::TextureTable TexturesOf(const Context& context);

// launch.cpp
CUresult RunKernel(const std::shared_ptr<Context>& context, const KernelCall& launch);
Work LaunchWork(const std::shared_ptr<Context>& context, std::shared_ptr<const KernelCall> launch);
// Checks geometry and collects arguments.
CUresult PrepareLaunch(const Call& call, const LaunchRequest& request, void** parameters, void** extra,
                       std::shared_ptr<KernelCall>* launch);
// What a configuration asks for by its attributes and its geometry.
CUresult ReadConfig(const Call& call, const CUlaunchConfig& config, LaunchRequest* request);

}  // namespace accelmesh::contract
