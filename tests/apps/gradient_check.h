// Gradients of whole networks against finite differences, for programs that train some: a network has Forward() and
// Loss(), its parameters values and slopes.
#pragma once

#include <cuda_runtime.h>

#include <cmath>
#include <string>

#include "check.h"

// The slope of the loss by one weight, as the network has it and as a little more and a little less of the weight do.
template <typename Network, typename Parameters>
void ExpectSlope(Network& network, Parameters& layer, size_t at, const std::string& what) {
  float before = 0, slope = 0;
  CHECK(cudaMemcpy(&slope, layer.slopes + at, sizeof(slope), cudaMemcpyDeviceToHost));
  CHECK(cudaMemcpy(&before, layer.values + at, sizeof(before), cudaMemcpyDeviceToHost));
  const float step = 2e-3f;
  double losses[2];
  for (int side = 0; side < 2; ++side) {
    const float value = before + (side == 0 ? step : -step);
    CHECK(cudaMemcpy(layer.values + at, &value, sizeof(value), cudaMemcpyHostToDevice));
    network.Forward();
    losses[side] = network.Loss();
  }
  CHECK(cudaMemcpy(layer.values + at, &before, sizeof(before), cudaMemcpyHostToDevice));
  const double measured = (losses[0] - losses[1]) / (2 * static_cast<double>(step));
  EXPECT(std::fabs(measured - slope) <= 2e-3 + 0.05 * std::fabs(measured), "%s: the loss's slope is %g, not %g",
         what.c_str(), static_cast<double>(slope), measured);
}
