#include "server/measure/cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace accelmesh::measure {
namespace {

constexpr std::size_t kFileBytesMax = 1024 * 1024;

// Only what tells devices of one machine apart; the file says the rest.
std::string PathOf(const std::string& folder, const Identity& identity) {
  return folder + "/measured-" + identity.backend + "-" + identity.device_uuid + "-" +
         std::to_string(identity.threads) + ".json";
}

}  // namespace

std::string StateFolder() {
  const char* const state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return std::string(state) + "/accelmesh";
  const char* const home = std::getenv("HOME");
  if (home != nullptr && *home == '/') return std::string(home) + "/.local/state/accelmesh";
  return {};
}

std::optional<Report> LoadReport(const std::string& folder, const Identity& identity) {
  if (folder.empty()) return std::nullopt;
  std::ifstream file(PathOf(folder, identity), std::ios::binary);
  if (!file) return std::nullopt;
  std::string text(kFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kFileBytesMax) return std::nullopt;
  Result<Report> report = ParseReport(text);
  if (!report.ok() || !(report->identity == identity)) return std::nullopt;
  return *std::move(report);
}

Status StoreReport(const std::string& folder, const Report& report) {
  constexpr const char* kWhere = "StoreReport";
  if (folder.empty()) return {Code::kNotFound, kWhere, "neither XDG_STATE_HOME nor HOME names a folder to keep it in"};
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const std::string path = PathOf(folder, report.identity);
  const std::string fresh = path + "." + std::to_string(::getpid());
  const int file = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return Status::System(errno, kWhere, "cannot write " + fresh);
  const std::string text = ToJson(report);
  const bool is_written = ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int why = errno;
  ::close(file);
  if (is_written && std::rename(fresh.c_str(), path.c_str()) == 0) return Status::Ok();
  const int failed = is_written ? errno : why;
  ::unlink(fresh.c_str());
  return Status::System(failed, kWhere, "cannot write " + path);
}

}  // namespace accelmesh::measure
