#!/bin/sh
# Sessions over rdma whose other end is killed: the program hears of it, the server is rid of it, and the next session works.
#
#   faults.sh GPU_SERVER MESH_RUN ENDLESS PROGRAM
server=$1 run=$2 endless=$3 program=$4
url=rdma://10.77.0.1:7701
"$server" --listen $url --backend cpu --jit off --standalone --verbose >/tmp/faults.out 2>/tmp/faults.log &
pid=$!
fail() {
  echo "FAILED: $1"
  tail -20 /tmp/faults.log /tmp/program
  kill $pid
  exit 1
}
wait_for() { # tenths text file
  i=0
  until grep -q "$2" "$3"; do
    i=$((i + 1))
    [ $i -gt "$1" ] && return 1
    sleep 0.1
  done
}
start_endless() {
  "$run" --server $url -- "$endless" loop 1 >/tmp/program 2>&1 &
  client=$!
  wait_for 200 READY /tmp/program || fail "the program did not begin"
}
next_works() {
  timeout -k 2 30 "$run" --server $url -- "$program" >/tmp/program 2>&1 && grep -q PASSED /tmp/program || fail "the next session after $1"
}
wait_for 100 ready /tmp/faults.out || fail "the server did not start"

start_endless
for status in /proc/[0-9]*/status; do
  grep -q "^PPid:[[:space:]]*$pid\$" "$status" 2>/dev/null && kill -9 "$(grep '^Pid:' "$status" | grep -o '[0-9]*')"
done
wait_for 20 ENDED /tmp/program || fail "the program did not hear within two seconds that its worker was killed"
wait $client
[ $? = 3 ] || fail "the program did not end by its error"
echo "passed: a killed worker ends the program's session: $(grep ENDED /tmp/program)"
next_works "a killed worker"

start_endless
for comm in /proc/[0-9]*/comm; do
  [ "$(cat "$comm" 2>/dev/null)" = endless ] && kill -9 "$(echo "$comm" | cut -d/ -f3)"
done
wait $client
wait_for 30 "session 3 has ended" /tmp/faults.log || fail "the server did not notice within three seconds that its client was killed"
echo "passed: a killed program ends its session"
next_works "a killed program"
kill $pid
wait $pid
