#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the other commands, and of what they all share, against a broker of canned answers. Usage: test_cli.py WEIR [TEST..]; prints TAP."""

import json
import os
import re
import select
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fake_broker  # noqa: E402
from fake_broker import job, task  # noqa: E402
from trial import check, env_of, equal, exit_code, golden, HERE, main, on_terminal, read_until, test, WEIR, weir  # noqa: E402

# ---- errors ----

@test
def no_broker(b):
    r = weir(None, "jobs", WEIR_URL="http://127.0.0.1:9")
    equal((r.code, r.out), (69, ""), r)
    check("no broker answers at http://127.0.0.1:9: start one with 'weir serve', or set WEIR_URL" in r.err, r)


@test
def not_a_broker(b):
    b.replies[("GET", "/v1/jobs")] = (200, "<html>hello</html>")
    r = weir(b, "jobs")
    equal(r.code, 74, r)
    check("is not a weir broker" in r.err, r)
    b.replies[("GET", "/v1/jobs")] = (404, "<html>hello</html>")
    r = weir(b, "jobs")
    check("is not a weir broker" in r.err and "404" in r.err, r)
    b.replies[("GET", "/v1/jobs")] = (200, "{}")
    r = weir(b, "jobs")
    equal(r.code, 74, r)


@test
def wrong_types_in_answers_do_no_harm(b):
    b.replies[("GET", "/v1/jobs")] = (200, {"items": [1, None, "x", {"id": "x", "cost_micro": [], "state": 5}], "next": 7})
    r = weir(b, "jobs")
    equal(r.code, 0, r)
    golden("jobs-odd.txt", r.out)


@test
def a_cursor_that_does_not_move_ends(b):
    b.replies[("GET", "/v1/jobs")] = (200, {"items": [job(1)], "next": "same"})
    r = weir(b, "jobs", "--all", "-q")
    equal(r.code, 0, r)


@test
def tokens(b):
    b.token = "secret"
    r = weir(b, "jobs")
    equal(r.code, 77, r)
    equal(r.err, f"weir: jobs: the broker at {b.url} wants a token: run 'weir login', or set WEIR_TOKEN (the file 'token' in its data directory has one)\n")
    r = weir(b, "jobs", WEIR_TOKEN="wrong")
    equal(r.code, 77, r)
    equal(r.err, f"weir: jobs: the broker at {b.url} does not take this token: check WEIR_TOKEN (the file 'token' in its data directory has one)\n")
    equal(weir(b, "jobs", WEIR_TOKEN="secret").code, 0)
    with tempfile.TemporaryDirectory() as d:
        os.makedirs(d + "/weir")
        with open(d + "/weir/token", "w") as f:
            f.write("secret\n")
        equal(weir(b, "jobs", XDG_DATA_HOME=d).code, 0)


@test
def a_found_token_of_another_broker(b):
    b.unknown_token = "other"
    equal(weir(b, "jobs", WEIR_TOKEN="other").code, 77)
    with tempfile.TemporaryDirectory() as d:
        os.makedirs(d + "/weir")
        with open(d + "/weir/token", "w") as f:
            f.write("other\n")
        equal(weir(b, "jobs", XDG_DATA_HOME=d).code, 0)


@test
def bad_urls(b):
    for url in ("ftp://x", "http://a b", "http://x/?q"):
        r = weir(None, "jobs", "--url", url)
        equal(r.code, 2, r)


@test
def unknown_words(b):
    r = weir(b, "job")
    equal((r.code, r.err), (2, "weir: there is no command 'job'; did you mean 'jobs'?\n"))
    r = weir(b, "jobs", "--stat", "x")
    equal((r.code, r.err), (2, "weir: jobs: unknown option '--stat'; did you mean '--state'?\n"))
    r = weir(b, "jobs", "extra")
    equal(r.code, 2, r)
    r = weir(b, "show")
    equal((r.code, r.err), (2, "weir: show: an argument is missing; usage: weir show [OPTION]... JOB[_INDEX]...\n"))


# ---- explain ----

EXPLAIN = {"job": 12, "items": [{
    "seq": 1, "at": fake_broker.T0, "task": "12_7", "attempt": 1, "decision": "start", "node": "host1", "lease": None,
    "reason": None, "queue_ahead": 0, "expected_run_s": 60, "margin_micro": 120000, "considered": 3,
    "rejected": {"wrong_gpu": 1}, "text": "Owned GPUs are free and cost least.",
    "candidates": [
        {"kind": "owned_now", "verdict": "chosen", "verdict_text": "cheapest", "node": "host1", "offer": None,
         "start_delay_s": 0, "run_micro": 1, "boot_micro": 0, "egress_micro": 0, "reclaim_micro": 0, "wait_micro": 0,
         "shadow_micro": 0, "total_micro": 1},
        {"kind": "lease_new", "verdict": "dearer", "verdict_text": "costs more", "node": None,
         "offer": {"provider": "aws", "region": "us-east-1", "instance_type": "p4d.24xlarge", "market": "spot",
                   "price_micro_per_hour": 21957642, "source": "s", "as_of": fake_broker.T0},
         "start_delay_s": 90, "run_micro": 110000, "boot_micro": 10001, "egress_micro": 0, "reclaim_micro": 0,
         "wait_micro": 0, "shadow_micro": 0, "total_micro": 120001}]}], "now": None}


@test
def explain(b):
    b.add(job(12), task(12, 7))
    b.replies[("GET", "/v1/jobs/12/explain")] = (200, EXPLAIN)
    r = weir(b, "explain", "12_7")
    equal(r.code, 0, r)
    golden("explain.txt", r.out)
    equal(json.loads(weir(b, "explain", "12_7", "--json").out), EXPLAIN)
    equal(b.requests[0][2], {"limit": "1000", "task": "7"})


# ---- places, prices, money ----

def lists(b):
    b.replies[("GET", "/v1/status")] = (200, {
        "version": "0.1.0", "uptime_s": 3700, "listen": "127.0.0.1:7070", "data": "/d", "currency": "EUR",
        "jobs": {"waiting": 2, "running": 1}, "tasks": {"waiting": 20, "running": 3}, "nodes": {"up": 1, "lost": 1},
        "gpus": {"total": 4, "free": 3}, "leases": 1, "spend_micro_per_hour": 1500000,
        "store": {"schema": 1, "bytes": 1, "free_bytes": 1},
        "checks": [{"name": "store", "ok": True, "text": "1 MB", "remedy": None},
                   {"name": "prices", "ok": False, "text": "older than 30 days", "remedy": "import newer ones"}],
        "rss_bytes": 1})
    b.replies[("GET", "/v1/pools")] = (200, {"items": [
        {"name": "local", "kind": "placed", "nodes": 1, "gpus": 4, "gpus_free": 3, "cpu_milli": 16500, "running": 1,
         "rate_micro_per_hour": 1234567}], "next": None})
    b.replies[("GET", "/v1/nodes")] = (200, {"items": [
        {"id": 5, "name": "host1", "pool": "local", "state": "up", "gpu": "A100", "gpus": 4, "gpus_free": 3,
         "gpu_mem_mib": 40960, "cpu_milli": 16000, "cpu_free_milli": 15500, "mem_mib": 64000, "mem_free_mib": 64000,
         "declared": True, "lease": None, "running": 1, "since": fake_broker.T0, "seen": fake_broker.T1,
         "address": "127.0.0.1", "energy": "modelled", "rate_full_micro_per_hour": 1234567, "rate_marginal_micro_per_hour": 1},
        {"id": 1003, "name": "rented", "pool": "sandbox", "state": "draining", "gpu": None, "gpus": 0, "gpus_free": 0,
         "gpu_mem_mib": 0, "cpu_milli": 2000, "cpu_free_milli": 2000, "mem_mib": 800, "mem_free_mib": 800,
         "declared": False, "lease": 3, "running": 0, "since": fake_broker.T0, "seen": fake_broker.T1,
         "address": "127.0.0.1", "energy": "modelled", "rate_full_micro_per_hour": 5, "rate_marginal_micro_per_hour": 1}],
        "next": None})
    b.replies[("GET", "/v1/leases")] = (200, {"items": [
        {"id": 3, "state": "ready", "provider": "sandbox", "region": "eu-west", "instance_type": "p4d.24xlarge",
         "market": "spot", "gpus": 8, "gpu": "A100", "instance": "sbx-1", "node": 1003, "job": 12,
         "price_micro_per_hour": 9999999, "price_now_micro_per_hour": 12500000, "intent": fake_broker.T0, "confirmed": fake_broker.T1, "ready": None,
         "reclaim": None, "ended": None, "expires": fake_broker.T2, "reclaimed": False, "cost_micro": 4200,
         "currency": "EUR", "text": ""}], "next": None})
    for verb in ("drain", "resume", "remove"):
        b.replies[("POST", f"/v1/nodes/5/{verb}")] = (200, {"id": 5, "name": "host1", "state": "draining"})
    b.replies[("POST", "/v1/leases/3/end")] = (200, {"id": 3, "state": "ending"})
    b.replies[("POST", "/v1/sandbox/fault")] = (200, {"what": "x"})


@test
def explain_tells_decisions_of_an_array_once(b):
    b.add(job(12, tasks=30, array="0-29"), *[task(12, i) for i in range(30)])
    record = dict(EXPLAIN["items"][0])
    items = [dict(record, task=f"12_{i}", text=f"Task 12_{i} starts.") for i in range(20)]
    rent = dict(record, decision="rent", candidates=[dict(record["candidates"][1], verdict="chosen")])
    items += [dict(rent, task=f"12_{i}", node=None, text=f"Task 12_{i} is rented for.") for i in range(20, 30)]
    b.replies[("GET", "/v1/jobs/12/explain")] = (200, {"job": 12, "items": items, "now": None})
    r = weir(b, "explain", "12")
    equal(r.code, 0, r)
    check("start of 20 tasks (12_0, 12_1, 12_2, ...), on host1" in r.out, r)
    check("rent of 10 tasks (12_20, 12_21, 12_22, ...)" in r.out, r)
    equal([line for line in r.out.splitlines() if line.startswith("Task ")],
          ["Task 12_0 starts.", "Task 12_20 is rented for."])
    check("weir explain 12_INDEX" in r.out, r)
    equal(b.requests[0][2], {"limit": "1000"})
    r = weir(b, "explain", "--last", "12")
    check(r.out.startswith("rent of task 12_29"), r)


@test
def pools_nodes_leases(b):
    lists(b)
    golden("pools.txt", weir(b, "pools").out)
    golden("nodes.txt", weir(b, "nodes").out)
    golden("leases.txt", weir(b, "leases").out)
    equal([n["id"] for n in json.loads(weir(b, "nodes", "--json").out)], [5, 1003])
    weir(b, "leases", "--all")
    equal(b.requests[-2][2]["all"], "true")


@test
def nodes_are_drained_by_name_or_id(b):
    lists(b)
    r = weir(b, "nodes", "drain", "host1")
    equal((r.code, r.out, r.err), (0, "", "weir: node host1: drain, now draining\n"))
    equal(weir(b, "nodes", "remove", "5").code, 0)
    equal([q[1] for q in b.requests if q[0] == "POST"], ["/v1/nodes/5/drain", "/v1/nodes/5/remove"])
    r = weir(b, "nodes", "drain", "nowhere")
    equal(r.code, 3, r)
    r = weir(b, "nodes", "drian", "host1")
    equal(r.code, 2, r)
    check("did you mean 'drain'" in r.err, r)


@test
def the_newest_leases_are_shown_where_fewer_are_asked_for(b):
    rows = [{"id": i, "state": "ended", "provider": "aws", "region": "r", "instance_type": "t", "market": "spot"} for i in range(1, 8)]
    b.replies[("GET", "/v1/leases")] = (200, {"items": rows, "next": None})
    equal([x["id"] for x in json.loads(weir(b, "leases", "--all", "--limit", "3", "--json").out)], [5, 6, 7])
    r = weir(b, "leases", "--all", "-n", "3")
    check("these are the newest 3 of 7" in r.err and len(r.out.splitlines()) == 4, r)
    equal(len(json.loads(weir(b, "leases", "--all", "--json").out)), 7)
    equal(weir(b, "leases", "--limit", "0").code, 2)


@test
def leases_are_ended(b):
    lists(b)
    equal(weir(b, "leases", "end", "3").code, 0)
    equal(b.requests[-1][:2], ("POST", "/v1/leases/3/end"))
    equal(weir(b, "leases", "end", "x").code, 2)
    equal(weir(b, "leases", "end").code, 2)


@test
def sandbox_reclaims_by_node(b):
    lists(b)
    for name in ("rented", "1003", "sbx-1"):
        equal(weir(b, "sandbox", "reclaim", name).code, 0)
        equal(b.requests[-1][3], {"what": "reclaim:sbx-1"})
    equal(weir(b, "sandbox", "reclaim", "host1").code, 3)
    equal(weir(b, "sandbox", "fault", "no_capacity").code, 0)
    equal(b.requests[-1][3], {"what": "no_capacity"})


def offer(**over):
    o = {"provider": "aws", "region": "us-east-1", "zone": None, "instance_type": "p4d.24xlarge", "market": "on_demand",
         "gpu": "A100", "gpus": 8, "gpu_mem_mib": 40960, "cpu_milli": 96000, "mem_mib": 1179648,
         "price_micro_per_hour": 21957642, "price_micro_per_gpu_hour": 2744705, "currency": "USD", "source": "list",
         "as_of": fake_broker.T0, "age_s": 86400, "launchable": False, "verdict": "included", "reason": None}
    o.update(over)
    return o


@test
def offers(b):
    b.replies[("GET", "/v1/offers")] = (200, {"items": [
        offer(provider="local", region=None, instance_type="host1", gpus=4, price_micro_per_hour=4000, launchable=True),
        offer(), offer(provider="gcp"), offer(verdict="refused", reason="price is zero", price_micro_per_hour=0)],
        "feeds": [{"provider": "gcp", "state": "failed", "text": "gcp: list SKUs: no answer"}], "next": None})
    r = weir(b, "offers", "--gpus", "A100:8", "--spot", "--region", "eu-*", "--all")
    equal(r.code, 0, r)
    golden("offers.txt", r.out)
    equal(b.requests[0][2], {"gpus": "A100:8", "spot": "true", "region": "eu-*", "all": "true", "limit": "50"})
    equal(len(json.loads(weir(b, "offers", "--json").out)), 4)


BILL_ROW = {"gpu_hours_milli": 1500, "used_micro": 3000001, "idle_micro": 0, "waste_boot_micro": 10, "waste_lost_micro": 0,
            "waste_failed_micro": 0, "total_micro": 3000011, "cost_provider_micro": 3000000, "cost_depreciation_micro": 11,
            "cost_energy_micro": 0, "cost_upkeep_micro": 0}


def bill_answer(**over):
    rows = [dict(BILL_ROW, project="vision", **{"tag:team": 'a"b'}),
            dict(BILL_ROW, project="", used_micro=0, idle_micro=7, waste_boot_micro=0, total_micro=7, **{"tag:team": "=1"})]
    o = {"currency": "USD", "from": fake_broker.T0, "to": fake_broker.T2, "by": ["project", "tag:team"], "rows": rows,
         "total": dict(BILL_ROW, idle_micro=7, total_micro=3000018)}
    o.update(over)
    return o


@test
def bill(b):
    b.replies[("GET", "/v1/bill")] = (200, bill_answer())
    r = weir(b, "bill", "--by", "project,tag:team", "--month", "2026-12")
    golden("bill.txt", r.out)
    equal(b.requests[0][2], {"by": "project,tag:team", "from": "2026-12-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"})
    golden("bill.csv", weir(b, "bill", "--format", "csv").out)
    equal(json.loads(weir(b, "bill", "--format", "json").out), bill_answer())
    equal(json.loads(weir(b, "bill", "--json").out), bill_answer())
    for bad in (["--month", "2026-13"], ["--month", "x"], ["--month", "2026-11", "--from", "2026-01-01"],
                ["--from", "2026-02-01", "--to", "2026-01-01"], ["--format", "xml"]):
        equal(weir(b, "bill", *bad).code, 2, bad)


@test
def bill_of_carbon(b):
    """What nobody knows is "unknown" for people, and empty in a table for programs."""
    known = {"energy_mj": 7201800000, "carbon_ug": 760190000, "carbon_unknown_micro": 0, "idle_energy_mj": 3600000, "idle_carbon_ug": 380500}
    dark = {"energy_mj": 900000, "carbon_ug": None, "carbon_unknown_micro": 7, "idle_energy_mj": 0, "idle_carbon_ug": 0}
    o = bill_answer()
    o["rows"] = [dict(o["rows"][0], **known), dict(o["rows"][1], **dark)]
    o["total"] = {**o["total"], **known, "carbon_unknown_micro": 7}
    b.replies[("GET", "/v1/bill")] = (200, o)
    golden("bill-carbon.txt", weir(b, "bill", "--by", "project,tag:team", "--view", "carbon").out)
    equal(b.requests[0][2], {"by": "project,tag:team"})
    golden("bill-carbon.csv", weir(b, "bill", "--view", "carbon", "--format", "csv").out)


@test
def bill_check(b):
    o = {"balanced": True, "postings": 10, "nodes": 2, "spans": 3, "cost_micro": 6, "used_micro": 1, "idle_micro": 2,
         "waste_micro": 3, "energy_mj": 7201800000, "carbon_ug": 760190499, "error": None}
    b.replies[("GET", "/v1/bill/check")] = (200, o)
    r = weir(b, "bill", "--check")
    equal(r.code, 0, r)
    golden("bill-check.txt", r.out)
    b.replies[("GET", "/v1/bill/check")] = (200, dict(o, balanced=False, error="node 2: 1 over"))
    for option in (["--from", "2026-01-01"], ["--month", "2026-11"], ["--by", "user"], ["--format", "csv"], ["--job", "1"]):
        r = weir(b, "bill", "--check", *option)
        equal(r.code, 2, r)
        check(f"options '--check' and '{option[0]}' do not go together" in r.err, r)
    r = weir(b, "bill", "--check")
    equal((r.code, r.err), (65, "weir: bill: the ledger is not balanced: node 2: 1 over\n"))


@test
def a_bill_of_nothing_says_so(b):
    b.replies[("GET", "/v1/bill")] = (200, bill_answer(rows=[]))
    r = weir(b, "bill", "--user", "nobody")
    equal((r.code, r.err), (0, "weir: bill: nothing is booked for that\n"), r)


@test
def wrong_values_are_refused_in_words(b):
    b.replies[("GET", "/v1/events")] = (200, {"items": [], "next": None})
    lists(b)
    table = [  # arguments, exit code, what is said
        (["jobs", "--limit", "0"], 2, "option '--limit N': 0 is not a number from 1 on"),
        (["offers", "--limit", "-1"], 2, "option '--limit N'"),
        (["nodes", "list", "x"], 2, "'x' is one argument too many: all nodes are listed"),
        (["events", "--job", "99"], 0, "no events"),
        (["jobs", "--url", "http://"], 2, "is not the URL of a broker"),
        (["jobs", "--url", "http:///"], 2, "is not the URL of a broker"),
        (["submit", "--max-cost", "0", "-"], 2, "option '--max-cost 0': nothing runs for nothing; leave it out where there is no limit"),
        (["submit", "--delay-cost", "-5", "-"], 2, "option '--delay-cost AMOUNT': -5 is less than nothing"),
        (["project", "set", "x", "--delay-cost", "-0.1"], 2, "-0.1 is less than nothing"),
        (["sandbox", "frob", "x"], 2, "usage: weir sandbox reclaim NODE"),
        (["sandbox"], 2, "an argument is missing"),
        (["budget", "--amount", "5"], 2, "option '--amount' is for 'set', not for 'list'"),
        (["user", "rm", "x", "--role", "admin"], 2, "option '--role' is for 'add' and 'set', not for 'rm'"),
        (["policy", "test", "--reason", "x"], 2, "option '--reason' is for 'set', not for 'test'"),
        (["quota", "sho", "x"], 2, "'sho' is not one of list, show, set, rm; did you mean 'show'?"),
        (["rule", "add"], 2, "'add' needs NAME KIND: weir rule add NAME KIND"),
        (["project", "show", "a", "b"], 2, "'b' is one argument too many: weir project show NAME"),
        (["alerts", "receivers", "x"], 2, "'x' is one argument too many: weir alerts receivers"),
        (["token", "revoke"], 2, "'revoke' needs TOKEN...: weir token revoke TOKEN..."),
    ]
    for args, code, says in table:
        r = weir(b, *args, stdin=b"run: 'true'\n")
        equal((r.code, r.out), (code, ""), f"{args}\n{r}")
        check(says in r.err, f"{args}\n{r}")


@test
def project(b):
    p = {"name": "a/b c", "weight": 100, "delay_cost_micro_per_hour": 100000, "spent_micro": 1500000, "waste_micro": 0,
         "total_micro": 1500000, "currency": "USD"}
    b.replies[("GET", "/v1/projects")] = (200, {"items": [p], "next": None})
    golden("projects.txt", weir(b, "project").out)
    path = "/v1/projects/a%2Fb%20c"
    b.replies[("GET", path)] = (200, dict(p, by_pool=[{"pool": "local", "total_micro": 1500000}]))
    b.replies[("PUT", path)] = (200, p)
    golden("project.txt", weir(b, "project", "show", "a/b c").out)
    r = weir(b, "project", "set", "a/b c", "--weight", "200", "--delay-cost", "2.50")
    equal(r.code, 0, r)
    equal(b.requests[-1][3], {"weight": 200, "delay_cost": "2.50"})
    equal(weir(b, "project", "set", "x").code, 2)
    equal(weir(b, "project", "frob").code, 2)


@test
def top_once(b):
    lists(b)
    b.add(job(12), task(12))
    r = weir(b, "top")
    equal(r.code, 0, r)
    golden("top.txt", r.out.replace(b.url, "URL"))
    equal(json.loads(weir(b, "top", "--json").out)["status"]["version"], "0.1.0")


@test
def top_live_ends_with_q(b):
    lists(b)
    b.add(job(12), task(12))
    pid, fd = on_terminal(b, "top", "--interval", "100ms")
    read_until(fd, rb"GPUs 1/4 busy")
    read_until(fd, rb"GPUs 1/4 busy")
    os.write(fd, b"q")
    read_until(fd, rb"\x1b\[\?25h\x1b\[\?1049l")
    equal(exit_code(pid, fd), 0)


def event(id, **over):
    o = {"id": id, "at": fake_broker.T0, "kind": "task.started", "job": 12, "index": 7, "node": "host1", "lease": None, "text": ""}
    o.update(over)
    return o


@test
def events(b):
    b.replies[("GET", "/v1/events")] = (200, {"items": [event(1), event(2, kind="lease.ended", job=None, index=None, lease=3,
                                                                       node=None, text="by\x1b[31m itself")], "next": None})
    golden("events.txt", weir(b, "events", "--job", "12").out)
    equal(b.requests[0][2], {"job": "12", "limit": "1000"})
    equal(len(json.loads(weir(b, "events", "--json").out)), 2)


@test
def events_follow_goes_on_after_a_break(b):
    calls = []

    def stream(h, query):
        calls.append(query)
        b.begin_stream(h, "application/x-ndjson")
        if len(calls) == 1:
            b.chunk(h, json.dumps(event(1)).encode() + b"\n" + b'{"id": 2, "ki')
            h.connection.shutdown(socket.SHUT_RDWR)
            h.close_connection = True
            return
        b.chunk(h, json.dumps(event(2, kind="the.second")).encode() + b"\n")
        b.cancelled.wait(30)

    b.replies[("GET", "/v1/events")] = stream
    p = subprocess.Popen([WEIR, "events", "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env_of(b))
    check(b"task.started" in p.stdout.readline(), "first event")
    check(b"the.second" in p.stdout.readline(), "second event")
    p.terminate()
    p.communicate(timeout=300)
    equal(calls[1]["after"], "1")


@test
def doctor(b):
    lists(b)
    r = weir(b, "doctor")
    equal(r.code, 1, r)  # a lost node and an old price list
    check("import newer ones" in r.out and "1 node up" in r.out, r)
    o = json.loads(weir(b, "doctor", "--json").out)
    check(not o["ok"], o)
    names = {c["name"] for c in o["checks"]}
    check({"broker", "store", "prices", "data", "config", "gpu driver", "containers", "cgroup", "clock"} <= names, names)
    r = weir(None, "doctor", WEIR_URL="http://127.0.0.1:9")
    equal(r.code, 1, r)
    check("-> weir serve" in r.out, r)
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        r = weir(None, "doctor", "--data", d)
        check("others may look into it" in r.out, r)


# ---- words about the commands ----

def commands():
    return re.findall(r"^  ([a-z]+) +\S", weir(None, "help").out.split("Environment:")[0], re.M)


@test
def help_of_every_command(b):
    names = commands()
    check({"run", "submit", "jobs", "show", "logs", "wait", "cancel", "explain", "offers", "pools", "nodes", "leases", "top",
           "events", "bill", "project", "doctor", "completion", "help", "version"} <= set(names), names)
    for name in names:
        r = weir(None, name, "--help")
        equal((r.code, r.err), (0, ""), name)
        check(r.out.startswith(f"usage: weir {name}"), r)
        check("--json" in r.out, r)
        equal(weir(None, "help", name).out, r.out)
        for line in r.out.splitlines():
            check(len(line) <= 130, line)
    listed = json.loads(weir(None, "help", "--json").out)
    equal([c["name"] for c in listed], names)
    check(all(c["group"] and c["summary"] for c in listed), listed)
    r = weir(None, "--json", "jobs")
    equal((r.code, r.err), (2, "weir: '--json' stands before the command: weir COMMAND [OPTION]...\n"), r)
    equal(weir(None).code, 2)
    equal(weir(None, "--version").out, weir(None, "version").out)
    equal(weir(None, "help", "nothing").code, 2)


@test
def help_fits_a_narrow_terminal(b):
    for name in ("submit", "bill", "sim"):
        pid, fd = on_terminal(b, name, "--help", COLUMNS="60")
        text = b""
        while b"-h, --help" not in text or select.select([fd], [], [], 0.2)[0]:
            try:
                text += os.read(fd, 65536)
            except OSError:
                break
        equal(exit_code(pid, fd), 0)
        lines = text.decode().replace("\r", "").split("\n")
        check("Options:" in lines and max(map(len, lines)) <= 60, lines)


@test
def man_pages_say_what_help_says(b):
    with tempfile.TemporaryDirectory() as d:
        equal(weir(None, "help", "--man", d).code, 0)
        equal(sorted(os.listdir(d)), sorted(["weir.1"] + [f"weir-{n}.1" for n in commands()]))
        for name in commands():
            with open(f"{d}/weir-{name}.1") as f:
                page = f.read()
            plain = page.replace("\\-", "-")
            for option in re.findall(r"(?<!\S)--[a-z-]+", weir(None, name, "--help").out.split("Options:")[1].split("Examples:")[0]):
                check(option in plain, f"{name}: {option} is not in the man page")
            for macro in (".TH", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS", ".SH EXIT STATUS"):
                check(macro in page, f"{name}: {macro}")
            for line in page.splitlines():
                check(not line.startswith(".") or re.match(r"\.(TH|SH|TP|PP|nf|fi|\\\")", line), f"{name}: {line}")
    equal(weir(None, "help", "--man", "/nonexistent/man").code, 3)


@test
def the_guide_names_every_command(b):
    with open(os.path.join(HERE, "..", "..", "..", "docs", "guide", "commands.md")) as f:
        guide = f.read()
    equal(set(re.findall(r"^\| `weir ([a-z]+)", guide, re.M)), set(commands()))
    for name, options in re.findall(r"`weir ([a-z]+)([^`|]*)`", guide):
        text = weir(None, name, "--help").out
        for option in re.findall(r"(?<!\S)--[a-z-]+", options.split(" -- ")[0]):
            check(option in text, f"the guide names {option} of {name}")
    exits = dict(re.findall(r"^\| (\d+) \| ([^|]+) \|", guide, re.M))
    with tempfile.TemporaryDirectory() as d:
        weir(None, "help", "--man", d)
        with open(d + "/weir.1") as f:
            page = f.read().replace("\\-", "-")
    for code in re.findall(r"^\.TP\n(\d+)$", page, re.M):
        check(code in exits, f"exit code {code} is not in the guide")


@test
def completion_scripts_are_well_formed(b):
    for shell in ("bash", "zsh", "fish"):
        r = weir(None, "completion", shell)
        equal(r.code, 0)
        check(all(name in r.out for name in commands()), shell)
    equal(weir(None, "completion", "tcsh").code, 2)
    script = weir(None, "completion", "bash").out
    probe = script + """
complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _weir; echo "${COMPREPLY[*]}"; }
complete_words weir su
complete_words weir jobs --st
complete_words weir jobs --state ru
complete_words weir nodes dr
complete_words weir completion z
"""
    p = subprocess.run(["bash", "-c", probe], capture_output=True, timeout=300)
    equal(p.stdout.decode().splitlines(), ["submit", "--state", "running", "drain", "zsh"], p)


@test
def examples_in_help_parse(b):
    """Every example that begins with weir uses options that exist."""
    for name in commands():
        text = weir(None, name, "--help").out
        for line in text.split("Examples:")[1].splitlines() if "Examples:" in text else []:
            m = re.match(r"  (weir [a-z]+ .*)", line)
            words = m.group(1).split() if m else []
            own = words[2:words.index("--")] if "--" in words else words[2:]
            options = re.findall(r"--[a-z-]+", " ".join(own))
            for option in options:
                check(option in text.split("Examples:")[0], f"{name}: {option}")


sys.exit(main())
