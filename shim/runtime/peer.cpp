// Devices that reach one another's memory, and copies between devices. All devices of a session are one server's, and
// every address of the session belongs to one of them, so a copy between two is a copy like any other.
#include <cstdint>

#include "shim/gen_face.h"
#include "shim/runtime/range.h"
#include "shim/runtime/runtime.h"
#include "shim/runtime/settings.h"

namespace accelmesh::face {
namespace {

constexpr unsigned kOperations = cudaAtomicOperationFloatMax + 1;
constexpr unsigned kOneWord = cudaAtomicCapabilityReduction | cudaAtomicCapabilityScalar32;
constexpr unsigned kWords = kOneWord | cudaAtomicCapabilityScalar64;
constexpr unsigned kAnySign = cudaAtomicCapabilitySigned | cudaAtomicCapabilityUnsigned;
// What a kernel can do to memory of another device over a link with atomics: what it can do to its own.
constexpr unsigned kDeviceAtomics[kOperations] = {
    kAnySign | kWords,                                                       // add
    kAnySign | kWords,                                                       // min
    kAnySign | kWords,                                                       // max
    cudaAtomicCapabilityUnsigned | kOneWord,                                 // increment
    cudaAtomicCapabilityUnsigned | kOneWord,                                 // decrement
    cudaAtomicCapabilityUnsigned | kWords,                                   // and
    cudaAtomicCapabilityUnsigned | kWords,                                   // or
    cudaAtomicCapabilityUnsigned | kWords,                                   // xor
    cudaAtomicCapabilityScalar32 | cudaAtomicCapabilityScalar64 | kAnySign,  // exchange
    cudaAtomicCapabilityScalar32 | cudaAtomicCapabilityScalar64 | kAnySign,  // compare and swap
    cudaAtomicCapabilitySigned | kWords,                                     // add of floats
    0,                                                                       // min of floats
    0,                                                                       // max of floats
};

bool ValidDevice(ClientSession& session, int device) {
  return device >= 0 && static_cast<std::size_t>(device) < session.devices().size();
}

// What kernels of `device` can do with the memory of `peer`; null: nothing.
const wire::PeerInfo* FindPeer(ClientSession& session, int device, int peer) {
  const auto& peers = session.devices()[static_cast<std::size_t>(device)].peers;
  const auto found = peers.find(static_cast<std::uint32_t>(peer));
  return found == peers.end() ? nullptr : &found->second;
}

// What describes a link needs two devices that are two.
cudaError_t CheckPair(ClientSession& session, int from, int to) {
  return ValidDevice(session, from) && ValidDevice(session, to) && from != to ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t CheckOperations(const unsigned* capabilities, const cudaAtomicOperation* operations, unsigned count) {
  if (capabilities == nullptr || operations == nullptr || count == 0) return cudaErrorInvalidValue;
  for (unsigned i = 0; i < count; ++i) {
    if (static_cast<unsigned>(operations[i]) >= kOperations) return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}

cudaError_t CheckPeerCopy(ClientSession& session, void* dst, int dst_device, const void* src, int src_device,
                          std::size_t count) {
  if (!ValidDevice(session, dst_device) || !ValidDevice(session, src_device)) return cudaErrorInvalidDevice;
  return IsDeviceMemory(session, dst, count) && IsDeviceMemory(session, src, count) ? cudaSuccess
                                                                                    : cudaErrorInvalidValue;
}

// Everything that was asked of the devices has ended: a peer copy that is not asynchronous comes after all of it.
DeviceResult SynchronizeAll(ClientSession& session, int dst_device, int src_device) {
  for (const std::uint32_t device :
       {CurrentDevice(), static_cast<std::uint32_t>(dst_device), static_cast<std::uint32_t>(src_device)}) {
    if (const DeviceResult waited = session.SynchronizeDevice(device); waited != 0) return waited;
  }
  return 0;
}

// The same box as a copy within the one address space that all devices have.
cudaError_t AsOneDevice(ClientSession& session, const cudaMemcpy3DPeerParms* p, cudaMemcpy3DParms* one) {
  if (p == nullptr) return cudaErrorInvalidValue;
  *one = {};
  one->srcArray = p->srcArray;
  one->srcPos = p->srcPos;
  one->srcPtr = p->srcPtr;
  one->dstArray = p->dstArray;
  one->dstPos = p->dstPos;
  one->dstPtr = p->dstPtr;
  one->extent = p->extent;
  one->kind = cudaMemcpyDeviceToDevice;
  if (p->extent.width == 0 || p->extent.height == 0 || p->extent.depth == 0) return cudaSuccess;
  if (!ValidDevice(session, p->dstDevice) || !ValidDevice(session, p->srcDevice)) return cudaErrorInvalidDevice;
  const bool is_tall = (p->srcArray == nullptr && p->extent.height > p->srcPtr.ysize) ||
                       (p->dstArray == nullptr && p->extent.height > p->dstPtr.ysize);
  return p->extent.depth > 1 && is_tall ? cudaErrorInvalidPitchValue : cudaSuccess;
}

}  // namespace

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  ACCELMESH_BEGIN_QUERY();
  if (can == nullptr) return Fail(cudaErrorInvalidValue);
  if (!ValidDevice(session, device) || !ValidDevice(session, peer)) return Fail(cudaErrorInvalidDevice);
  *can = FindPeer(session, device, peer) != nullptr ? 1 : 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned int flags) {
  ACCELMESH_BEGIN_CALL();
  if (flags != 0) return Fail(cudaErrorInvalidValue);
  if (!ValidDevice(session, peer)) return Fail(cudaErrorInvalidDevice);
  if (FindPeer(session, static_cast<int>(CurrentDevice()), peer) == nullptr)
    return Fail(cudaErrorPeerAccessUnsupported);
  const std::uint64_t bit = std::uint64_t{1} << peer;
  const std::uint64_t before = g_device_settings[CurrentDevice()].peers.fetch_or(bit, std::memory_order_relaxed);
  return (before & bit) != 0 ? Fail(cudaErrorPeerAccessAlreadyEnabled) : cudaSuccess;
}
cudaError_t cudaDeviceDisablePeerAccess(int peer) {
  ACCELMESH_BEGIN_CALL();
  if (!ValidDevice(session, peer)) return Fail(cudaErrorInvalidDevice);
  const std::uint64_t bit = std::uint64_t{1} << peer;
  const std::uint64_t before = g_device_settings[CurrentDevice()].peers.fetch_and(~bit, std::memory_order_relaxed);
  return (before & bit) == 0 ? Fail(cudaErrorPeerAccessNotEnabled) : cudaSuccess;
}

cudaError_t cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr attribute, int from, int to) {
  ACCELMESH_BEGIN_QUERY();
  if (value == nullptr) return Fail(cudaErrorInvalidValue);
  if (const cudaError_t error = CheckPair(session, from, to); error != cudaSuccess) return Fail(error);
  const wire::PeerInfo* const known = FindPeer(session, from, to);
  const wire::PeerInfo peer = known != nullptr ? *known : wire::PeerInfo();
  switch (attribute) {
    case cudaDevP2PAttrAccessSupported: *value = known != nullptr ? 1 : 0; return cudaSuccess;
    case cudaDevP2PAttrNativeAtomicSupported: *value = peer.native_atomics(); return cudaSuccess;
    case cudaDevP2PAttrPerformanceRank: *value = static_cast<int>(peer.performance_rank()); return cudaSuccess;
    case cudaDevP2PAttrCudaArrayAccessSupported: *value = peer.array_access(); return cudaSuccess;
    case cudaDevP2PAttrOnlyPartialNativeAtomicSupported: *value = peer.partial_atomics(); return cudaSuccess;
  }
  return Fail(cudaErrorInvalidValue);
}

cudaError_t cudaDeviceGetP2PAtomicCapabilities(unsigned int* capabilities, const cudaAtomicOperation* operations,
                                               unsigned int count, int from, int to) {
  ACCELMESH_BEGIN_QUERY();
  cudaError_t error = CheckOperations(capabilities, operations, count);
  if (error == cudaSuccess) error = CheckPair(session, from, to);
  if (error != cudaSuccess) return Fail(error);
  // Over a link that has atomics at all, they are the device's own; which of them a link lacks is not asked.
  const wire::PeerInfo* const peer = FindPeer(session, from, to);
  const bool has_atomics = peer != nullptr && peer->native_atomics() != 0 && peer->partial_atomics() == 0;
  for (unsigned i = 0; i < count; ++i) capabilities[i] = has_atomics ? kDeviceAtomics[operations[i]] : 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetHostAtomicCapabilities(unsigned int* capabilities, const cudaAtomicOperation* operations,
                                                unsigned int count, int device) {
  ACCELMESH_BEGIN_QUERY();
  cudaError_t error = CheckOperations(capabilities, operations, count);
  if (error == cudaSuccess && !ValidDevice(session, device)) error = cudaErrorInvalidDevice;
  if (error != cudaSuccess) return Fail(error);
  // The program's processor is another machine's: nothing is atomic with it.
  for (unsigned i = 0; i < count; ++i) capabilities[i] = 0;
  return cudaSuccess;
}

cudaError_t cudaMemcpyPeer(void* dst, int dst_device, const void* src, int src_device, size_t count) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  if (count == 0) return cudaSuccess;
  if (const cudaError_t error = CheckPeerCopy(session, dst, dst_device, src, src_device, count); error != cudaSuccess)
    return Fail(error);
  DeviceResult result = SynchronizeAll(session, dst_device, src_device);
  if (result == 0) result = session.CopyOnDevice(stream_object, Address(dst), Address(src), count);
  // What follows on any stream of the three devices comes after the copy.
  if (result == 0) result = session.Synchronize(*stream_object);
  return result != 0 ? Done(session, result) : Done(session, session.TakeAsyncError());
}

cudaError_t cudaMemcpyPeerAsync(void* dst, int dst_device, const void* src, int src_device, size_t count,
                                cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (count == 0) return cudaSuccess;
  if (const cudaError_t error = CheckPeerCopy(session, dst, dst_device, src, src_device, count); error != cudaSuccess)
    return Fail(error);
  return Done(session, session.CopyOnDevice(stream_object, Address(dst), Address(src), count));
}

cudaError_t cudaMemcpy3DPeer(const cudaMemcpy3DPeerParms* p) {
  ACCELMESH_BEGIN_STREAM_CALL(nullptr);
  cudaMemcpy3DParms one;
  if (const cudaError_t error = AsOneDevice(session, p, &one); error != cudaSuccess) return Fail(error);
  if (one.extent.width == 0 || one.extent.height == 0 || one.extent.depth == 0) return cudaSuccess;
  if (const DeviceResult waited = SynchronizeAll(session, p->dstDevice, p->srcDevice); waited != 0)
    return Done(session, waited);
  if (const cudaError_t error = face::cudaMemcpy3D(&one); error != cudaSuccess) return error;
  return Done(session, session.Synchronize(*stream_object));
}
cudaError_t cudaMemcpy3DPeerAsync(const cudaMemcpy3DPeerParms* p, cudaStream_t stream) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  cudaMemcpy3DParms one;
  if (const cudaError_t error = AsOneDevice(session, p, &one); error != cudaSuccess) return Fail(error);
  return face::cudaMemcpy3DAsync(&one, stream);
}

}  // namespace accelmesh::face
