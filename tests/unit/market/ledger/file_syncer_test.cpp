#include "market/ledger/file_syncer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

TEST(FileSyncerTest, SyncsAllThatWereAddedAndClosesThem) {
  const Scratch scratch;
  std::filesystem::create_directories(scratch.Path("files"));
  std::vector<int> files;
  {
    FileSyncer syncer;
    EXPECT_TRUE(syncer.IsIdle());
    for (int i = 0; i < 40; ++i) {
      const std::string path = scratch.Path("files/" + std::to_string(i));
      files.push_back(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
      ASSERT_GE(files.back(), 0);
      ASSERT_EQ(write(files.back(), "x", 1), 1);
      ASSERT_TRUE(syncer.Add(path, files.back()).ok());
    }
    ASSERT_TRUE(syncer.Wait().ok());
    EXPECT_TRUE(syncer.IsIdle());
  }
  for (const int file : files) EXPECT_EQ(fcntl(file, F_GETFD), -1) << "closed";
}

TEST(FileSyncerTest, AFailedSyncIsSaidFromThenOn) {
  FileSyncer syncer;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_TRUE(syncer.Add("a pipe", ends[1]).ok());  // cannot be synced
  const Status status = syncer.Wait();
  EXPECT_EQ(status.code(), Code::kSystem);
  EXPECT_NE(status.text().find("a pipe"), std::string::npos);
  EXPECT_EQ(syncer.Add("another", ends[0]).code(), Code::kSystem);
  EXPECT_EQ(syncer.Wait().code(), Code::kSystem);
}

TEST(FileSyncerTest, EndsWhileFilesWait) {
  const Scratch scratch;
  for (int round = 0; round < 20; ++round) {
    std::filesystem::create_directories(scratch.Path("f"));
    FileSyncer syncer;
    for (int i = 0; i < 5; ++i) {
      const std::string path = scratch.Path("f/" + std::to_string(i));
      ASSERT_TRUE(syncer.Add(path, open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)).ok());
    }
  }
}

}  // namespace
}  // namespace accelmesh::market::ledger
