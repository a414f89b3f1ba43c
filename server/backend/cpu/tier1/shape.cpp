#include "server/backend/cpu/tier1/shape.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace accelmesh::tier1 {
namespace {

using ptx::Instruction;
using ptx::Space;
using ptx::Type;
using tier0::Control;
using tier0::Op;

bool Has(const Instruction& from, std::string_view word) {
  return std::find(from.opcode.begin() + 1, from.opcode.end(), word) != from.opcode.end();
}
// Whether all that stands behind the opcode's name is a type or one of these words, which lie between spaces.
bool OnlyHas(const Instruction& from, std::string_view words) {
  for (std::size_t i = 1; i < from.opcode.size(); ++i) {
    if (ptx::ParseType(from.opcode[i]) != Type::kNone) continue;
    const std::string word = " " + std::string(from.opcode[i]) + " ";
    if (words.find(word) == std::string_view::npos) return false;
  }
  return true;
}
Type TypeFromEnd(const Instruction& from, std::size_t back) {
  return from.opcode.size() > back + 1 ? ptx::ParseType(from.opcode[from.opcode.size() - 1 - back]) : Type::kNone;
}

void Rows(Shape& shape, const Op& op, std::uint32_t sources, std::uint32_t bits) {
  const std::uint32_t rows[] = {op.a, op.b, op.c};
  for (std::uint32_t i = 0; i < sources; ++i) shape.uses.push_back({rows[i], bits});
  shape.defs.push_back({op.d, bits});
}

// Of operations whose operands are d, a, b and c, of the type at the end, whether or not they have code.
Kind Arithmetic(const Instruction& from, Type type) {
  const std::string_view name = from.opcode[0];
  // rcp.approx.ftz.f64 and its like are other operations.
  if (Has(from, "ftz") && type != Type::kF32) return Kind::kCalled;
  const bool integer = IsInteger(type) && Bits(type) >= 16;
  const bool floating = IsFloat(type);
  struct Row {
    std::string_view name;
    Kind integer, floating;
    std::string_view words;
  };
  static constexpr Row kRows[] = {{"add", Kind::kAdd, Kind::kAdd, " rn "},
                                  {"sub", Kind::kSub, Kind::kSub, " rn "},
                                  {"mul", Kind::kMul, Kind::kMul, " rn lo "},
                                  {"mad", Kind::kMulAdd, Kind::kFma, " rn lo "},
                                  {"fma", Kind::kCalled, Kind::kFma, " rn "},
                                  {"div", Kind::kDiv, Kind::kDiv, " rn approx full "},
                                  {"rem", Kind::kRem, Kind::kCalled, "  "},
                                  {"min", Kind::kMin, Kind::kMin, "  "},
                                  {"max", Kind::kMax, Kind::kMax, "  "},
                                  {"neg", Kind::kNeg, Kind::kNeg, "  "},
                                  {"abs", Kind::kAbs, Kind::kAbs, "  "},
                                  {"sqrt", Kind::kCalled, Kind::kSqrt, " rn approx "},
                                  {"rsqrt", Kind::kCalled, Kind::kRsqrt, " approx "},
                                  {"rcp", Kind::kCalled, Kind::kRcp, " rn approx "},
                                  {"and", Kind::kAnd, Kind::kCalled, "  "},
                                  {"or", Kind::kOr, Kind::kCalled, "  "},
                                  {"xor", Kind::kXor, Kind::kCalled, "  "},
                                  {"not", Kind::kNot, Kind::kCalled, "  "},
                                  {"shl", Kind::kShl, Kind::kCalled, "  "},
                                  {"shr", Kind::kShr, Kind::kCalled, "  "},
                                  {"popc", Kind::kPopc, Kind::kCalled, "  "},
                                  {"clz", Kind::kClz, Kind::kCalled, "  "}};
  if ((name == "mul" || name == "mad") && integer) {
    if (!OnlyHas(from, " lo hi wide ") || Has(from, "sat")) return Kind::kCalled;
    const bool add = name == "mad";
    if (Has(from, "wide")) return Bits(type) == 64 ? Kind::kCalled : add ? Kind::kMulAddWide : Kind::kMulWide;
    if (Has(from, "hi")) return Bits(type) != 32 ? Kind::kCalled : add ? Kind::kMulAddHigh : Kind::kMulHigh;
  }
  for (const Row& row : kRows) {
    if (row.name != name) continue;
    if (!OnlyHas(from, std::string(row.words) + (floating ? "ftz sat " : ""))) return Kind::kCalled;
    return integer ? row.integer : floating ? row.floating : Kind::kCalled;
  }
  return Kind::kCalled;
}
std::uint32_t Sources(Kind kind) {
  switch (kind) {
    case Kind::kMulAdd:
    case Kind::kMulAddHigh:
    case Kind::kMulAddWide:
    case Kind::kFma: return 3;
    case Kind::kNeg:
    case Kind::kAbs:
    case Kind::kSqrt:
    case Kind::kRsqrt:
    case Kind::kRcp:
    case Kind::kNot:
    case Kind::kPopc:
    case Kind::kClz: return 1;
    default: return 2;
  }
}
// Whose handlers write d and read a, b and c, all of the type at the end or narrower ones.
bool IsSimple(std::string_view name) {
  static constexpr std::string_view kNames =
      " add sub mul mad fma div rem min max neg abs sqrt rsqrt rcp ex2 lg2 sin cos tanh and or xor not shl shr popc "
      "clz "
      "brev bfe bfind prmt shf copysign mul24 mad24 sad bmsk szext fns dp4a dp2a ";
  return kNames.find(" " + std::string(name) + " ") != std::string_view::npos;
}

bool ComparisonOf(std::string_view name, Comparison* how) {
  static const std::unordered_map<std::string_view, Comparison> kNames{
      {"eq", Comparison::kEq},   {"ne", Comparison::kNe},   {"lt", Comparison::kLt},   {"le", Comparison::kLe},
      {"gt", Comparison::kGt},   {"ge", Comparison::kGe},   {"lo", Comparison::kLt},   {"ls", Comparison::kLe},
      {"hi", Comparison::kGt},   {"hs", Comparison::kGe},   {"equ", Comparison::kEqu}, {"neu", Comparison::kNeu},
      {"ltu", Comparison::kLtu}, {"leu", Comparison::kLeu}, {"gtu", Comparison::kGtu}, {"geu", Comparison::kGeu},
      {"num", Comparison::kNum}, {"nan", Comparison::kNan}};
  const auto found = kNames.find(name);
  if (found == kNames.end()) return false;
  *how = found->second;
  return true;
}

bool Predicates(Shape& shape, const Instruction& from, const Op& op) {
  const std::string_view name = from.opcode[0];
  const Type type = TypeFromEnd(from, 0);
  if (type == Type::kPred && (name == "and" || name == "or" || name == "xor" || name == "not" || name == "mov")) {
    shape.predicate_defs = {op.d};
    if (name == "mov" && from.operands[1].kind == ptx::Operand::Kind::kImmediate) {
      shape.kind = Kind::kPredicateConstant;
      return true;
    }
    shape.kind = Kind::kPredicateLogic;
    shape.predicate_uses = {op.a, op.b};
    return true;
  }
  if (name == "setp" &&
      OnlyHas(from, " eq ne lt le gt ge lo ls hi hs equ neu ltu leu gtu geu num nan and or xor ftz ") &&
      ((IsInteger(type) && Bits(type) >= 16) || IsFloat(type)) && ComparisonOf(from.opcode[1], &shape.comparison)) {
    shape.kind = Kind::kCompare;
    shape.type = type;
    shape.flush = Has(from, "ftz");
    shape.uses = {{op.a, Bits(type)}, {op.b, Bits(type)}};
    shape.predicate_defs = {op.d};
    if (op.predicate >= 0) shape.predicate_defs.push_back(static_cast<std::uint32_t>(op.predicate));
    if (op.mode != 0) shape.predicate_uses = {op.c};
    return true;
  }
  if (name == "selp" && Bits(type) >= 16 && Bits(type) <= 64) {
    shape.kind = Kind::kSelect;
    shape.type = type;
    Rows(shape, op, 2, Bits(type));
    shape.predicate_uses = {op.c};
    return true;
  }
  return false;
}

bool Moves(Shape& shape, const Instruction& from, const Op& op) {
  const std::string_view name = from.opcode[0];
  const Type type = TypeFromEnd(from, 0);
  if (name == "mov" && from.operands.size() == 2 && OnlyHas(from, "  ") && Bits(type) >= 16 && Bits(type) <= 64) {
    const auto vector = ptx::Operand::Kind::kVector;
    const bool unpack = from.operands[0].kind == vector;
    if (unpack || from.operands[1].kind == vector) {
      shape.kind = unpack ? Kind::kUnpack : Kind::kPack;
      (unpack ? shape.uses : shape.defs).push_back({unpack ? op.a : op.d, Bits(type)});
      for (std::uint32_t i = 0; i < op.count; ++i)
        (unpack ? shape.defs : shape.uses).push_back({op.rows[i], 8u * op.bytes});
      shape.type = type;
      return true;
    }
    const std::string_view symbol = from.operands[1].symbol;
    if (symbol.substr(0, 6) == "%clock" || symbol.substr(0, 12) == "%globaltimer") return false;
    shape.kind = Kind::kMove;
    shape.type = type;
    Rows(shape, op, 1, Bits(type));
    return true;
  }
  if (name == "cvt") {
    const Type to = TypeFromEnd(from, 1);
    const bool to_float = IsFloat(to);
    const bool from_float = IsFloat(type);
    if (!(to_float || IsInteger(to)) || !(from_float || IsInteger(type)) || from.operands.size() != 2) return false;
    const bool rounds = to_float && (from_float ? Bits(to) < Bits(type) : true);
    const bool floats = to_float && from_float;
    if (!OnlyHas(from, floats       ? rounds ? " rn ftz sat " : " ftz sat "
                       : rounds     ? " rn "
                       : from_float ? " rzi ftz "
                                    : "  "))
      return false;
    shape.flush = Has(from, "ftz") && (to == Type::kF32 || type == Type::kF32);
    if (Has(from, "ftz") && !shape.flush) return false;
    shape.saturate = Has(from, "sat");
    shape.kind = Kind::kConvert;
    shape.type = to;
    shape.source = type;
    shape.uses = {{op.a, Bits(type)}};
    shape.defs = {{op.d, std::max(32u, Bits(to))}};
    return true;
  }
  if (name == "cvta" && (op.space == Space::kGlobal || op.space == Space::kShared)) {
    shape.kind = Kind::kConvertAddress;
    shape.type = Type::kB64;
    Rows(shape, op, 1, 64);
    return true;
  }
  if (name == "lop3" && op.mode == 0) {
    shape.kind = Kind::kLop3;
    shape.type = Type::kB32;
    Rows(shape, op, 3, 32);
    return true;
  }
  if (name == "shf") {
    shape.kind = Kind::kFunnel;
    shape.type = Type::kB32;
    Rows(shape, op, 3, 32);
    return true;
  }
  return false;
}

bool IsConstant(const tier0::Program& program, std::uint32_t row) {
  return std::any_of(program.constants.begin(), program.constants.end(),
                     [row](const auto& constant) { return constant.first == row; });
}

bool IsSpecial(const tier0::Program& program, std::uint32_t row) {
  return std::any_of(program.specials.begin(), program.specials.end(),
                     [row](const auto& special) { return special.first == row; });
}

bool Memory(Shape& shape, const tier0::Program& program, const Instruction& from, const Op& op) {
  const std::string_view name = from.opcode[0];
  const Type type = TypeFromEnd(from, 0);
  const bool load = name == "ld" || name == "ldu";
  if (load || name == "st") {
    for (const std::string_view word : {"volatile", "relaxed", "acquire", "release", "mmio"}) {
      if (Has(from, word)) return false;
    }
    if (type == Type::kB128 || op.count > 4) return false;
    for (std::uint32_t i = 0; i < op.count; ++i)
      (load ? shape.defs : shape.uses).push_back({op.rows[i], load ? std::max(32u, 8u * op.bytes) : 8u * op.bytes});
    shape.uses.push_back({op.a, op.space == Space::kGlobal ? 64u : 32u});
    shape.type = type;
    if (op.space == Space::kParam) {
      if (!load || !IsConstant(program, op.a)) return false;
      shape.kind = Kind::kLoadParameter;
      return true;
    }
    // There is no gathering of less.
    if (op.space == Space::kLocal && op.bytes < 4) {
      shape.kind = Kind::kCalled;
      return true;
    }
    shape.kind = load ? Kind::kLoad : Kind::kStore;
    return true;
  }
  if ((name == "atom" || name == "red") && op.targets.empty() && Bits(type) >= 32 && Bits(type) <= 64) {
    shape.uses = {{op.a, op.space == Space::kGlobal ? 64u : 32u}, {op.b, Bits(type)}};
    if (Has(from, "cas")) shape.uses.push_back({op.c, Bits(type)});
    shape.defs = {{op.d, Bits(type)}};
    if (Has(from, "add") && op.space == Space::kShared && (IsInteger(type) || IsFloat(type))) {
      shape.kind = Kind::kAtomicAdd;
      shape.type = type;
    }
    return true;
  }
  return false;
}

bool Lanes(Shape& shape, const tier0::Program& program, const Instruction& from, const Op& op) {
  const std::string_view name = from.opcode[0];
  if (name == "activemask") {
    shape.kind = Kind::kActiveMask;
    shape.defs = {{op.d, 32}};
    return true;
  }
  // Without .sync they run at once.
  if (op.control == Control::kLaneSync) {
    shape.lane_sync = true;
    if (!op.members_constant) return false;
  }
  if ((name == "bar" || name == "barrier") && shape.lane_sync) {
    shape.kind = Kind::kNothing;
    return true;
  }
  if (name == "shfl") {
    if (!IsConstant(program, op.b) || !IsConstant(program, op.c)) return false;
    shape.kind = Kind::kShuffle;
    shape.type = Type::kB32;
    shape.uses = {{op.a, 32}};
    shape.defs = {{op.d, 32}};
    if (op.predicate >= 0) shape.predicate_defs = {static_cast<std::uint32_t>(op.predicate)};
    return true;
  }
  if (name == "vote") {
    if (op.bytes != 1) shape.predicate_uses = {op.a};
    if (Has(from, "ballot")) {
      shape.kind = Kind::kBallot;
      shape.defs = {{op.d, 32}};
    } else {
      shape.kind = Kind::kVote;
      shape.predicate_defs = {op.d};
    }
    return true;
  }
  return false;
}

// Everything that the operation may name, as read and written.
void Guess(Shape& shape, const tier0::Program& program, const Op& op) {
  shape.kind = Kind::kCalled;
  std::vector<std::uint32_t> named{op.d, op.a, op.b, op.c};
  named.insert(named.end(), std::begin(op.rows), std::end(op.rows));
  named.insert(named.end(), op.targets.begin(), op.targets.end());
  std::sort(named.begin(), named.end());
  named.erase(std::unique(named.begin(), named.end()), named.end());
  shape.uses.clear();
  shape.defs.clear();
  shape.predicate_uses.clear();
  shape.predicate_defs.clear();
  for (const std::uint32_t row : named) {
    if (row < program.rows) {
      shape.uses.push_back({row, 64});
      if (!IsConstant(program, row) && !IsSpecial(program, row)) shape.defs.push_back({row, 64});
    }
    if (row < program.predicates) {
      shape.predicate_uses.push_back(row);
      shape.predicate_defs.push_back(row);
    }
  }
  if (op.predicate >= 0) {
    shape.predicate_uses.push_back(static_cast<std::uint32_t>(op.predicate));
    shape.predicate_defs.push_back(static_cast<std::uint32_t>(op.predicate));
  }
}

void ControlShape(Shape& shape, const tier0::Program& program, const Op& op) {
  shape.kind = Kind::kControl;
  switch (op.control) {
    case Control::kBranch: shape.kind = Kind::kBranch; break;
    case Control::kExit: shape.kind = Kind::kExit; break;
    case Control::kBarrier:
      Guess(shape, program, op);
      // Not barrier.arrive, none with a number of threads, and none with a vote.
      if (op.guard < 0 && op.b == tier0::kNoRow && op.mode == 0 && op.bytes != 1 && IsConstant(program, op.a)) {
        shape.uses.clear();
        shape.defs.clear();
        shape.predicate_uses.clear();
        shape.predicate_defs.clear();
        shape.kind = Kind::kBarrier;
      } else {
        shape.kind = Kind::kControl;
      }
      break;
    case Control::kYield: break;
    case Control::kBranchIndexed: shape.uses = {{op.a, 32}}; break;
    case Control::kCall:
    case Control::kCallIndirect:
    case Control::kReturn:
      Guess(shape, program, op);
      shape.kind = Kind::kControl;
      shape.everything = true;
      break;
    default:
      Guess(shape, program, op);
      shape.kind = Kind::kControl;
      break;
  }
}

}  // namespace

Shape ShapeOf(const tier0::Program& program, const Op& op) {
  Shape shape;
  const Instruction& from = *op.source;
  bool known = false;
  if (op.control != Control::kNone && op.control != Control::kLaneSync) {
    ControlShape(shape, program, op);
    known = true;
  } else if (op.whole && !from.opcode.empty()) {
    const std::string_view name = from.opcode[0];
    const Type type = TypeFromEnd(from, 0);
    known = Lanes(shape, program, from, op);
    if (op.control == Control::kNone) {
      known = known || Predicates(shape, from, op) || Moves(shape, from, op) || Memory(shape, program, from, op);
      if (!known && (name == "membar" || name == "fence")) {
        shape.kind = Kind::kFence;
        known = true;
      }
      if (!known && IsSimple(name) && type != Type::kPred && (IsInteger(type) || IsFloat(type)) && op.predicate < 0 &&
          !Has(from, "cc") && name != "addc" && name != "subc" && name != "madc") {
        known = true;
        shape.kind = Arithmetic(from, type);
        if (from.operands.size() != Sources(shape.kind) + 1) shape.kind = Kind::kCalled;
        shape.type = type;
        shape.flush = Has(from, "ftz");
        shape.saturate = Has(from, "sat");
        if (shape.kind == Kind::kCalled) {
          Rows(shape, op, 3, std::max(32u, Bits(type)));
          shape.uses.push_back({op.rows[0], 32});
        } else {
          Rows(shape, op, Sources(shape.kind), Bits(type));
          if (shape.kind == Kind::kShl || shape.kind == Kind::kShr) shape.uses[1].bits = 32;
          if (shape.kind == Kind::kPopc || shape.kind == Kind::kClz) shape.defs[0].bits = 32;
          if (shape.kind == Kind::kMulWide || shape.kind == Kind::kMulAddWide) {
            shape.defs[0].bits = 2 * Bits(type);
            if (shape.kind == Kind::kMulAddWide) shape.uses[2].bits = 2 * Bits(type);
          }
        }
      }
    }
  }
  if (!known) {
    const bool lane_sync = shape.lane_sync;
    Guess(shape, program, op);
    shape.lane_sync = lane_sync;
    if (op.control == Control::kLaneSync) {
      shape.lane_sync = true;
      shape.uses.push_back({op.members, 32});
      if (!op.members_constant) shape.kind = Kind::kControl;
    }
  }
  shape.pure =
      (shape.kind >= Kind::kMove && shape.kind <= Kind::kUnpack && shape.kind != Kind::kPredicateLogic &&
       shape.kind != Kind::kPredicateConstant && shape.kind != Kind::kCompare && shape.kind != Kind::kSelect) ||
      shape.kind == Kind::kLoadParameter;
  if (op.guard >= 0) shape.predicate_uses.push_back(static_cast<std::uint32_t>(op.guard));
  return shape;
}

}  // namespace accelmesh::tier1
