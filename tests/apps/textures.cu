// Textures over arrays: every geometry, addressing mode, filter and read mode, against a reference on the processor.
#include <cstring>
#include <vector>

#include <cuda_fp16.h>

#include "check.h"
#include "texture_reference.h"

struct Place {
  float x, y, z;
  int layer;
};
enum class Way { k1D, k2D, k3D, k1DLayered, k2DLayered, kCube, kCubeLayered };

__global__ void Read(cudaTextureObject_t texture, float* out, const Place* places, int count, Way way) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const Place at = places[i];
  switch (way) {
    case Way::k1D: out[i] = tex1D<float>(texture, at.x); break;
    case Way::k2D: out[i] = tex2D<float>(texture, at.x, at.y); break;
    case Way::k3D: out[i] = tex3D<float>(texture, at.x, at.y, at.z); break;
    case Way::k1DLayered: out[i] = tex1DLayered<float>(texture, at.x, at.layer); break;
    case Way::k2DLayered: out[i] = tex2DLayered<float>(texture, at.x, at.y, at.layer); break;
    case Way::kCube: out[i] = texCubemap<float>(texture, at.x, at.y, at.z); break;
    case Way::kCubeLayered: out[i] = texCubemapLayered<float>(texture, at.x, at.y, at.z, at.layer); break;
  }
}
template <typename T>
__global__ void ReadTexels(cudaTextureObject_t texture, T* out, int width, int height) {
  for (int i = threadIdx.x; i < width * height; i += blockDim.x)
    out[i] = tex2D<T>(texture, i % width + 0.5f, i / width + 0.5f);
}
__global__ void GatherTexels(cudaTextureObject_t texture, float4* out, const Place* places, int count) {
  const int i = threadIdx.x;
  if (i >= count) return;
  out[2 * i] = tex2Dgather<float4>(texture, places[i].x, places[i].y, 0);
  out[2 * i + 1] = tex2Dgather<float4>(texture, places[i].x, places[i].y, 1);
}

template <typename T>
static cudaChannelFormatDesc FormatOf() {
  return cudaCreateChannelDesc<T>();
}
template <>
cudaChannelFormatDesc FormatOf<__half>() {
  return cudaCreateChannelDescHalf();
}

// An array with texels, and the object over it.
class Texture {
 public:
  template <typename T>
  Texture(const std::vector<T>& texels, int width, int height, int depth, unsigned flags, const cudaTextureDesc& how) {
    const cudaChannelFormatDesc format = FormatOf<T>();
    CHECK(cudaMalloc3DArray(&array_, &format, make_cudaExtent(width, height, depth), flags));
    cudaMemcpy3DParms copy;
    std::memset(&copy, 0, sizeof(copy));
    copy.srcPtr =
        make_cudaPitchedPtr(const_cast<T*>(texels.data()), width * sizeof(T), width, height == 0 ? 1 : height);
    copy.dstArray = array_;
    copy.extent = make_cudaExtent(width, height == 0 ? 1 : height, depth == 0 ? 1 : depth);
    copy.kind = cudaMemcpyHostToDevice;
    CHECK(cudaMemcpy3D(&copy));
    cudaResourceDesc resource;
    std::memset(&resource, 0, sizeof(resource));
    resource.resType = cudaResourceTypeArray;
    resource.res.array.array = array_;
    CHECK(cudaCreateTextureObject(&object_, &resource, &how, nullptr));
  }
  ~Texture() {
    CHECK(cudaDestroyTextureObject(object_));
    CHECK(cudaFreeArray(array_));
  }
  cudaTextureObject_t object() const { return object_; }
  cudaArray_t array() const { return array_; }

 private:
  cudaArray_t array_ = nullptr;
  cudaTextureObject_t object_ = 0;
};

static cudaTextureDesc Describe(const reference::Sampling& how) {
  cudaTextureDesc desc;
  std::memset(&desc, 0, sizeof(desc));
  for (auto& mode : desc.addressMode) mode = how.mode;
  desc.filterMode = how.linear ? cudaFilterModeLinear : cudaFilterModePoint;
  desc.normalizedCoords = how.normalized;
  desc.borderColor[0] = how.border;
  return desc;
}

static reference::Image Noise(int width, int height, int depth, unsigned seed) {
  reference::Image image{width, height, depth, {}};
  Random random(seed);
  for (int i = 0; i < width * height * depth; ++i)
    image.texels.push_back(static_cast<float>(random.Below(1001)) / 8 - 40);
  return image;
}

static std::vector<float> Fetched(const Texture& texture, const std::vector<Place>& places, Way way) {
  const int count = static_cast<int>(places.size());
  Place* at = nullptr;
  float* out = nullptr;
  CHECK(cudaMalloc(&at, count * sizeof(Place)));
  CHECK(cudaMalloc(&out, count * sizeof(float)));
  CHECK(cudaMemcpy(at, places.data(), count * sizeof(Place), cudaMemcpyHostToDevice));
  Read<<<(count + 127) / 128, 128>>>(texture.object(), out, at, count, way);
  std::vector<float> got(count);
  CHECK(cudaMemcpy(got.data(), out, count * sizeof(float), cudaMemcpyDeviceToHost));
  CHECK(cudaFree(at));
  CHECK(cudaFree(out));
  return got;
}

static void ExpectNear(float got, double expected, const char* what, const Place& at) {
  EXPECT(std::fabs(got - expected) <= 2e-4, "%s at %f %f %f, layer %d: %f, not %f", what, at.x, at.y, at.z, at.layer,
         got, expected);
}

// Places from before the texture to behind it, in parts that a weight holds exactly. Where only one texel counts they
// keep off the border between two.
static std::vector<Place> Places(int count, float reach, const reference::Sampling& how, unsigned seed) {
  std::vector<Place> places;
  Random random(seed);
  const auto one = [&] {
    const float texels = (static_cast<float>(random.Below(4096)) / 4096 * 1.5f - 0.25f) * reach;
    const float rounded = std::floor(texels * 64) / 64 + (how.linear ? 0 : 1.0f / 256);
    return how.normalized ? rounded / reach : rounded;
  };
  for (int i = 0; i < count; ++i) {
    const float x = one();
    const float y = one();
    places.push_back({x, y, one(), static_cast<int>(random.Below(9))});
  }
  return places;
}

static void PlainGeometries() {
  const struct {
    Way way;
    int dimensions;
    reference::Image image;
  } cases[] = {
      {Way::k1D, 1, Noise(64, 1, 1, 1)}, {Way::k2D, 2, Noise(64, 32, 1, 2)}, {Way::k3D, 3, Noise(32, 16, 8, 3)}};
  const reference::Sampling ways[] = {
      {cudaAddressModeClamp, false, false, 0},  {cudaAddressModeClamp, true, false, 0},
      {cudaAddressModeBorder, false, false, 3}, {cudaAddressModeBorder, true, false, 3},
      {cudaAddressModeClamp, true, true, 0},    {cudaAddressModeWrap, false, true, 0},
      {cudaAddressModeWrap, true, true, 0},     {cudaAddressModeMirror, false, true, 0},
      {cudaAddressModeMirror, true, true, 0},   {cudaAddressModeBorder, true, true, -2}};
  for (const auto& one : cases) {
    for (const reference::Sampling& how : ways) {
      const Texture texture(one.image.texels, one.image.width, one.dimensions > 1 ? one.image.height : 0,
                            one.dimensions > 2 ? one.image.depth : 0, 0, Describe(how));
      const std::vector<Place> places = Places(1000, static_cast<float>(one.image.width), how, 5u + one.dimensions);
      const std::vector<float> got = Fetched(texture, places, one.way);
      for (size_t i = 0; i < places.size(); ++i) {
        const double expected = reference::Fetch(one.image, how, one.dimensions, places[i].x, places[i].y, places[i].z);
        ExpectNear(got[i], expected, how.linear ? "a filtered texel" : "a texel", places[i]);
      }
    }
  }
}

// A layer of an image of layers; too high a number means the last.
static reference::Image Layer(const reference::Image& image, int layer) {
  layer = std::min(layer, image.depth - 1);
  const size_t size = static_cast<size_t>(image.width) * image.height;
  return {
      image.width, image.height, 1, {image.texels.begin() + layer * size, image.texels.begin() + (layer + 1) * size}};
}

static void Layers() {
  for (const bool linear : {false, true}) {
    const reference::Sampling how{cudaAddressModeClamp, linear, false, 0};
    const reference::Image lines = Noise(40, 1, 7, 11);
    const Texture one(lines.texels, 40, 0, 7, cudaArrayLayered, Describe(how));
    const std::vector<Place> places = Places(500, 40, how, 12);
    std::vector<float> got = Fetched(one, places, Way::k1DLayered);
    for (size_t i = 0; i < places.size(); ++i)
      ExpectNear(got[i], reference::Fetch(Layer(lines, places[i].layer), how, 1, places[i].x), "of a line", places[i]);
    const reference::Image planes = Noise(40, 24, 5, 13);
    const Texture two(planes.texels, 40, 24, 5, cudaArrayLayered, Describe(how));
    got = Fetched(two, places, Way::k2DLayered);
    for (size_t i = 0; i < places.size(); ++i) {
      ExpectNear(got[i], reference::Fetch(Layer(planes, places[i].layer), how, 2, places[i].x, places[i].y),
                 "of a plane", places[i]);
    }
  }
}

// The face that a direction meets, and where, from the table of the programming guide.
static int Face(const Place& d, double* s, double* t) {
  const double ax = std::fabs(d.x), ay = std::fabs(d.y), az = std::fabs(d.z);
  double m = 0, sc = 0, tc = 0;
  int face = 0;
  if (ax > ay && ax > az) {
    face = d.x >= 0 ? 0 : 1;
    m = ax, sc = d.x >= 0 ? -d.z : d.z, tc = -d.y;
  } else if (ay > az) {
    face = d.y >= 0 ? 2 : 3;
    m = ay, sc = d.x, tc = d.y >= 0 ? d.z : -d.z;
  } else {
    face = d.z >= 0 ? 4 : 5;
    m = az, sc = d.z >= 0 ? d.x : -d.x, tc = -d.y;
  }
  *s = (sc / m + 1) / 2;
  *t = (tc / m + 1) / 2;
  return face;
}

static void Cubes() {
  constexpr int kEdge = 16;
  constexpr int kCubes = 3;
  const reference::Image cubes = Noise(kEdge, kEdge, 6 * kCubes, 21);
  const reference::Sampling how{cudaAddressModeClamp, false, true, 0};
  const std::vector<float> first(cubes.texels.begin(), cubes.texels.begin() + 6 * kEdge * kEdge);
  const Texture one(first, kEdge, kEdge, 6, cudaArrayCubemap, Describe(how));
  const Texture many(cubes.texels, kEdge, kEdge, 6 * kCubes, cudaArrayCubemap | cudaArrayLayered, Describe(how));
  // Directions through the middles of texels of all faces: nothing is near an edge.
  std::vector<Place> places;
  for (int axis = 0; axis < 3; ++axis) {
    for (const float side : {-1.0f, 1.0f}) {
      for (int i = 0; i < kEdge * kEdge; ++i) {
        const float u = (i % kEdge + 0.5f) / kEdge * 2 - 1;
        const float v = (i / kEdge + 0.5f) / kEdge * 2 - 1;
        Place at{u, v, side, i % 4};
        if (axis == 0) at = {side, u, v, i % 4};
        if (axis == 1) at = {u, side, v, i % 4};
        for (float* part : {&at.x, &at.y, &at.z}) *part *= 1 + static_cast<float>(i % 3);
        places.push_back(at);
      }
    }
  }
  const std::vector<float> got_one = Fetched(one, places, Way::kCube);
  const std::vector<float> got_many = Fetched(many, places, Way::kCubeLayered);
  for (size_t i = 0; i < places.size(); ++i) {
    double s = 0;
    double t = 0;
    const int face = Face(places[i], &s, &t);
    const int cube = std::min(places[i].layer, kCubes - 1);
    ExpectNear(got_one[i], reference::Fetch(Layer(cubes, face), how, 2, s, t), "of a cube", places[i]);
    ExpectNear(got_many[i], reference::Fetch(Layer(cubes, 6 * cube + face), how, 2, s, t), "of a layer of cubes",
               places[i]);
  }
}

static void Gathers() {
  constexpr int kWidth = 16;
  constexpr int kHeight = 8;
  std::vector<float2> texels;
  for (int i = 0; i < kWidth * kHeight; ++i) texels.push_back({static_cast<float>(i), static_cast<float>(1000 - i)});
  const reference::Sampling how{cudaAddressModeClamp, false, false, 0};
  const Texture texture(texels, kWidth, kHeight, 0, cudaArrayTextureGather, Describe(how));
  std::vector<Place> places;
  for (int i = 0; i < 64; ++i) places.push_back({i % 8 * 2.25f - 0.125f, i / 8 * 1.125f - 0.25f, 0, 0});
  Place* at = nullptr;
  float4* out = nullptr;
  CHECK(cudaMalloc(&at, sizeof(Place) * 64));
  CHECK(cudaMalloc(&out, sizeof(float4) * 128));
  CHECK(cudaMemcpy(at, places.data(), sizeof(Place) * 64, cudaMemcpyHostToDevice));
  GatherTexels<<<1, 64>>>(texture.object(), out, at, 64);
  std::vector<float4> got(128);
  CHECK(cudaMemcpy(got.data(), out, sizeof(float4) * 128, cudaMemcpyDeviceToHost));
  for (int i = 0; i < 64; ++i) {
    const int x = static_cast<int>(std::floor(places[i].x - 0.5f));
    const int y = static_cast<int>(std::floor(places[i].y - 0.5f));
    const auto texel = [&](int u, int v) {
      return texels[std::min(std::max(v, 0), kHeight - 1) * kWidth + std::min(std::max(u, 0), kWidth - 1)];
    };
    const float2 expected[] = {texel(x, y + 1), texel(x + 1, y + 1), texel(x + 1, y), texel(x, y)};
    const float4 r = got[2 * i];
    const float4 g = got[2 * i + 1];
    EXPECT(r.x == expected[0].x && r.y == expected[1].x && r.z == expected[2].x && r.w == expected[3].x,
           "gathered at %f %f: %f %f %f %f", places[i].x, places[i].y, r.x, r.y, r.z, r.w);
    EXPECT(g.x == expected[0].y && g.w == expected[3].y, "gathered y at %f %f: %f %f", places[i].x, places[i].y, g.x,
           g.w);
  }
  CHECK(cudaFree(at));
  CHECK(cudaFree(out));
}

template <typename T, typename Out, typename Check>
static void Format(const std::vector<T>& texels, int width, int height, const cudaTextureDesc& how, Check check) {
  const Texture texture(texels, width, height, 0, 0, how);
  Out* out = nullptr;
  CHECK(cudaMalloc(&out, texels.size() * sizeof(Out)));
  ReadTexels<Out><<<1, 64>>>(texture.object(), out, width, height);
  std::vector<Out> got(texels.size());
  CHECK(cudaMemcpy(got.data(), out, texels.size() * sizeof(Out), cudaMemcpyDeviceToHost));
  CHECK(cudaFree(out));
  for (size_t i = 0; i < texels.size(); ++i) check(texels[i], got[i]);
}

static void Formats() {
  constexpr int kWidth = 16;
  constexpr int kHeight = 16;
  cudaTextureDesc plain = Describe({});
  cudaTextureDesc normalized = plain;
  normalized.readMode = cudaReadModeNormalizedFloat;
  cudaTextureDesc srgb = normalized;
  srgb.sRGB = 1;
  std::vector<unsigned char> bytes;
  std::vector<short> shorts;
  std::vector<uint4> wide;
  std::vector<uchar4> colors;
  std::vector<__half> halves;
  for (unsigned i = 0; i < kWidth * kHeight; ++i) {
    bytes.push_back(static_cast<unsigned char>(i));
    shorts.push_back(static_cast<short>(i * 257 - 32768));
    wide.push_back({i, ~i, i << 24, 7 * i});
    const auto byte = [i](unsigned factor) { return static_cast<unsigned char>(i * factor); };
    colors.push_back({byte(1), byte(3), byte(5), byte(7)});
    halves.push_back(__float2half(static_cast<float>(i) / 3 - 20));
  }
  Format<unsigned char, unsigned char>(bytes, kWidth, kHeight, plain, [](unsigned char in, unsigned char out) {
    EXPECT(in == out, "a byte %d is %d", in, out);
  });
  Format<unsigned char, float>(bytes, kWidth, kHeight, normalized, [](unsigned char in, float out) {
    EXPECT(std::fabs(out - in / 255.0) < 1e-6, "a byte %d is %f", in, out);
  });
  Format<short, short>(shorts, kWidth, kHeight, plain,
                       [](short in, short out) { EXPECT(in == out, "a short %d is %d", in, out); });
  Format<short, float>(shorts, kWidth, kHeight, normalized, [](short in, float out) {
    EXPECT(std::fabs(out - std::max(in / 32767.0, -1.0)) < 1e-6, "a short %d is %f", in, out);
  });
  Format<uint4, uint4>(wide, kWidth, kHeight, plain, [](uint4 in, uint4 out) {
    EXPECT(in.x == out.x && in.y == out.y && in.z == out.z && in.w == out.w, "%x %x is %x %x", in.x, in.y, out.x,
           out.y);
  });
  Format<uchar4, float4>(colors, kWidth, kHeight, srgb, [](uchar4 in, float4 out) {
    const auto linear = [](int value) {
      const double c = value / 255.0;
      return c <= 0.04045 ? c / 12.92 : std::pow((c + 0.055) / 1.055, 2.4);
    };
    EXPECT(std::fabs(out.x - linear(in.x)) < 2e-3 && std::fabs(out.y - linear(in.y)) < 2e-3 &&
               std::fabs(out.w - in.w / 255.0) < 1e-3,
           "color %d %d %d is %f %f %f", in.x, in.y, in.w, out.x, out.y, out.w);
  });
  Format<__half, float>(halves, kWidth, kHeight, plain, [](__half in, float out) {
    EXPECT(out == __half2float(in), "a half %f is %f", __half2float(in), out);
  });
}

static void Views() {
  std::vector<unsigned> texels(64);
  for (unsigned i = 0; i < 64; ++i) texels[i] = 0x3f800000u + (i << 16);
  cudaArray_t array = nullptr;
  const cudaChannelFormatDesc format = cudaCreateChannelDesc<unsigned>();
  CHECK(cudaMallocArray(&array, &format, 8, 8));
  CHECK(cudaMemcpy2DToArray(array, 0, 0, texels.data(), 32, 32, 8, cudaMemcpyHostToDevice));
  cudaResourceDesc resource;
  std::memset(&resource, 0, sizeof(resource));
  resource.resType = cudaResourceTypeArray;
  resource.res.array.array = array;
  cudaResourceViewDesc view;
  std::memset(&view, 0, sizeof(view));
  view.format = cudaResViewFormatFloat1;
  view.width = 8;
  view.height = 8;
  const cudaTextureDesc plain = Describe({});
  cudaTextureObject_t texture = 0;
  CHECK(cudaCreateTextureObject(&texture, &resource, &plain, &view));
  cudaResourceViewDesc told;
  CHECK(cudaGetTextureObjectResourceViewDesc(&told, texture));
  EXPECT(told.format == cudaResViewFormatFloat1 && told.width == 8, "another view than the one that was given");
  float* out = nullptr;
  CHECK(cudaMalloc(&out, 64 * sizeof(float)));
  ReadTexels<float><<<1, 64>>>(texture, out, 8, 8);
  std::vector<float> got(64);
  CHECK(cudaMemcpy(got.data(), out, 64 * sizeof(float), cudaMemcpyDeviceToHost));
  for (int i = 0; i < 64; ++i) {
    float expected = 0;
    std::memcpy(&expected, &texels[i], sizeof(expected));
    EXPECT(got[i] == expected, "texel %d is %f, not %f", i, got[i], expected);
  }
  CHECK(cudaDestroyTextureObject(texture));
  cudaTextureDesc filtered = plain;
  filtered.filterMode = cudaFilterModeLinear;
  CHECK_ERROR(cudaCreateTextureObject(&texture, &resource, &filtered, nullptr), cudaErrorInvalidFilterSetting);
  view.width = 7;
  CHECK_ERROR(cudaCreateTextureObject(&texture, &resource, &plain, &view), cudaErrorInvalidValue);
  (void)cudaGetLastError();
  CHECK(cudaFree(out));
  CHECK(cudaFreeArray(array));
}

int main() {
  PlainGeometries();
  Layers();
  Cubes();
  Gathers();
  Formats();
  Views();
  return Passed();
}
