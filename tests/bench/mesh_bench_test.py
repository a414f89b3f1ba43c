#!/usr/bin/env python3
"""That mesh-bench measures everything that it says it measures, over shm and tcp: each row is there once, has a number and
a floor to compare it with, and counted the calls and messages that the operation makes. How good a number is, on this
machine and at this hour, fails nothing.

    mesh_bench_test.py --mesh-bench PATH --client bench_client

Exit: 0 passed, 1 not, 77 skipped.
"""
import argparse
import ctypes.util
import json
import os
import subprocess
import sys
import tempfile
import unittest

SKIPPED = 77
RUN_TIMEOUT_S = 240
TRANSPORTS = ("shm", "tcp")

# (row, backend, unit): (posted, waited, called) an operation; None where it depends on the sizes.
ROWS = {
    ("launches", "null", "1/s"): (1, 0, 0),
    ("client CPU a post", "null", "ns"): (1, 0, 0),
    ("synchronous call", "null", "us"): (0, 0, 1),
    ("launch and wait", "null", "us"): (1, 1, 0),
    ("4 bytes to the host", "null", "us"): (0, 1, 0),
    ("malloc+free, idle", "null", "1/s"): (2, 0, 0),
    ("malloc+free, launch held", "null", "1/s"): (2, 0, 0),
    ("event records", "null", "1/s"): (1, 0, 0),
    ("malloc, launch, wait, from start to end", "cpu", "ms"): None,
    ("launches", "cpu", "1/s"): (1, 0, 0),
    ("64 MiB to device, pinned", "cpu", "GB/s"): None,
    ("64 MiB to device, pageable", "cpu", "GB/s"): None,
    ("64 MiB to host, pinned", "cpu", "GB/s"): None,
    ("64 MiB to host, pageable", "cpu", "GB/s"): None,
}
# Those of cuBLAS, and over which transports; here a step is an operation.
STEPS = ("cublas: step of a transformer", "cublas: step of a transformer, round trip 0.3 ms", "cublas: step of a transformer, round trip 30 ms")
BLAS_ROWS = {
    ("cublas: client CPU a posted cublasSgemm", "null", "ns"): ((1, 0, 0), TRANSPORTS),
    ("cublas: client CPU a posted cublasLtMatmul", "null", "ns"): ((1, 0, 0), TRANSPORTS),
    ("cublas: sgemm of 2048", "cpu", "GFLOP/s"): (None, ("shm",)),
    **{(step, backend, "ms"): (None, ("tcp",)) for step in STEPS for backend in ("null", "cpu")},
}
# Without these no row of cuBLAS is measured.
BLAS_PROGRAMS = ("bench_blas", "transformer")
# The set-up's own calls differ by one now and then.
SLACK = 0.05


class Options:
    mesh_bench = ""
    client = ""


class MeshBench(unittest.TestCase):
    def setUp(self):
        with tempfile.TemporaryDirectory(prefix="mesh-bench-test-") as folder:
            path = os.path.join(folder, "bench.json")
            command = [Options.mesh_bench, "--quick", "--client", Options.client, "--json", path]
            for transport in TRANSPORTS:
                command += ["--transport", transport]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False)
            self.said = done.stdout + done.stderr
            self.assertEqual(done.returncode, 0, self.said)
            with open(path, encoding="utf-8") as file:
                self.results = json.load(file)

    def expected_rows(self):
        rows = {key: TRANSPORTS for key in ROWS}
        apps = os.path.dirname(Options.client)
        if all(os.path.exists(os.path.join(apps, program)) for program in BLAS_PROGRAMS):
            rows |= {key: transports for key, (_, transports) in BLAS_ROWS.items()}
            if ctypes.util.find_library("openblas") is None:
                del rows["cublas: sgemm of 2048", "cpu", "GFLOP/s"]
        return rows

    def check_row(self, row):
        name = f"{row['what']}, {row['backend']}, {row['transport']}, {row['placement']}"
        self.assertNotIn("error", row, self.said)
        self.assertGreater(row["measured"], 0, name)
        if row["unit"] == "ns" or row["what"] == STEPS[0]:
            self.assertIsNone(row["floor"], name)
        else:
            self.assertGreater(row["floor"], 0, name)
            self.assertAlmostEqual(row["ratio"], row["measured"] / row["floor"], delta=row["ratio"] * 1e-3, msg=name)
            self.assertNotEqual(row["floor_name"], "", name)
        self.assertEqual(row["met"] is None, row["target"] == "-", name)
        operation = row["an_operation"]
        if row["what"] in STEPS:
            self.assertGreater(operation["posted"], 50, name)
            self.assertLess(operation["waited"] + operation["called"], 1, name)
            self.assertGreater(operation["messages"], 0, name)
            return
        if row["unit"] == "ms":
            return  # a process as a whole
        key = row["what"], row["backend"], row["unit"]
        calls = BLAS_ROWS[key][0] if key in BLAS_ROWS else ROWS[key]
        if calls is not None:
            posted, waited, called = calls
            self.assertAlmostEqual(operation["called"], called, delta=SLACK, msg=f"{name}: called")
            if waited == 0:
                self.assertAlmostEqual(operation["posted"], posted, delta=SLACK, msg=f"{name}: posted")
            # On a busy machine what is waited for may be there already: then the call counts as another kind.
            done = operation["local"] + operation["posted"] + operation["waited"]
            self.assertAlmostEqual(done, posted + waited, delta=SLACK, msg=f"{name}: local, posted and waited")
        # No operation needs more messages than commands; on shm each posted one is a frame of its own.
        self.assertGreater(operation["messages"], 0, name)
        if calls is not None:
            self.assertLessEqual(operation["messages"], max(sum(calls), 1) + SLACK, name)

    def test_everything_is_measured(self):
        rows = self.results["rows"]
        placements = {row["placement"] for row in rows}
        self.assertEqual(placements, {"one core"} | ({"one core each"} if len(os.sched_getaffinity(0)) >= 2 else set()))
        found = sorted((row["what"], row["backend"], row.get("unit"), row["transport"], row["placement"]) for row in rows)
        expected = sorted((*key, transport, placement) for key, transports in self.expected_rows().items() for transport in transports
                          for placement in placements)
        self.assertEqual(found, expected, self.said)
        self.assertEqual(self.results["machine"]["cpus"], len(os.sched_getaffinity(0)))
        for row in rows:
            self.check_row(row)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mesh-bench", required=True)
    parser.add_argument("--client", required=True)
    options, rest = parser.parse_known_args()
    Options.mesh_bench, Options.client = options.mesh_bench, options.client
    for path in (options.mesh_bench, options.client):
        if not os.access(path, os.X_OK):
            print(f"SKIPPED: {path} was not built")
            return SKIPPED
    return 0 if unittest.main(argv=[sys.argv[0], *rest], verbosity=2, exit=False).result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
