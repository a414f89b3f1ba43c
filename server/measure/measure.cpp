#include "server/measure/measure.h"

#include <algorithm>
#include <cstddef>

#include "protocol/base/limits.h"
#include "protocol/library/blas_settings.h"
#include "protocol/library/library.h"
#include "server/measure/hardware.h"
#include "server/measure/kernels.h"
#include "server/measure/measurer.h"

namespace accelmesh::measure {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr Seconds kBatch{0.010};
constexpr Seconds kWarmUp{0.030};
constexpr double kNarrow = 0.02;
constexpr std::size_t kBatchesMin = 6;
constexpr std::size_t kBatchesEnough = 10;
// A call this long drowns what it costs to send it; larger problems are not tried.
constexpr Seconds kLongCall{0.004};
constexpr std::uint32_t kCallsMax = 1u << 16;
constexpr std::uint64_t kCopyBytes = 128 * limits::kMiB;
constexpr int kWarmUpLaunches = 50;
constexpr int kLaunchesOfBatch = 20;

}  // namespace

Status Measurer::Renew() {
  tenant_.reset();
  ACCELMESH_ASSIGN_OR_RETURN(tenant_, Tenant::Open(make_, options_));
  functions_ = {};
  next_module_ = 0;
  if (plan_.without_libraries) return Status::Ok();
  ACCELMESH_RETURN_IF_ERROR(OpenLibrary(kLibraryBlas));
  return OpenLibrary(kLibraryDnn);
}

Status Measurer::OpenLibrary(std::uint32_t library) {
  ACCELMESH_ASSIGN_OR_RETURN(const Tenant::Answer answer, tenant_->Call(wire::LibraryOpen(library, 0)));
  absent_[library] = answer.text;
  if (answer.device_status != 0) return Status::Ok();
  flatbuffers::Verifier verifier(answer.body.data(), answer.body.size());
  if (!verifier.VerifyBuffer<wire::LibraryInfo>(nullptr))
    return {Code::kBadFrame, "Measurer::OpenLibrary", "LibraryInfo does not verify"};
  const auto* const bits = flatbuffers::GetRoot<wire::LibraryInfo>(answer.body.data())->functions();
  if (bits != nullptr) functions_[library].assign(bits->begin(), bits->end());
  const BlasSettings settings;
  return tenant_->Post(wire::LibrarySettings(library, 0), library == kLibraryBlas ? AsBytes(settings) : ByteView())
      .status();
}

bool Measurer::Has(std::uint32_t library, std::uint32_t function) const {
  return function != 0 && HasBit(functions_[library], function);
}

Result<double> Measurer::Time(const Calls& calls, std::uint32_t count) {
  const Instant begin = Clock::now();
  std::uint64_t last = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    ACCELMESH_ASSIGN_OR_RETURN(last, calls.post());
  }
  ACCELMESH_RETURN_IF_ERROR(tenant_->Wait(kStream, last));
  return std::max(Seconds(Clock::now() - begin).count(), 1e-9);
}

Result<Interval> Measurer::Repeat(const Calls& calls) {
  std::uint32_t count = 1;
  double warm = 0;
  while (true) {
    ACCELMESH_ASSIGN_OR_RETURN(const double seconds, Time(calls, count));
    warm += seconds;
    if (seconds < kBatch.count() && count < kCallsMax) {
      // The first one may have compiled something: no more than twice as many at a time.
      count *= 2;
    } else if (warm >= kWarmUp.count()) {
      break;
    }
  }
  std::vector<double> rates;
  const Deadline deadline = Deadline::After(plan_.seconds_each);
  while (true) {
    ACCELMESH_ASSIGN_OR_RETURN(const double seconds, Time(calls, count));
    rates.push_back(calls.work * count / seconds);
    const Interval interval = MeanInterval(rates);
    const bool is_narrow = rates.size() >= kBatchesEnough && RelativeError(interval) <= kNarrow;
    if (is_narrow || (rates.size() >= kBatchesMin && deadline.passed())) return interval;
  }
}

Result<std::uint64_t> Measurer::Filled(std::uint64_t bytes, const Type& type) {
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t address, tenant_->Allocate(bytes));
  ACCELMESH_RETURN_IF_ERROR(
      tenant_->Post(wire::Fill(address, bytes, bytes, (bytes + 3) / 4, 1, 1, type.one, 4, kStream, 0)).status());
  return address;
}

// The rest -----------------------------------------------------------------------------------------------------------

Result<Throughput> Measurer::Grow(const char* operation, const Type& type, const char* via, const MakeCalls& make,
                                  std::int64_t first, std::int64_t last) {
  std::int64_t size = first;
  ACCELMESH_ASSIGN_OR_RETURN(Calls calls, make(size));
  while (true) {
    // The first run of a size may prepare something.
    ACCELMESH_RETURN_IF_ERROR(Time(calls, 1).status());
    ACCELMESH_ASSIGN_OR_RETURN(const double seconds, Time(calls, 1));
    if (seconds >= kLongCall.count() || size >= last) break;
    Result<Calls> larger = make(2 * size);
    if (larger.code() == Code::kOutOfMemory) {
      ACCELMESH_ASSIGN_OR_RETURN(calls, make(size));
      break;
    }
    if (!larger.ok()) return larger.status();
    calls = *std::move(larger);
    size *= 2;
  }
  ACCELMESH_ASSIGN_OR_RETURN(const Interval rate, Repeat(calls));
  return Throughput{operation, type.name, via, rate, "size " + std::to_string(size)};
}

Result<Interval> Measurer::Memory() {
  ACCELMESH_RETURN_IF_ERROR(tenant_->FreeAll());
  const std::uint64_t bytes = std::min(kCopyBytes, tenant_->device().memory_bytes / 4);
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t from, Filled(bytes, kTypes[0]));
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t to, Filled(bytes, kTypes[0]));
  Calls calls;
  calls.work = 2.0 * static_cast<double>(bytes);  // read and written
  calls.post = [this, from, to, bytes] {
    return tenant_->Post(wire::Copy(wire::Place(to, 0, wire::PlaceKind::Device),
                                    wire::Place(from, 0, wire::PlaceKind::Device), bytes, kStream, 0));
  };
  return Repeat(calls);
}

Result<Interval> Measurer::Launch() {
  ACCELMESH_ASSIGN_OR_RETURN(const std::uint32_t module, LoadKernel(EmptyKernel()));
  const auto launch = [&]() -> Status {
    ACCELMESH_ASSIGN_OR_RETURN(const std::uint64_t sequence, PostKernel(module, {}, {}, {}));
    return tenant_->Wait(kStream, sequence);
  };
  for (int i = 0; i < kWarmUpLaunches; ++i) ACCELMESH_RETURN_IF_ERROR(launch());
  std::vector<double> batches;
  const Deadline deadline = Deadline::After(plan_.seconds_each);
  while (true) {
    const Instant begin = Clock::now();
    for (int i = 0; i < kLaunchesOfBatch; ++i) ACCELMESH_RETURN_IF_ERROR(launch());
    batches.push_back(Seconds(Clock::now() - begin).count() * 1e6 / kLaunchesOfBatch);
    const Interval interval = MeanInterval(batches);
    const bool is_narrow = batches.size() >= kBatchesEnough && RelativeError(interval) <= kNarrow;
    if (is_narrow || (batches.size() >= kBatchesMin && deadline.passed())) return interval;
  }
}

Status Measurer::Identify(Identity* identity) {
  if (tenant_ == nullptr) ACCELMESH_RETURN_IF_ERROR(Renew());
  identity->processor = ProcessorName();
  identity->threads = options_.cpu_threads != 0 ? options_.cpu_threads : ProcessorThreads();
  identity->backend = tenant_->backend_name();
  identity->device = tenant_->device().name;
  identity->device_uuid = tenant_->device().uuid;
  identity->libraries = LoadedLibraries();
  return Status::Ok();
}

Result<Report> Measurer::Run() {
  const Instant begin = Clock::now();
  Report report;
  ACCELMESH_RETURN_IF_ERROR(Renew());
  ACCELMESH_RETURN_IF_ERROR(Identify(&report.identity));
  report.memory_bytes = tenant_->device().memory_bytes;
  if (report.identity.backend == "null")
    return Status(Code::kUnsupported, "Measure",
                  "the null backend runs nothing, so there is nothing to measure; use --backend cpu or cuda");
  std::vector<std::string> wanted = Quantities();
  if (!plan_.only.empty()) std::erase_if(wanted, [this](const std::string& name) { return name != plan_.only; });
  if (wanted.empty())
    return Status(Code::kInvalidArgument, "Measure", "'" + plan_.only + "' is none of what is measured");
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::string& name = wanted[i];
    if (plan_.progress) plan_.progress(name, static_cast<double>(i) / static_cast<double>(wanted.size()));
    Status status;
    if (name == "memory" || name == "launch") {
      const Result<Interval> interval = name == "memory" ? Memory() : Launch();
      if (interval.ok()) (name == "memory" ? report.memory_bytes_per_s : report.launch_us) = *interval;
      status = interval.status();
    } else {
      const std::string type_name = name.substr(name.find(' ') + 1);
      const Type& type =
          *std::find_if(kTypes.begin(), kTypes.end(), [&](const Type& known) { return type_name == known.name; });
      Result<Throughput> throughput = name.starts_with("matmul") ? Matmul(type) : Convolution(type);
      if (throughput.ok()) report.throughput.push_back(*std::move(throughput));
      status = throughput.status();
    }
    if (status.ok()) continue;
    report.missing.push_back(name + ": " + status.text());
    // The session may have got an error, which stays.
    if (i + 1 < wanted.size()) ACCELMESH_RETURN_IF_ERROR(Renew());
  }
  report.seconds = Seconds(Clock::now() - begin).count();
  return report;
}

std::vector<std::string> Quantities() {
  std::vector<std::string> names;
  for (const char* operation : {"matmul", "convolution"}) {
    for (const Type& type : kTypes) names.push_back(std::string(operation) + " " + type.name);
  }
  names.insert(names.end(), {"memory", "launch"});
  return names;
}

Result<Report> Measure(const BackendFactory& make, const BackendOptions& options, const Plan& plan) {
  return Measurer(make, options, plan).Run();
}

Result<Identity> Identify(const BackendFactory& make, const BackendOptions& options) {
  Identity identity;
  const Plan plan;
  ACCELMESH_RETURN_IF_ERROR(Measurer(make, options, plan).Identify(&identity));
  return identity;
}

}  // namespace accelmesh::measure
