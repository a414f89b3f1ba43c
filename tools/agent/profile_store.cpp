#include "tools/agent/profile_store.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

namespace accelmesh::agent {
namespace {

namespace fs = std::filesystem;
constexpr const char* kEnding = ".profile";

class File {
 public:
  explicit File(int number) : number_(number) {}
  ~File() {
    if (number_ >= 0) ::close(number_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int number() const { return number_; }

 private:
  int number_;
};

// Makes room for one more.
void Prune(const std::string& folder) {
  std::error_code error;
  std::vector<std::pair<fs::file_time_type, fs::path>> files;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->path().extension() != kEnding) continue;
    std::error_code gone;
    const auto written = at->last_write_time(gone);
    if (!gone) files.emplace_back(written, at->path());
  }
  if (files.size() < kProfilesMax) return;
  std::sort(files.begin(), files.end());
  for (std::size_t i = 0; i + kProfilesMax <= files.size(); ++i) fs::remove(files[i].second, error);
}

}  // namespace

std::string ProfileStore::UsersFolder() {
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/')
    return std::string(state) + "/accelmesh/profiles";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return std::string(home) + "/.local/state/accelmesh/profiles";
  return {};
}

Result<Profile> ProfileStore::Load(const std::string& key) const {
  const std::string path = folder_ + "/" + key + kEnding;
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (file.number() < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return Profile{};
    return Status::System(errno, "ProfileStore::Load", path);
  }
  struct stat facts{};
  if (::fstat(file.number(), &facts) != 0) return Status::System(errno, "ProfileStore::Load", path);
  if (!S_ISREG(facts.st_mode) || facts.st_uid != ::geteuid() || facts.st_size > static_cast<off_t>(kProfileBytesMax)) {
    return Status(Code::kInvalidArgument, "ProfileStore::Load", path + " is no profile of ours; delete it");
  }
  std::string text(kProfileBytesMax + 1, '\0');
  std::size_t have = 0;
  while (have < text.size()) {
    const ssize_t got = ::read(file.number(), text.data() + have, text.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Status::System(errno, "ProfileStore::Load", path);
    if (got == 0) break;
    have += static_cast<std::size_t>(got);
  }
  text.resize(have);
  Result<Profile> profile = ParseProfile(text);
  if (!profile.ok()) return Status(profile.code(), "ProfileStore::Load", path + ": " + profile.status().text());
  return profile;
}

Status ProfileStore::Save(const std::string& key, const Profile& profile) const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return Status::System(error.value(), "ProfileStore::Save", folder_);
  fs::permissions(folder_, fs::perms::owner_all, error);
  Prune(folder_);
  const std::string path = folder_ + "/" + key + kEnding;
  const std::string beside = path + "." + std::to_string(::getpid());
  {
    const File file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (file.number() < 0) return Status::System(errno, "ProfileStore::Save", beside);
    const std::string text = ToText(profile);
    if (::write(file.number(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
      const int number = errno;
      ::unlink(beside.c_str());
      return Status::System(number, "ProfileStore::Save", beside);
    }
  }
  if (::rename(beside.c_str(), path.c_str()) != 0) {
    const int number = errno;
    ::unlink(beside.c_str());
    return Status::System(number, "ProfileStore::Save", path);
  }
  return Status::Ok();
}

}  // namespace accelmesh::agent
