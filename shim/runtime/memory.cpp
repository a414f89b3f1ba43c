// Memory: allocation and fills.
#include <limits>

#include "protocol/base/bytes.h"
#include "shim/gen_face.h"
#include "shim/runtime/range.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

constexpr std::uint64_t kPitchAlignment = 512;

cudaError_t Allocate(ClientSession& session, void** pointer, std::uint64_t bytes) {
  if (bytes == 0) {
    *pointer = nullptr;
    return cudaSuccess;
  }
  if (bytes > limits::kAllocationBytesMax) return Fail(cudaErrorMemoryAllocation);
  std::uint64_t address = 0;
  if (const DeviceResult result = session.Malloc(CurrentDevice(), bytes, &address); result != 0)
    return Done(session, result);
  *pointer = reinterpret_cast<void*>(address);
  return cudaSuccess;
}

// Rows of `width` bytes, each at a multiple of the pitch. False if no address space holds them.
bool PitchedBytes(std::uint64_t width, std::uint64_t height, std::uint64_t depth, std::uint64_t* pitch,
                  std::uint64_t* bytes) {
  if (width > std::numeric_limits<std::uint64_t>::max() - kPitchAlignment) return false;
  *pitch = AlignUp(width, kPitchAlignment);
  return !__builtin_mul_overflow(*pitch, height, bytes) && !__builtin_mul_overflow(*bytes, depth, bytes);
}

cudaError_t FillBox(ClientSession& session, Stream* stream, void* pointer, std::size_t pitch, std::size_t slice,
                    int value, std::size_t width, std::size_t height, std::size_t depth) {
  if (width == 0 || height == 0 || depth == 0) return cudaSuccess;
  std::uint64_t extent = 0;
  if ((height > 1 && pitch < width) || !BoxExtent(pitch, slice, width, height, depth, &extent))
    return Fail(cudaErrorInvalidValue);
  std::uint64_t address = Address(pointer);
  if (!IsDeviceMemory(session, pointer, extent)) {
    // With unified addressing the device fills host memory as well.
    PinnedRange pinned;
    if (!session.FindPinned(pointer, &pinned) || extent > pinned.bytes - (address - Address(pinned.address)))
      return Fail(cudaErrorInvalidValue);
    if (const DeviceResult result = session.DeviceAddressOf(pointer, &address, false); result != 0)
      return Done(session, result);
  }
  return Done(session, session.Fill(stream, wire::Fill(address, pitch, slice, width, height, depth,
                                                       static_cast<std::uint32_t>(value) & 255, 1, stream->slot, 0)));
}

// The end of a fill's synchronous form: such a fill is complete when it returns if the program can read what it fills.
cudaError_t Complete(cudaError_t filled, const void* pointer) {
  ClientSession* session = Runtime::Get().SessionIfOpen();
  ReachableMemory memory;
  if (filled != cudaSuccess || session == nullptr || !session->FindHost(pointer, &memory)) return filled;
  return face::cudaStreamSynchronize(nullptr);
}

}  // namespace

cudaError_t cudaMalloc(void** pointer, size_t size) {
  ACCELMESH_BEGIN_CALL();
  return pointer == nullptr ? Fail(cudaErrorInvalidValue) : Allocate(session, pointer, size);
}
cudaError_t cudaFree(void* pointer) {
  ACCELMESH_BEGIN_CALL();
  if (pointer == nullptr) return cudaSuccess;
  // CUDA waits for the device here. What a program can see of that is host memory that copies still write to.
  const std::uint64_t writes = Runtime::Get().HostWrites();
  if (!Runtime::Get().HostWritesSettled(writes)) {
    if (const DeviceResult waited = session.SynchronizeDevice(CurrentDevice()); waited != 0)
      return Done(session, waited);
    Runtime::Get().SettleHostWrites(writes);
  }
  return Done(session, session.Free(Address(pointer)));
}
cudaError_t cudaMallocPitch(void** pointer, size_t* pitch, size_t width, size_t height) {
  ACCELMESH_BEGIN_CALL();
  if (pointer == nullptr || pitch == nullptr) return Fail(cudaErrorInvalidValue);
  std::uint64_t row_bytes = 0;
  std::uint64_t bytes = 0;
  if (!PitchedBytes(width, height, 1, &row_bytes, &bytes)) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = Allocate(session, pointer, bytes); error != cudaSuccess) return error;
  *pitch = row_bytes;
  return cudaSuccess;
}
cudaError_t cudaMalloc3D(cudaPitchedPtr* pitched, cudaExtent extent) {
  ACCELMESH_BEGIN_CALL();
  if (pitched == nullptr) return Fail(cudaErrorInvalidValue);
  std::uint64_t row_bytes = 0;
  std::uint64_t bytes = 0;
  if (!PitchedBytes(extent.width, extent.height, extent.depth, &row_bytes, &bytes)) return Fail(cudaErrorInvalidValue);
  void* pointer = nullptr;
  if (const cudaError_t error = Allocate(session, &pointer, bytes); error != cudaSuccess) return error;
  *pitched = {pointer, row_bytes, extent.width, extent.height};
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  ACCELMESH_BEGIN_CALL();
  if (free_bytes == nullptr || total_bytes == nullptr) return Fail(cudaErrorInvalidValue);
  std::uint64_t available = 0;
  std::uint64_t total = 0;
  session.MemoryInfo(CurrentDevice(), &available, &total);
  *free_bytes = available;
  *total_bytes = total;
  return cudaSuccess;
}

cudaError_t cudaMemset(void* pointer, int value, size_t count) {
  return Complete(face::cudaMemsetAsync(pointer, value, count, nullptr), pointer);
}
cudaError_t cudaMemsetAsync(void* pointer, int value, size_t count, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return FillBox(session, stream_object, pointer, count, count, value, count, 1, 1);
}
cudaError_t cudaMemset2D(void* pointer, size_t pitch, int value, size_t width, size_t height) {
  return Complete(face::cudaMemset2DAsync(pointer, pitch, value, width, height, nullptr), pointer);
}
cudaError_t cudaMemset2DAsync(void* pointer, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  return FillBox(session, stream_object, pointer, pitch, 0, value, width, height, 1);
}
cudaError_t cudaMemset3D(cudaPitchedPtr pitched, int value, cudaExtent extent) {
  return Complete(face::cudaMemset3DAsync(pitched, value, extent, nullptr), pitched.ptr);
}
cudaError_t cudaMemset3DAsync(cudaPitchedPtr pitched, int value, cudaExtent extent, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  std::uint64_t slice = 0;
  if (__builtin_mul_overflow(pitched.pitch, pitched.ysize, &slice) ||
      (extent.depth > 1 && extent.height > pitched.ysize))
    return Fail(cudaErrorInvalidValue);
  return FillBox(session, stream_object, pitched.ptr, pitched.pitch, slice, value, extent.width, extent.height,
                 extent.depth);
}

}  // namespace accelmesh::face
