#include "server/session/library_memory.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "server/session/hash.h"

namespace accelmesh {
namespace {

void Append(Bytes& bytes, ByteView more) { bytes.insert(bytes.end(), more.begin(), more.end()); }

// Of a key: owner and identity, function.
constexpr std::size_t kMarkBytes = sizeof(LibraryMemory::Owner) + sizeof(std::uint64_t);
constexpr std::size_t kFrontBytes = kMarkBytes + sizeof(std::uint32_t);

}  // namespace

std::string LibraryMemory::PathOf(const std::string& name) {
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && cache[0] == '/') return std::string(cache) + "/accelmesh/" + name;
  const char* const home = std::getenv("HOME");
  return home == nullptr || home[0] != '/' ? std::string() : std::string(home) + "/.cache/accelmesh/" + name;
}

Bytes LibraryMemory::KeyOf(const std::string& identity, std::uint32_t function, ByteView question) const {
  Bytes key;
  key.reserve(kFrontBytes + question.size());
  Append(key, owner_);
  // Identities are our own words, a handful on a machine: nobody looks for two that are alike.
  Append(key, AsBytes(HashOf(AsBytes(std::string_view(identity)))));
  Append(key, AsBytes(function));
  Append(key, question);
  return key;
}

void LibraryMemory::Read() {
  if (std::exchange(is_read_, true)) return;
  const Bytes file = file_.Read();
  for (const LibraryMemoryFile::Record& record : LibraryMemoryFile::Parse(file).records) {
    if (record.key.size() < kFrontBytes) continue;
    Insert(Bytes(record.key.begin(), record.key.end()),
           {record.status, Bytes(record.results.begin(), record.results.end())}, false);
  }
}

void LibraryMemory::Insert(Bytes key, LibraryAnswer answer, bool is_ours) {
  const auto [at, is_new] = entries_.try_emplace(std::move(key));
  if (is_new) bytes_ += at->first.size();
  bytes_ -= at->second.answer.results.size();
  bytes_ += answer.results.size();
  at->second = {std::move(answer), ++last_age_, is_ours};
  MakeRoom();
}

void LibraryMemory::MakeRoom() {
  if (bytes_ <= LibraryMemoryFile::kFileBytesMax) return;
  std::vector<std::pair<std::uint64_t, const Bytes*>> by_age;
  by_age.reserve(entries_.size());
  for (const auto& [key, entry] : entries_) by_age.emplace_back(entry.age, &key);
  std::sort(by_age.begin(), by_age.end());
  for (const auto& [age, key] : by_age) {
    if (bytes_ <= LibraryMemoryFile::kFileBytesMax / 2) return;
    const auto oldest = entries_.find(*key);
    bytes_ -= oldest->first.size() + oldest->second.answer.results.size();
    entries_.erase(oldest);
  }
}

std::optional<LibraryAnswer> LibraryMemory::Find(const std::string& identity, std::uint32_t function,
                                                 ByteView question) {
  const Bytes key = KeyOf(identity, function, question);
  const MutexLock lock(mu_);
  Read();
  const auto found = entries_.find(key);
  if (found == entries_.end()) return std::nullopt;
  Entry& entry = found->second;
  entry.age = ++last_age_;
  // It had been asked so long ago that the client was not handed it: the next one is.
  if (!std::exchange(entry.is_ours, true)) file_.Append({key, entry.answer.status, entry.answer.results});
  return entry.answer;
}

void LibraryMemory::Keep(const std::string& identity, std::uint32_t function, ByteView question,
                         const LibraryAnswer& answer) {
  if (question.size() > kQuestionBytesMax || answer.results.size() > kResultBytesMax) return;
  Bytes key = KeyOf(identity, function, question);
  const MutexLock lock(mu_);
  Read();
  file_.Append({key, answer.status, answer.results});
  Insert(std::move(key), answer, true);
}

std::vector<LibraryMemory::Remembered> LibraryMemory::All(const std::string& identity) {
  const Bytes front = KeyOf(identity, 0, {});
  const ByteView mark = ByteView(front).first(kMarkBytes);
  std::vector<std::pair<std::uint64_t, Remembered>> found;
  const MutexLock lock(mu_);
  Read();
  for (auto at = entries_.lower_bound(front); at != entries_.end(); ++at) {
    const auto& [key, entry] = *at;
    if (!std::equal(mark.begin(), mark.end(), key.begin())) break;
    Remembered one;
    std::memcpy(&one.function, key.data() + mark.size(), sizeof(one.function));
    one.question.assign(key.begin() + kFrontBytes, key.end());
    one.answer = entry.answer;
    found.emplace_back(entry.age, std::move(one));
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<Remembered> all;
  all.reserve(found.size());
  for (auto& [age, one] : found) all.push_back(std::move(one));
  return all;
}

}  // namespace accelmesh
