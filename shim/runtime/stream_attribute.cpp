#include "shim/runtime/stream_attribute.h"

#include <algorithm>
#include <unordered_map>

#include "protocol/base/mutex.h"
#include "shim/gen_face.h"
#include "shim/runtime/runtime.h"

namespace accelmesh {
namespace {

// Hints, all of them: kept so that a program reads what it wrote. The priority is the stream's own.
struct Attributes {
  std::uint32_t device = 0;
  cudaAccessPolicyWindow window{};
  cudaSynchronizationPolicy policy = cudaSyncPolicyAuto;
  cudaLaunchMemSyncDomainMap domains{};
  cudaLaunchMemSyncDomain domain = cudaLaunchMemSyncDomainDefault;
};

constinit Mutex g_mu;
// By the stream's id; a stream that nothing was set for is not in it. Never destroyed.
std::unordered_map<std::uint64_t, Attributes>* g_attributes ACCELMESH_GUARDED_BY(g_mu) = nullptr;

int DeviceAttribute(const Stream& stream, cudaDeviceAttr attribute) {
  return Runtime::Get().device(stream.device).lease->Attribute(static_cast<std::uint32_t>(attribute));
}

int Domains(const Stream& stream) { return std::max(1, DeviceAttribute(stream, cudaDevAttrMemSyncDomainCount)); }

Attributes Read(const Stream& stream) {
  const MutexLock lock(g_mu);
  if (g_attributes != nullptr) {
    if (const auto found = g_attributes->find(stream.id); found != g_attributes->end()) return found->second;
  }
  Attributes defaults;
  defaults.device = stream.device;
  defaults.domains.remote = Domains(stream) > 1 ? 1 : 0;
  return defaults;
}
void Write(const Stream& stream, const Attributes& attributes) {
  const MutexLock lock(g_mu);
  if (g_attributes == nullptr) g_attributes = new std::unordered_map<std::uint64_t, Attributes>;
  (*g_attributes)[stream.id] = attributes;
}

bool WindowIsValid(const Stream& stream, const cudaAccessPolicyWindow& window) {
  const auto bytes_max =
      static_cast<std::size_t>(std::max(0, DeviceAttribute(stream, cudaDevAttrMaxAccessPolicyWindowSize)));
  return window.num_bytes <= bytes_max && window.hitRatio >= 0.0F && window.hitRatio <= 1.0F &&
         window.hitProp >= cudaAccessPropertyNormal && window.hitProp <= cudaAccessPropertyPersisting &&
         window.missProp >= cudaAccessPropertyNormal && window.missProp <= cudaAccessPropertyStreaming;
}

void SetPriority(Stream* stream, int wanted) {
  int least = 0;
  int greatest = 0;
  face::cudaDeviceGetStreamPriorityRange(&least, &greatest);
  stream->priority = std::clamp(wanted, greatest, least);
}

}  // namespace

void ForgetStreamAttributes(const Stream& stream) {
  const MutexLock lock(g_mu);
  if (g_attributes != nullptr) g_attributes->erase(stream.id);
}

void ForgetStreamAttributesOf(std::uint32_t device) {
  const MutexLock lock(g_mu);
  if (g_attributes == nullptr) return;
  std::erase_if(*g_attributes, [device](const auto& entry) { return entry.second.device == device; });
}

namespace face {

cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long* id) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (id == nullptr) return Fail(cudaErrorInvalidValue);
  *id = stream_object->id;
  return cudaSuccess;
}

cudaError_t cudaStreamGetAttribute(cudaStream_t stream, cudaLaunchAttributeID attribute,
                                   cudaLaunchAttributeValue* value) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (value == nullptr) return Fail(cudaErrorInvalidValue);
  const Attributes kept = Read(*stream_object);
  switch (attribute) {
    case cudaLaunchAttributeAccessPolicyWindow: value->accessPolicyWindow = kept.window; break;
    case cudaLaunchAttributeSynchronizationPolicy: value->syncPolicy = kept.policy; break;
    case cudaLaunchAttributePriority: value->priority = stream_object->priority; break;
    case cudaLaunchAttributeMemSyncDomainMap: value->memSyncDomainMap = kept.domains; break;
    case cudaLaunchAttributeMemSyncDomain: value->memSyncDomain = kept.domain; break;
    default: return Fail(cudaErrorInvalidValue);  // of launches and graph nodes only
  }
  return cudaSuccess;
}

cudaError_t cudaStreamSetAttribute(cudaStream_t stream, cudaLaunchAttributeID attribute,
                                   const cudaLaunchAttributeValue* value) {
  ACCELMESH_BEGIN_STREAM_CALL(stream);
  if (value == nullptr) return Fail(cudaErrorInvalidValue);
  Attributes kept = Read(*stream_object);
  switch (attribute) {
    case cudaLaunchAttributeAccessPolicyWindow:
      if (!WindowIsValid(*stream_object, value->accessPolicyWindow)) return Fail(cudaErrorInvalidValue);
      kept.window = value->accessPolicyWindow;
      break;
    case cudaLaunchAttributeSynchronizationPolicy:
      if (value->syncPolicy < cudaSyncPolicyAuto || value->syncPolicy > cudaSyncPolicyBlockingSync)
        return Fail(cudaErrorInvalidValue);
      kept.policy = value->syncPolicy;
      break;
    case cudaLaunchAttributePriority: SetPriority(stream_object, value->priority); return cudaSuccess;
    case cudaLaunchAttributeMemSyncDomainMap: {
      const auto& map = value->memSyncDomainMap;
      if (map.default_ >= Domains(*stream_object) || map.remote >= Domains(*stream_object))
        return Fail(cudaErrorInvalidValue);
      kept.domains = map;
      break;
    }
    case cudaLaunchAttributeMemSyncDomain:
      if (value->memSyncDomain != cudaLaunchMemSyncDomainDefault &&
          value->memSyncDomain != cudaLaunchMemSyncDomainRemote)
        return Fail(cudaErrorInvalidValue);
      kept.domain = value->memSyncDomain;
      break;
    default: return Fail(cudaErrorInvalidValue);
  }
  Write(*stream_object, kept);
  return cudaSuccess;
}

cudaError_t cudaStreamCopyAttributes(cudaStream_t dst, cudaStream_t src) {
  ACCELMESH_BEGIN_STREAM_CALL(dst);
  const Stream* from = ResolveStream(session, src);
  if (from == nullptr) return Fail(cudaErrorInvalidResourceHandle);
  Write(*stream_object, Read(*from));
  SetPriority(stream_object, from->priority);
  return cudaSuccess;
}

}  // namespace face
}  // namespace accelmesh
