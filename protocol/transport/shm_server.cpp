// The worker's end of an shm session: the executor's rings, and one thread that serves the unix socket (shared regions
// and the sign of life), so that neither waits for an executor that is busy.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <unordered_map>

#include "protocol/base/log.h"
#include "protocol/base/mutex.h"
#include "protocol/transport/channel.h"
#include "protocol/transport/shm_end.h"
#include "protocol/transport/shm_socket.h"

namespace accelmesh {
namespace shm {
namespace {

constexpr ChannelTraits kTraits{"shm", true, 256 * limits::kKiB, true};

// A body that is read where the client put it. The client may still write there: that is its own data, and whoever
// parses a body (module images) copies it first.
class SlotBody final : public BulkBody {
 public:
  SlotBody(std::shared_ptr<Memory> memory, const Announcement& where) : memory_(std::move(memory)), where_(where) {}
  ~SlotBody() override {
    Shared& shared = memory_->shared();
    shared.up_released.unit[where_.first_unit].store(1, std::memory_order_seq_cst);
    RingIfWaited(shared.client, shared.client.room_waiters);
  }
  ByteView bytes() const override { return {memory_->up_arena() + where_.first_unit * kUnitBytes, where_.size}; }

 private:
  std::shared_ptr<Memory> memory_;
  Announcement where_;
};

// Memory of the client that is mapped here.
struct Region {
  std::uint8_t* base = nullptr;
  std::size_t size = 0;
};

Result<Region> MapRegion(int fd, std::uint64_t size) {
  constexpr const char* kWhere = "ShareMemory";
  struct stat info{};
  const int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return Status(Code::kInvalidArgument, kWhere, "the descriptor is no memfd sealed with F_SEAL_SHRINK");
  }
  if (size == 0 || size > limits::kAllocationBytesMax || fstat(fd, &info) != 0 ||
      size > static_cast<std::uint64_t>(info.st_size)) {
    return Status(Code::kInvalidArgument, kWhere, "the memfd is smaller than the size given");
  }
  void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return Status::System(errno, kWhere, "mmap");
  return Region{static_cast<std::uint8_t*>(base), static_cast<std::size_t>(size)};
}

class ShmServer final : public ServerChannel {
 public:
  ShmServer(const std::shared_ptr<Memory>& memory, int socket, int stop_fd)
      : end_(memory, socket, memory->shared().server, memory->shared().client),
        shared_(memory->shared()),
        down_(*memory, kDownRing, shared_.client),
        pieces_(*memory, kDownBulkRing, shared_.client),
        slots_(shared_.down_released),
        commands_(shared_.rings[kCommandRing], memory->RingData(kCommandRing), kFrameRingBytes, shared_.client),
        side_(shared_.rings[kSideRing], memory->RingData(kSideRing), kFrameRingBytes, shared_.client),
        bulk_(shared_.rings[kUpBulkRing], memory->RingData(kUpBulkRing), kBulkRingBytes, shared_.client),
        frame_(new std::uint8_t[limits::kFrameBytesMax]),
        stop_fd_(stop_fd),
        socket_thread_([this] { ServeSocket(); }) {}

  ~ShmServer() override {
    end_.Close({});
    const std::uint64_t one = 1;
    if (write(stop_fd_, &one, sizeof(one)) != sizeof(one)) log::Error("ShmServer", "cannot stop the socket's thread");
    socket_thread_.join();
    close(stop_fd_);
    for (const auto& [id, region] : regions_) munmap(region.base, region.size);
  }

  const ChannelTraits& traits() const override { return kTraits; }

  Result<ReceivedFrame> Receive(bool accept_commands, Deadline deadline) override;
  Result<std::unique_ptr<BulkBody>> TakeBulk(std::uint64_t token) override;

  Status Send(ByteView frame, Deadline deadline) override {
    if (frame.size() > limits::kFrameBytesMax) {
      return {Code::kLimitExceeded, "Send.frame",
              "a frame has at most 1 MiB, this one " + std::to_string(frame.size())};
    }
    // Counted before it can be taken, like pieces.
    frames_sent_.fetch_add(1, std::memory_order_seq_cst);
    Status sent = end_.SendFrame(down_, frame, deadline);
    if (!sent.ok()) frames_sent_.fetch_sub(1, std::memory_order_seq_cst);
    return sent;
  }

  Status SendBulk(std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline) override {
    Announcement announcement;
    announcement.token = token;
    announcement.offset = offset;
    // Counted before it can land, so that progress published from now on is held back.
    pieces_sent_.fetch_add(1, std::memory_order_seq_cst);
    Status sent = end_.SendBody(pieces_, slots_, end_.memory().down_arena(), announcement, body, deadline);
    if (!sent.ok()) pieces_sent_.fetch_sub(1, std::memory_order_seq_cst);
    return sent;
  }

  void PublishCompleted(std::uint32_t stream, std::uint64_t sequence) override {
    if (stream >= limits::kStreamsMax) return;
    if (shared_.pieces_landed.load(std::memory_order_acquire) == pieces_sent_.load(std::memory_order_seq_cst) &&
        shared_.frames_taken.load(std::memory_order_acquire) == frames_sent_.load(std::memory_order_seq_cst)) {
      StoreMax(shared_.progress.completed[stream], sequence);
    } else {
      StoreMax(shared_.held_completed[stream], sequence);
      shared_.held_streams[stream / 64].fetch_or(std::uint64_t{1} << (stream % 64), std::memory_order_acq_rel);
    }
    TellClient();
  }
  // Neither of these says anything about bytes, so neither waits for bodies. Nobody waits for an acknowledgement.
  void PublishAcknowledged(std::uint64_t sequence) override { StoreMax(shared_.progress.acknowledged, sequence); }
  void PublishError(std::uint32_t device_status, bool sticky, std::uint64_t sequence) override;

  Result<MutableByteView> SharedRegion(std::uint32_t region) override {
    const MutexLock lock(regions_mutex_);
    const auto found = regions_.find(region);
    if (found == regions_.end()) {
      return Status(Code::kNotFound, "SharedRegion", "the client shared no region " + std::to_string(region));
    }
    return MutableByteView{found->second.base, found->second.size};
  }
  void ReleaseRegion(std::uint32_t region) override {
    const MutexLock lock(regions_mutex_);
    const auto found = regions_.find(region);
    if (found == regions_.end()) return;
    munmap(found->second.base, found->second.size);
    regions_.erase(found);
  }

  void Interrupt() override {
    if (!interrupted_.exchange(true, std::memory_order_seq_cst)) {
      RingIfWaited(end_.mine(), end_.mine().data_waiters);
    }
  }
  void Close() override { end_.Close({}); }

 private:
  void TellClient() {
    shared_.progress_version.fetch_add(1, std::memory_order_seq_cst);
    RingIfWaited(end_.peer(), end_.peer().data_waiters);
  }
  Status TakeAnnouncements();
  Status Corrupt(const char* what) {
    end_.Close({Code::kBadFrame, "shm::Receive", what});
    return end_.ClosedStatus();
  }
  void ServeSocket();
  Message AddRegion(const Message& request);

  End end_;
  Shared& shared_;
  FrameLane down_;
  FrameLane pieces_;
  SlotAllocator slots_;
  std::atomic<std::uint64_t> pieces_sent_{0};
  std::atomic<std::uint64_t> frames_sent_{0};
  std::atomic<bool> interrupted_{false};
  Mutex error_mutex_;
  // The error that was published.
  std::uint32_t error_ ACCELMESH_GUARDED_BY(error_mutex_) = 0;
  bool error_is_sticky_ ACCELMESH_GUARDED_BY(error_mutex_) = false;

  // The executor's.
  RingConsumer commands_;
  RingConsumer side_;
  RingConsumer bulk_;
  std::unordered_map<std::uint64_t, Announcement> arrived_;
  bool bulk_unreported_ = false;  // bodies were taken off the ring that Receive() has not told of
  const std::unique_ptr<std::uint8_t[]> frame_;

  Mutex regions_mutex_;
  std::unordered_map<std::uint32_t, Region> regions_ ACCELMESH_GUARDED_BY(regions_mutex_);
  const int stop_fd_;
  std::thread socket_thread_;
};

Result<ReceivedFrame> ShmServer::Receive(bool accept_commands, Deadline deadline) {
  const auto ready = [&] {
    return (accept_commands && commands_.Available()) || side_.Available() || bulk_.Available() || bulk_unreported_ ||
           interrupted_.load(std::memory_order_seq_cst);
  };
  switch (end_.WaitForData(deadline, ready)) {
    case Waited::kReady: break;
    case Waited::kDeadline: return Status(Code::kDeadlineExceeded, "shm::Receive", "nothing arrived by the deadline");
    case Waited::kGone: return end_.ClosedStatus();
  }
  ReceivedFrame received;
  RingConsumer* ring = side_.Available() ? &side_ : nullptr;
  if (ring == nullptr && (bulk_unreported_ || bulk_.Available())) {
    ACCELMESH_RETURN_IF_ERROR(TakeAnnouncements());
    bulk_unreported_ = false;
    received.kind = ReceivedFrame::Kind::kBulk;
    return received;
  }
  received.lane = ring != nullptr ? UpLane::kSide : UpLane::kCommand;
  if (ring == nullptr && accept_commands && commands_.Available()) ring = &commands_;
  if (ring == nullptr) {
    interrupted_.exchange(false, std::memory_order_seq_cst);
    received.kind = ReceivedFrame::Kind::kInterrupted;
    return received;
  }
  std::size_t size = 0;
  if (ring->Pop(frame_.get(), limits::kFrameBytesMax, size) != RingStatus::kOk) {
    return Corrupt("the client wrote a frame that is none into the ring");
  }
  received.kind = ReceivedFrame::Kind::kFrame;
  received.frame = {frame_.get(), size};
  return received;
}

Status ShmServer::TakeAnnouncements() {
  while (bulk_.Available()) {
    Announcement body;
    std::size_t size = 0;
    if (bulk_.Pop(reinterpret_cast<std::uint8_t*>(&body), sizeof(body), size) != RingStatus::kOk ||
        size != sizeof(body) || !IsInArena(body)) {
      return Corrupt("the client announced a body outside of the shared memory");
    }
    // A client that keeps to the protocol has a run of its own for each body, so there are never more than units.
    if (arrived_.size() >= kUnits || !arrived_.try_emplace(body.token, body).second) {
      return Corrupt("the client announced a token twice, or more bodies than there is memory for");
    }
    bulk_unreported_ = true;
  }
  return {};
}

Result<std::unique_ptr<BulkBody>> ShmServer::TakeBulk(std::uint64_t token) {
  auto found = arrived_.find(token);
  if (found == arrived_.end()) {
    ACCELMESH_RETURN_IF_ERROR(TakeAnnouncements());
    found = arrived_.find(token);
    if (found == arrived_.end()) return Status(Code::kNotFound, "TakeBulk.token", "the body has not arrived");
  }
  auto body = std::make_unique<SlotBody>(end_.memory_shared(), found->second);
  arrived_.erase(found);
  return std::unique_ptr<BulkBody>(std::move(body));
}

void ShmServer::PublishError(std::uint32_t device_status, bool sticky, std::uint64_t sequence) {
  {
    const MutexLock lock(error_mutex_);
    if (error_ != 0 && (!sticky || error_is_sticky_)) return;
    error_ = device_status;
    error_is_sticky_ = sticky;
    ProgressPage& page = shared_.progress;
    page.error_sequence.store(sequence, std::memory_order_relaxed);
    page.error_is_sticky.store(sticky ? 1 : 0, std::memory_order_relaxed);
    page.error.store(device_status, std::memory_order_release);
  }
  TellClient();
}

void ShmServer::ServeSocket() {
  // The socket alone would not tell of a client that was killed while a child it forked lives on with a copy of it.
  ucred peer{};
  socklen_t length = sizeof(peer);
  int pid_fd = -1;
  if (getsockopt(end_.socket(), SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid > 0) {
    pid_fd = static_cast<int>(syscall(SYS_pidfd_open, peer.pid, 0));
  }
  while (!end_.closed()) {
    pollfd fds[3] = {{end_.socket(), POLLIN | POLLRDHUP, 0}, {stop_fd_, POLLIN, 0}, {pid_fd, POLLIN, 0}};
    if (poll(fds, 3, -1) < 0 && errno != EINTR) break;
    if ((fds[1].revents | fds[2].revents) != 0) break;
    if (fds[0].revents == 0) continue;
    Result<Message> request = ReceiveMessage(end_.socket(), Deadline(Instant{}));
    if (!request.ok() && request.code() == Code::kDeadlineExceeded) continue;
    if (!request.ok() || request->kind != MessageKind::kShare) {
      if (request.ok() && request->fd >= 0) close(request->fd);
      if (request.ok() || request.code() != Code::kClosed) {
        end_.Close({Code::kBadFrame, "shm::ServeSocket", "the client sent a message that is none"});
      }
      break;
    }
    const Message answer = AddRegion(*request);
    if (request->fd >= 0) close(request->fd);
    if (!SendMessage(end_.socket(), answer, Deadline::After(std::chrono::seconds(5))).ok()) break;
  }
  end_.Close({});
  if (pid_fd >= 0) close(pid_fd);
}

Message ShmServer::AddRegion(const Message& request) {
  Status status;
  {
    const MutexLock lock(regions_mutex_);
    if (regions_.size() >= limits::kSharedRegionsMax) {
      status = {Code::kLimitExceeded, "ShareMemory", "a session shares at most 4096 regions at a time"};
    } else if (regions_.count(request.argument) != 0) {
      status = {Code::kInvalidArgument, "ShareMemory.region", "the region is shared already"};
    } else {
      Result<Region> region = MapRegion(request.fd, request.size);
      status = region.status();
      if (region.ok()) regions_.emplace(request.argument, *region);
    }
  }
  Message answer;
  answer.kind = MessageKind::kShared;
  answer.argument = request.argument;
  answer.size = static_cast<std::uint64_t>(status.code());
  const ByteView text = AsBytes(status.text());
  answer.bytes.assign(text.begin(), text.end());
  return answer;
}

}  // namespace
}  // namespace shm

Result<std::unique_ptr<ServerChannel>> OpenShmWorker(int connection_fd, ByteView welcome, Deadline deadline) {
  Result<std::shared_ptr<shm::Memory>> memory = shm::Memory::Create();
  const int stop_fd = memory.ok() ? eventfd(0, EFD_CLOEXEC) : -1;
  Status status = memory.status();
  if (memory.ok() && stop_fd < 0) status = Status::System(errno, "OpenShmWorker", "eventfd");
  std::unique_ptr<ServerChannel> channel;
  if (status.ok()) {
    shm::Message message;
    message.kind = shm::MessageKind::kWelcome;
    message.bytes.assign(welcome.begin(), welcome.end());
    message.fd = (*memory)->fd();
    status = shm::SendMessage(connection_fd, message, deadline);
  }
  if (!status.ok()) {
    if (stop_fd >= 0) close(stop_fd);
    close(connection_fd);
    return status;
  }
  return std::unique_ptr<ServerChannel>(new shm::ShmServer(*memory, connection_fd, stop_fd));
}

}  // namespace accelmesh
