#include "server/session/lease.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <vector>

#include "server/main/group.h"

namespace accelmesh {
namespace {

// A worker's way to the supervisor.
class Keeper final : public LeaseKeeper {
 public:
  Keeper(Groups& groups, std::uint64_t session) : groups_(groups), session_(session) {}
  Result<int> FileOf(std::uint64_t session) override {
    ACCELMESH_ASSIGN_OR_RETURN(const int file, groups_.FileOf(session_, session));
    return ::dup(file);
  }
  Status Offer(const LeaseName& name, std::uint32_t index, const SharedPiece& piece) override {
    SharedPiece sent = piece;
    sent.fd = ::dup(piece.fd);
    return groups_.Offer(name, index, sent);
  }
  void EndOffer(const LeaseName& name) override { groups_.EndOffer(name); }
  Result<SharedPiece> PieceOf(const LeaseName& name, std::uint32_t index) override {
    ACCELMESH_ASSIGN_OR_RETURN(SharedPiece piece, groups_.PieceOf(session_, name, index));
    piece.fd = ::dup(piece.fd);
    return piece;
  }

 private:
  Groups& groups_;
  std::uint64_t session_;
};

constexpr std::uint64_t kOffset = 3 << 20;
constexpr std::uint64_t kBytes = 4096;

// The supervisor's side of several leases, and the workers' in the same process.
class LeaseTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const int file : files_) ::close(file);
  }
  std::unique_ptr<Lease> Join(const std::string& secret, std::uint64_t session) {
    const Result<Groups::Seat> seat = groups_.Join(secret, session);
    EXPECT_TRUE(seat.ok());
    Result<std::unique_ptr<Lease>> lease =
        Lease::Take(::dup(seat->file), seat->member, session, std::make_unique<Keeper>(groups_, session));
    EXPECT_TRUE(lease.ok());
    return *std::move(lease);
  }
  // Of memory that lies in the session's file; an address is an offset there.
  static Result<LeaseName> ExportMemory(Lease& lease, std::uint32_t device, std::uint64_t offset, std::uint64_t bytes) {
    if (const auto known = lease.FindExport(offset)) return known->name;
    SharedMemory memory;
    memory.pieces.push_back({0, offset, bytes, -1});
    ACCELMESH_ASSIGN_OR_RETURN(const Lease::Export made, lease.ExportMemory(device, offset, bytes, memory));
    return made.name;
  }
  // A file of `bytes`, as a device's memory is one.
  SharedPiece MakePiece(std::uint64_t id, std::uint64_t bytes) {
    files_.push_back(::memfd_create("piece", MFD_CLOEXEC));
    return {id, 0, bytes, files_.back()};
  }
  // An allocation at `kOffset` of two pieces, which begins in the first.
  static constexpr std::uint64_t kLead = 8192;
  static constexpr std::uint64_t kSpan = 65536 + 4096;
  static constexpr std::uint64_t kOffered = kSpan - kLead - 512;
  LeaseName Offer(Lease& lease) {
    SharedMemory memory;
    memory.lead = kLead;
    memory.pieces = {MakePiece(1, 65536), MakePiece(2, 4096)};
    const auto made = lease.ExportMemory(0, kOffset, kOffered, memory);
    EXPECT_TRUE(made.ok()) << made.status().ToString();
    EXPECT_TRUE(made->lead == kLead && made->span == kSpan);
    return made->name;
  }
  static std::uint64_t Inode(int fd) {
    struct stat facts{};
    EXPECT_EQ(::fstat(fd, &facts), 0);
    return facts.st_ino;
  }
  static std::size_t OpenFiles() {
    const std::filesystem::directory_iterator open("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(open), end(open)));
  }

  Groups groups_;
  std::vector<int> files_;
};

TEST_F(LeaseTest, AnExportIsOpenedWithinItsLeaseOnly) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const auto stranger = Join("two", 3);
  const Result<LeaseName> name = ExportMemory(*a, 0, kOffset, kBytes);
  ASSERT_TRUE(name.ok());
  const auto opened = b->OpenMemory(*name, 0, kBytes);
  ASSERT_TRUE(opened.ok()) << opened.status().ToString();
  ASSERT_EQ(opened->memory->pieces.size(), 1u);
  EXPECT_EQ(opened->memory->pieces[0].offset, kOffset);
  EXPECT_EQ(opened->memory->pieces[0].fd, opened->file->fd());
  EXPECT_EQ(stranger->OpenMemory(*name, 0, kBytes).code(), Code::kNotFound);
}

TEST_F(LeaseTest, WhatTheClientSaysOfAnExportIsChecked) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const LeaseName name = *ExportMemory(*a, 1, kOffset, kBytes);
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
    const Result<LeaseName> name = ExportMemory(*a, 0, offset, kBytes);
    ASSERT_TRUE(name.ok());
    EXPECT_EQ(b->OpenMemory(*name, 0, kBytes).code(), Code::kInvalidArgument) << offset;
  }
  const LeaseName last = *ExportMemory(*a, 0, file_bytes - kBytes, kBytes);
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
  const LeaseName first = *ExportMemory(*a, 0, kOffset, kBytes);
  EXPECT_EQ(ExportMemory(*a, 0, kOffset, kBytes)->generation, first.generation);
  EXPECT_FALSE(a->EndExport(kOffset));
  const LeaseName second = *ExportMemory(*a, 0, kOffset, kBytes);
  EXPECT_NE(second.generation, first.generation);
  EXPECT_EQ(b->OpenMemory(first, 0, kBytes).code(), Code::kNotFound);
  EXPECT_TRUE(b->OpenMemory(second, 0, kBytes).ok());
}

TEST_F(LeaseTest, AnEndedExportIsHeldUntilTheLastHasClosedIt) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const auto c = Join("one", 3);
  const LeaseName name = *ExportMemory(*a, 0, kOffset, kBytes);
  const auto in_b = b->OpenMemory(name, 0, kBytes);
  const auto in_c = c->OpenMemory(name, 0, kBytes);
  ASSERT_TRUE(in_b.ok() && in_c.ok());
  EXPECT_TRUE(a->EndExport(kOffset));
  // Its slot is not another's meanwhile.
  EXPECT_NE(ExportMemory(*a, 0, 2 * kOffset, kBytes)->slot, name.slot);
  b->CloseMemory(*in_b->file, name);
  EXPECT_TRUE(a->EndExport(kOffset));
  c->CloseMemory(*in_c->file, name);
  EXPECT_FALSE(a->EndExport(kOffset));
}

TEST_F(LeaseTest, ASessionThatHasEndedHoldsNothingAndExportsNothing) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const LeaseName name = *ExportMemory(*a, 0, kOffset, kBytes);
  ASSERT_TRUE(b->OpenMemory(name, 0, kBytes).ok());
  EXPECT_TRUE(a->EndExport(kOffset));
  groups_.Leave(2);
  EXPECT_FALSE(a->EndExport(kOffset));

  const auto c = Join("one", 3);
  const LeaseName again = *ExportMemory(*a, 0, kOffset, kBytes);
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
    code = ExportMemory(*a, 0, kOffset + i * kBytes, kBytes).code();
  EXPECT_EQ(code, Code::kFull);
}

TEST_F(LeaseTest, AnEntryThatIsAnothersSinceIsNotEndedAgain) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const LeaseName first = *ExportMemory(*a, 0, kOffset, kBytes);
  const auto opened = b->OpenMemory(first, 0, kBytes);
  ASSERT_TRUE(opened.ok());
  EXPECT_TRUE(a->EndExport(kOffset));
  b->CloseMemory(*opened->file, first);
  const LeaseName second = *ExportMemory(*a, 0, 2 * kOffset, kBytes);
  ASSERT_EQ(second.slot, first.slot);
  EXPECT_TRUE(b->OpenMemory(second, 0, kBytes).ok());
  EXPECT_FALSE(a->EndExport(kOffset)) << "who has the entry's next owner open does not hold it";
  const auto c = Join("one", 3);
  EXPECT_TRUE(c->OpenMemory(second, 0, kBytes).ok());
}

// Memory in files of its own
// ----------------------------------------------------------------------------------------------

TEST_F(LeaseTest, WhatIsOfferedIsOpenedPieceByPieceWithinItsLeaseOnly) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const auto stranger = Join("two", 3);
  const LeaseName name = Offer(*a);
  const std::size_t before = OpenFiles();
  {
    const auto opened = b->OpenMemory(name, 0, kOffered);
    ASSERT_TRUE(opened.ok()) << opened.status().ToString();
    EXPECT_EQ(opened->memory->lead, kLead);
    ASSERT_EQ(opened->memory->pieces.size(), 2u);
    for (std::size_t i = 0; i < 2; ++i) EXPECT_EQ(Inode(opened->memory->pieces[i].fd), Inode(files_[i])) << i;
    EXPECT_EQ(opened->memory->pieces[1].bytes, 4096u);
    b->CloseMemory(*opened->file, name);
  }
  EXPECT_EQ(OpenFiles(), before);
  EXPECT_EQ(stranger->OpenMemory(name, 0, kOffered).code(), Code::kNotFound);
  EXPECT_EQ(groups_.PieceOf(3, name, 0).code(), Code::kNotFound);
  EXPECT_EQ(groups_.PieceOf(2, name, 2).code(), Code::kNotFound);
}

TEST_F(LeaseTest, AFileIsKeptOnceAndUntilNothingThatIsExportedLiesInIt) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const std::size_t before = OpenFiles();
  const LeaseName name = Offer(*a);
  SharedMemory inside;
  inside.pieces = {MakePiece(1, 65536)};
  const auto second = a->ExportMemory(0, 2 * kOffset, 4096, inside);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(OpenFiles(), before + 3 + 2) << "three of ours, two kept";
  EXPECT_EQ(groups_.PieceOf(2, second->name, 0)->fd, groups_.PieceOf(2, name, 0)->fd);
  EXPECT_FALSE(a->EndExport(kOffset));
  EXPECT_EQ(OpenFiles(), before + 3 + 1);
  EXPECT_EQ(groups_.PieceOf(2, name, 0).code(), Code::kNotFound);
  EXPECT_EQ(b->OpenMemory(name, 0, kOffered).code(), Code::kNotFound);
  EXPECT_TRUE(b->OpenMemory(second->name, 0, 4096).ok());
  groups_.Leave(1);
  EXPECT_EQ(OpenFiles(), before + 3 - 1) << "its own file has gone as well";
}

TEST_F(LeaseTest, WhatIsOpenKeepsTheExportFromEndingAndNoFile) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const std::size_t before = OpenFiles();
  const LeaseName name = Offer(*a);
  auto opened = b->OpenMemory(name, 0, kOffered);
  ASSERT_TRUE(opened.ok());
  EXPECT_TRUE(a->EndExport(kOffset));
  opened->memory.reset();
  EXPECT_EQ(OpenFiles(), before + 2 + 1) << "our two, and the other's table";
  b->CloseMemory(*opened->file, name);
  EXPECT_FALSE(a->EndExport(kOffset));
}

TEST_F(LeaseTest, WhatAnotherWorkerWroteAboutPiecesIsChecked) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const LeaseName name = Offer(*a);
  const std::shared_ptr<LeaseFile> file = *LeaseFile::Open(::dup(*groups_.FileOf(2, 1)));
  LeaseTable::Memory& entry = file->table().memory[name.slot];
  EXPECT_EQ(b->OpenMemory(name, 0, kOffered + 1).code(), Code::kInvalidArgument);
  const auto with = [&](auto& field, std::uint64_t value) {
    const auto was = field.load();
    field.store(static_cast<decltype(was)>(value));
    const Code code = b->OpenMemory(name, 0, kOffered).code();
    field.store(was);
    return code;
  };
  const std::size_t before = OpenFiles();
  for (const std::uint64_t lead : {kLead + 513, kSpan + 1, ~std::uint64_t{0}})
    EXPECT_EQ(with(entry.lead, lead), Code::kInvalidArgument) << lead;
  for (const std::uint64_t span : {kSpan - 4096, kSpan - 1, kSpan + 1, ~std::uint64_t{0}, std::uint64_t{0}})
    EXPECT_EQ(with(entry.span, span), Code::kInvalidArgument) << span;
  EXPECT_EQ(with(entry.pieces, 1), Code::kInvalidArgument);
  EXPECT_EQ(with(entry.pieces, 3), Code::kNotFound);
  EXPECT_EQ(with(entry.pieces, ~std::uint32_t{0}), Code::kInvalidArgument);
  EXPECT_EQ(with(entry.pieces, 0), Code::kInvalidArgument) << "its file has nothing there";
  EXPECT_EQ(OpenFiles(), before);
  EXPECT_FALSE(a->EndExport(kOffset)) << "none of that holds it";
}

TEST_F(LeaseTest, PiecesWhoseSizesOverflowAreNotOpened) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  SharedMemory memory;
  memory.pieces = {MakePiece(1, ~std::uint64_t{0} - 4095), MakePiece(2, kSpan + 4096)};
  ASSERT_EQ(memory.span(), kSpan);
  const auto made = a->ExportMemory(0, kOffset, kSpan, memory);
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(b->OpenMemory(made->name, 0, kSpan).code(), Code::kInvalidArgument);
}

TEST_F(LeaseTest, TheSupervisorTakesNoPieceThatIsNone) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const std::size_t before = OpenFiles();
  const LeaseName name{1, 7, 5};
  const auto offer = [this](const LeaseName& of, std::uint32_t index, SharedPiece piece, bool comes = true) {
    piece.fd = comes ? ::memfd_create("piece", MFD_CLOEXEC) : -1;
    return groups_.Offer(of, index, piece).code();
  };
  EXPECT_EQ(offer(name, 0, {1, 0, 4096, -1}, false), Code::kFull) << "its table of descriptors was full";
  EXPECT_EQ(offer(name, 0, {0, 0, 4096, -1}), Code::kInvalidArgument);
  EXPECT_EQ(offer(name, 0, {1, 0, 0, -1}), Code::kInvalidArgument);
  EXPECT_EQ(offer(name, 1, {1, 0, 4096, -1}), Code::kInvalidArgument);
  EXPECT_EQ(offer({1, 0, 5}, 0, {1, 0, 4096, -1}), Code::kInvalidArgument);
  EXPECT_EQ(offer({1, 7, 4096}, 0, {1, 0, 4096, -1}), Code::kInvalidArgument);
  EXPECT_EQ(offer({9, 7, 5}, 0, {1, 0, 4096, -1}), Code::kNotFound);
  EXPECT_EQ(OpenFiles(), before);
  EXPECT_EQ(offer(name, 0, {1, 0, 4096, -1}), Code::kOk);
  EXPECT_EQ(offer(name, 0, {1, 0, 4096, -1}), Code::kInvalidArgument);
  EXPECT_EQ(offer(name, 1, {2, 0, 4096, -1}), Code::kOk);
  EXPECT_EQ(OpenFiles(), before + 2);
  // What a newer export of the entry has takes the older one's place; the older's end is late.
  EXPECT_EQ(offer({1, 9, 5}, 0, {3, 0, 4096, -1}), Code::kOk);
  EXPECT_EQ(OpenFiles(), before + 1);
  groups_.EndOffer(name);
  groups_.EndOffer({2, 9, 5});
  EXPECT_TRUE(groups_.PieceOf(2, {1, 9, 5}, 0).ok());
  groups_.EndOffer({1, 9, 5});
  EXPECT_EQ(OpenFiles(), before);
}

TEST_F(LeaseTest, TheSupervisorKeepsSoMuchAndNoMore) {
  const auto a = Join("one", 1);
  const auto b = Join("one", 2);
  const std::size_t before = OpenFiles();
  const SharedPiece file = MakePiece(0, 4096);
  std::uint64_t id = 0;
  const auto offer = [&](std::uint64_t session, std::uint64_t of) {
    ++id;
    return groups_.Offer({session, of, static_cast<std::uint32_t>(of)}, 0, {id, 0, 4096, ::dup(file.fd)}).code();
  };
  // Many pieces of one file are no more than one.
  Code code = Code::kOk;
  std::uint32_t pieces = 0;
  for (; code == Code::kOk && pieces <= limits::kSharedPiecesMax; ++pieces)
    code = groups_.Offer({1, 1, 1}, pieces, {1, 0, 4096, ::dup(file.fd)}).code();
  EXPECT_EQ(code, Code::kFull);
  EXPECT_EQ(pieces, limits::kSharedPiecesMax + 1);
  EXPECT_EQ(OpenFiles(), before + 1 + 1);
  groups_.EndOffer({1, 1, 1});
  // Half of what the process may have open, for all sessions together.
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  const rlimit low{256, limit.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  std::size_t kept = 0;
  while (offer(1 + kept % 2, 1 + kept) == Code::kOk) ++kept;
  EXPECT_EQ(kept, 128u);
  EXPECT_EQ(offer(1, 4000), Code::kFull);
  groups_.Leave(2);
  EXPECT_EQ(offer(1, 4000), Code::kOk) << "a session's end makes room";
  groups_.Leave(1);
  EXPECT_EQ(OpenFiles(), before + 1 - 2) << "their own files have gone as well";
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
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
