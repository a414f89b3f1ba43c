#include "server/backend/cpu/dnn/dropout.h"

#include "server/backend/cpu/dnn/raw.h"
#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

// SplitMix64's increment and finaliser: a bijection whose output passes the usual tests of randomness.
constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;
std::uint64_t Mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

DropoutStates* FindStates(Context& context, const DnnDropout& dropout) {
  context.Require(dropout.states_bytes >= sizeof(DropoutStates), "states that are too small");
  if (context.failed()) return nullptr;
  constexpr i64 kWords = sizeof(DropoutStates) / sizeof(double);
  return static_cast<DropoutStates*>(context.Find(RawOperand(CUDNN_DATA_DOUBLE, dropout.states, kWords)).memory);
}

bool IsProbability(double probability) { return probability >= 0 && probability <= 1; }

// A bit an element, in words.
std::uint32_t* FindMask(Context& context, const DnnSpace& reserve, i64 elements) {
  const i64 words = (elements + 31) / 32;
  context.Require(reserve.bytes >= DnnDropoutReserveBytes(static_cast<std::uint64_t>(elements)),
                  "a reserve that is too small");
  if (context.failed()) return nullptr;
  return static_cast<std::uint32_t*>(context.Find(RawOperand(CUDNN_DATA_FLOAT, reserve.address, words)).memory);
}

void Sizes(Context& context) {
  const DnnDropoutBytes bytes{sizeof(DropoutStates)};
  context.Answer(AsBytes(bytes));
}

void Seed(Context& context) {
  const auto words = context.Arguments<DnnDropoutSeed>();
  DropoutStates* const states = FindStates(context, words.dropout);
  if (!context.failed()) *states = {words.dropout.seed, 0};
}

void Forward(Context& context) {
  const auto arguments = context.Arguments<DnnDropoutForward>();
  Run(context, arguments.x.tensor, arguments, [](Context& c, const DnnDropoutForward& words, auto real) {
    using Real = decltype(real);
    const View<Real> x = c.In<Real>(words.x);
    const Output<Real> output(c, words.y, {});
    const View<Real>& y = output.view();
    c.Require(SameDims(x.shape, y.shape), "tensors of different dimensions");
    if (c.failed()) return;
    const i64 elements = Elements(x.shape);
    std::uint32_t* const mask = FindMask(c, words.reserve, elements);
    if (c.failed()) return;
    const Drawing drawing(c, words.dropout, elements);
    if (c.failed()) return;
    const Real scale = static_cast<Real>(drawing.scale());
    std::fill_n(mask, (elements + 31) / 32, 0u);
    i64 element = 0;
    Walk<2>(x.shape, {x.shape.strides, y.shape.strides}, [&](const Offsets<2>& at) {
      const bool keeps = drawing.Keeps(element);
      mask[element / 32] |= std::uint32_t{keeps} << (element % 32);
      y.data[at[1]] = keeps ? x.data[at[0]] * scale : Real{0};
      ++element;
    });
    output.Finish();
  });
}

void Backward(Context& context) {
  const auto arguments = context.Arguments<DnnDropoutBackward>();
  Run(context, arguments.dy.tensor, arguments, [](Context& c, const DnnDropoutBackward& words, auto real) {
    using Real = decltype(real);
    const View<Real> dy = c.In<Real>(words.dy);
    const Output<Real> output(c, words.dx, {});
    const View<Real>& dx = output.view();
    c.Require(SameDims(dy.shape, dx.shape) && IsProbability(words.dropout.probability),
              "tensors of different dimensions, or no probability");
    if (c.failed()) return;
    const std::uint32_t* const mask = FindMask(c, words.reserve, Elements(dy.shape));
    if (c.failed()) return;
    const Real scale = static_cast<Real>(DropoutScale(words.dropout.probability));
    i64 element = 0;
    Walk<2>(dy.shape, {dy.shape.strides, dx.shape.strides}, [&](const Offsets<2>& at) {
      const bool keeps = (mask[element / 32] >> (element % 32) & 1) != 0;
      dx.data[at[1]] = keeps ? dy.data[at[0]] * scale : Real{0};
      ++element;
    });
    output.Finish();
  });
}

}  // namespace

double DropoutScale(double probability) { return probability < 1 ? 1 / (1 - probability) : 0; }

Drawing::Drawing(Context& context, const DnnDropout& dropout, i64 elements) {
  context.Require(IsProbability(dropout.probability), "no probability");
  if (context.failed() || dropout.probability == 0) return;
  DropoutStates* const states = FindStates(context, dropout);
  if (context.failed()) return;
  probability_ = dropout.probability;
  scale_ = DropoutScale(probability_);
  base_ = Mix(states->seed + kGolden);
  position_ = states->position;
  states->position = position_ + static_cast<std::uint64_t>(elements);
}

bool Drawing::Keeps(i64 element) const {
  if (probability_ == 0) return true;
  const std::uint64_t index = position_ + static_cast<std::uint64_t>(element) + 1;
  constexpr int kMantissa = 53;
  const double drawn = static_cast<double>(Mix(base_ + index * kGolden) >> (64 - kMantissa)) * 0x1p-53;
  return drawn >= probability_;
}

void AddDropout(Table& table) {
  table[kDnnFunction<DnnDropoutSizes>] = &Sizes;
  table[kDnnFunction<DnnDropoutSeed>] = &Seed;
  table[kDnnFunction<DnnDropoutForward>] = &Forward;
  table[kDnnFunction<DnnDropoutBackward>] = &Backward;
}

}  // namespace accelmesh::cpu_dnn
