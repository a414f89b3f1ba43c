#include "tools/agent/core/patience.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace accelmesh::agent {
namespace {

constexpr double kLifeMs = 7 * 24 * 3600e3;
constexpr double kScaleMax = 1e100;
constexpr double kPerOctave = 16;

}  // namespace

PriceHistory::PriceHistory() {
  for (std::size_t i = 0; i < kBuckets; ++i) {
    ends_[i] = static_cast<std::int64_t>(std::exp2(static_cast<double>(i + 1) / kPerOctave)) + 1;
    while (BucketOf(ends_[i]) > i) --ends_[i];
  }
}

std::size_t PriceHistory::BucketOf(std::int64_t price_microcredits) {
  const double octaves = std::log2(static_cast<double>(std::max<std::int64_t>(1, price_microcredits)));
  return std::min(kBuckets - 1, static_cast<std::size_t>(octaves * kPerOctave));
}

void PriceHistory::See(std::int64_t now_ms, std::int64_t price_microcredits) {
  const std::int64_t last_ms = last_ms_.value_or(now_ms);
  // Times are a market's word: their difference may be more than an integer holds.
  const double passed = std::max(0.0, static_cast<double>(now_ms) - static_cast<double>(last_ms));
  last_ms_ = std::max(last_ms, now_ms);
  scale_ *= std::exp(passed / kLifeMs);
  if (scale_ > kScaleMax) {
    for (double& time : up_to_) time /= scale_;
    scale_ = 1;
  }
  for (std::size_t i = BucketOf(price_microcredits); i < kBuckets; ++i) up_to_[i] += passed * scale_;
}

std::int64_t PriceHistory::PriceOf(double part) const {
  if (up_to_.back() <= 0) return 0;
  const double time = std::max(part * up_to_.back(), std::numeric_limits<double>::min());
  const auto bucket = std::lower_bound(up_to_.begin(), up_to_.end() - 1, time) - up_to_.begin();
  return ends_[static_cast<std::size_t>(bucket)];
}

double PriceHistory::PartBelow(std::int64_t price_microcredits) const {
  const std::size_t bucket = BucketOf(price_microcredits);
  return bucket == 0 || up_to_.back() <= 0 ? 0 : up_to_[bucket - 1] / up_to_.back();
}

double NeedOf(double needed_ms, double left_ms) {
  return needed_ms >= left_ms ? 1 : std::max(0.0, needed_ms) / left_ms;
}

std::int64_t PatientPrice(const PriceHistory& history, double need) {
  if (need >= 1) return kAnyPrice;
  const std::int64_t price = history.PriceOf(need);
  return price > 0 ? price : kAnyPrice;
}

}  // namespace accelmesh::agent
