// What the tests of layers share: the shared object, a device's memory of one piece, tensors of any type and layout in
// it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "protocol/library/dnn_calls.h"
#include "server/backend/cpu/blas/small_floats.h"
#include "tests/unit/server/backend/cpu/dnn/plugin.h"

namespace accelmesh {

inline constexpr int kFloat = 0, kDouble = 1, kHalf = 2, kBfloat16 = 9;
inline constexpr std::array<int, 4> kTypes{kFloat, kDouble, kHalf, kBfloat16};
// Of what is compared: as far as a type rounds.
inline double Tolerance(int type) {
  return type == kFloat ? 2e-5 : type == kDouble ? 1e-10 : type == kHalf ? 4e-3 : 3e-2;
}
// A real number, as long as there is one: references compute with it.
using Real = long double;
using Reals = std::vector<Real>;
using Random = std::mt19937_64;

inline int Pick(Random& random, int first, int last) {
  return first + static_cast<int>(random() % static_cast<unsigned>(last - first + 1));
}
inline Real Uniform(Random& random) { return static_cast<Real>(random() % 20001) / 10000 - 1; }

using dnn_test::Plugin;

// The only memory of the device; what lies around it must not change.
class Arena {
 public:
  static constexpr std::size_t kBytes = 1 << 18;
  static constexpr std::size_t kAround = 1 << 14;
  static constexpr std::uint8_t kUntouched = 0xa5;

  explicit Arena(std::size_t bytes = kBytes) : room_(bytes), bytes_(bytes + 2 * kAround, kUntouched) {}
  std::uint64_t Take(std::size_t bytes) {
    const std::uint64_t at = first() + used_;
    used_ += (bytes + 63) / 64 * 64;
    EXPECT_LE(used_, room_);
    return at;
  }
  std::uint64_t first() const { return reinterpret_cast<std::uint64_t>(bytes_.data() + kAround); }
  bool IsWhole() const {
    const auto is_untouched = [](std::uint8_t byte) { return byte == kUntouched; };
    return std::all_of(bytes_.begin(), bytes_.begin() + kAround, is_untouched) &&
           std::all_of(bytes_.end() - kAround, bytes_.end(), is_untouched);
  }
  static bool Allowed(const void* memory, std::uint64_t address, std::uint64_t bytes) {
    const auto& arena = *static_cast<const Arena*>(memory);
    const std::uint64_t first = arena.first();
    return address >= first && bytes <= arena.room_ && address - first <= arena.room_ - bytes;
  }

 private:
  std::size_t room_;
  std::vector<std::uint8_t> bytes_;
  std::size_t used_ = 0;
};

template <typename Words>
cpu_blas::Outcome Execute(const Arena& arena, const Words& words, const std::vector<std::int32_t>& tail = {}) {
  std::vector<std::uint8_t> arguments(sizeof(std::uint64_t) + sizeof(words) + (tail.size() + 1) / 2 * 8);
  std::memcpy(arguments.data() + sizeof(std::uint64_t), &words, sizeof(words));
  if (!tail.empty())
    std::memcpy(arguments.data() + sizeof(std::uint64_t) + sizeof(words), tail.data(), tail.size() * sizeof(tail[0]));
  cpu_blas::Outcome outcome;
  Plugin().run({kLibraryDnn, kDnnFunction<Words>, arguments.data(), arguments.size(), &Arena::Allowed, &arena},
               &outcome);
  return outcome;
}
template <typename Words>
void MustRun(const Arena& arena, const Words& words, const std::vector<std::int32_t>& tail = {}) {
  const cpu_blas::Outcome outcome = Execute(arena, words, tail);
  ASSERT_EQ(outcome.device_status, 0u) << outcome.text;
  ASSERT_TRUE(arena.IsWhole());
}

// A tensor of the device's; elements are numbered in the order of the dimensions.
class Tensor {
 public:
  // `layout` 0: packed, 1: channels last, 2: with room between.
  Tensor(Arena& arena, int type, const std::vector<int>& dims, int layout = 0) {
    tensor_.type = type;
    tensor_.rank = static_cast<std::int32_t>(dims.size());
    std::int32_t stride = 1;
    if (layout == 1) {
      tensor_.strides[1] = 1;
      stride = dims[1];
    }
    for (std::size_t d = dims.size(); d-- > 0;) {
      tensor_.dims[d] = dims[d];
      count_ *= static_cast<std::size_t>(dims[d]);
      if (layout == 1 && d == 1) continue;
      tensor_.strides[d] = stride;
      stride = stride * dims[d] + (layout == 2 ? 2 : 0);
    }
    address_ = arena.Take(static_cast<std::size_t>(stride) * Bytes());
    extent_ = static_cast<std::size_t>(stride);
    before_.assign(extent_ * Bytes(), Arena::kUntouched);
  }
  Tensor(Arena& arena, int type, const std::vector<int>& dims, int layout, Random& random)
      : Tensor(arena, type, dims, layout) {
    Reals values(count_);
    for (Real& value : values) value = Uniform(random);
    Set(values);
  }

  DnnOperand operand() const { return {tensor_, address_}; }
  const DnnTensor& tensor() const { return tensor_; }
  std::uint64_t address() const { return address_; }
  std::size_t count() const { return count_; }
  int dim(int d) const { return tensor_.dims[static_cast<std::size_t>(d)]; }
  std::size_t Offset(std::size_t element) const {
    std::size_t offset = 0;
    for (std::size_t d = static_cast<std::size_t>(tensor_.rank); d-- > 0;) {
      const auto size = static_cast<std::size_t>(tensor_.dims[d]);
      offset += element % size * static_cast<std::size_t>(tensor_.strides[d]);
      element /= size;
    }
    return offset;
  }
  void Set(const Reals& values) {
    for (std::size_t i = 0; i < count_; ++i) {
      void* const at = reinterpret_cast<void*>(address_ + Offset(i) * Bytes());
      const auto value = static_cast<double>(values[i]);
      const auto narrow = static_cast<float>(value);
      const cpu_blas::Half half(narrow);
      const cpu_blas::Bfloat16 bfloat(narrow);
      const void* from = &narrow;
      if (tensor_.type == kDouble) from = &value;
      if (tensor_.type == kHalf) from = &half;
      if (tensor_.type == kBfloat16) from = &bfloat;
      std::memcpy(at, from, Bytes());
    }
    std::memcpy(before_.data(), reinterpret_cast<const void*>(address_), before_.size());
  }
  Reals Get() const {
    Reals values(count_);
    for (std::size_t i = 0; i < count_; ++i) {
      const void* const at = reinterpret_cast<const void*>(address_ + Offset(i) * Bytes());
      float single = 0;
      double twice = 0;
      cpu_blas::Half half;
      cpu_blas::Bfloat16 bfloat;
      switch (tensor_.type) {
        case kDouble: std::memcpy(&twice, at, 8); break;
        case kHalf:
          std::memcpy(static_cast<void*>(&half), at, 2);
          twice = static_cast<double>(static_cast<float>(half));
          break;
        case kBfloat16:
          std::memcpy(static_cast<void*>(&bfloat), at, 2);
          twice = static_cast<double>(static_cast<float>(bfloat));
          break;
        default:
          std::memcpy(&single, at, 4);
          twice = static_cast<double>(single);
          break;
      }
      values[i] = static_cast<Real>(twice);
    }
    return values;
  }
  // What lies between elements is as it was.
  void Expect(const Reals& wanted, double tolerance, const char* what) const {
    const Reals got = Get();
    for (std::size_t i = 0; i < count_; ++i) {
      ASSERT_LE(std::fabs(static_cast<double>(got[i] - wanted[i])),
                tolerance * (1 + std::fabs(static_cast<double>(wanted[i]))))
          << what << ", element " << i << ": " << static_cast<double>(got[i]) << ", not "
          << static_cast<double>(wanted[i]) << ", type " << tensor_.type;
    }
    std::vector<bool> is_element(extent_);
    for (std::size_t i = 0; i < count_; ++i) is_element[Offset(i)] = true;
    for (std::size_t i = 0; i < extent_; ++i) {
      if (is_element[i]) continue;
      ASSERT_EQ(
          std::memcmp(before_.data() + i * Bytes(), reinterpret_cast<const void*>(address_ + i * Bytes()), Bytes()), 0)
          << what << " wrote between elements";
    }
  }

 private:
  std::size_t Bytes() const { return tensor_.type == kDouble ? 8 : tensor_.type == kFloat ? 4 : 2; }

  DnnTensor tensor_;
  std::uint64_t address_ = 0;
  std::size_t count_ = 1;
  std::size_t extent_ = 0;
  std::vector<std::uint8_t> before_;
};

inline Reals Blended(const Reals& computed, const Reals& before, const DnnBlend& blend) {
  Reals result(computed.size());
  for (std::size_t i = 0; i < result.size(); ++i)
    result[i] = static_cast<Real>(blend.alpha) * computed[i] + static_cast<Real>(blend.beta) * before[i];
  return result;
}

// The slope of sum(weights * f(x)) along each of x.
template <typename Function>
Reals Slopes(const Reals& x, const Reals& weights, Function f) {
  Reals slopes(x.size());
  constexpr Real kStep = 1e-6L;
  for (std::size_t i = 0; i < x.size(); ++i) {
    Reals more = x, less = x;
    more[i] += kStep;
    less[i] -= kStep;
    const Reals above = f(more), below = f(less);
    for (std::size_t k = 0; k < weights.size(); ++k) slopes[i] += weights[k] * (above[k] - below[k]) / (2 * kStep);
  }
  return slopes;
}

// Words of a call that works, some of them made anything.
template <typename Words>
void Spoil(const Arena& arena, const Words& good, const std::vector<std::int32_t>& tail = {}) {
  MustRun(arena, good, tail);
  Random random(kDnnFunction<Words>);
  std::array<std::int32_t, sizeof(Words) / sizeof(std::int32_t)> halves;
  constexpr std::array<std::int32_t, 12> kValues{0, 1, 2, 3, 4, 7, 8, 9, -1, 40, 0x7fffffff, -0x7fffffff - 1};
  constexpr int kRounds = 700;
  for (int round = 0; round < kRounds; ++round) {
    std::memcpy(halves.data(), &good, sizeof(good));
    std::vector<std::int32_t> other = tail;
    for (std::uint64_t change = 1 + random() % 3; change > 0; --change)
      halves[random() % halves.size()] = kValues[random() % kValues.size()];
    if (!other.empty() && random() % 2 == 0) other[random() % other.size()] = kValues[random() % kValues.size()];
    if (!other.empty() && random() % 8 == 0) other.resize(random() % other.size());
    Words words;
    std::memcpy(static_cast<void*>(&words), halves.data(), sizeof(words));
    const cpu_blas::Outcome outcome = Execute(arena, words, other);
    if (outcome.device_status != 0) {
      EXPECT_NE(outcome.text[0], '\0');
    }
    ASSERT_TRUE(arena.IsWhole()) << LibraryFunctionName(kLibraryDnn, kDnnFunction<Words>) << ", round " << round;
  }
}

}  // namespace accelmesh
