// What a texture gives, in plain C++ by the formulas of the CUDA programming guide ("Texture Fetching"): for the
// programs here that compare with it. Values of one channel; coordinates and fractions in double, weights rounded to 8
// bits as the guide says.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace reference {

struct Image {
  int width = 1, height = 1, depth = 1;
  std::vector<float> texels;
  float at(int x, int y = 0, int z = 0) const { return texels[(static_cast<size_t>(z) * height + y) * width + x]; }
};

struct Sampling {
  cudaTextureAddressMode mode = cudaAddressModeClamp;
  bool linear = false;
  bool normalized = false;
  float border = 0;
};

// Where x goes when it is outside of [0, 1).
inline double Repeated(double x, cudaTextureAddressMode mode) {
  const double whole = std::floor(x);
  if (mode == cudaAddressModeWrap) return x - whole;
  if (mode == cudaAddressModeMirror) return static_cast<long>(whole) % 2 == 0 ? x - whole : 1 - (x - whole);
  return x;
}

// A texel's number, or -1 for the border.
inline int Inside(int i, int n, cudaTextureAddressMode mode) {
  if (i >= 0 && i < n) return i;
  switch (mode) {
    case cudaAddressModeBorder: return -1;
    case cudaAddressModeWrap: return i < 0 ? i + n : i - n;
    default: return i < 0 ? 0 : n - 1;  // a mirror shows the last texel again
  }
}

inline double Texel(const Image& image, const Sampling& how, int x, int y, int z, int dimensions) {
  int at[3] = {x, y, z};
  const int extent[3] = {image.width, image.height, image.depth};
  for (int d = 0; d < dimensions; ++d) {
    at[d] = Inside(at[d], extent[d], how.mode);
    if (at[d] < 0) return how.border;
  }
  return image.at(at[0], at[1], at[2]);
}

inline double Fetch(const Image& image, const Sampling& how, int dimensions, double x, double y = 0, double z = 0) {
  double at[3] = {x, y, z};
  const int extent[3] = {image.width, image.height, image.depth};
  int first[3] = {0, 0, 0};
  double weight[3] = {0, 0, 0};
  for (int d = 0; d < dimensions; ++d) {
    if (how.normalized) at[d] = Repeated(at[d], how.mode) * extent[d];
    if (!how.linear) {
      first[d] = static_cast<int>(std::floor(at[d]));
      if (how.mode == cudaAddressModeMirror) first[d] = std::min(first[d], extent[d] - 1);
      continue;
    }
    const double shifted = at[d] - 0.5;
    first[d] = static_cast<int>(std::floor(shifted));
    weight[d] = std::round((shifted - first[d]) * 256) / 256;
  }
  if (!how.linear) return Texel(image, how, first[0], first[1], first[2], dimensions);
  double sum = 0;
  for (int k = 0; k < (dimensions > 2 ? 2 : 1); ++k) {
    for (int j = 0; j < (dimensions > 1 ? 2 : 1); ++j) {
      for (int i = 0; i < 2; ++i) {
        const double share = (i != 0 ? weight[0] : 1 - weight[0]) * (j != 0 ? weight[1] : 1 - weight[1]) *
                             (k != 0 ? weight[2] : 1 - weight[2]);
        if (share != 0) sum += share * Texel(image, how, first[0] + i, first[1] + j, first[2] + k, dimensions);
      }
    }
  }
  return sum;
}

}  // namespace reference
