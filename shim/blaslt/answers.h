// What the server's library has answered, by what it was asked: a question is asked once in a process.
//
// Threads: everything from any thread. Two threads may ask the same at a time, and hear the same.
#pragma once

#include <cublasLt.h>

#include <memory>
#include <string_view>
#include <unordered_map>

#include "protocol/base/bytes.h"
#include "protocol/base/mutex.h"

namespace accelmesh::blaslt {

struct Answer {
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  Bytes bytes;
};

class Answers {
 public:
  explicit Answers(std::size_t capacity) : capacity_(capacity) {}
  // Null: not asked yet, or forgotten.
  std::shared_ptr<const Answer> Find(ByteView question) const;
  // Forgets some other one where there is no room.
  void Remember(ByteView question, std::shared_ptr<const Answer> answer);
  std::size_t capacity() const;
  void SetCapacity(std::size_t capacity);

 private:
  // Of whole words, in four lanes that do not wait for one another: every product is looked up.
  static std::size_t HashOf(ByteView question);
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(ByteView bytes) const { return HashOf(bytes); }
    std::size_t operator()(const Bytes& bytes) const { return (*this)(ByteView(bytes)); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(ByteView a, ByteView b) const { return AsText(a) == AsText(b); }
  };

  void MakeRoom(std::size_t entries) ACCELMESH_REQUIRES(mu_);

  mutable Mutex mu_;
  std::size_t capacity_ ACCELMESH_GUARDED_BY(mu_);
  std::unordered_map<Bytes, std::shared_ptr<const Answer>, Hash, Equal> known_ ACCELMESH_GUARDED_BY(mu_);
};

// Which algorithms there are for problems: what cublasLtHeuristicsCacheSetCapacity() is about.
Answers& Heuristics();
// Whether an algorithm is one for a problem, and what else is asked about algorithms.
Answers& Algorithms();

}  // namespace accelmesh::blaslt
