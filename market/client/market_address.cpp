#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "market/client/market_client.h"
#include "protocol/security/curve.h"

namespace accelmesh::market {
namespace {

constexpr char kWhere[] = "MarketAddress";
constexpr std::size_t kUrlsMax = 16;

std::string ConfigFolder() {
  const char* config = std::getenv("XDG_CONFIG_HOME");
  if (config != nullptr && *config != '\0') return std::string(config) + "/accelmesh";
  const char* home = std::getenv("HOME");
  return home != nullptr ? std::string(home) + "/.config/accelmesh" : std::string();
}

Result<security::PublicKey> ReadKeyFile(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  if (!file || !std::getline(file, text)) {
    return Status(
        Code::kNotFound, kWhere,
        "the market's key is not in " + path +
            "; a slot-market of this user writes it when it starts; of another one copy market.pub from where "
            "it runs, or give --market-key HEX");
  }
  security::PublicKey key;
  if (!security::ParseHex(text, key.bytes).ok()) {
    return Status(Code::kInvalidArgument, kWhere, path + " holds no key; it is one line of 64 hexadecimal digits");
  }
  return key;
}

}  // namespace

Result<std::vector<std::string>> ParseMarketUrls(std::string_view text) {
  std::vector<std::string> urls;
  while (true) {
    const std::size_t comma = text.find(',');
    const std::string url(text.substr(0, comma));
    if (!url.starts_with("tcp://") && !url.starts_with("ipc://")) {
      return Status(Code::kInvalidArgument, kWhere,
                    "\"" + url.substr(0, 80) + "\" is no market's address; it looks like tcp://127.0.0.1:7710");
    }
    urls.push_back(url);
    if (urls.size() > kUrlsMax) return Status(Code::kInvalidArgument, kWhere, "a market has at most 16 addresses");
    if (comma == std::string_view::npos) return urls;
    text.remove_prefix(comma + 1);
  }
}

Result<security::PublicKey> FindMarketKey(const std::string& text) {
  std::string source = text;
  if (source.empty()) {
    const char* named = std::getenv("ACCELMESH_MARKET_KEY");
    source = named != nullptr && *named != '\0' ? named : ConfigFolder() + "/market.pub";
  }
  security::PublicKey key;
  if (source.size() == 2 * security::kKeyBytes && security::ParseHex(source, key.bytes).ok()) {
    if (security::CurveKeyOf(key).ok()) return key;
    return Status(Code::kInvalidArgument, kWhere,
                  "the market's key " + source + " is no key; it is the line in market.pub where slot-market runs");
  }
  Result<security::PublicKey> read = ReadKeyFile(source);
  const bool is_hex = source.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
  if (read.code() == Code::kNotFound && is_hex) {
    return Status(Code::kInvalidArgument, kWhere,
                  "the market's key \"" + source.substr(0, 80) + "\" has " + std::to_string(source.size()) +
                      " digits and not 64; it is the line in market.pub where slot-market runs");
  }
  return read;
}

}  // namespace accelmesh::market
