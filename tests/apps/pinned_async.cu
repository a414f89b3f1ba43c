// Pinned memory of both kinds: asynchronous copies both ways, polled by event, at odd sizes and offsets, and what the
// runtime says of a pointer.
#include <cstring>

#include "check.h"

__global__ void Add(unsigned char* data, int n, unsigned char amount) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] += amount;
}

static void RoundTrips() {
  const int most = 1 << 18;
  unsigned char *in = nullptr, *out = nullptr, *device = nullptr;
  cudaStream_t stream;
  cudaEvent_t done;
  CHECK(cudaMallocHost(&in, most + 64));
  CHECK(cudaHostAlloc(&out, most + 64, cudaHostAllocPortable));
  CHECK(cudaMalloc(&device, most + 64));
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK(cudaEventCreateWithFlags(&done, cudaEventDisableTiming));
  const int sizes[] = {1, 3, 4095, 4097, 65535, most};
  for (int size : sizes) {
    const int offset = size % 61;
    for (int i = 0; i < size; ++i) in[offset + i] = static_cast<unsigned char>(i * 7 + size);
    std::memset(out, 0xee, most + 64);
    CHECK(cudaMemcpyAsync(device + offset, in + offset, size, cudaMemcpyHostToDevice, stream));
    Add<<<(size + 255) / 256, 256, 0, stream>>>(device + offset, size, 9);
    CHECK(cudaMemcpyAsync(out + offset, device + offset, size, cudaMemcpyDeviceToHost, stream));
    CHECK(cudaEventRecord(done, stream));
    cudaError_t status = cudaEventQuery(done);
    while (status == cudaErrorNotReady) status = cudaEventQuery(done);
    CHECK(status);
    CHECK_ERROR(cudaStreamQuery(stream), cudaSuccess);
    for (int i = 0; i < size; ++i) {
      const unsigned char expected = static_cast<unsigned char>(i * 7 + size + 9);
      EXPECT(out[offset + i] == expected, "%d bytes: byte %d is %d, not %d", size, i, out[offset + i], expected);
    }
    EXPECT(out[offset + size] == 0xee && (offset == 0 || out[offset - 1] == 0xee),
           "%d bytes: the copy wrote beside its target", size);
  }
  cudaGetLastError();  // polling may leave cudaErrorNotReady behind
  CHECK(cudaEventDestroy(done));
  CHECK(cudaStreamDestroy(stream));

  cudaPointerAttributes attributes{};
  CHECK(cudaPointerGetAttributes(&attributes, device + 100));
  EXPECT(attributes.type == cudaMemoryTypeDevice && attributes.device == 0 && attributes.devicePointer == device + 100,
         "a device pointer is of type %d", attributes.type);
  CHECK(cudaPointerGetAttributes(&attributes, in + 5));
  EXPECT(attributes.type == cudaMemoryTypeHost && attributes.hostPointer == in + 5, "a pinned pointer is of type %d",
         attributes.type);
  int local = 0;
  CHECK(cudaPointerGetAttributes(&attributes, &local));
  EXPECT(attributes.type == cudaMemoryTypeUnregistered, "a stack address is of type %d", attributes.type);
  CHECK(cudaFree(device));
  CHECK(cudaFreeHost(in));
  CHECK(cudaFreeHost(out));
}

// Many small results into one pinned array, each of its own launch; seen only after the event that follows them.
static void ManySmall() {
  const int count = 200;
  unsigned char *device = nullptr, *results = nullptr;
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaMalloc(&device, 1));
  CHECK(cudaMallocHost(&results, count));
  CHECK(cudaMemsetAsync(device, 0, 1, stream));
  for (int i = 0; i < count; ++i) {
    Add<<<1, 1, 0, stream>>>(device, 1, 1);
    CHECK(cudaMemcpyAsync(results + i, device, 1, cudaMemcpyDeviceToHost, stream));
  }
  CHECK(cudaStreamSynchronize(stream));
  for (int i = 0; i < count; ++i)
    EXPECT(results[i] == static_cast<unsigned char>(i + 1), "result %d is %d", i, results[i]);
  CHECK(cudaFree(device));
  CHECK(cudaFreeHost(results));
  CHECK(cudaStreamDestroy(stream));
}

int main() {
  RoundTrips();
  ManySmall();
  std::printf("pinned_async: copies through pinned memory\n");
  return Passed();
}
