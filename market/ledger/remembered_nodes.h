// RememberedNodes: proofs of one batch have most of their nodes in common; each is asked for once.
//
// Threads: one at a time.
#pragma once

#include <map>
#include <utility>

#include "market/ledger/merkle.h"

namespace accelmesh::market::ledger {

class RememberedNodes final : public NodeSource {
 public:
  // `nodes` outlives it, and does not change meanwhile.
  explicit RememberedNodes(const NodeSource& nodes) : nodes_(nodes) {}
  Result<Hash> At(Node node) const override {
    const auto known = hashes_.find({node.height, node.index});
    if (known != hashes_.end()) return known->second;
    Result<Hash> hash = nodes_.At(node);
    if (hash.ok()) hashes_[{node.height, node.index}] = *hash;
    return hash;
  }

 private:
  const NodeSource& nodes_;
  mutable std::map<std::pair<unsigned, std::uint64_t>, Hash> hashes_;
};

}  // namespace accelmesh::market::ledger
