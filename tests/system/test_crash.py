#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of broker and agents at random moments: nothing acknowledged is lost, nothing runs twice, the ledger holds."""
import datetime
import json
import math
import random
import re
import sys
import threading
import time

import lib
from lib import Broker, until

SANDBOX = """
policy: {lost_grace: 20s}
providers:
  sandbox: {boot_delay: 1s, capacity: 2}
"""


def test_500_tasks_under_kill_9_of_broker_and_agent_end_exactly_once(weir):
    # every task adds one line to a file of its own when it ends: each file must have one line
    draw = random.Random(20261122)
    with Broker(weir, gpus="A100:8") as b:
        out = b.dir / "out"
        out.mkdir()
        killed = b.dir / "killed"  # the last tasks wait for it, so that there is work at each of the kills on a fast machine too
        job = b.submit({"name": "once", "resources": {"accelerators": {"A100": 1}}, "array": "0-499", "retries": 0,
                        "run": f"sleep 0.1; while [ $WEIR_TASK_INDEX -ge 480 ] && [ ! -e {killed} ]; do sleep 0.1; done; echo end >> {out}/$WEIR_TASK_INDEX"})
        kills = {"broker": 0, "agent": 0}
        while kills["broker"] < 8 or kills["agent"] < 8:
            time.sleep(draw.uniform(0.1, 0.7))
            if draw.random() < 0.5:
                b.kill()
                b.start()
                kills["broker"] += 1
            else:
                for pid in b.own_processes("agent")[:1]:
                    kills["agent"] += lib.strike(pid)
            assert kills["broker"] < 100, f"there is no agent to be killed: {kills}"
        killed.touch()
        state = b.wait(job)
        assert state["state"] == "succeeded" and state["counts"]["succeeded"] == 500, state
        lines = {p.name: p.read_text().count("end") for p in out.iterdir()}
        assert len(lines) == 500 and set(lines.values()) == {1}, [k for k, v in lines.items() if v != 1]
        b.balanced()


def test_acknowledged_submissions_survive_kill_9(weir):
    draw = random.Random(1)
    with Broker(weir, gpus="A100:1") as b:
        acknowledged = []
        for _round in range(5):
            for _ in range(draw.randrange(5, 40)):
                acknowledged.append(b.submit({"name": "kept", "resources": {"accelerators": {"A100": 1}}, "run": "true"}))
            b.kill()
            b.start()
        seen = {j["id"] for j in b.json("jobs", "--all")}
        assert set(acknowledged) <= seen, set(acknowledged) - seen
        for job in acknowledged:
            assert b.wait(job)["state"] == "succeeded"
        b.balanced()


def test_tasks_run_on_while_the_broker_is_away(weir):
    with Broker(weir, gpus="A100:2") as b:
        mark = b.dir / "mark"
        job = b.submit({"name": "away", "resources": {"accelerators": {"A100": 1}}, "run": f"echo up; sleep 2; echo done > {mark}; exit 5"})
        until("the task to run", lambda: "up" in b.log(job))
        b.kill()
        until("the task to end by itself", mark.exists)
        b.start()
        state = b.wait(job)
        assert state["exit_code"] == 5 and state["reason"] == "exit", state
        assert [t["attempt"] for t in b.tasks(job)] == [1], b.tasks(job)
        b.balanced()


def test_a_rented_machine_survives_the_broker_and_is_never_leaked(weir):
    with Broker(weir, config=SANDBOX, gpus="A100:1") as b:
        until("the own node", lambda: b.json("nodes"))
        both = b.dir / "both"
        job = b.submit({"name": "spill", "resources": {"accelerators": {"A100": 1}}, "array": "0-3", "delay_cost": 5000,
                        "run": f"while [ ! -e {both} ]; do sleep 0.1; done; echo done"})
        until("a machine to be rented", lambda: [x for x in b.json("leases") if x["state"] in ("booting", "ready")])
        b.kill()
        b.start()
        until("tasks here and there", lambda: {t["pool"] for t in b.tasks(job) if t["state"] == "running"} == {"local", "sandbox"})
        both.touch()
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        assert {t["pool"] for t in b.tasks(job)} == {"local", "sandbox"}, b.tasks(job)
        for lease in b.json("leases"):
            b.run("leases", "end", lease["id"])
        until("the machines to be gone", lambda: all(x["state"] in ("ended", "failed") for x in b.json("leases", "--all")))
        until("their processes to be gone", lambda: not b.own_processes("sandbox-machine"))
        b.balanced()


SLOW_BOOT = """
providers:
  sandbox: {boot_delay: %s, capacity: 2}
"""
RENTED = {"resources": {"accelerators": {"A100": 1}}, "placement": {"local": "never"}}


def boot(b, **job):
    job = b.submit({**RENTED, **job})
    lease = until("a machine to boot", lambda: next((x for x in b.json("leases") if x["state"] == "booting"), None))
    return job, lease["id"]


def leases(b):
    return {x["id"]: x["state"] for x in b.json("leases", "--all")}


def test_a_cancel_while_the_rented_machine_boots_ends_the_machine(weir):
    with Broker(weir, config=SLOW_BOOT % "1h", gpus=None) as b:
        job, lease = boot(b, name="early", run="echo never")
        until("its process", lambda: b.own_processes("sandbox-machine"))
        b.ok("cancel", job)
        assert b.wait(job)["state"] == "cancelled"
        until("the machine to be gone", lambda: leases(b)[lease] == "ended")
        until("its process to be gone", lambda: not b.own_processes("sandbox-machine"))
        assert b.log(job) == "" and b.tasks(job)[0]["started"] is None, b.tasks(job)
        row = b.json("bill", "--by", "job")["rows"][0]
        assert row["used_micro"] == 0, row  # what the boot cost is waste, and stands with the job it was rented for
        b.balanced()


def test_a_broker_that_is_started_anew_while_a_machine_boots_uses_it(weir):
    for end in (Broker.kill, Broker.stop):
        with Broker(weir, config=SLOW_BOOT % "4s", gpus=None) as b:
            job, lease = boot(b, name="spans", run="echo here")
            end(b)
            b.start()
            assert b.wait(job)["state"] == "succeeded", b.tasks(job)
            assert list(leases(b)) == [lease], leases(b)  # no second one was rented
            assert b.tasks(job)[0]["attempt"] == 1, b.tasks(job)
            b.balanced()


def test_a_cancel_while_the_broker_comes_back_to_a_booting_machine(weir):
    with Broker(weir, config=SLOW_BOOT % "1h", gpus=None) as b:
        job, lease = boot(b, name="early", run="echo never")
        b.kill()
        b.start()
        b.ok("cancel", job)
        assert b.wait(job)["state"] == "cancelled"
        until("the machine to be gone", lambda: leases(b)[lease] == "ended")
        until("its process to be gone", lambda: not b.own_processes("sandbox-machine"))
        b.balanced()


def test_a_machine_is_told_at_its_join_how_long_its_lease_is(weir):
    with Broker(weir, config=SLOW_BOOT % "1h", gpus=None) as b:
        _, lease = boot(b, name="long", run="sleep 60")
        expires = next(x for x in b.json("leases") if x["id"] == lease)["expires"]
        b.kill()  # what it was to be told while it could not be reached is gone with the broker
        b.start()
        join = {"protocol": 1, "version": "x", "agent_id": "c" * 32, "boot_id": "b", "name": "m", "pool": "sandbox", "address": "127.0.0.1",
                "lease": lease, "hardware": {"cpu_milli": 8000, "mem_mib": 64000, "gpus": [{"model": "A100-80GB", "mem_mib": 81920}]}, "runs": []}
        status, body = b.http("POST", "/v1/agent/join", join)
        assert status == 200, body
        told = datetime.datetime.fromtimestamp(json.loads(body)["lease_expires"] // 10**6, datetime.timezone.utc)
        assert told.isoformat()[:19] == expires[:19], (told, expires)
        b.ok("leases", "end", lease)


def test_a_reclaimed_machine_costs_no_task(weir):
    with Broker(weir, config=SANDBOX, gpus="A100:1") as b:
        checkpoints = b.dir / "ck"
        checkpoints.mkdir()
        moved = b.dir / "moved"
        run = ('i=0; f=$WEIR_CHECKPOINT_PATH; [ -f $f ] && i=$(cat $f) && echo resumed at $i; '
               f'while [ ! -e {moved} ]; do i=$((i+1)); echo $i > $f.tmp; mv $f.tmp $f; sleep 0.1; done; echo finished')
        job = b.submit({"name": "moved", "resources": {"accelerators": {"A100": 1}}, "array": "0-2", "delay_cost": 5000, "run": run,
                        "checkpoint": {"path": f"{checkpoints}/%a", "every": "1s", "grace": "1s"}})
        task = until("a rented task with a checkpoint", lambda: next(
            (t for t in b.tasks(job) if t["pool"] == "sandbox" and t["state"] == "running" and t["checkpointed"]), None))
        b.ok("sandbox", "reclaim", task["node"])
        until("it to go on elsewhere", lambda: "resumed at" in b.log(job, task["index"]))
        moved.touch()
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        again = next(t for t in b.tasks(job) if t["index"] == task["index"])
        assert again["attempt"] >= 2, again
        assert "resumed at" in b.log(job, task["index"]), b.log(job, task["index"])
        b.balanced()


def rent_one(b):
    """A job that only a rented machine can run."""
    until("the own node", lambda: b.json("nodes"))
    return b.submit({"name": "cloud", "resources": {"accelerators": {"A100": 1}}, "placement": {"local": "never"}, "run": "sleep 30"})


def test_a_lease_that_is_ended_before_its_launch_was_seen_leaves_no_machine(weir):
    with Broker(weir, config="providers: {sandbox: {boot_delay: 1s}}\n") as b:
        until("the sandbox", (b.data / "sandbox").exists)
        (b.data / "sandbox" / "faults").write_text("lost_reply\n" * 4)
        job = rent_one(b)
        until("the intent", lambda: b.json("leases"))
        b.ok("cancel", job)
        lease = b.json("leases", "--all")[0]["id"]
        b.run("leases", "end", lease)
        b.kill()
        b.start()
        until("the lease to be over", lambda: all(x["state"] in ("ended", "failed") for x in b.json("leases", "--all")))
        until("its machine to be gone", lambda: not b.own_processes("sandbox-machine"))
        assert b.stored("SELECT count(*) FROM effect") == [(0,)]
        b.balanced()


def test_a_machine_that_shows_up_late_is_ended_with_its_lease(weir):
    for asked_after_s in (0, 1):  # while it is being looked for; while it is about to be launched again
        with Broker(weir, config="providers: {sandbox: {boot_delay: 1s}}\n") as b:
            until("the sandbox", (b.data / "sandbox").exists)
            (b.data / "sandbox" / "faults").write_text("late:6s\n")
            job = rent_one(b)
            until("the intent", lambda: b.json("leases"))
            since = time.monotonic()
            until("the time to end it", lambda: time.monotonic() - since >= asked_after_s)
            b.ok("cancel", job)
            b.run("leases", "end", b.json("leases", "--all")[0]["id"])
            lease = until("the lease to be over", lambda: next(
                (x for x in b.json("leases", "--all") if x["state"] in ("ended", "failed")), None))
            assert lease["instance"] is not None, lease
            assert not b.own_processes("sandbox-machine"), "it lives on"
            b.balanced()


def test_a_launch_that_waits_for_its_turn_is_not_made_to_be_ended(weir):
    def made(b):
        return [x for kind in ("instances", "gone") for x in (b.data / "sandbox" / kind).glob("*")]

    for slow_s in (3, 15, 60):  # on a machine so busy that the first launches are over before the cancel comes, slower ones are tried
        with Broker(weir, config="providers: {sandbox: {boot_delay: 1h}}\n", gpus=None) as b:
            until("the sandbox", (b.data / "sandbox").exists)
            (b.data / "sandbox" / "faults").write_text(f"slow:{slow_s}s\n" * 2)
            since = time.monotonic()
            job = b.submit({**RENTED, "num_nodes": 6, "run": "true"})  # a gang asks for all at once; few are under way at first
            until("the intents", lambda: len(b.json("leases")) == 6)
            b.ok("cancel", job)
            is_in_time = time.monotonic() - since < slow_s
            until("all leases to be over", lambda: all(x["state"] in ("ended", "failed") for x in b.json("leases", "--all")))
            b.balanced()
            if is_in_time:
                assert len(made(b)) == 2, f"launched only to be ended: {made(b)}"
                return
    raise AssertionError("no cancel came before the first launches were over")


def rented_many(b, tasks, **job):
    """An array that only rented machines can run, seen to its end; its leases by state."""
    job = b.submit({**RENTED, "name": "many", "array": f"0-{tasks - 1}", **job})
    assert b.wait(job)["state"] == "succeeded", b.tasks(job)
    leases = b.json("leases", "--all")
    b.balanced()
    return {s: [x for x in leases if x["state"] == s] for s in {x["state"] for x in leases}}


def test_a_full_cloud_is_not_asked_without_end(weir):
    with Broker(weir, config="providers: {sandbox: {boot_delay: 1s, capacity: 2}}\n", gpus=None) as b:
        # hundreds of offers could be asked; each machine that is missing would be one more question
        since = time.monotonic()
        leases = rented_many(b, 64, delay_cost=5000, run="sleep 0.5")
        # two refusals in a row are free, the next come after 10 s, 20 s, 40 s, ...; one may be under way
        asked_max = 3 + int(math.log2((time.monotonic() - since) / 10 + 1))
        assert 1 <= len(leases["failed"]) <= asked_max, (asked_max, {k: len(v) for k, v in leases.items()})


def test_work_that_found_the_cloud_full_of_own_machines_goes_when_they_have_ended(weir):
    conf = """providers:
  sandbox:
    boot_delay: 1s
    capacity: 2
    mirror: []
    offers:
      - {instance_type: one, gpu: A100, gpus: 1, price: 1.20, cpus: 8, memory: 64G, bill_quantum: 1s}
      - {instance_type: two, gpu: A100, gpus: 2, price: 2.40, cpus: 16, memory: 128G, bill_quantum: 1s}
"""
    with Broker(weir, config=conf, gpus=None) as b:
        gate = b.dir / "gate"
        first = b.submit({**RENTED, "name": "first", "array": "0-1", "expected": "1h", "delay_cost": 5000,
                          "run": f"while [ ! -e {gate} ]; do sleep 0.1; done"})
        until("two machines to work", lambda: [t["state"] for t in b.tasks(first)] == ["running"] * 2)
        second = b.submit({**RENTED, "name": "second", "array": "0-1", "resources": {"accelerators": {"A100": 2}}, "run": "true"})
        until("a refusal", lambda: any(x["state"] == "failed" for x in b.json("leases", "--all")))
        said = b.json("explain", f"{second}_0")["items"][-1]
        assert said["rejected"]["no_capacity"] == 1 and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", said["again_at"]), said
        assert f"left alone until {said['again_at']}" in b.ok("explain", f"{second}_0"), said
        b.kill()
        b.start()  # what explains the refusal is known after a restart too
        gate.touch()
        assert b.wait(first)["state"] == "succeeded"
        assert b.wait(second)["state"] == "succeeded", b.json("leases", "--all")
        b.balanced()


def test_a_cloud_with_room_is_asked_for_all_that_is_needed_within_seconds(weir):
    conf = "providers: {sandbox: {boot_delay: 1h, capacity: 64, mirror: [], offers: [{instance_type: one, gpu: A100, gpus: 1, price: 1.20, cpus: 8, memory: 64G}]}}\n"
    with Broker(weir, config=conf, gpus=None) as b:
        job = b.submit({**RENTED, "name": "many", "array": "0-63", "delay_cost": 5000, "run": "true"})
        until("64 machines", lambda: [x["state"] for x in b.json("leases", "--all")] == ["booting"] * 64)
        b.ok("cancel", job)


def test_a_broker_stops_cleanly_under_clients_that_wait(weir):
    for _ in range(4):
        with Broker(weir) as b:
            until("the own node", lambda: b.json("nodes"))
            job = b.submit({"name": "long", "resources": {"accelerators": {"A100": 1}}, "run": "sleep 60"})
            asked, seen, stopped = [], [], threading.Event()

            def ask():  # each answer brings the next question, also while the broker stops
                while not stopped.is_set():
                    asked.append(job)
                    try:
                        seen.append(b.http("GET", f"/v1/jobs/{job}/wait?timeout_s=60")[0])
                    except OSError:
                        seen.append(None)
                        if b.process.poll() is not None:
                            return
            clients = [threading.Thread(target=ask) for _ in range(8)]
            for client in clients:
                client.start()
            until("the clients to ask", lambda: len(asked) >= len(clients))
            try:
                b.stop()
            finally:
                stopped.set()
                for client in clients:
                    client.join(timeout=200)
            assert set(seen) <= {503, None}, seen


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
