/* A library with a static runtime of CUDA 13, as small as one can be: by its names it is one, and each function says
   that it ran itself. Functions of the library stand before and behind. */
#define RUNTIME(name, value) \
  __attribute__((visibility("hidden"))) int name(void) { return value; }
#define INTERNAL(digit, value) RUNTIME(libcudart_static_0123456789abcdef0123456789abcdef0123456##digit, value)

int cudaOfTheLibrary(void) { return 3; }

INTERNAL(1, 100)
RUNTIME(__cudaRegisterFatBinary, 101)
RUNTIME(__cudaRegisterFatBinaryEnd, 102)
RUNTIME(__cudaUnregisterFatBinary, 103)
RUNTIME(__cudaRegisterFunction, 104)
RUNTIME(__cudaPushCallConfiguration, 105)
RUNTIME(__cudaPopCallConfiguration, 106)
RUNTIME(__cudaLaunchKernel, 107)
RUNTIME(cudaLaunchKernel, 108)
RUNTIME(cudaMalloc, 109)
RUNTIME(cudaGetDeviceCount, 110)
RUNTIME(cudaMemGetDefaultMemPool, 111)
RUNTIME(cudaFromTheFuture, 112)
INTERNAL(2, 199)

static int in_constructor;
__attribute__((constructor)) static void Begin(void) { in_constructor = cudaMalloc(); }

int MallocInConstructor(void) { return in_constructor; }
int Malloc(void) { return cudaMalloc(); }
int FromTheFuture(void) { return cudaFromTheFuture(); }
int OfTheLibrary(void) { return cudaOfTheLibrary(); }
