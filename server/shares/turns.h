// Whose turn it is on a device that several leases share: the state, and the decisions on it.
//
// Each lease has a virtual time: the device time that its sessions have used, divided by its share. The lease that
// waits with the least goes next (start-time fair queueing: P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queuing",
// SIGCOMM 96). In other words each lease has a bucket of device time: it fills as fast as its share says while others
// work, holds at most kDepthNs of the whole device times that share, and may be overdrawn by one turn. Nobody waits
// while the device has room: what is not used by one is the others'.
//
// A turn is a slice of work on some of the device's threads. One that lasts longer than kOverdueNs (a library's call is
// not interrupted) stops counting as room taken, and is charged as it goes on. A session that was told that it is its
// turn and does not come, because its process is stopped, is passed over until it comes again.
//
// Threads: none; whoever shares the state locks it (page.h). Time is an argument: nanoseconds of a clock that all
// processes have in common. The state is plain memory that may have been left half-written by a process that died:
// Repair() makes it whole.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace accelmesh::shares {

inline constexpr std::size_t kLeasesMax = 256;
inline constexpr std::size_t kSeatsMax = 256;
inline constexpr std::size_t kTurnsMax = 128;  // of a session at a time
inline constexpr std::uint32_t kNobody = 0xffffffff;
inline constexpr std::uint32_t kWholeMilli = 1000;
inline constexpr std::int64_t kDepthNs = 50'000'000;
inline constexpr std::int64_t kOverdueNs = 20'000'000;
inline constexpr std::int64_t kAbsentNs = 10'000'000;
// Less than a twentieth behind is the time between turns.
inline constexpr std::uint32_t kGapsPpm = 50'000;

struct LeaseRow {
  std::uint32_t is_used = 0;
  std::uint32_t share_milli = 0;
  std::uint32_t seats = 0;
  std::uint32_t reserved = 0;
  std::int64_t virtual_ns = 0;
  std::uint64_t device_ns = 0;     // used so far
  std::uint64_t memory_limit = 0;  // bytes of all sessions; 0: none
  std::uint64_t memory_used = 0;
  std::uint64_t memory_high = 0;
  // What it got of its share, where others were there, too.
  std::uint32_t running = 0;    // threads of the device that its sessions' turns have
  std::uint32_t wanting = 0;    // and that those wait for that would come
  std::int64_t counted_ns = 0;  // up to here
  std::int64_t owed_ns = 0;     // its share of the device's time, and no more of it than it had or waited for
  std::int64_t behind_ns = 0;   // of that, what it has not got yet; what it got beyond is kept for kDepthNs
};
struct TurnRow {
  std::int64_t begin_ns = 0;
  std::int64_t charged_ns = 0;   // of device time, ahead of what its session says
  std::uint32_t width = 0;       // threads; 0: none
  std::uint32_t is_overdue = 0;  // and counts as no room
};
// A session.
struct SeatRow {
  std::uint32_t is_used = 0;
  std::uint32_t lease = 0;
  std::uint32_t waiting = 0;  // threads of it
  std::uint32_t wanting = 0;  // threads of the device that those wait for
  std::uint32_t is_absent = 0;
  std::int64_t since_ns = 0;   // that it waits
  std::int64_t called_ns = 0;  // that it is its turn; 0: it was not told
  std::int64_t prepaid_ns = 0;
  std::uint64_t memory_used = 0;
  std::array<TurnRow, kTurnsMax> turns{};
};
struct State {
  std::uint32_t threads = 1;    // of the device
  std::uint32_t busy = 0;       // of turns that are not overdue
  std::uint32_t seats_end = 0;  // behind the last one that is used
  std::uint32_t reserved = 0;
  std::int64_t looked_ns = 0;  // for turns that are overdue
  std::int64_t virtual_ns = 0;
  std::array<LeaseRow, kLeasesMax> leases{};
  std::array<SeatRow, kSeatsMax> seats{};
};

class Turns {
 public:
  explicit Turns(State& state) : state_(state) {}

  // kNobody: there are as many as may be. A share of 0 is one of 1.
  std::uint32_t AddLease(std::uint32_t share_milli, std::uint64_t memory_limit);
  void ResizeLease(std::uint32_t lease, std::uint32_t share_milli, std::uint64_t memory_limit, std::int64_t now_ns);
  // With what its sessions had; none is left.
  void RemoveLease(std::uint32_t lease, std::int64_t now_ns);
  std::uint32_t AddSeat(std::uint32_t lease);
  // Its session is gone, whatever it was doing; its memory is the lease's again.
  void RemoveSeat(std::uint32_t seat, std::int64_t now_ns);

  // The turn, if it is this session's; else one of its threads waits, and asks again (`waits`) when it is called.
  // `width` is the threads that it will use, cut to what the device has.
  std::optional<std::uint32_t> Enter(std::uint32_t seat, std::uint32_t width, std::int64_t now_ns, bool waits);
  // A thread that waited for `width` does so no more.
  void GiveUp(std::uint32_t seat, std::uint32_t width, std::int64_t now_ns);
  void Leave(std::uint32_t seat, std::uint32_t turn, std::int64_t now_ns);
  // Device time that the session has used since it said so last. `alone`: no other lease was there, so that nobody is
  // owed anything for it.
  void Charge(std::uint32_t seat, std::int64_t device_ns, bool alone = false);
  // Whom to call now that there may be room; kNobody if there is none, or nobody waits.
  std::uint32_t Next(std::int64_t now_ns);

  // kNobody's memory has no limit. Whether there was so much; then it is taken.
  bool TakeMemory(std::uint32_t seat, std::uint64_t bytes);
  void GiveMemory(std::uint32_t seat, std::uint64_t bytes);

  // How far a lease got its share of the device's time while it wanted it, in millionths; all of it while nobody else
  // was there. A turn counts by its part of the device's threads, and who asks for few is owed no more than those. A
  // lease whose sessions are slow to come waits for themselves and is owed nothing.
  std::uint32_t DeliveredPpm(std::uint32_t lease, std::int64_t now_ns);

  void Repair();

 private:
  // The seat that waits with the best claim.
  std::uint32_t Best() const;
  bool IsBefore(std::uint32_t seat, std::uint32_t other) const;
  void NoteOverdue(std::int64_t now_ns);
  void AddVirtual(LeaseRow& lease, std::int64_t device_ns);
  // Before `running`, `wanting` or the share changes.
  void Count(LeaseRow& lease, std::int64_t now_ns) const;
  std::uint32_t Threads() const;
  std::uint32_t WidthOf(std::uint32_t width) const;

  State& state_;
};

}  // namespace accelmesh::shares
