#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Agents by certificate, with real processes: test_certificates.py WEIR [TEST...]"""
import datetime
import json
import pathlib
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

import lib


class Agent:
    """An agent with a directory of its own, and with what it wrote."""

    def __init__(self, b, name, token=None, directory=None):
        self.b, self.name = b, name
        self.dir = b.dir / (directory or name)
        self.log = b.dir / f"{self.dir.name}.agent.log"
        self.process = None
        self.start(token)

    def start(self, token=None):
        command = [self.b.weir, "agent", "--broker", self.b.url, "--ca", self.b.env["WEIR_CA"], "--data", str(self.dir), "--name", self.name,
                   "--declare-gpus", "A100:1", "--log-level", "debug"]
        if token:
            path = self.b.dir / f"{self.dir.name}.token"
            path.write_text(token)
            command += ["--token-file", str(path)]
        env = {k: v for k, v in self.b.env.items() if k != "WEIR_TOKEN"}
        with self.log.open("a") as out:
            self.process = subprocess.Popen(command, env=env, stdout=out, stderr=out)

    def said(self):
        return self.log.read_text()

    def end(self):
        self.process.terminate()
        self.process.wait(timeout=60)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if exc[0] is not None:
            sys.stderr.write(self.said()[-3000:])
        self.process.kill()
        self.process.wait(timeout=60)


def broker(weir, config="", **kw):
    return lib.Broker(weir, config=config or "currency: USD\n", gpus=None, args=["--no-agent"], listen="0.0.0.0", **kw)


def up(b, name):
    return [n for n in b.json("nodes") if n["name"] == name and n["state"] == "up"]


def admin(b):
    b.env["WEIR_TOKEN"] = (b.data / "token").read_text()
    return b


def invite(b, *args):
    return b.json("nodes", "invite", *args)["token"]


def test_a_join_token_is_good_for_one_agent(weir):
    with broker(weir) as b:
        admin(b)
        token = invite(b, "host7")
        assert token.startswith("join-")
        # a machine fetches the agent with it first; it serves for nothing else
        for path, want in (("/v1/agent/program/sum?arch=x86_64", (200, 404)), ("/v1/jobs", (403,)), ("/v1/whoami", (403,))):
            assert b.http("GET", path, headers={"Authorization": f"Bearer {token}"})[0] in want, path
        assert b.http("POST", "/v1/agent/join", {}, headers={"Authorization": f"Bearer {token}"})[0] == 403
        with Agent(b, "host7", token) as a:
            lib.until("host7", lambda: up(b, "host7"))
            job = json.loads(b.ok("submit", "--json", "-", input="name: x\nrun: echo from $(hostname)\nresources: {accelerators: A100:1}\n"))["id"]
            b.ok("wait", job)
            assert b.json("show", job)["state"] == "succeeded"
            assert (a.dir / "node-key.pem").stat().st_mode & 0o777 == 0o600
            rows = [t for t in b.json("token") if t["name"] == "host7"]
            assert [(t["role"], t["user"]) for t in rows] == [("agent", ":node")], rows  # the join token is gone
            # another host with the same token, under either name
            with Agent(b, "host7", token, "thief") as thief, Agent(b, "host8", token) as other:
                lib.until("the thief to be refused", lambda: "token is not known" in thief.said())
                lib.until("the other to be refused", lambda: "token is not known" in other.said())
            # the certificate is all that is needed from now on, of whichever broker process
            a.end()
            a.start()
            lib.until("host7 again", lambda: up(b, "host7"))
            b.kill()
            b.start()
            lib.until("host7 after a restart", lambda: up(b, "host7"))
            actions = [(r["action"], r["object"]) for r in b.json("audit")]
            assert ("node.invite", "node host7") in actions and ("node.certify", "node host7") in actions, actions
            assert token not in json.dumps(b.json("audit"))


def test_nobody_joins_as_another_node(weir):
    with broker(weir) as b:
        admin(b)
        mine = invite(b, "host7")
        theirs = invite(b, "host8")
        with Agent(b, "host7", mine) as a:
            lib.until("host7", lambda: up(b, "host7"))
            with Agent(b, "host7", theirs, "host8-as-host7") as x:
                lib.until("a token of another node to be refused", lambda: "is for node 'host8', not for 'host7'" in x.said())
            with Agent(b, "host7", invite(b), "anybody") as x:
                lib.until("a name that is taken to be refused", lambda: "there is a node 'host7' already" in x.said())
            bearer = (b.data / "agent-token").read_text()
            with Agent(b, "host7", bearer, "bearer") as x:
                lib.until("a token without a certificate to be refused", lambda: "joins by its certificate" in x.said())
            # with host8's own certificate, but host7's name, or host7's agent_id
            with Agent(b, "host8", theirs) as x:
                lib.until("host8", lambda: up(b, "host8"))
                x.end()
                x.name = "host7"
                x.start()
                lib.until("another name to be refused", lambda: "is that of node 'host8', not of 'host7'" in x.said())
                x.end()
                a.end()
                x.name = "host8"
                (x.dir / "agent_id").write_text((a.dir / "agent_id").read_text())
                x.start()
                lib.until("another's agent_id to be refused", lambda: "node 'host7' joins by its certificate" in x.said())
        # a certificate serves for nothing but what agents do
        context = ssl.create_default_context(cafile=b.env["WEIR_CA"])
        context.load_cert_chain(b.dir / "host7" / "node.pem", b.dir / "host7" / "node-key.pem")
        for method, path, want in (("GET", "/v1/jobs", 403), ("POST", "/v1/nodes/invite", 403), ("GET", "/v1/whoami", 403)):
            request = urllib.request.Request(b.url + path, method=method, data=b"{}" if method == "POST" else None, headers={"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=30, context=context) as reply:
                    raise AssertionError((path, reply.status))
            except urllib.error.HTTPError as e:
                assert e.code == want, (path, e.code)


def test_a_node_is_shut_out_and_let_in_again(weir):
    with broker(weir) as b:
        admin(b)
        with Agent(b, "host7", invite(b, "host7")) as a:
            lib.until("host7", lambda: up(b, "host7"))
            b.ok("nodes", "revoke", "host7")
            lib.until("the agent to be refused", lambda: "was revoked" in a.said() and "weir nodes invite" in a.said())
            assert b.run("nodes", "revoke", "host7").returncode == 3
            b.kill()
            b.start()
            a.end()
            a.start()
            lib.until("the agent to be refused after a restart", lambda: a.said().count("was revoked") > 1)
            a.end()
            a.start(invite(b, "host7"))
            lib.until("host7 again", lambda: up(b, "host7"))
            assert len([n for n in b.json("nodes") if n["name"] == "host7"]) == 1


def test_certificates_are_renewed_and_end(weir):
    with broker(weir, "access: {certificate_life: 24s}\n") as b:
        admin(b)
        with Agent(b, "host7", invite(b, "host7")) as a:
            lib.until("host7", lambda: up(b, "host7"))
            first = (a.dir / "node.pem").read_text()
            key = (a.dir / "node-key.pem").read_text()
            lib.until("a new certificate", lambda: (a.dir / "node.pem").read_text() != first)
            assert (a.dir / "node-key.pem").read_text() == key and up(b, "host7")
            second = (a.dir / "node.pem").read_text()
            lib.until("another", lambda: (a.dir / "node.pem").read_text() != second)
            assert up(b, "host7") and len([t for t in b.json("token") if t["name"] == "host7"]) == 1
            a.end()
            lib.until("the certificate to end", lambda: not [t for t in b.json("token") if t["name"] == "host7" and not ended(t)])
            a.start()
            lib.until("the agent to be told", lambda: "has expired" in a.said() and "weir nodes invite" in a.said())
            a.end()
            a.start(invite(b, "host7"))
            lib.until("host7 with a new join token", lambda: up(b, "host7"))


def ended(token):
    return datetime.datetime.fromisoformat(token["expires"].replace("Z", "+00:00")) <= datetime.datetime.now(datetime.timezone.utc)


def test_rented_machines_join_once(weir):
    with broker(weir, "providers:\n  sandbox: {}\n") as b:
        admin(b)
        job = json.loads(b.ok("submit", "--json", "-", input="name: x\nrun: echo rented\nresources: {accelerators: A100:1}\n"))["id"]
        b.ok("wait", job, timeout=180)
        assert b.ok("logs", job).strip() == "rented"
        tokens = [t for t in b.json("token") if t["user"] == ":node"]
        assert [t["role"] for t in tokens] == ["agent"], tokens
        secrets = list(pathlib.Path(b.data).rglob("token"))
        stolen = [p.read_text() for p in secrets if p.read_text().startswith("join-")]
        assert stolen
        with Agent(b, "thief", stolen[0]) as thief:
            lib.until("the thief to be refused", lambda: "token is not known" in thief.said())


def test_a_broker_without_tls_invites_nobody(weir):
    with lib.Broker(weir, gpus=None, args=["--no-agent"]) as b:
        done = b.run("nodes", "invite", "host7")
        assert done.returncode == 4 and "--listen" in done.stderr, done
        assert b.run("nodes", "invite", "a", "b").returncode == 2 and b.run("nodes", "invite", "a b").returncode in (2, 4)


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
