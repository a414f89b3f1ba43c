#!/usr/bin/env python3
"""mesh-run itself: the program's status is its own, its own failures are 125 and 2, and paths may be odd."""
import os
import shutil
import tempfile

import harness
from harness import app, binary, need


class MeshRun(harness.FaultCase):
    def setUp(self):
        super().setUp()
        harness.need_plain_programs(self)

    def mesh_run(self, *words, server="shm://nobody", **options):
        return self.run_command(binary("mesh-run"), "--server", server, "--", *words, **options)

    def test_the_status_is_the_programs(self):
        for status in (0, 1, 77):
            self.assertEqual(self.mesh_run("sh", "-c", f"exit {status}").process.returncode, status)
        self.assertEqual(self.mesh_run("sh", "-c", "kill -SEGV $$").process.returncode, -11)
        shell = self.run_command("sh", "-c", f"{binary('mesh-run')} --server shm://x -- sh -c 'kill -TERM $$'; echo $?")
        self.assertEqual(shell.out.lines[-1], "143")

    def test_the_arguments_are_the_programs(self):
        run = self.mesh_run("printf", "%s|", "--server", "a b", "", "--", "-h")
        self.assertEqual(run.out.text(), "--server|a b||--|-h|")

    def test_a_missing_program(self):
        for name in ("no-such-program", "./no-such-program", "/"):
            run = self.mesh_run(name)
            self.assertEqual(run.process.returncode, 125, run.said())
            self.assert_one_line(run.err, "mesh-run: cannot run", name)

    def test_a_wrong_command_line(self):
        for words in ((), ("--server", "shm://x"), ("--", "true"), ("--server", "udp://x", "--", "true"), ("--what", "--", "true")):
            run = self.run_command(binary("mesh-run"), *words)
            self.assertEqual(run.process.returncode, 2, f"{words}: {run.said()}")
            self.assertNotEqual(run.err.text(), "")

    def test_help(self):
        run = self.run_command(binary("mesh-run"), "--help")
        self.assertEqual(run.process.returncode, 0)
        for word in ("--server", "--stats", "static", "125", "shm://NAME"):
            self.assertIn(word, run.out.text())

    def test_an_environment_that_has_preloads(self):
        run = self.mesh_run("sh", "-c", "echo $LD_PRELOAD; echo $LD_LIBRARY_PATH",
                            environment={"LD_PRELOAD": "libm.so.6", "LD_LIBRARY_PATH": "/somewhere"})
        self.assertTrue(run.out.lines[0].endswith("libaccelmesh.so:libm.so.6"), run.said())
        self.assertTrue(run.out.lines[1].endswith("/soname:/somewhere"), run.said())

    def test_stats(self):
        need(self, app("vector_add"))
        server = self.serve()
        run = self.run_command(binary("mesh-run"), "--server", server.url, "--stats", "--", app("vector_add"))
        self.assertEqual(run.process.returncode, 0, run.said())
        self.assertIn("PASSED", run.out.lines)
        self.assert_one_line(run.err, "function", "calls", "local", "posted", "waited", "called", "time")
        malloc = self.assert_one_line(run.err, "  cudaMalloc ").split()
        total = self.assert_one_line(run.err, "  total ").split()
        rows = [line.split() for line in run.err.lines if line.startswith("  cuda") or "<<<" in line]
        self.assertEqual(malloc[1], "3")
        for column in range(1, 6):
            self.assertEqual(int(total[column]), sum(int(row[column]) for row in rows), run.said())
        for row in rows:
            self.assertEqual(int(row[1]), sum(int(n) for n in row[2:6]), row)
        self.assert_one_line(run.err, "messages", "data up", "down")
        quiet = self.run_app(server, "vector_add")
        self.assertEqual(quiet.err.text(), "")

    def test_a_build_folder_with_spaces(self):
        need(self, app("vector_add"))
        server = self.serve()
        with tempfile.TemporaryDirectory() as folder:
            moved = os.path.join(folder, "a build with spaces")
            os.makedirs(os.path.join(moved, "bin"))
            shutil.copy2(binary("mesh-run"), os.path.join(moved, "bin"))
            shutil.copytree(os.path.join(harness.Options.build, "lib"), os.path.join(moved, "lib"), symlinks=True)
            run = self.run_command(os.path.join(moved, "bin", "mesh-run"), "--server", server.url, "--", app("vector_add"))
            self.assertEqual(run.process.returncode, 0, run.said())
            self.assertEqual(run.err.text(), "")
            # And by a relative path.
            run = self.run_command("./bin/mesh-run", "--server", server.url, "--", app("vector_add"), folder=moved)
            self.assertEqual(run.process.returncode, 0, run.said())

    def test_a_folder_that_the_loader_cannot_take(self):
        with tempfile.TemporaryDirectory() as folder:
            moved = os.path.join(folder, "a:b")
            os.makedirs(os.path.join(moved, "bin"))
            shutil.copy2(binary("mesh-run"), os.path.join(moved, "bin"))
            shutil.copytree(os.path.join(harness.Options.build, "lib"), os.path.join(moved, "lib"), symlinks=True)
            run = self.run_command(os.path.join(moved, "bin", "mesh-run"), "--server", "shm://x", "--", "true")
            self.assertEqual(run.process.returncode, 125)
            self.assert_one_line(run.err, "mesh-run", "move AccelMesh elsewhere")
            os.remove(os.path.join(moved, "lib/accelmesh/libaccelmesh.so"))
            run = self.run_command(os.path.join(moved, "bin", "mesh-run"), "--server", "shm://x", "--", "true")
            self.assertEqual(run.process.returncode, 125)
            self.assert_one_line(run.err, "libaccelmesh.so is missing")


if __name__ == "__main__":
    harness.main()
