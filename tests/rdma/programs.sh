#!/bin/sh
# Unmodified programs on a gpu-server over rdma.
#
#   programs.sh GPU_SERVER MESH_RUN PROGRAM...
set -u
server=$1 run=$2
shift 2
url=rdma://10.77.0.1:7700
"$server" --listen $url --backend cpu --jit off --standalone >/tmp/server.out 2>/tmp/server.log &
pid=$!
for i in $(seq 1 100); do
  grep -q ready /tmp/server.out && break
  sleep 0.2
done
failed=0
for program in "$@"; do
  if timeout -k 2 60 "$run" --server $url -- "$program" >/tmp/out 2>&1 && grep -q PASSED /tmp/out; then
    echo "passed: ${program##*/}"
  else
    echo "FAILED: ${program##*/}"
    tail -20 /tmp/out
    failed=1
  fi
done
kill $pid
wait $pid
rc=$?
if [ $rc != 0 ]; then echo "gpu-server ended with $rc"; failed=1; fi
if grep -E '\[error\]|\[critical\]' /tmp/server.log; then failed=1; fi
[ $failed = 0 ] || tail -20 /tmp/server.log
exit $failed
