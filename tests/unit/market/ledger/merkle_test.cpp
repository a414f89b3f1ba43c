#include "market/ledger/merkle.h"

#include <gtest/gtest.h>

#include <random>

#include "market/ledger/tree.h"
#include "tests/unit/market/ledger/reference_tree.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

constexpr std::size_t kSizesMax = 600;

std::string HexText(const Hash& hash) { return security::HexOf(hash); }

// Leaves, their tree as the definitions say, and ours over a store in memory.
class MerkleTest : public testing::Test {
 protected:
  MerkleTest() : tree_(std::move(Tree::Load(store_, {}, nullptr)).value()) {
    std::mt19937_64 random(3);
    for (std::size_t i = 0; i < kSizesMax; ++i) {
      std::string leaf(random() % 40, '\0');
      for (char& c : leaf) c = static_cast<char>(random());
      leaves_.push_back(leaf);
    }
    // Far fewer hashes than to define each root anew: the roots of all prefixes, checked against the definition below.
    for (const std::string& leaf : leaves_) {
      heads_.push_back({tree_.size(), tree_.Root().value()});
      std::vector<StoredFile> completed;
      tree_.Add(AsBytes(std::string_view(leaf)), &completed);
      for (const StoredFile& file : completed) {
        EXPECT_TRUE(store_.Put(ParseTilePath(file.path).value(), file.bytes).ok());
      }
    }
    heads_.push_back({tree_.size(), tree_.Root().value()});
  }

  MemoryStore store_;
  Tree tree_;
  reference::Leaves leaves_;
  std::vector<TreeHead> heads_;
};

TEST_F(MerkleTest, HashesAreThoseThatOthersCompute) {
  // The entries with which implementations of certificate transparency are compared; roots computed with Python.
  const std::string entries[] = {"",
                                 std::string(1, '\0'),
                                 "\x10",
                                 "\x20\x21",
                                 "\x30\x31",
                                 "\x40\x41\x42\x43",
                                 "\x50\x51\x52\x53\x54\x55\x56\x57",
                                 "\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f"};
  const char* const roots[] = {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                               "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                               "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                               "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
                               "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
                               "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
                               "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
                               "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
                               "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
  std::vector<Hash> leaves;
  EXPECT_EQ(HexText(EmptyRoot()), roots[0]);
  for (std::size_t i = 0; i < std::size(entries); ++i) {
    leaves.push_back(LeafHash(AsBytes(std::string_view(entries[i]))));
    EXPECT_EQ(HexText(RootOf(leaves)), roots[i + 1]) << i + 1;
  }
}

TEST_F(MerkleTest, RootsOfEverySizeAreTheDefinition) {
  for (std::size_t size = 0; size <= kSizesMax; ++size) {
    EXPECT_EQ(heads_[size].root, reference::Mth(reference::Part(leaves_, 0, size))) << size;
    EXPECT_EQ(RootAt(tree_, size).value(), heads_[size].root) << "from tiles of a larger tree: " << size;
  }
  EXPECT_EQ(RootAt(tree_, kSizesMax + 1).code(), Code::kInvalidArgument);
}

TEST_F(MerkleTest, EveryProofOfAnEntryVerifiesAndIsTheDefinition) {
  for (std::size_t size = 1; size <= kSizesMax; ++size) {
    for (std::size_t index = 0; index < size; index += size < 40 ? 1 : 1 + (size + index) % 37) {
      const std::vector<Hash> proof = ProveInclusion(tree_, index, size).value();
      const Hash leaf = LeafHash(AsBytes(std::string_view(leaves_[index])));
      ASSERT_TRUE(VerifyInclusion(leaf, index, proof, heads_[size]).ok()) << index << " of " << size;
      if (size <= 300 && size % 7 == 0) {
        ASSERT_EQ(proof, reference::Path(index, reference::Part(leaves_, 0, size)));
      }
    }
    EXPECT_EQ(ProveInclusion(tree_, size, size).code(), Code::kInvalidArgument);
  }
}

TEST_F(MerkleTest, EveryProofOfAnExtensionVerifiesAndIsTheDefinition) {
  for (std::size_t size = 0; size <= kSizesMax; ++size) {
    for (std::size_t old = 0; old <= size; old += size < 40 ? 1 : 1 + (size + old) % 37) {
      const std::vector<Hash> proof = ProveConsistency(tree_, old, size).value();
      ASSERT_TRUE(VerifyConsistency(heads_[old], heads_[size], proof).ok()) << old << " in " << size;
      if (size <= 300 && size % 7 == 0 && old > 0) {
        ASSERT_EQ(proof, reference::Subproof(old, reference::Part(leaves_, 0, size), true));
      }
      if (old == 0 || old == size) continue;
      const Result<Hash> shown = OlderRootShown(old, heads_[size], proof);
      if ((old & (old - 1)) == 0) {
        EXPECT_EQ(shown.code(), Code::kUnsupported);
      } else {
        EXPECT_EQ(shown.value(), heads_[old].root);
      }
    }
  }
}

TEST_F(MerkleTest, EveryFlippedBitIsSeen) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 60; ++round) {
    const std::size_t size = 1 + random() % kSizesMax;
    const std::size_t index = random() % size;
    const Hash leaf = LeafHash(AsBytes(std::string_view(leaves_[index])));
    std::vector<Hash> proof = ProveInclusion(tree_, index, size).value();
    const auto holds = [&](const Hash& of, std::uint64_t at, const std::vector<Hash>& with, const TreeHead& head) {
      return VerifyInclusion(of, at, with, head).ok();
    };
    for (std::size_t bit = 0; bit < proof.size() * 256; ++bit) {
      proof[bit / 256][bit % 256 / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      ASSERT_FALSE(holds(leaf, index, proof, heads_[size]));
      proof[bit / 256][bit % 256 / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    }
    for (std::size_t bit = 0; bit < 256; ++bit) {
      Hash other = leaf;
      other[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      ASSERT_FALSE(holds(other, index, proof, heads_[size]));
      TreeHead head = heads_[size];
      head.root[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      ASSERT_FALSE(holds(leaf, index, proof, head));
    }
    // Nor with another place, or a hash more or less.
    for (const std::size_t other : {index + 1, index / 2, std::size_t{0}}) {
      if (other == index || other >= size) continue;
      ASSERT_FALSE(holds(leaf, other, proof, heads_[size]));
    }
    std::vector<Hash> longer = proof;
    longer.push_back(leaf);
    ASSERT_FALSE(holds(leaf, index, longer, heads_[size]));
    if (!proof.empty()) {
      ASSERT_FALSE(holds(leaf, index, {proof.begin(), proof.end() - 1}, heads_[size]));
    }
  }
}

TEST_F(MerkleTest, EveryFlippedBitOfAnExtensionIsSeen) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 60; ++round) {
    const std::size_t size = 2 + random() % (kSizesMax - 1);
    const std::size_t old = 1 + random() % (size - 1);
    std::vector<Hash> proof = ProveConsistency(tree_, old, size).value();
    for (std::size_t bit = 0; bit < proof.size() * 256; ++bit) {
      proof[bit / 256][bit % 256 / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      ASSERT_FALSE(VerifyConsistency(heads_[old], heads_[size], proof).ok()) << old << " in " << size << " bit " << bit;
      proof[bit / 256][bit % 256 / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    }
    for (std::size_t bit = 0; bit < 256; ++bit) {
      for (const bool is_old : {false, true}) {
        TreeHead older = heads_[old];
        TreeHead newer = heads_[size];
        (is_old ? older : newer).root[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
        ASSERT_FALSE(VerifyConsistency(older, newer, proof).ok());
      }
    }
    std::vector<Hash> longer = proof;
    longer.push_back(heads_[1].root);
    ASSERT_FALSE(VerifyConsistency(heads_[old], heads_[size], longer).ok());
    ASSERT_FALSE(VerifyConsistency(heads_[old], heads_[size], {proof.data(), proof.size() - 1}).ok());
    ASSERT_FALSE(VerifyConsistency(heads_[size], heads_[old], proof).ok()) << "the wrong way round";
  }
  EXPECT_FALSE(VerifyConsistency({0, heads_[1].root}, heads_[5], {}).ok()) << "nothing has one root";
  EXPECT_FALSE(VerifyConsistency({5, heads_[5].root}, {5, heads_[4].root}, {}).ok()) << "one size, two roots";
}

TEST_F(MerkleTest, ProofsOfTreesTooLargeAreRefused) {
  const std::vector<Hash> many(kProofHashesMax + 1);
  EXPECT_EQ(VerifyInclusion({}, 0, many, {kTreeSizeMax, {}}).code(), Code::kBadFrame);
  EXPECT_EQ(VerifyConsistency({3, {}}, {kTreeSizeMax, {}}, many).code(), Code::kBadFrame);
  EXPECT_EQ(VerifyInclusion({}, 0, {}, {kTreeSizeMax + 1, {}}).code(), Code::kInvalidArgument);
  EXPECT_EQ(VerifyConsistency({3, {}}, {~std::uint64_t{0}, {}}, {}).code(), Code::kInvalidArgument);
  EXPECT_EQ(OlderRootShown(~std::uint64_t{0}, {5, {}}, {}).code(), Code::kInvalidArgument);
}

// The frontier before an entry, from its proof alone, against the tree of all.
TEST_F(MerkleTest, AProofShowsWhatIsBeforeItsEntry) {
  reference::Leaves entries;
  for (int i = 0; i < 70; ++i) entries.push_back("entry " + std::to_string(i));
  for (std::size_t size = 1; size <= entries.size(); ++size) {
    const reference::Leaves tree = reference::Part(entries, 0, size);
    for (std::size_t index = 0; index < size; ++index) {
      Frontier frontier = Frontier::Before(index, size, reference::Path(index, tree));
      EXPECT_EQ(frontier.size(), index);
      for (std::size_t more = index; more < entries.size(); ++more) {
        frontier.Append(LeafHash(AsBytes(std::string_view(entries[more]))));
      }
      ASSERT_EQ(frontier.Root(), reference::Mth(entries)) << index << " of " << size;
    }
  }
}

}  // namespace
}  // namespace accelmesh::market::ledger
