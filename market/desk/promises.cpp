// Promises: the market's signed word to an order's owner that it was taken (market/ledger/promise.h). Orders are taken
// into the log some at a time: one sync and one signature for all of them.
#include <algorithm>

#include "market/client/orders.h"
#include "market/desk/desk.h"
#include "market/desk/epoch_log.h"
#include "protocol/base/log.h"

namespace accelmesh::market {
namespace {

// How long orders wait for others, at most; and how many are taken at once.
constexpr auto kTakeEach = std::chrono::milliseconds(20);
constexpr std::size_t kTakenAtOnce = 1024;

SignedOrderBytes BytesOf(const messages::PlaceOrderT& placed) {
  return {{placed.order.begin(), placed.order.end()}, {placed.signature.begin(), placed.signature.end()}};
}

}  // namespace

// `then`: what is answered besides, when the promise is given or cannot be.
void Desk::Promise(const Job& job, const messages::PlaceOrderT& placed, std::function<void()> then) {
  const auto* asked = job.request->body.AsPlaceOrder();
  if (options_.epoch_log == nullptr || asked == nullptr || !asked->wants_promise ||
      taken_.size() >= options_.jobs_max) {
    if (then) then();
    return;
  }
  taken_.push_back({BytesOf(placed), job.peer, std::move(then)});
}

void Desk::FlushPromises() {
  next_taken_ = now_ + kTakeEach;
  while (!taken_.empty()) {
    const std::size_t count = std::min(taken_.size(), kTakenAtOnce);
    std::vector<SignedOrderBytes> orders;
    for (std::size_t i = 0; i < count; ++i) orders.push_back(std::move(taken_[i].order));
    const Result<std::vector<std::string>> promises = options_.epoch_log->Take(orders, moment_.now_ms);
    // Without one it trades all the same.
    if (!promises.ok()) NoteLedger("orders are taken without a promise", promises.status());
    for (std::size_t i = 0; i < count; ++i) {
      const Taken one = std::move(taken_.front());
      taken_.pop_front();
      if (promises.ok() && !(*promises)[i].empty() && !one.peer.empty()) {
        messages::OrderTakenT taken;
        taken.promise = (*promises)[i];
        messages::PushT push;
        push.body.Set(std::move(taken));
        world_.send(one.peer, EncodePush(push));
        ++counts_.promises;
      }
      if (one.then) one.then();
    }
  }
}

// Bids that were taken and cleared by no epoch stand again, whoever took them, for one epoch at least: their owners may
// not be back yet, and were promised that they are in it.
void Desk::RestoreBids() {
  if (options_.epoch_log == nullptr) return;
  const Result<std::vector<SignedOrderBytes>> due = options_.epoch_log->DueBids();
  if (!due.ok()) return NoteLedger("bids that were taken cannot be read", due.status());
  for (const SignedOrderBytes& bytes : *due) {
    messages::PlaceOrderT placed;
    placed.order.assign(bytes.order.begin(), bytes.order.end());
    placed.signature.assign(bytes.signature.begin(), bytes.signature.end());
    Result<messages::OrderT> order = ReadOrder(placed);
    if (!order.ok() || order->valid_until_ms <= moment_.now_ms || bids_.size() >= options_.bids_max ||
        !BoughtBy(order->owner, security::HexOf(order->operation_id)).empty()) {
      continue;
    }
    const bool is_there = std::any_of(bids_.begin(), bids_.end(), [&](const StandingBid& bid) {
      return bid.job.identity == order->owner && bid.order->operation_id == order->operation_id;
    });
    if (is_there) continue;
    messages::RequestT request;
    request.body.Set(std::move(placed));
    StandingBid bid;
    bid.job.identity = order->owner;
    bid.job.request = std::make_shared<const messages::RequestT>(std::move(request));
    bid.job.asked = bid.until = now_;
    bid.job.until = now_ + std::chrono::seconds(20);
    bid.until_ms = moment_.now_ms;
    bid.order = std::make_shared<const messages::OrderT>(std::move(*order));
    bids_.push_back(std::move(bid));
  }
}

}  // namespace accelmesh::market
