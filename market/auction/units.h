// What the auction counts in, the bounds it puts on every order, and the one source of chance.
//
// * Prices: microcredits for a unit and an hour. A unit is 1,000 milli-units of a class's normalised capacity.
// * A price times milli-units is nanocredits an hour, exactly: nothing is rounded before money is really paid for a
// time
//   (market/core). One order's product fits 63 bits by the bounds below; sums are Wide.
// * Ids are the caller's numbers, each its own within an epoch. Nothing follows from their order: ties and lotteries
// are
//   drawn from the seed and the id, and the seed is known only after bids are sealed, so that nobody can choose a lucky
//   id. An identity is a number here, too (such as its place in the epoch's sorted list of keys).
//
// Pure. Threads: functions on values.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accelmesh::market::auction {

using OrderId = std::uint64_t;
using PartyId = std::uint64_t;
using LeaseId = std::uint64_t;
using ClassId = std::uint32_t;

__extension__ using Wide = __int128;
__extension__ using UnsignedWide = unsigned __int128;

inline constexpr std::int64_t kUnitMilli = 1000;
inline constexpr std::int64_t kNanoPerMicro = 1000;
inline constexpr std::uint32_t kWholePpm = 1'000'000;

inline constexpr std::int64_t kPriceMicrocreditsMax = 1'000'000'000'000;  // a million credits for a unit-hour
inline constexpr std::int64_t kUnitsMilliMax = 4'000'000;                 // of one order or part; 4,000 whole devices
inline constexpr std::int64_t kValueMicrocreditsMax = 4'000'000'000'000'000;  // of one bundle, an hour
inline constexpr std::int64_t kWeightMilliMax = 1'000'000;
inline constexpr std::int64_t kNoticeMsMax = 30LL * 24 * 3600 * 1000;
inline constexpr std::size_t kOrdersMax = 1U << 20;  // asks; bids
inline constexpr std::size_t kGangsMax = 1U << 16;
inline constexpr std::size_t kBundlesPerGangMax = 16;
inline constexpr std::size_t kPartsPerBundleMax = 64;
inline constexpr std::size_t kPartsMax = 1U << 20;  // of all gangs
inline constexpr std::size_t kClassesMax = 4096;
inline constexpr std::size_t kFloorsMax = 1U << 16;  // of all classes

// What a draw is for: the same id draws anew for each purpose.
enum class Purpose : std::uint64_t { kTieBid = 1, kTieAsk, kRationBid, kRationAsk, kTieGang, kPairing, kClose };

// 64 well-mixed bits. Not a cryptographic hash and it need not be one: the seed is, and is not known in time.
constexpr std::uint64_t Draw(std::uint64_t seed, Purpose purpose, std::uint64_t id) {
  const auto mix = [](std::uint64_t x) {  // finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014)
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
  };
  return mix(mix(seed + 0x9e3779b97f4a7c15ULL * static_cast<std::uint64_t>(purpose)) ^ mix(id + 0x9e3779b97f4a7c15ULL));
}

}  // namespace accelmesh::market::auction
