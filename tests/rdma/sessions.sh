#!/bin/sh
# Whole sessions, the client core and the executor, over rdma: the conformance suite of sessions. A test forks its server, and open
# verbs are not for a child, so that each test is a process.
#
#   sessions.sh rdma|rdma_cuda TEST_PROGRAM...
setting=$1
shift
failed=0
for program in "$@"; do
  count=0
  for test in $("$program" --gtest_list_tests --gtest_filter="*/$setting" | sed -n -e 's/^\([^ ].*\.\)$/\1/p' -e 's/^  \([^ ]*\).*/-\1/p'); do
    case $test in
      -*) ;;
      *) suite=$test; continue ;;
    esac
    count=$((count + 1))
    if ! "$program" --gtest_brief=1 --gtest_filter="$suite${test#-}" >/tmp/session 2>&1 || ! grep -q ' 1 test from' /tmp/session; then
      echo "FAILED: ${program##*/} $suite${test#-}"
      tail -20 /tmp/session
      failed=1
    fi
  done
  echo "${program##*/}: $count tests"
  [ $count != 0 ] || failed=1
done
exit $failed
