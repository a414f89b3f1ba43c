// The null device: accepts and completes every command and runs nothing. For protocol tests and benchmarks, never a
// default. Device memory is not backed; a copy to the client brings zeros, so that whoever waits for the bytes gets
// them.
//
// Completions: at once, on the executor's thread, while nothing is queued. Something is queued while a stream is held
// (Hold) or a copy to the client is on its way; then commands complete in the order of their streams, a legacy stream's
// after all earlier ones of blocking streams and the other way round, and a wait after the event's record.
// Threads: the executor calls; ModuleLoad() runs on the service thread; one thread of its own sends to the client,
// because that may wait. The sink is called under the lock and must not call back.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "server/device.h"

namespace accelmesh {

class NullBackend final : public Backend {
 public:
  explicit NullBackend(const BackendOptions& options);
  ~NullBackend() override;

  std::string name() const override { return "null"; }
  Result<std::vector<DeviceDescription>> Open(std::uint64_t window_base, std::uint64_t window_bytes,
                                              CompletionSink* sink) override;
  Status MemAlloc(std::uint32_t device, std::uint64_t address, std::uint64_t bytes) override;
  Status MemFree(std::uint32_t device, std::uint64_t address) override;
  Status MapHost(MutableByteView memory) override;
  Status UnmapHost(std::uint64_t address) override;
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
  void LibraryOpen(std::uint32_t library, std::uint32_t device, std::function<void(Result<Bytes>)> answer) override;
  Status LibraryCall(std::uint32_t stream, std::uint64_t sequence, LibraryJob job,
                     std::function<void(LibraryAnswer)> answer) override;
  void LibraryAsk(LibraryJob job, std::function<void(Result<LibraryAnswer>)> answer) override;
  Status Hold(std::uint32_t stream, bool on) override;
  void Close() override;

 private:
  struct Event {
    bool timing = false;
    bool recorded = false;
    std::uint32_t stream = 0;
    std::uint64_t ticket = 0;  // of the record in its stream; 0: completed when it was recorded
    std::atomic<std::int64_t> at_ns{0};
  };
  // A command that could not complete when it came.
  struct Item {
    std::uint64_t sequence = 0;
    std::vector<std::pair<std::uint32_t, std::uint64_t>> after;  // stream, ticket
    std::shared_ptr<Event> record;
    std::uint64_t token = 0;  // of a copy to the client that brings `bytes`
    std::uint64_t bytes = 0;
    std::optional<std::uint64_t> host_call;  // waits for its end
    bool reached = false;                    // and the client knows that the stream has come to it
  };
  struct Stream {
    bool held = false;
    bool sending = false;         // the first item is with the sender
    std::uint8_t kind = 1;        // wire::StreamKind
    std::uint64_t queued = 0;     // tickets given
    std::uint64_t completed = 0;  // tickets done
    std::deque<Item> items;
  };
  struct Parcel {
    std::uint32_t stream = 0;
    std::uint64_t sequence = 0;
    std::uint64_t token = 0;
    std::uint64_t bytes = 0;
  };

  // Nothing is held, queued or being sent: whatever comes completes at once. Only the executor's thread makes it false.
  bool Quiet() const { return busy_.load(std::memory_order_acquire) == 0; }
  Status Complete(std::uint32_t stream, std::uint64_t sequence);
  void Enqueue(std::uint32_t stream, Item item);
  bool MayComplete(const Stream& stream) const;  // requires mu_
  void Drain();                                  // requires mu_
  void FinishFirst(std::uint32_t stream);        // requires mu_
  void SenderMain();
  void Send(const Parcel& parcel);

  BackendOptions options_;
  CompletionSink* sink_ = nullptr;
  std::uint64_t globals_top_ = 0;  // module globals lie at the end of the window
  std::uint64_t window_end_ = 0;
  std::unordered_map<std::uint32_t, std::shared_ptr<Event>> events_;  // the executor's

  std::atomic<std::size_t> busy_{0};  // streams held, plus items queued
  mutable std::mutex mu_;
  std::condition_variable parcels_cv_;
  std::vector<Stream> streams_;
  std::vector<std::uint32_t> waiting_;  // streams with items
  std::deque<Parcel> parcels_;
  std::unordered_set<std::uint64_t> host_calls_;  // that streams wait for
  bool stop_ = false;
  std::thread sender_;
};

}  // namespace accelmesh
