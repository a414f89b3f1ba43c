"""Kernels that numba compiles to PTX, without a device: numba_kernels.py FOLDER. Part of scripts/ptx-corpus."""
import math
import pathlib
import sys

import numba
from numba import cuda, float32, float64, int32, int64, types


def axpy(n, a, x, y):
    i = cuda.grid(1)
    if i < n:
        y[i] = a * x[i] + y[i]


def matrix_product(a, b, c):
    row, column = cuda.grid(2)
    left = cuda.shared.array(shape=(16, 16), dtype=float32)
    right = cuda.shared.array(shape=(16, 16), dtype=float32)
    total = float32(0)
    for step in range(a.shape[1] // 16):
        left[cuda.threadIdx.x, cuda.threadIdx.y] = a[row, cuda.threadIdx.y + step * 16]
        right[cuda.threadIdx.x, cuda.threadIdx.y] = b[cuda.threadIdx.x + step * 16, column]
        cuda.syncthreads()
        for k in range(16):
            total += left[cuda.threadIdx.x, k] * right[k, cuda.threadIdx.y]
        cuda.syncthreads()
    c[row, column] = total


def histogram(values, bins):
    i = cuda.grid(1)
    if i < values.size:
        cuda.atomic.add(bins, values[i] % bins.size, 1)


def functions(x, y):
    i = cuda.grid(1)
    if i < x.size:
        y[i] = math.sin(x[i]) + math.exp(-x[i]) * math.sqrt(abs(x[i])) + math.pow(x[i], 1.5) + math.erf(x[i])


def warp_sum(values, out):
    lane = cuda.laneid
    value = values[cuda.grid(1)]
    offset = 16
    while offset > 0:
        value += cuda.shfl_down_sync(0xffffffff, value, offset)
        offset //= 2
    if lane == 0:
        cuda.atomic.add(out, 0, value)


def divides(a, b, out):
    i = cuda.grid(1)
    scratch = cuda.local.array(8, int64)
    for k in range(8):
        scratch[k] = a[i] // (b[i] + k)
    out[i] = scratch[b[i] % 8]


KERNELS = [
    (axpy, (int32, float32, float32[:], float32[:])),
    (matrix_product, (float32[:, :], float32[:, :], float32[:, :])),
    (histogram, (int32[:], int32[:])),
    (functions, (float32[:], float32[:])),
    (functions, (float64[:], float64[:])),
    (warp_sum, (int32[:], int32[:])),
    (divides, (int64[:], int64[:], int64[:])),
]


def main():
    folder = pathlib.Path(sys.argv[1])
    for capability in ((7, 5), (8, 0), (9, 0)):
        for number, (function, signature) in enumerate(KERNELS):
            text, _ = cuda.compile_ptx(function, types.void(*signature), cc=capability)
            name = f"{function.__name__}_{number}_sm{capability[0]}{capability[1]}.ptx"
            (folder / name).write_text(text)
    try:
        import numba_cuda
        print(f"numba {numba.__version__}, numba-cuda {numba_cuda.__version__}")
    except ImportError:
        print(f"numba {numba.__version__}")


if __name__ == "__main__":
    main()
