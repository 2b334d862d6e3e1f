#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Jobs from a person's command to the bill, on a real broker with a real agent."""
import json
import os
import signal
import subprocess
import sys
import threading
import time

import lib
from lib import Agents, Broker, until


def test_a_rented_task_outlives_its_first_lease_term(weir):
    with Broker(weir, config="policy: {lease_term: 60s}\nproviders: {sandbox: {boot_delay: 1s}}\n", gpus=None, args=["--no-agent"]) as b:
        until("offers", lambda: [o for o in b.json("offers", "--gpus", "T4:1", "--cloud", "sandbox")])
        job = b.submit({"name": "long", "resources": {"accelerators": {"T4": 1}}, "run": "echo up; sleep 65; echo done"})
        until("the task to run", lambda: "up" in b.log(job))
        state = b.wait(job)
        assert state["state"] == "succeeded" and b.tasks(job)[0]["attempt"] == 1, b.tasks(job)


def test_run_prints_a_device_and_exits_with_the_jobs_code(weir):
    with Broker(weir) as b:
        result = b.run("run", "--gpus", "1", "--", "sh", "-c", "echo device=$CUDA_VISIBLE_DEVICES; exit 7")
        assert result.returncode == 7, result
        assert result.stdout.strip() in [f"device={i}" for i in range(4)], result.stdout


def test_jobs_json_has_the_documented_fields(weir):
    with Broker(weir) as b:
        b.run("run", "--", "true")
        b.run("run", "--", "false")
        jobs = b.json("jobs")
        assert isinstance(jobs, list) and len(jobs) == 2, jobs
        for job in jobs:
            for key in ("id", "name", "project", "state", "pool", "node", "exit_code", "submitted", "started", "ended", "cost_micro",
                        "currency"):
                assert key in job, (key, job)
        by_id = {j["id"]: j for j in jobs}
        assert by_id[1]["state"] == "succeeded" and by_id[1]["exit_code"] == 0, by_id[1]
        assert by_id[2]["state"] == "failed" and by_id[2]["exit_code"] == 1, by_id[2]
        assert by_id[1]["submitted"].endswith("Z") and by_id[1]["pool"] == "local", by_id[1]
        b.ok("bill", "--check")


SBATCH = """#!/bin/bash
#SBATCH --job-name=sweep
#SBATCH --array=0-99%10
#SBATCH --gres=gpu:1
#SBATCH --time=00:10:00
echo "index $SLURM_ARRAY_TASK_ID of job $SLURM_ARRAY_JOB_ID on $CUDA_VISIBLE_DEVICES"
"""


def test_a_slurm_array_runs_unchanged(weir):
    with Broker(weir) as b:
        (b.dir / "job.sh").write_text(SBATCH)
        job = int(b.ok("submit", "job.sh"))
        assert b.wait(job)["state"] == "succeeded"
        assert [t["index"] for t in b.tasks(job)] == list(range(100))
        for index in (0, 42, 99):
            assert f"index {index} of job {job} on " in b.log(job, index)
        b.balanced()


SKYPILOT = """name: sky
resources:
  accelerators: A100:2
  cpus: 1+
num_nodes: 1
envs:
  GREETING: hello
setup: |
  echo prepared
run: |
  echo "$GREETING from rank $SKYPILOT_NODE_RANK of $SKYPILOT_NUM_NODES with $SKYPILOT_NUM_GPUS_PER_NODE GPUs: $CUDA_VISIBLE_DEVICES"
"""


def test_a_skypilot_task_runs_unchanged(weir):
    with Broker(weir) as b:
        (b.dir / "task.yaml").write_text(SKYPILOT)
        job = int(b.ok("submit", "task.yaml"))
        assert b.wait(job)["state"] == "succeeded", b.get(f"/v1/jobs/{job}")
        text = b.log(job)
        assert "prepared" in text and "hello from rank 0 of 1 with 2 GPUs: " in text, text


def test_ends_are_told_apart(weir):
    with Broker(weir) as b:
        cases = [
            (["sh", "-c", "exit 3"], [], "failed", "exit", 3),
            # with a memory limit, so that the task has a cgroup that tells it from the host's other out-of-memory kills
            (["sh", "-c", "kill -9 $$"], ["--memory", "256M"], "failed", "signal", None),
            (["sleep", "60"], ["--max-duration", "1s"], "failed", "timeout", None),
            (["/no/such/program"], [], "failed", None, None),
        ]
        for number, (argv, options, state, reason, code) in enumerate(cases, 1):
            b.run("run", *options, "--", *argv)
            job = b.get(f"/v1/jobs/{number}")
            assert job["state"] == state, job
            assert reason is None or job["reason"] == reason, job
            assert code is None or job["exit_code"] == code, job
        b.balanced()


def test_owned_capacity_comes_first_for_a_task_without_gpus(weir):
    with Broker(weir, config="providers: {sandbox: {boot_delay: 1s}}\n", gpus="A100:2") as b:
        until("the own node", lambda: b.json("nodes"))
        assert b.run("run", "--", "true").returncode == 0
        assert b.get("/v1/jobs/1")["pool"] == "local", b.json("explain", "1")


def test_a_dry_run_says_what_would_become_of_it_now(weir):
    with Broker(weir, gpus="A100:2") as b:
        until("the own node", lambda: b.json("nodes"))
        (b.dir / "j.yaml").write_text("resources: {accelerators: 'A100:2'}\nmax_cost: 0.01\nrun: sleep 60\n")
        dry = b.json("submit", "--dry-run", "j.yaml")
        assert dry["possible"] and dry["explain"]["decision"] == "start", dry
        job = int(b.ok("submit", "j.yaml"))
        until("the task takes the GPUs", lambda: b.get(f"/v1/jobs/{job}")["state"] == "running")
        dry = b.json("submit", "--dry-run", "j.yaml")
        assert dry["explain"]["decision"] == "wait" and dry["explain"]["candidates"][0]["start_delay_s"] > 0, dry
        assert "The task waits for" in b.ok("submit", "--dry-run", "j.yaml")
        assert len(b.json("jobs")) == 1
        b.ok("cancel", str(job))


def test_a_dry_run_of_an_array_speaks_of_all_tasks(weir):
    table = [  # array, GPUs of a task, nodes, words, room
        ("0-9", "A100:1", 1, "10 tasks; there is room for 4 of them now. The first of them:", 4),
        ("0-9%2", "A100:1", 1, "10 tasks, at most 2 at once; there is room for 2 of them now", 4),
        ("0-9%3", "A100:2", 1, "10 tasks, at most 3 at once; there is room for 2 of them now", 2),
        ("0,1", "A100:2", 1, "2 tasks; there is room for all of them now", 2),
    ]
    with Broker(weir, gpus="A100:4") as b:
        until("the own node", lambda: b.json("nodes"))
        for array, gpus, nodes, words, room in table:
            (b.dir / "a.yaml").write_text(f"resources: {{accelerators: '{gpus}', cpus: 0.1}}\nnum_nodes: {nodes}\narray: '{array}'\nrun: sleep 60\n")
            text = b.ok("submit", "--dry-run", "a.yaml")
            assert words in text, text
            dry = b.json("submit", "--dry-run", "a.yaml")
            assert dry["room"] == room and dry["tasks"] == (2 if array == "0,1" else 10), dry
        (b.dir / "one.yaml").write_text("resources: {accelerators: 'A100:4', cpus: 0.1}\nrun: sleep 60\n")
        one = b.json("submit", "--dry-run", "one.yaml")
        assert (one["tasks"], one["parallel_max"], one["room"]) == (1, None, 1), one
        assert "The first of them" not in b.ok("submit", "--dry-run", "one.yaml")
        job = int(b.ok("submit", "one.yaml"))
        until("the task takes the GPUs", lambda: b.get(f"/v1/jobs/{job}")["state"] == "running")
        assert "10 tasks, at most 3 at once; there is no room for one of them now" in b.ok("submit", "--dry-run", "--array", "0-9%3", "one.yaml")
        b.ok("cancel", str(job))


def test_cancel_stops_a_process_tree(weir):
    with Broker(weir) as b:
        seconds = str(100000 + os.getpid())  # so that only this test's processes have it in their command line
        job = int(b.ok("submit", "-", input="name: long\nresources: {accelerators: 'A100:1'}\n"
                       f"run: 'echo here; sleep {seconds} & sleep {seconds}'\n"))
        until("the task to run", lambda: "here" in b.log(job))
        b.ok("cancel", job)
        assert b.wait(job)["state"] == "cancelled"
        again = b.run("cancel", job)
        assert again.returncode == 4 and "was cancelled" in again.stderr, again
        until("its processes to be gone", lambda: not [a for _, a in lib.process_table().values() if a[:2] == ["sleep", seconds]])
        b.balanced()


def test_impossible_requests_are_refused_with_the_nearest_possible(weir):
    with Broker(weir) as b:
        until("the node", lambda: b.json("nodes"))
        result = b.run("run", "--gpus", "A100:5", "--", "true")
        assert result.returncode != 0 and "A100:4" in result.stderr, result.stderr
        result = b.run("run", "--gpus", "H100:1", "--", "true")
        assert result.returncode != 0 and "possible" in result.stderr, result.stderr
        result = b.run("run", "--gpus", "foo:1", "--", "true")
        assert result.returncode != 0 and "there is no GPU called 'foo'; the nearest that is possible: --gpus A100:1" in result.stderr, result.stderr


def test_what_nothing_can_run_any_more_says_so_until_something_can(weir):
    with Broker(weir, gpus="A100:1") as b, Agents(b, n2="H100:1") as agents:
        job = b.submit({"name": "stranded", "resources": {"accelerators": {"H100": 1}}, "array": "0-2%1", "run": "sleep 0.2; [ -f go ]", "retries": 100})
        fine = b.submit({"name": "fine", "resources": {"accelerators": {"A100": 1}}, "run": "sleep 600"})
        until("it to run", lambda: b.get(f"/v1/jobs/{job}")["state"] == "running")
        agents.end("n2")
        b.ok("nodes", "remove", "n2")

        def reason(job):
            return b.get(f"/v1/jobs/{job}")["reason"]
        until("it to say so", lambda: reason(job) == "impossible")
        assert {(t["state"], t["reason"]) for t in b.tasks(job)} == {("waiting", "impossible")}, b.tasks(job)
        row = next(line for line in b.ok("jobs").splitlines() if "stranded" in line)
        assert "impossible" in row, row
        assert "Reason:" in b.ok("show", job) and "impossible" in b.ok("show", job)
        assert reason(fine) is None
        b.kill()
        b.start()
        assert reason(job) == "impossible"
        agents.start("n2")
        until("it to run again", lambda: reason(job) != "impossible" and b.get(f"/v1/jobs/{job}")["counts"]["waiting"] < 3)
        assert "impossible" not in {t["reason"] for t in b.tasks(job)}, b.tasks(job)
        b.ok("cancel", job, fine)


def test_more_tasks_than_gpus_never_share_one(weir):
    with Broker(weir) as b:
        job = b.submit({"name": "overlap", "resources": {"accelerators": {"A100": 1}}, "array": "0-39",
                        "run": "echo start $(date +%s%N) $CUDA_VISIBLE_DEVICES; sleep 0.1; echo end $(date +%s%N)"})
        assert b.wait(job)["state"] == "succeeded"
        spans = []
        for index in range(40):
            words = b.log(job, index).split()
            spans.append((words[2], int(words[1]), int(words[4])))
        assert len({s[0] for s in spans}) == 4, spans
        for i, (device, start, end) in enumerate(spans):
            for other_device, other_start, other_end in spans[i + 1:]:
                assert device != other_device or end <= other_start or other_end <= start, (device, spans)


def test_an_explanation_says_where_and_why(weir):
    with Broker(weir) as b:
        b.run("run", "--gpus", "1", "--", "true")
        records = b.json("explain", "1")["items"]
        start = next(r for r in records if r["decision"] == "start")
        assert start["candidates"][0]["verdict"] == "chosen", records
        assert b.ok("explain", "1").strip()


def test_logs_follow_until_the_end(weir):
    with Broker(weir) as b:
        job = int(b.ok("submit", "-", input="name: talk\nrun: 'for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done'\n"))
        follow = b.run("logs", "-f", job)
        assert follow.returncode == 0 and follow.stdout.split() == "line 1 line 2 line 3 line 4 line 5".split(), follow


def test_bad_input_is_answered_with_place_and_remedy(weir):
    with Broker(weir) as b:
        result = b.run("submit", "-", input="name: x\nresorces: {accelerators: A100:1}\nrun: 'true'\n")
        assert result.returncode == 2 and "resources" in result.stderr and "2:" in result.stderr, result
        for text in ("\x01binary", "a: " + "[" * 5000):
            result = b.run("submit", "-", input=text)
            assert result.returncode in (2, 5) and "1:" in result.stderr, result
        for raw in (b"{", b"[" * 100000, b"\xff\xfe", b'{"name": 1}', b'{"run": "x", "unknown": 1}', b"null", b""):
            status, body = b.http("POST", "/v1/jobs", raw=raw)
            assert 400 <= status < 500 and json.loads(body)["error"]["message"], (raw[:20], status, body)
        try:
            status, _ = b.http("POST", "/v1/jobs", raw=b" " * (5 << 20))
        except OSError:
            status = 413  # refused before all of it was sent
        assert status == 413, status
        assert b.get("/v1/health")["status"] == "ok"


def test_what_would_run_without_its_data_is_refused(weir):
    with Broker(weir) as b:
        result = b.run("submit", "-", input="name: x\ninputs: {/data: 's3://bucket/x'}\nrun: 'true'\n")
        assert result.returncode == 2 and "/data" in result.stderr and "does not move data" in result.stderr, result


def test_the_cost_of_a_running_task_moves(weir):
    with Broker(weir) as b:
        job = b.submit({"name": "long", "resources": {"accelerators": {"A100": 1}}, "run": "sleep 100"})
        until("some cost", lambda: b.json("show", job)["accruing_micro"] > 0)
        seen = b.json("show", job)
        until("more cost", lambda: b.json("show", job)["cost_micro"] > seen["cost_micro"])
        assert seen["cost_micro"] >= seen["accruing_micro"] > 0, seen
        b.ok("cancel", job)
        ended = b.wait(job)
        assert ended["cost_micro"] > seen["cost_micro"] and ended["accruing_micro"] == 0, ended
        b.balanced()


def test_a_busy_broker_keeps_its_times(weir):
    with Broker(weir) as b:
        job = b.submit({"name": "long", "resources": {"accelerators": {"A100": 1}}, "run": "sleep 600"})
        answered = threading.Event()

        def hammer():
            while not answered.is_set():
                b.get("/v1/status")

        busy = threading.Thread(target=hammer)
        busy.start()
        try:
            begin = time.monotonic()
            b.get(f"/v1/jobs/{job}/wait?timeout_s=1")
            assert time.monotonic() - begin < 60, "the wait was for a second, the job is for longer"
        finally:
            answered.set()
            busy.join()
        b.ok("cancel", job)


def test_a_rented_machine_is_booting_until_it_joins(weir):
    with Broker(weir, config="providers: {sandbox: {boot_delay: 60s}}\n", gpus=None, args=["--no-agent"]) as b:
        until("offers", lambda: b.json("offers", "--gpus", "T4:1", "--launchable"))
        job = b.submit({"name": "long", "resources": {"accelerators": {"T4": 1}}, "run": "true"})
        until("the machine", lambda: [n for n in b.json("nodes") if n["lease"]])
        node = b.json("nodes")[0]
        assert (node["state"], node["pool"], node["name"], node["joined"]) == ("booting", "sandbox", None, False), node
        b.ok("cancel", job)


def test_own_nodes_may_still_join_though_a_rented_one_is_there(weir):
    for _ in range(5):  # it holds for half a minute after a start
        begin = time.monotonic()
        with Broker(weir, config="providers: {sandbox: {boot_delay: 60s}}\n", gpus=None, args=["--no-agent"]) as b:
            until("offers", lambda: b.json("offers", "--gpus", "T4:1", "--launchable"))
            job = b.submit({"name": "long", "resources": {"accelerators": {"T4": 1}}, "run": "true"})
            until("the machine", lambda: b.json("nodes"))
            status, body = b.http("POST", "/v1/jobs", {"name": "own", "resources": {"accelerators": {"T4": 1}}, "placement": {"local": "only"}, "run": "true"})
            soon = time.monotonic() - begin < 29
            b.ok("cancel", job)
        if soon:
            assert status == 201, body
            return
    raise lib.Skip("this machine is too slow: half a minute was over each time")


def test_a_skypilot_catalogue_is_imported(weir):
    prices = ("InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone\n"
              'x-large,A100,8,96,680,"{}",23.5,9.4,mars-1,mars-1a\n')
    b = Broker(weir, args=[], gpus=None)
    (b.dir / "vms.csv").write_text(prices)
    (b.dir / "weir.yaml").write_text(f"catalogue_import: {{moonbase: {b.dir}/vms.csv}}\n")
    b.args += ["--config", str(b.dir / "weir.yaml"), "--no-agent"]
    with b:
        offers = b.json("offers", "--gpus", "A100:8", "--region", "mars-*")
        assert [(o["provider"], o["market"], o["price_micro_per_hour"]) for o in offers] == [
            ("moonbase", "spot", 9400000), ("moonbase", "on_demand", 23500000)], offers


def test_a_port_in_use_and_a_second_broker_are_named(weir):
    with Broker(weir) as b:
        def serve(listen, data):
            return subprocess.run([weir, "serve", "--listen", listen, "--data", str(data), "--no-agent"], capture_output=True, text=True,
                                  timeout=120, env=b.env, check=False)
        result = serve(f"127.0.0.1:{b.port}", b.dir / "other")
        assert result.returncode != 0 and str(b.port) in result.stderr, result
        result = serve("127.0.0.1:0", b.data)
        assert result.returncode != 0 and str(b.data) in result.stderr, result


def test_a_bill_by_any_key(weir):
    with Broker(weir) as b:
        for project, team in (("vision", "red"), ("speech", "blue")):
            b.ok("run", "--gpus", "1", "--project", project, "--tag", f"team={team}", "--", "sleep", "0.3")
        bill = json.loads(b.ok("bill", "--by", "project,tag:team", "--format", "json"))
        used = {(r["project"], r["tag:team"]) for r in bill["rows"] if r["used_micro"]}
        assert used == {("vision", "red"), ("speech", "blue")}, bill
        for key in ("user", "pool", "job", "node", "gpu", "day"):
            assert json.loads(b.ok("bill", "--by", key, "--format", "json"))["rows"]
        b.balanced()


def test_ctrl_c_without_a_terminal_cancels(weir):
    with Broker(weir) as b:
        process = subprocess.Popen([weir, "run", "--", "sh", "-c", "echo up; sleep 600"], env=b.env, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        assert b.wait(1)["state"] == "cancelled"


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
