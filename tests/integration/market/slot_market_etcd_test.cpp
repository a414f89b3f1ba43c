// Several slot-markets on one etcd: one leads, the others point to it, and another takes over when it is gone.
#include <gmock/gmock.h>
#include <signal.h>

#include <atomic>
#include <map>
#include <set>
#include <thread>

#include "tests/conformance/registry/etcd_cluster.h"
#include "tests/integration/market/market_process.h"

namespace accelmesh::market {
namespace {

std::string StoreOf(const registry::EtcdCluster& cluster) {
  std::string urls;
  for (const std::string& endpoint : cluster.endpoints())
    urls += (urls.empty() ? "etcd:http://" : ",http://") + endpoint;
  return urls;
}

class SlotMarketEtcdTest : public testing::Test {
 protected:
  SlotMarketEtcdTest()
      : cluster_(3, folder_.Path("etcd")),
        provider_(MakeIdentity(folder_, "server", security::Role::kProvider)),
        tenant_(MakeIdentity(folder_, "default", security::Role::kTenant)) {}

  std::unique_ptr<MarketProcess> Replica() {
    return std::make_unique<MarketProcess>(folder_, std::vector<std::string>{"--store", StoreOf(cluster_)});
  }
  MarketAddress Both(const MarketProcess& a, const MarketProcess& b) const {
    MarketAddress address = a.address();
    address.urls.push_back(b.url());
    return address;
  }
  // The first grant that comes through, and how long it took.
  Result<std::string> GrantWithin(MarketClient& tenant, std::chrono::seconds limit, Duration& took) {
    const Instant begin = Clock::now();
    const auto grants = Ask<messages::GrantsT>(tenant, AskFor("0.01 TOPS fp32", 600'000), Deadline::After(limit));
    took = Clock::now() - begin;
    if (!grants.ok()) return grants.status();
    if (grants->granted.empty()) return Status(Code::kNotFound, "test", "nothing was granted");
    return grants->granted[0]->lease->id;
  }

  Folder folder_;
  registry::EtcdCluster cluster_;
  security::Identity provider_;
  security::Identity tenant_;
};

TEST_F(SlotMarketEtcdTest, AnotherReplicaTakesOverAndNothingIsLost) {
  auto first = Replica();
  const auto second = Replica();
  const MarketAddress address = Both(*first, *second);
  std::atomic<bool> is_over = false;
  // A server that keeps itself registered, whoever leads.
  std::thread server([&] {
    MarketClient client(address, provider_.key, "server");
    std::uint64_t connection = 0;
    while (!is_over) {
      const bool is_new = client.connections() != connection || connection == 0;
      const Status status = is_new ? Ask<messages::RegisteredT>(client, ServerWith("alpha", 2, 0.5, 10), In(3)).status()
                                   : Ask<messages::KeptT>(client, messages::KeepServerT{}, In(3)).status();
      connection = status.ok() ? client.connections() : 0;
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
    }
  });
  MarketClient tenant(address, tenant_.key, "test");
  std::set<std::string> granted;
  Duration took{};
  for (int i = 0; i < 100 && granted.empty(); ++i) {
    if (const auto id = GrantWithin(tenant, std::chrono::seconds(5), took); id.ok()) granted.insert(*id);
    if (granted.empty()) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  ASSERT_FALSE(granted.empty());
  for (int i = 0; i < 10; ++i) {
    const auto id = GrantWithin(tenant, std::chrono::seconds(5), took);
    ASSERT_TRUE(id.ok()) << id.status().ToString();
    granted.insert(*id);
  }
  // The one that follows says who leads.
  MarketClient asks(second->address(), tenant_.key, "test");
  const auto status = Ask<messages::StatusReportT>(asks, messages::GetStatusT{}, In(5));
  ASSERT_TRUE(status.ok());
  EXPECT_FALSE(status->is_leader);
  EXPECT_EQ(status->leader, first->url());

  const Instant killed = Clock::now();
  first->Kill();
  const auto after = GrantWithin(tenant, std::chrono::seconds(15), took);
  const double failover = std::chrono::duration<double>(Clock::now() - killed).count();
  ASSERT_TRUE(after.ok()) << after.status().ToString();
  granted.insert(*after);
  std::printf("failover after kill -9: %.2f s until the next grant\n", failover);
  RecordProperty("failover_s", std::to_string(failover));
  EXPECT_LT(failover, 6.0);  // 3 s on an idle machine; tests share theirs
  // One that resigns is followed at once.
  auto third = Replica();
  MarketClient later({{second->url(), third->url()}, address.key}, tenant_.key, "test");
  const Instant ended = Clock::now();
  auto* leader = const_cast<MarketProcess*>(second.get());
  EXPECT_EQ(leader->End(), 0);
  const auto resigned = GrantWithin(later, std::chrono::seconds(15), took);
  std::printf("handover after SIGTERM: %.2f s\n", std::chrono::duration<double>(Clock::now() - ended).count());
  EXPECT_TRUE(resigned.ok()) << resigned.status().ToString();

  const auto leases = Ask<messages::LeasesT>(later, messages::ListLeasesT{}, In(5));
  ASSERT_TRUE(leases.ok()) << leases.status().ToString();
  std::map<std::string, std::string> states;
  for (const auto& lease : leases->leases) states[lease->id] = lease->state;
  for (const std::string& id : granted) EXPECT_EQ(states[id], "active") << id;
  is_over = true;
  server.join();
}

TEST_F(SlotMarketEtcdTest, AFrozenMemberAndAFrozenLeaderDoNoHarm) {
  auto first = Replica();
  const auto second = Replica();
  const MarketAddress address = Both(*first, *second);
  MarketClient server(address, provider_.key, "server");
  ASSERT_TRUE(Ask<messages::RegisteredT>(server, ServerWith("alpha", 2, 0.5, 10), In(10)).ok());
  MarketClient tenant(address, tenant_.key, "test");
  Duration took{};
  ASSERT_TRUE(GrantWithin(tenant, std::chrono::seconds(10), took).ok());
  // One of three members: the others are a majority.
  cluster_.Freeze(2);
  const auto with_two = GrantWithin(tenant, std::chrono::seconds(20), took);
  EXPECT_TRUE(with_two.ok()) << with_two.status().ToString();
  cluster_.Thaw(2);
  // The leader sleeps past its lease; who wakes up believes that it leads, and may write nothing.
  first->Signal(SIGSTOP);
  MarketClient other(second->address(), tenant_.key, "test");
  bool leads = false;
  for (int i = 0; i < 100 && !leads; ++i) {
    const auto status = Ask<messages::StatusReportT>(other, messages::GetStatusT{}, In(5));
    leads = status.ok() && status->is_leader;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_TRUE(leads);
  first->Signal(SIGCONT);
  MarketClient woken(first->address(), tenant_.key, "test");
  bool follows = false;
  for (int i = 0; i < 100 && !follows; ++i) {
    const auto status = Ask<messages::StatusReportT>(woken, messages::GetStatusT{}, In(5));
    follows = status.ok() && !status->is_leader && status->leader == second->url();
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_TRUE(follows);
}

}  // namespace
}  // namespace accelmesh::market
