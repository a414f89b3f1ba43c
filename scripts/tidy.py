#!/usr/bin/env python3
"""The house rules that a compiler does not see: who may include whom, purity of the cores, and a few habits.

  scripts/tidy.py [--root FOLDER]     exit 1 if a rule is broken; a line each, with the file, the rule and the remedy

Runs as a test (ctest: house_tidy). ARCHITECTURE.md says why the rooms are what they are; tests/house/tidy_test.py breaks
each rule once.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass

# What each room may include besides itself, as path prefixes. A room that is absent here may include everything.
ROOMS = {
    "protocol": [],
    "shim": ["protocol/"],
    "server": ["protocol/", "market/client/"],
    "scheduler": ["protocol/"],
    "market": ["protocol/", "scheduler/core/"],
    "tools": ["protocol/", "market/client/", "market/core/", "market/auction/", "market/ledger/", "scheduler/core/"],
}
ALL_ROOMS = [*ROOMS, "tests"]

# Pure parts: snapshot, request, time and randomness in, plan out.
PURE = {"scheduler/core/": ["scheduler/core/", "protocol/base/"],
        "market/core/": ["market/core/", "scheduler/core/", "protocol/base/"],
        "market/auction/": ["market/auction/", "protocol/base/"],
        "tools/agent/core/": ["tools/agent/core/", "scheduler/core/", "protocol/base/"]}
# Headers of the standard library that bring threads, clocks of the system, or input and output.
IMPURE_STANDARD = set("""atomic barrier condition_variable csignal cstdio ctime execution filesystem fstream future iostream latch
mutex semaphore shared_mutex stop_token syncstream thread""".split())
IMPURE_CALLS = re.compile(r"\b(random_device\b|(?:(?:secure_)?getenv|(?:Clock|system_clock|steady_clock)::now|Deadline::After|s?rand|"
                          r"clock_gettime|gettimeofday)(?=\s*\())")

CUDA_HEADER = re.compile(r"^(cuda|cublas|cudnn|cufft|curand|cusparse|cusolver|nvrtc|nvml|nvJitLink|nvtx|fatbinary|crt/|cooperative_groups|"
                         r"(driver|vector|library|texture|surface|device|host|builtin)_(types|launch_parameters|functions)\b|"
                         r"channel_descriptor\.h|math_constants\.h|sm_\d\d_)")
MAY_INCLUDE_CUDA = re.compile(r"^(shim/(runtime|driver|blas|blaslt|dnn|nvml)/|shim/(entry|resolve|status_map)\.(h|cpp)$|server/backend/cuda/|tests/)")

LINES_MAX = 700
SOURCE = (".h", ".cpp", ".c", ".cu", ".inc")
CODE = (*SOURCE, ".py", ".sh", ".cmake", ".fbs")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
# Spelled in two parts here, so that this file keeps its own rules.
LATER = re.compile(r"\b(TO" r"DO\b(?!\([a-z]+\): \S)|FIX" r"ME\b|XX" r"X\b)")
MACHINE_PATH = re.compile(r"(?<![\w./})~\-])/(work|ho" r"me|ro" r"ot|Use" r"rs|mnt|media)/[\w.\-]")


@dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    rule: str
    remedy: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.rule}. Remedy: {self.remedy}."


@dataclass(frozen=True)
class Include:
    line: int
    quoted: bool
    name: str


class Tree:
    """Our text files below a root, and who includes whom."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.lines = {}
        for path in self._paths():
            try:
                self.lines[path] = (self.root / path).read_text(encoding="utf-8").splitlines()
            except (UnicodeDecodeError, FileNotFoundError):
                continue  # a binary (a seed of a fuzzer), or deleted meanwhile
        self.includes = {path: self._read_includes(lines) for path, lines in self.lines.items() if path.endswith(SOURCE)}

    def _paths(self):
        if (self.root / ".git").exists():
            listing = subprocess.run(["git", "-C", str(self.root), "ls-files", "-zco", "--exclude-standard"], check=True,
                                     capture_output=True, text=True).stdout
            return sorted(set(filter(None, listing.split("\0"))))
        paths = []
        for folder, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if name not in ("build", "__pycache__")]
            paths += [(pathlib.Path(folder) / name).relative_to(self.root).as_posix() for name in files]
        return sorted(paths)

    @staticmethod
    def _read_includes(lines):
        found = [(number, INCLUDE.match(line)) for number, line in enumerate(lines, 1)]
        return [Include(number, match.group(1) == '"', match.group(2)) for number, match in found if match]

    def is_generated(self, name):
        """Whether an include names what protocol/gen or flatc writes into build/generated."""
        stem = name.rpartition("/")[2]
        if stem.endswith("_generated.h"):
            return name[:-len("_generated.h")] + ".fbs" in self.lines
        return stem.startswith("gen_")


def room_of(path):
    return path.partition("/")[0]


def code_of(lines):
    """(number, line) without comments and string literals, well enough for words that stand in code."""
    in_comment = False
    for number, line in enumerate(lines, 1):
        if in_comment:
            _, closed, line = line.partition("*/")
            if not closed:
                continue
            in_comment = False
        line = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)
        line = re.sub(r"/\*.*?\*/", " ", line).partition("//")[0]
        if "/*" in line:
            line = line.partition("/*")[0]
            in_comment = True
        yield number, line


def check_rooms(tree):
    for path, includes in tree.includes.items():
        room = room_of(path)
        if room not in ROOMS:
            continue
        for include in includes:
            target = room_of(include.name)
            if not include.quoted or target not in ALL_ROOMS:
                continue
            if path.startswith("protocol/base/") and not include.name.startswith("protocol/base/"):
                yield Finding(path, include.line, f"protocol/base includes {include.name}, and may include only itself",
                              "move what it needs into protocol/base, or this file out of it")
            elif target != room and not include.name.startswith(tuple(ROOMS[room])):
                allowed = ", ".join([room + "/", *ROOMS[room]])
                yield Finding(path, include.line, f"{room} includes {include.name}, and may include only {allowed}",
                              "move what both need into protocol/, or pass it in from main()")
            elif path.startswith("shim/core/") and target == "protocol" and "/transport/" in include.name and \
                    include.name != "protocol/transport/channel.h":
                yield Finding(path, include.line, f"shim/core includes {include.name}, and knows no transport",
                              "use protocol/transport/channel.h; shim/connect.cpp chooses the transport")


def check_purity(tree):
    for path in tree.includes:
        core = next((core for core in PURE if path.startswith(core)), None)
        if core is None:
            continue
        remedy = "take time, randomness and state as arguments, and do input and output in the caller"
        for number, line in code_of(tree.lines[path]):
            call = IMPURE_CALLS.search(line)
            if call:
                yield Finding(path, number, f"{core} is pure, and this calls {call.group(1)}", remedy)
        for include in tree.includes[path]:
            if include.quoted and not include.name.startswith(tuple(PURE[core])):
                yield Finding(path, include.line, f"{core} is pure, and includes {include.name}",
                              f"include only {', '.join(PURE[core])} and the standard library")
                continue
            # Not only what stands here: a header of ours may bring the sockets along.
            trail = [include.name]
            impure = _impure(tree, include, trail, set())
            if impure:
                by = f" by way of {' -> '.join(trail)}" if include.quoted else ""
                yield Finding(path, include.line, f"{core} is pure, and gets <{impure}>{by}", remedy)


def _impure(tree, include, trail, seen):
    """The impure header that `include` is or brings; `trail` then names the headers of ours in between."""
    if not include.quoted:
        return include.name if "." in include.name or "/" in include.name or include.name in IMPURE_STANDARD else None
    for inner in tree.includes.get(include.name, []):
        if inner.name in seen:
            continue
        seen.add(inner.name)
        if inner.quoted:
            trail.append(inner.name)
        found = _impure(tree, inner, trail, seen)
        if found:
            return found
        if inner.quoted:
            trail.pop()
    return None


def check_cuda_headers(tree):
    for path, includes in tree.includes.items():
        if MAY_INCLUDE_CUDA.match(path):
            continue
        for include in includes:
            if CUDA_HEADER.match(include.name) and include.name not in tree.lines:
                yield Finding(path, include.line, f"includes CUDA's {include.name}",
                              "only faces (shim/runtime ...), shim/{entry,resolve,status_map}, server/backend/cuda and tests know CUDA; "
                              "use the plain types of server/device.h or shim/core")


def check_include_paths(tree):
    for path, includes in tree.includes.items():
        for include in includes:
            # tests/apps are programs as a user writes them; they know nothing of our root.
            if path.startswith("tests/apps/") and include.quoted and f"tests/apps/{include.name}" in tree.lines:
                continue
            known = include.name in tree.lines or ("/" in include.name and tree.is_generated(include.name))
            if include.quoted and not known:
                yield Finding(path, include.line, f'"{include.name}" is no path from the root',
                              "write the full path, as in \"protocol/base/result.h\"; somebody else's header stands in <>")
            elif not include.quoted and known:
                yield Finding(path, include.line, f"<{include.name}> is ours", f'write "{include.name}"')


def check_cycles(tree):
    # Depth first: an include of a file that is being visited closes a circle. Every circle is said once.
    done, open_files = set(), []

    def visit(path):
        open_files.append(path)
        for include in tree.includes.get(path, []):
            target = include.name
            if not include.quoted or target not in tree.includes or target in done:
                continue
            if target in open_files:
                circle = " -> ".join([*open_files[open_files.index(target):], target])
                yield Finding(path, include.line, f"includes go in a circle: {circle}",
                              "declare forward, or move what both need into a third header")
            else:
                yield from visit(target)
        open_files.pop()
        done.add(path)

    for path in tree.includes:
        if path not in done:
            yield from visit(path)


def check_headers(tree):
    for path, lines in tree.lines.items():
        if not path.endswith(".h"):
            continue
        code = [(number, line.strip()) for number, line in code_of(lines) if line.strip()]
        if not code or code[0][1] != "#pragma once":
            yield Finding(path, code[0][0] if code else 1, "a header begins with #pragma once, before any other code",
                          "put #pragma once after the comment that says what the header is")
        if code and all(line.startswith("#") and ("include" in line or "pragma" in line) for _, line in code):
            yield Finding(path, code[0][0], "a header that only includes others", "let its users include what they use")


def check_lines(tree):
    for path, lines in tree.lines.items():
        if len(lines) > LINES_MAX and (path.endswith(CODE) or path.endswith("CMakeLists.txt")):
            yield Finding(path, LINES_MAX + 1, f"{len(lines)} lines, and {LINES_MAX} are read in one sitting", "split it by noun")
        for number, line in enumerate(lines, 1):
            later = LATER.search(line)
            if later:
                kind = "TO" "DO"
                yield Finding(path, number, f"{later.group(1)} without a kind",
                              f"write {kind}(perf): text, or another kind in lower case; or do it now")
            machine = MACHINE_PATH.search(line)
            if machine:
                yield Finding(path, number, f"a path of one machine: {machine.group(0)}...",
                              "make it relative to the source tree, or take it as an argument")


def check_unit_tests(tree):
    for path in tree.lines:
        if not path.startswith("tests/unit/") or not path.endswith("_test.cpp"):
            continue
        stem = path[len("tests/unit/"):-len("_test.cpp")]
        if not any(stem + end in tree.lines for end in (".h", ".cpp")) and not tree.is_generated(stem + ".h"):
            yield Finding(path, 1, f"tests/unit mirrors source paths, and there is no {stem}.h or .cpp",
                          "name the test after the file that it tests")


CHECKS = [check_rooms, check_purity, check_cuda_headers, check_include_paths, check_cycles, check_headers, check_lines, check_unit_tests]


def findings(root):
    tree = Tree(root)
    return sorted({finding for check in CHECKS for finding in check(tree)}), tree


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    arguments = parser.parse_args()
    found, tree = findings(arguments.root)
    for finding in found:
        print(finding)
    print(f"tidy: {len(tree.lines)} files, {len(tree.includes)} sources, "
          f"{sum(len(includes) for includes in tree.includes.values())} includes: {len(found) or 'nothing'} to remedy")
    if not tree.includes:
        print(f"error: no sources below {arguments.root}", file=sys.stderr)
        return 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
