#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every libFuzzer target of a build for a while, from its committed corpus.

usage: fuzz.py BUILD [SECONDS] [TARGET ...]      new findings go to BUILD/fuzz/<target>/
"""
import pathlib
import subprocess
import sys


def main() -> int:
    build = pathlib.Path(sys.argv[1])
    args = sys.argv[2:]
    seconds = int(args.pop(0)) if args and args[0].isdigit() else 60
    targets = sorted(p for p in (build / "tests" / "fuzz").iterdir() if p.name.startswith("fuzz_") and p.is_file())
    bad = []
    for target in targets:
        name = target.name.removeprefix("fuzz_")
        if args and name not in args and target.name not in args:
            continue
        work = build / "fuzz" / name
        work.mkdir(parents=True, exist_ok=True)
        corpus = pathlib.Path("tests/fuzz/corpus") / name
        print(f"fuzz {name}: {seconds} s", flush=True)
        command = [str(target), f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048", "-verbosity=0",
                   "-print_final_stats=1", f"-artifact_prefix={work}/", str(work)]
        if corpus.is_dir():
            command.append(str(corpus))
        if subprocess.run(command, check=False).returncode != 0:
            bad.append(name)
    print("nothing was found" if not bad else "findings in: " + ", ".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
