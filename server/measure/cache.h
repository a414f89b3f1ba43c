// Measurements that are kept: a file for each backend, device and number of threads, in $XDG_STATE_HOME/accelmesh (else
// $HOME/.local/state/accelmesh), replaced as a whole. One that was taken of other hardware or libraries is as none.
//
// Threads: any; of several processes the last one counts.
#pragma once

#include <optional>
#include <string>

#include "server/measure/report.h"

namespace accelmesh::measure {

// Empty if neither variable is set: nothing is kept.
std::string StateFolder();
// None if there is none, it is unreadable, or it is of something else.
std::optional<Report> LoadReport(const std::string& folder, const Identity& identity);
Status StoreReport(const std::string& folder, const Report& report);

}  // namespace accelmesh::measure
