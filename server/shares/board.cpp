#include "server/shares/board.h"

#include <algorithm>
#include <utility>

namespace accelmesh::shares {
namespace {

// The supervisor has other things to do as well. Whoever has been stopped with the lock may be for long.
constexpr std::int64_t kPatienceNs = 500'000'000;
constexpr std::int64_t kPatienceAgainNs = 5'000'000;

// Of one lease, at different times.
Board::Use Sum(const Board::Use& before, const Board::Use& later) {
  return {before.device_ns + later.device_ns, std::max(before.memory_high, later.memory_high),
          before.sessions + later.sessions, std::min(before.delivered_ppm, later.delivered_ppm)};
}

Status Locked() { return {Code::kUnavailable, "Board", "a worker is stopped while it holds the page of shares"}; }

}  // namespace

Result<std::unique_ptr<Board>> Board::Create(std::uint32_t threads) {
  ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<Page> page, Page::Create(threads));
  return std::unique_ptr<Board>(new Board(std::move(page)));
}

std::int64_t Board::Patience() const { return was_missed_ ? kPatienceAgainNs : kPatienceNs; }

Board::Lock::Lock(Board& board, std::int64_t patience_ns) : lock_(*board.page_, patience_ns) {
  board.was_missed_ = !held();
  if (held()) board.CatchUp(turns());
}

void Board::CatchUp(Turns turns) {
  // Before any row is free for others: with a lease its seats go.
  for (const std::uint32_t seat : risen_) turns.RemoveSeat(seat, NowNs());
  risen_.clear();
  for (auto lease = leases_.begin(); lease != leases_.end();) {
    const auto known = lease++;
    if (const std::optional<Terms> terms = std::exchange(known->second.later, std::nullopt))
      turns.ResizeLease(known->second.row, terms->share_milli, terms->memory_limit, NowNs());
    if (known->second.is_ended && known->second.seats == 0) Forget(known);
  }
}

Result<std::uint32_t> Board::Sit(const std::string& lease, std::uint32_t share_milli, std::uint64_t memory_limit) {
  // Not later: without a seat the session would have no limits.
  Lock lock(*this, kPatienceNs);
  if (!lock.held()) return Locked();
  auto known = leases_.find(lease);
  if (known == leases_.end()) {
    const std::uint32_t row = lock.turns().AddLease(share_milli, memory_limit);
    if (row == kNobody) return Status(Code::kFull, "Board::Sit", "as many leases have a share as may");
    known = leases_.try_emplace(lease).first;
    known->second.row = row;
  }
  const std::uint32_t seat = lock.turns().AddSeat(known->second.row);
  if (seat == kNobody) {
    if (known->second.seats == 0 && known->second.sessions == 0) Forget(known);
    return Status(Code::kFull, "Board::Sit", "as many sessions have a seat as may");
  }
  ++known->second.seats;
  ++known->second.sessions;
  known->second.is_ended = false;
  seats_[seat] = lease;
  CountLeases();
  return seat;
}

void Board::Rise(std::uint32_t seat, bool ends_lease) {
  const auto found = seats_.find(seat);
  if (found == seats_.end()) return;
  if (const auto known = leases_.find(found->second); known != leases_.end()) {
    --known->second.seats;
    if (ends_lease) known->second.is_ended = true;
  }
  seats_.erase(found);
  risen_.push_back(seat);
  const Lock due(*this, Patience());
  CountLeases();
}

void Board::Resize(const std::string& lease, std::uint32_t share_milli, std::uint64_t memory_limit) {
  const auto known = leases_.find(lease);
  if (known == leases_.end()) return;
  known->second.later = Terms{share_milli, memory_limit};
  const Lock due(*this, Patience());
}

void Board::End(const std::string& lease) {
  const auto known = leases_.find(lease);
  if (known == leases_.end()) return;
  known->second.is_ended = known->second.is_remembered = true;
  if (known->second.seats != 0) return;
  const Lock due(*this, Patience());
}

std::map<std::string, Board::Use> Board::Uses() {
  const Lock lock(*this, Patience());
  std::map<std::string, Use> uses = past_;
  if (!lock.held()) return uses;
  for (const auto& [name, known] : leases_) uses[name] = Sum(uses[name], Read(known));
  return uses;
}

std::vector<Board::Use> Board::UsesOf(const std::vector<std::string>& leases) {
  const Lock lock(*this, Patience());
  std::vector<Use> uses;
  for (const std::string& lease : leases) {
    const auto past = past_.find(lease);
    const Use use = past != past_.end() ? past->second : Use{};
    const auto known = leases_.find(lease);
    uses.push_back(known == leases_.end() || !lock.held() ? use : Sum(use, Read(known->second)));
  }
  return uses;
}

// Under the page's lock.
Board::Use Board::Read(const Known& known) const {
  const LeaseRow& row = page_->layout().state.leases[known.row];
  return {row.device_ns, row.memory_high, known.sessions,
          Turns(page_->layout().state).DeliveredPpm(known.row, NowNs())};
}

void Board::Forget(std::map<std::string, Known>::iterator lease) {
  if (lease->second.is_remembered) {
    const auto [past, is_new] = past_.try_emplace(lease->first);
    past->second = Sum(past->second, Read(lease->second));
    if (!is_new) std::erase(past_order_, lease->first);
    past_order_.push_back(lease->first);
    if (past_order_.size() > kPastMax) {
      past_.erase(past_order_.front());
      past_order_.pop_front();
    }
  }
  Turns(page_->layout().state).RemoveLease(lease->second.row, NowNs());
  leases_.erase(lease);
}

void Board::CountLeases() {
  const auto count =
      std::count_if(leases_.begin(), leases_.end(), [](const auto& item) { return item.second.seats != 0; });
  page_->layout().leases.store(static_cast<std::uint32_t>(count), std::memory_order_relaxed);
}

}  // namespace accelmesh::shares
