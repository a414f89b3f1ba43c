// Blocks of numbers of few bits and their scales, against their patterns' values and a search for the nearest one.
#include "tests/unit/server/backend/cpu/dnn/graph_plan.h"

namespace accelmesh {
namespace {

using dnn_test::Count;
using dnn_test::ExpectNear;
using dnn_test::FromTiny;
using dnn_test::GraphCall;
using dnn_test::IndexOf;
using dnn_test::Offset;
using dnn_test::PlanText;
using dnn_test::Random;
using dnn_test::Reals;
using dnn_test::ToTiny;
using dnn_test::Words;

using Bytes = std::vector<std::uint8_t>;

struct Blocks {
  int type = CUDNN_DATA_FP8_E4M3, scale_type = CUDNN_DATA_FP8_E8M0;
  Words dims{2, 3, 64};
  std::size_t axis = 2;
  std::int64_t size = 32;
  bool is_tiled = false;

  Words Scales() const {
    Words scales = dims;
    scales[axis] = (dims[axis] + size - 1) / size;
    if (is_tiled) {
      scales[1] = (scales[1] + 127) / 128 * 128;
      scales[2] = (scales[2] + 3) / 4 * 4;
    }
    return scales;
  }
  Words ScaleAt(std::size_t element) const {
    Words at = IndexOf(element, dims);
    at[axis] /= size;
    return at;
  }
  double Value(int bits) const {
    if (type == CUDNN_DATA_FP4_E2M1) return FromTiny(bits, 4, 1, 1);
    return type == CUDNN_DATA_FP8_E4M3 ? FromTiny(bits, 8, 3, 7) : FromTiny(bits, 8, 2, 15);
  }
  int Nearest(double value) const {
    if (type == CUDNN_DATA_FP4_E2M1) return ToTiny(value, 4, 1, 1, 7);
    return type == CUDNN_DATA_FP8_E4M3 ? ToTiny(value, 8, 3, 7, 0x7e) : ToTiny(value, 8, 2, 15, 0x7b);
  }
  double Largest() const { return type == CUDNN_DATA_FP4_E2M1 ? 6 : type == CUDNN_DATA_FP8_E4M3 ? 448 : 57344; }
  double Scale(int bits) const {
    return scale_type == CUDNN_DATA_FP8_E8M0 ? std::ldexp(1.0, bits - 127) : FromTiny(bits, 8, 3, 7);
  }
  // Of the least scale that is none too small, or the nearest.
  int ScaleFor(double most) const {
    if (scale_type != CUDNN_DATA_FP8_E8M0) return ToTiny(most / Largest(), 8, 3, 7, 0x7e);
    int bits = 0;
    while (std::ldexp(1.0, bits - 127) < most / Largest()) ++bits;
    return bits;
  }
  std::size_t Width() const { return type == CUDNN_DATA_FP4_E2M1 ? 4 : 8; }
  int Get(const std::uint8_t* memory, std::size_t element) const {
    return Width() == 8 ? memory[element] : memory[element / 2] >> (element % 2 == 0 ? 0 : 4) & 15;
  }
  // Where a scale lies; tiles are gone through in the order of memory.
  std::size_t ScalePlace(const Words& at) const {
    const Words scales = Scales();
    if (!is_tiled) return Offset(at, PlanText::Strides(scales));
    std::size_t place = 0;
    for (std::int64_t n = 0; n < scales[0]; ++n) {
      for (std::int64_t tile_row = 0; tile_row < scales[1]; tile_row += 128) {
        for (std::int64_t tile_column = 0; tile_column < scales[2]; tile_column += 4) {
          for (std::int64_t row = 0; row < 32; ++row) {
            for (std::int64_t part = 0; part < 4; ++part) {
              for (std::int64_t column = 0; column < 4; ++column, ++place) {
                if (Words{n, tile_row + 32 * part + row, tile_column + column} == at) return place;
              }
            }
          }
        }
      }
    }
    return place;
  }
  std::vector<PlanText::Attribute> ScaleMore() const {
    return {{CUDNN_ATTR_TENSOR_REORDERING_MODE,
             CUDNN_TYPE_TENSOR_REORDERING_MODE,
             {is_tiled ? CUDNN_TENSOR_REORDERING_F8_128x4 : CUDNN_TENSOR_REORDERING_NONE}}};
  }
};
const std::vector<Blocks>& AllBlocks() {
  static const std::vector<Blocks> all = {
      {},
      {CUDNN_DATA_FP8_E5M2, CUDNN_DATA_FP8_E8M0, {2, 40, 3}, 1, 8, false},
      {CUDNN_DATA_FP4_E2M1, CUDNN_DATA_FP8_E4M3, {3, 4, 32}, 2, 16, false},
      {CUDNN_DATA_FP4_E2M1, CUDNN_DATA_FP8_E8M0, {1, 5, 34}, 2, 16, false},
      {CUDNN_DATA_FP8_E4M3, CUDNN_DATA_FP8_E8M0, {2, 130, 160}, 2, 32, true},
      {CUDNN_DATA_FP4_E2M1, CUDNN_DATA_FP8_E4M3, {1, 7, 96}, 2, 16, true},
  };
  return all;
}
std::string Name(const Blocks& b) {
  return std::to_string(b.type) + " by " + std::to_string(b.scale_type) + " of " + testing::PrintToString(b.dims);
}

TEST(CpuGraphBlockScales, AreMultipliedIn) {
  std::mt19937 random(111);
  for (const Blocks& b : AllBlocks()) {
    SCOPED_TRACE(Name(b));
    const std::size_t count = Count(b.dims);
    Bytes numbers((count * b.Width() + 7) / 8), scales(Count(b.Scales()));
    const int magnitude = b.type == CUDNN_DATA_FP8_E4M3 ? 0x7e : b.type == CUDNN_DATA_FP8_E5M2 ? 0x7b : 0xff;
    for (std::uint8_t& byte : numbers) {
      byte = static_cast<std::uint8_t>(random());
      if ((byte & 0x7f) > magnitude) byte = 1;
    }
    for (std::uint8_t& byte : scales)
      byte = static_cast<std::uint8_t>(b.scale_type == CUDNN_DATA_FP8_E8M0 ? 120 + random() % 12 : random() % 0x7f);
    Reals wanted;
    for (std::size_t i = 0; i < count; ++i)
      wanted.push_back(b.Value(b.Get(numbers.data(), i)) * b.Scale(scales[b.ScalePlace(b.ScaleAt(i))]));
    GraphCall call;
    std::int64_t x = 0, scale = 0;
    call.PutBytes(numbers, b.dims, b.type, &x);
    call.PutBytes(scales, b.Scales(), b.scale_type, &scale, b.ScaleMore());
    const std::int64_t y = call.Make(b.dims, CUDNN_DATA_FLOAT, true);
    call.Run({call.Add(CUDNN_BACKEND_OPERATION_BLOCK_SCALE_DEQUANTIZE_DESCRIPTOR,
                       {PlanText::Refer(CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_XDESC, x),
                        PlanText::Refer(CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_SCALE_DESC, scale),
                        PlanText::Refer(CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_YDESC, y),
                        {CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_BLOCK_SIZE, CUDNN_TYPE_INT32, {b.size}}})});
    EXPECT_EQ(call.Get(y), wanted);
  }
}

TEST(CpuGraphBlockScales, AreThoseOfTheLargestAndNumbersTheNearest) {
  std::mt19937 random(112);
  for (const Blocks& b : AllBlocks()) {
    SCOPED_TRACE(Name(b));
    const std::size_t count = Count(b.dims);
    Reals x = Random(random, count, -30, 30);
    for (double& value : x) value = static_cast<double>(static_cast<float>(value));
    x[3] = 0;
    std::map<std::size_t, double> most;
    for (std::size_t i = 0; i < count; ++i) {
      double& largest = most[b.ScalePlace(b.ScaleAt(i))];
      largest = std::fmax(largest, std::fabs(x[i]));
    }
    GraphCall call;
    std::int64_t y = 0, scale = 0;
    const std::uint8_t* const numbers = call.PutBytes(Bytes((count * b.Width() + 7) / 8), b.dims, b.type, &y);
    const std::uint8_t* const scales =
        call.PutBytes(Bytes(Count(b.Scales())), b.Scales(), b.scale_type, &scale, b.ScaleMore());
    call.Run({call.Add(
        CUDNN_BACKEND_OPERATION_BLOCK_SCALE_QUANTIZE_DESCRIPTOR,
        {PlanText::Refer(CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_XDESC, call.Put(b.dims, x, CUDNN_DATA_FLOAT, true)),
         PlanText::Refer(CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_SCALE_DESC, scale),
         PlanText::Refer(CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_YDESC, y),
         {CUDNN_ATTR_OPERATION_BLOCK_SCALE_QUANTIZE_BLOCK_SIZE, CUDNN_TYPE_INT32, {b.size}}})});
    for (const auto& [place, largest] : most) ASSERT_EQ(scales[place], b.ScaleFor(largest)) << place << ' ' << largest;
    for (std::size_t i = 0; i < count; ++i) {
      const double by = b.Scale(scales[b.ScalePlace(b.ScaleAt(i))]);
      ASSERT_EQ(b.Value(b.Get(numbers, i)), b.Value(b.Nearest(x[i] / by))) << i << ' ' << x[i] << " by " << by;
    }
  }
}

TEST(CpuGraphBlockScales, WhatDoesNotFitIsRefused) {
  const auto is_refused = [](int type, int scale_type, const Words& scales, std::int64_t size, std::int64_t negates) {
    GraphCall call;
    const Words dims{2, 3, 64};
    std::int64_t x = 0, scale = 0;
    call.PutBytes(Bytes(Count(dims) * 4), dims, type, &x);
    call.PutBytes(Bytes(Count(scales) * 4), scales, scale_type, &scale);
    return call.IsRefused({call.Add(
        CUDNN_BACKEND_OPERATION_BLOCK_SCALE_DEQUANTIZE_DESCRIPTOR,
        {PlanText::Refer(CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_XDESC, x),
         PlanText::Refer(CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_SCALE_DESC, scale),
         PlanText::Refer(CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_YDESC, call.Make(dims, CUDNN_DATA_FLOAT)),
         {CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_NEG_SCALE, CUDNN_TYPE_BOOLEAN, {negates}},
         {CUDNN_ATTR_OPERATION_BLOCK_SCALE_DEQUANTIZE_BLOCK_SIZE, CUDNN_TYPE_INT32, {size}}})});
  };
  EXPECT_FALSE(is_refused(CUDNN_DATA_FP8_E4M3, CUDNN_DATA_FP8_E8M0, {2, 3, 2}, 32, 0));
  EXPECT_TRUE(is_refused(CUDNN_DATA_FP8_E4M3, CUDNN_DATA_FP8_E8M0, {2, 3, 2}, 32, 1));
  EXPECT_TRUE(is_refused(CUDNN_DATA_FP8_E4M3, CUDNN_DATA_FP8_E8M0, {2, 3, 1}, 32, 0));  // too few
  EXPECT_TRUE(is_refused(CUDNN_DATA_FP8_E4M3, CUDNN_DATA_FP8_E8M0, {2, 3, 2}, 0, 0));
  EXPECT_TRUE(is_refused(CUDNN_DATA_FP8_E4M3, CUDNN_DATA_FP8_E8M0, {2, 3, 2}, std::int64_t{1} << 62, 0));
  EXPECT_TRUE(is_refused(CUDNN_DATA_FLOAT, CUDNN_DATA_FP8_E8M0, {2, 3, 2}, 32, 0));
  EXPECT_TRUE(is_refused(CUDNN_DATA_FP8_E4M3, CUDNN_DATA_FP8_E5M2, {2, 3, 2}, 32, 0));
  EXPECT_TRUE(is_refused(CUDNN_DATA_FP8_E4M3, CUDNN_DATA_FP8_E8M0, {2, 6}, 32, 0));
}

}  // namespace
}  // namespace accelmesh
