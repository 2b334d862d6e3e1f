#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Suite forecast against the published figures, and on series of other kinds."""
import datetime
import math
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from suites import data, lib, sim  # noqa: E402

FILE = "philly-node-demand/philly_nodes_10min_2017-10-03_2017-11-30.csv"
OTHER = "helios-earth-vc/earth_vc3sl_2020-05_10min.csv"
# hours ahead, policy: MAE, RMSE, sMAPE
PUBLISHED = {
    (1, "persistence"): (5.44, 13.73, 1.99),
    (3, "persistence"): (10.58, 22.16, 3.82),
    (3, "day-ago"): (36.52, 54.37, 13.32),
    (3, "week-ago"): (54.21, 68.10, 19.02),
    (24, "day-ago"): (36.52, 54.37, 13.32),
}
# hours ahead: coverage of persistence and the 90 % quantile of its errors, mean excess
PUBLISHED_BOUND = {1: (0.946, 10.1), 3: (0.919, 16.4)}


def figures(weir, name):
    rows = sim(weir, "forecast", "--series", data(name) / name)["rows"]
    return {(row["case"]["horizon_hours"], row["policy"]): row for row in rows}


def test_figures_are_those_published(weir):
    rows = figures(weir, FILE)
    for key, want in PUBLISHED.items():
        got = tuple(rows[key][metric] for metric in ("mae", "rmse", "smape_percent"))
        assert all(abs(g - w) < 0.0051 for g, w in zip(got, want)), (key, got, want)
        assert rows[key]["reference_mae"] == want[0]
    for hours, (coverage, excess) in PUBLISHED_BOUND.items():
        row = rows[hours, "persistence"]
        assert abs(row["coverage"] - coverage) < 0.0006 and abs(row["mean_excess"] - excess) < 0.06, row


def test_weir_is_not_worse_than_any_simple_one_and_covers_nine_in_ten(weir):
    for name in (FILE, OTHER):
        rows = figures(weir, name)
        for hours in (1, 3, 24):
            best = min(rows[hours, policy]["mae"] for policy in ("persistence", "day-ago", "week-ago", "ridge"))
            assert rows[hours, "weir"]["mae"] <= 1.01 * best, (name, hours, rows[hours, "weir"], best)
            assert 0.87 <= rows[hours, "weir"]["coverage"] <= 0.93, (name, hours, rows[hours, "weir"])
    assert all("reference_mae" not in row for row in rows.values())


def test_steps_may_be_missing_and_local_time_may_repeat_an_hour(weir):
    begin = datetime.datetime(2026, 10, 1)
    lines = [(begin + datetime.timedelta(hours=i), 100 + 30 * math.sin(i / 24 * 2 * math.pi) + i % 7) for i in range(24 * 35)]
    gone = {3, 200, *range(600, 640)}
    series = {
        "empty": [f"{at},{'' if i in gone else v}" for i, (at, v) in enumerate(lines)],
        "missing": [f"{at},{v}" for i, (at, v) in enumerate(lines) if i not in gone],
        "repeated": [f"{at},{v}" for i, (at, v) in enumerate(lines) if i not in gone],
    }
    series["repeated"].insert(500, series["repeated"][499].split(",")[0] + ",1000")  # what local time tells a second time counts once
    series["repeated"].insert(501, series["repeated"][498].split(",")[0] + ",1000")
    got = {}
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        path = pathlib.Path(folder) / "series.csv"
        for name, rows in series.items():
            path.write_text("\n".join(["time,load", *rows]) + "\n", encoding="utf-8")
            got[name] = sim(weir, "forecast", "--series", path)["rows"]
        path.write_text("\n".join(["time,load", *series["missing"][:300], *series["missing"][300 + 24 * 8:]]) + "\n", encoding="utf-8")
        told = subprocess.run([weir, "sim", "--suite", "forecast", "--series", str(path)], capture_output=True, text=True, timeout=600, check=False)
        assert told.returncode == 2 and "series.csv:302: column 'time': the steps are not even" in told.stderr, told
    assert got["empty"] == got["missing"] == got["repeated"]
    assert got["empty"][0]["values"] == 24 * 14 - 40, got["empty"][0]


def test_the_same_input_gives_the_same_bytes(weir):
    args = [weir, "sim", "--suite", "forecast", "--json", "--series", str(data(FILE) / FILE)]
    runs = [subprocess.run(args, capture_output=True, timeout=1200, check=True).stdout for _ in range(2)]
    assert runs[0] == runs[1]


if __name__ == "__main__":
    sys.exit(lib.main(globals(), at_once=1))
