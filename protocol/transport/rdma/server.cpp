#include "protocol/transport/rdma/server.h"

#include <array>
#include <thread>
#include <unordered_map>

#include "protocol/base/log.h"
#include "protocol/base/mutex.h"
#include "protocol/schema/session_generated.h"
#include "protocol/transport/first_error.h"
#include "protocol/transport/rdma/lane.h"

namespace accelmesh::rdma {
namespace {

constexpr ChannelTraits kTraits{"rdma", false, 512 * limits::kKiB, false};
// How long a client that was welcomed may take to connect.
constexpr Duration kFirstConnectPatience = std::chrono::seconds(10);
// While the client has so many of its records to read, progress gathers here instead of in more of them.
constexpr std::size_t kUnreadProgressMax = 16;
// How soon progress that found no room is tried again.
constexpr Duration kRetry = std::chrono::milliseconds(1);
// From here on the device reads pinned memory where it lies: waiting for it costs less than a copy.
constexpr std::size_t kPinnedBytesMin = kUnitBytes;

// A body that is read where the client put it. The client may still write there: that is its own data, and whoever
// parses a body copies it first.
class ArenaBody final : public BulkBody {
 public:
  ArenaBody(std::shared_ptr<End> end, const Announcement& where) : end_(std::move(end)), where_(where) {}
  ~ArenaBody() override {
    end_->Release(where_.first_unit);
    end_->Publish(/*now=*/true);
  }
  ByteView bytes() const override { return end_->arena().subspan(where_.first_unit * kUnitBytes, where_.size); }

 private:
  const std::shared_ptr<End> end_;
  const Announcement where_;
};

// One that the network card has put into a device's memory.
class LandedBody final : public BulkBody {
 public:
  LandedBody(std::shared_ptr<End> end, const Announcement& where, std::uint64_t landing)
      : end_(std::move(end)), where_(where), landing_(landing) {}
  ~LandedBody() override {
    end_->Release(where_.first_unit);
    end_->Publish(/*now=*/true);
  }
  ByteView bytes() const override { return {}; }
  std::size_t size() const override { return where_.size; }
  std::uint64_t device_address() const override { return landing_ + LandingOffset(where_.first_unit); }

 private:
  const std::shared_ptr<End> end_;
  const Announcement where_;
  const std::uint64_t landing_;
};

class RdmaServer final : public ServerChannel {
 public:
  explicit RdmaServer(std::unique_ptr<Awaiting> awaiting)
      : awaiting_(std::move(awaiting)),
        frame_(new std::uint64_t[limits::kFrameBytesMax / sizeof(std::uint64_t)]),
        connecting_([this] { AwaitClient(); }) {}
  ~RdmaServer() override {
    Close();
    connecting_.join();
  }

  const ChannelTraits& traits() const override { return kTraits; }
  Result<ReceivedFrame> Receive(bool accept_commands, Deadline deadline) override;
  Result<std::unique_ptr<BulkBody>> TakeBulk(std::uint64_t token) override;
  Status Send(ByteView frame, Deadline deadline) override;
  Status SendBulk(std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline) override;

  void PublishCompleted(std::uint32_t stream, std::uint64_t sequence) override {
    if (stream >= limits::kStreamsMax) return;
    StoreMax(completed_[stream], sequence);
    dirty_[stream / 64].fetch_or(std::uint64_t{1} << (stream % 64), std::memory_order_acq_rel);
    ProgressChanged();
  }
  void PublishAcknowledged(std::uint64_t sequence) override {
    StoreMax(acknowledged_, sequence);
    if (End* const end = live_.load(std::memory_order_acquire); end != nullptr) {
      end->Acknowledge(sequence);
      end->Interrupt();
    }
  }
  void PublishError(std::uint32_t device_status, bool sticky, std::uint64_t sequence) override {
    {
      const MutexLock lock(mutex_);
      if (!error_.Note(device_status, sticky, sequence)) return;
    }
    ProgressChanged();
  }

  Result<MutableByteView> SharedRegion(std::uint32_t) override {
    return Status(Code::kNotFound, "SharedRegion", "rdma maps no memory of the client");
  }
  void ReleaseRegion(std::uint32_t) override {}
  DirectLane* direct() override { return live_.load(std::memory_order_acquire) != nullptr ? lane_.get() : nullptr; }

  Counts counts() const {
    const End* const end = live_.load(std::memory_order_acquire);
    return end != nullptr ? end->counts() : Counts();
  }

  void Interrupt() override {
    interrupted_.store(true, std::memory_order_seq_cst);
    WakeExecutor();
  }
  void Close() override;

 private:
  void AwaitClient();
  // The connection, once there is one.
  Result<End*> Connection(Deadline deadline);
  // The executor's wait for it: nothing if it was interrupted instead.
  Result<End*> AwaitConnection(Deadline deadline);
  void WakeExecutor() {
    if (End* const end = live_.load(std::memory_order_seq_cst); end != nullptr) return end->Interrupt();
    const MutexLock lock(mutex_);
    changed_.NotifyAll();
  }
  void ProgressChanged() {
    is_dirty_.store(true, std::memory_order_seq_cst);
    End* const end = live_.load(std::memory_order_acquire);
    // What is left then is the executor's, who tries again.
    if (end != nullptr && !FlushProgress(*end)) end->Interrupt();
  }
  // False if something is left that found no room.
  bool FlushProgress(End& end);
  Bytes EncodeProgress() ACCELMESH_REQUIRES(progress_mutex_);
  Status TakeAnnouncements(End& end);
  Status Bad(End& end, const char* what) {
    end.Close({Code::kBadFrame, "rdma::Receive", what});
    return end.ClosedStatus();
  }

  const std::unique_ptr<Awaiting> awaiting_;
  std::shared_ptr<End> end_;          // written once, before live_
  std::shared_ptr<ServerLane> lane_;  // so is this
  std::atomic<End*> live_{nullptr};
  std::atomic<bool> interrupted_{false};
  std::atomic<bool> is_dirty_{false};
  std::atomic<std::uint64_t> acknowledged_{0};
  std::atomic<std::uint64_t> dirty_[limits::kStreamsMax / 64] = {};
  std::atomic<std::uint64_t> completed_[limits::kStreamsMax] = {};

  Mutex mutex_;
  CondVar changed_;
  Status failure_ ACCELMESH_GUARDED_BY(mutex_);  // why there is no connection, or none any more
  FirstError error_ ACCELMESH_GUARDED_BY(mutex_);
  Mutex progress_mutex_;  // before End's
  // Where the last records of progress end in the ring.
  std::array<std::uint64_t, kUnreadProgressMax> progress_tails_ ACCELMESH_GUARDED_BY(progress_mutex_){};
  std::size_t next_progress_ ACCELMESH_GUARDED_BY(progress_mutex_) = 0;

  // The executor's.
  std::unordered_map<std::uint64_t, Announcement> arrived_;
  bool has_unreported_ = false;  // bodies were taken off the ring that Receive() has not told of
  const std::unique_ptr<std::uint64_t[]> frame_;

  std::thread connecting_;  // last: it uses the rest
};

void RdmaServer::AwaitClient() {
  Result<std::unique_ptr<End>> connected = awaiting_->Await(Deadline::After(kFirstConnectPatience));
  if (connected.ok()) {
    end_ = *std::move(connected);
    lane_ = std::make_shared<ServerLane>(end_);
    end_->Acknowledge(acknowledged_.load(std::memory_order_seq_cst));
    bool is_closed = false;
    {
      const MutexLock lock(mutex_);
      is_closed = !failure_.ok();
      live_.store(end_.get(), std::memory_order_seq_cst);
      changed_.NotifyAll();
    }
    if (is_closed) return end_->Close({});
    // Values that were published before there was anybody to tell.
    end_->Acknowledge(acknowledged_.load(std::memory_order_seq_cst));
    if (!FlushProgress(*end_)) end_->Interrupt();
    return;
  }
  const MutexLock lock(mutex_);
  if (failure_.ok()) {
    log::Warning("rdma", connected.status().ToString());
    failure_ = connected.code() == Code::kDeadlineExceeded
                   ? Status(Code::kClosed, "rdma::Receive", "the client was welcomed and never connected")
                   : Status(Code::kClosed, "rdma::Receive", connected.status().text());
  }
  changed_.NotifyAll();
}

void RdmaServer::Close() {
  awaiting_->Cancel();
  {
    const MutexLock lock(mutex_);
    if (failure_.ok()) failure_ = {Code::kClosed, "rdma", "the connection has ended: this process has closed it"};
    changed_.NotifyAll();
  }
  if (End* const end = live_.load(std::memory_order_seq_cst); end != nullptr) end->Close({});
}

Result<End*> RdmaServer::Connection(Deadline deadline) {
  if (End* const end = live_.load(std::memory_order_acquire); end != nullptr) [[likely]]
    return end;
  const MutexLock lock(mutex_);
  const bool is_over = changed_.WaitUntil(mutex_, deadline.at(), [this] {
    mutex_.AssertHeld();
    return live_.load(std::memory_order_acquire) != nullptr || !failure_.ok();
  });
  if (!is_over) return Status(Code::kDeadlineExceeded, "rdma", "the client has not connected by the deadline");
  if (End* const end = live_.load(std::memory_order_acquire); end != nullptr) return end;
  return failure_;
}

Result<End*> RdmaServer::AwaitConnection(Deadline deadline) {
  if (End* const end = live_.load(std::memory_order_acquire); end != nullptr) [[likely]]
    return end;
  const MutexLock lock(mutex_);
  const bool is_over = changed_.WaitUntil(mutex_, deadline.at(), [this] {
    mutex_.AssertHeld();
    return live_.load(std::memory_order_acquire) != nullptr || !failure_.ok() || interrupted_.load();
  });
  if (End* const end = live_.load(std::memory_order_acquire); end != nullptr) return end;
  if (!failure_.ok()) return failure_;
  if (!is_over) return Status(Code::kDeadlineExceeded, "rdma::Receive", "nothing arrived by the deadline");
  return static_cast<End*>(nullptr);
}

// Receiving -----------------------------------------------------------------------------------------------------------

Result<ReceivedFrame> RdmaServer::Receive(bool accept_commands, Deadline deadline) {
  ReceivedFrame received;
  ACCELMESH_ASSIGN_OR_RETURN(End* const connection, AwaitConnection(deadline));
  if (connection == nullptr) {
    interrupted_.exchange(false, std::memory_order_seq_cst);
    return received;
  }
  End& end = *connection;
  const auto ready = [&] {
    if (is_dirty_.load(std::memory_order_relaxed)) (void)FlushProgress(end);
    return (accept_commands && end.Arrived(kCommandRing)) || end.Arrived(kSideRing) || end.Arrived(kBodyRing) ||
           has_unreported_ || interrupted_.load(std::memory_order_seq_cst);
  };
  const auto slice = [&] { return is_dirty_.load(std::memory_order_seq_cst) ? kRetry : Heart::kBeat; };
  switch (end.WaitForData(deadline, slice, ready)) {
    case shm::Waited::kReady: break;
    case shm::Waited::kDeadline:
      return Status(Code::kDeadlineExceeded, "rdma::Receive", "nothing arrived by the deadline");
    case shm::Waited::kGone: return end.ClosedStatus();
  }
  const bool is_side = end.Arrived(kSideRing);
  if (!is_side && (has_unreported_ || end.Arrived(kBodyRing))) {
    ACCELMESH_RETURN_IF_ERROR(TakeAnnouncements(end));
    end.Publish(/*now=*/false);
    has_unreported_ = false;
    received.kind = ReceivedFrame::Kind::kBulk;
    return received;
  }
  if (!is_side && !(accept_commands && end.Arrived(kCommandRing))) {
    interrupted_.exchange(false, std::memory_order_seq_cst);
    return received;
  }
  received.lane = is_side ? UpLane::kSide : UpLane::kCommand;
  auto* const to = reinterpret_cast<std::uint8_t*>(frame_.get());
  Kind kind = Kind::kFrame;
  std::size_t size = 0;
  ACCELMESH_RETURN_IF_ERROR(end.Take(is_side ? kSideRing : kCommandRing, {to, limits::kFrameBytesMax}, kind, size));
  if (kind != Kind::kFrame) return Bad(end, "the client sent a record of a kind that does not go there");
  end.Publish(/*now=*/false);
  received.kind = ReceivedFrame::Kind::kFrame;
  received.frame = {to, size};
  return received;
}

Status RdmaServer::TakeAnnouncements(End& end) {
  while (end.Arrived(kBodyRing)) {
    Announcement body;
    Kind kind = Kind::kBody;
    std::size_t size = 0;
    ACCELMESH_RETURN_IF_ERROR(end.Take(kBodyRing, {reinterpret_cast<std::uint8_t*>(&body), sizeof(body)}, kind, size));
    const bool is_somewhere = IsInArena(body) || (lane_->landing() != 0 && IsInLanding(body));
    if (kind != Kind::kBody || size != sizeof(body) || !is_somewhere)
      return Bad(end, "the client announced a body outside of the arena");
    // A client that keeps to the protocol has a run of its own for each body, so there are never more than units.
    if (arrived_.size() >= kUnits + kLandingUnits || !arrived_.try_emplace(body.token, body).second)
      return Bad(end, "the client announced a token twice, or more bodies than there is memory for");
    has_unreported_ = true;
  }
  return {};
}

Result<std::unique_ptr<BulkBody>> RdmaServer::TakeBulk(std::uint64_t token) {
  const Status missing(Code::kNotFound, "TakeBulk.token", "the body has not arrived");
  End* const end = live_.load(std::memory_order_acquire);
  if (end == nullptr) return missing;
  auto found = arrived_.find(token);
  if (found == arrived_.end()) {
    ACCELMESH_RETURN_IF_ERROR(TakeAnnouncements(*end));
    found = arrived_.find(token);
    if (found == arrived_.end()) return missing;
  }
  const Announcement where = found->second;
  arrived_.erase(found);
  if (IsLandingUnit(where.first_unit)) return std::unique_ptr<BulkBody>(new LandedBody(end_, where, lane_->landing()));
  return std::unique_ptr<BulkBody>(new ArenaBody(end_, where));
}

// Sending -------------------------------------------------------------------------------------------------------------

Status RdmaServer::Send(ByteView frame, Deadline deadline) {
  if (frame.size() > limits::kFrameBytesMax) {
    return {Code::kLimitExceeded, "Send.frame", "a frame has at most 1 MiB, this one " + std::to_string(frame.size())};
  }
  ACCELMESH_ASSIGN_OR_RETURN(End* const end, Connection(deadline));
  return end->Send(kDownRing, Kind::kFrame, frame, deadline);
}

Status RdmaServer::SendBulk(std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline) {
  if (body.size() > limits::kBulkBytesMax) {
    return {Code::kLimitExceeded, "SendBulk.body", "a body has at most 1 MiB, this one " + std::to_string(body.size())};
  }
  ACCELMESH_ASSIGN_OR_RETURN(End* const end, Connection(deadline));
  const std::shared_ptr<Memory> registered = body.size() >= kPinnedBytesMin ? lane_->FindPinned(body) : nullptr;
  return end->SendBody(kDownRing, token, offset, body, deadline, registered.get());
}

// Whatever was sent before a value was published lies in the ring before the record that tells of it.
bool RdmaServer::FlushProgress(End& end) {
  const MutexLock lock(progress_mutex_);
  if (!is_dirty_.exchange(false, std::memory_order_seq_cst)) return true;
  std::uint64_t& oldest = progress_tails_[next_progress_ % kUnreadProgressMax];
  if (end.PositionsOf(kDownRing).head >= oldest) {
    const Bytes record = EncodeProgress();
    const Status sent = end.TrySend(kDownRing, Kind::kProgress, record);
    if (sent.ok()) {
      oldest = end.PositionsOf(kDownRing).tail;
      ++next_progress_;
    }
    // Nobody hears it any more once the connection is closed.
    if (sent.code() != Code::kFull) return true;
    const auto* update = flatbuffers::GetRoot<wire::Progress>(record.data());
    if (update->streams() != nullptr) {
      for (const wire::StreamProgress* stream : *update->streams())
        dirty_[stream->stream() / 64].fetch_or(std::uint64_t{1} << (stream->stream() % 64), std::memory_order_acq_rel);
    }
  }
  is_dirty_.store(true, std::memory_order_seq_cst);
  return false;
}

Bytes RdmaServer::EncodeProgress() {
  std::vector<wire::StreamProgress> streams;
  for (std::uint32_t word = 0; word < limits::kStreamsMax / 64; ++word) {
    if (dirty_[word].load(std::memory_order_relaxed) == 0) continue;
    for (std::uint64_t left = dirty_[word].exchange(0, std::memory_order_acq_rel); left != 0; left &= left - 1) {
      const std::uint32_t stream = word * 64 + static_cast<std::uint32_t>(__builtin_ctzll(left));
      streams.emplace_back(stream, completed_[stream].load(std::memory_order_acquire));
    }
  }
  const std::uint64_t acknowledged = acknowledged_.load(std::memory_order_acquire);
  flatbuffers::FlatBufferBuilder builder;
  const auto list = streams.empty() ? 0 : builder.CreateVectorOfStructs(streams);
  const MutexLock lock(mutex_);
  builder.Finish(
      wire::CreateProgress(builder, acknowledged, error_.device_status, error_.is_sticky, error_.sequence, 0, list));
  return {builder.GetBufferPointer(), builder.GetBufferPointer() + builder.GetSize()};
}

}  // namespace

std::unique_ptr<ServerChannel> MakeServer(std::unique_ptr<Awaiting> awaiting) {
  return std::make_unique<RdmaServer>(std::move(awaiting));
}

Counts CountsOf(const ServerChannel& channel) { return static_cast<const RdmaServer&>(channel).counts(); }

}  // namespace accelmesh::rdma
