#include "tests/differential/writer.h"

#include <bit>
#include <cstdio>

#include "tests/differential/operations.h"

namespace accelmesh::differential {
namespace {

using What = Statement::What;
constexpr const char* kPrefixes[kClasses] = {"%p", "%h", "%r", "%d"};
constexpr std::uint32_t kClassBits[kClasses] = {1, 16, 32, 64};

std::string Hex(std::uint64_t v, const char* prefix = "0x", int digits = 1) {
  char text[32];
  std::snprintf(text, sizeof(text), "%s%0*llx", prefix, digits, static_cast<unsigned long long>(v));
  return text;
}
std::string Of(Register reg) { return kPrefixes[static_cast<std::size_t>(reg.width)] + std::to_string(reg.index); }
std::string Of(const Operand& operand, Kind kind = Kind::kInteger) {
  if (!operand.is_immediate) return (operand.negated ? "!" : "") + Of(operand.reg);
  if (kind == Kind::kF32) return Hex(operand.immediate, "0f", 8);
  if (kind == Kind::kF64) return Hex(operand.immediate, "0d", 16);
  return Hex(operand.immediate);
}
std::string Bits(Class width) { return ".b" + std::to_string(kClassBits[static_cast<std::size_t>(width)]); }

class Writer {
 public:
  explicit Writer(const Program& program) : program_(program), layout_(program) {}

  std::string Write() {
    text_ = ".version 8.0\n.target sm_80\n.address_size 64\n";
    for (std::size_t i = 0; i < program_.functions.size(); ++i) WriteFunction(i);
    WriteKernel();
    return text_;
  }

 private:
  void Line(const std::string& line) { text_ += "  " + line + ";\n"; }
  void Label(const std::string& label) { text_ += label + ":\n"; }
  std::string NewLabel() { return "L" + std::to_string(labels_++); }

  void Declare() {
    for (std::size_t i = 0; i < kClasses; ++i) {
      const std::string type = i == 0 ? ".pred" : Bits(static_cast<Class>(i));
      Line(".reg " + type + " " + kPrefixes[i] + "<" + std::to_string(kRegisters[i]) + ">");
    }
    Line(".reg .pred %q<3>");
    Line(".reg .b16 %s<2>");
    Line(".reg .b32 %t<4>, %c<4>, %x<4>");
    Line(".reg .b64 %e<4>, %a<8>");
  }
  template <typename F>
  void ForUsed(const Used& used, F f) {
    for (std::uint8_t c = 0; c < kClasses; ++c) {
      for (std::uint8_t i = 0; i < kRegisters[c]; ++i) {
        if (used.registers[c][i]) f(Register{static_cast<Class>(c), i});
      }
    }
  }

  void WriteFunction(std::size_t index) {
    const Function& function = program_.functions[index];
    text_ += ".func (.param " + Bits(function.result.width) + " out) f" + std::to_string(index) + "(";
    for (std::size_t i = 0; i < function.parameters.size(); ++i)
      text_ += (i > 0 ? ", " : "") + (".param " + Bits(function.parameters[i].width)) + " in" + std::to_string(i);
    text_ += ")\n{\n";
    Declare();
    Used used;
    FindUsed(function.body, &used);
    used.registers[static_cast<std::size_t>(function.result.width)][function.result.index] = true;
    ForUsed(used, [this](Register reg) {
      const std::uint64_t first = FunctionRegisterAtFirst(reg);
      Line(reg.width == Class::kPredicate ? "setp.eq.u32 " + Of(reg) + ", " + std::to_string(first) + ", 1"
                                          : "mov" + Bits(reg.width) + " " + Of(reg) + ", " + Hex(first));
    });
    for (std::size_t i = 0; i < function.parameters.size(); ++i)
      Line("ld.param" + Bits(function.parameters[i].width) + " " + Of(function.parameters[i]) + ", [in" +
           std::to_string(i) + "]");
    WriteBody(function.body, 0);
    Line("st.param" + Bits(function.result.width) + " [out], " + Of(function.result));
    Line("ret");
    text_ += "}\n";
  }

  void WriteKernel() {
    Used used;
    FindUsed(program_.body, &used);
    const std::string threads = std::to_string(program_.threads());
    text_ += ".visible .entry k(.param .u64 memory)\n{\n";
    Declare();
    if (used.shared || used.cells || used.block)
      Line(".shared .align 16 .b8 sm[" +
           std::to_string((kPrivateBytes[1] + 8) * program_.threads() + Layout::kCellBytes) + "]");
    if (used.local) Line(".local .align 16 .b8 lm[" + std::to_string(kPrivateBytes[2]) + "]");
    // %x2: the thread in its block; %t0: in the grid. %a0: its record; %a1, %a2, %a3: private memory, generic
    // addresses; %a4: the block's cells; %x3: shared private memory.
    Line("mov.u32 %t1, %tid.y");
    Line("mov.u32 %t2, %ntid.x");
    Line("mov.u32 %t3, %tid.x");
    Line("mad.lo.u32 %x2, %t1, %t2, %t3");
    Line("mov.u32 %t1, %ctaid.x");
    Line("mad.lo.u32 %t0, %t1, " + threads + ", %x2");
    Line("ld.param.u64 %e0, [memory]");
    Line("cvta.to.global.u64 %e0, %e0");
    Line("mad.wide.u32 %a0, %t0, " + std::to_string(Layout::kRecordBytes) + ", %e0");
    Line("mad.wide.u32 %a1, %t0, " + std::to_string(kPrivateBytes[0]) + ", %e0");
    Line("add.s64 %a1, %a1, " + std::to_string(layout_.scratch()));
    Line("mad.wide.u32 %a4, %t1, " + std::to_string(Layout::kCellBytes) + ", %e0");
    Line("add.s64 %a4, %a4, " + std::to_string(layout_.cells()));
    if (used.shared || used.cells || used.block) WriteSharedPrologue(used);
    if (used.local) {
      Line("mov.u64 %e1, lm");
      Line("cvta.local.u64 %a3, %e1");
      Line("mov.b64 %e2, 0");
      for (std::uint32_t at = 0; at < kPrivateBytes[2]; at += 8)
        Line("st.local.b64 [lm+" + std::to_string(at) + "], %e2");
    }
    if (AnyPredicate(used)) Line("ld.global.b32 %t3, [%a0]");
    ForUsed(used, [this](Register reg) {
      if (reg.width == Class::kPredicate) {
        Line("and.b32 %t2, %t3, " + std::to_string(1u << reg.index));
        Line("setp.ne.u32 " + Of(reg) + ", %t2, 0");
      } else {
        Line("ld.global" + Bits(reg.width) + " " + Of(reg) + ", [%a0+" + std::to_string(OffsetOf(reg)) + "]");
      }
    });
    WriteBody(program_.body, 0);
    WriteResults(used);
    Line("ret");
    text_ += "}\n";
  }
  static bool AnyPredicate(const Used& used) {
    for (const bool is_used : used.registers[0]) {
      if (is_used) return true;
    }
    return false;
  }
  static std::uint32_t OffsetOf(Register reg) {
    switch (reg.width) {
      case Class::k16: return Layout::k16 + 2u * reg.index;
      case Class::k32: return Layout::k32 + 4u * reg.index;
      default: return Layout::k64 + 8u * reg.index;
    }
  }
  // Shared memory: private parts, slots of 8 bytes for exchange, cells.
  std::uint32_t slots() const { return kPrivateBytes[1] * program_.threads(); }
  std::uint32_t shared_cells() const { return slots() + 8 * program_.threads(); }
  void WriteSharedPrologue(const Used& used) {
    Line("mov.u32 %t1, sm");
    Line("mad.lo.u32 %x3, %x2, " + std::to_string(kPrivateBytes[1]) + ", %t1");
    Line("cvt.u64.u32 %e1, %x3");
    Line("cvta.shared.u64 %a2, %e1");
    Line("mad.lo.u32 %x0, %x2, 8, %t1");
    Line("add.u32 %x0, %x0, " + std::to_string(slots()));
    Line("sub.u32 %t2, " + std::to_string(program_.threads() - 1) + ", %x2");
    Line("mad.lo.u32 %x1, %t2, 8, %t1");
    Line("add.u32 %x1, %x1, " + std::to_string(slots()));
    if (used.shared) {
      Line("mov.b64 %e2, 0");
      for (std::uint32_t at = 0; at < kPrivateBytes[1]; at += 8)
        Line("st.shared.b64 [%x3+" + std::to_string(at) + "], %e2");
    }
    if (used.cells) {
      Line("setp.lt.u32 %q0, %x2, " + std::to_string(kCells));
      Line("mad.lo.u32 %t2, %x2, 8, %t1");
      Line("mov.b64 %e2, " + Hex(kSharedCellAtFirst));
      Line("@%q0 st.shared.b64 [%t2+" + std::to_string(shared_cells()) + "], %e2");
      Line("bar.sync 0");
    }
  }
  void WriteResults(const Used& used) {
    Line("add.s64 %a0, %a0, " + std::to_string(layout_.results()));
    if (AnyPredicate(used)) Line("mov.b32 %t3, 0");
    ForUsed(used, [this](Register reg) {
      if (reg.width == Class::kPredicate) {
        Line("selp.b32 %t2, " + std::to_string(1u << reg.index) + ", 0, " + Of(reg));
        Line("or.b32 %t3, %t3, %t2");
      } else {
        Line("st.global" + Bits(reg.width) + " [%a0+" + std::to_string(OffsetOf(reg)) + "], " + Of(reg));
      }
    });
    if (AnyPredicate(used)) Line("st.global.b32 [%a0], %t3");
    if (!used.cells) return;
    Line("bar.sync 0");
    Line("setp.ge.u32 %q0, %x2, " + std::to_string(kCells));
    Line("@%q0 ret");
    Line("mov.u32 %t1, sm");
    Line("mad.lo.u32 %t2, %x2, 8, %t1");
    Line("ld.shared.b64 %e2, [%t2+" + std::to_string(shared_cells()) + "]");
    Line("mad.wide.u32 %e1, %x2, 8, %a4");
    Line("st.global.b64 [%e1+" + std::to_string(Layout::kCellBytes * program_.blocks) + "], %e2");
  }

  void WriteBody(const Body& body, int loops) {
    for (const Statement& s : body) WriteStatement(s, loops);
  }
  static std::string GuardOf(const Statement& s) {
    return s.guarded ? std::string("@") + (s.guard.negated ? "!" : "") + Of(s.guard.reg) + " " : "";
  }
  void WriteStatement(const Statement& s, int loops) {
    switch (s.what) {
      case What::kOperate: WriteOperation(s); break;
      case What::kIf: WriteIf(s, loops); break;
      case What::kLoop: WriteLoop(s, loops); break;
      case What::kCall: WriteCall(s); break;
      case What::kReduce: {
        const bool shared = s.space == Space::kShared;
        const std::string space = shared ? "shared" : "global";
        if (shared) Line("mov.u32 %t1, sm");
        const std::string address =
            shared ? "%t1+" + std::to_string(shared_cells() + 8 * s.index) : "%a4+" + std::to_string(8 * s.index);
        Line(GuardOf(s) + "red." + space + "." + Reductions()[s.index].text + " [" + address + "], " +
             Of(s.operands[0]));
        break;
      }
      default: WriteAccess(s); break;
    }
  }
  void WriteOperation(const Statement& s) {
    const Operation& operation = Operations()[s.index];
    std::string line = GuardOf(s);
    for (std::size_t i = 0; i < operation.text.size(); ++i) {
      const char c = operation.text[i];
      if (c == '\n') {
        Line(line);
        line = GuardOf(s);
      } else if (c == '$') {
        line += Of(s.results[static_cast<std::size_t>(operation.text[++i] - '0')]);
      } else if (c == '#') {
        const auto operand = static_cast<std::size_t>(operation.text[++i] - '0');
        line += Of(s.operands[operand], operation.sources[operand].kind);
      } else {
        line += c;
      }
    }
    Line(line);
  }
  void WriteIf(const Statement& s, int loops) {
    const std::string otherwise = NewLabel(), end = NewLabel();
    Line("@!" + Of(s.operands[0]) + " bra " + (s.otherwise.empty() ? end : otherwise));
    WriteBody(s.body, loops);
    if (!s.otherwise.empty()) {
      Line("bra " + end);
      Label(otherwise);
      WriteBody(s.otherwise, loops);
    }
    Label(end);
  }
  void WriteLoop(const Statement& s, int loops) {
    const std::string begin = NewLabel(), end = NewLabel(), counter = "%c" + std::to_string(loops);
    Line("and.b32 " + counter + ", " + Of(s.operands[0]) + ", 3");
    if (s.at_end) {
      Line("setp.eq.u32 %q2, " + counter + ", 0");
      Line("@%q2 bra " + end);
      Label(begin);
      WriteBody(s.body, loops + 1);
      Line("sub.u32 " + counter + ", " + counter + ", 1");
      Line("setp.ne.u32 %q2, " + counter + ", 0");
      Line("@%q2 bra " + begin);
    } else {
      Label(begin);
      Line("setp.eq.u32 %q2, " + counter + ", 0");
      Line("@%q2 bra " + end);
      WriteBody(s.body, loops + 1);
      Line("sub.u32 " + counter + ", " + counter + ", 1");
      Line("bra " + begin);
    }
    Label(end);
  }
  void WriteCall(const Statement& s) {
    const Function& function = program_.functions[s.index];
    text_ += "  {\n";
    std::string arguments;
    for (std::size_t i = 0; i < s.operands.size(); ++i) {
      const std::string name = "in" + std::to_string(i), bits = Bits(function.parameters[i].width);
      Line(".param " + bits + " " + name);
      Line("st.param" + bits + " [" + name + "], " + Of(s.operands[i]));
      arguments += (i > 0 ? ", " : "") + name;
    }
    const std::string bits = Bits(function.result.width);
    Line(".param " + bits + " out");
    Line("call (out), f" + std::to_string(s.index) + ", (" + arguments + ")");
    Line("ld.param" + bits + " " + Of(s.results[0]) + ", [out]");
    text_ += "  }\n";
  }
  void WriteAccess(const Statement& s) {
    const bool atomic = s.what == What::kAtomic;
    std::uint32_t bytes = 8;
    if (!atomic) bytes = Accesses()[s.index].bytes * Accesses()[s.index].count;
    if (atomic && Atomics()[s.index].width == Class::k32) bytes = 4;
    const std::uint32_t slots_of = kPrivateBytes[static_cast<std::size_t>(s.space)] / bytes;
    static constexpr const char* kBases[3][2] = {{"%a1", "%a1"}, {"%x3", "%a2"}, {"lm", "%a3"}};
    static constexpr const char* kNames[3] = {".global", ".shared", ".local"};
    const auto space = static_cast<std::size_t>(s.space);
    std::string address = kBases[space][s.generic ? 1 : 0];
    const Operand& slot = s.operands.back();
    if (slot.is_immediate) {
      address += "+" + std::to_string(slot.immediate % slots_of * bytes);
    } else {
      Line("and.b32 %t0, " + Of(slot.reg) + ", " + std::to_string(slots_of - 1));
      Line("mul.lo.u32 %t0, %t0, " + std::to_string(bytes));
      if (address == "%x3") {
        Line("add.u32 %t0, %t0, %x3");
        address = "%t0";
      } else {
        if (address == "lm") {
          Line("mov.u64 %e1, lm");
          address = "%e1";
        }
        Line("cvt.u64.u32 %e0, %t0");
        Line("add.s64 %e0, %e0, " + address);
        address = "%e0";
      }
    }
    const std::string where = s.generic ? "" : kNames[space];
    if (atomic) {
      std::string line =
          GuardOf(s) + "atom" + where + "." + Atomics()[s.index].text + " " + Of(s.results[0]) + ", [" + address + "]";
      for (std::uint32_t i = 0; i < Atomics()[s.index].operands; ++i) line += ", " + Of(s.operands[i]);
      Line(line);
      return;
    }
    const Access& access = Accesses()[s.index];
    std::string registers;
    for (std::uint32_t i = 0; i < access.count; ++i)
      registers += (i > 0 ? ", " : "") + (s.what == What::kLoad ? Of(s.results[i]) : Of(s.operands[i]));
    if (access.count > 1) registers = "{" + registers + "}";
    const std::string vector = access.count == 1 ? "" : access.count == 2 ? ".v2" : ".v4";
    const std::string rest = where + vector + "." + access.type + " ";
    Line(GuardOf(s) + (s.what == What::kLoad ? "ld" + rest + registers + ", [" + address + "]"
                                             : "st" + rest + "[" + address + "], " + registers));
  }

  const Program& program_;
  const Layout layout_;
  std::string text_;
  int labels_ = 0;
};

}  // namespace

std::string WritePtx(const Program& program) { return Writer(program).Write(); }

}  // namespace accelmesh::differential
