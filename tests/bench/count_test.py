#!/usr/bin/env python3
"""Guards the hot paths by instructions: callgrind counts what one operation costs on the client (inside the CUDA entry
points that the program calls) and on the server (inside Session::HandleFrame), over shm with the null backend.

    count_test.py --gpu-server PATH --mesh-run PATH --client bench_client --baseline counts.json [--rewrite]

Each mode runs twice with different counts of operations; the difference, divided, is the cost of one, so that set-up
does not count. It fails if a cost is more than TOLERANCE above the baseline, and if it is below LEAST of it: then the
functions whose instructions count have other names now, rather than a better life. A change that makes a path dearer for
a reason, or cheaper for good, is committed with --rewrite. Exit: 0 within bounds, 1 not, 2 usage, 77 skipped.
"""
import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
TOLERANCE = 0.10
LEAST = 0.5
FEW, MANY = 200, 3200
READY_TIMEOUT_S = 60
RUN_TIMEOUT_S = 120
STOP_TIMEOUT_S = 20

LAUNCH = ["__cudaPushCallConfiguration", "__cudaPopCallConfiguration", "__cudaLaunchKernel", "cudaLaunchKernel"]
# Of a call, what is done once: sending it, and taking its reply. In between the client spins, for as long as it lasts.
CALL = ["accelmesh::CommandStream::Append(*", "accelmesh::CommandStream::OnFrame(*"]
# Mode of bench_client: the functions whose instructions count. What ends a round (a wait) is not among them.
MODES = {
    "launches": LAUNCH,
    "mallocs": ["cudaMalloc", "cudaFree"],
    "events": ["cudaEventRecord"],
    "call": CALL,
}
SERVER = ["accelmesh::Session::HandleFrame*"]


class CannotCount(Exception):
    pass


def callgrind(folder, side, functions):
    command = ["valgrind", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={folder}/{side}.%p",
               f"--log-file={folder}/{side}.%p.log"]
    return command + [f"--toggle-collect={name}" for name in functions]


def total(folder, side):
    """Instructions of all processes of one side."""
    found = 0
    for name in os.listdir(folder):
        if not re.fullmatch(rf"{side}\.\d+", name):
            continue
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            match = re.search(r"^(?:totals|summary): (\d+)", file.read(), re.MULTILINE)
        found += int(match.group(1)) if match else 0
    return found


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise CannotCount(f"{what} within {seconds} s")
        time.sleep(0.02)


def run(arguments, mode, count):
    """One run of bench_client; returns (instructions on the client, on the server)."""
    folder = tempfile.mkdtemp(prefix="count-test-")
    server = None
    try:
        log = os.path.join(folder, "server.out")
        with open(log, "wb") as out:
            server = subprocess.Popen(
                callgrind(folder, "server", SERVER) +
                [arguments.gpu_server, "--listen", f"shm://count-test-{os.getpid()}", "--backend", "null", "--standalone"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)

        def ready():
            if server.poll() is not None:
                raise CannotCount("gpu-server under valgrind ended: " + open(log, encoding="utf-8", errors="replace").read())
            return b"ready " in open(log, "rb").read()

        wait_until(ready, READY_TIMEOUT_S, "gpu-server under valgrind is not ready")
        # Waits of the client may be as long as an emulated server needs.
        client = subprocess.run(
            [arguments.mesh_run, "--server", f"shm://count-test-{os.getpid()}", "--"] +
            callgrind(folder, "client", MODES[mode]) + [arguments.client, mode, str(count), "0"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=RUN_TIMEOUT_S, check=False)
        if client.returncode != 0:
            raise CannotCount(f"bench_client {mode} ended with status {client.returncode}: "
                              f"{(client.stdout + client.stderr).decode(errors='replace')}")
        # The worker writes its counts when it ends, after the client's goodbye.
        wait_until(lambda: total(folder, "server") > 0, STOP_TIMEOUT_S, "the worker's counts are not written")
        return total(folder, "client"), total(folder, "server")
    finally:
        if server is not None:
            try:
                os.killpg(server.pid, signal.SIGTERM)
                server.wait(STOP_TIMEOUT_S)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
            try:
                os.killpg(server.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def verdict(cost, baseline):
    """(whether the cost is within bounds, what to say)."""
    if cost <= 0:
        return False, "nothing was counted: the names of the functions to count no longer match (MODES, SERVER)"
    if baseline is None:
        return False, "no baseline; add it with --rewrite"
    if cost < baseline * LEAST:
        return False, "below half of the baseline: a function to count has another name now, or the path is much cheaper (--rewrite)"
    if cost > baseline * (1 + TOLERANCE):
        return False, "dearer"
    return True, "cheaper by much: tighten it with --rewrite" if cost < baseline * (1 - 2 * TOLERANCE) else ""


def count(arguments):
    costs = {}
    for mode in MODES:
        few = run(arguments, mode, FEW)
        many = run(arguments, mode, MANY)
        for side, low, high in zip(("client", "server"), few, many):
            costs[f"{mode}.{side}"] = round((high - low) / (MANY - FEW), 1)
    return costs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu-server", required=True)
    parser.add_argument("--mesh-run", required=True)
    parser.add_argument("--client", required=True)
    parser.add_argument("--baseline", required=True)
    parser.add_argument("--skip", metavar="REASON", help="skip, saying why (a sanitized build)")
    parser.add_argument("--rewrite", action="store_true", help="write what was counted as the new baseline")
    arguments = parser.parse_args()
    if arguments.skip:
        print("SKIPPED: " + arguments.skip)
        return SKIPPED
    if shutil.which("valgrind") is None:
        print("SKIPPED: valgrind is not installed; the instruction counts of the hot paths are not guarded here")
        return SKIPPED
    for path in (arguments.gpu_server, arguments.mesh_run, arguments.client):
        if not os.access(path, os.X_OK):
            print(f"SKIPPED: {path} was not built")
            return SKIPPED
    try:
        costs = count(arguments)
    except (CannotCount, subprocess.TimeoutExpired) as error:
        print(f"FAIL cannot count: {error}")
        return 1
    if arguments.rewrite and min(costs.values()) > 0:
        with open(arguments.baseline, "w", encoding="utf-8") as file:
            json.dump(costs, file, indent=2)
            file.write("\n")
        print(json.dumps(costs, indent=2))
        return 0
    with open(arguments.baseline, encoding="utf-8") as file:
        baseline = json.load(file)
    failed = False
    for name in sorted(set(baseline) - set(costs)):
        print(f"FAIL {name}: has a baseline and is not counted any more; remove it with --rewrite")
        failed = True
    for name, cost in costs.items():
        is_within, hint = verdict(cost, baseline.get(name))
        failed = failed or not is_within
        print(f"{'ok  ' if is_within else 'FAIL'} {name}: {cost:g} instructions an operation, baseline {baseline.get(name, 0):g}"
              f"{hint and '  (' + hint + ')'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
