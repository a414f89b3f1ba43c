// One element of a type of cuDNN's that is known when the program runs. Threads: pure functions.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cudnn.h>

#include <cstring>

namespace accelmesh::dnn {

inline double ReadElement(int type, const void* element) {
  const auto read = [element](auto value) {
    std::memcpy(&value, element, sizeof(value));
    return static_cast<double>(value);
  };
  switch (type) {
    case CUDNN_DATA_DOUBLE: return read(double{});
    case CUDNN_DATA_FLOAT: return read(float{});
    case CUDNN_DATA_HALF: return read(__half{});
    default: return read(__nv_bfloat16{});
  }
}
inline void WriteElement(int type, double value, void* element) {
  const auto write = [element](auto written) { std::memcpy(element, &written, sizeof(written)); };
  switch (type) {
    case CUDNN_DATA_DOUBLE: return write(value);
    case CUDNN_DATA_FLOAT: return write(static_cast<float>(value));
    case CUDNN_DATA_HALF: return write(__half(static_cast<float>(value)));
    default: return write(__nv_bfloat16(static_cast<float>(value)));
  }
}

}  // namespace accelmesh::dnn
