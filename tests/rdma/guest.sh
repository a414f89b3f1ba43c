#!/bin/sh
# The first process of the virtual machine: brings up a Soft-RoCE device, runs the cases, says on the second serial port how many
# failed, and stops the machine. What the kernel's command line says is in the environment: guest_address (10.77.0.1), guest_card
# (a dummy of its own), guest_peer (nobody), guest_cases (/cases.sh).
export PATH=/usr/sbin:/bin:/usr/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mkdir -p /dev/shm /tmp/home
mount -t tmpfs tmpfs /dev/shm
export HOME=/tmp/home XDG_RUNTIME_DIR=/tmp

stop() {
  echo "$1" >/dev/ttyS1
  reboot -f
  sleep 60
}
broken() {
  echo "error: $1"
  stop broken
}

while read -r module; do insmod "/modules/$module" || broken "cannot load $module"; done </modules.order
# Busybox has an ip of its own, which it would take.
/usr/sbin/ip link set lo up
card=${guest_card:-d0} address=${guest_address:-10.77.0.1}
[ "$card" != d0 ] || /usr/sbin/ip link add d0 type dummy || broken "no dummy device"
/usr/sbin/ip address add "$address/24" dev "$card" || broken "no card $card"
/usr/sbin/ip link set "$card" up
/usr/sbin/rdma link add rxe0 type rxe netdev "$card" || broken "no Soft-RoCE device"
# The device learns its addresses by and by.
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  grep -q "0a4d:000${address##*.}" /sys/class/infiniband/rxe0/ports/1/gids/* && break
  sleep 0.2
done
ulimit -l unlimited
export ACCELMESH_TEST_RDMA=$address
[ -z "$guest_peer" ] || export ACCELMESH_TEST_RDMA_PEER=$guest_peer

failed=0
run() { # name seconds command...
  name=$1 seconds=$2
  shift 2
  echo "== $name ($(cut -d. -f1 /proc/uptime) s)"
  timeout -k 2 -s TERM "$seconds" "$@" </dev/null
  rc=$?
  if [ $rc = 0 ]; then
    echo "ok: $name"
  else
    echo "FAILED: $name (exit $rc; 143 is too late)"
    failed=$((failed + 1))
  fi
}
. "${guest_cases:-/cases.sh}"
echo "== $failed failed ($(cut -d. -f1 /proc/uptime) s)"
stop $failed
