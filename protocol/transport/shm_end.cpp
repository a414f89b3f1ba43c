#include "protocol/transport/shm_end.h"

#include <sys/socket.h>
#include <unistd.h>

#include "protocol/base/tsan.h"
#include "protocol/transport/copy.h"
#include "protocol/transport/shm_socket.h"

namespace accelmesh::shm {
namespace {

// How often a sender that never waits asks whether its peer still lives.
constexpr std::uint32_t kFramesPerLook = 256;

Status NoRoom() { return {Code::kDeadlineExceeded, "shm", "no room by the deadline: the peer does not read"}; }
Status CorruptRing() { return {Code::kBadFrame, "shm", "the peer wrote a position that is none into the shared ring"}; }

}  // namespace

End::End(std::shared_ptr<Memory> memory, int socket, Side& mine, Side& peer)
    : memory_(std::move(memory)), socket_(socket), mine_(mine), peer_(peer), spinner_(mine, peer) {}

End::~End() {
  Close({});
  close(socket_);
}

Status End::SendFrame(FrameLane& lane, ByteView frame, Deadline deadline) {
  for (;;) {
    if (closed()) [[unlikely]]
      return ClosedStatus();
    RingStatus pushed;
    bool look = false;
    {
      const MutexLock lock(lane.mutex);
      pushed = lane.ring.TryPush(frame);
      look = ++lane.sent % kFramesPerLook == 0;
    }
    if (look && LooksClosed()) [[unlikely]]
      return ClosedStatus();
    if (pushed == RingStatus::kOk) [[likely]]
      return {};
    if (pushed == RingStatus::kCorrupt) {
      Close(CorruptRing());
      return ClosedStatus();
    }
    const auto has_room = [&] {
      const MutexLock lock(lane.mutex);
      return lane.ring.HasRoom(frame.size());
    };
    const Waited waited =
        WaitFor(mine_, mine_.room_waiters, spinner_, deadline, has_room, [this] { return LooksClosed(); });
    if (waited == Waited::kDeadline) return NoRoom();
    if (waited == Waited::kGone) return ClosedStatus();
  }
}

Status End::SendBody(FrameLane& lane, SlotAllocator& slots, std::uint8_t* arena, Announcement announcement,
                     ByteView body, Deadline deadline) {
  if (body.size() > limits::kBulkBytesMax) {
    return {Code::kLimitExceeded, "SendBulk.body", "a body has at most 1 MiB, this one " + std::to_string(body.size())};
  }
  if (closed()) return ClosedStatus();
  std::optional<std::uint32_t> unit;
  const Waited waited = WaitFor(
      mine_, mine_.room_waiters, spinner_, deadline,
      [&] {
        // Asked again after it has said yes: a run that was found is kept.
        if (!unit.has_value()) unit = slots.Allocate(UnitsFor(body.size()));
        return unit.has_value();
      },
      [this] { return LooksClosed(); });
  if (waited == Waited::kDeadline) return NoRoom();
  if (waited == Waited::kGone) return ClosedStatus();
  std::uint8_t* const place = arena + *unit * kUnitBytes;
  TsanAcquire(place);  // the peer has given back what another thread wrote here
  CopyBody(place, body.data(), body.size());
  TsanRelease(place);
  TsanReleaseToPeer();
  announcement.first_unit = *unit;
  announcement.size = static_cast<std::uint32_t>(body.size());
  Status announced = SendFrame(lane, AsBytes(announcement), deadline);
  if (!announced.ok()) slots.Free(*unit);
  return announced;
}

void End::Close(const Status& why) {
  {
    const MutexLock lock(mutex_);
    if (closed_.load(std::memory_order_relaxed)) return;
    why_ = why;
    closed_.store(true, std::memory_order_release);
  }
  mine_.closed.store(1, std::memory_order_seq_cst);
  shutdown(socket_, SHUT_RDWR);
  Ring(mine_);
  Ring(peer_);
}

bool End::LooksClosed() {
  spinner_.Refresh();
  if (closed()) return true;
  if (!IsHungUp(socket_)) return false;
  Close({});
  return true;
}

Status End::ClosedStatus() const {
  const MutexLock lock(mutex_);
  if (!why_.ok()) return why_;
  return {Code::kClosed, "shm", "the connection has ended: the other process is gone or has closed it"};
}

}  // namespace accelmesh::shm
