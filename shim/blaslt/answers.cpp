#include "shim/blaslt/answers.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace accelmesh::blaslt {
namespace {

constexpr std::size_t kCapacity = 8192;  // of the library's own cache of heuristics, if nobody sets it

}  // namespace

std::size_t Answers::HashOf(ByteView question) {
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15ull;
  std::array<std::uint64_t, 4> lanes{question.size(), 1, 2, 3};
  std::array<std::uint64_t, 4> words{};
  while (!question.empty()) {
    const std::size_t bytes = std::min(question.size(), sizeof(words));
    std::memcpy(words.data(), question.data(), bytes);
    for (std::size_t lane = 0; lane < lanes.size(); ++lane)
      lanes[lane] = (std::rotl(lanes[lane], 29) ^ words[lane]) * kOdd;
    question = question.subspan(bytes);
  }
  std::uint64_t hash = 0;
  for (const std::uint64_t lane : lanes) hash = (std::rotl(hash, 29) ^ lane ^ lane >> 32) * kOdd;
  return hash ^ hash >> 32;
}

std::shared_ptr<const Answer> Answers::Find(ByteView question) const {
  const MutexLock lock(mu_);
  const auto found = known_.find(question);
  return found == known_.end() ? nullptr : found->second;
}

void Answers::Remember(ByteView question, std::shared_ptr<const Answer> answer) {
  const MutexLock lock(mu_);
  if (capacity_ == 0) return;
  MakeRoom(capacity_ - 1);
  known_.insert_or_assign(Bytes(question.begin(), question.end()), std::move(answer));
}

std::size_t Answers::capacity() const {
  const MutexLock lock(mu_);
  return capacity_;
}

void Answers::SetCapacity(std::size_t capacity) {
  const MutexLock lock(mu_);
  capacity_ = capacity;
  MakeRoom(capacity);
}

void Answers::MakeRoom(std::size_t entries) {
  while (known_.size() > entries) known_.erase(known_.begin());
}

Answers& Heuristics() {
  static auto* answers = new Answers(kCapacity);
  return *answers;
}
Answers& Algorithms() {
  static auto* answers = new Answers(kCapacity);
  return *answers;
}

}  // namespace accelmesh::blaslt
