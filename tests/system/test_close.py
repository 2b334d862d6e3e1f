#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Closed months: they do not move, what is late is billed in the first open month, and changes to them show."""
import csv
import datetime
import io
import pathlib
import sqlite3
import sys

import lib
from lib import Broker


def months():
    """The last calendar month and this one, as text."""
    first = datetime.datetime.now(datetime.timezone.utc).date().replace(day=1)
    return (first - datetime.timedelta(days=1)).strftime("%Y-%m"), first.strftime("%Y-%m")


def age(b, days):
    """Makes all that is in the ledger older; the meters go on from now."""
    us = days * 86_400_000_000
    with sqlite3.connect(b.data / "weir.db") as db:
        db.execute("UPDATE posting SET at_us = at_us - ?, from_us = from_us - ?, to_us = to_us - ?", [us] * 3)
    db.close()


def into_last_month(b):
    """Stops the broker, moves the ledger to the middle of the last month, starts it again."""
    now = datetime.datetime.now(datetime.timezone.utc)
    middle = (now.replace(day=1) - datetime.timedelta(days=1)).replace(day=14)
    b.stop()
    age(b, (now.date() - middle.date()).days)
    b.start()


def change(b, sql):
    """Changes the store behind the broker's back."""
    b.stop()
    with sqlite3.connect(b.data / "weir.db") as db:
        assert db.execute(sql).rowcount >= 1, sql
    db.close()
    b.start()


def work(b, project="vision"):
    job = b.submit({"project": project, "resources": {"accelerators": {"A100": 1}}, "run": "sleep 0.3"})
    assert b.wait(job)["state"] == "succeeded"
    return job


def statements(b, month):
    """All that may be asked of a month, as it comes."""
    asked = [["--by", by, "--format", fmt] for by in ("project", "job,node", "day,pool", "gpu,user,late", "month") for fmt in ("json", "csv", "table")]
    return [b.ok("bill", "--month", month, *a) for a in asked]


def total(b, month, *args):
    return b.json("bill", "--month", month, *args)["total"]["total_micro"]


def test_a_closed_month_does_not_move(weir):
    last, this = months()
    with Broker(weir, config="pools: {local: {cost: {purchase: 35040, life: 35040h, idle_watts: 500, busy_watts: 900, tariff_per_kwh: 0.30}}}\n") as b:
        job = work(b)
        into_last_month(b)
        assert b.json("bill", "--month", last)["closed"] is False
        assert "comes first" in b.run("bill", "close", this).stderr
        assert f"{last} (UTC) is closed" in b.ok("bill", "close", last)
        whole = b.json("bill")["total"]["total_micro"]
        before = statements(b, last)
        assert b.json("bill", "--month", last)["closed"] is True
        first = total(b, last)
        # a late charge, a late credit, a restart, a crash
        b.ok("bill", "charge", "3.20", "--job", job, "--reason", "egress")
        b.ok("bill", "credit", "0.70", "--job", job, "--reason", "ticket 7")
        assert statements(b, last) == before
        b.stop()
        b.start()
        assert statements(b, last) == before
        b.kill()
        b.start()
        assert statements(b, last) == before and total(b, last) == first
        # it is billed in this month, and says for which it is
        late = {r["late"]: r for r in b.json("bill", "--month", this, "--by", "late,job")["rows"] if r["late"] != ""}
        assert set(late) == {last} and late[last]["total_micro"] == 2_500_000 and late[last]["job"] == str(job), late
        table = [line.split() for line in b.ok("bill", "--month", this, "--by", "late").splitlines()]
        assert {row[0] for row in table if row} >= {"-", last} and not any("(none)" in row or "(idle)" in row for row in table), table
        days = {r["day"]: r["total_micro"] for r in b.json("bill", "--month", this, "--by", "day,late")["rows"] if r["late"] == last}
        assert days == {this + "-01": 2_500_000}, days
        assert b.json("bill")["total"]["total_micro"] >= whole + 2_500_000
        rows = list(csv.DictReader(io.StringIO(b.ok("bill", "--format", "focus"))))
        correction = [r for r in rows if r["ChargeClass"] == "Correction"]
        assert correction and {r["InvoiceId"] for r in correction} == {"weir-" + this}
        assert {r["ChargePeriodStart"][:7] for r in correction} == {last} and {r["BillingPeriodStart"][:7] for r in correction} == {this}
        assert {r["InvoiceId"] for r in rows if r["ChargeClass"] == ""} == {"weir-" + last, "weir-" + this}
        b.balanced()
        check = b.json("bill", "--check")
        assert check["closes"] == 1 and check["close_error"] is None
        assert "is closed" in b.run("bill", "close", last).stderr
        actions = [(a["action"], a["object"]) for a in b.get("/v1/audit")["items"]]
        assert ("bill.close", "month " + last) in actions, actions


def test_a_closed_month_that_was_changed_is_found(weir):
    last, _ = months()
    with Broker(weir) as b:
        work(b)
        into_last_month(b)
        b.ok("bill", "close", last)
        b.stop()
        whole = (b.data / "weir.db").read_bytes()
        b.start()
        for sql, says in (
                # both sides of it, so that the ledger is balanced
                ("UPDATE posting SET amount_micro = amount_micro + 5 WHERE id IN (SELECT min(id) FROM posting UNION"
                 " SELECT min(id) FROM posting WHERE debit = 6)", "is not as it was closed"),
                ("UPDATE posting SET project = 1 - project WHERE id = (SELECT max(id) FROM posting WHERE debit = 5)", "the postings are others"),
                ("UPDATE month_close SET cost_micro = cost_micro + 1", "is not as it was closed")):
            change(b, sql)
            r = b.run("bill", "--check")
            assert r.returncode == 65 and last in r.stderr and says in r.stderr, (sql, r)
            b.stop()
            for name in ("weir.db-wal", "weir.db-shm"):
                (b.data / name).unlink(missing_ok=True)
            (b.data / "weir.db").write_bytes(whole)
            b.start()
        b.balanced()


def test_a_close_that_was_cut_off_is_taken_up_again(weir):
    last, _ = months()
    with Broker(weir) as b:
        work(b)
        into_last_month(b)
        b.ok("bill", "close", last)
        kept = b.json("bill", "closes")
        change(b, "UPDATE month_close SET digest = '', cost_micro = 0, used_micro = 0, idle_micro = 0, waste_micro = 0, postings = 0, gpu_us = 0")
        assert "again" in b.run("bill", "--check").stderr
        b.ok("bill", "close", last)
        assert b.json("bill", "closes") == kept
        b.balanced()


def test_months_are_closed_in_order_and_in_one_zone(weir):
    if not pathlib.Path("/usr/share/zoneinfo/Europe/Berlin").exists():
        raise lib.Skip("package tzdata is not installed")
    last, this = months()
    with Broker(weir) as b:
        work(b)
        assert "not over" in b.run("bill", "close", this).stderr
        into_last_month(b)
        b.stop()
        age(b, 31)
        b.start()
        r = b.run("bill", "close", last)
        assert r.returncode != 0 and "comes first" in r.stderr, r
        older = b.json("bill", "--by", "month")["rows"][0]["month"]
        b.ok("bill", "close", older, "--zone", "Europe/Berlin")
        r = b.run("bill", "close", last, "--zone", "UTC")
        assert r.returncode != 0 and "Europe/Berlin" in r.stderr, r
        b.ok("bill", "close", last)
        assert [(c["month"], c["zone"]) for c in b.json("bill", "closes")] == [(older, "Europe/Berlin"), (last, "Europe/Berlin")]
        assert "month such as" in b.run("bill", "close", "2026-13").stderr
        assert "is not for 'close'" in b.run("bill", "close", last, "--by", "job").stderr
        b.balanced()


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
