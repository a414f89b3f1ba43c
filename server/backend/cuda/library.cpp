#include "server/backend/cuda/library.h"

#include <algorithm>

#include "protocol/base/log.h"
#include "server/backend/identity.h"

namespace accelmesh::cuda {
namespace {

// A function that has run on a device with so many problems has loaded what it has: the next one is not stopped for.
constexpr std::uint32_t kProblemsMax = 256;

// Factorisations and the like have no form with 64-bit numbers, and make memory of their own.
bool MayWait(const BlasLibrary::Function& function) {
  return function.waits == BlasLibrary::Waits::kNothing && !function.is_wide;
}

std::uint64_t Mix(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9e3779b97f4a7c15;
  return hash ^ hash >> 29;
}
std::uint64_t MixBytes(std::uint64_t hash, ByteView bytes) {
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= bytes.size(); at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof(word));
    hash = Mix(hash, word);
  }
  return hash;
}

// A library's own numbers for what every library has.
struct Statuses {
  std::uint32_t success = CUBLAS_STATUS_SUCCESS;
  std::uint32_t not_supported = CUBLAS_STATUS_NOT_SUPPORTED;
  std::uint32_t no_memory = CUBLAS_STATUS_ALLOC_FAILED;
  std::uint32_t failed = CUBLAS_STATUS_EXECUTION_FAILED;
};
Statuses StatusesOf(std::uint32_t library) {
  if (library != kLibraryDnn) return {};
  return {CUDNN_STATUS_SUCCESS, CUDNN_STATUS_NOT_SUPPORTED, CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED,
          CUDNN_STATUS_EXECUTION_FAILED};
}

// What a program finds out later of a call that it has not waited for.
DeviceStatus DnnDeviceStatusOf(std::uint32_t status) {
  if (status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ||
      status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED)
    return kDeviceOutOfMemory;
  switch (CUDNN_STATUS_CATEGORY(status)) {
    case CUDNN_STATUS_BAD_PARAM: return kDeviceInvalidValue;
    case CUDNN_STATUS_NOT_SUPPORTED: return kDeviceNotSupported;
    case CUDNN_STATUS_EXECUTION_FAILED: return kDeviceLaunchFailed;
    default: return kDeviceUnknown;
  }
}
DeviceStatus DeviceStatusOf(std::uint32_t library, std::uint32_t status) {
  if (library == kLibraryDnn) return DnnDeviceStatusOf(status);
  switch (status) {
    case CUBLAS_STATUS_INVALID_VALUE: return kDeviceInvalidValue;
    case CUBLAS_STATUS_ALLOC_FAILED: return kDeviceOutOfMemory;
    case CUBLAS_STATUS_NOT_SUPPORTED:
    case CUBLAS_STATUS_ARCH_MISMATCH: return kDeviceNotSupported;
    case CUBLAS_STATUS_EXECUTION_FAILED: return kDeviceLaunchFailed;
    default: return kDeviceUnknown;
  }
}

std::shared_ptr<const Module> NamesOf(std::uint32_t library) {
  auto names = std::make_shared<Module>();
  for (std::uint32_t i = 0; i < LibraryFunctions(library); ++i) {
    Kernel function;
    function.name = LibraryFunctionName(library, i);
    names->kernels.push_back(std::move(function));
  }
  return names;
}

}  // namespace

void Library::Start(CompletionSink* sink, std::vector<Device*> devices, std::shared_ptr<PlanKeeper> keeper) {
  sink_ = sink;
  keeper_ = std::move(keeper);
  for (Device* device : devices) {
    OnDevice on;
    on.device = device;
    devices_.push_back(std::move(on));
  }
  for (const std::uint32_t library : {kLibraryBlas, kLibraryBlasLt, kLibraryDnn}) names_[library] = NamesOf(library);
  service_.Start([] {});
}

void Library::Stop() {
  service_.Stop();
  const MutexLock lock(answer_mu_);
  is_stopped_ = true;
}

template <typename Answer, typename Question>
void Library::Tell(const Answer& answer, const Question& ask) {
  auto said = ask();
  const MutexLock lock(answer_mu_);
  if (!is_stopped_) answer(std::move(said));
}

void Library::Close(const std::vector<std::shared_ptr<Stream>>& streams) {
  for (OnDevice& on : devices_) {
    (void)Enter(driver_, *on.device);
    on.dnn_plans->Clear();
  }
  for (const std::shared_ptr<Stream>& stream : streams) {
    if (stream->blas == nullptr && stream->dnn == nullptr) continue;
    if (Enter(driver_, *stream->device) != CUDA_SUCCESS) continue;
    if (stream->blas != nullptr) stream->blas->Destroy();
    if (stream->dnn != nullptr) stream->dnn->Destroy();
    stream->blas.reset();
    stream->dnn.reset();
  }
  for (OnDevice& on : devices_) {
    if (Enter(driver_, *on.device) != CUDA_SUCCESS) continue;
    for (const std::shared_ptr<BlasHandle>& handle : on.idle) handle->Destroy();
    for (const std::shared_ptr<DnnHandle>& handle : on.dnn_idle) handle->Destroy();
    on.idle.clear();
    on.dnn_idle.clear();
    if (on.lt != nullptr) (void)lt_->Destroy(on.lt);
    if (on.results != 0) (void)driver_.MemFree(on.results);
  }
}

// Opening ------------------------------------------------------------------------------------------------------------

void Library::Open(std::uint32_t library, std::uint32_t device, std::function<void(Result<Bytes>)> answer) {
  service_.Post([this, library, device, answer = std::move(answer)] {
    Tell(answer, [&] { return OpenHere(library, devices_[device]); });
    return true;
  });
}

Result<Bytes> Library::OpenHere(std::uint32_t library, OnDevice& on) {
  constexpr const char* kWhere = "cuda::Library::Open";
  if (progress_.lost()) return Status(Code::kDeviceFault, kWhere, "the context is lost");
  if (const CUresult entered = Enter(driver_, *on.device); entered != CUDA_SUCCESS) {
    (void)progress_.NoteResult(entered);
    return Status(Code::kUnsupported, kWhere, driver_.Text(entered));
  }
  if (library == kLibraryBlas) {
    ACCELMESH_RETURN_IF_ERROR(OpenBlas(on));
    return blas_->Bits();
  }
  if (library == kLibraryBlasLt) {
    ACCELMESH_RETURN_IF_ERROR(OpenLt(on));
    return lt_->Bits();
  }
  if (library == kLibraryDnn) {
    ACCELMESH_RETURN_IF_ERROR(OpenDnn(on));
    return dnn_->Bits();
  }
  return Status(Code::kUnsupported, kWhere, "the cuda backend has no library " + std::to_string(library));
}

Status Library::OpenBlas(OnDevice& on) {
  if (blas_ == nullptr) {
    ACCELMESH_ASSIGN_OR_RETURN(blas_, BlasLibrary::Load());
  }
  if (on.results == 0) {
    const CUresult result = driver_.MemAlloc(&on.results, limits::kStreamsMax * kResultBytes);
    if (result != CUDA_SUCCESS) return {Code::kOutOfMemory, "cuda::Library::Open", driver_.Text(result)};
  }
  // The first one takes the longest, so that no stream has to wait for it.
  if (on.idle.empty()) {
    ACCELMESH_ASSIGN_OR_RETURN(std::shared_ptr<BlasHandle> handle, MakeBlas());
    on.idle.push_back(std::move(handle));
  }
  return Status::Ok();
}

Result<std::shared_ptr<BlasHandle>> Library::MakeBlas() {
  cublasHandle_t handle = nullptr;
  const cublasStatus_t status = blas_->Create(&handle);
  if (status != CUBLAS_STATUS_SUCCESS) {
    const Code code = status == CUBLAS_STATUS_ALLOC_FAILED ? Code::kOutOfMemory : Code::kUnsupported;
    return Status(code, "cublasCreate", blas_->StatusName(status));
  }
  return std::make_shared<BlasHandle>(*blas_, handle);
}

Status Library::OpenLt(OnDevice& on) {
  if (lt_ == nullptr) {
    ACCELMESH_ASSIGN_OR_RETURN(lt_, LtLibrary::Load());
  }
  if (on.lt != nullptr) return Status::Ok();
  const cublasStatus_t status = lt_->Create(&on.lt);
  if (status != CUBLAS_STATUS_SUCCESS) return {Code::kUnsupported, "cublasLtCreate", lt_->StatusName(status)};
  on.lt_identity =
      IdentityOf(on, "cublaslt " + std::to_string(lt_->GetVersion()), reinterpret_cast<const void*>(lt_->GetVersion));
  return Status::Ok();
}

// Of one kind of device there are parts of several sizes.
std::string Library::IdentityOf(const OnDevice& on, const std::string& version, const void* symbol) const {
  std::array<char, 256> name{};
  (void)driver_.DeviceGetName(name.data(), static_cast<int>(name.size()), on.device->handle);
  std::string identity = version + "|" + ObjectIdentity(symbol) +
                         ObjectIdentity(reinterpret_cast<const void*>(&NamesOf)) + name.data() + "|";
  for (const CUdevice_attribute attribute :
       {CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
        CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT}) {
    int value = 0;
    (void)driver_.DeviceGetAttribute(&value, attribute, on.device->handle);
    identity += std::to_string(value) + "|";
  }
  int driver = 0;
  (void)driver_.DriverGetVersion(&driver);
  return identity + std::to_string(driver) + "|" + EnvironmentIdentity({"CUBLAS", "CUDNN", "NVIDIA_TF32"});
}

std::string Library::Identity(std::uint32_t library, std::uint32_t device) const {
  const OnDevice& on = devices_[device];
  if (library == kLibraryBlasLt) return on.lt_identity;
  return library == kLibraryDnn ? on.dnn_identity : std::string();
}

Status Library::OpenDnn(OnDevice& on) {
  if (dnn_ == nullptr) {
    ACCELMESH_ASSIGN_OR_RETURN(dnn_, DnnLibrary::Load());
  }
  if (!on.dnn_identity.empty()) return Status::Ok();
  ACCELMESH_ASSIGN_OR_RETURN(std::shared_ptr<DnnHandle> handle, MakeDnn(on));
  on.dnn_idle.push_back(std::move(handle));
  on.dnn_identity =
      IdentityOf(on, "cudnn " + std::to_string(dnn_->GetVersion()), reinterpret_cast<const void*>(dnn_->GetVersion));
  on.dnn_plans->Remember(keeper_, on.dnn_identity);
  return Status::Ok();
}

Result<std::shared_ptr<DnnHandle>> Library::MakeDnn(const OnDevice& on) {
  cudnnHandle_t handle = nullptr;
  const cudnnStatus_t status = dnn_->Create(&handle);
  if (status != CUDNN_STATUS_SUCCESS) {
    const Code code = DnnDeviceStatusOf(status) == kDeviceOutOfMemory ? Code::kOutOfMemory : Code::kUnsupported;
    return Status(code, "cudnnCreate", dnn_->StatusName(status));
  }
  return std::make_shared<DnnHandle>(driver_, *dnn_, handle, on.dnn_plans.get());
}

// Questions ----------------------------------------------------------------------------------------------------------

void Library::Ask(LibraryJob job, std::function<void(Result<LibraryAnswer>)> answer) {
  service_.Post([this, job = std::move(job), answer = std::move(answer)] {
    Tell(answer, [&] { return Result<LibraryAnswer>(AskHere(job)); });
    return true;
  });
}

LibraryAnswer Library::AskLibrary(const LibraryJob& job) {
  const OnDevice& on = devices_[job.device];
  if (job.library == kLibraryBlasLt) return lt_->Ask(on.lt, job.function, job.arguments);
  return on.dnn_idle.back()->Ask(job.function, job.arguments);
}

LibraryAnswer Library::AskHere(const LibraryJob& job) {
  LibraryAnswer answer;
  answer.status = StatusesOf(job.library).not_supported;
  OnDevice& on = devices_[job.device];
  const bool is_dnn = job.library == kLibraryDnn;
  if (is_dnn ? on.dnn_identity.empty() : job.library != kLibraryBlasLt || on.lt == nullptr) return answer;
  answer.status = StatusesOf(job.library).failed;
  if (progress_.lost() || progress_.NoteResult(Enter(driver_, *on.device))) return answer;
  if (is_dnn && on.dnn_idle.empty()) {
    // Streams have all of them.
    Result<std::shared_ptr<DnnHandle>> made = MakeDnn(on);
    if (!made.ok()) return answer;
    on.dnn_idle.push_back(*std::move(made));
  }
  return AskLibrary(job);
}

// Calls --------------------------------------------------------------------------------------------------------------

Library::Problem Library::ProblemOf(const LibraryWork& work) const {
  const LibraryJob& job = work.job;
  Problem problem = Mix(Mix(Mix(0, job.device), job.library), job.function);
  if (job.library == kLibraryBlasLt) return MixBytes(problem, LtProblem(job.function, job.arguments));
  if (job.library != kLibraryBlas || blas_ == nullptr) return problem;
  BlasSettings settings = ReadBlasSettings(*job.settings).value_or(BlasSettings());
  settings.workspace = settings.workspace != 0;
  problem = MixBytes(problem, AsBytes(settings));
  const BlasLibrary::Function* const function = blas_->Find(job.function);
  const LibraryArguments words(job.arguments);
  const std::size_t count = job.arguments.size() / sizeof(std::uint64_t) - 1;
  problem = Mix(problem, words.has_device_pointers());
  for (std::size_t i = 0; i < count && function != nullptr; ++i) {
    const auto word = static_cast<std::uint64_t>(words.Word(i));
    const bool is_number = (function->numbers >> i & 1) != 0;
    const bool is_address = (function->addresses >> i & 1) != 0;
    problem = Mix(problem, is_number ? word : is_address ? word % 16 : word != 0);
  }
  return problem;
}

bool Library::MayRun(const Stream& stream, const LibraryWork& work) {
  const LibraryJob& job = work.job;
  if (job.library == kLibraryBlas) {
    const BlasLibrary::Function* const function = blas_ == nullptr ? nullptr : blas_->Find(job.function);
    if (function == nullptr || stream.blas == nullptr || MayWait(*function)) return false;
    if (work.answer != nullptr && stream.awaits_result.load(std::memory_order_acquire)) return false;
  }
  if (job.library == kLibraryDnn)
    return stream.dnn != nullptr && stream.dnn->Knows(job.function, job.arguments, job.settings);
  const MutexLock lock(mu_);
  const auto count = seen_of_.find({job.device, job.library, job.function});
  if (count == seen_of_.end()) return false;
  return count->second >= kProblemsMax || seen_.contains(ProblemOf(work));
}

Library::Outcome Library::CallBlas(Stream& stream, const LibraryWork& work, const BlasLibrary::Function& function) {
  const LibraryJob& job = work.job;
  Outcome outcome;
  const bool has_pointers = LibraryArguments(job.arguments).has_device_pointers();
  const bool fetches = function.waits == BlasLibrary::Waits::kResult && !has_pointers;
  const CUdeviceptr place = fetches ? devices_[job.device].results + stream.slot * kResultBytes : 0;
  NativeArguments arguments(job.arguments, place);
  const cublasStatus_t status = stream.blas->Run(function, job.settings, has_pointers || fetches, arguments);
  if (status != CUBLAS_STATUS_SUCCESS) {
    outcome.status_name = blas_->StatusName(status);
  } else if (fetches) {
    outcome.fetched_bytes = std::min(arguments.result_bytes(), kResultBytes);
    const CUresult copied = driver_.MemcpyAsync(reinterpret_cast<CUdeviceptr>(results_ + stream.slot * kResultBytes),
                                                place, kResultBytes, stream.handle);
    if (copied != CUDA_SUCCESS) {
      (void)progress_.NoteResult(copied);
      return {CUBLAS_STATUS_EXECUTION_FAILED, driver_.Text(copied), {}, 0};
    }
  } else if (work.answer != nullptr) {
    outcome.results = arguments.HostResults();
  }
  outcome.status = status;
  return outcome;
}

Library::Outcome Library::CallLibrary(Stream& stream, const LibraryWork& work) {
  const LibraryJob& job = work.job;
  Outcome outcome;
  if (job.library == kLibraryBlas && stream.blas != nullptr) {
    if (const BlasLibrary::Function* const function = blas_->Find(job.function); function != nullptr)
      return CallBlas(stream, work, *function);
  } else if (const cublasLtHandle_t lt = devices_[job.device].lt; job.library == kLibraryBlasLt && lt != nullptr) {
    const cublasStatus_t status = lt_->Run(lt, job.function, job.arguments, stream.handle);
    if (status != CUBLAS_STATUS_SUCCESS) outcome.status_name = lt_->StatusName(status);
    outcome.status = status;
    return outcome;
  } else if (job.library == kLibraryDnn && stream.dnn != nullptr) {
    const cudnnStatus_t status = stream.dnn->Run(job.function, job.arguments, job.settings);
    if (status != CUDNN_STATUS_SUCCESS)
      outcome.status_name = stream.dnn->why().empty() ? dnn_->StatusName(status) : stream.dnn->why();
    outcome.status = status;
    return outcome;
  }
  outcome.status = StatusesOf(job.library).not_supported;
  return outcome;
}

std::function<void()> Library::Run(Stream& stream, LibraryWork& work) {
  const Statuses statuses = StatusesOf(work.job.library);
  Outcome outcome = CallLibrary(stream, work);
  if (outcome.status == statuses.success) {
    progress_.NoteLaunch(stream, work.sequence, names_[work.job.library], work.job.function);
  } else if (work.answer == nullptr) {
    Report(stream, work, outcome);
  }
  if (work.answer == nullptr) return nullptr;
  stream.awaits_result.store(true, std::memory_order_release);
  return [this, &stream, statuses, outcome = std::move(outcome), answer = std::move(work.answer)] {
    LibraryAnswer told;
    told.status = progress_.lost() ? statuses.failed : outcome.status;
    if (told.status == statuses.success) {
      told.results = outcome.results;
      const std::uint8_t* const fetched = results_ + stream.slot * kResultBytes;
      told.results.insert(told.results.end(), fetched, fetched + outcome.fetched_bytes);
    }
    answer(std::move(told));
    stream.awaits_result.store(false, std::memory_order_release);
  };
}

void Library::Refuse(const LibraryWork& work) {
  if (work.answer != nullptr) work.answer({StatusesOf(work.job.library).failed, {}});
}

void Library::Report(const Stream& stream, const LibraryWork& work, const Outcome& outcome) {
  const std::uint32_t library = work.job.library;
  const DeviceStatus status = DeviceStatusOf(library, outcome.status);
  // What the library was told by the driver may be the end of the context, which is told once for all streams.
  if (status == kDeviceLaunchFailed && progress_.NoteResult(driver_.StreamQuery(stream.handle))) return;
  sink_->Failed(stream.slot, work.sequence, status, false,
                std::string(LibraryFunctionName(library, work.job.function)) + ": " + outcome.status_name);
}

// Calls of stopped streams -------------------------------------------------------------------------------------------

void Library::Begin(std::shared_ptr<Stream> stream, std::unique_ptr<cuda::Stop> stop) {
  service_.Post([this, stream = std::move(stream), stop = std::shared_ptr<const cuda::Stop>(std::move(stop))] {
    BeginHere(stream, *stop);
    return true;
  });
}

namespace {

// An idle handle, or one that `make` makes, for the stream.
template <typename Handle, typename Make>
bool Give(std::vector<std::shared_ptr<Handle>>& idle, std::shared_ptr<Handle>& place, CUstream stream, Make make) {
  if (idle.empty()) {
    Result<std::shared_ptr<Handle>> made = make();
    if (!made.ok()) {
      log::Warning("cuda backend", made.status().ToString());
      return false;
    }
    idle.push_back(*std::move(made));
  }
  if (static_cast<int>(idle.back()->Use(stream)) != 0) return false;
  place = std::move(idle.back());
  idle.pop_back();
  return true;
}

}  // namespace

bool Library::GiveHandle(Stream& stream, std::uint32_t library) {
  OnDevice& on = devices_[stream.device->index];
  if (library == kLibraryBlas && stream.blas == nullptr)
    return Give(on.idle, stream.blas, stream.handle, [this] { return MakeBlas(); });
  if (library == kLibraryDnn && stream.dnn == nullptr)
    return Give(on.dnn_idle, stream.dnn, stream.handle, [this, &on] { return MakeDnn(on); });
  return true;
}

void Library::BeginHere(const std::shared_ptr<Stream>& stream, const cuda::Stop& stop) {
  LibraryWork& work = *stop.library;
  if (progress_.lost() || progress_.NoteResult(Enter(driver_, *stream->device))) {
    Refuse(work);
    progress_.AddReached(stream, EndOf(*stream, work.sequence));
    return;
  }
  if (!GiveHandle(*stream, work.job.library)) {
    const std::uint32_t status = StatusesOf(work.job.library).no_memory;
    if (work.answer == nullptr) Report(*stream, work, {status, "no handle could be made", {}, 0});
    if (work.answer != nullptr) work.answer({status, {}});
    progress_.AddReached(stream, EndOf(*stream, work.sequence));
    return;
  }
  Mark end = EndOf(*stream, work.sequence);
  end.tell = Run(*stream, work);
  if (work.job.library == kLibraryDnn) {
    stream->dnn->Learn(work.job.function, work.job.arguments, work.job.settings);
  } else {
    const MutexLock lock(mu_);
    const bool is_new = seen_.insert(ProblemOf(work)).second;
    std::uint32_t& count = seen_of_[{work.job.device, work.job.library, work.job.function}];
    if (is_new) ++count;
  }
  progress_.Add(stream, std::move(end));
}

void Library::Retire(const Point& end) {
  service_.Post([this, end] {
    if (!progress_.lost() && !end.passed()) return false;
    OnDevice& on = devices_[end.stream->device->index];
    if (end.stream->blas != nullptr) on.idle.push_back(std::move(end.stream->blas));
    if (end.stream->dnn != nullptr) on.dnn_idle.push_back(std::move(end.stream->dnn));
    return true;
  });
}

}  // namespace accelmesh::cuda
