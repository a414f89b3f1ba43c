// LinkModules: one module of several texts; ReadBodies: instructions are read when somebody needs them, once.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "server/backend/cpu/ptx/module.h"

namespace accelmesh::ptx {
namespace {

constexpr const char* kHeader = ".version 8.7\n.target sm_90a, debug\n.address_size 64\n";

// Bodies --------------------------------------------------------------------------------------------------------------

TEST(Bodies, AreReadWhenSomebodyNeedsThem) {
  const auto module = ParseModule(std::string(kHeader) +
                                  ".func leaf() { .local .b8 depot[40]; ret; }\n.func unused() { ret; }\n"
                                  ".entry k() { .reg .b32 %r<7>; .shared .b8 s[12]; call leaf; ret; }\n"
                                  ".entry bad() { mov.u32 x y; }\n");
  ASSERT_TRUE(module.ok()) << module.status().ToString();
  const Kernel& kernel = (*module)->kernels[0];
  // What a launch is checked against is known before.
  EXPECT_EQ(kernel.static_shared_bytes, 12u);
  EXPECT_EQ(kernel.registers, 7u);
  EXPECT_EQ((*module)->functions[0].local_bytes, 40u);
  EXPECT_TRUE(kernel.instructions.empty());
  EXPECT_TRUE((*module)->kernels[1].unsupported.ok());
  ReadBodies(**module, kernel);
  ReadBodies(**module, kernel);
  EXPECT_EQ(kernel.instructions.size(), 2u);
  EXPECT_EQ(kernel.registers, 7u);
  EXPECT_EQ((*module)->functions[0].instructions.size(), 1u);
  EXPECT_EQ((*module)->functions[0].local_bytes, 40u);
  EXPECT_TRUE((*module)->functions[1].instructions.empty()) << "nobody calls it";
  ReadBodies(**module, (*module)->kernels[1]);
  EXPECT_EQ((*module)->kernels[1].unsupported.code(), Code::kUnsupported);
  EXPECT_EQ((*module)->kernels[1].unsupported.where(), "ptx line 7");
}

TEST(Bodies, OfWhatAPointerMayLeadTo) {
  const auto module =
      ParseModule(std::string(kHeader) +
                  ".func f() { .shared .b8 s[20]; .reg .b32 r; mov.u32 r, s; ret; }\n"
                  ".global .u64 table[1] = {f};\n.func not_addressed() { ret; }\n"
                  ".entry k() { .reg .b64 p; P: .callprototype _ (); ld.global.u64 p, [table]; call p, (), P; }\n"
                  ".entry other() { ret; }\n");
  ASSERT_TRUE(module.ok()) << module.status().ToString();
  EXPECT_EQ((*module)->kernels[0].static_shared_bytes, 20u);
  EXPECT_EQ((*module)->kernels[1].static_shared_bytes, 0u);
  ReadBodies(**module, (*module)->kernels[1]);
  EXPECT_TRUE((*module)->functions[0].instructions.empty());
  ReadBodies(**module, (*module)->kernels[0]);
  EXPECT_EQ((*module)->functions[0].instructions.size(), 2u);
  EXPECT_TRUE((*module)->functions[1].instructions.empty());
}

TEST(Bodies, AreReadOnceByManyThreads) {
  std::string text = std::string(kHeader) + ".func shared_by_all() { add.s32 %r1, %r1, %r1; ret; }\n";
  constexpr std::size_t kKernels = 40;
  for (std::size_t i = 0; i < kKernels; ++i) {
    text += ".entry k" + std::to_string(i) + "() { .reg .b32 %r<9>; call shared_by_all;";
    for (int n = 0; n < 200; ++n) text += " mov.u32 %r" + std::to_string(n % 9) + ", %tid.x;";
    text += " }\n";
  }
  const auto module = ParseModule(text);
  ASSERT_TRUE(module.ok());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (const Kernel& kernel : (*module)->kernels) ReadBodies(**module, kernel);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Kernel& kernel : (*module)->kernels) EXPECT_EQ(kernel.instructions.size(), 201u) << kernel.name;
  EXPECT_EQ((*module)->functions[0].instructions.size(), 2u);
}

// Linking -------------------------------------------------------------------------------------------------------------

std::shared_ptr<const Module> Linked(const std::vector<std::string>& bodies) {
  std::vector<std::string> texts;
  for (const std::string& body : bodies) texts.push_back(kHeader + body);
  auto module = LinkModules(std::move(texts));
  EXPECT_TRUE(module.ok()) << module.status().ToString();
  if (module.ok()) ReadBodies(**module);
  return module.ok() ? *module : std::make_shared<Module>();
}
const Variable* Find(const Module& module, std::string_view name) {
  for (const Variable& variable : module.variables) {
    if (variable.name == name) return &variable;
  }
  return nullptr;
}

TEST(Linking, NamesOfOneTextAreDefinedInAnother) {
  const auto module =
      Linked({".extern .func f; .extern .global .u32 x; .extern .shared .b8 dynamic[];\n"
              ".global .u64 table[2] = {f, x+4};\n.entry k() { call f; ret; }",
              ".visible .global .u32 x = 7; .visible .shared .b8 s[24]; .visible .func f() { .reg .b32 r; "
              "mov.u32 r, s; mov.u32 r, dynamic; ret; }\n.extern .shared .align 32 .b8 dynamic[];"});
  ASSERT_EQ(module->functions.size(), 1u);
  EXPECT_EQ(module->function.at("f"), 0u);
  const Variable* x = Find(*module, "x");
  ASSERT_NE(x, nullptr);
  EXPECT_FALSE(x->is_extern);
  EXPECT_EQ(x->initial.at(0), 7);
  const Variable* table = Find(*module, "table");
  std::uint64_t held = 0;
  std::memcpy(&held, table->initial.data(), sizeof(held));
  EXPECT_EQ(held, module->FunctionAddress(0));
  ASSERT_EQ(table->relocations.size(), 1u);
  EXPECT_EQ(table->relocations[0].symbol, "x");
  const Kernel& kernel = module->kernels.at(0);
  EXPECT_EQ(kernel.static_shared_bytes, 24u) << "of the function that it calls";
  EXPECT_EQ(kernel.dynamic_shared_alignment, 32u);
  EXPECT_EQ(module->functions[0].instructions.size(), 3u);
}

TEST(Linking, StaticNamesStayApart) {
  const auto module =
      Linked({".global .u32 x = 1; .func f() { ret; } .entry a() { .reg .b64 p; call f; mov.u64 p, x; ret; }",
              ".global .u32 x = 2; .func f() { ret; ret; } .global .u64 y = x; .entry b() { call f; ret; }",
              ".visible .global .u32 x = 3; .entry c() { .reg .b64 p; mov.u64 p, x; ret; }"});
  ASSERT_EQ(module->variables.size(), 4u);
  EXPECT_EQ(Find(*module, "x")->initial.at(0), 3);
  EXPECT_EQ(module->functions.size(), 2u);
  const auto called = [&](std::size_t kernel) {
    return module->functions[module->function.at(module->kernels[kernel].instructions[0].operands[0].symbol)]
        .instructions.size();
  };
  EXPECT_EQ(called(0), 1u);
  EXPECT_EQ(called(1), 2u);
  const std::string_view named = module->kernels[0].instructions[1].operands[1].symbol;
  EXPECT_EQ(Find(*module, named)->initial.at(0), 1);
  EXPECT_EQ(Find(*module, Find(*module, "y")->relocations.at(0).symbol)->initial.at(0), 2);
  EXPECT_EQ(module->kernels[2].instructions[0].operands[1].symbol, "x");
}

TEST(Linking, OneOfSeveralDefinitionsHolds) {
  const auto module =
      Linked({".weak .func f() { ret; } .common .global .b8 c[4]; .weak .global .u32 w = 1;\n"
              ".weak .entry k() { ret; }",
              ".visible .func f() { ret; ret; } .common .global .b8 c[16]; .weak .global .u32 w = 2;\n"
              ".weak .entry k() { ret; ret; }",
              ".weak .func f() { ret; ret; ret; } .common .global .b8 c[8];"});
  ASSERT_EQ(module->functions.size(), 1u);
  EXPECT_EQ(module->functions[0].instructions.size(), 2u) << "the visible one";
  EXPECT_EQ(Find(*module, "c")->bytes, 16u);
  EXPECT_EQ(Find(*module, "w")->initial.at(0), 1);
  ASSERT_EQ(module->kernels.size(), 1u);
  EXPECT_EQ(module->kernels[0].instructions.size(), 1u);
}

TEST(Linking, WhatADeviceTakes) {
  const auto module = Linked({""});  // 8.7 for sm_90a
  EXPECT_TRUE(CheckTarget(*module, 90).ok());
  EXPECT_TRUE(CheckTarget(*module, 120).ok());
  EXPECT_EQ(CheckTarget(*module, 89).code(), Code::kInvalidArgument);
  EXPECT_TRUE(CheckTarget(**ParseModule(".version 9.0\n.target sm_75"), 75).ok());
  EXPECT_EQ(CheckTarget(**ParseModule(".version 9.1\n.target sm_75"), 75).code(), Code::kVersionMismatch);
}

TEST(Linking, WhatNobodyDefinesIsLeftOpen) {
  const auto module = Linked({".extern .func f; .extern .global .u32 x; .entry k() { call f; ret; }", ""});
  EXPECT_FALSE(module->function.contains("f"));
  EXPECT_TRUE(Find(*module, "x")->is_extern);
  EXPECT_FALSE(LinkModules({kHeader, "no ptx"}).ok());
}

}  // namespace
}  // namespace accelmesh::ptx
