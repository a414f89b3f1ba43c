// Managed memory: the program writes, kernels read and write, copies and fills take it for either side; advice is
// remembered; and what is wrong is refused.
#include <cstring>
#include <vector>

#include "check.h"

struct Node {
  int value;
  Node* next;
};

__global__ void AddTo(int* data, int n, int amount) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) data[i] += amount;
}
// Follows pointers from node to node: only the first is an argument.
__global__ void Walk(Node* first, int* sum) {
  for (Node* node = first; node != nullptr; node = node->next) {
    *sum += node->value;
    node->value = -node->value;
  }
}

static void Rounds() {
  const int n = 300000;
  int* data = nullptr;
  CHECK(cudaMallocManaged(&data, n * sizeof(int)));
  for (int i = 0; i < n; ++i) data[i] = i;
  for (int round = 1; round <= 3; ++round) {
    AddTo<<<(n + 255) / 256, 256>>>(data, n, round);
    CHECK(cudaDeviceSynchronize());
    for (int i = 0; i < n; i += 997) {
      EXPECT(data[i] == i + round * (round + 1) / 2 + (round - 1) * 10, "round %d: element %d is %d", round, i,
             data[i]);
    }
    for (int i = 0; i < n; ++i) data[i] += 10;
  }
  CHECK(cudaFree(data));
}

static void Pointers() {
  const int count = 20;
  Node* nodes[count];
  int* sum = nullptr;
  CHECK(cudaMallocManaged(&sum, sizeof(int), cudaMemAttachGlobal));
  for (int i = count - 1; i >= 0; --i) {
    CHECK(cudaMallocManaged(&nodes[i], sizeof(Node)));
    *nodes[i] = {i + 1, i + 1 < count ? nodes[i + 1] : nullptr};
  }
  *sum = 0;
  Walk<<<1, 1>>>(nodes[0], sum);
  CHECK(cudaDeviceSynchronize());
  EXPECT(*sum == count * (count + 1) / 2, "the sum over the list is %d", *sum);
  for (int i = 0; i < count; ++i) {
    EXPECT(nodes[i]->value == -(i + 1), "node %d is %d", i, nodes[i]->value);
    CHECK(cudaFree(nodes[i]));
  }
  CHECK(cudaFree(sum));
}

static void CopiesAndFills() {
  const int n = 4000;
  int *managed = nullptr, *other = nullptr, *device = nullptr;
  std::vector<int> host(n);
  CHECK(cudaMallocManaged(&managed, n * sizeof(int)));
  CHECK(cudaMallocManaged(&other, n * sizeof(int)));
  CHECK(cudaMalloc(&device, n * sizeof(int)));
  for (int i = 0; i < n; ++i) host[i] = i * 7;
  CHECK(cudaMemcpy(managed, host.data(), n * sizeof(int), cudaMemcpyHostToDevice));
  EXPECT(managed[n - 1] == (n - 1) * 7, "behind a copy to it as a device: %d", managed[n - 1]);
  managed[0] = 1234;
  CHECK(cudaMemcpy(device, managed, n * sizeof(int), cudaMemcpyHostToDevice));
  AddTo<<<(n + 255) / 256, 256>>>(device, n, 1);
  CHECK(cudaMemcpy(other, device, n * sizeof(int), cudaMemcpyDefault));
  EXPECT(other[0] == 1235 && other[5] == 36, "behind a copy from the device: %d %d", other[0], other[5]);
  CHECK(cudaMemcpy(managed, other, n * sizeof(int), cudaMemcpyDefault));
  EXPECT(managed[5] == 36, "from managed to managed: %d", managed[5]);
  CHECK(cudaMemcpy(host.data(), managed, n * sizeof(int), cudaMemcpyDeviceToHost));
  EXPECT(host[5] == 36, "back to the host: %d", host[5]);
  CHECK(cudaMemset(managed, 0x11, 8));
  EXPECT(managed[0] == 0x11111111 && managed[1] == 0x11111111 && managed[2] == 15, "filled: %x %x %x", managed[0],
         managed[1], managed[2]);
  CHECK(cudaMemcpy2D(other, 400, managed, 800, 80, 10, cudaMemcpyDefault));
  EXPECT(other[100] == managed[200], "the second row is %d", other[100]);
  CHECK(cudaFree(managed));
  CHECK(cudaFree(other));
  CHECK(cudaFree(device));
}

static void Streams() {
  const int count = 4, n = 2000;
  int* data[count];
  cudaStream_t streams[count];
  for (int i = 0; i < count; ++i) {
    CHECK(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking));
    CHECK(cudaMallocManaged(&data[i], n * sizeof(int), cudaMemAttachHost));
    CHECK(cudaStreamAttachMemAsync(streams[i], data[i], 0, cudaMemAttachSingle));
    CHECK(cudaStreamSynchronize(streams[i]));
  }
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < count; ++i) {
      for (int k = 0; k < n; ++k) data[i][k] = round * 100 + i;
      AddTo<<<(n + 255) / 256, 256, 0, streams[i]>>>(data[i], n, 1000);
    }
    for (int i = 0; i < count; ++i) {
      CHECK(cudaStreamSynchronize(streams[i]));
      EXPECT(data[i][n - 1] == 1000 + round * 100 + i, "stream %d made %d", i, data[i][n - 1]);
    }
  }
  CHECK_ERROR(cudaStreamAttachMemAsync(0, data[0], 0, cudaMemAttachSingle), cudaErrorInvalidValue);
  CHECK_ERROR(cudaStreamAttachMemAsync(streams[0], data[0], 4, cudaMemAttachGlobal), cudaErrorInvalidValue);
  CHECK_ERROR(cudaStreamAttachMemAsync(streams[0], data[0], 0, 7), cudaErrorInvalidValue);
  cudaGetLastError();
  CHECK(cudaStreamAttachMemAsync(streams[0], data[0], n * sizeof(int), cudaMemAttachGlobal));
  CHECK(cudaDeviceSynchronize());
  for (int i = 0; i < count; ++i) {
    CHECK(cudaFree(data[i]));
    CHECK(cudaStreamDestroy(streams[i]));
  }
}

static void Advice() {
  char* data = nullptr;
  CHECK(cudaMallocManaged(&data, 1 << 20));
  int concurrent = 0, value = 5, accessed[3] = {5, 5, 5};
  CHECK(cudaDeviceGetAttribute(&concurrent, cudaDevAttrConcurrentManagedAccess, 0));
  const cudaMemLocation host{cudaMemLocationTypeHost, 0}, device{cudaMemLocationTypeDevice, 0};
  const auto get = [&](cudaMemRangeAttribute attribute, std::size_t at, std::size_t bytes) {
    CHECK(cudaMemRangeGetAttribute(&value, sizeof(value), attribute, data + at, bytes));
    return value;
  };
  EXPECT(get(cudaMemRangeAttributeReadMostly, 0, 1 << 20) == 0, "read-mostly before any advice");
  EXPECT(get(cudaMemRangeAttributePreferredLocation, 0, 1 << 20) == cudaInvalidDeviceId, "a location: %d", value);
  CHECK(cudaMemAdvise(data, 1 << 19, cudaMemAdviseSetReadMostly, device));
  EXPECT(get(cudaMemRangeAttributeReadMostly, 0, 1 << 19) == 1, "the advice is forgotten");
  EXPECT(get(cudaMemRangeAttributeReadMostly, 0, 1 << 20) == 0, "advice for a half holds for the whole");
  CHECK(cudaMemAdvise(data, 1 << 20, cudaMemAdviseSetPreferredLocation, host));
  EXPECT(get(cudaMemRangeAttributePreferredLocation, 0, 1 << 20) == cudaCpuDeviceId, "prefers %d", value);
  CHECK(cudaMemAdvise(data, 1 << 20, cudaMemAdviseSetAccessedBy, host));
  CHECK(cudaMemRangeGetAttribute(accessed, sizeof(accessed), cudaMemRangeAttributeAccessedBy, data, 1 << 20));
  EXPECT(accessed[0] == cudaCpuDeviceId && accessed[1] == cudaInvalidDeviceId && accessed[2] == cudaInvalidDeviceId,
         "accessed by %d %d %d", accessed[0], accessed[1], accessed[2]);
  CHECK(cudaMemAdvise(data, 1 << 20, cudaMemAdviseUnsetPreferredLocation, host));
  EXPECT(get(cudaMemRangeAttributePreferredLocation, 0, 1 << 20) == cudaInvalidDeviceId, "still prefers %d", value);
  if (concurrent == 0) {
    CHECK_ERROR(cudaMemAdvise(data, 1 << 20, cudaMemAdviseSetPreferredLocation, device), cudaErrorInvalidDevice);
    CHECK_ERROR(cudaMemPrefetchAsync(data, 1 << 20, device, 0, 0), cudaErrorInvalidDevice);
  } else {
    CHECK(cudaMemPrefetchAsync(data, 1 << 20, device, 0, 0));
    EXPECT(get(cudaMemRangeAttributeLastPrefetchLocation, 0, 1 << 20) == 0, "prefetched to %d", value);
  }
  int both[2] = {5, 5};
  void* results[] = {&both[0], &both[1]};
  std::size_t sizes[] = {sizeof(int), sizeof(int)};
  cudaMemRangeAttribute wanted[] = {cudaMemRangeAttributeReadMostly, cudaMemRangeAttributePreferredLocationType};
  CHECK(cudaMemRangeGetAttributes(results, sizes, wanted, 2, data, 4096));
  EXPECT(both[0] == 1 && both[1] == cudaMemLocationTypeInvalid, "two at a time: %d %d", both[0], both[1]);

  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  void* parts[] = {data, data + 8192};
  std::size_t part_bytes[] = {4096, 4096}, first[] = {0}, second[] = {1};
  cudaMemLocation to[] = {host};
  const cudaError_t expected = concurrent == 0 ? cudaErrorInvalidDevice : cudaSuccess;
  CHECK_ERROR(cudaMemPrefetchBatchAsync(parts, part_bytes, 2, to, first, 1, 0, stream), expected);
  CHECK_ERROR(cudaMemDiscardBatchAsync(parts, part_bytes, 2, 0, stream), expected);
  CHECK_ERROR(cudaMemDiscardAndPrefetchBatchAsync(parts, part_bytes, 2, to, first, 1, 0, stream), expected);
  CHECK_ERROR(cudaMemPrefetchBatchAsync(parts, part_bytes, 2, to, second, 1, 0, stream), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemPrefetchBatchAsync(parts, part_bytes, 2, to, first, 1, 1, stream), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemDiscardBatchAsync(parts, part_bytes, 0, 0, stream), cudaErrorInvalidValue);
  CHECK(cudaStreamSynchronize(stream));
  CHECK(cudaStreamDestroy(stream));

  CHECK_ERROR(cudaMemAdvise(data, 0, cudaMemAdviseSetReadMostly, device), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemAdvise(data, 1, static_cast<cudaMemoryAdvise>(99), device), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMemRangeGetAttribute(&value, 3, cudaMemRangeAttributeReadMostly, data, 4), cudaErrorInvalidValue);
  cudaGetLastError();
  CHECK(cudaFree(data));
}

static void Pointer() {
  int* data = nullptr;
  CHECK(cudaMallocManaged(&data, 4096));
  cudaPointerAttributes attributes{};
  CHECK(cudaPointerGetAttributes(&attributes, data + 9));
  EXPECT(attributes.type == cudaMemoryTypeManaged && attributes.device == 0, "type %d of device %d", attributes.type,
         attributes.device);
  EXPECT(attributes.devicePointer == data + 9 && attributes.hostPointer == data + 9, "it has two addresses");
  CHECK(cudaFree(data));
  CHECK_ERROR(cudaMallocManaged(&data, 16, 0), cudaErrorInvalidValue);
  CHECK_ERROR(cudaMallocManaged(&data, 16, cudaMemAttachSingle), cudaErrorInvalidValue);
  CHECK_ERROR(cudaFreeHost(reinterpret_cast<void*>(0x10000)), cudaErrorInvalidValue);
  cudaGetLastError();
}

int main() {
  Rounds();
  Pointers();
  CopiesAndFills();
  Streams();
  Advice();
  Pointer();
  std::printf("managed_memory: one memory for both sides\n");
  return Passed();
}
