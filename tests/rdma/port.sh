#!/bin/sh
# The port goes down under a session, which ends; it comes up again, and the next session connects.
#
#   port.sh DEVICE_TEST
"$1" --gtest_brief=1 --gtest_filter='RdmaDevicePort.*' || exit 1
/usr/sbin/ip link set d0 up
# Its queue pair of the connection manager has failed for good meanwhile; a card's has not.
/usr/sbin/rdma link delete rxe0
/usr/sbin/rdma link add rxe0 type rxe netdev d0
sleep 1
"$1" --gtest_brief=1 --gtest_filter='RdmaDevice.Counts*'
