#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Budgets through a real broker: what waits for money, what starts, what a killed broker remembers, what the ledger says."""
import json
import sys

import lib
from lib import Broker, until

JOB = {"name": "t", "project": "vision", "tags": {"team": "a"}, "resources": {"accelerators": {"A100": 4}}, "max_duration": "1h"}


def job(run, **more):
    return dict(JOB, run=run, **more)


def budget(b, name):
    return b.get(f"/v1/budgets/{name}")


def state(b, j):
    return b.get(f"/v1/jobs/{j}")["state"]


def test_a_job_waits_for_money_and_starts_when_there_is_some(weir):
    with Broker(weir) as b:
        until("the host to join", lambda: b.get("/v1/nodes")["items"])
        b.ok("budget", "set", "small", "--for", "tag:team=a", "--amount", "0.50")
        dry = b.run("submit", "--dry-run", "-", input='{"project":"vision","tags":{"team":"a"},"resources":{"accelerators":"A100:4"},"max_duration":"1h","run":"true"}')
        assert "small" in dry.stdout, (dry.stdout, dry.stderr)
        j = b.submit(job("true"))
        why = b.get(f"/v1/jobs/{j}/explain")["now"]
        assert why["decision"] == "blocked" and why["budget"]["name"] == "small", why
        assert why["budget"]["needed_micro"] > why["budget"]["left_micro"] == 500000, why
        held = b.get(f"/v1/jobs/{j}")
        assert (held["reason"], held["held_by"]) == ("budget", "small"), held
        assert "budget small" in b.ok("jobs"), b.ok("jobs")
        other = b.submit(job("true", tags={"team": "b"}))
        assert b.wait(other)["state"] == "succeeded", "others pay for themselves"
        assert state(b, j) == "waiting"
        b.kill()
        b.start()
        assert state(b, j) == "waiting" and budget(b, "small")["amount_micro"] == 500000
        b.ok("budget", "set", "small", "--amount", "5")
        assert b.wait(j)["state"] == "succeeded"


def test_what_is_held_becomes_what_is_spent(weir):
    with Broker(weir) as b:
        b.ok("budget", "set", "vision", "--for", "project:vision", "--amount", "10")
        b.ok("budget", "set", "all", "--for", "organisation", "--amount", "20", "--span", "forever")
        b.ok("budget", "set", "cloud", "--for", "organisation", "--amount", "1", "--counts", "cloud")
        j = b.submit(job("sleep 3"))
        until("it to run", lambda: state(b, j) == "running")
        held = budget(b, "vision")
        again = budget(b, "all")
        assert held["held_micro"] > 0 and held["held_micro"] + held["spent_micro"] == again["held_micro"] + again["spent_micro"], (held, again)
        assert held["left_micro"] == held["amount_micro"] - held["spent_micro"] - held["held_micro"]
        b.kill()
        b.start()
        assert b.wait(j)["state"] == "succeeded"
        row = [r for r in b.get("/v1/bill?by=project")["rows"] if r["project"] == "vision"][0]
        for name in ("vision", "all"):
            x = budget(b, name)
            assert x["held_micro"] == 0 and x["spent_micro"] == row["used_micro"] > 0, (x, row)
        assert budget(b, "cloud")["spent_micro"] == 0
        # what is charged or credited by hand counts too, and may pass a budget
        b.ok("bill", "charge", "12", "--job", str(j), "--reason", "egress")
        assert budget(b, "vision")["left_micro"] == 10_000_000 - 12_000_000 - row["used_micro"]
        assert budget(b, "all")["spent_micro"] == 12_000_000 + row["used_micro"] and budget(b, "cloud")["spent_micro"] == 0
        b.kill()
        b.start()
        b.ok("bill", "credit", "11", "--job", str(j), "--reason", "half of it was ours")
        assert budget(b, "vision")["left_micro"] == 10_000_000 - 1_000_000 - row["used_micro"]
        b.balanced()


def test_a_budget_made_late_holds_what_runs(weir):
    with Broker(weir) as b:
        j = b.submit(job("sleep 600"))
        until("it to run", lambda: state(b, j) == "running")
        b.ok("budget", "set", "late", "--for", "project:vision", "--amount", "0.50")
        late = budget(b, "late")
        assert late["held_micro"] > 500000 and late["left_micro"] < 0, late
        assert "spent and held are more than the amount" in b.ok("budget", "show", "late")
        other = b.submit(job("true"))
        why = b.ok("explain", str(other))
        assert "more than it has" in why, why
        assert state(b, j) == "running" and state(b, other) == "waiting"
        b.ok("cancel", str(j))
        until("what it held to be released", lambda: budget(b, "late")["held_micro"] == 0)
        assert "spent and held" not in b.ok("budget", "show", "late")
        b.ok("budget", "set", "late", "--amount", "5")
        assert b.wait(other)["state"] == "succeeded"
        b.balanced()


def test_thresholds_stop_what_is_new_and_what_runs(weir):
    with Broker(weir) as b:
        b.ok("budget", "set", "vision", "--for", "project:vision", "--amount", "10", "--at", "50:warn", "--at", "90:stop-all")
        j = b.submit(job("sleep 600", checkpoint={"grace": "1s"}))
        until("it to run", lambda: state(b, j) == "running")
        b.ok("budget", "set", "vision", "--for", "user:nobody")
        b.ok("budget", "set", "vision", "--for", "project:vision", "--spent", "9.50")
        until("it to be stopped", lambda: b.tasks(j)[0]["state"] == "waiting")
        task = b.tasks(j)[0]
        assert task["reason"] == "budget", task
        assert "90:stop-all" in budget(b, "vision")["reached"]
        assert [e for e in b.get("/v1/events?limit=1000")["items"] if e["kind"] == "budget.threshold"]
        b.ok("budget", "rm", "vision")
        until("it to run again", lambda: state(b, j) == "running" and b.tasks(j)[0]["state"] == "running")
        b.ok("cancel", str(j))


def test_a_dry_run_counts_the_tasks_that_start(weir):
    with Broker(weir) as b:
        until("the host to join", lambda: b.get("/v1/nodes")["items"])
        array = job("sleep 600", array="0-9", resources={"accelerators": {"A100": 1}})

        def dry():
            status, body = b.http("POST", "/v1/jobs?dry_run=true", array)
            assert status == 200, body
            return json.loads(body)["room"]

        def started():
            j = b.submit(array)
            until("some of it to run, others to wait", lambda: [t for t in b.get(f"/v1/jobs/{j}/tasks")["items"] if t["state"] == "waiting"])
            n = sum(t["state"] in ("starting", "running") for t in b.get(f"/v1/jobs/{j}/tasks")["items"])
            b.ok("cancel", str(j))
            b.wait(j)
            until("the nodes to be free", lambda: b.get("/v1/status")["gpus"]["free"] == 4)
            return n

        assert dry() == 4 == started()
        for amount, want in (("0.10", 0), ("1.00", 2), ("5", 4)):
            b.ok("budget", "set", "team", "--for", "tag:team=a", "--amount", amount, "--spent", "0")
            assert dry() == want == started(), amount
        for limit, want in (("3", 3), ("0", 0), ("9", 4)):
            b.ok("quota", "set", "few", "--for", "project:vision", "--counts", "gpus", "--limit", limit)
            assert dry() == want == started(), limit


def test_another_spelling_of_a_tag_is_the_same_budget(weir):
    with Broker(weir) as b:
        until("the host to join", lambda: b.get("/v1/nodes")["items"])
        b.ok("budget", "set", "small", "--for", "tag:Team=a", "--amount", "0.50")
        b.ok("quota", "set", "few", "--for", "tag:team=q", "--counts", "tasks", "--limit", "0")
        for tags in ({"team": "a"}, {"TEAM": "A"}, {"x": "y", "Team": "a"}, {"TeaM": "Q"}):
            j = b.submit(job("true", tags=tags))
            until(f"{tags} to wait", lambda: b.get(f"/v1/jobs/{j}").get("held_by") in ("small", "few"))
        for value in ("a ", " a", "a\u200b", "\u2060a", "a\u00a0", "\u202ea"):
            status, body = b.http("POST", "/v1/jobs", job("true", tags={"team": value}))
            assert status == 400 and b"a tag's value" in body, (value, status, body)
        # what a budget of tags cannot see, a policy refuses
        b.ok("policy", "set", "tagged", "--effect", "deny", "--without-tag", "team=a,speech-*", "--reason", "say whose it is")
        for tags in ({}, {"team": "b"}, {"team": ""}, {"tea": "a"}, {"team": "speech"}):
            for path in ("/v1/jobs", "/v1/jobs?dry_run=true"):
                status, body = b.http("POST", path, job("true", tags=tags))
                assert status == 403 and b"say whose" in body, (tags, status, body)
        assert b.wait(b.submit(job("true", tags={"Team": "Speech-1"})))["state"] == "succeeded"
        assert b.run("policy", "test", "--tag", "team=A").returncode == 0 and b.run("policy", "test", "--tag", "team=b").returncode == 77
        assert "KEY" in b.run("policy", "set", "bad", "--effect", "deny", "--without-tag", "team=").stderr
        b.kill()
        b.start()
        assert b.http("POST", "/v1/jobs", job("true", tags={"team": "b"}))[0] == 403
        j = b.submit(job("true", tags={"teaM": "a"}))
        until("it to wait, after a restart", lambda: b.get(f"/v1/jobs/{j}").get("held_by") == "small")


def test_bad_budgets_are_refused_with_what_is_meant(weir):
    with Broker(weir) as b:
        for args, words in ((("set", "x", "--amount", "5"), "scope"), (("set", "x", "--for", "project:v"), "amount"),
                            (("set", "x", "--for", "team:v", "--amount", "5"), "organisation"), (("set", "x", "--for", "tag:v", "--amount", "5"), "KEY=VALUE"),
                            (("set", "x", "--for", "organisation", "--amount", "5", "--at", "80:shout"), "stop-new"),
                            (("set", "x", "--for", "organisation", "--amount", "5", "--span", "fixed"), "from"), (("rm", "x"), "does not exist"),
                            (("show", "x"), "does not exist")):
            p = b.run("budget", *args)
            assert p.returncode != 0 and words in p.stderr, (args, p.stderr)
        assert b.json("budget") == []


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
