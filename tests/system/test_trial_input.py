#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong around a broker: full disks, wrong options, attempts that fail at once."""
import os
import subprocess
import sys
import tempfile

import lib
from lib import Broker, Skip, until


class SmallDisk:
    """A file system of a few MiB, mounted for one test."""

    def __init__(self, size):
        self.size = size

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="weir-disk-")
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", self.path], capture_output=True, check=False) \
            if os.geteuid() == 0 else None
        if done is None or done.returncode != 0:
            os.rmdir(self.path)
            raise Skip("needs a mount of its own, which only root may make")
        return self

    def grow(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True)

    def __exit__(self, *exc):
        subprocess.run(["umount", "-l", self.path], check=False)
        os.rmdir(self.path)


def test_a_full_disk_is_told_at_once_and_loses_nothing(weir):
    with SmallDisk("3m") as disk, Broker(weir, args=["--no-agent"], gpus=None) as b:
        b.stop()
        b.data = type(b.data)(disk.path) / "data"
        b.start()
        b.ok("project", "set", "vision", "--weight", "10")
        spec = f"name: x\nproject: vision\nplacement: {{local: prefer}}\nresources: {{cpus: 1}}\nrun: 'true'\nenvs: {{A: '{'x' * 20000}'}}\n"
        taken = []
        for _ in range(1000):
            result = b.run("submit", "-", input=spec, timeout=180)
            if result.returncode != 0:
                break
            taken.append(int(result.stdout))
        assert result.returncode == 74 and disk.path in result.stderr and "free space" in result.stderr, result
        for command in (["bill"], ["bill", "--check"], ["cancel", "1"]):
            result = b.run(*command, timeout=180)
            assert result.returncode == 74 and "free space" in result.stderr, (command, result)
        assert b.run("jobs", timeout=180).returncode == 0
        b.stop()
        log = (b.dir / "serve.log").read_text().splitlines()
        assert "not acknowledged" in log[-1], log[-5:]
        disk.grow("4m")
        b.start()
        disk.grow("60m")
        until("new work to be taken again", lambda: b.run("submit", "-", input=spec).returncode == 0)
        b.kill()
        b.start()
        assert set(taken) <= {j["id"] for j in b.json("jobs", "--all")}
        b.balanced()
        b.stop()


def test_declared_gpus_that_cannot_be_are_refused_at_the_start(weir):
    for text in ("A100:0", "A100:99", ":2", "A100:x"):
        with tempfile.TemporaryDirectory() as data:
            result = subprocess.run([weir, "serve", "--listen", "127.0.0.1:0", "--data", data, "--declare-gpus", text], capture_output=True,
                                    text=True, timeout=180, check=False)
            assert result.returncode == 2 and text in result.stderr, result


def test_no_attempt_is_passed_over_by_a_follower(weir):
    with Broker(weir) as b:
        result = b.run("run", "--gpus", "1", "--retries", "5", "--", "sh", "-c", "echo try $WEIR_ATTEMPT; exit 3")
        assert result.returncode == 3, result
        assert result.stdout == "".join(f"try {n}\n" for n in range(1, 7)), result


def test_a_command_that_cannot_start_says_why(weir):
    with Broker(weir) as b:
        result = b.run("run", "-D", "/no/such/directory", "--", "true")
        assert result.returncode == 125 and "/no/such/directory" in result.stderr, result


SIGNALLED = """#!/bin/bash
#SBATCH --signal=B:USR1@5
#SBATCH --time=0:05
trap 'echo saved; exit 0' USR1
echo up
while :; do sleep 0.1; done
"""


def test_a_script_gets_the_signal_it_asked_for_at_its_time_limit(weir):
    with Broker(weir) as b:
        job = int(b.ok("submit", "-", input=SIGNALLED))
        state = b.wait(job)
        assert state["reason"] == "timeout" and b.log(job).splitlines()[0] == "up" and "saved" in b.log(job), (state, b.log(job))


def test_a_task_file_leaves_a_variable_to_who_submits_it(weir):
    with Broker(weir, env={"HF_TOKEN": "mine"}) as b:
        (b.dir / "task.yaml").write_text("name: a\nresources: {accelerators: A100:1}\nenvs:\n  MODEL: llama\n  HF_TOKEN: null\n"
                                         "run: echo $MODEL $HF_TOKEN\n")
        result = b.run("submit", "task.yaml")
        assert result.returncode == 2 and "HF_TOKEN" in result.stderr, result
        for option, want in (("HF_TOKEN=given", "given"), ("HF_TOKEN", "mine")):
            job = int(b.ok("submit", "--wait", "--env", option, "task.yaml"))
            assert b.log(job) == f"llama {want}\n", b.log(job)


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
