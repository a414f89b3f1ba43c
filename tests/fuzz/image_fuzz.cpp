// A module image as a client sends it: a fatbin container, one that nvcc linked with those it was linked from, or text.
#include <string>
#include <vector>

#include "server/module/image.h"
#include "tests/fuzz/input.h"

namespace accelmesh::fuzz {
namespace {

void Run(Input input) {
  const ByteView image = input.Rest();
  for (const std::uint32_t capability : {75u, 120u}) {
    const Result<std::vector<std::string>> texts = ExtractTexts(image, capability);
    if (texts.ok()) {
      Require(!texts->empty(), "an image holds a text");
      for (const std::string& text : *texts) Require(text.find('\0') == std::string::npos, "text ends at its padding");
    } else {
      Require(texts.status().text().size() < 2000, "an error is short");
    }
  }
}

}  // namespace
}  // namespace accelmesh::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  accelmesh::fuzz::Run(accelmesh::fuzz::Input(data, size));
  return 0;
}
