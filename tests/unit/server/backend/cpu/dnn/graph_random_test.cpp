// Random numbers of graphs: Philox by another writing of it and by known answers, and what is made of them; dropout.
#include <gmock/gmock.h>

#include <numbers>

#include "tests/unit/server/backend/cpu/dnn/graph_plan.h"

namespace accelmesh {
namespace {

using dnn_test::Bits;
using dnn_test::Count;
using dnn_test::ExpectNear;
using dnn_test::GraphCall;
using dnn_test::PlanText;
using dnn_test::Random;
using dnn_test::Reals;
using dnn_test::Words;

using Attributes = std::vector<PlanText::Attribute>;

// Salmon and others, "Parallel random numbers: as easy as 1, 2, 3": ten rounds of two products each.
struct Philox {
  std::uint32_t c[4];
  std::uint32_t k[2];
  void Round() {
    const auto product = [](std::uint32_t a, std::uint32_t b) { return std::uint64_t{a} * b; };
    const std::uint64_t p0 = product(0xD2511F53u, c[0]), p1 = product(0xCD9E8D57u, c[2]);
    const std::uint32_t next[4] = {
        static_cast<std::uint32_t>(p1 / 0x100000000) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1 % 0x100000000),
        static_cast<std::uint32_t>(p0 / 0x100000000) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0 % 0x100000000)};
    std::copy(next, next + 4, c);
  }
  void Run() {
    for (int i = 0; i < 10; ++i) {
      if (i > 0) {
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
      }
      Round();
    }
  }
};

std::uint32_t Drawn(std::uint64_t seed, std::uint64_t offset, std::size_t element) {
  const std::uint64_t counter = offset + element / 4;
  Philox philox{{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0},
                {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)}};
  philox.Run();
  return philox.c[element % 4];
}
double Fraction(std::uint32_t bits) { return std::ldexp(static_cast<double>(bits / 256), -24); }

TEST(CpuGraphRandom, TheReferenceGivesTheKnownAnswers) {
  Philox zeros{{0, 0, 0, 0}, {0, 0}}, ones{{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}};
  zeros.Run();
  ones.Run();
  EXPECT_THAT(zeros.c, testing::ElementsAre(0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u));
  EXPECT_THAT(ones.c, testing::ElementsAre(0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu));
}

struct Draw {
  int distribution = CUDNN_RNG_DISTRIBUTION_UNIFORM;
  Attributes more;
  // A seed that floats do not hold; of a number, by value, or in memory.
  std::uint64_t seed = 0x123456789abcdef1, offset = 0x100000003;
  int seed_kind = 0;
};
std::int64_t AddDraw(GraphCall* call, const Draw& draw, std::int64_t y) {
  Attributes description = draw.more;
  description.push_back({CUDNN_ATTR_RNG_DISTRIBUTION, CUDNN_TYPE_RNG_DISTRIBUTION, {draw.distribution}});
  const std::int64_t random = call->Add(CUDNN_BACKEND_RNG_DESCRIPTOR, description);
  Attributes all = {PlanText::Refer(CUDNN_ATTR_OPERATION_RNG_DESC, random),
                    PlanText::Refer(CUDNN_ATTR_OPERATION_RNG_YDESC, y)};
  const auto whole = [call](std::uint64_t number, bool is_value) {
    std::int64_t place = 0;
    std::vector<std::uint8_t> bytes(sizeof(number));
    std::memcpy(bytes.data(), &number, sizeof(number));
    if (is_value) return call->WholeValue(static_cast<std::int64_t>(number));
    call->PutBytes(bytes, {1, 1, 1, 1}, CUDNN_DATA_INT64, &place);
    return place;
  };
  if (draw.seed_kind == 0) {
    all.push_back({CUDNN_ATTR_OPERATION_RNG_SEED, CUDNN_TYPE_INT64, {static_cast<std::int64_t>(draw.seed)}});
  } else {
    all.push_back(PlanText::Refer(CUDNN_ATTR_OPERATION_RNG_SEED, whole(draw.seed, draw.seed_kind == 1)));
  }
  all.push_back(PlanText::Refer(CUDNN_ATTR_OPERATION_RNG_OFFSET_DESC, whole(draw.offset, draw.seed_kind == 1)));
  return call->Add(CUDNN_BACKEND_OPERATION_RNG_DESCRIPTOR, all);
}

TEST(CpuGraphRandom, EveryDistributionIsMadeOfTheReferencesNumbers) {
  const Words dims{3, 5, 7};
  for (const int kind : {0, 1, 2}) {
    for (const int distribution :
         {CUDNN_RNG_DISTRIBUTION_BERNOULLI, CUDNN_RNG_DISTRIBUTION_UNIFORM, CUDNN_RNG_DISTRIBUTION_NORMAL}) {
      SCOPED_TRACE(testing::Message() << distribution << " seed " << kind);
      Draw draw;
      draw.distribution = distribution;
      draw.seed_kind = kind;
      draw.more = {{CUDNN_ATTR_RNG_BERNOULLI_DIST_PROBABILITY, CUDNN_TYPE_DOUBLE, {Bits(0.3)}},
                   {CUDNN_ATTR_RNG_UNIFORM_DIST_MINIMUM, CUDNN_TYPE_DOUBLE, {Bits(-2)}},
                   {CUDNN_ATTR_RNG_UNIFORM_DIST_MAXIMUM, CUDNN_TYPE_DOUBLE, {Bits(6)}},
                   {CUDNN_ATTR_RNG_NORMAL_DIST_MEAN, CUDNN_TYPE_DOUBLE, {Bits(3)}},
                   {CUDNN_ATTR_RNG_NORMAL_DIST_STANDARD_DEVIATION, CUDNN_TYPE_DOUBLE, {Bits(0.5)}}};
      Reals wanted;
      for (std::size_t i = 0; i < Count(dims); ++i) {
        const auto drawn = [&](std::size_t element) { return Fraction(Drawn(draw.seed, draw.offset, element)); };
        if (distribution == CUDNN_RNG_DISTRIBUTION_BERNOULLI) {
          wanted.push_back(drawn(i) < 0.3 ? 1 : 0);
        } else if (distribution == CUDNN_RNG_DISTRIBUTION_UNIFORM) {
          wanted.push_back(-2 + 8 * drawn(i));
        } else {
          // Box and Muller: each two numbers make two.
          const std::size_t first = i - i % 2;
          const double radius = std::sqrt(-2 * std::log(1 - drawn(first))),
                       angle = 2 * std::numbers::pi * drawn(first + 1);
          wanted.push_back(3 + 0.5 * radius * (i % 2 == 0 ? std::cos(angle) : std::sin(angle)));
        }
      }
      GraphCall call;
      const std::int64_t y = call.Make(dims, CUDNN_DATA_FLOAT, true);
      call.Run({AddDraw(&call, draw, y)});
      ExpectNear(call.Get(y), wanted, 1e-5, "drawn");
    }
  }
}

TEST(CpuGraphRandom, TheyAreSpreadAsTheyShould) {
  const Words dims{100, 200};
  const auto moments = [&](const Draw& draw, double* mean, double* variance) {
    GraphCall call;
    const std::int64_t y = call.Make(dims, CUDNN_DATA_FLOAT);
    call.Run({AddDraw(&call, draw, y)});
    const Reals got = call.Get(y);
    const auto count = static_cast<double>(got.size());
    *mean = std::accumulate(got.begin(), got.end(), 0.0) / count;
    *variance = 0;
    for (const double value : got) *variance += (value - *mean) * (value - *mean) / count;
  };
  double mean = 0, variance = 0;
  moments({CUDNN_RNG_DISTRIBUTION_UNIFORM, {}}, &mean, &variance);
  EXPECT_NEAR(mean, 0.5, 0.01);
  EXPECT_NEAR(variance, 1.0 / 12, 0.005);
  moments({CUDNN_RNG_DISTRIBUTION_NORMAL, {}}, &mean, &variance);
  EXPECT_NEAR(mean, 0, 0.03);
  EXPECT_NEAR(variance, 1, 0.05);
}

// As cuDNN's frontend drops: a mask that is drawn with the probability to keep, times x, times what keeps the sum.
TEST(CpuGraphRandom, DropoutKeepsWhatTheMaskSaysAndTheSameSeedTheSame) {
  std::mt19937 random(81);
  const Words dims{2, 2, 6, 5};
  const Reals x = Random(random, Count(dims), 1, 2);
  constexpr double kKept = 0.75;
  const auto run = [&](std::uint64_t offset) {
    GraphCall call;
    Draw draw;
    draw.distribution = CUDNN_RNG_DISTRIBUTION_BERNOULLI;
    draw.more = {{CUDNN_ATTR_RNG_BERNOULLI_DIST_PROBABILITY, CUDNN_TYPE_DOUBLE, {Bits(kKept)}}};
    draw.seed_kind = 2;
    draw.offset = offset;
    const std::int64_t from = call.Put(dims, x, CUDNN_DATA_FLOAT), y = call.Make(dims, CUDNN_DATA_FLOAT),
                       mask = call.Virtual(dims), kept = call.Virtual(dims);
    call.Run({AddDraw(&call, draw, mask), call.Pointwise(CUDNN_POINTWISE_MUL, from, mask, kept),
              call.Pointwise(CUDNN_POINTWISE_MUL, kept, call.Value(1 / kKept, CUDNN_DATA_FLOAT), y)});
    return call.Get(y);
  };
  Reals wanted;
  for (std::size_t i = 0; i < x.size(); ++i)
    wanted.push_back(Fraction(Drawn(0x123456789abcdef1, 5, i)) < kKept ? x[i] / kKept : 0);
  const Reals first = run(5);
  ExpectNear(first, wanted, 1e-5, "dropout");
  EXPECT_EQ(run(5), first);
  EXPECT_NE(run(5 + 30), first);
}

TEST(CpuGraphRandom, WhatIsNoDistributionIsRefused) {
  const auto is_refused = [](int distribution, double probability, int seed_type, const Words& seed_dims) {
    GraphCall call;
    const std::int64_t y = call.Make({2, 3}, CUDNN_DATA_FLOAT),
                       random = call.Add(
                           CUDNN_BACKEND_RNG_DESCRIPTOR,
                           {{CUDNN_ATTR_RNG_DISTRIBUTION, CUDNN_TYPE_RNG_DISTRIBUTION, {distribution}},
                            {CUDNN_ATTR_RNG_BERNOULLI_DIST_PROBABILITY, CUDNN_TYPE_DOUBLE, {Bits(probability)}}});
    return call.IsRefused({call.Add(
        CUDNN_BACKEND_OPERATION_RNG_DESCRIPTOR,
        {PlanText::Refer(CUDNN_ATTR_OPERATION_RNG_DESC, random), PlanText::Refer(CUDNN_ATTR_OPERATION_RNG_YDESC, y),
         PlanText::Refer(CUDNN_ATTR_OPERATION_RNG_SEED, call.Make(seed_dims, seed_type))})});
  };
  EXPECT_FALSE(is_refused(CUDNN_RNG_DISTRIBUTION_BERNOULLI, 0.5, CUDNN_DATA_INT64, {1, 1}));
  EXPECT_TRUE(is_refused(3, 0.5, CUDNN_DATA_INT64, {1, 1}));
  EXPECT_TRUE(is_refused(CUDNN_RNG_DISTRIBUTION_BERNOULLI, 1.5, CUDNN_DATA_INT64, {1, 1}));
  EXPECT_TRUE(is_refused(CUDNN_RNG_DISTRIBUTION_BERNOULLI, 0.5, CUDNN_DATA_FLOAT, {1, 1}));
  EXPECT_TRUE(is_refused(CUDNN_RNG_DISTRIBUTION_BERNOULLI, 0.5, CUDNN_DATA_INT64, {1, 2}));
}

}  // namespace
}  // namespace accelmesh
