// What a fuzzed Session runs on: a channel that plays a script of frames and bodies, and a backend that runs nothing
// but checks that the session keeps its side of server/device.h whatever the client sends.
//
// Threads: as in a real session: Receive() on the executor's thread, sends from any.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "protocol/transport/channel.h"
#include "server/device.h"

namespace accelmesh::fuzz {

class ScriptChannel final : public ServerChannel {
 public:
  // What comes next; false at the end, when the client is gone.
  using Next = std::function<bool(ScriptChannel&)>;
  explicit ScriptChannel(Next next) : next_(std::move(next)) {}

  void PushFrame(UpLane lane, Bytes frame) { frames_.emplace_back(lane, std::move(frame)); }
  // A token that is in use already is dropped: the transports end such a session themselves.
  void PushBody(std::uint64_t token, ByteView body);
  std::size_t frames_sent() const {
    const std::lock_guard lock(mutex_);
    return sent_.size();
  }

  std::vector<Bytes> sent() const {
    const std::lock_guard lock(mutex_);
    return sent_;
  }
  std::uint64_t completed(std::uint32_t stream) { return completed_[stream]; }
  std::uint32_t error() const { return error_; }

  const ChannelTraits& traits() const override { return traits_; }
  Result<ReceivedFrame> Receive(bool accept_commands, Deadline deadline) override;
  Result<std::unique_ptr<BulkBody>> TakeBulk(std::uint64_t token) override;
  Status Send(ByteView frame, Deadline deadline) override;
  Status SendBulk(std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline) override;
  void PublishCompleted(std::uint32_t stream, std::uint64_t sequence) override;
  void PublishAcknowledged(std::uint64_t sequence) override;
  void PublishError(std::uint32_t device_status, bool sticky, std::uint64_t sequence) override;
  Result<MutableByteView> SharedRegion(std::uint32_t region) override;
  // Kept: a client that releases a region under its own copies harms its own worker only.
  void ReleaseRegion(std::uint32_t) override {}
  void Interrupt() override {}
  void Close() override {}

 private:
  const ChannelTraits traits_{"script", true, limits::kBulkBytesMax, true};
  Next next_;
  std::deque<std::pair<UpLane, Bytes>> frames_;
  Bytes frame_;
  bool body_arrived_ = false;
  std::unordered_map<std::uint64_t, Bytes> bodies_;
  std::map<std::uint32_t, Bytes> regions_;
  std::uint64_t acknowledged_ = 0;
  std::uint32_t error_ = 0;
  std::map<std::uint32_t, std::uint64_t> completed_;
  mutable std::mutex mutex_;
  std::vector<Bytes> sent_;
};

class CheckingBackend final : public Backend {
 public:
  static constexpr std::uint64_t kMemoryBytes = 64 * limits::kMiB;
  // First byte of an image whose description is larger than a frame; 0 begins one that does not load.
  static constexpr std::uint8_t kTalkativeImage = 0xff;

  // Completes up to `count` commands of a stream, in order.
  void CompleteSome(std::uint32_t stream, std::size_t count);
  bool closed() const { return closed_; }
  // How many streams wait for the client.
  std::size_t host_calls() const { return host_calls_.size(); }
  // While set, commands stay in flight until CompleteSome().
  void HoldAll(bool on) { hold_ = on; }
  // Whether FetchWord() is work of the device, like any other.
  void FetchByCommand(bool on) { fetches_ = on; }
  // Loads bring kernels with a way of their own to set conditions.
  void HaveForeignConditions(bool on) { has_foreign_conditions_ = on; }
  // Whether it has libraries: of each, what HasFunction() says.
  void HaveLibraries(bool on) { has_libraries_ = on; }
  // What answers depend on; by itself they are not remembered.
  void IdentifyLibraries(std::string identity) { library_identity_ = std::move(identity); }
  // How often one was asked.
  std::size_t asked() const { return asked_; }
  static constexpr bool HasFunction(std::uint32_t function) { return function % 4 != 3; }
  // What has run, in order, since it was asked last.
  std::vector<LibraryJob> TakeLibraryJobs() { return std::exchange(library_jobs_, {}); }
  // What ReadWord() tells; 0 by itself.
  void SetWord(std::uint64_t address, std::uint32_t value) { words_[address] = value; }

  std::string name() const override { return "checking"; }
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
  bool has_conditions() const override { return true; }
  Status FetchWord(std::uint32_t stream, std::uint64_t sequence, std::uint64_t address) override;
  Result<std::uint32_t> ReadWord(std::uint32_t stream, std::uint64_t address) override;
  Status TextureCreate(std::uint64_t id, const TextureJob& job) override;
  Status TextureDestroy(std::uint64_t id) override;
  std::size_t textures() const { return textures_.size(); }
  bool shares_memory() const override { return true; }
  void UseFile(int fd, std::uint64_t offset) override;
  Result<SharedMemory> ExportMemory(std::uint32_t device, std::uint64_t address, std::uint64_t bytes) override;
  Status ShareMemory(std::uint32_t device, const SharedMemory& memory, std::uint64_t address,
                     std::uint64_t bytes) override;
  Status UnshareMemory(std::uint64_t address, std::uint64_t bytes) override;
  Result<OccupancyAnswer> Occupancy(const OccupancyJob& job) override;
  void LibraryOpen(std::uint32_t library, std::uint32_t device, std::function<void(Result<Bytes>)> answer) override;
  std::string LibraryIdentity(std::uint32_t library, std::uint32_t device) override;
  // Answered with the function's first word, when it completes.
  Status LibraryCall(std::uint32_t stream, std::uint64_t sequence, LibraryJob job,
                     std::function<void(LibraryAnswer)> answer) override;
  // Answered at once in the same way, but nothing whose first word is 0. If libraries have an identity, their status is
  // 0, or 1 if the word is.
  void LibraryAsk(LibraryJob job, std::function<void(Result<LibraryAnswer>)> answer) override;
  Status Hold(std::uint32_t stream, bool on) override;
  void Close() override;

 private:
  void Queue(std::uint32_t stream, std::uint64_t sequence);
  void CheckSide(const CopySide& side, const CopyJob& job);
  void CheckRange(std::uint64_t address, std::uint64_t bytes);
  void CheckLibrary(const LibraryJob& job) const;

  CompletionSink* sink_ = nullptr;
  bool closed_ = false;
  bool hold_ = false;
  std::uint64_t window_base_ = 0;
  std::uint64_t window_bytes_ = 0;
  std::map<std::uint64_t, std::uint64_t> live_;
  std::map<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>>
      shared_;                        // address -> start, bytes of what is mapped
  std::set<std::uint64_t> exported_;  // to be asked about again
  // Freed ranges may still be named by commands that were parked when they were freed.
  std::map<std::uint64_t, std::uint64_t> ever_;
  std::map<std::uint32_t, std::deque<std::uint64_t>> in_flight_;  // by existing stream
  std::map<std::uint32_t, std::uint64_t> last_sequence_;
  std::set<std::uint32_t> events_;
  std::set<std::uint32_t> recorded_;
  std::set<std::uint64_t> host_calls_;
  std::set<std::uint64_t> textures_;
  bool has_libraries_ = true;
  std::set<std::uint32_t> libraries_;  // that are open
  std::vector<LibraryJob> library_jobs_;
  std::string library_identity_;
  std::size_t asked_ = 0;
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::function<void()>> answers_;  // by stream, sequence
  bool fetches_ = false;
  bool has_foreign_conditions_ = false;
  std::map<std::uint64_t, std::uint32_t> words_;
  std::map<std::uint32_t, std::uint64_t> fetched_;  // by stream: a word's address
  std::map<std::uint64_t, std::uint64_t> host_;     // address -> bytes
  mutable std::mutex modules_mutex_;                // loads come on the service thread
  std::set<std::uint32_t> modules_;
};

}  // namespace accelmesh::fuzz
