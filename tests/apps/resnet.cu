// A small ResNet, trained with cuDNN, cuBLAS and kernels of its own: convolutions with batch normalisation, blocks with
// a way around them. The images are drawn here: stripes in three directions, a disc and a frame, in any colours, with
// noise.
//
//     resnet                checks the gradients against differences of the loss, trains, and prints the losses
//     resnet bench STEPS    that many steps, whose loss is looked at after each
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "gradient_check.h"
#include "resnet_model.h"

static void Draw(Random& random, int kind, float* image) {
  const int phase = static_cast<int>(random.Below(6));
  const int row = 6 + static_cast<int>(random.Below(4)), column = 6 + static_cast<int>(random.Below(4));
  float colour[kChannels];
  for (float& part : colour) part = 0.4f + static_cast<float>(random.Below(60)) / 100;
  for (int y = 0; y < kSize; ++y) {
    for (int x = 0; x < kSize; ++x) {
      const int dy = std::abs(y - row), dx = std::abs(x - column);
      bool is_lit = false;
      switch (kind) {
        case 0: is_lit = (y + phase) % 6 < 3; break;
        case 1: is_lit = (x + phase) % 6 < 3; break;
        case 2: is_lit = (x + y + phase) % 6 < 3; break;
        case 3: is_lit = dy * dy + dx * dx < 26; break;
        default: is_lit = std::max(dy, dx) == 5; break;
      }
      for (int c = 0; c < kChannels; ++c) {
        const float noise = static_cast<float>(random.Below(100)) / 200;
        image[(c * kSize + y) * kSize + x] = (is_lit ? colour[c] : 0.0f) + noise;
      }
    }
  }
}

struct Batch {
  std::vector<float> images = std::vector<float>(kBatch * kChannels * kSize * kSize);
  std::vector<int> labels = std::vector<int>(kBatch);
  void Next(Random& random) {
    for (int i = 0; i < kBatch; ++i) {
      labels[i] = static_cast<int>(random.Below(kClasses));
      Draw(random, labels[i], images.data() + i * kChannels * kSize * kSize);
    }
  }
};

static void TestGradients(ResNet& network, Batch& batch, Random& random) {
  batch.Next(random);
  network.SetBatch(batch.images, batch.labels);
  network.Forward();
  network.Backward();
  CHECK(cudaStreamSynchronize(nullptr));
  const std::vector<Parameters*> layers = network.Layers();
  for (size_t i = 0; i < layers.size(); ++i)
    ExpectSlope(network, *layers[i], layers[i]->values.count() / 3, "layer " + std::to_string(i));
}

static std::vector<double> Train(ResNet& network, Batch& batch, Random& random, int steps) {
  std::vector<double> losses;
  for (int step = 0; step < steps; ++step) {
    batch.Next(random);
    network.SetBatch(batch.images, batch.labels);
    network.Forward();
    network.Backward();
    network.Step(0.02f);
    losses.push_back(network.Loss());
  }
  return losses;
}

// Every bit of every loss.
static std::uint64_t TraceOf(const std::vector<double>& losses) {
  std::uint64_t trace = 0xcbf29ce484222325ull;
  for (const double loss : losses) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &loss, sizeof(bits));
    trace = (trace ^ bits) * 0x100000001b3ull;
  }
  return trace;
}

static double Mean(const std::vector<double>& losses, size_t first, size_t count) {
  double sum = 0;
  for (size_t i = first; i < first + count; ++i) sum += losses[i];
  return sum / static_cast<double>(count);
}

int main(int argc, char** argv) {
  const bool is_bench = argc == 3 && std::string(argv[1]) == "bench";
  if (argc != 1 && !is_bench) {
    std::fprintf(stderr, "usage: resnet [bench STEPS]\n");
    return 2;
  }
  Handles handles;
  CHECK(cudaStreamCreate(&handles.stream));
  CHECK_DNN(cudnnCreate(&handles.dnn));
  CHECK_DNN(cudnnSetStream(handles.dnn, handles.stream));
  CHECK_BLAS(cublasCreate(&handles.blas));
  CHECK_BLAS(cublasSetStream(handles.blas, handles.stream));
  {
    Random random(5);
    ResNet network(handles, random);
    Batch batch;
    if (is_bench) {
      Train(network, batch, random, std::atoi(argv[2]));
    } else {
      TestGradients(network, batch, random);
      const size_t steps = 60, some = 5;
      const std::vector<double> losses = Train(network, batch, random, static_cast<int>(steps));
      const double begin = Mean(losses, 0, some), end = Mean(losses, steps - some, some);
      std::printf("resnet: %zu steps, loss %.6f to %.6f, trace %016llx\n", steps, begin, end,
                  static_cast<unsigned long long>(TraceOf(losses)));
      EXPECT(end < begin / 3, "the loss fell from %g to %g only", begin, end);
    }
  }
  CHECK_BLAS(cublasDestroy(handles.blas));
  CHECK_DNN(cudnnDestroy(handles.dnn));
  CHECK(cudaStreamDestroy(handles.stream));
  return Passed();
}
