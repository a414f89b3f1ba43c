// Sim: a registry, its disk and the network to it, simulated: everything happens in virtual time, in an order that the
// caller's random numbers decide, so that the same seed gives the same history. For tests of whoever uses a registry.
//
// What can go wrong: the service crashes (what its disk had not synced is gone, and of what it was syncing a part),
// pauses, is cut off from a client; its clock jumps; messages of a client get lost or come again, in any order. Clients
// send again until their deadline, and the service knows a request that it has had: that is what keeps a repeated
// message from being applied twice.
//
// Threads: one. Ownership: outlives its clients; `random` outlives it.
#pragma once

#include <map>
#include <queue>
#include <random>

#include "market/registry/state.h"
#include "market/registry/watch_hub.h"

namespace accelmesh::registry {

struct SimOptions {
  Duration latency_min = std::chrono::microseconds(100);
  Duration latency_max = std::chrono::milliseconds(2);
  Duration sync = std::chrono::milliseconds(1);
  Duration retry = std::chrono::milliseconds(20);
  unsigned lost_percent = 0;      // of the messages of requests and answers
  unsigned repeated_percent = 0;  // of the messages of requests and answers
  std::size_t changes_max = 1000;

  // Mistakes that a store could make. Tests see by them that what they check would be noticed.
  enum class Mistake : std::uint8_t { kNone, kAnswersBeforeSync, kAppliesTwice, kReadsOldState };
  Mistake mistake = Mistake::kNone;
};

class Sim {
 public:
  Sim(SimOptions options, std::mt19937_64& random);
  ~Sim();
  Sim(const Sim&) = delete;
  Sim& operator=(const Sim&) = delete;

  // A client with a link of its own; the first one is number 0.
  std::unique_ptr<Registry> Connect();
  std::size_t clients() const { return clients_.size(); }  // the next one's number

  Instant now() const { return now_; }
  // Takes the clock to the next event and runs it.
  void Step();
  void RunUntil(Instant until);
  void At(Instant when, std::function<void()> event);

  void Crash(Duration down);
  void Pause(Duration wait);
  // Nothing passes between this client and the service; its watches end.
  void Partition(std::size_t client, Duration wait);
  // The clock by which the service lets leases expire.
  void JumpClock(Duration by) { clock_offset_ += by; }
  // Below `below`.
  std::uint64_t Random(std::uint64_t below) { return random_() % below; }

 private:
  class Client;
  using Value = std::shared_ptr<void>;  // a Result<T> that only the client's request knows the type of
  struct Reply {
    Value value;
    std::vector<Change> changes;
  };
  struct Request {
    std::size_t client = 0;
    std::uint64_t sequence = 0;
    std::uint64_t floor = 0;  // the client waits for no sequence below it
    bool reads_only = false;
    std::function<Reply(State&, Instant clock)> action;
  };
  struct Logged {
    Request request;
    Instant clock;
    Reply reply;
  };
  struct Session {
    std::uint64_t floor = 0;
    std::map<std::uint64_t, Value> answered;
  };
  struct Memory {
    State state;
    std::map<std::size_t, Session> sessions;
  };
  struct Due {
    Instant when;
    std::uint64_t order;
    std::function<void()> event;
    bool operator<(const Due& other) const { return when != other.when ? when > other.when : order > other.order; }
  };

  Duration Latency();
  bool Cut(std::size_t client) const;
  // Delivers over a link that loses and repeats.
  void Send(std::size_t client, const std::function<void()>& arrive);
  void Arrive(const Request& request);
  void Handle(const Request& request);
  static Reply Run(Memory& memory, const Request& request, Instant clock);
  void StartSync();
  void EndSync(std::uint64_t life);
  void MakeDurable(const Logged& logged);
  void Answer(const Request& request, const Value& value);
  void ExpireLeases();
  void Watch(std::size_t client, std::string prefix, Revision from, std::shared_ptr<SinkGate> gate);
  // While the service is paused, what it would do waits.
  bool Deferred(std::function<void()> event);
  Instant clock() const { return now_ + clock_offset_; }

  const SimOptions options_;
  std::mt19937_64& random_;
  Instant now_;
  std::uint64_t order_ = 0;
  std::priority_queue<Due> events_;

  Memory live_;
  Memory durable_;
  State old_;  // for kReadsOldState
  std::vector<Logged> gathering_;
  std::vector<Logged> syncing_;
  std::uint64_t life_ = 0;  // how often it has crashed
  Instant down_until_;
  Instant paused_until_;
  Duration clock_offset_{0};
  std::uint64_t expiries_ = 0;
  WatchHub hub_;

  std::map<std::size_t, std::weak_ptr<Client>> clients_;
  std::map<std::size_t, Instant> cut_until_;
  std::map<std::size_t, Instant> stream_until_;  // changes of a client's watches keep their order
};

}  // namespace accelmesh::registry
