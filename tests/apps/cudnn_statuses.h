// What cudnn_statuses.cu makes its rows with.
#pragma once

#include <cudnn.h>

#include <cstdio>

#include "check.h"

inline void Say(const char* row, cudnnStatus_t status) {
  static bool first_row = true;
  std::printf("%s\n  \"%s\": \"%s\"", first_row ? "" : ",", row, cudnnGetErrorString(status));
  first_row = false;
  std::fflush(stdout);
}

// For what must hold so that a row means something.
#define CHECK_STATUS(call)                                                                                        \
  do {                                                                                                            \
    const cudnnStatus_t checked = (call);                                                                         \
    if (checked != CUDNN_STATUS_SUCCESS) Fail(__FILE__, __LINE__, "%s: %s", #call, cudnnGetErrorString(checked)); \
  } while (false)

// A number that no enumeration of cuDNN has.
template <typename Enum>
Enum Unknown() {
  return static_cast<Enum>(99);
}

template <typename Handle>
class Descriptor {
 public:
  Descriptor(cudnnStatus_t (*create)(Handle*), cudnnStatus_t (*destroy)(Handle)) : destroy_(destroy) {
    CHECK_STATUS(create(&handle_));
  }
  ~Descriptor() { destroy_(handle_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator Handle() const { return handle_; }

 private:
  Handle handle_ = nullptr;
  cudnnStatus_t (*destroy_)(Handle);
};

// A descriptor of the backend API, or why there is none.
class Backend {
 public:
  explicit Backend(cudnnBackendDescriptorType_t type) : status_(cudnnBackendCreateDescriptor(type, &handle_)) {}
  ~Backend() {
    if (handle_ != nullptr) cudnnBackendDestroyDescriptor(handle_);
  }
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  cudnnBackendDescriptor_t get() const { return handle_; }
  cudnnStatus_t status() const { return status_; }

 private:
  cudnnBackendDescriptor_t handle_ = nullptr;
  cudnnStatus_t status_;
};

struct Kind {
  const char* row;
  cudnnBackendDescriptorType_t kind;
};
