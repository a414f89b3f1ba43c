// One session on the worker's side: the executor. It takes the client's ordered command stream apart and hands it to a
// device backend.
//
// The executor never waits for the device (SEMANTICS.md 2). A command whose stream is full, or whose bulk body has not
// arrived, parks its stream: it and everything behind it on that stream queue here, as does whatever depends on a
// parked command by an event or by the legacy-stream rule; all other streams go on. Parked streams resume on
// completions and arrivals. Threads: Run() is the executor's thread. The CompletionSink methods come from any thread of
// the backend. Errors: bytes that do not add up end the session (Run() returns kBadFrame); a command that the program
// got wrong becomes the session's asynchronous error, and the session goes on. Counters: everything that belongs to a
// stream goes through the backend in that stream's order, refused commands too, so that one hand publishes them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "protocol/gen_commands.h"
#include "server/device.h"
#include "server/session/host_memory.h"
#include "server/session/range_table.h"

namespace accelmesh {

class Session final : private CompletionSink {
 public:
  // Both outlive the session. `client_is_here`: the client is in this very process (loopback) and maps host memory.
  Session(ServerChannel& channel, Backend& backend, bool client_is_here = false);
  ~Session() override;

  // Serves until the client says goodbye (ok), is gone (kClosed), or sends what it must not (kBadFrame).
  Status Run();

  // The generated dispatch calls these; each has validated nothing yet.
  Status On(const wire::OpenSession& command, const RecordView& record);
  Status On(const wire::Ping& command, const RecordView& record);
  Status On(const wire::Goodbye& command, const RecordView& record);
  Status On(const wire::Heartbeat& command, const RecordView& record);
  Status On(const wire::Hold& command, const RecordView& record);
  Status On(const wire::MemAlloc& command, const RecordView& record);
  Status On(const wire::MemFree& command, const RecordView& record);
  Status On(const wire::HostMap& command, const RecordView& record);
  Status On(const wire::HostUnmap& command, const RecordView& record);
  Status On(const wire::HostWrite& command, const RecordView& record);
  Status On(const wire::Copy& command, const RecordView& record);
  Status On(const wire::CopyPitched& command, const RecordView& record);
  Status On(const wire::Fill& command, const RecordView& record);
  Status On(const wire::ModuleLoad& command, const RecordView& record);
  Status On(const wire::ManagedVariable& command, const RecordView& record);
  Status On(const wire::ModuleUnload& command, const RecordView& record);
  Status On(const wire::Launch& command, const RecordView& record);
  Status On(const wire::StreamCreate& command, const RecordView& record);
  Status On(const wire::StreamDestroy& command, const RecordView& record);
  Status On(const wire::EventCreate& command, const RecordView& record);
  Status On(const wire::EventDestroy& command, const RecordView& record);
  Status On(const wire::EventRecord& command, const RecordView& record);
  Status On(const wire::StreamWaitEvent& command, const RecordView& record);
  Status On(const wire::EventElapsed& command, const RecordView& record);
  Status On(const wire::DeviceLimit& command, const RecordView& record);
  Status On(const wire::HostCall& command, const RecordView& record);
  Status On(const wire::HostDone& command, const RecordView& record);
  Status On(const wire::GraphDefine& command, const RecordView& record);
  Status On(const wire::GraphLaunch& command, const RecordView& record);
  Status On(const wire::GraphDestroy& command, const RecordView& record);
  Status On(const wire::SharedRelease& command, const RecordView& record);

 private:
  // One meaning of a client's event, from a record to the next; the backend's event lives as long as somebody parked
  // still means it.
  struct EventState {
    Backend* backend;
    std::uint32_t backend_id;
    bool timing;
    bool record_is_parked = false;
    ~EventState() { (void)backend->EventDestroy(backend_id).ok(); }
  };
  // A module in the backend: as long as the client has it loaded or a parked launch means it.
  struct BackendModule {
    Backend* backend;
    std::uint32_t backend_id;
    ~BackendModule() { (void)backend->ModuleUnload(backend_id).ok(); }
  };
  // A command of a stream that could not go to the backend yet, with everything it owns.
  struct Parked {
    std::uint64_t sequence = 0;
    std::uint64_t token = 0;  // bulk body it needs; 0 = none
    std::shared_ptr<EventState> wait_event;
    bool own_order_only = false;  // waits for nothing but its turn in this stream
    std::function<Status()> run;
  };
  struct StreamState {
    bool exists = false;
    bool is_ended = false;  // its destruction waits for its turn; nothing may come behind it
    std::uint32_t device = 0;
    wire::StreamKind kind = wire::StreamKind::Blocking;
    std::list<Parked> parked;  // empty nearly always; an empty deque would cost an allocation for each slot
  };
  struct ModuleState {
    bool loading = false;
    std::shared_ptr<BackendModule> module;      // null while loading
    std::vector<std::uint32_t> argument_bytes;  // by kernel
    std::vector<std::uint64_t> globals;
  };
  // A command that launches of its graph repeat, private and verified as far as that does not depend on the launch.
  struct GraphNode {
    std::variant<std::monostate, wire::Launch, wire::CopyPitched, wire::Fill> command;  // monostate: not defined yet
    std::uint8_t patches = 0;  // which of its places each launch names
    Bytes payload;
  };
  static_assert(sizeof(GraphNode) <= limits::kGraphNodeBytes);
  struct Graph {
    std::vector<GraphNode> nodes;
    std::uint64_t bytes = 0;  // as they count against kGraphBytesMax
  };
  struct PendingLoad {
    wire::ModuleLoad command;
    std::uint64_t sequence;
    std::uint32_t backend_id;
    Bytes image;
    std::uint32_t bodies = 0;
  };

  Status HandleFrame(ByteView frame, CommandLane lane);
  // Runs `run` now or parks it behind what the stream waits for. `owned` makes a copy-safe closure only when needed.
  template <typename Work>
  Status RunOrPark(std::uint32_t stream, std::uint64_t sequence, std::uint64_t token,
                   std::shared_ptr<EventState> wait_event, Work&& run);
  void Park(std::uint32_t stream, Parked parked);
  bool MayRun(const StreamState& state, std::uint32_t stream, std::uint64_t sequence, std::uint64_t token,
              const EventState* wait_event);
  bool LegacyRuleParks(const StreamState& state, std::uint32_t stream, std::uint64_t sequence) const;
  Status Unpark();
  bool HasBody(std::uint64_t token);
  std::unique_ptr<BulkBody> TakeBody(std::uint64_t token);
  Result<CopySide> ResolvePlace(const wire::Place& place, std::uint64_t bytes, const RecordView& record, bool is_dst);
  Status CheckStream(std::uint32_t stream) const;
  Status EndHostCall(std::uint64_t call);
  Result<std::shared_ptr<EventState>> MakeEvent(bool timing);
  // Turns a caller's mistake into the session's asynchronous error; the command completes in its turn. `token` names a
  // body that comes with it, 0 if there is none.
  Status CallerError(std::uint32_t stream, std::uint64_t sequence, std::uint64_t token, DeviceStatus status,
                     std::string_view text);
  void Reply(std::uint64_t sequence, DeviceStatus device_status, Code code, std::string_view text, ByteView body);
  void SendDown(wire::DownKind kind, std::uint64_t sequence, std::uint32_t device_status, Code code,
                std::string_view text, ByteView body);
  Result<GraphNode> ReadGraphNode(const RecordView& record);
  void ForgetGraph(std::unordered_map<std::uint32_t, Graph>::iterator graph);
  Status CollectImages();
  void ServiceMain();
  void RunLoad(PendingLoad load);

  void Completed(std::uint32_t stream, std::uint64_t sequence) override;
  void Failed(std::uint32_t stream, std::uint64_t sequence, DeviceStatus status, bool sticky,
              std::string_view text) override;
  Status SendToClient(std::uint64_t token, std::uint64_t offset, ByteView bytes) override;
  void Output(std::uint64_t sequence, std::string_view text) override;
  void Complaint(std::uint64_t sequence, std::string_view text) override;

  ServerChannel& channel_;
  Backend& backend_;
  bool open_ = false;
  bool goodbye_ = false;
  std::uint64_t next_sequence_ = 1;
  std::uint64_t next_side_sequence_ = 1;
  std::vector<DeviceDescription> devices_;
  std::vector<RangeTable> memory_;  // by device
  HostMemory host_;
  std::vector<StreamState> streams_;  // by slot, up to the highest that was made
  std::size_t parked_commands_ = 0;
  std::set<std::uint32_t> parked_streams_;  // with a command that is parked
  std::atomic<bool> anything_parked_{false};
  std::unordered_map<std::uint32_t, std::shared_ptr<EventState>> events_;
  std::uint32_t next_backend_event_ = 0;
  std::uint32_t next_backend_module_ = 0;
  std::unordered_set<std::uint64_t> host_calls_;        // with the backend, not done
  std::unordered_set<std::uint64_t> early_host_dones_;  // of calls that have not come to their turn
  std::unordered_map<std::uint32_t, Graph> graphs_;
  std::uint64_t graph_bytes_ = 0;
  std::uint64_t replayed_sequence_ = 0;                                  // of the launch whose nodes are being run
  std::optional<std::uint32_t> nothing_;                                 // a backend event that is never recorded
  std::unordered_map<std::uint64_t, std::unique_ptr<BulkBody>> bodies_;  // arrived early, kept for a parked command
  std::atomic<std::uint64_t> images_bytes_{0};                           // of loads that have begun and not ended

  mutable std::mutex modules_mu_;  // the service thread fills modules_
  std::unordered_map<std::uint32_t, ModuleState> modules_;
  std::map<std::uint64_t, std::uint64_t> globals_;  // address -> bytes
  std::vector<PendingLoad> collecting_;
  // What the next load of a module id finds placed.
  struct PlacedVariable {
    std::uint32_t module_id;
    std::string name;
    MutableByteView memory;
    bool keep;
  };
  std::vector<PlacedVariable> placed_;

  std::mutex service_mu_;
  std::condition_variable service_cv_;
  std::deque<PendingLoad> service_queue_;
  bool service_stop_ = false;
  std::thread service_;
};

}  // namespace accelmesh
