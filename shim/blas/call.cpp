#include "shim/blas/call.h"

#include "shim/blas/entry.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::blas {

DeviceResult BlasCall::Query(Stream* stream, std::uint32_t settings, ByteView arguments) {
  std::uint32_t status = 0;
  Bytes results;
  const DeviceResult asked =
      context_->session->QueryLibrary(stream, kLibraryBlas, function_, settings, arguments, &status, &results);
  if (asked != 0) return asked;
  status_ = static_cast<cublasStatus_t>(status);
  if (status_ != CUBLAS_STATUS_SUCCESS) return 0;
  ByteReader reader(results, "BlasCall::Query");
  for (std::size_t i = 0; i < result_count_; ++i) {
    const accelmesh::Result<ByteView> bytes = reader.Take(results_[i].bytes);
    if (!bytes.ok()) {
      status_ = CUBLAS_STATUS_INTERNAL_ERROR;
      break;
    }
    std::memcpy(results_[i].pointer, bytes->data(), bytes->size());
  }
  return 0;
}

cublasStatus_t BlasCall::Send() {
  if (status_ != CUBLAS_STATUS_SUCCESS) return status_;
  if (!HasBit(*context_->functions, function_)) [[unlikely]] {
    SayRefused(name_, "the server's library does not have it");
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  Stream* const stream = StreamOf(*context_);
  // A host function of the program's may not call CUDA; behind a sticky error nothing runs any more.
  if (stream == nullptr || CurrentThread().in_host_function || context_->session->StickyError() != 0) [[unlikely]]
    return CUBLAS_STATUS_EXECUTION_FAILED;
  std::uint32_t settings = 0;
  DeviceResult sent = SettingsOf(*context_, &settings);
  const ByteView arguments(reinterpret_cast<const std::uint8_t*>(words_.data()), count_ * sizeof(words_[0]));
  if (sent == 0) {
    sent = result_count_ == 0 ? context_->session->PostLibrary(stream, kLibraryBlas, function_, settings, arguments)
                              : Query(stream, settings, arguments);
  }
  if (sent == 0) return status_;
  Runtime::Get().NoteDeviceError(*context_->session);
  return StatusOf(sent);
}

}  // namespace accelmesh::blas
