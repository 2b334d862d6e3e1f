#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules of prices: chargeback beside showback, spread of idle time, commitments; posted, exact, and never in the past."""
import csv
import decimal
import io
import sys

import focus
import lib
from lib import Broker
from test_close import into_last_month, months

CONFIG = "pools: {local: {cost: {purchase: 35040, life: 35040h, idle_watts: 0, busy_watts: 0, tariff_per_kwh: 0}}}\n"


def work(b, project, gpus=1, tags=None, seconds=0.3):
    job = b.submit({"project": project, "tags": tags or {}, "resources": {"accelerators": {"A100": gpus}}, "run": f"sleep {seconds}"})
    assert b.wait(job)["state"] == "succeeded"
    return job


def prices(b, *args, by="project"):
    return {r[by]: r for r in b.json("bill", "--view", "price", "--by", by, *args)["rows"]}


def half_up(amount, percent):
    return (amount * percent * 2 + 100) // 200


def ratings(b):
    """Postings of prices: how many, and what they come to."""
    return b.stored("SELECT count(*), coalesce(sum(CASE debit WHEN 10 THEN amount_micro ELSE -amount_micro END), 0) FROM posting WHERE rule <> 0")[0]


def test_prices_are_posted_beside_the_cost_and_once(weir):
    with Broker(weir, config=CONFIG) as b:
        b.ok("rule", "add", "house", "markup", "--percent", "10", "--project", "vision", "--from", "2026-01-01")
        b.ok("rule", "add", "list", "price", "--per-gpu-hour", "3.60", "--tag", "tier=gold", "--from", "2026-01-01")
        b.ok("rule", "add", "less", "discount", "--percent", "50", "--tag", "tier=gold", "--from", "2026-01-01")
        a = work(b, "vision")
        c = work(b, "speech")
        g = work(b, "speech", gpus=2, tags={"tier": "gold"})
        cost = {r["job"]: r for r in b.json("bill", "--by", "job")["rows"]}
        by_job = prices(b, by="job")
        for job in (a, c, g):
            assert by_job[str(job)]["total_micro"] == cost[str(job)]["total_micro"], job  # the cost is what it was
        assert abs(by_job[str(a)]["adjust_micro"] - half_up(by_job[str(a)]["total_micro"], 10)) <= 1
        assert by_job[str(c)]["adjust_micro"] == 0
        gpu_us = b.stored("SELECT sum(gpu_us) FROM posting WHERE job = ?", g)[0][0]
        assert abs(by_job[str(g)]["price_micro"] - gpu_us * 1800000 // 3600000000) <= 1, by_job[str(g)]
        # asking again posts nothing again: the job's machines are idle meanwhile, and idle time has no rule
        before = ratings(b)
        again = prices(b, by="job")
        assert ratings(b) == before and {j: r["price_micro"] for j, r in again.items() if j} == {j: r["price_micro"] for j, r in by_job.items() if j}
        b.stop()
        b.start()
        b.ok("bill", "--view", "price")
        assert ratings(b) == before
        check = b.json("bill", "--check")
        assert check["balanced"] and check["price_micro"] == before[1]
        # the cost view does not know of any of it
        assert b.json("bill", "--by", "job")["rows"][1]["total_micro"] == cost[str(a)]["total_micro"]
        assert "adjust_micro" not in b.json("bill")["total"]
        rows = list(csv.DictReader(io.StringIO(b.ok("bill", "--format", "focus", "--view", "price"))))
        rated = [r for r in rows if r["x_Account"] == "price"]
        assert rated and all(r["ChargeCategory"] == "Adjustment" and r["x_RuleId"] for r in rated)
        b.balanced()


def test_a_rule_that_ends_or_comes_later_gives_new_postings(weir):
    with Broker(weir, config=CONFIG) as b:
        job = str(work(b, "vision"))
        cost = prices(b, by="job")[job]["total_micro"]
        b.ok("rule", "add", "house", "markup", "--percent", "10", "--from", "2026-01-01")
        assert abs(prices(b, by="job")[job]["adjust_micro"] - half_up(cost, 10)) <= 1
        first = ratings(b)
        b.ok("rule", "end", "house", "--until", "2026-01-01")
        assert prices(b, by="job")[job]["adjust_micro"] == 0
        assert ratings(b)[0] > first[0] and ratings(b)[1] == 0  # taken back by postings of their own
        r = b.run("rule", "add", "house", "markup", "--percent", "5")
        assert r.returncode != 0 and "never change" in r.stderr
        for bad, says in ((["x", "markup"], "percent"), (["x", "price"], "per_gpu_hour"), (["x", "spread", "--by", "use", "--project", "p"], "project"),
                          (["x", "nothing"], "none of price"), (["x", "discount", "--percent", "120"], "percent"), (["x", "exchange", "--rate", "2"], "currency")):
            r = b.run("rule", "add", *bad)
            assert r.returncode == 2 and says in r.stderr, (bad, r)
        assert [(r["name"], r["kind"]) for r in b.json("rule")] == [("house", "markup")]
        actions = [(a["action"], a["object"]) for a in b.get("/v1/audit")["items"]]
        assert ("rule.add", "rule house") in actions and ("rule.end", "rule house") in actions


def test_amounts_of_rules_name_the_ledgers_currency(weir):
    with Broker(weir, config="currency: EUR\npolicy: {delay_cost: 0.1}\n" + CONFIG, args=["--no-agent"], gpus=None) as b:
        b.ok("rule", "add", "plain", "price", "--per-gpu-hour", "2.10")
        b.ok("rule", "add", "named", "price", "--per-gpu-hour", "2.5 eur")
        b.ok("rule", "add", "busy", "commitment", "--per-hour", " 31.40 EUR", "--gpus", "8")
        b.ok("rule", "add", "usd", "exchange", "--currency", "USD", "--rate", "0.9212")
        for bad, says in ((("price", "--per-gpu-hour", "$2"), "is in USD"), (("commitment", "--per-hour", "3 CHF"), "is in CHF"),
                          (("price", "--per-gpu-hour", "2 XYZ"), "XYZ")):
            r = b.run("rule", "add", "bad", *bad)
            assert r.returncode == 2 and says in r.stderr, r
        assert {(r["name"], r["currency"], r["rule"].get("per_gpu_hour") or r["rule"].get("per_hour") or r["rule"]["rate"]) for r in b.json("rule")} == {
            ("plain", "EUR", "2.10"), ("named", "EUR", "2.50"), ("busy", "EUR", "31.40"), ("usd", "EUR", "0.9212")}
        shown = b.ok("rule")
        assert all(w in shown for w in ("per_gpu_hour=2.10 EUR", "per_gpu_hour=2.50 EUR", "per_hour=31.40 EUR", "currency=USD rate=0.9212 EUR")), shown
        assert b.ok("bill", "--view", "price"), "they are read again as they were stored"


def test_idle_time_is_spread_by_use_or_by_weight(weir):
    for by in ("use", "weight"):
        with Broker(weir, config=CONFIG) as b:
            b.ok("project", "set", "vision", "--weight", "300")
            b.ok("project", "set", "speech", "--weight", "100")
            work(b, "vision", gpus=1)
            work(b, "speech", gpus=3)
            b.ok("rule", "add", "idle", "spread", "--by", by, "--pool", "local", "--from", "2026-01-01")
            rows = prices(b)
            idle = rows[""]
            assert idle["idle_micro"] > 0 and abs(idle["price_micro"]) <= idle["idle_micro"] // 5, (by, rows)
            given = {p: rows[p]["adjust_micro"] for p in ("vision", "speech")}
            assert sum(r["adjust_micro"] for r in rows.values()) == 0 and min(given.values()) > 0
            others = {p: r["adjust_micro"] for p, r in rows.items() if p not in ("", "vision", "speech")}
            if by == "weight":
                assert abs(given["vision"] - 3 * given["speech"]) <= 8, (given, others)
            else:
                used = {p: rows[p]["total_micro"] for p in given}
                assert abs(given["vision"] / given["speech"] - used["vision"] / used["speech"]) < 0.01, (given, used)
            # in FOCUS 1.3 these are parts of one charge, that nobody's share takes off the idle time
            args = ("bill", "--format", "focus", "--view", "price", "--to", b.get("/v1/bill")["to"], "--focus-version")
            export = list(csv.DictReader(io.StringIO(b.ok(*args, "1.3"))))
            assert not focus.differs_from_1_3(export), focus.differs_from_1_3(export)
            shares = [r for r in export if r["AllocatedMethodId"]]
            assert {r["AllocatedMethodId"] for r in shares} == {"weir:spread:" + by} and {"vision", "speech"} <= {r["AllocatedResourceId"] for r in shares}, shares
            assert all(r["SubAccountId"] == "" and r["ChargeCategory"] == "Adjustment" and r["HostProviderName"] == "Not Applicable" for r in shares), shares
            off = [r for r in export if r["x_Account"] == "price" and not r["AllocatedMethodId"]]
            assert off and sum(decimal.Decimal(r["BilledCost"]) for r in shares + off) == 0, (shares, off)
            older = list(csv.DictReader(io.StringIO(b.ok(*args, "1.2"))))
            assert sorted(r["SubAccountId"] for r in older if r["x_RuleId"] and r["SubAccountId"]) == sorted(r["AllocatedResourceId"] for r in shares), (older, shares)
            # idle stands by pool and day, too
            days = b.json("bill", "--by", "pool,day")["rows"]
            assert days and all(d["pool"] == "local" for d in days) and sum(d["idle_micro"] for d in days) > 0
            b.balanced()


def test_a_commitment_is_paid_whether_used_or_not(weir):
    with Broker(weir, config=CONFIG) as b:
        now = b.get("/v1/bill")["to"]
        b.ok("rule", "add", "all", "commitment", "--per-hour", "36000", "--from", now)
        work(b, "vision", seconds=1)
        rows = prices(b)
        assert rows["vision"]["adjust_micro"] > 5_000_000 and sum(r["adjust_micro"] for p, r in rows.items() if p != "vision") == 0, rows
        b.ok("rule", "add", "part", "commitment", "--per-hour", "36000", "--gpus", "400", "--from", now)
        rows = prices(b)
        # 400 GPUs are committed, one was used: nearly all of it is nobody's
        assert rows[""]["adjust_micro"] > rows["vision"]["adjust_micro"] // 2, rows
        b.balanced()


def test_a_closed_month_keeps_its_prices(weir):
    last, this = months()
    with Broker(weir, config=CONFIG) as b:
        job = work(b, "vision")
        into_last_month(b)
        b.ok("rule", "add", "house", "markup", "--percent", "10", "--from", last + "-01")
        b.ok("bill", "close", last)
        before = b.ok("bill", "--view", "price", "--month", last, "--by", "job,project", "--format", "json")
        closed = b.json("bill", "closes")[0]
        assert closed["price_micro"] > 0
        r = b.run("rule", "add", "early", "markup", "--percent", "10", "--from", last + "-10")
        assert r.returncode != 0 and last in r.stderr, r
        b.ok("rule", "add", "more", "markup", "--percent", "20", "--from", this + "-01")
        b.ok("bill", "charge", "1.00", "--job", job, "--reason", "egress")
        assert b.ok("bill", "--view", "price", "--month", last, "--by", "job,project", "--format", "json") == before
        # the charge is for last month: that month's rule holds for it, in this month
        rows = {r["late"]: r for r in b.json("bill", "--view", "price", "--month", this, "--by", "late")["rows"]}
        assert rows[last]["total_micro"] == 1_000_000 and rows[last]["adjust_micro"] == 100_000, rows
        check = b.json("bill", "--check")
        assert check["balanced"] and check["closes"] == 1 and check["close_error"] is None, check


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
