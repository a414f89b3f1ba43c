#!/usr/bin/env python3
"""The networks of tests/apps that train with cuDNN (lenet, resnet) do so alike everywhere, bit for bit: through every
transport, and from a root folder in which there is no library of NVIDIA's. A step waits for the server once at most.

    networks_test.py --build FOLDER
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))
import harness  # noqa: E402  the folder is on the path only now
import transformer_test  # noqa: E402  for the root folder; its cases are not run here
from harness import app, binary, need  # noqa: E402

NETWORKS = ("lenet", "resnet")
TRANSPORTS = ("shm", "tcp", "ipc")
STEPS = 10


class Networks(harness.FaultCase):
    def setUp(self):
        super().setUp()
        harness.need_plain_programs(self)
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

    def explained(self, server, name, steps, path):
        """What --explain counted, a library each."""
        run = self.run_command(binary("mesh-run"), "--server", server.url, "--explain", "--json", path, "--", app(name),
                               "bench", str(steps))
        self.assertEqual(run.process.returncode, 0, run.said())
        report = json.loads(Path(path).read_text(encoding="utf-8").splitlines()[-1])
        return {library["library"]: library for library in report["libraries"]}

    def test_a_step_waits_once_at_most(self):
        server = self.serve_by("tcp")
        for name in NETWORKS:
            # The first steps load the kernels; between two runs of different length there are steps alone.
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "explained.json")
                few, some = (self.explained(server, name, steps, path) for steps in (STEPS, 2 * STEPS))
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
