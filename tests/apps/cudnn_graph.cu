// The graph API of cuDNN as its frontend calls it: tensors, operations, a graph, what heuristics say, a plan, and its
// executions; against plain loops.
#include <cstdint>
#include <initializer_list>
#include <string>

#include "cudnn_check.h"

using Numbers = std::vector<double>;
using Ints = std::vector<int64_t>;

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

// A tensor of floats without gaps, virtual or with memory and what the host has of it.
class GraphTensor {
 public:
  GraphTensor(int64_t uid, const Ints& dims, bool is_virtual = false)
      : uid_(uid), descriptor_(CUDNN_BACKEND_TENSOR_DESCRIPTOR) {
    Ints strides(dims.size());
    int64_t stride = 1;
    for (size_t d = dims.size(); d-- > 0;) {
      strides[d] = stride;
      stride *= dims[d];
    }
    descriptor_.Set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
        .SetInts(CUDNN_ATTR_TENSOR_DIMENSIONS, dims)
        .SetInts(CUDNN_ATTR_TENSOR_STRIDES, strides)
        .Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, uid)
        .Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, int64_t{16})
        .Set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, is_virtual)
        .Finalize();
    if (is_virtual) return;
    host_.resize(static_cast<size_t>(stride));
    CHECK(cudaMalloc(reinterpret_cast<void**>(&memory_), host_.size() * sizeof(float)));
  }
  ~GraphTensor() { cudaFree(memory_); }
  GraphTensor(const GraphTensor&) = delete;
  GraphTensor& operator=(const GraphTensor&) = delete;
  GraphTensor& Fill(Random& random) {
    for (float& value : host_) value = static_cast<float>(static_cast<int>(random.Below(33)) - 16) * 0.125f;
    CHECK(cudaMemcpy(memory_, host_.data(), host_.size() * sizeof(float), cudaMemcpyHostToDevice));
    return *this;
  }
  const Backend& descriptor() const { return descriptor_; }
  int64_t uid() const { return uid_; }
  void* memory() const { return memory_; }
  double operator[](size_t i) const { return static_cast<double>(host_[i]); }
  size_t size() const { return host_.size(); }
  void Expect(const Numbers& wanted, const char* what) const {
    std::vector<float> got(host_.size());
    CHECK(cudaMemcpy(got.data(), memory_, got.size() * sizeof(float), cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < got.size(); ++i) {
      if (!(std::fabs(static_cast<double>(got[i]) - wanted[i]) <= 1e-4 * (1 + std::fabs(wanted[i]))))
        Fail(__FILE__, __LINE__, "%s: element %zu is %.9g, not %.9g", what, i, static_cast<double>(got[i]), wanted[i]);
    }
  }

 private:
  int64_t uid_;
  Backend descriptor_;
  std::vector<float> host_;
  float* memory_ = nullptr;
};

// Plans the operations as the frontend does: by the first configuration that heuristics name; and runs them twice.
static void Run(cudnnHandle_t handle, std::initializer_list<const Backend*> operations,
                std::initializer_list<const GraphTensor*> tensors) {
  std::vector<cudnnBackendDescriptor_t> list;
  for (const Backend* operation : operations) list.push_back(operation->get());
  Backend graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  CHECK_DNN(cudnnBackendSetAttribute(graph.get(), CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                     static_cast<int64_t>(list.size()), list.data()));
  graph.Set(static_cast<cudnnBackendAttributeName_t>(800), CUDNN_TYPE_HANDLE, handle).Finalize();
  Backend heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.Refer(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .Set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A)
      .Finalize();
  int64_t count = 0;
  CHECK_DNN(cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0,
                                     &count, nullptr));
  EXPECT(count >= 1, "heuristics name %lld configurations", static_cast<long long>(count));
  Backend configuration(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  cudnnBackendDescriptor_t result = configuration.get();
  CHECK_DNN(cudnnBackendGetAttribute(heuristics.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                     &count, &result));
  Backend plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.Refer(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration)
      .Set(static_cast<cudnnBackendAttributeName_t>(400), CUDNN_TYPE_HANDLE, handle)
      .Finalize();
  int64_t workspace_bytes = -1;
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

static void Describe(Backend& pointwise, cudnnPointwiseMode_t mode) {
  pointwise.Set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, mode)
      .Set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .Finalize();
}
// y = mode(x, b).
class Pointwise {
 public:
  Pointwise(cudnnPointwiseMode_t mode, const GraphTensor& x, const GraphTensor* b, const GraphTensor& y)
      : pointwise_(CUDNN_BACKEND_POINTWISE_DESCRIPTOR), operation_(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) {
    Describe(pointwise_, mode);
    operation_.Refer(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise_)
        .Refer(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x.descriptor())
        .Refer(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y.descriptor());
    if (b != nullptr) operation_.Refer(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b->descriptor());
    operation_.Finalize();
  }
  const Backend* operation() const { return &operation_; }

 private:
  Backend pointwise_;
  Backend operation_;
};

// relu(convolution(x, w) + bias) of two images, 3 channels to 4, 5 by 5, filters of 3 by 3 with a border of 1.
static void TestConvolution(cudnnHandle_t handle, Random& random) {
  constexpr int kN = 2, kC = 3, kK = 4, kH = 5;
  GraphTensor x(1, {kN, kC, kH, kH}), w(2, {kK, kC, 3, 3}), bias(3, {1, kK, 1, 1}), y(4, {kN, kK, kH, kH});
  const GraphTensor product(-1, {kN, kK, kH, kH}, true), sum(-2, {kN, kK, kH, kH}, true);
  x.Fill(random);
  w.Fill(random);
  bias.Fill(random);
  Backend convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.Set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
      .Set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION)
      .Set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, int64_t{2})
      .SetInts(CUDNN_ATTR_CONVOLUTION_DILATIONS, {1, 1})
      .SetInts(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {1, 1})
      .SetInts(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {1, 1})
      .SetInts(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {1, 1})
      .Finalize();
  Backend forward(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  forward.Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, convolution)
      .Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w.descriptor())
      .Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, product.descriptor())
      .Set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 2.0f)
      .Set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 0.0f)
      .Finalize();
  const Pointwise add(CUDNN_POINTWISE_ADD, product, &bias, sum), relu(CUDNN_POINTWISE_RELU_FWD, sum, nullptr, y);
  Numbers wanted;
  for (int n = 0; n < kN; ++n) {
    for (int k = 0; k < kK; ++k) {
      for (int i = 0; i < kH; ++i) {
        for (int j = 0; j < kH; ++j) {
          double total = 0;
          for (int c = 0; c < kC; ++c) {
            for (int a = 0; a < 3; ++a) {
              for (int b = 0; b < 3; ++b) {
                const int row = i + a - 1, column = j + b - 1;
                if (row < 0 || row >= kH || column < 0 || column >= kH) continue;
                total += x[((n * kC + c) * kH + row) * kH + column] * w[((k * kC + c) * 3 + a) * 3 + b];
              }
            }
          }
          wanted.push_back(std::fmax(2 * total + bias[k], 0));
        }
      }
    }
  }
  // In any order; and again, which asks nothing.
  for (int again = 0; again < 3; ++again)
    Run(handle, {relu.operation(), &forward, add.operation()}, {&x, &w, &bias, &y});
  y.Expect(wanted, "convolution, bias and relu");
}

// softmax(q k^T) v of 2 batches and 3 heads, as the frontend composes it; k is given transposed.
static void TestAttention(cudnnHandle_t handle, Random& random) {
  constexpr int kB = 2, kH = 3, kS = 5, kD = 4;
  GraphTensor q(1, {kB, kH, kS, kD}), k(2, {kB, 1, kD, kS}), v(3, {kB, kH, kS, kD}), o(4, {kB, kH, kS, kD});
  q.Fill(random);
  k.Fill(random);
  v.Fill(random);
  const Ints square{kB, kH, kS, kS}, column{kB, kH, kS, 1};
  const GraphTensor scores(-1, square, true), top(-2, column, true), less(-3, square, true), power(-4, square, true),
      sum(-5, column, true), part(-6, square, true);
  Backend matmul(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  matmul.Set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT).Finalize();
  Backend first(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR), second(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  const auto multiply = [&](Backend& operation, const GraphTensor& a, const GraphTensor& b, const GraphTensor& c) {
    operation.Refer(CUDNN_ATTR_OPERATION_MATMUL_DESC, matmul)
        .Refer(CUDNN_ATTR_OPERATION_MATMUL_ADESC, a.descriptor())
        .Refer(CUDNN_ATTR_OPERATION_MATMUL_BDESC, b.descriptor())
        .Refer(CUDNN_ATTR_OPERATION_MATMUL_CDESC, c.descriptor())
        .Finalize();
  };
  multiply(first, q, k, scores);
  multiply(second, part, v, o);
  Backend max(CUDNN_BACKEND_REDUCTION_DESCRIPTOR), add(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  Backend take_max(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR),
      take_sum(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  const auto reduce = [](Backend& reduction, cudnnReduceTensorOp_t how, Backend& operation, const GraphTensor& x,
                         const GraphTensor& y) {
    reduction.Set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, how)
        .Set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
        .Finalize();
    operation.Refer(CUDNN_ATTR_OPERATION_REDUCTION_DESC, reduction)
        .Refer(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x.descriptor())
        .Refer(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y.descriptor())
        .Finalize();
  };
  reduce(max, CUDNN_REDUCE_TENSOR_MAX, take_max, scores, top);
  reduce(add, CUDNN_REDUCE_TENSOR_ADD, take_sum, power, sum);
  const Pointwise subtract(CUDNN_POINTWISE_SUB, scores, &top, less),
      exponent(CUDNN_POINTWISE_EXP, less, nullptr, power), divide(CUDNN_POINTWISE_DIV, power, &sum, part);
  Run(handle, {&first, &take_max, subtract.operation(), exponent.operation(), &take_sum, divide.operation(), &second},
      {&q, &k, &v, &o});
  Numbers wanted;
  for (int bh = 0; bh < kB * kH; ++bh) {
    for (int i = 0; i < kS; ++i) {
      Numbers weights(kS);
      double total = 0;
      for (int j = 0; j < kS; ++j) {
        double score = 0;
        for (int d = 0; d < kD; ++d) score += q[(bh * kS + i) * kD + d] * k[(bh / kH * kD + d) * kS + j];
        total += weights[j] = std::exp(score);
      }
      for (int d = 0; d < kD; ++d) {
        double value = 0;
        for (int j = 0; j < kS; ++j) value += weights[j] / total * v[(bh * kS + j) * kD + d];
        wanted.push_back(value);
      }
    }
  }
  o.Expect(wanted, "attention");
}

static void TestStatuses() {
  Backend tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  CHECK_DNN_STATUS(cudnnBackendFinalize(tensor.get()), CUDNN_STATUS_BAD_PARAM);
  const int64_t dims[4] = {1, 2, 3, 4};
  CHECK_DNN_STATUS(cudnnBackendSetAttribute(tensor.get(), CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_FLOAT, 4, dims),
                   CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE);
  CHECK_DNN_STATUS(cudnnBackendSetAttribute(tensor.get(), CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, dims),
                   CUDNN_STATUS_BAD_PARAM);
  Backend operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  cudnnBackendDescriptor_t unfinished = tensor.get();
  CHECK_DNN_STATUS(cudnnBackendSetAttribute(operation.get(), CUDNN_ATTR_OPERATION_POINTWISE_XDESC,
                                            CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &unfinished),
                   CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
}

int main() {
  cudnnHandle_t handle = nullptr;
  CHECK_DNN(cudnnCreate(&handle));
  Random random(11);
  TestConvolution(handle, random);
  TestAttention(handle, random);
  TestStatuses();
  CHECK_DNN(cudnnDestroy(handle));
  return Passed();
}
