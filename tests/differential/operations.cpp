// What lanes and threads do together, accesses to memory, and the table of all operations.
#include "tests/differential/operations.h"

#include <algorithm>
#include <bit>
#include <iterator>

#include "tests/differential/table.h"

namespace accelmesh::differential {
namespace {

using U32 = std::uint32_t;
using U64 = std::uint64_t;
using Inputs = const U64 (*)[4];
using Outputs = U64 (*)[2];
constexpr U32 kLanes = 32;

constexpr Source kWord{Class::k32, Kind::kInteger, false, false};
constexpr Source kLong{Class::k64, Kind::kInteger, false, false};
constexpr Source kAmount{Class::k32, Kind::kInteger, true, false};
constexpr Source kBit{Class::kPredicate, Kind::kPredicate, false, true};

void AddTogether(Table& table, Family family, std::string text, std::vector<Class> results, std::vector<Source> sources,
                 std::function<void(U32, Inputs, Outputs)> together) {
  Operation& added = table.Raw(family, std::move(text), std::move(results), std::move(sources), nullptr);
  added.together = std::move(together);
  added.sequential = family == Family::kBlock;
}

void AddShuffles(Table& table) {
  for (const char* name : {"up", "down", "bfly", "idx"}) {
    const std::string mode = name;
    AddTogether(table, Family::kWarp, "shfl.sync." + mode + ".b32 $0|$1, #0, #1, #2, 0xffffffff",
                {Class::k32, Class::kPredicate}, {kWord, kAmount, kAmount}, [mode](U32, Inputs in, Outputs out) {
                  for (U32 lane = 0; lane < kLanes; ++lane) {
                    const auto b = static_cast<int>(in[lane][1] & 31), c = static_cast<int>(in[lane][2] & 31);
                    const auto segments = static_cast<int>(in[lane][2] >> 8 & 31);
                    const int self = static_cast<int>(lane);
                    const int most = (self & segments) | (c & ~segments);
                    const int least = self & segments;
                    int from = 0;
                    bool in_range = false;
                    if (mode == "up") {
                      from = self - b;
                      in_range = from >= most;
                    } else {
                      from = mode == "down" ? self + b : mode == "bfly" ? self ^ b : least | (b & ~segments);
                      in_range = from <= most;
                    }
                    out[lane][0] = in[in_range ? from : self][0];
                    out[lane][1] = in_range ? 1 : 0;
                  }
                });
  }
}

void AddVotes(Table& table) {
  const auto ballot = [](Inputs in) {
    U32 bits = 0;
    for (U32 lane = 0; lane < kLanes; ++lane) bits |= static_cast<U32>(in[lane][0] & 1) << lane;
    return bits;
  };
  const auto add = [&](const std::string& text, Class result, auto f) {
    AddTogether(table, Family::kWarp, text, {result}, {kBit}, [=](U32, Inputs in, Outputs out) {
      for (U32 lane = 0; lane < kLanes; ++lane) out[lane][0] = f(ballot(in));
    });
  };
  add("vote.sync.all.pred $0, #0, 0xffffffff", Class::kPredicate, [](U32 v) { return v == 0xffffffff ? 1 : 0; });
  add("vote.sync.any.pred $0, #0, 0xffffffff", Class::kPredicate, [](U32 v) { return v != 0 ? 1 : 0; });
  add("vote.sync.uni.pred $0, #0, 0xffffffff", Class::kPredicate, [](U32 v) { return v + 1 <= 1 ? 1 : 0; });
  add("vote.sync.ballot.b32 $0, #0, 0xffffffff", Class::k32, [](U32 v) { return v; });
}

void AddMatches(Table& table) {
  for (const Source& source : {kWord, kLong}) {
    const std::string type = source.width == Class::k64 ? "b64" : "b32";
    const auto alike = [](Inputs in, U32 lane) {
      U32 bits = 0;
      for (U32 other = 0; other < kLanes; ++other) bits |= (in[other][0] == in[lane][0] ? 1u : 0u) << other;
      return bits;
    };
    AddTogether(table, Family::kWarp, "match.any.sync." + type + " $0, #0, 0xffffffff", {Class::k32}, {source},
                [=](U32, Inputs in, Outputs out) {
                  for (U32 lane = 0; lane < kLanes; ++lane) out[lane][0] = alike(in, lane);
                });
    AddTogether(table, Family::kWarp, "match.all.sync." + type + " $0|$1, #0, 0xffffffff",
                {Class::k32, Class::kPredicate}, {source}, [=](U32, Inputs in, Outputs out) {
                  const bool all = alike(in, 0) == 0xffffffff;
                  for (U32 lane = 0; lane < kLanes; ++lane) {
                    out[lane][0] = all ? 0xffffffff : 0;
                    out[lane][1] = all ? 1 : 0;
                  }
                });
  }
}

void AddWarpReductions(Table& table) {
  const auto add = [&](const std::string& name, auto combine) {
    AddTogether(table, Family::kWarp, "redux.sync." + name + " $0, #0, 0xffffffff", {Class::k32}, {kWord},
                [=](U32, Inputs in, Outputs out) {
                  using T = decltype(combine(0, 0));
                  T all = static_cast<T>(in[0][0]);
                  for (U32 lane = 1; lane < kLanes; ++lane)
                    all = static_cast<T>(combine(all, static_cast<T>(in[lane][0])));
                  for (U32 lane = 0; lane < kLanes; ++lane) out[lane][0] = static_cast<U32>(all);
                });
  };
  add("add.u32", [](U32 a, U32 b) { return a + b; });
  add("min.u32", [](U32 a, U32 b) { return std::min(a, b); });
  add("max.u32", [](U32 a, U32 b) { return std::max(a, b); });
  add("min.s32", [](std::int32_t a, std::int32_t b) { return std::min(a, b); });
  add("max.s32", [](std::int32_t a, std::int32_t b) { return std::max(a, b); });
  add("and.b32", [](U32 a, U32 b) { return a & b; });
  add("or.b32", [](U32 a, U32 b) { return a | b; });
  add("xor.b32", [](U32 a, U32 b) { return a ^ b; });
}

void AddBarriers(Table& table) {
  const auto add = [&](const std::string& text, Class result, auto f) {
    AddTogether(table, Family::kBlock, text, {result}, {kBit}, [=](U32 threads, Inputs in, Outputs out) {
      U32 count = 0;
      for (U32 i = 0; i < threads; ++i) count += static_cast<U32>(in[i][0] & 1);
      for (U32 i = 0; i < threads; ++i) out[i][0] = f(count, threads);
    });
  };
  add("bar.red.popc.u32 $0, 0, #0", Class::k32, [](U32 count, U32) { return count; });
  add("bar.red.and.pred $0, 0, #0", Class::kPredicate, [](U32 count, U32 threads) { return count == threads ? 1 : 0; });
  add("bar.red.or.pred $0, 0, #0", Class::kPredicate, [](U32 count, U32) { return count != 0 ? 1 : 0; });
  // Through shared memory: the writer's %x0 points to the thread's slot, %x1 to that of the thread as far from the end.
  const auto mirror = [](U32 threads, Inputs in, Outputs out) {
    for (U32 i = 0; i < threads; ++i) out[i][0] = in[threads - 1 - i][0];
  };
  AddTogether(table, Family::kBlock, "st.shared.b32 [%x0], #0\nbar.sync 0\nld.shared.b32 $0, [%x1]\nbar.sync 0",
              {Class::k32}, {kWord}, mirror);
  AddTogether(table, Family::kBlock, "st.shared.b64 [%x0], #0\nbarrier.sync 0\nld.shared.b64 $0, [%x1]\nbarrier.sync 0",
              {Class::k64}, {kLong}, mirror);
}

template <typename T, typename F>
U64 As(F f, U64 a, U64 b) {
  return Masked(ClassOf<T>(), static_cast<U64>(f(static_cast<T>(a), static_cast<T>(b))));
}
template <typename T>
U64 Least(U64 a, U64 b, U64 /*c*/) {
  return As<T>([](T x, T y) { return x < y ? x : y; }, a, b);
}
template <typename T>
U64 Most(U64 a, U64 b, U64 /*c*/) {
  return As<T>([](T x, T y) { return x > y ? x : y; }, a, b);
}
template <typename T>
U64 Sum(U64 a, U64 b, U64 /*c*/) {
  return Masked(ClassOf<T>(), a + b);
}
U64 And(U64 a, U64 b, U64 /*c*/) { return a & b; }
U64 Or(U64 a, U64 b, U64 /*c*/) { return a | b; }
U64 Xor(U64 a, U64 b, U64 /*c*/) { return a ^ b; }
U64 Exchange(U64 /*a*/, U64 b, U64 /*c*/) { return b; }
U64 CompareAndSwap(U64 old, U64 expected, U64 wanted) { return old == expected ? wanted : old; }
U64 Increment(U64 old, U64 limit, U64 /*c*/) { return old >= limit ? 0 : old + 1; }
U64 Decrement(U64 old, U64 limit, U64 /*c*/) { return old == 0 || old > limit ? limit : old - 1; }

}  // namespace

void AddGroupOperations(Table& table) {
  AddShuffles(table);
  AddVotes(table);
  AddMatches(table);
  AddWarpReductions(table);
  AddBarriers(table);
}

const std::vector<Operation>& Operations() {
  static const std::vector<Operation> kOperations = [] {
    std::vector<Operation> operations;
    Table table(&operations);
    AddIntegerOperations(table);
    AddFloatOperations(table);
    AddConversions(table);
    AddGroupOperations(table);
    return operations;
  }();
  return kOperations;
}

const std::vector<Access>& Accesses() {
  static const std::vector<Access> kAccesses{
      {"u8", 1, false, Class::k16, 1},  {"s8", 1, true, Class::k16, 1},   {"u8", 1, false, Class::k32, 1},
      {"s8", 1, true, Class::k32, 1},   {"s8", 1, true, Class::k64, 1},   {"b16", 2, false, Class::k16, 1},
      {"u16", 2, false, Class::k32, 1}, {"s16", 2, true, Class::k32, 1},  {"s16", 2, true, Class::k64, 1},
      {"b32", 4, false, Class::k32, 1}, {"s32", 4, true, Class::k64, 1},  {"u32", 4, false, Class::k64, 1},
      {"f32", 4, false, Class::k32, 1}, {"b64", 8, false, Class::k64, 1}, {"f64", 8, false, Class::k64, 1},
      {"b16", 2, false, Class::k16, 2}, {"b32", 4, false, Class::k32, 2}, {"b64", 8, false, Class::k64, 2},
      {"u8", 1, false, Class::k16, 4},  {"b32", 4, false, Class::k32, 4}};
  return kAccesses;
}
const std::vector<Atomic>& Atomics() {
  static const std::vector<Atomic> kAtomics{{"add.u32", Class::k32, 1, Sum<U32>},
                                            {"add.u64", Class::k64, 1, Sum<U64>},
                                            {"min.s32", Class::k32, 1, Least<std::int32_t>},
                                            {"max.u32", Class::k32, 1, Most<U32>},
                                            {"min.u64", Class::k64, 1, Least<U64>},
                                            {"max.s64", Class::k64, 1, Most<std::int64_t>},
                                            {"and.b32", Class::k32, 1, And},
                                            {"or.b64", Class::k64, 1, Or},
                                            {"xor.b32", Class::k32, 1, Xor},
                                            {"exch.b32", Class::k32, 1, Exchange},
                                            {"exch.b64", Class::k64, 1, Exchange},
                                            {"cas.b32", Class::k32, 2, CompareAndSwap},
                                            {"cas.b64", Class::k64, 2, CompareAndSwap},
                                            {"inc.u32", Class::k32, 1, Increment},
                                            {"dec.u32", Class::k32, 1, Decrement}};
  return kAtomics;
}
const std::vector<Atomic>& Reductions() {
  static const std::vector<Atomic> kReductions{
      {"add.u32", Class::k32, 1, Sum<U32>},  {"min.s32", Class::k32, 1, Least<std::int32_t>},
      {"max.u32", Class::k32, 1, Most<U32>}, {"and.b32", Class::k32, 1, And},
      {"or.b32", Class::k32, 1, Or},         {"xor.b64", Class::k64, 1, Xor},
      {"add.u64", Class::k64, 1, Sum<U64>},  {"max.s64", Class::k64, 1, Most<std::int64_t>}};
  return kReductions;
}

}  // namespace accelmesh::differential
