// What a session of a lease lets its client export and open.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/unit/server/session/session_fixture.h"

namespace accelmesh {
namespace {

// The part for what is opened: the last quarter of the device's.
constexpr std::uint64_t kImports = kBase + 1023 * limits::kMiB / 4 * 3;
constexpr std::uint64_t kOwn = 1;
constexpr std::uint64_t kOther = 2;

int MakeFile() {
  const int fd = ::memfd_create("lease", MFD_CLOEXEC);
  EXPECT_EQ(::ftruncate(fd, static_cast<off_t>(LeaseTable::kBytes + limits::kGiB)), 0);
  return fd;
}

class SessionLeaseTest : public SessionTest {
 protected:
  // One page before the allocation and one behind it, in a file of their own.
  static constexpr std::uint64_t kLead = limits::kPageBytes;
  static constexpr std::uint64_t kBytes = 8192;
  static constexpr std::uint64_t kSpan = 4 * limits::kPageBytes;

  // The other session exports the same at each of two entries.
  class Supervisor final : public LeaseKeeper {
   public:
    explicit Supervisor(int file) : file_(file) {}
    Result<int> FileOf(std::uint64_t session) override {
      if (session == kOther) return ::dup(file_);
      return Status(Code::kNotFound, "Supervisor", "no such session");
    }
    Status Offer(const LeaseName&, std::uint32_t, const SharedPiece&) override { return Status::Ok(); }
    void EndOffer(const LeaseName&) override {}
    Result<SharedPiece> PieceOf(const LeaseName&, std::uint32_t) override {
      return SharedPiece{1, 0, kSpan, ::dup(file_)};
    }

   private:
    int file_;
  };

  void SetUp() override {
    file_ = *LeaseFile::Open(MakeFile());
    for (const std::uint32_t slot : {0, 1}) {
      LeaseTable::Memory& entry = file_->table().memory[slot];
      entry.span = kSpan;
      entry.lead = kLead;
      entry.bytes = kBytes;
      entry.pieces = 1;
      entry.generation = 1;
    }
    lease_ = *Lease::Take(MakeFile(), 0, kOwn, std::make_unique<Supervisor>(file_->fd()));
  }
  Status Run() {
    Session session(channel_, backend_, false, lease_.get());
    return session.Run();
  }
  void OpenMemory(std::uint32_t slot, std::uint64_t address) {
    Post(wire::IpcOpen(wire::LeaseName(kOther, 1, slot, 0), address, kBytes, 0, 0));
  }
  void ExpectAnswers(const std::vector<DeviceStatus>& statuses) {
    EXPECT_EQ(Run().code(), Code::kClosed);
    for (std::size_t i = 0; i < statuses.size(); ++i)
      EXPECT_EQ(Answer(i + 1).device_status(), static_cast<std::uint32_t>(statuses[i])) << i;
  }

  std::shared_ptr<LeaseFile> file_;
  std::unique_ptr<Lease> lease_;
};

TEST_F(SessionLeaseTest, WhatIsMappedWithAnAllocationLiesInItsPartAndOverNothing) {
  Open();
  OpenMemory(0, kImports);  // its lead would lie before the part
  OpenMemory(0, kImports + kLead);
  OpenMemory(1, kImports + kLead + kBytes);  // in what lies behind the first
  OpenMemory(1, kImports + kSpan + kLead);
  Post(wire::IpcClose(kImports + kLead, 0, 0));
  OpenMemory(0, kImports + kLead);
  ExpectAnswers({kDeviceInvalidValue, kDeviceOk, kDeviceInvalidValue, kDeviceOk, kDeviceOk, kDeviceOk});
}

TEST_F(SessionLeaseTest, CopiesReachTheAllocationOnly) {
  const auto fill = [this](std::uint64_t address) { Post(wire::Fill(address, 4, 4, 4, 1, 1, 0, 1, 0, 0)); };
  Open();
  OpenMemory(0, kImports + kLead);
  fill(kImports + kLead + kBytes - 4);
  Check([this] { EXPECT_EQ(channel_.error(), 0u); });
  fill(kImports + kLead - 4);
  Check([this] { EXPECT_EQ(channel_.error(), static_cast<std::uint32_t>(kDeviceInvalidValue)); });
  ExpectAnswers({kDeviceOk});
}

TEST_F(SessionLeaseTest, AnExportIsAnsweredOnceItsMemoryIsThere) {
  Open();
  Post(wire::MemAlloc(kBase, 4096, 0, 0));
  Post(wire::IpcExport(kBase, 0, 0));
  // The backend does not have it when it is first asked.
  Check([this] { EXPECT_TRUE(lease_->FindExport(kBase).has_value()); });
  ExpectAnswers({kDeviceOk});
}

TEST_F(SessionLeaseTest, MemoryThatIsFreedIsExportedNoMore) {
  Open();
  Post(wire::MemAlloc(kBase, 4096, 0, 0));
  Post(wire::IpcExport(kBase, 0, 0));
  Post(wire::IpcExport(kBase, 0, 0));
  Post(wire::MemFree(kBase, 0, 0));
  Check([this] { EXPECT_FALSE(lease_->FindExport(kBase).has_value()); });
  ExpectAnswers({kDeviceOk, kDeviceOk});
}

}  // namespace
}  // namespace accelmesh
