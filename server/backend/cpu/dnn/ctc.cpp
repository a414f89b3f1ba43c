// Connectionist temporal classification (Graves 2006): how likely a sequence of distributions is to say a label, blanks
// (symbol 0) between and repetitions left out; and what would make it likelier. Sums are of logarithms, in double.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "server/backend/cpu/dnn/raw.h"
#include "server/backend/cpu/dnn/table.h"

namespace accelmesh::cpu_dnn {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();
constexpr int kBlank = 0;

double AddLogarithms(double a, double b) {
  const double larger = std::max(a, b), smaller = std::min(a, b);
  return smaller == kNever ? larger : larger + std::log1p(std::exp(smaller - larger));
}

// One sequence of `steps` distributions over `symbols`.
class Sequence {
 public:
  Sequence(i64 steps, i64 symbols)
      : steps_(steps), symbols_(symbols), logarithms_(static_cast<std::size_t>(steps * symbols)) {}
  double& logarithm(i64 step, i64 symbol) { return logarithms_[static_cast<std::size_t>(step * symbols_ + symbol)]; }
  double logarithm(i64 step, i64 symbol) const {
    return logarithms_[static_cast<std::size_t>(step * symbols_ + symbol)];
  }

  void Normalize() {
    for (i64 t = 0; t < steps_; ++t) {
      double sum = kNever;
      for (i64 k = 0; k < symbols_; ++k) sum = AddLogarithms(sum, logarithm(t, k));
      for (i64 k = 0; k < symbols_; ++k) logarithm(t, k) -= sum;
    }
  }

  // The logarithm of the likelihood of `label`, and of each step and symbol how likely it is that the label has that
  // symbol there, if it is said at all.
  double Align(std::span<const std::int32_t> label, std::vector<double>* likelihoods) const {
    const i64 states = 2 * static_cast<i64>(label.size()) + 1;
    const auto symbol = [&](i64 s) -> i64 { return s % 2 == 0 ? kBlank : label[static_cast<std::size_t>(s / 2)]; };
    // From one symbol to the next without a blank, if they differ.
    const auto may_skip = [&](i64 s) { return s >= 2 && s % 2 == 1 && symbol(s) != symbol(s - 2); };
    likelihoods->assign(logarithms_.size(), 0);
    if (steps_ == 0) return label.empty() ? 0 : kNever;
    std::vector<double> before(static_cast<std::size_t>(steps_ * states), kNever), after = before;
    const auto at = [&](i64 t, i64 s) { return static_cast<std::size_t>(t * states + s); };
    for (i64 s = 0; s < std::min<i64>(2, states); ++s) before[at(0, s)] = logarithm(0, symbol(s));
    for (i64 t = 1; t < steps_; ++t) {
      for (i64 s = 0; s < states; ++s) {
        double sum = before[at(t - 1, s)];
        if (s >= 1) sum = AddLogarithms(sum, before[at(t - 1, s - 1)]);
        if (may_skip(s)) sum = AddLogarithms(sum, before[at(t - 1, s - 2)]);
        before[at(t, s)] = sum + logarithm(t, symbol(s));
      }
    }
    // What follows a step, without the step itself.
    for (i64 s = std::max<i64>(0, states - 2); s < states; ++s) after[at(steps_ - 1, s)] = 0;
    for (i64 t = steps_ - 2; t >= 0; --t) {
      const auto next = [&](i64 s) { return after[at(t + 1, s)] + logarithm(t + 1, symbol(s)); };
      for (i64 s = 0; s < states; ++s) {
        double sum = next(s);
        if (s + 1 < states) sum = AddLogarithms(sum, next(s + 1));
        if (s + 2 < states && may_skip(s + 2)) sum = AddLogarithms(sum, next(s + 2));
        after[at(t, s)] = sum;
      }
    }
    double all = kNever;
    for (i64 s = std::max<i64>(0, states - 2); s < states; ++s) all = AddLogarithms(all, before[at(steps_ - 1, s)]);
    if (all == kNever) return all;
    for (i64 t = 0; t < steps_; ++t) {
      for (i64 s = 0; s < states; ++s)
        (*likelihoods)[static_cast<std::size_t>(t * symbols_ + symbol(s))] +=
            std::exp(before[at(t, s)] + after[at(t, s)] - all);
    }
    return all;
  }

 private:
  i64 steps_;
  i64 symbols_;
  std::vector<double> logarithms_;
};

// Labels of a batch, one behind the other.
struct Labels {
  std::vector<std::int32_t> lengths;
  std::vector<std::int32_t> inputs;  // steps of each sequence
  std::vector<std::int32_t> symbols;
};

// Whether lengths and symbols are such that nothing is reached outside of them.
bool AreKnown(const Labels& labels, i64 steps, i64 alphabet, i64 longest) {
  i64 sum = 0;
  for (std::size_t i = 0; i < labels.lengths.size(); ++i) {
    const i64 length = labels.lengths[i], input = labels.inputs[i];
    if (length < 0 || length > longest || input < 0 || input > steps) return false;
    sum += length;
  }
  return sum <= static_cast<i64>(labels.symbols.size()) &&
         std::all_of(labels.symbols.begin(), labels.symbols.end(),
                     [&](std::int32_t symbol) { return symbol > kBlank && symbol < alphabet; });
}

bool TakeFromTail(std::span<const std::int32_t> tail, i64 batch, i64 alphabet, Labels* labels) {
  if (static_cast<i64>(tail.size()) < 2 * batch) return false;
  const auto count = static_cast<std::size_t>(batch);
  labels->lengths.assign(tail.begin(), tail.begin() + batch);
  labels->inputs.assign(tail.begin() + batch, tail.begin() + 2 * batch);
  const std::span<const std::int32_t> symbols = tail.subspan(2 * count);
  i64 sum = 0;
  for (const std::int32_t length : labels->lengths) sum += length < 0 ? 0 : length;
  if (sum > static_cast<i64>(symbols.size())) return false;
  labels->symbols.assign(symbols.begin(), symbols.begin() + sum);
  return alphabet > 0;
}

// Numbers of 32 bits in the device's memory, which are as large and as aligned as floats.
bool Fetch(Context& context, std::uint64_t address, i64 count, std::vector<std::int32_t>* numbers) {
  numbers->clear();
  if (count == 0) return !context.failed();
  const Stored stored = context.Find(RawOperand(CUDNN_DATA_FLOAT, address, count));
  if (stored.memory == nullptr) return false;
  numbers->resize(static_cast<std::size_t>(count));
  std::memcpy(numbers->data(), stored.memory, numbers->size() * sizeof(std::int32_t));
  return true;
}
bool FetchFromDevice(Context& context, const DnnCtcLoss& words, i64 batch, Labels* labels) {
  if (!Fetch(context, words.label_lengths, batch, &labels->lengths) ||
      !Fetch(context, words.input_lengths, batch, &labels->inputs))
    return false;
  i64 sum = 0;
  for (const std::int32_t length : labels->lengths) {
    if (length < 0) return false;
    sum += length;
  }
  return Fetch(context, words.labels, sum, &labels->symbols);
}

constexpr i64 kStatesMax = i64{1} << 26;  // of the two tables of a sequence

template <typename Real>
void Lose(Context& context, const DnnCtcLoss& words, std::span<const std::int32_t> tail) {
  const bool has_gradients = words.gradients.tensor.rank != 0;
  const View<Real> x = context.In<Real>(words.probabilities);
  const Stored gradients = has_gradients ? context.Find(words.gradients) : Stored{};
  context.Require(words.probabilities.tensor.type == kStoredAs<Real> &&
                      (!has_gradients || words.gradients.tensor.type == kStoredAs<Real>),
                  "tensors of another type than the loss");
  context.Require(x.shape.rank == 3 && (!has_gradients || SameDims(x.shape, gradients.shape)),
                  "tensors that are not of steps, sequences and symbols");
  if (context.failed()) return;
  const i64 steps = x.shape.dims[0], batch = x.shape.dims[1], alphabet = x.shape.dims[2];
  Labels labels;
  const bool has_labels = words.is_version_8 != 0 ? FetchFromDevice(context, words, batch, &labels)
                                                  : TakeFromTail(tail, batch, alphabet, &labels);
  if (context.failed()) return;
  const i64 longest = words.is_version_8 != 0 ? words.ctc.label_length_max : std::numeric_limits<std::int32_t>::max();
  context.Require(has_labels && AreKnown(labels, steps, alphabet, longest),
                  "labels or lengths that the tensors and the descriptor do not have");
  const Stored costs = context.Find(RawOperand(kStoredAs<Real>, words.costs, batch));
  if (context.failed()) return;
  auto* const cost = static_cast<Real*>(costs.memory);
  auto* const gradient = static_cast<Real*>(gradients.memory);
  std::size_t first = 0;
  std::vector<double> likelihoods;
  for (i64 n = 0; n < batch; ++n) {
    const auto i = static_cast<std::size_t>(n);
    const i64 length = labels.lengths[i], input = labels.inputs[i];
    if (input * (2 * length + 1) > kStatesMax) return context.Fail(kNotSupported, "a label that is too long");
    const std::span<const std::int32_t> label(labels.symbols.data() + first, static_cast<std::size_t>(length));
    first += static_cast<std::size_t>(length);
    Sequence sequence(input, alphabet);
    for (i64 t = 0; t < input; ++t) {
      for (i64 k = 0; k < alphabet; ++k) {
        const auto value =
            static_cast<double>(x.data[t * x.shape.strides[0] + n * x.shape.strides[1] + k * x.shape.strides[2]]);
        sequence.logarithm(t, k) =
            words.ctc.normalization == CUDNN_LOSS_NORMALIZATION_SOFTMAX ? value : std::log(value);
      }
    }
    if (words.ctc.normalization == CUDNN_LOSS_NORMALIZATION_SOFTMAX) sequence.Normalize();
    const double all = sequence.Align(label, &likelihoods);
    cost[n] = static_cast<Real>(-all);
    // A label that cannot be said in so few steps.
    const bool is_outside = all == kNever;
    if (!has_gradients || (is_outside && words.ctc.gradient_mode == CUDNN_CTC_SKIP_OOB_GRADIENTS)) continue;
    for (i64 t = 0; t < steps; ++t) {
      for (i64 k = 0; k < alphabet; ++k) {
        const bool is_zero = is_outside || t >= input;
        gradient[t * gradients.shape.strides[0] + n * gradients.shape.strides[1] + k * gradients.shape.strides[2]] =
            is_zero ? Real{0}
                    : static_cast<Real>(std::exp(sequence.logarithm(t, k)) -
                                        likelihoods[static_cast<std::size_t>(t * alphabet + k)]);
      }
    }
  }
}

void Loss(Context& context) {
  std::vector<std::int32_t> tail;
  const auto words = context.Arguments<DnnCtcLoss>(&tail);
  if (words.ctc.type == CUDNN_DATA_DOUBLE) {
    Lose<double>(context, words, tail);
  } else {
    Lose<float>(context, words, tail);
  }
}

// What is needed is the server's own memory.
void Sizes(Context& context) {
  const DnnSize size;
  context.Answer(ByteView(reinterpret_cast<const std::uint8_t*>(&size), sizeof(size)));
}

}  // namespace

void AddCtc(Table& table) {
  table[kDnnFunction<DnnCtcSizes>] = &Sizes;
  table[kDnnFunction<DnnCtcLoss>] = &Loss;
}

}  // namespace accelmesh::cpu_dnn
