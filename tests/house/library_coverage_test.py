#!/usr/bin/python3
"""docs/coverage/cublas.md, cublaslt.md and cudnn.md are what scripts/coverage.sh writes; no more functions are refused, and no more
work without a test that shows it, than were before.

  library_coverage_test.py --include DIR --cublas FILE [--cublaslt FILE] [--cudnn FILE] --functions PROGRAM
                           --blas-plugin FILE --blas-tests PROGRAM [--dnn-plugin FILE --dnn-tests PROGRAM]
"""
import argparse
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "protocol/gen"))
import blas  # noqa: E402  the folder is on the path only now
import library_coverage  # noqa: E402

OPTIONS = argparse.Namespace()


class Page:
    API = ""
    PLUGIN = "blas"
    EXPORTS = 0       # at least
    # May only go down.
    REFUSED_MAX = 0
    UNSHOWN_MAX = 0

    def setUp(self):
        library = getattr(OPTIONS, self.API)
        if library is None:
            self.skipTest(f"no --{self.API}")
        plugin, tests = (getattr(OPTIONS, f"{self.PLUGIN}_{part}") for part in ("plugin", "tests"))
        self.text, self.rows = library_coverage.write_page(OPTIONS.include, library, ROOT / f"protocol/api/{self.API}.py",
                                                           OPTIONS.functions, plugin, tests, ROOT)

    def test_it_is_not_stale(self):
        page = ROOT / f"docs/coverage/{self.API}.md"
        self.assertTrue(page.exists() and page.read_text(encoding="utf-8") == self.text, "run scripts/coverage.sh and commit what it writes")

    def test_every_export_has_one_row(self):
        self.assertGreaterEqual(len(self.rows), self.EXPORTS)
        self.assertEqual(len({row.name for row in self.rows}), len(self.rows))

    def test_no_more_is_refused_than_before(self):
        self.assertLessEqual(sum(not row.where for row in self.rows), self.REFUSED_MAX, "functions that worked are refused now")

    def test_what_works_is_shown_by_a_test(self):
        unshown = [row.name for row in self.rows if row.where and not row.detail]
        self.assertLessEqual(len(unshown), self.UNSHOWN_MAX, f"nothing calls {' '.join(unshown)}")


class Cublas(Page, unittest.TestCase):
    API = "cublas"
    EXPORTS = 700
    REFUSED_MAX = 217
    UNSHOWN_MAX = 1


class CublasLt(Page, unittest.TestCase):
    API = "cublaslt"
    EXPORTS = 180
    REFUSED_MAX = 135
    UNSHOWN_MAX = 0


class Cudnn(Page, unittest.TestCase):
    API = "cudnn"
    PLUGIN = "dnn"
    EXPORTS = 220
    REFUSED_MAX = 19  # three of them have bodies, which say so
    UNSHOWN_MAX = 2


class Reading(unittest.TestCase):
    """What the page says of a small library."""
    FUNCTIONS = {f.name: f for f in (
        blas.Function("cublasCreate", ""), blas.Function("cublasPlan", "", structure="Plan"),
        blas.Function("cublasSgemm", "", family="gemm", wire_name="cublasSgemm"),
        blas.Function("cublasSgemm_64", "", family="gemm", wire_name="cublasSgemm"),
        blas.Function("cublasSrot", "", family="rot", wire_name="cublasSrot"),
        blas.Function("cublasDrot", "", family="rot", wire_name="cublasDrot"), blas.Function("cublasNever", "", why_refused="so"))}

    def rows(self, *tests):
        backends = {"cpu": {"cublasSgemm"}, "cuda": {"cublasSgemm", "cublasSrot", "cublasPlan"}}
        found = library_coverage.rows(self.FUNCTIONS, {"cublasCreate", "cublasPlan"}, backends, list(tests))
        return {row.name: (row.where, row.detail) for row in found}

    def test_rows(self):
        self.assertEqual(self.rows(), {
            "cublasCreate": ("client", ""), "cublasPlan": ("cuda", ""), "cublasSgemm": ("cpu, cuda", ""), "cublasSgemm_64": ("cpu, cuda", ""),
            "cublasSrot": ("cuda", ""), "cublasDrot": ("", library_coverage.WHY_NOWHERE), "cublasNever": ("", "so")})

    def test_tests(self):
        found = self.rows({"cublasSgemm": ["apps/a", "apps/b"]}, {"cublasSgemm": ["p_test", "apps/a"], "cublasSgemm_64": ["apps/c"]})
        self.assertEqual(found["cublasSgemm"][1], "apps/a, apps/b, p_test")
        self.assertEqual(found["cublasSgemm_64"][1], "apps/c, apps/a, apps/b, p_test")
        self.assertEqual(found["cublasSrot"][1], "")

    def test_what_tests_call(self):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "properties_test"
            program.write_text('#!/bin/sh\n[ "$1" = --gtest_list_tests ] && echo "  All/Sgemm_v2  # GetParam() = cublasSgemm_v2 of float"\n')
            program.chmod(0o755)
            (Path(folder) / "a.cu").write_text("int main() { cublasSgemm(handle); cublasInit (3); }  // cublasNever(1)\n")
            (Path(folder) / "cublas_v2.h").write_text("#define cublasSgemm cublasSgemm_v2\n")
            self.assertEqual(library_coverage.tests_of_properties(program), {"cublasSgemm_v2": ["properties_test"]})
            names = library_coverage.renamed(Path(folder), {"cublasInit_internal", "cublasSgemm_v2"})
            self.assertEqual(library_coverage.tests_of_apps(Path(folder), names),
                             {"cublasSgemm_v2": ["apps/a"], "cublasInit_internal": ["apps/a"]})

    def test_what_has_the_words_of_a_function(self):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "a_test.cpp").write_text("Run(Plan{}); // Other\n")
            (Path(folder) / "b_test.cpp").write_text("Run(Never{});\n")
            functions = {f.name: f for f in (blas.Function("cudnnPlan", "", structure="Plan"), blas.Function("cudnnOther", "", structure="Other"),
                                             blas.Function("cudnnCreate", ""))}
            self.assertEqual(library_coverage.tests_of_words(functions, Path(folder)), {"cudnnPlan": [f"{Path(folder).name}/a_test"]})

    def test_page(self):
        backends = {"cpu": {"cublasSgemm"}, "cuda": {"cublasSgemm"}}
        found = library_coverage.rows(self.FUNCTIONS, {"cublasCreate", "cublasPlan"}, backends, [{"cublasSgemm": ["apps/a"]}])
        text = library_coverage.page("lib", "rules.py", "blas", found)
        self.assertIn("\n7 functions: 3 work (1 by the client itself, 2 by the cpu backend, 2 by the cuda backend), 4 are refused.\n", text)
        self.assertIn("\n| `cublasSgemm_64` | works | cpu, cuda | apps/a |\n", text)
        self.assertIn("\n| `cublasNever` | refused |  | so |\n", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--include", "--cublas", "--functions", "--blas-plugin", "--blas-tests"):
        parser.add_argument(name, type=Path, required=True)
    for name in ("--cublaslt", "--cudnn", "--dnn-plugin", "--dnn-tests"):
        parser.add_argument(name, type=Path)
    _, rest = parser.parse_known_args(namespace=OPTIONS)
    return unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    sys.exit(main())
