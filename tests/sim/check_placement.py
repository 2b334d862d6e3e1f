#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks placements that `weir sim --suite openb --schedule DIR` wrote, with nothing but python3 and the two inputs.

    check_placement.py NODES.csv PODS.csv SCHEDULE.csv...

Task n is the n-th row of PODS, drawn perhaps more than once; start is the number of its arrival, and it stays to the end. What is checked:
each arrival is placed once at most, with the GPUs that its row asks for; no node holds more CPU, memory or GPUs than it has; GPUs are of a model
that the row allows; and what lies on a node can be laid onto its GPUs, shares of less than one on one GPU each. Prints one line of JSON a file.
"""
import csv
import json
import sys

from schedule_file import COLUMNS, Wrong

GPU = 1000


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def can_pack(items, bins):
    """Do the items, largest first, fit the bins? Exact: tries the first bin of each distinct room."""
    if not items:
        return True
    tried = set()
    for i, room in enumerate(bins):
        if room >= items[0] and room not in tried:
            tried.add(room)
            if can_pack(items[1:], bins[:i] + [room - items[0]] + bins[i + 1:]):
                return True
    return False


def check(nodes, pods, path):
    left = [{"cpu": int(n["cpu_milli"]), "mem": int(n["memory_mib"]), "gpus": int(n["gpu"]), "shares": []} for n in nodes]
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != COLUMNS:
            raise Wrong(f"{path}: the columns are {reader.fieldnames}, not {COLUMNS}")
        before, ends, milli = -1, set(), 0
        for number, span in enumerate(reader, 2):
            where = f"{path}:{number}"
            pod, node, room = pods[int(span["task"])], nodes[int(span["node"])], left[int(span["node"])]
            gpus = int(pod["num_gpu"])
            share = int(pod["gpu_milli"]) if gpus else 0
            if span["start"] != span["submit"] or int(span["start"]) <= before:
                raise Wrong(f"{where}: arrivals are not in order, or one is placed twice")
            before = int(span["start"])
            ends.add(span["end"])
            if round(float(span["gpus"]) * GPU) != gpus * share:
                raise Wrong(f"{where}: {span['gpus']} GPUs instead of {gpus * share / GPU}")
            allowed = {m for m in (pod.get("gpu_spec") or "").split("|") if m}
            if gpus and allowed and node["model"] not in allowed:
                raise Wrong(f"{where}: a {node['model']} for a task that wants {sorted(allowed)}")
            room["cpu"] -= int(pod["cpu_milli"])
            room["mem"] -= int(pod["memory_mib"])
            if share == GPU:
                room["gpus"] -= gpus
            elif gpus:
                room["shares"].append(share)
            if room["cpu"] < 0 or room["mem"] < 0 or room["gpus"] < 0:
                raise Wrong(f"{where}: node {span['node']} holds more than it has: left {room['cpu']} milli-CPU, {room['mem']} MiB, {room['gpus']} GPUs")
            milli += gpus * share
    for number, room in enumerate(left):
        if not can_pack(sorted(room["shares"], reverse=True), [GPU] * room["gpus"]):
            raise Wrong(f"{path}: node {number}: the shares {sorted(room['shares'])} do not fit {room['gpus']} GPUs")
    if len(ends) > 1 or (ends and int(next(iter(ends))) <= before):
        raise Wrong(f"{path}: a task left before the end: {sorted(ends)}")
    return {"placed": sum(1 for _ in read(path)), "allocated_percent": 100 * milli / sum(int(n["gpu"]) * GPU for n in nodes)}


def main():
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    nodes, pods = read(sys.argv[1]), read(sys.argv[2])
    try:
        for path in sys.argv[3:]:
            print(json.dumps({"file": path, **check(nodes, pods, path)}))
    except Wrong as why:
        raise SystemExit(f"check_placement: {why}") from why


if __name__ == "__main__":
    main()
