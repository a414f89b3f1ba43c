"""Writes docs/coverage/cublas.md, cublaslt.md or cudnn.md: for each function that the library exports, whether it works, on
which backends, and the tests that show it; or that it is refused and why. Nothing is listed by hand:

* how it is answered: what blas.py makes of the installed headers and of protocol/api/cublas.py, cublaslt.py or cudnn.py;
* cpu: what the backend's plugin says that it has (tests/house/library_functions.cpp);
* cuda: what has a native call in the generated table, or, of the functions with a body, whose words the backend reads;
* its tests: the programs of tests/apps that call it, the tests of the plugin (in tests/unit/server/backend/cpu/blas those that
  are named after a function, in dnn the sources that have the words of one), and the rows of docs/semantics.md.

    library_coverage.py --include DIR --library libcublas.so.13 --api cublas.py --functions library_functions
                        --plugin libaccelmesh_cpu_blas.so --properties cpu_blas_test --root DIR --out cublas.md
Run by scripts/coverage.sh; tests/house/library_coverage_test.py fails while a page is not what this writes.
"""
import argparse
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import blas
from coverage import tests_of_functions
from description import exported_names, load_api

NAME = r"(?:cublas|cudnn)\w+"
WHY_NOWHERE = "no backend has it yet"


@dataclass(frozen=True)
class Row:
    name: str
    where: str   # who runs it; empty if it is refused
    detail: str  # its tests, or why it is refused; empty if no test is known


def code_of(path: Path) -> str:
    return re.sub(r"//.*", "", path.read_text(encoding="utf-8"))


def renamed(include: Path, exported: set[str]) -> dict[str, str]:
    """What a program's name for a function is in the library: cublas_v2.h has macros, cublasLt.h functions around others."""
    inside = "_internal"
    names = {name.removesuffix(inside): name for name in exported if name.endswith(inside)}
    header = include / "cublas_v2.h"
    if header.exists():
        names |= dict(re.findall(rf"^#define\s+({NAME})\s+({NAME})\s*$", header.read_text(encoding="utf-8"), re.M))
    return names


def program_of(path: Path) -> str:
    """A program's code with that of the headers beside it that it includes."""
    headers = [path.parent / name for name in re.findall(r'^#include "(\w+\.h)"', path.read_text(encoding="utf-8"), re.M)]
    return "\n".join([code_of(path)] + [program_of(header) for header in headers if header.exists()])


def tests_of_apps(folder: Path, names: dict[str, str]) -> dict[str, list[str]]:
    """{function: the programs that call it}"""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.cu")):
        for name in sorted(set(re.findall(rf"\b({NAME})\s*\(", program_of(path)))):
            found.setdefault(names.get(name, name), []).append(f"apps/{path.stem}")
    return found


def tests_of_properties(program: Path) -> dict[str, list[str]]:
    """{function: the program, if it has a test of it}; its tests are listed, not run."""
    listing = subprocess.run([str(program), "--gtest_list_tests"], check=True, capture_output=True, text=True).stdout
    return {name: [program.name] for name in re.findall(rf"# GetParam\(\) = ({NAME})", listing)}


def tests_of_words(functions: dict[str, blas.Function], folder: Path) -> dict[str, list[str]]:
    """{function: the tests in the folder that have the structure of its words}"""
    found: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*_test.cpp")):
        used = set(re.findall(r"\w+", code_of(path)))
        for name, function in functions.items():
            if function.structure in used:
                found.setdefault(name, []).append(f"{folder.name}/{path.stem}")
    return found


def functions_of_cpu(program: Path, plugin: Path) -> set[str]:
    return set(subprocess.run([str(program), str(plugin), plugin.stem.removeprefix("lib")], check=True, capture_output=True, text=True).stdout.split())


def functions_of_cuda(functions: dict[str, blas.Function], folder: Path) -> set[str]:
    code = "".join(code_of(path) for path in sorted(folder.glob("library*.cpp")))
    read = {name for name, f in functions.items() if f.structure and re.search(rf"\b{f.structure}\b", code)}
    return read | {f.wire_name for f in functions.values() if f.family and "gen_blas_native.inc" in code}


def rows(functions: dict[str, blas.Function], bodies: set[str], backends: dict[str, set[str]], tests: list[dict[str, list[str]]]) -> list[Row]:
    """`backends`: {backend: the functions of the wire that it has}; `tests`: {function: its tests} by each source."""
    found = []
    for name, function in sorted(functions.items()):
        wire = function.wire_name or (name if function.structure else "")
        where = [backend for backend, has in backends.items() if wire in has] if wire else ["client"]
        if function.why_refused or not where:
            found.append(Row(name, "", function.why_refused or WHY_NOWHERE))
            continue
        assert wire or name in bodies, name
        # A test of what it is on the wire is one of it, but its own are better.
        own = [test for source in tests for test in source.get(name, [])]
        shared = [test for source in tests for test in source.get(wire, []) if wire != name]
        found.append(Row(name, ", ".join(where), ", ".join(dict.fromkeys(own + shared))))
    return found


TESTS_OF = {
    "blas": "`cpu_blas_test` has the properties of `tests/unit/server/backend/cpu/blas`, against sums of higher precision. A `_64`\n"
            "variant is on the wire what the function without is, unless it writes numbers.",
    "dnn": "`dnn/*_test` are tests of `tests/unit/server/backend/cpu`.",
}


def page(library: str, api: str, face: str, found: list[Row]) -> str:
    works = [row for row in found if row.where]
    counts = [f"{sum(where in row.where.split(', ') for row in works)} {text}" for where, text in
              (("client", "by the client itself"), ("cpu", "by the cpu backend"), ("cuda", "by the cuda backend"))]
    lines = [f"# Coverage of {library}", "",
             f"Generated by `scripts/coverage.sh` from `protocol/api/{api}`, what the backends say that they have, and the tests that call it;",
             "not to be edited. `client`: by the client itself, at most with commands of other functions.",
             TESTS_OF[face.removesuffix("lt")], "",
             f"{len(found)} functions: {len(works)} work ({', '.join(counts)}), {len(found) - len(works)} are refused.", "",
             "| function | | by | shown by, or why |", "| --- | --- | --- | --- |"]
    lines += [f"| `{row.name}` | {'works' if row.where else 'refused'} | {row.where} | {row.detail} |" for row in found]
    return "\n".join(lines) + "\n"


def write_page(include: Path, library: Path, api_path: Path, program: Path, plugin: Path, properties: Path, root: Path) -> tuple[str, list[Row]]:
    api = load_api(api_path)
    functions, _ = blas.describe_all(api, include, exported_names(library, (blas.prefix_of(api),)))
    for why, names in getattr(api, "BODIES_THAT_REFUSE", {}).items():
        functions |= {name: replace(functions[name], why_refused=why) for name in names.split()}
    cpu = functions_of_cpu(program, plugin)
    backends = {"cpu": cpu, "cuda": functions_of_cuda(functions, root / "server/backend/cuda")}
    tests = [tests_of_functions((root / "docs/semantics.md").read_text(encoding="utf-8"), re.compile(rf"`({NAME})`")),
             tests_of_apps(root / "tests/apps", renamed(include, set(functions))),
             {name: test for name, test in tests_of_properties(properties).items() if name in cpu}]
    if api.FACE == "dnn":
        tests.append(tests_of_words(functions, root / "tests/unit/server/backend/cpu/dnn"))
    found = rows(functions, set(api.BODIES), backends, tests)
    return page(api.LIBRARY, api_path.name, api.FACE, found), found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("--include", "--library", "--api", "--functions", "--plugin", "--properties", "--root", "--out"):
        parser.add_argument(name, type=Path, required=True)
    arguments = parser.parse_args()
    text, _ = write_page(arguments.include, arguments.library, arguments.api, arguments.functions, arguments.plugin,
                         arguments.properties, arguments.root)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
