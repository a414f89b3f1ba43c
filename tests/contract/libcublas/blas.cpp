#include "tests/contract/libcublas/blas.h"

#include <cstring>
#include <mutex>
#include <set>

#include "shim/gen_blas_face.h"
#include "tests/contract/libcublas/control.h"
#include "tests/contract/libcublas/device.h"

namespace accelmesh::blas {
namespace {

using contract::Break;
using contract::MayWait;

struct Handles {
  std::mutex mu;
  std::set<cublasHandle_t> all;
  contract_blas_state last{};
};
Handles& AllHandles() {
  static auto* const handles = new Handles;
  return *handles;
}

void Note(const cublasContext& context) {
  Handles& handles = AllHandles();
  const std::lock_guard lock(handles.mu);
  contract_blas_state& last = handles.last;
  ++last.calls;
  last.stream = context.stream;
  last.pointer_mode = context.pointer_mode;
  last.math_mode = static_cast<int>(context.settings.math_mode);
  last.atomics_mode = static_cast<int>(context.settings.atomics_mode);
  last.sm_count_target = static_cast<int>(context.settings.sm_count_target);
  last.workspace = context.settings.workspace;
  last.workspace_bytes = context.settings.workspace_bytes;
}

}  // namespace

cublasContext* UseHandle(cublasHandle_t handle, const char* name) {
  {
    Handles& handles = AllHandles();
    const std::lock_guard lock(handles.mu);
    if (!handles.all.contains(handle)) {
      Break(CONTRACT_RULE_BAD_HANDLE, std::string(name) + ": no handle, or one that was destroyed");
      return nullptr;
    }
  }
  if (contract::CurrentContext() != handle->context) {
    Break(CONTRACT_RULE_WRONG_CONTEXT, std::string(name) + ": the handle is of another context than the current one");
    return nullptr;
  }
  if (handle->users.fetch_add(1) != 0)
    Break(CONTRACT_RULE_BAD_HANDLE, std::string(name) + ": another thread is using the handle");
  return handle;
}

BlasCall::BlasCall(cublasHandle_t handle, std::uint32_t function, const char* name)
    : function_(function), name_(name), context_(UseHandle(handle, name)) {
  FailUnless(context_ != nullptr, CUBLAS_STATUS_NOT_INITIALIZED);
  words_.push_back(has_device_pointers() ? kDevicePointers : 0);
}

void BlasCall::Scalar(const void* pointer, std::size_t bytes, std::size_t words) {
  Require(pointer != nullptr);
  if (has_device_pointers()) Address(pointer);
  const std::size_t first = words_.size() - (has_device_pointers() ? 1 : 0);
  words_.resize(first + words);
  if (!has_device_pointers() && pointer != nullptr) std::memcpy(&words_[first], pointer, bytes);
}

void BlasCall::Result(void* pointer, std::size_t bytes, std::size_t /*words*/) {
  Require(pointer != nullptr);
  if (has_device_pointers()) return Address(pointer);
  words_.push_back(0);
  results_.push_back({pointer, bytes});
}

void BlasCall::InOut(void* pointer, std::size_t bytes, std::size_t words) {
  Scalar(pointer, bytes, words);
  if (!has_device_pointers()) results_.push_back({pointer, bytes});
}

void BlasCall::HostInfo(int* info) {
  Number(0);
  Require(info != nullptr);
  if (info != nullptr) *info = 0;
}

cublasStatus_t BlasCall::Send() {
  if (status_ != CUBLAS_STATUS_SUCCESS) return status_;
  if (!contract::HasFunction(kLibraryBlas, function_)) return CUBLAS_STATUS_NOT_SUPPORTED;
  Note(*context_);
  const auto give = [this](const cpu_blas::Outcome& outcome) {
    const std::uint8_t* from = outcome.results;
    for (const HostResult& result : results_) {
      std::memcpy(result.pointer, from, result.bytes);
      from += result.bytes;
    }
  };
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(words_.data());
  Bytes arguments(bytes, bytes + words_.size() * sizeof(words_[0]));
  if (!is_on_device_) {
    const cpu_blas::Outcome outcome = contract::RunFunction(kLibraryBlas, function_, arguments, 0);
    if (outcome.device_status != 0) return CUBLAS_STATUS_EXECUTION_FAILED;
    give(outcome);
    return CUBLAS_STATUS_SUCCESS;
  }
  const bool waits = !results_.empty();
  if (waits && !MayWait(name_, "a result on the host waits for the stream")) return CUBLAS_STATUS_EXECUTION_FAILED;
  CUresult result = contract::QueueFunction(name_, kLibraryBlas, function_, std::move(arguments), context_->stream,
                                            waits ? give : std::function<void(const cpu_blas::Outcome&)>());
  if (result == CUDA_SUCCESS && waits) result = contract::Synchronize(context_->stream);
  return result == CUDA_SUCCESS ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}

}  // namespace accelmesh::blas

// Bodies -------------------------------------------------------------------------------------------------------------

namespace accelmesh::face {
namespace {

template <typename Body>
cublasStatus_t With(cublasHandle_t handle, const char* name, Body body) {
  cublasContext* const context = blas::UseHandle(handle, name);
  if (context == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  body(*context);
  blas::LeaveHandle(context);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t Set(cublasHandle_t handle, const char* name, std::int64_t BlasSettings::* member, std::int64_t value) {
  return With(handle, name, [&](cublasContext& context) { context.settings.*member = value; });
}

}  // namespace

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  CUcontext const context = contract::CurrentContext();
  if (handle == nullptr || context == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!contract::MayWait("cublasCreate", "it makes memory")) return CUBLAS_STATUS_NOT_INITIALIZED;
  auto* const made = new cublasContext;
  made->context = context;
  blas::Handles& handles = blas::AllHandles();
  const std::lock_guard lock(handles.mu);
  handles.all.insert(made);
  handles.last.handles = static_cast<int>(handles.all.size());
  *handle = made;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  if (!contract::MayWait("cublasDestroy", "it waits for the device")) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (blas::UseHandle(handle, "cublasDestroy") == nullptr) return CUBLAS_STATUS_NOT_INITIALIZED;
  {
    blas::Handles& handles = blas::AllHandles();
    const std::lock_guard lock(handles.mu);
    handles.all.erase(handle);
    handles.last.handles = static_cast<int>(handles.all.size());
  }
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  return With(handle, "cublasSetStream", [stream](cublasContext& context) {
    context.stream = stream;
    context.settings.workspace = context.settings.workspace_bytes = 0;
  });
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, size_t bytes) {
  constexpr std::uintptr_t kAlignment = 256;
  if (reinterpret_cast<std::uintptr_t>(workspace) % kAlignment != 0) return CUBLAS_STATUS_INVALID_VALUE;
  return With(handle, "cublasSetWorkspace", [workspace, bytes](cublasContext& context) {
    context.settings.workspace = reinterpret_cast<std::uintptr_t>(workspace);
    context.settings.workspace_bytes = bytes;
  });
}
cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t handle, cublasPointerMode_t mode) {
  return With(handle, "cublasSetPointerMode", [mode](cublasContext& context) { context.pointer_mode = mode; });
}
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  return Set(handle, "cublasSetMathMode", &BlasSettings::math_mode, mode);
}
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
  return Set(handle, "cublasSetAtomicsMode", &BlasSettings::atomics_mode, mode);
}
cublasStatus_t cublasSetSmCountTarget(cublasHandle_t handle, int count) {
  return Set(handle, "cublasSetSmCountTarget", &BlasSettings::sm_count_target, count);
}
cublasStatus_t cublasSetEmulationStrategy(cublasHandle_t handle, cublasEmulationStrategy_t strategy) {
  return Set(handle, "cublasSetEmulationStrategy", &BlasSettings::emulation_strategy, strategy);
}
cublasStatus_t cublasSetEmulationSpecialValuesSupport(cublasHandle_t handle, cudaEmulationSpecialValuesSupport mask) {
  return Set(handle, "cublasSetEmulationSpecialValuesSupport", &BlasSettings::special_values, mask);
}
cublasStatus_t cublasSetFixedPointEmulationMantissaControl(cublasHandle_t handle,
                                                           cudaEmulationMantissaControl control) {
  return Set(handle, "cublasSetFixedPointEmulationMantissaControl", &BlasSettings::mantissa_control, control);
}
cublasStatus_t cublasSetFixedPointEmulationMaxMantissaBitCount(cublasHandle_t handle, int count) {
  return Set(handle, "cublasSetFixedPointEmulationMaxMantissaBitCount", &BlasSettings::mantissa_bits_max, count);
}
cublasStatus_t cublasSetFixedPointEmulationMantissaBitOffset(cublasHandle_t handle, int offset) {
  return Set(handle, "cublasSetFixedPointEmulationMantissaBitOffset", &BlasSettings::mantissa_bit_offset, offset);
}
const char* cublasGetStatusName(cublasStatus_t status) {
  return status == CUBLAS_STATUS_INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE" : "a status of the contract libcublas";
}

}  // namespace accelmesh::face

extern "C" __attribute__((visibility("default"))) void contract_blas_last(contract_blas_state* state) {
  const std::lock_guard lock(accelmesh::blas::AllHandles().mu);
  *state = accelmesh::blas::AllHandles().last;
}
