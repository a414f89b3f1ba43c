#!/usr/bin/env python3
"""The networks of tests/apps that train with cuDNN (lenet, resnet) do so alike everywhere, bit for bit: through every
transport, and from a root folder in which there is no library of NVIDIA's. A step waits for the server once at most.

What a library answered once, no program asks of that server again.

    networks_test.py --build FOLDER
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest.mock
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))
import harness  # noqa: E402  the folder is on the path only now
import transformer_test  # noqa: E402  for the root folder; its cases are not run here
from harness import app, binary, need  # noqa: E402

NETWORKS = ("lenet", "resnet")
# Programs with questions to a library: convolutions, graphs, products.
ASKING = (("lenet", "bench", "2"), ("resnet", "bench", "2"), ("cudnn_graph",), ("cublaslt_matmul",))
# What opens a library, once a process.
OPENING = {"cudnnCreate", "cublasCreate_v2", "cublasLtCreate"}
TRANSPORTS = ("shm", "tcp", "ipc")
STEPS = 10


class Networks(harness.FaultCase):
    def setUp(self):
        super().setUp()
        harness.need_plain_programs(self)
        # What libraries answered in other tests, and by other builds, says nothing here.
        caches = tempfile.TemporaryDirectory()
        self.addCleanup(caches.cleanup)
        environment = unittest.mock.patch.dict(os.environ, {"XDG_CACHE_HOME": caches.name})
        environment.start()
        self.addCleanup(environment.stop)
        self.answers = os.path.join(caches.name, "accelmesh", "answers")
        need(self, *(app(name) for name in NETWORKS))

    def serve_by(self, transport):
        harness.Options.transport = transport
        return self.serve()

    def losses_of(self, name, run):
        self.assertEqual(run.process.returncode, 0, f"{name}: {run.said()}")
        self.assertIn("PASSED", run.out.lines)
        return self.assert_one_line(run.out, f"{name}: ", "loss", "trace")

    def train(self, server, name):
        """The line in which the program tells its losses."""
        run = self.run_app(server, name)
        self.assertEqual(run.err.text(), "")
        return self.losses_of(name, run)

    def test_the_losses_are_the_same_through_every_transport(self):
        servers = [self.serve_by(transport) for transport in TRANSPORTS]
        for name in NETWORKS:
            said = {server.url: self.train(server, name) for server in servers}
            self.assertEqual(len(set(said.values())), 1, said)

    def explained(self, server, path, name, *arguments):
        """What --explain counted, a library each."""
        run = self.run_command(binary("mesh-run"), "--server", server.url, "--explain", "--json", path, "--", app(name),
                               *arguments)
        self.assertEqual(run.process.returncode, 0, run.said())
        report = json.loads(Path(path).read_text(encoding="utf-8").splitlines()[-1])
        return {library["library"]: library for library in report["libraries"]}

    def questions(self, server, *program):
        """How many round trips cuDNN and cuBLASLt made, but for what opens them."""
        with tempfile.TemporaryDirectory() as folder:
            counts = self.explained(server, os.path.join(folder, "explained.json"), *program)
        functions = [function for name in ("cudnn", "cublasLt") for function in counts.get(name, {}).get("functions", [])]
        self.assertNotEqual(functions, [], program)
        return sum(function["called"] for function in functions if function["function"] not in OPENING)

    def test_the_second_run_asks_nothing(self):
        need(self, *(app(name) for name, *_ in ASKING))
        server = self.serve_by("tcp")
        first = [self.questions(server, *program) for program in ASKING]
        self.assertNotIn(0, first)
        self.assertEqual([self.questions(server, *program) for program in ASKING], [0] * len(ASKING))
        # Nor of another server of the same user's, by another transport.
        other = self.serve_by("shm")
        self.assertEqual([self.questions(other, *program) for program in ASKING], [0] * len(ASKING))

    def test_what_was_answered_may_be_lost(self):
        server = self.serve_by("tcp")
        first = self.questions(server, "lenet", "bench", "2")
        whole = Path(self.answers).read_bytes()
        for spoiled in (whole[:-1], b"\xff" * len(whole), b"", whole + b"\0" * (8 << 20)):
            Path(self.answers).write_bytes(spoiled)
            again = self.questions(server, "lenet", "bench", "2")
            self.assertEqual(again, 1 if len(spoiled) == len(whole) - 1 else first)
            self.assertEqual(self.questions(server, "lenet", "bench", "2"), 0)
        said = [line for line in server.err.lines if self.answers in line]
        self.assertEqual(len(said), 3, said)
        # Two programs that find nothing write at once.
        Path(self.answers).unlink()
        both = [self.start(server, name, "bench", "2") for name in NETWORKS]
        for program in both:
            self.assertEqual(program.wait(), 0, program.said())
        self.assertEqual([self.questions(server, name, "bench", "2") for name in NETWORKS], [0, 0])

    def test_a_step_waits_once_at_most(self):
        server = self.serve_by("tcp")
        for name in NETWORKS:
            # The first steps load the kernels; between two runs of different length there are steps alone.
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "explained.json")
                # Before them one that asks the libraries.
                _, few, some = (self.explained(server, path, name, "bench", str(steps)) for steps in (1, STEPS, 2 * STEPS))
            self.assertEqual(set(some), {"cudart", "cublas", "cudnn"})
            for library, counts in some.items():
                for mode in ("posted", "called", "waited"):
                    counts[mode] -= few[library][mode]
                self.assertGreater(counts["posted"], STEPS, f"{name}, {library}")
                self.assertEqual(counts["called"], 0, f"{name}, {library}: a step makes no round trip")
            self.assertEqual(some["cudnn"]["waited"] + some["cublas"]["waited"], 0, name)
            self.assertLessEqual(some["cudart"]["waited"], STEPS, name)

    def test_a_root_folder_without_nvidia(self):
        separate = transformer_test.separate()
        if shutil.which("unshare") is None or subprocess.run([*separate, "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no mounts of one's own are allowed here, so that no program can be given another root folder")
        with tempfile.TemporaryDirectory(prefix="no-nvidia-") as folder:
            root = transformer_test.Root(os.path.join(folder, "root"), [app(name) for name in NETWORKS])
            self.assertEqual(root.files_of_nvidia(), [])
            server = self.serve_by("tcp")
            for name in NETWORKS:
                run = self.run_command(*root.command("/accelmesh/bin/mesh-run", "--server", server.url, "--", f"/app/{name}"),
                                       environment={"XDG_RUNTIME_DIR": "/run", "LD_LIBRARY_PATH": ""})
                self.assertEqual(self.losses_of(name, run), self.train(server, name))


if __name__ == "__main__":
    harness.main()
