#include "server/session/plan_memory.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "server/session/hash.h"
#include "server/session/library_memory_file.h"
#include "server/session/own_file.h"

namespace accelmesh {
namespace {

constexpr std::size_t kHeadBytes = 64;  // of a record, or fewer

}  // namespace

Bytes PlanMemory::Owned(ByteView key) const {
  Bytes owned(owner_.begin(), owner_.end());
  owned.insert(owned.end(), key.begin(), key.end());
  return owned;
}

// The owner has a hash of its own, so that nobody chooses a key whose place is another's. Who makes two of the own that
// are alike has two plans in one place, and makes one of them again.
std::string PlanMemory::PathOf(ByteView owned) const {
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "%016llx%016llx",
                static_cast<unsigned long long>(HashOf(owned.first(owner_.size()))),
                static_cast<unsigned long long>(HashOf(owned)));
  return folder_ + "/" + name.data();
}

std::optional<Bytes> PlanMemory::Find(ByteView key) {
  if (folder_.empty() || key.size() > kKeyBytesMax) return std::nullopt;
  const Bytes owned = Owned(key);
  const OwnFile file(PathOf(owned), O_RDONLY);
  if (file.fd() < 0 || file.bytes() > kHeadBytes + owned.size() + kPlanBytesMax) return std::nullopt;
  const Bytes all = Contents(file.fd(), file.bytes());
  const LibraryMemoryFile::Parsed parsed = LibraryMemoryFile::Parse(all);
  if (parsed.records.size() != 1 || parsed.whole_bytes != all.size()) return std::nullopt;
  const LibraryMemoryFile::Record& record = parsed.records.front();
  if (!std::equal(record.key.begin(), record.key.end(), owned.begin(), owned.end())) return std::nullopt;
  (void)::futimens(file.fd(), nullptr);  // used last
  return Bytes(record.results.begin(), record.results.end());
}

void PlanMemory::Keep(ByteView key, ByteView plan) {
  if (folder_.empty() || key.size() > kKeyBytesMax || plan.size() > kPlanBytesMax) return;
  std::error_code error;
  if (std::filesystem::create_directories(folder_, error)) ::chmod(folder_.c_str(), S_IRWXU);
  const Bytes owned = Owned(key);
  const std::string path = PathOf(owned);
  const std::string beside = path + "." + std::to_string(::getpid()) + "-" + std::to_string(++kept_);
  {
    const OwnFile file(beside, O_WRONLY | O_CREAT | O_EXCL);
    if (file.fd() < 0) return;
    if (!WriteAll(file.fd(), LibraryMemoryFile::Write({owned, 0, plan}))) {
      ::unlink(beside.c_str());
      return;
    }
  }
  if (::rename(beside.c_str(), path.c_str()) != 0) ::unlink(beside.c_str());
  MakeRoom();
}

// A quarter goes at once, so that few look at every file's time.
void PlanMemory::MakeRoom() const {
  std::error_code error;
  std::vector<std::filesystem::path> all;
  for (std::filesystem::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error))
    all.push_back(at->path());
  if (all.size() <= plans_max_) return;
  std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> by_time;
  for (std::filesystem::path& path : all) {
    const auto time = std::filesystem::last_write_time(path, error);
    if (!error) by_time.emplace_back(time, std::move(path));
  }
  std::sort(by_time.begin(), by_time.end());
  const std::size_t left = plans_max_ - plans_max_ / 4;
  for (std::size_t i = 0; i + left < by_time.size(); ++i) ::unlink(by_time[i].second.c_str());
}

}  // namespace accelmesh
