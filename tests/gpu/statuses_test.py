#!/usr/bin/env python3
"""Compares what our library says of wrong arguments with tests/gpu/PROGRAM.json, a row a call:

    "native"   what NVIDIA's library said, or "unverified" until it was asked
    "ours"     what ours says; if it is not the native one, "differs" says why

    statuses_test.py --gpu-server PATH --mesh-run PATH PROGRAM [--update]        PROGRAM is of tests/apps: cublas_statuses, cudnn_statuses
    statuses_test.py --record FOLDERS PROGRAM

--update writes what ours says now, and adds the rows that the table lacks. --record has NVIDIA's libraries answer, which lie in
FOLDERS (as in LD_LIBRARY_PATH): all rows on a machine with a GPU (scripts/gpu-check run --record), elsewhere those that need
none. Exit: 0 all as it stands, 1 not, 2 usage.
"""
import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# The first row of a program that needs a device.
FIRST_WITH_DEVICE = {"cublas_statuses": "GetVersion(null)", "cudnn_statuses": "GetStream(null)"}
sys.path.insert(0, str(ROOT / "tests/integration"))
import run_app  # noqa: E402  it lies there


def table_of(program):
    return ROOT / "tests/gpu" / f"{pathlib.Path(program).name}.json"


def write_table(program, table):
    """A row a line."""
    rows = ",\n".join(f"  {json.dumps(row)}: {json.dumps(known)}" for row, known in table["rows"].items())
    table_of(program).write_text(f'{{\n "recorded": {json.dumps(table["recorded"])},\n "rows": {{\n{rows}\n }}\n}}\n')


def record(program, folders, machine):
    """What NVIDIA's libraries in `folders` say, into the table. The rows in which ours differs."""
    done = subprocess.run([program], env={**os.environ, "LD_LIBRARY_PATH": folders}, capture_output=True, text=True, check=False,
                          timeout=120)
    rows = done.stdout
    if done.returncode != 0:
        print(f"{program} ended with {done.returncode} behind {rows[-100:]!r}; the rows before it are taken\n{done.stderr[-500:]}")
        rows += "\n}"
    table = read_table(program)
    said = json.loads(rows)
    if FIRST_WITH_DEVICE[pathlib.Path(program).name] not in said:
        # They may be of the device that was not there.
        said = {row: status for row, status in said.items() if status != "CUBLAS_STATUS_MAPPING_ERROR"}
    for row, status in said.items():
        table["rows"].setdefault(row, {"native": "", "ours": "unknown"})["native"] = status
    table["recorded"][machine] = f"{len(said)} rows, {datetime.date.today()}"
    write_table(program, table)
    return [row for row, known in table["rows"].items() if known["native"] not in ("unverified", known["ours"])]


def read_table(program):
    return json.loads(table_of(program).read_text()) if table_of(program).exists() else {"recorded": {}, "rows": {}}


def said_by(arguments):
    """{row: status}, or None if the program did not get through."""
    with tempfile.TemporaryDirectory(prefix="statuses-") as scratch:
        options = argparse.Namespace(gpu_server=arguments.gpu_server, backend="cpu", transport="shm", server_arg=[])
        server = run_app.Server(options, scratch)
        try:
            if not server.wait_ready():
                print(f"gpu-server does not start\n{server.log()}")
                return None
            done = subprocess.run([arguments.mesh_run, "--server", server.url, "--", arguments.program], capture_output=True,
                                  text=True, check=False, timeout=60)
        finally:
            faults = server.stop()
    if done.returncode != 0 or faults:
        print(f"{arguments.program} ended with {done.returncode}\n{done.stdout}{done.stderr}" + "\n".join(faults))
        return None
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu-server")
    parser.add_argument("--mesh-run")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--record", metavar="FOLDERS")
    parser.add_argument("program")
    arguments = parser.parse_args()
    if arguments.record:
        print("\n".join(f"ours differs: {row}" for row in record(arguments.program, arguments.record, "without a GPU")))
        return 0
    if not arguments.gpu_server or not arguments.mesh_run:
        parser.error("--gpu-server and --mesh-run are needed")
    said = said_by(arguments)
    if said is None:
        return 1
    table = read_table(arguments.program)
    rows = table["rows"]
    if arguments.update:
        for row, status in said.items():
            rows.setdefault(row, {"native": "unverified"})["ours"] = status
        table["rows"] = {row: rows[row] for row in said}
        write_table(arguments.program, table)
    wrong = [f"{row}: not in the table; add it by --update" for row in said if row not in rows]
    wrong += [f"{row}: no call of the program" for row in rows if row not in said]
    for row, known in rows.items():
        if said.get(row, known["ours"]) != known["ours"]:
            wrong.append(f"{row}: {said[row]}, and the table says {known['ours']}")
        if known["native"] not in ("unverified", known["ours"]) and not known.get("differs"):
            wrong.append(f"{row}: ours says {known['ours']}, NVIDIA's {known['native']}")
    unverified = sum(known["native"] == "unverified" for known in rows.values())
    print("\n".join(wrong) if wrong else f"{len(rows)} rows as they stand, {unverified} of them unverified")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
