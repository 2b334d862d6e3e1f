#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Alerts through a real broker to real receivers: webhooks, Slack-shaped messages, Alertmanager, mail."""
import email
import email.policy
import hashlib
import hmac
import http.server
import json
import os
import socketserver
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


def spend(b, amount, *args):
    """A budget of 10 of which so much is spent."""
    b.ok("budget", "set", "vision", "--for", "user:nobody", "--amount", "10")
    b.ok("budget", "set", "vision", "--for", "project:vision", "--span", "forever", "--spent", amount, *args)


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


if __name__ == "__main__":
    lib.main(globals())
