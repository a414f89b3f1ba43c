#include "server/shares/seat.h"

#include <ctime>

namespace accelmesh::shares {
namespace {

// A session that is alone on the device says what it uses so often.
constexpr std::int64_t kAloneNs = 50'000'000;
// A turn that was not counted.
constexpr std::uint32_t kNoTurn = kNobody;

std::int64_t ProcessNs() {
  timespec used{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<std::int64_t>(used.tv_sec) * 1'000'000'000 + used.tv_nsec;
}

}  // namespace

void Seat::ChargeLocked(Turns& turns) {
  const std::int64_t now = ProcessNs();
  turns.Charge(seat_, now - used_ns_, IsAlone());
  used_ns_ = now;
}

void Seat::CatchUp(Turns& turns, std::int64_t now_ns) {
  const MutexLock own(missed_mu_);
  for (const std::uint32_t turn : not_left_) turns.Leave(seat_, turn, now_ns);
  for (const std::uint32_t threads : not_given_up_) turns.GiveUp(seat_, threads, now_ns);
  turns.GiveMemory(seat_, not_given_bytes_);
  not_left_.clear();
  not_given_up_.clear();
  not_given_bytes_ = 0;
}

void Seat::Settle() {
  const MutexLock own(used_mu_);
  Page::Lock lock(*page_, Page::kTurnsNs);
  if (!lock.held()) return;
  Turns turns = lock.turns();
  CatchUp(turns, NowNs());
  ChargeLocked(turns);
  settled_ns_.store(NowNs(), std::memory_order_relaxed);
}

std::uint32_t Seat::Enter(std::uint32_t threads) {
  if (IsAlone()) {
    if (NowNs() - settled_ns_.load(std::memory_order_relaxed) > kAloneNs) Settle();
    return kNoTurn;
  }
  std::atomic<std::uint32_t>& calls = page_->layout().calls[seat_];
  bool waits = false;
  while (true) {
    const std::uint32_t seen = calls.load(std::memory_order_acquire);
    std::uint32_t next = kNobody;
    {
      Page::Lock lock(*page_, Page::kTurnsNs);
      // Somebody is stopped with the lock: better unfair than not at all.
      if (!lock.held()) {
        const MutexLock own(missed_mu_);
        if (waits) not_given_up_.push_back(threads);
        return kNoTurn;
      }
      Turns turns = lock.turns();
      CatchUp(turns, NowNs());
      if (stopped_.load(std::memory_order_relaxed)) {
        if (waits) turns.GiveUp(seat_, threads, NowNs());
        return kNoTurn;
      }
      const std::int64_t now = NowNs();
      const std::optional<std::uint32_t> turn = turns.Enter(seat_, threads, now, waits);
      next = turns.Next(now);
      if (turn.has_value()) {
        if (next != kNobody) page_->Call(next);
        return *turn;
      }
      waits = true;
    }
    if (next != kNobody && next != seat_) page_->Call(next);
    page_->AwaitCall(seat_, seen);
  }
}

void Seat::Leave(std::uint32_t turn) {
  if (turn == kNoTurn) return;
  const MutexLock own(used_mu_);
  std::uint32_t next = kNobody;
  {
    Page::Lock lock(*page_, Page::kTurnsNs);
    if (!lock.held()) {
      // The turn is overdue until the lock is got again: it takes no room.
      const MutexLock missed(missed_mu_);
      not_left_.push_back(turn);
      return;
    }
    Turns turns = lock.turns();
    const std::int64_t now = NowNs();
    CatchUp(turns, now);
    turns.Leave(seat_, turn, now);
    ChargeLocked(turns);
    next = turns.Next(now);
  }
  if (next != kNobody) page_->Call(next);
}

void Seat::Stop() {
  stopped_.store(true, std::memory_order_relaxed);
  page_->Call(seat_);
}

bool Seat::Take(std::uint64_t bytes) {
  Page::Lock lock(*page_, Page::kMemoryNs);
  // Memory that cannot be counted is not given.
  if (!lock.held()) return false;
  Turns turns = lock.turns();
  CatchUp(turns, NowNs());
  return turns.TakeMemory(seat_, bytes);
}

void Seat::Give(std::uint64_t bytes) {
  Page::Lock lock(*page_, Page::kMemoryNs);
  if (lock.held()) return lock.turns().GiveMemory(seat_, bytes);
  const MutexLock own(missed_mu_);
  not_given_bytes_ += bytes;
}

std::uint64_t Seat::limit() const {
  Page::Lock lock(*page_, Page::kMemoryNs);
  const State& state = page_->layout().state;
  return lock.held() ? state.leases[state.seats[seat_].lease].memory_limit : 0;
}

}  // namespace accelmesh::shares
