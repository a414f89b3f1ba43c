#!/usr/bin/env bash
# Writes the pages of docs/coverage anew: ptx.md, cublas.md, cublaslt.md and cudnn.md from what is built in BUILD (build/dev
# unless it is set), cudart.md from the sources. Commit them with what changed them. CUDA_HOME names the toolkit if it is not at the
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
library() { compgen -G "$home/lib*/$1" | head -n 1; }
python3 -B protocol/gen/coverage.py --cudart "$(library libcudart.so.13)" --api protocol/api/cudart.py --semantics docs/semantics.md \
  --out docs/coverage/cudart.md
sed -n '/functions:/p' docs/coverage/cudart.md
# What to ask for each library: its page, its name, the software GPU's plugin for it, and the plugin's tests.
while read -r name library kind; do
  page=docs/coverage/$name.md
  plugin=$build/lib/accelmesh/libaccelmesh_cpu_$kind.so
  if [[ -x "$build/tests/library_functions" && -x "$build/tests/cpu_${kind}_test" && -e "$plugin" ]]; then
    # Debian's Python, because it has the clang module.
    /usr/bin/python3 -B protocol/gen/library_coverage.py --include "$home/include" --library "$(library "$library")" \
      --api "protocol/api/$name.py" --functions "$build/tests/library_functions" --plugin "$plugin" \
      --properties "$build/tests/cpu_${kind}_test" --root . --out "$page"
    sed -n '/functions:/p' "$page"
  else
    echo "$page stays as it is: build the targets library_functions and cpu_${kind}_test first." >&2
  fi
done << 'END'
cublas libcublas.so.13 blas
cublaslt libcublasLt.so.13 blas
cudnn libcudnn.so.9 dnn
END
