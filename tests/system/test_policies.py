#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Policies through a real broker: what is refused, what is no candidate, what a change does to what waits and to what runs."""
import json
import sys

import lib
from lib import Broker, until

SANDBOX = "providers: {sandbox: {}}\npolicy: {review_period: 1s}\n"
JOB = {"project": "vision", "resources": {"accelerators": {"A100": 1}}, "max_duration": "1h", "delay_cost": "100"}


def job(run="true", **more):
    return dict(JOB, run=run, **more)


def dry(b, **more):
    status, body = b.http("POST", "/v1/jobs?dry_run=true", job(**more))
    return status, json.loads(body)


def state(b, j):
    return b.get(f"/v1/jobs/{j}")["state"]


def test_a_job_that_is_denied_anywhere_is_refused_with_the_reason(weir):
    with Broker(weir) as b:
        until("the host to join", lambda: b.get("/v1/nodes")["items"])
        assert b.json("policy") == []
        b.ok("policy", "set", "short", "--effect", "deny", "--project", "vis*", "--duration-above", "4h", "--reason", "ask the head of the lab")
        b.ok("policy", "set", "single", "--effect", "deny", "--nodes-above", "1", "--order", "5")
        assert b.wait(b.submit(job()))["state"] == "succeeded"
        status, body = b.http("POST", "/v1/jobs", job(max_duration="5h"))
        assert status == 403 and b"'short'" in body and b"ask the head" in body, body
        status, body = b.http("POST", "/v1/jobs", job(num_nodes=2))
        assert status == 403 and b"'single'" in body, body
        assert b.wait(b.submit(job(max_duration="5h", project="speech")))["state"] == "succeeded", "of another project"
        b.kill()
        b.start()
        assert b.http("POST", "/v1/jobs", job(max_duration="5h"))[0] == 403, "a restart forgets none"
        assert [p["name"] for p in b.json("policy")] == ["single", "short"], "in their order"
        b.ok("policy", "rm", "short")
        assert b.http("POST", "/v1/jobs?dry_run=true", job(max_duration="5h"))[0] == 200
        changes = [(c["action"], c["object"]) for c in b.get("/v1/audit?limit=20")["items"] if c["action"].startswith("policy.")]
        assert changes == [("policy.remove", "policy short"), ("policy.set", "policy single"), ("policy.set", "policy short")], changes


def test_places_that_are_denied_are_no_candidates_and_the_first_policy_decides(weir):
    with Broker(weir, SANDBOX) as b:
        until("the host to join", lambda: b.get("/v1/nodes")["items"])
        until("offers", lambda: [o for o in b.get("/v1/offers?gpus=A100:1&launchable=true&limit=1000")["items"] if o["provider"] == "sandbox"])
        b.ok("policy", "set", "stay", "--effect", "deny", "--project", "vision", "--place", "rented")
        why = dry(b)[1]["explain"]
        assert why["rejected"].get("policy", 0) > 0 and why["decision"] == "start", why
        status, body = dry(b, placement={"local": "never"})
        assert status == 422 and "denied by a policy" in json.dumps(body), body
        # an earlier row lets one kind of machine through
        b.ok("policy", "set", "but-spot", "--effect", "allow", "--project", "vision", "--provider", "sand*", "--market", "spot", "--order", "1")
        status, body = dry(b, placement={"local": "never"})
        assert status == 200 and body["explain"]["decision"] == "rent", body
        assert body["explain"]["candidates"][0]["offer"]["market"] == "spot", body["explain"]
        assert b.run("policy", "test", "--project", "vision", "--provider", "sandbox", "--spot").returncode == 0
        denied = b.run("policy", "test", "--project", "vision", "--provider", "sandbox")
        assert denied.returncode != 0 and "stay" in denied.stdout, (denied.stdout, denied.stderr)
        # too dear is too dear, whatever else is allowed
        b.ok("policy", "set", "dear", "--effect", "deny", "--price-above", "0.01", "--order", "0")
        assert dry(b, placement={"local": "never"})[0] == 422
        assert dry(b)[0] == 200, "owned machines have no price per hour"


def test_a_change_holds_for_what_waits_at_once_and_leaves_what_runs(weir):
    with Broker(weir, SANDBOX) as b:
        until("the host to join", lambda: b.get("/v1/nodes")["items"])
        b.ok("policy", "set", "not-here", "--effect", "deny", "--project", "vision", "--place", "rented")
        runs = b.submit(job("sleep 600", resources={"accelerators": {"A100": 4}}))
        until("it to run", lambda: state(b, runs) == "running")
        waits = b.submit(job("true"))
        other = b.submit(job("true", project="speech", placement={"local": "never"}))
        assert b.wait(other)["state"] == "succeeded", "others rent"
        why = b.get(f"/v1/jobs/{waits}/explain")["now"]
        assert state(b, waits) == "waiting" and why["rejected"].get("policy", 0) > 0, why
        b.kill()
        b.start()
        assert state(b, waits) == "waiting"
        b.ok("policy", "set", "not-anywhere", "--effect", "deny", "--project", "vision")
        b.ok("cancel", str(b.submit(job("sleep 600", project="speech", resources={"accelerators": {"A100": 4}}, priority=1))))
        assert state(b, runs) == "running", "what runs goes on"
        why = until("the rule to hold", lambda: [n for n in [b.get(f"/v1/jobs/{waits}/explain")["now"]] if not n["rejected"].get("no_room")])[0]
        assert why["decision"] == "blocked" and why["rejected"]["policy"] > 0, why
        b.ok("policy", "rm", "not-anywhere")
        b.ok("policy", "rm", "not-here")
        assert b.wait(waits)["state"] == "succeeded", "it rents now"
        assert state(b, runs) == "running"
        b.ok("cancel", str(runs))
        b.balanced()


def test_a_policy_that_cannot_be_is_refused(weir):
    with Broker(weir) as b:
        for args, want in (((), "--effect"), (("--effect", "deny", "--place", "owned", "--market", "spot"), "would take nothing"),
                           (("--effect", "deny", "--price-above", "0"), "more than nothing"), (("--effect", "deny", "--duration-above", "soon"), "duration_above"),
                           (("--effect", "deny", "--from", "2027-01-02", "--until", "2027-01-01"), "until must be after from")):
            bad = b.run("policy", "set", "x", *args)
            assert bad.returncode != 0 and want in bad.stderr, (args, bad.stderr)
        assert b.run("policy", "show", "x").returncode != 0 and b.run("policy", "rm", "x").returncode != 0
        b.ok("user", "add", "ada", "--project", "vision")
        token = b.json("token", "create", "--user", "ada", "--name", "t")["token"]
        head = {"Authorization": f"Bearer {token}"}
        for method, path in (("GET", "/v1/policies"), ("PUT", "/v1/policies/x"), ("DELETE", "/v1/policies/x")):
            assert b.http(method, path, {} if method == "PUT" else None, headers=head)[0] == 403, (method, path)


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
