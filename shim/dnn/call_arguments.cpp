// What a call makes of its arguments, whoever runs it: also the contract libcudnn (tests/contract/libcudnn).
#include <cstring>

#include "shim/dnn/call.h"
#include "shim/dnn/report.h"

namespace accelmesh::dnn {

void Call::Support(bool holds, const char* why) {
  if (holds || status_ != CUDNN_STATUS_SUCCESS) return;
  SayRefused(name_, why);
  status_ = CUDNN_STATUS_NOT_SUPPORTED;
}

void Call::SupportTensors(std::initializer_list<DnnTensor> tensors) {
  for (const DnnTensor& tensor : tensors) {
    const bool is_known = tensor.type == CUDNN_DATA_FLOAT || tensor.type == CUDNN_DATA_DOUBLE ||
                          tensor.type == CUDNN_DATA_HALF || tensor.type == CUDNN_DATA_BFLOAT16;
    Support(is_known, "its tensors are not of FLOAT, DOUBLE, HALF or BFLOAT16");
    for (const std::int32_t stride : tensor.strides) Support(stride >= 0, "a tensor has strides below 0");
  }
}

double Call::Scalar(const void* scalar, const DnnTensor& result) {
  Require(scalar != nullptr);
  if (status_ != CUDNN_STATUS_SUCCESS) return 0;
  if (result.type == CUDNN_DATA_DOUBLE) {
    double value = 0;
    std::memcpy(&value, scalar, sizeof(value));
    return value;
  }
  float value = 0;
  std::memcpy(&value, scalar, sizeof(value));
  return static_cast<double>(value);
}

Bytes Call::WithTail(ByteView words, std::span<const std::int32_t> tail) {
  Bytes arguments(sizeof(std::uint64_t) + words.size() + TailWords(tail) * sizeof(std::uint64_t));
  std::memcpy(arguments.data() + sizeof(std::uint64_t), words.data(), words.size());
  if (!tail.empty())
    std::memcpy(arguments.data() + sizeof(std::uint64_t) + words.size(), tail.data(), tail.size_bytes());
  return arguments;
}
cudnnStatus_t Call::PostWithTail(std::uint32_t function, ByteView words, std::span<const std::int32_t> tail) {
  return PostBytes(function, WithTail(words, tail));
}

}  // namespace accelmesh::dnn
