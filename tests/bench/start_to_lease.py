#!/usr/bin/env python3
"""How long mesh-run takes from its start to a lease, on an idle market with a warm worker: slot-market on SQLite and one
gpu-server are started, N programs follow one another, and each one's times are taken.

  tests/bench/start_to_lease.py --build build/dev [--runs 100] [--json]

`lease`: from the beginning of mesh-run's main to the lease file (the lease is won and admitted by the gpu-server).
`program`: from the fork before mesh-run to the first output of the program, /bin/date, less the same without mesh-run.
"""
import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))
import harness  # noqa: E402  the folder is on the path only now
from market_harness import MEASURE_TIMEOUT_S, Market  # noqa: E402

DATE = ["/bin/date", "+%s%N"]


def first_output_ms(command, environment):
    began = time.time_ns()
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=environment)
    return (int(done.stdout) - began) / 1e6


def summary(times):
    ordered = sorted(times)
    return {"median_ms": round(ordered[len(ordered) // 2], 2), "p90_ms": round(ordered[len(ordered) * 9 // 10], 2),
            "worst_ms": round(ordered[-1], 2)}


def measure(runs):
    market = Market()
    try:
        market.slotctl("keys", "create", "default")
        market.start_market()
        market.start_server("one", 0)
        if not harness.wait_until(lambda: len(market.slots()) == 1, MEASURE_TIMEOUT_S):
            raise SystemExit("the gpu-server did not offer its slot")
        environment = {**os.environ, **market.environment}
        steps = os.path.join(market.home, "steps")
        plain, programs, leases = [], [], []
        for _ in range(runs):
            plain.append(first_output_ms(DATE, environment))
            programs.append(first_output_ms([harness.binary("mesh-run"), "--memory", "64MiB", "--explain", "--json", steps, "--", *DATE],
                                            environment))
        with open(steps, encoding="utf-8") as file:
            leases = [line["since_start_ms"] for line in map(json.loads, file) if line.get("agent") == "negotiation"]
        alone = summary(plain)["median_ms"]
        return {"runs": runs, "lease": summary(leases), "program": summary([time_ms - alone for time_ms in programs]),
                "date_alone_ms": alone}
    finally:
        market.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    harness.Options.build = os.path.abspath(options.build)
    result = measure(options.runs)
    if options.json:
        print(json.dumps(result))
        return
    for name in ("lease", "program"):
        print(f"{name:8} median {result[name]['median_ms']} ms, p90 {result[name]['p90_ms']} ms, worst {result[name]['worst_ms']} ms")
    print(f"{result['runs']} runs; date alone {result['date_alone_ms']} ms")


if __name__ == "__main__":
    main()
