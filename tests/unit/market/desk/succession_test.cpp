// Replicas in virtual time: who follows a leader that is silent, how soon, and that nobody follows one that is not.
#include <gmock/gmock.h>

#include "market/desk/desk.h"
#include "market/registry/sim/sim.h"

namespace accelmesh::market {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kTick = milliseconds(10);
const std::string kAdmin(64, 'a');

class Replica {
 public:
  Replica(registry::Sim& sim, const security::SigningKey& key, int number)
      : sim_(sim), number_(sim.clients()), registry_(sim.Connect()) {
    DeskOptions options;
    options.name = "replica " + std::to_string(number);
    options.urls = {"tcp://replica:" + std::to_string(number)};
    // Nothing here is brought about by the lease's end.
    options.leader_ttl = seconds(3600);
    Desk::World world;
    world.post = [this](std::function<void()> what) {
      if (is_frozen_) return held_.push_back(std::move(what));
      what();
    };
    world.send = [this](const Peer&, const Bytes& bytes) { sent_.push_back(bytes); };
    world.local = [](const std::string& identity) -> std::optional<IdentityRecord> {
      if (identity == kAdmin) return IdentityRecord{"admin", MarketRole::kAdmin, false};
      return std::nullopt;
    };
    desk_.emplace(std::move(options), *registry_, key, std::move(world), 1);
    Tick();
  }

  void Freeze() { is_frozen_ = true; }
  void Thaw() {
    is_frozen_ = false;
    const auto held = std::exchange(held_, {});
    for (const auto& what : held) what();
    Tick();
  }
  void Deposit(std::uint64_t number) {
    messages::DepositT deposit;
    deposit.operation_id.assign(kOperationIdBytes, static_cast<std::uint8_t>(number));
    deposit.identity = kAdmin;
    deposit.microcredits = 1;
    messages::RequestT request;
    request.number = number;
    request.body.Set(std::move(deposit));
    desk_->OnMessage("peer", kAdmin, EncodeRequest(request));
    desk_->Flush();
  }
  std::optional<messages::ReplyT> Answer(std::uint64_t number) const {
    for (const Bytes& bytes : sent_) {
      Result<messages::FromMarketT> message = DecodeFromMarket(bytes);
      if (message.ok() && message->reply != nullptr && message->reply->number == number)
        return std::move(*message->reply);
    }
    return std::nullopt;
  }
  std::size_t client() const { return number_; }
  const Desk& desk() const { return *desk_; }

 private:
  void Tick() {
    if (is_frozen_) return;
    const auto ms = std::chrono::duration_cast<milliseconds>(sim_.now().time_since_epoch()).count();
    desk_->Tick(sim_.now(), ms);
    sim_.At(sim_.now() + kTick, [this] { Tick(); });
  }

  registry::Sim& sim_;
  const std::size_t number_;
  std::unique_ptr<registry::Registry> registry_;
  bool is_frozen_ = false;
  std::vector<std::function<void()>> held_;
  std::vector<Bytes> sent_;
  std::optional<Desk> desk_;
};

class SuccessionTest : public testing::Test {
 protected:
  SuccessionTest() : first_(sim_, key_, 1) {
    Run(seconds(1));
    for (int i = 2; i <= 3; ++i) others_.push_back(std::make_unique<Replica>(sim_, key_, i));
    Run(seconds(2));
  }
  void Run(Duration time) { sim_.RunUntil(sim_.now() + time); }
  std::size_t Leading() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(others_, [](const auto& other) { return other->desk().is_leading(); }));
  }
  std::uint64_t Elections() const {
    return others_[0]->desk().counts().elections + others_[1]->desk().counts().elections;
  }
  // Of one of the others; a minute if none does.
  Duration UntilOneLeads() {
    const Instant begin = sim_.now();
    while (Leading() == 0 && sim_.now() < begin + seconds(60)) Run(kTick);
    return sim_.now() - begin;
  }

  std::mt19937_64 random_{1};
  registry::Sim sim_{{}, random_};
  const security::SigningKey key_ = std::move(security::SigningKey::Generate()).value();
  Replica first_;
  std::vector<std::unique_ptr<Replica>> others_;
};

TEST_F(SuccessionTest, ALeaderThatGivesSignsIsFollowedByNobody) {
  ASSERT_TRUE(first_.desk().is_leading());
  Run(seconds(60));
  EXPECT_TRUE(first_.desk().is_leading());
  EXPECT_EQ(Elections(), 0U);
}

TEST_F(SuccessionTest, ASilentLeaderIsFollowedWithinASecondAndAHalf) {
  first_.Freeze();
  EXPECT_LT(UntilOneLeads(), milliseconds(1500));
  EXPECT_EQ(Leading(), 1U);
  Run(seconds(10));
  EXPECT_EQ(Leading(), 1U);
}

// It wakes up and believes that it leads: what it writes then, and what was under way when it fell asleep, changes
// nothing.
TEST_F(SuccessionTest, WhoWakesUpWritesNothing) {
  first_.Deposit(7);
  first_.Freeze();
  ASSERT_LT(UntilOneLeads(), milliseconds(1500));
  const auto& leader = *std::ranges::find_if(others_, [](const auto& other) { return other->desk().is_leading(); });
  leader->Deposit(8);
  Run(seconds(1));
  ASSERT_TRUE(leader->Answer(8));
  EXPECT_EQ(leader->Answer(8)->code, 0) << leader->Answer(8)->text;
  const std::int64_t before = leader->desk().book().sums().deposited;
  first_.Thaw();
  ASSERT_TRUE(first_.desk().is_leading());
  first_.Deposit(9);
  Run(seconds(3));
  EXPECT_FALSE(first_.desk().is_leading());
  ASSERT_TRUE(first_.Answer(9));
  EXPECT_EQ(first_.Answer(9)->code, static_cast<std::uint16_t>(Code::kUnavailable));
  EXPECT_EQ(leader->desk().book().sums().deposited, before);
  EXPECT_TRUE(leader->desk().is_leading());
  EXPECT_EQ(Leading(), 1U);
}

// While nobody is answered, nobody's silence says anything.
TEST_F(SuccessionTest, ARegistryThatIsSilentChangesNoLeader) {
  for (const auto wait : {milliseconds(300), milliseconds(900), milliseconds(1600), milliseconds(5000)}) {
    sim_.Pause(wait);
    Run(wait + seconds(3));
    EXPECT_TRUE(first_.desk().is_leading());
    EXPECT_EQ(Elections(), 0U) << wait.count() << " ms";
    sim_.Crash(wait);
    Run(wait + seconds(3));
    EXPECT_TRUE(first_.desk().is_leading());
    EXPECT_EQ(Elections(), 0U) << wait.count() << " ms";
  }
}

// Nor does that of a leader who is reached again a little later than the registry answers others: what counts is how
// long it has been silent since then.
TEST_F(SuccessionTest, SilenceCountsOnlyWhileTheRegistryAnswers) {
  for (const auto wait : {milliseconds(900), milliseconds(1600), milliseconds(5000)}) {
    sim_.Partition(first_.client(), milliseconds(380) + wait + milliseconds(250));
    Run(milliseconds(380));
    sim_.Pause(wait);
    Run(wait + seconds(3));
    EXPECT_TRUE(first_.desk().is_leading());
    EXPECT_EQ(Elections(), 0U) << wait.count() << " ms";
  }
}

// Its clients are told before they have lost their patience, and look elsewhere.
TEST_F(SuccessionTest, ALeaderThatIsCutOffSaysSoAndIsFollowed) {
  sim_.Partition(first_.client(), seconds(20));
  first_.Deposit(7);
  Run(milliseconds(1500));
  EXPECT_EQ(Leading(), 1U);
  for (const std::uint64_t number : {7, 8}) {
    ASSERT_TRUE(first_.Answer(number)) << number;
    EXPECT_EQ(first_.Answer(number)->code, static_cast<std::uint16_t>(Code::kUnavailable));
    EXPECT_EQ(first_.Answer(number)->leader, kNoLeader);
    EXPECT_THAT(first_.Answer(number)->text, testing::HasSubstr("registry does not answer"));
    if (number == 7) first_.Deposit(8);
  }
  Run(seconds(25));
  EXPECT_FALSE(first_.desk().is_leading());
  EXPECT_EQ(Leading(), 1U);
}

// One of a version that gives no signs is followed when its lease ends, as it was.
TEST(SuccessionOfEarlierVersionsTest, WhoNeverGaveASignIsLeftAlone) {
  std::mt19937_64 random(1);
  registry::Sim sim({}, random);
  const security::SigningKey key = std::move(security::SigningKey::Generate()).value();
  const std::unique_ptr<registry::Registry> earlier = sim.Connect();
  registry::Txn txn;
  txn.then.push_back(registry::Operation::Put(kLeaderPath, EncodeLeader({{"tcp://earlier:1"}, "earlier", 1})));
  earlier->Submit(std::move(txn), sim.now() + seconds(5), [](Result<registry::TxnResult>) {});
  sim.RunUntil(sim.now() + seconds(1));
  const Replica replica(sim, key, 1);
  sim.RunUntil(sim.now() + seconds(30));
  EXPECT_FALSE(replica.desk().is_leading());
  EXPECT_EQ(replica.desk().counts().elections, 0U);
}

}  // namespace
}  // namespace accelmesh::market
