#include "tools/agent/profile_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace accelmesh::agent {
namespace {

namespace fs = std::filesystem;

class ProfileStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = (fs::temp_directory_path() / "profiles-XXXXXX").string();
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    folder_ = path;
  }
  void TearDown() override { fs::remove_all(folder_); }
  static Profile Some() {
    Profile profile;
    agent::Run run;
    run.lasted_us = 5;
    run.memory_bytes_high = 77;
    AddRun(profile, run);
    return profile;
  }
  std::string folder_;
};

TEST_F(ProfileStoreTest, WhatIsSavedIsLoaded) {
  const ProfileStore store(folder_ + "/a/b");
  EXPECT_EQ(*store.Load("k"), Profile{});
  ASSERT_TRUE(store.Save("k", Some()).ok());
  EXPECT_EQ(*store.Load("k"), Some());
  struct stat facts{};
  ASSERT_EQ(::stat((folder_ + "/a/b/k.profile").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600U);
  ASSERT_EQ(::stat((folder_ + "/a/b").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0700U);
}

TEST_F(ProfileStoreTest, WhatIsNoProfileCountsAsNoneAndSaysSo) {
  const ProfileStore store(folder_);
  std::ofstream(folder_ + "/text.profile") << "hello";
  std::ofstream(folder_ + "/large.profile") << std::string(kProfileBytesMax + 1, 'x');
  fs::create_directory(folder_ + "/folder.profile");
  ASSERT_TRUE(store.Save("good", Some()).ok());
  fs::create_symlink(folder_ + "/good.profile", folder_ + "/link.profile");
  ASSERT_EQ(::mkfifo((folder_ + "/pipe.profile").c_str(), 0600), 0);
  for (const char* key : {"text", "large", "folder", "link", "pipe"}) {
    const auto loaded = store.Load(key);
    ASSERT_FALSE(loaded.ok()) << key;
    EXPECT_NE(loaded.status().text().find(key), std::string::npos) << loaded.status().text();
  }
  // And is replaced by the next run, but for folders.
  ASSERT_TRUE(store.Save("link", Some()).ok());
  EXPECT_EQ(*store.Load("link"), Some());
}

TEST_F(ProfileStoreTest, TheOldestGoes) {
  const ProfileStore store(folder_);
  for (std::size_t i = 0; i < kProfilesMax + 5; ++i) {
    ASSERT_TRUE(store.Save("p" + std::to_string(i), Some()).ok());
    const auto age = std::chrono::hours(24) - std::chrono::seconds(i);
    fs::last_write_time(folder_ + "/p" + std::to_string(i) + ".profile", fs::file_time_type::clock::now() - age);
  }
  std::size_t files = 0;
  for ([[maybe_unused]] const auto& file : fs::directory_iterator(folder_)) ++files;
  EXPECT_LE(files, kProfilesMax);
  EXPECT_EQ(*store.Load("p0"), Profile{});
  EXPECT_EQ(*store.Load("p" + std::to_string(kProfilesMax + 4)), Some());
}

}  // namespace
}  // namespace accelmesh::agent
