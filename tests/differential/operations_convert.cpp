// cvt.
#include <algorithm>
#include <limits>

#include "tests/differential/small_number.h"
#include "tests/differential/table.h"
#include "tests/unit/server/backend/cpu/tier0/exact.h"

namespace accelmesh::differential {
namespace {

using tier0::Ftz;
using tier0::Quad;
using tier0::Toward;
using U32 = std::uint32_t;
using U64 = std::uint64_t;

template <typename... T>
struct Types {};
using Integers = Types<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t,
                       std::uint64_t, std::int64_t>;
template <typename F, typename... T>
void ForEach(Types<T...> /*types*/, F f) {
  (f(T{}), ...);
}

struct Mode {
  const char* name;
  const char* integral;
  Toward toward;
  Rounding rounding;
};
constexpr Mode kModes[] = {{".rn", ".rni", Toward::kNearest, Rounding::kNearest},
                           {".rz", ".rzi", Toward::kZero, Rounding::kZero},
                           {".rm", ".rmi", Toward::kDown, Rounding::kDown},
                           {".rp", ".rpi", Toward::kUp, Rounding::kUp}};

long double ToIntegral(long double v, Toward toward) {
  switch (toward) {
    case Toward::kNearest: return std::nearbyint(v);
    case Toward::kZero: return std::trunc(v);
    case Toward::kDown: return std::floor(v);
    case Toward::kUp: return std::ceil(v);
  }
  return v;
}
template <typename T>
T ToUnit(T v) {
  return v >= 1 ? T{1} : v > 0 ? v : T{0};
}

// Into the range of the integer; a NaN is 0, or the top bit where 64 bits are involved (of a half: on its side only).
template <typename To>
To ToInteger(long double v, Toward toward, bool from_double) {
  if (std::isnan(v)) {
    return from_double || sizeof(To) == 8 ? static_cast<To>(U64{1} << (8 * sizeof(To) - 1)) : To{0};
  }
  v = ToIntegral(v, toward);
  if (v <= static_cast<long double>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (v >= static_cast<long double>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(v);
}

template <typename S>
void AddFromInteger(Table& table) {
  const auto f = Family::kConvert;
  const std::string source = std::string(".") + Name<S>();
  ForEach(Integers{}, [&](auto to) {
    using D = decltype(to);
    if (std::is_same_v<D, S>) return;
    const std::string types = std::string(".") + Name<D>() + source;
    table.Add<D(S)>(f, "cvt" + types, [](S v) { return static_cast<D>(v); });
    constexpr Wide kMin = std::numeric_limits<D>::min(), kMax = std::numeric_limits<D>::max();
    if (kMin <= Wide{std::numeric_limits<S>::min()} && kMax >= Wide{std::numeric_limits<S>::max()}) return;
    table.Add<D(S)>(f, "cvt.sat" + types, [=](S v) { return static_cast<D>(std::clamp<Wide>(v, kMin, kMax)); });
  });
  for (const Mode& mode : kModes) {
    const Toward to = mode.toward;
    table.Add<float(S)>(f, std::string("cvt") + mode.name + ".f32" + source,
                        [=](S v) { return tier0::RoundTo<float>(static_cast<Quad>(v), 0, to); });
    table.Add<float(S)>(f, std::string("cvt") + mode.name + ".sat.f32" + source,
                        [=](S v) { return ToUnit(tier0::RoundTo<float>(static_cast<Quad>(v), 0, to)); });
    table.Add<double(S)>(f, std::string("cvt") + mode.name + ".f64" + source,
                         [=](S v) { return tier0::RoundTo<double>(static_cast<Quad>(v), 0, to); });
    if (sizeof(S) == 1) continue;
    table.Add<Half(S)>(f, std::string("cvt") + mode.name + ".f16" + source, [rounding = mode.rounding](S v) {
      return Half{static_cast<std::uint16_t>(DoubleToSmall(static_cast<long double>(v), kF16, rounding))};
    });
  }
}

template <typename D>
void AddToInteger(Table& table) {
  const auto f = Family::kConvert;
  for (const Mode& mode : kModes) {
    const Toward to = mode.toward;
    const std::string opcode = std::string("cvt") + mode.integral;
    const std::string type = std::string(".") + Name<D>();
    table.Add<D(float)>(f, opcode + type + ".f32", [=](float v) { return ToInteger<D>(v, to, false); });
    table.Add<D(float)>(f, opcode + ".ftz" + type + ".f32", [=](float v) { return ToInteger<D>(Ftz(v), to, false); });
    table.Add<D(double)>(f, opcode + type + ".f64", [=](double v) { return ToInteger<D>(v, to, true); });
    if (sizeof(D) == 1) continue;
    table.Add<D(Half)>(f, opcode + type + ".f16",
                       [=](Half v) { return ToInteger<D>(SmallToDouble(v.bits, kF16), to, false); });
  }
}

void AddBetweenFloats(Table& table) {
  const auto f = Family::kConvert;
  for (const bool flush : {false, true}) {
    const std::string ftz = flush ? ".ftz" : "";
    const auto flushed = [flush](float v) { return flush ? Ftz(v) : v; };
    table.Add<double(float)>(f, "cvt" + ftz + ".f64.f32", [=](float v) { return static_cast<double>(flushed(v)); });
    for (const bool saturate : {false, true}) {
      const std::string options = ftz + (saturate ? ".sat" : "");
      const auto bounded = [saturate](auto v) { return saturate ? ToUnit(v) : v; };
      for (const Mode& mode : kModes) {
        const Toward to = mode.toward;
        table.Add<float(double)>(f, std::string("cvt") + mode.name + options + ".f32.f64", [=](double v) {
          return bounded(flushed(std::isfinite(v) ? tier0::RoundTo<float>(v, 0, to) : static_cast<float>(v)));
        });
        table.Add<float(float)>(f, std::string("cvt") + mode.integral + options + ".f32.f32",
                                [=](float v) { return bounded(static_cast<float>(ToIntegral(flushed(v), to))); });
      }
      table.Add<float(Half)>(f, "cvt" + options + ".f32.f16",
                             [=](Half v) { return bounded(flushed(static_cast<float>(SmallToDouble(v.bits, kF16)))); });
      for (const Rounding rounding : {Rounding::kNearest, Rounding::kZero}) {
        const std::string opcode = std::string("cvt") + (rounding == Rounding::kZero ? ".rz" : ".rn");
        table.Add<Half(float)>(f, opcode + options + ".f16.f32", [=](float v) {
          return Half{static_cast<std::uint16_t>(DoubleToSmall(bounded(flushed(v)), kF16, rounding))};
        });
      }
    }
  }
  for (const Mode& mode : kModes) {
    table.Add<double(double)>(f, std::string("cvt") + mode.integral + ".f64.f64",
                              [to = mode.toward](double v) { return static_cast<double>(ToIntegral(v, to)); });
    for (const bool saturate : {false, true}) {
      table.Add<Half(double)>(f, std::string("cvt") + mode.name + (saturate ? ".sat" : "") + ".f16.f64",
                              [=, rounding = mode.rounding](double v) {
                                const double bounded = saturate ? ToUnit(v) : v;
                                return Half{static_cast<std::uint16_t>(DoubleToSmall(bounded, kF16, rounding))};
                              });
    }
  }
  table.Add<double(Half)>(f, "cvt.f64.f16", [](Half v) { return SmallToDouble(v.bits, kF16); });
}

// To halves, with .relu, and to two at once: the first operand goes to the upper half.
void AddToHalves(Table& table) {
  const auto f = Family::kConvert;
  for (const bool brain : {false, true}) {
    const SmallFormat* format = brain ? &kBf16 : &kF16;
    const std::string type = brain ? ".bf16" : ".f16";
    for (const bool relu : {false, true}) {
      for (const Rounding rounding : {Rounding::kNearest, Rounding::kZero}) {
        const auto convert = [=](float v) {
          const U32 bits = DoubleToSmall(v, *format, rounding);
          return relu && (bits & 0x8000) != 0 ? 0 : bits;
        };
        const std::string opcode =
            std::string("cvt") + (rounding == Rounding::kZero ? ".rz" : ".rn") + (relu ? ".relu" : "");
        if (relu || brain)
          table.Add<Half(float)>(f, opcode + type + ".f32",
                                 [=](float v) { return Half{static_cast<std::uint16_t>(convert(v))}; });
        table.Add<U32(float, float)>(f, opcode + type + "x2.f32",
                                     [=](float a, float b) { return convert(a) << 16 | convert(b); });
      }
    }
  }
}

}  // namespace

void AddConversions(Table& table) {
  const std::size_t first = table.size();
  ForEach(Integers{}, [&](auto type) {
    AddFromInteger<decltype(type)>(table);
    AddToInteger<decltype(type)>(table);
  });
  AddBetweenFloats(table);
  AddToHalves(table);
  for (std::size_t i = 0; first + i < table.size(); ++i) {
    for (Source& source : table.last(i).sources) source.immediate = false;
  }
}

}  // namespace accelmesh::differential
