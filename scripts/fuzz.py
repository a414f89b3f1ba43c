#!/usr/bin/python3
"""Builds and runs the fuzzers of the fuzz preset, starting from their seeds.

  scripts/fuzz.py --seconds 120         that long in all, shared by all fuzzers
  scripts/fuzz.py --runs 10000000       that many executions each; --results FOLDER writes <date>-fuzz.json
  scripts/fuzz.py --only NAME ...       one fuzzer

Fuzzers are whatever accelmesh_fuzzer() declares (build/fuzz/fuzz/*); their seeds are read from the *_seeds tests of the dev
preset. What they learn goes to build/fuzz/corpus/NAME, a crash to build/fuzz/crashes. Exit 1 if any of them finds something.
"""
import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/fuzz"


def fuzzer_targets():
    listing = subprocess.run(["ninja", "-C", str(BUILD), "-t", "targets", "all"], capture_output=True, text=True, check=True)
    return sorted(set(re.findall(r"^fuzz/(\w+): CXX_EXECUTABLE_LINKER", listing.stdout, re.M)))


def seeds_by_fuzzer():
    """name -> seed folders, from the tests that replay the same seeds in the dev preset."""
    if not (ROOT / "build/dev/build.ninja").exists():
        subprocess.run(["cmake", "--preset", "dev"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    listing = subprocess.run(["ctest", "--test-dir", str(ROOT / "build/dev"), "--show-only=json-v1", "-L", "^fuzz$"],
                             capture_output=True, text=True, check=True)
    found = {}
    for test in json.loads(listing.stdout)["tests"]:
        command = test.get("command", [])
        if test["name"].endswith("_seeds"):
            found[test["name"][:-len("_seeds")]] = [seed for seed in command[1:] if pathlib.Path(seed).exists()]
    return found


def run_one(name, seeds, limit):
    corpus = BUILD / "corpus" / name
    crashes = BUILD / "crashes"
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    log = BUILD / "corpus" / f"{name}.log"
    start = time.monotonic()
    with open(log, "w", encoding="utf-8") as out:
        rc = subprocess.run([str(BUILD / "fuzz" / name), *limit, "-timeout=25", "-rss_limit_mb=4096", "-print_final_stats=1",
                             f"-artifact_prefix={crashes}/{name}-", str(corpus), *seeds],
                            stdout=out, stderr=subprocess.STDOUT, check=False, cwd=BUILD).returncode
    text = log.read_text(encoding="utf-8", errors="replace")
    counted = re.search(r"stat::number_of_executed_units:\s*(\d+)", text)
    return {"fuzzer": name, "executions": int(counted.group(1)) if counted else 0, "exit": rc,
            "seconds": round(time.monotonic() - start, 1), "tail": text[-4000:]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--results", type=pathlib.Path)
    parser.add_argument("--only", action="append")
    args = parser.parse_args()
    if (args.seconds is None) == (args.runs is None):
        parser.error("give --seconds or --runs")

    if not (BUILD / "build.ninja").exists():
        subprocess.run(["cmake", "--preset", "fuzz"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    names = [name for name in fuzzer_targets() if not args.only or name in args.only]
    if not names:
        print("fuzz: no fuzzer in the fuzz preset", file=sys.stderr)
        return 1
    subprocess.run(["cmake", "--build", str(BUILD), "-j", str(args.jobs), "--target", *names], check=True)

    if args.seconds is not None:
        limit = [f"-max_total_time={max(5, args.seconds * min(args.jobs, len(names)) // len(names))}"]
    else:
        limit = [f"-runs={args.runs}"]
    seeds = seeds_by_fuzzer()
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(lambda name: run_one(name, seeds.get(name, []), limit), names))

    failed = False
    for result in results:
        tail = result.pop("tail")
        failed = failed or result["exit"] != 0
        print(f"fuzz: {result['fuzzer']:<32} {result['executions']:>12} executions {result['seconds']:>8} s"
              f"  {'ok' if result['exit'] == 0 else 'FAILED'}")
        if result["exit"] != 0:
            print(tail)
    if args.results:
        args.results.mkdir(parents=True, exist_ok=True)
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
        record = {"what": "fuzz", "command": "scripts/fuzz.py " + " ".join(sys.argv[1:]), "commit": commit,
                  "machine": {"cpu": model.group(1) if model else "unknown", "cores": os.cpu_count()},
                  "sanitizers": "address,undefined", "fuzzers": results}
        path = args.results / f"{datetime.date.today().isoformat()}-fuzz.json"
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        print(f"fuzz: wrote {path}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
