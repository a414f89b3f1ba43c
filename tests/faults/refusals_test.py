#!/usr/bin/env python3
"""What cannot be served: each has a fitting CUDA error and one line that names cause and remedy, and nothing hangs."""
import os
import shutil
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


# By its names a static runtime of CUDA 13, as small as one can be. Each function says that it ran itself, and nothing of it
# may run.
NAMES = """__cudaRegisterFatBinary __cudaRegisterFatBinaryEnd __cudaUnregisterFatBinary __cudaRegisterFunction
__cudaPushCallConfiguration __cudaPopCallConfiguration __cudaLaunchKernel cudaLaunchKernel cudaMalloc cudaGetDeviceCount
cudaMemGetDefaultMemPool cudaFromTheFuture""".split()


def static_runtime(*more):
    internal = "libcudart_static_" + "0123456789abcdef" * 2 + "0123456"
    names = [internal + "1", *NAMES, *more, internal + "2"]
    return "".join(f"static __attribute__((noipa)) int {name}(void) {{ return {number}; }}\n" for number, name in enumerate(names, 1000)) + (
        "int (*const all[])(void) = {" + ", ".join(names) + "};\n")


# In the order of the source, each function with code of its own.
AS_WRITTEN = ("-O0", "-fno-toplevel-reorder")


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


class Leases(harness.FaultCase):
    """A lease that cannot be used: what a program's user reads. Those that can are tests/faults/lease_test.cpp's."""

    def run_with(self, text, mode=0o600):
        folder = tempfile.mkdtemp(prefix="lease-")
        self.addCleanup(shutil.rmtree, folder)
        path = os.path.join(folder, "lease")
        if text is not None:
            with open(path, "w", encoding="ascii") as file:
                file.write(text)
            os.chmod(path, mode)
        need(self, app("vector_add"))
        program = self.run_command(app("vector_add"), environment={
            "LD_PRELOAD": harness.preloaded(os.path.join(harness.Options.build, "lib/accelmesh/libaccelmesh.so")),
            "ACCELMESH_LEASE": path, "LD_LIBRARY_PATH": os.path.join(harness.Options.build, "lib/accelmesh/soname")})
        self.assertEqual(program.process.returncode, 1, program.said())
        self.assertIn("cudaErrorNoDevice", program.out.text())
        return program

    @staticmethod
    def lease(url, not_after_ms=4102444800000):
        return (f"accelmesh-lease 1\nendpoint {url}\nserver-key {'11' * 32}\nholder-key {'22' * 32}\n"
                f"holder-secret {'33' * 32}\ntoken {'44' * 100}\nlease lease-7\nnot-after-ms {not_after_ms}\n")

    def test_no_file(self):
        self.assert_one_line(self.run_with(None).err, "the lease cannot be used", "is not there", "mesh-run")

    def test_a_file_that_others_can_read(self):
        program = self.run_with(self.lease("tcp://127.0.0.1:1"), 0o644)
        self.assert_one_line(program.err, "the lease cannot be used", "chmod 600")

    def test_a_file_that_is_none(self):
        program = self.run_with(self.lease("tcp://127.0.0.1:1").replace("lease lease-7\n", ""))
        line = self.assert_one_line(program.err, "the lease cannot be used", "it has no lease", "mesh-run")
        self.assertNotIn("33" * 32, line)

    def test_a_lease_that_has_ended(self):
        self.assert_one_line(self.run_with(self.lease("tcp://127.0.0.1:1", 1700000000000)).err, "lease lease-7 ended", "mesh-run")

    def test_nobody_there(self):
        program = self.run_with(self.lease("tcp://127.0.0.1:1"))
        self.assert_one_line(program.err, "lease lease-7: no gpu-server listens on tcp://127.0.0.1:1")

    def test_another_server(self):
        if harness.Options.transport == "shm":
            self.skipTest("shared memory has no keys")
        server = self.serve()
        program = self.run_with(self.lease(server.url))
        self.assert_one_line(program.err, "lease lease-7", server.url, "another server is there now", "mesh-run")
        self.assertTrue(server.alive())


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
        # Three ports: a session needs four, even if all of these are free.
        server = self.serve("--worker-ports", "29870-29872")
        program = self.run_app(server, "vector_add")
        self.assertEqual(program.process.returncode, 1, program.said())
        self.assertIn("cudaErrorNoDevice", program.out.text())
        line = self.assert_one_line(program.err, "accelmesh error")
        for word in ("29870-29872", "a session needs four", "--worker-ports"):
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

    def test_the_compute_capability_chooses(self):
        """PTX for 12.0 only: a device of 8.0 says so, one that claims 12.0 runs it."""
        program = self.run_app(self.serve(), "newest_only")
        self.assertEqual(program.process.returncode, 1, program.said())
        self.assertIn("cudaErrorNoKernelImageForDevice", program.out.text())
        self.assert_one_line(program.err, "compute capability 8.0", "PTX compute_120", "--compute-capability 12.0")
        self.assert_passes(self.serve("--compute-capability", "12.0"), "newest_only")

    def test_kernels_that_launch_kernels(self):
        program = self.assert_passes(self.serve(), "rdc_launch")  # it checks for error 801, and that its other kernel runs
        self.assert_one_line(program.err, "dynamic parallelism", "Child")


class Libraries(harness.FaultCase):
    def test_what_cudnn_computes(self):
        need(self, os.path.join(harness.Options.build, "lib/accelmesh/libaccelmesh_cpu_dnn.so"))
        program = self.assert_passes(self.serve(), "cudnn_refused")  # it checks which calls are refused, and the next ones
        self.assert_one_line(program.err, "cudnnMultiHeadAttnForward", "more sequences or steps than one message holds")
        self.assert_one_line(program.err, "cudnnBackendFinalize", "an attribute left to what the library chooses")


class Graphs(harness.FaultCase):
    def test_parameters_of_a_librarys_kernels(self):
        need(self, os.path.join(harness.Options.build, "lib/accelmesh/libaccelmesh_cpu_blas.so"))
        program = self.assert_passes(self.serve(), "cublas_graph")  # it asks for each of its nodes
        for function in ("cudaGraphKernelNodeGetParams", "cudaGraphKernelNodeSetParams"):
            self.assert_one_line(program.err, function, "a function of a library", "cudaErrorNotSupported")


class Runtimes(harness.FaultCase):
    def setUp(self):
        super().setUp()
        harness.need_plain_programs(self)

    def build(self, folder, name, source, *arguments):
        path = os.path.join(folder, name)
        subprocess.run(["gcc-12", "-o", path, "-x", "c", "-", "-x", "none", *arguments], input=source, text=True, check=True, timeout=60)
        return path

    def assert_refused(self, server, program, *words):
        """Started directly it does not run; by a script it runs, says so, and has no device."""
        direct = self.run_command(binary("mesh-run"), "--server", server.url, "--", program)
        self.assertEqual(direct.process.returncode, 125, direct.said())
        self.assertEqual(direct.out.text(), "", "the program ran")
        self.assert_one_line(direct.err, *words)
        script = self.run_command(binary("mesh-run"), "--server", server.url, "--", "sh", "-c", program + "; exit $?")
        self.assert_one_line(script.err, *words)
        return script

    def test_a_stripped_static_runtime(self):
        server = self.serve()
        need(self, app("vector_add_static"))
        self.assert_passes(server, "vector_add_static")
        for option, what in (("--strip-all", "and stripped"), ("--discard-all", "partly stripped")):
            with self.subTest(option), tempfile.TemporaryDirectory() as folder:
                program = os.path.join(folder, "program")
                subprocess.run(["strip", option, "-o", program, app("vector_add_static")], check=True, timeout=60)
                script = self.assert_refused(server, program, "static CUDA runtime", what, "do not strip", "nvcc -cudart shared")
                self.assertEqual(script.process.returncode, 1, script.said())
        # What only debuggers read may go.
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "program")
            subprocess.run(["strip", "--strip-debug", "-o", program, app("vector_add_static")], check=True, timeout=60)
            run = self.run_command(binary("mesh-run"), "--server", server.url, "--", program)
            self.assertEqual(run.process.returncode, 0, run.said())
            self.assertEqual(run.err.text(), "")

    def test_a_static_runtime_of_another_version(self):
        server = self.serve()
        source = static_runtime("cudaGetDeviceProperties_v2") + "int main(void) { return 0; }\n"
        with tempfile.TemporaryDirectory() as folder:
            self.assert_refused(server, self.build(folder, "program", source, *AS_WRITTEN), "static CUDA runtime of another CUDA version",
                                "CUDA 13 toolkit")

    def test_a_function_that_nobody_knows(self):
        server = self.serve()
        source = static_runtime() + ('#include <stdio.h>\nint cudaOwn(void) { return 3; }\n'
                                     'int main(void) { printf("%d %d %d\\n", cudaFromTheFuture(), cudaFromTheFuture(), cudaOwn()); return 0; }\n')
        with tempfile.TemporaryDirectory() as folder:
            run = self.run_command(binary("mesh-run"), "--server", server.url, "--", self.build(folder, "program", source, *AS_WRITTEN))
        self.assertEqual(run.out.text(), "801 801 3", run.said())
        self.assert_one_line(run.err, "cudaFromTheFuture", "cudaErrorNotSupported")

    def test_a_program_whose_own_functions_have_such_names(self):
        server = self.serve()
        source = '#include <stdio.h>\nint cudaMalloc(void) { return 5; }\nint main(void) { printf("%d\\n", cudaMalloc()); return 0; }\n'
        with tempfile.TemporaryDirectory() as folder:
            run = self.run_command(binary("mesh-run"), "--server", server.url, "--", self.build(folder, "program", source, "-rdynamic"))
        self.assertEqual((run.out.text(), run.err.text()), ("5", ""), run.said())

    def test_a_program_without_a_loader(self):
        server = self.serve()
        source = '__attribute__((section(".nvFatBinSegment"))) int fatbin = 1;\nint main(void) { return 0; }\n'
        with tempfile.TemporaryDirectory() as folder:
            run = self.run_command(binary("mesh-run"), "--server", server.url, "--", self.build(folder, "program", source, "-static"))
        self.assertEqual(run.process.returncode, 125, run.said())
        self.assert_one_line(run.err, "nothing can be preloaded", "link it dynamically")

    def test_libraries_that_are_opened_later(self):
        server = self.serve()
        need(self, app("libstatic_part.so"))
        opener = ('#include <dlfcn.h>\n#include <stdio.h>\n#include <stdlib.h>\nint main(int c, char** v) {\n'
                  'void* library = dlopen(v[1], RTLD_NOW); if (library == NULL) { puts(dlerror()); return 1; }\n'
                  'void* p = 0; int (*use)(void**) = (int (*)(void**))dlsym(library, "Use");\n'
                  'const char* devices = getenv("CUDA_VISIBLE_DEVICES");\n'
                  'printf("%d %s\\n", use ? use(&p) : -1, devices ? devices : "all"); return 0; }\n')
        with tempfile.TemporaryDirectory() as folder:
            program = self.build(folder, "opener", opener)
            stripped = os.path.join(folder, "libstripped.so")
            subprocess.run(["strip", "-o", stripped, app("libstatic_part.so")], check=True, timeout=60)
            run = self.run_command(binary("mesh-run"), "--server", server.url, "--", program, stripped)
            # No GPU of this machine for it, either.
            self.assertEqual(run.out.text(), "-1 -1", run.said())
            self.assert_one_line(run.err, "libstripped.so", "and stripped", "do not strip")
            stub = self.build(folder, "libcudart.so.12", STUB_RUNTIME, "-shared", "-fPIC", "-Wl,-soname,libcudart.so.12")
            user = self.build(folder, "libuser.so", "int cudaMalloc(void**, unsigned long);"
                              "int Use(void** p) { return cudaMalloc(p, 64); }", "-shared", "-fPIC", stub)
            run = self.run_command(binary("mesh-run"), "--server", server.url, "--", program, user, environment={"LD_LIBRARY_PATH": folder})
            self.assertEqual(run.out.text(), "35 all", run.said())
            self.assert_one_line(run.err, "libuser.so", "libcudart.so.12", "CUDA 13")

    def test_a_local_gpu_is_hidden_from_a_static_runtime(self):
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
