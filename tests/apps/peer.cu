// Which devices reach which, and copies from device to device. With one device a program sees what CUDA says of a
// device and itself; with more the copies go between two.
#include <cstring>
#include <vector>

#include "check.h"

static int count = 0;

__global__ void Scale(const int* in, int* out, int factor) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  out[i] = in[i] * factor;
}

static void TestQueries() {
  int value = 77;
  CHECK(cudaDeviceCanAccessPeer(&value, 0, 0));
  EXPECT(value == 0, "a device is its own peer");
  CHECK_ERROR(cudaDeviceCanAccessPeer(&value, 0, count), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaDeviceCanAccessPeer(&value, count, 0), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaDeviceCanAccessPeer(nullptr, 0, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceGetP2PAttribute(&value, cudaDevP2PAttrAccessSupported, 0, 0), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaDeviceGetP2PAttribute(&value, cudaDevP2PAttrAccessSupported, 0, count), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaDeviceGetP2PAttribute(nullptr, cudaDevP2PAttrAccessSupported, 0, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceEnablePeerAccess(0, 0), cudaErrorPeerAccessUnsupported);
  CHECK_ERROR(cudaDeviceEnablePeerAccess(0, 1), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceEnablePeerAccess(count, 0), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaDeviceEnablePeerAccess(-1, 0), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaDeviceDisablePeerAccess(0), cudaErrorPeerAccessNotEnabled);
  CHECK_ERROR(cudaDeviceDisablePeerAccess(count), cudaErrorInvalidDevice);

  unsigned capabilities[14];
  cudaAtomicOperation operations[14];
  for (int i = 0; i < 14; ++i) operations[i] = static_cast<cudaAtomicOperation>(i);
  CHECK(cudaDeviceGetHostAtomicCapabilities(capabilities, operations, 13, 0));
  int is_native = 0;
  CHECK(cudaDeviceGetAttribute(&is_native, cudaDevAttrHostNativeAtomicSupported, 0));
  for (int i = 0; i < 13 && is_native == 0; ++i) EXPECT(capabilities[i] == 0, "operation %d is atomic", i);
  CHECK_ERROR(cudaDeviceGetHostAtomicCapabilities(capabilities, operations, 14, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceGetHostAtomicCapabilities(capabilities, operations, 0, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceGetHostAtomicCapabilities(nullptr, operations, 1, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceGetHostAtomicCapabilities(capabilities, nullptr, 1, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDeviceGetHostAtomicCapabilities(capabilities, operations, 1, count), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaDeviceGetP2PAtomicCapabilities(capabilities, operations, 1, 0, 0), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaDeviceGetP2PAtomicCapabilities(capabilities, operations, 1, 0, count), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaDeviceGetP2PAtomicCapabilities(nullptr, operations, 1, 0, 0), cudaErrorInvalidValue);
}

static int* Allocate(int device, size_t bytes) {
  int* memory = nullptr;
  CHECK(cudaSetDevice(device));
  CHECK(cudaMalloc(&memory, bytes));
  return memory;
}

// `to` may be `from`: that is a copy, too.
static void TestCopies(int from, int to) {
  constexpr int kCount = 1024;
  constexpr size_t kBytes = kCount * sizeof(int);
  int* src = Allocate(from, kBytes);
  int* dst = Allocate(to, kBytes);
  std::vector<int> values(kCount);
  std::vector<int> got(kCount);
  for (int i = 0; i < kCount; ++i) values[static_cast<size_t>(i)] = i * 7 + from;
  CHECK(cudaSetDevice(from));
  CHECK(cudaMemcpy(src, values.data(), kBytes, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpyPeer(dst, to, src, from, kBytes));
  CHECK(cudaMemcpy(got.data(), dst, kBytes, cudaMemcpyDeviceToHost));
  EXPECT(got == values, "a copy from device %d to %d differs", from, to);

  // In the order of its stream, behind the kernel that writes the source.
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  Scale<<<kCount / 64, 64, 0, stream>>>(src, src, 3);
  CHECK(cudaMemcpyPeerAsync(dst, to, src, from, kBytes, stream));
  CHECK(cudaStreamSynchronize(stream));
  CHECK(cudaMemcpy(got.data(), dst, kBytes, cudaMemcpyDeviceToHost));
  for (int i = 0; i < kCount; ++i)
    EXPECT(got[static_cast<size_t>(i)] == (i * 7 + from) * 3, "element %d is %d", i, got[static_cast<size_t>(i)]);
  // Not asynchronous: behind everything on either device, whatever stream it is on.
  Scale<<<kCount / 64, 64, 0, stream>>>(src, src, 2);
  CHECK(cudaMemcpyPeer(dst, to, src, from, kBytes));
  CHECK(cudaMemcpy(got.data(), dst, kBytes, cudaMemcpyDeviceToHost));
  EXPECT(got[1] == (7 + from) * 6, "the copy overtook a kernel: %d", got[1]);

  cudaMemcpy3DPeerParms box;
  std::memset(&box, 0, sizeof(box));
  CHECK(cudaMemcpy3DPeer(&box));  // of nothing
  CHECK(cudaMemset(dst, 0, kBytes));
  box.srcPtr = make_cudaPitchedPtr(src, 128, 128, 8);
  box.srcDevice = from;
  box.dstPtr = make_cudaPitchedPtr(dst, 256, 256, 8);
  box.dstDevice = to;
  box.extent = make_cudaExtent(64, 8, 1);
  CHECK(cudaMemcpy3DPeer(&box));
  CHECK(cudaMemcpy3DPeerAsync(&box, stream));
  CHECK(cudaStreamSynchronize(stream));
  CHECK(cudaMemcpy(got.data(), dst, kBytes, cudaMemcpyDeviceToHost));
  for (int row = 0; row < 8; ++row) {
    const int expected = (row * 32 + 5) * 42 + from * 6;
    const int found = got[static_cast<size_t>(row * 64 + 5)];
    EXPECT(found == expected, "row %d holds %d, expected %d", row, found, expected);
    EXPECT(got[static_cast<size_t>(row * 64 + 16)] == 0, "row %d is wider than its box", row);
  }
  box.extent = make_cudaExtent(129, 8, 1);
  CHECK_ERROR(cudaMemcpy3DPeer(&box), cudaErrorInvalidPitchValue);
  box.extent = make_cudaExtent(64, 9, 2);
  CHECK_ERROR(cudaMemcpy3DPeer(&box), cudaErrorInvalidPitchValue);
  box.extent = make_cudaExtent(64, 8, 1);
  box.srcPtr.ptr = nullptr;
  CHECK_ERROR(cudaMemcpy3DPeer(&box), cudaErrorInvalidValue);
  box.srcPtr.ptr = src;
  box.dstDevice = count;
  CHECK_ERROR(cudaMemcpy3DPeerAsync(&box, stream), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaMemcpy3DPeer(nullptr), cudaErrorInvalidValue);

  CHECK_ERROR(cudaMemcpyPeer(dst, count, src, from, 4), cudaErrorInvalidDevice);
  CHECK_ERROR(cudaMemcpyPeerAsync(dst, to, src, count, 4, stream), cudaErrorInvalidDevice);
  CHECK(cudaMemcpyPeer(dst, count, src, from, 0));  // nothing is copied, nothing looked at
  CHECK_ERROR(cudaMemcpyPeer(nullptr, to, src, from, 4), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpyPeer(values.data(), to, src, from, 4), cudaErrorInvalidValue);
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFree(src));
  CHECK(cudaFree(dst));
}

// Two devices that reach one another: a kernel of one reads the other's memory.
static void TestAccess(int from, int to) {
  int can = 0;
  CHECK(cudaDeviceCanAccessPeer(&can, from, to));
  int supported = 77;
  CHECK(cudaDeviceGetP2PAttribute(&supported, cudaDevP2PAttrAccessSupported, from, to));
  EXPECT(supported == can, "the attribute says %d, the question %d", supported, can);
  CHECK(cudaSetDevice(from));
  if (can == 0) {
    CHECK_ERROR(cudaDeviceEnablePeerAccess(to, 0), cudaErrorPeerAccessUnsupported);
    return;
  }
  CHECK(cudaDeviceEnablePeerAccess(to, 0));
  CHECK_ERROR(cudaDeviceEnablePeerAccess(to, 0), cudaErrorPeerAccessAlreadyEnabled);
  int* theirs = Allocate(to, 64 * sizeof(int));
  int* ours = Allocate(from, 64 * sizeof(int));
  int values[64];
  for (int i = 0; i < 64; ++i) values[i] = i;
  CHECK(cudaMemcpy(theirs, values, sizeof(values), cudaMemcpyHostToDevice));
  Scale<<<1, 64>>>(theirs, ours, 5);
  CHECK(cudaMemcpy(values, ours, sizeof(values), cudaMemcpyDeviceToHost));
  for (int i = 0; i < 64; ++i) EXPECT(values[i] == i * 5, "element %d of the peer is %d", i, values[i]);
  CHECK(cudaDeviceDisablePeerAccess(to));
  CHECK_ERROR(cudaDeviceDisablePeerAccess(to), cudaErrorPeerAccessNotEnabled);
  CHECK(cudaFree(theirs));
  CHECK(cudaFree(ours));
}

int main() {
  CHECK(cudaGetDeviceCount(&count));
  TestQueries();
  TestCopies(0, 0);
  for (int d = 1; d < count; ++d) {
    TestCopies(0, d);
    TestCopies(d, 0);
    TestAccess(0, d);
  }
  CHECK(cudaSetDevice(0));
  CHECK(cudaDeviceSynchronize());
  std::printf("peer: %d device(s)\n", count);
  return Passed();
}
