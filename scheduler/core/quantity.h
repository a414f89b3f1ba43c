// Numbers with units as people write them: "1.5GiB", "250 ms", "0.05 TOPS", "2.50" credits; and how we write them back.
//
// The text may be anything. Every parser takes the whole text or refuses it with kInvalidArgument, naming what it is
// and a right example; results are finite, within the bounds named here, and exact where they are integers: decimals
// are read digit by digit, never through a double.
// Threads: functions on values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "protocol/base/result.h"

namespace accelmesh::scheduler {

// Rates lie between these; below, nobody could tell them from none.
inline constexpr double kRateLeast = 1;
inline constexpr double kRateMost = 1e24;

// At most 2^60 bytes. Units: B, KiB, MiB, GiB, TiB; a bare number other than 0 is refused, because nobody knows its
// unit.
Result<std::uint64_t> ParseBytes(std::string_view text);
// Microseconds, at most ten years. Units: us, ms, s, m, h, d.
Result<std::int64_t> ParseDurationUs(std::string_view text);
// Operations a second. Units: OPS, MOPS, GOPS, TOPS, POPS.
Result<double> ParseOperationsPerSecond(std::string_view text);
// Bytes a second. Units: those of bytes and MB, GB, TB (powers of ten), followed by "/s".
Result<double> ParseBytesPerSecond(std::string_view text);
// Microcredits from credits with at most six decimals; at most 9 * 10^12 credits.
Result<std::int64_t> ParseCredits(std::string_view text);
// A count from 1 to `most`.
Result<std::uint32_t> ParseCount(std::string_view text, std::uint32_t most);

// The shortest text that the parser above reads as exactly this value.
std::string BytesText(std::uint64_t bytes);
std::string DurationText(std::int64_t us);
std::string OperationsPerSecondText(double operations_per_s);
std::string BytesPerSecondText(double bytes_per_s);
std::string CreditsText(std::int64_t microcredits);

// For people: at most four digits and a unit, "5.5 GiB", "0.31 TOPS", "12.5 ms". Not to be parsed again.
std::string ReadableBytes(std::uint64_t bytes);
std::string ReadableOperations(double operations_per_s);
std::string ReadableBandwidth(double bytes_per_s);
std::string ReadableDuration(double us);

}  // namespace accelmesh::scheduler
