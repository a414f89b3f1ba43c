#include "shim/blaslt/logger.h"

#include <algorithm>
#include <cstdio>

#include "protocol/base/mutex.h"
#include "shim/gen_blas_face.h"
#include "shim/gen_blaslt_face.h"

namespace accelmesh::blaslt {

constinit std::atomic<int> g_log_mask{0};

namespace {

constexpr int kLevelErrors = 1;
constexpr int kLevelCalls = 5;

struct Logger {
  Mutex mu;
  bool is_disabled ACCELMESH_GUARDED_BY(mu) = false;
  std::FILE* file ACCELMESH_GUARDED_BY(mu) = nullptr;   // null: the standard output
  std::FILE* owned ACCELMESH_GUARDED_BY(mu) = nullptr;  // what we opened
  cublasLtLoggerCallback_t callback ACCELMESH_GUARDED_BY(mu) = nullptr;

  void UseFile(std::FILE* used, std::FILE* opened) ACCELMESH_REQUIRES(mu) {
    if (owned != nullptr) std::fclose(owned);
    owned = opened;
    file = used;
  }
};
Logger& TheLogger() {
  static auto* logger = new Logger;
  return *logger;
}

cublasStatus_t SetMask(int mask) {
  Logger& logger = TheLogger();
  const MutexLock lock(logger.mu);
  if (!logger.is_disabled) g_log_mask.store(mask, std::memory_order_relaxed);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace

void LogCall(const char* name, cublasStatus_t status) {
  const int level = status == CUBLAS_STATUS_SUCCESS ? kLevelCalls : kLevelErrors;
  const char* const text = face::cublasGetStatusName(status);
  Logger& logger = TheLogger();
  cublasLtLoggerCallback_t callback = nullptr;
  {
    const MutexLock lock(logger.mu);
    if (logger.is_disabled) return;
    callback = logger.callback;
    std::FILE* const out = logger.file == nullptr ? stdout : logger.file;
    std::fprintf(out, "accelmesh: [%d] %s: %s\n", level, name, text);
    std::fflush(out);
  }
  // Outside of the lock: it may call the library.
  if (callback != nullptr) callback(level, name, text);
}

}  // namespace accelmesh::blaslt

namespace accelmesh::face {

using namespace accelmesh::blaslt;

cublasStatus_t cublasLtLoggerSetCallback(cublasLtLoggerCallback_t callback) {
  Logger& logger = TheLogger();
  const MutexLock lock(logger.mu);
  logger.callback = callback;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtLoggerSetFile(FILE* file) {
  Logger& logger = TheLogger();
  const MutexLock lock(logger.mu);
  logger.UseFile(file, nullptr);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtLoggerOpenFile(const char* logFile) {
  // None is the standard output again.
  std::FILE* const file = logFile == nullptr ? nullptr : std::fopen(logFile, "we");
  if (file == nullptr && logFile != nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  Logger& logger = TheLogger();
  const MutexLock lock(logger.mu);
  logger.UseFile(file, file);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtLoggerSetLevel(int level) {
  if (level < 0) return CUBLAS_STATUS_INVALID_VALUE;
  // A level is what it says and all below; there are none above the last.
  return SetMask((1 << std::min(level, kLevelCalls)) - 1);
}
cublasStatus_t cublasLtLoggerSetMask(int mask) { return SetMask(mask); }
cublasStatus_t cublasLtLoggerForceDisable() {
  Logger& logger = TheLogger();
  const MutexLock lock(logger.mu);
  logger.is_disabled = true;
  g_log_mask.store(0, std::memory_order_relaxed);
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace accelmesh::face
