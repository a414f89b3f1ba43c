#!/usr/bin/env bash
# Everything that a build of AccelMesh needs on Debian 12: Debian's packages, a CUDA 13 toolkit, the private libzmq.
# Safe to run again; a second run takes a second. Installs no service.
#
#   scripts/setup.sh           install what is missing
#   scripts/setup.sh --check   only say what is missing; exit 1 if anything is
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  # compilers and tools
  g++-12 gcc-12 libc6-dev cmake ninja-build ccache pkg-config git ca-certificates dpkg-dev binutils valgrind xz-utils file procps
  clang-19 libclang-rt-19-dev clang-tidy-19 clang-format-19 llvm-19-dev
  # the generator
  python3 python3-pip python3-venv python3-clang-19 libclang-19-dev libgl-dev libvdpau-dev
  # libraries
  libzmq3-dev cppzmq-dev libflatbuffers-dev flatbuffers-compiler libspdlog-dev libcli11-dev libzstd-dev liblz4-dev
  libsodium-dev libssl-dev libipsec-mb-dev libopenblas-dev libdnnl-dev liblzma-dev nlohmann-json3-dev
  # the market's registry
  libsqlite3-dev zlib1g-dev libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
  # the ledger's and reputation's arithmetic; the simulator's baselines as linear and integer programs
  libboost-dev coinor-libclp-dev coinor-libcbc-dev
  # RDMA, and the virtual machine that tests it
  libibverbs-dev librdmacm-dev ibverbs-providers perftest qemu-system-x86 busybox-static zstd kmod iproute2
  # pictures of plots
  librsvg2-bin
  # metrics of the daemons
  prometheus-cpp-dev
  # tests
  libgtest-dev libgmock-dev libbenchmark-dev
)

check=
case "${1:-}" in
  "") ;;
  --check) check=1 ;;
  *) sed -n '2,7s/^# \{0,1\}//p' scripts/setup.sh; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
  # shellcheck disable=SC2016
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done

if [ -n "$check" ]; then
  fault=0
  for package in ${missing[@]+"${missing[@]}"}; do echo "missing: Debian package $package" >&2; fault=1; done
  scripts/fetch_toolkit.sh --check || fault=1
  scripts/fetch_libzmq.sh --check || fault=1
  scripts/fetch_etcd.sh --check || fault=1
  scripts/fetch_prometheus.sh --check || fault=1
  scripts/fetch_kernel.sh --check || fault=1
  [ $fault = 0 ] && echo "setup: nothing is missing"
  exit $fault
fi

if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "error: not root and no sudo; install these as root: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  echo "setup: installing ${missing[*]}"
  ${as_root[@]+"${as_root[@]}"} apt-get update -q
  ${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
fi
scripts/fetch_toolkit.sh
scripts/fetch_libzmq.sh
scripts/fetch_etcd.sh
scripts/fetch_prometheus.sh
# Without it everything builds and runs; the test that boots it is skipped, aloud.
scripts/fetch_kernel.sh || echo "warning: no kernel for tests/rdma; rdma_machine will be skipped" >&2
echo "setup: done"
