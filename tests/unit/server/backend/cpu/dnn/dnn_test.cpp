// What a client may write into the words of a call, whatever it is: no function touches memory that it is not allowed.
#include "server/backend/cpu/dnn.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include "protocol/library/dnn_calls.h"

namespace accelmesh {
namespace {

const cpu_blas::Interface& Plugin() {
  static const cpu_blas::Interface* const plugin = [] {
    void* const object = ::dlopen(ACCELMESH_CPU_DNN_PATH, RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(object, nullptr) << ::dlerror();
    const auto get = reinterpret_cast<cpu_blas::GetInterface>(::dlsym(object, cpu_dnn::kSymbol));
    get()->start(2);
    return get();
  }();
  return *plugin;
}

// The only memory of the device. What lies around it must not change.
class Memory {
 public:
  static constexpr std::size_t kBytes = 1 << 14;
  static constexpr std::size_t kAround = 1 << 14;
  static constexpr std::uint8_t kUntouched = 0xa5;

  Memory() : bytes_(kBytes + 2 * kAround, kUntouched) {
    std::fill_n(bytes_.begin() + kAround, kBytes, std::uint8_t{0});
  }
  std::uint64_t address() const { return reinterpret_cast<std::uint64_t>(bytes_.data() + kAround); }
  bool IsWhole() const {
    const auto is_untouched = [](std::uint8_t byte) { return byte == kUntouched; };
    return std::all_of(bytes_.begin(), bytes_.begin() + kAround, is_untouched) &&
           std::all_of(bytes_.end() - kAround, bytes_.end(), is_untouched);
  }
  static bool Allowed(const void* memory, std::uint64_t address, std::uint64_t bytes) {
    const std::uint64_t first = static_cast<const Memory*>(memory)->address();
    return address >= first && bytes <= kBytes && address - first <= kBytes - bytes;
  }

 private:
  std::vector<std::uint8_t> bytes_;
};

template <typename Words>
cpu_blas::Outcome Execute(const Memory& memory, const Words& words) {
  std::vector<std::uint8_t> arguments(sizeof(std::uint64_t) + sizeof(words));
  std::memcpy(arguments.data() + sizeof(std::uint64_t), &words, sizeof(words));
  cpu_blas::Outcome outcome;
  Plugin().run({kLibraryDnn, kDnnFunction<Words>, arguments.data(), arguments.size(), &Memory::Allowed, &memory},
               &outcome);
  return outcome;
}

DnnTensor Tensor(std::int32_t n, std::int32_t c, std::int32_t h, std::int32_t w) {
  return {0, 0, 4, 0, {n, c, h, w}, {c * h * w, h * w, w, 1}};
}

DnnConvolutionForward Convolution(const Memory& memory) {
  DnnConvolutionForward words;
  words.x = {Tensor(1, 2, 6, 6), memory.address()};
  words.w = {Tensor(3, 2, 3, 3), memory.address() + 1024};
  words.y = {Tensor(1, 3, 4, 4), memory.address() + 2048};
  words.convolution = {2, 1, 0, 0, 1, 0, {}, {1, 1}, {1, 1}};
  return words;
}

TEST(CpuDnn, HasAFunctionForEveryNumber) {
  std::vector<std::uint8_t> bits((LibraryFunctions(kLibraryDnn) + 7) / 8);
  Plugin().functions(kLibraryDnn, bits.data(), bits.size());
  for (std::uint32_t f = 1; f < LibraryFunctions(kLibraryDnn); ++f)
    EXPECT_TRUE(HasBit(bits, f)) << LibraryFunctionName(kLibraryDnn, f);
}

TEST(CpuDnn, RefusesOperandsOutsideOfMemory) {
  const Memory memory;
  DnnConvolutionForward words = Convolution(memory);
  EXPECT_EQ(Execute(memory, words).device_status, 0u);
  constexpr std::uint32_t kIllegalAddress = 700;
  for (DnnOperand DnnConvolutionCall::* const operand :
       {&DnnConvolutionCall::x, &DnnConvolutionCall::w, &DnnConvolutionCall::y}) {
    words = Convolution(memory);
    (words.*operand).address = memory.address() + Memory::kBytes - 4;
    const cpu_blas::Outcome outcome = Execute(memory, words);
    EXPECT_EQ(outcome.device_status, kIllegalAddress);
    EXPECT_TRUE(outcome.is_sticky);
  }
  EXPECT_TRUE(memory.IsWhole());
}

// Words of a call that works, some of them made anything: small numbers, large ones, and what is neither.
template <typename Words>
void Spoil(const Memory& memory, const Words& good) {
  EXPECT_EQ(Execute(memory, good).device_status, 0u) << LibraryFunctionName(kLibraryDnn, kDnnFunction<Words>);
  std::mt19937_64 random(kDnnFunction<Words>);
  std::array<std::int32_t, sizeof(Words) / sizeof(std::int32_t)> halves;
  constexpr std::array<std::int32_t, 12> kValues{0, 1, 2, 3, 4, 7, 8, 9, -1, 40, 0x7fffffff, -0x7fffffff - 1};
  constexpr int kRounds = 500;
  for (int round = 0; round < kRounds; ++round) {
    std::memcpy(halves.data(), &good, sizeof(good));
    for (std::uint64_t change = 1 + random() % 3; change > 0; --change)
      halves[random() % halves.size()] = kValues[random() % kValues.size()];
    Words words;
    std::memcpy(static_cast<void*>(&words), halves.data(), sizeof(words));
    const cpu_blas::Outcome outcome = Execute(memory, words);
    if (outcome.device_status != 0) {
      EXPECT_NE(outcome.text[0], '\0');
    }
    ASSERT_TRUE(memory.IsWhole()) << LibraryFunctionName(kLibraryDnn, kDnnFunction<Words>) << ", round " << round;
  }
}

TEST(CpuDnn, SpoiledConvolutionsHurtNobody) {
  const Memory memory;
  DnnConvolutionForward words = Convolution(memory);
  Spoil(memory, words);
  words.convolution.mode = 0;  // turned around: packed first
  words.blend = {2, 1};
  Spoil(memory, words);
  DnnConvolutionBackwardData data;
  static_cast<DnnConvolutionCall&>(data) = words;
  Spoil(memory, data);
  DnnConvolutionBackwardFilter filter;
  static_cast<DnnConvolutionCall&>(filter) = words;
  Spoil(memory, filter);
  constexpr std::int32_t kDouble = 1;
  words.x.tensor.type = words.w.tensor.type = words.y.tensor.type = kDouble;
  Spoil(memory, words);
  Spoil(memory,
        DnnConvolutionBiasActivation{Convolution(memory), words.y, {Tensor(1, 3, 1, 1), memory.address()}, {1, 0}});
  Spoil(memory,
        DnnConvolutionBackwardBias{{Tensor(1, 3, 4, 4), memory.address()}, {Tensor(1, 3, 1, 1), memory.address()}, {}});
}

TEST(CpuDnn, SpoiledLayersHurtNobody) {
  const Memory memory;
  const DnnOperand x{Tensor(2, 3, 6, 5), memory.address()}, y{Tensor(2, 3, 6, 5), memory.address() + 4096};
  const DnnOperand pooled{Tensor(2, 3, 3, 3), memory.address() + 8192};
  const DnnOperand channel{Tensor(1, 3, 1, 1), memory.address() + 12288};
  const DnnPooling pooling{2, 0, 0, 0, {3, 2}, {1, 1}, {2, 2}};
  Spoil(memory, DnnActivationForward{x, y, {1, 0}, {2, 1}});
  Spoil(memory, DnnActivationBackward{x, x, x, y, {1, 0}, {}});
  Spoil(memory, DnnPoolingForward{x, pooled, pooling, {}});
  Spoil(memory, DnnPoolingBackward{pooled, pooled, x, y, pooling, {}});
  Spoil(memory, DnnSoftmaxForward{x, y, 1, 1, {}});
  Spoil(memory, DnnSoftmaxBackward{x, x, y, 1, 0, {}});
  Spoil(memory, DnnAddTensor{channel, y, {1, 1}});
  Spoil(memory, DnnOpTensor{x, channel, y});
  Spoil(memory, DnnReduceTensor{x, channel, 0, 0, 0, {}});
  Spoil(memory, DnnScaleTensor{y, 2});
  Spoil(memory, DnnSetTensor{y, 2});
  Spoil(memory, DnnTransformTensor{x, y, {}});
  const std::uint64_t at = channel.address;
  Spoil(memory, DnnBatchNormForwardTraining{
                    x, y, channel.tensor, at, at + 16, at + 32, at + 48, at + 64, at + 80, 1, 1, 1e-5, {}});
  Spoil(memory, DnnBatchNormForwardInference{x, y, channel.tensor, at, at + 16, at + 32, at + 48, 1, 1e-5, {}});
  Spoil(memory, DnnBatchNormBackward{x, x, y, channel.tensor, at, at + 16, at + 32, at + 48, at + 64, 1, 1e-5, {}, {}});
}

TEST(CpuDnn, SpoiledQuestionsHurtNobody) {
  const Memory memory;
  const DnnConvolutionForward words = Convolution(memory);
  Spoil(memory, DnnFindAlgorithms{0, words.x.tensor, words.w.tensor, words.y.tensor, words.convolution});
}

}  // namespace
}  // namespace accelmesh
