#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The bill as others read it: exports by the FOCUS specification, statements of spans, corrections."""
import csv
import datetime
import decimal
import io
import pathlib
import sqlite3
import sys
import zoneinfo

import focus
import lib
from lib import Broker, until

MICRO = decimal.Decimal(1000000)
SANDBOX = "providers: {sandbox: {boot_delay: 1s}}\n"


def work(b):
    """Owned and rented machines, jobs that succeed and fail, idle time and waste."""
    jobs = [b.submit({"name": "local", "project": "vision", "tags": {"team": 'a "b", c'}, "resources": {"accelerators": {"A100": 1}}, "run": "sleep 1"}),
            b.submit({"name": "fails", "resources": {"accelerators": {"A100": 1}}, "run": "exit 3", "retries": 0}),
            b.submit({"name": "cloud", "project": "speech", "resources": {"accelerators": {"T4": 1}, "use_spot": True}, "run": "sleep 1"})]
    for job in jobs:
        b.wait(job)
    return jobs


def export(b, *args):
    return list(csv.DictReader(io.StringIO(b.ok("bill", "--format", "focus", *args))))


def ledger(b):
    with sqlite3.connect(f"file:{b.data / 'weir.db'}?mode=ro", uri=True) as db:
        rows = db.execute("SELECT * FROM posting ORDER BY id").fetchall()
    db.close()
    return rows


def micro(rows, column="BilledCost"):
    return sum(int(decimal.Decimal(row[column]) * MICRO) for row in rows)


def test_focus_rows_add_up_to_the_ledger(weir):
    with Broker(weir, config=SANDBOX, gpus="A100:2") as b:
        jobs = work(b)
        start = "2020-01-01T00:00:00Z"
        middle = b.get(f"/v1/jobs/{jobs[0]}")["ended"]
        end = b.get("/v1/bill")["to"]
        for args in (("--from", start, "--to", end), ("--from", start, "--to", middle), ("--from", middle, "--to", end),
                     ("--from", start, "--to", end, "--hourly")):
            rows = export(b, *args)
            total = b.get(f"/v1/bill?from={args[1]}&to={args[3]}")["total"]
            cost = sum(v for k, v in total.items() if k.startswith("cost_"))
            assert micro(rows) == total["total_micro"], (args, micro(rows), total)
            assert rows and abs(cost - micro(rows)) <= len(rows), (args, cost)  # a span that cuts postings rounds each side by itself
        rows = export(b, "--from", start, "--to", end)
        assert {"job", "idle", "waste_boot", "waste_failed"} <= {r["x_Account"] for r in rows}, rows
        assert {"Owned machines", "Rented machines"} == {r["ServiceName"] for r in rows}
        by_job = {r["x_JobId"]: r for r in rows if r["x_Account"] == "job"}
        assert by_job[str(jobs[0])]["SubAccountId"] == "vision" and '"team":"a \\"b\\", c"' in by_job[str(jobs[0])]["Tags"]
        assert by_job[str(jobs[2])]["PricingCategory"] == "Dynamic" and by_job[str(jobs[2])]["ResourceId"].startswith("sb-"), by_job
        for r in rows:
            if r["ChargeCategory"] == "Usage":
                product = decimal.Decimal(r["ListUnitPrice"]) * decimal.Decimal(r["PricingQuantity"])
                assert abs(product - decimal.Decimal(r["ListCost"])) < decimal.Decimal("0.000000001"), r
        assert micro(export(b, "--project", "vision")) == sum(
            r["total_micro"] for r in b.get("/v1/bill?project=vision")["rows"])


def test_the_public_validator_accepts_the_export(weir):
    program = focus.validator(pathlib.Path(weir).parent / "focus")
    with Broker(weir, config=SANDBOX, gpus="A100:2") as b:
        work(b)
        file = b.dir / "focus.csv"
        for args in ((), ("--hourly",)):
            file.write_text(b.ok("bill", "--format", "focus", "--issuer", "Example Lab", *args))
            found = focus.failures(program, file)
            assert not found, "\n".join(found)
        file.write_text(file.read_text().replace(",Usage,", ",Use,"))  # it does look
        assert focus.failures(program, file)


def test_days_and_months_are_those_of_a_zone(weir):
    if not pathlib.Path("/usr/share/zoneinfo/Asia/Kathmandu").exists():
        raise lib.Skip("package tzdata is not installed")
    with Broker(weir, gpus="A100:2") as b:
        until("a ledger", lambda: b.get("/v1/bill")["total"]["total_micro"] > 0)
        b.stop()
        # the span of the machine as if it had been there for three days around the end of a month, none of whose hours are in UTC's
        end = datetime.datetime(2026, 4, 2, tzinfo=datetime.timezone.utc)
        with sqlite3.connect(b.data / "weir.db") as db:
            first = db.execute("SELECT from_us, to_us FROM posting ORDER BY id LIMIT 1").fetchone()
            span = [int((end - datetime.timedelta(days=d)).timestamp()) * 10**6 for d in (3, 0)]
            db.execute("UPDATE posting SET from_us = ?, to_us = ? WHERE from_us = ? AND to_us = ?", (*span, *first))
        db.close()
        b.start()
        for zone in ("UTC", "Asia/Kathmandu", "America/New_York", "Europe/Berlin"):
            rows = {r["day"]: r["total_micro"] for r in b.get(f"/v1/bill?by=day&zone={zone}&to=2026-05-01")["rows"]}
            months = {r["month"]: r["total_micro"] for r in b.json("bill", "--by", "month", "--zone", zone, "--to", "2026-05-01")["rows"]}
            z = zoneinfo.ZoneInfo(zone)
            days = {datetime.datetime.fromtimestamp(s // 10**6 + h * 3600, z).date().isoformat() for s in span[:1] for h in range(72)}
            assert set(rows) == days, (zone, rows)
            assert set(months) == {"2026-03", "2026-04"} and sum(months.values()) == sum(rows.values())
            for month, micro in months.items():
                assert b.json("bill", "--zone", zone, "--month", month)["total"]["total_micro"] == micro
                assert sum(v for k, v in rows.items() if k.startswith(month)) == micro
            first_day = min(days)
            assert b.json("bill", "--zone", zone, "--from", "2020-01-01", "--to", sorted(days)[1])["total"]["total_micro"] == rows[first_day]
        assert b.run("bill", "--zone", "Europe/Nowhere").returncode == 2
        assert b.http("GET", "/v1/bill?zone=../etc")[0] == 400


def test_corrections_are_new_postings_on_what_was_used(weir):
    with Broker(weir, config=SANDBOX, gpus="A100:2") as b:
        jobs = work(b)
        lease = next(l for l in b.json("leases", "--all") if l["job"] == jobs[2])
        end = b.get("/v1/bill")["to"]
        span = f"to={end}"
        postings = [tuple(r) for r in ledger(b)]
        before = b.get(f"/v1/bill?by=job,pool&{span}")["total"]
        half = b.get(f"/v1/jobs/{jobs[2]}")["cost_micro"] // 2
        for args in (("credit", "0.000007", "--lease", lease["id"], "--reason", "ticket 4711"),
                     ("charge", "0.25", "--job", jobs[0], "--reason", "egress"),
                     ("charge", "1.000001", "--node", 1, "--to", end, "--reason", "a disk"),
                     ("credit", str(decimal.Decimal(half) / MICRO), "--job", jobs[2], "--reason", "goodwill")):
            b.ok("bill", *args)
            b.balanced()
        after = b.get(f"/v1/bill?by=job,pool&{span}")["total"]
        added = 250000 + 1000001 - 7 - half
        assert after["total_micro"] - before["total_micro"] == added, (before, after)
        assert sum(after[k] - before[k] for k in after if k.startswith("cost_")) == added
        assert after["gpu_hours_milli"] == before["gpu_hours_milli"]
        assert postings == [tuple(r) for r in ledger(b)][:len(postings)]  # nothing that stood there has changed
        assert b.get(f"/v1/jobs/{jobs[0]}")["cost_micro"] >= 250000
        assert micro(export(b, "--to", end)) == after["total_micro"]
        made = b.json("bill", "corrections")
        assert [(c["kind"], c["amount_micro"], c["reason"]) for c in made] == [
            ("credit", -7, "ticket 4711"), ("charge", 250000, "egress"), ("charge", 1000001, "a disk"), ("credit", -half, "goodwill")]
        for args, says in ((("credit", "1000", "--job", jobs[0], "--reason", "x"), "more than"), (("credit", "1", "--job", jobs[0]), "--reason"),
                           (("credit", "1", "--reason", "x"), "give one of"), (("credit", "0", "--job", 1, "--reason", "x"), "above 0"),
                           (("charge", "1", "--lease", 99, "--reason", "x"), "nothing is booked"), (("credits",), "did you mean")):
            result = b.run("bill", *args)
            assert result.returncode != 0 and says in result.stderr, (args, result)
        b.kill()
        b.start()
        b.ok("bill", "charge", "0.01", "--job", jobs[0], "--reason", "after a crash")
        assert [c["id"] for c in b.json("bill", "corrections")] == [1, 2, 3, 4, 5]
        b.balanced()
        b.stop()
        with sqlite3.connect(b.data / "weir.db") as db:
            db.execute("UPDATE posting SET amount_micro = amount_micro + 1 WHERE id = (SELECT max(id) FROM posting WHERE correction <> 0)")
        db.close()
        b.start()
        result = b.run("bill", "--check")
        assert result.returncode == 65 and "its other side" in result.stderr, result


def test_focus_has_its_own_columns(weir):
    with Broker(weir, gpus="A100:1") as b:
        until("a ledger", lambda: b.get("/v1/bill")["total"]["total_micro"] > 0)
        for args in (("--by", "job"), ("--zone", "UTC"), ("--json",), ("--check",)):
            result = b.run("bill", "--format", "focus", *args)
            assert result.returncode == 2 and "do not go together" in result.stderr, result
        assert b.run("bill", "--hourly").returncode == 2


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
