#include "server/shares/board.h"

#include <algorithm>

namespace accelmesh::shares {
namespace {

// The supervisor has other things to do as well.
constexpr std::int64_t kPatienceNs = 500'000'000;

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

Result<std::uint32_t> Board::Sit(const std::string& lease, std::uint32_t share_milli, std::uint64_t memory_limit) {
  Page::Lock lock(*page_, kPatienceNs);
  if (!lock.held()) return Locked();
  auto known = leases_.find(lease);
  if (known == leases_.end()) {
    const std::uint32_t row = lock.turns().AddLease(share_milli, memory_limit);
    if (row == kNobody) return Status(Code::kFull, "Board::Sit", "as many leases have a share as may");
    known = leases_.emplace(lease, Known{row, 0, 0, false, false}).first;
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
  const auto known = leases_.find(found->second);
  seats_.erase(found);
  Page::Lock lock(*page_, kPatienceNs);
  // It stays taken in the page then: one seat fewer, no harm to others.
  if (lock.held()) lock.turns().RemoveSeat(seat);
  if (known == leases_.end()) return;
  --known->second.seats;
  if (ends_lease) known->second.is_ended = true;
  if (known->second.is_ended && known->second.seats == 0) Forget(known);
  CountLeases();
}

void Board::Resize(const std::string& lease, std::uint32_t share_milli, std::uint64_t memory_limit) {
  const auto known = leases_.find(lease);
  if (known == leases_.end()) return;
  Page::Lock lock(*page_, kPatienceNs);
  if (lock.held()) lock.turns().ResizeLease(known->second.row, share_milli, memory_limit);
}

void Board::End(const std::string& lease) {
  const auto known = leases_.find(lease);
  if (known == leases_.end()) return;
  known->second.is_ended = known->second.is_remembered = true;
  if (known->second.seats != 0) return;
  Page::Lock lock(*page_, kPatienceNs);
  if (lock.held()) Forget(known);
}

std::map<std::string, Board::Use> Board::Uses() const {
  std::map<std::string, Use> uses = past_;
  Page::Lock lock(*page_, kPatienceNs);
  if (!lock.held()) return uses;
  for (const auto& [name, known] : leases_) uses[name] = Sum(uses[name], Read(known));
  return uses;
}

Board::Use Board::UseOf(const std::string& lease) const {
  const auto past = past_.find(lease);
  const Use use = past != past_.end() ? past->second : Use{};
  const auto known = leases_.find(lease);
  Page::Lock lock(*page_, kPatienceNs);
  return known == leases_.end() || !lock.held() ? use : Sum(use, Read(known->second));
}

// Under the page's lock.
Board::Use Board::Read(const Known& known) const {
  const LeaseRow& row = page_->layout().state.leases[known.row];
  return {row.device_ns, row.memory_high, known.sessions,
          Turns(page_->layout().state).DeliveredPpm(known.row, NowNs())};
}

// Under the page's lock.
void Board::Forget(std::map<std::string, Known>::iterator lease) {
  if (lease->second.is_remembered) {
    const auto [past, is_new] = past_.try_emplace(lease->first);
    past->second = Sum(past->second, Read(lease->second));
    if (is_new) past_order_.push_back(lease->first);
    if (past_order_.size() > kPastMax) {
      past_.erase(past_order_.front());
      past_order_.pop_front();
    }
  }
  Turns(page_->layout().state).RemoveLease(lease->second.row);
  leases_.erase(lease);
}

void Board::CountLeases() {
  const auto count =
      std::count_if(leases_.begin(), leases_.end(), [](const auto& item) { return item.second.seats != 0; });
  page_->layout().leases.store(static_cast<std::uint32_t>(count), std::memory_order_relaxed);
}

}  // namespace accelmesh::shares
