"""What the fault tests share: a gpu-server and programs that are started, watched and ended by pid, all with deadlines.

A test file calls main() with its test cases; the command line is `TEST.py --build FOLDER [--transport shm|tcp|ipc]`.
Nothing here outlives a test: every process is started in a session of its own and killed as a group at the end.
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

START_TIMEOUT_S = 20
# An application notices a dead peer at once; the rest is for a machine that is busy with other things.
NOTICE_TIMEOUT_S = 5
RUN_TIMEOUT_S = 40


class Options:
    build = ""
    sanitizer_runtime = ""  # what a preload must come after, if anything
    transport = "shm"


def app(name):
    return os.path.join(Options.build, "apps", name)


def binary(name):
    return os.path.join(Options.build, "bin", name)


def preloaded(library):
    """The LD_PRELOAD of somebody who preloads `library` by hand."""
    return f"{Options.sanitizer_runtime} {library}".strip()


def sanitized():
    """Whether this build's shim carries a sanitizer: then only programs built with the same one can run under it."""
    try:
        with open(os.path.join(Options.build, "CMakeCache.txt"), encoding="utf-8") as cache:
            return any(line.startswith("ACCELMESH_SANITIZE:") and line.rstrip().split("=", 1)[1] for line in cache)
    except OSError:
        return False


def need_plain_programs(test):
    if sanitized():
        test.skipTest("a sanitized shim runs only in programs with the same sanitizer")


def need(test, *paths):
    """Skips a test aloud if something that it needs was not built."""
    for path in paths:
        if not os.path.exists(path):
            test.skipTest(f"{path} was not built")


def end_group(process, *outputs):
    """Asks one process of ours to end, then ends whatever is left of its group; `outputs` are read to their end."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait(10)
    for output in outputs:
        output.reader.join(5)


def kill(process, number=signal.SIGKILL):
    """Ends one process of ours and waits for it."""
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        pass
    process.wait(10)


def children(parent):
    """Live children of a process: {pid: start time}. Zombies are dead."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue  # it ended meanwhile
        if fields[0] not in "ZX" and int(fields[1]) == parent:
            found[int(name)] = fields[19]
    return found


def wait_until(condition, timeout_s=NOTICE_TIMEOUT_S):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())


class Output:
    """A process's stream, read as it comes."""

    def __init__(self, stream):
        self.lines = []
        self.changed = threading.Condition()
        self.ended = False
        self.reader = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.reader.start()

    def _read(self, stream):
        with stream:
            for raw in stream:
                with self.changed:
                    self.lines.append(raw.decode(errors="replace").rstrip("\n"))
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait_for(self, predicate, timeout_s):
        """The first line that fits, or None."""
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while True:
                for line in self.lines:
                    if predicate(line):
                        return line
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    return None
                self.changed.wait(left)

    def text(self):
        with self.changed:
            return "\n".join(self.lines)


class Program:
    """A program under mesh-run (or any command), with its output and its end."""

    def __init__(self, command, environment=None, folder=None):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        start_new_session=True, cwd=folder, env={**os.environ, **(environment or {})})
        self.out = Output(self.process.stdout)
        self.err = Output(self.process.stderr)

    def ready(self):
        return self.out.wait_for(lambda line: line == "READY", START_TIMEOUT_S) is not None

    def ask(self):
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def wait(self, timeout_s=RUN_TIMEOUT_S):
        """Its status, or None if it still runs after the timeout."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        self.out.reader.join(5)
        self.err.reader.join(5)
        return status

    def end(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(10)
        self.process.stdin.close()
        self.out.reader.join(5)
        self.err.reader.join(5)

    def said(self):
        return f"stdout:\n{self.out.text()}\nstderr:\n{self.err.text()}"


class Server:
    """A gpu-server with the software GPU."""

    def __init__(self, *arguments):
        self.folder = tempfile.mkdtemp(prefix="faults-")
        listen = {"tcp": "tcp://127.0.0.1:0", "ipc": f"ipc://{self.folder}/sock",
                  "shm": f"shm://faults-{os.path.basename(self.folder)}"}[Options.transport]
        command = [binary("gpu-server"), "--listen", listen, "--backend", "cpu", "--verbose", *arguments]
        if "--warm-workers" not in arguments:
            command += ["--warm-workers", "1"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        start_new_session=True)
        self.out = Output(self.process.stdout)
        self.err = Output(self.process.stderr)
        ready = self.out.wait_for(lambda line: line.startswith("ready "), START_TIMEOUT_S)
        self.url = ready.split()[1] if ready else None

    def alive(self):
        return self.process.poll() is None

    def workers(self):
        return set(children(self.process.pid))

    def end(self):
        end_group(self.process, self.out, self.err)
        shutil.rmtree(self.folder, ignore_errors=True)


class FaultCase(unittest.TestCase):
    """A test that starts processes; they end with it."""

    def setUp(self):
        self.started = []

    def tearDown(self):
        for one in reversed(self.started):
            one.end()

    def serve(self, *arguments):
        server = Server(*arguments)
        self.started.append(server)
        self.assertIsNotNone(server.url, f"gpu-server did not start:\n{server.err.text()}")
        return server

    def start(self, server, name, *arguments, options=()):
        need(self, app(name))
        program = Program([binary("mesh-run"), "--server", server.url, *options, "--", app(name), *arguments])
        self.started.append(program)
        return program

    def run_command(self, *command, environment=None, folder=None):
        program = Program(list(command), environment, folder)
        self.started.append(program)
        self.assertIsNotNone(program.wait(), f"{command} still runs after {RUN_TIMEOUT_S} s\n{program.said()}")
        return program

    def run_app(self, server, name, *arguments):
        program = self.start(server, name, *arguments)
        self.assertIsNotNone(program.wait(), f"{name} still runs after {RUN_TIMEOUT_S} s\n{program.said()}")
        return program

    def assert_passes(self, server, name, *arguments):
        program = self.run_app(server, name, *arguments)
        self.assertEqual(program.process.returncode, 0, program.said())
        self.assertIn("PASSED", program.out.lines, program.said())
        return program

    def assert_one_line(self, output, *words):
        """Exactly one line of `output` has all the words: what is wrong is said, and said once."""
        fitting = [line for line in output.lines if all(word in line for word in words)]
        self.assertEqual(len(fitting), 1, f"lines with {words}: {fitting} of:\n{output.text()}")
        return fitting[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--sanitizer-runtime", default="")
    parser.add_argument("--transport", choices=["shm", "tcp", "ipc"], default="shm")
    options, rest = parser.parse_known_args()
    Options.build = os.path.abspath(options.build)
    Options.sanitizer_runtime = options.sanitizer_runtime
    Options.transport = options.transport
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
