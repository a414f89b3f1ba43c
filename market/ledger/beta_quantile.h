// Quantiles of the Beta distribution, the same on every machine.
//
// Sources: the incomplete beta function is Boost.Math's. Its floating-point result may differ in the last digits
// between machines and compilers, so only comparisons that are far from a tie are left to it; the others are made with
// Boost.Multiprecision's 50 decimal digits, which are computed with integers alone.
//
// Threads: functions on values.
#pragma once

#include <cstdint>

namespace accelmesh::market::ledger {

// The quantile of Beta(alpha, beta), both in millionths, rounded to millionths: of x with
// P(X <= x) = quantile_ppm / 1,000,000. Parameters are cut to [1, 10^12] millionths, quantiles to [1, 999999].
std::uint32_t BetaQuantilePpm(std::int64_t alpha_micro, std::int64_t beta_micro, std::uint32_t quantile_ppm);

}  // namespace accelmesh::market::ledger
