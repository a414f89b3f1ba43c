// The checker itself; every store under concurrent clients; the simulated one under faults, and with mistakes built in.
#include "tests/conformance/registry/linearizability.h"

#include <gtest/gtest.h>

#include <set>

#include "market/registry/sim/sim.h"
#include "tests/conformance/registry/load.h"
#include "tests/conformance/registry/world.h"

namespace accelmesh::registry {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Histories by hand, of a key k. Times are call and answer.
Recorded Put(std::uint64_t called, std::uint64_t answered, const std::string& value, Revision revision) {
  return {{{}, {Operation::Put("k", value)}, {}}, called, answered, TxnResult{true, revision, {{}}}};
}
Recorded Lost(std::uint64_t called, const std::string& value) {
  return {{{}, {Operation::Put("k", value)}, {}}, called, 0, std::nullopt};
}
Recorded Read(std::uint64_t called, std::uint64_t answered, std::optional<Entry> entry, Revision revision) {
  return {{{}, {Operation::Get("k")}, {}}, called, answered, TxnResult{true, revision, {{std::move(entry), false}}}};
}
Entry Value(const std::string& value, Revision created, Revision modified, std::int64_t version) {
  return {"k", value, created, modified, version, kNoLease};
}
Verdict Of(std::vector<Recorded> history) { return CheckLinearizable(std::move(history)).verdict; }

TEST(LinearizabilityTest, TellsHistoriesApart) {
  EXPECT_EQ(Of({}), Verdict::kLinearizable);
  EXPECT_EQ(Of({Put(1, 2, "a", 1), Read(3, 4, Value("a", 1, 1, 1), 1)}), Verdict::kLinearizable);
  EXPECT_EQ(Of({Put(1, 2, "a", 1), Read(3, 4, std::nullopt, 0)}), Verdict::kNot) << "a stale read";
  EXPECT_EQ(Of({Put(1, 4, "a", 1), Read(2, 3, std::nullopt, 0)}), Verdict::kLinearizable) << "they overlap";
  EXPECT_EQ(Of({Put(1, 6, "a", 1), Read(2, 3, Value("a", 1, 1, 1), 1), Read(4, 5, std::nullopt, 0)}), Verdict::kNot)
      << "seen and then not";
  EXPECT_EQ(Of({Put(1, 2, "a", 1), Put(3, 4, "b", 2), Read(5, 6, Value("a", 1, 1, 1), 2)}), Verdict::kNot);
  EXPECT_EQ(Of({Put(1, 2, "a", 2), Put(3, 4, "b", 1)}), Verdict::kNot) << "revisions against real time";
  EXPECT_EQ(Of({Put(1, 2, "a", 1), Read(3, 4, Value("a", 1, 1, 2), 1)}), Verdict::kNot) << "applied twice";
}

TEST(LinearizabilityTest, WhatHasNoAnswerMayBeAnywhereLaterOrNowhere) {
  EXPECT_EQ(Of({Lost(1, "a"), Read(2, 3, std::nullopt, 0)}), Verdict::kLinearizable);
  EXPECT_EQ(Of({Lost(1, "a"), Read(2, 3, std::nullopt, 0), Read(4, 5, Value("a", 7, 7, 1), 7)}),
            Verdict::kLinearizable);
  EXPECT_EQ(Of({Lost(1, "a"), Read(2, 3, Value("a", 7, 7, 1), 7), Read(4, 5, std::nullopt, 7)}), Verdict::kNot);
  EXPECT_EQ(Of({Read(1, 2, Value("a", 7, 7, 1), 7), Lost(3, "a")}), Verdict::kNot) << "read before it was written";
  EXPECT_EQ(Of({Lost(1, "a"), Read(2, 3, Value("a", 7, 7, 1), 7), Read(4, 5, Value("a", 7, 8, 1), 8)}), Verdict::kNot)
      << "two revisions of one put";
}

TEST(LinearizabilityTest, ComparesAreOfTheStateBefore) {
  const auto swap = [](std::uint64_t called, std::uint64_t answered, Revision seen, bool succeeded, Revision revision) {
    return Recorded{
        {{Compare::Unchanged("k", seen)}, {Operation::Put("k", std::to_string(called))}, {}},
        called,
        answered,
        TxnResult{succeeded, revision, succeeded ? std::vector<OperationResult>(1) : std::vector<OperationResult>()}};
  };
  EXPECT_EQ(Of({swap(1, 3, 0, true, 1), swap(2, 4, 0, false, 1)}), Verdict::kLinearizable);
  EXPECT_EQ(Of({swap(1, 3, 0, true, 1), swap(2, 4, 0, true, 2)}), Verdict::kNot) << "one slot, two winners";
  EXPECT_EQ(Of({swap(1, 3, 0, false, 1), swap(2, 4, 0, false, 1)}), Verdict::kNot)
      << "nobody won, and nobody stood there";
}

class LinearizableStoreTest : public testing::TestWithParam<WorldKind> {};

TEST_P(LinearizableStoreTest, ConcurrentClients) {
  const std::unique_ptr<World> world = GetParam().make();
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    Load::Options options;
    options.prefix = "/load/" + std::to_string(seed) + "/";
    options.each = 40;
    Load load(options, seed, [&] { return world->now(); });
    for (int i = 0; i < 8; ++i) load.Start(i % 2 == 0 ? world->registry() : world->other());
    ASSERT_TRUE(world->Until([&] { return load.finished(); }, seconds(60)));
    const Judgement judgement = CheckLinearizable(load.history());
    ASSERT_EQ(judgement.verdict, Verdict::kLinearizable) << "seed " << seed << ": " << judgement.text;
    std::size_t answered = 0;
    for (const Recorded& recorded : load.history()) answered += recorded.result.has_value();
    EXPECT_EQ(answered, 320u);
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, LinearizableStoreTest, testing::ValuesIn(AllWorlds()),
                         [](const auto& store) { return std::string(store.param.name); });

struct Outcome {
  Verdict verdict;
  std::string text;
  std::string history;
  std::size_t unanswered;
};

// Crashes, pauses, partitions, jumps of the clock, lost and repeated messages, all drawn from the seed.
Outcome RunSchedule(std::uint64_t seed, SimOptions::Mistake mistake) {
  std::mt19937_64 random(seed);
  SimOptions options;
  options.lost_percent = static_cast<unsigned>(random() % 20);
  options.repeated_percent = static_cast<unsigned>(random() % 20);
  options.sync = milliseconds(1 + random() % 15);
  options.mistake = mistake;
  Sim sim(options, random);
  std::vector<std::unique_ptr<Registry>> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(sim.Connect());
  Load::Options load_options;
  load_options.prefix = "/";
  load_options.each = 8;
  load_options.patience = milliseconds(60);
  Load load(load_options, random(), [&] { return sim.now(); });
  for (std::uint64_t faults = random() % 8; faults > 0; --faults) {
    sim.At(sim.now() + milliseconds(random() % 250), [&] {
      switch (sim.Random(5)) {
        case 0:
        case 1: sim.Crash(milliseconds(sim.Random(40))); break;
        case 2: sim.Pause(milliseconds(sim.Random(80))); break;
        case 3: sim.Partition(sim.Random(clients.size()), milliseconds(sim.Random(100))); break;
        default: sim.JumpClock(seconds(300) * (sim.Random(2) == 0 ? 1 : -1)); break;
      }
    });
  }
  for (const auto& client : clients) load.Start(*client);
  const Instant limit = sim.now() + seconds(60);
  while (!load.finished() && sim.now() < limit) sim.Step();
  Outcome outcome{Verdict::kUndecided, "the clients did not finish", load.HistoryText(), 0};
  if (!load.finished()) return outcome;
  for (const Recorded& recorded : load.history()) outcome.unanswered += !recorded.result.has_value();
  const Judgement judgement = CheckLinearizable(load.history());
  outcome.verdict = judgement.verdict;
  outcome.text = judgement.text;
  return outcome;
}

TEST(SimulatedFaultsTest, EverySeedIsLinearizable) {
  std::size_t unanswered = 0;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    const Outcome outcome = RunSchedule(seed, SimOptions::Mistake::kNone);
    ASSERT_EQ(outcome.verdict, Verdict::kLinearizable) << "seed " << seed << ": " << outcome.text << outcome.history;
    unanswered += outcome.unanswered;
  }
  EXPECT_GT(unanswered, 500u) << "faults are to be felt";
}

TEST(SimulatedFaultsTest, TheSameSeedIsTheSameHistory) {
  std::set<std::string> histories;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const std::string history = RunSchedule(seed, SimOptions::Mistake::kNone).history;
    EXPECT_EQ(history, RunSchedule(seed, SimOptions::Mistake::kNone).history);
    histories.insert(history);
  }
  EXPECT_EQ(histories.size(), 20u);
}

TEST(SimulatedFaultsTest, MistakesOfAStoreAreFound) {
  using Mistake = SimOptions::Mistake;
  for (const Mistake mistake : {Mistake::kAnswersBeforeSync, Mistake::kAppliesTwice, Mistake::kReadsOldState}) {
    int found = 0;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) found += RunSchedule(seed, mistake).verdict == Verdict::kNot;
    EXPECT_GT(found, 5) << "mistake " << static_cast<int>(mistake);
    std::printf("mistake %d: found in %d of 100 schedules\n", static_cast<int>(mistake), found);
  }
}

}  // namespace
}  // namespace accelmesh::registry
