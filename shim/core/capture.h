// Stream capture: while a stream captures, what a program puts into it becomes nodes of a graph instead of commands.
// The rules are CUDA's: which streams join by events, what ends a capture in an error, and which calls must not be made
// meanwhile, by which thread.
//
// Threads: everything may be called from any thread; one lock, which is taken only while something captures or an event
// is known from a capture. Errors: CUresult numbers (900 to 908 are those of captures).
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "protocol/base/mutex.h"
#include "shim/core/capture_count.h"
#include "shim/core/graph.h"

namespace accelmesh {

inline constexpr DeviceResult kIllegalState = 401;
inline constexpr DeviceResult kCaptureUnsupported = 900;
inline constexpr DeviceResult kCaptureInvalidated = 901;
inline constexpr DeviceResult kCaptureMerge = 902;
inline constexpr DeviceResult kCaptureUnmatched = 903;
inline constexpr DeviceResult kCaptureUnjoined = 904;
inline constexpr DeviceResult kCaptureIsolation = 905;
inline constexpr DeviceResult kCaptureImplicit = 906;
inline constexpr DeviceResult kCapturedEvent = 907;
inline constexpr DeviceResult kCaptureWrongThread = 908;

// The numbers are those of cudaStreamCaptureMode and cudaStreamCaptureStatus.
enum class CaptureMode : std::uint8_t { kGlobal = 0, kThreadLocal = 1, kRelaxed = 2 };
enum class CaptureStatus : std::uint8_t { kNone = 0, kActive = 1, kInvalidated = 2 };

class Captures {
 public:
  Captures();
  ~Captures();
  Captures(const Captures&) = delete;
  Captures& operator=(const Captures&) = delete;

  // Whether any stream captures: all that a call asks while none does.
  bool Active() const { return active_.load(std::memory_order_relaxed) != 0; }
  // Whether events are known whose last record was captured.
  bool KnowsEvents() const { return known_events_.load(std::memory_order_relaxed) != 0; }
  // Sets how the calling thread takes the captures of others, and returns how it did.
  static CaptureMode ExchangeThreadMode(CaptureMode mode);

  // Into `into` behind `dependencies`, or into a graph of its own if that is null.
  DeviceResult Begin(Stream* stream, CaptureMode mode, Graph* into, std::span<const GraphLink> dependencies);
  // Whatever it returns, but kIllegalState, kCaptureUnmatched and kCaptureWrongThread, the capture is over. `graph` is
  // set on success: the caller's own, or `into`.
  DeviceResult End(Stream* stream, Graph** graph);

  struct Info {
    CaptureStatus status = CaptureStatus::kNone;
    std::uint64_t id = 0;
    Graph* graph = nullptr;
    // As long as nothing happens to the stream.
    GraphNode* const* nodes = nullptr;
    const GraphEdgeData* edges = nullptr;
    std::size_t count = 0;
  };
  DeviceResult Query(const Stream& stream, Info* info);
  // What the stream's next node depends on: `links` besides what it is, or instead.
  DeviceResult UpdateDependencies(const Stream& stream, std::span<const GraphLink> links, bool replace);

  // For what is about to be put into `stream`. True: it must not be, `result` says why, or if that is 0, Capture()
  // takes it.
  bool Diverts(const Stream& stream, DeviceResult* result);
  // Makes it the stream's next node.
  DeviceResult Capture(const Stream& stream, GraphPayload payload, GraphNode** node = nullptr);
  // The same for records of events and waits for them. `external`: the node that CUDA makes of it on demand.
  bool DivertsRecord(const Stream& stream, Event* event, bool external, DeviceResult* result);
  bool DivertsWait(Stream* stream, Event* event, bool external, DeviceResult* result);

  // 0, or why the call must not be made now; that invalidates the captures because of which it is.
  DeviceResult CheckUnsafe();                      // one that is no part of any stream's order, like an allocation
  DeviceResult CheckLegacy(std::uint32_t device);  // one that works on the legacy stream
  DeviceResult CheckWait(const Stream& stream);    // one that asks how far a stream is
  DeviceResult CheckDevice(std::uint32_t device);  // the same for a device
  DeviceResult CheckEvent(const Event& event);     // the same for an event
  // The capture of the stream, if there is one, ends in kCaptureInvalidated.
  void Invalidate(const Stream& stream);

  // Whether a stream captures into the graph.
  bool Uses(const Graph& graph);

  void ForgetEvent(const Event* event);
  void ForgetStream(const Stream* stream);

 private:
  struct Strand {
    std::vector<GraphLink> frontier;  // what the stream's next node depends on
    std::vector<GraphNode*> told_nodes;
    std::vector<GraphEdgeData> told_edges;
  };
  struct OneCapture {
    std::uint64_t id = 0;
    CaptureMode mode = CaptureMode::kGlobal;
    const void* thread = nullptr;
    const Stream* origin = nullptr;
    Graph* graph = nullptr;
    std::unique_ptr<Graph> own;  // null if it is into a graph of the program's
    bool is_invalid = false;
    std::unordered_map<const Stream*, Strand> strands;
    std::vector<GraphLink> left;  // by streams that are gone
  };
  struct CapturedEvent {
    std::uint64_t capture = 0;
    std::vector<GraphLink> frontier;
  };
  OneCapture* Find(const Stream& stream) ACCELMESH_REQUIRES(mu_);
  OneCapture* FindById(std::uint64_t id) ACCELMESH_REQUIRES(mu_);
  void Join(OneCapture& capture, const Stream& stream, const std::vector<GraphLink>& frontier) ACCELMESH_REQUIRES(mu_);
  bool BlockedLegacy(std::uint32_t device, bool invalidate) ACCELMESH_REQUIRES(mu_);
  DeviceResult UnsafeLocked() ACCELMESH_REQUIRES(mu_);
  void Erase(OneCapture& capture) ACCELMESH_REQUIRES(mu_);
  void CountLocked() ACCELMESH_REQUIRES(mu_);

  std::atomic<int> active_{0};
  std::atomic<int> known_events_{0};
  Mutex mu_;
  std::vector<std::unique_ptr<OneCapture>> captures_ ACCELMESH_GUARDED_BY(mu_);
  std::unordered_map<const Stream*, OneCapture*> streams_ ACCELMESH_GUARDED_BY(mu_);
  std::unordered_map<const Event*, CapturedEvent> events_ ACCELMESH_GUARDED_BY(mu_);
  std::uint64_t next_id_ ACCELMESH_GUARDED_BY(mu_) = 1;
};

}  // namespace accelmesh
