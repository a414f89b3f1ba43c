// cvt: between integers, floats and half-precision floats.
#include <algorithm>
#include <cmath>
#include <limits>

#include "server/backend/cpu/tier0/handlers.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Type;

// To an integer in floating point (.rni and the like).
enum Integral : std::uint8_t { kAsIs, kRni, kRzi, kRmi, kRpi };
enum Direction : std::uint8_t { kNearest, kZero, kDown, kUp };
// Op::count of a conversion.
enum Option : std::uint8_t { kSaturate = 1, kFlushDenormals = 2 };

template <typename T>
T RoundToIntegral(T v, std::uint8_t how) {
  switch (how) {
    case kRni: return std::nearbyint(v);
    case kRzi: return std::trunc(v);
    case kRmi: return std::floor(v);
    case kRpi: return std::ceil(v);
    default: return v;
  }
}

// Half-precision formats: IEEE binary16 and bfloat16, by the bits of their fraction and the bias of their exponent.
struct Format {
  int fraction_bits;
  int bias;
};
constexpr Format kHalf{10, 15};
constexpr Format kBrain{7, 127};

double FromSmall(std::uint16_t h, const Format& format) {
  const int fraction = h & ((1 << format.fraction_bits) - 1);
  const int exponent = (h & 0x7fff) >> format.fraction_bits;
  double magnitude = 0;
  if (exponent == 0x7fff >> format.fraction_bits) {
    magnitude = fraction != 0 ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
  } else if (exponent == 0) {
    magnitude = std::ldexp(fraction, 1 - format.bias - format.fraction_bits);
  } else {
    magnitude = std::ldexp(fraction + (1 << format.fraction_bits), exponent - format.bias - format.fraction_bits);
  }
  return (h & 0x8000) != 0 ? -magnitude : magnitude;
}
std::uint16_t ToSmall(double v, const Format& format, std::uint8_t direction) {
  if (std::isnan(v)) return 0x7fff;
  const bool negative = std::signbit(v);
  const std::uint16_t sign = negative ? 0x8000 : 0;
  const std::uint32_t infinity = 0x7fffu >> format.fraction_bits << format.fraction_bits;
  const double magnitude = std::fabs(v);
  const bool away = direction == (negative ? kDown : kUp);
  if (std::isinf(v)) return static_cast<std::uint16_t>(sign | infinity);
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  // The value in units of its last place; the scaling is exact.
  const int lowest = 1 - format.bias - format.fraction_bits;
  const int unit = magnitude == 0 ? lowest : std::max(exponent - 1 - format.fraction_bits, lowest);
  std::uint32_t bits = infinity;
  if (exponent - 1 <= format.bias) {
    const double scaled = std::ldexp(magnitude, -unit);
    const double whole = std::floor(scaled);
    const double rest = scaled - whole;
    auto units = static_cast<std::uint32_t>(whole);
    if (direction == kNearest ? rest > 0.5 || (rest == 0.5 && (units & 1) != 0) : away && rest > 0) ++units;
    // A carry out of the fraction goes into the exponent, as it should.
    bits = (static_cast<std::uint32_t>(unit - lowest) << format.fraction_bits) + units;
  }
  if (bits >= infinity) bits = direction == kNearest || away ? infinity : infinity - 1;
  return static_cast<std::uint16_t>(sign | bits);
}

// NaN becomes what the ISA says: 0, or the top bit alone where a 64-bit type is involved.
template <typename To, typename From>
To ToInteger(From v) {
  if (std::isnan(v)) {
    constexpr bool kWide = sizeof(From) == 8 || sizeof(To) == 8;
    return kWide ? static_cast<To>(Unsigned<To>{1} << (8 * sizeof(To) - 1)) : To{0};
  }
  const double d = static_cast<double>(v);
  if (d <= static_cast<double>(std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
  if (d >= static_cast<double>(std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
  return static_cast<To>(d);
}
// .sat of a float: into [0, 1], NaN becomes 0.
template <typename T>
T ToUnitInterval(T v) {
  return v > 0 ? std::min(v, T{1}) : T{0};
}

template <typename To, typename From>
void Convert(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  ForLanes(mask, [=](std::uint32_t l) { d[l] = PutExtended<To>(static_cast<To>(Get<From>(a[l]))); });
}
// Integers with .sat: into the range of the destination.
template <typename To, typename From>
void ConvertClamped(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const __int128 v = Get<From>(warp.r[op.a].lane[l]);
    constexpr __int128 kMin = std::numeric_limits<To>::min();
    constexpr __int128 kMax = std::numeric_limits<To>::max();
    warp.r[op.d].lane[l] = PutExtended<To>(static_cast<To>(std::clamp(v, kMin, kMax)));
  });
}
template <typename To, typename From>
void ConvertFromFloat(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    From v = Get<From>(warp.r[op.a].lane[l]);
    if ((op.count & kFlushDenormals) != 0) v = Flush(v);
    v = RoundToIntegral(v, op.mode);
    if constexpr (kIsFloat<To>) {
      To result = static_cast<To>(v);
      if ((op.count & kFlushDenormals) != 0) result = Flush(result);
      if ((op.count & kSaturate) != 0) result = ToUnitInterval(result);
      warp.r[op.d].lane[l] = PutResult<To>(result);
    } else {
      warp.r[op.d].lane[l] = PutExtended<To>(ToInteger<To>(v));
    }
  });
}
template <typename To, typename From>
void ConvertToFloat(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    To v = static_cast<To>(Get<From>(warp.r[op.a].lane[l]));
    if ((op.count & kSaturate) != 0) v = ToUnitInterval(v);
    warp.r[op.d].lane[l] = Put<To>(v);
  });
}

template <typename To, typename From>
Handler PickPair(bool clamp) {
  if constexpr (kIsFloat<From>) {
    return ConvertFromFloat<To, From>;
  } else if constexpr (kIsFloat<To>) {
    return ConvertToFloat<To, From>;
  } else {
    return clamp ? ConvertClamped<To, From> : Convert<To, From>;
  }
}
template <typename To>
Handler PickFrom(Type from, bool clamp) {
  switch (from) {
    case Type::kB8:
    case Type::kU8: return PickPair<To, std::uint8_t>(clamp);
    case Type::kS8: return PickPair<To, std::int8_t>(clamp);
    case Type::kB16:
    case Type::kU16: return PickPair<To, std::uint16_t>(clamp);
    case Type::kS16: return PickPair<To, std::int16_t>(clamp);
    case Type::kB32:
    case Type::kU32: return PickPair<To, std::uint32_t>(clamp);
    case Type::kS32: return PickPair<To, std::int32_t>(clamp);
    case Type::kB64:
    case Type::kU64: return PickPair<To, std::uint64_t>(clamp);
    case Type::kS64: return PickPair<To, std::int64_t>(clamp);
    case Type::kF32: return PickPair<To, float>(clamp);
    case Type::kF64: return PickPair<To, double>(clamp);
    default: return nullptr;
  }
}
Handler PickConvert(Type to, Type from, bool clamp) {
  switch (to) {
    case Type::kB8:
    case Type::kU8: return PickFrom<std::uint8_t>(from, clamp);
    case Type::kS8: return PickFrom<std::int8_t>(from, clamp);
    case Type::kB16:
    case Type::kU16: return PickFrom<std::uint16_t>(from, clamp);
    case Type::kS16: return PickFrom<std::int16_t>(from, clamp);
    case Type::kB32:
    case Type::kU32: return PickFrom<std::uint32_t>(from, clamp);
    case Type::kS32: return PickFrom<std::int32_t>(from, clamp);
    case Type::kB64:
    case Type::kU64: return PickFrom<std::uint64_t>(from, clamp);
    case Type::kS64: return PickFrom<std::int64_t>(from, clamp);
    case Type::kF32: return PickFrom<float>(from, clamp);
    case Type::kF64: return PickFrom<double>(from, clamp);
    default: return nullptr;
  }
}

// Half precision goes through double, which holds every value of it. Op::bytes: the direction; Op::immediate: the
// types.
double ReadNumber(Type type, std::uint64_t v) {
  switch (type) {
    case Type::kF16: return FromSmall(static_cast<std::uint16_t>(v), kHalf);
    case Type::kBf16: return FromSmall(static_cast<std::uint16_t>(v), kBrain);
    case Type::kF32: return Get<float>(v);
    case Type::kF64: return Get<double>(v);
    case Type::kU8: return Get<std::uint8_t>(v);
    case Type::kS8: return Get<std::int8_t>(v);
    case Type::kU16: return Get<std::uint16_t>(v);
    case Type::kS16: return Get<std::int16_t>(v);
    case Type::kU32: return Get<std::uint32_t>(v);
    case Type::kS32: return Get<std::int32_t>(v);
    case Type::kU64: return static_cast<double>(v);
    default: return static_cast<double>(Get<std::int64_t>(v));
  }
}
// A NaN of half precision becomes 0 as an integer, unless that has 64 bits.
template <typename To>
std::uint64_t PutInteger(double v) {
  return PutExtended<To>(std::isnan(v) ? ToInteger<To>(static_cast<float>(v)) : ToInteger<To>(v));
}
std::uint64_t WriteNumber(Type type, double v, std::uint8_t direction) {
  switch (type) {
    case Type::kF16: return ToSmall(v, kHalf, direction);
    case Type::kBf16: return ToSmall(v, kBrain, direction);
    case Type::kF32: return PutResult<float>(static_cast<float>(v));
    case Type::kF64: return Put<double>(v);
    case Type::kU8: return PutInteger<std::uint8_t>(v);
    case Type::kS8: return PutInteger<std::int8_t>(v);
    case Type::kU16: return PutInteger<std::uint16_t>(v);
    case Type::kS16: return PutInteger<std::int16_t>(v);
    case Type::kU32: return PutInteger<std::uint32_t>(v);
    case Type::kS32: return PutInteger<std::int32_t>(v);
    case Type::kU64: return PutInteger<std::uint64_t>(v);
    default: return PutInteger<std::int64_t>(v);
  }
}
void ConvertSmall(Warp& warp, const Op& op, std::uint32_t mask) {
  const auto to = static_cast<Type>(op.immediate >> 8);
  const auto from = static_cast<Type>(op.immediate & 255);
  ForLanes(mask, [&](std::uint32_t l) {
    double v = RoundToIntegral(ReadNumber(from, warp.r[op.a].lane[l]), op.mode);
    if ((op.count & kSaturate) != 0) v = ToUnitInterval(v);
    warp.r[op.d].lane[l] = WriteNumber(to, v, op.bytes);
  });
}
// cvt.rn.f16x2.f32 d, a, b: a goes to the high half.
void ConvertPair(Warp& warp, const Op& op, std::uint32_t mask) {
  const auto to = static_cast<Type>(op.immediate >> 8);
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint64_t high = WriteNumber(to, Get<float>(warp.r[op.a].lane[l]), op.bytes);
    const std::uint64_t low = WriteNumber(to, Get<float>(warp.r[op.b].lane[l]), op.bytes);
    warp.r[op.d].lane[l] = high << 16 | low;
  });
}

bool IsSmall(Type type) { return type == Type::kF16 || type == Type::kBf16; }
bool IsInteger(Type type) { return type >= Type::kU8 && type <= Type::kS64; }

Status CvtRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.opcode.size() < 3) return decoder.Refuse(from, "form not supported");
  const Type source = Decoder::LastType(from);
  const Type to = ptx::ParseType(from.opcode[from.opcode.size() - 2]);
  const bool saturate = Decoder::Has(from, "sat");
  op.mode = Decoder::Has(from, "rni")   ? kRni
            : Decoder::Has(from, "rzi") ? kRzi
            : Decoder::Has(from, "rmi") ? kRmi
            : Decoder::Has(from, "rpi") ? kRpi
                                        : kAsIs;
  op.bytes = Decoder::Has(from, "rz")   ? kZero
             : Decoder::Has(from, "rm") ? kDown
             : Decoder::Has(from, "rp") ? kUp
                                        : kNearest;
  op.count = static_cast<std::uint8_t>((saturate ? kSaturate : 0) | (Decoder::Has(from, "ftz") ? kFlushDenormals : 0));
  const bool pair = to == Type::kF16x2 || to == Type::kBf16x2;
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, pair ? 3 : 2));
  if (pair || IsSmall(to) || IsSmall(source)) {
    const Type single = to == Type::kF16x2 ? Type::kF16 : to == Type::kBf16x2 ? Type::kBf16 : to;
    const bool brain = single == Type::kBf16 || source == Type::kBf16;
    // Integers of 64 bits would be rounded twice on the way to bfloat16.
    const bool known =
        pair ? source == Type::kF32 && !saturate
             : (source == Type::kF32 || source == Type::kF64 || IsSmall(source) || (IsInteger(source) && !brain)) &&
                   (to == Type::kF32 || to == Type::kF64 || IsSmall(to) || (IsInteger(to) && !brain));
    if (!known) return decoder.Refuse(from, "conversion not supported");
    // The rounding is done here, so the processor keeps its own.
    op.extras = 0;
    op.immediate = static_cast<std::uint64_t>(single) << 8 | static_cast<std::uint64_t>(source);
    op.handler = pair ? ConvertPair : ConvertSmall;
    if (IsInteger(to) && op.mode == kAsIs) op.mode = kRzi;
    return Status::Ok();
  }
  const bool to_float = to == Type::kF32 || to == Type::kF64;
  if (!to_float && op.mode == kAsIs) op.mode = kRzi;
  op.handler = PickConvert(to, source, saturate);
  return op.handler != nullptr ? Status::Ok() : decoder.Refuse(from, "conversion not supported");
}

}  // namespace

const RuleTable& ConvertRules() {
  static const RuleTable kRules{{"cvt", {CvtRule, "rn rz rm rp rni rzi rmi rpi ftz sat"}}};
  return kRules;
}

}  // namespace accelmesh::tier0
