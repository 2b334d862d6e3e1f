#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tasks over several nodes of this host: logs of every node, failing nodes, and what that costs."""
import json
import shutil
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
