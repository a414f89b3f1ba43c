// cvt: between integers, floats and smaller floats.
#include <algorithm>
#include <cmath>
#include <limits>

#include "server/backend/cpu/tier0/handlers.h"
#include "server/backend/cpu/tier0/small_float.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Type;

// To an integer in floating point (.rni and the like).
enum Integral : std::uint8_t { kAsIs, kRni, kRzi, kRmi, kRpi };
// Op::count of a conversion.
enum Option : std::uint8_t { kSaturate = 1, kFlushDenormals = 2, kRelu = 4, kFinite = 8 };

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

// Small floats go through double, which holds every value of theirs. Op::bytes: the direction; Op::immediate: the
// types.
double FromInteger(std::int64_t v) {
  // Rounded to odd, so that the rounding to the small format is the only one.
  const auto high = static_cast<double>(v >> 32) * 0x1p32;
  return AddToOdd(high, static_cast<double>(static_cast<std::uint32_t>(v)));
}
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
    case Type::kU64:
      return AddToOdd(static_cast<double>(v >> 32) * 0x1p32, static_cast<double>(static_cast<std::uint32_t>(v)));
    default: return FromInteger(Get<std::int64_t>(v));
  }
}
// A NaN of half precision becomes 0 as an integer, unless that has 64 bits.
template <typename To>
std::uint64_t PutInteger(double v) {
  return PutExtended<To>(std::isnan(v) ? ToInteger<To>(static_cast<float>(v)) : ToInteger<To>(v));
}
std::uint64_t WriteNumber(Type type, double v, const Op& op) {
  const bool finite = (op.count & kFinite) != 0;
  switch (type) {
    case Type::kF16: return ToSmall(v, kHalf, op.bytes, finite);
    case Type::kBf16: return ToSmall(v, kBrain, op.bytes, finite);
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
// What comes before the rounding: .ftz of single-precision operands, .sat, .relu (a NaN stays).
double Bounded(double v, const Op& op) {
  if ((op.count & kSaturate) != 0) return ToUnitInterval(v);
  if ((op.count & kRelu) != 0 && (v < 0 || (v == 0 && std::signbit(v)))) return 0;
  return v;
}
double FlushIfWanted(Type type, double v, const Op& op) {
  return (op.count & kFlushDenormals) != 0 && type == Type::kF32 ? Flush(static_cast<float>(v)) : v;
}
void ConvertSmall(Warp& warp, const Op& op, std::uint32_t mask) {
  const auto to = static_cast<Type>(op.immediate >> 8);
  const auto from = static_cast<Type>(op.immediate & 255);
  ForLanes(mask, [&](std::uint32_t l) {
    const double v = FlushIfWanted(from, ReadNumber(from, warp.r[op.a].lane[l]), op);
    warp.r[op.d].lane[l] = WriteNumber(to, FlushIfWanted(to, Bounded(RoundToIntegral(v, op.mode), op), op), op);
  });
}
// cvt.rn.f16x2.f32 d, a, b: a goes to the high half.
void ConvertPair(Warp& warp, const Op& op, std::uint32_t mask) {
  const auto to = static_cast<Type>(op.immediate >> 8);
  ForLanes(mask, [&](std::uint32_t l) {
    const auto half = [&](std::uint32_t row) {
      return WriteNumber(to, Bounded(Get<float>(warp.r[row].lane[l]), op), op);
    };
    const std::uint64_t high = half(op.a);
    warp.r[op.d].lane[l] = high << 16 | half(op.b);
  });
}
// cvt to tf32: the upper bits of a single. .rna rounds ties away from zero.
void ConvertToTf32(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const double v = Bounded(Get<float>(warp.r[op.a].lane[l]), op);
    std::uint32_t d = 0x7fffffff;
    if (!std::isnan(v)) {
      const bool finite = (op.count & kFinite) != 0;
      const auto toward = [&](std::uint8_t direction) { return ToSmall(v, kFormatTf32, direction, finite); };
      std::uint32_t bits = toward(op.mode != 0 ? static_cast<std::uint8_t>(kZero) : op.bytes);
      if (op.mode != 0 && std::isfinite(v)) {
        const std::uint32_t away = toward(std::signbit(v) ? kDown : kUp);
        const double below = std::fabs(FromTf32(std::uint64_t{bits} << 13));
        // The neighbours are a unit apart, and infinity is where the next one would be.
        const double step = std::fabs(v) - below;
        const double unit = std::isinf(FromTf32(std::uint64_t{away} << 13))
                                ? 0x1p117
                                : std::fabs(FromTf32(std::uint64_t{away} << 13)) - below;
        if (step > 0 && 2 * step >= unit) bits = away;
      }
      d = bits << 13;
    }
    warp.r[op.d].lane[l] = d;
  });
}

// fp8: two numbers in 16 bits. mode 1: e5m2, else e4m3.
const Format& ByteFormat(const Op& op) { return op.mode == 1 ? kFormatE5m2 : kFormatE4m3; }
void SinglesToBytes(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const auto byte = [&](std::uint32_t row) {
      return ToSmall(Bounded(Get<float>(warp.r[row].lane[l]), op), ByteFormat(op), kNearest, true);
    };
    const std::uint32_t high = byte(op.a);
    warp.r[op.d].lane[l] = high << 8 | byte(op.b);
  });
}
void HalvesToBytes(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const auto both = static_cast<std::uint32_t>(warp.r[op.a].lane[l]);
    const auto byte = [&](std::uint32_t half) {
      return ToSmall(Bounded(FromSmall(half & 0xffff, kHalf), op), ByteFormat(op), kNearest, true);
    };
    warp.r[op.d].lane[l] = byte(both >> 16) << 8 | byte(both);
  });
}
void BytesToHalves(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const auto both = static_cast<std::uint32_t>(warp.r[op.a].lane[l]);
    const auto half = [&](std::uint32_t byte) {
      return ToSmall(Bounded(FromSmall(byte & 0xff, ByteFormat(op)), op), kHalf, kNearest);
    };
    warp.r[op.d].lane[l] = half(both >> 8) << 16 | half(both);
  });
}

// cvt.pack.sat.to.s32{.b32} d, a, b{, c}: a above b, and c shifted up behind them. bytes: bits of an element; mode 1:
// signed; count 1: with c.
void PackIntegers(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t bits = op.bytes;
  const std::int64_t low = op.mode == 1 ? -(std::int64_t{1} << (bits - 1)) : 0;
  const std::int64_t high = (std::int64_t{1} << (op.mode == 1 ? bits - 1 : bits)) - 1;
  ForLanes(mask, [&](std::uint32_t l) {
    const auto element = [&](std::uint32_t row) {
      const std::int64_t v = std::clamp<std::int64_t>(Get<std::int32_t>(warp.r[row].lane[l]), low, high);
      return static_cast<std::uint64_t>(v) & ((1ull << bits) - 1);
    };
    std::uint64_t d = element(op.a) << bits | element(op.b);
    if (op.count == 1) d |= warp.r[op.c].lane[l] << (2 * bits);
    warp.r[op.d].lane[l] = static_cast<std::uint32_t>(d);
  });
}
Status PackRule(Decoder& decoder, const Instruction& from, Op& op) {
  // cvt.pack.sat.u8.s32.b32
  static const std::unordered_map<std::string_view, std::uint8_t> kBits{{"u16", 16}, {"s16", 16}, {"u8", 8}, {"s8", 8},
                                                                        {"u4", 4},   {"s4", 4},   {"u2", 2}, {"s2", 2}};
  const auto found = from.opcode.size() > 4 ? kBits.find(from.opcode[3]) : kBits.end();
  if (found == kBits.end() || from.opcode[4] != "s32" || from.opcode[2] != "sat")
    return decoder.Refuse(from, "form not supported");
  const bool three = Decoder::LastType(from) == Type::kB32;
  if (three == (found->second == 16)) return decoder.Refuse(from, "form not supported");
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, three ? 4 : 3));
  op.bytes = found->second;
  op.mode = from.opcode[3][0] == 's' ? 1 : 0;
  op.count = three ? 1 : 0;
  op.handler = PackIntegers;
  return Status::Ok();
}

bool IsSmall(Type type) { return type == Type::kF16 || type == Type::kBf16; }
bool IsInteger(Type type) { return type >= Type::kU8 && type <= Type::kS64; }

// To and from tf32, e4m3x2 and e5m2x2.
Status FormatRule(Decoder& decoder, const Instruction& from, Op& op) {
  const std::string_view to = from.opcode[from.opcode.size() - 2];
  const std::string_view source = from.opcode.back();
  const bool finite = (op.count & kFinite) != 0;
  op.extras = 0;
  if (to == "tf32" && source == "f32") {
    ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 2));
    op.mode = Decoder::Has(from, "rna") ? 1 : 0;
    op.handler = ConvertToTf32;
    return Status::Ok();
  }
  const bool to_bytes = to == "e4m3x2" || to == "e5m2x2";
  const std::string_view bytes = to_bytes ? to : source;
  op.mode = bytes == "e5m2x2" ? 1 : 0;
  if (to_bytes && source == "f32" && finite) {
    op.handler = SinglesToBytes;
    return decoder.Rows(from, op, 3);
  }
  if (to_bytes && source == "f16x2" && finite) {
    op.handler = HalvesToBytes;
    return decoder.Rows(from, op, 2);
  }
  if (!to_bytes && to == "f16x2") {
    op.handler = BytesToHalves;
    return decoder.Rows(from, op, 2);
  }
  return decoder.Refuse(from, "conversion not supported");
}

Status CvtRule(Decoder& decoder, const Instruction& from, Op& op) {
  if (from.opcode.size() < 3) return decoder.Refuse(from, "form not supported");
  if (Decoder::Has(from, "pack")) return PackRule(decoder, from, op);
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
  op.count = static_cast<std::uint8_t>((saturate ? kSaturate : 0) | (Decoder::Has(from, "ftz") ? kFlushDenormals : 0) |
                                       (Decoder::Has(from, "relu") ? kRelu : 0) |
                                       (Decoder::Has(from, "satfinite") ? kFinite : 0));
  for (const std::string_view name : {"tf32", "e4m3x2", "e5m2x2"}) {
    if (Decoder::Has(from, name)) return FormatRule(decoder, from, op);
  }
  const bool pair = to == Type::kF16x2 || to == Type::kBf16x2;
  if ((op.count & (kRelu | kFinite)) != 0 && !pair && !IsSmall(to))
    return decoder.Refuse(from, "conversion not supported");
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, pair ? 3 : 2));
  if (pair || IsSmall(to) || IsSmall(source)) {
    const Type single = to == Type::kF16x2 ? Type::kF16 : to == Type::kBf16x2 ? Type::kBf16 : to;
    const bool known = pair ? source == Type::kF32 && !saturate
                            : (source == Type::kF32 || source == Type::kF64 || IsSmall(source) || IsInteger(source)) &&
                                  (to == Type::kF32 || to == Type::kF64 || IsSmall(to) || IsInteger(to));
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
  static const RuleTable kRules{{"cvt",
                                 {CvtRule,
                                  "rn rz rm rp rna rni rzi rmi rpi ftz sat relu satfinite pack tf32 e4m3x2 e5m2x2 u4 "
                                  "s4 u2 s2"}}};
  return kRules;
}

}  // namespace accelmesh::tier0
