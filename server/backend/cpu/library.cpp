#include "server/backend/cpu/library.h"

#include <dlfcn.h>

#include "protocol/library/library.h"
#include "server/backend/cpu/device.h"

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

}  // namespace

Result<Bytes> CpuLibrary::Open(std::uint32_t library, std::uint32_t threads) {
  if (library != kLibraryBlas)
    return Status(Code::kUnsupported, "CpuLibrary::Open", "the cpu backend has no library " + std::to_string(library));
  if (blas_ == nullptr) {
    // It lies in the server's folder of shared objects, wherever this code was linked into. Never closed.
    std::string path = FolderOfThisObject() + "/" + cpu_blas::kLibraryName;
    void* const object = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (object == nullptr) {
      const char* const why = ::dlerror();
      return Status(Code::kUnsupported, "CpuLibrary::Open",
                    std::string("no linear algebra on the cpu backend: ") + (why == nullptr ? path : why));
    }
    const auto get = reinterpret_cast<cpu_blas::GetInterface>(::dlsym(object, cpu_blas::kSymbol));
    const cpu_blas::Interface* const found = get == nullptr ? nullptr : get();
    if (found == nullptr || found->abi != cpu_blas::kAbi)
      return Status(Code::kUnsupported, "CpuLibrary::Open", path + " is of another build");
    found->start(threads);
    blas_ = found;
  }
  Bytes bits((LibraryFunctions(library) + 7) / 8);
  blas_->functions(bits.data(), bits.size());
  return bits;
}

cpu_blas::Outcome CpuLibrary::Run(const LibraryJob& job, const tier0::MemoryMap& memory) const {
  cpu_blas::Outcome outcome;
  blas_->run({job.function, job.arguments.data(), job.arguments.size(), &Allowed, &memory}, &outcome);
  return outcome;
}

void CpuBackend::LibraryOpen(std::uint32_t library, std::uint32_t /*device*/,
                             std::function<void(Result<Bytes>)> answer) {
  answer(library_.Open(library, options_.cpu_threads));
}

Status CpuBackend::LibraryCall(std::uint32_t stream, std::uint64_t sequence, LibraryJob job,
                               std::function<void(LibraryAnswer)> answer) {
  Task task;
  task.sequence = sequence;
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

}  // namespace accelmesh
