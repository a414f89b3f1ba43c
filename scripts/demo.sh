#!/usr/bin/env bash
# Shows AccelMesh at work, from a fresh clone on: sets up, builds, starts a gpu-server with the software GPU, and runs
# programs on it that nvcc built and nobody changed, through shared memory and through ZeroMQ. Behind each program's own
# output stands what its calls cost: answered locally, posted, waited, called; messages, bytes, time.
# Then a market: slot-market and two gpu-servers, of which the second lets 30 % of its device, and two programs that say
# what they need and name no server: who got what, why, and at what price. And two programs that trade with each other: one
# sells a part of its lease to the other while both run; what both sides sign for it; and the ledger of it all, verified.
#
#   scripts/demo.sh               everything
#   scripts/demo.sh --no-setup    does not look for missing packages
set -euo pipefail
cd "$(dirname "$0")/.."
case "${1:-}" in
  "") scripts/setup.sh ;;
  --no-setup) ;;
  *) sed -n '2,11s/^# \{0,1\}//p' scripts/demo.sh; exit 2 ;;
esac

echo "demo: building (a few minutes the first time)"
build=build/dev
mkdir -p build
if ! { cmake --preset dev && cmake --build "$build" --target gpu-server slot-market slotctl mesh-run app_vector_add app_tiled_matmul \
    app_endless; } \
    >build/demo-build.log 2>&1; then
  tail -n 30 build/demo-build.log >&2
  echo "demo: the build failed; all of its output is in build/demo-build.log" >&2
  exit 1
fi

# Everything that is started ends with this script; nothing of the user's is touched.
place=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$place"
}
trap finish EXIT
export XDG_CONFIG_HOME="$place/config" XDG_STATE_HOME="$place/state" XDG_RUNTIME_DIR="$place/run"
mkdir -m 700 "$XDG_RUNTIME_DIR"
unset ACCELMESH_MARKET ACCELMESH_MARKET_KEY ACCELMESH_SERVER

start() {  # log, addresses, command: sets `urls`
  local log=$place/$1 wanted=$2
  shift 2
  "$@" >"$log" 2>"$log.errors" &
  pids+=($!)
  for _ in $(seq 200); do
    [ "$(grep -c '^ready' "$log")" = "$wanted" ] && break
    sleep 0.1
  done
  mapfile -t urls < <(sed -n 's/^ready //p' "$log")
  [ ${#urls[@]} = "$wanted" ] && return
  tail -n 20 "$log.errors" >&2
  echo "demo: $1 did not start; its last lines are above" >&2
  exit 1
}

start gpu-server 2 "$build/bin/gpu-server" --listen "shm://demo-$$" --listen tcp://127.0.0.1:0 --backend cpu
server=${pids[-1]}
echo "demo: a gpu-server with the software GPU listens on ${urls[0]} and ${urls[1]}"
run() {  # url, program
  printf '\n$ mesh-run --server %s --stats -- %s\n' "$1" "$build/apps/$2"
  "$build/bin/mesh-run" --server "$1" --stats -- "$build/apps/$2"
}
run "${urls[0]}" vector_add
run "${urls[1]}" vector_add
run "${urls[0]}" tiled_matmul
kill "$server"
wait "$server" 2>/dev/null || true

printf '\ndemo: now a market\n'
start slot-market 1 "$build/bin/slot-market" --listen tcp://127.0.0.1:0 --store "sqlite:$place/market.sqlite" --metrics off
export ACCELMESH_MARKET=${urls[0]}
on_core() {  # core, command: each server on its own, if there are two; becomes it, so that its pid is known
  local core=$1
  shift
  if taskset -c "$core" true 2>/dev/null; then exec taskset -c "$core" "$@"; else exec "$@"; fi
}
offer() {  # name, core, what it sells
  local name=$1 core=$2 key
  shift 2
  # A second server of one user has a key of its own, and an admin lets it in.
  key=$("$build/bin/slotctl" keys create server --role provider --keys "$place/keys-$name" | sed -n 's/^public key *//p')
  "$build/bin/slotctl" keys trust "$key" --role provider --name "$name" >/dev/null
  # From this it puts up a bond: receipts count no further than somebody has something to lose.
  "$build/bin/slotctl" deposit "$key" 10 >/dev/null
  start "$name" 2 on_core "$core" "$build/bin/gpu-server" --market "$ACCELMESH_MARKET" --keys "$place/keys-$name" \
    --state "$place/state-$name" --server-name "$name" --listen tcp://127.0.0.1:0 --listen "shm://demo-$$-$name" --backend cpu \
    --cpu-threads 1 --memory 1GiB "$@"
}
offer left 0 --price 2
offer right 1 --price 1 --sell-share 0.30
echo "demo: two gpu-servers, left and right, measure their devices and offer them; right lets 30 % of its own"
offered() { "$build/bin/slotctl" slots --json | grep -o '"state":"free"' | wc -l; }
for _ in $(seq 240); do
  [ "$(offered)" = 2 ] && break
  sleep 0.5
done
[ "$(offered)" = 2 ] || { tail -n 5 "$place"/*.errors >&2; echo "demo: the servers did not offer their slots" >&2; exit 1; }
printf '\n$ slotctl slots\n'
"$build/bin/slotctl" slots

# Half of what left does is more than right lets; a twentieth can be had of both.
speed=$("$build/bin/slotctl" slots --json | grep -o '"type":"fp32","operations_per_s":{"mean":[0-9.e+]*,"low":[0-9.e+]*' | head -n 1 | sed 's/.*"low"://')
part() { awk -v speed="$speed" -v part="$1" 'BEGIN { printf "%.9f", speed / 1e12 * part }'; }
ask() {  # TOPS, program
  printf '\n$ mesh-run --tops %s --dtype fp32 --memory 256MiB --max-price 3 --explain -- %s\n' "$1" "$build/apps/$2"
  "$build/bin/mesh-run" --tops "$1" --dtype fp32 --memory 256MiB --max-price 3 --explain --json "$place/explained" -- "$build/apps/$2"
  # The steps; what the calls cost was shown above.
  sed -n 's/^{"agent".*"steps":\[//p' "$place/explained" | grep -o '"stage":"[^"]*","text":"[^"]*"' |
    sed 's/^"stage":"\([^"]*\)","text":"\(.*\)"$/  \1: \2/'
  rm -f "$place/explained"
}
ask "$(part 0.5)" tiled_matmul
ask "$(part 0.05)" vector_add
printf '\ndemo: a resale: the seller has most of left, and sells up to a half of left for 2 credits an hour or more; the buyer finds\n'
printf '      too little free, and bids\n'
steps() { sed -n 's/^mesh-run: \(ask\|sell\|bid\|buy\|secure\): /  \1: /p' "$1"; }
wait_for() { for _ in $(seq 300); do grep -q "$2" "$1" && return; sleep 0.1; done; cat "$1" >&2; echo "demo: no \"$2\" in 30 s" >&2; exit 1; }
trade() {  # name, what is asked for, options: sets `program`; it goes on until it is told to end
  local name=$1 tops=$2
  shift 2
  printf '\n$ mesh-run --identity %s --tops %s --memory %s %s -- endless &\n' "$name" "$tops" "$1" "${*:2}"
  "$build/bin/mesh-run" --identity "$name" --tops "$tops" --memory "$@" --no-profile --explain -- "$build/apps/endless" loop 1 \
    >"$place/$name.out" 2>"$place/$name.err" &
  program=$!
  pids+=("$program")
  wait_for "$place/$name.out" READY
}
account() { "$build/bin/slotctl" account --identity "$1" | tail -n 1; }
for name in seller buyer; do "$build/bin/slotctl" keys create "$name" >/dev/null; done
trade seller "$(part 0.9)" 720MiB --ask 2 --sublet 50%
seller=$program
wait_for "$place/seller.err" 'is for sale'
steps "$place/seller.err"
printf '\n$ slotctl book\n'
"$build/bin/slotctl" book
before=$(account seller)
# More than is free of either: of the memory of right, of the speed of left.
trade buyer "$(part 0.47)" 320MiB --max-price 3
buyer=$program
steps "$place/buyer.err"
wait_for "$place/seller.err" 'mesh-run: sell'
printf '\ndemo: the seller runs on with what it has kept (process %s), and was paid\n' "$seller"
kill -0 "$seller"
steps "$place/seller.err" | grep 'sell:'
printf '  before %s\n  after  %s\n' "$before" "$(account seller)"
printf '\n$ slotctl leases --all\n'
"$build/bin/slotctl" leases --all
printf '\n$ slotctl epochs\n'
"$build/bin/slotctl" epochs
for pid in "$seller" "$buyer"; do
  kill "$pid"
  wait "$pid" 2>/dev/null || true
done
# A program signs for its lease at once, its server within seconds.
receipts() { "$build/bin/slotctl" receipts --all --json | grep -o '"state":"both"' | wc -l; }
for _ in $(seq 100); do
  [ "$(receipts)" -ge 2 ] && break
  sleep 0.1
done
[ "$(receipts)" -ge 2 ] || { "$build/bin/slotctl" receipts --all >&2; echo "demo: nobody signed for the leases that are over" >&2; exit 1; }
printf '\n$ slotctl receipts --all\n'
"$build/bin/slotctl" receipts --all
printf '\n$ slotctl reputation\n'
"$build/bin/slotctl" reputation
# Both programs have watched the ledger while they ran.
witness=$("$build/bin/slotctl" keys show buyer | sed -n 's/^as witness *//p')
printf '\n$ slotctl ledger verify market.sqlite-ledger --witness %s\n' "$witness"
"$build/bin/slotctl" ledger verify "$place/market.sqlite-ledger" --witness "$witness"
printf '\n$ slotctl accounts\n'
"$build/bin/slotctl" accounts
printf '\ndemo: done. README.md says what to try next.\n'
