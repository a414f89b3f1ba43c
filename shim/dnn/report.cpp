#include "shim/dnn/report.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <unordered_set>

#include "protocol/base/log.h"
#include "protocol/base/mutex.h"
#include "shim/gen_dnn_face.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::dnn {
namespace {

struct Callback {
  unsigned mask = 0;
  void* data = nullptr;
  cudnnCallback_t function = nullptr;
};
struct Callbacks {
  Mutex mu;
  Callback current ACCELMESH_GUARDED_BY(mu);
};
Callbacks& TheCallback() {
  static auto* callbacks = new Callbacks;
  return *callbacks;
}

struct LastError {
  const char* name = nullptr;
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
};
thread_local constinit LastError t_last_error;

std::string TextOf(const LastError& error) {
  return std::string(error.name) + " returned " + face::cudnnGetErrorString(error.status);
}

}  // namespace

void SayRefused(const char* name, const char* why) {
  static auto* mu = new Mutex;
  static auto* said = new std::unordered_set<std::string>;
  const MutexLock lock(*mu);
  if (!said->insert(name).second) return;
  log::Warning("accelmesh",
               std::string(name) + " is not supported: " + why + "; it returns CUDNN_STATUS_NOT_SUPPORTED");
}

void NoteError(const char* name, cudnnStatus_t status) {
  t_last_error = {name, status};
  Callback callback;
  {
    Callbacks& callbacks = TheCallback();
    const MutexLock lock(callbacks.mu);
    callback = callbacks.current;
  }
  if (callback.function == nullptr || (callback.mask & CUDNN_SEV_ERROR_EN) == 0) return;
  using std::chrono::duration_cast;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = duration_cast<std::chrono::seconds>(now);
  cudnnDebug_t debug{};
  debug.cudnn_version = CUDNN_VERSION;
  debug.cudnnStatus = status;
  debug.time_sec = static_cast<unsigned>(seconds.count());
  debug.time_usec = static_cast<unsigned>(duration_cast<std::chrono::microseconds>(now - seconds).count());
  debug.pid = static_cast<unsigned long long>(::getpid());
  debug.tid = static_cast<unsigned long long>(::syscall(SYS_gettid));
  debug.cudaDeviceId = static_cast<int>(CurrentDevice());
  callback.function(CUDNN_SEV_ERROR, callback.data, &debug, TextOf(t_last_error).c_str());
}

}  // namespace accelmesh::dnn

namespace accelmesh::face {

using namespace accelmesh::dnn;

cudnnStatus_t cudnnSetCallback(unsigned mask, void* udata, cudnnCallback_t fptr) {
  Callbacks& callbacks = TheCallback();
  const MutexLock lock(callbacks.mu);
  callbacks.current = {mask, udata, fptr};
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetCallback(unsigned* mask, void** udata, cudnnCallback_t* fptr) {
  if (mask == nullptr || udata == nullptr || fptr == nullptr) return CUDNN_STATUS_BAD_PARAM;
  Callbacks& callbacks = TheCallback();
  const MutexLock lock(callbacks.mu);
  *mask = callbacks.current.mask;
  *udata = callbacks.current.data;
  *fptr = callbacks.current.function;
  return CUDNN_STATUS_SUCCESS;
}

// Empties what it tells of, as cuDNN does.
void cudnnGetLastErrorString(char* message, size_t max_size) {
  if (message == nullptr || max_size == 0) return;
  const std::string text = t_last_error.name == nullptr ? "" : TextOf(t_last_error);
  t_last_error = {};
  const std::size_t bytes = std::min(text.size(), max_size - 1);
  std::memcpy(message, text.data(), bytes);
  message[bytes] = '\0';
}

}  // namespace accelmesh::face
