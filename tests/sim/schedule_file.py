# SPDX-License-Identifier: Apache-2.0
"""What the checkers of schedules share: the form of the files that `weir sim --schedule DIR` writes, and how a checker ends."""
import csv
import gzip
import json
import sys

COLUMNS = ["task", "submit", "start", "end", "place", "node", "gpus", "cost"]
SLACK_S = 1e-3  # of times and durations


class Wrong(Exception):
    """The schedule breaks a rule."""


def open_text(path):
    return gzip.open(path, "rt", encoding="utf-8", newline="") if path.endswith(".gz") else open(path, encoding="utf-8", newline="")


def spans_of(path):
    """The spans as they stand, each with its line; those that cannot be are told at once."""
    with open_text(path) as file:
        reader = csv.reader(file)
        header = next(reader, None)
        named = header == [*COLUMNS, "id"]  # what the input calls the task
        if header != COLUMNS and not named:
            raise Wrong(f"{path}: the columns are {header}, not {COLUMNS}")
        for number, row in enumerate(reader, 2):
            if len(row) != len(header):
                raise Wrong(f"{path}:{number}: {len(row)} fields instead of {len(header)}")
            try:
                span = {"task": int(row[0]), "submit": float(row[1]), "start": float(row[2]), "end": float(row[3]), "place": row[4],
                        "node": int(row[5]) if row[5] else None, "gpus": float(row[6]), "cost": float(row[7]), "id": row[8] if named else None, "line": number}
            except ValueError as error:
                raise Wrong(f"{path}:{number}: {error}") from error
            if span["start"] < span["submit"] - SLACK_S:
                raise Wrong(f"{path}:{number}: task {span['task']} starts before it was submitted")
            if span["end"] < span["start"] - SLACK_S:
                raise Wrong(f"{path}:{number}: task {span['task']} ends before it starts")
            if span["gpus"] < 0 or span["cost"] < 0:
                raise Wrong(f"{path}:{number}: negative GPUs or cost")
            yield span


def report(check):
    """Prints the sums that check gives as one line of JSON, or what is wrong. Returns the exit status."""
    try:
        sums = check()
    except Wrong as wrong:
        print(f"WRONG: {wrong}", file=sys.stderr)
        return 1
    print(json.dumps(sums))
    return 0
