#include "tools/mesh_bench/blas.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace accelmesh::bench {
namespace {

constexpr std::chrono::seconds kPatience{120};
constexpr double kPostNsMax = 1500;
constexpr double kNearRatioMax = 1.05;
constexpr std::uint64_t kNearUs = 300;
constexpr std::uint64_t kFarUs = 30000;
constexpr double kSgemmRatioMin = 0.95;
constexpr int kOrder = 2048;  // of bench_blas's large products
constexpr double kFlops = 2.0 * kOrder * kOrder * kOrder;
constexpr long kCountedSteps = 20;

// OpenBLAS as any program calls it, by the name that Debian's alternatives give it. Numbers are those of cblas.h.
using Sgemm = void (*)(int order, int transa, int transb, int m, int n, int k, float alpha, const float* a, int lda,
                       const float* b, int ldb, float beta, float* c, int ldc);
constexpr int kColumnMajor = 102;
constexpr int kNoTranspose = 111;

// Median ns of a product of that order on the CPU of the server, of so many rounds after one that does not count.
Result<double> OpenBlasNs(const Placement& placement, int rounds) {
  const auto body = [rounds] {
    void* const library = ::dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    const auto multiply = library == nullptr ? nullptr : reinterpret_cast<Sgemm>(::dlsym(library, "cblas_sgemm"));
    if (multiply == nullptr) return 1;
    const std::vector<float> a(std::size_t{kOrder} * kOrder, 1.0f);
    const std::vector<float> b(a);
    std::vector<float> c(a);
    std::vector<double> taken;
    for (int round = 0; round <= rounds; ++round) {
      const Instant begin = Clock::now();
      multiply(kColumnMajor, kNoTranspose, kNoTranspose, kOrder, kOrder, kOrder, 1.0f, a.data(), kOrder, b.data(),
               kOrder, 0.0f, c.data(), kOrder);
      if (round != 0) taken.push_back(std::chrono::duration<double, std::nano>(Clock::now() - begin).count());
    }
    std::printf("%.6f\n", MedianOf(taken));
    return 0;
  };
  ACCELMESH_ASSIGN_OR_RETURN(Process child, Process::Fork(placement.server_cpu, body));
  ACCELMESH_ASSIGN_OR_RETURN(const int status, child.Finish(Deadline::After(kPatience)));
  if (status != 0) return Status(Code::kUnsupported, "OpenBLAS", "libopenblas.so.0 is not here");
  return std::strtod(child.output().c_str(), nullptr);
}

class BlasGroup {
 public:
  BlasGroup(const BlasOptions& options, std::vector<Row>& rows) : options_(options), rows_(rows) {}

  void Run() {
    // What does not depend on the wire is measured over one of them.
    MeasurePosts();
    if (options_.transport == "shm") MeasureSgemm();
    if (options_.transport == "tcp") MeasureSteps();
  }

 private:
  int Rounds() const { return options_.quick ? 2 : 7; }
  bool IsWanted(const std::string& what) const { return what.find(options_.only) != std::string::npos; }

  Row NewRow(const std::string& what, const std::string& backend, const std::string& unit) const {
    std::fprintf(stderr, "mesh-bench: %s, %s, %s, %s\n", what.c_str(), backend.c_str(), options_.transport.c_str(),
                 options_.placement.name.c_str());
    Row row;
    row.what = what;
    row.backend = backend;
    row.transport = options_.transport;
    row.placement = options_.placement.name;
    row.unit = unit;
    return row;
  }
  Result<Server> Start(const std::string& backend) const {
    return Server::Start(options_.programs, options_.placement, options_.transport, backend);
  }
  // The row's messages and what `number` makes of the run; or why there is none.
  template <typename Number>
  void Measure(const Result<Server>& server, const Mode& mode, Row& row, Number number) {
    const Result<Measured> measured =
        server.ok() ? RunClient(options_.programs, options_.placement, *server, mode) : server.status();
    if (!measured.ok()) {
      row.error = measured.status().ToString();
      return;
    }
    row.messages = measured->messages;
    row.measured = number(*measured);
  }

  void MeasurePosts() {
    const std::pair<const char*, const char*> modes[] = {{"cublasSgemm", "sgemm_posts"},
                                                         {"cublasLtMatmul", "matmul_posts"}};
    const long count = options_.quick ? 20000 : 100000;
    for (const auto& [function, name] : modes) {
      const std::string what = std::string("cublas: client CPU a posted ") + function;
      if (!IsWanted(what)) continue;
      Row row = NewRow(what, "null", "ns");
      Mode mode{name, count, Rounds()};
      mode.program = options_.programs.blas_client;
      row.target = {Target::Of::kMeasured, true, kPostNsMax};
      row.note = "all threads of the process, in bursts of 2,000 products, without the waits between them";
      Measure(Start("null"), mode, row,
              [&](const Measured& measured) { return measured.Median("ns") / static_cast<double>(count); });
      rows_.push_back(std::move(row));
    }
  }

  // OpenBLAS before and after: the better of the two counts.
  void MeasureSgemm() {
    const std::string what = "cublas: sgemm of 2048";
    if (!IsWanted(what)) return;
    Row row = NewRow(what, "cpu", "GFLOP/s");
    const Result<double> before = OpenBlasNs(options_.placement, Rounds());
    if (!before.ok()) {
      std::fprintf(stderr, "mesh-bench: skipped: %s\n", before.status().ToString().c_str());
      return;
    }
    Mode mode{"sgemm", 1, Rounds()};
    mode.program = options_.programs.blas_client;
    mode.counted_count = mode.counted_operations = 1;
    Measure(Start("cpu"), mode, row, [](const Measured& measured) { return kFlops / measured.Median("ns"); });
    const Result<double> after = OpenBlasNs(options_.placement, Rounds());
    row.floor_name = "OpenBLAS called directly";
    row.floor = kFlops / std::min(*before, after.ok() ? *after : *before);
    row.target = {Target::Of::kRatio, false, kSgemmRatioMin};
    row.note = "one product and the wait for it, which without a product is answered locally";
    rows_.push_back(std::move(row));
  }

  struct Distance {
    std::string what;
    std::uint64_t rtt_us = 0;
    std::vector<double> step_ns = {};
  };

  // The distances take turns, and of each the fastest round counts: what else the machine does only adds to it.
  void MeasureSteps() {
    const std::string prefix = "cublas: step of a transformer";
    if (!IsWanted(prefix)) return;
    const long steps = options_.quick ? 10 : 20;
    for (const char* backend : {"null", "cpu"}) {
      const Result<Server> server = Start(backend);
      Distance distances[] = {
          {prefix}, {prefix + ", round trip 0.3 ms", kNearUs}, {prefix + ", round trip 30 ms", kFarUs}};
      std::vector<Row> rows;
      for (const Distance& distance : distances) rows.push_back(NewRow(distance.what, backend, "ms"));
      for (int turn = 0; turn < (options_.quick ? 1 : 6); ++turn) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
          Mode mode{"bench", steps, options_.quick ? 1 : 3};
          mode.program = options_.programs.transformer;
          mode.emulate = "rtt_us=" + std::to_string(distances[i].rtt_us);
          mode.counted_count = kCountedSteps;
          mode.counted_operations = kCountedSteps;
          Measure(server, mode, rows[i], [&](const Measured& measured) {
            for (const double ns : measured.arrays.at("ns"))
              distances[i].step_ns.push_back(ns / static_cast<double>(steps));
            return *std::min_element(distances[i].step_ns.begin(), distances[i].step_ns.end()) / 1e6;
          });
        }
      }
      for (std::size_t i = 0; i < rows.size(); ++i) {
        rows[i].note = "over an emulated network; the host waits every tenth step; the fastest round of 20 steps";
        if (i > 0) {
          rows[i].floor_name = "the same, round trip 0";
          rows[i].floor = rows[0].measured;
        }
        // The null backend computes nothing that the way could hide behind.
        if (std::string(backend) == "cpu" && i == 1) rows[i].target = {Target::Of::kRatio, true, kNearRatioMax};
        if (std::string(backend) == "cpu" && i == 2)
          rows[i].target = {Target::Of::kMeasured, true, rows[0].measured + kFarUs / 1e3};
        rows_.push_back(std::move(rows[i]));
      }
    }
  }

  const BlasOptions& options_;
  std::vector<Row>& rows_;
};

}  // namespace

void MeasureBlas(const BlasOptions& options, std::vector<Row>& rows) {
  for (const std::string& program : {options.programs.blas_client, options.programs.transformer}) {
    if (::access(program.c_str(), X_OK) == 0) continue;
    std::fprintf(stderr, "mesh-bench: skipped the rows on cuBLAS: %s is missing\n", program.c_str());
    return;
  }
  BlasGroup(options, rows).Run();
}

}  // namespace accelmesh::bench
