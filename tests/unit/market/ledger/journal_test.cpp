#include "market/ledger/journal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kSalt = 77;

struct Written {
  Bytes bytes = JournalHead(512, kSalt);
  std::vector<std::size_t> ends{bytes.size()};  // of records
};
Written ThreeRecords() {
  Written written;
  const std::vector<Bytes> first{BytesOf("a"), BytesOf(""), BytesOf("ccc")};
  AppendRecord(written.bytes, kSalt, 512, first, "note one");
  written.ends.push_back(written.bytes.size());
  AppendRecord(written.bytes, kSalt, 515, {}, "note two");
  written.ends.push_back(written.bytes.size());
  const std::vector<Bytes> last{Bytes(3000, 9)};
  AppendRecord(written.bytes, kSalt, 515, last, "note three");
  written.ends.push_back(written.bytes.size());
  return written;
}

TEST(JournalTest, IsReadBack) {
  const Written written = ThreeRecords();
  const Journal journal = ParseJournal(written.bytes).value();
  EXPECT_EQ(journal.base, 512u);
  ASSERT_EQ(journal.entries.size(), 4u);
  EXPECT_EQ(AsText(journal.entries[2]), "ccc");
  EXPECT_EQ(journal.entries[3].size(), 3000u);
  EXPECT_EQ(journal.note, "note three");
  EXPECT_EQ(journal.size, written.bytes.size());
}

TEST(JournalTest, CutOffAnywhereItHasTheWholeRecordsBefore) {
  const Written written = ThreeRecords();
  for (std::size_t size = 0; size < written.bytes.size(); ++size) {
    const Result<Journal> journal = ParseJournal(ByteView(written.bytes).first(size));
    if (size < kJournalHeadBytes) {
      EXPECT_EQ(journal.code(), Code::kBadFrame) << size;
      continue;
    }
    ASSERT_TRUE(journal.ok()) << size;
    std::size_t whole = 0;
    while (whole + 1 < written.ends.size() && written.ends[whole + 1] <= size) ++whole;
    EXPECT_EQ(journal->size, written.ends[whole]) << size;
    EXPECT_EQ(journal->entries.size(), whole == 0 ? 0u : 3u);
  }
}

TEST(JournalTest, DamageBeforeTheEndIsNoTornEnd) {
  const Written written = ThreeRecords();
  for (std::size_t at = 0; at < written.bytes.size(); ++at) {
    Bytes bad = written.bytes;
    bad[at] ^= 4;
    const Result<Journal> journal = ParseJournal(bad);
    if (at < written.ends[2]) {
      EXPECT_EQ(journal.code(), Code::kBadFrame) << at;
    } else {
      ASSERT_TRUE(journal.ok()) << at;
      EXPECT_EQ(journal->size, written.ends[2]) << "the last record may be torn: " << at;
    }
  }
}

TEST(JournalTest, AnEntryCannotLookLikeARecord) {
  Written written = ThreeRecords();
  // Somebody's order has the bytes of a record in it, and the crash comes while it is written.
  Bytes faked;
  AppendRecord(faked, 0, 516, {}, "note");
  AppendRecord(written.bytes, kSalt, 516, std::vector<Bytes>{faked}, "note");
  const Result<Journal> journal = ParseJournal(ByteView(written.bytes).first(written.bytes.size() - 1));
  ASSERT_TRUE(journal.ok()) << journal.status().ToString();
  EXPECT_EQ(journal->entries.size(), 4u);
  // With the salt it would be taken for one.
  Bytes knowing;
  AppendRecord(knowing, kSalt, 516, {}, "note");
  Written other = ThreeRecords();
  AppendRecord(other.bytes, kSalt, 516, std::vector<Bytes>{knowing}, "note");
  EXPECT_FALSE(ParseJournal(ByteView(other.bytes).first(other.bytes.size() - 1)).ok());
}

TEST(JournalTest, RecordsThatDoNotFollowAreRefused) {
  Bytes bytes = JournalHead(256, kSalt);
  AppendRecord(bytes, kSalt, 257, std::vector<Bytes>{BytesOf("x")}, "");
  EXPECT_THAT(ParseJournal(bytes).status().text(), HasSubstr("does not follow"));
  EXPECT_FALSE(ParseJournal(JournalHead(255, kSalt)).ok()) << "no base";
}

TEST(JournalTest, ATornMarkSaysNothing) {
  const Bytes mark = MarkBytes(1234567);
  EXPECT_EQ(ParseMark(mark), 1234567u);
  for (std::size_t size = 0; size < mark.size(); ++size) EXPECT_EQ(ParseMark(ByteView(mark).first(size)), std::nullopt);
  for (std::size_t bit = 0; bit < mark.size() * 8; ++bit) {
    Bytes bad = mark;
    bad[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    EXPECT_EQ(ParseMark(bad), std::nullopt) << bit;
  }
}

}  // namespace
}  // namespace accelmesh::market::ledger
