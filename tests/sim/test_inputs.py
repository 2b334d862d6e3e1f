#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Work in all its forms: published files against a count of their own, and one trace written in several forms."""
import csv
import datetime
import gzip
import math
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from suites import data, lib, sim  # noqa: E402

PHILLY = "philly-jobs/philly_jobs_2017-09-04_2017-10-31.csv"


def gpu_hours(weir, path):
    result = sim(weir, "commitments", "--policies", "on-demand", "--jobs", path)
    return result["rows"][0]["cost"], result["trace_hash"]


def count(jobs):
    """The same from (submit_s, duration_s, gpus): GPUs by minute, the mean of each hour, halves to even."""
    first = min(int(s) // 3600 for s, _, _ in jobs)
    hours = max(int(s) // 3600 for s, _, _ in jobs) - first + 1
    change = [0] * (hours * 60 + 1)
    for submit, duration, gpus in jobs:
        change[math.floor(submit / 60) - first * 60] += gpus
        change[min(math.ceil((submit + duration) / 60) - first * 60, hours * 60)] -= gpus
    total = held = 0
    for hour in range(hours):
        held_minutes = 0
        for minute in range(60):
            held += change[hour * 60 + minute]
            held_minutes += held
        total += round(held_minutes / 60)
    return total


def rows_of(name):
    with open(data(name) / name, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def test_published_files_are_read_as_they_stand(weir):
    pods = [r for r in rows_of("alibaba-openb/openb_pod_list_default.csv") if r["scheduled_time"] and r["deletion_time"]]
    files = {
        PHILLY: [(int(r["submit_unix"]), int(r["duration_s"]), int(r["gpus"])) for r in rows_of(PHILLY)],
        "muri-philly/trace4.csv": [(int(r["submit_time"]) / 1000, int(r["iterations"]) * float(r["iteration_time"]) / 1000, int(r["num_gpu"]))
                                   for r in rows_of("muri-philly/trace4.csv")],
        "alibaba-pai/pai_100k_first_4800h.csv": [(round(float(r["submit_h"]) * 3600, 6), round(float(r["duration_h"]) * 3600, 6), int(r["units"]))
                                                 for r in rows_of("alibaba-pai/pai_100k_first_4800h.csv")],
        "alibaba-openb/openb_pod_list_default.csv": [(int(r["creation_time"]), int(r["deletion_time"]) - int(r["scheduled_time"]), int(r["num_gpu"]))
                                                     for r in pods],
    }
    for name, jobs in files.items():
        assert gpu_hours(weir, data(name) / name)[0] == count(jobs), name
    # processors only: nothing to reserve, but every line is understood
    assert gpu_hours(weir, data("job-durations") / "job-durations/hpc2n.swf")[0] == 0


def stamp(s):
    return datetime.datetime.fromtimestamp(s, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")


def test_one_trace_in_several_forms_is_the_same_work(weir):
    jobs = [(int(r["submit_unix"]), int(r["duration_s"]), int(r["gpus"])) for r in rows_of(PHILLY)[:3000]]
    sacct = ["JobID|JobName|End|Start|Submit|State|Elapsed|AllocTRES"]
    own = ["gpus,task,duration_s,submit,state"]
    for i, (submit, duration, gpus) in enumerate(jobs, 1):
        start = submit + 60
        elapsed = f"{duration // 86400}-{duration // 3600 % 24:02}:{duration // 60 % 60:02}:{duration % 60:02}"
        line = f"job|{stamp(start + duration)}|{stamp(start)}|{stamp(submit)}|COMPLETED|{elapsed}|"
        sacct += [f"{i}|{line}billing=1,cpu=4,gres/gpu:p100={gpus},gres/gpu={gpus},mem=1G,node=1", f"{i}.batch|{line}cpu=4,mem=1G,node=1",
                  f"{i}.0|{line}cpu=4,gres/gpu={gpus}"]
        own.append(f"{gpus},{i},{duration},{stamp(submit)}Z,{('succeeded', 'failed', 'cancelled')[i % 3]}")
    own.append("4,9999,,2017-10-30T00:00:00Z,waiting")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "jobs.csv").write_text("submit_unix,duration_s,gpus\n" + "".join(f"{s},{d},{g}\n" for s, d, g in jobs))
        (folder / "sacct.txt").write_text("\n".join(sacct) + "\n")
        (folder / "own.csv").write_text("\n".join(own) + "\n")
        with gzip.open(folder / "sacct.gz", "wt") as f:
            f.write("\n".join(sacct))
        want = gpu_hours(weir, folder / "jobs.csv")
        assert want[0] == count(jobs)
        for name in ("sacct.txt", "own.csv", "sacct.gz"):
            assert gpu_hours(weir, folder / name) == want, name
        with open(folder / "sacct.txt", "rb") as f:
            out = subprocess.run([weir, "sim", "--suite", "commitments", "--policies", "on-demand", "--jobs", "-", "--json"], stdin=f, capture_output=True,
                                 text=True, check=True).stdout
        assert want[1] in out, out


if __name__ == "__main__":
    sys.exit(lib.main(globals(), at_once=1))
