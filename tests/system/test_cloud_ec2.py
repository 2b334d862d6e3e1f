# SPDX-License-Identifier: Apache-2.0
"""EC2 end to end: `weir serve` with its own host and Amazon's cloud, which is the mock of tests/cloud/mock. What it rents are real agents,
that the mock starts from the very user data that weir sent: they fetch their program from the broker and check its sum.
"""
import hashlib
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import urllib.request

import lib

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
NVML = pathlib.Path(sys.argv.pop(2)).resolve() if len(sys.argv) > 2 else None


class Mock:
    """The mock cloud with machines that are real processes, each with the GPUs that its type has."""

    def __init__(self):
        self.dir = tempfile.TemporaryDirectory(prefix="weir-mock-")
        libs = pathlib.Path(self.dir.name) / "lib"
        libs.mkdir()
        (libs / "libnvidia-ml.so.1").symlink_to(NVML)
        self.machines = pathlib.Path(self.dir.name) / "machines"
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests/cloud/mock/server.py"), "--dialect", "ec2", "--dir", str(self.machines), "--option", "key=AKIDMOCK",
             "--machine-env", f"LD_LIBRARY_PATH={libs}"], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().split()[-1]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if exc[0] is not None:
            for log in self.machines.glob("*/console.log"):
                sys.stderr.write(f"{log}:\n{log.read_text(errors='replace')[-2000:]}\n")
            for log in self.machines.glob("*/var/lib/weir/agent.log"):
                sys.stderr.write(f"{log}:\n{log.read_text(errors='replace')[-2000:]}\n")
        self.process.send_signal(signal.SIGINT)  # it ends its machines
        self.process.wait(timeout=120)
        self.dir.cleanup()

    def tell(self, what, **body):
        request = urllib.request.Request(f"{self.url}/_mock/{what}", data=json.dumps(body).encode() if what not in ("inventory", "log") else None)
        with urllib.request.urlopen(request, timeout=180) as reply:
            return json.load(reply)

    def alive(self):
        return self.tell("inventory")["alive"]

    def made(self):
        return len(self.tell("inventory")["instances"])


def broker(weir, mock, policy="lease_term: 300s, leases_max: 4", gpus="A100:2"):
    config = f"""
policy: {{{policy}}}
providers:
  aws:
    endpoint: {mock.url}
    regions: [us-east-1]
    types: [g6.xlarge]
    image: ami-0123456789abcdef0
    prices_every: 1s
"""
    env = {"AWS_ACCESS_KEY_ID": "AKIDMOCK", "AWS_SECRET_ACCESS_KEY": "a-secret-that-is-never-shown", "AWS_EC2_METADATA_DISABLED": "true"}
    return lib.Broker(weir, config=config, gpus=gpus, env=env)


def job(run="true", tasks=1, gpu="L4", **more):
    return {"project": "vision", "resources": {"accelerators": f"{gpu}:1"}, "array": f"0-{tasks - 1}", "run": run, "max_duration": "10m", **more}


def give_back(b, mock):
    """Ends every lease, until the provider's own books have nothing left and nothing was made twice."""
    for lease in b.json("leases"):
        b.http("POST", f"/v1/leases/{lease['id']}/end")
    lib.until("all machines to be gone", lambda: mock.alive() == 0)
    lib.until("all leases to be over", lambda: not b.json("leases"))
    inventory = mock.tell("inventory")
    assert inventory["doubles"] == {}, inventory["doubles"]
    assert not any(i["pids"] for i in inventory["instances"]), inventory
    b.balanced()


def test_what_the_own_host_cannot_run_is_rented(weir):
    with Mock() as mock, broker(weir, mock) as b:
        own = b.submit(job(tasks=12, gpu="A100", run="true"))
        done = b.dir / "done"
        away = b.submit(job(tasks=20, run=f"echo $WEIR_TASK_INDEX $CUDA_VISIBLE_DEVICES >> {done}"))
        for each in (own, away):
            state = b.wait(each)
            assert state["state"] == "succeeded", state
        # each has run once, with the machine's device
        assert sorted(done.read_text().splitlines()) == sorted(f"{i} 0" for i in range(20)), done.read_text()
        pools = {t["pool"] for t in b.tasks(away)}
        assert pools == {"aws"}, pools
        assert {t["pool"] for t in b.tasks(own)} == {"local"}
        leases = b.json("leases")
        assert leases and all(lease["instance"].startswith("us-east-1/i-") for lease in leases), leases
        # the machine runs the broker's own program, and its secrets are in files of its own
        home = next(mock.machines.glob("*/var/lib/weir/agent.log")).parent  # others may still be fetching it
        want = hashlib.sha256(pathlib.Path(weir).read_bytes()).hexdigest()
        assert hashlib.sha256((home / "weir").read_bytes()).hexdigest() == want
        token = (home / "token").read_text().strip()
        assert (home / "token").stat().st_mode & 0o777 == 0o600
        for pid, (_, argv) in lib.process_table().items():
            assert not any(token in a for a in argv), (pid, argv)
        log = (b.dir / "serve.log").read_text()
        assert "a-secret-that-is-never-shown" not in log and token not in log
        # read late, at the first call, from an environment that does not show it any more
        assert b"a-secret" not in pathlib.Path(f"/proc/{b.process.pid}/environ").read_bytes()
        # prices are live, by zone
        spot = [o for o in b.json("offers", "--gpus", "L4:1") if o["provider"] == "aws" and o["market"] == "spot"]
        assert any(o["zone"] and o["source"] == "EC2 spot price history" for o in spot), spot
        give_back(b, mock)


def test_a_stock_out_and_a_lost_reply_are_survived(weir):
    with Mock() as mock, broker(weir, mock) as b:
        mock.tell("fault", name="no_capacity", times=1)
        mock.tell("fault", name="lost_reply", on="create", times=1)
        mock.tell("fault", name="throttle", on="create", times=1)
        away = b.submit(job(tasks=3))
        assert b.wait(away)["state"] == "succeeded"
        give_back(b, mock)


def kill_when(weir, fault, seen):
    """The broker is killed as soon as the provider has seen a call, and comes back: nothing is lost, nothing is made twice."""
    with Mock() as mock, broker(weir, mock) as b:
        if fault:
            mock.tell("fault", **fault)
        away = b.submit(job(tasks=2, run="sleep 1"))
        lib.until("the call", lambda: seen(mock), 60, every_s=0.005)
        b.kill()
        b.start()
        assert b.wait(away)["state"] == "succeeded"
        give_back(b, mock)


def has_call(mock, operation):
    return any(entry["operation"] == operation for entry in mock.tell("log")["log"])


def test_killed_before_the_reply_of_a_launch(weir):
    kill_when(weir, {"name": "slow_body", "on": "create", "times": 1, "seconds": 3}, lambda mock: mock.made() > 0)


def test_killed_after_a_launch_whose_reply_was_lost(weir):
    kill_when(weir, {"name": "lost_reply", "on": "create", "times": 1}, lambda mock: mock.made() > 0)


def test_killed_while_the_machine_boots(weir):
    kill_when(weir, None, lambda mock: has_call(mock, "create"))


def test_killed_while_a_machine_ends(weir):
    with Mock() as mock, broker(weir, mock) as b:
        assert b.wait(b.submit(job()))["state"] == "succeeded"
        mock.tell("fault", name="slow_body", on="terminate", times=1, seconds=3)
        for lease in b.json("leases"):
            b.http("POST", f"/v1/leases/{lease['id']}/end")
        lib.until("the call", lambda: has_call(mock, "terminate"), 60, every_s=0.005)
        b.kill()
        b.start()
        give_back(b, mock)


def test_a_machine_ends_with_its_lease_though_broker_and_agent_are_gone(weir):
    with Mock() as mock, broker(weir, mock, policy="lease_term: 60s, leases_max: 4") as b:
        away = b.submit(job(run="sleep 600"))
        lib.until("the task to run", lambda: any(t["state"] == "running" for t in b.tasks(away)))
        b.kill()
        for instance in mock.tell("inventory")["instances"]:
            for pid in instance["pids"]:
                argv = lib.process_table().get(pid, (0, []))[1]
                if "agent" in argv and "--lease" in argv:
                    lib.strike(pid, signal.SIGSTOP)  # it is there, and does nothing any more
        lib.until("the machine to end itself", lambda: mock.alive() == 0)
        b.start()
        b.ok("cancel", str(away))  # it would be run again, on another machine
        give_back(b, mock)


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
