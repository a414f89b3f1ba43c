// A market's desk that leads, on a simulated store without faults, with a server that has registered and a tenant with
// credits: what desk_fuzz sends messages to.
#pragma once

#include <random>

#include "market/desk/desk.h"
#include "market/registry/sim/sim.h"
#include "tests/fuzz/input.h"

namespace accelmesh::market::fuzz_world {

inline const std::string kTenant(64, '1');
inline const std::string kAdmin(64, '2');

inline security::SigningKey KeyOf(std::uint8_t number) {
  const Bytes seed(security::kKeyBytes, number);
  return std::move(security::SigningKey::FromSeed(seed)).value();
}

class DeskWorld {
 public:
  DeskWorld()
      : key_(KeyOf(1)),
        server_(security::HexOf(KeyOf(2).public_key().bytes)),
        sim_({}, random_),
        registry_(sim_.Connect()) {
    DeskOptions options;
    options.name = "desk";
    options.urls = {"tcp://127.0.0.1:1"};
    options.is_alone = true;
    options.keeps_order = true;
    options.welcome_credits = 100'000'000;
    Desk::World world;
    world.post = [this](std::function<void()> what) { sim_.At(sim_.now(), std::move(what)); };
    world.send = [this](const Peer&, const Bytes& bytes) { last_ = bytes; };
    world.local = [this](const std::string& identity) -> std::optional<IdentityRecord> {
      if (identity == kTenant) return IdentityRecord{"tenant", MarketRole::kTenant, false};
      if (identity == kAdmin) return IdentityRecord{"admin", MarketRole::kAdmin, false};
      if (identity == server_) return IdentityRecord{"server", MarketRole::kProvider, false};
      return std::nullopt;
    };
    desk_.emplace(std::move(options), *registry_, key_, std::move(world), 1);
    Run();
  }

  // A message from one of four: the tenant, the admin, the server, a stranger.
  void Send(unsigned who, ByteView bytes) {
    const std::string identities[] = {kTenant, kAdmin, server_, std::string(64, '3')};
    desk_->OnMessage(std::to_string(who % 4), identities[who % 4], bytes);
    desk_->Flush();
    Run();
  }
  // What holds after every message, whatever it was.
  void RequireSound() const {
    fuzz::Require(DecodeFromMarket(last_).ok(), "what the market sends is well formed");
    const Book& book = desk_->book();
    fuzz::Require(book.CountSums() == book.sums(), "sums are counted");
    fuzz::Require(book.sums().balanced(), "credits are neither made nor lost");
    fuzz::Require(desk_->counts().resyncs == 0, "the registry takes what the desk writes");
    for (const scheduler::Slot& slot : book.slots()) {
      std::uint64_t let = 0;
      for (const std::string& id : book.LeasesOfSlot(slot.id)) let += book.Lease(id)->share_milli;
      fuzz::Require(let <= slot.share_milli, "no slot is let beyond what it is");
    }
  }
  const Desk& desk() const { return *desk_; }
  const Bytes& last() const { return last_; }
  const std::string& server() const { return server_; }

 private:
  void Run() {
    for (int i = 0; i < 4; ++i) {
      wall_ms_ += 10;
      desk_->Tick(sim_.now(), wall_ms_);
      sim_.RunUntil(sim_.now() + std::chrono::milliseconds(10));
    }
  }

  std::mt19937_64 random_{1};
  const security::SigningKey key_;
  const std::string server_;
  registry::Sim sim_;
  std::unique_ptr<registry::Registry> registry_;
  std::optional<Desk> desk_;
  Bytes last_;
  std::int64_t wall_ms_ = 1'000'000;
};

}  // namespace accelmesh::market::fuzz_world
