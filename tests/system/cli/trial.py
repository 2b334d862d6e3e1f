# SPDX-License-Identifier: Apache-2.0
"""What the tests of the commands share: running weir, in a pipe or on a terminal, and comparing. Prints TAP."""

import functools
import os
import pty
import re
import select
import subprocess
import sys
import time

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # behind: it has a fake_broker of its own
import lib  # noqa: E402
from fake_broker import Broker  # noqa: E402

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
    p = subprocess.run([WEIR, *args], input=stdin, capture_output=True, env=env_of(broker, **env), cwd=cwd, timeout=300)
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


def on_terminal(b, *args, **env):
    try:
        pid, fd = pty.fork()
    except OSError as why:
        raise lib.Skip(f"no pseudo terminal can be had: {why}") from why
    if pid == 0:
        os.execve(WEIR, [WEIR, *args], env_of(b, TERM="xterm", **env))
    return pid, fd


def read_until(fd, pattern, limit_s=120):
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


def main():
    """Runs what is marked as a test, one after the other, each against a fake broker of its own."""
    def call(f):
        b = Broker()
        try:
            f(b)
        finally:
            b.cancelled.set()
            b.close()

    wanted = sys.argv[2:]
    return lib.run([(f.__name__, functools.partial(call, f)) for f in TESTS if not wanted or f.__name__ in wanted], at_once=1)
