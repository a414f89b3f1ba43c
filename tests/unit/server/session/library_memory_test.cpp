// What libraries answered, remembered across sessions and processes.
#include "server/session/library_memory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace accelmesh {
namespace {

class LibraryMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "library-memory-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/in/answers";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  static Bytes Of(std::string_view text) { return {text.begin(), text.end()}; }
  static LibraryAnswer Answer(std::string_view text, std::uint32_t status = 0) { return {status, Of(text)}; }
  static Bytes Numbered(std::uint32_t number, std::size_t bytes) {
    Bytes question(bytes);
    std::memcpy(question.data(), &number, sizeof(number));
    return question;
  }
  static std::string Said(const std::optional<LibraryAnswer>& answer) {
    return answer.has_value() ? std::to_string(answer->status) + std::string(AsText(answer->results)) : "nothing";
  }
  std::uint64_t FileBytes() const { return std::filesystem::file_size(path_); }

  std::string folder_;
  std::string path_;
};

TEST_F(LibraryMemoryTest, AnotherProcessFindsWhatOneKept) {
  LibraryMemory one(path_);
  EXPECT_FALSE(one.Find("cudnn", 1, Of("question")).has_value());
  one.Keep("cudnn", 1, Of("question"), Answer("answer"));
  one.Keep("cudnn", 1, Of("another"), Answer("", 3000));
  EXPECT_EQ(Said(one.Find("cudnn", 1, Of("question"))), "0answer");
  LibraryMemory other(path_);
  EXPECT_EQ(Said(other.Find("cudnn", 1, Of("question"))), "0answer");
  EXPECT_EQ(Said(other.Find("cudnn", 1, Of("another"))), "3000");
  EXPECT_EQ(Said(other.Find("cudnn", 1, Of("a third"))), "nothing");
}

// Another build of a library, another device, another function: another question.
TEST_F(LibraryMemoryTest, AnAnswerIsOfItsIdentityAndFunction) {
  LibraryMemory memory(path_);
  memory.Keep("cudnn 91500", 1, Of("question"), Answer("answer"));
  EXPECT_EQ(Said(memory.Find("cudnn 91501", 1, Of("question"))), "nothing");
  EXPECT_EQ(Said(memory.Find("cudnn 91500", 2, Of("question"))), "nothing");
  EXPECT_EQ(Said(memory.Find("cudnn 91500", 1, Of("question"))), "0answer");
  EXPECT_TRUE(memory.All("cudnn 91501").empty());
  ASSERT_EQ(memory.All("cudnn 91500").size(), 1u);
}

TEST_F(LibraryMemoryTest, NobodyIsToldWhatAnotherHasAsked) {
  const LibraryMemory::Owner key{1};
  LibraryMemory own(path_, key);
  own.Keep("cudnn", 1, Of("question"), Answer("answer"));
  for (const LibraryMemory::Owner& owner : {LibraryMemory::Owner{}, LibraryMemory::Owner{2}}) {
    LibraryMemory other(path_, owner);
    EXPECT_TRUE(other.All("cudnn").empty());
    EXPECT_EQ(Said(other.Find("cudnn", 1, Of("question"))), "nothing");
    other.Keep("cudnn", 1, Of("question"), Answer("theirs"));
  }
  LibraryMemory next(path_, key);
  EXPECT_EQ(Said(next.Find("cudnn", 1, Of("question"))), "0answer");
}

TEST_F(LibraryMemoryTest, WhatWasAskedLastComesFirst) {
  {
    LibraryMemory first(path_);
    for (const char* question : {"a", "b", "c"}) first.Keep("cudnn", 7, Of(question), Answer(question));
    first.Keep("cublaslt", 7, Of("d"), Answer("d"));
  }
  const auto order = [this](LibraryMemory& memory) {
    std::string questions;
    for (const LibraryMemory::Remembered& one : memory.All("cudnn")) {
      EXPECT_EQ(one.function, 7u);
      EXPECT_EQ(one.question, one.answer.results);
      questions += AsText(one.question);
    }
    return questions;
  };
  LibraryMemory second(path_);
  EXPECT_EQ(order(second), "cba");
  EXPECT_TRUE(second.Find("cudnn", 7, Of("a")).has_value());
  EXPECT_EQ(order(second), "acb");
  // Another process hears of it, once.
  const std::uint64_t bytes = FileBytes();
  EXPECT_TRUE(second.Find("cudnn", 7, Of("a")).has_value());
  EXPECT_EQ(FileBytes(), bytes);
  LibraryMemory third(path_);
  EXPECT_EQ(order(third), "acb");
}

TEST_F(LibraryMemoryTest, TheLastAnswerCounts) {
  LibraryMemory one(path_);
  LibraryMemory other(path_);
  one.Keep("cudnn", 1, Of("question"), Answer("first"));
  other.Keep("cudnn", 1, Of("question"), Answer("second"));
  EXPECT_EQ(Said(LibraryMemory(path_).Find("cudnn", 1, Of("question"))), "0second");
}

TEST_F(LibraryMemoryTest, ProcessesWriteAtTheSameTime) {
  constexpr std::uint32_t kProcesses = 4;
  constexpr std::uint32_t kQuestions = 200;
  std::vector<pid_t> children;
  for (std::uint32_t process = 0; process < kProcesses; ++process) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      LibraryMemory memory(path_);
      for (std::uint32_t i = 0; i < kQuestions; ++i) memory.Keep("cudnn", process, Numbered(i, 100), Answer("answer"));
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  LibraryMemory memory(path_);
  EXPECT_EQ(memory.All("cudnn").size(), std::size_t{kProcesses} * kQuestions);
}

TEST_F(LibraryMemoryTest, ProcessesReplaceAFullFileAtTheSameTime) {
  constexpr std::uint32_t kProcesses = 3;
  constexpr std::uint32_t kQuestions = 300;
  constexpr std::size_t kBytes = LibraryMemory::kQuestionBytesMax;  // the file is full six times over
  std::vector<pid_t> children;
  for (std::uint32_t process = 0; process < kProcesses; ++process) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      LibraryMemory memory(path_);
      for (std::uint32_t i = 0; i < kQuestions; ++i)
        memory.Keep("cudnn", process, Numbered(i, kBytes), Answer("answer"));
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
  }
  EXPECT_LE(FileBytes(), LibraryMemoryFile::kFileBytesMax);
  std::ifstream stream(path_, std::ios::binary);
  const Bytes file(std::istreambuf_iterator<char>(stream), {});
  const LibraryMemoryFile::Parsed parsed = LibraryMemoryFile::Parse(file);
  EXPECT_EQ(parsed.whole_bytes, file.size()) << "no record is in pieces";
  EXPECT_GE(parsed.records.size(), LibraryMemoryFile::kFileBytesMax / 2 / (kBytes + 100) - 1);
  // Whoever was the last, its last answer is there.
  LibraryMemory memory(path_);
  ASSERT_FALSE(memory.All("cudnn").empty());
  const LibraryMemory::Remembered last = memory.All("cudnn").front();
  EXPECT_EQ(last.question, Numbered(kQuestions - 1, kBytes));
}

TEST_F(LibraryMemoryTest, ItIsBoundedAndTheOldestGo) {
  LibraryMemory memory("");
  constexpr std::size_t kBytes = LibraryMemory::kQuestionBytesMax;
  constexpr std::uint32_t kMany = 2 * LibraryMemoryFile::kFileBytesMax / kBytes;
  for (std::uint32_t i = 0; i < kMany; ++i) memory.Keep("cudnn", 1, Numbered(i, kBytes), Answer("answer"));
  EXPECT_EQ(Said(memory.Find("cudnn", 1, Numbered(0, kBytes))), "nothing");
  EXPECT_EQ(Said(memory.Find("cudnn", 1, Numbered(kMany - 1, kBytes))), "0answer");
  std::size_t bytes = 0;
  for (const LibraryMemory::Remembered& one : memory.All("cudnn")) bytes += one.question.size();
  EXPECT_LE(bytes, LibraryMemoryFile::kFileBytesMax);
  EXPECT_GE(bytes, LibraryMemoryFile::kFileBytesMax / 2 - 2 * kBytes);
}

TEST_F(LibraryMemoryTest, WhatIsTooLongIsForgotten) {
  LibraryMemory memory(path_);
  const Bytes longest = Numbered(1, LibraryMemory::kQuestionBytesMax);
  const Bytes longer = Numbered(1, LibraryMemory::kQuestionBytesMax + 1);
  memory.Keep("cudnn", 1, longest, {0, Bytes(LibraryMemory::kResultBytesMax)});
  memory.Keep("cudnn", 1, longer, Answer("answer"));
  memory.Keep("cudnn", 2, longest, {0, Bytes(LibraryMemory::kResultBytesMax + 1)});
  LibraryMemory other(path_);
  for (LibraryMemory* one : {&memory, &other}) {
    EXPECT_TRUE(one->Find("cudnn", 1, longest).has_value());
    EXPECT_FALSE(one->Find("cudnn", 1, longer).has_value());
    EXPECT_FALSE(one->Find("cudnn", 2, longest).has_value());
  }
}

TEST_F(LibraryMemoryTest, WithoutAPlaceItIsTheProcesss) {
  for (const char* path : {"", "/proc/nowhere/answers"}) {
    LibraryMemory memory(path);
    memory.Keep("cudnn", 1, Of("question"), Answer("answer"));
    EXPECT_EQ(Said(memory.Find("cudnn", 1, Of("question"))), "0answer") << path;
  }
}

TEST_F(LibraryMemoryTest, ItLiesAmongTheUsersCaches) {
  ::setenv("XDG_CACHE_HOME", "/caches", 1);
  EXPECT_EQ(LibraryMemory::PathOf("answers"), "/caches/accelmesh/answers");
  ::unsetenv("XDG_CACHE_HOME");
  ::setenv("HOME", "/of", 1);
  EXPECT_EQ(LibraryMemory::PathOf("answers"), "/of/.cache/accelmesh/answers");
  ::unsetenv("HOME");
  EXPECT_EQ(LibraryMemory::PathOf("answers"), "");
}

}  // namespace
}  // namespace accelmesh
