// Calls that a client must not make, and that harm nobody.
#include <limits>

#include "tests/unit/server/backend/cpu/blas/case.h"

namespace accelmesh::blas_test {
namespace {

constexpr std::uint32_t kIllegalAddress = 700, kMisalignedAddress = 716;

}  // namespace

// What faults would end the process; what is refused must be told, and nothing may have been written by then.
void Case::MustFail(const std::vector<Word>& words, const std::string& how) {
  if (has_failed_) return;
  const cpu_blas::Outcome outcome = Execute(words, how);
  if (has_failed_) return;
  Require(outcome.device_status != 0, "did not fail");
  Require(outcome.device_status == 0 || (outcome.is_sticky && (outcome.device_status == kIllegalAddress ||
                                                               outcome.device_status == kMisalignedAddress)),
          "failed with " + std::to_string(outcome.device_status) + ", \"" + outcome.text +
              "\", which is not a sticky error of an address");
}

void Case::MayFail(const std::vector<Word>& words, const std::string& how) {
  if (has_failed_) return;
  const cpu_blas::Outcome outcome = Execute(words, how);
  if (outcome.device_status == 0) return memory_.Restore();
  const std::string change = memory_.FirstChange();
  Require(change.empty(), "failed, but " + change);
}

void Case::Torment() {
  const auto with = [&](std::size_t index, std::uint64_t value) {
    std::vector<Word> words = words_;
    words[index].value = value;
    return words;
  };
  const auto unchanged = [&](const std::string& how) {
    if (has_failed_) return;
    const std::string change = memory_.FirstChange();
    Require(change.empty(), "failed" + how + ", but " + change);
  };
  for (Operand* const operand : memory_.operands()) {
    if (operand->elements == 0) continue;
    const std::string how = " with a " + std::string(NameOf(operand->type)) + " operand that is no memory";
    memory_.Deny(operand, true);
    MustFail(words_, how);
    memory_.Deny(operand, false);
    unchanged(how);
  }
  for (std::size_t i = 0; i < words_.size(); ++i) {
    const Word& word = words_[i];
    const std::string which = " with word " + std::to_string(i);
    if (word.is == Is::kAddress || (word.is == Is::kOptional && word.operand != nullptr)) {
      if (BytesOf(word.operand->type) > 1) {
        memory_.set_slack(1);
        MustFail(with(i, word.value + 1), which + " misaligned");
        memory_.set_slack(0);
        unchanged(which + " misaligned");
      }
      const std::uint64_t random = random_();
      for (const std::uint64_t address : {std::uint64_t{0}, std::uint64_t{8}, std::uint64_t{1} << 47,
                                          ~std::uint64_t{0} - 15, random & ~std::uint64_t{15}, random}) {
        if (word.is == Is::kOptional && address == 0) continue;
        MustFail(with(i, address), which + " at " + std::to_string(address));
        unchanged(which);
      }
    } else if (word.is == Is::kDimension || word.is == Is::kStep) {
      for (const i64 value : {i64{-1}, std::numeric_limits<i64>::min(), i64{std::numeric_limits<std::int32_t>::max()},
                              i64{1} << 31, i64{1} << 40, std::numeric_limits<i64>::max()})
        MayFail(with(i, static_cast<std::uint64_t>(value)), which + " changed");
    } else if (word.is == Is::kEnumerator) {
      for (const i64 value : {-1, 3, 77}) MayFail(with(i, static_cast<std::uint64_t>(value)), which + " changed");
    }
  }
  // More than all memory, with strides to match.
  for (const i64 size : {i64{std::numeric_limits<std::int32_t>::max()}, i64{1} << 40, i64{1} << 61}) {
    std::vector<Word> words = words_;
    bool any = false;
    for (Word& word : words) {
      any = any || word.is == Is::kDimension;
      if (word.is == Is::kDimension) word.value = static_cast<std::uint64_t>(size);
      if (word.is == Is::kStep) word.value = static_cast<std::uint64_t>(size > i64{1} << 60 ? size + 1 : 2 * size + 1);
    }
    if (any) MustFail(words, " with everything " + std::to_string(size));
    unchanged("");
  }
}

}  // namespace accelmesh::blas_test
