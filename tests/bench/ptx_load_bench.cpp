// What a module of PTX costs when it is loaded, and a kernel when it is first launched. Numbers are for docs/results;
// none fails a test.
#include <benchmark/benchmark.h>

#include <fstream>
#include <iterator>

#include "server/backend/cpu/tier0/tier0.h"

namespace accelmesh {
namespace {

// A module of about a megabyte: kernels as nvcc writes them, of a hundred instructions each. With PTX_FILE in the
// environment, that file instead.
const std::string& Text() {
  static const std::string text = [] {
    if (const char* path = std::getenv("PTX_FILE"); path != nullptr) {
      std::ifstream stream(path, std::ios::binary);
      return std::string((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    }
    std::string made = ".version 8.0\n.target sm_80\n.address_size 64\n";
    for (int k = 0; made.size() < 1'000'000; ++k) {
      const std::string name = "_Z6kernelILi" + std::to_string(k) + "EEvPfPKfi";
      made += ".visible .entry " + name + "(\n\t.param .u64 " + name + "_param_0,\n\t.param .u32 " + name +
              "_param_1\n)\n.maxntid 256, 1, 1\n{\n\t.reg .pred \t%p<4>;\n\t.reg .f32 \t%f<40>;\n\t.reg .b32 "
              "\t%r<40>;\n\t.reg .b64 \t%rd<20>;\n\t.shared .align 4 .b8 parts[1024];\n\n\tld.param.u64 \t%rd1, [" +
              name + "_param_0];\n\tld.param.u32 \t%r1, [" + name + "_param_1];\n";
      for (int i = 0; i < 14; ++i) {
        const std::string label = "$L__BB" + std::to_string(k) + "_" + std::to_string(i);
        made +=
            "\tmov.u32 \t%r2, %tid.x;\n\tmad.lo.s32 \t%r3, %r2, %r1, 4;\n\tsetp.ge.s32 \t%p1, %r3, %r1;\n\t@%p1 bra "
            "\t" +
            label +
            ";\n\n\tmul.wide.s32 \t%rd2, %r3, 4;\n\tadd.s64 \t%rd3, %rd1, %rd2;\n\tld.global.f32 \t%f1, "
            "[%rd3+16];\n\tfma.rn.f32 \t%f2, %f1, 0f3F800000, %f2;\n" +
            label + ":\n";
      }
      made += "\tst.global.f32 \t[%rd1], %f2;\n\tret;\n\n}\n";
    }
    return made;
  }();
  return text;
}

std::uint64_t Anywhere(std::string_view) { return std::uint64_t{1} << 32; }

void LoadModule(benchmark::State& state) {
  for (auto _ : state) {
    const auto module = ptx::ParseModule(Text());
    if (!module.ok()) state.SkipWithError(module.status().ToString().c_str());
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * Text().size()));
}
BENCHMARK(LoadModule)->Unit(benchmark::kMillisecond);

void FirstLaunchOfOneKernel(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    const auto module = ptx::ParseModule(Text());
    state.ResumeTiming();
    const auto decoded = tier0::Decode(**module, (*module)->kernels.front(), Anywhere);
    if (!decoded.ok()) state.SkipWithError(decoded.status().ToString().c_str());
  }
}
BENCHMARK(FirstLaunchOfOneKernel)->Unit(benchmark::kMicrosecond)->Iterations(50);

void EveryKernel(benchmark::State& state) {
  for (auto _ : state) {
    const auto module = ptx::ParseModule(Text());
    for (const ptx::Kernel& kernel : (*module)->kernels)
      benchmark::DoNotOptimize(tier0::Decode(**module, kernel, Anywhere));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * Text().size()));
}
BENCHMARK(EveryKernel)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace accelmesh

BENCHMARK_MAIN();
