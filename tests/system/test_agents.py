#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Agents that come and go, against a real broker: goodbyes, kills, names, and what becomes of their tasks."""
import hashlib
import os
import pathlib
import signal
import sqlite3
import sys

import lib
from lib import Agents, Broker, until

QUICK = "policy: {lost_grace: 3s}\n"
H100 = {"resources": {"accelerators": {"H100": 1}}}


def node(b, name):
    return next(n for n in b.json("nodes") if n["name"] == name)


def row_of(b, job):
    rows = b.json("bill", "--by", "job")["rows"]
    return next((r for r in rows if r["job"] == str(job)), None)


def cost_of(b, job):
    return b.get(f"/v1/jobs/{job}")["cost_micro"]


def test_an_agent_that_is_stopped_says_so_and_gets_no_work(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="H100:1") as agents:
        assert agents.end("n2") == 0
        assert node(b, "n2")["state"] == "lost", node(b, "n2")  # at once: the agent had its answer before it ended
        job = b.submit({**H100, "name": "later", "run": "echo here"})
        assert b.get(f"/v1/jobs/{job}")["state"] == "waiting"
        agents.start("n2")
        assert b.wait(job)["state"] == "succeeded"
        assert b.tasks(job)[0]["attempt"] == 1, b.tasks(job)


def test_tasks_run_on_under_a_stopped_agent_and_are_taken_up_again(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="H100:1") as agents:
        go = b.dir / "go"
        job = b.submit({**H100, "name": "kept", "run": f"echo up; while [ ! -e {go} ]; do sleep 0.05; done; echo down; exit 7"})
        until("the task to run", lambda: "up" in b.log(job))
        agents.end("n2")
        assert node(b, "n2")["state"] == "lost"
        assert b.tasks(job)[0]["state"] == "running"
        go.touch()
        agents.start("n2")
        state = b.wait(job)
        assert (state["state"], state["exit_code"]) == ("failed", 7), state
        assert b.tasks(job)[0]["attempt"] == 1 and b.log(job) == "up\ndown\n", b.log(job)
        b.balanced()


def test_a_task_of_a_stopped_agent_that_stays_away_runs_elsewhere(weir):
    with Broker(weir, gpus="A100:1", config=QUICK) as b, Agents(b, n2="H100:1", n3="H100:1") as agents:
        job = b.submit({**H100, "name": "moved", "run": "echo on $WEIR_NODE_NAME; [ $WEIR_ATTEMPT = 2 ] || sleep 1000"})
        until("the task to run", lambda: "on" in b.log(job))
        first = b.tasks(job)[0]["node"]
        agents.end(first)
        assert b.wait(job)["state"] == "succeeded"
        assert b.tasks(job)[0]["attempt"] == 2
        b.balanced()


def test_a_start_that_never_reached_a_killed_agent_ends_with_its_cancel(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="H100:1") as agents:
        agents.end("n2", signal.SIGKILL)
        job = b.submit({**H100, "name": "stuck", "run": "echo never"})
        until("the task to be placed", lambda: b.tasks(job)[0]["state"] == "starting")
        b.ok("cancel", job)
        assert b.wait(job)["state"] == "cancelled"
        assert cost_of(b, job) == 0, b.get(f"/v1/jobs/{job}")
        agents.start("n2")  # and nothing of it is started by the next agent
        after = b.submit({**H100, "name": "after", "run": "echo after"})
        assert b.wait(after)["state"] == "succeeded"
        assert b.log(job) == ""
        b.balanced()


def test_a_cancel_of_a_start_that_a_stopped_process_may_have_got_ends_with_its_silence(weir):
    with Broker(weir, gpus="A100:1", config="node_silence: 3s\npolicy: {lost_grace: 10min}\n") as b, Agents(b, n2="H100:1") as agents:
        agents.process["n2"].send_signal(signal.SIGSTOP)  # the start goes out, and nobody reads it
        job = b.submit({**H100, "name": "stuck", "run": "echo never"})
        until("the task to be placed", lambda: b.tasks(job)[0]["state"] == "starting")
        b.ok("cancel", job)
        assert b.wait(job)["state"] == "cancelled"  # long before lost_grace
        assert cost_of(b, job) == 0
        agents.process["n2"].send_signal(signal.SIGCONT)  # it reads the start now, and is told to stop it
        after = b.submit({**H100, "name": "after", "run": "echo after"})
        assert b.wait(after)["state"] == "succeeded"
        assert b.get(f"/v1/jobs/{job}")["state"] == "cancelled"
        b.balanced()


def test_a_start_that_never_reached_a_killed_agent_is_moved_unbilled(weir):
    with Broker(weir, gpus="A100:1", config="node_silence: 3s\npolicy: {lost_grace: 10min}\n") as b, \
            Agents(b, n2="H100:1", n3="H100:1") as agents:
        until("both", lambda: len(b.json("nodes")) == 3)
        busy = b.submit({**H100, "name": "busy", "run": "echo up; sleep 1000"})
        until("the task to run", lambda: "up" in b.log(busy))
        other = "n3" if b.tasks(busy)[0]["node"] == "n2" else "n2"
        agents.end(other, signal.SIGKILL)
        job = b.submit({**H100, "name": "stuck", "run": "echo here"})
        until("the task to be placed", lambda: b.tasks(job)[0]["state"] == "starting")
        b.ok("cancel", busy)
        assert b.wait(job)["state"] == "succeeded"  # long before lost_grace
        assert b.tasks(job)[0]["attempt"] == 2
        row = row_of(b, job)
        assert row["waste_lost_micro"] == 0, row
        b.balanced()


def test_a_goodbye_to_a_broker_that_is_away(weir):
    with Broker(weir, gpus="A100:1", config="node_silence: 4s\n") as b, Agents(b, n2="H100:1") as agents:
        b.kill()
        assert agents.end("n2") == 0
        b.start()
        job = b.submit({**H100, "name": "later", "run": "echo here"})
        until("the node to be given up", lambda: node(b, "n2")["state"] == "lost")
        until("the task to wait again", lambda: b.tasks(job)[0]["state"] == "waiting")
        agents.start("n2")
        assert b.wait(job)["state"] == "succeeded"
        assert row_of(b, job)["waste_lost_micro"] == 0
        b.balanced()


def test_a_drained_node_stays_drained_when_its_agent_is_started_anew(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="H100:1") as agents:
        b.ok("nodes", "drain", "n2")
        agents.end("n2")
        joins = agents.said().count("joined as node")
        agents.start("n2")
        until("it to be back", lambda: agents.said().count("joined as node") > joins)
        assert node(b, "n2")["state"] == "draining"
        agents.end("n2")
        b.ok("nodes", "resume", "n2")
        until("a resumed node without an agent to be lost", lambda: node(b, "n2")["state"] == "lost")


def test_a_token_holds_until_it_expires(weir):
    with Broker(weir) as b:
        b.stop()
        with sqlite3.connect(b.data / "weir.db") as db:
            for secret, expires in (("over", 1), ("holds", 1 << 60)):
                db.execute("INSERT INTO token (hash, name, role, user, lease, expires_us) VALUES (?, ?, 'admin', 'ada', 0, ?)",
                           (hashlib.sha256(secret.encode()).hexdigest(), secret, expires))
        db.close()
        b.start()
        assert b.http("GET", "/v1/jobs", headers={"Authorization": "Bearer holds"})[0] == 200
        status, body = b.http("GET", "/v1/jobs", headers={"Authorization": "Bearer over"})
        assert status == 401 and b"expired" in body, (status, body)


def break_host(b, name):
    """Nothing can be made where the agent keeps its runs, as on a full disk, nor by root."""
    runs = b.dir / name / "runs"
    until("the agent's directory", runs.is_dir)
    runs.rename(b.dir / name / "whole")
    runs.write_text("")
    return lambda: (runs.unlink(), (b.dir / name / "whole").rename(runs))


def test_a_host_that_can_start_nothing_is_left_alone_for_a_while(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="H100:1", n3="H100:1") as agents:
        heal = break_host(b, "n2")

        def is_left_alone():  # for a second at first, which may be over before it is seen, then for twice as long each time
            jobs = [b.submit({**H100, "name": f"j{i}", "run": "echo here"}) for i in range(6)]
            assert [b.wait(j)["state"] for j in jobs] == ["succeeded"] * 6
            n2, said = node(b, "n2"), b.ok("nodes")
            return n2["state"] == "draining" and "cannot" in n2["unfit"] and "cannot" in said
        until("n2 to be left alone", is_left_alone)
        agents.end("n3")
        job = b.submit({**H100, "name": "last", "run": "echo here"})
        until("a second try", lambda: b.tasks(job) and b.tasks(job)[0]["attempt"] >= 2)
        heal()
        assert b.wait(job)["state"] == "succeeded"
        assert node(b, "n2")["state"] == "up" and node(b, "n2")["unfit"] == "", node(b, "n2")
        b.balanced()


def test_a_pause_of_a_host_ends_after_a_restart_of_the_broker(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="H100:1"):
        heal = break_host(b, "n2")
        job = b.submit({**H100, "name": "j", "run": "echo here"})
        until("the pause", lambda: node(b, "n2")["unfit"] != "")
        b.kill()
        heal()
        b.start()
        assert b.wait(job)["state"] == "succeeded"
        until("no pause", lambda: node(b, "n2")["unfit"] == "" and node(b, "n2")["state"] == "up")


def test_the_agent_of_the_own_host_does_without_libcurl(weir):
    with Broker(weir, gpus="A100:1") as b:
        assert b.wait(b.submit({"name": "one", "run": "echo here"}))["state"] == "succeeded"
        maps = pathlib.Path(f"/proc/{b.own_processes('agent')[0]}/maps").read_text()
        assert "libcurl" not in maps and "libgnutls" not in maps, maps


# ---- one name, one node; one host, one offer ----
def test_a_second_agent_with_the_name_of_a_living_one_is_refused_and_takes_over_a_dead_one(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="H100:1") as agents:
        first = agents.process["n2"]
        id_of_n2 = node(b, "n2")["id"]
        agents.start("n2", directory="other")
        until("the second to be refused", lambda: "whose agent is running" in agents.said())
        assert [n["name"] for n in b.json("nodes")].count("n2") == 1
        assert "--name" in agents.said()
        first.kill()
        first.wait(timeout=60)
        joins = agents.said().count("joined as node")
        until("the second to take the node over", lambda: agents.said().count("joined as node") > joins)
        assert [n["id"] for n in b.json("nodes") if n["name"] == "n2"] == [id_of_n2], b.json("nodes")
        job = b.submit({**H100, "name": "there", "run": "echo here"})
        assert b.wait(job)["state"] == "succeeded"
        # the dead one comes back on its old directory: it is the stranger now
        agents.start("n2")
        until("the first to be refused", lambda: agents.said().count("whose agent is running") > 1)
        agents.end("n2")


def test_a_name_is_not_taken_over_from_an_agent_that_left_tasks(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="H100:1") as agents:
        job = b.submit({**H100, "name": "left", "run": "echo up; sleep 1000"})
        until("the task to run", lambda: "up" in b.log(job))
        agents.end("n2")
        agents.start("n2", directory="other")
        until("the second to be refused", lambda: "left 1 tasks" in agents.said())
        agents.end("n2")
        agents.start("n2")
        until("the node to be back", lambda: node(b, "n2")["state"] == "up")
        assert b.tasks(job)[0]["attempt"] == 1 and b.tasks(job)[0]["state"] == "running"
        b.ok("cancel", job)
        assert b.wait(job)["state"] == "cancelled"


def test_a_name_is_taken_over_once_its_tasks_were_given_up(weir):
    with Broker(weir, gpus="A100:1", config=QUICK) as b, Agents(b, n2="H100:1") as agents:
        job = b.submit({**H100, "name": "left", "run": "echo up; [ $WEIR_ATTEMPT = 2 ] || sleep 1000"})
        until("the task to run", lambda: "up" in b.log(job))
        agents.end("n2")
        agents.start("n2", directory="other")
        until("the second to be refused", lambda: "left 1 tasks" in agents.said())
        assert b.wait(job)["state"] == "succeeded"  # by the second, once it is let in
        assert b.tasks(job)[0]["attempt"] == 2
        agents.end("n2")


def test_a_host_is_offered_once_unless_its_parts_are_declared(weir):
    with Broker(weir, gpus=None) as b:
        until("the own node", lambda: b.json("nodes"))
        with Agents(b, n2="H100:2") as agents:
            agents.start("n3")  # declares nothing: all that the local agent offers already
            until("it to be refused", lambda: "this host is offered already" in agents.said())
            assert b.json("nodes")[0]["name"] in agents.said()
            assert {n["name"] for n in b.json("nodes")} & {"n2", "n3"} == {"n2"}


def test_only_a_node_without_its_agent_is_removed(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="H100:1") as agents:
        for how in ([], ["drain"]):
            if how:
                b.ok("nodes", *how, "n2")
            refused = b.run("nodes", "remove", "n2")
            assert refused.returncode == 4 and "end its agent, then remove it" in refused.stderr, refused
        agents.end("n2")
        until("the broker to know", lambda: b.run("nodes", "remove", "n2").returncode == 0)
        assert [n["name"] for n in b.json("nodes") if n["name"] == "n2"] == []


def test_what_goes_on_without_the_server_says_how_it_is_ended_and_goes_when_it_is_idle(weir):
    with Broker(weir, gpus="A100:2") as b:
        job = b.submit({"name": "long", "resources": {"accelerators": {"A100": 1}}, "run": "sleep 600"})
        until("the task runs", lambda: b.get(f"/v1/jobs/{job}")["state"] == "running")
        [agent] = [pid for pid in b.own_processes("agent") if lib.process_table()[pid][0] == b.process.pid]
        b.stop()
        said = (b.dir / "serve.log").read_text()
        assert f"tasks go on under this agent, and the next 'weir serve' picks them up and can cancel them; 'kill {agent}' ends the agent alone" in said, said
        b.start()
        until("it to be back", lambda: any(n["state"] == "up" for n in b.json("nodes")))
        b.ok("cancel", job)
        until("the job to be cancelled", lambda: b.get(f"/v1/jobs/{job}")["state"] == "cancelled")
        assert agent in b.own_processes("agent")
        b.stop()  # with nothing left to do it goes with the server that has picked it up
        until("it to be gone", lambda: agent not in b.own_processes("agent"))
        assert (b.dir / "serve.log").read_text().count("local_agent.left") == 1


def test_a_server_that_is_told_other_gpus_replaces_the_agent_of_the_one_before(weir):
    with Broker(weir, gpus="A100:2") as b:
        go = b.dir / "go"
        job = b.submit({"name": "left", "resources": {"accelerators": {"A100": 1}}, "run": f"echo up; while [ ! -e {go} ]; do sleep 0.05; done"})
        until("the task to run", lambda: "up" in b.log(job))
        b.stop()
        b.gpus = "H100:4"
        b.start()
        until("it to be said", lambda: "local_agent.outdated" in (b.dir / "serve.log").read_text())
        said = (b.dir / "serve.log").read_text()
        assert 'gpus="A100:2" wanted="H100:4"' in said, said
        assert b.json("nodes")[0]["gpu"] == "A100"
        go.touch()
        assert b.wait(job)["state"] == "succeeded"
        until("the new GPUs", lambda: [(n["gpu"], n["gpus"]) for n in b.json("nodes")] == [("H100", 4)])
        assert b.tasks(job)[0]["attempt"] == 1
        # the same words again: the agent of the server before is kept
        b.kill()
        b.start()
        after = b.submit({**H100, "name": "after", "run": "echo here"})
        assert b.wait(after)["state"] == "succeeded"
        assert (b.dir / "serve.log").read_text().count("local_agent.replaced") == 1
        b.balanced()


def test_offers_of_one_cloud_are_of_no_other(weir):
    with Broker(weir, gpus="A100:1") as b:
        found = b.json("offers", "--all", "--cloud", "aws", "--gpus", "H100:8", "--limit", "1000")
        assert {o["provider"] for o in found} == {"aws"}, {o["provider"] for o in found}
        assert len({o["verdict"] for o in found}) > 1, "excluded ones too"
        assert [o["provider"] for o in b.json("offers", "--cloud", "local")] == ["local"]
        for name, said in (("awz", "did you mean 'aws'?"), ("nosuchcloud", "there are local, ")):
            refused = b.run("offers", "--all", "--cloud", name)
            assert refused.returncode == 2 and f"cloud '{name}' is not known" in refused.stderr and said in refused.stderr, refused


def test_an_array_in_several_places_names_them_all(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="A100:1"):
        go = b.dir / "go"
        job = b.submit({"name": "wide", "array": "0-1", "resources": {"accelerators": {"A100": 1}}, "run": f"while [ ! -e {go} ]; do sleep 0.05; done"})
        until("both to run", lambda: b.get(f"/v1/jobs/{job}")["counts"]["running"] == 2)
        shown = b.get(f"/v1/jobs/{job}")
        assert shown["other_nodes"] == 1, shown
        both = f"{shown['node']} and 1 more"
        assert both in b.ok("show", job) and both in b.ok("jobs"), b.ok("show", job)
        go.touch()
        assert both in b.run("wait", job).stderr


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
