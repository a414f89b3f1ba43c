// What results say: tables, lines, figures.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "tools/mesh_sim/market/bars.h"
#include "tools/mesh_sim/market/compare.h"
#include "tools/mesh_sim/placement.h"
#include "tools/mesh_sim/plot.h"

namespace accelmesh::sim {
namespace {

using Get = std::function<double(const Measures&)>;

// The values of a policy at a load, seed by seed; and those of another in the same seeds, if `other` is named.
std::vector<double> ValuesOf(const Results& results, const std::string& variant, std::uint32_t gpus,
                             const std::string& policy, std::uint64_t seeds, const Get& get,
                             const std::string& other = {}) {
  std::vector<double> values;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const auto one = results.find({variant, gpus, policy, seed});
    if (one == results.end()) continue;
    if (other.empty()) {
      values.push_back(get(one->second));
      continue;
    }
    const auto two = results.find({variant, gpus, other, seed});
    if (two != results.end()) values.push_back(get(one->second) - get(two->second));
  }
  return values;
}

std::string Cell(const std::vector<double>& values, double times, int digits) {
  if (values.empty()) return "-";
  const Mean mean = MeanOf(values);
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f ± %.*f", digits, mean.mean * times, digits, mean.half_width * times);
  return text;
}

struct Column {
  const char* title;
  double times;
  int digits;
  Get get;
};

const std::vector<Column>& Columns() {
  static const std::vector<Column> kColumns = {
      {"wait, h", 1, 2, [](const Measures& m) { return m.wait_mean; }},
      {"p95", 1, 1, [](const Measures& m) { return m.wait_p95; }},
      {"p99", 1, 1, [](const Measures& m) { return m.wait_p99; }},
      {"completion, h", 1, 1, [](const Measures& m) { return m.completion_mean; }},
      {"p95", 1, 1, [](const Measures& m) { return m.completion_p95; }},
      {"p99", 1, 0, [](const Measures& m) { return m.completion_p99; }},
      {"welfare, %", 100, 2, [](const Measures& m) { return m.welfare; }},
      {"of it with deadline, %", 100, 2, [](const Measures& m) { return m.welfare_deadline; }},
      {"deadlines met, %", 100, 1, [](const Measures& m) { return m.slo; }},
      {"utilisation, %", 100, 1, [](const Measures& m) { return m.utilisation; }},
      {"Jain", 1, 3, [](const Measures& m) { return m.jain; }},
      {"stops a job", 1, 2, [](const Measures& m) { return m.stops_per_job; }},
      {"withdrawn, %", 100, 1, [](const Measures& m) { return m.withdrawn; }},
      {"given up, ppm", 1e6, 1, [](const Measures& m) { return m.unserved; }},
      {"its value, ppm", 1e6, 3, [](const Measures& m) { return m.unserved_value; }},
      {"wait of ended, h", 1, 2, [](const Measures& m) { return m.wait_ended; }},
  };
  return kColumns;
}

// Tenants' mean completion over the same under static, seed by seed: the mean tenant, and the worst.
std::pair<std::vector<double>, std::vector<double>> FinishTimes(const Results& results, const std::string& variant,
                                                                std::uint32_t gpus, const std::string& policy,
                                                                std::uint64_t seeds) {
  std::pair<std::vector<double>, std::vector<double>> ratios;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const auto one = results.find({variant, gpus, policy, seed});
    const auto alone = results.find({variant, gpus, "static", seed});
    if (one == results.end() || alone == results.end()) continue;
    double sum = 0;
    double worst = 0;
    double count = 0;
    for (std::size_t i = 0; i < one->second.tenant_completion.size(); ++i) {
      const double mine = one->second.tenant_completion[i];
      const double theirs = alone->second.tenant_completion[i];
      if (mine <= 0 || theirs <= 0) continue;
      sum += mine / theirs;
      worst = std::max(worst, mine / theirs);
      ++count;
    }
    if (count == 0) continue;
    ratios.first.push_back(sum / count);
    ratios.second.push_back(worst);
  }
  return ratios;
}

bool AddsNothing(const std::vector<double>& waits, const std::vector<double>& welfare) {
  return std::abs(MeanOf(waits).mean) < 0.05 && std::abs(MeanOf(welfare).mean) < 0.001;
}

std::string Verdict(const std::vector<double>& waits, const std::vector<double>& welfare) {
  const Mean wait = MeanOf(waits);
  const Mean value = MeanOf(welfare);
  const auto says = [](const Mean& mean, const char* less, const char* more) {
    return mean.mean + mean.half_width < 0 ? less : mean.mean - mean.half_width > 0 ? more : "no different";
  };
  if (AddsNothing(waits, welfare)) return "a market adds nothing here";
  return std::string("wait ") + says(wait, "shorter", "longer") + ", welfare " + says(value, "lower", "higher");
}

bool Has(const Plan& plan, const std::string& policy) {
  return std::find(plan.policies.begin(), plan.policies.end(), policy) != plan.policies.end();
}

std::string DifferencesOf(const Plan& plan, const Results& results, const std::string& other) {
  std::string text =
      "| variant | GPUs | wait, h | welfare, points | deadlines met, points | says |\n| --- | --- | --- | --- | --- | "
      "--- |\n";
  for (const Variant& variant : plan.variants) {
    for (const std::uint32_t gpus : plan.loads) {
      const auto of = [&](const Get& get) {
        return ValuesOf(results, variant.name, gpus, "market", plan.seeds, get, other);
      };
      const std::vector<double> waits = of([](const Measures& m) { return m.wait_mean; });
      const std::vector<double> welfare = of([](const Measures& m) { return m.welfare; });
      text += "| " + variant.name + " | " + std::to_string(gpus) + " | " + Cell(waits, 1, 2) + " | " +
              Cell(welfare, 100, 3) + " | " + Cell(of([](const Measures& m) { return m.slo; }), 100, 1) + " | " +
              Verdict(waits, welfare) + " |\n";
    }
  }
  return text + "\n";
}

// What the market does better than another policy at one load, what worse, and where no difference is seen: of each
// measure the mean difference, seed by seed, with its interval.
std::string BalanceOf(const Plan& plan, const Results& results, const std::string& variant, std::uint32_t gpus,
                      const std::string& other) {
  struct Side {
    const char* name;
    const char* unit;
    double times;
    int digits;
    bool is_better_up;
    Get get;
  };
  const Side sides[] = {
      {"mean wait", " h", 1, 2, false, [](const Measures& m) { return m.wait_mean; }},
      {"p99 wait", " h", 1, 1, false, [](const Measures& m) { return m.wait_p99; }},
      {"mean completion", " h", 1, 2, false, [](const Measures& m) { return m.completion_mean; }},
      {"welfare", " points", 100, 2, true, [](const Measures& m) { return m.welfare; }},
      {"deadlines met", " points", 100, 1, true, [](const Measures& m) { return m.slo; }},
      {"Jain on slowdown", "", 1, 3, true, [](const Measures& m) { return m.jain; }},
      {"jobs given up", " of a million", 1e6, 1, false, [](const Measures& m) { return m.unserved; }},
  };
  std::string better, worse, same;
  for (const Side& side : sides) {
    const std::vector<double> values = ValuesOf(results, variant, gpus, "market", plan.seeds, side.get, other);
    if (values.empty()) return {};
    const Mean mean = MeanOf(values);
    const bool shows = std::abs(mean.mean) * side.times * std::pow(10, side.digits) >= 0.5;  // a digit of it
    const bool is_seen = shows && std::abs(mean.mean) > mean.half_width;
    std::string& list = !is_seen ? same : (mean.mean > 0) == side.is_better_up ? better : worse;
    if (!list.empty()) list += ", ";
    list += side.name;
    if (is_seen) list += (mean.mean > 0 ? " +" : " ") + Cell(values, side.times, side.digits) + side.unit;
  }
  std::string text = "* against " + other + ": **better** " + (better.empty() ? "in nothing" : better) +
                     "; **worse** " + (worse.empty() ? "in nothing" : worse);
  return text + (same.empty() ? "" : "; nothing to see in: " + same) + ".\n";
}

// Wins and losses first, against quota + lending before the others.
std::string BalanceText(const Plan& plan, const Results& results) {
  std::string text =
      "## What the market wins and loses\n\nDifferences are the market less the other, mean over seeds ± 95 %.\n";
  std::vector<std::string> others;
  if (Has(plan, "lending")) others.emplace_back("lending");
  for (const std::string& policy : plan.policies) {
    if (policy != "lending" && policy != "market") others.push_back(policy);
  }
  for (const Variant& variant : plan.variants) {
    for (const std::uint32_t gpus : plan.loads) {
      const auto of = [&](const Get& get) {
        return ValuesOf(results, variant.name, gpus, "market", plan.seeds, get, "lending");
      };
      const std::vector<double> waits = of([](const Measures& m) { return m.wait_mean; });
      const std::vector<double> welfare = of([](const Measures& m) { return m.welfare; });
      text +=
          "\n**" + (plan.variants.size() > 1 ? variant.name + ", " : std::string()) + std::to_string(gpus) + " GPUs";
      if (!waits.empty()) {
        const Mean wait = MeanOf(waits);
        const Mean value = MeanOf(welfare);
        const bool is_shorter = wait.mean + wait.half_width < 0;
        const bool is_higher = value.mean - value.half_width > 0;
        text += AddsNothing(waits, welfare) ? ": a market adds nothing to quota + lending here"
                : is_shorter && is_higher   ? ": beats quota + lending in mean wait and in welfare"
                : is_shorter                ? ": beats quota + lending in mean wait, not in welfare"
                : is_higher                 ? ": beats quota + lending in welfare, not in mean wait"
                                            : ": does NOT beat quota + lending";
      }
      text += ".**\n\n";
      for (const std::string& other : others) text += BalanceOf(plan, results, variant.name, gpus, other);
    }
  }
  return text + "\n";
}

// What was checked in every run, and how long runs took.
std::string ChecksText(const Plan& plan, const Results& results) {
  double runs = 0, epochs = 0, cleared = 0, error = 0, broken = 0, below = 0, cannot = 0;
  std::map<std::string, std::vector<double>> seconds;
  for (const auto& [key, m] : results) {
    seconds[key.policy].push_back(m.cpu_seconds);
    if (key.policy != "market") continue;
    const auto figure = [&measures = m](const char* name) {
      const auto at = measures.market.find(name);
      return at == measures.market.end() ? 0.0 : at->second;
    };
    ++runs;
    epochs += figure("epochs");
    cleared += figure("cleared");
    error = std::max(error, std::abs(figure("budget_error")));
    broken += figure("outcome_errors");
    below += figure("below_floor");
    cannot += figure("cannot_pay");
  }
  char line[640];
  std::snprintf(
      line, sizeof(line),
      "Budget error: greatest of %.0f epochs in %.0f market runs, %.0f microcredits; of %.0f clearings, %.0f broke the "
      "auction's rules (a run with either is an error and no result). Jobs given up in all of these runs: %.0f "
      "worth less than the floor price, %.0f whose owner could not pay it.\n\nCPU time of a run, mean (most), s:",
      epochs, runs, error, cleared, broken, below, cannot);
  std::string text = std::string("## Checks\n\n") + line;
  for (const std::string& policy : plan.policies) {
    const std::vector<double>& of = seconds[policy];
    if (of.empty()) continue;
    std::snprintf(line, sizeof(line), " %s %.2f (%.2f)%s", policy.c_str(), MeanOf(of).mean,
                  *std::max_element(of.begin(), of.end()), policy == plan.policies.back() ? ".\n\n" : ",");
    text += line;
  }
  return text;
}

// Prices in time of the first seed, one chart a load.
std::string PricesOf(const Plan& plan, const Results& results, const Variant& variant, const std::string& workload) {
  constexpr const char* kClassNames[] = {"K80", "P100", "V100"};
  std::vector<Chart> charts;
  for (const std::uint32_t gpus : plan.loads) {
    const auto at = results.find({variant.name, gpus, "market", 1});
    if (at == results.end() || at->second.price_track.empty()) continue;
    const Measures& m = at->second;
    const bool has_one_class = !m.market.contains("price_mean_0");
    Chart chart;
    chart.title = "Prices, " + std::to_string(gpus) + " GPUs, seed 1 (" + workload + ", " + variant.name + ")";
    chart.x_title = "days";
    chart.y_title = "credits for a unit-hour, means of 6 h";
    double most = 0;
    for (std::size_t c = has_one_class ? kClasses - 1 : 0; c < kClasses; ++c) {
      Line line;
      line.name = has_one_class ? "GPU" : kClassNames[c];
      for (std::size_t i = 0; i < m.price_track.size(); ++i) {
        const double day = (static_cast<double>(i) + 0.5) * kTrackMs / (24.0 * kHourMs);
        line.points.emplace_back(day, m.price_track[i][c]);
        most = std::max(most, m.price_track[i][c]);
      }
      chart.lines.push_back(std::move(line));
    }
    const double days = static_cast<double>(m.price_track.size()) * kTrackMs / (24.0 * kHourMs);
    chart.x_step = NiceStep(days, 8);
    chart.x_max = std::ceil(days / chart.x_step) * chart.x_step;
    chart.y_step = NiceStep(std::max(most, 0.05), 6);
    chart.y_max = std::ceil(std::max(most, 0.05) / chart.y_step) * chart.y_step;
    charts.push_back(std::move(chart));
  }
  return charts.empty() ? std::string() : SvgOf(charts);
}

std::string MarketTable(const Plan& plan, const Results& results) {
  constexpr const char* kNames[] = {"price_mean_0", "price_mean_1", "price_mean_2",      "lane_a", "lane_b",
                                    "gangs",        "netted",       "resales",           "lapsed", "thick",
                                    "posted",       "cut_bids",     "resold_within_hour"};
  std::string text = "| variant | GPUs | price CV | greatest step |";
  std::string rule = "| --- | --- | --- | --- |";
  for (const char* name : kNames) {
    // What lane C sells goes to single devices beside gangs, too.
    text += std::string(" ") + (std::strcmp(name, "gangs") == 0 ? "lane_c" : name) + " |";
    rule += " --- |";
  }
  text += " longest chain | budget error |\n" + rule + " --- | --- |\n";
  for (const Variant& variant : plan.variants) {
    for (const std::uint32_t gpus : plan.loads) {
      const auto of = [&](const Get& get) { return ValuesOf(results, variant.name, gpus, "market", plan.seeds, get); };
      text += "| " + variant.name + " | " + std::to_string(gpus) + " | " +
              Cell(of([](const Measures& m) { return m.price_cv; }), 1, 2) + " | " +
              Cell(of([](const Measures& m) { return m.price_step; }), 1, 2) + " |";
      const auto figure = [&](const char* name) {
        return of([name](const Measures& m) {
          const auto at = m.market.find(name);
          return at == m.market.end() ? 0.0 : at->second;
        });
      };
      for (const char* name : kNames) {
        const bool is_price = std::string_view(name).substr(0, 5) == "price";
        char number[32];
        std::snprintf(number, sizeof(number), " %.*f |", is_price ? 3 : 0, MeanOf(figure(name)).mean);
        text += number;
      }
      for (const char* name : {"longest_chain", "budget_error"}) {
        const std::vector<double> all = figure(name);
        const double most = all.empty() ? 0 : *std::max_element(all.begin(), all.end());
        text += " " + std::to_string(static_cast<long long>(most)) + " |";
      }
      text += "\n";
    }
  }
  return text + "\n";
}

BarChart ChartOf(const Plan& plan, const Results& results, const std::string& variant, const std::string& title,
                 const std::string& y_title, double times, bool is_logarithmic, const Get& get) {
  BarChart chart;
  chart.title = title;
  chart.y_title = y_title;
  chart.is_logarithmic = is_logarithmic;
  chart.names = plan.policies;
  for (const std::uint32_t gpus : plan.loads) {
    chart.groups.push_back(std::to_string(gpus) + " GPUs");
    std::vector<Bar> bars;
    for (const std::string& policy : plan.policies) {
      const Mean mean = MeanOf(ValuesOf(results, variant, gpus, policy, plan.seeds, get));
      bars.push_back({mean.mean * times, mean.half_width * times});
    }
    chart.bars.push_back(std::move(bars));
  }
  FitAxis(chart);
  if (times == 100) chart.y_max = std::min(chart.y_max, 100.0);  // intervals of parts reach beyond the whole
  if (title.find("Jain") != std::string::npos) chart.y_max = 1;
  return chart;
}

}  // namespace

std::string ReportOf(const Plan& plan, const JobWorkload& workload, const Results& results) {
  std::string text = "Workload " + workload.name + ": " + std::to_string(workload.jobs.size()) + " jobs of " +
                     std::to_string(workload.tenants.size()) + " tenants. Mean of " + std::to_string(plan.seeds) +
                     " seeds ± 95 % interval. Model " + std::to_string(kModelVersion) + " (docs/sim-model.md).\n\n";
  if (Has(plan, "market")) text += BalanceText(plan, results) + ChecksText(plan, results);
  for (const Variant& variant : plan.variants) {
    for (const std::uint32_t gpus : plan.loads) {
      text += "## " + variant.name + ", " + std::to_string(gpus) + " GPUs\n\n| policy |";
      std::string rule = "| --- |";
      for (const Column& column : Columns()) {
        text += std::string(" ") + column.title + " |";
        rule += " --- |";
      }
      text += " finish-time ratio, mean | worst tenant |\n" + rule + " --- | --- |\n";
      for (const std::string& policy : plan.policies) {
        text += "| " + policy + " |";
        for (const Column& column : Columns()) {
          text +=
              " " +
              Cell(ValuesOf(results, variant.name, gpus, policy, plan.seeds, column.get), column.times, column.digits) +
              " |";
        }
        const auto [mean, worst] = FinishTimes(results, variant.name, gpus, policy, plan.seeds);
        text += " " + Cell(mean, 1, 2) + " | " + Cell(worst, 1, 2) + " |\n";
      }
      text += "\n";
    }
  }
  if (!Has(plan, "market")) return text;
  for (const char* other : {"lending", "max-min", "first-price"}) {
    if (!Has(plan, other)) continue;
    text += std::string("## The market less ") + other + ", paired by seed\n\n" + DifferencesOf(plan, results, other);
  }
  return text + "## The market itself, means; chain and error are the greatest\n\n" + MarketTable(plan, results);
}

std::string CsvOf(const Results& results) {
  std::string text =
      "variant,gpus,policy,seed,wait_mean,wait_p95,wait_p99,completion_mean,completion_p95,completion_p99,welfare,"
      "welfare_deadline,slo,utilisation,jain,stops_per_job,price_cv,price_step\n";
  for (const auto& [key, m] : results) {
    text += key.variant + "," + std::to_string(key.gpus) + "," + key.policy + "," + std::to_string(key.seed);
    for (const Column& column : Columns()) {
      char number[32];
      std::snprintf(number, sizeof(number), ",%.6g", column.get(m));
      text += number;
    }
    char rest[64];
    std::snprintf(rest, sizeof(rest), ",%.6g,%.6g\n", m.price_cv, m.price_step);
    text += rest;
  }
  return text;
}

std::vector<std::pair<std::string, std::string>> FiguresOf(const Plan& plan, const JobWorkload& workload,
                                                           const Results& results) {
  struct Figure {
    const char* title;
    const char* y_title;
    double times;
    bool is_logarithmic;
    Get get;
  };
  const Figure figures[] = {
      {"Mean wait", "hours", 1, true, [](const Measures& m) { return m.wait_mean; }},
      {"Wait, 99th percentile", "hours", 1, true, [](const Measures& m) { return m.wait_p99; }},
      {"Mean completion", "hours", 1, false, [](const Measures& m) { return m.completion_mean; }},
      {"Value lost: jobs that did not end in time", "% of all value", 100, false,
       [](const Measures& m) { return 1 - m.welfare; }},
      {"Deadlines met", "% of jobs with one", 100, false, [](const Measures& m) { return m.slo; }},
      {"Utilisation, first to last arrival", "% of GPU time", 100, false,
       [](const Measures& m) { return m.utilisation; }},
      {"Fairness: Jain's index of the tenants' slowdowns", "1 is equal", 1, false,
       [](const Measures& m) { return m.jain; }},
  };
  std::vector<std::pair<std::string, std::string>> files;
  for (const Variant& variant : plan.variants) {
    const std::string suffix = plan.variants.size() == 1 ? "" : "-" + variant.name;
    std::vector<BarChart> charts;
    for (const Figure& figure : figures) {
      const std::string title = std::string(figure.title) + " (" + workload.name + ", " + variant.name + ")";
      charts.push_back(
          ChartOf(plan, results, variant.name, title, figure.y_title, figure.times, figure.is_logarithmic, figure.get));
    }
    files.emplace_back("measures" + suffix, SvgOf(charts));
    if (std::string prices = PricesOf(plan, results, variant, workload.name); !prices.empty()) {
      files.emplace_back("prices" + suffix, std::move(prices));
    }
  }
  return files;
}

}  // namespace accelmesh::sim
