# SPDX-License-Identifier: Apache-2.0
"""A broker that overflows to mock clouds, whose machines are real agents started from the very script that weir sent: spilling,
and kill -9 in every window of a lease's life. Nothing is left, nothing is launched twice."""
import contextlib
import datetime
import json
import pathlib
import shutil
import signal
import sqlite3
import sys
import tempfile

import lib
from lib import Broker, until
from rented import broker, cloud as mock, leases, made, nothing_left, only_there


def test_a_machine_without_its_gpus_is_given_up(weir):
    """Their image has no driver: each is ended at once and paid for as waste, its offer is left alone, and after the second the whole cloud."""
    with mock("aws") as c, broker(weir, c) as b:
        driver = c.dir / "lib" / "libnvidia-ml.so.1"
        away = driver.rename(driver.with_name("away"))
        job = b.submit(only_there("aws", run="echo here"))
        fell_short = until("two machines to be given up", lambda: [x for x in b.get("/v1/leases?all=true")["items"] if x["failure"] and x["ended"]][1:] and
                           b.get("/v1/leases?all=true")["items"])
        assert len(fell_short) == 2, fell_short
        for lease in fell_short:
            assert (lease["failure"], lease["ready"]) == ("fell_short", None) and lease["cost_micro"] > 0, lease
            assert "promised 1 x L4" in lease["text"] and "came with no GPU" in lease["text"], lease
            told = [e["text"] for e in b.get("/v1/events")["items"] if e["kind"] == "lease.ending" and e["lease"] == lease["id"]]
            assert told == [lease["text"]], told
        assert (b.dir / "serve.log").read_text().count("lease.fell_short") == 2
        assert "failed" in b.ok("explain", job), b.ok("explain", job)
        row = next(r for r in b.json("bill", "--by", "job")["rows"] if r["job"] == str(job))
        assert row["waste_boot_micro"] == row["total_micro"] > 0, row
        away.rename(driver)
        b.kill()
        b.start()  # it is remembered over a restart, and tried again in a minute
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        third, = [x for x in b.get("/v1/leases?all=true")["items"] if not x["failure"]]
        at = [datetime.datetime.fromisoformat(t) for t in (max(x["ended"] for x in fell_short), third["intent"])]
        assert 50 < (at[1] - at[0]).total_seconds() < 300, at
        assert len(c.inventory()["instances"]) == 3
        for lease in leases(b):
            b.run("leases", "end", lease["id"])
        nothing_left(b, c)


def test_overflow_runs_on_machines_of_three_clouds(weir):
    """200 tasks, 60 of which no own host can run: each ends once, and the clouds' own books agree with weir's."""
    few = {"args": ["--capacity", "3"]}
    with mock("aws", **few) as e, mock("gcp", **few) as g, mock("runpod", **few) as r, broker(weir, e, g, r, gpus="A100:16") as b:
        spec = {"run": "echo $WEIR_JOB_ID $WEIR_TASK_INDEX >> %s" % (b.dir / "done"), "retries": 0, "max_duration": "10m"}
        here = b.submit({**spec, "name": "here", "resources": {"accelerators": {"A100": 1}}, "array": "0-139", "placement": {"local": "only"}})
        there = [b.submit(only_there(c.provider, **spec, array="0-19")) for c in (e, g, r)]
        for job in (here, *there):
            assert b.wait(job)["state"] == "succeeded", b.tasks(job)[:3]
        for job, c in zip(there, (e, g, r)):
            tasks = b.tasks(job)
            assert len(tasks) == 20 and {t["pool"] for t in tasks} == {c.provider}, tasks[:3]
            assert c.requests("create")
        want = [f"{job} {i}" for job, n in ((here, 140), *((j, 20) for j in there)) for i in range(n)]
        assert sorted((b.dir / "done").read_text().splitlines()) == sorted(want)
        for lease in leases(b):
            b.run("leases", "end", lease["id"])  # it may be over by now
        nothing_left(b, e, g, r)


def rent(b, cloud, run="echo here"):
    return b.submit(only_there(cloud, run=run))


def stored(b):
    """The one lease as the broker's books on disk have it, after it was killed."""
    with tempfile.TemporaryDirectory() as copy:
        for path in b.data.glob("weir.db*"):
            shutil.copy(path, copy)
        with contextlib.closing(sqlite3.connect(pathlib.Path(copy) / "weir.db")) as db:
            db.row_factory = sqlite3.Row
            row, = db.execute("SELECT * FROM lease").fetchall()
            return dict(row)


def killed_at(weir, cloud, moment, proof, before=None, run="echo here", ends=False, then=None):
    """Stops the broker at a moment of a lease's life, proves by the cloud's books and its own on disk that it is that moment, kills it, starts it
    again with the cloud well, and proves that one machine was made, that the task ended well once, and that nothing is left."""
    with mock(cloud) as c, broker(weir, c) as b:
        until("offers", lambda: any(o["provider"] == cloud and o["verdict"].startswith("included") for o in b.get("/v1/offers?gpus=L4:1")["items"]))
        if not ends and before:
            before(c)
        job = rent(b, cloud, run)
        if ends:
            assert b.wait(job)["state"] == "succeeded"
            if before:
                before(c)
            b.ok("leases", "end", leases(b)[0]["id"])
        until("the moment", lambda: moment(c, b, job), every_s=0.005)
        b.process.send_signal(signal.SIGSTOP)  # it sees nothing of what follows
        if then:
            until("what it does not see", lambda: then(c))
        books, creates = c.inventory(), c.requests("create")
        b.kill()
        lease = stored(b)
        assert proof(books, creates, lease), (books, creates, lease)
        c.clear()
        c.set(boot_s=0.05, stop_s=0.05)
        b.start()
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        for lease in leases(b):
            b.run("leases", "end", lease["id"])
        nothing_left(b, c)
        machines = [i for i in c.inventory()["instances"] if i["reason"] != "no capacity"]
        assert len({i["token"] for i in machines}) == len(machines) == 1, machines


def each_cloud(function):
    def test(weir):
        for cloud in ("aws", "gcp", "runpod"):
            function(weir, cloud)
    return test


def only(books, state=None):
    machine, = books["instances"]
    return state is None or machine["state"] == state


def _before_the_call(weir, cloud):
    # RunPod is asked whether the name is there: a slow answer holds the launch back. The others are told to ask again later.
    if cloud == "runpod":
        killed_at(weir, cloud, before=lambda c: c.fault("slow_body", on="list", times=-1, seconds=3), moment=lambda c, b, job: leases(b),
                  proof=lambda books, creates, lease: not books["instances"] and not creates and lease["instance"] == "")
    else:
        killed_at(weir, cloud, before=lambda c: c.fault("throttle", on="create", retry_after=10), moment=lambda c, b, job: c.requests("create"),
                  proof=lambda books, creates, lease: not books["instances"] and len(creates) == 1 and lease["instance"] == "")


def _after_the_call_before_its_answer(weir, cloud):
    killed_at(weir, cloud, before=lambda c: c.fault("slow_body", on="create", seconds=5), moment=lambda c, b, job: made(c),
              proof=lambda books, creates, lease: only(books) and "create" not in books["answered"] and lease["instance"] == "")


def _after_the_answer_before_it_is_stored(weir, cloud):
    killed_at(weir, cloud, before=lambda c: c.fault("slow_body", on="create", seconds=2), moment=lambda c, b, job: made(c),
              then=lambda c: c.inventory()["answered"].get("create"),
              proof=lambda books, creates, lease: only(books) and (lease["instance"], lease["confirmed_us"]) == ("", 0))


def _while_it_boots(weir, cloud):
    killed_at(weir, cloud, before=lambda c: c.set(boot_s=8), moment=lambda c, b, job: any(x["confirmed"] for x in leases(b)),
              proof=lambda books, creates, lease: only(books, "pending") and lease["confirmed_us"] != 0 and lease["ready_us"] == 0)


def _in_use(weir, cloud):
    killed_at(weir, cloud, run="sleep 5", moment=lambda c, b, job: b.get(f"/v1/jobs/{job}")["state"] == "running",
              proof=lambda books, creates, lease: only(books, "running") and lease["ready_us"] != 0 and lease["ending_us"] == 0)


def _while_it_is_ended(weir, cloud):
    killed_at(weir, cloud, ends=True, before=lambda c: c.fault("slow_body", on="terminate", seconds=5),
              moment=lambda c, b, job: "stopping" in c.states() or "gone" in c.states(),
              proof=lambda books, creates, lease: "terminate" not in books["answered"] and lease["ending_us"] != 0 and lease["ended_us"] == 0)


def _after_it_was_ended_before_the_proof(weir, cloud):
    killed_at(weir, cloud, ends=True, before=lambda c: c.set(stop_s=10), moment=lambda c, b, job: c.requests("terminate"),
              then=lambda c: c.inventory()["answered"].get("terminate"),
              proof=lambda books, creates, lease: only(books, "stopping") and lease["ending_us"] != 0 and lease["ended_us"] == 0)


test_killed_before_the_call = each_cloud(_before_the_call)
test_killed_before_the_end_is_proven = each_cloud(_after_it_was_ended_before_the_proof)
test_killed_after_the_call_before_its_answer = each_cloud(_after_the_call_before_its_answer)
test_killed_after_the_answer_before_it_is_stored = each_cloud(_after_the_answer_before_it_is_stored)
test_killed_while_the_machine_boots = each_cloud(_while_it_boots)
test_killed_while_the_machine_is_in_use = each_cloud(_in_use)
test_killed_while_the_machine_is_ended = each_cloud(_while_it_is_ended)


def gang(weir, killed):
    """The third of three launches is refused: nobody runs on part of the gang, and all three are had later. The two others are ended
    at once, whether they still boot or not."""
    with mock("aws", args=["--capacity", "2"]) as c, broker(weir, c, policy="capacity_memory: 8s") as b:
        log = b.dir / "log"
        until("offers", lambda: any(o["provider"] == "aws" and o["verdict"].startswith("included") for o in b.get("/v1/offers?gpus=L4:1")["items"]))
        job = b.submit(only_there("aws", num_nodes=3, run=f"echo $WEIR_NODE_RANK >> {log}"))
        until("a launch to be refused", lambda: any(r["status"] >= 400 for r in c.requests("create")), every_s=0.005)
        if killed:
            b.kill()
            b.start()
        else:
            until("the others to be ended, or idle", lambda: all(x["state"] in ("ready", "ended", "failed") for x in leases(b)))
        assert not log.exists(), "a part of it ran"
        c.set(capacity=1000)
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        assert sorted(log.read_text().split()) == ["0", "1", "2"], log.read_text()
        for lease in leases(b):
            b.run("leases", "end", lease["id"])
        nothing_left(b, c)


def test_a_gang_is_rented_whole_or_not_at_all(weir):
    gang(weir, killed=False)


def test_a_gang_whose_broker_is_killed_while_it_is_rented(weir):
    gang(weir, killed=True)


def test_a_machine_whose_provider_is_taken_out_of_the_configuration_is_told_of(weir):
    with mock("runpod") as c, broker(weir, c) as b:
        job = rent(b, "runpod", run="sleep 600")
        until("the task to run", lambda: b.get(f"/v1/jobs/{job}")["state"] == "running")
        instance = leases(b)[0]["instance"]
        b.stop()
        config = b.dir / "weir.yaml"
        whole = config.read_text()
        config.write_text("policy: {}\n")
        b.start()
        told = until("an alert", lambda: [a for a in b.get("/v1/alerts")["items"] if a["condition"] == "leak-suspect"])
        assert len(told) == 1 and instance in told[0]["text"] and "providers.runpod is not configured" in told[0]["text"], told
        b.stop()
        config.write_text(whole)
        b.start()
        until("its end", lambda: not [a for a in b.get("/v1/alerts")["items"] if a["condition"] == "leak-suspect" and a["state"] == "firing"])
        b.ok("cancel", str(job))
        for lease in leases(b):
            b.run("leases", "end", lease["id"])
        nothing_left(b, c)


def test_what_all_rented_machines_cost_an_hour_is_capped(weir):
    with mock("aws") as c, broker(weir, c, policy="spend_per_hour_max: 0.70") as b:  # two at 0.34, on the spot
        done = b.dir / "done"
        job = b.submit(only_there("aws", array="0-4", run=f"sleep 1; echo $WEIR_TASK_INDEX >> {done}"))
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        assert sorted(done.read_text().split()) == list("01234")
        made_of = sorted(i["created"] for i in c.inventory()["instances"])
        assert 1 <= len(made_of) <= 2, made_of
        for lease in leases(b):
            b.run("leases", "end", lease["id"])
        nothing_left(b, c)


def test_orphans_are_ended_and_strangers_are_not(weir):
    with mock("runpod") as c, broker(weir, c) as b:
        c._call("POST", "foreign", {"name": "training-box"})
        job = rent(b, "runpod", "sleep 60")
        until("the task to run", lambda: b.get(f"/v1/jobs/{job}")["state"] == "running")
        owner = made(c)[-1]["owner"]
        c._call("POST", "foreign", {"name": f"{owner}-999"})  # ours by its name, and no lease's
        until("it to be ended", lambda: b.run("leases", "--audit") and len(made(c)) == 2)
        assert {i["state"] for i in made(c)} == {"running"}
        b.ok("down", "--all", "--timeout", "170s")
        assert [i["owner"] for i in made(c)] == ["somebody"], made(c)
        assert b.get(f"/v1/jobs/{job}")["state"] in ("waiting", "running"), "it waits for its turn"
        assert not b.json("leases", "--audit")["renting"]
        b.kill()
        b.start()
        assert not b.json("leases", "--audit")["renting"], "it holds over a restart"
        b.ok("down", "--resume")
        until("the task to run again", lambda: b.get(f"/v1/jobs/{job}")["state"] == "running" and len(made(c)) == 2)
        b.ok("cancel", job)
        b.ok("down", "--all", "--timeout", "170s")


def test_two_brokers_with_one_account_leave_each_others_machines_alone(weir):
    for cloud in ("aws", "gcp", "runpod"):
        with mock(cloud) as c, broker(weir, c) as one, broker(weir, c) as two:
            mark = two.dir / "go"
            theirs = two.submit(only_there(cloud, run=f"until [ -e {mark} ]; do sleep 0.1; done"))
            until("the other's task to run", lambda: two.get(f"/v1/jobs/{theirs}")["state"] == "running")
            mine = one.submit(only_there(cloud, run="sleep 600"))
            until("the task to run", lambda: one.get(f"/v1/jobs/{mine}")["state"] == "running")
            assert len({i["owner"] for i in made(c)}) == 2, made(c)
            one.ok("cancel", mine)
            one.ok("down", "--all", "--timeout", "170s")  # which waits until the provider lists none of its own
            left, = made(c)
            assert left["owner"] == [i["owner"] for i in c.inventory()["instances"]][0] and left["state"] == "running", c.inventory()
            assert not one.json("leases", "--audit")["providers"][0]["machines"]
            mark.touch()
            assert two.wait(theirs)["state"] == "succeeded", two.tasks(theirs)
            assert two.tasks(theirs)[0]["attempt"] == 1, two.tasks(theirs)
            for lease in leases(two):
                two.run("leases", "end", lease["id"])
            nothing_left(two, c)
            nothing_left(one, c)


def test_the_end_of_all_says_who_cannot_be_asked(weir):
    config = "providers: {runpod: {endpoint: 'http://127.0.0.1:1', agent: %s}}\n" % weir
    with Broker(weir, config=config, env={"RUNPOD_API_KEY": "rpa_TESTKEY"}) as b:
        audit = b.run("leases", "--audit")
        assert audit.returncode != 0 and "runpod could not be asked" in audit.stderr and "do not agree" not in audit.stderr, audit.stderr
        assert "0 machines" not in audit.stdout, audit.stdout
        down = b.run("down", "--all", "--timeout", "1s")
        assert down.returncode != 0 and "waiting: runpod could not be asked" in down.stderr and "after 1 s: runpod" in down.stderr, down.stderr
        assert down.stderr.count("waiting:") == 1, down.stderr


def test_a_list_of_machines_without_an_end_is_told_of(weir):
    with mock("aws") as c, broker(weir, c) as b:
        c.fault("endless_pages", times=-1)
        audit = b.run("leases", "--audit")
        assert audit.returncode != 0 and "the list of machines does not come to its end" in audit.stdout + audit.stderr, audit
        c.clear()
        until("the next list to be whole", lambda: b.run("leases", "--audit").returncode == 0)


def test_a_machine_that_lists_left_out_is_ended(weir):
    """Its lease is over by then: the provider said that it had ended."""
    with mock("runpod") as c, broker(weir, c) as b:
        job = rent(b, "runpod", run="sleep 600")
        until("the task to run", lambda: b.get(f"/v1/jobs/{job}")["state"] == "running")
        c.fault("unlisted", times=-1)
        c.set(capacity=0)
        until("its lease to be over", lambda: not [x for x in leases(b) if x["confirmed"]])
        assert len(made(c)) == 1
        b.ok("cancel", job)
        c.clear()
        until("it to be ended", lambda: not any(p["machines"] for p in json.loads(b.run("leases", "--audit", "--json").stdout)["providers"]))
        nothing_left(b, c)


def test_a_machine_that_is_not_there_after_a_restart_is_told_of(weir):
    with mock("runpod") as c, broker(weir, c) as b:
        job = rent(b, "runpod", run="sleep 600")
        until("the task to run", lambda: b.get(f"/v1/jobs/{job}")["state"] == "running")
        instance = leases(b)[0]["instance"]
        b.kill()
        c.fault("unlisted", times=-1)  # as with the key of another account
        c.set(capacity=0)
        b.start()
        log = b.dir / "serve.log"
        until("it to be told of", lambda: [x for x in log.read_text().splitlines() if "lease.absent" in x and instance in x])
        b.ok("cancel", job)
        c.clear()
        until("it to be ended", lambda: b.run("leases", "--audit") and not made(c))
        until("all to be well", lambda: not any(p["machines"] for p in json.loads(b.run("leases", "--audit", "--json").stdout)["providers"]))
        nothing_left(b, c)


def ended_by_hand(c, b):
    """In the provider's console, which tells nobody."""
    machine, = made(c)
    c._call("POST", "end", {"id": machine["id"]})
    return machine["id"]


def test_a_task_that_is_placed_on_a_machine_that_was_ended_by_hand_goes_elsewhere_and_pays_nothing_for_it(weir):
    with mock("aws") as c, broker(weir, c) as b:
        assert b.wait(b.submit(only_there("aws", retries=0)))["state"] == "succeeded"
        ended_by_hand(c, b)
        job = b.submit(only_there("aws", retries=0))
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        row = next(r for r in b.json("bill", "--by", "job")["rows"] if r["job"] == str(job))
        assert not row.get("waste_lost_micro"), row
        assert not b.tasks(job)[0].get("losses"), b.tasks(job)
        for lease in leases(b):
            b.run("leases", "end", lease["id"])
        nothing_left(b, c)


def test_a_task_whose_machine_is_ended_by_hand_runs_again_at_once(weir):
    with mock("aws") as c, broker(weir, c) as b:
        mark = b.dir / "mark"
        job = b.submit(only_there("aws", retries=0, run=f"[ -e {mark} ] || {{ touch {mark}; sleep 600; }}"))
        until("it to run", mark.exists)
        gone = ended_by_hand(c, b)
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        task, = b.tasks(job)
        assert task["attempt"] == 2, task
        first = min(b.get("/v1/leases?all=true")["items"], key=lambda x: x["id"])
        assert first["state"] == "ended" and not first["reclaimed"], first
        assert [i["state"] for i in c.inventory()["instances"] if i["id"] == gone] == ["gone"]
        for lease in leases(b):
            b.run("leases", "end", lease["id"])
        nothing_left(b, c)


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
