// Epochs: every quarter of a second the standing bids meet the asks, and what the auction says is written down: a
// decision for each bid that was served, then the report of those that are durable.
#include <algorithm>
#include <cstring>
#include <utility>

#include "market/auction/close.h"
#include "market/auction/why.h"
#include "market/core/accounts.h"
#include "market/desk/clearing.h"
#include "market/desk/desk.h"
#include "market/desk/epoch_log.h"
#include "protocol/base/log.h"
#include "scheduler/core/quantity.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "slot-market";
constexpr std::string_view kBeacon = "accelmesh epoch beacon 1 ";

// A report is one record, and read as a whole when a leader takes over.
constexpr std::size_t kTradesReported = 128;

std::string Raw(const std::vector<std::uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }
// How a decision changes accounts.
std::vector<ledger::Posting> PostingsOf(const Book& book, const Decision& decision) {
  std::vector<ledger::Posting> postings;
  for (const Write& write : decision.writes) {
    const auto* account = std::get_if<AccountRecord>(&write.record);
    if (account == nullptr) continue;
    const AccountRecord* const known = book.Account(write.key.id);
    const AccountRecord before = known != nullptr ? *known : AccountRecord();
    ledger::Posting posting{
        {}, account->balance - before.balance, account->held - before.held, account->bond - before.bond};
    if (!security::ParseHex(write.key.id, posting.account.bytes).ok()) continue;
    if (posting.balance != 0 || posting.held != 0 || posting.bond != 0) postings.push_back(posting);
  }
  std::sort(postings.begin(), postings.end(),
            [](const auto& one, const auto& other) { return one.account.bytes < other.account.bytes; });
  return postings;
}

std::string ShareText(std::int64_t units_milli) { return std::to_string(units_milli) + " thousandths"; }

}  // namespace

// Nobody but the market can know it before, and the market cannot choose it: its signature of the number.
std::uint64_t Desk::SeedOf(std::uint64_t number) {
  if (number == seed_.first) return seed_.second;
  const std::string text = std::string(kBeacon) + std::to_string(number);
  const security::Signature signature = key_.Sign(AsBytes(text));
  std::uint64_t seed = 0;
  std::memcpy(&seed, signature.data(), sizeof(seed));
  seed_ = {number, seed};
  return seed;
}

// Once, and not four times a second.
void Desk::NoteLedger(const std::string& what, const Status& status) {
  const std::string trouble = what + ": " + status.ToString();
  if (std::exchange(epoch_trouble_, trouble) != trouble) log::Error(kWhere, trouble);
}

// Whether an epoch of the book as it is has served nobody of those whose turn it is.
bool Desk::IsFruitless(const EpochPlanner& planner) {
  constexpr std::size_t kTurnsKept = 4096;
  if (fruitless_changes_ != changes_ || fruitless_.size() > kTurnsKept) fruitless_.clear();
  fruitless_changes_ = changes_;
  return !fruitless_.empty() && fruitless_.contains(planner.turn());
}

void Desk::RunEpoch() {
  if (!bids_.empty() && next_epoch_ != Instant{} && now_ > next_epoch_ + options_.epoch / 5) ++counts_.epochs_late;
  const std::int64_t epoch_ms = std::chrono::duration_cast<std::chrono::milliseconds>(options_.epoch).count();
  next_epoch_ =
      now_ + std::chrono::milliseconds(auction::OpenMs(SeedOf(epoch_number_ + 1), epoch_number_ + 1, epoch_ms));
  // Nobody is cleared before he has his promise.
  if (!taken_.empty()) FlushPromises();
  for (auto bid = bids_.begin(); bid != bids_.end();) {
    bid = bid->until <= now_ && bid->epochs > 0 ? EndBid(bid) : std::next(bid);
  }
  if (bids_.empty() || is_full_ || decided_.size() >= options_.jobs_max) return;
  std::vector<SealedBid> sealed;
  std::vector<Bids::iterator> places;
  for (auto bid = bids_.begin(); bid != bids_.end(); ++bid) {
    sealed.push_back({bid->job.identity, bid->order.get(), bid->job.request->body.AsPlaceOrder()});
    places.push_back(bid);
    ++bid->epochs;
  }
  // A seal that was reported as failed may be in the log all the same.
  if (options_.epoch_log != nullptr) epoch_number_ = std::max(epoch_number_, options_.epoch_log->last_number());
  const std::uint64_t number = epoch_number_ + 1;
  EpochPlanner planner(book_, sealed, unused_, number, moment_);
  std::vector<LeftOutBid> left_out;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::optional<ledger::LeftOut> why = planner.left_out()[i];
    if (!why) continue;
    places[i]->why = ledger::Name(*why);
    left_out.push_back({{Raw(sealed[i].placed->order), Raw(sealed[i].placed->signature)}, *why});
  }
  // Those that were taken since the last epoch are told in the ledger why they are left out; once.
  const bool has_news = options_.epoch_log != nullptr && options_.epoch_log->due_anew() > 0;
  if (!has_news && (left_out.size() == places.size() || IsFruitless(planner))) {
    // Others' turn may come with the next number.
    ++epoch_number_;
    return;
  }
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (!planner.left_out()[i]) places[i]->why.clear();
  }
  const auto fail = [&](const char* what, const Status& status) {
    NoteLedger(std::string("an epoch could not be ") + what, status);
    for (const auto& place : places) place->why = std::string("the epoch could not be ") + what;
  };
  SealedOrders orders;
  if (options_.epoch_log != nullptr) {
    Result<SealedOrders> written = options_.epoch_log->Seal(number, moment_.now_ms, planner.orders(), left_out);
    if (!written.ok()) return fail("sealed", written.status());
    orders = std::move(*written);
  } else {
    orders = {RanksOf(planner.orders()), planner.orders().size(), SeedOf(number)};
  }
  ++epoch_number_;
  const EpochPlan plan = planner.Finish(orders.ranks, orders.count, orders.seed);
  Result<auction::EpochOutcome> outcome = clearing_.Clear(plan.input);
  if (!outcome.ok()) return fail("cleared", outcome.status());
  ++counts_.epochs;
  if (options_.epoch_log != nullptr) {
    const MoneySums& sums = book_.sums();
    const Status recorded = options_.epoch_log->Record(plan, *outcome, moment_.now_ms, sums.all(), sums.deposited);
    // Nothing of it has happened yet.
    if (!recorded.ok()) return fail("recorded", recorded);
  }
  if (!std::exchange(epoch_trouble_, "").empty()) log::Warning(kWhere, "the ledger can be written again");
  if (outcome->trades.empty()) fruitless_.insert(planner.turn());
  NoteUnserved(plan, *outcome, places);
  ApplyOutcome(plan, *outcome, places);
}

void Desk::NoteUnserved(const EpochPlan& plan, const auction::EpochOutcome& outcome,
                        const std::vector<Bids::iterator>& places) {
  for (const auction::UnservedBid& unserved : outcome.unserved) {
    StandingBid& bid = *places[plan.bids.at(unserved.bid)];
    bid.why = Name(unserved.why);
    bid.price_to_win = unserved.price_to_win_microcredits;
  }
  for (const auction::UnservedGang& unserved : outcome.unserved_gangs) {
    StandingBid& bid = *places[plan.bids.at(unserved.gang)];
    bid.why = Name(unserved.why);
    bid.price_to_win = unserved.value_to_win_microcredits;
  }
}

void Desk::ApplyOutcome(const EpochPlan& plan, const auction::EpochOutcome& outcome,
                        const std::vector<Bids::iterator>& places) {
  std::map<auction::OrderId, std::vector<const auction::Trade*>> by_bid;
  for (const auction::Trade& trade : outcome.trades) by_bid[trade.bid].push_back(&trade);
  if (by_bid.empty()) return;
  const auto run = std::make_shared<EpochRun>();
  run->report.number = run->settlement.number = plan.input.number;
  run->report.time_ms = moment_.now_ms;
  run->report.unserved = static_cast<std::uint32_t>(outcome.unserved.size() + outcome.unserved_gangs.size());
  run->report.classes = ClassReports(plan, outcome);
  for (const auto& [id, trades] : by_bid) {
    const auto place = places[plan.bids.at(id)];
    std::int64_t surcharge = 0;
    for (const auction::GangAward& award : outcome.gangs) {
      if (award.gang == id) surcharge = award.surcharge_nanocredits / auction::kNanoPerMicro;
    }
    if (const Status served = Serve(plan, outcome, trades, *place, surcharge, run); !served.ok()) {
      place->why = served.text();
      // Whoever cannot take what he wins would win it again, and others would not.
      if (served.code() == Code::kLimitExceeded || served.code() == Code::kPermissionDenied) EndBid(place);
      continue;
    }
    ++run->open;
    bids_.erase(place);
  }
  if (run->open != 0) runs_.push_back(run);
}

// One bid's trades as one decision. What cannot be done leaves the bid standing.
Status Desk::Serve(const EpochPlan& plan, const auction::EpochOutcome& outcome,
                   std::vector<const auction::Trade*> trades, StandingBid& bid, std::int64_t surcharge,
                   const std::shared_ptr<EpochRun>& run) {
  const messages::OrderT& order = *bid.order;
  std::erase_if(trades, [](const auction::Trade* trade) { return trade->lane == auction::Lane::kNetted; });
  if (trades.empty()) {
    return Status(Code::kInvalidArgument, kWhere,
                  "its owner sells that himself; withdraw the ask, or use what it sells");
  }
  if (order.bundles.empty() && !order.is_divisible && trades.size() > 1) {
    return Status(Code::kNotFound, kWhere, "only parts of several slots would do together");
  }
  const auto is_whole = [](const auction::Trade* trade) {
    return trade->units_milli == static_cast<std::int64_t>(scheduler::kWholeMilli);
  };
  if (!order.bundles.empty() && !std::all_of(trades.begin(), trades.end(), is_whole)) {
    return Status(Code::kNotFound, kWhere, "only parts of devices would do together, and a gang is of whole ones");
  }
  Edit edit(book_);
  std::vector<TradeRecord> made;
  std::vector<std::string> leases;
  ledger::SettledBid settled;
  settled.bid = static_cast<std::uint32_t>(trades.front()->bid);
  for (const auction::Trade* trade : trades) {
    const EpochPlan::Source& source = plan.asks.at(trade->ask);
    TradeTerms terms;
    terms.buyer = order.owner;
    terms.operation = security::HexOf(order.operation_id);
    terms.lease = source.lease;
    terms.slot = source.slot;
    terms.share_milli = static_cast<std::uint32_t>(trade->units_milli);
    terms.memory_bytes = MemoryOf(source, trade->units_milli);
    // Idle memory stays for others.
    if (source.lease.empty() && order.bundles.empty() && order.memory_bytes != 0) {
      terms.memory_bytes = std::min(terms.memory_bytes, order.memory_bytes);
    }
    terms.price_seller = trade->price_seller_microcredits;
    terms.price_buyer = trade->price_buyer_microcredits;
    terms.budget = order.budget_microcredits;
    terms.notice_ms = source.notice_ms;
    terms.lease_ms = order.lease_us / 1000;
    terms.holder_key.assign(order.holder_key.begin(), order.holder_key.end());
    terms.next_key.assign(order.next_key.begin(), order.next_key.end());
    terms.why = ShareText(trade->units_milli) + " by epoch " + std::to_string(plan.input.number) + ", " +
                std::string(Name(trade->lane)) + ", at " + scheduler::CreditsText(terms.price_buyer) +
                " credits an hour of a whole device" + (source.lease.empty() ? "" : ", sold by the holder of a lease");
    terms.index = leases.size();
    ACCELMESH_ASSIGN_OR_RETURN(const TradeOutcome traded, Trade(book_, edit, terms, moment_));
    made.push_back(TradeOf(terms, traded, edit, Name(trade->lane)));
    leases.push_back(traded.lease);
    const std::int64_t ms = edit.Lease(traded.lease).not_after_ms - traded.begins_ms;
    settled.trades.push_back({static_cast<std::uint32_t>(trade - outcome.trades.data()), trade->units_milli, ms,
                              traded.paid, traded.paid - CostOf(ShareOf(terms.price_seller, terms.share_milli), ms),
                              traded.begins_ms > moment_.now_ms});
  }
  if (surcharge > 0) {
    // Over the reserves, for as long as its leases are.
    const std::int64_t ms = edit.Lease(leases.front()).not_after_ms - moment_.now_ms;
    const std::int64_t amount = CostOf(surcharge, ms);
    AccountRecord& buyer = edit.Account(order.owner);
    if (amount > buyer.balance) return Status(Code::kLimitExceeded, kWhere, "the account has too little for the gang");
    buyer.balance -= amount;
    edit.Account(kPoolAccount).balance += amount;
    settled.surcharge = amount;
    settled.surcharge_ms = ms;
  }
  Decision decision = edit.Finish();
  settled.postings = PostingsOf(book_, decision);
  const auto answer = [this, job = bid.job, bought = ToldOf(decision, leases), leases, made, settled, run] {
    ++counts_.grants;
    run->settlement.bids.push_back(settled);
    counts_.trades += made.size();
    for (const Told& told : bought) TellOfTrade(told);
    // Of many the first ones: all of them are in the ledger.
    const std::size_t room = kTradesReported - std::min(kTradesReported, run->report.trades.size());
    run->report.trades.insert(run->report.trades.end(), made.begin(),
                              made.begin() + static_cast<std::ptrdiff_t>(std::min(room, made.size())));
    if (--run->open == 0) {
      runs_.remove(run);
      Settle(*run);
      WriteReport(run->report);
    }
    if (world_.granted) world_.granted(now_ - job.asked);
    const auto is_pending = [](const Told& told) { return told.lease->state == LeaseState::kPending; };
    if (std::any_of(bought.begin(), bought.end(), is_pending)) {
      begins_.emplace_back(job, leases);
    } else {
      AnswerGrants(job, bought);
    }
  };
  Decided(bid.job, std::move(decision), answer);
  return {};
}

// What is durable of it is written down, for whoever clears the epoch again.
void Desk::Settle(EpochRun& run) {
  if (options_.epoch_log == nullptr || run.settlement.bids.empty()) return;
  std::sort(run.settlement.bids.begin(), run.settlement.bids.end(),
            [](const ledger::SettledBid& one, const ledger::SettledBid& other) { return one.bid < other.bid; });
  const Status written = options_.epoch_log->Settle(std::move(run.settlement));
  run.settlement.bids.clear();
  if (!written.ok()) NoteLedger("what an epoch's trades cost is not written down", written);
}

std::vector<ClassReport> Desk::ClassReports(const EpochPlan& plan, const auction::EpochOutcome& outcome) {
  std::vector<ClassReport> reports;
  for (const auction::ClassOutcome& one : outcome.classes) {
    ClassReport report;
    report.class_name = plan.classes.at(one.id);
    report.lane = Name(one.lane_b);
    for (const auction::ClassInput& input : plan.input.classes) {
      if (input.id == one.id) report.reserve = input.surrogate_microcredits;
    }
    report.price = std::max<std::int64_t>(one.price_microcredits, 0);
    for (const auction::Bid& bid : plan.input.bids) report.bids += bid.slot_class == one.id ? 1U : 0U;
    for (const auction::Ask& ask : plan.input.asks) report.asks += ask.slot_class == one.id ? 1U : 0U;
    for (const auction::Trade& trade : outcome.trades) {
      report.trades += trade.slot_class == one.id && trade.lane != auction::Lane::kNetted ? 1U : 0U;
    }
    report.why = std::to_string(one.eligible_trades) + " trades to be had, an auction takes " +
                 std::to_string(plan.input.rules.eligible_trades_min) +
                 (one.trades_given_up == 0 ? "" : "; " + std::to_string(one.trades_given_up) + " given up");
    if (report.bids + report.asks + report.trades != 0) reports.push_back(std::move(report));
  }
  return reports;
}

// Nobody sold in time: what stood in the way, and the price that would have won.
Desk::Bids::iterator Desk::EndBid(Bids::iterator bid) {
  ++counts_.rejections;
  messages::GrantsT none;
  auto gap = std::make_unique<messages::GapT>();
  gap->dimension = "price";
  gap->text = "no trade: " + (bid->why.empty() ? "no epoch has closed yet" : bid->why);
  gap->remedy = bid->price_to_win >= 0 ? "bid " + scheduler::CreditsText(bid->price_to_win) + " credits an hour or more"
                                       : "wait longer, or ask for something else";
  none.gaps.push_back(std::move(gap));
  Answer(bid->job, std::move(none));
  return bids_.erase(bid);
}

void Desk::OnPriceToWin(const Job& job) {
  const auto& ask = *job.request->body.AsPriceToWin();
  messages::OrderT order;
  order.class_name = ask.class_name;
  order.share_milli = ask.share_milli;
  order.memory_bytes = ask.memory_bytes;
  order.notice_us = ask.notice_us;
  order.valid_until_ms = moment_.now_ms + 1;
  const std::vector<SealedBid> alone{{job.identity, &order, nullptr}};
  EpochPlanner planner(book_, alone, unused_, epoch_number_ + 1, moment_);
  EpochPlan plan = planner.Finish(RanksOf(planner.orders()), planner.orders().size(), SeedOf(epoch_number_ + 1));
  messages::WinningPriceT price;
  if (const PriceRecord* posted = book_.Price(ask.class_name))
    price.posted_microcredits_per_hour = posted->price_per_hour;
  price.least_microcredits_per_hour = -1;
  price.why = std::to_string(plan.input.asks.size()) + " asks of such goods stand";
  if (plan.input.bids.size() == 1 && !plan.input.asks.empty()) {
    const auction::Bid bid = plan.input.bids.front();
    plan.input.bids.clear();
    const Result<auction::PriceAnswer> answer = auction::Quote(plan.input, bid);
    if (!answer.ok()) return Fail(job, answer.status());
    price.share_milli = static_cast<std::uint32_t>(answer->units_milli);
    price.least_microcredits_per_hour = answer->least_microcredits;
    price.pays_microcredits_per_hour = answer->price_microcredits;
    if (answer->units_milli > 0) price.lane = Name(answer->lane);
  }
  Answer(job, std::move(price));
}

// Leases that were pending when they were bought, and have begun or will not.
void Desk::TryBegun() {
  auto waiting = std::move(begins_);
  begins_.clear();
  for (auto& [job, ids] : waiting) {
    const auto is_in = [this](const std::string& id, bool pending) {
      const LeaseRecord* lease = book_.Lease(id);
      return pending ? lease != nullptr && lease->state == LeaseState::kPending : lease == nullptr;
    };
    if (std::any_of(ids.begin(), ids.end(), [&](const std::string& id) { return is_in(id, true); })) {
      begins_.emplace_back(std::move(job), std::move(ids));
    } else if (std::any_of(ids.begin(), ids.end(), [&](const std::string& id) { return is_in(id, false); })) {
      Fail(job, Status(Code::kNotFound, kWhere, "the lease has ended meanwhile; bid again"));
    } else {
      AnswerBought(std::move(job), ids, true);
    }
  }
}

// What was not written is not in the report, and its bids stand again.
void Desk::EndRuns() {
  std::list<std::shared_ptr<EpochRun>> runs = std::move(runs_);
  runs_.clear();
  for (const auto& run : runs) {
    Settle(*run);
    if (!run->report.trades.empty()) WriteReport(run->report);
    // Answers that may still come do not write it again.
    run->open = 0;
  }
}

}  // namespace accelmesh::market
