#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Suite replay: made-up work under every policy against the checker of schedules, chance from the seed, public traces, bad input."""
import csv
import datetime
import json
import pathlib
import random
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import check_schedule  # noqa: E402
from schedule_file import spans_of  # noqa: E402
from suites import data, lib, output_of, sim  # noqa: E402

PHILLY = "philly-jobs/philly_jobs_2017-09-04_2017-10-31.csv"
CARBON = "carbon/ES_2022_hourly.csv"
JAN_2022 = 1_640_995_200
POLICIES = ["weir", "weir-no-estimates", "local-only", "cloud-only", "no-wait", "constant-wait", "starburst"]
STORM = ("spot_price=0.4,spot_reclaims_per_hour=0.5,spot_notice_s=0,checkpoint_s=600,restart_s=20,boot_spread=1.5,boot_failure=0.1,"
         "stockouts_per_day=6,task_failures_per_hour=0.02,node_failures_per_year=200,input_gib=3,estimate_error=3,deadline_factor=2")
EVERYTHING = ("delay_value=1,reservations=9,yield_per_mille=500,review_s=60,leases_max=5,wait_hours=2,wait_per_gpu_hour=0.1,estimate_error=2,deadline_factor=3,"
              "checkpoint_s=600,checkpoint_grace_s=30,cores_per_gpu=8,match_gpu=1,restart_s=5,input_gib=1,link_mib_per_s=50,egress_per_gib=0.1,"
              "task_failures_per_hour=0.01,retries=2,node_failures_per_year=1,node_repair_hours=2,boot_s=60,boot_factor=2,boot_spread=1.5,boot_failure=0.1,"
              "cloud_gpus=64,stockouts_per_day=1,stockout_hours=2,price_factor=2,spot_price=0.4,spot_reclaims_per_hour=0.1,spot_reclaims_factor=2,spot_notice_s=60,"
              "market_align=1,market_shift_hours=3,market_repeat=0,market_look_s=60,reserved_count=0,"
              "carbon_price=0.2,limit_hours=48,budget_factor=2,gpu_purchase=9000,life_years=4,upkeep_per_gpu_year=900,tariff=0.2,pue=1.2")


def made_up_jobs(path, n, seed):
    draw = random.Random(seed)
    with open(path, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(["submit_unix", "duration_s", "gpus", "vc", "user"])
        now = 1_500_000_000
        for _ in range(n):
            now += draw.choice([0, 1, 30, 400])
            out.writerow([now, 1 + int(draw.lognormvariate(7, 1.5)), draw.choice([1] * 10 + [2, 4, 8, 8, 12]), draw.choice("abc"), draw.choice("xyz")])


def error_of(weir, *args):
    result = subprocess.run([weir, "sim", *map(str, args)], capture_output=True, text=True, timeout=1200, check=False)
    assert result.returncode != 0 and result.stdout == "", (args, result)
    return result.stderr


def whole(series, line):
    """A line's integral over time, in its unit times hours."""
    return sum(series["lines"][line]) * series["step_s"] / 3600


def figures(row):
    """A row without what would fill the screen."""
    return {name: value for name, value in row.items() if name != "series"}


def check_row(row, tasks):
    assert abs(row["cost"] - row["own_cost"] - row["cloud_cost"]) < 1e-6 * max(1, row["cost"]), figures(row)
    assert row["tasks"] == tasks and 0 <= row["failed"] <= tasks, figures(row)
    series = row["series"]
    assert len(series["lines"]["queue_tasks"]) <= 512
    assert abs(whole(series, "own_cost_per_hour") - row["own_cost"]) < 1e-5 * max(1, row["cost"]), figures(row)
    assert abs(whole(series, "cloud_cost_per_hour") - row["cloud_cost"]) < 1e-5 * max(1, row["cost"]), figures(row)
    for name in ("cost_by_pool", "cost_by_use"):
        assert abs(sum(series["breakdowns"][name].values()) - row["cost"]) < 1e-5 * max(1, row["cost"]), (name, figures(row))
    by_use = series["breakdowns"]["cost_by_use"]
    projects = sum(series["breakdowns"].get("cost_by_project", {}).values())
    assert abs(projects - row["cost"] + by_use["idle"]) < 1e-5 * max(1, row["cost"]), figures(row)


def test_money_is_told_by_project_whatever_their_names_and_number(weir):
    house = "department-of-medical-imaging-research-and-development-"  # the names differ behind that only
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        lines = [f"{i * 4000},{3600 if i < 40 else 36000},1,{house}{i}" for i in range(43)]
        jobs.write_text("submit_unix,duration_s,gpus,vc\n" + "\n".join(lines) + "\n", encoding="utf-8")
        page = pathlib.Path(folder) / "r.html"
        row = sim(weir, "replay", "--jobs", jobs, "--nodes", 1, "--policies", "local-only", "--report", page)["rows"][0]
        by_project = row["series"]["breakdowns"]["cost_by_project"]
        assert list(by_project)[:3] == [f"{house}{i}" for i in (40, 41, 42)], list(by_project)
        assert len(by_project) == 32 and list(by_project)[-1] == "others", list(by_project)
        check_row(row, 43)
        text = page.read_text(encoding="utf-8")
        assert f'title="{house}42">department-of-medical-imag…velopment-42</th>' in text, "long names are shortened in the middle"


def test_every_policy_gives_a_schedule_that_holds(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        made_up_jobs(jobs, 1500, 3)
        out = pathlib.Path(folder) / "out"
        args = ["--jobs", jobs, "--nodes", "3,6", "--cloud-price", "2.5", "--schedule", out]
        text = output_of(weir, "replay", *args)
        rows = json.loads(text)["rows"]
        assert [(row["case"]["nodes"], row["policy"]) for row in rows] == [(n, p) for n in (3, 6) for p in POLICIES]
        told = check_schedule.read_jobs(str(jobs))
        for row in rows:
            check_row(row, 1500)
            assert row["failed"] == 0 and row["lost_gpu_hours"] == 0, figures(row)
            file = out / f"replay-{row['policy']}-{row['case']['nodes']}.csv"
            sums = check_schedule.check(str(file), node_gpus=8, jobs=told, cloud_rate=2.5)
            assert sums["cost"] <= row["cloud_cost"] + 1e-6, (figures(row), sums)
            local = sums["local_gpu_hours"] / (8 * row["case"]["nodes"] * row["makespan_hours"])
            assert abs(local - row["local_utilisation"]) < 1e-6, (figures(row), sums)
            assert (sums["other_gpu_hours"] == 0) == (row["policy"] == "local-only"), (figures(row), sums)
            assert (sums["local_gpu_hours"] == 0) == (row["policy"] == "cloud-only"), (figures(row), sums)
        assert text == output_of(weir, "replay", *args)
        by_policy = {row["policy"]: row for row in rows if row["case"]["nodes"] == 3}
        assert by_policy["weir"]["cost"] < by_policy["no-wait"]["cost"] < by_policy["cloud-only"]["cost"]
        assert by_policy["no-wait"]["avg_wait_hours"] < by_policy["constant-wait"]["avg_wait_hours"] < by_policy["local-only"]["avg_wait_hours"]


def test_chance_comes_from_the_seed(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        made_up_jobs(jobs, 400, 5)
        args = ["--jobs", jobs, "--nodes", "2", "--cloud-price", "2.5", "--set", STORM]
        first = output_of(weir, "replay", *args, "--seed", "7")
        assert first == output_of(weir, "replay", *args, "--seed", "7")
        second = output_of(weir, "replay", *args, "--seed", "8")
        assert json.loads(first)["trace_hash"] != json.loads(second)["trace_hash"]
        rows = json.loads(first)["rows"] + json.loads(second)["rows"]
        for row in rows:
            check_row(row, 400)
            assert row["case"]["estimate_error"] == 3
        assert any(row["reclaims"] > 0 and row["lost_gpu_hours"] > 0 for row in rows)
        assert any(row["waste_gpu_hours"] > row["lost_gpu_hours"] for row in rows)
        assert all(row["deadline_misses"] > 0 for row in rows)


def test_capacity_holds_in_a_storm(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        made_up_jobs(jobs, 400, 6)
        for seed in (1, 2, 3):
            out = pathlib.Path(folder) / f"out-{seed}"
            rows = sim(weir, "replay", "--jobs", jobs, "--nodes", "2", "--cloud-price", "2", "--set", STORM, "--seed", seed, "--schedule", out)["rows"]
            for row in rows:
                sums = check_schedule.check(str(out / f"replay-{row['policy']}-2.csv"), node_gpus=8)
                assert sums["tasks"] >= 400 - row["failed"], (figures(row), sums)


def test_pools_of_several_kinds_and_a_catalogue(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        made_up_jobs(jobs, 500, 9)
        prices = pathlib.Path(folder) / "vms.csv"
        prices.write_text("InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
                          "big,A100,8,96,1000,24.0,,r1\nbig,A100,8,96,1000,24.0,9.0,r2\nsmall,V100,1,8,61,2.4,,r1\n", encoding="utf-8")
        rows = sim(weir, "replay", "--jobs", jobs, "--pools", "A100:8x1,V100:4x3", "--catalogue", f"acme={prices}",
                   "--policies", "weir,cloud-only,local-only")["rows"]
        assert [row["case"]["nodes"] for row in rows] == [4, 4, 4]
        for row in rows:
            check_row(row, 500)
            assert set(row["series"]["breakdowns"]["cost_by_pool"]) == {"local-A100", "local-V100", "acme"}
        ours, local, cloud = rows
        assert cloud["cloud_cost"] > ours["cloud_cost"] > 0 == local["cloud_cost"], (cloud["cloud_cost"], ours["cloud_cost"])
        assert local["failed"] == 0
        dearer = sim(weir, "replay", "--jobs", jobs, "--pools", "A100:8x1,V100:4x3", "--catalogue", f"acme={prices}", "--policies", "cloud-only",
                     "--set", "price_factor=2")["rows"][0]
        assert dearer["cloud_cost"] > 1.5 * cloud["cloud_cost"], (dearer["cloud_cost"], cloud["cloud_cost"])
        euros = ["--jobs", jobs, "--pools", "A100:8x1,V100:4x3", "--catalogue", f"acme={prices}", "--policies", "cloud-only", "--currency", "EUR"]
        assert "its prices are in USD, and amounts here in EUR: say what a USD is in it, with --set price_factor=RATE" in error_of(weir, *euros)
        assert sim(weir, "replay", *euros, "--set", "price_factor=2")["rows"][0]["cloud_cost"] == dearer["cloud_cost"]


def test_data_takes_time_and_money(weir):
    """Two GPUs for an hour each, one task with 30 GiB of its own, the other with what input_gib says, at 50 MiB a second and 0.10 per GiB."""
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        jobs.write_text("task,submit,duration_s,gpus,input_gib\n1,2026-01-01T00:00:00Z,3600,2,30\n2,2026-01-01T00:00:00Z,3600,2,\n", encoding="utf-8")
        args = ["--jobs", jobs, "--cloud-price", "2.5", "--schedule", pathlib.Path(folder) / "out"]
        params = "boot_s=0,input_gib=10,link_mib_per_s=50,egress_per_gib=0.1"
        row = sim(weir, "replay", *args, "--nodes", 0, "--policies", "cloud-only", "--set", params)["rows"][0]
        assert row["transfer_gib"] == 40 and abs(row["transfer_cost"] - 4) < 1e-9, figures(row)
        assert abs(row["avg_wait_hours"] - (30 + 10) * 1024 / 50 / 2 / 3600) < 1e-6, figures(row)
        assert abs(row["cost"] - 2.5 * 2 * (2 + 40 * 1024 / 50 / 3600)) < 0.01, figures(row)  # machines are held while data comes
        # an hour's waiting for an owned node costs less than moving the data, and more than a machine without data
        row = sim(weir, "replay", *args, "--nodes", 1, "--gpus-per-node", 2, "--policies", "weir", "--set", "delay_value=6,egress_per_gib=0.3")["rows"][0]
        spans = {span["task"]: span["place"] for span in spans_of(str(pathlib.Path(folder) / "out/replay-weir-1.csv"))}
        assert spans == {1: "local", 2: "cloud"} and row["transfer_gib"] == 0, (spans, figures(row))


def test_machines_teach_what_clouds_do_not_say(weir):
    """Where spot is taken back forty times as often as it says, learning saves much; where it says the truth, it costs next to nothing."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        made_up_jobs(jobs, 1500, 8)
        cost = {}
        for factor in (1, 40):
            found = sim(weir, "replay", "--jobs", jobs, "--nodes", 0, "--cloud-price", 2.5, "--policies", "weir,weir-without-experience", "--set",
                        f"spot_price=0.5,spot_reclaims_per_hour=0.1,spot_notice_s=0,checkpoint_s=1800,spot_reclaims_factor={factor}")
            for row in found["rows"]:
                assert row["failed"] == 0, figures(row)
                cost[row["policy"], factor] = row["cost"]
        assert cost["weir", 1] < 1.03 * cost["weir-without-experience", 1], cost
        assert cost["weir", 40] < 0.75 * cost["weir-without-experience", 40], cost


def test_choices_of_what_to_own_stand_beside_each_other(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        made_up_jobs(folder / "jobs.csv", 200, 9)
        args = ["--jobs", folder / "jobs.csv", "--cloud-price", "2.5", "--policies", "weir,local-only"]
        choices = ["A100:8x2", "V100:8x1,T4:4x3"]
        rows = sim(weir, "replay", *args, "--pools", ";".join(choices), "--rules", "--schedule", folder / "out")["rows"]
        assert [(row["case"]["pools"], row["policy"]) for row in rows[:4]] == [(c, p) for c in choices for p in ("weir", "local-only")]
        for choice in choices:
            alone = sim(weir, "replay", *args, "--pools", choice)["rows"]
            assert "pools" not in alone[0]["case"]
            both = [row for row in rows if row["case"]["pools"] == choice]
            assert [row["cost"] for row in alone] == [row["cost"] for row in both[:2]]
            assert {"weir-without-waiting", "weir-without-reservations"} < {row["policy"] for row in both[2:]}, "rules, for each choice"
        assert len(list((folder / "out").glob("replay-weir-*"))) >= 2
        assert "T4:4xN" in error_of(weir, *args, "--pools", "A100:8x2;T4:4xN")


def test_kinds_of_nodes_have_prices_of_their_own(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        made_up_jobs(jobs, 60, 3)
        args = ["--jobs", jobs, "--policies", "local-only", "--set", "upkeep_per_gpu_year=0,tariff=0,gpu_purchase=10000"]

        def cost(pools):  # of an hour
            row = sim(weir, "replay", *args, "--pools", pools)["rows"][0]
            return row["own_cost"] / row["makespan_hours"]
        plain = cost("V100:8x2,V100:4x2")
        assert abs(cost("V100:8x2@10000,V100:4x2") - plain) < 1e-6
        assert abs(cost("V100:8x2@0,V100:4x2") - plain / 3) < 1e-3 and abs(cost("V100:8x2,V100:4x2@40000") - 2 * plain) < 1e-3
        assert "MODEL:GPUSxNODES@PRICE" in error_of(weir, *args, "--pools", "V100:8@3")
        assert "--pools V100:8x2@much" in error_of(weir, *args, "--pools", "V100:8x2@much")
        assert "between 0 and 1000000" in error_of(weir, *args, "--pools", "V100:8x2@2000000")


def hourly(path, column, values):
    path.write_text(f"time,{column}\n" + "".join(f"{JAN_2022 + 3600 * h},{value}\n" for h, value in enumerate(values)), encoding="utf-8")
    return path


def test_energy_is_rated_by_the_hour(weir):
    """A node of eight V100, 35 W idle and 300 W busy each, times 1.4: an hour with four of them busy is 1.876 kWh, half an hour with all 1.68."""
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        tariff = hourly(folder / "tariff.csv", "price", [0.1, 0.4] + [1] * 166)
        carbon = hourly(folder / "carbon.csv", "gco2_kwh_lca", [100, 500] + [9000] * 166)
        jobs = folder / "jobs.csv"
        for weeks in (0, 30):  # outside of the record it repeats
            begin = JAN_2022 + weeks * 7 * 86400
            jobs.write_text(f"submit_unix,duration_s,gpus\n{begin},3600,4\n{begin + 3600},1800,8\n", encoding="utf-8")
            args = ["--jobs", jobs, "--nodes", "1", "--policies", "local-only"]
            row = sim(weir, "replay", *args, "--tariff", tariff, "--carbon", carbon)["rows"][0]
            got = {name: round(row[name], 7) for name in ("energy_kwh", "energy_cost", "carbon_kg", "makespan_hours")}
            assert got == {"energy_kwh": 3.556, "energy_cost": 0.8596, "carbon_kg": 1.0276, "makespan_hours": 1.5}, got
            one = sim(weir, "replay", *args, "--carbon", carbon)["rows"][0]
            assert one["carbon_kg"] == row["carbon_kg"] and "energy_cost" not in one, figures(one)
            assert one["own_cost"] == row["own_cost"], "one tariff in the ledger"
            assert "energy_kwh" not in sim(weir, "replay", *args)["rows"][0]
        rented = sim(weir, "replay", "--jobs", jobs, "--nodes", "0", "--cloud-price", "1", "--policies", "weir", "--carbon", carbon)["rows"][0]
        assert rented["cloud_cost"] > 0 == rented["carbon_kg"], "owned nodes only"


def test_a_tariff_is_in_the_currency_of_the_run(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        jobs = folder / "jobs.csv"
        jobs.write_text(f"submit_unix,duration_s,gpus\n{JAN_2022},3600,4\n", encoding="utf-8")
        args = ["--jobs", jobs, "--nodes", "1", "--policies", "local-only"]
        plain = sim(weir, "replay", *args, "--tariff", hourly(folder / "plain.csv", "price", [0.1] * 168))["rows"][0]["energy_cost"]
        for column, currency, of_kwh in (("price_eur_mwh", "EUR", 100), ("price_chf_mwh", "CHF", 100), ("chf_kwh", "CHF", 0.1), ("usd_mwh", "USD", 100)):
            tariff = hourly(folder / f"{column}.csv", column, [of_kwh] * 168)
            assert sim(weir, "replay", *args, "--tariff", tariff, "--currency", currency)["rows"][0]["energy_cost"] == plain, column
            other = "GBP" if currency == "USD" else "USD"
            done = subprocess.run([weir, "sim", "--suite", "replay", *map(str, args), "--tariff", str(tariff), "--currency", other], capture_output=True, text=True, check=False)
            assert done.returncode == 2 and f"has prices in {currency}, and amounts here are in {other}: give --currency {currency}" in done.stderr, done


def emitted_kg(spans, nodes, end_s, by_hour):
    """From the spans alone: idle watts all the time, and what is busy on top of them; eight V100 a node, times 1.4."""
    def grams(start, end, watts):
        total = 0.0
        while start < end:
            to = min(end, (start // 3600 + 1) * 3600)
            total += watts * 1.4 / 1000 * (to - start) / 3600 * by_hour[int(start // 3600)]
            start = to
        return total

    begin = min(span["submit"] for span in spans)
    busy = sum(grams(span["start"], span["end"], 265 * span["gpus"]) for span in spans if span["place"] == "local")
    return (busy + grams(begin, end_s, nodes * 8 * 35)) / 1000


def test_public_carbon_intensities(weir):
    path = data(CARBON) / CARBON
    with open(path, encoding="utf-8", newline="") as file:
        by_hour = {int(datetime.datetime.fromisoformat(row["utc"] + "+00:00").timestamp()) // 3600: float(row["gco2_kwh_lca"])
                   for row in csv.DictReader(file)}
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        draw = random.Random(11)
        starts = sorted(JAN_2022 + 86400 + draw.randrange(5 * 86400) for _ in range(300))
        jobs = folder / "jobs.csv"
        jobs.write_text("submit_unix,duration_s,gpus\n" + "".join(f"{at},{draw.randrange(60, 40000)},{draw.choice([1, 2, 8])}\n" for at in starts),
                        encoding="utf-8")
        rows = sim(weir, "replay", "--jobs", jobs, "--nodes", "4", "--cloud-price", "2.5", "--carbon", path, "--policies", "weir,local-only,no-wait",
                   "--schedule", folder / "out")["rows"]
        for row in rows:
            spans = list(spans_of(str(folder / "out" / f"replay-{row['policy']}-4.csv")))
            least = emitted_kg(spans, 4, max(span["end"] for span in spans), by_hour)
            # rented machines may be held for a while after the last task
            most = emitted_kg(spans, 4, max(span["end"] for span in spans) + 3600, by_hour)
            assert least * (1 - 1e-6) <= row["carbon_kg"] <= most, (figures(row), least, most)
        local = next(row for row in rows if row["policy"] == "local-only")
        spans = list(spans_of(str(folder / "out" / "replay-local-only-4.csv")))
        want = emitted_kg(spans, 4, max(span["end"] for span in spans), by_hour)
        assert abs(local["carbon_kg"] - want) < 1e-6 * want, (local["carbon_kg"], want)


def test_work_is_held_back_for_better_hours(weir):
    """Eight V100 add 2.968 kW when they are at work: an hour of that three hours later at 0.1 instead of 0.5 saves 1.187, less the waiting."""
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        jobs = folder / "jobs.csv"
        jobs.write_text(f"submit_unix,duration_s,gpus\n{JAN_2022},3600,8\n", encoding="utf-8")
        tariff = hourly(folder / "tariff.csv", "price", ([0.5] * 3 + [0.1] + [0.5] * 20) * 7)
        carbon = hourly(folder / "carbon.csv", "gco2_kwh_lca", ([500] * 5 + [100] + [500] * 18) * 7)
        args = ["--jobs", jobs, "--nodes", "1", "--policies", "weir,weir-shift"]
        for grid, params, wait in ((["--tariff", tariff], "delay_value=0.39", 3), (["--tariff", tariff], "delay_value=0.4", 0),
                                   (["--tariff", tariff], "delay_value=0.1,deadline_factor=3", 0), (["--tariff", tariff], "delay_value=0.1,deadline_factor=5", 3),
                                   (["--carbon", carbon], "delay_value=0.2,carbon_price=1", 5), (["--carbon", carbon], "delay_value=0.2,carbon_price=0.5", 0)):
            plain, ours = sim(weir, "replay", *args, *grid, "--set", params)["rows"]
            assert plain["policy"] == "weir" and plain["avg_wait_hours"] == 0, figures(plain)
            assert abs(ours["avg_wait_hours"] - wait) < 1e-9 and ours["deadline_misses"] == 0, (params, figures(ours))
            if wait == 3:  # idle until then and after: 0.392 kW
                assert abs(plain["energy_cost"] - 3.36 * 0.5) < 1e-6 and abs(ours["energy_cost"] - 3 * 0.392 * 0.5 - 3.36 * 0.1) < 1e-6, figures(ours)
        made_up_jobs(jobs, 600, 12)
        args[3] = "40"
        text = output_of(weir, "replay", *args, "--tariff", tariff, "--set", "delay_value=0.01", "--schedule", folder / "out")
        assert text == output_of(weir, "replay", *args, "--tariff", tariff, "--set", "delay_value=0.01")
        plain, ours = json.loads(text)["rows"]
        check_row(ours, 600)
        check_schedule.check(str(folder / "out/replay-weir-shift-40.csv"), node_gpus=8, nodes=40, jobs=check_schedule.read_jobs(str(jobs)))
        begin = min(job[0] for job in check_schedule.read_jobs(str(jobs))) - JAN_2022

        def at_work(row):
            """What it costs beyond the idle draw of all nodes, which go on for longer where work was held back."""
            end = begin + 3600 * row["makespan_hours"]
            hours = range(int(begin // 3600), int(end // 3600) + 1)
            idle = sum((0.1 if h % 24 == 3 else 0.5) * (min(end, 3600 * (h + 1)) - max(begin, 3600 * h)) / 3600 for h in hours)
            return row["energy_cost"] - 40 * 0.392 * idle
        assert ours["failed"] == 0 and at_work(ours) < 0.9 * at_work(plain), (figures(plain), figures(ours), at_work(plain), at_work(ours))
        assert ours["avg_wait_hours"] > plain["avg_wait_hours"], (figures(plain), figures(ours))


def test_a_row_has_room_for_every_parameter(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        jobs = folder / "jobs.csv"
        made_up_jobs(jobs, 20, 2)
        grid = hourly(folder / "grid.csv", "value", [0.1] * 24)
        row = sim(weir, "replay", "--jobs", jobs, "--nodes", "1", "--policies", "local-only", "--set", EVERYTHING, "--tariff", grid, "--carbon", grid)["rows"][0]
        assert set(row["case"]) == {"nodes", *(setting.split("=")[0] for setting in EVERYTHING.split(","))}, row["case"]


def test_public_traces_replay(weir):
    got = sim(weir, "replay", "--jobs", data(PHILLY) / PHILLY, "--nodes", "100", "--cloud-price", "2.5", "--policies", "no-wait,weir")["rows"]
    no_wait, ours = got
    if no_wait["policy"] != "no-wait":
        no_wait, ours = ours, no_wait
    for row in got:
        check_row(row, 52849)
        assert row["failed"] == 0
    assert ours["cost"] < no_wait["cost"]


SACCT = ("JobID|Submit|Start|End|State|AllocTRES\n"
         "7|2026-01-01T00:00:00|2026-01-01T00:10:00|2026-01-01T01:00:00|COMPLETED|gres/gpu=2\n"
         "8_12|2026-01-01T00:00:05|2026-01-01T00:10:00|2026-01-01T01:00:00|COMPLETED|gres/gpu=2\n"
         "9|2026-01-01T00:00:09|Unknown|Unknown|PENDING|\n"
         "10|2026-01-01T00:00:10|2026-01-01T00:10:00|Unknown|RUNNING|gres/gpu=1\n")


def replayed(weir, *args):
    result = subprocess.run([weir, "sim", "--json", "--nodes", "1", "--policies", "weir", *map(str, args)], capture_output=True, text=True, timeout=1200, check=True)
    return json.loads(result.stdout), result.stderr


def test_schedules_call_tasks_as_the_input_does(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        folder = pathlib.Path(folder)
        jobs = folder / "sacct.txt"
        jobs.write_text(SACCT, encoding="utf-8")
        replayed(weir, "--jobs", jobs, "--schedule", folder / "out")
        assert [(span["task"], span["id"]) for span in spans_of(str(folder / "out" / "replay-weir-1.csv"))] == [(1, "7"), (2, "8_12")]
        jobs.write_text('job_id,submit_unix,duration_s,gpus\n"a,""b""",0,10,1\n-x-,60,10,1\n', encoding="utf-8")
        replayed(weir, "--jobs", jobs, "--schedule", folder / "out")
        assert [span["id"] for span in spans_of(str(folder / "out" / "replay-weir-1.csv"))] == ['a,"b"', "-x-"]
        jobs.write_text("submit_unix,duration_s,gpus\n0,10,1\n", encoding="utf-8")
        replayed(weir, "--jobs", jobs, "--schedule", folder / "out")
        assert [span["id"] for span in spans_of(str(folder / "out" / "replay-weir-1.csv"))] == [""]


def test_what_is_left_out_or_missing_is_said(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "sacct.txt"
        jobs.write_text(SACCT, encoding="utf-8")
        result, said = replayed(weir, "--jobs", jobs)
        assert result["left_out"] == 2 and result["rows"][0]["tasks"] == 2, result
        assert "2 records of the work are left out" in said and "2 records" in result["notes"][0], said
        bare = "\n".join(line.rpartition("|")[0] for line in SACCT.splitlines()) + "\n"
        jobs.write_text(bare, encoding="utf-8")
        result, said = replayed(weir, "--jobs", jobs)
        assert "no column AllocTRES" in said and any("AllocTRES" in note for note in result["notes"]), said
        jobs.write_text(SACCT.replace("AllocTRES", "ReqTRES"), encoding="utf-8")
        assert "AllocTRES" not in replayed(weir, "--jobs", jobs)[1]


def test_tasks_that_find_no_place_are_counted(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        jobs.write_text("submit_unix,duration_s,gpus\n0,10,1\n5,10,64\n", encoding="utf-8")
        row = replayed(weir, "--jobs", jobs)[0]["rows"][0]
        assert (row["tasks"], row["failed"], row["unplaced"]) == (2, 1, 1), figures(row)


def test_what_is_wrong_is_named(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs = pathlib.Path(folder) / "jobs.csv"
        made_up_jobs(jobs, 10, 1)
        assert "--pools A100:8x16" in error_of(weir, "--jobs", jobs)
        assert "--jobs FILE" in error_of(weir, "--suite", "replay", "--nodes", 1)
        assert "MODEL:GPUSxNODES" in error_of(weir, "--jobs", jobs, "--pools", "A100")
        assert "no GPU model 'Z9'" in error_of(weir, "--jobs", jobs, "--pools", "Z9:8x1")
        assert "--gpus-per-node" in error_of(weir, "--jobs", jobs, "--pools", "A100:8x1", "--gpus-per-node", 4)
        assert "delay_value" in error_of(weir, "--jobs", jobs, "--nodes", 1, "--set", "delay_valu=2")
        assert "boot_failure" in error_of(weir, "--jobs", jobs, "--nodes", 1, "--set", "boot_failure=2")
        assert "price per GPU-hour" in error_of(weir, "--jobs", jobs, "--nodes", 1, "--cloud-price", "0")
        assert "--tariff: a file is needed" in error_of(weir, "--jobs", jobs, "--nodes", 1, "--tariff", "-")
        assert "--carbon: " in error_of(weir, "--jobs", jobs, "--nodes", 1, "--carbon", "/nowhere/c.csv")
        grid = hourly(pathlib.Path(folder) / "grid.csv", "gco2_kwh_lca", [100, "x"])
        assert "grid.csv:3: column 'gco2_kwh_lca'" in error_of(weir, "--jobs", jobs, "--nodes", 1, "--carbon", grid)
        hourly(grid, "gco2_kwh_lca", [100])
        assert "that is --carbon" in error_of(weir, "--jobs", jobs, "--nodes", 1, "--tariff", grid)
        hourly(grid, "price", [0.1])
        assert "that is --tariff" in error_of(weir, "--jobs", jobs, "--nodes", 1, "--carbon", grid)
        assert "--tariff means nothing" in error_of(weir, "--suite", "starburst", "--jobs", jobs, "--tariff", grid)
        assert "NAME=FILE" in error_of(weir, "--jobs", jobs, "--nodes", 1, "--catalogue", "x.csv")
        assert "no policy 'fifo'" in error_of(weir, "--jobs", jobs, "--nodes", 1, "--policies", "fifo")
        assert "--tariff FILE or --carbon FILE" in error_of(weir, "--jobs", jobs, "--nodes", 1, "--policies", "weir-shift")
        assert "standard input" in error_of(weir, "--jobs", "-", "--nodes", 1)
        jobs.write_text("submit_unix,duration_s,gpus\n1,2,x\n", encoding="utf-8")
        assert "jobs.csv:2: column 'gpus'" in error_of(weir, "--jobs", jobs, "--nodes", 1)
        jobs.write_text("submit_unix,duration_s,gpus\n", encoding="utf-8")
        assert "no job" in error_of(weir, "--jobs", jobs, "--nodes", 1)


if __name__ == "__main__":
    sys.exit(lib.main(globals(), at_once=1))
