// What streams have besides their work: an id of their own, and attributes that are read as they were written.
#include <algorithm>
#include <cstring>
#include <set>
#include <thread>

#include "check.h"

static unsigned long long Id(cudaStream_t stream) {
  unsigned long long id = 0;
  CHECK(cudaStreamGetId(stream, &id));
  return id;
}

static void TestIds() {
  cudaStream_t streams[2];
  CHECK(cudaStreamCreate(&streams[0]));
  CHECK(cudaStreamCreateWithFlags(&streams[1], cudaStreamNonBlocking));
  std::set<unsigned long long> ids{Id(streams[0]), Id(streams[1]), Id(nullptr), Id(cudaStreamPerThread)};
  std::thread([&ids] { ids.insert(Id(cudaStreamPerThread)); }).join();
  EXPECT(ids.size() == 5, "5 streams have %zu ids", ids.size());
  EXPECT(Id(nullptr) == Id(cudaStreamLegacy), "the default stream is not the legacy one");
  EXPECT(Id(streams[0]) == Id(streams[0]), "an id changes");
  CHECK_ERROR(cudaStreamGetId(streams[0], nullptr), cudaErrorInvalidValue);
  CHECK(cudaStreamDestroy(streams[0]));
  CHECK(cudaStreamCreate(&streams[0]));
  EXPECT(ids.count(Id(streams[0])) == 0, "an id is used again");
  for (cudaStream_t stream : streams) CHECK(cudaStreamDestroy(stream));
}

static cudaStreamAttrValue Get(cudaStream_t stream, cudaStreamAttrID id) {
  cudaStreamAttrValue value;
  std::memset(&value, 0xee, sizeof(value));
  CHECK(cudaStreamGetAttribute(stream, id, &value));
  return value;
}
static cudaError_t Set(cudaStream_t stream, cudaStreamAttrID id, int number) {
  cudaStreamAttrValue value;
  std::memset(&value, 0, sizeof(value));
  value.priority = number;  // at the same place as every other number
  return cudaStreamSetAttribute(stream, id, &value);
}

static void TestNumbers(cudaStream_t stream) {
  CHECK(Set(stream, cudaLaunchAttributeSynchronizationPolicy, cudaSyncPolicyYield));
  EXPECT(Get(stream, cudaLaunchAttributeSynchronizationPolicy).syncPolicy == cudaSyncPolicyYield, "another policy");
  for (const int none : {0, 5, -1, 77})
    CHECK_ERROR(Set(stream, cudaLaunchAttributeSynchronizationPolicy, none), cudaErrorInvalidValue);
  EXPECT(Get(stream, cudaLaunchAttributeSynchronizationPolicy).syncPolicy == cudaSyncPolicyYield, "another policy");

  int least = 0;
  int greatest = 0;
  int priority = 77;
  CHECK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  for (const int wanted : {greatest, least, greatest - 5, least + 5}) {
    CHECK(Set(stream, cudaLaunchAttributePriority, wanted));
    const int expected = std::max(greatest, std::min(least, wanted));
    CHECK(cudaStreamGetPriority(stream, &priority));
    EXPECT(priority == expected && Get(stream, cudaLaunchAttributePriority).priority == expected,
           "priority %d set to %d", priority, wanted);
  }

  EXPECT(Get(stream, cudaLaunchAttributeMemSyncDomain).memSyncDomain == cudaLaunchMemSyncDomainDefault, "a domain");
  CHECK(Set(stream, cudaLaunchAttributeMemSyncDomain, cudaLaunchMemSyncDomainRemote));
  EXPECT(Get(stream, cudaLaunchAttributeMemSyncDomain).memSyncDomain == cudaLaunchMemSyncDomainRemote, "the default");
  CHECK_ERROR(Set(stream, cudaLaunchAttributeMemSyncDomain, 2), cudaErrorInvalidValue);
  int domains = 0;
  CHECK(cudaDeviceGetAttribute(&domains, cudaDevAttrMemSyncDomainCount, 0));
  domains = std::max(domains, 1);
  CHECK(Set(stream, cudaLaunchAttributeMemSyncDomainMap, domains - 1));
  EXPECT(Get(stream, cudaLaunchAttributeMemSyncDomainMap).memSyncDomainMap.default_ == domains - 1, "another map");
  CHECK_ERROR(Set(stream, cudaLaunchAttributeMemSyncDomainMap, domains), cudaErrorInvalidValue);

  // What only launches and graph nodes have.
  for (const int none : {0, 2, 4, 5, 6, 7, 11, 12, 13, 14, 15, 17}) {
    cudaStreamAttrValue value;
    CHECK_ERROR(Set(stream, static_cast<cudaStreamAttrID>(none), 1), cudaErrorInvalidValue);
    CHECK_ERROR(cudaStreamGetAttribute(stream, static_cast<cudaStreamAttrID>(none), &value), cudaErrorInvalidValue);
  }
}

static void TestWindow(cudaStream_t stream, void* memory) {
  int bytes_max = 0;
  CHECK(cudaDeviceGetAttribute(&bytes_max, cudaDevAttrMaxAccessPolicyWindowSize, 0));
  cudaStreamAttrValue value;
  std::memset(&value, 0, sizeof(value));
  cudaAccessPolicyWindow& window = value.accessPolicyWindow;
  window.base_ptr = memory;
  window.num_bytes = static_cast<size_t>(std::min(bytes_max, 4096));
  window.hitRatio = 0.5f;
  window.hitProp = cudaAccessPropertyPersisting;
  window.missProp = cudaAccessPropertyStreaming;
  CHECK(cudaStreamSetAttribute(stream, cudaLaunchAttributeAccessPolicyWindow, &value));
  const cudaAccessPolicyWindow got = Get(stream, cudaLaunchAttributeAccessPolicyWindow).accessPolicyWindow;
  EXPECT(got.base_ptr == memory && got.num_bytes == window.num_bytes && got.hitRatio == 0.5f &&
             got.hitProp == cudaAccessPropertyPersisting && got.missProp == cudaAccessPropertyStreaming,
         "another window");
  window.hitRatio = 1.5f;
  CHECK_ERROR(cudaStreamSetAttribute(stream, cudaLaunchAttributeAccessPolicyWindow, &value), cudaErrorInvalidValue);
  window.hitRatio = 0.5f;
  window.missProp = cudaAccessPropertyPersisting;
  CHECK_ERROR(cudaStreamSetAttribute(stream, cudaLaunchAttributeAccessPolicyWindow, &value), cudaErrorInvalidValue);
  window.missProp = cudaAccessPropertyNormal;
  window.num_bytes = size_t(1) << 40;
  CHECK_ERROR(cudaStreamSetAttribute(stream, cudaLaunchAttributeAccessPolicyWindow, &value), cudaErrorInvalidValue);
}

int main() {
  TestIds();
  cudaStream_t from;
  cudaStream_t to;
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 4096));
  CHECK(cudaStreamCreate(&from));
  CHECK(cudaStreamCreate(&to));
  TestNumbers(from);
  TestNumbers(cudaStreamPerThread);
  TestWindow(from, memory);
  CHECK(cudaStreamCopyAttributes(to, from));
  EXPECT(Get(to, cudaLaunchAttributeSynchronizationPolicy).syncPolicy == cudaSyncPolicyYield, "no copied policy");
  EXPECT(Get(to, cudaLaunchAttributeAccessPolicyWindow).accessPolicyWindow.base_ptr == memory, "no copied window");
  EXPECT(Get(to, cudaLaunchAttributePriority).priority == Get(from, cudaLaunchAttributePriority).priority,
         "no copied priority");
  CHECK(cudaStreamCopyAttributes(nullptr, from));
  CHECK(cudaStreamCopyAttributes(from, from));
  // A new stream has nothing of one that is gone.
  CHECK(cudaStreamDestroy(to));
  CHECK(cudaStreamCreate(&to));
  EXPECT(Get(to, cudaLaunchAttributeAccessPolicyWindow).accessPolicyWindow.base_ptr == nullptr, "somebody's window");
  CHECK(cudaStreamDestroy(to));
  CHECK(cudaStreamDestroy(from));
  CHECK(cudaFree(memory));
  return Passed();
}
