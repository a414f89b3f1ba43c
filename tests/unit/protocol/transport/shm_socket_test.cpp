#include "protocol/transport/shm_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

namespace accelmesh::shm {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

Deadline Soon() { return Deadline::After(std::chrono::seconds(5)); }

std::size_t OpenDescriptors() {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

class SocketPathTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/accelmesh-path-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    root_ = pattern;
    if (const char* before = std::getenv("XDG_RUNTIME_DIR")) before_ = before;
    setenv("XDG_RUNTIME_DIR", pattern, 1);
  }
  void TearDown() override {
    fs::remove_all(root_);
    before_.has_value() ? setenv("XDG_RUNTIME_DIR", before_->c_str(), 1) : unsetenv("XDG_RUNTIME_DIR");
  }
  fs::path Folder() const { return root_ / "accelmesh"; }
  static Result<std::string> Path(bool create, const char* name = "box") {
    Endpoint endpoint;
    endpoint.scheme = Endpoint::Scheme::kShm;
    endpoint.path = name;
    return SocketPath(endpoint, create);
  }
  static void ExpectRefused() {
    for (const bool create : {false, true}) {
      const auto path = Path(create);
      EXPECT_EQ(path.code(), Code::kPermissionDenied);
      EXPECT_THAT(path.status().text(), HasSubstr("not a folder of this user with mode 0700"));
    }
  }

  fs::path root_;
  std::optional<std::string> before_;
};

TEST_F(SocketPathTest, IsMadeForTheUserAlone) {
  const auto missing = Path(/*create=*/false);
  EXPECT_EQ(missing.code(), Code::kUnavailable);
  EXPECT_THAT(missing.status().text(), HasSubstr("--listen shm://box"));
  EXPECT_FALSE(fs::exists(Folder()));
  for (const bool create : {true, true, false}) {
    const auto path = Path(create);
    ASSERT_TRUE(path.ok()) << path.status().ToString();
    EXPECT_EQ(*path, (Folder() / "box.sock").string());
  }
  struct stat info{};
  ASSERT_EQ(lstat(Folder().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
}

TEST_F(SocketPathTest, AFolderThatOthersMayEnterIsRefused) {
  fs::create_directory(Folder());
  for (const mode_t mode : {0755u, 0750u, 0710u, 0701u, 0777u}) {
    ASSERT_EQ(chmod(Folder().c_str(), mode), 0);
    ExpectRefused();
  }
  ASSERT_EQ(chmod(Folder().c_str(), 0700), 0);
  EXPECT_TRUE(Path(false).ok());
}

TEST_F(SocketPathTest, AFolderOfSomebodyElseIsRefused) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  fs::create_directory(Folder());
  ASSERT_EQ(chmod(Folder().c_str(), 0700), 0);
  ASSERT_EQ(chown(Folder().c_str(), 12345, static_cast<gid_t>(-1)), 0);
  ExpectRefused();
}

TEST_F(SocketPathTest, WhatIsNoFolderIsRefused) {
  std::ofstream(Folder()) << "a file";
  ASSERT_EQ(chmod(Folder().c_str(), 0700), 0);
  ExpectRefused();
  fs::remove(Folder());
  // A link to a folder that would do: who made the link may turn it elsewhere.
  fs::create_directory(root_ / "elsewhere");
  ASSERT_EQ(chmod((root_ / "elsewhere").c_str(), 0700), 0);
  fs::create_directory_symlink(root_ / "elsewhere", Folder());
  ExpectRefused();
}

TEST_F(SocketPathTest, WithoutARuntimeFolderItLiesInTmp) {
  const fs::path fallback = "/tmp/accelmesh-" + std::to_string(geteuid());
  const bool was_there = fs::exists(fallback);
  for (const char* runtime : {"", "relative/folder"}) {
    setenv("XDG_RUNTIME_DIR", runtime, 1);
    const auto path = Path(/*create=*/true);
    ASSERT_TRUE(path.ok()) << path.status().ToString();
    EXPECT_EQ(*path, (fallback / "box.sock").string());
  }
  unsetenv("XDG_RUNTIME_DIR");
  EXPECT_EQ(Path(true).ok() ? *Path(true) : "", (fallback / "box.sock").string());
  EXPECT_FALSE(fs::exists("relative"));
  if (!was_there) rmdir(fallback.c_str());
}

TEST_F(SocketPathTest, WhatCannotBeSaysWhy) {
  const auto long_name = Path(true, std::string(120, 'n').c_str());
  EXPECT_EQ(long_name.code(), Code::kInvalidArgument);
  EXPECT_THAT(long_name.status().text(), HasSubstr("too long for a unix socket"));
  setenv("XDG_RUNTIME_DIR", (root_ / "not" / "there").c_str(), 1);
  EXPECT_EQ(Path(true).code(), Code::kSystem);
  EXPECT_EQ(Path(false).code(), Code::kUnavailable);
}

class MessageTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends_.data()), 0); }
  void TearDown() override {
    for (const int fd : ends_) close(fd);
  }
  // A datagram of `bytes` with `count` descriptors.
  void SendRaw(ByteView bytes, std::size_t count) {
    iovec part{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    std::vector<int> descriptors(count, ends_[0]);
    std::vector<std::uint64_t> control((CMSG_SPACE(count * sizeof(int)) + 7) / 8);
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof(int));
    std::memcpy(CMSG_DATA(rights), descriptors.data(), count * sizeof(int));
    ASSERT_EQ(sendmsg(ends_[0], &header, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }

  std::array<int, 2> ends_{-1, -1};
};

TEST_F(MessageTest, ArrivesAsItWasSent) {
  Message sent;
  sent.kind = MessageKind::kShare;
  sent.argument = 7;
  sent.size = 1u << 20;
  sent.bytes = Bytes(kMessageBytesMax, 3);
  sent.fd = ends_[0];
  ASSERT_TRUE(SendMessage(ends_[0], sent, Soon()).ok());
  const auto got = ReceiveMessage(ends_[1], Soon());
  ASSERT_TRUE(got.ok()) << got.status().ToString();
  EXPECT_EQ(got->kind, sent.kind);
  EXPECT_EQ(got->argument, sent.argument);
  EXPECT_EQ(got->size, sent.size);
  EXPECT_EQ(got->bytes, sent.bytes);
  EXPECT_GE(got->fd, 0);
  close(got->fd);
  sent.bytes.push_back(3);
  EXPECT_EQ(SendMessage(ends_[0], sent, Soon()).code(), Code::kLimitExceeded);
}

TEST_F(MessageTest, SeveralDescriptorsAreRefusedAndClosed) {
  const std::size_t before = OpenDescriptors();
  for (const std::size_t count : {2u, 4u, 5u, 100u}) {
    SendRaw(Bytes(16, 4), count);
    EXPECT_EQ(ReceiveMessage(ends_[1], Soon()).code(), Code::kBadFrame) << count;
    EXPECT_EQ(OpenDescriptors(), before) << count;
  }
}

TEST_F(MessageTest, WhatIsTooShortOrTooLongIsRefusedAndItsDescriptorClosed) {
  const std::size_t before = OpenDescriptors();
  for (const std::size_t size : {std::size_t{1}, std::size_t{15}, 16 + kMessageBytesMax + 1}) {
    SendRaw(Bytes(size, 4), 1);
    EXPECT_EQ(ReceiveMessage(ends_[1], Soon()).code(), Code::kBadFrame) << size;
    EXPECT_EQ(OpenDescriptors(), before) << size;
  }
}

TEST_F(MessageTest, WaitsEndAtTheirDeadlineAndWithThePeer) {
  EXPECT_EQ(ReceiveMessage(ends_[1], Deadline(Instant{})).code(), Code::kDeadlineExceeded);
  EXPECT_FALSE(IsHungUp(ends_[1]));
  shutdown(ends_[0], SHUT_RDWR);
  EXPECT_TRUE(IsHungUp(ends_[1]));
  EXPECT_EQ(ReceiveMessage(ends_[1], Soon()).code(), Code::kClosed);
  EXPECT_EQ(SendMessage(ends_[1], Message{}, Soon()).code(), Code::kClosed);
}

}  // namespace
}  // namespace accelmesh::shm
