# SPDX-License-Identifier: Apache-2.0
"""weir's calls to Compute Engine against the discovery document in Google's own client, and that client against the mock cloud. Skipped
by name where the client cannot be installed."""
import json
import os
import pathlib
import subprocess
import sys

import lib
from lib import Skip
from rented import broker, cloud, only_there

VENV = os.environ.get("GOOGLE_VENV", "")


def test_calls_are_as_google_publishes_them(weir):
    python, why = lib.make_venv(os.path.abspath(VENV), "google")
    if python is None:
        raise Skip(f"google-api-python-client cannot be installed: {why}")
    with cloud("gcp") as c:
        with broker(weir, c) as b:
            assert b.wait(b.submit(only_there("gcp")))["state"] == "succeeded"
            b.ok("down", "--all", "--timeout", "170s")
        calls = c.dir / "calls.json"
        calls.write_text(json.dumps(c.calls()))
        script = pathlib.Path(__file__).with_name("google_client.py")
        result = subprocess.run([python, str(script), str(calls), str(c.dir / "key.json"), c.url], capture_output=True, text=True, timeout=120,
                                check=False)
        assert result.returncode == 0, result.stdout + result.stderr


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
