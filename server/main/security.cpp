#include "server/main/security.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "protocol/security/key_file.h"

namespace accelmesh {
namespace {

std::int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Result<security::PublicKey> ReadMarketKey(const std::string& text) {
  security::PublicKey key;
  if (security::ParseHex(text, key.bytes).ok()) return key;
  std::ifstream file(text);
  std::string line;
  if (std::getline(file, line) && security::ParseHex(line, key.bytes).ok()) return key;
  return Status(Code::kInvalidArgument, "gpu-server --market-key",
                "\"" + text.substr(0, 200) +
                    "\" is neither 64 hexadecimal digits nor a file with them; slot-market writes market.pub");
}

Result<security::Identity> OpenIdentity(const security::KeyFolder& folder) {
  Result<security::Identity> identity = folder.Load("server");
  if (identity.code() != Code::kNotFound) return identity;
  return folder.Create("server", security::Role::kProvider, NowMs());
}

Result<std::string> StateFolder(const std::string& named) {
  std::string folder = named;
  const auto absolute = [](const char* name) -> std::string {
    const char* const value = std::getenv(name);
    return value != nullptr && *value == '/' ? value : "";
  };
  if (folder.empty() && !absolute("XDG_STATE_HOME").empty()) folder = absolute("XDG_STATE_HOME") + "/accelmesh";
  if (folder.empty() && !absolute("HOME").empty()) folder = absolute("HOME") + "/.local/state/accelmesh";
  if (folder.empty()) {
    return Status(Code::kNotFound, "gpu-server --state",
                  "neither XDG_STATE_HOME nor HOME names a folder; name one, in which revoked leases are remembered");
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Status::System(error.value(), "gpu-server --state", folder + " cannot be made");
  return folder;
}

}  // namespace

Result<std::shared_ptr<ServerSecurity>> OpenSecurity(const SecurityOptions& options) {
  std::string keys = options.keys;
  if (keys.empty()) {
    ACCELMESH_ASSIGN_OR_RETURN(keys, security::DefaultKeyFolder());
  }
  ACCELMESH_ASSIGN_OR_RETURN(const security::Identity identity, OpenIdentity(security::KeyFolder(keys)));
  ACCELMESH_ASSIGN_OR_RETURN(const std::string state, StateFolder(options.state));
  const std::string server = security::HexOf(identity.key.public_key().bytes);
  // A file for each identity: two servers of one user have one each.
  ACCELMESH_ASSIGN_OR_RETURN(auto epochs, market::EpochFile::Open(state + "/epochs-" + server.substr(0, 16)));
  std::vector<security::PublicKey> markets;
  if (!options.market_key.empty()) {
    ACCELMESH_ASSIGN_OR_RETURN(const security::PublicKey key, ReadMarketKey(options.market_key));
    markets.push_back(key);
  }
  auto opened = std::make_shared<ServerSecurity>();
  ACCELMESH_ASSIGN_OR_RETURN(opened->pair, security::CurvePairOf(identity.key));
  opened->leases = std::make_unique<LeaseBook>(server, std::move(markets), std::move(epochs));
  return opened;
}

}  // namespace accelmesh
