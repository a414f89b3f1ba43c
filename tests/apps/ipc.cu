// Memory and events of one process in another: CUDA IPC between a program and a child that it starts, both ways.
#include <sys/wait.h>

#include <cstring>
#include <vector>

#include "check.h"
#include "two_processes.h"

static constexpr int kCount = 1 << 18;
static constexpr int kOdd = 1000;  // a second allocation, which need not begin at a page

__global__ void Write(int* data, int count, int factor) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) data[i] = i * factor;
}
__global__ void Add(int* data, int count, int what) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) data[i] += what;
}

static void Expect(const int* device, int count, int factor, int offset) {
  std::vector<int> got(count);
  CHECK(cudaMemcpy(got.data(), device, count * sizeof(int), cudaMemcpyDeviceToHost));
  for (int i = 0; i < count; ++i) EXPECT(got[i] == i * factor + offset, "[%d] = %d", i, got[i]);
}

struct Offer {
  cudaIpcMemHandle_t memory;
  cudaIpcMemHandle_t odd;
  cudaIpcEventHandle_t event;
};

static void* Open(const cudaIpcMemHandle_t& handle) {
  void* pointer = nullptr;
  CHECK(cudaIpcOpenMemHandle(&pointer, handle, cudaIpcMemLazyEnablePeerAccess));
  return pointer;
}

static int Child() {
  const Offer offer = Hear<Offer>();
  auto* data = static_cast<int*>(Open(offer.memory));
  EXPECT(Open(offer.memory) == data, "opened again it lies elsewhere");
  auto* odd = static_cast<int*>(Open(offer.odd));
  cudaPointerAttributes attributes{};
  CHECK(cudaPointerGetAttributes(&attributes, data + kCount / 2));
  EXPECT(attributes.type == cudaMemoryTypeDevice && attributes.device == 0, "type %d", attributes.type);
  CHECK_ERROR(cudaFree(data), cudaErrorInvalidValue);
  void* pointer = nullptr;
  CHECK_ERROR(cudaIpcOpenMemHandle(&pointer, offer.memory, 0), cudaErrorInvalidValue);
  cudaGetLastError();

  // The parent's stream is stopped until it hears of us.
  cudaEvent_t event = nullptr;
  CHECK(cudaIpcOpenEventHandle(&event, offer.event));
  CHECK_ERROR(cudaEventQuery(event), cudaErrorNotReady);
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaStreamWaitEvent(stream, event, 0));
  Add<<<kCount / 256, 256, 0, stream>>>(data, kCount, 7);
  CHECK(cudaGetLastError());
  CHECK_ERROR(cudaStreamQuery(stream), cudaErrorNotReady);
  Tell('g');
  CHECK(cudaEventSynchronize(event));
  CHECK(cudaEventQuery(event));
  CHECK(cudaStreamSynchronize(stream));
  Expect(data, kCount, 3, 7);
  Expect(odd, kOdd, 5, 0);
  CHECK(cudaMemset(odd, 0, kOdd * sizeof(int)));
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaIpcCloseMemHandle(odd));

  // The other way: the parent waits for what we record in its event, and in one of ours.
  Offer ours{};
  int* mine = nullptr;
  CHECK(cudaMalloc(&mine, kCount * sizeof(int)));
  CHECK(cudaIpcGetMemHandle(&ours.memory, mine));
  cudaEvent_t of_ours = nullptr;
  CHECK(cudaEventCreateWithFlags(&of_ours, cudaEventInterprocess | cudaEventDisableTiming));
  CHECK(cudaIpcGetEventHandle(&ours.event, of_ours));
  Write<<<kCount / 256, 256, 0, stream>>>(mine, kCount, 11);
  CHECK(cudaEventRecord(of_ours, stream));
  Add<<<kCount / 256, 256, 0, stream>>>(data, kCount, 100);
  CHECK(cudaEventRecord(event, stream));
  Tell(ours);
  EXPECT(Hear<char>() == 'd', "not done");
  // The parent has written into ours.
  Expect(mine, kCount, 11, 1);
  CHECK(cudaIpcCloseMemHandle(data));
  Add<<<kCount / 256, 256>>>(data, kCount, 1);
  CHECK(cudaDeviceSynchronize());
  CHECK(cudaIpcCloseMemHandle(data));
  CHECK_ERROR(cudaIpcCloseMemHandle(data), cudaErrorInvalidValue);
  CHECK(cudaEventDestroy(event));
  CHECK(cudaEventDestroy(of_ours));
  CHECK(cudaFree(mine));
  CHECK(cudaStreamDestroy(stream));
  Tell('c');
  return 0;
}

static void CUDART_CB WaitForChild(void* /*data*/) { Hear<char>(); }

static void Errors(int* data, cudaEvent_t event, const Offer& offer) {
  void* pointer = nullptr;
  cudaEvent_t opened = nullptr;
  CHECK_ERROR(cudaIpcOpenMemHandle(&pointer, offer.memory, cudaIpcMemLazyEnablePeerAccess),
              cudaErrorDeviceUninitialized);
  CHECK_ERROR(cudaIpcOpenEventHandle(&opened, offer.event), cudaErrorDeviceUninitialized);
  CHECK_ERROR(cudaIpcCloseMemHandle(data), cudaErrorInvalidValue);
  CHECK_ERROR(cudaEventCreateWithFlags(&opened, cudaEventInterprocess), cudaErrorInvalidValue);
  cudaIpcEventHandle_t handle{};
  cudaEvent_t plain = nullptr;
  CHECK(cudaEventCreateWithFlags(&plain, cudaEventDisableTiming));
  CHECK_ERROR(cudaIpcGetEventHandle(&handle, plain), cudaErrorInvalidResourceHandle);
  CHECK(cudaEventDestroy(plain));
  cudaIpcMemHandle_t none{};
  int on_host = 0;
  CHECK_ERROR(cudaIpcGetMemHandle(&none, &on_host), cudaErrorInvalidValue);
  CHECK_ERROR(cudaIpcGetMemHandle(nullptr, data), cudaErrorInvalidValue);
  CHECK_ERROR(cudaEventElapsedTime(reinterpret_cast<float*>(&on_host), event, event), cudaErrorInvalidResourceHandle);
  cudaGetLastError();
}

int main(int argc, char** argv) {
  if (argc == 5 && std::strcmp(argv[1], "child") == 0) {
    Answer(argv);
    return Child();
  }
  const pid_t child = Start(argv[0], "child", "", &out, &in);

  int support = 0;
  CHECK(cudaDeviceGetAttribute(&support, cudaDevAttrIpcEventSupport, 0));
  EXPECT(support == 1, "the device says that it has no IPC");
  int* small = nullptr;
  int* data = nullptr;
  int* odd = nullptr;
  CHECK(cudaMalloc(&small, 100));
  CHECK(cudaMalloc(&data, kCount * sizeof(int)));
  CHECK(cudaMalloc(&odd, kOdd * sizeof(int)));
  cudaStream_t stream = nullptr;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  Offer offer{};
  CHECK(cudaIpcGetMemHandle(&offer.memory, data));
  CHECK(cudaIpcGetMemHandle(&offer.odd, odd));
  cudaEvent_t event = nullptr;
  CHECK(cudaEventCreateWithFlags(&event, cudaEventInterprocess | cudaEventDisableTiming));
  CHECK(cudaEventQuery(event));
  CHECK(cudaIpcGetEventHandle(&offer.event, event));
  Errors(data, event, offer);
  CHECK(cudaLaunchHostFunc(stream, WaitForChild, nullptr));
  Write<<<kCount / 256, 256, 0, stream>>>(data, kCount, 3);
  Write<<<4, 256, 0, stream>>>(odd, kOdd, 5);
  CHECK(cudaEventRecord(event, stream));
  Tell(offer);
  CHECK(cudaEventSynchronize(event));

  const Offer theirs = Hear<Offer>();
  cudaEvent_t of_theirs = nullptr;
  CHECK(cudaIpcOpenEventHandle(&of_theirs, theirs.event));
  CHECK(cudaStreamWaitEvent(stream, of_theirs, 0));
  auto* mine = static_cast<int*>(Open(theirs.memory));
  Add<<<kCount / 256, 256, 0, stream>>>(mine, kCount, 1);
  // Recorded by the child since.
  CHECK(cudaStreamWaitEvent(stream, event, 0));
  CHECK(cudaStreamSynchronize(stream));
  Expect(data, kCount, 3, 107);
  std::vector<int> got(kOdd);
  CHECK(cudaMemcpy(got.data(), odd, kOdd * sizeof(int), cudaMemcpyDeviceToHost));
  for (int i = 0; i < kOdd; ++i) EXPECT(got[i] == 0, "[%d] = %d", i, got[i]);
  CHECK(cudaIpcCloseMemHandle(mine));
  CHECK(cudaEventDestroy(of_theirs));
  Tell('d');
  EXPECT(Hear<char>() == 'c', "not closed");
  Expect(data, kCount, 3, 108);
  int status = 0;
  EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0,
         "the child ended with 0x%x", status);
  CHECK(cudaEventDestroy(event));
  CHECK(cudaFree(odd));
  CHECK(cudaFree(data));
  CHECK(cudaFree(small));
  return Passed();
}
