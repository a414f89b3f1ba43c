#include "protocol/base/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/unit/protocol/base/elf_recipe.h"

namespace accelmesh {
namespace {

using elf::MakeElf;
using elf::Recipe;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string FaultOf(const Recipe& recipe) {
  const Result<ProgramFacts> facts = ReadProgram(MakeElf(recipe));
  EXPECT_TRUE(facts.ok()) << facts.status().ToString();
  return facts.ok() ? FindRuntimeFault(*facts, "a.out").text : "unread";
}

TEST(Program, ReadsWhatItNeedsAndHolds) {
  const Result<ProgramFacts> facts = ReadProgram(MakeElf({{"libm.so.6", "libcudart.so.13"}, true, ""}));
  ASSERT_TRUE(facts.ok()) << facts.status().ToString();
  EXPECT_THAT(facts->needed, ElementsAre("libm.so.6", "libcudart.so.13"));
  EXPECT_TRUE(facts->has_fatbins);
  EXPECT_FALSE(facts->imports_runtime);
}

TEST(Program, TheSharedRuntimeOfThisVersionIsServed) {
  EXPECT_THAT(FaultOf({{"libcudart.so.13"}, true, ""}), IsEmpty());
  EXPECT_THAT(FaultOf({{"libcudart.so.13"}, false, ""}), IsEmpty());
  EXPECT_THAT(FaultOf({{"libc.so.6"}, false, ""}), IsEmpty());
  EXPECT_THAT(FaultOf({{}, false, ""}), IsEmpty());
  // The runtime comes through another library of the program's.
  EXPECT_THAT(FaultOf({{"libkernels.so"}, true, "__cudaRegisterFatBinary"}), IsEmpty());
}

TEST(Program, TheStaticRuntimeIsNamedWithItsRemedy) {
  for (const Recipe& recipe : {Recipe{{"libc.so.6"}, true, ""}, Recipe{{}, true, "cudaMalloc"}}) {
    const std::string fault = FaultOf(recipe);
    EXPECT_THAT(fault, HasSubstr("a.out"));
    EXPECT_THAT(fault, HasSubstr("static CUDA runtime"));
    EXPECT_THAT(fault, HasSubstr("nvcc -cudart shared"));
    EXPECT_EQ(fault.find('\n'), std::string::npos);
  }
}

// The functions of a static runtime, without those named so and with another one.
std::vector<elf::Function> Changed(const std::string& without, const std::string& with = "atexit") {
  std::vector<elf::Function> functions = elf::RuntimeFunctions();
  std::erase_if(functions, [&](const elf::Function& f) { return f.name == without; });
  functions.push_back({with});
  return functions;
}

TEST(Program, AStaticRuntimeWithItsNamesIsServed) {
  const Result<ProgramFacts> facts = ReadProgram(MakeElf({{"libc.so.6"}, true, "", elf::RuntimeFunctions()}));
  ASSERT_TRUE(facts.ok()) << facts.status().ToString();
  EXPECT_TRUE(facts->has_symbols);
  EXPECT_EQ(facts->static_runtime, StaticRuntime::kServed);
  EXPECT_THAT(FindRuntimeFault(*facts, "a.out").text, IsEmpty());
  // Also without kernels of its own, and beside a shared one.
  EXPECT_THAT(FaultOf({{"libc.so.6"}, false, "", elf::RuntimeFunctions()}), IsEmpty());
  EXPECT_THAT(FaultOf({{"libcudart.so.13"}, true, "__cudaRegisterFatBinary", elf::RuntimeFunctions()}), IsEmpty());
}

TEST(Program, FunctionsThatAreCalledLikeTheRuntimesAreNone) {
  std::vector<elf::Function> functions = elf::RuntimeFunctions();
  std::erase_if(functions, [](const elf::Function& f) { return IsRuntimeInternal(f.name); });
  const Result<ProgramFacts> facts = ReadProgram(MakeElf({{"libc.so.6"}, false, "", functions}));
  ASSERT_TRUE(facts.ok());
  EXPECT_EQ(facts->static_runtime, StaticRuntime::kNone);
  EXPECT_THAT(FindRuntimeFault(*facts, "a.out").text, IsEmpty());
  for (const char* name : {"libcudart_static_", "libcudart_static_0123456789abcdef0123456789abcdef01234567.cold",
                           "libcudart_static_0123456789abcdef0123456789abcdef0123456g"})
    EXPECT_FALSE(IsRuntimeInternal(name)) << name;
  EXPECT_TRUE(IsRuntimeInternal("libcudart_static_0123456789abcdef0123456789abcdef01234567"));
}

TEST(Program, AStaticRuntimeOfAnotherVersionIsNamed) {
  for (const auto& functions : {Changed("cudaMemGetDefaultMemPool"), Changed("", "cudaGetDeviceProperties_v2"),
                                Changed("", "cudaThreadSynchronize")}) {
    const std::string fault = FaultOf({{"libc.so.6"}, true, "", functions});
    EXPECT_THAT(fault, HasSubstr("another CUDA version"));
    EXPECT_THAT(fault, HasSubstr("CUDA 13 toolkit"));
  }
}

TEST(Program, AStaticRuntimeThatLostNamesIsNamed) {
  std::vector<elf::Function> without_locals = elf::RuntimeFunctions();
  for (elf::Function& function : without_locals) function.is_local = false;
  for (const auto& functions : {Changed("cudaMalloc"), Changed("__cudaRegisterFunction"), without_locals}) {
    const std::string fault = FaultOf({{"libc.so.6"}, true, "", functions});
    EXPECT_THAT(fault, HasSubstr("partly stripped"));
    EXPECT_THAT(fault, HasSubstr("do not strip"));
  }
  EXPECT_THAT(FaultOf({{"libc.so.6"}, true, ""}), HasSubstr("and stripped"));
  EXPECT_THAT(FaultOf({{"libc.so.6"}, true, "", {{"main"}}}), HasSubstr("does not know"));
}

TEST(Program, AProgramWithoutLoaderIsNamedWhenItIsStarted) {
  Recipe recipe{{}, true, "", elf::RuntimeFunctions(), false};
  const Result<ProgramFacts> facts = ReadProgram(MakeElf(recipe));
  ASSERT_TRUE(facts.ok());
  EXPECT_THAT(FindStartFault(*facts, "a.out").text, HasSubstr("link it dynamically"));
  EXPECT_THAT(FindRuntimeFault(*facts, "a.so").text, IsEmpty());
  recipe = {{}, false, "", {}, false};
  EXPECT_THAT(FindStartFault(*ReadProgram(MakeElf(recipe)), "a.out").text, IsEmpty());
  recipe.has_loader = true;
  recipe.has_fatbins = true;
  EXPECT_THAT(FindStartFault(*ReadProgram(MakeElf(recipe)), "a.out").text, HasSubstr("and stripped"));
}

TEST(Program, AnotherMajorVersionIsNamed) {
  for (const char* name : {"libcudart.so.12", "libcudart.so.11.0", "libcudart.so.130", "libcudart.so."}) {
    const Result<ProgramFacts> facts = ReadProgram(MakeElf({{"libc.so.6", name}, true, ""}));
    ASSERT_TRUE(facts.ok());
    const RuntimeFault fault = FindRuntimeFault(*facts, "a.out");
    EXPECT_TRUE(fault.is_shared) << name;
    EXPECT_THAT(fault.text, HasSubstr(name));
    EXPECT_THAT(fault.text, HasSubstr("CUDA 13"));
  }
}

TEST(Program, NamesOfAnyKindGiveOneShortLine) {
  const std::string lines = FaultOf({{"libcudart.so.12\nerror: \x1b[31m everything is lost"}, true, ""});
  EXPECT_THAT(lines, HasSubstr("libcudart.so.12?error: ?[31m everything"));
  EXPECT_EQ(lines.find('\n'), std::string::npos);
  // Longer than any file's name: as if it had none.
  EXPECT_THAT(FaultOf({{"libcudart.so.12" + std::string(5000, 'x')}, false, ""}), IsEmpty());
}

TEST(Program, WhatIsNoProgramIsNotFound) {
  EXPECT_EQ(ReadProgram({}).code(), Code::kNotFound);
  EXPECT_EQ(ReadProgram(AsBytes(std::string_view("#!/bin/sh\necho"))).code(), Code::kNotFound);
  Bytes other = MakeElf({{}, false, ""});
  other[EI_CLASS] = ELFCLASS32;
  EXPECT_EQ(ReadProgram(other).code(), Code::kNotFound);
  EXPECT_EQ(ReadProgramFile("/").code(), Code::kNotFound);
  EXPECT_EQ(ReadProgramFile("/nowhere/at/all").code(), Code::kSystem);
}

TEST(Program, ReadsTheProgramThatRunsThisTest) {
  const Result<ProgramFacts> facts = ReadProgramFile("/proc/self/exe");
  ASSERT_TRUE(facts.ok()) << facts.status().ToString();
  EXPECT_THAT(facts->needed, ::testing::Contains("libc.so.6"));
  EXPECT_FALSE(facts->has_fatbins);
}

TEST(Program, EveryTruncationEndsInAnAnswer) {
  const Bytes whole =
      MakeElf({{"libcudart.so.12", "libc.so.6"}, true, "__cudaRegisterFatBinary", elf::RuntimeFunctions()});
  for (std::size_t bytes = 0; bytes < whole.size(); ++bytes) {
    // A copy of exactly that size, so that a sanitizer sees a read past its end.
    const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes));
    EXPECT_FALSE(ReadProgram(part).ok()) << bytes << " of " << whole.size();
  }
}

TEST(Program, DamageEndsInAnAnswer) {
  const Bytes whole =
      MakeElf({{"libcudart.so.12", "libc.so.6"}, true, "__cudaRegisterFatBinary", elf::RuntimeFunctions()});
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    Bytes damaged = whole;
    const int count = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < count; ++i) {
      // Whole words at a time: offsets and sizes that lie are what matters.
      const std::size_t at = random() % (damaged.size() - 8);
      const std::uint64_t value = random() % 2 == 0 ? random() % 1024 : ~std::uint64_t{0} >> (random() % 64);
      std::memcpy(damaged.data() + at, &value, 1 + random() % 8);
    }
    const Result<ProgramFacts> facts = ReadProgram(damaged);
    if (facts.ok()) FindRuntimeFault(*facts, "a.out");
  }
}

}  // namespace
}  // namespace accelmesh
