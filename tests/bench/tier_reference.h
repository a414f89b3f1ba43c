// What tier_bench compares with: the same in plain C++, compiled for this processor.
#pragma once

#include <cstdint>

namespace accelmesh::reference {

void Saxpy(const float* x, float* y, int n, float a);
float Reduce(const float* x, int n);
void MatMul(const float* a, const float* b, float* c, int n);
// Of four floats each: place and mass; force.
void NBody(const float* bodies, float* forces, int n);
void Histogram(const std::uint8_t* values, std::uint32_t* bins, int n);

}  // namespace accelmesh::reference
