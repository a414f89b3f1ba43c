#include "tests/differential/reference.h"

#include <algorithm>
#include <cstring>

#include "tests/differential/operations.h"

namespace accelmesh::differential {
namespace {

using What = Statement::What;
using Frame = std::uint64_t[kClasses][kRegistersMax];
using Threads = std::vector<std::uint32_t>;

class Block {
 public:
  Block(const Program& program, std::uint32_t index, Bytes* memory, const ReferenceOptions& options)
      : program_(program),
        layout_(program),
        index_(index),
        memory_(*memory),
        options_(options),
        frames_(program.threads()),
        shared_(std::size_t{kPrivateBytes[1]} * program.threads()),
        local_(std::size_t{kPrivateBytes[2]} * program.threads()) {
    std::fill(std::begin(cells_), std::end(cells_), kSharedCellAtFirst);
    FindUsed(program.body, &used_);
  }

  void Run() {
    Threads all;
    for (std::uint32_t t = 0; t < program_.threads(); ++t) {
      all.push_back(t);
      Copy(t, true);
    }
    RunBody(program_.body, all);
    for (const std::uint32_t t : all) Copy(t, false);
    if (used_.cells)
      std::memcpy(memory_.data() + layout_.shared_cells() + Layout::kCellBytes * index_, cells_, sizeof(cells_));
  }

 private:
  struct Registers {
    Frame of = {};
  };
  // Between a thread's record and its registers; only those that the program uses are written.
  void Copy(std::uint32_t t, bool in) {
    const std::uint32_t thread = index_ * program_.threads() + t;
    std::uint8_t* record = memory_.data() + (in ? 0 : layout_.results()) + std::size_t{Layout::kRecordBytes} * thread;
    Frame& frame = frames_[t].of;
    std::uint32_t bits = 0;
    if (in) std::memcpy(&bits, record, 4);
    bool any = false;
    for (std::uint32_t c = 0; c < kClasses; ++c) {
      for (std::uint32_t i = 0; i < kRegisters[c]; ++i) {
        if (!used_.registers[c][i]) continue;
        if (c == 0) {
          any = true;
          if (in) frame[0][i] = bits >> i & 1;
          if (!in) bits |= static_cast<std::uint32_t>(frame[0][i]) << i;
          continue;
        }
        static constexpr std::uint32_t kOffsets[] = {0, Layout::k16, Layout::k32, Layout::k64};
        const std::uint32_t bytes = 1u << c;
        std::uint8_t* at = record + kOffsets[c] + bytes * i;
        if (in) {
          std::memcpy(&frame[c][i], at, bytes);
        } else {
          std::memcpy(at, &frame[c][i], bytes);
        }
      }
    }
    if (!in && any) std::memcpy(record, &bits, 4);
  }

  std::uint64_t& At(std::uint32_t t, Register reg) {
    return frames_[t].of[static_cast<std::size_t>(reg.width)][reg.index];
  }
  std::uint64_t Read(std::uint32_t t, const Operand& operand) {
    if (operand.is_immediate) return operand.immediate;
    return operand.negated ? At(t, operand.reg) ^ 1 : At(t, operand.reg);
  }

  void RunBody(const Body& body, const Threads& threads) {
    for (const Statement& s : body) {
      if (threads.empty()) return;
      RunStatement(s, threads);
    }
  }
  void RunStatement(const Statement& s, const Threads& threads) {
    if (!s.guarded) return RunUnguarded(s, threads);
    Threads chosen;
    for (const std::uint32_t t : threads) {
      if (Read(t, s.guard) != 0) chosen.push_back(t);
    }
    RunUnguarded(s, chosen);
  }
  void RunUnguarded(const Statement& s, const Threads& threads) {
    if (threads.empty()) return;
    switch (s.what) {
      case What::kOperate: RunOperation(s, threads); break;
      case What::kIf: {
        Threads then, otherwise;
        for (const std::uint32_t t : threads) (Read(t, s.operands[0]) != 0 ? then : otherwise).push_back(t);
        RunBody(s.body, then);
        RunBody(s.otherwise, otherwise);
        break;
      }
      case What::kLoop: RunLoop(s, threads); break;
      case What::kCall: RunCall(s, threads); break;
      case What::kReduce:
        for (const std::uint32_t t : threads) Reduce(s, t);
        break;
      default:
        for (const std::uint32_t t : threads) RunAccess(s, t);
        break;
    }
  }
  void RunLoop(const Statement& s, const Threads& threads) {
    std::vector<std::uint64_t> counts;
    for (const std::uint32_t t : threads) counts.push_back(Read(t, s.operands[0]) & 3);
    for (std::uint64_t turn = 0; turn < 3; ++turn) {
      Threads still;
      for (std::size_t i = 0; i < threads.size(); ++i) {
        if (counts[i] > turn) still.push_back(threads[i]);
      }
      RunBody(s.body, still);
    }
  }
  void RunOperation(const Statement& s, const Threads& threads) {
    const Operation& operation = Operations()[s.index];
    const std::uint64_t wrong = options_.wrong_operation == s.index ? 1 : 0;
    if (!operation.together) {
      for (const std::uint32_t t : threads) {
        std::uint64_t in[4] = {}, out[2] = {};
        for (std::size_t i = 0; i < s.operands.size(); ++i) in[i] = Read(t, s.operands[i]);
        operation.compute(in, out);
        out[0] ^= wrong;
        for (std::size_t i = 0; i < s.results.size(); ++i) At(t, s.results[i]) = Masked(s.results[i].width, out[i]);
      }
      return;
    }
    // All threads are here, or (what a smaller program may come to) whole warps.
    const auto group = static_cast<std::uint32_t>(operation.family == Family::kWarp ? 32 : threads.size());
    std::vector<std::uint64_t> in(4 * std::size_t{group}), out(2 * std::size_t{group});
    for (std::size_t first = 0; first + group <= threads.size(); first += group) {
      for (std::uint32_t lane = 0; lane < group; ++lane) {
        for (std::size_t i = 0; i < s.operands.size(); ++i)
          in[4 * lane + i] = Read(threads[first + lane], s.operands[i]);
      }
      operation.together(group, reinterpret_cast<const std::uint64_t(*)[4]>(in.data()),
                         reinterpret_cast<std::uint64_t(*)[2]>(out.data()));
      for (std::uint32_t lane = 0; lane < group; ++lane) {
        out[2 * lane] ^= wrong;
        for (std::size_t i = 0; i < s.results.size(); ++i)
          At(threads[first + lane], s.results[i]) = Masked(s.results[i].width, out[2 * lane + i]);
      }
    }
  }
  void RunCall(const Statement& s, const Threads& threads) {
    const Function& function = program_.functions[s.index];
    const std::vector<Registers> callers = frames_;
    for (const std::uint32_t t : threads) {
      for (std::uint32_t c = 0; c < kClasses; ++c) {
        for (std::uint32_t i = 0; i < kRegisters[c]; ++i) {
          const Register reg{static_cast<Class>(c), static_cast<std::uint8_t>(i)};
          At(t, reg) = FunctionRegisterAtFirst(reg);
        }
      }
      for (std::size_t i = 0; i < function.parameters.size(); ++i) {
        const Register from = s.operands[i].reg;
        At(t, function.parameters[i]) = callers[t].of[static_cast<std::size_t>(from.width)][from.index];
      }
    }
    RunBody(function.body, threads);
    for (const std::uint32_t t : threads) {
      const std::uint64_t result = At(t, function.result);
      frames_[t] = callers[t];
      At(t, s.results[0]) = result;
    }
  }

  std::uint8_t* Private(Space space, std::uint32_t t) {
    const std::size_t at = std::size_t{kPrivateBytes[static_cast<std::size_t>(space)]} * t;
    if (space == Space::kShared) return shared_.data() + at;
    if (space == Space::kLocal) return local_.data() + at;
    return memory_.data() + layout_.scratch() + std::size_t{kPrivateBytes[0]} * (index_ * program_.threads() + t);
  }
  std::uint8_t* Slot(const Statement& s, std::uint32_t t, std::uint32_t bytes) {
    const std::uint32_t slots = kPrivateBytes[static_cast<std::size_t>(s.space)] / bytes;
    return Private(s.space, t) + Read(t, s.operands.back()) % slots * bytes;
  }
  void RunAccess(const Statement& s, std::uint32_t t) {
    if (s.what == What::kAtomic) {
      const Atomic& atomic = Atomics()[s.index];
      const std::uint32_t bytes = atomic.width == Class::k32 ? 4 : 8;
      std::uint8_t* at = Slot(s, t, bytes);
      std::uint64_t old = 0;
      std::memcpy(&old, at, bytes);
      const std::uint64_t next =
          atomic.next(old, Read(t, s.operands[0]), atomic.operands == 2 ? Read(t, s.operands[1]) : 0);
      std::memcpy(at, &next, bytes);
      At(t, s.results[0]) = old;
      return;
    }
    const Access& access = Accesses()[s.index];
    std::uint8_t* at = Slot(s, t, access.bytes * access.count);
    for (std::uint32_t i = 0; i < access.count; ++i, at += access.bytes) {
      if (s.what == What::kStore) {
        const std::uint64_t value = Read(t, s.operands[i]);
        std::memcpy(at, &value, access.bytes);
        continue;
      }
      std::uint64_t value = 0;
      std::memcpy(&value, at, access.bytes);
      const std::uint32_t unused = 64 - 8 * access.bytes;
      if (access.is_signed) value = static_cast<std::uint64_t>(static_cast<std::int64_t>(value << unused) >> unused);
      At(t, s.results[i]) = Masked(access.width, value);
    }
  }
  void Reduce(const Statement& s, std::uint32_t t) {
    const Atomic& reduction = Reductions()[s.index];
    const std::uint32_t bytes = reduction.width == Class::k32 ? 4 : 8;
    std::uint8_t* at = s.space == Space::kShared
                           ? reinterpret_cast<std::uint8_t*>(&cells_[s.index])
                           : memory_.data() + layout_.cells() + Layout::kCellBytes * index_ + 8 * std::size_t{s.index};
    std::uint64_t old = 0;
    std::memcpy(&old, at, bytes);
    const std::uint64_t next = reduction.next(old, Read(t, s.operands[0]), 0);
    std::memcpy(at, &next, bytes);
  }

  const Program& program_;
  const Layout layout_;
  const std::uint32_t index_;
  Bytes& memory_;
  const ReferenceOptions& options_;
  std::vector<Registers> frames_;
  Used used_;
  Bytes shared_;
  Bytes local_;
  std::uint64_t cells_[kCells];
};

}  // namespace

Bytes RunReference(const Program& program, Bytes memory, const ReferenceOptions& options) {
  for (std::uint32_t b = 0; b < program.blocks; ++b) Block(program, b, &memory, options).Run();
  return memory;
}

}  // namespace accelmesh::differential
