#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Machines that are priced in another currency than the ledger's: offered, held, billed, reconciled and exported by a dated rate."""
import csv
import decimal
import io
import json
import pathlib
import sys

import focus
import lib
from lib import Broker, until

HEAD = ("provider,instance_type,region,zone,gpu,gpus,gpu_mem_mib,vcpus,memory_gib,market,price_per_hour,currency,basis,"
        "reclaim_ppm_per_hour,source,date\n")
PROVIDERS = ("provider,bill_quantum,bill_minimum,boot_expected,reclaim_notice,reclaim_ppm_per_hour,egress_per_gib,assumed,source,date\n"
             "euro,1s,0s,2s,0s,0,0,,test,2026-11-01\n")
PRICE, RATE = decimal.Decimal("1.999999"), decimal.Decimal("1.084237")
CONFIG = "catalogue: {dir}\nproviders: {{sandbox: {{boot_delay: 0s, mirror: [euro]}}}}\n"


def euro_broker(weir):
    b = Broker(weir, config="{}", gpus=None, args=["--no-agent"])
    lists = b.dir / "lists"
    lists.mkdir()
    (lists / "providers.csv").write_text(PROVIDERS)
    (lists / "euro.csv").write_text(HEAD + f"euro,small,eu,,A100,1,,8,64,on_demand,{PRICE},EUR,list,,a list,2026-11-01\n")
    (b.dir / "weir.yaml").write_text(CONFIG.format(dir=lists))
    return b


def offers(b, *args):
    return [o for o in b.json("offers", "--gpus", "A100", *args) if o["provider"] in ("euro", "sandbox")]


def launchable(b):
    return [o for o in offers(b, "--launchable") if o["verdict"].startswith("included")]


def postings(b):
    return b.stored("SELECT debit, amount_micro, currency, original_micro, correction, credit FROM posting WHERE lease > 0")


def test_without_a_rate_it_is_refused_and_with_one_it_is_rented(weir):
    with euro_broker(weir) as b:
        until("the provider to answer", lambda: b.get("/v1/offers?limit=1")["feeds"])
        assert launchable(b) == []
        refused = [o for o in offers(b, "--all") if o["verdict"] == "currency"]
        assert refused and refused[0]["original_currency"] == "EUR" and refused[0]["original_micro_per_hour"] == 1999999, refused
        command = refused[0]["reason"].split(": ", 1)[1]
        assert command == "weir rule add NAME exchange --currency EUR --rate RATE", refused
        assert command in b.ok("offers", "--gpus", "A100", "--all") and "2.00 EUR/h" in b.ok("offers", "--gpus", "A100", "--all")
        job = {"name": "t", "project": "vision", "resources": {"accelerators": {"A100": 1}}, "max_duration": "10m", "run": "sleep 2"}
        b.ok(*command.replace("NAME", "eur").replace("RATE", str(RATE)).split()[1:])
        until("it to be offered", lambda: launchable(b))
        price = int((PRICE * RATE * 1_000_000).to_integral_value(decimal.ROUND_CEILING))
        o = launchable(b)[0]
        assert (o["price_micro_per_hour"], o["exchange_rate"], o["original_micro_per_hour"]) == (price, str(RATE), 1999999), o
        b.ok("budget", "set", "vision", "--for", "project:vision", "--amount", "5")
        j = b.submit(job)
        assert b.wait(j)["state"] == "succeeded"
        lease = b.get("/v1/leases?all=true")["items"][0]
        assert (lease["price_micro_per_hour"], lease["original_currency"], lease["exchange_rate"]) == (price, "EUR", str(RATE)), lease
        # a rate of today does not change what was agreed
        b.ok("rule", "add", "eur2", "exchange", "--currency", "EUR", "--rate", "2")
        until("the dearer offer", lambda: launchable(b) and launchable(b)[0]["price_micro_per_hour"] == 3999998)
        b.kill()
        b.start()
        lease = b.get("/v1/leases?all=true")["items"][0]
        assert (lease["price_micro_per_hour"], lease["exchange_rate"]) == (price, str(RATE)), lease
        until("the dearer offer, after a restart", lambda: launchable(b) and launchable(b)[0]["price_micro_per_hour"] == 3999998)
        b.run("leases", "end", str(lease["id"]))  # it may be over by now
        until("the machine to end", lambda: b.get(f"/v1/leases?all=true")["items"][0]["state"] == "ended")
        b.balanced()
        check_books(b, lease)
        reconciled(b, lease)
        b.balanced()


def check_books(b, lease):
    rows = postings(b)
    assert rows and all(r[2] == "EUR" for r in rows), rows
    cost = [r for r in rows if r[5] == 0]  # from the provider
    use = [r for r in rows if r[5] == 4]  # off the node
    amount, euros = sum(r[1] for r in cost), sum(r[3] for r in cost)
    assert (amount, euros) == (sum(r[1] for r in use), sum(r[3] for r in use)), rows
    assert euros == int((amount / RATE).to_integral_value(decimal.ROUND_HALF_UP)), (amount, euros)
    assert b.get("/v1/budgets/vision")["spent_micro"] == amount
    exported = list(csv.DictReader(io.StringIO(b.ok("bill", "--format", "focus"))))
    assert {(r["BillingCurrency"], r["PricingCurrency"]) for r in exported} == {("USD", "EUR")}, exported
    assert sum(decimal.Decimal(r["PricingCurrencyEffectiveCost"]) for r in exported) == decimal.Decimal(euros) / 1_000_000, exported
    for r in exported:
        if r["ChargeCategory"] == "Usage":
            product = decimal.Decimal(r["PricingCurrencyListUnitPrice"]) * decimal.Decimal(r["PricingQuantity"])
            assert abs(product - decimal.Decimal(r["PricingCurrencyEffectiveCost"])) < decimal.Decimal("0.0000001"), r


def reconciled(b, lease):
    """The provider bills half a euro by a rate of its own day: the ledger ends at both."""
    invoice = b.dir / "invoice.csv"
    day = lease["intent"][:10]
    invoice.write_text("BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ResourceId,SkuPriceId,ChargeDescription,Tags\n"
                       f"0.5,EUR,Usage,{day}T00:00:00Z,{lease['expires'][:10]}T23:59:59Z,{lease['instance']},x,machine,{{}}\n")
    for _ in range(2):
        answer = b.json("reconcile", str(invoice), "--rate", "EUR=1.1")
        assert answer["leases"][0]["residual_micro"] == 0, answer
    rows = postings(b)
    amount = sum(r[1] for r in rows if r[5] == 0) - sum(r[1] for r in rows if r[0] == 0)
    euros = sum(r[3] for r in rows if r[5] == 0) - sum(r[3] for r in rows if r[0] == 0)
    assert (amount, euros) == (550_000, 500_000), (amount, euros)


def test_the_public_validator_accepts_euros_corrections_and_prices(weir):
    program = focus.validator(pathlib.Path(weir).parent / "focus")
    with euro_broker(weir) as b:
        b.ok("rule", "add", "eur", "exchange", "--currency", "EUR", "--rate", str(RATE), "--from", "2026-01-01")
        b.ok("rule", "add", "house", "markup", "--percent", "8", "--from", "2026-11-01")
        until("it to be offered", lambda: launchable(b))
        tags = {"team": 'a "b", c', "words": "ünïcode — ¢", "path": "C:\\new\\table", "sum": "=1+1"}
        j = b.submit({"name": 'a "job", of two', "project": "vision", "tags": tags, "resources": {"accelerators": {"A100": 1}},
                      "max_duration": "10m", "run": "sleep 1"})
        assert b.wait(j)["state"] == "succeeded"
        lease = b.get("/v1/leases?all=true")["items"][0]
        b.run("leases", "end", str(lease["id"]))  # it may be over by now
        until("the machine to end", lambda: b.get("/v1/leases?all=true")["items"][0]["state"] == "ended")
        b.ok("bill", "credit", "0.0001", "--job", str(j), "--reason", 'he said: "half"')
        b.ok("bill", "charge", "3.20", "--lease", str(lease["id"]), "--reason", "egress")
        invoice = b.dir / "invoice.csv"
        day = lease["intent"][:10]
        invoice.write_text("BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ResourceId,SkuPriceId,ChargeDescription,Tags\n"
                           f"0.5,EUR,Usage,{day}T00:00:00Z,{lease['expires'][:10]}T23:59:59Z,{lease['instance']},x,machine,{{}}\n")
        b.ok("reconcile", str(invoice))
        b.balanced()
        file = b.dir / "focus.csv"
        for args in (("--hourly",), ("--view", "price"), ("--view", "price", "--focus-version", "1.3")):
            text = b.ok("bill", "--format", "focus", "--issuer", 'Example "Lab", of ours', *args)
            file.write_text(text)
            rows = list(csv.DictReader(io.StringIO(text)))
            assert {r["PricingCurrency"] for r in rows} == {"EUR", "USD"}, rows
            assert any(json.loads(r["Tags"]).get("sum") == "=1+1" for r in rows), rows
            found = focus.failures(program, file)
            assert not found, "\n".join(found)


def test_only_currencies_have_rates(weir):
    with Broker(weir, gpus=None, args=["--no-agent"]) as b:
        for currency, rate, says in (("USD", "1.1", "USD is the ledger's own"), ("XQZ", "1.1", "'XQZ' is no code of ISO 4217"), ("eur", "1.1", "'eur' is no code"),
                                     ("XAU", "4000", "'XAU' is no code"), ("EUR", "0", "rate: it must be above 0"), ("EUR", "-1", "rate: it must not be below 0")):
            result = b.run("rule", "add", "r", "exchange", "--currency", currency, "--rate", rate)
            assert result.returncode == 2 and says in result.stderr, (currency, rate, result)
        assert b.json("rule") == []
        b.ok("rule", "add", "r", "exchange", "--currency", "EUR", "--rate", "0.000000001")


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
