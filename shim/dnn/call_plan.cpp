// Executions of plans: a plan is posted once, as settings.
#include "shim/dnn/call.h"

namespace accelmesh::dnn {

cudnnStatus_t Call::PostPlan(ByteView plan, DnnGraphExecute words, std::span<const std::int32_t> tail) {
  words.tail_words = TailWords(tail);
  if (status_ != CUDNN_STATUS_SUCCESS) return status_;
  constexpr std::uint32_t kFunction = kDnnFunction<DnnGraphExecute>;
  if (const cudnnStatus_t status = CheckFunction(kFunction); status != CUDNN_STATUS_SUCCESS) return status;
  Stream* const stream = StreamOf(*context_);
  if (stream == nullptr) return CUDNN_STATUS_EXECUTION_FAILED;
  std::uint32_t settings = 0;
  DeviceResult posted = context_->session->LibrarySettings(kLibraryDnn, plan, &settings);
  if (posted == 0) {
    const Bytes arguments = WithTail(AsBytes(words), tail);
    posted = context_->session->PostLibrary(stream, kLibraryDnn, kFunction, settings, arguments);
  }
  return posted == 0 ? CUDNN_STATUS_SUCCESS : Failed(posted);
}

}  // namespace accelmesh::dnn
