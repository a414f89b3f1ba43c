#include "market/ledger/beta_quantile.h"

#include <algorithm>
#include <boost/math/special_functions/beta.hpp>
#include <boost/multiprecision/cpp_bin_float.hpp>
#include <cmath>

namespace accelmesh::market::ledger {
namespace {

namespace policies = boost::math::policies;
// Nothing throws, and nothing is computed in more digits than it says.
using Quiet =
    policies::policy<policies::domain_error<policies::ignore_error>, policies::pole_error<policies::ignore_error>,
                     policies::overflow_error<policies::ignore_error>,
                     policies::underflow_error<policies::ignore_error>, policies::denorm_error<policies::ignore_error>,
                     policies::rounding_error<policies::ignore_error>,
                     policies::evaluation_error<policies::ignore_error>,
                     policies::indeterminate_result_error<policies::ignore_error>, policies::promote_double<false>>;
using Exact = boost::multiprecision::cpp_bin_float_50;

// Boost says of its results for double: a relative error of 10^-11 at worst for parameters in our range.
constexpr double kMargin = 1e-8;
constexpr std::int64_t kMicro = 1'000'000;
constexpr std::int64_t kParameterMax = 1'000'000 * kMicro;

// Whether P(X <= x) > quantile, x and the quantile in millionths and halves of them.
bool IsAbove(std::int64_t alpha, std::int64_t beta, std::int64_t x_halves, std::int64_t quantile) {
  const double at = static_cast<double>(x_halves) / (2.0 * kMicro);
  const double wanted = static_cast<double>(quantile) / kMicro;
  const double below =
      boost::math::ibeta(static_cast<double>(alpha) / kMicro, static_cast<double>(beta) / kMicro, at, Quiet());
  if (std::isfinite(below) && std::fabs(below - wanted) > kMargin) return below > wanted;
  const Exact exact =
      boost::math::ibeta(Exact(alpha) / kMicro, Exact(beta) / kMicro, Exact(x_halves) / (2 * kMicro), Quiet());
  return exact > Exact(quantile) / kMicro;
}

}  // namespace

std::uint32_t BetaQuantilePpm(std::int64_t alpha_micro, std::int64_t beta_micro, std::uint32_t quantile_ppm) {
  const std::int64_t alpha = std::clamp<std::int64_t>(alpha_micro, 1, kParameterMax);
  const std::int64_t beta = std::clamp<std::int64_t>(beta_micro, 1, kParameterMax);
  const std::int64_t quantile = std::clamp<std::int64_t>(quantile_ppm, 1, kMicro - 1);
  // The smallest p for which p + 1/2 is above the quantile is the quantile, rounded.
  std::int64_t low = 0;
  std::int64_t high = kMicro;
  while (low < high) {
    const std::int64_t middle = (low + high) / 2;
    if (IsAbove(alpha, beta, 2 * middle + 1, quantile)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return static_cast<std::uint32_t>(low);
}

}  // namespace accelmesh::market::ledger
