#include "market/ledger/tile.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/market/ledger/scratch.h"

namespace accelmesh::market::ledger {
namespace {

TEST(TileTest, PathsAreThoseOfTheSpecification) {
  EXPECT_EQ(PathOf({.level = 0, .index = 1234067}), "tile/0/x001/x234/067");
  EXPECT_EQ(PathOf({.level = 0, .index = 273, .width = 112}), "tile/0/273.p/112");
  EXPECT_EQ(PathOf({.level = 2, .width = 1}), "tile/2/000.p/1");
  EXPECT_EQ(PathOf({.is_entries = true, .index = 1000}), "tile/entries/x001/000");
}

TEST(TileTest, EveryPathIsReadBackAndNothingElseIs) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 3000; ++round) {
    TileName name;
    name.is_entries = random() % 4 == 0;
    name.level = name.is_entries ? 0 : static_cast<unsigned>(random() % kTileLevels);
    name.index = random() >> (8 + random() % 56);
    name.width = 1 + static_cast<unsigned>(random() % kTileWidth);
    const Result<TileName> read = ParseTilePath(PathOf(name));
    ASSERT_TRUE(read.ok()) << PathOf(name);
    EXPECT_EQ(*read, name);
  }
  for (const char* const path : {"",
                                 "tile",
                                 "tile/",
                                 "tile/0",
                                 "tile/0/",
                                 "tile/0/1",
                                 "tile/0/0001",
                                 "tile/0/x000/001",
                                 "tile/00/001",
                                 "tile/8/001",
                                 "tile/-1/001",
                                 "tile/0/001.p/",
                                 "tile/0/001.p/0",
                                 "tile/0/001.p/256",
                                 "tile/0/001.p/01",
                                 "tile/0/001.p/1/2",
                                 "tile/0/001/002",
                                 "tile/0/x001/002x",
                                 "tile/0/../001",
                                 "tile/entries/x1/001",
                                 "/tile/0/001",
                                 "tile/0/001 ",
                                 "tile/0/x999/x999/x999/x999/x999/x999/999",
                                 "tile/0/0\n1"}) {
    EXPECT_EQ(ParseTilePath(path).code(), Code::kInvalidArgument) << path;
  }
}

TEST(TileTest, TilesAndBundlesAreReadBack) {
  std::mt19937_64 random(2);
  for (const std::size_t width : {1, 2, 255, 256}) {
    std::vector<Hash> hashes(width);
    Bytes bundle;
    std::vector<Bytes> entries;
    for (Hash& hash : hashes) {
      for (std::uint8_t& byte : hash) byte = static_cast<std::uint8_t>(random());
      entries.emplace_back(random() % 300, static_cast<std::uint8_t>(random()));
      AppendToBundle(bundle, entries.back());
    }
    EXPECT_EQ(ParseTile(TileBytes(hashes), width).value(), hashes);
    EXPECT_EQ(ParseTile(TileBytes(hashes), width - 1).code(), Code::kBadFrame);
    const std::vector<ByteView> read = ParseBundle(bundle, width).value();
    ASSERT_EQ(read.size(), width);
    for (std::size_t i = 0; i < width; ++i) EXPECT_EQ(Bytes(read[i].begin(), read[i].end()), entries[i]);
    for (std::size_t size = 0; size < bundle.size(); ++size) {
      ASSERT_FALSE(ParseBundle(ByteView(bundle).first(size), width).ok()) << size;
    }
    Bytes longer = bundle;
    longer.push_back(0);
    EXPECT_FALSE(ParseBundle(longer, width).ok());
  }
  Bytes largest;
  AppendToBundle(largest, Bytes(kEntryBytesMax, 7));
  EXPECT_EQ(ParseBundle(largest, 1)->front().size(), kEntryBytesMax);
  EXPECT_EQ(ParseTile({}, 0).code(), Code::kBadFrame);
  EXPECT_EQ(ParseTile(Bytes(257 * 32), 257).code(), Code::kBadFrame);
}

}  // namespace
}  // namespace accelmesh::market::ledger
