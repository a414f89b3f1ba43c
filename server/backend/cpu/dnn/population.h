// What a batch normalisation normalises together, and the parameters of each such population.
#pragma once

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

// Parameters lie as what is computed with: cuDNN's are float, or double where x is.
inline bool HaveRealType(Context& context, const DnnTensor& x, const DnnTensor& parameters) {
  const int wanted = x.type == CUDNN_DATA_DOUBLE ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
  if (parameters.type != wanted) context.Fail(kNotSupported, "parameters of another type");
  return parameters.type == wanted;
}

}  // namespace accelmesh::cpu_dnn
