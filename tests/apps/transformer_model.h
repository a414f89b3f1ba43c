// The GPT of transformer.cu on the device: forward, backward, update. Everything is posted to one stream, and nothing
// here waits.
#pragma once

#include <deque>

#include "transformer_kernels.h"
#include "transformer_product.h"

// Zeros on the device, freed together.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  ~DeviceMemory() {
    for (void* block : blocks_) CHECK(cudaFree(block));
  }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  template <typename T = float>
  T* Take(size_t count) {
    void* block = nullptr;
    CHECK(cudaMalloc(&block, count * sizeof(T)));
    CHECK(cudaMemset(block, 0, count * sizeof(T)));
    blocks_.push_back(block);
    return static_cast<T*>(block);
  }

 private:
  std::vector<void*> blocks_;
};

// Buffers that every layer uses anew; the gradients among them.
struct Scratch {
  explicit Scratch(DeviceMemory& memory)
      : rows(memory.Take(3 * kTokens * kWidth)),
        heads(memory.Take(3 * kTokens * kWidth)),
        scores(memory.Take(kScoreRows * kTime)),
        mixed(memory.Take(kTokens * kWidth)),
        hidden(memory.Take(kTokens * kHidden)),
        normed(memory.Take(kTokens * kWidth)),
        dx(memory.Take(kTokens * kWidth)) {}
  float *rows, *heads, *scores, *mixed, *hidden, *normed;
  float* dx;  // of the residual stream: every layer adds its part on the way back
};

// What a layer keeps from its forward pass for the backward one.
struct Kept {
  Kept(DeviceMemory& memory, const float* in)
      : x(in),
        normed1(memory.Take(kTokens * kWidth)),
        heads(memory.Take(3 * kTokens * kWidth)),
        probabilities(memory.Take(kScoreRows * kTime)),
        mixed(memory.Take(kTokens * kWidth)),
        middle(memory.Take(kTokens * kWidth)),
        normed2(memory.Take(kTokens * kWidth)),
        before_gelu(memory.Take(kTokens * kHidden)),
        hidden(memory.Take(kTokens * kHidden)),
        y(memory.Take(kTokens * kWidth)),
        moments1(memory.Take<Moments>(kTokens)),
        moments2(memory.Take<Moments>(kTokens)) {}
  const float* x;
  float *normed1, *heads, *probabilities, *mixed, *middle, *normed2, *before_gelu, *hidden, *y;
  Moments *moments1, *moments2;
};

// The products of a layer by cublasLt.
struct LayerProducts {
  LayerProducts(const Lt& lt, const LayerParameters& p, const LayerParameters& g, const Kept& k, const Scratch& s)
      : attention(Forward(lt, kTokens, kWidth, 3 * kWidth, k.normed1, p.attention, nullptr, s.rows,
                          {CUBLASLT_EPILOGUE_BIAS, p.attention_bias})),
        output(Forward(lt, kTokens, kWidth, kWidth, k.mixed, p.output, k.x, k.middle,
                       {CUBLASLT_EPILOGUE_BIAS, p.output_bias})),
        up(Forward(lt, kTokens, kWidth, kHidden, k.normed2, p.up, nullptr, k.hidden,
                   {CUBLASLT_EPILOGUE_GELU_AUX_BIAS, p.up_bias, k.before_gelu})),
        down(Forward(lt, kTokens, kHidden, kWidth, k.hidden, p.down, k.middle, k.y,
                     {CUBLASLT_EPILOGUE_BIAS, p.down_bias})),
        down_weight(WeightGradient(lt, kTokens, kHidden, kWidth, k.hidden, s.dx, g.down,
                                   {CUBLASLT_EPILOGUE_BGRADB, g.down_bias})),
        down_input(InputGradient(lt, kTokens, kHidden, kWidth, s.dx, p.down, s.hidden,
                                 {CUBLASLT_EPILOGUE_DGELU_BGRAD, g.up_bias, k.before_gelu})),
        up_weight(WeightGradient(lt, kTokens, kWidth, kHidden, k.normed2, s.hidden, g.up, {})),
        up_input(InputGradient(lt, kTokens, kWidth, kHidden, s.hidden, p.up, s.normed, {})),
        output_weight(WeightGradient(lt, kTokens, kWidth, kWidth, k.mixed, s.dx, g.output,
                                     {CUBLASLT_EPILOGUE_BGRADB, g.output_bias})),
        output_input(InputGradient(lt, kTokens, kWidth, kWidth, s.dx, p.output, s.mixed, {})),
        attention_weight(WeightGradient(lt, kTokens, kWidth, 3 * kWidth, k.normed1, s.rows, g.attention,
                                        {CUBLASLT_EPILOGUE_BGRADB, g.attention_bias})),
        attention_input(InputGradient(lt, kTokens, kWidth, 3 * kWidth, s.rows, p.attention, s.normed, {})) {}
  Product attention, output, up, down;
  Product down_weight, down_input, up_weight, up_input, output_weight, output_input, attention_weight, attention_input;
};

class Model {
 public:
  Model(const Lt& lt, cublasHandle_t blas, cudaStream_t stream)
      : blas_(blas),
        stream_(stream),
        parameters_(memory_.Take(counts_.all)),
        gradients_(memory_.Take(counts_.all)),
        p_(Place(parameters_)),
        g_(Place(gradients_)),
        s_(memory_),
        first_(memory_.Take(counts_.all)),
        second_(memory_.Take(counts_.all)),
        x_(memory_.Take(kTokens * kWidth)),
        normed_(memory_.Take(kTokens * kWidth)),
        moments_(memory_.Take<Moments>(kTokens)),
        logits_(memory_.Take(kTokens * kVocabulary)),
        losses_(memory_.Take(kTokens)),
        length_(memory_.Take(1)) {
    const float* in = x_;
    for (int l = 0; l < kLayers; ++l) {
      kept_.emplace_back(memory_, in);
      products_.emplace_back(lt, p_.layers[l], g_.layers[l], kept_.back(), s_);
      in = kept_.back().y;
    }
    y_ = in;
  }

  const ParameterCounts& counts() const { return counts_; }
  float* parameters() { return parameters_; }
  const float* gradients() const { return gradients_; }

  // Leaves the mean cross entropy of `targets` in *loss, on the device.
  void Forward(const int* tokens, const int* targets, float* loss) {
    Embed<<<BlocksOfElements(kTokens * kWidth), kThreads, 0, stream_>>>(tokens, p_.embedding, p_.positions, x_);
    for (int l = 0; l < kLayers; ++l) ForwardLayer(p_.layers[l], kept_[l], products_[l]);
    Norm<<<BlocksOfRows(kTokens), kThreads, 0, stream_>>>(y_, p_.norm_gain, p_.norm_bias, normed_, moments_);
    Multiply(CUBLAS_OP_T, CUBLAS_OP_N, kVocabulary, kTokens, kWidth, p_.embedding, normed_, logits_);
    CrossEntropy<<<BlocksOfRows(kTokens), kThreads, 0, stream_>>>(logits_, targets, losses_);
    MeanLoss<<<1, kWarp, 0, stream_>>>(losses_, loss);
    CHECK(cudaGetLastError());
  }

  // Behind Forward().
  void Backward(const int* tokens) {
    Multiply(CUBLAS_OP_N, CUBLAS_OP_T, kWidth, kVocabulary, kTokens, normed_, logits_, g_.embedding);
    Multiply(CUBLAS_OP_N, CUBLAS_OP_N, kWidth, kTokens, kVocabulary, p_.embedding, logits_, s_.normed);
    CHECK(cudaMemsetAsync(s_.dx, 0, kTokens * kWidth * sizeof(float), stream_));
    BackwardNorm(y_, moments_, p_.norm_gain, g_.norm_gain, g_.norm_bias);
    for (int l = kLayers - 1; l >= 0; --l) BackwardLayer(p_.layers[l], g_.layers[l], kept_[l], products_[l]);
    EmbedBackward<<<kVocabulary, kWidth, 0, stream_>>>(tokens, s_.dx, g_.embedding);
    PositionsBackward<<<BlocksOfElements(kTime * kWidth), kThreads, 0, stream_>>>(s_.dx, g_.positions);
    CHECK(cudaGetLastError());
  }

  // Behind Backward(). The length of the gradient stays on the device.
  void Update(const AdamStep& step) {
    const int count = static_cast<int>(counts_.all);
    CHECK_BLAS(cublasSetPointerMode(blas_, CUBLAS_POINTER_MODE_DEVICE));
    CHECK_BLAS(cublasSnrm2(blas_, count, gradients_, 1, length_));
    CHECK_BLAS(cublasSetPointerMode(blas_, CUBLAS_POINTER_MODE_HOST));
    AdamW<<<BlocksOfElements(count), kThreads, 0, stream_>>>(parameters_, gradients_, first_, second_, count,
                                                             static_cast<int>(counts_.matrices), length_, step);
    CHECK(cudaGetLastError());
  }

 private:
  // c = op(a) op(b), packed.
  void Multiply(cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const float* a, const float* b,
                float* c) {
    const float one = 1, zero = 0;
    CHECK_BLAS(cublasSgemm(blas_, ta, tb, m, n, k, &one, a, ta == CUBLAS_OP_N ? m : k, b, tb == CUBLAS_OP_N ? k : n,
                           &zero, c, m));
  }
  // The same for every head of every sequence.
  void MultiplyHeads(cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, float alpha, const float* a,
                     const float* b, float* c) {
    const float zero = 0;
    CHECK_BLAS(cublasSgemmStridedBatched(blas_, ta, tb, m, n, k, &alpha, a, ta == CUBLAS_OP_N ? m : k, m * k, b,
                                         tb == CUBLAS_OP_N ? k : n, k * n, &zero, c, m, m * n, kBatch * kHeads));
  }

  void ForwardLayer(const LayerParameters& p, const Kept& k, const LayerProducts& products) {
    const float *queries = k.heads, *keys = queries + kTokens * kWidth, *values = keys + kTokens * kWidth;
    Norm<<<BlocksOfRows(kTokens), kThreads, 0, stream_>>>(k.x, p.norm1_gain, p.norm1_bias, k.normed1, k.moments1);
    products.attention.Run(stream_);
    SplitHeads<<<BlocksOfElements(3 * kTokens * kWidth), kThreads, 0, stream_>>>(s_.rows, 3, k.heads);
    MultiplyHeads(CUBLAS_OP_T, CUBLAS_OP_N, kTime, kTime, kHeadWidth, kScale, keys, queries, k.probabilities);
    CausalSoftmax<<<BlocksOfRows(kScoreRows), kThreads, 0, stream_>>>(k.probabilities);
    MultiplyHeads(CUBLAS_OP_N, CUBLAS_OP_N, kHeadWidth, kTime, kTime, 1, values, k.probabilities, s_.heads);
    MergeHeads<<<BlocksOfElements(kTokens * kWidth), kThreads, 0, stream_>>>(s_.heads, 1, k.mixed);
    products.output.Run(stream_);
    Norm<<<BlocksOfRows(kTokens), kThreads, 0, stream_>>>(k.middle, p.norm2_gain, p.norm2_bias, k.normed2, k.moments2);
    products.up.Run(stream_);
    products.down.Run(stream_);
  }

  void BackwardNorm(const float* x, const Moments* moments, const float* gain, float* dgain, float* dbias) {
    NormParametersBackward<<<BlocksOfRows(kWidth), kThreads, 0, stream_>>>(x, moments, s_.normed, dgain, dbias);
    NormBackward<<<BlocksOfRows(kTokens), kThreads, 0, stream_>>>(x, moments, gain, s_.normed, s_.dx);
  }

  void BackwardLayer(const LayerParameters& p, const LayerParameters& g, const Kept& k, const LayerProducts& products) {
    const float *queries = k.heads, *keys = queries + kTokens * kWidth, *values = keys + kTokens * kWidth;
    float *dqueries = s_.heads, *dkeys = dqueries + kTokens * kWidth, *dvalues = dkeys + kTokens * kWidth;
    products.down_weight.Run(stream_);
    products.down_input.Run(stream_);
    products.up_weight.Run(stream_);
    products.up_input.Run(stream_);
    BackwardNorm(k.middle, k.moments2, p.norm2_gain, g.norm2_gain, g.norm2_bias);
    products.output_weight.Run(stream_);
    products.output_input.Run(stream_);
    // The gradient of the mixed values, by heads, lies where the rows of queries, keys and values come last.
    float* const dmixed = s_.rows;
    SplitHeads<<<BlocksOfElements(kTokens * kWidth), kThreads, 0, stream_>>>(s_.mixed, 1, dmixed);
    MultiplyHeads(CUBLAS_OP_T, CUBLAS_OP_N, kTime, kTime, kHeadWidth, 1, values, dmixed, s_.scores);
    MultiplyHeads(CUBLAS_OP_N, CUBLAS_OP_T, kHeadWidth, kTime, kTime, 1, dmixed, k.probabilities, dvalues);
    SoftmaxBackward<<<BlocksOfRows(kScoreRows), kThreads, 0, stream_>>>(k.probabilities, s_.scores);
    MultiplyHeads(CUBLAS_OP_N, CUBLAS_OP_N, kHeadWidth, kTime, kTime, kScale, keys, s_.scores, dqueries);
    MultiplyHeads(CUBLAS_OP_N, CUBLAS_OP_T, kHeadWidth, kTime, kTime, kScale, queries, s_.scores, dkeys);
    MergeHeads<<<BlocksOfElements(3 * kTokens * kWidth), kThreads, 0, stream_>>>(s_.heads, 3, s_.rows);
    products.attention_weight.Run(stream_);
    products.attention_input.Run(stream_);
    BackwardNorm(k.x, k.moments1, p.norm1_gain, g.norm1_gain, g.norm1_bias);
  }

  static constexpr float kScale = 0.25f;  // 1 / sqrt(kHeadWidth)
  static_assert(kScale * kScale * kHeadWidth == 1.0f);

  const cublasHandle_t blas_;
  const cudaStream_t stream_;
  const ParameterCounts counts_ = CountParameters();
  DeviceMemory memory_;
  float *parameters_, *gradients_;
  const Parameters p_, g_;
  const Scratch s_;
  float *first_, *second_;  // of AdamW
  float* x_;
  const float* y_;
  float* normed_;
  Moments* moments_;
  float *logits_, *losses_, *length_;
  std::deque<Kept> kept_;
  std::deque<LayerProducts> products_;
};
