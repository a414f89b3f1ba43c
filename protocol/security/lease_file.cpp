#include "protocol/security/lease_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>

#include "protocol/security/lease_token.h"

namespace accelmesh::security {
namespace {

constexpr std::size_t kUrlBytesMax = 300;

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

Status Bad(const std::string& what) {
  return {Code::kInvalidArgument, "ParseLeaseFile", what + "; get a new lease with mesh-run"};
}

bool IsPlain(std::string_view text, std::size_t bytes_max) {
  return !text.empty() && text.size() <= bytes_max &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

// Reads `key`s value into `file`; false if it is no such value.
bool TakeValue(std::string_view key, std::string_view value, LeaseFile& file) {
  if (key == "endpoint") {
    if (file.endpoints.size() >= kLeaseEndpointsMax || !IsPlain(value, kUrlBytesMax)) return false;
    file.endpoints.emplace_back(value);
    return true;
  }
  if (key == "server-key") return ParseHex(value, file.server_key.bytes).ok();
  if (key == "holder-key") return ParseHex(value, file.holder.key.bytes).ok();
  if (key == "holder-secret") return ParseHex(value, file.holder.secret.bytes).ok();
  if (key == "token") {
    if (value.empty() || value.size() > 2 * kLeaseTokenBytesMax) return false;
    file.token.resize(value.size() / 2);
    return ParseHex(value, file.token).ok();
  }
  if (key == "lease") {
    file.lease = value;
    return IsPlain(value, kLeaseNameBytesMax);
  }
  if (key == "not-after-ms") {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), file.not_after_ms);
    return error == std::errc() && end == value.data() + value.size() && file.not_after_ms > 0;
  }
  return false;
}

Status ReadAll(int file, const std::string& path, std::string& text) {
  text.assign(kLeaseFileBytesMax + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file, text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Status::System(errno, "ReadLeaseFile", path + " cannot be read");
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return Status::Ok();
}

Status WriteAll(int file, const std::string& path, std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = ::write(file, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return Status::System(errno, "WriteLeaseFile", path + " cannot be written");
    text.remove_prefix(static_cast<std::size_t>(put));
  }
  return Status::Ok();
}

}  // namespace

std::string LeaseFileText(const LeaseFile& file) {
  std::string text = "accelmesh-lease 1\n";
  for (const std::string& endpoint : file.endpoints) text += "endpoint " + endpoint + "\n";
  text += "server-key " + HexOf(file.server_key.bytes) + "\n";
  text += "holder-key " + HexOf(file.holder.key.bytes) + "\n";
  text += "holder-secret " + HexOf(file.holder.secret.bytes) + "\n";
  text += "token " + HexOf(file.token) + "\n";
  text += "lease " + file.lease + "\n";
  text += "not-after-ms " + std::to_string(file.not_after_ms) + "\n";
  return text;
}

Result<LeaseFile> ParseLeaseFile(std::string_view text) {
  if (text.size() > kLeaseFileBytesMax) return Bad("larger than a lease file");
  constexpr std::string_view kKeys[] = {"endpoint", "server-key", "holder-key",  "holder-secret",
                                        "token",    "lease",      "not-after-ms"};
  unsigned seen = 0;
  LeaseFile file;
  for (unsigned line = 1; !text.empty(); ++line) {
    const std::string number = "line " + std::to_string(line);
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return Bad(number + " is cut off");
    const std::string_view whole = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (line == 1) {
      if (whole.substr(0, 16) != "accelmesh-lease ") return Bad("no lease file");
      if (whole != "accelmesh-lease 1") {
        return Status(Code::kVersionMismatch, "ParseLeaseFile",
                      "a lease file of another version; use mesh-run and the preload of one release");
      }
      continue;
    }
    const std::size_t space = whole.find(' ');
    const std::string_view name = whole.substr(0, space);
    const auto* const key = std::find(std::begin(kKeys), std::end(kKeys), name);
    if (space == std::string_view::npos || key == std::end(kKeys)) return Bad(number + " has no key of a lease file");
    const unsigned bit = 1u << (key - std::begin(kKeys));
    if ((seen & bit) != 0 && name != "endpoint") return Bad(number + " says " + std::string(*key) + " again");
    seen |= bit;
    if (!TakeValue(name, whole.substr(space + 1), file)) return Bad(number + " is no " + std::string(*key));
  }
  for (unsigned i = 0; i < std::size(kKeys); ++i) {
    if ((seen & 1u << i) == 0) return Bad("it has no " + std::string(kKeys[i]));
  }
  return file;
}

Result<LeaseFile> ReadLeaseFile(const std::string& path) {
  constexpr const char* kWhere = "ReadLeaseFile";
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (file.get() < 0) {
    if (errno == ENOENT) {
      return Status(
          Code::kNotFound, kWhere,
          path + " is not there; a lease that has ended takes its file along: start the program with mesh-run");
    }
    return Status::System(errno, kWhere, path + " cannot be opened");
  }
  struct stat facts{};
  if (::fstat(file.get(), &facts) != 0) return Status::System(errno, kWhere, path);
  if (!S_ISREG(facts.st_mode)) return Status(Code::kInvalidArgument, kWhere, path + " is no file; name a lease file");
  if (facts.st_uid != ::geteuid()) {
    return Status(Code::kPermissionDenied, kWhere, path + " belongs to another user; use a lease of your own");
  }
  if ((facts.st_mode & 0077) != 0) {
    return Status(Code::kPermissionDenied, kWhere,
                  path + " can be read or written by others: chmod 600 it, and get a new lease if others were here");
  }
  std::string text;
  Status read = ReadAll(file.get(), path, text);
  Result<LeaseFile> parsed = read.ok() ? ParseLeaseFile(text) : Result<LeaseFile>(std::move(read));
  ::explicit_bzero(text.data(), text.size());
  if (parsed.ok()) return parsed;
  return Status(parsed.code(), kWhere, path + ": " + parsed.status().text());
}

Status WriteLeaseFile(const std::string& path, const LeaseFile& lease) {
  constexpr const char* kWhere = "WriteLeaseFile";
  std::string beside = path + ".XXXXXX";
  const File file(::mkostemp(beside.data(), O_CLOEXEC));  // mode 0600
  if (file.get() < 0) return Status::System(errno, kWhere, path + " cannot be made");
  std::string text = LeaseFileText(lease);
  Status status = ParseLeaseFile(text).status();  // what cannot be read back is not written
  if (status.ok()) status = WriteAll(file.get(), path, text);
  ::explicit_bzero(text.data(), text.size());
  if (status.ok() && ::rename(beside.c_str(), path.c_str()) != 0) {
    status = Status::System(errno, kWhere, path + " cannot be replaced");
  }
  if (!status.ok()) ::unlink(beside.c_str());
  return status;
}

Result<std::string> LeaseFolder() {
  constexpr const char* kWhere = "LeaseFolder";
  const char* const runtime = std::getenv("XDG_RUNTIME_DIR");
  std::string path = runtime != nullptr && *runtime != '\0' ? std::string(runtime) + "/accelmesh"
                                                            : "/tmp/accelmesh-" + std::to_string(::geteuid());
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return Status::System(errno, kWhere, path + " cannot be made");
  }
  struct stat facts{};
  if (::lstat(path.c_str(), &facts) != 0) return Status::System(errno, kWhere, path);
  if (!S_ISDIR(facts.st_mode) || facts.st_uid != ::geteuid() || (facts.st_mode & 0022) != 0) {
    return Status(Code::kPermissionDenied, kWhere,
                  path + " is not a folder of this user alone; remove it, or set XDG_RUNTIME_DIR to one that is");
  }
  return path;
}

}  // namespace accelmesh::security
