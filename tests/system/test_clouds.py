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


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
