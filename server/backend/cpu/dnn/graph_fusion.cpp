#include "server/backend/cpu/dnn/graph_fusion.h"

#include <cmath>

namespace accelmesh::cpu_dnn {
namespace {

constexpr int kX = CUDNN_ATTR_OPERATION_POINTWISE_XDESC, kB = CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
              kY = CUDNN_ATTR_OPERATION_POINTWISE_YDESC;

// How an activation is named where it is computed with a convolution; false if it cannot be.
bool ActivationOf(const DnnPlanDescriptor& pointwise, Chain* chain) {
  const auto real = [&pointwise](int name, double otherwise) { return RealOf(pointwise.Find(name), otherwise); };
  const auto is = [chain](Activation activation, double alpha = 0) {
    chain->following.activation = activation;
    chain->following.alpha = static_cast<float>(alpha);
    return true;
  };
  switch (NumberOf(pointwise, CUDNN_ATTR_POINTWISE_MODE, -1)) {
    case CUDNN_POINTWISE_RELU_FWD: {
      const double high = real(CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, HUGE_VAL);
      chain->slope = static_cast<float>(real(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, 0));
      chain->is_relu = real(CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, 0) == 0 && std::isinf(high) && high > 0;
      return chain->is_relu;
    }
    case CUDNN_POINTWISE_TANH_FWD: return is(Activation::kTanh);
    case CUDNN_POINTWISE_SIGMOID_FWD: return is(Activation::kLogistic);
    case CUDNN_POINTWISE_ELU_FWD: return is(Activation::kElu, real(CUDNN_ATTR_POINTWISE_ELU_ALPHA, 1));
    case CUDNN_POINTWISE_GELU_FWD: return is(Activation::kGelu);
    case CUDNN_POINTWISE_GELU_APPROX_TANH_FWD: return is(Activation::kGeluTanh);
    case CUDNN_POINTWISE_SWISH_FWD: return is(Activation::kSwish, real(CUDNN_ATTR_POINTWISE_SWISH_BETA, 1));
    default: return false;
  }
}

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph) {
    for (const i64 place : graph.order) {
      const DnnPlanDescriptor& operation = At(place);
      const OperationRow& row = *FindOperation(operation.type);
      for (const DnnPlanAttribute& attribute : operation.attributes) {
        const int name = static_cast<int>(attribute.name);
        if (attribute.type != kDnnElementDescriptor || name == row.description_name) continue;
        if (IsMade(row, operation, name)) continue;
        for (const i64 tensor : attribute.words) readers_.emplace(graph.tensors.at(tensor).uid, place);
      }
    }
  }

  Fusion Find() {
    for (const i64 place : graph_.order) {
      const DnnPlanDescriptor& operation = At(place);
      if (operation.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR) {
        if (RealOf(operation.Find(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA), 1) == 1)
          Follow(place, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y);
      } else if (operation.type == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR && IsBroadcast(operation)) {
        Follow(place, CUDNN_ATTR_OPERATION_MATMUL_CDESC);
      }
    }
    return std::move(fusion_);
  }

 private:
  const DnnPlanDescriptor& At(i64 place) const { return graph_.plan.descriptors[static_cast<std::size_t>(place)]; }

  // Whether oneDNN takes the matrices as they are given: several heads may not share one.
  bool IsBroadcast(const DnnPlanDescriptor& operation) const {
    const auto tensor = [&](int name) -> const DnnTensor& { return TensorOf(graph_, operation, name)->tensor; };
    const DnnTensor& c = tensor(CUDNN_ATTR_OPERATION_MATMUL_CDESC);
    for (const int name : {CUDNN_ATTR_OPERATION_MATMUL_ADESC, CUDNN_ATTR_OPERATION_MATMUL_BDESC}) {
      const DnnTensor& of = tensor(name);
      if (of.rank != c.rank || c.rank < 2) return false;
      for (std::size_t d = 0; d + 2 < static_cast<std::size_t>(c.rank); ++d) {
        if (of.dims[d] != 1 && of.dims[d] != c.dims[d]) return false;
      }
    }
    return true;
  }

  // The only operation that reads what is made, which nobody else sees; -1 if there is none.
  i64 ReaderOf(const GraphTensor& made) const {
    return made.is_virtual && IsWideFloat(made.tensor.type) && readers_.count(made.uid) == 1
               ? readers_.find(made.uid)->second
               : -1;
  }

  void Follow(i64 first, int result) {
    Chain chain;
    chain.first = first;
    const GraphTensor* made = TensorOf(graph_, At(first), result);
    std::vector<i64> steps = {first};
    while (chain.following.activation == Activation::kNone && !chain.is_relu) {
      const i64 next = ReaderOf(*made);
      if (next < 0 || !Take(At(next), *made, &chain)) break;
      steps.push_back(next);
      made = TensorOf(graph_, At(next), kY);
    }
    if (steps.size() < 2) return;
    fusion_.chains.emplace(steps.back(), chain);
    fusion_.covered.insert(steps.begin(), steps.end() - 1);
  }

  // Whether a pointwise operation is one step more.
  bool Take(const DnnPlanDescriptor& operation, const GraphTensor& made, Chain* chain) const {
    if (operation.type != CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) return false;
    const GraphTensor *const x = TensorOf(graph_, operation, kX), *const y = TensorOf(graph_, operation, kY),
                             *const b = TensorOf(graph_, operation, kB);
    if (x == nullptr || y == nullptr || x->uid != made.uid || y->tensor.rank != made.tensor.rank ||
        y->tensor.dims != made.tensor.dims || RealOf(operation.Find(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1), 1) != 1 ||
        RealOf(operation.Find(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2), 1) != 1)
      return false;
    const DnnPlanDescriptor& pointwise = Refers(graph_, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    if (NumberOf(pointwise, CUDNN_ATTR_POINTWISE_MODE, -1) != CUDNN_POINTWISE_ADD)
      return ActivationOf(pointwise, chain);
    if (b == nullptr || b->uid == made.uid || b->tensor.rank != made.tensor.rank) return false;
    const i64 place = operation.Find(kB)[0];
    const bool is_product = At(chain->first).type == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR;
    auto channels = made.tensor.dims;
    for (int d = 0; d < made.tensor.rank; ++d) {
      if (d != (is_product ? made.tensor.rank - 1 : 1)) channels[static_cast<std::size_t>(d)] = 1;
    }
    if (b->tensor.dims == channels && chain->bias < 0) {
      chain->bias = place;
      return true;
    }
    if (b->tensor.dims != made.tensor.dims || chain->added >= 0) return false;
    chain->added = place;
    chain->following.adds = true;
    return true;
  }

  const Graph& graph_;
  std::multimap<i64, i64> readers_;  // operations by the unique ids of what they read
  Fusion fusion_;
};

}  // namespace

Fusion FindFusion(const Graph& graph) { return Finder(graph).Find(); }

void RunChain(GraphRun<float>& run, const Chain& chain, const DnnPlanDescriptor& last) {
  Context& context = run.context();
  const bool is_product = run.At(chain.first).type == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR;
  View<float> y = run.Out(last, kY);
  if (is_product) y.shape = Rows(y.shape);
  std::vector<float> bias;
  Following following = chain.following;
  if (chain.bias >= 0) {
    const View<float> given = run.Read(chain.bias);
    if (context.failed()) return;
    Walk<1>(given.shape, {given.shape.strides}, [&](const Offsets<1>& at) { bias.push_back(given.data[at[0]]); });
    following.bias = bias.data();
  }
  if (chain.added >= 0) {
    const View<float> added = run.Read(chain.added);
    if (context.failed()) return;
    Walk<2>(y.shape, {added.shape.strides, y.shape.strides},
            [&](const Offsets<2>& at) { y.data[at[1]] = added.data[at[0]]; });
  }
  if (is_product) {
    MultiplyMatrices(run, run.At(chain.first), y, following);
  } else {
    ConvolveForward(run, run.At(chain.first), y, following);
  }
  if (context.failed()) return;
  if (chain.is_relu) {
    for (float *at = y.data, *const end = at + Elements(y.shape); at != end; ++at)
      *at = *at < 0 ? chain.slope * *at : *at;
  }
  run.Commit(last, kY, y);
}

}  // namespace accelmesh::cpu_dnn
