// A desk on a SQLite store whose disk is full for a while, or fails.
#include <gmock/gmock.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "market/desk/desk.h"
#include "market/registry/sqlite/sqlite_store.h"
#include "market/slot_market/mailbox.h"
#include "protocol/base/log.h"
#include "tests/conformance/registry/world.h"
#include "tests/integration/market/market_messages.h"
#include "tests/unit/market/registry/sqlite/fault_disk.h"

namespace accelmesh::market {
namespace {

const std::string kTenant(64, '1');

security::SigningKey KeyOf(std::uint8_t number) {
  return std::move(security::SigningKey::FromSeed(Bytes(security::kKeyBytes, number))).value();
}

class DeskDiskTest : public testing::Test {
 protected:
  DeskDiskTest() : key_(KeyOf(1)), server_(security::HexOf(KeyOf(2).public_key().bytes)) {
    registry::SqliteOptions options;
    options.file.path = folder_.Path("market.sqlite");
    options.file.vfs = registry::FaultDisk::name();
    store_ = std::move(registry::OpenSqliteStore(options)).value();
    Start(*store_);
  }
  ~DeskDiskTest() override { registry::FaultDisk::SetFull(false); }

  void Start(registry::Registry& registry) {
    DeskOptions desk;
    desk.urls = {"tcp://127.0.0.1:1"};
    desk.is_alone = desk.keeps_order = true;
    desk.welcome_credits = 1'000'000'000;
    Desk::World world;
    world.post = [this](std::function<void()> what) { mailbox_.Post(std::move(what)); };
    world.send = [this](const Peer&, const Bytes& bytes) { sent_.push_back(bytes); };
    world.local = [this](const std::string& identity) -> std::optional<IdentityRecord> {
      if (identity == kTenant) return IdentityRecord{"tenant", MarketRole::kTenant, false};
      if (identity == server_) return IdentityRecord{"server", MarketRole::kProvider, false};
      return std::nullopt;
    };
    desk_.emplace(std::move(desk), registry, key_, std::move(world), 1);
    Until([this] { return desk_->is_leading(); });
  }

  bool Until(const std::function<bool()>& done) {
    const Deadline deadline = Deadline::After(std::chrono::seconds(10));
    while (!done()) {
      if (deadline.passed()) return false;
      mailbox_.Run();
      desk_->Tick(Clock::now(), 1'000'000);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }
  template <typename Body>
  messages::ReplyT Ask(const std::string& who, Body body) {
    messages::RequestT request;
    request.number = ++number_;
    request.body.Set(std::move(body));
    sent_.clear();
    desk_->OnMessage(who.substr(0, 4), who, EncodeRequest(request));
    desk_->Flush();
    messages::ReplyT reply;
    reply.code = 999;
    Until([&] {
      for (const Bytes& bytes : sent_) {
        Result<messages::FromMarketT> message = DecodeFromMarket(bytes);
        if (!message.ok() || message->reply == nullptr || message->reply->number != number_) continue;
        reply = std::move(*message->reply);
        return true;
      }
      return false;
    });
    return reply;
  }

  const registry::FaultDisk disk_;
  registry::ScratchFolder folder_;
  const security::SigningKey key_;
  const std::string server_;
  Mailbox mailbox_;
  std::vector<Bytes> sent_;
  std::unique_ptr<registry::Registry> store_;
  std::optional<Desk> desk_;
  std::uint64_t number_ = 0;
};

TEST_F(DeskDiskTest, AFullDiskIsSaidAndHarmsNothing) {
  log::SetSink([](log::Level, std::string_view) {});
  messages::GreetT greet;
  greet.version_min = greet.version_max = kMarketVersion;
  ASSERT_EQ(Ask(kTenant, greet).code, 0);
  ASSERT_EQ(Ask(server_, ServerWith("s", 1, 1, 100)).code, 0);
  ASSERT_EQ(Ask(kTenant, AskFor("0.3 TOPS fp32")).code, 0);
  registry::FaultDisk::SetFull(true);
  const messages::RequestLeaseT ask = AskFor("0.3 TOPS fp32");
  const messages::ReplyT full = Ask(kTenant, ask);
  EXPECT_EQ(full.code, static_cast<std::uint16_t>(Code::kFull));
  EXPECT_THAT(full.text, testing::HasSubstr("the disk is full"));
  EXPECT_THAT(full.text, testing::HasSubstr("make room"));
  registry::FaultDisk::SetFull(false);
  // What was not written is not let: the same is granted once there is room.
  ASSERT_TRUE(Until([this] { return desk_->trouble().empty(); }));
  const messages::ReplyT granted = Ask(kTenant, ask);
  ASSERT_EQ(granted.code, 0) << granted.text;
  EXPECT_EQ(granted.body.AsGrants()->granted.size(), 1U);
  EXPECT_EQ(desk_->book().active_leases(), 2U);
  EXPECT_TRUE(desk_->book().CountSums().balanced());
}

// For as long as it lasts: whoever asks is answered at once, what needs no disk goes on, and the log is not filled.
TEST_F(DeskDiskTest, AFullDiskAnswersEverybody) {
  static std::atomic<int> lines;
  lines = 0;
  log::SetSink([](log::Level, std::string_view) { ++lines; });
  messages::GreetT greet;
  greet.version_min = greet.version_max = kMarketVersion;
  ASSERT_EQ(Ask(kTenant, greet).code, 0);
  ASSERT_EQ(Ask(server_, ServerWith("s", 1, 1, 100)).code, 0);
  const messages::ReplyT granted = Ask(kTenant, AskFor("0.3 TOPS fp32"));
  ASSERT_EQ(granted.code, 0);
  messages::RenewLeaseT renew;
  renew.operation_id = MakeOperationId();
  renew.lease = granted.body.AsGrants()->granted.at(0)->lease->id;
  registry::FaultDisk::SetFull(true);
  const Instant began = Clock::now();
  for (int i = 0; i < 20; ++i) {
    for (const messages::ReplyT& refused : {Ask(kTenant, AskFor("0.1 TOPS fp32")), Ask(kTenant, renew)}) {
      ASSERT_EQ(refused.code, static_cast<std::uint16_t>(Code::kFull)) << refused.text;
      ASSERT_THAT(refused.text, testing::HasSubstr("the disk is full"));
    }
    const messages::ReplyT slots = Ask(kTenant, messages::ListSlotsT{});
    ASSERT_EQ(slots.code, 0) << slots.text;
    ASSERT_EQ(slots.body.AsSlots()->slots.at(0)->share_milli_free, 700U);
    ASSERT_EQ(Ask(kTenant, messages::ListLeasesT{}).body.AsLeases()->leases.size(), 1U);
    const messages::ReplyT status = Ask(kTenant, messages::GetStatusT{});
    ASSERT_THAT(status.body.AsStatusReport()->trouble, testing::HasSubstr("the disk is full"));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_LT(Clock::now() - began, std::chrono::seconds(8)) << "nobody waits for room";
  EXPECT_LE(lines, 3);
  registry::FaultDisk::SetFull(false);
  ASSERT_TRUE(Until([this] { return desk_->trouble().empty(); }));
  EXPECT_EQ(Ask(kTenant, renew).code, 0);
  EXPECT_EQ(Ask(kTenant, AskFor("0.1 TOPS fp32")).code, 0);
  EXPECT_TRUE(desk_->book().CountSums().balanced());
}

// The next operations of the registry are answered as etcd's client does when no majority of its members is there.
class SilentRegistry final : public registry::Registry {
 public:
  explicit SilentRegistry(registry::Registry& real) : real_(real) {}
  void Submit(registry::Txn txn, Instant deadline, registry::Done<registry::TxnResult> done) override {
    if (mood == Mood::kTakesItsTime) {
      late.push_back([this, txn, deadline, done] { real_.Submit(txn, deadline, done); });
    } else if (!Refuses(done)) {
      real_.Submit(std::move(txn), deadline, std::move(done));
    }
  }
  void Snapshot(std::string prefix, Instant deadline, registry::Done<registry::SnapshotResult> done) override {
    if (!Refuses(done)) real_.Snapshot(std::move(prefix), deadline, std::move(done));
  }
  void GrantLease(std::chrono::seconds ttl, Instant deadline, registry::Done<registry::LeaseResult> done) override {
    if (!Refuses(done)) real_.GrantLease(ttl, deadline, std::move(done));
  }
  void KeepLease(registry::LeaseId id, Instant deadline, registry::Done<registry::LeaseResult> done) override {
    if (!Refuses(done)) real_.KeepLease(id, deadline, std::move(done));
  }
  void RevokeLease(registry::LeaseId id, Instant deadline, registry::Done<registry::Revision> done) override {
    if (!Refuses(done)) real_.RevokeLease(id, deadline, std::move(done));
  }
  std::unique_ptr<registry::WatchHandle> Watch(std::string prefix, registry::Revision from,
                                               registry::WatchSink sink) override {
    return real_.Watch(std::move(prefix), from, std::move(sink));
  }
  enum class Mood { kAnswers, kRefuses, kIsSilent, kTakesItsTime };
  Mood mood = Mood::kAnswers;
  std::vector<std::function<void()>> late;  // transactions that have not reached it yet

 private:
  template <typename Done>
  bool Refuses(Done& done) {
    if (mood == Mood::kRefuses) done(Status(Code::kUnavailable, "test", "no majority of the members answers"));
    // What is never answered within the test: the deadline is further away.
    if (mood == Mood::kIsSilent) kept_.push_back([done] {});
    return mood != Mood::kAnswers;
  }
  registry::Registry& real_;
  std::vector<std::function<void()>> kept_;
};

TEST_F(DeskDiskTest, ARegistryThatIsSilentIsSaidBeforeTheClientsPatienceEnds) {
  log::SetSink([](log::Level, std::string_view) {});
  for (const auto mood : {SilentRegistry::Mood::kRefuses, SilentRegistry::Mood::kIsSilent}) {
    SilentRegistry registry(*store_);
    Start(registry);
    messages::GreetT greet;
    greet.version_min = greet.version_max = kMarketVersion;
    ASSERT_EQ(Ask(kTenant, greet).code, 0);
    ASSERT_EQ(Ask(server_, ServerWith("s", 1, 1, 100)).code, 0);
    registry.mood = mood;
    for (int i = 0; i < 2; ++i) {
      const Instant began = Clock::now();
      const messages::ReplyT late = Ask(kTenant, AskFor("0.3 TOPS fp32"));
      EXPECT_LT(Clock::now() - began, std::chrono::milliseconds(2900));
      EXPECT_EQ(late.code, static_cast<std::uint16_t>(Code::kUnavailable));
      EXPECT_THAT(late.text, testing::HasSubstr("the market's registry does not answer"));
      if (mood == SilentRegistry::Mood::kRefuses) {
        EXPECT_THAT(late.text, testing::HasSubstr("no majority"));
      }
      EXPECT_EQ(late.leader, kNoLeader) << "so that a client with more patience asks again";
    }
    registry.mood = SilentRegistry::Mood::kAnswers;
    desk_.reset();
  }
}

TEST_F(DeskDiskTest, ADiskThatFailsMakesNoPromises) {
  log::SetSink([](log::Level, std::string_view) {});
  ASSERT_EQ(Ask(server_, ServerWith("s", 1, 1, 100)).code, 0);
  registry::FaultDisk::FailNextSync();
  messages::GreetT greet;
  greet.version_min = greet.version_max = kMarketVersion;
  messages::RequestT request;
  request.number = 77;
  request.body.Set(greet);
  desk_->OnMessage("x", kTenant, EncodeRequest(request));
  desk_->Flush();
  ASSERT_TRUE(Until([this] { return !desk_->trouble().empty(); }));
  EXPECT_THAT(desk_->trouble(), testing::HasSubstr("started anew"));
}

// The book is ahead of the registry: what was decided next may never get there.
TEST_F(DeskDiskTest, NobodyHearsOfWhatWasDecidedLaterAndIsNotDurable) {
  log::SetSink([](log::Level, std::string_view) {});
  SilentRegistry registry(*store_);
  Start(registry);
  messages::GreetT greet;
  greet.version_min = greet.version_max = kMarketVersion;
  ASSERT_EQ(Ask(kTenant, greet).code, 0);
  ASSERT_EQ(Ask(server_, ServerWith("s", 1, 1, 100)).code, 0);
  registry.mood = SilentRegistry::Mood::kTakesItsTime;
  sent_.clear();
  messages::RequestT grant;
  grant.number = 101;
  messages::RequestLeaseT ask = AskFor("0.3 TOPS fp32");
  grant.body.Set(ask);
  desk_->OnMessage("x", kTenant, EncodeRequest(grant));
  desk_->Flush();
  messages::RequestT resize;
  resize.number = 102;
  messages::ResizeLeaseT smaller;
  smaller.operation_id = MakeOperationId();
  smaller.lease = LeaseIdOf(kTenant, security::HexOf(ask.operation_id), 0);
  smaller.share_milli = 100;
  resize.body.Set(smaller);
  desk_->OnMessage("x", kTenant, EncodeRequest(resize));
  desk_->Flush();
  ASSERT_EQ(desk_->book().Lease(smaller.lease)->share_milli, 100U);
  ASSERT_EQ(registry.late.size(), 1U);
  std::exchange(registry.late, {}).front()();
  ASSERT_TRUE(Until([&] { return sent_.size() >= 2; }));
  ASSERT_EQ(sent_.size(), 2U) << "the tenant's answer, and what its server is told";
  for (const Bytes& bytes : sent_) {
    const Result<messages::FromMarketT> message = DecodeFromMarket(bytes);
    ASSERT_TRUE(message.ok());
    if (message->push != nullptr) {
      EXPECT_EQ(message->push->body.AsLeaseGranted()->lease->share_milli, 300U);
      continue;
    }
    ASSERT_EQ(message->reply->number, 101U);
    EXPECT_EQ(message->reply->body.AsGrants()->granted.at(0)->lease->share_milli, 300U);
  }
  // The next leader knows nothing else either.
  Start(*store_);
  EXPECT_EQ(desk_->book().Lease(smaller.lease)->share_milli, 300U);
}

}  // namespace
}  // namespace accelmesh::market
