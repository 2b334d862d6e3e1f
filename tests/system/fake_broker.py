# SPDX-License-Identifier: Apache-2.0
"""A broker for tests of the agent: speaks docs/design/0002-agent-protocol.md and keeps all it hears.

With the standard library only. One thread per connection; everything shared is under one condition,
which tests wait on with a bound.
"""
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Broker:
    def __init__(self, port=0):
        self.cond = threading.Condition()
        self.joins = []
        self.commands = []
        self.seq = 0
        self.acked = 0
        self.session = None
        self.reports = []
        self.logs = {}
        self.fail = {}  # path -> list of statuses to answer with first
        self.max_wait_ms = 2000
        self.report_every_ms = 10000
        self.lease_expires = 0  # told with every answer to a sync
        self.join_answer = {}
        self.sockets = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args):
                pass

            def setup(self):
                super().setup()
                outer.sockets.append(self.connection)

            def handle(self):
                try:
                    super().handle()
                except OSError:
                    pass  # the agent was killed, or close() was called

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    status, answer = outer.handle(self.path, body)
                except Exception as e:  # a broken test must not look like a broker that is away
                    status, answer = 500, {"error": {"code": "io", "message": repr(e)}}
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler, bind_and_activate=False)
        self.server.daemon_threads = True
        self.server.allow_reuse_address = True
        self.server.server_bind()
        self.server.server_activate()
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d" % self.port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        for s in self.sockets:  # kept-alive connections too, as when a process dies
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    # ---- answers ----
    def handle(self, path, body):
        u = urlsplit(path)
        with self.cond:
            todo = self.fail.get(u.path)
            if todo:
                status = todo.pop(0)
                return status, {"error": {"code": "unavail", "message": "asked to fail"}}
        if u.path == "/v1/agent/join":
            return self.join(json.loads(body))
        if u.path == "/v1/agent/sync":
            return self.sync(json.loads(body))
        if u.path == "/v1/agent/report":
            return self.report(json.loads(body))
        if u.path == "/v1/agent/log":
            return self.log({k: v[0] for k, v in parse_qs(u.query).items()}, body)
        return 404, {"error": {"code": "notfound", "message": u.path}}

    def stale(self, m):
        return 409, {"error": {"code": "conflict", "message": "session %s is over" % m.get("session")}}

    def join(self, m):
        with self.cond:
            self.joins.append(m)
            if m["protocol"] != 1:
                return 409, {"error": {"code": "version", "message": "upgrade the agent"}}
            self.session = "s%d-%d" % (id(self) % 1000, len(self.joins))
            self.seq = 0
            for c in self.commands:
                self.seq += 1
                c["seq"] = self.seq
            self.acked = 0
            self.cond.notify_all()
            answer = {"protocol": 1, "node": 5, "session": self.session, "lease_expires": 0,
                      "report_every_ms": self.report_every_ms}
            answer.update(self.join_answer)
            return 200, answer

    def sync(self, m):
        until = time.monotonic() + min(m["wait_ms"], self.max_wait_ms) / 1000
        with self.cond:
            while True:
                if m["session"] != self.session:
                    return self.stale(m)
                if m["ack"] > self.acked:
                    self.acked = m["ack"]
                    self.commands = [c for c in self.commands if c["seq"] > self.acked]
                    self.cond.notify_all()
                todo = [c for c in self.commands if c["seq"] > m["ack"]]
                left = until - time.monotonic()
                if todo or left <= 0:
                    return 200, {"commands": todo[:200], "lease_expires": self.lease_expires}
                self.cond.wait(left)

    def report(self, m):
        with self.cond:
            if m["session"] != self.session:
                return self.stale(m)
            now = time.time()
            for r in m["reports"]:
                r["heard"] = now
            self.reports.extend(m["reports"])
            self.cond.notify_all()
            return 200, {}

    def log(self, q, body):
        key = (int(q["job"]), int(q["ordinal"]), int(q["attempt"]))
        with self.cond:
            if q["session"] != self.session:
                return self.stale(q)
            have = self.logs.get(key, b"")
            offset = int(q["offset"])
            if offset > len(have):
                return 409, {"size": len(have)}
            self.logs[key] = have + body[len(have) - offset:]
            self.cond.notify_all()
            return 200, {"size": len(self.logs[key])}

    # ---- what tests do ----
    def command(self, **c):
        with self.cond:
            self.seq += 1
            c["seq"] = self.seq
            self.commands.append(c)
            self.cond.notify_all()

    def start(self, job, spec, ordinal=0, attempt=1, **more):
        base = {"name": "t%d" % job, "resources": {"cpus": 1}}
        base.update(spec)
        run = {"job": job, "ordinal": ordinal, "attempt": attempt}
        c = {"type": "start", "run": run, "index": ordinal, "task_count": 1, "index_min": 0, "index_max": 0,
             "array": False, "spec": base, "user": "ada", "project": "vision", "gpus": [], "rank": 0, "nodes": 1,
             "addresses": ["127.0.0.1"], "max_duration_us": 600000000}
        c.update(more)
        self.command(**c)
        return run

    def stop(self, run, signal=0, grace_us=10000000, reason="cancel"):
        self.command(type="stop", run=run, signal=signal, grace_us=grace_us, reason=reason)

    def forget(self, run):
        self.command(type="forget", run=run)

    def wait(self, what, test, timeout=120):
        until = time.monotonic() + timeout
        with self.cond:
            while True:
                got = test()
                if got:
                    return got
                left = until - time.monotonic()
                if left <= 0:
                    raise AssertionError("waited %ss in vain for %s; heard %s" % (timeout, what, self.reports[-5:]))
                self.cond.wait(left)

    def heard(self, kind, run=None):
        return [r for r in self.reports if r["type"] == kind and (run is None or r.get("run") == run)]

    def ended(self, run, timeout=120):
        return self.wait("the end of %s" % run, lambda: self.heard("ended", run), timeout)[0]

    def text(self, run):
        return self.logs.get((run["job"], run["ordinal"], run["attempt"]), b"").decode(errors="replace")
