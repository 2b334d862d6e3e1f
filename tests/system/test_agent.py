#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The agent as a real process with real tasks, against a broker made for the test. TAP on stdout.

usage: test_agent.py AGENT_PROGRAM [TEST ...]
"""
import errno
import functools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lib  # noqa: E402
from fake_broker import Broker  # noqa: E402

PROGRAM = sys.argv[1]


class World:
    """A broker, an agent directory, and agents that are ended with the test."""

    def __init__(self, name):
        self.dir = tempfile.mkdtemp(prefix="weir-agent-%s-" % name)
        self.broker = Broker()
        self.agents = []
        self.log = open(os.path.join(self.dir, "agent.err"), "ab")

    def agent(self, join=True, **conf):
        conf = {"url": self.broker.url, "dir": self.dir, "name": "n1", "gpus": "A100:4", **conf}
        before = len(self.broker.joins)
        env = {**os.environ, "WEIR_TOKEN": "secret-of-the-agent"}
        env["PATH"] = conf.pop("path", env["PATH"])
        p = subprocess.Popen([PROGRAM] + ["%s=%s" % kv for kv in conf.items()], stdin=subprocess.DEVNULL,
                             stdout=self.log, stderr=self.log, env=env)
        self.agents.append(p)
        if join:
            self.broker.wait("a join", lambda: len(self.broker.joins) > before)
        return p

    def file(self, name, text="", mode=0o644):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def run_dir(self, run):
        return os.path.join(self.dir, "runs", "%(job)d_%(ordinal)d_%(attempt)d" % run)

    def close(self):
        for p in self.agents:
            if p.poll() is None:
                p.kill()
            p.wait(120)
        subprocess.run([PROGRAM, "kill=" + self.dir], timeout=120)
        self.broker.close()
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def until(what, test, timeout=120):
    """For what only the file system or the process table tells."""
    end = time.monotonic() + timeout
    while not test():
        if time.monotonic() > end:
            raise AssertionError("waited %ss in vain for %s" % (timeout, what))
        time.sleep(0.01)


def free_of(bind):
    """Binds, once the port is free: a program that is being started holds for a moment what its parent has open."""
    end = time.monotonic() + 120
    while True:
        try:
            return bind()
        except OSError as e:
            if e.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise
            time.sleep(0.05)


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def has_text(b, run, text):
    return b.wait("'%s' in the log" % text, lambda: text in b.text(run))


def check(got, want):
    for k, v in want.items():
        assert got[k] == v, "%s is %r, not %r, in %r" % (k, got[k], v, got)


# ---- how tasks end ----
def test_exit_code_and_output_are_reported(w):
    b = w.broker
    w.agent()
    run = b.start(1, {"run": "echo out; echo err >&2; exit 7"}, gpus=[1, 2])
    end = b.ended(run)
    check(end, {"reason": "exit", "exit_code": 7, "signal": 0, "log_bytes": 8})
    assert sorted(b.text(run).split()) == ["err", "out"]
    assert b.heard("started", run)
    assert end["started"] <= end["at"]


def test_own_signal_is_told_from_exit(w):
    b = w.broker
    w.agent()
    check(b.ended(b.start(1, {"run": "kill -SEGV $$"})), {"reason": "signal", "signal": 11, "exit_code": 0})


def test_missing_command_and_directory_are_start_failures(w):
    b = w.broker
    w.agent()
    end = b.ended(b.start(1, {"argv": ["no-such-command-here", "x"]}))
    check(end, {"reason": "start_failed"})
    assert "no-such-command-here" in end["text"]
    end = b.ended(b.start(2, {"run": "true", "workdir": "/no/such/dir"}))
    check(end, {"reason": "start_failed"})
    assert "/no/such/dir" in end["text"] and "does not exist" in end["text"]
    end = b.ended(b.start(3, {"argv": ["/etc/hostname"]}))
    check(end, {"reason": "start_failed"})
    end = b.ended(b.start(4, {"run": "true"}, gpus=[9]))
    check(end, {"reason": "start_failed"})
    assert "GPU 9" in end["text"]


def test_image_without_a_tool_is_a_clear_start_failure(w):
    if any(shutil.which(t) for t in ("podman", "apptainer", "singularity")) or os.path.exists("/var/run/docker.sock"):
        raise lib.Skip("a container tool is installed")
    b = w.broker
    w.agent()
    end = b.ended(b.start(1, {"run": "true", "resources": {"image_id": "docker:busybox"}}))
    check(end, {"reason": "start_failed"})
    assert "podman" in end["text"]


def test_setup_failure_is_told_from_run_failure(w):
    b = w.broker
    w.agent()
    run = b.start(1, {"setup": "echo preparing; exit 3", "run": "echo never"})
    check(b.ended(run), {"reason": "setup_failed", "exit_code": 3})
    assert "never" not in b.text(run) and "preparing" in b.text(run)
    run = b.start(2, {"setup": "echo x > made", "run": "cat made; exit 4"})
    check(b.ended(run), {"reason": "exit", "exit_code": 4})
    assert b.text(run) == "x\n"


def test_time_limit_ends_a_task_that_ignores_signals(w):
    b = w.broker
    w.agent()
    run = b.start(1, {"run": "trap '' TERM; echo deaf; while :; do sleep 1; done",
                      "checkpoint": {"path": "/tmp/none", "grace": "1s"}}, max_duration_us=500000)
    end = b.ended(run)
    check(end, {"reason": "timeout", "signal": 9})
    assert "time limit" in end["text"]
    run = b.start(2, {"run": "sleep 60"}, max_duration_us=300000)
    check(b.ended(run), {"reason": "timeout", "signal": 15})


def test_out_of_memory_is_told(w):
    if not os.access("/sys/fs/cgroup/memory", os.W_OK) and not os.path.exists("/sys/fs/cgroup/memory.max"):
        raise lib.Skip("no memory cgroup")
    b = w.broker
    w.agent()
    hog = w.file("hog.py", "b = bytearray(300 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1\n")
    run = b.start(1, {"argv": [sys.executable, hog], "resources": {"cpus": 1, "memory": "64M"}})
    end = b.ended(run)
    check(end, {"reason": "oom"})
    assert "memory" in end["text"]


# ---- containers: a stand-in for the tool that shows what it was told and runs the command itself ----
FAKE_PODMAN = r'''#!/bin/sh
echo "$@" >> "$FAKE_DIR/podman.calls"
[ "$1" = run ] || exit 0
shift
while [ "$1" != localhost/bb:1 ]; do
  case "$1" in --env|--device|--gpus) shift;; --workdir=*) cd "${1#--workdir=}";; esac
  shift
done
shift
exec "$@"
'''


def with_fake_podman(w):
    os.makedirs(os.path.join(w.dir, "bin"))
    tool = w.file("bin/podman", FAKE_PODMAN.replace("$FAKE_DIR", w.dir), 0o755)
    w.agent(path=os.path.dirname(tool) + ":" + os.environ["PATH"])
    return lambda: open(os.path.join(w.dir, "podman.calls")).read()


def test_a_container_tool_that_gives_up_is_a_start_failure(w):
    b = w.broker
    os.makedirs(os.path.join(w.dir, "bin"))
    tool = w.file("bin/podman", "#!/bin/sh\necho pulling; echo 'Error: no such image' >&2; exit 125\n", 0o755)
    w.agent(path=os.path.dirname(tool) + ":" + os.environ["PATH"])
    run = b.start(1, {"run": "echo never", "resources": {"image_id": "docker:localhost/bb:1"}})
    end = b.ended(run)
    check(end, {"reason": "start_failed", "exit_code": 0, "text": "podman could not start the image 'localhost/bb:1': Error: no such image"})
    assert b.text(run) == "pulling\nError: no such image\n"


def test_container_gets_names_limits_setup_and_command(w):
    b = w.broker
    calls = with_fake_podman(w)
    spec = {"run": "echo run $KEY; exit 4", "setup": "echo setup", "envs": {"KEY": "secret"},
            "resources": {"image_id": "docker:localhost/bb:1", "cpus": 2, "memory": "1G"}}
    run = b.start(1, spec)
    check(b.ended(run), {"reason": "exit", "exit_code": 4})
    assert b.text(run) == "setup\nrun secret\n"
    said = calls()
    assert "--memory=1024m" in said and "--env KEY" in said and "--rm" in said
    assert "secret" not in said.split("/bin/sh")[0]
    run = b.start(2, {**spec, "setup": "exit 9"})
    check(b.ended(run), {"reason": "setup_failed", "exit_code": 9})


def test_what_apptainer_runs_has_the_limits_of_any_task(w):
    if not os.access("/sys/fs/cgroup/memory", os.W_OK) and not os.path.exists("/sys/fs/cgroup/memory.max"):
        raise lib.Skip("no memory cgroup")
    b = w.broker
    os.makedirs(os.path.join(w.dir, "bin"))
    for name in ("sh", "echo", "sleep"):
        os.symlink(shutil.which(name), os.path.join(w.dir, "bin", name))
    w.file("bin/apptainer", "#!/bin/sh\nwhile [ \"${1#docker://}\" = \"$1\" ]; do shift; done\nshift\nexec \"$@\"\n", 0o755)
    w.agent(path=os.path.join(w.dir, "bin"))
    hog = w.file("hog.py", "b = bytearray(300 << 20)\nfor i in range(0, len(b), 4096): b[i] = 1\n")
    run = b.start(1, {"argv": [sys.executable, hog], "resources": {"image_id": "docker:localhost/bb:1", "memory": "64M"}})
    check(b.ended(run), {"reason": "oom"})


def test_stopped_container_is_removed(w):
    b = w.broker
    calls = with_fake_podman(w)
    run = b.start(1, {"run": "trap '' TERM; echo up; while :; do sleep 0.1; done",
                      "resources": {"image_id": "docker:localhost/bb:1"}})
    has_text(b, run, "up")
    b.stop(run, grace_us=200000)
    check(b.ended(run), {"reason": "cancel", "signal": 9})
    name = calls().split("--name=")[1].split()[0]
    assert ("rm --force " + name) in calls()


def test_real_podman_runs_an_image(w):
    image = os.environ.get("WEIR_TEST_IMAGE")
    if shutil.which("podman") is None or image is None:
        raise lib.Skip("no podman, or no WEIR_TEST_IMAGE")
    b = w.broker
    w.agent()
    run = b.start(1, {"run": "echo in $WEIR_JOB_ID; exit 5", "resources": {"image_id": "docker:" + image}})
    check(b.ended(run), {"reason": "exit", "exit_code": 5})
    assert b.text(run) == "in 1\n"


# ---- stops ----
def test_stop_signals_waits_and_kills(w):
    b = w.broker
    w.agent()
    polite = b.start(1, {"run": "trap 'echo saved; exit 0' USR1; echo up; while :; do sleep 0.05; done"})
    has_text(b, polite, "up")
    b.stop(polite, signal=signal.SIGUSR1, reason="preempt")
    check(b.ended(polite), {"reason": "preempt", "exit_code": 0})
    assert "saved" in b.text(polite)
    deaf = b.start(2, {"run": "trap '' TERM; (trap '' TERM; echo child; exec sleep 1000) & wait; sleep 1000"})
    has_text(b, deaf, "child")
    b.stop(deaf, grace_us=300000)
    check(b.ended(deaf), {"reason": "cancel", "signal": 9})


def test_a_stop_that_cannot_be_written_down_arrives(w):
    b = w.broker
    for how in ("child", "adopted"):
        first = w.agent()
        run = b.start(1 if how == "child" else 2, {"run": "trap 'echo heard; exit 0' TERM; echo up; while :; do sleep 0.05; done"})
        has_text(b, run, "up")
        if how == "adopted":
            first.kill()
            first.wait(120)
            w.agent()
        os.mkdir(os.path.join(w.run_dir(run), "stop.new"))  # as a full disk: the file cannot be made
        b.stop(run, grace_us=5000000, reason="preempt")
        check(b.ended(run), {"reason": "preempt", "exit_code": 0})
        assert "heard" in b.text(run)
        if how == "child":
            first.terminate()
            first.wait(120)


def test_grace_is_for_all_processes_of_the_task(w):
    # the shell dies of the signal at once; the program behind it needs a moment to save
    b = w.broker
    w.agent()
    saver = w.file("saver.py", "import signal, time, sys\n"
                   "def save(*a):\n    time.sleep(0.4)\n    print('saved', flush=True)\n    sys.exit(0)\n"
                   "signal.signal(signal.SIGUSR1, save)\nprint('up', flush=True)\nwhile True: time.sleep(1)\n")
    run = b.start(1, {"run": "%s %s\necho after" % (sys.executable, saver)})
    has_text(b, run, "up")
    b.stop(run, signal=signal.SIGUSR1, reason="reclaim")
    check(b.ended(run), {"reason": "reclaim"})
    assert "saved" in b.text(run) and "after" not in b.text(run)


def test_nothing_of_a_task_is_left_behind(w):
    b = w.broker
    w.agent()
    pids = os.path.join(w.dir, "pids")
    run = b.start(1, {"run": "setsid sleep 1000 & echo $! >> %s; (setsid sh -c 'echo $$ >> %s; exec sleep 1000' &) ; "
                      "while [ $(wc -l < %s) -lt 2 ]; do sleep 0.01; done; exit 5" % (pids, pids, pids)})
    check(b.ended(run), {"reason": "exit", "exit_code": 5})
    for pid in open(pids).read().split():
        assert not alive(int(pid)), "process %s is left" % pid


def test_stop_of_an_unknown_run_says_that_it_never_ran(w):
    b = w.broker
    w.agent()
    run = {"job": 77, "ordinal": 0, "attempt": 2}
    b.stop(run)
    check(b.ended(run), {"reason": "node_lost"})


# ---- kills ----
def test_killed_agent_is_replaced_and_tasks_go_on(w):
    b = w.broker
    first = w.agent()
    go = os.path.join(w.dir, "go")
    unseen = os.path.join(w.dir, "unseen")
    on = b.start(1, {"run": "echo up; while [ ! -e %s ]; do sleep 0.02; done; echo done; exit 6" % go})
    off = b.start(2, {"run": "echo up; while [ ! -e %s ]; do sleep 0.02; done; exit 8" % unseen})
    stopped = b.start(3, {"run": "echo up; sleep 1000"})
    for run in (on, off, stopped):
        has_text(b, run, "up")
    os.kill(first.pid, signal.SIGSTOP)  # it must not see the second end
    open(unseen, "w").close()
    until("the second task's end", lambda: open(w.run_dir(off) + "/record.jsonl").read().count("\n") == 3)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(120)
    assert not b.heard("ended")
    w.agent()
    states = {r["job"]: r["state"] for r in b.joins[-1]["runs"]}
    assert states == {1: "running", 2: "ended", 3: "running"}, states
    check(b.ended(off), {"reason": "exit", "exit_code": 8})
    b.stop(stopped)
    check(b.ended(stopped), {"reason": "cancel", "signal": 15})
    open(go, "w").close()
    check(b.ended(on), {"reason": "exit", "exit_code": 6})
    assert b.text(on) == "up\ndone\n"


def test_repeated_start_runs_once(w):
    b = w.broker
    first = w.agent()
    count = os.path.join(w.dir, "count")
    spec = {"run": "echo x >> %s; exit 2" % count}
    run = b.start(1, spec)
    b.ended(run)
    b.start(1, spec)
    b.wait("the end again", lambda: len(b.heard("ended", run)) >= 2)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(120)
    w.agent()
    b.start(1, spec)
    b.wait("the end once more", lambda: len(b.heard("ended", run)) >= 3)
    assert open(count).read() == "x\n"


def test_killed_supervisor_is_node_lost(w):
    b = w.broker
    w.agent()
    run = b.start(1, {"run": "(setsid sleep 1000 & echo child $!); echo up $$; sleep 1000"})
    has_text(b, run, "up")
    words = b.text(run).split()
    pids = [int(words[words.index("child") + 1]), int(words[words.index("up") + 1])]
    os.kill(b.heard("started", run)[0]["pid"], signal.SIGKILL)
    check(b.ended(run), {"reason": "node_lost"})
    for pid in pids:
        until("the end of %d" % pid, lambda: not alive(pid))


def test_groups_of_killed_supervisors_are_swept(w):
    if not os.access("/sys/fs/cgroup/memory", os.W_OK):
        raise lib.Skip("no version 1 memory cgroup")
    b = w.broker
    first = w.agent()
    run = b.start(1, {"run": "echo up; sleep 1000", "resources": {"cpus": 1, "memory": "64M"}})
    has_text(b, run, "up")
    name = "weir-%s-1_0_1" % b.joins[0]["agent_id"][:8]

    def there():
        return subprocess.run(["find", "/sys/fs/cgroup/memory", "-name", name], capture_output=True, text=True).stdout.strip()
    assert there()
    os.kill(b.heard("started", run)[0]["pid"], signal.SIGKILL)
    check(b.ended(run), {"reason": "node_lost"})
    first.terminate()
    first.wait(120)
    w.agent()
    until("the group to go", lambda: not there())


def test_term_ends_the_agent_and_leaves_tasks(w):
    b = w.broker
    a = w.agent()
    run = b.start(1, {"run": "echo up; sleep 1000"})
    has_text(b, run, "up")
    a.terminate()
    assert a.wait(120) == 0
    pid = b.heard("started", run)[0]["pid"]
    assert alive(pid)
    assert subprocess.run([PROGRAM, "kill=" + w.dir], timeout=120).returncode == 0
    assert not alive(pid)


def test_one_agent_per_directory(w):
    w.agent()
    second = w.agent(join=False)
    assert second.wait(120) != 0
    w.log.flush()
    assert "another agent" in open(os.path.join(w.dir, "agent.err")).read()


# ---- the broker is away ----
def test_reports_and_logs_wait_for_a_broker_that_is_away(w):
    b = w.broker
    w.agent()
    go = os.path.join(w.dir, "go")
    run = b.start(1, {"run": "echo before; while [ ! -e %s ]; do sleep 0.02; done; echo after; exit 3" % go})
    has_text(b, run, "before")
    with b.cond:
        for call in ("join", "sync", "report", "log"):
            b.fail["/v1/agent/" + call] = [503] * 3
        b.session = "gone"  # as after a restart
        b.cond.notify_all()
    open(go, "w").close()
    check(b.ended(run), {"exit_code": 3})
    assert b.text(run) == "before\nafter\n"
    assert len(b.joins) >= 2


def test_restarted_broker_on_the_same_port(w):
    b = w.broker
    w.agent()
    go = os.path.join(w.dir, "go")
    run = b.start(1, {"run": "echo one; while [ ! -e %s ]; do sleep 0.02; done; echo two" % go})
    has_text(b, run, "one")
    port = b.port
    b.close()
    with socket.socket() as kept:  # so that nobody else gets the port meanwhile
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free_of(lambda: kept.bind(("127.0.0.1", port)))
        open(go, "w").close()
        until("the task's end", lambda: open(w.run_dir(run) + "/record.jsonl").read().count("\n") == 3)
    w.broker = b = free_of(lambda: Broker(port))
    check(b.ended(run), {"reason": "exit", "exit_code": 0})
    assert b.text(run) == "one\ntwo\n"


def test_other_protocol_ends_the_agent_with_a_text(w):
    a = w.agent(join=False, protocol=2)
    assert a.wait(120) == 78
    w.log.flush()
    assert "upgrade" in open(os.path.join(w.dir, "agent.err")).read()


def test_unknown_command_is_refused(w):
    b = w.broker
    w.agent()
    b.command(type="dance")
    r = b.wait("a refusal", lambda: b.heard("refused"))[0]
    assert "dance" in r["text"]
    b.command(type="start", run={"job": 0})
    b.wait("a second refusal", lambda: len(b.heard("refused")) >= 2)


# ---- logs ----
def test_log_is_bounded_and_keeps_both_ends(w):
    b = w.broker
    w.agent(log_bytes_max=100000)
    run = b.start(1, {"run": "echo first; i=0; while [ $i -lt 20000 ]; do echo line $i of a long flood; i=$((i+1)); done; echo last"})
    end = b.ended(run)
    check(end, {"reason": "exit"})
    text = b.text(run)
    assert end["log_bytes"] == len(text) <= 100000, (end["log_bytes"], len(text))
    assert text.startswith("first\n") and text.endswith("last\n")
    assert "left out here" in text


def test_large_log_arrives_whole(w):
    b = w.broker
    w.agent()
    run = b.start(1, {"argv": [sys.executable, "-c", "import sys; sys.stdout.write('0123456789' * 300000)"]})
    end = b.ended(run)
    b.wait("the whole log", lambda: len(b.text(run)) == 3000000)
    assert end["log_bytes"] == 3000000
    assert b.text(run) == "0123456789" * 300000


def test_slurm_files_are_written_too(w):
    b = w.broker
    w.agent()
    spec = {"run": "#!/bin/sh\necho out $SLURM_ARRAY_TASK_ID $SLURM_ARRAY_JOB_ID\necho err >&2\n", "origin": "slurm", "name": "sweep",
            "workdir": w.dir, "stdout": "o_%A_%3a_%x.txt", "stderr": "e_%A_%a.txt", "array": "0-9"}
    run = b.start(12, spec, ordinal=7, index=7, array=True, task_count=10, index_max=9)
    check(b.ended(run), {"exit_code": 0})
    assert open(os.path.join(w.dir, "o_12_007_sweep.txt")).read() == "out 7 12\n"
    assert open(os.path.join(w.dir, "e_12_7.txt")).read() == "err\n"
    assert sorted(b.text(run).splitlines()) == ["err", "out 7 12"]


def test_an_output_file_that_is_a_pipe_is_refused(w):
    b = w.broker
    w.agent()
    pipe = os.path.join(w.dir, "pipe")
    os.mkfifo(pipe)
    check(b.ended(b.start(1, {"run": "echo x", "stdout": pipe})), {"reason": "start_failed"})
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    check(b.ended(b.start(2, {"run": "echo x", "stdout": pipe})), {"reason": "start_failed"})
    os.close(reader)
    check(b.ended(b.start(3, {"run": "echo x", "stdout": "/dev/null"})), {"reason": "exit", "exit_code": 0})


def test_forget_deletes_the_run(w):
    b = w.broker
    w.agent()
    run = b.start(1, {"run": "mkdir -p a/b; echo x > a/b/c; echo done"})
    b.ended(run)
    assert os.path.isdir(w.run_dir(run))
    b.forget(run)
    until("the directory to go", lambda: not os.path.exists(w.run_dir(run)))


# ---- environment ----
def test_environment_is_clean_and_says_what_to_use(w):
    b = w.broker
    w.agent(token="very-secret")
    run = b.start(3, {"run": "env", "envs": {"LR": "0.1", "WEIR_JOB_ID": "forged"}}, gpus=[0, 3], user="ada")
    b.ended(run)
    env = dict(line.split("=", 1) for line in b.text(run).splitlines() if "=" in line)
    check(env, {"CUDA_VISIBLE_DEVICES": "0,3", "LR": "0.1", "WEIR_JOB_ID": "3", "WEIR_USER": "ada", "SKYPILOT_NODE_RANK": "0",
                "WEIR_NUM_NODES": "1"})
    assert "secret" not in b.text(run)
    run = b.start(4, {"run": "echo \"[$CUDA_VISIBLE_DEVICES]\""})
    b.ended(run)
    assert b.text(run) == "[]\n"


def test_standard_streams_and_signals_are_ordinary(w):
    b = w.broker
    w.agent()
    run = b.start(1, {"run": "cat; ls /proc/self/fd | wc -l; grep -E '^Sig(Blk|Ign)' /proc/self/status; ulimit -n"})
    b.ended(run)
    lines = b.text(run).split()
    assert lines[0] == "4", lines  # 0, 1, 2 and ls's own
    assert lines[2] == "0000000000000000" and lines[4] == "0000000000000000", lines


# ---- machines ----
def test_checkpoint_is_reported(w):
    b = w.broker
    w.agent()
    path = os.path.join(w.dir, "ckpt")
    run = b.start(1, {"run": "echo 1 > %s; sleep 1000" % path, "checkpoint": {"path": path, "every": "1m"}})
    r = b.wait("a checkpoint", lambda: b.heard("checkpointed", run))[0]
    assert abs(r["at"] / 1e6 - os.stat(path).st_mtime) < 0.01


def test_notice_file_is_reported(w):
    b = w.broker
    notice = os.path.join(w.dir, "notice.json")
    w.agent(notice=notice, lease=4)
    assert b.joins[0]["lease"] == 4
    w.file("notice.json.new", '{"reclaim_at": 1795376700000000}')
    os.rename(notice + ".new", notice)
    r = b.wait("a notice", lambda: b.heard("notice"))[0]
    check(r, {"deadline": 1795376700000000, "kind": "reclaim"})


def test_power_off_stops_tasks_reports_and_ends(w):
    b = w.broker
    a = w.agent()
    run = b.start(1, {"run": "echo up; sleep 1000"})
    has_text(b, run, "up")
    b.command(type="power_off")
    check(b.ended(run), {"reason": "reclaim"})
    assert a.wait(120) == 0


def test_lease_expiry_ends_the_machine_without_a_broker(w):
    b = w.broker
    a = w.agent(lease=4, lease_expires=int((time.time() + 600) * 1e6))
    run = b.start(1, {"run": "echo up; sleep 1000"})
    has_text(b, run, "up")
    pid = b.heard("started", run)[0]["pid"]
    soon = int((time.time() + 2) * 1e6)
    with b.cond:
        b.lease_expires = soon
    b.command(type="dance")  # its answer tells the new end, which the agent has taken in when it speaks of the rest
    b.wait("the agent to have heard", lambda: b.heard("refused"))
    b.close()
    assert a.wait(120) == 0
    assert not alive(pid)
    w.broker = Broker()


def test_energy_is_reported_and_marked_as_modelled(w):
    b = w.broker
    b.report_every_ms = 1000
    w.agent()
    r = b.wait("energy", lambda: b.heard("energy"))[0]
    assert r["modelled"] is True and len(r["gpu_mj"]) == 4 and r["node_mj"] > 0


# ---- many ----
def test_many_tasks_end_exactly_once(w):
    b = w.broker
    w.agent()
    runs = [b.start(9, {"argv": ["/bin/true"]}, ordinal=i, array=True) for i in range(300)]
    b.wait("300 ends", lambda: len(b.heard("ended")) >= 300)
    ends = [tuple(sorted(r["run"].items())) for r in b.heard("ended")]
    assert len(ends) == len(set(ends)) == 300
    for run in runs:
        b.forget(run)
    until("the directories to go", lambda: not os.listdir(os.path.join(w.dir, "runs")))


def in_a_world(name, test):
    w = World(name[:12])
    try:
        test(w)
    except lib.Skip:
        raise
    except Exception:
        w.log.flush()
        sys.stderr.write(open(os.path.join(w.dir, "agent.err"), errors="replace").read()[-2000:])
        raise
    finally:
        w.close()


def main():
    wanted = sys.argv[2:]
    return lib.run([(n, functools.partial(in_a_world, n[5:], f)) for n, f in globals().items() if n.startswith("test_") and (not wanted or any(s in n for s in wanted))])


sys.exit(main())
