"""What a file of protocol/api and the library itself say about its functions; what the generators share."""
import importlib.util
import subprocess
from pathlib import Path

# Variants that nvcc calls under --default-stream per-thread: the same body, with the thread's own default stream.
PER_THREAD_SUFFIXES = ("_ptsz", "_ptds")


def load_api(path: Path):
    spec = importlib.util.spec_from_file_location("cudart_api", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def exported_names(library: Path, prefixes: tuple[str, ...] = ("cuda", "__cuda")) -> set[str]:
    out = subprocess.run(["nm", "-D", "--defined-only", str(library)], check=True, capture_output=True, text=True).stdout
    names = [line.split()[2].split("@")[0] for line in out.splitlines() if len(line.split()) == 3 and line.split()[1] == "T"]
    return {name for name in names if name.startswith(prefixes)}


def base_name(name: str) -> tuple[str, bool]:
    """The function whose variant `name` is, and whether it is the per-thread one."""
    for suffix in PER_THREAD_SUFFIXES:
        if name.endswith(suffix):
            return name[:-len(suffix)], True
    return name, False


def refusals(api) -> dict[str, str]:
    """{name without variants: why it stays refused}"""
    return {name: why for why, names in api.REFUSED.items() for name in names.split()}
