#include "tests/differential/generator.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "tests/differential/operations.h"

namespace accelmesh::differential {
namespace {

using What = Statement::What;

std::uint64_t Special(Random& random, Kind kind, Class width) {
  static constexpr std::uint64_t kInteger[] = {0,
                                               1,
                                               2,
                                               3,
                                               7,
                                               8,
                                               15,
                                               31,
                                               32,
                                               33,
                                               63,
                                               64,
                                               255,
                                               0x7f,
                                               0x80,
                                               0x7fff,
                                               0x8000,
                                               0xffff,
                                               0x7fffffff,
                                               0x80000000,
                                               0xffffffff,
                                               0xfffffffe,
                                               0x7fffffffffffffff,
                                               0x8000000000000000,
                                               0xffffffffffffffff,
                                               0xffffffff80000000};
  static constexpr std::uint32_t kF32[] = {0x00000000, 0x80000000, 0x3f800000, 0xbf800000, 0x3f000000, 0x40490fdb,
                                           0x7f800000, 0xff800000, 0x7fffffff, 0x7fc00001, 0x00000001, 0x807fffff,
                                           0x00800000, 0x7f7fffff, 0xff7fffff, 0x4b800001, 0x4f000000, 0xcf000000,
                                           0x3effffff, 0x40200000, 0xc0200000, 0x5f000000, 0x33800000, 0x477ff000};
  static constexpr std::uint64_t kF64[] = {
      0x0000000000000000, 0x8000000000000000, 0x3ff0000000000000, 0xbff0000000000000, 0x3fe0000000000000,
      0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0x0000000000000001, 0x800fffffffffffff,
      0x0010000000000000, 0x7fefffffffffffff, 0x4004000000000000, 0xc004000000000000, 0x41dfffffffc00000,
      0x43e0000000000000, 0x47efffffe0000000, 0x36a0000000000000, 0x3810000000000000, 0x40effe0000000000};
  static constexpr std::uint16_t kHalf[] = {0x0000, 0x8000, 0x3c00, 0xbc00, 0x3800, 0x7c00, 0xfc00,
                                            0x7e00, 0x0001, 0x83ff, 0x0400, 0x7bff, 0xfbff, 0x3f80,
                                            0xbf80, 0x7f80, 0xff80, 0x7fc0, 0x0080, 0x7f7f};
  const auto one_of = [&random](const auto& values) { return values[random() % std::size(values)]; };
  switch (kind) {
    case Kind::kF32: return one_of(kF32);
    case Kind::kF64: return one_of(kF64);
    case Kind::kHalf: return one_of(kHalf) | static_cast<std::uint32_t>(one_of(kHalf)) << 16;
    default: return Masked(width, one_of(kInteger));
  }
}

// A number that is not special: of a size that arithmetic keeps.
std::uint64_t Ordinary(Random& random, Kind kind, Class width) {
  const double v = static_cast<double>(static_cast<std::int64_t>(random())) * 0x1p-63;
  const int scale = static_cast<int>(random() % 24) - 8;
  switch (kind) {
    case Kind::kF32: {
      const auto f = static_cast<float>(v * static_cast<double>(1 << 8) * (scale < 0 ? 0x1p-8 : 1 << scale));
      std::uint32_t bits = 0;
      std::memcpy(&bits, &f, sizeof(bits));
      return bits;
    }
    case Kind::kF64: {
      const double d = v * (scale < 0 ? 0x1p-8 : 1 << scale);
      std::uint64_t bits = 0;
      std::memcpy(&bits, &d, sizeof(bits));
      return bits;
    }
    case Kind::kHalf: return (0x3000 + random() % 0x1800) | (random() % 2) << 15 | (0x3000 + random() % 0x1800) << 16;
    default: return Masked(width, random() >> random() % 64);
  }
}
std::uint64_t Value(Random& random, Class width, Kind kind) {
  const auto how = random() % 8;
  if (kind == Kind::kByte) return how == 0 ? 255 : random() % 70;
  if (how < 3) return Masked(width, Special(random, kind, width));
  if (how < 7) return Masked(width, Ordinary(random, kind, width));
  return Masked(width, random());
}

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {
    for (std::uint32_t i = 0; i < Operations().size(); ++i)
      families_[static_cast<std::size_t>(Operations()[i].family)].push_back(i);
  }

  Program Make(std::uint64_t seed, std::uint32_t statements_max) {
    Program program;
    program.seed = seed;
    program.blocks = 1 + Below(2);
    static constexpr std::pair<std::uint32_t, std::uint32_t> kShapes[] = {{32, 1}, {64, 1}, {8, 4}, {16, 4},
                                                                          {96, 1}, {37, 1}, {5, 9}};
    std::tie(program.block_x, program.block_y) = kShapes[Below(std::size(kShapes))];
    whole_warps_ = program.threads() % 32 == 0;
    // Some programs are about one kind of values, most about all.
    for (unsigned& weight : weights_) weight = Below(3) == 0 ? 4 : 1;
    for (std::uint32_t i = Below(3); i > 0; --i) {
      Function function;
      in_function_ = true;
      for (std::uint32_t n = Below(4); n > 0; --n) {
        const Register candidate = AnyRegister(Chance(2) ? Class::k32 : Class::k64);
        if (std::find(function.parameters.begin(), function.parameters.end(), candidate) == function.parameters.end())
          function.parameters.push_back(candidate);
      }
      function.result = AnyRegister(Chance(2) ? Class::k32 : Class::k64);
      function.body = MakeBody(2 + Below(8), 1, false);
      in_function_ = false;
      program.functions.push_back(std::move(function));
    }
    functions_ = &program.functions;
    program.body = MakeBody((statements_max + 4) / 5 + Below(std::max(1u, statements_max * 4 / 5)), 0, true);
    return program;
  }

 private:
  std::uint32_t Below(std::size_t n) { return static_cast<std::uint32_t>(random_() % n); }
  bool Chance(std::uint32_t one_in) { return Below(one_in) == 0; }
  Register AnyRegister(Class width) {
    return {width, static_cast<std::uint8_t>(Below(kRegisters[static_cast<std::size_t>(width)]))};
  }
  Operand RegisterOperand(Class width) { return {false, false, AnyRegister(width), 0}; }
  Operand Immediate(std::uint64_t value) { return {true, false, {}, value}; }

  Body MakeBody(std::uint32_t statements, int depth, bool uniform) {
    Body body;
    for (std::uint32_t i = 0; i < statements; ++i) body.push_back(MakeStatement(depth, uniform));
    return body;
  }
  Statement MakeStatement(int depth, bool uniform) {
    const std::uint32_t what = Below(100);
    if (what < 7 && depth < 3) return MakeIf(depth);
    if (what < 12 && depth < 2) return MakeLoop(depth, uniform);
    if (what < 15 && functions_ != nullptr && !functions_->empty()) return MakeCall();
    if (what < 27) return MakeAccess(what < 21 ? What::kLoad : What::kStore);
    if (what < 29 && !in_function_) return MakeAtomic();
    if (what < 32 && !in_function_) return MakeReduce();
    if (what < 40 && uniform && whole_warps_) return MakeOperation(Family::kWarp);
    if (what < 42 && uniform && whole_warps_) return MakeOperation(Family::kBlock);
    return MakeOperation(AnyFamily());
  }
  Family AnyFamily() {
    unsigned all = 0;
    for (const unsigned weight : weights_) all += weight;
    unsigned at = Below(all);
    std::size_t family = 0;
    while (at >= weights_[family]) at -= weights_[family++];
    return static_cast<Family>(family);
  }
  void MaybeGuard(Statement* statement) {
    if (!Chance(6)) return;
    statement->guarded = true;
    statement->guard = RegisterOperand(Class::kPredicate);
    statement->guard.negated = Chance(2);
  }

  Statement MakeOperation(Family family) {
    Statement s;
    const std::vector<std::uint32_t>& members = families_[static_cast<std::size_t>(family)];
    s.index = members[Below(members.size())];
    const Operation& operation = Operations()[s.index];
    for (const Source& source : operation.sources) {
      if (source.immediate && Chance(5)) {
        s.operands.push_back(Immediate(Value(random_, source.width, source.kind)));
      } else {
        s.operands.push_back(RegisterOperand(source.width));
        s.operands.back().negated =
            source.negatable && source.width == Class::kPredicate && Chance(3) && !operation.together;
      }
    }
    if (!operation.together) MaybeGuard(&s);
    const auto taken = [&](const Register& reg) {
      if (std::find(s.results.begin(), s.results.end(), reg) != s.results.end()) return true;
      if (!operation.sequential) return false;
      if (s.guarded && s.guard.reg == reg) return true;
      return std::any_of(s.operands.begin(), s.operands.end(),
                         [&reg](const Operand& o) { return !o.is_immediate && o.reg == reg; });
    };
    // Lines behind the first must still see the guard.
    const bool lines = operation.text.find('\n') != std::string::npos;
    for (const Class width : operation.results) {
      Register reg = AnyRegister(width);
      while (taken(reg) || (lines && s.guarded && s.guard.reg == reg)) reg = AnyRegister(width);
      s.results.push_back(reg);
    }
    return s;
  }
  Statement MakeIf(int depth) {
    Statement s;
    s.what = What::kIf;
    s.operands.push_back(RegisterOperand(Class::kPredicate));
    s.body = MakeBody(1 + Below(5), depth + 1, false);
    if (Chance(2)) s.otherwise = MakeBody(1 + Below(4), depth + 1, false);
    return s;
  }
  Statement MakeLoop(int depth, bool uniform) {
    Statement s;
    s.what = What::kLoop;
    const bool fixed = Chance(2);
    s.operands.push_back(fixed ? Immediate(1 + Below(3)) : RegisterOperand(Class::k32));
    s.at_end = Chance(2);
    s.body = MakeBody(1 + Below(5), depth + 1, uniform && fixed);
    return s;
  }
  Statement MakeCall() {
    Statement s;
    s.what = What::kCall;
    s.index = Below(functions_->size());
    const Function& function = (*functions_)[s.index];
    for (const Register& parameter : function.parameters) s.operands.push_back(RegisterOperand(parameter.width));
    s.results.push_back(AnyRegister(function.result.width));
    return s;
  }
  void Place(Statement* s) {
    s->space = in_function_ ? Space::kLocal : static_cast<Space>(Below(3));
    s->generic = !in_function_ && Chance(3);
    s->operands.push_back(Chance(2) ? Immediate(Below(64)) : RegisterOperand(Class::k32));
    if (!s->guarded) MaybeGuard(s);
  }
  Statement MakeAccess(What what) {
    if (in_function_) return MakeOperation(AnyFamily());
    Statement s;
    s.what = what;
    s.index = Below(Accesses().size());
    const Access& access = Accesses()[s.index];
    for (std::uint32_t i = 0; i < access.count; ++i) {
      if (what == What::kStore) {
        s.operands.push_back(RegisterOperand(access.width));
        continue;
      }
      Register reg = AnyRegister(access.width);
      while (std::find(s.results.begin(), s.results.end(), reg) != s.results.end()) reg = AnyRegister(access.width);
      s.results.push_back(reg);
    }
    Place(&s);
    return s;
  }
  Statement MakeAtomic() {
    Statement s;
    s.what = What::kAtomic;
    s.index = Below(Atomics().size());
    const Atomic& atomic = Atomics()[s.index];
    for (std::uint32_t i = 0; i < atomic.operands; ++i) s.operands.push_back(RegisterOperand(atomic.width));
    s.results.push_back(AnyRegister(atomic.width));
    Place(&s);
    if (s.space == Space::kLocal) s.space = Space::kGlobal;  // no atomics there
    return s;
  }
  Statement MakeReduce() {
    Statement s;
    s.what = What::kReduce;
    s.index = Below(kCells);
    s.operands.push_back(RegisterOperand(Reductions()[s.index].width));
    s.space = Chance(2) ? Space::kGlobal : Space::kShared;
    MaybeGuard(&s);
    return s;
  }

  Random random_;
  std::vector<std::uint32_t> families_[kFamilies];
  unsigned weights_[static_cast<std::size_t>(Family::kWarp)] = {};
  const std::vector<Function>* functions_ = nullptr;
  bool whole_warps_ = false;
  bool in_function_ = false;
};

}  // namespace

Program Generate(std::uint64_t seed, std::uint32_t statements_max) {
  return Generator(seed).Make(seed, statements_max);
}

Bytes GenerateMemory(const Program& program) {
  const Layout layout(program);
  Bytes memory(layout.bytes());
  Random random(program.seed ^ 0x9e3779b97f4a7c15);
  const auto put = [&memory](std::uint32_t at, std::uint64_t value, std::uint32_t bytes) {
    std::memcpy(memory.data() + at, &value, bytes);
  };
  for (std::uint32_t t = 0; t < layout.threads; ++t) {
    const std::uint32_t record = t * Layout::kRecordBytes;
    put(record, random(), 8);
    // Even registers tend to hold floats, odd ones integers.
    const auto kind = [](std::uint32_t i, Kind number) { return i % 2 == 0 ? number : Kind::kInteger; };
    for (std::uint32_t i = 0; i < kRegisters[1]; ++i)
      put(record + Layout::k16 + 2 * i, Value(random, Class::k16, kind(i, Kind::kHalf)), 2);
    for (std::uint32_t i = 0; i < kRegisters[2]; ++i)
      put(record + Layout::k32 + 4 * i, Value(random, Class::k32, kind(i, i % 4 == 0 ? Kind::kF32 : Kind::kHalf)), 4);
    for (std::uint32_t i = 0; i < kRegisters[3]; ++i)
      put(record + Layout::k64 + 8 * i, Value(random, Class::k64, kind(i, Kind::kF64)), 8);
  }
  for (std::uint32_t at = layout.scratch(); at < layout.shared_cells(); at += 8) put(at, random(), 8);
  return memory;
}

}  // namespace accelmesh::differential
