#!/usr/bin/env bash
# Shows AccelMesh at work, from a fresh clone on: sets up, builds, starts a gpu-server with the software GPU, and runs
# programs on it that nvcc built and nobody changed, through shared memory and through ZeroMQ. Behind each program's own
# output stands what its calls cost: answered locally, posted, waited, called; messages, bytes, time.
#
#   scripts/demo.sh               everything
#   scripts/demo.sh --no-setup    does not look for missing packages
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
  "") scripts/setup.sh ;;
  --no-setup) ;;
  *) sed -n '2,7s/^# \{0,1\}//p' scripts/demo.sh; exit 2 ;;
esac

echo "demo: building (a few minutes the first time)"
build=build/dev
mkdir -p build
if ! { cmake --preset dev && cmake --build "$build" --target gpu-server mesh-run app_vector_add app_tiled_matmul; } \
    >build/demo-build.log 2>&1; then
  tail -n 30 build/demo-build.log >&2
  echo "demo: the build failed; all of its output is in build/demo-build.log" >&2
  exit 1
fi

log=$(mktemp)
"$build/bin/gpu-server" --listen "shm://demo-$$" --listen tcp://127.0.0.1:0 --backend cpu >"$log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -f "$log"' EXIT
for _ in $(seq 100); do
  [ "$(grep -c '^ready' "$log")" = 2 ] && break
  sleep 0.1
done
mapfile -t urls < <(sed -n 's/^ready //p' "$log")
[ ${#urls[@]} = 2 ] || { echo "demo: the gpu-server did not start; see its lines above" >&2; exit 1; }

echo "demo: a gpu-server with the software GPU listens on ${urls[0]} and ${urls[1]}"
run() {  # url, program
  printf '\n$ mesh-run --server %s --stats -- %s\n' "$1" "$build/apps/$2"
  "$build/bin/mesh-run" --server "$1" --stats -- "$build/apps/$2"
}
run "${urls[0]}" vector_add
run "${urls[1]}" vector_add
run "${urls[0]}" tiled_matmul
printf '\ndemo: done. README.md says what to try next.\n'
