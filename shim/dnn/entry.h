// What every generated entry point of libcudnn goes through, as shim/blas/entry.h is for libcublas.
#pragma once

#include <cudnn.h>

#include "shim/dnn/report.h"
#include "shim/entry_call.h"

namespace accelmesh::dnn {

struct DnnFace {
  static constexpr const char* kLibrary = "cudnn";
  using Status = cudnnStatus_t;
  static constexpr Status kNotSupported = CUDNN_STATUS_NOT_SUPPORTED;
  static Status OutOfHostMemory() { return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED; }
  static void SayRefused(const char* name, const char* why) {
    dnn::SayRefused(name, why);
    NoteError(name, kNotSupported);
  }
  static void Note(const char* name, Status status) {
    if (status != CUDNN_STATUS_SUCCESS) [[unlikely]]
      NoteError(name, status);
  }
};
template <typename R>
R Refuse(const char* name, const char* why) {
  return RefuseBy<DnnFace, R>(name, why);
}
template <typename R, typename Body>
R Enter(const char* name, Body body) noexcept {
  return EnterBy<DnnFace, R>(name, body);
}

}  // namespace accelmesh::dnn
