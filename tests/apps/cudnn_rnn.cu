// Recurrent networks as a program builds and trains them: weights laid where cuDNN says, forward against the formulas
// in long double, gradients against what the formulas say of a little more and a little less; every cell, both
// directions, projection, clipping, each layout of sequences of different lengths, and what is said of wrong arguments.
#include <string>
#include <vector>

#include "cudnn_check.h"
#include "rnn_reference.h"

using namespace rnn_reference;

namespace {

struct Config {
  const char* name;
  cudnnRNNMode_t cell;
  cudnnRNNBiasMode_t bias;
  cudnnDirectionMode_t direction;
  cudnnRNNInputMode_t input_mode;
  int input, hidden, output, layers;
  cudnnRNNDataLayout_t layout;
  bool clips;
};

template <typename T>
double NumberOf(T value) {
  if constexpr (std::is_same_v<T, double>) {
    return value;
  } else {
    return static_cast<double>(static_cast<float>(value));
  }
}

// Memory of the device, and what the host knows of it.
template <typename T>
class Array {
 public:
  Array(size_t count, Random* random, double scale = 0.03125) : host_(count, T(0.0f)) {
    for (T& value : host_) {
      if (random != nullptr) value = T(static_cast<float>((static_cast<int>(random->Below(49)) - 24) * scale));
    }
    CHECK(cudaMalloc(reinterpret_cast<void**>(&memory_), count * sizeof(T) + 1));
    CHECK(cudaMemcpy(memory_, host_.data(), count * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~Array() { cudaFree(memory_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  T* memory() const { return memory_; }
  size_t bytes() const { return host_.size() * sizeof(T); }
  size_t count() const { return host_.size(); }
  Wide operator[](size_t i) const { return NumberOf(host_[i]); }
  void Fetch() { CHECK(cudaMemcpy(host_.data(), memory_, bytes(), cudaMemcpyDeviceToHost)); }

 private:
  std::vector<T> host_;
  T* memory_ = nullptr;
};

template <typename T>
class Trainer {
 public:
  Trainer(cudnnHandle_t handle, const Config& config, double tolerance)
      : handle_(handle), config_(config), tolerance_(tolerance), random_(17) {
    shape_.cell = config.cell;
    shape_.bias = config.bias;
    shape_.directions = config.direction == CUDNN_BIDIRECTIONAL ? 2 : 1;
    shape_.layers = config.layers;
    shape_.input = config.input;
    shape_.hidden = config.hidden;
    shape_.output = config.output;
    shape_.clips = config.clips;
    shape_.clip_low = -0.25;
    shape_.clip_high = 0.125;
    pseudos_ = shape_.layers * shape_.directions;
    columns_ = shape_.output * shape_.directions;
    CHECK_DNN(cudnnCreateRNNDescriptor(&rnn_));
    CHECK_DNN(cudnnSetRNNDescriptor_v8(
        rnn_, CUDNN_RNN_ALGO_STANDARD, config.cell, config.bias, config.direction, config.input_mode, kTypeOf<T>,
        std::is_same_v<T, double> ? CUDNN_DATA_DOUBLE : CUDNN_DATA_FLOAT, CUDNN_DEFAULT_MATH, config.input,
        config.hidden, config.output, config.layers, nullptr, CUDNN_RNN_PADDED_IO_ENABLED));
    if (config.clips) CHECK_DNN(cudnnRNNSetClip_v9(rnn_, CUDNN_RNN_CLIP_MINMAX, -0.25, 0.125));
    lengths_ = config.layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED ? std::vector<int>{5, 4, 4, 1}
                                                                       : std::vector<int>{2, 5, 1, 4};
    x_data_ = Data(config.input);
    y_data_ = Data(columns_);
  }
  ~Trainer() {
    cudnnDestroyRNNDescriptor(rnn_);
    cudnnDestroyRNNDataDescriptor(x_data_);
    cudnnDestroyRNNDataDescriptor(y_data_);
  }

  void Run() {
    size_t weight_bytes = 0;
    CHECK_DNN(cudnnGetRNNWeightSpaceSize(handle_, rnn_, &weight_bytes));
    Array<T> weights(weight_bytes / sizeof(T), &random_), gradients(weight_bytes / sizeof(T), &random_);
    Places(weights);
    const size_t rows = Rows(), states = static_cast<size_t>(pseudos_) * kBatch * shape_.output,
                 cells = static_cast<size_t>(pseudos_) * kBatch * shape_.hidden;
    Array<T> x(rows * shape_.input, &random_), y(rows * columns_, &random_), dx(rows * shape_.input, nullptr),
        dy(rows * columns_, &random_);
    Array<T> hx(states, &random_), hy(states, nullptr), dhx(states, nullptr), dhy(states, &random_);
    Array<T> cx(cells, &random_, 0.0078125), cy(cells, nullptr), dcx(cells, nullptr), dcy(cells, &random_);
    const cudnnTensorDescriptor_t h = States(shape_.output), c = States(shape_.hidden);
    size_t inference_bytes = 0, training_bytes = 0, none = 0, reserve_bytes = 0;
    CHECK_DNN(cudnnGetRNNTempSpaceSizes(handle_, rnn_, CUDNN_FWD_MODE_INFERENCE, x_data_, &inference_bytes, &none));
    EXPECT(none == 0, "%s: a reserve of %zu bytes for inference", config_.name, none);
    CHECK_DNN(
        cudnnGetRNNTempSpaceSizes(handle_, rnn_, CUDNN_FWD_MODE_TRAINING, x_data_, &training_bytes, &reserve_bytes));
    const Array<char> workspace(std::max(inference_bytes, training_bytes), nullptr), reserve(reserve_bytes, nullptr);
    const auto forward = [&](cudnnForwardMode_t mode) {
      const bool is_training = mode == CUDNN_FWD_MODE_TRAINING;
      CHECK_DNN(cudnnRNNForward(handle_, rnn_, mode, nullptr, x_data_, x.memory(), y_data_, y.memory(), h, hx.memory(),
                                hy.memory(), c, cx.memory(), cy.memory(), weight_bytes, weights.memory(),
                                workspace.bytes(), workspace.memory(), is_training ? reserve_bytes : 0,
                                is_training ? reserve.memory() : nullptr));
      y.Fetch();
      hy.Fetch();
      cy.Fetch();
    };
    for (const cudnnForwardMode_t mode : {CUDNN_FWD_MODE_INFERENCE, CUDNN_FWD_MODE_TRAINING}) {
      forward(mode);
      std::vector<Sequence> ends;
      const std::vector<std::vector<Numbers>> wanted =
          Reference(Values(weights), Values(x), Values(hx), Values(cx), &ends);
      for (int b = 0; b < kBatch; ++b) {
        for (int t = 0; t < kSteps; ++t) {
          const bool is_active = t < lengths_[b];
          if (!is_active && config_.layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED) continue;
          for (int j = 0; j < columns_; ++j)
            Expect(y[Row(b, t) * columns_ + j], is_active ? wanted[b][t][j] : Wide(kPadding), "y");
        }
        for (int p = 0; p < pseudos_; ++p) {
          for (int j = 0; j < shape_.output; ++j)
            Expect(hy[(p * kBatch + b) * shape_.output + j], ends[b].h[p][j], "hy");
          for (int j = 0; shape_.cell == kLstm && j < shape_.hidden; ++j)
            Expect(cy[(p * kBatch + b) * shape_.hidden + j], ends[b].c[p][j], "cy");
        }
      }
    }

    CHECK_DNN(cudnnRNNBackwardData_v8(handle_, rnn_, nullptr, y_data_, y.memory(), dy.memory(), x_data_, dx.memory(), h,
                                      hx.memory(), dhy.memory(), dhx.memory(), c, cx.memory(), dcy.memory(),
                                      dcx.memory(), weight_bytes, weights.memory(), workspace.bytes(),
                                      workspace.memory(), reserve_bytes, reserve.memory()));
    const Numbers before = Values(gradients);
    CHECK_DNN(cudnnRNNBackwardWeights_v8(handle_, rnn_, CUDNN_WGRAD_MODE_ADD, nullptr, x_data_, x.memory(), h,
                                         hx.memory(), y_data_, y.memory(), weight_bytes, gradients.memory(),
                                         workspace.bytes(), workspace.memory(), reserve_bytes, reserve.memory()));
    for (Array<T>* array : {&gradients, &dx, &dhx, &dcx}) array->Fetch();
    Numbers at[4] = {Values(weights), Values(x), Values(hx), Values(cx)};
    const Numbers slopes[4] = {Values(gradients), Values(dx), Values(dhx), Values(dcx)};
    const auto loss = [&] {
      std::vector<Sequence> ends;
      const std::vector<std::vector<Numbers>> result = Reference(at[0], at[1], at[2], at[3], &ends);
      Wide sum = 0;
      for (int b = 0; b < kBatch; ++b) {
        for (int t = 0; t < lengths_[b]; ++t)
          for (int j = 0; j < columns_; ++j) sum += result[b][t][j] * dy[Row(b, t) * columns_ + j];
        for (int p = 0; p < pseudos_; ++p) {
          for (int j = 0; j < shape_.output; ++j) sum += ends[b].h[p][j] * dhy[(p * kBatch + b) * shape_.output + j];
          for (int j = 0; shape_.cell == kLstm && j < shape_.hidden; ++j)
            sum += ends[b].c[p][j] * dcy[(p * kBatch + b) * shape_.hidden + j];
        }
      }
      return sum;
    };
    for (int kind = 0; kind < (shape_.cell == kLstm ? 4 : 3); ++kind) {
      for (int sample = 0; sample < 12; ++sample) {
        const size_t element = random_.Below(static_cast<std::uint32_t>(at[kind].size()));
        const Wide value = at[kind][element], step = 1e-6;
        at[kind][element] = value + step;
        const Wide more = loss();
        at[kind][element] = value - step;
        const Wide less = loss();
        at[kind][element] = value;
        const Wide added = kind == 0 ? before[element] : 0;
        static const char* const names[4] = {"dw", "dx", "dhx", "dcx"};
        Expect(slopes[kind][element], added + (more - less) / (2 * step), names[kind]);
      }
    }
    TestStatuses(x, y, weights, h);
    CHECK_DNN(cudnnDestroyTensorDescriptor(h));
    CHECK_DNN(cudnnDestroyTensorDescriptor(c));
  }

 private:
  static constexpr int kSteps = 5;
  static constexpr int kBatch = 4;
  static constexpr float kPadding = 0.5f;

  cudnnRNNDataDescriptor_t Data(int vector) {
    cudnnRNNDataDescriptor_t data = nullptr;
    CHECK_DNN(cudnnCreateRNNDataDescriptor(&data));
    T padding = T(kPadding);
    CHECK_DNN(
        cudnnSetRNNDataDescriptor(data, kTypeOf<T>, config_.layout, kSteps, kBatch, vector, lengths_.data(), &padding));
    return data;
  }
  cudnnTensorDescriptor_t States(int vector) {
    cudnnTensorDescriptor_t tensor = nullptr;
    const int dims[3] = {pseudos_, kBatch, vector}, strides[3] = {kBatch * vector, vector, 1};
    CHECK_DNN(cudnnCreateTensorDescriptor(&tensor));
    CHECK_DNN(cudnnSetTensorNdDescriptor(tensor, kTypeOf<T>, 3, dims, strides));
    return tensor;
  }
  size_t Rows() const {
    size_t rows = kSteps * kBatch;
    if (config_.layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED) {
      rows = 0;
      for (const int length : lengths_) rows += length;
    }
    return rows;
  }
  int Row(int sequence, int step) const {
    if (config_.layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED) return step * kBatch + sequence;
    if (config_.layout == CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED) return sequence * kSteps + step;
    int row = sequence;
    for (const int length : lengths_) row += std::min(length, step);
    return row;
  }

  struct Place {
    long long matrix = -1, bias = -1;  // elements from the begin
    int matrix_elements = 0, bias_elements = 0;
  };
  // Where cuDNN says that weights lie, and their shapes.
  void Places(const Array<T>& weights) {
    cudnnTensorDescriptor_t matrix = nullptr, bias = nullptr;
    CHECK_DNN(cudnnCreateTensorDescriptor(&matrix));
    CHECK_DNN(cudnnCreateTensorDescriptor(&bias));
    const int gates = shape_.Gates(), ids = shape_.cell == kLstm ? 9 : 2 * gates;
    for (int pseudo = 0; pseudo < pseudos_; ++pseudo) {
      places_.emplace_back(9);
      for (int id = 0; id < ids; ++id) {
        T *m = nullptr, *b = nullptr;
        CHECK_DNN(cudnnGetRNNWeightParams(handle_, rnn_, pseudo, weights.bytes(), weights.memory(), id, matrix,
                                          reinterpret_cast<void**>(&m), bias, reinterpret_cast<void**>(&b)));
        int rows = shape_.hidden, inner = id < gates ? shape_.InputOf(pseudo / shape_.directions) : shape_.output;
        if (id == 8) {
          rows = shape_.output;
          inner = shape_.hidden;
        }
        const bool skips = id < gates && pseudo < shape_.directions && config_.input_mode == CUDNN_SKIP_INPUT;
        const bool has_matrix = !skips && (id != 8 || shape_.output != shape_.hidden);
        const bool has_bias = id != 8 && (config_.bias == CUDNN_RNN_DOUBLE_BIAS ||
                                          (config_.bias == CUDNN_RNN_SINGLE_INP_BIAS && id < gates) ||
                                          (config_.bias == CUDNN_RNN_SINGLE_REC_BIAS && id >= gates));
        Place& place = places_.back()[id];
        ExpectShape(matrix, m, has_matrix, rows, inner);
        ExpectShape(bias, b, has_bias, rows, 1);
        if (has_matrix) {
          place.matrix = m - weights.memory();
          place.matrix_elements = rows * inner;
        }
        if (has_bias) {
          place.bias = b - weights.memory();
          place.bias_elements = rows;
        }
      }
    }
    CHECK_DNN(cudnnDestroyTensorDescriptor(matrix));
    CHECK_DNN(cudnnDestroyTensorDescriptor(bias));
  }
  void ExpectShape(cudnnTensorDescriptor_t tensor, const T* address, bool is_there, int rows, int columns) {
    cudnnDataType_t type{};
    int rank = -1, dims[3] = {}, strides[3] = {};
    CHECK_DNN(cudnnGetTensorNdDescriptor(tensor, 3, &type, &rank, dims, strides));
    EXPECT((address != nullptr) == is_there && rank == (is_there ? 3 : 0), "%s: %d dimensions at %p", config_.name,
           rank, static_cast<const void*>(address));
    EXPECT(!is_there || (type == kTypeOf<T> && dims[0] == 1 && dims[1] == rows && dims[2] == columns),
           "%s: weights of %d x %d x %d, not 1 x %d x %d", config_.name, dims[0], dims[1], dims[2], rows, columns);
  }

  static Numbers Values(const Array<T>& array) {
    Numbers values;
    for (size_t i = 0; i < array.count(); ++i) values.push_back(array[i]);
    return values;
  }
  std::vector<std::vector<Numbers>> Reference(const Numbers& weights, const Numbers& x, const Numbers& hx,
                                              const Numbers& cx, std::vector<Sequence>* ends) const {
    std::vector<PseudoLayer> layers;
    const auto take = [](const Numbers& from, long long begin, int count) {
      return begin < 0 ? Numbers() : Numbers(from.begin() + begin, from.begin() + begin + count);
    };
    for (const std::vector<Place>& places : places_) {
      layers.emplace_back();
      for (const Place& place : places)
        layers.back().push_back(
            {take(weights, place.matrix, place.matrix_elements), take(weights, place.bias, place.bias_elements)});
    }
    std::vector<std::vector<Numbers>> results;
    for (int b = 0; b < kBatch; ++b) {
      Sequence sequence;
      for (int t = 0; t < lengths_[b]; ++t) sequence.x.push_back(take(x, Row(b, t) * shape_.input, shape_.input));
      for (int p = 0; p < pseudos_; ++p) {
        sequence.h.push_back(take(hx, (p * kBatch + b) * shape_.output, shape_.output));
        sequence.c.push_back(take(cx, (p * kBatch + b) * shape_.hidden, shape_.hidden));
      }
      results.push_back(Evaluate(shape_, layers, sequence));
      ends->push_back(sequence);
    }
    return results;
  }
  void Expect(Wide got, Wide wanted, const char* what) const {
    const auto a = static_cast<double>(got), b = static_cast<double>(wanted);
    EXPECT(std::fabs(a - b) <= tolerance_ * (1 + std::fabs(b)), "%s: %s is %.9g, not %.9g", config_.name, what, a, b);
  }

  void TestStatuses(const Array<T>& x, const Array<T>& y, const Array<T>& weights, cudnnTensorDescriptor_t h) {
    size_t bytes = 0, reserve = 0;
    CHECK_DNN(cudnnGetRNNTempSpaceSizes(handle_, rnn_, CUDNN_FWD_MODE_INFERENCE, x_data_, &bytes, &reserve));
    const Array<char> workspace(bytes, nullptr);
    const auto forward = [&](cudnnRNNDataDescriptor_t out, size_t weight_bytes, size_t workspace_bytes,
                             cudnnTensorDescriptor_t states) {
      return cudnnRNNForward(handle_, rnn_, CUDNN_FWD_MODE_INFERENCE, nullptr, x_data_, x.memory(), out, y.memory(),
                             states, x.memory(), nullptr, nullptr, nullptr, nullptr, weight_bytes, weights.memory(),
                             workspace_bytes, workspace.memory(), 0, nullptr);
    };
    CHECK_DNN_STATUS(forward(nullptr, weights.bytes(), bytes, h), CUDNN_STATUS_BAD_PARAM);
    CHECK_DNN_STATUS(forward(y_data_, weights.bytes() - 1, bytes, h), CUDNN_STATUS_BAD_PARAM);
    if (bytes != 0) CHECK_DNN_STATUS(forward(y_data_, weights.bytes(), bytes - 1, h), CUDNN_STATUS_BAD_PARAM);
    CHECK_DNN_STATUS(forward(y_data_, weights.bytes(), bytes, nullptr), CUDNN_STATUS_BAD_PARAM);
    CHECK_DNN_STATUS(cudnnGetRNNWeightSpaceSize(nullptr, rnn_, &bytes), CUDNN_STATUS_BAD_PARAM);
  }

  cudnnHandle_t handle_;
  Config config_;
  double tolerance_;
  Random random_;
  RnnShape shape_;
  int pseudos_ = 0, columns_ = 0;
  cudnnRNNDescriptor_t rnn_ = nullptr;
  cudnnRNNDataDescriptor_t x_data_ = nullptr, y_data_ = nullptr;
  std::vector<int> lengths_;
  std::vector<std::vector<Place>> places_;
};

// As the real library, which was asked without a device.
void TestDescriptors() {
  cudnnRNNDescriptor_t rnn = nullptr;
  CHECK_DNN(cudnnCreateRNNDescriptor(&rnn));
  int layers = 0;
  const auto get = [&] {
    return cudnnGetRNNDescriptor_v8(rnn, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
                                    nullptr, nullptr, nullptr, &layers, nullptr, nullptr);
  };
  CHECK_DNN_STATUS(get(), CUDNN_STATUS_NOT_INITIALIZED);
  const auto set = [&](cudnnRNNMode_t cell, cudnnDataType_t type, cudnnDataType_t precision, int input, int output,
                       unsigned flags) {
    return cudnnSetRNNDescriptor_v8(rnn, CUDNN_RNN_ALGO_STANDARD, cell, CUDNN_RNN_DOUBLE_BIAS, CUDNN_UNIDIRECTIONAL,
                                    CUDNN_LINEAR_INPUT, type, precision, CUDNN_DEFAULT_MATH, input, 8, output, 3,
                                    nullptr, flags);
  };
  CHECK_DNN(set(CUDNN_LSTM, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, 8, 4, 0));
  CHECK_DNN_STATUS(set(CUDNN_LSTM, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, 8, 9, 0), CUDNN_STATUS_NOT_SUPPORTED);
  CHECK_DNN_STATUS(set(CUDNN_LSTM, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, 8, 0, 0), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(set(CUDNN_GRU, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, 8, 4, 0), CUDNN_STATUS_NOT_SUPPORTED);
  CHECK_DNN_STATUS(set(CUDNN_GRU, CUDNN_DATA_DOUBLE, CUDNN_DATA_FLOAT, 8, 8, 0), CUDNN_STATUS_NOT_SUPPORTED);
  CHECK_DNN_STATUS(set(CUDNN_GRU, CUDNN_DATA_INT32, CUDNN_DATA_FLOAT, 8, 8, 0), CUDNN_STATUS_NOT_SUPPORTED);
  CHECK_DNN_STATUS(set(CUDNN_GRU, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, 0, 8, 0), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(set(CUDNN_GRU, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, 8, 8, 2), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN(get());
  EXPECT(layers == 3, "%d layers", layers);
  CHECK_DNN_STATUS(cudnnRNNSetClip_v9(rnn, CUDNN_RNN_CLIP_MINMAX, 2, 1), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN(cudnnRNNSetClip_v9(rnn, CUDNN_RNN_CLIP_MINMAX, -2, 1));
  double low = 0, high = 0;
  cudnnRNNClipMode_t mode = CUDNN_RNN_CLIP_NONE;
  CHECK_DNN(cudnnRNNGetClip_v9(rnn, &mode, &low, &high));
  EXPECT(mode == CUDNN_RNN_CLIP_MINMAX && low == -2 && high == 1, "clipped to %g and %g", low, high);
  CHECK_DNN(cudnnDestroyRNNDescriptor(rnn));

  cudnnRNNDataDescriptor_t data = nullptr;
  CHECK_DNN(cudnnCreateRNNDataDescriptor(&data));
  const int unsorted[3] = {1, 3, 2}, sorted[3] = {3, 2, 1}, zero[3] = {3, 1, 0}, large[3] = {4, 2, 1};
  const auto describe = [&](cudnnRNNDataLayout_t layout, const int* lengths) {
    return cudnnSetRNNDataDescriptor(data, CUDNN_DATA_FLOAT, layout, 3, 3, 2, lengths, nullptr);
  };
  CHECK_DNN(describe(CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED, unsorted));
  CHECK_DNN(describe(CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED, zero));
  CHECK_DNN(describe(CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED, sorted));
  CHECK_DNN_STATUS(describe(CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED, unsorted), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(describe(CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED, zero), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(describe(CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED, large), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(describe(CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED, nullptr), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN(cudnnDestroyRNNDataDescriptor(data));
}

// Between two layers half is dropped, in training only, and the same with the same seed.
void TestDropout(cudnnHandle_t handle) {
  constexpr int kSteps = 7, kBatch = 3, kSize = 16;
  size_t states_bytes = 0, weight_bytes = 0, workspace_bytes = 0, inference_bytes = 0, reserve_bytes = 0;
  CHECK_DNN(cudnnDropoutGetStatesSize(handle, &states_bytes));
  const Array<char> states(states_bytes, nullptr);
  cudnnDropoutDescriptor_t dropout = nullptr;
  cudnnRNNDescriptor_t rnn = nullptr;
  cudnnRNNDataDescriptor_t data = nullptr;
  CHECK_DNN(cudnnCreateDropoutDescriptor(&dropout));
  CHECK_DNN(cudnnSetDropoutDescriptor(dropout, handle, 0.5f, states.memory(), states_bytes, 5));
  CHECK_DNN(cudnnCreateRNNDescriptor(&rnn));
  CHECK_DNN(cudnnSetRNNDescriptor_v8(rnn, CUDNN_RNN_ALGO_STANDARD, CUDNN_GRU, CUDNN_RNN_DOUBLE_BIAS,
                                     CUDNN_UNIDIRECTIONAL, CUDNN_LINEAR_INPUT, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT,
                                     CUDNN_DEFAULT_MATH, kSize, kSize, kSize, 2, dropout,
                                     CUDNN_RNN_PADDED_IO_DISABLED));
  const std::vector<int> lengths(kBatch, kSteps);
  CHECK_DNN(cudnnCreateRNNDataDescriptor(&data));
  CHECK_DNN(cudnnSetRNNDataDescriptor(data, CUDNN_DATA_FLOAT, CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED, kSteps, kBatch,
                                      kSize, lengths.data(), nullptr));
  CHECK_DNN(cudnnGetRNNWeightSpaceSize(handle, rnn, &weight_bytes));
  CHECK_DNN(cudnnGetRNNTempSpaceSizes(handle, rnn, CUDNN_FWD_MODE_INFERENCE, data, &inference_bytes, nullptr));
  CHECK_DNN(cudnnGetRNNTempSpaceSizes(handle, rnn, CUDNN_FWD_MODE_TRAINING, data, &workspace_bytes, &reserve_bytes));
  const Array<char> workspace(std::max(workspace_bytes, inference_bytes), nullptr), reserve(reserve_bytes, nullptr);
  Random random(29);
  const Array<float> weights(weight_bytes / sizeof(float), &random), x(kSteps * kBatch * kSize, &random);
  Array<float> y(x.count(), nullptr);
  const auto forward = [&](cudnnForwardMode_t mode) {
    CHECK_DNN(cudnnRNNForward(handle, rnn, mode, nullptr, data, x.memory(), data, y.memory(), nullptr, nullptr, nullptr,
                              nullptr, nullptr, nullptr, weight_bytes, weights.memory(), workspace.bytes(),
                              workspace.memory(), reserve.bytes(), reserve.memory()));
    y.Fetch();
    Numbers values;
    for (size_t i = 0; i < y.count(); ++i) values.push_back(y[i]);
    return values;
  };
  const Numbers without = forward(CUDNN_FWD_MODE_INFERENCE), first = forward(CUDNN_FWD_MODE_TRAINING);
  EXPECT(first != without, "nothing was dropped");
  EXPECT(forward(CUDNN_FWD_MODE_TRAINING) != first, "the same was dropped twice");
  EXPECT(forward(CUDNN_FWD_MODE_INFERENCE) == without, "an inference dropped something");
  CHECK_DNN(cudnnSetDropoutDescriptor(dropout, handle, 0.5f, states.memory(), states_bytes, 5));
  EXPECT(forward(CUDNN_FWD_MODE_TRAINING) == first, "the same seed dropped others");
  CHECK_DNN(cudnnDestroyRNNDataDescriptor(data));
  CHECK_DNN(cudnnDestroyRNNDescriptor(rnn));
  CHECK_DNN(cudnnDestroyDropoutDescriptor(dropout));
}

}  // namespace

int main() {
  cudnnHandle_t handle = nullptr;
  CHECK_DNN(cudnnCreate(&handle));
  TestDescriptors();
  constexpr cudnnRNNDataLayout_t kPacked = CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED,
                                 kSteps = CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED,
                                 kBatches = CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED;
  const Config configs[] = {
      {"lstm", CUDNN_LSTM, CUDNN_RNN_DOUBLE_BIAS, CUDNN_BIDIRECTIONAL, CUDNN_LINEAR_INPUT, 5, 6, 6, 2, kPacked, false},
      {"lstm, projected", CUDNN_LSTM, CUDNN_RNN_SINGLE_INP_BIAS, CUDNN_UNIDIRECTIONAL, CUDNN_LINEAR_INPUT, 4, 7, 3, 2,
       kSteps, false},
      {"lstm, clipped", CUDNN_LSTM, CUDNN_RNN_NO_BIAS, CUDNN_BIDIRECTIONAL, CUDNN_SKIP_INPUT, 6, 6, 6, 1, kBatches,
       true},
      {"gru", CUDNN_GRU, CUDNN_RNN_DOUBLE_BIAS, CUDNN_BIDIRECTIONAL, CUDNN_LINEAR_INPUT, 3, 5, 5, 3, kBatches, false},
      {"gru, recurrent bias", CUDNN_GRU, CUDNN_RNN_SINGLE_REC_BIAS, CUDNN_UNIDIRECTIONAL, CUDNN_SKIP_INPUT, 5, 5, 5, 2,
       kPacked, false},
      {"tanh", CUDNN_RNN_TANH, CUDNN_RNN_DOUBLE_BIAS, CUDNN_BIDIRECTIONAL, CUDNN_LINEAR_INPUT, 3, 4, 4, 2, kSteps,
       false},
      {"relu", CUDNN_RNN_RELU, CUDNN_RNN_SINGLE_INP_BIAS, CUDNN_UNIDIRECTIONAL, CUDNN_LINEAR_INPUT, 3, 4, 4, 1, kPacked,
       false},
  };
  for (const Config& config : configs) {
    Trainer<float>(handle, config, 1e-4).Run();
    Trainer<double>(handle, config, 1e-8).Run();
    Trainer<__half>(handle, config, 1e-2).Run();
  }
  Trainer<__nv_bfloat16>(handle, configs[0], 8e-2).Run();
  TestDropout(handle);
  CHECK_DNN(cudnnDestroy(handle));
  return Passed();
}
