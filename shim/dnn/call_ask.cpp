// What a call asks of the server's library, once a question in a process.
#include <cstring>
#include <map>
#include <string>
#include <utility>

#include "protocol/base/log.h"
#include "shim/dnn/call.h"

namespace accelmesh::dnn {
namespace {

struct Answer {
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  Bytes bytes;
};
// By device, function and words. Nothing is forgotten: a program asks of each of its layers.
struct Answers {
  Mutex mu;
  std::map<std::pair<std::uint64_t, Bytes>, Answer> known ACCELMESH_GUARDED_BY(mu);
};
Answers& AllAnswers() {
  static auto* answers = new Answers;
  return *answers;
}

cudnnStatus_t Take(const Answer& answer, void* to, std::size_t bytes) {
  if (answer.status == CUDNN_STATUS_SUCCESS) std::memcpy(to, answer.bytes.data(), bytes);
  return answer.status;
}

}  // namespace

cudnnStatus_t Call::AskBytes(std::uint32_t function, ByteView arguments, void* to, std::size_t bytes) {
  if (const cudnnStatus_t status = CheckFunction(function); status != CUDNN_STATUS_SUCCESS) return status;
  std::pair<std::uint64_t, Bytes> key{std::uint64_t{context_->device} << 32 | function,
                                      {arguments.begin(), arguments.end()}};
  Answers& answers = AllAnswers();
  {
    const MutexLock lock(answers.mu);
    if (const auto found = answers.known.find(key); found != answers.known.end()) return Take(found->second, to, bytes);
  }
  std::uint32_t status = 0;
  Answer answer;
  const DeviceResult asked =
      context_->session->AskLibrary(kLibraryDnn, function, context_->device, arguments, &status, &answer.bytes);
  if (asked != 0) return Failed(asked);
  answer.status = static_cast<cudnnStatus_t>(status);
  if (answer.status != CUDNN_STATUS_SUCCESS) {
    // Why not: for people.
    if (!answer.bytes.empty()) log::Warning("accelmesh", std::string(name_) + ": " + std::string(AsText(answer.bytes)));
  } else if (answer.bytes.size() != bytes) {
    log::Warning("accelmesh",
                 std::string(name_) + ": the server answers in another form; client and server must be of one version");
    return CUDNN_STATUS_INTERNAL_ERROR;
  }
  const MutexLock lock(answers.mu);
  // Another thread may have been first: theirs is the same, and stays.
  return Take(answers.known.try_emplace(std::move(key), std::move(answer)).first->second, to, bytes);
}

}  // namespace accelmesh::dnn
