#!/usr/bin/env bash
# Gives every new command of protocol/schema/commands.fbs, and function of cuBLAS, cuBLASLt and cuDNN, the next free id in its
# lock of protocol/api. Commit the lock.
set -euo pipefail
cd "$(dirname "$0")/.."
/usr/bin/python3 protocol/gen/commands.py --schema protocol/schema/commands.fbs --lock protocol/api/ids.lock \
  --out build/gen_commands_check.h --extend-lock
toolkit=${CUDA_HOME:-/usr/local/cuda}
[ -e "$toolkit/include/cublas_api.h" ] || toolkit=build/toolkit
for library in cublas:13 cublasLt:13 cudnn:9; do
  version=${library#*:} library=${library%:*}
  /usr/bin/python3 protocol/gen/blas.py --include "$toolkit/include" --cublas "$toolkit/lib64/lib$library.so.$version" \
    --api "protocol/api/${library,,}.py" --lock "protocol/api/${library,,}.lock" \
    --shim-dir build/gen_blas_check --wire-dir build/gen_blas_check --extend-lock >/dev/null
done
echo "protocol/api/ids.lock, cublas.lock, cublaslt.lock and cudnn.lock are up to date; commit them."
