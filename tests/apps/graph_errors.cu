// What a capture forbids: the call that breaks a rule says so, the capture ends in an error of its own, and nothing is
// left of it behind that.
#include <thread>
#include <vector>

#include "check.h"

__global__ void Add(int* data, int value) { *data += value; }

static int* g_data;

static cudaStreamCaptureStatus StatusOf(cudaStream_t stream) {
  cudaStreamCaptureStatus status;
  CHECK(cudaStreamIsCapturing(stream, &status));
  return status;
}
// Ends a capture that was broken, and uses its stream again.
static void EndBroken(cudaStream_t stream, cudaError_t expected = cudaErrorStreamCaptureInvalidated) {
  cudaGraph_t graph = reinterpret_cast<cudaGraph_t>(1);
  CHECK_ERROR(cudaStreamEndCapture(stream, &graph), expected);
  EXPECT(graph == nullptr, "a graph all the same");
  EXPECT(StatusOf(stream) == cudaStreamCaptureStatusNone, "still capturing");
  Add<<<1, 1, 0, stream>>>(g_data, 1);
  CHECK(cudaStreamSynchronize(stream));
  cudaGetLastError();
}
// Begins a capture, makes the call, which must fail so, and sees the capture broken.
template <typename Call>
static void Breaks(cudaStream_t stream, cudaStreamCaptureMode mode, cudaError_t expected, const char* what, Call call) {
  CHECK(cudaStreamBeginCapture(stream, mode));
  const cudaError_t got = call();
  EXPECT(got == expected, "%s: %s, expected %s", what, cudaGetErrorName(got), cudaGetErrorName(expected));
  EXPECT(StatusOf(stream) == cudaStreamCaptureStatusInvalidated, "%s: the capture goes on", what);
  EndBroken(stream);
}
template <typename Call>
static void Allowed(cudaStream_t stream, cudaStreamCaptureMode mode, const char* what, Call call) {
  CHECK(cudaStreamBeginCapture(stream, mode));
  const cudaError_t got = call();
  EXPECT(got == cudaSuccess, "%s: %s", what, cudaGetErrorName(got));
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphDestroy(graph));
}

static void BeginAndEnd() {
  cudaStream_t stream, other;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  cudaGraph_t graph = nullptr;
  CHECK_ERROR(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal), cudaErrorStreamCaptureUnsupported);
  CHECK_ERROR(cudaStreamBeginCapture(stream, static_cast<cudaStreamCaptureMode>(7)), cudaErrorInvalidValue);
  CHECK_ERROR(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState);
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CHECK_ERROR(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaErrorIllegalState);
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphDestroy(graph));
  // By the thread that began it, unless it is a relaxed one.
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  std::thread([&] { CHECK_ERROR(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureWrongThread); }).join();
  cudaStreamEndCapture(stream, &graph);
  if (graph != nullptr) CHECK(cudaGraphDestroy(graph));
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  std::thread([&] { CHECK(cudaStreamEndCapture(stream, &graph)); }).join();
  CHECK(cudaGraphDestroy(graph));
  // In the stream in which it began; and everything that was forked is joined.
  cudaEvent_t fork;
  CHECK(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming));
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  Add<<<1, 1, 0, stream>>>(g_data, 1);
  CHECK(cudaEventRecord(fork, stream));
  CHECK(cudaStreamWaitEvent(other, fork, 0));
  CHECK_ERROR(cudaStreamEndCapture(other, &graph), cudaErrorStreamCaptureUnmatched);
  cudaGetLastError();
  cudaStreamEndCapture(stream, &graph);
  if (graph != nullptr) cudaGraphDestroy(graph);
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  Add<<<1, 1, 0, stream>>>(g_data, 1);
  CHECK(cudaEventRecord(fork, stream));
  CHECK(cudaStreamWaitEvent(other, fork, 0));
  Add<<<1, 1, 0, other>>>(g_data, 1);
  EndBroken(stream, cudaErrorStreamCaptureUnjoined);
  EXPECT(StatusOf(other) == cudaStreamCaptureStatusNone, "the other stream is still in the capture");
  CHECK(cudaEventDestroy(fork));
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaStreamDestroy(other));
}

static void Waits() {
  cudaStream_t stream, other;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  cudaEvent_t event, outside;
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  CHECK(cudaEventCreateWithFlags(&outside, cudaEventDisableTiming));
  CHECK(cudaEventRecord(outside, other));
  CHECK(cudaStreamSynchronize(other));
  for (const cudaStreamCaptureMode mode :
       {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed}) {
    Breaks(stream, mode, cudaErrorStreamCaptureUnsupported, "cudaStreamSynchronize",
           [&] { return cudaStreamSynchronize(stream); });
    Breaks(stream, mode, cudaErrorStreamCaptureUnsupported, "cudaStreamQuery", [&] { return cudaStreamQuery(stream); });
    Breaks(stream, mode, cudaErrorStreamCaptureUnsupported, "cudaDeviceSynchronize",
           [&] { return cudaDeviceSynchronize(); });
    Breaks(stream, mode, cudaErrorCapturedEvent, "cudaEventQuery", [&] {
      CHECK(cudaEventRecord(event, stream));
      return cudaEventQuery(event);
    });
    CHECK(cudaEventRecord(event, other));
    Breaks(stream, mode, cudaErrorCapturedEvent, "cudaEventSynchronize", [&] {
      CHECK(cudaEventRecord(event, stream));
      return cudaEventSynchronize(event);
    });
    CHECK(cudaEventRecord(event, other));
    CHECK(cudaEventSynchronize(event));
    // A dependency on what is not captured.
    Breaks(stream, mode, cudaErrorStreamCaptureIsolation, "cudaStreamWaitEvent",
           [&] { return cudaStreamWaitEvent(stream, outside, 0); });
  }
  // Two captures do not become one.
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
  CHECK(cudaStreamBeginCapture(other, cudaStreamCaptureModeRelaxed));
  CHECK(cudaEventRecord(event, other));
  CHECK_ERROR(cudaStreamWaitEvent(stream, event, 0), cudaErrorStreamCaptureMerge);
  cudaGetLastError();
  EndBroken(stream);
  cudaStreamEndCapture(other, &graph);
  if (graph != nullptr) cudaGraphDestroy(graph);
  cudaGetLastError();
  CHECK(cudaStreamDestroy(stream));
  CHECK(cudaStreamDestroy(other));
}

static void Unsafe() {
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  void* memory = nullptr;
  for (const cudaStreamCaptureMode mode : {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal}) {
    Breaks(stream, mode, cudaErrorStreamCaptureUnsupported, "cudaMalloc", [&] { return cudaMalloc(&memory, 64); });
    Breaks(stream, mode, cudaErrorStreamCaptureUnsupported, "cudaMallocHost",
           [&] { return cudaMallocHost(&memory, 64); });
  }
  Allowed(stream, cudaStreamCaptureModeRelaxed, "cudaMalloc", [&] { return cudaMalloc(&memory, 64); });
  CHECK(cudaFree(memory));
  // The mode of the thread counts as well.
  cudaStreamCaptureMode mode = cudaStreamCaptureModeRelaxed;
  CHECK(cudaThreadExchangeStreamCaptureMode(&mode));
  EXPECT(mode == cudaStreamCaptureModeGlobal, "the thread's mode was %d", mode);
  Allowed(stream, cudaStreamCaptureModeGlobal, "cudaMalloc", [&] { return cudaMalloc(&memory, 64); });
  CHECK(cudaFree(memory));
  CHECK(cudaThreadExchangeStreamCaptureMode(&mode));
  EXPECT(mode == cudaStreamCaptureModeRelaxed, "the thread's mode was %d", mode);
  // Another thread: only a global capture concerns it, unless it says that it does not.
  const auto elsewhere = [&](cudaStreamCaptureMode thread_mode) {
    cudaError_t got = cudaErrorUnknown;
    std::thread([&] {
      cudaStreamCaptureMode own = thread_mode;
      CHECK(cudaThreadExchangeStreamCaptureMode(&own));
      void* there = nullptr;
      got = cudaMalloc(&there, 64);
    }).join();
    return got;
  };
  Breaks(stream, cudaStreamCaptureModeGlobal, cudaErrorStreamCaptureUnsupported, "cudaMalloc elsewhere",
         [&] { return elsewhere(cudaStreamCaptureModeGlobal); });
  Allowed(stream, cudaStreamCaptureModeGlobal, "cudaMalloc elsewhere",
          [&] { return elsewhere(cudaStreamCaptureModeThreadLocal); });
  Allowed(stream, cudaStreamCaptureModeThreadLocal, "cudaMalloc elsewhere",
          [&] { return elsewhere(cudaStreamCaptureModeGlobal); });
  CHECK(cudaStreamDestroy(stream));
}

// While a blocking stream captures, the legacy stream cannot be used.
static void Legacy() {
  cudaStream_t stream;
  CHECK(cudaStreamCreate(&stream));
  int host = 0;
  for (const cudaStreamCaptureMode mode : {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeRelaxed}) {
    Breaks(stream, mode, cudaErrorStreamCaptureImplicit, "a launch", [&] {
      Add<<<1, 1>>>(g_data, 1);
      return cudaGetLastError();
    });
    Breaks(stream, mode, cudaErrorStreamCaptureImplicit, "cudaMemcpy",
           [&] { return cudaMemcpy(&host, g_data, sizeof(int), cudaMemcpyDeviceToHost); });
    Breaks(stream, mode, cudaErrorStreamCaptureImplicit, "cudaMemsetAsync",
           [&] { return cudaMemsetAsync(g_data, 0, 4, nullptr); });
  }
  // Asking is not using.
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  cudaStreamCaptureStatus status;
  CHECK_ERROR(cudaStreamIsCapturing(nullptr, &status), cudaErrorStreamCaptureImplicit);
  cudaGetLastError();
  EXPECT(StatusOf(stream) == cudaStreamCaptureStatusActive, "the capture was broken by a question");
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaStreamDestroy(stream));
  // Beside a capture of a non-blocking stream it can.
  CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  Allowed(stream, cudaStreamCaptureModeGlobal, "a launch", [&] {
    Add<<<1, 1>>>(g_data, 1);
    return cudaGetLastError();
  });
  CHECK(cudaStreamDestroy(stream));
}

int main() {
  CHECK(cudaMalloc(&g_data, sizeof(int)));
  // Loaded before anything captures.
  Add<<<1, 1>>>(g_data, 1);
  CHECK(cudaDeviceSynchronize());
  BeginAndEnd();
  Waits();
  Unsafe();
  Legacy();
  CHECK(cudaDeviceSynchronize());
  return Passed();
}
