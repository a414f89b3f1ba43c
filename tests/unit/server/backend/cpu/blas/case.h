// One call with random arguments: draws them, lays operands out in memory, runs the call and compares what it wrote.
// A family of functions is written as draws, Put() of the parameters in their order, Run(), and Expect() of every
// element that is written; Finish() fails if any other byte has changed.
//
// A hostile case runs the same call with operands that are no memory, with sizes beyond all memory and with unknown
// enumerators before it runs it as it should be.
//
// Threads: one.
#pragma once

#include <initializer_list>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "server/backend/cpu/blas.h"
#include "tests/unit/server/backend/cpu/blas/memory.h"

namespace accelmesh::blas_test {

enum class Kind { kPlain, kLarge, kHostile };
// cublasOperation_t, cublasFillMode_t, cublasDiagType_t, cublasSideMode_t.
inline constexpr int kN = 0, kT = 1, kC = 2;
inline constexpr int kLower = 0, kUpper = 1;
inline constexpr int kUnit = 1;
inline constexpr int kLeft = 0, kRight = 1;

// How the operands of a batch are found.
enum class Form { kSingle, kPointers, kStrided };
struct Batch {
  Form form = Form::kSingle;
  i64 count = 1;
};
// Inputs of a batch may be one another.
enum class Role { kInput, kOutput };
enum class Content { kNumbers, kNothing };
inline Content NumbersIf(bool condition) { return condition ? Content::kNumbers : Content::kNothing; }

struct Pieces {
  Operand* memory = nullptr;
  Operand* addresses = nullptr;  // of Form::kPointers
  std::vector<i64> first;        // element of each piece
  i64 apart = 0;                 // of Form::kStrided
};
struct Vector : Pieces {
  i64 count = 0, step = 1;
  i64 At(i64 i, i64 piece = 0) const {
    return first[static_cast<std::size_t>(piece)] + (step < 0 ? (i - count + 1) * step : i * step);
  }
};
struct Matrix : Pieces {
  i64 rows = 0, columns = 0, stride = 1;
  i64 At(i64 i, i64 j, i64 piece = 0) const { return first[static_cast<std::size_t>(piece)] + i + j * stride; }
  // Element (i, j) of op(A), before the call.
  Wide Was(int operation, i64 i, i64 j, i64 piece = 0) const {
    if (operation == kN) return memory->Was(At(i, j, piece));
    return ConjugateIf(operation == kC, memory->Was(At(j, i, piece)));
  }
};
struct Scalar {
  Type type;
  Wide value;
  std::vector<Wide> values;   // more than one
  Operand* memory = nullptr;  // if it is on the device
  bool is_zero() const { return value == Wide{}; }
};
// Written by the function; with a value before, if it is also read.
struct Result {
  Type type;
  i64 elements = 1;
  std::vector<Wide> before;
  Operand* memory = nullptr;  // else it is in the outcome
  std::size_t offset = 0;
};
// Strides, which are not how much there is.
struct Step {
  i64 value;
};
struct Enumerator {
  int value;
};
// May be null.
struct Optional {
  Operand* memory;
};

class Case {
 public:
  Case(std::uint32_t library, const std::string& function, Type computed_in, std::uint64_t seed, Kind kind);

  Kind kind() const { return kind_; }
  // Whether scalars and results are on the device.
  bool is_on_device() const { return on_device_; }
  i64 Below(i64 bound) { return static_cast<i64>(random_() % static_cast<std::uint64_t>(bound)); }
  bool Chance(int percent) { return Below(100) < percent; }
  template <typename T>
  T OneOf(std::initializer_list<T> all) {
    return all.begin()[Below(static_cast<i64>(all.size()))];
  }
  // Of a matrix, of a vector, of a batch: 0, too.
  i64 Dimension();
  i64 Length();
  i64 Count();
  // Not 0.
  i64 Increment();
  int Operation() { return static_cast<int>(Below(3)); }
  int Bit() { return static_cast<int>(Below(2)); }
  // Not 0, and of the size of 1.
  Wide Number(Type type);
  // 0, 1 or a number.
  Wide Drawn(Type type);
  Scalar Coefficient(Type type) { return Value(type, Drawn(type)); }
  Scalar Value(Type type, Wide value) { return Values(type, {value}); }
  Scalar Values(Type type, const std::vector<Wide>& values);

  Vector Line(Type type, i64 count, i64 step, Role role, Content content = Content::kNumbers, Batch batch = {});
  Matrix Dense(Type type, i64 rows, i64 columns, Role role, Content content = Content::kNumbers, Batch batch = {});
  // Elements in a row, as packed triangles are, without content.
  Operand* Plain(Type type, i64 elements);
  Result Written(Type type, i64 elements = 1) { return MakeResult(type, elements, {}); }
  Result Updated(Type type, Wide value) { return MakeResult(type, 1, {value}); }
  // Puts NaN in some place of it, seldom.
  void MaybeNan(const Vector& x);
  void MaybeNan(const Matrix& a);

  // Parameters, in their order.
  template <typename... Parameters>
  void Put(const Parameters&... parameters) {
    (PutOne(parameters), ...);
  }
  // All words at once, some of which are addresses of these operands.
  void PutWords(std::span<const std::uint64_t> words, const std::vector<Operand*>& operands,
                std::span<const std::size_t> optional);
  // Whether the outcome is what the rest of the case can look at.
  bool Run();

  void Expect(Operand* memory, i64 index, const Sum& sum) { Expect(memory, index, sum, computed_in_); }
  void Expect(Operand* memory, i64 index, const Sum& sum, Type computed_in);
  void ExpectExactly(Operand* memory, i64 index, Wide value);
  void Expect(const Result& result, const Sum& sum);
  void ExpectExactly(const Result& result, Wide value);
  Wide After(const Result& result, i64 element = 0) const;
  // That `value` is nothing but what rounding makes of sums as large as `magnitude`, of that many terms.
  void ExpectSmall(Wide value, long double magnitude, i64 terms, const char* what);
  void Require(bool condition, const std::string& what);
  void Finish();

  bool has_failed() const { return has_failed_; }
  // The function has said that it does not have such arguments.
  bool is_refused() const { return is_refused_; }
  // One call's arguments, for whom a fault ends the process.
  static const char* Current();

 private:
  enum class Is { kDimension, kStep, kEnumerator, kAddress, kOptional, kValue };
  struct Word {
    std::uint64_t value;
    Is is;
    Operand* operand = nullptr;
  };

  Memory::Place Place();
  Result MakeResult(Type type, i64 elements, std::vector<Wide> before);
  void Lay(Pieces& pieces, Type type, i64 extent, Role role, Batch batch);
  void PutOne(i64 dimension) { PutWord({static_cast<std::uint64_t>(dimension), Is::kDimension}); }
  void PutOne(Step step) { PutWord({static_cast<std::uint64_t>(step.value), Is::kStep}); }
  void PutOne(int enumerator) { PutOne(Enumerator{enumerator}); }
  void PutOne(Enumerator one) { PutWord({static_cast<std::uint64_t>(i64{one.value}), Is::kEnumerator}); }
  void PutOne(Type type) { PutOne(Enumerator{static_cast<int>(type)}); }
  void PutOne(Operand* operand);
  void PutOne(Optional operand);
  void PutOne(const Pieces& pieces) { PutOne(pieces.addresses != nullptr ? pieces.addresses : pieces.memory); }
  void PutOne(const Scalar& scalar);
  void PutOne(const Result& result);
  void PutWord(Word word) { words_.push_back(word); }
  void PutBytes(Type type, const std::vector<Wide>& values, std::size_t words);

  cpu_blas::Outcome Execute(const std::vector<Word>& words, const std::string& how);
  void Torment();
  void MustFail(const std::vector<Word>& words, const std::string& how);
  void MayFail(const std::vector<Word>& words, const std::string& how);
  void Fail(const std::string& what);
  static std::string Compare(Type type, Wide got, const Sum& sum, Type computed_in);

  std::uint32_t library_;
  std::string function_;
  std::uint32_t number_;
  Type computed_in_;
  std::uint64_t seed_;
  Kind kind_;
  std::mt19937_64 random_;
  Memory& memory_;
  bool on_device_;
  bool has_large_ = false;
  std::vector<Word> words_;
  std::size_t result_bytes_ = 0;
  cpu_blas::Outcome outcome_;
  bool has_failed_ = false;
  bool is_refused_ = false;
};

}  // namespace accelmesh::blas_test
