// What somebody bids who can wait: the price that was not exceeded for so great a part of the past as his work needs of
// the time that he has left. So he has the cheapest hours that suffice, and the less time is left, the more he bids, up
// to what the work is worth to him. (The persistent bids of L. Zheng, C. Joe-Wong, C. W. Tan, M. Chiang, X. Wang, "How
// to Bid the Cloud", SIGCOMM 2015, section 5, with an end to the time instead of a price for it.) An auction in which
// truth pays within an epoch makes nobody pay for the time that he leaves to others; an agent that waits by itself
// leaves its owner nothing to gain by having it bid less than the truth (docs/sim-model.md, mesh-sim cheaters).
//
// Pure: time is an argument. Threads: one at a time. Units: milliseconds; microcredits for a unit and an hour.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace accelmesh::agent {

// How often a price was how high. What was a week ago counts a third, and so on.
class PriceHistory {
 public:
  PriceHistory();
  // The price was that from the last call until `now_ms`; times ascend.
  void See(std::int64_t now_ms, std::int64_t price_microcredits);
  // The price that was not exceeded for `part` (0 to 1) of the time, rounded up by at most a twentieth; 0: none was
  // seen.
  std::int64_t PriceOf(double part) const;
  // The greatest part of which PriceOf() is below a price: whether one who waits bids that much, for many at once.
  double PartBelow(std::int64_t price_microcredits) const;

 private:
  static constexpr std::size_t kBuckets = 640;  // sixteen an octave, up to the dearest price that there may be
  static std::size_t BucketOf(std::int64_t price_microcredits);

  std::array<std::int64_t, kBuckets> ends_{};  // the greatest price of each
  std::array<double, kBuckets> up_to_{};       // time at prices of a bucket and all below
  double scale_ = 1;                           // later times count more, rather than earlier ones less
  std::optional<std::int64_t> last_ms_;
};

// The part of the time left that is needed; 1: all of it, or more.
double NeedOf(double needed_ms, double left_ms);

inline constexpr std::int64_t kAnyPrice = INT64_MAX;
// Beyond what one with such a need does not go; kAnyPrice: no such bound.
std::int64_t PatientPrice(const PriceHistory& history, double need);

}  // namespace accelmesh::agent
