#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Jobs in an image, with a real podman where the host has one that can run containers."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import lib
from lib import Broker, Skip, until

IMAGE = "localhost/weir-test:1"
CONF = """[containers]
default_ulimits = ["nofile=1024:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""


class Image:
    """A busybox image, and the settings that let podman run in a plain virtual machine."""

    def __enter__(self):
        for tool in ("podman", "runc", "busybox"):
            if shutil.which(tool) is None:
                raise Skip(f"{tool} is not installed")
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-image-"))
        (self.dir / "containers.conf").write_text(CONF)
        self.env = {"CONTAINERS_CONF": str(self.dir / "containers.conf")}
        programs = self.dir / "root" / "bin"
        programs.mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), programs / "busybox")
        for name in ("sh", "sleep", "ls"):
            (programs / name).symlink_to("busybox")
        tar = subprocess.run(["tar", "-C", self.dir / "root", "-c", "."], capture_output=True, check=True).stdout
        for command, data in ((["podman", "import", "-", IMAGE], tar), (["podman", "run", "--rm", "--network=host", IMAGE, "/bin/sh", "-c", "exit 0"], None)):
            done = self.podman(command, data)
            if done.returncode != 0:
                self.__exit__()
                raise Skip(f"podman cannot run containers here: {done.stderr.decode(errors='replace').strip()[-120:]}")
        return self

    def podman(self, command, data=None):
        return subprocess.run(command, input=data, env={**os.environ, **self.env}, capture_output=True, check=False, timeout=300)

    def __exit__(self, *exc):
        self.podman(["podman", "rmi", "--force", IMAGE])
        shutil.rmtree(self.dir, ignore_errors=True)


def test_a_job_runs_in_its_image_and_leaves_no_container(weir):
    with Image() as image, Broker(weir, env=image.env) as b:
        job = b.submit({"name": "boxed", "resources": {"accelerators": {"A100": 1}, "image_id": f"docker:{IMAGE}"},
                        "run": "echo gpu=$CUDA_VISIBLE_DEVICES job=$WEIR_JOB_ID; ls /bin; exit 6"})
        state = b.wait(job)
        assert (state["state"], state["reason"], state["exit_code"]) == ("failed", "exit", 6), (state, b.log(job))
        assert f"gpu=0 job={job}" in b.log(job) and "busybox" in b.log(job), b.log(job)
        job = b.submit({"name": "long", "resources": {"image_id": f"docker:{IMAGE}"}, "run": "echo up; sleep 600", "checkpoint": {"grace": "1s"}})
        until("the container to run", lambda: "up" in b.log(job))
        b.ok("cancel", job)
        assert b.wait(job)["state"] == "cancelled"
        until("no container to be left", lambda: not image.podman(["podman", "ps", "-aq", "--filter", "name=weir"]).stdout.strip())
        b.balanced()


def test_what_podman_fails_at_is_told_from_what_the_program_does(weir):
    with Image() as image, Broker(weir, env=image.env) as b:
        job = b.submit({"name": "own", "resources": {"image_id": f"docker:{IMAGE}"}, "run": "exit 125"})
        state = b.wait(job)
        assert (state["state"], state["reason"], state["exit_code"]) == ("failed", "exit", 125), state
        job = b.submit({"name": "tool", "resources": {"image_id": "docker:localhost:1/no-such-image:1"}, "run": "echo never"})
        state = b.wait(job)
        assert (state["state"], state["reason"]) == ("failed", "start_failed"), state
        text = b.tasks(job)[0]["text"]
        assert text.startswith("podman could not start the image 'localhost:1/no-such-image:1': Error: "), text
        assert "no-such-image" in b.log(job), b.log(job)


if __name__ == "__main__":
    sys.exit(lib.main(globals(), at_once=1))  # they have one image
