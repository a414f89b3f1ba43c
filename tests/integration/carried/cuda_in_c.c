/* A plain C program on the CUDA runtime that brings libraries of its own into the process: built once with an old
 * libstdc++.so.6 (here: one without any symbol) and once with a libzmq that it uses itself. The preload and its zmq
 * plugin must neither need nor disturb what the program carries. */
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <string.h>

#ifdef USE_ZMQ
#include <zmq.h>

static int TalkToMyself(void* context, const char* name) {
  void* server = zmq_socket(context, ZMQ_PAIR);
  void* client = zmq_socket(context, ZMQ_PAIR);
  char got[16] = {0};
  const int fine = zmq_bind(server, name) == 0 && zmq_connect(client, name) == 0 &&
                   zmq_send(client, "hello", 5, 0) == 5 && zmq_recv(server, got, sizeof(got), 0) == 5 &&
                   strcmp(got, "hello") == 0;
  zmq_close(client);
  zmq_close(server);
  return fine;
}
#endif

#define CHECK(call)                                                        \
  do {                                                                     \
    const cudaError_t error = (call);                                      \
    if (error != cudaSuccess) {                                            \
      fprintf(stderr, "%s: %s\nFAILED\n", #call, cudaGetErrorName(error)); \
      return 1;                                                            \
    }                                                                      \
  } while (0)

int main(void) {
#ifdef USE_ZMQ
  void* context = zmq_ctx_new();
  if (!TalkToMyself(context, "inproc://before")) return 1;
#endif
  static unsigned char there[100000];
  static unsigned char back[100000];
  void* device = NULL;
  memset(there, 0x5a, sizeof(there));
  CHECK(cudaMalloc(&device, sizeof(there)));
  CHECK(cudaMemcpy(device, there, sizeof(there), cudaMemcpyHostToDevice));
  CHECK(cudaMemset(device, 7, 10));
  CHECK(cudaMemcpy(back, device, sizeof(back), cudaMemcpyDeviceToHost));
  memset(there, 7, 10);
  if (memcmp(there, back, sizeof(there)) != 0) {
    fprintf(stderr, "the bytes that came back differ\nFAILED\n");
    return 1;
  }
  CHECK(cudaFree(device));
#ifdef USE_ZMQ
  if (!TalkToMyself(context, "inproc://after")) return 1;
  zmq_ctx_term(context);
#endif
  puts("PASSED");
  return 0;
}
