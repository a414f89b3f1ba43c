#include "server/session/lease.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

#include "server/main/group.h"

namespace accelmesh {
namespace {

// The supervisor's side of several leases, and the workers' in the same process.
class LeaseTest : public ::testing::Test {
 protected:
  std::unique_ptr<Lease> Join(const std::string& secret, std::uint64_t session) {
    const Result<Groups::Seat> seat = groups_.Join(secret, session);
    EXPECT_TRUE(seat.ok());
    Result<std::unique_ptr<Lease>> lease =
        Lease::Take(::dup(seat->file), seat->member, session, [this, session](std::uint64_t wanted) -> Result<int> {
          ++asked_;
          ACCELMESH_ASSIGN_OR_RETURN(const int file, groups_.FileOf(session, wanted));
          return ::dup(file);
        });
    EXPECT_TRUE(lease.ok());
    return *std::move(lease);
  }

  Groups groups_;
  int asked_ = 0;
};

constexpr std::uint64_t kOffset = 3 << 20;
constexpr std::uint64_t kBytes = 4096;

TEST_F(LeaseTest, AnExportIsOpenedWithinItsLeaseOnly) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const auto stranger = Join("two", 3);
  const Result<LeaseName> name = a->ExportMemory(0, kOffset, kBytes);
  ASSERT_TRUE(name.ok());
  const auto opened = b->OpenMemory(*name, 0, kBytes);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  EXPECT_EQ(opened->offset, kOffset);
  EXPECT_EQ(stranger->OpenMemory(*name, 0, kBytes).code(), Code::kNotFound);
}

TEST_F(LeaseTest, WhatTheClientSaysOfAnExportIsChecked) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const LeaseName name = *a->ExportMemory(1, kOffset, kBytes);
  EXPECT_EQ(b->OpenMemory(name, 1, kBytes + 1).code(), Code::kInvalidArgument);
  EXPECT_EQ(b->OpenMemory(name, 0, kBytes).code(), Code::kInvalidArgument);
  LeaseName wrong = name;
  wrong.slot = 1u << 31;
  EXPECT_EQ(b->OpenMemory(wrong, 1, kBytes).code(), Code::kNotFound);
  wrong = name;
  ++wrong.generation;
  EXPECT_EQ(b->OpenMemory(wrong, 1, kBytes).code(), Code::kNotFound);
  // None of that holds it.
  EXPECT_FALSE(a->EndExport(kOffset));
}

TEST_F(LeaseTest, WhatAnotherWorkerWroteIntoItsTableIsChecked) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const std::uint64_t file_bytes = static_cast<std::uint64_t>(::lseek(a->fd(), 0, SEEK_END));
  for (const std::uint64_t offset : {std::uint64_t{0}, LeaseTable::kBytes - 1, file_bytes - kBytes + 1, file_bytes + 1,
                                     ~std::uint64_t{0} - kBytes + 1, ~std::uint64_t{0}}) {
    const Result<LeaseName> name = a->ExportMemory(0, offset, kBytes);
    ASSERT_TRUE(name.ok());
    EXPECT_EQ(b->OpenMemory(*name, 0, kBytes).code(), Code::kInvalidArgument) << offset;
  }
  const LeaseName last = *a->ExportMemory(0, file_bytes - kBytes, kBytes);
  EXPECT_TRUE(b->OpenMemory(last, 0, kBytes).ok());
}

TEST_F(LeaseTest, NobodyCutsAFileThatOthersMap) {
  const auto a = Join("one", 1);
  const off_t bytes = ::lseek(a->fd(), 0, SEEK_END);
  EXPECT_NE(::ftruncate(a->fd(), 0), 0);
  EXPECT_NE(::ftruncate(a->fd(), bytes + 4096), 0);
  EXPECT_EQ(::lseek(a->fd(), 0, SEEK_END), bytes);
}

TEST_F(LeaseTest, OneNameAnAllocationAndANewOneForTheNext) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const LeaseName first = *a->ExportMemory(0, kOffset, kBytes);
  EXPECT_EQ(a->ExportMemory(0, kOffset, kBytes)->generation, first.generation);
  EXPECT_FALSE(a->EndExport(kOffset));
  const LeaseName second = *a->ExportMemory(0, kOffset, kBytes);
  EXPECT_NE(second.generation, first.generation);
  EXPECT_EQ(b->OpenMemory(first, 0, kBytes).code(), Code::kNotFound);
  EXPECT_TRUE(b->OpenMemory(second, 0, kBytes).ok());
}

TEST_F(LeaseTest, AnEndedExportIsHeldUntilTheLastHasClosedIt) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const auto c = Join("one", 3);
  const LeaseName name = *a->ExportMemory(0, kOffset, kBytes);
  const auto in_b = b->OpenMemory(name, 0, kBytes);
  const auto in_c = c->OpenMemory(name, 0, kBytes);
  ASSERT_TRUE(in_b.ok() && in_c.ok());
  EXPECT_TRUE(a->EndExport(kOffset));
  // Its slot is not another's meanwhile.
  EXPECT_NE(a->ExportMemory(0, 2 * kOffset, kBytes)->slot, name.slot);
  b->CloseMemory(*in_b->file, name);
  EXPECT_TRUE(a->EndExport(kOffset));
  c->CloseMemory(*in_c->file, name);
  EXPECT_FALSE(a->EndExport(kOffset));
}

TEST_F(LeaseTest, ASessionThatHasEndedHoldsNothingAndExportsNothing) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const LeaseName name = *a->ExportMemory(0, kOffset, kBytes);
  ASSERT_TRUE(b->OpenMemory(name, 0, kBytes).ok());
  EXPECT_TRUE(a->EndExport(kOffset));
  groups_.Leave(2);
  EXPECT_FALSE(a->EndExport(kOffset));

  const auto c = Join("one", 3);
  const LeaseName again = *a->ExportMemory(0, kOffset, kBytes);
  const auto opened = c->OpenMemory(again, 0, kBytes);
  ASSERT_TRUE(opened.ok());
  groups_.Leave(1);
  // What is open stays, and nothing more is opened.
  EXPECT_EQ(c->OpenMemory(again, 0, kBytes).code(), Code::kNotFound);
  EXPECT_GE(::fcntl(opened->file->fd(), F_GETFD), 0);
}

TEST_F(LeaseTest, ATableHasAnEnd) {
  const auto a = Join("one", 1);
  Code code = Code::kOk;
  for (std::uint64_t i = 0; code == Code::kOk && i <= 4096; ++i)
    code = a->ExportMemory(0, kOffset + i * kBytes, kBytes).code();
  EXPECT_EQ(code, Code::kFull);
}

TEST_F(LeaseTest, EitherSideRecordsAnEvent) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  LeaseName name;
  const auto made = *a->MakeEvent(&name);
  const auto opened = *b->OpenEvent(name);
  EXPECT_TRUE(opened->Passed(opened->recorded()));
  const std::uint64_t first = made->Record();
  EXPECT_EQ(opened->recorded(), first);
  EXPECT_FALSE(opened->Passed(first));
  const std::uint64_t second = opened->Record();
  made->Complete(first);
  EXPECT_TRUE(opened->Passed(first));
  EXPECT_FALSE(made->Passed(second));
  opened->Complete(second);
  EXPECT_TRUE(made->Passed(second));
}

TEST_F(LeaseTest, NobodyWaitsForARecordOfASessionThatHasEnded) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const auto c = Join("one", 3);
  LeaseName name;
  const auto made = *a->MakeEvent(&name);
  const auto in_b = *b->OpenEvent(name);
  const auto in_c = *c->OpenEvent(name);
  const std::uint64_t ticket = in_b->Record();
  EXPECT_FALSE(made->Passed(ticket));
  groups_.Leave(2);
  EXPECT_TRUE(made->Passed(ticket));
  const std::uint64_t last = made->Record();
  EXPECT_FALSE(in_c->Passed(last));
  groups_.Leave(1);
  EXPECT_TRUE(in_c->Passed(last));
}

TEST_F(LeaseTest, ADestroyedEventIsNotOpenedAndHoldsNobodyUp) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  LeaseName name;
  auto made = *a->MakeEvent(&name);
  const auto opened = *b->OpenEvent(name);
  const std::uint64_t ticket = made->Record();
  made.reset();
  EXPECT_TRUE(opened->Passed(ticket));
  EXPECT_EQ(b->OpenEvent(name).code(), Code::kNotFound);
  // Nor does its slot's next owner hear of it.
  const auto next = *a->MakeEvent(&name);
  EXPECT_EQ(opened->Record(), 0u);
  EXPECT_EQ(next->recorded(), 0u);
}

TEST_F(LeaseTest, ASeatIsGivenAgain) {
  const Result<Groups::Seat> first = groups_.Join("one", 1);
  const Result<Groups::Seat> second = groups_.Join("one", 2);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(first->member, second->member);
  const std::uint32_t seat = first->member;
  groups_.Leave(1);
  EXPECT_EQ(groups_.Join("one", 3)->member, seat);
  EXPECT_EQ(groups_.FileOf(2, 1).code(), Code::kNotFound);
  EXPECT_EQ(groups_.FileOf(2, 9).code(), Code::kNotFound);
  EXPECT_TRUE(groups_.FileOf(2, 3).ok());
}

}  // namespace
}  // namespace accelmesh
