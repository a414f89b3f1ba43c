#include "market/ledger/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/unit/market/ledger/reference_tree.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

using testing::HasSubstr;

constexpr const char* kOrigin = "market.example/log";

// A store whose content outlives the log that has it.
class SharedStore final : public Store {
 public:
  explicit SharedStore(MemoryStore& store) : store_(store) {}
  Result<Content> Load() override { return store_.Load(); }
  Status Commit(std::uint64_t first, std::span<const Bytes> entries, std::string_view note) override {
    if (fails_) return {Code::kSystem, "SharedStore", "the disk is full"};
    return store_.Commit(first, entries, note);
  }
  Status Put(const TileName& name, ByteView bytes) override { return store_.Put(name, bytes); }
  Status Settle(std::uint64_t base, std::span<const Bytes> tail, std::string_view note) override {
    return settles_ ? store_.Settle(base, tail, note) : Status::Ok();
  }
  Result<Bytes> Read(const TileName& name) const override { return store_.Read(name); }
  Status Publish(std::span<const StoredFile> files, std::span<const std::string> obsolete) override {
    return store_.Publish(files, obsolete);
  }
  bool fails_ = false;
  bool settles_ = true;

 private:
  MemoryStore& store_;
};

std::unique_ptr<Log> OpenOver(MemoryStore& store, SharedStore** shared = nullptr) {
  auto own = std::make_unique<SharedStore>(store);
  if (shared != nullptr) *shared = own.get();
  Result<std::unique_ptr<Log>> log = Log::Open(std::move(own), kOrigin, KeyOf(1));
  EXPECT_TRUE(log.ok()) << log.status().ToString();
  return log.ok() ? std::move(*log) : nullptr;
}

TEST(LogTest, EveryCheckpointIsThatOfTheEntriesAlsoAfterOpeningAnew) {
  for (const bool settles : {true, false}) {
    std::mt19937_64 random(7);
    MemoryStore store;
    reference::Leaves leaves;
    const NamedKey key = NamedKeyOf(kOrigin, 1);
    SharedStore* shared = nullptr;
    std::unique_ptr<Log> log = OpenOver(store, &shared);
    shared->settles_ = settles;
    while (leaves.size() < 1500) {
      if (random() % 4 == 0) {
        log = OpenOver(store, &shared);
        shared->settles_ = settles;
        ASSERT_EQ(log->size(), leaves.size());
      }
      std::vector<Bytes> batch;
      for (std::size_t count = 1 + random() % 120; count > 0; --count) {
        leaves.push_back(std::string(random() % 50, static_cast<char>(random())));
        batch.push_back(BytesOf(leaves.back()));
      }
      const Result<Appended> appended = log->Append(batch);
      ASSERT_TRUE(appended.ok()) << appended.status().ToString();
      EXPECT_EQ(appended->first, leaves.size() - batch.size());
      const VerifiedCheckpoint verified = VerifyCheckpoint(appended->note, key, {}).value();
      EXPECT_EQ(verified.checkpoint.head.size, leaves.size());
      EXPECT_EQ(verified.checkpoint.head.root, reference::Mth(leaves));
      for (int i = 0; i < 5; ++i) {
        const std::uint64_t index = random() % leaves.size();
        EXPECT_EQ(log->Entry(index).value(), BytesOf(leaves[index]));
        const Inclusion inclusion = ParseInclusion(InclusionText(log->ProveEntry(index).value())).value();
        EXPECT_TRUE(VerifyInclusion(LeafHash(BytesOf(leaves[index])), inclusion.index, inclusion.proof,
                                    verified.checkpoint.head)
                        .ok());
        const std::uint64_t old = random() % (leaves.size() + 1);
        const Extension extension = log->ProveExtension(old).value();
        EXPECT_TRUE(VerifyConsistency({old, reference::Mth(reference::Part(leaves, 0, old))}, verified.checkpoint.head,
                                      extension.proof)
                        .ok());
      }
    }
    EXPECT_EQ(log->Entry(leaves.size()).code(), Code::kNotFound);
  }
}

TEST(LogTest, ThePublishedTilesHaveTheWholeTree) {
  MemoryStore store;
  const std::unique_ptr<Log> log = OpenOver(store);
  reference::Leaves leaves;
  std::vector<Bytes> batch;
  for (int i = 0; i < 700; ++i) {
    leaves.push_back("entry " + std::to_string(i));
    batch.push_back(BytesOf(leaves.back()));
  }
  ASSERT_TRUE(log->Append(std::span(batch).first(300)).ok());
  ASSERT_TRUE(log->Publish().ok());
  EXPECT_TRUE(store.files().contains("tile/0/001.p/44"));
  ASSERT_TRUE(log->Append(std::span(batch).subspan(300)).ok());
  ASSERT_TRUE(log->Publish().ok());
  EXPECT_FALSE(store.files().contains("tile/0/001.p/44")) << "full by now";
  // As a reader of the files would: hashes of all leaves from level 0, entries from bundles, a level above.
  std::vector<Hash> hashes;
  for (const auto& [path, width] :
       std::map<std::string, std::size_t>{{"tile/0/000", 256}, {"tile/0/001", 256}, {"tile/0/002.p/188", 188}}) {
    ASSERT_TRUE(store.files().contains(path)) << path;
    const std::vector<Hash> tile = ParseTile(store.files().at(path), width).value();
    hashes.insert(hashes.end(), tile.begin(), tile.end());
  }
  ASSERT_EQ(hashes.size(), 700u);
  for (std::size_t i = 0; i < 700; ++i) EXPECT_EQ(hashes[i], LeafHash(batch[i]));
  const std::vector<ByteView> last = ParseBundle(store.files().at("tile/entries/002.p/188"), 188).value();
  EXPECT_EQ(AsText(last.back()), "entry 699");
  const std::vector<Hash> above = ParseTile(store.files().at("tile/1/000.p/2"), 2).value();
  EXPECT_EQ(above[1], reference::Mth(reference::Part(leaves, 256, 512)));
  const Bytes& checkpoint = store.files().at("checkpoint");
  EXPECT_EQ(VerifyCheckpoint(AsText(checkpoint), log->key(), {})->checkpoint.head.root, reference::Mth(leaves));
  EXPECT_EQ(ParseVerifierKey(AsText(store.files().at("key")).substr(0, store.files().at("key").size() - 1))->key,
            log->key());
}

TEST(LogTest, NothingIsSignedAfterTheStoreFailed) {
  MemoryStore store;
  SharedStore* shared = nullptr;
  const std::unique_ptr<Log> log = OpenOver(store, &shared);
  const std::vector<Bytes> batch{BytesOf("a"), BytesOf("b")};
  ASSERT_TRUE(log->Append(batch).ok());
  const std::string note = log->note();
  shared->fails_ = true;
  EXPECT_EQ(log->Append(batch).code(), Code::kSystem);
  shared->fails_ = false;
  EXPECT_EQ(log->Append(batch).code(), Code::kSystem) << "nobody knows what the disk has";
  EXPECT_EQ(log->note(), note);
  const std::unique_ptr<Log> anew = OpenOver(store);
  EXPECT_EQ(anew->size(), 2u);
  EXPECT_TRUE(anew->Append(batch).ok());
}

TEST(LogTest, LimitsAreRefusedBeforeAnythingIsWritten) {
  MemoryStore store;
  const std::unique_ptr<Log> log = OpenOver(store);
  EXPECT_EQ(log->Append({}).code(), Code::kInvalidArgument);
  EXPECT_EQ(log->Append(std::vector<Bytes>{Bytes(kEntryBytesMax + 1)}).code(), Code::kLimitExceeded);
  EXPECT_EQ(log->Append(std::vector<Bytes>(kBatchEntriesMax + 1)).code(), Code::kLimitExceeded);
  EXPECT_EQ(log->size(), 0u);
  EXPECT_TRUE(log->Append(std::vector<Bytes>{Bytes(kEntryBytesMax)}).ok());
  EXPECT_EQ(Log::Open(std::make_unique<MemoryStore>(), "a+b", KeyOf(1)).code(), Code::kInvalidArgument);
}

TEST(LogTest, AnotherKeyOrDamageIsNoticedWhenItIsOpened) {
  MemoryStore store;
  std::vector<Bytes> batch;
  for (int i = 0; i < 600; ++i) batch.push_back(BytesOf(std::to_string(i)));
  ASSERT_TRUE(OpenOver(store)->Append(batch).ok());
  EXPECT_EQ(Log::Open(std::make_unique<SharedStore>(store), kOrigin, KeyOf(2)).code(), Code::kPermissionDenied);
  EXPECT_EQ(Log::Open(std::make_unique<SharedStore>(store), "another", KeyOf(1)).code(), Code::kPermissionDenied);
  MemoryStore other = store;
  Bytes tile = other.files().at("tile/0/001");
  tile[5] ^= 1;
  ASSERT_TRUE(other.Put({.level = 0, .index = 1}, tile).ok());
  EXPECT_THAT(Log::Open(std::make_unique<SharedStore>(other), kOrigin, KeyOf(1)).status().text(),
              HasSubstr("not those of the last checkpoint"));
  tile.pop_back();
  ASSERT_TRUE(other.Put({.level = 0, .index = 1}, tile).ok());
  EXPECT_THAT(Log::Open(std::make_unique<SharedStore>(other), kOrigin, KeyOf(1)).status().text(),
              HasSubstr("tile/0/001"));
}

TEST(LogTest, CosignaturesOfThePresentCheckpointAreKept) {
  MemoryStore store;
  const std::unique_ptr<Log> log = OpenOver(store);
  const NamedKey witness = NamedKeyOf("w1", 5);
  ASSERT_TRUE(log->Append(std::vector<Bytes>{BytesOf("a")}).ok());
  const std::string text = ParseNote(log->note())->text;
  const std::string line = CosignatureLine(text, "w1", KeyOf(5), 100);
  EXPECT_EQ(log->AddCosignature(NamedKeyOf("w1", 6), line).code(), Code::kNotFound);
  ASSERT_TRUE(log->AddCosignature(witness, line).ok());
  EXPECT_EQ(VerifyCheckpoint(OpenOver(store)->note(), log->key(), {&witness, 1})->cosigners.size(), 1u);
  ASSERT_TRUE(log->Append(std::vector<Bytes>{BytesOf("b")}).ok());
  EXPECT_FALSE(log->AddCosignature(witness, line).ok()) << "of a checkpoint that is not the present one";
}

}  // namespace
}  // namespace accelmesh::market::ledger
