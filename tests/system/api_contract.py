#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does the API keep the contract that its OpenAPI document states?

    api_contract.py --venv DIR (--url URL | --serve PROGRAM)

Two public tools judge: openapi-spec-validator reads the document, schemathesis sends requests made from
it and looks for answers of 5xx and for answers that the document does not allow. They are installed
into a virtual environment in DIR (under the build folder); where that is not possible the checks are
skipped by name. --serve starts a program that prints its URL and serves until its input ends.

Output is TAP. Exit status 0: all passed or skipped.
"""

import argparse
import json
import os
import subprocess
import sys
import urllib.request

PACKAGES = ["openapi-spec-validator", "schemathesis>=4,<5"]
CHECKS = ",".join([
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",
])
# What waits or follows for longer than a tester does; tests/unit/api has these.
EXCLUDED = ["waitJob", "readLog", "listEvents"]


def make_venv(folder):
    """The python of the environment, or None with the reason."""
    python = os.path.join(folder, "bin", "python3")
    marker = os.path.join(folder, "api-contract.ok")
    if os.path.exists(marker):
        return python, ""
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, capture_output=True, timeout=120)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES],
                       check=True, capture_output=True, timeout=300)
    except (subprocess.SubprocessError, OSError) as e:
        detail = getattr(e, "stderr", b"") or b""
        return None, detail.decode(errors="replace").strip().splitlines()[-1:] or [str(e)]
    with open(marker, "w", encoding="utf-8"):
        pass
    return python, ""


def fetch(url):
    with urllib.request.urlopen(url + "/v1/openapi.json", timeout=10) as reply:
        return json.load(reply)


def validate(python, document):
    code = "import json,sys; from openapi_spec_validator import validate; validate(json.load(sys.stdin))"
    return subprocess.run([python, "-c", code], input=json.dumps(document).encode(), capture_output=True, timeout=120, check=False)


def explore(python, url, examples, seed, excluded):
    command = [os.path.join(os.path.dirname(python), "schemathesis"), "run", url + "/v1/openapi.json", "--url", url,
               "--checks", CHECKS, "--max-examples", str(examples), "--seed", str(seed), "--workers", "1", "--no-color",
               "--request-timeout", "10", "--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all",
               "--generation-database", "none"]
    for name in excluded:
        command += ["--exclude-operation-id", name]
    # It keeps its notes in the working directory.
    folder = os.path.dirname(os.path.dirname(python))
    return subprocess.run(command, capture_output=True, timeout=1500, check=False, cwd=folder)


def report(number, name, result):
    ok = result.returncode == 0
    print(f"{'ok' if ok else 'not ok'} {number} - {name}")
    if not ok:
        for line in (result.stdout + result.stderr).decode(errors="replace").splitlines()[-150:]:
            print("# " + line)
    sys.stdout.flush()
    return ok


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--venv", required=True)
    parser.add_argument("--url")
    parser.add_argument("--serve")
    parser.add_argument("--exclude", action="append", default=[], metavar="OPERATION",
                        help="leave this operation out; submitJob runs what the tester makes up, unless all nodes are drained")
    parser.add_argument("--examples", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    python, why = make_venv(os.path.abspath(args.venv))
    if python is None:
        print(f"1..0 # SKIP openapi-spec-validator and schemathesis cannot be installed: {why}")
        return 0
    server = None
    url = args.url
    if args.serve:
        server = subprocess.Popen([args.serve], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        url = server.stdout.readline().decode().strip()
    try:
        print("1..2")
        ok = report(1, "openapi-spec-validator accepts the document", validate(python, fetch(url)))
        ok = report(2, "schemathesis finds no breach of the document", explore(python, url, args.examples, args.seed, EXCLUDED + args.exclude)) and ok
    finally:
        if server:
            server.stdin.close()
            ok = server.wait(timeout=60) == 0 and ok
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
