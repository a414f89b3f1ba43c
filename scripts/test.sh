#!/usr/bin/env bash
# Sets up, builds and runs the tests, cheap tiers first; stops at the first tier that fails.
#
#   scripts/test.sh [--preset dev|release|asan|ubsan|tsan|gpu] [--full] [--no-setup]
#
#   --preset P   which build (default dev). Fuzzing (two minutes shared by all fuzzers) belongs to dev only.
#   --full       also clang-tidy over everything, random PTX (scripts/differential.py), the PTX of real compilers
#                (scripts/ptx-corpus) and 10 million executions of each fuzzer; results go to docs/results
#   --no-setup   do not look for missing packages
set -euo pipefail
cd "$(dirname "$0")/.."

preset=dev
full=
setup=1
usage() { sed -n '2,8s/^# \{0,1\}//p' scripts/test.sh; }
while [ $# -gt 0 ]; do
  case "$1" in
    --preset) preset=${2:?"--preset needs a name"}; shift 2 ;;
    --preset=*) preset=${1#*=}; shift ;;
    --full) full=1; shift ;;
    --no-setup) setup=; shift ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
jobs=$(nproc)
build=build/$preset
started=$SECONDS
step() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - started)); }

if [ -n "$setup" ]; then
  step setup
  scripts/setup.sh
fi
step "configure and build, preset $preset"
cmake --preset "$preset"
cmake --build "$build" -j "$jobs"

# One ctest run for each label; what has none of these labels runs last.
tiers=(golden unit conformance apps faults fuzz)
closing=()
passed=0
run_tier() {  # name, ctest's selection...
  local name=$1 log=$build/ctest-$1.log rc=0
  shift
  step "tier $name"
  ctest --test-dir "$build" --output-on-failure --no-tests=ignore -j "$jobs" "$@" 2>&1 | tee "$log" || rc=$?
  local line
  line=$(grep -E '^[0-9]+% tests passed' "$log" || echo "no tests")
  closing+=("$(printf '%-12s %s' "$name" "$line")")
  passed=$((passed + $(sed -nE 's/^[0-9]+% tests passed, .* out of ([0-9]+)$/\1/p' "$log" | grep . || echo 0)))
  if [ $rc != 0 ]; then
    printf '\n== tier %s failed; later tiers were not run (%d s)\n' "$name" $((SECONDS - started))
    printf '%s\n' "${closing[@]}"
    exit 1
  fi
}
for tier in "${tiers[@]}"; do
  if [ "$tier" = faults ]; then
    jobs=1 run_tier faults -L '^faults$'  # these kill processes and watch clocks
  else
    run_tier "$tier" -L "^$tier\$"
  fi
done
run_tier other -LE "^($(IFS='|'; echo "${tiers[*]}"))\$"

if [ "$preset" = dev ] || [ -n "$full" ]; then
  step "fuzzing"
  cmake --preset fuzz >/dev/null
  if [ -n "$full" ]; then
    scripts/fuzz.py --runs 10000000 --jobs "$jobs" --results docs/results
  else
    scripts/fuzz.py --seconds 120 --jobs "$jobs"
  fi
fi
if [ -n "$full" ]; then
  step "random PTX on the tiers and on the reference"
  cmake --preset dev >/dev/null
  scripts/differential.py --programs 100000 --on tier0 --jobs "$jobs" --results docs/results
  scripts/differential.py --programs 2000 --on tier1 --statements 8 --jobs "$jobs" --results docs/results
  step "PTX of real compilers"
  cmake --build build/dev -j "$jobs" --target ptx-check
  scripts/ptx-corpus --results docs/results
  step "clang-tidy"
  scripts/check_tidy.sh "$build"
fi

step "done, preset $preset"
printf '%s\n' "${closing[@]}"
printf '\n100%% tests passed, 0 tests failed out of %d\n\nTotal Test time (real) = %d.00 sec\n' "$passed" $((SECONDS - started))
if [ "$passed" = 0 ]; then
  echo "error: no test ran" >&2
  exit 1
fi
