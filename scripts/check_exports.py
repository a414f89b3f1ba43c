#!/usr/bin/env python3
"""Proves that what AccelMesh loads into somebody else's process shows what it must and nothing else.

  check_exports.py --preload libaccelmesh.so --exports exports.txt... [--plugin FILE:SYMBOL ...] [--soname FILE ...]
                   [--sanitized NAMES]

The preload exports the generated list, no more and no less, and is initialised first; a plugin exports its one symbol; a
facade of the soname folder defines the version node of its name. All need only glibc, of Debian 12 at most, and bring
their own C++ runtime: nothing of it is exported, nor looked up in the program. A sanitizer's runtime is a library of its
own, so that a sanitized build cannot show this: those checks are skipped, aloud. Exit: 0 good, 1 not.
"""
import argparse
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass, field

# ld-linux is glibc as well: it is there for __tls_get_addr. libm.so.6 would be glibc, too, but nothing here computes.
NEEDED = {"libc.so.6", "ld-linux-x86-64.so.2"}
GLIBC_MAX = (2, 36)  # Debian 12
# Looked up weakly and unused if absent: libstdc++'s hooks for transactional memory and gcc's start files. gcc makes the
# reference to __cxa_pure_virtual weak, too; a call through it would end the process in either case.
WEAK_LOOKUPS = re.compile(r"_ITM_\w+|_ZGTt\w+|__gmon_start__|__cxa_pure_virtual|__cxa_finalize")


@dataclass
class Library:
    path: pathlib.Path
    soname: str = ""
    needed: set = field(default_factory=set)
    flags: set = field(default_factory=set)          # DT_FLAGS and DT_FLAGS_1
    search_paths: list = field(default_factory=list)  # DT_RPATH, DT_RUNPATH
    exports: set = field(default_factory=set)
    nodes: set = field(default_factory=set)          # versions that it defines
    lookups: set = field(default_factory=set)        # (symbol, version or "", is_weak) that others must define
    versions: set = field(default_factory=set)       # (library, version) that it needs


def read_library(path):
    library = Library(pathlib.Path(path))
    listing = subprocess.run(["readelf", "-W", "-d", "--dyn-syms", "-V", str(path)], check=True, capture_output=True, text=True).stdout
    for tag, value in re.findall(r"^ 0x[0-9a-f]+ \((\w+)\)\s+(.*)$", listing, re.M):
        bracketed = value[value.find("[") + 1:value.rfind("]")]
        if tag == "NEEDED":
            library.needed.add(bracketed)
        elif tag == "SONAME":
            library.soname = bracketed
        elif tag in ("FLAGS", "FLAGS_1"):
            library.flags |= set(value.replace("Flags:", "").split())
        elif tag in ("RPATH", "RUNPATH"):
            library.search_paths.append(bracketed)
    symbol = re.compile(r"^\s*\d+: [0-9a-f]+\s+\S+\s+\w+\s+(\w+)\s+\w+\s+(\w+) (\S+)", re.M)
    for bind, index, name in symbol.findall(listing):
        name, _, version = name.replace("@@", "@").partition("@")
        if bind == "LOCAL":
            continue
        if index == "UND":
            library.lookups.add((name, version, bind == "WEAK"))
        elif index == "ABS" and version in ("", name):
            continue  # the node itself, which the linker lists as a symbol
        else:
            library.exports.add(name)
    definitions, _, needs = listing.partition("Version needs section")
    definitions = definitions.partition("Version definition section")[2]
    library.nodes = set(re.findall(r"Flags: (?!BASE)\S+\s+Index: \d+\s+Cnt: \d+\s+Name: (\S+)", definitions))
    provider = ""
    for line in needs.splitlines():
        file = re.search(r"File: (\S+)", line)
        name = re.search(r"Name: (\S+)\s+Flags:", line)
        provider = file.group(1) if file else provider
        if name:
            library.versions.add((provider, name.group(1)))
    return library


def check_exports(library, expected, remedy):
    for name in sorted(library.exports - expected):
        yield f"{library.path.name}: exports {name}, which is not on the list. Remedy: {remedy}"
    for name in sorted(expected - library.exports):
        yield f"{library.path.name}: does not export {name}. Remedy: {remedy}"


def check_self_contained(library):
    name = library.path.name
    for needed in sorted(library.needed - NEEDED):
        yield f"{name}: needs {needed}. Remedy: link it statically and hidden, or open it with dlopen only when it is chosen"
    for path in library.search_paths:
        yield f"{name}: carries the search path {path}. Remedy: it needs only libc, so give it no RPATH"
    for provider, version in sorted(library.versions):
        number = re.fullmatch(r"GLIBC_(\d+)\.(\d+)(?:\.\d+)?", version)
        if not number:
            yield f"{name}: needs version {version} of {provider}. Remedy: -static-libstdc++ -static-libgcc, and only public glibc"
        elif (int(number.group(1)), int(number.group(2))) > GLIBC_MAX:
            users = ", ".join(sorted(symbol for symbol, wanted, _ in library.lookups if wanted == version))
            yield f"{name}: needs {version} ({users}), newer than Debian 12's. Remedy: build on Debian 12, or avoid the function"
    for symbol, version, is_weak in sorted(library.lookups):
        if not version and not (is_weak and WEAK_LOOKUPS.fullmatch(symbol)):
            yield (f"{name}: looks {symbol} up in whatever the program has loaded. Remedy: link what defines it, or, if it is only an "
                   "optional hook, name it in WEAK_LOOKUPS")


def check_preload(library, expected):
    yield from check_exports(library, expected, "protocol/api and shim/exports.map decide what is exported")
    if "INITFIRST" not in library.flags:
        yield (f"{library.path.name}: is not initialised first, so that constructors of the program could call it too early. "
               "Remedy: link with -Wl,-z,initfirst")


def check_facade(library, preload):
    name = library.path.name
    if library.soname != name:
        yield f"{name}: its soname is {library.soname or 'absent'}. Remedy: SOVERSION and OUTPUT_NAME in shim/CMakeLists.txt"
    if name not in library.nodes:
        yield f"{name}: defines no version node {name}, which the loader looks for. Remedy: its version script in shim/soname"
    if preload.soname not in library.needed:
        yield f"{name}: does not need {preload.soname}, whose functions it stands for. Remedy: link it with -Wl,--no-as-needed"
    for symbol in sorted(library.exports & preload.exports):
        yield f"{name}: defines {symbol} itself. Remedy: leave functions to {preload.soname}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preload", required=True)
    parser.add_argument("--exports", type=pathlib.Path, action="append", required=True, metavar="FILE",
                        help="a generated list of what the preload exports, one a library that it answers for")
    parser.add_argument("--plugin", action="append", default=[], metavar="FILE:SYMBOL")
    parser.add_argument("--soname", action="append", default=[], metavar="FILE")
    parser.add_argument("--sanitized", default="", metavar="NAMES", help="the sanitizers of this build, if any")
    arguments = parser.parse_args()

    expected = set()
    for path in arguments.exports:
        names = path.read_text(encoding="utf-8").split()
        if not names:
            print(f"error: {path} is empty", file=sys.stderr)
            return 1
        expected.update(names)
    preload = read_library(arguments.preload)
    libraries = [preload]
    faults = list(check_preload(preload, expected))
    for plugin in arguments.plugin:
        path, _, symbol = plugin.rpartition(":")
        library = read_library(path)
        libraries.append(library)
        faults += check_exports(library, {symbol}, "its version script names the one symbol and hides the rest")
    if arguments.sanitized:
        print(f"skipped: what is needed, and of which glibc (the runtime of -fsanitize={arguments.sanitized} is a library of its own)")
    else:
        for library in libraries:
            faults += check_self_contained(library)
    for soname in arguments.soname:
        faults += check_facade(read_library(soname), preload)

    for fault in faults:
        print(fault)
    for library in libraries:
        glibc = sorted((version for _, version in library.versions if re.fullmatch(r"GLIBC_[\d.]+", version)),
                       key=lambda version: [int(part) for part in version[len("GLIBC_"):].split(".")])
        print(f"{library.path.name}: exports {len(library.exports)}, needs {', '.join(sorted(library.needed)) or 'nothing'}"
              + (f", at most {glibc[-1]}" if glibc else ""))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
