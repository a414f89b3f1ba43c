#!/usr/bin/env bash
# Unpacks Debian's etcd-server and etcd-client into build/third_party/etcd, for tests of the registry. Nothing is installed and no service
# is started: installing the package would start one. The package comes through the machine's own apt sources, whose lists
# are read into build/ if the machine has none.
#
#   scripts/fetch_etcd.sh           unpack it unless it is there
#   scripts/fetch_etcd.sh --check   exit 1 unless it is there
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD/build/third_party/etcd
if [ -x "$root/usr/bin/etcd" ] && [ -x "$root/usr/bin/etcdctl" ] && [ -f "$root/.stamp" ]; then
  exit 0
fi
if [ "${1:-}" = --check ]; then
  echo "missing: Debian's etcd-server and etcd-client in build/third_party/etcd (scripts/fetch_etcd.sh unpacks it)" >&2
  exit 1
fi

work=$PWD/build/third_party/etcd-work
rm -rf "$work" "$root"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/package"
cd "$work/package"
if ! apt-get download -q -o APT::Sandbox::User=root etcd-server etcd-client >"$work/apt.log" 2>&1; then
  apt=(apt-get -q -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o Acquire::Retries=3)
  "${apt[@]}" update >>"$work/apt.log" 2>&1 || true  # a third-party list may fail; Debian's decides below
  "${apt[@]}" download etcd-server etcd-client >>"$work/apt.log" 2>&1 || {
    tail -20 "$work/apt.log" >&2
    echo "error: apt has no packages etcd-server and etcd-client; add a Debian 12 mirror to the machine's apt sources and run this again" >&2
    exit 1
  }
fi
for package in *.deb; do dpkg -x "$package" "$root"; done
"$root/usr/bin/etcd" --version | sed -n 1p
touch "$root/.stamp"
rm -rf "$work"
echo "etcd: ready in build/third_party/etcd"
