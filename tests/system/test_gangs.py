# SPDX-License-Identifier: Apache-2.0
"""Many machines of mock clouds at once: gangs, with all of their nodes in one zone where they ask for it; and clouds side by side."""
import datetime
import sys
import time

import lib
from lib import until
from rented import broker, cloud as mock, leases, made, nothing_left, only_there


def offered(b, provider, gpu="L4"):
    until("offers", lambda: any(o["provider"] == provider and o["verdict"].startswith("included") for o in b.get(f"/v1/offers?gpus={gpu}:1")["items"]))


def give_back(b, *clouds):
    for lease in leases(b):
        b.run("leases", "end", lease["id"])
    nothing_left(b, *clouds)


def test_a_gang_asks_for_all_of_its_machines_in_one_zone(weir):
    """EC2 chooses the zone of what is on demand, another for every machine; asked for one it gives what that has: the first is full."""
    with mock("aws") as c, broker(weir, c) as b:
        offered(b, "aws")
        c.set(full_zones=["us-east-1a"])
        job = b.submit(only_there("aws", num_nodes=3, run="echo rank $WEIR_NODE_RANK", resources={"accelerators": {"L4": 1}, "cpus": 1, "use_spot": False},
                                  placement={"local": "never", "clouds": ["aws"], "same_zone": True}))
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        machines = c.inventory()["instances"]
        assert [i["zone"] for i in machines] == ["us-east-1b"] * 3, machines
        asked = [x["body"] for x in c.calls() if "Action=RunInstances" in x["body"]]
        assert asked and all("Placement.AvailabilityZone=us-east-1" in x for x in asked), asked
        assert b.get(f"/v1/jobs/{job}")["spec"]["placement"]["same_zone"] is True
        rented = [x for x in b.get(f"/v1/jobs/{job}/explain")["items"] if x["decision"] == "rent"]
        assert rented[-1]["zone"] == "us-east-1b" and "All 3 nodes are in one zone, as the job asks: us-east-1b." in rented[-1]["text"], rented
        give_back(b, c)


def test_a_gang_at_azure_is_in_one_zone(weir):
    """Azure tells in which zones each size can be had: machines are asked for in one of them, and in the next where that is full."""
    with mock("azure") as c, broker(weir, c) as b:
        offered(b, "azure", "T4")
        c.set(full_zones=["1"])
        job = b.submit(only_there("azure", num_nodes=3, resources={"accelerators": {"T4": 1}, "cpus": 1},
                                  placement={"local": "never", "clouds": ["azure"], "same_zone": True}))
        assert b.wait(job, limit_s=240)["state"] == "succeeded", b.tasks(job)
        ran = [i["zone"] for i in made(c)]
        assert len(set(ran)) == 1 and ran[0] in ("2", "3"), c.inventory()["instances"]
        give_back(b, c)


def test_a_gang_that_asks_for_no_zone_gets_what_there_is(weir):
    with mock("aws") as c, broker(weir, c) as b:
        offered(b, "aws")
        job = b.submit(only_there("aws", num_nodes=2, resources={"accelerators": {"L4": 1}, "cpus": 1, "use_spot": False}))
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        assert len({i["zone"] for i in made(c)}) == 2, made(c)
        give_back(b, c)


def partly(weir, moment, slow_s=0):
    """Two of three machines are to be had: those go at once, whatever became of them by then, and cost no more than that."""
    with mock("aws", args=["--capacity", "2"]) as c, broker(weir, c, policy="capacity_memory: 1h") as b:
        offered(b, "aws")
        if slow_s:
            c.fault("slow_body", on="create", times=3, seconds=slow_s)
        one_offer = {"accelerators": {"L4": 1}, "cpus": 1, "use_spot": False}
        moment(c, b, b.submit(only_there("aws", num_nodes=3, resources=one_offer)))
        until("the machines to be given back", lambda: made(c) == [] and c.requests("terminate") and not leases(b))
        at = {kind: [datetime.datetime.fromisoformat(e["at"].replace("Z", "+00:00")) for e in b.get("/v1/events?limit=1000")["items"] if e["kind"] == kind]
              for kind in ("lease.failed", "lease.ending")}
        late = max(at["lease.ending"]) - min(at["lease.failed"])
        assert len(at["lease.ending"]) == 2 and late < datetime.timedelta(seconds=30), ("as idle ones they would be kept for a minute", at)
        row = next(r for r in b.json("bill", "--by", "pool")["rows"] if r["pool"] == "aws")
        assert row["waste_boot_micro"] + row["idle_micro"] == row["total_micro"], row
        assert len(c.inventory()["instances"]) == 2, c.inventory()
        give_back(b, c)


def test_machines_of_a_gang_that_cannot_be_had_are_given_back_though_the_broker_was_killed(weir):
    def kill(c, b, job):
        until("a launch to be refused", lambda: any(r["status"] >= 400 for r in c.requests("create")), every_s=0.005)
        b.kill()
        b.start()
    partly(weir, kill)


def test_machines_of_a_gang_that_cannot_be_had_are_given_back_though_they_are_up(weir):
    """The answers are so slow that the agents join before the refusal comes; where they do not, the machines still boot."""
    partly(weir, lambda c, b, job: until("them to be made", lambda: len(made(c)) == 2), slow_s=6)


def test_a_slow_cloud_holds_up_no_other(weir):
    """One answers each launch after 20 s, with machines that boot for long; the other's machine is up before the first of these answers. Where
    the host is too busy to start a machine in that time, it is tried again."""
    until("the quick one to be quick", lambda: is_quick_beside_a_slow_cloud(weir))


def is_quick_beside_a_slow_cloud(weir):
    with mock("aws") as slow, mock("runpod") as quick, broker(weir, slow, quick) as b:
        offered(b, "aws")
        offered(b, "runpod")
        slow.set(boot_s=600)
        slow.fault("slow_body", on="create", times=-1, seconds=20)
        late = b.submit(only_there("aws", array="0-3"))
        until("the slow one to be asked", lambda: made(slow))
        asked = time.monotonic()
        assert b.wait(b.submit(only_there("runpod")))["state"] == "succeeded"
        took = time.monotonic() - asked
        times = {x["provider"]: [] for x in leases(b)}
        for x in b.get("/v1/leases?all=true")["items"]:
            times.setdefault(x["provider"], []).append(x["ready"] if x["provider"] == "runpod" else x["confirmed"] or "later")
        is_first = max(times["runpod"]) < min(times["aws"])
        assert is_first or took > 15, (took, times)
        b.ok("cancel", late)
        slow.clear()
        give_back(b, slow, quick)
        return is_first


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
