#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Users, tokens and the audit log, with real processes: test_access.py WEIR [TEST...]"""
import datetime
import http.client
import json
import sys
import threading

import lib


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def make_token(b, *args, token=None):
    """Its id and secret."""
    env = dict(b.env)
    if token:
        b.env = {**env, "WEIR_TOKEN": token}
    try:
        made = b.json("token", "create", *args)
    finally:
        b.env = env
    return made["id"], made["token"]


def status(b, token, path, method="GET", body=None):
    return b.http(method, path, body, bearer(token))[0]


def test_a_user_lives_in_their_projects(weir):
    with lib.Broker(weir) as b:
        b.ok("user", "add", "ada", "--project", "vision", "--project", "maps:viewer")
        _, ada = make_token(b, "--user", "ada")
        foreign = b.submit({"name": "foreign", "project": "speech", "run": "echo foreign"})
        b.wait(foreign)
        code, body = b.http("POST", "/v1/jobs", {"name": "own", "project": "vision", "run": "echo own"}, bearer(ada))
        assert code == 201, body
        own = json.loads(body)["id"]
        b.wait(own)
        assert b.get(f"/v1/jobs/{own}")["user"] == "ada"
        for path in ("/v1/jobs", "/v1/history", "/v1/events", "/v1/bill?by=project,job", "/v1/projects"):
            code, body = b.http("GET", path, headers=bearer(ada))
            assert code == 200 and b"speech" not in body and f'"job":{foreign},'.encode() not in body, (path, body)
        for path in ("", "/tasks", "/explain", "/log", "/wait?timeout_s=0"):
            assert status(b, ada, f"/v1/jobs/{foreign}{path}") == 404, path
            assert status(b, ada, f"/v1/jobs/{own}{path}") == 200, path
        assert b.http("GET", f"/v1/jobs/{own}/log", headers=bearer(ada))[1] == b"own\n"
        for project, want in (("speech", 403), ("nobody", 403), ("maps", 403), ("vision", 201)):
            assert status(b, ada, "/v1/jobs", "POST", {"project": project, "run": "true"}) == want, project
        assert status(b, ada, f"/v1/jobs/{foreign}/cancel", "POST", {}) == 404


def test_rights_that_go_go_at_once_and_stay_gone(weir):
    with lib.Broker(weir) as b:
        b.ok("user", "add", "ada", "--role", "operator", "--project", "vision:owner")
        ident, whole = make_token(b, "--user", "ada")
        _, viewer = make_token(b, "--role", "viewer", token=whole)
        _, narrow = make_token(b, "--project", "vision", token=whole)
        who = {name: json.loads(b.http("GET", "/v1/whoami", headers=bearer(t))[1]) for name, t in
               (("whole", whole), ("viewer", viewer), ("narrow", narrow))}
        assert [who[n]["role"] for n in ("whole", "viewer", "narrow")] == ["operator", "viewer", "user"], who
        assert who["viewer"]["projects"] == {"vision": "viewer"} and who["narrow"]["projects"] == {"vision": "owner"}, who
        # nobody makes or revokes more with less
        assert status(b, viewer, "/v1/tokens", "POST", {}) == 403
        assert status(b, narrow, "/v1/tokens", "POST", {"role": "operator"}) == 403
        assert status(b, whole, "/v1/tokens", "POST", {"role": "admin"}) == 400
        assert status(b, whole, "/v1/tokens", "POST", {"user": "root"}) == 403
        assert status(b, viewer, f"/v1/tokens/{ident}", "DELETE") == 403
        # a role that is taken away is taken from the token that has it
        b.ok("user", "set", "ada", "--role", "user")
        assert status(b, whole, "/v1/nodes/1/drain", "POST", {}) == 403
        b.ok("user", "set", "ada", "--no-project", "vision")
        assert json.loads(b.http("GET", "/v1/jobs", headers=bearer(whole))[1])["items"] == []
        b.ok("user", "set", "ada", "--disable")
        assert [status(b, t, "/v1/jobs") for t in (whole, viewer, narrow)] == [401] * 3
        b.ok("user", "set", "ada", "--enable")
        b.ok("token", "revoke", ident)
        assert [status(b, t, "/v1/jobs") for t in (whole, viewer, narrow)] == [401, 200, 200]
        b.kill()
        b.start()
        assert [status(b, t, "/v1/jobs") for t in (whole, viewer, narrow)] == [401, 200, 200]
        b.ok("user", "rm", "ada")
        b.ok("user", "add", "ada", "--role", "admin")  # the next of that name has none of it
        assert [status(b, t, "/v1/jobs") for t in (whole, viewer, narrow)] == [401] * 3


def test_an_owner_says_who_is_in_a_project(weir):
    with lib.Broker(weir, gpus=None, args=["--no-agent"]) as b:
        b.ok("user", "add", "ada", "--project", "vision:owner")
        b.ok("user", "add", "bob", "--project", "speech")
        _, ada = make_token(b, "--user", "ada")
        _, bob = make_token(b, "--user", "bob")
        b.env["WEIR_TOKEN"] = ada
        b.ok("project", "add", "vision", "bob", "--role", "viewer")
        assert "ada (owner)" in b.ok("project", "show", "vision") and "bob (viewer)" in b.ok("project", "show", "vision")
        assert b.run("project", "add", "speech", "ada").returncode == b.run("project", "add", "nobody", "ada").returncode == 3
        assert b.run("project", "add", "vision", "eve").returncode == 3
        assert b.run("project", "set", "vision", "--weight", "1000").returncode == 77
        assert json.loads(b.http("GET", "/v1/whoami", headers=bearer(bob))[1])["projects"] == {"speech": "user", "vision": "viewer"}
        b.ok("project", "rm", "vision", "bob")
        assert json.loads(b.http("GET", "/v1/whoami", headers=bearer(bob))[1])["projects"] == {"speech": "user"}
        del b.env["WEIR_TOKEN"]
        assert b.run("user", "add", "ada").returncode != 0 and b.run("user", "set", "adda", "--disable").returncode == 3


def test_who_is_in_every_project_sees_all_and_changes_nothing(weir):
    with lib.Broker(weir, gpus=None, args=["--no-agent"]) as b:
        b.ok("user", "add", "prometheus", "--role", "viewer", "--project", "*:viewer")
        b.ok("user", "add", "ada", "--role", "viewer", "--project", "vision")
        _, every = make_token(b, "--user", "prometheus")
        _, ada = make_token(b, "--user", "ada")
        job = b.submit({"name": "j", "project": "speech", "run": "true"})
        for path in ("/metrics", "/v1/bill/check"):
            assert [status(b, t, path) for t in (every, ada)] == [200, 403], path
        assert json.loads(b.http("GET", "/v1/jobs", headers=bearer(every))[1])["items"][0]["id"] == job
        assert [status(b, t, f"/v1/jobs/{job}") for t in (every, ada)] == [200, 404]
        assert status(b, every, f"/v1/jobs/{job}/cancel", "POST", {}) == 403
        assert status(b, every, "/v1/jobs", "POST", {"run": "true"}) == 403
        assert [status(b, every, p) for p in ("/v1/users", "/v1/audit")] == [403, 403]


def test_a_token_ends_when_it_was_said_to(weir):
    with lib.Broker(weir, gpus=None, args=["--no-agent"]) as b:
        soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=10)
        code, body = b.http("POST", "/v1/tokens", {"user": "root", "role": "agent", "expires": soon.isoformat().replace("+00:00", "Z")})
        assert code == 201, body
        token = json.loads(body)["token"]
        # an agent may report and nothing else; 409: there is no such session
        assert status(b, token, "/v1/agent/sync", "POST", {"node": 1, "session": "x"}) in (404, 409)
        assert status(b, token, "/v1/jobs") == 403
        lib.until("the token to expire", lambda: status(b, token, "/v1/jobs") == 401)
        assert b.http("POST", "/v1/tokens", {"role": "agent", "expires": "2020-01-01"})[0] == 400


def test_what_is_followed_ends_with_the_token(weir):
    with lib.Broker(weir) as b:
        b.ok("user", "add", "ada", "--project", "vision")
        ident, ada = make_token(b, "--user", "ada")
        job = b.submit({"name": "long", "project": "vision", "run": "echo begun; sleep 600"})
        lib.until("its output", lambda: b.log(job) == "begun\n")
        host, port = b.url.split("//")[1].split(":")
        ended = []

        def follow(path):
            connection = http.client.HTTPConnection(host, int(port), timeout=300)
            connection.request("GET", path, headers=bearer(ada))
            reply = connection.getresponse()
            assert reply.status == 200
            begun.release()
            reply.read()  # until it ends
            ended.append(path)

        begun = threading.Semaphore(0)
        threads = [threading.Thread(target=follow, args=(path,), daemon=True)
                   for path in ("/v1/events?follow=true", f"/v1/jobs/{job}/log?follow=true")]
        for thread in threads:
            thread.start()
        for _ in threads:
            assert begun.acquire(timeout=180)
        b.ok("token", "revoke", ident)
        for thread in threads:
            thread.join(timeout=180)
        assert len(ended) == 2, ended
        b.ok("cancel", job)
        b.wait(job)


def test_the_audit_log_has_every_change_and_no_secret(weir):
    with lib.Broker(weir) as b:
        b.ok("user", "add", "ada", "--role", "user", "--project", "vision")
        ident, ada = make_token(b, "--user", "ada")
        job = b.submit({"name": "j", "project": "vision", "envs": {"KEY": "hunter2"}, "run": "sleep 600"})
        b.ok("cancel", job)
        b.ok("project", "set", "vision", "--weight", "200")
        node = lib.until("the own node", lambda: b.get("/v1/nodes")["items"])[0]["id"]
        b.ok("nodes", "drain", node)
        b.ok("nodes", "resume", node)
        assert b.run("cancel", "999").returncode != 0  # changes nothing
        b.ok("token", "revoke", ident)
        b.ok("user", "rm", "ada")
        want = ["user.remove", "token.revoke", "node.resume", "node.drain", "project.set", "job.cancel", "job.submit", "token.create", "user.set"]
        rows = b.json("audit")
        assert [r["action"] for r in rows] == want, rows
        weight = rows[4]
        assert (weight["before"]["weight"], weight["after"]["weight"]) == (100, 200), weight
        assert all(r["from"].startswith("127.0.0.1:") and r["user"] and r["role"] == "admin" for r in rows), rows
        assert rows[3]["before"]["state"] == "up" and rows[3]["after"]["state"] == "draining", rows[3]
        assert "hunter2" not in json.dumps(rows) and ada not in json.dumps(rows)
        assert b.json("audit", "-n", "2") == rows[:2] and b.json("audit", "--since", "1h") == rows
        assert b.json("audit", "--since", "2999-01-01") == []
        b.kill()
        b.start()
        assert b.json("audit") == rows
        b.stop()
        # what was given out is kept as a hash only, and said nowhere
        for path in b.dir.rglob("*"):
            if path.is_file():
                assert ada.encode() not in path.read_bytes(), path
        b.start()


def test_the_audit_log_says_what_was_before_and_after(weir):
    with lib.Broker(weir) as b:
        b.ok("budget", "set", "team", "--for", "tag:team=a", "--amount", "5")
        b.ok("budget", "set", "team", "--at", "80:stop-new")
        b.ok("quota", "set", "ada", "--for", "user:ada", "--counts", "gpu-hours:A100", "--limit", "7", "--span", "fixed", "--from", "2026-12-01", "--until", "2027-01-01")
        b.ok("quota", "set", "ada", "--for", "user:bob")
        b.ok("rule", "add", "house", "markup", "--percent", "8", "--from", "2999-01-01")
        b.ok("rule", "end", "house")
        b.ok("quota", "rm", "ada")
        removed, ended, added, moved, quota, changed, budget = b.json("audit")
        assert budget["before"] is None and budget["after"]["tag"] == {"team": "a"} and budget["after"]["amount_micro"] == 5000000, budget
        assert changed["before"] == budget["after"] and changed["after"] == {**budget["after"], "thresholds": ["80:stop-new"]}, changed
        assert quota["after"] == {"scope": "user", "user": "ada", "counts": "gpu-hours", "gpu": "A100", "span": "fixed", "from": "2026-12-01T00:00:00Z",
                                  "until": "2027-01-01T00:00:00Z", "limit_gpu_s": 25200}, quota
        assert moved["before"] == quota["after"] and moved["after"]["user"] == "bob", moved
        assert removed["before"] == moved["after"] and removed["after"] is None, removed
        # ended before it began: it never is in force
        assert ended["before"] == {"until": None} and ended["after"] == {"until": added["after"]["from"]}, ended


def test_the_own_token_is_changed_by_taking_its_file_away(weir):
    with lib.Broker(weir, gpus=None, args=["--no-agent"]) as b:
        first = (b.data / "token").read_text()
        assert json.loads(b.http("GET", "/v1/whoami", headers=bearer(first))[1])["role"] == "admin"
        own = next(t["id"] for t in b.json("token") if t["name"] == "token")
        assert b.run("token", "revoke", own).returncode != 0
        b.stop()
        (b.data / "token").unlink()
        b.start()
        second = (b.data / "token").read_text()
        assert [status(b, t, "/v1/whoami") for t in (first, second)] == [401, 200]


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
