#!/usr/bin/env python3
"""The market's promises of orders, by real daemons: kept, also when slot-market was killed in between, and evidence when it goes on
from an older ledger."""
import glob
import json
import os
import shutil
import subprocess

import harness
from harness import Program, app, binary, need, wait_until
from market_harness import Market, need_market_programs


class OneServer(Market):
    def start(self):
        for name in ("bidder", "other", "default"):
            self.slotctl("keys", "create", name)
        self.start_market(options=("--price-step", "3600"))
        self.start_server("left", 0, "--price", "2")
        self.await_slots(1)


class MarketPromise(harness.FaultCase):
    def setUp(self):
        super().setUp()
        need_market_programs(self)
        need(self, app("endless"))
        self.market = OneServer()
        self.addCleanup(self.market.end)
        self.market.start()
        self.folder = f"{self.market.home}/market.sqlite-ledger"

    def program(self, identity, *options):
        low = [one["operations_per_s"]["low"] for slot in self.market.slots().values() for one in slot["throughput"]
               if (one["operation"], one["type"]) == ("matmul", "fp32")]
        program = Program([binary("mesh-run"), "--identity", identity, "--tops", f"{low[0] * 0.4e-12:.9f}", "--memory", "64MiB",
                           "--no-profile", "--explain", "--lease", "2m", *options, "--", app("endless"), "ask", "1"], self.market.environment)
        self.started.append(program)
        return program

    def said(self, program, text, timeout_s=20):
        line = program.err.wait_for(lambda line: text in line, timeout_s)
        self.assertIsNotNone(line, f"no \"{text}\"\n{program.said()}\n{self.market.market.said()}")
        return line

    def slotctl(self, *words):
        return subprocess.run([binary("slotctl"), *words], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, **self.market.environment})

    def bid_in_vain(self, identity):
        """A bid that nobody serves, and the promise of it."""
        before = set(self.promises())
        bidder = self.program(identity, "--max-price", "0.01")
        self.said(bidder, "the market has taken the order: it is entry ")
        self.assertEqual(bidder.wait(40), 125, bidder.said())
        new = sorted(set(self.promises()) - before)
        self.assertEqual(len(new), 1, (before, new))
        return new[0]

    def promises(self):
        return glob.glob(f"{self.market.home}/state/accelmesh/witness/*/promises/*.promise")

    def orders_taken(self):
        done = self.slotctl("ledger", "verify", self.folder, "--json")
        return json.loads(done.stdout)["orders"] if done.returncode == 0 else 0

    def assert_kept(self, promise):
        def is_kept():
            done = self.slotctl("ledger", "verify", "--promise", promise, self.folder)
            return done.returncode == 0 and done.stdout.startswith("kept ")
        self.assertTrue(wait_until(is_kept, 15), self.slotctl("ledger", "verify", "--promise", promise, self.folder))

    def test_promises_are_kept_after_a_kill_and_convict_a_market_that_forgets(self):
        first = self.bid_in_vain("bidder")
        self.assert_kept(first)
        copy = f"{self.market.home}/copy"
        shutil.copytree(self.folder, copy)

        # Killed with a bid that it has taken: that is in the first epoch after the start, or was before.
        taken = self.orders_taken()
        self.assertGreater(taken, 0)
        bidder = self.program("bidder", "--max-price", "0.01")
        self.said(bidder, "bids up to ")
        # It hears of that when its negotiation is over; the ledger has it at once.
        self.assertTrue(wait_until(lambda: self.orders_taken() > taken, 15), self.market.market.said())
        self.market.market.kill()
        self.market.start_market(options=("--price-step", "3600"))
        self.market.await_slots(1)
        self.assertEqual(bidder.wait(60), 125, bidder.said())
        second = self.bid_in_vain("other")
        for promise in self.promises():
            self.assert_kept(promise)

        # The same market goes on from a ledger in which the second bid never was, and fills it otherwise.
        self.market.market.end()
        self.market.start_market(options=("--price-step", "3600", "--ledger", copy))
        self.market.await_slots(1)
        forgotten = self.slotctl("ledger", "verify", "--promise", second, copy)
        self.assertEqual(forgotten.returncode, 1, forgotten)
        for _ in range(4):
            self.bid_in_vain("default")
        evidence = f"{self.market.home}/evidence"
        done = self.slotctl("ledger", "verify", "--promise", second, copy, "--evidence", evidence)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("the log has signed two histories", done.stdout)
        with open(f"{copy}/key", encoding="ascii") as file:
            key = file.read().strip()
        convicted = self.slotctl("ledger", "convict", evidence, "--log-key", key)
        self.assertEqual(convicted.returncode, 0, convicted)
        self.assertIn("has signed two histories", convicted.stdout)
        # The first one is of both histories.
        self.folder = copy
        self.assert_kept(first)


if __name__ == "__main__":
    harness.main()
