// Random numbers of graphs: Philox4x32-10, whose key is the seed and whose counter is the offset plus a quarter of the
// element's number, counted in the order of the indices. cuDNN does not say how its numbers are drawn; these are
// others.
#include <cmath>
#include <numbers>

#include "server/backend/cpu/dnn/graph_operations.h"

namespace accelmesh::cpu_dnn {
namespace {

using Block = std::array<std::uint32_t, 4>;

Block Philox(std::uint64_t seed, std::uint64_t counter) {
  constexpr std::uint64_t kLow32 = 0xffffffff;
  constexpr std::uint64_t kFirst = 0xd2511f53, kSecond = 0xcd9e8d57;
  constexpr std::uint32_t kFirstStep = 0x9e3779b9, kSecondStep = 0xbb67ae85;
  constexpr int kRounds = 10;
  Block block{static_cast<std::uint32_t>(counter & kLow32), static_cast<std::uint32_t>(counter >> 32), 0, 0};
  auto key0 = static_cast<std::uint32_t>(seed & kLow32), key1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t first = kFirst * block[0], second = kSecond * block[2];
    block = {static_cast<std::uint32_t>(second >> 32) ^ block[1] ^ key0, static_cast<std::uint32_t>(second & kLow32),
             static_cast<std::uint32_t>(first >> 32) ^ block[3] ^ key1, static_cast<std::uint32_t>(first & kLow32)};
    key0 += kFirstStep;
    key1 += kSecondStep;
  }
  return block;
}

// From 0 to below 1, in steps that a float has.
double Fraction(std::uint32_t bits) { return static_cast<double>(bits >> 8) * 0x1p-24; }
// Two of four bits' make a pair of Box and Muller's: above 0 for the logarithm.
double Normal(const Block& block, std::size_t lane) {
  const double radius = std::sqrt(-2 * std::log(1 - Fraction(block[lane & 2])));
  const double angle = 2 * std::numbers::pi * Fraction(block[(lane & 2) + 1]);
  return radius * ((lane & 1) == 0 ? std::cos(angle) : std::sin(angle));
}

// A number, or the one of a tensor; 0 if there is none.
template <typename Real>
std::uint64_t WholeOf(GraphRun<Real>& run, const DnnPlanDescriptor& operation, int name) {
  for (const DnnPlanAttribute& attribute : operation.attributes) {
    if (static_cast<int>(attribute.name) != name) continue;
    if (attribute.type != kDnnElementDescriptor) return static_cast<std::uint64_t>(attribute.words[0]);
    const std::vector<i64> numbers = run.Integers(operation, name);
    return numbers.empty() ? 0 : static_cast<std::uint64_t>(numbers[0]);
  }
  return 0;
}

template <typename Real>
void RunRandom(GraphRun<Real>& run, const DnnPlanDescriptor& operation) {
  const DnnPlanDescriptor& random = run.Refers(operation, CUDNN_ATTR_OPERATION_RNG_DESC);
  const std::uint64_t seed = WholeOf(run, operation, CUDNN_ATTR_OPERATION_RNG_SEED),
                      offset = WholeOf(run, operation, CUDNN_ATTR_OPERATION_RNG_OFFSET_DESC);
  const View<Real> y = run.Out(operation, CUDNN_ATTR_OPERATION_RNG_YDESC);
  if (run.context().failed()) return;
  const i64 distribution = NumberOf(random, CUDNN_ATTR_RNG_DISTRIBUTION, CUDNN_RNG_DISTRIBUTION_BERNOULLI);
  const auto real = [&](int name, double otherwise) { return RealOf(random.Find(name), otherwise); };
  const double low = real(CUDNN_ATTR_RNG_UNIFORM_DIST_MINIMUM, 0), high = real(CUDNN_ATTR_RNG_UNIFORM_DIST_MAXIMUM, 1),
               mean = real(CUDNN_ATTR_RNG_NORMAL_DIST_MEAN, 0),
               deviation = real(CUDNN_ATTR_RNG_NORMAL_DIST_STANDARD_DEVIATION, 1),
               probability = real(CUDNN_ATTR_RNG_BERNOULLI_DIST_PROBABILITY, 0.5);
  std::uint64_t element = 0;
  Block block{};
  Walk<1>(y.shape, {y.shape.strides}, [&](const Offsets<1>& at) {
    const std::size_t lane = element % block.size();
    if (lane == 0) block = Philox(seed, offset + element / block.size());
    ++element;
    double value = 0;
    switch (distribution) {
      case CUDNN_RNG_DISTRIBUTION_BERNOULLI: value = Fraction(block[lane]) < probability ? 1 : 0; break;
      case CUDNN_RNG_DISTRIBUTION_UNIFORM: value = low + (high - low) * Fraction(block[lane]); break;
      default: value = mean + deviation * Normal(block, lane); break;
    }
    y.data[at[0]] = static_cast<Real>(value);
  });
  run.Commit(operation, CUDNN_ATTR_OPERATION_RNG_YDESC, y);
}

const char* CheckRandom(const Graph& graph, const DnnPlanDescriptor& operation) {
  const DnnPlanDescriptor& random = Refers(graph, operation, CUDNN_ATTR_OPERATION_RNG_DESC);
  const i64 distribution = NumberOf(random, CUDNN_ATTR_RNG_DISTRIBUTION, CUDNN_RNG_DISTRIBUTION_BERNOULLI);
  if (distribution < CUDNN_RNG_DISTRIBUTION_BERNOULLI || distribution > CUDNN_RNG_DISTRIBUTION_NORMAL)
    return "random numbers of no distribution";
  const double probability = RealOf(random.Find(CUDNN_ATTR_RNG_BERNOULLI_DIST_PROBABILITY), 0.5);
  if (!(probability >= 0 && probability <= 1)) return "random numbers of no probability";
  for (const int name : {CUDNN_ATTR_OPERATION_RNG_SEED, CUDNN_ATTR_OPERATION_RNG_OFFSET_DESC}) {
    const GraphTensor* const tensor = TensorOf(graph, operation, name);
    const bool is_number = name == CUDNN_ATTR_OPERATION_RNG_SEED && tensor == nullptr;
    if (Has(operation, name) && !is_number &&
        (!IsIntegerType(tensor->tensor.type) || Elements(GraphRun<float>::ShapeOf(tensor->tensor)) != 1))
      return "a seed or an offset that is not one integer";
  }
  return nullptr;
}

}  // namespace

void AddRandom(std::vector<OperationRow>* rows) {
  rows->push_back({.type = CUDNN_BACKEND_OPERATION_RNG_DESCRIPTOR,
                   .description_name = CUDNN_ATTR_OPERATION_RNG_DESC,
                   .description_type = CUDNN_BACKEND_RNG_DESCRIPTOR,
                   .required = {},
                   .optional = {CUDNN_ATTR_OPERATION_RNG_SEED, CUDNN_ATTR_OPERATION_RNG_OFFSET_DESC},
                   .made = {CUDNN_ATTR_OPERATION_RNG_YDESC},
                   .numbers = {CUDNN_ATTR_OPERATION_RNG_SEED},
                   .places = {CUDNN_ATTR_OPERATION_RNG_SEED, CUDNN_ATTR_OPERATION_RNG_OFFSET_DESC},
                   .check = &CheckRandom,
                   .run_float = &RunRandom<float>,
                   .run_double = &RunRandom<double>});
}

}  // namespace accelmesh::cpu_dnn
