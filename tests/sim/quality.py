#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How good weir's decisions are on many lists of jobs, beside Starburst: pieces of the public traces, samples, other loads and sizes.

Not a test: a table for whoever changes a rule. A rule is good where it helps on most of these; the lists of the set "kept" are
looked at once, when everything is decided.

quality.py WEIR [--set quick|tried|kept|all] [--only TEXT] [--jobs N] [--save FILE] [--against FILE] [-- OPTION OF weir sim ..]
"""
import argparse
import concurrent.futures
import csv
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from suites import data, lib  # noqa: E402

PHILLY = "philly-jobs/philly_jobs_2017-09-04_2017-10-31.csv"
PAI = "alibaba-pai/pai_100k_first_4800h.csv"
SWF = "job-durations/hpc2n.swf"
DAY_S = 86400
OCTOBER_S = 1506816000  # 2017-10-01


# ---- lists: of (submit, duration, gpus, group) ----

def in_order(jobs):
    return sorted(jobs, key=lambda job: job[0])  # of one second as they stand


def philly():
    with open(data(PHILLY) / PHILLY, encoding="utf-8", newline="") as file:
        return in_order((int(r["submit_unix"]), int(r["duration_s"]), int(r["gpus"]), r["vc"]) for r in csv.DictReader(file))


def pai(times_denser, units_most):
    with open(data(PAI) / PAI, encoding="utf-8", newline="") as file:
        rows = [(float(r["submit_h"]), float(r["duration_h"]), int(r["units"])) for r in csv.DictReader(file)]
    return in_order((round(s * 3600 / times_denser), max(round(d * 3600), 1), u, "all") for s, d, u in rows if u <= units_most)


def muri(name):
    with open(data("muri-philly") / "muri-philly" / name, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return in_order((int(r["submit_time"]) // 1000, max(int(r["iterations"]) * int(r["iteration_time"]) // 1000, 1), int(r["num_gpu"]), r["model_name"])
                  for r in rows)


def swf():
    jobs = []
    for line in (data(SWF) / SWF).read_text(encoding="utf-8").splitlines():
        f = line.split()
        if len(f) == 18 and f[0] != ";" and int(f[3]) > 0 and int(f[4]) > 0:
            jobs.append((int(f[1]), int(f[3]), int(f[4]), f[11]))
    return in_order(jobs)


def part(jobs, i, n):
    """The i-th of n parts of as many jobs."""
    return jobs[len(jobs) * i // n:len(jobs) * (i + 1) // n]


def sample(jobs, share, seed):
    draw = random.Random(seed)
    return [j for j in jobs if draw.random() < share]


def paced(jobs, times_denser):
    first = jobs[0][0]
    return [(first + round((j[0] - first) / times_denser), *j[1:]) for j in jobs]


def shuffled(jobs, seed):
    """The same jobs in another order, at the same times."""
    rest = [j[1:] for j in jobs]
    random.Random(seed).shuffle(rest)
    return [(j[0], *r) for j, r in zip(jobs, rest)]


def ungrouped(jobs):
    return [(*j[:3], "all") for j in jobs]


def of_groups(jobs, odd):
    """Those of every other group, the largest first."""
    count = {}
    for j in jobs:
        count[j[3]] = count.get(j[3], 0) + 1
    groups = sorted(count, key=lambda g: (-count[g], g))
    return [j for j in jobs if groups.index(j[3]) % 2 == odd]


# name: (set, sizes, trim, list)
LISTS = {
    "all": ("tried", (48, 64, 80, 100), 2000, philly),
    "third 1": ("tried", (48, 64, 80, 100), 2000, lambda: part(philly(), 0, 3)),
    "third 2": ("tried", (48, 64, 80, 100), 2000, lambda: part(philly(), 1, 3)),
    "third 3": ("tried", (48, 64, 80, 100), 2000, lambda: part(philly(), 2, 3)),
    "half 1": ("tried", (48, 64, 80), 2000, lambda: part(philly(), 0, 2)),
    "half 2": ("tried", (48, 64, 80), 2000, lambda: part(philly(), 1, 2)),
    "half sample": ("tried", (24, 32, 40), 1000, lambda: sample(philly(), .5, 1)),
    "quarter sample": ("tried", (12, 20), 500, lambda: sample(philly(), .25, 2)),
    "denser by 1.25": ("tried", (64, 100), 2000, lambda: paced(philly(), 1.25)),
    "no groups": ("tried", (48, 80), 2000, lambda: ungrouped(philly())),
    "shuffled": ("tried", (48, 80), 2000, lambda: shuffled(philly(), 3)),
    "pai x8": ("tried", (80, 120), 2000, lambda: pai(8, 32)),
    "muri 1": ("tried", (8, 16), 50, lambda: muri("trace1.csv")),
    "muri 4": ("tried", (8, 16), 100, lambda: muri("trace4.csv")),
    "hpc2n": ("tried", (16, 20), 100, swf),
    "September": ("kept", (48, 64, 80), 1000, lambda: [j for j in philly() if j[0] < OCTOBER_S]),
    "October": ("kept", (48, 64, 80, 100), 2000, lambda: [j for j in philly() if j[0] >= OCTOBER_S]),
    "quarter 1": ("kept", (48, 64, 80), 1000, lambda: part(philly(), 0, 4)),
    "quarter 2": ("kept", (48, 64, 80), 1000, lambda: part(philly(), 1, 4)),
    "quarter 3": ("kept", (48, 64, 80), 1000, lambda: part(philly(), 2, 4)),
    "quarter 4": ("kept", (48, 64, 80), 1000, lambda: part(philly(), 3, 4)),
    "other half sample": ("kept", (24, 32, 40), 1000, lambda: sample(philly(), .5, 11)),
    "even groups": ("kept", (24, 32, 40), 1000, lambda: of_groups(philly(), 0)),
    "odd groups": ("kept", (16, 24, 32), 1000, lambda: of_groups(philly(), 1)),
    "sparser by 1.25": ("kept", (48, 64), 2000, lambda: paced(philly(), .8)),
    "pai half": ("kept", (60, 90), 1000, lambda: part(pai(6, 16), 1, 2)),
    "muri 3": ("kept", (8, 16), 50, lambda: muri("trace3.csv")),
}
QUICK = {("all", 64), ("third 1", 48), ("third 1", 80), ("third 2", 64), ("third 3", 48), ("third 3", 80), ("half sample", 24), ("half sample", 40),
         ("no groups", 48), ("pai x8", 80), ("muri 4", 8), ("hpc2n", 16)}


# ---- figures ----

def read_off(front, x, x_of, y_of):
    """The front's y at x, by linear interpolation along its points in the order of their waiting; None beyond it."""
    points = sorted(((r["avg_wait_hours"], r["cloud_gpu_hours"]) for r in front))
    rows = [{"avg_wait_hours": w, "cloud_gpu_hours": c} for w, c in points]
    best = None
    for a, b in zip(rows, rows[1:]):
        low, high = sorted((a, b), key=lambda r: r[x_of])
        if low[x_of] <= x <= high[x_of]:
            part_of = 0 if high[x_of] == low[x_of] else (x - low[x_of]) / (high[x_of] - low[x_of])
            y = low[y_of] + (high[y_of] - low[y_of]) * part_of
            best = y if best is None else min(best, y)
    return best


def below(front, reference):
    """By how many percent the front is below the point: in the cloud at its wait, in waiting at its cloud GPU-hours."""
    if not reference["cloud_gpu_hours"] or not reference["avg_wait_hours"]:
        return None, None
    cloud = read_off(front, reference["avg_wait_hours"], "avg_wait_hours", "cloud_gpu_hours")
    if cloud is None and all(r["avg_wait_hours"] < reference["avg_wait_hours"] for r in front):
        cloud = min(r["cloud_gpu_hours"] for r in front)  # so long it never lets wait
    wait = read_off(front, reference["cloud_gpu_hours"], "cloud_gpu_hours", "avg_wait_hours")
    if wait is None and all(r["cloud_gpu_hours"] < reference["cloud_gpu_hours"] for r in front):
        wait = min(r["avg_wait_hours"] for r in front)  # so much it never spends
    return (None if cloud is None else 100 * (cloud / reference["cloud_gpu_hours"] - 1),
            None if wait is None else 100 * (wait / reference["avg_wait_hours"] - 1))


PAIRS = (("weir", "starburst"), ("weir-no-estimates", "starburst-no-estimates"))


def measure(weir, path, nodes, trim, more):
    policies = ",".join(p for pair in PAIRS for p in pair)
    out = subprocess.run(["nice", "-n", "10", weir, "sim", "--suite", "starburst", "--jobs", path, "--nodes", str(nodes), "--trim", str(trim),
                          "--policies", policies, "--json", *more], capture_output=True, text=True, check=True)
    rows = json.loads(out.stdout)["rows"]
    ret = []
    for ours, theirs in PAIRS:
        front = [r for r in rows if r["policy"] == ours]
        reference = next(r for r in rows if r["policy"] == theirs)
        ret += [*below(front, reference), reference["cloud_gpu_hours"]]
    return ret


def shown(v):
    return "      -" if v is None else f"{v:7.1f}"


def summary(name, values):
    known = [v for v in values if v is not None]
    if not known:
        return
    known.sort()
    print(f"{name:28} mean {sum(known) / len(known):6.1f}  median {known[len(known) // 2]:6.1f}  worst {known[-1]:6.1f}  of {len(known)}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("weir")
    p.add_argument("--set", default="quick", choices=("quick", "tried", "kept", "all"))
    p.add_argument("--only", default="", help="lists whose name has this in it")
    p.add_argument("--jobs", type=int, default=1, help="so many at a time")
    p.add_argument("--save", help="keep the figures in this file")
    p.add_argument("--against", help="show figures kept before beside")
    own = sys.argv[1:]
    more = own[own.index("--") + 1:] if "--" in own else []
    a = p.parse_args(own[:len(own) - len(more) - 1] if "--" in own else own)
    before = json.load(open(a.against, encoding="utf-8")) if a.against else {}
    got = {}
    with tempfile.TemporaryDirectory(prefix="weir-quality-") as folder, concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        asked = []
        for name, (kind, sizes, trim, make) in LISTS.items():
            cases = [n for n in sizes if a.set in ("all", kind) or (a.set == "quick" and (name, n) in QUICK)]
            if a.only not in name or not cases:
                continue
            path = os.path.join(folder, name.replace(" ", "-") + ".csv")
            with open(path, "w", encoding="utf-8", newline="") as file:
                out = csv.writer(file)
                out.writerow(["submit_unix", "duration_s", "gpus", "vc"])
                first = None
                for s, d, g, vc in make():
                    first = s if first is None else first
                    out.writerow([s if s > 10 ** 9 else s - first + 1_500_000_000, d, g, vc])
            asked += [(f"{name} @{n}", pool.submit(measure, a.weir, path, n, trim, more)) for n in cases]
        print(f"{'':24}   with: cloud %  wait %  (of GPU-h)   without: cloud %  wait %  (of GPU-h)")
        for name, future in asked:
            v = got[name] = future.result()
            b = before.get(name)
            old = "" if b is None else f"   before: {shown(b[0])} {shown(b[1])} {shown(b[3])} {shown(b[4])}"
            print(f"{name:24}   {shown(v[0])} {shown(v[1])} {v[2]:12.0f}      {shown(v[3])} {shown(v[4])} {v[5]:12.0f}{old}", flush=True)
    for i, name in ((0, "with, cloud"), (1, "with, wait"), (3, "without, cloud"), (4, "without, wait")):
        summary(name, [v[i] for v in got.values()])
        if before:
            summary("  before", [before[k][i] for k in got if k in before])
    if a.save:
        with open(a.save, "w", encoding="utf-8") as file:
            json.dump(got, file, indent=1)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except lib.Skip as e:
        sys.exit(f"quality: {e}")
