#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Suite commitments against the published figures, and its schedules against a check of their own."""
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from suites import data, lib, sim  # noqa: E402

FILE = "philly-jobs/philly_jobs_2017-09-04_2017-10-31.csv"
# term, fee, used rate: on demand, break-even rule, randomised rule, best constant, optimum
PUBLISHED = {
    (168, 60, 0.3): (578734, 472609, 451334, 523004, 398036),
    (720, 250, 0.3): (578734, 517743, 500753, 503590, 438414),
    (168, 90, 0): (578734, 443515, 406660, 517020, 335165),
}


def jobs():
    return data(FILE) / FILE


def by_case(result):
    table = {}
    for row in result["rows"]:
        case = row["case"]
        table.setdefault((case["tau_hours"], case["fee"], case["used_rate"]), {})[row["policy"]] = row
    return table


def test_figures_are_those_published(weir):
    table = by_case(sim(weir, "commitments", "--jobs", jobs()))
    assert set(table) == set(PUBLISHED)
    for case, (on_demand, rule, randomised, constant, optimum) in PUBLISHED.items():
        rows = table[case]
        for policy, want in (("on-demand", on_demand), ("deterministic", rule), ("optimum", optimum)):
            assert abs(rows[policy]["cost"] - want) < 1, (case, policy, rows[policy]["cost"])
            assert rows[policy]["reference_cost"] == want
        # The published expectation is not the exact one, and the published constants were tried in steps.
        assert abs(rows["randomised"]["cost"] / randomised - 1) < 0.002, (case, rows["randomised"]["cost"])
        assert constant - 10 < rows["constant-hindsight"]["cost"] < constant + 1, (case, rows["constant-hindsight"]["cost"])
        assert all(row["optimum"] == rows["optimum"]["cost"] for row in rows.values())


def test_advice_costs_less_than_the_randomised_rule_expects(weir):
    for case, rows in by_case(sim(weir, "commitments", "--jobs", jobs())).items():
        weir_cost = rows["weir"]["cost"]
        assert weir_cost < 0.99 * min(rows["randomised"]["cost"], PUBLISHED[case][2]), (case, weir_cost)
        assert rows["weir"]["ratio"] <= rows["weir"]["ratio_bound"]


def test_schedules_pass_a_check_from_the_jobs_alone(weir):
    with tempfile.TemporaryDirectory() as folder:
        result = sim(weir, "commitments", "--jobs", jobs(), "--schedule", folder)
        for (term, fee, rate), rows in by_case(result).items():
            files = sorted(pathlib.Path(folder).glob(f"commitments-{term}-{fee}-{rate}-*.csv"))
            assert len(files) == 5, files
            done = subprocess.run([sys.executable, str(HERE / "check_commitments.py"), str(jobs()), str(term), str(fee), str(rate), *map(str, files)],
                                  capture_output=True, text=True, timeout=1200, check=False)
            assert done.returncode == 0, done.stderr
            for line in map(json.loads, done.stdout.splitlines()):
                policy = pathlib.Path(line["file"]).stem.split("-", 4)[4]
                assert abs(line["cost"] - rows[policy]["cost"]) < 0.01, (line, rows[policy])


def test_the_check_finds_what_is_wrong(weir):
    with tempfile.TemporaryDirectory() as folder:
        sim(weir, "commitments", "--jobs", jobs(), "--schedule", folder, "--policies", "weir")
        path = pathlib.Path(folder) / "commitments-168-60-0.3-weir.csv"
        lines = path.read_text().splitlines()
        reserved = next(i for i, line in enumerate(lines) if ",reserved," in line)
        path.write_text("\n".join(lines[:reserved] + lines[reserved + 1:]) + "\n")
        done = subprocess.run([sys.executable, str(HERE / "check_commitments.py"), str(jobs()), "168", "60", "0.3", str(path)],
                              capture_output=True, text=True, timeout=1200, check=False)
        assert done.returncode == 1 and "reservations" in done.stderr, done


def test_the_same_input_gives_the_same_bytes_plain_or_gzip(weir):
    plain = jobs().read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        packed = pathlib.Path(folder) / "jobs.csv.gz"
        packed.write_bytes(gzip.compress(plain, 1))
        assert sim(weir, "commitments", "--jobs", packed) == sim(weir, "commitments", "--jobs", jobs())
        # Another file of the same form: no published figure stands beside it.
        part = pathlib.Path(folder) / "part.csv"
        part.write_bytes(b"\n".join(plain.split(b"\n")[:20000]) + b"\n")
        other = sim(weir, "commitments", "--jobs", part)
        assert not any("reference_cost" in row for row in other["rows"])
        for rows in by_case(other).values():
            # Shorter than two terms, nothing is learned: rounding to whole GPUs is all that the advice may lose.
            assert rows["weir"]["cost"] < 1.005 * rows["randomised"]["cost"], rows


if __name__ == "__main__":
    sys.exit(lib.main(globals(), at_once=1))
