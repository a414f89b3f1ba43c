#!/usr/bin/env bash
# Writes the pages of docs/coverage anew: ptx.md, cublas.md and cublaslt.md from what is built in BUILD (build/dev unless it
# is set), cudart.md from the sources. Commit them with what changed them. CUDA_HOME names the toolkit if it is not at the
# usual place.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${BUILD:-build/dev}
if [[ -x "$build/tests/ptx_mutation" ]]; then
  "$build/tests/ptx_mutation" --write docs/coverage/ptx.md tests/unit/server/backend/cpu/tier0/forms.txt
  sed -n '/are tested/p' docs/coverage/ptx.md
else
  echo "docs/coverage/ptx.md stays as it is: build the target ptx_mutation first." >&2
fi
home=
for folder in "${CUDA_HOME:-}" /usr/local/cuda build/toolkit; do
  if [[ -z "$home" && -n "$folder" ]] && compgen -G "$folder/lib*/libcudart.so.13" > /dev/null; then home=$folder; fi
done
if [[ -z "$home" ]]; then
  echo "No libcudart.so.13 was found; scripts/fetch_toolkit.sh brings one, or set CUDA_HOME." >&2
  exit 1
fi
library() { compgen -G "$home/lib*/$1.so.13" | head -n 1; }
python3 -B protocol/gen/coverage.py --cudart "$(library libcudart)" --api protocol/api/cudart.py --semantics docs/semantics.md \
  --out docs/coverage/cudart.md
sed -n '/functions:/p' docs/coverage/cudart.md
plugin=$build/lib/accelmesh/libaccelmesh_cpu_blas.so
if [[ -x "$build/tests/library_functions" && -x "$build/tests/cpu_blas_test" && -e "$plugin" ]]; then
  for name in cublas:libcublas cublaslt:libcublasLt; do
    page=docs/coverage/${name%%:*}.md
    # Debian's Python, because it has the clang module.
    /usr/bin/python3 -B protocol/gen/library_coverage.py --include "$home/include" --library "$(library "${name#*:}")" \
      --api "protocol/api/${name%%:*}.py" --functions "$build/tests/library_functions" --plugin "$plugin" \
      --properties "$build/tests/cpu_blas_test" --root . --out "$page"
    sed -n '/functions:/p' "$page"
  done
else
  echo "docs/coverage/cublas.md and cublaslt.md stay as they are: build the targets library_functions and cpu_blas_test first." >&2
fi
