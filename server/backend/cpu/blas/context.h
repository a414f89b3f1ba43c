// One call under way: gets at device memory and scalars, checked, and takes results.
//
// Errors: the first is kept. What then comes out is null or 0, and a function looks at failed() once it has all
// operands, before it touches any.
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "server/backend/cpu/blas.h"
#include "server/backend/cpu/blas/elements.h"

namespace accelmesh::cpu_blas {

// CUresult numbers.
inline constexpr std::uint32_t kInvalidValue = 1;
inline constexpr std::uint32_t kOutOfMemory = 2;
inline constexpr std::uint32_t kIllegalAddress = 700;
inline constexpr std::uint32_t kMisalignedAddress = 716;
inline constexpr std::uint32_t kNotSupported = 801;

inline constexpr i64 kRepeatsMax = i64{1} << 31;

// Elements `step` apart; a negative step begins at the last in memory, as BLAS has it.
template <typename T>
struct Strided {
  T* first;
  i64 step;
  T& operator[](i64 index) const { return first[index * step]; }
};

class Context {
 public:
  Context(const Call& call, Outcome* outcome)
      : call_(call), outcome_(outcome), arguments_(ByteView(call.arguments, call.argument_bytes)) {}
  const Arguments& arguments() const { return arguments_; }
  bool failed() const { return outcome_->device_status != 0; }
  void Fail(std::uint32_t status, const std::string& text) {
    if (failed()) return;
    outcome_->device_status = status;
    outcome_->is_sticky = status == kIllegalAddress || status == kMisalignedAddress;
    outcome_->result_bytes = 0;
    text.copy(outcome_->text, sizeof(outcome_->text) - 1);
  }

  // Without a step, a vector is one number many times: of so many as may be that no call takes for ever.
  template <typename T>
  Strided<const T> Vector(In<T> x, i64 count, i64 step) {
    if (step == 0 && count > kRepeatsMax) Fail(kNotSupported, "one number more than 2^31 times");
    const i64 apart = step == std::numeric_limits<i64>::min() ? std::numeric_limits<i64>::max() : std::abs(step);
    const auto* const memory = static_cast<const T*>(Check(x.address, Extent(1, count, apart), sizeof(T), alignof(T)));
    return {step < 0 && memory != nullptr ? memory + (count - 1) * apart : memory, step};
  }
  template <typename T>
  Strided<T> Vector(Out<T> x, i64 count, i64 step) {
    const Strided<const T> same = Vector(In<T>{x.address}, count, step);
    return {const_cast<T*>(same.first), step};
  }
  // `columns` of `rows`, `*stride` apart. What nothing is apart by may be any number: the stride of a single column
  // becomes one that can be added to its address and that OpenBLAS can express.
  template <typename T>
  const T* Matrix(In<T> a, i64 rows, i64 columns, i64* stride) {
    if (*stride < rows) Fail(kInvalidValue, "columns that overlap");
    if (columns <= 1) *stride = StrideOfOne(rows);
    return static_cast<const T*>(Check(a.address, Extent(rows, columns, *stride), sizeof(T), alignof(T)));
  }
  template <typename T>
  T* Matrix(Out<T> a, i64 rows, i64 columns, i64* stride) {
    return const_cast<T*>(Matrix(In<T>{a.address}, rows, columns, stride));
  }
  // Null for an operand that is not looked at, whose stride may be any as well.
  template <typename T>
  const T* MatrixIf(bool reads, In<T> a, i64 rows, i64 columns, i64* stride) {
    if (reads) return Matrix(a, rows, columns, stride);
    *stride = StrideOfOne(rows);
    return nullptr;
  }
  template <typename T>
  std::vector<In<T>> Addresses(InArray<T> array, i64 count) {
    return Read<In<T>>(array.address, count);
  }
  template <typename T>
  std::vector<Out<T>> Addresses(OutArray<T> array, i64 count) {
    return Read<Out<T>>(array.address, count);
  }

  template <typename T>
  T Value(Scalar<T> scalar) {
    return Values<T, 1>(scalar.word)[0];
  }
  template <typename T>
  T Value(InOut<T> scalar) {
    return Values<T, 1>(scalar.word)[0];
  }
  // Of a scalar whose type is an argument.
  template <typename T>
  T ValueAs(Scalar<void> scalar) {
    return Values<T, 1>(scalar.word)[0];
  }
  template <typename T, std::size_t N>
  std::array<T, N> Values(std::size_t word) {
    const void* from = nullptr;
    if (arguments_.words().has_device_pointers()) {
      from = Check(static_cast<std::uint64_t>(arguments_.words().Word(word)), N, sizeof(T), alignof(T));
    } else {
      from = arguments_.words().Raw(word, N * sizeof(T)).data();
    }
    std::array<T, N> values{};
    if (from != nullptr) std::memcpy(static_cast<void*>(values.data()), from, N * sizeof(T));
    return values;
  }
  // What stands where a result goes: nothing yet, if that is the host's.
  template <typename T, std::size_t N>
  std::array<T, N> Before(std::size_t word) {
    return arguments_.words().has_device_pointers() ? Values<T, N>(word) : std::array<T, N>{};
  }
  // Whether there is a place for a result, for who has something else to write before it.
  template <typename T>
  void CheckResult(Result<T> result) {
    Before<T, 1>(result.word);
  }
  // Results in the order of the function's parameters.
  template <typename T>
  void Give(Result<T> result, T value) {
    Put(result.word, &value, sizeof(T), alignof(T));
  }
  template <typename T>
  void Give(InOut<T> result, T value) {
    Put(result.word, &value, sizeof(T), alignof(T));
  }
  template <typename T>
  void GiveAs(Result<void> result, T value) {
    Put(result.word, &value, sizeof(T), alignof(T));
  }
  template <typename T, std::size_t N>
  void GiveAll(std::size_t word, const std::array<T, N>& values) {
    Put(word, values.data(), N * sizeof(T), alignof(T));
  }

  // Device memory that the caller says how to look at.
  void* Check(std::uint64_t address, std::uint64_t elements, std::size_t element_bytes, std::size_t alignment) {
    if (elements == 0) return nullptr;
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(elements, element_bytes, &bytes) || !call_.allowed(call_.memory, address, bytes))
      Fail(kIllegalAddress, std::to_string(elements) + " elements of " + std::to_string(element_bytes) + " bytes at " +
                                std::to_string(address) + " are no memory of the device");
    if (address % alignment != 0) Fail(kMisalignedAddress, "an operand is not aligned to its elements");
    return failed() ? nullptr : reinterpret_cast<void*>(address);
  }
  // From the first to the last of `count` pieces of `size`, `stride` apart; 0 if there are none.
  std::uint64_t Extent(i64 size, i64 count, i64 stride) {
    if (size <= 0 || count <= 0) return 0;
    i64 extent = 0;
    if (__builtin_mul_overflow(count - 1, stride, &extent) || __builtin_add_overflow(extent, size, &extent) ||
        extent < 0) {
      Fail(kIllegalAddress, "an operand larger than memory");
      return 0;
    }
    return static_cast<std::uint64_t>(extent);
  }

 private:
  static i64 StrideOfOne(i64 rows) { return std::max<i64>(1, rows); }
  template <typename T>
  std::vector<T> Read(std::uint64_t address, i64 count) {
    const void* const from = Check(address, static_cast<std::uint64_t>(count < 0 ? 0 : count), sizeof(T), alignof(T));
    if (from == nullptr) return {};
    // Copied: the device's memory may change meanwhile.
    std::vector<T> values(static_cast<std::size_t>(count));
    std::memcpy(static_cast<void*>(values.data()), from, values.size() * sizeof(T));
    return values;
  }
  void Put(std::size_t word, const void* value, std::size_t bytes, std::size_t alignment) {
    if (arguments_.words().has_device_pointers()) {
      void* const to = Check(static_cast<std::uint64_t>(arguments_.words().Word(word)), 1, bytes, alignment);
      if (to != nullptr) std::memcpy(to, value, bytes);
      return;
    }
    if (bytes > kResultBytesMax - outcome_->result_bytes) Fail(kNotSupported, "more results than there is room");
    if (failed()) return;
    std::memcpy(outcome_->results + outcome_->result_bytes, value, bytes);
    outcome_->result_bytes += bytes;
  }

  const Call& call_;
  Outcome* outcome_;
  Arguments arguments_;
};

}  // namespace accelmesh::cpu_blas
