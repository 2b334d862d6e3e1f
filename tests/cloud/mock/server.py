# SPDX-License-Identifier: Apache-2.0
"""A cloud on loopback that can be made to fail in every way that a real one does.

    server.py --dialect runpod [--port N] [--dir DIR] [--capacity N] [--option KEY=VALUE ...]

prints "serving on http://127.0.0.1:PORT". One process is one provider's account in that provider's dialect. Tests steer it
below /_mock: POST /_mock/fault {"name", "times", "on", ...}, POST /_mock/clear, POST /_mock/set {"skew_s", "price_factor", "prices": [[since when, factor], ...],
"capacity", "boot_s", "stop_s", "page_size", "quota": N (the limit of each quota, in what it counts), "denied": [operations, or permissions by the provider's name, that are refused], "no_images": true}, POST /_mock/reclaim {"id", "notice_s"}, POST /_mock/end {"id"} (a machine that
the provider loses), POST /_mock/advise {"id"} (the machine is told that it may be taken back), POST /_mock/foreign {...} (a machine of somebody else), GET /_mock/inventory (with "leftovers": what is there
besides machines), GET /_mock/log,
GET /_mock/calls (the requests themselves, without their headers). /_metadata/ID is the metadata service of the machine ID, as it sees it.
"""
import argparse
import email.utils
import http.server
import importlib
import json
import pathlib
import signal
import socket
import sys
import time
import traceback
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from machine import Machines  # noqa: E402
from twist import twist  # noqa: E402
from world import CloudError, World  # noqa: E402

BODY_MAX = 1 << 20


class Request:
    def __init__(self, method, target, headers, body):
        self.method = method
        self.target = target
        split = urllib.parse.urlsplit(target)
        self.path = urllib.parse.unquote(split.path)
        self.raw_path = split.path
        self.raw_query = split.query
        self.query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        self.headers = headers
        self.body = body

    def json(self):
        try:
            value = json.loads(self.body)
        except ValueError as e:
            raise CloudError("invalid", f"the body is not JSON: {e}") from e
        if not isinstance(value, dict):
            raise CloudError("invalid", "the body is not a JSON object")
        return value


class Reply:
    def __init__(self, status, body=b"", content_type="application/json", headers=None):
        self.status = status
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.content_type = content_type
        self.headers = headers or {}


class Lost(Exception):
    """The connection is to break here."""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    world = None
    dialect = None

    def log_message(self, *args):
        pass

    def date_time_string(self, timestamp=None):
        """The Date header: the provider's clock, which may be wrong."""
        return email.utils.formatdate(self.world.now() if timestamp is None else timestamp, usegmt=True)

    def _read(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > BODY_MAX:
            raise CloudError("invalid", "the body is too large")
        return self.rfile.read(length) if length else b""

    def _send(self, reply, slow_s=0.0, truncate=False):
        if slow_s and not reply.body:
            time.sleep(slow_s)
        self.send_response(reply.status)
        self.send_header("Content-Length", str(len(reply.body)))
        if reply.body:
            self.send_header("Content-Type", reply.content_type)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        body = reply.body
        if truncate:
            self.wfile.write(body[:len(body) // 2])
            raise Lost()
        if slow_s:
            pieces = 10
            size = max(1, len(body) // pieces)
            for i in range(0, len(body), size):
                self.wfile.write(body[i:i + size])
                self.wfile.flush()
                time.sleep(slow_s / pieces)
            return
        self.wfile.write(body)

    def _break(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _answer(self, request, operation):
        """The dialect's answer, with what is switched on around it."""
        world, dialect = self.world, self.dialect
        if world.hit("lost_request", operation) is not None:
            world.note(operation, 0, "lost_request")
            raise Lost()
        if operation in world.denied:
            return dialect.refusal(CloudError("forbidden", f"the key has no right to {operation}"), request)
        hit = world.hit("throttle", operation)
        if hit is not None:
            world.note(operation, 429, "throttle")
            return dialect.refusal(CloudError("throttle", "too many requests", retry_after=hit.get("retry_after")), request)
        hit = world.hit("echo", operation)
        if hit is not None:
            key = request.headers.get("X-Auth-Token") or request.headers.get("Authorization", "").removeprefix("Bearer ")
            world.echoed.append(key)
            world.note(operation, 403, "echo")
            return dialect.refusal(CloudError("forbidden", f"{'x' * int(hit.get('pad', 0))} {key} may not do that"), request)
        hit = world.hit("server_error", operation)
        if hit is not None:
            world.note(operation, hit.get("status", 503), "server_error")
            return dialect.refusal(CloudError("server_error", "internal error", status=int(hit.get("status", 503))), request)
        if world.hit("expired_credential", operation) is not None:
            dialect.expire_credentials()
        try:
            reply = dialect.handle(request, operation)
        except CloudError as e:
            reply = dialect.refusal(e, request)
        if world.hit("lost_reply", operation) is not None:
            world.note(operation, reply.status, "lost_reply")
            raise Lost()
        hit = world.hit("server_error_after", operation)
        if hit is not None:
            world.note(operation, hit.get("status", 502), "server_error_after")
            return dialect.refusal(CloudError("server_error", "internal error", status=int(hit.get("status", 502))), request)
        if world.hit("bad_body", operation) is not None:
            world.note(operation, 200, "bad_body")
            return Reply(200, b"<html>bad gateway</html>", "text/html")
        hit = world.hit("odd_body", operation) if reply.status < 300 and reply.body else None
        if hit is not None:
            reply.body = twist(reply.body, reply.content_type, hit["kind"], int(hit.get("seed", 0)))
            world.note(operation, reply.status, "odd_body")
            return reply
        world.note(operation, reply.status)
        return reply

    def _serve(self):
        try:
            request = Request(self.command, self.path, self.headers, self._read())
            if request.path.startswith("/_mock/"):
                self._send(self._control(request))
                return
            if request.path.startswith("/_metadata/"):
                self._send(self._metadata(request))
                return
            operation = self.dialect.operation(request)
            self.world.keep_call(request)
            reply = self._answer(request, operation)
            slow = self.world.hit("slow_body", operation)
            self._send(reply, float(slow.get("seconds", 1)) if slow is not None else 0.0,
                       self.world.hit("truncated_body", operation) is not None)
            self.world.note_answered(operation)
        except Lost:
            self._break()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception:
            sys.stderr.write(traceback.format_exc())
            self._break()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _serve

    def _metadata(self, request):
        """What a machine is told of itself. Nobody else can ask: a call that came by a proxy is refused, as the clouds do."""
        _, _, ident, path = request.raw_path.split("/", 3)
        instance = self.world.instances.get(urllib.parse.unquote(ident))
        if instance is None or "X-Forwarded-For" in request.headers:
            return Reply(404)
        try:
            return self.dialect.metadata(instance, request, path)
        except CloudError as e:
            return Reply({"unauthorized": 401, "forbidden": 403, "not_found": 404}.get(e.kind, 400), e.text.encode(), "text/plain")

    def _control(self, request):
        world = self.world
        body = json.loads(request.body or b"{}")
        match request.path.removeprefix("/_mock/"):
            case "fault":
                try:
                    world.switch(body.pop("name"), **body)
                except (KeyError, ValueError) as e:
                    return Reply(400, {"error": str(e)})
            case "clear":
                world.clear()
            case "set":
                with world.lock:
                    for key, value in body.items():
                        if key not in ("skew_s", "price_factor", "prices", "capacity", "boot_s", "stop_s", "page_size", "forget_s", "denied", "no_images", "quota", "full_zones", "reservations"):
                            return Reply(400, {"error": f"'{key}' cannot be set"})
                        setattr(world, key, value)
            case "reclaim" | "end" | "advise":
                with world.lock:
                    ident = body.get("id", "")  # a driver may put the place before the provider's own id
                    instance = world.instances.get(ident) or world.instances.get(ident.rsplit("/", 1)[-1])
                    if instance is None:
                        return Reply(404, {"error": "no such machine"})
                    if request.path.endswith("reclaim"):
                        world.reclaim(instance, float(body.get("notice_s", 0)))
                    elif request.path.endswith("advise"):
                        instance.advised = True
                    else:
                        world.terminate(instance, "lost by the provider")
            case "foreign":
                self.dialect.add_foreign(body)
            case "inventory":
                leftovers = getattr(self.dialect, "leftovers", list)()
                return Reply(200, {**world.inventory(), "leftovers": leftovers})
            case "calls":
                with world.lock:
                    return Reply(200, {"calls": list(world.calls)})
            case "log":
                with world.lock:
                    return Reply(200, {"log": list(world.log)})
            case other:
                return Reply(404, {"error": f"there is no control '{other}'"})
        return Reply(200, {})


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def make_dialect(name, world, options):
    return importlib.import_module("dialect_" + name).Dialect(world, options)


def main():
    parser = argparse.ArgumentParser(description="a mock cloud for tests")
    parser.add_argument("--dialect", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dir", help="where machines live as real processes; without it they are records only")
    parser.add_argument("--capacity", type=int, default=1000)
    parser.add_argument("--page-size", type=int, default=100)
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="for the dialect")
    parser.add_argument("--machine-env", action="append", default=[], metavar="KEY=VALUE", help="added to each machine's environment")
    parser.add_argument("--machine-wrap", metavar="JSON", default="[]", help="a command that each machine's own is put behind, as a list of words")
    args = parser.parse_args()
    machines = Machines(args.dir, dict(e.split("=", 1) for e in args.machine_env), wrap=json.loads(args.machine_wrap)) if args.dir else None
    world = World(machines, capacity=args.capacity, page_size=args.page_size)
    Handler.world = world
    server = Server(("127.0.0.1", args.port), Handler)
    options = dict(o.split("=", 1) for o in args.option)
    options["url"] = f"http://127.0.0.1:{server.server_address[1]}"
    if machines:
        machines.metadata = lambda ident: f"{options['url']}/_metadata/{urllib.parse.quote(ident, safe='')}"
    Handler.dialect = make_dialect(args.dialect, world, options)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it ends its machines before it goes
    print(f"serving on {options['url']}", flush=True)
    try:
        server.serve_forever(poll_interval=0.1)
    except KeyboardInterrupt:
        pass
    finally:
        world.close()


if __name__ == "__main__":
    main()
