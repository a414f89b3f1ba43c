"""A description in the form of protocol/api/cudart.py with a function of every kind, for tests/golden. Its own, so that
the goldens stay what they are when a function moves from refused to answered."""

LIBRARY = "libcudart.so.13"

LOCAL = "cudaGetDevice cudaGetErrorString cudaGetDriverEntryPoint".split()
SENT = "cudaMalloc cudaMemcpy cudaMemcpyAsync cudaLaunchKernel cudaStreamQuery".split()
BODIES = LOCAL + SENT
REFUSED_IN_CAPTURE = {"kUnsafe": "cudaMalloc", "kLegacyStream": "cudaMemcpy"}

REFUSED = {"it may not be": "cudaGraphLaunch cudaGetDriverEntryPoint", "it cannot be": "cudaProfilerStart"}
WHY_REFUSED = "it is not there yet"
REFUSED_BY_BODY = ["cudaGetDriverEntryPoint"]

STUBS = [
    ("void**", "__cudaRegisterFatBinary", "void* wrapper"),
    ("void", "__cudaRegisterFatBinaryEnd", "void** handle"),
    ("unsigned", "__cudaPushCallConfiguration", "dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream"),
    ("cudaError_t", "__cudaLaunchKernel", "cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments, size_t shared_bytes, cudaStream_t stream"),
]
