// What registry.h promises, of every store.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "tests/conformance/registry/world.h"

namespace accelmesh::registry {
namespace {

using testing::ElementsAre;
using Field = Compare::Field;
using Relation = Compare::Relation;
using std::chrono::milliseconds;
using std::chrono::seconds;

class RegistryTest : public testing::TestWithParam<WorldKind> {
 protected:
  // Worlds are expensive to make (etcd) and live as long as the process; every test has keys of its own.
  static World& TheWorld(const WorldKind& kind) {
    static std::map<std::string, std::unique_ptr<World>> worlds;
    std::unique_ptr<World>& world = worlds[kind.name];
    if (world == nullptr) world = kind.make();
    return *world;
  }
  World& world() { return TheWorld(GetParam()); }
  std::string Key(const std::string& name) {
    return std::string("/") + testing::UnitTest::GetInstance()->current_test_info()->name() + "/" + name;
  }
  // Its branch was `then`.
  TxnResult Done(Txn txn) {
    Result<TxnResult> result = world().Submit(std::move(txn));
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    if (!result.ok()) return {};
    EXPECT_TRUE(result->succeeded);
    return *std::move(result);
  }
  Revision Put(const std::string& key, const std::string& value, LeaseId lease = kNoLease) {
    return Done({{}, {Operation::Put(key, value, lease)}, {}}).revision;
  }
  std::optional<Entry> Get(const std::string& key) {
    TxnResult result = Done({{}, {Operation::Get(key)}, {}});
    return result.results.size() == 1 ? result.results[0].entry : std::nullopt;
  }
  bool Holds(Compare compare) {
    const Result<TxnResult> result = world().Submit({{std::move(compare)}, {}, {}});
    EXPECT_TRUE(result.ok()) << result.status().ToString();
    return result.ok() && result->succeeded;
  }
  Code CodeOf(Txn txn) { return world().Submit(std::move(txn)).code(); }

  // What a watch was told, shared with its sink.
  struct Seen {
    std::mutex mutex;
    std::vector<Change> changes;
    Status end;
    std::size_t size() {
      const std::lock_guard lock(mutex);
      return changes.size();
    }
    bool ended() {
      const std::lock_guard lock(mutex);
      return !end.ok();
    }
  };
  static WatchSink Into(const std::shared_ptr<Seen>& seen) {
    return [seen](Result<Change> change) {
      const std::lock_guard lock(seen->mutex);
      if (change.ok()) {
        seen->changes.push_back(*std::move(change));
      } else {
        seen->end = change.status();
      }
    };
  }
};

TEST_P(RegistryTest, AnEntryCountsItsRevisionsAndVersions) {
  const std::string key = Key("a");
  EXPECT_EQ(Get(key), std::nullopt);
  const Revision first = Put(key, "1");
  const Revision second = Put(key, "2");
  EXPECT_EQ(second, first + 1);
  EXPECT_EQ(Get(key), (Entry{key, "2", first, second, 2, kNoLease}));
  TxnResult result = Done({{}, {Operation::Delete(key), Operation::Get(key)}, {}});
  EXPECT_EQ(result.revision, second + 1);
  EXPECT_TRUE(result.results[0].deleted);
  EXPECT_EQ(result.results[1].entry, std::nullopt);
  const Revision again = Put(key, "3");
  EXPECT_EQ(Get(key), (Entry{key, "3", again, again, 1, kNoLease}));
}

TEST_P(RegistryTest, WhatChangesNothingLeavesTheRevision) {
  const Revision revision = Put(Key("a"), "1");
  EXPECT_EQ(Done({{}, {Operation::Delete(Key("none"))}, {}}).revision, revision);
  EXPECT_FALSE(Done({{}, {Operation::Delete(Key("none"))}, {}}).results[0].deleted);
  EXPECT_EQ(Done({{}, {}, {}}).revision, revision);
  EXPECT_EQ(Put(Key("a"), "1"), revision + 1) << "a put of the same value is a change";
}

TEST_P(RegistryTest, ComparesOfEveryFieldAndRelation) {
  const std::string key = Key("a");
  const std::string absent = Key("absent");
  const Revision created = Put(key, "m");
  const Revision modified = Put(key, "n");
  const struct {
    Field field;
    std::int64_t is;
  } numbers[] = {{Field::kVersion, 2}, {Field::kCreateRevision, created}, {Field::kModRevision, modified}};
  for (const auto& [field, is] : numbers) {
    for (const std::int64_t wanted : {is - 1, is, is + 1}) {
      EXPECT_EQ(Holds({key, field, Relation::kEqual, wanted, {}}), is == wanted);
      EXPECT_EQ(Holds({key, field, Relation::kNotEqual, wanted, {}}), is != wanted);
      EXPECT_EQ(Holds({key, field, Relation::kGreater, wanted, {}}), is > wanted);
      EXPECT_EQ(Holds({key, field, Relation::kLess, wanted, {}}), is < wanted);
    }
    EXPECT_TRUE(Holds({absent, field, Relation::kEqual, 0, {}}));
    EXPECT_TRUE(Holds({absent, field, Relation::kLess, 1, {}}));
    EXPECT_FALSE(Holds({absent, field, Relation::kGreater, 0, {}}));
  }
  for (const std::string wanted : {"", "m", "n", "n\x01", "o", "\xff"}) {
    EXPECT_EQ(Holds(Compare::Value(key, wanted)), "n" == wanted);
    EXPECT_EQ(Holds(Compare::Value(key, wanted, Relation::kNotEqual)), "n" != wanted);
    EXPECT_EQ(Holds(Compare::Value(key, wanted, Relation::kGreater)), "n" > wanted) << KeyText(wanted);
    EXPECT_EQ(Holds(Compare::Value(key, wanted, Relation::kLess)), "n" < wanted) << KeyText(wanted);
    for (const Relation relation : {Relation::kEqual, Relation::kNotEqual, Relation::kGreater, Relation::kLess}) {
      EXPECT_FALSE(Holds(Compare::Value(absent, wanted, relation)));
    }
  }
}

TEST_P(RegistryTest, ABranchIsAllOrNothing) {
  const Revision a = Put(Key("a"), "1");
  const Txn txn{{Compare::Unchanged(Key("a"), a), Compare::Absent(Key("b"))},
                {Operation::Get(Key("a")), Operation::Put(Key("a"), "2"), Operation::Get(Key("a")),
                 Operation::Put(Key("b"), "2")},
                {Operation::Get(Key("a")), Operation::Put(Key("c"), "else")}};
  const TxnResult first = Done(txn);
  ASSERT_EQ(first.results.size(), 4u);
  EXPECT_EQ(first.results[0].entry->value, "1");
  EXPECT_EQ(first.results[2].entry->value, "2") << "a get sees what its branch wrote before it";
  EXPECT_EQ(Get(Key("b"))->mod_revision, Get(Key("a"))->mod_revision);
  EXPECT_EQ(Get(Key("c")), std::nullopt);

  const Result<TxnResult> second = world().Submit(txn);
  ASSERT_TRUE(second.ok());
  EXPECT_FALSE(second->succeeded);
  ASSERT_EQ(second->results.size(), 2u);
  EXPECT_EQ(second->results[0].entry->value, "2");
  EXPECT_EQ(Get(Key("c"))->value, "else");
  EXPECT_EQ(Get(Key("a"))->version, 2);
}

TEST_P(RegistryTest, RefusedTransactionsChangeNothing) {
  const std::string key = Key("a");
  EXPECT_EQ(CodeOf({{}, {Operation::Put(key, "1"), Operation::Put("", "1")}, {}}), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf({{}, {Operation::Put(key, "1"), Operation::Put(key, "2")}, {}}), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf({{}, {Operation::Put(key, "1"), Operation::Delete(key)}, {}}), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf({{}, {}, {Operation::Put(key, "1"), Operation::Put(key, "2")}}), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf({{}, {Operation::Put(key, "1", -1)}, {}}), Code::kInvalidArgument);
  EXPECT_EQ(CodeOf({{}, {Operation::Put(key, std::string(kValueBytesMax + 1, 'x'))}, {}}), Code::kLimitExceeded);
  EXPECT_EQ(CodeOf({{}, {Operation::Put(std::string(kKeyBytesMax + 1, 'x'), "1")}, {}}), Code::kLimitExceeded);
  Txn many;
  for (std::size_t i = 0; i <= kOperationsMax; ++i) many.then.push_back(Operation::Put(Key(std::to_string(i)), "1"));
  EXPECT_EQ(CodeOf(many), Code::kLimitExceeded);
  Txn big;
  for (int i = 0; i < 5; ++i)
    big.then.push_back(Operation::Put(Key(std::to_string(i)), std::string(kValueBytesMax, 'x')));
  EXPECT_EQ(CodeOf(big), Code::kLimitExceeded);
  EXPECT_EQ(CodeOf({{}, {Operation::Put(Key("b"), "1"), Operation::Put(key, "1", 123456789)}, {}}), Code::kNotFound);
  EXPECT_EQ(world().Snapshot("").code(), Code::kInvalidArgument);
  EXPECT_EQ(world().GrantLease(seconds(1)).code(), Code::kInvalidArgument);
  EXPECT_EQ(world().KeepLease(123456789).code(), Code::kNotFound);
  EXPECT_EQ(world().RevokeLease(123456789).code(), Code::kNotFound);
  const Result<SnapshotResult> after = world().Snapshot(Key(""));
  ASSERT_TRUE(after.ok());
  EXPECT_TRUE(after->entries.empty());
  // A lease that the branch not taken names does not matter.
  EXPECT_EQ(CodeOf({{Compare::Exists(key)}, {Operation::Put(key, "1", 123456789)}, {}}), Code::kOk);
}

TEST_P(RegistryTest, TheLargestTransactionFits) {
  Txn txn;
  for (std::size_t i = 0; i < kOperationsMax; ++i) {
    txn.compares.push_back(Compare::Absent(Key(std::to_string(i))));
    txn.then.push_back(Operation::Put(Key(std::to_string(i)), std::string(7000, 'v')));
    txn.otherwise.push_back(Operation::Get(Key(std::to_string(i))));
  }
  Done(txn);
  const Result<TxnResult> again = world().Submit(txn);
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_FALSE(again->succeeded);
  EXPECT_EQ(again->results.back().entry->value.size(), 7000u);
  const Result<SnapshotResult> snapshot = world().Snapshot(Key(""));
  ASSERT_TRUE(snapshot.ok());
  EXPECT_EQ(snapshot->entries.size(), kOperationsMax);
}

TEST_P(RegistryTest, ASnapshotHasThePrefixInTheOrderOfBytes) {
  const std::string base = Key("");
  using std::string_literals::operator""s;
  const std::vector<std::string> names = {"\0"s, "a", "a\0b"s, "a\xff", "a\xff\xff", "b", "\xff", "\xff\xff"};
  std::vector<std::string> keys;
  for (const std::string& name : names) {
    keys.push_back(base + name);
    Put(keys.back(), "value of\0"s + name);
  }
  Put(base.substr(0, base.size() - 1), "beside");
  const auto keys_of = [&](const std::string& prefix) {
    std::vector<std::string> found;
    const Result<SnapshotResult> snapshot = world().Snapshot(prefix);
    EXPECT_TRUE(snapshot.ok()) << snapshot.status().ToString();
    if (!snapshot.ok()) return found;
    for (const Entry& entry : snapshot->entries) {
      EXPECT_EQ(entry.value, "value of\0"s + entry.key.substr(base.size()));
      found.push_back(entry.key);
    }
    return found;
  };
  EXPECT_EQ(keys_of(base), keys);
  EXPECT_THAT(keys_of(base + "a"), ElementsAre(keys[1], keys[2], keys[3], keys[4]));
  EXPECT_THAT(keys_of(base + "a\xff"), ElementsAre(keys[3], keys[4]));
  EXPECT_THAT(keys_of(base + "\xff"), ElementsAre(keys[6], keys[7]));
  const Revision revision = Put(Key("empty"), "");
  EXPECT_EQ(Get(Key("empty")), (Entry{Key("empty"), "", revision, revision, 1, kNoLease}));
  EXPECT_EQ(world().Snapshot(Key(""))->revision, revision);
}

TEST_P(RegistryTest, AWatchMissesNothingAndKeepsTheOrder) {
  const Revision first = Put(Key("a"), "1");
  Done({{}, {Operation::Put(Key("b"), "1"), Operation::Put(Key("c"), "1"), Operation::Put("/elsewhere", "1")}, {}});
  const auto seen = std::make_shared<Seen>();
  auto watch = world().other().Watch(Key(""), first, Into(seen));
  ASSERT_TRUE(world().Until([&] { return seen->size() == 2; }, seconds(10)));
  Put("/elsewhere", "2");
  Done({{}, {Operation::Delete(Key("b")), Operation::Delete(Key("none")), Operation::Put(Key("a"), "2")}, {}});
  for (int i = 0; i < 20; ++i) Put(Key("d"), std::to_string(i));
  ASSERT_TRUE(world().Until([&] { return seen->size() == 23; }, seconds(10)));
  watch.reset();
  Put(Key("a"), "unseen");
  world().Sleep(milliseconds(100));
  const std::lock_guard lock(seen->mutex);
  ASSERT_EQ(seen->changes.size(), 23u);
  EXPECT_TRUE(seen->end.ok());
  EXPECT_EQ(seen->changes[0].revision, first);
  EXPECT_EQ(seen->changes[0].events[0].entry, (Entry{Key("a"), "1", first, first, 1, kNoLease}));
  ASSERT_EQ(seen->changes[1].events.size(), 2u);
  EXPECT_EQ(seen->changes[1].events[1].entry.key, Key("c"));
  ASSERT_EQ(seen->changes[2].events.size(), 2u);
  std::map<std::string, Event> events;
  for (const Event& event : seen->changes[2].events) events[event.entry.key] = event;
  EXPECT_EQ(events[Key("b")].kind, Event::Kind::kDelete);
  EXPECT_EQ(events[Key("b")].entry.mod_revision, seen->changes[2].revision);
  EXPECT_EQ(events[Key("a")].entry.value, "2");
  for (int i = 0; i < 20; ++i) {
    const Change& change = seen->changes[static_cast<std::size_t>(3 + i)];
    EXPECT_EQ(change.events[0].entry.value, std::to_string(i));
    EXPECT_EQ(change.revision, change.events[0].entry.mod_revision);
  }
}

TEST_P(RegistryTest, AWatchOfWhatIsForgottenEndsAndSaysSo) {
  const Revision first = Put(Key("a"), "1");
  Put(Key("a"), "2");
  Put(Key("a"), "3");
  world().ForgetHistory();
  const auto seen = std::make_shared<Seen>();
  const auto watch = world().registry().Watch(Key(""), first, Into(seen));
  ASSERT_TRUE(world().Until([&] { return seen->ended(); }, seconds(10)));
  {
    const std::lock_guard lock(seen->mutex);
    EXPECT_EQ(seen->end.code(), Code::kLimitExceeded) << seen->end.ToString();
    EXPECT_TRUE(seen->changes.empty());
  }
  // What the client then does.
  const Result<SnapshotResult> snapshot = world().Snapshot(Key(""));
  ASSERT_TRUE(snapshot.ok());
  EXPECT_EQ(snapshot->entries[0].version, 3) << "the state itself is there";
  const auto then = std::make_shared<Seen>();
  const auto on = world().registry().Watch(Key(""), snapshot->revision + 1, Into(then));
  Put(Key("a"), "4");
  ASSERT_TRUE(world().Until([&] { return then->size() == 1; }, seconds(10)));
  EXPECT_EQ(then->changes[0].events[0].entry.value, "4");
}

TEST_P(RegistryTest, ASinkMayEndItsOwnWatchAndCallTheRegistry) {
  struct Own {
    std::unique_ptr<WatchHandle> handle;
    std::atomic<int> calls{0};
    std::atomic<bool> answered{false};
  };
  const Revision first = Put(Key("a"), "1");
  const auto own = std::make_shared<Own>();
  own->handle = world().registry().Watch(Key(""), first + 1, [&, own](Result<Change>) {
    ++own->calls;
    own->handle.reset();
    world().registry().Submit({{}, {Operation::Get(Key("a"))}, {}}, world().Soon(),
                              [own](Result<TxnResult> result) { own->answered = result.ok(); });
  });
  Put(Key("a"), "2");
  Put(Key("a"), "3");
  EXPECT_TRUE(world().Until([&] { return own->answered.load(); }, seconds(10)));
  world().Sleep(milliseconds(50));
  EXPECT_EQ(own->calls, 1);
}

TEST_P(RegistryTest, ALeaseThatIsRevokedTakesItsKeysAlong) {
  const Result<LeaseResult> lease = world().GrantLease(seconds(60));
  ASSERT_TRUE(lease.ok()) << lease.status().ToString();
  const Result<LeaseResult> other = world().GrantLease(seconds(60));
  ASSERT_TRUE(other.ok());
  EXPECT_NE(lease->id, other->id);
  EXPECT_GE(lease->ttl, seconds(60));
  Put(Key("a"), "1", lease->id);
  const Revision last = Put(Key("b"), "1", lease->id);
  Put(Key("moved"), "1", lease->id);
  Put(Key("moved"), "2", other->id);
  Put(Key("freed"), "1", lease->id);
  Put(Key("freed"), "2");
  EXPECT_EQ(Get(Key("a"))->lease, lease->id);
  const auto seen = std::make_shared<Seen>();
  const auto watch = world().registry().Watch(Key(""), last + 5, Into(seen));
  const Result<Revision> revoked = world().RevokeLease(lease->id);
  ASSERT_TRUE(revoked.ok()) << revoked.status().ToString();
  EXPECT_EQ(Get(Key("a")), std::nullopt);
  EXPECT_EQ(Get(Key("b")), std::nullopt);
  EXPECT_EQ(Get(Key("moved"))->value, "2");
  EXPECT_EQ(Get(Key("freed"))->lease, kNoLease);
  ASSERT_TRUE(world().Until([&] { return seen->size() == 1; }, seconds(10)));
  EXPECT_EQ(seen->changes[0].revision, *revoked);
  EXPECT_EQ(seen->changes[0].events.size(), 2u) << "both keys in one revision";
  EXPECT_EQ(world().RevokeLease(lease->id).code(), Code::kNotFound);
  EXPECT_EQ(CodeOf({{}, {Operation::Put(Key("a"), "1", lease->id)}, {}}), Code::kNotFound);
  EXPECT_TRUE(world().RevokeLease(other->id).ok());
}

TEST_P(RegistryTest, ALeaseExpiresUnlessItIsKept) {
  const Result<LeaseResult> kept = world().GrantLease(kLeaseTtlMin);
  const Result<LeaseResult> left = world().GrantLease(kLeaseTtlMin);
  ASSERT_TRUE(kept.ok() && left.ok());
  Put(Key("kept"), "1", kept->id);
  Put(Key("left"), "1", left->id);
  const Instant granted = world().now();
  const auto keep = [&] {
    static_cast<void>(world().KeepLease(kept->id));
    world().Sleep(milliseconds(300));
  };
  while (world().now() < granted + left->ttl * 3 / 4) keep();
  EXPECT_NE(Get(Key("left")), std::nullopt) << "not before its time";
  while (world().now() < granted + left->ttl * 5 && Get(Key("left"))) keep();
  EXPECT_EQ(Get(Key("left")), std::nullopt);
  EXPECT_NE(Get(Key("kept")), std::nullopt);
  EXPECT_EQ(world().KeepLease(left->id).code(), Code::kNotFound);
  EXPECT_TRUE(world().KeepLease(kept->id).ok());
}

// Chains of increments that compare what they read: none is lost, none counts twice.
TEST_P(RegistryTest, NoIncrementIsLost) {
  constexpr int kChains = 8;
  constexpr int kEach = 15;
  const std::string key = Key("counter");
  std::atomic<int> finished{0};
  std::function<void(int)> next = [&](int left) {
    if (left == 0) {
      ++finished;
      return;
    }
    world().registry().Submit({{}, {Operation::Get(key)}, {}}, world().Soon(), [&, left](Result<TxnResult> read) {
      ASSERT_TRUE(read.ok()) << read.status().ToString();
      const std::optional<Entry>& entry = read->results[0].entry;
      const int value = entry ? std::stoi(entry->value) : 0;
      world().other().Submit({{Compare::Unchanged(key, entry ? entry->mod_revision : 0)},
                              {Operation::Put(key, std::to_string(value + 1))},
                              {}},
                             world().Soon(), [&, left](Result<TxnResult> written) {
                               ASSERT_TRUE(written.ok()) << written.status().ToString();
                               next(written->succeeded ? left - 1 : left);
                             });
    });
  };
  for (int i = 0; i < kChains; ++i) next(kEach);
  ASSERT_TRUE(world().Until([&] { return finished == kChains; }, seconds(60)));
  EXPECT_EQ(Get(key)->value, std::to_string(kChains * kEach));
  EXPECT_EQ(Get(key)->version, kChains * kEach);
}

INSTANTIATE_TEST_SUITE_P(Stores, RegistryTest, testing::ValuesIn(AllWorlds()),
                         [](const auto& store) { return std::string(store.param.name); });

}  // namespace
}  // namespace accelmesh::registry
