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
    return Describe(uid, dims, Strides(dims, is_last), type, more);
  }
  std::int64_t Describe(std::int64_t uid, const Words& dims, const Words& strides, int type,
                        const std::vector<Attribute>& more) {
    std::vector<Attribute> all = {{CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, {type}},
                                  {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, dims},
                                  {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides},
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

// Floats of eight bits and of four by the value of each pattern: those without a number are not looked for.
inline double FromTiny(int bits, int width, int mantissa, int bias) {
  const int sign = 1 << (width - 1), magnitude = bits & (sign - 1), exponent = magnitude >> mantissa;
  const int digits = magnitude & ((1 << mantissa) - 1);
  const double value = exponent == 0 ? std::ldexp(digits, 1 - bias - mantissa)
                                     : std::ldexp(digits + (1 << mantissa), exponent - bias - mantissa);
  return (bits & sign) != 0 ? -value : value;
}
// The pattern nearest to a value, the even one of two; `largest` is the pattern of the largest number.
inline int ToTiny(double value, int width, int mantissa, int bias, int largest) {
  int best = 0;
  for (int bits = 0; bits <= largest; ++bits) {
    const double before = std::abs(FromTiny(best, width, mantissa, bias) - std::abs(value));
    const double now = std::abs(FromTiny(bits, width, mantissa, bias) - std::abs(value));
    if (now < before || (now == before && bits % 2 == 0)) best = bits;
  }
  return value < 0 ? best | 1 << (width - 1) : best;
}

// An element as the bytes that a tensor has, from the lowest on, and back.
inline std::uint64_t Encode(int type, double value) {
  switch (type) {
    case CUDNN_DATA_DOUBLE: return std::bit_cast<std::uint64_t>(value);
    case CUDNN_DATA_FLOAT: return std::bit_cast<std::uint32_t>(static_cast<float>(value));
    case CUDNN_DATA_HALF: return ToSmall(value, 10, 15);
    case CUDNN_DATA_BFLOAT16: return ToSmall(value, 7, 127);
    case CUDNN_DATA_INT32: return static_cast<std::uint32_t>(static_cast<std::int32_t>(value));
    case CUDNN_DATA_INT8: return static_cast<std::uint8_t>(static_cast<std::int8_t>(value));
    case CUDNN_DATA_UINT8:
    case CUDNN_DATA_BOOLEAN: return static_cast<std::uint8_t>(value);
    case CUDNN_DATA_FP8_E4M3: return static_cast<std::uint64_t>(ToTiny(value, 8, 3, 7, 0x7e));
    case CUDNN_DATA_FP8_E5M2: return static_cast<std::uint64_t>(ToTiny(value, 8, 2, 15, 0x7b));
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
    case CUDNN_DATA_INT8: return static_cast<std::int8_t>(bits);
    case CUDNN_DATA_UINT8:
    case CUDNN_DATA_BOOLEAN: return static_cast<std::uint8_t>(bits);
    case CUDNN_DATA_FP8_E4M3: return FromTiny(static_cast<int>(bits), 8, 3, 7);
    case CUDNN_DATA_FP8_E5M2: return FromTiny(static_cast<int>(bits), 8, 2, 15);
    case CUDNN_DATA_FP8_E8M0: return std::ldexp(1.0, static_cast<int>(bits) - 127);
    default: return static_cast<double>(static_cast<std::int64_t>(bits));
  }
}
inline std::size_t WidthOf(int type) {
  switch (type) {
    case CUDNN_DATA_DOUBLE:
    case CUDNN_DATA_INT64: return 8;
    case CUDNN_DATA_FLOAT:
    case CUDNN_DATA_INT32: return 4;
    case CUDNN_DATA_HALF:
    case CUDNN_DATA_BFLOAT16: return 2;
    default: return 1;
  }
}
// How far a result of the type may be from its formula.
inline double ToleranceOf(int type) {
  switch (type) {
    case CUDNN_DATA_DOUBLE: return 1e-9;
    case CUDNN_DATA_FLOAT: return 1e-4;
    case CUDNN_DATA_HALF: return 1.0 / 512;
    case CUDNN_DATA_BFLOAT16: return 1.0 / 64;
    default: return 0;
  }
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
  // One with any strides; what lies between its elements must stay as it is.
  std::int64_t PutAt(const Words& dims, const Words& strides, const Reals& values, int type = CUDNN_DATA_DOUBLE) {
    const std::size_t width = WidthOf(type);
    std::size_t extent = 1;
    for (std::size_t d = 0; d < dims.size(); ++d) extent += static_cast<std::size_t>((dims[d] - 1) * strides[d]);
    std::vector<std::uint8_t> bytes(extent * width, 0x5a);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::uint64_t bits = Encode(type, values[i]);
      std::memcpy(bytes.data() + Offset(IndexOf(i, dims), strides) * width, &bits, width);
    }
    const std::uint8_t* const memory = device_.Put(bytes);
    const std::int64_t place = Describe(uid_, dims, strides, type, {});
    tensors_[place] = {dims, strides, type, memory};
    pairs_.insert(pairs_.end(), {uid_++, static_cast<std::int64_t>(AddressOf(memory))});
    return place;
  }
  // Bytes as they are, of a tensor that the test reads itself.
  std::uint8_t* PutBytes(const std::vector<std::uint8_t>& bytes, const Words& dims, int type, std::int64_t* place,
                         const std::vector<Attribute>& more = {}) {
    std::uint8_t* const memory = device_.Put(bytes);
    *place = Describe(uid_, dims, Strides(dims), type, more);
    pairs_.insert(pairs_.end(), {uid_++, static_cast<std::int64_t>(AddressOf(memory))});
    return memory;
  }
  // One that lies nowhere.
  std::int64_t Virtual(const Words& dims, int type = CUDNN_DATA_FLOAT, const Words& strides = {}) {
    return Describe(uid_++, dims, strides.empty() ? Strides(dims) : strides, type,
                    {{CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, {1}}});
  }
  std::int64_t Pointwise(int mode, std::int64_t x, std::int64_t b, std::int64_t y, std::int64_t t = -1,
                         std::vector<Attribute> description = {}) {
    description.push_back({CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, {mode}});
    const std::int64_t pointwise = Add(CUDNN_BACKEND_POINTWISE_DESCRIPTOR, description);
    std::vector<Attribute> all = {Refer(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise),
                                  Refer(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x),
                                  Refer(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y)};
    if (b >= 0) all.push_back(Refer(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b));
    if (t >= 0) all.push_back(Refer(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, t));
    return Add(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, all);
  }
  std::int64_t Matmul(std::int64_t a, std::int64_t b, std::int64_t c) {
    const std::int64_t matmul = Add(CUDNN_BACKEND_MATMUL_DESCRIPTOR, {});
    return Add(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR,
               {Refer(CUDNN_ATTR_OPERATION_MATMUL_DESC, matmul), Refer(CUDNN_ATTR_OPERATION_MATMUL_ADESC, a),
                Refer(CUDNN_ATTR_OPERATION_MATMUL_BDESC, b), Refer(CUDNN_ATTR_OPERATION_MATMUL_CDESC, c)});
  }
  std::int64_t Reduce(int reduction, std::int64_t x, std::int64_t y) {
    const std::int64_t description =
        Add(CUDNN_BACKEND_REDUCTION_DESCRIPTOR,
            {{CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, {reduction}}});
    return Add(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR,
               {Refer(CUDNN_ATTR_OPERATION_REDUCTION_DESC, description), Refer(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x),
                Refer(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y)});
  }
  std::int64_t Make(const Words& dims, int type = CUDNN_DATA_DOUBLE, bool is_last = false) {
    return Put(dims, Reals(Count(dims), 99), type, is_last);
  }
  std::int64_t Value(double value, int type = CUDNN_DATA_DOUBLE) {
    pairs_.insert(pairs_.end(), {uid_, static_cast<std::int64_t>(Encode(type, value))});
    return Tensor(uid_++, {1, 1, 1, 1}, type, false, {{CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, {1}}});
  }
  // The same of 64 bits, all of them.
  std::int64_t WholeValue(std::int64_t value) {
    pairs_.insert(pairs_.end(), {uid_, value});
    return Tensor(uid_++, {1, 1, 1, 1}, CUDNN_DATA_INT64, false,
                  {{CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, {1}}});
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
  // Whether it runs; it is accepted before.
  bool Runs(const Words& operations) {
    const Words plan = Graph(operations);
    EXPECT_EQ(device_.Query(plan).status, 0u);
    const bool runs = device_.Execute(plan, pairs_).device_status == 0;
    EXPECT_TRUE(device_.IsWhole());
    return runs;
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
