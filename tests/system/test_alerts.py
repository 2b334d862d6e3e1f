#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Alerts through a real broker to real receivers: webhooks, Slack-shaped messages, Alertmanager, mail."""
import datetime
import email
import email.policy
import hashlib
import hmac
import http.server
import json
import os
import signal
import socketserver
import sqlite3
import sys
import threading

import lib
from lib import Broker, Agents, until


class Web:
    """A receiver over HTTP: keeps what it took. answer() gives the status of the next; None hangs up without one."""

    def __init__(self):
        self.got = []
        self.answer = lambda: 200
        self.gate = threading.Event()
        self.gate.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.gate.wait(60)
                status = outer.answer()
                outer.got.append((status, self.path, dict(self.headers), body))
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()

    def taken(self):
        """The bodies of what it answered with success."""
        return [json.loads(body) for status, _, _, body in list(self.got) if status is not None and 200 <= status < 300]

    def alerts(self):
        return [a for m in self.taken() if not m["test"] for a in m["alerts"]]

    def states(self, condition):
        return [a["state"] for a in self.alerts() if a["condition"] == condition]


def config(receivers, **more):
    return json.dumps({"alerts": dict({"receivers": receivers, "group_wait": "1s"}, **more), "node_silence": "3s"})


def firing(b, condition=None):
    return [a for a in b.get("/v1/alerts?state=firing&limit=1000")["items"] if condition in (None, a["condition"])]


def is_known(b, condition, receiver):
    """Is it stored that the receiver was told of all that fires under the condition, as it is now?"""
    told = [[t for t in a["told"] if t["receiver"] == receiver and t["state"] == "firing" and t["at"] >= a["since"]] for a in firing(b, condition)]
    return told and all(told)


def spend(b, amount, *args, name="vision", scope="project:vision"):
    """A budget of 10 of which so much was spent over years, so that nothing but its thresholds is the matter."""
    b.ok("budget", "set", name, "--for", "user:nobody", "--amount", "10", "--from", "2020-01-01", "--until", "2100-01-01")
    tomorrow = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    b.ok("budget", "set", name, "--for", scope, "--from", "2020-01-01", "--until", tomorrow, "--spent", amount, *args)


def test_a_webhook_is_told_once_when_it_begins_and_once_when_it_is_over(weir):
    with Web() as web, Broker(weir, config({"ops": {"kind": "webhook", "url": web.url + "/hook?x=1", "secret_env": "KEY"}}),
                              env={"KEY": "open sesame"}) as b:
        assert b.get("/v1/alerts")["items"] == []
        assert "nothing is the matter" in b.run("alerts").stderr
        spend(b, "8.50", "--at", "80:warn")
        until("the webhook to be told", lambda: web.states("budget-threshold"))
        status, path, headers, body = web.got[0]
        message = json.loads(body)
        alert = [a for a in message["alerts"] if a["condition"] == "budget-threshold"][0]
        assert path == "/hook?x=1" and message["receiver"] == "ops" and message["version"] == 1, message
        assert alert["project"] == "vision" and "80 %" in alert["text"] and alert["severity"] == "warning", alert
        when, mac = (part.split("=")[1] for part in headers["X-Weir-Signature"].split(","))
        assert hmac.new(b"open sesame", f"{when}.".encode() + body, hashlib.sha256).hexdigest() == mac
        shown = firing(b, "budget-threshold")[0]
        until("it to be known that it was told", lambda: is_known(b, "budget-threshold", "ops"))
        assert shown["key"] == "budget-threshold/vision" and shown["times"] == 1, shown
        # a higher threshold is news; the same one is not
        b.ok("budget", "set", "vision", "--at", "80:warn", "--at", "85:stop-new")
        until("the higher one to be told", lambda: len(web.states("budget-threshold")) == 2)
        assert web.alerts()[-1]["severity"] == "critical" and "85 %" in web.alerts()[-1]["text"], web.alerts()
        until("that to be known", lambda: is_known(b, "budget-threshold", "ops"))
        b.kill()
        b.start()
        b.ok("budget", "rm", "vision")
        until("the end to be told", lambda: "resolved" in web.states("budget-threshold"))
        assert web.states("budget-threshold") == ["firing", "firing", "resolved"], "a restart neither forgets nor repeats"
        assert not firing(b, "budget-threshold") and b.get("/v1/alerts?state=resolved")["items"]
        assert "open sesame" not in (b.dir / "serve.log").read_text() and b"open sesame" not in (b.data / "weir.db").read_bytes()


def test_failures_and_lost_answers_are_tried_again_until_it_is_taken(weir):
    answers = [500, None, 429]
    with Web() as web, Broker(weir, config({"ops": {"kind": "webhook", "url": web.url}})) as b:
        web.answer = lambda: answers.pop(0) if answers else 200
        spend(b, "8.50", "--at", "80:warn")
        until("a failure to be known", lambda: b.get("/v1/receivers")["items"][0]["error"])
        check = [c for c in b.get("/v1/status")["checks"] if c["name"] == "alerts"][0]
        assert not check["ok"] and "weir alerts receivers" in check["remedy"], check
        until("it to be taken", lambda: web.states("budget-threshold"))
        assert web.states("budget-threshold") == ["firing"] and not answers
        tries = [json.loads(body)["id"] for _, _, _, body in web.got if b"budget-threshold" in body]
        assert len(tries) >= 2, "it was tried again"
        receiver = until("success to be known", lambda: [r for r in b.get("/v1/receivers")["items"] if not r["error"]])[0]
        assert receiver["failed"] >= 3 and receiver["sent"] >= 1, receiver
        assert [r["name"] for r in b.json("alerts", "receivers")] == ["ops"] and "ops" in b.ok("alerts", "receivers")
        assert b.get("/v1/receivers?limit=1&cursor=1") == {"items": [], "next": None}
        metrics = b.http("GET", "/metrics")[1].decode()
        assert 'weir_alerts{condition="budget-threshold"} 1' in metrics
        assert f'weir_alert_messages_total{{receiver="ops",outcome="failed"}} {receiver["failed"]}' in metrics, metrics


def test_a_slow_receiver_holds_up_nobody_and_hears_how_things_are_then(weir):
    receivers = {"slow": {"kind": "webhook", "url": "SLOW"}, "quick": {"kind": "webhook", "url": "QUICK"}}
    with Web() as slow, Web() as quick:
        receivers["slow"]["url"], receivers["quick"]["url"] = slow.url, quick.url
        slow.gate.clear()
        with Broker(weir, config(receivers)) as b:
            spend(b, "8.50", "--at", "80:warn")
            until("the quick one to be told", lambda: quick.states("budget-threshold"))
            b.ok("budget", "rm", "vision")
            until("it to be told of the end", lambda: "resolved" in quick.states("budget-threshold"))
            spend(b, "9.50", "--at", "80:warn", "--at", "90:stop-new")
            until("it to be told anew", lambda: quick.states("budget-threshold") == ["firing", "resolved", "firing"])
            assert b.json("jobs") == [], "nobody waits"
            slow.gate.set()
            until("the slow one to know", lambda: len(slow.states("budget-threshold")) > 1)
            assert slow.states("budget-threshold") == ["firing", "firing"], ("what ended meanwhile and began again is told as it is", slow.alerts())
            assert "90 %" in slow.alerts()[-1]["text"]


def test_a_broker_killed_in_the_middle_tells_it_afterwards(weir):
    with Web() as web, Broker(weir, config({"ops": {"kind": "webhook", "url": web.url}})) as b:
        web.gate.clear()
        spend(b, "8.50", "--at", "80:warn")
        until("it to fire", lambda: firing(b, "budget-threshold"))
        b.kill()
        web.gate.set()
        b.start()
        until("it to be known", lambda: is_known(b, "budget-threshold", "ops"))
        assert "firing" in web.states("budget-threshold")
        first = web.alerts()[0]
        assert all((a["id"], a["since"]) == (first["id"], first["since"]) for a in web.alerts() if a["condition"] == "budget-threshold"), \
            "what is sent twice is known by id and since"


def test_people_are_told_in_slack(weir):
    with Web() as web:
        with Broker(weir, config({"chat": {"kind": "slack", "url_env": "HOOK"}}), env={"HOOK": web.url + "/T0/secret"}) as b:
            spend(b, "9", "--at", "80:warn", name="a<b>&c", scope="organisation")
            until("it to be told", lambda: [m for m in web.got if b"budget-threshold" in m[3]])
            text = [json.loads(m[3])["text"] for m in web.got if b"budget-threshold" in m[3]][0]
            assert "a&lt;b&gt;&amp;c" in text and text.startswith("[weir] "), text
            web.answer = lambda: 404
            failed = b.run("alerts", "test", "chat")
            assert failed.returncode != 0 and "404" in failed.stderr, failed.stderr
            stored = (b.data / "weir.db").read_bytes() + (b.dir / "serve.log").read_bytes() + failed.stderr.encode()
            assert b"/T0/secret" not in stored + json.dumps(b.get("/v1/receivers")).encode(), "the address is a secret"


def test_alertmanager_is_told_again_and_again_and_of_the_end(weir):
    with Web() as web, Broker(weir, config({"am": {"kind": "alertmanager", "url": web.url + "/"}})) as b:
        spend(b, "8.50", "--at", "80:warn")
        until("it to be told", lambda: web.got)
        status, path, _, body = web.got[0]
        alert = [a for a in json.loads(body) if a["labels"]["alertname"] == "budget-threshold"][0]
        assert path == "/api/v2/alerts" and alert["labels"]["project"] == "vision" and alert["labels"]["severity"] == "warning", alert
        assert alert["endsAt"] > alert["startsAt"] and "80 %" in alert["annotations"]["summary"], alert
        b.ok("budget", "rm", "vision")
        over = until("the end to be told", lambda: [a for m in web.got for a in json.loads(m[3])
                                                    if a["labels"]["alertname"] == "budget-threshold" and a["endsAt"] < alert["endsAt"]])[0]
        assert over["labels"] == alert["labels"] and over["startsAt"] == alert["startsAt"], over


class Relay:
    """A mail relay that keeps what it took."""

    def __init__(self, lines=(b"250-relay\r\n", b"250 AUTH PLAIN\r\n")):
        self.mails = []
        self.said = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(b"220 relay\r\n")
                for line in self.rfile:
                    word = line[:4].upper()
                    outer.said.append(line)
                    if word in (b"EHLO", b"HELO"):
                        self.wfile.write(b"".join(lines))
                    elif word == b"AUTH":
                        if len(line.split()) == 2:
                            self.wfile.write(b"334 \r\n")
                            self.rfile.readline()
                        self.wfile.write(b"235 ok\r\n")
                    elif word == b"DATA":
                        self.wfile.write(b"354 go\r\n")
                        data = b""
                        while not data.endswith(b"\r\n.\r\n"):
                            data += self.rfile.readline()
                        outer.mails.append(data[:-3])
                        self.wfile.write(b"250 taken\r\n")
                    elif word == b"QUIT":
                        self.wfile.write(b"221 bye\r\n")
                        return
                    else:
                        self.wfile.write(b"250 ok\r\n")

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()


def test_mail_goes_through_a_relay(weir):
    with Relay() as relay:
        receiver = {"kind": "mail", "url": f"smtp://127.0.0.1:{relay.port}", "from": "weir@example.org",
                    "to": ["ada@example.org", "bob@example.org"], "user": "weir", "password_env": "PASSWORD"}
        with Broker(weir, config({"people": receiver}), env={"PASSWORD": "hunter2"}) as b:
            name = "größe=" + "x" * 40
            spend(b, "9", "--at", "80:warn", name=name, scope="organisation")
            raw = until("the mail", lambda: [m for m in relay.mails if b"budget-threshold" in m])[0]
            mail = email.message_from_bytes(raw, policy=email.policy.default)
            assert "weir@example.org" in mail["From"] and "bob@example.org" in mail["To"] and mail["Message-ID"], mail
            assert mail["Subject"] == "[weir] warning: budget-threshold (firing)", mail["Subject"]
            assert name in mail.get_content() and all(len(line) <= 78 for line in raw.splitlines()), mail.get_content()
            assert any(line.startswith(b"AUTH") for line in relay.said), relay.said
            b.ok("alerts", "test", "people")
            assert b"hunter2" not in (b.data / "weir.db").read_bytes() + (b.dir / "serve.log").read_bytes()


def test_mail_to_another_host_wants_tls(weir):
    """The relay offers none; localhost's other name stands for another host."""
    with Relay(lines=(b"250 relay\r\n",)) as relay:
        receiver = {"kind": "mail", "url": f"smtp://{os.uname().nodename}:{relay.port}", "from": "weir@example.org", "to": "ada@example.org"}
        with Broker(weir, config({"people": receiver})) as b:
            refused = b.run("alerts", "test", "people")
            assert refused.returncode != 0 and not relay.mails, refused.stderr


def test_a_lost_node_and_a_long_wait_are_told_and_so_is_their_end(weir):
    with Web() as web, Broker(weir, config({"ops": {"kind": "webhook", "url": web.url}}, queue_wait={"vision": "2s", "*": "1h"})) as b:
        until("the host to join", lambda: b.get("/v1/nodes")["items"])
        with Agents(b, other="A100:8") as agents:
            agents.end("other", signal.SIGKILL)
            until("its loss to be told", lambda: "firing" in web.states("node-lost"))
            lost = [a for a in web.alerts() if a["condition"] == "node-lost"][0]
            assert lost["severity"] == "critical" and lost["project"] is None, lost
            agents.start("other")
            until("its return to be told", lambda: "resolved" in web.states("node-lost"))
        blocker = b.submit({"name": "a", "project": "vision", "resources": {"accelerators": {"A100": 4}}, "run": "sleep 600"})
        until("it to run", lambda: b.get(f"/v1/jobs/{blocker}")["state"] == "running")
        waiting = b.submit({"name": "b", "project": "vision", "resources": {"accelerators": {"A100": 4}}, "run": "true"})
        patient = b.submit({"name": "c", "project": "speech", "resources": {"accelerators": {"A100": 4}}, "run": "true"})
        until("the wait to be told", lambda: "firing" in web.states("queue-wait"))
        alert = [a for a in web.alerts() if a["condition"] == "queue-wait"][0]
        assert alert["project"] == "vision" and f"job {waiting} " in alert["text"], alert
        b.ok("cancel", str(blocker))
        b.wait(waiting), b.wait(patient)
        until("its end to be told", lambda: "resolved" in web.states("queue-wait"))
        assert not [a for a in web.alerts() if a["project"] == "speech"]


def test_a_quota_that_is_nearly_taken_is_told(weir):
    with Web() as web, Broker(weir, config({"ops": {"kind": "webhook", "url": web.url}}, quota_percent=75)) as b:
        until("the host to join", lambda: b.get("/v1/nodes")["items"])
        b.ok("quota", "set", "v", "--for", "project:vision", "--counts", "gpus", "--limit", "4")
        b.ok("quota", "set", "idle", "--for", "project:nlp", "--counts", "gpus", "--limit", "4")
        two = b.submit({"project": "vision", "resources": {"accelerators": {"A100": 2}}, "run": "sleep 60", "max_duration": "1h"})
        until("it to run", lambda: b.get(f"/v1/jobs/{two}")["state"] == "running")
        one = b.submit({"project": "vision", "resources": {"accelerators": {"A100": 1}}, "run": "sleep 60", "max_duration": "1h"})
        until("it to be told", lambda: "firing" in web.states("quota-threshold"))
        fired = firing(b, "quota-threshold")
        assert [(a["key"], a["project"], a["text"]) for a in fired] == [("quota-threshold/v", "vision", "quota 'v': 75 % of its gpus are taken")], fired
        b.ok("cancel", str(two))
        b.ok("cancel", str(one))
        until("its end to be told", lambda: "resolved" in web.states("quota-threshold"))


def test_what_people_do_about_it(weir):
    with Web() as web, Broker(weir, config({"ops": {"kind": "webhook", "url": web.url}}, repeat="1s")) as b:
        spend(b, "8.50", "--at", "80:warn")
        until("reminders", lambda: len(web.states("budget-threshold")) > 2)
        alert = firing(b, "budget-threshold")[0]
        b.ok("alerts", "ack", alert["id"])
        until("the reminders to end", lambda: quiet(b, web))
        assert firing(b, "budget-threshold")[0]["acknowledged_by"], "by whom"
        assert "acknowledged" in b.ok("alerts")
        b.ok("alerts", "silence", alert["id"], "--for", "1h")
        b.ok("budget", "set", "vision", "--at", "80:warn", "--at", "85:stop-new")
        until("the step to be seen", lambda: firing(b, "budget-threshold")[0]["severity"] == "critical")
        assert quiet(b, web), "nobody is told"
        b.ok("alerts", "silence", alert["id"], "--for", "0")
        until("it to be told", lambda: web.alerts()[-1]["severity"] == "critical")
        b.ok("budget", "set", "vision", "--at", "none")
        until("it to be over", lambda: not firing(b, "budget-threshold"))
        again = b.run("alerts", "ack", alert["id"])
        assert again.returncode != 0 and "does not fire" in again.stderr, again.stderr
        assert [c["action"] for c in b.get("/v1/audit?limit=20")["items"] if c["action"].startswith("alert.")] == ["alert.silence", "alert.silence", "alert.ack"]
        for name, want in (("nobody", "not configured"), ("ops", "")):
            tested = b.run("alerts", "test", name)
            assert (tested.returncode != 0) == bool(want) and want in tested.stderr, tested.stderr
        assert web.taken()[-1]["test"] or [m for m in web.taken() if m["test"]]


def quiet(b, web):
    """Does nothing more come through, for longer than a reminder takes?"""
    n = len(web.states("budget-threshold"))
    b.get("/v1/status")
    return not lib_changes(lambda: len(web.states("budget-threshold")) != n, 3)


def lib_changes(condition, limit_s):
    try:
        until("a change", condition, limit_s)
        return True
    except AssertionError:
        return False


def test_members_see_the_alerts_of_their_projects(weir):
    with Web() as web, Broker(weir, config({"ops": {"kind": "webhook", "url": web.url}})) as b:
        spend(b, "8.50", "--at", "80:warn")
        spend(b, "9", "--at", "80:warn", name="all", scope="organisation")
        until("both to fire", lambda: len(firing(b, "budget-threshold")) == 2)
        b.ok("user", "add", "ada", "--project", "vision:viewer")
        b.ok("user", "add", "eve")
        for user, want in (("ada", ["vision"]), ("eve", [])):
            token = b.json("token", "create", "--user", user, "--name", "t")["token"]
            head = {"Authorization": f"Bearer {token}"}
            status, body = b.http("GET", "/v1/alerts", headers=head)
            items = json.loads(body)["items"]
            assert status == 200 and [a["project"] for a in items if a["condition"] == "budget-threshold"] == want, (user, body)
            assert all("told" not in a for a in items), items
            for method, path in (("POST", "/v1/alerts/1/ack"), ("GET", "/v1/receivers"), ("POST", "/v1/receivers/ops/test")):
                assert b.http(method, path, headers=head)[0] == 403, path


def test_checks_that_fail_are_told(weir):
    with Web() as web, Broker(weir, config({"ops": {"kind": "webhook", "url": web.url}})) as b:
        status, body = b.http("POST", "/v1/reconcile/outcome", {"reason": "nov.csv", "residual_micro": 5000000, "leak_suspects": ["i-0abc"]})
        assert status == 200, body
        until("both to be told", lambda: web.states("reconciliation") and web.states("leak-suspect"))
        assert "i-0abc" in [a for a in web.alerts() if a["condition"] == "leak-suspect"][0]["text"]
        assert "5 USD" in [a for a in web.alerts() if a["condition"] == "reconciliation"][0]["text"].replace("5.00", "5")
        b.http("POST", "/v1/reconcile/outcome", {"reason": "nov.csv", "residual_micro": 0})
        until("both ends to be told", lambda: "resolved" in web.states("reconciliation") and "resolved" in web.states("leak-suspect"))
        assert b.get("/v1/bill/check")["balanced"] and not firing(b, "ledger-check")


def test_the_broker_proves_its_ledger_by_itself(weir):
    with Web() as web, Broker(weir, json.dumps(dict(json.loads(config({"ops": {"kind": "webhook", "url": web.url}})), ledger_check="1s"))) as b:
        b.wait(b.submit({"resources": {"accelerators": {"A100": 1}}, "run": "sleep 0.3"}))  # "true" may cost nothing
        b.ok("bill", "charge", "0.01", "--job", "1", "--reason", "egress")
        until("a proof", lambda: "balanced=true" in (b.dir / "serve.log").read_text())
        assert not firing(b, "ledger-check")

        def change(by):
            with sqlite3.connect(b.data / "weir.db") as db:
                db.execute("UPDATE posting SET amount_micro = amount_micro + ? WHERE id = (SELECT min(id) FROM posting WHERE correction <> 0)", (by,))
            db.close()

        b.stop()
        change(1)
        b.start()
        until("the alert", lambda: firing(b, "ledger-check") and "its other side" in firing(b, "ledger-check")[0]["text"])
        until("it to be told", lambda: web.states("ledger-check"))
        b.kill()
        change(-1)
        b.start()
        until("its end", lambda: not firing(b, "ledger-check") and "resolved" in web.states("ledger-check"))
        b.balanced()


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
