// Plans of operation graphs written by hand, and tensors of any type and layout to run them with.
#pragma once

#include <cudnn.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <random>
#include <string>

#include "tests/unit/server/backend/cpu/dnn/plugin.h"

namespace accelmesh::dnn_test {

using Words = std::vector<std::int64_t>;
using Reals = std::vector<double>;

inline std::int64_t Bits(double value) { return std::bit_cast<std::int64_t>(value); }
inline std::size_t Count(const Words& dims) {
  return static_cast<std::size_t>(std::accumulate(dims.begin(), dims.end(), std::int64_t{1}, std::multiplies<>()));
}

// The words of a plan.
class PlanText {
 public:
  struct Attribute {
    int name;
    int type;
    Words words;
  };
  std::int64_t Add(int type, const std::vector<Attribute>& attributes) {
    words_.push_back(type | static_cast<std::int64_t>(attributes.size()) << 32);
    for (const Attribute& attribute : attributes) {
      words_.push_back(attribute.name | std::int64_t{attribute.type} << 16 |
                       static_cast<std::int64_t>(attribute.words.size()) << 32);
      words_.insert(words_.end(), attribute.words.begin(), attribute.words.end());
    }
    return count_++;
  }
  // The second dimension is the innermost one if `is_last`.
  static Words Strides(const Words& dims, bool is_last = false) {
    std::vector<std::size_t> order(dims.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (is_last && dims.size() > 2) std::rotate(order.begin() + 1, order.begin() + 2, order.end());
    Words strides(dims.size());
    std::int64_t stride = 1;
    for (std::size_t i = dims.size(); i-- > 0;) {
      strides[order[i]] = stride;
      stride *= dims[order[i]];
    }
    return strides;
  }
  std::int64_t Tensor(std::int64_t uid, const Words& dims, int type = CUDNN_DATA_DOUBLE, bool is_last = false,
                      const std::vector<Attribute>& more = {}) {
    std::vector<Attribute> all = {{CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, {type}},
                                  {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, dims},
                                  {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, Strides(dims, is_last)},
                                  {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, {uid}}};
    all.insert(all.end(), more.begin(), more.end());
    return Add(CUDNN_BACKEND_TENSOR_DESCRIPTOR, all);
  }
  Words Graph(const Words& operations) {
    Add(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
        {{CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, operations}});
    Words all{kDnnPlanVersion | count_ << 32, 0};
    all.insert(all.end(), words_.begin(), words_.end());
    return all;
  }
  static Attribute Refer(int name, std::int64_t place) { return {name, CUDNN_TYPE_BACKEND_DESCRIPTOR, {place}}; }

 private:
  Words words_;
  std::int64_t count_ = 0;
};

class Runner : public Device {
 public:
  cpu_blas::Outcome Execute(const Words& plan, const Words& pairs) const {
    Words arguments{0, static_cast<std::int64_t>(pairs.size()), 0};
    arguments.insert(arguments.end(), pairs.begin(), pairs.end());
    return Call(kDnnFunction<DnnGraphExecute>, arguments, plan);
  }
  cpu_blas::Outcome Query(const Words& plan) const {
    Words arguments{0, static_cast<std::int64_t>(plan.size())};
    arguments.insert(arguments.end(), plan.begin(), plan.end());
    return Call(kDnnFunction<DnnGraphQuery>, arguments, {});
  }

 private:
  cpu_blas::Outcome Call(std::uint32_t function, const Words& arguments, const Words& plan) const {
    cpu_blas::Outcome outcome;
    Plugin().run({kLibraryDnn, function, reinterpret_cast<const std::uint8_t*>(arguments.data()),
                  arguments.size() * sizeof(std::int64_t), &Allowed, static_cast<const Device*>(this),
                  reinterpret_cast<const std::uint8_t*>(plan.data()), plan.size() * sizeof(std::int64_t)},
                 &outcome);
    return outcome;
  }
};

// A float of fewer bits, by its definition; values without subnormals, cut off.
inline std::uint16_t ToSmall(double value, int mantissa, int bias) {
  if (value == 0) return 0;
  int exponent = 0;
  const double fraction = std::frexp(std::abs(value), &exponent);  // from 1/2 on
  const auto digits = static_cast<int>(std::ldexp(fraction, mantissa + 1)) - (1 << mantissa);
  return static_cast<std::uint16_t>((value < 0 ? 0x8000 : 0) | (exponent - 1 + bias) << mantissa | digits);
}
inline double FromSmall(std::uint16_t bits, int mantissa, int bias) {
  const int exponent = (bits & 0x7fff) >> mantissa, digits = bits & ((1 << mantissa) - 1);
  const double value = exponent == 0 ? std::ldexp(digits, 1 - bias - mantissa)
                                     : std::ldexp(digits + (1 << mantissa), exponent - bias - mantissa);
  return (bits & 0x8000) != 0 ? -value : value;
}

// An element as the bytes that a tensor has, from the lowest on, and back.
inline std::uint64_t Encode(int type, double value) {
  switch (type) {
    case CUDNN_DATA_DOUBLE: return std::bit_cast<std::uint64_t>(value);
    case CUDNN_DATA_FLOAT: return std::bit_cast<std::uint32_t>(static_cast<float>(value));
    case CUDNN_DATA_HALF: return ToSmall(value, 10, 15);
    case CUDNN_DATA_BFLOAT16: return ToSmall(value, 7, 127);
    case CUDNN_DATA_INT32: return static_cast<std::uint32_t>(static_cast<std::int32_t>(value));
    default: return static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
  }
}
inline double Decode(int type, std::uint64_t bits) {
  switch (type) {
    case CUDNN_DATA_DOUBLE: return std::bit_cast<double>(bits);
    case CUDNN_DATA_FLOAT: return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    case CUDNN_DATA_HALF: return FromSmall(static_cast<std::uint16_t>(bits), 10, 15);
    case CUDNN_DATA_BFLOAT16: return FromSmall(static_cast<std::uint16_t>(bits), 7, 127);
    case CUDNN_DATA_INT32: return static_cast<std::int32_t>(bits);
    default: return static_cast<double>(static_cast<std::int64_t>(bits));
  }
}
inline std::size_t WidthOf(int type) {
  if (type == CUDNN_DATA_HALF || type == CUDNN_DATA_BFLOAT16) return 2;
  return type == CUDNN_DATA_DOUBLE || type == CUDNN_DATA_INT64 ? 8 : 4;
}

// Where an element is, the elements counted with the last dimension innermost.
inline Words IndexOf(std::size_t element, const Words& dims) {
  Words index(dims.size());
  auto rest = static_cast<std::int64_t>(element);
  for (std::size_t d = dims.size(); d-- > 0;) {
    index[d] = rest % dims[d];
    rest /= dims[d];
  }
  return index;
}
inline std::size_t Offset(const Words& index, const Words& strides) {
  return static_cast<std::size_t>(std::inner_product(index.begin(), index.end(), strides.begin(), std::int64_t{0}));
}

// One graph with its tensors.
class GraphCall : public PlanText {
 public:
  // A tensor in memory; its place.
  std::int64_t Put(const Words& dims, const Reals& values, int type = CUDNN_DATA_DOUBLE, bool is_last = false) {
    const Words strides = Strides(dims, is_last);
    const std::size_t width = WidthOf(type);
    std::vector<std::uint8_t> bytes(values.size() * width);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint64_t bits = Encode(type, values[i]);
      std::memcpy(bytes.data() + Offset(IndexOf(i, dims), strides) * width, &bits, width);
    }
    const std::uint8_t* const memory = device_.Put(bytes);
    const std::int64_t place = Tensor(uid_, dims, type, is_last);
    tensors_[place] = {dims, strides, type, memory};
    pairs_.insert(pairs_.end(), {uid_++, static_cast<std::int64_t>(AddressOf(memory))});
    return place;
  }
  std::int64_t Make(const Words& dims, int type = CUDNN_DATA_DOUBLE, bool is_last = false) {
    return Put(dims, Reals(Count(dims), 99), type, is_last);
  }
  std::int64_t Value(double value, int type = CUDNN_DATA_DOUBLE) {
    pairs_.insert(pairs_.end(), {uid_, static_cast<std::int64_t>(Encode(type, value))});
    return Tensor(uid_++, {1, 1, 1, 1}, type, false, {{CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, {1}}});
  }
  Reals Get(std::int64_t place) const {
    const Placed& tensor = tensors_.at(place);
    Reals values(Count(tensor.dims));
    const std::size_t width = WidthOf(tensor.type);
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::uint64_t bits = 0;
      std::memcpy(&bits, tensor.memory + Offset(IndexOf(i, tensor.dims), tensor.strides) * width, width);
      values[i] = Decode(tensor.type, bits);
    }
    return values;
  }
  void Run(const Words& operations) {
    const Words plan = Graph(operations);
    const cpu_blas::Outcome query = device_.Query(plan), outcome = device_.Execute(plan, pairs_);
    EXPECT_EQ(query.device_status, 0u) << query.text;
    EXPECT_EQ(query.status, 0u);
    EXPECT_EQ(outcome.device_status, 0u) << outcome.text;
    EXPECT_TRUE(device_.IsWhole());
  }
  // Whether it is refused when asked, and does not run either.
  bool IsRefused(const Words& operations) {
    const Words plan = Graph(operations);
    return device_.Query(plan).status == CUDNN_STATUS_NOT_SUPPORTED_GRAPH_PATTERN &&
           device_.Execute(plan, pairs_).device_status != 0;
  }

 private:
  struct Placed {
    Words dims, strides;
    int type = 0;
    const std::uint8_t* memory = nullptr;
  };
  Runner device_;
  Words pairs_;
  std::map<std::int64_t, Placed> tensors_;
  std::int64_t uid_ = 1;
};

inline Reals Random(std::mt19937& random, std::size_t count, double low = -2, double high = 2) {
  std::uniform_real_distribution<double> spread(low, high);
  Reals values(count);
  for (double& value : values) value = spread(random);
  return values;
}
inline void ExpectNear(const Reals& is, const Reals& wanted, double tolerance, const std::string& what) {
  ASSERT_EQ(is.size(), wanted.size()) << what;
  for (std::size_t i = 0; i < is.size(); ++i)
    ASSERT_NEAR(is[i], wanted[i], tolerance * (1 + std::abs(wanted[i]))) << what << ' ' << i;
}

}  // namespace accelmesh::dnn_test
