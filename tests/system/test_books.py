#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is kept over time: bills of spans in the past, the proof of the ledger, what goes for its age."""
import json
import os
import sqlite3
import sys
import threading

import lib
from lib import Broker, until


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
            until("the node to be lost", lambda: b.get("/v1/status")["nodes"]["lost"] == 1, limit_s=20)
        finally:
            over.set()
            asker.join()


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
