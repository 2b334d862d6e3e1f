#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Where secrets are not: test_secrets.py WEIR [TEST...]

A broker with TLS, a user, an agent by certificate, a rented machine, and work; then every secret that was made is looked for in the database,
in what was logged at level debug, in the command lines and environments of weir's processes, and in what a task can see.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import lib

KEY = "provider-key-4711-not-to-be-seen"
SPEC = "name: x\nrun: |\n  env; tr '\\\\0' '\\\\n' < /proc/$PPID/environ; cat /proc/$PPID/cmdline\n  sleep 600\nresources: {accelerators: A100:1}\n"


def files(root):
    return [p for p in pathlib.Path(root).rglob("*") if p.is_file()]


def environment(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/environ").read_bytes() + pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_secrets_are_nowhere_in_the_clear(weir):
    b = lib.Broker(weir, config="providers:\n  sandbox: {}\n", gpus="A100:1", args=["--log-level", "debug"], listen="0.0.0.0",
                   env={"WEIR_TOKEN": "the-operators-own-token", "RUNPOD_API_KEY": KEY})
    with b:
        del b.env["RUNPOD_API_KEY"]
        b.env["WEIR_TOKEN"] = (b.data / "token").read_text()
        secrets = {"admin": b.env["WEIR_TOKEN"], "local agent": (b.data / "agent-token").read_text(), "tickets": (b.data / "ticket-key").read_text(), "operator": "the-operators-own-token", "provider": KEY}
        b.ok("user", "add", "ada", "--project", "vision")
        secrets["user"] = b.json("token", "create", "--user", "ada")["token"]
        secrets["join"] = b.json("nodes", "invite", "host7")["token"]
        secrets["unused"] = b.json("nodes", "invite")["token"]
        agent_env = {**b.env, "WEIR_TOKEN": secrets["join"]}
        with (b.dir / "agent.log").open("w") as log:
            agent = subprocess.Popen([weir, "agent", "--broker", b.url, "--ca", b.env["WEIR_CA"], "--data", str(b.dir / "host7"), "--name", "host7",
                                      "--declare-gpus", "A100:1", "--log-level", "debug"], env=agent_env, stdout=log, stderr=log)
        try:
            lib.until("both nodes", lambda: len([n for n in b.json("nodes") if n["state"] == "up"]) == 2)
            rented = SPEC + "placement: {local: never}\n"
            jobs = [json.loads(b.ok("submit", "--json", "-", input=spec))["id"] for spec in (SPEC, SPEC, rented)]  # own host, host7, a rented machine
            seen = {}

            def running():
                seen.update({j: b.run("logs", j).stdout for j in jobs})
                return all("WEIR_" in text for text in seen.values())
            lib.until("all three to run", running)
            for path in pathlib.Path(b.data).rglob("token"):
                if path != b.data / "token":
                    secrets["machine"] = path.read_text()
            assert "machine" in secrets
            keys = [p.read_text() for p in files(b.dir) if p.name.endswith("-key.pem")]
            assert len(keys) >= 3
            held = {pid: environment(pid) for pid, (_, argv) in lib.process_table().items()
                    if pid != os.getpid() and argv and any(w in argv[0] for w in (weir, "weir-task", "weir-spawner"))}
            assert {b.process.pid, agent.pid} <= set(held) and len(held) >= 5, held.keys()
            database = b"".join(p.read_bytes() for p in files(b.data) if p.name.startswith("weir.db"))
            logs = b"".join(p.read_bytes() for p in files(b.dir) if "log" in p.name)
            assert b"A100" in database and b"agent.joined" in logs and b"agent.certificate" in logs
            places = {"the database": database, "the logs": logs, "what tasks see": "".join(seen.values()).encode(), "the audit log": b.ok("audit", "--json").encode(),
                      **{f"process {pid}": data for pid, data in held.items()}}
            for what, secret in secrets.items():
                assert len(secret) > 16
                found = [where for where, data in places.items() if secret.encode() in data]
                assert not found, f"the {what} secret is in {found}"
            body = keys[0].splitlines()[2].encode()
            assert not [where for where, data in places.items() if body in data]
            # files that hold a secret are their owner's alone
            for path in files(b.dir):
                data = path.read_bytes() if path.stat().st_size < 1 << 20 and "log" not in path.name else b""
                if b"PRIVATE KEY" in data or any(s.encode() in data for s in secrets.values()):
                    assert path.stat().st_mode & 0o077 == 0, path
        finally:
            agent.kill()
            agent.wait(timeout=60)
            for j in b.json("jobs"):
                b.run("cancel", j["id"])
            lib.until("the own host's task to end", lambda: b.json("jobs")[-1]["state"] not in ("running", "stopping"))
            for pid in b.own_processes("agent"):
                lib.strike(pid)


def test_a_task_reads_neither_memory_nor_environment_of_the_broker(weir):
    """Also where it runs as the same user: as one that is not root."""
    if os.geteuid() != 0:
        run_as, group = None, None
    else:
        run_as, group = 65534, 65534
    with tempfile.TemporaryDirectory() as home:
        os.chmod(home, 0o777)
        weir = shutil.copy(weir, home)  # from where that user may not go, as in /root
        env = {"PATH": os.environ["PATH"], "HOME": home, "RUNPOD_API_KEY": KEY}
        command = [weir, "serve", "--data", f"{home}/data", "--listen", "127.0.0.1:0", "--declare-gpus", "A100:1"]
        serve = subprocess.Popen(command, env=env, cwd=home, user=run_as, group=group, extra_groups=[] if run_as else None, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        try:
            line = serve.stdout.readline()
            if "serving on" not in line:
                raise lib.Skip(f"no broker as another user here: {serve.stderr.read()[-200:]}")
            env["WEIR_URL"] = line.split("serving on ")[1].split(",")[0]
            script = f"for p in {serve.pid} $(cat {home}/data/agent/agent.lock); do for f in environ mem maps; do cat /proc/$p/$f >/dev/null 2>&1 && echo read $p $f; done; done; echo done"
            done = subprocess.run([weir, "run", "--", "sh", "-c", script], env=env, cwd=home, user=run_as, group=group, extra_groups=[] if run_as else None,
                                  capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0 and done.stdout.split() == ["done"], done
        finally:
            serve.terminate()
            serve.wait(timeout=120)


def test_loopback_can_be_trusted_no_more_than_others(weir):
    with lib.Broker(weir, config="access: {loopback: token}\n", gpus="A100:1") as b:
        for path in ("/v1/jobs", "/v1/status", "/metrics", "/v1/users"):
            assert b.http("GET", path)[0] == 401, path
        assert b.http("GET", "/v1/health")[0] == 200
        assert b.run("jobs").returncode == 77
        b.env["WEIR_TOKEN"] = (b.data / "token").read_text()
        lib.until("this host's agent", lambda: [n for n in b.json("nodes") if n["state"] == "up"])
        # a task that asks as the broker's own user is nobody
        out = b.run("run", "--", weir, "user", "list", "--url", b.url)
        assert out.returncode == 77 and "WEIR_TOKEN" in out.stdout + out.stderr, out


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
