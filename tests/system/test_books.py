#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is kept over time: bills of spans in the past, the proof of the ledger, what goes for its age."""
import datetime
import json
import os
import sqlite3
import sys
import threading
import time

import lib
from lib import Broker, until


def bill(b, *spans, by="node,job"):
    """Rows of the bill by their keys: what was used, idle and wasted in a span."""
    return {(r["node"], r["job"]): (r["used_micro"], r["idle_micro"], r["waste_boot_micro"], r["waste_lost_micro"],
                                                    r["waste_failed_micro"])
            for r in b.get("/v1/bill?by=" + by + "".join(f"&{k}={v}" for k, v in zip(("from", "to"), spans)))["rows"]}


def now(b):
    return b.get("/v1/bill")["to"]


def test_the_bill_of_a_past_span_stays_as_it_was(weir):
    with Broker(weir, gpus="A100:2") as b:
        start = now(b)
        b.wait(b.submit({"name": "before", "resources": {"accelerators": {"A100": 1}}, "run": "sleep 0.5"}))
        across = b.submit({"name": "across", "resources": {"accelerators": {"A100": 1}}, "run": "sleep 6"})
        until("it to run", lambda: b.get(f"/v1/jobs/{across}")["state"] == "running")
        middle = now(b)
        first = bill(b, start, middle)
        assert first and any(v[0] > 0 for v in first.values()), first
        b.kill()
        b.start()
        b.wait(b.submit({"name": "after", "resources": {"accelerators": {"A100": 1}}, "run": "sleep 0.5"}))
        b.stop()
        b.start()
        assert b.wait(across)["state"] == "succeeded"
        end = now(b)
        assert bill(b, start, middle) == first
        # what neighbouring spans say adds up, key by key, to what the whole says
        parts = [first, bill(b, middle, end)]
        whole = bill(b, start, end)
        for key, sums in whole.items():
            assert sums == tuple(map(sum, zip(*(p[key] for p in parts if key in p)))), (key, sums, parts)
        assert {k for p in parts for k in p} == set(whole)
        b.balanced()


LAST_SPAN = "(node, from_us, to_us) = (SELECT node, from_us, to_us FROM posting ORDER BY id DESC LIMIT 1)"


def test_a_ledger_that_was_tampered_with_does_not_pass(weir):
    with Broker(weir, gpus="A100:2") as b:
        b.wait(b.submit({"resources": {"accelerators": {"A100": 1}}, "run": "sleep 0.2", "array": "0-3"}))
        b.balanced()
        b.stop()
        whole = (b.data / "weir.db").read_bytes()
        for change, says in (
                ("UPDATE posting SET amount_micro = amount_micro + 1 WHERE id = (SELECT max(id) FROM posting WHERE job <> 0)", "cost side"),
                ("DELETE FROM posting WHERE id = 2", "posting 2 is missing"),
                # the whole of the last span, both sides of it, and all postings
                (f"DELETE FROM posting WHERE {LAST_SPAN}", "is missing"),
                ("DELETE FROM posting", "posting 1 is missing"),
                ("UPDATE posting SET from_us = from_us - 60000000 WHERE id = 9", "node 1"),
                ("UPDATE posting SET at_us = at_us - 3600000000 WHERE id = 9", "posting 9"),
                ("UPDATE posting SET debit = 0 WHERE id = 3", "posting 3")):
            with sqlite3.connect(b.data / "weir.db") as db:
                assert db.execute(change).rowcount >= 1, change
            db.close()
            b.start()
            result = b.run("bill", "--check")
            assert result.returncode != 0 and says in result.stdout + result.stderr, (change, result)
            assert not b.get("/v1/bill/check")["balanced"], change
            b.stop()
            for name in ("weir.db-wal", "weir.db-shm"):
                (b.data / name).unlink(missing_ok=True)
            (b.data / "weir.db").write_bytes(whole)
        b.start()
        b.balanced()


def test_old_events_explanations_and_logs_go_and_bills_stay(weir):
    with Broker(weir, config="retention: {events: 2s, explains: 2s, logs: 2s}\n") as b:
        old = b.submit({"run": "echo old"})
        b.wait(old)
        cost = b.get(f"/v1/jobs/{old}")["cost_micro"]
        first = b.get("/v1/events?limit=1")["items"][0]["id"]
        assert b.log(old) == "old\n"
        live = b.submit({"run": "echo live; sleep 600"})
        until("its line", lambda: b.log(live) == "live\n")
        b.stop()  # the walk over the logs is made at a start
        until("two seconds", lambda: os.stat(b.data / "logs" / str(live)).st_mtime < lib.time.time() - 3)
        b.start()

        def pruned():
            b.submit({"run": "true"})
            return b.get("/v1/events?limit=1")["items"][0]["id"] > first
        until("the first event to go", pruned)
        until("the log to go", lambda: not (b.data / "logs" / str(old)).exists())
        until("the explanation to go", lambda: b.get(f"/v1/jobs/{old}/explain")["items"] == [])
        assert b.log(live) == "live\n"
        assert b.log(old) == ""
        status, body = b.http("GET", f"/v1/events?after={first}")
        assert status == 404 and "retention" in json.loads(body)["error"]["message"], body
        refused = b.run("events", "--after", first)
        assert refused.returncode == 3 and "after=" in refused.stderr, refused
        status, _ = b.http("GET", f"/v1/events?after={first}&follow=true")
        assert status == 404
        kept = b.get("/v1/events")["items"]
        assert [e["id"] for e in kept] == list(range(kept[0]["id"], kept[-1]["id"] + 1))
        assert b.get(f"/v1/jobs/{old}")["cost_micro"] == cost
        b.balanced()
        b.ok("cancel", live)


def test_credentials_of_machines_that_are_over_go(weir):
    with Broker(weir) as b:
        b.stop()
        with sqlite3.connect(b.data / "weir.db") as db:
            db.execute("INSERT INTO token (hash, name, role, user, lease, expires_us) VALUES (?, 'lease-999', 'agent', '', 999, 0)", ["0" * 64])
            before = {row[0] for row in db.execute("SELECT name FROM token")}
        db.close()
        b.start()

        def names():
            return {row[0] for row in b.stored("SELECT name FROM token")}
        until("the credential to go", lambda: "lease-999" not in names())
        assert names() == before - {"lease-999"}


def test_a_tariff_counts_from_its_moment_on(weir):
    """Also where nobody looked: one change comes while the broker runs, one while it is away. It is tried again with a later first one where
    the host is too busy for a node to be there before."""
    assert any(tariff_counts(weir, lead_s) for lead_s in (6, 25, 90)), "no node was there in time"


def tariff_counts(weir, lead_s):
    soon = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0) + datetime.timedelta(seconds=lead_s)
    later = soon + datetime.timedelta(seconds=9)

    def text(at, more=0):
        return (at + datetime.timedelta(seconds=more)).strftime("%Y-%m-%dT%H:%M:%SZ")

    def second(b, at, more):
        """Micro-units of the second from at + more on, whoever bears them."""
        return sum(sum(v) for v in bill(b, text(at, more), text(at, more + 1), by="node,job").values())

    # 1.00 an hour is 277.8 a second; a kilowatt at 0.36 is 100 a second
    config = ("pools: {local: {cost: {purchase: 35040, residual: 0, life: 35040h, upkeep_per_year: 0, pue: 1, idle_watts: 1000,"
              f" busy_watts: 1000, tariff_per_kwh: 0.36, tariff: [{{per_kwh: 36, from: '{text(soon)}'}},"
              f" {{per_kwh: 3.6, from: '{text(later)}'}}]}}}}}}\n")
    with Broker(weir, config=config) as b:
        def cost():
            pools = [p for p in b.get("/v1/pools")["items"] if p["costs"]]
            return pools[0]["costs"][0] if pools else {}

        until("the node", cost)
        first = cost()
        if now(b) > text(soon, -3):
            return False
        assert first["tariff_micro_per_kwh"] == 360000 and first["billed_busy_micro_per_hour"] == 1360000, first
        until("the first change", lambda: cost()["tariff_micro_per_kwh"] == 36000000)
        until("two seconds at the new price", lambda: now(b) > text(soon, 2))
        assert abs(second(b, soon, -1) - 378) <= 2 and abs(second(b, soon, 0) - 10278) <= 2, (second(b, soon, -1), second(b, soon, 0))
        b.kill()
        until("the second change", lambda: datetime.datetime.now(datetime.timezone.utc) > later + datetime.timedelta(seconds=2))
        b.start()
        assert abs(second(b, later, -1) - 10278) <= 2 and abs(second(b, later, 0) - 1278) <= 2, (second(b, later, -1), second(b, later, 0))
        assert cost()["tariff_micro_per_kwh"] == 3600000
        b.balanced()
        return True


def test_an_agent_whose_clock_is_wrong_is_billed_right(weir):
    hour = 3600 * 10**6
    for skew in (-2 * hour, 2 * hour):
        with Broker(weir, args=["--no-agent"]) as b:
            join = {"protocol": 1, "version": "x", "agent_id": "a" * 32, "boot_id": "b", "name": "h", "pool": "local", "address": "127.0.0.1",
                    "lease": 0, "hardware": {"cpu_milli": 1000, "mem_mib": 1000, "gpus": []}, "runs": []}
            who = json.loads(b.http("POST", "/v1/agent/join", join)[1])
            who = {"node": who["node"], "session": who["session"]}
            job = b.submit({"name": "short", "argv": ["true"]})
            command = json.loads(b.http("POST", "/v1/agent/sync", {**who, "ack": 0, "wait_ms": 5000})[1])["commands"][0]

            def now():
                return time.time_ns() // 1000 + skew

            def report(**what):
                status, body = b.http("POST", "/v1/agent/report", {**who, "now": now(), "reports": [{"run": command["run"], **what}]})
                assert status == 200, body
            started = now()
            report(type="started", at=started)
            until("a second to pass", lambda: now() - started > 1000000)
            ended = started + 1000000
            report(type="ended", at=ended, started=started, reason="exit", exit_code=0)
            row = b.get(f"/v1/jobs/{job}")
            took = [datetime.datetime.fromisoformat(row[k].replace("Z", "+00:00")) for k in ("started", "ended")]
            assert 0.5 < (took[1] - took[0]).total_seconds() < 1.5, row
            assert row["cost_micro"] > 0, row
            b.balanced()


def test_a_silent_node_is_noticed_while_calls_stream_in(weir):
    with Broker(weir, config="node_silence: 2s\n", args=["--no-agent"]) as b:
        join = {"protocol": 1, "version": "x", "agent_id": "a" * 32, "boot_id": "b", "name": "h", "pool": "local", "address": "127.0.0.1",
                "lease": 0, "hardware": {"cpu_milli": 1000, "mem_mib": 1000, "gpus": []}, "runs": []}
        status, body = b.http("POST", "/v1/agent/join", join)
        assert status == 200, body
        over = threading.Event()

        def ask():
            while not over.is_set():
                b.http("GET", "/v1/status")
        asker = threading.Thread(target=ask)
        asker.start()
        try:
            until("the node to be lost", lambda: b.get("/v1/status")["nodes"]["lost"] == 1)
        finally:
            over.set()
            asker.join()


def test_an_agent_that_waits_for_commands_is_not_silent(weir):
    with Broker(weir, config="node_silence: 5s\n", args=["--no-agent"]) as b:
        join = {"protocol": 1, "version": "x", "agent_id": "a" * 32, "boot_id": "b", "name": "h", "pool": "local", "address": "127.0.0.1",
                "lease": 0, "hardware": {"cpu_milli": 1000, "mem_mib": 1000, "gpus": []}, "runs": []}
        who = json.loads(b.http("POST", "/v1/agent/join", join)[1])
        for _ in range(3):
            status, body = b.http("POST", "/v1/agent/sync", {"node": who["node"], "session": who["session"], "ack": 0, "wait_ms": 12000})
            assert (status, json.loads(body)["commands"]) == (200, []), body
            assert b.get("/v1/status")["nodes"] == {"up": 1, "lost": 0}, b.json("nodes")
        assert not [e for e in b.json("events") if e["kind"] == "node.lost"]


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
