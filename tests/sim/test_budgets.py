#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Budgets in a replay: none is passed, what counts is what the ledger charges, and what they held back is told."""
import csv
import json
import pathlib
import random
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from suites import lib, output_of, sim  # noqa: E402

OCTOBER = 1_790_812_800


def made_up_history(path, n=600, seed=4):
    """Work of October 2026 in weir's own form: two projects, and some tasks without one."""
    draw = random.Random(seed)
    lines = ["task,submit,duration_s,gpus,project,user,max_duration_s"]
    now = OCTOBER
    for i in range(n):
        now += draw.randrange(2 * 30 * 86400 // n)
        duration = 600 + draw.randrange(20000)
        lines.append(f"{i + 1},{lib_time(now)},{duration},{draw.choice([1, 1, 2, 8])},{draw.choice(['vision', 'speech', ''])},{draw.choice('xy')},{2 * duration}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def lib_time(at):
    import datetime
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def plain(row):
    return {name: value for name, value in row.items() if name not in ("series", "budgets", "case")}


def replay(weir, jobs, *args, policies="weir"):
    return sim(weir, "replay", "--jobs", jobs, "--nodes", 2, "--cloud-price", "2", "--set", "delay_value=2", "--policies", policies, *args)


def error_of(weir, *args):
    result = subprocess.run([weir, "sim", *map(str, args)], capture_output=True, text=True, timeout=1200, check=False)
    assert result.returncode != 0 and result.stdout == "", (args, result)
    return result.stderr


def test_a_budget_that_is_not_needed_changes_nothing(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = made_up_history(pathlib.Path(folder) / "jobs.csv")
        for policy in ("weir", "weir-no-estimates", "no-wait", "local-only"):
            none, given = replay(weir, jobs, "--budget", "all --for organisation --amount 1000000000", policies=policy)["rows"]
            assert none["case"]["budgets"] == "none" and given["case"]["budgets"] == "given"
            assert plain(none) == plain(given), policy
            for span in given["budgets"]:
                assert span["spent"] == span["without"] > 0 and span["held_back"] == 0 == span["not_spent"], span


def test_what_counts_is_what_the_ledger_charges(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = made_up_history(pathlib.Path(folder) / "jobs.csv")
        args = ["--budget", "all --for organisation --amount 100000000", "--budget", "ours --for project:vision --amount 100000000",
                "--budget", "theirs --for project:speech --amount 100000000", "--budget", "rest --for project:default --amount 100000000",
                "--budget", "x --for user:x --amount 100000000", "--budget", "y --for user:y --amount 100000000",
                "--budget", "rented --for organisation --amount 100000000 --counts cloud"]
        row = replay(weir, jobs, *args)["rows"][1]
        spent = {}
        for span in row["budgets"]:
            spent[span["budget"]] = spent.get(span["budget"], 0) + span["spent"]
        by_project = row["series"]["breakdowns"]["cost_by_project"]
        assert set(by_project) == {"vision", "speech", "default"}, by_project
        assert abs(spent["rented"] - row["cloud_cost"]) < 1e-4, (spent, row["cloud_cost"])
        assert abs(spent["all"] - spent["ours"] - spent["theirs"] - spent["rest"]) < 1e-3, spent
        assert abs(spent["all"] - spent["x"] - spent["y"]) < 1e-3, spent
        owned_idle = row["cost"] - spent["all"]
        assert 0 < owned_idle < row["series"]["breakdowns"]["cost_by_use"]["idle"] + 1e-3, (owned_idle, row["series"]["breakdowns"])


def test_no_budget_is_passed_and_what_it_held_back_is_told(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        jobs = made_up_history(folder / "jobs.csv")
        tight = folder / "tight.txt"
        tight.write_text("# October\nweir budget set vision --for project:vision --amount 500 --at 50:warn\n"
                         "burst --for organisation --amount 1500 --counts cloud --at 90:local-only\n", encoding="utf-8")
        loose = folder / "loose.txt"
        loose.write_text("vision --for project:vision --amount 1000\n", encoding="utf-8")
        text = output_of(weir, "replay", "--jobs", jobs, "--nodes", 2, "--cloud-price", "2", "--set", "delay_value=2", "--policies", "weir,no-wait",
                         "--budgets", f"{tight};{loose}")
        assert text == output_of(weir, "replay", "--jobs", jobs, "--nodes", 2, "--cloud-price", "2", "--set", "delay_value=2", "--policies",
                                 "weir,no-wait", "--budgets", f"{tight};{loose}")
        rows = json.loads(text)["rows"]
        assert [(row["case"]["budgets"], row["policy"]) for row in rows] == [(b, p) for b in ("none", "tight", "loose") for p in ("weir", "no-wait")]
        for row in rows:
            assert ("budgets" in row) == (row["case"]["budgets"] != "none")
            for span in row.get("budgets", []):
                assert span["spent"] <= span["amount"] + 1e-6, span
                assert abs(span["without"] - span["spent"] - span["not_spent"]) < 1e-6, span
        none, held = rows[0], rows[2]
        assert held["held_back"] > 0 == none["held_back"] and held["budget_wait_hours"] > 0, plain(held)
        assert held["avg_wait_hours"] > none["avg_wait_hours"], (plain(held), plain(none))
        total_wait = (held["avg_wait_hours"] * held["tasks"] - none["avg_wait_hours"] * none["tasks"])
        assert 0.5 * total_wait < held["budget_wait_hours"] < 2 * total_wait + 1, (held["budget_wait_hours"], total_wait)
        first = held["budgets"][0]
        assert first["budget"] == "vision" and first["from"] == "2026-10-01T00:00:00Z" and first["until"] == "2026-11-01T00:00:00Z", first
        assert first["reached"][0]["threshold"] == "50:warn" and first["reached"][0]["at"].startswith("2026-10"), first
        assert rows[4]["budget_wait_hours"] < held["budget_wait_hours"], "twice as much is no tighter"


def test_what_can_never_be_paid_never_starts(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = made_up_history(pathlib.Path(folder) / "jobs.csv", n=200)
        none, given = replay(weir, jobs, "--budget", "once --for project:vision --amount 100 --span forever")["rows"]
        span = given["budgets"][0]
        assert given["never_started"] > 0 and given["unplaced"] == given["never_started"] == span["never_started"], plain(given)
        assert span["spent"] <= 100 and span["until"] is None, span
        assert given["makespan_hours"] < none["makespan_hours"] + 48, "nobody waits for money that never comes"


def test_amounts_can_be_swept(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = made_up_history(pathlib.Path(folder) / "jobs.csv", n=300)
        rows = replay(weir, jobs, "--budget", "all --for organisation --amount 1000", "--sweep", "budget_factor=0.5,1,4")["rows"]
        waits = [row["budget_wait_hours"] for row in rows if row["case"]["budgets"] == "given"]
        assert len(waits) == 3 and waits[0] >= waits[1] >= waits[2] and waits[0] > waits[2], waits


def most_at_once(path, jobs):
    """The most GPUs that the tasks of vision had at any time, by a schedule."""
    project = {line.split(",")[0]: line.split(",")[4] for line in jobs.read_text(encoding="utf-8").splitlines()[1:]}
    changes = []
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if project[row["id"]] == "vision":
                changes += [(float(row["end"]), 0, -float(row["gpus"])), (float(row["start"]), 1, float(row["gpus"]))]
    now = most = 0
    for _, _, gpus in sorted(changes):
        now += gpus
        most = max(most, now)
    return most


def test_quotas_are_kept_and_told(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        jobs = made_up_history(folder / "jobs.csv")
        out = folder / "out"
        none, idle, given = replay(weir, jobs, "--schedule", out, "--budgets", f"{written(folder / 'idle.txt', 100000)};{written(folder / 'tight.txt', 8)}")["rows"]
        assert plain(none) == plain(idle) and idle["budgets"] == [], idle["budgets"]
        assert most_at_once(out / "replay-weir-none-2.csv", jobs) > 8 >= most_at_once(out / "replay-weir-tight-2.csv", jobs)
        assert given["held_back"] > 0 and given["never_started"] == 0 and given["failed"] == 0, plain(given)
        span = given["budgets"][0]
        assert span["quota"] == "v" and span["counts"] == "gpus" and span["limit"] == 8 and span["held_back"] == given["held_back"], span
        assert abs(span["waited_hours"] - given["budget_wait_hours"]) < 1e-6 and "spent" not in span, span
        hours = replay(weir, jobs, "--budget", "quota set h --for project:vision --counts gpu-hours --limit 200")["rows"][1]
        assert hours["held_back"] > 0 and hours["budgets"][0]["from"] == "2026-10-01T00:00:00Z", plain(hours)
        assert hours["makespan_hours"] > none["makespan_hours"], "the rest runs in the next month"
        assert "no GPU model 'Z9'" in error_of(weir, "--jobs", jobs, "--nodes", 1, "--budget", "quota set h --for organisation --counts gpus:Z9 --limit 1")


def test_shares_are_lent_and_given_back(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        jobs = made_up_history(folder / "jobs.csv")
        out = folder / "out"
        for name, more in (("walls", ""), ("shares", " --borrow all")):
            (folder / f"{name}.txt").write_text("".join(f"weir quota set {p} --for project:{p} --counts gpus --limit {n}{more}\n" for p, n in (("vision", 8), ("speech", 8), ("default", 8))), encoding="utf-8")
        _, walls, shares = replay(weir, jobs, "--schedule", out, "--budgets", f"{folder / 'walls.txt'};{folder / 'shares.txt'}")["rows"]
        assert most_at_once(out / "replay-weir-walls-2.csv", jobs) <= 8 < most_at_once(out / "replay-weir-shares-2.csv", jobs)
        assert shares["lost_gpu_hours"] > walls["lost_gpu_hours"] == 0 and shares["failed"] == 0, "who borrows is stopped, and goes on later"
        assert 2 * shares["avg_wait_hours"] < walls["avg_wait_hours"], (walls["avg_wait_hours"], shares["avg_wait_hours"])


def written(path, limit):
    path.write_text(f"weir quota set v --for project:vision --counts gpus --limit {limit}\n", encoding="utf-8")
    return path


def test_a_table_tells_it(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = made_up_history(pathlib.Path(folder) / "jobs.csv", n=300)
        result = subprocess.run([weir, "sim", "--jobs", jobs, "--nodes", "2", "--cloud-price", "2", "--policies", "weir", "--budget",
                                 "vision --for project:vision --amount 300", "--budget", "x --for project:nobody --amount 1"],
                                capture_output=True, text=True, timeout=1200, check=True)
        assert "waiting_at_end  never_started" in result.stdout and "2026-10-01" in result.stdout, result.stdout
        assert "budget 'x' counts nothing" in result.stderr, result.stderr


def test_a_report_tells_it(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        jobs = made_up_history(folder / "jobs.csv", n=300)
        page = folder / "out.html"
        rows = replay(weir, jobs, "--currency", "EUR", "--report", page, "--budget", "vision --for project:vision --amount 300 --at 80:warn",
                      policies="weir,local-only")["rows"]
        span = next(row for row in rows if row["case"]["budgets"] == "given" and row["policy"] == "weir")["budgets"][0]
        text = page.read_text(encoding="utf-8")
        assert "What budgets and quotas would have done" in text and "October\u00a02026" in text and "Thresholds reached: vision 80\u00a0%" in text, text[:4000]
        assert f"{span['held_back']:,} of 300 tasks waited for a budget or quota" in text, span
        assert "USD" not in text
        cards = text.split('class="cards', 1)[1].split("</section>")[0]
        assert "where budget vision counts" in cards and "budgets given" not in cards.split("</div>")[0], cards


def test_what_is_wrong_is_named(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        jobs = made_up_history(folder / "jobs.csv", n=5)
        args = ["--jobs", jobs, "--nodes", 1]
        good = folder / "good.txt"
        good.write_text("a --for organisation --amount 1\n", encoding="utf-8")
        bad = folder / "bad.txt"
        bad.write_text("a --for organisation --amount 1\nb --for organisation\n", encoding="utf-8")
        assert "bad.txt:2: budget 'b'" in error_of(weir, *args, "--budgets", f"{good};{bad}")
        assert "--budgets: " in error_of(weir, *args, "--budgets", folder / "none.txt")
        assert "could not be told apart" in error_of(weir, *args, "--budgets", f"{good};{good}")
        assert "give one" in error_of(weir, *args, "--budgets", good, "--budget", "a --for organisation --amount 1")
        assert "no tags" in error_of(weir, *args, "--budget", "a --for tag:team=x --amount 1")
        assert "--budgets means nothing" in error_of(weir, "--suite", "muri", "--jobs", jobs, "--budgets", good)


if __name__ == "__main__":
    sys.exit(lib.main(globals(), at_once=1))
