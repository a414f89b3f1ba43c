// The world as mesh-run's agent meets it: slot-market over CURVE, gpu-servers by lease notices, the clock and the
// system's randomness.
//
// Threads: one at a time, but for RealWorld::Stop().
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "market/client/market_client.h"
#include "tools/agent/ports.h"

namespace accelmesh::mesh_run {

class RealMarket : public agent::MarketPort {
 public:
  // `identity` outlives it.
  RealMarket(market::MarketAddress address, const security::SigningKey& identity)
      : market_key_(address.key), identity_(identity), client_(std::move(address), identity, "mesh-run") {
    client_.OnPush([this](const market::messages::PushT& push) { Hear(push); });
  }
  // Orders from now on ask for promises.
  void WantPromises() { wants_promises_ = true; }

  Result<std::vector<scheduler::Slot>> Slots(Deadline deadline) override;
  Result<agent::Answer> Ask(const agent::Order& order, const agent::OperationId& id, Deadline deadline) override;
  Result<agent::Won> Renew(const std::string& lease, std::int64_t lease_us, std::int64_t price_max,
                           const agent::OperationId& id, Deadline deadline) override;
  Result<agent::Won> Resize(const std::string& lease, std::uint32_t share_milli, std::uint64_t memory_bytes,
                            const agent::OperationId& id, Deadline deadline) override;
  Result<agent::Receipt> Release(const std::string& lease, const agent::OperationId& id, Deadline deadline) override;
  bool has_auction() const override { return true; }
  std::string KindOf(const std::string& slot) const override {
    const auto found = classes_.find(slot);
    return found != classes_.end() ? found->second : "";
  }
  Result<std::vector<agent::PriceSeen>> Prices(const std::string& kind, Deadline deadline) override;
  Status Post(const agent::Offer& offer, const agent::OperationId& id, Deadline deadline) override;
  Result<std::vector<agent::Traded>> Trades(const std::string& lease, Deadline deadline) override;
  Result<std::vector<agent::OpenReceipt>> OpenReceipts(Deadline deadline) override;
  Status SignReceipt(const std::string& lease, const agent::LeaseWords& words, Deadline deadline) override;
  Result<std::string> Checkpoint(std::uint64_t old_size, Deadline deadline) override;
  Status Cosign(std::uint64_t size, const std::string& line, Deadline deadline) override;
  std::vector<std::string> TakePromises() override { return std::exchange(promises_, {}); }
  std::uint64_t orders_answered() const override { return orders_answered_; }
  Result<agent::LedgerPiece> ReadLedger(std::uint64_t first, Deadline deadline) override;

 private:
  void Hear(const market::messages::PushT& push);
  Result<agent::Answer> Bid(const agent::Order& order, const agent::OperationId& id, Deadline deadline);
  Result<agent::Answer> Checked(Result<agent::Answer> answer, const agent::Order& order, Deadline deadline);
  Result<agent::Won> Checked(Result<agent::Won> won, std::int64_t price_max) const;
  market::messages::OrderT OrderOf(market::messages::OrderKind kind, const agent::OperationId& id) const;

  const security::PublicKey market_key_;
  const security::SigningKey& identity_;
  std::map<std::string, security::CurveKey> holders_;           // of leases that were won
  std::map<std::string, std::string> classes_;                  // of slots, as they were listed last
  std::map<std::string, market::messages::ReceiptT> receipts_;  // of leases, as they were listed last
  bool wants_promises_ = false;
  std::vector<std::string> promises_;
  std::uint64_t orders_answered_ = 0;
  market::MarketClient client_;
};

class RealServers : public agent::ServerPort {
 public:
  Status Admit(const agent::Won& lease, const security::CurvePair& holder, const security::SecretHash& group,
               Deadline deadline) override;
  Result<agent::DeviceUse> End(const agent::Won& lease, const security::CurvePair& holder, Deadline deadline) override;
};

class RealWorld : public agent::WorldPort {
 public:
  RealWorld();
  std::int64_t NowMs() override;
  std::uint64_t Draw() override;
  Result<security::CurvePair> NewPair() override { return security::NewCurvePair(); }
  bool Pause(std::int64_t ms) override;

  // Ends pauses, now and from now on. Any thread.
  void Stop();

 private:
  const std::int64_t ahead_ms_;  // Unix time of the clock that counts from the start of the machine
  std::mutex mu_;
  std::condition_variable stopped_;
  bool is_stopped_ = false;
};

}  // namespace accelmesh::mesh_run
