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
#include "server/session/lease.h"
#include "server/session/library_memory.h"
#include "server/session/range_table.h"

namespace accelmesh {

class Session final : private CompletionSink {
 public:
  // All outlive the session. `client_is_here`: the client is in this very process (loopback) and maps host memory.
  // `lease`: its seat among those that it shares memory and events with, null if it has none. `memory`: of what
  // libraries have answered, null if that is forgotten.
  Session(ServerChannel& channel, Backend& backend, bool client_is_here = false, Lease* lease = nullptr,
          LibraryMemory* memory = nullptr);
  ~Session() override;

  // Before Run(): what all sessions of the lease have together. It outlives the session.
  void UseQuota(MemoryQuota* quota) { quota_ = quota; }

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
  Status On(const wire::Occupancy& command, const RecordView& record);
  Status On(const wire::Launch& command, const RecordView& record);
  Status On(const wire::StreamCreate& command, const RecordView& record);
  Status On(const wire::StreamDestroy& command, const RecordView& record);
  Status On(const wire::EventCreate& command, const RecordView& record);
  Status On(const wire::EventDestroy& command, const RecordView& record);
  Status On(const wire::EventRecord& command, const RecordView& record);
  Status On(const wire::StreamWaitEvent& command, const RecordView& record);
  Status On(const wire::EventElapsed& command, const RecordView& record);
  Status On(const wire::DeviceLimit& command, const RecordView& record);
  Status On(const wire::IpcExport& command, const RecordView& record);
  Status On(const wire::IpcEndExport& command, const RecordView& record);
  Status On(const wire::IpcOpen& command, const RecordView& record);
  Status On(const wire::IpcClose& command, const RecordView& record);
  Status On(const wire::IpcEventCreate& command, const RecordView& record);
  Status On(const wire::IpcEventOpen& command, const RecordView& record);
  Status On(const wire::IpcEventQuery& command, const RecordView& record);
  Status On(const wire::HostCall& command, const RecordView& record);
  Status On(const wire::HostDone& command, const RecordView& record);
  Status On(const wire::GraphDefine& command, const RecordView& record);
  Status On(const wire::GraphLaunch& command, const RecordView& record);
  Status On(const wire::GraphDestroy& command, const RecordView& record);
  Status On(const wire::GraphBranch& command, const RecordView& record);
  Status On(const wire::TextureCreate& command, const RecordView& record);
  Status On(const wire::TextureDestroy& command, const RecordView& record);
  Status On(const wire::TextureHandle& command, const RecordView& record);
  Status On(const wire::LibraryOpen& command, const RecordView& record);
  Status On(const wire::LibrarySettings& command, const RecordView& record);
  Status On(const wire::LibraryCall& command, const RecordView& record);
  Status On(const wire::LibraryQuery& command, const RecordView& record);
  Status On(const wire::LibraryAsk& command, const RecordView& record);
  Status On(const wire::SharedRelease& command, const RecordView& record);

 private:
  // Numbers of host calls from here on are the session's own.
  static constexpr std::uint64_t kOwnCall = std::uint64_t{1} << 63;

  // One meaning of a client's event, from a record to the next; the backend's event lives as long as somebody parked
  // still means it.
  struct EventState {
    Backend* backend;
    std::uint32_t backend_id;
    bool timing;
    bool record_is_parked = false;
    std::shared_ptr<LeasedEvent> leased = nullptr;  // if the lease shares it; then the backend's says nothing
    ~EventState() { (void)backend->EventDestroy(backend_id).ok(); }
  };
  // A module in the backend: as long as the client has it loaded or a parked launch means it.
  struct BackendModule {
    Backend* backend;
    std::uint32_t backend_id;
    bool has_foreign_conditions = false;
    ~BackendModule() { (void)backend->ModuleUnload(backend_id).ok(); }
  };
  // A command of a stream that could not go to the backend yet, with everything it owns.
  struct Parked {
    std::uint64_t sequence = 0;
    std::uint64_t token = 0;  // bulk body it needs; 0 = none
    std::shared_ptr<EventState> wait_event;
    bool own_order_only = false;  // waits for nothing but its turn in this stream
    std::function<Status()> run;
    // Goes on when all that went to the backend before has completed, and not in this round of the executor's.
    bool needs_drained = false;
    std::uint64_t yielded_in = 0;
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
    std::variant<std::monostate, wire::Launch, wire::CopyPitched, wire::Fill, wire::GraphBranch, wire::LibraryCall>
        command;               // monostate: not defined yet
    std::uint8_t patches = 0;  // which of its places each launch names
    Bytes payload;
  };
  static_assert(sizeof(GraphNode) <= limits::kGraphNodeBytes);
  struct Graph {
    std::uint32_t total = 0;
    std::vector<GraphNode> nodes;  // the first of `total`, as far as they have come
    std::uint32_t branches = 0;
    std::uint64_t bytes = 0;  // as they count against kGraphBytesMax
    bool is_past = false;     // only launches under way still mean it
  };
  // A launch of a graph with branches, at the place that it has come to. It is the first of what its stream has parked
  // until it is through.
  struct Replay {
    std::shared_ptr<const Graph> graph;
    std::vector<std::shared_ptr<BackendModule>> modules;  // of its launches, by node from `first`
    Bytes patches;
    ByteView patches_left;
    std::uint32_t stream = 0;
    std::uint64_t sequence = 0;
    std::uint32_t first = 0;
    std::uint32_t end = 0;
    std::uint32_t at = 0;
    bool has_fetched = false;  // the word of the branch that it has come to
    bool has_failed = false;   // only what the client waits for is still done
  };
  using Graphs = std::unordered_map<std::uint32_t, std::shared_ptr<Graph>>;
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
  // Whether all of it lies in one variable of a loaded module; `managed`: in one that a driver has placed as managed.
  bool IsGlobal(std::uint64_t address, std::uint64_t bytes, bool managed) const;
  Status CheckStream(std::uint32_t stream) const;
  Status EndHostCall(std::uint64_t call);
  // session_lease.cpp
  void PartImports();
  Status CheckNewEvent(std::uint32_t event, std::uint32_t device) const;
  Status RecordLeased(std::uint32_t stream, std::uint64_t sequence, std::shared_ptr<EventState> event);
  Status WaitLeased(std::uint32_t stream, std::uint64_t sequence, std::shared_ptr<LeasedEvent> event);
  // Of all records that the stream has passed; any thread.
  void CompleteLeased(std::uint32_t stream, std::uint64_t sequence);
  // Whether the time has come; then the client is answered.
  bool TryExport(const wire::IpcExport& command, std::uint64_t sequence);
  // Whether it has to look again soon, and looks: at others' records that end waits, at memory to export.
  bool has_lease_work() const { return !leased_waits_.empty() || !pending_exports_.empty(); }
  Status DoLeaseWork();
  Result<std::shared_ptr<EventState>> MakeEvent(bool timing);
  // Turns a caller's mistake into the session's asynchronous error; the command completes in its turn. `token` names a
  // body that comes with it, 0 if there is none.
  Status CallerError(std::uint32_t stream, std::uint64_t sequence, std::uint64_t token, DeviceStatus status,
                     std::string_view text);
  void Reply(std::uint64_t sequence, DeviceStatus device_status, Code code, std::string_view text, ByteView body);
  void SendDown(wire::DownKind kind, std::uint64_t sequence, std::uint32_t device_status, Code code,
                std::string_view text, ByteView body);
  Result<GraphNode> ReadGraphNode(const RecordView& record);
  std::shared_ptr<Graph> NewGraph();
  Status RetireGraph(Graph& graph);
  Status ForgetGraph(Graphs::iterator graph);
  // Takes the node's patches from the front. `module` is null if the node's kernel is still to be looked up.
  Status RunGraphNode(const GraphNode& node, std::uint32_t at, std::uint32_t stream, const RecordView& part,
                      ByteView* patches, std::shared_ptr<BackendModule> module);
  Status BeginReplay(const wire::GraphLaunch& command, const RecordView& record, std::shared_ptr<const Graph> graph);
  Status ContinueReplay(const std::shared_ptr<Replay>& replay);
  // Runs nodes up to a branch that has to wait.
  Status RunReplay(Replay& replay, bool* has_yielded);
  // Whether the word that the branch tests is there to be read; else the replay has failed, and the client is told.
  bool CheckCondition(Replay& replay, const wire::GraphBranch& branch);
  void TakeBranch(Replay& replay, const wire::GraphBranch& branch);
  void FailReplay(Replay& replay, DeviceStatus status, std::string_view text);
  // session_library.cpp. What is wrong with the call itself ends the session.
  Result<LibraryJob> ReadLibraryCall(std::uint32_t library, std::uint32_t function, std::uint32_t stream,
                                     std::uint32_t settings, ByteView arguments);
  Status CheckLibraryFunction(std::uint32_t library, std::uint32_t function, std::uint32_t device, ByteView arguments);
  void ReplyLibrary(std::uint64_t sequence, const LibraryAnswer& answer);
  std::string IdentityOf(std::uint32_t library, std::uint32_t device);
  Status RunLibrary(std::uint32_t stream, std::uint64_t sequence, LibraryJob job,
                    std::function<void(LibraryAnswer)> answer);
  Result<std::shared_ptr<BackendModule>> FindKernel(const wire::Launch& command, std::size_t argument_bytes);
  Status RunLaunch(const wire::Launch& command, const RecordView& record, std::shared_ptr<BackendModule> module);
  // Completes `sequence` in its turn, as nothing: a wait on an event that is never recorded.
  Status RunNothing(std::uint32_t stream, std::uint64_t sequence, std::uint64_t token);
  // Ends what was destroyed behind commands that are not parked any more.
  Status EndPast();
  Status CollectImages();
  void ServiceMain();
  void RunLoad(PendingLoad load);

  void Completed(std::uint32_t stream, std::uint64_t sequence) override {
    Publish(stream, sequence, &ServerChannel::PublishCompleted);
  }
  void Passing(std::uint32_t stream, std::uint64_t sequence) override {
    Publish(stream, sequence, &ServerChannel::PublishPassing);
  }
  void Publish(std::uint32_t stream, std::uint64_t sequence,
               void (ServerChannel::*publish)(std::uint32_t, std::uint64_t));
  void Failed(std::uint32_t stream, std::uint64_t sequence, DeviceStatus status, bool sticky,
              std::string_view text) override;
  Status SendToClient(std::uint64_t token, std::uint64_t offset, ByteView bytes) override;
  void Drained(std::uint32_t stream) override;
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
  Lease* lease_;
  MemoryQuota* quota_ = nullptr;
  LibraryMemory* library_memory_;
  bool shares_memory_ = false;
  std::vector<RangeTable> imports_;       // by device: what is open of other sessions' memory
  std::vector<RangeTable> import_spans_;  // by device: what is mapped with it
  struct Import {
    std::shared_ptr<LeaseFile> file;
    LeaseName name;
    std::uint64_t lead = 0;
    std::uint64_t bytes = 0;
  };
  std::map<std::uint64_t, Import> open_imports_;  // by address
  struct PendingExport {
    wire::IpcExport command;
    std::uint64_t sequence = 0;
  };
  std::vector<PendingExport> pending_exports_;  // of memory that the backend still looks for
  struct LeasedRecord {
    std::uint32_t stream = 0;
    std::uint64_t sequence = 0;
    std::shared_ptr<LeasedEvent> event;
    std::uint64_t ticket = 0;
  };
  std::mutex leased_mu_;
  std::vector<LeasedRecord> leased_records_;  // under way; under leased_mu_
  std::atomic<bool> any_leased_record_{false};
  struct LeasedWait {
    std::shared_ptr<LeasedEvent> event;
    std::uint64_t ticket = 0;
    std::uint64_t call = 0;
  };
  std::vector<LeasedWait> leased_waits_;  // that streams have stopped for
  std::uint64_t next_leased_call_ = kOwnCall;
  std::vector<StreamState> streams_;  // by slot, up to the highest that was made
  std::size_t parked_commands_ = 0;
  std::set<std::uint32_t> parked_streams_;  // with a command that is parked
  std::atomic<bool> anything_parked_{false};
  std::unordered_map<std::uint32_t, std::shared_ptr<EventState>> events_;
  std::uint32_t next_backend_event_ = 0;
  std::uint32_t next_backend_module_ = 0;
  std::unordered_set<std::uint64_t> host_calls_;        // with the backend, not done
  std::unordered_set<std::uint64_t> early_host_dones_;  // of calls that have not come to their turn
  std::uint64_t graph_bytes_ = 0;
  std::uint64_t past_graph_bytes_ = 0;
  Graphs graphs_;
  bool replay_failed_ = false;                        // the node that runs now was refused
  std::atomic<bool> is_broken_{false};                // by a sticky error: nothing runs any more
  std::uint64_t round_ = 1;                           // of the executor's loop
  bool has_yielded_ = false;                          // a replay that nobody's completion goes on with
  std::unordered_map<std::uint64_t, bool> textures_;  // by id: whether the backend has it
  // What was destroyed while commands before it were parked that may mean it: in order.
  struct Past {
    std::uint64_t sequence = 0;
    std::optional<std::uint64_t> texture;
    std::shared_ptr<BackendModule> module;
  };
  std::deque<Past> past_;
  Status texture_error_;                                                 // why the last that failed did
  std::uint64_t replayed_sequence_ = 0;                                  // of the launch whose nodes are being run
  std::optional<std::uint32_t> nothing_;                                 // a backend event that is never recorded
  std::unordered_map<std::uint64_t, std::unique_ptr<BulkBody>> bodies_;  // arrived early, kept for a parked command
  std::atomic<std::uint64_t> images_bytes_{0};                           // of loads that have begun and not ended

  // By library and device, once the client has been told of it.
  struct KnownLibrary {
    Bytes functions;
    std::string identity;  // of its answers; empty if they are not remembered
  };
  std::mutex libraries_mu_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, KnownLibrary> libraries_;            // under libraries_mu_
  std::map<std::uint32_t, std::vector<std::shared_ptr<const Bytes>>> library_settings_;  // by library

  mutable std::mutex modules_mu_;  // the service thread fills modules_
  std::unordered_map<std::uint32_t, ModuleState> modules_;
  struct Global {
    std::uint64_t bytes = 0;
    bool is_managed = false;
  };
  std::map<std::uint64_t, Global> globals_;  // by address
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
