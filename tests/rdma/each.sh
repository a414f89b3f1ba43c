#!/bin/sh
# Runs a GoogleTest program's tests in a process each: children that are forked must not inherit open verbs.
#
#   each.sh COUNT PROGRAM ARGUMENT...
count=$1
shift
failed=0
i=0
while [ $i -lt "$count" ]; do
  GTEST_TOTAL_SHARDS=$count GTEST_SHARD_INDEX=$i "$@" --gtest_brief=1 || failed=1
  i=$((i + 1))
done
exit $failed
