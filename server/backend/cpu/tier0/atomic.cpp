// atom and red: a lane after the other, each one atomic operation of the host.
#include <algorithm>

#include "server/backend/cpu/tier0/memory.h"
#include "server/backend/cpu/tier0/small_float.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Space;
using ptx::Type;

enum AtomicKind : std::uint8_t { kAdd, kMin, kMax, kAnd, kOr, kXor, kExchange, kCas, kInc, kDec };

template <typename T>
using WordOf =
    std::conditional_t<sizeof(T) == 8, std::uint64_t, std::conditional_t<sizeof(T) == 2, std::uint16_t, std::uint32_t>>;

template <typename T, AtomicKind kKind>
T Wanted(T old, T b, T c) {
  using Word = WordOf<T>;
  if constexpr (std::is_floating_point_v<T>) {
    return old + b;
  } else {
    switch (kKind) {
      case kAdd: return static_cast<T>(static_cast<Word>(old) + static_cast<Word>(b));
      case kMin: return std::min(old, b);
      case kMax: return std::max(old, b);
      case kAnd: return static_cast<T>(old & b);
      case kOr: return static_cast<T>(old | b);
      case kXor: return static_cast<T>(old ^ b);
      case kExchange: return b;
      case kCas: return old == b ? c : old;
      case kInc: return old >= b ? T{0} : static_cast<T>(old + 1);
      default: return old == T{0} || old > b ? b : static_cast<T>(old - 1);
    }
  }
}
// Replaces what is at `word` by `wanted(old)`; the old value.
template <typename Word, typename Function>
Word Exchange(Word* word, Function wanted) {
  Word old = __atomic_load_n(word, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(word, &old, wanted(old), false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
  }
  return old;
}
template <typename T, AtomicKind kKind>
void Atomic(Warp& warp, const Op& op, std::uint32_t mask) {
  using Word = WordOf<T>;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    auto* word = reinterpret_cast<Word*>(Resolve(warp, op, l, sizeof(T)));
    if (word == nullptr) return;
    const T b = Get<T>(warp.r[op.b].lane[l]);
    const T c = Get<T>(warp.r[op.c].lane[l]);
    warp.r[op.d].lane[l] =
        Exchange(word, [b, c](Word old) { return static_cast<Word>(Put<T>(Wanted<T, kKind>(Get<T>(old), b, c))); });
  }
}
template <typename T>
Handler PickAtomic(std::uint8_t kind) {
  static constexpr Handler kHandlers[] = {Atomic<T, kAdd>, Atomic<T, kMin>, Atomic<T, kMax>,      Atomic<T, kAnd>,
                                          Atomic<T, kOr>,  Atomic<T, kXor>, Atomic<T, kExchange>, Atomic<T, kCas>,
                                          Atomic<T, kInc>, Atomic<T, kDec>};
  return kHandlers[kind];
}

// Of half-precision floats and pairs of them: add, min, max. mode: the kind; count: halves; bytes 1: bfloat16.
std::uint32_t AddHalf(const Op& op, std::uint32_t old, std::uint32_t b) {
  const Format& format = op.bytes == 1 ? kBrain : kHalf;
  const double x = FromSmall(old & 0xffff, format), y = FromSmall(b & 0xffff, format);
  if (op.mode == kAdd) return ToSmall(AddToOdd(x, y), format, kNearest);
  if (std::isnan(x) || std::isnan(y))
    return std::isnan(x) && std::isnan(y) ? 0x7fff : (std::isnan(x) ? b : old) & 0xffff;
  const bool old_less = x < y || (x == y && (old & 0x8000) != 0);
  return (old_less == (op.mode == kMin) ? old : b) & 0xffff;
}
std::uint32_t AddHalves(const Op& op, std::uint32_t old, std::uint32_t b) {
  return AddHalf(op, old, b) | (op.count == 2 ? AddHalf(op, old >> 16, b >> 16) << 16 : 0);
}
template <typename Word>
void AtomicHalf(Warp& warp, const Op& op, std::uint32_t mask) {
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    auto* word = reinterpret_cast<Word*>(Resolve(warp, op, l, sizeof(Word)));
    if (word == nullptr) return;
    const auto b = static_cast<std::uint32_t>(warp.r[op.b].lane[l]);
    warp.r[op.d].lane[l] = Exchange(word, [&](Word old) { return static_cast<Word>(AddHalves(op, old, b)); });
  }
}

// atom.v2.f32 and the like: every element is atomic by itself. mode, count, bytes as above; targets: the rows of the
// sources, and behind them those of the destinations.
template <typename Word, bool kIsFloat>
void AtomicVector(Warp& warp, const Op& op, std::uint32_t mask) {
  const auto elements = static_cast<std::uint32_t>(op.targets.size() / 2);
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    auto* words = reinterpret_cast<Word*>(Resolve(warp, op, l, sizeof(Word) * elements));
    if (words == nullptr) return;
    for (std::uint32_t i = 0; i < elements; ++i) {
      const auto b = static_cast<std::uint32_t>(warp.r[op.targets[i]].lane[l]);
      const Word old = Exchange(words + i, [&](Word v) {
        if constexpr (kIsFloat) {
          return static_cast<Word>(Put<float>(Get<float>(v) + Get<float>(b)));
        } else {
          return static_cast<Word>(AddHalves(op, v, b));
        }
      });
      warp.r[op.targets[elements + i]].lane[l] = old;
    }
  }
}

// exch and cas of 16 bytes: rows 0 and 1 the old value, 2 and 3 the new one, 4 and 5 what cas compares with. A lock, as
// not every processor compares 16 bytes at once; loads and stores of 16 bytes see the whole, whoever holds it.
void AtomicWide(Warp& warp, const Op& op, std::uint32_t mask) {
  static std::atomic_flag busy = ATOMIC_FLAG_INIT;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    std::uint8_t* word = Resolve(warp, op, l, 16);
    if (word == nullptr) return;
    while (busy.test_and_set(std::memory_order_acquire)) {
    }
    const std::uint64_t wanted[2] = {warp.r[op.rows[2]].lane[l], warp.r[op.rows[3]].lane[l]};
    const std::uint64_t expected[2] = {warp.r[op.rows[4]].lane[l], warp.r[op.rows[5]].lane[l]};
    std::uint64_t old[2];
    std::memcpy(old, word, 16);
    if (op.mode == kExchange || (old[0] == expected[0] && old[1] == expected[1])) std::memcpy(word, wanted, 16);
    busy.clear(std::memory_order_release);
    warp.r[op.rows[0]].lane[l] = old[0];
    warp.r[op.rows[1]].lane[l] = old[1];
  }
}

// Decoding -----------------------------------------------------------------------------------------------------------

Handler PickHandler(Type type, AtomicKind kind) {
  const bool bitwise = kind == kAnd || kind == kOr || kind == kXor || kind == kExchange || kind == kCas;
  const bool counts = kind == kInc || kind == kDec;
  switch (type) {
    case Type::kB16: return kind == kCas ? Atomic<std::uint16_t, kCas> : nullptr;
    case Type::kB32: return bitwise ? PickAtomic<std::uint32_t>(kind) : nullptr;
    case Type::kU32: return PickAtomic<std::uint32_t>(kind);
    case Type::kB64: return bitwise ? PickAtomic<std::uint64_t>(kind) : nullptr;
    case Type::kU64: return counts ? nullptr : PickAtomic<std::uint64_t>(kind);
    case Type::kS32: return counts ? nullptr : PickAtomic<std::int32_t>(kind);
    case Type::kS64: return counts ? nullptr : PickAtomic<std::int64_t>(kind);
    case Type::kF32: return kind == kAdd ? Atomic<float, kAdd> : nullptr;
    case Type::kF64: return kind == kAdd ? Atomic<double, kAdd> : nullptr;
    case Type::kF16:
    case Type::kBf16: return kind <= kMax ? AtomicHalf<std::uint16_t> : nullptr;
    case Type::kF16x2:
    case Type::kBf16x2: return kind <= kMax ? AtomicHalf<std::uint32_t> : nullptr;
    default: return nullptr;
  }
}
Status DecodeVector(Decoder& decoder, const Instruction& from, const Operand* to, const Operand& source, Op& op) {
  const Type type = Decoder::LastType(from);
  const bool single = type == Type::kF32;
  const std::uint32_t count = Decoder::Has(from, "v2") ? 2 : Decoder::Has(from, "v4") ? 4 : 8;
  if ((!single && !IsHalfType(type)) || (single && op.mode != kAdd) || count * ptx::TypeBytes(type) > 16 ||
      op.space != Space::kGlobal || source.elements.size() != count || (to != nullptr && to->elements.size() != count))
    return decoder.Refuse(from, "vector not supported");
  for (const Operand& element : source.elements) {
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t row, decoder.Source(element, type));
    op.targets.push_back(row);
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t row,
                               decoder.Destination(to == nullptr ? Operand{} : to->elements[i]));
    op.targets.push_back(row);
  }
  op.handler = single             ? AtomicVector<std::uint32_t, true>
               : IsPairType(type) ? AtomicVector<std::uint32_t, false>
                                  : AtomicVector<std::uint16_t, false>;
  return Status::Ok();
}
Status DecodeWide(Decoder& decoder, const Instruction& from, std::size_t sources, Op& op) {
  if ((op.mode != kExchange && op.mode != kCas) || from.operands.size() != 2 + sources)
    return decoder.Refuse(from, "operation not supported");
  ACCELMESH_ASSIGN_OR_RETURN(op.rows[0], decoder.Destination(from.operands[0]));
  ACCELMESH_ASSIGN_OR_RETURN(op.rows[1], decoder.HighRow(from.operands[0]));
  const Operand& wanted = from.operands.back();
  ACCELMESH_ASSIGN_OR_RETURN(op.rows[2], decoder.Source(wanted));
  ACCELMESH_ASSIGN_OR_RETURN(op.rows[3], decoder.HighRow(wanted));
  op.rows[4] = op.rows[2];
  op.rows[5] = op.rows[3];
  if (op.mode == kCas) {
    ACCELMESH_ASSIGN_OR_RETURN(op.rows[4], decoder.Source(from.operands[2]));
    ACCELMESH_ASSIGN_OR_RETURN(op.rows[5], decoder.HighRow(from.operands[2]));
  }
  op.handler = AtomicWide;
  return Status::Ok();
}
Status AtomicRule(Decoder& decoder, const Instruction& from, Op& op) {
  static const std::unordered_map<std::string_view, AtomicKind> kKinds{
      {"add", kAdd}, {"min", kMin},       {"max", kMax}, {"and", kAnd}, {"or", kOr},
      {"xor", kXor}, {"exch", kExchange}, {"cas", kCas}, {"inc", kInc}, {"dec", kDec}};
  const bool reduces = from.opcode[0] == "red";
  const std::size_t first = reduces ? 0 : 1;
  std::size_t kinds = 0;
  AtomicKind kind = kAdd;
  for (std::size_t i = 1; i < from.opcode.size(); ++i) {
    const auto found = kKinds.find(from.opcode[i]);
    if (found == kKinds.end()) continue;
    kind = found->second;
    ++kinds;
  }
  if (kinds != 1 || (reduces && (kind == kExchange || kind == kCas)))
    return decoder.Refuse(from, "operation not supported");
  const std::size_t sources = kind == kCas ? 2 : 1;
  // Behind all others there may be a cache policy.
  const std::size_t operands = from.operands.size() - (Decoder::Has(from, "L2::cache_hint") ? 1 : 0);
  if (operands != first + 1 + sources) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_RETURN_IF_ERROR(AccessSpace(decoder, from, from.operands[first], op));
  if (op.space != Space::kGlobal && op.space != Space::kShared)
    return decoder.Refuse(from, "state space not supported");
  const Type type = Decoder::LastType(from);
  op.mode = kind;
  op.count = IsPairType(type) ? 2 : 1;
  op.bytes = IsBrainType(type) ? 1 : 0;
  op.extras = 0;
  if (Decoder::Has(from, "v2") || Decoder::Has(from, "v4") || Decoder::Has(from, "v8"))
    return DecodeVector(decoder, from, reduces ? nullptr : &from.operands[0], from.operands[first + 1], op);
  if (type == Type::kB128) return DecodeWide(decoder, from, sources, op);
  ACCELMESH_ASSIGN_OR_RETURN(op.b, decoder.Source(from.operands[first + 1], type));
  if (kind == kCas) {
    ACCELMESH_ASSIGN_OR_RETURN(op.c, decoder.Source(from.operands[first + 2], type));
  }
  ACCELMESH_ASSIGN_OR_RETURN(op.d, decoder.Destination(reduces ? Operand{} : from.operands[0]));
  op.handler = PickHandler(type, kind);
  return op.handler != nullptr ? Status::Ok() : decoder.Refuse(from, "type not supported");
}

}  // namespace

const RuleTable& AtomicRules() {
  static constexpr std::string_view kModifiers =
      "global shared shared::cta relaxed acquire release acq_rel cta cluster gpu sys add min max and or xor exch cas "
      "inc dec noftz v2 v4 v8 hint";
  static const RuleTable kRules{{"atom", {AtomicRule, kModifiers}}, {"red", {AtomicRule, kModifiers}}};
  return kRules;
}

}  // namespace accelmesh::tier0
