# SPDX-License-Identifier: Apache-2.0
"""Prices that change while a machine runs: what the ledger charges is what a sum over its seconds says, by the provider's own books."""
import contextlib
import json
import re
import sqlite3
import sys
import time

import lib
from lib import until
from rented import broker, cloud as mock, leases, nothing_left, only_there

US = 10**6
HOUR = 3600 * US


def charged(b, lease):
    """What the provider account was charged for the lease, from when until when (in microseconds)."""
    return b.stored("SELECT sum(amount_micro), min(from_us), max(to_us) FROM posting WHERE lease = ? AND credit = 0 AND correction = 0", lease)[0]


def cost(steps, quote, since, until_us):
    """The sum over every microsecond at the price of its time, rounded once; whole seconds of them, and a minute at least. steps: the
    provider's own changes, as factors on the quote."""
    until_us = since + -(-max(until_us - since, 60 * US) // US) * US
    total = 0
    for at, (second, factor) in enumerate(steps):
        begin = max(second * US, since)
        end = min(steps[at + 1][0] * US if at + 1 < len(steps) else until_us, until_us)
        total += max(end - begin, 0) * round(quote * factor)
    return (total + HOUR // 2) // HOUR


def told(b, lease, micro):
    """Has the provider asked for its prices, until the lease's price in force is that one."""
    def now():
        b.json("offers", "--live")
        found = [x for x in b.get("/v1/leases?all=true")["items"] if x["id"] == lease]
        return found and found[0]["price_now_micro_per_hour"] == micro and found[0]
    return until(f"lease {lease} to cost {micro}", now, every_s=0.3)


def charged_exactly(b, cloud, job, lease, quote):
    """Ends all once the job has: what was charged for the lease is what the provider's prices come to. Gives it, and the prices."""
    assert b.wait(job)["state"] == "succeeded", b.tasks(job)
    for each in leases(b):
        b.run("leases", "end", each["id"])
    nothing_left(b, cloud)
    steps = cloud.inventory()["prices"]
    micro, since, end = charged(b, lease)
    assert micro == cost(steps, quote, since, end), (micro, steps, quote, since, end)
    return micro, steps


def spot_job(cloud, **more):
    spec = only_there(cloud, **more)
    spec["resources"]["use_spot"] = True
    return spec


def rented(b, job):
    """The lease of the job's machine, once the job runs."""
    until("the job to run", lambda: b.get(f"/v1/jobs/{job}")["state"] == "running")
    return leases(b)[0]


def edit(b, *statements):
    with contextlib.closing(sqlite3.connect(b.data / "weir.db", timeout=60)) as db, db:
        for s in statements:
            db.execute(s)


def tampered_with(b, lease):
    """What the machine was charged follows from its prices as they are stored: with others it is no proof."""
    proven = b.json("bill", "--check")
    assert proven["balanced"] and proven["lease_prices"] == 3 and proven["leases_unproven"] == 0, proven
    b.stop()
    cases = [("UPDATE lease_price SET micro_per_hour = micro_per_hour + 3600000 WHERE number = 2",
              "UPDATE lease_price SET micro_per_hour = micro_per_hour - 3600000 WHERE number = 2",
              r"lease %d \(node \d+\), span \S+ to \S+: the ledger charges [\d.]+, its prices make [\d.]+ \([\d.]+ an hour since \S+\)"),
             ("UPDATE lease_price SET number = 9 WHERE number = 2", "UPDATE lease_price SET number = 2 WHERE number = 9",
              "lease %d, price 2 behind its quote: it is missing"),
             ("INSERT INTO lease_price SELECT lease, 4, from_us, micro_per_hour, told_us, after_posting FROM lease_price WHERE number = 3",
              "DELETE FROM lease_price WHERE number = 4", "lease %d, price 4 behind its quote: it is the one that it follows")]
    for change, back, says in cases:
        edit(b, change)
        b.start()
        r = b.run("bill", "--check")
        assert r.returncode == 65, r
        assert re.search(says % lease, r.stderr), r.stderr
        b.stop()
        edit(b, back)
    b.start()
    again = b.json("bill", "--check")
    assert again["balanced"] and again["lease_prices"] == 3, again


def moves(weir, cloud, source):
    with mock(cloud) as c, broker(weir, c, policy="lease_term: 300s") as b:
        until("the spot price", lambda: [o for o in b.json("offers", "--live", "--gpus", "L4:1" if cloud != "azure" else "T4:1")
                                         if o["market"] == "spot" and o["source"] == source])
        go = b.dir / "go"
        job = b.submit(spot_job(cloud, run=f"until [ -e {go} ]; do sleep 0.1; done"))
        lease = rented(b, job)
        quote = lease["price_micro_per_hour"]
        assert lease["market"] == "spot" and lease["price_now_micro_per_hour"] == quote and lease["priced"] is None, lease
        c.set(price_factor=1.5)
        dearer = told(b, lease["id"], round(quote * 1.5))
        assert dearer["price_micro_per_hour"] == quote and dearer["priced"] is not None, dearer
        b.kill()
        c.set(price_factor=0.75)  # while nobody is there to hear of it
        b.start()
        told(b, lease["id"], round(quote * 0.75))
        c.set(price_factor=1.25)
        told(b, lease["id"], round(quote * 1.25))
        go.touch()
        micro, steps = charged_exactly(b, c, job, lease["id"], quote)
        over, = [x for x in b.json("leases", "--all") if x["id"] == lease["id"]]
        # a lease's cost is rounded at each of its three changes and at its end, that of the ledger once
        assert over["price_now_micro_per_hour"] == round(quote * 1.25) and abs(over["cost_micro"] - micro) <= 3, (micro, steps, over)
        tampered_with(b, lease["id"])


def test_a_spot_machine_at_amazon_pays_the_price_of_each_second(weir):
    moves(weir, "aws", "EC2 spot price history")


def test_a_spot_vm_at_google_pays_the_price_of_each_second(weir):
    moves(weir, "gcp", "Cloud Billing catalogue (live)")


STEPS = 1024


def rising(every_s):
    """A price that is another every so many seconds, and dearer, for as long as a test lasts. The sandbox counts from 1970, so the series is
    turned until its beginning is about now. Gives the series, and the price per hour at a time."""
    first = int(time.time()) // every_s - 5
    series = [0.0] * STEPS
    for k in range(STEPS):
        series[(first + k) % STEPS] = round(1 + k / 100, 2)
    return series, lambda us: round(400000 * series[us // (every_s * US) % STEPS])


def integral(price, every_s, since, until_us):
    """The sum over every microsecond at the price of its time; whole seconds of them, the last at the price of the end; rounded once."""
    end = since + -(-(until_us - since) // US) * US
    total = 0
    at = since
    while at < end:
        following = min((at // (every_s * US) + 1) * every_s * US, end) if at < until_us else end
        total += (following - at) * price(min(at, until_us))
        at = following
    return (total + HOUR // 2) // HOUR


def test_a_sandbox_machine_pays_each_price_also_of_the_time_without_a_broker(weir):
    every_s = 2
    series, price = rising(every_s)
    offer = {"instance_type": "small", "gpu": "A100", "gpus": 1, "price": 20, "spot_price": 0.40, "cpus": 2, "memory": "2G"}
    conf = {"providers": {"sandbox": {"boot_delay": "100ms", "mirror": [], "offers": [offer], "price_every": f"{every_s}s", "price_series": series}}}
    with lib.Broker(weir, gpus=None, config=json.dumps(conf)) as b:
        go = b.dir / "go"
        job = b.submit({"name": "t", "project": "vision", "run": f"until [ -e {go} ]; do sleep 0.1; done", "max_duration": "1h",
                        "resources": {"accelerators": {"A100": 1}, "use_spot": True}})
        lease = rented(b, job)
        b.kill()
        down = time.time()
        until("three prices to pass", lambda: time.time() > down + 4 * every_s, every_s=0.2)
        b.start()
        until("the price to be told", lambda: leases(b)[0]["price_now_micro_per_hour"] > lease["price_micro_per_hour"])
        go.touch()
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        b.run("leases", "end", lease["id"])
        until("the machine to be given back", lambda: not leases(b), limit_s=180)
        micro, since, end = charged(b, lease["id"])
        assert micro == integral(price, every_s, since, end), (micro, integral(price, every_s, since, end), since, end)
        assert micro > integral(lambda us: price(since), every_s, since, end)
        b.ok("bill", "--check")


def test_each_change_while_the_broker_was_away_counts_from_its_own_moment(weir):
    """Two prices that nobody heard of, then one that is what it was before them; then a history that does not come at first."""
    with mock("aws") as c, broker(weir, c, policy="lease_term: 300s") as b:
        until("the spot price", lambda: [o for o in b.json("offers", "--live", "--gpus", "L4:1")
                                         if o["market"] == "spot" and o["source"] == "EC2 spot price history"], limit_s=120)
        go = b.dir / "go"
        job = b.submit(spot_job("aws", run=f"until [ -e {go} ]; do sleep 0.1; done"))
        lease = rented(b, job)
        quote = lease["price_micro_per_hour"]

        def away(factors):
            b.kill()
            c.set(page_size=1)  # each change comes on a page of its own
            begin = int(time.time()) + 1
            steps = c.inventory()["prices"] + [[begin + i, f] for i, f in enumerate(factors)]
            c.set(prices=steps)
            until("all of them to be in force", lambda: time.time() >= begin + len(factors))
            b.start()

        def asked():
            return [x for x in b.get("/v1/events?limit=1000")["items"] if x["kind"] == "lease.price"]
        away([1.4, 0.6, 1.0])
        until("three prices to be told", lambda: b.json("offers", "--live") and len(asked()) == 3, limit_s=120)
        told(b, lease["id"], quote)
        c.fault("server_error", times=2, on=["offers"])
        away([0.8, 1.3])
        until("two more to be told", lambda: b.json("offers", "--live") and len(asked()) == 5, limit_s=120)
        told(b, lease["id"], round(quote * 1.3))
        go.touch()
        charged_exactly(b, c, job, lease["id"], quote)


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
