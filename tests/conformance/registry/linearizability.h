// A checker of linearizability for registries, after Wing and Gong, with Lowe's memory of what was tried: it looks for
// an order of the operations that keeps real time (what was answered before something else began comes first) and in
// which a plain model of keys gives every answer that was seen. The model is its own, and shares nothing with the
// stores.
#pragma once

#include "market/registry/registry.h"

namespace accelmesh::registry {

// A transaction as its client saw it. Times are places in the order in which a recorder saw calls and answers.
struct Recorded {
  Txn txn;
  std::uint64_t called = 0;
  std::uint64_t answered = 0;       // of no meaning without a result
  std::optional<TxnResult> result;  // none: nobody knows whether it was applied, or it will be later
  std::string ToString() const;
};

enum class Verdict { kLinearizable, kNot, kUndecided };

struct Judgement {
  Verdict verdict = Verdict::kLinearizable;
  std::uint64_t steps = 0;
  std::string text;  // if it is not: how far an order came, and what did not fit there
};

// Keys that hold something at the beginning have no place in a history.
Judgement CheckLinearizable(std::vector<Recorded> history, std::uint64_t steps_max = 2'000'000);

}  // namespace accelmesh::registry
