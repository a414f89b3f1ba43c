// Who leads says all the time that it is there; one that does not any more is followed by another.
//
// The lease that /leader is bound to brings that about too, but late: when etcd elects a leader of its own, all leases
// get their whole time anew, and the time of an election. So the leader writes a pulse, some times a second, and a
// follower that reads for `silence`, of a registry that answers all that while, that no pulse has come writes itself
// into /leader.
//
// That is safe however wrong its judgement was, whatever clocks and pauses did: to lead is to have written the revision
// that /leader has, nothing else. The follower's transaction compares the revisions of both keys that it has read: of
// several followers one comes through, and none if the leader has given a sign in between. From then on /leader has
// another revision than every transaction of the old leader compares, those among them that are still under way. So
// they change nothing, and the new leader, which reads everything after its own transaction, has all that was
// acknowledged. A judgement that was wrong costs a change of leaders.
#include "market/desk/desk.h"

namespace accelmesh::market {
namespace {

// A pulse, or a reading, that takes longer is tried again, at another member of the registry if there is one.
constexpr auto kPulseFor = std::chrono::milliseconds(400);
constexpr auto kProbeFor = std::chrono::milliseconds(300);
constexpr auto kAgain = std::chrono::milliseconds(50);
constexpr auto kProbes = std::chrono::milliseconds(100);
// Between readings that are further apart the registry may have been one that takes no pulses.
constexpr auto kApartMost = std::chrono::milliseconds(350);
// A round that is still open when the registry has taken a pulse that came so long after it: it is at a member that is
// cut off or has gone.
constexpr auto kOvertaken = std::chrono::seconds(1);

}  // namespace

void Desk::Pulse() {
  is_pulsing_ = true;
  registry::Txn txn;
  // Its value: fences give it other revisions, and a pulse decides nothing.
  txn.compares.push_back(registry::Compare::Value(kLeaderPath, lead_value_));
  txn.then.push_back(registry::Operation::Put(kPulsePath, options_.name, lease_));
  registry_.Submit(std::move(txn), now_ + kPulseFor,
                   Here<registry::TxnResult>([this, lease = lease_, asked = now_](Result<registry::TxnResult> result) {
                     if (lease != lease_) return;
                     is_pulsing_ = false;
                     next_pulse_ = result.ok() ? asked + options_.pulse : now_ + kAgain;
                     if (result.ok() && result->succeeded) return Heard(asked);
                     if (result.ok()) return StepDown("another one leads");
                     if (result.code() == Code::kNotFound) return StepDown("its lease of the registry has expired");
                     // One that has no room answers too.
                     if (result.code() == Code::kFull) return Heard(asked);
                     if (IsMute()) trouble_ = result.status().text();
                   }));
}

void Desk::Heard(Instant asked) {
  if (IsMute() && !is_full_) trouble_.clear();
  heard_ = now_;
  if (round_ && round_->begun < asked && round_->begun + kOvertaken <= now_) {
    Resync("it answers, but not to what was to be written");
  }
}

// It believes that it leads, and cannot write: another may lead by now.
bool Desk::IsMute() const { return lease_ != registry::kNoLease && heard_ + kMuteFor <= now_; }

void Desk::Watched(const registry::Change& change) {
  for (const registry::Event& event : change.events) {
    // The leader has gone, or is another.
    if (event.kind != registry::Event::Kind::kPut || event.entry.key != kPulsePath) return Look();
  }
  sign_.pulse = change.revision;
  silent_since_.reset();
  next_probe_ = now_ + options_.pulse * 3 / 2;
}

// No pulse was seen for a while. The watch may be late, or at a member that is cut off; a reading is not.
void Desk::Probe() {
  next_probe_ = Instant::max();
  registry_.Snapshot(kLeaderPath, now_ + kProbeFor,
                     Here<registry::SnapshotResult>([this, term = term_](Result<registry::SnapshotResult> result) {
                       if (term != term_) return;
                       next_probe_ = now_ + kProbes;
                       if (!result.ok()) {
                         trouble_ = result.status().text();
                         return silent_since_.reset();
                       }
                       trouble_.clear();
                       Sign sign;
                       for (const registry::Entry& entry : result->entries) {
                         if (entry.key == kLeaderPath) sign.leader = entry.mod_revision;
                         if (entry.key == kPulsePath) sign.pulse = entry.mod_revision;
                       }
                       if (sign.leader != sign_.leader) return Look();
                       if (IsSilent(sign)) Elect(sign);
                     }));
}

// Takes in what was just read; true if its leader has been silent for long enough.
bool Desk::IsSilent(const Sign& sign) {
  const bool is_same = sign == sign_;
  if (!is_same || !silent_since_ || read_ + kApartMost < now_) silent_since_ = now_;
  sign_ = sign;
  read_ = now_;
  // A slot-market of before there were pulses gives none.
  return is_same && sign.pulse != 0 && !is_resigned_ && now_ - *silent_since_ >= options_.silence;
}

}  // namespace accelmesh::market
