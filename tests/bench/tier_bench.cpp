// How fast the software GPU runs kernels on one core: both tiers, next to the same in plain C++, in one run.
//
//   tier_bench [--benchmark_filter=...]      names: kernel/size/how; items are elements, flops or interactions
//
// Of tier 0 also the instructions that its lanes run in a second, which another run counts.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <sstream>

#include "server/backend/cpu/jit.h"
#include "tests/bench/tier_reference.h"

namespace accelmesh {
namespace {

constexpr std::uint64_t kBytes = 512ull << 20;

// A software GPU of this thread.
class Device {
 public:
  Device() : jit_({JitMode::kAlways, ACCELMESH_TIER1_PATH, "off"}) {
    base_ = reinterpret_cast<std::uint64_t>(
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    memory_.Reset(base_, kBytes);
    memory_.Allow(base_, kBytes);
    std::ifstream file(ACCELMESH_TIER_KERNELS);
    std::stringstream text;
    text << file.rdbuf();
    Result<std::shared_ptr<const ptx::Module>> module = ptx::ParseModule(text.str());
    if (!module.ok()) Die(module.status());
    module_ = *module;
  }
  void Reset() { used_ = 0; }
  template <typename T>
  T* Allocate(std::size_t count) {
    T* got = reinterpret_cast<T*>(base_ + used_);
    used_ = AlignUp(used_ + count * sizeof(T), 4096);
    if (used_ > kBytes) std::abort();
    return got;
  }
  // Decodes and compiles, so that it is not in what is measured.
  void Prepare(const char* name, int tier) {
    if (tier != 2) Find(name, tier);
  }
  void Run(const char* name, int tier, Dim3 grid, Dim3 block, ByteView arguments) {
    tier0::GridLaunch launch;
    launch.kernel = Find(name, tier);
    launch.memory = &memory_;
    launch.grid = grid;
    launch.block = block;
    launch.arguments = arguments;
    last_ = launch;
    Run(launch);
  }
  // That the lanes of the last launch run.
  std::uint64_t CountInstructions() {
    std::uint64_t count = 0;
    last_.instructions = &count;
    Run(last_);
    return count;
  }

 private:
  void Run(const tier0::GridLaunch& launch) {
    const Dim3& grid = launch.grid;
    // As the backend takes them.
    const std::uint64_t at_once = tier0::BlocksAtOnce(launch);
    for (std::uint64_t i = 0; i < grid.count(); i += at_once) {
      const std::uint64_t count = std::min(at_once, grid.count() - i);
      if (const auto fault = tier0::RunBlocks(launch, i, count, context_); fault.has_value()) {
        std::fprintf(stderr, "%s\n", fault->text.c_str());
        std::exit(1);
      }
    }
  }
  [[noreturn]] static void Die(const Status& status) {
    std::fprintf(stderr, "%s\n", status.ToString().c_str());
    std::exit(1);
  }
  const tier0::DecodedKernel* Find(const char* name, int tier) {
    auto& kernel = kernels_[{name, tier}];
    if (kernel != nullptr) return kernel.get();
    for (const ptx::Kernel& source : module_->kernels) {
      if (source.name != name) continue;
      auto decoded = tier0::Decode(*module_, source, [](std::string_view) { return std::uint64_t{0}; });
      if (!decoded.ok()) Die(decoded.status());
      kernel = *std::move(decoded);
      if (tier == 1) {
        for (const bool linear : {false, true}) {
          if (const Status compiled = jit_.Compile(*kernel, linear); !compiled.ok()) Die(compiled);
        }
      }
    }
    if (kernel == nullptr) std::abort();
    return kernel.get();
  }

  Jit jit_;
  std::uint64_t base_ = 0;
  std::uint64_t used_ = 0;
  tier0::MemoryMap memory_;
  std::shared_ptr<const ptx::Module> module_;
  std::map<std::pair<std::string, int>, std::unique_ptr<tier0::DecodedKernel>> kernels_;
  tier0::BlockContext context_;
  tier0::GridLaunch last_;
};

Device& GetDevice() {
  static Device device;
  device.Reset();
  return device;
}

// As the compiler lays out a kernel's parameters.
class Arguments {
 public:
  template <typename T>
  Arguments& Add(T value) {
    bytes_.resize(AlignUp(bytes_.size(), sizeof(T)));
    const auto* from = reinterpret_cast<const std::uint8_t*>(&value);
    bytes_.insert(bytes_.end(), from, from + sizeof(T));
    return *this;
  }
  ByteView view() const { return bytes_; }

 private:
  Bytes bytes_;
};

void Fill(float* values, std::size_t count) {
  std::mt19937 random(1);
  for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(random() % 1000) * 0.001f;
}
void Count(benchmark::State& state, double per_run, Device& device, int how) {
  const auto runs = static_cast<double>(state.iterations());
  state.SetItemsProcessed(static_cast<std::int64_t>(per_run * runs));
  if (how != 0) return;
  state.counters["thread_instructions"] =
      benchmark::Counter(runs * static_cast<double>(device.CountInstructions()), benchmark::Counter::kIsRate);
}

// how: 0 and 1 the tiers, 2 plain C++.
void Saxpy(benchmark::State& state, int how) {
  const auto n = static_cast<int>(state.range(0));
  Device& device = GetDevice();
  auto* x = device.Allocate<float>(static_cast<std::size_t>(n));
  auto* y = device.Allocate<float>(static_cast<std::size_t>(n));
  Fill(x, static_cast<std::size_t>(n));
  std::memset(y, 0, static_cast<std::size_t>(n) * sizeof(float));
  Arguments arguments;
  arguments.Add(x).Add(y).Add(n).Add(1.5f);
  device.Prepare("Saxpy", how);
  for (auto _ : state) {
    if (how == 2) {
      reference::Saxpy(x, y, n, 1.5f);
    } else {
      device.Run("Saxpy", how, {static_cast<std::uint32_t>(n + 255) / 256, 1, 1}, {256, 1, 1}, arguments.view());
    }
    benchmark::ClobberMemory();
  }
  Count(state, n, device, how);
}

void Reduce(benchmark::State& state, int how) {
  constexpr int kCount = 1 << 18;
  Device& device = GetDevice();
  auto* x = device.Allocate<float>(kCount);
  auto* sums = device.Allocate<float>(kCount / 256);
  Fill(x, kCount);
  Arguments arguments;
  arguments.Add(x).Add(sums).Add(kCount);
  device.Prepare("Reduce", how);
  for (auto _ : state) {
    if (how == 2) {
      benchmark::DoNotOptimize(reference::Reduce(x, kCount));
    } else {
      device.Run("Reduce", how, {kCount / 256, 1, 1}, {256, 1, 1}, arguments.view());
      benchmark::DoNotOptimize(reference::Reduce(sums, kCount / 256));
    }
  }
  Count(state, kCount, device, how);
}

void MatMul(benchmark::State& state, int how) {
  constexpr int kSize = 512;
  Device& device = GetDevice();
  auto* a = device.Allocate<float>(kSize * kSize);
  auto* b = device.Allocate<float>(kSize * kSize);
  auto* c = device.Allocate<float>(kSize * kSize);
  Fill(a, kSize * kSize);
  Fill(b, kSize * kSize);
  Arguments arguments;
  arguments.Add(a).Add(b).Add(c).Add(kSize);
  device.Prepare("MatMul", how);
  for (auto _ : state) {
    if (how == 2) {
      reference::MatMul(a, b, c, kSize);
    } else {
      device.Run("MatMul", how, {kSize / 16, kSize / 16, 1}, {16, 16, 1}, arguments.view());
    }
    benchmark::ClobberMemory();
  }
  Count(state, 2.0 * kSize * kSize * kSize, device, how);
}

void NBody(benchmark::State& state, int how) {
  constexpr int kCount = 2048;
  Device& device = GetDevice();
  auto* bodies = device.Allocate<float>(kCount * 4);
  auto* forces = device.Allocate<float>(kCount * 4);
  Fill(bodies, kCount * 4);
  Arguments arguments;
  arguments.Add(bodies).Add(forces).Add(kCount);
  device.Prepare("NBody", how);
  for (auto _ : state) {
    if (how == 2) {
      reference::NBody(bodies, forces, kCount);
    } else {
      device.Run("NBody", how, {kCount / 256, 1, 1}, {256, 1, 1}, arguments.view());
    }
    benchmark::ClobberMemory();
  }
  Count(state, 1.0 * kCount * kCount, device, how);
}

void Histogram(benchmark::State& state, int how) {
  constexpr int kCount = 1 << 20;
  Device& device = GetDevice();
  auto* values = device.Allocate<std::uint8_t>(kCount);
  auto* bins = device.Allocate<std::uint32_t>(256);
  std::mt19937 random(2);
  for (int i = 0; i < kCount; ++i) values[i] = static_cast<std::uint8_t>(random());
  Arguments arguments;
  arguments.Add(values).Add(bins).Add(kCount);
  device.Prepare("Histogram", how);
  for (auto _ : state) {
    if (how == 2) {
      reference::Histogram(values, bins, kCount);
    } else {
      device.Run("Histogram", how, {16, 1, 1}, {256, 1, 1}, arguments.view());
    }
    benchmark::ClobberMemory();
  }
  Count(state, kCount, device, how);
}

void Register() {
  static constexpr const char* kHow[] = {"tier0", "tier1", "c"};
  for (const int how : {2, 1, 0}) {
    const std::string suffix = std::string("/") + kHow[how];
    benchmark::RegisterBenchmark(("saxpy/cache" + suffix).c_str(), Saxpy, how)->Arg(16 << 10);
    benchmark::RegisterBenchmark(("saxpy/64MiB" + suffix).c_str(), Saxpy, how)->Arg(16 << 20);
    benchmark::RegisterBenchmark(("reduce/256Ki" + suffix).c_str(), Reduce, how);
    benchmark::RegisterBenchmark(("matmul/512" + suffix).c_str(), MatMul, how);
    benchmark::RegisterBenchmark(("nbody/2048" + suffix).c_str(), NBody, how);
    benchmark::RegisterBenchmark(("histogram/1Mi" + suffix).c_str(), Histogram, how);
  }
}

}  // namespace
}  // namespace accelmesh

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  accelmesh::Register();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
