// Operations of graphs that only move elements, against plain loops: reshapes, concatenations, bands, pages.
#include "tests/unit/server/backend/cpu/dnn/graph_plan.h"

namespace accelmesh {
namespace {

using dnn_test::Bits;
using dnn_test::Count;
using dnn_test::GraphCall;
using dnn_test::IndexOf;
using dnn_test::Offset;
using dnn_test::PlanText;
using dnn_test::Reals;
using dnn_test::Words;

Reals Numbered(std::size_t count) {
  Reals values(count);
  std::iota(values.begin(), values.end(), -7.0);
  return values;
}

// What cuDNN's attention does to transpose: memory stays, its description changes; also of what is virtual.
TEST(CpuGraphReshape, KeepsMemory) {
  struct Case {
    Words x, x_strides, y, y_strides;
  };
  const std::vector<Case> cases = {
      {{2, 3, 4}, {12, 4, 1}, {4, 6}, {6, 1}},                       // fewer dimensions
      {{2, 3, 4, 5}, {60, 20, 5, 1}, {2, 3, 5, 4}, {60, 20, 1, 5}},  // transposed
      {{2, 3, 4, 5}, {60, 1, 15, 3}, {2, 3, 20, 1}, {60, 1, 3, 3}},  // channels innermost stay so
      {{2, 3, 4}, {12, 1, 3}, {2, 4, 3}, {12, 3, 1}},                // innermost channels as a dimension of their own
  };
  for (const Case& c : cases) {
    for (const bool is_virtual : {false, true}) {
      SCOPED_TRACE(testing::Message() << testing::PrintToString(c.y) << is_virtual);
      const Reals x = Numbered(Count(c.x));
      Reals memory(x.size()), wanted;
      for (std::size_t i = 0; i < x.size(); ++i) memory[Offset(IndexOf(i, c.x), c.x_strides)] = x[i];
      for (std::size_t i = 0; i < x.size(); ++i) wanted.push_back(memory[Offset(IndexOf(i, c.y), c.y_strides)]);
      GraphCall call;
      std::int64_t from = call.PutAt(c.x, c.x_strides, x), to = 0;
      const std::int64_t y = call.PutAt(c.y, c.y_strides, Reals(x.size(), 99));
      Words operations;
      if (is_virtual) {
        const std::int64_t first = call.Virtual(c.x, CUDNN_DATA_DOUBLE, c.x_strides);
        operations.push_back(call.Pointwise(CUDNN_POINTWISE_IDENTITY, from, -1, first));
        from = first;
        to = call.Virtual(c.y, CUDNN_DATA_DOUBLE, c.y_strides);
        operations.push_back(call.Pointwise(CUDNN_POINTWISE_IDENTITY, to, -1, y));
      }
      operations.push_back(call.Add(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
                                    {PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, from),
                                     PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, is_virtual ? to : y)}));
      call.Run(operations);
      EXPECT_EQ(call.Get(y), wanted);
    }
  }
}

TEST(CpuGraphReshape, KeepsTheOrderOfElementsWhereThereAreGaps) {
  const Reals x = Numbered(12);
  GraphCall call;
  const std::int64_t from = call.PutAt({2, 3, 2}, {20, 5, 2}, x), y = call.PutAt({4, 3}, {4, 1}, Reals(12, 99));
  const auto reshape = [&call](std::int64_t a, std::int64_t b) {
    return call.Add(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
                    {PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, a),
                     PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, b)});
  };
  GraphCall refused;
  EXPECT_TRUE(
      refused.IsRefused({refused.Add(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR,
                                     {PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, refused.Make({3, 4})),
                                      PlanText::Refer(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, refused.Make({2, 5}))})}));
  call.Run({reshape(from, y)});
  EXPECT_EQ(call.Get(y), x);
}

TEST(CpuGraphConcat, PartsLieBehindEachOther) {
  std::mt19937 random(91);
  for (int round = 0; round < 24; ++round) {
    const std::size_t rank = 2 + random() % 3, axis = random() % rank;
    const int type = round % 3 == 0 ? CUDNN_DATA_HALF : round % 3 == 1 ? CUDNN_DATA_INT8 : CUDNN_DATA_FLOAT;
    Words dims(rank);
    for (std::int64_t& size : dims) size = 1 + static_cast<std::int64_t>(random() % 4);
    GraphCall call;
    Words inputs;
    std::vector<Reals> parts;
    std::vector<Words> shapes;
    Words all = dims;
    all[axis] = 0;
    const std::size_t count = 1 + random() % 4;
    for (std::size_t i = 0; i < count; ++i) {
      Words part = dims;
      part[axis] = 1 + static_cast<std::int64_t>(random() % 3);
      all[axis] += part[axis];
      Reals values(Count(part));
      for (double& value : values) value = static_cast<double>(random() % 100) - 50;
      inputs.push_back(call.Put(part, values, type, round % 2 == 0));
      parts.push_back(values);
      shapes.push_back(part);
    }
    Reals wanted;
    for (std::size_t i = 0; i < Count(all); ++i) {
      Words index = IndexOf(i, all);
      std::size_t part = 0;
      while (index[axis] >= shapes[part][axis]) index[axis] -= shapes[part++][axis];
      wanted.push_back(parts[part][Offset(index, PlanText::Strides(shapes[part]))]);
    }
    const std::int64_t y = call.Make(all, type, round % 4 == 0);
    call.Run({call.Add(CUDNN_BACKEND_OPERATION_CONCAT_DESCRIPTOR,
                       {{CUDNN_ATTR_OPERATION_CONCAT_AXIS, CUDNN_TYPE_INT64, {static_cast<std::int64_t>(axis)}},
                        {CUDNN_ATTR_OPERATION_CONCAT_INPUT_DESCS, CUDNN_TYPE_BACKEND_DESCRIPTOR, inputs},
                        PlanText::Refer(CUDNN_ATTR_OPERATION_CONCAT_OUTPUT_DESC, y)})});
    EXPECT_EQ(call.Get(y), wanted) << round;
  }
}

TEST(CpuGraphConcat, WhatDoesNotFitIsRefused) {
  const auto is_refused = [](const Words& first, const Words& second, const Words& y, std::int64_t axis,
                             std::int64_t inplace) {
    GraphCall call;
    const Words inputs{call.Make(first), call.Make(second)};
    return call.IsRefused({call.Add(CUDNN_BACKEND_OPERATION_CONCAT_DESCRIPTOR,
                                    {{CUDNN_ATTR_OPERATION_CONCAT_AXIS, CUDNN_TYPE_INT64, {axis}},
                                     {CUDNN_ATTR_OPERATION_CONCAT_INPLACE_INDEX, CUDNN_TYPE_INT64, {inplace}},
                                     {CUDNN_ATTR_OPERATION_CONCAT_INPUT_DESCS, CUDNN_TYPE_BACKEND_DESCRIPTOR, inputs},
                                     PlanText::Refer(CUDNN_ATTR_OPERATION_CONCAT_OUTPUT_DESC, call.Make(y))})});
  };
  EXPECT_FALSE(is_refused({2, 3}, {2, 1}, {2, 4}, 1, -1));
  EXPECT_FALSE(is_refused({2, 3}, {2, 1}, {2, 4}, 1, 1));
  EXPECT_TRUE(is_refused({2, 3}, {2, 1}, {2, 5}, 1, -1));
  EXPECT_TRUE(is_refused({2, 3}, {2, 1}, {2, 4}, 0, -1));
  EXPECT_TRUE(is_refused({2, 3}, {2, 1}, {2, 4}, 2, -1));
  EXPECT_TRUE(is_refused({2, 3}, {2, 1}, {2, 4}, 1, 2));
  EXPECT_TRUE(is_refused({2, 3}, {2, 1, 1}, {2, 4}, 1, -1));
}

// A band's element of row i and column j lies in the diagonal j - i, along the axis.
TEST(CpuGraphBand, ExpandsAndContracts) {
  std::mt19937 random(92);
  for (int round = 0; round < 24; ++round) {
    const std::int64_t rows = 1 + static_cast<std::int64_t>(random() % 6),
                       columns = 1 + static_cast<std::int64_t>(random() % 6),
                       lower = static_cast<std::int64_t>(random() % 4), upper = static_cast<std::int64_t>(random() % 4),
                       width = lower + upper + 1;
    const bool is_columns = round % 2 == 0;  // the columns are what the diagonals are instead of
    const Words matrix{2, rows, columns}, band = is_columns ? Words{2, rows, width} : Words{2, width, columns};
    constexpr double kPad = -5;
    const auto at_band = [&](std::int64_t n, std::int64_t i, std::int64_t j) -> Words {
      return is_columns ? Words{n, i, j - i + lower} : Words{n, i - j + upper, j};
    };
    const Reals values = Numbered(Count(band)), full = Numbered(Count(matrix));
    Reals expanded(Count(matrix), kPad), contracted(Count(band), kPad);
    for (std::size_t e = 0; e < Count(matrix); ++e) {
      const Words at = IndexOf(e, matrix);
      if (at[2] - at[1] > upper || at[1] - at[2] > lower) continue;
      const std::size_t place = Offset(at_band(at[0], at[1], at[2]), PlanText::Strides(band));
      expanded[e] = values[place];
      contracted[place] = full[e];
    }
    SCOPED_TRACE(testing::Message() << rows << ' ' << columns << ' ' << lower << ' ' << upper << ' ' << is_columns);
    GraphCall call;
    const std::int64_t axis = is_columns ? 2 : 1, y = call.Make(matrix), z = call.Make(band);
    call.Run({call.Add(CUDNN_BACKEND_OPERATION_EXPAND_BAND_MATRIX_DESCRIPTOR,
                       {PlanText::Refer(CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_XDESC, call.Put(band, values)),
                        PlanText::Refer(CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_YDESC, y),
                        {CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_LOWER_BANDWIDTH, CUDNN_TYPE_INT64, {lower}},
                        {CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_UPPER_BANDWIDTH, CUDNN_TYPE_INT64, {upper}},
                        {CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_AXIS, CUDNN_TYPE_INT64, {axis}},
                        {CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_PAD_VALUE, CUDNN_TYPE_FLOAT, {Bits(kPad)}}}),
              call.Add(CUDNN_BACKEND_OPERATION_CONTRACT_BAND_MATRIX_DESCRIPTOR,
                       {PlanText::Refer(CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_XDESC, call.Put(matrix, full)),
                        PlanText::Refer(CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_YDESC, z),
                        {CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_LOWER_BANDWIDTH, CUDNN_TYPE_INT64, {lower}},
                        {CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_UPPER_BANDWIDTH, CUDNN_TYPE_INT64, {upper}},
                        {CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_AXIS, CUDNN_TYPE_INT64, {axis}},
                        {CUDNN_ATTR_OPERATION_CONTRACT_BAND_MATRIX_PAD_VALUE, CUDNN_TYPE_FLOAT, {Bits(kPad)}}})});
    EXPECT_EQ(call.Get(y), expanded);
    EXPECT_EQ(call.Get(z), contracted);
  }
}

TEST(CpuGraphBand, WhatDoesNotFitIsRefused) {
  const auto is_refused = [](const Words& x, const Words& y, std::int64_t lower, std::int64_t upper, std::int64_t axis,
                             bool has_mask) {
    GraphCall call;
    std::vector<PlanText::Attribute> all = {
        PlanText::Refer(CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_XDESC, call.Make(x)),
        PlanText::Refer(CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_YDESC, call.Make(y)),
        {CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_LOWER_BANDWIDTH, CUDNN_TYPE_INT64, {lower}},
        {CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_UPPER_BANDWIDTH, CUDNN_TYPE_INT64, {upper}},
        {CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_AXIS, CUDNN_TYPE_INT64, {axis}}};
    if (has_mask)
      all.push_back(PlanText::Refer(CUDNN_ATTR_OPERATION_EXPAND_BAND_MATRIX_SPECULATIVE_MASK_DESC, call.Make(y)));
    return call.IsRefused({call.Add(CUDNN_BACKEND_OPERATION_EXPAND_BAND_MATRIX_DESCRIPTOR, all)});
  };
  EXPECT_FALSE(is_refused({2, 5, 3}, {2, 5, 5}, 1, 1, 2, false));
  EXPECT_TRUE(is_refused({2, 5, 3}, {2, 5, 5}, 1, 2, 2, false));
  EXPECT_TRUE(is_refused({2, 5, 3}, {2, 5, 5}, -1, 3, 2, false));
  EXPECT_TRUE(is_refused({2, 5, 3}, {2, 4, 5}, 1, 1, 2, false));
  EXPECT_TRUE(is_refused({2, 5, 3}, {2, 5, 5}, 1, 1, 0, false));
  EXPECT_TRUE(is_refused({2, 5, 3}, {2, 5, 5}, 1, 1, 3, false));
  EXPECT_TRUE(is_refused({2, 5, 3}, {2, 5, 5}, 1, 1, 2, true));
}

struct Pages {
  Words container{5, 2, 3, 4};
  std::int64_t sequences = 2, places = 7;
  bool is_transposed = false;
  Words table{4, 0, 2, 1, 3, 3};
  Reals lengths{7, 5};

  Words Y() const {
    return is_transposed ? Words{sequences, container[1], container[3], places}
                         : Words{sequences, container[1], places, container[3]};
  }
  Words YStrides() const {
    const std::int64_t width = container[3], matrix = width * places;
    return is_transposed ? Words{matrix * container[1], matrix, 1, width}
                         : Words{matrix * container[1], matrix, width, 1};
  }
};
std::int64_t AddPages(GraphCall* call, const Pages& pages, const Reals& values, std::int64_t y) {
  const std::int64_t each = static_cast<std::int64_t>(pages.table.size()) / pages.sequences;
  const Reals table(pages.table.begin(), pages.table.end());
  return call->Add(CUDNN_BACKEND_OPERATION_PAGED_CACHE_LOAD_DESCRIPTOR,
                   {PlanText::Refer(CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_CONTAINER_DESC,
                                    call->Put(pages.container, values, CUDNN_DATA_HALF)),
                    PlanText::Refer(CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_PAGE_TABLE_DESC,
                                    call->Put({pages.sequences, 1, each, 1}, table, CUDNN_DATA_INT32)),
                    PlanText::Refer(CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_SEQUENCE_DESC,
                                    call->Put({pages.sequences, 1, 1, 1}, pages.lengths, CUDNN_DATA_INT32)),
                    PlanText::Refer(CUDNN_ATTR_OPERATION_PAGED_CACHE_LOAD_YDESC, y)});
}

TEST(CpuGraphPages, AreGatheredAsTheirTableSays) {
  for (const bool is_transposed : {false, true}) {
    Pages pages;
    pages.is_transposed = is_transposed;
    const Reals values = Numbered(Count(pages.container));
    Reals wanted;
    for (std::size_t i = 0; i < Count(pages.Y()); ++i) {
      Words at = IndexOf(i, pages.Y());
      if (is_transposed) std::swap(at[2], at[3]);
      const std::int64_t page = pages.table[static_cast<std::size_t>(at[0] * 3 + at[2] / 3)];
      const bool is_there = static_cast<double>(at[2]) < pages.lengths[static_cast<std::size_t>(at[0])];
      wanted.push_back(is_there ? values[Offset({page, at[1], at[2] % 3, at[3]}, PlanText::Strides(pages.container))]
                                : 0);
    }
    GraphCall call;
    const std::int64_t y = call.PutAt(pages.Y(), pages.YStrides(), Reals(Count(pages.Y()), 99), CUDNN_DATA_HALF);
    call.Run({AddPages(&call, pages, values, y)});
    EXPECT_EQ(call.Get(y), wanted) << is_transposed;
  }
}

TEST(CpuGraphPages, OnesThatAreNotThereAreAnError) {
  for (const std::int64_t page : {-1, 5, 1 << 20}) {
    Pages pages;
    pages.table[1] = page;
    GraphCall call;
    const std::int64_t y = call.Make(pages.Y(), CUDNN_DATA_HALF);
    EXPECT_FALSE(call.Runs({AddPages(&call, pages, Numbered(Count(pages.container)), y)})) << page;
  }
  // Behind the sequence's end nobody looks.
  Pages pages;
  pages.table[5] = 99;
  pages.lengths[1] = 6;
  GraphCall call;
  const std::int64_t y = call.Make(pages.Y(), CUDNN_DATA_HALF);
  EXPECT_TRUE(call.Runs({AddPages(&call, pages, Numbered(Count(pages.container)), y)}));
  Pages other;
  other.table.pop_back();
  other.table.pop_back();
  GraphCall refused;
  EXPECT_TRUE(refused.IsRefused(
      {AddPages(&refused, other, Numbered(Count(other.container)), refused.Make(other.Y(), CUDNN_DATA_HALF))}));
}

}  // namespace
}  // namespace accelmesh
