// Measurements through sessions of a real backend: that what is called computes what it should, and that numbers come
// out. How large they are is not tested: the machine may be busy.
#include "server/measure/measure.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstring>

#include "server/measure/kernels.h"

namespace accelmesh::measure {
namespace {

Result<std::unique_ptr<Backend>> Make(const std::string& name, const BackendOptions& options) {
  const std::string path = ACCELMESH_BACKENDS "/libaccelmesh_backend_" + name + ".so";
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return Status(Code::kNotFound, "Make", ::dlerror());
  const auto create = reinterpret_cast<CreateBackendFunction>(::dlsym(library, kCreateBackendSymbol));
  return std::unique_ptr<Backend>(create(kBackendAbi, options));
}
BackendFactory Maker(const std::string& name) {
  return [name](const BackendOptions& options) { return Make(name, options); };
}
BackendOptions Small() {
  BackendOptions options;
  options.cpu_threads = 2;
  options.memory_bytes = 512 * limits::kMiB;
  return options;
}

struct Arguments {
  std::uint64_t a, b, c;
  std::uint32_t first, second;
};

// Runs the module's only kernel. On loopback the software GPU's memory is this process's own.
template <typename T, typename R>
std::vector<R> RunKernel(const std::string& ptx, const std::vector<T>& a, const std::vector<T>& b, std::size_t results,
                         Dim3 grid, std::uint32_t first, std::uint32_t second, std::size_t argument_bytes) {
  auto tenant = Tenant::Open(Maker("cpu"), Small());
  EXPECT_TRUE(tenant.ok()) << tenant.status().ToString();
  if (!tenant.ok()) return {};
  EXPECT_TRUE((*tenant)->LoadModule(0, ptx).ok());
  Arguments arguments{*(*tenant)->Allocate(a.size() * sizeof(T)), *(*tenant)->Allocate(b.size() * sizeof(T)),
                      *(*tenant)->Allocate(results * sizeof(R)), first, second};
  EXPECT_TRUE((*tenant)->Call(wire::Ping(0)).ok());
  std::memcpy(reinterpret_cast<void*>(arguments.a), a.data(), a.size() * sizeof(T));
  std::memcpy(reinterpret_cast<void*>(arguments.b), b.data(), b.size() * sizeof(T));
  const Result<std::uint64_t> sequence =
      (*tenant)->Post(wire::Launch(0, 0, 0, 0, grid.x, grid.y, grid.z, kKernelBlock, kKernelBlock, 1, 0, 0,
                                   wire::ClusterSize(), wire::ClusterSize()),
                      AsBytes(arguments).first(argument_bytes));
  EXPECT_TRUE(sequence.ok());
  const Status done = (*tenant)->Wait(0, *sequence);
  EXPECT_TRUE(done.ok()) << done.ToString();
  std::vector<R> got(results);
  std::memcpy(got.data(), reinterpret_cast<const void*>(arguments.c), results * sizeof(R));
  return got;
}

template <typename T, typename R>
void CheckMatmul(const char* type) {
  constexpr std::uint32_t kN = 21;  // not a whole number of blocks
  std::vector<T> a(kN * kN);
  std::vector<T> b(kN * kN);
  for (std::size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<T>(static_cast<int>(i % 7) - 3);
    b[i] = static_cast<T>(static_cast<int>(i % 5) - 2);
  }
  const std::vector<R> got = RunKernel<T, R>(MatmulKernel(type), a, b, kN * kN, {2, 2, 1}, kN, 0, 28);
  for (std::uint32_t row = 0; row < kN; ++row) {
    for (std::uint32_t column = 0; column < kN; ++column) {
      double sum = 0;
      for (std::uint32_t k = 0; k < kN; ++k)
        sum += static_cast<double>(a[row * kN + k]) * static_cast<double>(b[k * kN + column]);
      ASSERT_EQ(static_cast<double>(got[row * kN + column]), sum) << type << " at " << row << ", " << column;
    }
  }
}

TEST(MeasureTest, MatmulKernelsMultiply) {
  CheckMatmul<float, float>("fp32");
  CheckMatmul<double, double>("fp64");
  CheckMatmul<std::int8_t, std::int32_t>("int8");
  EXPECT_FALSE(MatmulKernel("fp16").empty());
  EXPECT_TRUE(MatmulKernel("bf16").empty());
  EXPECT_TRUE(ConvolutionKernel("int8").empty());
}

TEST(MeasureTest, TheConvolutionKernelConvolves) {
  constexpr std::uint32_t kChannels = 3;
  constexpr std::uint32_t kSize = 18;
  constexpr std::uint32_t kKernels = 2;
  constexpr std::uint32_t kWide = kSize + 2;
  std::vector<float> x(kChannels * kWide * kWide);
  std::vector<float> w(kKernels * kChannels * 9);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 11) - 5;
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 4) - 1;
  const std::vector<float> got = RunKernel<float, float>(ConvolutionKernel("fp32"), x, w, kKernels * kSize * kSize,
                                                         {2, 2, kKernels}, kChannels, kSize, sizeof(Arguments));
  for (std::uint32_t k = 0; k < kKernels; ++k) {
    for (std::uint32_t row = 0; row < kSize; ++row) {
      for (std::uint32_t column = 0; column < kSize; ++column) {
        float sum = 0;
        for (std::uint32_t c = 0; c < kChannels; ++c) {
          for (std::uint32_t at = 0; at < 9; ++at)
            sum += x[(c * kWide + row + at / 3) * kWide + column + at % 3] * w[(k * kChannels + c) * 9 + at];
        }
        ASSERT_EQ(got[(k * kSize + row) * kSize + column], sum) << k << " " << row << " " << column;
      }
    }
  }
}

Plan Short() {
  Plan plan;
  plan.seconds_each = std::chrono::milliseconds(20);
  return plan;
}
const Throughput* Find(const Report& report, const std::string& name) {
  for (const Throughput& entry : report.throughput) {
    if (entry.operation + " " + entry.type == name) return &entry;
  }
  return nullptr;
}

TEST(MeasureTest, MeasuresTheSoftwareGpuThroughItsLibraries) {
  std::vector<std::string> steps;
  Plan plan = Short();
  plan.progress = [&](const std::string& next, double) { steps.push_back(next); };
  const Result<Report> report = Measure(Maker("cpu"), Small(), plan);
  ASSERT_TRUE(report.ok()) << report.status().ToString();
  EXPECT_EQ(steps, Quantities());
  EXPECT_TRUE(report->memory_bytes_per_s.known());
  EXPECT_TRUE(report->launch_us.known());
  EXPECT_LT(report->launch_us.mean, 1e5);
  EXPECT_EQ(report->identity.backend, "cpu");
  EXPECT_EQ(report->identity.device_uuid.size(), 32U);
  EXPECT_EQ(report->throughput.size() + report->missing.size(), Quantities().size() - 2);
  if (ACCELMESH_HAS_BLAS == 0) GTEST_SKIP() << "built without OpenBLAS";
  for (const char* name : {"matmul fp32", "matmul fp64", "matmul fp16", "matmul bf16", "matmul int8"}) {
    const Throughput* const entry = Find(*report, name);
    ASSERT_NE(entry, nullptr) << name << "\n" << ToText(*report);
    EXPECT_EQ(entry->via, "library");
  }
  EXPECT_FALSE(report->identity.libraries.empty());
  if (ACCELMESH_HAS_DNN == 0) return;
  ASSERT_NE(Find(*report, "convolution fp32"), nullptr) << ToText(*report);
  EXPECT_EQ(Find(*report, "convolution fp32")->via, "library");
}

TEST(MeasureTest, WhatHasNoLibraryIsMeasuredByKernel) {
  for (const char* name : {"matmul fp32", "matmul int8", "matmul fp16", "convolution fp64"}) {
    Plan plan = Short();
    plan.only = name;
    plan.without_libraries = true;
    const Result<Report> report = Measure(Maker("cpu"), Small(), plan);
    ASSERT_TRUE(report.ok()) << report.status().ToString();
    ASSERT_NE(Find(*report, name), nullptr) << ToText(*report);
    EXPECT_EQ(Find(*report, name)->via, "kernel");
    EXPECT_FALSE(report->launch_us.known()) << "not asked for";
  }
}

TEST(MeasureTest, SaysWhatItCannotMeasure) {
  Plan plan = Short();
  plan.only = "matmul bf16";
  plan.without_libraries = true;
  const Result<Report> report = Measure(Maker("cpu"), Small(), plan);
  ASSERT_TRUE(report.ok());
  ASSERT_EQ(report->missing.size(), 1U);
  EXPECT_NE(report->missing[0].find("matmul bf16: no cuBLAS"), std::string::npos) << report->missing[0];
  plan.only = "matmul fp8";
  EXPECT_EQ(Measure(Maker("cpu"), Small(), plan).code(), Code::kInvalidArgument);
  EXPECT_EQ(Measure(Maker("null"), Small(), Short()).code(), Code::kUnsupported);
}

TEST(MeasureTest, WhatItsNumbersHoldForIsTheSameEachTime) {
  const Result<Identity> first = Identify(Maker("cpu"), Small());
  const Result<Identity> second = Identify(Maker("cpu"), Small());
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(*first, *second);
  BackendOptions other = Small();
  other.cpu_threads = 1;
  const Result<Identity> third = Identify(Maker("cpu"), other);
  ASSERT_TRUE(third.ok());
  EXPECT_FALSE(*first == *third);
}

}  // namespace
}  // namespace accelmesh::measure
