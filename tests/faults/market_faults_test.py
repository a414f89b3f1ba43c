#!/usr/bin/env python3
"""What goes wrong around a market, and what is seen of it: full disks, damaged databases, clocks that jump, servers and
clients that vanish. Real daemons on loopback, in folders of the test's own; each ends by pid. docs/market.md has the
table of faults."""
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import tempfile
import time

import harness
from harness import Program, app, binary, need, wait_until
from market_harness import Daemon, Market, need_market_programs

FIVE_MINUTES_MS = 5 * 60 * 1000


class Shift:
    """A clock that a test moves: processes with its environment see it."""

    def __init__(self, library):
        descriptor, self.path = tempfile.mkstemp(prefix="clock-")
        os.close(descriptor)
        self.set(0)
        self.environment = {"LD_PRELOAD": library, "ACCELMESH_CLOCK_SHIFT": self.path}

    def set(self, milliseconds):
        with open(self.path, "r+b" if os.path.getsize(self.path) else "wb") as file:
            file.write(struct.pack("q", milliseconds))

    def end(self):
        os.unlink(self.path)


class MarketFaults(harness.FaultCase):
    def setUp(self):
        super().setUp()
        need_market_programs(self)
        need(self, app("endless"), app("vector_add"))
        self.market = Market()
        self.started.append(self.market)

    def open(self, market_environment=None, server_environment=None):
        """A market and one gpu-server."""
        self.market.slotctl("keys", "create", "default")
        self.market.start_market(market_environment)
        self.market.start_server("left", 0, "--price", "2", environment=server_environment)
        self.market.await_slots(1)

    def mesh_run(self, *options, environment=None, program=("vector_add",)):
        run = Program([binary("mesh-run"), *options, "--", app(program[0]), *program[1:]],
                      {**self.market.environment, **(environment or {})})
        self.started.append(run)
        return run

    def endless(self, *options, environment=None):
        run = self.mesh_run("--memory", "64MiB", *options, "--explain", environment=environment, program=("endless", "loop", "1"))
        self.assertTrue(run.ready(), run.said() + self.market.market.said())
        return run

    def finish(self, run, *options):
        """Runs to its end, in time."""
        self.assertIsNotNone(run.wait(*options), run.said())
        return run

    def assert_runs(self, *options):
        run = self.finish(self.mesh_run(*(options or ("--memory", "64MiB"))))
        self.assertEqual(run.process.returncode, 0, run.said() + self.market.market.said())

    def interrupt(self, run):
        self.assertIsNone(run.process.poll(), run.said())
        os.kill(run.process.pid, signal.SIGINT)
        self.assertIsNotNone(run.wait(20), run.said())

    def slotctl(self, *words, environment=None):
        return self.run_command(binary("slotctl"), *words, environment={**self.market.environment, **(environment or {})})

    def faults(self, what=None):
        """What slotctl doctor finds, all of it or of one thing, as text."""
        run = self.slotctl("doctor", "--json")
        found = [one for one in json.loads(run.out.text())["findings"] if one["level"] == "fault" and what in (None, one["what"])]
        return "\n".join(f"{one['text']}: {one['remedy']}" for one in found)

    def await_renewals(self, run, more, seconds=30):
        before = run.err.text().count(" is renewed for ")
        self.assertTrue(wait_until(lambda: run.err.text().count(" is renewed for ") >= before + more, seconds),
                        run.said() + self.market.market.said())

    def assert_whole(self):
        """No lease is left, the slot is whole, and every credit is somewhere."""
        self.assertTrue(wait_until(lambda: not self.market.leases(), 20), self.market.leases())
        self.assertTrue(self.market.slotctl("accounts")["is_balanced"])
        for slot in self.market.slots().values():
            self.assertEqual(slot["share_milli_free"], slot["share_milli"], slot)

    # Disks

    def limit(self, process, size):
        """The largest that a file may become by this process: a disk that is full, for it alone. None: no limit."""
        hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    def test_the_markets_disk_is_full_for_a_while(self):
        self.open()
        run = self.endless("--lease", "20s")
        before = self.market.slotctl("accounts")
        self.limit(self.market.market.process, 4096)
        began = time.monotonic()
        refused = self.finish(self.mesh_run("--memory", "64MiB", "--explain"))
        self.assertLess(time.monotonic() - began, 10, refused.said())
        self.assertEqual(refused.process.returncode, 125, refused.said())
        self.assert_one_line(refused.err, "mesh-run: no slot: ", "could not write it down", "market.sqlite", "make room")
        # What needs no disk goes on, and the doctor knows.
        self.assertEqual(len(self.market.slots()), 1)
        self.assertEqual(len(self.market.leases()), 1)
        self.assertIn("make room", self.faults("store"))
        self.assertIsNotNone(run.err.wait_for(lambda line: "not renewed" in line and "make room" in line, 20), run.said())
        self.assertIsNone(run.process.poll(), run.said())
        self.assertLess(len(self.market.market.err.lines), 12, self.market.market.said())
        self.limit(self.market.market.process, None)
        self.await_renewals(run, 1)
        self.assert_runs()
        self.assertEqual(self.faults(), "")
        # What was acknowledged before, meanwhile and since is there after a kill.
        self.market.market.kill()
        self.market.start_market()
        self.assertEqual(len(self.market.leases()), 1)
        after = self.market.slotctl("accounts")
        self.assertEqual(after["deposits_microcredits"], before["deposits_microcredits"])
        self.await_renewals(run, 1)
        self.interrupt(run)
        self.assert_whole()

    def test_a_file_system_without_room(self):
        if subprocess.run(["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no tmpfs of our own here (unshare -Urm mount); RLIMIT_FSIZE stands for it in the test above")
        small = os.path.join(self.market.home, "small")
        os.mkdir(small)
        self.market.market = Daemon(["unshare", "-Urm", "sh", "-c",
                                     f"mount -t tmpfs -o size=400k none {small} && exec {binary('slot-market')} --listen tcp://127.0.0.1:0 "
                                     f"--store sqlite:{small}/market.sqlite --metrics off"], self.market.environment)
        self.market.daemons.append(self.market.market)
        self.market.environment["ACCELMESH_MARKET"] = self.market.market.ready(20) or self.fail(self.market.market.said())
        tenant = self.market.slotctl("keys", "create", "anna")["public_key"]
        self.market.slotctl("keys", "trust", tenant, "--name", "anna")
        deposited = 0
        full = None
        for _ in range(400):
            done = self.slotctl("deposit", tenant, "1")
            if done.process.returncode != 0:
                full = done
                break
            deposited += 1_000_000
        self.assertIsNotNone(full, "the store never fills its file system")
        self.assert_one_line(full.err, "slotctl: ", "the disk is full", "make room")
        self.assertEqual(self.market.slotctl("accounts", tenant)["balance_microcredits"], deposited)
        # A mount of a process is reached by its root.
        inside = f"/proc/{self.market.market.process.pid}/root{small}"
        subprocess.run(["nsenter", "-t", str(self.market.market.process.pid), "-U", "-m", "--preserve-credentials", "mount", "-o",
                        "remount,size=2m", small], check=True, timeout=20)
        self.assertTrue(os.path.exists(f"{inside}/market.sqlite"))
        self.assertTrue(wait_until(lambda: self.slotctl("deposit", tenant, "1").process.returncode == 0, 10), self.market.market.said())
        self.assertEqual(self.market.slotctl("accounts", tenant)["balance_microcredits"], deposited + 1_000_000)
        self.assertTrue(self.market.slotctl("accounts")["is_balanced"])

    def test_a_gpu_servers_disk_is_full_for_a_while(self):
        self.open()
        server = self.market.servers["left"]
        self.assert_runs()
        # A whole device: what was let before is fenced off, on the disk first.
        whole = ["--memory", "64MiB", "--tops", f"{self.speed() * 0.996:.9f}"]
        self.limit(server.process, 1)
        refused = self.finish(self.mesh_run(*whole))
        self.assertEqual(refused.process.returncode, 125, refused.said())
        self.assertIn("its gpu-server does not take the lease", refused.err.text())
        self.assertIn("for which there must be room", refused.err.text())
        self.limit(server.process, None)
        self.assert_runs(*whole)
        self.assert_whole()

    def speed(self):
        for one in self.market.slots()["left"]["throughput"]:
            if (one["operation"], one["type"]) == ("matmul", "fp32"):
                return one["operations_per_s"]["low"] / 1e12
        raise AssertionError(self.market.slots())

    # Databases

    def refuses(self, *words):
        market = Daemon([binary("slot-market"), "--listen", "tcp://127.0.0.1:0", "--store", f"sqlite:{self.market.home}/market.sqlite",
                         "--metrics", "off"], self.market.environment)
        self.started.append(market)
        self.assertTrue(wait_until(lambda: market.process.poll() is not None, 20), market.said())
        self.assertEqual(market.process.returncode, 1, market.said())
        market.err.reader.join(5)
        self.assert_one_line(market.err, "slot-market: ", *words)

    def test_a_database_that_was_damaged_or_cut_off_is_refused(self):
        self.market.start_market()
        tenant = self.market.slotctl("keys", "create", "anna")["public_key"]
        self.market.slotctl("keys", "trust", tenant, "--name", "anna")
        for _ in range(20):
            self.market.slotctl("deposit", tenant, "1")
        self.market.market.kill()
        path = os.path.join(self.market.home, "market.sqlite")
        kept = os.path.join(self.market.home, "kept")
        os.mkdir(kept)
        for name in ("market.sqlite", "market.sqlite-wal", "market.sqlite-mark"):
            shutil.copy(os.path.join(self.market.home, name), kept)

        def restore():
            for name in os.listdir(kept):
                shutil.copy(os.path.join(kept, name), self.market.home)

        # The log with the last transactions is lost, or half of it.
        os.unlink(path + "-wal")
        self.refuses("was acknowledged: its end was lost", f"{path}-wal", f"delete {path}-mark")
        restore()
        os.truncate(path + "-wal", os.path.getsize(path + "-wal") // 2)
        self.refuses("its end was lost")
        # The file itself is lost: that is no market to begin anew with.
        restore()
        for name in (path, path + "-wal"):
            os.unlink(name)
        self.refuses("its end was lost")
        restore()
        self.market.start_market()
        self.market.market.end()
        size = os.path.getsize(path)
        for change in ("garbage", "half", "flip"):
            shutil.copy(path, path + ".good")
            with open(path, "r+b") as file:
                if change == "garbage":
                    file.write(b"this is no database " * 200)
                elif change == "half":
                    file.truncate(size // 2)
                else:
                    file.seek(file.read().find(tenant.encode()) + 5)
                    file.write(b"?")
            self.refuses("damaged", path, "put a copy of it back")
            shutil.copy(path + ".good", path)
        self.market.start_market()
        self.assertEqual(self.market.slotctl("accounts", tenant)["balance_microcredits"], 20_000_000)

    # Clocks

    def shift(self):
        library = os.path.join(harness.Options.build, "tests", "libaccelmesh_shifted_clock.so")
        need(self, library)
        shift = Shift(library)
        self.started.append(shift)
        return shift

    def test_every_clock_of_the_machine_jumps(self):
        shift = self.shift()
        self.market.environment.update(shift.environment)
        self.open()
        run = self.endless("--lease", "15s")
        lease = self.market.leases()[0]["lease"]
        for milliseconds in (FIVE_MINUTES_MS, 0, -FIVE_MINUTES_MS):
            shift.set(milliseconds)
            self.await_renewals(run, 2, 40)
            self.assertEqual([one["lease"] for one in self.market.leases()], [lease], run.said())
            self.assert_runs()
        for daemon in (self.market.market, self.market.servers["left"]):
            self.assertIsNotNone(daemon.err.wait_for(lambda line: "the clock of this machine jumped by" in line, 5), daemon.said())
        self.interrupt(run)
        self.assert_whole()

    def test_the_clock_of_the_market_jumps_and_comes_back(self):
        shift = self.shift()
        self.open(market_environment=shift.environment)
        run = self.endless("--lease", "45s")
        lease = self.market.leases()[0]["lease"]
        for milliseconds, why in ((FIVE_MINUTES_MS, "begins in "), (-FIVE_MINUTES_MS, "expired ")):
            shift.set(milliseconds)
            self.assertRegex(self.faults("clock"), r"differs from the market's by (5|4\.9+) m")
            self.assertIn("NTP", self.faults("clock"))
            refused = self.finish(self.mesh_run("--memory", "64MiB"))
            self.assertEqual(refused.process.returncode, 125, refused.said())
            self.assertIn("by this server's clock", refused.err.text())
            self.assertIn(why, refused.err.text())
            if milliseconds > 0:
                # New tokens do not count at the server, and it is said why. (After it, the lease's end lies far ahead, and
                # a renewal never ends one earlier.)
                line = run.err.wait_for(lambda line, why=why: "does not take the new token" in line and why in line, 40)
                self.assertIsNotNone(line, run.said())
                self.assertIn("by this server's clock", line)
            # Nobody loses a lease.
            self.assertEqual([one["lease"] for one in self.market.leases()], [lease])
            shift.set(0)
            self.await_renewals(run, 2, 60)
            self.assertIsNone(run.process.poll(), run.said())
        self.assert_runs()
        self.interrupt(run)
        self.assert_whole()

    def test_the_clock_of_a_gpu_server_jumps(self):
        shift = self.shift()
        self.open(server_environment=shift.environment)
        run = self.endless("--lease", "30s")
        shift.set(FIVE_MINUTES_MS)
        time.sleep(2)
        # By the clock it would have ended minutes ago.
        self.assertIsNone(run.process.poll(), run.said())
        server = self.market.servers["left"]
        self.assertIsNotNone(server.err.wait_for(lambda line: "the clock of this machine jumped by" in line, 5), server.said())
        shift.set(0)
        self.await_renewals(run, 2, 40)
        self.interrupt(run)
        self.assert_whole()

    # Those who vanish

    def test_a_gpu_server_is_killed_under_a_program(self):
        self.open()
        run = self.endless("--lease", "5m")
        lease = self.market.leases()[0]
        self.market.servers["left"].kill()
        self.finish(run, 20)
        self.assertNotEqual(run.process.returncode, 0)
        self.assertIn("ENDED", run.out.text())
        # What was held for the rest of the time comes back, and a server of that name can come again.
        self.assert_whole()
        held = self.market.slotctl("account", "--identity", "default")["held_microcredits"]
        self.assertEqual(held, 0)
        self.market.start_server("left", 0, "--price", "2")
        server = self.market.servers["left"]
        self.assertIsNotNone(server.err.wait_for(lambda line: "registered at the market" in line, 60), server.said())
        self.assert_runs()
        ended = [one for one in self.market.slotctl("leases", "--all")["leases"] if one["lease"] == lease["lease"]]
        self.assertIn(ended[0]["state"], ("server lost", "released"), ended)

    def test_a_gpu_server_that_is_cut_off_comes_back(self):
        self.open()
        run = self.endless("--lease", "5m")
        server = self.market.servers["left"]
        os.kill(server.process.pid, signal.SIGSTOP)
        self.addCleanup(lambda: server.process.poll() is None and os.kill(server.process.pid, signal.SIGCONT))
        self.assertTrue(wait_until(lambda: not self.market.slots(), 30), self.market.slotctl("slots"))
        self.assertTrue(wait_until(lambda: not self.market.leases(), 10), self.market.leases())
        self.assertIn("its gpu-server does not answer the market", self.faults("slots"))
        os.kill(server.process.pid, signal.SIGCONT)
        # It hears that the lease is over before it serves anything new.
        self.market.await_slots(1)
        self.finish(run, 20)
        self.assertNotEqual(run.process.returncode, 0)
        self.assert_runs()
        self.assert_whole()

    def test_a_client_that_waits_and_never_returns(self):
        self.open()
        holder = self.endless("--tops", f"{self.speed() * 0.9:.9f}", "--lease", "2m")
        waiting = self.mesh_run("--memory", "64MiB", "--tops", f"{self.speed() * 0.9:.9f}", "--when-nothing", "wait")
        self.assertTrue(wait_until(lambda: self.market.slotctl("requests", "--all")["requests"], 15), waiting.said())
        os.kill(waiting.process.pid, signal.SIGKILL)
        # Its place is given up within the slice that it asked for: it is granted nothing that nobody would use.
        self.assertTrue(wait_until(lambda: not self.market.slotctl("requests", "--all")["requests"], 20))
        self.interrupt(holder)
        self.assert_whole()


if __name__ == "__main__":
    harness.main()
