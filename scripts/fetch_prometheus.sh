#!/usr/bin/env bash
# Unpacks Debian's prometheus into build/third_party/prometheus, for the test that scrapes our daemons with it. Nothing is
# installed and no service is started: installing the package would start one. The package comes through the machine's own
# apt sources, whose lists are read into build/ if the machine has none.
#
#   scripts/fetch_prometheus.sh           unpack it unless it is there
#   scripts/fetch_prometheus.sh --check   exit 1 unless it is there
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD/build/third_party/prometheus
if [ -x "$root/usr/bin/prometheus" ] && [ -f "$root/.stamp" ]; then
  exit 0
fi
if [ "${1:-}" = --check ]; then
  echo "missing: Debian's prometheus in build/third_party/prometheus (scripts/fetch_prometheus.sh unpacks it)" >&2
  exit 1
fi

work=$PWD/build/third_party/prometheus-work
rm -rf "$work" "$root"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/package"
cd "$work/package"
if ! apt-get download -q -o APT::Sandbox::User=root prometheus >"$work/apt.log" 2>&1; then
  apt=(apt-get -q -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o Acquire::Retries=3)
  "${apt[@]}" update >>"$work/apt.log" 2>&1 || true  # a third-party list may fail; Debian's decides below
  "${apt[@]}" download prometheus >>"$work/apt.log" 2>&1 || {
    tail -20 "$work/apt.log" >&2
    echo "error: apt has no package prometheus; add a Debian 12 mirror to the machine's apt sources and run this again" >&2
    exit 1
  }
fi
dpkg -x prometheus_*.deb "$root"
"$root/usr/bin/prometheus" --version | sed -n 1p
touch "$root/.stamp"
rm -rf "$work"
echo "prometheus: ready in build/third_party/prometheus"
