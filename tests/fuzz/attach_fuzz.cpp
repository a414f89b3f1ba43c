// An Attach, the first message of a socket, as the worker judges it.
#include "protocol/transport/messages.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace accelmesh;
  fuzz::Input input(data, size);
  const std::uint8_t lane = input.Number<std::uint8_t>() % 5;
  Bytes secret(32);
  for (std::size_t i = 0; i < secret.size(); ++i) secret[i] = static_cast<std::uint8_t>(7 * i + 1);
  const ByteView message = input.Rest();
  const bool fits = AttachFits(message, lane, secret);
  // Who gets in must have brought the secret.
  const auto held = std::search(message.begin(), message.end(), secret.begin(), secret.end());
  fuzz::Require(!fits || held != message.end(), "a peer got in without the secret");
  return 0;
}
