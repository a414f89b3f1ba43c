#include "tests/unit/server/backend/cpu/tier0/machine.h"

#include <sys/mman.h>

#include <cinttypes>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <random>

#include "server/backend/cpu/jit.h"

#include "server/backend/cpu/tier0/decoder.h"

namespace accelmesh::tier0 {
namespace {

// With this variable, the path of tier 1's shared object, every kernel is compiled before it runs.
Jit* CompilerOfTests() {
  static const char* path = std::getenv("ACCELMESH_TEST_TIER1");
  static Jit jit({JitMode::kAlways, path == nullptr ? std::string() : path, "off"});
  return path == nullptr ? nullptr : &jit;
}

}  // namespace

// Perturbation -------------------------------------------------------------------------------------------------------

Mutations& GetMutations() {
  static Mutations mutations;
  return mutations;
}
namespace {

std::string FormOf(const ptx::Instruction& instruction) {
  std::string form;
  for (const std::string_view part : instruction.opcode) form.append(form.empty() ? "" : ".").append(part);
  return form;
}
// Whether an instruction of the form is in the text of a body.
bool HasForm(const std::string& body, const std::string& form) {
  for (std::size_t at = body.find(form); at != std::string::npos; at = body.find(form, at + 1)) {
    const char behind = at + form.size() < body.size() ? body[at + form.size()] : ';';
    const char before = at == 0 ? ' ' : body[at - 1];
    if ((behind == ' ' || behind == ';') && (before == ' ' || before == ';' || before == '\n')) return true;
  }
  return false;
}

// What the wrong instruction did before.
std::map<const Op*, Handler>& Originals() {
  static std::map<const Op*, Handler> originals;
  return originals;
}
// A bit that a test must see: the last, or of an approximation one that no error bound allows.
std::uint64_t WrongBit(const ptx::Instruction& instruction) {
  if (!Decoder::Has(instruction, "approx") && !Decoder::Has(instruction, "full")) return 1;
  switch (Decoder::LastType(instruction)) {
    case ptx::Type::kF64: return 1ull << 51;
    case ptx::Type::kF32: return 1u << 22;
    case ptx::Type::kBf16:
    case ptx::Type::kBf16x2: return 1u << 6;
    default: return 1u << 9;
  }
}
// Runs the handler, and spoils every result: whatever it has changed of registers and predicates.
void Spoiled(Warp& warp, const Op& op, std::uint32_t mask) {
  const Program& program = *warp.block->program;
  const std::vector<Row> rows(warp.r, warp.r + program.rows);
  const std::vector<std::uint32_t> predicates(warp.p, warp.p + program.predicates);
  Originals().at (&op)(warp, op, mask);
  const std::uint64_t wrong = WrongBit(*op.source);
  for (std::uint32_t row = 0; row < program.rows; ++row) {
    for (std::uint32_t l = 0; l < kLanes; ++l) {
      if (warp.r[row].lane[l] != rows[row].lane[l]) warp.r[row].lane[l] ^= wrong;
    }
  }
  for (std::uint32_t p = 0; p < program.predicates; ++p) warp.p[p] = predicates[p];
}
void Skipped(Warp& /*warp*/, const Op& /*op*/, std::uint32_t /*mask*/) {}

// What changes memory, or where lanes go on, is left out; of all else the results are spoiled.
void Spoil(Program& program, const std::string& form) {
  Originals().clear();
  for (Op& op : program.ops) {
    if (op.source == nullptr || op.source->opcode.empty() || FormOf(*op.source) != form) continue;
    const bool computes = op.control == Control::kNone || op.control == Control::kLaneSync;
    const std::vector<ptx::Operand>& operands = op.source->operands;
    const bool writes = operands.empty() || operands[0].is_address || operands[0].kind == ptx::Operand::Kind::kSink;
    if (computes && !writes && op.source->opcode[0] != "call") {
      Originals()[&op] = op.handler;
      op.handler = Spoiled;
    } else {
      op.handler = Skipped;
      op.control = Control::kNone;
    }
    op.extras = computes && !writes ? op.extras : std::uint8_t{0};
  }
}
// Set by RunRows: the part of the kernel that the test itself wrote.
const std::string* direct_body = nullptr;

void NoteForms(const ptx::Module& module) {
  const Mutations& mutations = GetMutations();
  if (!mutations.seen) return;
  for (const std::vector<ptx::Kernel>* bodies : {&module.kernels, &module.functions}) {
    for (const ptx::Kernel& body : *bodies) {
      for (const ptx::Instruction& instruction : body.instructions) {
        const std::string form = FormOf(instruction);
        mutations.seen(form, direct_body != nullptr && HasForm(*direct_body, form));
      }
    }
  }
}

}  // namespace

Machine::Machine() {
  void* got = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (got == MAP_FAILED) std::abort();
  base_ = reinterpret_cast<std::uint64_t>(got);
  memory_.Reset(base_, kBytes);
  memory_.Allow(base_, kBytes / 2 - (4 << 20));
  heap_ = std::make_unique<Heap>(base_ + kBytes / 2 - (4 << 20) - kHeapBytes, kHeapBytes);
}
Machine::~Machine() { ::munmap(reinterpret_cast<void*>(base_), kBytes); }

Status Machine::Load(std::string_view text, std::size_t kernel) {
  ACCELMESH_ASSIGN_OR_RETURN(module_, ptx::ParseModule(text));
  if (kernel >= module_->kernels.size()) return Status(Code::kNotFound, "Machine::Load", "no such kernel");
  std::unordered_map<std::string, std::uint64_t> symbols;
  for (const ptx::Variable& variable : module_->variables) {
    const std::uint64_t address = Allocate(variable.bytes);
    if (!variable.initial.empty()) std::memcpy(At<void>(address), variable.initial.data(), variable.initial.size());
    symbols[variable.name] = address;
  }
  ACCELMESH_ASSIGN_OR_RETURN(kernel_, Decode(*module_, module_->kernels[kernel], [&symbols](std::string_view name) {
                               const auto found = symbols.find(std::string(name));
                               return found == symbols.end() ? std::uint64_t{0} : found->second;
                             }));
  NoteForms(*module_);
  const std::string& form = GetMutations().form;
  if (!form.empty()) Spoil(const_cast<Program&>(kernel_->program()), form);
  return Status::Ok();
}

void Machine::Compile(const Dim3& block) {
  Jit* compiler = compiler_ != nullptr ? compiler_ : CompilerOfTests();
  if (compiler == nullptr) return;
  const Status compiled = compiler->Compile(*kernel_, IsLinear(block));
  // What is too large to be worth it stays on tier 0.
  EXPECT_TRUE(compiled.ok() || compiled.text().find(" operations") != std::string::npos) << compiled.ToString();
}

std::uint64_t Machine::Allocate(std::uint64_t bytes) {
  const std::uint64_t address = base_ + used_;
  used_ = AlignUp(used_ + bytes, 256);
  if (used_ > kBytes / 2 - (4 << 20) - kHeapBytes) std::abort();
  std::memset(At<void>(address), 0, bytes);
  return address;
}
const tier1::Compiled* Machine::compiled(bool linear) const {
  return kernel_->program().compiled[linear ? 1 : 0].load();
}
void Machine::Reset() {
  used_ = 0;
  printed_.clear();
  complained_.clear();
}

GridLaunch Machine::LaunchOf(Dim3 grid, Dim3 block, ByteView arguments) {
  Compile(block);
  GridLaunch launch;
  launch.kernel = kernel_.get();
  launch.memory = &memory_;
  launch.grid = grid;
  launch.block = block;
  launch.arguments = arguments;
  launch.cancel = &cancel_;
  launch.print = &print_;
  launch.complain = &complain_;
  launch.stack_bytes = stack_bytes_;
  launch.heap = heap_.get();
  launch.textures = textures_;
  return launch;
}

std::optional<Fault> Machine::Run(Dim3 grid, Dim3 block, ByteView arguments, std::uint32_t dynamic_shared_bytes) {
  GridLaunch launch = LaunchOf(grid, block, arguments);
  launch.dynamic_shared_bytes = dynamic_shared_bytes;
  if (grid.count() == 0) return std::nullopt;
  return RunBlocks(launch, 0, grid.count(), context_);
}
std::optional<Fault> Machine::Run(Dim3 grid, Dim3 block, const std::vector<std::uint64_t>& arguments,
                                  std::uint32_t dynamic_shared_bytes) {
  std::vector<std::uint64_t> padded = arguments;
  padded.resize(4);
  return Run(grid, block, ByteView(reinterpret_cast<const std::uint8_t*>(padded.data()), 32), dynamic_shared_bytes);
}

std::optional<Fault> Machine::RunTogether(Dim3 grid, Dim3 block, const std::vector<std::uint64_t>& arguments,
                                          std::uint64_t slices_max) {
  std::vector<std::uint64_t> padded = arguments;
  padded.resize(4);
  GridLaunch launch = LaunchOf(grid, block, ByteView(reinterpret_cast<const std::uint8_t*>(padded.data()), 32));
  alignas(16) std::uint8_t workspace[16] = {};
  launch.cooperative = true;
  launch.workspace = workspace;
  std::deque<std::unique_ptr<BlockContext>> running;
  for (std::uint64_t i = 0; i < grid.count(); ++i) {
    running.push_back(std::make_unique<BlockContext>());
    if (std::optional<Fault> fault = BeginBlock(launch, i, *running.back())) return fault;
  }
  for (std::uint64_t slices = 0; !running.empty(); ++slices) {
    if (slices == slices_max) {
      ADD_FAILURE() << running.size() << " blocks make no progress";
      return std::nullopt;
    }
    const Slice slice = RunSlice(*running.front(), Clock::time_point::min());
    if (slice.fault.has_value()) return slice.fault;
    if (!slice.done) running.push_back(std::move(running.front()));
    running.pop_front();
  }
  return std::nullopt;
}

namespace {
constexpr const char* kHeader = ".version 8.0\n.target sm_80\n.address_size 64\n";
constexpr std::uint32_t kBlock = 64;
}  // namespace

std::string KernelText(const std::string& body) {
  return std::string(kHeader) +
         ".visible .entry k(.param .u64 k0, .param .u64 k1, .param .u64 k2, .param .u64 k3)\n{\n"
         ".reg .b32 %r<16>; .reg .b64 %rd<16>; .reg .b16 %rs<8>; .reg .f32 %f<8>; .reg .f64 %fd<8>; .reg .pred %p<8>;\n"
         "ld.param.u64 %rd1, [k0]; ld.param.u64 %rd2, [k1]; ld.param.u64 %rd3, [k2]; ld.param.u64 %rd4, [k3];\n"
         "mov.u32 %r1, %tid.x;\n" +
         body + "\nret;\n}\n";
}

std::vector<std::uint64_t> RunRows(const std::string& body, const Widths& widths, const std::vector<Values>& rows) {
  std::string text = std::string(kHeader) +
                     ".visible .entry k(.param .u64 k0, .param .u64 k1, .param .u32 k2)\n{\n"
                     ".reg .b64 %x<5>; .reg .b32 %y<5>; .reg .b32 %t<4>; .reg .pred %p, %q, %out;\n";
  const std::pair<const char*, int> registers[] = {
      {"%d", widths.d}, {"%a", widths.a}, {"%b", widths.b}, {"%c", widths.c}, {"%e", widths.e}};
  for (const auto& [name, bits] : registers) text += ".reg .b" + std::to_string(bits) + " " + name + ";\n";
  text +=
      "ld.param.u64 %x1, [k0]; ld.param.u64 %x2, [k1]; ld.param.u32 %y4, [k2];\n"
      "mov.u32 %y1, %ctaid.x; mov.u32 %y2, %ntid.x; mov.u32 %y3, %tid.x;\n"
      "mad.lo.u32 %y1, %y1, %y2, %y3; setp.ge.u32 %out, %y1, %y4; @%out bra DONE;\n"
      "mad.wide.u32 %x1, %y1, 32, %x1; mad.wide.u32 %x2, %y1, 8, %x2;\n";
  for (int i = 1; i < 5; ++i) {
    text += "ld.global.b" + std::to_string(registers[i].second) + " " + registers[i].first + ", [%x1+" +
            std::to_string((i - 1) * 8) + "];\n";
  }
  text += body + "\nst.global.b" + std::to_string(widths.d) + " [%x2], %d;\nDONE: ret;\n}\n";

  Machine machine;
  direct_body = &body;
  const Status loaded = machine.Load(text);
  direct_body = nullptr;
  if (!loaded.ok()) {
    ADD_FAILURE() << loaded.ToString();
    return {};
  }
  const std::uint64_t in = machine.Allocate(rows.size() * sizeof(Values));
  const std::uint64_t out = machine.Allocate(rows.size() * 8);
  std::memcpy(machine.At<void>(in), rows.data(), rows.size() * sizeof(Values));
  const auto count = static_cast<std::uint32_t>(rows.size());
  const std::optional<Fault> fault =
      machine.Run({(count + kBlock - 1) / kBlock, 1, 1}, {kBlock, 1, 1}, {in, out, count});
  if (fault.has_value()) {
    ADD_FAILURE() << fault->text;
    return {};
  }
  std::vector<std::uint64_t> results(rows.size());
  std::memcpy(results.data(), machine.At<void>(out), rows.size() * 8);
  return results;
}

std::vector<std::uint64_t> Interesting(Kind kind, int bits) {
  std::mt19937_64 random(20240229u + static_cast<unsigned>(kind) * 64 + static_cast<unsigned>(bits));
  const std::uint64_t mask = bits == 64 ? ~0ull : (1ull << bits) - 1;
  std::vector<std::uint64_t> values;
  switch (kind) {
    case Kind::kNone: return {0};
    case Kind::kInteger:
      values = {0,
                1,
                2,
                3,
                7,
                31,
                100,
                127,
                128,
                255,
                256,
                32767,
                32768,
                65535,
                0xffffff,
                0x7fffff,
                0x800000,
                mask,
                mask - 1,
                mask >> 1,
                (mask >> 1) + 1,
                (mask >> 1) - 1,
                0x5555555555555555u & mask,
                0x80008000800080u & mask};
      for (int i = 0; i < 6; ++i) values.push_back(random() & mask);
      break;
    case Kind::kShift:
      for (std::uint64_t n : {0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 47, 63, 64, 65, 127, 128, 255, 256, 1000})
        values.push_back(n);
      values.push_back(mask);
      break;
    case Kind::kF32:
      values = {0,          0x80000000, 0x3f800000, 0xbf800000, 0x3f000000, 0x3fc00000, 0x40200000, 0xc0200000,
                0x3effffff, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffc12345,
                0x00800000, 0x80800000, 0x00000001, 0x80000001, 0x007fffff, 0x807fffff, 0x4f000000, 0xcf000000,
                0x4f800000, 0x5f000000, 0xdf000000, 0x5f800000, 0x4b800001, 0x40490fdb, 0x3dcccccd, 0x00ffffff};
      for (int i = 0; i < 8; ++i) values.push_back(random() & mask);
      break;
    case Kind::kF64:
      values = {0,
                1ull << 63,
                0x3ff0000000000000,
                0xbff0000000000000,
                0x3fe0000000000000,
                0x4004000000000000,
                0xc004000000000000,
                0x7fefffffffffffff,
                0x7ff0000000000000,
                0xfff0000000000000,
                0x7ff8000000000000,
                0x7ff0000000000001,
                0x0010000000000000,
                1,
                (1ull << 63) + 1,
                0x000fffffffffffff,
                0x41dfffffffc00000,
                0x41e0000000000000,
                0xc1e0000000000000,
                0x41efffffffe00000,
                0x43e0000000000000,
                0xc3e0000000000000,
                0x43f0000000000000,
                0x36a0000000000000,
                0x380fffffffffffff,
                0x47efffffefffffff,
                0x47efffffffffffff,
                0x400921fb54442d18,
                0x3fb999999999999a};
      for (int i = 0; i < 8; ++i) values.push_back(random());
      break;
    case Kind::kF16:
    case Kind::kBf16:
      for (std::uint64_t v = 0; v < 65536; v += 97) values.push_back(v);
      for (std::uint64_t v : {0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x0400, 0x3c00, 0x3e00, 0x4100, 0x7bff, 0x7c00,
                              0xfc00, 0x7e00, 0x7c01, 0x007f, 0x0080, 0x3f80, 0x7f7f, 0x7f80, 0xff80, 0x7fc0})
        values.push_back(v);
      break;
  }
  for (std::uint64_t& value : values) value &= mask;
  return values;
}

std::vector<Values> Rows(Kind a, int a_bits, Kind b, int b_bits, Kind c, int c_bits) {
  std::vector<Values> rows;
  for (const std::uint64_t x : Interesting(a, a_bits)) {
    for (const std::uint64_t y : Interesting(b, b_bits)) {
      for (const std::uint64_t z : Interesting(c, c_bits)) rows.push_back({x, y, z, 0});
    }
  }
  std::mt19937_64 random(7);
  for (int i = 0; i < 300; ++i) rows.push_back({random(), random(), random(), random()});
  return rows;
}

void ExpectRows(const std::string& body, const Widths& widths, const std::vector<Values>& rows,
                const Reference& reference) {
  if (const std::string& form = GetMutations().form; !form.empty() && !HasForm(body, form)) return;
  const std::vector<std::uint64_t> got = RunRows(body, widths, rows);
  const auto cut = [](std::uint64_t v, int bits) -> std::uint64_t { return bits == 64 ? v : v & ((1ull << bits) - 1); };
  int shown = 0;
  for (std::size_t i = 0; i < got.size() && shown < 5; ++i) {
    const Values row{cut(rows[i].a, widths.a), cut(rows[i].b, widths.b), cut(rows[i].c, widths.c),
                     cut(rows[i].e, widths.e)};
    const std::uint64_t expected = cut(reference(row), widths.d);
    if (cut(got[i], widths.d) == expected) continue;
    ++shown;
    char text[200];
    std::snprintf(text, sizeof(text),
                  "a %016" PRIx64 " b %016" PRIx64 " c %016" PRIx64 ": got %016" PRIx64 ", expected %016" PRIx64, row.a,
                  row.b, row.c, cut(got[i], widths.d), expected);
    ADD_FAILURE() << body << "\n" << text;
  }
}

}  // namespace accelmesh::tier0
