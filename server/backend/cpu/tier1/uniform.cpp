// What the lanes of a row have in common, and where lanes that part wait for one another.
//
// A row is uniform or affine if every operation that writes it makes it so of rows that are, and if no lane can wait
// somewhere with another value of it: lanes which a branch parts run one group after the other, in the order of their
// pcs. Tier 0 may join lanes in other ways (groups that take turns), so code that it enters looks at these rows first.
#include <algorithm>
#include <optional>

#include "server/backend/cpu/tier1/analysis.h"

namespace accelmesh::tier1 {
namespace {

using tier0::Op;
using tier0::Program;

// Of a stride: so that 32 lanes of it stay far from where 32 bits wrap.
constexpr std::int64_t kStrideMax = 1 << 20;

// Of a row, or of what an operation makes: not known yet (nothing was written), a stride, or nothing in common.
struct Common {
  enum class State : std::uint8_t { kUnknown, kStride, kNothing } state = State::kUnknown;
  std::int64_t stride = 0;
  bool operator==(const Common&) const = default;
};
constexpr Common kNothing{Common::State::kNothing, 0};
constexpr Common kUnknown{};
Common Stride(std::int64_t stride) {
  if (stride > kStrideMax || stride < -kStrideMax) return kNothing;
  return {Common::State::kStride, stride};
}
constexpr Common kSame{Common::State::kStride, 0};
bool IsSame(const Common& common) { return common == kSame; }
Common Meet(const Common& a, const Common& b) {
  if (a.state == Common::State::kUnknown) return b;
  if (b.state == Common::State::kUnknown) return a;
  return a == b ? a : kNothing;
}

class Finder {
 public:
  Finder(const Program& program, Plan* plan) : program_(program), plan_(*plan) {}

  void Run() {
    FindContainers();
    common_.assign(program_.rows, kUnknown);
    predicates_.assign(program_.predicates, true);
    spoiled_.assign(program_.rows, false);
    for (Block& block : plan_.blocks) block.waiting = Bits64(plan_.blocks.size());
    Settle();
    // What is made of itself alone was never written before: lanes have anything there.
    for (std::uint32_t row = 0; row < program_.rows; ++row) {
      if (common_[row] == kUnknown) common_[row] = kNothing;
    }
    Settle();
    for (std::uint32_t row = 0; row < program_.rows; ++row) Note(row);
    plan_.predicates_uniform = predicates_;
    FindBehind();
  }

 private:
  void Settle() {
    for (bool changed = true; changed;) {
      while (FindValues()) {
      }
      changed = FindWaiting();
      changed = Spoil() || changed;
    }
  }

  void FindContainers() {
    plan_.rows.assign(program_.rows, {});
    plan_.predicates_assigned.assign(program_.predicates, false);
    for (const Shape& shape : plan_.shapes) {
      for (const RowUse& use : shape.uses) {
        if (use.bits > 32) plan_.rows[use.row].bits = 64;
      }
      for (const RowUse& def : shape.defs) {
        if (def.bits > 32) plan_.rows[def.row].bits = 64;
        plan_.rows[def.row].assigned = true;
      }
      for (const std::uint32_t p : shape.predicate_defs) plan_.predicates_assigned[p] = true;
    }
    fixed_.assign(program_.rows, kNothing);
    for (const auto& [row, value] : program_.constants) {
      if (plan_.rows[row].assigned) continue;  // a guess about some operation's rows
      plan_.rows[row].constant = value;
      // What may be an address is not in the code, which other processes use, too.
      const bool address = value >> 32 != 0 && value >> 47 == 0;
      plan_.rows[row].kind = address ? RowKind::kFixed : RowKind::kConstant;
      fixed_[row] = kSame;
    }
    for (const auto& [row, special] : program_.specials) {
      if (plan_.rows[row].assigned) continue;
      using tier0::Special;
      plan_.rows[row].kind = RowKind::kLanes;
      if (special == Special::kLaneid || (plan_.linear && special == Special::kTidX)) {
        fixed_[row] = Stride(1);
      } else if (special == Special::kWarpid ||
                 (plan_.linear && (special == Special::kTidY || special == Special::kTidZ))) {
        fixed_[row] = kSame;
      } else if (special > Special::kTidZ && (special < Special::kMaskEq || special > Special::kMaskGe)) {
        plan_.rows[row].kind = RowKind::kFixed;
        fixed_[row] = kSame;
      }
    }
  }

  Common Of(std::uint32_t row) const { return plan_.rows[row].assigned ? common_[row] : fixed_[row]; }
  // The same for arithmetic of `bits`: a row that is wider or narrower does not count up in them.
  Common Of(std::uint32_t row, std::uint32_t bits) const {
    const Common common = Of(row);
    const bool counts = common.state == Common::State::kStride && common.stride != 0;
    return counts && plan_.rows[row].bits != bits ? kNothing : common;
  }
  std::optional<std::int64_t> Number(std::uint32_t row, std::uint32_t bits, bool sign) const {
    if (plan_.rows[row].kind != RowKind::kConstant || bits < 32) return std::nullopt;
    const std::uint64_t value = plan_.rows[row].constant;
    if (bits == 64) return static_cast<std::int64_t>(value);
    return sign ? static_cast<std::int32_t>(value) : static_cast<std::int64_t>(static_cast<std::uint32_t>(value));
  }

  static Common Sum(const Common& a, const Common& b, std::int64_t sign) {
    if (a.state != Common::State::kStride || b.state != Common::State::kStride)
      return a == kNothing || b == kNothing ? kNothing : kUnknown;
    return Stride(a.stride + sign * b.stride);
  }
  Common Product(std::uint32_t a, std::uint32_t b, std::uint32_t bits, bool sign) const {
    const Common first = Of(a, bits);
    const Common second = Of(b, bits);
    if (first.state != Common::State::kStride || second.state != Common::State::kStride)
      return first == kNothing || second == kNothing ? kNothing : kUnknown;
    if (IsSame(first) && IsSame(second)) return kSame;
    const std::optional<std::int64_t> by = Number(IsSame(first) ? a : b, bits, sign);
    if (!by.has_value() || *by > kStrideMax || *by < -kStrideMax) return kNothing;
    return Stride((IsSame(first) ? second : first).stride * *by);
  }

  // What an operation makes of its first definition.
  Common Result(const Op& op, const Shape& shape) const {
    const std::uint32_t bits = Bits(shape.type);
    const bool integer = IsInteger(shape.type) && bits >= 32;
    const bool sign = IsSigned(shape.type);
    const std::uint32_t wide = 2 * bits;
    switch (shape.kind) {
      case Kind::kMove:
      case Kind::kConvertAddress:
        if (IsSame(Of(op.a)) || !integer) break;
        return Of(op.a, bits);
      case Kind::kAdd:
      case Kind::kSub:
        if (!integer) break;
        return Sum(Of(op.a, bits), Of(op.b, bits), shape.kind == Kind::kAdd ? 1 : -1);
      case Kind::kMul:
        if (!integer) break;
        return Product(op.a, op.b, bits, true);
      case Kind::kMulAdd:
        if (!integer) break;
        return Sum(Product(op.a, op.b, bits, true), Of(op.c, bits), 1);
      case Kind::kMulWide:
        if (bits != 32) break;
        return Product(op.a, op.b, bits, sign);
      case Kind::kMulAddWide:
        if (bits != 32) break;
        return Sum(Product(op.a, op.b, bits, sign), Of(op.c, wide), 1);
      case Kind::kShl: {
        const std::optional<std::int64_t> by = Number(op.b, 32, false);
        const Common a = Of(op.a, bits);
        if (!integer || !by.has_value() || *by > 20 || a.state != Common::State::kStride) break;
        return Stride(a.stride << *by);
      }
      case Kind::kConvert: {
        const std::uint32_t from = IsInteger(shape.source) ? Bits(shape.source) : 0;
        if (!integer || from < 32) break;
        const Common a = Of(op.a, from);
        // From 64 bits to 32 the rest is cut off, whatever it is.
        if (!IsSame(a)) return a;
        break;
      }
      case Kind::kLoad:
        if (op.space == ptx::Space::kLocal) return kNothing;  // each lane's own
        return Of(op.a) == kUnknown ? kUnknown : IsSame(Of(op.a)) ? kSame : kNothing;
      case Kind::kBallot:
      case Kind::kVote:
      case Kind::kActiveMask: return kSame;
      case Kind::kShuffle: return Of(op.a) == kUnknown ? kUnknown : IsSame(Of(op.a)) ? kSame : kNothing;
      case Kind::kSelect:
        if (!predicates_[op.c]) return kNothing;
        if (IsSame(Of(op.a)) || IsSame(Of(op.b)) || !integer) break;
        return Meet(Of(op.a, bits), Of(op.b, bits));
      default:
        if (!shape.pure) return kNothing;
        break;
    }
    Common result = kSame;
    for (const RowUse& use : shape.uses) {
      const Common common = Of(use.row);
      if (common == kUnknown) {
        result = kUnknown;
      } else if (!IsSame(common)) {
        return kNothing;
      }
    }
    return result;
  }

  bool PredicateIsSame(const Shape& shape) const {
    for (const std::uint32_t p : shape.predicate_uses) {
      if (!predicates_[p]) return false;
    }
    switch (shape.kind) {
      case Kind::kVote:
      case Kind::kPredicateConstant:
      case Kind::kPredicateLogic: return true;
      case Kind::kCompare:
        return std::all_of(shape.uses.begin(), shape.uses.end(),
                           [&](const RowUse& use) { return Of(use.row) == kUnknown || IsSame(Of(use.row)); });
      default: return false;
    }
  }

  // Once over all operations; whether anything changed.
  bool FindValues() {
    bool changed = false;
    for (std::size_t pc = 0; pc < plan_.shapes.size(); ++pc) {
      const Shape& shape = plan_.shapes[pc];
      const Op& op = program_.ops[pc];
      const bool guarded = op.guard >= 0 && !predicates_[static_cast<std::size_t>(op.guard)];
      for (const RowUse& def : shape.defs) {
        Common& common = common_[def.row];
        const bool whole = shape.defs.size() == 1 && def.bits == plan_.rows[def.row].bits;
        Common made = guarded || spoiled_[def.row] ? kNothing : Result(op, shape);
        // Of a part of a row, or of one of several, only that it is the same.
        if (!whole && made.state == Common::State::kStride && made.stride != 0) made = kNothing;
        const Common met = Meet(common, made);
        changed = changed || met != common;
        common = met;
      }
      for (const std::uint32_t p : shape.predicate_defs) {
        // The vote's own operand may differ from lane to lane.
        const bool same = !guarded && (shape.kind == Kind::kVote || PredicateIsSame(shape));
        if (!same && predicates_[p]) {
          predicates_[p] = false;
          changed = true;
        }
      }
    }
    return changed;
  }

  bool MayPart(const Block& block) const {
    const Op& op = program_.ops[block.end - 1];
    return plan_.shapes[block.end - 1].kind == Kind::kBranch && op.guard >= 0 && block.end < program_.ops.size() &&
           !predicates_[static_cast<std::size_t>(op.guard)];
  }

  // Adds to where lanes may wait; whether anything came. The rules are those of the code (emit_flow.cpp).
  bool FindWaiting() {
    bool any = false;
    for (bool changed = true; changed; any = any || changed) {
      changed = false;
      const auto add = [&](std::uint32_t runs, std::uint32_t waits) {
        if (plan_.blocks[runs].waiting.Has(waits)) return;
        plan_.blocks[runs].waiting.Add(waits);
        changed = true;
      };
      for (std::uint32_t i = 0; i < plan_.blocks.size(); ++i) {
        Block& block = plan_.blocks[i];
        if (!block.reached) continue;
        if (!block.parts && MayPart(block)) {
          block.parts = true;
          changed = true;
        }
        if (block.parts) {
          const std::uint32_t one = plan_.block_at[program_.ops[block.end - 1].immediate];
          const std::uint32_t other = plan_.block_at[block.end];
          if (one != other) add(std::min(one, other), std::max(one, other));
        }
        for (std::uint32_t waits = 0; waits < plan_.blocks.size(); ++waits) {
          if (!block.waiting.Has(waits)) continue;
          for (const std::uint32_t next : block.successors) {
            if (next < waits) add(next, waits);
            if (next > waits) add(waits, next);
          }
          // Those that wait come after one another.
          for (std::uint32_t more = waits + 1; more < plan_.blocks.size(); ++more) {
            if (block.waiting.Has(more)) add(waits, more);
          }
        }
      }
    }
    return any;
  }
  // Rows that are written while lanes wait that still need them: they may differ then. Whether any.
  bool Spoil() {
    bool any = false;
    for (const Block& block : plan_.blocks) {
      for (std::uint32_t waits = 0; waits < plan_.blocks.size(); ++waits) {
        if (!block.reached || !block.waiting.Has(waits)) continue;
        const Live& live = plan_.blocks[waits].in;
        for (std::uint32_t pc = block.first; pc < block.end; ++pc) {
          for (const RowUse& def : plan_.shapes[pc].defs) {
            if (!live.rows.Has(def.row) || spoiled_[def.row]) continue;
            spoiled_[def.row] = any = true;
            common_[def.row] = kNothing;
          }
          for (const std::uint32_t p : plan_.shapes[pc].predicate_defs) {
            if (!live.predicates.Has(p) || !predicates_[p]) continue;
            predicates_[p] = false;
            any = true;
          }
        }
      }
    }
    return any;
  }
  void FindBehind() {
    for (std::uint32_t i = 0; i < plan_.blocks.size(); ++i) {
      for (const std::uint32_t next : plan_.blocks[i].successors) {
        std::vector<std::uint32_t>& behind = plan_.blocks[next].behind;
        for (std::uint32_t waits = 0; waits < next; ++waits) {
          if (plan_.blocks[i].waiting.Has(waits) && std::find(behind.begin(), behind.end(), waits) == behind.end())
            behind.push_back(waits);
        }
      }
    }
  }

  void Note(std::uint32_t row) {
    RowFacts& facts = plan_.rows[row];
    if (facts.kind == RowKind::kConstant || facts.kind == RowKind::kFixed) return;
    const Common common = Of(row);
    if (common.state != Common::State::kStride) return;
    facts.kind = common.stride == 0 ? RowKind::kUniform : RowKind::kAffine;
    facts.stride = common.stride;
  }

  const Program& program_;
  Plan& plan_;
  std::vector<Common> common_;  // of rows that are assigned
  std::vector<Common> fixed_;   // of the others
  std::vector<bool> predicates_;
  std::vector<bool> spoiled_;
};

}  // namespace

void FindCommon(const Program& program, Plan* plan) { Finder(program, plan).Run(); }

}  // namespace accelmesh::tier1
