#include "server/backend/cpu/dnn/product_onednn.h"

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "server/backend/cpu/dnn/following.h"

namespace accelmesh::cpu_dnn {
namespace {

using dnnl::memory;
constexpr std::size_t kPlansMax = 1024;

// Run from any thread: with scratch memory of the caller's it has no state.
struct Plan {
  dnnl::matmul primitive;
  memory::desc a, b, c, bias, scratch;
};

memory::desc Describe(const Shape& shape) {
  return memory::desc(memory::dims(shape.dims.begin(), shape.dims.begin() + shape.rank), memory::data_type::f32,
                      memory::dims(shape.strides.begin(), shape.strides.begin() + shape.rank));
}
memory::desc DescribeBias(const Shape& c) {
  memory::dims dims(static_cast<std::size_t>(c.rank), 1), strides(dims.size(), 1);
  dims.back() = c.dims[static_cast<std::size_t>(c.rank - 1)];
  for (std::size_t d = 0; d + 1 < dims.size(); ++d) strides[d] = dims.back();
  return memory::desc(dims, memory::data_type::f32, strides);
}

std::shared_ptr<const Plan> FindPlan(const Shape& a, const Shape& b, const Shape& c, const Following& following) {
  static auto* const mutex = new std::mutex;
  static auto* const plans = new std::map<std::vector<double>, std::shared_ptr<const Plan>>;
  // Dimensions are exact in a double, and say what the strides are.
  std::vector<double> key{static_cast<double>(c.rank), following.bias != nullptr ? 1.0 : 0.0,
                          following.adds ? 1.0 : 0.0, static_cast<double>(following.activation),
                          static_cast<double>(following.alpha)};
  for (const Shape* const shape : {&a, &b, &c}) {
    for (int d = 0; d < shape->rank; ++d) key.push_back(static_cast<double>(shape->dims[static_cast<std::size_t>(d)]));
  }
  {
    const std::lock_guard lock(*mutex);
    if (const auto found = plans->find(key); found != plans->end()) return found->second;
  }
  auto plan = std::make_shared<Plan>();
  plan->a = Describe(a);
  plan->b = Describe(b);
  plan->c = Describe(c);
  plan->bias = DescribeBias(c);
  const dnnl::matmul::desc product = following.bias == nullptr
                                         ? dnnl::matmul::desc(plan->a, plan->b, plan->c)
                                         : dnnl::matmul::desc(plan->a, plan->b, plan->bias, plan->c);
  const dnnl::matmul::primitive_desc described(product, AttributesOf(following), Engine());
  plan->primitive = dnnl::matmul(described);
  plan->scratch = described.scratchpad_desc();
  const std::lock_guard lock(*mutex);
  if (plans->size() >= kPlansMax) plans->clear();
  return plans->try_emplace(std::move(key), std::move(plan)).first->second;
}

}  // namespace

void MultiplyByOneDnn(const View<float>& a, const View<float>& b, const View<float>& c, const Following& following) {
  const std::shared_ptr<const Plan> plan = FindPlan(a.shape, b.shape, c.shape, following);
  std::unordered_map<int, memory> arguments = {{DNNL_ARG_SRC, memory(plan->a, Engine(), a.data)},
                                               {DNNL_ARG_WEIGHTS, memory(plan->b, Engine(), b.data)},
                                               {DNNL_ARG_DST, memory(plan->c, Engine(), c.data)},
                                               {DNNL_ARG_SCRATCHPAD, memory(plan->scratch, Engine())}};
  if (following.bias != nullptr)
    arguments.emplace(DNNL_ARG_BIAS, memory(plan->bias, Engine(), const_cast<float*>(following.bias)));
  plan->primitive.execute(Stream(), arguments);
  Stream().wait();
}

}  // namespace accelmesh::cpu_dnn
