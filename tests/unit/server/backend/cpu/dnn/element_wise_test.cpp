// What is done to whole tensors against plain loops, over random shapes, layouts, types, operations and blends.
#include "tests/unit/server/backend/cpu/dnn/layers.h"

namespace accelmesh {
namespace {

std::vector<int> SomeDims(Random& random) {
  std::vector<int> dims{Pick(random, 1, 3), Pick(random, 1, 4)};
  for (int d = Pick(random, 1, 3); d > 0; --d) dims.push_back(Pick(random, 1, 4));
  return dims;
}
// Some of the dimensions are 1.
std::vector<int> Fewer(Random& random, std::vector<int> dims) {
  for (int& size : dims) {
    if (Pick(random, 0, 1) == 0) size = 1;
  }
  return dims;
}
DnnBlend SomeBlend(Random& random) {
  if (Pick(random, 0, 1) == 0) return {};
  return {0.5 * Pick(random, -3, 3), 0.25 * Pick(random, -4, 4)};
}
int TypeOf(int round) { return kTypes[static_cast<std::size_t>(round) % kTypes.size()]; }

// Which element of a tensor with fewer dimensions belongs to each of a tensor's.
std::vector<std::size_t> Places(const std::vector<int>& dims, const std::vector<int>& fewer) {
  std::size_t count = 1;
  for (const int size : dims) count *= static_cast<std::size_t>(size);
  std::vector<std::size_t> places(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t rest = i, scale = 1;
    for (std::size_t d = dims.size(); d-- > 0;) {
      const auto size = static_cast<std::size_t>(dims[d]);
      if (fewer[d] != 1) {
        places[i] += rest % size * scale;
        scale *= size;
      }
      rest /= size;
    }
  }
  return places;
}
Reals Spread(const Reals& values, const std::vector<std::size_t>& places) {
  Reals spread;
  for (const std::size_t place : places) spread.push_back(values[place]);
  return spread;
}

TEST(CpuDnnWholeTensors, AddTransformScaleAndSet) {
  Random random(1);
  for (int round = 0; round < 80; ++round) {
    const int type = TypeOf(round);
    const std::vector<int> dims = SomeDims(random), fewer = Fewer(random, dims);
    const DnnBlend blend = SomeBlend(random);
    Arena arena;
    const auto any = [&](int of_type, const std::vector<int>& of) {
      return Tensor(arena, of_type, of, Pick(random, 0, 2), random);
    };
    const Tensor a = any(type, fewer), c = any(type, dims);
    const Reals c_before = c.Get();
    MustRun(arena, DnnAddTensor{a.operand(), c.operand(), blend});
    c.Expect(Blended(Spread(a.Get(), Places(dims, fewer)), c_before, blend), Tolerance(type), "AddTensor");
    // Into another type as well.
    const Tensor x = any(TypeOf(Pick(random, 0, 3)), dims), y = any(type, dims);
    const Reals y_before = y.Get();
    MustRun(arena, DnnTransformTensor{x.operand(), y.operand(), blend});
    y.Expect(Blended(x.Get(), y_before, blend), Tolerance(type), "TransformTensor");
    const Reals unscaled = y.Get();
    MustRun(arena, DnnScaleTensor{y.operand(), -0.375});
    y.Expect(Blended(unscaled, unscaled, {-0.375, 0}), Tolerance(type), "ScaleTensor");
    MustRun(arena, DnnSetTensor{y.operand(), 2.5});
    y.Expect(Reals(y.count(), 2.5L), 0, "SetTensor");
    if (HasFatalFailure()) FAIL() << "round " << round;
  }
}

TEST(CpuDnnWholeTensors, Operations) {
  enum { kAdd, kMultiply, kSmaller, kLarger, kRoot, kNot };  // CUDNN_OP_TENSOR_*
  Random random(2);
  for (int round = 0; round < 144; ++round) {
    const int type = TypeOf(round), operation = round / 4 % 6;
    const std::vector<int> dims = SomeDims(random);
    // One of them may have fewer.
    const bool a_is_less = Pick(random, 0, 1) == 0;
    const std::vector<int> a_dims = a_is_less ? Fewer(random, dims) : dims;
    const std::vector<int> b_dims = a_is_less ? dims : Fewer(random, dims);
    Arena arena;
    const auto any = [&](const std::vector<int>& of) { return Tensor(arena, type, of, Pick(random, 0, 2), random); };
    Tensor a = any(a_dims);
    const Tensor b = any(b_dims), c = any(dims);
    DnnOpTensor words{a.operand(), b.operand(), c.operand(), operation, type == kDouble ? kDouble : kFloat};
    words.alpha1 = 0.5 * Pick(random, -3, 3);
    words.alpha2 = 0.5 * Pick(random, -3, 3);
    words.beta = Pick(random, 0, 1) == 0 ? 0 : -0.75;
    if (operation == kRoot) {
      Reals positive = a.Get();
      for (Real& value : positive) value = std::fabs(value);
      a.Set(positive);
      words.alpha1 = std::fabs(words.alpha1);
    }
    const Reals left = Spread(a.Get(), Places(dims, a_dims)), right = Spread(b.Get(), Places(dims, b_dims)),
                before = c.Get();
    Reals wanted(before.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const Real one = static_cast<Real>(words.alpha1) * left[i], other = static_cast<Real>(words.alpha2) * right[i];
      switch (operation) {
        case kAdd: wanted[i] = one + other; break;
        case kMultiply: wanted[i] = one * other; break;
        case kSmaller: wanted[i] = std::min(one, other); break;
        case kLarger: wanted[i] = std::max(one, other); break;
        case kRoot: wanted[i] = std::sqrt(one); break;
        default: wanted[i] = 1 - one; break;
      }
    }
    MustRun(arena, words);
    c.Expect(Blended(wanted, before, {1, words.beta}), Tolerance(type), "OpTensor");
    if (HasFatalFailure()) FAIL() << "operation " << operation << ", round " << round;
  }
}

TEST(CpuDnnWholeTensors, Reductions) {
  // CUDNN_REDUCE_TENSOR_*.
  enum { kAdd, kMultiply, kSmallest, kLargest, kExtreme, kAverage, kNorm1, kNorm2, kMultiplyNoZeros };
  Random random(3);
  for (int round = 0; round < 180; ++round) {
    const int type = TypeOf(round), operation = round / 4 % 9;
    const std::vector<int> dims = SomeDims(random), fewer = Fewer(random, dims);
    const DnnBlend blend = SomeBlend(random);
    Arena arena;
    Tensor a(arena, type, dims, Pick(random, 0, 2), random);
    const Tensor c(arena, type, fewer, Pick(random, 0, 2), random);
    if (operation == kMultiplyNoZeros) {
      Reals values = a.Get();
      for (Real& value : values) value = Pick(random, 0, 2) == 0 ? 0 : value;
      a.Set(values);
    }
    const Reals as = a.Get(), before = c.Get();
    const std::vector<std::size_t> places = Places(dims, fewer);
    std::vector<Reals> taken(before.size());
    for (std::size_t i = 0; i < as.size(); ++i) taken[places[i]].push_back(as[i]);
    Reals wanted;
    for (const Reals& values : taken) {
      Real sum = 0, product = 1, without = 1, absolute = 0, squares = 0, extreme = 0;
      for (const Real value : values) {
        sum += value;
        product *= value;
        without *= value == 0 ? 1 : value;
        absolute += std::fabs(value);
        squares += value * value;
        extreme = std::max(extreme, std::fabs(value));
      }
      switch (operation) {
        case kAdd: wanted.push_back(sum); break;
        case kMultiply: wanted.push_back(product); break;
        case kSmallest: wanted.push_back(*std::min_element(values.begin(), values.end())); break;
        case kLargest: wanted.push_back(*std::max_element(values.begin(), values.end())); break;
        case kExtreme: wanted.push_back(extreme); break;
        case kAverage: wanted.push_back(sum / static_cast<Real>(values.size())); break;
        case kNorm1: wanted.push_back(absolute); break;
        case kNorm2: wanted.push_back(std::sqrt(squares)); break;
        default: wanted.push_back(without); break;
      }
    }
    DnnReduceTensor words;
    words.a = a.operand();
    words.c = c.operand();
    words.operation = operation;
    words.compute_type = type == kDouble ? kDouble : kFloat;
    words.blend = blend;
    MustRun(arena, words);
    c.Expect(Blended(wanted, before, blend), Tolerance(type), "ReduceTensor");
    if (HasFatalFailure()) FAIL() << "operation " << operation << ", round " << round;
  }
}

}  // namespace
}  // namespace accelmesh
