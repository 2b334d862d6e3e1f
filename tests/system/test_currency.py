#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A ledger in another currency than USD: fixed at the first start, what is priced in USD by a dated rate, all that is said in its own."""
import csv
import datetime
import decimal
import io
import pathlib
import sqlite3
import subprocess
import sys

import focus
import lib
import rented
from lib import Broker, until
from mockcloud import MockCloud

PRICE, RATE, NEXT_RATE = decimal.Decimal("1.20"), decimal.Decimal("0.921234567"), decimal.Decimal("0.9")
COMMAND = "weir rule add NAME exchange --currency USD --rate RATE"
CONFIG = """currency: EUR
policy: {delay_cost: 0.09}
pools:
  local: {cost: {purchase: 10000 EUR, residual: 1000, life: 35040h, upkeep_per_year: 500, tariff_per_kwh: 0.25, idle_watts: 200, busy_watts: 800}}
providers:
  sandbox: {boot_delay: 0s, mirror: [], currency: USD, offers: [{instance_type: small, gpu: A100, gpus: 1, price: 1.20, cpus: 8, memory: 64G}]}
"""
RENTED = {"name": "rented", "project": "vision", "resources": {"accelerators": {"A100": 1}}, "placement": {"local": "never"}, "max_duration": "10m",
          "run": "sleep 1"}
OWN = {"name": "own", "project": "speech", "resources": {"accelerators": {"A100": 1}}, "placement": {"local": "only"}, "max_duration": "10m", "run": "sleep 1"}


def in_euros(price, rate):
    return int((price * rate * 1_000_000).to_integral_value(decimal.ROUND_CEILING))


def small(b):
    return [o for o in b.get("/v1/offers?gpus=A100:1&cloud=sandbox&launchable=true")["items"] if o["instance_type"] == "small"]


def lease_of(b):
    return b.get("/v1/leases?all=true")["items"][0]


def end_machine(b):
    b.ok("leases", "end", str(lease_of(b)["id"]))
    until("the machine to end", lambda: lease_of(b)["state"] == "ended")


def doctor(b):
    return {c["name"]: c for c in b.get("/v1/status")["checks"]}


def test_without_a_rate_of_usd_nothing_is_rented_and_all_say_so(weir):
    with Broker(weir, config=CONFIG, gpus="A100:1") as b:
        until("the sandbox to answer", lambda: any(f["text"] for f in b.get("/v1/offers?limit=1")["feeds"]))
        assert small(b) == []
        assert f"no rate of USD is in force: {COMMAND}" in b.run("offers", "--gpus", "A100:1").stderr
        told = b.get("/v1/offers?gpus=A100:1&cloud=aws&limit=1")["unpriced"]
        assert [(u["currency"], u["reason"].endswith(COMMAND)) for u in told] == [("USD", True)] and told[0]["offers"] > 0, told
        check = doctor(b)["prices"]
        assert not check["ok"] and check["remedy"] == COMMAND, check
        assert check["text"] == "offers in USD are left out: the ledger is in EUR, and no rate of USD is in force", check
        assert b.run("doctor").returncode == 1
        assert "the ledger is in EUR, and no rate of USD is in force" in (b.dir / "serve.log").read_text()
        status, body = b.http("POST", "/v1/jobs?dry_run=true", RENTED)
        assert status == 200 and COMMAND.encode() in body, (status, body)
        j = b.submit(RENTED)
        assert f"Offers in USD are left out: no rate of USD is in force: {COMMAND}." in b.ok("explain", str(j))
        own = b.submit(OWN)  # what is owned needs no rate
        assert b.wait(own)["state"] == "succeeded"
        b.ok(*COMMAND.replace("NAME", "usd").replace("RATE", str(RATE)).split()[1:])
        assert b.wait(j)["state"] == "succeeded"
        assert lease_of(b)["price_micro_per_hour"] == in_euros(PRICE, RATE)
        check = doctor(b)["prices"]
        assert check["ok"], check
        b.ok("rule", "end", "usd")
        until("it to be left out again", lambda: not doctor(b)["prices"]["ok"] and small(b) == [])
        end_machine(b)
        b.balanced()


def postings(b):
    return b.stored("SELECT debit, credit, amount_micro, currency, original_micro, lease FROM posting")


def cost_of(rows):
    """What providers are owed, in euros and in dollars: account 0 is theirs."""
    rented = [r for r in rows if r[5] > 0]
    return tuple(sum(r[i] for r in rented if r[1] == 0) - sum(r[i] for r in rented if r[0] == 0) for i in (2, 4))


def test_jobs_budgets_bills_and_exports_are_in_euros(weir):
    with Broker(weir, config=CONFIG, gpus="A100:1") as b:
        b.ok("rule", "add", "usd", "exchange", "--currency", "USD", "--rate", str(RATE), "--from", "2026-01-01")
        until("it to be offered", lambda: small(b))
        o = small(b)[0]
        assert (o["price_micro_per_hour"], o["currency"]) == (in_euros(PRICE, RATE), "EUR"), o
        assert (o["original_micro_per_hour"], o["original_currency"], o["exchange_rate"]) == (1_200_000, "USD", str(RATE)), o
        assert "1.11 EUR/h" in b.ok("offers", "--gpus", "A100:1", "--launchable") and "1.20 USD/h at" in b.ok("offers", "--gpus", "A100:1", "--launchable")
        refusals(b)
        b.ok("budget", "set", "vision", "--for", "project:vision", "--amount", "5 EUR")
        assert "5.00 EUR" in b.ok("budget")
        status, body = b.http("POST", "/v1/jobs?dry_run=true", RENTED)
        assert status == 200 and b" EUR" in body and b" USD" not in body, body
        j, own = b.submit(RENTED | {"max_cost": "4", "currency": "EUR"}), b.submit(OWN)
        assert b.wait(j)["currency"] == "EUR" and b.wait(own)["state"] == "succeeded"
        assert " EUR" in b.ok("explain", str(j)) and " USD" not in b.ok("explain", str(j))
        assert b.ok("show", str(j)).count(" EUR") >= 1
        lease = lease_of(b)
        later_rate(b, lease)
        end_machine(b)
        rows = postings(b)
        assert {r[3] for r in rows if r[5] > 0} == {"USD"} and {r[3] for r in rows if r[5] == 0} == {""}, rows
        euros, dollars = cost_of(rows)
        assert dollars == int((euros / RATE).to_integral_value(decimal.ROUND_HALF_UP)), (euros, dollars)
        assert b.get("/v1/budgets/vision")["spent_micro"] == euros
        statements(b, dollars)
        reconciled(b, lease)
        b.balanced()
        b.kill()
        b.start()
        assert b.get("/v1/status")["currency"] == "EUR"
        b.balanced()


def refusals(b):
    """What names another currency is never taken for euros."""
    for args in (["budget", "set", "x", "--for", "organisation", "--amount", "5 USD"], ["project", "set", "vision", "--delay-cost", "$2"],
                 ["policy", "set", "dear", "--effect", "deny", "--price-above", "40 USD"]):
        result = b.run(*args)
        assert result.returncode != 0 and "is in USD, and amounts are in the ledger's currency here, which is EUR" in result.stderr, result
    status, body = b.http("POST", "/v1/jobs", RENTED | {"max_cost": "4", "currency": "USD"})
    assert status == 400 and b"the job's amounts are in USD, and the ledger is in EUR" in body, (status, body)
    result = b.run("run", "--max-cost", "$5", "--", "true")
    assert result.returncode != 0 and "the job's amounts are in USD, and the ledger is in EUR" in result.stderr, result


def later_rate(b, lease):
    """A rate counts from its moment on, for what is quoted then; a machine that runs keeps that of its quote."""
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
    b.ok("rule", "add", "usd-later", "exchange", "--currency", "USD", "--rate", "2", "--from", at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert small(b)[0]["price_micro_per_hour"] == in_euros(PRICE, RATE)
    b.ok("rule", "add", "usd-now", "exchange", "--currency", "USD", "--rate", str(NEXT_RATE))
    until("offers at the new rate", lambda: small(b) and small(b)[0]["price_micro_per_hour"] == in_euros(PRICE, NEXT_RATE))
    now = lease_of(b)
    assert (now["price_micro_per_hour"], now["exchange_rate"]) == (lease["price_micro_per_hour"], str(RATE)), now


def statements(b, dollars):
    bill = b.get("/v1/bill?by=project")
    assert bill["currency"] == "EUR", bill
    assert b.ok("bill").startswith("Amounts in EUR")
    rows = list(csv.DictReader(io.StringIO(b.ok("bill", "--format", "csv"))))
    assert rows and {r["currency"] for r in rows} == {"EUR"}, rows
    exported = list(csv.DictReader(io.StringIO(b.ok("bill", "--format", "focus"))))
    assert {r["BillingCurrency"] for r in exported} == {"EUR"}, exported
    rented = [r for r in exported if r["PublisherName"] == "sandbox"]
    assert rented and {r["PricingCurrency"] for r in rented} == {"USD"}, exported
    assert {r["PricingCurrency"] for r in exported if r not in rented} == {"EUR"}, exported
    assert sum(decimal.Decimal(r["PricingCurrencyEffectiveCost"]) for r in rented) == decimal.Decimal(dollars) / 1_000_000, rented
    status, text = b.http("GET", "/metrics")
    costs = [line for line in text.decode().splitlines() if line.startswith("weir_cost{") or line.startswith("weir_rate_per_hour{")]
    assert status == 200 and costs and all('currency="EUR"' in line for line in costs), text
    assert "10000.00 EUR" in b.ok("pools", "--cost") and "USD" not in b.ok("pools", "--cost")


def reconciled(b, lease):
    """The provider bills in its own currency: each line at the rate of the day on which it begins, which is the one that was added last."""
    invoice = b.dir / "invoice.csv"
    day = lease["intent"][:10]
    invoice.write_text("BilledCost,BillingCurrency,ChargeCategory,ChargePeriodStart,ChargePeriodEnd,ResourceId,SkuPriceId,ChargeDescription,Tags\n"
                       f"0.5,USD,Usage,{day}T00:00:00Z,{lease['expires'][:10]}T23:59:59Z,{lease['instance']},x,machine,{{}}\n")
    for _ in range(2):
        answer = b.json("reconcile", str(invoice), "--rate", "USD=0.95")
        assert answer["leases"][0]["residual_micro"] == 0 and answer["currency"] == "EUR", answer
    assert cost_of(postings(b)) == (475_000, 500_000), postings(b)


def test_a_live_feed_in_usd_counts_at_the_rate_and_goes_with_it(weir):
    """Also where the provider answers no more when its rate ends."""
    dialect, options, section, env, _ = rented.CLOUDS["lambda"]
    with MockCloud(dialect, options=options) as cloud, \
            Broker(weir, config="currency: EUR\npolicy: {delay_cost: 0.09}\nproviders:\n  lambda:" + section.format(url=cloud.url, dir=cloud.dir, weir=weir), gpus=None, args=["--no-agent"], env=env) as b:
        def offered():
            return [o for o in b.get("/v1/offers?cloud=lambda&launchable=true")["items"] if o["launchable"]]
        until("its prices to be left out", lambda: "offers are left out: no rate of USD is in force" in (b.get("/v1/offers?limit=1")["feeds"][0]["text"] or ""))
        assert offered() == [] and not doctor(b)["prices"]["ok"]
        b.ok("rule", "add", "usd", "exchange", "--currency", "USD", "--rate", str(RATE))
        until("its prices to be offered", offered)
        for o in offered():
            dollars = decimal.Decimal(o["original_micro_per_hour"]) / 1_000_000
            assert (o["price_micro_per_hour"], o["original_currency"]) == (in_euros(dollars, RATE), "USD"), o
        cloud.fault("server_error", on="offers", times=-1, status=500)
        b.ok("rule", "end", "usd")
        until("them to be left out again", lambda: offered() == [])


def refused(b):
    """Starts and must not: what it says."""
    result = subprocess.run([b.weir, "serve", "--listen", "127.0.0.1:0", "--no-agent", "--data", str(b.data), "--config", str(b.dir / "weir.yaml")], env=b.env,
                            capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode != 0, result
    return result.stderr


def test_the_currency_is_that_of_the_first_start(weir):
    with Broker(weir, config="currency: EUR\npolicy: {delay_cost: 0.09}\n", gpus=None, args=["--no-agent"]) as b:
        b.stop()
        for said, text in (("JPY", "currency: JPY\npolicy: {delay_cost: 15}\n"), ("USD (or nothing)", "log_bytes_max: 1M\n")):
            (b.dir / "weir.yaml").write_text(text)
            assert f"is in EUR since its first start, and the configuration says {said}: say 'currency: EUR' there, or begin another ledger with --data DIR" in refused(b)
        with sqlite3.connect(b.data / "weir.db") as db:  # as a version left it that knew USD only
            db.execute("DELETE FROM meta WHERE key = 'currency'")
        db.close()
        (b.dir / "weir.yaml").write_text("currency: EUR\npolicy: {delay_cost: 0.09}\n")
        assert "is in USD since its first start, and the configuration says EUR" in refused(b)
        (b.dir / "weir.yaml").write_text("currency: USD\n")
        b.start()
        assert b.get("/v1/status")["currency"] == "USD"


def test_yen_have_no_minor_unit(weir):
    config = ("currency: JPY\npolicy: {delay_cost: 15}\npools: {local: {cost: {purchase: 3000000, residual: 300000, life: 35040h, upkeep_per_year: 150000, "
              "tariff_per_kwh: 31}}}\nproviders: {sandbox: {boot_delay: 0s, mirror: [], offers: [{instance_type: yen, gpu: A100, gpus: 1, price: 180}, "
              "{instance_type: usd, gpu: A100, gpus: 1, price: 3.20, currency: USD}]}}\n")
    with Broker(weir, config=config, gpus="A100:1") as b:
        b.ok("rule", "add", "usd", "exchange", "--currency", "USD", "--rate", "150.25")
        until("both to be offered", lambda: len([o for o in b.get("/v1/offers?cloud=sandbox&launchable=true")["items"] if o["provider"] == "sandbox"]) == 2)
        table = b.ok("offers", "--gpus", "A100:1", "--launchable")
        assert "180 JPY/h" in table and "481 JPY/h" in table and "3.20 USD/h at 150.25" in table, table
        b.ok("budget", "set", "all", "--for", "organisation", "--amount", "250000")
        assert "250000 JPY" in b.ok("budget") and b.get("/v1/budgets/all")["amount_micro"] == 250_000_000_000
        assert "3000000 JPY" in b.ok("pools", "--cost")
        j = b.submit(RENTED | {"project": "default"})
        assert b.wait(j)["currency"] == "JPY" and "180 JPY per hour" in b.ok("explain", str(j))
        end_machine(b)
        assert {r[3] for r in postings(b)} == {""}
        b.balanced()


def test_the_public_validator_accepts_a_ledger_in_euros(weir):
    program = focus.validator(pathlib.Path(weir).parent / "focus")
    with Broker(weir, config=CONFIG, gpus="A100:1") as b:
        b.ok("rule", "add", "usd", "exchange", "--currency", "USD", "--rate", str(RATE), "--from", "2026-01-01")
        until("it to be offered", lambda: small(b))
        for j in (b.submit(RENTED), b.submit(OWN)):
            assert b.wait(j)["state"] == "succeeded"
        end_machine(b)
        file = b.dir / "focus.csv"
        file.write_text(b.ok("bill", "--format", "focus", "--issuer", "Example Lab"))
        assert {(r["BillingCurrency"], r["PricingCurrency"]) for r in csv.DictReader(file.open())} == {("EUR", "USD"), ("EUR", "EUR")}
        found = focus.failures(program, file)
        assert not found, "\n".join(found)


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
