# SPDX-License-Identifier: Apache-2.0
"""A broker that overflows to mock clouds, whose machines are real agents started from the very script that weir sent: spilling,
and kill -9 in every window of a lease's life. Nothing is left, nothing is launched twice."""
import os
import sys

import lib
from lib import Broker, until
from mockcloud import MockCloud

NVML = os.environ.get("MOCK_NVML_LIBRARY")

RUNPOD = """  runpod:
    endpoint: %s
    poll: 200ms
    calls_per_second: 200
    max_gpus: 1
    regions: [EU-RO-1]
    agent: %s
"""
GCP = """  gcp:
    endpoint: %s
    project: weir-test
    image: projects/debian-cloud/global/images/family/debian-12
    service_account_file: %s
    poll: 200ms
    calls_per_second: 200
    zones: [us-central1-a]
    max_gpus: 1
    agent: %s
"""


def runpod(**kw):
    return MockCloud("runpod", nvml=NVML, **kw)


def gce(**kw):
    return MockCloud("gce", nvml=NVML, options=["service_account=DIR/key.json"], **kw)


def broker(weir, *clouds, gpus="A100:4"):
    config = "providers:\n"
    for c in clouds:
        key = c.dir / "key.json"
        config += GCP % (c.url, key, weir) if key.exists() else RUNPOD % (c.url, weir)
    return Broker(weir, config=config, gpus=gpus, env={"RUNPOD_API_KEY": "rpa_TESTKEY"})


def nothing_left(b, *clouds):
    """Every lease is over, every cloud's own books say that nothing is there, and that nothing was ever made twice."""
    until("all leases to end", lambda: not b.get("/v1/leases")["items"], limit_s=120)
    for c in clouds:
        until("the cloud to be empty", lambda c=c: c.inventory()["alive"] == 0, limit_s=60)
        assert not c.inventory()["doubles"], c.inventory()["doubles"]
    b.balanced()


def test_overflow_runs_on_machines_of_two_clouds(weir):
    with gce(args=["--capacity", "3"]) as g, runpod(args=["--capacity", "3"]) as r, broker(weir, g, r, gpus="A100:16") as b:
        spec = {"run": "echo task $WEIR_TASK_INDEX", "retries": 0, "max_duration": "10m"}
        here = b.submit({**spec, "name": "here", "resources": {"accelerators": {"A100": 1}}, "array": "0-139", "placement": {"local": "only"}})
        there = [b.submit({**spec, "name": cloud, "resources": {"accelerators": {gpu: 1}, "cpus": 1}, "array": "0-29", "delay_cost": 5000,
                           "placement": {"local": "never", "clouds": [cloud]}}) for cloud, gpu in (("gcp", "L4"), ("runpod", "L4"))]
        for job in (here, *there):
            assert b.wait(job, limit_s=240)["state"] == "succeeded", b.tasks(job)[:3]
        for job, pool in zip(there, ("gcp", "runpod")):
            tasks = b.tasks(job)
            assert len(tasks) == 30 and {t["pool"] for t in tasks} == {pool}, tasks[:3]
        assert all(t["attempts"] == 1 for job in (here, *there) for t in b.tasks(job) if "attempts" in t)
        assert g.requests("create") and r.requests("create")
        for lease in b.get("/v1/leases")["items"]:
            b.ok("leases", "end", lease["id"])
        nothing_left(b, g, r)


def rent(b, cloud, run="echo here"):
    """A task that only that cloud can run."""
    return b.submit({"name": "spill", "run": run, "max_duration": "10m", "resources": {"accelerators": {"L4": 1}, "cpus": 1}, "delay_cost": 5000,
                     "placement": {"local": "never", "clouds": [cloud]}})


def leases(b):
    return b.get("/v1/leases")["items"]


def made(c):
    return [i for i in c.inventory()["instances"] if i["state"] != "gone"]


def killed_at(weir, cloud, before=None, moment=None, run="echo here", ends=False):
    """Kills the broker at a moment of a lease's life, starts it again with the cloud well, and proves that one machine was made, that
    the task ended well once, and that nothing is left."""
    with {"gcp": gce, "runpod": runpod}[cloud]() as c, broker(weir, c) as b:
        until("offers", lambda: any(o["provider"] == cloud and o["verdict"].startswith("included") for o in b.get("/v1/offers?gpus=L4:1")["items"]))
        if not ends and before:
            before(c)
        job = rent(b, cloud, run)
        if ends:
            assert b.wait(job)["state"] == "succeeded"
            if before:
                before(c)
            b.ok("leases", "end", leases(b)[0]["id"])
        until("the moment", lambda: moment(c, b, job), every_s=0.005)
        b.kill()
        c.clear()
        c.set(boot_s=0.05, stop_s=0.05)
        b.start()
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        for lease in leases(b):
            b.run("leases", "end", lease["id"])
        nothing_left(b, c)
        machines = [i for i in c.inventory()["instances"] if i["reason"] != "no capacity"]
        assert len({i["token"] for i in machines}) == len(machines) == 1, machines
        audit = b.json("leases", "--audit")
        assert audit["clean"] and not any(p["machines"] for p in audit["providers"]), audit


def each_cloud(function):
    def test(weir):
        for cloud in ("gcp", "runpod"):
            function(weir, cloud)
    return test


def _before_the_call(weir, cloud):
    # RunPod is asked whether the name is there: a slow answer holds the launch back
    killed_at(weir, cloud, before=lambda c: c.fault("slow_body", on="list", times=-1, seconds=3), moment=lambda c, b, job: leases(b))


def _after_the_call_before_its_answer(weir, cloud):
    killed_at(weir, cloud, before=lambda c: c.fault("slow_body", on="create", seconds=5), moment=lambda c, b, job: made(c))


def _after_the_answer(weir, cloud):
    killed_at(weir, cloud, moment=lambda c, b, job: c.requests("create"))


def _while_it_boots(weir, cloud):
    killed_at(weir, cloud, before=lambda c: c.set(boot_s=4), moment=lambda c, b, job: any(x["confirmed"] for x in leases(b)))


def _in_use(weir, cloud):
    killed_at(weir, cloud, run="sleep 3", moment=lambda c, b, job: b.get(f"/v1/jobs/{job}")["state"] == "running")


def _while_it_is_ended(weir, cloud):
    killed_at(weir, cloud, ends=True, before=lambda c: c.fault("slow_body", on="terminate", seconds=5),
              moment=lambda c, b, job: "stopping" in c.states() or "gone" in c.states())


def _after_it_was_ended_before_the_proof(weir, cloud):
    killed_at(weir, cloud, ends=True, before=lambda c: c.set(stop_s=4), moment=lambda c, b, job: c.requests("terminate"))


test_killed_before_the_call = each_cloud(_before_the_call)
test_killed_after_the_call_before_its_answer = each_cloud(_after_the_call_before_its_answer)
test_killed_after_the_answer = each_cloud(_after_the_answer)
test_killed_while_the_machine_boots = each_cloud(_while_it_boots)
test_killed_while_the_machine_is_in_use = each_cloud(_in_use)
test_killed_while_the_machine_is_ended = each_cloud(_while_it_is_ended)
test_killed_before_the_end_is_proven = each_cloud(_after_it_was_ended_before_the_proof)


def test_orphans_are_ended_and_strangers_are_not(weir):
    with runpod() as c, broker(weir, c) as b:
        c._call("POST", "foreign", {"name": "training-box"})
        job = rent(b, "runpod", "sleep 60")
        until("the task to run", lambda: b.get(f"/v1/jobs/{job}")["state"] == "running")
        owner = made(c)[-1]["owner"]
        c._call("POST", "foreign", {"name": f"{owner}-999"})  # ours by its name, and no lease's
        until("it to be ended", lambda: b.run("leases", "--audit") and len(made(c)) == 2)
        assert {i["state"] for i in made(c)} == {"running"}
        b.ok("down", "--all", "--timeout", "60s")
        assert [i["owner"] for i in made(c)] == ["somebody"], made(c)
        assert b.get(f"/v1/jobs/{job}")["state"] in ("waiting", "running"), "it waits for its turn"
        assert not b.json("leases", "--audit")["renting"]
        b.kill()
        b.start()
        assert not b.json("leases", "--audit")["renting"], "it holds over a restart"
        b.ok("down", "--resume")
        until("the task to run again", lambda: b.get(f"/v1/jobs/{job}")["state"] == "running" and len(made(c)) == 2)
        b.ok("cancel", job)
        b.ok("down", "--all", "--timeout", "60s")


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
