// gpu-server --measure: measures the backend's device in this process, prints the result, and keeps it.
#pragma once

#include "server/main/options.h"

namespace accelmesh {

struct MeasureOptions {
  bool json = false;
  bool from_cache = false;         // what is kept is good enough, if it is of this hardware
  bool without_libraries = false;  // by kernels alone, for tests
  std::string only;                // one quantity, "matmul fp32"; what is kept stays as it is
};

// The exit status. Says on stderr how far it is, once it has taken two seconds.
int MeasureMain(const ServerOptions& options, const MeasureOptions& measure);

}  // namespace accelmesh
