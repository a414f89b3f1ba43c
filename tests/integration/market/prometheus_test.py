#!/usr/bin/env python3
"""A real Prometheus (Debian's, unpacked by scripts/fetch_prometheus.sh) scrapes slot-market.

Also: a second slot-market takes the next free port for its metrics and says which; nothing of a tenant's is in them.
Skips aloud (77) without Prometheus.
"""
import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

OPTIONS = None


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Market:
    def __init__(self, folder, name, metrics_port):
        environment = dict(os.environ, XDG_CONFIG_HOME=str(folder / "config"), XDG_STATE_HOME=str(folder / "state"))
        self.process = subprocess.Popen(
            [OPTIONS.slot_market, "--json", "--listen", "tcp://127.0.0.1:*", "--store", f"sqlite:{folder}/{name}.sqlite", "--metrics",
             f"127.0.0.1:{metrics_port}"],
            env=environment, stdout=subprocess.PIPE, text=True)
        self.ready = json.loads(self.process.stdout.readline())

    def end(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


def get(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()


class PrometheusTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)
        (self.path / "config").mkdir()

    def test_is_scraped(self):
        port = free_port()
        market = Market(self.path, "market", port)
        self.addCleanup(market.end)
        self.assertEqual(market.ready["metrics"], f"127.0.0.1:{port}")
        own = free_port()
        config = self.path / "prometheus.yml"
        config.write_text("global: {scrape_interval: 500ms}\nscrape_configs:\n- job_name: market\n  static_configs:\n"
                          f"  - targets: ['{market.ready['metrics']}']\n")
        prometheus = subprocess.Popen(
            [OPTIONS.prometheus, f"--config.file={config}", f"--storage.tsdb.path={self.path}/data",
             f"--web.listen-address=127.0.0.1:{own}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(prometheus.wait, 10)
        self.addCleanup(prometheus.terminate)
        deadline = time.monotonic() + 60
        value = None
        while value != "1" and time.monotonic() < deadline:
            time.sleep(0.5)
            try:
                result = json.loads(get(f"http://127.0.0.1:{own}/api/v1/query?query=accelmesh_market_leading"))["data"]["result"]
                value = result[0]["value"][1] if result else None
            except OSError:
                continue
        self.assertEqual(value, "1", "Prometheus has not scraped accelmesh_market_leading in 60 s")
        names = json.loads(get(f"http://127.0.0.1:{own}/api/v1/label/__name__/values"))["data"]
        for name in ("accelmesh_market_grants_total", "accelmesh_market_leases", "accelmesh_market_grant_seconds_bucket"):
            self.assertIn(name, names)

    def test_names_are_well_formed_and_the_next_port_is_taken(self):
        port = free_port()
        first = Market(self.path, "first", port)
        self.addCleanup(first.end)
        second = Market(self.path, "second", port)
        self.addCleanup(second.end)
        self.assertNotEqual(first.ready["metrics"], second.ready["metrics"])
        time.sleep(0.7)
        text = get(f"http://{second.ready['metrics']}/metrics")
        for name, kind in re.findall(r"^# TYPE (accelmesh_\w+) (\w+)$", text, re.M):
            self.assertRegex(name, r"^accelmesh_market_[a-z_]+$")
            self.assertEqual(name.endswith("_total"), kind == "counter", name)
        # No key, secret or identity: 64 hexadecimal digits.
        self.assertIsNone(re.search(r"[0-9a-f]{64}", text))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--slot-market", required=True)
    parser.add_argument("--prometheus", required=True)
    OPTIONS, rest = parser.parse_known_args()
    if not pathlib.Path(OPTIONS.prometheus).exists():
        print(f"SKIPPED: no Prometheus at {OPTIONS.prometheus}; scripts/fetch_prometheus.sh unpacks it")
        sys.exit(77)
    unittest.main(argv=[sys.argv[0], *rest])
