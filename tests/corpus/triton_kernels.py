"""Kernels that Triton compiles to PTX, without a device: triton_kernels.py FOLDER. Part of scripts/ptx-corpus."""
import pathlib
import sys

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    tl.store(out + at, tl.load(x + at, mask=mask) + tl.load(y + at, mask=mask), mask=mask)


@triton.jit
def softmax(x, out, stride, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    values = tl.load(x + row * stride + columns, mask=columns < n, other=-float("inf"))
    values = tl.exp(values - tl.max(values, axis=0))
    tl.store(out + row * stride + columns, values / tl.sum(values, axis=0), mask=columns < n)


@triton.jit
def product(a, b, c, m, n, k, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    rows = tl.program_id(0) * M + tl.arange(0, M)
    columns = tl.program_id(1) * N + tl.arange(0, N)
    inner = tl.arange(0, K)
    total = tl.zeros((M, N), dtype=tl.float32)
    for step in range(0, k, K):
        left = tl.load(a + rows[:, None] * k + (step + inner)[None, :])
        right = tl.load(b + (step + inner)[:, None] * n + columns[None, :])
        total += tl.dot(left, right)
    tl.store(c + rows[:, None] * n + columns[None, :], total.to(c.dtype.element_ty))


@triton.jit
def dropout(x, out, n, seed, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    values = tl.load(x + at, mask=at < n)
    tl.store(out + at, tl.where(tl.rand(seed, at) > 0.5, values * 2, 0.0), mask=at < n)


@triton.jit
def count(x, bins, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.atomic_add(bins + tl.load(x + at, mask=at < n, other=0), 1, mask=at < n)


@triton.jit
def scan(x, out, BLOCK: tl.constexpr):
    at = tl.arange(0, BLOCK)
    tl.store(out + at, tl.cumsum(tl.load(x + at), axis=0))


KERNELS = [
    (add, {"x": "*fp32", "y": "*fp32", "out": "*fp32", "n": "i32"}, {"BLOCK": 1024}),
    (add, {"x": "*fp16", "y": "*fp16", "out": "*fp16", "n": "i32"}, {"BLOCK": 512}),
    (softmax, {"x": "*fp32", "out": "*fp32", "stride": "i32", "n": "i32"}, {"BLOCK": 1024}),
    (softmax, {"x": "*bf16", "out": "*bf16", "stride": "i32", "n": "i32"}, {"BLOCK": 256}),
    (product, {"a": "*fp16", "b": "*fp16", "c": "*fp16", "m": "i32", "n": "i32", "k": "i32"},
     {"M": 64, "N": 64, "K": 32}),
    (product, {"a": "*fp32", "b": "*fp32", "c": "*fp32", "m": "i32", "n": "i32", "k": "i32"},
     {"M": 32, "N": 32, "K": 16}),
    (dropout, {"x": "*fp32", "out": "*fp32", "n": "i32", "seed": "i32"}, {"BLOCK": 1024}),
    (count, {"x": "*i32", "bins": "*i32", "n": "i32"}, {"BLOCK": 256}),
    (scan, {"x": "*i32", "out": "*i32"}, {"BLOCK": 512}),
]


def main():
    folder = pathlib.Path(sys.argv[1])
    for capability in (75, 80, 86, 90, 120):
        for number, (kernel, signature, constants) in enumerate(KERNELS):
            whole = dict(signature, **{name: "constexpr" for name in constants})
            try:
                compiled = triton.compile(ASTSource(fn=kernel, signature=whole, constexprs=constants),
                                          target=GPUTarget("cuda", capability, 32))
            except Exception as error:  # Triton's own: it does not do every kernel for every device
                print(f"{kernel.__name__} for {capability}: {str(error).splitlines()[0]}", file=sys.stderr)
                continue
            (folder / f"{kernel.__name__}_{number}_sm{capability}.ptx").write_text(compiled.asm["ptx"])
    print(f"triton {triton.__version__}")


if __name__ == "__main__":
    main()
