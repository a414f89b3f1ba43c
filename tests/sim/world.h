// The simulated market: replicas with clocks of their own, and a network between them and whoever talks to them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "market/desk/desk.h"
#include "market/registry/sim/sim.h"
#include "tests/sim/schedule.h"

namespace accelmesh::market {

class World;

// One slot-market, with what a process has: it can be paused, and killed and started anew.
class Replica {
 public:
  Replica(World& world, std::size_t number);
  ~Replica();
  void Start();
  void Kill();
  void Pause(Duration wait);
  void JumpClock(std::int64_t by_ms) { wall_offset_ms_ += by_ms; }
  bool is_up() const { return desk_ != nullptr; }
  const Desk* desk() const { return desk_.get(); }
  std::size_t store_client() const { return store_client_; }
  std::string url() const { return "tcp://replica:" + std::to_string(number_); }
  std::int64_t wall_ms() const;
  // The latest time that any of its leaders has believed.
  std::int64_t wall_most_ms() const { return wall_most_ms_; }
  void Deliver(const Peer& peer, const std::string& identity, Bytes bytes);
  DeskCounts total() const;

 private:
  void Tick();
  // Unless it is paused, then later; not if it has been killed meanwhile.
  void Do(std::function<void()> what);

  World& world_;
  const std::size_t number_;
  std::unique_ptr<registry::Registry> registry_;
  std::unique_ptr<Desk> desk_;
  std::size_t store_client_ = 0;
  std::uint64_t life_ = 0;
  Instant paused_until_;
  std::int64_t wall_offset_ms_ = 0;
  std::int64_t wall_most_ms_ = 0;
  DeskCounts earlier_;
};

// Somebody who asks a market one thing at a time, and asks again until there is an answer or its patience ends.
class Asker {
 public:
  Asker(World& world, std::string identity, MarketRole role);
  virtual ~Asker() = default;
  const std::string& identity() const { return identity_; }
  MarketRole role() const { return role_; }
  std::size_t number() const { return number_; }
  void OnBytes(std::uint64_t connection, ByteView bytes);
  bool is_busy() const { return request_ != nullptr; }
  std::size_t target() const { return target_; }
  virtual void Act() = 0;  // from time to time
  // Asks once more what it has asked, without end: for the time after the faults.
  void BePatient() { patience_ = std::chrono::hours(1); }

 protected:
  void Ask(messages::RequestT request);
  // Precondition: `request` is what it asked last. `reply` is null if its patience has ended: nobody knows.
  virtual void Answered(const messages::RequestT& request, const messages::ReplyT* reply) = 0;
  virtual void Pushed(const messages::PushT& /*push*/) {}
  virtual void Reconnected() {}

  World& world_;

 private:
  friend class World;
  void Send();
  void Retry(std::uint64_t asked);
  void Aim(std::size_t target);

  const std::string identity_;
  const MarketRole role_;
  std::size_t number_ = 0;
  std::size_t target_ = 0;
  std::uint64_t connection_ = 0;
  std::uint64_t asked_ = 0;
  Instant give_up_;
  Duration patience_ = std::chrono::seconds(6);
  std::shared_ptr<messages::RequestT> request_;
};

class World {
 public:
  World(const ScheduleOptions& options);
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  registry::Sim& sim() { return *sim_; }
  std::uint64_t Random(std::uint64_t below) { return random_() % below; }
  bool Chance(unsigned percent) { return Random(100) < percent; }
  std::int64_t TrueMs() const;
  std::vector<std::uint8_t> OperationId();
  const ScheduleOptions& options() const { return options_; }
  const security::SigningKey& key() const { return key_; }
  std::vector<std::unique_ptr<Replica>>& replicas() { return replicas_; }
  void Add(Asker& asker);
  std::optional<IdentityRecord> Local(const std::string& identity) const;
  // Over the network, which delays, loses, repeats and is cut.
  void ToReplica(Asker& asker, std::size_t replica, Bytes bytes);
  void FromReplica(std::size_t replica, const Peer& peer, const Bytes& bytes);
  void Cut(std::size_t asker, std::size_t replica, Duration wait);
  // The store, at the moment at which a replica answers somebody.
  void CrashAtNextAnswer(Duration down) { crash_for_ = down; }
  void StopFaults();
  void Every(Duration period, std::function<void()> what);
  void Note(const std::string& what);  // into the history
  std::string history() const { return history_; }

 private:
  void Carry(std::size_t asker, std::size_t replica, std::function<void()> arrive);

  const ScheduleOptions options_;
  std::mt19937_64 random_;
  security::SigningKey key_;
  std::unique_ptr<registry::Sim> sim_;
  std::vector<std::unique_ptr<Replica>> replicas_;
  std::vector<Asker*> askers_;
  std::map<std::pair<std::size_t, std::size_t>, Instant> cut_until_;
  std::optional<Duration> crash_for_;
  unsigned lost_percent_ = 0;
  unsigned repeated_percent_ = 0;
  std::string history_;
};

}  // namespace accelmesh::market
