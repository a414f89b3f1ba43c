#!/usr/bin/env python3
"""Boots two virtual machines that are joined by a cable, each with an RDMA device, and ends one of them under a session.

    pair.py [--kernel FOLDER] [--timeout SECONDS] [--keep FOLDER] [--file FILE]... TEST

TEST is rdma_device_test. One machine runs RdmaPair.Serves, the other RdmaPairClient.*, which says when this one is to pull
the plug, and when to start that machine again. Exit: as machine.py's.
"""
import argparse
import os
import sys
import tempfile
import time

import machine

# What the client's machine says, and what is done then.
END, START = "END THE OTHER MACHINE", "START THE OTHER MACHINE"
SERVER, CLIENT = "10.77.0.1", "10.77.0.2"


def start(name, arguments, tools, work):
    is_server = name == "server"
    # The client's machine outlives the other, so the cable's socket is its.
    role = "off" if is_server else "on"
    devices = ("-netdev", f"stream,id=n0,server={role},addr.type=unix,addr.path={work}/cable",
               "-device", f"virtio-net-pci,netdev=n0,mac=52:54:00:00:00:0{1 if is_server else 2},host_mtu=4200")
    words = [f"guest_card=eth0 guest_address={SERVER if is_server else CLIENT} guest_peer={CLIENT if is_server else SERVER}",
             f"guest_cases=/{name}.sh"]
    return machine.Machine(name, arguments.kernel, tools, os.path.join(work, "initramfs.zst"), work, processors=1, memory=768,
                           devices=devices, words=words)


def watch(client, server, arguments, tools, work):
    """Does what the client's machine asks for, until it ends or the time is over; the server that runs then."""
    deadline = time.monotonic() + arguments.timeout
    is_ended = is_started = False
    while client.process.poll() is None and time.monotonic() < deadline:
        said = client.said()
        if END in said and not is_ended:
            is_ended = True
            server.end()
        if START in said and not is_started:
            is_started = True
            server = start("server", arguments, tools, work)
        time.sleep(0.05)
    if client.process.poll() is None:
        print(f"error: the machines ran for {arguments.timeout} s and were ended", file=sys.stderr)
    elif not is_ended or not is_started:
        print("error: the client's machine never asked for the other's end", file=sys.stderr)
    return server


def boot(arguments, tools, work):
    arguments.cases, arguments.program, arguments.slower = [], [], 1
    archive = machine.build_archive(arguments, tools, work)
    seconds = arguments.timeout
    machine.add_cases(archive, "/server.sh", [f"serve:{seconds}:{arguments.test} --gtest_filter=RdmaPair.Serves"])
    machine.add_cases(archive, "/client.sh", [f"client:{seconds}:{arguments.test} --gtest_brief=1 --gtest_filter=RdmaPairClient.*"])
    if not machine.write_image(archive, os.path.join(work, "initramfs.zst")):
        print("error: zstd failed", file=sys.stderr)
        return 1
    client = start("client", arguments, tools, work)
    while not os.path.exists(os.path.join(work, "cable")) and client.process.poll() is None:
        time.sleep(0.05)
    server = start("server", arguments, tools, work)
    try:
        server = watch(client, server, arguments, tools, work)
    finally:
        server.end()
        client.end()
    print(client.said(), flush=True)
    if client.failures() != "0":
        print("FAILED: two machines on Soft-RoCE; the server's said:\n" + server.said(), flush=True)
        return 1
    print("PASSED: two machines on Soft-RoCE", flush=True)
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default=machine.KERNEL)
    parser.add_argument("--timeout", type=int, default=150)
    parser.add_argument("--file", action="append", default=[], help="a program or library that is opened by name")
    parser.add_argument("--keep", help="a folder for the image and the consoles' logs")
    parser.add_argument("test")
    arguments = parser.parse_args()
    arguments.test = os.path.abspath(arguments.test)
    tools = machine.tools_of_this_machine(arguments.kernel)
    if not os.path.exists(os.path.join(arguments.kernel, "modules/virtio_net.ko")):
        machine.skip("the kernel that was unpacked has no virtio_net; scripts/fetch_kernel.sh unpacks it anew")
    if arguments.keep:
        os.makedirs(arguments.keep, exist_ok=True)
        return boot(arguments, tools, os.path.abspath(arguments.keep))
    with tempfile.TemporaryDirectory(prefix="accelmesh-rdma-") as work:
        return boot(arguments, tools, work)


if __name__ == "__main__":
    sys.exit(main())
