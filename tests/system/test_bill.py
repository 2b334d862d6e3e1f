#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The bill as others read it: exports by the FOCUS specification, statements of spans, corrections."""
import csv
import datetime
import decimal
import gzip
import io
import json
import pathlib
import random
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
    return b.stored("SELECT * FROM posting ORDER BY id")


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


def test_focus_1_3_says_who_provides_and_who_hosts(weir):
    with Broker(weir, config=SANDBOX, gpus="A100:2") as b:
        work(b)
        args = ("--from", "2020-01-01T00:00:00Z", "--to", b.get("/v1/bill")["to"], "--issuer", "Example Lab")
        before, rows = export(b, *args, "--focus-version", "1.2"), export(b, *args, "--focus-version", "1.3")
        assert export(b, *args) == before
        assert not focus.differs_from_1_3(rows), focus.differs_from_1_3(rows)
        assert set(rows[0]) - set(before[0]) == focus.ADDED
        assert [{c: r[c] for c in before[0]} for r in rows] == before  # nothing else differs
        hosts = {(r["ServiceName"], r["ServiceProviderName"], r["HostProviderName"]) for r in rows}
        assert hosts == {("Owned machines", "Example Lab", "Example Lab"), ("Rented machines", "Example Lab", "sandbox")}, hosts
        assert not any(r["AllocatedMethodId"] for r in rows)


def test_the_public_validator_accepts_the_export(weir):
    program = focus.validator(pathlib.Path(weir).parent / "focus")
    with Broker(weir, config=SANDBOX, gpus="A100:2") as b:
        work(b)
        file = b.dir / "focus.csv"
        for args in ((), ("--hourly",), ("--focus-version", "1.3")):  # of 1.3 what it shares with 1.2
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
                     ("charge", "1.000001", "--node", 1, "--reason", "a disk"),
                     ("credit", str(decimal.Decimal(half) / MICRO), "--job", jobs[2], "--reason", "goodwill")):
            b.ok("bill", *args, "--to", end)  # rented machines are idle on after it
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
                           (("charge", "1", "--lease", 99, "--reason", "x"), "lease 99 does not exist"), (("credits",), "did you mean")):
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


CUR = ["identity_line_item_id", "line_item_resource_id", "line_item_line_item_type", "line_item_usage_start_date", "line_item_usage_end_date",
       "line_item_usage_type", "line_item_operation", "line_item_unblended_cost", "line_item_currency_code", "resource_tags", "x" * 40]


def cur_line(resource, start, micro, kind="Usage", what="BoxUsage:p5", currency="USD", tags=""):
    hour = datetime.datetime.fromisoformat(start.replace("Z", "+00:00")).replace(minute=0, second=0, microsecond=0)
    end = hour + datetime.timedelta(hours=1)
    return ["id", resource, kind, hour.strftime("%Y-%m-%dT%H:%M:%S.000Z"), end.strftime("%Y-%m-%dT%H:%M:%S.000Z"), what, "RunInstances",
            str(decimal.Decimal(micro) / MICRO), currency, tags, "padding, quoted"]


def write_csv(path, head, rows):
    opened = gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="")
    with opened as f:
        csv.writer(f).writerows([head, *rows])


def rented(b):
    """Work on rented machines, which are given back: lease -> what is booked for it."""
    jobs = [b.submit({"name": f"j{i}", "project": f"p{i}", "resources": {"accelerators": {"T4": 1}}, "run": "sleep 1"}) for i in range(3)]
    for job in jobs:
        b.wait(job)
    leases = b.json("leases", "--all")
    for lease in leases:
        if lease["ended"] is None:
            b.run("leases", "end", lease["id"])  # it may be over by now
    until("the leases to end", lambda: all(l["ended"] for l in b.json("leases", "--all")))
    return jobs, b.json("leases", "--all"), booked(b)


def booked(b):
    sums = {}
    for c in b.get("/v1/charges")["items"]:
        if c["lease"] is not None:
            sums[c["lease"]] = sums.get(c["lease"], 0) + c["amount_micro"]
    return sums


def sums_of(answer):
    return {k: answer[k] for k in ("invoiced_micro", "booked_micro", "corrected_micro", "residual_micro")}


def test_a_bill_of_aws_corrects_the_ledger_once(weir):
    with Broker(weir, config=SANDBOX, gpus=None, args=["--no-agent"]) as b:
        jobs, leases, had = rented(b)
        assert len(leases) >= 1 and all(v > 0 for v in had.values()), (leases, had)
        owner = b.stored("SELECT value FROM meta WHERE key = 'installation'")[0][0]
        rows, want = [], {}
        for l in leases:
            arn = f"arn:aws:ec2:us-east-1:123456789012:instance/{l['instance']}"
            cost = had[l["id"]]
            want[l["id"]] = cost + 1000 + 77 - 30
            rows += [cur_line(arn, l["intent"], cost), cur_line(arn, l["intent"], 1000),  # two lines that differ in nothing but the amount
                     cur_line("vol-1", l["intent"], 77, what="EBS:VolumeUsage.gp3", tags=json.dumps({"user_weir": f"{owner}-{l['id']}"})),
                     cur_line(arn, l["intent"], -30, kind="Credit")]
        rows += [cur_line("i-leaked", leases[0]["intent"], 5_000_000, tags=json.dumps({"user_weir": owner})),
                 cur_line("i-theirs", leases[0]["intent"], 7_000_000), cur_line("", leases[0]["intent"], 190_000, kind="Tax")]
        file = b.dir / "cur.csv.gz"
        write_csv(file, CUR, rows)
        before = ledger(b)
        answer = b.json("reconcile", file)
        assert (answer["format"], answer["lines"], answer["corrections"]) == ("AWS CUR 2.0", len(rows), 1), answer
        assert sums_of(answer) == {"invoiced_micro": sum(want.values()), "booked_micro": sum(had.values()),
                                   "corrected_micro": sum(want.values()) - sum(had.values()), "residual_micro": 0}, answer
        assert answer["leak_suspects"] == [{"name": "i-leaked", "lines": 1, "amount_micro": 5_000_000}], answer
        assert [f["name"] for f in answer["foreign"]] == ["i-theirs"]
        assert answer["without_resource"] == [{"name": "Tax", "lines": 1, "amount_micro": 190_000}]
        assert booked(b) == want
        assert ledger(b)[:len(before)] == before
        assert any(b.get(f"/v1/jobs/{j}")["cost_micro"] > 0 for j in jobs)
        b.balanced()
        once = ledger(b)
        b.kill()
        b.start()
        again = b.json("reconcile", file)
        assert again["corrections"] == 0 and sums_of(again)["corrected_micro"] == 0 and sums_of(again)["residual_micro"] == 0, again
        assert ledger(b) == once  # twice is the same as once
        # late lines in a file of their own, one of which restates a line that was there
        first = leases[0]
        arn = f"arn:aws:ec2:us-east-1:123456789012:instance/{first['instance']}"
        write_csv(b.dir / "late.csv", CUR, [cur_line(arn, first["intent"], 400, what="DataTransfer-Out-Bytes"),
                                            cur_line(arn, first["intent"], -50, kind="Credit")])
        b.json("reconcile", b.dir / "late.csv")
        want[first["id"]] += 400 - 20
        assert booked(b) == want
        b.balanced()
        text = b.ok("reconcile", file)  # the restated line is back, the late one stays
        want[first["id"]] += 20
        assert booked(b) == want and "i-leaked" in text and "residual" in text, text
        assert [c["kind"] for c in b.json("bill", "corrections")] == ["reconcile"] * 3


def test_other_bills_are_read_as_well(weir):
    with Broker(weir, config=SANDBOX, gpus=None, args=["--no-agent"]) as b:
        _, leases, had = rented(b)
        l = leases[0]
        day = l["intent"][:10]
        hours = (f"{l['intent'][:13]}:00:00Z", (datetime.datetime.fromisoformat(l["ended"].replace("Z", "+00:00")) + datetime.timedelta(hours=1))
                 .strftime("%Y-%m-%dT%H:00:00Z"))
        want = had[l["id"]]
        own = b.dir / "own.csv"
        own.write_text(b.ok("bill", "--format", "focus"))
        answer = b.json("reconcile", own)  # our own bill says what is booked
        assert (answer["format"], answer["corrections"], answer["residual_micro"]) == ("FOCUS", 0, 0), answer
        files = {
            "Google Cloud detailed export": (["resource.global_name", "usage_start_time", "usage_end_time", "cost", "currency", "credits", "labels",
                                              "sku.id", "cost_type"],
                                             [[f"//compute.googleapis.com/projects/1/zones/z/instances/{l['instance']}",
                                               hours[0].replace("T", " ").replace("Z", " UTC"), hours[1].replace("T", " ").replace("Z", " UTC"),
                                               "1.5E-3", "USD", '[{"name":"CUD","amount":-0.0005,"type":"D"}]', "[]", "AA-BB", "regular"]], 1000),
            "Azure cost export": (["Date", "ResourceId", "MeterId", "CostInBillingCurrency", "BillingCurrencyCode", "ChargeType", "Tags"],
                                  [[f"{day[5:7]}/{day[8:]}/{day[:4]}", f"/subscriptions/s/resourceGroups/g/providers/x/{l['instance']}", "m1", "0.002",
                                    "EUR", "Usage", '"team": "a"']], 2168),
        }
        for name, (head, rows, more) in files.items():
            file = b.dir / "bill.csv"
            write_csv(file, head, rows)
            if "EUR" in rows[0]:
                result = b.run("reconcile", file)
                assert result.returncode == 2 and "--rate EUR=" in result.stderr and "bill.csv:2" in result.stderr, result
                assert f"no rate of EUR in USD on {day}" in result.stderr, result
                b.ok("rule", "add", "eur-old", "exchange", "--currency", "EUR", "--rate", "9", "--until", day, "--from", "2026-01-01")
                assert f"no rate of EUR in USD on {day}" in b.run("reconcile", file).stderr
                b.ok("rule", "add", "eur", "exchange", "--currency", "EUR", "--rate", "1.084", "--from", day)
            answer = b.json("reconcile", file)
            foreign = [c for c in b.get("/v1/charges")["items"] if c["original_currency"] == "EUR"]
            if "EUR" in rows[0]:
                compared = answer["leases"][0]
                assert (compared["billed_currency"], compared["billed_micro"]) == (None, 0), compared  # lines of other bills are in USD
                assert foreign == [], foreign
            want += more
            assert answer["format"] == name and answer["residual_micro"] == 0, answer
            assert booked(b)[l["id"]] == want, (name, booked(b), want)
            b.balanced()


def test_generated_bills_leave_no_residual(weir):
    """Late rows, credits, parts of hours, lines of others, another currency at dated rates; in any order, and twice."""
    rates = {"USD": decimal.Decimal(1)}
    with Broker(weir, config=SANDBOX, gpus=None, args=["--no-agent"]) as b:
        _, leases, had = rented(b)
        day = leases[0]["intent"][:10]
        b.ok("rule", "add", "eur-old", "exchange", "--currency", "EUR", "--rate", "9", "--from", "2026-01-01", "--until", day)
        b.ok("rule", "add", "eur", "exchange", "--currency", "EUR", "--rate", "1.0842", "--from", day)
        b.ok("rule", "add", "gbp", "exchange", "--currency", "GBP", "--rate", "1.25", "--from", "2026-01-01")
        rates |= {"EUR": decimal.Decimal("1.0842"), "GBP": decimal.Decimal("1.25")}
        for seed in range(4):
            rng = random.Random(seed)
            files, want, nano = [[], [], []], dict.fromkeys(had, decimal.Decimal(0)), dict.fromkeys(had, 0)
            for n, l in enumerate(leases):
                arn = f"arn:aws:ec2:us-east-1:1:instance/{l['instance']}"
                for k in range(rng.randint(3, 12)):
                    currency = "EUR" if n == 0 else rng.choice(["USD", "EUR", "GBP"])
                    credit = k > 0 and rng.random() < 0.2
                    amount = -rng.randint(1, 50) if credit else rng.randint(100, 5000)
                    line = cur_line(arn, l["intent"], amount, kind="Credit" if credit else "Usage", what=f"part-{seed}-{k}", currency=currency)
                    if k > 0 and rng.random() < 0.5:
                        line[3:5] = l["intent"], l["ended"]  # a part of an hour
                    files[0 if k == 0 else 2 if credit else rng.randrange(3)].append(line)
                    nano[l["id"]] += int((decimal.Decimal(amount * 1000) * rates[currency]).to_integral_value(decimal.ROUND_HALF_UP))
            for f in files:
                f += [cur_line(f"i-other-{rng.random()}", leases[0]["intent"], rng.randint(1, 9999), currency="GBP"),
                      cur_line("", leases[0]["intent"], 77, kind="Tax", currency="EUR")]
                rng.shuffle(f)
            paths = [b.dir / f"{seed}-{i}.csv.gz" for i in range(len(files))]
            for path, f in zip(paths, files):
                write_csv(path, CUR, f)
            for path in paths:
                answer = b.json("reconcile", path)
                assert answer["residual_micro"] == 0 and answer["leak_suspects"] == [], answer
            b.balanced()
            once = ledger(b)
            for path in rng.sample(paths, len(paths)):
                answer = b.json("reconcile", path)
                assert (answer["corrections"], answer["corrected_micro"], answer["residual_micro"]) == (0, 0, 0), answer
            assert ledger(b) == once
            total = {k: total_nano[k] + nano[k] for k in nano} if seed else nano
            total_nano = total
            got = booked(b)
            assert all(abs(got[k] * 1000 - total_nano[k]) <= 600 for k in got), (got, total_nano)
        # the first lease was billed in one other currency: that is kept beside each of its corrections
        first = leases[0]["id"]
        kept = [c for c in b.get("/v1/charges")["items"] if c["lease"] == first and c["original_currency"] is not None]
        assert kept and {c["original_currency"] for c in kept} == {"EUR"}
        assert all(abs(decimal.Decimal(c["original_micro"]) * rates["EUR"] - c["amount_micro"]) <= 3 * len(kept) for c in kept), kept
        rows = list(csv.DictReader(io.StringIO(b.ok("bill", "--format", "focus"))))
        foreign = [r for r in rows if r["PricingCurrency"] == "EUR"]
        assert foreign and all(r["BillingCurrency"] == "USD" for r in foreign)
        assert micro(foreign, "PricingCurrencyEffectiveCost") == sum(c["original_micro"] for c in kept)
        assert micro(rows) == sum(r["total_micro"] for r in b.json("bill")["rows"])


def test_bad_bills_say_where(weir):
    with Broker(weir, config=SANDBOX, gpus=None, args=["--no-agent"]) as b:
        good = cur_line("i-1", "2026-11-01T00:00:00Z", 5)
        for rows, says in (([good, good[:7] + ["12x"] + good[8:]], ["bad.csv:3", "line_item_unblended_cost", "not an amount"]),
                           ([good[:3] + ["yesterday"] + good[4:]], ["bad.csv:2", "line_item_usage_start_date"]),
                           ([good[:4] + ["2026-10-01T00:00:00Z"] + good[5:]], ["line_item_usage_end_date", "before it begins"]),
                           ([good[:8] + ["QQQ"] + good[9:]], ["bad.csv:2", "--rate QQQ="])):
            write_csv(b.dir / "bad.csv", CUR, rows)
            result = b.run("reconcile", b.dir / "bad.csv")
            assert result.returncode != 0 and all(s in result.stderr for s in says), (says, result)
        (b.dir / "bad.csv").write_text("a,b\n1,2\n")
        assert "is no bill that is known" in b.run("reconcile", b.dir / "bad.csv").stderr
        assert b.run("reconcile", b.dir / "absent.csv").returncode != 0
        assert b.json("bill", "corrections") == []


def test_focus_has_its_own_columns(weir):
    with Broker(weir, gpus="A100:1") as b:
        until("a ledger", lambda: b.get("/v1/bill")["total"]["total_micro"] > 0)
        for args in (("--by", "job"), ("--zone", "UTC"), ("--json",), ("--check",)):
            result = b.run("bill", "--format", "focus", *args)
            assert result.returncode == 2 and "do not go together" in result.stderr, result
        for args in (("--hourly",), ("--issuer", "x"), ("--focus-version", "1.3"), ("--json", "--format", "csv"), ("--json", "--format", "table"), ("--format", "focus", "--view", "carbon"),
                     ("--month", "2026-11", "--from", "2026-11-01"), ("--check", "--view", "price"), ("--lease", 1), ("closes", "--view", "price"),
                     ("close", "2026-10", "--month", "2026-10")):  # an option that would say nothing
            result = b.run("bill", *args)
            assert result.returncode == 2 and result.stdout == "" and "--" in result.stderr, result
        assert "x_CarbonGrams" in b.run("bill", "--format", "focus", "--view", "carbon").stderr
        for what in ("job", "lease", "node"):
            assert f"{what} 99 does not exist" in b.run("bill", "charge", "1", f"--{what}", 99, "--reason", "x").stderr
        assert "--month" in b.run("bill", "credit", "1", "--job", 1, "--reason", "x", "--month", "2026-11").stderr


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
