#!/usr/bin/env python3
"""Runs unmodified programs on a gpu-server that it starts and stops, one transport a run.

    run_app.py --gpu-server PATH --mesh-run PATH --transport shm|tcp|ipc [options] program...
    run_app.py --native program...          on the device of this machine, without AccelMesh

A program passes if it exits 0 within the timeout and prints a line PASSED. The run fails, too, if the server cannot be
started or stopped, exits with anything but 0, logs a line of level error that --allow-error does not expect, carries a
sanitizer's report in its log, or leaves a worker process behind. Exit: 0 all passed, 1 something failed, 2 usage,
77 no programs were given (ctest: skipped).
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 5
WORKER_GRACE_S = 3
SKIPPED = 77
ERROR_LINE = re.compile(r"\[error\]|\[critical\]|\baccelmesh error:|==\d+==ERROR: |WARNING: ThreadSanitizer|: runtime error: ")


def process_table():
    """Live processes: {pid: (parent, session, start time)}. Zombies are dead."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if fields[0] not in "ZX":
            table[int(name)] = (int(fields[1]), int(fields[3]), fields[19])
    return table


def kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


class Server:
    """One gpu-server in a session of its own, so that its workers are found even after it is gone."""

    def __init__(self, arguments, folder):
        self.log_path = os.path.join(folder, "gpu-server.log")
        self.url = None
        self.stdout = []
        listen = {"tcp": "tcp://127.0.0.1:0", "ipc": f"ipc://{folder}/sock", "shm": f"shm://run-app-{os.getpid()}"}
        command = [arguments.gpu_server, "--listen", listen[arguments.transport], "--backend", arguments.backend, "--standalone"]
        command += arguments.server_arg
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                                            start_new_session=True)
        self.is_ready = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for raw in self.process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            self.stdout.append(line)
            if self.url is None and line.startswith("ready "):
                self.url = line.split(None, 1)[1].strip()
                self.is_ready.set()
        self.is_ready.set()  # it has ended: nobody need wait longer

    def wait_ready(self):
        if self.is_ready.wait(START_TIMEOUT_S) and self.url is None:
            # It has closed its stdout: its status comes a moment later.
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                pass
        return self.url is not None

    def alive(self):
        return self.process.poll() is None

    def stop(self):
        """Ends the server; returns what was wrong with its end, a line each."""
        faults = []
        if not self.alive():
            faults.append(f"gpu-server ended by itself, with status {self.process.returncode}")
        table = process_table()
        family = {self.process.pid}
        while True:
            children = {pid for pid, (parent, _, _) in table.items() if parent in family} - family
            if not children:
                break
            family |= children
        family.discard(self.process.pid)
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                status = self.process.wait(STOP_TIMEOUT_S)
                if status != 0:
                    faults.append(f"gpu-server exited with status {status} after SIGTERM")
            except subprocess.TimeoutExpired:
                faults.append(f"gpu-server ran on for {STOP_TIMEOUT_S} s after SIGTERM")
                self.process.kill()
                self.process.wait()
        deadline = time.monotonic() + WORKER_GRACE_S
        while True:
            now = process_table()
            left = [pid for pid, (_, session, start) in now.items()
                    if session == self.process.pid or (pid in family and start == table[pid][2])]
            if not left or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        for pid in left:
            faults.append(f"worker {pid} outlived its gpu-server")
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.reader.join(2)
        return faults

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()


def run_program(command, timeout_s):
    """Runs one program; returns (None or what was wrong, its output, seconds)."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    fault = None
    try:
        raw, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        kill_group(process.pid)
        raw, _ = process.communicate()
        fault = f"still running after {timeout_s:g} s"
    seconds = time.monotonic() - begin
    output = raw.decode(errors="replace")
    if fault is None and process.returncode != 0:
        code = process.returncode
        fault = f"ended by signal {-code}" if code < 0 else f"exit status {code}"
    if fault is None and "PASSED" not in output.splitlines():
        fault = "exit status 0, but no line PASSED"
    return fault, output, seconds


def run_all(arguments, prefix, is_alive):
    passed = failed = 0
    for program in arguments.programs:
        name = os.path.basename(program)
        if not is_alive():
            print(f"FAIL {name}: the gpu-server is gone")
            failed += 1
            continue
        fault, output, seconds = run_program(prefix + [os.path.abspath(program)], arguments.timeout)
        lines = output.splitlines()
        if fault is None:
            passed += 1
            said = next((line for line in lines if line.startswith(name + ":")), "")
            print(f"ok   {name} ({seconds:.2f} s) {said.partition(': ')[2]}".rstrip())
        else:
            failed += 1
            print(f"FAIL {name} ({seconds:.2f} s): {fault}")
            for line in lines[-40:]:
                print("     | " + line)
        sys.stdout.flush()
    return passed, failed


def run_remote(arguments, folder):
    try:
        server = Server(arguments, folder)
    except OSError as error:
        print(f"gpu-server does not start: {error}")
        return 0, len(arguments.programs), True
    passed = failed = 0
    faults = []
    try:
        if server.wait_ready():
            passed, failed = run_all(arguments, [arguments.mesh_run, "--server", server.url, "--"], server.alive)
        else:
            faults.append(f"gpu-server printed no line `ready URL` within {START_TIMEOUT_S} s")
            failed = len(arguments.programs)
    finally:
        faults += server.stop()
    log = server.log()
    expected = [re.compile(pattern) for pattern in arguments.allow_error]
    for line in log.splitlines():
        if ERROR_LINE.search(line) and not any(pattern.search(line) for pattern in expected):
            faults.append("gpu-server logged: " + line)
    for fault in faults:
        print("FAIL " + fault)
    if (faults or failed) and log:
        print("---- log of gpu-server")
        print("\n".join(log.splitlines()[-100:]))
        print("----")
    return passed, failed, bool(faults)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu-server", help="the gpu-server to start")
    parser.add_argument("--mesh-run", help="the mesh-run that starts the programs")
    parser.add_argument("--transport", choices=["shm", "tcp", "ipc"])
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--timeout", type=float, default=60, metavar="S", help="seconds for each program (default 60)")
    parser.add_argument("--allow-error", action="append", default=[], metavar="REGEX",
                        help="a line of level error that the server may log; repeatable")
    parser.add_argument("--server-arg", action="append", default=[], metavar="ARG",
                        help="a further argument for gpu-server, as --server-arg=--verbose; repeatable")
    parser.add_argument("--native", action="store_true", help="run the programs directly")
    parser.add_argument("programs", nargs="*", metavar="program")
    arguments = parser.parse_args()
    if not arguments.native and not (arguments.gpu_server and arguments.mesh_run and arguments.transport):
        parser.error("--gpu-server, --mesh-run and --transport are needed (or --native)")
    if not arguments.programs:
        print("skipped: no test programs were built (nvcc was not found)")
        return SKIPPED
    if arguments.native:
        passed, failed = run_all(arguments, [], lambda: True)
        broken = False
    else:
        folder = tempfile.mkdtemp(prefix="run-app-")
        try:
            passed, failed, broken = run_remote(arguments, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed" + (", and the server failed" if broken else ""))
    return 1 if failed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
