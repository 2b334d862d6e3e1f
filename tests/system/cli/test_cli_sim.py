#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""weir sim as a command: what it lists, what it refuses and how, its progress line. Usage: test_cli_sim.py WEIR [TEST..]; prints TAP."""

import json
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from trial import check, equal, exit_code, main, on_terminal, read_until, test, weir  # noqa: E402

SUITES = "replay, starburst, muri, openb, cant-be-late, multizone, prices, commitments, forecast"
HEAD = "submit_unix,duration_s,gpus\n"

# arguments ({} is a folder with jobs.csv and empty.csv), exit code, what standard error says
REFUSED = [
    (["--jobs", "{}/jobs.csv"], 2, "say what is owned: --pools A100:8x16, or --nodes 0,16,32"),
    (["--json", "--nodes", "4"], 2, f"'--nodes' is for a suite: say which with --suite NAME; the suites are: {SUITES}"),
    (["starburst"], 2, "'starburst' is a suite: write --suite starburst"),
    (["sunburst"], 2, "'sunburst' is one argument too many; 'weir sim' lists the suites"),
    (["--suite", "starbust"], 2, f"there is no suite 'starbust'; did you mean 'starburst'?; the suites are: {SUITES}"),
    (["--suite", "muri", "--policies", "fifi"], 2, "suite muri has no policy 'fifi'; it has fifo,"),
    (["--suite", "muri", "--trim", "1"], 2, "--trim means nothing to suite muri; it reads --jobs, --nodes, --gpus-per-node, --schedule, --data, --policies, --json"),
    (["--suite", "forecast", "--schedule", "{}/s"], 2, "--schedule means nothing to suite forecast: it forecasts demand, and runs nothing"),
    (["--suite", "muri"], 2, "say where the input is: --jobs FILE, or --data DIR with muri-philly/trace1.csv in it"),
    (["--suite", "starburst", "--jobs", "{}/none.csv"], 3, "/none.csv cannot be opened"),
    (["--suite", "starburst", "--jobs", "{}"], 2, " is a directory: name a file"),
    (["--suite", "starburst", "--jobs", "{}/empty.csv"], 2, "/empty.csv has no jobs: nothing follows its first line"),
    (["--suite", "starburst", "--jobs", "{}/jobs.csv"], 2, "--trim 2000 leaves none of 3000 jobs: name a smaller number"),
    (["--suite", "starburst", "--jobs", "{}/jobs.csv", "--nodes", "5-1"], 2, "--nodes: 5-1 runs backwards: the lower number comes first, 1-5"),
    (["--suite", "starburst", "--jobs", "{}/jobs.csv", "--nodes", "4", "--trim", "9", "--schedule", "{}/no/such"], 3, "/no/such cannot be made"),
    (["--suite", "starburst", "--jobs", "{}/jobs.csv", "--nodes", "4", "--trim", "9", "--schedule", "{}/jobs.csv"], 2, "/jobs.csv is no folder"),
]


def folder_of_jobs(folder, n=3000):
    with open(folder + "/empty.csv", "w") as f:
        f.write(HEAD)
    with open(folder + "/jobs.csv", "w") as f:
        f.write(HEAD)
        for i in range(n):
            f.write(f"{1_500_000_000 + 40 * i},{600 + 7919 * i % 20000},{1 << i % 4}\n")


@test
def what_is_wrong_is_refused_by_one_rule(b):
    with tempfile.TemporaryDirectory() as d:
        folder_of_jobs(d)
        for args, code, says in REFUSED:
            r = weir(None, "sim", *[a.replace("{}", d) for a in args])
            equal((r.code, r.out), (code, ""), f"{args}\n{r}")
            check(says in r.err, f"{args}\n{r}")


@test
def suites_are_listed(b):
    r = weir(None, "sim")
    equal([line.split()[0] for line in r.out.split("\n\n")[0].splitlines()[1:]], SUITES.split(", "), r)
    listed = json.loads(weir(None, "sim", "--json").out)
    equal([s["name"] for s in listed], SUITES.split(", "))
    for s in listed:
        check(s["summary"] and "weir" in s["policies"], s)
        for option in s["options"]:
            check(f"--{option} " in weir(None, "sim", "--help").out, option)


@test
def progress_shows_on_a_terminal_and_goes(b):
    with tempfile.TemporaryDirectory() as d:
        folder_of_jobs(d, 12000)
        args = ["sim", "--suite", "starburst", "--jobs", d + "/jobs.csv", "--nodes", "16", "--policies", "no-wait,weir"]
        pid, fd = on_terminal(None, *args)
        seen = read_until(fd, rb"\r\x1b\[Kstarburst: \d+ %, [0-9,.]+ jobs/s, (\d+[hms] ?)+ left", 300)
        check(b"nodes" not in seen, seen)
        rest = read_until(fd, rb"trace hash [0-9a-f]{16}", 600)
        check(re.search(rb"left\r\x1b\[K[^\r]*nodes", seen + rest), rest)
        equal(exit_code(pid, fd), 0)
        r = weir(None, *args[:-4], "--nodes", "8", "--policies", "no-wait")
        equal((r.code, r.err), (0, ""), r)


sys.exit(main())
