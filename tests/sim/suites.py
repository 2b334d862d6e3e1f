# SPDX-License-Identifier: Apache-2.0
"""What the tests of the simulator's suites share: the public traces, where they are beside the project, and running a suite."""
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
import lib  # noqa: E402


def data(name):
    """The folder of the public traces, in which name stands."""
    for parent in HERE.parents:
        if (parent / "shared/data" / name).exists():
            return parent / "shared/data"
    raise lib.Skip(f"shared/data/{name} is not beside the project")


def output_of(weir, suite, *args):
    """The JSON of a run, as it was printed."""
    result = subprocess.run([weir, "sim", "--suite", suite, "--json", *map(str, args)], capture_output=True, text=True, timeout=1200, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def sim(weir, suite, *args):
    return json.loads(output_of(weir, suite, *args))
