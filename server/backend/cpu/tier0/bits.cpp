// Shifts, bit fields, permutations, dot products of bytes; the sign of a float.
#include <algorithm>

#include "server/backend/cpu/tier0/handlers.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

// Shift amounts are 32-bit and clamp at the width.
template <typename T>
struct Shl {
  static T Do(T a, std::uint32_t n) {
    return n >= 8 * sizeof(T) ? T{0} : static_cast<T>(static_cast<Unsigned<T>>(a) << n);
  }
};
template <typename T>
struct Shr {
  static T Do(T a, std::uint32_t n) {
    if (n >= 8 * sizeof(T)) return std::is_signed_v<T> && a < T{0} ? static_cast<T>(-1) : T{0};
    return static_cast<T>(a >> n);
  }
};
template <typename T, template <typename> class F>
void ShiftBy(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint64_t* d = warp.r[op.d].lane;
  const std::uint64_t* a = warp.r[op.a].lane;
  const std::uint64_t* b = warp.r[op.b].lane;
  ForLanes(mask, [=](std::uint32_t l) { d[l] = Put<T>(F<T>::Do(Get<T>(a[l]), static_cast<std::uint32_t>(b[l]))); });
}
Handler PickShl(Type type) {
  ACCELMESH_PICK_INTEGER(type, ShiftBy<T, Shl>)
  return nullptr;
}
Handler PickShr(Type type) {
  ACCELMESH_PICK_INTEGER(type, ShiftBy<T, Shr>)
  return nullptr;
}

template <typename T>
struct Popc {
  static T Do(T a) { return static_cast<T>(std::popcount(a)); }
};
template <typename T>
struct Clz {
  static T Do(T a) { return static_cast<T>(std::countl_zero(a)); }
};
template <typename T>
struct Brev {
  static T Do(T a) {
    std::uint64_t v = a;
    v = (v >> 1 & 0x5555555555555555u) | (v & 0x5555555555555555u) << 1;
    v = (v >> 2 & 0x3333333333333333u) | (v & 0x3333333333333333u) << 2;
    v = (v >> 4 & 0x0f0f0f0f0f0f0f0fu) | (v & 0x0f0f0f0f0f0f0f0fu) << 4;
    return static_cast<T>(__builtin_bswap64(v) >> (64 - 8 * sizeof(T)));
  }
};
template <template <typename> class F>
Handler BitsUnary(Type type) {
  return type == Type::kB64 ? Unary<std::uint64_t, F> : type == Type::kB32 ? Unary<std::uint32_t, F> : nullptr;
}

// copysign: on the bits, so that NaNs stay what they are.
template <typename T>
struct CopySign {
  static T Do(T a, T b) {
    constexpr T kSign = T{1} << (8 * sizeof(T) - 1);
    return (a & kSign) | (b & ~kSign);
  }
};
Handler PickCopySign(Type type) {
  return type == Type::kF32   ? Binary<std::uint32_t, CopySign>
         : type == Type::kF64 ? Binary<std::uint64_t, CopySign>
                              : nullptr;
}

// bfe d, a, position, length.
template <typename T>
void BitExtract(Warp& warp, const Op& op, std::uint32_t mask) {
  constexpr std::uint32_t kBits = 8 * sizeof(T);
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint64_t a = Get<Unsigned<T>>(warp.r[op.a].lane[l]);
    const std::uint32_t position = static_cast<std::uint32_t>(warp.r[op.b].lane[l]) & 255;
    const std::uint32_t length = static_cast<std::uint32_t>(warp.r[op.c].lane[l]) & 255;
    const std::uint32_t kept = position >= kBits ? 0 : std::min(length, kBits - position);
    std::uint64_t v = kept == 0 ? 0 : a >> position & (~0ull >> (64 - kept));
    if constexpr (std::is_signed_v<T>) {
      // What lies beyond the field, or beyond the value, is filled with its top bit.
      const std::uint32_t sign_at = std::min(position + length - 1, kBits - 1);
      if (length != 0 && (a >> sign_at & 1) != 0 && kept < 64) v |= ~0ull << kept;
    }
    warp.r[op.d].lane[l] = Put<T>(static_cast<T>(v));
  });
}
Handler PickBitExtract(Type type) {
  ACCELMESH_PICK_INTEGER(type, sizeof(T) >= 4 ? BitExtract<T> : nullptr)
  return nullptr;
}
// bfi d, a, b, position, length: a's low bits over b's.
template <typename T>
void BitInsert(Warp& warp, const Op& op, std::uint32_t mask) {
  constexpr std::uint32_t kBits = 8 * sizeof(T);
  ForLanes(mask, [&](std::uint32_t l) {
    const T a = static_cast<T>(warp.r[op.a].lane[l]);
    const T b = static_cast<T>(warp.r[op.b].lane[l]);
    const std::uint32_t position = static_cast<std::uint32_t>(warp.r[op.c].lane[l]) & 255;
    const std::uint32_t length = static_cast<std::uint32_t>(warp.r[op.rows[0]].lane[l]) & 255;
    if (position >= kBits || length == 0) {
      warp.r[op.d].lane[l] = b;
      return;
    }
    const T field = static_cast<T>((length >= kBits ? ~T{0} : (T{1} << length) - 1) << position);
    warp.r[op.d].lane[l] = (b & ~field) | (static_cast<T>(a << position) & field);
  });
}
Status BitInsertRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 5));
  ACCELMESH_ASSIGN_OR_RETURN(op.rows[0], decoder.Source(from.operands[4]));
  const Type type = Decoder::LastType(from);
  if (type != Type::kB32 && type != Type::kB64) return decoder.Refuse(from, "type not supported");
  op.handler = type == Type::kB64 ? BitInsert<std::uint64_t> : BitInsert<std::uint32_t>;
  return Status::Ok();
}
// bmsk.{clamp,wrap}.b32 d, a, b: b ones from bit a on. mode 1: both amounts modulo 32.
void BitMask(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    std::uint32_t position = static_cast<std::uint32_t>(warp.r[op.a].lane[l]);
    std::uint32_t width = static_cast<std::uint32_t>(warp.r[op.b].lane[l]);
    position = op.mode == 1 ? position & 31 : std::min(position, 32u);
    width = op.mode == 1 ? width & 31 : std::min(width, 32u);
    warp.r[op.d].lane[l] = Put<std::uint32_t>(static_cast<std::uint32_t>(((1ull << width) - 1) << position));
  });
}
Status BitMaskRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 3));
  op.mode = Decoder::Has(from, "wrap") ? 1 : 0;
  op.handler = BitMask;
  return Status::Ok();
}
// szext.{clamp,wrap} d, a, n: the low n bits, extended by their sign or with zeros. mode 1: n modulo 32.
template <typename T>
void ExtendField(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const T a = Get<T>(warp.r[op.a].lane[l]);
    const std::uint32_t amount = static_cast<std::uint32_t>(warp.r[op.b].lane[l]);
    const std::uint32_t n = op.mode == 1 ? amount & 31 : std::min(amount, 32u);
    const std::uint32_t gone = 32 - n;
    const T moved = gone == 32 ? T{0} : static_cast<T>(static_cast<std::uint32_t>(a) << gone);
    warp.r[op.d].lane[l] = Put<T>(gone == 32 ? T{0} : static_cast<T>(moved >> gone));
  });
}
Status ExtendFieldRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 3));
  const Type type = Decoder::LastType(from);
  if (type != Type::kS32 && type != Type::kU32) return decoder.Refuse(from, "type not supported");
  op.mode = Decoder::Has(from, "wrap") ? 1 : 0;
  op.handler = type == Type::kS32 ? ExtendField<std::int32_t> : ExtendField<std::uint32_t>;
  return Status::Ok();
}
// fns.b32 d, mask, base, offset: where the offset-th set bit is, counted upwards from base (downwards if negative);
// offset 0: base itself, if set. All ones if there is none.
void FindNthSet(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const auto bits = static_cast<std::uint32_t>(warp.r[op.a].lane[l]);
    const auto base = static_cast<std::int64_t>(static_cast<std::uint32_t>(warp.r[op.b].lane[l]));
    const std::int64_t offset = Get<std::int32_t>(warp.r[op.c].lane[l]);
    std::int64_t left = offset == 0 ? 1 : offset < 0 ? -offset : offset;
    const std::int64_t step = offset < 0 ? -1 : 1;
    std::uint32_t found = 0xffffffffu;
    for (std::int64_t at = base; at >= 0 && at < 32; at += step) {
      if ((bits >> at & 1) != 0 && --left == 0) {
        found = static_cast<std::uint32_t>(at);
        break;
      }
      if (offset == 0) break;
    }
    warp.r[op.d].lane[l] = found;
  });
}
Status FindNthSetRule(Decoder& decoder, const Instruction& from, Op& op) {
  op.handler = FindNthSet;
  return decoder.Rows(from, op, 4);
}
// bfind{.shiftamt}: the most significant bit that differs from the sign; 0xffffffff if there is none.
template <typename T>
void FindBit(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const T a = Get<T>(warp.r[op.a].lane[l]);
    const Unsigned<T> bits = static_cast<Unsigned<T>>(std::is_signed_v<T> && a < T{0} ? ~a : a);
    const std::uint32_t zeros = static_cast<std::uint32_t>(std::countl_zero(bits));
    constexpr std::uint32_t kBits = 8 * sizeof(T);
    warp.r[op.d].lane[l] = zeros == kBits ? 0xffffffffu : op.mode == 1 ? zeros : kBits - 1 - zeros;
  });
}
Handler PickFindBit(Type type) {
  ACCELMESH_PICK_INTEGER(type, sizeof(T) >= 4 ? FindBit<T> : nullptr)
  return nullptr;
}
Status FindBitRule(Decoder& decoder, const Instruction& from, Op& op) {
  op.mode = Decoder::Has(from, "shiftamt") ? 1 : 0;
  return SimpleRule<PickFindBit, 2>(decoder, from, op);
}

// Sum of the min-terms of the table, Shannon-expanded: the same for all lanes, so the compiler vectorises it.
void Lop3(Warp& warp, const Op& op, std::uint32_t mask) {
  std::uint32_t on[8];
  for (std::uint32_t i = 0; i < 8; ++i) on[i] = (op.immediate >> i & 1) != 0 ? ~0u : 0;
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint32_t a = static_cast<std::uint32_t>(warp.r[op.a].lane[l]);
    const std::uint32_t b = static_cast<std::uint32_t>(warp.r[op.b].lane[l]);
    const std::uint32_t c = static_cast<std::uint32_t>(warp.r[op.c].lane[l]);
    const std::uint32_t low = (~b & ((~c & on[0]) | (c & on[1]))) | (b & ((~c & on[2]) | (c & on[3])));
    const std::uint32_t high = (~b & ((~c & on[4]) | (c & on[5]))) | (b & ((~c & on[6]) | (c & on[7])));
    warp.r[op.d].lane[l] = (~a & low) | (a & high);
  });
}
// lop3.{or,and}.b32 d|p, a, b, c, table, q: p says whether d is not zero, combined with q. mode: 1 or, 2 and.
void Lop3Predicate(Warp& warp, const Op& op, std::uint32_t mask) {
  Lop3(warp, op, mask);
  std::uint32_t set = 0;
  ForLanes(mask, [&](std::uint32_t l) { set |= warp.r[op.d].lane[l] != 0 ? 1u << l : 0; });
  const std::uint32_t q = op.predicate_negated ? ~warp.p[op.rows[0]] : warp.p[op.rows[0]];
  const std::uint32_t p = op.mode == 1 ? set | q : set & q;
  warp.p[op.predicate] = (warp.p[op.predicate] & ~mask) | (p & mask);
}
Status Lop3Rule(Decoder& decoder, const Instruction& from, Op& op) {
  op.mode = Decoder::Has(from, "or") ? 1 : Decoder::Has(from, "and") ? 2 : 0;
  const std::size_t count = op.mode == 0 ? 5 : 6;
  if (from.operands.size() != count || from.operands[4].kind != Operand::Kind::kImmediate ||
      from.operands[4].immediate > 255)
    return decoder.Refuse(from, "form not supported");
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, count));
  op.immediate = from.operands[4].immediate;
  op.handler = Lop3;
  if (op.mode == 0) return Status::Ok();
  if (op.predicate < 0) return decoder.Refuse(from, "a second destination was expected");
  ACCELMESH_ASSIGN_OR_RETURN(op.rows[0], decoder.Predicate(from.operands[5]));
  op.predicate_negated = from.operands[5].negated;
  op.handler = Lop3Predicate;
  return Status::Ok();
}

// prmt: which byte, and whether its sign is spread, for each byte of the result. mode: 0 by selectors, then f4e, b4e,
// rc8, ecl, ecr, rc16 by the low bits of c.
enum Permutation : std::uint8_t { kBySelector, kF4e, kB4e, kRc8, kEcl, kEcr, kRc16 };
std::uint32_t Selectors(std::uint8_t mode, std::uint32_t c) {
  static constexpr std::uint16_t kTable[6][4] = {{0x3210, 0x4321, 0x5432, 0x6543},   // f4e
                                                 {0x5670, 0x6701, 0x7012, 0x0123},   // b4e
                                                 {0x0000, 0x1111, 0x2222, 0x3333},   // rc8
                                                 {0x3210, 0x3211, 0x3222, 0x3333},   // ecl
                                                 {0x0000, 0x1110, 0x2210, 0x3210},   // ecr
                                                 {0x1010, 0x3232, 0x1010, 0x3232}};  // rc16
  return mode == kBySelector ? c : kTable[mode - 1][c & 3];
}
void Permute(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint64_t bytes = (warp.r[op.a].lane[l] & 0xffffffffu) | warp.r[op.b].lane[l] << 32;
    const std::uint32_t select = Selectors(op.mode, static_cast<std::uint32_t>(warp.r[op.c].lane[l]));
    std::uint32_t v = 0;
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::uint32_t s = select >> (4 * i) & 15;
      std::uint32_t byte = static_cast<std::uint32_t>(bytes >> (8 * (s & 7))) & 255;
      if ((s & 8) != 0) byte = (byte & 128) != 0 ? 255 : 0;
      v |= byte << (8 * i);
    }
    warp.r[op.d].lane[l] = v;
  });
}
Status PermuteRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 4));
  std::uint8_t mode = 0;
  for (const std::string_view name : {"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"}) {
    ++mode;
    if (Decoder::Has(from, name)) op.mode = mode;
  }
  op.handler = Permute;
  return Status::Ok();
}
// shf.{l,r}.{wrap,clamp}.b32 d, a (low), b (high), c. mode: 1 wrap, 2 left.
void Funnel(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    const std::uint64_t both = (warp.r[op.a].lane[l] & 0xffffffffu) | warp.r[op.b].lane[l] << 32;
    std::uint32_t n = static_cast<std::uint32_t>(warp.r[op.c].lane[l]);
    n = (op.mode & 1) != 0 ? n & 31 : std::min(n, 32u);
    warp.r[op.d].lane[l] = static_cast<std::uint32_t>(both >> ((op.mode & 2) != 0 ? 32 - n : n));
  });
}
Status FunnelRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 4));
  op.mode = static_cast<std::uint8_t>((Decoder::Has(from, "wrap") ? 1 : 0) | (Decoder::Has(from, "l") ? 2 : 0));
  op.handler = Funnel;
  return Status::Ok();
}
// dp4a.atype.btype d, a, b, c; dp2a.{lo,hi}: two 16-bit values of a with two bytes of b. mode: 1 a signed, 2 b signed.
void DotBytes(Warp& warp, const Op& op, std::uint32_t mask) {
  ForLanes(mask, [&](std::uint32_t l) {
    std::uint32_t sum = static_cast<std::uint32_t>(warp.r[op.c].lane[l]);
    const std::uint32_t bits = 32u / op.count;
    for (std::uint32_t i = 0; i < op.count; ++i) {
      const std::uint32_t a = static_cast<std::uint32_t>(warp.r[op.a].lane[l]) >> (bits * i);
      const auto b = static_cast<std::uint8_t>(warp.r[op.b].lane[l] >> (8 * i + op.bytes));
      std::int32_t x = op.count == 4 ? static_cast<std::uint8_t>(a) : static_cast<std::uint16_t>(a);
      if ((op.mode & 1) != 0) x = op.count == 4 ? static_cast<std::int8_t>(a) : static_cast<std::int16_t>(a);
      const std::int32_t y = (op.mode & 2) != 0 ? static_cast<std::int8_t>(b) : b;
      sum += static_cast<std::uint32_t>(x * y);
    }
    warp.r[op.d].lane[l] = sum;
  });
}
Status DotBytesRule(Decoder& decoder, const Instruction& from, Op& op) {
  ACCELMESH_RETURN_IF_ERROR(decoder.Rows(from, op, 4));
  if (from.opcode.size() < 3) return decoder.Refuse(from, "form not supported");
  const std::string_view a_type = from.opcode[from.opcode.size() - 2];
  op.mode = static_cast<std::uint8_t>((a_type == "s32" ? 1 : 0) | (from.opcode.back() == "s32" ? 2 : 0));
  op.count = from.opcode[0] == "dp4a" ? 4 : 2;
  op.bytes = Decoder::Has(from, "hi") ? 16 : 0;
  op.handler = DotBytes;
  return Status::Ok();
}

}  // namespace

const RuleTable& BitRules() {
  static const RuleTable kRules{{"popc", {SimpleRule<BitsUnary<Popc>, 2>, ""}},
                                {"clz", {SimpleRule<BitsUnary<Clz>, 2>, ""}},
                                {"brev", {SimpleRule<BitsUnary<Brev>, 2>, ""}},
                                {"bfe", {SimpleRule<PickBitExtract, 4>, ""}},
                                {"bfi", {BitInsertRule, ""}},
                                {"copysign", {SimpleRule<PickCopySign, 3>, ""}},
                                {"bmsk", {BitMaskRule, "clamp wrap"}},
                                {"bfind", {FindBitRule, "shiftamt"}},
                                {"szext", {ExtendFieldRule, "clamp wrap"}},
                                {"fns", {FindNthSetRule, ""}},
                                {"lop3", {Lop3Rule, "or and"}},
                                {"prmt", {PermuteRule, "f4e b4e rc8 ecl ecr rc16"}},
                                {"shf", {FunnelRule, "l r wrap clamp"}},
                                {"dp4a", {DotBytesRule, ""}},
                                {"dp2a", {DotBytesRule, "lo hi"}},
                                {"shl", {SimpleRule<PickShl, 3>, ""}},
                                {"shr", {SimpleRule<PickShr, 3>, ""}}};
  return kRules;
}

}  // namespace accelmesh::tier0
