#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tasks over several nodes of this host: logs of every node, failing nodes, and what that costs."""
import json
import shutil
import signal
import sys

import lib
from lib import Agents, Broker, until


GANG = {"name": "gang", "num_nodes": 2, "resources": {"accelerators": {"A100": 1}}}


def test_every_node_of_a_gang_has_a_log_of_its_own(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="A100:1"):
        job = b.submit({**GANG, "run": "echo rank $WEIR_NODE_RANK of $WEIR_NUM_NODES"})
        assert b.wait(job)["state"] == "succeeded"
        want = "node 0| rank 0 of 2\nnode 1| rank 1 of 2\n"
        assert b.ok("logs", job) == want, b.ok("logs", job)
        assert b.ok("logs", "-f", job) == want
        assert b.ok("logs", "--rank", 1, job) == "rank 1 of 2\n"
        assert b.run("logs", "--rank", 2, job).returncode == 3
        result = b.run("run", "-N", "2", "--gpus", "1", "--", "sh", "-c", "echo here $WEIR_NODE_RANK")
        assert result.stdout == "node 0| here 0\nnode 1| here 1\n", result


def test_an_agent_that_was_killed_keeps_its_rank(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="A100:1") as agents:
        mark = b.dir / "go"
        job = b.submit({**GANG, "run": f"echo early $WEIR_NODE_RANK; while [ ! -f {mark} ]; do sleep 0.05; done; echo late $WEIR_NODE_RANK"})
        until("both nodes to run", lambda: b.ok("logs", job).count("early") == 2)
        agents.process["n2"].kill()
        agents.process["n2"].wait(timeout=60)
        mark.touch()
        agents.start("n2")
        assert b.wait(job)["state"] == "succeeded"
        assert b.ok("logs", job) == "".join(f"node {r}| {w} {r}\n" for r in (0, 1) for w in ("early", "late")), b.ok("logs", job)


def test_a_node_writes_the_log_of_its_own_rank_only(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="A100:1") as agents:
        mark = b.dir / "go"
        job = b.submit({**GANG, "retries": 1, "run": f"echo up $WEIR_ATTEMPT $WEIR_NODE_RANK; [ $WEIR_ATTEMPT = 1 ] && exit 3; while [ ! -f {mark} ]; do sleep 0.1; done"})
        ranks = ["--rank", 0], ["--rank", 1]
        until("both nodes to run again", lambda: all("up 2" in b.run("logs", *r, job).stdout for r in ranks))
        node = {n["name"]: n["id"] for n in b.json("nodes")}
        rank = next(r for r in (0, 1) if json.loads((b.dir / "n2" / "runs" / f"{job}_0_2" / "record.jsonl").read_text().splitlines()[0])["rank"] == r)
        agents.end("n2", signal.SIGKILL)
        b.kill()
        b.start()
        # somebody who has taken over the host of one rank, and all that its agent has
        record = json.loads((b.dir / "n2" / "runs" / f"{job}_0_2" / "record.jsonl").read_text().splitlines()[0])
        token = {"Authorization": "Bearer " + (b.data / "agent-token").read_text().strip()}
        run = {"job": job, "ordinal": 0, "attempt": 2}
        status, body = b.http("POST", "/v1/agent/join", {
            "protocol": 1, "version": "0.1.0", "agent_id": (b.dir / "n2" / "agent_id").read_text().strip(), "boot_id": "b", "name": "n2", "pool": "local",
            "address": "127.0.0.1", "lease": 0, "hardware": {"cpu_milli": 1000, "mem_mib": 1000, "declared": True, "declaration": "A100:1", "gpus": [
                {"index": 0, "uuid": "declared-n2-0", "model": "A100", "mem_mib": 40960, "link_group": 1}], "energy": "modelled"}, "runs": [{**run, "state": "running"}]}, token)
        assert status == 200, body
        session = json.loads(body)["session"]
        assert json.loads(body)["node"] == node["n2"], (body, node)

        def write(attempt, which, offset, ticket=""):
            return b.http("POST", f"/v1/agent/log?node={node['n2']}&session={session}&job={job}&ordinal=0&attempt={attempt}&rank={which}&offset={offset}"
                          + (f"&ticket={ticket}" if ticket else ""), raw=b"forged", headers={**token, "Content-Type": "application/octet-stream"})[0]
        for offset in (0, 3, 7, 8, 1 << 20):
            for ticket in ("", record["log_ticket"], "0" * 32):
                assert write(1, 1 - rank, offset, ticket) == 404, offset
                assert write(2, 1 - rank, offset, ticket) == 403, offset
        assert write(1, rank, 0, record["log_ticket"]) == 404  # of another attempt
        assert write(2, rank, 0, record["log_ticket"]) == 200  # of its own: what is stored already is not written again
        agents.start("n2")
        mark.touch()
        assert b.wait(job)["state"] == "succeeded"
        for attempt in (1, 2):
            for which in (0, 1):
                assert b.http("GET", f"/v1/jobs/{job}/log?attempt={attempt}&rank={which}")[1] == b"up %d %d\n" % (attempt, which)


def test_a_failing_node_fails_the_gang_and_all_of_its_cost(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="A100:1"):
        job = b.submit({**GANG, "run": "[ $WEIR_NODE_RANK = 1 ] && sleep 0.5 && exit 9; exec sleep 600"})
        state = b.wait(job)
        assert (state["state"], state["exit_code"]) == ("failed", 9), state
        row = next(r for r in json.loads(b.ok("bill", "--by", "job", "--format", "json"))["rows"] if r["job"] == str(job))
        assert row["used_micro"] == 0 and row["waste_failed_micro"] == row["total_micro"] > 0, row
        assert row["total_micro"] == b.get(f"/v1/jobs/{job}")["cost_micro"], row
        b.balanced()


def test_a_node_that_was_done_before_another_failed_is_waste_too(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="A100:1"):
        mark = b.dir / "go"
        job = b.submit({**GANG, "run": f"echo up; [ $WEIR_NODE_RANK = 0 ] && sleep 0.5 && exit 0; while [ ! -f {mark} ]; do sleep 0.05; done; exit 9"})
        until("both nodes to run", lambda: b.ok("logs", job).count("up") == 2)
        until("one of them to be done", lambda: sorted(n["gpus_free"] for n in b.json("nodes")) == [0, 1])
        b.kill()
        b.start()  # which of the ranks is done, and for what, is known again
        mark.touch()
        state = b.wait(job)
        assert (state["state"], state["exit_code"]) == ("failed", 9), state
        row = next(r for r in json.loads(b.ok("bill", "--by", "job", "--format", "json"))["rows"] if r["job"] == str(job))
        assert row["used_micro"] == 0 and row["waste_failed_micro"] == row["total_micro"] > 0, row
        b.balanced()
        used = {r["node"]: r["used_micro"] for r in b.get("/v1/bill?by=node")["rows"]}
        assert all(v == 0 for v in used.values()), used


def test_a_copied_agent_id_does_not_take_over_a_living_node(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="H100:1") as agents:
        job = b.submit({"name": "kept", "resources": {"accelerators": {"H100": 1}}, "run": "echo up; sleep 3; echo done"})
        until("the task to run", lambda: "up" in b.log(job))
        (b.dir / "n3").mkdir()
        shutil.copy(b.dir / "n2" / "agent_id", b.dir / "n3" / "agent_id")
        agents.gpus["n3"] = "H100:1"
        agents.start("n3")
        until("the copy to be refused", lambda: "agent_id" in (b.dir / "agents.log").read_text())
        assert b.wait(job)["state"] == "succeeded"
        assert b.tasks(job)[0]["attempt"] == 1, b.tasks(job)
        assert {n["name"] for n in b.json("nodes")} >= {"n2"}, b.json("nodes")


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
