// What NVIDIA's library computes and AccelMesh refuses by name (tests/faults runs it): attention of more lengths and
// windows than a call carries, where it computes up to there, writes nothing beyond, and the next call is well; and
// graphs with an attribute that is left to the library.
#include <vector>

#include "cudnn_backend.h"

constexpr int kNumbers = 7680, kRun = 5;  // what fits, and what it takes to say that windows move on alike

// Ones from end to end: where a step looks at no key it makes 0, else 1.
class Sequences {
 public:
  Sequences(cudnnHandle_t handle, int batch, int steps) : handle_(handle), batch_(batch), steps_(steps) {
    CHECK_DNN(cudnnCreateAttnDescriptor(&attention_));
    CHECK_DNN(cudnnSetAttnDescriptor(attention_, CUDNN_ATTN_QUERYMAP_ALL_TO_ONE, 1, 1, CUDNN_DATA_FLOAT,
                                     CUDNN_DATA_FLOAT, CUDNN_DEFAULT_MATH, nullptr, nullptr, 1, 1, 1, 0, 0, 0, 0, steps,
                                     1, batch, 1));
    q_ = Describe(steps);
    k_ = Describe(1);
    size_t weights = 0;
    CHECK_DNN(cudnnGetMultiHeadAttnBuffers(handle, attention_, &weights, &workspace_bytes_, nullptr));
    const std::vector<int> query_lengths(batch, steps), key_lengths(batch, 1);
    const std::vector<float> ones(static_cast<size_t>(batch) * steps, 1);
    query_lengths_ = Place(query_lengths);
    key_lengths_ = Place(key_lengths);
    ones_ = Place(ones);
    CHECK(cudaMalloc(reinterpret_cast<void**>(&out_), ones.size() * sizeof(float)));
    CHECK(cudaMalloc(&workspace_, workspace_bytes_ + 1));
  }
  ~Sequences() {
    for (void* memory : {static_cast<void*>(query_lengths_), static_cast<void*>(key_lengths_),
                         static_cast<void*>(ones_), static_cast<void*>(out_), workspace_})
      CHECK(cudaFree(memory));
    for (cudnnSeqDataDescriptor_t data : {q_, k_}) CHECK_DNN(cudnnDestroySeqDataDescriptor(data));
    CHECK_DNN(cudnnDestroyAttnDescriptor(attention_));
  }
  Sequences(const Sequences&) = delete;
  Sequences& operator=(const Sequences&) = delete;

  // `high` is 0 or 1 for each step: the one key, or none.
  void Attend(const std::vector<int>& high, cudnnStatus_t wanted) {
    const std::vector<int> low(high.size(), 0);
    const size_t elements = static_cast<size_t>(batch_) * steps_;
    std::vector<float> got(elements, -1);
    CHECK(cudaMemcpy(out_, got.data(), elements * sizeof(float), cudaMemcpyHostToDevice));
    CHECK_DNN_STATUS(cudnnMultiHeadAttnForward(handle_, attention_, -1, low.data(), high.data(), query_lengths_,
                                               key_lengths_, q_, ones_, nullptr, k_, ones_, k_, ones_, q_, out_, 0,
                                               nullptr, workspace_bytes_, workspace_, 0, nullptr),
                     wanted);
    CHECK(cudaMemcpy(got.data(), out_, elements * sizeof(float), cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < elements; ++i) {
      const float whole = static_cast<float>(high[i % steps_]), expected = wanted == CUDNN_STATUS_SUCCESS ? whole : -1;
      EXPECT(got[i] == expected, "%zu of %d x %d: %g, not %g", i, batch_, steps_, got[i], expected);
    }
  }

 private:
  cudnnSeqDataDescriptor_t Describe(int steps) const {
    cudnnSeqDataDescriptor_t data = nullptr;
    CHECK_DNN(cudnnCreateSeqDataDescriptor(&data));
    int dims[4] = {};
    dims[CUDNN_SEQDATA_TIME_DIM] = steps;
    dims[CUDNN_SEQDATA_BATCH_DIM] = batch_;
    dims[CUDNN_SEQDATA_BEAM_DIM] = dims[CUDNN_SEQDATA_VECT_DIM] = 1;
    const cudnnSeqDataAxis_t axes[4] = {CUDNN_SEQDATA_BEAM_DIM, CUDNN_SEQDATA_BATCH_DIM, CUDNN_SEQDATA_TIME_DIM,
                                        CUDNN_SEQDATA_VECT_DIM};
    const std::vector<int> lengths(batch_, steps);
    CHECK_DNN(
        cudnnSetSeqDataDescriptor(data, CUDNN_DATA_FLOAT, 4, dims, axes, lengths.size(), lengths.data(), nullptr));
    return data;
  }
  template <typename T>
  static T* Place(const std::vector<T>& values) {
    T* memory = nullptr;
    CHECK(cudaMalloc(reinterpret_cast<void**>(&memory), values.size() * sizeof(T)));
    CHECK(cudaMemcpy(memory, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
    return memory;
  }

  cudnnHandle_t handle_;
  int batch_, steps_;
  cudnnAttnDescriptor_t attention_ = nullptr;
  cudnnSeqDataDescriptor_t q_ = nullptr, k_ = nullptr;
  size_t workspace_bytes_ = 0;
  int *query_lengths_ = nullptr, *key_lengths_ = nullptr;
  float *ones_ = nullptr, *out_ = nullptr;
  void* workspace_ = nullptr;
};

static void TestAttention(cudnnHandle_t handle) {
  // Two lengths for each of the batch, and one run.
  constexpr int kBatch = (kNumbers - kRun) / 2;
  Sequences(handle, kBatch, 1).Attend({1}, CUDNN_STATUS_SUCCESS);
  Sequences(handle, kBatch + 1, 1).Attend({1}, CUDNN_STATUS_NOT_SUPPORTED);
  // Two lengths, and runs of three steps that are alike, each unlike the one before.
  constexpr int kRuns = (kNumbers - 2) / kRun;
  for (const int runs : {kRuns, kRuns + 1}) {
    Sequences sequences(handle, 1, 3 * runs);
    std::vector<int> high;
    for (int run = 0; run < runs; ++run) high.insert(high.end(), 3, run % 2);
    sequences.Attend(high, runs == kRuns ? CUDNN_STATUS_SUCCESS : CUDNN_STATUS_NOT_SUPPORTED);
    sequences.Attend(std::vector<int>(high.size(), 1), CUDNN_STATUS_SUCCESS);
  }
}

// y = x + b, but for the pointwise operation's mode, its type, or the tensors' one.
static void TestGraph(cudnnHandle_t handle, bool has_mode, bool has_precision, bool has_type, cudnnStatus_t wanted) {
  Backend pointwise(CUDNN_BACKEND_POINTWISE_DESCRIPTOR), operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  if (has_mode) pointwise.Set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, CUDNN_POINTWISE_ADD);
  if (has_precision) pointwise.Set(CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  operation.Refer(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, pointwise.Finalize());
  int64_t uid = 1;
  for (const auto name : {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_ATTR_OPERATION_POINTWISE_BDESC,
                          CUDNN_ATTR_OPERATION_POINTWISE_YDESC}) {
    Backend tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    if (has_type) tensor.Set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
    tensor.SetInts(CUDNN_ATTR_TENSOR_DIMENSIONS, {2, 3, 4})
        .SetInts(CUDNN_ATTR_TENSOR_STRIDES, {12, 4, 1})
        .Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, uid++)
        .Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, int64_t{16});
    operation.Refer(name, tensor.Finalize());
  }
  Backend graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.Set(kGraphHandle, CUDNN_TYPE_HANDLE, handle).Refer(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation.Finalize());
  CHECK_DNN_STATUS(cudnnBackendFinalize(graph.get()), wanted);
}

int main() {
  cudnnHandle_t handle = nullptr;
  CHECK_DNN(cudnnCreate(&handle));
  TestAttention(handle);
  TestGraph(handle, true, true, true, CUDNN_STATUS_SUCCESS);
  TestGraph(handle, false, true, true, CUDNN_STATUS_NOT_SUPPORTED);
  TestGraph(handle, true, false, true, CUDNN_STATUS_NOT_SUPPORTED);
  TestGraph(handle, true, true, false, CUDNN_STATUS_NOT_SUPPORTED);
  CHECK_DNN(cudnnDestroy(handle));
  return Passed();
}
