#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Quotas through a real broker: what waits for one, what starts, what a killed broker remembers, who may see and set them."""
import sys

import lib
from lib import Broker, until

JOB = {"name": "t", "project": "vision", "resources": {"accelerators": {"A100": 2}}, "max_duration": "1h"}


def job(run, **more):
    return dict(JOB, run=run, **more)


def quota(b, name):
    return b.get(f"/v1/quotas/{name}")


def state(b, j):
    return b.get(f"/v1/jobs/{j}")["state"]


def task(b, j):
    return b.get(f"/v1/jobs/{j}/tasks")["items"][0]


def test_a_job_waits_for_gpus_and_starts_when_there_are_some(weir):
    with Broker(weir) as b:
        until("the host to join", lambda: b.get("/v1/nodes")["items"])
        b.ok("quota", "set", "two", "--for", "project:vision", "--counts", "gpus:A100", "--limit", "2")
        first = b.submit(job("sleep 60"))
        until("it to run", lambda: state(b, first) == "running")
        dry = b.run("submit", "--dry-run", "-", input='{"project":"vision","resources":{"accelerators":"A100:2"},"run":"true"}')
        assert "Quota 'two' has 0 GPUs left for it (of 2 GPUs)" in dry.stdout, (dry.stdout, dry.stderr)
        second = b.submit(job("true"))
        why = b.get(f"/v1/jobs/{second}/explain")["now"]
        assert why["decision"] == "blocked" and why["quota"] == {"name": "two", "needed": 2, "left": 0}, why
        assert "It can start when 2 GPUs more are left" in b.ok("explain", str(second))
        shown = b.get(f"/v1/jobs/{second}")
        assert (shown["reason"], shown["held_by"]) == ("quota", "two"), shown
        assert "quota two" in b.ok("jobs") and "quota two" in b.ok("show", str(second))
        assert b.get(f"/v1/jobs/{second}/tasks")["items"][0]["reason"] == "quota"
        assert "held_by" not in b.get(f"/v1/jobs/{first}")
        other = b.submit(job("true", project="nlp"))
        assert b.wait(other)["state"] == "succeeded", "others have their own"
        assert state(b, second) == "waiting"
        b.kill()
        b.start()
        q = quota(b, "two")
        assert (q["limit"], q["used"], q["left"], q["gpu"], q["scope"]) == (2, 2, 0, "A100", "project:vision"), q
        assert state(b, second) == "waiting"
        b.ok("cancel", str(first))
        assert b.wait(second)["state"] == "succeeded"
        until("nothing to count", lambda: quota(b, "two")["used"] == 0)


def test_gpu_hours_are_held_used_and_given_back(weir):
    with Broker(weir) as b:
        b.ok("quota", "set", "hours", "--for", "project:vision", "--counts", "gpu-hours", "--limit", "3")
        j = b.submit(job("sleep 2"))
        again = b.submit(job("true"))
        until("it to run", lambda: state(b, j) == "running")
        held = quota(b, "hours")
        assert 7200 < held["used"] + held["held"] < 3 * 3600 and held["unit"] == "gpu_s" and held["span"] == "month", held
        assert state(b, again) == "waiting", "an hour of two GPUs more is not left"
        b.kill()
        b.start()
        assert b.wait(again)["state"] == "succeeded"
        x = quota(b, "hours")
        assert x["held"] == 0 and 4 <= x["used"] < 600 and x["left"] == 3 * 3600 - x["used"], x


def test_what_is_lent_is_given_back(weir):
    with Broker(weir) as b:
        until("the host to join", lambda: b.get("/v1/nodes")["items"])
        for name in ("vision", "nlp"):
            b.ok("quota", "set", name, "--for", f"project:{name}", "--counts", "gpus", "--limit", "2", "--borrow", "all")
        one = dict(resources={"accelerators": {"A100": 1}})
        kept = [b.submit(job("sleep 60", **one)) for _ in range(2)]
        saves = b.submit(job("sleep 60", checkpoint={"path": "/tmp", "every": "10m", "signal": "TERM", "grace": "20s"}, **one))
        kept.append(b.submit(job("sleep 60", **one)))
        until("all to run", lambda: all(state(b, j) == "running" for j in kept + [saves]))
        q = quota(b, "vision")
        assert (q["limit"], q["used"], q["borrowed"], q["borrow"]) == (2, 4, 2, "all"), q
        assert [line.split()[3:6] for line in b.ok("quota").splitlines() if "vision" in line] == [["2", "4", "2"]], b.ok("quota")
        own = b.submit(dict(JOB, project="nlp", run="sleep 60", **one))
        until("it to run", lambda: state(b, own) == "running")
        assert task(b, saves)["state"] == "waiting" and all(task(b, j)["state"] == "running" for j in kept), "who can save goes, and nobody else"
        told = b.ok("explain", str(saves))
        assert f"to make room for task {own}, which is within its own share of GPUs (quota 'nlp')" in told, told
        assert (quota(b, "vision")["borrowed"], quota(b, "nlp")["borrowed"]) == (1, 0)
        b.kill()
        b.start()
        assert quota(b, "nlp")["borrow"] == "all"
        b.ok("cancel", str(own))
        until("it to run again", lambda: task(b, saves)["state"] == "running")
        b.ok("quota", "set", "vision", "--borrow", "none")
        assert quota(b, "vision")["borrow"] is None
        bad = b.run("quota", "set", "t", "--for", "project:nlp", "--counts", "tasks", "--limit", "1", "--borrow", "1")
        assert bad.returncode != 0 and "only quotas that count gpus lend and borrow" in bad.stderr, bad.stderr
        bad = b.run("quota", "set", "n2", "--for", "project:nlp", "--counts", "gpus", "--limit", "1", "--borrow", "1")
        assert bad.returncode != 0 and "'nlp' is a share of the same GPUs for the same work" in bad.stderr, bad.stderr


def test_a_quota_without_a_limit_is_refused_with_what_is_missing(weir):
    with Broker(weir, gpus=None, args=["--no-agent"]) as b:
        result = b.run("quota", "set", "q", "--for", "project:vision", "--counts", "gpus")
        assert result.returncode == 2 and result.stderr == "weir: quota: quota 'q' is new: say how much of it there may be (limit)\n", result
        b.ok("quota", "set", "q", "--for", "project:vision", "--counts", "gpus", "--limit", "2")
        assert "nothing is given that would change it" in b.run("quota", "set", "q").stderr
        result = b.run("budget", "set", "m", "--amount", "5")
        assert result.returncode == 2 and "whose it is" in result.stderr and "how much" not in result.stderr, result


def test_who_sets_and_sees_quotas(weir):
    with Broker(weir) as b:
        b.ok("quota", "set", "a", "--for", "user:ada", "--counts", "tasks", "--limit", "3")
        b.ok("quota", "set", "all", "--for", "organisation", "--counts", "machines", "--limit", "5")
        b.ok("quota", "set", "a", "--counts", "tasks", "--limit", "4")
        assert [(q["name"], q["limit"], q["counts"]) for q in b.get("/v1/quotas")["items"]] == [("a", 4, "tasks"), ("all", 5, "machines")]
        shown = b.ok("quota")
        assert "user:ada" in shown and "machines" in shown, shown
        b.ok("quota", "rm", "a")
        assert b.run("quota", "show", "a").returncode != 0
        bad = [
            (("set", "x", "--counts", "gpus", "--limit", "1"), "say whose it is"),
            (("set", "x", "--for", "organisation", "--counts", "gpus", "--limit", "1.5"), "a whole number"),
            (("set", "x", "--for", "organisation", "--counts", "cats", "--limit", "1"), "gpus, gpu-hours"),
            (("set", "x", "--for", "organisation", "--counts", "tasks:A100", "--limit", "1"), "whatever their GPUs"),
            (("set", "x", "--for", "organisation", "--counts", "gpus", "--limit", "1", "--span", "month"), "only GPU-hours"),
            (("set", "all", "--limit", "9"), "say what it counts"),
            (("rm", "x"), "does not exist"),
        ]
        for args, text in bad:
            r = b.run("quota", *args)
            assert r.returncode != 0 and text in r.stderr, (args, r.stderr)
        actions = [r["action"] for r in b.get("/v1/audit")["items"]]
        assert actions.count("quota.set") == 3 and actions.count("quota.remove") == 1, actions


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
