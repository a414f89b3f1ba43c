#include "shim/interpose/runtime_functions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "protocol/base/mapped_file.h"
#include "tests/unit/protocol/base/elf_recipe.h"

namespace accelmesh {
namespace {

using elf::Function;
using elf::MakeElf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

void Ours() {}
// What the small runtime of elf_recipe.h has, and a function that it lacks.
constexpr EntryPoint kTable[] = {
    {"__cudaLaunchKernel", &Ours},
    {"__cudaPopCallConfiguration", &Ours},
    {"__cudaPushCallConfiguration", &Ours},
    {"__cudaRegisterFatBinary", &Ours},
    {"__cudaRegisterFatBinaryEnd", &Ours},
    {"__cudaRegisterFunction", &Ours},
    {"__cudaUnregisterFatBinary", &Ours},
    {"cudaBrandNew", &Ours},
    {"cudaGetDeviceCount", &Ours},
    {"cudaLaunchKernel", &Ours},
    {"cudaMalloc", &Ours},
    {"cudaMemGetDefaultMemPool", &Ours},
};

Bytes File(std::vector<Function> functions) { return MakeElf({{"libc.so.6"}, true, "", std::move(functions)}); }

std::vector<std::string> Names(const std::vector<RuntimeFunction>& functions, bool known) {
  std::vector<std::string> names;
  for (const RuntimeFunction& function : functions) {
    if ((function.entry != nullptr) == known) names.emplace_back(function.name);
  }
  return names;
}

std::string FaultOf(std::vector<Function> functions) {
  const Bytes file = File(std::move(functions));
  const auto found = FindRuntimeFunctions(file, kTable);
  EXPECT_FALSE(found.ok());
  return found.ok() ? "" : found.status().text();
}

TEST(EntryPoints, AreFoundByName) {
  for (const EntryPoint& entry : kTable) EXPECT_EQ(FindEntryPoint(kTable, entry.name), &entry);
  for (const char* name : {"", "a", "cudaMallo", "cudaMallocs", "zzz"})
    EXPECT_EQ(FindEntryPoint(kTable, name), nullptr);
}

TEST(RuntimeFunctions, AllOfTheRuntimeAndNoneOfTheProgram) {
  std::vector<Function> functions = elf::RuntimeFunctions();
  functions.insert(functions.begin(), {{"cudaHelper"}, {"cudaCheck", true}});
  functions.push_back({"cudaCleanUp"});
  const Bytes file = File(functions);
  const auto found = FindRuntimeFunctions(file, kTable);
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(Names(*found, true).size(), 11u);
  EXPECT_THAT(Names(*found, false), ElementsAre());
  for (const RuntimeFunction& function : *found) {
    EXPECT_EQ(function.entry->name, function.name);
    EXPECT_EQ(function.code.size(), kJumpBytes);
    EXPECT_EQ(function.code.data(), file.data() + (function.address - elf::kLoadedAt));
  }
}

TEST(RuntimeFunctions, OneThatNobodyKnowsIsSeenWhereverTheRuntimeReaches) {
  const std::vector<Function> plain = elf::RuntimeFunctions();
  for (std::size_t at = 2; at + 2 < plain.size(); ++at) {
    std::vector<Function> functions = plain;
    functions.insert(functions.begin() + static_cast<std::ptrdiff_t>(at), {{"cudaNewer"}, {"cudaNewer.part.0", true}});
    const Bytes file = File(functions);
    const auto found = FindRuntimeFunctions(file, kTable);
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    EXPECT_THAT(Names(*found, false), ElementsAre("cudaNewer")) << "at " << at;
  }
}

TEST(RuntimeFunctions, TheProgramsOwnOfTheSameNameIsNotTheRuntimes) {
  for (const bool before : {true, false}) {
    std::vector<Function> functions = elf::RuntimeFunctions();
    functions.insert(before ? functions.begin() : functions.end(), {"cudaMalloc", true});
    const Bytes file = File(functions);
    const auto found = FindRuntimeFunctions(file, kTable);
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    EXPECT_EQ(Names(*found, true).size(), 11u);
    const auto malloc_at =
        std::find_if(found->begin(), found->end(), [](const auto& f) { return f.name == "cudaMalloc"; });
    ASSERT_NE(malloc_at, found->end());
    // Its neighbour is the runtime's.
    EXPECT_EQ(malloc_at[1].name, "cudaGetDeviceCount");
    EXPECT_EQ(malloc_at[1].address - malloc_at->address, 16u);
  }
}

TEST(RuntimeFunctions, TwoInTheRuntimeCannotBeToldApart) {
  std::vector<Function> functions = elf::RuntimeFunctions();
  functions.insert(functions.begin() + 5, {"cudaMalloc", true});
  EXPECT_THAT(FaultOf(functions), HasSubstr("two functions cudaMalloc"));
}

TEST(RuntimeFunctions, BranchTargetsAreLeft) {
  std::vector<Function> functions = elf::RuntimeFunctions();
  for (Function& function : functions) function.begin = {0xf3, 0x0f, 0x1e, 0xfa};
  const Bytes file = File(functions);
  const auto found = FindRuntimeFunctions(file, kTable);
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  for (const RuntimeFunction& function : *found) EXPECT_EQ(function.code.size(), kBranchTargetBytes + kJumpBytes);
}

TEST(RuntimeFunctions, NoRoomIsNoGuess) {
  for (const std::size_t bytes : {1u, 4u, 5u}) {
    std::vector<Function> functions = elf::RuntimeFunctions();
    functions[4].bytes = bytes;
    if (bytes < kJumpBytes) {
      EXPECT_THAT(FaultOf(functions), HasSubstr("no room to redirect " + functions[4].name));
    } else {
      EXPECT_TRUE(FindRuntimeFunctions(File(functions), kTable).ok());
    }
  }
  // Nine with a branch target.
  std::vector<Function> functions = elf::RuntimeFunctions();
  functions[4].bytes = 8;
  functions[4].begin = {0xf3, 0x0f, 0x1e, 0xfa};
  EXPECT_THAT(FaultOf(functions), HasSubstr("no room"));
}

TEST(RuntimeFunctions, OnlyCodeIsOverwritten) {
  Bytes file = File(elf::RuntimeFunctions());
  Elf64_Phdr segment;
  std::memcpy(&segment, file.data() + sizeof(Elf64_Ehdr), sizeof(segment));
  segment.p_flags = PF_R;
  std::memcpy(file.data() + sizeof(Elf64_Ehdr), &segment, sizeof(segment));
  EXPECT_FALSE(FindRuntimeFunctions(file, kTable).ok());
}

TEST(RuntimeFunctions, WithoutNamesThereIsNone) {
  EXPECT_THAT(FaultOf({}), HasSubstr("no symbol table"));
  EXPECT_THAT(FaultOf({{"main"}}), HasSubstr("no function of it"));
  EXPECT_FALSE(FindRuntimeFunctions({}, kTable).ok());
}

TEST(RuntimeFunctions, DamageEndsInAnAnswer) {
  const Bytes whole = File(elf::RuntimeFunctions());
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    Bytes damaged = whole;
    const int count = 1 + static_cast<int>(random() % 4);
    for (int i = 0; i < count; ++i) {
      const std::size_t at = random() % (damaged.size() - 8);
      const std::uint64_t value = random() % 2 == 0 ? random() % 1024 : ~std::uint64_t{0} >> (random() % 64);
      std::memcpy(damaged.data() + at, &value, 1 + random() % 8);
    }
    const auto found = FindRuntimeFunctions(damaged, kTable);
    if (!found.ok()) continue;
    for (std::size_t i = 0; i < found->size(); ++i) {
      const RuntimeFunction& function = (*found)[i];
      ASSERT_GE(function.code.data(), damaged.data());
      ASSERT_LE(function.code.data() + function.code.size(), damaged.data() + damaged.size());
      if (i > 0) {
        ASSERT_GE(function.address, (*found)[i - 1].address + (*found)[i - 1].code.size());
      }
    }
  }
}

}  // namespace
}  // namespace accelmesh
