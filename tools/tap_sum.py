#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up the TAP lines of a Meson test log and prints 'N passed, N failed' as the last line.

Meson's own summary counts programs; what counts here is single tests. A program that ends badly
without a failed line of its own (a crash, a time-out) counts as one failure.
"""
import json
import re
import sys

LINE = re.compile(r"^(not )?ok\b(.*)$")


def main() -> int:
    passed = failed = skipped = 0
    with open(sys.argv[1], encoding="utf-8") as log:
        for row in map(json.loads, log):
            own_failures = 0
            counted = 0
            if row["result"] == "SKIP":
                skipped += 1  # the whole program: a plan of 1..0
                reason = re.search(r"^1\.\.0\s*#\s*skip(.*)$", row.get("stdout", ""), re.IGNORECASE | re.MULTILINE)
                print(f"{row['name']}: skipped{':' + reason.group(1) if reason else ''}")
                continue
            for line in row.get("stdout", "").splitlines():
                match = LINE.match(line.strip())
                if not match:
                    continue
                counted += 1
                if re.search(r"#\s*skip", match.group(2), re.IGNORECASE):
                    skipped += 1
                elif match.group(1):
                    own_failures += 1
                else:
                    passed += 1
            failed += own_failures
            bad = row["result"] not in ("OK", "SKIP", "EXPECTEDFAIL")
            if bad and own_failures == 0:
                failed += 1
                print(f"{row['name']}: {row['result']}")
            if not bad and counted == 0:
                passed += 1
    if skipped:
        print(f"{skipped} skipped (see the log for the reasons)")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
