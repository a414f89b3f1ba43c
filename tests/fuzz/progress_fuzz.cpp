// A run of Progress messages, as a client takes them over: the page's values only grow.
#include <memory>
#include <vector>

#include "protocol/transport/messages.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  fuzz::Input input(data, size);
  const auto page = std::make_unique<ProgressPage>();
  std::vector<std::uint64_t> before(limits::kStreamsMax, 0);
  std::uint64_t acknowledged = 0;
  std::uint32_t error = 0;
  bool sticky = false;
  while (!input.empty()) {
    const bool fine = ApplyProgress(input.Counted(), *page).ok();
    fuzz::Require(page->acknowledged >= acknowledged, "acknowledged grows");
    acknowledged = page->acknowledged;
    for (std::uint32_t stream = 0; stream < limits::kStreamsMax; ++stream) {
      fuzz::Require(page->completed[stream] >= before[stream], "completed grows");
      before[stream] = page->completed[stream];
    }
    fuzz::Require(error == 0 || page->error != 0, "an error stays");
    fuzz::Require(!sticky || (page->error_is_sticky != 0 && page->error == error), "a sticky error stays as it is");
    error = page->error;
    sticky = page->error_is_sticky != 0;
    if (!fine) return 0;
  }
  return 0;
}
