// Vectors and matrices between host and device: the runtime's copies, with the library's arguments.
#include "shim/blas/entry.h"
#include "shim/gen_blas_face.h"
#include "shim/gen_face.h"

namespace accelmesh::face {
namespace {

struct Box {
  const void* src;
  std::int64_t src_pitch;
  void* dst;
  std::int64_t dst_pitch;
  std::int64_t width;
  std::int64_t height;
};

// Counts of elements in, counts of bytes out. False past what an address can tell.
bool InBytes(std::int64_t element, Box* box) {
  return !__builtin_mul_overflow(box->src_pitch, element, &box->src_pitch) &&
         !__builtin_mul_overflow(box->dst_pitch, element, &box->dst_pitch) &&
         !__builtin_mul_overflow(box->width, element, &box->width);
}

cublasStatus_t Copy(Box box, std::int64_t element, cudaMemcpyKind kind, const cudaStream_t* stream) {
  if (element <= 0 || box.src_pitch <= 0 || box.dst_pitch <= 0 || box.width < 0 || box.height < 0)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (!InBytes(element, &box)) return CUBLAS_STATUS_INVALID_VALUE;
  if (box.width == 0 || box.height == 0) return CUBLAS_STATUS_SUCCESS;
  cudaError_t error = cudaSuccess;
  // What lies without gaps is one row.
  if (box.height == 1 || (box.src_pitch == box.width && box.dst_pitch == box.width)) {
    const auto bytes = static_cast<std::size_t>(box.width * box.height);
    error = stream == nullptr ? face::cudaMemcpy(box.dst, box.src, bytes, kind)
                              : face::cudaMemcpyAsync(box.dst, box.src, bytes, kind, *stream);
  } else {
    const auto width = static_cast<std::size_t>(box.width);
    const auto height = static_cast<std::size_t>(box.height);
    const auto dst_pitch = static_cast<std::size_t>(box.dst_pitch);
    const auto src_pitch = static_cast<std::size_t>(box.src_pitch);
    error = stream == nullptr
                ? face::cudaMemcpy2D(box.dst, dst_pitch, box.src, src_pitch, width, height, kind)
                : face::cudaMemcpy2DAsync(box.dst, dst_pitch, box.src, src_pitch, width, height, kind, *stream);
  }
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_MAPPING_ERROR;
}

// A vector's element is a row, `inc` elements from the next.
Box Vector(std::int64_t n, const void* x, std::int64_t incx, void* y, std::int64_t incy) {
  return {x, incx, y, incy, 1, n};
}
Box Matrix(std::int64_t rows, std::int64_t cols, const void* a, std::int64_t lda, void* b, std::int64_t ldb) {
  return {a, lda, b, ldb, rows, cols};
}

}  // namespace

#define ACCELMESH_COPIES(suffix, Int)                                                                                  \
  cublasStatus_t cublasSetVector##suffix(Int n, Int elemSize, const void* x, Int incx, void* devicePtr, Int incy) {    \
    return Copy(Vector(n, x, incx, devicePtr, incy), elemSize, cudaMemcpyHostToDevice, nullptr);                       \
  }                                                                                                                    \
  cublasStatus_t cublasGetVector##suffix(Int n, Int elemSize, const void* x, Int incx, void* y, Int incy) {            \
    return Copy(Vector(n, x, incx, y, incy), elemSize, cudaMemcpyDeviceToHost, nullptr);                               \
  }                                                                                                                    \
  cublasStatus_t cublasSetMatrix##suffix(Int rows, Int cols, Int elemSize, const void* A, Int lda, void* B, Int ldb) { \
    return Copy(Matrix(rows, cols, A, lda, B, ldb), elemSize, cudaMemcpyHostToDevice, nullptr);                        \
  }                                                                                                                    \
  cublasStatus_t cublasGetMatrix##suffix(Int rows, Int cols, Int elemSize, const void* A, Int lda, void* B, Int ldb) { \
    return Copy(Matrix(rows, cols, A, lda, B, ldb), elemSize, cudaMemcpyDeviceToHost, nullptr);                        \
  }                                                                                                                    \
  cublasStatus_t cublasSetVectorAsync##suffix(Int n, Int elemSize, const void* hostPtr, Int incx, void* devicePtr,     \
                                              Int incy, cudaStream_t stream) {                                         \
    return Copy(Vector(n, hostPtr, incx, devicePtr, incy), elemSize, cudaMemcpyHostToDevice, &stream);                 \
  }                                                                                                                    \
  cublasStatus_t cublasGetVectorAsync##suffix(Int n, Int elemSize, const void* devicePtr, Int incx, void* hostPtr,     \
                                              Int incy, cudaStream_t stream) {                                         \
    return Copy(Vector(n, devicePtr, incx, hostPtr, incy), elemSize, cudaMemcpyDeviceToHost, &stream);                 \
  }                                                                                                                    \
  cublasStatus_t cublasSetMatrixAsync##suffix(Int rows, Int cols, Int elemSize, const void* A, Int lda, void* B,       \
                                              Int ldb, cudaStream_t stream) {                                          \
    return Copy(Matrix(rows, cols, A, lda, B, ldb), elemSize, cudaMemcpyHostToDevice, &stream);                        \
  }                                                                                                                    \
  cublasStatus_t cublasGetMatrixAsync##suffix(Int rows, Int cols, Int elemSize, const void* A, Int lda, void* B,       \
                                              Int ldb, cudaStream_t stream) {                                          \
    return Copy(Matrix(rows, cols, A, lda, B, ldb), elemSize, cudaMemcpyDeviceToHost, &stream);                        \
  }
ACCELMESH_COPIES(, int)
ACCELMESH_COPIES(_64, std::int64_t)

}  // namespace accelmesh::face
