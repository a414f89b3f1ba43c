// y = a * x + y in chunks over four streams: pinned copies in, kernel, copy out, timed with events.
#include "check.h"

__global__ void Saxpy(float a, const float* x, float* y, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = a * x[i] + y[i];
}

int main() {
  const int n = 1 << 19, streams = 4, chunk = n / (2 * streams);
  float *x = nullptr, *y = nullptr, *device_x = nullptr, *device_y = nullptr;
  CHECK(cudaMallocHost(&x, n * sizeof(float)));
  CHECK(cudaMallocHost(&y, n * sizeof(float)));
  CHECK(cudaMalloc(&device_x, n * sizeof(float)));
  CHECK(cudaMalloc(&device_y, n * sizeof(float)));
  for (int i = 0; i < n; ++i) {
    x[i] = static_cast<float>(i % 4096);
    y[i] = static_cast<float>(i % 17);
  }
  cudaStream_t stream[streams];
  cudaEvent_t begin, done[streams], end;
  CHECK(cudaEventCreate(&begin));
  CHECK(cudaEventCreate(&end));
  for (int s = 0; s < streams; ++s) {
    CHECK(cudaStreamCreateWithFlags(&stream[s], cudaStreamNonBlocking));
    CHECK(cudaEventCreateWithFlags(&done[s], cudaEventDisableTiming));
  }

  CHECK(cudaEventRecord(begin, stream[0]));
  for (int s = 1; s < streams; ++s) CHECK(cudaStreamWaitEvent(stream[s], begin, 0));
  for (int first = 0, turn = 0; first < n; first += chunk, ++turn) {
    cudaStream_t on = stream[turn % streams];
    const size_t bytes = chunk * sizeof(float);
    CHECK(cudaMemcpyAsync(device_x + first, x + first, bytes, cudaMemcpyHostToDevice, on));
    CHECK(cudaMemcpyAsync(device_y + first, y + first, bytes, cudaMemcpyHostToDevice, on));
    Saxpy<<<chunk / 256, 256, 0, on>>>(2.0f, device_x + first, device_y + first, chunk);
    CHECK(cudaGetLastError());
    CHECK(cudaMemcpyAsync(y + first, device_y + first, bytes, cudaMemcpyDeviceToHost, on));
  }
  // Stream 0 ends last: it waits for the others.
  for (int s = 1; s < streams; ++s) {
    CHECK(cudaEventRecordWithFlags(done[s], stream[s], cudaEventRecordDefault));
    CHECK(cudaStreamWaitEvent(stream[0], done[s], 0));
  }
  CHECK(cudaEventRecord(end, stream[0]));
  CHECK(cudaEventSynchronize(end));
  for (int i = 0; i < n; ++i) {
    const float expected = 2.0f * static_cast<float>(i % 4096) + static_cast<float>(i % 17);
    EXPECT(y[i] == expected, "y[%d] is %g, not %g", i, y[i], expected);
  }
  float elapsed_ms = -1.0f;
  CHECK(cudaEventQuery(end));
  CHECK(cudaEventElapsedTime(&elapsed_ms, begin, end));
  EXPECT(elapsed_ms > 0.0f && elapsed_ms < 60000.0f, "%g ms between the events", elapsed_ms);
  for (int s = 0; s < streams; ++s) {
    CHECK(cudaStreamSynchronize(stream[s]));
    CHECK(cudaStreamQuery(stream[s]));
    CHECK(cudaStreamDestroy(stream[s]));
    CHECK(cudaEventDestroy(done[s]));
  }
  // Neither an event without timing nor one never recorded has a time.
  CHECK(cudaEventCreateWithFlags(&done[0], cudaEventDisableTiming));
  CHECK(cudaEventCreate(&done[1]));
  CHECK_ERROR(cudaEventElapsedTime(&elapsed_ms, begin, done[0]), cudaErrorInvalidResourceHandle);
  CHECK_ERROR(cudaEventElapsedTime(&elapsed_ms, begin, done[1]), cudaErrorInvalidResourceHandle);
  for (cudaEvent_t event : {begin, end, done[0], done[1]}) CHECK(cudaEventDestroy(event));
  CHECK(cudaFree(device_x));
  CHECK(cudaFree(device_y));
  CHECK(cudaFreeHost(x));
  CHECK(cudaFreeHost(y));
  std::printf("saxpy_streams: %d elements over %d streams\n", n, streams);
  return Passed();
}
