// An operation graph that runs: its tensors as arrays of what is computed with, node by node.
//
// Errors: the context's. Threads: one call's.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <vector>

#include "protocol/library/dnn_graph.h"
#include "server/backend/cpu/dnn/context.h"

namespace accelmesh::cpu_dnn {

struct GraphTensor {
  i64 uid = 0;
  bool is_virtual = false;
  bool is_value = false;
  DnnTensor tensor;
};

// A plan whose descriptors have been checked as far as one can without memory.
struct Graph {
  DnnPlan plan;
  std::map<i64, GraphTensor> tensors;  // by place
  std::vector<i64> order;              // operations, each behind those that it reads from
  bool is_double = false;
};
// Null, or why not: for people.
const char* ReadGraph(std::span<const i64> words, Graph* graph);

// The same dimensions without gaps, the last one innermost.
inline Shape Rows(Shape shape) {
  i64 stride = 1;
  for (int d = shape.rank - 1; d >= 0; --d) {
    shape.strides[d] = stride;
    stride *= shape.dims[d];
  }
  return shape;
}
inline double RealOf(std::span<const i64> words, double otherwise) {
  return words.empty() ? otherwise : std::bit_cast<double>(words[0]);
}

template <typename Real>
class GraphRun {
 public:
  GraphRun(Context& context, const Graph& graph, const std::map<i64, std::uint64_t>& bindings)
      : context_(context), graph_(graph), bindings_(bindings) {}
  Context& context() { return context_; }
  const DnnPlanDescriptor& At(i64 place) const { return graph_.plan.descriptors[static_cast<std::size_t>(place)]; }
  // The descriptor that an attribute of an operation refers to.
  const DnnPlanDescriptor& Refers(const DnnPlanDescriptor& operation, int name) const {
    return At(operation.Find(name)[0]);
  }
  bool Has(const DnnPlanDescriptor& operation, int name) const { return !operation.Find(name).empty(); }

  View<Real> In(const DnnPlanDescriptor& operation, int name) { return Read(operation.Find(name)[0]); }
  // The first element; 0 if it may not be read.
  double First(const DnnPlanDescriptor& operation, int name) {
    const View<Real> view = In(operation, name);
    return view.data == nullptr ? 0 : static_cast<double>(view.data[0]);
  }
  View<Real> Read(i64 place) {
    const GraphTensor& tensor = graph_.tensors.at(place);
    if (const auto known = values_.find(tensor.uid); known != values_.end()) return known->second;
    if (tensor.is_virtual) {
      context_.Fail(kInvalidValue, "a virtual tensor that nothing makes");
      return {};
    }
    const std::uint64_t word = bindings_.at(tensor.uid);
    if (tensor.is_value) {
      const View<Real> view = context_.Scratch<Real>(ShapeOf(tensor.tensor));
      std::fill_n(view.data, Elements(view.shape), ValueOf(tensor.tensor.type, word));
      return view;
    }
    if (tensor.tensor.type != CUDNN_DATA_INT32 && tensor.tensor.type != CUDNN_DATA_INT64)
      return context_.In<Real>({tensor.tensor, word});
    const Stored stored = FindIntegers(tensor.tensor, word);
    if (stored.memory == nullptr) return {};
    const View<Real> view = context_.Scratch<Real>(stored.shape);
    VisitIntegers(stored, [&](auto* from) {
      Walk<2>(stored.shape, {stored.shape.strides, view.shape.strides},
              [&](const Offsets<2>& at) { view.data[at[1]] = static_cast<Real>(from[at[0]]); });
    });
    return view;
  }

  // To write, and then to Commit().
  View<Real> Out(const DnnPlanDescriptor& operation, int name) {
    const i64 place = operation.Find(name)[0];
    return context_.Scratch<Real>(ShapeOf(graph_.tensors.at(place).tensor));
  }
  void Commit(const DnnPlanDescriptor& operation, int name, const View<Real>& value, DnnBlend blend = {}) {
    const GraphTensor& tensor = graph_.tensors.at(operation.Find(name)[0]);
    if (!tensor.is_virtual) {
      if (tensor.is_value) return context_.Fail(kInvalidValue, "a result that is by value");
      const std::uint64_t address = bindings_.at(tensor.uid);
      if (tensor.tensor.type == CUDNN_DATA_INT32 || tensor.tensor.type == CUDNN_DATA_INT64) {
        const Stored stored = FindIntegers(tensor.tensor, address);
        if (stored.memory == nullptr) return;
        VisitIntegers(stored, [&](auto* to) {
          Walk<2>(stored.shape, {stored.shape.strides, value.shape.strides}, [&](const Offsets<2>& at) {
            // What does not fit is undefined to cast.
            constexpr double kMost = 9.2e18;
            const double old = blend.beta == 0 ? 0 : blend.beta * static_cast<double>(to[at[0]]);
            const double real = std::clamp(blend.alpha * static_cast<double>(value.data[at[1]]) + old, -kMost, kMost);
            to[at[0]] =
                static_cast<std::remove_reference_t<decltype(*to)>>(std::isnan(real) ? 0 : static_cast<i64>(real));
          });
        });
      } else {
        const Output<Real> output(context_, DnnOperand{tensor.tensor, address}, blend);
        if (context_.failed()) return;
        Walk<2>(value.shape, {value.shape.strides, output.view().shape.strides},
                [&](const Offsets<2>& at) { output.view().data[at[1]] = value.data[at[0]]; });
        output.Finish();
      }
    }
    if (blend.alpha == 1 && blend.beta == 0) {
      values_[tensor.uid] = value;
    } else if (tensor.is_virtual) {
      for (i64 i = 0; i < Elements(value.shape); ++i) value.data[i] *= static_cast<Real>(blend.alpha);
      values_[tensor.uid] = value;
    } else {
      values_.erase(tensor.uid);  // to be read from memory
    }
  }

  static Shape ShapeOf(const DnnTensor& tensor) {
    Shape shape;
    shape.rank = tensor.rank;
    for (int d = 0; d < tensor.rank; ++d) {
      shape.dims[d] = tensor.dims[d];
      shape.strides[d] = tensor.strides[d];
    }
    return shape;
  }

 private:
  static Real ValueOf(int type, std::uint64_t word) {
    switch (type) {
      case CUDNN_DATA_DOUBLE: return static_cast<Real>(std::bit_cast<double>(word));
      case CUDNN_DATA_INT64: return static_cast<Real>(static_cast<i64>(word));
      case CUDNN_DATA_INT32: return static_cast<Real>(static_cast<std::int32_t>(word));
      case CUDNN_DATA_HALF: return static_cast<Real>(ToReal(std::bit_cast<Half>(static_cast<std::uint16_t>(word))));
      case CUDNN_DATA_BFLOAT16:
        return static_cast<Real>(ToReal(std::bit_cast<Bfloat16>(static_cast<std::uint16_t>(word))));
      default: return static_cast<Real>(std::bit_cast<float>(static_cast<std::uint32_t>(word)));
    }
  }
  // They lie as floats of their width do.
  Stored FindIntegers(DnnTensor tensor, std::uint64_t address) {
    const int type = tensor.type;
    tensor.type = type == CUDNN_DATA_INT64 ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT;
    Stored stored = context_.Find({tensor, address});
    stored.type = type;
    return stored;
  }
  template <typename Visitor>
  static void VisitIntegers(const Stored& stored, Visitor visit) {
    if (stored.type == CUDNN_DATA_INT64) {
      visit(static_cast<i64*>(stored.memory));
    } else {
      visit(static_cast<std::int32_t*>(stored.memory));
    }
  }

  Context& context_;
  const Graph& graph_;
  const std::map<i64, std::uint64_t>& bindings_;
  std::map<i64, View<Real>> values_;  // by unique id
};

// Null, or why an operation cannot run: looked at before any does.
const char* WhyNotPointwise(const Graph& graph, const DnnPlanDescriptor& operation);

template <typename Real>
void RunPointwise(GraphRun<Real>& run, const DnnPlanDescriptor& operation);
template <typename Real>
void RunGraphConvolution(GraphRun<Real>& run, const DnnPlanDescriptor& operation);
template <typename Real>
void RunMatmul(GraphRun<Real>& run, const DnnPlanDescriptor& operation);
template <typename Real>
void RunGraphReduction(GraphRun<Real>& run, const DnnPlanDescriptor& operation);
template <typename Real>
void RunNormForward(GraphRun<Real>& run, const DnnPlanDescriptor& operation);
template <typename Real>
void RunNormBackward(GraphRun<Real>& run, const DnnPlanDescriptor& operation);

}  // namespace accelmesh::cpu_dnn
