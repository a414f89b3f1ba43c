#include "tests/sim/actors.h"

#include <algorithm>

#include "market/client/orders.h"
#include "market/client/receipts.h"

namespace accelmesh::market {
namespace {

constexpr std::uint32_t kShare = 1000;
constexpr std::uint32_t kStep = 50;

std::string ReplyText(const messages::ReplyT* reply) {
  return reply == nullptr ? "nothing" : std::to_string(reply->code) + " " + reply->text;
}

}  // namespace

void Provider::Act() {
  if (world_.sim().now() < down_until_ || is_busy()) return;
  Expire();
  messages::RequestT request;
  if (is_registered_ && !signing_.empty()) {
    request.body.Set(std::move(signing_.back()));
    signing_.pop_back();
    return Ask(std::move(request));
  }
  if (is_registered_) {
    request.body.Set(messages::KeepServerT{});
    return Ask(std::move(request));
  }
  messages::RegisterServerT server;
  server.name = name_;
  server.endpoints = {"tcp://" + name_ + ":7700"};
  for (int i = 0; i < 2; ++i) {
    auto slot = std::make_unique<messages::SlotT>();
    slot->id = name_ + "/" + std::to_string(i);
    slot->backend = "cpu";
    slot->device_name = "device";
    slot->share_milli = kShare;
    slot->share_milli_step = kStep;
    slot->memory_bytes = kMemory;
    slot->reserve_price_microcredits_per_hour = 1'000'000;
    scheduler::Tags tags;
    tags.Throughput(scheduler::Operation::kMatmul, scheduler::NumberType::kFp32) = {1e12, 1e12, 1e12};
    slot->tags = std::make_unique<messages::TagsT>(ToMessageTags(tags));
    server.slots.push_back(std::move(slot));
  }
  request.body.Set(std::move(server));
  Ask(std::move(request));
}

void Provider::Answered(const messages::RequestT& request, const messages::ReplyT* reply) {
  // One that is refused, or unanswered, comes again with what is told next.
  if (request.body.type == messages::RequestBody::SignReceipt) return;
  if (reply == nullptr || reply->code != 0) {
    is_registered_ = false;
    return;
  }
  if (const auto* kept = reply->body.AsKept()) {
    // Mostly what the buyer says, losses too.
    for (const auto& receipt : kept->receipts) {
      const ReceiptWords words = world_.Chance(80) ? WordsOf(*receipt) : ReceiptWords{};
      Result<messages::SignReceiptT> sign = SignReceipt(*receipt, words, key_);
      // One for each time that it says that it is there: that must not be late.
      if (sign.ok() && signing_.empty()) signing_.push_back(std::move(*sign));
    }
  }
  if (request.body.type != messages::RequestBody::RegisterServer) return;
  is_registered_ = true;
  for (const auto& epoch : reply->body.AsRegistered()->epochs) Raise(epoch->slot, epoch->epoch);
}

void Provider::Pushed(const messages::PushT& push) {
  const auto* raised = push.body.AsEpochRaised();
  if (raised == nullptr || world_.sim().now() < down_until_) return;
  if (raised->lease.empty()) return Raise(raised->slot, raised->epoch);
  admitted_[raised->slot].erase(raised->lease);
}

void Provider::Raise(const std::string& slot, std::uint64_t epoch) {
  std::uint64_t& floor = floors_[slot];
  floor = std::max(floor, epoch);
  std::erase_if(admitted_[slot], [&](const auto& entry) { return entry.second.epoch < floor; });
}

void Provider::Expire() {
  for (auto& [slot, leases] : admitted_) {
    std::erase_if(leases, [this](const auto& entry) { return entry.second.not_after_ms <= wall_ms(); });
  }
}

bool Provider::Admit(const messages::LeaseT& lease) {
  if (world_.sim().now() < down_until_ || !lease.slot.starts_with(name_ + "/")) return false;
  Expire();
  if (lease.not_after_ms <= wall_ms() || lease.not_before_ms > wall_ms() + 5000) return false;
  if (lease.epoch < floors_[lease.slot]) return false;
  auto& here = admitted_[lease.slot];
  const Admitted wanted{lease.epoch, lease.share_milli, lease.memory_bytes, lease.not_after_ms};
  std::uint64_t share = lease.share_milli;
  std::uint64_t memory = lease.memory_bytes;
  std::map<std::uint64_t, std::string> by_epoch;
  for (const auto& [id, other] : here) {
    if (id == lease.id) continue;
    share += other.share_milli;
    memory += other.memory_bytes;
    by_epoch[other.epoch] = id;
  }
  std::vector<std::string> displaced;
  for (const auto& [epoch, id] : by_epoch) {
    if (share <= kShare && memory <= kMemory) break;
    if (epoch > lease.epoch) return false;
    share -= here[id].share_milli;
    memory -= here[id].memory_bytes;
    displaced.push_back(id);
  }
  for (const std::string& id : displaced) {
    floors_[lease.slot] = std::max(floors_[lease.slot], here[id].epoch + 1);
    here.erase(id);
  }
  if (lease.share_milli == kShare) floors_[lease.slot] = std::max(floors_[lease.slot], lease.epoch);
  here[lease.id] = wanted;
  Check();
  return true;
}

void Provider::Check() {
  for (const auto& [slot, leases] : admitted_) {
    std::uint64_t share = 0;
    std::uint64_t memory = 0;
    for (const auto& [id, lease] : leases) {
      share += lease.share_milli;
      memory += lease.memory_bytes;
    }
    if (share > kShare || memory > kMemory) faults_.push_back("server " + name_ + " accepts too much of " + slot);
  }
}

void Provider::Crash(Duration down) {
  down_until_ = std::max(down_until_, world_.sim().now() + down);
  admitted_.clear();
  is_registered_ = false;
}

std::map<std::string, Known>::iterator Tenant::Pick() {
  auto at = leases_.begin();
  for (int i = 0; i < 4; ++i) {
    at = leases_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(world_.Random(leases_.size())));
    if (!at->second.may_have_ended && at->second.lease.not_after_ms > world_.TrueMs()) break;
  }
  return at;
}

void Tenant::AskAnew() {
  messages::RequestLeaseT ask;
  ask.operation_id = world_.OperationId();
  // Shares of all sizes, whole devices among them.
  const std::uint64_t parts = world_.Chance(15) ? 100 : 2 + world_.Random(60);
  ask.request = "0." + std::string(parts < 10 ? "0" : "") + (parts == 100 ? "999" : std::to_string(parts)) +
                " TOPS fp32, memory=" + std::to_string(1 + world_.Random(500)) + "B";
  if (world_.Chance(15)) ask.request += ", 2 slots";
  ask.lease_us = static_cast<std::int64_t>(1000 + world_.Random(15'000)) * 1000;
  ask.wait_us = world_.Chance(30) ? static_cast<std::int64_t>(world_.Random(2'000'000)) : 0;
  ask.holder_key.assign(32, 1);
  messages::RequestT request;
  request.body.Set(std::move(ask));
  Ask(std::move(request));
}

messages::OrderT Tenant::OrderOf(messages::OrderKind kind) {
  messages::OrderT order;
  order.kind = kind;
  order.market = security::HexOf(world_.key().public_key().bytes);
  order.owner = identity();
  order.operation_id = world_.OperationId();
  order.number = ++orders_;
  order.valid_until_ms = world_.TrueMs() + 600'000;
  // Around the posted price, so that much is traded.
  const bool is_bid = kind == messages::OrderKind::Bid;
  order.price_microcredits_per_hour = static_cast<std::int64_t>(900'000 + world_.Random(is_bid ? 3'000'000 : 800'000));
  order.share_milli = kStep * static_cast<std::uint32_t>(1 + world_.Random(10));
  order.memory_bytes = world_.Random(300);
  order.notice_us = static_cast<std::int64_t>(world_.Random(3)) * 1'500'000;
  return order;
}

void Tenant::Place(const messages::OrderT& order, const Tenant* counterparty) {
  messages::PlaceOrderT placed = SignOrder(order, key_);
  if (counterparty != nullptr) {
    const security::Signature signature = SignOrderBytes(placed.order, counterparty->key_);
    placed.counter_signature.assign(signature.begin(), signature.end());
  }
  if (order.kind == messages::OrderKind::Bid) placed.wait_us = static_cast<std::int64_t>(world_.Random(3'000'000));
  messages::RequestT request;
  request.body.Set(std::move(placed));
  Ask(std::move(request));
}

void Tenant::Trade() {
  if (leases_.empty() || world_.Chance(40)) {
    messages::OrderT bid = OrderOf(messages::OrderKind::Bid);
    bid.class_name = "cpu/device";
    bid.lease_us = static_cast<std::int64_t>(1000 + world_.Random(15'000)) * 1000;
    bid.is_divisible = world_.Chance(30);
    bid.holder_key.assign(32, 3);
    if (world_.Chance(15)) {
      // Two devices, or one.
      for (int i = 2; i > 0; --i) {
        auto bundle = std::make_unique<messages::BundleT>();
        bundle->value_microcredits_per_hour = 2 * bid.price_microcredits_per_hour * i;
        for (int j = 0; j < i; ++j) {
          bundle->parts.push_back(std::make_unique<messages::PartT>());
          bundle->parts.back()->class_name = "cpu/device";
          bundle->parts.back()->share_milli = kShare;
        }
        bid.bundles.push_back(std::move(bundle));
      }
    }
    return Place(bid, nullptr);
  }
  const auto at = Pick();
  at->second.is_offered = true;
  const bool is_deal = !peers_.empty() && world_.Chance(30);
  messages::OrderT order = OrderOf(is_deal             ? messages::OrderKind::Deal
                                   : world_.Chance(85) ? messages::OrderKind::Ask
                                                       : messages::OrderKind::Withdrawal);
  order.lease = at->first;
  if (world_.Chance(50)) order.share_milli = 0;
  const Tenant* peer = nullptr;
  if (is_deal) {
    peer = peers_[world_.Random(peers_.size())];
    order.counterparty = peer->identity();
    order.holder_key.assign(32, 4);
  }
  Place(order, peer);
}

void Tenant::Act() {
  if (is_busy()) return;
  // Use what it has, sometimes long after it has ended or was handed on: that must not matter.
  if (!leases_.empty() && world_.Chance(70)) {
    auto at = leases_.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(world_.Random(leases_.size())));
    for (Provider* provider : providers_) (void)provider->Admit(at->second.lease);
  }
  if (is_stopped_) return;
  ++operations_;
  if (!signing_.empty()) {
    messages::RequestT sign;
    sign.body.Set(std::move(signing_.back()));
    signing_.pop_back();
    return Ask(std::move(sign));
  }
  if (world_.Chance(35)) return Trade();
  if (leases_.empty() || world_.Chance(50)) return AskAnew();
  const auto at = Pick();
  Known& known = at->second;
  messages::RequestT request;
  const std::uint64_t kind = world_.Random(10);
  if (kind < 4) {
    messages::RenewLeaseT renew;
    renew.operation_id = world_.OperationId();
    renew.lease = at->first;
    renew.lease_us = static_cast<std::int64_t>(1000 + world_.Random(15'000)) * 1000;
    request.body.Set(std::move(renew));
  } else if (kind < 6) {
    messages::ResizeLeaseT resize;
    resize.operation_id = world_.OperationId();
    resize.lease = at->first;
    resize.share_milli =
        kStep * static_cast<std::uint32_t>(1 + world_.Random(std::max(1U, known.lease.share_milli / kStep)));
    request.body.Set(std::move(resize));
  } else {
    messages::ReleaseLeaseT release;
    release.operation_id = world_.OperationId();
    release.lease = at->first;
    known.may_have_ended = true;
    request.body.Set(std::move(release));
  }
  known.may_differ = true;
  Ask(std::move(request));
}

void Tenant::Told(const messages::LeaseT& lease) {
  Known& known = leases_[lease.id];
  known.lease = lease;
  known.may_differ = false;
}

void Tenant::Answered(const messages::RequestT& request, const messages::ReplyT* reply) {
  world_.Note(identity() + " " + std::to_string(static_cast<int>(request.body.type)) + " " + ReplyText(reply));
  if (reply == nullptr) return;
  if (reply->code != 0) {
    // Refused: nothing has changed, unless an earlier copy of it was applied, as after a renewal that had ended
    // meanwhile.
    return;
  }
  if (const auto* placed = request.body.AsPlaceOrder()) {
    const Result<messages::OrderT> order = ReadOrder(*placed);
    const auto known = order.ok() ? leases_.find(order->lease) : leases_.end();
    if (known != leases_.end() && order->kind != messages::OrderKind::Deal) known->second.ask_number = order->number;
  }
  if (const auto* grants = reply->body.AsGrants()) {
    for (const auto& granted : grants->granted) {
      ++grants_;
      Told(*granted->lease);
      world_.Note(granted->lease->id);
    }
  } else if (const auto* done = reply->body.AsDone(); done != nullptr && done->lease != nullptr) {
    if (done->receipt != nullptr && world_.Chance(70)) {
      ReceiptWords words{.used_ppm = static_cast<std::uint32_t>(world_.Random(ledger::kPpm))};
      if (world_.Chance(40)) words.delivered_ppm = static_cast<std::uint32_t>(world_.Random(ledger::kPpm));
      Result<messages::SignReceiptT> sign = SignReceipt(*done->receipt, words, key_);
      if (sign.ok()) signing_.push_back(std::move(*sign));
    }
    for (Tenant* peer : peers_) {
      if (peer->identity() == done->lease->tenant && done->lease->state == "active") peer->Told(*done->lease);
    }
  } else if (const auto* granted = reply->body.AsGranted()) {
    // Of a transfer: the other's.
    if (granted->lease->tenant == identity()) {
      Told(*granted->lease);
    } else {
      for (Tenant* peer : peers_) {
        if (peer->identity() == granted->lease->tenant) peer->Told(*granted->lease);
      }
    }
  }
}

void Admin::Act() {
  if (is_busy()) return;
  messages::DepositT deposit;
  deposit.operation_id = world_.OperationId();
  deposit.identity = tenants_[world_.Random(tenants_.size())];
  deposit.microcredits = static_cast<std::int64_t>(1 + world_.Random(1'000'000));
  asked[deposit.identity] += deposit.microcredits;
  messages::RequestT request;
  request.body.Set(std::move(deposit));
  Ask(std::move(request));
}

void Admin::Answered(const messages::RequestT& request, const messages::ReplyT* reply) {
  const auto& deposit = *request.body.AsDeposit();
  if (reply != nullptr && reply->code == 0) told[deposit.identity] += deposit.microcredits;
}

}  // namespace accelmesh::market
