#include "tools/slotctl/show_trade.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "scheduler/core/quantity.h"
#include "tools/mesh_sim/plot.h"
#include "tools/slotctl/table.h"

namespace accelmesh::slotctl {
namespace {

using scheduler::CreditsText;
using scheduler::ReadableBytes;
using scheduler::ReadableDuration;

constexpr std::size_t kPlotWidth = 60;
constexpr std::size_t kPlotHeight = 8;
constexpr std::uint64_t kBarWidth = 30;

std::string Percent(std::uint64_t milli) {
  return std::to_string(milli / 10) + (milli % 10 == 0 ? "" : "." + std::to_string(milli % 10)) + " %";
}
std::string DurationOf(std::int64_t ms) { return ms <= 0 ? "-" : ReadableDuration(static_cast<double>(ms) * 1000); }
std::string Who(const std::string& name, const std::string& key) {
  return name.empty() ? Shown(key.substr(0, 16)) : Shown(name);
}

Json TradeJson(const messages::TradeT& trade) {
  return {{"class", trade.class_name},
          {"slot", trade.slot},
          {"from", trade.from},
          {"lease", trade.lease},
          {"seller", trade.seller},
          {"seller_name", trade.seller_name},
          {"buyer", trade.buyer},
          {"buyer_name", trade.buyer_name},
          {"lane", trade.lane},
          {"share_milli", trade.share_milli},
          {"price_buyer_microcredits_per_hour", trade.price_buyer_microcredits_per_hour},
          {"price_seller_microcredits_per_hour", trade.price_seller_microcredits_per_hour},
          {"paid_microcredits", trade.paid_microcredits},
          {"begins_ms", trade.begins_ms}};
}

std::vector<std::string> TradeRow(std::uint64_t epoch, const messages::TradeT& trade) {
  return {std::to_string(epoch),
          Shown(trade.slot, 40),
          Who(trade.seller_name, trade.seller) + (trade.from.empty() ? " (idle)" : ""),
          Who(trade.buyer_name, trade.buyer),
          Percent(trade.share_milli),
          CreditsText(trade.price_seller_microcredits_per_hour),
          CreditsText(trade.price_buyer_microcredits_per_hour),
          CreditsText(trade.paid_microcredits),
          Shown(trade.lane)};
}
std::vector<Column> TradeColumns() {
  return {{"EPOCH", true},        {"SLOT"},         {"SELLER"}, {"BUYER"}, {"SHARE", true}, {"SELLER GETS/H", true},
          {"BUYER PAYS/H", true}, {"IN ALL", true}, {"LANE"}};
}

std::vector<const messages::StandingAskT*> CheapestFirst(const messages::AsksT& asks) {
  std::vector<const messages::StandingAskT*> sorted;
  for (const auto& ask : asks.asks) sorted.push_back(ask.get());
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    return std::tie(a->class_name, a->price_microcredits_per_hour, a->slot, a->lease) <
           std::tie(b->class_name, b->price_microcredits_per_hour, b->slot, b->lease);
  });
  return sorted;
}

// All of it is as wide as kBarWidth.
std::string BarOf(std::uint64_t part, std::uint64_t all) {
  std::string bar;
  const std::uint64_t width = all == 0 ? 0 : (part * kBarWidth + all - 1) / all;
  for (std::uint64_t i = 0; i < width; ++i) bar += "█";
  return bar;
}

// A little above the largest value, in round steps.
void SetAxis(double most, int steps, double& step, double& end) {
  const double above = most > 0 ? most * 1.05 : 1;
  step = sim::NiceStep(above, steps);
  end = std::ceil(above / step - 1e-9) * step;
}

// Of the price of a whole device.
std::int64_t PartOf(std::int64_t price, std::uint32_t share_milli) {
  __extension__ using Wide = __int128;
  return static_cast<std::int64_t>((Wide{price} * share_milli + 999) / 1000);
}

// Oldest first.
std::map<std::string, std::vector<std::pair<std::int64_t, double>>> CoursesOf(const messages::EpochsT& epochs) {
  std::map<std::string, std::vector<std::pair<std::int64_t, double>>> courses;
  for (auto epoch = epochs.epochs.rbegin(); epoch != epochs.epochs.rend(); ++epoch) {
    for (const auto& one : (*epoch)->classes) {
      if (one->trades == 0) continue;
      courses[one->class_name].emplace_back((*epoch)->time_ms,
                                            static_cast<double>(one->price_microcredits_per_hour) / 1e6);
    }
  }
  return courses;
}

}  // namespace

Report ReportOf(const messages::AsksT& asks, std::int64_t now_ms, BookView view) {
  Report report;
  report.json = {{"asks", Json::array()}, {"bids", Json::array()}};
  const std::vector<const messages::StandingAskT*> sorted = CheapestFirst(asks);
  std::vector<std::vector<std::string>> rows;
  std::map<std::string, std::uint64_t> so_far;
  std::map<std::string, std::uint64_t> all;
  for (const auto* ask : sorted) all[ask->class_name] += ask->share_milli;
  for (const auto* ask : sorted) {
    report.json["asks"].push_back({{"class", ask->class_name},
                                   {"slot", ask->slot},
                                   {"lease", ask->lease},
                                   {"owner", ask->owner},
                                   {"owner_name", ask->owner_name},
                                   {"share_milli", ask->share_milli},
                                   {"memory_bytes", ask->memory_bytes},
                                   {"price_microcredits_per_hour", ask->price_microcredits_per_hour},
                                   {"notice_us", ask->notice_us},
                                   {"until_ms", ask->until_ms}});
    so_far[ask->class_name] += ask->share_milli;
    std::vector<std::string> row = {Shown(ask->class_name, 50), CreditsText(ask->price_microcredits_per_hour),
                                    Percent(ask->share_milli)};
    if (view.depth) row.push_back(Percent(so_far[ask->class_name]));
    row.insert(row.end(), {ReadableBytes(ask->memory_bytes), Shown(ask->slot, 40),
                           Who(ask->owner_name, ask->owner) + (ask->lease.empty() ? " (idle)" : ""),
                           ask->lease.empty() ? "-" : DurationOf(ask->notice_us / 1000),
                           ask->lease.empty() ? "-" : DurationOf(ask->until_ms - now_ms)});
    if (view.plot) row.push_back(BarOf(so_far[ask->class_name], all[ask->class_name]));
    rows.push_back(std::move(row));
  }
  std::vector<Column> columns = {{"CLASS"}, {"ASKED/H", true}, {"SHARE", true}};
  if (view.depth) columns.push_back({"UP TO HERE", true});
  columns.insert(columns.end(), {{"MEMORY", true}, {"SLOT"}, {"OWNER"}, {"NOTICE", true}, {"FOR", true}});
  if (view.plot) columns.push_back({"UP TO THIS PRICE"});
  report.text = rows.empty() ? "nothing is for sale: no slot has anything free, and no holder of a lease sells\n"
                             : TableOf(columns, rows);
  for (const auto& bid : asks.bids) {
    report.json["bids"].push_back({{"class", bid->class_name},
                                   {"share_milli", bid->share_milli},
                                   {"memory_bytes", bid->memory_bytes},
                                   {"until_ms", bid->until_ms}});
  }
  if (!view.depth) return report;
  std::vector<std::vector<std::string>> bids;
  for (const auto& bid : asks.bids) {
    const bool is_gang = bid->class_name.empty();
    bids.push_back({is_gang ? "(a gang of whole devices)" : Shown(bid->class_name, 50),
                    is_gang ? "-" : Percent(bid->share_milli), is_gang ? "-" : ReadableBytes(bid->memory_bytes),
                    DurationOf(bid->until_ms - now_ms)});
  }
  report.text += bids.empty() ? "no bids stand\n"
                              : "\nbids that stand; who bids, and how much, is sealed\n" +
                                    TableOf({{"CLASS"}, {"SHARE", true}, {"MEMORY", true}, {"FOR", true}}, bids);
  return report;
}

Report ReportOf(const messages::EpochsT& epochs, bool plot) {
  Report report;
  report.json = {{"epochs", Json::array()}};
  std::vector<std::vector<std::string>> classes;
  std::vector<std::vector<std::string>> trades;
  for (const auto& epoch : epochs.epochs) {
    Json one = {{"number", epoch->number}, {"time_ms", epoch->time_ms}, {"unserved", epoch->unserved}};
    one["classes"] = Json::array();
    one["trades"] = Json::array();
    for (const auto& of : epoch->classes) {
      one["classes"].push_back({{"class", of->class_name},
                                {"lane", of->lane},
                                {"why", of->why},
                                {"reserve_microcredits_per_hour", of->reserve_microcredits_per_hour},
                                {"price_microcredits_per_hour", of->price_microcredits_per_hour},
                                {"bids", of->bids},
                                {"asks", of->asks},
                                {"trades", of->trades}});
      classes.push_back({std::to_string(epoch->number), Shown(of->class_name, 50), std::to_string(of->bids),
                         std::to_string(of->asks), std::to_string(of->trades),
                         CreditsText(of->reserve_microcredits_per_hour), CreditsText(of->price_microcredits_per_hour),
                         Shown(of->lane) + (of->why.empty() ? "" : ": " + Shown(of->why, 100))});
    }
    for (const auto& trade : epoch->trades) {
      one["trades"].push_back(TradeJson(*trade));
      trades.push_back(TradeRow(epoch->number, *trade));
    }
    report.json["epochs"].push_back(std::move(one));
  }
  if (classes.empty() && trades.empty()) {
    report.text = "no epoch has had a trade yet\n";
    return report;
  }
  if (!classes.empty()) {
    report.text = TableOf({{"EPOCH", true},
                           {"CLASS"},
                           {"BIDS", true},
                           {"ASKS", true},
                           {"TRADES", true},
                           {"SURROGATE/H", true},
                           {"PRICE/H", true},
                           {"LANE"}},
                          classes) +
                  "\n";
  }
  report.text += TableOf(TradeColumns(), trades);
  if (!plot) return report;
  for (const auto& [name, course] : CoursesOf(epochs)) {
    std::vector<double> values;
    for (const auto& [time, price] : course) values.push_back(price);
    report.text += "\n" + PlotOf(Shown(name, 50) + ": credits an hour, by epoch", values,
                                 *std::max_element(values.begin(), values.end()), kPlotWidth, kPlotHeight, "");
  }
  return report;
}

Report TradesOf(const messages::EpochsT& epochs, const std::string& identity, bool is_own) {
  Report report;
  report.json = {{"trades", Json::array()}};
  std::vector<std::vector<std::string>> rows;
  for (const auto& epoch : epochs.epochs) {
    for (const auto& trade : epoch->trades) {
      Json one = TradeJson(*trade);
      one["epoch"] = epoch->number;
      one["is_sale"] = trade->seller == identity;
      report.json["trades"].push_back(std::move(one));
      rows.push_back(TradeRow(epoch->number, *trade));
    }
  }
  if (!rows.empty()) {
    report.text = TableOf(TradeColumns(), rows);
  } else if (is_own) {
    report.text =
        "this identity has sold and bought nothing of late; --identity NAME shows another's (mesh-run's is default), "
        "slotctl epochs everybody's\n";
  } else {
    report.text =
        Shown(identity.substr(0, 16)) + " has sold and bought nothing of late; slotctl epochs shows everybody's\n";
  }
  return report;
}

Report ReportOf(const messages::WinningPriceT& price, const WhyAsked& asked) {
  Report report;
  const std::uint32_t share = asked.share_milli;
  const std::int64_t least = std::max<std::int64_t>(0, price.least_microcredits_per_hour);
  report.json = {{"class", asked.class_name},
                 {"share_milli", share},
                 {"lane", price.lane},
                 {"least_microcredits_per_hour", price.least_microcredits_per_hour},
                 {"pays_microcredits_per_hour", price.pays_microcredits_per_hour},
                 {"posted_microcredits_per_hour", price.posted_microcredits_per_hour},
                 {"why", price.why}};
  const auto line = [&report](const std::string& name, const std::string& value) {
    report.text += name + std::string(12 - std::min<std::size_t>(11, name.size()), ' ') + value + "\n";
  };
  // What people pay is for their share; what is bid and asked is of a whole device.
  const auto both = [share](std::int64_t an_hour) {
    return CreditsText(PartOf(an_hour, share)) + " credits an hour" +
           (share == scheduler::kWholeMilli ? "" : " (" + CreditsText(an_hour) + " of a whole device)");
  };
  line("it needs",
       Percent(share) + " of a " + Shown(asked.class_name, 60) + ", the kind that needs the least" +
           (asked.count > 1 ? "; one of the " + std::to_string(asked.count) + ", a gang bids for whole ones" : ""));
  line("for sale", Shown(price.why, 200));
  line("posted", both(price.posted_microcredits_per_hour) + " is what a grant costs while something is free");
  if (price.lane.empty()) {
    line("would win", "no price: nothing of it is for sale, or only above the posted price");
    line("instead",
         "wait for it (mesh-run --when-nothing wait), ask for less, or agree with a holder (slotctl deal; "
         "slotctl leases --all)");
    return report;
  }
  line("would win", both(least) + " or more in the next epoch, if nobody else bids");
  line("would pay", both(price.pays_microcredits_per_hour) + ", by the lane \"" + Shown(price.lane) + "\"");
  line("so", "mesh-run --max-price " + CreditsText(PartOf(least, share)) + " ...");
  return report;
}

Report ReportOf(const messages::QuotationT& quotation) {
  Report report;
  report.json = {{"offers", Json::array()}, {"lacks", Json::array()}};
  std::vector<std::vector<std::string>> rows;
  for (const auto& offer : quotation.offers) {
    report.json["offers"].push_back({{"slot", offer->slot},
                                     {"share_milli", offer->share_milli},
                                     {"memory_bytes", offer->memory_bytes},
                                     {"price_microcredits_per_hour", offer->price_microcredits_per_hour},
                                     {"why", offer->why}});
    rows.push_back({Shown(offer->slot, 40), Percent(offer->share_milli), ReadableBytes(offer->memory_bytes),
                    CreditsText(offer->price_microcredits_per_hour), Shown(offer->why, 100)});
  }
  if (!rows.empty()) {
    report.text = TableOf({{"SLOT"}, {"SHARE", true}, {"MEMORY", true}, {"POSTED/H", true}, {"DECIDED BY"}}, rows);
  }
  rows.clear();
  const auto add = [&](const std::string& slot, const messages::GapT& gap) {
    report.json["lacks"].push_back(
        {{"slot", slot}, {"dimension", gap.dimension}, {"text", gap.text}, {"remedy", gap.remedy}});
    rows.push_back({slot.empty() ? "all" : Shown(slot, 40), Shown(gap.text, 100), Shown(gap.remedy, 100)});
  };
  for (const auto& gap : quotation.gaps) add("", *gap);
  for (const auto& rejection : quotation.rejections) {
    for (const auto& gap : rejection->gaps) add(rejection->slot, *gap);
  }
  if (!rows.empty()) report.text += TableOf({{"SLOT"}, {"LACKS"}, {"REMEDY"}}, rows);
  if (rows.empty() && quotation.offers.empty()) {
    report.text = "nothing would do: the market has no slots; a gpu-server offers its own with --market URL\n";
  } else if (quotation.offers.empty() && !quotation.rejections.empty()) {
    report.text += "nothing would do now; slotctl why says which bid would get it from others\n";
  }
  return report;
}

std::string SvgOf(const messages::AsksT& asks) {
  sim::Chart chart;
  chart.title = "What is for sale, up to which price";
  chart.x_title = "devices";
  chart.y_title = "credits an hour of a whole device";
  std::map<std::string, sim::Line> lines;
  double devices = 0;
  double most = 0;
  for (const auto* ask : CheapestFirst(asks)) {
    sim::Line& line = lines.try_emplace(ask->class_name, sim::Line{Shown(ask->class_name, 40), {}}).first->second;
    const double begin = line.points.empty() ? 0 : line.points.back().first;
    const double price = static_cast<double>(ask->price_microcredits_per_hour) / 1e6;
    // A step for each.
    line.points.emplace_back(begin, price);
    line.points.emplace_back(begin + static_cast<double>(ask->share_milli) / 1000, price);
    devices = std::max(devices, line.points.back().first);
    most = std::max(most, price);
  }
  SetAxis(devices, 8, chart.x_step, chart.x_max);
  SetAxis(most, 6, chart.y_step, chart.y_max);
  for (auto& [name, line] : lines) chart.lines.push_back(std::move(line));
  return sim::SvgOf(chart);
}

std::string SvgOf(const messages::EpochsT& epochs) {
  const auto courses = CoursesOf(epochs);
  sim::Chart chart;
  chart.title = "Prices by epoch";
  chart.y_title = "credits an hour of a whole device";
  std::int64_t last_ms = 0;
  std::int64_t first_ms = INT64_MAX;
  double most = 0;
  for (const auto& [name, course] : courses) {
    for (const auto& [time, price] : course) {
      last_ms = std::max(last_ms, time);
      first_ms = std::min(first_ms, time);
      most = std::max(most, price);
    }
  }
  const double span_s = last_ms > first_ms ? static_cast<double>(last_ms - first_ms) / 1000 : 60;
  const auto& [unit, unit_s] = span_s < 180     ? std::pair("seconds", 1.0)
                               : span_s < 10800 ? std::pair("minutes", 60.0)
                                                : std::pair("hours", 3600.0);
  chart.x_title = std::string(unit) + " before the last epoch that had a trade";
  SetAxis(span_s / unit_s / 1.05, 8, chart.x_step, chart.x_min);
  chart.x_min = -chart.x_min;
  chart.x_max = 0;
  SetAxis(most, 6, chart.y_step, chart.y_max);
  for (const auto& [name, course] : courses) {
    sim::Line line{Shown(name, 40), {}};
    for (const auto& [time, price] : course) {
      line.points.emplace_back(static_cast<double>(time - last_ms) / 1000 / unit_s, price);
    }
    chart.lines.push_back(std::move(line));
  }
  return sim::SvgOf(chart);
}

}  // namespace accelmesh::slotctl
