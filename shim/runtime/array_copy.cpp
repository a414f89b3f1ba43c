// Copies from, to and between arrays in two dimensions. Here widths and horizontal offsets are bytes, as CUDA has it;
// cudaMemcpy3D, which counts elements, is in copy.cpp.
#include <algorithm>

#include "shim/gen_face.h"
#include "shim/runtime/array.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

// A rectangle inside of an array. cudaErrorInvalidValue if it leaves the array or cuts through an element.
cudaError_t RectangleIn(const Array& array, std::size_t x_bytes, std::size_t y, std::size_t width_bytes,
                        std::size_t height, BoxSide* side) {
  const std::size_t element = array.shape.element_bytes;
  if (x_bytes % element != 0 || width_bytes % element != 0) return cudaErrorInvalidValue;
  return ArraySide(array, {x_bytes / element, y, 0}, {width_bytes / element, height, 1}, side);
}

// What a copy with an array on one side may be called.
bool IsToArray(cudaMemcpyKind kind) {
  return kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice || kind == cudaMemcpyDefault;
}
bool IsFromArray(cudaMemcpyKind kind) {
  return kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice || kind == cudaMemcpyDefault;
}
bool IsBetweenArrays(cudaMemcpyKind kind) { return kind == cudaMemcpyDeviceToDevice || kind == cudaMemcpyDefault; }

enum class ArrayIs : std::uint8_t { kSource, kDestination };

// A rectangle between an array and pitched memory.
cudaError_t CopyRectangle(ClientSession& session, Stream* stream, cudaArray_const_t handle, std::size_t x_bytes,
                          std::size_t y, const void* memory, std::size_t pitch, std::size_t width, std::size_t height,
                          cudaMemcpyKind kind, ArrayIs role, bool wait) {
  if (!(role == ArrayIs::kDestination ? IsToArray(kind) : IsFromArray(kind)))
    return Fail(cudaErrorInvalidMemcpyDirection);
  const Array* array = ResolveArray(session, handle);
  if (array == nullptr) return Fail(cudaErrorInvalidValue);
  if (width == 0 || height == 0) return cudaSuccess;
  BoxSide inside;
  if (const cudaError_t error = RectangleIn(*array, x_bytes, y, width, height, &inside); error != cudaSuccess)
    return Fail(error);
  const cudaExtent bytes{width, height, 1};
  return role == ArrayIs::kDestination ? CopyBox(session, stream, inside, RowsAt(memory, pitch), bytes, kind, wait)
                                       : CopyBox(session, stream, RowsAt(memory, pitch), inside, bytes, kind, wait);
}

// `count` bytes that go on in the next row of the array where one ends, against memory without gaps: the rest of the
// first row, whole rows, the beginning of the last.
cudaError_t CopyRun(ClientSession& session, Stream* stream, cudaArray_const_t handle, std::size_t x_bytes,
                    std::size_t y, const void* memory, std::size_t count, cudaMemcpyKind kind, ArrayIs role,
                    bool wait) {
  const Array* array = ResolveArray(session, handle);
  if (array == nullptr) return Fail(cudaErrorInvalidValue);
  const std::size_t row = array->shape.width * array->shape.element_bytes;
  const std::size_t rows = array->shape.rows();
  if (x_bytes >= row || y >= rows || count > (rows - y) * row - x_bytes) return Fail(cudaErrorInvalidValue);
  const auto* at = static_cast<const std::uint8_t*>(memory);
  do {
    const bool is_whole = x_bytes == 0 && count >= row;
    const std::size_t width = std::min(row - x_bytes, count);
    const std::size_t height = is_whole ? count / row : 1;
    if (const cudaError_t error =
            CopyRectangle(session, stream, handle, x_bytes, y, at, width, width, height, kind, role, wait);
        error != cudaSuccess)
      return error;
    at += width * height;
    count -= width * height;
    x_bytes = 0;
    y += height;
  } while (count != 0);
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaMemcpy2DToArray(cudaArray_t dst, size_t x, size_t y, const void* src, size_t pitch, size_t width,
                                size_t height, cudaMemcpyKind kind) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  return CopyRectangle(session, stream_object, dst, x, y, src, pitch, width, height, kind, ArrayIs::kDestination, true);
}
cudaError_t cudaMemcpy2DToArrayAsync(cudaArray_t dst, size_t x, size_t y, const void* src, size_t pitch, size_t width,
                                     size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return CopyRectangle(session, stream_object, dst, x, y, src, pitch, width, height, kind, ArrayIs::kDestination,
                       false);
}
cudaError_t cudaMemcpy2DFromArray(void* dst, size_t pitch, cudaArray_const_t src, size_t x, size_t y, size_t width,
                                  size_t height, cudaMemcpyKind kind) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  return CopyRectangle(session, stream_object, src, x, y, dst, pitch, width, height, kind, ArrayIs::kSource, true);
}
cudaError_t cudaMemcpy2DFromArrayAsync(void* dst, size_t pitch, cudaArray_const_t src, size_t x, size_t y, size_t width,
                                       size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return CopyRectangle(session, stream_object, src, x, y, dst, pitch, width, height, kind, ArrayIs::kSource, false);
}
cudaError_t cudaMemcpyToArray(cudaArray_t dst, size_t x, size_t y, const void* src, size_t count, cudaMemcpyKind kind) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  return CopyRun(session, stream_object, dst, x, y, src, count, kind, ArrayIs::kDestination, true);
}
cudaError_t cudaMemcpyToArrayAsync(cudaArray_t dst, size_t x, size_t y, const void* src, size_t count,
                                   cudaMemcpyKind kind, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return CopyRun(session, stream_object, dst, x, y, src, count, kind, ArrayIs::kDestination, false);
}
cudaError_t cudaMemcpyFromArray(void* dst, cudaArray_const_t src, size_t x, size_t y, size_t count,
                                cudaMemcpyKind kind) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  return CopyRun(session, stream_object, src, x, y, dst, count, kind, ArrayIs::kSource, true);
}
cudaError_t cudaMemcpyFromArrayAsync(void* dst, cudaArray_const_t src, size_t x, size_t y, size_t count,
                                     cudaMemcpyKind kind, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return CopyRun(session, stream_object, src, x, y, dst, count, kind, ArrayIs::kSource, false);
}

cudaError_t cudaMemcpy2DArrayToArray(cudaArray_t dst, size_t dst_x, size_t dst_y, cudaArray_const_t src, size_t src_x,
                                     size_t src_y, size_t width, size_t height, cudaMemcpyKind kind) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  if (!IsBetweenArrays(kind)) return Fail(cudaErrorInvalidMemcpyDirection);
  const Array* to = ResolveArray(session, dst);
  const Array* from = ResolveArray(session, src);
  if (to == nullptr || from == nullptr || to->shape.element_bytes != from->shape.element_bytes)
    return Fail(cudaErrorInvalidValue);
  if (width == 0 || height == 0) return cudaSuccess;
  BoxSide to_side;
  BoxSide from_side;
  cudaError_t error = RectangleIn(*to, dst_x, dst_y, width, height, &to_side);
  if (error == cudaSuccess) error = RectangleIn(*from, src_x, src_y, width, height, &from_side);
  if (error != cudaSuccess) return Fail(error);
  return CopyBox(session, stream_object, to_side, from_side, {width, height, 1}, kind, true);
}
cudaError_t cudaMemcpyArrayToArray(cudaArray_t dst, size_t dst_x, size_t dst_y, cudaArray_const_t src, size_t src_x,
                                   size_t src_y, size_t count, cudaMemcpyKind kind) {
  ACCELMESH_BEGIN_CALL();
  const Array* to = ResolveArray(session, dst);
  const Array* from = ResolveArray(session, src);
  if (to == nullptr || from == nullptr) return Fail(cudaErrorInvalidValue);
  const std::size_t to_row = to->shape.width * to->shape.element_bytes;
  const std::size_t from_row = from->shape.width * from->shape.element_bytes;
  if (dst_x >= to_row || dst_y >= to->shape.rows() || count > (to->shape.rows() - dst_y) * to_row - dst_x ||
      src_x >= from_row || src_y >= from->shape.rows() || count > (from->shape.rows() - src_y) * from_row - src_x)
    return Fail(cudaErrorInvalidValue);
  // Both go on in their next rows, each at its own place: a piece ends where either row does.
  do {
    const std::size_t width = std::min({to_row - dst_x, from_row - src_x, count});
    if (const cudaError_t error = face::cudaMemcpy2DArrayToArray(dst, dst_x, dst_y, src, src_x, src_y, width, 1, kind);
        error != cudaSuccess)
      return error;
    const auto advance = [width](std::size_t* x, std::size_t* y, std::size_t row) {
      *x += width;
      if (*x < row) return;
      *x = 0;
      ++*y;
    };
    advance(&dst_x, &dst_y, to_row);
    advance(&src_x, &src_y, from_row);
    count -= width;
  } while (count != 0);
  return cudaSuccess;
}

}  // namespace accelmesh::face
