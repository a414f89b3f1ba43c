// Loads, stores and reductions of surfaces. Their horizontal coordinate counts bytes, but in the formatted forms (.p),
// which count texels.
#include <cstdio>

#include "server/backend/cpu/tier0/image_rules.h"

namespace accelmesh::tier0 {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

// Op::mode: the shape, what happens outside of the surface, and whether texels are counted.
constexpr std::uint8_t kShapeBits = 0x07;
constexpr std::uint8_t kZero = 0x08;
constexpr std::uint8_t kClamp = 0x10;
constexpr std::uint8_t kFormatted = 0x20;

// Plain accesses race where the kernel does; that is the program's business, not a sanitizer's.
#define ACCELMESH_RACES __attribute__((no_sanitize("thread")))

ACCELMESH_RACES std::uint64_t LoadPiece(const std::uint8_t* from, std::uint32_t bytes) {
  switch (bytes) {
    case 1: return *from;
    case 2: return *reinterpret_cast<const std::uint16_t*>(from);
    case 4: return *reinterpret_cast<const std::uint32_t*>(from);
    default: return *reinterpret_cast<const std::uint64_t*>(from);
  }
}
ACCELMESH_RACES void StorePiece(std::uint8_t* to, std::uint64_t value, std::uint32_t bytes) {
  switch (bytes) {
    case 1: *to = static_cast<std::uint8_t>(value); break;
    case 2: *reinterpret_cast<std::uint16_t*>(to) = static_cast<std::uint16_t>(value); break;
    case 4: *reinterpret_cast<std::uint32_t*>(to) = static_cast<std::uint32_t>(value); break;
    default: *reinterpret_cast<std::uint64_t*>(to) = value; break;
  }
}

// Where an access of `bytes` goes. `address` stays null if it goes nowhere (.zero); false: the fault is raised.
bool Place(Warp& warp, const Op& op, std::uint32_t lane, std::uint32_t bytes, const Texture** surface,
           std::uint8_t** address) {
  const Texture* found = FindTexture(warp, op, lane);
  if (found == nullptr) return false;
  *surface = found;
  *address = nullptr;
  if (!found->is_surface) {
    RaiseFault(warp, op, lane, kDeviceIllegalAddress, "the handle is a texture object's, not a surface's");
    return false;
  }
  const TextureJob::Level& level = found->levels.front();
  const std::uint32_t texel_bytes = found->format.bytes();
  const bool is_formatted = (op.mode & kFormatted) != 0;
  if (is_formatted) bytes = texel_bytes;
  const auto row_bytes = static_cast<std::int64_t>(level.width * texel_bytes);
  const auto coordinate = [&](std::size_t i) -> std::int64_t {
    return Get<std::int32_t>(warp.r[op.rows[kCoordinates + i]].lane[lane]);
  };
  const auto shape = static_cast<TextureShape>(op.mode & kShapeBits);
  const bool has_layer = op.b != kNoRow;
  const bool is_flat = shape == TextureShape::k1D || shape == TextureShape::k1DLayered;
  std::int64_t x = coordinate(0) * (is_formatted ? texel_bytes : 1);
  std::int64_t y = is_flat ? 0 : coordinate(1);
  std::int64_t z = has_layer                    ? Get<std::int32_t>(warp.r[op.b].lane[lane])
                   : shape == TextureShape::k3D ? coordinate(2)
                                                : 0;
  const std::int64_t last_x = row_bytes - bytes;
  const std::int64_t last_y = std::max<std::int64_t>(level.height, 1) - 1;
  const std::int64_t last_z = std::max<std::int64_t>(level.depth, 1) - 1;
  if (x < 0 || x > last_x || y < 0 || y > last_y || z < 0 || z > last_z) {
    if ((op.mode & kZero) != 0) return true;
    if ((op.mode & kClamp) == 0 || last_x < 0) {
      char text[120];
      std::snprintf(text, sizeof(text), "byte %lld, row %lld, slice %lld are outside of the surface",
                    static_cast<long long>(x), static_cast<long long>(y), static_cast<long long>(z));
      RaiseFault(warp, op, lane, kDeviceLaunchFailed, text);
      return false;
    }
    x = std::clamp<std::int64_t>(x, 0, last_x);
    y = std::clamp<std::int64_t>(y, 0, last_y);
    z = std::clamp<std::int64_t>(z, 0, last_z);
  }
  if (x % bytes != 0) {
    RaiseFault(warp, op, lane, kDeviceMisaligned, "misaligned byte " + std::to_string(x) + " of a surface");
    return false;
  }
  const std::uint64_t at = level.address + static_cast<std::uint64_t>(z) * level.slice +
                           static_cast<std::uint64_t>(y) * level.pitch + static_cast<std::uint64_t>(x);
  if (!found->owns_memory && !warp.block->launch->memory->Allowed(at, bytes)) {
    RaiseFault(warp, op, lane, kDeviceIllegalAddress, "a surface lies at an illegal address");
    return false;
  }
  *address = reinterpret_cast<std::uint8_t*>(at);
  return true;
}

void LoadSurface(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t total = std::uint32_t{op.bytes} * op.count;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const Texture* surface = nullptr;
    std::uint8_t* from = nullptr;
    if (!Place(warp, op, l, total, &surface, &from)) return;
    std::uint64_t values[4] = {};
    for (std::uint32_t i = 0; i < op.count && from != nullptr; ++i)
      values[i] = LoadPiece(from + i * op.bytes, op.bytes);
    for (std::uint32_t i = 0; i < op.count; ++i) warp.r[op.rows[i]].lane[l] = values[i];
  }
}

void StoreSurface(Warp& warp, const Op& op, std::uint32_t mask) {
  const std::uint32_t total = std::uint32_t{op.bytes} * op.count;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const Texture* surface = nullptr;
    std::uint8_t* to = nullptr;
    if (!Place(warp, op, l, total, &surface, &to)) return;
    if (to == nullptr) continue;
    if ((op.mode & kFormatted) != 0) {
      std::array<std::uint32_t, 4> value{};
      for (std::uint32_t i = 0; i < op.count; ++i) value[i] = Get<std::uint32_t>(warp.r[op.rows[i]].lane[l]);
      EncodeTexel(surface->format, value, to);
      continue;
    }
    for (std::uint32_t i = 0; i < op.count; ++i) StorePiece(to + i * op.bytes, warp.r[op.rows[i]].lane[l], op.bytes);
  }
}

enum class Reduction : std::uint8_t { kAdd, kMin, kMax, kAnd, kOr };

template <typename T, Reduction kKind>
void Reduce(Warp& warp, const Op& op, std::uint32_t mask) {
  using Word = std::make_unsigned_t<T>;
  for (std::uint32_t m = mask; m != 0; m &= m - 1) {
    const std::uint32_t l = FirstLane(m);
    const Texture* surface = nullptr;
    std::uint8_t* place = nullptr;
    if (!Place(warp, op, l, sizeof(T), &surface, &place)) return;
    if (place == nullptr) continue;
    if ((op.mode & kFormatted) != 0 && surface->format.bytes() != sizeof(T)) {
      RaiseFault(warp, op, l, kDeviceLaunchFailed, "a reduction of texels of another size");
      return;
    }
    auto* word = reinterpret_cast<Word*>(place);
    const T with = Get<T>(warp.r[op.c].lane[l]);
    const auto wanted = [with](T old) -> T {
      switch (kKind) {
        case Reduction::kAdd: return static_cast<T>(static_cast<Word>(old) + static_cast<Word>(with));
        case Reduction::kMin: return std::min(old, with);
        case Reduction::kMax: return std::max(old, with);
        case Reduction::kAnd: return old & with;
        case Reduction::kOr: return old | with;
      }
      return old;
    };
    Word old = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(word, &old, static_cast<Word>(wanted(static_cast<T>(old))), false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
    }
  }
}
template <typename T>
Handler PickReduction(Reduction kind) {
  switch (kind) {
    case Reduction::kAdd: return Reduce<T, Reduction::kAdd>;
    case Reduction::kMin: return Reduce<T, Reduction::kMin>;
    case Reduction::kMax: return Reduce<T, Reduction::kMax>;
    case Reduction::kAnd: return Reduce<T, Reduction::kAnd>;
    case Reduction::kOr: return Reduce<T, Reduction::kOr>;
  }
  return nullptr;
}

// Shape, boundary and form; [a, {...}].
Status SurfaceOperand(Decoder& decoder, const Instruction& from, const Operand& address, Op& op) {
  TextureShape shape{};
  if (!ReadShape(from, &shape)) return decoder.Refuse(from, "geometry not supported");
  op.mode = static_cast<std::uint8_t>(shape);
  if (Decoder::Has(from, "zero")) op.mode |= kZero;
  if (Decoder::Has(from, "clamp")) op.mode |= kClamp;
  if (Decoder::Has(from, "p")) op.mode |= kFormatted;
  return CoordinateRows(decoder, from, address, shape, op);
}

// The type stands in front of what happens outside, if that is said.
Type DataType(const Instruction& from) {
  for (std::size_t i = from.opcode.size(); i-- > 1;) {
    if (const Type type = ptx::ParseType(from.opcode[i]); type != Type::kNone) return type;
  }
  return Type::kNone;
}

Status AccessRule(Decoder& decoder, const Instruction& from, Op& op, bool is_load) {
  if (from.operands.size() != 2) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_RETURN_IF_ERROR(SurfaceOperand(decoder, from, from.operands[is_load ? 1 : 0], op));
  const Operand& data = from.operands[is_load ? 0 : 1];
  const std::vector<Operand> single{data};
  const auto& elements = data.kind == Operand::Kind::kVector ? data.elements : single;
  const std::size_t count = Decoder::Has(from, "v4") ? 4 : Decoder::Has(from, "v2") ? 2 : 1;
  const Type type = DataType(from);
  op.bytes = static_cast<std::uint8_t>(ptx::TypeBytes(type));
  op.count = static_cast<std::uint8_t>(count);
  const bool is_formatted = (op.mode & kFormatted) != 0;
  if (elements.size() != count || op.bytes == 0 || op.bytes > 8 || op.bytes * count > 16 ||
      (is_formatted && (is_load || op.bytes != 4)))
    return decoder.Refuse(from, "type or vector not supported");
  for (std::size_t i = 0; i < count; ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(op.rows[i],
                               is_load ? decoder.Destination(elements[i]) : decoder.Source(elements[i], type));
  }
  op.handler = is_load ? LoadSurface : StoreSurface;
  return Status::Ok();
}
Status LoadRule(Decoder& decoder, const Instruction& from, Op& op) { return AccessRule(decoder, from, op, true); }
Status StoreRule(Decoder& decoder, const Instruction& from, Op& op) { return AccessRule(decoder, from, op, false); }

Status ReduceRule(Decoder& decoder, const Instruction& from, Op& op) {
  static constexpr std::pair<std::string_view, Reduction> kKinds[] = {{"add", Reduction::kAdd},
                                                                      {"min", Reduction::kMin},
                                                                      {"max", Reduction::kMax},
                                                                      {"and", Reduction::kAnd},
                                                                      {"or", Reduction::kOr}};
  if (from.operands.size() != 2) return decoder.Refuse(from, "the number of operands is off");
  ACCELMESH_RETURN_IF_ERROR(SurfaceOperand(decoder, from, from.operands[0], op));
  const Type type = DataType(from);
  ACCELMESH_ASSIGN_OR_RETURN(op.c, decoder.Source(from.operands[1], type));
  for (const auto& [name, kind] : kKinds) {
    if (!Decoder::Has(from, name)) continue;
    switch (type) {
      case Type::kU32:
      case Type::kB32: op.handler = PickReduction<std::uint32_t>(kind); break;
      case Type::kS32: op.handler = PickReduction<std::int32_t>(kind); break;
      case Type::kU64:
      case Type::kB64: op.handler = PickReduction<std::uint64_t>(kind); break;
      case Type::kS64: op.handler = PickReduction<std::int64_t>(kind); break;
      default: break;
    }
  }
  return op.handler != nullptr ? Status::Ok() : decoder.Refuse(from, "operation or type not supported");
}

}  // namespace

const RuleTable& SurfaceRules() {
  static constexpr std::string_view kAccess = "b p 1d 2d 3d a1d a2d v2 v4 trap clamp zero";
  static const RuleTable kRules{{"suld", {LoadRule, kAccess}},
                                {"sust", {StoreRule, kAccess}},
                                {"sured", {ReduceRule, "b p 1d 2d 3d a1d a2d trap clamp zero add min max and or"}}};
  return kRules;
}

}  // namespace accelmesh::tier0
