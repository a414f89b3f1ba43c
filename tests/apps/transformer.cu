// Trains a small GPT on a text that it makes up: forward, backward and AdamW by cublasLt (linear layers with their
// biases, GELU and gradients), cublas (attention by batches, the output layer, the length of the gradient) and kernels
// of its own. The host only posts: it reads the losses of kReport steps at a time.
//
//     transformer                        trains kSteps steps; the first loss must be the reference's, the last one low
//     transformer gradients              compares the backward pass with differences of the loss
//     transformer bench COUNT ROUNDS     trains COUNT steps a round, and one round that does not count; prints ns
#include <chrono>
#include <cstring>
#include <string>

#include "transformer_model.h"
#include "transformer_reference.h"

constexpr int kReport = 10;  // steps
constexpr int kSteps = 40;
constexpr double kLossMax = 2.0;  // of the last kReport steps; the text's bytes, taken alone, have an entropy of 3

// Words of a small vocabulary, in any order: what follows a letter takes the letters before it to tell.
static std::vector<int> MakeText(size_t bytes) {
  Random random(7);
  std::vector<std::string> words(16);
  for (std::string& word : words) {
    for (std::uint32_t i = 3 + random.Below(5); i > 0; --i) word += static_cast<char>('a' + random.Below(26));
  }
  std::vector<int> text;
  while (text.size() < bytes) {
    for (const char letter : words[random.Below(16)]) text.push_back(letter);
    text.push_back(' ');
  }
  return text;
}

// What a step learns from: tokens, and behind each the next one as its target.
struct Batch {
  int tokens[kTokens];
  int targets[kTokens];
};

class Trainer {
 public:
  Trainer() {
    CHECK_BLAS(cublasSetStream(blas_, stream_));
    CHECK(cudaMallocHost(reinterpret_cast<void**>(&batches_), kReport * sizeof(Batch)));
    CHECK(cudaMallocHost(reinterpret_cast<void**>(&losses_), kReport * sizeof(float)));
    // The stream waits for no other, and the zeros come by another.
    CHECK(cudaDeviceSynchronize());
    Initialise();
  }
  ~Trainer() {
    CHECK(cudaStreamSynchronize(stream_));
    CHECK(cudaFreeHost(losses_));
    CHECK(cudaFreeHost(batches_));
    CHECK_BLAS(cublasDestroy(blas_));
    CHECK(cudaStreamDestroy(stream_));
  }
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  // Appends the loss of every step to `losses`.
  void Train(int steps, std::vector<float>* losses) {
    while (steps > 0) {
      const int now = std::min(steps, kReport);
      for (int i = 0; i < now; ++i) Step(i);
      CHECK(cudaMemcpyAsync(losses_, device_losses_, now * sizeof(float), cudaMemcpyDeviceToHost, stream_));
      CHECK(cudaStreamSynchronize(stream_));
      losses->insert(losses->end(), losses_, losses_ + now);
      steps -= now;
    }
  }

  // Of the parameters as they are.
  double ReferenceLoss() {
    std::vector<float> parameters = Read(model_.parameters());
    Random random(kBatchSeed);
    const Batch batch = MakeBatch(random);
    return reference::Loss(Place(parameters.data()), batch.tokens, batch.targets);
  }

  void CheckGradients();
  size_t parameters() { return model_.counts().all; }

 private:
  static constexpr std::uint64_t kBatchSeed = 11;

  void Initialise() {
    std::vector<float> host(model_.counts().all);
    Parameters p = Place(host.data());
    Random random(3);
    for (const Tensor& tensor : TensorsOf(p)) {
      for (size_t i = 0; i < tensor.count; ++i) {
        const float evenly = static_cast<float>(random.Below(20001)) / 10000 - 1;
        (*tensor.place)[i] = tensor.kind == Tensor::kMatrix ? 0.14f * evenly
                             : tensor.kind == Tensor::kGain ? 1.0f
                                                            : 0.0f;
      }
    }
    Write(host);
  }
  std::vector<float> Read(const float* from) {
    std::vector<float> host(model_.counts().all);
    CHECK(cudaMemcpyAsync(host.data(), from, host.size() * sizeof(float), cudaMemcpyDeviceToHost, stream_));
    CHECK(cudaStreamSynchronize(stream_));
    return host;
  }
  void Write(const std::vector<float>& host) {
    CHECK(cudaMemcpyAsync(model_.parameters(), host.data(), host.size() * sizeof(float), cudaMemcpyHostToDevice,
                          stream_));
    CHECK(cudaStreamSynchronize(stream_));
  }

  Batch MakeBatch(Random& random) const {
    Batch batch;
    for (int sequence = 0; sequence < kBatch; ++sequence) {
      const std::uint32_t start = random.Below(static_cast<std::uint32_t>(text_.size()) - kTime);
      for (int t = 0; t < kTime; ++t) {
        batch.tokens[sequence * kTime + t] = text_[start + t];
        batch.targets[sequence * kTime + t] = text_[start + t + 1];
      }
    }
    return batch;
  }

  // The pinned batch of this place is free: what used it has been waited for.
  void Step(int place) {
    batches_[place] = MakeBatch(random_);
    CHECK(cudaMemcpyAsync(batch_, &batches_[place], sizeof(Batch), cudaMemcpyHostToDevice, stream_));
    model_.Forward(batch_->tokens, batch_->targets, &device_losses_[place]);
    model_.Backward(batch_->tokens);
    beta1_power_ *= kBeta1;
    beta2_power_ *= kBeta2;
    model_.Update({kRate, kDecay, kBeta1, kBeta2, 1 - beta1_power_, 1 - beta2_power_});
  }

  static constexpr float kRate = 3e-3f, kDecay = 0.01f, kBeta1 = 0.9f, kBeta2 = 0.95f;

  static cudaStream_t MakeStream() {
    cudaStream_t stream = nullptr;
    CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return stream;
  }
  static cublasHandle_t MakeBlas() {
    cublasHandle_t blas = nullptr;
    CHECK_BLAS(cublasCreate(&blas));
    return blas;
  }

  const std::vector<int> text_ = MakeText(16384);
  Random random_{kBatchSeed};
  float beta1_power_ = 1, beta2_power_ = 1;
  const cudaStream_t stream_ = MakeStream();
  const cublasHandle_t blas_ = MakeBlas();
  const Lt lt_;
  DeviceMemory memory_;
  Model model_{lt_, blas_, stream_};
  Batch* batches_ = nullptr;  // pinned, one a step until the host waits
  float* losses_ = nullptr;   // pinned
  Batch* const batch_ = memory_.Take<Batch>(1);
  float* const device_losses_ = memory_.Take(kReport);
};

// For each tensor in two directions: along the gradient itself, where the slope is its length, and along signs that
// chance has thrown, which see what the gradient leaves out.
void Trainer::CheckGradients() {
  Random random(kBatchSeed);
  const Batch batch = MakeBatch(random);
  CHECK(cudaMemcpyAsync(batch_, &batch, sizeof(Batch), cudaMemcpyHostToDevice, stream_));
  const auto loss = [&] {
    float value = 0;
    model_.Forward(batch_->tokens, batch_->targets, device_losses_);
    CHECK(cudaMemcpyAsync(&value, device_losses_, sizeof(value), cudaMemcpyDeviceToHost, stream_));
    CHECK(cudaStreamSynchronize(stream_));
    return static_cast<double>(value);
  };
  (void)loss();
  model_.Backward(batch_->tokens);
  std::vector<float> gradients = Read(model_.gradients());
  std::vector<float> start = Read(model_.parameters()), moved = start;
  Parameters all = Place(gradients.data());
  for (const Tensor& tensor : TensorsOf(all)) {
    const size_t first = *tensor.place - gradients.data();
    double squares = 0;
    for (size_t i = 0; i < tensor.count; ++i) squares += gradients[first + i] * gradients[first + i];
    const double length = std::sqrt(squares);
    EXPECT(length > 1e-4, "the gradient of %s is %g long", tensor.name, length);
    for (const bool along : {true, false}) {
      const double distance = along ? 0.02 : 2e-3;
      std::vector<double> direction(tensor.count);
      double slope = 0;
      for (size_t i = 0; i < tensor.count; ++i) {
        direction[i] = along ? gradients[first + i] / length : random.Below(2) * 2.0 - 1;
        slope += direction[i] * gradients[first + i];
      }
      double sides[2];
      for (const int side : {0, 1}) {
        for (size_t i = 0; i < tensor.count; ++i)
          moved[first + i] = static_cast<float>(start[first + i] + (side * 2 - 1) * distance * direction[i]);
        Write(moved);
        sides[side] = loss();
      }
      const double measured = (sides[1] - sides[0]) / (2 * distance);
      EXPECT(std::fabs(measured - slope) <= 0.01 * length, "%s, %s: the slope is %g, and the gradient says %g",
             tensor.name, along ? "along its gradient" : "along signs", measured, slope);
    }
    std::copy_n(start.begin() + static_cast<std::ptrdiff_t>(first), tensor.count,
                moved.begin() + static_cast<std::ptrdiff_t>(first));
  }
}

static int Bench(int count, int rounds) {
  Trainer trainer;
  std::vector<float> losses;
  std::printf("{\"mode\": \"train\", \"count\": %d, \"rounds\": %d, \"ns\": [", count, rounds);
  for (int round = 0; round <= rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    trainer.Train(count, &losses);
    const std::chrono::nanoseconds taken = std::chrono::steady_clock::now() - begin;
    if (round > 0) std::printf("%s%lld", round > 1 ? ", " : "", static_cast<long long>(taken.count()));
  }
  std::printf("]}\n");
  return 0;
}

// One number for all bits of the losses.
static std::uint64_t Trace(const std::vector<float>& losses) {
  std::uint64_t trace = 0xcbf29ce484222325ull;
  for (const float loss : losses) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &loss, sizeof(bits));
    trace = (trace ^ bits) * 0x100000001b3ull;
  }
  return trace;
}

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "bench" && argc == 4) return Bench(std::atoi(argv[2]), std::atoi(argv[3]));
  Trainer trainer;
  if (mode == "gradients") {
    trainer.CheckGradients();
    return Passed();
  }
  const double wanted = trainer.ReferenceLoss();
  std::vector<float> losses;
  trainer.Train(kSteps, &losses);
  EXPECT(std::fabs(losses[0] - wanted) <= 1e-5 * wanted, "the first loss is %.7f, the reference's %.7f", losses[0],
         wanted);
  double last = 0;
  for (int i = kSteps - kReport; i < kSteps; ++i) last += losses[i] / kReport;
  EXPECT(last <= kLossMax, "the loss is %.4f after %d steps", last, kSteps);
  std::printf("transformer: %zu parameters, %d steps, loss %.6f to %.6f, trace %016llx\n", trainer.parameters(), kSteps,
              losses[0], last, static_cast<unsigned long long>(Trace(losses)));
  return Passed();
}
