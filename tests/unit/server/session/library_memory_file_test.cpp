// The file of what libraries answered: what it holds, and what becomes of it when it is damaged, foreign or full.
#include "server/session/library_memory_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "protocol/base/log.h"

namespace accelmesh {
namespace {

std::vector<std::string>& Lines() {
  static std::vector<std::string> lines;
  return lines;
}

class LibraryMemoryFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "library-memory-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/answers";
    Lines().clear();
    log::SetSink([](log::Level, std::string_view line) { Lines().emplace_back(line); });
  }
  void TearDown() override {
    log::SetSink(nullptr);
    std::filesystem::remove_all(folder_);
  }
  static ByteView Of(std::string_view text) { return AsBytes(text); }
  void Keep(std::string_view key, std::string_view results = "answer", std::uint32_t status = 0) {
    LibraryMemoryFile(path_).Append({Of(key), status, Of(results)});
  }
  // The keys in it as another process finds them, in their order.
  std::string Keys() {
    const Bytes file = LibraryMemoryFile(path_).Read();
    std::string keys;
    const LibraryMemoryFile::Parsed parsed = LibraryMemoryFile::Parse(file);
    EXPECT_EQ(parsed.whole_bytes, file.size());
    for (const LibraryMemoryFile::Record& record : parsed.records) keys += std::string(AsText(record.key)) + " ";
    return keys;
  }
  Bytes Raw() const {
    std::ifstream stream(path_, std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(stream), {});
  }
  void WriteRaw(ByteView bytes) const {
    std::ofstream stream(path_, std::ios::binary);
    stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }

  std::string folder_;
  std::string path_;
};

TEST_F(LibraryMemoryFileTest, WhatIsAppendedIsRead) {
  EXPECT_EQ(Keys(), "");
  EXPECT_FALSE(std::filesystem::exists(path_)) << "reading makes no file";
  Keep("one", "first", 3);
  Keep("two", "");
  const Bytes file = LibraryMemoryFile(path_).Read();
  const LibraryMemoryFile::Parsed parsed = LibraryMemoryFile::Parse(file);
  ASSERT_EQ(parsed.records.size(), 2u);
  EXPECT_EQ(AsText(parsed.records[0].key), "one");
  EXPECT_EQ(parsed.records[0].status, 3u);
  EXPECT_EQ(AsText(parsed.records[0].results), "first");
  EXPECT_EQ(AsText(parsed.records[1].key), "two");
  EXPECT_TRUE(parsed.records[1].results.empty());
  EXPECT_TRUE(Lines().empty());
}

TEST_F(LibraryMemoryFileTest, AFileThatWasCutIsReplacedByWhatIsWhole) {
  Keep("whole");
  const std::size_t whole = Raw().size();
  Keep("cut");
  const Bytes file = Raw();
  for (std::size_t bytes = whole + 1; bytes < file.size(); ++bytes) {
    WriteRaw(ByteView(file).first(bytes));
    Lines().clear();
    EXPECT_EQ(Keys(), "whole ") << bytes;
    ASSERT_EQ(Lines().size(), 1u) << bytes;
    EXPECT_NE(Lines()[0].find("damaged at byte " + std::to_string(whole)), std::string::npos) << Lines()[0];
    EXPECT_EQ(Raw().size(), whole);
    EXPECT_EQ(Keys(), "whole ");
    EXPECT_EQ(Lines().size(), 1u) << "said once";
  }
  Keep("next");
  EXPECT_EQ(Keys(), "whole next ");
}

TEST_F(LibraryMemoryFileTest, NoBitMayChange) {
  Keep("question", "answer", 7);
  const Bytes file = Raw();
  for (std::size_t at = 0; at < file.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes changed = file;
      changed[at] = static_cast<std::uint8_t>(changed[at] ^ 1u << bit);
      EXPECT_TRUE(LibraryMemoryFile::Parse(changed).records.empty()) << at << ", " << bit;
    }
  }
}

TEST_F(LibraryMemoryFileTest, LengthsOfAnotherSizeAreNotBelieved) {
  Keep("question");
  for (const std::size_t place : {std::size_t{4}, std::size_t{12}}) {
    for (const std::uint32_t length :
         {std::uint32_t{0xffffffff}, std::uint32_t{64 << 10} + 1, std::uint32_t{64 << 10}}) {
      Bytes file = Raw();
      std::memcpy(file.data() + place, &length, sizeof(length));
      EXPECT_EQ(LibraryMemoryFile::Parse(file).whole_bytes, 0u);
    }
  }
}

TEST_F(LibraryMemoryFileTest, AFileOfSomethingElseIsReplaced) {
  WriteRaw(Of("#!/bin/sh\necho this is no file of answers at all, but a text that somebody has put here\n"));
  EXPECT_EQ(Keys(), "");
  EXPECT_EQ(Lines().size(), 1u);
  Keep("one");
  EXPECT_EQ(Keys(), "one ");
}

TEST_F(LibraryMemoryFileTest, AFileThatIsTooLargeIsNotRead) {
  Keep("old");
  std::filesystem::resize_file(path_, LibraryMemoryFile::kFileBytesMax + 1);
  EXPECT_EQ(Keys(), "");
  EXPECT_EQ(Lines().size(), 1u);
  EXPECT_EQ(Raw().size(), 0u);
  // Who appends does not read it either.
  std::filesystem::resize_file(path_, std::uintmax_t{1} << 40);
  Keep("new");
  EXPECT_EQ(Keys(), "new ");
}

TEST_F(LibraryMemoryFileTest, AFullFileKeepsItsLaterHalfEachKeyOnce) {
  constexpr std::size_t kBytes = 60 << 10;
  const std::string results(kBytes, 'r');
  const std::size_t fit = LibraryMemoryFile::kFileBytesMax / (kBytes + 30);
  Keep("twice", results);
  for (std::size_t i = 0; i + 2 < fit; ++i) Keep(std::to_string(i), results);
  Keep("twice", results);
  EXPECT_EQ(LibraryMemoryFile::Parse(Raw()).records.size(), fit);
  Keep("last", results);
  const std::string keys = Keys();
  EXPECT_TRUE(keys.ends_with(" twice last ")) << keys;
  EXPECT_EQ(keys.find("twice"), keys.rfind("twice"));
  EXPECT_FALSE(keys.starts_with("0 ") || keys.starts_with("twice")) << keys;
  const std::size_t bytes = Raw().size();
  EXPECT_LE(bytes, LibraryMemoryFile::kFileBytesMax / 2 + kBytes + 100);
  EXPECT_GE(bytes, LibraryMemoryFile::kFileBytesMax / 2 - kBytes);
  EXPECT_TRUE(Lines().empty());
}

TEST_F(LibraryMemoryFileTest, WhatOthersMayWriteIsNeitherReadNorWritten) {
  Keep("one");
  const Bytes before = Raw();
  ASSERT_EQ(::chmod(path_.c_str(), 0622), 0);
  EXPECT_EQ(Keys(), "");
  Keep("two");
  EXPECT_EQ(Raw(), before);
  ASSERT_EQ(::chmod(path_.c_str(), 0600), 0);
  EXPECT_EQ(Keys(), "one ");
  std::filesystem::rename(path_, path_ + "-real");
  std::filesystem::create_symlink(path_ + "-real", path_);
  EXPECT_EQ(Keys(), "");
  Keep("two");
  path_ += "-real";
  EXPECT_EQ(Raw(), before);
}

TEST_F(LibraryMemoryFileTest, AFileThatAnotherHoldsIsNotWaitedForLong) {
  Keep("one");
  const int held = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(held, 0);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  Keep("two");
  EXPECT_EQ(Keys(), "");
  ::close(held);
  EXPECT_EQ(Keys(), "one ");
}

// A process that waited for the file finds that another one has been put in its place.
TEST_F(LibraryMemoryFileTest, WhatIsAppendedGoesIntoTheFileOfThatName) {
  Keep("one");
  const int held = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_EQ(::flock(held, LOCK_EX), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::close(held);  // or it would hold the lock, too
    for (bool was_moved = false; !was_moved;) {
      was_moved = std::filesystem::exists(path_ + "-old");
      Keep("two");
    }
    ::_exit(0);
  }
  ::usleep(5000);
  std::filesystem::rename(path_, path_ + "-old");
  ::close(held);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(Keys().starts_with("two ")) << Keys();
  path_ += "-old";
  EXPECT_EQ(Keys(), "one ");
}

}  // namespace
}  // namespace accelmesh
