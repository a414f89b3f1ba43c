// What goes between the supervisor and a worker, from a worker that does not keep to it.
#include "server/main/ticket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <iterator>

namespace accelmesh {
namespace {

class TicketTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    supervisor_ = pair[0];
    worker_ = pair[1];
    file_ = ::memfd_create("file", MFD_CLOEXEC);
  }
  void TearDown() override {
    for (const int fd : {supervisor_, worker_, file_}) ::close(fd);
  }
  static std::size_t OpenFiles() {
    const std::filesystem::directory_iterator open("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(open), end(open)));
  }
  // One message with `count` copies of the file.
  void SendFiles(ByteView message, std::size_t count) const {
    iovec io{const_cast<std::uint8_t*>(message.data()), message.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(8 * sizeof(int))] = {};
    msghdr header{};
    header.msg_iov = &io;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(count * sizeof(int));
    cmsghdr* item = CMSG_FIRSTHDR(&header);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (std::size_t i = 0; i < count; ++i) std::memcpy(CMSG_DATA(item) + i * sizeof(int), &file_, sizeof(int));
    ASSERT_GE(::sendmsg(worker_, &header, 0), 0);
  }
  Status Receive(LeaseRequest* request, int* fd) const {
    return ReceiveMessage(supervisor_, {reinterpret_cast<std::uint8_t*>(request), sizeof(*request)}, fd);
  }

  int supervisor_ = -1;
  int worker_ = -1;
  int file_ = -1;
};

TEST_F(TicketTest, ARequestArrivesAsItIsWithItsDescriptor) {
  LeaseRequest sent;
  sent.number = 7;
  sent.kind = LeaseRequest::kOffer;
  sent.piece_bytes = ~std::uint64_t{0};
  ASSERT_TRUE(SendMessage(worker_, AsBytes(sent), file_).ok());
  LeaseRequest got;
  int fd = -1;
  ASSERT_TRUE(Receive(&got, &fd).ok());
  EXPECT_EQ(std::memcmp(&got, &sent, sizeof(got)), 0);
  ASSERT_GE(fd, 0);
  ::close(fd);
  ASSERT_TRUE(SendMessage(worker_, AsBytes(sent), -1).ok());
  ASSERT_TRUE(Receive(&got, &fd).ok());
  EXPECT_EQ(fd, -1);
}

TEST_F(TicketTest, DescriptorsThatNobodyAskedForDoNotStay) {
  const LeaseRequest request;
  for (const std::size_t count : {2, 3, 8}) {
    const std::size_t before = OpenFiles();
    SendFiles(AsBytes(request), count);
    LeaseRequest got;
    int fd = -1;
    (void)Receive(&got, &fd).ok();
    ASSERT_GE(fd, 0);
    ::close(fd);
    EXPECT_EQ(OpenFiles(), before) << count;
  }
}

TEST_F(TicketTest, AMessageOfAnotherSizeIsNone) {
  for (const std::size_t bytes : {std::size_t{1}, sizeof(LeaseRequest) - 1}) {
    const Bytes message(bytes, 1);
    ASSERT_TRUE(SendMessage(worker_, message, -1).ok());
    LeaseRequest got;
    int fd = -1;
    EXPECT_EQ(Receive(&got, &fd).code(), Code::kBadFrame);
  }
}

}  // namespace
}  // namespace accelmesh
