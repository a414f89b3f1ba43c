#include "shim/core/array.h"

#include <gtest/gtest.h>

namespace accelmesh {
namespace {

constexpr std::uint32_t kLayered = ArrayShape::kLayered;
constexpr std::uint32_t kCubemap = ArrayShape::kCubemap;
constexpr std::uint32_t kSurface = ArrayShape::kSurface;
constexpr std::uint32_t kGather = ArrayShape::kGather;

ArrayShape Shape(std::uint64_t width, std::uint64_t height, std::uint64_t depth, std::uint32_t flags = 0) {
  ArrayShape shape;
  shape.element_bytes = 4;
  shape.width = width;
  shape.height = height;
  shape.depth = depth;
  shape.flags = flags;
  return shape;
}

// A device that bounds each extent by its attribute's number.
std::uint64_t ByNumber(std::uint32_t attribute) { return attribute; }
std::uint64_t Unbounded(std::uint32_t /*attribute*/) { return 0; }

TEST(ArrayTest, ExtentsGoWithOneAnotherAndWithTheFlags) {
  struct Case {
    std::uint64_t width, height, depth;
    std::uint32_t flags;
    bool is_valid;
  };
  constexpr Case kCases[] = {
      {0, 0, 0, 0, false},         {4, 0, 0, 0, true},
      {4, 4, 0, 0, true},          {4, 4, 4, 0, true},
      {0, 4, 0, 0, false},         {4, 0, 4, 0, false},
      {4, 0, 4, kLayered, true},   {4, 4, 4, kLayered, true},
      {4, 4, 0, kLayered, false},  {4, 0, 0, kLayered, false},
      {4, 4, 6, kCubemap, true},   {4, 5, 6, kCubemap, false},
      {4, 4, 12, kCubemap, false}, {4, 4, 12, kCubemap | kLayered, true},
      {4, 4, 0, kCubemap, false},  {4, 4, 10, kCubemap | kLayered, false},
      {4, 4, 0, kGather, true},    {4, 0, 0, kGather, false},
      {4, 4, 4, kGather, false},   {4, 4, 4, kGather | kLayered, false},
      {4, 4, 4, kSurface, true},   {4, 4, 0, kCubemap | kLayered, false},
  };
  for (const Case& one : kCases) {
    EXPECT_EQ(ShapeIsValid(Shape(one.width, one.height, one.depth, one.flags), false, Unbounded), one.is_valid)
        << one.width << " x " << one.height << " x " << one.depth << ", flags " << one.flags;
  }
}

TEST(ArrayTest, EachKindHasItsBounds) {
  const auto valid = [](const ArrayShape& shape, bool is_mipmapped = false) {
    return ShapeIsValid(shape, is_mipmapped, ByNumber);
  };
  EXPECT_TRUE(valid(Shape(21, 0, 0)));
  EXPECT_FALSE(valid(Shape(22, 0, 0)));
  EXPECT_TRUE(valid(Shape(77, 0, 0), true));
  EXPECT_TRUE(valid(Shape(22, 23, 0)));
  EXPECT_FALSE(valid(Shape(22, 24, 0)));
  EXPECT_TRUE(valid(Shape(73, 74, 0), true));
  EXPECT_FALSE(valid(Shape(73, 75, 0), true));
  EXPECT_FALSE(valid(Shape(22, 24, 0, kSurface)));
  EXPECT_FALSE(valid(Shape(46, 23, 0, kGather)));
  EXPECT_TRUE(valid(Shape(24, 25, 26)));
  EXPECT_TRUE(valid(Shape(47, 48, 49))) << "the other bounds of three dimensions";
  EXPECT_FALSE(valid(Shape(48, 48, 49)));
  EXPECT_TRUE(valid(Shape(42, 0, 43, kLayered)));
  EXPECT_FALSE(valid(Shape(42, 0, 44, kLayered)));
  EXPECT_TRUE(valid(Shape(27, 28, 29, kLayered)));
  EXPECT_FALSE(valid(Shape(27, 28, 30, kLayered)));
  EXPECT_TRUE(valid(Shape(52, 52, 6, kCubemap)));
  EXPECT_FALSE(valid(Shape(53, 53, 6, kCubemap)));
  EXPECT_TRUE(valid(Shape(53, 53, 54, kCubemap | kLayered)));
  EXPECT_FALSE(valid(Shape(53, 53, 60, kCubemap | kLayered)));
}

TEST(ArrayTest, LevelsHalveExtentsAndKeepLayers) {
  EXPECT_EQ(LevelsMax(Shape(1, 0, 0)), 1u);
  EXPECT_EQ(LevelsMax(Shape(17, 5, 0)), 5u);
  EXPECT_EQ(LevelsMax(Shape(4, 4, 64)), 7u);
  EXPECT_EQ(LevelsMax(Shape(4, 4, 64, kLayered)), 3u);
  const ArrayShape flat = LevelOf(Shape(17, 5, 3), 2);
  EXPECT_EQ(flat.width, 4u);
  EXPECT_EQ(flat.height, 1u);
  EXPECT_EQ(flat.depth, 1u);
  const ArrayShape layered = LevelOf(Shape(17, 0, 3, kLayered), 4);
  EXPECT_EQ(layered.width, 1u);
  EXPECT_EQ(layered.height, 0u);
  EXPECT_EQ(layered.depth, 3u);
}

TEST(ArrayTest, RowsArePaddedAndSizesDoNotWrapAround) {
  Array array;
  array.shape = Shape(9, 3, 2);
  ASSERT_TRUE(LayOut(&array));
  EXPECT_EQ(array.pitch, 64u);
  EXPECT_EQ(array.slice, 192u);
  EXPECT_EQ(array.bytes(), 384u);
  array.shape = Shape(std::uint64_t{1} << 62, 0, 0);
  EXPECT_FALSE(LayOut(&array));
  array.shape = Shape(std::uint64_t{1} << 30, std::uint64_t{1} << 30, std::uint64_t{1} << 30);
  EXPECT_FALSE(LayOut(&array));
}

}  // namespace
}  // namespace accelmesh
