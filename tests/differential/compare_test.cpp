// The tester's own test: programs are the same for the same seed, and what is wrong is found and made small.
#include "tests/differential/compare.h"

#include <gtest/gtest.h>

#include "tests/differential/generator.h"
#include "tests/differential/operations.h"
#include "tests/differential/writer.h"

namespace accelmesh::differential {
namespace {

TEST(Generate, IsAFunctionOfTheSeed) {
  for (std::uint64_t seed = 1; seed < 20; ++seed) {
    EXPECT_EQ(WritePtx(Generate(seed)), WritePtx(Generate(seed)));
    EXPECT_EQ(GenerateMemory(Generate(seed)), GenerateMemory(Generate(seed)));
  }
  EXPECT_NE(WritePtx(Generate(1)), WritePtx(Generate(2)));
}

TEST(Generate, ComesToEveryOperation) {
  std::vector<bool> seen(Operations().size());
  const std::function<void(const Body&)> look = [&](const Body& body) {
    for (const Statement& s : body) {
      if (s.what == Statement::What::kOperate) seen[s.index] = true;
      look(s.body);
      look(s.otherwise);
    }
  };
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) look(Generate(seed).body);
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_TRUE(seen[i]) << Operations()[i].text;
}

// Each operation that a program starts with, wrong on one side: the difference is told, and what remains is that
// operation and what it needs.
TEST(Compare, FindsWhatIsWrongAndMakesItSmall) {
  Device device("");
  int found = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const Program program = Generate(seed);
    ReferenceOptions options;
    for (const Statement& s : program.body) {
      if (s.what == Statement::What::kOperate && !s.guarded) options.wrong_operation = s.index;
    }
    if (!options.wrong_operation) continue;
    const Comparison comparison = Compare(program, {Tier::k0}, device, options);
    // What is written last may hide it.
    if (!comparison.difference) continue;
    ++found;
    EXPECT_NE(comparison.difference->text.find("the reference has"), std::string::npos) << comparison.difference->text;
    const Program small = Shrink(program, [&](const Program& candidate) {
      return Compare(candidate, {Tier::k0}, device, options).difference.has_value();
    });
    ASSERT_EQ(small.body.size(), 1u) << WritePtx(small);
    if (small.body[0].what == Statement::What::kOperate) {
      EXPECT_EQ(small.body[0].index, *options.wrong_operation);
    }
    EXPECT_EQ(small.blocks, 1u);
  }
  EXPECT_GT(found, 10);
}

TEST(Describe, NamesThreadRegisterAndValues) {
  const Program program = Generate(3);
  const Bytes memory = GenerateMemory(program);
  EXPECT_EQ(Describe(program, memory, memory), "");
  Bytes wrong = memory;
  wrong[Layout(program).results() + 5 * Layout::kRecordBytes + Layout::k32 + 4 * 2 + 1] ^= 0xff;
  EXPECT_NE(Describe(program, memory, wrong).find("block 0, thread 5: %r2 is 0xff00, the reference has 0x0"),
            std::string::npos)
      << Describe(program, memory, wrong);
}

}  // namespace
}  // namespace accelmesh::differential
