#include "server/main/measure_main.h"

#include <chrono>
#include <cstdio>

#include "protocol/base/log.h"
#include "server/main/worker.h"
#include "server/measure/cache.h"
#include "server/measure/measure.h"

namespace accelmesh {
namespace {

constexpr std::chrono::seconds kSilent{2};

std::int64_t UnixMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

int Print(const measure::Report& report, const MeasureOptions& options) {
  const std::string text = options.json ? measure::ToJson(report) : measure::ToText(report);
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0 ? 0 : 1;
}

int Fail(const Status& status) {
  std::fprintf(stderr, "gpu-server --measure: %s\n", status.text().c_str());
  return 1;
}

}  // namespace

int MeasureMain(const ServerOptions& options, const MeasureOptions& how) {
  const measure::BackendFactory make = [&options](const BackendOptions& device) {
    return LoadBackend(options, device);
  };
  const std::string folder = measure::StateFolder();
  if (how.from_cache) {
    const Result<measure::Identity> identity = measure::Identify(make, options.device);
    if (!identity.ok()) return Fail(identity.status());
    if (const std::optional<measure::Report> kept = measure::LoadReport(folder, *identity); kept.has_value())
      return Print(*kept, how);
  }
  measure::Plan plan;
  plan.only = how.only;
  plan.without_libraries = how.without_libraries;
  const Deadline silent = Deadline::After(kSilent);
  plan.progress = [&silent](const std::string& next, double done) {
    if (silent.passed()) std::fprintf(stderr, "gpu-server: measuring, %2.0f %%: %s\n", done * 100, next.c_str());
  };
  Result<measure::Report> report = measure::Measure(make, options.device, plan);
  if (!report.ok()) return Fail(report.status());
  report->measured_at_ms = UnixMs();
  if (how.only.empty() && !how.without_libraries) {
    if (const Status stored = measure::StoreReport(folder, *report); !stored.ok())
      log::Warning("measure", "the measurement is not kept: " + stored.ToString());
  }
  return Print(*report, how);
}

}  // namespace accelmesh
