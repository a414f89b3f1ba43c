// slotctl keys: the identities of this user.
//
// Threads: functions.
#pragma once

#include <vector>

#include "protocol/security/key_file.h"
#include "tools/slotctl/show.h"

namespace accelmesh::slotctl {

// What can be shown of all identities in a folder; nothing secret.
Report ReportOf(const std::vector<security::IdentityFacts>& identities, std::int64_t now_ms);
Report ReportOf(const security::Identity& identity, const std::string& folder, std::int64_t now_ms);

}  // namespace accelmesh::slotctl
