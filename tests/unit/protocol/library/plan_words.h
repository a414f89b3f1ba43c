// Plans of operation graphs (protocol/library/dnn_graph.h) as tests write them.
#pragma once

#include <cudnn.h>

#include <bit>
#include <cstring>
#include <vector>

#include "protocol/base/bytes.h"
#include "protocol/library/dnn_calls.h"

namespace accelmesh {

class PlanWords {
 public:
  using Words = std::vector<std::int64_t>;
  struct Attribute {
    int name;
    int type;
    Words words;
  };
  static Attribute Refer(int name, std::int64_t place) { return {name, CUDNN_TYPE_BACKEND_DESCRIPTOR, {place}}; }

  // Its place.
  std::int64_t Add(int type, const std::vector<Attribute>& attributes) {
    words_.push_back(type | static_cast<std::int64_t>(attributes.size()) << 32);
    for (const Attribute& attribute : attributes) {
      words_.push_back(attribute.name | std::int64_t{attribute.type} << 16 |
                       static_cast<std::int64_t>(attribute.words.size()) << 32);
      words_.insert(words_.end(), attribute.words.begin(), attribute.words.end());
    }
    return count_++;
  }
  // A row of floats.
  std::int64_t Row(std::int64_t uid, std::int64_t count, const std::vector<Attribute>& more = {}) {
    std::vector<Attribute> all = {{CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT}},
                                  {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, {1, 1, count}},
                                  {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, {count, count, 1}},
                                  {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, {4}},
                                  {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, {uid}}};
    all.insert(all.end(), more.begin(), more.end());
    return Add(CUDNN_BACKEND_TENSOR_DESCRIPTOR, all);
  }
  std::int64_t Value(std::int64_t uid) {
    return Row(uid, 1, {{CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, {1}}});
  }
  std::int64_t Virtual(std::int64_t uid, std::int64_t count) {
    return Row(uid, count, {{CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, {1}}});
  }
  static constexpr double kClip = 12.5;
  // y = mode(x, b); of what has no b, -1. A relu goes up to kClip.
  std::int64_t Pointwise(int mode, std::int64_t x, std::int64_t b, std::int64_t y) {
    const std::int64_t description =
        Add(CUDNN_BACKEND_POINTWISE_DESCRIPTOR,
            {{CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, {mode}},
             {CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, {CUDNN_DATA_FLOAT}},
             {CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, CUDNN_TYPE_FLOAT, {std::bit_cast<std::int64_t>(0.0)}},
             {CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_FLOAT, {std::bit_cast<std::int64_t>(kClip)}}});
    std::vector<Attribute> all = {Refer(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, description),
                                  Refer(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x),
                                  Refer(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y)};
    if (b >= 0) all.push_back(Refer(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b));
    return Add(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, all);
  }
  // The whole plan.
  Bytes Graph(const Words& operations) {
    Add(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
        {{CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, operations}});
    Words all{kDnnPlanVersion | count_ << 32, 0};
    all.insert(all.end(), words_.begin(), words_.end());
    return BytesOf(all);
  }
  static Bytes BytesOf(const Words& words) {
    Bytes bytes(words.size() * sizeof(std::int64_t));
    if (!words.empty()) std::memcpy(bytes.data(), words.data(), bytes.size());
    return bytes;
  }

  // The arguments of a function whose words have a tail.
  template <typename Structure>
  static Bytes Arguments(Structure words, ByteView tail) {
    words.tail_words = tail.size() / sizeof(std::uint64_t);
    Bytes arguments(sizeof(std::uint64_t) + sizeof(words));
    std::memcpy(arguments.data() + sizeof(std::uint64_t), &words, sizeof(words));
    arguments.insert(arguments.end(), tail.begin(), tail.end());
    return arguments;
  }
  // Of an execution: unique ids, and where their tensors lie or which value they have.
  static Bytes Execution(const Words& pairs, std::uint64_t workspace) {
    return Arguments(DnnGraphExecute{0, workspace}, BytesOf(pairs));
  }

 private:
  Words words_;
  std::int64_t count_ = 0;
};

}  // namespace accelmesh
