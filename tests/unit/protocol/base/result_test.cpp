#include "protocol/base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <set>
#include <string>

namespace accelmesh {
namespace {

Status Failed() { return {Code::kNotFound, "Table::Find.name", "no \"x\" there"}; }

TEST(StatusTest, SaysWhatWhereAndWhy) {
  EXPECT_TRUE(Status::Ok().ok());
  EXPECT_EQ(Status::Ok().ToString(), "ok");
  const Status failed = Failed();
  EXPECT_FALSE(failed.ok());
  EXPECT_EQ(failed.code(), Code::kNotFound);
  EXPECT_EQ(failed.where(), "Table::Find.name");
  EXPECT_EQ(failed.ToString(), "not_found in Table::Find.name: no \"x\" there");
}

TEST(StatusTest, SystemCarriesTheReason) {
  const Status failed = Status::System(ENOENT, "Open.path", "opening a.txt");
  EXPECT_EQ(failed.code(), Code::kSystem);
  EXPECT_EQ(failed.ToString(), "system in Open.path: opening a.txt: No such file or directory");
}

TEST(CodeNameTest, EveryCodeHasItsOwn) {
  std::set<std::string_view> names;
  for (std::uint16_t code = 0; code <= static_cast<std::uint16_t>(Code::kInternal); ++code) {
    const std::string_view name = CodeName(static_cast<Code>(code));
    EXPECT_NE(name, "unknown") << code;
    EXPECT_TRUE(names.insert(name).second) << name;
  }
  // A number that a peer made up.
  EXPECT_EQ(CodeName(static_cast<Code>(999)), "unknown");
}

TEST(ResultTest, HoldsAValueOrAStatus) {
  const Result<int> good = 7;
  EXPECT_TRUE(good.ok());
  EXPECT_EQ(good.code(), Code::kOk);
  EXPECT_EQ(*good, 7);
  const Result<int> bad = Failed();
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.code(), Code::kNotFound);
  EXPECT_EQ(bad.status().text(), "no \"x\" there");
}

TEST(ResultTest, MovesAValueThatCannotBeCopied) {
  Result<std::unique_ptr<int>> made = std::make_unique<int>(3);
  const std::unique_ptr<int> taken = std::move(made).value();
  EXPECT_EQ(*taken, 3);
}

TEST(MacroTest, ReturnIfErrorEvaluatesOnceAndStopsAtTheFirst) {
  int calls = 0;
  const auto run = [&](bool fails) -> Status {
    ACCELMESH_RETURN_IF_ERROR((++calls, fails ? Failed() : Status::Ok()));
    ++calls;
    return Status::Ok();
  };
  EXPECT_EQ(run(true).code(), Code::kNotFound);
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(run(false).ok());
  EXPECT_EQ(calls, 3);
}

TEST(MacroTest, AssignOrReturnTakesTheValueOrPassesTheStatusUp) {
  const auto run = [](Result<std::unique_ptr<int>> first) -> Result<int> {
    ACCELMESH_ASSIGN_OR_RETURN(const std::unique_ptr<int> value, std::move(first));
    ACCELMESH_ASSIGN_OR_RETURN(const int second, Result<int>(*value + 1));
    return second;
  };
  EXPECT_EQ(*run(std::make_unique<int>(4)), 5);
  EXPECT_EQ(run(Failed()).status().ToString(), Failed().ToString());
}

}  // namespace
}  // namespace accelmesh
