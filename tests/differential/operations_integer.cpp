// Integers, bits, comparison of integers, moves.
#include <algorithm>
#include <limits>

#include "tests/differential/table.h"

namespace accelmesh::differential {
namespace {

using I16 = std::int16_t;
using I32 = std::int32_t;
using I64 = std::int64_t;
using U16 = std::uint16_t;
using U32 = std::uint32_t;
using U64 = std::uint64_t;

// A product of two 64-bit numbers fits; a sum with it does not matter beyond 128 bits.
template <typename T>
Wide Product(T a, T b) {
  if constexpr (std::is_same_v<T, U64>) return static_cast<Wide>(static_cast<unsigned __int128>(a) * b);
  return static_cast<Wide>(a) * b;
}
template <typename T>
T HighOf(Wide product) {
  return static_cast<T>(static_cast<unsigned __int128>(product) >> (8 * sizeof(T)));
}

template <typename T>
void AddComparisons(Table& table) {
  struct Comparison {
    const char* name;
    bool (*holds)(T a, T b);
  };
  static const std::vector<Comparison> kComparisons{
      {"eq", [](T a, T b) { return a == b; }}, {"ne", [](T a, T b) { return a != b; }},
      {"lt", [](T a, T b) { return a < b; }},  {"le", [](T a, T b) { return a <= b; }},
      {"gt", [](T a, T b) { return a > b; }},  {"ge", [](T a, T b) { return a >= b; }}};
  for (const auto& comparison : kComparisons) {
    const auto holds = comparison.holds;
    const std::string name = comparison.name;
    const std::string type = Name<T>();
    table.Add<bool(T, T)>(Family::kCompare, "setp." + name + "." + type, holds);
    table.Add<U32(T, T)>(Family::kCompare, "set." + name + ".u32." + type,
                         [holds](T a, T b) { return holds(a, b) ? 0xffffffffu : 0u; });
    table.Add<float(T, T)>(Family::kCompare, "set." + name + ".f32." + type,
                           [holds](T a, T b) { return holds(a, b) ? 1.0f : 0.0f; });
  }
  // p = (a < b) op c, q = !(a < b) op c.
  for (const char* op : {"and", "or", "xor"}) {
    const std::string combination = op;
    Source third = SourceOf<bool>();
    third.negatable = true;
    table.Raw(Family::kCompare, "setp.lt." + combination + "." + Name<T>() + " $0|$1, #0, #1, #2",
              {Class::kPredicate, Class::kPredicate}, {SourceOf<T>(), SourceOf<T>(), third},
              [combination](const U64* in, U64* out) {
                const U64 less = FromRegister<T>(in[0]) < FromRegister<T>(in[1]) ? 1 : 0;
                for (const int i : {0, 1}) {
                  const U64 holds = less ^ static_cast<U64>(i);
                  out[i] = combination == "and" ? holds & in[2] : combination == "or" ? holds | in[2] : holds ^ in[2];
                }
              });
  }
}

template <typename T>
void AddIntegers(Table& table) {
  constexpr int kBits = 8 * sizeof(T);
  const std::string type = std::string(".") + Name<T>();
  const auto f = Family::kInteger;
  table.Add<T(T, T)>(f, "add" + type, [](T a, T b) { return static_cast<T>(static_cast<Wide>(a) + b); });
  table.Add<T(T, T)>(f, "sub" + type, [](T a, T b) { return static_cast<T>(static_cast<Wide>(a) - b); });
  table.Add<T(T, T)>(f, "mul.lo" + type, [](T a, T b) { return static_cast<T>(Product(a, b)); });
  table.Add<T(T, T)>(f, "mul.hi" + type, [](T a, T b) { return HighOf<T>(Product(a, b)); });
  table.Add<T(T, T, T)>(f, "mad.lo" + type, [](T a, T b, T c) {
    return static_cast<T>(static_cast<U64>(Product(a, b)) + static_cast<U64>(c));
  });
  table.Add<T(T, T, T)>(f, "mad.hi" + type, [](T a, T b, T c) {
    return static_cast<T>(static_cast<U64>(HighOf<T>(Product(a, b))) + static_cast<U64>(c));
  });
  table.Add<T(T, T, T)>(f, "sad" + type, [](T a, T b, T c) {
    const Wide distance = a < b ? static_cast<Wide>(b) - a : static_cast<Wide>(a) - b;
    return static_cast<T>(distance + c);
  });
  table.Add<T(T, T)>(f, "min" + type, [](T a, T b) { return a < b ? a : b; });
  table.Add<T(T, T)>(f, "max" + type, [](T a, T b) { return a > b ? a : b; });
  // Neither 0 nor -1 divides.
  const std::string bits = std::to_string(kBits);
  const std::string help = kBits == 16 ? "%s0" : kBits == 32 ? "%t0" : "%e0";
  const std::string divisor =
      "and.b" + bits + " " + help + ", #1, -3\nor.b" + bits + " " + help + ", " + help + ", 1\n";
  const auto divisor_of = [](T b) { return static_cast<T>((b & ~T{2}) | T{1}); };
  table.Add<T(T, T)>(f, divisor + "div" + type + " $0, #0, " + help,
                     [divisor_of](T a, T b) { return static_cast<T>(a / divisor_of(b)); });
  table.Add<T(T, T)>(f, divisor + "rem" + type + " $0, #0, " + help,
                     [divisor_of](T a, T b) { return static_cast<T>(a % divisor_of(b)); });
  if constexpr (std::is_signed_v<T>) {
    table.Add<T(T)>(f, "abs" + type, [](T a) { return static_cast<T>(a < 0 ? -static_cast<Wide>(a) : a); });
    table.Add<T(T)>(f, "neg" + type, [](T a) { return static_cast<T>(-static_cast<Wide>(a)); });
  }
  if constexpr (sizeof(T) < 8) {
    using Double = std::conditional_t<sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, I32, U32>,
                                      std::conditional_t<std::is_signed_v<T>, I64, U64>>;
    table.Add<Double(T, T)>(f, "mul.wide" + type, [](T a, T b) { return static_cast<Double>(Product(a, b)); });
    table.Add<Double(T, T, Double)>(f, "mad.wide" + type, [](T a, T b, Double c) {
      return static_cast<Double>(static_cast<U64>(Product(a, b)) + static_cast<U64>(c));
    });
  }
  // Shifts by as much as there is or more give all zeros, or all signs.
  table.Add<T(T, U32)>(Family::kBits, "shr" + type,
                       [](T a, U32 n) { return static_cast<T>(static_cast<Wide>(a) >> std::min<U32>(n, kBits)); });
  AddComparisons<T>(table);
  table.Add<T(T, T, I32)>(Family::kCompare, "slct" + type + ".s32", [](T a, T b, I32 c) { return c >= 0 ? a : b; })
      .sources[2]
      .immediate = false;
  table.Add<T(T, T, bool)>(Family::kCompare, "selp" + type, [](T a, T b, bool p) { return p ? a : b; });
  if constexpr (sizeof(T) > 2) {
    constexpr U32 kLast = kBits - 1;
    Operation& extract = table.Add<T(T, U32, U32)>(Family::kBits, "bfe" + type, [](T a, U32 b, U32 c) {
      const U32 position = b & 255, length = c & 255;
      const auto bit = [a](U32 i) { return static_cast<U64>(a) >> i & 1; };
      const U64 fill = std::is_signed_v<T> && length != 0 ? bit(std::min(position + length - 1, U32{kBits - 1})) : 0;
      U64 d = 0;
      for (U32 i = 0; i <= kLast; ++i) d |= (i < length && position + i <= kLast ? bit(position + i) : fill) << i;
      return static_cast<T>(d);
    });
    extract.sources[1].kind = extract.sources[2].kind = Kind::kByte;
    for (const bool amount : {false, true}) {
      table.Add<U32(T)>(Family::kBits, std::string("bfind") + (amount ? ".shiftamt" : "") + type, [amount](T a) {
        const U64 v = static_cast<U64>(a < 0 ? static_cast<T>(~a) : a);
        for (U32 i = kLast + 1; i-- > 0;) {
          if ((v >> i & 1) != 0) return amount ? kLast - i : i;
        }
        return 0xffffffffu;
      });
    }
  }
}

// Of 16, 32 or 64 bits that are not numbers.
template <typename U>
void AddBits(Table& table) {
  constexpr U32 kBits = 8 * sizeof(U);
  const std::string type = ".b" + std::to_string(kBits);
  const auto f = Family::kBits;
  table.Add<U(U, U)>(f, "and" + type, [](U a, U b) { return static_cast<U>(a & b); });
  table.Add<U(U, U)>(f, "or" + type, [](U a, U b) { return static_cast<U>(a | b); });
  table.Add<U(U, U)>(f, "xor" + type, [](U a, U b) { return static_cast<U>(a ^ b); });
  table.Add<U(U)>(f, "not" + type, [](U a) { return static_cast<U>(~a); });
  table.Add<U(U)>(f, "cnot" + type, [](U a) { return static_cast<U>(a == 0 ? 1 : 0); });
  table.Add<U(U, U32)>(f, "shl" + type, [](U a, U32 n) { return n >= kBits ? U{0} : static_cast<U>(U64{a} << n); });
  table.Add<U(U)>(Family::kMove, "mov" + type, [](U a) { return a; });
  if constexpr (kBits > 16) {
    table.Add<U32(U)>(f, "popc" + type, [](U a) { return static_cast<U32>(std::popcount(a)); });
    table.Add<U32(U)>(f, "clz" + type, [](U a) { return static_cast<U32>(std::countl_zero(a)); });
    table.Add<U(U)>(f, "brev" + type, [](U a) {
      U d = 0;
      for (U32 i = 0; i < kBits; ++i) d |= (a >> i & 1) << (kBits - 1 - i);
      return d;
    });
    Operation& insert = table.Add<U(U, U, U32, U32)>(f, "bfi" + type, [](U a, U b, U32 c, U32 d) {
      const U32 position = c & 255, length = d & 255;
      U result = b;
      for (U32 i = 0; i < length && position + i < kBits; ++i) {
        const U bit = U{1} << (position + i);
        result = static_cast<U>((result & ~bit) | ((a >> i & 1) != 0 ? bit : 0));
      }
      return result;
    });
    insert.sources[2].kind = insert.sources[3].kind = Kind::kByte;
  }
}

std::uint32_t ByteOf(U64 both, U32 i) { return static_cast<std::uint32_t>(both >> (8 * i)) & 255; }

void AddPermutes(Table& table) {
  table.Add<U32(U32, U32, U32)>(Family::kBits, "prmt.b32", [](U32 a, U32 b, U32 c) {
    const U64 both = U64{b} << 32 | a;
    U32 d = 0;
    for (U32 i = 0; i < 4; ++i) {
      const U32 selector = c >> (4 * i) & 15;
      U32 byte = ByteOf(both, selector & 7);
      if ((selector & 8) != 0) byte = (byte & 0x80) != 0 ? 255 : 0;
      d |= byte << (8 * i);
    }
    return d;
  });
  const std::pair<const char*, U32 (*)(U32, U32)> kModes[] = {
      {"f4e", [](U32 i, U32 c) { return i + c; }},
      {"b4e", [](U32 i, U32 c) { return (8 + c - i) & 7; }},
      {"rc8", [](U32, U32 c) { return c; }},
      {"ecl", [](U32 i, U32 c) { return std::max(i, c); }},
      {"ecr", [](U32 i, U32 c) { return std::min(i, c); }},
      {"rc16", [](U32 i, U32 c) { return 2 * (c & 1) + (i & 1); }}};
  for (const auto& [name, select] : kModes) {
    table.Add<U32(U32, U32, U32)>(Family::kBits, std::string("prmt.b32.") + name,
                                  [byte_at = select](U32 a, U32 b, U32 c) {
                                    U32 d = 0;
                                    for (U32 i = 0; i < 4; ++i)
                                      d |= ByteOf(U64{b} << 32 | a, byte_at(i, c & 3)) << (8 * i);
                                    return d;
                                  });
  }
}

void AddSaturating(Table& table) {
  const auto clamp = [](Wide v) {
    return static_cast<I32>(std::clamp<Wide>(v, std::numeric_limits<I32>::min(), std::numeric_limits<I32>::max()));
  };
  const auto f = Family::kInteger;
  table.Add<I32(I32, I32)>(f, "add.sat.s32", [clamp](I32 a, I32 b) { return clamp(Wide{a} + b); });
  table.Add<I32(I32, I32)>(f, "sub.sat.s32", [clamp](I32 a, I32 b) { return clamp(Wide{a} - b); });
  table.Add<I32(I32, I32, I32)>(f, "mad.hi.sat.s32",
                                [clamp](I32 a, I32 b, I32 c) { return clamp(Wide{HighOf<I32>(Product(a, b))} + c); });
  // Of 24 bits of each: the lower or the upper 32 of 48.
  const auto product24 = [](auto a, auto b) {
    using T = decltype(a);
    const auto low24 = [](T v) { return static_cast<I64>(static_cast<T>(static_cast<U32>(v) << 8) >> 8); };
    return low24(a) * low24(b);
  };
  table.Add<U32(U32, U32)>(f, "mul24.lo.u32", [=](U32 a, U32 b) { return static_cast<U32>(product24(a, b)); });
  table.Add<U32(U32, U32)>(f, "mul24.hi.u32", [=](U32 a, U32 b) { return static_cast<U32>(product24(a, b) >> 16); });
  table.Add<I32(I32, I32)>(f, "mul24.lo.s32", [=](I32 a, I32 b) { return static_cast<I32>(product24(a, b)); });
  table.Add<I32(I32, I32)>(f, "mul24.hi.s32", [=](I32 a, I32 b) { return static_cast<I32>(product24(a, b) >> 16); });
  table.Add<U32(U32, U32, U32)>(f, "mad24.lo.u32",
                                [=](U32 a, U32 b, U32 c) { return static_cast<U32>(product24(a, b)) + c; });
  table.Add<I32(I32, I32, I32)>(f, "mad24.hi.s32", [=](I32 a, I32 b, I32 c) {
    return static_cast<I32>(static_cast<U32>(product24(a, b) >> 16) + static_cast<U32>(c));
  });
}

// An instruction that leaves a carry and one that takes it.
template <typename U>
void AddCarries(Table& table) {
  const std::string type = Name<U>();
  constexpr int kBits = 8 * sizeof(U);
  const Source source = SourceOf<U>();
  const std::vector<Class> two{ClassOf<U>(), ClassOf<U>()};
  const auto add = [&](const std::string& text, std::vector<Source> sources, auto f) {
    table.Raw(Family::kInteger, text, two, std::move(sources), f).sequential = true;
  };
  add("add.cc." + type + " $0, #0, #1\naddc." + type + " $1, #2, #3", {source, source, source, source},
      [](const U64* in, U64* out) {
        const Wide sum = Wide{in[0]} + in[1];
        out[0] = static_cast<U>(sum);
        out[1] = static_cast<U>(in[2] + in[3] + static_cast<U64>(sum >> kBits));
      });
  add("sub.cc." + type + " $0, #0, #1\nsubc." + type + " $1, #2, #3", {source, source, source, source},
      [](const U64* in, U64* out) {
        out[0] = static_cast<U>(in[0] - in[1]);
        out[1] = static_cast<U>(in[2] - in[3] - (in[0] < in[1] ? 1 : 0));
      });
  add("mad.lo.cc." + type + " $0, #0, #1, #2\nmadc.hi." + type + " $1, #0, #1, #3", {source, source, source, source},
      [](const U64* in, U64* out) {
        const auto product = static_cast<unsigned __int128>(in[0]) * in[1];
        const unsigned __int128 low = static_cast<unsigned __int128>(static_cast<U>(product)) + in[2];
        out[0] = static_cast<U>(low);
        out[1] = static_cast<U>(static_cast<U64>(product >> kBits) + in[3] + static_cast<U64>(low >> kBits));
      });
}

void AddDots(Table& table) {
  for (const bool a_signed : {false, true}) {
    for (const bool b_signed : {false, true}) {
      const std::string types = std::string(a_signed ? ".s32" : ".u32") + (b_signed ? ".s32" : ".u32");
      const auto byte = [](U32 v, U32 i, bool is_signed) {
        const U32 b = v >> (8 * i) & 255;
        return is_signed ? static_cast<U32>(static_cast<std::int8_t>(b)) : b;
      };
      const auto word = [](U32 v, U32 i, bool is_signed) {
        const U32 w = v >> (16 * i) & 0xffff;
        return is_signed ? static_cast<U32>(static_cast<I16>(w)) : w;
      };
      table.Add<U32(U32, U32, U32)>(Family::kInteger, "dp4a" + types, [=](U32 a, U32 b, U32 c) {
        for (U32 i = 0; i < 4; ++i) c += byte(a, i, a_signed) * byte(b, i, b_signed);
        return c;
      });
      for (const U32 high : {0u, 1u}) {
        table.Add<U32(U32, U32, U32)>(Family::kInteger, std::string("dp2a.") + (high == 1 ? "hi" : "lo") + types,
                                      [=](U32 a, U32 b, U32 c) {
                                        for (U32 i = 0; i < 2; ++i)
                                          c += word(a, i, a_signed) * byte(b, i + 2 * high, b_signed);
                                        return c;
                                      });
      }
    }
  }
}

void AddPredicates(Table& table) {
  const auto f = Family::kCompare;
  table.Add<bool(bool, bool)>(f, "and.pred", [](bool a, bool b) { return a && b; });
  table.Add<bool(bool, bool)>(f, "or.pred", [](bool a, bool b) { return a || b; });
  table.Add<bool(bool, bool)>(f, "xor.pred", [](bool a, bool b) { return a != b; });
  table.Add<bool(bool)>(f, "not.pred", [](bool a) { return !a; });
  table.Add<bool(bool)>(f, "mov.pred", [](bool a) { return a; });
}

void AddFunnels(Table& table) {
  for (const bool wrap : {false, true}) {
    const auto amount = [wrap](U32 c) { return wrap ? c & 31 : std::min(c, 32u); };
    const std::string mode = wrap ? "wrap" : "clamp";
    table.Add<U32(U32, U32, U32)>(Family::kBits, "shf.l." + mode + ".b32", [amount](U32 a, U32 b, U32 c) {
      return static_cast<U32>((U64{b} << 32 | a) << amount(c) >> 32);
    });
    table.Add<U32(U32, U32, U32)>(Family::kBits, "shf.r." + mode + ".b32", [amount](U32 a, U32 b, U32 c) {
      return static_cast<U32>((U64{b} << 32 | a) >> amount(c));
    });
  }
}

void AddMoves(Table& table) {
  const Source half{Class::k16, Kind::kInteger, false, false}, word{Class::k32, Kind::kInteger, false, false};
  const Source both{Class::k64, Kind::kInteger, false, false};
  table.Raw(Family::kMove, "mov.b32 $0, {#0, #1}", {Class::k32}, {half, half},
            [](const U64* in, U64* out) { out[0] = in[0] | in[1] << 16; });
  table.Raw(Family::kMove, "mov.b64 $0, {#0, #1}", {Class::k64}, {word, word},
            [](const U64* in, U64* out) { out[0] = in[0] | in[1] << 32; });
  table.Raw(Family::kMove, "mov.b32 {$0, $1}, #0", {Class::k16, Class::k16}, {word}, [](const U64* in, U64* out) {
    out[0] = in[0] & 0xffff;
    out[1] = in[0] >> 16;
  });
  table.Raw(Family::kMove, "mov.b64 {$0, $1}, #0", {Class::k32, Class::k32}, {both}, [](const U64* in, U64* out) {
    out[0] = in[0] & 0xffffffff;
    out[1] = in[0] >> 32;
  });
}

}  // namespace

void AddIntegerOperations(Table& table) {
  AddIntegers<U16>(table);
  AddIntegers<I16>(table);
  AddIntegers<U32>(table);
  AddIntegers<I32>(table);
  AddIntegers<U64>(table);
  AddIntegers<I64>(table);
  AddBits<U16>(table);
  AddBits<U32>(table);
  AddBits<U64>(table);
  AddSaturating(table);
  AddCarries<U32>(table);
  AddCarries<U64>(table);
  AddPermutes(table);
  AddFunnels(table);
  AddDots(table);
  AddPredicates(table);
  AddMoves(table);
  // Bit i of the result is bit abc of the table, where a, b and c are the operands' bits i.
  for (const U32 lut : {0x00u, 0x1au, 0x80u, 0x96u, 0xcau, 0xe8u, 0x3cu, 0xffu, 0x6bu}) {
    table.Add<U32(U32, U32, U32)>(Family::kBits, "lop3.b32 $0, #0, #1, #2, " + std::to_string(lut),
                                  [lut](U32 a, U32 b, U32 c) {
                                    U32 d = 0;
                                    for (U32 i = 0; i < 32; ++i) {
                                      const U32 at = (a >> i & 1) << 2 | (b >> i & 1) << 1 | (c >> i & 1);
                                      d |= (lut >> at & 1) << i;
                                    }
                                    return d;
                                  });
  }
}

}  // namespace accelmesh::differential
