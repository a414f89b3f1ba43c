#!/usr/bin/env python3
"""What cannot be served: each has a fitting CUDA error and one line that names cause and remedy, and nothing hangs."""
import os
import subprocess
import tempfile

import harness
from harness import app, binary, need

STUB_RUNTIME = """
int cudaMalloc(void** p, unsigned long n) { (void)p; (void)n; return 0; }
int cudaGetDeviceCount(int* n) { *n = 77; return 0; }
"""
STUB_PROGRAM = """
#include <stdio.h>
int cudaMalloc(void** p, unsigned long n);
int main(void) { void* p = 0; printf("cudaMalloc %d\\n", cudaMalloc(&p, 64)); return 0; }
"""


class NoServer(harness.FaultCase):
    def test_nobody_at_the_url(self):
        with tempfile.TemporaryDirectory() as folder:
            url = {"tcp": "tcp://127.0.0.1:1", "ipc": f"ipc://{folder}/nobody", "shm": "shm://nobody-here"}[harness.Options.transport]
            program = self.run_command(binary("mesh-run"), "--server", url, "--", app("vector_add"))
        self.assertEqual(program.process.returncode, 1, program.said())
        self.assertIn("cudaErrorNoDevice", program.out.text())
        line = self.assert_one_line(program.err, "accelmesh error")
        self.assertIn(url, line)
        self.assertIn("gpu-server", line)

    def test_no_server_named(self):
        # Somebody preloads the shim by hand.
        program = self.run_command(app("vector_add"), environment={
            "LD_PRELOAD": harness.preloaded(os.path.join(harness.Options.build, "lib/accelmesh/libaccelmesh.so")),
            "ACCELMESH_SERVER": "",
            "LD_LIBRARY_PATH": os.path.join(harness.Options.build, "lib/accelmesh/soname")})
        self.assertEqual(program.process.returncode, 1, program.said())
        self.assert_one_line(program.err, "no gpu-server is named", "mesh-run --server")


class Limits(harness.FaultCase):
    def test_quota(self):
        self.assert_passes(self.serve("--memory", "64MiB"), "quota")

    def test_no_room_for_the_window(self):
        harness.need_plain_programs(self)
        server = self.serve()
        need(self, app("vector_add"))
        program = self.run_command("bash", "-c", 'ulimit -v 8000000; exec "$@"', "bash", binary("mesh-run"), "--server",
                                   server.url, "--", app("vector_add"))
        self.assertEqual(program.process.returncode, 1, program.said())
        line = self.assert_one_line(program.err, "accelmesh error")
        self.assertIn("ulimit -v", line)
        self.assertIn("window", line)
        self.assertIn("cudaErrorMemoryAllocation", program.out.text())
        self.assert_passes(server, "vector_add")


    def test_worker_ports(self):
        if harness.Options.transport != "tcp":
            self.skipTest("only sessions over tcp have ports")
        # Four ports: a session needs five, even if all of these are free.
        server = self.serve("--worker-ports", "29870-29873")
        program = self.run_app(server, "vector_add")
        self.assertEqual(program.process.returncode, 1, program.said())
        self.assertIn("cudaErrorNoDevice", program.out.text())
        line = self.assert_one_line(program.err, "accelmesh error")
        for word in ("29870-29873", "a session needs five", "--worker-ports"):
            self.assertIn(word, line)
        self.assertTrue(server.alive())
        self.assert_passes(self.serve("--worker-ports", "29870-29999"), "vector_add")

    def test_worker_ports_that_are_none(self):
        for ports in ("29870", "29873-29870", "0-5", "29870-70000"):
            with self.subTest(ports=ports):
                server = self.run_command(binary("gpu-server"), "--listen", "shm://no-ports", "--worker-ports", ports)
                self.assertEqual(server.process.returncode, 2, server.said())
                self.assert_one_line(server.err, "--worker-ports", ports, "40000-40100")


class Images(harness.FaultCase):
    def test_a_fatbin_without_ptx(self):
        program = self.assert_passes(self.serve(), "sass_only")  # it checks for error 209
        line = self.assert_one_line(program.err, "no PTX", "SASS sm_80")
        self.assertIn("nvcc", line)

    def test_relocatable_device_code(self):
        program = self.assert_passes(self.serve(), "relocatable")
        self.assert_one_line(program.err, "-rdc", "build it without")


class Runtimes(harness.FaultCase):
    def setUp(self):
        super().setUp()
        harness.need_plain_programs(self)

    def build(self, folder, name, source, *arguments):
        path = os.path.join(folder, name)
        subprocess.run(["gcc-12", "-o", path, "-x", "c", "-", "-x", "none", *arguments], input=source, text=True, check=True, timeout=60)
        return path

    def test_the_static_runtime(self):
        server = self.serve()
        need(self, app("static_runtime"))
        direct = self.run_command(binary("mesh-run"), "--server", server.url, "--", app("static_runtime"))
        self.assertEqual(direct.process.returncode, 125, direct.said())
        self.assertEqual(direct.out.text(), "", "the program ran")
        self.assert_one_line(direct.err, "static CUDA runtime", "nvcc -cudart shared")
        # Started by a script it runs, says so, and has no device.
        script = self.run_command(binary("mesh-run"), "--server", server.url, "--", "sh", "-c", app("static_runtime") + "; exit $?")
        self.assertEqual(script.process.returncode, 1, script.said())
        self.assert_one_line(script.err, "static CUDA runtime", "nvcc -cudart shared")

    def test_a_local_gpu_is_hidden_from_the_static_runtime(self):
        # What the CUDA driver would read: the program itself cannot be asked, so one that prints its environment stands
        # in, with a section of nvcc's name.
        server = self.serve()
        source = ('#include <stdio.h>\n#include <stdlib.h>\n__attribute__((section(".nvFatBinSegment"))) int fatbin = 1;\n'
                  'int main(void) { const char* v = getenv("CUDA_VISIBLE_DEVICES"); printf("devices %s\\n", v ? v : "all"); }\n')
        with tempfile.TemporaryDirectory() as folder:
            program = self.build(folder, "pretender", source)
            for before in ({}, {"CUDA_VISIBLE_DEVICES": "0"}):
                run = self.run_command(binary("mesh-run"), "--server", server.url, "--", "sh", "-c", program, environment=before)
                self.assertEqual(run.out.text(), "devices -1", run.said())

    def test_another_major_version(self):
        server = self.serve()
        with tempfile.TemporaryDirectory() as folder:
            stub = self.build(folder, "libcudart.so.12", STUB_RUNTIME, "-shared", "-fPIC", "-Wl,-soname,libcudart.so.12")
            program = self.build(folder, "program", STUB_PROGRAM, stub)
            here = {"LD_LIBRARY_PATH": folder}
            direct = self.run_command(binary("mesh-run"), "--server", server.url, "--", program, environment=here)
            self.assertEqual(direct.process.returncode, 125, direct.said())
            self.assert_one_line(direct.err, "libcudart.so.12", "CUDA 13")
            # Through a script, and through a library of the program's: refused with a fitting error, not misread.
            script = self.run_command(binary("mesh-run"), "--server", server.url, "--", "sh", "-c", program, environment=here)
            self.assertEqual(script.out.text(), "cudaMalloc 35", script.said())
            self.assert_one_line(script.err, "libcudart.so.12", "CUDA 13")
            library = self.build(folder, "libuser.so", "int cudaMalloc(void**, unsigned long);"
                                 "int Use(void** p) { return cudaMalloc(p, 64); }", "-shared", "-fPIC", stub)
            user = self.build(folder, "user", "#include <stdio.h>\nint Use(void**);"
                              'int main(void) { void* p = 0; printf("cudaMalloc %d\\n", Use(&p)); return 0; }', library,
                              f"-Wl,-rpath-link,{folder}")
            indirect = self.run_command(binary("mesh-run"), "--server", server.url, "--", user, environment=here)
            self.assertEqual(indirect.out.text(), "cudaMalloc 35", indirect.said())
            self.assert_one_line(indirect.err, "libuser.so", "libcudart.so.12")


class Addresses(harness.FaultCase):
    def test_only_this_machine(self):
        for url in ("tcp://0.0.0.0:0", "tcp://192.0.2.7:7700", "tcp://[::]:0", "tcp://example.org:7700"):
            with self.subTest(url=url):
                server = self.run_command(binary("gpu-server"), "--listen", url)
                self.assertNotEqual(server.process.returncode, 0)
                line = self.assert_one_line(server.err, "gpu-server")
                self.assertIn("127.0.0.1", line)
                self.assertEqual(server.out.text(), "")

    def test_an_url_that_is_none(self):
        for url in ("7700", "udp://127.0.0.1:1", "tcp://127.0.0.1", "shm://", "ipc://relative"):
            with self.subTest(url=url):
                server = self.run_command(binary("gpu-server"), "--listen", url)
                self.assertNotEqual(server.process.returncode, 0)
                self.assert_one_line(server.err, url)


if __name__ == "__main__":
    harness.main()
