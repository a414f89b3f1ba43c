#!/usr/bin/python3
"""Runs the differential tester for long, and writes what it found as a result.

  scripts/differential.py --programs 100000 --on tier0 --jobs 2 --results docs/results
  scripts/differential.py --programs 5000 --on tier1 --statements 8 --seed 1

Builds `differ` of the dev preset first. The PTX of what differs goes to build/differential. --results FOLDER writes
<date>-differential.json, to which runs of the same day are added. Exit 1 if something differs.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/dev"
OUT = ROOT / "build/differential"
LAST = re.compile(r"^differ: (\d+) programs of .* (\d+) statements, ([\d.]+) s: (\d+) differ(?:, (\d+) too large)?", re.M)


def write_result(folder, args, found):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{datetime.date.today().isoformat()}-differential.json"
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    record = {"what": "differential", "runs": []}
    if path.exists():
        record = json.loads(path.read_text(encoding="utf-8"))
    record["runs"].append({
        "command": "scripts/differential.py " + " ".join(sys.argv[1:]), "commit": commit,
        "machine": {"cpu": model.group(1) if model else "unknown", "cores": os.cpu_count()},
        "on": args.on, "first_seed": args.seed, "programs": int(found.group(1)), "statements": int(found.group(2)),
        "seconds": float(found.group(3)), "differences": int(found.group(4)), "too_large_for_tier_1": int(found.group(5) or 0)})
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"differential: wrote {path}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--programs", type=int, default=100000)
    parser.add_argument("--statements", type=int, default=40)
    parser.add_argument("--on", choices=["tier0", "tier1", "both"], default="both")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--no-build", action="store_true", help="differ is there and up to date")
    parser.add_argument("--results", type=pathlib.Path)
    args = parser.parse_args()
    if not args.no_build:
        subprocess.run(["cmake", "--build", str(BUILD), "-j", str(args.jobs), "--target", "differ"], check=True)
    OUT.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(BUILD / "bin/differ"), "--seed", str(args.seed), "--programs", str(args.programs), "--statements",
         str(args.statements), "--on", args.on, "--jobs", str(args.jobs), "--keep-going", "--out", str(OUT)],
        stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="")
    found = LAST.search(done.stdout)
    if args.results and found:
        write_result(args.results, args, found)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
