// The graph API of cuDNN as its frontend calls it: tensors, operations, a graph, what heuristics say, a plan, and its
// executions; against plain loops.
#include "cudnn_backend.h"

// alpha * convolution(x, w), two-dimensional, with a border of 1 or none said.
class Convolution {
 public:
  Convolution(const GraphTensor& x, const GraphTensor& w, const GraphTensor& y, float alpha, bool is_padded) {
    what_.Set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT)
        .Set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION)
        .Set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, int64_t{2})
        .SetInts(CUDNN_ATTR_CONVOLUTION_DILATIONS, {1, 1})
        .SetInts(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {1, 1});
    if (is_padded) {
      what_.SetInts(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {1, 1}).SetInts(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {1, 1});
    }
    what_.Finalize();
    forward_.Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, what_)
        .Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, x.descriptor())
        .Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, w.descriptor())
        .Refer(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y.descriptor())
        .Set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, alpha)
        .Set(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 0.0f)
        .Finalize();
  }
  const Backend* operation() const { return &forward_; }

 private:
  Backend what_{CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR};
  Backend forward_{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR};
};

// relu(convolution(x, w) + bias) of two images, 3 channels to 4, 5 by 5, filters of 3 by 3 with a border of 1.
static void TestConvolution(cudnnHandle_t handle, Random& random) {
  constexpr int kN = 2, kC = 3, kK = 4, kH = 5;
  GraphTensor x(1, {kN, kC, kH, kH}), w(2, {kK, kC, 3, 3}), bias(3, {1, kK, 1, 1}), y(4, {kN, kK, kH, kH});
  const GraphTensor product(-1, {kN, kK, kH, kH}, true), sum(-2, {kN, kK, kH, kH}, true);
  x.Fill(random);
  w.Fill(random);
  bias.Fill(random);
  const Convolution forward(x, w, product, 2.0f, true);
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
    Run(handle, {relu.operation(), forward.operation(), add.operation()}, {&x, &w, &bias, &y});
  y.Expect(wanted, "convolution, bias and relu");
}

// Paddings that nobody sets are none.
static void TestWithoutPadding(cudnnHandle_t handle) {
  GraphTensor x(1, {1, 1, 3, 3}), w(2, {1, 1, 2, 2}), y(3, {1, 1, 2, 2});
  x.Fill(Numbers{1, 2, 3, 4, 5, 6, 7, 8, 9});
  w.Fill(Numbers{1, 0, 0, 10});
  const Convolution forward(x, w, y, 1.0f, false);
  Run(handle, {forward.operation()}, {&x, &w, &y});
  y.Expect({51, 62, 84, 95}, "convolution without padding");
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
  TestWithoutPadding(handle);
  TestAttention(handle, random);
  TestStatuses();
  CHECK_DNN(cudnnDestroy(handle));
  return Passed();
}
