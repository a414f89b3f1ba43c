#!/usr/bin/env bash
# Puts NVIDIA's CUDA 13.0 compiler, headers, runtime, cuBLAS and cuDNN into build/toolkit from NVIDIA's wheels, unless the
# machine has a CUDA 13 toolkit with cuDNN at $CUDA_HOME or /usr/local/cuda. The toolkit is needed to build (headers for the
# generator, nvcc for tests/apps); no part of it is linked into AccelMesh.
#
#   scripts/fetch_toolkit.sh           fetch it if no toolkit is there
#   scripts/fetch_toolkit.sh --check   exit 1 if no toolkit is there
#   scripts/fetch_toolkit.sh --force   fetch it even if the machine has one
set -euo pipefail
cd "$(dirname "$0")/.."

pins=(nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96
      nvidia-cuda-cccl==13.0.85 nvidia-cuda-profiler-api==13.0.85 nvidia-cublas==13.1.0.3
      nvidia-cudnn-cu13==9.19.0.56)
toolkit=$PWD/build/toolkit
recipe=$(sha256sum scripts/fetch_toolkit.sh | cut -d' ' -f1)

has_library() { compgen -G "$1/lib*/$2" >/dev/null || compgen -G "$1/targets/*/lib/$2" >/dev/null; }
usable() {  # a CUDA 13 toolkit with compiler, headers and libraries (cmake/cuda.cmake asks for the same)
  [ -x "$1/bin/nvcc" ] && grep -qE '^#define CUDART_VERSION +13' "$1/include/cuda_runtime_api.h" 2>/dev/null || return 1
  for header in cuda.h cuda_profiler_api.h cublas_api.h cublasLt.h cudnn.h; do
    [ -e "$1/include/$header" ] || return 1
  done
  for library in libcudart.so.13 libcublas.so.13 libcublasLt.so.13 libcudnn.so.9; do
    has_library "$1" "$library" || return 1
  done
}
if [ "${1:-}" != --force ]; then
  for home in "${CUDA_HOME:-}" /usr/local/cuda; do
    if [ -n "$home" ] && usable "$home"; then echo "CUDA toolkit: $home"; exit 0; fi
  done
fi
if usable "$toolkit" && [ "$(cat "$toolkit/.stamp" 2>/dev/null)" = "$recipe" ]; then
  echo "CUDA toolkit: build/toolkit"
  exit 0
fi
if [ "${1:-}" = --check ]; then
  echo "missing: a CUDA 13 toolkit (set CUDA_HOME, or scripts/fetch_toolkit.sh puts NVIDIA's wheels into build/toolkit)" >&2
  exit 1
fi

echo "CUDA toolkit: none at \$CUDA_HOME or /usr/local/cuda; taking NVIDIA's wheels (${pins[*]}) into build/toolkit."
echo "By this you accept NVIDIA's licence for them; its text is in build/toolkit/licences."
rm -rf "$toolkit" "$toolkit.work"
mkdir -p "$toolkit.work"
# A Python of its own, so that neither Debian's packages nor the user's are touched.
/usr/bin/python3 -m venv "$toolkit.work/venv"
"$toolkit.work/venv/bin/pip" install --quiet --no-deps --only-binary :all: --target "$toolkit.work/wheels" "${pins[@]}"
mv "$toolkit.work/wheels/nvidia/cu13" "$toolkit"
mv "$toolkit.work"/wheels/nvidia/cudnn/include/* "$toolkit/include/"
mv "$toolkit.work"/wheels/nvidia/cudnn/lib/* "$toolkit/lib/"
mkdir -p "$toolkit/licences"
for info in "$toolkit.work"/wheels/*.dist-info; do
  find "$info" -iname 'licen*.txt' -exec cp {} "$toolkit/licences/$(basename "$info" .dist-info).txt" \;
done

# The layout of an installed toolkit: lib64, the target's folder, and the names without a version that the linker asks for.
ln -sfn lib "$toolkit/lib64"
mkdir -p "$toolkit/targets/x86_64-linux"
ln -sfn ../../include "$toolkit/targets/x86_64-linux/include"
ln -sfn ../../lib "$toolkit/targets/x86_64-linux/lib"
find "$toolkit/lib" -maxdepth 1 -name '*.so.*' | while read -r library; do
  plain=${library%%.so.*}.so
  [ -e "$plain" ] || ln -s "$(basename "$library")" "$plain"
done
chmod +x "$toolkit"/bin/* "$toolkit"/nvvm/bin/* 2>/dev/null || true

# Proof: a program with a kernel compiles and links against the shared runtime.
cat >"$toolkit.work/proof.cu" <<'CU'
#include <cuda_runtime.h>
__global__ void Add(float* x) { x[threadIdx.x] += 1; }
int main() {
  float* x = nullptr;
  Add<<<1, 32>>>(x);
  return cudaDeviceSynchronize() == cudaSuccess ? 0 : 1;
}
CU
"$toolkit/bin/nvcc" -ccbin g++-12 -cudart shared -arch=compute_80 -o "$toolkit.work/proof" "$toolkit.work/proof.cu"
readelf -d "$toolkit.work/proof" | grep -q 'NEEDED.*libcudart.so.13'
rm -rf "$toolkit.work"
echo "$recipe" >"$toolkit/.stamp"
echo "CUDA toolkit: ready in build/toolkit"
