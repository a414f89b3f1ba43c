#!/usr/bin/env python3
"""Tests of run_app.py with a fake gpu-server, a fake mesh-run and programs that are shell scripts: whatever can go wrong
in a run must fail it, by name, and nothing that it started may stay behind.
"""
import contextlib
import io
import os
import pathlib
import sys
import tempfile
import time
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import run_app  # noqa: E402  the folder is on the path only now

# What gpu-server does as far as run_app can see: `before` it is ready, `after` that, and what it does at SIGTERM.
FAKE_SERVER = """#!/usr/bin/env bash
echo "$@" >"$FAKE_FOLDER/server-arguments"
trap '{at_term}' TERM
{before}
{ready}
{after}
while :; do sleep 0.02; done
"""
SAYS_WHO = 'echo $$ >"$FAKE_FOLDER/server"'
DIES = 'while [ ! -e "$FAKE_FOLDER/die" ]; do sleep 0.01; done; '
FAKE_MESH_RUN = """#!/usr/bin/env bash
[ "$1 $2 $3" = "--server fake://server --" ] || {{ echo "mesh-run got: $*"; exit 125; }}
shift 3
{before_program}
exec "$@"
"""


class RunAppTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="run-app-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        environment = mock.patch.dict(os.environ, {"FAKE_FOLDER": folder.name})
        environment.start()
        self.addCleanup(environment.stop)
        # Limits that no test reaches, however busy the machine is, but for those that set a short one.
        for name in ("START_TIMEOUT_S", "STOP_TIMEOUT_S", "WORKER_GRACE_S"):
            self.limit(name, 60)

    def limit(self, name, seconds):
        limit = mock.patch.object(run_app, name, seconds)
        limit.start()
        self.addCleanup(limit.stop)

    def script(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        return str(path)

    def program(self, name, body):
        return self.script(name, f"#!/usr/bin/env bash\n{body}\n")

    def server(self, before=":", ready="echo ready fake://server", after=":", at_term="exit 0"):
        return self.script("gpu-server", FAKE_SERVER.format(before=before, ready=ready, after=after, at_term=at_term))

    def mesh_run(self, before_program=":"):
        return self.script("mesh-run", FAKE_MESH_RUN.format(before_program=before_program))

    def call(self, *arguments):
        """run_app.main() with these arguments: (exit status, what it printed)."""
        out = io.StringIO()
        with mock.patch.object(sys, "argv", ["run_app.py", *arguments]), contextlib.redirect_stdout(out), \
                contextlib.redirect_stderr(out):
            try:
                status = run_app.main()
            except SystemExit as leaving:
                status = leaving.code
        return status, out.getvalue()

    def run_on(self, server, *programs, options=(), mesh_run=None):
        return self.call("--gpu-server", server, "--mesh-run", mesh_run or self.mesh_run(), "--transport", "tcp", *options,
                         *programs)

    def passing(self, name="sums"):
        return self.program(name, f"echo '{name}: 3 of 3'; echo PASSED")

    def killer(self):
        """A program that lets DIES end the server, and sees it dead before it goes on."""
        return self.program("killer", 'touch "$FAKE_FOLDER/die"; server=/proc/$(cat "$FAKE_FOLDER/server")/status\n'
                            'while [ -e "$server" ] && ! grep -q "^State:.Z" "$server"; do sleep 0.01; done; echo PASSED')

    def started(self, name):
        """The process whose id a fake wrote into the file `name`."""
        return int((self.folder / name).read_text(encoding="utf-8"))

    def assert_gone(self, pid):
        deadline = time.monotonic() + 30
        while pid in run_app.process_table() and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertNotIn(pid, run_app.process_table())

    # What passes ----------------------------------------------------------------------------------------------------

    def test_pass(self):
        status, text = self.run_on(self.server(), self.passing("sums"), self.passing("products"))
        self.assertEqual(status, 0, text)
        self.assertRegex(text, r"(?m)^ok   sums \(\d+\.\d\d s\) 3 of 3$")
        self.assertIn("2 passed, 0 failed\n", text)
        self.assertNotIn("log of gpu-server", text)

    def test_server_is_started_for_the_transport_and_backend(self):
        for transport, url in (("tcp", "tcp://127.0.0.1:0"), ("ipc", r"ipc:///\S+/sock"), ("shm", r"shm://run-app-\d+")):
            status, text = self.call("--gpu-server", self.server(), "--mesh-run", self.mesh_run(), "--transport", transport,
                                     "--backend", "null", "--server-arg=--verbose", self.passing())
            self.assertEqual(status, 0, text)
            arguments = (self.folder / "server-arguments").read_text(encoding="utf-8")
            self.assertRegex(arguments, rf"^--listen {url} --backend null --standalone --verbose$")

    def test_native_needs_no_server(self):
        status, text = self.call("--native", self.passing(), self.program("broken", "exit 1"))
        self.assertEqual(status, 1)
        self.assertIn("1 passed, 1 failed", text)

    def test_no_programs_is_skipped(self):
        status, text = self.run_on(self.server())
        self.assertEqual(status, 77)
        self.assertIn("skipped", text)

    def test_usage(self):
        status, text = self.call(self.passing())
        self.assertEqual(status, 2)
        self.assertIn("--gpu-server, --mesh-run and --transport are needed", text)

    # A program that fails -------------------------------------------------------------------------------------------

    def test_one_failure_fails_the_run_and_the_others_still_run(self):
        status, text = self.run_on(self.server(), self.program("broken", "echo 'sum is 41'; echo PASSED; exit 3"), self.passing())
        self.assertEqual(status, 1)
        self.assertRegex(text, r"FAIL broken \(.*\): exit status 3")
        self.assertIn("     | sum is 41", text)
        self.assertIn("1 passed, 1 failed\n", text)

    def test_signal(self):
        status, text = self.run_on(self.server(), self.program("crash", "kill -SEGV $$"))
        self.assertEqual(status, 1)
        self.assertRegex(text, r"FAIL crash \(.*\): ended by signal 11")

    def test_exit_0_without_the_line_passed(self):
        status, text = self.run_on(self.server(), self.program("silent", "echo 'NOT PASSED'"))
        self.assertEqual(status, 1)
        self.assertRegex(text, r"FAIL silent \(.*\): exit status 0, but no line PASSED")

    def test_timeout_ends_the_program_and_its_children(self):
        program = self.program("slow", 'sleep 60 & echo $! >"$FAKE_FOLDER/child"; echo PASSED; wait')
        begin = time.monotonic()
        status, text = self.run_on(self.server(), program, self.passing(), options=["--timeout", "4"])
        self.assertLess(time.monotonic() - begin, 55)
        self.assertEqual(status, 1)
        self.assertRegex(text, r"FAIL slow \(.*\): still running after 4 s")
        self.assertIn("1 passed, 1 failed", text)
        self.assert_gone(self.started("child"))

    def test_mesh_run_fails(self):
        status, text = self.run_on(self.server(), self.passing(),
                                   mesh_run=self.mesh_run(before_program="echo no session; exit 125"))
        self.assertEqual(status, 1)
        self.assertRegex(text, r"FAIL sums \(.*\): exit status 125")
        self.assertIn("     | no session", text)

    # A server that fails --------------------------------------------------------------------------------------------

    def test_error_line_in_the_log(self):
        for line in ("[2026-01-01 12:00:00.000] [error] session 3: bad frame", "accelmesh error: ring: corrupt",
                     "==17==ERROR: AddressSanitizer: heap-use-after-free", "WARNING: ThreadSanitizer: data race (pid=1)",
                     "server/session.cpp:12:3: runtime error: load of misaligned address"):
            with self.subTest(line):
                status, text = self.run_on(self.server(before=f"echo '{line}' >&2"), self.passing())
                self.assertEqual(status, 1)
                self.assertIn(f"FAIL gpu-server logged: {line}\n", text)
                self.assertIn("1 passed, 0 failed, and the server failed\n", text)
                self.assertIn("---- log of gpu-server", text)

    def test_other_lines_in_the_log_are_fine(self):
        status, text = self.run_on(self.server(before="echo '[info] 0 errors so far'; echo '[warning] slow' >&2"), self.passing())
        self.assertEqual(status, 0, text)

    def test_expected_error_lines(self):
        server = self.server(before="echo '[error] session 3: quota' >&2; echo '[error] session 4: crash' >&2")
        status, text = self.run_on(server, self.passing(), options=["--allow-error", "quota$"])
        self.assertEqual(status, 1)
        self.assertNotIn("logged: [error] session 3: quota", text)
        self.assertIn("logged: [error] session 4: crash", text)
        status, text = self.run_on(server, self.passing(), options=["--allow-error", "quota$", "--allow-error", "crash"])
        self.assertEqual(status, 0, text)

    def test_server_ends_before_it_is_ready(self):
        # Its stdout is closed before it has ended, as a loaded machine may have it.
        server = self.server(before="echo 'the address is taken' >&2; exec >&-; sleep 0.3; exit 1")
        begin = time.monotonic()
        self.limit("START_TIMEOUT_S", 300)
        status, text = self.run_on(server, self.passing())
        self.assertLess(time.monotonic() - begin, 200)  # it does not wait for the line of a dead process
        self.assertEqual(status, 1)
        self.assertIn("FAIL gpu-server printed no line `ready URL`", text)
        self.assertIn("ended by itself, with status 1", text)
        self.assertIn("the address is taken", text)
        self.assertIn("0 passed, 1 failed, and the server failed", text)

    def test_server_never_says_that_it_is_ready(self):
        self.limit("START_TIMEOUT_S", 2)
        status, text = self.run_on(self.server(before=SAYS_WHO, ready="echo already"), self.passing())
        self.assertEqual(status, 1)
        self.assertIn("FAIL gpu-server printed no line `ready URL` within 2 s", text)
        self.assert_gone(self.started("server"))

    def test_server_does_not_exist(self):
        status, text = self.run_on(str(self.folder / "nowhere"), self.passing())
        self.assertEqual(status, 1)
        self.assertIn("gpu-server does not start", text)

    def test_server_dies_between_programs(self):
        status, text = self.run_on(self.server(before=SAYS_WHO, after=DIES + "exit 9"), self.killer(), self.passing())
        self.assertEqual(status, 1)
        self.assertIn("FAIL sums: the gpu-server is gone", text)
        self.assertIn("FAIL gpu-server ended by itself, with status 9", text)
        self.assertIn("1 passed, 1 failed, and the server failed", text)

    def test_server_exits_badly_after_sigterm(self):
        status, text = self.run_on(self.server(at_term="exit 4"), self.passing())
        self.assertEqual(status, 1)
        self.assertIn("FAIL gpu-server exited with status 4 after SIGTERM", text)

    def test_server_ignores_sigterm(self):
        self.limit("STOP_TIMEOUT_S", 1)
        status, text = self.run_on(self.server(before=SAYS_WHO, at_term=":"), self.passing())
        self.assertEqual(status, 1)
        self.assertIn("FAIL gpu-server ran on for 1 s after SIGTERM", text)
        self.assert_gone(self.started("server"))

    def test_leftover_worker(self):
        # In the server's session, or in one of its own: as its child, both are workers.
        self.limit("WORKER_GRACE_S", 0.3)
        for start in ("sleep 60 >/dev/null 2>&1 &", "setsid sleep 60 >/dev/null 2>&1 &"):
            with self.subTest(start):
                status, text = self.run_on(self.server(before=f'{start} echo $! >"$FAKE_FOLDER/worker"'), self.passing())
                worker = self.started("worker")
                self.assertEqual(status, 1)
                self.assertIn(f"FAIL worker {worker} outlived its gpu-server", text)
                self.assertIn("1 passed, 0 failed, and the server failed", text)
                self.assert_gone(worker)

    def test_worker_of_a_server_that_crashed(self):
        # Nobody is its parent any more; the server's session gives it away.
        self.limit("WORKER_GRACE_S", 0.3)
        server = self.server(before=SAYS_WHO + '; sleep 60 >/dev/null 2>&1 & echo $! >"$FAKE_FOLDER/worker"',
                             after=DIES + "kill -KILL $$")
        status, text = self.run_on(server, self.killer())
        self.assertEqual(status, 1)
        worker = self.started("worker")
        self.assertIn("FAIL gpu-server ended by itself, with status -9", text)
        self.assertIn(f"FAIL worker {worker} outlived its gpu-server", text)
        self.assert_gone(worker)


if __name__ == "__main__":
    unittest.main()
