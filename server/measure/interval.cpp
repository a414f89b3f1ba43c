#include "server/measure/interval.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace accelmesh::measure {
namespace {

// Of 1 to 30 degrees of freedom; beyond, the expansion of Cornish and Fisher is exact to all digits here.
constexpr std::array kQuantiles = {12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004,
                                   2.262157,  2.228139, 2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905,
                                   2.109816,  2.100922, 2.093024, 2.085963, 2.079614, 2.073873, 2.068658, 2.063899,
                                   2.059539,  2.055529, 2.051831, 2.048407, 2.045230, 2.042272};
constexpr double kNormalQuantile = 1.959964;
constexpr double kLowestPart = 0.1;

}  // namespace

double StudentQuantile(std::size_t degrees) {
  if (degrees <= kQuantiles.size()) return kQuantiles[std::max<std::size_t>(degrees, 1) - 1];
  // Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
  const double z = kNormalQuantile;
  const double n = static_cast<double>(degrees);
  const double z3 = z * z * z;
  const double z5 = z3 * z * z;
  const double z7 = z5 * z * z;
  return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * n * n * n);
}

Interval MeanInterval(std::span<const double> samples) {
  if (samples.size() < 2) return {};
  const double n = static_cast<double>(samples.size());
  double sum = 0;
  for (const double sample : samples) sum += sample;
  const double mean = sum / n;
  double squares = 0;
  for (const double sample : samples) squares += (sample - mean) * (sample - mean);
  const double half = StudentQuantile(samples.size() - 1) * std::sqrt(squares / (n - 1) / n);
  if (!std::isfinite(mean) || !std::isfinite(half) || mean <= 0) return {};
  return {mean, std::max(mean - half, mean * kLowestPart), mean + half};
}

double RelativeError(const Interval& interval) {
  return interval.known() ? (interval.high - interval.low) / 2 / interval.mean : 1;
}

}  // namespace accelmesh::measure
