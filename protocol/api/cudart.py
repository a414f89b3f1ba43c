"""How libcudart.so.13 is answered. The generator (protocol/gen/entry.py) reads signatures from the toolkit's headers;
nothing is retyped here. `BODIES` have a hand-written body of the same name in shim/runtime (else the link fails);
every other name the library exports is refused with cudaErrorNotSupported and said once, by name.

To add a function: put its name into BODIES and write its body in the file of its noun in shim/runtime.
"""

LIBRARY = "libcudart.so.13"

# Answered from client state: nothing is sent.
LOCAL = """
cudaGetDevice cudaSetDevice cudaGetDeviceCount cudaGetLastError cudaPeekAtLastError cudaGetErrorName cudaGetErrorString
cudaGetDeviceProperties cudaDeviceGetAttribute cudaDriverGetVersion cudaRuntimeGetVersion cudaPointerGetAttributes
cudaMemGetInfo cudaGetSymbolAddress cudaGetSymbolSize cudaFuncGetAttributes cudaFuncSetAttribute
cudaOccupancyMaxActiveBlocksPerMultiprocessor cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags
cudaDeviceGetStreamPriorityRange cudaStreamGetFlags cudaStreamGetPriority cudaStreamGetDevice cudaSetDeviceFlags
cudaFuncSetCacheConfig cudaDeviceGetPCIBusId cudaHostGetFlags cudaGetKernel
""".split()

# Posted to the command stream, or waiting for its progress, or a call; docs/semantics.md has the row of each.
SENT = """
cudaMalloc cudaFree cudaMallocHost cudaHostAlloc cudaFreeHost cudaMallocPitch cudaMalloc3D cudaMallocAsync cudaFreeAsync
cudaMemcpy cudaMemcpyAsync cudaMemcpy2D cudaMemcpy2DAsync cudaMemcpy3D cudaMemcpy3DAsync
cudaMemset cudaMemsetAsync cudaMemset2D cudaMemset2DAsync cudaMemset3D cudaMemset3DAsync
cudaMemcpyToSymbol cudaMemcpyToSymbolAsync cudaMemcpyFromSymbol cudaMemcpyFromSymbolAsync
cudaStreamCreate cudaStreamCreateWithFlags cudaStreamCreateWithPriority cudaStreamDestroy cudaStreamSynchronize cudaStreamQuery
cudaStreamWaitEvent cudaEventCreate cudaEventCreateWithFlags cudaEventRecord cudaEventRecordWithFlags cudaEventQuery cudaEventSynchronize
cudaEventElapsedTime cudaEventDestroy cudaLaunchHostFunc cudaStreamAddCallback cudaDeviceSynchronize cudaDeviceReset cudaLaunchKernel cudaLaunchKernelExC
""".split()

BODIES = LOCAL + SENT

# In no header that can be parsed on its own: what nvcc's host stubs call. (return type, name, parameters)
STUBS = [
    ("void**", "__cudaRegisterFatBinary", "void* wrapper"),
    ("void", "__cudaRegisterFatBinaryEnd", "void** handle"),
    ("void", "__cudaUnregisterFatBinary", "void** handle"),
    ("void", "__cudaRegisterFunction", "void** handle, const char* host_function, char* device_function, const char* device_name, "
     "int thread_limit, uint3* tid, uint3* bid, dim3* block_dim, dim3* grid_dim, int* warp_size"),
    ("void", "__cudaRegisterVar", "void** handle, char* host_variable, char* device_address, const char* device_name, int external, "
     "size_t bytes, int constant, int global"),
    ("char", "__cudaInitModule", "void** handle"),
    ("unsigned", "__cudaPushCallConfiguration", "dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream"),
    ("cudaError_t", "__cudaPopCallConfiguration", "dim3* grid, dim3* block, size_t* shared_bytes, void* stream"),
    ("cudaError_t", "__cudaGetKernel", "cudaKernel_t* kernel, const void* host_function"),
    ("cudaError_t", "__cudaLaunchKernel", "cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t stream"),
]

WHY_REFUSED = "this release of AccelMesh does not remote it yet"
