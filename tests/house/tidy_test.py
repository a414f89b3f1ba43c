#!/usr/bin/env python3
"""Tests of scripts/tidy.py: small trees that keep every rule, and each rule broken once."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import tidy  # noqa: E402  the folder is on the path only now

ONCE = "#pragma once\n"
# A tree that keeps all rules; each test changes or adds a file.
GOOD = {
    "protocol/base/result.h": "// Values.\n#pragma once\n#include <string>\nstruct Status {};\n",
    "protocol/schema/session.fbs": "table Hello {}\n",
    "protocol/transport/channel.h": ONCE + '#include "protocol/base/result.h"\nclass Channel;\n',
    "protocol/transport/shm.cpp": '#include <unistd.h>\n\n#include "protocol/schema/session_generated.h"\n#include "protocol/transport/channel.h"\n',
    "shim/core/session.cpp": '#include <thread>\n\n#include "protocol/transport/channel.h"\n#include "protocol/gen_commands.h"\n',
    "shim/runtime/memory.cpp": '#include <cuda_runtime_api.h>\n\n#include "shim/gen_face.h"\n',
    "server/main.cpp": '#include "market/client/client.h"\n',
    "server/backend/cuda/device.cpp": "#include <cuda.h>\n",
    "scheduler/core/rank.h": ONCE + '#include <chrono>\n#include <vector>\n#include "protocol/base/result.h"\nint Rank(int now);\n',
    "market/client/client.h": ONCE + '#include "protocol/transport/channel.h"\nclass Client;\n',
    "market/core/auction.cpp": '#include <map>\n\n#include "scheduler/core/rank.h"\n',
    "market/store.cpp": '#include <thread>\n\n#include "market/core/auction.h"\n',
    "market/core/auction.h": ONCE + "struct Auction {};\n",
    "tools/mesh_run/main.cpp": '#include "market/client/client.h"\n#include "market/core/auction.h"\n#include "scheduler/core/rank.h"\n',
    "tests/unit/scheduler/core/rank_test.cpp": '#include "scheduler/core/rank.h"\n',
    "tests/apps/check.h": ONCE + "inline void Check() {}\n",
    "tests/apps/add.cu": '#include <cuda_runtime.h>\n#include "check.h"\n',
}


class TidyTest(unittest.TestCase):
    def findings(self, changes):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in {**GOOD, **changes}.items():
                path = pathlib.Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return tidy.findings(folder)[0]

    def assert_good(self, changes):
        self.assertEqual([str(finding) for finding in self.findings(changes)], [])

    def assert_broken(self, changes, where, *words):
        """Exactly one finding, at `where` (file:line), that says all of `words` and a remedy."""
        found = [str(finding) for finding in self.findings(changes)]
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(where + ": "), found[0])
        self.assertRegex(found[0], r"\. Remedy: \S.*\.$")
        for word in words:
            self.assertIn(word, found[0])

    def test_good_tree(self):
        self.assert_good({})

    # Rooms ----------------------------------------------------------------------------------------------------------

    def test_base_includes_only_itself(self):
        self.assert_broken({"protocol/base/ids.h": ONCE + '#include "protocol/transport/channel.h"\nint a;\n'}, "protocol/base/ids.h:2",
                           "protocol/base includes protocol/transport/channel.h")
        self.assert_broken({"protocol/base/ids.cpp": '\n#include "protocol/schema/session_generated.h"\n'}, "protocol/base/ids.cpp:2",
                           "protocol/base includes")

    def test_rooms_do_not_include_one_another(self):
        headers = {"protocol": "protocol/base/result.h", "shim": "shim/entry.h", "server": "server/device.h",
                   "scheduler": "scheduler/service.h", "market": "market/registry.h", "tools": "tools/units.h", "tests": "tests/fakes.h"}
        tree = {name: ONCE + "int a;\n" for room, name in headers.items() if room != "protocol"}
        self.assert_good(tree)
        for room in tidy.ROOMS:
            for target, name in headers.items():
                file = f"{room}/new.cpp"
                with self.subTest(room=room, target=target):
                    changes = {**tree, file: f'\n#include "{name}"\n'}
                    if target in (room, "protocol"):
                        self.assert_good(changes)
                    else:
                        self.assert_broken(changes, f"{file}:2", f"{room} includes {name}, and may include only {room}/")

    def test_exceptions_are_as_narrow_as_they_are_stated(self):
        for file, name in (("shim/a.cpp", "market/client/client.h"), ("server/a.cpp", "market/core/auction.h"),
                           ("scheduler/a.cpp", "market/core/auction.h"), ("scheduler/a.cpp", "market/client/client.h"),
                           ("tools/a.cpp", "market/store.h"), ("market/a.cpp", "scheduler/service.h")):
            with self.subTest(file=file, name=name):
                self.assert_broken({"market/store.h": ONCE + "int a;\n", "scheduler/service.h": ONCE + "int a;\n",
                                    file: f'#include "{name}"\n'}, f"{file}:1", f"includes {name}")

    def test_client_core_knows_no_transport(self):
        self.assert_broken({"protocol/transport/ring.h": ONCE + "int a;\n", "shim/core/a.cpp": '#include "protocol/transport/ring.h"\n'},
                           "shim/core/a.cpp:1", "knows no transport")
        self.assert_good({"protocol/transport/ring.h": ONCE + "int a;\n", "shim/connect.cpp": '#include "protocol/transport/ring.h"\n'})

    # Pure cores -----------------------------------------------------------------------------------------------------

    def test_core_has_no_threads_sockets_or_files(self):
        for core in ("scheduler/core", "market/core"):
            for header in ("thread", "mutex", "fstream", "sys/socket.h", "unistd.h", "sqlite3.h", "flatbuffers/flatbuffers.h"):
                with self.subTest(core=core, header=header):
                    self.assert_broken({f"{core}/a.cpp": f"\n\n#include <{header}>\n"}, f"{core}/a.cpp:3", f"gets <{header}>")
        self.assert_good({"scheduler/service.cpp": "#include <mutex>\n#include <sys/socket.h>\n"})

    def test_core_has_no_clock_chance_or_environment(self):
        for code, call in (("auto now = Clock::now();", "Clock::now"), ("std::random_device seed;", "random_device"),
                           ('const char* v = getenv("X");', "getenv"), ("int a = std::rand();", "rand"),
                           ("std::chrono::system_clock::now();", "system_clock::now"), ("Deadline::After(wait);", "Deadline::After")):
            with self.subTest(code):
                self.assert_broken({"market/core/a.cpp": "// No getenv() here, nor Clock::now().\n" + code + "\n"}, "market/core/a.cpp:2", call)
                self.assert_good({"market/a.cpp": code + "\n"})
        self.assert_good({"market/core/a.cpp": "int Operand(int a);\nint b = Operand(1);  // as rand() would\n"})

    def test_core_includes_only_cores_and_base(self):
        self.assert_broken({"market/core/a.cpp": '#include "market/client/client.h"\n'}, "market/core/a.cpp:1", "market/core/ is pure")
        self.assert_broken({"scheduler/core/a.cpp": '#include "protocol/transport/channel.h"\n'}, "scheduler/core/a.cpp:1",
                           "scheduler/core/ is pure")
        self.assert_broken({"scheduler/core/a.cpp": '#include "protocol/schema/session_generated.h"\n'}, "scheduler/core/a.cpp:1",
                           "scheduler/core/ is pure")

    def test_core_gets_nothing_impure_through_a_header(self):
        tree = {"protocol/base/outer.h": ONCE + '#include "protocol/base/result.h"\n#include "protocol/base/inner.h"\nint a;\n',
                "protocol/base/inner.h": ONCE + "#include <poll.h>\nint b;\n"}
        self.assert_good(tree)
        self.assert_broken({**tree, "scheduler/core/a.cpp": '#include "protocol/base/outer.h"\n'}, "scheduler/core/a.cpp:1",
                           "<poll.h> by way of protocol/base/outer.h -> protocol/base/inner.h")

    def test_a_circle_that_a_core_reaches_is_a_circle(self):
        self.assert_broken({"protocol/base/a.h": ONCE + '#include "protocol/base/b.h"\nint a;\n',
                            "protocol/base/b.h": ONCE + '#include "protocol/base/a.h"\nint b;\n',
                            "scheduler/core/a.cpp": '#include "protocol/base/a.h"\n'}, "protocol/base/b.h:2", "in a circle")

    # CUDA -----------------------------------------------------------------------------------------------------------

    def test_cuda_headers_stay_where_they_belong(self):
        for file in ("shim/core/a.cpp", "shim/connect.cpp", "server/backend/cpu/a.cpp", "server/device.cpp", "protocol/base/a.cpp",
                     "tools/a.cpp"):
            for header in ("cuda.h", "cuda_runtime_api.h", "cublas_v2.h", "cudnn.h", "nvml.h", "driver_types.h", "vector_types.h"):
                with self.subTest(file=file, header=header):
                    self.assert_broken({file: f"\n#include <{header}>\n"}, f"{file}:2", f"includes CUDA's {header}")
        for file in ("shim/runtime/a.cpp", "shim/driver/a.h", "shim/blas/a.cpp", "shim/blaslt/a.cpp", "shim/dnn/a.cpp", "shim/nvml/a.cpp", "shim/entry.h",
                     "shim/resolve.cpp", "shim/status_map.cpp", "server/backend/cuda/a.cpp", "tests/gpu/a.cpp"):
            with self.subTest(file):
                self.assert_good({file: (ONCE if file.endswith(".h") else "") + "#include <cuda.h>\nint a;\n"})

    # Paths and circles ----------------------------------------------------------------------------------------------

    def test_includes_are_paths_from_the_root(self):
        for name in ("result.h", "../base/result.h", "base/result.h", "protocol/base/gone.h", "gen_face.h", "session_generated.h",
                     "protocol/schema/other_generated.h", "zmq.h"):
            with self.subTest(name):
                self.assert_broken({"protocol/transport/a.cpp": f'#include "{name}"\n'}, "protocol/transport/a.cpp:1", f'"{name}" is no path')
        self.assert_broken({"protocol/transport/a.cpp": "#include <protocol/base/result.h>\n"}, "protocol/transport/a.cpp:1", "is ours")

    def test_no_circles(self):
        a = ONCE + '#include "server/b.h"\nint a;\n'
        b = ONCE + '\n#include "server/c.h"\nint b;\n'
        c = ONCE + '#include <map>\n\n#include "server/a.h"\nint c;\n'
        self.assert_broken({"server/a.h": a, "server/b.h": b, "server/c.h": c}, "server/c.h:4",
                           "server/a.h -> server/b.h -> server/c.h -> server/a.h")
        self.assert_broken({"server/a.h": ONCE + '#include "server/a.h"\nint a;\n'}, "server/a.h:2", "server/a.h -> server/a.h")
        # Two ways to one header are no circle.
        self.assert_good({"server/a.h": ONCE + '#include "server/b.h"\n#include "server/c.h"\nint a;\n',
                          "server/b.h": ONCE + '#include "server/c.h"\nint b;\n', "server/c.h": ONCE + "int c;\n"})

    # Habits ---------------------------------------------------------------------------------------------------------

    def test_pragma_once_comes_first(self):
        self.assert_broken({"server/a.h": "// A header.\nint a;\n"}, "server/a.h:2", "#pragma once")
        self.assert_broken({"server/a.h": "/* A\n   header. */\n#include <map>\n#pragma once\nint a;\n"}, "server/a.h:3", "#pragma once")
        self.assert_broken({"server/a.h": ""}, "server/a.h:1", "#pragma once")
        self.assert_good({"server/a.h": "/* A\n * header. */\n// More.\n\n#pragma once\nint a;\n"})

    def test_no_umbrella_headers(self):
        self.assert_broken({"server/all.h": "// All.\n#pragma once\n#include <map>\n#include \"protocol/base/result.h\"\n"}, "server/all.h:2",
                           "only includes others")

    def test_length(self):
        for name in ("server/a.cpp", "scripts/a.py", "scripts/a.sh", "server/CMakeLists.txt", "protocol/schema/session.fbs"):
            with self.subTest(name):
                self.assert_good({name: "\n" * 700})
                self.assert_broken({name: "\n" * 701}, f"{name}:701", "701 lines")
        self.assert_good({"docs/results.md": "\n" * 2000})

    def test_later_has_a_kind(self):
        later = "TO" + "DO"
        for text in (f"// {later}: faster", f"# {later} faster", f"// {later}(perf) faster", f"// {later}(Perf): faster", f"// {later}(perf):"):
            with self.subTest(text):
                self.assert_broken({"docs/plan.md": "\n" + text + "\n"}, "docs/plan.md:2", f"{later} without a kind")
        for word in ("FIX" + "ME", "XX" + "X"):
            self.assert_broken({"server/a.cpp": f"// {word}(perf): odd\n"}, "server/a.cpp:1", f"{word} without a kind", f"write {later}(perf)")
        self.assert_good({"server/a.cpp": f'// {later}(perf): one copy less.\nchar p[] = "/tmp/a-XXXXXX";\n'})

    def test_no_machine_paths(self):
        for path in ("/wo" + "rk/main", "/ho" + "me/ada/src", "/ro" + "ot/.cache", "/Use" + "rs/ada"):
            with self.subTest(path):
                self.assert_broken({"docs/guide.md": f"\n\nrun `{path}`\n"}, "docs/guide.md:3", "a path of one machine")
        own = "wo" + "rk"  # as part of another path
        self.assert_good({"scripts/a.sh": f'cd "$HOME/{own}/x" "$(dirname "$0")/{own}"; ls /usr/local/cuda /tmp/a build/{own}/a ~/{own}/a\n'})

    def test_unit_tests_mirror_sources(self):
        self.assert_broken({"tests/unit/scheduler/rank_test.cpp": "int a;\n"}, "tests/unit/scheduler/rank_test.cpp:1",
                           "there is no scheduler/rank.h or .cpp")
        self.assert_good({"tests/unit/protocol/gen_commands_test.cpp": "int a;\n"})

    # The program ----------------------------------------------------------------------------------------------------

    def run_program(self, root):
        return subprocess.run([sys.executable, "-B", str(ROOT / "scripts/tidy.py"), "--root", root], capture_output=True, text=True,
                              timeout=60, check=False)

    def test_program_in_a_git_tree_sees_new_files_and_skips_ignored_ones(self):
        with tempfile.TemporaryDirectory() as folder:
            def write(name, text):
                path = pathlib.Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            subprocess.run(["git", "init", "-q", folder], check=True)
            write(".gitignore", "/build/\n")
            write("server/a.h", ONCE + "int a;\n")
            write("build/server/bad.h", "int a;\n")
            good = self.run_program(folder)
            self.assertEqual(good.returncode, 0, good.stdout)
            self.assertIn("nothing to remedy", good.stdout)
            write("server/bad.h", "int b;\n")
            bad = self.run_program(folder)
            self.assertEqual(bad.returncode, 1)
            self.assertIn("server/bad.h:1: ", bad.stdout)
            self.assertIn("1 to remedy", bad.stdout)

    def test_program_without_sources_fails(self):
        with tempfile.TemporaryDirectory() as folder:
            nothing = self.run_program(folder)
            self.assertEqual(nothing.returncode, 1)
            self.assertIn("no sources", nothing.stderr)


if __name__ == "__main__":
    unittest.main()
