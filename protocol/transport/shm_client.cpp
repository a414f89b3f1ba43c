// The client's end of an shm session. It has no thread of its own: it runs inside somebody else's process.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "protocol/base/mutex.h"
#include "protocol/transport/bulk_expectations.h"
#include "protocol/transport/channel.h"
#include "protocol/transport/refusal.h"
#include "protocol/transport/shm_end.h"
#include "protocol/transport/shm_socket.h"

namespace accelmesh {
namespace shm {
namespace {

// 256 KiB: a body still lies in the core's cache when the other side copies it out.
constexpr ChannelTraits kTraits{"shm", true, 256 * limits::kKiB, true};
// Frames that one Pump() delivers at most, so that its caller gets to look at what it waits for.
constexpr Duration kShareWait = std::chrono::seconds(30);

class ShmClient final : public ClientChannel {
 public:
  ShmClient(const std::shared_ptr<Memory>& memory, int socket)
      : end_(memory, socket, memory->shared().client, memory->shared().server),
        shared_(memory->shared()),
        commands_(*memory, kCommandRing, shared_.server),
        side_(*memory, kSideRing, shared_.server),
        bulk_(*memory, kUpBulkRing, shared_.server),
        slots_(shared_.up_released),
        frames_(shared_.rings[kDownRing], memory->RingData(kDownRing), kFrameRingBytes, shared_.server),
        pieces_(shared_.rings[kDownBulkRing], memory->RingData(kDownBulkRing), kBulkRingBytes, shared_.server),
        frame_(new std::uint8_t[limits::kFrameBytesMax]) {}

  const ChannelTraits& traits() const override { return kTraits; }

  Status Send(UpLane lane, ByteView frame, Deadline deadline) override {
    if (frame.size() > limits::kFrameBytesMax) [[unlikely]] {
      return {Code::kLimitExceeded, "Send.frame",
              "a frame has at most 1 MiB, this one " + std::to_string(frame.size())};
    }
    return end_.SendFrame(lane == UpLane::kSide ? side_ : commands_, frame, deadline);
  }

  Status SendBulk(std::uint64_t token, ByteView body, Deadline deadline) override {
    Announcement announcement;
    announcement.token = token;
    return end_.SendBody(bulk_, slots_, end_.memory().up_arena(), announcement, body, deadline);
  }

  Status ExpectBulk(std::uint64_t token, MutableByteView destination) override {
    return expectations_.Expect(token, destination);
  }
  bool BulkLanded(std::uint64_t token) override { return expectations_.Landed(token); }
  void CancelBulk(std::uint64_t token) override { expectations_.Cancel(token); }

  Status Pump(FrameSink& sink, Deadline deadline) override;
  const ProgressPage& progress() const override { return shared_.progress; }
  Status ShareMemory(std::uint32_t region, int memfd, std::size_t size) override;

  void Interrupt() override {
    // Coalesced: whoever finds it set already has a wake-up coming.
    if (!interrupted_.exchange(true, std::memory_order_seq_cst)) {
      RingIfWaited(end_.mine(), end_.mine().data_waiters);
    }
  }
  void Close() override { end_.Close({}); }

 private:
  bool Ready() {
    return interrupted_.load(std::memory_order_seq_cst) || frames_.Available() || pieces_.Available() ||
           shared_.progress_version.load(std::memory_order_seq_cst) != version_seen_;
  }
  Status LandPieces();
  void NoteHeldProgress();
  void ReleaseHeldProgress();
  Status Corrupt(const char* what) {
    end_.Close({Code::kBadFrame, "shm::Pump", what});
    return end_.ClosedStatus();
  }

  End end_;
  Shared& shared_;
  FrameLane commands_;
  FrameLane side_;
  FrameLane bulk_;
  SlotAllocator slots_;
  BulkExpectations expectations_;
  std::atomic<bool> interrupted_{false};
  Mutex share_mutex_;  // one ShareMemory() at a time: it reads its answer from the socket

  // The pumping thread's.
  RingConsumer frames_;
  RingConsumer pieces_;
  std::uint64_t version_seen_ = 0;
  std::uint64_t frames_taken_ = 0;
  struct Held {
    std::uint32_t stream;
    std::uint64_t completed;
  };
  std::vector<Held> held_;
  const std::unique_ptr<std::uint8_t[]> frame_;
};

Status ShmClient::Pump(FrameSink& sink, Deadline deadline) {
  switch (end_.WaitForData(deadline, [this] { return Ready(); })) {
    case Waited::kReady: break;
    case Waited::kDeadline: return {Code::kDeadlineExceeded, "shm::Pump", "nothing arrived by the deadline"};
    case Waited::kGone: return end_.ClosedStatus();
  }
  if (interrupted_.load(std::memory_order_relaxed)) interrupted_.exchange(false, std::memory_order_seq_cst);
  // First the held counters that we know of, then the frames and bodies that were sent before them, at the end the use
  // of the counters: so no counter gets ahead of a frame or a body, and no frame of a body.
  const std::uint64_t version = shared_.progress_version.load(std::memory_order_seq_cst);
  const bool has_news = version != version_seen_;
  version_seen_ = version;
  if (has_news) NoteHeldProgress();
  frames_.Refresh();
  ACCELMESH_RETURN_IF_ERROR(LandPieces());
  if (frames_.Known()) {
    while (frames_.Known()) {
      std::size_t size = 0;
      if (frames_.Pop(frame_.get(), limits::kFrameBytesMax, size) != RingStatus::kOk) {
        return Corrupt("the server wrote a frame that is none into the ring");
      }
      sink.OnFrame({frame_.get(), size});
      ++frames_taken_;
    }
    shared_.frames_taken.store(frames_taken_, std::memory_order_release);
  }
  if (has_news) ReleaseHeldProgress();
  return {};
}

Status ShmClient::LandPieces() {
  while (pieces_.Available()) {
    Announcement piece;
    std::size_t size = 0;
    if (pieces_.Pop(reinterpret_cast<std::uint8_t*>(&piece), sizeof(piece), size) != RingStatus::kOk ||
        size != sizeof(piece) || !IsInArena(piece)) {
      return Corrupt("the server announced a body outside of the shared memory");
    }
    const Status landed = expectations_.Land(piece.token, piece.offset,
                                             {end_.memory().down_arena() + piece.first_unit * kUnitBytes, piece.size});
    if (!landed.ok()) {
      end_.Close(landed);
      return landed;
    }
    shared_.down_released.unit[piece.first_unit].store(1, std::memory_order_seq_cst);
    shared_.pieces_landed.fetch_add(1, std::memory_order_seq_cst);
    RingIfWaited(end_.peer(), end_.peer().room_waiters);
  }
  return {};
}

void ShmClient::NoteHeldProgress() {
  held_.clear();
  for (std::uint32_t word = 0; word < limits::kStreamsMax / 64; ++word) {
    std::atomic<std::uint64_t>& bits = shared_.held_streams[word];
    if (bits.load(std::memory_order_relaxed) == 0) continue;
    for (std::uint64_t left = bits.exchange(0, std::memory_order_acq_rel); left != 0; left &= left - 1) {
      const std::uint32_t stream = word * 64 + static_cast<std::uint32_t>(__builtin_ctzll(left));
      held_.push_back({stream, shared_.held_completed[stream].load(std::memory_order_acquire)});
    }
  }
}

void ShmClient::ReleaseHeldProgress() {
  for (const Held& held : held_) StoreMax(shared_.progress.completed[held.stream], held.completed);
}

Status ShmClient::ShareMemory(std::uint32_t region, int memfd, std::size_t size) {
  const MutexLock lock(share_mutex_);
  const Deadline deadline = Deadline::After(kShareWait);
  Message request;
  request.kind = MessageKind::kShare;
  request.argument = region;
  request.size = size;
  request.fd = memfd;
  ACCELMESH_RETURN_IF_ERROR(SendMessage(end_.socket(), request, deadline));
  ACCELMESH_ASSIGN_OR_RETURN(const Message answer, ReceiveMessage(end_.socket(), deadline));
  if (answer.fd >= 0) close(answer.fd);
  if (answer.kind != MessageKind::kShared || answer.argument != region) {
    return Corrupt("the server answered a shared region with something else");
  }
  if (answer.size == 0) return {};
  return {answer.size <= static_cast<std::uint64_t>(Code::kInternal) ? static_cast<Code>(answer.size) : Code::kBadFrame,
          "ShareMemory", std::string(AsText(answer.bytes))};
}

// A connected unix socket, or why there is none.
Result<int> Connect(const Endpoint& endpoint) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::string path, SocketPath(endpoint, /*create=*/false));
  const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return Status::System(errno, "ConnectShm", "socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return fd;
  const int error = errno;
  close(fd);
  if (error == ENOENT || error == ECONNREFUSED) {
    return Status(Code::kUnavailable, "ConnectShm",
                  "no gpu-server listens on " + endpoint.ToString() + " (" + path + "); start one with --listen " +
                      endpoint.ToString());
  }
  return Status::System(error, "ConnectShm", "connecting to " + path);
}

}  // namespace
}  // namespace shm

Result<Connected> ConnectShm(const Endpoint& endpoint, ByteView hello, Deadline deadline) {
  if (endpoint.scheme != Endpoint::Scheme::kShm) {
    return Status(Code::kInvalidArgument, "ConnectShm.endpoint", endpoint.ToString() + " is not shm://name");
  }
  ACCELMESH_ASSIGN_OR_RETURN(const int fd, shm::Connect(endpoint));
  shm::Message message;
  message.kind = shm::MessageKind::kHello;
  message.bytes.assign(hello.begin(), hello.end());
  const Status sent = shm::SendMessage(fd, message, deadline);
  Result<shm::Message> answer = sent.ok() ? shm::ReceiveMessage(fd, deadline) : Result<shm::Message>(sent);
  Status status = answer.ok() ? StatusOfWelcome(answer->bytes) : answer.status();
  if (status.code() == Code::kClosed) {
    status = {Code::kUnavailable, "ConnectShm", "the server closed the connection before it answered; see its log"};
  }
  if (status.ok() && (answer->kind != shm::MessageKind::kWelcome || answer->fd < 0)) {
    status = {Code::kBadFrame, "ConnectShm", "the server's welcome comes without the session's memory"};
  }
  if (!status.ok()) {
    if (answer.ok() && answer->fd >= 0) close(answer->fd);
    close(fd);
    return status;
  }
  Result<std::shared_ptr<shm::Memory>> memory = shm::Memory::Attach(answer->fd);
  if (!memory.ok()) {
    close(fd);
    return memory.status();
  }
  Connected connected;
  connected.channel = std::make_unique<shm::ShmClient>(*memory, fd);
  connected.welcome = std::move(answer->bytes);
  return connected;
}

}  // namespace accelmesh
