#include "tools/slotctl/show.h"

#include <algorithm>
#include <cmath>

#include "scheduler/core/quantity.h"
#include "tools/mesh_sim/plot.h"
#include "tools/slotctl/table.h"

namespace accelmesh::slotctl {
namespace {

using scheduler::CreditsText;
using scheduler::ReadableBytes;
using scheduler::ReadableDuration;
using scheduler::ReadableOperations;

// slotctl is the admin, unless told otherwise, and admins seldom lease.
constexpr const char* kOwnOnly = " of this identity; --all shows everybody's to admins, --identity NAME another's\n";
constexpr std::size_t kPlotWidth = 60;
constexpr std::size_t kPlotHeight = 8;
constexpr const char* kTypes[] = {"int8", "fp16", "bf16", "fp32", "fp64"};

std::string Percent(std::uint32_t milli) {
  return std::to_string(milli / 10) + (milli % 10 == 0 ? "" : "." + std::to_string(milli % 10)) + " %";
}

std::string DurationOf(std::int64_t ms) { return ms <= 0 ? "-" : ReadableDuration(static_cast<double>(ms) * 1000); }

std::string StateOf(const messages::SlotT& slot) {
  if (!slot.is_reachable) return "unreachable";
  if (slot.is_draining) return slot.share_milli_free == slot.share_milli ? "drained" : "draining";
  return slot.share_milli_free == 0 ? "let" : slot.share_milli_free == slot.share_milli ? "free" : "partly let";
}

const messages::ThroughputT* MatmulFp32(const messages::SlotT& slot) {
  if (slot.tags == nullptr) return nullptr;
  for (const auto& one : slot.tags->throughput) {
    if (one->operation == 0 && one->type == 3) return one.get();
  }
  return nullptr;
}

Json MeasuredJson(const messages::Measured* measured) {
  if (measured == nullptr || measured->low() <= 0) return nullptr;
  return {{"mean", measured->mean()}, {"low", measured->low()}, {"high", measured->high()}};
}

Json SlotJson(const messages::SlotT& slot) {
  Json json;
  json["slot"] = slot.id;
  json["server"] = slot.server;
  json["server_name"] = slot.server_name;
  json["device"] = slot.device_name;
  json["backend"] = slot.backend;
  json["zone"] = slot.zone;
  json["labels"] = slot.labels;
  json["state"] = StateOf(slot);
  json["share_milli"] = slot.share_milli;
  json["share_milli_free"] = slot.share_milli_free;
  json["share_milli_step"] = slot.share_milli_step;
  json["memory_bytes"] = slot.memory_bytes;
  json["memory_bytes_free"] = slot.memory_bytes_free;
  json["price_microcredits_per_hour"] = slot.price_microcredits_per_hour;
  json["reserve_price_microcredits_per_hour"] = slot.reserve_price_microcredits_per_hour;
  json["notice_us"] = slot.notice_us;
  json["epoch"] = slot.epoch;
  json["throughput"] = Json::array();
  if (slot.tags == nullptr) return json;
  for (const auto& one : slot.tags->throughput) {
    Json measured = MeasuredJson(one->operations_per_s.get());
    if (measured.is_null()) continue;
    json["throughput"].push_back({{"operation", one->operation == 0 ? "matmul" : "convolution"},
                                  {"type", one->type < 5 ? kTypes[one->type] : "?"},
                                  {"operations_per_s", std::move(measured)},
                                  {"via", one->via}});
  }
  json["memory_bytes_per_s"] = MeasuredJson(slot.tags->memory_bytes_per_s.get());
  json["launch_us"] = MeasuredJson(slot.tags->launch_us.get());
  json["round_trip_us"] = MeasuredJson(slot.tags->round_trip_us.get());
  return json;
}

Json FloorsJson(const messages::AccountT& account) {
  Json floors = Json::array();
  for (const auto& floor : account.floors) {
    floors.push_back({{"class", floor->class_name}, {"share_ppm", floor->share_ppm}});
  }
  return floors;
}

Json AccountJson(const messages::AccountT& account) {
  return {{"identity", account.identity},
          {"name", account.name},
          {"role", account.role},
          {"banned", account.is_banned},
          {"balance_microcredits", account.balance_microcredits},
          {"held_microcredits", account.held_microcredits},
          {"bond_microcredits", account.bond_microcredits},
          {"budget_weight", account.budget_weight},
          {"floors", FloorsJson(account)}};
}

std::vector<std::string> AccountRow(const messages::AccountT& account) {
  return {Shown(account.name),
          Shown(account.role),
          CreditsText(account.balance_microcredits),
          CreditsText(account.held_microcredits),
          CreditsText(account.bond_microcredits),
          account.is_banned ? "banned" : "",
          account.identity};
}

const std::vector<Column>& AccountColumns() {
  static const std::vector<Column> columns = {{"NAME"},       {"ROLE"},  {"CREDITS", true}, {"IN ESCROW", true},
                                              {"BOND", true}, {"STATE"}, {"IDENTITY"}};
  return columns;
}

// Of the last steps, a column each; what is older lies further apart (market/core/price.h), and is in pictures only.
template <typename F>
std::vector<double> Values(const messages::ClassPriceT& price, const F& of) {
  constexpr std::size_t kSteps = 120;
  std::vector<double> values;
  for (std::size_t i = price.history.size() - std::min(kSteps, price.history.size()); i < price.history.size(); ++i) {
    values.push_back(of(*price.history[i]));
  }
  return values;
}
std::vector<double> PricesOf(const messages::ClassPriceT& price) {
  return Values(price, [](const messages::PricePointT& point) {
    return static_cast<double>(point.price_microcredits_per_hour) / 1e6;
  });
}
std::vector<double> UsesOf(const messages::ClassPriceT& price) {
  return Values(price,
                [](const messages::PricePointT& point) { return static_cast<double>(point.utilisation_milli) / 10; });
}
double Most(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

}  // namespace

Report ReportOf(const messages::SlotsT& slots) {
  Report report;
  report.json = {{"slots", Json::array()}};
  std::vector<std::vector<std::string>> rows;
  for (const auto& slot : slots.slots) {
    report.json["slots"].push_back(SlotJson(*slot));
    const auto* matmul = MatmulFp32(*slot);
    const double speed = matmul != nullptr && matmul->operations_per_s != nullptr ? matmul->operations_per_s->low() : 0;
    const auto high = [](const auto& measured) {
      return measured != nullptr && measured->low() > 0 ? measured->high() : 0;
    };
    const double answer_us = slot->tags != nullptr ? high(slot->tags->launch_us) + high(slot->tags->round_trip_us) : 0;
    rows.push_back({Shown(slot->id, 40), Shown(slot->server_name), Shown(slot->device_name, 30), Shown(slot->zone),
                    Percent(slot->share_milli_free) + " of " + Percent(slot->share_milli),
                    ReadableBytes(slot->memory_bytes_free) + " of " + ReadableBytes(slot->memory_bytes),
                    speed > 0 ? ReadableOperations(speed) : "-", answer_us > 0 ? ReadableDuration(answer_us) : "-",
                    CreditsText(slot->price_microcredits_per_hour), StateOf(*slot)});
  }
  report.text = rows.empty() ? "no slots; a gpu-server offers its own with --market URL\n"
                             : TableOf({{"SLOT"},
                                        {"SERVER"},
                                        {"DEVICE"},
                                        {"ZONE"},
                                        {"FREE", true},
                                        {"MEMORY FREE", true},
                                        {"FP32 MATMUL", true},
                                        {"ANSWERS IN", true},
                                        {"CREDITS/H", true},
                                        {"STATE"}},
                                       rows);
  return report;
}

Report ReportOf(const messages::LeasesT& leases, std::int64_t now_ms, bool all) {
  Report report;
  report.json = {{"leases", Json::array()}};
  std::vector<std::vector<std::string>> rows;
  for (const auto& lease : leases.leases) {
    report.json["leases"].push_back({{"lease", lease->id},
                                     {"slot", lease->slot},
                                     {"server", lease->server},
                                     {"tenant", lease->tenant},
                                     {"tenant_name", lease->tenant_name},
                                     {"epoch", lease->epoch},
                                     {"share_milli", lease->share_milli},
                                     {"memory_bytes", lease->memory_bytes},
                                     {"price_microcredits_per_hour", lease->price_microcredits_per_hour},
                                     {"not_before_ms", lease->not_before_ms},
                                     {"not_after_ms", lease->not_after_ms},
                                     {"held_microcredits", lease->held_microcredits},
                                     {"state", lease->state},
                                     {"request", lease->request}});
    const bool is_active = lease->state == "active";
    rows.push_back({lease->id, Shown(lease->slot, 40), Shown(lease->tenant_name), Percent(lease->share_milli),
                    ReadableBytes(lease->memory_bytes), CreditsText(lease->price_microcredits_per_hour),
                    CreditsText(lease->held_microcredits), is_active ? DurationOf(lease->not_after_ms - now_ms) : "-",
                    Shown(lease->state), Shown(lease->request, 60)});
  }
  report.text = rows.empty() ? (all ? "no leases\n" : "no leases" + std::string(kOwnOnly))
                             : TableOf({{"LEASE"},
                                        {"SLOT"},
                                        {"TENANT"},
                                        {"SHARE", true},
                                        {"MEMORY", true},
                                        {"CREDITS/H", true},
                                        {"IN ESCROW", true},
                                        {"ENDS IN", true},
                                        {"STATE"},
                                        {"REQUEST"}},
                                       rows);
  return report;
}

Report ReportOf(const messages::RequestsT& requests, std::int64_t now_ms, bool all) {
  Report report;
  report.json = {{"requests", Json::array()}};
  for (const auto& request : requests.requests) {
    Json one = {{"tenant", request->tenant},     {"tenant_name", request->tenant_name}, {"request", request->request},
                {"since_ms", request->since_ms}, {"until_ms", request->until_ms},       {"why", Json::array()}};
    report.text += Shown(request->tenant_name) + " waits since " + DurationOf(now_ms - request->since_ms) + " for " +
                   Shown(request->request, 200) + ", at most " + DurationOf(request->until_ms - now_ms) + " more\n";
    std::vector<std::vector<std::string>> rows;
    const auto add = [&](const std::string& slot, const messages::GapT& gap) {
      one["why"].push_back({{"slot", slot}, {"dimension", gap.dimension}, {"text", gap.text}, {"remedy", gap.remedy}});
      rows.push_back(
          {"  " + (slot.empty() ? std::string("all") : Shown(slot, 40)), Shown(gap.text, 100), Shown(gap.remedy, 100)});
    };
    for (const auto& gap : request->gaps) add("", *gap);
    for (const auto& rejection : request->rejections) {
      for (const auto& gap : rejection->gaps) add(rejection->slot, *gap);
    }
    if (!rows.empty()) report.text += TableOf({{"  SLOT"}, {"LACKS"}, {"REMEDY"}}, rows);
    report.json["requests"].push_back(std::move(one));
  }
  if (report.text.empty()) report.text = all ? "no request waits\n" : "no request waits" + std::string(kOwnOnly);
  return report;
}

Report ReportOf(const messages::PricesT& prices, bool plot) {
  Report report;
  report.json = {{"prices", Json::array()}};
  std::vector<std::vector<std::string>> rows;
  std::string plots;
  for (const auto& price : prices.prices) {
    Json history = Json::array();
    for (const auto& point : price->history) {
      history.push_back({{"time_ms", point->time_ms},
                         {"price_microcredits_per_hour", point->price_microcredits_per_hour},
                         {"utilisation_milli", point->utilisation_milli},
                         {"forecast_milli", point->forecast_milli}});
    }
    report.json["prices"].push_back({{"class", price->class_name},
                                     {"price_microcredits_per_hour", price->price_microcredits_per_hour},
                                     {"utilisation_milli", price->utilisation_milli},
                                     {"forecast_milli", price->forecast_milli},
                                     {"history", std::move(history)}});
    const std::vector<double> course = PricesOf(*price);
    rows.push_back({Shown(price->class_name, 50), CreditsText(price->price_microcredits_per_hour),
                    Percent(price->utilisation_milli), Percent(price->forecast_milli),
                    SparkOf(course, Most(course), 24)});
    if (!plot) continue;
    plots += "\n" + PlotOf(Shown(price->class_name, 50) + ": credits an hour", course, Most(course), kPlotWidth,
                           kPlotHeight, "");
    plots += "\n" +
             PlotOf(Shown(price->class_name, 50) + ": utilisation", UsesOf(*price), 100, kPlotWidth, kPlotHeight, " %");
  }
  report.text =
      rows.empty()
          ? "no class of devices has a price yet; prices come with the first slot\n"
          : TableOf({{"CLASS"}, {"CREDITS/H", true}, {"USED", true}, {"FORECAST", true}, {"PRICE SO FAR"}}, rows) +
                plots;
  return report;
}

Report ReportOf(const messages::AccountsT& accounts) {
  Report report;
  report.json = {{"accounts", Json::array()}, {"deposits_microcredits", accounts.deposits_microcredits}};
  std::vector<std::vector<std::string>> rows;
  std::int64_t sum = 0;
  for (const auto& account : accounts.accounts) {
    report.json["accounts"].push_back(AccountJson(*account));
    rows.push_back(AccountRow(*account));
    sum += account->balance_microcredits + account->held_microcredits + account->bond_microcredits;
  }
  report.json["is_balanced"] = sum == accounts.deposits_microcredits;
  report.text =
      TableOf(AccountColumns(), rows) + "together " + CreditsText(sum) + " credits, deposited " +
      CreditsText(accounts.deposits_microcredits) +
      (sum == accounts.deposits_microcredits ? "\n" : ": these must be equal; stop the market and look at its log\n");
  return report;
}

Report ReportOf(const messages::AccountT& account) {
  return {TableOf(AccountColumns(), {AccountRow(account)}), AccountJson(account)};
}

Report ReportOf(const messages::StatusReportT& status) {
  Report report;
  report.json = {{"store", status.store},           {"store_warning", status.store_warning},
                 {"leader", status.leader},         {"is_leader", status.is_leader},
                 {"started_ms", status.started_ms}, {"time_ms", status.time_ms},
                 {"grants", status.grants},         {"rejections", status.rejections},
                 {"servers", status.servers},       {"slots", status.slots},
                 {"leases", status.leases},         {"trouble", status.trouble}};
  const auto line = [&report](const std::string& name, const std::string& value) {
    report.text += name + std::string(12 - std::min<std::size_t>(11, name.size()), ' ') + value + "\n";
  };
  line("store",
       Shown(status.store) + (status.store_warning.empty() ? "" : " (" + Shown(status.store_warning, 200) + ")"));
  if (!status.trouble.empty()) line("trouble", Shown(status.trouble, 400));
  line("leader", status.is_leader ? "this one" : status.leader.empty() ? "none just now" : Shown(status.leader));
  line("up for", DurationOf(status.time_ms - status.started_ms));
  line("servers", std::to_string(status.servers) + ", with " + std::to_string(status.slots) +
                      (status.slots == 1 ? " slot" : " slots"));
  line("leases", std::to_string(status.leases));
  line("grants", std::to_string(status.grants) + ", and " + std::to_string(status.rejections) + " rejections");
  return report;
}

std::string SvgOf(const messages::PricesT& prices) {
  std::int64_t last_ms = 0;
  std::int64_t first_ms = INT64_MAX;
  double most = 0;
  for (const auto& price : prices.prices) {
    most = std::max(most, Most(PricesOf(*price)));
    for (const auto& point : price->history) {
      last_ms = std::max(last_ms, point->time_ms);
      first_ms = std::min(first_ms, point->time_ms);
    }
  }
  const double span_s = last_ms > first_ms ? static_cast<double>(last_ms - first_ms) / 1000 : 60;
  const auto& [unit, unit_s] = span_s < 180     ? std::pair("seconds", 1.0)
                               : span_s < 10800 ? std::pair("minutes", 60.0)
                                                : std::pair("hours", 3600.0);
  sim::Chart cost;
  cost.x_title = std::string(unit) + " before the last step of the prices";
  cost.x_step = sim::NiceStep(span_s / unit_s, 8);
  cost.x_min = -std::ceil(span_s / unit_s / cost.x_step) * cost.x_step;
  cost.x_max = 0;
  sim::Chart use = cost;
  cost.title = "Price of a whole device";
  cost.y_title = "credits an hour";
  // A little above the highest.
  cost.y_step = sim::NiceStep(most > 0 ? most * 1.05 : 1, 6);
  cost.y_max = std::ceil(std::max(most * 1.05, cost.y_step) / cost.y_step - 1e-9) * cost.y_step;
  use.title = "Utilisation";
  use.y_title = "percent of what is sold that is let";
  use.y_max = 100;
  use.y_step = 20;
  for (const auto& price : prices.prices) {
    if (price->history.empty()) continue;
    sim::Line costs{Shown(price->class_name, 40), {}};
    sim::Line uses = costs;
    sim::Line forecasts{"forecast", {}};
    for (const auto& point : price->history) {
      const double x = static_cast<double>(point->time_ms - last_ms) / 1000 / unit_s;
      costs.points.emplace_back(x, static_cast<double>(point->price_microcredits_per_hour) / 1e6);
      uses.points.emplace_back(x, static_cast<double>(point->utilisation_milli) / 10);
      forecasts.points.emplace_back(x, static_cast<double>(point->forecast_milli) / 10);
    }
    cost.lines.push_back(std::move(costs));
    use.lines.push_back(std::move(uses));
    // With several classes it would be a tangle.
    if (prices.prices.size() == 1) use.lines.push_back(std::move(forecasts));
  }
  return sim::SvgOf(std::vector<sim::Chart>{std::move(cost), std::move(use)});
}

}  // namespace accelmesh::slotctl
