#include "server/backend/cpu/library.h"

#include <dlfcn.h>

#include <fstream>
#include <thread>

#include "protocol/library/library.h"
#include "server/backend/cpu/device.h"
#include "server/backend/cpu/dnn.h"
#include "server/backend/identity.h"

namespace accelmesh {
namespace {

std::string FolderOfThisObject() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&FolderOfThisObject), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string path = info.dli_fname;
  return path.substr(0, path.rfind('/'));
}

bool Allowed(const void* memory, std::uint64_t address, std::uint64_t bytes) {
  return static_cast<const tier0::MemoryMap*>(memory)->Allowed(address, bytes);
}

// The library's status of a function that did not run: CUBLAS_STATUS_EXECUTION_FAILED.
constexpr std::uint32_t kExecutionFailed = 13;

// The shared object `name`, whose functions `what` are. It lies in the server's folder of shared objects, wherever this
// code was linked into. Never closed.
Result<const cpu_blas::Interface*> OpenObject(const char* name, const char* symbol, const char* what) {
  const std::string path = FolderOfThisObject() + "/" + name;
  void* const object = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    const char* const why = ::dlerror();
    return Status(Code::kUnsupported, "CpuLibrary::Open",
                  std::string("no ") + what + " on the cpu backend: " + (why == nullptr ? path : why));
  }
  const auto get = reinterpret_cast<cpu_blas::GetInterface>(::dlsym(object, symbol));
  const cpu_blas::Interface* const found = get == nullptr ? nullptr : get();
  if (found == nullptr || found->abi != cpu_blas::kAbi)
    return Status(Code::kUnsupported, "CpuLibrary::Open", path + " is of another build");
  return found;
}

// The file of the library of others that the shared object around `symbol` works with, found by a function of it.
std::string DependencyIdentity(const void* symbol, const char* function) {
  Dl_info info{};
  if (::dladdr(symbol, &info) == 0) return "|";
  void* const object = ::dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  const std::string identity = object == nullptr ? "|" : ObjectIdentity(::dlsym(object, function));
  if (object != nullptr) ::dlclose(object);
  return identity;
}

// A home folder may be that of several machines.
std::string ProcessorIdentity() {
  std::ifstream file("/proc/cpuinfo");
  std::string identity;
  for (std::string line; std::getline(file, line) && !line.empty();) {
    if (line.starts_with("model name") || line.starts_with("flags")) identity += line + "|";
  }
  return identity + std::to_string(std::thread::hardware_concurrency()) + "|";
}

}  // namespace

std::string CpuLibrary::Identity(std::uint32_t library, std::uint32_t threads) const {
  const bool is_dnn = library == kLibraryDnn;
  const cpu_blas::Interface* const object = is_dnn ? dnn_ : blas_;
  if (object == nullptr) return {};
  const auto* const run = reinterpret_cast<const void*>(object->run);
  return "cpu " + std::to_string(library) + "|" + ObjectIdentity(run) +
         DependencyIdentity(run, is_dnn ? "dnnl_version" : "openblas_get_config") + ProcessorIdentity() +
         std::to_string(threads) + "|" + EnvironmentIdentity({"DNNL_", "ONEDNN_", "OPENBLAS_", "OMP_"});
}

Result<Bytes> CpuLibrary::Open(std::uint32_t library, std::uint32_t threads) {
  if (library != kLibraryBlas && library != kLibraryBlasLt && library != kLibraryDnn)
    return Status(Code::kUnsupported, "CpuLibrary::Open", "the cpu backend has no library " + std::to_string(library));
  const cpu_blas::Interface*& object = library == kLibraryDnn ? dnn_ : blas_;
  if (object == nullptr) {
    ACCELMESH_ASSIGN_OR_RETURN(object, library == kLibraryDnn
                                           ? OpenObject(cpu_dnn::kLibraryName, cpu_dnn::kSymbol, "neural networks")
                                           : OpenObject(cpu_blas::kLibraryName, cpu_blas::kSymbol, "linear algebra"));
    object->start(threads);
  }
  Bytes bits((LibraryFunctions(library) + 7) / 8);
  object->functions(library, bits.data(), bits.size());
  return bits;
}

cpu_blas::Outcome CpuLibrary::Run(const LibraryJob& job, const tier0::MemoryMap& memory) const {
  cpu_blas::Outcome outcome;
  const cpu_blas::Interface* const object = job.library == kLibraryDnn ? dnn_ : blas_;
  object->run(
      {job.library, job.function, job.arguments.data(), job.arguments.size(), &Allowed, &memory,
       job.settings == nullptr ? nullptr : job.settings->data(), job.settings == nullptr ? 0 : job.settings->size()},
      &outcome);
  return outcome;
}

void CpuBackend::LibraryOpen(std::uint32_t library, std::uint32_t /*device*/,
                             std::function<void(Result<Bytes>)> answer) {
  answer(library_.Open(library, options_.cpu_threads));
}

std::string CpuBackend::LibraryIdentity(std::uint32_t library, std::uint32_t /*device*/) {
  return library_.Identity(library, options_.cpu_threads);
}

Status CpuBackend::LibraryCall(std::uint32_t stream, std::uint64_t sequence, LibraryJob job,
                               std::function<void(LibraryAnswer)> answer) {
  Task task;
  task.sequence = sequence;
  task.is_library = true;
  task.passes = true;
  task.run = [this, stream, sequence, job = std::make_shared<const LibraryJob>(std::move(job)),
              answer = std::move(answer)] {
    const cpu_blas::Outcome outcome = library_.Run(*job, memory_);
    if (outcome.device_status != kDeviceOk) {
      sink_->Failed(stream, sequence, static_cast<DeviceStatus>(outcome.device_status), outcome.is_sticky,
                    std::string(LibraryFunctionName(job->library, job->function)) + ": " + outcome.text);
    }
    if (answer == nullptr) return;
    LibraryAnswer result;
    if (outcome.device_status != kDeviceOk) result.status = kExecutionFailed;
    result.results.assign(outcome.results, outcome.results + outcome.result_bytes);
    answer(std::move(result));
  };
  Enqueue(stream, std::move(task));
  return Status::Ok();
}

void CpuBackend::LibraryAsk(LibraryJob job, std::function<void(Result<LibraryAnswer>)> answer) {
  const cpu_blas::Outcome outcome = library_.Run(job, memory_);
  if (outcome.device_status != kDeviceOk)
    return answer(Status(Code::kUnsupported, LibraryFunctionName(job.library, job.function), outcome.text));
  answer(LibraryAnswer{outcome.status, Bytes(outcome.results, outcome.results + outcome.result_bytes)});
}

}  // namespace accelmesh
