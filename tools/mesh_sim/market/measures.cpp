#include "tools/mesh_sim/market/measures.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace accelmesh::sim {
namespace {

using Field = double Measures::*;
constexpr std::pair<const char*, Field> kFields[] = {
    {"utilisation", &Measures::utilisation},
    {"wait_mean", &Measures::wait_mean},
    {"wait_p95", &Measures::wait_p95},
    {"wait_p99", &Measures::wait_p99},
    {"wait_ended", &Measures::wait_ended},
    {"completion_mean", &Measures::completion_mean},
    {"completion_p95", &Measures::completion_p95},
    {"completion_p99", &Measures::completion_p99},
    {"welfare", &Measures::welfare},
    {"welfare_deadline", &Measures::welfare_deadline},
    {"slo", &Measures::slo},
    {"ended", &Measures::ended},
    {"withdrawn", &Measures::withdrawn},
    {"unserved", &Measures::unserved},
    {"unserved_value", &Measures::unserved_value},
    {"jain", &Measures::jain},
    {"stops_per_job", &Measures::stops_per_job},
    {"price_cv", &Measures::price_cv},
    {"price_step", &Measures::price_step},
    {"seconds", &Measures::seconds},
    {"cpu_seconds", &Measures::cpu_seconds},
};

constexpr double kShortHours = 1.0 / 6;  // runtimes below count as this in slowdowns

double Hours(std::int64_t ms) { return static_cast<double>(ms) / kHourMs; }

double MeanOfAll(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

}  // namespace

double Percentile(std::vector<double>& values, double part) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const auto rank = static_cast<std::size_t>(std::ceil(part * static_cast<double>(values.size())));
  return values[std::clamp<std::size_t>(rank, 1, values.size()) - 1];
}

double JainOf(const std::vector<double>& values) {
  double sum = 0;
  double squares = 0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
  }
  return squares > 0 ? sum * sum / (static_cast<double>(values.size()) * squares) : 1;
}

Measures Measure(const World& world, const MarketFigures* figures) {
  Measures measures;
  std::vector<double> waits;
  std::vector<double> waits_ended;
  std::vector<double> completions;
  std::vector<std::vector<double>> slowdowns(world.tenants());
  std::vector<std::vector<double>> by_tenant(world.tenants());
  double value = 0, value_won = 0, value_unserved = 0, value_deadline = 0, value_deadline_won = 0;
  std::size_t deadlines = 0, met = 0, ended = 0, withdrawn = 0, unserved = 0;
  std::uint64_t stops = 0;
  for (JobId id = 0; id < world.jobs().size(); ++id) {
    const Job& job = world.job(id);
    const JobState& state = world.state(id);
    const std::int64_t over = std::min(state.over_ms, world.now_ms());
    const std::int64_t holds = state.phase == Phase::kRunning ? world.now_ms() - state.held_from_ms : 0;
    if (state.phase != Phase::kFuture) waits.push_back(Hours(over - job.arrival_ms - state.held_ms - holds));
    stops += state.stops;
    value += job.value;
    const bool has_deadline = job.deadline_ms != kNever;
    const bool is_won = state.phase == Phase::kEnded && state.over_ms <= job.deadline_ms;
    if (has_deadline) {
      ++deadlines;
      value_deadline += job.value;
      if (is_won) {
        ++met;
        value_deadline_won += job.value;
      }
    }
    if (is_won) value_won += job.value;
    withdrawn += state.phase == Phase::kWithdrawn ? 1 : 0;
    if (state.phase == Phase::kUnserved) {
      ++unserved;
      value_unserved += job.value;
    }
    if (state.phase != Phase::kEnded) continue;
    ++ended;
    waits_ended.push_back(waits.back());
    const double completion = Hours(state.over_ms - job.arrival_ms);
    completions.push_back(completion);
    by_tenant[job.tenant].push_back(completion);
    slowdowns[job.tenant].push_back(std::max(completion, kShortHours) / std::max(job.best_hours, kShortHours));
  }
  const double there = world.there_milli_ms();
  measures.utilisation = there > 0 ? world.let_milli_ms() / there : 0;
  measures.wait_mean = MeanOfAll(waits);
  measures.wait_ended = MeanOfAll(waits_ended);
  measures.wait_p95 = Percentile(waits, 0.95);
  measures.wait_p99 = Percentile(waits, 0.99);
  measures.completion_mean = MeanOfAll(completions);
  measures.completion_p95 = Percentile(completions, 0.95);
  measures.completion_p99 = Percentile(completions, 0.99);
  measures.welfare = value > 0 ? value_won / value : 0;
  measures.welfare_deadline = value_deadline > 0 ? value_deadline_won / value_deadline : 1;
  measures.slo = deadlines > 0 ? static_cast<double>(met) / static_cast<double>(deadlines) : 1;
  const auto jobs = static_cast<double>(std::max<std::size_t>(1, world.jobs().size()));
  measures.ended = static_cast<double>(ended) / jobs;
  measures.withdrawn = static_cast<double>(withdrawn) / jobs;
  measures.unserved = static_cast<double>(unserved) / jobs;
  measures.unserved_value = value > 0 ? value_unserved / value : 0;
  measures.stops_per_job = static_cast<double>(stops) / jobs;
  std::vector<double> means;
  for (const std::vector<double>& one : slowdowns) {
    if (!one.empty()) means.push_back(MeanOfAll(one));
  }
  measures.jain = JainOf(means);
  for (const std::vector<double>& one : by_tenant) measures.tenant_completion.push_back(MeanOfAll(one));
  if (figures == nullptr) return measures;
  double classes = 0;
  for (std::size_t c = 0; c < kClasses; ++c) {
    if (world.pool(c).capacity_milli() == 0) continue;
    ++classes;
    measures.price_cv += figures->price_cv[c];
    measures.price_step += figures->price_step[c];
    measures.market["price_mean_" + std::to_string(c)] = figures->price_mean[c];
  }
  measures.price_cv /= std::max(1.0, classes);
  measures.price_step /= std::max(1.0, classes);
  const std::pair<const char*, double> counts[] = {
      {"epochs", static_cast<double>(figures->epochs)},
      {"cleared", static_cast<double>(figures->cleared)},
      {"thick", static_cast<double>(figures->thick)},
      {"posted", static_cast<double>(figures->posted)},
      {"lane_a", static_cast<double>(figures->lane_a)},
      {"lane_b", static_cast<double>(figures->lane_b)},
      {"gangs", static_cast<double>(figures->gangs)},
      {"netted", static_cast<double>(figures->netted)},
      {"resales", static_cast<double>(figures->resales)},
      {"lapsed", static_cast<double>(figures->lapsed)},
      {"cut_bids", static_cast<double>(figures->cut_bids)},
      {"misplaced", static_cast<double>(figures->misplaced)},
      {"resold_within_hour", static_cast<double>(figures->resold_within_hour)},
      {"longest_chain", static_cast<double>(figures->longest_chain)},
      {"below_floor", static_cast<double>(figures->below_floor)},
      {"cannot_pay", static_cast<double>(figures->cannot_pay)},
      {"forgotten", static_cast<double>(figures->forgotten)},
      {"budget_error", static_cast<double>(figures->budget_error)},
      {"outcome_errors", static_cast<double>(figures->outcome_errors)},
  };
  for (const auto& [name, count] : counts) measures.market[name] = count;
  measures.price_track = figures->price_track;
  return measures;
}

std::string JsonOf(const Measures& measures) {
  nlohmann::json json;
  for (const auto& [name, field] : kFields) json[name] = measures.*field;
  json["tenant_completion"] = measures.tenant_completion;
  json["market"] = measures.market;
  json["price_track"] = measures.price_track;
  return json.dump(1) + "\n";
}

std::optional<Measures> MeasuresOf(const std::string& text) {
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  Measures measures;
  for (const auto& [name, field] : kFields) {
    const auto value = json.find(name);
    if (value == json.end() || !value->is_number()) return std::nullopt;
    measures.*field = value->get<double>();
  }
  const auto tenants = json.find("tenant_completion");
  const auto market = json.find("market");
  const auto track = json.find("price_track");
  if (tenants == json.end() || !tenants->is_array() || market == json.end()) return std::nullopt;
  if (track == json.end() || !track->is_array()) return std::nullopt;
  for (const nlohmann::json& prices : *track) {
    if (!prices.is_array() || prices.size() != kClasses) return std::nullopt;
    ByClass& one = measures.price_track.emplace_back();
    for (std::size_t c = 0; c < kClasses; ++c) {
      if (!prices[c].is_number()) return std::nullopt;
      one[c] = prices[c].get<double>();
    }
  }
  for (const nlohmann::json& one : *tenants) {
    if (!one.is_number()) return std::nullopt;
    measures.tenant_completion.push_back(one.get<double>());
  }
  if (market->is_object()) {
    for (const auto& [name, value] : market->items()) {
      if (!value.is_number()) return std::nullopt;
      measures.market[name] = value.get<double>();
    }
  }
  return measures;
}

}  // namespace accelmesh::sim
