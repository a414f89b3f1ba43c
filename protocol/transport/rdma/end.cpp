#include "protocol/transport/rdma/end.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "protocol/base/tsan.h"
#include "protocol/transport/copy.h"
#include "protocol/transport/rdma/where.h"

namespace accelmesh::rdma {
namespace {

// Work that says when it is done, so that a session has at most one completion for so many pieces.
constexpr std::uint64_t kSignalEvery = 64;
// Of the work under way, what is kept for what must go out in any case.
constexpr std::size_t kWorkReserved = 8;
// How often the connection's end, and claims that cannot be, are looked for.
constexpr Duration kSlowLook = std::chrono::milliseconds(20);
// Whoever writes a position may lose his processor in the middle of it; a lie does no harm meanwhile.
constexpr Duration kClaimsLook = std::chrono::milliseconds(500);
// Sleeps of a sender without room.
constexpr Duration kNapFirst = std::chrono::microseconds(100);
constexpr Duration kNapMax = std::chrono::milliseconds(1);
// How long the last words may take before the connection is cut.
constexpr Duration kFarewell = std::chrono::milliseconds(300);
// A look at a peer nearby is back after so many rounds.
constexpr int kLookRounds = 200;

Status NoRoom() { return {Code::kDeadlineExceeded, "rdma", "no room by the deadline: the peer does not read"}; }
Status Gone(std::string_view how) { return {Code::kClosed, "rdma", "the connection has ended: " + std::string(how)}; }

std::size_t RingsOut(const Block& block) { return RingsOf(block.peer()); }

RingOut MakeOut(Block& block, std::size_t ring) {
  if (ring >= RingsOut(block)) return {nullptr, 0};
  return {block.staging().data() + RingOffset(ring), RingBytes(ring)};
}
RingIn MakeIn(Block& block, std::size_t ring) {
  if (ring >= RingsOf(block.role())) return {nullptr, 0};
  return {block.inbox().data() + RingOffset(ring), RingBytes(ring)};
}

}  // namespace

End::End(Prepared prepared, const Greeting& peer)
    : block_(std::move(prepared.block)),
      peer_(peer),
      wakeup_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      spinner_(mine_side_, peer_side_),
      out_{MakeOut(*block_, 0), MakeOut(*block_, 1), MakeOut(*block_, 2)},
      in_{MakeIn(*block_, 0), MakeIn(*block_, 1), MakeIn(*block_, 2)},
      link_(std::move(prepared.link)),
      outbox_memory_(std::move(prepared.outbox)),
      inbox_memory_(std::move(prepared.inbox)),
      staging_memory_(std::move(prepared.staging)) {
  heart_.Heard(Clock::now());
  LearnWhere();
}

End::~End() {
  Close({});
  const Deadline deadline = Deadline::After(kFarewell);
  for (;;) {
    {
      const MutexLock lock(mutex_);
      DrainLocked();
      if (completed_ == signaled_ || has_failed_ || deadline.passed()) break;
    }
    ::usleep(100);
  }
  link_->Disconnect();
  if (wakeup_fd_ >= 0) ::close(wakeup_fd_);
}

// Sending -------------------------------------------------------------------------------------------------------------

void End::LearnLocked() {
  const Words& peers = block_->peers();
  for (std::size_t ring = 0; ring < RingsOut(*block_); ++ring)
    (void)out_[ring].Learn(peers.head[ring].load(std::memory_order_acquire));
  (void)out_[0].Learn(told_head_.load(std::memory_order_acquire));
  for (std::size_t word = 0; word < kUnitWords; ++word)
    units_.Learn(word, peers.released[word].load(std::memory_order_acquire));
  landing_units_.Learn(0, peers.landing_released.load(std::memory_order_acquire));
}

bool End::HasQueueRoomLocked(std::size_t work, NeedsRoom who) {
  const std::size_t most = who == NeedsRoom::kSender ? kWorkMax - kWorkReserved : kWorkMax;
  if (posted_ - completed_ + work > most) DrainLocked();
  return posted_ - completed_ + work <= most;
}

Status End::HandOverLocked(std::span<const Work> work) {
  Status posted = link_->Post(work);
  if (!posted.ok()) {
    has_failed_ = true;
    CloseLocked(posted);
    return posted;
  }
  posted_ += work.size();
  counts_.work.fetch_add(work.size(), std::memory_order_relaxed);
  counts_.doorbells.fetch_add(1, std::memory_order_relaxed);
  return {};
}

Status End::PostLocked(std::span<Work> work, Wake wake, bool must_signal) {
  const Words& peers = block_->peers();
  // The tail was stored before (sequentially consistent); see AnnounceSleep() for the other half.
  const std::uint32_t sleeps = peers.sleeps.load(std::memory_order_seq_cst);
  const bool wants = wake == Wake::kAlways || (wake == Wake::kIfAsleep && sleeps != woken_sleep_);
  // A peer that has that many wakes to take is awake. More than it has ever posted is a mixture (ring.h), or a lie.
  const std::uint32_t credit = peers.receives.load(std::memory_order_acquire) - wakes_sent_;
  if (wants && credit != 0 && credit <= kReceives) {
    work.back().op = Work::Op::kWriteWake;
    woken_sleep_ = sleeps;
    ++wakes_sent_;
    counts_.wakes.fetch_add(1, std::memory_order_relaxed);
  }
  const std::uint64_t last = posted_ + work.size();
  if (must_signal || last - signaled_ >= kSignalEvery) {
    work.back().is_signaled = true;
    work.back().id = signaled_ = last;
  }
  return HandOverLocked(work);
}

Status End::TrySendLocked(std::size_t ring, Kind kind, ByteView bytes, const Work* body, bool must_signal) {
  if (closed()) return Status(Code::kClosed, "", "");
  RingOut& out = out_[ring];
  if (!out.HasRoom(bytes.size())) {
    LearnLocked();
    if (!out.HasRoom(bytes.size())) return {Code::kFull, "rdma", "the ring is full"};
  }
  // Two stretches, a body, the words.
  Work work[4];
  if (!HasQueueRoomLocked(4, NeedsRoom::kSender)) return {Code::kFull, "rdma", "the send queue is full"};
  std::size_t count = 0;
  if (body != nullptr && body->bytes != 0) work[count++] = *body;
  Words& mine = block_->mine();
  const bool is_lone =
      LoneRecordBytes(bytes.size()) <= link_->limits().inline_bytes_max && out.HasRoomForLone(bytes.size());
  if (is_lone) {
    const Told told{mine.head[0].load(std::memory_order_relaxed), mine.acknowledged.load(std::memory_order_relaxed)};
    work[count++] = PieceOf(ring, out, out.PlaceLone(kind, bytes, told));
    head_told_.store(told.head, std::memory_order_relaxed);
  } else {
    Stretch stretches[2];
    const std::size_t pieces = out.Place(kind, bytes, stretches);
    for (std::size_t i = 0; i < pieces; ++i) work[count++] = PieceOf(ring, out, stretches[i]);
  }
  mine.tail[ring].store(out.tail(), std::memory_order_seq_cst);
  if (!is_lone) FillWordsLocked(work[count++]);
  counts_.bytes_copied.fetch_add(bytes.size(), std::memory_order_relaxed);
  return PostLocked(std::span(work, count), Wake::kIfAsleep, must_signal);
}

template <typename Ready>
Status End::WaitForRoom(Deadline deadline, Ready ready) {
  if (ready()) return {};
  if (deadline.at() != Deadline::Poll().at() && spinner_.Spin(deadline.at(), ready)) return {};
  for (Duration nap = kNapFirst;; nap = std::min(2 * nap, kNapMax)) {
    const bool is_gone = CheckPeer();
    if (is_gone) return ClosedStatus();
    if (ready()) return {};
    const Duration left = deadline.left();
    if (left <= Duration::zero()) return NoRoom();
    const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(std::min(nap, left)).count();
    const timespec wait{0, static_cast<long>(ns)};
    ::nanosleep(&wait, nullptr);
    counts_.sleeps.fetch_add(1, std::memory_order_relaxed);
  }
}

Status End::TrySend(std::size_t ring, Kind kind, ByteView bytes) {
  Status sent;
  {
    const MutexLock lock(mutex_);
    sent = TrySendLocked(ring, kind, bytes, nullptr, false);
  }
  return sent.code() == Code::kClosed ? ClosedStatus() : sent;
}

Status End::Send(std::size_t ring, Kind kind, ByteView bytes, Deadline deadline) {
  Status sent = TrySend(ring, kind, bytes);
  if (sent.code() != Code::kFull) [[likely]]
    return sent;
  const Status waited = WaitForRoom(deadline, [&] {
    sent = TrySend(ring, kind, bytes);
    return sent.code() != Code::kFull;
  });
  return waited.ok() ? sent : waited;
}

Status End::SendBody(std::size_t ring, std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline,
                     const Memory* registered, BodyTo to) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t posted, PostBody(ring, token, offset, body, deadline, registered, to));
  // It is under way and cannot be called back; a peer that has gone ends the wait.
  return registered == nullptr ? Status() : Await(posted);
}

Result<std::uint64_t> End::PostBody(std::size_t ring, std::uint64_t token, std::uint64_t offset, ByteView body,
                                    Deadline deadline, const Memory* registered, BodyTo to) {
  if (closed()) return ClosedStatus();
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t unit, TakeUnits(body.size(), to, deadline));
  const bool is_landing = IsLandingUnit(unit);
  const std::size_t at =
      is_landing ? InboxBytes(Role::kServer) + LandingOffset(unit) : ArenaOffset(block_->peer()) + unit * kUnitBytes;
  TsanReleaseToPeer();
  Work work;
  work.local = body.data();
  work.local_key = registered != nullptr ? registered->local_key() : staging_memory_->local_key();
  if (registered == nullptr) {
    std::uint8_t* const place = block_->staging().data() + at;
    CopyBody(place, body.data(), body.size());
    NoteCopied(body.size());
    work.local = place;
  }
  work.bytes = static_cast<std::uint32_t>(body.size());
  work.remote = peer_.inbox + at;
  work.remote_key = peer_.inbox_key;
  const Announcement announcement{token, offset, unit, static_cast<std::uint32_t>(body.size())};
  Status sent;
  std::uint64_t last = 0;
  const Status waited = WaitForRoom(deadline, [&] {
    const MutexLock lock(mutex_);
    if (is_landing) {
      work.remote = landing_->address + LandingOffset(unit);
      work.remote_key = landing_->key;
    }
    sent = TrySendLocked(ring, Kind::kBody, AsBytes(announcement), &work, registered != nullptr);
    last = posted_;
    return sent.code() != Code::kFull;
  });
  if (!waited.ok() || !sent.ok()) {
    const MutexLock lock(mutex_);
    FreeUnitsLocked(unit);
  }
  ACCELMESH_RETURN_IF_ERROR(waited);
  if (!sent.ok()) return sent.code() == Code::kClosed ? ClosedStatus() : sent;
  return last;
}

Result<std::uint32_t> End::TakeUnits(std::size_t bytes, BodyTo to, Deadline deadline) {
  std::optional<std::uint32_t> unit;
  ACCELMESH_RETURN_IF_ERROR(WaitForRoom(deadline, [&] {
    const MutexLock lock(mutex_);
    LearnLocked();
    if (to == BodyTo::kLanding && landing_.has_value()) {
      unit = landing_units_.Allocate(UnitsFor(bytes));
      if (unit.has_value()) *unit += kUnits;
    }
    if (!unit.has_value()) unit = units_.Allocate(UnitsFor(bytes));
    return unit.has_value();
  }));
  return *unit;
}

Status End::Await(std::uint64_t posted) {
  return WaitForRoom(Deadline::Never(), [&] {
    const MutexLock lock(mutex_);
    DrainLocked();
    return completed_ >= posted;
  });
}

// Receiving -----------------------------------------------------------------------------------------------------------

void End::LookLocked() {
  Work work[2];
  if (has_failed_ || !HasQueueRoomLocked(2, NeedsRoom::kAnybody)) return;
  // The words first: what is read behind them is what the peer had when it could see them.
  FillWordsLocked(work[0]);
  Work& read = work[1];
  read.op = Work::Op::kRead;
  read.local = block_->staging().data();
  read.bytes = sizeof(Words);
  read.local_key = staging_memory_->local_key();
  read.remote = peer_.outbox;
  read.remote_key = peer_.outbox_key;
  look_ = posted_ + std::size(work);
  if (!PostLocked(work, Wake::kNever, /*must_signal=*/true).ok() || heart_.IsAsking()) return;
  asked_ = look_;
  heart_.Asked(Clock::now());
}

void End::DrainLocked() {
  if (has_failed_) return;
  Completion completions[16];
  std::uint32_t wakes = 0;
  for (std::size_t count = std::size(completions); count == std::size(completions);) {
    count = link_->Poll(completions);
    for (std::size_t i = 0; i < count; ++i) {
      const Completion& completion = completions[i];
      if (completion.outcome != Outcome::kOk) {
        if (has_failed_) continue;
        has_failed_ = true;
        CloseLocked(Gone(OutcomeText(completion.outcome)));
      } else if (completion.is_wake) {
        ++wakes;
      } else {
        counts_.completions.fetch_add(1, std::memory_order_relaxed);
        completed_ = std::max(completed_, completion.id);
        if (heart_.IsAsking() && completion.id >= asked_) heart_.Heard(Clock::now());
      }
    }
  }
  if (wakes == 0 || has_failed_) return;
  is_announced_ = false;
  if (const Status posted = link_->PostReceives(wakes); !posted.ok()) {
    has_failed_ = true;
    CloseLocked(posted);
    return;
  }
  block_->mine().receives.fetch_add(wakes, std::memory_order_release);
}

bool End::AnnounceSleep() {
  const MutexLock lock(mutex_);
  if (closed()) return false;
  if (!is_announced_) {
    block_->mine().sleeps.fetch_add(1, std::memory_order_seq_cst);
    is_announced_ = true;
    LookLocked();
  } else if (HasUnpublishedLocked()) {
    LookLocked();
  }
  // What completes from here on makes the descriptor readable.
  counts_.arms.fetch_add(1, std::memory_order_relaxed);
  if (!link_->Arm().ok()) return false;
  DrainLocked();
  for (int round = 0; round < kLookRounds && completed_ < look_ && is_announced_; ++round) DrainLocked();
  if (closed() || !is_announced_) return false;
  if (completed_ < look_) return true;  // its answer wakes us
  const Words& looked = block_->looked();
  for (std::size_t ring = 0; ring < RingsOf(block_->role()); ++ring) {
    LearnArrivals(ring);
    if (looked.tail[ring].load(std::memory_order_relaxed) <= in_[ring].tail()) continue;
    is_announced_ = false;  // looked at anew, if it should be a mixture
    return false;
  }
  return true;
}

void End::Sleep(Duration wait) {
  pollfd fds[3] = {{wakeup_fd_, POLLIN, 0}, {link_->completion_fd(), POLLIN, 0}, {link_->connection_fd(), POLLIN, 0}};
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(std::min(wait, Heart::kBeat)).count();
  counts_.sleeps.fetch_add(1, std::memory_order_relaxed);
  if (::poll(fds, 3, static_cast<int>(ms)) <= 0) return;
  if (fds[0].revents != 0) {
    std::uint64_t count = 0;
    if (::read(wakeup_fd_, &count, sizeof(count)) < 0 && errno != EAGAIN) return;
  }
  const MutexLock lock(mutex_);
  if (fds[1].revents != 0) link_->TakeEvents();
  if (fds[2].revents != 0) next_look_at_end_ = {};
  DrainLocked();
}

bool End::CheckPeer() {
  const Instant now = Clock::now();
  const MutexLock lock(mutex_);
  DrainLocked();
  if (closed()) return true;
  if (now >= next_look_at_end_) {
    next_look_at_end_ = now + kSlowLook;
    spinner_.Refresh();
    LearnWhere();
    if (link_->HasEnded()) {
      has_failed_ = true;
      CloseLocked(Gone("the other process is gone or has closed it"));
      return true;
    }
  }
  if (heart_.IsDead(now)) {
    has_failed_ = true;
    CloseLocked(Gone("the peer has not answered for " +
                     std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(Heart::kPatience).count()) +
                     " ms; its machine, or the network between, is gone"));
    return true;
  }
  if (heart_.IsDue(now)) LookLocked();
  return closed();
}

void End::LearnWhere() {
  const std::uint32_t here = HereIs(mine_side_.only_cpu.load(std::memory_order_relaxed));
  block_->mine().where.store(here, std::memory_order_relaxed);
  const std::uint32_t peers = CpuOfPeer(here, block_->peers().where.load(std::memory_order_relaxed));
  peer_side_.only_cpu.store(peers, std::memory_order_relaxed);
}

void End::CheckClaims(Instant now) {
  if (now < next_claims_) return;
  next_claims_ = now + kClaimsLook;
  const Words& peers = block_->peers();
  bool is_lie = false;
  const auto look = [&](std::uint64_t& suspect, std::uint64_t claim, bool is_possible) {
    // A mixture is another value, or gone, at the next look.
    is_lie = is_lie || (!is_possible && claim == suspect);
    suspect = is_possible ? 0 : claim;
  };
  for (std::size_t ring = 0; ring < RingsOf(block_->role()); ++ring) {
    const std::uint64_t tail = peers.tail[ring].load(std::memory_order_acquire);
    look(suspect_[ring], tail, in_[ring].Learn(tail));
    look(suspect_record_[ring], in_[ring].head() + 1, !in_[ring].EndsWithin());
  }
  {
    const MutexLock lock(mutex_);
    for (std::size_t ring = 0; ring < RingsOut(*block_); ++ring) {
      const std::uint64_t head = peers.head[ring].load(std::memory_order_acquire);
      look(suspect_[kRings + ring], head, out_[ring].Learn(head));
    }
  }
  if (is_lie) Close({Code::kBadFrame, "rdma", "the peer claims positions in the rings that cannot be"});
}

// Ending --------------------------------------------------------------------------------------------------------------

void End::WakeReceiver() {
  const std::uint64_t one = 1;
  // Full means that it is set already.
  if (::write(wakeup_fd_, &one, sizeof(one)) < 0) return;
}

void End::Close(const Status& why) {
  const MutexLock lock(mutex_);
  CloseLocked(why);
}

void End::CloseLocked(const Status& why) {
  if (closed_.load(std::memory_order_relaxed)) return;
  why_ = why;
  closed_.store(true, std::memory_order_seq_cst);
  block_->mine().closed.store(1, std::memory_order_seq_cst);
  Work words[1];
  // Behind everything that was sent before it.
  if (!has_failed_ && HasQueueRoomLocked(1, NeedsRoom::kAnybody)) {
    FillWordsLocked(words[0]);
    (void)PostLocked(words, Wake::kAlways, true);
  }
  WakeReceiver();
}

Status End::ClosedStatus() const {
  const MutexLock lock(mutex_);
  if (!why_.ok()) return why_;
  return Gone("the other process has closed it, or this one");
}

}  // namespace accelmesh::rdma
