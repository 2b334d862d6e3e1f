#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sweeps and the tuner: each combination runs, the front is what nobody dominates, and what was tuned can be run again by hand."""
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from suites import lib, output_of, sim  # noqa: E402
from test_starburst import made_up_jobs  # noqa: E402


def with_jobs(test):
    """Gives the test a small trace."""
    def wrapped(weir):
        with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
            jobs = pathlib.Path(folder) / "jobs.csv"
            made_up_jobs(jobs, 800, 11)
            test(weir, ["--jobs", jobs, "--nodes", "6", "--trim", 100])
    wrapped.__name__ = test.__name__
    return wrapped


def is_front(row, rows, cost, wait):
    case = row["case"]["nodes"]
    return not any(o[cost] <= row[cost] and o[wait] <= row[wait] and (o[cost] < row[cost] or o[wait] < row[wait])
                   for o in rows if o["case"]["nodes"] == case)


@with_jobs
def test_a_sweep_marks_the_front(weir, args):
    printed = output_of(weir, "starburst", *args, "--nodes", "4,6", "--sweep", "delay-value=1,5,20,100 yield_per_mille=0,250")
    assert printed == output_of(weir, "starburst", *args, "--nodes", "4,6", "--sweep", "delay-value=1,5,20,100", "--sweep", "yield_per_mille=0,250")
    rows = json.loads(printed)["rows"]
    ours = [row for row in rows if row["policy"] == "weir"]
    assert len(ours) == 2 * 4 * 2 and len([row for row in rows if row["policy"] == "starburst"]) == 2
    assert {(row["case"]["delay_value"], row["case"]["yield_per_mille"]) for row in ours} == {(d, y) for d in (1, 5, 20, 100) for y in (0, 250)}
    for row in rows:
        assert row["pareto"] == is_front(row, rows, "cloud_gpu_hours", "avg_completion_hours"), row
    assert 2 < sum(row["pareto"] for row in rows) < len(rows)


@with_jobs
def test_what_is_tuned_keeps_the_condition_and_can_be_run_again(weir, args):
    command = ["starburst", *args, "--policies", "starburst,weir", "--tune", "avg_completion_hours<=+2%", "--tune-runs", 15]
    printed = output_of(weir, *command)
    assert printed == output_of(weir, *command)
    result = json.loads(printed)
    tune, tried = result["tune"], [row for row in result["rows"] if row["policy"] == "weir"]
    default, chosen = tried[0], next(row for row in tried if row["chosen"])
    assert 10 < len(tried) == tune["runs"] <= 15 and tune["kept"]
    assert {name: default["case"][name] for name in tune["default"]} == tune["default"]
    assert {name: chosen["case"][name] for name in tune["chosen"]} == tune["chosen"]
    assert chosen["avg_completion_hours"] <= default["avg_completion_hours"] * 1.02 * (1 + 1e-8)
    assert chosen["cloud_gpu_hours"] == min(row["cloud_gpu_hours"] for row in tried if row["kept"]) <= default["cloud_gpu_hours"]
    again = sim(weir, "starburst", *args, "--policies", "weir", "--set", ",".join(f"{k}={v}" for k, v in tune["chosen"].items()))["rows"]
    assert len(again) == 1
    assert all(again[0][name] == chosen[name] for name in ("cloud_gpu_hours", "avg_wait_hours", "avg_completion_hours"))
    text = subprocess.run([weir, "sim", "--suite", *map(str, command)], capture_output=True, text=True, timeout=1200, check=True).stdout
    assert f"delay_cost: {tune['chosen']['delay_value']:g}" in text and "policy:\n" in text, text


@with_jobs
def test_a_replay_is_swept_and_tuned(weir, args):
    args = [*args[:4], "--cloud-price", "2.5"]
    rows = sim(weir, "replay", *args, "--policies", "no-wait,weir", "--sweep", "delay_value=0.1,10 price_factor=1,2")["rows"]
    assert len([row for row in rows if row["policy"] == "weir"]) == 4
    assert len([row for row in rows if row["policy"] == "no-wait"]) == 2, "it reads the price only"
    for price in (1, 2):  # prices are the world's: who pays more is not dominated by who pays less
        of_case = [row for row in rows if row["case"]["price_factor"] == price]
        assert len(of_case) == 3 and any(row["pareto"] for row in of_case)
        assert all(row["pareto"] == is_front(row, of_case, "cost", "avg_wait_hours") for row in of_case)
    bare = subprocess.run([weir, "sim", "--json", *map(str, args), "--policies", "no-wait", "--sweep", "price_factor=1,2"], capture_output=True,
                          text=True, timeout=1200, check=True)
    assert [row["case"]["price_factor"] for row in json.loads(bare.stdout)["rows"]] == [1, 2], "without --suite"
    tune = sim(weir, "replay", *args, "--policies", "weir", "--tune", "avg_wait_hours<=+10%", "--tune-runs", 12)["tune"]
    assert tune["minimised"] == "cost" and tune["cost_ratio"] <= 1


@with_jobs
def test_an_aim_that_nothing_meets_is_told_by_the_exit(weir, args):
    command = [weir, "sim", "--json", *map(str, args[:4]), "--cloud-price", "2.5", "--policies", "weir", "--tune-runs", "6"]
    result = subprocess.run([*command, "--tune", "avg_wait_hours<=0.000001"], capture_output=True, text=True, timeout=1200, check=False)
    assert result.returncode == 6, result
    tune = json.loads(result.stdout)["tune"]
    nearest = ",".join(f"{name}={value:g}" for name, value in tune["chosen"].items())
    assert not tune["kept"] and tune["missed"].startswith("avg_wait_hours"), tune
    assert f"none of the {tune['runs']} settings tried keeps avg_wait_hours<=0.000001; the nearest, {nearest}, has avg_wait_hours" in result.stderr, result.stderr


@with_jobs
def test_what_makes_no_sense_is_refused(weir, args):
    bad = {
        "there is no parameter 'patience'; there are delay_value": ["--sweep", "patience=1"],
        "is not between 0 and": ["--sweep", "delay_value=-1"],
        "is not NAME=VALUE": ["--sweep", "delay_value"],
        "the policies no-wait read none": ["--sweep", "delay_value=1", "--policies", "no-wait"],
        "leave out --sweep": ["--sweep", "delay_value=1", "--tune", "avg_wait_hours<=1"],
        "--schedule is for a single run": ["--sweep", "delay_value=1", "--schedule", "/nowhere"],
        "has no figure wait": ["--tune", "wait<=1"],
        "is not METRIC<=LIMIT": ["--tune", "avg_wait_hours"],
        "--tune-runs": ["--tune", "avg_wait_hours<=1", "--tune-runs", "0"],
        "--set: there is no parameter 'xyzzy'": ["--set", "xyzzy=1"],
    }
    for says, options in bad.items():
        result = subprocess.run([weir, "sim", "--suite", "starburst", *map(str, args), *options], capture_output=True, text=True, timeout=1200, check=False)
        assert result.returncode in (2, 3) and says in result.stderr, (says, result.returncode, result.stderr)
    result = subprocess.run([weir, "sim", "--suite", "no-such", "--sweep", "a=1"], capture_output=True, text=True, timeout=1200, check=False)
    assert result.returncode == 2 and "there is no suite" in result.stderr, result.stderr


if __name__ == "__main__":
    sys.exit(lib.main(globals(), at_once=1))
