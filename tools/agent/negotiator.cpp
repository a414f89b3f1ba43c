#include "tools/agent/negotiator.h"

#include <algorithm>
#include <cstring>

#include "scheduler/core/quantity.h"
#include "scheduler/core/request_text.h"
#include "tools/agent/auction_bid.h"
#include "tools/agent/calls.h"
#include "tools/agent/core/patience.h"
#include "tools/agent/core/price.h"

namespace accelmesh::agent {
namespace {

using scheduler::CreditsText;
using scheduler::ReadableBytes;
using scheduler::ReadableDuration;

// Asked anew so often, so that whoever waits hears of it when the market has forgotten or moved.
constexpr std::int64_t kQueueSliceUs = 10'000'000;
constexpr std::int64_t kPauseMs = 100;
constexpr int kRoundsMax = 4;
// Some epochs of the auction.
constexpr std::int64_t kAuctionWaitUs = 2'000'000;
// Posted prices move once a minute.
constexpr std::int64_t kCheapPauseMs = 10'000;

bool IsUnknown(const Status& status) {
  return status.code() == Code::kUnavailable || status.code() == Code::kDeadlineExceeded ||
         status.code() == Code::kClosed;
}

// Another slot, or less of one, will not be had either: the market is not there, knows us not, or cannot write.
bool IsOfNoUse(const Status& status) {
  return IsUnknown(status) || status.code() == Code::kPermissionDenied || status.code() == Code::kFull;
}

std::string Names(const std::vector<std::string>& slots) {
  std::string names;
  for (const std::string& slot : slots) names += (names.empty() ? "" : ", ") + slot;
  return names;
}

}  // namespace

OperationId DrawId(WorldPort& world) {
  OperationId id{};
  for (std::size_t at = 0; at < id.size(); at += 8) {
    const std::uint64_t draw = world.Draw();
    std::memcpy(id.data() + at, &draw, 8);
  }
  return id;
}

OperationId Negotiator::NewId() { return DrawId(world_); }

void Negotiator::Say(std::string stage, std::string text, std::vector<std::pair<std::string, std::string>> facts) {
  sink_({std::move(stage), std::move(text), std::move(facts), false});
}

void Negotiator::Trouble(std::string stage, std::string text, std::vector<std::pair<std::string, std::string>> facts) {
  sink_({std::move(stage), std::move(text), std::move(facts), true});
}

Outcome Negotiator::Negotiate(const Wish& wish) {
  Outcome outcome;
  const std::size_t runs = wish.profile.runs.size();
  Say("analyse",
      runs == 0 ? "this command has not run before" : "this command has run " + std::to_string(runs) + " times before",
      {{"runs", std::to_string(runs)}});
  Result<Prediction> prediction = Predict(wish.asked, wish.profile, wish.policy);
  if (!prediction.ok()) {
    const Status& status = prediction.status();
    outcome.status = {status.code(), status.where(),
                      status.where().substr(status.where().rfind('.') + 1) + " " + status.text()};
    return outcome;
  }
  for (const Step& step : prediction->steps) sink_(step);
  const std::int64_t began_ms = world_.NowMs();
  const Cheap cheap = WaitForCheap(wish, *prediction, outcome);
  if (cheap == Cheap::kHad) return outcome;
  if (std::int64_t& deadline_us = prediction->request.deadline_us; deadline_us != 0) {
    deadline_us = std::max<std::int64_t>(1, deadline_us - (world_.NowMs() - began_ms) * 1000);
  }
  if (cheap == Cheap::kStopped) {
    outcome.status = {Code::kClosed, "Negotiator::WaitForCheap", "ended while it waited for a lower price"};
    return outcome;
  }
  for (const Rung& rung : LadderOf(*prediction, wish.when_nothing)) {
    sink_(rung.why);
    switch (rung.kind) {
      case RungKind::kAsk:
        if (AskFor(wish, rung.prediction, outcome)) return outcome;
        break;
      case RungKind::kQueue:
        if (Queue(wish, rung, outcome)) return outcome;
        break;
      case RungKind::kCommand:
        outcome.kind = Outcome::Kind::kCommand;
        outcome.command = rung.command;
        return outcome;
      case RungKind::kFail: break;
    }
    // Less of it does not help if the market is not there.
    if (IsOfNoUse(last_)) {
      if (wish.when_nothing.kind == WhenNothing::kCommand) continue;
      break;
    }
  }
  outcome.status = last_;
  return outcome;
}

bool Negotiator::AskFor(const Wish& wish, const Prediction& prediction, Outcome& outcome) {
  // Once more if a server has turned out not to take leases, or somebody else was faster: what is left may cost more,
  // and is bid for.
  for (int round = 0; round < kRoundsMax; ++round) {
    const std::size_t failed = failed_.size();
    was_late_ = false;
    if (AskOnce(wish, prediction, outcome)) return true;
    if (failed_.size() == failed && !was_late_) break;
    if (was_late_ && !world_.Pause(1 + static_cast<std::int64_t>(world_.Draw() % kPauseMs))) return false;
  }
  return TryAuction(wish, prediction, kAuctionWaitUs, outcome);
}

bool Negotiator::TryAuction(const Wish& wish, const Prediction& prediction, std::int64_t wait_us, Outcome& outcome) {
  if (!wish.bids || !market_.has_auction() || IsOfNoUse(last_)) return false;
  const Result<std::vector<scheduler::Slot>> slots = market_.Slots(In(std::min(kCallMs, wish.patience_ms)));
  if (!slots.ok()) return false;
  Result<AuctionBid> bid = MakeAuctionBid(
      prediction, *slots, [this](const std::string& slot) { return market_.KindOf(slot); }, wish.policy, failed_);
  if (!bid.ok()) {
    Say("bid", "no bid: " + bid.status().text());
    return false;
  }
  Order order;
  order.request = prediction.request;
  order.lease_us = wish.lease_us != 0 ? wish.lease_us : LeaseUs(prediction);
  order.wait_us = wait_us;
  order.auction = std::move(bid->auction);
  sink_(bid->why);
  const Status before = last_;
  if (TryOne(wish, prediction, std::move(order), "the auction", outcome)) {
    TellWhoSold(outcome);
    return true;
  }
  // What stood in the way at the posted price is what the user can change.
  if (!IsUnknown(last_)) last_ = {before.code(), before.where(), before.text() + "; the auction: " + last_.text()};
  return false;
}

void Negotiator::TellWhoSold(const Outcome& outcome) {
  for (const Held& held : outcome.leases) {
    const Result<std::vector<Traded>> trades = market_.Trades(held.won.lease, In(kCallMs));
    if (!trades.ok()) continue;
    for (const Traded& trade : *trades) {
      if (trade.lease != held.won.lease) continue;
      Say("buy",
          "lease " + trade.lease + ": bought " + std::to_string(trade.share_milli) + " of 1000 from " + trade.seller +
              (trade.from.empty() ? " (idle)" : " (lease " + trade.from + ")") + ", at " +
              CreditsText(trade.price_microcredits_per_hour) + " credits an hour of a whole device (" + trade.lane +
              "), " + CreditsText(trade.paid_microcredits) + " credits in all",
          {{"lease", trade.lease},
           {"seller", trade.seller},
           {"from", trade.from},
           {"price", CreditsText(trade.price_microcredits_per_hour)},
           {"paid", CreditsText(trade.paid_microcredits)}});
    }
  }
}

bool Negotiator::AskOnce(const Wish& wish, const Prediction& prediction, Outcome& outcome) {
  const std::int64_t until_ms = world_.NowMs() + wish.patience_ms;
  Result<std::vector<scheduler::Slot>> slots = market_.Slots(In(std::min(kCallMs, wish.patience_ms)));
  while (!slots.ok() && IsUnknown(slots.status()) && world_.NowMs() < until_ms) {
    Trouble("query", "the market does not answer yet: " + slots.status().text());
    if (!world_.Pause(kPauseMs)) break;
    slots = market_.Slots(In(std::min(kCallMs, wish.patience_ms)));
  }
  if (!slots.ok()) {
    last_ = slots.status();
    Say("query", "failed: " + last_.text());
    return false;
  }
  Say("query", std::to_string(slots->size()) + (slots->size() == 1 ? " slot" : " slots") + " in the market",
      {{"slots", std::to_string(slots->size())}});
  Result<Choice> choice = ChooseSlots(prediction, *slots, wish.policy, failed_);
  if (!choice.ok()) {
    last_ = choice.status();
    Say("select", last_.text());
    return false;
  }
  const Bid bid = PriceBid(prediction, wish.policy, choice->posted_microcredits_per_hour);
  sink_(bid.why);
  KeepWithin(*choice, bid);
  for (const Step& step : Explain(*choice, *slots)) sink_(step);
  if (choice->tries.empty()) {
    last_ = {Code::kNotFound, "Negotiator::AskFor",
             slots->empty() ? "the market has no slots; start a gpu-server with --market"
                            : "none of the market's " + std::to_string(slots->size()) +
                                  " slots does; mesh-run --explain says of each why"};
    return false;
  }
  for (const Try& one : choice->tries) {
    Order order;
    for (const scheduler::Candidate& candidate : one.slots) order.slots.push_back((*slots)[candidate.slot].id);
    order.request = prediction.request;
    order.price_max_microcredits_per_hour = bid.price_max_microcredits_per_hour;
    order.lease_us = wish.lease_us != 0 ? wish.lease_us : LeaseUs(prediction);
    const std::string name = Names(order.slots);
    if (TryOne(wish, prediction, std::move(order), name, outcome)) return true;
    if (IsOfNoUse(last_)) return false;
  }
  return false;
}

bool Negotiator::Queue(const Wish& wish, const Rung& rung, Outcome& outcome) {
  const std::int64_t began_ms = world_.NowMs();
  // Between two bids.
  const std::int64_t slice_us = wish.bids && market_.has_auction() ? kAuctionWaitUs : kQueueSliceUs;
  while (true) {
    const std::int64_t waited_us = (world_.NowMs() - began_ms) * 1000;
    if (rung.wait_us != 0 && waited_us >= rung.wait_us) {
      last_ = {Code::kDeadlineExceeded, "Negotiator::Queue",
               "nothing was free in time; allow a later deadline, or ask for less"};
      Say("scale-down", last_.text());
      return false;
    }
    Order order;
    order.request = rung.prediction.request;
    const Bid bid = PriceBid(rung.prediction, wish.policy, 0);
    // Without a bound there is none: who waits takes what is there.
    order.price_max_microcredits_per_hour =
        CeilingOf(rung.prediction.request) >= 0 ? bid.price_max_microcredits_per_hour : std::int64_t{1} << 53;
    order.lease_us = wish.lease_us != 0 ? wish.lease_us : LeaseUs(rung.prediction);
    order.wait_us = rung.wait_us == 0 ? slice_us : std::min(slice_us, rung.wait_us - waited_us);
    if (TryOne(wish, rung.prediction, std::move(order), "the queue", outcome)) return true;
    if (last_.code() == Code::kPermissionDenied) return false;
    if (TryAuction(wish, rung.prediction, kAuctionWaitUs, outcome)) return true;
    // A little by chance, so that many who wait do not come at once.
    if (!world_.Pause(kPauseMs + static_cast<std::int64_t>(world_.Draw() % kPauseMs))) return false;
  }
}

Negotiator::Cheap Negotiator::WaitForCheap(const Wish& wish, const Prediction& prediction, Outcome& outcome) {
  if (wish.cheap_within_us <= 0) return Cheap::kOver;
  if (prediction.request.deadline_us != 0 && prediction.duration_us == 0) {
    Trouble("patience",
            "does not wait for a lower price: nobody knows how long the run takes, and it has a deadline; "
            "say --duration");
    return Cheap::kOver;
  }
  const std::int64_t needed_ms = (prediction.duration_us != 0 ? prediction.duration_us : LeaseUs(prediction)) / 1000;
  const std::int64_t until_ms = world_.NowMs() + wish.cheap_within_us / 1000;
  std::int64_t said = -1;
  for (std::int64_t left_ms = wish.cheap_within_us / 1000; needed_ms < left_ms; left_ms = until_ms - world_.NowMs()) {
    const double need = NeedOf(static_cast<double>(needed_ms), static_cast<double>(left_ms));
    failed_.clear();  // a server that took no lease an hour ago may take one now
    const Result<CheapRequest> cheap = CheapRequestOf(wish, prediction, need);
    if (!cheap.ok() && !IsUnknown(cheap.status())) {
      Trouble("patience", "does not wait for a lower price: " + cheap.status().text());
      return Cheap::kOver;
    }
    if (!cheap.ok()) {
      if (said != 0) Trouble("patience", "the market does not answer: " + cheap.status().text() + "; asks again");
      said = 0;
    } else if (const std::int64_t bound = CeilingOf(cheap->prediction.request); bound != said) {
      Say("patience",
          "pays " + CreditsText(bound) + " credits an hour at most for another " +
              ReadableDuration(static_cast<double>(left_ms - needed_ms) * 1000) +
              ": so much was enough for as great a part of the past as the run needs of the time that it has",
          {{"price_max", CreditsText(bound)}, {"need_milli", std::to_string(static_cast<int>(need * 1000))}});
      said = bound;
    }
    if (cheap.ok() && cheap->is_cheap_now) {
      if (AskFor(wish, cheap->prediction, outcome)) {
        outcome.prediction = prediction;  // what it is renewed for
        return Cheap::kHad;
      }
      if (IsOfNoUse(last_) && !IsUnknown(last_)) return Cheap::kOver;
    }
    const auto pause_ms = kCheapPauseMs + static_cast<std::int64_t>(world_.Draw() % kCheapPauseMs);
    const std::int64_t rest_ms = std::max<std::int64_t>(1, until_ms - needed_ms - world_.NowMs());
    if (!world_.Pause(std::min(pause_ms, rest_ms))) return Cheap::kStopped;
  }
  Say("patience", "the time for a lower price is over: takes any that is allowed");
  return Cheap::kOver;
}

Result<Negotiator::CheapRequest> Negotiator::CheapRequestOf(const Wish& wish, const Prediction& prediction,
                                                            double need) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::vector<scheduler::Slot> slots,
                             market_.Slots(In(std::min(kCallMs, wish.patience_ms))));
  // What suits best if nothing were let: a price is that of its kind.
  ACCELMESH_ASSIGN_OR_RETURN(
      const AuctionBid best,
      MakeAuctionBid(
          prediction, slots, [this](const std::string& slot) { return market_.KindOf(slot); }, wish.policy, failed_));
  const bool is_gang = !best.auction.bundles.empty();
  const std::string& slot = is_gang ? best.auction.bundles.front().slot : best.auction.slot;
  ACCELMESH_ASSIGN_OR_RETURN(const std::vector<PriceSeen> prices,
                             market_.Prices(market_.KindOf(slot), In(std::min(kCallMs, wish.patience_ms))));
  PriceHistory history;
  std::int64_t price = 0;
  for (const PriceSeen& seen : prices) {
    history.See(seen.time_ms, price);
    price = seen.price_microcredits_per_hour;
  }
  if (!prices.empty()) history.See(world_.NowMs(), price);
  const std::int64_t most = PatientPrice(history, need);
  if (most == kAnyPrice) {
    return Status(Code::kNotFound, "Negotiator::CheapRequestOf", "the market has no prices of the past for " + slot);
  }
  const std::int64_t milli =
      is_gang ? std::int64_t{best.auction.bundles.front().count} * scheduler::kWholeMilli : best.auction.share_milli;
  __extension__ using Wide = __int128;
  const auto bound = static_cast<std::int64_t>(std::max<Wide>(1, Wide{most} * milli / scheduler::kWholeMilli));
  const std::int64_t ceiling = CeilingOf(prediction.request);
  CheapRequest cheap{prediction, price <= most};
  cheap.prediction.request.price_microcredits_per_hour = ceiling < 0 ? bound : std::min(bound, ceiling);
  return cheap;
}

Result<Answer> Negotiator::Ask(const Order& order, const Wish& wish) {
  const OperationId id = NewId();
  const std::int64_t until_ms = world_.NowMs() + wish.patience_ms + order.wait_us / 1000;
  while (true) {
    Result<Answer> answer = market_.Ask(order, id, In(kCallMs + order.wait_us / 1000));
    if (answer.ok() || !IsUnknown(answer.status())) return answer;
    Trouble("secure", "the market does not answer: " + answer.status().text() + "; asks again");
    if (world_.NowMs() >= until_ms || !world_.Pause(kPauseMs)) return answer;
  }
}

bool Negotiator::TryOne(const Wish& wish, const Prediction& prediction, Order order, const std::string& name,
                        Outcome& outcome) {
  Result<security::CurvePair> holder = world_.NewPair();
  if (!holder.ok()) {
    last_ = holder.status();
    return false;
  }
  order.holder_key = holder->key;
  Result<Answer> answer = Ask(order, wish);
  if (!answer.ok()) {
    last_ = answer.status();
    Trouble("secure", name + ": refused: " + last_.text());
    return false;
  }
  if (answer->won.empty()) {
    last_ = {Code::kNotFound, "Negotiator::TryOne", answer->why_not};
    was_late_ = true;
    Trouble("secure", name + ": not granted: " + answer->why_not);
    return false;
  }
  for (const Won& won : answer->won) {
    Say("secure",
        "lease " + won.lease + " of " + won.slot + ": " + std::to_string(won.share_milli) + " of 1000, " +
            ReadableBytes(won.memory_bytes) + ", " + CreditsText(won.price_microcredits_per_hour) +
            " credits an hour, for " +
            ReadableDuration(static_cast<double>(std::max<std::int64_t>(0, won.not_after_ms - world_.NowMs())) * 1000) +
            (won.why.empty() ? "" : "; " + won.why),
        {{"lease", won.lease},
         {"slot", won.slot},
         {"share_milli", std::to_string(won.share_milli)},
         {"memory_bytes", std::to_string(won.memory_bytes)},
         {"price", CreditsText(won.price_microcredits_per_hour)}});
  }
  if (!Allocate(wish, answer->won, *holder, outcome)) return false;
  for (Held& held : outcome.leases) held.is_bought = order.auction.has_value();
  outcome.kind = Outcome::Kind::kLeased;
  outcome.prediction = prediction;
  outcome.lease_us = order.lease_us;
  outcome.status = Status::Ok();
  return true;
}

bool Negotiator::Allocate(const Wish& wish, const std::vector<Won>& won, const security::CurvePair& holder,
                          Outcome& outcome) {
  for (const Won& one : won) {
    const Status admitted = servers_.Admit(one, holder, wish.group, In(std::min(kCallMs, wish.patience_ms)));
    if (admitted.ok()) continue;
    last_ = admitted;
    failed_.insert(one.slot);
    Trouble("allocate", one.slot + ": its gpu-server does not take the lease: " + admitted.text() + "; gives it back",
            {{"slot", one.slot}, {"failed", std::string(CodeName(admitted.code()))}});
    // What the server says is no answer of the market's: others may do better.
    last_ = {Code::kNotFound, admitted.where(), admitted.text()};
    for (const Won& other : won) Release(other.lease);
    return false;
  }
  outcome.leases.clear();
  for (const Won& one : won) {
    outcome.leases.push_back({one, holder});
    Say("allocate", one.slot + ": its gpu-server has admitted the lease", {{"slot", one.slot}, {"lease", one.lease}});
  }
  return true;
}

void Negotiator::Release(const std::string& lease) {
  const Result<Receipt> receipt = market_.Release(lease, NewId(), In(kCallMs));
  if (!receipt.ok()) {
    Trouble("release",
            "lease " + lease + " could not be given back: " + receipt.status().text() + "; it ends by itself");
  }
}

}  // namespace accelmesh::agent
