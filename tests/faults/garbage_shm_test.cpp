// Clients of shm that write into the session's memory and its unix socket without the channel's manners.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <random>

#include "protocol/transport/shm_layout.h"
#include "protocol/transport/shm_socket.h"
#include "tests/faults/garbage.h"

namespace accelmesh::faults {
namespace {

// The shared memory of a session, without the channel's manners.
class ScribblerTest : public GarbageTest {
 protected:
  std::shared_ptr<shm::Memory> ConnectRaw(int* socket_fd) {
    const auto endpoint = ParseEndpoint(server_->url());
    const auto path = shm::SocketPath(*endpoint, false);
    const int fd = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path->c_str(), path->size() + 1);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    shm::Message hello;
    hello.kind = shm::MessageKind::kHello;
    hello.bytes = HelloFrame();
    EXPECT_TRUE(shm::SendMessage(fd, hello, In(kPatienceMs)).ok());
    auto welcome = shm::ReceiveMessage(fd, In(kPatienceMs));
    EXPECT_TRUE(welcome.ok()) << welcome.status().ToString();
    *socket_fd = fd;
    if (!welcome.ok()) return nullptr;
    auto memory = shm::Memory::Attach(welcome->fd);
    EXPECT_TRUE(memory.ok()) << memory.status().ToString();
    return memory.ok() ? *memory : nullptr;
  }
  void ExpectGone(int socket_fd, const char* what) {
    ++attacks_;
    for (int i = 0; i < 1000 && !shm::IsHungUp(socket_fd); ++i) poll(nullptr, 0, 10);
    EXPECT_TRUE(shm::IsHungUp(socket_fd)) << what;
    close(socket_fd);
    for (int i = 0; i < 500 && server_->Count("is ended: bad_frame") < attacks_; ++i) poll(nullptr, 0, 10);
    EXPECT_EQ(server_->Count("is ended: bad_frame"), attacks_) << what << "\n" << server_->Log();
  }
};

TEST_P(ScribblerTest, PositionsThatAreNone) {
  for (const std::uint64_t tail : {std::uint64_t{5}, std::uint64_t{shm::kFrameRingBytes + 8}, ~std::uint64_t{7}}) {
    for (const shm::RingIndex ring : {shm::kCommandRing, shm::kSideRing, shm::kUpBulkRing}) {
      int fd = -1;
      const auto memory = ConnectRaw(&fd);
      ASSERT_NE(memory, nullptr);
      memory->shared().rings[ring].tail.store(tail);
      shm::Ring(memory->shared().server);
      ExpectGone(fd, "a tail that is none");
    }
  }
}

TEST_P(ScribblerTest, SizesThatAreNone) {
  for (const std::uint64_t size : {std::uint64_t{limits::kFrameBytesMax + 1}, std::uint64_t{100}, ~std::uint64_t{0}}) {
    int fd = -1;
    const auto memory = ConnectRaw(&fd);
    ASSERT_NE(memory, nullptr);
    std::memcpy(memory->RingData(shm::kCommandRing), &size, sizeof(size));
    memory->shared().rings[shm::kCommandRing].tail.store(16);
    shm::Ring(memory->shared().server);
    ExpectGone(fd, "a record's size that is none");
  }
}

TEST_P(ScribblerTest, AnnouncementsOutsideOfTheArena) {
  for (const shm::Announcement& claim :
       {shm::Announcement{1, 0, shm::kUnits - 1, limits::kBulkBytesMax}, shm::Announcement{1, 0, 0xffffffff, 1},
        shm::Announcement{1, 0, 0, 0xffffffff}}) {
    int fd = -1;
    const auto memory = ConnectRaw(&fd);
    ASSERT_NE(memory, nullptr);
    const std::uint64_t size = sizeof(claim);
    std::memcpy(memory->RingData(shm::kUpBulkRing), &size, sizeof(size));
    std::memcpy(memory->RingData(shm::kUpBulkRing) + 8, &claim, sizeof(claim));
    memory->shared().rings[shm::kUpBulkRing].tail.store(8 + sizeof(claim));
    shm::Ring(memory->shared().server);
    ExpectGone(fd, "an announcement outside of the arena");
  }
}

// Valid frames in a ring that is rewritten while the server reads it, at random places, of random words.
TEST_P(ScribblerTest, RewritesTheRingWhileItIsRead) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 12; ++round) {
    int fd = -1;
    const auto memory = ConnectRaw(&fd);
    ASSERT_NE(memory, nullptr);
    shm::Shared& shared = memory->shared();
    const Bytes open = OpenFrame().bytes();
    shm::RingProducer commands(shared.rings[shm::kCommandRing], memory->RingData(shm::kCommandRing),
                               shm::kFrameRingBytes, shared.server);
    ASSERT_EQ(commands.TryPush(open), shm::RingStatus::kOk);
    auto* words = reinterpret_cast<std::atomic<std::uint64_t>*>(&shared);
    auto* ring = reinterpret_cast<std::atomic<std::uint64_t>*>(memory->RingData(shm::kCommandRing));
    std::uint64_t sequence = 2;
    const Deadline deadline = In(3000);
    while (!deadline.passed() && !shm::IsHungUp(fd)) {
      for (int i = 0; i < 20; ++i) {
        if (commands.TryPush(Frame(sequence).Add(wire::Ping(1)).bytes()) == shm::RingStatus::kOk) ++sequence;
        // Now and then the words of the rings, mostly the bytes in flight.
        ring[random() % 4096].store(random(), std::memory_order_relaxed);
        if (random() % 64 == 0) {
          words[random() % (sizeof(shm::Shared) / 8)].store(random(), std::memory_order_relaxed);
        }
      }
    }
    // Words may have been hit that end the connection without being a bad frame; what counts is that it ended.
    EXPECT_TRUE(shm::IsHungUp(fd)) << "round " << round;
    close(fd);
  }
}

// The memory behind the descriptor cannot be cut away under the server.
TEST_P(ScribblerTest, CannotShrinkTheMemory) {
  int fd = -1;
  const auto memory = ConnectRaw(&fd);
  ASSERT_NE(memory, nullptr);
  EXPECT_NE(ftruncate(memory->fd(), 4096), 0);
  close(fd);
}

INSTANTIATE_TEST_SUITE_P(All, ScribblerTest, ::testing::Values("shm"), NameOf);

// The unix socket of a session that is open: shared memory, right and wrong.
class SideChannelTest : public ScribblerTest {
 protected:
  void TearDown() override {
    if (fd_ >= 0) close(fd_);
    ScribblerTest::TearDown();
  }
  void Open() {
    memory_ = ConnectRaw(&fd_);
    ASSERT_NE(memory_, nullptr);
  }
  // What the worker answers.
  Result<shm::Message> Share(std::uint32_t region, int memfd, std::uint64_t size) {
    shm::Message request;
    request.kind = shm::MessageKind::kShare;
    request.argument = region;
    request.size = size;
    request.fd = memfd;
    ACCELMESH_RETURN_IF_ERROR(shm::SendMessage(fd_, request, In(kPatienceMs)));
    return shm::ReceiveMessage(fd_, In(kPatienceMs));
  }
  void ExpectShared(std::uint32_t region, int memfd, std::uint64_t size) {
    const auto answer = Share(region, memfd, size);
    ASSERT_TRUE(answer.ok()) << answer.status().ToString();
    EXPECT_EQ(answer->kind, shm::MessageKind::kShared);
    EXPECT_EQ(answer->argument, region);
    EXPECT_EQ(answer->size, 0u) << AsText(answer->bytes);
  }
  void ExpectRefused(std::uint32_t region, int memfd, std::uint64_t size, Code code, std::string_view reason) {
    const auto answer = Share(region, memfd, size);
    ASSERT_TRUE(answer.ok()) << answer.status().ToString();
    EXPECT_EQ(answer->kind, shm::MessageKind::kShared);
    EXPECT_EQ(static_cast<Code>(answer->size), code) << AsText(answer->bytes);
    EXPECT_NE(AsText(answer->bytes).find(reason), std::string_view::npos) << AsText(answer->bytes);
  }
  // A datagram as it is, with descriptors.
  void SendRaw(ByteView bytes, const std::vector<int>& descriptors) {
    iovec part{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
    std::vector<std::uint64_t> control((CMSG_SPACE(descriptors.size() * sizeof(int)) + 7) / 8);
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (!descriptors.empty()) {
      header.msg_control = control.data();
      header.msg_controllen = CMSG_SPACE(descriptors.size() * sizeof(int));
      cmsghdr* rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
      std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size() * sizeof(int));
    }
    EXPECT_EQ(sendmsg(fd_, &header, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  void ExpectEndedNow(const char* what) {
    ExpectGone(fd_, what);
    fd_ = -1;
  }

  int fd_ = -1;
  std::shared_ptr<shm::Memory> memory_;
};

// A memfd of `bytes` with `seals`, closed with its owner.
class Memfd {
 public:
  explicit Memfd(std::uint64_t bytes, int seals = F_SEAL_SHRINK)
      : fd_(memfd_create("region", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
    EXPECT_EQ(ftruncate(fd_, static_cast<off_t>(bytes)), 0);
    EXPECT_EQ(fcntl(fd_, F_ADD_SEALS, seals), 0);
  }
  ~Memfd() { close(fd_); }
  Memfd(const Memfd&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

// A refusal is an answer: the session goes on and shares what is right.
TEST_P(SideChannelTest, MemoryThatCannotBeShared) {
  Open();
  constexpr const char* kUnsealed = "no memfd sealed with F_SEAL_SHRINK";
  constexpr const char* kTooSmall = "smaller than the size given";
  ExpectRefused(1, -1, 4096, Code::kInvalidArgument, kUnsealed);
  ExpectRefused(1, Memfd(4096, 0).fd(), 4096, Code::kInvalidArgument, kUnsealed);
  ExpectRefused(1, Memfd(4096, F_SEAL_GROW).fd(), 4096, Code::kInvalidArgument, kUnsealed);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  ExpectRefused(1, null, 4096, Code::kInvalidArgument, kUnsealed);
  close(null);
  ExpectRefused(1, memory_->fd(), ~std::uint64_t{0}, Code::kInvalidArgument, kTooSmall);
  ExpectRefused(1, Memfd(4096).fd(), 0, Code::kInvalidArgument, kTooSmall);
  ExpectRefused(1, Memfd(4096).fd(), 4097, Code::kInvalidArgument, kTooSmall);
  // Sparse: as large as it says, and larger than any region may be.
  constexpr std::uint64_t kTooLarge = limits::kAllocationBytesMax + 4096;
  ExpectRefused(1, Memfd(kTooLarge).fd(), kTooLarge, Code::kInvalidArgument, kTooSmall);
  ExpectRefused(1, Memfd(4096, F_SEAL_SHRINK | F_SEAL_WRITE).fd(), 4096, Code::kSystem, "mmap");
  ExpectShared(1, Memfd(4096).fd(), 4096);
}

TEST_P(SideChannelTest, ARegionThatIsSharedTwice) {
  Open();
  const Memfd memory(8192);
  ExpectShared(7, memory.fd(), 4096);
  ExpectRefused(7, memory.fd(), 8192, Code::kInvalidArgument, "shared already");
  ExpectShared(~0u, memory.fd(), 8192);
}

TEST_P(SideChannelTest, MoreRegionsThanASessionMayShare) {
  Open();
  const Memfd memory(4096);
  for (std::uint32_t region = 0; region < limits::kSharedRegionsMax; ++region) {
    ExpectShared(region, memory.fd(), 4096);
    ASSERT_FALSE(HasFailure());
  }
  ExpectRefused(limits::kSharedRegionsMax, memory.fd(), 4096, Code::kLimitExceeded, "at most 4096 regions");
}

TEST_P(SideChannelTest, MessagesOfAnotherKind) {
  for (const std::uint32_t kind : {0u, 1u, 2u, 3u, 5u, 99u, ~0u}) {
    Open();
    shm::Message message;
    message.kind = static_cast<shm::MessageKind>(kind);
    const Memfd memory(4096);
    message.fd = memory.fd();
    ASSERT_TRUE(shm::SendMessage(fd_, message, In(kPatienceMs)).ok());
    ExpectEndedNow("a message of another kind");
  }
}

TEST_P(SideChannelTest, MessagesOfAnotherShape) {
  const Memfd memory(4096);
  Bytes share(16);
  share[0] = static_cast<std::uint8_t>(shm::MessageKind::kShare);
  // Two, as many as are looked at, and more than that.
  for (const std::size_t count : {2u, 4u, 5u, 100u}) {
    Open();
    SendRaw(share, std::vector<int>(count, memory.fd()));
    ExpectEndedNow("several descriptors");
  }
  Open();
  SendRaw(ByteView(share).first(15), {memory.fd()});
  ExpectEndedNow("less than a header");
  Open();
  SendRaw(Bytes(16 + shm::kMessageBytesMax + 1, share[0]), {});
  ExpectEndedNow("more than a message may hold");
}

INSTANTIATE_TEST_SUITE_P(All, SideChannelTest, ::testing::Values("shm"), NameOf);

}  // namespace
}  // namespace accelmesh::faults
