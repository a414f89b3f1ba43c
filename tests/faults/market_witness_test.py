#!/usr/bin/env python3
"""A gang buys whole devices from two holders, and their programs watch the market's ledger: they cosign it while it grows, and
tell of it when it shows another history. Real daemons."""
import os
import shutil
import signal
import subprocess

import harness
from harness import Program, app, binary, need, wait_until
from market_harness import Market, need_market_programs


class TwoServers(Market):
    """Two gpu-servers of one kind, whole devices at one price."""

    def start(self):
        for name in ("seller", "other", "buyer", "default"):
            self.slotctl("keys", "create", name)
        self.start_market(options=("--price-step", "3600"))
        for core, name in enumerate(("left", "right")):
            self.start_server(name, core, "--price", "2")
        self.await_slots(2)


class MarketWitness(harness.FaultCase):
    def setUp(self):
        super().setUp()
        need_market_programs(self)
        need(self, app("endless"))
        self.market = TwoServers()
        self.addCleanup(self.market.end)
        self.market.start()

    def key(self, name, field="public_key"):
        return self.market.slotctl("keys", "show", name)[field]

    def program(self, identity, *options):
        program = Program([binary("mesh-run"), "--identity", identity, "--memory", "64MiB", "--no-profile", "--explain", "--lease", "2m", *options,
                           "--", app("endless"), "ask", "1"], self.market.environment)
        self.started.append(program)
        return program

    def whole(self):
        """Nearly all that the slower device does: what is let is all of either."""
        low = [one["operations_per_s"]["low"] for slot in self.market.slots().values() for one in slot["throughput"]
               if (one["operation"], one["type"]) == ("matmul", "fp32")]
        self.assertEqual(len(low), 2, self.market.slots())
        return min(low), max(low)

    def assert_works(self, program):
        before = program.out.lines.count("DONE")
        program.ask()
        self.assertTrue(wait_until(lambda: program.out.lines.count("DONE") == before + 1, 10), program.said())

    def said(self, program, text, timeout_s=15):
        line = program.err.wait_for(lambda line: text in line, timeout_s)
        self.assertIsNotNone(line, f"no \"{text}\"\n{program.said()}\n{self.market.market.said()}")
        return line

    def finish(self, program):
        if program.process.poll() is None:
            os.kill(program.process.pid, signal.SIGINT)
        self.assertIsNotNone(program.wait(20), program.said())

    def slotctl(self, *words):
        return subprocess.run([binary("slotctl"), *words], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, **self.market.environment})

    def bid_in_vain(self):
        """Entries of the ledger: a bid that nobody serves."""
        _, fast = self.whole()
        bidder = self.program("default", "--tops", f"{fast * 0.9e-12:.9f}", "--max-price", "0.01")
        self.assertEqual(bidder.wait(40), 125, bidder.said())

    def test_a_gang_buys_and_a_fork_is_found(self):
        slow, fast = self.whole()
        sellers = {}
        # Each has all of its own device: the faster one cannot be had twice.
        for name, speed in (("seller", fast), ("other", slow)):
            sellers[name] = self.program(name, "--tops", f"{speed * 0.998e-12:.9f}", "--ask", "2", "--sell-notice", "2s")
            self.assertTrue(sellers[name].ready(), sellers[name].said())
            self.said(sellers[name], "is for sale, all of it")
        self.assertEqual([lease["share_milli"] for lease in self.market.leases()], [1000, 1000])
        buyer = self.program("buyer", "--count", "2", "--tops", f"{slow * 0.5e-12:.9f}", "--max-price", "6")
        self.said(buyer, "bids for a gang of whole devices, all or none: 2 like ")
        for seller in sellers.values():
            self.said(seller, "sold all of it to buyer", 20)
        self.assertTrue(buyer.ready(), buyer.said())
        mine = [lease for lease in self.market.leases() if lease["tenant"] == self.key("buyer")]
        self.assertEqual(sorted(lease["share_milli"] for lease in mine), [1000, 1000], mine)
        self.assertEqual(len({lease["slot"] for lease in mine}), 2)
        trades = self.market.slotctl("trades", "--identity", "buyer")["trades"]
        self.assertEqual([trade["lane"] for trade in trades], ["gang", "gang"], trades)
        self.assert_works(buyer)
        for seller in sellers.values():
            self.finish(seller)
        self.assertTrue(self.market.slotctl("accounts")["is_balanced"])

        # The buyer's program has watched the ledger of that, and says so at its end.
        self.said(buyer, "mesh-run: witness: the market's ledger of ", 30)
        folder = f"{self.market.home}/market.sqlite-ledger"
        copy = f"{self.market.home}/copy"
        self.bid_in_vain()
        shutil.copytree(folder, copy)
        self.bid_in_vain()
        self.finish(buyer)
        witness = self.key("buyer", "witness_key")
        self.assertTrue(wait_until(lambda: self.slotctl("ledger", "verify", folder, "--witness", witness, "--witnesses-min", "1").returncode == 0, 10),
                        self.slotctl("ledger", "verify", folder, "--witness", witness, "--witnesses-min", "1"))
        shown = self.market.slotctl("ledger", "checkpoint", "--witness", witness)
        self.assertIn({"witness": witness.split("+")[0], "verified": True}, shown["cosigned"])
        # Over the market itself it is read up to the first bid that may still be served, for a minute or so all of them.
        over = self.slotctl("ledger", "verify")
        self.assertTrue(over.returncode == 0 or "entries can be read yet: its first bids may still be served" in over.stderr, over)

        # The same market goes on from an older copy of its ledger: another history, signed by the same key.
        self.market.market.end()
        self.market.start_market(options=("--price-step", "3600", "--ledger", copy))
        self.market.await_slots(2)
        buyer = self.program("buyer", "--tops", f"{slow * 0.2e-12:.9f}", "--max-price", "6")
        self.assertTrue(buyer.ready(), buyer.said())
        for _ in range(3):
            self.bid_in_vain()
        line = self.said(buyer, "THE MARKET HAS SIGNED TWO HISTORIES", 30)
        convict = line.split("slotctl ", 1)[1].split()
        done = self.slotctl(*convict)
        self.assertEqual(done.returncode, 0, (convict, done.stdout, done.stderr))
        self.assertIn("has signed two histories", done.stdout)
        # The program goes on.
        self.assert_works(buyer)
        self.finish(buyer)


if __name__ == "__main__":
    harness.main()
