#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Suite starburst against the published figures, weir against Starburst, and all schedules against the checker."""
import csv
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import check_schedule  # noqa: E402
from suites import data, lib, output_of, sim  # noqa: E402

JOBS = "philly-jobs/philly_jobs_2017-09-04_2017-10-31.csv"
# cloud GPU-hours, wait, completion, use of the owned GPUs
PUBLISHED = {
    (48, "no-wait"): (236015, 0, 3.023, .859), (48, "constant-wait"): (231827, .602, 3.625, .883), (48, "starburst"): (175132, .259, 3.282, .976),
    (64, "no-wait"): (175645, 0, 3.023, .818), (64, "constant-wait"): (166319, .427, 3.450, .835), (64, "starburst"): (94601, .190, 3.213, .942),
    (64, "starburst-no-estimates"): (133047, .240, 3.264, .900), (80, "no-wait"): (105941, 0, 3.023, .783),
    (80, "constant-wait"): (91802, .281, 3.304, .806), (80, "starburst"): (39719, .095, 3.118, .876),
    (80, "starburst-no-estimates"): (55593, .149, 3.172, .855), (100, "no-wait"): (28954, 0, 3.023, .728),
    (100, "constant-wait"): (25458, .099, 3.123, .740), (100, "starburst"): (6341, .013, 3.037, .761),
}


def at(front, x, want, x_of, y_of):
    """The front's y at x, by linear interpolation between neighbours."""
    for a, b in zip(front, front[1:]):
        low, high = sorted((a, b), key=lambda row: row[x_of])
        if low[x_of] <= x <= high[x_of]:
            y = low[y_of] + (high[y_of] - low[y_of]) * (x - low[x_of]) / (high[x_of] - low[x_of])
            assert y <= want, (x_of, x, y_of, y, want)
            return
    raise AssertionError(f"{x_of} {x} is beyond the front")


def made_up_jobs(path, n, seed):
    """Bursts of jobs of all sizes, as in a day of a busy cluster."""
    draw = random.Random(seed)
    with open(path, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["submit_unix", "duration_s", "gpus", "vc"])
        now = 1_500_000_000
        for _ in range(n):
            now += draw.choice([0, 1, 30, 200])
            out.writerow([now, int(draw.lognormvariate(7, 2)), draw.choice([1] * 20 + [2, 4, 8, 8, 12, 13, 16, 32]), draw.choice("abc")])


def test_figures_are_as_published(weir):
    got = sim(weir, "starburst", "--data", data(JOBS), "--policies", "no-wait,constant-wait,starburst,starburst-no-estimates")
    rows = {(row["case"]["nodes"], row["policy"]): row for row in got["rows"]}
    assert len(rows) == 16, rows
    for row in rows.values():
        assert row["bound_cloud_gpu_hours"] <= row["cloud_gpu_hours"] and (row["gap_to_bound_percent"] or 0) >= 0, row
    assert rows[64, "no-wait"]["bound_cloud_gpu_hours"] > 50000, rows[64, "no-wait"]
    for key, (cloud, wait, completion, use) in PUBLISHED.items():
        row = rows[key]
        assert round(row["cloud_gpu_hours"]) == cloud, (key, row)
        assert round(row["avg_wait_hours"], 3) == wait, (key, row)
        assert round(row["avg_completion_hours"], 3) == completion, (key, row)
        assert abs(row["local_utilisation"] - use) < .00051, (key, row)
        assert abs(row["reference_cloud_gpu_hours"] - row["cloud_gpu_hours"]) < .5, (key, row)
        assert abs(row["reference_avg_wait_hours"] - row["avg_wait_hours"]) < .0005, (key, row)
    assert round(rows[64, "no-wait"]["cloud_gpu_hours"], 2) == 175644.86
    assert round(rows[64, "starburst"]["cloud_gpu_hours"], 2) == 94601.08


def beats(weir, ours, theirs, less_cloud, less_wait, jobs=None, sizes=(48, 64, 80, 100)):
    """At every size the front of ours goes below the point of theirs by so much, in both directions; nothing goes below the bound."""
    for nodes in sizes:
        rows = sim(weir, "starburst", "--jobs", jobs or data(JOBS) / JOBS, "--nodes", nodes, "--policies", f"{theirs},{ours}")["rows"]
        for row in rows:
            gap = row["gap_to_bound_percent"]
            assert 0 <= row["bound_cloud_gpu_hours"] <= row["cloud_gpu_hours"], row
            assert row["bound_cloud_gpu_hours"] == 0 if gap is None else gap > 0, row
        reference = next(row for row in rows if row["policy"] == theirs)
        front = [row for row in rows if row["policy"] == ours]
        assert len(front) > 4 and all("delay_value" in row["case"] for row in front)
        at(front, reference["avg_completion_hours"], reference["cloud_gpu_hours"] * (1 - less_cloud), "avg_completion_hours", "cloud_gpu_hours")
        if all(row["cloud_gpu_hours"] < reference["cloud_gpu_hours"] for row in front):
            last = front[-1]  # as much in the cloud as theirs it never spends: the front ends below, with less waiting
            assert last["avg_wait_hours"] <= reference["avg_wait_hours"] * (1 - less_wait), (nodes, last)
        else:
            at(front, reference["cloud_gpu_hours"], reference["avg_wait_hours"] * (1 - less_wait), "cloud_gpu_hours", "avg_wait_hours")


def test_weir_dominates_starburst(weir):
    beats(weir, "weir", "starburst", .05, .35)


def test_weir_without_estimates_dominates_starburst_without(weir):
    beats(weir, "weir-no-estimates", "starburst-no-estimates", .10, .35)


def test_weir_without_estimates_holds_on_a_half_where_little_goes_to_the_cloud(weir):
    """What is expected of a task there decides by its few long runs, which a median does not tell of."""
    head, *jobs = (data(JOBS) / JOBS).read_text().splitlines(keepends=True)
    with tempfile.NamedTemporaryFile("w", prefix="weir-test-", suffix=".csv") as half:
        half.writelines([head, *jobs[len(jobs) // 2:]])
        half.flush()
        beats(weir, "weir-no-estimates", "starburst-no-estimates", .10, .35, half.name, [80])


def test_schedules_hold_and_the_same_run_gives_the_same_bytes(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        made_up_jobs(jobs, 3000, 7)
        args = ["--jobs", jobs, "--nodes", "4,6", "--trim", 100]
        first = output_of(weir, "starburst", *args, "--schedule", pathlib.Path(folder) / "a")
        assert first == output_of(weir, "starburst", *args, "--schedule", pathlib.Path(folder) / "b")
        rows = json.loads(first)["rows"]
        assert not any(name.startswith("reference_") for row in rows for name in row), "reference figures are those of one file"
        files = sorted((pathlib.Path(folder) / "a").iterdir())
        assert len(files) == len(rows), (len(files), len(rows))
        for file in files:
            assert file.read_bytes() == (pathlib.Path(folder) / "b" / file.name).read_bytes(), file.name
            nodes = int(re.search(r"-(4|6)(-[0-9.]+)?$", file.stem)[1])
            sums = check_schedule.check(str(file), node_gpus=8, nodes=nodes, jobs=check_schedule.read_jobs(str(jobs)), cloud_rate=1)
            assert sums["tasks"] == 3000, sums
        assert any(row["cloud_gpu_hours"] > 0 and row["avg_wait_hours"] > 0 for row in rows if row["policy"] == "weir")


def test_parts_of_seconds_are_kept(weir):
    """Forms that count in hours name moments and durations that are no whole seconds."""
    draw = random.Random(3)
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        jobs = folder / "jobs.csv"
        at_h = 0.0
        with open(jobs, "w", encoding="utf-8") as file:
            file.write("submit_h,duration_h,units\n")
            for _ in range(200):
                at_h += draw.choice([0, .0001, .01])
                file.write(f"{at_h:.6f},{draw.choice([.083333, .000139, draw.random()]):.6f},{draw.choice([1, 2, 8, 12])}\n")
        rows = sim(weir, "starburst", "--jobs", jobs, "--nodes", 2, "--trim", 0, "--schedule", folder / "s")["rows"]
        want_h = sum(duration for _, duration, _ in check_schedule.read_jobs(str(jobs))) / 3600 / 200
        for row in rows:
            assert abs(row["avg_completion_hours"] - row["avg_wait_hours"] - want_h) < 1e-7, (row, want_h)
        for file in (folder / "s").iterdir():
            check_schedule.check(str(file), node_gpus=8, nodes=2, jobs=check_schedule.read_jobs(str(jobs)), cloud_rate=1)


def test_jobs_without_gpus_are_left_out(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        head, lines = "task,submit,duration_s,gpus\n", [f"{i},2026-11-01T00:{i:02d}:00Z,3600,{i % 3 * 4}\n" for i in range(30)]
        args = ["--jobs", jobs, "--nodes", 1, "--trim", 0, "--policies", "no-wait,starburst"]
        jobs.write_text(head + "".join(lines), encoding="utf-8")
        mixed = sim(weir, "starburst", *args)
        jobs.write_text(head + "".join(line for line in lines if not line.endswith(",0\n")), encoding="utf-8")
        assert mixed["notes"] == ["10 jobs ask for no GPU, and are left out"] and mixed["rows"] == sim(weir, "starburst", *args)["rows"], mixed
        jobs.write_text(head + lines[0], encoding="utf-8")
        told = subprocess.run([weir, "sim", "--suite", "starburst", *map(str, args)], capture_output=True, text=True, timeout=600, check=False)
        assert told.returncode == 2 and "has no job that asks for a GPU" in told.stderr, told


def test_the_checker_finds_what_is_wrong(_weir):
    good = ["1,0,0,3600,local,0,8,0", "2,10,3600,7200,local,0,8,0", "3,20,20,3620,cloud,,2,2"]
    jobs = [(0, 3600, 8), (10, 3600, 8), (20, 3600, 2)]
    bad = {
        "holds": (1, "2,10,3599,7199,local,0,8,0"),
        "before it was submitted": (1, "2,10,5,3605,local,1,8,0"),
        "takes 3600 s, ran 3000 s": (1, "2,10,3600,6600,local,0,8,0"),
        "asked for 8 GPUs": (1, "2,10,3600,7200,local,0,7,0"),
        "by its GPUs and hours": (2, "3,20,20,3620,cloud,,2,1"),
        "not both": (2, "4,20,20,3620,cloud,,2,2"),
        "2 nodes were used": (1, "2,10,3600,7200,local,1,8,0"),
    }
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        file = pathlib.Path(folder) / "s.csv"
        head = ",".join(check_schedule.COLUMNS)
        file.write_text("\n".join([head, *good]) + "\n", encoding="utf-8")
        assert check_schedule.check(str(file), 8, 1, jobs, 1)["cost"] == 2
        for says, (line, text) in bad.items():
            file.write_text("\n".join([head, *good[:line], text, *good[line + 1:]]) + "\n", encoding="utf-8")
            try:
                check_schedule.check(str(file), 8, 1, jobs, 1)
            except check_schedule.Wrong as wrong:
                assert says in str(wrong), (says, wrong)
            else:
                raise AssertionError(f"'{says}' was not found")


if __name__ == "__main__":
    sys.exit(lib.main(globals(), at_once=1))
