// The surrogate price of a class of slots: what is asked where no auction has found a price.
//
//   p <- p * clip(1 + eta * (u - u*) / u*, 1 - delta, 1 + delta)
//
// once an epoch (a minute), where u is half the utilisation now and half its forecast: so the price moves before a
// rush that comes every day, and never by more than delta a step, whatever demand does. The step is the
// multiplicative-weights rule that posted prices for shared resources commonly use; clipping bounds what a spoofed
// demand can move.
//
// The forecast is Holt-Winters' additive one: P. R. Winters, "Forecasting Sales by Exponentially Weighted Moving
// Averages", Management Science 6 (1960), after C. C. Holt (1957): level, trend, and a season by the hour of the day.
// The trend is damped (E. S. Gardner, E. McKenzie, "Forecasting Trends in Time Series", 1985), so that a short rise
// does not run away.
//
// Pure: the same record, utilisation and time give the same price. Threads: functions on values.
#pragma once

#include "market/core/records.h"

namespace accelmesh::market {

struct PriceRules {
  double eta = 0.125;
  double delta = 0.125;
  double target = 0.7;  // u*
  double level_weight = 0.2;
  double trend_weight = 0.05;
  double season_weight = 0.05;
  double damping = 0.9;
  unsigned horizon_steps = 10;
  std::int64_t floor = 1000;  // a millicredit an hour: from nothing no factor leads away
  std::int64_t ceiling = 1'000'000'000'000;
  // Of the past every step of the last two hours is kept, and one in a quarter of an hour of the week before: who waits
  // for a cheap hour judges by it.
  std::size_t history_steps = 120;
  std::int64_t history_apart_ms = 900'000;
  std::int64_t history_life_ms = 7LL * 24 * 3'600'000;
};
inline constexpr std::size_t kSeasons = 24;

// Of the utilisation (0 to 1), `horizon_steps` ahead; what it is now if nothing was seen yet.
double Forecast(const PriceRecord& record, double now, std::int64_t now_ms, std::int64_t step_ms,
                const PriceRules& rules);
// One epoch: `utilisation` is that of the class now, from 0 to 1 (anything else is taken into that range). `floor` is
// the lowest reserve price among its slots.
void Step(PriceRecord& record, double utilisation, std::int64_t floor, std::int64_t now_ms, std::int64_t step_ms,
          const PriceRules& rules);

}  // namespace accelmesh::market
