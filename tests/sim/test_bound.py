#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The bound of a replay: no policy is ever below it, whatever the world does; and it is met where it can be."""
import datetime
import pathlib
import random
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from suites import lib, sim  # noqa: E402

MISHAPS = {"spot_price": [0, 0.3, 0.7], "spot_reclaims_per_hour": [0.02, 0.5], "spot_notice_s": [0, 120], "checkpoint_s": [0, 300], "restart_s": [0, 60],
           "boot_s": [0, 120], "boot_spread": [1, 1.6], "boot_failure": [0, 0.2], "stockouts_per_day": [0, 8], "task_failures_per_hour": [0, 0.1],
           "node_failures_per_year": [0, 400], "input_gib": [0, 5], "estimate_error": [1, 3], "deadline_factor": [0, 1.5], "delay_value": [0, 0.1, 5, 200],
           "cloud_gpus": [0, 16], "match_gpu": [0, 1], "pue": [1, 1.8], "tariff": [0, 0.3, 5], "price_factor": [0.02, 1, 3], "gpu_purchase": [0, 15000, 200000],
           "leases_max": [3, 1000]}
CATALOGUE = ("InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
             "big,A100,8,96,1000,24.0,9.5,r1\nsmall,V100,1,8,61,2.4,0.8,r1\nplain,,,4,16,0.2,,r1\nlittle,T4,1,4,16,0.5,0.2,r2\n")


def draw_world(draw, folder, number):
    """A command; jobs are in weir's own form, so that they may name GPUs and need none."""
    jobs = folder / f"jobs-{number}.csv"
    now = 1_700_000_000
    lines = ["task,submit,duration_s,gpus,gpu_model,cpus,project,user"]
    for task in range(1, draw.randint(1, 60) + 1):
        now += int(draw.expovariate(1 / draw.choice([5, 300, 3000])))
        gpus = draw.choice([0, 1, 1, 1, 2, 4, 8, 12])
        model = draw.choice(["", "", "V100", "A100", "T4|V100"]) if gpus else ""
        at = datetime.datetime.fromtimestamp(now, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        lines.append(f"{task},{at},{1 + int(draw.lognormvariate(7, 1.2))},{gpus},{model},{draw.choice([1, 4])},{draw.choice('ab')},{draw.choice('xy')}")
    jobs.write_text("\n".join(lines) + "\n", encoding="utf-8")
    setting = {name: draw.choice(values) for name, values in MISHAPS.items() if draw.random() < 0.5}
    pools = draw.choice(["V100:8x0", "V100:8x1", "A100:8x1,V100:4x2", "T4:4x3", "V100:4x2,T4:2x1"])
    clouds = draw.choice([["--cloud-price", draw.choice(["0.05", "2.5"])], ["--catalogue", f"acme={folder / 'vms.csv'}"], []])
    return ["--jobs", jobs, "--pools", pools, *clouds, "--seed", draw.randrange(1000), *(["--set", ",".join(f"{k}={v}" for k, v in setting.items())] if setting else [])]


def test_no_policy_is_below_it_in_any_world(weir):
    draw = random.Random(20)
    told = near = 0
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        (folder / "vms.csv").write_text(CATALOGUE, encoding="utf-8")
        for number in range(60):
            command = draw_world(draw, folder, number)
            for row in sim(weir, "replay", *command)["rows"]:
                if row["bound_cost"] is None or row["cost"] is None:
                    continue
                told += 1
                assert row["cost"] >= row["bound_cost"] - 1e-9, ({k: v for k, v in row.items() if k != "series"}, command)
                if row["bound_cost"] > 0:
                    gap = (row["cost"] / row["bound_cost"] - 1) * 100
                    assert abs(gap - row["gap_to_bound_percent"]) < 1e-5 * max(1, gap), row["case"]
                    near += gap < 5
        assert told > 200 and near > 20, ("a bound that is never near says nothing", told, near)


def test_it_is_met_where_nodes_are_enough(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        jobs.write_text("submit_unix,duration_s,gpus\n" + "".join(f"{i * 100},{3600},{1 + i % 3}\n" for i in range(12)), encoding="utf-8")
        row = sim(weir, "replay", "--jobs", jobs, "--nodes", 4, "--policies", "local-only")["rows"][0]
        assert 0 <= row["gap_to_bound_percent"] < 1e-3, row["gap_to_bound_percent"]
        # cents: the bill posts whole millionths, and keeps what is less
        jobs.write_text("submit_unix,duration_s,gpus\n100,10,1\n", encoding="utf-8")
        for nodes in (1, 2, 5):
            row = sim(weir, "replay", "--jobs", jobs, "--nodes", nodes, "--policies", "local-only")["rows"][0]
            assert row["bound_cost"] <= row["cost"] and 0 <= row["gap_to_bound_percent"] < 0.1, row
        jobs.write_text("submit_unix,duration_s,gpus\n" + "".join(f"{i * 100},{3600},{1 + i % 3}\n" for i in range(12)), encoding="utf-8")
        # half of the nodes' GPUs, and a cloud so dear that all is waited for: the queue ends no sooner than the work allows
        row = sim(weir, "replay", "--jobs", jobs, "--nodes", 1, "--gpus-per-node", 3, "--cloud-price", 1000, "--policies", "local-only")["rows"][0]
        work_h = sum(1 + i % 3 for i in range(12))
        assert row["makespan_hours"] >= work_h / 3 and row["bound_cost"] <= row["cost"] < 1.4 * row["bound_cost"], row["gap_to_bound_percent"]


if __name__ == "__main__":
    sys.exit(lib.main(globals(), at_once=1))
