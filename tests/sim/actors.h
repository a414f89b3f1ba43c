// Who takes part in a schedule: tenants, servers that accept leases as a gpu-server does, an admin.
#pragma once

#include <optional>

#include "tests/sim/world.h"

namespace accelmesh::market {

// A gpu-server: registers two slots, keeps its lease of the registry, and accepts leases by the rules of server/main:
// newer epochs win, sums stay within the slot.
class Provider final : public Asker {
 public:
  Provider(World& world, security::SigningKey key, std::string name)
      : Asker(world, security::HexOf(key.public_key().bytes), MarketRole::kProvider),
        key_(std::move(key)),
        name_(std::move(name)) {}
  void Act() override;
  // A lease comes to be used; false if it is refused.
  bool Admit(const messages::LeaseT& lease);
  void Crash(Duration down);
  void JumpClock(std::int64_t by_ms) { wall_offset_ms_ += by_ms; }
  bool is_registered() const { return is_registered_; }
  const std::vector<std::string>& faults() const { return faults_; }
  static constexpr std::uint64_t kMemory = 1000;

 protected:
  void Answered(const messages::RequestT& request, const messages::ReplyT* reply) override;
  void Pushed(const messages::PushT& push) override;
  void Reconnected() override { is_registered_ = false; }

 private:
  struct Admitted {
    std::uint64_t epoch = 0;
    std::uint32_t share_milli = 0;
    std::uint64_t memory_bytes = 0;
    std::int64_t not_after_ms = 0;
  };
  void Raise(const std::string& slot, std::uint64_t epoch);
  void Expire();
  void Check();
  std::int64_t wall_ms() const { return world_.TrueMs() + wall_offset_ms_; }

  const security::SigningKey key_;
  const std::string name_;
  std::vector<messages::SignReceiptT> signing_;
  bool is_registered_ = false;
  Instant down_until_;
  std::int64_t wall_offset_ms_ = 0;
  std::map<std::string, std::uint64_t> floors_;                      // on its disk
  std::map<std::string, std::map<std::string, Admitted>> admitted_;  // by slot and lease; gone with a crash
  std::vector<std::string> faults_;
};

// What a tenant was told of one of its leases.
struct Known {
  messages::LeaseT lease;        // as of the last answer
  bool may_have_ended = false;   // it asked for that, or for what nobody knows the outcome of
  bool may_differ = false;       // a change was asked for whose outcome nobody knows
  bool is_offered = false;       // it asked a price for it, or for a part: others may have that by now
  std::uint64_t ask_number = 0;  // of the last order for it that the market has taken
};

class Tenant final : public Asker {
 public:
  Tenant(World& world, security::SigningKey key, std::vector<Provider*> providers)
      : Asker(world, security::HexOf(key.public_key().bytes), MarketRole::kTenant),
        key_(std::move(key)),
        providers_(std::move(providers)) {}
  void SetPeers(std::vector<Tenant*> peers) { peers_ = std::move(peers); }
  void Act() override;
  const std::map<std::string, Known>& leases() const { return leases_; }
  std::uint64_t grants() const { return grants_; }
  std::uint64_t operations() const { return operations_; }
  void Stop() { is_stopped_ = true; }

 protected:
  void Answered(const messages::RequestT& request, const messages::ReplyT* reply) override;

 private:
  // One of those that it had, mostly one that runs as far as it knows. Precondition: there are some.
  std::map<std::string, Known>::iterator Pick();
  void AskAnew();
  // Asks, bids and deals.
  void Trade();
  messages::OrderT OrderOf(messages::OrderKind kind);
  void Place(const messages::OrderT& order, const Tenant* counterparty);
  void Told(const messages::LeaseT& lease);

  const security::SigningKey key_;
  const std::vector<Provider*> providers_;
  std::uint64_t orders_ = 0;
  std::vector<messages::SignReceiptT> signing_;
  std::vector<Tenant*> peers_;
  std::map<std::string, Known> leases_;
  std::uint64_t grants_ = 0;
  std::uint64_t operations_ = 0;
  bool is_stopped_ = false;
};

class Admin final : public Asker {
 public:
  Admin(World& world, std::string identity, std::vector<std::string> tenants)
      : Asker(world, std::move(identity), MarketRole::kAdmin), tenants_(std::move(tenants)) {}
  void Act() override;
  // Of each tenant: deposits that were acknowledged, and that were asked for.
  std::map<std::string, std::int64_t> told;
  std::map<std::string, std::int64_t> asked;

 protected:
  void Answered(const messages::RequestT& request, const messages::ReplyT* reply) override;

 private:
  const std::vector<std::string> tenants_;
};

}  // namespace accelmesh::market
