// Reports of programs: whatever they write, their runs make a profile that can be kept.
#include "tests/fuzz/input.h"
#include "tools/agent/reports.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  const auto runs = agent::ReadReports({reinterpret_cast<const char*>(data), size});
  fuzz::Require(runs.size() <= agent::kReportsMax, "they are bounded");
  agent::Profile profile;
  for (const agent::Run& run : runs) {
    fuzz::Require(run.lasted_us > 0 && run.waited_us <= run.lasted_us, "a run lasts");
    agent::AddRun(profile, run);
  }
  agent::AddRun(profile, agent::FoldProcesses(runs));
  const auto again = agent::ParseProfile(ToText(profile));
  fuzz::Require(again.ok() && *again == profile, "what they make can be kept");
  return 0;
}
