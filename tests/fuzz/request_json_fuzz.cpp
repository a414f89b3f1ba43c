// Requests as JSON: what parses holds, and means what its text means.
#include "scheduler/core/request_text.h"
#include "tests/fuzz/input.h"
#include "tools/request/request_json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  const auto request = ParseRequestJson({reinterpret_cast<const char*>(data), size});
  if (!request.ok()) {
    fuzz::Require(!request.status().text().empty(), "a refusal says why");
    fuzz::Require(request.status().text().size() < 1024, "a refusal is bounded");
    return 0;
  }
  fuzz::Require(Validate(*request).ok(), "what was parsed holds");
  const auto again = scheduler::ParseRequest(ToText(*request));
  fuzz::Require(again.ok() && *again == *request, "what was parsed means what its text means");
  return 0;
}
