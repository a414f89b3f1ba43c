// slotctl doctor: what keeps a user's programs from getting slots, each finding with its remedy.
//
// Threads: functions. Judge...() are pure: what was found in, findings out.
#pragma once

#include <string>
#include <vector>

#include "tools/slotctl/session.h"
#include "tools/slotctl/show.h"

namespace accelmesh::slotctl {

struct Finding {
  enum class Level { kFine, kWarning, kFault };
  Level level = Level::kFine;
  std::string what;  // "clock"
  std::string text;
  std::string remedy;  // of warnings and faults
};

// `asked_ms` and `answered_ms`: our clock around the question.
Finding JudgeClock(std::int64_t market_ms, std::int64_t asked_ms, std::int64_t answered_ms);
std::vector<Finding> JudgeSlots(const messages::SlotsT& slots);
Finding JudgeStore(const messages::StatusReportT& status);
Finding JudgeRole(const messages::GreetingT& greeting, const std::string& identity);
Finding JudgeAccount(const messages::AccountT& account);
Finding JudgeRequests(const messages::RequestsT& requests);

// Looks at everything; what depends on what is broken is left out.
std::vector<Finding> Examine(const Access& access);

// "ok    clock     ..." and the number of faults.
Report ReportOf(const std::vector<Finding>& findings);
int FaultsOf(const std::vector<Finding>& findings);

}  // namespace accelmesh::slotctl
