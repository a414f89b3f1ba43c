// What clearing an epoch costs (Google Benchmark; not part of any tier). Numbers to keep: 100,000 + 100,000 orders, and
// 8,000 gangs over 64 classes of 6,212 GPUs with payments, each within 12 ms on one core.
#include <benchmark/benchmark.h>

#include <random>

#include "market/auction/epoch.h"

namespace accelmesh::market::auction {
namespace {

using Random = std::mt19937_64;

std::int64_t Between(Random& random, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
}

struct Shape {
  ClassId classes = 1;
  bool one_size = true;
  bool in_order = true;
  std::int64_t price_max = 4'000'000;
  std::uint32_t trades_min = 10;
  DoubleAuction auction = DoubleAuction::kSbba;
};

EpochInput Orders(std::size_t orders, const Shape& shape) {
  Random random(1);
  EpochInput input;
  input.seed = 7;
  input.rules.eligible_trades_min = shape.trades_min;
  input.rules.auction = shape.auction;
  for (ClassId id = 0; id < shape.classes; ++id) {
    ClassInput slot_class;
    slot_class.id = id;
    slot_class.lot_milli = 1000;
    slot_class.reserve_microcredits = slot_class.surrogate_microcredits = shape.price_max / 2;
    input.classes.push_back(slot_class);
  }
  for (std::size_t i = 1; i <= orders; ++i) {
    Ask ask;
    ask.id = i;
    ask.owner = random() % 100'000;
    ask.slot_class = static_cast<ClassId>(random() % shape.classes);
    ask.units_milli = shape.one_size ? 1000 : 1000 * Between(random, 1, 8);
    ask.price_microcredits = Between(random, 0, shape.price_max);
    ask.reputation_ppm =
        random() % 2 == 0 ? kWholePpm : static_cast<std::uint32_t>(Between(random, 600'000, 1'000'000));
    input.asks.push_back(ask);
    Bid bid;
    bid.id = i;
    bid.owner = random() % 1'000'000;
    bid.slot_class = static_cast<ClassId>(random() % shape.classes);
    bid.units_milli = shape.one_size ? 1000 : 1000 * Between(random, 1, 8);
    bid.price_microcredits = Between(random, 0, shape.price_max);
    bid.is_divisible = random() % 2 == 0;
    input.bids.push_back(bid);
  }
  if (!shape.in_order) {
    std::shuffle(input.asks.begin(), input.asks.end(), random);
    std::shuffle(input.bids.begin(), input.bids.end(), random);
  }
  return input;
}

void Clear(benchmark::State& state, const EpochInput& input) {
  std::size_t trades = 0;
  Clearing clearing;
  for (auto _ : state) {
    const auto outcome = clearing.Clear(input);
    if (!outcome.ok()) state.SkipWithError("does not clear");
    trades = outcome->trades.size();
    benchmark::DoNotOptimize(outcome);
  }
  state.counters["trades"] = static_cast<double>(trades);
}

void ClearOrders(benchmark::State& state, Shape shape) {
  Clear(state, Orders(static_cast<std::size_t>(state.range(0)), shape));
}
BENCHMARK_CAPTURE(ClearOrders, sbba, Shape{})->Arg(10'000)->Arg(100'000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ClearOrders, mcafee, Shape{1, true, true, 4'000'000, 10, DoubleAuction::kMcAfee})
    ->Arg(100'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ClearOrders, huang, Shape{1, false})->Arg(100'000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ClearOrders, posted, Shape{1, true, true, 4'000'000, 1'000'000})
    ->Arg(100'000)
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ClearOrders, ties, Shape{1, true, true, 10})->Arg(100'000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ClearOrders, classes64, Shape{64})->Arg(100'000)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(ClearOrders, shuffled, Shape{1, true, false})->Arg(100'000)->Unit(benchmark::kMillisecond);

// `bundles` classes to choose from each; 64 classes share 6,212 devices, and gangs want two to three times as many.
// `bids` for one device each rank with them.
EpochInput Gangs(std::size_t gangs, int bundles, std::size_t bids) {
  constexpr ClassId kClasses = 64;
  Random random(2);
  EpochInput input;
  input.seed = 7;
  for (ClassId id = 0; id < kClasses; ++id) {
    ClassInput slot_class;
    slot_class.id = id;
    slot_class.lot_milli = 1000;
    slot_class.reserve_microcredits = 100'000;
    slot_class.weight_milli = Between(random, 250, 1000);
    input.classes.push_back(slot_class);
  }
  for (OrderId id = 1; id <= 6212; ++id) {
    Ask ask;
    ask.id = id;
    ask.owner = id;
    ask.slot_class = static_cast<ClassId>(id % kClasses);
    ask.units_milli = 1000;
    ask.price_microcredits = Between(random, 0, 100'000);
    input.asks.push_back(ask);
  }
  for (OrderId id = 1; id <= gangs; ++id) {
    GangBid gang;
    gang.id = 100'000 + id;
    gang.owner = 100'000 + id;
    const std::int64_t devices = std::int64_t{1} << Between(random, 0, 3);
    for (int b = 0; b < bundles; ++b) {
      Bundle bundle;
      bundle.parts = {{static_cast<ClassId>(random() % kClasses), devices * 1000}};
      bundle.value_microcredits = devices * Between(random, 100'000, 4'000'000);
      gang.bundles.push_back(bundle);
    }
    input.gangs.push_back(gang);
  }
  for (OrderId id = 1; id <= bids; ++id) {
    Bid bid;
    bid.id = 200'000 + id;
    bid.owner = bid.id;
    bid.slot_class = static_cast<ClassId>(random() % kClasses);
    bid.units_milli = 1000;
    bid.price_microcredits = Between(random, 0, 2'000'000);
    input.bids.push_back(bid);
  }
  return input;
}

void ClearGangs(benchmark::State& state) {
  const EpochInput input = Gangs(static_cast<std::size_t>(state.range(0)), static_cast<int>(state.range(1)),
                                 static_cast<std::size_t>(state.range(2)));
  Clear(state, input);
  const auto outcome = ClearEpoch(input);
  double surcharged = 0;
  for (const GangAward& award : outcome->gangs) surcharged += award.surcharge_nanocredits > 0 ? 1 : 0;
  state.counters["winners"] = static_cast<double>(outcome->gangs.size());
  state.counters["above_reserve"] = surcharged;
}
BENCHMARK(ClearGangs)
    ->Args({8000, 1, 0})
    ->Args({8000, 3, 0})
    ->Args({8000, 8, 0})
    ->Args({8000, 3, 10'000})
    ->Args({8000, 3, 100'000})
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace accelmesh::market::auction

BENCHMARK_MAIN();
