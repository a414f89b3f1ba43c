// The Merkle tree of RFC 6962, section 2: hashes, roots, proofs that an entry is in a tree and that one tree extends
// another, and their verification. Verification follows RFC 9162, sections 2.1.3.2 and 2.1.4.2 (the same trees).
//
//   root of nothing   SHA-256("")
//   leaf              SHA-256(0x00 entry)
//   node              SHA-256(0x01 left right), left being the largest complete subtree that leaves something right
//
// Pure: what a proof is made from comes through a NodeSource. Proofs may be anything: they are bounded and verified.
// Threads: values and functions; a NodeSource says itself.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/base/result.h"

namespace accelmesh::market::ledger {

using Hash = std::array<std::uint8_t, 32>;

// Entries of a tree; far from where sizes overflow.
inline constexpr std::uint64_t kTreeSizeMax = std::uint64_t{1} << 56;
// Of a proof (C2SP tlog-witness allows as many).
inline constexpr std::size_t kProofHashesMax = 63;

Hash Sha256(ByteView bytes);
Hash LeafHash(ByteView entry);
Hash NodeHash(const Hash& left, const Hash& right);
Hash EmptyRoot();
Hash RootOf(std::span<const Hash> leaves);

// A growing tree, kept as the roots of its complete subtrees from the largest to the smallest: what is needed to
// append.
class Frontier {
 public:
  // Of the entries before `index`, as the proof of that entry in a tree of `size` shows them. Precondition: it was
  // verified (VerifyInclusion).
  static Frontier Before(std::uint64_t index, std::uint64_t size, std::span<const Hash> proof);
  void Append(const Hash& leaf);
  std::uint64_t size() const { return size_; }
  Hash Root() const;

 private:
  std::uint64_t size_ = 0;
  std::vector<Hash> roots_;
};

// A complete subtree: the entries from index << height on, 1 << height of them.
struct Node {
  unsigned height = 0;
  std::uint64_t index = 0;
};
class NodeSource {
 public:
  virtual ~NodeSource() = default;
  virtual Result<Hash> At(Node node) const = 0;
};

// Of the tree that the first `size` entries are. kInvalidArgument if a size or an index is none.
Result<Hash> RootAt(const NodeSource& nodes, std::uint64_t size);
Result<std::vector<Hash>> ProveInclusion(const NodeSource& nodes, std::uint64_t index, std::uint64_t size);
Result<std::vector<Hash>> ProveConsistency(const NodeSource& nodes, std::uint64_t old_size, std::uint64_t new_size);

struct TreeHead {
  std::uint64_t size = 0;
  Hash root{};
  bool operator==(const TreeHead&) const = default;
};
// kPermissionDenied if the proof does not show it, kBadFrame if it is none for these sizes.
Status VerifyInclusion(const Hash& leaf, std::uint64_t index, std::span<const Hash> proof, const TreeHead& head);
Status VerifyConsistency(const TreeHead& older, const TreeHead& newer, std::span<const Hash> proof);
// The older root that a proof shows `newer` to have had at `old_size`, whatever anybody said of it. kUnsupported for
// an old size that is a power of two: such a proof leaves the older root out.
Result<Hash> OlderRootShown(std::uint64_t old_size, const TreeHead& newer, std::span<const Hash> proof);

}  // namespace accelmesh::market::ledger
