// Properties of every function that the shared object has, with random arguments, against sums in long double.
// ACCELMESH_TEST_SEED=n draws others; a failure names its seed.
#include <gtest/gtest.h>

#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <set>

#include "protocol/library/library.h"
#include "tests/unit/server/backend/cpu/blas/plugin.h"
#include "tests/unit/server/backend/cpu/blas/rows.h"

namespace accelmesh::blas_test {
namespace {

constexpr int kPlainCases = 24, kLargeCases = 1, kHostileCases = 2;

void OnFault(int signal) {
  const char* const text = Case::Current();
  for (const char* const part : {"a fault in ", text, "\n"}) {
    if (::write(STDERR_FILENO, part, std::strlen(part)) < 0) break;
  }
  ::signal(signal, SIG_DFL);
}

std::uint64_t BaseSeed() {
  const char* const text = std::getenv("ACCELMESH_TEST_SEED");
  return text == nullptr ? 20 : std::strtoull(text, nullptr, 10);
}

class Function : public testing::TestWithParam<Row> {
 protected:
  static void SetUpTestSuite() {
    ::signal(SIGSEGV, &OnFault);
    ::signal(SIGBUS, &OnFault);
  }
};

TEST_P(Function, IsAsTheManualSays) {
  const Row& row = GetParam();
  const std::uint32_t number = Plugin::NumberOf(row.library, row.function);
  ASSERT_NE(number, 0u) << row.function << " is no function of the library";
  if (!Plugin::Get().Has(row.library, number)) GTEST_SKIP() << row.function << " is not there yet";
  // Each function draws its own.
  std::uint64_t seed = BaseSeed() * 1000;
  for (const char letter : row.function) seed = seed * 31 + static_cast<std::uint64_t>(letter);
  seed = seed % 1'000'000 * 100;
  const auto run = [&](Kind kind, int count) {
    for (int i = 0; i < count; ++i) {
      Case t(row.library, row.function, row.computed_in, ++seed, kind);
      row.run(t, row);
      if (t.is_refused()) {
        if (!row.may_refuse) FAIL() << Case::Current() << "\n  is refused";
        GTEST_SKIP() << row.function << " refuses " << NameOf(row.type);
      }
      t.Finish();
      if (t.has_failed()) return;
    }
  };
  run(Kind::kPlain, kPlainCases);
  if (!HasFailure() && !IsSkipped()) run(Kind::kLarge, kLargeCases);
  if (!HasFailure() && !IsSkipped()) run(Kind::kHostile, kHostileCases);
}

std::string NameOfRow(const testing::TestParamInfo<Row>& info) {
  const Row& row = info.param;
  std::string name = row.function.substr(std::strlen("cublas"));
  if (row.is_ex) {
    name += std::string("_") + NameOf(row.type) + "_" + NameOf(row.out) + "_" + NameOf(row.scalar);
    if (row.compute != 0) name += "_" + std::to_string(row.compute);
    if (!row.variant.empty()) name += "_" + row.variant;
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Cublas, Function, testing::ValuesIn(AllRows()), &NameOfRow);

// A function that is added is tested, too, or this names it.
TEST(Coverage, EveryFunctionHasARow) {
  std::set<std::string> known;
  for (const Row& row : AllRows()) known.insert(row.function);
  for (const std::string& function : Undocumented()) known.insert(function);
  std::size_t count = 0;
  for (const std::string& function : Plugin::Get().Functions(kLibraryBlas)) {
    ++count;
    EXPECT_TRUE(known.contains(function)) << function << " is in no row of tests/unit/server/backend/cpu/blas";
  }
  std::cout << "the shared object has " << count << " functions; rows name " << known.size() << "\n";
}

}  // namespace
}  // namespace accelmesh::blas_test
