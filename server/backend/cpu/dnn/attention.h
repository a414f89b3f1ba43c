// Multi-head attention of the software GPU: what the words say, where everything lies, and its sequences.
//
// Inside, sequences are rows of a matrix: row (b * beams + e) * steps + t is step t of beam e of batch b. Everything is
// computed in float or double. Weights lie without gaps, as cuDNN lays them: of each projection a matrix with a row for
// each number that comes in and a column for each that goes out, the heads side by side, and behind all matrices the
// biases.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "protocol/library/dnn_windows.h"
#include "server/backend/cpu/dnn/context.h"
#include "server/backend/cpu/dnn/product.h"
#include "server/backend/cpu/dnn/raw.h"

namespace accelmesh::cpu_dnn {

// A projection, in elements of the weights; -1: there is none such.
struct Projection {
  i64 weights = -1;  // `inner` rows of `columns`
  i64 bias = -1;     // `columns`
  i64 inner = 0;
  i64 columns = 0;  // as many as come in where nothing is projected
};
enum Side : std::size_t { kQueries = 0, kKeys = 1, kValues = 2, kResult = 3 };

struct Attention {
  i64 heads = 0;
  i64 query_head = 0;  // how long a head's queries and keys are
  i64 value_head = 0;
  double scale = 0;
  int type = 0;
  std::array<Projection, 4> sides;  // by Side
  i64 weight_elements = 0;

  i64 ContextColumns() const { return heads * value_head; }
  // How far it is from a head's columns to the next one's: without a projection all take the same.
  i64 HeadStride(Side side) const { return sides[side].weights < 0 ? 0 : (side == kValues ? value_head : query_head); }
};
// Why words are no attention that can be computed; null if they are one.
const char* ReadAttention(const DnnAttention& words, Attention* attention);

// How the elements of a reserve are shared out, or of the workspace of who only goes forward.
class AttentionLayout {
 public:
  struct Extent {
    i64 batch = 0;
    i64 beams = 0;
    i64 query_steps = 0;
    i64 key_steps = 0;
  };
  // Null, or why not.
  static const char* Make(const Attention& attention, const DnnAttention& words, const Extent& extent, bool is_training,
                          AttentionLayout* layout);

  i64 elements() const { return elements_; }
  i64 query_rows() const { return query_rows_; }
  i64 key_rows() const { return key_rows_; }
  i64 result_elements() const { return result_elements_; }
  i64 weight_elements() const { return pairs_ * all_; }  // weights of keys

  // What a side is projected to, and on the way back what comes to that; null without a projection.
  template <typename Real>
  Real* ProjectedOf(Real* base, Side side) const {
    return projected_[side] < 0 ? nullptr : base + projected_[side];
  }
  template <typename Real>
  Real* GradientOf(Real* base, Side side) const {
    return gradients_[side] < 0 ? nullptr : base + gradients_[side];
  }
  // What the heads take from the values, side by side.
  template <typename Real>
  Real* ContextOf(Real* base) const {
    return base + context_;
  }
  // The weights of keys, a row for each query step. `number` counts heads within beams; who only goes forward has one.
  template <typename Real>
  Real* WeightsOf(Real* base, i64 number) const {
    return base + weights_ + (is_training_ ? number : 0) * pairs_;
  }
  // What they are multiplied by, and what the result is; null without dropout.
  template <typename Real>
  Real* MaskOf(Real* base, i64 number) const {
    return mask_ < 0 ? nullptr : base + mask_ + number * pairs_;
  }
  template <typename Real>
  Real* ResultMaskOf(Real* base) const {
    return result_mask_ < 0 ? nullptr : base + result_mask_;
  }

 private:
  bool is_training_ = false;
  i64 query_rows_ = 0;
  i64 key_rows_ = 0;
  i64 pairs_ = 0;  // of query and key steps
  i64 all_ = 0;    // heads of all beams
  i64 result_elements_ = 0;
  std::array<i64, 3> projected_{-1, -1, -1};
  std::array<i64, 3> gradients_{-1, -1, -1};
  i64 context_ = 0;
  i64 weights_ = 0;
  i64 mask_ = -1;
  i64 result_mask_ = -1;
  i64 elements_ = 0;
};

// Sequences of a call, where they lie in the program's memory.
class SequenceData {
 public:
  // Fails the context if they are none, or of another vector.
  SequenceData(Context& context, const DnnSequenceData& words, int type, i64 vector);
  i64 steps() const { return steps_; }
  i64 batch() const { return batch_; }
  i64 beams() const { return beams_; }
  i64 sequences() const { return batch_ * beams_; }
  i64 vector() const { return vector_; }
  std::uint64_t address() const { return address_; }

  // Only that step from now on.
  void Select(i64 step) {
    first_ = step;
    steps_ = 1;
  }
  // Fails the context if it is not memory.
  void Check(Context& context, std::uint64_t address) const {
    if (!context.failed()) context.Find(RawOperand(type_, address, elements_));
  }
  // All rows, in memory of the context's, with zeros behind the ends. Null if the context has failed.
  template <typename Real>
  Real* Read(Context& context, std::uint64_t address, std::span<const std::int32_t> lengths) const;
  // Writes rows, and behind the ends `padding`.
  template <typename Real>
  void Write(Context& context, std::uint64_t address, const Real* rows, std::span<const std::int32_t> lengths,
             double padding) const;

 private:
  template <typename Visitor>
  void Each(std::span<const std::int32_t> lengths, Visitor visit) const;

  int type_ = 0;
  i64 first_ = 0;
  i64 steps_ = 0;
  i64 batch_ = 0;
  i64 beams_ = 0;
  i64 vector_ = 0;
  i64 elements_ = 0;
  std::uint64_t address_ = 0;
  std::array<i64, 4> strides_{};  // by axis
};

// What a call's words and tail are about.
struct AttentionCall {
  Attention attention;
  AttentionLayout layout;
  std::vector<SequenceData> sides;          // by Side
  std::vector<std::int32_t> query_lengths;  // of the tail
  std::vector<std::int32_t> key_lengths;    // of the tail
  DnnWindows windows;                       // of query steps; none where the function has none

  const SequenceData& side(Side which) const { return sides[which]; }
  // Which of all heads of all beams.
  i64 NumberOf(i64 sequence, i64 head) const { return sequence * attention.heads + head; }
};
// Queries, keys, values and result.
using SideWords = std::array<const DnnSequenceData*, 4>;
struct CallOptions {
  bool has_windows = true;
  bool is_training = true;
  i64 step = -1;  // the only one of queries and result; -1: all
};
// Fails the context unless all of it fits together.
AttentionCall ReadCall(Context& context, const DnnAttention& words, const SideWords& sides,
                       std::span<const std::int32_t> tail, const CallOptions& options);
// The lengths that lie in the device's memory, none above `steps` or below 0.
std::vector<std::int32_t> ReadLengths(Context& context, std::uint64_t address, i64 count, i64 steps);

template <typename Real>
const Real* ReadAttentionWeights(Context& context, const Attention& attention, const DnnSpace& space) {
  if (attention.weight_elements == 0) return nullptr;
  const std::uint64_t bytes = attention.type == CUDNN_DATA_DOUBLE  ? sizeof(double)
                              : attention.type == CUDNN_DATA_FLOAT ? sizeof(float)
                                                                   : sizeof(std::uint16_t);
  context.Require(static_cast<std::uint64_t>(attention.weight_elements) <= space.bytes / bytes,
                  "weights that are too few");
  return RawIn<Real>(context, attention.type, space.address, attention.weight_elements);
}

// One side as the heads see it.
template <typename Real>
struct Heads {
  Real* rows = nullptr;
  i64 columns = 0;
  i64 head_stride = 0;
  i64 steps = 0;

  // A head of a sequence.
  Real* At(i64 sequence, i64 head) const { return rows + sequence * steps * columns + head * head_stride; }
};

// to = from * weights + bias, for each row.
template <typename Real>
void Project(const Projection& side, const Real* weights, const Real* from, i64 rows, Real* to) {
  for (i64 row = 0; row < rows; ++row) {
    if (side.bias >= 0) {
      std::copy_n(weights + side.bias, side.columns, to + row * side.columns);
    } else {
      std::fill_n(to + row * side.columns, side.columns, Real{0});
    }
  }
  Multiply(rows, side.columns, side.inner, Plain(from, side.inner), Plain(weights + side.weights, side.columns), true,
           to, side.columns);
}

void RunAttentionForward(Context& context);
void RunAttentionBackwardData(Context& context);
void RunAttentionBackwardWeights(Context& context);

}  // namespace accelmesh::cpu_dnn
