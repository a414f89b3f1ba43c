// Plans of backends, remembered across sessions and processes.
#include "server/session/plan_memory.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace accelmesh {
namespace {

class PlanMemoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "plan-memory-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    folder_ = root_ + "/in/plans";
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  static Bytes Of(std::string_view text) { return {text.begin(), text.end()}; }
  static std::string Said(const std::optional<Bytes>& plan) {
    return plan.has_value() ? std::string(AsText(*plan)) : "nothing";
  }
  std::vector<std::string> Files() const {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) files.push_back(entry.path().string());
    return files;
  }
  // The only one.
  std::string File() const {
    const std::vector<std::string> files = Files();
    EXPECT_EQ(files.size(), 1u);
    return files.empty() ? "" : files.front();
  }
  static Bytes Raw(const std::string& path) {
    std::ifstream stream(path, std::ios::binary);
    return Bytes(std::istreambuf_iterator<char>(stream), {});
  }
  static void WriteRaw(const std::string& path, ByteView bytes) {
    std::ofstream stream(path, std::ios::binary);
    stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }

  std::string root_;
  std::string folder_;
};

TEST_F(PlanMemoryTest, TheNextSessionFindsWhatOneKept) {
  PlanMemory one(folder_);
  EXPECT_EQ(Said(one.Find(Of("words"))), "nothing");
  one.Keep(Of("words"), Of("plan"));
  one.Keep(Of("other words"), Of(""));
  one.Keep(Of("words"), Of("a later plan"));
  EXPECT_EQ(Files().size(), 2u) << "nothing that was on its way is left";
  PlanMemory other(folder_);
  for (PlanMemory* memory : {&one, &other}) {
    EXPECT_EQ(Said(memory->Find(Of("words"))), "a later plan");
    EXPECT_EQ(Said(memory->Find(Of("other words"))), "");
    EXPECT_EQ(Said(memory->Find(Of("word"))), "nothing");
  }
  struct stat facts{};
  ASSERT_EQ(::stat(folder_.c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0700u);
}

TEST_F(PlanMemoryTest, NobodyFindsWhatAnotherHasKept) {
  const LibraryMemory::Owner key{1};
  PlanMemory own(folder_, key);
  own.Keep(Of("words"), Of("plan"));
  for (const LibraryMemory::Owner& owner : {LibraryMemory::Owner{}, LibraryMemory::Owner{2}}) {
    PlanMemory other(folder_, owner);
    EXPECT_EQ(Said(other.Find(Of("words"))), "nothing");
    other.Keep(Of("words"), Of("theirs"));
  }
  EXPECT_EQ(Said(PlanMemory(folder_, key).Find(Of("words"))), "plan");
}

TEST_F(PlanMemoryTest, AFileOfAnotherKeyIsNotThePlan) {
  PlanMemory memory(folder_);
  memory.Keep(Of("words"), Of("plan"));
  const Bytes file = Raw(File());
  const std::string place = File();
  std::filesystem::remove(place);
  memory.Keep(Of("other"), Of("plan of other"));
  const Bytes of_other = Raw(File());
  WriteRaw(place, of_other);
  EXPECT_EQ(Said(memory.Find(Of("words"))), "nothing");
  WriteRaw(place, file);
  EXPECT_EQ(Said(memory.Find(Of("words"))), "plan");
}

TEST_F(PlanMemoryTest, ADamagedFileIsReplaced) {
  PlanMemory memory(folder_);
  memory.Keep(Of("words"), Of("plan"));
  const std::string path = File();
  const Bytes whole = Raw(path);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Bytes changed = whole;
    changed[at] ^= 1;
    WriteRaw(path, changed);
    EXPECT_EQ(Said(memory.Find(Of("words"))), "nothing") << at;
    WriteRaw(path, ByteView(whole).first(at));
    EXPECT_EQ(Said(memory.Find(Of("words"))), "nothing") << at;
  }
  Bytes more = whole;
  more.push_back(0);
  WriteRaw(path, more);
  EXPECT_EQ(Said(memory.Find(Of("words"))), "nothing");
  std::filesystem::resize_file(path, std::uintmax_t{1} << 33);
  EXPECT_EQ(Said(memory.Find(Of("words"))), "nothing");
  memory.Keep(Of("words"), Of("plan"));
  EXPECT_EQ(Said(memory.Find(Of("words"))), "plan");
  EXPECT_EQ(Raw(File()), whole);
}

TEST_F(PlanMemoryTest, WhatOthersMayWriteIsNotRead) {
  PlanMemory memory(folder_);
  memory.Keep(Of("words"), Of("plan"));
  const std::string path = File();
  ::chmod(path.c_str(), 0622);
  EXPECT_EQ(Said(memory.Find(Of("words"))), "nothing");
  ::chmod(path.c_str(), 0600);
  EXPECT_EQ(Said(memory.Find(Of("words"))), "plan");
  const std::string elsewhere = root_ + "/elsewhere";
  std::filesystem::rename(path, elsewhere);
  std::filesystem::create_symlink(elsewhere, path);
  EXPECT_EQ(Said(memory.Find(Of("words"))), "nothing");
  memory.Keep(Of("words"), Of("another plan"));
  EXPECT_EQ(Said(memory.Find(Of("words"))), "another plan");
  EXPECT_FALSE(std::filesystem::is_symlink(path)) << "it was replaced, not written through";
}

TEST_F(PlanMemoryTest, TheyAreBoundedAndThoseLongestUnusedGo) {
  constexpr std::size_t kMax = 16;
  PlanMemory memory(folder_, {}, kMax);
  const auto key = [](std::size_t i) { return Of("words " + std::to_string(i)); };
  // Times of files move on by the clock's tick.
  const auto age = [&](std::size_t i) {
    for (const std::string& path : Files())
      std::filesystem::last_write_time(path, std::filesystem::last_write_time(path) - std::chrono::seconds(i));
  };
  std::size_t most = 0;
  for (std::size_t i = 0; i < 4 * kMax; ++i) {
    memory.Keep(key(i), Of("plan"));
    most = std::max(most, Files().size());
    age(10);
    ASSERT_EQ(Said(memory.Find(key(0))), "plan") << "it is used all the time; " << i;
  }
  EXPECT_EQ(most, kMax);
  EXPECT_EQ(Said(memory.Find(key(1))), "nothing");
  EXPECT_EQ(Said(memory.Find(key(4 * kMax - 1))), "plan");
}

TEST_F(PlanMemoryTest, WhatIsTooLongIsForgotten) {
  PlanMemory memory(folder_);
  const Bytes longest_key(PlanMemory::kKeyBytesMax, 1), longest(PlanMemory::kPlanBytesMax, 2);
  memory.Keep(longest_key, longest);
  EXPECT_EQ(memory.Find(longest_key), longest);
  const Bytes longer_key(PlanMemory::kKeyBytesMax + 1, 1), longer(PlanMemory::kPlanBytesMax + 1, 2);
  memory.Keep(longer_key, Of("plan"));
  memory.Keep(Of("words"), longer);
  EXPECT_EQ(Said(memory.Find(longer_key)), "nothing");
  EXPECT_EQ(Said(memory.Find(Of("words"))), "nothing");
  EXPECT_EQ(Files().size(), 1u);
}

TEST_F(PlanMemoryTest, WithoutAPlaceNothingIsRemembered) {
  for (const std::string& folder : {std::string(), root_ + "/file/plans"}) {
    WriteRaw(root_ + "/file", Of("a file"));
    PlanMemory memory(folder);
    memory.Keep(Of("words"), Of("plan"));
    EXPECT_EQ(Said(memory.Find(Of("words"))), "nothing");
  }
}

TEST_F(PlanMemoryTest, ProcessesKeepAndFindAtTheSameTime) {
  constexpr int kProcesses = 4, kRounds = 100, kKeys = 24;
  constexpr std::size_t kMax = 16;
  const auto plan = [](int key) { return Bytes(4096, static_cast<std::uint8_t>(key)); };
  for (int process = 0; process < kProcesses; ++process) {
    if (::fork() != 0) continue;
    PlanMemory memory(folder_, {}, kMax);
    for (int i = 0; i < kRounds; ++i) {
      const int key = (i * 7 + process) % kKeys;
      const std::string name = std::to_string(key);
      if (const auto found = memory.Find(Of(name)); found.has_value() && *found != plan(key)) ::_exit(1);
      memory.Keep(Of(name), plan(key));
    }
    ::_exit(0);
  }
  for (int process = 0; process < kProcesses; ++process) {
    int status = 0;
    ASSERT_GT(::wait(&status), 0);
    EXPECT_EQ(status, 0) << "half a plan was found, or another's";
  }
  PlanMemory memory(folder_, {}, kMax);
  memory.Keep(Of("last"), Of("plan"));
  EXPECT_LE(Files().size(), kMax);
  EXPECT_EQ(Said(memory.Find(Of("last"))), "plan");
}

}  // namespace
}  // namespace accelmesh
