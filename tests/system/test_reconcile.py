#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Providers' bills in every shape in which they come: the same random lines, written as each provider writes them."""
import csv
import datetime
import decimal
import gzip
import io
import json
import random
import sys

import lib
from lib import Broker
from test_bill import SANDBOX, booked, ledger, rented

RATES = {"USD": decimal.Decimal(1), "EUR": decimal.Decimal("1.0842")}
NANO = decimal.Decimal(1_000_000_000)


def iso(t):
    return t.strftime("%Y-%m-%dT%H:%M:%SZ")


class Line:
    """What was billed: of a machine, or of none."""

    def __init__(self, rng, lease, resource, k, name):
        self.lease, self.resource = lease, resource
        self.start = datetime.datetime.fromisoformat(lease["intent"].replace("Z", "+00:00")).replace(minute=0, second=0, microsecond=0)
        self.end = self.start + datetime.timedelta(hours=2)
        if rng.random() < 0.3:  # a part of an hour
            self.end = self.start + datetime.timedelta(minutes=rng.randint(1, 59))
        self.amount = decimal.Decimal(rng.randint(1, 9_999_999)) / decimal.Decimal(10) ** rng.choice([6, 8, 9])
        self.credit = k > 0 and rng.random() < 0.2
        self.amount = -self.amount / 100 if self.credit else self.amount
        self.amount = self.amount.quantize(decimal.Decimal("1e-9"))
        self.currency = rng.choice(list(RATES))
        self.sold = f"{name}-{k}"
        self.words = rng.choice(["plain", 'he said "hours", twice', "over\ntwo lines", "with\r\nboth ends", "ünïcode — ¢"])

    def nano(self):
        return int((self.amount * RATES[self.currency] * NANO).to_integral_value(decimal.ROUND_HALF_UP))

    def text(self, rng):
        """The amount as a provider may write it."""
        return rng.choice([format(self.amount, "f"), format(self.amount, "E"), "+" + format(self.amount, "f") if self.amount > 0 else format(self.amount, "f"),
                           format(self.amount, "f") + "000000"])


def cur(line, rng):
    return {"identity_line_item_id": rng.random(), "line_item_resource_id": f"arn:aws:ec2:us-east-1:1:instance/{line.resource}",
            "line_item_line_item_type": "Credit" if line.credit else "Usage", "line_item_usage_start_date": iso(line.start).replace("Z", ".000Z"),
            "line_item_usage_end_date": iso(line.end).replace("Z", ".000Z"), "line_item_usage_type": line.sold, "line_item_operation": "RunInstances",
            "line_item_unblended_cost": line.text(rng), "line_item_currency_code": line.currency, "resource_tags": "{}",
            "line_item_line_item_description": line.words, "product": '{"a":"b"}'}


def focus(line, rng):
    return {"BilledCost": line.text(rng), "BillingCurrency": line.currency, "ChargeCategory": "Credit" if line.credit else "Usage",
            "ChargePeriodStart": iso(line.start), "ChargePeriodEnd": iso(line.end), "ResourceId": line.resource, "SkuPriceId": line.sold,
            "ChargeDescription": line.words, "Tags": "{}", "EffectiveCost": "1", "ListCost": "2"}


def focus_new(line, rng):
    """FOCUS 1.2 has more columns, and these may be null."""
    return focus(line, rng) | {"InvoiceId": "2026-11", "ChargeClass": "", "PricingCurrency": "JPY", "CapacityReservationId": "", "SkuMeter": "Compute"}


def google(line, rng):
    return {"resource.global_name": f"//compute.googleapis.com/projects/1/zones/z/instances/{line.resource}", "usage_start_time": iso(line.start).replace("T", " ").replace("Z", " UTC"),
            "usage_end_time": iso(line.end).replace("T", " ").replace("Z", " UTC"), "cost": format(line.amount + 3, "f"), "currency": line.currency,
            "credits": json.dumps([{"name": "CUD", "amount": -1.25, "type": "D"}, {"name": line.words, "amount": -1.75}]), "labels": "[]", "sku.id": line.sold,
            "sku.description": line.words, "cost_type": "regular"}


def google_json(line, rng):
    row = google(line, rng)
    return {"billing_account_id": "A", "sku": {"id": row["sku.id"], "description": row["sku.description"]}, "resource": {"name": "x", "global_name": row["resource.global_name"]},
            "usage_start_time": row["usage_start_time"], "usage_end_time": iso(line.end), "cost": "@cost@", "currency": row["currency"], "labels": [{"key": "a", "value": "b"}],
            "credits": json.loads(row["credits"]), "project": None, "cost_type": "regular", "@": row["cost"]}


def azure(line, rng):
    line.end = line.start + datetime.timedelta(hours=2)
    return {"date": line.start.strftime("%m/%d/%Y"), "resourceId": f"/subscriptions/s/resourceGroups/g/providers/x/{line.resource}", "meterId": line.sold,
            "costInBillingCurrency": line.text(rng), "billingCurrency": line.currency, "chargeType": "Refund" if line.credit else "Usage", "tags": '"team": "a"',
            "meterName": line.words}


def azure_older(line, rng):
    return {"Date": line.start.strftime("%Y-%m-%d"), "InstanceId": f"/subscriptions/s/{line.resource}", "MeterId": line.sold, "Cost": line.text(rng),
            "BillingCurrencyCode": line.currency, "ChargeType": "Usage", "Tags": "", "MeterName": line.words}


def write(path, rows, rng, end="\n", mark=False):
    """Columns in an order of their own in each file."""
    out = io.StringIO()
    if "@" in rows[0]:
        for row in rows:
            row = dict(row)
            cost = row.pop("@")
            keys = list(row)
            rng.shuffle(keys)
            out.write(json.dumps({k: row[k] for k in keys}).replace('"@cost@"', rng.choice([cost, f'"{cost}"'])) + end)
    else:
        head = list(rows[0]) + ["unknown"]
        rng.shuffle(head)
        w = csv.DictWriter(out, head, lineterminator=end, restval="more, of it", quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
        w.writeheader()
        w.writerows(rows)
    data = (b"\xef\xbb\xbf" if mark else b"") + out.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


SHAPES = {"cur": (cur, "AWS CUR 2.0", {}), "cur-gz": (cur, "AWS CUR 2.0", {"end": "\r\n"}), "focus": (focus, "FOCUS", {"mark": True}),
          "focus-new": (focus_new, "FOCUS", {"end": "\r\n"}), "google": (google, "Google Cloud detailed export", {}),
          "google-json": (google_json, "Google Cloud detailed export", {}), "azure": (azure, "Azure cost export", {"mark": True, "end": "\r\n"}),
          "azure-older": (azure_older, "Azure cost export", {"mark": True})}


def test_every_shape_of_a_bill_leaves_no_residual(weir):
    with Broker(weir, config=SANDBOX, gpus=None, args=["--no-agent"]) as b:
        _, leases, had = rented(b)
        b.ok("rule", "add", "eur", "exchange", "--currency", "EUR", "--rate", str(RATES["EUR"]), "--from", "2026-01-01")
        total = dict.fromkeys(had, 0)
        for name, (row, form, how) in SHAPES.items():
            rng = random.Random(name)
            files, theirs = [[], []], 0
            for lease in leases:
                for k in range(rng.randint(2, 8)):
                    line = Line(rng, lease, lease["instance"], k, name)
                    files[rng.randrange(2)].append(row(line, rng))
                    total[lease["id"]] += line.nano()
            for f in files:
                for resource in ("i-of-others", "disk"):
                    theirs += 1
                    f.insert(rng.randrange(len(f) + 1), row(Line(rng, leases[0], resource, theirs, f"their-{name}"), rng))
            paths = [b.dir / f"{name}-{i}.{'json' if 'json' in name else 'csv'}{'.gz' if 'gz' in name else ''}" for i in range(2)]
            for path, f in zip(paths, files):
                write(path, f, rng, **how)
            for path, f in zip(paths, files):
                answer = b.json("reconcile", path)
                assert (answer["format"], answer["lines"], answer["residual_micro"], answer["leak_suspects"]) == (form, len(f), 0, []), (name, answer)
                assert sum(x["lines"] for x in answer["foreign"]) == 2, (name, answer)
            got = booked(b)
            assert all(abs(got[k] * 1000 - total[k]) <= 600 for k in got), (name, got, total)
            once = ledger(b)
            copy = b.dir / f"copy-{paths[0].name}"
            copy.write_bytes(paths[0].read_bytes())
            for path in (copy, *reversed(paths)):
                answer = b.json("reconcile", path)
                assert (answer["corrections"], answer["corrected_micro"], answer["residual_micro"]) == (0, 0, 0), (name, answer)
            assert ledger(b) == once, name
        b.balanced()


def test_what_cannot_be_read_says_where(weir):
    with Broker(weir, config=SANDBOX, gpus=None, args=["--no-agent"]) as b:
        b.ok("rule", "add", "eur", "exchange", "--currency", "EUR", "--rate", "1", "--from", "2026-01-01")
        lease = {"intent": "2026-11-20T10:30:00Z"}
        rng = random.Random(1)
        for name, (row, _, how) in SHAPES.items():
            rows = [row(Line(rng, lease, f"i-{k}", k, name), rng) for k in range(3)]
            for r in rows:  # three lines are three lines
                for key in r:
                    r[key] = "x" if r[key] in ("over\ntwo lines", "with\r\nboth ends") else r[key]
            at = "@" if "@" in rows[0] else next(k for k in rows[0] if k in ("line_item_unblended_cost", "BilledCost", "cost", "costInBillingCurrency", "Cost"))
            line, column = (4, at) if at != "@" else (3, "cost")
            for bad, why in (("9223372036854775807", "out of range"), ("-9223372036854775808", "out of range"), ("9.3e9", "out of range"), ("1e300", "out of range"),
                             ("1e-400000", "not an amount"), ("0x10", "not an amount"), ("1,5", "not an amount"), ("NaN", "not an amount")):
                rows[2][at] = bad if at != "@" or bad[0] in "-9" else f'"{bad}"'
                if at == "@" and bad[0] not in "-9":
                    rows[2][at] = bad
                path = b.dir / f"{name}.{'json' if at == '@' else 'csv'}"
                # of JSON the amount stands in quotes: as a number it would be no JSON
                write(path, [{**r, "cost": r["@"]} if at == "@" else r for r in rows], rng, **how)
                result = b.run("reconcile", path)
                words = (f"{path.name}:{line}", column.lower(), why)
                assert result.returncode != 0 and all(w in result.stderr.lower() for w in words), (words, result)
        path = b.dir / "cut.csv.gz"
        write(path, [cur(Line(rng, lease, f"i-{k}", k, "cut"), rng) for k in range(500)], rng)
        path.write_bytes(path.read_bytes()[:-200])
        result = b.run("reconcile", path)
        assert result.returncode != 0 and "cut.csv.gz" in result.stderr and "cut off" in result.stderr, result
        path = b.dir / "open.csv"
        path.write_text('BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd\n1,USD,"Usage,x\ny\n')
        result = b.run("reconcile", path)
        assert result.returncode != 0 and "open.csv:2" in result.stderr and "not closed" in result.stderr, result
        for text, words in (("{\"cost\":1}\n", ("x.json:1", "usage_start_time", "missing")), ("{\"cost\":1\n", ("x.json:1", "column", "no JSON object")),
                            ("[{}]\n", ("x.json", "object in each line"))):
            (b.dir / "x.json").write_text(text)
            result = b.run("reconcile", b.dir / "x.json")
            assert result.returncode != 0 and all(w in result.stderr for w in words), result
        assert b.json("bill", "corrections") == []


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
