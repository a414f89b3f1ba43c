// Mipmapped arrays as textures: levels named outright and found by gradients, between two levels, clamped, biased, and
// only some of them in view.
#include <cstring>
#include <vector>

#include "check.h"
#include "texture_reference.h"

struct Query {
  float x, y, level;
};

__global__ void ReadLevels(cudaTextureObject_t texture, float* out, const Query* queries, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) out[i] = tex2DLod<float>(texture, queries[i].x, queries[i].y, queries[i].level);
}
// A step of 2^level texels from pixel to pixel.
__global__ void ReadByGradient(cudaTextureObject_t texture, float* out, const Query* queries, int count, float width) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const float step = exp2f(queries[i].level) / width;
  const float2 across = make_float2(step, 0);
  const float2 down = make_float2(0, step / 4);
  out[i] = tex2DGrad<float>(texture, queries[i].x, queries[i].y, across, down);
}
__global__ void ReadBase(cudaTextureObject_t texture, float* out, const Query* queries, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) out[i] = tex2D<float>(texture, queries[i].x, queries[i].y);
}

// A level as a surface.
__global__ void Negate(cudaSurfaceObject_t surface, int edge) {
  for (int i = threadIdx.x; i < edge * edge; i += blockDim.x) {
    const int x = i % edge * static_cast<int>(sizeof(float));
    surf2Dwrite(-surf2Dread<float>(surface, x, i / edge), surface, x, i / edge);
  }
}

constexpr int kEdge = 32;
constexpr int kLevels = 6;

static std::vector<reference::Image> levels;

static void Fill(cudaMipmappedArray_t array) {
  for (int level = 0; level < kLevels; ++level) {
    reference::Image image{kEdge >> level, kEdge >> level, 1, {}};
    for (int i = 0; i < image.width * image.height; ++i)
      image.texels.push_back(static_cast<float>(100 * level) + static_cast<float>(i * 37 % 64));
    cudaArray_t part = nullptr;
    CHECK(cudaGetMipmappedArrayLevel(&part, array, level));
    const size_t row = image.width * sizeof(float);
    CHECK(cudaMemcpy2DToArray(part, 0, 0, image.texels.data(), row, row, image.height, cudaMemcpyHostToDevice));
    levels.push_back(image);
  }
}

struct How {
  reference::Sampling sampling;
  bool between = false;  // levels are mixed
  float bias = 0, min = 0, max = 100;
  unsigned first = 0, last = kLevels - 1;
};

static double Expected(const How& how, const Query& at) {
  const int last = static_cast<int>(how.last - how.first);
  double level = std::min(std::max(static_cast<double>(at.level + how.bias), static_cast<double>(how.min)),
                          static_cast<double>(how.max));
  level = std::min(std::max(level, 0.0), static_cast<double>(last));
  const auto texel = [&](int number) {
    return reference::Fetch(levels[how.first + number], how.sampling, 2, at.x, at.y);
  };
  if (!how.between) return texel(static_cast<int>(std::floor(level + 0.5)));
  const int below = static_cast<int>(std::floor(level));
  const double weight = std::round((level - below) * 256) / 256;
  return weight == 0 ? texel(below) : (1 - weight) * texel(below) + weight * texel(below + 1);
}

int main() {
  cudaMipmappedArray_t array = nullptr;
  const cudaChannelFormatDesc format = cudaCreateChannelDesc<float>();
  CHECK(
      cudaMallocMipmappedArray(&array, &format, make_cudaExtent(kEdge, kEdge, 0), kLevels, cudaArraySurfaceLoadStore));
  Fill(array);
  cudaResourceDesc resource;
  std::memset(&resource, 0, sizeof(resource));
  resource.resType = cudaResourceTypeMipmappedArray;
  resource.res.mipmap.mipmap = array;

  // Middles of the largest level's texels, or places between them; levels that are no halves.
  std::vector<Query> queries;
  Random random(3);
  for (int i = 0; i < 2000; ++i) {
    const float x = (static_cast<float>(random.Below(kEdge)) + 0.25f) / kEdge;
    const float y = (static_cast<float>(random.Below(kEdge)) + 0.75f) / kEdge;
    queries.push_back({x, y, static_cast<float>(random.Below(64)) / 8 - 1 + 1.0f / 16});
  }
  const int count = static_cast<int>(queries.size());
  Query* at = nullptr;
  float* out = nullptr;
  CHECK(cudaMalloc(&at, count * sizeof(Query)));
  CHECK(cudaMalloc(&out, count * sizeof(float)));
  CHECK(cudaMemcpy(at, queries.data(), count * sizeof(Query), cudaMemcpyHostToDevice));
  std::vector<float> got(count);

  const reference::Sampling point{cudaAddressModeWrap, false, true, 0};
  const reference::Sampling linear{cudaAddressModeClamp, true, true, 0};
  const How ways[] = {{point, false, 0, 0, 100, 0, kLevels - 1},
                      {point, true, 0, 0, 100, 0, kLevels - 1},
                      {linear, false, 0, 0, 100, 0, kLevels - 1},
                      {linear, true, 0, 0, 100, 0, kLevels - 1},
                      {linear, true, 0.75f, 0, 100, 0, kLevels - 1},
                      {point, false, 0, 1.25f, 3.25f, 0, kLevels - 1},
                      {point, true, 0, 0.25f, 100, 2, 4},
                      {point, false, 0, 0, 0, 0, kLevels - 1}};
  for (const How& how : ways) {
    cudaTextureDesc desc;
    std::memset(&desc, 0, sizeof(desc));
    for (auto& mode : desc.addressMode) mode = how.sampling.mode;
    desc.filterMode = how.sampling.linear ? cudaFilterModeLinear : cudaFilterModePoint;
    desc.mipmapFilterMode = how.between ? cudaFilterModeLinear : cudaFilterModePoint;
    desc.normalizedCoords = 1;
    desc.mipmapLevelBias = how.bias;
    desc.minMipmapLevelClamp = how.min;
    desc.maxMipmapLevelClamp = how.max;
    cudaResourceViewDesc view;
    std::memset(&view, 0, sizeof(view));
    view.width = kEdge;
    view.height = kEdge;
    view.firstMipmapLevel = how.first;
    view.lastMipmapLevel = how.last;
    const bool is_part = how.first != 0 || how.last != kLevels - 1;
    cudaTextureObject_t texture = 0;
    CHECK(cudaCreateTextureObject(&texture, &resource, &desc, is_part ? &view : nullptr));
    ReadLevels<<<(count + 127) / 128, 128>>>(texture, out, at, count);
    CHECK(cudaMemcpy(got.data(), out, count * sizeof(float), cudaMemcpyDeviceToHost));
    for (int i = 0; i < count; ++i) {
      const double expected = Expected(how, queries[i]);
      EXPECT(std::fabs(got[i] - expected) <= 1e-3, "level %f at %f %f: %f, not %f", queries[i].level, queries[i].x,
             queries[i].y, got[i], expected);
    }
    ReadBase<<<(count + 127) / 128, 128>>>(texture, out, at, count);
    CHECK(cudaMemcpy(got.data(), out, count * sizeof(float), cudaMemcpyDeviceToHost));
    for (int i = 0; i < count && how.bias == 0 && how.min == 0; ++i) {
      const double expected = Expected(how, {queries[i].x, queries[i].y, 0});
      EXPECT(std::fabs(got[i] - expected) <= 1e-3, "at %f %f: %f, not %f", queries[i].x, queries[i].y, got[i],
             expected);
    }
    // Where the level is chosen outright, one found by gradients has only to be near.
    if (!how.between && how.first == 0) {
      ReadByGradient<<<(count + 127) / 128, 128>>>(texture, out, at, count, static_cast<float>(kEdge));
      CHECK(cudaMemcpy(got.data(), out, count * sizeof(float), cudaMemcpyDeviceToHost));
      for (int i = 0; i < count; ++i) {
        const double expected = Expected(how, queries[i]);
        EXPECT(std::fabs(got[i] - expected) <= 1e-3, "gradient of level %f at %f %f: %f, not %f", queries[i].level,
               queries[i].x, queries[i].y, got[i], expected);
      }
    }
    CHECK(cudaDestroyTextureObject(texture));
  }

  // A level is an array as well: written as a surface, read as a texture, alone and among the others.
  constexpr int kLevel = 2;
  constexpr int kLevelEdge = kEdge >> kLevel;
  cudaArray_t part = nullptr;
  CHECK(cudaGetMipmappedArrayLevel(&part, array, kLevel));
  cudaResourceDesc alone;
  std::memset(&alone, 0, sizeof(alone));
  alone.resType = cudaResourceTypeArray;
  alone.res.array.array = part;
  cudaSurfaceObject_t surface = 0;
  CHECK(cudaCreateSurfaceObject(&surface, &alone));
  Negate<<<1, 64>>>(surface, kLevelEdge);
  for (float& texel : levels[kLevel].texels) texel = -texel;
  for (const bool is_alone : {false, true}) {
    cudaTextureDesc desc;
    std::memset(&desc, 0, sizeof(desc));
    desc.normalizedCoords = 1;
    desc.maxMipmapLevelClamp = 100;
    cudaTextureObject_t texture = 0;
    CHECK(cudaCreateTextureObject(&texture, is_alone ? &alone : &resource, &desc, nullptr));
    std::vector<Query> exact;
    for (int i = 0; i < kLevelEdge * kLevelEdge; ++i)
      exact.push_back(
          {(i % kLevelEdge + 0.5f) / kLevelEdge, (i / kLevelEdge + 0.5f) / kLevelEdge, is_alone ? 0.0f : kLevel});
    CHECK(cudaMemcpy(at, exact.data(), exact.size() * sizeof(Query), cudaMemcpyHostToDevice));
    ReadLevels<<<1, 64>>>(texture, out, at, static_cast<int>(exact.size()));
    CHECK(cudaMemcpy(got.data(), out, exact.size() * sizeof(float), cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < exact.size(); ++i) {
      EXPECT(got[i] == levels[kLevel].texels[i], "texel %zu of a level, alone %d: %f, not %f", i, is_alone, got[i],
             levels[kLevel].texels[i]);
    }
    CHECK(cudaDestroyTextureObject(texture));
  }
  CHECK(cudaDestroySurfaceObject(surface));

  // Mistakes.
  cudaTextureDesc desc;
  std::memset(&desc, 0, sizeof(desc));
  cudaTextureObject_t texture = 0;
  CHECK_ERROR(cudaCreateTextureObject(&texture, &resource, &desc, nullptr), cudaErrorInvalidValue);
  desc.normalizedCoords = 1;
  cudaResourceViewDesc view;
  std::memset(&view, 0, sizeof(view));
  view.width = kEdge;
  view.height = kEdge;
  view.lastMipmapLevel = kLevels;
  CHECK_ERROR(cudaCreateTextureObject(&texture, &resource, &desc, &view), cudaErrorInvalidValue);
  (void)cudaGetLastError();
  CHECK(cudaFree(at));
  CHECK(cudaFree(out));
  CHECK(cudaFreeMipmappedArray(array));
  return Passed();
}
