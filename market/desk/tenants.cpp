// What tenants ask.
#include <algorithm>
#include <span>

#include "market/core/receipts.h"
#include "market/desk/desk.h"
#include "protocol/security/lease_token.h"
#include "scheduler/core/request_text.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "slot-market";
// A gang is one transaction.
constexpr std::uint32_t kGangMax = 40;
constexpr std::size_t kPricePointsMax = 200'000;  // of a reply; some 9 MiB
constexpr std::size_t kWaitingPerTenantMax = 64;
constexpr std::size_t kListedTextMax = 256;
constexpr std::size_t kListedGapsMax = 20'000;
constexpr std::int64_t kWaitUsMax = 24LL * 3600 * 1'000'000;

std::string Raw(const std::vector<std::uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }
std::vector<std::uint8_t> Raw(const std::string& bytes) { return {bytes.begin(), bytes.end()}; }

template <std::size_t size>
std::array<std::uint8_t, size> Fixed(const std::string& bytes) {
  std::array<std::uint8_t, size> result{};
  if (bytes.size() == size) std::copy(bytes.begin(), bytes.end(), result.begin());
  return result;
}

std::vector<std::unique_ptr<messages::GapT>> GapsOf(const std::vector<scheduler::Gap>& gaps) {
  std::vector<std::unique_ptr<messages::GapT>> list;
  for (const scheduler::Gap& gap : gaps) {
    auto one = std::make_unique<messages::GapT>();
    one->dimension = Name(gap.dimension);
    one->text = gap.text;
    one->remedy = gap.remedy;
    list.push_back(std::move(one));
  }
  return list;
}

std::vector<std::unique_ptr<messages::RejectionT>> RejectionsOf(const std::vector<SlotRejection>& rejections) {
  std::vector<std::unique_ptr<messages::RejectionT>> list;
  for (const SlotRejection& rejection : rejections) {
    auto one = std::make_unique<messages::RejectionT>();
    one->slot = rejection.slot;
    one->gaps = GapsOf(rejection.gaps);
    list.push_back(std::move(one));
  }
  return list;
}

void AddOffers(const std::vector<Chosen>& chosen, messages::QuotationT& quotation) {
  for (const Chosen& one : chosen) {
    auto offer = std::make_unique<messages::OfferT>();
    offer->slot = one.slot;
    offer->share_milli = one.candidate.share_milli;
    offer->memory_bytes = one.candidate.memory_bytes;
    offer->price_microcredits_per_hour = one.candidate.price_microcredits_per_hour;
    offer->why = one.candidate.why;
    quotation.offers.push_back(std::move(offer));
  }
}

}  // namespace

messages::LeaseT Desk::LeaseOf(const std::string& id, const LeaseRecord& record) const {
  messages::LeaseT lease;
  lease.id = id;
  lease.slot = record.slot;
  lease.server = record.server;
  lease.tenant = record.tenant;
  if (const auto identity = Identify(record.tenant)) lease.tenant_name = identity->name;
  lease.epoch = record.epoch;
  lease.share_milli = record.share_milli;
  lease.memory_bytes = record.memory_bytes;
  lease.price_microcredits_per_hour = record.price_per_hour;
  lease.not_before_ms = record.not_before_ms;
  lease.not_after_ms = record.not_after_ms;
  lease.held_microcredits = record.held;
  lease.state = Name(record.state);
  lease.request = record.request;
  return lease;
}

messages::SlotT Desk::SlotOf(const std::string& id, const SlotRecord& record) const {
  messages::SlotT slot;
  slot.id = id;
  slot.server = record.slot.server;
  slot.server_name = record.server_name;
  slot.device = record.device;
  slot.device_name = record.device_name;
  slot.backend = record.backend;
  slot.zone = record.slot.zone;
  slot.labels = record.slot.labels;
  slot.tags = std::make_unique<messages::TagsT>(ToMessageTags(record.slot.tags));
  for (const auto& one : slot.tags->throughput) {
    const std::size_t place = one->operation * scheduler::kNumberTypes + one->type;
    if (place < record.via.size()) one->via = record.via[place];
  }
  slot.share_milli = record.slot.share_milli;
  slot.share_milli_step = record.slot.share_milli_step;
  slot.memory_bytes = record.slot.memory_bytes;
  slot.notice_us = record.slot.notice_us;
  slot.reserve_price_microcredits_per_hour = record.reserve_price;
  slot.is_draining = record.is_draining || record.is_withdrawn;
  if (const scheduler::Slot* view = book_.View(id)) {
    slot.is_reachable = book_.IsReachable(*view);
    slot.share_milli_free = view->share_milli_free;
    slot.memory_bytes_free = view->memory_bytes_free;
    slot.price_microcredits_per_hour = view->price_microcredits_per_hour;
  }
  slot.epoch = book_.Epoch(id);
  return slot;
}

messages::AccountT Desk::AccountOf(const std::string& id) const {
  messages::AccountT account;
  account.identity = id;
  if (const auto identity = Identify(id)) {
    account.name = identity->name;
    account.role = Name(identity->role);
    account.is_banned = identity->is_banned;
    account.budget_weight = identity->budget_weight;
    for (const FloorShare& floor : identity->floors) {
      auto one = std::make_unique<messages::FloorT>();
      one->class_name = floor.class_name;
      one->share_ppm = floor.share_ppm;
      account.floors.push_back(std::move(one));
    }
  }
  if (const AccountRecord* record = book_.Account(id)) {
    account.balance_microcredits = record->balance;
    account.held_microcredits = record->held;
    account.bond_microcredits = record->bond;
  }
  return account;
}

void Desk::OnGreet(Job job) {
  const auto& greet = *job.request->body.AsGreet();
  if (greet.version_min > kMarketVersion || greet.version_max < kMarketVersion) {
    return Fail(
        job, Status(Code::kVersionMismatch, kWhere,
                    "this market speaks version " + std::to_string(kMarketVersion) + "; use programs of one version"));
  }
  const auto answer = [this, job] {
    messages::GreetingT greeting;
    greeting.version = kMarketVersion;
    greeting.market = security::HexOf(key_.public_key().bytes);
    if (const auto identity = Identify(job.identity)) {
      greeting.name = identity->name;
      greeting.role = Name(identity->role);
    }
    greeting.time_ms = moment_.now_ms;
    greeting.store = options_.store;
    Answer(job, std::move(greeting));
  };
  if (stage_ != Stage::kLeading || is_fencing_ || IsMute() || !world_.local || !world_.local(job.identity))
    return answer();
  Decision welcome = DecideWelcome(book_, job.identity, options_.welcome_credits);
  if (welcome.writes.empty()) return answer();
  Decided(std::move(job), std::move(welcome), answer);
}

void Desk::OnListSlots(const Job& job) {
  const std::string& prefix = job.request->body.AsListSlots()->prefix;
  messages::SlotsT slots;
  const auto& all = book_.All(Family::kSlot);
  for (auto at = all.lower_bound(prefix); at != all.end() && at->first.starts_with(prefix); ++at) {
    if (slots.slots.size() >= kListedMax) break;
    slots.slots.push_back(std::make_unique<messages::SlotT>(SlotOf(at->first, std::get<SlotRecord>(at->second))));
  }
  slots.revision = static_cast<std::int64_t>(changes_);
  Answer(job, std::move(slots));
}

void Desk::OnQuote(const Job& job) {
  const auto& quote = *job.request->body.AsQuote();
  Result<scheduler::FunctionalRequest> request = scheduler::ParseRequest(quote.request);
  if (!request.ok()) return Fail(job, request.status());
  GrantRequest grant;
  grant.tenant = job.identity;
  grant.request = std::move(*request);
  grant.slots = quote.slots;
  Result<Choice> choice = Choose(book_, grant, workload_, random_());
  if (!choice.ok()) return Fail(job, choice.status());
  messages::QuotationT quotation;
  AddOffers(choice->chosen, quotation);
  AddOffers(choice->others, quotation);
  quotation.rejections = RejectionsOf(choice->rejections);
  quotation.gaps = GapsOf(choice->gaps);
  Answer(job, std::move(quotation));
}

void Desk::OnListPrices(const Job& job) {
  messages::PricesT prices;
  const auto& classes = book_.All(Family::kPrice);
  // Of many classes less of the past, so that it fits into a reply.
  const std::size_t points_max = kPricePointsMax / std::clamp<std::size_t>(classes.size(), 1, kListedMax);
  for (const auto& [name, entry] : classes) {
    if (prices.prices.size() >= kListedMax) break;
    const auto& record = std::get<PriceRecord>(entry);
    auto price = std::make_unique<messages::ClassPriceT>();
    price->class_name = name;
    price->price_microcredits_per_hour = record.price_per_hour;
    const std::size_t points = std::min(points_max, record.history.size());
    for (const PricePoint& point : std::span(record.history).last(points)) {
      auto one = std::make_unique<messages::PricePointT>();
      one->time_ms = point.time_ms;
      one->price_microcredits_per_hour = point.price_per_hour;
      one->utilisation_milli = point.utilisation_milli;
      one->forecast_milli = point.forecast_milli;
      price->history.push_back(std::move(one));
    }
    if (!record.history.empty()) {
      price->utilisation_milli = record.history.back().utilisation_milli;
      price->forecast_milli = record.history.back().forecast_milli;
    }
    prices.prices.push_back(std::move(price));
  }
  Answer(job, std::move(prices));
}

// Everything that a tenant needs to use a lease; the token is signed anew each time.
Result<messages::GrantedT> Desk::GrantedOf(const Told& told) {
  const LeaseRecord* lease = told.lease.get();
  if (lease == nullptr || lease->state != LeaseState::kActive) {
    return Status(Code::kNotFound, kWhere, "the lease has ended meanwhile; ask for a new one");
  }
  messages::GrantedT granted;
  granted.lease = std::make_unique<messages::LeaseT>(LeaseOf(told.id, *lease));
  granted.why = lease->why;
  security::LeaseTerms terms;
  terms.share_milli = lease->share_milli;
  terms.memory_bytes = lease->memory_bytes;
  terms.not_before_ms = lease->not_before_ms;
  terms.not_after_ms = lease->not_after_ms;
  terms.holder_key.bytes = Fixed<security::kKeyBytes>(lease->holder_key);
  if (!lease->next_key.empty()) terms.next_key = security::PublicKey{Fixed<security::kKeyBytes>(lease->next_key)};
  ACCELMESH_ASSIGN_OR_RETURN(
      granted.token,
      security::GrantLease(key_,
                           {told.id,
                            lease->slot,
                            lease->server,
                            lease->epoch,
                            {lease->bought.from, lease->bought.rest_share_milli, lease->bought.rest_memory_bytes}},
                           terms));
  if (const ServerRecord* server = book_.Server(lease->server)) {
    granted.endpoints = server->endpoints;
    granted.server_curve_key = Raw(server->curve_key);
  }
  return granted;
}

void Desk::OnRequest(Job job, Waiting* earlier) {
  if (!Allowed(job, {MarketRole::kTenant, MarketRole::kAdmin, MarketRole::kProvider})) return;
  const auto& ask = *job.request->body.AsRequestLease();
  Result<scheduler::FunctionalRequest> request = scheduler::ParseRequest(ask.request);
  if (!request.ok()) return Fail(job, request.status());
  if (request->count > kGangMax) {
    return Fail(job,
                Status(Code::kUnsupported, kWhere,
                       "at most " + std::to_string(kGangMax) + " slots are granted together; ask for fewer at a time"));
  }
  GrantRequest grant;
  grant.tenant = job.identity;
  grant.operation = security::HexOf(ask.operation_id);
  grant.request = std::move(*request);
  grant.request_text = ask.request;
  grant.slots = ask.slots;
  grant.price_max = ask.price_max_microcredits_per_hour;
  grant.lease_ms = ask.lease_us / 1000;
  grant.holder_key = Raw(ask.holder_key);
  grant.next_key = Raw(ask.next_key);
  Result<GrantOutcome> outcome = DecideGrant(book_, grant, workload_, moment_, random_());
  if (!outcome.ok()) return Fail(job, outcome.status());
  if (outcome->leases.empty()) {
    const Instant until =
        earlier != nullptr ? earlier->until : now_ + std::chrono::microseconds(std::min(ask.wait_us, kWaitUsMax));
    if (until > now_) {
      const auto mine = std::count_if(waiting_.begin(), waiting_.end(),
                                      [&](const Waiting& other) { return other.job.identity == job.identity; });
      if (waiting_.size() >= options_.waiting_max || static_cast<std::size_t>(mine) >= kWaitingPerTenantMax) {
        return Fail(job, Status(Code::kFull, kWhere, "too many requests wait already; ask again later"));
      }
      Waiting waiting;
      waiting.until = until;
      waiting.since_ms = earlier != nullptr ? earlier->since_ms : moment_.now_ms;
      waiting.until_ms =
          earlier != nullptr ? earlier->until_ms : moment_.now_ms + std::min(ask.wait_us, kWaitUsMax) / 1000;
      waiting.rejections = std::move(outcome->rejections);
      waiting.gaps = std::move(outcome->gaps);
      job.until = until + std::chrono::seconds(20);
      waiting.job = std::move(job);
      waiting_.push_back(std::move(waiting));
      return;
    }
    ++counts_.rejections;
    messages::GrantsT none;
    none.rejections = RejectionsOf(outcome->rejections);
    none.gaps = GapsOf(outcome->gaps);
    return Answer(job, std::move(none));
  }
  // What was granted before may still be on its way to the disk: it is read again with the next round.
  if (outcome->is_repeated) {
    for (const std::string& id : outcome->leases) outcome->decision.reads.push_back({Family::kLease, id});
  }
  auto answer = [this, job, leases = ToldOf(outcome->decision, outcome->leases),
                 rejections = std::move(outcome->rejections), is_repeated = outcome->is_repeated] {
    messages::GrantsT grants;
    for (const Told& told : leases) {
      Result<messages::GrantedT> granted = GrantedOf(told);
      if (!granted.ok()) return Fail(job, granted.status());
      if (!is_repeated) {
        ++counts_.grants;
        messages::LeaseGrantedT noted;
        noted.lease = std::make_unique<messages::LeaseT>(*granted->lease);
        const std::string server = noted.lease->server;
        messages::PushBodyUnion body;
        body.Set(std::move(noted));
        Push(server, std::move(body));
      }
      grants.granted.push_back(std::make_unique<messages::GrantedT>(std::move(*granted)));
    }
    grants.rejections = RejectionsOf(rejections);
    if (world_.granted && !is_repeated) world_.granted(now_ - job.asked);
    Answer(job, std::move(grants));
  };
  Decided(std::move(job), std::move(outcome->decision), std::move(answer));
}

// Answers a change of a lease once it is durable; `ended` says why the old one ended, if one did.
void Desk::Changed(Job job, LeaseChange change, const char* ended) {
  const messages::RequestBodyUnion& body = job.request->body;
  std::string old;
  if (const auto* release = body.AsReleaseLease()) old = release->lease;
  if (const auto* revoke = body.AsRevokeLease()) old = revoke->lease;
  if (change.is_repeated) change.decision.reads.push_back({Family::kLease, change.lease});
  const bool is_granted =
      body.type != messages::RequestBody::ReleaseLease && body.type != messages::RequestBody::RevokeLease;
  const auto answer = [this, job, is_granted, told = ToldOf(change.decision, change.lease),
                       over = ToldOf(change.decision, old).lease, paid = change.paid, returned = change.returned,
                       is_repeated = change.is_repeated, old, ended] {
    if (ended != nullptr && !is_repeated) {
      ++counts_.ended;
      if (over != nullptr) PushEnd(*over, old, ended);
    }
    // The holder still has the token for more.
    const bool is_resized = job.request->body.type == messages::RequestBody::ResizeLease && !is_repeated;
    if (is_resized && told.lease != nullptr) PushResized(told.id, *told.lease);
    if (is_granted) {
      Result<messages::GrantedT> granted = GrantedOf(told);
      if (!granted.ok()) return Fail(job, granted.status());
      return Answer(job, std::move(*granted));
    }
    messages::DoneT done;
    if (told.lease != nullptr) done.lease = std::make_unique<messages::LeaseT>(LeaseOf(told.id, *told.lease));
    if (over != nullptr && HasReceipt(*over)) {
      done.receipt = std::make_unique<messages::ReceiptT>(ReceiptOf(old, *over, job.identity));
    }
    done.paid_microcredits = paid;
    done.returned_microcredits = returned;
    Answer(job, std::move(done));
  };
  Decided(std::move(job), std::move(change.decision), answer);
}

void Desk::PushResized(const std::string& id, const LeaseRecord& lease) {
  messages::LeaseShrunkT shrunk;
  shrunk.lease = id;
  shrunk.share_milli = lease.share_milli;
  shrunk.memory_bytes = lease.memory_bytes;
  shrunk.reason = "was made smaller by its holder";
  messages::PushBodyUnion body;
  body.Set(std::move(shrunk));
  Push(lease.server, std::move(body));
}

void Desk::OnRenew(Job job) {
  const auto& ask = *job.request->body.AsRenewLease();
  Result<LeaseChange> change = DecideRenewal(book_,
                                             {job.identity, ask.lease, security::HexOf(ask.operation_id),
                                              ask.lease_us / 1000, ask.price_max_microcredits_per_hour},
                                             moment_);
  if (!change.ok()) return Fail(job, change.status());
  if (!change->is_repeated) ++counts_.renewals;
  Changed(std::move(job), std::move(*change), nullptr);
}

void Desk::OnResize(Job job) {
  const auto& ask = *job.request->body.AsResizeLease();
  Result<LeaseChange> change = DecideResize(book_, job.identity, ask.lease, security::HexOf(ask.operation_id),
                                            ask.share_milli, ask.memory_bytes, moment_);
  if (!change.ok()) return Fail(job, change.status());
  Changed(std::move(job), std::move(*change), nullptr);
}

void Desk::OnRelease(Job job) {
  Result<LeaseChange> change = DecideRelease(book_, job.identity, job.request->body.AsReleaseLease()->lease, moment_);
  if (!change.ok()) return Fail(job, change.status());
  Changed(std::move(job), std::move(*change), "released");
}

// Whoever gets a lease pays for it: so both have to sign.
void Desk::OnTransfer(const Job& job) {
  Fail(job, Status(Code::kUnsupported, kWhere,
                   "a lease is handed on by a deal that both sides have signed; see slotctl deal --help"));
}

void Desk::OnListLeases(const Job& job) {
  const bool all = job.request->body.AsListLeases()->all;
  const std::optional<IdentityRecord> identity = Identify(job.identity);
  const bool is_admin = identity && identity->role == MarketRole::kAdmin;
  messages::LeasesT leases;
  for (const auto& [id, entry] : book_.All(Family::kLease)) {
    const auto& lease = std::get<LeaseRecord>(entry);
    if (lease.tenant != job.identity && lease.server != job.identity && !(all && is_admin)) continue;
    if (leases.leases.size() >= kListedMax) break;
    auto listed = std::make_unique<messages::LeaseT>(LeaseOf(id, lease));
    // Long requests of one tenant must not make the list longer than a message may be.
    if (listed->request.size() > kListedTextMax) listed->request = listed->request.substr(0, kListedTextMax) + "...";
    leases.leases.push_back(std::move(listed));
  }
  Answer(job, std::move(leases));
}

void Desk::OnGetAccount(const Job& job) {
  const std::string& named = job.request->body.AsGetAccount()->identity;
  if (!named.empty() && named != job.identity && !Allowed(job, {MarketRole::kAdmin})) return;
  Answer(job, AccountOf(named.empty() ? job.identity : named));
}

void Desk::OnListRequests(const Job& job) {
  const std::optional<IdentityRecord> identity = Identify(job.identity);
  const bool all = job.request->body.AsListRequests()->all && identity && identity->role == MarketRole::kAdmin;
  messages::RequestsT requests;
  std::size_t gaps = 0;
  for (const Waiting& waiting : waiting_) {
    if (!all && waiting.job.identity != job.identity) continue;
    auto one = std::make_unique<messages::WaitingRequestT>();
    one->tenant = waiting.job.identity;
    if (const auto tenant = Identify(waiting.job.identity)) one->tenant_name = tenant->name;
    one->request = waiting.job.request->body.AsRequestLease()->request;
    one->since_ms = waiting.since_ms;
    one->until_ms = waiting.until_ms;
    // Beyond it the request alone: all of it has to fit into a message.
    for (const SlotRejection& rejection : waiting.rejections) gaps += rejection.gaps.size() + 1;
    if (gaps <= kListedGapsMax) one->rejections = RejectionsOf(waiting.rejections);
    one->gaps = GapsOf(waiting.gaps);
    if (one->request.size() > kListedTextMax) one->request = one->request.substr(0, kListedTextMax) + "...";
    requests.requests.push_back(std::move(one));
    if (requests.requests.size() >= 1000) break;
  }
  Answer(job, std::move(requests));
}

}  // namespace accelmesh::market
