# SPDX-License-Identifier: Apache-2.0
"""What a provider's quota has no room for is not asked for: capacity search, explanations, offers and doctor say so, and what is freed or
raised is used."""
import contextlib
import json
import re
import sys

import lib
import rented


@contextlib.contextmanager
def limited(weir, provider, quota, **more):
    """A broker with one cloud, whose account may have so much; the mock refuses what is beyond it, as the provider would."""
    with rented.cloud(provider) as cloud:
        cloud.set(quota=quota)
        with rented.broker(weir, cloud, **more) as b:
            lib.until("offers", lambda: any(o["launchable"] and o["provider"] == provider for o in offers(b)))
            yield b, cloud


def offers(b, *args):
    return b.json("offers", "--launchable", *args)


def blocking(path):
    """Runs until the file is there."""
    return f"while [ ! -e {path} ]; do sleep 0.1; done"


def refused(cloud):
    return [r for r in cloud.requests("create") if r["status"] >= 400]


def explained(b, job):
    return b.get(f"/v1/jobs/{job}/explain")["now"]


def uses(now, n):
    """What is said of a task that waits, once so much of the quota in its way is in use."""
    return now if now and now.get("provider_quota", {}).get("used") == n else None


def has_started(b, job):
    return b.get(f"/v1/jobs/{job}")["state"] == "running"


def give_back(b, cloud):
    """Idle machines are kept for a while: they are ended here, until the provider's own books have nothing left."""
    for lease in b.json("leases"):
        b.http("POST", f"/v1/leases/{lease['id']}/end")
    rented.nothing_left(b, cloud)


def quota_rows(b, provider):
    o = json.loads(b.run("doctor", "--json", timeout=60).stdout)
    return [c for c in o["checks"] if c["name"] == f"{provider} quota"]


def h100(b, go):
    work = {"run": blocking(go), "resources": {"accelerators": {"H100": 8}, "cpus": 1, "use_spot": False}}
    return b.submit(rented.only_there("gcp", **work))


def test_google_tells_the_quota_of_families_of_gpus(weir):
    """H100 and later: a limit of the Cloud Quotas API, of which the project's own machines, whoever's, take."""
    with limited(weir, "gcp", 8, max_gpus=8) as (b, cloud):
        jobs = [h100(b, b.dir / "go") for _ in range(2)]
        lib.until("one to run", lambda: any(has_started(b, j) for j in jobs), limit_s=180)
        waiting = next(j for j in jobs if not has_started(b, j))
        now = lib.until("the other to be weighed", lambda: uses(explained(b, waiting), 8))
        assert now["provider_quota"]["limit"] == 8 and now["provider_quota"]["name"] in ("GPUS_PER_GPU_FAMILY NVIDIA_H100", "GPUS_ALL_REGIONS"), now
        rows = [r for r in quota_rows(b, "gcp") if "GPUS_PER_GPU_FAMILY NVIDIA_H100" in r["text"]]
        assert any("us-central1: GPUS_PER_GPU_FAMILY NVIDIA_H100: " in r["text"] and " of 8 GPUs in use" in r["text"] for r in rows), rows
        assert any("8 of 8 GPUs in use" in r["text"] for r in rows), rows
        assert refused(cloud) == [], cloud.requests("create")
        (b.dir / "go").touch()
        for job in jobs:
            assert b.wait(job, limit_s=240)["state"] == "succeeded"
        give_back(b, cloud)


def test_google_may_keep_families_to_itself(weir):
    with limited(weir, "gcp", 8, max_gpus=8) as (b, cloud):
        cloud.set(denied=["cloudquotas.quotas.get"])
        rows = lib.until("doctor to say so", lambda: [r for r in quota_rows(b, "gcp") if "cloudquotas.quotas.get" in r["text"]])
        assert rows[0]["verdict"] == "note" and "providers/gcp.md" in rows[0]["remedy"], rows
        assert any("NVIDIA_L4_GPUS: 0 of 8 GPUs in use" in r["text"] for r in quota_rows(b, "gcp"))  # the others stand
        permissions = [c for c in json.loads(b.run("doctor", "--json", timeout=60).stdout)["checks"] if c["name"] == "gcp permissions"]
        assert "cloudquotas.quotas.get" in permissions[0]["text"], permissions
        (b.dir / "go").touch()
        assert b.wait(h100(b, b.dir / "go"), limit_s=240)["state"] == "succeeded"  # and it is rented all the same
        give_back(b, cloud)


def test_ec2_second_machine_is_not_asked_for(weir):
    with limited(weir, "aws", 4) as (b, cloud):
        on_demand = {"resources": {"accelerators": {"L4": 1}, "cpus": 1, "use_spot": False}}
        first = b.submit(rented.only_there("aws", run=blocking(b.dir / "go"), **on_demand))
        lib.until("the first to run", lambda: has_started(b, first))
        second = b.submit(rented.only_there("aws", **on_demand))
        # a machine that came up while the provider was being asked counts twice until it is asked again
        now = lib.until("the second to be weighed", lambda: uses(explained(b, second), 4))
        assert now["rejected"].get("provider_quota", 0) >= 1, now
        q = now["provider_quota"]
        assert (q["provider"], q["region"], q["unit"], q["limit"], q["used"], q["needed"]) == ("aws", "us-east-1", "vCPUs", 4, 4, 4), q
        assert q["name"] == "Running On-Demand G and VT instances (L-DB2E81BA)", q
        assert q["name"] in now["text"] and "allows 4 vCPUs, 4 are in use" in now["text"], now["text"]
        rows = [o for o in offers(b, "--gpus", "L4:1") if o["market"] == "on_demand"]
        assert rows and all(o["verdict"] == "provider_quota" and o["quota"]["limit"] == o["quota"]["used"] == 4 for o in rows), rows
        assert "beyond the provider's quota of 4 vCPUs, 4 in use" in rows[0]["reason"], rows
        (b.dir / "go").touch()
        for job in (first, second):
            assert b.wait(job)["state"] == "succeeded"
        give_back(b, cloud)
        # what has ended is free again
        third = b.submit(rented.only_there("aws", **on_demand))
        assert b.wait(third)["state"] == "succeeded"
        assert refused(cloud) == [], cloud.requests("create")
        give_back(b, cloud)


def test_google_raises_the_quota(weir):
    with limited(weir, "gcp", 1) as (b, cloud):
        work = {"run": blocking(b.dir / "go"), "resources": {"accelerators": {"L4": 1}, "cpus": 1, "use_spot": False}}
        jobs = [b.submit(rented.only_there("gcp", **work)) for _ in range(2)]
        lib.until("one to run", lambda: any(has_started(b, j) for j in jobs))
        waiting = next(j for j in jobs if not has_started(b, j))
        now = lib.until("the other to be weighed", lambda: uses(explained(b, waiting), 1))
        assert now["provider_quota"]["limit"] == 1 and now["provider_quota"]["unit"] == "GPUs", now
        cloud.set(quota=2)
        assert any("of 2 GPUs in use" in r["text"] for r in quota_rows(b, "gcp"))  # who looks has it asked anew
        lib.until("both to run", lambda: all(has_started(b, j) for j in jobs))
        (b.dir / "go").touch()
        for job in jobs:
            assert b.wait(job)["state"] == "succeeded"
        # a refusal of Google's comes inside an operation that was answered well: none of them may be one
        assert refused(cloud) == [] and len(cloud.requests("create")) == 2, cloud.requests("create")
        give_back(b, cloud)


def test_doctor_says_what_to_ask_for(weir):
    with limited(weir, "aws", 0) as (b, cloud):
        rows = quota_rows(b, "aws")
        of = {r["text"].split(": ")[1]: r for r in rows}
        row = of["Running On-Demand G and VT instances (L-DB2E81BA)"]
        assert row["verdict"] == "note" and "us-east-1: " in row["text"] and "0 of 0 vCPUs in use" in row["text"], rows
        assert "Service Quotas" in row["remedy"] and "at least 4 vCPUs, which one g6.xlarge takes" in row["remedy"], rows
        assert "All P5 Spot Instance Requests (L-C4BD4855)" not in of, rows  # nothing of it is configured
    with limited(weir, "runpod", 0) as (b, _):
        (row,) = quota_rows(b, "runpod")
        assert row["verdict"] == "ok" and "no way to ask" in row["text"], row


def test_machines_that_have_quotas_of_their_own_are_not_counted(weir):
    with limited(weir, "aws", 4) as (b, cloud):
        def used():
            return next(int(re.search(r"(\d+) of 4 vCPUs", r["text"])[1]) for r in quota_rows(b, "aws") if "L-DB2E81BA" in r["text"])
        cloud.foreign(lifecycle="capacity-block")
        cloud.foreign(tenancy="host")
        assert used() == 0
        cloud.foreign()
        lib.until("the third to be counted", lambda: used() == 4)


def test_who_submits_what_no_quota_ever_allows_is_told(weir):
    with limited(weir, "aws", 3) as (b, cloud):
        spec = rented.only_there("aws", resources={"accelerators": {"L4": 1}, "cpus": 1, "use_spot": False})
        status, body = b.http("POST", "/v1/jobs", spec)
        said = json.loads(body)
        name = "'Running On-Demand G and VT instances (L-DB2E81BA)' in us-east-1 allows 3 vCPUs, and it takes 4"
        assert status == 201 and len(said["warnings"]) == 1, body
        assert name in said["warnings"][0] and "ask for more in Service Quotas" in said["warnings"][0], said
        text = explained(b, said["id"])["text"]
        assert "it can be rented when aws allows more (ask for more in Service Quotas, Amazon EC2, in that region)" in text, text
        assert "machines there have ended" not in text, text
        # what could run on a node of one's own, and what a quota has room for once it is free, is not warned of
        own = b.http("POST", "/v1/jobs", {"name": "own", "run": "true", "resources": {"accelerators": {"A100": 1}}})
        assert own[0] == 201 and json.loads(own[1])["warnings"] == [], own
        cloud.set(quota=4)
        quota_rows(b, "aws")  # has it asked anew; limits are kept for a while
        b.http("POST", f"/v1/jobs/{said['id']}/cancel")


def test_what_cannot_be_asked_does_no_harm(weir):
    with rented.cloud("aws") as cloud:
        cloud.set(denied=["servicequotas:GetServiceQuota"])
        with rented.broker(weir, cloud) as b:
            job = b.submit(rented.only_there("aws"))
            assert b.wait(job)["state"] == "succeeded"
            (row,) = quota_rows(b, "aws")
            assert row["verdict"] == "note" and "servicequotas:GetServiceQuota" in row["text"] and "providers/aws.md" in row["remedy"], row
            assert all(o["quota"] is None for o in offers(b)), offers(b)
            give_back(b, cloud)


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
