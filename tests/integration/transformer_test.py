#!/usr/bin/env python3
"""The transformer of tests/apps trains alike everywhere: through every transport, bit for bit, and from a root folder in
which there is no library of NVIDIA's, only the program, what it needs besides, and the client's files. Its backward pass
agrees with differences of its loss, and a step waits for the server at most once.

    transformer_test.py --build FOLDER
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))
import harness  # noqa: E402  the folder is on the path only now
from harness import app, binary, need  # noqa: E402

TRANSPORTS = ("shm", "tcp", "ipc")
STEPS = 20
CLIENT_FILES = ("libaccelmesh.so", "libaccelmesh_zmq.so", "soname")
NVIDIA = re.compile(r"lib(cuda|cudart|cublas|cublasLt|nv\w*|cudnn\w*)\b.*\.so")


def client_folder():
    return Path(harness.Options.build) / "lib/accelmesh"


def libraries_of(*objects):
    """What the loader would load for these objects, from our files and the system's; paths as it names them."""
    found = set()
    for path in objects:
        done = subprocess.run(["ldd", str(path)], capture_output=True, text=True, timeout=20, check=True,
                              env={**os.environ, "LD_LIBRARY_PATH": str(client_folder() / "soname")})
        found |= set(re.findall(r"(/\S+) \(0x", done.stdout))
    return {path for path in found if not path.startswith(str(client_folder()))}


class Root:
    """A root folder that has /app, /accelmesh/bin, /accelmesh/lib/accelmesh and the system's libraries."""

    def __init__(self, folder, programs):
        self.folder = Path(folder)
        for name in ("app", "accelmesh/bin", "accelmesh/lib/accelmesh", "proc", "run", "tmp"):
            (self.folder / name).mkdir(parents=True)
        mesh_run = binary("mesh-run")
        shutil.copy2(mesh_run, self.folder / "accelmesh/bin")
        for program in programs:
            shutil.copy2(program, self.folder / "app")
        ours = []
        for name in CLIENT_FILES:
            source, target = client_folder() / name, self.folder / "accelmesh/lib/accelmesh" / name
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            else:
                shutil.copy2(source, target)
                ours.append(source)
        for library in libraries_of(mesh_run, *programs, *ours):
            target = self.folder / library.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(os.path.realpath(library), target)

    def files_of_nvidia(self):
        """Everything with such a name but our own facades, which have the name and nothing else of it."""
        facades = self.folder / "accelmesh/lib/accelmesh/soname"
        return [path for path in self.folder.rglob("*") if NVIDIA.match(path.name) and path.parent != facades]

    def command(self, *words):
        """Runs with this folder as its root; /proc, because mesh-run finds itself there."""
        inside = f'mount --rbind /proc "{self.folder}/proc" && exec chroot "{self.folder}" "$@"'
        return [*separate(), "sh", "-c", inside, "sh", *words]


def separate():
    """The command that gives a program mounts of its own."""
    return ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--mount", "--map-root-user"]


class Transformer(harness.FaultCase):
    def setUp(self):
        super().setUp()
        harness.need_plain_programs(self)
        need(self, app("transformer"))

    def serve_by(self, transport):
        harness.Options.transport = transport
        return self.serve()

    def train(self, server, *arguments):
        """The line in which the program tells its losses."""
        run = self.assert_passes(server, "transformer", *arguments)
        self.assertEqual(run.err.text(), "")
        return self.assert_one_line(run.out, "transformer: ", "loss", "trace")

    def test_the_losses_are_the_same_through_every_transport(self):
        said = {transport: self.train(self.serve_by(transport)) for transport in TRANSPORTS}
        self.assertEqual(len(set(said.values())), 1, said)

    def test_the_backward_pass(self):
        self.assert_passes(self.serve_by("shm"), "transformer", "gradients")

    def explained(self, server, steps, path):
        run = self.run_command(binary("mesh-run"), "--server", server.url, "--explain", "--json", path, "--", app("transformer"),
                               "bench", str(steps), "0")
        self.assertEqual(run.process.returncode, 0, run.said())
        report = json.loads(Path(path).read_text(encoding="utf-8").splitlines()[-1])
        return {library["library"]: library for library in report["libraries"]}

    def test_a_step_waits_once_at_most(self):
        # The first steps load the kernels; between two runs of different length there are steps alone.
        with tempfile.TemporaryDirectory() as folder:
            server = self.serve_by("tcp")
            path = os.path.join(folder, "explained.json")
            few, some = self.explained(server, STEPS, path), self.explained(server, 2 * STEPS, path)
        self.assertEqual(set(some), {"cudart", "cublas", "cublasLt"})
        for name, library in some.items():
            for mode in ("posted", "called", "waited"):
                library[mode] -= few[name][mode]
            self.assertGreater(library["posted"], STEPS, name)
            self.assertEqual(library["called"], 0, f"{name}: a step makes no round trip")
        self.assertLessEqual(sum(library["waited"] for library in some.values()), STEPS)

    def test_a_root_folder_without_nvidia(self):
        programs = [app("transformer"), app("cublas_gemm")]
        need(self, *programs)
        if shutil.which("unshare") is None or subprocess.run([*separate(), "true"], capture_output=True, check=False).returncode != 0:
            self.skipTest("no mounts of one's own are allowed here, so that no program can be given another root folder")
        with tempfile.TemporaryDirectory(prefix="no-nvidia-") as folder:
            root = Root(os.path.join(folder, "root"), programs)
            self.assertEqual(root.files_of_nvidia(), [])
            outside = self.train(self.serve_by("shm"))
            os.environ["XDG_RUNTIME_DIR"] = str(root.folder / "run")
            try:
                server = self.serve_by("shm")
            finally:
                del os.environ["XDG_RUNTIME_DIR"]
            tcp = self.serve_by("tcp")
            for url, name in ((server.url, "transformer"), (tcp.url, "transformer"), (tcp.url, "cublas_gemm")):
                run = self.run_command(*root.command("/accelmesh/bin/mesh-run", "--server", url, "--", f"/app/{name}"),
                                       environment={"XDG_RUNTIME_DIR": "/run", "LD_LIBRARY_PATH": ""})
                self.assertEqual(run.process.returncode, 0, f"{name} on {url}: {run.said()}")
                self.assertIn("PASSED", run.out.lines)
                if name == "transformer":
                    self.assertEqual(self.assert_one_line(run.out, "transformer: "), outside)
            # That it is another root: without the client's files it cannot even start.
            bare = self.run_command(*root.command("/app/transformer"))
            self.assertNotEqual(bare.process.returncode, 0)
            self.assert_one_line(bare.err, "cannot open shared object file", ".so.13")


if __name__ == "__main__":
    harness.main()
