#include "tools/slotctl/doctor.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "protocol/security/lease_file.h"
#include "protocol/security/lease_token.h"
#include "scheduler/core/quantity.h"
#include "tools/slotctl/table.h"

namespace accelmesh::slotctl {
namespace {

using Level = Finding::Level;

Finding Fine(std::string what, std::string text) { return {Level::kFine, std::move(what), std::move(text), ""}; }
Finding Warning(std::string what, std::string text, std::string remedy) {
  return {Level::kWarning, std::move(what), std::move(text), std::move(remedy)};
}
Finding Fault(std::string what, std::string text, std::string remedy) {
  return {Level::kFault, std::move(what), std::move(text), std::move(remedy)};
}

std::string Readable(std::int64_t ms) {
  return scheduler::ReadableDuration(static_cast<double>(std::max<std::int64_t>(0, ms)) * 1000);
}

void ExamineKeys(const Access& access, std::vector<Finding>& findings) {
  const Result<std::string> folder = FolderOf(access);
  if (!folder.ok()) {
    findings.push_back(Fault("keys", folder.status().text(), "set HOME or XDG_CONFIG_HOME, or give --keys FOLDER"));
    return;
  }
  struct stat facts{};
  if (::stat(folder->c_str(), &facts) != 0) {
    findings.push_back(
        Warning("keys", *folder + " is not there yet", "mesh-run and slotctl make it at their first use"));
    return;
  }
  const auto keys = security::KeyFolder(*folder).List();
  if (!keys.ok()) {
    findings.push_back(Fault("keys", keys.status().text(), "chmod 700 " + *folder));
    return;
  }
  std::size_t usable = 0;
  for (const security::IdentityFacts& key : *keys) {
    if (key.fault.empty()) {
      ++usable;
    } else {
      findings.push_back(Fault("keys", key.path + ": " + key.fault, "chmod 600 " + key.path + ", or remove it"));
    }
  }
  findings.push_back(Fine("keys", std::to_string(usable) + " usable in " + *folder));
}

void ExamineFolders(std::vector<Finding>& findings) {
  const auto folder = security::LeaseFolder();
  findings.push_back(folder.ok()
                         ? Fine("leases", "lease files lie in " + *folder)
                         : Fault("leases", folder.status().text(), "set XDG_RUNTIME_DIR to a folder of yours alone"));
}

}  // namespace

Finding JudgeClock(std::int64_t market_ms, std::int64_t asked_ms, std::int64_t answered_ms) {
  // The market looked at its clock some time between.
  const std::int64_t behind_ms = std::max<std::int64_t>({0, market_ms - answered_ms, asked_ms - market_ms});
  if (behind_ms == 0) return Fine("clock", "agrees with the market's");
  const std::string text = "differs from the market's by " + Readable(behind_ms) + " or more";
  const std::string remedy = "set both by NTP (timedatectl set-ntp true)";
  if (behind_ms > security::kClockSkewMs) {
    return Fault("clock", text + "; tokens are refused beyond " + Readable(security::kClockSkewMs), remedy);
  }
  return behind_ms > 1000 ? Warning("clock", text, remedy) : Fine("clock", text);
}

std::vector<Finding> JudgeSlots(const messages::SlotsT& slots) {
  if (slots.slots.empty()) {
    return {
        Fault("slots", "no gpu-server offers any", "start one: gpu-server --market URL --listen tcp://127.0.0.1:7700")};
  }
  std::vector<Finding> findings;
  std::size_t usable = 0;
  for (const auto& slot : slots.slots) {
    const std::string id = Shown(slot->id, 60);
    if (!slot->is_reachable) {
      findings.push_back(Fault(
          "slots", id + ": its gpu-server does not answer the market",
          "look at the gpu-server on " + Shown(slot->server_name) + ", start it again, or wait until its lease ends"));
    } else if (slot->is_draining) {
      findings.push_back(Warning("slots", id + " lets nothing more", "slotctl undrain " + id));
    } else if (slot->tags == nullptr || slot->tags->throughput.empty()) {
      findings.push_back(Warning("slots", id + " has measured nothing, so nobody who asks for throughput gets it",
                                 "look at the log of its gpu-server, and start it again"));
    } else {
      ++usable;
    }
  }
  findings.push_back(usable == 0 ? Fault("slots", "none can be let", "see above")
                                 : Fine("slots", std::to_string(usable) + " of " + std::to_string(slots.slots.size()) +
                                                     " can be let"));
  return findings;
}

Finding JudgeStore(const messages::StatusReportT& status) {
  const std::string store = Shown(status.store);
  if (!status.trouble.empty()) {
    return Fault("store", store + ": " + Shown(status.trouble, 400),
                 "do what it says; until then nothing is let or renewed, and programs run until their leases end");
  }
  if (!status.store_warning.empty()) {
    return Warning("store", store + ": " + Shown(status.store_warning, 200),
                   "do what it says; the market goes on meanwhile");
  }
  if (!status.is_leader && status.leader.empty()) {
    return Fault("store", store + ": the market has no leader",
                 "start another replica, or look at its log and at etcd");
  }
  return Fine("store", store + (status.is_leader ? "" : ", led by " + Shown(status.leader)));
}

Finding JudgeRole(const messages::GreetingT& greeting, const std::string& identity) {
  const std::string us = Shown(greeting.name) + ", " + Shown(greeting.role);
  if (greeting.role == "admin") return Fine("identity", "the market knows us as " + us);
  return Warning("identity", "the market knows us as " + us + ": sees its own leases only, and changes nothing",
                 "if it is to be one, an admin says: slotctl keys trust " + identity + " --role admin --name " +
                     Shown(greeting.name));
}

Finding JudgeAccount(const messages::AccountT& account) {
  const std::string text = scheduler::CreditsText(account.balance_microcredits) + " credits, and " +
                           scheduler::CreditsText(account.held_microcredits) + " in escrow for leases";
  if (account.balance_microcredits > 0) return Fine("account", text);
  return Fault("account", text + ": nothing that costs anything can be leased",
               "an admin says: slotctl deposit " + account.identity + " 100");
}

Finding JudgeRequests(const messages::RequestsT& requests) {
  const std::size_t waiting = requests.requests.size();
  if (waiting == 0) return Fine("requests", "none waits");
  return Warning("requests", waiting == 1 ? "one waits" : std::to_string(waiting) + " wait",
                 "slotctl requests --all says what each slot lacks, and what would help");
}

std::vector<Finding> Examine(const Access& access) {
  std::vector<Finding> findings;
  ExamineKeys(access, findings);
  ExamineFolders(findings);
  const auto key = market::FindMarketKey(access.market_key);
  if (!key.ok()) {
    findings.push_back(
        Fault("market key", key.status().text(), "start slot-market once as this user, or copy its market.pub"));
    return findings;
  }
  findings.push_back(Fine("market key", security::HexOf(key->bytes)));
  auto session = Session::Open(access);
  if (!session.ok()) {
    findings.push_back(Fault("market", session.status().text(), "mend what it says"));
    return findings;
  }
  const std::int64_t asked_ms = NowMs();
  const auto status = (*session)->Ask<messages::StatusReportT>(messages::GetStatusT{});
  const std::int64_t answered_ms = NowMs();
  const messages::GreetingT& greeting = (*session)->greeting();
  if (!status.ok() && greeting.market.empty() && greeting.version == 0) {
    const bool is_refused = status.code() == Code::kPermissionDenied;
    findings.push_back(
        Fault("market", status.status().text(),
              is_refused ? "an admin lets us in: slotctl keys trust " + (*session)->identity() +
                               " --role tenant --name " + access.identity
                         : "start slot-market, or give its address with --market (asked: " + access.market + ")"));
    return findings;
  }
  findings.push_back(Fine("market", "answers at " + (*session)->url() + " in " + Readable(answered_ms - asked_ms)));
  findings.push_back(JudgeRole(greeting, (*session)->identity()));
  if (status.ok()) {
    findings.push_back(JudgeClock(status->time_ms, asked_ms, answered_ms));
    findings.push_back(JudgeStore(*status));
  }
  const auto slots = (*session)->Ask<messages::SlotsT>(messages::ListSlotsT{});
  if (slots.ok()) {
    for (Finding& finding : JudgeSlots(*slots)) findings.push_back(std::move(finding));
  } else {
    findings.push_back(Fault("slots", slots.status().text(), "look at the market's log"));
  }
  messages::ListRequestsT all;
  all.all = true;
  const auto requests = (*session)->Ask<messages::RequestsT>(std::move(all));
  if (requests.ok()) findings.push_back(JudgeRequests(*requests));
  if (greeting.role == "tenant") {
    const auto account = (*session)->Ask<messages::AccountT>(messages::GetAccountT{});
    if (account.ok()) findings.push_back(JudgeAccount(*account));
  }
  if (greeting.role != "admin") return findings;
  const auto accounts = (*session)->Ask<messages::AccountsT>(messages::ListAccountsT{});
  if (!accounts.ok()) return findings;
  const bool is_balanced = ReportOf(*accounts).json["is_balanced"].get<bool>();
  findings.push_back(is_balanced ? Fine("credits", "all that were deposited are in some account")
                                 : Fault("credits", "the accounts do not add up to the deposits",
                                         "stop the market, keep its database, and look at its log"));
  return findings;
}

Report ReportOf(const std::vector<Finding>& findings) {
  Report report;
  report.json = {{"findings", Json::array()}, {"faults", FaultsOf(findings)}};
  std::vector<std::vector<std::string>> rows;
  for (const Finding& finding : findings) {
    const char* level = finding.level == Level::kFine ? "ok" : finding.level == Level::kWarning ? "warning" : "FAULT";
    report.json["findings"].push_back({{"level", finding.level == Level::kFault ? "fault" : level},
                                       {"what", finding.what},
                                       {"text", finding.text},
                                       {"remedy", finding.remedy}});
    rows.push_back({level, finding.what, finding.text});
    if (!finding.remedy.empty()) rows.push_back({"", "", "remedy: " + finding.remedy});
  }
  report.text = TableOf({{"STATE"}, {"WHAT"}, {"FOUND"}}, rows);
  const int faults = FaultsOf(findings);
  report.text +=
      faults == 0 ? "nothing is in the way\n" : std::to_string(faults) + (faults == 1 ? " fault\n" : " faults\n");
  return report;
}

int FaultsOf(const std::vector<Finding>& findings) {
  return static_cast<int>(std::count_if(findings.begin(), findings.end(),
                                        [](const Finding& finding) { return finding.level == Level::kFault; }));
}

}  // namespace accelmesh::slotctl
