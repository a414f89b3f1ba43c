#include "shim/dnn/call.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "protocol/base/log.h"
#include "shim/core/capture.h"
#include "shim/dnn/report.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::dnn {
namespace {

struct Answer {
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  std::vector<DnnAlgorithm> algorithms;
};

// By problem, behind the device that was asked. Nothing is forgotten: what is handed out of them stays, and a program
// has as many problems as it has layers.
struct Answers {
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(ByteView bytes) const { return std::hash<std::string_view>()(AsText(bytes)); }
    std::size_t operator()(const Bytes& bytes) const { return (*this)(ByteView(bytes)); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(ByteView a, ByteView b) const { return AsText(a) == AsText(b); }
  };
  Mutex mu;
  std::unordered_map<Bytes, Answer, Hash, Equal> known ACCELMESH_GUARDED_BY(mu);
};
Answers& AllAnswers() {
  static auto* answers = new Answers;
  return *answers;
}

struct Question {
  std::uint64_t head = 0;  // the device, where arguments have their flags
  DnnFindAlgorithms problem;
};

}  // namespace

cudnnStatus_t Call::CheckFunction(std::uint32_t function) {
  if (!HasBit(*context_->functions, function)) [[unlikely]] {
    SayRefused(name_, "the server's library does not have it");
    return CUDNN_STATUS_NOT_SUPPORTED;
  }
  // A host function of the program's may not call CUDA; behind a sticky error nothing runs any more.
  if (CurrentThread().in_host_function || context_->session->StickyError() != 0) [[unlikely]]
    return CUDNN_STATUS_EXECUTION_FAILED;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t Call::PostBytes(std::uint32_t function, ByteView arguments) {
  if (const cudnnStatus_t status = CheckFunction(function); status != CUDNN_STATUS_SUCCESS) return status;
  Stream* const stream = StreamOf(*context_);
  if (stream == nullptr) return CUDNN_STATUS_EXECUTION_FAILED;
  const DeviceResult posted =
      context_->session->PostLibrary(stream, kLibraryDnn, function, context_->settings, arguments);
  return posted == 0 ? CUDNN_STATUS_SUCCESS : Failed(posted);
}

cudnnStatus_t Call::Wait() {
  if (status_ != CUDNN_STATUS_SUCCESS) return status_;
  const Stream* const stream = StreamOf(*context_);
  if (stream == nullptr) return CUDNN_STATUS_EXECUTION_FAILED;
  // It ends a capture.
  DeviceResult waited = context_->session->captures().CheckWait(*stream);
  if (waited == 0) waited = context_->session->Synchronize(*stream);
  return waited == 0 ? CUDNN_STATUS_SUCCESS : Failed(waited);
}

cudnnStatus_t Call::Failed(DeviceResult result) {
  Runtime::Get().NoteDeviceError(*context_->session);
  return StatusOf(result);
}

cudnnStatus_t Call::FindAlgorithms(const DnnFindAlgorithms& problem, std::span<const DnnAlgorithm>* algorithms) {
  if (status_ != CUDNN_STATUS_SUCCESS) return status_;
  constexpr std::uint32_t kFunction = kDnnFunction<DnnFindAlgorithms>;
  if (const cudnnStatus_t status = CheckFunction(kFunction); status != CUDNN_STATUS_SUCCESS) return status;
  const Question question{context_->device, problem};
  Answers& answers = AllAnswers();
  {
    const MutexLock lock(answers.mu);
    if (const auto found = answers.known.find(AsBytes(question)); found != answers.known.end()) {
      *algorithms = found->second.algorithms;
      return found->second.status;
    }
  }
  const Question sent{0, problem};
  std::uint32_t status = 0;
  Bytes bytes;
  const DeviceResult asked =
      context_->session->AskLibrary(kLibraryDnn, kFunction, context_->device, AsBytes(sent), &status, &bytes);
  if (asked != 0) return Failed(asked);
  Answer answer{static_cast<cudnnStatus_t>(status), {}};
  if (status != CUDNN_STATUS_SUCCESS) {
    // Why not: for people.
    if (!bytes.empty()) log::Warning("accelmesh", std::string(name_) + ": " + std::string(AsText(bytes)));
  } else {
    answer.algorithms.resize(std::min(bytes.size() / sizeof(DnnAlgorithm), kDnnAlgorithmsMax));
    std::memcpy(answer.algorithms.data(), bytes.data(), answer.algorithms.size() * sizeof(DnnAlgorithm));
  }
  const ByteView key = AsBytes(question);
  const MutexLock lock(answers.mu);
  // Another thread may have been first: theirs is the same, and stays.
  const Answer& kept = answers.known.try_emplace(Bytes(key.begin(), key.end()), std::move(answer)).first->second;
  *algorithms = kept.algorithms;
  return kept.status;
}

}  // namespace accelmesh::dnn
