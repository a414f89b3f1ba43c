#include "server/backend/cpu/tier1/analysis.h"

#include <algorithm>

namespace accelmesh::tier1 {
namespace {

using tier0::Control;
using tier0::Op;
using tier0::Program;

// Compile time grows with these; what is larger stays on tier 0.
constexpr std::size_t kOpsMax = 600;
constexpr std::size_t kLiveBitsMax = 200'000'000;  // rows times blocks

bool EndsBlock(const Op& op) { return op.control != Control::kNone && op.control != Control::kLaneSync; }

void FindBlocks(const Program& program, Plan* plan) {
  const std::size_t count = program.ops.size();
  std::vector<bool> begins(count + 1, false);
  begins[0] = begins[program.entry] = true;
  for (std::size_t pc = 0; pc < count; ++pc) {
    const Op& op = program.ops[pc];
    switch (op.control) {
      case Control::kBranch:
      case Control::kCall: begins[op.immediate] = true; break;
      case Control::kBranchIndexed:
        for (const std::uint32_t target : op.targets) begins[target] = true;
        break;
      default: break;
    }
    // Lanes wait at operations between lanes, and go on behind them one group after the other.
    if (EndsBlock(op) || op.control == Control::kLaneSync) begins[pc + 1] = true;
  }
  for (const tier0::Entry& entry : program.entries) {
    if (entry.pc < count) begins[entry.pc] = true;
  }
  plan->block_at.assign(count + 1, kNoBlock);
  for (std::size_t pc = 0; pc < count; ++pc) {
    if (begins[pc]) {
      plan->block_at[pc] = static_cast<std::uint32_t>(plan->blocks.size());
      plan->blocks.emplace_back();
      plan->blocks.back().first = static_cast<std::uint32_t>(pc);
    }
    plan->blocks.back().end = static_cast<std::uint32_t>(pc + 1);
  }
}

void FindSuccessors(const Program& program, Plan* plan) {
  for (Block& block : plan->blocks) {
    const Op& last = program.ops[block.end - 1];
    const auto add = [&](std::uint64_t pc) {
      if (pc < program.ops.size()) block.successors.push_back(plan->block_at[pc]);
    };
    bool falls = true;
    switch (last.control) {
      case Control::kBranch:
        add(last.immediate);
        falls = last.guard >= 0;
        break;
      case Control::kBranchIndexed:
        for (const std::uint32_t target : last.targets) add(target);
        break;
      case Control::kCall: add(last.immediate); break;
      case Control::kExit:
      case Control::kReturn: falls = last.guard >= 0; break;
      default: break;
    }
    if (falls) add(block.end);
  }
  std::vector<std::uint32_t> waiting{plan->block_at[program.entry]};
  for (const tier0::Entry& entry : program.entries) {
    if (entry.pc < program.ops.size()) waiting.push_back(plan->block_at[entry.pc]);
  }
  while (!waiting.empty()) {
    Block& block = plan->blocks[waiting.back()];
    waiting.pop_back();
    if (block.reached) continue;
    block.reached = true;
    waiting.insert(waiting.end(), block.successors.begin(), block.successors.end());
  }
}

void Backwards(const Op& op, const Shape& shape, Live* live) {
  if (op.guard < 0) {
    for (const RowUse& def : shape.defs) live->rows.Remove(def.row);
    for (const std::uint32_t p : shape.predicate_defs) live->predicates.Remove(p);
  }
  for (const RowUse& use : shape.uses) live->rows.Add(use.row);
  for (const std::uint32_t p : shape.predicate_uses) live->predicates.Add(p);
  if (shape.everything) {
    live->rows.AddAll();
    live->predicates.AddAll();
  }
}

void FindLive(const Program& program, Plan* plan) {
  for (Block& block : plan->blocks) {
    block.in = {Bits64(program.rows), Bits64(program.predicates)};
    block.out = block.in;
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = plan->blocks.size(); i-- > 0;) {
      Block& block = plan->blocks[i];
      for (const std::uint32_t next : block.successors) {
        block.out.rows.AddAll(plan->blocks[next].in.rows);
        block.out.predicates.AddAll(plan->blocks[next].in.predicates);
      }
      const Live in = LiveBefore(program, *plan, block, block.first);
      const bool rows = block.in.rows.AddAll(in.rows);
      const bool predicates = block.in.predicates.AddAll(in.predicates);
      changed = changed || rows || predicates;
    }
  }
}

void FindRows(const Program& program, Plan* plan) {
  plan->rows.assign(program.rows, {});
  plan->predicates_assigned.assign(program.predicates, false);
  std::vector<std::uint32_t> definitions(program.rows, 0);
  std::vector<std::uint32_t> definition(program.rows, 0);
  for (std::uint32_t pc = 0; pc < plan->shapes.size(); ++pc) {
    const Shape& shape = plan->shapes[pc];
    for (const RowUse& use : shape.uses) {
      if (use.bits > 32) plan->rows[use.row].bits = 64;
    }
    for (const RowUse& def : shape.defs) {
      RowFacts& row = plan->rows[def.row];
      if (def.bits > 32) row.bits = 64;
      row.assigned = true;
      ++definitions[def.row];
      definition[def.row] = pc;
    }
    for (const std::uint32_t p : shape.predicate_defs) plan->predicates_assigned[p] = true;
  }
  for (const auto& [row, value] : program.constants) {
    if (plan->rows[row].assigned) continue;  // a guess about some operation's rows
    plan->rows[row].constant = value;
    // What may be an address is not in the code, which other processes use, too.
    const bool address = value >> 32 != 0 && value >> 47 == 0;
    plan->rows[row].kind = address ? RowKind::kFixed : RowKind::kConstant;
  }
  for (const auto& [row, special] : program.specials) {
    if (plan->rows[row].assigned) continue;
    const bool lanes = special <= tier0::Special::kTidZ || special == tier0::Special::kLaneid ||
                       (special >= tier0::Special::kMaskEq && special <= tier0::Special::kMaskGe);
    plan->rows[row].kind = lanes ? RowKind::kLanes : RowKind::kFixed;
  }
  // A row with one definition, which makes the same of the same, is uniform if its operands are.
  for (bool changed = true; changed;) {
    changed = false;
    for (std::uint32_t i = 0; i < program.rows; ++i) {
      RowFacts& row = plan->rows[i];
      if (row.kind != RowKind::kVarying || definitions[i] != 1) continue;
      const Shape& shape = plan->shapes[definition[i]];
      if (!shape.pure || program.ops[definition[i]].guard >= 0) continue;
      const bool uniform = std::all_of(shape.uses.begin(), shape.uses.end(), [&](const RowUse& use) {
        const RowKind kind = plan->rows[use.row].kind;
        return kind == RowKind::kUniform || kind == RowKind::kConstant || kind == RowKind::kFixed;
      });
      if (!uniform) continue;
      row.kind = RowKind::kUniform;
      changed = true;
    }
  }
}

void FindDirty(const Program& program, Plan* plan) {
  for (Block& block : plan->blocks) block.dirty = {Bits64(program.rows), Bits64(program.predicates)};
  for (bool changed = true; changed;) {
    changed = false;
    for (const Block& block : plan->blocks) {
      if (!block.reached) continue;
      const Live out = DirtyBefore(*plan, block, block.end);
      for (const std::uint32_t next : block.successors) {
        const bool rows = plan->blocks[next].dirty.rows.AddAll(out.rows);
        const bool predicates = plan->blocks[next].dirty.predicates.AddAll(out.predicates);
        changed = changed || rows || predicates;
      }
    }
  }
}

bool IsNan(std::uint64_t bits) { return (bits & 0x7fffffffu) > 0x7f800000u; }

void FindNans(const Program& program, Plan* plan) {
  for (RowFacts& row : plan->rows) row.any_nan = row.assigned && row.kind == RowKind::kVarying;
  for (bool changed = true; changed;) {
    changed = false;
    for (std::uint32_t pc = 0; pc < plan->shapes.size(); ++pc) {
      const Shape& shape = plan->shapes[pc];
      for (const RowUse& def : shape.defs) {
        RowFacts& row = plan->rows[def.row];
        if (!row.any_nan) continue;
        const bool arithmetic = shape.type == ptx::Type::kF32 && shape.kind >= Kind::kAdd && shape.kind <= Kind::kRcp;
        bool keeps = arithmetic;
        if (shape.kind == Kind::kMove && shape.type == ptx::Type::kF32) {
          const RowFacts& source = plan->rows[program.ops[pc].a];
          keeps = source.any_nan || (source.kind == RowKind::kConstant && !IsNan(source.constant));
        }
        if (keeps && row.bits == 32) continue;
        row.any_nan = false;
        changed = true;
      }
    }
  }
}

}  // namespace

Live DirtyBefore(const Plan& plan, const Block& block, std::uint32_t pc) {
  Live dirty = block.dirty;
  for (std::uint32_t i = block.first; i < pc; ++i) {
    const Shape& shape = plan.shapes[i];
    // What handlers and tier 0 write is in the files.
    if (shape.kind == Kind::kCalled || shape.kind == Kind::kControl) continue;
    for (const RowUse& def : shape.defs) dirty.rows.Add(def.row);
    for (const std::uint32_t p : shape.predicate_defs) dirty.predicates.Add(p);
  }
  return dirty;
}

Live LiveBefore(const Program& program, const Plan& plan, const Block& block, std::uint32_t pc) {
  Live live = block.out;
  for (std::uint32_t i = block.end; i-- > pc;) Backwards(program.ops[i], plan.shapes[i], &live);
  return live;
}

bool MakePlan(const Program& program, Plan* plan, std::string* why) {
  if (program.ops.empty() || program.ops.size() > kOpsMax) {
    *why = "it has " + std::to_string(program.ops.size()) + " operations";
    return false;
  }
  for (const Op& op : program.ops) plan->shapes.push_back(ShapeOf(program, op));
  FindBlocks(program, plan);
  if (plan->blocks.size() * (program.rows + program.predicates) > kLiveBitsMax) {
    *why = "its flow is too intricate";
    return false;
  }
  FindSuccessors(program, plan);
  FindLive(program, plan);
  FindRows(program, plan);
  FindDirty(program, plan);
  FindNans(program, plan);
  return true;
}

}  // namespace accelmesh::tier1
