// The supervisor: leases of the market, what their sessions share, and whose turn it is on the device.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "protocol/base/log.h"
#include "server/main/supervisor.h"
#include "server/main/ticket.h"

namespace accelmesh {
namespace {

// What the keys of market leases in the page of shares begin with.
constexpr std::string_view kLeaseKey = "lease/";

// A limit of the board's: there 0 is none, and a lease without memory may hold nothing.
std::uint64_t MemoryOf(const AdmittedLease& lease) { return std::max<std::uint64_t>(1, lease.memory_bytes); }

}  // namespace

std::int64_t Supervisor::UnixMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::uint32_t Supervisor::SeatOf(const Admission& admission, const std::string& group, std::uint64_t session) {
  // Without a lease a session, or a group of them, is one among equals.
  std::string key = group.empty() ? "session/" + std::to_string(session) : "group/" + group;
  std::uint32_t share = shares::kWholeMilli;
  std::uint64_t memory = 0;
  if (admission.lease.has_value()) {
    key = std::string(kLeaseKey) + admission.lease->Key();
    share = admission.lease->share_milli;
    memory = MemoryOf(*admission.lease);
    board_->Resize(key, share, memory);
  } else if (const auto test = options_.test_shares.find(group); test != options_.test_shares.end()) {
    share = test->second.milli;
    memory = test->second.memory_bytes;
  }
  const Result<std::uint32_t> seat = board_->Sit(key, share, memory);
  if (seat.ok()) return *seat;
  log::Warning("supervisor", "a session has no share of the device: " + seat.status().ToString());
  return shares::kNobody;
}

bool Supervisor::AnswerLeaseRequest(const Worker& worker) {
  LeaseRequest request;
  int fd = -1;
  const Status heard =
      ReceiveMessage(worker.control, {reinterpret_cast<std::uint8_t*>(&request), sizeof(request)}, &fd);
  const bool is_offer = heard.ok() && request.kind == LeaseRequest::kOffer;
  if (fd >= 0 && !is_offer) ::close(fd);
  if (!heard.ok()) return false;
  LeaseName name{request.session_id, request.generation, request.slot};
  LeaseAnswer answer;
  answer.number = request.number;
  int sent = -1;
  Status status;
  switch (request.kind) {
    case LeaseRequest::kFileOf: {
      const Result<int> file = groups_.FileOf(worker.session_id, request.session_id);
      status = file.status();
      if (file.ok()) sent = *file;
      break;
    }
    case LeaseRequest::kOffer:
      name.session = worker.session_id;
      status = groups_.Offer(name, request.index, {request.piece_id, request.piece_offset, request.piece_bytes, fd});
      break;
    case LeaseRequest::kEndOffer:
      name.session = worker.session_id;
      groups_.EndOffer(name);
      return true;
    case LeaseRequest::kPieceOf: {
      const Result<SharedPiece> piece = groups_.PieceOf(worker.session_id, name, request.index);
      status = piece.status();
      if (!piece.ok()) break;
      sent = piece->fd;
      answer.piece_id = piece->id;
      answer.piece_offset = piece->offset;
      answer.piece_bytes = piece->bytes;
      break;
    }
    default: return false;
  }
  answer.code = static_cast<std::uint32_t>(status.code());
  return SendMessage(worker.control, AsBytes(answer), sent).ok();
}

ServerFacts Supervisor::Facts() const {
  ServerFacts facts;
  for (const Worker& worker : workers_) ++(worker.serving ? facts.sessions : facts.warm_workers);
  facts.sessions_total = next_session_ - 1;
  facts.refused_total = refused_total_;
  facts.died_total = died_total_;
  for (const auto& [key, use] : board_->Uses()) {
    facts.device_us += use.device_ns / 1000;
    // Only leases have names that everybody may know; a lease and its sublets have one.
    if (!key.starts_with(kLeaseKey)) continue;
    LeaseFacts& lease = facts.leases[key.substr(kLeaseKey.size(), key.find('/', kLeaseKey.size()) - kLeaseKey.size())];
    lease.device_us += use.device_ns / 1000;
    lease.memory_bytes_high += use.memory_high;
    lease.sessions += use.sessions;
    lease.delivered_ppm = std::min(lease.delivered_ppm, use.delivered_ppm);
  }
  return facts;
}

// Its holder is told what it used, which is known when its sessions are over.
void Supervisor::AnswerEnds() {
  const auto waits = [this](const EndingLease& ending) {
    const bool is_served = std::any_of(workers_.begin(), workers_.end(), [&](const Worker& worker) {
      return worker.lease.has_value() && worker.lease->Key() == ending.key;
    });
    return is_served && !ending.until.passed();
  };
  const auto ready = std::partition(ending_.begin(), ending_.end(), waits);
  if (ready == ending_.end()) return;
  std::vector<std::string> keys;
  for (auto ending = ready; ending != ending_.end(); ++ending) keys.push_back(std::string(kLeaseKey) + ending->key);
  // All at once: while a worker is stopped that holds the page, each look at it takes its time.
  const std::vector<shares::Board::Use> uses = board_->UsesOf(keys);
  auto use = uses.begin();
  for (auto ending = ready; ending != ending_.end(); ++ending, ++use) {
    const Status answered =
        ending->listener->Answer(ending->peer, MakeEndAnswer(use->device_ns / 1000, use->delivered_ppm));
    if (!answered.ok()) log::Warning("supervisor", answered.ToString());
  }
  ending_.erase(ready, ending_.end());
}

void Supervisor::EndLeases() {
  if (options_.security == nullptr) return;
  const std::int64_t now_ms = UnixMs();
  const JumpClock::Reading clock = clock_.Observe(Clock::now(), now_ms);
  if (clock.jump_ms != 0) {
    log::Warning("supervisor",
                 "the clock of this machine jumped by " + std::to_string(clock.jump_ms) +
                     " ms; leases that run end no earlier than they would have, and new ones count once it "
                     "agrees with the market's again");
  }
  for (const EndedLease& ended : options_.security->leases->Expire(now_ms - clock.behind_ms)) {
    log::Info("supervisor", ended.why);
    board_->End(std::string(kLeaseKey) + ended.lease.Key());
    for (Worker& worker : workers_) {
      if (!worker.lease.has_value() || worker.lease->Key() != ended.lease.Key() || worker.notice < 0) continue;
      SessionEnd end;
      std::snprintf(end.why, sizeof(end.why), "%s", ended.why.c_str());
      // The worker tells its client; one that cannot, or does not end, is ended.
      if (const Status told = SendMessage(worker.notice, AsBytes(end), -1); !told.ok())
        log::Warning("supervisor", told.ToString());
      ::close(worker.notice);
      worker.notice = -1;
      if (!worker.orphaned_until.has_value()) worker.orphaned_until = Deadline::After(kEndPatience);
    }
  }
}

void Supervisor::ResizeLeases() {
  if (options_.security == nullptr) return;
  for (const AdmittedLease& lease : options_.security->leases->TakeChanged()) {
    board_->Resize(std::string(kLeaseKey) + lease.Key(), lease.share_milli, MemoryOf(lease));
    log::Info("supervisor",
              "lease " + lease.lease + " has " + std::to_string(lease.share_milli) + " thousandths from now on");
  }
}

}  // namespace accelmesh
