#!/usr/bin/env bash
# Writes docs/coverage/ptx.md (from the tests built in BUILD, build/dev unless it is set) and docs/coverage/cudart.md anew.
# Commit them with what changed them. CUDA_HOME names the toolkit if it is not at the usual place.
set -euo pipefail
cd "$(dirname "$0")/.."
mutation="${BUILD:-build/dev}/tests/ptx_mutation"
if [[ -x "$mutation" ]]; then
  "$mutation" --write docs/coverage/ptx.md tests/unit/server/backend/cpu/tier0/forms.txt
  sed -n '/are tested/p' docs/coverage/ptx.md
else
  echo "docs/coverage/ptx.md stays as it is: build the target ptx_mutation first." >&2
fi
for home in "${CUDA_HOME:-}" /usr/local/cuda build/toolkit; do
  for library in "$home"/lib*/libcudart.so.13; do
    if [[ -n "$home" && -e "$library" ]]; then
      python3 -B protocol/gen/coverage.py --cudart "$library" --api protocol/api/cudart.py --semantics docs/semantics.md \
        --out docs/coverage/cudart.md
      sed -n '/functions:/p' docs/coverage/cudart.md
      exit 0
    fi
  done
done
echo "No libcudart.so.13 was found; scripts/fetch_toolkit.sh brings one, or set CUDA_HOME." >&2
exit 1
