#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does the API keep the contract that its OpenAPI document states?

    api_contract.py --venv DIR (--weir PROGRAM | --url URL | --serve PROGRAM)

Two public tools judge: openapi-spec-validator reads the document, schemathesis sends requests made from
it and looks for answers of 5xx and for answers that the document does not allow. They are installed
into a virtual environment in DIR (under the build folder); where that is not possible the checks are
skipped by name.

--weir starts a real broker: jobs of several kinds have run on it, and then it goes on without an agent, so
that nothing that the tester makes up is ever run. Afterwards it must still be well, its ledger balanced,
and its end clean. --serve starts a program that prints its URL and serves until its input ends.

Output is TAP. Exit status 0: all passed or skipped.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request

import lib

CHECKS = ",".join([
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
])
# What waits or follows for longer than a tester does; tests/unit/api has these.
EXCLUDED = ["waitJob", "readLog", "listEvents"]


def fetch(url):
    with urllib.request.urlopen(url + "/v1/openapi.json", timeout=10) as reply:
        return json.load(reply)


def validate(python, document):
    code = "import json,sys; from openapi_spec_validator import validate; validate(json.load(sys.stdin))"
    return subprocess.run([python, "-c", code], input=json.dumps(document).encode(), capture_output=True, timeout=600, check=False)


def explore(python, url, examples, seed, excluded, seconds, token=None):
    command = [os.path.join(os.path.dirname(python), "schemathesis"), "run", url + "/v1/openapi.json", "--url", url,
               "--checks", CHECKS, "--max-examples", str(examples), "--seed", str(seed), "--workers", "1", "--no-color",
               "--request-timeout", "60", "--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all",
               "--generation-database", "none"]
    if seconds:
        command += ["--max-time", str(seconds)]
    if token:
        command += ["--header", f"Authorization: Bearer {token}"]
    for name in excluded:
        command += ["--exclude-operation-id", name]
    # It keeps its notes in the working directory.
    folder = os.path.dirname(os.path.dirname(python))
    return subprocess.run(command, capture_output=True, timeout=1500, check=False, cwd=folder)


def report(number, name, result):
    ok = result.returncode == 0
    print(f"{'ok' if ok else 'not ok'} {number} - {name}")
    if ok:
        # How much was tried: a run that tried nothing must not look like a good one.
        for line in result.stdout.decode(errors="replace").splitlines():
            if re.search(r"Test cases:|Operations:|generated", line):
                print("# " + line.strip())
    else:
        for line in (result.stdout + result.stderr).decode(errors="replace").splitlines()[-150:]:
            print("# " + line)
    sys.stdout.flush()
    return ok


@contextlib.contextmanager
def broker(weir):
    """A broker with something in every list: ended, failed, cancelled and waiting jobs, nodes, a project, a ledger."""
    with lib.Broker(str(pathlib.Path(weir).resolve())) as b:
        lib.until("the own node", lambda: b.get("/v1/nodes")["items"])
        b.wait(b.submit({"name": "array", "array": "0-3", "resources": {"accelerators": {"A100": 1}}, "run": "echo $WEIR_TASK_INDEX"}))
        b.wait(b.submit({"name": "fails", "project": "vision", "tags": {"team": "red"}, "run": "exit 3"}))
        b.stop()
        b.args.append("--no-agent")
        b.start()
        b.submit({"name": "waits", "resources": {"accelerators": {"A100": 4}}, "run": "true"})
        b.ok("cancel", b.submit({"name": "cancelled", "run": "true"}))
        b.ok("user", "add", "ada", "--project", "default:owner")
        yield b.url, b.json("token", "create", "--user", "ada")["token"]
        assert b.get("/v1/health")["status"] == "ok"
        b.balanced()


@contextlib.contextmanager
def program(path):
    """A program that prints its URL."""
    server = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield server.stdout.readline().decode().strip(), None
    finally:
        server.stdin.close()
        code = server.wait(timeout=60)
    assert code == 0, f"{path} ended with {code}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--venv", required=True)
    parser.add_argument("--weir")
    parser.add_argument("--url")
    parser.add_argument("--serve")
    parser.add_argument("--exclude", action="append", default=[], metavar="OPERATION",
                        help="leave this operation out; submitJob runs what the tester makes up, unless all nodes are drained")
    parser.add_argument("--examples", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, help="how long to try at most")
    args = parser.parse_args()
    python, why = lib.make_venv(os.path.abspath(args.venv), "contract")
    if python is None:
        print(f"1..0 # SKIP openapi-spec-validator and schemathesis cannot be installed: {why}")
        return 0
    target = broker(args.weir) if args.weir else program(args.serve) if args.serve else contextlib.nullcontext((args.url, None))
    print("1..4")
    ok = True
    try:
        with target as (url, token):
            ok = report(1, "openapi-spec-validator accepts the document", validate(python, fetch(url)))
            found = explore(python, url, args.examples, args.seed, EXCLUDED + args.exclude, args.seconds)
            ok = report(2, "schemathesis finds no breach of the document", found) and ok
            if token:
                found = explore(python, url, args.examples, args.seed + 1, EXCLUDED + args.exclude, args.seconds, token)
                ok = report(3, "nor with the token of a plain user", found) and ok
            else:
                print("ok 3 - nor with the token of a plain user # SKIP there is none")
    except Exception as why:
        ok = False
        for line in str(why).splitlines():
            print("# " + line)
        print("not ok 4 - the server is well afterwards")
    else:
        print("ok 4 - the server is well afterwards")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
