#include "protocol/security/lease_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace accelmesh::security {
namespace {

LeaseFile Example() {
  LeaseFile file;
  file.endpoints = {"ipc:///run/mesh.sock", "tcp://127.0.0.1:7700"};
  file.server_key.bytes.fill(1);
  file.holder.key.bytes.fill(2);
  file.holder.secret.bytes.fill(3);
  file.token = Bytes(300, 4);
  file.lease = "lease-1";
  file.not_after_ms = 1'700'000'900'000;
  return file;
}

void ExpectSame(const LeaseFile& a, const LeaseFile& b) {
  EXPECT_EQ(a.endpoints, b.endpoints);
  EXPECT_EQ(a.server_key, b.server_key);
  EXPECT_EQ(a.holder.key, b.holder.key);
  EXPECT_EQ(a.holder.secret.bytes, b.holder.secret.bytes);
  EXPECT_EQ(a.token, b.token);
  EXPECT_EQ(a.lease, b.lease);
  EXPECT_EQ(a.not_after_ms, b.not_after_ms);
}

class LeaseFileTest : public ::testing::Test {
 protected:
  LeaseFileTest() {
    char path[] = "/tmp/lease_file_test_XXXXXX";
    root = ::mkdtemp(path);
  }
  ~LeaseFileTest() override { std::filesystem::remove_all(root); }
  static void ExpectFault(const Status& status, Code code, const std::string& says) {
    EXPECT_EQ(status.code(), code) << status.ToString();
    EXPECT_NE(status.text().find(says), std::string::npos) << status.text();
  }
  std::string Path() const { return root + "/lease"; }
  std::string root;
};

TEST_F(LeaseFileTest, WhatIsWrittenIsRead) {
  ASSERT_TRUE(WriteLeaseFile(Path(), Example()).ok());
  struct stat facts{};
  ASSERT_EQ(::stat(Path().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777, 0600U);
  const Result<LeaseFile> read = ReadLeaseFile(Path());
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  ExpectSame(*read, Example());
  // Nothing is left beside it.
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root), {}), 1);
}

TEST_F(LeaseFileTest, AReaderSeesTheOldOneOrTheNewOne) {
  ASSERT_TRUE(WriteLeaseFile(Path(), Example()).ok());
  std::thread writer([&] {
    for (int i = 0; i < 200; ++i) {
      LeaseFile next = Example();
      next.token = Bytes(4000, static_cast<std::uint8_t>(i));
      next.not_after_ms += i;
      EXPECT_TRUE(WriteLeaseFile(Path(), next).ok());
    }
  });
  for (int i = 0; i < 200; ++i) {
    const Result<LeaseFile> read = ReadLeaseFile(Path());
    ASSERT_TRUE(read.ok()) << read.status().ToString();
  }
  writer.join();
}

TEST_F(LeaseFileTest, WhatOthersCanReadIsRefused) {
  ASSERT_TRUE(WriteLeaseFile(Path(), Example()).ok());
  ASSERT_EQ(::chmod(Path().c_str(), 0640), 0);
  ExpectFault(ReadLeaseFile(Path()).status(), Code::kPermissionDenied, "chmod 600");
  ASSERT_EQ(::chmod(Path().c_str(), 0600), 0);
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(Path().c_str(), 65534, 65534), 0);
    ExpectFault(ReadLeaseFile(Path()).status(), Code::kPermissionDenied, "belongs to another user");
  }
  ExpectFault(ReadLeaseFile(root + "/none").status(), Code::kNotFound, "start the program with mesh-run");
  ASSERT_EQ(::symlink(Path().c_str(), (root + "/link").c_str()), 0);
  EXPECT_FALSE(ReadLeaseFile(root + "/link").ok());
  EXPECT_FALSE(ReadLeaseFile(root).ok());
}

TEST_F(LeaseFileTest, WhatIsNoneIsNotWrittenEither) {
  LeaseFile file = Example();
  file.lease = "with a blank";
  EXPECT_FALSE(WriteLeaseFile(Path(), file).ok());
  file = Example();
  file.endpoints.clear();
  EXPECT_FALSE(WriteLeaseFile(Path(), file).ok());
  EXPECT_TRUE(std::filesystem::is_empty(root));
}

TEST_F(LeaseFileTest, LinesThatAreWrongAreNamed) {
  const std::string text = LeaseFileText(Example());
  ASSERT_TRUE(ParseLeaseFile(text).ok());
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    return ParseLeaseFile(changed).status();
  };
  ExpectFault(with("accelmesh-lease 1", "accelmesh-lease 2"), Code::kVersionMismatch, "another version");
  ExpectFault(with("accelmesh-lease 1", "lease"), Code::kInvalidArgument, "no lease file");
  ExpectFault(with("lease lease-1\n", ""), Code::kInvalidArgument, "it has no lease");
  ExpectFault(with("lease lease-1", "leases lease-1"), Code::kInvalidArgument, "line 8 has no key");
  ExpectFault(with("lease lease-1", "lease lease-1\nlease lease-1"), Code::kInvalidArgument, "line 9 says lease again");
  ExpectFault(with("not-after-ms 1", "not-after-ms x"), Code::kInvalidArgument, "line 9 is no not-after-ms");
  ExpectFault(with("server-key 01", "server-key 0"), Code::kInvalidArgument, "line 4 is no server-key");
  ExpectFault(with("token 04", "token 4"), Code::kInvalidArgument, "line 7 is no token");
  ExpectFault(ParseLeaseFile("").status(), Code::kInvalidArgument, "it has no endpoint");
  for (std::size_t size = 0; size < text.size(); ++size) {
    const Status cut = ParseLeaseFile(std::string_view(text).substr(0, size)).status();
    ASSERT_FALSE(cut.ok()) << size;
    EXPECT_EQ(cut.text().find(HexOf(Example().holder.secret.bytes)), std::string::npos) << "a secret is repeated";
  }
  std::string many = text;
  for (int i = 0; i < 7; ++i) many += "endpoint tcp://127.0.0.1:1\n";
  ExpectFault(ParseLeaseFile(many).status(), Code::kInvalidArgument, "is no endpoint");
  ExpectFault(ParseLeaseFile(std::string(kLeaseFileBytesMax + 1, 'x')).status(), Code::kInvalidArgument, "larger");
}

TEST_F(LeaseFileTest, TheFolderIsTheUsersAlone) {
  ::setenv("XDG_RUNTIME_DIR", root.c_str(), 1);
  const Result<std::string> folder = LeaseFolder();
  ASSERT_TRUE(folder.ok()) << folder.status().ToString();
  EXPECT_EQ(*folder, root + "/accelmesh");
  EXPECT_TRUE(LeaseFolder().ok());
  ASSERT_EQ(::chmod(folder->c_str(), 0770), 0);
  ExpectFault(LeaseFolder().status(), Code::kPermissionDenied, "not a folder of this user alone");
  ::unsetenv("XDG_RUNTIME_DIR");
}

}  // namespace
}  // namespace accelmesh::security
