// cudaLogs*: the log as a program reads it. CUDA takes no notice of the flags, which are for a later day.
#include <cstdio>
#include <cstring>

#include "shim/gen_face.h"
#include "shim/runtime/log_buffer.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {

cudaError_t cudaLogsRegisterCallback(cudaLogsCallback_t function, void* data, cudaLogsCallbackHandle* handle) {
  if (function == nullptr) return Fail(cudaErrorInvalidValue);
  const void* made = LogBuffer::Get().AddCallback(function, data);
  if (handle != nullptr) *handle = static_cast<cudaLogsCallbackHandle>(const_cast<void*>(made));
  return cudaSuccess;
}
cudaError_t cudaLogsUnregisterCallback(cudaLogsCallbackHandle handle) {
  return LogBuffer::Get().RemoveCallback(handle) ? cudaSuccess : Fail(cudaErrorInvalidValue);
}

cudaError_t cudaLogsCurrent(cudaLogIterator* iterator, unsigned int /*flags*/) {
  if (iterator == nullptr) return Fail(cudaErrorInvalidValue);
  *iterator = LogBuffer::Get().End();
  return cudaSuccess;
}

cudaError_t cudaLogsDumpToFile(cudaLogIterator* iterator, const char* path, unsigned int /*flags*/) {
  if (path == nullptr) return Fail(cudaErrorInvalidValue);
  cudaLogIterator end = 0;
  const std::string lines = LogBuffer::Get().Lines(iterator != nullptr ? *iterator : 0, &end);
  std::FILE* file = std::fopen(path, "w");
  if (file == nullptr) return Fail(cudaErrorInvalidValue);
  const bool is_written = std::fwrite(lines.data(), 1, lines.size(), file) == lines.size();
  if (std::fclose(file) != 0 || !is_written) return Fail(cudaErrorOperatingSystem);
  if (iterator != nullptr) *iterator = end;
  return cudaSuccess;
}

cudaError_t cudaLogsDumpToMemory(cudaLogIterator* iterator, char* buffer, size_t* size, unsigned int /*flags*/) {
  if (buffer == nullptr || size == nullptr) return Fail(cudaErrorInvalidValue);
  const std::size_t room = *size;
  std::string lines;
  cudaLogIterator end = 0;
  *size = 0;
  // One byte is the zero behind the text.
  if (room == 0 || !LogBuffer::Get().LinesThatFit(iterator != nullptr ? *iterator : 0, room - 1, &lines, &end))
    return Fail(cudaErrorInvalidValue);
  std::memcpy(buffer, lines.c_str(), lines.size() + 1);
  *size = lines.size();
  if (iterator != nullptr) *iterator = end;
  return cudaSuccess;
}

}  // namespace accelmesh::face
