#include "market/ledger/merkle.h"

#include <sodium.h>

#include <bit>
#include <optional>

namespace accelmesh::market::ledger {
namespace {

static_assert(crypto_hash_sha256_BYTES == sizeof(Hash));

Status BadSize(const char* where, const std::string& text) { return {Code::kInvalidArgument, where, text}; }
Status BadProof(const char* where) {
  return {Code::kBadFrame, where, "the proof has another number of hashes than trees of these sizes need"};
}

// The largest power of two below `size`, which is 2 or more: where a tree is split.
std::uint64_t SplitOf(std::uint64_t size) { return std::bit_floor(size - 1); }

// The root of the tree of entries [begin, end). `begin` is a multiple of the largest power of two up to its length.
Result<Hash> RangeRoot(const NodeSource& nodes, std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t size = end - begin;
  if (std::has_single_bit(size)) {
    const auto height = static_cast<unsigned>(std::countr_zero(size));
    return nodes.At({height, begin >> height});
  }
  const std::uint64_t split = begin + SplitOf(size);
  ACCELMESH_ASSIGN_OR_RETURN(const Hash left, RangeRoot(nodes, begin, split));
  ACCELMESH_ASSIGN_OR_RETURN(const Hash right, RangeRoot(nodes, split, end));
  return NodeHash(left, right);
}

struct Pair {
  Hash older;
  Hash newer;
};

// RFC 9162, 2.1.4.2. `first`: the older root where the proof leaves it out.
std::optional<Pair> Roots(std::uint64_t old_size, std::uint64_t new_size, std::span<const Hash> proof,
                          const Hash& first) {
  std::uint64_t fn = old_size - 1;
  std::uint64_t sn = new_size - 1;
  while ((fn & 1) != 0) {
    fn >>= 1;
    sn >>= 1;
  }
  Pair roots{first, first};
  if (!std::has_single_bit(old_size)) {
    if (proof.empty()) return std::nullopt;
    roots = {proof.front(), proof.front()};
    proof = proof.subspan(1);
  }
  for (const Hash& hash : proof) {
    if (sn == 0) return std::nullopt;
    if ((fn & 1) != 0 || fn == sn) {
      roots = {NodeHash(hash, roots.older), NodeHash(hash, roots.newer)};
      while ((fn & 1) == 0 && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      roots.newer = NodeHash(roots.newer, hash);
    }
    fn >>= 1;
    sn >>= 1;
  }
  if (sn != 0) return std::nullopt;
  return roots;
}

}  // namespace

Hash Sha256(ByteView bytes) {
  Hash hash;
  ::crypto_hash_sha256(hash.data(), bytes.data(), bytes.size());
  return hash;
}

Hash LeafHash(ByteView entry) {
  constexpr std::uint8_t kPrefix = 0;
  crypto_hash_sha256_state state;
  ::crypto_hash_sha256_init(&state);
  ::crypto_hash_sha256_update(&state, &kPrefix, 1);
  ::crypto_hash_sha256_update(&state, entry.data(), entry.size());
  Hash hash;
  ::crypto_hash_sha256_final(&state, hash.data());
  return hash;
}

Hash NodeHash(const Hash& left, const Hash& right) {
  std::array<std::uint8_t, 1 + 2 * sizeof(Hash)> bytes;
  bytes[0] = 1;
  std::copy(left.begin(), left.end(), bytes.begin() + 1);
  std::copy(right.begin(), right.end(), bytes.begin() + 1 + sizeof(Hash));
  return Sha256(bytes);
}

Hash EmptyRoot() { return Sha256({}); }

Hash RootOf(std::span<const Hash> leaves) {
  Frontier tree;
  for (const Hash& leaf : leaves) tree.Append(leaf);
  return tree.Root();
}

void Frontier::Append(const Hash& leaf) {
  Hash hash = leaf;
  for (std::uint64_t bits = size_; (bits & 1) != 0; bits >>= 1) {
    hash = NodeHash(roots_.back(), hash);
    roots_.pop_back();
  }
  roots_.push_back(hash);
  ++size_;
}

// What stands to the left of an entry are complete subtrees, one for each bit of its index: the proof has them all, the
// smallest first.
Frontier Frontier::Before(std::uint64_t index, std::uint64_t size, std::span<const Hash> proof) {
  Frontier frontier;
  frontier.size_ = index;
  std::uint64_t fn = index;
  std::uint64_t sn = size - 1;
  for (const Hash& hash : proof) {
    if ((fn & 1) != 0 || fn == sn) {
      frontier.roots_.insert(frontier.roots_.begin(), hash);
      while ((fn & 1) == 0 && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    }
    fn >>= 1;
    sn >>= 1;
  }
  return frontier;
}

Hash Frontier::Root() const {
  if (roots_.empty()) return EmptyRoot();
  Hash root = roots_.back();
  for (std::size_t i = roots_.size() - 1; i-- > 0;) root = NodeHash(roots_[i], root);
  return root;
}

Result<Hash> RootAt(const NodeSource& nodes, std::uint64_t size) {
  if (size > kTreeSizeMax) return BadSize("RootAt", "a tree of more entries than there can be");
  if (size == 0) return EmptyRoot();
  return RangeRoot(nodes, 0, size);
}

Result<std::vector<Hash>> ProveInclusion(const NodeSource& nodes, std::uint64_t index, std::uint64_t size) {
  if (index >= size || size > kTreeSizeMax) {
    return BadSize("ProveInclusion",
                   "entry " + std::to_string(index) + " is not in a tree of " + std::to_string(size) + " entries");
  }
  // From the root down; a proof goes up.
  std::vector<Hash> proof;
  std::uint64_t begin = 0;
  std::uint64_t end = size;
  while (end - begin > 1) {
    const std::uint64_t split = begin + SplitOf(end - begin);
    const bool is_left = index < split;
    ACCELMESH_ASSIGN_OR_RETURN(const Hash sibling,
                               is_left ? RangeRoot(nodes, split, end) : RangeRoot(nodes, begin, split));
    proof.push_back(sibling);
    (is_left ? end : begin) = split;
  }
  return std::vector<Hash>(proof.rbegin(), proof.rend());
}

Result<std::vector<Hash>> ProveConsistency(const NodeSource& nodes, std::uint64_t old_size, std::uint64_t new_size) {
  if (old_size > new_size || new_size > kTreeSizeMax) {
    return BadSize("ProveConsistency",
                   "a tree of " + std::to_string(new_size) + " entries extends none of " + std::to_string(old_size));
  }
  std::vector<Hash> proof;
  if (old_size == 0 || old_size == new_size) return proof;
  std::uint64_t begin = 0;
  std::uint64_t end = new_size;
  // SUBPROOF of RFC 6962, 2.1.2, from the root down: until [begin, end) is what the older tree ends with.
  while (old_size != end) {
    const std::uint64_t split = begin + SplitOf(end - begin);
    const bool is_left = old_size <= split;
    ACCELMESH_ASSIGN_OR_RETURN(const Hash sibling,
                               is_left ? RangeRoot(nodes, split, end) : RangeRoot(nodes, begin, split));
    proof.push_back(sibling);
    (is_left ? end : begin) = split;
  }
  // The whole older tree need not be told: the verifier knows its root.
  if (begin != 0) {
    ACCELMESH_ASSIGN_OR_RETURN(const Hash last, RangeRoot(nodes, begin, end));
    proof.push_back(last);
  }
  return std::vector<Hash>(proof.rbegin(), proof.rend());
}

Status VerifyInclusion(const Hash& leaf, std::uint64_t index, std::span<const Hash> proof, const TreeHead& head) {
  constexpr const char* kWhere = "VerifyInclusion";
  if (index >= head.size || head.size > kTreeSizeMax) {
    return BadSize(kWhere, "entry " + std::to_string(index) + " is not in a tree of " + std::to_string(head.size));
  }
  if (proof.size() > kProofHashesMax) return BadProof(kWhere);
  std::uint64_t fn = index;
  std::uint64_t sn = head.size - 1;
  Hash root = leaf;
  for (const Hash& hash : proof) {
    if (sn == 0) return BadProof(kWhere);
    if ((fn & 1) != 0 || fn == sn) {
      root = NodeHash(hash, root);
      while ((fn & 1) == 0 && fn != 0) {
        fn >>= 1;
        sn >>= 1;
      }
    } else {
      root = NodeHash(root, hash);
    }
    fn >>= 1;
    sn >>= 1;
  }
  if (sn != 0) return BadProof(kWhere);
  if (root != head.root) {
    return {Code::kPermissionDenied, kWhere,
            "entry " + std::to_string(index) + " is not what the tree of " + std::to_string(head.size) +
                " entries has there; do not believe it"};
  }
  return Status::Ok();
}

Status VerifyConsistency(const TreeHead& older, const TreeHead& newer, std::span<const Hash> proof) {
  constexpr const char* kWhere = "VerifyConsistency";
  const Status differs(Code::kPermissionDenied, kWhere,
                       "the tree of " + std::to_string(newer.size) + " entries does not extend that of " +
                           std::to_string(older.size) + " entries: the log shows different people different things");
  if (older.size > newer.size || newer.size > kTreeSizeMax) return BadSize(kWhere, "the newer tree is the smaller one");
  if (proof.size() > kProofHashesMax) return BadProof(kWhere);
  if (older.size == 0 || older.size == newer.size) {
    if (!proof.empty()) return BadProof(kWhere);
    const Hash& expected = older.size == newer.size ? newer.root : EmptyRoot();
    return older.root == expected ? Status::Ok() : differs;
  }
  const std::optional<Pair> roots = Roots(older.size, newer.size, proof, older.root);
  if (!roots) return BadProof(kWhere);
  return roots->older == older.root && roots->newer == newer.root ? Status::Ok() : differs;
}

Result<Hash> OlderRootShown(std::uint64_t old_size, const TreeHead& newer, std::span<const Hash> proof) {
  constexpr const char* kWhere = "OlderRootShown";
  if (old_size == 0 || old_size >= newer.size || newer.size > kTreeSizeMax) {
    return BadSize(kWhere, "the older tree is not the smaller one");
  }
  if (std::has_single_bit(old_size)) {
    return Status(Code::kUnsupported, kWhere,
                  "a proof from a power of two leaves the older root out; ask the log for it");
  }
  if (proof.size() > kProofHashesMax) return BadProof(kWhere);
  const std::optional<Pair> roots = Roots(old_size, newer.size, proof, {});
  if (!roots) return BadProof(kWhere);
  if (roots->newer != newer.root) {
    return Status(Code::kPermissionDenied, kWhere, "the proof is of another tree; it shows nothing of this one");
  }
  return roots->older;
}

}  // namespace accelmesh::market::ledger
