#include "tests/unit/server/backend/cpu/blas/case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "protocol/library/library.h"
#include "tests/unit/server/backend/cpu/blas/plugin.h"

namespace accelmesh::blas_test {
namespace {

constexpr std::uint32_t kNotSupported = 801;
// What a sum of n terms may be off, in units of n roundings: complex products, and sums that are split among blocks.
constexpr long double kSlack = 4;

char current[2048];

}  // namespace

Case::Case(std::uint32_t library, const std::string& function, Type computed_in, std::uint64_t seed, Kind kind)
    : library_(library),
      function_(function),
      number_(Plugin::NumberOf(library, function)),
      computed_in_(computed_in),
      seed_(seed),
      kind_(kind),
      random_(seed),
      memory_(Memory::Get()),
      on_device_(Chance(50)) {
  memory_.Clear();
}

i64 Case::Dimension() {
  static constexpr i64 kSizes[] = {1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17, 19, 23, 29, 31, 37, 41, 47, 53, 64, 67, 70};
  if (kind_ == Kind::kHostile) return 2 + Below(7);
  if (kind_ == Kind::kLarge) {
    if (has_large_ || Chance(50)) return 1 + Below(24);
    has_large_ = true;
    return 130 + Below(170);
  }
  if (Chance(5)) return 0;
  // Small ones more often: they take less time, and there are more ways to be wrong near an edge.
  const i64 most = static_cast<i64>(std::size(kSizes));
  return kSizes[Below(1 + Below(most))];
}

i64 Case::Length() {
  if (kind_ == Kind::kHostile) return 2 + Below(7);
  if (kind_ == Kind::kLarge) return 9000 + Below(20000);
  return Chance(5) ? 0 : Chance(20) ? 1 + Below(3) : 1 + Below(200);
}

i64 Case::Count() {
  if (kind_ == Kind::kHostile) return 2 + Below(2);
  if (kind_ == Kind::kLarge) return 2;
  return Chance(8) ? 0 : 1 + Below(4);
}

i64 Case::Increment() {
  if (kind_ == Kind::kLarge) return Chance(50) ? 1 : OneOf<i64>({2, 3, -1, -2});
  return Chance(40) ? 1 : OneOf<i64>({2, 3, 5, -1, -1, -2, -3, -7});
}

Wide Case::Number(Type type) {
  const auto part = [&]() -> long double {
    if (IsInteger(type)) {
      const i64 number = Below(255) - 127;
      return static_cast<long double>(number == 0 ? 3 : number);
    }
    const long double size =
        std::ldexp(static_cast<long double>(1 + (random_() >> 12)), -52) + 0.03125L;  // 52 digits below 1
    return Chance(50) ? -size : size;
  };
  std::uint8_t bytes[16];
  const long double re = part();
  Store(type, bytes, {re, IsComplex(type) ? part() : 0});
  return Load(type, bytes);
}

Wide Case::Drawn(Type type) {
  if (kind_ != Kind::kHostile && Chance(20)) return {};
  if (kind_ != Kind::kHostile && Chance(25)) return {1, 0};
  if (type == Type::kR32I) return {static_cast<long double>(OneOf<i64>({-3, -1, 2, 5})), 0};
  return Number(type);
}

Memory::Place Case::Place() {
  return Chance(50) ? Memory::Place::kEnd : Chance(40) ? Memory::Place::kBegin : Memory::Place::kMidst;
}

Operand* Case::Plain(Type type, i64 elements) {
  Operand* const operand = memory_.Add(type, elements, Place());
  if (elements > 0) memory_.Allow(operand, 0, elements);
  // Nobody may look at what is empty.
  if (elements == 0) operand->address = OneOf<std::uint64_t>({0, operand->address, 0xdead0000});
  return operand;
}

Scalar Case::Values(Type type, const std::vector<Wide>& values) {
  Scalar scalar{type, values[0], values, nullptr};
  if (on_device_) {
    scalar.memory = Plain(type, static_cast<i64>(values.size()));
    for (std::size_t i = 0; i < values.size(); ++i) scalar.memory->Set(static_cast<i64>(i), values[i]);
  }
  return scalar;
}

Result Case::MakeResult(Type type, i64 elements, std::vector<Wide> before) {
  Result result{type, elements, std::move(before)};
  if (on_device_) {
    result.memory = Plain(type, elements);
    for (std::size_t i = 0; i < result.before.size(); ++i) result.memory->Set(static_cast<i64>(i), result.before[i]);
  } else {
    result.offset = result_bytes_;
    result_bytes_ += BytesOf(type) * static_cast<std::size_t>(elements);
  }
  return result;
}

void Case::Lay(Pieces& pieces, Type type, i64 extent, Role role, Batch batch) {
  const auto place_of = [&](i64 piece, i64 apart) { return piece * apart; };
  i64 apart = extent + (Chance(50) ? 0 : 1 + Below(9));
  const bool is_shared = role == Role::kInput && kind_ != Kind::kHostile && Chance(20);
  // Inputs may be one, or lie over one another.
  if (is_shared) apart = batch.form == Form::kStrided && Chance(50) ? 1 : 0;
  const i64 total = batch.count == 0 || extent == 0 ? 0 : place_of(batch.count - 1, apart) + extent;
  pieces.memory = memory_.Add(type, total, Place());
  for (i64 i = 0; i < batch.count; ++i) pieces.first.push_back(total == 0 ? 0 : place_of(i, apart));
  if (batch.form == Form::kPointers) {
    for (i64 i = 0; total > 0 && i < batch.count; ++i)
      memory_.Allow(pieces.memory, pieces.first[static_cast<std::size_t>(i)], extent);
    // In any order.
    std::shuffle(pieces.first.begin(), pieces.first.end(), random_);
    pieces.addresses = Plain(Type::kR64I, batch.count);
    for (i64 i = 0; i < batch.count; ++i) {
      const std::uint64_t address =
          pieces.memory->address +
          static_cast<std::uint64_t>(pieces.first[static_cast<std::size_t>(i)]) * BytesOf(type);
      pieces.addresses->Set(i, {static_cast<long double>(address), 0});
    }
  } else if (total > 0) {
    memory_.Allow(pieces.memory, 0, total);
  } else {
    pieces.memory->address = OneOf<std::uint64_t>({0, pieces.memory->address, 0xdead0000});
  }
  // A stride that nothing is reached by may be any.
  pieces.apart = batch.count <= 1 && kind_ != Kind::kHostile && Chance(30) ? i64{1} << 40 : apart;
}

Vector Case::Line(Type type, i64 count, i64 step, Role role, Content content, Batch batch) {
  Vector x;
  x.count = count;
  // One element is reached by any step.
  x.step = count == 1 && kind_ != Kind::kHostile && step != 0 && Chance(10) ? i64{1} << 33 : step;
  Lay(x, type, count <= 0 ? 0 : 1 + (count - 1) * std::abs(step), role, batch);
  for (i64 piece = 0; content == Content::kNumbers && piece < batch.count; ++piece) {
    for (i64 i = 0; i < count; ++i) x.memory->Set(x.At(i, piece), Number(type));
  }
  return x;
}

Matrix Case::Dense(Type type, i64 rows, i64 columns, Role role, Content content, Batch batch) {
  Matrix a;
  a.rows = rows;
  a.columns = columns;
  a.stride = std::max<i64>(1, rows) + (Chance(40) ? 0 : 1 + Below(8));
  Lay(a, type, rows <= 0 || columns <= 0 ? 0 : (columns - 1) * a.stride + rows, role, batch);
  // One column is reached by any stride.
  if (columns <= 1 && kind_ != Kind::kHostile && Chance(15)) a.stride = i64{1} << (Chance(50) ? 33 : 61);
  for (i64 piece = 0; content == Content::kNumbers && piece < batch.count; ++piece) {
    for (i64 j = 0; j < columns; ++j) {
      for (i64 i = 0; i < rows; ++i) a.memory->Set(a.At(i, j, piece), Number(type));
    }
  }
  return a;
}

void Case::MaybeNan(const Vector& x) {
  if (x.count > 0 && !x.first.empty() && Chance(10)) x.memory->Set(x.At(Below(x.count)), {NAN, 1});
}
void Case::MaybeNan(const Matrix& a) {
  if (a.rows > 0 && a.columns > 0 && !a.first.empty() && Chance(10))
    a.memory->Set(a.At(Below(a.rows), Below(a.columns)), {NAN, 1});
}

void Case::PutOne(Operand* operand) { PutWord({operand->address, Is::kAddress, operand}); }
void Case::PutOne(Optional operand) {
  PutWord({operand.memory == nullptr ? 0 : operand.memory->address, Is::kOptional, operand.memory});
}

void Case::PutBytes(Type type, const std::vector<Wide>& values, std::size_t words) {
  std::uint8_t bytes[64] = {};
  for (std::size_t i = 0; i < values.size(); ++i) Store(type, bytes + i * BytesOf(type), values[i]);
  for (std::size_t i = 0; i < words; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + 8 * i, 8);
    PutWord({word, Is::kValue});
  }
}

void Case::PutOne(const Scalar& scalar) {
  const std::size_t words = scalar.values.size() == 1 ? 2 : scalar.values.size();
  if (scalar.memory == nullptr) return PutBytes(scalar.type, scalar.values, words);
  PutOne(scalar.memory);
  for (std::size_t i = 1; i < words; ++i) PutWord({0, Is::kValue});
}

void Case::PutOne(const Result& result) {
  if (result.memory == nullptr) {
    return PutBytes(result.type, result.before, result.before.empty() ? 1 : 2);
  }
  PutOne(result.memory);
  if (!result.before.empty()) PutWord({0, Is::kValue});
}

void Case::PutWords(std::span<const std::uint64_t> words, const std::vector<Operand*>& operands,
                    std::span<const std::size_t> optional) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::uint64_t value = words[i];
    const bool may_be_null = std::find(optional.begin(), optional.end(), i) != optional.end();
    Word word{value, Is::kValue};
    for (Operand* const operand : operands) {
      if (value == operand->address && operand->elements > 0)
        word = {value, may_be_null ? Is::kOptional : Is::kAddress, operand};
    }
    PutWord(word);
  }
}

cpu_blas::Outcome Case::Execute(const std::vector<Word>& words, const std::string& how) {
  std::vector<std::uint64_t> arguments = {library_ == kLibraryBlas && on_device_ ? kDevicePointers : 0};
  std::string text = function_ + " of seed " + std::to_string(seed_) + how + ":";
  for (const Word& word : words) {
    arguments.push_back(word.value);
    text += word.is == Is::kAddress || word.is == Is::kOptional
                ? (word.operand == nullptr ? " null" : std::string(" ") + NameOf(word.operand->type) + "*")
            : word.is == Is::kValue ? " #"
                                    : " " + std::to_string(static_cast<i64>(word.value));
  }
  std::snprintf(current, sizeof(current), "%s", text.c_str());
  memory_.reset_refused();
  cpu_blas::Call call;
  call.library = library_;
  call.function = number_;
  call.arguments = reinterpret_cast<const std::uint8_t*>(arguments.data());
  call.argument_bytes = arguments.size() * sizeof(arguments[0]);
  call.allowed = &Memory::Allowed;
  call.memory = &memory_;
  if (!HasLibraryShape(library_, number_, ByteView(call.arguments, call.argument_bytes))) {
    Fail("this test has put " + std::to_string(words.size()) + " words, which is not the function's shape");
    return outcome_;
  }
  return Plugin::Get().Run(call);
}

bool Case::Run() {
  memory_.Snapshot();
  if (kind_ == Kind::kHostile) Torment();
  if (has_failed_) return false;
  outcome_ = Execute(words_, "");
  if (has_failed_) return false;
  if (outcome_.device_status == kNotSupported) {
    is_refused_ = true;
    return false;
  }
  if (outcome_.device_status != 0) {
    Fail("failed with " + std::to_string(outcome_.device_status) + ", \"" + outcome_.text + "\"" +
         (memory_.refused() > 0 ? ", having claimed more than its operands" : ""));
  } else if (on_device_ ? outcome_.result_bytes != 0 : outcome_.result_bytes != result_bytes_) {
    Fail("gave " + std::to_string(outcome_.result_bytes) + " bytes of results");
  } else if (memory_.refused() > 0) {
    Fail("claimed more than its operands");
  }
  return !has_failed_;
}

Wide Case::After(const Result& result, i64 element) const {
  if (result.memory != nullptr) return result.memory->Is(element);
  return Load(result.type, outcome_.results + result.offset + static_cast<std::size_t>(element) * BytesOf(result.type));
}

std::string Case::Compare(Type type, Wide got, const Sum& sum, Type computed_in) {
  Wide wanted = sum.value;
  long double bound = 0;
  if (!IsInteger(computed_in)) {
    bound = kSlack * static_cast<long double>(sum.terms + 4) * UnitRoundoff(computed_in) * sum.magnitude;
    if (type == Type::kR8I) {
      // The nearest of those that there are.
      wanted.re = std::clamp(wanted.re, -128.0L, 127.0L);
      bound += 0.5L;
    } else if (UnitRoundoff(type) > UnitRoundoff(computed_in)) {
      bound += Ulp(type, Size(wanted) + bound);
    }
  }
  const bool is_right =
      HasNan(wanted) ? HasNan(got) : std::fabs(got.re - wanted.re) <= bound && std::fabs(got.im - wanted.im) <= bound;
  return is_right ? "" : "is " + ToText(got) + ", not " + ToText(wanted) + " within " + ToText({bound, 0});
}

void Case::Expect(Operand* memory, i64 index, const Sum& sum, Type computed_in) {
  memory->Accept(index);
  const std::string wrong = Compare(memory->type, memory->Is(index), sum, computed_in);
  if (!wrong.empty()) Fail("element " + std::to_string(index) + " " + wrong);
}

void Case::ExpectExactly(Operand* memory, i64 index, Wide value) {
  memory->Accept(index);
  const Wide got = memory->Is(index);
  if (!(got == value) && !(HasNan(got) && HasNan(value)))
    Fail("element " + std::to_string(index) + " is " + ToText(got) + ", not exactly " + ToText(value));
}

void Case::Expect(const Result& result, const Sum& sum) {
  if (result.memory != nullptr) return Expect(result.memory, 0, sum);
  const std::string wrong = Compare(result.type, After(result), sum, computed_in_);
  if (!wrong.empty()) Fail("the result " + wrong);
}

void Case::ExpectExactly(const Result& result, Wide value) {
  if (result.memory != nullptr) return ExpectExactly(result.memory, 0, value);
  if (!(After(result) == value)) Fail("the result is " + ToText(After(result)) + ", not exactly " + ToText(value));
}

void Case::ExpectSmall(Wide value, long double magnitude, i64 terms, const char* what) {
  const long double bound = kSlack * static_cast<long double>(terms + 4) * UnitRoundoff(computed_in_) * magnitude;
  if (!(Size(value) <= 2 * bound))
    Fail(std::string(what) + " is off by " + ToText(value) + ", which is beyond " + ToText({bound, 0}));
}

void Case::Require(bool condition, const std::string& what) {
  if (!condition) Fail(what);
}

void Case::Finish() {
  if (has_failed_) return;
  const std::string change = memory_.FirstChange();
  if (!change.empty()) Fail(change);
}

void Case::Fail(const std::string& what) {
  // One is enough to see what is wrong.
  if (!has_failed_) ADD_FAILURE() << current << "\n  " << what;
  has_failed_ = true;
}

const char* Case::Current() { return current; }

}  // namespace accelmesh::blas_test
