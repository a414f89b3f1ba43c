// The worker's end of a zmq session: what it sends. Whoever sends leaves it in a queue; the executor hands it to
// libzmq.
#include <unistd.h>

#include "protocol/schema/session_generated.h"
#include "protocol/transport/zmq_server.h"

namespace accelmesh::zmq {
namespace {

// Acknowledgements leave with other messages, or on their own when there are this many.
constexpr std::uint64_t kUnannouncedMax = 1024;
// How long the last words wait for lanes that the client has not attached yet.
constexpr Duration kAttachPatience = std::chrono::milliseconds(500);

}  // namespace

Status ZmqServer::Send(ByteView frame, Deadline deadline) {
  if (frame.size() > limits::kFrameBytesMax) {
    return {Code::kLimitExceeded, "Send.frame", "a frame has at most 1 MiB, this one " + std::to_string(frame.size())};
  }
  const std::uint64_t acknowledged = acknowledged_.load(std::memory_order_acquire);
  Message message(frame, {pieces_sent_.load(std::memory_order_acquire), acknowledged, MessageKind::kFrame});
  // Noted first: on the executor's thread queueing also sends, and asks what is left to announce.
  StoreMax(announced_, acknowledged);
  Status queued = Enqueue(kFrames, std::move(message), deadline);
  if (!queued.ok()) announced_.store(0, std::memory_order_relaxed);  // announced once more, then
  return queued;
}

Status ZmqServer::SendBulk(std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline) {
  if (body.size() > limits::kBulkBytesMax) {
    return {Code::kLimitExceeded, "SendBulk.body", "a body has at most 1 MiB, this one " + std::to_string(body.size())};
  }
  return Enqueue(kPieces, Message(body, {token, offset, MessageKind::kFrame}), deadline);
}

Status ZmqServer::Enqueue(Queue index, Message message, Deadline deadline) {
  const std::size_t size = message.bytes().size();
  {
    MutexLock lock(mutex_);
    OutQueue& queue = queues_[index];
    while (!closed_.load(std::memory_order_relaxed) && !queue.HasRoom(size)) {
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
    queue.messages.push_back(std::move(message));
    queue.bytes += size;
    // Counted before anything that is published or sent from now on looks at it.
    if (index == kPieces) pieces_sent_.fetch_add(1, std::memory_order_acq_rel);
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
  // Pieces first: frames and progress wait for them on the other side.
  const bool pieces_left = FlushQueue(kPieces, lanes_[kBulkDownLane]);
  const bool frames_left = FlushQueue(kFrames, lanes_[kDownLane]);
  if (pieces_left || frames_left) queued_.store(true, std::memory_order_relaxed);
  return pieces_left || frames_left;
}

bool ZmqServer::FlushQueue(Queue index, RouterLane& lane) {
  OutQueue& queue = queues_[index];
  if (queue.messages.empty()) return false;
  if (!lane.attached) return true;
  bool moved = false;
  while (!queue.messages.empty()) {
    Message id(lane.peer);
    const Io io = lane.router.TrySend(id, /*more=*/true);
    if (io == Io::kNoPeer) disconnected_ = true;
    if (io != Io::kDone) break;
    queue.bytes -= queue.messages.front().bytes().size();
    // The routing id was taken, so the rest of the message is.
    (void)lane.router.TrySend(queue.messages.front());
    queue.messages.pop_front();
    moved = true;
  }
  if (moved) room_.NotifyAll();
  return !queue.messages.empty();
}

void ZmqServer::QueueProgress(bool will_sleep) {
  const std::uint64_t unannounced =
      acknowledged_.load(std::memory_order_relaxed) - announced_.load(std::memory_order_relaxed);
  const bool acknowledge = unannounced >= (will_sleep ? 1 : kUnannouncedMax);
  if (!acknowledge && !progress_dirty_.load(std::memory_order_relaxed)) return;
  {
    const MutexLock lock(mutex_);
    // While the client does not read, changes gather here instead of in messages.
    if (queues_[kFrames].messages.size() > 1) return;
  }
  progress_dirty_.store(false, std::memory_order_seq_cst);
  Message message = EncodeProgress();
  const MutexLock lock(mutex_);
  queues_[kFrames].bytes += message.bytes().size();
  queues_[kFrames].messages.push_back(std::move(message));
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
  std::uint32_t error = 0;
  bool sticky = false;
  std::uint64_t error_sequence = 0;
  {
    const MutexLock lock(mutex_);
    error = error_;
    sticky = error_is_sticky_;
    error_sequence = error_sequence_;
  }
  // Read last: it counts at least the bodies sent before any of the values above.
  const std::uint64_t pieces = pieces_sent_.load(std::memory_order_acquire);
  flatbuffers::FlatBufferBuilder builder;
  const auto list = streams.empty() ? 0 : builder.CreateVectorOfStructs(streams);
  builder.Finish(wire::CreateProgress(builder, acknowledged, error, sticky, error_sequence, pieces, list));
  StoreMax(announced_, acknowledged);
  return Message({builder.GetBufferPointer(), builder.GetSize()}, {pieces, acknowledged, MessageKind::kProgress});
}

void ZmqServer::AwaitDownLanes() {
  // Each lane is a connection of its own: a client that has sent commands may still be on its way to attach these.
  const Deadline deadline = Deadline::After(kAttachPatience);
  const auto missing = [this] { return !lanes_[kDownLane].attached || !lanes_[kBulkDownLane].attached; };
  while (lanes_[kCommandLane].attached && !disconnected_ && failure_.ok() && missing() && !deadline.passed()) {
    for (Lane lane : {kDownLane, kBulkDownLane}) {
      if (!lanes_[lane].attached && !TakeFrom(lane).ok()) return;
    }
    if (missing()) usleep(100);
  }
}

void ZmqServer::Leave() {
  if (left_) return;
  left_ = true;
  AwaitDownLanes();
  QueueProgress(/*will_sleep=*/true);
  Flush();
  RouterLane& down = lanes_[kDownLane];
  if (down.attached && !disconnected_) {
    Message id(down.peer);
    Message bye({}, {pieces_sent_.load(), 0, MessageKind::kBye});
    if (down.router.TrySend(id, /*more=*/true) == Io::kDone) (void)down.router.TrySend(bye);
  }
  // The sockets close with this object (libzmq lingers for what is under way); their names go now.
  for (const std::string& path : socket_paths_) unlink(path.c_str());
}

}  // namespace accelmesh::zmq
