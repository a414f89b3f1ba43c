"""A gpu-server on a market: it measures itself, registers, stays registered, and comes back, whoever is killed meanwhile.

Market and server are real processes on loopback, with keys and state in a folder of the test's own.
"""
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness

KEEP_S = 15  # the registry forgets a server after some seconds
# A line of Prometheus' text format (docs: "Exposition formats"): NAME{LABEL="VALUE",...} NUMBER.
SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})? '
                    r'([-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?|(?i:inf|nan)))$')


def scrape(url):
    """{name with labels: number} of a metrics address; fails on a line that is not of the format."""
    host, path = url.removeprefix("http://").split("/", 1)
    connection = http.client.HTTPConnection(host, timeout=5)
    connection.request("GET", "/" + path)
    response = connection.getresponse()
    text = response.read().decode("utf-8")
    connection.close()
    if response.status != 200:
        raise AssertionError(f"{url} answers {response.status}")
    numbers = {}
    for line in text.splitlines():
        if not line or line.startswith("# HELP ") or line.startswith("# TYPE "):
            continue
        match = SAMPLE.match(line)
        if match is None:
            raise AssertionError(f"not a line of the text format: {line!r}")
        numbers[match.group(1) + (match.group(2) or "")] = float(match.group(3))
    return numbers, text


class ProviderTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="accelmesh-provider-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.environment = dict(os.environ, XDG_CONFIG_HOME=self.folder + "/config", XDG_STATE_HOME=self.folder + "/state",
                                XDG_CACHE_HOME=self.folder + "/cache", XDG_RUNTIME_DIR=self.folder + "/run")
        os.mkdir(self.folder + "/run", 0o700)
        self.processes = []
        self.addCleanup(self.end_all)
        self.market_url = f"ipc://{self.folder}/market.sock"
        harness.need(self, harness.binary("slot-market"), harness.binary("gpu-server"))

    def end_all(self):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)

    def start(self, name, words):
        log = open(f"{self.folder}/{name}.log", "ab")
        self.addCleanup(log.close)
        out = f"{self.folder}/{name}.out"
        with open(out, "wb") as output:
            process = subprocess.Popen(words, env=self.environment, stdout=output, stderr=log, start_new_session=True)
        self.processes.append(process)
        process.out = out
        process.log = log.name
        return process

    def market(self):
        process = self.start("market", [harness.binary("slot-market"), "--listen", self.market_url, "--store",
                                        f"sqlite:{self.folder}/market.sqlite", "--metrics", "off"])
        self.until(lambda: os.path.exists(self.folder + "/config/accelmesh/market.pub"), "the market has a key", process)
        return process

    def server(self, *more):
        return self.start("server", [harness.binary("gpu-server"), "--listen", f"ipc://{self.folder}/server.sock",
                                     "--cpu-threads", "1", "--warm-workers", "0", "--market", self.market_url,
                                     "--server-name", "desk-1", "--metrics", "127.0.0.1:7795", *more])

    def log_of(self, process):
        with open(process.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def until(self, condition, what, process=None, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            if process is not None and process.poll() is not None:
                self.fail(f"it ended before {what}:\n{self.log_of(process)}")
            time.sleep(0.1)
        self.fail(f"never: {what}\n" + (self.log_of(process) if process is not None else ""))

    def numbers(self, server):
        with open(server.out, encoding="utf-8") as file:
            match = re.search(r"^metrics (\S+)$", file.read(), re.MULTILINE)
        if match is None:
            return {}
        return scrape(match.group(1))[0]

    def await_number(self, server, name, value, at_least=False):
        self.until(lambda: (self.numbers(server).get(name, -1) >= value) if at_least
                   else self.numbers(server).get(name) == value, f"{name} is {value}", server)

    def test_comes_back_whoever_is_killed(self):
        market = self.market()
        server = self.server()
        self.await_number(server, "accelmesh_server_registered", 1)
        measured = [name for name in os.listdir(self.folder + "/state/accelmesh") if name.startswith("measured-cpu-")]
        self.assertEqual(len(measured), 1, "what was measured is kept")
        # The market dies: the server says so once, and serves on.
        harness.kill(market)
        self.await_number(server, "accelmesh_server_registered", 0)
        self.assertIsNone(server.poll())
        self.assertIn("programs run on until their leases end", self.log_of(server))
        market = self.market()
        self.await_number(server, "accelmesh_server_registered", 1)
        self.await_number(server, "accelmesh_server_registrations_total", 2, at_least=True)
        # The server dies: the next one of its name and key is the same provider, and knows its numbers at once.
        harness.kill(server)
        began = time.monotonic()
        server = self.server()
        self.await_number(server, "accelmesh_server_registered", 1)
        self.assertLess(time.monotonic() - began, 60)
        self.assertIsNone(market.poll())

    def test_metrics_are_prometheus_text_without_secrets(self):
        self.market()
        server = self.server("--test-share", "sesame-secret-group=500:0")
        self.await_number(server, "accelmesh_server_registered", 1)
        with open(server.out, encoding="utf-8") as file:
            url = re.search(r"^metrics (\S+)$", file.read(), re.MULTILINE).group(1)
        numbers, text = scrape(url)
        for name in ("accelmesh_server_sessions", "accelmesh_server_sessions_total", "accelmesh_server_refused_total",
                     "accelmesh_server_device_seconds", 'accelmesh_server_info{backend="cpu"}'):
            self.assertIn(name, numbers)
        self.assertNotIn("sesame", text)
        for name in os.listdir(self.folder + "/config/accelmesh/keys"):
            with open(f"{self.folder}/config/accelmesh/keys/{name}", encoding="utf-8") as file:
                seed = re.search(r"ed25519-seed ([0-9a-f]{64})", file.read()).group(1)
            self.assertNotIn(seed, text)
        server.send_signal(signal.SIGTERM)
        self.assertEqual(server.wait(20), 0, "it ends in order, whichever thread hears the signal")

    def test_a_wrong_key_is_said(self):
        self.market()
        # Somebody's, of RFC 8032.
        server = self.server("--market-key", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
        self.until(lambda: "not registered at the market" in self.log_of(server), "it says that nobody lets it in", server)
        self.assertIn("closes the connection: it has another key", self.log_of(server))
        self.assertEqual(self.numbers(server).get("accelmesh_server_registered"), 0)

    def test_nonsense_is_refused_at_the_command_line(self):
        for words, said in ((["--sell-share", "2"], "--sell-share"), (["--server-name", "a b"], "--server-name"),
                            (["--price", "-1"], "--price"), (["--market", "http://x"], "market"),
                            (["--market", "tcp://127.0.0.1:1", "--market-key", "ab" * 32], "is no key"),
                            (["--market", "tcp://127.0.0.1:1", "--market-key", "9f3c"], "has 4 digits and not 64"),
                            (["--backend", "cuda", "--sell-share", "0.5"], "whole")):
            base = [harness.binary("gpu-server"), "--listen", f"ipc://{self.folder}/s.sock"]
            if "--market" not in words:
                base += ["--market", self.market_url]
            done = subprocess.run(base + words, env=self.environment, capture_output=True, text=True, timeout=30, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(said, done.stderr)

    def test_measures_and_says_so(self):
        words = [harness.binary("gpu-server"), "--measure", "--json", "--cpu-threads", "1"]
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=120, check=True)
        report = json.loads(done.stdout)
        self.assertTrue(report["throughput"])
        for entry in report["throughput"]:
            interval = entry["operations_per_s"]
            self.assertTrue(0 < interval["low"] <= interval["mean"] <= interval["high"], entry)
        if report["seconds"] > 2.5:
            self.assertIn("measuring", done.stderr)
        # What is kept is not measured again, and a quantity alone does not replace it.
        again = subprocess.run(words + ["--measure-cached"], env=self.environment, capture_output=True, text=True, timeout=60,
                               check=True)
        self.assertEqual(json.loads(again.stdout), report)
        done = subprocess.run([harness.binary("gpu-server"), "--measure", "--backend", "null"], env=self.environment,
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("runs nothing", done.stderr)


if __name__ == "__main__":
    harness.main()
