# SPDX-License-Identifier: Apache-2.0
"""OpenStack's own SDK beside weir at one mock cloud. Skipped by name where the SDK cannot be installed."""
import os
import pathlib
import subprocess
import sys

import lib
from lib import Broker, Skip, until
from mockcloud import MockCloud
from test_cloud_machines import CLOUDS, KEY, NVML, rent, section

VENV = os.environ.get("OPENSTACK_VENV", "")


def test_the_sdk_finds_what_weir_made(weir):
    python, why = lib.make_venv(os.path.abspath(VENV), "openstack")
    if python is None:
        raise Skip(f"openstacksdk cannot be installed: {why}")
    with MockCloud("openstack", nvml=NVML, options=[f"password={KEY}"]) as c:
        with Broker(weir, config=section("openstack", c, weir), gpus="A100:1", env=CLOUDS["openstack"][1]) as b:
            rent(b, "openstack", "sleep 600")
            until("the task to run", lambda: b.get("/v1/jobs")["items"][0]["state"] == "running")
            script = pathlib.Path(__file__).with_name("openstack_client.py")
            result = subprocess.run([python, str(script), c.url, KEY], capture_output=True, text=True, timeout=120, check=False)
            assert result.returncode == 0, result.stdout + result.stderr
            b.ok("down", "--all", "--timeout", "170s")


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
