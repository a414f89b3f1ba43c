// Which host and pid namespace this process lives in: two processes that say the same can name each other by pid and
// share memory. Threads: any.
#pragma once

#include <cstdint>
#include <string>

namespace accelmesh {

// The kernel's random id of this boot; empty if /proc is not there.
std::string BootId();
// The inode of this process's pid namespace; 0 if it cannot be known.
std::uint64_t PidNamespace();

}  // namespace accelmesh
