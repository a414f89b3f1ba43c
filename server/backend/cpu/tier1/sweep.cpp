#include "server/backend/cpu/tier1/sweep.h"

#include <algorithm>

namespace accelmesh::tier1 {
namespace {

using ptx::Space;
using tier0::Op;
using tier0::Program;
using tier0::Special;

constexpr std::size_t kOpsMax = 256;

bool CanSweep(const Op& op, const Shape& shape) {
  switch (shape.kind) {
    case Kind::kNothing: return op.guard < 0;
    case Kind::kLoad:
    case Kind::kStore: return op.space == Space::kGlobal;
    case Kind::kLoadParameter: return true;
    case Kind::kConvertAddress: return op.space != Space::kShared;
    default: return shape.kind >= Kind::kMove && shape.kind <= Kind::kUnpack;
  }
}

class Finder {
 public:
  Finder(const Program& program, const Plan& plan, Sweep* sweep) : program_(program), whole_(plan), sweep_(*sweep) {}

  bool Run() {
    if (!whole_.linear || !whole_.batches || program_.frame_row != tier0::kNoRow || !FindLine()) return false;
    Classify(false);
    if (!Expect()) return false;
    Classify(true);
    if (!KnowsWhatIsRead()) return false;
    // All that is expected must have come out as known once more.
    for (const Sweep::Expected& expected : sweep_.expected) {
      if (!predicate_once_[expected.predicate]) return false;
    }
    if (!CanAccess()) return false;
    Demote();
    return true;
  }

 private:
  // The way from the kernel's first operation to an exit that has the most operations of those that can be swept.
  bool FindLine() {
    constexpr std::int64_t kNone = -1;
    const std::size_t count = whole_.blocks.size();
    std::vector<std::int64_t> length(count + 1, kNone);
    std::vector<std::uint32_t> next(count, kNoBlock);
    for (std::size_t i = count; i-- > 0;) {
      const Block& block = whole_.blocks[i];
      const Op& last = program_.ops[block.end - 1];
      const Kind end = whole_.shapes[block.end - 1].kind;
      const bool leaves = end == Kind::kBranch || end == Kind::kExit;
      bool fits = block.reached;
      for (std::uint32_t pc = block.first; pc < block.end - (leaves ? 1 : 0); ++pc)
        fits = fits && CanSweep(program_.ops[pc], whole_.shapes[pc]);
      if (!fits || (end == Kind::kBranch && last.immediate <= block.end - 1)) continue;
      const std::int64_t own = block.end - block.first;
      const auto consider = [&](std::uint64_t pc) {
        if (pc >= program_.ops.size()) return;
        const std::uint32_t to = whole_.block_at[pc];
        if (length[to] == kNone || own + length[to] <= length[i]) return;
        length[i] = own + length[to];
        next[i] = to;
      };
      if (end == Kind::kExit && last.guard < 0) {
        length[i] = own;
        continue;
      }
      if (end == Kind::kBranch) consider(last.immediate);
      if (!leaves || last.guard >= 0) consider(block.end);
    }
    std::uint32_t at = whole_.block_at[program_.entry];
    if (length[at] == kNone || length[at] > static_cast<std::int64_t>(kOpsMax)) return false;
    Program& line = sweep_.program;
    line.kernel = program_.kernel;
    line.rows = program_.rows;
    line.predicates = program_.predicates;
    line.constants = program_.constants;
    line.specials = program_.specials;
    for (; at != kNoBlock; at = next[at]) {
      const Block& block = whole_.blocks[at];
      for (std::uint32_t pc = block.first; pc < block.end; ++pc) {
        const Op& op = program_.ops[pc];
        const Kind kind = whole_.shapes[pc].kind;
        if (kind == Kind::kNothing) continue;
        if (kind != Kind::kBranch && kind != Kind::kExit) {
          line.ops.push_back(op);
        } else if (op.guard >= 0) {
          const bool taken = kind == Kind::kBranch && next[at] == whole_.block_at[op.immediate];
          sweep_.expected.push_back({static_cast<std::uint32_t>(op.guard), taken != op.guard_negated});
        }
      }
    }
    return true;
  }

  bool IsOnce(std::uint32_t row) const { return !sweep_.plan.rows[row].assigned || row_once_[row]; }
  RowKind KindOf(std::uint32_t row) const { return sweep_.plan.rows[row].kind; }
  bool IsScalar(std::uint32_t row) const { return KindOf(row) == RowKind::kUniform || KindOf(row) == RowKind::kAffine; }

  // not.pred and mov.pred have one operand.
  std::vector<std::uint32_t> PredicatesRead(std::size_t i) const {
    const Shape& shape = sweep_.plan.shapes[i];
    std::vector<std::uint32_t> read = shape.predicate_uses;
    const Op& op = sweep_.program.ops[i];
    if (shape.kind == Kind::kPredicateLogic && op.mode >= 3) {
      read = {op.a};
      if (op.guard >= 0) read.push_back(static_cast<std::uint32_t>(op.guard));
    }
    return read;
  }

  // Ends of a block are enough to know a comparison in between: integers that count up, and an order.
  bool ComparesEnds(const Shape& shape) const {
    const bool orders = shape.comparison >= Comparison::kLt && shape.comparison <= Comparison::kGe;
    return IsInteger(shape.type) && Bits(shape.type) >= 32 && orders;
  }

  bool RunsOnce(std::size_t i, const std::vector<bool>& needed) const {
    const Shape& shape = sweep_.plan.shapes[i];
    if (sweep_.program.ops[i].guard >= 0 || shape.kind == Kind::kLoad || shape.kind == Kind::kStore) return false;
    for (const RowUse& def : shape.defs) {
      if (row_writes_[def.row] != 1 || !IsScalar(def.row)) return false;
    }
    bool counts = false;
    for (const RowUse& use : shape.uses) {
      if (!IsOnce(use.row)) return false;
      counts = counts || KindOf(use.row) == RowKind::kAffine;
    }
    for (const std::uint32_t p : PredicatesRead(i)) {
      if (!predicate_once_[p]) return false;
    }
    for (const std::uint32_t p : shape.predicate_defs) {
      if (predicate_writes_[p] != 1) return false;
    }
    if (shape.kind != Kind::kCompare || !counts) return true;
    return ComparesEnds(shape) && std::any_of(shape.predicate_defs.begin(), shape.predicate_defs.end(),
                                              [&](std::uint32_t p) { return needed[p]; });
  }

  // Predicates that something is expected of, and those they are made from.
  std::vector<bool> Needed() const {
    std::vector<bool> needed(program_.predicates, false);
    for (const Sweep::Expected& expected : sweep_.expected) needed[expected.predicate] = true;
    for (std::size_t i = sweep_.program.ops.size(); i-- > 0;) {
      const std::vector<std::uint32_t>& defs = sweep_.plan.shapes[i].predicate_defs;
      if (std::none_of(defs.begin(), defs.end(), [&](std::uint32_t p) { return needed[p]; })) continue;
      for (const std::uint32_t p : PredicatesRead(i)) needed[p] = true;
    }
    return needed;
  }

  // What is known of rows, and which operations run once. only_needed: of comparisons that must come out the same for
  // all threads, or else the block cannot be swept, only those that something is expected of.
  void Classify(bool only_needed) {
    Plan& plan = sweep_.plan;
    plan = {};
    plan.linear = true;
    for (const Op& op : sweep_.program.ops) plan.shapes.push_back(ShapeOf(sweep_.program, op));
    FindCommon(sweep_.program, &plan);
    row_writes_.assign(program_.rows, 0);
    predicate_writes_.assign(program_.predicates, 0);
    for (const Shape& shape : plan.shapes) {
      for (const RowUse& def : shape.defs) ++row_writes_[def.row];
      for (const std::uint32_t p : shape.predicate_defs) ++predicate_writes_[p];
    }
    const std::vector<bool> needed = only_needed ? Needed() : std::vector<bool>(program_.predicates, true);
    row_once_.assign(program_.rows, false);
    predicate_once_.assign(program_.predicates, false);
    sweep_.once.assign(plan.shapes.size(), false);
    for (std::size_t i = 0; i < plan.shapes.size(); ++i) {
      if (!RunsOnce(i, needed)) continue;
      sweep_.once[i] = true;
      for (const RowUse& def : plan.shapes[i].defs) row_once_[def.row] = true;
      for (const std::uint32_t p : plan.shapes[i].predicate_defs) predicate_once_[p] = true;
    }
  }

  // Takes guards that all threads have in common to hold, unless a branch says that they do not.
  bool Expect() {
    std::vector<Sweep::Expected>& expected = sweep_.expected;
    std::vector<Op> kept;
    for (Op& op : sweep_.program.ops) {
      if (op.guard < 0 || !predicate_once_[static_cast<std::size_t>(op.guard)]) {
        kept.push_back(std::move(op));
        continue;
      }
      const auto guard = static_cast<std::uint32_t>(op.guard);
      const auto known =
          std::find_if(expected.begin(), expected.end(), [&](const auto& one) { return one.predicate == guard; });
      const bool runs = known == expected.end() || known->holds != op.guard_negated;
      if (known == expected.end()) expected.push_back({guard, !op.guard_negated});
      if (!runs) continue;
      op.guard = -1;
      op.guard_negated = false;
      kept.push_back(std::move(op));
    }
    sweep_.program.ops = std::move(kept);
    return std::all_of(expected.begin(), expected.end(),
                       [&](const Sweep::Expected& one) { return predicate_once_[one.predicate]; });
  }

  // Whether the line reads nothing but what it wrote before, and what is there before a kernel begins.
  bool KnowsWhatIsRead() const {
    std::vector<bool> rows(program_.rows, false);
    std::vector<bool> predicates(program_.predicates, false);
    for (const auto& [row, value] : program_.constants) rows[row] = !sweep_.plan.rows[row].assigned;
    for (const auto& [row, special] : program_.specials) {
      const bool counts = special == Special::kTidX;
      const bool same = KindOf(row) == RowKind::kFixed || special == Special::kTidY || special == Special::kTidZ;
      rows[row] = !sweep_.plan.rows[row].assigned && (counts || same);
    }
    for (std::size_t i = 0; i < sweep_.program.ops.size(); ++i) {
      const Shape& shape = sweep_.plan.shapes[i];
      for (const RowUse& use : shape.uses) {
        if (!rows[use.row]) return false;
      }
      for (const std::uint32_t p : PredicatesRead(i)) {
        if (!predicates[p]) return false;
      }
      // What a guard leaves as it was is read, too.
      const bool guarded = sweep_.program.ops[i].guard >= 0;
      for (const RowUse& def : shape.defs) {
        if (guarded && !rows[def.row]) return false;
        rows[def.row] = true;
      }
      for (const std::uint32_t p : shape.predicate_defs) {
        if (guarded && !predicates[p]) return false;
        predicates[p] = true;
      }
    }
    return true;
  }

  // Whether the places of all accesses are known once.
  bool CanAccess() const {
    bool any = false;
    for (std::size_t i = 0; i < sweep_.program.ops.size(); ++i) {
      const Op& op = sweep_.program.ops[i];
      const bool load = sweep_.plan.shapes[i].kind == Kind::kLoad;
      if (!load && sweep_.plan.shapes[i].kind != Kind::kStore) continue;
      any = true;
      const RowFacts& address = sweep_.plan.rows[op.a];
      if (!IsOnce(op.a) || address.kind == RowKind::kVarying || address.kind == RowKind::kLanes) return false;
      const std::int64_t bytes = std::int64_t{op.bytes} * op.count;
      const std::int64_t stride = address.kind == RowKind::kAffine ? address.stride : 0;
      if (address.kind == RowKind::kAffine && address.bits != 64) return false;
      if (stride == bytes) {
        if (op.guard >= 0 && op.count != 1) return false;
      } else if (stride == 0) {
        if (!load) return false;
      } else {
        // Gathered, or scattered: no lane over another.
        if (op.count != 1 || op.bytes < 4 || stride % bytes != 0) return false;
      }
    }
    return any;
  }

  // What is not made once, and is not the same, is a vector.
  void Demote() {
    Plan& plan = sweep_.plan;
    for (bool changed = true; changed;) {
      changed = false;
      for (std::size_t i = 0; i < plan.shapes.size(); ++i) {
        if (sweep_.once[i]) continue;
        const Shape& shape = plan.shapes[i];
        const bool same = std::all_of(shape.uses.begin(), shape.uses.end(), [&](const RowUse& use) {
          return KindOf(use.row) == RowKind::kUniform || KindOf(use.row) == RowKind::kConstant ||
                 KindOf(use.row) == RowKind::kFixed;
        });
        for (const RowUse& def : shape.defs) {
          RowFacts& row = plan.rows[def.row];
          if (row.kind == RowKind::kVarying || (row.kind == RowKind::kUniform && same)) continue;
          row.kind = RowKind::kVarying;
          changed = true;
        }
      }
    }
    for (std::uint32_t i = 0; i < program_.rows; ++i) {
      RowFacts& row = plan.rows[i];
      row.any_nan = whole_.rows[i].any_nan && row.kind == RowKind::kVarying && row.assigned;
    }
    FindFlushed(sweep_.program, &plan);
  }

  const Program& program_;
  const Plan& whole_;
  Sweep& sweep_;
  std::vector<std::uint32_t> row_writes_;
  std::vector<std::uint32_t> predicate_writes_;
  std::vector<bool> row_once_;
  std::vector<bool> predicate_once_;
};

}  // namespace

bool FindSweep(const Program& program, const Plan& plan, Sweep* sweep) { return Finder(program, plan, sweep).Run(); }

}  // namespace accelmesh::tier1
