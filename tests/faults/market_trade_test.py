#!/usr/bin/env python3
"""Two running programs trade a share of a gpu-server with each other: nobody but they and the market takes part, and what
keeps running is not started anew."""
import json
import os
import re
import signal
import subprocess

import harness
from harness import Program, app, binary, need, wait_until
from market_harness import Market, need_market_programs


class OneServer(Market):
    """A market with one gpu-server of one core, all of which is for sale."""

    def start(self):
        for name in ("seller", "buyer", "default"):
            self.slotctl("keys", "create", name)
        # Posted prices stay what they are, so that what is let at one time can be sold at another.
        self.start_market(options=("--price-step", "3600"))
        self.start_server("left", 0, "--price", "2")
        self.await_slots(1)

    def identity(self, name):
        return self.slotctl("keys", "show", name)["public_key"]

    def credits(self, name):
        account = self.slotctl("accounts", self.identity(name))
        return account["balance_microcredits"] + account["held_microcredits"]

    def lease_of(self, name):
        found = [lease for lease in self.leases() if lease["tenant"] == self.identity(name)]
        return found[0] if found else None


class MarketTrade(harness.FaultCase):
    market = None

    @classmethod
    def tearDownClass(cls):
        if MarketTrade.market is not None:
            MarketTrade.market.end()
            MarketTrade.market = None

    def setUp(self):
        super().setUp()
        need_market_programs(self)
        need(self, app("endless"))
        if MarketTrade.market is None:
            MarketTrade.market = OneServer()
            try:
                MarketTrade.market.start()
            except BaseException:
                MarketTrade.market.end()
                MarketTrade.market = None
                raise
        self.market = MarketTrade.market
        # What a test before left behind.
        for lease in self.market.leases():
            self.market.slotctl("revoke", lease["lease"])

    def speed(self):
        for one in self.market.slots()["left"]["throughput"]:
            if (one["operation"], one["type"]) == ("matmul", "fp32"):
                return one["operations_per_s"]["low"] / 1e12
        raise AssertionError(self.market.slots())

    def program(self, identity, part, memory, *options):
        """A program that asks the device for something when it is told to, with a lease of a part of the device."""
        program = Program([binary("mesh-run"), "--identity", identity, "--tops", f"{self.speed() * part:.9f}", "--memory", memory,
                           "--no-profile", "--explain", *options, "--", app("endless"), "ask", "1"], self.market.environment)
        self.started.append(program)
        return program

    def assert_works(self, program):
        before = program.out.lines.count("DONE")
        program.ask()
        self.assertTrue(wait_until(lambda: program.out.lines.count("DONE") == before + 1, 10), program.said())

    def finish(self, program):
        if program.process.poll() is None:
            os.kill(program.process.pid, signal.SIGINT)
        self.assertIsNotNone(program.wait(20), program.said())

    def assert_all_is_settled(self):
        self.assertTrue(wait_until(lambda: not self.market.leases(), 15), self.market.leases())
        self.assertTrue(self.market.slotctl("accounts")["is_balanced"])

    def test_a_part_is_sold_while_both_run(self):
        seller = self.program("seller", 0.9, "512MiB", "--ask", "2", "--sublet", "50%", "--lease", "2m")
        self.assertTrue(seller.ready(), seller.said())
        self.assertIsNotNone(seller.err.wait_for(lambda line: line.startswith("mesh-run: ask: ") and "is for sale" in line, 10), seller.said())
        had = self.market.lease_of("seller")["share_milli"]
        asks = self.market.slotctl("asks")["asks"]
        self.assertEqual([(ask["share_milli"], ask["price_microcredits_per_hour"]) for ask in asks if ask["lease"]], [(500, 2_000_000)], asks)
        why = self.market.slotctl("why", f"{self.speed() * 0.3:.9f} TOPS fp32, memory=64MiB", "--identity", "buyer")
        self.assertNotEqual(why["lane"], "", why)

        buyer = self.program("buyer", 0.3, "64MiB", "--max-price", "3", "--lease", "2m")
        self.assertTrue(buyer.ready(), buyer.said() + seller.said())
        bought = self.market.lease_of("buyer")
        self.assertEqual(self.market.lease_of("seller")["share_milli"], had - bought["share_milli"])
        # Who, and at what price, is told on both sides.
        self.assert_one_line(buyer.err, "mesh-run: buy: lease ", "from seller")
        self.assertIsNotNone(seller.err.wait_for(lambda line: "mesh-run: sell: " in line and "to buyer" in line, 5), seller.said())
        # The server has made the seller's share smaller, and neither has begun anew.
        self.assertIsNotNone(self.market.servers["left"].err.wait_for(
            lambda line: f"has {had - bought['share_milli']} thousandths from now on" in line, 5), self.market.servers["left"].said())
        self.assert_works(seller)
        self.assert_works(buyer)
        trade = self.market.slotctl("trades", "--identity", "seller")["trades"][0]
        self.assertEqual((trade["seller_name"], trade["buyer_name"], trade["share_milli"]), ("seller", "buyer", bought["share_milli"]))
        self.assertGreaterEqual(trade["price_seller_microcredits_per_hour"], 2_000_000)
        # Of a price an hour for all of a device, what its share is for the time that was left: nearly two minutes.
        whole = trade["price_buyer_microcredits_per_hour"] * bought["share_milli"] / 1000 * 120 / 3600
        self.assertLessEqual(trade["paid_microcredits"], whole + 1)
        self.assertGreater(trade["paid_microcredits"], whole / 2)
        epochs = self.market.slotctl("epochs")["epochs"]
        self.assertEqual(epochs[0]["trades"][0]["lease"], bought["lease"])
        # The seller's token is renewed for the rest, and the server takes it.
        self.assertIsNotNone(seller.err.wait_for(lambda line: "mesh-run: renew: lease " in line and "is renewed" in line, 10), seller.said())
        self.assert_works(seller)
        self.assert_works(buyer)
        self.finish(buyer)
        self.assert_works(seller)
        self.finish(seller)
        self.assert_all_is_settled()
        # Both programs have signed for what they had, and the server says the same.
        self.assert_signed_for(bought["lease"])
        self.assert_signed_for(trade["from"])

    def assert_signed_for(self, lease):
        def receipt():
            return self.market.slotctl("receipts", "--all", "--lease", lease)["receipts"][0]
        self.assertTrue(wait_until(lambda: receipt()["state"] == "both", 15), receipt())
        self.assertEqual((receipt()["delivered_ppm"], receipt()["uptime_ppm"]), (1_000_000, 1_000_000))
        self.assertGreater(receipt()["paid_microcredits"], 0)

    def test_all_of_it_is_sold_and_the_seller_has_its_notice(self):
        seller = self.program("seller", 0.9, "128MiB", "--ask", "2", "--sell-notice", "3s", "--lease", "2m")
        self.assertTrue(seller.ready(), seller.said())
        self.assertIsNotNone(seller.err.wait_for(lambda line: "is for sale" in line, 10), seller.said())
        before = self.market.credits("seller")
        buyer = self.program("buyer", 0.9, "128MiB", "--max-price", "3", "--lease", "2m")
        self.assertIsNotNone(seller.err.wait_for(lambda line: "sold all of it to buyer" in line, 20), seller.said() + buyer.said())
        # It goes on until its notice is over.
        self.assert_works(seller)
        self.assertTrue(buyer.ready(), buyer.said() + seller.said())
        seller.ask()
        self.assertIsNotNone(seller.out.wait_for(lambda line: line.startswith("ENDED"), 10), seller.said())
        self.assertIsNotNone(seller.wait(10), seller.said())
        self.assert_works(buyer)
        trade = self.market.slotctl("trades", "--identity", "seller")["trades"][0]
        self.assertGreaterEqual(trade["price_seller_microcredits_per_hour"], 2_000_000)
        # It has paid for the seconds that it used, of the two minutes that it had.
        cost = 2_000_000 * 0.91 * 120 / 3600
        self.assertLess(before - self.market.credits("seller"), cost / 3)
        self.finish(buyer)
        self.assert_all_is_settled()

    def test_who_is_firm_sells_nothing(self):
        seller = self.program("seller", 0.9, "128MiB", "--firm", "--max-price", "3", "--lease", "1m")
        self.assertTrue(seller.ready(), seller.said())
        buyer = self.program("buyer", 0.9, "128MiB", "--max-price", "9", "--lease", "1m")
        self.assertEqual(buyer.wait(40), 125, buyer.said())
        self.assert_one_line(buyer.err, "mesh-run: no slot: ", "the auction: ")
        self.assert_works(seller)
        self.finish(seller)
        self.assert_all_is_settled()

    def test_a_deal_between_two_is_recorded(self):
        seller = self.program("seller", 0.8, "512MiB", "--lease", "2m")
        self.assertTrue(seller.ready(), seller.said())
        lease = self.market.lease_of("seller")
        deal = os.path.join(self.market.home, "deal")
        self.market.slotctl("deal", "draft", deal, "--lease", lease["lease"], "--from", self.market.identity("seller"), "--price", "0.7",
                            "--share", "0.3", "--identity", "buyer")
        # By one of the two alone it is none.
        run = self.run_command(binary("slotctl"), "deal", "record", deal, "--identity", "buyer", environment=self.market.environment)
        self.assertEqual(run.process.returncode, 1, run.said())
        self.market.slotctl("deal", "sign", deal, "--identity", "seller")
        done = self.market.slotctl("deal", "record", deal, "--identity", "buyer")
        self.assertEqual(self.market.lease_of("seller")["share_milli"], lease["share_milli"] - 300)
        # Recorded once: asked again, it is the same.
        self.assertEqual(self.market.slotctl("deal", "record", deal, "--identity", "buyer")["lease"], done["lease"])
        environment = {**self.market.environment, "ACCELMESH_LEASE": done["file"], **preload(self)}
        buyer = Program([app("endless"), "ask", "1"], environment)
        self.started.append(buyer)
        self.assertTrue(buyer.ready(), buyer.said())
        self.assert_works(seller)
        self.assert_works(buyer)
        trades = self.market.slotctl("trades", "--identity", "buyer")["trades"]
        self.assertEqual((trades[0]["lane"], trades[0]["from"]), ("direct", lease["lease"]))
        self.market.slotctl("revoke", done["lease"])
        buyer.ask()
        self.assertIsNotNone(buyer.wait(15), buyer.said())
        self.finish(seller)
        self.assert_all_is_settled()


def preload(case):
    """What mesh-run sets for a program."""
    done = subprocess.run([binary("mesh-run"), "--server", "shm://none", "--", "env"], capture_output=True, text=True, timeout=30, check=False)
    case.assertEqual(done.returncode, 0, done.stderr)
    found = dict(re.findall(r"^(LD_PRELOAD|LD_LIBRARY_PATH)=(.*)$", done.stdout, re.MULTILINE))
    case.assertTrue(found, json.dumps(done.stdout[:500]))
    return found


if __name__ == "__main__":
    harness.main()
