#include "market/core/price.h"

#include <algorithm>
#include <cmath>

namespace accelmesh::market {
namespace {

constexpr std::int64_t kHourMs = 3'600'000;

double Unit(double value) { return value >= 0 ? std::min(value, 1.0) : 0.0; }

std::size_t SeasonOf(std::int64_t ms) {
  const std::int64_t hour = ms / kHourMs % static_cast<std::int64_t>(kSeasons);
  return static_cast<std::size_t>(hour < 0 ? hour + static_cast<std::int64_t>(kSeasons) : hour);
}

double SeasonAt(const PriceRecord& record, std::int64_t ms) {
  return record.season.size() == kSeasons ? record.season[SeasonOf(ms)] : 0.0;
}

std::uint32_t Milli(double value) { return static_cast<std::uint32_t>(std::lround(Unit(value) * 1000)); }

// Drops what is too old, and the step that has just become old if it is too near to the one before.
void Thin(std::vector<PricePoint>& history, std::int64_t now_ms, const PriceRules& rules) {
  const auto is_kept = [&](const PricePoint& point) { return point.time_ms >= now_ms - rules.history_life_ms; };
  history.erase(history.begin(), std::find_if(history.begin(), history.end(), is_kept));
  if (history.size() <= rules.history_steps) return;
  const auto old = history.end() - static_cast<std::ptrdiff_t>(rules.history_steps) - 1;
  if (old == history.begin() || old->time_ms - (old - 1)->time_ms >= rules.history_apart_ms) return;
  history.erase(old);
}

}  // namespace

double Forecast(const PriceRecord& record, double now, std::int64_t now_ms, std::int64_t step_ms,
                const PriceRules& rules) {
  if (record.steps == 0) return Unit(now);
  double ahead = record.level;
  double trend = record.trend;
  for (unsigned i = 0; i < rules.horizon_steps; ++i) {
    trend *= rules.damping;
    ahead += trend;
  }
  return Unit(ahead + SeasonAt(record, now_ms + static_cast<std::int64_t>(rules.horizon_steps) * step_ms));
}

void Step(PriceRecord& record, double utilisation, std::int64_t floor, std::int64_t now_ms, std::int64_t step_ms,
          const PriceRules& rules) {
  const double seen = Unit(utilisation);
  if (record.season.size() != kSeasons) record.season.assign(kSeasons, 0.0);
  double& season = record.season[SeasonOf(now_ms)];
  if (record.steps == 0 || !std::isfinite(record.level) || !std::isfinite(record.trend) || !std::isfinite(season)) {
    record.level = seen;
    record.trend = 0;
    record.season.assign(kSeasons, 0.0);
  } else {
    const double before = record.level;
    record.level =
        rules.level_weight * (seen - season) + (1 - rules.level_weight) * (before + rules.damping * record.trend);
    record.trend =
        rules.trend_weight * (record.level - before) + (1 - rules.trend_weight) * rules.damping * record.trend;
    season = std::clamp(rules.season_weight * (seen - record.level) + (1 - rules.season_weight) * season, -1.0, 1.0);
  }
  ++record.steps;
  const double forecast = Forecast(record, seen, now_ms, step_ms, rules);
  const double expected = 0.5 * seen + 0.5 * forecast;
  const double factor =
      std::clamp(1 + rules.eta * (expected - rules.target) / rules.target, 1 - rules.delta, 1 + rules.delta);
  const std::int64_t lowest = std::clamp(floor, rules.floor, rules.ceiling);
  const auto price = static_cast<double>(std::clamp(record.price_per_hour, lowest, rules.ceiling));
  record.price_per_hour = std::clamp(static_cast<std::int64_t>(std::llround(price * factor)), lowest, rules.ceiling);
  record.history.push_back({now_ms, record.price_per_hour, Milli(seen), Milli(forecast)});
  Thin(record.history, now_ms, rules);
}

}  // namespace accelmesh::market
