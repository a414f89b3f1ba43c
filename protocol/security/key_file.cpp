#include "protocol/security/key_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace accelmesh::security {
namespace {

constexpr std::array<std::string_view, 4> kRoleNames = {"tenant", "provider", "admin", "witness"};

class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int get() const { return descriptor_; }

 private:
  const int descriptor_;
};

bool IsIdentityName(std::string_view name) {
  return !name.empty() && name.size() <= 32 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

Status BadName(const std::string& where) {
  return {Code::kInvalidArgument, where,
          "a name of a key has 1 to 32 lower-case letters, digits and '-'; write alice-2"};
}

// Whether others may look at what `facts` are of.
Status CheckPrivate(const struct stat& facts, const std::string& path, const char* mode) {
  if (facts.st_uid != ::geteuid()) {
    return {Code::kPermissionDenied, "KeyFolder", path + " belongs to another user; use a key of your own"};
  }
  if ((facts.st_mode & 0077) != 0) {
    return {Code::kPermissionDenied, "KeyFolder",
            path + " can be read or written by others: chmod " + mode + " it, and rotate its keys if others were here"};
  }
  return Status::Ok();
}

// Takes "NAME VALUE\n" off a text.
bool TakeLine(std::string_view& text, std::string_view name, std::string_view& value) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos || text.substr(0, name.size()) != name || end <= name.size() ||
      text[name.size()] != ' ') {
    return false;
  }
  value = text.substr(name.size() + 1, end - name.size() - 1);
  text.remove_prefix(end + 1);
  return true;
}

Result<std::string> ReadPrivate(const std::string& path) {
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (file.get() < 0) {
    if (errno == ENOENT)
      return Status(Code::kNotFound, "KeyFolder", path + " is not there; create it with slotctl keys create");
    return Status::System(errno, "KeyFolder", path + " cannot be opened");
  }
  struct stat facts{};
  if (::fstat(file.get(), &facts) != 0) return Status::System(errno, "KeyFolder", path);
  if (!S_ISREG(facts.st_mode)) return Status(Code::kInvalidArgument, "KeyFolder", path + " is no file; remove it");
  ACCELMESH_RETURN_IF_ERROR(CheckPrivate(facts, path, "600"));
  std::string text(KeyFolder::kFileBytesMax + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Status::System(errno, "KeyFolder", path + " cannot be read");
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  if (size > KeyFolder::kFileBytesMax) {
    return Status(Code::kInvalidArgument, "KeyFolder", path + " is larger than a key file; restore it from a backup");
  }
  text.resize(size);
  return text;
}

// A new file with these bytes on disk. kInvalidArgument if the name is taken.
Status WritePrivate(const std::string& path, std::string_view text) {
  const File file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.get() < 0) {
    if (errno == EEXIST) {
      return {Code::kInvalidArgument, "KeyFolder",
              path + " is there already; another key is being made, or remove what one left"};
    }
    return Status::System(errno, "KeyFolder", path + " cannot be made");
  }
  while (!text.empty()) {
    const ssize_t put = ::write(file.get(), text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      const int error = errno;
      ::unlink(path.c_str());
      return Status::System(error, "KeyFolder", path + " cannot be written");
    }
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  if (::fsync(file.get()) == 0) return Status::Ok();
  const int error = errno;
  ::unlink(path.c_str());
  return Status::System(error, "KeyFolder", path + " cannot be written to disk");
}

void SyncFolder(const std::string& path) {
  const File folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) (void)::fsync(folder.get());
}

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

std::string_view Name(Role role) { return kRoleNames[static_cast<std::size_t>(role)]; }

Result<Role> ParseRole(std::string_view name) {
  for (std::size_t i = 0; i < kRoleNames.size(); ++i) {
    if (kRoleNames[i] == name) return static_cast<Role>(i);
  }
  return Status(Code::kInvalidArgument, "ParseRole", "no such role; there are tenant, provider, admin and witness");
}

Result<std::string> DefaultKeyFolder() {
  const auto absolute = [](const char* name) -> std::string {
    const char* const value = std::getenv(name);
    return value != nullptr && *value == '/' ? value : "";
  };
  std::string folder = absolute("XDG_CONFIG_HOME");
  if (folder.empty() && !absolute("HOME").empty()) folder = absolute("HOME") + "/.config";
  if (folder.empty())
    return Status(Code::kNotFound, "DefaultKeyFolder", "neither XDG_CONFIG_HOME nor HOME names a folder for keys");
  folder += "/accelmesh";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return Status::System(error.value(), "DefaultKeyFolder", folder + " cannot be made");
  return folder + "/keys";
}

std::string KeyText(const Identity& identity) {
  return "accelmesh-key 1\nname " + identity.name + "\nrole " + std::string(Name(identity.role)) + "\ncreated-ms " +
         std::to_string(identity.created_ms) + "\ned25519-seed " + HexOf(identity.key.seed()) + "\n";
}

Result<Identity> ParseKeyText(std::string_view text) {
  const auto bad = [](const char* what) {
    return Status(Code::kInvalidArgument, "ParseKeyText",
                  std::string(what) + "; restore the file from a backup, or make a new key");
  };
  if (text.size() > KeyFolder::kFileBytesMax) return bad("larger than a key file");
  std::string_view version, name, role_name, created, seed;
  if (!TakeLine(text, "accelmesh-key", version)) return bad("no key file");
  if (version != "1") return bad("a key file of another version");
  if (!TakeLine(text, "name", name) || !IsIdentityName(name)) return bad("no name of a key in its second line");
  if (!TakeLine(text, "role", role_name)) return bad("no role in its third line");
  ACCELMESH_ASSIGN_OR_RETURN(const Role role, ParseRole(role_name));
  std::int64_t created_ms = 0;
  if (!TakeLine(text, "created-ms", created)) return bad("no time in its fourth line");
  const auto [end, error] = std::from_chars(created.data(), created.data() + created.size(), created_ms);
  if (error != std::errc() || end != created.data() + created.size() || created_ms < 0)
    return bad("no time in its fourth line");
  if (!TakeLine(text, "ed25519-seed", seed) || !text.empty()) return bad("no seed in its fifth and last line");
  std::array<std::uint8_t, kKeyBytes> bytes{};
  if (!ParseHex(seed, bytes).ok()) return bad("no seed of 64 hexadecimal digits in its fifth line");
  Result<SigningKey> key = SigningKey::FromSeed(bytes);
  ::sodium_memzero(bytes.data(), bytes.size());
  if (!key.ok()) return key.status();
  return Identity{std::string(name), role, created_ms, std::move(key).value()};
}

Status KeyFolder::CheckFolder() const {
  struct stat facts{};
  if (::lstat(path_.c_str(), &facts) != 0) {
    if (errno == ENOENT)
      return {Code::kNotFound, "KeyFolder", path_ + " is not there; create a key with slotctl keys create"};
    return Status::System(errno, "KeyFolder", path_);
  }
  if (!S_ISDIR(facts.st_mode)) return {Code::kInvalidArgument, "KeyFolder", path_ + " is no folder; name another"};
  return CheckPrivate(facts, path_, "700");
}

Result<Identity> KeyFolder::Create(const std::string& name, Role role, std::int64_t now_ms) const {
  if (!IsIdentityName(name)) return BadName("KeyFolder::Create.name");
  if (::mkdir(path_.c_str(), 0700) != 0 && errno != EEXIST) {
    return Status::System(errno, "KeyFolder::Create", path_ + " cannot be made");
  }
  ACCELMESH_RETURN_IF_ERROR(CheckFolder());
  ACCELMESH_ASSIGN_OR_RETURN(SigningKey key, SigningKey::Generate());
  Identity identity{name, role, now_ms, std::move(key)};
  const std::string path = FileOf(name);
  const std::string beside = path + ".new";
  std::string text = KeyText(identity);
  const Status written = WritePrivate(beside, text);
  ::sodium_memzero(text.data(), text.size());
  ACCELMESH_RETURN_IF_ERROR(written);
  // A link, unlike a rename, takes nobody's place.
  const int error = ::link(beside.c_str(), path.c_str()) == 0 ? 0 : errno;
  ::unlink(beside.c_str());
  if (error == EEXIST) {
    return Status(Code::kInvalidArgument, "KeyFolder::Create.name",
                  "there is a key " + name + " already; rotate it, or take another name");
  }
  if (error != 0) return Status::System(error, "KeyFolder::Create", path + " cannot be made");
  SyncFolder(path_);
  return identity;
}

Result<Identity> KeyFolder::Load(const std::string& name) const {
  if (!IsIdentityName(name)) return BadName("KeyFolder::Load.name");
  ACCELMESH_RETURN_IF_ERROR(CheckFolder());
  const std::string path = FileOf(name);
  ACCELMESH_ASSIGN_OR_RETURN(std::string text, ReadPrivate(path));
  Result<Identity> identity = ParseKeyText(text);
  ::sodium_memzero(text.data(), text.size());
  if (!identity.ok()) return Status(identity.code(), "KeyFolder::Load", path + ": " + identity.status().text());
  if (identity->name != name) {
    return Status(Code::kInvalidArgument, "KeyFolder::Load",
                  path + " is the key of " + identity->name + "; rename the file back");
  }
  return identity;
}

Result<std::vector<IdentityFacts>> KeyFolder::List() const {
  std::vector<IdentityFacts> all;
  const Status folder = CheckFolder();
  if (folder.code() == Code::kNotFound) return all;
  ACCELMESH_RETURN_IF_ERROR(folder);
  DIR* const directory = ::opendir(path_.c_str());
  if (directory == nullptr) return Status::System(errno, "KeyFolder::List", path_);
  while (const dirent* entry = ::readdir(directory)) {
    const std::string_view file = entry->d_name;
    const bool is_old = EndsWith(file, ".old");
    if (!is_old && !EndsWith(file, ".key")) continue;
    IdentityFacts facts;
    facts.path = path_ + "/" + std::string(file);
    const Result<std::string> text = ReadPrivate(facts.path);
    const Result<Identity> identity = text.ok() ? ParseKeyText(*text) : Result<Identity>(text.status());
    if (identity.ok()) {
      facts.name = identity->name;
      facts.role = identity->role;
      facts.created_ms = identity->created_ms;
      facts.public_key = identity->key.public_key();
      facts.is_old = is_old;
    } else {
      facts.fault = identity.status().text();
    }
    all.push_back(std::move(facts));
  }
  ::closedir(directory);
  std::sort(all.begin(), all.end(), [](const IdentityFacts& a, const IdentityFacts& b) { return a.path < b.path; });
  return all;
}

Result<Identity> KeyFolder::Rotate(const std::string& name, std::int64_t now_ms) const {
  ACCELMESH_ASSIGN_OR_RETURN(const Identity old, Load(name));
  const std::string path = FileOf(name);
  const std::string kept = path_ + "/" + name + "." + std::to_string(old.created_ms) + ".old";
  ACCELMESH_ASSIGN_OR_RETURN(SigningKey key, SigningKey::Generate());
  // Later than the old one even if the clock stands still: the kept files are told apart by it.
  Identity identity{name, old.role, std::max(now_ms, old.created_ms + 1), std::move(key)};
  const std::string beside = path + ".new";
  std::string text = KeyText(identity);
  const Status written = WritePrivate(beside, text);
  ::sodium_memzero(text.data(), text.size());
  ACCELMESH_RETURN_IF_ERROR(written);
  // The old one gets its second name first: at no moment is it lost.
  if ((::link(path.c_str(), kept.c_str()) != 0 && errno != EEXIST) || ::rename(beside.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(beside.c_str());
    return Status::System(error, "KeyFolder::Rotate", path + " cannot be replaced");
  }
  SyncFolder(path_);
  return identity;
}

}  // namespace accelmesh::security
