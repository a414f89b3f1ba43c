#!/usr/bin/env python3
"""docs/coverage/cudart.md is what scripts/coverage.sh writes; every function that works has a row in docs/semantics.md; and
no more functions are refused than were before.

  coverage_test.py [--cudart libcudart.so.13]     exit 77 (skipped) if there is no toolkit
"""
import argparse
import os
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "protocol/gen"))
import coverage  # noqa: E402  the folder is on the path only now
import description  # noqa: E402

# May only go down. At the end of the issue "The whole runtime face": 90 at most.
REFUSED_MAX = 65
OPTIONS = argparse.Namespace()


class Coverage(unittest.TestCase):
    def setUp(self):
        self.api = description.load_api(ROOT / "protocol/api/cudart.py")
        self.semantics = (ROOT / "docs/semantics.md").read_text(encoding="utf-8")
        self.rows = coverage.rows(self.api, description.exported_names(OPTIONS.cudart), self.semantics)

    def test_the_page_is_not_stale(self):
        page = coverage.page(self.api.LIBRARY, self.rows, self.api.WHY_REFUSED)
        self.assertTrue((ROOT / "docs/coverage/cudart.md").read_text(encoding="utf-8") == page, "run scripts/coverage.sh and commit what it writes")

    def test_what_works_is_shown_by_a_test(self):
        self.assertEqual([row.name for row in self.rows if row.works and not row.detail], [],
                         "docs/semantics.md has no row with a test for them")

    def test_no_more_is_refused_than_before(self):
        refused = sum(not row.works for row in self.rows)
        self.assertLessEqual(refused, REFUSED_MAX, "functions that worked are refused now")

    def test_every_export_has_one_row(self):
        self.assertGreater(len(self.rows), 400)
        self.assertEqual(len({row.name for row in self.rows}), len(self.rows))


class Reading(unittest.TestCase):
    """What the page says of a small description."""
    class Api:
        LIBRARY = "lib"
        BODIES = ["cudaMade", "cudaAnswered"]
        STUBS = [("void", "__cudaStub", "")]
        REFUSED = {"it may not be": "cudaNever cudaAnswered"}
        REFUSED_BY_BODY = ["cudaAnswered"]
        WHY_REFUSED = "not yet"

    def read(self, semantics):
        exported = {"cudaMade", "cudaMade_ptsz", "cudaNever_ptds", "cudaAnswered", "cudaLater", "__cudaStub"}
        return {row.name: (row.works, row.detail) for row in coverage.rows(self.Api, exported, semantics)}

    def test_rows(self):
        found = self.read("| `cudaMade`, `__cudaStub` | | no | apps/a |\n| | again | no | apps/b, session/C, apps/a |\n"
                          "| a rule | apps/d |\n| | of it | apps/e |\n")
        self.assertEqual(found, {"cudaMade": (True, "apps/a, apps/b, session/C"), "cudaMade_ptsz": (True, "apps/a, apps/b, session/C"),
                                 "__cudaStub": (True, "apps/a, apps/b, session/C"), "cudaNever_ptds": (False, "it may not be"),
                                 "cudaAnswered": (False, "it may not be"), "cudaLater": (False, "not yet")})

    def test_no_row(self):
        self.assertEqual(self.read("| `cudaOther` | apps/a |\n")["cudaMade"], (True, ""))

    def test_page(self):
        text = coverage.page("lib", coverage.rows(self.Api, {"cudaMade", "cudaLater", "cudaNever"}, "| `cudaMade` | apps/a |"), "not yet")
        self.assertIn("\n3 functions: 1 work, 2 are refused (1 of them until somebody writes them).\n", text)
        self.assertIn("\n| `cudaMade` | works | apps/a |\n", text)
        self.assertIn("\n| `cudaNever` | refused | it may not be |\n", text)


def find_cudart():
    for home in filter(None, (os.environ.get("CUDA_HOME"), "/usr/local/cuda", ROOT / "build/toolkit")):
        for library in Path(home).glob("lib*/libcudart.so.13"):
            return library
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cudart", type=Path, default=find_cudart())
    _, rest = parser.parse_known_args(namespace=OPTIONS)
    if OPTIONS.cudart is None or not OPTIONS.cudart.exists():
        print("skipped: no libcudart.so.13; scripts/fetch_toolkit.sh brings one")
        return 77
    return unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    sys.exit(main())
