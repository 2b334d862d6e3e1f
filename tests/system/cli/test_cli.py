#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the commands against a broker of canned answers. Usage: test_cli.py WEIR; prints TAP."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fake_broker  # noqa: E402
from fake_broker import Broker, job, task  # noqa: E402

WEIR = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))
UPDATE = "UPDATE_GOLDEN" in os.environ
TESTS = []


def test(f):
    TESTS.append(f)
    return f


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"code {self.code}\nout: {self.out!r}\nerr: {self.err!r}"


def env_of(broker, **over):
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    if broker is not None:
        env["WEIR_URL"] = broker.url
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
        if name in os.environ:
            env[name] = os.environ[name]
    env.update(over)
    return env


def weir(broker, *args, stdin=b"", cwd=None, **env):
    p = subprocess.run([WEIR, *args], input=stdin, capture_output=True, env=env_of(broker, **env), cwd=cwd, timeout=60)
    return Result(p.returncode, p.stdout.decode(), p.stderr.decode())


def check(condition, why):
    if not condition:
        raise AssertionError(why)


def equal(got, want, why=""):
    if got != want:
        raise AssertionError(f"{why}\ngot:  {got!r}\nwant: {want!r}")


def golden(name, text):
    path = os.path.join(HERE, "golden", name)
    if UPDATE:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
    with open(path) as f:
        want = f.read()
    if text != want:
        raise AssertionError(f"differs from golden/{name}\ngot:\n{text}\nwant:\n{want}")


def until(condition, why, limit_s=20):
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("not within the limit: " + why)
        time.sleep(0.01)


# ---- jobs ----

def three_jobs(b):
    b.add(job(12), task(12))
    b.add(job(13, name="swéep\x1b[31m", state="running", exit_code=None, ended=None, tasks=100, array="0-99%10"),
          task(13, 0))
    b.add(job(14, state="waiting", pool=None, node=None, exit_code=None, started=None, ended=None, cost_micro=0))


@test
def jobs_table(b):
    three_jobs(b)
    b.jobs[13]["ended"] = fake_broker.T2
    r = weir(b, "jobs")
    equal(r.code, 0, r)
    check("\x1b" not in r.out, "control characters reach the terminal")
    golden("jobs.txt", r.out)


@test
def jobs_json_is_an_array_with_the_documented_keys(b):
    three_jobs(b)
    r = weir(b, "jobs", "--json")
    items = json.loads(r.out)
    equal([j["id"] for j in items], [14, 13, 12])
    for key in ("id", "name", "project", "state", "pool", "node", "exit_code", "submitted", "started", "ended",
                "cost_micro", "currency"):
        check(all(key in j for j in items), key)


@test
def jobs_follows_pages(b):
    for i in range(1, 2501):
        b.jobs[i] = job(i)
    r = weir(b, "jobs", "--json")
    equal(len(json.loads(r.out)), 100)
    check("--all" in r.err, r)
    r = weir(b, "jobs", "--json", "--limit", "1500")
    equal(len(json.loads(r.out)), 1500)
    r = weir(b, "jobs", "--all", "-q")
    equal(r.out.split(), [str(i) for i in range(2500, 0, -1)])
    equal(r.err, "")


@test
def jobs_passes_filters(b):
    weir(b, "jobs", "--state", "running", "--project", "a b&c", "-u", "ada", "--name", "x")
    equal(b.requests[0][2], {"state": "running", "project": "a b&c", "user": "ada", "name": "x", "limit": "100"})
    r = weir(b, "jobs", "--state", "runing")
    equal(r.code, 2, r)
    check("one of waiting, running" in r.err, r)


@test
def no_jobs_is_said_on_stderr(b):
    r = weir(b, "jobs")
    equal((r.code, r.out, r.err), (0, "", "weir: no jobs\n"))


@test
def show_job(b):
    b.add(job(12, tags={"team": "perception"}, counts={"waiting": 1, "running": 2}, tasks=3, array="0-2", spec={"run": "x"}),
          task(12, 0), task(12, 1, state="failed", exit_code=3), task(12, 2))
    r = weir(b, "show", "--tasks", "12")
    golden("show.txt", r.out)
    r = weir(b, "show", "12_1")
    golden("show-task.txt", r.out)
    equal(json.loads(weir(b, "show", "12", "--spec").out), {"run": "x"})
    equal(json.loads(weir(b, "show", "12", "--json").out)["id"], 12)
    r = weir(b, "show", "12_9")
    equal(r.code, 3, r)
    r = weir(b, "show", "99")
    equal((r.code, r.err), (3, "weir: show: job 99 does not exist\n"))


# ---- submit ----

@test
def submit_prints_the_id_alone(b):
    r = weir(b, "submit", "-", stdin=b"run: echo hi\n")
    equal((r.code, r.out), (0, "12\n"), r)
    method, path, query, body = b.requests[0]
    equal((method, path, query), ("POST", "/v1/jobs", {}))
    check("echo hi" in json.dumps(body), body)


@test
def submit_overrides_the_file(b):
    r = weir(b, "submit", "--name", "n", "--project", "p", "--tag", "a=b", "--env", "X=1=2", "--priority", "7",
             "--max-duration", "1h", "-", stdin=b"name: m\nrun: echo hi\n")
    equal(r.code, 0, r)
    body = b.requests[0][3]
    equal((body["name"], body["project"], body["priority"]), ("n", "p", 7))
    equal(body["tags"], {"a": "b"})
    equal(body["envs"]["X"], "1=2")


@test
def submit_says_what_is_wrong_with_the_file(b):
    r = weir(b, "submit", "-", stdin=b"rnu: echo hi\n")
    equal(r.code, 2, r)
    check("did you mean 'run'" in r.err, r)
    r = weir(b, "submit", "/nonexistent/job.yaml")
    equal(r.code, 3, r)
    check("/nonexistent/job.yaml" in r.err, r)
    equal(b.requests, [])


@test
def submit_several_files_and_wait(b):
    with tempfile.TemporaryDirectory() as d:
        for n in "ab":
            with open(f"{d}/{n}.yaml", "w") as f:
                f.write("run: true\n")
        b.add(job(12, state="failed", exit_code=9), task(12, state="failed", exit_code=9))
        b.next_id = 12
        r = weir(b, "submit", "--wait", f"{d}/a.yaml", f"{d}/b.yaml")
        equal((r.code, r.out), (9, "12\n12\n"), r)
        check("job 12 failed: exit code 9 on host1, 0.1235 USD" in r.err, r)


@test
def submit_relative_workdir_needs_a_local_broker(b):
    with tempfile.TemporaryDirectory() as d:
        d = os.path.realpath(d)
        weir(b, "submit", "-", stdin=b"workdir: sub\nrun: x\n", cwd=d)
        equal(b.requests[0][3]["workdir"], d + "/sub")
        r = weir(b, "submit", "--url", "http://192.0.2.1:1", "-", stdin=b"workdir: sub\nrun: x\n", cwd=d)
        equal(r.code, 2, r)
        check("on another host" in r.err, r)


@test
def submit_impossible(b):
    b.replies[("POST", "/v1/jobs")] = (422, {"error": {"code": "impossible", "message": "no node has 9 GPUs"}})
    r = weir(b, "submit", "-", stdin=b"run: x\n")
    equal((r.code, r.err), (6, "weir: submit: standard input: no node has 9 GPUs\n"))


# ---- run ----

@test
def run_streams_and_exits_with_the_code(b):
    b.add(job(12, state="failed", exit_code=7), task(12, state="failed", exit_code=7))
    b.logs[(12, None, 1)] = b"hello\n\x00bin"
    b.next_id = 12
    p = subprocess.run([WEIR, "run", "--gpus", "1", "sh", "-c", "exit 7"], capture_output=True, env=env_of(b), timeout=60)
    equal((p.returncode, p.stdout), (7, b"hello\n\x00bin"), p)
    body = b.requests[0][3]
    check(["sh", "-c", "exit 7"] in body.values(), body)
    equal(body["envs"]["PATH"], os.environ["PATH"])
    equal(body["workdir"], os.getcwd())
    check("job 12 failed: exit code 7" in p.stderr.decode(), p)


@test
def run_is_quiet_in_a_pipe_on_success(b):
    b.add(job(12), task(12))
    b.logs[(12, None, 1)] = b""
    b.next_id = 12
    r = weir(b, "run", "--", "true")
    equal((r.code, r.out, r.err), (0, "", ""))


@test
def run_tells_signals_and_reasons(b):
    for over, code in (({"signal": 9, "reason": "signal", "exit_code": 0}, 137), ({"signal": 11, "reason": "signal"}, 139),
                       ({"reason": "timeout", "exit_code": None}, 124), ({"reason": "oom"}, 137),
                       ({"reason": "start_failed", "exit_code": None, "text": "no such image"}, 125)):
        b.add(job(12, state="failed", exit_code=None), task(12, state="failed", **over))
        b.logs[(12, None, 1)] = b""
        b.next_id = 12
        r = weir(b, "run", "true")
        equal(r.code, code, (over, r))


@test
def run_without_a_broker_exits_125(b):
    r = weir(None, "run", "true", WEIR_URL="http://127.0.0.1:9")
    equal(r.code, 125, r)
    check("no broker answers at http://127.0.0.1:9: start one with 'weir serve'" in r.err, r)


@test
def run_array_prefixes_lines(b):
    b.add(job(12, tasks=2, array="0-1"), task(12, 0), task(12, 1))
    b.logs[(12, 0, 1)] = b"a\nb"
    b.logs[(12, 1, 1)] = b"c\n"
    b.next_id = 12
    r = weir(b, "run", "--array", "0-1", "true")
    equal((r.code, r.out), (0, "12_0| a\n12_0| b\n12_1| c\n"), r)


@test
def run_resumes_a_stream_that_broke_off(b):
    b.add(job(12, state="running", exit_code=None), task(12, state="running"))
    b.next_id = 12
    calls = []

    def log(h, query):
        calls.append(query)
        data = b"0123456789"[int(query.get("offset", 0)):]
        b.begin_stream(h)
        if len(calls) == 1:
            b.chunk(h, data[:4])
            h.connection.shutdown(socket.SHUT_RDWR)  # no final chunk
            h.close_connection = True
            return
        b.chunk(h, data)
        b.jobs[12].update(state="succeeded")
        b.tasks[12][0].update(state="succeeded")
        b.end_stream(h)

    b.replies[("GET", "/v1/jobs/12/log")] = log
    r = weir(b, "run", "true")
    equal((r.code, r.out), (0, "0123456789"), r)
    equal(calls[1]["offset"], "4")


@test
def run_streams_over_attempts_once(b):
    """Followed from before the start, the broker streams all attempts: nothing is shown twice."""
    b.add(job(12, state="waiting", exit_code=None), task(12, state="waiting", attempt=0))
    b.next_id = 12
    calls = []

    def log(h, query):
        calls.append(query)
        b.jobs[12].update(state="succeeded", exit_code=0)
        b.tasks[12][0].update(state="succeeded", attempt=2)
        b.begin_stream(h)
        b.chunk(h, b"first\n")
        b.chunk(h, b"second\n")
        b.end_stream(h)

    b.replies[("GET", "/v1/jobs/12/log")] = log
    r = weir(b, "run", "true")
    equal((r.code, r.out), (0, "first\nsecond\n"), r)
    equal(len(calls), 1)
    check("attempt" not in calls[0], calls)


@test
def run_follows_a_second_attempt(b):
    b.add(job(12, state="running", exit_code=None), task(12, state="running"))
    b.next_id = 12

    def log(h, query):
        if query.get("attempt") == "1":
            b.tasks[12][0].update(attempt=2)
            return b.send(h, 200, b"first\n"[int(query.get("offset", 0)):], "text/plain")
        b.jobs[12].update(state="succeeded")
        b.tasks[12][0].update(state="succeeded")
        b.send(h, 200, b"second\n"[int(query.get("offset", 0)):], "text/plain")

    b.replies[("GET", "/v1/jobs/12/log")] = log
    r = weir(b, "run", "true")
    equal((r.code, r.out), (0, "first\nsecond\n"), r)
    check("attempt 2 begins" in r.err, r)


def endless(b):
    """A job whose log goes on until it is cancelled."""
    b.add(job(12, state="running", exit_code=None), task(12, state="running"))
    b.next_id = 12

    def log(h, query):
        b.begin_stream(h)
        if int(query.get("offset", 0)) == 0:
            b.chunk(h, b"line\n")
        b.following.set()
        b.cancelled.wait(30)
        b.end_stream(h)

    b.replies[("GET", "/v1/jobs/12/log")] = log


@test
def run_interrupted_without_a_terminal_cancels(b):
    endless(b)
    p = subprocess.Popen([WEIR, "run", "true"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
                         env=env_of(b), start_new_session=True)
    check(b.following.wait(20), "the log is not followed")
    equal(p.stdout.read(5), b"line\n")
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=30)
    equal(p.returncode, 143, err)
    check(b.cancelled.is_set(), "not cancelled")


class Skip(Exception):
    """What the test needs is not there; the text says what."""


def on_terminal(b, *args, **env):
    try:
        pid, fd = pty.fork()
    except OSError as why:
        raise Skip(f"no pseudo terminal can be had: {why}") from why
    if pid == 0:
        os.execve(WEIR, [WEIR, *args], env_of(b, TERM="xterm", **env))
    return pid, fd


def read_until(fd, pattern, limit_s=20):
    text = b""
    end = time.monotonic() + limit_s
    while not re.search(pattern, text):
        left = end - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            raise AssertionError(f"no {pattern!r} in {text!r}")
        try:
            piece = os.read(fd, 4096)
        except OSError:
            piece = b""
        if not piece:
            raise AssertionError(f"ended without {pattern!r}: {text!r}")
        text += piece
    return text


def exit_code(pid, fd):
    try:
        while os.read(fd, 4096):
            pass
    except OSError:
        pass
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@test
def run_ctrl_c_asks_and_detaches(b):
    endless(b)
    pid, fd = on_terminal(b, "run", "true")
    read_until(fd, rb"line\r\n")
    os.write(fd, b"\x03")
    read_until(fd, rb"\(c\)ancel it, \(d\)etach")
    os.write(fd, b"d\n")
    read_until(fd, rb"weir logs -f 12")
    equal(exit_code(pid, fd), 130)
    check(not b.cancelled.is_set(), "cancelled")


@test
def run_ctrl_c_twice_cancels(b):
    endless(b)
    pid, fd = on_terminal(b, "run", "true")
    read_until(fd, rb"line\r\n")
    os.write(fd, b"\x03")
    read_until(fd, rb"\(c\)ancel it")
    os.write(fd, b"\x03")
    equal(exit_code(pid, fd), 143)
    check(b.cancelled.is_set(), "not cancelled")


@test
def run_ctrl_c_goes_on(b):
    endless(b)
    pid, fd = on_terminal(b, "run", "true")
    read_until(fd, rb"line\r\n")
    os.write(fd, b"\x03")
    read_until(fd, rb"\(g\)o on")
    os.write(fd, b"g\n")
    b.jobs[12].update(state="succeeded", exit_code=0)
    b.tasks[12][0].update(state="succeeded", exit_code=0)
    b.cancelled.set()  # only ends the stream
    equal(exit_code(pid, fd), 0)
    check(not any(r[1].endswith("/cancel") for r in b.requests), "cancelled")


@test
def run_says_why_it_waits(b):
    endless(b)
    b.replies[("GET", "/v1/jobs/12/explain")] = (200, {"job": 12, "items": [], "now": {"text": "3 tasks are ahead"}})
    del b.replies[("GET", "/v1/jobs/12/log")]
    pid, fd = on_terminal(b, "run", "true")
    read_until(fd, rb"job 12: 3 tasks are ahead")
    os.kill(pid, signal.SIGHUP)
    equal(exit_code(pid, fd), 130)


# ---- logs, wait, cancel ----

@test
def logs_of_a_job_and_a_task(b):
    b.add(job(12, tasks=2, array="0-1"), task(12, 0), task(12, 1, state="waiting"))
    b.logs[(12, 0, 1)] = b"zero\n"
    b.logs[(12, 0, 2)] = b"again\n"
    equal(weir(b, "logs", "12_0").out, "zero\n")
    equal(weir(b, "logs", "12_0", "--attempt=2").out, "again\n")
    r = weir(b, "logs", "12")
    equal((r.code, r.out), (0, "12_0| zero\n"), r)
    r = weir(b, "logs", "12_1")
    equal(r.code, 3, r)
    r = weir(b, "logs", "x")
    equal(r.code, 2, r)


@test
def logs_to_a_full_disk_fail(b):
    if not os.path.exists("/dev/full"):
        return
    b.add(job(12), task(12))
    b.logs[(12, None, 1)] = b"zero\n"
    with open("/dev/full", "w") as full:
        p = subprocess.run([WEIR, "logs", "12"], stdout=full, stderr=subprocess.PIPE, env=env_of(b), timeout=60)
        equal(p.returncode, 74, p)
        p = subprocess.run([WEIR, "jobs"], stdout=full, stderr=subprocess.PIPE, env=env_of(b), timeout=60)
        equal(p.returncode, 74, p)


@test
def wait_exits_as_the_first_that_failed(b):
    b.add(job(12), task(12))
    b.add(job(13, state="failed", exit_code=5), task(13, state="failed", exit_code=5))
    b.add(job(14, state="cancelled", exit_code=None), task(14, state="cancelled"))
    equal(weir(b, "wait", "12").code, 0)
    r = weir(b, "wait", "12", "13", "14")
    equal(r.code, 5, r)
    equal(weir(b, "wait", "14").code, 143)
    equal([j["id"] for j in json.loads(weir(b, "wait", "12", "13", "--json").out)], [12, 13])


@test
def wait_gives_up_at_its_timeout(b):
    b.add(job(12, state="running"), task(12, state="running"))

    def wait(h, query):
        time.sleep(min(int(query["timeout_s"]), 0.1))
        b.send(h, 200, b.jobs[12])

    b.replies[("GET", "/v1/jobs/12/wait")] = wait
    r = weir(b, "wait", "--timeout", "300ms", "12")
    equal(r.code, 69, r)


@test
def cancel_goes_on_after_a_failure(b):
    b.add(job(12), task(12))
    b.add(job(14), task(14, 3))
    r = weir(b, "cancel", "12", "99", "14_3")
    equal(r.code, 3, r)
    check("99" in r.err, r)
    equal([(q[1], q[2]) for q in b.requests],
          [("/v1/jobs/12/cancel", {}), ("/v1/jobs/99/cancel", {}), ("/v1/jobs/14/cancel", {"task": "3"})])


# ---- errors ----

@test
def no_broker(b):
    r = weir(None, "jobs", WEIR_URL="http://127.0.0.1:9")
    equal((r.code, r.out), (69, ""), r)
    check("no broker answers at http://127.0.0.1:9: start one with 'weir serve', or set WEIR_URL" in r.err, r)


@test
def not_a_broker(b):
    b.replies[("GET", "/v1/jobs")] = (200, "<html>hello</html>")
    r = weir(b, "jobs")
    equal(r.code, 74, r)
    check("is not a weir broker" in r.err, r)
    b.replies[("GET", "/v1/jobs")] = (404, "<html>hello</html>")
    r = weir(b, "jobs")
    check("is not a weir broker" in r.err and "404" in r.err, r)
    b.replies[("GET", "/v1/jobs")] = (200, "{}")
    r = weir(b, "jobs")
    equal(r.code, 74, r)


@test
def wrong_types_in_answers_do_no_harm(b):
    b.replies[("GET", "/v1/jobs")] = (200, {"items": [1, None, "x", {"id": "x", "cost_micro": [], "state": 5}], "next": 7})
    r = weir(b, "jobs")
    equal(r.code, 0, r)
    golden("jobs-odd.txt", r.out)


@test
def a_cursor_that_does_not_move_ends(b):
    b.replies[("GET", "/v1/jobs")] = (200, {"items": [job(1)], "next": "same"})
    r = weir(b, "jobs", "--all", "-q")
    equal(r.code, 0, r)


@test
def tokens(b):
    b.token = "secret"
    r = weir(b, "jobs")
    equal(r.code, 77, r)
    check("set WEIR_TOKEN" in r.err, r)
    r = weir(b, "jobs", WEIR_TOKEN="wrong")
    equal(r.code, 77, r)
    check("check WEIR_TOKEN" in r.err and "wrong" not in r.err, r)
    equal(weir(b, "jobs", WEIR_TOKEN="secret").code, 0)
    with tempfile.TemporaryDirectory() as d:
        os.makedirs(d + "/weir")
        with open(d + "/weir/token", "w") as f:
            f.write("secret\n")
        equal(weir(b, "jobs", XDG_DATA_HOME=d).code, 0)


@test
def a_found_token_of_another_broker(b):
    b.unknown_token = "other"
    equal(weir(b, "jobs", WEIR_TOKEN="other").code, 77)
    with tempfile.TemporaryDirectory() as d:
        os.makedirs(d + "/weir")
        with open(d + "/weir/token", "w") as f:
            f.write("other\n")
        equal(weir(b, "jobs", XDG_DATA_HOME=d).code, 0)


@test
def bad_urls(b):
    for url in ("ftp://x", "http://a b", "http://x/?q"):
        r = weir(None, "jobs", "--url", url)
        equal(r.code, 2, r)


@test
def unknown_words(b):
    r = weir(b, "job")
    equal((r.code, r.err), (2, "weir: there is no command 'job'; did you mean 'jobs'?\n"))
    r = weir(b, "jobs", "--stat", "x")
    equal((r.code, r.err), (2, "weir: jobs: unknown option '--stat'; did you mean '--state'?\n"))
    r = weir(b, "jobs", "extra")
    equal(r.code, 2, r)
    r = weir(b, "show")
    equal((r.code, r.err), (2, "weir: show: an argument is missing; usage: weir show [OPTION]... JOB[_INDEX]...\n"))


# ---- explain ----

EXPLAIN = {"job": 12, "items": [{
    "seq": 1, "at": fake_broker.T0, "task": "12_7", "attempt": 1, "decision": "start", "node": "host1", "lease": None,
    "reason": None, "queue_ahead": 0, "expected_run_s": 60, "margin_micro": 120000, "considered": 3,
    "rejected": {"wrong_gpu": 1}, "text": "Owned GPUs are free and cost least.",
    "candidates": [
        {"kind": "owned_now", "verdict": "chosen", "verdict_text": "cheapest", "node": "host1", "offer": None,
         "start_delay_s": 0, "run_micro": 1, "boot_micro": 0, "egress_micro": 0, "reclaim_micro": 0, "wait_micro": 0,
         "shadow_micro": 0, "total_micro": 1},
        {"kind": "lease_new", "verdict": "dearer", "verdict_text": "costs more", "node": None,
         "offer": {"provider": "aws", "region": "us-east-1", "instance_type": "p4d.24xlarge", "market": "spot",
                   "price_micro_per_hour": 21957642, "source": "s", "as_of": fake_broker.T0},
         "start_delay_s": 90, "run_micro": 110000, "boot_micro": 10001, "egress_micro": 0, "reclaim_micro": 0,
         "wait_micro": 0, "shadow_micro": 0, "total_micro": 120001}]}], "now": None}


@test
def explain(b):
    b.add(job(12), task(12, 7))
    b.replies[("GET", "/v1/jobs/12/explain")] = (200, EXPLAIN)
    r = weir(b, "explain", "12_7")
    equal(r.code, 0, r)
    golden("explain.txt", r.out)
    equal(json.loads(weir(b, "explain", "12_7", "--json").out), EXPLAIN)
    equal(b.requests[0][2], {"limit": "1000", "task": "7"})


# ---- places, prices, money ----

def lists(b):
    b.replies[("GET", "/v1/status")] = (200, {
        "version": "0.1.0", "uptime_s": 3700, "listen": "127.0.0.1:7070", "data": "/d", "currency": "EUR",
        "jobs": {"waiting": 2, "running": 1}, "tasks": {"waiting": 20, "running": 3}, "nodes": {"up": 1, "lost": 1},
        "gpus": {"total": 4, "free": 3}, "leases": 1, "spend_micro_per_hour": 1500000,
        "store": {"schema": 1, "bytes": 1, "free_bytes": 1},
        "checks": [{"name": "store", "ok": True, "text": "1 MB", "remedy": None},
                   {"name": "prices", "ok": False, "text": "older than 30 days", "remedy": "import newer ones"}],
        "rss_bytes": 1})
    b.replies[("GET", "/v1/pools")] = (200, {"items": [
        {"name": "local", "kind": "placed", "nodes": 1, "gpus": 4, "gpus_free": 3, "cpu_milli": 16500, "running": 1,
         "rate_micro_per_hour": 1234567}], "next": None})
    b.replies[("GET", "/v1/nodes")] = (200, {"items": [
        {"id": 5, "name": "host1", "pool": "local", "state": "up", "gpu": "A100", "gpus": 4, "gpus_free": 3,
         "gpu_mem_mib": 40960, "cpu_milli": 16000, "cpu_free_milli": 15500, "mem_mib": 64000, "mem_free_mib": 64000,
         "declared": True, "lease": None, "running": 1, "since": fake_broker.T0, "seen": fake_broker.T1,
         "address": "127.0.0.1", "energy": "modelled", "rate_full_micro_per_hour": 1234567, "rate_marginal_micro_per_hour": 1},
        {"id": 1003, "name": "rented", "pool": "sandbox", "state": "draining", "gpu": None, "gpus": 0, "gpus_free": 0,
         "gpu_mem_mib": 0, "cpu_milli": 2000, "cpu_free_milli": 2000, "mem_mib": 800, "mem_free_mib": 800,
         "declared": False, "lease": 3, "running": 0, "since": fake_broker.T0, "seen": fake_broker.T1,
         "address": "127.0.0.1", "energy": "modelled", "rate_full_micro_per_hour": 5, "rate_marginal_micro_per_hour": 1}],
        "next": None})
    b.replies[("GET", "/v1/leases")] = (200, {"items": [
        {"id": 3, "state": "ready", "provider": "sandbox", "region": "eu-west", "instance_type": "p4d.24xlarge",
         "market": "spot", "gpus": 8, "gpu": "A100", "instance": "sbx-1", "node": 1003, "job": 12,
         "price_micro_per_hour": 9999999, "intent": fake_broker.T0, "confirmed": fake_broker.T1, "ready": None,
         "reclaim": None, "ended": None, "expires": fake_broker.T2, "reclaimed": False, "cost_micro": 4200,
         "currency": "EUR", "text": ""}], "next": None})
    for verb in ("drain", "resume", "remove"):
        b.replies[("POST", f"/v1/nodes/5/{verb}")] = (200, {"id": 5, "name": "host1", "state": "draining"})
    b.replies[("POST", "/v1/leases/3/end")] = (200, {"id": 3, "state": "ending"})
    b.replies[("POST", "/v1/sandbox/fault")] = (200, {"what": "x"})


@test
def explain_tells_decisions_of_an_array_once(b):
    b.add(job(12, tasks=30, array="0-29"), *[task(12, i) for i in range(30)])
    record = dict(EXPLAIN["items"][0])
    items = [dict(record, task=f"12_{i}", text=f"Task 12_{i} starts.") for i in range(20)]
    rent = dict(record, decision="rent", candidates=[dict(record["candidates"][1], verdict="chosen")])
    items += [dict(rent, task=f"12_{i}", node=None, text=f"Task 12_{i} is rented for.") for i in range(20, 30)]
    b.replies[("GET", "/v1/jobs/12/explain")] = (200, {"job": 12, "items": items, "now": None})
    r = weir(b, "explain", "12")
    equal(r.code, 0, r)
    check("start of 20 tasks (12_0, 12_1, 12_2, ...), on host1" in r.out, r)
    check("rent of 10 tasks (12_20, 12_21, 12_22, ...)" in r.out, r)
    equal([line for line in r.out.splitlines() if line.startswith("Task ")],
          ["Task 12_0 starts.", "Task 12_20 is rented for."])
    check("weir explain 12_INDEX" in r.out, r)
    equal(b.requests[0][2], {"limit": "1000"})
    r = weir(b, "explain", "--last", "12")
    check(r.out.startswith("rent of task 12_29"), r)


@test
def pools_nodes_leases(b):
    lists(b)
    golden("pools.txt", weir(b, "pools").out)
    golden("nodes.txt", weir(b, "nodes").out)
    golden("leases.txt", weir(b, "leases").out)
    equal([n["id"] for n in json.loads(weir(b, "nodes", "--json").out)], [5, 1003])
    weir(b, "leases", "--all")
    equal(b.requests[-2][2]["all"], "true")


@test
def nodes_are_drained_by_name_or_id(b):
    lists(b)
    r = weir(b, "nodes", "drain", "host1")
    equal((r.code, r.out, r.err), (0, "", "weir: node host1: drain, now draining\n"))
    equal(weir(b, "nodes", "remove", "5").code, 0)
    equal([q[1] for q in b.requests if q[0] == "POST"], ["/v1/nodes/5/drain", "/v1/nodes/5/remove"])
    r = weir(b, "nodes", "drain", "nowhere")
    equal(r.code, 3, r)
    r = weir(b, "nodes", "drian", "host1")
    equal(r.code, 2, r)
    check("did you mean 'drain'" in r.err, r)


@test
def leases_are_ended(b):
    lists(b)
    equal(weir(b, "leases", "end", "3").code, 0)
    equal(b.requests[-1][:2], ("POST", "/v1/leases/3/end"))
    equal(weir(b, "leases", "end", "x").code, 2)
    equal(weir(b, "leases", "end").code, 2)


@test
def sandbox_reclaims_by_node(b):
    lists(b)
    for name in ("rented", "1003", "sbx-1"):
        equal(weir(b, "sandbox", "reclaim", name).code, 0)
        equal(b.requests[-1][3], {"what": "reclaim:sbx-1"})
    equal(weir(b, "sandbox", "reclaim", "host1").code, 3)
    equal(weir(b, "sandbox", "fault", "no_capacity").code, 0)
    equal(b.requests[-1][3], {"what": "no_capacity"})


def offer(**over):
    o = {"provider": "aws", "region": "us-east-1", "zone": None, "instance_type": "p4d.24xlarge", "market": "on_demand",
         "gpu": "A100", "gpus": 8, "gpu_mem_mib": 40960, "cpu_milli": 96000, "mem_mib": 1179648,
         "price_micro_per_hour": 21957642, "price_micro_per_gpu_hour": 2744705, "currency": "USD", "source": "list",
         "as_of": fake_broker.T0, "age_s": 86400, "launchable": False, "verdict": "included", "reason": None}
    o.update(over)
    return o


@test
def offers(b):
    b.replies[("GET", "/v1/offers")] = (200, {"items": [
        offer(provider="local", region=None, instance_type="host1", gpus=4, price_micro_per_hour=4000, launchable=True),
        offer(), offer(verdict="refused", reason="price is zero", price_micro_per_hour=0)], "next": None})
    r = weir(b, "offers", "--gpus", "A100:8", "--spot", "--region", "eu-*", "--all")
    equal(r.code, 0, r)
    golden("offers.txt", r.out)
    equal(b.requests[0][2], {"gpus": "A100:8", "spot": "true", "region": "eu-*", "all": "true", "limit": "50"})
    equal(len(json.loads(weir(b, "offers", "--json").out)), 3)


BILL_ROW = {"gpu_hours_milli": 1500, "used_micro": 3000001, "idle_micro": 0, "waste_boot_micro": 10, "waste_lost_micro": 0,
            "waste_failed_micro": 0, "total_micro": 3000011, "cost_provider_micro": 3000000, "cost_depreciation_micro": 11,
            "cost_energy_micro": 0, "cost_upkeep_micro": 0}


def bill_answer(**over):
    rows = [dict(BILL_ROW, project="vision", **{"tag:team": 'a"b'}),
            dict(BILL_ROW, project="", used_micro=0, idle_micro=7, waste_boot_micro=0, total_micro=7, **{"tag:team": "=1"})]
    o = {"currency": "USD", "from": fake_broker.T0, "to": fake_broker.T2, "by": ["project", "tag:team"], "rows": rows,
         "total": dict(BILL_ROW, idle_micro=7, total_micro=3000018)}
    o.update(over)
    return o


@test
def bill(b):
    b.replies[("GET", "/v1/bill")] = (200, bill_answer())
    r = weir(b, "bill", "--by", "project,tag:team", "--month", "2026-12")
    golden("bill.txt", r.out)
    equal(b.requests[0][2], {"by": "project,tag:team", "from": "2026-12-01T00:00:00Z", "to": "2027-01-01T00:00:00Z"})
    golden("bill.csv", weir(b, "bill", "--format", "csv").out)
    equal(json.loads(weir(b, "bill", "--format", "json").out), bill_answer())
    equal(json.loads(weir(b, "bill", "--json").out), bill_answer())
    for bad in (["--month", "2026-13"], ["--month", "x"], ["--month", "2026-11", "--from", "2026-01-01"],
                ["--from", "2026-02-01", "--to", "2026-01-01"], ["--format", "xml"]):
        equal(weir(b, "bill", *bad).code, 2, bad)


@test
def bill_check(b):
    o = {"balanced": True, "postings": 10, "nodes": 2, "spans": 3, "cost_micro": 6, "used_micro": 1, "idle_micro": 2,
         "waste_micro": 3, "error": None}
    b.replies[("GET", "/v1/bill/check")] = (200, o)
    r = weir(b, "bill", "--check")
    equal(r.code, 0, r)
    golden("bill-check.txt", r.out)
    b.replies[("GET", "/v1/bill/check")] = (200, dict(o, balanced=False, error="node 2: 1 over"))
    r = weir(b, "bill", "--check")
    equal((r.code, r.err), (65, "weir: bill: the ledger is not balanced: node 2: 1 over\n"))


@test
def project(b):
    p = {"name": "a/b c", "weight": 100, "delay_cost_micro_per_hour": 100000, "spent_micro": 1500000, "waste_micro": 0,
         "total_micro": 1500000, "currency": "USD"}
    b.replies[("GET", "/v1/projects")] = (200, {"items": [p], "next": None})
    golden("projects.txt", weir(b, "project").out)
    path = "/v1/projects/a%2Fb%20c"
    b.replies[("GET", path)] = (200, dict(p, by_pool=[{"pool": "local", "total_micro": 1500000}]))
    b.replies[("PUT", path)] = (200, p)
    golden("project.txt", weir(b, "project", "show", "a/b c").out)
    r = weir(b, "project", "set", "a/b c", "--weight", "200", "--delay-cost", "2.50")
    equal(r.code, 0, r)
    equal(b.requests[-1][3], {"weight": 200, "delay_cost": "2.500000"})
    equal(weir(b, "project", "set", "x").code, 2)
    equal(weir(b, "project", "frob").code, 2)


@test
def top_once(b):
    lists(b)
    b.add(job(12), task(12))
    r = weir(b, "top")
    equal(r.code, 0, r)
    golden("top.txt", r.out.replace(b.url, "URL"))
    equal(json.loads(weir(b, "top", "--json").out)["status"]["version"], "0.1.0")


@test
def top_live_ends_with_q(b):
    lists(b)
    b.add(job(12), task(12))
    pid, fd = on_terminal(b, "top", "--interval", "100ms")
    read_until(fd, rb"GPUs 1/4 busy")
    read_until(fd, rb"GPUs 1/4 busy")
    os.write(fd, b"q")
    read_until(fd, rb"\x1b\[\?25h\x1b\[\?1049l")
    equal(exit_code(pid, fd), 0)


def event(id, **over):
    o = {"id": id, "at": fake_broker.T0, "kind": "task.started", "job": 12, "index": 7, "node": "host1", "lease": None, "text": ""}
    o.update(over)
    return o


@test
def events(b):
    b.replies[("GET", "/v1/events")] = (200, {"items": [event(1), event(2, kind="lease.ended", job=None, index=None, lease=3,
                                                                       node=None, text="by\x1b[31m itself")], "next": None})
    golden("events.txt", weir(b, "events", "--job", "12").out)
    equal(b.requests[0][2], {"job": "12", "limit": "1000"})
    equal(len(json.loads(weir(b, "events", "--json").out)), 2)


@test
def events_follow_goes_on_after_a_break(b):
    calls = []

    def stream(h, query):
        calls.append(query)
        b.begin_stream(h, "application/x-ndjson")
        if len(calls) == 1:
            b.chunk(h, json.dumps(event(1)).encode() + b"\n" + b'{"id": 2, "ki')
            h.connection.shutdown(socket.SHUT_RDWR)
            h.close_connection = True
            return
        b.chunk(h, json.dumps(event(2, kind="the.second")).encode() + b"\n")
        b.cancelled.wait(30)

    b.replies[("GET", "/v1/events")] = stream
    p = subprocess.Popen([WEIR, "events", "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env_of(b))
    check(b"task.started" in p.stdout.readline(), "first event")
    check(b"the.second" in p.stdout.readline(), "second event")
    p.terminate()
    p.communicate(timeout=30)
    equal(calls[1]["after"], "1")


@test
def doctor(b):
    lists(b)
    r = weir(b, "doctor")
    equal(r.code, 1, r)  # a lost node and an old price list
    check("import newer ones" in r.out and "1 node up" in r.out, r)
    o = json.loads(weir(b, "doctor", "--json").out)
    check(not o["ok"], o)
    names = {c["name"] for c in o["checks"]}
    check({"broker", "store", "prices", "data", "config", "gpu driver", "containers", "cgroup", "clock"} <= names, names)
    r = weir(None, "doctor", WEIR_URL="http://127.0.0.1:9")
    equal(r.code, 1, r)
    check("-> weir serve" in r.out, r)
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        r = weir(None, "doctor", "--data", d)
        check("others may look into it" in r.out, r)


# ---- words about the commands ----

def commands():
    return re.findall(r"^  ([a-z]+) +\S", weir(None, "help").out.split("Environment:")[0], re.M)


@test
def help_of_every_command(b):
    names = commands()
    check({"run", "submit", "jobs", "show", "logs", "wait", "cancel", "explain", "offers", "pools", "nodes", "leases", "top",
           "events", "bill", "project", "doctor", "completion", "help", "version"} <= set(names), names)
    for name in names:
        r = weir(None, name, "--help")
        equal((r.code, r.err), (0, ""), name)
        check(r.out.startswith(f"usage: weir {name}"), r)
        check("--json" in r.out, r)
        equal(weir(None, "help", name).out, r.out)
        for line in r.out.splitlines():
            check(len(line) <= 130, line)
    equal(weir(None).code, 2)
    equal(weir(None, "--version").out, weir(None, "version").out)
    equal(weir(None, "help", "nothing").code, 2)


@test
def man_pages_say_what_help_says(b):
    with tempfile.TemporaryDirectory() as d:
        equal(weir(None, "help", "--man", d).code, 0)
        equal(sorted(os.listdir(d)), sorted(["weir.1"] + [f"weir-{n}.1" for n in commands()]))
        for name in commands():
            with open(f"{d}/weir-{name}.1") as f:
                page = f.read()
            plain = page.replace("\\-", "-")
            for option in re.findall(r"(?<!\S)--[a-z-]+", weir(None, name, "--help").out.split("Options:")[1].split("Examples:")[0]):
                check(option in plain, f"{name}: {option} is not in the man page")
            for macro in (".TH", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS", ".SH EXIT STATUS"):
                check(macro in page, f"{name}: {macro}")
            for line in page.splitlines():
                check(not line.startswith(".") or re.match(r"\.(TH|SH|TP|PP|nf|fi|\\\")", line), f"{name}: {line}")
    equal(weir(None, "help", "--man", "/nonexistent/man").code, 3)


@test
def the_guide_names_every_command(b):
    with open(os.path.join(HERE, "..", "..", "..", "docs", "guide", "commands.md")) as f:
        guide = f.read()
    equal(set(re.findall(r"^\| `weir ([a-z]+)", guide, re.M)), set(commands()))
    for name, options in re.findall(r"`weir ([a-z]+)([^`|]*)`", guide):
        text = weir(None, name, "--help").out
        for option in re.findall(r"(?<!\S)--[a-z-]+", options.split(" -- ")[0]):
            check(option in text, f"the guide names {option} of {name}")
    exits = dict(re.findall(r"^\| (\d+) \| ([^|]+) \|", guide, re.M))
    with tempfile.TemporaryDirectory() as d:
        weir(None, "help", "--man", d)
        with open(d + "/weir.1") as f:
            page = f.read().replace("\\-", "-")
    for code in re.findall(r"^\.TP\n(\d+)$", page, re.M):
        check(code in exits, f"exit code {code} is not in the guide")


@test
def completion_scripts_are_well_formed(b):
    for shell in ("bash", "zsh", "fish"):
        r = weir(None, "completion", shell)
        equal(r.code, 0)
        check(all(name in r.out for name in commands()), shell)
    equal(weir(None, "completion", "tcsh").code, 2)
    script = weir(None, "completion", "bash").out
    probe = script + """
complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _weir; echo "${COMPREPLY[*]}"; }
complete_words weir su
complete_words weir jobs --st
complete_words weir jobs --state ru
complete_words weir nodes dr
complete_words weir completion z
"""
    p = subprocess.run(["bash", "-c", probe], capture_output=True, timeout=30)
    equal(p.stdout.decode().splitlines(), ["submit", "--state", "running", "drain", "zsh"], p)


@test
def examples_in_help_parse(b):
    """Every example that begins with weir uses options that exist."""
    for name in commands():
        text = weir(None, name, "--help").out
        for line in text.split("Examples:")[1].splitlines() if "Examples:" in text else []:
            m = re.match(r"  (weir [a-z]+ .*)", line)
            words = m.group(1).split() if m else []
            own = words[2:words.index("--")] if "--" in words else words[2:]
            options = re.findall(r"--[a-z-]+", " ".join(own))
            for option in options:
                check(option in text.split("Examples:")[0], f"{name}: {option}")


def main():
    wanted = sys.argv[2:]
    tests = [t for t in TESTS if not wanted or t.__name__ in wanted]
    print(f"1..{len(tests)}")
    failed = 0
    for i, t in enumerate(tests, 1):
        b = Broker()
        try:
            t(b)
            print(f"ok {i} - {t.__name__}", flush=True)
        except Skip as why:
            print(f"ok {i} - {t.__name__} # SKIP {why}", flush=True)
        except Exception:
            failed += 1
            print(f"not ok {i} - {t.__name__}")
            for line in traceback.format_exc().splitlines():
                print("# " + line)
            sys.stdout.flush()
        finally:
            b.cancelled.set()
            b.close()
    return 1 if failed else 0


sys.exit(main())
