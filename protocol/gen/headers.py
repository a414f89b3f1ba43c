"""Reads C declarations from the installed toolkit's headers by libclang; what entry.py and blas.py share."""
from pathlib import Path

from clang import cindex


class HeaderError(Exception):
    pass


def declare(kind: str, name: str) -> str:
    """`kind name` as C writes it: function pointers and arrays have the name in their middle."""
    if "(*)" in kind:
        return kind.replace("(*)", f"(*{name})", 1)
    if kind.endswith("]"):
        bracket = kind.index("[")
        return f"{kind[:bracket]} {name}{kind[bracket:]}"
    return f"{kind} {name}"


def open_headers(include: Path, headers: list[str], language: str = "c") -> cindex.Cursor:
    if not cindex.Config.library_file:
        candidates = sorted(Path("/usr/lib").glob("*/libclang-19.so*")) + sorted(Path("/usr/lib/llvm-19/lib").glob("libclang*.so*"))
        if candidates:
            cindex.Config.set_library_file(str(candidates[0]))
    builtin = Path("/usr/lib/llvm-19/lib/clang/19/include")
    unit = cindex.Index.create().parse("in.c", args=["-x", language, f"-I{include}", f"-isystem{builtin}"],
                                       unsaved_files=[("in.c", "".join(f"#include <{header}>\n" for header in headers))])
    fatal = [d for d in unit.diagnostics if d.severity >= cindex.Diagnostic.Error]
    if fatal:
        raise HeaderError(f"the toolkit's headers do not parse: {fatal[0]}")
    return unit.cursor


def declarations(cursor: cindex.Cursor):
    """The declarations of a unit, those inside of extern "C" among them."""
    for node in cursor.get_children():
        if node.kind in (cindex.CursorKind.LINKAGE_SPEC, cindex.CursorKind.UNEXPOSED_DECL):
            yield from declarations(node)
        else:
            yield node


def is_function(node: cindex.Cursor) -> bool:
    return node.kind == cindex.CursorKind.FUNCTION_DECL


def is_enumeration(node: cindex.Cursor) -> bool:
    return node.kind == cindex.CursorKind.ENUM_DECL
