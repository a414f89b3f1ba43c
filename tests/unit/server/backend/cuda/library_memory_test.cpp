// What libraries answered, in a file that processes share.
#include "server/backend/cuda/library_memory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace accelmesh::cuda {
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
  std::uint64_t FileBytes() const { return std::filesystem::file_size(path_); }

  std::string folder_;
  std::string path_;
};

TEST_F(LibraryMemoryTest, AnotherProcessFindsWhatOneKept) {
  LibraryMemory one(path_);
  EXPECT_FALSE(one.Find(Of("question")).has_value());
  one.Keep(Of("question"), Of("answer"));
  one.Keep(Of("another"), {});
  EXPECT_EQ(one.Find(Of("question")), Of("answer"));
  LibraryMemory other(path_);
  EXPECT_EQ(other.Find(Of("question")), Of("answer"));
  EXPECT_EQ(other.Find(Of("another")), Bytes());
  EXPECT_FALSE(other.Find(Of("a third")).has_value());
  // Both append.
  other.Keep(Of("a third"), Of("more"));
  one.Keep(Of("a fourth"), Of("yet more"));
  LibraryMemory last(path_);
  EXPECT_EQ(last.Find(Of("a third")), Of("more"));
  EXPECT_EQ(last.Find(Of("a fourth")), Of("yet more"));
}

TEST_F(LibraryMemoryTest, AFileThatWasTornIsBelievedUpToThere) {
  LibraryMemory one(path_);
  one.Keep(Of("whole"), Of("answer"));
  const std::uint64_t whole = FileBytes();
  one.Keep(Of("torn"), Of("answer"));
  for (const std::uint64_t bytes : {FileBytes() - 1, whole + 30, whole + 3, whole - 1}) {
    std::filesystem::resize_file(path_, bytes);
    LibraryMemory other(path_);
    EXPECT_EQ(other.Find(Of("whole")).has_value(), bytes >= whole) << bytes;
    EXPECT_FALSE(other.Find(Of("torn")).has_value()) << bytes;
  }
  // What is kept next is found again.
  LibraryMemory next(path_);
  next.Keep(Of("next"), Of("answer"));
  EXPECT_EQ(LibraryMemory(path_).Find(Of("next")), Of("answer"));
}

TEST_F(LibraryMemoryTest, AChangedByteIsNoAnswer) {
  LibraryMemory one(path_);
  one.Keep(Of("question"), Of("answer"));
  for (std::uint64_t at = 0; at < FileBytes(); ++at) {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const char before = static_cast<char>(file.get());
    const auto write = [&](char byte) {
      file.seekp(static_cast<std::streamoff>(at));
      file.put(byte);
      file.flush();
    };
    write(static_cast<char>(before ^ 0x40));
    const bool is_reserved = at >= 12 && at < 16;
    EXPECT_EQ(LibraryMemory(path_).Find(Of("question")).has_value(), is_reserved) << at;
    write(before);
  }
  EXPECT_EQ(LibraryMemory(path_).Find(Of("question")), Of("answer"));
}

TEST_F(LibraryMemoryTest, WhatOthersMayWriteIsNotRead) {
  LibraryMemory(path_).Keep(Of("question"), Of("answer"));
  ASSERT_EQ(::chmod(path_.c_str(), 0622), 0);
  EXPECT_FALSE(LibraryMemory(path_).Find(Of("question")).has_value());
  // Nor added to; it is remembered here.
  const std::uint64_t bytes = FileBytes();
  LibraryMemory own(path_);
  own.Keep(Of("another"), Of("answer"));
  EXPECT_EQ(FileBytes(), bytes);
  EXPECT_EQ(own.Find(Of("another")), Of("answer"));
  ASSERT_EQ(::chmod(path_.c_str(), 0600), 0);
  std::filesystem::rename(path_, path_ + "-real");
  std::filesystem::create_symlink(path_ + "-real", path_);
  EXPECT_FALSE(LibraryMemory(path_).Find(Of("question")).has_value());
}

TEST_F(LibraryMemoryTest, AFileThatIsTooLargeBeginsAnew) {
  LibraryMemory(path_).Keep(Of("old"), Of("answer"));
  std::filesystem::resize_file(path_, LibraryMemory::kFileBytesMax + 1);
  LibraryMemory one(path_);
  EXPECT_FALSE(one.Find(Of("old")).has_value());
  one.Keep(Of("new"), Of("answer"));
  EXPECT_LT(FileBytes(), 1024u);
  EXPECT_EQ(LibraryMemory(path_).Find(Of("new")), Of("answer"));
}

TEST_F(LibraryMemoryTest, WithoutAPlaceItIsTheProcesss) {
  LibraryMemory none("");
  none.Keep(Of("question"), Of("answer"));
  EXPECT_EQ(none.Find(Of("question")), Of("answer"));
  LibraryMemory impossible("/proc/nowhere/answers");
  impossible.Keep(Of("question"), Of("answer"));
  EXPECT_EQ(impossible.Find(Of("question")), Of("answer"));
}

}  // namespace
}  // namespace accelmesh::cuda
