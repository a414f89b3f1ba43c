#!/usr/bin/env python3
"""Processes that are killed, kernels that fault: who notices, how soon, with what words, and who does not notice at all."""
import contextlib
import os
import signal
import time

import harness
from harness import NOTICE_TIMEOUT_S, kill, wait_until


class KilledProcesses(harness.FaultCase):
    def the_worker_of(self, server, before):
        """The one worker that serves: with one warm worker, a second one is started when the first is taken."""
        self.assertTrue(wait_until(lambda: len(server.workers()) == 2), f"workers: {server.workers()}")
        serving = before & server.workers()
        self.assertEqual(len(serving), 1)
        return serving.pop()

    def start_endless(self, server, mode, mebibytes=16):
        before = server.workers()
        program = self.start(server, "endless", mode, str(mebibytes))
        self.assertTrue(program.ready(), program.said())
        return program, self.the_worker_of(server, before)

    def test_killed_app_leaves_nothing_behind(self):
        # A quota that two sessions' worth would exceed were it shared, and a kernel that never ends by itself.
        for mode in ("loop", "kernel", "ask"):
            with self.subTest(mode=mode):
                server = self.serve("--memory", "64MiB")
                program, worker = self.start_endless(server, mode, 40)
                if mode == "kernel":
                    time.sleep(0.2)  # so that it runs
                kill(program.process)
                self.assertTrue(wait_until(lambda: worker not in server.workers()),
                                f"the worker lives on\n{server.err.text()}")
                self.assertTrue(server.alive())
                self.assert_passes(server, "quota")

    def test_killed_app_whose_child_lives_on(self):
        # A child of fork() holds copies of the app's descriptors; the server must not take it for the app.
        harness.need_plain_programs(self)
        server = self.serve()
        before = server.workers()
        script = ("import ctypes, os, sys, time\n"
                  "runtime = ctypes.CDLL(None)\n"
                  "count = ctypes.c_int()\n"
                  "assert runtime.cudaGetDeviceCount(ctypes.byref(count)) == 0 and count.value == 1\n"
                  "if os.fork() == 0:\n"
                  "    time.sleep(60)\n"
                  "    os._exit(0)\n"
                  "print('READY', flush=True)\n"
                  "time.sleep(60)\n")
        program = harness.Program([harness.binary("mesh-run"), "--server", server.url, "--", "python3", "-c", script])
        self.started.append(program)
        self.assertTrue(program.ready(), program.said())
        worker = self.the_worker_of(server, before)
        kill(program.process)
        self.assertTrue(wait_until(lambda: worker not in server.workers(), 10), "the worker lives on")

    def assert_ends_with_one_line(self, program, killed_at):
        status = program.wait(NOTICE_TIMEOUT_S)
        self.assertIsNotNone(status, f"no error for {NOTICE_TIMEOUT_S} s: {program.said()}")
        self.assertEqual(status, 3, program.said())
        ended = [line for line in program.out.lines if line.startswith("ENDED")]
        self.assertEqual(len(ended), 1, program.said())
        self.assertRegex(ended[0], r": cudaErrorUnknown$", "what a lost server is to CUDA")
        self.assert_one_line(program.err, "the gpu-server is lost", "run the program again")
        return time.monotonic() - killed_at

    def test_killed_worker_is_an_error_not_a_hang(self):
        for mode in ("loop", "kernel", "ask"):
            with self.subTest(mode=mode):
                server = self.serve()
                program, worker = self.start_endless(server, mode)
                if mode == "kernel":
                    time.sleep(0.2)
                os.kill(worker, signal.SIGKILL)
                killed_at = time.monotonic()
                if mode == "ask":
                    time.sleep(0.3)  # it dies while the app does something else
                    program.ask()
                self.assert_ends_with_one_line(program, killed_at)
                self.assertTrue(wait_until(lambda: any(str(worker) in line and "signal 9" in line for line in server.err.lines)),
                                f"the server does not name the worker and its signal:\n{server.err.text()}")
                self.assert_passes(server, "vector_add")

    def test_killed_idle_worker_is_replaced(self):
        # The next program must not be given to a worker that is dead, however soon it comes.
        server = self.serve()
        self.assertTrue(wait_until(lambda: len(server.workers()) == 1), f"workers: {server.workers()}")
        for is_busy in (False, True, False, True):
            if is_busy:  # it hears of the end and of the program at the same time
                server.process.send_signal(signal.SIGSTOP)
            for worker in server.workers():
                with contextlib.suppress(ProcessLookupError):  # that of the last program may be ending
                    os.kill(worker, signal.SIGKILL)
            program = self.start(server, "vector_add")
            if is_busy:
                time.sleep(0.3)
                server.process.send_signal(signal.SIGCONT)
            self.assertEqual(program.wait(), 0, program.said())
            self.assertIn("PASSED", program.out.lines, program.said())
        self.assertTrue(server.alive())
        self.assertTrue(wait_until(lambda: len(server.workers()) == 1), f"workers: {server.workers()}")

    def test_worker_killed_before_it_has_answered(self):
        # It was given a session and dies without a word: an error with words, soon, and not for the next program.
        server = self.serve()
        self.assertTrue(wait_until(lambda: len(server.workers()) == 1), f"workers: {server.workers()}")
        worker = server.workers().pop()
        os.kill(worker, signal.SIGSTOP)
        program = self.start(server, "vector_add")
        self.assertTrue(wait_until(lambda: any(f"goes to worker {worker}" in line for line in server.err.lines)), server.err.text())
        os.kill(worker, signal.SIGKILL)
        self.assertEqual(program.wait(NOTICE_TIMEOUT_S), 1, program.said())
        self.assertIn("cudaErrorNoDevice", program.out.text())
        self.assert_one_line(program.err, "accelmesh error", "log")
        self.assert_passes(server, "vector_add")

    def test_no_worker_is_kept_warm(self):
        server = self.serve("--warm-workers", "0")
        self.assertEqual(server.workers(), set())
        programs = [self.start(server, "vector_add") for _ in range(3)]
        for program in programs:
            self.assertEqual(program.wait(), 0, program.said())
        self.assertTrue(wait_until(lambda: not server.workers()), f"workers: {server.workers()}")
        self.assert_passes(server, "saxpy_streams")

    def test_killed_server_is_an_error_not_a_hang(self):
        for mode in ("loop", "kernel", "ask"):
            with self.subTest(mode=mode):
                server = self.serve()
                program, _ = self.start_endless(server, mode)
                if mode == "kernel":
                    time.sleep(0.2)
                workers = server.workers()
                kill(server.process)
                killed_at = time.monotonic()
                if mode == "ask":
                    time.sleep(0.3)
                    program.ask()
                self.assert_ends_with_one_line(program, killed_at)
                for worker in workers:
                    self.assertTrue(wait_until(lambda: not os.path.exists(f"/proc/{worker}/fd/0")),
                                    f"worker {worker} outlived its supervisor")

    def test_ended_server_takes_its_programs_along(self):
        # SIGTERM is an orderly end; a program at work gets the same error.
        server = self.serve()
        program, _ = self.start_endless(server, "loop")
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(server.process.wait(10), 0)
        self.assert_ends_with_one_line(program, time.monotonic())


class FaultingKernels(harness.FaultCase):
    def test_an_illegal_address_is_its_own_sessions(self):
        server = self.serve()
        others = [self.start(server, name) for name in ("saxpy_streams", "threads_one_stream", "allocation_stress")]
        faulting = [self.start(server, "illegal_address") for _ in range(3)]
        for program in faulting + others:
            self.assertEqual(program.wait(), 0, program.said())
            self.assertIn("PASSED", program.out.lines)
        self.assert_passes(server, "vector_add")
        self.assertTrue(server.alive())

    def test_each_fault_has_its_code_and_leaves_the_server_clean(self):
        # What the program sees is checked in it: the code, and that it stays. Here: what the user is told, and who
        # comes next.
        server = self.serve()
        for name, kernel, what in (("illegal_address", "WriteTo", "illegal address 0x40"),
                                   ("fault_past_allocation", "Read", "illegal address"),
                                   ("fault_misaligned", "AddAt", "misaligned address"),
                                   ("fault_trap", "TrapIf", "trap"),
                                   ("fault_stack", "Call", "cudaLimitStackSize"),
                                   ("fault_assert", "Positive", "assertion `values[threadIdx.x] > 0` failed")):
            with self.subTest(fault=name):
                program = self.assert_passes(server, name)
                self.assert_one_line(program.err, "accelmesh error", what, f"{len(kernel)}{kernel}", "block (0,0,0)",
                                     "thread (")
                self.assert_passes(server, "vector_add")
        self.assertTrue(server.alive())

    def test_failed_assertions_are_told_as_cuda_does(self):
        server = self.serve()
        program = self.assert_passes(server, "fault_assert")
        told = [line for line in program.err.lines if "Assertion" in line]
        expected = [r"^\S*fault_assert\.cu:\d+: void Positive\(const int \*\): block: \[0,0,0\], "
                    rf"thread: \[{thread},0,0\] Assertion `values\[threadIdx\.x\] > 0` failed\.$" for thread in (40, 41)]
        self.assertEqual(len(told), 2, program.err.text())
        for line, pattern in zip(told, expected):
            self.assertRegex(line, pattern)

    def test_the_fault_is_explained_once(self):
        server = self.serve()
        program = self.assert_passes(server, "illegal_address")
        self.assertEqual(len([line for line in program.err.lines if line]), 1, program.err.text())


if __name__ == "__main__":
    harness.main()
