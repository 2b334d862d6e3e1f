#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a schedule of suite `replay` against the spot market that was recorded, with nothing but python3.

    check_market.py FILE.csv --gpus TYPE=N[,TYPE=N..] [--prices FILE] [--traces FILE] [--shift HOURS] [--align FIRST_SUBMISSION] [--hold]

What is checked, of each span on a spot machine (its place is CLOUD/ZONE/TYPE/spot): that it lies where the traces have a machine of that kind in that
zone; that it costs what the prices said at each moment of it, added up second by second. TYPE has
N GPUs, of model V100 or as in TYPE=N:MODEL. A record repeats by whole weeks (days, all of it), or (--hold) its first and last values hold.
Prints the sums as one line of JSON.
"""

import argparse
import bisect
import csv
import datetime
import math
import sys
from collections import defaultdict

from schedule_file import Wrong, open_text, report, spans_of

HOUR = 3600
SLACK_S = 2e-6   # of the times in a schedule


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Record:
    """Series by name, and the time that the file is of."""

    def __init__(self, begin, end, series, shift, align, hold):
        self.begin, self.end, self.series = begin, end, series
        span = end - begin
        unit = next((unit for unit in (7 * 86400, 86400) if span >= unit), span)
        self.period = None if hold else span // unit * unit
        self.shift = shift * HOUR + (begin - align if align is not None else 0)

    def time_of(self, at):
        at += self.shift
        if self.period is None or self.begin <= at < self.end:
            return at
        return self.begin + (at - self.begin) % self.period

    def value(self, name, at):
        steps = self.series[name]
        return steps[max(0, bisect.bisect_right(steps, (self.time_of(at), float("inf"))) - 1)][1]

    def moments(self, name, begin, end):
        """Times of a span at which the value may be another."""
        found = {begin}
        for at, _ in self.series[name]:
            base = at - self.shift
            if self.period is None:
                found.add(base)
                continue
            lap = (begin - base) // self.period - 1
            while base + lap * self.period < end:
                found.add(base + lap * self.period)
                lap += 1
        found.update(self.laps(begin, end))
        return sorted(at for at in found if begin <= at < end)

    def laps(self, begin, end):
        if self.period is None:
            return
        at = self.begin - self.shift + ((begin + self.shift - self.begin) // self.period) * self.period
        while at < end:
            yield at
            at += self.period
        yield self.end - self.shift


def read_prices(path, *how):
    series = defaultdict(dict)
    with open_text(path) as file:
        for row in csv.DictReader(file):
            known = series[row["zone"], row["instance"]]
            at = seconds(row["utc"])
            known[at] = max(float(row["spot_usd_h"]), known.get(at, 0))
    series = {name: sorted(steps.items()) for name, steps in series.items()}
    return Record(min(steps[0][0] for steps in series.values()), max(steps[-1][0] for steps in series.values()) + HOUR, series, *how)


def read_traces(path, *how):
    with open_text(path) as file:
        rows = list(csv.DictReader(file))
    by_name = defaultdict(list)
    for row in rows:
        gap = int(row["gap_s"])
        begin = seconds(row["tick0_utc"]) + int(row["first_tick"]) * gap if "env" in row else seconds(row["start_utc"])
        by_name[row.get("env") or row["zone"]].append((begin, gap, row["bits"]))
    series = {}
    for name, pieces in by_name.items():
        pieces.sort()
        zone, model, gpus = name.rsplit("_", 2)
        steps = []
        for (begin, gap, bits), following in zip(pieces, pieces[1:] + [None]):
            times = [begin + i * gap for i in range(len(bits))]
            steps += [(at, int(bit)) for at, bit in zip(times, bits) if following is None or at < following[0]]
        series[zone, model.upper(), int(gpus)] = steps
    ends = [begin + gap * len(bits) for pieces in by_name.values() for begin, gap, bits in pieces]
    return Record(min(piece[0] for pieces in by_name.values() for piece in pieces), max(ends), series, *how)


def naive_cost(prices, name, start, end):
    """What a whole machine costs: a price for each second (or what is left of one)."""
    total, at = 0.0, start
    while at < end:
        until = min(math.floor(at) + 1, end)
        total += prices.value(name, at) * (until - at) / HOUR
        at = until
    return total


def check_prices(machines, prices, kinds):
    for (place, node), spans in machines.items():
        _, zone, kind, _ = place.split("/")
        for span in spans:
            costs = span["cost"] / span["gpus"] * kinds[kind][0]
            said = naive_cost(prices, (zone, kind), span["start"], span["end"])
            # changes of the record are at full seconds, and costs are written with six digits
            if abs(costs - said) > 1e-5 * kinds[kind][0] + 1e-6 * said:
                raise Wrong(f"line {span['line']}: machine {node} at {place} costs {costs}; the prices of its seconds add up to {said}")


def check_traces(machines, traces, kinds):
    for (place, node), spans in machines.items():
        _, zone, kind, _ = place.split("/")
        gpus, model = kinds[kind]
        for span in spans:
            begin, end = span["start"] + SLACK_S, span["end"] - SLACK_S
            for at in traces.moments((zone, model, gpus), begin, end):
                if traces.value((zone, model, gpus), at) == 0:
                    raise Wrong(f"line {span['line']}: machine {node} runs at {place}, where there was none at {at}")


def kinds_of(text):
    kinds = {}
    for word in text.split(","):
        kind, _, gpus = word.partition("=")
        gpus, _, model = gpus.partition(":")
        kinds[kind] = int(gpus), model or "V100"
    return kinds


def check(path, kinds, prices=None, traces=None):
    """Raises Wrong, or returns the sums."""
    machines = defaultdict(list)
    for span in spans_of(path):
        if span["place"].endswith("/spot"):
            machines[span["place"], span["node"]].append(span)
    if prices is not None:
        check_prices(machines, prices, kinds)
    if traces is not None:
        check_traces(machines, traces, kinds)
    return {"spot_machines": len(machines), "places": len({place for place, _ in machines}),
            "spot_gpu_hours": sum(s["gpus"] * (s["end"] - s["start"]) for spans in machines.values() for s in spans) / HOUR}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--gpus", required=True)
    parser.add_argument("--prices")
    parser.add_argument("--traces")
    parser.add_argument("--shift", type=float, default=0)
    parser.add_argument("--align", type=float)
    parser.add_argument("--hold", action="store_true")
    args = parser.parse_args()
    how = args.shift, args.align, args.hold
    return report(lambda: check(args.file, kinds_of(args.gpus), read_prices(args.prices, *how) if args.prices else None,
                                read_traces(args.traces, *how) if args.traces else None))


if __name__ == "__main__":
    sys.exit(main())
