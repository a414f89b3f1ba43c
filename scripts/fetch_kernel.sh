#!/usr/bin/env bash
# Unpacks what tests/rdma boots from Debian's kernel package into build/third_party/kernel: the kernel and the modules of
# Soft-RoCE and of the network card that two of them are joined by, in the order in which they are loaded. Nothing is installed and /boot is not touched. The package comes through the
# machine's own apt sources, whose lists are read into build/ if the machine has none.
#
#   scripts/fetch_kernel.sh           unpack it unless it is there
#   scripts/fetch_kernel.sh --check   exit 1 unless it is there
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD/build/third_party/kernel
# The recipe is this file: a change of it unpacks anew.
recipe=$(sha256sum scripts/fetch_kernel.sh | cut -d' ' -f1)
if [ -f "$root/vmlinuz" ] && [ "$(cat "$root/.stamp" 2>/dev/null)" = "$recipe" ]; then
  exit 0
fi
if [ "${1:-}" = --check ]; then
  echo "missing: Debian's kernel in build/third_party/kernel (scripts/fetch_kernel.sh unpacks it)" >&2
  exit 1
fi
for tool in depmod modprobe; do
  PATH=$PATH:/sbin:/usr/sbin command -v $tool >/dev/null || { echo "error: $tool is missing; install kmod (scripts/setup.sh does)" >&2; exit 1; }
done
PATH=$PATH:/sbin:/usr/sbin

work=$PWD/build/third_party/kernel-work
rm -rf "$work" "$root"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/package" "$work/tree"
cd "$work/package"
apt=(apt-get -q -o APT::Sandbox::User=root)
cache=(apt-cache)
# The package that Debian's metapackage stands for; the cloud flavour has no rdma_rxe.
newest() { "${cache[@]}" depends linux-image-amd64 2>/dev/null | sed -nE 's/.*Depends: (linux-image-[0-9].*)/\1/p' | head -1; }
package=$(newest)
if [ -z "$package" ] || ! "${apt[@]}" download "$package" >"$work/apt.log" 2>&1; then
  apt=(apt-get -q -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o Acquire::Retries=3)
  cache=(apt-cache -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache")
  "${apt[@]}" update >>"$work/apt.log" 2>&1 || true  # a third-party list may fail; Debian's decides below
  package=$(newest)
  if [ -z "$package" ] || ! "${apt[@]}" download "$package" >>"$work/apt.log" 2>&1; then
    tail -20 "$work/apt.log" >&2
    echo "error: apt has no package linux-image-amd64; add a Debian 12 mirror to the machine's apt sources and run this again" >&2
    exit 1
  fi
fi
dpkg -x "$package"_*.deb "$work/tree"
version=${package#linux-image-}
depmod -b "$work/tree" "$version"
mkdir -p "$root/modules"
# rxe needs the checksum; without it it says "failed to init crc32 algorithm".
for module in crc32_generic ib_uverbs rdma_ucm rdma_rxe dummy virtio_pci virtio_net; do
  modprobe -d "$work/tree" -S "$version" --show-depends "$module" | sed -nE 's/^insmod ([^ ]+).*/\1/p'
done | awk '!seen[$0]++' | while read -r file; do
  cp "$file" "$root/modules/"
  basename "$file" >>"$root/modules.order"
done
grep -q '^rdma_rxe.ko' "$root/modules.order" || { echo "error: $package has no rdma_rxe" >&2; exit 1; }
cp "$work/tree/boot/vmlinuz-$version" "$root/vmlinuz"
echo "$version" >"$root/version"
echo "$recipe" >"$root/.stamp"
rm -rf "$work"
echo "kernel: $version ready in build/third_party/kernel"
