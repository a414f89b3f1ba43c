#include "protocol/transport/bulk_server.h"

#include <poll.h>
#include <unistd.h>

#include <new>

#include "protocol/base/limits.h"
#include "protocol/base/log.h"

namespace accelmesh {
namespace {

// Connections that have not shown the mark yet; the oldest goes beyond.
constexpr std::size_t kStrangersMax = 8;
// Bodies of about the largest size come in buffers that are used again: a fresh one costs a page fault every 4 KiB.
constexpr std::size_t kPooledBytesMin = limits::kBulkBytesMax / 2;
constexpr std::size_t kPooledMax = 16;
constexpr int kRecordsPerRound = 64;
// How often a lane that is full looks whether it still is, should nobody tell it.
constexpr int kFullMs = 10;

}  // namespace

struct BulkServer::Shared {
  std::atomic<std::size_t> held_bytes{0};
  std::atomic<bool> is_starved{false};  // the thread waits for bodies to go
  zmq::Wakeup wakeup;
  Mutex mutex;
  std::vector<std::unique_ptr<std::uint8_t[]>> free ACCELMESH_GUARDED_BY(mutex);

  std::unique_ptr<std::uint8_t[]> TakeBuffer(std::size_t size) {
    if (size >= kPooledBytesMin) {
      const MutexLock lock(mutex);
      if (!free.empty()) {
        auto buffer = std::move(free.back());
        free.pop_back();
        return buffer;
      }
      size = limits::kBulkBytesMax;
    }
    return std::unique_ptr<std::uint8_t[]>(new (std::nothrow) std::uint8_t[size]);
  }
  void GiveBack(std::unique_ptr<std::uint8_t[]> buffer, std::size_t size) {
    if (size >= kPooledBytesMin) {
      const MutexLock lock(mutex);
      if (free.size() < kPooledMax) free.push_back(std::move(buffer));
    }
    held_bytes.fetch_sub(size, std::memory_order_seq_cst);
    if (is_starved.load(std::memory_order_seq_cst)) wakeup.Set();
  }
};

class BulkServer::Body final : public BulkBody {
 public:
  Body(std::shared_ptr<Shared> shared, std::unique_ptr<std::uint8_t[]> buffer, std::size_t size)
      : shared_(std::move(shared)), buffer_(std::move(buffer)), size_(size) {}
  ~Body() override { shared_->GiveBack(std::move(buffer_), size_); }
  ByteView bytes() const override { return {buffer_.get(), size_}; }

 private:
  const std::shared_ptr<Shared> shared_;
  std::unique_ptr<std::uint8_t[]> buffer_;
  const std::size_t size_;
};

class BulkServer::Sink final : public BulkSink {
 public:
  explicit Sink(BulkServer& lane) : lane_(lane) {}
  ~Sink() override { Drop(); }

  Status Begin(const BulkHeader& header) override {
    Drop();
    if (header.offset != 0) return {Code::kBadFrame, "BulkServer", "the client sent a body with an offset"};
    buffer_ = lane_.shared_->TakeBuffer(header.bytes);
    if (buffer_ == nullptr) return {Code::kOutOfMemory, "BulkServer", "no memory for a body"};
    header_ = header;
    lane_.shared_->held_bytes.fetch_add(header.bytes, std::memory_order_relaxed);
    return {};
  }
  MutableByteView Enter(std::size_t done) override { return {buffer_.get() + done, header_.bytes - done}; }
  void Leave() override {}
  Status End() override {
    auto body = std::make_unique<Body>(lane_.shared_, std::move(buffer_), header_.bytes);
    {
      const MutexLock lock(lane_.mutex_);
      if (!lane_.arrived_.try_emplace(header_.token, std::move(body)).second)
        return {Code::kBadFrame, "BulkServer", "the client sent a token twice"};
    }
    lane_.has_note_.store(true, std::memory_order_seq_cst);
    lane_.wake_();
    return {};
  }

 private:
  void Drop() {
    if (buffer_ != nullptr) lane_.shared_->GiveBack(std::move(buffer_), header_.bytes);
    buffer_ = nullptr;
  }

  BulkServer& lane_;
  BulkHeader header_;
  std::unique_ptr<std::uint8_t[]> buffer_;
};

BulkServer::BulkServer(BulkListening listening, const SealKeys& keys, bool is_sealed, std::function<void()> wake)
    : endpoint_(std::move(listening.endpoint)),
      keys_(keys),
      is_sealed_(is_sealed),
      wake_(std::move(wake)),
      shared_(std::make_shared<Shared>()),
      listening_(std::move(listening.socket)) {}

Result<std::unique_ptr<BulkServer>> BulkServer::Open(BulkListening listening, ByteView secret, bool is_sealed,
                                                     std::function<void()> wake) {
  ACCELMESH_ASSIGN_OR_RETURN(const SealKeys keys, KeysOfSecret(secret));
  std::unique_ptr<BulkServer> lane(new BulkServer(std::move(listening), keys, is_sealed, std::move(wake)));
  lane->thread_ = std::thread([lane = lane.get()] { lane->Run(); });
  return lane;
}

BulkServer::~BulkServer() {
  Close();
  if (thread_.joinable()) thread_.join();
  if (endpoint_.scheme == Endpoint::Scheme::kIpc) ::unlink(endpoint_.path.c_str());
}

void BulkServer::Close() {
  {
    const MutexLock lock(mutex_);
    closed_.store(true);
    if (owned_sender_ != nullptr) owned_sender_->Close();
  }
  connected_.NotifyAll();
  shared_->wakeup.Set();
}

// Receiving ----------------------------------------------------------------------------------------------------------

void BulkServer::Run() {
  if (AwaitClient()) Receive();
}

bool BulkServer::AwaitClient() {
  std::vector<Stranger> strangers;
  bool is_logged = false;
  while (!closed_.load()) {
    std::vector<pollfd> fds{{shared_->wakeup.fd(), POLLIN, 0}, {listening_.fd(), POLLIN, 0}};
    for (const Stranger& stranger : strangers) fds.push_back({stranger.socket.fd(), POLLIN, 0});
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;
    if (fds[0].revents != 0) shared_->wakeup.Clear();
    for (std::size_t i = strangers.size(); i-- > 0;) {
      if (fds[2 + i].revents == 0) continue;
      Stranger& stranger = strangers[i];
      SocketSource source(stranger.socket.fd());
      const Result<std::size_t> got = source.Read(MutableByteView(stranger.greeting).subspan(stranger.filled));
      if (got.ok()) stranger.filled += *got;
      if (got.ok() && stranger.filled < stranger.greeting.size()) continue;
      if (got.ok() && GreetingFits(stranger.greeting, keys_.mark)) {
        stream_ = std::move(stranger.socket);
        listening_ = {};
        return true;
      }
      if (!is_logged) log::Warning("BulkServer", "a connection that did not show the session's mark was closed");
      is_logged = true;
      strangers.erase(strangers.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (fds[1].revents == 0) continue;
    BulkSocket socket = AcceptBulk(listening_, /*own_user_only=*/!is_sealed_);
    if (!socket.is_open()) continue;
    if (strangers.size() >= kStrangersMax) strangers.erase(strangers.begin());
    strangers.push_back({std::move(socket), {}, 0});
  }
  return false;
}

bool BulkServer::IsFull() {
  if (shared_->held_bytes.load(std::memory_order_seq_cst) >= limits::kBulkInFlightBytesMax) return true;
  const MutexLock lock(mutex_);
  return arrived_.size() >= limits::kParkedCommandsMax;
}

void BulkServer::Fail(Status why) {
  {
    const MutexLock lock(mutex_);
    if (failure_.ok()) failure_ = std::move(why);
  }
  has_note_.store(true, std::memory_order_seq_cst);
  wake_();
}

void BulkServer::Receive() {
  std::unique_ptr<Sealer> sealer;
  std::unique_ptr<Opener> opener;
  if (is_sealed_) {
    Result<std::unique_ptr<Sealer>> down = Sealer::Make(keys_.down);
    Result<std::unique_ptr<Opener>> up = Opener::Make(keys_.up);
    if (!down.ok() || !up.ok()) return Fail(down.ok() ? up.status() : down.status());
    sealer = *std::move(down);
    opener = *std::move(up);
  }
  BulkSender* sender = nullptr;
  {
    const MutexLock lock(mutex_);
    owned_sender_ = std::make_unique<BulkSender>(stream_.fd(), std::move(sealer));
    sender = owned_sender_.get();
    if (closed_.load()) sender->Close();
    sender_.store(sender, std::memory_order_release);
  }
  connected_.NotifyAll();
  BulkReader reader(std::move(opener));
  SocketSource source(stream_.fd());
  Sink sink(*this);
  for (bool is_open = true; !closed_.load();) {
    shared_->is_starved.store(true, std::memory_order_seq_cst);
    const bool is_full = IsFull();
    if (!is_full) shared_->is_starved.store(false, std::memory_order_relaxed);
    pollfd fds[2] = {{shared_->wakeup.fd(), POLLIN, 0}, {is_open && !is_full ? stream_.fd() : -1, POLLIN, 0}};
    if (::poll(fds, 2, is_full ? kFullMs : -1) < 0) continue;
    if (fds[0].revents != 0) shared_->wakeup.Clear();
    if (fds[1].revents != 0) is_open = TakeRecords(reader, source, sink);
  }
}

bool BulkServer::TakeRecords(BulkReader& reader, SocketSource& source, BulkSink& sink) {
  for (int i = 0; i < kRecordsPerRound && !IsFull(); ++i) {
    const Result<std::size_t> read = reader.Read(source, sink, 1);
    if (read.ok() && *read == 0) {
      source.WakeFor(reader.due());
      return true;
    }
    if (read.ok()) continue;
    if (read.code() != Code::kClosed) {
      Fail(read.status());
    } else {
      const MutexLock lock(mutex_);
      ended_at_ = Clock::now();
    }
    return false;
  }
  // There may be more, and how much is not known.
  source.WakeFor(0);
  return true;
}

Result<std::unique_ptr<BulkBody>> BulkServer::Take(std::uint64_t token) {
  const MutexLock lock(mutex_);
  const auto found = arrived_.find(token);
  if (found == arrived_.end()) return Status(Code::kNotFound, "TakeBulk.token", "the body has not arrived");
  std::unique_ptr<BulkBody> body = std::move(found->second);
  arrived_.erase(found);
  return body;
}

Status BulkServer::failure() const {
  const MutexLock lock(mutex_);
  return failure_;
}

bool BulkServer::HasEndedBefore(Instant time) const {
  const MutexLock lock(mutex_);
  return ended_at_ < time;
}

// Sending ------------------------------------------------------------------------------------------------------------

Status BulkServer::Send(std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline) {
  BulkSender* sender = sender_.load(std::memory_order_acquire);
  if (sender == nullptr) {
    const MutexLock lock(mutex_);
    while (owned_sender_ == nullptr && !closed_.load()) {
      if (!connected_.WaitUntil(mutex_, deadline.at()) && owned_sender_ == nullptr && !closed_.load()) {
        return {Code::kDeadlineExceeded, "BulkServer::Send", "the client has not connected its bulk lane"};
      }
    }
    sender = owned_sender_.get();
  }
  if (sender == nullptr || closed_.load()) return {Code::kClosed, "BulkServer::Send", "the connection has ended"};
  return sender->Send({token, offset, static_cast<std::uint32_t>(body.size())}, body, deadline);
}

std::uint64_t BulkServer::pieces_sent() const {
  const BulkSender* const sender = sender_.load(std::memory_order_acquire);
  return sender != nullptr ? sender->records() : 0;
}

}  // namespace accelmesh
