#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Suite openb against the published figures, and its placements against a check of their own."""
import json
import pathlib
import random
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from suites import data, lib, sim  # noqa: E402

SEEDS = "42-44"


def by_policy(result, metric="allocated_percent"):
    return {row["policy"]: row[metric] for row in result["rows"]}


def check(nodes, pods, schedules):
    files = sorted(map(str, pathlib.Path(schedules).glob("*.csv")))
    result = subprocess.run([sys.executable, str(HERE / "check_placement.py"), str(nodes), str(pods), *files], capture_output=True, text=True,
                            timeout=1200, check=False)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_published_policies_give_the_published_figures(weir):
    got = sim(weir, "openb", "--data", data("alibaba-openb"), "--seeds", SEEDS)
    share = by_policy(got)
    want = {"random": (87.47, 0.8), "dot-product": (90.85, 0.6), "gpu-clustering": (91.88, 0.6), "packing": (92.00, 0.6),
            "best-fit": (93.1, 0.3), "fgd": (95.4, 0.3)}
    for policy, (figure, slack) in want.items():
        assert abs(share[policy] - figure) <= slack, (policy, share[policy])
    for row in got["rows"]:
        if row["policy"] != "weir":
            assert abs(row["fragmentation_percent"] - row["reference_fragmentation_percent"]) < 1.5, row
        assert row["allocated_percent_min"] <= row["allocated_percent"] <= row["allocated_percent_max"], row
    assert share["weir"] >= share["fgd"], share


def test_weir_uses_at_least_what_fgd_does_on_more_gangs(weir):
    folder = data("alibaba-openb")
    share = by_policy(sim(weir, "openb", "--data", folder, "--pods", folder / "alibaba-openb/openb_pod_list_multigpu20.csv", "--seeds", SEEDS,
                          "--policies", "fgd,weir"))
    assert abs(share["fgd"] - 95.651) <= 0.3, share
    assert share["weir"] >= share["fgd"], share


def test_placements_pass_the_check_and_are_the_same_each_time(weir):
    folder = data("alibaba-openb") / "alibaba-openb"
    nodes, pods = folder / "openb_node_list_gpu_node.csv", folder / "openb_pod_list_default.csv"
    with tempfile.TemporaryDirectory() as out:
        first = sim(weir, "openb", "--node-list", nodes, "--pods", pods, "--seeds", "42", "--policies", "random,best-fit,weir", "--schedule", out)
        checked = check(nodes, pods, out)
    for got, said in zip(sorted(row["allocated_percent"] for row in checked), sorted(by_policy(first).values()), strict=True):
        assert abs(got - said) < 1e-6, (checked, first)
    again = sim(weir, "openb", "--node-list", nodes, "--pods", pods, "--seeds", "42", "--policies", "random,best-fit,weir")
    assert again == first


def made_up(folder):
    """Nodes and tasks of other kinds than the published ones: models are asked for, nodes without GPUs, more GPUs a node."""
    draw = random.Random(5)
    nodes, pods = folder / "nodes.csv", folder / "pods.csv"
    with nodes.open("w") as out:
        out.write("sn,cpu_milli,memory_mib,gpu,model\n")
        for i in range(60):
            gpus = draw.choice([0, 1, 2, 4, 8, 16])
            out.write(f"n{i},{draw.choice([8, 12, 16]) * 1000 * max(gpus, 1)},{65536 * max(gpus, 1)},{gpus},{draw.choice('ABC') if gpus else ''}\n")
    with pods.open("w") as out:
        out.write("name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n")
        for i in range(700):
            gpus = draw.choice([0, 1, 1, 1, 1, 2, 4, 8])
            milli = draw.choice([1000, 300, 450, 900]) if gpus == 1 else 1000 * (gpus > 0)
            out.write(f"p{i},{draw.choice([1, 4, 8, 11]) * 1000 * max(gpus, 1)},{draw.choice([4096, 16384])},{gpus},{milli},"
                      f"{draw.choice(['', '', 'A', 'B|C', 'D']) if gpus else ''}\n")
    return nodes, pods


def test_every_policy_places_made_up_work_as_it_may(weir):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        nodes, pods = made_up(folder)
        result = sim(weir, "openb", "--node-list", nodes, "--pods", pods, "--seeds", "1,7", "--schedule", folder / "out")
        assert len(check(nodes, pods, folder / "out")) == 14
        assert all("reference_allocated_percent" not in row for row in result["rows"])


if __name__ == "__main__":
    sys.exit(lib.main(globals(), at_once=1))
