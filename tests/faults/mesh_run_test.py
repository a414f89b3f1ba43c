#!/usr/bin/env python3
"""mesh-run itself: the program's status is its own, its own failures are 125 and 2, and paths may be odd."""
import json
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
        for words in ((), ("--server", "shm://x"), ("--", "true"), ("--server", "udp://x", "--", "true"), ("--what", "--", "true"),
                      ("--server", "shm://x", "--json", "x", "--", "true")):
            run = self.run_command(binary("mesh-run"), *words)
            self.assertEqual(run.process.returncode, 2, f"{words}: {run.said()}")
            self.assertNotEqual(run.err.text(), "")

    def test_help(self):
        run = self.run_command(binary("mesh-run"), "--help")
        self.assertEqual(run.process.returncode, 0)
        for word in ("--server", "--stats", "--explain", "--json", "static", "125", "shm://NAME"):
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

    def explain(self, server, *options):
        need(self, app("cublas_gemm"))
        run = self.run_command(binary("mesh-run"), "--server", server.url, "--explain", *options, "--", app("cublas_gemm"))
        self.assertEqual(run.process.returncode, 0, run.said())
        self.assertIn("PASSED", run.out.lines)
        return run

    def test_explain(self):
        run = self.explain(self.serve())
        sums = {name: self.assert_one_line(run.err, f"{name}: ", " calls, ", "local", "posted", "waited", "called", "commands")
                for name in ("cudart", "cublas")}
        self.assertEqual(len([line for line in run.err.lines if line.split()[:2] == ["function", "calls"]]), 2, run.said())
        rows = {line.split()[0]: line.split()[1:7] for line in run.err.lines if line.startswith("  cu")}
        calls, local, posted, waited, called, commands = map(int, rows["cublasSgemm_v2"])
        # Some are told that an argument is wrong, and one has nothing to do.
        self.assertEqual((waited, called, local + posted), (0, 0, calls))
        self.assertGreater(posted, 20)
        self.assertGreaterEqual(commands, posted)
        calls, local, *others = map(int, rows["cublasSetPointerMode_v2"])
        self.assertEqual((calls, others), (local, [0, 0, 0, 0]))
        self.assert_one_line(run.err, "sent: ", "messages")

    def test_explain_as_json(self):
        server = self.serve()
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "calls.json")
            for runs in (1, 2):
                self.assertEqual(self.explain(server, "--json", path).err.text(), "")
                with open(path, encoding="utf-8") as file:
                    reports = [json.loads(line) for line in file]
                self.assertEqual(len(reports), runs)
        modes = ("local", "posted", "waited", "called")
        self.assertEqual(reports[0]["program"], "cublas_gemm")
        # What the agent predicts from.
        self.assertGreater(reports[0]["work"]["memory_bytes_high"], 0)
        work = {(one["operation"], one["type"]): one["count"] for one in reports[0]["work"]["operations"]}
        self.assertGreater(work["matmul", "fp32"], 0)
        self.assertGreater(reports[0]["ended_ms"], 1e12)
        libraries = reports[0]["libraries"]
        self.assertEqual({library["library"] for library in libraries}, {"cudart", "cublas"})
        for library in libraries:
            functions = library["functions"]
            for one in (library, *functions):
                self.assertEqual(one["calls"], sum(one[mode] for mode in modes), one)
                self.assertEqual(one["ns"], sum(one[mode + "_ns"] for mode in modes), one)
            for field in (*modes, "ns", "commands", "bytes"):
                self.assertEqual(library[field], sum(function[field] for function in functions), field)
            for ordered in (libraries, functions):
                costs = [one["ns"] for one in ordered]
                self.assertEqual(costs, sorted(costs, reverse=True))
        # The program has one thread, so that each of its calls is told what it sent; the session itself sends a few more.
        sent = reports[0]["sent"]["commands"]
        told = sum(library["commands"] for library in libraries)
        self.assertLessEqual(told, sent)
        self.assertGreater(told, 0.9 * sent)

    def test_a_file_that_cannot_be_written(self):
        run = self.run_command(binary("mesh-run"), "--server", "shm://x", "--explain", "--json", "/nowhere/x", "--", "true")
        self.assertEqual(run.process.returncode, 125)
        self.assert_one_line(run.err, "mesh-run: cannot write --json /nowhere/x")

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
