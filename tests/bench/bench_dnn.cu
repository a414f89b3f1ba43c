// What posting a call of cuDNN costs its program, as bench_client's posts:
//
//     bench_dnn MODE COUNT ROUNDS
//
// Each gives in `ns` the CPU time of the process:
//
//   convolution_posts    of cudnnConvolutionForward, of a small image, with the algorithm that was found
//   gradient_posts       of cudnnConvolutionBackwardData and -Filter, by turns
#include <cudnn.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "tests/apps/cudnn_check.h"
#include "tests/bench/bench.h"

namespace {

// A convolution of the kind that ResNets begin with, with all that its three directions need.
struct Convolution {
  Convolution() : x(Packed({2, 8, 16, 16})), w(Packed({8, 8, 3, 3})), y(Packed({2, 8, 16, 16})) {
    CHECK_DNN(cudnnCreate(&dnn));
    CHECK_DNN(cudnnCreateFilterDescriptor(&filter));
    CHECK_DNN(cudnnSetFilter4dDescriptor(filter, CUDNN_DATA_FLOAT, CUDNN_TENSOR_NCHW, 8, 8, 3, 3));
    CHECK_DNN(cudnnCreateConvolutionDescriptor(&descriptor));
    CHECK_DNN(cudnnSetConvolution2dDescriptor(descriptor, 1, 1, 1, 1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  }
  cudnnHandle_t dnn = nullptr;
  cudnnFilterDescriptor_t filter = nullptr;
  cudnnConvolutionDescriptor_t descriptor = nullptr;
  Tensor<float> x, w, y;
  const float one = 1, zero = 0;
};

void* Workspace(size_t bytes) {
  void* memory = nullptr;
  if (bytes != 0) CHECK(cudaMalloc(&memory, bytes));
  return memory;
}

void ConvolutionPosts(Bench& bench) {
  Convolution c;
  cudnnConvolutionFwdAlgoPerf_t best;
  int found = 0;
  CHECK_DNN(cudnnGetConvolutionForwardAlgorithm_v7(c.dnn, c.x.descriptor(), c.filter, c.descriptor, c.y.descriptor(), 1,
                                                   &found, &best));
  EXPECT(found == 1, "no algorithm was found");
  void* const workspace = Workspace(best.memory);
  PostBursts(bench, [&] {
    CHECK_DNN(cudnnConvolutionForward(c.dnn, &c.one, c.x.descriptor(), c.x.memory(), c.filter, c.w.memory(),
                                      c.descriptor, best.algo, workspace, best.memory, &c.zero, c.y.descriptor(),
                                      c.y.memory()));
  });
}

void GradientPosts(Bench& bench) {
  Convolution c;
  cudnnConvolutionBwdDataAlgoPerf_t data;
  cudnnConvolutionBwdFilterAlgoPerf_t filter;
  int found = 0;
  CHECK_DNN(cudnnGetConvolutionBackwardDataAlgorithm_v7(c.dnn, c.filter, c.y.descriptor(), c.descriptor,
                                                        c.x.descriptor(), 1, &found, &data));
  EXPECT(found == 1, "no algorithm was found");
  CHECK_DNN(cudnnGetConvolutionBackwardFilterAlgorithm_v7(c.dnn, c.x.descriptor(), c.y.descriptor(), c.descriptor,
                                                          c.filter, 1, &found, &filter));
  EXPECT(found == 1, "no algorithm was found");
  void* const workspace = Workspace(std::max(data.memory, filter.memory));
  bool of_filter = false;
  PostBursts(bench, [&] {
    if ((of_filter = !of_filter)) {
      CHECK_DNN(cudnnConvolutionBackwardFilter(c.dnn, &c.one, c.x.descriptor(), c.x.memory(), c.y.descriptor(),
                                               c.y.memory(), c.descriptor, filter.algo, workspace, filter.memory,
                                               &c.zero, c.filter, c.w.memory()));
    } else {
      CHECK_DNN(cudnnConvolutionBackwardData(c.dnn, &c.one, c.filter, c.w.memory(), c.y.descriptor(), c.y.memory(),
                                             c.descriptor, data.algo, workspace, data.memory, &c.zero, c.x.descriptor(),
                                             c.x.memory()));
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc == 4 ? argv[1] : "";
  Bench bench;
  if (argc == 4) {
    bench.count = std::atol(argv[2]);
    bench.rounds = std::atoi(argv[3]);
  }
  const std::pair<const char*, void (*)(Bench&)> modes[] = {{"convolution_posts", ConvolutionPosts},
                                                            {"gradient_posts", GradientPosts}};
  for (const auto& [name, run] : modes) {
    if (mode != name) continue;
    std::printf("{\"mode\": \"%s\", \"count\": %ld, \"rounds\": %d", name, bench.count, bench.rounds);
    run(bench);
    PrintArray("ns", bench.ns);
    std::printf("}\n");
    return 0;
  }
  std::fprintf(stderr, "usage: bench_dnn MODE COUNT ROUNDS\n");
  return 2;
}
