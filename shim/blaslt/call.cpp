#include "shim/blaslt/call.h"

#include <cstring>
#include <string>

#include "protocol/base/log.h"
#include "shim/blas/entry.h"
#include "shim/blas/handle.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::blaslt {
namespace {

cublasStatus_t CheckFunction(const Target& target, const char* name, std::uint32_t function) {
  if (!HasBit(target.library->functions, function)) [[unlikely]] {
    blas::SayRefused(name, "the server's library does not have it");
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  // A host function of the program's may not call CUDA; behind a sticky error nothing runs any more.
  if (CurrentThread().in_host_function || target.session->StickyError() != 0) [[unlikely]]
    return CUBLAS_STATUS_EXECUTION_FAILED;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t Failed(const Target& target, DeviceResult result) {
  Runtime::Get().NoteDeviceError(*target.session);
  return blas::StatusOf(result);
}

}  // namespace

cublasStatus_t PostBytes(const Target& target, const char* name, std::uint32_t function, cudaStream_t stream,
                         ByteView arguments) {
  if (const cublasStatus_t status = CheckFunction(target, name, function); status != CUBLAS_STATUS_SUCCESS)
    return status;
  Stream* const place = StreamOf(target, stream);
  if (place == nullptr) return CUBLAS_STATUS_EXECUTION_FAILED;
  const DeviceResult posted =
      target.session->PostLibrary(place, kLibraryBlasLt, function, target.library->settings, arguments);
  if (posted == 0) return CUBLAS_STATUS_SUCCESS;
  return Failed(target, posted);
}

cublasStatus_t AskBytes(const Target& target, const char* name, std::uint32_t function, ByteView question,
                        Answers& answers, std::shared_ptr<const Answer>* answer, bool* is_new) {
  if (const cublasStatus_t status = CheckFunction(target, name, function); status != CUBLAS_STATUS_SUCCESS)
    return status;
  *answer = answers.Find(question);
  if (*answer != nullptr) return (*answer)->status;
  Bytes arguments(question.begin(), question.end());
  std::memset(arguments.data(), 0, sizeof(std::uint64_t));  // flags: none
  auto heard = std::make_shared<Answer>();
  std::uint32_t status = 0;
  const DeviceResult asked =
      target.session->AskLibrary(kLibraryBlasLt, function, target.device, arguments, &status, &heard->bytes);
  if (asked != 0) return Failed(target, asked);
  heard->status = static_cast<cublasStatus_t>(status);
  // Why not: for people.
  if (status != CUBLAS_STATUS_SUCCESS && !heard->bytes.empty())
    log::Warning("accelmesh", std::string(name) + ": " + std::string(AsText(heard->bytes)));
  answers.Remember(question, heard);
  if (is_new != nullptr) *is_new = true;
  *answer = std::move(heard);
  return (*answer)->status;
}

}  // namespace accelmesh::blaslt
