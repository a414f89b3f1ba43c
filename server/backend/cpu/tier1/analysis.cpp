#include "server/backend/cpu/tier1/analysis.h"

#include <algorithm>

namespace accelmesh::tier1 {
namespace {

using tier0::Control;
using tier0::Op;
using tier0::Program;

// Compile time grows with these; what is larger stays on tier 0.
constexpr std::size_t kOpsMax = 2000;
constexpr std::size_t kMovesMax = 4000;
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

// Compiled code knows one barrier of the block: where there are more, all are tier 0's.
void FindBarrier(const Program& program, Plan* plan) {
  bool simple = true;
  for (std::size_t pc = 0; pc < program.ops.size(); ++pc) {
    const Op& op = program.ops[pc];
    if (op.control != Control::kBarrier) continue;
    std::uint64_t id = kNoBarrier;
    for (const auto& [row, value] : program.constants) {
      if (row == op.a) id = value & 15;
    }
    if (plan->barrier == kNoBarrier) plan->barrier = static_cast<std::uint32_t>(id);
    simple = simple && plan->shapes[pc].kind == Kind::kBarrier && id == plan->barrier;
  }
  if (simple) return;
  plan->barrier = kNoBarrier;
  for (Shape& shape : plan->shapes) {
    if (shape.kind == Kind::kBarrier) shape.kind = Kind::kControl;
  }
}

void FindLimits(const Program& program, Plan* plan) {
  for (std::uint32_t i = 0; i < plan->blocks.size(); ++i) {
    for (const std::uint32_t next : plan->blocks[i].successors) plan->loops = plan->loops || next <= i;
  }
  for (std::size_t pc = 0; pc < plan->shapes.size(); ++pc) {
    if (plan->shapes[pc].kind != Kind::kLoadParameter) continue;
    const Op& op = program.ops[pc];
    std::uint64_t end = op.immediate + std::uint64_t{op.bytes} * op.count;
    for (const auto& [row, value] : program.constants) end += row == op.a ? value : 0;
    plan->argument_bytes = std::max(plan->argument_bytes, end);
  }
}

// Whether no block can wait for another one, or know that it has a thread to itself.
bool Batches(const Program& program) {
  if (program.frame_row != tier0::kNoRow || program.stack_row != tier0::kNoRow) return false;
  for (const auto& [row, special] : program.specials) {
    if (special > tier0::Special::kWorkspaceHigh) return false;  // of clusters
  }
  return std::none_of(program.ops.begin(), program.ops.end(), [](const Op& op) {
    static constexpr std::string_view kWords = " atom volatile relaxed acquire release mmio nanosleep ";
    return std::any_of(op.source->opcode.begin(), op.source->opcode.end(), [](std::string_view part) {
      return kWords.find(" " + std::string(part) + " ") != std::string_view::npos;
    });
  });
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

// Loops are taken to lie between their first block and the last that jumps back to it.
void FindEarly(const Program& program, Plan* plan) {
  for (std::uint32_t first = 0; first < plan->blocks.size(); ++first) {
    std::uint32_t last = first;
    bool loops = false;
    for (std::uint32_t i = first; i < plan->blocks.size(); ++i) {
      const std::vector<std::uint32_t>& next = plan->blocks[i].successors;
      if (!plan->blocks[i].reached || std::find(next.begin(), next.end(), first) == next.end()) continue;
      loops = true;
      last = i;
    }
    bool barrier = false;
    Live early = plan->blocks[first].in;
    for (std::uint32_t i = first; i <= last; ++i) {
      barrier = barrier || plan->shapes[plan->blocks[i].end - 1].kind == Kind::kBarrier;
      for (std::uint32_t pc = plan->blocks[i].first; pc < plan->blocks[i].end; ++pc) {
        for (const RowUse& def : plan->shapes[pc].defs) early.rows.Remove(def.row);
        for (const std::uint32_t p : plan->shapes[pc].predicate_defs) early.predicates.Remove(p);
      }
    }
    if (!loops || !barrier) continue;
    for (std::uint32_t i = 0; i < first; ++i) {
      // Not where lanes may wait for their way there.
      const std::vector<std::uint32_t>& next = plan->blocks[i].successors;
      if (plan->blocks[i].parts || std::find(next.begin(), next.end(), first) == next.end()) continue;
      const tier0::Op& end = program.ops[plan->blocks[i].end - 1];
      if (end.control == Control::kNone || end.control == Control::kBranch) plan->blocks[i].early[first] = early;
    }
  }
}

void FindDirty(const Program& program, Plan* plan) {
  for (Block& block : plan->blocks) block.dirty = {Bits64(program.rows), Bits64(program.predicates)};
  for (bool changed = true; changed;) {
    changed = false;
    for (const Block& block : plan->blocks) {
      if (!block.reached) continue;
      // Behind these, lanes find everything in the files.
      const Kind last = plan->shapes[block.end - 1].kind;
      if (last == Kind::kControl || last == Kind::kBarrier) continue;
      const Live out = DirtyBefore(*plan, block, block.end);
      for (const std::uint32_t next : block.successors) {
        Live left = out;
        if (const auto early = block.early.find(next); early != block.early.end()) {
          left.rows.RemoveAll(early->second.rows);
          left.predicates.RemoveAll(early->second.predicates);
        }
        const bool rows = plan->blocks[next].dirty.rows.AddAll(left.rows);
        const bool predicates = plan->blocks[next].dirty.predicates.AddAll(left.predicates);
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

// About how many moves between the files and registers the code has: where tier 0 comes and goes. A store counts as
// much as some loads.
std::size_t CountMoves(const Program& program, const Plan& plan) {
  constexpr std::size_t kStore = 4;
  std::size_t moves = 0;
  const auto stores = [&](const Live& live, const Live& dirty) {
    for (std::uint32_t row = 0; row < program.rows; ++row)
      moves += live.rows.Has(row) && dirty.rows.Has(row) ? kStore : 0;
  };
  for (const Block& block : plan.blocks) {
    if (!block.reached) continue;
    for (std::uint32_t row = 0; row < program.rows; ++row) moves += block.in.rows.Has(row) ? 1 : 0;
    stores(block.in, block.dirty);
    for (std::uint32_t pc = block.first; pc < block.end; ++pc) {
      const Kind kind = plan.shapes[pc].kind;
      const bool leaves = kind == Kind::kControl || kind == Kind::kExit || kind == Kind::kBarrier ||
                          plan.shapes[pc].lane_sync || (kind == Kind::kBranch && block.parts);
      if (leaves) stores(LiveBefore(program, plan, block, pc), DirtyBefore(plan, block, pc));
    }
  }
  return moves;
}

bool IsDenormal(std::uint64_t bits) { return (bits & 0x7f800000u) == 0 && (bits & 0x007fffffu) != 0; }

}  // namespace

void FindFlushed(const Program& program, Plan* plan) {
  for (RowFacts& row : plan->rows)
    row.flushed = row.assigned || (row.kind == RowKind::kConstant && !IsDenormal(row.constant));
  for (bool changed = true; changed;) {
    changed = false;
    for (std::uint32_t pc = 0; pc < plan->shapes.size(); ++pc) {
      const Shape& shape = plan->shapes[pc];
      const Op& op = program.ops[pc];
      bool flushes =
          shape.type == ptx::Type::kF32 && shape.flush && shape.kind >= Kind::kAdd && shape.kind <= Kind::kRcp;
      if (shape.kind == Kind::kMove && Bits(shape.type) == 32) flushes = plan->rows[op.a].flushed;
      if (shape.kind == Kind::kSelect && Bits(shape.type) == 32)
        flushes = plan->rows[op.a].flushed && plan->rows[op.b].flushed;
      for (const RowUse& def : shape.defs) {
        if (flushes || !plan->rows[def.row].flushed) continue;
        plan->rows[def.row].flushed = false;
        changed = true;
      }
    }
  }
}

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

const Block& BlockOf(const Plan& plan, std::uint32_t pc) {
  while (plan.block_at[pc] == kNoBlock) --pc;
  return plan.blocks[plan.block_at[pc]];
}

bool MakePlan(const Program& program, bool linear, Plan* plan, std::string* why) {
  if (program.ops.empty() || program.ops.size() > kOpsMax) {
    *why = "it has " + std::to_string(program.ops.size()) + " operations";
    return false;
  }
  plan->linear = linear;
  for (const Op& op : program.ops) plan->shapes.push_back(ShapeOf(program, op));
  FindBarrier(program, plan);
  plan->batches = Batches(program);
  FindBlocks(program, plan);
  if (plan->blocks.size() * (program.rows + program.predicates) > kLiveBitsMax) {
    *why = "its flow is too intricate";
    return false;
  }
  FindSuccessors(program, plan);
  FindLimits(program, plan);
  FindLive(program, plan);
  FindCommon(program, plan);
  FindEarly(program, plan);
  FindDirty(program, plan);
  FindNans(program, plan);
  FindFlushed(program, plan);
  if (CountMoves(program, *plan) > kMovesMax) {
    *why = "its " + std::to_string(program.ops.size()) + " operations keep too much";
    return false;
  }
  return true;
}

}  // namespace accelmesh::tier1
