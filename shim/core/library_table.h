// What a session knows of NVIDIA's libraries on its server: which functions run there, the numbers of what handles are
// set to, and what was answered and need not be asked again.
//
// Threads: any.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "protocol/base/bytes.h"
#include "protocol/base/mutex.h"
#include "protocol/base/result.h"
#include "protocol/schema/commands_generated.h"

namespace accelmesh {

class LibraryTable {
 public:
  // A bit for each function that the server runs for the device; null if the library was not opened for it.
  std::shared_ptr<const Bytes> Functions(std::uint32_t library, std::uint32_t device) const;
  // Takes what the server said of a library that it has opened; returns its functions. Of two threads that opened it at
  // a time the first one counts.
  std::shared_ptr<const Bytes> Add(std::uint32_t library, std::uint32_t device, const wire::LibraryInfo& info);
  // The number of these words. If they are new, `post` tells the server the next one, under the lock: so numbers come
  // to it in their order. kLimitExceeded if there are too many.
  template <typename Post>
  Result<std::uint32_t> Settings(std::uint32_t library, const Bytes& words, std::uint32_t settings_max, Post post) {
    const MutexLock lock(mu_);
    std::map<Bytes, std::uint32_t>& numbers = settings_[library];
    if (const auto known = numbers.find(words); known != numbers.end()) return known->second;
    const auto next = static_cast<std::uint32_t>(numbers.size());
    if (next >= settings_max) {
      return Status(Code::kLimitExceeded, "LibraryTable::Settings",
                    "handles were set to more different values than a session remembers");
    }
    ACCELMESH_RETURN_IF_ERROR(post(next));
    numbers.emplace(words, next);
    return next;
  }
  // Whether the server has said what it would answer to this question.
  bool FindAnswer(std::uint32_t library, std::uint32_t function, std::uint32_t device, ByteView question,
                  std::uint32_t* status, Bytes* results) const;

 private:
  using Answers = std::map<Bytes, std::pair<std::uint32_t, Bytes>>;  // by words: the library's status, and results
  static bool Take(const wire::LibraryRemembered& answer, std::size_t* room, Answers* answers);

  mutable Mutex mu_;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::shared_ptr<const Bytes>> functions_
      ACCELMESH_GUARDED_BY(mu_);                                                                // by library, device
  std::map<std::uint32_t, std::map<Bytes, std::uint32_t>> settings_ ACCELMESH_GUARDED_BY(mu_);  // by library, words
  std::map<std::array<std::uint32_t, 3>, Answers> answers_
      ACCELMESH_GUARDED_BY(mu_);  // by library, device and function
};

}  // namespace accelmesh
