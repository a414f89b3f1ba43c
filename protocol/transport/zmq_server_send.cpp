// The worker's end of a zmq session: what it sends. Whoever sends a frame leaves it in a queue, and the executor hands
// it to libzmq; whoever sends a body writes it to the bulk lane's stream.
#include <unistd.h>

#include "protocol/base/tsan.h"
#include "protocol/schema/session_generated.h"
#include "protocol/transport/zmq_server.h"

namespace accelmesh::zmq {
namespace {

// Acknowledgements leave with other messages, or on their own when there are this many.
constexpr std::uint64_t kUnannouncedMax = 1024;
// How long the last words wait for a lane that the client has not attached yet.
constexpr Duration kAttachPatience = std::chrono::milliseconds(500);

}  // namespace

Status ZmqServer::Send(ByteView frame, Deadline deadline) {
  if (frame.size() > limits::kFrameBytesMax) {
    return {Code::kLimitExceeded, "Send.frame", "a frame has at most 1 MiB, this one " + std::to_string(frame.size())};
  }
  const std::uint64_t acknowledged = acknowledged_.load(std::memory_order_acquire);
  Message message(frame, {bulk_->pieces_sent(), acknowledged, MessageKind::kFrame});
  // Noted first: on the executor's thread queueing also sends, and asks what is left to announce.
  StoreMax(announced_, acknowledged);
  Status queued = Enqueue(std::move(message), deadline);
  if (!queued.ok()) announced_.store(0, std::memory_order_relaxed);  // announced once more, then
  return queued;
}

Status ZmqServer::SendBulk(std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline) {
  if (body.size() > limits::kBulkBytesMax) {
    return {Code::kLimitExceeded, "SendBulk.body", "a body has at most 1 MiB, this one " + std::to_string(body.size())};
  }
  TsanReleaseToPeer();
  return bulk_->Send(token, offset, body, deadline);
}

Status ZmqServer::Enqueue(Message message, Deadline deadline) {
  const std::size_t size = message.bytes().size();
  {
    MutexLock lock(mutex_);
    while (!closed_.load(std::memory_order_relaxed) && !queue_.HasRoom(size)) {
      if (deadline.passed()) {
        return {Code::kDeadlineExceeded, "zmq::Send", "no room by the deadline: the client does not read"};
      }
      if (IsExecutor()) {
        // Nobody else would make room.
        lock.Unlock();
        if (Flush()) usleep(100);
        lock.Lock();
      } else {
        (void)room_.WaitUntil(mutex_, deadline.at());
      }
    }
    if (closed_.load(std::memory_order_relaxed)) return {Code::kClosed, "zmq", "the connection has ended"};
    queue_.messages.push_back(std::move(message));
    queue_.bytes += size;
  }
  queued_.store(true, std::memory_order_seq_cst);
  if (IsExecutor()) {
    Flush();
  } else {
    Wake();
  }
  return {};
}

bool ZmqServer::Flush() {
  if (!queued_.load(std::memory_order_relaxed)) return false;
  queued_.store(false, std::memory_order_seq_cst);
  const MutexLock lock(mutex_);
  RouterLane& down = lanes_[kDownLane];
  bool moved = false;
  while (down.attached && !queue_.messages.empty()) {
    Message id(down.peer);
    const Io io = down.router.TrySend(id, /*more=*/true);
    if (io == Io::kNoPeer) disconnected_ = true;
    if (io != Io::kDone) break;
    queue_.bytes -= queue_.messages.front().bytes().size();
    // The routing id was taken, so the rest of the message is.
    (void)down.router.TrySend(queue_.messages.front());
    queue_.messages.pop_front();
    moved = true;
  }
  if (moved) room_.NotifyAll();
  if (queue_.messages.empty()) return false;
  queued_.store(true, std::memory_order_relaxed);
  return true;
}

bool ZmqServer::PassingIsDue() {
  if (!looks_again_.load(std::memory_order_relaxed)) return passing_.load(std::memory_order_seq_cst);
  if (Clock::now() < look_at_) return false;
  if (passing_.load(std::memory_order_relaxed)) return true;
  looks_again_.store(false, std::memory_order_seq_cst);
  // What came just before has not woken anybody.
  return passing_.load(std::memory_order_seq_cst);
}

void ZmqServer::QueueProgress(bool will_sleep) {
  const std::uint64_t unannounced =
      acknowledged_.load(std::memory_order_relaxed) - announced_.load(std::memory_order_relaxed);
  const bool acknowledge = unannounced >= (will_sleep ? 1 : kUnannouncedMax);
  if (!acknowledge && !progress_dirty_.load(std::memory_order_relaxed) && !PassingIsDue()) return;
  {
    const MutexLock lock(mutex_);
    // While the client does not read, changes gather here instead of in messages.
    if (queue_.messages.size() > 1) return;
  }
  progress_dirty_.store(false, std::memory_order_seq_cst);
  // A command that passes is mostly one of many: the next ones are told together, after a while.
  if (passing_.load(std::memory_order_relaxed)) {
    passing_.store(false, std::memory_order_seq_cst);
    look_at_ = Clock::now() + kPassingDelay;
    looks_again_.store(true, std::memory_order_seq_cst);
  }
  Message message = EncodeProgress();
  const MutexLock lock(mutex_);
  queue_.bytes += message.bytes().size();
  queue_.messages.push_back(std::move(message));
  queued_.store(true, std::memory_order_relaxed);
}

Message ZmqServer::EncodeProgress() {
  std::vector<wire::StreamProgress> streams;
  for (std::uint32_t word = 0; word < limits::kStreamsMax / 64; ++word) {
    if (dirty_[word].load(std::memory_order_relaxed) == 0) continue;
    for (std::uint64_t left = dirty_[word].exchange(0, std::memory_order_acq_rel); left != 0; left &= left - 1) {
      const std::uint32_t stream = word * 64 + static_cast<std::uint32_t>(__builtin_ctzll(left));
      streams.emplace_back(stream, completed_[stream].load(std::memory_order_acquire));
    }
  }
  const std::uint64_t acknowledged = acknowledged_.load(std::memory_order_acquire);
  FirstError error;
  {
    const MutexLock lock(mutex_);
    error = error_;
  }
  // Read last: it counts at least the bodies sent before any of the values above.
  const std::uint64_t pieces = bulk_->pieces_sent();
  flatbuffers::FlatBufferBuilder builder;
  const auto list = streams.empty() ? 0 : builder.CreateVectorOfStructs(streams);
  builder.Finish(
      wire::CreateProgress(builder, acknowledged, error.device_status, error.is_sticky, error.sequence, pieces, list));
  StoreMax(announced_, acknowledged);
  return Message({builder.GetBufferPointer(), builder.GetSize()}, {pieces, acknowledged, MessageKind::kProgress});
}

void ZmqServer::AwaitDownLane() {
  // Each lane is a connection of its own: a client that has sent commands may still be on its way to attach this one.
  const Deadline deadline = Deadline::After(kAttachPatience);
  const RouterLane& down = lanes_[kDownLane];
  while (lanes_[kCommandLane].attached && !disconnected_ && failure_.ok() && !down.attached && !deadline.passed()) {
    if (!TakeFrom(kDownLane).ok()) return;
    if (!down.attached) usleep(100);
  }
}

void ZmqServer::Leave() {
  if (left_) return;
  left_ = true;
  if (bulk_ == nullptr) return;  // it never opened
  AwaitDownLane();
  if (passing_.load(std::memory_order_relaxed)) progress_dirty_.store(true, std::memory_order_relaxed);
  QueueProgress(/*will_sleep=*/true);
  Flush();
  RouterLane& down = lanes_[kDownLane];
  if (down.attached && !disconnected_) {
    Message id(down.peer);
    Message bye({}, {bulk_->pieces_sent(), 0, MessageKind::kBye});
    if (down.router.TrySend(id, /*more=*/true) == Io::kDone) (void)down.router.TrySend(bye);
  }
  // The sockets close with this object (libzmq lingers for what is under way); their names go now.
  for (const std::string& path : socket_paths_) unlink(path.c_str());
}

}  // namespace accelmesh::zmq
