"""A slot-market and gpu-servers for the tests that need them, in a folder of their own, ended by pid."""
import json
import os
import shutil
import signal
import subprocess
import tempfile

import harness
from harness import Output, binary, need, wait_until

# Measuring a device takes seconds, more on a busy machine; it is cached for the tests that follow.
MEASURE_TIMEOUT_S = 120


def need_market_programs(test):
    """Skips a test aloud if it cannot have programs that lease what they run on."""
    harness.need_plain_programs(test)
    need(test, *(binary(name) for name in ("slot-market", "gpu-server", "slotctl", "mesh-run")))


class Daemon:
    """slot-market or a gpu-server."""

    def __init__(self, command, environment, core=None):
        if core is not None and shutil.which("taskset"):
            cores = sorted(os.sched_getaffinity(0))
            command = ["taskset", "-c", str(cores[core % len(cores)]), *command]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        start_new_session=True, env={**os.environ, **environment})
        self.out = Output(self.process.stdout)
        self.err = Output(self.process.stderr)

    def ready(self, timeout_s):
        line = self.out.wait_for(lambda line: line.startswith("ready "), timeout_s)
        return line.split()[1] if line else None

    def kill(self):
        harness.kill(self.process)

    def end(self):
        harness.end_group(self.process, self.out, self.err)

    def said(self):
        return f"stdout:\n{self.out.text()}\nstderr:\n{self.err.text()}"


class Market:
    """A market and its gpu-servers, of one core each. start(): two of them; the second lets 30 % of its own."""

    measured = {}  # what one market's servers measured, its files by name: others of this process need not measure again

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="market-")
        for name in ("run", "config", "state", "cache"):
            os.mkdir(os.path.join(self.home, name), 0o700)
        os.mkdir(os.path.join(self.home, "state", "accelmesh"), 0o700)
        for name, text in self.measured.items():
            with open(os.path.join(self.home, "state", "accelmesh", name), "wb") as file:
                file.write(text)
        self.environment = {"HOME": self.home, "XDG_CONFIG_HOME": f"{self.home}/config", "XDG_STATE_HOME": f"{self.home}/state",
                            "XDG_RUNTIME_DIR": f"{self.home}/run", "XDG_CACHE_HOME": f"{self.home}/cache",
                            "ACCELMESH_MARKET_KEY": ""}
        self.daemons = []
        self.url = "tcp://127.0.0.1:0"
        self.market = None
        self.servers = {}

    def start_market(self, environment=None, options=()):
        self.market = Daemon([binary("slot-market"), "--listen", self.url, "--store", f"sqlite:{self.home}/market.sqlite",
                              "--metrics", "off", *options], {**self.environment, **(environment or {})})
        self.daemons.append(self.market)
        url = self.market.ready(20)
        if url is None:
            raise AssertionError(f"slot-market did not start\n{self.market.said()}")
        self.url = url
        self.environment["ACCELMESH_MARKET"] = url

    def start_server(self, name, core, *arguments, environment=None):
        keys = f"{self.home}/keys-{name}"
        if not os.path.exists(keys):
            made = self.slotctl("keys", "create", "server", "--role", "provider", "--keys", keys)
            self.slotctl("keys", "trust", made["public_key"], "--role", "provider", "--name", name)
        server = Daemon([binary("gpu-server"), "--market", self.url, "--keys", keys, "--state", f"{self.home}/state-{name}",
                         "--server-name", name, "--listen", "tcp://127.0.0.1:0", "--listen", f"shm://{os.path.basename(self.home)}-{name}",
                         "--backend", "cpu", "--cpu-threads", "1", "--memory", "1GiB", "--warm-workers", "1", "--verbose", *arguments],
                        {**self.environment, **(environment or {})}, core)
        self.daemons.append(server)
        self.servers[name] = server
        if server.ready(20) is None:
            raise AssertionError(f"gpu-server did not start\n{server.said()}")

    def start(self):
        self.slotctl("keys", "create", "default")
        self.start_market()
        self.start_server("left", 0, "--price", "2")
        self.start_server("right", 1, "--price", "1", "--sell-share", "0.30")
        self.await_slots(2)

    def await_slots(self, count):
        if not wait_until(lambda: len(self.slots()) == count, MEASURE_TIMEOUT_S):
            raise AssertionError("the servers did not offer their slots\n" + "\n".join(one.said() for one in self.daemons))
        state = os.path.join(self.home, "state", "accelmesh")
        for name in os.listdir(state):
            if name.startswith("measured-"):
                with open(os.path.join(state, name), "rb") as file:
                    self.measured[name] = file.read()

    def slotctl(self, *words):
        done = subprocess.run([binary("slotctl"), *words, "--json"], capture_output=True, text=True, timeout=30, check=False,
                              env={**os.environ, **self.environment})
        if done.returncode != 0:
            raise AssertionError(f"slotctl {words}: {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def slots(self):
        found = self.slotctl("slots")["slots"]
        return {slot["server_name"]: slot for slot in found if slot["state"] != "unreachable"}

    def leases(self):
        return [lease for lease in self.slotctl("leases", "--all")["leases"] if lease["state"] == "active"]

    def end(self):
        for daemon in reversed(self.daemons):
            daemon.end()
        shutil.rmtree(self.home, ignore_errors=True)
