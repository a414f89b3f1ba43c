// Which device a program works on, and how its threads wait for it.
#include <cctype>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <vector>

#include "shim/gen_face.h"
#include "shim/runtime/runtime.h"
#include "shim/runtime/settings.h"

namespace accelmesh::face {
namespace {

bool ValidDevice(ClientSession& session, int device) {
  return device >= 0 && static_cast<std::size_t>(device) < session.devices().size();
}

// At most one way to wait, and nothing that is no flag.
bool FlagsAreValid(unsigned flags) {
  const unsigned schedule = flags & cudaDeviceScheduleMask;
  return (flags & ~static_cast<unsigned>(cudaDeviceMask)) == 0 && (schedule & (schedule - 1)) == 0;
}

// How many of the things that `wanted` asks for (what is zero it does not) a device has.
int Score(const cudaDeviceProp& has, const cudaDeviceProp& wanted) {
  const auto capability = [](const cudaDeviceProp& p) { return p.major * 10 + p.minor; };
  int score = 0;
  score += wanted.name[0] != '\0' && std::strncmp(has.name, wanted.name, sizeof(has.name)) == 0;
  score += capability(wanted) != 0 && capability(has) >= capability(wanted);
  score += wanted.totalGlobalMem != 0 && has.totalGlobalMem >= wanted.totalGlobalMem;
  score += wanted.sharedMemPerBlock != 0 && has.sharedMemPerBlock >= wanted.sharedMemPerBlock;
  score += wanted.multiProcessorCount != 0 && has.multiProcessorCount >= wanted.multiProcessorCount;
  score += wanted.maxThreadsPerBlock != 0 && has.maxThreadsPerBlock >= wanted.maxThreadsPerBlock;
  score += wanted.concurrentKernels != 0 && has.concurrentKernels != 0;
  score += wanted.cooperativeLaunch != 0 && has.cooperativeLaunch != 0;
  return score;
}

// [domain:]bus:device[.function], in hexadecimal; false if it is none.
bool ParseBusId(const char* text, unsigned* domain, unsigned* bus, unsigned* slot) {
  if (!std::isxdigit(static_cast<unsigned char>(*text))) return false;
  if (std::sscanf(text, "%x:%x:%x", domain, bus, slot) == 3) return true;
  *domain = 0;
  return std::sscanf(text, "%x:%x", bus, slot) == 2;
}

}  // namespace

cudaError_t cudaGetDeviceFlags(unsigned int* flags) {
  ACCELMESH_BEGIN_QUERY();
  if (flags == nullptr) return Fail(cudaErrorInvalidValue);
  // Host memory can always be mapped since CUDA 11.
  *flags = g_device_settings[CurrentDevice()].flags.load(std::memory_order_relaxed) | cudaDeviceMapHost;
  return cudaSuccess;
}
cudaError_t cudaSetDeviceFlags(unsigned int flags) {
  // How a thread waits is ours to choose; what is not a flag is refused.
  if (!FlagsAreValid(flags)) return Fail(cudaErrorInvalidValue);
  g_device_settings[CurrentDevice()].flags.store(flags, std::memory_order_relaxed);
  return cudaSuccess;
}

cudaError_t cudaInitDevice(int device, unsigned int device_flags, unsigned int flags) {
  ACCELMESH_BEGIN_QUERY();  // A device is ready when the session is.
  if (!ValidDevice(session, device)) return Fail(cudaErrorInvalidDevice);
  if ((flags & cudaInitDeviceFlagsAreValid) == 0) return cudaSuccess;
  if (!FlagsAreValid(device_flags)) return Fail(cudaErrorInvalidValue);
  g_device_settings[device].flags.store(device_flags, std::memory_order_relaxed);
  return cudaSuccess;
}

cudaError_t cudaChooseDevice(int* device, const cudaDeviceProp* prop) {
  if (device == nullptr || prop == nullptr) return Fail(cudaErrorInvalidValue);
  ACCELMESH_BEGIN_QUERY();
  int best = 0;
  int best_score = -1;
  for (int d = 0; ValidDevice(session, d); ++d) {
    cudaDeviceProp has;
    if (const cudaError_t error = face::cudaGetDeviceProperties(&has, d); error != cudaSuccess) return error;
    if (const int score = Score(has, *prop); score > best_score) {
      best = d;
      best_score = score;
    }
  }
  *device = best;
  return cudaSuccess;
}

cudaError_t cudaSetValidDevices(int* list, int length) {
  ACCELMESH_BEGIN_QUERY();
  if (length < 0 || static_cast<std::size_t>(length) > session.devices().size() || (length > 0 && list == nullptr))
    return Fail(cudaErrorInvalidValue);
  for (int i = 0; i < length; ++i) {
    if (!ValidDevice(session, list[i])) return Fail(cudaErrorInvalidDevice);
  }
  // The first of the list is the device of a thread that chooses none itself.
  ThreadState& thread = CurrentThread();
  if (!thread.has_chosen_device) thread.device = length > 0 ? list[0] : 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetByPCIBusId(int* device, const char* id) {
  ACCELMESH_BEGIN_QUERY();
  unsigned domain = 0;
  unsigned bus = 0;
  unsigned slot = 0;
  if (device == nullptr || id == nullptr || !ParseBusId(id, &domain, &bus, &slot)) return Fail(cudaErrorInvalidValue);
  for (std::size_t d = 0; d < session.devices().size(); ++d) {
    const LeasedDevice& has = session.devices()[d];
    const auto is = [&has](cudaDeviceAttr attribute, unsigned value) {
      return static_cast<unsigned>(has.Attribute(static_cast<std::uint32_t>(attribute))) == value;
    };
    if (is(cudaDevAttrPciDomainId, domain) && is(cudaDevAttrPciBusId, bus) && is(cudaDevAttrPciDeviceId, slot)) {
      *device = static_cast<int>(d);
      return cudaSuccess;
    }
  }
  return Fail(cudaErrorInvalidDevice);
}

// The largest texture over linear memory, in elements of the format. A device says how many elements of 16 bytes it
// reaches; smaller ones are as many more, to four times that.
cudaError_t cudaDeviceGetTexture1DLinearMaxWidth(size_t* width, const cudaChannelFormatDesc* format, int device) {
  ACCELMESH_BEGIN_QUERY();
  if (width == nullptr || format == nullptr) return Fail(cudaErrorInvalidValue);
  if (!ValidDevice(session, device)) return Fail(cudaErrorInvalidDevice);
  const int bits = format->x;
  const bool is_integer = format->f == cudaChannelFormatKindSigned || format->f == cudaChannelFormatKindUnsigned;
  const bool has_kind = is_integer || (format->f == cudaChannelFormatKindFloat && bits != 8);
  const bool one = format->y == 0 && format->z == 0 && format->w == 0;
  const bool two = format->y == bits && format->z == 0 && format->w == 0;
  const bool four = format->y == bits && format->z == bits && format->w == bits;
  if (!has_kind || (bits != 8 && bits != 16 && bits != 32) || (!one && !two && !four))
    return Fail(cudaErrorInvalidChannelDescriptor);
  const std::size_t element_bytes = static_cast<std::size_t>(bits) / 8 * (one ? 1 : two ? 2 : 4);
  const int reach = session.devices()[static_cast<std::size_t>(device)].Attribute(cudaDevAttrMaxTexture1DLinearWidth);
  *width = static_cast<std::size_t>(reach) * std::min<std::size_t>(4, 16 / element_bytes);
  return cudaSuccess;
}

// There are no tools to start and stop here.
cudaError_t cudaProfilerStart() {
  ACCELMESH_BEGIN_QUERY();
  return cudaSuccess;
}
cudaError_t cudaProfilerStop() {
  ACCELMESH_BEGIN_QUERY();
  return cudaSuccess;
}

cudaError_t cudaDeviceFlushGPUDirectRDMAWrites(cudaFlushGPUDirectRDMAWritesTarget target,
                                               cudaFlushGPUDirectRDMAWritesScope scope) {
  ACCELMESH_BEGIN_CALL();
  if (target != cudaFlushGPUDirectRDMAWritesTargetCurrentDevice ||
      (scope != cudaFlushGPUDirectRDMAWritesToOwner && scope != cudaFlushGPUDirectRDMAWritesToAllDevices))
    return Fail(cudaErrorInvalidValue);
  const int options =
      Runtime::Get().device(CurrentDevice()).lease->Attribute(cudaDevAttrGPUDirectRDMAFlushWritesOptions);
  // No network card writes to a leased device on behalf of its client: there is nothing to flush.
  return (options & cudaFlushGPUDirectRDMAWritesOptionHost) != 0 ? cudaSuccess : Fail(cudaErrorNotSupported);
}

}  // namespace accelmesh::face
