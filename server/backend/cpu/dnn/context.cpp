#include "server/backend/cpu/dnn/context.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

namespace accelmesh::cpu_dnn {
namespace {

// What cuDNN takes as well.
constexpr i64 kElementsMax = i64{1} << 31;
constexpr i64 kExtentMax = i64{1} << 46;
// Elements that share their memory: what is computed with has a place for each.
constexpr i64 kOverlappingMax = i64{1} << 26;

int BytesOf(int type) {
  switch (type) {
    case CUDNN_DATA_FLOAT: return sizeof(float);
    case CUDNN_DATA_DOUBLE: return sizeof(double);
    case CUDNN_DATA_HALF:
    case CUDNN_DATA_BFLOAT16: return sizeof(std::uint16_t);
    default: return 0;
  }
}

}  // namespace

i64 Elements(const Shape& shape) {
  return std::accumulate(shape.dims.begin(), shape.dims.begin() + shape.rank, i64{1}, std::multiplies<>());
}

Shape Packed(const Shape& shape) {
  std::vector<std::pair<i64, int>> order;  // strides, the smallest first; of equal ones the last dimension
  for (int d = 0; d < shape.rank; ++d) order.emplace_back(std::abs(shape.strides[d]), -d);
  std::sort(order.begin(), order.end());
  Shape packed = shape;
  i64 stride = 1;
  for (const auto& [unused, minus_d] : order) {
    packed.strides[-minus_d] = stride;
    stride *= shape.dims[-minus_d];
  }
  return packed;
}

bool SameDims(const Shape& a, const Shape& b) {
  return a.rank == b.rank && std::equal(a.dims.begin(), a.dims.begin() + a.rank, b.dims.begin());
}

bool Broadcast(const Shape& a, const Shape& shape, Indices* strides) {
  if (a.rank != shape.rank) return false;
  for (int d = 0; d < a.rank; ++d) {
    if (a.dims[d] != shape.dims[d] && a.dims[d] != 1) return false;
    (*strides)[d] = a.dims[d] == 1 ? 0 : a.strides[d];
  }
  return true;
}

void Context::Fail(std::uint32_t status, const std::string& text) {
  if (failed()) return;
  outcome_->device_status = status;
  outcome_->is_sticky = status == kIllegalAddress || status == kMisalignedAddress;
  outcome_->result_bytes = 0;
  text.copy(outcome_->text, sizeof(outcome_->text) - 1);
}

void Context::Answer(ByteView bytes) {
  outcome_->result_bytes = std::min(bytes.size(), sizeof(outcome_->results));
  std::memcpy(outcome_->results, bytes.data(), outcome_->result_bytes);
}

void Context::Refuse(std::uint32_t library_status, const std::string& text) {
  outcome_->status = library_status;
  Answer(ByteView(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

Stored Context::Find(const DnnOperand& operand) {
  const DnnTensor& tensor = operand.tensor;
  const int bytes = BytesOf(tensor.type);
  if (bytes == 0) {
    Fail(kNotSupported, "a type of tensors that the software GPU does not compute with");
    return {};
  }
  if (tensor.rank < 1 || tensor.rank > kDnnDimensionsMax) {
    Fail(kInvalidValue, "no tensor");
    return {};
  }
  Stored stored;
  stored.type = tensor.type;
  stored.shape.rank = tensor.rank;
  i64 elements = 1, extent = 1;
  for (int d = 0; d < tensor.rank; ++d) {
    const i64 size = tensor.dims[d], stride = tensor.strides[d];
    if (size < 1 || stride < 0 || (stride == 0 && size != 1)) {
      Fail(size < 1 ? kInvalidValue : kNotSupported, "a tensor without elements, or with strides below 1");
      return {};
    }
    elements *= size;
    extent += (size - 1) * stride;
    if (elements > kElementsMax || extent > kExtentMax) {
      Fail(kNotSupported, "a tensor that is too large");
      return {};
    }
    stored.shape.dims[d] = size;
    stored.shape.strides[d] = stride;
  }
  if (elements > extent && elements > kOverlappingMax) {
    Fail(kNotSupported, "a tensor whose elements overlap, and are too many");
    return {};
  }
  stored.memory = FindBytes(operand.address, extent * bytes, bytes);
  return stored;
}

void* Context::FindBytes(std::uint64_t address, i64 bytes, i64 alignment) {
  if (address % static_cast<std::uint64_t>(alignment) != 0) {
    Fail(kMisalignedAddress, "a tensor that is not aligned to its elements");
    return nullptr;
  }
  if (!call_.allowed(call_.memory, address, static_cast<std::uint64_t>(bytes))) {
    Fail(kIllegalAddress, "a tensor outside of memory");
    return nullptr;
  }
  return reinterpret_cast<void*>(address);
}

}  // namespace accelmesh::cpu_dnn
