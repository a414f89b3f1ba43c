// Random programs as the differential tester sees them: a tree of statements, whose meaning the reference knows and
// whose PTX the writer makes. Nothing here knows the interpreter.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace accelmesh::differential {

enum class Class : std::uint8_t { kPredicate, k16, k32, k64 };
inline constexpr std::uint32_t kClasses = 4;
// Registers of each class that programs compute with; the writer has more of its own.
inline constexpr std::uint32_t kRegisters[kClasses] = {6, 8, 12, 8};
inline constexpr std::uint32_t kRegistersMax = 12;

struct Register {
  Class width = Class::k32;
  std::uint8_t index = 0;
  bool operator==(const Register&) const = default;
};

struct Operand {
  bool is_immediate = false;
  bool negated = false;  // !p
  Register reg;
  std::uint64_t immediate = 0;
};

enum class Space : std::uint8_t { kGlobal, kShared, kLocal };
// Bytes that each thread has for itself.
inline constexpr std::uint32_t kPrivateBytes[3] = {64, 32, 64};

// Cells that all threads of a block reduce into, in global and in shared memory; cell i only ever by operation i of
// Reductions().
inline constexpr std::uint32_t kCells = 8;

struct Statement {
  enum class What : std::uint8_t {
    kOperate,  // Operations()[index]
    kIf,       // operands[0] is the predicate; body, otherwise
    kLoop,     // body; operands[0] & 3 times, or an immediate; at_end: the test stands behind the body
    kCall,     // Program::functions[index]
    kLoad,     // Accesses()[index]
    kStore,
    kAtomic,  // Atomics()[index], on memory of the thread's own
    kReduce   // Reductions()[index]
  };
  What what = What::kOperate;
  std::uint32_t index = 0;
  std::vector<Register> results;
  std::vector<Operand> operands;
  bool guarded = false;
  Operand guard;
  // Of an access: where. operands.back() is the slot, reduced to what there is.
  Space space = Space::kGlobal;
  bool generic = false;
  bool at_end = false;
  std::vector<Statement> body;
  std::vector<Statement> otherwise;
};
using Body = std::vector<Statement>;

struct Function {
  std::vector<Register> parameters;
  Register result;
  Body body;
};

struct Program {
  std::uint64_t seed = 0;
  std::uint32_t blocks = 1;
  std::uint32_t block_x = 32;
  std::uint32_t block_y = 1;
  std::vector<Function> functions;
  Body body;
  std::uint32_t threads() const { return block_x * block_y; }
};

// What the kernel has of memory: a record of inputs for each thread of the grid, then their results, then their private
// memory, then the cells of each block, global and (copied at the end) shared.
struct Layout {
  static constexpr std::uint32_t kPredicateBits = 0;  // offsets in a record
  static constexpr std::uint32_t k32 = 8;
  static constexpr std::uint32_t k64 = k32 + 4 * kRegisters[2];
  static constexpr std::uint32_t k16 = k64 + 8 * kRegisters[3];
  static constexpr std::uint32_t kRecordBytes = k16 + 2 * kRegisters[1];
  static constexpr std::uint32_t kCellBytes = 8 * kCells;
  std::uint32_t threads = 0;  // of the grid
  std::uint32_t blocks = 0;
  explicit Layout(const Program& program) : threads(program.threads() * program.blocks), blocks(program.blocks) {}
  std::uint32_t results() const { return kRecordBytes * threads; }
  std::uint32_t scratch() const { return 2 * kRecordBytes * threads; }
  std::uint32_t cells() const { return scratch() + kPrivateBytes[0] * threads; }
  std::uint32_t shared_cells() const { return cells() + kCellBytes * blocks; }
  std::uint32_t bytes() const { return shared_cells() + kCellBytes * blocks; }
};
static_assert(Layout::kRecordBytes % 8 == 0 && Layout::k64 % 8 == 0);

// What cells in shared memory hold at first.
inline constexpr std::uint64_t kSharedCellAtFirst = 0x00ff00ff00ff00ff;
// What registers of a function hold at first, but for parameters.
inline std::uint64_t FunctionRegisterAtFirst(Register reg) {
  const std::uint64_t v = 0x3f8000003c003f80 + 0x0101010101010101 * reg.index;
  switch (reg.width) {
    case Class::kPredicate: return reg.index & 1;
    case Class::k16: return v & 0xffff;
    case Class::k32: return v >> 32;
    default: return v;
  }
}

// Which registers of a body are read or written, and how many statements it has, inner ones too.
struct Used {
  bool registers[kClasses][kRegistersMax] = {};
  std::uint32_t statements = 0;
  bool shared = false, local = false, cells = false, block = false;
};
void FindUsed(const Body& body, Used* used);

}  // namespace accelmesh::differential
