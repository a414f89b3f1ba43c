// slot-market as a process, and clients of it over CURVE.
#include <gmock/gmock.h>
#include <signal.h>
#include <zmq.h>

#include <filesystem>
#include <set>
#include <thread>

#include "protocol/security/curve.h"
#include "protocol/security/lease_token.h"
#include "protocol/transport/curve_socket.h"
#include "tests/integration/market/market_process.h"

namespace accelmesh::market {
namespace {

using testing::HasSubstr;

class SlotMarketTest : public testing::Test {
 protected:
  SlotMarketTest()
      : admin_(MakeIdentity(folder_, "boss", security::Role::kAdmin)),
        provider_(MakeIdentity(folder_, "server", security::Role::kProvider)),
        tenant_(MakeIdentity(folder_, "default", security::Role::kTenant)) {}

  std::unique_ptr<MarketClient> Client(const MarketProcess& market, const security::Identity& identity) {
    return std::make_unique<MarketClient>(market.address(), identity.key, "test");
  }

  Folder folder_;
  security::Identity admin_;
  security::Identity provider_;
  security::Identity tenant_;
};

TEST_F(SlotMarketTest, GrantsRenewsResizesAndTakesBack) {
  MarketProcess market(folder_);
  const auto server = Client(market, provider_);
  const auto tenant = Client(market, tenant_);
  std::vector<messages::PushT> pushes;
  server->OnPush([&](const messages::PushT& push) { pushes.push_back(push); });
  const auto registered = Ask<messages::RegisteredT>(*server, ServerWith("alpha", 2, 0.2, 100), In(5));
  ASSERT_TRUE(registered.ok()) << registered.status().ToString();
  EXPECT_EQ(registered->server, HexKey(provider_));
  EXPECT_EQ(registered->epochs.size(), 2U);

  const auto ask = AskFor("0.05 TOPS fp32 matmul, 1GiB");
  const auto grants = Ask<messages::GrantsT>(*tenant, ask, In(5));
  ASSERT_TRUE(grants.ok()) << grants.status().ToString();
  ASSERT_EQ(grants->granted.size(), 1U);
  const messages::GrantedT& granted = *grants->granted[0];
  EXPECT_EQ(granted.lease->share_milli, 300U);  // a quarter, in steps of a tenth
  EXPECT_EQ(granted.lease->memory_bytes, 1ULL << 30);
  EXPECT_EQ(granted.lease->epoch, 1U);
  EXPECT_EQ(granted.lease->price_microcredits_per_hour, 300'000);
  EXPECT_EQ(granted.lease->tenant_name, "default");
  EXPECT_THAT(granted.endpoints, testing::ElementsAre("tcp://127.0.0.1:7700"));
  const auto curve = security::CurveKeyOf(provider_.key.public_key());
  EXPECT_THAT(granted.server_curve_key, testing::ElementsAreArray(curve->bytes));

  // The token is what a server verifies, offline.
  security::LeaseCheck check;
  const security::PublicKey market_key = market.address().key;
  check.markets = {&market_key, 1};
  check.server = HexKey(provider_);
  check.client_key.bytes.fill(7);
  check.now_ms = granted.lease->not_before_ms + 10;
  const auto lease = security::VerifyLease(granted.token, check);
  ASSERT_TRUE(lease.ok()) << lease.status().ToString();
  EXPECT_EQ(lease->grant.slot, granted.lease->slot);
  EXPECT_EQ(lease->terms.share_milli, 300U);

  // Asked again, the same.
  const auto again = Ask<messages::GrantsT>(*tenant, ask, In(5));
  ASSERT_TRUE(again.ok());
  ASSERT_EQ(again->granted.size(), 1U);
  EXPECT_EQ(again->granted[0]->lease->id, granted.lease->id);
  const auto account = Ask<messages::AccountT>(*tenant, messages::GetAccountT{}, In(5));
  EXPECT_EQ(account->held_microcredits, 5'000);  // 0.3 credits an hour for a minute
  EXPECT_EQ(account->balance_microcredits + account->held_microcredits, 1'000'000'000);

  messages::RenewLeaseT renew;
  renew.operation_id = MakeOperationId();
  renew.lease = granted.lease->id;
  renew.lease_us = 120'000'000;
  const auto renewed = Ask<messages::GrantedT>(*tenant, renew, In(5));
  ASSERT_TRUE(renewed.ok()) << renewed.status().ToString();
  EXPECT_GT(renewed->lease->not_after_ms, granted.lease->not_after_ms);
  EXPECT_EQ(renewed->lease->epoch, 1U);

  messages::ResizeLeaseT resize;
  resize.operation_id = MakeOperationId();
  resize.lease = granted.lease->id;
  resize.share_milli = 100;
  const auto resized = Ask<messages::GrantedT>(*tenant, resize, In(5));
  ASSERT_TRUE(resized.ok()) << resized.status().ToString();
  EXPECT_EQ(resized->lease->share_milli, 100U);
  resize.operation_id = MakeOperationId();
  resize.share_milli = 200;
  EXPECT_EQ(Ask<messages::GrantedT>(*tenant, resize, In(5)).code(), Code::kInvalidArgument);

  messages::ReleaseLeaseT release;
  release.operation_id = MakeOperationId();
  release.lease = granted.lease->id;
  const auto released = Ask<messages::DoneT>(*tenant, release, In(5));
  ASSERT_TRUE(released.ok()) << released.status().ToString();
  EXPECT_EQ(released->lease->state, "released");
  // The server hears of it.
  EXPECT_EQ(server->Poll(Deadline::After(std::chrono::milliseconds(500))).code(), Code::kDeadlineExceeded);
  ASSERT_EQ(pushes.size(), 3U);
  EXPECT_EQ(pushes[0].body.type, messages::PushBody::LeaseGranted);
  ASSERT_EQ(pushes[1].body.type, messages::PushBody::LeaseShrunk);
  EXPECT_EQ(pushes[1].body.AsLeaseShrunk()->share_milli, 100U);
  ASSERT_EQ(pushes[2].body.type, messages::PushBody::EpochRaised);
  EXPECT_EQ(pushes[2].body.AsEpochRaised()->lease, granted.lease->id);
  // Money: nothing is made or lost.
  const auto boss = Client(market, admin_);
  const auto accounts = Ask<messages::AccountsT>(*boss, messages::ListAccountsT{}, In(5));
  ASSERT_TRUE(accounts.ok()) << accounts.status().ToString();
  std::int64_t sum = 0;
  for (const auto& one : accounts->accounts) {
    sum += one->balance_microcredits + one->held_microcredits + one->bond_microcredits;
  }
  EXPECT_EQ(sum, accounts->deposits_microcredits);
  EXPECT_EQ(market.End(), 0);
}

TEST_F(SlotMarketTest, SaysWhyNothingIsGrantedAndLetsRequestsWait) {
  MarketProcess market(folder_);
  const auto server = Client(market, provider_);
  const auto tenant = Client(market, tenant_);
  ASSERT_TRUE(Ask<messages::RegisteredT>(*server, ServerWith("alpha", 1, 0.2), In(5)).ok());
  const auto none = Ask<messages::GrantsT>(*tenant, AskFor("0.05 TOPS fp32, 16GiB"), In(5));
  ASSERT_TRUE(none.ok()) << none.status().ToString();
  EXPECT_TRUE(none->granted.empty());
  ASSERT_EQ(none->rejections.size(), 1U);
  ASSERT_EQ(none->rejections[0]->gaps.size(), 1U);
  EXPECT_EQ(none->rejections[0]->gaps[0]->dimension, "memory");

  const auto first = Ask<messages::GrantsT>(*tenant, AskFor("0.05 TOPS fp32"), In(5));
  ASSERT_EQ(first->granted.size(), 1U);
  // The second waits until the first gives back.
  std::thread giver([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    MarketClient other(market.address(), tenant_.key, "giver");
    messages::ReleaseLeaseT release;
    release.operation_id = MakeOperationId();
    release.lease = first->granted[0]->lease->id;
    EXPECT_TRUE(Ask<messages::DoneT>(other, release, In(5)).ok());
  });
  const Instant begin = Clock::now();
  const auto second = Ask<messages::GrantsT>(*tenant, AskFor("0.05 TOPS fp32", 60'000, 10'000), In(15));
  giver.join();
  ASSERT_TRUE(second.ok()) << second.status().ToString();
  EXPECT_EQ(second->granted.size(), 1U);
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(3));
  EXPECT_EQ(second->granted[0]->lease->epoch, 2U);
}

TEST_F(SlotMarketTest, RefusesStrangersWrongRolesAndNonsense) {
  MarketProcess market(folder_);
  const auto stranger = security::SigningKey::Generate();
  MarketClient unknown(market.address(), *stranger, "stranger");
  const Instant begin = Clock::now();
  const auto refused = Ask<messages::SlotsT>(unknown, messages::ListSlotsT{}, In(5));
  EXPECT_EQ(refused.code(), Code::kPermissionDenied) << refused.status().ToString();
  EXPECT_THAT(refused.status().text(), HasSubstr("slotctl keys trust"));
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(4));

  const auto tenant = Client(market, tenant_);
  messages::DepositT deposit;
  deposit.operation_id = MakeOperationId();
  deposit.identity = HexKey(tenant_);
  deposit.microcredits = 5;
  EXPECT_EQ(Ask<messages::AccountT>(*tenant, deposit, In(5)).code(), Code::kPermissionDenied);
  EXPECT_EQ(Ask<messages::RegisteredT>(*tenant, ServerWith("alpha", 1, 1), In(5)).code(), Code::kPermissionDenied);
  EXPECT_EQ(Ask<messages::GrantsT>(*tenant, AskFor("seven bananas"), In(5)).code(), Code::kInvalidArgument);
  messages::ReleaseLeaseT release;
  release.operation_id = {1, 2, 3};
  release.lease = "x";
  EXPECT_EQ(Ask<messages::DoneT>(*tenant, release, In(5)).code(), Code::kBadFrame);

  // An admin lets the stranger in, and bans it again.
  const auto boss = Client(market, admin_);
  messages::TrustT trust;
  trust.identity = security::HexOf(stranger->public_key().bytes);
  trust.name = "guest";
  trust.role = "tenant";
  ASSERT_TRUE(Ask<messages::AccountT>(*boss, trust, In(5)).ok());
  const auto greeted = Ask<messages::SlotsT>(unknown, messages::ListSlotsT{}, In(5));
  EXPECT_TRUE(greeted.ok()) << greeted.status().ToString();
  trust.is_banned = true;
  ASSERT_TRUE(Ask<messages::AccountT>(*boss, trust, In(5)).ok());
  EXPECT_EQ(Ask<messages::SlotsT>(unknown, messages::ListSlotsT{}, In(5)).code(), Code::kPermissionDenied);
}

// One client, refused over and over: what is left of a connection that was refused never stands in the way of the next.
TEST_F(SlotMarketTest, AStrangerIsToldEachTimeThatItAsks) {
  MarketProcess market(folder_);
  const auto stranger = security::SigningKey::Generate();
  MarketClient unknown(market.address(), *stranger, "stranger");
  for (int i = 0; i < 500; ++i) {
    const auto refused = Ask<messages::SlotsT>(unknown, messages::ListSlotsT{}, In(5));
    ASSERT_EQ(refused.code(), Code::kPermissionDenied) << "time " << i << ": " << refused.status().ToString();
  }
}

// A client of the worst kind: let in, and sending whatever it likes.
class Rude {
 public:
  Rude(const MarketProcess& market, const security::Identity& identity)
      : context_(zmq_ctx_new()), socket_(zmq_socket(context_, ZMQ_DEALER)) {
    const int none = 0;
    zmq_setsockopt(socket_, ZMQ_LINGER, &none, sizeof(none));
    const Status status =
        zmq::SecureClient(socket_, {*security::CurveKeyOf(market.address().key), *security::CurvePairOf(identity.key)});
    if (!status.ok() || zmq_connect(socket_, market.url().c_str()) != 0) std::abort();
  }
  ~Rude() {
    zmq_close(socket_);
    zmq_ctx_term(context_);
  }
  Rude(const Rude&) = delete;
  Rude& operator=(const Rude&) = delete;
  void Send(const Bytes& bytes, int flags = 0) { zmq_send(socket_, bytes.data(), bytes.size(), flags | ZMQ_DONTWAIT); }

 private:
  void* const context_;
  void* const socket_;
};

TEST_F(SlotMarketTest, FloodsAndOversizedMessagesHarmNobodyElse) {
  MarketProcess market(folder_);
  const auto server = Client(market, provider_);
  const auto tenant = Client(market, tenant_);
  ASSERT_TRUE(Ask<messages::RegisteredT>(*server, ServerWith("alpha", 20, 0.2), In(5)).ok());
  Rude large(market, tenant_);
  large.Send(Bytes(kMessageBytesMax + 1, 'x'));
  large.Send(Bytes(10, 'x'), ZMQ_SNDMORE);
  large.Send(Bytes(10, 'x'));
  messages::RequestT request;
  request.body.Set(messages::ListSlotsT{});
  const Bytes list = EncodeRequest(request);
  Rude flood(market, tenant_);
  for (int i = 0; i < 20'000; ++i) flood.Send(i % 3 == 0 ? Bytes(200, 'x') : list);
  // It is answered among the flood, not behind it.
  for (int i = 0; i < 20; ++i) {
    const Instant begin = Clock::now();
    const auto slots = Ask<messages::SlotsT>(*tenant, messages::ListSlotsT{}, In(5));
    ASSERT_TRUE(slots.ok()) << slots.status().ToString();
    EXPECT_LT(Clock::now() - begin, std::chrono::seconds(2));
  }
  EXPECT_FALSE(market.has_ended());
}

TEST_F(SlotMarketTest, AClientThatDoesNotKnowTheMarketsKeyIsTold) {
  MarketProcess market(folder_);
  MarketAddress address = market.address();
  address.key = security::SigningKey::Generate()->public_key();
  MarketClient client(address, tenant_.key, "test");
  const auto slots = Ask<messages::SlotsT>(client, messages::ListSlotsT{}, In(3));
  EXPECT_FALSE(slots.ok());
  EXPECT_TRUE(slots.code() == Code::kUnavailable || slots.code() == Code::kPermissionDenied)
      << slots.status().ToString();
}

// A program of the same user, whose key was made a moment ago, right after another one has come.
TEST_F(SlotMarketTest, AKeyThatWasJustMadeIsLetIn) {
  MarketProcess market(folder_);
  const auto boss = Client(market, admin_);
  ASSERT_TRUE(Ask<messages::SlotsT>(*boss, messages::ListSlotsT{}, In(5)).ok());
  const security::Identity fresh = MakeIdentity(folder_, "fresh", security::Role::kTenant);
  MarketClient client(market.address(), fresh.key, "fresh");
  const auto slots = Ask<messages::SlotsT>(client, messages::ListSlotsT{}, In(5));
  EXPECT_TRUE(slots.ok()) << slots.status().ToString();
}

TEST_F(SlotMarketTest, ALostServerEndsItsLeasesAndTheTenantIsRefunded) {
  MarketProcess market(folder_);
  auto server = Client(market, provider_);
  const auto tenant = Client(market, tenant_);
  ASSERT_TRUE(Ask<messages::RegisteredT>(*server, ServerWith("alpha", 1, 0.2), In(5)).ok());
  const auto grants = Ask<messages::GrantsT>(*tenant, AskFor("0.1 TOPS fp32", 600'000), In(5));
  ASSERT_EQ(grants->granted.size(), 1U);
  server.reset();
  std::string state;
  for (int i = 0; i < 150 && state != "server lost"; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const auto leases = Ask<messages::LeasesT>(*tenant, messages::ListLeasesT{}, In(5));
    ASSERT_TRUE(leases.ok());
    state = leases->leases.at(0)->state;
  }
  EXPECT_EQ(state, "server lost");
  const auto slots = Ask<messages::SlotsT>(*tenant, messages::ListSlotsT{}, In(5));
  EXPECT_FALSE(slots->slots.at(0)->is_reachable);
  const auto account = Ask<messages::AccountT>(*tenant, messages::GetAccountT{}, In(5));
  EXPECT_EQ(account->held_microcredits, 0);
  EXPECT_GE(account->balance_microcredits, 999'990'000);
}

// libzmq's heartbeats end a process whose queue of received messages is full when its peer goes. There are none.
TEST_F(SlotMarketTest, AClientThatDoesNotReadOutlivesTheMarket) {
  MarketProcess market(folder_);
  const auto server = Client(market, provider_);
  const messages::RegisterServerT all = ServerWith("alpha", 100, 0.2);
  ASSERT_TRUE(Ask<messages::RegisteredT>(*server, all, In(5)).ok());
  const auto boss = Client(market, admin_);
  // A push for each of its slots each time, more than its queue holds.
  for (int i = 0; i < 15; ++i) {
    messages::DrainSlotsT drain;
    for (const auto& slot : all.slots) drain.slots.push_back(slot->id);
    drain.drain = i % 2 == 0;
    ASSERT_TRUE(Ask<messages::SlotsT>(*boss, std::move(drain), In(5)).ok());
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  market.Kill();
  // Long enough for two heartbeats, if there were any: the first finds out that nobody is there.
  std::this_thread::sleep_for(std::chrono::milliseconds(5000));
  int pushes = 0;
  server->OnPush([&](const messages::PushT&) { ++pushes; });
  EXPECT_EQ(server->Poll(In(2)).code(), Code::kUnavailable);
  EXPECT_GE(pushes, 900);
}

TEST_F(SlotMarketTest, KillNineLosesNothingThatWasAcknowledged) {
  std::vector<std::string> granted;
  for (int life = 0; life < 3; ++life) {
    MarketProcess market(folder_);
    const auto server = Client(market, provider_);
    ASSERT_TRUE(Ask<messages::RegisteredT>(*server, ServerWith("alpha", 4, 0.2, 10), In(5)).ok());
    std::thread killer([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(250));
      market.Kill();
    });
    MarketClient tenant(market.address(), tenant_.key, "test");
    while (true) {
      const auto grants = Ask<messages::GrantsT>(tenant, AskFor("0.002 TOPS fp32", 800'000),
                                                 Deadline::After(std::chrono::milliseconds(400)));
      if (!grants.ok() || grants->granted.empty()) break;
      granted.push_back(grants->granted[0]->lease->id);
    }
    killer.join();
  }
  EXPECT_GT(granted.size(), 10U);
  MarketProcess market(folder_);
  MarketClient tenant(market.address(), tenant_.key, "test");
  const auto leases = Ask<messages::LeasesT>(tenant, messages::ListLeasesT{}, In(5));
  ASSERT_TRUE(leases.ok());
  std::set<std::string> there;
  for (const auto& lease : leases->leases) {
    if (lease->state == "active") there.insert(lease->id);
  }
  for (const std::string& id : granted) EXPECT_TRUE(there.contains(id)) << id;
}

TEST_F(SlotMarketTest, ADamagedOrForeignDatabaseIsRefusedWithTheRemedy) {
  {
    MarketProcess market(folder_);
    const auto server = Client(market, provider_);
    ASSERT_TRUE(Ask<messages::RegisteredT>(*server, ServerWith("alpha", 30, 0.2, 10), In(5)).ok());
    EXPECT_EQ(market.End(), 0);
  }
  const std::string path = folder_.Path("market.sqlite");
  std::filesystem::copy_file(path, path + ".copy");
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  const auto [code, said] = RunToEnd(folder_, {});
  EXPECT_EQ(code, 1);
  EXPECT_THAT(said, HasSubstr("damaged"));
  EXPECT_THAT(said, HasSubstr("put a copy of it back"));
  std::filesystem::copy_file(path + ".copy", path, std::filesystem::copy_options::overwrite_existing);
  EXPECT_NO_THROW(MarketProcess market(folder_));

  MarketProcess first(folder_);
  const auto [busy, busy_said] = RunToEnd(folder_, {});
  EXPECT_EQ(busy, 1);
  EXPECT_THAT(busy_said, HasSubstr("another process has it open"));
  const auto [taken, taken_said] =
      RunToEnd(folder_, {"--listen", first.url(), "--store", "sqlite:" + folder_.Path("other.sqlite")});
  EXPECT_EQ(taken, 1);
  EXPECT_THAT(taken_said, HasSubstr("give --listen another address"));
}

}  // namespace
}  // namespace accelmesh::market
