// Measures a device: throughput of matmul and convolution by type, memory bandwidth, launch latency.
//
// Each number is taken through a session of its own making (tenant.h), by the calls that a tenant's program makes: of
// cuBLAS and cuDNN, or by a kernel where the backend lacks the function. A call is repeated in batches of some
// milliseconds, after a warm-up, until the interval is narrow or the time for it is over; interval.h says what that
// means.
//
// Threads: one, for seconds. Errors: what cannot be measured is named in Report::missing; a backend that runs nothing
// is refused.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "server/measure/report.h"
#include "server/measure/tenant.h"

namespace accelmesh::measure {

struct Plan {
  std::string only;  // "matmul fp32", "memory", "launch"; empty: everything
  std::chrono::milliseconds seconds_each{350};
  bool without_libraries = false;  // by kernels alone, for tests
  // Called at every step, with what comes next and which part is done, 0 to 1.
  std::function<void(const std::string& next, double done)> progress;
};

// All that Plan::only may name, in the order in which it is measured.
std::vector<std::string> Quantities();

Result<Report> Measure(const BackendFactory& make, const BackendOptions& options, const Plan& plan);
// What the numbers would hold for. Opens a session and the libraries, and runs nothing.
Result<Identity> Identify(const BackendFactory& make, const BackendOptions& options);

}  // namespace accelmesh::measure
