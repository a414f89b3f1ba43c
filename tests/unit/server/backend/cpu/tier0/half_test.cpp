// tier0/half.cpp: arithmetic and comparison of f16, bf16 and their pairs.
#include <algorithm>
#include <random>

#include "tests/unit/server/backend/cpu/tier0/machine.h"
#include "tests/unit/server/backend/cpu/tier0/small_reference.h"

namespace accelmesh::tier0 {
namespace {

constexpr Widths kHalfWidths{16, 16, 16, 16, 16};

struct Options {
  bool ftz = false, sat = false, relu = false, nan = false, xorsign = false;
};
std::uint64_t Flushed(const SmallFormat& f, std::uint64_t v, bool ftz) {
  return ftz && (v & 0x7fff) >> f.fraction_bits == 0 ? v & 0x8000 : v;
}
std::uint64_t Finish(const SmallFormat& f, Quad x, int sticky, const Options& o) {
  if (o.sat) x = !(x > 0) ? Quad{0} : x > 1 ? Quad{1} : x;
  if (o.relu && x < 0) x = 0;
  if (o.sat && (x == 1 || x == 0)) sticky = 0;
  return Flushed(f, f.Round(x, Toward::kNearest, sticky), o.ftz);
}
// a b + c, with what a sum of 113 bits loses.
std::uint64_t FmaOf(const SmallFormat& f, std::uint64_t a, std::uint64_t b, std::uint64_t c, const Options& o) {
  const double x = f.Value(Flushed(f, a, o.ftz)), y = f.Value(Flushed(f, b, o.ftz)), z = f.Value(Flushed(f, c, o.ftz));
  const double plain = x * y + z;
  if (!std::isfinite(x) || !std::isfinite(y) || !std::isfinite(z)) return Finish(f, plain, 0, o);
  const Quad product = static_cast<Quad>(x) * y, addend = z;
  const Quad sum = product + addend, back = sum - product;
  const Quad lost = (product - (sum - back)) + (addend - back);
  if (sum == 0 && lost == 0) return Finish(f, plain, 0, o);
  return Finish(f, sum, lost > 0 ? 1 : lost < 0 ? -1 : 0, o);
}
std::uint64_t AddOf(const SmallFormat& f, std::uint64_t a, std::uint64_t b, const Options& o) {
  return FmaOf(f, a, f.Round(Quad{1}), b, o);
}
std::uint64_t MulOf(const SmallFormat& f, std::uint64_t a, std::uint64_t b, const Options& o) {
  const double x = f.Value(Flushed(f, a, o.ftz)), y = f.Value(Flushed(f, b, o.ftz));
  if (!std::isfinite(x) || !std::isfinite(y) || x == 0 || y == 0) return Finish(f, x * y, 0, o);
  return Finish(f, static_cast<Quad>(x) * y, 0, o);
}
std::uint64_t MinMax(const SmallFormat& f, std::uint64_t a, std::uint64_t b, bool least, const Options& o) {
  a = Flushed(f, a, o.ftz);
  b = Flushed(f, b, o.ftz);
  const std::uint64_t sign = (a ^ b) & 0x8000;
  if (o.xorsign) a &= 0x7fff, b &= 0x7fff;
  const bool a_nan = f.IsNan(a), b_nan = f.IsNan(b);
  if ((a_nan && b_nan) || (o.nan && (a_nan || b_nan))) return 0x7fff;
  std::uint64_t d = a_nan ? b : a;
  if (!a_nan && !b_nan) {
    // -0 comes before +0.
    const auto rank = [&f](std::uint64_t v) { return std::pair(f.Value(v), (v & 0x8000) == 0); };
    d = (rank(a) < rank(b)) == least ? a : b;
  }
  return o.xorsign ? (d & 0x7fff) | sign : d;
}

std::vector<Values> Pairs(Kind kind) {
  std::vector<std::uint64_t> all = Interesting(kind, 16);
  std::vector<std::uint64_t> some;
  for (std::size_t i = 0; i < all.size(); i += 17) some.push_back(all[i]);
  for (std::size_t i = all.size() - 21; i < all.size(); ++i) some.push_back(all[i]);
  std::mt19937_64 random(5);
  std::vector<Values> rows;
  for (const std::uint64_t a : some) {
    for (const std::uint64_t b : some) rows.push_back({a, b, some[random() % some.size()]});
  }
  for (int i = 0; i < 2000; ++i) rows.push_back({random(), random(), random()});
  // Sums next to the middle of two numbers.
  for (std::uint64_t v = 0x3c00; v < 0x4000; v += 3) rows.push_back({v, 0x3c01, 0x1000 + (v & 0xff)});
  return rows;
}
using OfHalves = std::function<std::uint64_t(std::uint64_t, std::uint64_t, std::uint64_t)>;
// The instruction on single values, and on pairs with another order of the values in the upper half.
void Check(const std::string& name, const SmallFormat& format, const std::string& operands, const OfHalves& reference) {
  const std::vector<Values> rows = Pairs(format.bias == 15 ? Kind::kF16 : Kind::kBf16);
  ExpectRows(name + "." + format.name + " %d, " + operands + ";", kHalfWidths, rows,
             [&](auto& v) { return reference(v.a & 0xffff, v.b & 0xffff, v.c & 0xffff); });
  std::vector<Values> pairs = rows;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Values& high = rows[(i * 7 + 3) % rows.size()];
    const auto join = [](std::uint64_t low, std::uint64_t up) { return (low & 0xffff) | (up & 0xffff) << 16; };
    pairs[i] = {join(rows[i].a, high.a), join(rows[i].b, high.b), join(rows[i].c, high.c)};
  }
  ExpectRows(name + "." + format.name + "x2 %d, " + operands + ";", {}, pairs, [&](auto& v) {
    return reference(v.a & 0xffff, v.b & 0xffff, v.c & 0xffff) |
           reference(v.a >> 16 & 0xffff, v.b >> 16 & 0xffff, v.c >> 16 & 0xffff) << 16;
  });
}

struct Form {
  const char* modifiers;
  Options options;
};
TEST(Half, AddSubMulFma) {
  const Form forms[] = {
      {"", {}}, {".rn", {}}, {".ftz", {true}}, {".rn.ftz.sat", {true, true}}, {".sat", {false, true}}};
  for (const SmallFormat& format : {kF16Format, kBf16Format}) {
    for (const Form& form : forms) {
      const Options& o = form.options;
      if (format.bias != 15 && (o.ftz || o.sat)) continue;
      Check("add" + std::string(form.modifiers), format, "%a, %b",
            [&](auto a, auto b, auto) { return AddOf(format, a, b, o); });
      Check("sub" + std::string(form.modifiers), format, "%a, %b",
            [&](auto a, auto b, auto) { return AddOf(format, a, b ^ 0x8000, o); });
      Check("mul" + std::string(form.modifiers), format, "%a, %b",
            [&](auto a, auto b, auto) { return MulOf(format, a, b, o); });
    }
    for (const Form& form : {Form{".rn", {}},
                             {".rn.ftz", {true}},
                             {".rn.sat", {false, true}},
                             {".rn.ftz.sat", {true, true}},
                             {".rn.relu", {false, false, true}},
                             {".rn.ftz.relu", {true, false, true}}}) {
      const Options& o = form.options;
      if (format.bias != 15 && (o.ftz || o.sat)) continue;
      Check("fma" + std::string(form.modifiers), format, "%a, %b, %c", [&](auto a, auto b, auto c) {
        const std::uint64_t d = FmaOf(format, a, b, c, o);
        return o.relu && d == 0x8000 ? 0 : d;
      });
    }
  }
}
TEST(Half, SignsAndExtremes) {
  for (const SmallFormat& format : {kF16Format, kBf16Format}) {
    for (const bool ftz : {false, true}) {
      if (ftz && format.bias != 15) continue;
      const std::string f = ftz ? ".ftz" : "";
      Check("neg" + f, format, "%a", [&](auto a, auto, auto) { return Flushed(format, a, ftz) ^ 0x8000; });
      Check("abs" + f, format, "%a", [&](auto a, auto, auto) { return Flushed(format, a, ftz) & 0x7fff; });
      for (const auto& [modifiers, nan, xorsign] : {std::tuple{"", false, false},
                                                    {".NaN", true, false},
                                                    {".xorsign.abs", false, true},
                                                    {".NaN.xorsign.abs", true, true}}) {
        const Options o{ftz, false, false, nan, xorsign};
        for (const bool least : {true, false}) {
          Check((least ? "min" : "max") + f + modifiers, format, "%a, %b",
                [&](auto a, auto b, auto) { return MinMax(format, a, b, least, o); });
        }
      }
    }
  }
}

// Approximations: within 2^-9 relative of f16's 2^-9.9 documented, and 2^-7 of bf16; here within one step of exact.
void CheckNear(const std::string& name, const SmallFormat& format, double (*exact)(double), bool ftz) {
  const std::vector<std::uint64_t> values = Interesting(format.bias == 15 ? Kind::kF16 : Kind::kBf16, 16);
  std::vector<Values> rows;
  for (const std::uint64_t v : values) rows.push_back({v});
  const auto check = [&](std::uint64_t in, std::uint64_t got, const std::string& body) {
    const std::uint64_t wanted = Flushed(format, format.Round(exact(format.Value(Flushed(format, in, ftz)))), ftz);
    const auto distance = static_cast<std::int64_t>(got & 0xffff) - static_cast<std::int64_t>(wanted);
    if (distance < -1 || distance > 1) ADD_FAILURE() << body << " of " << in << ": " << got << ", expected " << wanted;
  };
  const std::string single = name + "." + format.name + " %d, %a;", pair = name + "." + format.name + "x2 %d, %a;";
  const std::vector<std::uint64_t> got = RunRows(single, kHalfWidths, rows);
  for (std::size_t i = 0; i < got.size(); ++i) check(rows[i].a, got[i], single);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].a |= values[(i * 5 + 1) % values.size()] << 16;
  const std::vector<std::uint64_t> both = RunRows(pair, {}, rows);
  for (std::size_t i = 0; i < both.size(); ++i) {
    check(rows[i].a & 0xffff, both[i], pair);
    check(rows[i].a >> 16, both[i] >> 16, pair);
  }
}
TEST(Half, Approximations) {
  CheckNear("ex2.approx", kF16Format, [](double x) { return std::exp2(x); }, false);
  CheckNear("ex2.approx.ftz", kBf16Format, [](double x) { return std::exp2(x); }, true);
  CheckNear("tanh.approx", kF16Format, [](double x) { return std::tanh(x); }, false);
  CheckNear("tanh.approx", kBf16Format, [](double x) { return std::tanh(x); }, false);
}

bool Holds(const std::string& how, double a, double b) {
  const bool unordered = std::isnan(a) || std::isnan(b);
  if (how == "num") return !unordered;
  if (how == "nan") return unordered;
  if (how.size() == 3) return unordered || Holds(how.substr(0, 2), a, b);
  if (unordered) return false;
  return how == "eq"   ? a == b
         : how == "ne" ? a != b
         : how == "lt" ? a < b
         : how == "le" ? a <= b
         : how == "gt" ? a > b
                       : a >= b;
}
const char* const kComparisons[] = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",  "equ",
                                    "neu", "ltu", "leu", "gtu", "geu", "num", "nan"};

TEST(Half, Comparisons) {
  for (const SmallFormat& format : {kF16Format, kBf16Format}) {
    const std::vector<Values> rows = Pairs(format.bias == 15 ? Kind::kF16 : Kind::kBf16);
    std::vector<Values> pairs = rows;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Values& high = rows[(i * 7 + 3) % rows.size()];
      pairs[i] = {(rows[i].a & 0xffff) | (high.a & 0xffff) << 16, (rows[i].b & 0xffff) | (high.b & 0xffff) << 16};
    }
    for (const std::string how : kComparisons) {
      const auto low = [&](const Values& v) {
        return Holds(how, format.Value(v.a & 0xffff), format.Value(v.b & 0xffff));
      };
      const auto high = [&](const Values& v) { return Holds(how, format.Value(v.a >> 16), format.Value(v.b >> 16)); };
      const std::string of = how + "." + format.name;
      const Widths narrow{32, 16, 16};
      ExpectRows("setp." + of + " %p, %a, %b; selp.u32 %d, 1, 0, %p;", narrow, rows, [&](auto& v) { return low(v); });
      ExpectRows("setp." + of + "x2 %p|%q, %a, %b; selp.u32 %d, 1, 0, %p; @%q add.u32 %d, %d, 2;", {}, pairs,
                 [&](auto& v) { return low(v) + 2u * high(v); });
    }
  }
}

TEST(Half, CombinedComparisonsAndSets) {
  for (const SmallFormat& format : {kF16Format, kBf16Format}) {
    const std::string name = format.name;
    const std::uint64_t one = format.Round(Quad{1});
    const std::vector<Values> rows = Pairs(format.bias == 15 ? Kind::kF16 : Kind::kBf16);
    const auto less = [&](const Values& v) {
      return Holds("lt", format.Value(v.a & 0xffff), format.Value(v.b & 0xffff));
    };
    const auto upper = [&](const Values& v) {
      return Holds("lt", format.Value(v.a >> 16 & 0xffff), format.Value(v.b >> 16 & 0xffff));
    };
    ExpectRows("set.lt." + name + "." + name + " %d, %a, %b;", kHalfWidths, rows,
               [&](auto& v) { return less(v) ? one : 0; });
    ExpectRows("set.lt.u16." + name + " %d, %a, %b;", kHalfWidths, rows, [&](auto& v) { return less(v) ? 0xffff : 0; });
    ExpectRows("set.lt.s16." + name + " %d, %a, %b;", kHalfWidths, rows, [&](auto& v) { return less(v) ? 0xffff : 0; });
    ExpectRows("set.lt.u32." + name + " %d, %a, %b;", {32, 16, 16}, rows, [&](auto& v) { return less(v) ? ~0u : 0; });
    ExpectRows("set.lt.s32." + name + " %d, %a, %b;", {32, 16, 16}, rows, [&](auto& v) { return less(v) ? ~0u : 0; });
    const std::string pair = name + "x2";
    ExpectRows("set.lt." + pair + "." + pair + " %d, %a, %b;", {}, rows,
               [&](auto& v) { return (less(v) ? one : 0) | (upper(v) ? one << 16 : 0); });
    for (const std::string type : {"u32", "s32"}) {
      ExpectRows("set.lt." + type + "." + pair + " %d, %a, %b;", {}, rows,
                 [&](auto& v) { return (less(v) ? 0xffffu : 0) | (upper(v) ? 0xffff0000u : 0); });
    }
    for (const std::string how : {"and", "or", "xor"}) {
      const auto with = [&](bool holds, const Values& v) {
        const bool c = (v.c & 1) == 0;  // the predicate, negated
        return how == "and" ? holds && c : how == "or" ? holds || c : holds != c;
      };
      const std::string set_q = "and.b32 %t1, %c, 1; setp.ne.u32 %q, %t1, 0; ";
      ExpectRows(set_q + "setp.lt." + how + "." + name + " %p, %a, %b, !%q; selp.u32 %d, 1, 0, %p;", {32, 16, 16}, rows,
                 [&](auto& v) { return with(less(v), v); });
      ExpectRows(set_q + "set.lt." + how + "." + pair + "." + pair + " %d, %a, %b, !%q;", {}, rows,
                 [&](auto& v) { return (with(less(v), v) ? one : 0) | (with(upper(v), v) ? one << 16 : 0); });
    }
  }
  // A denormal is zero to .ftz.
  ExpectRows("setp.eq.ftz.f16 %p, %a, %b; selp.u32 %d, 1, 0, %p;", {32, 16, 16}, {{1, 0}, {0x3ff, 0x8001}, {0x400, 0}},
             [](auto& v) { return v.a != 0x400; });
}

}  // namespace
}  // namespace accelmesh::tier0
