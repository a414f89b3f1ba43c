// Which functions there are, by their numbers on the wire.
#pragma once

#include <array>

#include "server/backend/cpu/dnn/context.h"

namespace accelmesh::cpu_dnn {

using Function = void (*)(Context& context);
inline constexpr std::size_t kFunctionsMax = 64;
using Table = std::array<Function, kFunctionsMax>;

void AddConvolutions(Table& table);
void AddActivations(Table& table);
void AddElementWise(Table& table);
void AddReductions(Table& table);
void AddPooling(Table& table);
void AddSoftmax(Table& table);
void AddBatchNorm(Table& table);
void AddDropout(Table& table);
void AddRecurrent(Table& table);
void AddLrn(Table& table);
void AddSpatial(Table& table);
void AddCtc(Table& table);
void AddNormalization(Table& table);
void AddTensorTransform(Table& table);
void AddGraphs(Table& table);
void AddAttention(Table& table);

// A function of these words that computes with `Real`, whatever the type of its tensor `deciding`.
template <typename Words, typename Compute>
void Run(Context& context, const DnnTensor& deciding, const Words& words, Compute compute) {
  if (context.IsDouble(deciding)) {
    compute(context, words, double{});
  } else {
    compute(context, words, float{});
  }
}

}  // namespace accelmesh::cpu_dnn
