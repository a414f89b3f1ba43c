#include "tests/sim/schedule.h"

#include "market/core/receipts.h"
#include "protocol/base/log.h"
#include "tests/sim/actors.h"
#include "tests/sim/observer.h"

namespace accelmesh::market {
namespace {

constexpr auto kFaultsFor = std::chrono::seconds(16);
constexpr auto kHealsFor = std::chrono::seconds(12);
constexpr std::int64_t kWelcome = 5'000'000;

std::string IdentityOf(char digit) { return std::string(64, digit); }

class Market {
 public:
  explicit Market(const ScheduleOptions& options)
      : world_(options), observer_(world_.sim()), has_many_faults_(world_.Chance(50)) {
    for (char i = 0; i < 1 + static_cast<char>(world_.Random(2)); ++i) {
      // A server's identity is a key that signs, for its connection's key follows from it.
      const Bytes seed(security::kKeyBytes, static_cast<std::uint8_t>(i + 1));
      providers_.push_back(std::make_unique<Provider>(world_, security::SigningKey::FromSeed(seed).value(),
                                                      std::string("s") + static_cast<char>('a' + i)));
    }
    std::vector<Provider*> servers;
    for (const auto& provider : providers_) servers.push_back(provider.get());
    std::vector<std::string> names;
    for (char i = 0; i < 2 + static_cast<char>(world_.Random(3)); ++i) {
      const Bytes seed(security::kKeyBytes, static_cast<std::uint8_t>(100 + i));
      tenants_.push_back(std::make_unique<Tenant>(world_, security::SigningKey::FromSeed(seed).value(), servers));
      names.push_back(tenants_.back()->identity());
    }
    for (const auto& tenant : tenants_) {
      std::vector<Tenant*> others;
      for (const auto& other : tenants_) {
        if (other != tenant) others.push_back(other.get());
      }
      tenant->SetPeers(std::move(others));
    }
    admin_ = std::make_unique<Admin>(world_, IdentityOf('f'), names);
  }

  ScheduleResult Run() {
    for (const auto& replica : world_.replicas()) replica->Start();
    observer_.Start();
    for (const auto& provider : providers_)
      world_.Every(std::chrono::milliseconds(700), [p = provider.get()] { p->Act(); });
    for (const auto& tenant : tenants_) world_.Every(std::chrono::milliseconds(250), [t = tenant.get()] { t->Act(); });
    world_.Every(std::chrono::milliseconds(1500), [this] {
      if (!heals_) admin_->Act();
    });
    world_.Every(std::chrono::milliseconds(has_many_faults_ ? 500 : 2000), [this] {
      if (!heals_) Break();
    });
    const Instant begin = world_.sim().now();
    world_.sim().RunUntil(begin + kFaultsFor);
    Heal();
    world_.sim().RunUntil(begin + kFaultsFor + kHealsFor);
    CheckEnd();
    ScheduleResult result;
    result.faults = std::move(faults_);
    for (const auto& tenant : tenants_) {
      result.grants += tenant->grants();
      result.operations += tenant->operations();
    }
    for (const auto& replica : world_.replicas()) {
      result.elections += replica->total().elections;
      result.resyncs += replica->total().resyncs;
    }
    for (const auto* leases : {&observer_.leases(), &observer_.forgotten()}) {
      for (const auto& [id, lease] : *leases) {
        result.trades += lease.why.find("sold by") != std::string::npos ? 1 : 0;
        result.receipts += IsCounterSigned(lease) ? 1 : 0;
        result.refunds += lease.refunded > 0 ? 1 : 0;
      }
    }
    result.gone = observer_.gone();
    result.revisions = observer_.revisions();
    result.history = world_.history();
    return result;
  }

 private:
  Duration Some(std::uint64_t ms_most) { return std::chrono::milliseconds(1 + world_.Random(ms_most)); }
  std::int64_t Jump() { return static_cast<std::int64_t>(world_.Random(600'001)) - 300'000; }

  void Break() {
    auto& replicas = world_.replicas();
    const std::size_t which = world_.Random(replicas.size());
    Replica& replica = *replicas[which];
    switch (world_.Random(10)) {
      case 0:
      case 1:
        replica.Kill();
        world_.sim().At(world_.sim().now() + Some(3000), [&replica] {
          if (!replica.is_up()) replica.Start();
        });
        break;
      case 2: replica.Pause(Some(5000)); break;
      case 3:
        if (replica.is_up()) world_.sim().Partition(replica.store_client(), Some(5000));
        break;
      case 4: world_.Cut(world_.Random(tenants_.size() + providers_.size() + 1), which, Some(6000)); break;
      case 5:
        // Half of them when somebody is told something: then it shows what was told before it was on the disk.
        if (world_.Chance(50)) {
          world_.CrashAtNextAnswer(Some(1500));
        } else {
          world_.sim().Crash(Some(1500));
        }
        break;
      case 6: world_.sim().Pause(Some(2500)); break;
      case 7:
        if (world_.Chance(50)) {
          replica.JumpClock(Jump());
        } else {
          // Forward: leases of the registry end too early. Back, it would only keep a dead leader's place for as long.
          world_.sim().JumpClock(std::chrono::milliseconds(world_.Random(300'000)));
        }
        break;
      case 8: providers_[world_.Random(providers_.size())]->Crash(Some(6000)); break;
      default: providers_[world_.Random(providers_.size())]->JumpClock(Jump()); break;
    }
  }

  void Heal() {
    heals_ = true;
    world_.StopFaults();
    for (const auto& tenant : tenants_) {
      tenant->Stop();
      tenant->BePatient();
    }
    for (const auto& replica : world_.replicas()) {
      if (!replica->is_up()) replica->Start();
    }
  }

  void Fault(const std::string& what) { faults_.push_back(what); }

  void CheckEnd() {
    for (const std::string& fault : observer_.faults()) Fault(fault);
    for (const auto& provider : providers_) {
      for (const std::string& fault : provider->faults()) Fault(fault);
      if (!provider->is_registered()) Fault("a server is not registered after all faults have ended");
    }
    std::size_t leaders = 0;
    std::int64_t wall_most_ms = 0;
    for (const auto& replica : world_.replicas()) {
      if (replica->is_up() && replica->desk()->is_leading()) ++leaders;
      wall_most_ms = std::max(wall_most_ms, replica->wall_most_ms());
    }
    if (leaders != 1) Fault(std::to_string(leaders) + " replicas lead after all faults have ended");
    for (const auto& tenant : tenants_) {
      if (tenant->is_busy()) Fault("a request has no answer after all faults have ended");
      for (const auto& [id, known] : tenant->leases()) CheckLease(id, known, wall_most_ms);
      CheckDeposits(tenant->identity());
    }
  }

  struct Sales {
    bool is_all = false;            // all of it was sold
    std::set<std::uint32_t> rests;  // what was left of it after each sale of a part
  };
  Sales SalesOf(const std::string& id) const {
    Sales sales;
    for (const auto* leases : {&observer_.leases(), &observer_.forgotten()}) {
      for (const auto& [bought, lease] : *leases) {
        if (lease.bought.from != id) continue;
        if (lease.bought.rest_share_milli == 0) sales.is_all = true;
        sales.rests.insert(lease.bought.rest_share_milli);
      }
    }
    return sales;
  }

  // What the tenant was told stands in the registry, and no lease ended without a reason.
  void CheckLease(const std::string& id, const Known& known, std::int64_t wall_most_ms) {
    auto found = observer_.leases().find(id);
    if (found == observer_.leases().end()) {
      // Clocks that jump often enough make 15 minutes short; it was there, and ended for a reason.
      found = observer_.forgotten().find(id);
      if (found == observer_.forgotten().end()) return Fault("lease " + id + " was granted and is not there");
      if (found->second.state == LeaseState::kActive) return;  // its end was not seen
    }
    const LeaseRecord& lease = found->second;
    if (lease.slot != known.lease.slot || lease.epoch != known.lease.epoch) {
      return Fault("lease " + id + " is another than was granted");
    }
    const Sales sales = known.is_offered ? SalesOf(id) : Sales{};
    if (!known.may_differ) {
      const bool has_share = lease.share_milli == known.lease.share_milli || sales.rests.contains(lease.share_milli);
      // It ends when its buyer's begins.
      if (!has_share || (lease.not_after_ms != known.lease.not_after_ms && !sales.is_all)) {
        Fault("lease " + id + " does not have what its tenant was told last");
      }
    }
    if (lease.ask.number < known.ask_number) Fault("an order for lease " + id + " was taken and is not there");
    switch (lease.state) {
      case LeaseState::kActive:
      case LeaseState::kServerLost: break;
      case LeaseState::kPending: Fault("lease " + id + " was granted and is pending"); break;
      case LeaseState::kExpired:
        if (lease.not_after_ms > wall_most_ms) Fault("lease " + id + " expired before its end");
        break;
      case LeaseState::kReleased:
        if (!known.may_have_ended) Fault("lease " + id + " was given back and nobody asked for it");
        break;
      case LeaseState::kTransferred:
        if (!sales.is_all) Fault("lease " + id + " is another's and nobody has bought it");
        break;
      case LeaseState::kRevoked: Fault("lease " + id + " was revoked and nobody asked for it"); break;
    }
  }

  void CheckDeposits(const std::string& tenant) {
    const auto account = observer_.accounts().find(tenant);
    const std::int64_t deposited = account != observer_.accounts().end() ? account->second.deposited : 0;
    const std::int64_t told = admin_->told[tenant];
    const std::int64_t asked = admin_->asked[tenant] + kWelcome;
    if (deposited < told) Fault("a deposit that was acknowledged is not there");
    if (deposited > asked) Fault("more was deposited than anybody asked for");
  }

  World world_;
  Observer observer_;
  const bool has_many_faults_;
  bool heals_ = false;
  std::vector<std::unique_ptr<Provider>> providers_;
  std::vector<std::unique_ptr<Tenant>> tenants_;
  std::unique_ptr<Admin> admin_;
  std::vector<std::string> faults_;
};

}  // namespace

ScheduleResult RunSchedule(const ScheduleOptions& options) {
  log::SetSink([](log::Level, std::string_view) {});
  Market market(options);
  return market.Run();
}

}  // namespace accelmesh::market
