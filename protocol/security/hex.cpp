// Apart from the keys, so that the preload, which has no libsodium, can read a lease file.
#include "protocol/security/keys.h"

namespace accelmesh::security {
namespace {

int HexDigit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

}  // namespace

std::string HexOf(ByteView bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

Status ParseHex(std::string_view text, MutableByteView bytes) {
  const Status bad(Code::kInvalidArgument, "ParseHex",
                   "is not " + std::to_string(2 * bytes.size()) + " lower-case hexadecimal digits");
  if (text.size() != 2 * bytes.size()) return bad;
  for (const char c : text) {
    if (HexDigit(c) < 0) return bad;
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(HexDigit(text[2 * i]) << 4 | HexDigit(text[2 * i + 1]));
  }
  return Status::Ok();
}

}  // namespace accelmesh::security
