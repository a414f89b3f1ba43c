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
    // Plain pointers: this loop is most of an execution, and every access of it is checked.
    const std::atomic<std::uint64_t>* completed = page->completed.data();
    std::uint64_t* last = before.data();
    bool grows = true;
    for (std::uint32_t stream = 0; stream < limits::kStreamsMax; ++stream) {
      const std::uint64_t now = completed[stream].load(std::memory_order_relaxed);
      grows = grows && now >= last[stream];
      last[stream] = now;
    }
    fuzz::Require(grows, "completed grows");
    fuzz::Require(error == 0 || page->error != 0, "an error stays");
    fuzz::Require(!sticky || (page->error_is_sticky != 0 && page->error == error), "a sticky error stays as it is");
    error = page->error;
    sticky = page->error_is_sticky != 0;
    if (!fine) return 0;
  }
  return 0;
}
