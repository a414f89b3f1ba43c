// The inside of tier 0: decoded operations and the state of a block while it runs. Private to this folder.
#pragma once

#include <bit>
#include <cstring>

#include "server/backend/cpu/tier0/tier0.h"

namespace accelmesh::tier0 {

inline constexpr std::uint32_t kLanes = 32;
inline constexpr std::uint32_t kAllLanes = 0xffffffffu;

struct Warp;
struct Op;
using Handler = void (*)(Warp& warp, const Op& op, std::uint32_t mask);

enum class Control : std::uint8_t { kNone, kBranch, kBranchIndexed, kExit, kBarrier, kWarpBarrier, kYield };

// One decoded instruction. Operands are rows of the warp's register file (immediates and special registers have rows of
// their own), predicates rows of its predicate file.
struct Op {
  Handler handler = nullptr;
  std::uint32_t d = 0, a = 0, b = 0, c = 0;
  std::int32_t guard = -1;
  bool guard_negated = false;
  Control control = Control::kNone;
  bool saturate = false;
  std::uint32_t mxcsr = 0;      // 0: as it is; else rounding and flush bits while the handler runs
  std::uint64_t immediate = 0;  // offset of an address; table of lop3; target of a branch
  std::int32_t predicate = -1;  // second destination or source predicate
  bool predicate_negated = false;
  std::uint8_t mode = 0;   // meaning belongs to the handler
  std::uint8_t bytes = 0;  // of a memory access element
  std::uint8_t count = 1;  // elements of a vector access
  ptx::Space space = ptx::Space::kGlobal;
  bool generic = false;
  std::uint32_t rows[8] = {};  // registers of a vector access
  std::vector<std::uint32_t> targets;
  const ptx::Instruction* source = nullptr;
};

enum class Special : std::uint8_t {
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kLaneid,
  kWarpid,
  kNwarpid,
  kMaskEq,
  kMaskLt,
  kMaskLe,
  kMaskGt,
  kMaskGe,
  kSmid,
  kNsmid,
  kGridid,
  kDynamicShared,
  kTotalShared,
  kClock
};

struct Program {
  const ptx::Kernel* kernel = nullptr;
  std::vector<Op> ops;
  std::uint32_t rows = 0;  // registers, then constants, then specials
  std::uint32_t predicates = 0;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> constants;  // row, value
  std::vector<std::pair<std::uint32_t, Special>> specials;
  std::uint32_t first_constant = 0;
};

struct Row {
  alignas(64) std::uint64_t lane[kLanes];
};

// Lanes of a warp that are at the same pc.
struct Group {
  std::uint32_t pc = 0;
  std::uint32_t mask = 0;
  enum class State : std::uint8_t { kReady, kAtBarrier, kAtWarpBarrier } state = State::kReady;
  std::uint32_t barrier = 0;
};

struct Warp {
  Row* r = nullptr;
  std::uint32_t* p = nullptr;
  BlockContext::State* block = nullptr;
  std::uint8_t* local = nullptr;  // lane l's local memory: local + l * local_stride
  std::uint32_t local_stride = 0;
  std::uint32_t index = 0;
  std::uint32_t alive = 0;
  std::vector<Group> groups;
  bool faulted = false;
};

struct Barrier {
  std::uint32_t arrived = 0;   // lanes
  std::uint32_t expected = 0;  // 0: all threads of the block
  std::uint32_t votes = 0;     // lanes whose predicate held
};

}  // namespace accelmesh::tier0

namespace accelmesh {
struct tier0::BlockContext::State {
  std::vector<Row> rows;
  std::vector<std::uint32_t> predicates;
  std::vector<std::uint8_t> shared;
  std::vector<std::uint8_t> local;
  std::vector<Warp> warps;
  Barrier barriers[16];
  const GridLaunch* launch = nullptr;
  const Program* program = nullptr;
  const Program* constants_for = nullptr;  // whose constants the rows hold
  std::size_t constants_rows = 0;
  std::uint32_t shared_bytes = 0;
  std::uint32_t threads = 0;
  std::uint32_t alive_lanes = 0;
  std::uint64_t block_index = 0;
  Dim3 block_id;
  std::optional<Fault> fault;
};
}  // namespace accelmesh

namespace accelmesh::tier0 {

// Records the block's first fault.
void RaiseFault(Warp& warp, const Op& op, std::uint32_t lane, DeviceStatus status, std::string_view what);

template <typename T>
inline T Get(std::uint64_t v) {
  if constexpr (std::is_same_v<T, float>) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(v));
  } else if constexpr (std::is_same_v<T, double>) {
    return std::bit_cast<double>(v);
  } else {
    return static_cast<T>(v);
  }
}
template <typename T>
inline std::uint64_t Put(T v) {
  if constexpr (std::is_same_v<T, float>) {
    return std::bit_cast<std::uint32_t>(v);
  } else if constexpr (std::is_same_v<T, double>) {
    return std::bit_cast<std::uint64_t>(v);
  } else {
    return static_cast<std::make_unsigned_t<T>>(v);
  }
}

// Runs `body(lane)` for the lanes of the mask; the full mask is a counted loop that the compiler vectorises.
template <typename Body>
inline __attribute__((always_inline)) void ForLanes(std::uint32_t mask, Body body) {
  if (mask == kAllLanes) {
    for (std::uint32_t l = 0; l < kLanes; ++l) body(l);
  } else {
    for (std::uint32_t m = mask; m != 0; m &= m - 1) body(static_cast<std::uint32_t>(std::countr_zero(m)));
  }
}

// What a row of the opcode table does with the instruction: fills the op (handler and operands).
class Decoder;
using DecodeRule = Status (*)(Decoder& decoder, const ptx::Instruction& from, Op& op);
DecodeRule FindRule(std::string_view opcode);
// By folder file: arithmetic.cpp, memory.cpp, lanes.cpp.
DecodeRule FindArithmeticRule(std::string_view opcode);
DecodeRule FindMemoryRule(std::string_view opcode);
DecodeRule FindLaneRule(std::string_view opcode);

class Decoder {
 public:
  Decoder(const ptx::Module& module, const ptx::Kernel& kernel, const SymbolLookup& symbols, Program* program)
      : module_(module), kernel_(kernel), symbols_(symbols), program_(program) {}
  Status Run();

  // The row of a source operand; immediates, symbols and special registers get rows of their own.
  Result<std::uint32_t> Source(const ptx::Operand& operand);
  Result<std::uint32_t> Destination(const ptx::Operand& operand);
  Result<std::uint32_t> Predicate(const ptx::Operand& operand);
  std::uint32_t Constant(std::uint64_t value);
  // d, a, b, c from the first `count` operands.
  Status Rows(const ptx::Instruction& from, Op& op, std::size_t count);
  Status Refuse(const ptx::Instruction& from, const char* why) const;
  // Whether an opcode has the modifier; the last part is usually the type.
  static bool Has(const ptx::Instruction& from, std::string_view modifier);
  static ptx::Type LastType(const ptx::Instruction& from);
  Result<std::uint64_t> SymbolValue(std::string_view name, ptx::Space* space);
  Result<std::uint32_t> Label(const ptx::Operand& operand) const;
  const ptx::Kernel& kernel() const { return kernel_; }

 private:
  Status DecodeOne(const ptx::Instruction& from, Op& op);
  std::uint32_t SpecialRow(Special special);

  const ptx::Module& module_;
  const ptx::Kernel& kernel_;
  const SymbolLookup& symbols_;
  Program* program_;
  std::unordered_map<std::uint64_t, std::uint32_t> constants_;
  std::unordered_map<int, std::uint32_t> special_rows_;
};

}  // namespace accelmesh::tier0
