// The graph API of cuDNN as its frontend calls it, for the programs that do: descriptors that free themselves, tensors
// with what the host has of them, plans by the first configuration that heuristics name.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "cudnn_check.h"

using Numbers = std::vector<double>;
using Ints = std::vector<int64_t>;

// Attributes that the header calls deprecated.
constexpr auto kGraphHandle = static_cast<cudnnBackendAttributeName_t>(800);
constexpr auto kPlanHandle = static_cast<cudnnBackendAttributeName_t>(400);

// A backend descriptor that frees itself.
class Backend {
 public:
  explicit Backend(cudnnBackendDescriptorType_t type) { CHECK_DNN(cudnnBackendCreateDescriptor(type, &descriptor_)); }
  ~Backend() { cudnnBackendDestroyDescriptor(descriptor_); }
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  cudnnBackendDescriptor_t get() const { return descriptor_; }

  template <typename T>
  Backend& Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, const T& value) {
    CHECK_DNN(cudnnBackendSetAttribute(descriptor_, name, type, 1, &value));
    return *this;
  }
  Backend& SetInts(cudnnBackendAttributeName_t name, const Ints& values) {
    CHECK_DNN(cudnnBackendSetAttribute(descriptor_, name, CUDNN_TYPE_INT64, static_cast<int64_t>(values.size()),
                                       values.data()));
    return *this;
  }
  Backend& Refer(cudnnBackendAttributeName_t name, const Backend& other) {
    return Set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, other.descriptor_);
  }
  Backend& Finalize() {
    CHECK_DNN(cudnnBackendFinalize(descriptor_));
    return *this;
  }

 private:
  cudnnBackendDescriptor_t descriptor_ = nullptr;
};

inline Ints PackedStrides(const Ints& dims) {
  Ints strides(dims.size());
  int64_t stride = 1;
  for (size_t d = dims.size(); d-- > 0;) {
    strides[d] = stride;
    stride *= dims[d];
  }
  return strides;
}

// A tensor without gaps, virtual, by value, or with memory and what the host has of it: floats, halves, or integers of
// eight or 32 bits. Elements are counted in the order of memory.
class GraphTensor {
 public:
  enum class Kind { kMemory, kVirtual, kValue };
  GraphTensor(int64_t uid, const Ints& dims, bool is_virtual = false)
      : GraphTensor(uid, dims, PackedStrides(dims), CUDNN_DATA_FLOAT, is_virtual ? Kind::kVirtual : Kind::kMemory) {}
  GraphTensor(int64_t uid, const Ints& dims, cudnnDataType_t type, Kind kind = Kind::kMemory)
      : GraphTensor(uid, dims, PackedStrides(dims), type, kind) {}
  GraphTensor(int64_t uid, const Ints& dims, const Ints& strides, cudnnDataType_t type, Kind kind)
      : uid_(uid), type_(type), descriptor_(CUDNN_BACKEND_TENSOR_DESCRIPTOR) {
    size_t count = 1;
    for (const int64_t size : dims) count *= static_cast<size_t>(size);
    descriptor_.Set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type)
        .SetInts(CUDNN_ATTR_TENSOR_DIMENSIONS, dims)
        .SetInts(CUDNN_ATTR_TENSOR_STRIDES, strides)
        .Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, uid)
        .Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, int64_t{16})
        .Set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, kind == Kind::kVirtual)
        .Set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, kind == Kind::kValue)
        .Finalize();
    if (kind == Kind::kVirtual) return;
    host_.resize(count);
    if (kind == Kind::kValue) return;
    CHECK(cudaMalloc(&memory_, count * Width()));
  }
  ~GraphTensor() { cudaFree(memory_); }
  GraphTensor(const GraphTensor&) = delete;
  GraphTensor& operator=(const GraphTensor&) = delete;
  // Numbers that every type of floats holds.
  GraphTensor& Fill(Random& random) {
    for (double& value : host_) value = static_cast<double>(static_cast<int>(random.Below(33)) - 16) * 0.125;
    return Upload();
  }
  GraphTensor& Fill(const Numbers& values) {
    host_ = values;
    return Upload();
  }
  const Backend& descriptor() const { return descriptor_; }
  int64_t uid() const { return uid_; }
  // What a variant pack has for it.
  void* memory() const { return memory_ != nullptr ? memory_ : const_cast<int64_t*>(&value_); }
  double operator[](size_t i) const { return host_[i]; }
  const Numbers& host() const { return host_; }
  size_t size() const { return host_.size(); }
  Numbers Download() const {
    std::vector<unsigned char> bytes(host_.size() * Width());
    CHECK(cudaMemcpy(bytes.data(), memory_, bytes.size(), cudaMemcpyDeviceToHost));
    Numbers values;
    for (size_t i = 0; i < host_.size(); ++i) values.push_back(Decode(bytes.data() + i * Width()));
    return values;
  }
  void Expect(const Numbers& wanted, const char* what, double tolerance = 1e-4) const {
    const Numbers got = Download();
    EXPECT(got.size() == wanted.size(), "%s: %zu elements, not %zu", what, got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) {
      if (!(std::fabs(got[i] - wanted[i]) <= tolerance * (1 + std::fabs(wanted[i]))))
        Fail(__FILE__, __LINE__, "%s: element %zu is %.9g, not %.9g", what, i, got[i], wanted[i]);
    }
  }

 private:
  size_t Width() const {
    switch (type_) {
      case CUDNN_DATA_HALF: return 2;
      case CUDNN_DATA_INT8: return 1;
      case CUDNN_DATA_INT64: return 8;
      default: return 4;
    }
  }
  template <typename T>
  static void Put(unsigned char* to, T value) {
    memcpy(to, &value, sizeof(value));
  }
  void Encode(double value, unsigned char* to) const {
    switch (type_) {
      case CUDNN_DATA_HALF: return Put(to, __half(static_cast<float>(value)));
      case CUDNN_DATA_INT8: return Put(to, static_cast<int8_t>(value));
      case CUDNN_DATA_INT32: return Put(to, static_cast<int32_t>(value));
      case CUDNN_DATA_INT64: return Put(to, static_cast<int64_t>(value));
      default: return Put(to, static_cast<float>(value));
    }
  }
  template <typename T>
  static T Get(const unsigned char* from) {
    T value;
    memcpy(&value, from, sizeof(value));
    return value;
  }
  double Decode(const unsigned char* from) const {
    switch (type_) {
      case CUDNN_DATA_HALF: return static_cast<double>(static_cast<float>(Get<__half>(from)));
      case CUDNN_DATA_INT8: return Get<int8_t>(from);
      case CUDNN_DATA_INT32: return Get<int32_t>(from);
      case CUDNN_DATA_INT64: return static_cast<double>(Get<int64_t>(from));
      default: return static_cast<double>(Get<float>(from));
    }
  }
  GraphTensor& Upload() {
    std::vector<unsigned char> bytes(host_.size() * Width());
    for (size_t i = 0; i < host_.size(); ++i) Encode(host_[i], bytes.data() + i * Width());
    if (memory_ == nullptr) {
      memcpy(&value_, bytes.data(), Width());
    } else {
      CHECK(cudaMemcpy(memory_, bytes.data(), bytes.size(), cudaMemcpyHostToDevice));
    }
    return *this;
  }

  int64_t uid_;
  cudnnDataType_t type_;
  Backend descriptor_;
  Numbers host_;
  void* memory_ = nullptr;
  int64_t value_ = 0;
};

// A plan of the operations, by the first configuration that heuristics name. Without a handle the graph is for the
// device that is described.
inline std::unique_ptr<Backend> MakePlan(cudnnHandle_t handle, const std::vector<const Backend*>& operations,
                                         const Backend* device = nullptr) {
  std::vector<cudnnBackendDescriptor_t> list;
  for (const Backend* operation : operations) list.push_back(operation->get());
  Backend graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  CHECK_DNN(cudnnBackendSetAttribute(graph.get(), CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                     static_cast<int64_t>(list.size()), list.data()));
  if (device == nullptr) graph.Set(kGraphHandle, CUDNN_TYPE_HANDLE, handle);
  graph.Finalize();
  Backend heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.Refer(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .Set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A);
  if (device != nullptr) heuristics.Refer(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, *device);
  heuristics.Finalize();
  int64_t count = 0;
  CHECK_DNN(cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0,
                                     &count, nullptr));
  EXPECT(count >= 1, "heuristics name %lld configurations", static_cast<long long>(count));
  Backend configuration(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  cudnnBackendDescriptor_t result = configuration.get();
  CHECK_DNN(cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                     &count, &result));
  auto plan = std::make_unique<Backend>(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan->Refer(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
  if (device == nullptr) {
    plan->Set(kPlanHandle, CUDNN_TYPE_HANDLE, handle);
  } else {
    plan->Refer(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, *device);
  }
  plan->Finalize();
  return plan;
}

// Runs a plan twice.
inline void Execute(cudnnHandle_t handle, const Backend& plan, const std::vector<const GraphTensor*>& tensors) {
  int64_t workspace_bytes = -1, count = 0;
  CHECK_DNN(cudnnBackendGetAttribute(plan.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count,
                                     &workspace_bytes));
  EXPECT(workspace_bytes >= 0, "a plan that does not say its workspace");
  void* workspace = nullptr;
  if (workspace_bytes > 0) CHECK(cudaMalloc(&workspace, static_cast<size_t>(workspace_bytes)));
  Ints uids;
  std::vector<void*> pointers;
  for (const GraphTensor* tensor : tensors) {
    uids.push_back(tensor->uid());
    pointers.push_back(tensor->memory());
  }
  Backend pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.SetInts(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, uids);
  CHECK_DNN(cudnnBackendSetAttribute(pack.get(), CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                                     static_cast<int64_t>(pointers.size()), pointers.data()));
  pack.Set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace).Finalize();
  for (int i = 0; i < 2; ++i) CHECK_DNN(cudnnBackendExecute(handle, plan.get(), pack.get()));
  CHECK(cudaDeviceSynchronize());
  cudaFree(workspace);
}

inline void Run(cudnnHandle_t handle, const std::vector<const Backend*>& operations,
                const std::vector<const GraphTensor*>& tensors) {
  Execute(handle, *MakePlan(handle, operations), tensors);
}

inline void Describe(Backend& pointwise, cudnnPointwiseMode_t mode, int64_t axis) {
  pointwise.Set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode)
      .Set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  if (axis >= 0) pointwise.Set(CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, axis);
  pointwise.Finalize();
}
// y = mode(x, b), or where t says which of the two.
class Pointwise {
 public:
  Pointwise(cudnnPointwiseMode_t mode, const GraphTensor& x, const GraphTensor* b, const GraphTensor& y,
            const GraphTensor* t = nullptr, int64_t axis = -1)
      : pointwise_(CUDNN_BACKEND_POINTWISE_DESCRIPTOR), operation_(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) {
    Describe(pointwise_, mode, axis);
    operation_.Refer(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise_)
        .Refer(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x.descriptor())
        .Refer(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y.descriptor());
    if (b != nullptr) operation_.Refer(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b->descriptor());
    if (t != nullptr) operation_.Refer(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, t->descriptor());
    operation_.Finalize();
  }
  const Backend* operation() const { return &operation_; }

 private:
  Backend pointwise_;
  Backend operation_;
};
