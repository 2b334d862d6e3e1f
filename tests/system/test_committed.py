# SPDX-License-Identifier: Apache-2.0
"""Commitments: what is paid for already is used first, as much as there is of it and while it lasts; what matches nothing is told."""
import json
import sys
import time

import lib
from lib import until
from rented import broker, cloud, leases, made, nothing_left, only_there
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
                 {**here, "name": "old", "until": "2026-01-01"},
                 {**here, "name": "new", "from": "2126-01-01"},
                 {"provider": "aws", "instance_type": "p5.48xlarge", "region": "us-east-1", "machines": 1}]
    wants = ("line 4: sandbox offers no machine of type 'smal'; did you mean 'small'?", "line 5: sandbox does not offer small in region 'there'; it does in here",
             "line 6: sandbox does not offer small in zone 'z'; its zones of it in here: here", "line 7: small in here ended at 2026-01-01T00:00:00")
    with lib.Broker(weir, gpus=None, config=sandbox(committed)) as b:
        until("the offers", lambda: {"reserved", "on_demand"} == {o["market"] for o in b.json("offers", "--launchable")})
        checks = json.loads(b.run("doctor", "--json").stdout)["checks"]
        said = [c for c in checks if c["name"] == "sandbox commitment"]
        bad = [c for c in said if c["verdict"] == "note"]
        assert len(said) == 6 and len(bad) == 4, said
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


GROUP = "/subscriptions/0-0/resourceGroups/weir/providers/Microsoft.Compute/capacityReservationGroups/crg"
# What a machine of each cloud names, and what the cloud calls it.
NAMED = {"aws": ({"instance_type": "g6.xlarge", "region": "us-east-1", "reservation": "cr-0123"}, "cr-0123"),
         "gcp": ({"instance_type": "g2-standard-4", "region": "us-central1", "zone": "us-central1-a", "reservation": "projects/other/reservations/mine"},
                 "projects/other/reservations/mine"),
         "azure": ({"instance_type": "Standard_NC4as_T4_v3", "region": "eastus", "reservation": GROUP}, "crg")}


def running(b, *jobs):
    return [j for j in jobs if b.get(f"/v1/jobs/{j}")["state"] == "running"]


def of_named(provider, **more):
    what = {"provider": provider, "machines": 2, "per_hour": 0.25, **NAMED[provider][0], **more}
    return f"committed:\n  - {json.dumps(what)}\n"


def named_is_used(weir, provider):
    """Two machines by weir.yaml, one by the cloud's books: the first names it, also when its launch is repeated after a crash; the second is refused there and goes on demand."""
    name = NAMED[provider][1]
    with cloud(provider) as c, broker(weir, c, policy="delay_cost: 5000", more=of_named(provider)) as b:
        c.set(reservations={name: {"machines": 1}})
        go = b.dir / "go"
        work = {**only_there(provider), "run": f"until [ -e {go} ]; do sleep 0.1; done"}
        work["resources"]["use_spot"] = False
        until("the offers", lambda: "reserved" in {o["market"] for o in b.json("offers", "--launchable")})
        c.fault("lost_reply", times=1, on="create")
        first = b.submit(work)
        until("a machine", lambda: made(c))
        b.kill()
        b.start()
        until("the first to run", lambda: running(b, first))
        assert [(i["reservation"], i["bound"]) for i in made(c)] == [(name, False)], made(c)
        second = b.submit(work)
        until("the second to run", lambda: running(b, second))
        assert sorted(i["reservation"] or "" for i in made(c)) == ["", name], made(c)
        assert sorted(x["market"] for x in leases(b)) == ["on_demand", "reserved"], leases(b)
        refused = [x for x in b.get("/v1/leases?all=true")["items"] if x["state"] == "failed"]
        assert refused and all(x["market"] == "reserved" and x["failure"] == "no_capacity" for x in refused), refused
        use = [x["text"] for x in json.loads(b.run("doctor", "--json").stdout)["checks"] if x["name"] == f"{provider} commitment"]
        assert len(use) == 1 and use[0].endswith(": 1 of 2 machines in use"), use
        go.touch()
        assert all(b.wait(j)["state"] == "succeeded" for j in (first, second))
        for x in leases(b):
            b.run("leases", "end", x["id"])
        nothing_left(b, c)


def test_ec2_names_its_reservation(weir):
    named_is_used(weir, "aws")


def test_gce_names_its_reservation(weir):
    named_is_used(weir, "gcp")


def test_azure_names_its_reservation(weir):
    named_is_used(weir, "azure")


def test_machines_of_a_block_save_before_its_end(weir):
    """A Capacity Block that ends in less than the ten minutes of the notice and the half hour before its end: its machine takes short work, is told, and given back."""
    block = of_named("aws", bound=True, machines=1, until=utc(1800 + 600 + 30))
    with cloud("aws") as c, broker(weir, c, policy="delay_cost: 5000", more=block) as b:
        c.set(reservations={"cr-0123": {"machines": 1, "bound": True}})
        until("the offers", lambda: "reserved" in {o["market"] for o in b.json("offers", "--launchable")})
        work = {**only_there("aws"), "run": "trap 'exit 0' USR1; touch $WEIR_CHECKPOINT_DIR/x 2>/dev/null; for i in $(seq 6000); do [ $WEIR_ATTEMPT -gt 1 ] && exit 0; sleep 0.1; done",
                "checkpoint": {"every": "1m", "signal": "USR1", "grace": "5s"}}
        work["resources"]["use_spot"] = False
        job = b.submit(work)
        until("it to run", lambda: running(b, job))
        assert [(i["reservation"], i["bound"]) for i in made(c)] == [("cr-0123", True)], made(c)
        lease = leases(b)[0]
        assert lease["market"] == "reserved", lease
        until("it to be over", lambda: lease["id"] not in {x["id"] for x in leases(b)}, limit_s=300)
        assert b.wait(job)["state"] == "succeeded"
        assert [x["market"] for x in b.get("/v1/leases?all=true")["items"]].count("reserved") == 1
        nothing_left(b, c)


def test_a_plan_is_shared_by_what_it_covers(weir):
    """3.00 an hour for machines of 1.00 and of 2.00: one of each, then on demand; when the dear one is back, its money is enough for a cheap one; also after a restart."""
    big = {"instance_type": "big", "gpu": "H100", "gpus": 1, "price": 4.0, "cpus": 2, "memory": "2G"}
    plan = {"name": "compute", "provider": "sandbox", "plan_per_hour": 3, "covers": [{"instance_type": "small", "region": "here", "per_hour": 1},
                                                                                  {"instance_type": "big", "region": "here", "per_hour": 2}]}
    with lib.Broker(weir, gpus=None, config=sandbox([plan], offers=(SMALL, big))) as b:
        def start(gpu, name):
            job = b.submit({"name": "t", "project": "vision", "run": f"until [ -e {b.dir / name} ]; do sleep 0.1; done", "max_duration": "1h", "delay_cost": 5000,
                            "resources": {"accelerators": {gpu: 1}, "use_spot": False}})
            until("it to run", lambda: running(b, job))
            return job

        def found():
            return sorted((x["market"], x["instance_type"]) for x in leases(b))
        until("the offers", lambda: len(b.json("offers", "--launchable", "--cloud", "sandbox")) == 4)
        first = start("H100", "dear")
        start("A100", "go")
        b.kill()
        b.start()
        until("the offers again", lambda: len(b.json("offers", "--launchable", "--cloud", "sandbox")) == 4)
        start("A100", "go")
        assert found() == [("on_demand", "small"), ("reserved", "big"), ("reserved", "small")], found()
        use = [x["text"] for x in json.loads(b.run("doctor", "--json").stdout)["checks"] if x["name"] == "sandbox commitment"]
        assert len(use) == 2 and all("of the plan 'compute' 3.00 of 3.00 USD an hour" in t for t in use), use
        (b.dir / "dear").touch()
        assert b.wait(first)["state"] == "succeeded"
        until("the dear one to be given back", lambda: ("reserved", "big") not in found(), limit_s=300)
        start("A100", "go")
        assert found() == [("on_demand", "small"), ("reserved", "small"), ("reserved", "small")], found()
        (b.dir / "go").touch()
        for x in leases(b):
            b.run("leases", "end", x["id"])
        until("all to be given back", lambda: not leases(b), limit_s=180)
        b.ok("bill", "--check")


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
