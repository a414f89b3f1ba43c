#!/usr/bin/env python3
"""The documents that make promises about the code keep them.

* docs/semantics.md has a row for every function that protocol/api/cudart.py answers, and names no test that does not exist.
* docs/environment.md lists exactly the environment variables that the code reads.
* every folder with three or more sources of the product is explained: by a README.md of its own or of a folder above it.
* the scripts and binaries that README.md and CONTRIBUTING.md tell people to run exist.
"""
import importlib.util
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("protocol", "shim", "server", "scheduler", "market", "tools")


def answered_functions():
    spec = importlib.util.spec_from_file_location("cudart_api", ROOT / "protocol/api/cudart.py")
    api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(api)
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


class Environment(unittest.TestCase):
    def test_the_table_is_what_the_code_reads(self):
        table = (ROOT / "docs/environment.md").read_text()
        listed = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) - {"CUDA_HOME"}
        read = set()
        for path in sources(".cpp", ".h"):
            read |= set(re.findall(r"(?:getenv\(|FindEntry\(\w+, )\"(\w+)\"\)", path.read_text()))
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

    def test_commands_exist(self):
        for page in ("README.md", "CONTRIBUTING.md"):
            for name in re.findall(r"\bscripts/\w+\.(?:sh|py)", (ROOT / page).read_text()):
                self.assertTrue((ROOT / name).exists(), f"{page} names {name}, which does not exist")


if __name__ == "__main__":
    sys.exit(unittest.main())
