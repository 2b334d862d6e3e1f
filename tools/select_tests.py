#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns what was asked of './dev test' into words for 'meson test': suites into the names of their tests, options
as they are (--timeout-multiplier=4). A word that names nothing is refused: it would run nothing, and pass.

usage: select_tests.py BUILD-DIR [WORD..]
"""
import difflib
import json
import subprocess
import sys


def main() -> int:
    tests = json.loads(subprocess.run(["meson", "introspect", "--tests", sys.argv[1]], check=True, capture_output=True, text=True).stdout)
    suites = {suite.split(":")[-1] for test in tests for suite in test["suite"]}
    names = {test["name"] for test in tests}
    words = []
    for word in sys.argv[2:]:
        if word == "--suite":
            continue  # the name that follows says it
        if word.startswith("-") or word in names:
            words.append(word)
        elif word in suites:  # by name: meson would run only what is of the suites and of the names
            words += [test["name"] for test in tests if word in (suite.split(":")[-1] for suite in test["suite"])]
        else:
            near = difflib.get_close_matches(word, suites | names, 1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            print(f"dev: there is no suite or test '{word}'{hint} The suites are: {', '.join(sorted(suites))}", file=sys.stderr)
            return 2
    print(" ".join(words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
