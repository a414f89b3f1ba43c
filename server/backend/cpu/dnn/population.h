// What a batch normalisation normalises together, and the parameters of each such population.
#pragma once

#include <algorithm>
#include <cmath>

#include "server/backend/cpu/dnn/context.h"
#include "server/backend/cpu/dnn/split.h"

namespace accelmesh::cpu_dnn {

// A channel's elements, or those of a place in all images.
inline bool IsOfPopulation(int d, bool per_activation) { return d == 0 || (d > 1 && !per_activation); }
inline auto Populations(const Shape& shape, bool per_activation) {
  return Split(shape, [per_activation](int d) { return IsOfPopulation(d, per_activation); });
}
// One for each population.
inline bool AreParameters(const Shape& parameters, const Shape& x, bool per_activation) {
  if (parameters.rank != x.rank) return false;
  for (int d = 0; d < x.rank; ++d) {
    if (parameters.dims[d] != (IsOfPopulation(d, per_activation) ? 1 : x.dims[d])) return false;
  }
  return true;
}

struct Moments {
  double mean = 0;
  double variance = 0;  // of the population
};

template <typename Real>
Moments Measure(const Real* x, const Shape& population, const Indices& strides) {
  const double count = static_cast<double>(Elements(population));
  Moments moments;
  Walk<1>(population, {strides}, [&](const Offsets<1>& at) { moments.mean += static_cast<double>(x[at[0]]); });
  moments.mean /= count;
  Walk<1>(population, {strides}, [&](const Offsets<1>& at) {
    const double apart = static_cast<double>(x[at[0]]) - moments.mean;
    moments.variance += apart * apart;
  });
  moments.variance /= count;
  return moments;
}

// A tensor of parameters that may be absent.
template <typename Real>
View<Real> Optional(Context& context, const DnnTensor& tensor, std::uint64_t address) {
  return address == 0 ? View<Real>{} : context.In<Real>({tensor, address});
}

// What a step of training keeps of each population. Of all of them each pair may be absent.
template <typename Real>
class KeptMoments {
 public:
  template <typename Words>
  KeptMoments(Context& context, const DnnTensor& tensor, const Words& words)
      : running_mean_(Optional<Real>(context, tensor, words.running_mean)),
        running_variance_(Optional<Real>(context, tensor, words.running_variance)),
        saved_mean_(Optional<Real>(context, tensor, words.saved_mean)),
        saved_deviation_(Optional<Real>(context, tensor, words.saved_inverse_deviation)),
        factor_(words.average_factor) {}
  // How they lie: all do as one; `otherwise` if there is none.
  Shape ShapeOr(Shape otherwise) const {
    for (const View<Real>* view : {&running_mean_, &running_variance_, &saved_mean_, &saved_deviation_}) {
      if (view->data != nullptr) otherwise = view->shape;
    }
    return otherwise;
  }
  // Of a population of `count`, whose place is `at`.
  void Keep(i64 at, const Moments& measured, double count, double inverse_deviation) const {
    Average(running_mean_, at, measured.mean);
    // What is kept is the estimate of where the population came from.
    Average(running_variance_, at, measured.variance * count / std::max(count - 1, 1.0));
    if (saved_mean_.data != nullptr) saved_mean_.data[at] = static_cast<Real>(measured.mean);
    if (saved_deviation_.data != nullptr) saved_deviation_.data[at] = static_cast<Real>(inverse_deviation);
  }

 private:
  void Average(const View<Real>& kept, i64 at, double now) const {
    if (kept.data == nullptr) return;
    const double before = factor_ == 1 ? 0 : static_cast<double>(kept.data[at]) * (1 - factor_);
    kept.data[at] = static_cast<Real>(now * factor_ + before);
  }

  View<Real> running_mean_;
  View<Real> running_variance_;
  View<Real> saved_mean_;
  View<Real> saved_deviation_;
  double factor_;
};

// What the way back has of them, or measures anew.
template <typename Real>
class SavedMoments {
 public:
  template <typename Words>
  SavedMoments(Context& context, const DnnTensor& tensor, const Words& words)
      : mean_(Optional<Real>(context, tensor, words.saved_mean)),
        deviation_(Optional<Real>(context, tensor, words.saved_inverse_deviation)),
        epsilon_(words.epsilon) {}
  bool are_given() const { return mean_.data != nullptr && deviation_.data != nullptr; }
  Shape ShapeOr(const Shape& otherwise) const { return are_given() ? mean_.shape : otherwise; }
  // Of the population at `x`, whose place among the given ones is `at`.
  struct Pair {
    double mean = 0;
    double inverse_deviation = 0;
  };
  Pair Of(i64 at, const Real* x, const Shape& population) const {
    if (are_given()) return {static_cast<double>(mean_.data[at]), static_cast<double>(deviation_.data[at])};
    const Moments measured = Measure(x, population, population.strides);
    return {measured.mean, 1 / std::sqrt(measured.variance + epsilon_)};
  }

 private:
  View<Real> mean_;
  View<Real> deviation_;
  double epsilon_;
};

// Parameters lie as what is computed with: cuDNN's are float, or double where x is.
inline bool HaveRealType(Context& context, const DnnTensor& x, const DnnTensor& parameters) {
  const int wanted = x.type == CUDNN_DATA_DOUBLE ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
  if (parameters.type != wanted) context.Fail(kNotSupported, "parameters of another type");
  return parameters.type == wanted;
}

}  // namespace accelmesh::cpu_dnn
