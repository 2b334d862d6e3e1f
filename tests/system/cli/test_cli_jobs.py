#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests of the commands that run, follow and end jobs, against a broker of canned answers. Usage: test_cli_jobs.py WEIR [TEST..]; prints TAP."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fake_broker  # noqa: E402
from fake_broker import job, task  # noqa: E402
from trial import check, env_of, equal, exit_code, golden, main, on_terminal, read_until, test, WEIR, weir  # noqa: E402

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
    p = subprocess.run([WEIR, "run", "--gpus", "1", "sh", "-c", "exit 7"], capture_output=True, env=env_of(b), timeout=300)
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
    out, err = p.communicate(timeout=300)
    equal(p.returncode, 143, err)
    check(b.cancelled.is_set(), "not cancelled")


def interrupted(b):
    """weir run on a terminal, which has been asked what to do after Ctrl-C."""
    pid, fd = on_terminal(b, "run", "true")
    read_until(fd, rb"line\r\n")
    os.write(fd, b"\x03")
    read_until(fd, rb"\(c\)ancel it, \(d\)etach.*\(g\)o on")
    return pid, fd


@test
def run_ctrl_c_asks_and_detaches(b):
    endless(b)
    pid, fd = interrupted(b)
    os.write(fd, b"d\n")
    read_until(fd, rb"weir logs -f 12")
    equal(exit_code(pid, fd), 130)
    check(not b.cancelled.is_set(), "cancelled")


@test
def run_ctrl_c_twice_cancels(b):
    endless(b)
    pid, fd = interrupted(b)
    os.write(fd, b"\x03")
    equal(exit_code(pid, fd), 143)
    check(b.cancelled.is_set(), "not cancelled")


@test
def run_ctrl_c_goes_on(b):
    endless(b)
    pid, fd = interrupted(b)
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
        p = subprocess.run([WEIR, "logs", "12"], stdout=full, stderr=subprocess.PIPE, env=env_of(b), timeout=300)
        equal(p.returncode, 74, p)
        p = subprocess.run([WEIR, "jobs"], stdout=full, stderr=subprocess.PIPE, env=env_of(b), timeout=300)
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
def an_attempt_that_no_task_has_had_is_not_found(b):
    b.add(job(13, tasks=2, array="0-1"), task(13, 0), task(13, 1))
    b.logs[(13, 0, 2)] = b"second\n"
    r = weir(b, "logs", "13", "--attempt", "2")
    equal((r.code, r.out), (0, "13_0| second\n"), r)
    r = weir(b, "logs", "13", "--attempt", "3")
    equal((r.code, r.err), (3, "weir: logs: no task of job 13 has had attempt 3\n"), r)


@test
def cancel_says_what_was_cancelled(b):
    table = [  # what is named, the job as it stands then, what is said
        ("12", {}, "job 12 (train): cancelled"),
        ("12", {"state": "running", "counts": {"stopping": 1}}, "job 12 (train): cancelled, its task is stopping with its grace time"),
        ("12", {"state": "running", "counts": {"stopping": 7}}, "job 12 (train): cancelled, 7 tasks are stopping with their grace time"),
        ("12_3", {"state": "running"}, "task 12_3 (train): cancelled, or stopping with its grace time"),
    ]
    for what, over, says in table:
        b.add(job(12), task(12))
        b.replies[("POST", "/v1/jobs/12/cancel")] = (200, job(12, **{"state": "cancelled", **over}))
        r = weir(b, "cancel", what)
        equal((r.code, r.out, r.err), (0, "", f"weir: {says}\n"), r)
        equal([j["id"] for j in json.loads(weir(b, "cancel", "--json", what).out)], [12])


@test
def what_is_no_job_file_is_refused(b):
    with tempfile.TemporaryDirectory() as d:
        r = weir(b, "submit", d)
        equal((r.code, r.err), (2, f"weir: submit: {d} is a directory: name a file\n"), r)
        r = weir(b, "submit", d + "/none.yaml")
        equal(r.code, 3, r)
        check("there is no such file" in r.err, r)
    equal(b.requests, [])


@test
def gpus_are_checked_before_the_broker_is_asked(b):
    table = [  # --gpus, exit code of submit, what is said
        ("-1", 2, "option '--gpus': '-1' is not a GPU such as A100:8, A100-80GB or 2"),
        ("1.5", 2, "option '--gpus': '1.5' is not a GPU such as"),
        ("-A100", 2, "option '--gpus': '-A100' is not a GPU such as"),
        ("A100:-1", 2, "'-1' is not a whole number"),
        ("A100:0", 2, "a node has 1 to 32"),
        ("foo:1", 0, "warning: GPU 'foo' is not a known model; only nodes that name it so can run the job"),
        ("A10O:1", 0, "warning: GPU 'A10O' is not a known model; did you mean 'A10'?"),
        ("RTX4090:2", 0, ""),
        ("none", 0, ""),
    ]
    for gpus, code, says in table:
        r = weir(b, "submit", "--gpus=" + gpus, "-", stdin=b"run: 'true'\n")
        equal(r.code, code, r)
        check(says in r.err and (says or not r.err), r)
        r = weir(b, "run", "--detach", "--gpus=" + gpus, "--", "true")
        equal(r.code, 125 if code else 0, r)
        check(says in r.err and (says or not r.err), r)


@test
def cancel_goes_on_after_a_failure(b):
    b.add(job(12), task(12))
    b.add(job(14), task(14, 3))
    r = weir(b, "cancel", "12", "99", "14_3")
    equal(r.code, 3, r)
    check("99" in r.err, r)
    equal([(q[1], q[2]) for q in b.requests],
          [("/v1/jobs/12/cancel", {}), ("/v1/jobs/99/cancel", {}), ("/v1/jobs/14/cancel", {"task": "3"})])


sys.exit(main())
