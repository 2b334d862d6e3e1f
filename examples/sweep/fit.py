#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which model predicts the price of a GPU instance best? One point of a parameter sweep.

Leave-one-out cross-validation of kernel regression over the price catalogue (data/catalogue/*.csv), repeated on bootstrap
samples for an interval: the task's index picks bandwidth and distance weights. Plain Python on purpose: it runs wherever weir does. It writes a checkpoint after
every row block and goes on from it when it is started again, on whatever machine that is.
"""
import csv
import json
import math
import os
import pathlib
import random
import sys

BANDWIDTHS = (0.05, 0.1, 0.2, 0.4)
GPU_WEIGHTS = (0.5, 1.0, 2.0, 4.0)
MARKET_WEIGHTS = (1.0, 3.0)
SAMPLES = 24


def load(folder: pathlib.Path):
    rows = []
    for path in sorted(folder.glob("*.csv")):
        if path.name == "providers.csv":
            continue
        with path.open(encoding="utf-8") as file:
            for row in csv.DictReader(line for line in file if not line.startswith("#")):
                try:
                    gpus, memory = int(row["gpus"]), float(row["gpu_mem_mib"])
                    cpus, ram = float(row["vcpus"] or 0), float(row["memory_gib"] or 0)
                    price = float(row["price_per_hour"])
                except (KeyError, ValueError):
                    continue
                if gpus > 0 and price > 0 and memory > 0:
                    rows.append((row["gpu"], row["market"], row["provider"], math.log(gpus), math.log(memory),
                                 math.log1p(cpus), math.log1p(ram), math.log(price)))
    return rows


def predict(rows, counts, left_out, bandwidth, gpu_weight, market_weight):
    gpu, market, provider, *x = rows[left_out][:-1]
    top = bottom = 0.0
    for i, row in enumerate(rows):
        if i == left_out or not counts[i]:
            continue
        d = sum((a - b) ** 2 for a, b in zip(x, row[3:7]))
        d += gpu_weight * (row[0] != gpu) + market_weight * (row[1] != market) + 0.5 * (row[2] != provider)
        w = counts[i] * math.exp(-d / bandwidth) + 1e-300
        top += w * row[7]
        bottom += w
    return top / bottom


def main() -> int:
    folder = pathlib.Path(sys.argv[1])
    sample = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    index = int(os.environ["WEIR_TASK_INDEX"])
    bandwidth = BANDWIDTHS[index % 4]
    gpu_weight = GPU_WEIGHTS[index // 4 % 4]
    market_weight = MARKET_WEIGHTS[index // 16 % 2]
    checkpoint = pathlib.Path(os.environ["WEIR_CHECKPOINT_PATH"].replace("%a", str(index)))
    rows = load(folder)
    points = list(range(0, len(rows), max(1, len(rows) // sample)))
    total = SAMPLES * len(points)
    state = {"done": 0, "errors": [0.0] * SAMPLES}
    if checkpoint.exists():
        state = json.loads(checkpoint.read_text(encoding="utf-8"))
        print(f"resumed from the checkpoint at {state['done']} of {total}", flush=True)
    print(f"task {index} on GPU '{os.environ.get('CUDA_VISIBLE_DEVICES', '')}': bandwidth {bandwidth}, GPU weight {gpu_weight}, "
          f"market weight {market_weight}, {len(rows)} prices", flush=True)
    while state["done"] < total:
        number = state["done"] // len(points)
        draw = random.Random(number)
        counts = [0] * len(rows)
        for _ in rows:
            counts[draw.randrange(len(rows))] += 1
        at = state["done"] % len(points)
        block = points[at:at + 30]
        for i in block:
            state["errors"][number] += abs(predict(rows, counts, i, bandwidth, gpu_weight, market_weight) - rows[i][7])
        state["done"] += len(block)
        temporary = checkpoint.with_suffix(".tmp")
        temporary.write_text(json.dumps(state), encoding="utf-8")
        temporary.replace(checkpoint)
        if at + len(block) == len(points):
            print(f"sample {number + 1} of {SAMPLES} done", flush=True)
    errors = sorted(math.expm1(e / len(points)) * 100 for e in state["errors"])
    print(f"result: index {index}, mean error {sum(errors) / SAMPLES:.2f} percent (from {errors[0]:.2f} to {errors[-1]:.2f} over "
          f"{SAMPLES} samples)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
