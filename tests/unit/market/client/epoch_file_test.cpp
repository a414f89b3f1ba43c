#include "market/client/epoch_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

namespace accelmesh::market {
namespace {

using testing::HasSubstr;

class EpochFileTest : public testing::Test {
 protected:
  EpochFileTest() {
    std::filesystem::create_directories(ACCELMESH_SCRATCH);
    std::string name = ACCELMESH_SCRATCH "/epochs-XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~EpochFileTest() override { std::filesystem::remove_all(folder_); }
  std::string path() const { return folder_ + "/epochs"; }
  std::unique_ptr<EpochFile> Open() {
    Result<std::unique_ptr<EpochFile>> file = EpochFile::Open(path());
    EXPECT_TRUE(file.ok()) << file.status().ToString();
    return file.ok() ? std::move(*file) : nullptr;
  }
  std::string Content() const {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void Write(const std::string& bytes) const { std::ofstream(path(), std::ios::binary) << bytes; }
  std::string folder_;
};

TEST_F(EpochFileTest, AnOlderEpochIsRefusedAlsoAfterOpeningAnew) {
  {
    const auto file = Open();
    EXPECT_TRUE(file->Accept("gpu0", 5).ok());
    EXPECT_TRUE(file->Accept("gpu0", 5).ok()) << "another session of the same lease";
    EXPECT_TRUE(file->Accept("gpu0", 7).ok());
    EXPECT_TRUE(file->Accept("gpu1", 1).ok());
    EXPECT_EQ(file->Accept("gpu0", 6).code(), Code::kPermissionDenied);
  }
  const auto file = Open();
  EXPECT_EQ(file->Highest("gpu0"), 7u);
  EXPECT_EQ(file->Highest("gpu1"), 1u);
  EXPECT_EQ(file->Highest("gpu2"), 0u);
  const Status refused = file->Accept("gpu0", 6);
  EXPECT_EQ(refused.code(), Code::kPermissionDenied);
  EXPECT_THAT(refused.text(), HasSubstr("epoch 6, and epoch 7 was granted since"));
  EXPECT_EQ(file->Accept("", 1).code(), Code::kInvalidArgument);
  EXPECT_EQ(file->Accept("gpu0", 0).code(), Code::kInvalidArgument);
  EXPECT_EQ(file->Accept(std::string(kSlotNameBytesMax + 1, 'x'), 1).code(), Code::kInvalidArgument);
  EXPECT_THAT(EpochFile::Open(path()).status().text(), HasSubstr("in use by another gpu-server"));
}

TEST_F(EpochFileTest, IsWrittenAnewBeforeItGrowsWithoutEnd) {
  const auto file = Open();
  for (std::uint64_t epoch = 1; epoch <= 5000; ++epoch) ASSERT_TRUE(file->Accept("gpu0", epoch).ok());
  EXPECT_LT(std::filesystem::file_size(path()), 4500u * 18);
  EXPECT_EQ(file->Highest("gpu0"), 5000u);
  EXPECT_EQ(EpochFile::Parse(AsBytes(std::string_view(Content())))->epochs.at("gpu0"), 5000u)
      << "the new file is the one in use";
}

TEST_F(EpochFileTest, WhatIsCutOffAtTheEndWasNeverAccepted) {
  {
    const auto file = Open();
    for (std::uint64_t epoch = 1; epoch <= 30; ++epoch) ASSERT_TRUE(file->Accept("gpu0", epoch).ok());
  }
  const std::string good = Content();
  const std::size_t record = (good.size() - 8) / 30;
  for (std::size_t cut = 0; cut < record; ++cut) {
    Write(good.substr(0, good.size() - cut));
    const auto file = Open();
    EXPECT_EQ(file->Highest("gpu0"), cut == 0 ? 30u : 29u) << cut;
    EXPECT_TRUE(file->Accept("gpu0", 31).ok()) << "and goes on behind what is whole";
    EXPECT_EQ(EpochFile::Parse(AsBytes(std::string_view(Content())))->epochs.at("gpu0"), 31u);
  }
  for (std::size_t at = 0; at + record < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    Write(bad);
    const Result<std::unique_ptr<EpochFile>> file = EpochFile::Open(path());
    // Near the end, a length that is damaged looks like a record that was cut off.
    if (file.ok()) {
      EXPECT_GT(at, good.size() - 300) << at;
    } else {
      EXPECT_THAT(file.status().text(), HasSubstr("is damaged"));
    }
  }
}

TEST_F(EpochFileTest, KilledInTheMiddleNothingAcceptedIsForgotten) {
  std::mt19937_64 random(5);
  std::uint64_t accepted = 0;
  for (int round = 0; round < 10; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      Result<std::unique_ptr<EpochFile>> file = EpochFile::Open(path());
      if (!file.ok()) _exit(3);
      for (std::uint64_t epoch = (*file)->Highest("gpu0") + 1;; ++epoch) {
        if (!(*file)->Accept("gpu0", epoch).ok()) _exit(4);
        const std::string line = std::to_string(epoch) + "\n";
        if (write(ends[1], line.data(), line.size()) < 0) _exit(5);
      }
    }
    close(ends[1]);
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + random() % 60));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
    std::string text;
    char buffer[4096];
    for (ssize_t size = 0; (size = read(ends[0], buffer, sizeof(buffer))) > 0;)
      text.append(buffer, static_cast<std::size_t>(size));
    close(ends[0]);
    std::istringstream lines(text.substr(0, text.rfind('\n') + 1));
    for (std::uint64_t epoch = 0; lines >> epoch;) accepted = epoch;
    const auto file = Open();
    ASSERT_NE(file, nullptr);
    EXPECT_GE(file->Highest("gpu0"), accepted);
    EXPECT_LE(file->Highest("gpu0"), accepted + 1);
    if (accepted > 1) {
      EXPECT_EQ(file->Accept("gpu0", accepted - 1).code(), Code::kPermissionDenied);
    }
    accepted = file->Highest("gpu0");  // the next one may be killed before it says anything
  }
  EXPECT_GT(accepted, 20u);
}

}  // namespace
}  // namespace accelmesh::market
