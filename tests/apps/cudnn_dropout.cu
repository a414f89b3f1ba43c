// Dropout as a program sees it: how much is dropped, in float and half precision, that the way back drops the same,
// that states can be saved and restored, and what is said of wrong arguments.
#include "cudnn_check.h"

namespace {

constexpr int kDims[4] = {3, 5, 17, 29};
constexpr int kElements = kDims[0] * kDims[1] * kDims[2] * kDims[3];

template <typename T>
std::vector<double> Download(const T* memory, cudaStream_t stream) {
  std::vector<T> values(kElements);
  CHECK(cudaMemcpyAsync(values.data(), memory, values.size() * sizeof(T), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));
  std::vector<double> numbers;
  for (const T value : values) numbers.push_back(static_cast<double>(static_cast<float>(value)));
  return numbers;
}

// A dropout and the memory of its states.
class Dropout {
 public:
  Dropout(cudnnHandle_t handle, float probability, unsigned long long seed) : handle_(handle) {
    CHECK_DNN(cudnnDropoutGetStatesSize(handle, &bytes_));
    CHECK(cudaMalloc(&states_, bytes_));
    CHECK_DNN(cudnnCreateDropoutDescriptor(&descriptor_));
    CHECK_DNN(cudnnSetDropoutDescriptor(descriptor_, handle, probability, states_, bytes_, seed));
  }
  ~Dropout() {
    cudnnDestroyDropoutDescriptor(descriptor_);
    cudaFree(states_);
  }
  cudnnDropoutDescriptor_t descriptor() const { return descriptor_; }
  void* states() const { return states_; }
  size_t bytes() const { return bytes_; }

 private:
  cudnnHandle_t handle_;
  size_t bytes_ = 0;
  void* states_ = nullptr;
  cudnnDropoutDescriptor_t descriptor_ = nullptr;
};

template <typename T>
void TestType(cudnnHandle_t handle, cudaStream_t stream, double tolerance) {
  const float probability = 0.25f;
  const Dropout dropout(handle, probability, 1234);
  const Tensor<T> x(Packed(std::vector<int>(kDims, kDims + 4))), y(Packed(std::vector<int>(kDims, kDims + 4))),
      dx(Packed(std::vector<int>(kDims, kDims + 4)));
  size_t reserve_bytes = 0;
  CHECK_DNN(cudnnDropoutGetReserveSpaceSize(x.descriptor(), &reserve_bytes));
  void* reserve = nullptr;
  CHECK(cudaMalloc(&reserve, reserve_bytes));
  const std::vector<T> twos(kElements, T(2.0f));
  CHECK(cudaMemcpy(x.memory(), twos.data(), twos.size() * sizeof(T), cudaMemcpyHostToDevice));
  // States as they are before: who has them gets the same numbers again.
  std::vector<char> before(dropout.bytes());
  CHECK(cudaMemcpyAsync(before.data(), dropout.states(), before.size(), cudaMemcpyDeviceToHost, stream));
  CHECK(cudaStreamSynchronize(stream));

  const auto forward = [&] {
    CHECK_DNN(cudnnDropoutForward(handle, dropout.descriptor(), x.descriptor(), x.memory(), y.descriptor(), y.memory(),
                                  reserve, reserve_bytes));
    return Download(y.memory(), stream);
  };
  const std::vector<double> first = forward();
  int dropped = 0;
  for (const double value : first) {
    dropped += value == 0;
    EXPECT(value == 0 || std::fabs(value - 2 / 0.75) < tolerance, "kept as %g", value);
  }
  const double wanted = kElements * 0.25, deviation = std::sqrt(kElements * 0.25 * 0.75);
  EXPECT(std::fabs(dropped - wanted) < 6 * deviation, "%d of %d were dropped", dropped, kElements);

  CHECK_DNN(cudnnDropoutBackward(handle, dropout.descriptor(), x.descriptor(), x.memory(), dx.descriptor(), dx.memory(),
                                 reserve, reserve_bytes));
  EXPECT(Download(dx.memory(), stream) == first, "the way back dropped others");
  EXPECT(forward() != first, "the same numbers twice");

  CHECK(cudaMemcpyAsync(dropout.states(), before.data(), before.size(), cudaMemcpyHostToDevice, stream));
  CHECK_DNN(cudnnRestoreDropoutDescriptor(dropout.descriptor(), handle, probability, dropout.states(), dropout.bytes(),
                                          1234));
  EXPECT(forward() == first, "restored states gave other numbers");
  CHECK_DNN(
      cudnnSetDropoutDescriptor(dropout.descriptor(), handle, probability, dropout.states(), dropout.bytes(), 1234));
  EXPECT(forward() == first, "the same seed gave other numbers");

  // In place.
  CHECK_DNN(
      cudnnSetDropoutDescriptor(dropout.descriptor(), handle, probability, dropout.states(), dropout.bytes(), 1234));
  CHECK_DNN(cudnnDropoutForward(handle, dropout.descriptor(), x.descriptor(), x.memory(), x.descriptor(), x.memory(),
                                reserve, reserve_bytes));
  EXPECT(Download(x.memory(), stream) == first, "in place it dropped others");
  CHECK(cudaFree(reserve));
}

void TestStatuses(cudnnHandle_t handle) {
  const Dropout dropout(handle, 0.5f, 99);
  float probability = 0;
  void* states = nullptr;
  unsigned long long seed = 0;
  CHECK_DNN(cudnnGetDropoutDescriptor(dropout.descriptor(), handle, &probability, &states, &seed));
  EXPECT(probability == 0.5f && states == dropout.states() && seed == 99, "other than what was set");
  // Nothing to draw from, and no need of it.
  cudnnDropoutDescriptor_t none = nullptr;
  CHECK_DNN(cudnnCreateDropoutDescriptor(&none));
  CHECK_DNN(cudnnSetDropoutDescriptor(none, handle, 0, nullptr, 0, 0));

  const Tensor<float> x(Packed({2, 3, 4, 5})), other(Packed({2, 3, 4, 6}));
  size_t bytes = 0;
  CHECK_DNN(cudnnDropoutGetReserveSpaceSize(x.descriptor(), &bytes));
  EXPECT(bytes >= 15, "a reserve of %zu bytes for 120 elements", bytes);
  void* reserve = nullptr;
  CHECK(cudaMalloc(&reserve, bytes));
  CHECK_DNN_STATUS(cudnnDropoutForward(handle, dropout.descriptor(), x.descriptor(), x.memory(), other.descriptor(),
                                       other.memory(), reserve, bytes),
                   CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(
      cudnnDropoutForward(handle, nullptr, x.descriptor(), x.memory(), x.descriptor(), x.memory(), reserve, bytes),
      CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(cudnnDropoutForward(handle, dropout.descriptor(), x.descriptor(), x.memory(), x.descriptor(),
                                       x.memory(), reserve, bytes - 1),
                   CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(cudnnDropoutGetStatesSize(nullptr, &bytes), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(cudnnDropoutGetReserveSpaceSize(nullptr, &bytes), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN_STATUS(cudnnCreateDropoutDescriptor(nullptr), CUDNN_STATUS_BAD_PARAM);
  CHECK_DNN(cudnnDestroyDropoutDescriptor(none));
  CHECK(cudaFree(reserve));
}

}  // namespace

int main() {
  cudnnHandle_t handle = nullptr;
  CHECK_DNN(cudnnCreate(&handle));
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreate(&stream));
  CHECK_DNN(cudnnSetStream(handle, stream));
  TestType<float>(handle, stream, 1e-5);
  TestType<double>(handle, stream, 1e-6);
  TestType<__half>(handle, stream, 2e-3);
  TestStatuses(handle);
  CHECK_DNN(cudnnDestroy(handle));
  CHECK(cudaStreamDestroy(stream));
  return Passed();
}
