// What providers and admins ask, and what happens to servers.
#include "market/desk/desk.h"
#include "protocol/base/log.h"
#include "protocol/security/curve.h"
#include "scheduler/core/request.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "slot-market";
// Fewer than the socket keeps for who does not read at once (market/slot_market/daemon.cpp).
constexpr std::size_t kMissedMax = 1500;

Result<SlotRecord> RecordOf(const messages::SlotT& slot, const std::string& server_name) {
  SlotRecord record;
  record.slot.id = slot.id;
  record.slot.zone = slot.zone;
  record.slot.labels = slot.labels;
  record.via.assign(scheduler::kOperations * scheduler::kNumberTypes, "");
  if (slot.tags != nullptr) {
    record.slot.tags = ToSchedulerTags(*slot.tags);
    for (const auto& one : slot.tags->throughput) {
      record.via[one->operation * scheduler::kNumberTypes + one->type] = one->via;
    }
  }
  record.slot.share_milli = slot.share_milli;
  record.slot.share_milli_step = slot.share_milli_step;
  record.slot.memory_bytes = slot.memory_bytes;
  record.slot.notice_us = slot.notice_us;
  record.server_name = server_name;
  record.device = slot.device;
  record.device_name = slot.device_name;
  record.backend = slot.backend;
  record.reserve_price = slot.reserve_price_microcredits_per_hour;
  record.is_draining = slot.is_draining;
  if (record.slot.share_milli_step > record.slot.share_milli ||
      record.slot.share_milli % record.slot.share_milli_step != 0) {
    return Status(Code::kInvalidArgument, kWhere,
                  "slot " + slot.id + " sells " + std::to_string(slot.share_milli) + " thousandths in steps of " +
                      std::to_string(slot.share_milli_step) + "; the one is a multiple of the other");
  }
  for (const std::string& label : slot.labels) {
    if (!scheduler::IsName(label)) return Status(Code::kInvalidArgument, kWhere, "\"" + label + "\" is no label");
  }
  return record;
}

}  // namespace

void Desk::OnRegister(Job job) {
  if (!Allowed(job, {MarketRole::kProvider, MarketRole::kAdmin})) return;
  // Its lease of the registry comes first; the one that it has, if that still lives.
  const auto take = [this, job](Result<registry::LeaseResult> lease) {
    if (!lease.ok())
      return Fail(job, Status(Code::kUnavailable, kWhere, "the registry gave no lease: " + lease.status().text()));
    // Meanwhile this replica may have lost the lead.
    if (stage_ != Stage::kLeading) return Take(job);
    Job again = job;
    again.again = [this, id = lease->id](Job decided) { Register(std::move(decided), id); };
    if (is_fencing_) return Queue(std::move(again));
    Dispatch(std::move(again));
    Flush();
  };
  const auto session = servers_.find(job.identity);
  if (session == servers_.end() || session->second.lease == registry::kNoLease) {
    return registry_.GrantLease(options_.node_ttl, Soon(), Here<registry::LeaseResult>(take));
  }
  registry_.KeepLease(session->second.lease, Soon(),
                      Here<registry::LeaseResult>([this, take](Result<registry::LeaseResult> kept) {
                        if (kept.ok()) return take(std::move(kept));
                        registry_.GrantLease(options_.node_ttl, Soon(), Here<registry::LeaseResult>(take));
                      }));
}

void Desk::Register(Job job, registry::LeaseId lease) {
  const auto& ask = *job.request->body.AsRegisterServer();
  security::PublicKey key;
  if (const Status status = security::ParseHex(job.identity, key.bytes); !status.ok()) return Fail(job, status);
  Result<security::CurveKey> curve = security::CurveKeyOf(key);
  if (!curve.ok()) return Fail(job, curve.status());
  std::vector<SlotRecord> slots;
  for (const auto& slot : ask.slots) {
    Result<SlotRecord> record = RecordOf(*slot, ask.name);
    if (!record.ok()) return Fail(job, record.status());
    slots.push_back(std::move(*record));
  }
  ServerRecord server;
  server.name = ask.name;
  server.endpoints = ask.endpoints;
  server.curve_key.assign(curve->bytes.begin(), curve->bytes.end());
  server.registered_ms = moment_.now_ms;
  Result<Decision> decision =
      DecideRegistration(book_, job.identity, std::move(server), std::move(slots), ask.bond_microcredits);
  if (!decision.ok()) return Fail(job, decision.status());
  Session& session = servers_[job.identity];
  session.peer = job.peer;
  session.lease = lease;
  session.seen = now_;
  log::Info(kWhere, "server " + ask.name + " registers " + std::to_string(ask.slots.size()) + " slots");
  const auto answer = [this, job] {
    messages::RegisteredT registered;
    registered.server = job.identity;
    registered.keep_us = std::chrono::duration_cast<std::chrono::microseconds>(options_.node_ttl).count() / 4;
    for (const std::string& id : book_.SlotsOfServer(job.identity)) {
      auto epoch = std::make_unique<messages::SlotEpochT>();
      epoch->slot = id;
      epoch->epoch = book_.Floor(id);
      registered.epochs.push_back(std::move(epoch));
    }
    registered.market_keys.push_back(security::HexOf(key_.public_key().bytes));
    TellMissed(job.identity);
    Answer(job, std::move(registered));
  };
  Decided(std::move(job), std::move(*decision), answer);
}

// What a server has not heard of while it was away: tokens that may still be shown to it, of leases that have ended or
// are smaller now. Else it would make room for who comes next by ending somebody else's.
void Desk::TellMissed(const std::string& server) {
  std::size_t told = 0;
  for (auto at = book_.Ended().rbegin(); at != book_.Ended().rend() && told < kMissedMax; ++at) {
    const LeaseRecord* lease = book_.Lease(at->second);
    if (at->first + kLeaseLifeMsMax <= moment_.now_ms) break;
    if (lease->server != server || lease->state == LeaseState::kExpired) continue;
    PushEnd(*lease, at->second, std::string(Name(lease->state)));
    ++told;
  }
  for (const std::string& slot : book_.SlotsOfServer(server)) {
    for (const std::string& id : book_.LeasesOfSlot(slot)) {
      if (told++ < kMissedMax) PushResized(id, *book_.Lease(id));
    }
  }
}

void Desk::OnKeep(const Job& job) {
  const auto found = servers_.find(job.identity);
  // A connection that is new has not heard what changed since the old one: it registers, and hears it then.
  if (found == servers_.end() || found->second.lease == registry::kNoLease || found->second.peer != job.peer) {
    return Fail(job, Status(Code::kNotFound, kWhere, "the market does not know this server any more; register again"));
  }
  found->second.seen = now_;
  NoteUse(job.identity, found->second, *job.request->body.AsKeepServer());
  registry_.KeepLease(
      found->second.lease, Soon(), Here<registry::LeaseResult>([this, job](Result<registry::LeaseResult> kept) {
        if (!kept.ok()) {
          const bool is_gone = kept.code() == Code::kNotFound;
          return Fail(job, Status(is_gone ? Code::kNotFound : Code::kUnavailable, kWhere,
                                  is_gone ? "the market does not know this server any more; register again"
                                          : "the market's registry does not answer: " + kept.status().text()));
        }
        messages::KeptT answer;
        if (stage_ == Stage::kLeading) answer.receipts = OpenReceiptsOf(job.identity);
        answer.keep_us = std::chrono::duration_cast<std::chrono::microseconds>(options_.node_ttl).count() / 4;
        Answer(job, answer);
      }));
}

void Desk::OnDrain(Job job) {
  if (!Allowed(job, {MarketRole::kProvider, MarketRole::kAdmin})) return;
  const auto& ask = *job.request->body.AsDrainSlots();
  const bool is_admin = Identify(job.identity)->role == MarketRole::kAdmin;
  Result<Decision> decision = DecideDrain(book_, job.identity, is_admin, ask.slots, ask.drain);
  if (!decision.ok()) return Fail(job, decision.status());
  const auto answer = [this, job] {
    const auto& asked = *job.request->body.AsDrainSlots();
    messages::SlotsT slots;
    for (const std::string& id : asked.slots) {
      const SlotRecord* record = book_.Slot(id);
      if (record == nullptr) continue;
      slots.slots.push_back(std::make_unique<messages::SlotT>(SlotOf(id, *record)));
      messages::DrainedT drained;
      drained.slot = id;
      drained.drain = asked.drain;
      messages::PushBodyUnion body;
      body.Set(std::move(drained));
      Push(record->slot.server, std::move(body));
    }
    Answer(job, std::move(slots));
  };
  Decided(std::move(job), std::move(*decision), answer);
}

void Desk::OnDeposit(Job job) {
  if (!Allowed(job, {MarketRole::kAdmin})) return;
  const auto& ask = *job.request->body.AsDeposit();
  Result<Decision> decision = DecideDeposit(book_, ask.identity, security::HexOf(ask.operation_id), ask.microcredits);
  if (!decision.ok()) return Fail(job, decision.status());
  if (decision->writes.empty()) decision->reads.push_back({Family::kAccount, ask.identity});
  // Made before `job` is moved: in a call's arguments either may come first.
  const auto answer = [this, job] { Answer(job, AccountOf(job.request->body.AsDeposit()->identity)); };
  Decided(std::move(job), std::move(*decision), answer);
}

void Desk::OnTrust(Job job) {
  if (!Allowed(job, {MarketRole::kAdmin})) return;
  const auto& ask = *job.request->body.AsTrust();
  const std::optional<IdentityRecord> known = Identify(ask.identity);
  IdentityRecord record = known ? *known : IdentityRecord{};
  if (!ask.name.empty()) record.name = ask.name;
  if (record.name.empty()) record.name = ask.identity.substr(0, 8);
  bool is_role = ask.role.empty();
  for (const MarketRole role : {MarketRole::kTenant, MarketRole::kProvider, MarketRole::kAdmin, MarketRole::kWitness}) {
    if (ask.role != Name(role)) continue;
    record.role = role;
    is_role = true;
  }
  if (!is_role) {
    return Fail(job, Status(Code::kInvalidArgument, kWhere,
                            "\"" + ask.role + "\" is no role; there are tenant, provider, admin and witness"));
  }
  record.is_banned = ask.is_banned;
  Decision decision = DecideTrust(book_, ask.identity, std::move(record));
  const auto answer = [this, job] {
    const auto& asked = *job.request->body.AsTrust();
    if (world_.identities_changed) world_.identities_changed();
    if (asked.is_banned) {
      const std::set<std::string> leases = book_.LeasesOfTenant(asked.identity);
      for (const std::string& id : leases) EndLease(id, LeaseState::kRevoked, "its tenant was banned");
      const Status banned(Code::kPermissionDenied, kWhere,
                          "this identity is banned; ask an admin (slotctl keys trust)");
      for (auto bid = bids_.begin(); bid != bids_.end();) {
        const bool is_theirs = bid->job.identity == asked.identity;
        if (is_theirs) Fail(bid->job, banned);
        bid = is_theirs ? bids_.erase(bid) : std::next(bid);
      }
      begins_.remove_if([&](const auto& begin) {
        const bool is_theirs = begin.first.identity == asked.identity;
        if (is_theirs) Fail(begin.first, banned);
        return is_theirs;
      });
      if (book_.Server(asked.identity) != nullptr) {
        // Its slots are withdrawn with its lease of the registry.
        registry_.RevokeLease(servers_[asked.identity].lease, Soon(), [](Result<registry::Revision>) {});
      }
    }
    Answer(job, AccountOf(asked.identity));
  };
  Decided(std::move(job), std::move(decision), answer);
}

void Desk::OnListAccounts(const Job& job) {
  if (!Allowed(job, {MarketRole::kAdmin})) return;
  messages::AccountsT accounts;
  std::set<std::string> ids;
  for (const auto& [id, entry] : book_.All(Family::kAccount)) ids.insert(id);
  for (const auto& [id, entry] : book_.All(Family::kIdentity)) ids.insert(id);
  for (const std::string& id : ids) {
    if (accounts.accounts.size() >= kListedMax) break;
    accounts.accounts.push_back(std::make_unique<messages::AccountT>(AccountOf(id)));
  }
  accounts.deposits_microcredits = book_.sums().deposited;
  Answer(job, std::move(accounts));
}

void Desk::OnRevoke(Job job) {
  if (!Allowed(job, {MarketRole::kAdmin})) return;
  const auto& ask = *job.request->body.AsRevokeLease();
  const LeaseRecord* lease = book_.Lease(ask.lease);
  if (lease == nullptr) return Fail(job, Status(Code::kNotFound, kWhere, "no lease has this id; see slotctl leases"));
  LeaseChange change;
  change.lease = ask.lease;
  change.is_repeated = lease->state != LeaseState::kActive;
  if (!change.is_repeated) change = DecideEnd(book_, ask.lease, LeaseState::kRevoked, moment_.now_ms, moment_);
  Changed(std::move(job), std::move(change), "revoked");
}

void Desk::OnStatus(const Job& job) {
  messages::StatusReportT report;
  report.store = options_.store;
  report.store_warning = options_.store_warning;
  report.trouble = trouble_.empty() ? epoch_trouble_ : trouble_;
  report.is_leader = stage_ == Stage::kLeading;
  if (has_leader_ && !leader_.urls.empty()) report.leader = leader_.urls.front();
  report.started_ms = started_ms_;
  report.grants = counts_.grants;
  report.rejections = counts_.rejections;
  report.servers = static_cast<std::uint32_t>(book_.All(Family::kServer).size());
  report.slots = static_cast<std::uint32_t>(book_.All(Family::kSlot).size());
  report.leases = static_cast<std::uint32_t>(book_.active_leases());
  report.time_ms = moment_.now_ms;
  Answer(job, std::move(report));
}

void Desk::EndLease(const std::string& id, LeaseState state, const std::string& reason, std::int64_t until_ms) {
  LeaseChange change = DecideEnd(book_, id, state, until_ms >= 0 ? until_ms : moment_.now_ms, moment_);
  Job job;
  job.until = Instant::max();
  // Its server ends an expired one by itself.
  const LeaseRecord* ending = book_.Lease(id);
  const bool is_sold = ending != nullptr && !ending->successor.empty();
  const bool tells = state != LeaseState::kExpired || is_sold;
  const auto answer = [this, id, reason, tells, lease = ToldOf(change.decision, id).lease] {
    ++counts_.ended;
    if (lease != nullptr && tells) PushEnd(*lease, id, reason);
  };
  Decided(std::move(job), std::move(change.decision), answer);
}

void Desk::LoseServer(const std::string& server) {
  std::vector<std::string> ids;
  for (const std::string& slot : book_.SlotsOfServer(server)) {
    for (const std::string& id : book_.LeasesOfSlot(slot)) ids.push_back(id);
  }
  // Nobody pays for the time in which nobody has seen it.
  std::int64_t until_ms = moment_.now_ms;
  if (const auto session = servers_.find(server); session != servers_.end()) {
    until_ms -= std::chrono::duration_cast<std::chrono::milliseconds>(now_ - session->second.seen).count();
  }
  for (const std::string& id : ids) {
    EndLease(id, LeaseState::kServerLost, "the market lost sight of the server", until_ms);
  }
}

}  // namespace accelmesh::market
