#include "market/registry/sim/sim.h"

#include <limits>

#include "market/registry/sim/sim_client.h"

namespace accelmesh::registry {
namespace {

constexpr std::size_t kNobody = std::numeric_limits<std::size_t>::max();
constexpr Duration kExpiryTick = std::chrono::milliseconds(100);

Status Lost(const char* what) { return {Code::kUnavailable, "registry::Sim", what}; }

}  // namespace

Sim::Sim(SimOptions options, std::mt19937_64& random)
    : options_(options),
      random_(random),
      now_(Instant{} + std::chrono::hours(1)),
      down_until_(now_),
      paused_until_(now_),
      hub_(0, options.changes_max) {
  At(now_ + kExpiryTick, [this] { ExpireLeases(); });
}

Sim::~Sim() = default;

void Sim::At(Instant when, std::function<void()> event) {
  events_.push({std::max(when, now_), order_++, std::move(event)});
}

void Sim::Step() {
  // The queue only lends its first; nothing looks at it before it is popped.
  Due due = std::move(const_cast<Due&>(events_.top()));
  events_.pop();
  now_ = due.when;
  due.event();
}

void Sim::RunUntil(Instant until) {
  while (events_.top().when <= until) Step();
  now_ = until;
}

Duration Sim::Latency() {
  const auto spread = static_cast<std::uint64_t>((options_.latency_max - options_.latency_min).count());
  return options_.latency_min + Duration(static_cast<Duration::rep>(Random(spread + 1)));
}

bool Sim::Cut(std::size_t client) const {
  const auto cut = cut_until_.find(client);
  return cut != cut_until_.end() && now_ < cut->second;
}

void Sim::Send(std::size_t client, const std::function<void()>& arrive) {
  const unsigned copies = Random(100) < options_.repeated_percent ? 2 : 1;
  for (unsigned i = 0; i < copies; ++i) {
    if (Random(100) < options_.lost_percent) continue;
    At(now_ + Latency(), [this, client, arrive] {
      if (!Cut(client)) arrive();
    });
  }
}

bool Sim::Deferred(std::function<void()> event) {
  if (now_ >= paused_until_) return false;
  At(paused_until_, std::move(event));
  return true;
}

void Sim::Arrive(const Request& request) {
  if (now_ < down_until_) return;
  // A service that crashes while it pauses loses what waits.
  const auto later = [this, request, life = life_] {
    if (life == life_) Arrive(request);
  };
  if (!Deferred(later)) Handle(request);
}

Sim::Reply Sim::Run(Memory& memory, const Request& request, Instant clock) {
  Session& session = memory.sessions[request.client];
  session.floor = std::max(session.floor, request.floor);
  session.answered.erase(session.answered.begin(), session.answered.lower_bound(session.floor));
  Reply reply = request.action(memory.state, clock);
  session.answered[request.sequence] = reply.value;
  return reply;
}

void Sim::Handle(const Request& request) {
  const bool remembers = options_.mistake != SimOptions::Mistake::kAppliesTwice;
  const Session& session = live_.sessions[request.client];
  if (remembers && request.sequence < session.floor) return;
  if (remembers && session.answered.contains(request.sequence)) {
    const Session& durable = durable_.sessions[request.client];
    const auto answered = durable.answered.find(request.sequence);
    // Else its sync is under way.
    if (answered != durable.answered.end()) Answer(request, answered->second);
    return;
  }
  if (options_.mistake == SimOptions::Mistake::kReadsOldState && request.reads_only) {
    return Answer(request, request.action(old_, clock()).value);
  }
  Reply reply = Run(live_, request, clock());
  if (options_.mistake == SimOptions::Mistake::kAnswersBeforeSync) Answer(request, reply.value);
  gathering_.push_back({request, clock(), std::move(reply)});
  if (syncing_.empty()) StartSync();
}

void Sim::StartSync() {
  syncing_ = std::move(gathering_);
  gathering_.clear();
  if (syncing_.empty()) return;
  At(now_ + options_.sync, [this, life = life_] { EndSync(life); });
}

void Sim::MakeDurable(const Logged& logged) { (void)Run(durable_, logged.request, logged.clock); }

void Sim::EndSync(std::uint64_t life) {
  if (life != life_ || Deferred([this, life] { EndSync(life); })) return;
  if (Random(8) == 0) old_ = durable_.state;
  const std::vector<Logged> synced = std::move(syncing_);
  for (const Logged& logged : synced) MakeDurable(logged);
  for (const Logged& logged : synced) {
    Answer(logged.request, logged.reply.value);
    for (const Change& change : logged.reply.changes) hub_.Publish(change.revision, change.events);
  }
  StartSync();
}

void Sim::Answer(const Request& request, const Value& value) {
  const auto found = clients_.find(request.client);
  if (found == clients_.end()) return;
  Send(request.client, [client = found->second, sequence = request.sequence, value] {
    if (const std::shared_ptr<Client> alive = client.lock()) alive->OnAnswer(sequence, value);
  });
}

void Sim::ExpireLeases() {
  At(now_ + kExpiryTick, [this] { ExpireLeases(); });
  if (now_ < down_until_ || now_ < paused_until_) return;
  for (const LeaseId id : live_.state.ExpiredLeases(clock())) {
    Request request;
    request.client = kNobody;
    request.sequence = ++expiries_;
    request.floor = expiries_;
    request.action = [id](State& state, Instant) -> Reply {
      Reply reply;
      if (Result<State::Applied> applied = state.RevokeLease(id); applied.ok() && !applied->events.empty()) {
        reply.changes.push_back({applied->result.revision, std::move(applied->events)});
      }
      return reply;
    };
    Handle(request);
  }
}

void Sim::Watch(std::size_t client, std::string prefix, Revision from, std::shared_ptr<SinkGate> gate) {
  if (now_ < down_until_ || Cut(client)) {
    gate->Call(Lost("the service does not answer"));
    return;
  }
  // A stream: nothing in it is lost or repeated, and it breaks where it cannot go on.
  auto stream = std::make_shared<SinkGate>([this, client, gate](Result<Change> change) {
    Instant& until = stream_until_[client];
    until = std::max(until, now_ + Latency());
    At(until, [this, client, gate, change = std::move(change)] {
      gate->Call(Cut(client) ? Result<Change>(Lost("the connection broke")) : change);
    });
  });
  hub_.Add(std::move(prefix), from, std::move(stream));
}

void Sim::Crash(Duration down) {
  ++life_;
  // How far the disk came.
  if (!syncing_.empty()) {
    const std::uint64_t synced = Random(syncing_.size() + 1);
    for (std::uint64_t i = 0; i < synced; ++i) MakeDurable(syncing_[i]);
  }
  syncing_.clear();
  gathering_.clear();
  hub_.End(Lost("the service crashed"));
  down_until_ = std::max(down_until_, now_ + down);
  paused_until_ = now_;
  // Nobody could keep a lease alive meanwhile: they begin anew.
  const Instant anew = clock() + down;
  const std::map<LeaseId, State::Lease> leases = durable_.state.leases();
  for (const auto& [id, lease] : leases) (void)durable_.state.KeepLease(id, anew);
  live_ = durable_;
  hub_ = WatchHub(durable_.state.revision(), options_.changes_max);
}

void Sim::Pause(Duration wait) { paused_until_ = std::max(paused_until_, now_ + wait); }

void Sim::Partition(std::size_t client, Duration wait) {
  cut_until_[client] = std::max(cut_until_[client], now_ + wait);
  const auto found = clients_.find(client);
  if (found == clients_.end()) return;
  if (const std::shared_ptr<Client> alive = found->second.lock()) alive->BreakStreams();
}

std::unique_ptr<Registry> Sim::Connect() {
  const std::size_t number = clients_.size();
  auto client = std::make_shared<Client>(*this, number);
  clients_[number] = client;
  return std::make_unique<Client::Face>(std::move(client));
}

}  // namespace accelmesh::registry
