// Functional requests as people write them: what parses holds, and can be written and parsed again to the same.
#include "scheduler/core/request_text.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  using namespace accelmesh::scheduler;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const Result<FunctionalRequest> request = ParseRequest(text);
  if (!request.ok()) {
    fuzz::Require(!request.status().text().empty(), "a refusal says why");
    fuzz::Require(request.status().text().size() < 1024, "a refusal is bounded");
    return 0;
  }
  fuzz::Require(Validate(*request).ok(), "what was parsed holds");
  const Result<FunctionalRequest> again = ParseRequest(ToText(*request));
  fuzz::Require(again.ok(), "what was parsed can be parsed again");
  fuzz::Require(*again == *request, "and means the same");
  return 0;
}
