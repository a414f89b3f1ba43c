// Whose use a provider tells the market next: a message has room for so many leases, and each one's turn comes.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "server/main/facts.h"

namespace accelmesh {

// Leases that have used something since they were `told` of, at most `max`: those behind `last`, whom the message
// before ended with, first.
[[nodiscard]] inline std::vector<std::string> NextUses(const std::map<std::string, LeaseFacts>& now,
                                                       const std::map<std::string, LeaseFacts>& told,
                                                       const std::string& last, std::size_t max) {
  std::vector<std::string> next;
  auto lease = now.upper_bound(last);
  for (std::size_t i = 0; i < now.size() && next.size() < max; ++i, ++lease) {
    if (lease == now.end()) lease = now.begin();
    const auto before = told.find(lease->first);
    const LeaseFacts known = before != told.end() ? before->second : LeaseFacts{};
    if (lease->second.device_us != known.device_us || lease->second.sessions != known.sessions)
      next.push_back(lease->first);
  }
  return next;
}

}  // namespace accelmesh
