// What a repeated measurement says: a mean and its confidence interval.
//
// The interval is Student's (W. S. Gosset, "The Probable Error of a Mean", Biometrika 6, 1908): of n samples with mean
// m and standard deviation s, m -+ t(n - 1) * s / sqrt(n), where t is the 97.5 % quantile of his distribution. Samples
// are means of batches (A. M. Law, Simulation Modeling and Analysis, "batch means"): one batch is long against what
// disturbs a single call, so that batches are nearly independent and nearly normal.
//
// Threads: values.
#pragma once

#include <cstddef>
#include <span>

namespace accelmesh::measure {

// All zero: not measured.
struct Interval {
  double mean = 0;
  double low = 0;
  double high = 0;

  bool known() const { return low > 0 && low <= mean && mean <= high && high <= 1e30; }
  bool Overlaps(const Interval& other) const { return low <= other.high && other.low <= high; }
  bool operator==(const Interval&) const = default;
};

// The 97.5 % quantile of Student's distribution with so many degrees of freedom, at least 1.
double StudentQuantile(std::size_t degrees);
// 95 % confidence. Of fewer than two samples nothing is known. What is measured is positive, and so is the lower bound:
// it is not below a tenth of the mean.
Interval MeanInterval(std::span<const double> samples);
// Half of the interval's width as a part of its mean; 1 if nothing is known.
double RelativeError(const Interval& interval);

}  // namespace accelmesh::measure
