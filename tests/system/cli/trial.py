# SPDX-License-Identifier: Apache-2.0
"""What the tests of the commands share: running weir, in a pipe or on a terminal, and comparing. Prints TAP."""

import os
import pty
import re
import select
import subprocess
import sys
import time
import traceback

from fake_broker import Broker

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


def until(condition, why, limit_s=120):
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("not within the limit: " + why)
        time.sleep(0.01)


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
