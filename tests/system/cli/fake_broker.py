# SPDX-License-Identifier: Apache-2.0
"""A broker that serves canned answers of docs/api/rest.md on loopback, for tests of the commands.

Every request is kept in .requests as (method, path, query, body). A test changes .jobs, .tasks,
.logs and .replies before it runs a command; .replies[(method, path)] is (status, object or text) or
a function of the handler, and goes before the canned answers.
"""

import json
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

T0, T1, T2 = "2026-11-22T19:42:26Z", "2026-11-22T19:42:27Z", "2026-11-22T19:43:57Z"


def job(id, **over):
    o = {"id": id, "name": "train", "project": "vision", "user": "ada", "state": "succeeded", "reason": None,
         "priority": 50, "tasks": 1, "pool": "local", "node": "host1", "gpus": "A100:1", "exit_code": 0,
         "submitted": T0, "started": T1, "ended": T2, "cost_micro": 123456, "currency": "USD", "array": None}
    o.update(over)
    return o


def task(job, index=None, **over):
    o = {"job": job, "index": index, "ordinal": index or 0, "id": str(job) if index is None else f"{job}_{index}",
         "state": "succeeded", "reason": "exit", "text": "", "attempt": 1, "node": "host1", "pool": "local", "gpus": [0],
         "nodes": ["host1"], "exit_code": 0, "signal": 0, "queued": T0, "started": T1, "ended": T2,
         "checkpointed": None, "cost_micro": 12, "currency": "USD"}
    o.update(over)
    return o


class Broker:
    def __init__(self):
        self.requests = []
        self.jobs = {}
        self.tasks = {}
        self.logs = {}  # (job, index or None, attempt) -> bytes
        self.replies = {}
        self.token = None
        self.unknown_token = None  # refused; without any token the caller is let in
        self.lock = threading.Lock()
        self.cancelled = threading.Event()
        self.following = threading.Event()
        broker = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_GET(self):
                broker.answer(self, "GET")

            def do_POST(self):
                broker.answer(self, "POST")

            def do_PUT(self):
                broker.answer(self, "PUT")

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def add(self, job, *tasks):
        self.jobs[job["id"]] = job
        self.tasks[job["id"]] = list(tasks)

    # ---- answering ----

    def send(self, h, status, o, content_type="application/json"):
        body = o if isinstance(o, bytes) else o.encode() if isinstance(o, str) else json.dumps(o).encode()
        h.send_response(status)
        h.send_header("Content-Type", content_type)
        h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        h.wfile.write(body)

    def fail(self, h, status, code, message):
        self.send(h, status, {"error": {"code": code, "message": message}})

    def chunk(self, h, data):
        h.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        h.wfile.flush()

    def begin_stream(self, h, content_type="text/plain"):
        h.send_response(200)
        h.send_header("Content-Type", content_type)
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()

    def end_stream(self, h):
        h.wfile.write(b"0\r\n\r\n")

    def answer(self, h, method):
        url = urllib.parse.urlsplit(h.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        n = int(h.headers.get("Content-Length") or 0)
        body = h.rfile.read(n)
        if method != "GET" and h.headers.get("Content-Type") != "application/json":
            return self.fail(h, 400, "inval", "a body is application/json")
        with self.lock:
            self.requests.append((method, url.path, query, json.loads(body) if body else None))
        if self.token is not None and h.headers.get("Authorization") != "Bearer " + self.token:
            return self.fail(h, 401, "unauth", "who are you")
        if self.unknown_token is not None and h.headers.get("Authorization") == "Bearer " + self.unknown_token:
            return self.fail(h, 401, "unauth", "this token is not known")
        canned = self.replies.get((method, url.path))
        if callable(canned):
            return canned(h, query)
        if canned is not None:
            return self.send(h, *canned)
        parts = url.path.strip("/").split("/")
        if parts[:2] == ["v1", "jobs"]:
            return self.answer_jobs(h, method, parts[2:], query)
        return self.fail(h, 404, "notfound", "no such path: " + url.path)

    def page(self, h, items, query):
        limit = int(query.get("limit", 100))
        if not 1 <= limit <= 1000:
            return self.fail(h, 400, "inval", "limit is 1..1000")
        at = int(query.get("cursor", 0))
        more = at + limit < len(items)
        self.send(h, 200, {"items": items[at:at + limit], "next": str(at + limit) if more else None})

    def answer_jobs(self, h, method, parts, query):
        if not parts:
            if method == "POST":
                id = max(self.jobs, default=11) + 1 if not getattr(self, "next_id", None) else self.next_id
                if id not in self.jobs:
                    self.add(job(id), task(id))
                return self.send(h, 201, {"id": id, "name": self.jobs[id]["name"], "tasks": self.jobs[id]["tasks"],
                                          "state": "waiting", "warnings": []})
            return self.page(h, sorted(self.jobs.values(), key=lambda j: -j["id"]), query)
        id = int(parts[0])
        if id not in self.jobs:
            return self.fail(h, 404, "notfound", f"job {id} does not exist")
        what = parts[1] if len(parts) > 1 else ""
        if what in ("", "wait"):
            return self.send(h, 200, self.jobs[id])
        if what == "tasks":
            items = [t for t in self.tasks[id] if query.get("state", t["state"]) == t["state"]]
            if "index" in query:
                items = [t for t in items if t["index"] == int(query["index"])]
                if not items:
                    return self.fail(h, 404, "notfound", f"job {id} has no task with index {query['index']}")
            return self.page(h, items, query)
        if what == "cancel":
            self.jobs[id].update(state="cancelled", exit_code=None)
            for t in self.tasks[id]:
                t.update(state="cancelled", exit_code=None)
            self.cancelled.set()
            return self.send(h, 200, self.jobs[id])
        if what == "log":
            return self.answer_log(h, id, query)
        return self.fail(h, 404, "notfound", "no such path")

    def answer_log(self, h, id, query):
        index = int(query["task"]) if "task" in query else None
        attempt = int(query.get("attempt", 1))
        log = self.logs.get((id, index, attempt))
        if log is None:
            return self.fail(h, 404, "notfound", "no log yet")
        self.send(h, 200, log[int(query.get("offset", 0)):], "text/plain")
