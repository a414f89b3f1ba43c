// The folder of a log when its process or its disk fails at any moment.
#include "market/ledger/folder_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <random>
#include <thread>

#include "market/ledger/log.h"
#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

using testing::HasSubstr;

constexpr const char* kOrigin = "market.example/log";

Bytes EntryOf(std::uint64_t index) {
  return BytesOf("entry " + std::to_string(index) + std::string(index % 97, static_cast<char>('a' + index % 26)));
}

class FolderStoreTest : public testing::Test {
 protected:
  std::string path() const { return scratch_.Path("ledger"); }
  Result<std::unique_ptr<Log>> Open(std::size_t journal_bytes_max = std::size_t{1} << 20) const {
    ACCELMESH_ASSIGN_OR_RETURN(std::unique_ptr<Store> store,
                               OpenFolder(path(), Access::kAppend, {.journal_bytes_max = journal_bytes_max}));
    return Log::Open(std::move(store), kOrigin, KeyOf(1));
  }
  static Status AppendTo(Log& log, std::uint64_t count) {
    std::vector<Bytes> batch;
    for (std::uint64_t i = 0; i < count; ++i) batch.push_back(EntryOf(log.size() + i));
    return log.Append(batch).status();
  }
  static void ExpectWhole(const Log& log) {
    Frontier tree;
    for (std::uint64_t i = 0; i < log.size(); ++i) {
      const Result<Bytes> entry = log.Entry(i);
      ASSERT_TRUE(entry.ok()) << entry.status().ToString();
      ASSERT_EQ(*entry, EntryOf(i)) << i;
      tree.Append(LeafHash(*entry));
    }
    EXPECT_EQ(tree.Root(), log.head().root);
  }
  const Scratch scratch_;
};

TEST_F(FolderStoreTest, OpensAnewWithWhatItHadWhereverTheJournalEnds) {
  for (const std::size_t journal : {std::size_t{1} << 20, std::size_t{20000}, std::size_t{1}}) {
    std::filesystem::remove_all(path());
    std::uint64_t size = 0;
    for (int round = 0; round < 12; ++round) {
      const std::unique_ptr<Log> log = std::move(Open(journal)).value();
      ASSERT_EQ(log->size(), size);
      for (int i = 0; i < 3; ++i) {
        const Status status = AppendTo(*log, 1 + (size * 7 + static_cast<std::uint64_t>(i)) % 83);
        ASSERT_TRUE(status.ok()) << status.ToString();
      }
      size = log->size();
      ExpectWhole(*log);
      EXPECT_EQ(Open(journal).code(), Code::kUnavailable) << "one process appends";
    }
    EXPECT_LT(std::filesystem::file_size(path() + "/journal"), 4 * journal + 20000) << "it is begun anew";
  }
}

// Copies a folder, to break the copy.
TEST_F(FolderStoreTest, AJournalCutOffAnywhereOpensWithWhatIsWholeOrSaysWhatIsLost) {
  {
    const std::unique_ptr<Log> log = std::move(Open(2000)).value();
    for (const std::uint64_t count : {257, 4, 2, 1, 3}) ASSERT_TRUE(AppendTo(*log, count).ok());
  }
  const std::string journal = ReadWhole(path() + "/journal");
  ASSERT_LT(journal.size(), 10000u) << "it was begun anew, so that tiles count";
  const std::string mark = ReadWhole(path() + "/journal-mark");
  std::set<std::uint64_t> sizes;
  bool has_opened = false;
  for (std::size_t size = 0; size <= journal.size(); size += size + 3 < journal.size() ? 3 : 1) {
    // With the mark: a loss of what was acknowledged is noticed.
    WriteWhole(path() + "/journal", journal.substr(0, size));
    WriteWhole(path() + "/journal-mark", mark);
    const Result<std::unique_ptr<Log>> marked = Open();
    ASSERT_EQ(marked.ok(), size == journal.size()) << size;
    if (!marked.ok()) {
      EXPECT_EQ(marked.code(), Code::kBadFrame);
      EXPECT_THAT(marked.status().text(), testing::AnyOf(HasSubstr("were acknowledged"), HasSubstr("journal: ")));
    }
    // Without it: as a crash in the middle of a write leaves it.
    WriteWhole(path() + "/journal", journal.substr(0, size));
    std::filesystem::remove(path() + "/journal-mark");
    if (marked.ok()) break;
    const Result<std::unique_ptr<Log>> log = Open();
    if (!log.ok()) {
      EXPECT_FALSE(has_opened) << "only a head with its first record, which are never written in place: " << size;
      EXPECT_EQ(log.code(), Code::kBadFrame);
      continue;
    }
    has_opened = true;
    sizes.insert((*log)->size());
    ASSERT_TRUE(AppendTo(**log, 1).ok()) << "and it goes on";
    ExpectWhole(**log);
  }
  EXPECT_GE(sizes.size(), 3u);
}

TEST_F(FolderStoreTest, TornTilesAreMadeAnewFromTheJournal) {
  {
    const std::unique_ptr<Log> log = std::move(Open()).value();
    ASSERT_TRUE(AppendTo(*log, 700).ok());
  }
  const std::string tile = path() + "/tile/0/001";
  const std::string bundle = path() + "/tile/entries/000";
  const std::string whole_tile = ReadWhole(tile);
  const std::string whole_bundle = ReadWhole(bundle);
  ASSERT_EQ(whole_tile.size(), 8192u);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{31}, std::size_t{4096}, std::size_t{8191}}) {
    WriteWhole(tile, whole_tile.substr(0, size));
    WriteWhole(bundle, whole_bundle.substr(0, size) + std::string(20000, '\0'));
    const std::unique_ptr<Log> log = std::move(Open()).value();
    ExpectWhole(*log);
    EXPECT_EQ(ReadWhole(tile), whole_tile);
    EXPECT_EQ(ReadWhole(bundle), whole_bundle);
  }
  std::filesystem::remove_all(path() + "/tile");
  ExpectWhole(**Open());
}

TEST_F(FolderStoreTest, ALostJournalOrTileIsNoNewLog) {
  {
    const std::unique_ptr<Log> log = std::move(Open(1)).value();
    ASSERT_TRUE(AppendTo(*log, 600).ok());
  }
  std::filesystem::rename(path() + "/journal", path() + "/gone");
  EXPECT_THAT(Open().status().text(), HasSubstr("its journal is not there"));
  std::filesystem::remove(path() + "/journal-mark");
  EXPECT_THAT(Open().status().text(), HasSubstr("its journal is not there"));
  std::filesystem::rename(path() + "/gone", path() + "/journal");
  ASSERT_TRUE(Open().ok());
  std::filesystem::remove(path() + "/tile/0/000");
  EXPECT_THAT(Open().status().text(), HasSubstr("tile/0/000 is not there"));
  const Result<std::unique_ptr<Store>> reader = OpenFolder(scratch_.Path("nothing"), Access::kRead);
  EXPECT_EQ((*reader)->Load().code(), Code::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(scratch_.Path("nothing"))) << "reading makes nothing";
}

TEST_F(FolderStoreTest, AReaderSeesWhatWasCommittedWhileAnotherAppends) {
  const std::unique_ptr<Log> log = std::move(Open(3000)).value();
  std::atomic<bool> ends{false};
  std::atomic<std::uint64_t> acknowledged{0};
  std::thread writer([&] {
    for (int i = 0; i < 150; ++i) {
      if (!AppendTo(*log, 9).ok()) break;
      acknowledged = log->size();
    }
    ends = true;
  });
  int reads = 0;
  while (!ends || reads == 0) {
    const std::uint64_t least = acknowledged;
    const std::unique_ptr<Store> store = std::move(OpenFolder(path(), Access::kRead)).value();
    const Result<Store::Content> content = store->Load();
    ASSERT_TRUE(content.ok()) << content.status().ToString();
    const Result<Tree> tree = Tree::Load(*store, *content, nullptr);
    ASSERT_TRUE(tree.ok()) << tree.status().ToString();
    EXPECT_GE(tree->size(), least);
    // Also what has no tiles yet.
    for (std::uint64_t i = 0; i < tree->size(); i += 1 + tree->size() / 7) {
      const Result<std::vector<Hash>> proof = ProveInclusion(*tree, i, tree->size());
      ASSERT_TRUE(proof.ok()) << proof.status().ToString();
      EXPECT_TRUE(VerifyInclusion(LeafHash(EntryOf(i)), i, *proof, {tree->size(), *tree->Root()}).ok());
      EXPECT_EQ(tree->Entry(i).value(), EntryOf(i));
    }
    EXPECT_EQ(store->Commit(tree->size(), {}, "").code(), Code::kInvalidArgument);
    if (content->note.empty()) continue;
    EXPECT_EQ(VerifyCheckpoint(content->note, log->key(), {})->checkpoint.head,
              (TreeHead{tree->size(), *tree->Root()}));
    ++reads;
  }
  writer.join();
  EXPECT_EQ(acknowledged, 1350u);
}

// Parts that were published go when their tile is whole; the folder of theirs is not waited for then.
TEST_F(FolderStoreTest, PublishedPartsGoAndTheJournalBeginsAnew) {
  const std::unique_ptr<Log> log = std::move(Open(2000)).value();
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(AppendTo(*log, 10).ok());
    ASSERT_TRUE(log->Publish().ok());
  }
  EXPECT_FALSE(std::filesystem::exists(path() + "/tile/0/000.p"));
  EXPECT_LT(std::filesystem::file_size(path() + "/journal"), 20000u);
  ExpectWhole(*log);
}

TEST_F(FolderStoreTest, KilledInTheMiddleNothingAcknowledgedIsForgotten) {
  std::mt19937_64 random(5);
  std::uint64_t acknowledged = 0;
  for (int round = 0; round < 12; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      Result<std::unique_ptr<Log>> log = Open(30000);
      if (!log.ok()) _exit(3);
      for (std::uint64_t count = 1;; count = (count * 31 + 7) % 150 + 1) {
        const Status appended = AppendTo(**log, count);
        if (!appended.ok()) {
          std::fprintf(stderr, "%s\n", appended.ToString().c_str());
          _exit(4);
        }
        const std::uint64_t size = (*log)->size();
        if (write(ends[1], &size, sizeof(size)) != sizeof(size)) _exit(5);
        if (count % 5 == 0 && !(*log)->Publish().ok()) _exit(6);
      }
    }
    close(ends[1]);
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + random() % 80));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself, with " << WEXITSTATUS(status);
    std::uint64_t size = 0;
    while (read(ends[0], &size, sizeof(size)) == sizeof(size)) acknowledged = size;
    close(ends[0]);
    const Result<std::unique_ptr<Log>> log = Open(30000);
    ASSERT_TRUE(log.ok()) << log.status().ToString();
    EXPECT_GE((*log)->size(), acknowledged);
    ExpectWhole(**log);
  }
  EXPECT_GT(acknowledged, 300u) << "so slow a disk shows nothing";
}

}  // namespace
}  // namespace accelmesh::market::ledger
