#include "server/shares/turns.h"

#include <algorithm>

namespace accelmesh::shares {
namespace {

constexpr std::int64_t kLookNs = 1'000'000;
constexpr std::uint32_t kThreadsMax = 1U << 20;

std::uint32_t ShareOf(std::uint32_t share_milli) { return std::clamp<std::uint32_t>(share_milli, 1, kWholeMilli); }

// What a process left half-written never makes less than nothing.
void Take(std::uint32_t& from, std::uint32_t amount) { from -= std::min(from, amount); }

// `part` of `whole` of it. Whoever counts often loses less than a nanosecond each time, and a long time does not
// overflow.
std::int64_t PartOf(std::int64_t time_ns, std::int64_t part, std::int64_t whole) {
  return time_ns / whole * part + time_ns % whole * part / whole;
}

}  // namespace

std::uint32_t Turns::AddLease(std::uint32_t share_milli, std::uint64_t memory_limit) {
  for (std::uint32_t i = 0; i < kLeasesMax; ++i) {
    LeaseRow& lease = state_.leases[i];
    if (lease.is_used != 0) continue;
    lease = {};
    lease.is_used = 1;
    lease.share_milli = ShareOf(share_milli);
    lease.memory_limit = memory_limit;
    lease.virtual_ns = state_.virtual_ns;
    return i;
  }
  return kNobody;
}

void Turns::ResizeLease(std::uint32_t lease, std::uint32_t share_milli, std::uint64_t memory_limit,
                        std::int64_t now_ns) {
  LeaseRow& row = state_.leases[lease];
  // What it was owed until now it was owed of the share that it had.
  Count(row, now_ns);
  row.share_milli = ShareOf(share_milli);
  row.memory_limit = memory_limit;
}

void Turns::RemoveLease(std::uint32_t lease, std::int64_t now_ns) {
  for (std::uint32_t seat = 0; seat < kSeatsMax; ++seat) {
    if (state_.seats[seat].is_used != 0 && state_.seats[seat].lease == lease) RemoveSeat(seat, now_ns);
  }
  state_.leases[lease] = {};
}

std::uint32_t Turns::AddSeat(std::uint32_t lease) {
  for (std::uint32_t i = 0; i < kSeatsMax; ++i) {
    SeatRow& seat = state_.seats[i];
    if (seat.is_used != 0) continue;
    seat = {};
    seat.is_used = 1;
    seat.lease = lease;
    ++state_.leases[lease].seats;
    state_.seats_end = std::max(state_.seats_end, i + 1);
    return i;
  }
  return kNobody;
}

void Turns::RemoveSeat(std::uint32_t seat, std::int64_t now_ns) {
  SeatRow& row = state_.seats[seat];
  if (row.is_used == 0) return;
  LeaseRow& lease = state_.leases[row.lease];
  Count(lease, now_ns);
  lease.memory_used -= std::min(lease.memory_used, row.memory_used);
  if (lease.seats > 0) --lease.seats;
  row = {};
  Repair();
}

bool Turns::IsBefore(std::uint32_t seat, std::uint32_t other) const {
  const SeatRow& a = state_.seats[seat];
  const SeatRow& b = state_.seats[other];
  const std::int64_t first = state_.leases[a.lease].virtual_ns;
  const std::int64_t second = state_.leases[b.lease].virtual_ns;
  return first != second ? first < second : a.since_ns < b.since_ns;
}

std::uint32_t Turns::Best() const {
  std::uint32_t best = kNobody;
  for (std::uint32_t i = 0; i < state_.seats_end; ++i) {
    const SeatRow& seat = state_.seats[i];
    if (seat.is_used == 0 || seat.waiting == 0 || seat.is_absent != 0) continue;
    if (best == kNobody || IsBefore(i, best)) best = i;
  }
  return best;
}

void Turns::NoteOverdue(std::int64_t now_ns) {
  if (now_ns - state_.looked_ns < kLookNs) return;
  state_.looked_ns = now_ns;
  for (std::uint32_t i = 0; i < state_.seats_end; ++i) {
    SeatRow& seat = state_.seats[i];
    if (seat.is_used == 0) continue;
    if (seat.waiting != 0 && seat.is_absent == 0 && seat.called_ns != 0 && now_ns - seat.called_ns > kAbsentNs) {
      LeaseRow& lease = state_.leases[seat.lease];
      Count(lease, now_ns);
      Take(lease.wanting, seat.wanting);
      seat.is_absent = 1;
    }
    for (TurnRow& turn : seat.turns) {
      if (turn.width == 0 || now_ns - turn.begin_ns <= kOverdueNs) continue;
      if (turn.is_overdue == 0) {
        turn.is_overdue = 1;
        Take(state_.busy, turn.width);
      }
      // As if all of its threads worked; its session says later what they did.
      const std::int64_t ahead = (now_ns - turn.begin_ns) * turn.width - turn.charged_ns;
      turn.charged_ns += ahead;
      seat.prepaid_ns += ahead;
      AddVirtual(state_.leases[seat.lease], ahead);
    }
  }
}

void Turns::AddVirtual(LeaseRow& lease, std::int64_t device_ns) {
  lease.virtual_ns += device_ns / static_cast<std::int64_t>(Threads()) * static_cast<std::int64_t>(kWholeMilli) /
                      static_cast<std::int64_t>(ShareOf(lease.share_milli));
}

// Whatever a process has made of the page, it is a number to divide by.
std::uint32_t Turns::Threads() const { return std::clamp<std::uint32_t>(state_.threads, 1, kThreadsMax); }
std::uint32_t Turns::WidthOf(std::uint32_t width) const { return std::clamp<std::uint32_t>(width, 1, Threads()); }

std::optional<std::uint32_t> Turns::Enter(std::uint32_t seat, std::uint32_t width, std::int64_t now_ns, bool waits) {
  SeatRow& row = state_.seats[seat];
  LeaseRow& lease = state_.leases[row.lease];
  width = WidthOf(width);
  Count(lease, now_ns);
  if (row.is_absent != 0) lease.wanting += row.wanting;
  row.is_absent = 0;
  row.called_ns = 0;
  if (!waits) {
    if (row.waiting == 0) row.since_ns = now_ns;
    ++row.waiting;
    row.wanting += width;
    lease.wanting += width;
    // What it could have had and did not ask for is gone, but for a bucketful.
    lease.virtual_ns = std::max(lease.virtual_ns, state_.virtual_ns - kDepthNs);
  }
  const auto has_room = [&] { return state_.busy == 0 || state_.busy + width <= state_.threads; };
  if (!has_room()) NoteOverdue(now_ns);
  if (!has_room() || IsBefore(Best(), seat)) return std::nullopt;
  const auto turn = std::find_if(row.turns.begin(), row.turns.end(), [](const TurnRow& t) { return t.width == 0; });
  if (turn == row.turns.end()) return std::nullopt;
  *turn = {now_ns, 0, width, 0};
  state_.busy += width;
  --row.waiting;
  Take(row.wanting, width);
  Take(lease.wanting, width);
  lease.running += width;
  row.since_ns = now_ns;
  state_.virtual_ns = std::max(state_.virtual_ns, lease.virtual_ns);
  return static_cast<std::uint32_t>(turn - row.turns.begin());
}

void Turns::GiveUp(std::uint32_t seat, std::uint32_t width, std::int64_t now_ns) {
  SeatRow& row = state_.seats[seat];
  LeaseRow& lease = state_.leases[row.lease];
  Count(lease, now_ns);
  if (row.waiting > 0) {
    --row.waiting;
    Take(row.wanting, WidthOf(width));
    if (row.is_absent == 0) Take(lease.wanting, WidthOf(width));
  }
  row.called_ns = 0;
}

void Turns::Leave(std::uint32_t seat, std::uint32_t turn, std::int64_t now_ns) {
  TurnRow& row = state_.seats[seat].turns[turn];
  LeaseRow& lease = state_.leases[state_.seats[seat].lease];
  Count(lease, now_ns);
  Take(lease.running, row.width);
  if (row.is_overdue == 0) Take(state_.busy, row.width);
  row = {};
}

void Turns::Charge(std::uint32_t seat, std::int64_t device_ns, bool alone) {
  SeatRow& row = state_.seats[seat];
  LeaseRow& lease = state_.leases[row.lease];
  lease.device_ns += static_cast<std::uint64_t>(std::max<std::int64_t>(device_ns, 0));
  AddVirtual(lease, device_ns - row.prepaid_ns);
  row.prepaid_ns = 0;
  if (alone) state_.virtual_ns = std::max(state_.virtual_ns, lease.virtual_ns);
}

std::uint32_t Turns::Next(std::int64_t now_ns) {
  NoteOverdue(now_ns);
  if (state_.busy >= state_.threads) return kNobody;
  const std::uint32_t best = Best();
  if (best != kNobody && state_.seats[best].called_ns == 0) state_.seats[best].called_ns = now_ns;
  return best;
}

bool Turns::TakeMemory(std::uint32_t seat, std::uint64_t bytes) {
  SeatRow& row = state_.seats[seat];
  LeaseRow& lease = state_.leases[row.lease];
  if (lease.memory_limit != 0 && bytes > lease.memory_limit - std::min(lease.memory_limit, lease.memory_used))
    return false;
  row.memory_used += bytes;
  lease.memory_used += bytes;
  lease.memory_high = std::max(lease.memory_high, lease.memory_used);
  return true;
}

void Turns::GiveMemory(std::uint32_t seat, std::uint64_t bytes) {
  SeatRow& row = state_.seats[seat];
  LeaseRow& lease = state_.leases[row.lease];
  bytes = std::min(bytes, row.memory_used);
  row.memory_used -= bytes;
  lease.memory_used -= std::min(lease.memory_used, bytes);
}

void Turns::Count(LeaseRow& lease, std::int64_t now_ns) const {
  const std::int64_t time_ns = std::max<std::int64_t>(0, now_ns - lease.counted_ns);
  lease.counted_ns = now_ns;
  const std::uint64_t wanted = std::uint64_t{lease.running} + lease.wanting;
  if (wanted == 0) return;
  // Whoever asks for few threads is owed no others; turns that are overdue may have more than there are.
  const std::int64_t threads = Threads();
  const std::int64_t wanted_milli =
      kWholeMilli * static_cast<std::int64_t>(std::min<std::uint64_t>(wanted, threads)) / threads;
  const std::int64_t owed_ns =
      PartOf(time_ns, std::min<std::int64_t>(ShareOf(lease.share_milli), wanted_milli), kWholeMilli);
  const std::int64_t got_ns = PartOf(time_ns, std::min<std::int64_t>(lease.running, threads), threads);
  lease.owed_ns += owed_ns;
  lease.behind_ns = std::max(-kDepthNs, lease.behind_ns + owed_ns - got_ns);
}

std::uint32_t Turns::DeliveredPpm(std::uint32_t lease, std::int64_t now_ns) {
  constexpr std::uint32_t kAllPpm = 1'000'000;
  LeaseRow& row = state_.leases[lease];
  Count(row, now_ns);
  // One turn of somebody else, and a bucketful, are not behind.
  const std::int64_t behind_ns = row.behind_ns - kDepthNs - kOverdueNs;
  if (behind_ns <= 0 || row.owed_ns <= 0) return kAllPpm;
  const double part = std::min(1.0, static_cast<double>(behind_ns) / static_cast<double>(row.owed_ns));
  const auto behind_ppm = static_cast<std::uint32_t>(part * kAllPpm);
  return behind_ppm < kGapsPpm ? kAllPpm : kAllPpm - behind_ppm;
}

void Turns::Repair() {
  state_.busy = 0;
  state_.threads = std::max<std::uint32_t>(state_.threads, 1);
  state_.seats_end = kSeatsMax;
  while (state_.seats_end > 0 && state_.seats[state_.seats_end - 1].is_used == 0) --state_.seats_end;
  std::array<std::uint64_t, kLeasesMax> memory{};
  std::array<std::uint32_t, kLeasesMax> seats{};
  std::array<std::uint32_t, kLeasesMax> running{};
  std::array<std::uint32_t, kLeasesMax> wanting{};
  for (SeatRow& seat : state_.seats) {
    if (seat.is_used == 0) continue;
    if (seat.lease >= kLeasesMax || state_.leases[seat.lease].is_used == 0) {
      seat = {};
      continue;
    }
    memory[seat.lease] += seat.memory_used;
    ++seats[seat.lease];
    if (seat.waiting == 0) seat.wanting = 0;
    wanting[seat.lease] += seat.is_absent == 0 ? seat.wanting : 0;
    for (const TurnRow& turn : seat.turns) {
      state_.busy += turn.is_overdue == 0 ? turn.width : 0;
      running[seat.lease] += turn.width;
    }
  }
  for (std::size_t i = 0; i < kLeasesMax; ++i) {
    state_.leases[i].memory_used = memory[i];
    state_.leases[i].seats = seats[i];
    state_.leases[i].running = running[i];
    state_.leases[i].wanting = wanting[i];
  }
}

}  // namespace accelmesh::shares
