// An operation graph that runs: its tensors as arrays of what is computed with, node by node.
//
// Errors: the context's. Threads: one call's.
#pragma once

#include <algorithm>
#include <bit>
#include <map>
#include <vector>

#include "protocol/library/dnn_graph.h"
#include "server/backend/cpu/dnn/graph_elements.h"

namespace accelmesh::cpu_dnn {

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
      std::fill_n(view.data, Elements(view.shape), static_cast<Real>(ValueOf(tensor.tensor.type, word)));
      return view;
    }
    if (IsWideFloat(tensor.tensor.type)) return context_.In<Real>({tensor.tensor, word});
    return LoadElements<Real>(context_, tensor, word);
  }
  // Of a tensor that is not computed with (OperationRow::places): its numbers in the order of their indices.
  std::vector<i64> Integers(const DnnPlanDescriptor& operation, int name) {
    const GraphTensor& tensor = TensorAt(operation, name);
    if (!tensor.is_virtual) return LoadIntegers(context_, tensor, bindings_.at(tensor.uid));
    std::vector<i64> numbers;
    const View<Real> view = In(operation, name);
    if (view.data == nullptr) return numbers;
    Walk<1>(view.shape, {view.shape.strides}, [&](const Offsets<1>& at) {
      numbers.push_back(static_cast<i64>(std::clamp<double>(static_cast<double>(view.data[at[0]]), -1, 1e15)));
    });
    return numbers;
  }
  const GraphTensor& TensorAt(const DnnPlanDescriptor& operation, int name) const {
    return graph_.tensors.at(operation.Find(name)[0]);
  }

  // To write, and then to Commit().
  View<Real> Out(const DnnPlanDescriptor& operation, int name) {
    const i64 place = operation.Find(name)[0];
    return context_.Scratch<Real>(ShapeOf(graph_.tensors.at(place).tensor));
  }
  void Commit(const DnnPlanDescriptor& operation, int name, const View<Real>& value, DnnBlend blend = {}) {
    const GraphTensor& tensor = TensorAt(operation, name);
    if (!tensor.is_virtual) {
      if (tensor.is_value) return context_.Fail(kInvalidValue, "a result that is by value");
      Store(tensor, value, blend);
    }
    // What is no number of the tensor's type is none to whoever reads it.
    const bool is_narrow = !IsWideFloat(tensor.tensor.type);
    if (tensor.is_virtual && (is_narrow || blend.alpha != 1)) {
      for (i64 i = 0; i < Elements(value.shape); ++i) {
        const double real = blend.alpha * static_cast<double>(value.data[i]);
        value.data[i] = static_cast<Real>(is_narrow ? RoundTo(tensor.tensor.type, real) : real);
      }
    }
    if (tensor.is_virtual || (blend.alpha == 1 && blend.beta == 0 && !is_narrow)) {
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
  void Store(const GraphTensor& tensor, const View<Real>& value, DnnBlend blend) {
    const std::uint64_t address = bindings_.at(tensor.uid);
    if (!IsWideFloat(tensor.tensor.type)) return StoreElements(context_, tensor, address, value, blend);
    const Output<Real> output(context_, DnnOperand{tensor.tensor, address}, blend);
    if (context_.failed()) return;
    Walk<2>(value.shape, {value.shape.strides, output.view().shape.strides},
            [&](const Offsets<2>& at) { output.view().data[at[1]] = value.data[at[0]]; });
    output.Finish();
  }

  Context& context_;
  const Graph& graph_;
  const std::map<i64, std::uint64_t>& bindings_;
  std::map<i64, View<Real>> values_;  // by unique id
};

}  // namespace accelmesh::cpu_dnn
