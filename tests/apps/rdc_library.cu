// A library of device code (nvcc -lib) that rdc_program is linked with.
#include "rdc_parts.h"

static __device__ int hidden = 7;
__device__ int FromLibrary(int x) { return x - hidden; }
