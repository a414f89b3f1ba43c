#include "shim/core/library_table.h"

#include "protocol/base/limits.h"
#include "protocol/library/packed_words.h"

namespace accelmesh {

std::shared_ptr<const Bytes> LibraryTable::Functions(std::uint32_t library, std::uint32_t device) const {
  const MutexLock lock(mu_);
  const auto known = functions_.find({library, device});
  return known != functions_.end() ? known->second : nullptr;
}

// Keeps what the server remembers of a question. False: it sends more than is kept.
bool LibraryTable::Take(const wire::LibraryRemembered& answer, std::size_t* room, Answers* answers) {
  if (answer.question() == nullptr || answer.results() == nullptr) return true;
  const std::size_t bytes = answer.question()->size() + answer.results()->size();
  if (bytes > *room) return false;
  *room -= bytes;
  Bytes question(answer.question()->begin(), answer.question()->end());
  if (IsPacked(question)) {
    Result<Bytes> unpacked = UnpackWords(question);
    if (!unpacked.ok()) return true;
    question = *std::move(unpacked);
  }
  answers->try_emplace(std::move(question), answer.status(), Bytes(answer.results()->begin(), answer.results()->end()));
  return true;
}

std::shared_ptr<const Bytes> LibraryTable::Add(std::uint32_t library, std::uint32_t device,
                                               const wire::LibraryInfo& info) {
  auto found = std::make_shared<Bytes>();
  if (const auto* bits = info.functions(); bits != nullptr) found->assign(bits->begin(), bits->end());
  const MutexLock lock(mu_);
  if (info.answers() != nullptr) {
    std::size_t room = limits::kRememberedBytesMax;
    for (const wire::LibraryRemembered* answer : *info.answers()) {
      if (!Take(*answer, &room, &answers_[{library, device, answer->function()}])) break;
    }
  }
  return functions_.try_emplace({library, device}, std::move(found)).first->second;
}

bool LibraryTable::FindAnswer(std::uint32_t library, std::uint32_t function, std::uint32_t device, ByteView question,
                              std::uint32_t* status, Bytes* results) const {
  const MutexLock lock(mu_);
  const auto answers = answers_.find({library, device, function});
  if (answers == answers_.end()) return false;
  const auto known = answers->second.find(Bytes(question.begin(), question.end()));
  if (known == answers->second.end()) return false;
  std::tie(*status, *results) = known->second;
  return true;
}

}  // namespace accelmesh
