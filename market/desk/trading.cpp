// What tenants sign: asks, bids and deals; and what the market tells of them.
#include <algorithm>

#include "market/client/orders.h"
#include "market/desk/clearing.h"
#include "market/desk/desk.h"
#include "protocol/base/log.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "slot-market";
constexpr std::size_t kBidsPerTenantMax = 64;
constexpr std::int64_t kWaitUsMax = 24LL * 3600 * 1'000'000;
// Reports are read as a whole when a leader takes over.
constexpr std::size_t kReportsKept = 256;
constexpr std::size_t kPrunedAtOnce = 16;
// Of one report, so that it is no larger than a value of the registry; more trades are in several.
constexpr std::size_t kTradesPerReport = 200;
constexpr std::size_t kClassesPerReport = 200;
constexpr std::size_t kTradesListedMax = 2000;

std::string Raw(const std::vector<std::uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

Status TooHigh() {
  return {Code::kInvalidArgument, kWhere, "a price of more than a million credits an hour; ask for less"};
}

std::string ReportId(std::uint64_t number) {
  std::string digits = std::to_string(number);
  return std::string(20 - std::min<std::size_t>(20, digits.size()), '0') + digits;
}

// Old ones go, a few at a time: a transaction has so many keys.
void PutReport(const Book& book, Edit& edit, const std::string& id, ReportRecord report) {
  const auto& all = book.All(Family::kReport);
  std::size_t over = all.size() >= kReportsKept ? all.size() + 1 - kReportsKept : 0;
  over = std::min(over, kPrunedAtOnce);
  for (auto at = all.begin(); over > 0 && at != all.end(); ++at, --over) edit.Delete(Family::kReport, at->first);
  edit.Put(Family::kReport, id, std::move(report));
}

}  // namespace

// Orders ----------------------------------------------------------------------------------------------------------

void Desk::OnPlaceOrder(Job job) {
  if (!Allowed(job, {MarketRole::kTenant, MarketRole::kAdmin, MarketRole::kProvider})) return;
  Result<messages::OrderT> order = ReadOrder(*job.request->body.AsPlaceOrder());
  if (!order.ok()) {
    ++counts_.refused;
    return Fail(job, order.status());
  }
  const bool is_counterparty =
      order->kind == messages::OrderKind::Deal && order->counterparty == job.identity && order->owner != job.identity;
  if (order->market != security::HexOf(key_.public_key().bytes)) {
    return Fail(job, Status(Code::kInvalidArgument, kWhere, "the order is for another market; sign one for this"));
  }
  if (order->owner != job.identity && !is_counterparty) {
    ++counts_.refused;
    return Fail(job, Status(Code::kPermissionDenied, kWhere, "the order is somebody else's; its owner brings it"));
  }
  const auto shared = std::make_shared<const messages::OrderT>(std::move(*order));
  switch (shared->kind) {
    case messages::OrderKind::Ask:
    case messages::OrderKind::Withdrawal: return OnAsk(std::move(job), *shared);
    case messages::OrderKind::Bid: return OnBid(std::move(job), shared);
    case messages::OrderKind::Deal: return OnDeal(std::move(job), *shared);
  }
  Fail(job, Status(Code::kUnsupported, kWhere, "this market does not know that kind of order"));
}

void Desk::OnAsk(Job job, const messages::OrderT& order) {
  if (order.valid_until_ms <= moment_.now_ms) {
    return Fail(job, Status(Code::kInvalidArgument, kWhere, "the order has expired; sign a new one"));
  }
  if (order.price_microcredits_per_hour > auction::kPriceMicrocreditsMax) return Fail(job, TooHigh());
  // Whoever checks the epoch reads what was signed.
  const LeaseRecord* found = book_.Lease(order.lease);
  const SlotRecord* slot = found != nullptr ? book_.Slot(found->slot) : nullptr;
  if (!order.class_name.empty() && slot != nullptr && order.class_name != slot->class_name()) {
    return Fail(job, Status(Code::kInvalidArgument, kWhere,
                            "the lease is of class " + slot->class_name() + "; name that one, or none"));
  }
  Result<LeaseChange> change = [&]() -> Result<LeaseChange> {
    if (order.kind == messages::OrderKind::Withdrawal) {
      return DecideWithdrawal(book_, order.owner, order.lease, order.number, moment_);
    }
    const auto& placed = *job.request->body.AsPlaceOrder();
    return DecideAsk(
        book_,
        {order.owner, order.lease, order.number, order.price_microcredits_per_hour, order.share_milli,
         order.memory_bytes, order.notice_us / 1000, order.valid_until_ms, Raw(placed.order), Raw(placed.signature)},
        moment_);
  }();
  if (!change.ok()) return Fail(job, change.status());
  if (change->is_repeated) change->decision.reads.push_back({Family::kLease, order.lease});
  const auto answer = [this, job, told = ToldOf(change->decision, order.lease)] {
    Promise(job, *job.request->body.AsPlaceOrder(), [this, job, told] {
      messages::DoneT done;
      if (told.lease != nullptr) done.lease = std::make_unique<messages::LeaseT>(LeaseOf(told.id, *told.lease));
      Answer(job, std::move(done));
    });
  };
  Decided(std::move(job), std::move(change->decision), answer);
}

// The leases that an operation of a buyer's came to, if it did.
std::vector<std::string> Desk::BoughtBy(const std::string& buyer, const std::string& operation) const {
  std::vector<std::string> ids;
  for (std::size_t i = 0;; ++i) {
    std::string id = LeaseIdOf(buyer, operation, i);
    const LeaseRecord* lease = book_.Lease(id);
    if (lease == nullptr || lease->tenant != buyer) return ids;
    ids.push_back(std::move(id));
  }
}

// Of what was bought before: its tokens, as soon as all of it has begun; servers hear of that where they have not.
void Desk::AnswerBought(Job job, const std::vector<std::string>& ids, bool tells_servers) {
  for (const std::string& id : ids) {
    if (book_.Lease(id)->state != LeaseState::kPending) continue;
    if (begins_.size() >= options_.waiting_max) {
      return Fail(job, Status(Code::kFull, kWhere, "too many requests wait already; ask again later"));
    }
    begins_.emplace_back(std::move(job), ids);
    return;
  }
  Decision decision;
  for (const std::string& id : ids) decision.reads.push_back({Family::kLease, id});
  const auto answer = [this, job, leases = ToldOf(decision, ids), tells_servers] {
    for (const Told& told : leases) {
      if (tells_servers) TellOfTrade(told);
    }
    AnswerGrants(job, leases);
  };
  Decided(std::move(job), std::move(decision), answer);
}

void Desk::AnswerGrants(const Job& job, const std::vector<Told>& leases) {
  messages::GrantsT grants;
  for (const Told& told : leases) {
    Result<messages::GrantedT> granted = GrantedOf(told);
    if (!granted.ok()) return Fail(job, granted.status());
    grants.granted.push_back(std::make_unique<messages::GrantedT>(std::move(*granted)));
  }
  Answer(job, std::move(grants));
}

// Tells the slot's server of a lease that was bought, and what that means for its seller's.
void Desk::TellOfTrade(const Told& told) {
  const LeaseRecord* lease = told.lease.get();
  if (lease == nullptr || lease->state != LeaseState::kActive) return;
  messages::PushBodyUnion body;
  const LeaseRecord* seller = told.seller.get();
  if (seller != nullptr && seller->state != LeaseState::kActive) PushEnd(*seller, lease->bought.from, "sold");
  if (seller != nullptr && seller->state == LeaseState::kActive) {
    messages::LeaseShrunkT shrunk;
    shrunk.lease = lease->bought.from;
    shrunk.share_milli = seller->share_milli;
    shrunk.memory_bytes = seller->memory_bytes;
    shrunk.reason = "sold " + std::to_string(lease->share_milli) + " thousandths";
    body.Set(std::move(shrunk));
    Push(lease->server, std::move(body));
  }
  messages::LeaseGrantedT noted;
  noted.lease = std::make_unique<messages::LeaseT>(LeaseOf(told.id, *lease));
  body.Set(std::move(noted));
  Push(lease->server, std::move(body));
}

void Desk::OnDeal(Job job, const messages::OrderT& order) {
  const bool is_buyer = order.counterparty == job.identity;
  const std::string operation = security::HexOf(order.operation_id);
  const std::vector<std::string> before = BoughtBy(order.counterparty, operation);
  if (!before.empty()) {
    if (is_buyer) return AnswerBought(std::move(job), before);
    Decision decision;
    decision.reads.push_back({Family::kLease, before.front()});
    const auto answer = [this, job, told = ToldOf(decision, before.front())] { AnswerDone(job, told); };
    return Decided(std::move(job), std::move(decision), answer);
  }
  if (order.valid_until_ms <= moment_.now_ms) {
    return Fail(job, Status(Code::kInvalidArgument, kWhere, "the order has expired; sign a new one"));
  }
  // By then the lease that it comes to may be forgotten, and nobody would know that it counted already.
  if (order.valid_until_ms > moment_.now_ms + kEndedKeptMs) {
    return Fail(job, Status(Code::kInvalidArgument, kWhere,
                            "a deal is valid for at most 15 minutes, within which it counts once; sign one that is"));
  }
  if (!Identify(order.counterparty) || !Identify(order.owner)) {
    return Fail(job, Status(Code::kNotFound, kWhere,
                            "nobody knows one of the two; an admin lets him in with: slotctl keys trust"));
  }
  const LeaseRecord* found = book_.Lease(order.lease);
  if (found == nullptr || found->tenant != order.owner) {
    return Fail(job, Status(Code::kPermissionDenied, kWhere, "the lease is not the seller's; its holder sells it"));
  }
  TradeTerms terms;
  terms.buyer = order.counterparty;
  terms.operation = operation;
  terms.lease = order.lease;
  terms.share_milli = order.share_milli;
  EpochPlan::Source all{"", "", found->share_milli, found->memory_bytes, 0};
  terms.memory_bytes = order.memory_bytes != 0 ? order.memory_bytes : MemoryOf(all, order.share_milli);
  terms.price_seller = terms.price_buyer = order.price_microcredits_per_hour;
  terms.budget = order.budget_microcredits;
  terms.notice_ms = std::min(order.notice_us / 1000, kNoticeMsMax);
  terms.holder_key = Raw(order.holder_key);
  terms.next_key = Raw(order.next_key);
  terms.why = "sold by its holder";
  Edit edit(book_);
  const Result<TradeOutcome> outcome = Trade(book_, edit, terms, moment_);
  if (!outcome.ok()) return Fail(job, outcome.status());
  ReportRecord report;
  report.number = ++epoch_number_;
  report.time_ms = moment_.now_ms;
  report.trades.push_back(TradeOf(terms, *outcome, edit, "direct"));
  PutReport(book_, edit, ReportId(report.number), std::move(report));
  Decision decision = edit.Finish();
  const auto answer = [this, job, told = ToldOf(decision, outcome->lease), is_buyer] {
    ++counts_.trades;
    TellOfTrade(told);
    if (!is_buyer) return AnswerDone(job, told);
    if (told.lease->state == LeaseState::kPending) {
      begins_.emplace_back(job, std::vector<std::string>{told.id});
    } else {
      AnswerGrants(job, {told});
    }
  };
  Decided(std::move(job), std::move(decision), answer);
}

void Desk::AnswerDone(const Job& job, const Told& told) {
  messages::DoneT done;
  if (told.lease != nullptr) {
    done.lease = std::make_unique<messages::LeaseT>(LeaseOf(told.id, *told.lease));
    // The buyer's business.
    done.lease->held_microcredits = 0;
  }
  Answer(job, std::move(done));
}

// Precondition: the trade is in `edit`.
TradeRecord Desk::TradeOf(const TradeTerms& terms, const TradeOutcome& outcome, Edit& edit,
                          std::string_view lane) const {
  const LeaseRecord& lease = edit.Lease(outcome.lease);
  TradeRecord trade;
  if (const SlotRecord* slot = book_.Slot(lease.slot)) trade.class_name = slot->class_name();
  trade.slot = lease.slot;
  trade.from = terms.lease;
  trade.lease = outcome.lease;
  const LeaseRecord* seller = book_.Lease(terms.lease);
  trade.seller = seller != nullptr ? seller->tenant : lease.server;
  trade.buyer = terms.buyer;
  trade.lane = lane;
  trade.share_milli = lease.share_milli;
  trade.price_buyer = terms.price_buyer;
  trade.price_seller = terms.price_seller;
  trade.paid = outcome.paid;
  trade.begins_ms = outcome.begins_ms;
  return trade;
}

void Desk::OnBid(Job job, const std::shared_ptr<const messages::OrderT>& order) {
  const std::vector<std::string> before = BoughtBy(order->owner, security::HexOf(order->operation_id));
  if (!before.empty()) return AnswerBought(std::move(job), before);
  if (order->valid_until_ms <= moment_.now_ms) {
    return Fail(job, Status(Code::kInvalidArgument, kWhere, "the order has expired; sign a new one"));
  }
  if (order->lease_us > kLeaseLifeMsMax * 1000) {
    return Fail(job,
                Status(Code::kInvalidArgument, kWhere, "a lease lasts at most 15 minutes; ask for less and renew it"));
  }
  if (order->price_microcredits_per_hour > auction::kPriceMicrocreditsMax) return Fail(job, TooHigh());
  if (order->notice_us / 1000 > auction::kNoticeMsMax) {
    return Fail(job,
                Status(Code::kInvalidArgument, kWhere, "nobody is given notice of more than 30 days; bid for less"));
  }
  // The auction counts units of a class, whichever devices they are of; a member of a gang is one device.
  for (const auto& bundle : order->bundles) {
    for (const auto& part : bundle->parts) {
      if (part->share_milli == scheduler::kWholeMilli) continue;
      return Fail(job, Status(Code::kUnsupported, kWhere,
                              "a gang is of whole devices; for parts of devices bid for each by itself"));
    }
  }
  const std::int64_t wait_us = std::min(job.request->body.AsPlaceOrder()->wait_us, kWaitUsMax);
  std::size_t mine = 0;
  for (auto bid = bids_.begin(); bid != bids_.end(); ++bid) {
    if (bid->job.identity != job.identity) continue;
    ++mine;
    if (bid->order->operation_id != order->operation_id) continue;
    // Asked again, perhaps by another connection, which has the answer then.
    // One that was there before this leader has waited for him so far.
    if (bid->job.peer.empty()) bid->until = std::max(bid->until, job.asked + std::chrono::microseconds(wait_us));
    bid->job.peer = job.peer;
    bid->job.number = job.number;
    // What it was taken as.
    return Promise(job, *bid->job.request->body.AsPlaceOrder(), nullptr);
  }
  if (bids_.size() >= options_.bids_max || mine >= kBidsPerTenantMax) {
    return Fail(job, Status(Code::kFull, kWhere, "too many bids stand already; bid again later"));
  }
  Promise(job, *job.request->body.AsPlaceOrder(), nullptr);
  StandingBid bid;
  bid.until = job.asked + std::chrono::microseconds(wait_us);
  bid.until_ms = moment_.now_ms + wait_us / 1000;
  bid.order = order;
  job.until = bid.until + std::chrono::seconds(20);
  bid.job = std::move(job);
  bids_.push_back(std::move(bid));
}

// What the market tells ---------------------------------------------------------------------------------------------

void Desk::OnListAsks(const Job& job) {
  const std::string& wanted = job.request->body.AsListAsks()->class_name;
  messages::AsksT all;
  const auto add = [&](const std::string& slot, const std::string& lease, const std::string& owner) {
    const SlotRecord* record = book_.Slot(slot);
    auto ask = std::make_unique<messages::StandingAskT>();
    ask->class_name = record != nullptr ? record->class_name() : "";
    if (!wanted.empty() && ask->class_name != wanted) ask = nullptr;
    if (ask == nullptr || all.asks.size() >= kListedMax) return static_cast<messages::StandingAskT*>(nullptr);
    ask->slot = slot;
    ask->lease = lease;
    ask->owner = owner;
    if (const auto identity = Identify(owner)) ask->owner_name = identity->name;
    all.asks.push_back(std::move(ask));
    return all.asks.back().get();
  };
  for (const scheduler::Slot& slot : book_.slots()) {
    if (slot.is_draining || slot.share_milli_free == 0) continue;
    messages::StandingAskT* ask = add(slot.id, "", slot.server);
    if (ask == nullptr) continue;
    ask->share_milli = slot.share_milli_free;
    ask->memory_bytes = slot.memory_bytes_free;
    ask->price_microcredits_per_hour = book_.Slot(slot.id)->reserve_price;
  }
  for (const std::string& id : book_.Asked()) {
    const LeaseRecord* lease = book_.Lease(id);
    const Supply supply = SupplyOf(*lease, moment_);
    if (supply.share_milli == 0) continue;
    messages::StandingAskT* ask = add(lease->slot, id, lease->tenant);
    if (ask == nullptr) continue;
    ask->share_milli = supply.share_milli;
    ask->memory_bytes = supply.memory_bytes;
    ask->price_microcredits_per_hour = lease->ask.price_per_hour;
    ask->notice_us = supply.is_all ? lease->ask.notice_ms * 1000 : 0;
    ask->until_ms = lease->not_after_ms;
  }
  for (const StandingBid& bid : bids_) {
    if (all.bids.size() >= kListedMax) break;
    if (!wanted.empty() && bid.order->class_name != wanted) continue;
    auto one = std::make_unique<messages::StandingBidT>();
    one->class_name = bid.order->class_name;
    one->share_milli = bid.order->share_milli;
    one->memory_bytes = bid.order->memory_bytes;
    one->until_ms = bid.until_ms;
    all.bids.push_back(std::move(one));
  }
  Answer(job, std::move(all));
}

void Desk::OnListEpochs(const Job& job) {
  const auto& ask = *job.request->body.AsListEpochs();
  const std::size_t most = ask.most != 0 ? std::min<std::size_t>(ask.most, kReportsKept) : kReportsKept;
  messages::EpochsT epochs;
  std::size_t trades = 0;
  const auto& all = book_.All(Family::kReport);
  for (auto at = all.rbegin(); at != all.rend() && epochs.epochs.size() < most && trades < kTradesListedMax; ++at) {
    const auto& report = std::get<ReportRecord>(at->second);
    auto epoch = std::make_unique<messages::EpochT>();
    epoch->number = report.number;
    epoch->time_ms = report.time_ms;
    epoch->unserved = report.unserved;
    for (const TradeRecord& trade : report.trades) {
      if (!ask.lease.empty() && trade.from != ask.lease && trade.lease != ask.lease) continue;
      if (!ask.identity.empty() && trade.seller != ask.identity && trade.buyer != ask.identity) continue;
      if (++trades > kTradesListedMax) break;
      auto one = std::make_unique<messages::TradeT>();
      one->class_name = trade.class_name;
      one->slot = trade.slot;
      one->from = trade.from;
      one->lease = trade.lease;
      one->seller = trade.seller;
      one->buyer = trade.buyer;
      if (const auto seller = Identify(trade.seller)) one->seller_name = seller->name;
      if (const auto buyer = Identify(trade.buyer)) one->buyer_name = buyer->name;
      one->lane = trade.lane;
      one->share_milli = trade.share_milli;
      one->price_buyer_microcredits_per_hour = trade.price_buyer;
      one->price_seller_microcredits_per_hour = trade.price_seller;
      one->paid_microcredits = trade.paid;
      one->begins_ms = trade.begins_ms;
      epoch->trades.push_back(std::move(one));
    }
    if (epoch->trades.empty() && (!ask.lease.empty() || !ask.identity.empty())) continue;
    for (const ClassReport& report_of : report.classes) {
      auto one = std::make_unique<messages::ClassEpochT>();
      one->class_name = report_of.class_name;
      one->lane = report_of.lane;
      one->why = report_of.why;
      one->reserve_microcredits_per_hour = report_of.reserve;
      one->price_microcredits_per_hour = report_of.price;
      one->bids = report_of.bids;
      one->asks = report_of.asks;
      one->trades = report_of.trades;
      epoch->classes.push_back(std::move(one));
    }
    epochs.epochs.push_back(std::move(epoch));
  }
  Answer(job, std::move(epochs));
}

// Reports -----------------------------------------------------------------------------------------------------------

void Desk::WriteReport(ReportRecord report) {
  if (report.classes.size() > kClassesPerReport) report.classes.resize(kClassesPerReport);
  std::vector<TradeRecord> trades = std::move(report.trades);
  std::string id = ReportId(report.number);
  for (std::size_t begin = 0; begin == 0 || begin < trades.size(); begin += kTradesPerReport) {
    const std::size_t end = std::min(begin + kTradesPerReport, trades.size());
    report.trades.assign(std::make_move_iterator(trades.begin() + static_cast<std::ptrdiff_t>(begin)),
                         std::make_move_iterator(trades.begin() + static_cast<std::ptrdiff_t>(end)));
    Edit edit(book_);
    PutReport(book_, edit, id, report);
    Inside([&](Job job) { Decided(std::move(job), edit.Finish(), nullptr); });
    // Behind it, and before the next number's.
    id += '+';
    report.classes.clear();
  }
}

}  // namespace accelmesh::market
