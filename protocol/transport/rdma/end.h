// What both ends of an rdma session have in common: records and bodies written into the peer's memory, waiting for what
// the peer writes into ours, and the peer's end.
//
// A record costs one doorbell. One of few bytes is one piece of work and shows by itself (a lone record, ring.h); any
// other is its bytes and behind them this end's words, which make it visible. The receiver sees it by looking at its
// own memory. Only a peer that has said that it sleeps is woken, by an immediate on the last piece.
//
// How an end goes to sleep without missing a wake: it counts up `sleeps` in its words, writes them to the peer, and
// behind them reads the peer's words out of the peer's memory. The peer, when it sends, first notes the new tail in its
// words and then looks at `sleeps`. So either the peer saw the number and wakes, or the read brings the new tail and
// this end goes on looking instead of sleeping. The read is the heartbeat as well (heart.h).
//
// Threads: sending, releasing, closing and asking from any; waiting for data and taking it, one (the pumping thread or
// the executor). The mutex is held for copies of records and for verbs that do not wait, never across a wait.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>

#include "protocol/base/clock.h"
#include "protocol/base/mutex.h"
#include "protocol/transport/channel.h"
#include "protocol/transport/doorbell.h"
#include "protocol/transport/rdma/heart.h"
#include "protocol/transport/rdma/layout.h"
#include "protocol/transport/rdma/spins.h"
#include "protocol/transport/rdma/verbs.h"

namespace accelmesh::rdma {

// What a session has cost so far.
struct Counts {
  std::uint64_t work = 0;          // work requests
  std::uint64_t doorbells = 0;     // posts of one or several
  std::uint64_t completions = 0;   // taken of the own work
  std::uint64_t wakes = 0;         // immediates sent
  std::uint64_t arms = 0;          // events asked for, each before a sleep, which may then not be needed
  std::uint64_t sleeps = 0;        // waits in the kernel
  std::uint64_t bytes_copied = 0;  // by this end's processor
};

// A link with its memory registered, before it is connected.
struct Prepared {
  std::unique_ptr<Link> link;
  std::unique_ptr<Block> block;
  std::unique_ptr<Memory> outbox;
  std::unique_ptr<Memory> inbox;
  std::unique_ptr<Memory> staging;
  Greeting greeting;  // without the mark
};
Result<Prepared> Prepare(std::unique_ptr<Link> link, Role role);

class End {
 public:
  // `peer`: its greeting, already checked. The link is connected.
  End(Prepared prepared, const Greeting& peer);
  ~End();
  End(const End&) = delete;

  // Puts a record into a ring of the peer's. Waits for room until `deadline`.
  Status Send(std::size_t ring, Kind kind, ByteView bytes, Deadline deadline);
  // kFull instead of waiting.
  Status TrySend(std::size_t ring, Kind kind, ByteView bytes);
  // Writes `body` into the peer's arena and announces it in `ring`; into its landing instead, if `to` allows that and
  // there is one with room. Without `registered` it is copied first. With it the device reads it where it lies, which
  // need not be where this process can; it has done so when this returns.
  enum class BodyTo : std::uint8_t { kArena, kLanding };
  Status SendBody(std::size_t ring, std::uint64_t token, std::uint64_t offset, ByteView body, Deadline deadline,
                  const Memory* registered = nullptr, BodyTo to = BodyTo::kArena);
  // The same, but it does not wait for the device: what Await() takes.
  Result<std::uint64_t> PostBody(std::size_t ring, std::uint64_t token, std::uint64_t offset, ByteView body,
                                 Deadline deadline, const Memory* registered, BodyTo to = BodyTo::kArena);
  // Until the device is done with everything up to `posted`, or the peer is gone.
  Status Await(std::uint64_t posted);
  // The server has a landing. False if this end has heard of one already.
  bool SetLanding(const LandingPlace& place);
  // How long the device takes to have written so many bytes, at most a unit of the arena, that nobody is told of.
  Result<Duration> MeasureWrite(std::size_t bytes, Deadline deadline);
  // Memory of this process that the peer does not reach.
  Result<std::unique_ptr<Memory>> RegisterOwn(MutableByteView memory) { return link_->Register(memory, Access::kNone); }
  // For memory that is not this process's (direct.h).
  Link& link() { return *link_; }
  // How far a ring of the peer's has been written, and taken.
  struct Positions {
    std::uint64_t tail = 0;
    std::uint64_t head = 0;
  };
  Positions PositionsOf(std::size_t ring);

  // The receiving thread's.
  RingIn& in(std::size_t ring) { return in_[ring]; }
  // Whether there is a record of `ring`, or the claim of one, in the inbox. Looks at memory only.
  bool Arrived(std::size_t ring) {
    RingIn& in = in_[ring];
    if (in.Available()) return true;
    if (LookForLone(in)) return true;
    (void)in.Learn(block_->peers().tail[ring].load(std::memory_order_acquire));
    return in.Available();
  }
  // Takes the next record of `ring` into `to`. kBadFrame, and the connection is closed, if it is none.
  Status Take(std::size_t ring, MutableByteView to, Kind& kind, std::size_t& size);
  // Tells the peer what was taken and released, if it is much or `now`. Not `now` is the receiving thread's alone.
  void Publish(bool now);
  const Words& peers() const { return block_->peers(); }
  MutableByteView arena() const { return block_->inbox().subspan(ArenaOffset(block_->role())); }
  // Waits for something to arrive; sleeps slice() at most at a time, for a caller that has something to try again.
  template <typename Slice, typename Ready>
  shm::Waited WaitForData(Deadline deadline, Slice slice, Ready ready);

  // Gives a run of the own arena or landing back to the peer, who hears of it with whatever is written next, or by
  // Publish().
  void Release(std::uint32_t first_unit);
  void NoteCopied(std::size_t bytes) { counts_.bytes_copied.fetch_add(bytes, std::memory_order_relaxed); }
  // What the peer has acknowledged.
  std::uint64_t acknowledged() const {
    return std::max(block_->peers().acknowledged.load(std::memory_order_acquire),
                    told_acknowledged_.load(std::memory_order_relaxed));
  }
  // Goes to the peer with whatever is written next, at the latest when the receiving thread goes to sleep.
  void Acknowledge(std::uint64_t sequence) { StoreMax(block_->mine().acknowledged, sequence); }

  // Wakes the receiving thread if it sleeps. After a sequentially consistent write of what it is to see.
  void Interrupt() {
    if (sleeping_.load(std::memory_order_seq_cst)) WakeReceiver();
  }
  // Ends the connection with `why`; the first reason stays.
  void Close(const Status& why);
  // This end or the peer has ended the connection, or it has failed.
  bool closed() const {
    return closed_.load(std::memory_order_acquire) || block_->peers().closed.load(std::memory_order_acquire) != 0;
  }
  // kClosed, or why the connection was ended.
  Status ClosedStatus() const;

  Counts counts() const;

 private:
  // Whether words that are written now wake a peer that sleeps.
  enum class Wake : std::uint8_t { kNever, kIfAsleep, kAlways };
  enum class NeedsRoom : std::uint8_t { kSender, kAnybody };

  // Under the mutex. What the peer says of its rings and of the runs that it gave back.
  void LearnLocked() ACCELMESH_REQUIRES(mutex_);
  Status TrySendLocked(std::size_t ring, Kind kind, ByteView bytes, const Work* body, bool must_signal)
      ACCELMESH_REQUIRES(mutex_);
  // Makes `words` the piece of work that writes this end's words.
  void FillWordsLocked(Work& words) ACCELMESH_REQUIRES(mutex_);
  // Posts `work`; its last piece wakes the peer, and says when it is done, if it must.
  Status PostLocked(std::span<Work> work, Wake wake, bool must_signal) ACCELMESH_REQUIRES(mutex_);
  Status HandOverLocked(std::span<const Work> work) ACCELMESH_REQUIRES(mutex_);
  // Takes completions. A failed one closes the connection.
  void DrainLocked() ACCELMESH_REQUIRES(mutex_);
  bool HasQueueRoomLocked(std::size_t work, NeedsRoom who) ACCELMESH_REQUIRES(mutex_);
  // Writes the words out and reads the peer's.
  void LookLocked() ACCELMESH_REQUIRES(mutex_);
  void CloseLocked(const Status& why) ACCELMESH_REQUIRES(mutex_);
  Work PieceOf(std::size_t ring, const RingOut& out, const Stretch& stretch) const;
  bool HasUnpublishedLocked() const ACCELMESH_REQUIRES(mutex_);
  // Whether so much was taken that the peer has to hear of it. The receiving thread's.
  bool IsPublishingDue() const;

  bool LookForLone(RingIn& in) {
    Told told;
    if (!in.Look(told)) return false;
    StoreMax(told_head_, told.head);
    StoreMax(told_acknowledged_, told.acknowledged);
    return true;
  }
  // All that is in the inbox of one ring.
  void LearnArrivals(std::size_t ring) {
    do (void)in_[ring].Learn(block_->peers().tail[ring].load(std::memory_order_acquire));
    while (LookForLone(in_[ring]));
  }

  // Before a sleep, on the receiving thread: true once the peer will wake us; false if something is on its way already.
  bool AnnounceSleep();
  // Sleeps until a completion, an interrupt, the connection's end or `wait`.
  void Sleep(Duration wait);
  // Completions, heartbeat, end. Whether the connection has ended.
  bool CheckPeer();
  // On the receiving thread: ends the connection if the peer goes on claiming what cannot be.
  void CheckClaims(Instant now);
  // Tells the spinner, and the peer with the next words, where this end and its peer run.
  void LearnWhere();
  void WakeReceiver();
  // Waits until `ready` says that there is room.
  template <typename Ready>
  Status WaitForRoom(Deadline deadline, Ready ready);
  Result<std::uint32_t> TakeUnits(std::size_t bytes, BodyTo to, Deadline deadline);
  void FreeUnitsLocked(std::uint32_t first) ACCELMESH_REQUIRES(mutex_);

  const std::unique_ptr<Block> block_;
  const Greeting peer_;
  const int wakeup_fd_;
  shm::Side mine_side_;  // for the spinner alone
  shm::Side peer_side_;
  shm::Spinner spinner_;
  std::atomic<bool> closed_{false};
  std::atomic<bool> sleeping_{false};
  struct {
    std::atomic<std::uint64_t> work{0}, doorbells{0}, completions{0}, wakes{0}, arms{0}, sleeps{0}, bytes_copied{0};
  } counts_;

  mutable Mutex mutex_;
  Status why_ ACCELMESH_GUARDED_BY(mutex_);
  bool has_failed_ ACCELMESH_GUARDED_BY(mutex_) = false;  // the connection: nothing more can be said over it
  Heart heart_ ACCELMESH_GUARDED_BY(mutex_);
  RingOut out_[kRings] ACCELMESH_GUARDED_BY(mutex_);
  UnitAllocator units_ ACCELMESH_GUARDED_BY(mutex_);
  RunAllocator<kLandingUnits> landing_units_ ACCELMESH_GUARDED_BY(mutex_);
  std::optional<LandingPlace> landing_ ACCELMESH_GUARDED_BY(mutex_);  // the peer's
  std::uint64_t posted_ ACCELMESH_GUARDED_BY(mutex_) = 0;             // pieces of work
  std::uint64_t completed_ ACCELMESH_GUARDED_BY(mutex_) = 0;          // of them
  std::uint64_t signaled_ ACCELMESH_GUARDED_BY(mutex_) = 0;           // the last that will say so
  std::uint64_t look_ ACCELMESH_GUARDED_BY(mutex_) = 0;               // the last read of the peer's words
  std::uint64_t asked_ ACCELMESH_GUARDED_BY(mutex_) = 0;              // the first that the heart waits for
  std::uint32_t wakes_sent_ ACCELMESH_GUARDED_BY(mutex_) = 0;
  std::uint32_t woken_sleep_ ACCELMESH_GUARDED_BY(mutex_) = 0;  // the peer's, that it was woken from last
  bool is_announced_ ACCELMESH_GUARDED_BY(mutex_) = false;      // the own sleep, and no wake has come since
  Instant next_look_at_end_ ACCELMESH_GUARDED_BY(mutex_){};
  std::uint64_t released_published_[kUnitWords] ACCELMESH_GUARDED_BY(mutex_) = {};
  std::uint64_t landing_released_published_ ACCELMESH_GUARDED_BY(mutex_) = 0;
  std::uint64_t acknowledged_published_ ACCELMESH_GUARDED_BY(mutex_) = 0;
  std::atomic<std::uint64_t> head_published_[kRings] = {};  // written under the mutex

  // What came with lone records: of the peer's words, newer than those in the inbox, or older.
  std::atomic<std::uint64_t> told_head_{0};
  std::atomic<std::uint64_t> told_acknowledged_{0};
  std::atomic<std::uint64_t> head_told_{0};  // the own, of ring 0, with a lone record; written under the mutex

  // The receiving thread's.
  Spins spins_;
  RingIn in_[kRings];
  std::uint64_t suspect_[2 * kRings] = {};     // positions
  std::uint64_t suspect_record_[kRings] = {};  // where one begins that does not end
  Instant next_claims_{};

  // In this order, so that the registrations go before the connection, and all before the memory.
  const std::unique_ptr<Link> link_;
  std::unique_ptr<Memory> outbox_memory_;
  std::unique_ptr<Memory> inbox_memory_;
  std::unique_ptr<Memory> staging_memory_;
};

template <typename Slice, typename Ready>
shm::Waited End::WaitForData(Deadline deadline, Slice slice, Ready ready) {
  if (ready()) return shm::Waited::kReady;
  for (int round = 0; deadline.at() != Deadline::Poll().at() && round < spins_.rounds(); ++round) {
    if (!spinner_.Spin(deadline.at(), ready)) continue;
    spins_.CameIn(round);
    return shm::Waited::kReady;
  }
  const Instant begin = Clock::now();
  for (;;) {
    // Asked before `ready`, so that what a peer wrote before it went is still found.
    const bool is_gone = CheckPeer();
    if (ready()) {
      spins_.CameAfter(Clock::now() - begin);
      return shm::Waited::kReady;
    }
    if (is_gone) return shm::Waited::kGone;
    const Instant now = Clock::now();
    if (now >= deadline.at()) return shm::Waited::kDeadline;
    CheckClaims(now);
    sleeping_.store(true, std::memory_order_seq_cst);
    if (AnnounceSleep() && !ready()) Sleep(std::min<Duration>(deadline.at() - now, slice()));
    sleeping_.store(false, std::memory_order_relaxed);
  }
}

}  // namespace accelmesh::rdma
