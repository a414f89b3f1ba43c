#include "tools/mesh_run/real_ports.h"

#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <random>

#include "market/client/orders.h"
#include "market/client/receipts.h"
#include "protocol/transport/lease_notice.h"
#include "scheduler/core/request_text.h"
#include "tools/agent/check_won.h"

namespace accelmesh::mesh_run {
namespace {

using agent::Won;
namespace messages = market::messages;

// That have come and were not looked at.
constexpr std::size_t kPromisesMax = 1024;
constexpr std::int64_t kOrderValidMs = 60'000;
constexpr std::int64_t kLeaseMsMost = 15 * 60 * 1000;

std::vector<std::uint8_t> BytesOf(const agent::OperationId& id) { return {id.begin(), id.end()}; }

Result<Won> WonOf(const messages::GrantedT& granted) {
  if (granted.lease == nullptr)
    return Status(Code::kBadFrame, "RealMarket", "the market granted a lease without saying which");
  const messages::LeaseT& lease = *granted.lease;
  Won won;
  won.lease = lease.id;
  won.slot = lease.slot;
  won.server = lease.server;
  won.share_milli = lease.share_milli;
  won.memory_bytes = lease.memory_bytes;
  won.price_microcredits_per_hour = lease.price_microcredits_per_hour;
  won.not_after_ms = lease.not_after_ms;
  won.token.assign(granted.token.begin(), granted.token.end());
  won.endpoints = granted.endpoints;
  if (granted.server_curve_key.size() == won.server_key.bytes.size())
    std::copy(granted.server_curve_key.begin(), granted.server_curve_key.end(), won.server_key.bytes.begin());
  won.why = granted.why;
  return won;
}

std::string WhyNot(const messages::GrantsT& grants) {
  std::string text;
  const auto add = [&text](const std::string& more) {
    if (text.size() < 600) text += (text.empty() ? "" : "; ") + more;
  };
  for (const auto& gap : grants.gaps) add(gap->text + (gap->remedy.empty() ? "" : " (" + gap->remedy + ")"));
  for (const auto& rejection : grants.rejections) {
    for (const auto& gap : rejection->gaps)
      add(rejection->slot + ": " + gap->text + (gap->remedy.empty() ? "" : " (" + gap->remedy + ")"));
  }
  return text.empty() ? "nothing that would do is free" : text;
}

Result<agent::Answer> AnswerOf(const messages::GrantsT& grants) {
  agent::Answer answer;
  for (const auto& granted : grants.granted) {
    ACCELMESH_ASSIGN_OR_RETURN(Won won, WonOf(*granted));
    answer.won.push_back(std::move(won));
  }
  if (answer.won.empty()) answer.why_not = WhyNot(grants);
  return answer;
}

// Says something to the server at the first of its addresses that answers. Shared memory has no CURVE.
Status AtServer(const Won& lease, const security::CurvePair& holder,
                const std::function<Status(const Endpoint&, const security::CurveCredentials&)>& say) {
  Status failed(Code::kUnavailable, "RealServers",
                "the gpu-server has no tcp or ipc address; start it with --listen tcp://...");
  for (const std::string& url : lease.endpoints) {
    Result<Endpoint> endpoint = ParseEndpoint(url);
    if (!endpoint.ok() || endpoint->scheme == Endpoint::Scheme::kShm) continue;
    // What is said to the server itself goes over tcp, there too.
    if (endpoint->scheme == Endpoint::Scheme::kRdma) endpoint->scheme = Endpoint::Scheme::kTcp;
    Status said = say(*endpoint, {lease.server_key, holder});
    if (said.ok()) return said;
    failed = std::move(said);
    // What was answered is answered.
    if (failed.code() != Code::kUnavailable && failed.code() != Code::kDeadlineExceeded) break;
  }
  return failed;
}

}  // namespace

Result<std::vector<scheduler::Slot>> RealMarket::Slots(Deadline deadline) {
  ACCELMESH_ASSIGN_OR_RETURN(const auto reply,
                             market::Ask<messages::SlotsT>(client_, messages::ListSlotsT{}, deadline));
  std::vector<scheduler::Slot> slots;
  for (const auto& slot : reply.slots) {
    slots.push_back(market::ToSchedulerSlot(*slot));
    classes_[slot->id] = slot->backend + "/" + slot->device_name;
  }
  return slots;
}

messages::OrderT RealMarket::OrderOf(messages::OrderKind kind, const agent::OperationId& id) const {
  messages::OrderT order;
  order.kind = kind;
  order.market = security::HexOf(market_key_.bytes);
  order.owner = security::HexOf(identity_.public_key().bytes);
  order.operation_id = BytesOf(id);
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  order.valid_until_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count() + kOrderValidMs;
  return order;
}

Result<agent::Answer> RealMarket::Bid(const agent::Order& order, const agent::OperationId& id, Deadline deadline) {
  const agent::Auction& auction = *order.auction;
  messages::OrderT bid = OrderOf(messages::OrderKind::Bid, id);
  bid.valid_until_ms += order.wait_us / 1000;
  if (auction.bundles.empty()) {
    bid.class_name = KindOf(auction.slot);
    bid.share_milli = auction.share_milli;
    bid.memory_bytes = order.request.memory_bytes;
    bid.price_microcredits_per_hour = auction.price_microcredits_per_hour;
  }
  for (const agent::GangOfKind& gang : auction.bundles) {
    auto bundle = std::make_unique<messages::BundleT>();
    bundle->value_microcredits_per_hour = gang.value_microcredits_per_hour;
    for (std::uint32_t i = 0; i < gang.count; ++i) {
      auto part = std::make_unique<messages::PartT>();
      part->class_name = KindOf(gang.slot);
      part->share_milli = scheduler::kWholeMilli;
      part->memory_bytes = order.request.memory_bytes;
      bundle->parts.push_back(std::move(part));
    }
    bid.bundles.push_back(std::move(bundle));
  }
  bid.notice_us = auction.notice_us;
  bid.lease_us = order.lease_us;
  bid.holder_key.assign(order.holder_key.bytes.begin(), order.holder_key.bytes.end());
  messages::PlaceOrderT placed = market::SignOrder(bid, identity_);
  placed.wait_us = order.wait_us;
  placed.wants_promise = wants_promises_;
  ACCELMESH_ASSIGN_OR_RETURN(const auto reply, market::Ask<messages::GrantsT>(client_, std::move(placed), deadline));
  ++orders_answered_;
  return Checked(AnswerOf(reply), order, deadline);
}

Status RealMarket::Post(const agent::Offer& offer, const agent::OperationId& id, Deadline deadline) {
  messages::OrderT ask = OrderOf(messages::OrderKind::Ask, id);
  ask.number = offer.number;
  ask.lease = offer.lease;
  ask.share_milli = offer.share_milli;
  ask.price_microcredits_per_hour = offer.price_microcredits_per_hour;
  ask.notice_us = offer.notice_us;
  // As long as its lease may last without a renewal, after which it is posted anew.
  ask.valid_until_ms += kLeaseMsMost;
  messages::PlaceOrderT placed = market::SignOrder(ask, identity_);
  placed.wants_promise = wants_promises_;
  const Status status = market::Ask<messages::DoneT>(client_, std::move(placed), deadline).status();
  if (status.ok()) ++orders_answered_;
  return status;
}

Result<std::vector<agent::PriceSeen>> RealMarket::Prices(const std::string& kind, Deadline deadline) {
  ACCELMESH_ASSIGN_OR_RETURN(const auto reply,
                             market::Ask<messages::PricesT>(client_, messages::ListPricesT{}, deadline));
  std::vector<agent::PriceSeen> prices;
  for (const auto& one : reply.prices) {
    if (one->class_name != kind) continue;
    for (const auto& point : one->history) prices.push_back({point->time_ms, point->price_microcredits_per_hour});
  }
  return prices;
}

Result<std::vector<agent::Traded>> RealMarket::Trades(const std::string& lease, Deadline deadline) {
  messages::ListEpochsT ask;
  ask.lease = lease;
  ACCELMESH_ASSIGN_OR_RETURN(const auto reply, market::Ask<messages::EpochsT>(client_, std::move(ask), deadline));
  std::vector<agent::Traded> trades;
  const auto who = [](const std::string& name, const std::string& key) {
    return name.empty() ? key.substr(0, 16) : name;
  };
  for (const auto& epoch : reply.epochs) {
    for (const auto& trade : epoch->trades) {
      trades.push_back({trade->from, trade->lease, who(trade->seller_name, trade->seller),
                        who(trade->buyer_name, trade->buyer), trade->lane, trade->share_milli,
                        trade->price_seller_microcredits_per_hour, trade->paid_microcredits, trade->begins_ms});
    }
  }
  return trades;
}

Result<std::vector<agent::OpenReceipt>> RealMarket::OpenReceipts(Deadline deadline) {
  messages::ListReceiptsT ask;
  ask.open = true;
  ACCELMESH_ASSIGN_OR_RETURN(auto reply, market::Ask<messages::ReceiptsT>(client_, std::move(ask), deadline));
  const std::string own = security::HexOf(identity_.public_key().bytes);
  std::vector<agent::OpenReceipt> open;
  receipts_.clear();
  for (const auto& receipt : reply.receipts) {
    // Who lets slots as well has receipts of the other side.
    if (receipt->buyer != own) continue;
    agent::OpenReceipt one{receipt->lease,      receipt->begin_ms, receipt->end_ms, receipt->paid_microcredits,
                           receipt->had_notice, std::nullopt};
    if (!receipt->provider_signature.empty()) {
      const market::ReceiptWords words = market::WordsOf(*receipt);
      one.provider = agent::LeaseWords{words.delivered_ppm, words.uptime_ppm, words.is_notice_honoured, words.used_ppm};
    }
    open.push_back(std::move(one));
    receipts_[receipt->lease] = std::move(*receipt);
  }
  return open;
}

Status RealMarket::SignReceipt(const std::string& lease, const agent::LeaseWords& words, Deadline deadline) {
  const auto shown = receipts_.find(lease);
  if (shown == receipts_.end()) return {Code::kNotFound, "RealMarket", "the market has shown no receipt of " + lease};
  ACCELMESH_ASSIGN_OR_RETURN(
      messages::SignReceiptT sign,
      market::SignReceipt(
          shown->second, {words.delivered_ppm, words.uptime_ppm, words.is_notice_honoured, words.used_ppm}, identity_));
  return market::Ask<messages::ReceiptT>(client_, std::move(sign), deadline).status();
}

Result<std::string> RealMarket::Checkpoint(std::uint64_t old_size, Deadline deadline) {
  messages::GetCheckpointT ask;
  ask.old_size = old_size;
  ACCELMESH_ASSIGN_OR_RETURN(auto reply, market::Ask<messages::LedgerCheckpointT>(client_, std::move(ask), deadline));
  return std::move(reply.extension);
}

Status RealMarket::Cosign(std::uint64_t size, const std::string& line, Deadline deadline) {
  messages::CosignT cosign;
  cosign.size = size;
  cosign.line = line;
  return market::Ask<messages::DoneT>(client_, std::move(cosign), deadline).status();
}

void RealMarket::Hear(const messages::PushT& push) {
  const auto* taken = push.body.AsOrderTaken();
  if (taken != nullptr && promises_.size() < kPromisesMax) promises_.push_back(taken->promise);
}

Result<agent::LedgerPiece> RealMarket::ReadLedger(std::uint64_t first, Deadline deadline) {
  messages::ReadEntriesT ask;
  ask.first = first;
  ACCELMESH_ASSIGN_OR_RETURN(const auto reply,
                             market::Ask<messages::LedgerEntriesT>(client_, std::move(ask), deadline));
  agent::LedgerPiece piece;
  piece.readable = reply.readable;
  for (const auto& entry : reply.entries) piece.entries.emplace_back(entry->bytes.begin(), entry->bytes.end());
  return piece;
}

Result<agent::Answer> RealMarket::Ask(const agent::Order& order, const agent::OperationId& id, Deadline deadline) {
  if (order.auction) return Bid(order, id, deadline);
  messages::RequestLeaseT ask;
  ask.operation_id = BytesOf(id);
  ask.request = scheduler::ToText(order.request);
  ask.slots = order.slots;
  ask.price_max_microcredits_per_hour = order.price_max_microcredits_per_hour;
  ask.lease_us = order.lease_us;
  ask.wait_us = order.wait_us;
  ask.holder_key.assign(order.holder_key.bytes.begin(), order.holder_key.bytes.end());
  ACCELMESH_ASSIGN_OR_RETURN(const auto reply, market::Ask<messages::GrantsT>(client_, std::move(ask), deadline));
  return Checked(AnswerOf(reply), order, deadline);
}

// What is not what was asked for is given back.
Result<agent::Answer> RealMarket::Checked(Result<agent::Answer> answer, const agent::Order& order, Deadline deadline) {
  if (!answer.ok() || answer->won.empty()) return answer;
  const Status status = agent::CheckWon(answer->won, agent::AskedBy(order, market_key_));
  for (const Won& won : answer->won) {
    if (status.ok()) {
      holders_[won.lease] = order.holder_key;
      continue;
    }
    agent::OperationId id{};
    const std::vector<std::uint8_t> drawn = market::MakeOperationId();
    std::copy_n(drawn.begin(), std::min(drawn.size(), id.size()), id.begin());
    (void)Release(won.lease, id, deadline);
  }
  return status.ok() ? std::move(answer) : Result<agent::Answer>(status);
}

Result<Won> RealMarket::Checked(Result<Won> won, std::int64_t price_max) const {
  if (!won.ok()) return won;
  // One whose beginning this program was not there for.
  const auto holder = holders_.find(won->lease);
  if (holder == holders_.end()) return won;
  const Status status = agent::CheckWon({*won}, {market_key_, holder->second, 1, price_max, 0, 0});
  return status.ok() ? std::move(won) : Result<Won>(status);
}

Result<Won> RealMarket::Renew(const std::string& lease, std::int64_t lease_us, std::int64_t price_max,
                              const agent::OperationId& id, Deadline deadline) {
  messages::RenewLeaseT ask;
  ask.operation_id = BytesOf(id);
  ask.lease = lease;
  ask.lease_us = lease_us;
  ask.price_max_microcredits_per_hour = price_max;
  ACCELMESH_ASSIGN_OR_RETURN(const auto reply, market::Ask<messages::GrantedT>(client_, std::move(ask), deadline));
  return Checked(WonOf(reply), price_max);
}

Result<Won> RealMarket::Resize(const std::string& lease, std::uint32_t share_milli, std::uint64_t memory_bytes,
                               const agent::OperationId& id, Deadline deadline) {
  messages::ResizeLeaseT ask;
  ask.operation_id = BytesOf(id);
  ask.lease = lease;
  ask.share_milli = share_milli;
  ask.memory_bytes = memory_bytes;
  ACCELMESH_ASSIGN_OR_RETURN(const auto reply, market::Ask<messages::GrantedT>(client_, std::move(ask), deadline));
  return Checked(WonOf(reply), 0);
}

Result<agent::Receipt> RealMarket::Release(const std::string& lease, const agent::OperationId& id, Deadline deadline) {
  messages::ReleaseLeaseT ask;
  ask.operation_id = BytesOf(id);
  ask.lease = lease;
  ACCELMESH_ASSIGN_OR_RETURN(const auto reply, market::Ask<messages::DoneT>(client_, std::move(ask), deadline));
  return agent::Receipt{reply.paid_microcredits, reply.returned_microcredits};
}

Status RealServers::Admit(const Won& lease, const security::CurvePair& holder, const security::SecretHash& group,
                          Deadline deadline) {
  return AtServer(lease, holder, [&](const Endpoint& endpoint, const security::CurveCredentials& credentials) {
    const auto until = NoteLease(endpoint, credentials, lease.token, group, deadline);
    return until.ok() ? Status::Ok() : until.status();
  });
}

Result<agent::DeviceUse> RealServers::End(const Won& lease, const security::CurvePair& holder, Deadline deadline) {
  agent::DeviceUse use;
  ACCELMESH_RETURN_IF_ERROR(
      AtServer(lease, holder, [&](const Endpoint& endpoint, const security::CurveCredentials& credentials) {
        const Result<LeaseUse> ended = EndLease(endpoint, credentials, lease.lease, deadline);
        if (ended.ok()) use = {ended->device_us, ended->delivered_ppm};
        return ended.status();
      }));
  return use;
}

namespace {

std::int64_t ReadMs(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace

RealWorld::RealWorld() : ahead_ms_(ReadMs(CLOCK_REALTIME) - ReadMs(CLOCK_BOOTTIME)) {}

// What the clock said at first, and what has passed since, asleep as well: it never jumps.
std::int64_t RealWorld::NowMs() { return ReadMs(CLOCK_BOOTTIME) + ahead_ms_; }

std::uint64_t RealWorld::Draw() {
  std::uint64_t draw = 0;
  if (::getrandom(&draw, sizeof(draw), 0) != static_cast<ssize_t>(sizeof(draw))) draw = std::random_device()();
  return draw;
}

bool RealWorld::Pause(std::int64_t ms) {
  std::unique_lock lock(mu_);
  return !stopped_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return is_stopped_; });
}

void RealWorld::Stop() {
  const std::lock_guard lock(mu_);
  is_stopped_ = true;
  stopped_.notify_all();
}

}  // namespace accelmesh::mesh_run
