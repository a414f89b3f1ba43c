#include "market/desk/desk.h"

#include <algorithm>

#include "market/core/losses.h"
#include "market/desk/reputations.h"
#include "protocol/base/log.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "slot-market";
constexpr auto kSweep = std::chrono::milliseconds(100);
constexpr auto kForget = std::chrono::seconds(2);
constexpr auto kAudit = std::chrono::seconds(60);
constexpr std::size_t kSweptAtOnce = 1000;
constexpr std::size_t kKindsLearned = 64;
constexpr std::size_t kForgottenAtOnce = 100;
constexpr std::size_t kTriedAtOnce = 50;
constexpr auto kDecideFor = std::chrono::seconds(20);

scheduler::Fragmentation NoWorkload() {
  Result<scheduler::Fragmentation> none = scheduler::Fragmentation::Make({});
  return std::move(none).value();
}

}  // namespace

Desk::Desk(DeskOptions options, registry::Registry& registry, const security::SigningKey& key, World world,
           std::uint64_t seed)
    : options_(std::move(options)),
      registry_(registry),
      key_(key),
      world_(std::move(world)),
      random_(seed),
      workload_(NoWorkload()),
      reputations_(std::make_unique<Reputations>()) {}

Desk::~Desk() = default;

void Desk::Tick(Instant now, std::int64_t wall_ms) {
  now_ = now;
  std::int64_t jump = 0;
  moment_ = clock_.Observe(now, wall_ms, &jump);
  if (jump != 0) {
    log::Warning(kWhere, "the clock of this machine jumped by " + std::to_string(jump) +
                             " ms; leases of before end no earlier than they would have");
  }
  if (stage_ == Stage::kStarting) {
    started_ms_ = wall_ms;
    Look();
  }
  while (!later_.empty() && later_.begin()->first <= now_) {
    const auto what = std::move(later_.begin()->second);
    later_.erase(later_.begin());
    what();
  }
  if (lease_ != registry::kNoLease && now_ >= next_keep_) KeepLead();
  if (lease_ != registry::kNoLease && !is_pulsing_ && now_ >= next_pulse_) Pulse();
  if (stage_ == Stage::kFollowing && now_ >= next_probe_) Probe();
  if (stage_ == Stage::kFollowing && now_ >= next_identities_) ReadIdentities();
  AnswerLate();
  if (is_full_ && !round_ && now_ >= try_room_) Resync("is there room on the disk again?");
  if (stage_ != Stage::kLeading || is_fencing_) return;
  if (now_ >= next_sweep_) Sweep();
  if (now_ >= next_price_) Prices();
  if (now_ >= next_forget_) Forget();
  if (now_ >= next_losses_) Losses();
  if (now_ >= next_audit_) Audit();
  if (!waiting_.empty()) TryWaiting();
  FlushReceipts();
  if (!taken_.empty() && now_ >= next_taken_) FlushPromises();
  if (now_ >= next_reputations_) RefreshReputations();
  if (options_.budget > 0 && now_ >= next_budget_) Budgets();
  if (now_ >= next_epoch_) RunEpoch();
  if (!begins_.empty()) TryBegun();
  Flush();
}

std::optional<IdentityRecord> Desk::Identify(const std::string& identity) const {
  if (const IdentityRecord* known = book_.Identity(identity); known != nullptr) return *known;
  return world_.local ? world_.local(identity) : std::nullopt;
}

void Desk::OnMessage(const Peer& peer, const std::string& identity, ByteView bytes) {
  ++counts_.requests;
  Job job;
  job.peer = peer;
  job.identity = identity;
  job.asked = now_;
  job.until = now_ + kDecideFor;
  Result<messages::RequestT> request = DecodeRequest(bytes);
  if (!request.ok()) {
    ++counts_.refused;
    job.number = NumberOfRefused(bytes);
    const Status& why = request.status();
    return Fail(job, Status(why.code(), why.where(), why.where() + " " + why.text()));
  }
  job.number = request->number;
  job.request = std::make_shared<const messages::RequestT>(std::move(*request));
  Take(std::move(job));
}

void Desk::Refuse(const Peer& peer, ByteView bytes, const Status& why) {
  ++counts_.requests;
  ++counts_.refused;
  Job job;
  job.peer = peer;
  job.number = NumberOfRefused(bytes);
  Fail(job, why);
}

void Desk::Take(Job job) {
  const messages::RequestBody kind = job.request->body.type;
  // Anybody is told who is there and who leads.
  if (kind == messages::RequestBody::Greet && (stage_ != Stage::kLeading || IsMute())) return OnGreet(std::move(job));
  if (kind == messages::RequestBody::GetStatus) return OnStatus(job);
  if (const IdentityRecord* known = book_.Identity(job.identity); known != nullptr && known->is_banned) {
    ++counts_.refused;
    return Fail(job,
                Status(Code::kPermissionDenied, kWhere, "this identity is banned; ask an admin (slotctl keys trust)"));
  }
  if (IsMute()) {
    messages::ReplyT reply;
    reply.code = static_cast<std::uint16_t>(Code::kUnavailable);
    reply.text = "the market's registry does not answer" + (trouble_.empty() ? "" : " (" + trouble_ + ")");
    reply.leader = kNoLeader;
    return Reply(job, std::move(reply));
  }
  if (stage_ == Stage::kLoading || (stage_ == Stage::kLeading && is_fencing_)) {
    if (queued_.size() < options_.jobs_max) return Queue(std::move(job));
    return Fail(job, Status(Code::kFull, kWhere, "too many requests wait for the market's registry; try again later"));
  }
  if (stage_ != Stage::kLeading) {
    messages::ReplyT reply;
    reply.code = static_cast<std::uint16_t>(Code::kUnavailable);
    const bool is_other = has_leader_ && !IsSuspect() && leader_.urls != options_.urls && !leader_.urls.empty();
    reply.leader = is_other ? leader_.urls.front() : kNoLeader;
    reply.text = is_other ? "this slot-market does not lead; ask " + reply.leader
                          : "no slot-market leads just now" + (trouble_.empty() ? "" : " (" + trouble_ + ")");
    return Reply(job, std::move(reply));
  }
  if (decided_.size() >= options_.jobs_max) {
    return Fail(job, Status(Code::kFull, kWhere, "too many requests wait for the market's disk; try again later"));
  }
  Dispatch(std::move(job));
}

void Desk::Dispatch(Job job) {
  if (job.again) {
    const auto decide = job.again;
    return decide(std::move(job));
  }
  switch (job.request->body.type) {
    case messages::RequestBody::Greet: return OnGreet(std::move(job));
    case messages::RequestBody::ListSlots: return OnListSlots(job);
    case messages::RequestBody::Quote: return OnQuote(job);
    case messages::RequestBody::ListPrices: return OnListPrices(job);
    case messages::RequestBody::RequestLease: return OnRequest(std::move(job), nullptr);
    case messages::RequestBody::RenewLease: return OnRenew(std::move(job));
    case messages::RequestBody::ResizeLease: return OnResize(std::move(job));
    case messages::RequestBody::ReleaseLease: return OnRelease(std::move(job));
    case messages::RequestBody::TransferLease: return OnTransfer(job);
    case messages::RequestBody::ListLeases: return OnListLeases(job);
    case messages::RequestBody::GetAccount: return OnGetAccount(job);
    case messages::RequestBody::ListRequests: return OnListRequests(job);
    case messages::RequestBody::RegisterServer: return OnRegister(std::move(job));
    case messages::RequestBody::KeepServer: return OnKeep(job);
    case messages::RequestBody::DrainSlots: return OnDrain(std::move(job));
    case messages::RequestBody::Deposit: return OnDeposit(std::move(job));
    case messages::RequestBody::Trust: return OnTrust(std::move(job));
    case messages::RequestBody::ListAccounts: return OnListAccounts(job);
    case messages::RequestBody::RevokeLease: return OnRevoke(std::move(job));
    case messages::RequestBody::GetStatus: return OnStatus(job);
    case messages::RequestBody::PlaceOrder: return OnPlaceOrder(std::move(job));
    case messages::RequestBody::ListAsks: return OnListAsks(job);
    case messages::RequestBody::ListEpochs: return OnListEpochs(job);
    case messages::RequestBody::PriceToWin: return OnPriceToWin(job);
    case messages::RequestBody::GetCheckpoint: return OnGetCheckpoint(job);
    case messages::RequestBody::Cosign: return OnCosign(job);
    case messages::RequestBody::ReadEntries: return OnReadEntries(job);
    case messages::RequestBody::SignReceipt: return OnSignReceipt(std::move(job));
    case messages::RequestBody::ListReceipts: return OnListReceipts(job);
    case messages::RequestBody::ListReputation: return OnListReputation(job);
    case messages::RequestBody::SetShares: return OnSetShares(std::move(job));
    case messages::RequestBody::NONE: break;
  }
  Fail(job, Status(Code::kUnsupported, kWhere, "this market does not know that request"));
}

void Desk::Reply(const Job& job, messages::ReplyT reply) {
  if (job.peer.empty()) return;
  reply.number = job.number;
  Bytes bytes = EncodeReply(reply);
  if (bytes.size() > kReplyBytesMax) {
    return Fail(job,
                Status(Code::kLimitExceeded, kWhere, "the answer is longer than a message may be; ask for less of it"));
  }
  world_.send(job.peer, std::move(bytes));
}

void Desk::Fail(const Job& job, const Status& status) {
  messages::ReplyT reply;
  reply.code = static_cast<std::uint16_t>(status.code());
  reply.text = status.text();
  Reply(job, std::move(reply));
}

void Desk::Push(const std::string& server, messages::PushBodyUnion body) {
  const auto session = servers_.find(server);
  if (session == servers_.end() || session->second.peer.empty()) return;
  messages::PushT push;
  push.body = std::move(body);
  world_.send(session->second.peer, EncodePush(push));
}

void Desk::PushEnd(const LeaseRecord& lease, const std::string& id, const std::string& reason) {
  messages::EpochRaisedT raised;
  raised.slot = lease.slot;
  raised.epoch = lease.epoch + 1;
  raised.lease = id;
  raised.reason = reason;
  messages::PushBodyUnion body;
  body.Set(std::move(raised));
  Push(lease.server, std::move(body));
}

bool Desk::Allowed(const Job& job, std::initializer_list<MarketRole> roles) {
  const std::optional<IdentityRecord> identity = Identify(job.identity);
  if (identity && !identity->is_banned && std::find(roles.begin(), roles.end(), identity->role) != roles.end())
    return true;
  ++counts_.refused;
  Fail(job,
       Status(Code::kPermissionDenied, kWhere,
              !identity ? "the market does not know this identity; an admin lets it in with: slotctl keys trust KEY "
                          "--role tenant --name NAME"
              : identity->is_banned ? "this identity is banned; ask an admin"
                                    : "a " + std::string(Name(identity->role)) + " may not ask that; " +
                                          std::string(Name(*roles.begin())) + "s may"));
  return false;
}

// A thing that time or an event brings: decided like a request, and not answered.
void Desk::Inside(std::function<void(Job)> decide) {
  Job job;
  job.until = Instant::max();
  decide(std::move(job));
}

void Desk::Sweep() {
  next_sweep_ = now_ + kSweep;
  if (decided_.size() > kSweptAtOnce) return;
  for (std::size_t i = 0; i < kSweptAtOnce && !book_.ByEnd().empty(); ++i) {
    const auto& [end_ms, id] = *book_.ByEnd().begin();
    if (end_ms > moment_.sweep_ms) break;
    EndLease(std::string(id), LeaseState::kExpired, "expired");
  }
}

void Desk::TryWaiting() {
  const bool has_changed = changes_ != waiting_tried_ && !is_full_;
  if (!is_full_) waiting_tried_ = changes_;
  std::list<Waiting> all = std::move(waiting_);
  std::list<Waiting> left;
  waiting_.clear();
  std::size_t tried = 0;
  for (Waiting& waiting : all) {
    const bool is_over = waiting.until <= now_;
    if (!is_over && (!has_changed || tried >= kTriedAtOnce)) {
      left.push_back(std::move(waiting));
      continue;
    }
    ++tried;
    Job job = waiting.job;
    OnRequest(std::move(job), &waiting);
  }
  // Those whose turn did not come are first the next time.
  if (has_changed && !left.empty()) waiting_tried_ = 0;
  waiting_.splice(waiting_.begin(), left);
}

// What tenants usually ask for is what they have now: placement leaves room for more of that.
void Desk::LearnWorkload() {
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t> shapes;
  for (const auto& [end, id] : book_.ByEnd()) {
    const LeaseRecord* lease = book_.Lease(id);
    ++shapes[{lease->share_milli,
              static_cast<std::uint32_t>(std::min<std::uint64_t>(lease->memory_bytes >> 20, 1U << 30))}];
  }
  std::vector<std::pair<std::uint64_t, scheduler::TaskKind>> kinds;
  for (const auto& [shape, count] : shapes) {
    scheduler::TaskKind kind;
    kind.demand.devices = 1;
    kind.demand.share_milli = shape.first;
    kind.demand.device_memory_mib = shape.second;
    kind.weight = count;
    kinds.emplace_back(count, kind);
  }
  std::sort(kinds.begin(), kinds.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  if (kinds.size() > kKindsLearned) kinds.resize(kKindsLearned);
  std::vector<scheduler::TaskKind> workload;
  for (const auto& [count, kind] : kinds) workload.push_back(kind);
  if (Result<scheduler::Fragmentation> made = scheduler::Fragmentation::Make(workload); made.ok())
    workload_ = std::move(*made);
}

void Desk::Prices() {
  next_price_ = now_ + options_.price_step;
  LearnWorkload();
  const std::int64_t step_ms = std::chrono::duration_cast<std::chrono::milliseconds>(options_.price_step).count();
  Decision decision = DecidePrices(book_, options_.price_rules, step_ms, moment_);
  if (!decision.writes.empty()) Inside([&](Job job) { Decided(std::move(job), std::move(decision), nullptr); });
}

void Desk::Forget() {
  Decision decision = DecideForgetting(book_, moment_, kForgottenAtOnce);
  // While there is much to forget, all the time; one lot a round.
  next_forget_ = now_ + (decision.writes.size() + 3 <= kForgottenAtOnce ? Duration(kForget) : Duration(kSweep));
  if (!decision.writes.empty()) Inside([&](Job job) { Decided(std::move(job), std::move(decision), nullptr); });
}

void Desk::Losses() {
  const std::int64_t gone_ms = std::chrono::duration_cast<std::chrono::milliseconds>(options_.gone).count();
  Decision decision = DecideLosses(book_, gone_ms, moment_, kForgottenAtOnce);
  next_losses_ = now_ + (decision.writes.empty() ? Duration(kForget) : Duration(kSweep));
  if (decision.writes.empty()) return;
  std::vector<std::string> gone;
  for (const Write& write : decision.writes) {
    const bool is_over = write.key.family == Family::kLoss && std::holds_alternative<std::monostate>(write.record);
    if (is_over) gone.push_back(write.key.id.substr(0, 16));
  }
  // Said once it is written.
  const auto tell = [gone, gone_ms] {
    for (const std::string& server : gone) {
      log::Warning(kWhere,
                   "server " + server + " has not come back for " + std::to_string(gone_ms / 1000) +
                       " s: its slots are gone, and its bond went to whose leases it took along, the rest back");
    }
  };
  Inside([&](Job job) { Decided(std::move(job), std::move(decision), tell); });
}

void Desk::Audit() {
  next_audit_ = now_ + kAudit;
  const MoneySums sums = book_.CountSums();
  if (sums == book_.sums() && sums.balanced()) return;
  log::Error(kWhere, "the accounts do not add up: " + std::to_string(sums.balance) + " owned and " +
                         std::to_string(sums.held) + " held and " + std::to_string(sums.bond) + " put up of " +
                         std::to_string(sums.deposited) + " deposited microcredits, " +
                         std::to_string(sums.held_by_leases) + " held by leases");
}

}  // namespace accelmesh::market
