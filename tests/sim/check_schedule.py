#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a schedule that `weir sim --schedule DIR` wrote, with nothing but python3.

    check_schedule.py FILE.csv [--node-gpus N] [--nodes N] [--jobs FILE.csv] [--cloud-rate RATE] [--keep duration|work]

What is checked: the columns; that no task starts before it was submitted or runs backwards; that no node ever holds more than
--node-gpus GPUs (and there are at most --nodes nodes); with --jobs (columns submit_unix or submit_s, duration_s, gpus, or submit_h, duration_h, units; task n is the n-th row by
submission) that each task ran once to its end, on as many GPUs as it asked for, and did not go on before a piece of it had ended; with
--cloud-rate that each span outside of the place `local` costs gpus x hours x RATE, and one inside nothing. Prints the sums as one line of JSON.
"""

import argparse
import csv
import sys
from collections import defaultdict

from schedule_file import COLUMNS, SLACK_S, Wrong, open_text, report, spans_of  # noqa: F401  # the columns are for tests

SLACK_GPUS = 1e-6


def check_capacity(spans, node_gpus, nodes):
    """Sweeps each node's spans in order of time; those that end at an instant make room for those that start then."""
    by_node = defaultdict(list)
    for span in spans:
        if span["node"] is not None:
            by_node[span["place"], span["node"]].append((round(span["start"], 6), 1, span["gpus"], span["line"]))
            by_node[span["place"], span["node"]].append((round(span["end"], 6), 0, -span["gpus"], span["line"]))
    if nodes is not None and len(by_node) > nodes:
        raise Wrong(f"{len(by_node)} nodes were used, there are {nodes}")
    most = 0.0
    for (place, node), moves in by_node.items():
        # what begins and ends in one instant holds nothing
        used = 0.0
        for at, _, gpus, line in sorted(moves):
            used += gpus
            most = max(most, used)
            if node_gpus is not None and used > node_gpus + SLACK_GPUS:
                raise Wrong(f"line {line}: node {place} {node} holds {used:g} of {node_gpus} GPUs at {at:.6f}")
    return most


def read_jobs(path):
    with open_text(path) as file:
        rows = list(csv.DictReader(file))
    if rows and "submit_h" in rows[0]:
        jobs = [(float(row["submit_h"]) * 3600, float(row["duration_h"]) * 3600, float(row["units"])) for row in rows]
    else:
        name = "submit_unix" if rows and "submit_unix" in rows[0] else "submit_s"
        jobs = [(float(row[name]), float(row["duration_s"]), float(row["gpus"])) for row in rows]
    return sorted(jobs, key=lambda job: job[0])


def merged(pieces):
    """The pieces of one task by time: those of one start and end are its parts on several nodes, at once."""
    together = {}
    for span in pieces:
        key = (round(span["start"], 6), round(span["end"], 6))
        together[key] = together.get(key, 0.0) + span["gpus"]
    return [(start, end, gpus) for (start, end), gpus in sorted(together.items())]


def check_jobs(spans, jobs, keep):
    """Each job once, from its submission on, on its GPUs, for its duration: in one piece, or (keep work) the last piece as long as is left."""
    by_task = defaultdict(list)
    for span in spans:
        by_task[span["task"]].append(span)
    if set(by_task) != set(range(1, len(jobs) + 1)):
        missing = sorted(set(range(1, len(jobs) + 1)) ^ set(by_task))[:5]
        raise Wrong(f"tasks that are not both in the jobs and in the schedule: {missing} ...")
    for task, pieces in by_task.items():
        submit, duration, gpus = jobs[task - 1]
        if any(abs(span["submit"] - submit) > SLACK_S for span in pieces):
            raise Wrong(f"task {task}: submitted at {submit:g}, the schedule says {pieces[0]['submit']:g}")
        runs = merged(pieces)
        if any(abs(run[2] - gpus) > SLACK_GPUS for run in runs):
            raise Wrong(f"task {task}: asked for {gpus:g} GPUs, ran on {runs}")
        if any(after[0] < before[1] - SLACK_S for before, after in zip(runs, runs[1:])):
            raise Wrong(f"task {task}: runs twice at once: {runs}")
        ran = sum(end - start for start, end, _ in runs) if keep == "work" else runs[-1][1] - runs[-1][0]
        if abs(ran - duration) > SLACK_S:
            raise Wrong(f"task {task}: takes {duration:g} s, ran {ran:g} s")


def check_cost(spans, rate):
    for span in spans:
        want = 0.0 if span["place"] == "local" else span["gpus"] * (span["end"] - span["start"]) / 3600 * rate
        if abs(span["cost"] - want) > 1e-6 * max(1.0, want):
            raise Wrong(f"line {span['line']}: costs {span['cost']:g}, {want:g} by its GPUs and hours")


def check(path, node_gpus=None, nodes=None, jobs=None, cloud_rate=None, keep="duration"):
    """Raises Wrong, or returns the sums. jobs: (submit, duration, gpus) by task."""
    spans = list(spans_of(path))
    most = check_capacity(spans, node_gpus, nodes)
    if jobs is not None:
        check_jobs(spans, jobs, keep)
    if cloud_rate is not None:
        check_cost(spans, cloud_rate)
    hours = defaultdict(float)
    for span in spans:
        hours["local" if span["place"] == "local" else "elsewhere"] += span["gpus"] * (span["end"] - span["start"]) / 3600
    return {"spans": len(spans), "tasks": len({span["task"] for span in spans}), "cost": sum(span["cost"] for span in spans),
            "local_gpu_hours": hours["local"], "other_gpu_hours": hours["elsewhere"], "most_gpus_on_a_node": most}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--node-gpus", type=float)
    parser.add_argument("--nodes", type=int)
    parser.add_argument("--jobs")
    parser.add_argument("--cloud-rate", type=float)
    parser.add_argument("--keep", choices=["duration", "work"], default="duration")
    args = parser.parse_args()
    return report(lambda: check(args.file, args.node_gpus, args.nodes, read_jobs(args.jobs) if args.jobs else None, args.cloud_rate, args.keep))


if __name__ == "__main__":
    sys.exit(main())
