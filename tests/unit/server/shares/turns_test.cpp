// Whose turn it is, in virtual time: shares are what they say, whatever programs do; nothing is wasted; who dies or
// stops takes nothing along.
#include "server/shares/turns.h"

#include <algorithm>
#include <numeric>
#include <random>

#include "tests/unit/server/shares/simulated_device.h"

namespace accelmesh::shares {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kSecond = 1000 * kMs;

std::function<std::int64_t()> Always(std::int64_t ns) {
  return [ns] { return ns; };
}

// Of the device's time that all of them used.
std::vector<double> PartsOf(const std::vector<Worker*>& workers) {
  double sum = 0;
  for (const Worker* worker : workers) sum += static_cast<double>(worker->used_ns * worker->width);
  std::vector<double> parts;
  for (const Worker* worker : workers) parts.push_back(static_cast<double>(worker->used_ns * worker->width) / sum);
  return parts;
}

TEST(TurnsTest, EightEqualTenantsGetTheSame) {
  SimulatedDevice device(2);
  std::vector<Worker*> workers;
  for (int i = 0; i < 8; ++i) {
    const std::uint32_t seat = device.turns().AddSeat(device.turns().AddLease(kWholeMilli, 0));
    workers.push_back(&device.Add({seat, 1, Always((1 + i % 4) * kMs)}));
  }
  device.Run(60 * kSecond);
  const std::vector<double> parts = PartsOf(workers);
  const auto [slowest, fastest] = std::minmax_element(parts.begin(), parts.end());
  EXPECT_LE(*fastest / *slowest, 1.01);
  EXPECT_EQ(device.wasted_ns(), 0);
}

TEST(TurnsTest, AShareIsWhatItSaysWhileOthersAreBusy) {
  for (const std::uint32_t threads : {1U, 2U, 16U}) {
    SimulatedDevice device(threads);
    std::vector<Worker*> first;
    const std::vector<std::uint32_t> shares = {250, 400, 350};
    for (const std::uint32_t share : shares) {
      const std::uint32_t seat = device.turns().AddSeat(device.turns().AddLease(share, 0));
      for (std::uint32_t t = 0; t < threads; ++t) {
        Worker& worker = device.Add({seat, 1, Always(3 * kMs)});
        if (t == 0) first.push_back(&worker);
      }
    }
    device.Run(60 * kSecond);
    std::vector<double> used(3);
    double sum = 0;
    for (std::uint32_t lease = 0; lease < 3; ++lease) {
      used[lease] = static_cast<double>(device.state().leases[lease].device_ns);
      sum += used[lease];
    }
    for (std::uint32_t lease = 0; lease < 3; ++lease)
      EXPECT_NEAR(used[lease] / sum, shares[lease] / 1000.0, 0.005) << threads << " threads, lease " << lease;
    EXPECT_NEAR(sum, static_cast<double>(60 * kSecond) * threads, static_cast<double>(kSecond) * threads);
  }
}

// An independent reference: what each gets if time is handed out continuously, by weight, to those who want it, and
// what somebody does not want goes to the others (water filling).
std::vector<double> Fair(const std::vector<double>& weights, const std::vector<double>& wants, double threads) {
  std::vector<double> gets(weights.size(), 0);
  std::vector<bool> is_full(weights.size(), false);
  double left = threads;
  for (std::size_t round = 0; round < weights.size(); ++round) {
    double sum = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) sum += is_full[i] ? 0 : weights[i];
    bool any = false;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (is_full[i] || wants[i] > left * weights[i] / sum) continue;
      gets[i] = wants[i];
      is_full[i] = any = true;
    }
    if (any) {
      left = threads;
      for (std::size_t i = 0; i < weights.size(); ++i) left -= is_full[i] ? gets[i] : 0;
      continue;
    }
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (!is_full[i]) gets[i] = left * weights[i] / sum;
    }
    break;
  }
  return gets;
}

TEST(TurnsTest, RandomTenantsGetWhatFairnessSays) {
  for (std::uint32_t seed = 1; seed <= 60; ++seed) {
    std::mt19937 random(seed);
    const auto threads = static_cast<std::uint32_t>(1 + random() % 4);
    SimulatedDevice device(threads);
    const std::size_t count = 2 + random() % 6;
    std::vector<double> weights;
    std::vector<double> wants;
    for (std::size_t i = 0; i < count; ++i) {
      weights.push_back(static_cast<double>(50 + random() % 950));
      const std::uint32_t lease = device.turns().AddLease(static_cast<std::uint32_t>(weights.back()), 0);
      const std::size_t workers = 1 + random() % 4;
      // Busy all the time: somebody who pauses when he is served asks for more the longer he waits, and no rule says
      // what that is worth.
      for (std::size_t w = 0; w < workers; ++w) {
        const std::int64_t slice = (1 + static_cast<std::int64_t>(random() % 5)) * kMs;
        device.Add({device.turns().AddSeat(lease), 1, Always(slice)});
      }
      wants.push_back(static_cast<double>(std::min<std::size_t>(workers, threads)));
    }
    device.Run(20 * kSecond);
    const std::vector<double> fair = Fair(weights, wants, threads);
    for (std::size_t i = 0; i < count; ++i) {
      const double got = static_cast<double>(device.state().leases[i].device_ns) / static_cast<double>(20 * kSecond);
      EXPECT_NEAR(got, fair[i], 0.02 * threads) << "seed " << seed << ", lease " << i << " of " << count;
    }
    EXPECT_EQ(device.wasted_ns(), 0) << "seed " << seed;
  }
}

TEST(TurnsTest, WhatOneDoesNotUseIsTheOthersAndIsNotOwedLater) {
  SimulatedDevice device(1);
  const std::uint32_t small = device.turns().AddSeat(device.turns().AddLease(100, 0));
  const std::uint32_t large = device.turns().AddSeat(device.turns().AddLease(900, 0));
  Worker& busy = device.Add({small, 1, Always(3 * kMs)});
  // Away for ten seconds, then there for good.
  bool is_back = false;
  Worker& late = device.Add({large, 1, Always(3 * kMs),
                             [&is_back] { return std::exchange(is_back, true) ? std::int64_t{0} : 10 * kSecond; }});
  device.Run(10 * kSecond);
  EXPECT_GE(busy.used_ns, 9'900 * kMs) << "all of an idle device";
  const std::int64_t before = busy.used_ns;
  device.Run(20 * kSecond);
  const double part = static_cast<double>(busy.used_ns - before) / static_cast<double>(10 * kSecond);
  EXPECT_NEAR(part, 0.1, 0.01) << "its share from then on, neither punished nor starved";
  EXPECT_NEAR(static_cast<double>(late.used_ns), static_cast<double>(9 * kSecond), static_cast<double>(100 * kMs));
}

TEST(TurnsTest, AnHourAloneIsNotOwedToWhoComesThen) {
  SimulatedDevice device(1);
  const std::uint32_t first = device.turns().AddSeat(device.turns().AddLease(500, 0));
  device.turns().Charge(first, 3600 * kSecond, true);
  const std::uint32_t second = device.turns().AddSeat(device.turns().AddLease(500, 0));
  Worker& early = device.Add({first, 1, Always(3 * kMs)});
  Worker& late = device.Add({second, 1, Always(3 * kMs)});
  device.Run(10 * kSecond);
  EXPECT_NEAR(static_cast<double>(early.used_ns), static_cast<double>(late.used_ns), static_cast<double>(60 * kMs));
}

TEST(TurnsTest, SessionsOfALeaseShareItsShare) {
  SimulatedDevice device(1);
  const std::uint32_t many = device.turns().AddLease(500, 0);
  const std::uint32_t one = device.turns().AddLease(500, 0);
  std::vector<Worker*> workers;
  for (int i = 0; i < 5; ++i) workers.push_back(&device.Add({device.turns().AddSeat(many), 1, Always(2 * kMs)}));
  Worker& alone = device.Add({device.turns().AddSeat(one), 1, Always(2 * kMs)});
  device.Run(20 * kSecond);
  EXPECT_NEAR(static_cast<double>(alone.used_ns), static_cast<double>(10 * kSecond), static_cast<double>(100 * kMs));
  for (const Worker* worker : workers)
    EXPECT_NEAR(static_cast<double>(worker->used_ns), static_cast<double>(2 * kSecond), static_cast<double>(100 * kMs));
}

TEST(TurnsTest, ALongCallKeepsNobodyOutAndIsPaidFor) {
  SimulatedDevice device(2);
  // Calls of a library on all threads, three seconds each, next to slices of milliseconds.
  const std::uint32_t long_calls = device.turns().AddSeat(device.turns().AddLease(500, 0));
  const std::uint32_t slices = device.turns().AddSeat(device.turns().AddLease(500, 0));
  device.Add({long_calls, 2, Always(3 * kSecond)});
  Worker& other = device.Add({slices, 1, Always(3 * kMs)});
  device.Run(2 * kSecond);
  EXPECT_GE(other.used_ns, 1'900 * kMs) << "it did not wait for the call's end";
  // Two threads and one: three in all, on a device of two. The long one has to let the other catch up between calls.
  device.Run(120 * kSecond);
  const double first = static_cast<double>(device.state().leases[0].device_ns);
  const double second = static_cast<double>(device.state().leases[1].device_ns);
  EXPECT_LT(first / (first + second), 0.56);
}

TEST(TurnsTest, AStoppedProcessHoldsNobodyUp) {
  for (const bool while_it_runs : {true, false}) {
    SimulatedDevice device(1);
    const std::uint32_t stopped = device.turns().AddSeat(device.turns().AddLease(500, 0));
    const std::uint32_t other = device.turns().AddSeat(device.turns().AddLease(500, 0));
    // In the middle of a turn, or while it waits.
    Worker& first = device.Add({stopped, 1, Always(3 * kMs)});
    Worker& second = device.Add({other, 1, Always(3 * kMs)});
    first.stopped_from_ns = while_it_runs ? kMs : 4 * kMs;
    device.Run(10 * kSecond);
    EXPECT_GE(second.used_ns, 9'800 * kMs) << while_it_runs;
  }
}

TEST(TurnsTest, WhoGetsItsShareIsToldSo) {
  SimulatedDevice device(2);
  const std::vector<std::uint32_t> shares = {250, 400, 350};
  for (const std::uint32_t share : shares) {
    const std::uint32_t lease = device.turns().AddLease(share, 0);
    for (int session = 0; session < 2; ++session) {
      device.Add({device.turns().AddSeat(lease), 1, Always(3 * kMs)});
    }
  }
  device.Run(20 * kSecond);
  for (std::uint32_t lease = 0; lease < 3; ++lease) {
    EXPECT_EQ(device.turns().DeliveredPpm(lease, device.now_ns()), 1'000'000U) << lease;
  }
}

// What was let beyond the device cannot be delivered: each of two that have 800 of 1000 gets a half, 0.5 / 0.8.
TEST(TurnsTest, WhoGetsLessThanItsShareIsToldHowMuch) {
  for (const std::uint32_t threads : {1U, 2U, 4U}) {
    SimulatedDevice device(threads);
    for (int lease = 0; lease < 2; ++lease) {
      const std::uint32_t seat = device.turns().AddSeat(device.turns().AddLease(800, 0));
      // Each wants the whole device; on several threads it always has some of them.
      for (std::uint32_t i = 0; i < threads; ++i) device.Add({seat, 1, Always(3 * kMs)});
    }
    device.Run(60 * kSecond);
    for (std::uint32_t lease = 0; lease < 2; ++lease) {
      EXPECT_NEAR(device.turns().DeliveredPpm(lease, device.now_ns()), 625'000, 10'000) << lease << " of " << threads;
    }
  }
}

// One thread of four that are its own is all that it asks for.
TEST(TurnsTest, WhoAsksForFewThreadsIsOwedNoOthers) {
  SimulatedDevice device(4);
  device.Add({device.turns().AddSeat(device.turns().AddLease(800, 0)), 1, Always(3 * kMs)});
  const std::uint32_t other = device.turns().AddSeat(device.turns().AddLease(200, 0));
  for (int i = 0; i < 4; ++i) device.Add({other, 1, Always(3 * kMs)});
  device.Run(60 * kSecond);
  EXPECT_EQ(device.turns().DeliveredPpm(0, device.now_ns()), 1'000'000U);
  EXPECT_EQ(device.turns().DeliveredPpm(1, device.now_ns()), 1'000'000U);
}

// Of two leases that have a half each, the second one's seat, which waits for the only thread.
std::uint32_t WaiterForAHalf(Turns& turns) {
  const std::uint32_t holder = turns.AddSeat(turns.AddLease(500, 0));
  const std::uint32_t waiter = turns.AddSeat(turns.AddLease(500, 0));
  EXPECT_TRUE(turns.Enter(holder, 1, 0, false).has_value());
  EXPECT_FALSE(turns.Enter(waiter, 1, 0, false).has_value());
  return waiter;
}

// Whoever gives up waiting is owed nothing from then on, and what it was owed before stays.
TEST(TurnsTest, WhoGivesUpIsOwedForTheTimeItWaited) {
  SimulatedDevice device(1);
  Turns& turns = device.turns();
  const std::uint32_t waiter = WaiterForAHalf(turns);
  turns.GiveUp(waiter, 1, kSecond);
  EXPECT_EQ(device.state().leases[1].owed_ns, kSecond / 2);
  turns.DeliveredPpm(1, 10 * kSecond);
  EXPECT_EQ(device.state().leases[1].owed_ns, kSecond / 2);
  EXPECT_EQ(device.state().leases[1].wanting, 0U);
}

// What it was owed before was of the share that it had then.
TEST(TurnsTest, AnotherShareCountsFromThenOn) {
  SimulatedDevice device(1);
  Turns& turns = device.turns();
  WaiterForAHalf(turns);
  turns.ResizeLease(1, 100, 0, kSecond);
  EXPECT_EQ(device.state().leases[1].owed_ns, kSecond / 2);
  turns.DeliveredPpm(1, 2 * kSecond);
  EXPECT_EQ(device.state().leases[1].owed_ns, kSecond / 2 + kSecond / 10);
}

// Neither what is owed nor what was got is lost in short times.
TEST(TurnsTest, TimeIsCountedHoweverOftenSomebodyLooks) {
  SimulatedDevice device(3);
  Turns& turns = device.turns();
  const std::uint32_t seat = turns.AddSeat(turns.AddLease(500, 0));
  ASSERT_TRUE(turns.Enter(seat, 3, 0, false).has_value());
  constexpr std::int64_t kLooks = 10'000;
  constexpr std::int64_t kStepNs = 999;
  for (std::int64_t i = 1; i <= kLooks; ++i) turns.DeliveredPpm(0, i * kStepNs);
  const LeaseRow& lease = device.state().leases[0];
  EXPECT_NEAR(static_cast<double>(lease.owed_ns), kLooks * kStepNs / 2.0, kLooks);
  EXPECT_NEAR(static_cast<double>(lease.behind_ns), -kLooks * kStepNs / 2.0, kLooks);
  // Nor in long ones.
  constexpr std::int64_t kYearNs = 365 * 86'400 * kSecond;
  const std::int64_t before_ns = lease.owed_ns;
  turns.DeliveredPpm(0, kLooks * kStepNs + kYearNs);
  EXPECT_EQ(lease.owed_ns - before_ns, kYearNs / 2);
}

// Time in which it wants nothing is owed to nobody; nor is what it had too much before, but for a bucketful.
TEST(TurnsTest, WhatWasHadBeforeIsNoCredit) {
  SimulatedDevice device(1);
  const std::uint32_t first = device.turns().AddSeat(device.turns().AddLease(800, 0));
  device.Add({first, 1, Always(3 * kMs)});
  device.Run(30 * kSecond);
  EXPECT_EQ(device.turns().DeliveredPpm(0, device.now_ns()), 1'000'000U);
  // Then another one comes that has 800, too: 30 s of 0.5 in place of 0.8, of 60 s of 0.8.
  Worker& late = device.Add({device.turns().AddSeat(device.turns().AddLease(800, 0)), 1, Always(3 * kMs)});
  late.until_ns = device.now_ns();
  device.Run(60 * kSecond);
  EXPECT_NEAR(device.turns().DeliveredPpm(0, device.now_ns()), 812'500, 10'000);
}

TEST(TurnsTest, AStoppedProcessWaitsForItself) {
  SimulatedDevice device(1);
  Worker& stopped = device.Add({device.turns().AddSeat(device.turns().AddLease(500, 0)), 1, Always(3 * kMs)});
  device.Add({device.turns().AddSeat(device.turns().AddLease(500, 0)), 1, Always(3 * kMs)});
  stopped.stopped_from_ns = 4 * kMs;  // while it waits
  device.Run(10 * kSecond);
  EXPECT_EQ(device.turns().DeliveredPpm(0, device.now_ns()), 1'000'000U);
  EXPECT_EQ(device.turns().DeliveredPpm(1, device.now_ns()), 1'000'000U);
}

TEST(TurnsTest, ADeadSessionLeavesItsTurnsAndItsMemory) {
  SimulatedDevice device(1);
  Turns& turns = device.turns();
  const std::uint32_t lease = turns.AddLease(500, 1000);
  const std::uint32_t dead = turns.AddSeat(lease);
  const std::uint32_t alive = turns.AddSeat(lease);
  ASSERT_TRUE(turns.Enter(dead, 1, 0, false).has_value());
  ASSERT_TRUE(turns.TakeMemory(dead, 900));
  ASSERT_TRUE(turns.TakeMemory(alive, 50));
  EXPECT_FALSE(turns.Enter(alive, 1, kMs, false).has_value());
  turns.RemoveSeat(dead, 2 * kMs);
  EXPECT_TRUE(turns.Enter(alive, 1, 2 * kMs, true).has_value());
  EXPECT_TRUE(turns.TakeMemory(alive, 950)) << "all but its own 50";
  EXPECT_FALSE(turns.TakeMemory(alive, 1));
}

TEST(TurnsTest, TheMemoryOfALeaseIsExactOverAllItsSessions) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 200; ++round) {
    auto state = std::make_unique<State>();
    Turns turns(*state);
    const std::uint64_t limit = 1 + random() % 10000;
    const std::uint32_t lease = turns.AddLease(1000, limit);
    std::vector<std::pair<std::uint32_t, std::vector<std::uint64_t>>> sessions;
    std::uint64_t used = 0;  // by this test's own count
    std::uint64_t high = 0;
    for (int step = 0; step < 300; ++step) {
      const std::uint64_t what = random() % 10;
      if (sessions.empty() || (what == 0 && sessions.size() < 8)) {
        sessions.push_back({turns.AddSeat(lease), {}});
      } else if (what == 1) {
        const std::size_t i = random() % sessions.size();
        turns.RemoveSeat(sessions[i].first, 0);
        used -= std::accumulate(sessions[i].second.begin(), sessions[i].second.end(), std::uint64_t{0});
        sessions.erase(sessions.begin() + static_cast<std::ptrdiff_t>(i));
      } else if (what < 7) {
        auto& [seat, pieces] = sessions[random() % sessions.size()];
        const std::uint64_t bytes = random() % (limit / 2 + 2);
        const bool fits = bytes <= limit - used;
        ASSERT_EQ(turns.TakeMemory(seat, bytes), fits) << used << " of " << limit << ", " << bytes << " asked";
        if (!fits) continue;
        pieces.push_back(bytes);
        used += bytes;
        high = std::max(high, used);
      } else {
        auto& [seat, pieces] = sessions[random() % sessions.size()];
        if (pieces.empty()) continue;
        turns.GiveMemory(seat, pieces.back());
        used -= pieces.back();
        pieces.pop_back();
      }
      ASSERT_EQ(state->leases[lease].memory_used, used);
      ASSERT_EQ(state->leases[lease].memory_high, high);
      if (step % 50 == 0) turns.Repair();
    }
  }
}

TEST(TurnsTest, RepairMakesAHalfWrittenStateWhole) {
  auto state = std::make_unique<State>();
  Turns turns(*state);
  state->threads = 2;
  const std::uint32_t seat = turns.AddSeat(turns.AddLease(500, 100));
  ASSERT_TRUE(turns.TakeMemory(seat, 60));
  ASSERT_TRUE(turns.Enter(seat, 1, 0, false).has_value());
  state->busy = 77;
  state->leases[0].memory_used = 5;
  state->leases[0].running = 7;
  state->leases[0].wanting = 3;
  state->seats[9].is_used = 1;  // of a lease that nobody has
  state->seats[9].lease = 4'000'000;
  state->threads = 0;
  turns.Repair();
  EXPECT_EQ(state->busy, 1U);
  EXPECT_EQ(state->leases[0].memory_used, 60U);
  EXPECT_EQ(state->seats[9].is_used, 0U);
  EXPECT_EQ(state->leases[0].running, 1U);
  EXPECT_EQ(state->leases[0].wanting, 0U);
  EXPECT_EQ(state->threads, 1U);
}

TEST(TurnsTest, ThereAreAsManyLeasesAndSeatsAsMayBe) {
  auto state = std::make_unique<State>();
  Turns turns(*state);
  for (std::size_t i = 0; i < kLeasesMax; ++i) ASSERT_NE(turns.AddLease(1, 0), kNobody);
  EXPECT_EQ(turns.AddLease(1, 0), kNobody);
  for (std::size_t i = 0; i < kSeatsMax; ++i) ASSERT_NE(turns.AddSeat(static_cast<std::uint32_t>(i)), kNobody);
  EXPECT_EQ(turns.AddSeat(0), kNobody);
  turns.RemoveLease(3, 0);
  EXPECT_EQ(turns.AddLease(1, 0), 3U);
  EXPECT_EQ(turns.AddSeat(3), 3U);
}

}  // namespace
}  // namespace accelmesh::shares
