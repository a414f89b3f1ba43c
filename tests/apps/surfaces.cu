// Surfaces: reading and writing arrays from kernels, what is outside of them, and that copies and textures see it.
#include <cstring>
#include <vector>

#include "check.h"

constexpr int kWidth = 33;
constexpr int kHeight = 17;
constexpr int kDepth = 5;

__global__ void Transpose(cudaSurfaceObject_t from, cudaSurfaceObject_t to) {
  for (int i = threadIdx.x; i < kWidth * kHeight; i += blockDim.x) {
    const int x = i % kWidth;
    const int y = i / kWidth;
    const float2 value = surf2Dread<float2>(from, x * static_cast<int>(sizeof(float2)), y);
    surf2Dwrite(make_float2(value.y, value.x), to, y * static_cast<int>(sizeof(float2)), x);
  }
}
__global__ void Outside(cudaSurfaceObject_t surface, int* out) {
  out[0] = surf2Dread<int>(surface, -4, 2, cudaBoundaryModeZero);
  out[1] = surf2Dread<int>(surface, 4 * kWidth, 2, cudaBoundaryModeZero);
  out[2] = surf2Dread<int>(surface, -4, 2, cudaBoundaryModeClamp);
  out[3] = surf2Dread<int>(surface, 4 * kWidth + 40, kHeight + 3, cudaBoundaryModeClamp);
  surf2Dwrite(-1, surface, 4 * kWidth, 1, cudaBoundaryModeZero);
  surf2Dwrite(-2, surface, 8, -1, cudaBoundaryModeZero);
}
__global__ void Box(cudaSurfaceObject_t surface) {
  for (int i = threadIdx.x; i < kWidth * kHeight * kDepth; i += blockDim.x) {
    const int x = i % kWidth;
    const int y = i / kWidth % kHeight;
    const int z = i / kWidth / kHeight;
    const short value = surf3Dread<short>(surface, x * 2, y, z);
    surf3Dwrite(static_cast<short>(value + x + 100 * y + 1000 * z), surface, x * 2, y, z);
  }
}
__global__ void Layered(cudaSurfaceObject_t surface) {
  for (int i = threadIdx.x; i < kWidth * kHeight * kDepth; i += blockDim.x) {
    const int x = i % kWidth;
    const int y = i / kWidth % kHeight;
    const int z = i / kWidth / kHeight;
    const uchar4 value = surf2DLayeredread<uchar4>(surface, x * 4, y, z);
    surf2DLayeredwrite(make_uchar4(value.w, value.z, value.y, value.x), surface, x * 4, y, z);
  }
}
__global__ void Line(cudaSurfaceObject_t surface) {
  const int x = threadIdx.x;
  if (x < kWidth) surf1Dwrite(surf1Dread<int>(surface, x * 4) * 2, surface, x * 4);
}
__global__ void Cube(cudaSurfaceObject_t surface) {
  const int x = threadIdx.x % 8;
  const int y = threadIdx.x / 8;
  for (int face = 0; face < 6; ++face)
    surfCubemapwrite(surfCubemapread<int>(surface, x * 4, y, face) + face, surface, x * 4, y, face);
}
__global__ void ReadTexture(cudaTextureObject_t texture, int* out, int width, int height) {
  for (int i = threadIdx.x; i < width * height; i += blockDim.x)
    out[i] = tex2D<int>(texture, i % width + 0.5f, i / width + 0.5f);
}

static cudaResourceDesc Of(cudaArray_t array) {
  cudaResourceDesc desc;
  std::memset(&desc, 0, sizeof(desc));
  desc.resType = cudaResourceTypeArray;
  desc.res.array.array = array;
  return desc;
}
static cudaSurfaceObject_t Surface(cudaArray_t array) {
  const cudaResourceDesc desc = Of(array);
  cudaSurfaceObject_t surface = 0;
  CHECK(cudaCreateSurfaceObject(&surface, &desc));
  return surface;
}
template <typename T>
static cudaArray_t Make(int width, int height, int depth, unsigned flags) {
  const cudaChannelFormatDesc format = cudaCreateChannelDesc<T>();
  cudaArray_t array = nullptr;
  CHECK(cudaMalloc3DArray(&array, &format, make_cudaExtent(width, height, depth), flags | cudaArraySurfaceLoadStore));
  return array;
}
template <typename T>
static void Copy(cudaArray_t array, std::vector<T>* host, int width, int height, int depth, bool to_array) {
  cudaMemcpy3DParms copy;
  std::memset(&copy, 0, sizeof(copy));
  const cudaPitchedPtr memory = make_cudaPitchedPtr(host->data(), width * sizeof(T), width, height);
  copy.extent = make_cudaExtent(width, height, depth);
  if (to_array) {
    copy.srcPtr = memory;
    copy.dstArray = array;
    copy.kind = cudaMemcpyHostToDevice;
  } else {
    copy.srcArray = array;
    copy.dstPtr = memory;
    copy.kind = cudaMemcpyDeviceToHost;
  }
  CHECK(cudaMemcpy3D(&copy));
}

static void Transposed() {
  std::vector<float2> in(kWidth * kHeight);
  for (size_t i = 0; i < in.size(); ++i) in[i] = {static_cast<float>(i), static_cast<float>(i) * -2};
  cudaArray_t from = Make<float2>(kWidth, kHeight, 0, 0);
  cudaArray_t to = Make<float2>(kHeight, kWidth, 0, 0);
  Copy(from, &in, kWidth, kHeight, 1, true);
  const cudaSurfaceObject_t a = Surface(from);
  const cudaSurfaceObject_t b = Surface(to);
  Transpose<<<1, 96>>>(a, b);
  std::vector<float2> out(in.size());
  Copy(to, &out, kHeight, kWidth, 1, false);
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      const float2 got = out[x * kHeight + y];
      const float2 expected = in[y * kWidth + x];
      EXPECT(got.x == expected.y && got.y == expected.x, "at %d %d: %f %f", x, y, got.x, got.y);
    }
  }
  cudaResourceDesc told;
  CHECK(cudaGetSurfaceObjectResourceDesc(&told, a));
  EXPECT(told.resType == cudaResourceTypeArray && told.res.array.array == from, "another resource");
  CHECK_ERROR(cudaDestroyTextureObject(a), cudaErrorInvalidValue);
  CHECK(cudaDestroySurfaceObject(a));
  CHECK(cudaDestroySurfaceObject(b));
  CHECK_ERROR(cudaGetSurfaceObjectResourceDesc(&told, a), cudaErrorInvalidValue);
  CHECK_ERROR(cudaDestroySurfaceObject(a), cudaErrorInvalidValue);
  (void)cudaGetLastError();
  CHECK(cudaFreeArray(from));
  CHECK(cudaFreeArray(to));
}

static void Borders() {
  std::vector<int> in(kWidth * kHeight);
  for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<int>(i) + 1;
  cudaArray_t array = Make<int>(kWidth, kHeight, 0, 0);
  Copy(array, &in, kWidth, kHeight, 1, true);
  const cudaSurfaceObject_t surface = Surface(array);
  int* out = nullptr;
  CHECK(cudaMalloc(&out, 4 * sizeof(int)));
  Outside<<<1, 1>>>(surface, out);
  int got[4];
  CHECK(cudaMemcpy(got, out, sizeof(got), cudaMemcpyDeviceToHost));
  const int expected[4] = {0, 0, in[2 * kWidth], in[kWidth * kHeight - 1]};
  for (int i = 0; i < 4; ++i) EXPECT(got[i] == expected[i], "outside %d: %d, not %d", i, got[i], expected[i]);
  std::vector<int> after(in.size());
  Copy(array, &after, kWidth, kHeight, 1, false);
  EXPECT(after == in, "a store outside has changed something");
  CHECK(cudaFree(out));
  CHECK(cudaDestroySurfaceObject(surface));
  CHECK(cudaFreeArray(array));
}

static void OtherGeometries() {
  constexpr int kCount = kWidth * kHeight * kDepth;
  std::vector<short> shorts(kCount);
  for (int i = 0; i < kCount; ++i) shorts[i] = static_cast<short>(i % 50);
  cudaArray_t box = Make<short>(kWidth, kHeight, kDepth, 0);
  Copy(box, &shorts, kWidth, kHeight, kDepth, true);
  cudaSurfaceObject_t surface = Surface(box);
  Box<<<1, 128>>>(surface);
  std::vector<short> got(kCount);
  Copy(box, &got, kWidth, kHeight, kDepth, false);
  for (int i = 0; i < kCount; ++i) {
    const int expected = shorts[i] + i % kWidth + 100 * (i / kWidth % kHeight) + 1000 * (i / kWidth / kHeight);
    EXPECT(got[i] == static_cast<short>(expected), "voxel %d: %d, not %d", i, got[i], expected);
  }
  CHECK(cudaDestroySurfaceObject(surface));
  CHECK(cudaFreeArray(box));

  std::vector<uchar4> colors(kCount);
  for (int i = 0; i < kCount; ++i) {
    const auto byte = [i](int n) { return static_cast<unsigned char>(i >> n); };
    colors[i] = {byte(0), byte(1), byte(2), byte(3)};
  }
  cudaArray_t layers = Make<uchar4>(kWidth, kHeight, kDepth, cudaArrayLayered);
  Copy(layers, &colors, kWidth, kHeight, kDepth, true);
  surface = Surface(layers);
  Layered<<<1, 128>>>(surface);
  std::vector<uchar4> turned(kCount);
  Copy(layers, &turned, kWidth, kHeight, kDepth, false);
  for (int i = 0; i < kCount; ++i) {
    EXPECT(turned[i].x == colors[i].w && turned[i].y == colors[i].z && turned[i].z == colors[i].y &&
               turned[i].w == colors[i].x,
           "color %d", i);
  }
  CHECK(cudaDestroySurfaceObject(surface));
  CHECK(cudaFreeArray(layers));

  std::vector<int> numbers(kWidth);
  for (int i = 0; i < kWidth; ++i) numbers[i] = 3 * i + 1;
  cudaArray_t line = Make<int>(kWidth, 0, 0, 0);
  Copy(line, &numbers, kWidth, 1, 1, true);
  surface = Surface(line);
  Line<<<1, 64>>>(surface);
  std::vector<int> doubled(kWidth);
  Copy(line, &doubled, kWidth, 1, 1, false);
  for (int i = 0; i < kWidth; ++i) EXPECT(doubled[i] == 2 * numbers[i], "number %d: %d", i, doubled[i]);
  CHECK(cudaDestroySurfaceObject(surface));
  CHECK(cudaFreeArray(line));

  std::vector<int> faces(8 * 8 * 6);
  for (size_t i = 0; i < faces.size(); ++i) faces[i] = static_cast<int>(10 * i);
  cudaArray_t cube = Make<int>(8, 8, 6, cudaArrayCubemap);
  Copy(cube, &faces, 8, 8, 6, true);
  surface = Surface(cube);
  Cube<<<1, 64>>>(surface);
  std::vector<int> raised(faces.size());
  Copy(cube, &raised, 8, 8, 6, false);
  for (int i = 0; i < 8 * 8 * 6; ++i) EXPECT(raised[i] == faces[i] + i / 64, "texel %d of the cube: %d", i, raised[i]);
  CHECK(cudaDestroySurfaceObject(surface));
  CHECK(cudaFreeArray(cube));
}

// What a kernel writes through a surface, the next one reads through a texture, and a copy in between changes it.
static void WithTextures() {
  std::vector<int> in(64);
  for (int i = 0; i < 64; ++i) in[i] = i - 5;
  cudaArray_t array = Make<int>(64, 1, 0, 0);
  Copy(array, &in, 64, 1, 1, true);
  cudaTextureDesc sampling;
  std::memset(&sampling, 0, sizeof(sampling));
  const cudaResourceDesc resource = Of(array);
  cudaTextureObject_t texture = 0;
  CHECK(cudaCreateTextureObject(&texture, &resource, &sampling, nullptr));
  const cudaSurfaceObject_t surface = Surface(array);
  int* out = nullptr;
  CHECK(cudaMalloc(&out, 64 * sizeof(int)));
  std::vector<int> got(64);
  for (int round = 0; round < 3; ++round) {
    Line<<<1, 64>>>(surface);
    ReadTexture<<<1, 64>>>(texture, out, 64, 1);
    CHECK(cudaMemcpy(got.data(), out, 64 * sizeof(int), cudaMemcpyDeviceToHost));
    for (int i = 0; i < 64; ++i) {
      const int expected = i < kWidth ? 2 * in[i] : in[i];
      EXPECT(got[i] == expected, "round %d, texel %d: %d, not %d", round, i, got[i], expected);
    }
    for (int i = 0; i < 64; ++i) in[i] = 7 * i + round;
    Copy(array, &in, 64, 1, 1, true);
  }
  CHECK(cudaFree(out));
  CHECK(cudaDestroyTextureObject(texture));
  CHECK(cudaDestroySurfaceObject(surface));
  CHECK(cudaFreeArray(array));
}

static void Mistakes() {
  const cudaChannelFormatDesc format = cudaCreateChannelDesc<int>();
  cudaArray_t plain = nullptr;
  CHECK(cudaMallocArray(&plain, &format, 8, 8));
  cudaResourceDesc desc = Of(plain);
  cudaSurfaceObject_t surface = 0;
  CHECK_ERROR(cudaCreateSurfaceObject(&surface, &desc), cudaErrorInvalidValue);
  CHECK_ERROR(cudaCreateSurfaceObject(nullptr, &desc), cudaErrorInvalidValue);
  CHECK_ERROR(cudaCreateSurfaceObject(&surface, nullptr), cudaErrorInvalidValue);
  desc.resType = cudaResourceTypeMipmappedArray;
  CHECK_ERROR(cudaCreateSurfaceObject(&surface, &desc), cudaErrorInvalidValue);
  (void)cudaGetLastError();
  CHECK(cudaFreeArray(plain));
}

int main() {
  Transposed();
  Borders();
  OtherGeometries();
  WithTextures();
  Mistakes();
  return Passed();
}
