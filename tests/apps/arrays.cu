// Arrays of every shape: what they may be, what is told of them, and each way of copying from, to and between them.
#include <vector>

#include "check.h"

static unsigned short Pattern(int x, int y, int z) {
  return static_cast<unsigned short>(x * 3 + y * 251 + z * 7919 + 1);
}

static cudaChannelFormatDesc Short2() { return cudaCreateChannelDesc<ushort2>(); }

static void Shapes() {
  const cudaChannelFormatDesc desc = Short2();
  struct Case {
    size_t width, height, depth;
    unsigned flags;
    cudaError_t expected;
  };
  const Case cases[] = {
      {37, 0, 0, 0, cudaSuccess},
      {37, 21, 0, 0, cudaSuccess},
      {37, 21, 5, 0, cudaSuccess},
      {37, 0, 5, cudaArrayLayered, cudaSuccess},
      {37, 21, 5, cudaArrayLayered | cudaArraySurfaceLoadStore, cudaSuccess},
      {16, 16, 6, cudaArrayCubemap, cudaSuccess},
      {16, 16, 12, cudaArrayCubemap | cudaArrayLayered, cudaSuccess},
      {37, 21, 0, cudaArrayTextureGather, cudaSuccess},
      {0, 21, 0, 0, cudaErrorInvalidValue},
      {37, 0, 5, 0, cudaErrorInvalidValue},
      {16, 17, 6, cudaArrayCubemap, cudaErrorInvalidValue},
      {16, 16, 5, cudaArrayCubemap, cudaErrorInvalidValue},
      {16, 16, 10, cudaArrayCubemap | cudaArrayLayered, cudaErrorInvalidValue},
      {size_t{1} << 40, 0, 0, 0, cudaErrorInvalidValue},
      {37, 21, 0, 0x8000, cudaErrorInvalidValue},
  };
  for (const Case& one : cases) {
    cudaArray_t array = nullptr;
    CHECK_ERROR(cudaMalloc3DArray(&array, &desc, make_cudaExtent(one.width, one.height, one.depth), one.flags),
                one.expected);
    if (one.expected != cudaSuccess) continue;
    cudaChannelFormatDesc told{};
    cudaExtent extent{};
    unsigned flags = 0xff;
    CHECK(cudaArrayGetInfo(&told, &extent, &flags, array));
    EXPECT(told.x == 16 && told.y == 16 && told.z == 0 && told.w == 0 && told.f == cudaChannelFormatKindUnsigned,
           "channels %d %d %d %d, kind %d", told.x, told.y, told.z, told.w, told.f);
    EXPECT(extent.width == one.width && extent.height == one.height && extent.depth == one.depth && flags == one.flags,
           "%zu x %zu x %zu, flags %u", extent.width, extent.height, extent.depth, flags);
    CHECK(cudaGetChannelDesc(&told, array));
    EXPECT(told.y == 16, "channel y has %d bits", told.y);
    cudaArray_t plane = nullptr;
    CHECK_ERROR(cudaArrayGetPlane(&plane, array, 0), cudaErrorInvalidValue);
    cudaArrayMemoryRequirements requirements{};
    CHECK_ERROR(cudaArrayGetMemoryRequirements(&requirements, array, 0), cudaErrorInvalidValue);
    cudaArraySparseProperties properties{};
    CHECK_ERROR(cudaArrayGetSparseProperties(&properties, array), cudaErrorInvalidValue);
    CHECK(cudaFreeArray(array));
  }
  cudaArray_t array = nullptr;
  cudaChannelFormatDesc three = cudaCreateChannelDesc(32, 32, 32, 0, cudaChannelFormatKindFloat);
  CHECK_ERROR(cudaMallocArray(&array, &three, 8, 8), cudaErrorInvalidChannelDescriptor);
  CHECK_ERROR(cudaMallocArray(&array, nullptr, 8, 8), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMallocArray(nullptr, &desc, 8, 8), cudaErrorInvalidValue);
  CHECK(cudaFreeArray(nullptr));
  cudaGetLastError();
}

static void Mipmaps() {
  const cudaChannelFormatDesc desc = cudaCreateChannelDesc<float>();
  cudaMipmappedArray_t mipmapped = nullptr;
  // As many levels as there can be, whatever is asked for beyond.
  CHECK(cudaMallocMipmappedArray(&mipmapped, &desc, make_cudaExtent(20, 12, 0), 99));
  size_t width = 20, height = 12;
  std::vector<cudaArray_t> levels(5);
  for (unsigned level = 0; level < 5; ++level) {
    CHECK(cudaGetMipmappedArrayLevel(&levels[level], mipmapped, level));
    cudaExtent extent{};
    CHECK(cudaArrayGetInfo(nullptr, &extent, nullptr, levels[level]));
    EXPECT(extent.width == width && extent.height == height, "level %u: %zu x %zu", level, extent.width, extent.height);
    std::vector<float> row(width, 1.5f + level);
    for (size_t y = 0; y < height; ++y) {
      CHECK(cudaMemcpy2DToArray(levels[level], 0, y, row.data(), width * 4, width * 4, 1, cudaMemcpyHostToDevice));
    }
    width = width / 2 > 1 ? width / 2 : 1;
    height = height / 2 > 1 ? height / 2 : 1;
  }
  cudaArray_t none = nullptr;
  CHECK_ERROR(cudaGetMipmappedArrayLevel(&none, mipmapped, 5), cudaErrorInvalidValue);
  cudaArrayMemoryRequirements requirements{};
  CHECK_ERROR(cudaMipmappedArrayGetMemoryRequirements(&requirements, mipmapped, 0), cudaErrorInvalidValue);
  cudaArraySparseProperties properties{};
  CHECK_ERROR(cudaMipmappedArrayGetSparseProperties(&properties, mipmapped), cudaErrorInvalidValue);
  for (unsigned level = 0; level < 5; ++level) {
    cudaExtent extent{};
    CHECK(cudaArrayGetInfo(nullptr, &extent, nullptr, levels[level]));
    std::vector<float> all(extent.width * extent.height);
    CHECK(cudaMemcpy2DFromArray(all.data(), extent.width * 4, levels[level], 0, 0, extent.width * 4, extent.height,
                                cudaMemcpyDeviceToHost));
    for (const float value : all) EXPECT(value == 1.5f + level, "level %u holds %g", level, value);
  }
  CHECK(cudaFreeMipmappedArray(mipmapped));
  CHECK_ERROR(cudaGetMipmappedArrayLevel(&none, nullptr, 0), cudaErrorInvalidResourceHandle);
  cudaGetLastError();
}

// Two dimensions: widths and offsets in bytes.
static void Rectangles() {
  const int width = 50, height = 30;
  const cudaChannelFormatDesc desc = cudaCreateChannelDesc<unsigned short>();
  cudaArray_t array = nullptr, other = nullptr;
  CHECK(cudaMallocArray(&array, &desc, width, height));
  CHECK(cudaMallocArray(&other, &desc, width, height));
  std::vector<unsigned short> host(width * height), back(width * height, 0xeeee);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) host[y * width + x] = Pattern(x, y, 0);
  }
  CHECK(cudaMemcpy2DToArray(array, 0, 0, host.data(), width * 2, width * 2, height, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpy2DToArray(other, 0, 0, back.data(), width * 2, width * 2, height, cudaMemcpyDefault));
  // A part of 20 x 10 from (5, 3) to (22, 17).
  CHECK(cudaMemcpy2DArrayToArray(other, 22 * 2, 17, array, 5 * 2, 3, 20 * 2, 10));
  CHECK(cudaMemcpy2DFromArray(back.data(), width * 2, other, 0, 0, width * 2, height, cudaMemcpyDeviceToHost));
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const bool inside = x >= 22 && x < 42 && y >= 17 && y < 27;
      const unsigned short expected = inside ? Pattern(x - 17, y - 14, 0) : 0xeeee;
      EXPECT(back[y * width + x] == expected, "(%d, %d) is %u, not %u", x, y, back[y * width + x], expected);
    }
  }
  // Between an array and pitched device memory, on a stream.
  unsigned char* device = nullptr;
  size_t pitch = 0;
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaMallocPitch(&device, &pitch, width * 2, height));
  CHECK(cudaMemcpy2DFromArrayAsync(device, pitch, array, 0, 0, width * 2, height, cudaMemcpyDeviceToDevice, stream));
  CHECK(cudaMemsetAsync(device, 0x11, width * 2, stream));  // its first row
  CHECK(cudaMemcpy2DToArrayAsync(other, 0, 0, device, pitch, width * 2, height, cudaMemcpyDeviceToDevice, stream));
  CHECK(cudaMemcpy2DFromArrayAsync(back.data(), width * 2, other, 0, 0, width * 2, height, cudaMemcpyDefault, stream));
  CHECK(cudaStreamSynchronize(stream));
  for (int i = 0; i < width * height; ++i) {
    const unsigned short expected = i < width ? 0x1111 : host[i];
    EXPECT(back[i] == expected, "element %d is %u, not %u", i, back[i], expected);
  }
  // What does not fit, cuts through an element, or goes the other way.
  const void* from = host.data();
  CHECK_ERROR(cudaMemcpy2DToArray(array, 2, 0, from, width * 2, width * 2, 1, cudaMemcpyHostToDevice),
              cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpy2DToArray(array, 0, 1, from, width * 2, width * 2, height, cudaMemcpyHostToDevice),
              cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpy2DToArray(array, 0, 0, from, 8, 16, 1, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemcpy2DToArray(array, 0, 0, from, 16, 16, 1, static_cast<cudaMemcpyKind>(9)),
              cudaErrorInvalidMemcpyDirection);
  CHECK(cudaMemcpy2DToArray(array, 0, 0, from, 0, 0, 0, cudaMemcpyHostToDevice));
  cudaGetLastError();
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaFree(device));
  CHECK(cudaFreeArray(array));
  CHECK(cudaFreeArray(other));
}

// The deprecated forms: a run of bytes that goes on in the next row.
static void Runs() {
  const int width = 13, height = 9, all = width * height;
  const cudaChannelFormatDesc desc = cudaCreateChannelDesc<unsigned>();
  cudaArray_t array = nullptr, other = nullptr;
  CHECK(cudaMallocArray(&array, &desc, width, height));
  CHECK(cudaMallocArray(&other, &desc, width, height));
  std::vector<unsigned> host(all), back(all);
  for (int i = 0; i < all; ++i) host[i] = i * 2654435761u;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  CHECK(cudaMemcpyToArray(array, 0, 0, host.data(), all * 4, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpyFromArray(back.data(), array, 0, 0, all * 4, cudaMemcpyDeviceToHost));
  EXPECT(back == host, "a whole array came back otherwise");
  // 40 elements from (7, 2) on, to (3, 4) of another.
  CHECK(cudaMemcpyToArray(other, 0, 0, std::vector<unsigned>(all, 7).data(), all * 4, cudaMemcpyHostToDevice));
  CHECK(cudaMemcpyArrayToArray(other, 3 * 4, 4, array, 7 * 4, 2, 40 * 4));
  CHECK(cudaMemcpyFromArray(back.data(), other, 0, 0, all * 4, cudaMemcpyDeviceToHost));
  for (int i = 0; i < all; ++i) {
    const int from = i - (4 * width + 3) + (2 * width + 7);
    const bool inside = i >= 4 * width + 3 && i < 4 * width + 43;
    EXPECT(back[i] == (inside ? host[from] : 7u), "element %d is %u", i, back[i]);
  }
  CHECK(cudaMemcpyFromArray(back.data(), array, 7 * 4, 2, 40 * 4, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 40; ++i) EXPECT(back[i] == host[2 * width + 7 + i], "element %d of a run is %u", i, back[i]);
  CHECK(cudaMemcpyToArrayAsync(array, 5 * 4, 1, back.data(), 40 * 4, cudaMemcpyHostToDevice, nullptr));
  CHECK(cudaMemcpyFromArrayAsync(back.data(), array, 0, 0, all * 4, cudaMemcpyDeviceToHost, nullptr));
  CHECK(cudaStreamSynchronize(nullptr));
  for (int i = 0; i < all; ++i) {
    const bool inside = i >= width + 5 && i < width + 45;
    EXPECT(back[i] == host[inside ? i + width + 2 : i], "element %d is %u after a run went back", i, back[i]);
  }
#pragma GCC diagnostic pop
  CHECK(cudaFreeArray(array));
  CHECK(cudaFreeArray(other));
}

// Three dimensions and layers: positions and extents in elements.
static void Boxes(unsigned flags) {
  const int width = 24, height = 24, depth = 6;
  const cudaChannelFormatDesc desc = Short2();
  cudaArray_t array = nullptr, other = nullptr;
  const cudaExtent whole = make_cudaExtent(width, height, depth);
  CHECK(cudaMalloc3DArray(&array, &desc, whole, flags));
  CHECK(cudaMalloc3DArray(&other, &desc, whole, flags));
  std::vector<ushort2> host(width * height * depth), back(width * height * depth);
  const auto at = [](int x, int y, int z) { return (z * height + y) * width + x; };
  for (int z = 0; z < depth; ++z) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        host[at(x, y, z)] = make_ushort2(Pattern(x, y, z), static_cast<unsigned short>(x));
      }
    }
  }
  cudaMemcpy3DParms up{};
  up.srcPtr = make_cudaPitchedPtr(host.data(), width * sizeof(ushort2), width, height);
  up.dstArray = array;
  up.extent = whole;
  up.kind = cudaMemcpyHostToDevice;
  CHECK(cudaMemcpy3D(&up));
  std::vector<ushort2> zeros(width * height * depth, make_ushort2(0, 0));
  up.srcPtr.ptr = zeros.data();
  up.dstArray = other;
  CHECK(cudaMemcpy3D(&up));
  // A box of 10 x 8 x 3 from (4, 5, 1) to (9, 2, 3), between the arrays.
  cudaMemcpy3DParms across{};
  across.srcArray = array;
  across.srcPos = make_cudaPos(4, 5, 1);
  across.dstArray = other;
  across.dstPos = make_cudaPos(9, 2, 3);
  across.extent = make_cudaExtent(10, 8, 3);
  across.kind = cudaMemcpyDeviceToDevice;
  CHECK(cudaMemcpy3D(&across));
  // Down by way of pitched device memory: positions in memory are elements where an array takes part, else bytes.
  cudaPitchedPtr device{};
  CHECK(cudaMalloc3D(&device, make_cudaExtent(width * sizeof(ushort2) + 32, height, depth)));
  cudaMemcpy3DParms down{};
  down.srcArray = other;
  down.dstPtr = device;
  down.dstPos = make_cudaPos(32 / sizeof(ushort2), 0, 0);
  down.extent = whole;
  down.kind = cudaMemcpyDeviceToDevice;
  CHECK(cudaMemcpy3DAsync(&down, nullptr));
  cudaMemcpy3DParms last{};
  last.srcPtr = device;
  last.srcPos = make_cudaPos(32, 0, 0);
  last.dstPtr = make_cudaPitchedPtr(back.data(), width * sizeof(ushort2), width * sizeof(ushort2), height);
  last.extent = make_cudaExtent(width * sizeof(ushort2), height, depth);
  last.kind = cudaMemcpyDeviceToHost;
  CHECK(cudaMemcpy3D(&last));
  for (int z = 0; z < depth; ++z) {
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const bool inside = x >= 9 && x < 19 && y >= 2 && y < 10 && z >= 3;
        const ushort2 expected = inside ? host[at(x - 5, y + 3, z - 2)] : make_ushort2(0, 0);
        const ushort2 got = back[at(x, y, z)];
        EXPECT(got.x == expected.x && got.y == expected.y, "(%d, %d, %d) is %u, %u", x, y, z, got.x, got.y);
      }
    }
  }
  // One source, one destination, inside of both, of one element size.
  across.srcPos = make_cudaPos(15, 5, 1);
  CHECK_ERROR(cudaMemcpy3D(&across), cudaErrorInvalidValue);
  across.srcPos = make_cudaPos(0, 0, 4);
  CHECK_ERROR(cudaMemcpy3D(&across), cudaErrorInvalidValue);
  across.srcPos = make_cudaPos(0, 0, 0);
  across.srcPtr = device;
  CHECK_ERROR(cudaMemcpy3D(&across), cudaErrorInvalidValue);
  cudaArray_t wide = nullptr;
  const cudaChannelFormatDesc four = cudaCreateChannelDesc<float4>();
  CHECK(cudaMalloc3DArray(&wide, &four, whole, flags));
  across.srcPtr = cudaPitchedPtr{};
  across.dstArray = wide;
  CHECK_ERROR(cudaMemcpy3D(&across), cudaErrorInvalidValue);
  cudaGetLastError();
  CHECK(cudaFree(device.ptr));
  CHECK(cudaFreeArray(array));
  CHECK(cudaFreeArray(other));
  CHECK(cudaFreeArray(wide));
}

int main() {
  Shapes();
  Mipmaps();
  Rectangles();
  Runs();
  Boxes(0);
  Boxes(cudaArrayLayered);
  Boxes(cudaArrayCubemap);
  std::printf("arrays: shapes, levels, rectangles, runs, boxes\n");
  return Passed();
}
