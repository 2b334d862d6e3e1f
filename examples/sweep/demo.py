#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""weir at work, with real processes and real data: see README.md.

A parameter sweep with more tasks than the local pool holds: the pool's two GPUs fill first, the overflow goes to spot
machines of the sandbox cloud; one of them is reclaimed while it works and its task goes on elsewhere from its checkpoint.
Everything lives under build/demo and ends with the demo.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TASKS = 16
WAIT_S = 420


def say(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


class Progress:
    """A line on a terminal that is redrawn in place and goes at the end; nothing elsewhere."""

    def __init__(self):
        self.live = sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.began = time.monotonic()

    def show(self, text):
        if self.live:
            line = f"{text}, {time.monotonic() - self.began:.0f} s"
            print("\r\033[K" + line[:max(1, shutil.get_terminal_size().columns - 1)], end="", file=sys.stderr, flush=True)

    def end(self):
        if self.live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


class Demo:
    def __init__(self, weir):
        self.weir = str(pathlib.Path(weir).resolve())
        self.data = pathlib.Path(weir).resolve().parent / "demo"
        shutil.rmtree(self.data, ignore_errors=True)
        (self.data / "checkpoints").mkdir(parents=True)
        self.env = dict(os.environ, PYTHONUNBUFFERED="1")
        self.env.pop("WEIR_TOKEN", None)
        self.log = (self.data / "serve.log").open("w")
        self.serve = subprocess.Popen([self.weir, "serve", "--listen", "127.0.0.1:0", "--data", str(self.data / "broker"), "--config",
                                       str(HERE / "demo.yaml"), "--declare-gpus", "A100:2"],
                                      stdout=subprocess.PIPE, stderr=self.log, text=True, env=self.env)
        line = self.serve.stdout.readline()
        if "serving on" not in line:
            raise SystemExit(f"the broker did not start; see {self.data}/serve.log")
        self.env["WEIR_URL"] = line.split("serving on ")[1].split(",")[0]
        print(line.strip())

    def run(self, *args, check=True, show=True):
        if show:
            print("$ weir " + " ".join(args), flush=True)
        result = subprocess.run([self.weir, *args], env=self.env, text=True, stdout=subprocess.PIPE, check=False)
        if show:
            print(result.stdout, end="", flush=True)
        if check and result.returncode != 0:
            raise SystemExit(f"weir {' '.join(args)} ended with {result.returncode}; see {self.data}/serve.log")
        return result.stdout

    def json(self, *args):
        return json.loads(self.run(*args, "--json", show=False))

    def until(self, what, condition):
        progress = Progress()
        end = time.monotonic() + WAIT_S
        try:
            while time.monotonic() < end:
                value = condition()
                if value:
                    return value
                progress.show("waiting for " + (what() if callable(what) else what))
                time.sleep(0.25)
        finally:
            progress.end()
        raise SystemExit(f"waited {WAIT_S} s for {what() if callable(what) else what}; see {self.data}/serve.log")

    def stop(self):
        """Ends what was rented first, then the broker, and waits for both."""
        try:
            for lease in self.json("leases"):
                if lease["state"] not in ("ended", "failed", "ending"):
                    self.run("leases", "end", str(lease["id"]), check=False, show=False)
            self.until("the machines to end", lambda: all(x["state"] in ("ended", "failed") for x in self.json("leases")))
        finally:
            self.serve.send_signal(signal.SIGTERM)
            self.serve.wait(timeout=30)


def job_file(demo):
    text = f"""name: price-model
project: research
tags: {{team: pricing}}
resources:
  accelerators: A100:1
  cpus: 1
array: 0-{TASKS - 1}
run: python3 {HERE / 'fit.py'} {ROOT / 'data' / 'catalogue'} 150
checkpoint: {{path: {demo.data / 'checkpoints'}/%a.json, every: 5s, grace: 2s}}
delay_cost: 600
max_duration: 30m
"""
    path = demo.data / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path), text


def reclaim_one(demo, job):
    """Waits for a task that has made a checkpoint on a rented machine, then has the cloud take that machine back."""
    def candidate():
        for task in demo.json("show", job, "--tasks")["items"]:
            if task["state"] == "running" and task["pool"] == "sandbox" and task["checkpointed"]:
                return task
        return None
    task = demo.until("a rented task with a checkpoint", candidate)
    say(f"The cloud takes back the machine {task['node']} under task {task['id']}, with notice")
    demo.run("sandbox", "reclaim", task["node"])
    return task["id"]


def wait_for_all(demo, job):
    counts = {}

    def words():
        return "the tasks: " + ", ".join(f"{n} {state}" for state, n in counts.items() if n)

    def ended():
        state = demo.json("show", job)
        counts.update(state["counts"])
        return state["state"] in ("succeeded", "failed", "cancelled")

    demo.until(words, ended)
    demo.run("wait", job, check=False)


def end_by_signal(number, _frame):
    raise SystemExit(128 + number)  # so that what was rented is ended on the way out


def main() -> int:
    signal.signal(signal.SIGTERM, end_by_signal)
    demo = Demo(sys.argv[1])
    try:
        say("Two own GPUs, and a cloud to rent from")
        demo.until("the own node", lambda: demo.json("nodes"))
        demo.run("nodes")
        demo.run("offers", "--gpus", "A100:1", "--cloud", "sandbox", "--limit", "4")
        say(f"A sweep of {TASKS} tasks, more than the pool holds; an hour of waiting is worth 600 USD")
        path, text = job_file(demo)
        print(text)
        job = demo.run("submit", path).strip()
        victim = reclaim_one(demo, job)
        say("All tasks end")
        wait_for_all(demo, job)
        demo.run("show", job)
        say(f"Task {victim} was moved, and went on from its checkpoint")
        demo.run("logs", victim)
        demo.run("explain", victim)
        say("Jobs, and what they cost: every micro-dollar of every machine")
        demo.run("jobs")
        demo.run("leases", "--all")
        demo.run("bill", "--by", "project,pool")
        demo.run("bill", "--check")
        results = sorted((float(line.split("mean error ")[1].split(" ")[0]), line) for i in range(TASKS)
                         for line in demo.run("logs", f"{job}_{i}", show=False).splitlines() if line.startswith("result:"))
        if len(results) != TASKS:
            raise SystemExit(f"{len(results)} of {TASKS} tasks gave a result")
        say(f"The best of the {len(results)} models: {results[0][1].removeprefix('result: ')}")
    finally:
        demo.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
