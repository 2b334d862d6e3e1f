#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Energy and carbon in the ledger: by a file of the grid's hours, through a restart, of rented machines, and as every output shows them."""
import csv
import datetime
import decimal
import io
import re
import sys

import lib
from lib import Broker, until

MJ_PER_KWH = 3600 * 10**6
COST, ENERGY, NODE, IDLE = range(4), 2, 4, 6  # accounts


def clock():
    return datetime.datetime.now(datetime.timezone.utc)


def text(at):
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro(at):
    return int(at.timestamp()) * 10**6


def postings(b):
    """(id, from, to, debit, credit, job, energy, carbon) of all."""
    return b.stored("SELECT id, from_us, to_us, debit, credit, job, energy_mj, carbon_ug FROM posting ORDER BY id")


def drawn(rows, begin, end):
    """Energy and carbon of the cost side in a span; no posting may lie across its ends."""
    assert not [r for r in rows if r[1] < begin < r[2] or r[1] < end < r[2]], (begin, end, rows)
    inside = [r for r in rows if r[4] in COST and begin <= r[1] and r[2] <= end]
    return sum(r[6] for r in inside), sum(r[7] or 0 for r in inside)


def bill(b, **query):
    return b.get("/v1/bill?" + "&".join(f"{k}={v}" for k, v in query.items()))


def emits(b):
    pools = [p for p in b.get("/v1/pools")["items"] if p["costs"]]
    return pools[0]["costs"][0]["carbon_ug_per_kwh"] if pools else None


def config(carbon):
    return ("pools: {local: {cost: {purchase: 35040, life: 35040h, pue: 1.25, idle_watts: 400, busy_watts: 2000, tariff_per_kwh: 0.20,"
            f" {carbon}}}}}}}\n")


def test_a_file_of_the_grid_counts_by_its_hours_through_restarts(weir):
    """100.5 g per kWh, then 40; when the broker is away the file is taken for a value of 900, which changes nothing that was posted."""
    with Broker(weir, config=config("carbon_per_kwh: 100.5"), gpus="A100:4") as b:
        until("the node", lambda: emits(b) is not None)
        job = b.submit({"name": "t", "project": "vision", "resources": {"accelerators": {"A100": 2}}, "run": "sleep 2"})
        assert b.wait(job)["state"] == "succeeded"
        b.stop()
        # whether the broker is back before it is so or not
        soon = clock().replace(microsecond=0) + datetime.timedelta(seconds=4)
        change = micro(soon)
        grid = b.dir / "grid.csv"
        grid.write_text(f"utc,gco2_kwh_lca\n{text(soon - datetime.timedelta(hours=6))},100.5\n{text(soon)},40\n"
                        f"{text(soon + datetime.timedelta(hours=6))},40\n")
        (b.dir / "weir.yaml").write_text(config(f"carbon_file: '{grid}'"))
        b.start()
        until("the grid to change", lambda: emits(b) == 40_000_000)
        until("time at the new intensity", lambda: clock() > soon + datetime.timedelta(seconds=2))
        b.balanced()
        rows = postings(b)
        for begin, end, ug_per_kwh in ((rows[0][1], change, 100_500_000), (change, rows[-1][2], 40_000_000)):
            energy, carbon = drawn(rows, begin, end)
            assert energy > 0 and abs(carbon - energy * ug_per_kwh // MJ_PER_KWH) <= 2, (energy, carbon, ug_per_kwh)
        b.kill()
        (b.dir / "weir.yaml").write_text(config(f"carbon_file: '{grid}', carbon: [{{per_kwh: 900}}]"))
        b.start()
        until("the new intensity", lambda: emits(b) == 900_000_000)
        last = rows[-1][0]
        until("postings behind it", lambda: b.balanced() and postings(b)[-1][0] > last + 4)
        again = postings(b)
        assert again[:len(rows)] == rows
        newest = [r for r in again if r[0] > last and r[4] == ENERGY][-1]
        assert newest[6] > 0 and abs(newest[7] - newest[6] * 900_000_000 // MJ_PER_KWH) <= 1, newest
        show(b, job)
        cut(b)


def show(b, job):
    """Every output says what the ledger does."""
    b.stop()  # so that nothing is posted meanwhile
    rows = postings(b)
    of_job = [r for r in rows if r[5] == int(job) and r[4] == NODE]
    energy, carbon = sum(r[6] for r in of_job), sum(r[7] for r in of_job)
    assert energy > 0 and carbon > 0, of_job
    b.start()
    o = b.get(f"/v1/jobs/{job}")
    assert (o["energy_mj"], o["carbon_ug"], o["carbon_unknown_micro"]) == (energy, carbon, 0), (o, energy, carbon)
    kwh, grams = decimal.Decimal(energy) / MJ_PER_KWH, decimal.Decimal(carbon) / 10**6
    said = b.ok("show", job)
    assert abs(decimal.Decimal(re.search(r"Energy: +([\d.]+) kWh", said)[1]) - kwh) < decimal.Decimal("0.000001"), said
    assert abs(decimal.Decimal(re.search(r"Carbon: +([\d.]+) kg CO2e", said)[1]) - grams / 1000) < decimal.Decimal("0.000001"), said
    row = [r for r in bill(b, by="job")["rows"] if r["job"] == str(job)][0]
    assert (row["energy_mj"], row["carbon_ug"], row["idle_carbon_ug"]) == (energy, carbon, 0), row
    table = list(csv.DictReader(io.StringIO(b.ok("bill", "--view", "carbon", "--by", "job", "--format", "csv"))))
    line = [r for r in table if r["job"] == str(job)][0]
    assert abs(decimal.Decimal(line["carbon_kg"]) * 1000 - grams) <= decimal.Decimal("0.0005"), line
    idle = [r for r in table if r["job"] == ""][0]
    assert idle["idle_energy_kwh"] == idle["energy_kwh"] and decimal.Decimal(idle["idle_carbon_kg"]) > 0, idle
    focus = [r for r in csv.DictReader(io.StringIO(b.ok("bill", "--format", "focus"))) if r["x_JobId"] == str(job)]
    assert sum(decimal.Decimal(r["x_CarbonGrams"]) for r in focus) == grams, focus
    metrics = b.http("GET", "/metrics")[1].decode()
    line = re.search(r'weir_carbon_grams_total\{project="vision",pool="local",use="used"\} ([\d.]+)', metrics)
    assert decimal.Decimal(line[1]) == grams, (line, grams)


def cut(b):
    """Any parts of a span add up to it."""
    end = text(clock())  # what is posted later is not in it
    whole = bill(b, to=end)["total"]
    first = b.stored("SELECT min(from_us) FROM posting")[0][0]
    begin = datetime.datetime.fromtimestamp(first // 10**6, datetime.timezone.utc)
    edges = [text(begin + datetime.timedelta(seconds=s)) for s in (0, 1, 3, 4, 9)] + [end]
    edges = [e for e in edges if e <= end]
    for key in ("energy_mj", "carbon_ug", "idle_energy_mj", "idle_carbon_ug", "carbon_unknown_micro"):
        parts = [bill(b, **{"from": lo, "to": hi})["total"][key] or 0 for lo, hi in zip(edges, edges[1:]) if lo < hi]
        assert sum(parts) == (whole[key] or 0), (key, parts, whole)


RENT = {"name": "t", "project": "vision", "resources": {"accelerators": {"A100": 1}}, "max_duration": "10m", "run": "sleep 1"}


def test_what_rented_machines_emit_is_modelled_or_unknown(weir):
    for cost, known in (("", False), ("pools: {sandbox: {cost: {pue: 1.1, carbon: [{region: '*', per_kwh: 300}]}}}\n", True)):
        with Broker(weir, config="providers: {sandbox: {boot_delay: 0s}}\n" + cost, gpus=None, args=["--no-agent"]) as b:
            job = b.submit(RENT)
            assert b.wait(job)["state"] == "succeeded"
            lease = b.get("/v1/leases?all=true")["items"][0]
            b.run("leases", "end", str(lease["id"]))  # it may be over by now
            until("the machine to end", lambda: b.get("/v1/leases?all=true")["items"][0]["state"] == "ended")
            b.balanced()
            total = bill(b, by="job")["total"]
            assert total["energy_mj"] > 0, total
            o = b.get(f"/v1/jobs/{job}")
            focus = [r for r in csv.DictReader(io.StringIO(b.ok("bill", "--format", "focus"))) if r["x_JobId"] == str(job)]
            if known:
                assert abs(total["carbon_ug"] - total["energy_mj"] * 300_000_000 // MJ_PER_KWH) <= 2, total
                assert total["carbon_unknown_micro"] == 0 and o["carbon_ug"] > 0, (total, o)
                assert any(r["x_CarbonGrams"] for r in focus), focus
            else:
                assert total["carbon_ug"] is None and total["carbon_unknown_micro"] > 0, total
                assert o["carbon_ug"] is None and o["carbon_unknown_micro"] > 0, o
                assert "unknown of what cost" in b.ok("show", job)
                assert "unknown" in b.ok("bill", "--view", "carbon")
                assert focus and not any(r["x_CarbonGrams"] for r in focus), focus


def test_what_costs_nothing_may_emit_what_nobody_knows(weir):
    """A pool of which only the watts are known: no cost can tell that its carbon is not."""
    config = "pools: {local: {cost: {purchase: 0, life: 35040h, upkeep_per_year: 0, tariff_per_kwh: 0, idle_watts: 100000, busy_watts: 100000}}}\n"
    with Broker(weir, config=config, gpus="A100:1") as b:
        job = b.submit({"name": "t", "project": "vision", "resources": {"accelerators": {"A100": 1}}, "run": "sleep 1"})
        assert b.wait(job)["state"] == "succeeded"

        def drew():
            row = bill(b, by="project")["total"]
            return row["idle_energy_mj"] and row["energy_mj"] > row["idle_energy_mj"] and row
        total = until("the grid's part", drew)
        assert total["total_micro"] == 0 and total["carbon_unknown_micro"] == 0, total
        assert total["carbon_ug"] is None and total["idle_carbon_ug"] is None, total
        o = b.get(f"/v1/jobs/{job}")
        assert o["cost_micro"] == 0 and o["energy_mj"] > 0 and o["carbon_ug"] is None, o
        assert "Carbon:      unknown\n" in b.ok("show", job), b.ok("show", job)
        assert b.json("bill", "--check")["carbon_ug"] is None and "kWh, carbon unknown" in b.ok("bill", "--check")
        assert b"weir_carbon_grams_total{" not in b.http("GET", "/metrics")[1]
        rows = list(csv.DictReader(io.StringIO(b.ok("bill", "--format", "focus"))))
        assert rows and not any(r["x_CarbonGrams"] for r in rows), rows


def test_pools_say_what_rented_machines_cost_and_emit(weir):
    config = "providers: {sandbox: {boot_delay: 0s}}\npools: {sandbox: {cost: {pue: 1.1, carbon: [{region: '*', per_kwh: 300}]}}}\n"
    with Broker(weir, config=config, gpus=None, args=["--no-agent"]) as b:
        none = b.run("pools", "--cost")
        assert none.returncode == 0 and none.stdout == "" and "no machines are rented now" in none.stderr, none
        job = b.submit({**RENT, "run": "sleep 600"})
        until("the machine", lambda: b.get(f"/v1/jobs/{job}")["state"] == "running")
        lease, = b.get("/v1/leases")["items"]
        rented, = [x for p in b.get("/v1/pools")["items"] for x in p["rented"]]
        assert rented["nodes"] == 1 and rented["price_micro_per_hour"] == lease["price_micro_per_hour"] and rented["pue_milli"] == 1100, rented
        assert rented["carbon_ug_per_kwh"] == 300_000_000 and rented["busy_watts"] > rented["idle_watts"] > 0, rented
        assert rented["carbon_busy_ug_per_hour"] == rented["busy_watts"] * 1100 * 300, rented
        shown = b.ok("pools", "--cost")
        assert "A rented machine of each pool" in shown and "G CO2E/KWH" in shown, shown
        b.ok("cancel", job)
        b.wait(job)


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
