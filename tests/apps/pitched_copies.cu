// Two- and three-dimensional memory: pitched allocations, sub-rectangles and sub-boxes in every direction, memsets that
// must leave their surroundings alone.
#include <cstring>
#include <vector>

#include "check.h"

__global__ void AddOne(unsigned char* base, size_t pitch, int width, int height) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x < width && y < height) base[y * pitch + x] += 1;
}

static unsigned char Pattern(int x, int y, int z = 0) { return static_cast<unsigned char>(x * 3 + y * 5 + z * 7); }

static void TwoDimensions() {
  const int width = 301, height = 67;
  unsigned char *device = nullptr, *copy = nullptr;
  size_t pitch = 0, copy_pitch = 0;
  CHECK(cudaMallocPitch(&device, &pitch, width, height));
  CHECK(cudaMallocPitch(&copy, &copy_pitch, 2 * width, height));
  EXPECT(pitch >= width && pitch % 32 == 0, "a pitch of %zu", pitch);
  std::vector<unsigned char> host(width * height), result(512 * height, 0xee);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) host[y * width + x] = Pattern(x, y);
  }
  CHECK(cudaMemcpy2D(device, pitch, host.data(), width, width, height, cudaMemcpyHostToDevice));
  AddOne<<<dim3(10, 9), dim3(32, 8)>>>(device, pitch, width, height);
  CHECK(cudaGetLastError());
  // To the middle of the other allocation, then a rectangle of that set, then back with a pitch of 512.
  CHECK(cudaMemcpy2D(copy + 100, copy_pitch, device, pitch, width, height, cudaMemcpyDeviceToDevice));
  CHECK(cudaMemset2D(copy + 100 + 20 + 3 * copy_pitch, copy_pitch, 0x5a, 50, 10));
  CHECK(cudaMemcpy2D(result.data(), 512, copy + 100, copy_pitch, width, height, cudaMemcpyDeviceToHost));
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < 512; ++x) {
      unsigned char expected = x < width ? static_cast<unsigned char>(Pattern(x, y) + 1) : 0xee;
      if (x >= 20 && x < 70 && y >= 3 && y < 13) expected = 0x5a;
      EXPECT(result[y * 512 + x] == expected, "(%d, %d) is %d, not %d", x, y, result[y * 512 + x], expected);
    }
  }
  // The same through pinned memory and a stream; direction from the pointers.
  cudaStream_t stream;
  unsigned char* pinned = nullptr;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaMallocHost(&pinned, width * height));
  std::memset(pinned, 0, width * height);
  CHECK(cudaMemset2DAsync(device, pitch, 7, width, height / 2, stream));
  CHECK(cudaMemcpy2DAsync(pinned, width, device, pitch, width, height, cudaMemcpyDefault, stream));
  CHECK(cudaStreamSynchronize(stream));
  for (int i = 0; i < width * height; ++i) {
    const unsigned char expected = i / width < height / 2 ? 7 : static_cast<unsigned char>(host[i] + 1);
    EXPECT(pinned[i] == expected, "pinned byte %d is %d, not %d", i, pinned[i], expected);
  }
  CHECK_ERROR(cudaMemcpy2D(device, width - 1, host.data(), width, width, height, cudaMemcpyHostToDevice),
              cudaErrorInvalidPitchValue);
  CHECK(cudaFreeHost(pinned));
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFree(device));
  CHECK(cudaFree(copy));
}

static void ThreeDimensions() {
  const int width = 60, height = 20, depth = 12;
  cudaPitchedPtr device{}, copy{};
  CHECK(cudaMalloc3D(&device, make_cudaExtent(width, height, depth)));
  CHECK(cudaMalloc3D(&copy, make_cudaExtent(width, height, depth)));
  EXPECT(device.pitch >= width && device.xsize == width && device.ysize == height, "pitch %zu, x %zu, y %zu",
         device.pitch, device.xsize, device.ysize);
  std::vector<unsigned char> host(width * height * depth), result(width * height * depth, 0xee);
  for (int z = 0; z < depth; ++z) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) host[(z * height + y) * width + x] = Pattern(x, y, z);
    }
  }
  cudaMemcpy3DParms all{};
  all.srcPtr = make_cudaPitchedPtr(host.data(), width, width, height);
  all.dstPtr = device;
  all.extent = make_cudaExtent(width, height, depth);
  all.kind = cudaMemcpyHostToDevice;
  CHECK(cudaMemcpy3D(&all));
  CHECK(cudaMemset3D(copy, 0xcc, make_cudaExtent(width, height, depth)));
  // On a stream: a box of 20 x 6 x 4 at (10, 4, 5) is set, then one of 30 x 10 x 5 comes from (4, 3, 2) to (20, 6, 7).
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  cudaPitchedPtr inner = copy;
  inner.ptr = static_cast<unsigned char*>(copy.ptr) + (5 * copy.ysize + 4) * copy.pitch + 10;
  CHECK(cudaMemset3DAsync(inner, 0x5a, make_cudaExtent(20, 6, 4), stream));
  cudaMemcpy3DParms box{};
  box.srcPtr = device;
  box.srcPos = make_cudaPos(4, 3, 2);
  box.dstPtr = copy;
  box.dstPos = make_cudaPos(20, 6, 7);
  box.extent = make_cudaExtent(30, 10, 5);
  box.kind = cudaMemcpyDeviceToDevice;
  CHECK(cudaMemcpy3DAsync(&box, stream));
  CHECK(cudaStreamSynchronize(stream));
  all.srcPtr = copy;
  all.dstPtr = make_cudaPitchedPtr(result.data(), width, width, height);
  all.kind = cudaMemcpyDeviceToHost;
  CHECK(cudaMemcpy3D(&all));
  for (int z = 0; z < depth; ++z) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const bool inside = x >= 20 && x < 50 && y >= 6 && y < 16 && z >= 7;
        const bool set = x >= 10 && x < 30 && y >= 4 && y < 10 && z >= 5 && z < 9;
        const unsigned char expected = inside ? Pattern(x - 16, y - 3, z - 5) : set ? 0x5a : 0xcc;
        const unsigned char got = result[(z * height + y) * width + x];
        EXPECT(got == expected, "(%d, %d, %d) is %d, not %d", x, y, z, got, expected);
      }
    }
  }
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFree(device.ptr));
  CHECK(cudaFree(copy.ptr));
}

int main() {
  TwoDimensions();
  ThreeDimensions();
  std::printf("pitched_copies: rectangles and boxes\n");
  return Passed();
}
