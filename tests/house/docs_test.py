#!/usr/bin/env python3
"""The documents that make promises about the code keep them.

* docs/semantics.md has a row for every function that protocol/api/cudart.py answers, names no test that does not exist, and
  a program or test that it names for a function calls that function.
* docs/environment.md lists exactly the environment variables that the code reads.
* every folder with three or more sources of the product is explained: by a README.md of its own or of a folder above it.
* the scripts, binaries, files and folders that README.md, ARCHITECTURE.md and CONTRIBUTING.md name exist.
"""
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "protocol/gen"))
import coverage  # noqa: E402  the folder is on the path only now
import description  # noqa: E402

ROOMS = ("protocol", "shim", "server", "scheduler", "market", "tools")
PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
PATH_SUFFIXES = (".cpp", ".h", ".cu", ".c", ".py", ".sh", ".md", ".txt", ".fbs", ".cmake", ".lock", ".map", ".json")


def answered_functions():
    api = description.load_api(ROOT / "protocol/api/cudart.py")
    return sorted(set(api.BODIES) | {name for _, name, _ in api.STUBS})


def sources(*suffixes):
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in suffixes and path.is_file():
                yield path


class Semantics(unittest.TestCase):
    text = (ROOT / "docs/semantics.md").read_text()

    def test_every_answered_function_has_a_row(self):
        rows = set(re.findall(r"`((?:__)?cuda\w+)`", self.text))
        missing = [name for name in answered_functions() if name not in rows]
        self.assertEqual(missing, [], "add a row to docs/semantics.md: what a program can observe, and its test")

    def test_no_row_for_a_function_that_is_refused(self):
        # Only the first column of a table row names answered functions.
        known = set(answered_functions()) | {"cudaStreamPerThread"}
        for line in self.text.splitlines():
            if not line.startswith("| `"):
                continue
            for name in re.findall(r"`((?:__)?cuda\w+)`", line.split("|")[1]):
                self.assertIn(name, known, f"docs/semantics.md: {name} is not answered by protocol/api/cudart.py")

    def test_named_tests_exist(self):
        conformance = "\n".join(p.read_text() for p in (ROOT / "tests/conformance").rglob("*_test.cpp"))
        bodies = set(re.findall(r"TEST(?:_P|_F)?\(\s*\w+,\s*(\w+)\)", conformance))
        for kind, name in re.findall(r"\b(apps|session|faults)/(\w+)", self.text):
            if kind == "apps":
                exists = (ROOT / f"tests/apps/{name}.cu").exists()
            elif kind == "session":
                exists = name in bodies
            else:
                exists = any((ROOT / "tests/faults").rglob(f"{name}.*"))
            self.assertTrue(exists, f"docs/semantics.md names {kind}/{name}, which does not exist")

    def test_named_tests_call_the_function(self):
        # What begins with __ is called by the stubs that nvcc writes; the bodies of session/ know no CUDA.
        for function, tests in coverage.tests_of_functions(self.text).items():
            if function.startswith("__"):
                continue
            called = False
            for kind, name in (test.split("/") for test in tests if not test.startswith("session/")):
                path = ROOT / f"tests/apps/{name}.cu" if kind == "apps" else ROOT / f"tests/faults/{name}.py"
                code = re.sub(r"//.*", "", path.read_text()) if path.exists() else ""
                called = called or re.search(rf"\b{function}\(", code) is not None
            self.assertTrue(called, f"docs/semantics.md: no test that it names for {function} calls it: {tests}")


class Environment(unittest.TestCase):
    def test_the_table_is_what_the_code_reads(self):
        table = (ROOT / "docs/environment.md").read_text()
        listed = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) - {"CUDA_HOME"}
        read = set()
        for path in sources(".cpp", ".h"):
            read |= set(re.findall(r"(?:getenv\(|Variable\(|FindEntry\(\w+, )\"(\w+)\"\)", path.read_text()))
        self.assertEqual(read - listed, set(), "add a row to docs/environment.md")
        self.assertEqual(listed - read, set(), "docs/environment.md lists variables that nothing reads")


class Readmes(unittest.TestCase):
    def test_folders_are_explained(self):
        folders = {}
        for path in sources(".cpp", ".h", ".py"):
            folders[path.parent] = folders.get(path.parent, 0) + 1
        for folder, count in sorted(folders.items()):
            if count < 3:
                continue
            above = [p for p in [folder, *folder.parents] if p != ROOT and ROOT in p.parents]
            self.assertTrue(any((p / "README.md").exists() for p in above),
                            f"{folder.relative_to(ROOT)}: write a short README.md (what it is, what it depends on, its tests)")


class Pages(unittest.TestCase):
    def test_scripts_exist(self):
        for page in PAGES:
            for name in re.findall(r"\bscripts/[\w-]+(?:\.(?:sh|py))?", (ROOT / page).read_text()):
                self.assertTrue((ROOT / name).exists(), f"{page} names {name}, which does not exist")

    def test_links_lead_somewhere(self):
        for page in PAGES:
            for target in re.findall(r"\]\(([^)#\s]+)", (ROOT / page).read_text()):
                if "://" not in target:
                    self.assertTrue((ROOT / target).exists(), f"{page} links to {target}, which does not exist")

    def test_paths_in_back_quotes_exist(self):
        top = {path.name for path in ROOT.iterdir()} - {"build"}
        for page in PAGES:
            for quoted in re.findall(r"`([^`\n]+)`", (ROOT / page).read_text()):
                for word in quoted.split():
                    if not re.fullmatch(r"[\w.-]+(?:/[\w.-]+)+/?", word) or word.startswith("build/"):
                        continue
                    if word.split("/")[0] in top or word.endswith(PATH_SUFFIXES):
                        self.assertTrue((ROOT / word).exists(), f"{page} names `{word}`; a path is given from the repository's root")

    def test_binaries_are_built(self):
        built = set()
        for room in ROOMS:
            for path in (ROOT / room).rglob("CMakeLists.txt"):
                built |= set(re.findall(r"add_executable\((\S+)", path.read_text()))
        for page in PAGES:
            for name in re.findall(r"build/\w+/bin/([\w-]+)", (ROOT / page).read_text()):
                self.assertIn(name, built, f"{page} names the binary {name}, which no CMakeLists.txt builds")


if __name__ == "__main__":
    sys.exit(unittest.main())
