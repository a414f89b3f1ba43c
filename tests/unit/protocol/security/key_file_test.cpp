#include "protocol/security/key_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace accelmesh::security {
namespace {

class KeyFolderTest : public ::testing::Test {
 protected:
  KeyFolderTest() {
    char path[] = "/tmp/key_folder_test_XXXXXX";
    root = ::mkdtemp(path);
  }
  ~KeyFolderTest() override { std::filesystem::remove_all(root); }

  static unsigned ModeOf(const std::string& path) {
    struct stat facts{};
    EXPECT_EQ(::stat(path.c_str(), &facts), 0) << path;
    return facts.st_mode & 0777;
  }
  static void ExpectFault(const Status& status, Code code, const std::string& says) {
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_NE(status.text().find(says), std::string::npos) << status.text();
  }

  std::string root;
  KeyFolder folder() const { return KeyFolder(root + "/keys"); }
};

TEST_F(KeyFolderTest, WhatIsCreatedIsLoadedAndListed) {
  EXPECT_TRUE(folder().List()->empty());
  const Result<Identity> alice = folder().Create("alice", Role::kTenant, 1000);
  ASSERT_TRUE(alice.ok()) << alice.status().ToString();
  ASSERT_TRUE(folder().Create("market-1", Role::kAdmin, 2000).ok());
  EXPECT_EQ(ModeOf(root + "/keys"), 0700U);
  EXPECT_EQ(ModeOf(root + "/keys/alice.key"), 0600U);
  const Result<Identity> loaded = folder().Load("alice");
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  EXPECT_EQ(loaded->key.public_key(), alice->key.public_key());
  EXPECT_EQ(loaded->role, Role::kTenant);
  EXPECT_EQ(loaded->created_ms, 1000);
  const auto all = folder().List();
  ASSERT_TRUE(all.ok());
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ((*all)[0].name, "alice");
  EXPECT_EQ((*all)[1].name, "market-1");
  EXPECT_EQ((*all)[1].role, Role::kAdmin);
  EXPECT_EQ((*all)[0].public_key, alice->key.public_key());
}

TEST_F(KeyFolderTest, AKeyIsNeverOverwritten) {
  const Result<Identity> first = folder().Create("alice", Role::kTenant, 1);
  ExpectFault(folder().Create("alice", Role::kTenant, 2).status(), Code::kInvalidArgument,
              "there is a key alice already; rotate it, or take another name");
  EXPECT_EQ(folder().Load("alice")->key.public_key(), first->key.public_key());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root + "/keys"), {}), 1);
}

TEST_F(KeyFolderTest, RotatedKeysStay) {
  const Result<Identity> first = folder().Create("alice", Role::kWitness, 5);
  const Result<Identity> second = folder().Rotate("alice", 5);
  const Result<Identity> third = folder().Rotate("alice", 9);
  ASSERT_TRUE(second.ok() && third.ok()) << second.status().ToString() << third.status().ToString();
  EXPECT_EQ(folder().Load("alice")->key.public_key(), third->key.public_key());
  EXPECT_EQ(folder().Load("alice")->role, Role::kWitness);
  const auto all = folder().List();
  ASSERT_EQ(all->size(), 3U);
  EXPECT_EQ((*all)[0].public_key, first->key.public_key());
  EXPECT_TRUE((*all)[0].is_old);
  EXPECT_EQ((*all)[1].public_key, second->key.public_key());
  EXPECT_FALSE((*all)[2].is_old);
  EXPECT_EQ(ModeOf((*all)[0].path), 0600U);
  EXPECT_EQ(ModeOf((*all)[2].path), 0600U);
}

TEST_F(KeyFolderTest, WhatOthersCouldReadIsRefused) {
  ASSERT_TRUE(folder().Create("alice", Role::kTenant, 1).ok());
  const std::string path = root + "/keys/alice.key";
  for (const mode_t mode : {0640, 0604, 0620, 0602, 0610}) {
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
    ExpectFault(folder().Load("alice").status(), Code::kPermissionDenied,
                "alice.key can be read or written by others: chmod 600 it");
    EXPECT_NE((*folder().List())[0].fault, "");
  }
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  EXPECT_TRUE(folder().Load("alice").ok());
  ASSERT_EQ(::chmod((root + "/keys").c_str(), 0755), 0);
  ExpectFault(folder().Load("alice").status(), Code::kPermissionDenied, "chmod 700 it");
  ExpectFault(folder().Create("bob", Role::kTenant, 1).status(), Code::kPermissionDenied, "chmod 700 it");
  ExpectFault(folder().Rotate("alice", 2).status(), Code::kPermissionDenied, "chmod 700 it");
}

TEST_F(KeyFolderTest, OddFilesAreRefusedByName) {
  ExpectFault(folder().Load("alice").status(), Code::kNotFound, "create a key with slotctl keys create");
  ASSERT_TRUE(folder().Create("alice", Role::kTenant, 1).ok());
  ExpectFault(folder().Load("bob").status(), Code::kNotFound, "bob.key is not there");
  for (const char* name : {"", "../alice", "a/b", "Alice", "a b", ".", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    ExpectFault(folder().Load(name).status(), Code::kInvalidArgument, "1 to 32 lower-case letters");
    ExpectFault(folder().Create(name, Role::kTenant, 1).status(), Code::kInvalidArgument, "1 to 32 lower-case letters");
  }
  const std::string keys = root + "/keys/";
  ASSERT_EQ(::symlink("alice.key", (keys + "link.key").c_str()), 0);
  EXPECT_FALSE(folder().Load("link").ok());
  ASSERT_EQ(::mkfifo((keys + "pipe.key").c_str(), 0600), 0);
  ExpectFault(folder().Load("pipe").status(), Code::kInvalidArgument, "is no file");
  std::filesystem::copy_file(keys + "alice.key", keys + "bob.key");
  ExpectFault(folder().Load("bob").status(), Code::kInvalidArgument, "is the key of alice; rename the file back");
  std::ofstream(keys + "bob.key", std::ios::trunc) << "accelmesh-key 1\nname bob\n";
  ExpectFault(folder().Load("bob").status(), Code::kInvalidArgument,
              "bob.key: no role in its third line; restore the file");
  std::ofstream(keys + "bob.key", std::ios::trunc) << std::string(5000, 'x');
  ExpectFault(folder().Load("bob").status(), Code::kInvalidArgument, "larger than a key file");
}

TEST(KeyTextTest, EveryPartCounts) {
  const std::string seed(64, 'a');
  const std::string good = "accelmesh-key 1\nname a\nrole admin\ncreated-ms 7\ned25519-seed " + seed + "\n";
  const Result<Identity> identity = ParseKeyText(good);
  ASSERT_TRUE(identity.ok()) << identity.status().ToString();
  EXPECT_EQ(KeyText(*identity), good);
  for (std::size_t size = 0; size < good.size(); ++size) EXPECT_FALSE(ParseKeyText(good.substr(0, size)).ok()) << size;
  EXPECT_FALSE(ParseKeyText(good + "\n").ok());
  for (const auto& [from, to] : {std::pair<std::string, std::string>{"key 1", "key 2"},
                                 {"name a", "name A"},
                                 {"role admin", "role root"},
                                 {"ms 7", "ms -7"},
                                 {"ms 7", "ms 7x"},
                                 {"seed a", "seed A"}}) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    const Result<Identity> wrong = ParseKeyText(text);
    ASSERT_FALSE(wrong.ok()) << to;
    EXPECT_EQ(wrong.status().text().find(seed.substr(0, 10)), std::string::npos) << "a secret in a message";
  }
}

}  // namespace
}  // namespace accelmesh::security
