#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Static checks of the sources. Each finding names file and line; the exit status is 1 where there is any.

usage: lint.py BUILD [--quick] [--tap]
    --quick   only what needs no other program than the compiler and nm
    --tap     one TAP line per check, for `meson test`
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What each part may include; ARCHITECTURE.md says the same to people. A part that is not here is an error.
LOWER = {"base", "core", "bill", "forecast", "spec", "store", "net", "cloud"}
ALLOWED = {
    "base": set(),
    "core": {"base"},
    "bill": {"base", "core"},
    "forecast": {"base", "core"},
    "spec": {"base", "core"},
    "store": {"base", "core", "bill", "forecast"},
    "net": {"base"},
    "cloud": {"base", "core", "net", "spec"},
    "api": LOWER,
    "broker": LOWER | {"api"},
    "agent": {"base", "core", "spec", "net"},
    "sim": LOWER,  # cloud for its CSV reader and catalogue
    "cli": {"base", "spec", "net", "cloud", "agent", "broker", "sim"},  # it starts the programs and the sandbox's machines
}
# Headers of other projects, each behind the parts that own the subject.
OUTSIDE = {
    "jansson.h": {"spec", "store", "cloud", "api", "broker", "agent", "cli"},
    "yaml.h": {"spec", "broker"},
    "sqlite3.h": {"store"},
    "microhttpd.h": {"net"},
    "curl/curl.h": {"net"},
    "gnutls/gnutls.h": {"net", "broker"},
    "gnutls/crypto.h": {"net", "broker"},
    "gnutls/x509.h": {"net"},
    "expat.h": {"cloud"},
    "zlib.h": {"cloud"},
    "uv.h": {"net", "cloud", "broker", "agent"},
}
PURE = ("core", "bill", "forecast")
PURE_HEADERS = {"inttypes.h", "limits.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "stdlib.h", "string.h", "math.h"}
IMPURE_BASE = {"base/clock.h", "base/file.h", "base/log.h"}
# Everything that a pure part may take from outside of the project: memory, sorting, and the compiler's own helpers.
PURE_SYMBOLS = re.compile(
    r"^(mem(chr|cmp|cpy|move|set)|str(cmp|len|ncmp|chr)|qsort|bsearch|free|abort|exp|log|log1p|expm1|pow|sqrt|"
    r"_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__(u?divti3|divmodti4|u?modti3|popcountdi2|multi3)|__mem\w+_chk|"
    r"__(asan|ubsan|tsan|sanitizer|sancov|gcov|llvm)_\w+|__tls_get_addr)$")
IMPURE_SYMBOLS = re.compile(r"^weir_(clock|file|log)(_\w+)?$")
# What the base parts that the pure ones link to may not do either, save ending the program with a line on stderr.
BASE_SYMBOLS_FORBIDDEN = re.compile(
    r"^(open(64|at)?|fopen(64)?|read|write|socket|connect|send|recv|time|clock_gettime|gettimeofday|(secure_)?getenv|rand|srand|"
    r"random|getrandom|arc4random\w*|pthread_create|system|popen|fork|exec\w+|sleep|usleep|nanosleep)$")
BANNED = re.compile(
    r"(?<![\w.>])(strcpy|strncpy|stpcpy|strcat|strncat|sprintf|vsprintf|strtok|strtok_r|atoi|atol|atoll|atof|gets|gmtime|localtime|"
    r"ctime|asctime|alloca|v?f?s?scanf|rand|srand|system|popen)\s*\(")
STRTO = re.compile(r"(?<![\w.>])strto(l|ll|ul|ull|d|f|ld|imax|umax)\s*\(")
CLOCK = re.compile(r"(?<![\w.>])(time|clock_gettime|gettimeofday)\s*\(")
GETENV = re.compile(r"(?<![\w.>])((secure_)?getenv|weir_process_env)\s*\(")
PROGRAMS = ("broker", "agent", "cli", "sim")
FILE_LINES_MAX = 1100
BLOB_BYTES_MAX = 256 * 1024


class Finding(list):
    """The findings of one check."""

    def add(self, path, line, text):
        self.append(f"{path.relative_to(ROOT) if path.is_absolute() else path}:{line}: {text}")


def without_comments_and_strings(text: str) -> str:
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def sources(*patterns):
    for pattern in patterns:
        yield from sorted(ROOT.glob(pattern))


def part_of(path):
    return path.relative_to(ROOT / "src").parts[0]


def check_shape(found, _build):
    """shape of the files: SPDX line first, no tabs, no // comments, no marks of unfinished work, length"""
    for path in sources("src/**/*.[ch]", "tests/**/*.[ch]"):
        raw = path.read_text(encoding="utf-8")
        lines = raw.splitlines()
        if not raw.startswith("/* SPDX-License-Identifier: Apache-2.0 */"):
            found.add(path, 1, "the SPDX line must come first")
        if len(lines) > FILE_LINES_MAX and (ROOT / "src") in path.parents:
            found.add(path, len(lines), f"over {FILE_LINES_MAX} lines: split it")
        for number, (line, bare) in enumerate(zip(lines, without_comments_and_strings(raw).splitlines()), 1):
            if line != line.rstrip() or "\t" in line:
                found.add(path, number, "tab or trailing space")
            if "//" in bare:
                found.add(path, number, "a // comment: uncommitted debugging?")
            if re.search(r"\b(TODO|FIXME|XXX)\b", line):
                found.add(path, number, "unfinished work is absent, not marked")
    for path in sources("tests/**/*.c"):
        for number, bare in enumerate(without_comments_and_strings(path.read_text(encoding="utf-8")).splitlines(), 1):
            if re.search(r"(?<!\w)skip\(\)", bare):
                found.add(path, number, "cmocka's skip() counts as a failure: let the test's name end in '# SKIP why'")
    for path in sources("tools/*.py", "tests/**/*.py", "examples/**/*.py"):
        head = path.read_text(encoding="utf-8").splitlines()[:2]
        if not any("SPDX-License-Identifier: Apache-2.0" in line for line in head):
            found.add(path, 1, "the SPDX line must stand in the first two lines")


def check_calls(found, _build):
    """banned calls: unbounded strings, strto* outside base, clocks outside base, the environment outside programs, floats"""
    for path in sources("src/**/*.[ch]"):
        part = part_of(path)
        code = without_comments_and_strings(path.read_text(encoding="utf-8"))
        for number, bare in enumerate(code.splitlines(), 1):
            match = BANNED.search(bare)
            if match:
                found.add(path, number, f"banned call {match.group(1)}")
            if part != "base" and STRTO.search(bare):
                found.add(path, number, "strto*: use base/parse.h")
            if path.name != "clock_os.c" and CLOCK.search(bare):
                found.add(path, number, "reads a clock: take a struct weir_clock or the time")
            if part not in PROGRAMS and path.stem not in ("process", "process_os") and GETENV.search(bare):
                found.add(path, number, "reads the environment: only programs do")
            if part in ("core", "bill") and re.search(r"(?<!\w)(float|double)(?!\w)", bare):
                found.add(path, number, "floating point in a part that decides or bills")


def check_direction(found, _build):
    """dependency direction: each part includes only lower parts, private headers only their own, libraries where they belong"""
    parts = {p.name for p in (ROOT / "src").iterdir() if p.is_dir()}
    for path in sources("src/**/*.[ch]"):
        part = part_of(path)
        if part == path.name:
            continue  # src/*.h
        if part not in ALLOWED:
            found.add(path, 1, f"the part {part} is not in tools/lint.py: say there what it may use")
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+([<"])([^">]+)[">]', line)
            if not match:
                continue
            quote, header = match.groups()
            used = header.split("/")[0]
            if quote == '"' and "/" not in header and not (path.parent / header).exists():
                found.add(path, number, f"{header} is not in this folder: write the part before it")
            if quote == '"' and used in parts and used != part:
                if used not in ALLOWED[part]:
                    found.add(path, number, f"{part} may not use {used}")
                if header.endswith("_priv.h"):
                    found.add(path, number, f"{header} is private to {used}")
            if quote == "<" and header in OUTSIDE and part not in OUTSIDE[header]:
                found.add(path, number, f"{part} may not use {header}")
            if part in PURE and (header in IMPURE_BASE or (quote == "<" and header not in PURE_HEADERS)):
                found.add(path, number, f"{part} is pure: it may not include {header}")


def undefined_symbols(library):
    """object name -> symbols that it takes from outside"""
    text = subprocess.run(["nm", "--format=posix", str(library)], capture_output=True, text=True, check=True).stdout
    objects, name = {}, library.name
    for line in text.splitlines():
        if line.endswith(":"):
            name = line.rstrip(":")
            continue
        words = line.split(" ")
        if len(words) > 1:
            objects.setdefault(name, {})[words[0].split("@")[0]] = words[1]
    return objects


def check_purity(found, build):
    """purity by symbol: what decides and bills takes nothing from outside but memory, text and sorting"""
    base = undefined_symbols(build / "src/base/libweir-base.a")
    home = {symbol: name for name, table in base.items() for symbol, kind in table.items() if kind in "TDBRV"}
    reached = set()
    for part in PURE:
        library = build / f"src/{part}/libweir-{part}.a"
        objects = undefined_symbols(library)
        own = {symbol for table in objects.values() for symbol, kind in table.items() if kind not in "Uw"}
        for name, table in objects.items():
            for symbol, kind in table.items():
                if kind not in "Uw" or symbol in own:
                    continue
                if IMPURE_SYMBOLS.match(symbol) or not (symbol.startswith("weir_") or PURE_SYMBOLS.match(symbol)):
                    found.append(f"{library.name}({name}): {part} is pure but uses {symbol}")
                if symbol in home:
                    reached.add(home[symbol])
    queue = sorted(reached)
    while queue:
        name = queue.pop()
        for symbol, kind in base[name].items():
            if kind == "U" and BASE_SYMBOLS_FORBIDDEN.match(symbol):
                found.append(f"libweir-base.a({name}): the pure parts reach it, but it uses {symbol}")
            if kind == "U" and symbol in home and home[symbol] not in reached:
                reached.add(home[symbol])
                queue.append(home[symbol])


def check_headers_alone(found, _build):
    """headers alone: every header compiles by itself"""
    def compile_alone(path):
        return path, subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", '-DWEIR_VERSION=""', "-Isrc", "-fsyntax-only", "-x", "c",
                                     "-include", str(path), "/dev/null"], cwd=ROOT, capture_output=True, text=True, check=False)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for path, result in pool.map(compile_alone, sources("src/**/*.h")):
            if result.returncode != 0:
                found.add(path, 1, "does not compile alone: " + result.stderr.splitlines()[0])
            elif "#pragma once" not in path.read_text(encoding="utf-8"):
                found.add(path, 1, "has no #pragma once")


def check_build_lists(found, _build):
    """build lists: every source stands in a meson.build"""
    for path in sources("src/**/*.c", "tests/**/*.c"):
        lists = [p for folder in (path.parent, path.parent.parent, path.parent.parent.parent) for p in folder.glob("meson.build")]
        text = "".join(p.read_text(encoding="utf-8") for p in lists)
        # Tests are listed in loops that write 'test_' + name + '.c'.
        named = re.search(rf"\b{re.escape(path.name)}'", text)
        in_loop = path.stem.startswith(("test_", "fuzz_")) and re.search(rf"'{re.escape(path.stem.split('_')[-1])}'", text)
        whole = path.stem.split("_", 1)[-1]
        if not named and not in_loop and f"'{whole}'" not in text and f"'{whole.replace('_', '-')}'" not in text:
            found.add(path, 1, "stands in no meson.build")


def check_blobs(found, _build):
    """blobs: no committed file is over 256 KiB"""
    if shutil.which("git") is None:
        return  # what is committed can be told only with it
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and path.stat().st_size > BLOB_BYTES_MAX:
            found.add(path, 1, f"over {BLOB_BYTES_MAX // 1024} KiB")


def check_unused(found, build):
    """unused code: every function that a part gives away is called by something, tests count"""
    defined, used = {}, set()
    for path in build.rglob("*.o"):
        own = path.is_relative_to(build / "src")
        text = subprocess.run(["nm", "--format=posix", str(path)], capture_output=True, text=True, check=True).stdout
        for line in text.splitlines():
            words = line.split(" ")
            if len(words) > 1 and words[1] == "U":
                used.add(words[0])
            elif len(words) > 1 and words[1] == "T" and own:
                defined[words[0]] = path
    text = "".join(without_comments_and_strings(p.read_text(encoding="utf-8")) for p in sources("src/**/*.c"))
    for symbol in sorted(set(defined) - used - {"main"}):
        # Within its own file a symbol stands in one definition and, where it is used, elsewhere.
        if len(re.findall(rf"\b{re.escape(symbol)}\b", text)) < 2:
            found.append(f"{defined[symbol].name}: nothing uses {symbol}")


def check_cppcheck(found, _build):
    """cppcheck: its warnings and portability rules"""
    if shutil.which("cppcheck") is None:
        found.append("cppcheck is not installed: run ./dev lint, which installs it")
        return
    result = subprocess.run(
        ["cppcheck", "--quiet", "--std=c11", "--enable=warning,portability", "--inline-suppr", "--error-exitcode=1",
         "--suppress=missingIncludeSystem", "--suppressions-list=tools/cppcheck.txt", "-j2", "-Isrc", "-D_GNU_SOURCE",
         '-DWEIR_VERSION=""', "-D__GNUC__=12", "src"], cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        found.extend(result.stderr.splitlines())


QUICK = [check_shape, check_calls, check_direction, check_purity, check_headers_alone, check_build_lists, check_blobs]
SLOW = [check_unused, check_cppcheck]


def main() -> int:
    build = pathlib.Path(sys.argv[1]).resolve()
    checks = QUICK if "--quick" in sys.argv else QUICK + SLOW
    tap = "--tap" in sys.argv
    if tap:
        print(f"1..{len(checks)}")
    total = 0
    for number, check in enumerate(checks, 1):
        found = Finding()
        check(found, build)
        total += len(found)
        if tap:
            print(f"{'not ok' if found else 'ok'} {number} - {check.__doc__}")
        for text in found:
            print(("# " if tap else "") + text, flush=True)
    if not tap:
        print(f"{total} problems")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
