#include "tests/bench/tier_reference.h"

#include <cmath>

namespace accelmesh::reference {

void Saxpy(const float* __restrict x, float* __restrict y, int n, float a) {
  for (int i = 0; i < n; ++i) y[i] = a * x[i] + y[i];
}

float Reduce(const float* x, int n) {
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += x[i];
  return sum;
}

void MatMul(const float* __restrict a, const float* __restrict b, float* __restrict c, int n) {
  for (int i = 0; i < n * n; ++i) c[i] = 0;
  for (int i = 0; i < n; ++i) {
    for (int k = 0; k < n; ++k) {
      for (int j = 0; j < n; ++j) c[i * n + j] += a[i * n + k] * b[k * n + j];
    }
  }
}

void NBody(const float* bodies, float* forces, int n) {
  for (int i = 0; i < n; ++i) {
    float x = 0, y = 0, z = 0;
    for (int j = 0; j < n; ++j) {
      const float dx = bodies[4 * j] - bodies[4 * i];
      const float dy = bodies[4 * j + 1] - bodies[4 * i + 1];
      const float dz = bodies[4 * j + 2] - bodies[4 * i + 2];
      const float inverse = 1.0f / std::sqrt(dx * dx + dy * dy + dz * dz + 0.01f);
      const float s = bodies[4 * j + 3] * inverse * inverse * inverse;
      x += dx * s;
      y += dy * s;
      z += dz * s;
    }
    forces[4 * i] = x;
    forces[4 * i + 1] = y;
    forces[4 * i + 2] = z;
    forces[4 * i + 3] = 0;
  }
}

void Histogram(const std::uint8_t* values, std::uint32_t* bins, int n) {
  for (int i = 0; i < n; ++i) ++bins[values[i]];
}

}  // namespace accelmesh::reference
