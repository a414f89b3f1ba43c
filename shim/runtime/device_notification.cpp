// Who wants to be told that the process has outgrown its memory budget. A lease's memory is fixed, so nobody ever is.
#include <memory>
#include <vector>

#include "protocol/base/mutex.h"
#include "shim/gen_face.h"
#include "shim/runtime/runtime.h"

namespace accelmesh::face {
namespace {

struct Registration {
  int device;
};

constinit Mutex g_mu;
std::vector<std::unique_ptr<Registration>>* g_registrations ACCELMESH_GUARDED_BY(g_mu) = nullptr;  // never destroyed

}  // namespace

cudaError_t cudaDeviceRegisterAsyncNotification(int device, cudaAsyncCallback callback, void* /*user_data*/,
                                                cudaAsyncCallbackHandle_t* handle) {
  ACCELMESH_BEGIN_QUERY();
  if (device < 0 || static_cast<std::size_t>(device) >= session.devices().size()) return Fail(cudaErrorInvalidDevice);
  if (callback == nullptr || handle == nullptr) return Fail(cudaErrorInvalidValue);
  const MutexLock lock(g_mu);
  if (g_registrations == nullptr) g_registrations = new std::vector<std::unique_ptr<Registration>>;
  g_registrations->push_back(std::make_unique<Registration>(Registration{device}));
  *handle = reinterpret_cast<cudaAsyncCallbackHandle_t>(g_registrations->back().get());
  return cudaSuccess;
}

cudaError_t cudaDeviceUnregisterAsyncNotification(int device, cudaAsyncCallbackHandle_t handle) {
  ACCELMESH_BEGIN_QUERY();
  if (device < 0 || static_cast<std::size_t>(device) >= session.devices().size()) return Fail(cudaErrorInvalidDevice);
  const MutexLock lock(g_mu);
  if (g_registrations == nullptr) return Fail(cudaErrorInvalidValue);
  const auto erased = std::erase_if(*g_registrations, [device, handle](const auto& registration) {
    return registration->device == device && reinterpret_cast<cudaAsyncCallbackHandle_t>(registration.get()) == handle;
  });
  return erased != 0 ? cudaSuccess : Fail(cudaErrorInvalidValue);
}

}  // namespace accelmesh::face
