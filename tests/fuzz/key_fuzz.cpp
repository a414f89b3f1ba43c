// Key files: what parses is written back as it was.
#include "protocol/security/key_file.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto identity = security::ParseKeyText(text);
  if (!identity.ok()) {
    fuzz::Require(!identity.status().text().empty() && identity.status().text().size() < 1024, "a refusal says why");
    return 0;
  }
  const auto again = security::ParseKeyText(KeyText(*identity));
  fuzz::Require(again.ok() && again->key.public_key() == identity->key.public_key() && again->name == identity->name &&
                    again->role == identity->role && again->created_ms == identity->created_ms,
                "what was parsed is written back");
  return 0;
}
