# SPDX-License-Identifier: Apache-2.0
"""Machines of mock clouds as real agents, cloud by cloud: a task runs there, the lease ends, and a machine whose broker is gone ends
itself as that cloud lets it."""
import json
import os
import pathlib
import subprocess
import sys

import lib
from lib import Broker, until
from mockcloud import MockCloud

NVML = os.environ.get("MOCK_NVML_LIBRARY")

KEY = "secret_test_TESTKEY"
MACHINE_KEY = "secret_test_MACHINEKEY"
CLOUDS = {  # of each: its section, what its broker needs in the environment, a GPU that it has
    "digitalocean": ("    ssh_keys: [k1]\n    regions: [tor1]\n    max_gpus: 1\n", {"DIGITALOCEAN_TOKEN": KEY}, "L40S"),
    "openstack": ("    image: 70a599e0-31e7-49b7-b260-868f441e862b\n    region: RegionOne\n    flavors: {g1.a100.1: {gpus: A100, price: 1.10}}\n",
                  {"OS_USERNAME": "weir", "OS_PASSWORD": KEY, "OS_PROJECT_NAME": "gpu"}, "A100"),
    "paperspace": ("    template: tabc123\n    max_gpus: 1\n", {"PAPERSPACE_API_KEY": KEY}, "A4000"),
    "lambda": ("    ssh_key: k\n    regions: [us-east-1]\n", {"LAMBDA_API_KEY": KEY}, "A10"),
    "vast": ("    image: registry.example/cuda:12\n    spot: false\n", {"VAST_API_KEY": KEY}, "A10"),
}


def section(name, cloud, weir, more=""):
    return f"providers:\n  {name}:\n    endpoint: {cloud.url}\n    poll: 200ms\n    calls_per_second: 200\n    agent: {weir}\n{CLOUDS[name][0]}{more}"


def rent(b, name, run="echo here"):
    return b.submit({"name": "spill", "run": run, "max_duration": "10m", "resources": {"accelerators": {CLOUDS[name][2]: 1}, "cpus": 1},
                     "delay_cost": 5000, "placement": {"local": "never", "clouds": [name]}})


def made(c):
    return [i for i in c.inventory()["instances"] if i["state"] != "gone"]


def nothing_left(b, c):
    until("all leases to end", lambda: not b.get("/v1/leases")["items"])
    until("the cloud to be empty", lambda: not made(c))
    assert not c.inventory()["doubles"], c.inventory()["doubles"]
    b.balanced()


def works_and_ends(weir, name, **cloud):
    with MockCloud(name, nvml=NVML, **cloud) as c, Broker(weir, config=section(name, c, weir), gpus="A100:1", env=CLOUDS[name][1]) as b:
        job = rent(b, name)
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        assert {t["pool"] for t in b.tasks(job)} == {name}
        assert KEY not in (b.dir / "serve.log").read_text(), "the key is in the broker's log"
        for lease in b.get("/v1/leases")["items"]:
            b.run("leases", "end", lease["id"])  # it may be over by now
        nothing_left(b, c)


def run_end(c):
    """What the machine itself runs when its lease is over."""
    machine, = made(c)
    home = c.dir / "machines" / machine["id"]
    env = {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", "WEIR_BOOT_ROOT": str(home)}
    end = subprocess.Popen(["sh", str(home / "var/lib/weir/end")], cwd=home / "var/lib/weir", env=env, start_new_session=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return end


def test_a_broker_killed_between_script_and_machine_leaves_neither(weir):
    with MockCloud("paperspace", nvml=NVML, options=[f"key={KEY}"]) as c:
        with Broker(weir, config=section("paperspace", c, weir), gpus="A100:1", env=CLOUDS["paperspace"][1]) as b:
            c.fault("slow_body", on="create_script", seconds=5)
            job = rent(b, "paperspace")
            until("the script to be made", lambda: c.inventory()["leftovers"])
            b.kill()
            assert not made(c), "the machine comes after its script"
            c.clear()
            b.start()
            assert b.wait(job)["state"] == "succeeded", b.tasks(job)
            for lease in b.get("/v1/leases")["items"]:
                b.run("leases", "end", lease["id"])  # it may be over by now
            nothing_left(b, c)
            until("both scripts to be gone", lambda: b.run("leases", "--audit") and not c.inventory()["leftovers"])


def test_digitalocean_runs_a_task(weir):
    works_and_ends(weir, "digitalocean", options=[f"key={KEY}"])


def test_openstack_runs_a_task(weir):
    works_and_ends(weir, "openstack", options=[f"password={KEY}"])


def test_paperspace_runs_a_task(weir):
    works_and_ends(weir, "paperspace", options=[f"key={KEY}"])


def test_lambda_runs_a_task(weir):
    works_and_ends(weir, "lambda", options=[f"key={KEY}"])


def test_vast_runs_a_task(weir):
    works_and_ends(weir, "vast", options=[f"key={KEY}"])


def test_a_vast_container_is_rented_by_a_bid_and_ends_itself(weir):
    with MockCloud("vast", nvml=NVML, options=[f"key={KEY}"]) as c:
        config = section("vast", c, weir).replace("spot: false", "spot: true")
        with Broker(weir, config=config, gpus="A100:1", env=CLOUDS["vast"][1]) as b:
            rent(b, "vast", "sleep 600")
            until("the task to run", lambda: b.get("/v1/jobs")["items"][0]["state"] == "running")
            sent, = [json.loads(call["body"]) for call in c.calls() if "/asks/" in call["target"]]
            assert abs(sent["price"] - 0.132) < 1e-6, "a tenth above the least bid"
            quote = b.get("/v1/leases")["items"][0]
            assert abs(quote["price_micro_per_hour"] - (132000 + 50 * 150000 // 720)) <= 1, quote
            b.kill()
            home = c.dir / "machines" / made(c)[0]["id"]
            pid = made(c)[0]["pids"][0]
            own = dict(v.split("=", 1) for v in (pathlib.Path(f"/proc/{pid}/environ")).read_text().split("\0") if "=" in v)
            end = subprocess.Popen(["sh", str(home / "var/lib/weir/end")], cwd=home / "var/lib/weir", start_new_session=True,
                                   env={"PATH": os.environ["PATH"], **{k: v for k, v in own.items() if k.startswith("CONTAINER_")}}, stdout=subprocess.DEVNULL)
            try:
                until("the container's end", lambda: not made(c))
            finally:
                end.kill()
                end.wait()
            b.start()
            b.ok("down", "--all", "--timeout", "170s")


def ends_alone(weir, over, name="lambda", more="", options=(f"key={KEY}", f"machine_key={MACHINE_KEY}")):
    with MockCloud(name, nvml=NVML, options=options) as c:
        (c.dir / "machine-key").write_text(MACHINE_KEY)
        config = section(name, c, weir, more.replace("DIR", str(c.dir)))
        with Broker(weir, config=config, gpus="A100:1", env=CLOUDS[name][1]) as b:
            rent(b, name, "sleep 600")
            until("the task to run", lambda: any(i["pids"] for i in made(c)) and b.get("/v1/jobs")["items"][0]["state"] == "running")
            b.kill()
            end = run_end(c)
            try:
                until("the machine's end", lambda: over(c))
            finally:
                end.kill()
                end.wait()
            b.start()
            b.ok("down", "--all", "--timeout", "170s")
            assert not made(c)


def is_off(c):
    return [i["state"] for i in made(c)] == ["stopped"]


def test_a_lambda_machine_with_a_key_ends_itself(weir):
    ends_alone(weir, lambda c: not made(c), more="    machine_key_file: DIR/machine-key\n")


def test_a_lambda_machine_that_switched_itself_off_is_ended_by_the_broker(weir):
    # it is billed on as long as the broker is away
    ends_alone(weir, is_off)


def test_machines_that_switched_themselves_off_are_ended_by_the_broker(weir):
    ends_alone(weir, is_off, "digitalocean", options=[f"key={KEY}"])
    ends_alone(weir, is_off, "openstack", options=[f"password={KEY}"])
    ends_alone(weir, is_off, "paperspace", options=[f"key={KEY}"])


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
