#!/usr/bin/env python3
"""mesh-run by the market without a market, and slotctl: command lines, messages, exit statuses."""
import json
import os
import shutil
import signal
import stat
import tempfile
import time

import harness
from harness import binary

KEY = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29"  # of a test vector; nobody's
NOBODY = "tcp://127.0.0.1:9"


class MarketCase(harness.FaultCase):
    def setUp(self):
        super().setUp()
        self.home = tempfile.mkdtemp(prefix="market-")
        self.addCleanup(shutil.rmtree, self.home, True)
        self.runtime = os.path.join(self.home, "run")
        os.mkdir(self.runtime, 0o700)
        self.environment = {"HOME": self.home, "XDG_CONFIG_HOME": os.path.join(self.home, "config"),
                            "XDG_STATE_HOME": os.path.join(self.home, "state"), "XDG_RUNTIME_DIR": self.runtime,
                            "ACCELMESH_MARKET_KEY": "", "ACCELMESH_MARKET": ""}

    def mesh_run(self, *words):
        return self.run_command(binary("mesh-run"), *words, environment=self.environment)

    def slotctl(self, *words):
        return self.run_command(binary("slotctl"), *words, environment=self.environment)


class MeshRunMarket(MarketCase):
    def setUp(self):
        super().setUp()
        harness.need_plain_programs(self)

    def test_a_wrong_command_line(self):
        cases = {("--tops", "many"): "--tops", ("--tops", "1", "--dtype", "fp31"): "--tops", ("--dtype", "fp32"): "add --tops",
                 ("--memory", "5"): "--memory", ("--memory", "lots"): "--memory", ("--policy", "speed", "--tops", "1"): "--policy",
                 ("--duration", "2h", "--deadline", "1h"): "contradicts itself", ("--lease", "1h", "--tops", "1"): "--lease",
                 ("--when-nothing", " ", "--tops", "1"): "--when-nothing", ("--count", "0"): "--count",
                 ("--server", "shm://x", "--tops", "1"): "--server excludes", ("--max-price", "-3"): "--max-price",
                 ("--market", "udp://x"): "--market", ("--label", "a b"): "--label"}
        for words, says in cases.items():
            run = self.mesh_run(*words, "--", "true")
            self.assertEqual(run.process.returncode, 2, f"{words}: {run.said()}")
            self.assertIn(says, run.err.text(), words)

    def test_no_key_of_a_market(self):
        run = self.mesh_run("--tops", "1", "--", "true")
        self.assertEqual(run.process.returncode, 125, run.said())
        self.assert_one_line(run.err, "mesh-run: the market's key is not in", "market.pub", "--market-key")

    def test_a_budget_that_nobody_can_divide(self):
        run = self.mesh_run("--market", NOBODY, "--market-key", KEY, "--budget", "1", "--", "true")
        self.assertEqual(run.process.returncode, 125, run.said())
        self.assert_one_line(run.err, "mesh-run: no slot: budget needs a duration")

    def test_no_market(self):
        began = time.monotonic()
        run = self.mesh_run("--market", NOBODY, "--market-key", KEY, "--tops", "1", "--", "true")
        self.assertEqual(run.process.returncode, 125, run.said())
        self.assert_one_line(run.err, "mesh-run: no slot: ")
        # Who waits for more than two seconds hears of it.
        self.assertTrue([line for line in run.err.lines if "still negotiating after" in line], run.said())
        self.assertLess(time.monotonic() - began, 30)
        # The key was made on the way, and nothing else is left behind.
        keys = os.path.join(self.home, "config", "accelmesh", "keys")
        self.assertEqual(os.listdir(keys), ["default.key"])
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(keys, "default.key")).st_mode), 0o600)
        self.assertEqual(os.listdir(os.path.join(self.runtime, "accelmesh")), [])

    def test_another_program_instead(self):
        run = self.mesh_run("--market", NOBODY, "--market-key", KEY, "--when-nothing", "echo lease=$ACCELMESH_LEASE preload=$LD_PRELOAD; exit 7",
                            "--", "true")
        self.assertEqual(run.process.returncode, 7, run.said())
        self.assertIn("lease= preload=", run.out.text())

    def test_a_missing_program_is_said_before_anything_is_bought(self):
        run = self.mesh_run("--market", NOBODY, "--market-key", KEY, "--", "no-such-program")
        self.assertEqual(run.process.returncode, 125)
        self.assert_one_line(run.err, "mesh-run: cannot run no-such-program")
        self.assertFalse(os.path.exists(os.path.join(self.home, "config")))

    def test_who_gives_up_while_it_negotiates(self):
        program = harness.Program([binary("mesh-run"), "--market", NOBODY, "--market-key", KEY, "--", "true"], self.environment)
        self.started.append(program)
        time.sleep(0.5)
        program.process.send_signal(signal.SIGINT)
        self.assertEqual(program.wait(10), 130, program.said())

    def test_explain_as_json(self):
        path = os.path.join(self.home, "steps.json")
        run = self.mesh_run("--market", NOBODY, "--market-key", KEY, "--tops", "1", "--explain", "--json", path, "--", "true")
        self.assertEqual(run.process.returncode, 125)
        with open(path, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        self.assertEqual(lines[0]["agent"], "negotiation")
        stages = [step["stage"] for step in lines[0]["steps"]]
        self.assertEqual(stages[:3], ["analyse", "predict", "request"])
        self.assertTrue(any(step.get("trouble") for step in lines[0]["steps"]))


class SlotCtl(MarketCase):
    def test_a_wrong_command_line(self):
        for words in ((), ("slot",), ("deposit",), ("deposit", KEY), ("deposit", KEY, "much"), ("keys",), ("keys", "create"),
                      ("keys", "create", "a", "--role", "king"), ("slots", "--watch", "0"), ("ban",), ("slots", "extra")):
            run = self.slotctl(*words)
            self.assertEqual(run.process.returncode, 2, f"{words}: {run.said()}")
            self.assertNotEqual(run.err.text() + run.out.text(), "")

    def test_help(self):
        run = self.slotctl("--help")
        self.assertEqual(run.process.returncode, 0)
        for word in ("slots", "leases", "requests", "prices", "accounts", "deposit", "drain", "ban", "revoke", "keys", "doctor", "--watch"):
            self.assertIn(word, run.out.text())
        self.assertEqual(self.slotctl("prices", "--help").process.returncode, 0)
        self.assertEqual(self.slotctl("--version").process.returncode, 0)

    def test_no_market(self):
        for words in (("slots",), ("leases", "--all"), ("prices",), ("drain", "x/0"), ("keys", "trust", KEY, "--name", "a")):
            run = self.slotctl(*words)
            self.assertEqual(run.process.returncode, 1, f"{words}: {run.said()}")
            self.assert_one_line(run.err, "slotctl: ", "market's key")
            run = self.slotctl(*words, "--market", NOBODY, "--market-key", KEY)
            self.assertEqual(run.process.returncode, 1, f"{words}: {run.said()}")
            self.assert_one_line(run.err, "slotctl: ")

    def test_keys(self):
        self.assertIn("no keys", self.slotctl("keys", "list").out.text())
        made = json.loads(self.slotctl("keys", "create", "anna", "--role", "provider", "--json").out.text())
        self.assertEqual((made["name"], made["role"], len(made["public_key"])), ("anna", "provider", 64))
        again = self.slotctl("keys", "create", "anna")
        self.assertEqual(again.process.returncode, 1)
        self.assert_one_line(again.err, "slotctl: ")
        self.assertIn(made["public_key"], self.slotctl("keys", "show", "anna").out.text())
        rotated = json.loads(self.slotctl("keys", "rotate", "anna", "--json").out.text())
        self.assertNotEqual(rotated["public_key"], made["public_key"])
        listed = json.loads(self.slotctl("keys", "list", "--json").out.text())["keys"]
        self.assertEqual({(key["public_key"], key["rotated_away"]) for key in listed},
                         {(made["public_key"], True), (rotated["public_key"], False)})
        # Nothing secret is ever shown.
        with open(rotated["path"], encoding="utf-8") as file:
            secret = file.read().split("ed25519-seed ")[1].strip()
        for words in (("keys", "list", "--json"), ("keys", "show", "anna"), ("keys", "list")):
            self.assertNotIn(secret, self.slotctl(*words).out.text())
        os.chmod(rotated["path"], 0o644)
        self.assertIn("chmod", self.slotctl("keys", "list").out.text())

    def test_doctor(self):
        run = self.slotctl("doctor")
        self.assertEqual(run.process.returncode, 1)
        self.assert_one_line(run.out, "FAULT", "market key")
        self.assert_one_line(run.out, "remedy: start slot-market once")
        run = self.slotctl("doctor", "--market", NOBODY, "--market-key", KEY, "--json")
        self.assertEqual(run.process.returncode, 1)
        found = json.loads(run.out.text())
        faults = [finding for finding in found["findings"] if finding["level"] == "fault"]
        self.assertEqual([fault["what"] for fault in faults], ["market"], found)
        self.assertIn("start slot-market", faults[0]["remedy"])
        self.slotctl("keys", "create", "anna")
        os.chmod(os.path.join(self.home, "config", "accelmesh", "keys", "anna.key"), 0o644)
        self.assert_one_line(self.slotctl("doctor").out, "FAULT", "anna.key")


if __name__ == "__main__":
    harness.main()
