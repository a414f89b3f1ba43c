#!/usr/bin/python3
"""The generator's output for small descriptions that cover every kind, against tests/golden/expected; and descriptions
that are wrong, which must fail with file and line.

  golden_test.py [--include FOLDER --cudart FILE --flatc FILE --cxx FILE] [--rewrite]

--rewrite writes the present output into tests/golden/expected: commit only changes whose cause you understand.
Run by ctest with the toolkit of the build (golden_generator); by hand, it looks where the build does.
"""
import argparse
import contextlib
import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
EXPECTED = HERE / "expected"
# Local, sent and refused functions, each with and without a per-thread variant; stubs; results and parameters of every
# shape; and what the library exports but no header declares.
FUNCTIONS = """cudaGetDevice cudaGetErrorString cudaMalloc cudaMemcpy cudaMemcpy_ptds cudaMemcpyAsync cudaMemcpyAsync_ptsz
cudaLaunchKernel cudaLaunchKernel_ptsz cudaStreamQuery cudaStreamQuery_ptsz __cudaRegisterFatBinary __cudaRegisterFatBinaryEnd
__cudaPushCallConfiguration __cudaLaunchKernel __cudaLaunchKernel_ptsz cudaGraphCreate cudaGraphLaunch cudaGraphLaunch_ptsz
cudaCreateChannelDesc cudaLaunchHostFunc cudaStreamAddCallback_ptsz cudaProfilerStart __cudaRegisterManagedVar
cudaGetDriverEntryPoint cudaGetDriverEntryPoint_ptsz""".split()

OPTIONS = argparse.Namespace()


def run(script, *arguments):
    return subprocess.run([sys.executable, "-B", str(ROOT / "protocol/gen" / script), *map(str, arguments)], capture_output=True,
                          text=True, timeout=100, check=False)


class Generator(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="golden-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def assert_golden(self, produced, name):
        expected = EXPECTED / (name + ".golden")
        text = produced.read_text(encoding="utf-8")
        if OPTIONS.rewrite:
            EXPECTED.mkdir(exist_ok=True)
            expected.write_text(text, encoding="utf-8")
            return
        before = expected.read_text(encoding="utf-8") if expected.exists() else ""
        if text != before:
            diff = "".join(difflib.unified_diff(before.splitlines(True), text.splitlines(True), f"expected/{name}.golden", name))
            self.fail(f"{diff}\nIf this is what you meant: tests/golden/golden_test.py --rewrite, and say why in the commit.")

    def assert_fails(self, result, where, *words):
        """A message that begins with `where` (file:line), and no traceback."""
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertTrue(result.stderr.startswith(f"{where}: "), result.stderr)
        self.assertEqual(len(result.stderr.splitlines()), 1, result.stderr)
        for word in words:
            self.assertIn(word, result.stderr)

    def compile(self, text, *flags):
        source = self.folder / "compiled.cpp"
        source.write_text(text, encoding="utf-8")
        return subprocess.run([OPTIONS.cxx, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", f"-I{self.folder}", f"-I{ROOT}", *flags,
                               str(source)], capture_output=True, text=True, timeout=100, check=False)


class Commands(Generator):
    SCHEMA = (HERE / "commands.fbs").read_text(encoding="utf-8")
    LOCK = (HERE / "ids.lock").read_text(encoding="utf-8")

    def generate(self, schema=SCHEMA, lock=LOCK, *options):
        (self.folder / "commands.fbs").write_text(schema, encoding="utf-8")
        self.lock = self.folder / "ids.lock"
        self.lock.write_text(lock, encoding="utf-8")
        return run("commands.py", "--schema", self.folder / "commands.fbs", "--lock", self.lock, "--out",
                   self.folder / "protocol/gen_commands.h", *options)

    def test_golden(self):
        result = self.generate()
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assert_golden(self.folder / "protocol/gen_commands.h", "gen_commands.h")
        self.assertEqual(self.lock.read_text(encoding="utf-8"), self.LOCK)

    def test_output_compiles_and_misses_no_handler(self):
        self.generate()
        subprocess.run([OPTIONS.flatc, "--cpp", "--scoped-enums", "-o", str(self.folder / "protocol/schema"),
                        str(self.folder / "commands.fbs")], check=True)
        names = re.findall(r"\bk(\w+) = \d+,", (self.folder / "protocol/gen_commands.h").read_text(encoding="utf-8"))
        self.assertEqual(len(names), 8)
        handlers = [f"  accelmesh::Status On(const accelmesh::wire::{name}&, const accelmesh::RecordView&) {{ return {{}}; }}\n" for name in names]

        def program(of_these):
            return ('#include "protocol/gen_commands.h"\nstruct Handler {\n' + "".join(of_these) + "};\n"
                    "template accelmesh::Status accelmesh::GenDispatch<Handler>(const RecordView&, CommandLane, Handler&);\n"
                    "static_assert(static_cast<int>(accelmesh::CommandTraits<accelmesh::wire::CommandLane>::kId) == 300);\n")
        whole = self.compile(program(handlers))
        self.assertEqual(whole.returncode, 0, whole.stderr)
        lacking = self.compile(program(handlers[1:]))
        self.assertNotEqual(lacking.returncode, 0)
        self.assertIn(names[0], lacking.stderr)

    def schema_with(self, line):
        """The small schema with one more line; (text, where that line is)."""
        return self.SCHEMA + line + "\n", f"{self.folder}/commands.fbs:{len(self.SCHEMA.splitlines()) + 1}"

    def test_wrong_schemas(self):
        for line, words in (
                ('struct New (mood: "post") { a:uint; }', ["New has unknown attribute mood"]),
                ('struct New (mode: "later") { a:uint; }', ["New needs mode", "'later'"]),
                ('struct New (lane: "side") { a:uint; }', ["New needs mode", "None"]),
                ('struct New (mode: post) { a:uint; }', ["New has attribute `mode: post`"]),
                ('struct New (mode: "post", lane: "fast") { a:uint; }', ["New has lane 'fast'"]),
                ('struct New (mode: "post", mode: "call") { a:uint; }', ["New has attribute mode twice"]),
                ('struct New (mode: "call", lane: "side") { a:uint; }', ["call on the side lane"]),
                ('struct New (mode: "post", reply: "Answer") { a:uint; }', ["post with a reply"]),
                ('struct New (mode: "call", reply: "Nothing") { a:uint; }', ["reply 'Nothing', and no table"]),
                ('table New (mode: "call", reply: "Place") { a:uint; }', ["reply 'Place', and no table"]),
                ('struct PostStruct (mode: "post") { a:uint; }', ["PostStruct is declared twice"]),
                ('struct New (mode: "post",\n            lane: "side") { a:uint; }', ["go on in the next line"]),
                ('struct New (mode: "post") { a:uint; }', ["no id for New", "scripts/extend_ids.sh"])):
            with self.subTest(line):
                schema, where = self.schema_with(line)
                self.assert_fails(self.generate(schema), where, *words)
                self.assertFalse((self.folder / "protocol/gen_commands.h").exists())
        self.assert_fails(self.generate("struct Place { a:uint; }\n"), f"{self.folder}/commands.fbs:1", "there is no command")

    def test_a_comment_declares_nothing(self):
        schema, _ = self.schema_with('// struct New (mode: "post") { a:uint; }')
        self.assertEqual(self.generate(schema).returncode, 0)

    def test_wrong_locks(self):
        end = len(self.LOCK.splitlines()) + 1
        for line, words in (("command.PostStruct 301", ["command.PostStruct 301 stands in the lock already"]),
                            ("command.New 4", ["command.New 4 stands in the lock already"]),
                            ("command.New 7", ["comes after 300", "only extended at its end"]),
                            ("command.New 65536", ["is not a key and an id from 1 to 65535"]), ("command.New -1", ["is not a key and an id"]),
                            ("command.New", ["is not a key and an id"]), ("command.New x", ["is not a key and an id"]),
                            ("command.New 301 302", ["is not a key and an id"])):
            with self.subTest(line):
                self.assert_fails(self.generate(self.SCHEMA, self.LOCK + line + "\n"), f"{self.folder}/ids.lock:{end}", *words)
        zero = self.generate(self.SCHEMA, "command.CallStruct 0\n")
        self.assert_fails(zero, f"{self.folder}/ids.lock:1", "id from 1")

    def test_extending_the_lock_changes_no_line(self):
        schema = self.SCHEMA.replace("struct PostStruct", 'struct First (mode: "post") { a:uint; }\nstruct PostStruct')
        schema += 'table Last (mode: "call") { a:uint; }\n'
        for lock in (self.LOCK, self.LOCK.rstrip("\n"), "# Nothing yet.\n", ""):
            with self.subTest(lock):
                result = self.generate(schema, lock, "--extend-lock")
                self.assertEqual(result.returncode, 0, result.stderr)
                extended = self.lock.read_text(encoding="utf-8")
                self.assertEqual(extended.splitlines()[:len(lock.splitlines())], lock.splitlines())
                self.assertTrue(extended.endswith("\n"))
                added = extended.splitlines()[len(lock.splitlines()):]
                if lock.strip() == self.LOCK.strip():
                    self.assertEqual(added, ["command.First 301", "command.Last 302"])  # never 6 or 7, which a gap would offer
                else:
                    self.assertEqual([line.split()[1] for line in added], [str(number) for number in range(1, 11)])
                # A second time there is nothing to add, and without the flag all is well.
                self.assertEqual(self.generate(schema, extended, "--extend-lock").returncode, 0)
                self.assertEqual(self.lock.read_text(encoding="utf-8"), extended)
                self.assertEqual(self.generate(schema, extended).returncode, 0)

    def test_a_full_lock_is_not_extended(self):
        lock = self.LOCK + "command.Highest 65535\n"
        schema, _ = self.schema_with('struct New (mode: "post") { a:uint; }')
        self.assert_fails(self.generate(schema, lock, "--extend-lock"), f"{self.folder}/ids.lock", "1 more ids do not fit")
        self.assertEqual(self.lock.read_text(encoding="utf-8"), lock)

    def test_a_wrong_schema_does_not_touch_the_lock(self):
        schema, where = self.schema_with('struct New (mode: "post") { a:uint; }\nstruct Newer (mode: "x") { a:uint; }')
        self.assertEqual(self.generate(schema, self.LOCK, "--extend-lock").returncode, 1)
        self.assertEqual(self.lock.read_text(encoding="utf-8"), self.LOCK)

    def test_the_projects_own_lock_is_complete(self):
        result = run("commands.py", "--schema", ROOT / "protocol/schema/commands.fbs", "--lock", ROOT / "protocol/api/ids.lock", "--out",
                     self.folder / "out.h")
        self.assertEqual((result.returncode, result.stderr), (0, ""))


class Entry(Generator):
    API = (HERE / "api.py").read_text(encoding="utf-8")

    def generate(self, api=API, only=None):
        (self.folder / "api.py").write_text(api, encoding="utf-8")
        options = ["--only", ",".join(only)] if only else []
        return run("entry.py", "--include", OPTIONS.include, "--cudart", OPTIONS.cudart, "--api", self.folder / "api.py", "--out-dir",
                   self.folder / "shim", *options)

    def test_golden(self):
        result = self.generate(only=FUNCTIONS)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for name in ("gen_entry.cpp", "gen_face.h", "exports.txt", "gen_entry_points.inc"):
            self.assert_golden(self.folder / "shim" / name, name)
        self.assertEqual(result.stdout, "26 functions of libcudart.so.13 and its headers: 18 answered (4 local, 9 sent, 5 of nvcc's stubs), "
                                        "8 refused by name (1 of them in no header)\n")

    def test_output_compiles(self):
        self.generate(only=FUNCTIONS)
        result = self.compile((self.folder / "shim/gen_entry.cpp").read_text(encoding="utf-8"), f"-isystem{OPTIONS.include}")
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_totality(self):
        """Everything that the library exports is there, answered or refused, and the counts add up."""
        result = self.generate()
        self.assertEqual(result.returncode, 0, result.stderr)
        listing = subprocess.run(["nm", "-D", "--defined-only", OPTIONS.cudart], check=True, capture_output=True, text=True).stdout
        exported = {line.split()[2].partition("@")[0] for line in listing.splitlines() if line.split()[1] == "T"}
        entry = (self.folder / "shim/gen_entry.cpp").read_text(encoding="utf-8")
        defined = re.findall(r"^ACCELMESH_EXPORT [^(]*?(\w+)\(", entry, re.M)
        self.assertEqual(len(defined), len(set(defined)))
        self.assertLessEqual(exported, set(defined))
        self.assertEqual((self.folder / "shim/exports.txt").read_text(encoding="utf-8").split(), sorted(defined))
        counts = re.fullmatch(r"(\d+) functions of \S+ and its headers: (\d+) answered \((\d+) local, (\d+) sent, (\d+) of nvcc's stubs\), "
                              r"(\d+) refused by name \((\d+) of them in no header\)\n", result.stdout)
        total, answered, local, sent, stubs, refused, undeclared = map(int, counts.groups())
        self.assertEqual(total, len(defined))
        self.assertEqual(answered + refused, total)
        self.assertEqual(local + sent + stubs, answered)
        self.assertLess(undeclared, refused)
        self.assertEqual(len(re.findall(r"accelmesh::Enter<", entry)), answered)
        self.assertEqual(len(re.findall(r"accelmesh::Refuse<", entry)), refused)

    def test_a_function_that_only_a_header_declares_is_refused(self):
        include = self.folder / "include"
        include.mkdir()
        (include / "cuda_runtime_api.h").write_text(
            "typedef enum cudaError { cudaSuccess = 0 } cudaError_t;\ncudaError_t cudaGetDevice(int pair[2]);\n"
            "const char* cudaGetErrorString(cudaError_t error);\ncudaError_t cudaBrandNew(int (*table)[4], void (*call)(int));\n", encoding="utf-8")
        (self.folder / "api.py").write_text('LIBRARY = "libcudart.so.13"\nLOCAL = ["cudaGetDevice"]\nSENT = []\nBODIES = LOCAL + SENT\nSTUBS = []\n'
                                            'REFUSED = {}\nWHY_REFUSED = "so"\nREFUSED_BY_BODY = []\n',
                                            encoding="utf-8")
        result = run("entry.py", "--include", include, "--cudart", OPTIONS.cudart, "--api", self.folder / "api.py", "--out-dir",
                     self.folder / "shim", "--only", "cudaGetDevice,cudaBrandNew")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("2 functions of libcudart.so.13 and its headers: 1 answered", result.stdout)
        self.assertIn("cudaError_t cudaGetDevice(int pair[2]) {", (self.folder / "shim/gen_entry.cpp").read_text(encoding="utf-8"))
        self.assertIn('cudaError_t cudaBrandNew(int (*)[4], void (*)(int)) { return accelmesh::Refuse<cudaError_t>("cudaBrandNew", "so"); }',
                      (self.folder / "shim/gen_entry.cpp").read_text(encoding="utf-8"))

    def test_wrong_descriptions(self):
        def line_of(text, word, last=False):
            numbers = [number for number, line in enumerate(text.splitlines(), 1) if word in line]
            return numbers[-1 if last else 0]
        at_its_last = ("is named twice", "is refused twice", "has a body and is refused", "needs one")
        for old, new, word, words in (
                ("cudaMalloc cudaMemcpy ", "cudaMalloc cudaMemcpi ", "cudaMemcpi", ["no header declares it", "STUBS"]),
                ("cudaStreamQuery", "cudaStreamQuery cudaGetDevice", "cudaGetDevice", ["is named twice"]),
                ("cudaStreamQuery", "cudaStreamQuery cudaMemcpy_ptds", "cudaMemcpy_ptds", ["is a variant", "name cudaMemcpy"]),
                ('"__cudaRegisterFatBinaryEnd"', '"__cudaRegisterNothing"', "__cudaRegisterNothing", ["libcudart.so.13 does not export it"]),
                ('"cudaProfilerStart"', '"cudaProfilerStar"', "cudaProfilerStar", ["is refused here", "does not export it"]),
                ('"cudaProfilerStart"', '"cudaGraphLaunch"', "cudaGraphLaunch", ["is refused twice"]),
                ('"cudaProfilerStart"', '"cudaMemcpy"', "cudaMemcpy", ["has a body and is refused"]),
                ('["cudaGetDriverEntryPoint"]', '["cudaProfilerStart"]', "cudaGetDriverEntryPoint", ["has a body and is refused"]),
                ('["cudaGetDriverEntryPoint"]', '["cudaGetDriverEntryPoint", "cudaGetErrorName"]', "cudaGetErrorName", ["needs one"])):
            with self.subTest(new):
                api = self.API.replace(old, new)
                self.assertNotEqual(api, self.API)
                where = f"{self.folder}/api.py:{line_of(api, word, last=words[0] in at_its_last)}"
                self.assert_fails(self.generate(api), where, word, *words)
                self.assertFalse((self.folder / "shim/gen_entry.cpp").exists())

    def test_only_names_functions(self):
        result = self.generate(only=["cudaGetDevice", "cudaNope"])
        self.assertEqual(result.returncode, 1)
        self.assertIn("--only names cudaNope", result.stderr)

    def test_headers_that_do_not_parse(self):
        include = self.folder / "include"
        include.mkdir()
        (include / "cuda_runtime_api.h").write_text("\nint cudaGetDevice(nonsense);\n", encoding="utf-8")
        (self.folder / "api.py").write_text(self.API, encoding="utf-8")
        result = run("entry.py", "--include", include, "--cudart", OPTIONS.cudart, "--api", self.folder / "api.py", "--out-dir", self.folder / "shim")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"headers do not parse: .*cuda_runtime_api\.h:2:")
        self.assertEqual(len(result.stderr.splitlines()), 1)


class Blas(Generator):
    """Both sides of a library whose words the generator finds by rules."""
    FILES = ("cublas_small.h", "cublas_legacy.h", "api.py", "blas.lock")
    UNDECLARED = "cublasSecret cublasSold"

    def setUp(self):
        super().setUp()
        for name in self.FILES:
            shutil.copy(HERE / "blas" / name, self.folder / name)
        declared = re.findall(r"\b(cublas\w+)\(", (HERE / "blas/cublas_small.h").read_text(encoding="utf-8"))
        self.exports = sorted({*declared, *self.UNDECLARED.split()})
        self.library = self.folder / "libcublas.so"
        stubs = "".join(f'extern "C" void {name}() {{}}\n' for name in self.exports)
        subprocess.run([OPTIONS.cxx, "-shared", "-fPIC", "-x", "c++", "-", "-o", str(self.library)], input=stubs, text=True, check=True)

    def generate(self, *options):
        return run("blas.py", "--include", self.folder, "--cublas", self.library, "--api", self.folder / "api.py", "--lock",
                   self.folder / "blas.lock", "--shim-dir", self.folder / "shim", "--wire-dir", self.folder / "wire", *options)

    def replace(self, name, old, new):
        text = (HERE / "blas" / name).read_text(encoding="utf-8")
        self.assertIn(old, text)
        (self.folder / name).write_text(text.replace(old, new), encoding="utf-8")

    def test_golden(self):
        result = self.generate()
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for name in ("gen_blas_entry.cpp", "gen_blas_face.h", "blas_exports.txt"):
            self.assert_golden(self.folder / "shim" / name, name)
        for name in ("gen_blas_functions.inc", "gen_blas_calls.inc", "gen_blas_native.inc", "gen_blas_enumerators.inc"):
            self.assert_golden(self.folder / "wire" / name, name)
        self.assertEqual(result.stdout, "13 functions of libcublas.so.13: 9 answered (2 by a body, the rest are 7 on the wire), "
                                        "4 refused by name\n")

    def test_every_export_is_defined_once(self):
        self.generate()
        entry = (self.folder / "shim/gen_blas_entry.cpp").read_text(encoding="utf-8")
        self.assertEqual(sorted(re.findall(r"^ACCELMESH_EXPORT [^(]*?(\w+)\(", entry, re.M)), self.exports)
        self.assertEqual((self.folder / "shim/blas_exports.txt").read_text(encoding="utf-8").split(), self.exports)

    def test_only(self):
        self.assertEqual(self.generate("--only", "cublasSgemv_v2_64").returncode, 0)
        entry = (self.folder / "shim/gen_blas_entry.cpp").read_text(encoding="utf-8")
        self.assertEqual(re.findall(r"^ACCELMESH_EXPORT [^(]*?(\w+)\(", entry, re.M), ["cublasSgemv_v2_64"])
        self.assertIn('_FUNCTION(2, "cublasSgemv_v2", 13)', (self.folder / "wire/gen_blas_functions.inc").read_text(encoding="utf-8"))
        result = self.generate("--only", "cublasNope")
        self.assertEqual(result.returncode, 1)
        self.assertIn("--only names cublasNope", result.stderr)

    def test_the_lock_is_extended_at_its_end(self):
        self.replace("blas.lock", "cublasPlan 9\n", "")
        self.assert_fails(self.generate(), self.folder / "api.py", "no number for cublasPlan", "scripts/extend_ids.sh")
        self.assertEqual(self.generate("--extend-lock").returncode, 0)
        self.assertEqual((self.folder / "blas.lock").read_text(encoding="utf-8"), (HERE / "blas/blas.lock").read_text(encoding="utf-8"))

    def test_what_no_rule_covers(self):
        for name, old, new, words in (
                ("api.py", '(r"int|int64_t",', '(r"int64_t",', ["no rule covers `int"]),
                ("api.py", '"cublasXt*"', '"cublasXtNo*"', ["cublasXtAnything is of no family"]),
                ("api.py", 'ROWS = {"gemv": {"lda": "m"}}', "ROWS = {}", ["cublasSgemv_v2", "how large lda is"]),
                ("api.py", '"ScalEx": {"alpha": "BytesOf(alphaType)"}', "", ["cublasScalEx", "how large alpha is"]),
                ("api.py", "cublasCreate_v2 cublasPlan", "cublasCreate_v2 cublasPlan cublasNope", ["cublasNope has a body", "no header"]),
                ("api.py", '"cublasNever"', '"cublasOther"', ["cublasNever"]),
                ("cublas_small.h", "const void* alpha, cudaDataType alphaType", "const short* alpha, cudaDataType alphaType", ["alpha points to `short`"]),
                ("cublas_small.h", "cublasStatus_t cublasDrotmg(cublasHandle_t handle, ", "cublasStatus_t cublasDrotmg(", ["cublasDrotmg", "handle"])):
            with self.subTest(new):
                for file in self.FILES:
                    shutil.copy(HERE / "blas" / file, self.folder / file)
                self.replace(name, old, new)
                self.assert_fails(self.generate(), self.folder / "api.py", *words)
                self.assertFalse((self.folder / "shim").exists())


def find_toolkit():
    """(include, cudart) of the toolkit that cmake/cuda.cmake would take."""
    for home in filter(None, (os.environ.get("CUDA_HOME"), "/usr/local/cuda", ROOT / "build/toolkit")):
        with contextlib.suppress(StopIteration):
            library = next(path for path in pathlib.Path(home).glob("lib*/libcudart.so.13"))
            return str(pathlib.Path(home) / "include"), str(library)
    return None, None


def main():
    include, cudart = find_toolkit()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--include", default=include)
    parser.add_argument("--cudart", default=cudart)
    parser.add_argument("--flatc", default=shutil.which("flatc"))
    parser.add_argument("--cxx", default=shutil.which("g++-12"))
    parser.add_argument("--rewrite", action="store_true")
    _, rest = parser.parse_known_args(namespace=OPTIONS)
    missing = [name for name in ("include", "cudart", "flatc", "cxx") if not getattr(OPTIONS, name)]
    if missing:
        parser.error(f"no --{missing[0]}; scripts/setup.sh installs what is needed")
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
