#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a schedule of the suite commitments from the jobs alone: check_commitments.py JOBS TERM_HOURS FEE USED_RATE SCHEDULE.csv..

Every hour's demand is served once, from no more reservations than run, and every line costs what its kind costs. Prints one line of JSON a schedule
with its cost added up. Exit status 1, with a line on stderr, where something does not hold.
"""
import collections
import csv
import json
import sys


def demand_of(path):
    """Hour since 1970 -> mean of its sixty minutes, rounded half to even."""
    change = collections.Counter()
    submits = []
    with open(path, newline="", encoding="utf-8") as f:
        for row in csv.DictReader(f):
            submit, end = int(row["submit_unix"]), int(row["submit_unix"]) + int(row["duration_s"])
            change[submit // 60] += int(row["gpus"])
            change[-(-end // 60)] -= int(row["gpus"])
            submits.append(submit)
    first, last = min(submits) // 3600, max(submits) // 3600
    held, hours = 0, {}
    for hour in range(first, last + 1):
        total = 0
        for minute in range(hour * 60, hour * 60 + 60):
            held += change[minute]
            total += held
        hours[hour] = round(total / 60)
    return hours


def check(path, demand, term, fee, rate):
    reserved, used, on_demand = collections.Counter(), collections.Counter(), collections.Counter()
    cost = 0.0
    with open(path, newline="", encoding="utf-8") as f:
        for row in csv.DictReader(f):
            start, end, gpus = float(row["start"]), float(row["end"]), int(row["gpus"])
            hour = int(start) // 3600
            assert start % 3600 == 0 and hour in demand, f"{path}: {row} begins at no hour of the demand"
            kind = row["place"]
            span = term if kind == "reserved" else 1
            price = {"reserved": fee, "used": rate, "on-demand": 1}[kind]
            assert end - start == span * 3600, f"{path}: {row} does not last {span} h"
            assert abs(float(row["cost"]) - gpus * price) < 1e-6, f"{path}: {row} should cost {gpus * price}"
            cost += float(row["cost"])
            if kind == "reserved":
                for h in range(hour, hour + term):
                    reserved[h] += gpus
            else:
                (used if kind == "used" else on_demand)[hour] += gpus
    for hour, gpus in demand.items():
        assert used[hour] <= reserved[hour], f"{path}: hour {hour} uses {used[hour]} of {reserved[hour]} reservations"
        assert used[hour] + on_demand[hour] == gpus, f"{path}: hour {hour} serves {used[hour]} + {on_demand[hour]}, not {gpus}"
    return cost


def main():
    jobs, term, fee, rate, *schedules = sys.argv[1:]
    demand = demand_of(jobs)
    for path in schedules:
        try:
            print(json.dumps({"file": path, "cost": check(path, demand, int(term), float(fee), float(rate))}))
        except AssertionError as e:
            sys.exit(str(e))


if __name__ == "__main__":
    main()
