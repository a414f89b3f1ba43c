// Every row of tier0/compare.cpp: logic, setp, set, selp, slct, mov, testp.
#include <cmath>

#include "tests/unit/server/backend/cpu/tier0/exact.h"
#include "tests/unit/server/backend/cpu/tier0/machine.h"

namespace accelmesh::tier0 {
namespace {

Widths Same(int bits) { return {bits, bits, bits, bits, bits}; }
std::vector<Values> IntegerRows(int bits) { return Rows(Kind::kInteger, bits, Kind::kInteger, bits); }

TEST(Compare, Logic) {
  for (const int bits : {16, 32, 64}) {
    const std::string type = ".b" + std::to_string(bits) + " %d, %a, %b;";
    ExpectRows("and" + type, Same(bits), IntegerRows(bits), [](auto& v) { return v.a & v.b; });
    ExpectRows("or" + type, Same(bits), IntegerRows(bits), [](auto& v) { return v.a | v.b; });
    ExpectRows("xor" + type, Same(bits), IntegerRows(bits), [](auto& v) { return v.a ^ v.b; });
    ExpectRows("not.b" + std::to_string(bits) + " %d, %a;", Same(bits), IntegerRows(bits),
               [](auto& v) { return ~v.a; });
  }
}

TEST(Compare, LogicOfPredicates) {
  const std::string set = "setp.ne.u32 %p, %a, 0; setp.ne.u32 %q, %b, 0;\n";
  const std::string get = "selp.b32 %d, 1, 0, %p;";
  const std::vector<Values> rows{{0, 0}, {0, 1}, {1, 0}, {1, 1}};
  ExpectRows(set + "and.pred %p, %p, %q;" + get, {}, rows, [](auto& v) { return v.a & v.b; });
  ExpectRows(set + "or.pred %p, %p, %q;" + get, {}, rows, [](auto& v) { return v.a | v.b; });
  ExpectRows(set + "xor.pred %p, %p, %q;" + get, {}, rows, [](auto& v) { return v.a ^ v.b; });
  ExpectRows(set + "and.pred %p, !%p, !%q;" + get, {}, rows, [](auto& v) { return !v.a & !v.b; });
  ExpectRows(set + "not.pred %p, %q;" + get, {}, rows, [](auto& v) { return !v.b; });
  ExpectRows(set + "mov.pred %p, %q;" + get, {}, rows, [](auto& v) { return v.b; });
  ExpectRows(set + "mov.pred %p, 1;" + get, {}, rows, [](auto&) { return 1; });
  // Under a guard, the other lanes keep theirs.
  ExpectRows(set + "@!%q not.pred %p, %p;" + get, {}, rows, [](auto& v) { return v.b ? v.a : !v.a; });
}

// The comparisons of integers, as the ISA names them for the type.
template <typename T>
void CheckIntegerComparisons(const char* type, std::vector<const char*> names) {
  const int bits = 8 * sizeof(T);
  for (const char* name : names) {
    const std::string n = name;
    ExpectRows("setp." + n + "." + type + " %p, %a, %b; selp.b" + std::to_string(bits) + " %d, 1, 0, %p;", Same(bits),
               IntegerRows(bits), [n](auto& v) -> std::uint64_t {
                 const T a = static_cast<T>(v.a), b = static_cast<T>(v.b);
                 if (n == "eq") return a == b;
                 if (n == "ne") return a != b;
                 if (n == "lt" || n == "lo") return a < b;
                 if (n == "le" || n == "ls") return a <= b;
                 if (n == "gt" || n == "hi") return a > b;
                 return a >= b;
               });
  }
}
TEST(Compare, Integers) {
  CheckIntegerComparisons<std::uint16_t>("u16", {"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"});
  CheckIntegerComparisons<std::int16_t>("s16", {"eq", "ne", "lt", "le", "gt", "ge"});
  CheckIntegerComparisons<std::uint32_t>("u32", {"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"});
  CheckIntegerComparisons<std::int32_t>("s32", {"eq", "ne", "lt", "le", "gt", "ge"});
  CheckIntegerComparisons<std::uint64_t>("u64", {"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs"});
  CheckIntegerComparisons<std::int64_t>("s64", {"eq", "ne", "lt", "le", "gt", "ge"});
  CheckIntegerComparisons<std::uint32_t>("b32", {"eq", "ne"});
}

// lt and its kin are false when an operand is NaN, ltu and its kin true.
template <typename T>
bool FloatComparison(const std::string& name, T a, T b) {
  const bool nan = std::isnan(a) || std::isnan(b);
  if (name == "num") return !nan;
  if (name == "nan") return nan;
  const std::string ordered = name.substr(0, 2);
  if (nan) return name.size() == 3;
  return ordered == "eq"   ? a == b
         : ordered == "ne" ? a != b
         : ordered == "lt" ? a < b
         : ordered == "le" ? a <= b
         : ordered == "gt" ? a > b
                           : a >= b;
}
TEST(Compare, Floats) {
  for (const std::string name :
       {"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "num", "nan"}) {
    ExpectRows("setp." + name + ".f32 %p, %a, %b; selp.b32 %d, 1, 0, %p;", {}, Rows(Kind::kF32, 32, Kind::kF32, 32),
               [&](auto& v) { return FloatComparison(name, FromBits<float>(v.a), FromBits<float>(v.b)); });
    ExpectRows("setp." + name + ".ftz.f32 %p, %a, %b; selp.b32 %d, 1, 0, %p;", {}, Rows(Kind::kF32, 32, Kind::kF32, 32),
               [&](auto& v) { return FloatComparison(name, Ftz(FromBits<float>(v.a)), Ftz(FromBits<float>(v.b))); });
    ExpectRows("setp." + name + ".f64 %p, %a, %b; selp.b64 %d, 1, 0, %p;", Same(64),
               Rows(Kind::kF64, 64, Kind::kF64, 64),
               [&](auto& v) { return FloatComparison(name, FromBits<double>(v.a), FromBits<double>(v.b)); });
    // set gives all ones or 1.0.
    ExpectRows("set." + name + ".u32.f32 %d, %a, %b;", {}, Rows(Kind::kF32, 32, Kind::kF32, 32), [&](auto& v) {
      return FloatComparison(name, FromBits<float>(v.a), FromBits<float>(v.b)) ? 0xffffffffu : 0;
    });
    ExpectRows("set." + name + ".ftz.f32.f32 %d, %a, %b;", {}, Rows(Kind::kF32, 32, Kind::kF32, 32), [&](auto& v) {
      return FloatComparison(name, Ftz(FromBits<float>(v.a)), Ftz(FromBits<float>(v.b))) ? 0x3f800000u : 0;
    });
  }
}

// p = (a cmp b) op c, q = !(a cmp b) op c.
TEST(Compare, CombinesWithAPredicate) {
  const std::vector<Values> rows{{1, 2, 0}, {2, 1, 0}, {1, 2, 1}, {2, 1, 1}};
  for (const std::string op : {"and", "or", "xor"}) {
    for (const bool negated : {false, true}) {
      const std::string body = "setp.ne.u32 %q, %c, 0; setp.lt." + op + ".u32 %p|%q, %a, %b, " + (negated ? "!" : "") +
                               "%q; selp.b32 %t0, 1, 0, %p; selp.b32 %t1, 2, 0, %q; or.b32 %d, %t0, %t1;";
      ExpectRows(body, {}, rows, [&](auto& v) -> std::uint64_t {
        const bool c = (v.c != 0) != negated;
        const auto combine = [&](bool x) { return op == "and" ? x && c : op == "or" ? x || c : x != c; };
        return (combine(v.a < v.b) ? 1 : 0) | (combine(!(v.a < v.b)) ? 2 : 0);
      });
      ExpectRows("setp.ne.u32 %q, %c, 0; set.lt." + op + ".u32.u32 %d, %a, %b, " + (negated ? "!" : "") + "%q;", {},
                 rows, [&](auto& v) -> std::uint64_t {
                   const bool x = v.a < v.b;
                   const bool c = (v.c != 0) != negated;
                   return (op == "and" ? x && c : op == "or" ? x || c : x != c) ? 0xffffffffu : 0;
                 });
    }
  }
  ExpectRows("mov.pred %q, 0; setp.lt.u32 _|%q, %a, %b; selp.b32 %d, 1, 0, %q;", {}, rows,
             [](auto& v) { return !(v.a < v.b); });
}

TEST(Compare, Selection) {
  for (const int bits : {16, 32, 64}) {
    const std::string b = std::to_string(bits);
    ExpectRows("setp.ne.b" + b + " %p, %c, 0; selp.b" + b + " %d, %a, %b, %p;", Same(bits),
               Rows(Kind::kInteger, bits, Kind::kInteger, bits, Kind::kInteger, bits),
               [](auto& v) { return v.c != 0 ? v.a : v.b; });
  }
  ExpectRows("setp.ne.b32 %p, %c, 0; selp.f32 %d, %a, 2.5, !%p;", {},
             Rows(Kind::kF32, 32, Kind::kNone, 0, Kind::kInteger, 32),
             [](auto& v) { return v.c == 0 ? v.a : 0x40200000u; });
  const auto rows = Rows(Kind::kInteger, 32, Kind::kNone, 0, Kind::kF32, 32);
  ExpectRows("slct.u32.s32 %d, %a, %b, %c;", {}, rows,
             [](auto& v) { return static_cast<std::int32_t>(v.c) >= 0 ? v.a : v.b; });
  // By a float: -0 counts as not negative, NaN selects b.
  ExpectRows("slct.b32.f32 %d, %a, %b, %c;", {}, rows, [](auto& v) { return FromBits<float>(v.c) >= 0 ? v.a : v.b; });
  ExpectRows("slct.ftz.b32.f32 %d, %a, %b, %c;", {}, rows,
             [](auto& v) { return Ftz(FromBits<float>(v.c)) >= 0 ? v.a : v.b; });
}

TEST(Compare, MovesBitsPacksAndUnpacks) {
  const auto bits = Rows(Kind::kF32, 32, Kind::kF32, 32);
  ExpectRows("mov.f32 %d, %a;", {}, bits, [](auto& v) { return v.a; });  // NaNs as they are
  ExpectRows("mov.b16 %d, %a;", Same(16), IntegerRows(16), [](auto& v) { return v.a; });
  ExpectRows("mov.b64 %d, {%a, %b};", {64, 32, 32}, IntegerRows(32), [](auto& v) { return v.a | v.b << 32; });
  ExpectRows("mov.b32 %d, {%a, %b};", {32, 16, 16}, IntegerRows(16), [](auto& v) { return v.a | v.b << 16; });
  ExpectRows("mov.b64 %d, {%a, %b, %c, %e};", {64, 16, 16, 16, 16},
             Rows(Kind::kInteger, 16, Kind::kInteger, 16, Kind::kInteger, 16),
             [](auto& v) { return v.a | v.b << 16 | v.c << 32 | v.e << 48; });
  ExpectRows("mov.b64 {%t0, %t1}, %a; add.u32 %d, %t0, %t1;", {32, 64}, IntegerRows(64),
             [](auto& v) { return (v.a & 0xffffffffu) + (v.a >> 32); });
  ExpectRows("mov.b64 {_, %d}, %a;", {32, 64}, IntegerRows(64), [](auto& v) { return v.a >> 32; });
  ExpectRows(".reg .b16 %h<2>; mov.b32 {%h0, %h1}, %a; mov.b32 %d, {%h1, %h0};", {}, IntegerRows(32),
             [](auto& v) { return v.a >> 16 | v.a << 16; });
}

TEST(Compare, ClocksCountNanoseconds) {
  Machine machine;
  const Status loaded = machine.Load(
      KernelText("mov.u64 %rd2, %globaltimer; mov.u64 %rd3, %clock64; mov.u32 %r2, %clock;\n"
                 "st.global.u64 [%rd1], %rd2; st.global.u64 [%rd1+8], %rd3; st.global.u32 [%rd1+16], %r2;"));
  ASSERT_TRUE(loaded.ok()) << loaded.ToString();
  const std::uint64_t out = machine.Allocate(24);
  const auto* at = machine.At<std::uint64_t>(out);
  ASSERT_FALSE(machine.Run({}, {}, {out}).has_value());
  const std::uint64_t first = at[0];
  EXPECT_LT(at[1] - at[0], 1'000'000'000u);
  EXPECT_LT(at[2] - (at[1] & 0xffffffffu), 1'000'000'000u);
  ASSERT_FALSE(machine.Run({}, {}, {out}).has_value());
  EXPECT_GT(at[0], first);
}

template <typename T>
void CheckProperties(const std::string& type, Kind kind) {
  const int bits = 8 * sizeof(T);
  const auto check = [&](const char* name, auto property) {
    ExpectRows("testp." + std::string(name) + "." + type + " %p, %a; selp.b" + std::to_string(bits) + " %d, 1, 0, %p;",
               Same(bits), Rows(kind, bits), [&](auto& v) { return property(FromBits<T>(v.a)) ? 1 : 0; });
  };
  check("finite", [](T v) { return std::isfinite(v); });
  check("infinite", [](T v) { return std::isinf(v); });
  check("number", [](T v) { return v == v; });
  check("notanumber", [](T v) { return v != v; });
  // "As a special case, positive and negative zero are considered normal numbers."
  check("normal", [](T v) { return v == 0 || std::isnormal(v); });
  check("subnormal", [](T v) { return v != 0 && std::fabs(v) < std::numeric_limits<T>::min(); });
}
TEST(Compare, Properties) {
  CheckProperties<float>("f32", Kind::kF32);
  CheckProperties<double>("f64", Kind::kF64);
}

TEST(Compare, IsZero) {
  for (const int bits : {16, 32, 64}) {
    ExpectRows("cnot.b" + std::to_string(bits) + " %d, %a;", {bits, bits}, Rows(Kind::kInteger, bits),
               [&](auto& v) { return v.a == 0; });
  }
}

TEST(Compare, SetsToHalves) {
  const auto rows = Rows(Kind::kF32, 32, Kind::kF32, 32);
  for (const auto& [type, one] : {std::pair{"f16", 0x3c00u}, {"bf16", 0x3f80u}}) {
    ExpectRows("set.le." + std::string(type) + ".f32 %d, %a, %b;", {16, 32, 32}, rows, [&, truth = one](auto& v) {
      return std::bit_cast<float>(static_cast<std::uint32_t>(v.a)) <=
                     std::bit_cast<float>(static_cast<std::uint32_t>(v.b))
                 ? truth
                 : 0u;
    });
    ExpectRows("set.gt." + std::string(type) + ".s32 %d, %a, %b;", {16, 32, 32},
               Rows(Kind::kInteger, 32, Kind::kInteger, 32), [&, truth = one](auto& v) {
                 return static_cast<std::int32_t>(v.a) > static_cast<std::int32_t>(v.b) ? truth : 0u;
               });
  }
}

// Registers that say the same for every thread here: no clusters, no counters.
TEST(Compare, SpecialRegisters) {
  for (const auto& [name, value] : {std::pair{"%cluster_ctaid.x", 0u},
                                    {"%cluster_nctaid.y", 1u},
                                    {"%cluster_ctarank", 0u},
                                    {"%cluster_nctarank", 1u},
                                    {"%pm3", 0u},
                                    {"%envreg7", 0u},
                                    {"%nwarpid", 2u},
                                    {"%reserved_smem_offset_begin", 0u}}) {
    ExpectRows("mov.u32 %d, " + std::string(name) + ";", {}, {{1}, {2}}, [&, v = value](auto&) { return v; });
  }
  ExpectRows("mov.u32 %t1, %clusterid.x; mov.u32 %t2, %ctaid.x; sub.u32 %d, %t1, %t2;", {}, {{1}},
             [](auto&) { return 0; });
}

}  // namespace
}  // namespace accelmesh::tier0
