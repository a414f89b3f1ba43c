#!/usr/bin/env bash
# All C, C++ and CUDA sources of ours are as clang-format-19 writes them (.clang-format).
#
#   scripts/check_format.sh         names the files that differ; exit 1 if any does
#   scripts/check_format.sh --fix   rewrites them
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -e .git ]; then
  list=(git ls-files -co --exclude-standard -- '*.h' '*.cpp' '*.c' '*.cu')
else
  list=(find . -path ./build -prune -o '(' -name '*.h' -o -name '*.cpp' -o -name '*.c' -o -name '*.cu' ')' -print)
fi
mapfile -t files < <("${list[@]}" | sort -u | while read -r file; do [ ! -f "$file" ] || echo "$file"; done)
[ ${#files[@]} -gt 0 ] || { echo "error: no sources found" >&2; exit 1; }
if [ "${1:-}" = --fix ]; then
  exec clang-format-19 -i --style=file "${files[@]}"
fi
fault=0
for file in "${files[@]}"; do
  if ! clang-format-19 --style=file "$file" | cmp -s - "$file"; then
    echo "$file: not formatted. Remedy: scripts/check_format.sh --fix" >&2
    fault=1
  fi
done
exit $fault
