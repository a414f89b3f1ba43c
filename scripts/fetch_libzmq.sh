#!/usr/bin/env bash
# Builds the private libzmq of the preload's zmq plugin into build/third_party/zmq: static, PIC, hidden, with libsodium and
# without gssapi, pgm, norm. Debian's own libzmq.a is not PIC, and a shared one would clash with the libzmq of the program
# that the plugin is loaded into. The source is Debian's package, found through the machine's own apt sources; the system's
# package lists are not touched and nothing is installed.
#
#   scripts/fetch_libzmq.sh           build it unless it is there
#   scripts/fetch_libzmq.sh --check   exit 1 unless it is there
set -euo pipefail
cd "$(dirname "$0")/.."

version=4.3.4
# Of zeromq3_4.3.4.orig.tar.gz: apt checks the signature, this pins the bytes.
orig_sha256=0ff5a531c9ffaf0dfdc7dc78d13d1383088f454896d252934c429b2554d10559
root=$PWD/build/third_party
prefix=$root/zmq
stamp=$prefix/.stamp
# The recipe is this file: a change of it builds anew.
recipe=$(sha256sum scripts/fetch_libzmq.sh | cut -d' ' -f1)

if [ -f "$prefix/lib/libzmq.a" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$recipe" ]; then
  exit 0
fi
if [ "${1:-}" = --check ]; then
  echo "missing: private libzmq $version in build/third_party/zmq (scripts/fetch_libzmq.sh builds it)" >&2
  exit 1
fi

work=$root/zmq-work
rm -rf "$work" "$prefix"
mkdir -p "$work/parts" "$work/lists/partial" "$work/cache/archives/partial" "$work/source"

# A deb-src twin of every Debian source that the machine has, in both notations. Options in brackets are kept.
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [ -f "$list" ] || continue
  sed -nE 's/^[[:space:]]*deb(-src)?[[:space:]]+(.*)$/deb-src \2/p' "$list" | sort -u >"$work/parts/$(basename "$list" .list).list"
done
for list in /etc/apt/sources.list.d/*.sources; do
  [ -f "$list" ] || continue
  sed -E 's/^Types:.*/Types: deb-src/' "$list" >"$work/parts/$(basename "$list")"
done

apt=(apt-get -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/parts" -o "Dir::State::lists=$work/lists"
     -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o Acquire::Retries=3 -q)
echo "private libzmq: reading the source lists of this machine's apt sources"
"${apt[@]}" update >"$work/apt.log" 2>&1 || true  # a third-party list without sources may fail; Debian's decides below
if ! (cd "$work/source" && "${apt[@]}" source --download-only zeromq3) >>"$work/apt.log" 2>&1; then
  tail -20 "$work/apt.log" >&2
  echo "error: apt has no source package zeromq3; add a Debian 12 mirror to the machine's apt sources and run this again" >&2
  exit 1
fi
cd "$work/source"
echo "$orig_sha256  zeromq3_$version.orig.tar.gz" | sha256sum --check --quiet - || {
  echo "error: the source of zeromq3 is not the pinned $version; this script must be reviewed before another one is built" >&2
  exit 1
}
dpkg-source --no-check -x zeromq3_*.dsc tree >>"$work/apt.log" 2>&1

sodium=$(find /usr/lib -name libsodium.a -print -quit)
[ -n "$sodium" ] || { echo "error: libsodium.a is missing; install libsodium-dev (scripts/setup.sh does)" >&2; exit 1; }
echo "private libzmq: building $version"
# ZMQ_STATIC empties libzmq's export attribute, so that visibility=hidden holds for its C functions as well.
cmake -S tree -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=gcc-12 -DCMAKE_CXX_COMPILER=g++-12 \
  -DCMAKE_POLICY_DEFAULT_CMP0063=NEW -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_CXX_VISIBILITY_PRESET=hidden \
  -DCMAKE_C_VISIBILITY_PRESET=hidden -DCMAKE_VISIBILITY_INLINES_HIDDEN=ON "-DCMAKE_CXX_FLAGS=-DZMQ_STATIC -w" \
  -DCMAKE_C_FLAGS=-w -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DBUILD_SHARED=OFF -DBUILD_STATIC=ON \
  -DBUILD_TESTS=OFF -DWITH_PERF_TOOL=OFF -DENABLE_CPACK=OFF -DWITH_DOCS=OFF -DWITH_OPENPGM=OFF -DWITH_NORM=OFF \
  -DWITH_VMCI=OFF -DWITH_LIBBSD=OFF -DWITH_TLS=OFF -DENABLE_WS=OFF -DENABLE_CURVE=ON -DWITH_LIBSODIUM=ON \
  -DENABLE_NO_EXPORT=ON -DENABLE_DRAFTS=OFF -DSODIUM_LIBRARIES="$sodium" >"$work/build.log" 2>&1 || {
  tail -30 "$work/build.log" >&2; exit 1; }
grep -qE 'ZMQ_HAVE_CURVE 1|ZMQ_USE_LIBSODIUM' build/platform.hpp || { echo "error: libzmq was configured without CURVE" >&2; exit 1; }
if grep -qE '^#define HAVE_LIBGSSAPI|^#define ZMQ_HAVE_(OPENPGM|NORM|VMCI)' build/platform.hpp; then
  echo "error: libzmq was configured with a transport that the plugin must not carry" >&2; exit 1
fi
cmake --build build >>"$work/build.log" 2>&1 || { tail -30 "$work/build.log" >&2; exit 1; }
mkdir -p "$prefix/lib" "$prefix/include"
cp build/lib/libzmq.a "$prefix/lib/"
cp "$sodium" "$prefix/lib/libsodium.a"
cp tree/include/zmq.h tree/include/zmq_utils.h "$prefix/include/"
cp tree/COPYING.LESSER "$prefix/" 2>/dev/null || true
echo "$recipe" >"$stamp"
rm -rf "$work"
echo "private libzmq: ready in build/third_party/zmq"
