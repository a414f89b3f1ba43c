#!/usr/bin/env bash
# clang-tidy (.clang-tidy: names, bug-prone constructs) over every source of ours in a built preset. Part of --full.
#
#   scripts/check_tidy.sh [build folder, default build/dev] [path part: only files that contain it]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/dev}
only=${2:-}
[ -f "$build/compile_commands.json" ] || { echo "error: $build is not configured; run scripts/test.sh" >&2; exit 1; }
mapfile -t files < <(/usr/bin/python3 - "$build" "$only" <<'PY'
import json, os, sys
build, only = sys.argv[1:3]
root = os.getcwd()
for entry in json.load(open(os.path.join(build, "compile_commands.json"))):
    path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), root)
    if not path.startswith(("build/", "..")) and path.endswith((".cpp", ".c")) and only in path:
        print(path)
PY
)
[ ${#files[@]} -gt 0 ] || { echo "error: no source matches" >&2; exit 1; }
printf '%s\0' "${files[@]}" | sort -zu | xargs -0 -P "$(nproc)" -n 1 clang-tidy-19 -p "$build" --quiet --warnings-as-errors='*' \
  --extra-arg=-Wno-unknown-warning-option --extra-arg=-Wthread-safety
echo "clang-tidy: ${#files[@]} files are clean"
