#include "scheduler/core/quantity.h"

#include <array>
#include <charconv>
#include <cmath>
#include <span>

namespace accelmesh::scheduler {
namespace {

constexpr std::uint64_t kBytesMax = 1ULL << 60;
constexpr std::int64_t kDurationUsMax = 10LL * 366 * 86400 * 1'000'000;
constexpr std::int64_t kMicrocreditsMax = 9'000'000'000'000'000'000LL;

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
constexpr std::array<Unit, 5> kByteUnits = {
    {{"B", 1}, {"KiB", 1ULL << 10}, {"MiB", 1ULL << 20}, {"GiB", 1ULL << 30}, {"TiB", 1ULL << 40}}};
constexpr std::array<Unit, 6> kDurationUnits = {
    {{"us", 1}, {"ms", 1000}, {"s", 1'000'000}, {"m", 60'000'000}, {"h", 3'600'000'000}, {"d", 86'400'000'000}}};
constexpr std::array<Unit, 5> kOperationUnits = {{{"OPS", 1},
                                                  {"MOPS", 1'000'000},
                                                  {"GOPS", 1'000'000'000},
                                                  {"TOPS", 1'000'000'000'000},
                                                  {"POPS", 1'000'000'000'000'000}}};
constexpr std::array<Unit, 8> kBandwidthUnits = {{{"B/s", 1},
                                                  {"KiB/s", 1ULL << 10},
                                                  {"MiB/s", 1ULL << 20},
                                                  {"GiB/s", 1ULL << 30},
                                                  {"TiB/s", 1ULL << 40},
                                                  {"MB/s", 1'000'000},
                                                  {"GB/s", 1'000'000'000},
                                                  {"TB/s", 1'000'000'000'000}}};
constexpr Unit kMicrocredit = {"", 1'000'000};

// Only a bounded part of a text is repeated, and nothing of it that a terminal would obey.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text.substr(0, 80)) quoted += c >= ' ' && c <= '~' ? c : '?';
  return quoted + (text.size() > 80 ? "...\"" : "\"");
}

Status Bad(std::string_view text, const std::string& what) {
  return {Code::kInvalidArgument, "ParseQuantity", Quoted(text) + " " + what};
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// A number in decimal notation in front of a text: its digits before and after the point, and what follows.
struct Decimal {
  std::string_view whole;
  std::string_view fraction;
  std::string_view rest;
};

// Nothing if the text does not begin with a number.
bool SplitDecimal(std::string_view text, Decimal& decimal) {
  std::size_t end = 0;
  while (end < text.size() && IsDigit(text[end])) ++end;
  decimal.whole = text.substr(0, end);
  decimal.fraction = {};
  if (end < text.size() && text[end] == '.') {
    const std::size_t begin = ++end;
    while (end < text.size() && IsDigit(text[end])) ++end;
    decimal.fraction = text.substr(begin, end - begin);
    if (decimal.fraction.empty()) return false;
  }
  if (decimal.whole.empty() || decimal.whole.size() + decimal.fraction.size() > 40) return false;
  decimal.rest = Trimmed(text.substr(end));
  return true;
}

// decimal * factor as an exact integer; false if it is none or above `most`.
bool Scale(const Decimal& decimal, std::uint64_t factor, std::uint64_t most, std::uint64_t& value) {
  __extension__ using Wide = unsigned __int128;
  Wide total = 0;
  for (const char digit : decimal.whole) {
    total = total * 10 + static_cast<Wide>(digit - '0');
    if (total > most) return false;
  }
  total *= factor;
  // Each further digit is a tenth of the one before, as long as the factor can be divided exactly.
  std::string_view fraction = decimal.fraction;
  while (!fraction.empty() && fraction.back() == '0') fraction.remove_suffix(1);
  Wide numerator = 0;
  Wide denominator = 1;
  if (fraction.size() > 19) return false;
  for (const char digit : fraction) {
    numerator = numerator * 10 + static_cast<Wide>(digit - '0');
    denominator *= 10;
  }
  numerator *= factor;
  if (numerator % denominator != 0) return false;
  total += numerator / denominator;
  if (total > most) return false;
  value = static_cast<std::uint64_t>(total);
  return true;
}

template <std::size_t N>
std::string UnitNames(const std::array<Unit, N>& units) {
  std::string names;
  for (std::size_t i = 0; i < N; ++i) names += (i == 0 ? "" : i + 1 == N ? " or " : ", ") + std::string(units[i].name);
  return names;
}

template <std::size_t N>
const Unit* FindUnit(const std::array<Unit, N>& units, std::string_view name) {
  for (const Unit& unit : units) {
    if (unit.name == name) return &unit;
  }
  return nullptr;
}

template <std::size_t N>
Result<std::uint64_t> ParseExact(std::string_view text, const std::array<Unit, N>& units, std::uint64_t most,
                                 const std::string& what, const std::string& example) {
  Decimal decimal;
  if (!SplitDecimal(Trimmed(text), decimal)) return Bad(text, "is no " + what + "; write " + example);
  std::uint64_t value = 0;
  if (decimal.rest.empty()) {
    if (Scale(decimal, 1, 0, value)) return value;
    return Bad(text, "has no unit; write " + UnitNames(units) + " behind the number, as in " + example);
  }
  const Unit* unit = FindUnit(units, decimal.rest);
  if (unit == nullptr) {
    return Bad(text, "has an unknown unit; a " + what + " has " + UnitNames(units) + ", as in " + example);
  }
  if (Scale(decimal, unit->factor, most, value)) return value;
  return Bad(text, "is too large or too fine for a " + what + "; write a number like " + example);
}

template <std::size_t N>
Result<double> ParseRate(std::string_view text, const std::array<Unit, N>& units, const std::string& what,
                         const std::string& example) {
  Decimal decimal;
  const std::string_view trimmed = Trimmed(text);
  if (!SplitDecimal(trimmed, decimal)) return Bad(text, "is no " + what + "; write " + example);
  const Unit* unit = FindUnit(units, decimal.rest);
  if (unit == nullptr) {
    return Bad(text, "has " + std::string(decimal.rest.empty() ? "no" : "an unknown") + " unit; a " + what + " has " +
                         UnitNames(units) + ", as in " + example);
  }
  double value = 0;
  const auto [end, error] = std::from_chars(trimmed.data(), trimmed.data() + trimmed.size(), value);
  value *= static_cast<double>(unit->factor);
  if (error != std::errc() || end == trimmed.data() || !(value >= kRateLeast && value <= kRateMost)) {
    return Bad(text, "is too small or too large for a " + what + "; write " + example);
  }
  return value;
}

// The largest unit of which `value` is a whole number.
template <std::size_t N>
std::string ExactText(std::uint64_t value, const std::array<Unit, N>& units) {
  if (value == 0) return "0";
  const Unit* best = &units[0];
  for (const Unit& unit : units) {
    if (value % unit.factor == 0 && unit.factor > best->factor) best = &unit;
  }
  return std::to_string(value / best->factor) + std::string(best->name);
}

std::string Shortest(double value) {
  char buffer[64];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed);
  return error == std::errc() ? std::string(buffer, end) : "0";
}

// In the first unit that gives back exactly this value; the last one of size 1 always does up to the digits a
// double has.
template <std::size_t N>
std::string RateText(double value, const std::array<Unit, N>& units) {
  for (std::size_t i = N; i-- > 0;) {
    const double scaled = value / static_cast<double>(units[i].factor);
    const std::string number = Shortest(scaled);
    if (scaled >= 0.001 && number.size() <= 20 && scaled * static_cast<double>(units[i].factor) == value) {
      return number + std::string(units[i].name);
    }
  }
  return Shortest(value / static_cast<double>(units[0].factor)) + std::string(units[0].name);
}

std::string FourDigits(double value) {
  char buffer[64];
  const int decimals = value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3;
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::fixed, decimals);
  if (error != std::errc()) return "?";
  std::string text(buffer, end);
  if (text.find('.') != std::string::npos) {
    while (text.back() == '0') text.pop_back();
    if (text.back() == '.') text.pop_back();
  }
  return text;
}

std::string Readable(double value, std::span<const Unit> units) {
  const Unit* best = &units[0];
  for (const Unit& unit : units) {
    if (value >= static_cast<double>(unit.factor) && unit.factor > best->factor) best = &unit;
  }
  return FourDigits(value / static_cast<double>(best->factor)) + " " + std::string(best->name);
}

}  // namespace

Result<std::uint64_t> ParseBytes(std::string_view text) {
  return ParseExact(text, kByteUnits, kBytesMax, "size", "8GiB");
}

Result<std::int64_t> ParseDurationUs(std::string_view text) {
  ACCELMESH_ASSIGN_OR_RETURN(
      const std::uint64_t us,
      ParseExact(text, kDurationUnits, static_cast<std::uint64_t>(kDurationUsMax), "duration", "5ms"));
  return static_cast<std::int64_t>(us);
}

Result<double> ParseOperationsPerSecond(std::string_view text) {
  return ParseRate(text, kOperationUnits, "throughput", "0.05 TOPS");
}

Result<double> ParseBytesPerSecond(std::string_view text) {
  return ParseRate(text, kBandwidthUnits, "bandwidth", "100GB/s");
}

Result<std::int64_t> ParseCredits(std::string_view text) {
  Decimal decimal;
  std::uint64_t value = 0;
  if (!SplitDecimal(Trimmed(text), decimal) || !decimal.rest.empty()) {
    return Bad(text, "is no number of credits; write 2.50");
  }
  if (!Scale(decimal, kMicrocredit.factor, static_cast<std::uint64_t>(kMicrocreditsMax), value)) {
    return Bad(text, "has more than six decimals or is too large for credits; write 2.50");
  }
  return static_cast<std::int64_t>(value);
}

Result<std::uint32_t> ParseCount(std::string_view text, std::uint32_t most) {
  const std::string_view trimmed = Trimmed(text);
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(trimmed.data(), trimmed.data() + trimmed.size(), value);
  if (error != std::errc() || end != trimmed.data() + trimmed.size() || value == 0 || value > most) {
    return Bad(text, "is no whole number from 1 to " + std::to_string(most));
  }
  return value;
}

std::string BytesText(std::uint64_t bytes) { return ExactText(bytes, kByteUnits); }
std::string DurationText(std::int64_t us) { return ExactText(static_cast<std::uint64_t>(us), kDurationUnits); }
std::string OperationsPerSecondText(double operations_per_s) { return RateText(operations_per_s, kOperationUnits); }
std::string BytesPerSecondText(double bytes_per_s) { return RateText(bytes_per_s, kBandwidthUnits); }

std::string CreditsText(std::int64_t microcredits) {
  std::string text = std::to_string(microcredits / 1'000'000);
  std::string fraction = std::to_string(microcredits % 1'000'000);
  fraction.insert(0, 6 - fraction.size(), '0');
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  return fraction.empty() ? text : text + "." + fraction;
}

std::string ReadableBytes(std::uint64_t bytes) { return Readable(static_cast<double>(bytes), kByteUnits); }
std::string ReadableOperations(double operations_per_s) { return Readable(operations_per_s, kOperationUnits); }
std::string ReadableBandwidth(double bytes_per_s) { return Readable(bytes_per_s, std::span(kBandwidthUnits).last(3)); }
std::string ReadableDuration(double us) { return Readable(us, kDurationUnits); }

}  // namespace accelmesh::scheduler
