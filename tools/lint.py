#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Static checks of the sources. Each check names file and line; the exit status is 1 where any fails.

usage: lint.py BUILD [--quick]      --quick: only what needs no other program than the compiler
"""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What each part may include, lower parts only. Programs may use everything.
ALLOWED = {
    "base": set(),
    "core": {"base"},
    "bill": {"base", "core"},
    "forecast": {"base", "core"},
    "spec": {"base", "core"},
    "store": {"base", "core", "bill", "forecast"},
    "net": {"base"},
    "pool": {"base", "core", "net"},
    "cloud": {"base", "core", "net"},
    "api": {"base", "core", "bill", "forecast", "spec", "store", "net", "pool", "cloud"},
}
PURE = ("core", "bill", "forecast")
PURE_FORBIDDEN_HEADERS = {"base/clock.h", "base/log.h", "time.h", "stdio.h", "unistd.h", "fcntl.h", "pthread.h"}
PURE_FORBIDDEN_SYMBOLS = re.compile(
    r"^(open|fopen|read|write|socket|connect|send|recv|time|clock_gettime|gettimeofday|getenv|secure_getenv|rand|random|"
    r"getrandom|arc4random|pthread_.*|uv_.*|curl_.*|sqlite3_.*|json_.*|printf|fprintf|puts|system|fork|exec.*|sleep|"
    r"nanosleep|weir_clock.*|weir_log.*)(@.*)?$")
BANNED = re.compile(
    r"(?<![\w.>])(strcpy|strncpy|strcat|strncat|sprintf|vsprintf|strtok|strtok_r|atoi|atol|atoll|atof|gets|gmtime|localtime|"
    r"ctime|asctime|alloca|scanf|sscanf|fscanf|rand|srand|system|popen)\s*\(")
STRTO = re.compile(r"(?<![\w.>])strto(l|ll|ul|ull|d|f|ld|imax|umax)\s*\(")
FILE_LINES_MAX = 1100

problems: list[str] = []


def fail(path, line, text):
    problems.append(f"{path.relative_to(ROOT) if path.is_absolute() else path}:{line}: {text}")


def without_comments_and_strings(text: str) -> str:
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def check_sources():
    for path in sorted(ROOT.glob("src/**/*.[ch]")):
        part = path.relative_to(ROOT / "src").parts[0]
        raw = path.read_text(encoding="utf-8")
        code = without_comments_and_strings(raw)
        if not raw.startswith("/* SPDX-License-Identifier: Apache-2.0 */"):
            fail(path, 1, "the SPDX line must come first")
        lines = raw.splitlines()
        if len(lines) > FILE_LINES_MAX:
            fail(path, len(lines), f"over {FILE_LINES_MAX} lines: split it")
        for number, (line, bare) in enumerate(zip(lines, code.splitlines()), 1):
            if line != line.rstrip() or "\t" in line:
                fail(path, number, "tab or trailing space")
            if "//" in bare:
                fail(path, number, "a // comment: uncommitted debugging?")
            if BANNED.search(bare):
                fail(path, number, f"banned call {BANNED.search(bare).group(1)}")
            if STRTO.search(bare) and part != "base":
                fail(path, number, "strto*: use base/parse.h")
            if re.search(r"\b(TODO|FIXME|XXX)\b", line):
                fail(path, number, "unfinished work is absent, not marked")
            if part in PURE[:2] and re.search(r"(?<!\w)(float|double)(?!\w)", bare):
                fail(path, number, "floating point in a part that decides or bills")
        for number, line in enumerate(lines, 1):
            match = re.match(r'#include\s+([<"])([^">]+)[">]', line)
            if not match:
                continue
            header = match.group(2)
            if part in PURE and header in PURE_FORBIDDEN_HEADERS and header != "stdio.h":
                fail(path, number, f"{part} is pure: it may not include {header}")
            if match.group(1) == '"' and "/" in header:
                used = header.split("/")[0]
                if part in ALLOWED and used != part and used in ALLOWED and used not in ALLOWED[part]:
                    fail(path, number, f"{part} may not use {used}")
                if part in ALLOWED and used in ("broker", "agent", "cli", "sim"):
                    fail(path, number, f"{part} may not use a program ({used})")


def check_headers_alone():
    for path in sorted(ROOT.glob("src/**/*.h")):
        result = subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-DWEIR_VERSION=\"\"", "-Isrc", "-fsyntax-only", "-x", "c", "-include",
                                 str(path), "/dev/null"], cwd=ROOT, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            fail(path, 1, "does not compile alone: " + result.stderr.splitlines()[0])


def check_purity(build: pathlib.Path):
    for part in PURE:
        for library in build.glob(f"src/{part}/*.a"):
            result = subprocess.run(["nm", "-u", "--format=posix", str(library)], capture_output=True, text=True, check=True)
            for line in result.stdout.splitlines():
                symbol = line.split(" ")[0]
                if PURE_FORBIDDEN_SYMBOLS.match(symbol):
                    problems.append(f"{library.name}: {part} is pure but uses {symbol}")


def check_build_lists():
    for path in sorted(ROOT.glob("src/**/*.c")):
        text = "".join(p.read_text() for p in (path.parent / "meson.build", path.parent.parent / "meson.build") if p.exists())
        if path.name not in text:
            fail(path, 1, "stands in no meson.build")


def check_blobs():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and path.stat().st_size > 256 * 1024:
            fail(path, 1, "over 256 KiB")


def run_cppcheck():
    if shutil.which("cppcheck") is None:
        problems.append("cppcheck is not installed: run ./dev lint, which installs it")
        return
    result = subprocess.run(["cppcheck", "--quiet", "--std=c11", "--enable=warning,portability", "--inline-suppr", "--error-exitcode=1",
                             "--suppress=missingIncludeSystem", "-j2", "-Isrc", "-D_GNU_SOURCE", '-DWEIR_VERSION=""', "src"],
                            cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        problems.extend(result.stderr.splitlines())


def main() -> int:
    build = pathlib.Path(sys.argv[1])
    check_sources()
    check_headers_alone()
    check_purity(build)
    check_build_lists()
    check_blobs()
    if "--quick" not in sys.argv:
        run_cppcheck()
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
