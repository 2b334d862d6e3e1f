# SPDX-License-Identifier: Apache-2.0
"""What the system tests share: a broker of their own on a free port, its clients, and TAP output.

A test is a function whose name begins with test_. Processes are ended by id.
"""
import concurrent.futures
import contextlib
import datetime
import fcntl
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.request

SANITIZER = re.compile(r"(ERROR|WARNING): \w+Sanitizer|: runtime error: ")


class Skip(Exception):
    """Raised by a test that cannot run here; the text says what is missing."""


def until(what, condition, limit_s=180, every_s=0.05):
    """Waits for a condition with a bound, which is for a machine that is very busy; gives what it gave."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit_s} s for {what}")
        time.sleep(every_s)


def make_venv(folder, name, python=sys.executable, options=()):
    """The python of a virtual environment with the packages of packages/NAME.txt, or None with the reason. That file names every package with
    its version: what passes today does not fail tomorrow because somebody released something."""
    wanted = pathlib.Path(__file__).resolve().parent / "packages" / f"{name}.txt"
    inside = os.path.join(folder, "bin", "python3")
    marker = pathlib.Path(folder, "installed.ok")
    if os.path.isdir(folder) and os.listdir(folder) and not os.path.exists(os.path.join(folder, "pyvenv.cfg")):
        return None, f"{folder} is no virtual environment, and is left alone"
    with only_one(folder):
        if marker.exists() and marker.read_bytes() == wanted.read_bytes():
            return inside, ""
        try:
            subprocess.run([python, "-m", "venv", "--clear", folder], check=True, capture_output=True, timeout=120)
            subprocess.run([inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "10",
                            "--no-deps", *options, "--requirement", wanted], check=True, capture_output=True, timeout=360)
        except (subprocess.SubprocessError, OSError) as e:
            detail = (getattr(e, "stderr", b"") or getattr(e, "stdout", b"") or b"").decode(errors="replace").strip().splitlines()
            return None, detail[-1] if detail else str(e)
        marker.write_bytes(wanted.read_bytes())
    return inside, ""


@contextlib.contextmanager
def only_one(folder):
    """One process at a time makes what is in a folder, whichever tests run side by side."""
    with open(f"{os.fspath(folder)}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def process_table():
    """pid -> (parent, command line) of every process."""
    table = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                cmdline = (entry / "cmdline").read_bytes().split(b"\0")
                table[int(entry.name)] = (int(stat.rsplit(")", 1)[1].split()[1]), [a.decode(errors="replace") for a in cmdline])
            except (OSError, ValueError, IndexError):
                continue
    return table


def strike(pid, how=signal.SIGKILL):
    """Sends a signal to a process that may be over by now; tells whether it was there."""
    try:
        os.kill(pid, how)
        return True
    except ProcessLookupError:
        return False


class Broker:
    """A `weir serve` with its own data directory; several starts on the same directory are restarts."""

    def __init__(self, weir, config=None, gpus="A100:4", args=(), env=None, listen="127.0.0.1"):
        self.weir = weir
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-test-"))
        self.data = self.dir / "data"
        self.args = list(args)
        self.gpus = gpus
        self.process = None
        self.port = 0
        self.listen = listen
        self.tls = None
        if config:
            (self.dir / "weir.yaml").write_text(config)
            self.args += ["--config", str(self.dir / "weir.yaml")]
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}
        self.env.update(env or {})

    def __enter__(self):
        return self.start()

    def start(self):
        log = (self.dir / "serve.log").open("a")
        command = [self.weir, "serve", "--listen", f"{self.listen}:{self.port}", "--data", str(self.data), *self.args]
        if self.gpus:
            command += ["--declare-gpus", self.gpus]
        def serving():
            begin = (self.dir / "serve.log").stat().st_size
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=self.env)
            line = self.process.stdout.readline()
            if "serving on" in line:
                return line
            self.process.wait(timeout=60)
            said = (self.dir / "serve.log").read_text()
            # between a broker's end and its restart on the same port another test's process may have had it for a moment
            assert self.port != 0 and "in use" in said[begin:], f"the broker did not start: {said}"
            return None

        line = until(f"port {self.port} to be free", serving, every_s=0.5)
        self.url = line.split("serving on ")[1].split(",")[0]
        self.port = int(self.url.rsplit(":", 1)[1])
        if self.url.startswith("https"):
            self.url = f"https://127.0.0.1:{self.port}"
            self.env["WEIR_CA"] = str(self.data / "tls" / "ca.pem")
            self.tls = ssl.create_default_context(cafile=self.env["WEIR_CA"])
        self.env["WEIR_URL"] = self.url
        return self

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=60)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            code = self.process.wait(timeout=120)
            assert code == 0, f"the broker ended with {code}: {(self.dir / 'serve.log').read_text()[-4000:]}"

    def sanitizer_findings(self):
        """What a sanitizer build wrote: into the log of the broker and its agent, or of a rented machine."""
        found = []
        for path in self.dir.rglob("*"):
            if path.is_file() and "log" in path.name and path.stat().st_size < 64 << 20:
                text = path.read_text(errors="replace")
                at = SANITIZER.search(text)
                if at:
                    found.append(f"{path}: {text[at.start():at.start() + 4000]}")
        return found

    def own_processes(self, word):
        """Processes of this broker's directory whose command line has the word: agents, machines."""
        return [pid for pid, (_, argv) in process_table().items()
                if pid != os.getpid() and word in argv and any(str(self.dir) in a for a in argv)]

    def __exit__(self, *exc):
        try:
            self.stop()
        finally:
            for word in ("agent", "sandbox-machine"):
                for pid in self.own_processes(word):
                    strike(pid)
            if exc[0] is not None:
                sys.stderr.write((self.dir / "serve.log").read_text()[-4000:])
            found = self.sanitizer_findings()
            shutil.rmtree(self.dir, ignore_errors=True)
            assert not found, found[0]

    def run(self, *args, input=None, cwd=None, timeout=300):
        result = subprocess.run([self.weir, *map(str, args)], env=self.env, input=input, cwd=cwd or self.dir, timeout=timeout,
                                capture_output=True, text=True, check=False)
        assert not SANITIZER.search(result.stderr), result.stderr
        return result

    def ok(self, *args, **kw):
        result = self.run(*args, **kw)
        assert result.returncode == 0, f"weir {' '.join(map(str, args))} ended with {result.returncode}: {result.stderr}"
        return result.stdout

    def json(self, *args):
        return json.loads(self.ok(*args, "--json"))

    def stored(self, query, *values):
        """The rows of a query on the store, which may be in use."""
        with contextlib.closing(sqlite3.connect(f"file:{self.data / 'weir.db'}?mode=ro", uri=True)) as db:
            return db.execute(query, values).fetchall()

    def http(self, method, path, body=None, headers=None, raw=None):
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        for key, value in (headers or {}).items():
            request.add_header(key, value)
        try:
            with urllib.request.urlopen(request, timeout=180, context=self.tls) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def get(self, path):
        status, body = self.http("GET", path)
        assert status == 200, (path, status, body)
        return json.loads(body)

    def submit(self, spec):
        status, body = self.http("POST", "/v1/jobs", spec)
        assert status == 201, body
        return json.loads(body)["id"]

    def wait(self, job, limit_s=300):
        def ended():
            state = self.get(f"/v1/jobs/{job}")
            return state if state["state"] in ("succeeded", "failed", "cancelled") else None
        return until(f"job {job} to end", ended, limit_s)

    def tasks(self, job):
        items, cursor = [], ""
        while cursor is not None:
            page = self.get(f"/v1/jobs/{job}/tasks?limit=1000" + (f"&cursor={cursor}" if cursor else ""))
            items += page["items"]
            cursor = page["next"]
        return items

    def log(self, job, task=None):
        status, body = self.http("GET", f"/v1/jobs/{job}/log" + (f"?task={task}" if task is not None else ""))
        return body.decode() if status == 200 else ""

    def balanced(self):
        check = self.get("/v1/bill/check")
        assert check["balanced"], check
        assert check["cost_micro"] == check["used_micro"] + check["idle_micro"] + check["waste_micro"], check
        return check


class Agents:
    """Further agents of a broker on this host, each with a directory of its own below the broker's: name=GPUs."""

    def __init__(self, broker, **gpus):
        self.broker = broker
        self.gpus = gpus
        self.process = {}
        self.log = (broker.dir / "agents.log").open("a")

    def start(self, name, directory=None):
        b = self.broker
        command = [b.weir, "agent", "--broker", b.url, "--token-file", str(b.data / "agent-token"),
                   "--data", str(b.dir / (directory or name)), "--name", name]
        if self.gpus.get(name):
            command += ["--declare-gpus", self.gpus[name]]
        self.process[name] = subprocess.Popen(command, env=b.env, stdout=self.log, stderr=self.log)

    def end(self, name, how=signal.SIGTERM):
        self.process[name].send_signal(how)
        return self.process[name].wait(timeout=120)

    def said(self):
        return (self.broker.dir / "agents.log").read_text()

    def __enter__(self):
        for name in self.gpus:
            self.start(name)
        own = 0 if "--no-agent" in self.broker.args else 1  # it may join after these
        until("all nodes", lambda: set(self.gpus) <= (names := {n["name"] for n in self.broker.json("nodes")}) and len(names) >= own + len(self.gpus))
        return self

    def __exit__(self, *exc):
        for process in self.process.values():
            process.kill()
            process.wait(timeout=60)
        self.log.close()


def clear_of_month_end(margin_s=150):
    """Waits while a month (UTC) is about to end: what a test books, or counts on a budget, would fall into two."""
    def is_clear():
        now = datetime.datetime.now(datetime.timezone.utc)
        return (now + datetime.timedelta(seconds=margin_s)).month == now.month
    until("the month to be over", is_clear, 2 * margin_s, every_s=1)


def run(tests, at_once=4):
    """Runs tests, each a name and what is to be called; TAP on standard output. They mostly wait, each for a broker of its own: so many go at
    once. Gives the exit status."""
    print(f"1..{len(tests)}", flush=True)
    lock = threading.Lock()
    ended = []

    def one(test):
        name, function = test
        begin = time.monotonic()
        verdict, end, why = "ok", "", ""
        try:
            function()
        except Skip as e:
            end = f" # SKIP {e}"
        except Exception:
            verdict, why = "not ok", traceback.format_exc()
        with lock:
            ended.append(verdict)
            sys.stderr.write(f"{name}: {why}" if why else "")
            print(f"{verdict} {len(ended)} - {name}{end}\n# in {time.monotonic() - begin:.1f} s", flush=True)

    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, tests))
    return 1 if "not ok" in ended else 0


def main(namespace, at_once=4):
    """Runs the tests of a module, each given the program's path: those that the command line names, or all."""
    weir = str(pathlib.Path(sys.argv[1]).resolve())
    only = sys.argv[2:]

    def call(function):
        clear_of_month_end()
        function(weir)

    return run([(n, functools.partial(call, f)) for n, f in namespace.items() if n.startswith("test_") and (not only or n in only)], at_once)
