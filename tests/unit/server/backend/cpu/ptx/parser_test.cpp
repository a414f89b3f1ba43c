// ParseModule: what it reads, what it says about what it cannot read, and that hostile text is bounded.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "server/backend/cpu/ptx/module.h"

namespace accelmesh::ptx {
namespace {

constexpr const char* kHeader = ".version 8.7\n.target sm_90a, debug\n.address_size 64\n";

std::shared_ptr<const Module> Parse(const std::string& text) {
  auto module = ParseModule(kHeader + text);
  EXPECT_TRUE(module.ok()) << module.status().ToString();
  if (module.ok()) ReadBodies(**module);
  return module.ok() ? *module : std::make_shared<Module>();
}
// A kernel around a body that starts on line 6.
std::string Around(const std::string& body) { return ".visible .entry k()\n{\n" + body + "\nret;\n}\n"; }

TEST(Parser, ModuleHeader) {
  const auto module = Parse("");
  EXPECT_EQ(module->version, 87u);
  EXPECT_EQ(module->target, 90u);
  EXPECT_FALSE(ParseModule("").ok());
  EXPECT_FALSE(ParseModule(".target sm_80").ok());
  EXPECT_FALSE(ParseModule(".version 8.0\n.address_size 32").ok());
}

TEST(Parser, KernelParametersLieAsTheirTypesSay) {
  const auto module = Parse(
      ".visible .entry k(\n.param .u8 a, .param .f64 b, .param .align 16 .b8 c[20],\n"
      ".param .u64 .ptr .global .align 128 d, .param .u16 e)\n.maxntid 8, 4, 2\n.minnctapersm 2\n{ ret; }\n"
      ".entry none { ret; }\n.entry declared(.param .u32 x);\n");
  ASSERT_EQ(module->kernels.size(), 2u);
  const Kernel& kernel = module->kernels[0];
  ASSERT_EQ(kernel.parameters.size(), 5u);
  const std::uint32_t offsets[] = {0, 8, 16, 40, 48}, sizes[] = {1, 8, 20, 8, 2};
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(kernel.parameters[i].offset, offsets[i]) << i;
    EXPECT_EQ(kernel.parameters[i].bytes, sizes[i]) << i;
  }
  EXPECT_EQ(kernel.parameter_bytes, 50u);
  EXPECT_EQ(kernel.max_threads, 64u);
  EXPECT_EQ(module->kernels[1].max_threads, 1024u);
}

TEST(Parser, VariablesAndInitialisers) {
  const auto module = Parse(
      ".global .align 4 .u32 plain[2][3] = {{1, 2, 3}, {-1, 0x10, 0b11}};\n.const .f64 half = 0d3FE0000000000000;\n"
      ".global .f32 decimal = 1.5;\n.global .u64 pointers[3] = {plain+4, generic(half)+8, 7};\n.global .align 16 .b8 "
      "zeros[64];\n"
      ".extern .global .u32 elsewhere;\n.global .attribute(.managed) .b8 bytes[3] = {255, 1};\n.global .v4 .f32 "
      "four;\n");
  ASSERT_EQ(module->variables.size(), 8u);
  const Variable& plain = module->variables[0];
  EXPECT_EQ(plain.bytes, 24u);
  const std::int32_t expected[] = {1, 2, 3, -1, 16, 3};
  EXPECT_EQ(std::memcmp(plain.initial.data(), expected, 24), 0);
  EXPECT_EQ(module->variables[1].space, Space::kConst);
  double half = 0;
  std::memcpy(&half, module->variables[1].initial.data(), 8);
  EXPECT_EQ(half, 0.5);
  float decimal = 0;
  std::memcpy(&decimal, module->variables[2].initial.data(), 4);
  EXPECT_EQ(decimal, 1.5f);
  const Variable& pointers = module->variables[3];
  ASSERT_EQ(pointers.relocations.size(), 2u);
  EXPECT_EQ(pointers.relocations[0].symbol, "plain");
  EXPECT_EQ(pointers.relocations[0].addend, 4);
  EXPECT_EQ(pointers.relocations[1].offset, 8u);
  EXPECT_EQ(pointers.initial[16], 7);
  EXPECT_TRUE(module->variables[4].initial.empty());
  EXPECT_EQ(module->variables[4].alignment, 16u);
  EXPECT_TRUE(module->variables[5].is_extern);
  EXPECT_EQ(module->variables[6].initial, (Bytes{255, 1, 0}));
  EXPECT_EQ(module->variables[7].bytes, 16u);
  EXPECT_EQ(module->variables[7].alignment, 16u);
}

// Functions have addresses: of their own, in tables of virtual functions as in code.
TEST(Parser, TablesOfFunctions) {
  const char* text =
      ".func g();\n.func (.param .b32 r) f(.param .b32 a) { ret; }\n.global .u32 x;\n"
      ".global .u64 table[4] = {f, x, g, elsewhere};\n.extern .func elsewhere();\n.func g() { ret; }\n"
      ".func h() { ret; }\n.func unnamed() { ret; }\n.entry k() { .reg .b64 %rd<2>; mov.u64 %rd1, h; call unnamed; }\n";
  const auto module = Parse(text);
  ASSERT_EQ(module->variables[1].relocations.size(), 1u);
  EXPECT_EQ(module->variables[1].relocations[0].symbol, "x");
  std::uint64_t table[4];
  std::memcpy(table, module->variables[1].initial.data(), sizeof(table));
  EXPECT_EQ(table[0], module->FunctionAddress(module->function.at("f")));
  EXPECT_EQ(table[2], module->FunctionAddress(module->function.at("g")));
  EXPECT_NE(table[0], table[2]);
  EXPECT_NE(table[0], 0u);
  EXPECT_EQ(table[3], 0u);  // of another module
  EXPECT_EQ(module->addressed,
            (std::vector<std::uint32_t>{module->function.at("f"), module->function.at("g"), module->function.at("h")}));
  EXPECT_GT(Parse(text)->FunctionAddress(0), module->FunctionAddress(3)) << "no address twice";
}

TEST(Parser, PrototypesOfCalls) {
  const auto module = Parse(
      Around(".reg .b64 p; .param .b32 a; .param .align 8 .b8 b[24];\n"
             "{ one : .callprototype (.param .b32 _) _ (.param .b64 _, .param .align 8 .b8 _[24]);\n"
             "call (a), p, (b, b), one; }\n{ one : .callprototype ()_ (.param .b8 _) .noreturn; call p, (a), one; }\n"
             "odd: .callprototype _ (.reg .b32 _); targets: .calltargets f;\n"));
  const Kernel& kernel = module->kernels[0];
  ASSERT_TRUE(kernel.unsupported.ok()) << kernel.unsupported.ToString();
  ASSERT_EQ(kernel.prototypes.size(), 4u);
  EXPECT_EQ(kernel.prototypes[0].results.size(), 1u);
  ASSERT_EQ(kernel.prototypes[0].parameters.size(), 2u);
  EXPECT_EQ(kernel.prototypes[0].parameters[0].offset, 8u);  // behind the result
  EXPECT_EQ(kernel.prototypes[0].parameters[1].bytes, 24u);
  EXPECT_TRUE(kernel.prototypes[1].results.empty());
  EXPECT_FALSE(kernel.prototypes[2].unsupported.ok());
  EXPECT_FALSE(kernel.prototypes[3].unsupported.ok());
  EXPECT_EQ(kernel.instructions[0].operands[3].kind, Operand::Kind::kPrototype);
  EXPECT_EQ(kernel.instructions[0].operands[3].index, 0u);
  EXPECT_EQ(kernel.instructions[1].operands[2].index, 1u);
  EXPECT_NE(
      Parse(Around(".reg .b64 p; call p, (), nowhere;"))->kernels[0].unsupported.text().find("no label 'nowhere'"),
      std::string::npos);
}

TEST(Parser, ManagedVariables) {
  const auto module = Parse(
      ".global .attribute(.managed) .align 4 .b8 m[16];\n.global .attribute(.unified(1, 2)) .u32 u;\n.global .u32 "
      "g;\n");
  EXPECT_TRUE(module->variables[0].is_managed);
  EXPECT_FALSE(module->variables[1].is_managed);
  EXPECT_FALSE(module->variables[2].is_managed);
}

TEST(Parser, Operands) {
  const auto module =
      Parse(Around(".reg .b32 %r<3>; .reg .b32 %r1x<12>; .reg .pred p, q; .reg .b64 addr;\n"
                   "@!p add.s32 %r2, %r1x11, -5;\n"
                   "ld.v2.u32 {%r0, _}, [addr+-8];\n"
                   "setp.lt.f32 p|q, %r0, 0f3F800000;\n"
                   "mov.f64 addr, 1.5;\n"));
  const Kernel& kernel = module->kernels[0];
  ASSERT_TRUE(kernel.unsupported.ok()) << kernel.unsupported.ToString();
  const Instruction& add = kernel.instructions[0];
  EXPECT_EQ(add.line, 7u);
  EXPECT_EQ(add.text, "@!p add.s32 %r2, %r1x11, -5");
  EXPECT_EQ(add.guard, 0);
  EXPECT_TRUE(add.guard_negated);
  EXPECT_EQ(add.opcode, (std::vector<std::string_view>{"add", "s32"}));
  EXPECT_EQ(add.operands[0].index, 2u);
  EXPECT_EQ(add.operands[1].index, 3u + 11);
  EXPECT_EQ(add.operands[2].immediate, static_cast<std::uint64_t>(-5));
  const Instruction& load = kernel.instructions[1];
  ASSERT_EQ(load.operands[0].elements.size(), 2u);
  EXPECT_EQ(load.operands[0].elements[1].kind, Operand::Kind::kSink);
  EXPECT_TRUE(load.operands[1].is_address);
  EXPECT_EQ(load.operands[1].immediate, static_cast<std::uint64_t>(-8));
  EXPECT_EQ(kernel.instructions[2].operands[0].paired, 1);
  EXPECT_EQ(kernel.instructions[2].operands[2].immediate, 0x3f800000u);
  EXPECT_FALSE(kernel.instructions[2].operands[2].is_double);
  EXPECT_TRUE(kernel.instructions[3].operands[1].is_double);
  EXPECT_EQ(kernel.registers, 3u + 12 + 1);
  EXPECT_EQ(kernel.predicates, 2u);
}

TEST(Parser, LabelsBelongToTheirScope) {
  const auto module =
      Parse(Around("bra END; { bra L; L: bra OUT; } { L: bra L; T: .branchtargets L, OUT; brx.idx 0, T; }\nOUT: { bra "
                   "OUT; }\nEND:\n"));
  const Kernel& kernel = module->kernels[0];
  ASSERT_TRUE(kernel.unsupported.ok()) << kernel.unsupported.ToString();
  const auto target = [&](std::size_t i) { return kernel.instructions[i].operands[0].index; };
  EXPECT_EQ(target(0), 6u);
  EXPECT_EQ(target(1), 2u);
  EXPECT_EQ(target(2), 5u);
  EXPECT_EQ(target(3), 3u);
  EXPECT_EQ(kernel.instructions[4].operands[1].kind, Operand::Kind::kTable);
  EXPECT_EQ(kernel.branch_tables[0], (std::vector<std::uint32_t>{3, 5}));
  EXPECT_EQ(target(5), 5u);
}

// Scopes behind one another share their place in the frame; a name means the variable of its own scope.
TEST(Parser, CallParametersShareTheFrame) {
  const auto module =
      Parse(Around(".local .align 8 .b8 depot[24];\n{ .param .b64 p; st.param.b64 [p], 0; }\n{ .param .b32 p; .param "
                   ".align 16 .b8 q[32]; st.param.b32 [p], 0; }\n"));
  const Kernel& kernel = module->kernels[0];
  ASSERT_EQ(kernel.variables.size(), 4u);
  EXPECT_EQ(kernel.variables[1].address, 24u);
  EXPECT_EQ(kernel.variables[2].address, 24u);
  EXPECT_EQ(kernel.variables[3].address, 32u);
  EXPECT_EQ(kernel.local_bytes, 64u);
  EXPECT_EQ(kernel.instructions[0].operands[0].index, 1u);
  EXPECT_EQ(kernel.instructions[1].operands[0].index, 2u);
}

// Each kernel pays for the shared variables that it, or what it calls, names; not for its neighbours'.
TEST(Parser, SharedMemoryIsCountedPerKernel) {
  const auto module = Parse(
      ".shared .align 4 .b8 small[100];\n.shared .align 16 .b8 large[1000];\n.extern .shared .align 32 .b8 dynamic[];\n"
      ".func f() { .reg .b32 r; mov.u32 r, large; ret; }\n"
      ".entry one() { .reg .b32 r; .shared .b8 own[5]; mov.u32 r, own; mov.u32 r, small; ret; }\n"
      ".entry two() { call f; ret; }\n.entry three() { .reg .b32 r; mov.u32 r, dynamic; ret; }\n");
  EXPECT_EQ(module->kernels[0].static_shared_bytes, 108u);
  EXPECT_EQ(module->kernels[0].shared_addresses.at("small"), 8u);
  EXPECT_EQ(module->kernels[1].static_shared_bytes, 1000u);
  EXPECT_EQ(module->kernels[2].static_shared_bytes, 0u);
  EXPECT_EQ(module->kernels[2].dynamic_shared_alignment, 32u);
}

TEST(Parser, SkipsWhatIsNotForIt) {
  const auto module = Parse(
      ".file 1 \"a.cu\"\n.extern .func (.param .b32 r) vprintf (.param .b64 a, .param .b64 b)\n;\n@@DWARF .byte 1\n"
      ".section .debug_str { .b8 1, 2 L: .b8 3 }\n.pragma \"x;y\";\n.weak .func (.param .b32 r) g(.reg .b32 x)\n{ { "
      "junk } }\n" +
      Around(".loc 1 2 3, function_name $L, inlined_at 1 4\n.pragma \"nounroll\";\nP: .callprototype (.param .b32 _) _ "
             "(.param .b64 _);"));
  ASSERT_EQ(module->kernels.size(), 1u);
  EXPECT_TRUE(module->kernels[0].unsupported.ok());
  EXPECT_EQ(module->kernels[0].instructions.size(), 1u);
}

// A kernel that cannot be read says why, where, and does not take the next one with it.
TEST(Parser, KernelsFailAlone) {
  const std::pair<const char*, const char*> bad[] = {{"add.s32 %r1 %r2;", "expected ','"},
                                                     {".reg .b32 %r<70000>;", "too many registers"},
                                                     {".reg .b32 a; .reg .b32 a;", "a register twice"},
                                                     {".reg .wide a;", "a register needs a type"},
                                                     {"L: ret; L: ret;", "a label twice"},
                                                     {"bra NOWHERE;", "no label 'NOWHERE'"},
                                                     {"@%p bra X; X:", "expected a predicate"},
                                                     {"mov.u32 {{{{{{a}}}}}}, 1;", "nested too deeply"},
                                                     {"mov.u32 [[[[[[[[a]]]]]]]], 1;", "nested too deeply"},
                                                     {"mov.u32 a, 99999999999999999999999;", "expected a number"},
                                                     {"mov.u32 a, 0f3F80;", "expected a number"},
                                                     {"mov.u32 a, 09;", "expected a number"},
                                                     {".shared .b8 a[20000000];", "past the limit"},
                                                     {".local .b8 a[600000];", "past the limit"},
                                                     {".shared .align 3 .b8 a[2];", "bad .align"},
                                                     {"T: .branchtargets A; A: T: .branchtargets A;", "a label twice"},
                                                     {"ld.u32 {a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, "
                                                      "s, t, u, v, w, x, y, z, A, B, C, D, E, F, G}, [x];",
                                                      "past the limit"},
                                                     {"; ;", "expected an instruction"}};
  for (const auto& [body, why] : bad) {
    const auto module = Parse(Around(body) + ".entry next() { ret; }\n");
    ASSERT_EQ(module->kernels.size(), 2u) << body;
    const Status& status = module->kernels[0].unsupported;
    EXPECT_EQ(status.code(), Code::kUnsupported) << body;
    EXPECT_NE(status.text().find(why), std::string::npos) << body << ": " << status.ToString();
    EXPECT_TRUE(status.where() == "ptx line 6" || status.where() == "ptx line 7") << status.ToString();
    EXPECT_TRUE(module->kernels[1].unsupported.ok()) << body;
  }
}

TEST(Parser, ModulesFailWithTheLine) {
  const std::pair<const char*, const char*> bad[] = {{"nonsense;", "not a PTX directive"},
                                                     {".global .u32;", "needs a name"},
                                                     {".global .tex x;", "cannot be"},
                                                     {".global x;", "needs a type"},
                                                     {".global .u32 x[4294967296][4294967296];", "past the limit"},
                                                     {".global .u32 x[2000000000];", "past the limit"},
                                                     {".global .u32 x = {1, 2};", "more initialisers"},
                                                     {".global .u32 x[3] = {1, 2, 3, 4};", "more initialisers"},
                                                     {".global .u32 x = y;", "needs 64 bits"},
                                                     {".global .u8 x[9] = {0xFF(y)};", "lacks bytes"},
                                                     {".global .u8 x[9] = {0xFF(y), 1};", "lacks bytes"},
                                                     {".global .u8 x[9] = {0xFF(y), 0xFF(y)};", "not in order"},
                                                     {".global .u8 x[9] = {0xFF(y), 0xFF00(z)};", "not in order"},
                                                     {".global .u8 x[7] = {0xFF(y)};", "more initialisers"},
                                                     {".global .u16 x[9] = {0xFF(y)};", "variable of bytes"},
                                                     {".global .b8 x[500000000] = {1};", "past the limit"},
                                                     {".global .align 0 .u32 x;", "bad .align"},
                                                     {".entry k(.param .u32 a .param .u32 b) { }", "expected ','"},
                                                     {".entry k(.param .b8 a[40000]) { }", "past the limit"},
                                                     {".entry k(.param .u32", "needs a type and a name"},
                                                     {".entry \"k\"() { }", "needs a name"}};
  for (const auto& [text, why] : bad) {
    const auto module = ParseModule(std::string(kHeader) + text);
    ASSERT_FALSE(module.ok()) << text;
    EXPECT_EQ(module.code(), Code::kInvalidArgument);
    EXPECT_EQ(module.status().where(), "ptx line 4") << module.status().ToString();
    EXPECT_NE(module.status().text().find(why), std::string::npos) << module.status().ToString();
  }
}

// Every prefix of a program that uses much of the grammar ends in a module or an error, in bounded time.
TEST(Parser, EveryPrefixIsBounded) {
  const std::string text = std::string(kHeader) +
                           ".global .u64 p[2] = {generic(x)+8, -1};\n.func (.param .b32 r) f(.param .b32 a) { ret; }\n"
                           ".visible .entry k(.param .align 8 .b8 a[16]) .maxntid 32, 1, 1 {\n.reg .b32 %r<4>; .reg "
                           ".pred %p<2>; .shared .b8 s[4];\n"
                           "{ .param .b32 q; T: .branchtargets A, B; A: @!%p1 ld.v2.u32 {%r1, _}, [%r2+-4]; B: "
                           "call.uni (q), f, (q); brx.idx %r1, T; }\n"
                           "setp.lt.and.f32 %p0|%p1, %r1, 1.5e-3, !%p0; /* c */ ret; // d\n}\n";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    const auto module = ParseModule(text.substr(0, cut));
    if (module.ok()) ReadBodies(**module);
    if (module.ok() && cut == text.size()) {
      EXPECT_TRUE((*module)->kernels.at(0).unsupported.ok()) << (*module)->kernels[0].unsupported.ToString();
    }
  }
}

TEST(Parser, DepthAndRepetitionAreBounded) {
  for (const char* unit : {"{", "[", "(", "}", "@", "{[", "a:", ".reg .b32 a<", ".param", "-", "L: .branchtargets ",
                           "\"", "/*", "a|", "call (", "0x"}) {
    std::string text;
    for (int i = 0; i < 20000; ++i) text += unit;
    (void)ParseModule(kHeader + text);
    if (const auto module = ParseModule(kHeader + Around(text)); module.ok()) ReadBodies(**module);
    (void)ParseModule(std::string(kHeader) + ".global .u64 x[9] = " + text);
  }
  // Many families of registers must not make every operand a search.
  std::string families = ".entry k() {";
  for (int i = 0; i < 20000; ++i) families += ".reg .b32 r" + std::to_string(i) + "_<2>;";
  for (int i = 0; i < 20000; ++i) families += "mov.b32 r" + std::to_string(i) + "_1, r7_0;";
  const auto module = ParseModule(kHeader + families + "}");
  ASSERT_TRUE(module.ok());
  ReadBodies(**module);
  EXPECT_EQ((*module)->kernels[0].instructions.size(), 20000u);
}

// As compilers write a pointer in a packed structure.
TEST(Parser, AddressesByteByByte) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += ", 0xFF" + std::string(2 * static_cast<std::size_t>(i), '0') + "(generic(y)+8)";
  const auto module = Parse(".global .u32 y;\n.global .align 1 .u8 x[10] = {7" + bytes + ", 9};\n");
  const Variable& x = module->variables.at(1);
  ASSERT_EQ(x.relocations.size(), 1u);
  EXPECT_EQ(x.relocations[0].offset, 1u);
  EXPECT_EQ(x.relocations[0].symbol, "y");
  EXPECT_EQ(x.relocations[0].addend, 8);
  EXPECT_EQ(x.initial[0], 7);
  EXPECT_EQ(x.initial[9], 9);
}

TEST(Parser, WhatStandsBetweenParametersAndBody) {
  const auto module = Parse(
      ".entry k() .reqntid 8, 4 .minnctapersm 2 .maxnreg 40 .pragma \"nounroll\"; { ret; }\n"
      ".entry clusters() .explicitcluster .reqnctapercluster 2, 1, 1 { ret; }\n.entry next() { ret; }\n");
  ASSERT_EQ(module->kernels.size(), 3u);
  EXPECT_EQ(module->kernels[0].max_threads, 32u);
  const std::uint32_t required[] = {8, 4, 1};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(module->kernels[0].required_threads[i], required[i]);
  EXPECT_NE(module->kernels[1].unsupported.text().find("clusters"), std::string::npos);
  EXPECT_TRUE(module->kernels[2].unsupported.ok());
}

TEST(Parser, ClustersOfWhoeverHasThem) {
  const auto module = LinkModules(
      {std::string(kHeader) +
       ".entry two() .explicitcluster .reqnctapercluster 2, 3 .maxntid 64 { ret; }\n.entry any() { ret; }\n"},
      true);
  ASSERT_TRUE(module.ok()) << module.status().ToString();
  const std::vector<Kernel>& kernels = (*module)->kernels;
  EXPECT_TRUE(kernels[0].unsupported.ok());
  EXPECT_TRUE(kernels[0].needs_cluster && !kernels[1].needs_cluster);
  const std::uint32_t required[] = {2, 3, 1};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(kernels[0].required_cluster[i], required[i]);
    EXPECT_EQ(kernels[1].required_cluster[i], 0u);
  }
  EXPECT_EQ(kernels[0].max_threads, 64u);
}

TEST(Parser, TablesOfCallTargetsAndAliases) {
  const auto module = Parse(
      ".func (.param .b32 r) f(.param .b64 a, .param .b32 b) { ret; }\n.alias g, f;\n"
      ".entry k() { .reg .b64 p; .param .b32 x; .param .b64 a; .param .b32 b; T: .calltargets g, f;\n"
      "mov.u64 p, f; call (x), p, (a, b), T; call (x), g, (a, b); ret; }\n");
  const Kernel& kernel = module->kernels.at(0);
  ASSERT_TRUE(kernel.unsupported.ok()) << kernel.unsupported.ToString();
  ASSERT_EQ(kernel.prototypes.size(), 1u);
  EXPECT_TRUE(kernel.prototypes[0].unsupported.ok()) << kernel.prototypes[0].unsupported.ToString();
  EXPECT_EQ(kernel.prototypes[0].parameters.size(), 2u);
  EXPECT_EQ(module->function.at("g"), module->function.at("f"));
  EXPECT_EQ(module->addressed.size(), 1u);
}

}  // namespace
}  // namespace accelmesh::ptx
