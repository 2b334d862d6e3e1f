#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks schedules of the spot suites that `weir sim --schedule DIR` wrote, with nothing but python3.

    check_spot_schedule.py FILE.csv --traces TRACES.csv [--windows WINDOWS.csv] --deadline H --overhead H --work H
    check_spot_schedule.py FILE.csv --prices PRICES.csv --overhead H

With --traces: that a task holds one machine at a time, starts none before it was submitted and none on spot while the trace says
that there was none; that it is done by its deadline, each launch burning the overhead; and that each span costs its time at the
published rates. With --windows, that each task ran in its own window of its own zone. With --prices: that a machine was held without
a gap, and that each span costs what the price history adds up to second by second, and each move the overhead at the new price.
Prints the sums as one line of JSON.
"""

import argparse
import bisect
import csv
import datetime
import sys
from collections import defaultdict

from schedule_file import SLACK_S, Wrong, open_text, report, spans_of

USD_PER_HOUR = {"spot": 0.9731, "on-demand": 3.06}
SLACK_USD = 1e-6

csv.field_size_limit(1 << 28)


def read_schedule(path):
    """task -> its spans in order of time"""
    tasks = defaultdict(list)
    for span in spans_of(path):
        if span["end"] <= span["start"]:
            raise Wrong(f"{path}:{span['line']}: takes no time")
        if span["gpus"] != 1 or span["node"] is not None:
            raise Wrong(f"{path}:{span['line']}: one machine without a number is expected")
        tasks[span["task"]].append(span)
    for task, spans in tasks.items():
        spans.sort(key=lambda span: span["start"])
        for before, span in zip(spans, spans[1:]):
            if span["start"] < before["end"] - SLACK_S:
                raise Wrong(f"{path}:{span['line']}: task {task} holds two machines at once")
            if span["submit"] != before["submit"]:
                raise Wrong(f"{path}:{span['line']}: task {task} was submitted twice")
    if not tasks:
        raise Wrong(f"{path}: nothing ran")
    return tasks


def read_traces(path):
    """(window or None, zone) -> (seconds of a tick, time of the first, bits)"""
    traces = {}
    with open_text(path) as file:
        for row in csv.DictReader(file):
            gap = float(row["gap_s"])
            if "env" in row:
                traces[None, row["env"]] = (gap, int(row["first_tick"]) * gap, row["bits"])
            else:
                traces[int(row["window"]), row["zone"]] = (gap, 0.0, row["bits"])
    return traces


def read_windows(path):
    with open_text(path) as file:
        rows = list(csv.DictReader(file))
    marked = [row for row in rows if row.get("in_1080", "1") == "1"]
    return [(row["env"], int(row["start_tick"])) for row in marked or rows]


def check_up(path, span, trace):
    gap, origin, bits = trace
    first = (span["start"] - origin) / gap
    last = (span["end"] - origin) / gap
    if abs(first - round(first)) > 1e-6 or abs(last - round(last)) > 1e-6:
        raise Wrong(f"{path}:{span['line']}: does not begin and end with a tick")
    ticks = bits[round(first):round(last)]
    if len(ticks) != round(last) - round(first) or "0" in ticks:
        raise Wrong(f"{path}:{span['line']}: runs on spot in {span['place']} where the trace has none")


def check_traces(path, tasks, args):
    traces = read_traces(args.traces)
    windows = read_windows(args.windows) if args.windows else None
    sums = {"tasks": len(tasks), "spans": 0, "cost_usd": 0.0, "misses": 0}
    if windows is not None and len(windows) != len(tasks):
        raise Wrong(f"{path}: {len(tasks)} tasks ran, and there are {len(windows)} windows")
    for task, spans in tasks.items():
        worked = 0.0
        for span in spans:
            kind = "on-demand" if span["place"] == "on-demand" else "spot"
            hours = (span["end"] - span["start"]) / 3600
            if kind == "spot":
                trace = traces.get((None, span["place"])) or traces.get((task, span["place"]))
                if trace is None:
                    raise Wrong(f"{path}:{span['line']}: there is no zone {span['place']}")
                check_up(path, span, trace)
                if windows is not None and windows[task][0] != span["place"]:
                    raise Wrong(f"{path}:{span['line']}: task {task} belongs to {windows[task][0]}")
            if abs(span["cost"] - hours * USD_PER_HOUR[kind]) > SLACK_USD:
                raise Wrong(f"{path}:{span['line']}: costs {span['cost']}, not {hours * USD_PER_HOUR[kind]}")
            worked += max(0.0, hours - args.overhead)
            sums["spans"] += 1
            sums["cost_usd"] += span["cost"]
        if windows is not None:
            env, tick = windows[task]
            if abs(spans[0]["submit"] - tick * traces[None, env][0]) > SLACK_S:
                raise Wrong(f"{path}: task {task} was not submitted with its window")
        late = spans[-1]["end"] > spans[0]["submit"] + args.deadline * 3600 + SLACK_S
        if late or worked < args.work - 1e-9:
            sums["misses"] += 1
    sums["mean_cost_usd"] = sums["cost_usd"] / len(tasks)
    return sums


def read_prices(path):
    """zone -> (times, prices), and so for each type"""
    prices = defaultdict(lambda: defaultdict(dict))
    end = 0
    with open_text(path) as file:
        for row in csv.DictReader(file):
            at = int(datetime.datetime.fromisoformat(row["utc"].replace("Z", "+00:00")).timestamp())
            known = prices[row["instance"]][row["zone"]]
            known[at] = max(known.get(at, 0), round(float(row["spot_usd_h"]) * 1000000))
            end = max(end, at)
    return {name: {zone: (sorted(p), [p[t] for t in sorted(p)]) for zone, p in zones.items()} for name, zones in prices.items()}, end


def price_sum(series, start, end):
    """micro-USD an hour, times seconds"""
    times, prices = series
    i = bisect.bisect_right(times, start) - 1
    if i < 0:
        raise Wrong("holds a machine before it has a price")
    total = 0
    while start < end:
        until = min(end, times[i + 1] if i + 1 < len(times) else end)
        total += prices[i] * (until - start)
        start, i = until, i + 1
    return total


def check_prices(path, tasks, args):
    prices, end = read_prices(args.prices)
    sums = {"tasks": len(tasks), "spans": 0, "cost_usd": 0.0}
    for task, (_name, zones) in enumerate(sorted(prices.items())):
        spans = tasks.get(task)
        if spans is None or spans[0]["start"] != spans[0]["submit"] or spans[-1]["end"] != end:
            raise Wrong(f"{path}: task {task} does not reach from its beginning to the end of the prices")
        for i, span in enumerate(spans):
            if i > 0 and spans[i - 1]["end"] != span["start"]:
                raise Wrong(f"{path}:{span['line']}: no machine is held before this span")
            series = zones[span["place"]]
            want = price_sum(series, int(span["start"]), int(span["end"]))
            if i > 0:
                want += series[1][bisect.bisect_right(series[0], span["start"]) - 1] * args.overhead * 3600
            if abs(span["cost"] - want / 3600 / 1e6) > SLACK_USD * max(1, span["cost"]):
                raise Wrong(f"{path}:{span['line']}: costs {span['cost']}, not {want / 3600 / 1e6}")
            sums["spans"] += 1
            sums["cost_usd"] += span["cost"]
    return sums


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("schedule")
    parser.add_argument("--traces")
    parser.add_argument("--windows")
    parser.add_argument("--prices")
    parser.add_argument("--deadline", type=float, default=52)
    parser.add_argument("--overhead", type=float, required=True)
    parser.add_argument("--work", type=float, default=48)
    args = parser.parse_args()
    if (args.traces is None) == (args.prices is None):
        parser.error("one of --traces and --prices is expected")
    how = check_traces if args.traces else check_prices
    return report(lambda: how(args.schedule, read_schedule(args.schedule), args))


if __name__ == "__main__":
    sys.exit(main())
