#include "tools/slotctl/show_receipts.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "scheduler/core/quantity.h"
#include "tools/slotctl/table.h"

namespace accelmesh::slotctl {
namespace {

using scheduler::CreditsText;

std::string Percent(std::uint32_t ppm) {
  const std::uint32_t tenths = (ppm + 500) / 1000;
  return std::to_string(tenths / 10) + (tenths % 10 == 0 ? "" : "." + std::to_string(tenths % 10)) + " %";
}
std::string DurationOf(std::int64_t ms) {
  return ms <= 0 ? "-" : scheduler::ReadableDuration(static_cast<double>(ms) * 1000);
}
// In the largest unit of which there are two.
std::string Ago(std::int64_t ms) {
  const std::int64_t s = std::max<std::int64_t>(0, ms / 1000);
  if (s < 120) return std::to_string(s) + " s ago";
  if (s < 7200) return std::to_string(s / 60) + " min ago";
  return s < 172'800 ? std::to_string(s / 3600) + " h ago" : std::to_string(s / 86'400) + " days ago";
}

std::string SignedBy(const std::string& state) {
  if (state == "both") return "both";
  if (state == "provider" || state == "buyer") return state + " only";
  if (state == "disputed") return "both, of different words";
  return state == "open" ? "nobody yet" : Shown(state);
}

}  // namespace

Report ReportOf(const messages::ReceiptsT& receipts, std::int64_t now_ms, bool all) {
  Report report;
  report.json = {{"receipts", Json::array()}};
  std::vector<std::vector<std::string>> rows;
  bool is_one_sided = false;
  for (const auto& receipt : receipts.receipts) {
    report.json["receipts"].push_back({{"lease", receipt->lease},
                                       {"class", receipt->slot_class},
                                       {"provider", receipt->provider},
                                       {"buyer", receipt->buyer},
                                       {"begin_ms", receipt->begin_ms},
                                       {"end_ms", receipt->end_ms},
                                       {"price_microcredits", receipt->price_microcredits},
                                       {"paid_microcredits", receipt->paid_microcredits},
                                       {"bond_microcredits", receipt->bond_microcredits},
                                       {"delivered_ppm", receipt->delivered_ppm},
                                       {"uptime_ppm", receipt->uptime_ppm},
                                       {"had_notice", receipt->had_notice},
                                       {"is_notice_honoured", receipt->is_notice_honoured},
                                       {"used_ppm", receipt->used_ppm},
                                       {"state", receipt->state},
                                       {"refunded_microcredits", receipt->refunded_microcredits}});
    is_one_sided |= receipt->state != "both";
    rows.push_back({Shown(receipt->lease), Shown(receipt->provider.substr(0, 8)), Shown(receipt->buyer.substr(0, 8)),
                    Ago(now_ms - receipt->end_ms), DurationOf(receipt->end_ms - receipt->begin_ms),
                    CreditsText(receipt->paid_microcredits), Percent(receipt->delivered_ppm),
                    Percent(receipt->uptime_ppm),
                    !receipt->had_notice          ? "-"
                    : receipt->is_notice_honoured ? "kept"
                                                  : "broken",
                    Percent(receipt->used_ppm), CreditsText(receipt->refunded_microcredits), SignedBy(receipt->state)});
  }
  if (rows.empty()) {
    report.text = all ? "no lease has ended yet\n"
                      : "no receipts of this identity; --all shows everybody's to admins, --identity NAME another's\n";
    return report;
  }
  report.text = TableOf({{"LEASE"},
                         {"PROVIDER"},
                         {"BUYER"},
                         {"ENDED", true},
                         {"LASTED", true},
                         {"PAID", true},
                         {"DELIVERED", true},
                         {"UP", true},
                         {"NOTICE"},
                         {"USED", true},
                         {"REFUND", true},
                         {"SIGNED BY"}},
                        rows);
  if (is_one_sided)
    report.text += "what both have signed counts for reputation and refunds; the rest counts for nobody\n";
  return report;
}

Report ReportOf(const messages::ReputationsT& reputations) {
  Report report;
  report.json = {{"reputations", Json::array()}, {"newcomer_ppm", reputations.newcomer_ppm}};
  using Row = const messages::ReputationT*;
  std::vector<Row> sorted;
  for (const auto& one : reputations.reputations) sorted.push_back(one.get());
  std::stable_sort(sorted.begin(), sorted.end(), [](Row a, Row b) {
    return std::tie(b->score_ppm, a->role, a->identity) < std::tie(a->score_ppm, b->role, b->identity);
  });
  std::vector<std::vector<std::string>> rows;
  Row before = nullptr;
  for (const Row one : sorted) {
    report.json["reputations"].push_back({{"identity", one->identity},
                                          {"name", one->name},
                                          {"role", one->role},
                                          {"event", one->event},
                                          {"good_microcredits", one->good_microcredits},
                                          {"bad_microcredits", one->bad_microcredits},
                                          {"score_ppm", one->score_ppm}});
    const bool is_same = before != nullptr && before->identity == one->identity && before->role == one->role;
    before = one;
    rows.push_back({is_same             ? ""
                    : one->name.empty() ? Shown(one->identity.substr(0, 16))
                                        : Shown(one->name),
                    is_same ? "" : Shown(one->role), is_same ? "" : Percent(one->score_ppm), Shown(one->event),
                    CreditsText(one->good_microcredits), CreditsText(one->bad_microcredits)});
  }
  report.text = rows.empty()
                    ? "of nobody are there receipts that both sides have signed\n"
                    : TableOf({{"NAME"}, {"ROLE"}, {"SCORE", true}, {"OF"}, {"GOOD", true}, {"BAD", true}}, rows);
  report.text += "a newcomer has " + Percent(reputations.newcomer_ppm) +
                 "; an ask counts as if it were dearer by what its provider's score lacks\n";
  return report;
}

}  // namespace accelmesh::slotctl
