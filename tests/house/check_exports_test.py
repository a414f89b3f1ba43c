#!/usr/bin/env python3
"""Tests of scripts/check_exports.py on small libraries: a good set, and each promise broken once. CC and CXX name the
compilers (default gcc and g++).
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CC = os.environ.get("CC", "gcc")
CXX = os.environ.get("CXX", "g++")
PRELOAD = "int cudaMalloc(void) { return 0; }\nint cudaFree(void) { return 0; }\nint Hidden(void) { return 0; }\n"
PRELOAD_MAP = "{ global: cuda*; local: *; };"


class CheckExportsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="check-exports-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "exports.txt").write_text("cudaFree\ncudaMalloc\n", encoding="utf-8")

    def library(self, name, source, version_script, *flags, compiler=CC, language="c"):
        path = self.folder / name
        script = self.folder / (name + ".map")
        script.write_text(version_script, encoding="utf-8")
        code = self.folder / (name + "." + language)
        code.write_text(source, encoding="utf-8")
        subprocess.run([compiler, "-shared", "-fPIC", f"-Wl,--version-script={script}", f"-Wl,-soname,{name}", "-o", str(path), str(code),
                        *flags], check=True)
        return str(path)

    def preload(self, source=PRELOAD, version_script=PRELOAD_MAP, flags=("-Wl,-z,initfirst",), **options):
        return self.library("libpreload.so", source, version_script, *flags, **options)

    def plugin(self, source="int plugin_table;\nint hidden;\n", version_script="{ global: plugin_table; local: *; };", *flags):
        return self.library("libplugin.so", source, version_script, *flags)

    def facade(self, preload, source="int facade;\n", version_script="libfacade.so.13 { global: *; };", name="libfacade.so.13",
               flags=("-Wl,--no-as-needed",)):
        return self.library(name, source, version_script, *flags, *([preload] if preload else []))

    def check(self, *arguments):
        run = subprocess.run([sys.executable, "-B", str(ROOT / "scripts/check_exports.py"), "--exports", str(self.folder / "exports.txt"),
                              *arguments], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(run.stderr, "")
        return run.returncode, run.stdout

    def assert_broken(self, words, *arguments):
        """One fault, which says all of `words` and a remedy."""
        status, text = self.check(*arguments)
        self.assertEqual(status, 1, text)
        faults = [line for line in text.splitlines() if "Remedy: " in line]
        self.assertEqual(len(faults), 1, text)
        for word in words:
            self.assertIn(word, faults[0])

    def test_good(self):
        preload = self.preload()
        status, text = self.check("--preload", preload, "--plugin", self.plugin() + ":plugin_table", "--soname", self.facade(preload))
        self.assertEqual(status, 0, text)
        self.assertIn("libpreload.so: exports 2, needs ", text)
        self.assertNotIn("skipped", text)

    def test_one_export_too_many(self):
        self.assert_broken(["exports cudaExtra, which is not on the list"], "--preload",
                           self.preload(PRELOAD + "int cudaExtra(void) { return 0; }\n"))

    def test_data_and_weak_exports_count(self):
        self.assert_broken(["exports cudaData"], "--preload", self.preload(PRELOAD + "int cudaData = 1;\n"))
        self.assert_broken(["exports cudaWeak"], "--preload",
                           self.preload(PRELOAD + "__attribute__((weak)) int cudaWeak(void) { return 0; }\n"))

    def test_one_export_too_few(self):
        self.assert_broken(["does not export cudaFree"], "--preload", self.preload("int cudaMalloc(void) { return 0; }\n"))

    def test_empty_list_is_no_proof(self):
        (self.folder / "exports.txt").write_text("\n", encoding="utf-8")
        run = subprocess.run([sys.executable, "-B", str(ROOT / "scripts/check_exports.py"), "--preload", self.preload(), "--exports",
                              str(self.folder / "exports.txt")], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(run.returncode, 1)
        self.assertIn("is empty", run.stderr)

    def test_initialised_first(self):
        self.assert_broken(["not initialised first", "-z,initfirst"], "--preload", self.preload(flags=()))

    def test_needs_only_libc(self):
        preload = self.preload(PRELOAD + "double sin(double);\ndouble Use(double x) { return sin(x); }\n",
                               flags=("-Wl,-z,initfirst", "-Wl,--no-as-needed", "-lm"))
        self.assert_broken(["needs libm.so.6", "libpreload.so"], "--preload", preload)

    def test_search_path(self):
        self.assert_broken(["search path /opt/x"], "--preload", self.preload(flags=("-Wl,-z,initfirst", "-Wl,-rpath,/opt/x")))

    def test_shared_cxx_runtime(self):
        source = '#include <string>\nextern "C" int cudaFree(int n) { return std::to_string(n).size(); }\nextern "C" int cudaMalloc() { return 0; }\n'
        status, text = self.check("--preload", self.preload(source, compiler=CXX, language="cpp"))
        self.assertEqual(status, 1)
        self.assertIn("needs libstdc++.so.6. Remedy: ", text)
        self.assertRegex(text, r"needs version (GLIBCXX|CXXABI)_[\d.]+ of libstdc\+\+\.so\.6. Remedy: -static-libstdc\+\+")
        static = ("-Wl,-z,initfirst", "-static-libstdc++", "-static-libgcc", "-Wl,--exclude-libs,ALL")
        status, text = self.check("--preload", self.preload(source, compiler=CXX, language="cpp", flags=static))
        self.assertEqual(status, 0, text)
        # Without a version script the inline functions of the C++ library come out, too.
        status, text = self.check("--preload", self.preload(source, "{ global: *; };", compiler=CXX, language="cpp", flags=static))
        self.assertEqual(status, 1)
        self.assertIn("libpreload.so: exports _Z", text)

    def test_newer_glibc(self):
        # A libc.so.6 with a function of a later release, as on a newer Debian.
        newer = self.library("libc.so.6", "int shiny(void) { return 0; }\nint dull(void) { return 0; }\n",
                             "GLIBC_2.36 { global: dull; };\nGLIBC_2.37 { global: shiny; } GLIBC_2.36;", "-nostdlib")
        good = self.preload("int dull(void);\nint cudaMalloc(void) { return dull(); }\nint cudaFree(void) { return 0; }\n",
                            flags=("-Wl,-z,initfirst", "-nostdlib", newer))
        self.assertEqual(self.check("--preload", good)[0], 0)
        self.assert_broken(["needs GLIBC_2.37 (shiny)", "newer than Debian 12's"], "--preload",
                           self.preload("int shiny(void);\nint cudaMalloc(void) { return shiny(); }\nint cudaFree(void) { return 0; }\n",
                                        flags=("-Wl,-z,initfirst", "-nostdlib", newer)))

    def test_lookups_in_the_program(self):
        self.assert_broken(["looks zmq_send up in whatever the program has loaded"], "--preload",
                           self.preload(PRELOAD + "int zmq_send(void);\nint Use(void) { return zmq_send(); }\n"))
        self.assert_broken(["looks my_hook up"], "--preload",
                           self.preload(PRELOAD + "__attribute__((weak)) int my_hook(void);\nint Use(void) { return my_hook ? my_hook() : 0; }\n"))

    def test_plugin_exports_one_symbol(self):
        preload = self.preload()
        self.assert_broken(["libplugin.so: exports hidden"], "--preload", preload, "--plugin",
                           self.plugin(version_script="{ global: *; };") + ":plugin_table")
        self.assert_broken(["libplugin.so: does not export plugin_table"], "--preload", preload, "--plugin",
                           self.plugin(version_script="{ local: *; };") + ":plugin_table")
        self.assert_broken(["libplugin.so: needs libm.so.6"], "--preload", preload, "--plugin",
                           self.plugin("int plugin_table;\n", "{ global: plugin_table; local: *; };", "-Wl,--no-as-needed", "-lm") + ":plugin_table")

    def test_facade(self):
        preload = self.preload()
        self.assert_broken(["defines no version node libfacade.so.13"], "--preload", preload, "--soname",
                           self.facade(preload, version_script="{ global: *; };"))
        self.assert_broken(["defines no version node libfacade.so.13"], "--preload", preload, "--soname",
                           self.facade(preload, version_script="libfacade.so.12 { global: *; };"))
        self.assert_broken(["does not need libpreload.so"], "--preload", preload, "--soname", self.facade(None))
        self.assert_broken(["defines cudaFree itself"], "--preload", preload, "--soname",
                           self.facade(preload, source="int cudaFree(void) { return 0; }\n"))
        right = self.facade(preload)
        os.rename(right, self.folder / "libother.so.13")
        status, text = self.check("--preload", preload, "--soname", str(self.folder / "libother.so.13"))
        self.assertEqual(status, 1)
        self.assertIn("its soname is libfacade.so.13", text)

    def test_sanitized_build_skips_aloud(self):
        preload = self.preload(flags=("-Wl,-z,initfirst", "-Wl,--no-as-needed", "-lm"))
        status, text = self.check("--preload", preload, "--sanitized", "address")
        self.assertEqual(status, 0, text)
        self.assertIn("skipped: ", text)
        self.assertIn("-fsanitize=address", text)
        # What a sanitizer does not touch is still looked at.
        self.assert_broken(["exports cudaExtra"], "--preload", self.preload(PRELOAD + "int cudaExtra(void) { return 0; }\n"), "--sanitized",
                           "address")


if __name__ == "__main__":
    unittest.main()
