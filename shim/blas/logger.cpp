#include "shim/blas/logger.h"

#include <cstdio>
#include <string>

#include "protocol/base/mutex.h"
#include "shim/blas/entry.h"
#include "shim/gen_blas_face.h"

namespace accelmesh::blas {

constinit std::atomic<bool> g_logger_is_on{false};

namespace {

struct Logger {
  Mutex mu;
  bool is_on ACCELMESH_GUARDED_BY(mu) = false;
  bool to_stdout ACCELMESH_GUARDED_BY(mu) = false;
  bool to_stderr ACCELMESH_GUARDED_BY(mu) = false;
  std::FILE* file ACCELMESH_GUARDED_BY(mu) = nullptr;
  cublasLogCallback callback ACCELMESH_GUARDED_BY(mu) = nullptr;
};
Logger& TheLogger() {
  static auto* logger = new Logger;
  return *logger;
}

}  // namespace

void LogCall(const char* name, cublasStatus_t status) {
  const std::string line = std::string("accelmesh: ") + name + ": " + face::cublasGetStatusName(status) + "\n";
  Logger& logger = TheLogger();
  cublasLogCallback callback = nullptr;
  {
    const MutexLock lock(logger.mu);
    callback = logger.callback;
    if (logger.is_on) {
      for (std::FILE* out : {logger.to_stdout ? stdout : nullptr, logger.to_stderr ? stderr : nullptr, logger.file}) {
        if (out == nullptr) continue;
        std::fputs(line.c_str(), out);
        std::fflush(out);
      }
    }
  }
  // Outside of the lock: it may call the library.
  if (callback != nullptr) callback(line.c_str());
}

}  // namespace accelmesh::blas

namespace accelmesh::face {

using blas::TheLogger;

cublasStatus_t cublasLoggerConfigure(int logIsOn, int logToStdOut, int logToStdErr, const char* logFileName) {
  blas::Logger& logger = TheLogger();
  const MutexLock lock(logger.mu);
  std::FILE* file = nullptr;
  if (logIsOn != 0 && logFileName != nullptr) {
    file = std::fopen(logFileName, "ae");
    if (file == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (logger.file != nullptr) std::fclose(logger.file);
  logger.file = file;
  logger.is_on = logIsOn != 0;
  logger.to_stdout = logToStdOut != 0;
  logger.to_stderr = logToStdErr != 0;
  blas::g_logger_is_on.store(logger.is_on || logger.callback != nullptr, std::memory_order_relaxed);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetLoggerCallback(cublasLogCallback userCallback) {
  blas::Logger& logger = TheLogger();
  const MutexLock lock(logger.mu);
  logger.callback = userCallback;
  blas::g_logger_is_on.store(logger.is_on || userCallback != nullptr, std::memory_order_relaxed);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetLoggerCallback(cublasLogCallback* userCallback) {
  if (userCallback == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  blas::Logger& logger = TheLogger();
  const MutexLock lock(logger.mu);
  *userCallback = logger.callback;
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace accelmesh::face
