#include "server/backend/cpu/dnn/graph_elements.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace accelmesh::cpu_dnn {
namespace {

// Floats of a sign, an exponent and a fraction; `largest` is the pattern of the largest number.
struct Small {
  int fraction;
  int bias;
  int sign;
  int largest;
  bool has_infinity;
};
constexpr Small kE4M3{3, 7, 0x80, 0x7e, false}, kE5M2{2, 15, 0x80, 0x7b, true}, kE2M1{1, 1, 0x8, 0x7, false};

double Decode(const Small& of, int bits) {
  const int magnitude = bits & (of.sign - 1), exponent = magnitude >> of.fraction;
  double value = 0;
  if (magnitude > of.largest) {
    const bool is_infinity = of.has_infinity && magnitude == of.largest + 1;
    value = is_infinity ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  } else {
    const int digits = magnitude & ((1 << of.fraction) - 1), whole = exponent == 0 ? digits : digits | 1 << of.fraction;
    value = std::ldexp(whole, std::max(exponent, 1) - of.bias - of.fraction);
  }
  return (bits & of.sign) != 0 ? -value : value;
}

int Encode(const Small& to, double value) {
  const int sign = std::signbit(value) ? to.sign : 0;
  // What has no NaN makes its largest number of one.
  if (std::isnan(value)) return sign | (to.sign - 1);
  const double magnitude = std::min(std::abs(value), Decode(to, to.largest));
  const int least = 1 - to.bias;
  const int exponent = magnitude == 0 ? least : std::max(std::ilogb(magnitude), least);
  // In units of the last place: a carry goes into the exponent by itself.
  const int digits = static_cast<int>(std::nearbyint(std::ldexp(magnitude, to.fraction - exponent)));
  return sign | std::min(((exponent - least) << to.fraction) + digits, to.largest);
}

constexpr int kScaleBias = 127, kScaleNan = 255;
double DecodeScale(int bits) {
  return bits == kScaleNan ? std::numeric_limits<double>::quiet_NaN() : std::ldexp(1.0, bits - kScaleBias);
}
int EncodeScale(double value) {
  if (std::isnan(value) || value < 0) return kScaleNan;
  if (value == 0) return 0;
  if (std::isinf(value)) return kScaleNan - 1;
  const int exponent = std::ilogb(value);
  const int up = std::ldexp(1.0, exponent) < value ? 1 : 0;
  return std::clamp(exponent + up + kScaleBias, 0, kScaleNan - 1);
}

template <typename T>
T Load(const std::uint8_t* memory, i64 at) {
  T value;
  std::memcpy(&value, memory + at * static_cast<i64>(sizeof(T)), sizeof(T));
  return value;
}
template <typename T>
void Store(std::uint8_t* memory, i64 at, T value) {
  std::memcpy(memory + at * static_cast<i64>(sizeof(T)), &value, sizeof(T));
}

// What does not fit is undefined to cast.
i64 Cut(double value, double least, double most) {
  return std::isnan(value) ? 0 : static_cast<i64>(std::clamp(value, least, most));
}
constexpr double kMost64 = 9.2e18, kMost32 = std::numeric_limits<std::int32_t>::max();

double LoadAt(int type, const std::uint8_t* memory, i64 at) {
  switch (type) {
    case CUDNN_DATA_FLOAT: return static_cast<double>(Load<float>(memory, at));
    case CUDNN_DATA_DOUBLE: return Load<double>(memory, at);
    case CUDNN_DATA_HALF: return static_cast<double>(ToReal(Load<Half>(memory, at)));
    case CUDNN_DATA_BFLOAT16: return static_cast<double>(ToReal(Load<Bfloat16>(memory, at)));
    case CUDNN_DATA_INT64: return static_cast<double>(Load<i64>(memory, at));
    case CUDNN_DATA_INT32: return Load<std::int32_t>(memory, at);
    case CUDNN_DATA_UINT32: return Load<std::uint32_t>(memory, at);
    case CUDNN_DATA_INT8: return Load<std::int8_t>(memory, at);
    case CUDNN_DATA_UINT8: return memory[at];
    case CUDNN_DATA_BOOLEAN: return memory[at] != 0 ? 1 : 0;
    case CUDNN_DATA_FP8_E4M3: return Decode(kE4M3, memory[at]);
    case CUDNN_DATA_FP8_E5M2: return Decode(kE5M2, memory[at]);
    case CUDNN_DATA_FP8_E8M0: return DecodeScale(memory[at]);
    default: return Decode(kE2M1, memory[at / 2] >> (at % 2 * 4) & 0xf);
  }
}

void StoreAt(int type, std::uint8_t* memory, i64 at, double value) {
  switch (type) {
    case CUDNN_DATA_FLOAT: return Store(memory, at, static_cast<float>(value));
    case CUDNN_DATA_DOUBLE: return Store(memory, at, value);
    case CUDNN_DATA_HALF: return Store(memory, at, Half(static_cast<float>(value)));
    case CUDNN_DATA_BFLOAT16: return Store(memory, at, Bfloat16(static_cast<float>(value)));
    case CUDNN_DATA_INT64: return Store(memory, at, Cut(value, -kMost64, kMost64));
    case CUDNN_DATA_INT32: return Store(memory, at, static_cast<std::int32_t>(Cut(value, -kMost32 - 1, kMost32)));
    case CUDNN_DATA_UINT32: return Store(memory, at, static_cast<std::uint32_t>(Cut(value, 0, 2 * kMost32 + 1)));
    case CUDNN_DATA_INT8: return Store(memory, at, static_cast<std::int8_t>(Cut(std::nearbyint(value), -128, 127)));
    case CUDNN_DATA_UINT8: memory[at] = static_cast<std::uint8_t>(Cut(std::nearbyint(value), 0, 255)); return;
    case CUDNN_DATA_BOOLEAN: memory[at] = value != 0 ? 1 : 0; return;
    case CUDNN_DATA_FP8_E4M3: memory[at] = static_cast<std::uint8_t>(Encode(kE4M3, value)); return;
    case CUDNN_DATA_FP8_E5M2: memory[at] = static_cast<std::uint8_t>(Encode(kE5M2, value)); return;
    case CUDNN_DATA_FP8_E8M0: memory[at] = static_cast<std::uint8_t>(EncodeScale(value)); return;
    default: {
      std::uint8_t& both = memory[at / 2];
      const int shift = static_cast<int>(at % 2 * 4);
      both = static_cast<std::uint8_t>((both & 0xf0 >> shift) | Encode(kE2M1, value) << shift);
    }
  }
}

i64 IntegerAt(int type, const std::uint8_t* memory, i64 at) {
  return type == CUDNN_DATA_INT64 ? Load<i64>(memory, at) : Cut(LoadAt(type, memory, at), -kMost64, kMost64);
}

// Where scales lie that are put in tiles of 128 rows and 4 columns, each of them four by four of 32 rows: what NVIDIA
// documents for the scales of cuBLASLt. The last two dimensions are the rows and, at stride 1, the columns.
class Tiles {
 public:
  explicit Tiles(const Shape& shape) {
    row_ = shape.rank - 2;
    column_ = shape.rank - 1;
    if (shape.strides[row_] == 1 && shape.strides[column_] != 1) std::swap(row_, column_);
    rows_ = (shape.dims[row_] + kRows - 1) / kRows;
    columns_ = (shape.dims[column_] + kColumns - 1) / kColumns;
  }
  i64 Each() const { return rows_ * columns_ * kRows * kColumns; }
  i64 At(const Shape& shape, const Indices& index) const {
    i64 matrix = 0;
    for (int d = 0; d + 2 < shape.rank; ++d) matrix = matrix * shape.dims[d] + index[d];
    const i64 r = index[row_], c = index[column_];
    const i64 tile = r / kRows * columns_ + c / kColumns;
    return matrix * Each() + tile * kRows * kColumns + r % kPart * kGroup + r % kRows / kPart * kColumns + c % kColumns;
  }

 private:
  static constexpr i64 kRows = 128, kColumns = 4, kPart = 32, kGroup = 16;
  int row_ = 0, column_ = 0;
  i64 rows_ = 0, columns_ = 0;
};

Shape ShapeOf(const DnnTensor& tensor) {
  Shape shape;
  shape.rank = tensor.rank;
  for (int d = 0; d < tensor.rank; ++d) {
    shape.dims[d] = tensor.dims[d];
    shape.strides[d] = tensor.strides[d];
  }
  return shape;
}

// Memory of a tensor whose sizes are a checked one's (ReadGraph); null, and failed(), if it must not be touched.
std::uint8_t* FindMemory(Context& context, const GraphTensor& tensor, const Shape& shape, std::uint64_t address) {
  constexpr i64 kExtentMax = i64{1} << 46;
  i64 extent = 1, matrices = 1;
  for (int d = 0; d < shape.rank; ++d) {
    extent += (shape.dims[d] - 1) * shape.strides[d];
    if (d + 2 < shape.rank) matrices *= shape.dims[d];
    if (extent > kExtentMax || matrices > kExtentMax) {
      context.Fail(kNotSupported, "a tensor that is too large");
      return nullptr;
    }
  }
  if (tensor.is_tiled) extent = matrices * Tiles(shape).Each();
  const int bits = BitsOfType(tensor.tensor.type);
  return static_cast<std::uint8_t*>(context.FindBytes(address, (extent * bits + 7) / 8, std::max(bits / 8, 1)));
}

// Calls visit(offset in memory, offset by `strides`) for each element.
template <typename Visitor>
void Each(const GraphTensor& tensor, const Shape& shape, const Indices& strides, Visitor visit) {
  if (!tensor.is_tiled) {
    Walk<2>(shape, {shape.strides, strides}, [&](const Offsets<2>& at) { visit(at[0], at[1]); });
    return;
  }
  const Tiles tiles(shape);
  Indices index{};
  Walk<1>(shape, {strides}, [&](const Offsets<1>& at) {
    visit(tiles.At(shape, index), at[0]);
    for (int d = shape.rank - 1; d >= 0 && ++index[d] == shape.dims[d]; --d) index[d] = 0;
  });
}

}  // namespace

int BitsOfType(int type) {
  switch (type) {
    case CUDNN_DATA_DOUBLE:
    case CUDNN_DATA_INT64: return 64;
    case CUDNN_DATA_FLOAT:
    case CUDNN_DATA_INT32:
    case CUDNN_DATA_UINT32: return 32;
    case CUDNN_DATA_HALF:
    case CUDNN_DATA_BFLOAT16: return 16;
    case CUDNN_DATA_INT8:
    case CUDNN_DATA_UINT8:
    case CUDNN_DATA_BOOLEAN:
    case CUDNN_DATA_FP8_E4M3:
    case CUDNN_DATA_FP8_E5M2:
    case CUDNN_DATA_FP8_E8M0: return 8;
    case CUDNN_DATA_FP4_E2M1: return 4;
    default: return 0;
  }
}
bool IsIntegerType(int type) {
  switch (type) {
    case CUDNN_DATA_INT64:
    case CUDNN_DATA_INT32:
    case CUDNN_DATA_UINT32:
    case CUDNN_DATA_INT8:
    case CUDNN_DATA_UINT8: return true;
    default: return false;
  }
}

double RoundTo(int type, double value) {
  std::uint8_t memory[sizeof(double)] = {};
  StoreAt(type, memory, 0, value);
  return LoadAt(type, memory, 0);
}
double ValueOf(int type, std::uint64_t word) {
  std::uint8_t memory[sizeof(word)];
  std::memcpy(memory, &word, sizeof(word));
  return LoadAt(type, memory, 0);
}

void CheckElements(Context& context, const GraphTensor& tensor, std::uint64_t address) {
  const Shape shape = ShapeOf(tensor.tensor);
  if (FindMemory(context, tensor, shape, address) == nullptr) return;
  // Elements may share their memory, but have a place of their own each in what is computed with.
  constexpr i64 kOverlappingMax = i64{1} << 26;
  i64 extent = 1;
  for (int d = 0; d < shape.rank; ++d) extent += (shape.dims[d] - 1) * shape.strides[d];
  if (!tensor.is_tiled && Elements(shape) > std::max(extent, kOverlappingMax))
    context.Fail(kNotSupported, "a tensor whose elements overlap, and are too many");
}

template <typename Real>
View<Real> LoadElements(Context& context, const GraphTensor& tensor, std::uint64_t address) {
  const Shape shape = ShapeOf(tensor.tensor);
  const std::uint8_t* const memory = FindMemory(context, tensor, shape, address);
  if (memory == nullptr) return {};
  const View<Real> view = context.Scratch<Real>(shape);
  Each(tensor, shape, view.shape.strides,
       [&](i64 from, i64 to) { view.data[to] = static_cast<Real>(LoadAt(tensor.tensor.type, memory, from)); });
  return view;
}

template <typename Real>
void StoreElements(Context& context, const GraphTensor& tensor, std::uint64_t address, const View<Real>& value,
                   DnnBlend blend) {
  const Shape shape = ShapeOf(tensor.tensor);
  std::uint8_t* const memory = FindMemory(context, tensor, shape, address);
  if (memory == nullptr) return;
  const int type = tensor.tensor.type;
  Each(tensor, shape, value.shape.strides, [&](i64 to, i64 from) {
    const double old = blend.beta == 0 ? 0 : blend.beta * LoadAt(type, memory, to);
    StoreAt(type, memory, to, blend.alpha * static_cast<double>(value.data[from]) + old);
  });
}

std::vector<i64> LoadIntegers(Context& context, const GraphTensor& tensor, std::uint64_t address) {
  if (tensor.is_value) {
    std::uint8_t bytes[sizeof(address)];
    std::memcpy(bytes, &address, sizeof(address));
    return {IntegerAt(tensor.tensor.type, bytes, 0)};
  }
  const Shape shape = ShapeOf(tensor.tensor);
  const std::uint8_t* const memory = FindMemory(context, tensor, shape, address);
  std::vector<i64> numbers;
  if (memory == nullptr) return numbers;
  Each(tensor, shape, shape.strides,
       [&](i64 from, i64 /*unused*/) { numbers.push_back(IntegerAt(tensor.tensor.type, memory, from)); });
  return numbers;
}

template View<float> LoadElements(Context&, const GraphTensor&, std::uint64_t);
template View<double> LoadElements(Context&, const GraphTensor&, std::uint64_t);
template void StoreElements(Context&, const GraphTensor&, std::uint64_t, const View<float>&, DnnBlend);
template void StoreElements(Context&, const GraphTensor&, std::uint64_t, const View<double>&, DnnBlend);

}  // namespace accelmesh::cpu_dnn
