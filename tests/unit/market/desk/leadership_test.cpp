// How often a leader says to the registry that it is there.
#include <gtest/gtest.h>

#include "market/desk/desk.h"
#include "market/registry/state.h"

namespace accelmesh::market {
namespace {

class NoWatch final : public registry::WatchHandle {};

// Answers at once (the desk hears it when it looks next), and counts.
class CountingRegistry final : public registry::Registry {
 public:
  void Submit(registry::Txn txn, Instant, registry::Done<registry::TxnResult> done) override {
    Result<registry::State::Applied> applied = state_.Apply(txn);
    if (!applied.ok()) return done(applied.status());
    done(std::move(applied->result));
  }
  void Snapshot(std::string prefix, Instant, registry::Done<registry::SnapshotResult> done) override {
    done(state_.Read(prefix));
  }
  void GrantLease(std::chrono::seconds ttl, Instant, registry::Done<registry::LeaseResult> done) override {
    done(state_.GrantLease(ttl, Instant{}));
  }
  void KeepLease(registry::LeaseId id, Instant, registry::Done<registry::LeaseResult> done) override {
    ++kept;
    done(state_.KeepLease(id, Instant{}));
  }
  void RevokeLease(registry::LeaseId, Instant, registry::Done<registry::Revision> done) override { done(1); }
  std::unique_ptr<registry::WatchHandle> Watch(std::string, registry::Revision, registry::WatchSink) override {
    return std::make_unique<NoWatch>();
  }

  int kept = 0;

 private:
  registry::State state_;
};

TEST(LeadershipTest, KeepsItsLeaseSomeTimesInItsLifeAndNotAtEveryTick) {
  CountingRegistry registry;
  const security::SigningKey key = std::move(security::SigningKey::Generate()).value();
  std::deque<std::function<void()>> posted;
  Desk::World world;
  world.post = [&](std::function<void()> what) { posted.push_back(std::move(what)); };
  world.send = [](const Peer&, const Bytes&) {};
  DeskOptions options;
  options.urls = {"tcp://127.0.0.1:1"};
  options.leader_ttl = std::chrono::seconds(2);
  Desk desk(options, registry, key, std::move(world), 1);
  constexpr auto kTime = std::chrono::seconds(60);
  const Instant begin = Instant{} + std::chrono::hours(1);
  for (Instant now = begin; now < begin + kTime; now += std::chrono::milliseconds(1)) {
    desk.Tick(now, 1'000'000 + std::chrono::duration_cast<std::chrono::milliseconds>(now - begin).count());
    while (!posted.empty()) {
      const auto what = std::move(posted.front());
      posted.pop_front();
      what();
    }
  }
  ASSERT_TRUE(desk.is_leading()) << desk.trouble();
  const auto lives = static_cast<int>(kTime / options.leader_ttl);
  EXPECT_GE(registry.kept, 2 * lives);
  EXPECT_LE(registry.kept, 6 * lives);
}

}  // namespace
}  // namespace accelmesh::market
