# SPDX-License-Identifier: Apache-2.0
"""Commitments: what is paid for already is used first, as much as there is of it and while it lasts; what matches nothing is told."""
import json
import sys
import time

import lib
from lib import until
from rented import leases
from test_prices import charged, integral

SMALL = {"instance_type": "small", "gpu": "A100", "gpus": 1, "price": 1.20, "cpus": 2, "memory": "2G"}


def sandbox(committed, offers=(SMALL,)):
    """A commitment a line, from the third line on."""
    providers = {"sandbox": {"boot_delay": "100ms", "mirror": [], "offers": list(offers)}}
    return "\n".join([f"providers: {json.dumps(providers)}", "committed:", *(f"  - {json.dumps(c)}" for c in committed)]) + "\n"


def utc(in_s):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + in_s))


def test_what_is_paid_for_is_used_first(weir):
    """A commitment for two machines: they are rented before one on demand is, as free; each is booked at what it costs."""
    committed = {"provider": "sandbox", "instance_type": "small", "region": "here", "plan_per_hour": 1.5, "per_hour": 0.70}
    with lib.Broker(weir, gpus=None, config=sandbox([committed])) as b:
        go = b.dir / "go"
        until("the offers", lambda: {"reserved", "on_demand"} == {o["market"] for o in b.json("offers", "--launchable")})
        work = {"name": "t", "project": "vision", "run": f"until [ -e {go} ]; do sleep 0.1; done", "max_duration": "1h", "delay_cost": 5000,
                "resources": {"accelerators": {"A100": 1}, "use_spot": False}}
        jobs = []
        for _ in range(3):  # one after the other: what is paid for is taken before more is
            jobs.append(b.submit(work))
            until("it to run", lambda: b.get(f"/v1/jobs/{jobs[-1]}")["state"] == "running", limit_s=180)
        found = sorted((x["market"], x["price_micro_per_hour"]) for x in leases(b))
        assert found == [("on_demand", 1200000), ("reserved", 700000), ("reserved", 700000)], found
        go.touch()
        assert all(b.wait(j)["state"] == "succeeded" for j in jobs)
        all_leases = leases(b)
        for each in all_leases:
            b.run("leases", "end", each["id"])
        until("all to be given back", lambda: not leases(b), limit_s=180)
        for each in all_leases:
            micro, since, end = charged(b, each["id"])
            assert micro == integral(lambda us, at=each["price_micro_per_hour"]: at, 3600, since, end), (each, micro)
        b.ok("bill", "--check")


def test_what_is_of_no_use_is_told(weir):
    """A type that is mistyped, a region that has none, a term that is over or has not begun, a provider that is not configured: at the start, and by weir doctor."""
    here = {"provider": "sandbox", "instance_type": "small", "region": "here", "machines": 1}
    committed = [{**here, "machines": 2},
                 {**here, "instance_type": "smal"},
                 {**here, "region": "there"},
                 {**here, "zone": "z"},
                 {**here, "until": "2026-01-01"},
                 {**here, "from": "2126-01-01"},
                 {"provider": "aws", "instance_type": "p5.48xlarge", "region": "us-east-1", "machines": 1}]
    wants = ("line 4: sandbox offers no machine of type 'smal'; did you mean 'small'?", "line 5: sandbox does not offer small in region 'there'; it does in here",
             "line 6: sandbox does not offer small in zone 'z'; its zones of it in here: here", "line 7: small in here ended at 2026-01-01T00:00:00")
    with lib.Broker(weir, gpus=None, config=sandbox(committed)) as b:
        until("the offers", lambda: {"reserved", "on_demand"} == {o["market"] for o in b.json("offers", "--launchable")})
        checks = json.loads(b.run("doctor", "--json").stdout)["checks"]
        said = [c for c in checks if c["name"] == "sandbox commitment"]
        bad = [c for c in said if c["verdict"] == "note"]
        assert len(said) == 5 and len(bad) == 4, said
        for want, c in zip(wants, bad):
            assert want in c["text"] and "'committed' in weir.yaml" in c["remedy"], (want, c)
        assert [c for c in said if c["verdict"] == "ok" and "begins at 2126-01-01" in c["text"] and not c["remedy"]], said
        sums = {c["name"]: c for c in checks if c["name"].endswith(" commitments")}
        assert sums["sandbox commitments"]["text"] == "1 of 6 can be used now" and sums["sandbox commitments"]["verdict"] == "ok", sums
        assert sums["aws commitments"]["verdict"] == "note" and "add aws under 'providers'" in sums["aws commitments"]["remedy"], sums
        log = (b.dir / "serve.log").read_text()
        for want in (*wants, "begins at 2126-01-01", "provider=aws text=\"there are commitments with it"):
            assert log.count(want) == 1, (want, log)


def test_one_that_ends_is_not_used_any_more(weir):
    """Its offer is there until its end, and then on demand alone is."""
    committed = [{"provider": "sandbox", "instance_type": "small", "region": "here", "machines": 1, "per_hour": 0.5, "until": utc(40)}]
    with lib.Broker(weir, gpus=None, config=sandbox(committed)) as b:
        def included():
            return {o["market"] for o in b.json("offers", "--launchable", "--live")}
        until("the offers", lambda: included() == {"reserved", "on_demand"})
        until("its end", lambda: included() == {"on_demand"})
        job = b.submit({"name": "t", "run": "true", "max_duration": "1h", "delay_cost": 5000, "resources": {"accelerators": {"A100": 1}, "use_spot": False}})
        assert b.wait(job)["state"] == "succeeded"
        assert {x["market"] for x in b.get("/v1/leases?all=true")["items"]} == {"on_demand"}
        b.ok("bill", "--check")


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
