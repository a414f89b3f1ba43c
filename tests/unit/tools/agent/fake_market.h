// A market and gpu-servers in one object, which a test can break: what the agent sees of the world, with a clock that
// only moves when the agent waits.
#pragma once

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "scheduler/core/match.h"
#include "tools/agent/ports.h"

namespace accelmesh::agent::testing {

class FakeMarket : public MarketPort, public ServerPort, public WorldPort {
 public:
  struct Lease {
    std::string id;
    std::size_t slot = 0;
    std::uint32_t share_milli = 0;
    std::uint64_t memory_bytes = 0;
    std::int64_t not_after_ms = 0;
    std::int64_t price = 0;
    bool is_over = false;
    std::int64_t admitted_until_ms = 0;
  };

  std::vector<scheduler::Slot> slots;
  std::map<std::string, Lease> leases;
  std::map<OperationId, Answer> answers;
  DeviceUse use;                       // that servers say at a lease's end
  std::set<std::string> dead_servers;  // slots whose servers take no lease
  std::int64_t now_ms = 1'000'000;
  std::int64_t skew_ms_max = 1LL << 60;  // tokens of a clock that is further away do not count
  std::int64_t ahead_ms = 0;             // the market's clock, before ours
  std::int64_t down_from_ms = 0;         // between these two the market does not answer
  std::int64_t down_until_ms = 0;
  int lost_answers = 0;                    // so many are done and not answered
  std::int64_t price_factor_milli = 1000;  // what the price has become since it was posted
  std::int64_t balance = 1'000'000'000;
  int asked = 0;
  bool has_prices = true;
  std::int64_t stopped_ms = 1LL << 60;  // from then on somebody wants us to end
  std::int64_t begin_ms = now_ms;
  std::int64_t cheap_from_ms = 1LL << 60;  // from then on all costs 0.1 credits an hour
  std::mt19937_64 random{42};

  Result<std::vector<scheduler::Slot>> Slots(Deadline) override {
    if (IsDown()) return Silence();
    return slots;
  }

  Result<Answer> Ask(const Order& order, const OperationId& id, Deadline) override {
    ++asked;
    if (IsDown()) return Silence();
    if (const auto known = answers.find(id); known != answers.end()) return known->second;
    Answer answer = Grant(order);
    now_ms += answer.won.empty() ? order.wait_us / 1000 : 0;
    answers[id] = answer;
    if (lost_answers > 0) {
      --lost_answers;
      return Silence();
    }
    return answer;
  }

  Result<Won> Renew(const std::string& lease, std::int64_t lease_us, std::int64_t price_max, const OperationId&,
                    Deadline) override {
    if (IsDown()) return Silence();
    Lease* const found = Find(lease);
    if (found == nullptr) return Status(Code::kNotFound, "fake", "no such lease");
    if (PriceOf(found->slot, found->share_milli) > price_max)
      return Status(Code::kLimitExceeded, "fake", "the price is above what you pay");
    found->not_after_ms = now_ms + lease_us / 1000;
    return WonOf(*found);
  }
  Result<Won> Resize(const std::string& lease, std::uint32_t share_milli, std::uint64_t memory_bytes,
                     const OperationId&, Deadline) override {
    if (IsDown()) return Silence();
    Lease* const found = Find(lease);
    if (found == nullptr || share_milli > found->share_milli || memory_bytes > found->memory_bytes)
      return Status(Code::kInvalidArgument, "fake", "no less than it has");
    slots[found->slot].share_milli_free += found->share_milli - share_milli;
    slots[found->slot].memory_bytes_free += found->memory_bytes - memory_bytes;
    found->share_milli = share_milli;
    found->memory_bytes = memory_bytes;
    return WonOf(*found);
  }
  Result<Receipt> Release(const std::string& lease, const OperationId&, Deadline) override {
    if (IsDown()) return Silence();
    Lease* const found = Find(lease);
    if (found == nullptr) return Status(Code::kNotFound, "fake", "no such lease");
    found->is_over = true;
    slots[found->slot].share_milli_free += found->share_milli;
    slots[found->slot].memory_bytes_free += found->memory_bytes;
    return Receipt{7, 3};
  }

  // An hour at 0.2 credits, then hours at what it costs now; and whenever it is asked.
  Result<std::vector<PriceSeen>> Prices(const std::string& kind, Deadline) override {
    if (IsDown()) return Silence();
    if (!has_prices) return MarketPort::Prices(kind, Deadline::After(std::chrono::seconds(1)));
    const std::int64_t hour = 3'600'000;
    for (const scheduler::Slot& slot : slots) {
      if (slot.id != kind) continue;
      const std::int64_t price = slot.price_microcredits_per_hour * price_factor_milli / 1000;
      return std::vector<PriceSeen>{{begin_ms - 5 * hour, 200'000}, {begin_ms - 4 * hour, price}, {now_ms, price}};
    }
    return std::vector<PriceSeen>{};
  }

  Status Admit(const Won& won, const security::CurvePair&, const security::SecretHash&, Deadline) override {
    if (dead_servers.contains(won.slot)) return {Code::kUnavailable, "fake", "nobody answers at tcp://nowhere"};
    // By the server's clock, which is ours.
    if (std::abs(won.not_after_ms - leases.at(won.lease).not_after_ms) > skew_ms_max)
      return {Code::kPermissionDenied, "fake", "it begins in a while, or has expired"};
    leases.at(won.lease).admitted_until_ms = won.not_after_ms;
    return Status::Ok();
  }
  Result<DeviceUse> End(const Won& won, const security::CurvePair&, Deadline) override {
    if (dead_servers.contains(won.slot)) return Status(Code::kUnavailable, "fake", "nobody answers at tcp://nowhere");
    leases.at(won.lease).admitted_until_ms = 0;
    return use;
  }

  std::int64_t NowMs() override { return now_ms; }
  std::uint64_t Draw() override { return random(); }
  Result<security::CurvePair> NewPair() override {
    security::CurvePair pair;
    pair.key.bytes[0] = static_cast<std::uint8_t>(random());
    return pair;
  }
  bool Pause(std::int64_t ms) override {
    now_ms += ms;
    if (now_ms >= cheap_from_ms) {
      for (scheduler::Slot& slot : slots) slot.price_microcredits_per_hour = 100'000;
    }
    return now_ms < stopped_ms;
  }

  std::size_t Live() const {
    return static_cast<std::size_t>(
        std::count_if(leases.begin(), leases.end(), [](const auto& lease) { return !lease.second.is_over; }));
  }
  // No slot has given more than it has: shares of live leases and what is free are the whole.
  bool IsSound(const std::vector<scheduler::Slot>& before) const {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      std::uint64_t share = slots[i].share_milli_free;
      for (const auto& [id, lease] : leases) share += !lease.is_over && lease.slot == i ? lease.share_milli : 0;
      if (share != before[i].share_milli_free) return false;
    }
    return true;
  }

 private:
  bool IsDown() {
    if (now_ms < down_from_ms || now_ms >= down_until_ms) return false;
    now_ms += 500;  // of waiting for an answer
    return true;
  }
  static Status Silence() { return {Code::kUnavailable, "fake", "nobody answers"}; }
  Lease* Find(const std::string& id) {
    const auto found = leases.find(id);
    return found == leases.end() || found->second.is_over || found->second.not_after_ms <= now_ms ? nullptr
                                                                                                  : &found->second;
  }
  std::int64_t PriceOf(std::size_t slot, std::uint32_t share) const {
    return slots[slot].price_microcredits_per_hour * share / 1000 * price_factor_milli / 1000;
  }
  Won WonOf(const Lease& lease) const {
    Won won;
    won.lease = lease.id;
    won.slot = slots[lease.slot].id;
    won.share_milli = lease.share_milli;
    won.memory_bytes = lease.memory_bytes;
    won.price_microcredits_per_hour = PriceOf(lease.slot, lease.share_milli);
    won.not_after_ms = lease.not_after_ms + ahead_ms;
    won.endpoints = {"tcp://127.0.0.1:1"};
    return won;
  }
  Answer Grant(const Order& order) {
    Answer answer;
    scheduler::FunctionalRequest request = order.request;
    request.price_microcredits_per_hour = 0;
    request.budget_microcredits = 0;
    const auto match = scheduler::FindCandidates(request, slots);
    std::vector<scheduler::Candidate> taken;
    std::int64_t price = 0;
    for (const auto& candidate : match.candidates) {
      const bool is_named = order.slots.empty() || std::find(order.slots.begin(), order.slots.end(),
                                                             slots[candidate.slot].id) != order.slots.end();
      if (!is_named || taken.size() == request.count) continue;
      taken.push_back(candidate);
      price += PriceOf(candidate.slot, candidate.share_milli);
    }
    if (taken.size() < request.count) {
      answer.why_not = "taken by another meanwhile";
      return answer;
    }
    if (price > order.price_max_microcredits_per_hour) {
      answer.why_not = "the price has risen";
      return answer;
    }
    for (const auto& candidate : taken) {
      Lease lease;
      lease.id = "lease-" + std::to_string(leases.size() + 1);
      lease.slot = candidate.slot;
      lease.share_milli = candidate.share_milli;
      lease.memory_bytes = candidate.memory_bytes;
      lease.not_after_ms = now_ms + order.lease_us / 1000;
      slots[candidate.slot].share_milli_free -= candidate.share_milli;
      slots[candidate.slot].memory_bytes_free -= candidate.memory_bytes;
      leases[lease.id] = lease;
      answer.won.push_back(WonOf(lease));
    }
    return answer;
  }
};

}  // namespace accelmesh::agent::testing
