// The sqlite store when its file, its disk or its process fails.
#include "market/registry/sqlite/sqlite_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <random>
#include <sstream>
#include <thread>

#include "tests/conformance/registry/world.h"
#include "tests/unit/market/registry/sqlite/fault_disk.h"

namespace accelmesh::registry {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class SqliteStoreTest : public testing::Test {
 protected:
  std::string path() const { return folder_.Path("registry.sqlite"); }
  Result<std::unique_ptr<Registry>> Open(const char* vfs = nullptr) {
    SqliteOptions options;
    options.file.path = path();
    options.file.vfs = vfs;
    return OpenSqliteStore(std::move(options));
  }
  static Result<TxnResult> Submit(Registry& registry, Txn txn) {
    auto promise = std::make_shared<std::promise<Result<TxnResult>>>();
    registry.Submit(std::move(txn), Deadline::After(std::chrono::seconds(20)).at(),
                    [promise](Result<TxnResult> result) { promise->set_value(std::move(result)); });
    return promise->get_future().get();
  }
  static Status Put(Registry& registry, const std::string& key, const std::string& value) {
    return Submit(registry, {{}, {Operation::Put(key, value)}, {}}).status();
  }
  static std::string Get(Registry& registry, const std::string& key) {
    const Result<TxnResult> result = Submit(registry, {{}, {Operation::Get(key)}, {}});
    if (!result.ok()) return result.status().ToString();
    return result->results[0].entry ? result->results[0].entry->value : "none";
  }
  void Fill(int entries) {
    Result<std::unique_ptr<Registry>> store = Open();
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    for (int i = 0; i < entries; ++i) {
      ASSERT_TRUE(Put(**store, "/slot/" + std::to_string(i), std::string(300, static_cast<char>('a' + i % 26))).ok());
    }
  }
  std::string Bytes(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void Write(const std::string& file, const std::string& bytes) { std::ofstream(file, std::ios::binary) << bytes; }

  ScratchFolder folder_;
};

TEST_F(SqliteStoreTest, WhatWasWrittenIsThereAgain) {
  Revision revision = 0;
  {
    Result<std::unique_ptr<Registry>> store = Open();
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    ASSERT_TRUE(Put(**store, "/a", "1").ok());
    ASSERT_TRUE(Put(**store, std::string("/\0\xff", 3), "").ok());
    ASSERT_TRUE(Put(**store, "/b", "1").ok());
    revision = Submit(**store, {{}, {Operation::Delete("/b"), Operation::Put("/a", "2")}, {}})->revision;
  }
  Result<std::unique_ptr<Registry>> store = Open();
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  const Result<TxnResult> read = Submit(
      **store, {{}, {Operation::Get("/a"), Operation::Get("/b"), Operation::Get(std::string("/\0\xff", 3))}, {}});
  EXPECT_EQ(read->revision, revision);
  EXPECT_EQ(read->results[0].entry, (Entry{"/a", "2", 1, revision, 2, kNoLease}));
  EXPECT_EQ(read->results[1].entry, std::nullopt);
  EXPECT_EQ(read->results[2].entry->value, "");
}

TEST_F(SqliteStoreTest, TheLogStaysShort) {
  SqliteOptions options;
  options.file.path = path();
  options.file.checkpoint_pages = 20;
  Result<std::unique_ptr<Registry>> store = OpenSqliteStore(std::move(options));
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  // A page and more each time.
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(Put(**store, "/slot/" + std::to_string(i), std::string(4000, 'x')).ok());
  EXPECT_LT(std::filesystem::file_size(path() + "-wal"), 60U * 4120U);
  EXPECT_GT(std::filesystem::file_size(path()), 200U * 4096U);
  EXPECT_EQ(Get(**store, "/slot/7"), std::string(4000, 'x'));
}

TEST_F(SqliteStoreTest, OneProcessAtATime) {
  const Result<std::unique_ptr<Registry>> store = Open();
  ASSERT_TRUE(store.ok());
  const Result<std::unique_ptr<Registry>> second = Open();
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.status().ToString(), HasSubstr("another process has it open"));
}

TEST_F(SqliteStoreTest, WhatIsNoRegistryIsRefused) {
  Write(path(), std::string(5000, 'x'));
  EXPECT_THAT(Open().status().ToString(), HasSubstr("is damaged"));
  std::filesystem::remove(path());
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path().c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "CREATE TABLE somebody(else_s)", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(other);
  EXPECT_THAT(Open().status().ToString(), HasSubstr("a SQLite database of something else"));
  SqliteOptions options;
  options.file.path = folder_.Path("none/registry.sqlite");
  EXPECT_THAT(OpenSqliteStore(options).status().ToString(), HasSubstr("folder must exist"));
}

// Each page with one byte changed, each with the rest cut off: told, or harmless; never another content.
TEST_F(SqliteStoreTest, DamageIsToldAndNeverRead) {
  Fill(60);
  const std::string good = Bytes(path());
  int told = 0;
  int tried = 0;
  std::mt19937_64 random(7);
  const auto examine = [&](const std::string& what) {
    ++tried;
    Result<std::unique_ptr<Registry>> store = Open();
    if (!store.ok()) {
      ++told;
      EXPECT_THAT(store.status().text(), testing::AnyOf(HasSubstr("damaged"), HasSubstr("was lost"),
                                                        HasSubstr("something else"), HasSubstr("has format")))
          << what;
      return;
    }
    for (int i = 0; i < 60; ++i) {
      ASSERT_EQ(Get(**store, "/slot/" + std::to_string(i)), std::string(300, static_cast<char>('a' + i % 26))) << what;
    }
  };
  for (std::size_t at = 16; at < good.size(); at += 1 + random() % 400) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << random() % 8));
    Write(path(), bad);
    examine("byte " + std::to_string(at));
  }
  EXPECT_GT(told, tried / 2);
  told = tried = 0;
  for (std::size_t size = 0; size < good.size(); size += 1 + random() % 900) {
    Write(path(), good.substr(0, size));
    examine("cut to " + std::to_string(size));
  }
  EXPECT_EQ(told, tried) << "what is missing is always told";
}

// SQLite itself takes a log that was cut off for a shorter history.
TEST_F(SqliteStoreTest, ALostLogIsTold) {
  std::string log;
  {
    Result<std::unique_ptr<Registry>> store = Open();
    ASSERT_TRUE(store.ok());
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(Put(**store, "/a", std::to_string(i)).ok());
    log = Bytes(path() + "-wal");
    std::filesystem::copy_file(path(), folder_.Path("copy"));
    std::filesystem::copy_file(path() + "-mark", folder_.Path("copy-mark"));
  }
  const auto with = [&](const std::string& wal) {
    Write(folder_.Path("copy-wal"), wal);
    SqliteOptions options;
    options.file.path = folder_.Path("copy");
    return OpenSqliteStore(std::move(options)).status();
  };
  ASSERT_GT(log.size(), 4200u);
  EXPECT_THAT(with(log.substr(0, log.size() - 5000)).ToString(), HasSubstr("20 was acknowledged"));
  EXPECT_THAT(with("").ToString(), HasSubstr("was lost"));
}

TEST_F(SqliteStoreTest, AFullDiskLosesNothingAndIsTold) {
  const FaultDisk disk;
  Result<std::unique_ptr<Registry>> store = Open(FaultDisk::name());
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  ASSERT_TRUE(Put(**store, "/a", "1").ok());
  FaultDisk::SetFull(true);
  const Status full = Put(**store, "/a", "2");
  EXPECT_EQ(full.code(), Code::kFull);
  EXPECT_THAT(full.text(), HasSubstr("the disk is full"));
  EXPECT_EQ(Get(**store, "/a"), "1") << "reads go on, and see what the disk has";
  EXPECT_EQ(Put(**store, "/b", "2").code(), Code::kFull);
  FaultDisk::SetFull(false);
  EXPECT_TRUE(Put(**store, "/b", "3").ok());
  EXPECT_EQ(Submit(**store, {{}, {Operation::Get("/a")}, {}})->revision, 2);
  store.value().reset();
  store = Open();
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  EXPECT_EQ(Get(**store, "/a"), "1");
  EXPECT_EQ(Get(**store, "/b"), "3");
}

TEST_F(SqliteStoreTest, AfterAFailedSyncNothingIsPromised) {
  const FaultDisk disk;
  Result<std::unique_ptr<Registry>> store = Open(FaultDisk::name());
  ASSERT_TRUE(store.ok());
  ASSERT_TRUE(Put(**store, "/a", "1").ok());
  FaultDisk::FailNextSync();
  EXPECT_EQ(Put(**store, "/a", "2").code(), Code::kUnavailable);
  const Status after = Put(**store, "/a", "3");
  EXPECT_EQ(after.code(), Code::kUnavailable);
  EXPECT_THAT(after.text(), HasSubstr("started anew"));
  store.value().reset();
  store = Open();
  ASSERT_TRUE(store.ok()) << store.status().ToString();
  EXPECT_THAT(Get(**store, "/a"), testing::AnyOf("1", "2"));
}

// Power is lost at every moment: what was acknowledged by then was synced by then.
TEST_F(SqliteStoreTest, WhatIsAcknowledgedWasSynced) {
  const FaultDisk disk;
  SqliteOptions options;
  options.file.path = path();
  options.file.vfs = FaultDisk::name();
  options.file.checkpoint_pages = 10;  // checkpoints come in between as well
  Result<std::unique_ptr<Registry>> store = OpenSqliteStore(options);
  ASSERT_TRUE(store.ok());
  const std::uint64_t before = FaultDisk::syncs();
  for (int i = 1; i <= 60; ++i) {
    ASSERT_TRUE(Put(**store, "/a" + std::to_string(i % 7), std::to_string(i)).ok());
    const std::string copy = folder_.Path("after" + std::to_string(i));
    FaultDisk::CopySynced(path(), copy);
    FaultDisk::CopySynced(path() + "-wal", copy + "-wal");
    SqliteOptions copied;
    copied.file.path = copy;
    Result<std::unique_ptr<Registry>> left = OpenSqliteStore(copied);
    ASSERT_TRUE(left.ok()) << left.status().ToString();
    ASSERT_EQ(Get(**left, "/a" + std::to_string(i % 7)), std::to_string(i));
  }
  EXPECT_GE(FaultDisk::syncs() - before, 60u);
}

TEST_F(SqliteStoreTest, ManyRequestsShareASync) {
  const FaultDisk disk;
  Result<std::unique_ptr<Registry>> store = Open(FaultDisk::name());
  ASSERT_TRUE(store.ok());
  const std::uint64_t before = FaultDisk::syncs();
  std::atomic<int> answered{0};
  for (int i = 0; i < 2000; ++i) {
    (*store)->Submit({{}, {Operation::Put("/" + std::to_string(i), "1")}, {}}, Instant::max(),
                     [&](Result<TxnResult> result) { answered += result.ok(); });
  }
  while (answered < 2000) std::this_thread::yield();
  EXPECT_LT(FaultDisk::syncs() - before, 500u);
}

TEST_F(SqliteStoreTest, AnswersEverythingWhenItIsClosed) {
  std::atomic<int> answered{0};
  std::atomic<int> closed{0};
  {
    Result<std::unique_ptr<Registry>> store = Open();
    ASSERT_TRUE(store.ok());
    for (int i = 0; i < 3000; ++i) {
      (*store)->Submit({{}, {Operation::Put("/" + std::to_string(i), "1")}, {}}, Instant::max(),
                       [&](Result<TxnResult> result) {
                         ++answered;
                         closed += result.code() == Code::kClosed;
                         EXPECT_TRUE(result.ok() || result.code() == Code::kClosed);
                       });
    }
  }
  EXPECT_EQ(answered, 3000);
}

// A child writes and says what was acknowledged; it is killed, and all of that is there.
TEST_F(SqliteStoreTest, KilledInTheMiddleNothingAcknowledgedIsLost) {
  std::mt19937_64 random(11);
  std::map<std::string, int> acknowledged;
  int total = 0;
  for (int round = 0; round < 12; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      Result<std::unique_ptr<Registry>> store = Open();
      if (!store.ok()) _exit(3);
      std::function<void(int, int)> next = [&](int chain, int value) {
        (*store)->Submit({{}, {Operation::Put("/chain/" + std::to_string(chain), std::to_string(value))}, {}},
                         Instant::max(), [&, chain, value](Result<TxnResult> result) {
                           if (!result.ok()) _exit(4);
                           const std::string line = std::to_string(chain) + " " + std::to_string(value) + "\n";
                           if (write(ends[1], line.data(), line.size()) < 0) _exit(5);
                           next(chain, value + 1);
                         });
      };
      for (int chain = 0; chain < 16; ++chain) next(chain, round * 1'000'000);
      std::this_thread::sleep_for(std::chrono::seconds(20));
      _exit(6);
    }
    close(ends[1]);
    std::this_thread::sleep_for(milliseconds(30 + random() % 120));
    ASSERT_EQ(kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);
    std::string text;
    char buffer[65536];
    for (ssize_t size = 0; (size = read(ends[0], buffer, sizeof(buffer))) > 0;)
      text.append(buffer, static_cast<std::size_t>(size));
    close(ends[0]);
    std::istringstream lines(text.substr(0, text.rfind('\n') + 1));
    std::string chain;
    for (int value = 0; lines >> chain >> value; ++total) acknowledged["/chain/" + chain] = value;
    Result<std::unique_ptr<Registry>> store = Open();
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    for (const auto& [key, value] : acknowledged) {
      const int found = std::stoi(Get(**store, key));
      // One more may have been written whose answer did not come out any more.
      ASSERT_GE(found, value) << key << " in round " << round;
      ASSERT_LE(found, std::max(value + 1, round * 1'000'000)) << key;
    }
  }
  EXPECT_GT(total, 500);
  std::printf("%d acknowledged transactions, 12 kills\n", total);
}

}  // namespace
}  // namespace accelmesh::registry
