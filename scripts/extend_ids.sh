#!/usr/bin/env bash
# Gives every new command of protocol/schema/commands.fbs, and function of cuBLAS, the next free id in its lock of
# protocol/api. Commit the lock.
set -euo pipefail
cd "$(dirname "$0")/.."
/usr/bin/python3 protocol/gen/commands.py --schema protocol/schema/commands.fbs --lock protocol/api/ids.lock \
  --out build/gen_commands_check.h --extend-lock
toolkit=${CUDA_HOME:-/usr/local/cuda}
[ -e "$toolkit/include/cublas_api.h" ] || toolkit=build/toolkit
/usr/bin/python3 protocol/gen/blas.py --include "$toolkit/include" --cublas "$toolkit/lib64/libcublas.so.13" \
  --api protocol/api/cublas.py --lock protocol/api/cublas.lock --shim-dir build/gen_blas_check --wire-dir build/gen_blas_check \
  --extend-lock >/dev/null
echo "protocol/api/ids.lock and cublas.lock are up to date; commit them."
