// What happens to a session when its process begins, forks and ends (SEMANTICS: processes).
#pragma once

#include "shim/core/session.h"

namespace accelmesh {

// The process has a session from here on. Called once, by the thread that opened it, before anybody else sees it.
void BeginProcessSession(ClientSession& session);
// The session has said goodbye or must not be touched any more: unregistering at exit is then a matter of memory only.
bool ProcessIsEnding();

}  // namespace accelmesh
