// One number in a type of cuDNN's that is known when the server runs. Threads: values.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cudnn.h>

#include <cstdint>

namespace accelmesh::cuda {

// A number of the data's type.
class InType {
 public:
  InType(std::int32_t type, double value) : type_(type), in_double_(value), in_float_(static_cast<float>(value)) {
    in_half_ = __float2half_rn(in_float_);
    in_bfloat16_ = __float2bfloat16_rn(in_float_);
  }
  void* get() {
    switch (type_) {
      case CUDNN_DATA_DOUBLE: return &in_double_;
      case CUDNN_DATA_HALF: return &in_half_;
      case CUDNN_DATA_BFLOAT16: return &in_bfloat16_;
      default: return &in_float_;
    }
  }

 private:
  std::int32_t type_;
  double in_double_;
  float in_float_;
  __half in_half_;
  __nv_bfloat16 in_bfloat16_;
};

}  // namespace accelmesh::cuda
