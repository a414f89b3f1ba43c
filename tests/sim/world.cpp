#include "tests/sim/world.h"

#include "market/client/messages.h"

namespace accelmesh::market {
namespace {

constexpr auto kTick = std::chrono::milliseconds(40);
constexpr auto kRetry = std::chrono::milliseconds(400);
// An ordinary day; the hour decides the season of prices.
constexpr std::int64_t kEpochMs = 1'790'000'000'000;

registry::SimOptions StoreOptions(const ScheduleOptions& options, std::mt19937_64& random) {
  registry::SimOptions store;
  store.lost_percent = static_cast<unsigned>(random() % 10);
  store.repeated_percent = static_cast<unsigned>(random() % 10);
  store.latency_max = std::chrono::milliseconds(1 + random() % 8);
  store.sync = std::chrono::milliseconds(1 + random() % 10);
  if (options.mistake == ScheduleOptions::Mistake::kAnswersTooEarly) {
    store.mistake = registry::SimOptions::Mistake::kAnswersBeforeSync;
  }
  return store;
}

// A registry whose transactions compare nothing.
class Careless final : public registry::Registry {
 public:
  explicit Careless(std::unique_ptr<registry::Registry> inner) : inner_(std::move(inner)) {}
  void Submit(registry::Txn txn, Instant deadline, registry::Done<registry::TxnResult> done) override {
    txn.compares.clear();
    inner_->Submit(std::move(txn), deadline, std::move(done));
  }
  void Snapshot(std::string prefix, Instant deadline, registry::Done<registry::SnapshotResult> done) override {
    inner_->Snapshot(std::move(prefix), deadline, std::move(done));
  }
  void GrantLease(std::chrono::seconds ttl, Instant deadline, registry::Done<registry::LeaseResult> done) override {
    inner_->GrantLease(ttl, deadline, std::move(done));
  }
  void KeepLease(registry::LeaseId id, Instant deadline, registry::Done<registry::LeaseResult> done) override {
    inner_->KeepLease(id, deadline, std::move(done));
  }
  void RevokeLease(registry::LeaseId id, Instant deadline, registry::Done<registry::Revision> done) override {
    inner_->RevokeLease(id, deadline, std::move(done));
  }
  std::unique_ptr<registry::WatchHandle> Watch(std::string prefix, registry::Revision from,
                                               registry::WatchSink sink) override {
    return inner_->Watch(std::move(prefix), from, std::move(sink));
  }

 private:
  std::unique_ptr<registry::Registry> inner_;
};

security::SigningKey MarketKey() {
  const Bytes seed(security::kKeyBytes, 42);
  return std::move(security::SigningKey::FromSeed(seed)).value();
}

}  // namespace

Replica::Replica(World& world, std::size_t number) : world_(world), number_(number) {}
Replica::~Replica() = default;

std::int64_t Replica::wall_ms() const { return world_.TrueMs() + wall_offset_ms_; }

void Replica::Do(std::function<void()> what) {
  const Instant now = world_.sim().now();
  world_.sim().At(std::max(now, paused_until_), [this, life = life_, what = std::move(what)]() mutable {
    if (life != life_ || desk_ == nullptr) return;
    if (world_.sim().now() < paused_until_) return Do(std::move(what));
    what();
  });
}

void Replica::Start() {
  ++life_;
  store_client_ = world_.sim().clients();
  registry_ = world_.sim().Connect();
  if (world_.options().mistake == ScheduleOptions::Mistake::kNoCompares) {
    registry_ = std::make_unique<Careless>(std::move(registry_));
  }
  DeskOptions options;
  options.name = "replica " + std::to_string(number_);
  options.urls = {url()};
  options.store = "sim";
  options.welcome_credits = 5'000'000;
  options.price_step = std::chrono::seconds(3);
  options.node_ttl = std::chrono::seconds(4);
  // Short enough for some servers to be away longer.
  options.gone = std::chrono::seconds(4);
  // Where it is not so, transactions fail, and nothing else.
  options.keeps_order = world_.Chance(40);
  Desk::World surroundings;
  surroundings.post = [this](std::function<void()> what) { Do(std::move(what)); };
  surroundings.send = [this](const Peer& peer, const Bytes& bytes) { world_.FromReplica(number_, peer, bytes); };
  surroundings.local = [this](const std::string& identity) { return world_.Local(identity); };
  desk_ = std::make_unique<Desk>(std::move(options), *registry_, world_.key(), std::move(surroundings),
                                 world_.Random(~0ULL));
  Tick();
}

void Replica::Tick() {
  if (desk_->is_leading()) wall_most_ms_ = std::max(wall_most_ms_, wall_ms());
  desk_->Tick(world_.sim().now(), wall_ms());
  world_.sim().At(world_.sim().now() + kTick, [this, life = life_] {
    if (life != life_) return;
    Do([this] { Tick(); });
  });
}

void Replica::Kill() {
  ++life_;
  if (desk_ == nullptr) return;
  earlier_ = total();
  desk_.reset();
  registry_.reset();
  paused_until_ = world_.sim().now();
}

void Replica::Pause(Duration wait) { paused_until_ = std::max(paused_until_, world_.sim().now() + wait); }

void Replica::Deliver(const Peer& peer, const std::string& identity, Bytes bytes) {
  if (desk_ == nullptr) return;
  Do([this, peer, identity, bytes = std::move(bytes)] {
    desk_->OnMessage(peer, identity, bytes);
    desk_->Flush();
  });
}

DeskCounts Replica::total() const {
  DeskCounts sum = earlier_;
  if (desk_ == nullptr) return sum;
  sum.elections += desk_->counts().elections;
  sum.resyncs += desk_->counts().resyncs;
  return sum;
}

Asker::Asker(World& world, std::string identity, MarketRole role)
    : world_(world), identity_(std::move(identity)), role_(role) {
  world_.Add(*this);
}

void Asker::Aim(std::size_t target) {
  if (target != target_ || connection_ == 0) {
    ++connection_;
    target_ = target;
    Reconnected();
  }
}

void Asker::Ask(messages::RequestT request) {
  request.number = ++asked_;
  request_ = std::make_shared<messages::RequestT>(std::move(request));
  give_up_ = world_.sim().now() + patience_;
  if (connection_ == 0) Aim(world_.Random(world_.replicas().size()));
  Send();
}

void Asker::Send() {
  world_.ToReplica(*this, target_, EncodeRequest(*request_));
  world_.sim().At(world_.sim().now() + kRetry, [this, asked = asked_] { Retry(asked); });
}

void Asker::Retry(std::uint64_t asked) {
  if (request_ == nullptr || asked != asked_) return;
  if (world_.sim().now() >= give_up_) {
    const std::shared_ptr<messages::RequestT> request = std::move(request_);
    request_ = nullptr;
    return Answered(*request, nullptr);
  }
  // Silence: the same again, mostly somewhere else.
  if (world_.Chance(60)) Aim(world_.Random(world_.replicas().size()));
  Send();
}

void Asker::OnBytes(std::uint64_t connection, ByteView bytes) {
  if (connection != connection_) return;
  Result<messages::FromMarketT> message = DecodeFromMarket(bytes);
  if (!message.ok()) {
    world_.Note("bad message: " + message.status().ToString());
    return;
  }
  if (message->push != nullptr) return Pushed(*message->push);
  if (request_ == nullptr || message->reply->number != asked_) return;
  const messages::ReplyT& reply = *message->reply;
  if (reply.code != 0 && !reply.leader.empty()) {
    // Not the leader; the retry that is due asks there.
    for (std::size_t i = 0; i < world_.replicas().size(); ++i) {
      if (reply.leader != world_.replicas()[i]->url()) continue;
      Aim(i);
      return world_.ToReplica(*this, target_, EncodeRequest(*request_));
    }
    return;
  }
  if (reply.code == static_cast<std::uint16_t>(Code::kUnavailable) ||
      reply.code == static_cast<std::uint16_t>(Code::kFull))
    return;
  const std::shared_ptr<messages::RequestT> request = std::move(request_);
  request_ = nullptr;
  Answered(*request, &reply);
}

World::World(const ScheduleOptions& options) : options_(options), random_(options.seed), key_(MarketKey()) {
  sim_ = std::make_unique<registry::Sim>(StoreOptions(options_, random_), random_);
  lost_percent_ = static_cast<unsigned>(Random(12));
  repeated_percent_ = static_cast<unsigned>(Random(12));
  const std::size_t replicas = 1 + Random(3);
  for (std::size_t i = 0; i < replicas; ++i) replicas_.push_back(std::make_unique<Replica>(*this, i));
}

World::~World() = default;

std::int64_t World::TrueMs() const {
  return kEpochMs + std::chrono::duration_cast<std::chrono::milliseconds>(sim_->now().time_since_epoch()).count();
}

std::vector<std::uint8_t> World::OperationId() {
  std::vector<std::uint8_t> id(kOperationIdBytes);
  for (std::uint8_t& byte : id) byte = static_cast<std::uint8_t>(Random(256));
  return id;
}

void World::Add(Asker& asker) {
  asker.number_ = askers_.size();
  askers_.push_back(&asker);
}

std::optional<IdentityRecord> World::Local(const std::string& identity) const {
  for (const Asker* asker : askers_) {
    if (asker->identity() == identity) return IdentityRecord{"someone", asker->role(), false};
  }
  return std::nullopt;
}

void World::Carry(std::size_t asker, std::size_t replica, std::function<void()> arrive) {
  const unsigned copies = Chance(repeated_percent_) ? 2 : 1;
  for (unsigned i = 0; i < copies; ++i) {
    if (Chance(lost_percent_)) continue;
    const auto delay = std::chrono::microseconds(100 + Random(5000));
    sim_->At(sim_->now() + delay, [this, asker, replica, arrive] {
      const auto cut = cut_until_.find({asker, replica});
      if (cut == cut_until_.end() || sim_->now() >= cut->second) arrive();
    });
  }
}

void World::ToReplica(Asker& asker, std::size_t replica, Bytes bytes) {
  const Peer peer = std::to_string(asker.number_) + "#" + std::to_string(asker.connection_);
  Carry(asker.number_, replica, [this, replica, peer, identity = asker.identity(), bytes = std::move(bytes)] {
    replicas_[replica]->Deliver(peer, identity, bytes);
  });
}

void World::FromReplica(std::size_t replica, const Peer& peer, const Bytes& bytes) {
  if (const auto down = std::exchange(crash_for_, std::nullopt))
    sim_->At(sim_->now(), [this, down] { sim_->Crash(*down); });
  const std::size_t hash = peer.find('#');
  const std::size_t number = std::stoul(peer.substr(0, hash));
  const std::uint64_t connection = std::stoull(peer.substr(hash + 1));
  Carry(number, replica, [this, number, connection, bytes] { askers_[number]->OnBytes(connection, bytes); });
}

void World::Cut(std::size_t asker, std::size_t replica, Duration wait) {
  Instant& until = cut_until_[{asker, replica}];
  until = std::max(until, sim_->now() + wait);
}

void World::StopFaults() {
  lost_percent_ = repeated_percent_ = 0;
  crash_for_.reset();
  cut_until_.clear();
}

void World::Every(Duration period, std::function<void()> what) {
  sim_->At(sim_->now() + period / 2 +
               Duration(static_cast<Duration::rep>(Random(static_cast<std::uint64_t>(period.count())))),
           [this, period, what = std::move(what)] {
             what();
             Every(period, what);
           });
}

void World::Note(const std::string& what) {
  // A digest: whole histories of 100,000 schedules would fill a disk.
  std::uint64_t hash = 1469598103934665603ULL;
  for (const char c : history_ + what) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  history_ = std::to_string(hash);
}

}  // namespace accelmesh::market
