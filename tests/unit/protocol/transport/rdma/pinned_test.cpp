#include "protocol/transport/rdma/pinned.h"

#include <gtest/gtest.h>

#include "tests/unit/protocol/transport/rdma/counted_memory.h"

namespace accelmesh::rdma {
namespace {

class RdmaPinned : public ::testing::Test {
 protected:
  int live_ = 0;
  int registered_ = 0;
  bool fails_ = false;
  PinnedMemory pinned_{[this](MutableByteView) -> Result<std::unique_ptr<Memory>> {
    ++registered_;
    if (fails_) return Status(Code::kOutOfMemory, "test", "no");
    return std::unique_ptr<Memory>(new CountedMemory(live_));
  }};
  Bytes memory_ = Bytes(4096);
  MutableByteView all_{memory_};
};

TEST_F(RdmaPinned, ABodyIsFoundIfAllOfItLiesInOneAllocation) {
  pinned_.Note(all_.subspan(1000, 1000));
  pinned_.Note(all_.subspan(2000, 1000));
  EXPECT_EQ(registered_, 0) << "nobody has sent anything";
  EXPECT_NE(pinned_.Find(all_.subspan(1000, 1000)), nullptr);
  EXPECT_NE(pinned_.Find(all_.subspan(1999, 1)), nullptr);
  EXPECT_NE(pinned_.Find(all_.subspan(2000, 1)), nullptr);
  EXPECT_EQ(registered_, 2);
  EXPECT_EQ(pinned_.Find(all_.subspan(1999, 2)), nullptr) << "of two";
  EXPECT_EQ(pinned_.Find(all_.subspan(999, 2)), nullptr);
  EXPECT_EQ(pinned_.Find(all_.subspan(2999, 2)), nullptr);
  EXPECT_EQ(pinned_.Find(all_.subspan(3000, 1)), nullptr);
  EXPECT_EQ(pinned_.Find(all_.subspan(0, 10)), nullptr);
}

TEST_F(RdmaPinned, ARegistrationEndsWithItsAllocationAndTheBodiesUnderWay) {
  pinned_.Note(all_);
  std::shared_ptr<Memory> under_way = pinned_.Find(all_.first(10));
  EXPECT_EQ(live_, 1);
  pinned_.Forget(all_.data());
  EXPECT_EQ(live_, 1) << "a device reads it still";
  EXPECT_EQ(pinned_.Find(all_.first(10)), nullptr);
  // The same address, another allocation.
  pinned_.Note(all_.first(100));
  EXPECT_NE(pinned_.Find(all_.first(100)), under_way);
  EXPECT_EQ(registered_, 2);
  under_way.reset();
  EXPECT_EQ(live_, 1);
  pinned_.Forget(all_.data());
  pinned_.Forget(all_.data());
  EXPECT_EQ(live_, 0);
}

TEST_F(RdmaPinned, WhatCannotBeRegisteredIsTriedOnce) {
  fails_ = true;
  pinned_.Note(all_);
  EXPECT_EQ(pinned_.Find(all_), nullptr);
  EXPECT_EQ(pinned_.Find(all_), nullptr);
  EXPECT_EQ(registered_, 1);
}

}  // namespace
}  // namespace accelmesh::rdma
