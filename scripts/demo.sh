#!/usr/bin/env bash
# Sets up, builds, starts a gpu-server with the software GPU and runs an unmodified CUDA program on it.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
cmake --preset dev > /dev/null
cmake --build build/dev --target gpu-server mesh-run vector_add tiled_matmul
url=${1:-shm://demo-$$}
log=$(mktemp)
build/dev/bin/gpu-server --listen "$url" --backend cpu > "$log" &
server=$!
trap 'kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; rm -f "$log"' EXIT
for _ in $(seq 100); do grep -q '^ready' "$log" && break; sleep 0.1; done
grep -q '^ready' "$log" || { echo "demo: the gpu-server did not start; see its lines above" >&2; exit 1; }
url=$(sed -n 's/^ready //p' "$log" | head -n 1)
for program in vector_add tiled_matmul; do
  echo "\$ mesh-run --server $url --stats -- build/dev/apps/$program"
  build/dev/bin/mesh-run --server "$url" --stats -- "build/dev/apps/$program"
done
