#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The report: one well-formed page that needs nothing from outside, with every figure of the JSON, the same each time."""
import hashlib
import html.parser
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from suites import data, lib, output_of  # noqa: E402
from test_starburst import JOBS, made_up_jobs  # noqa: E402

VOID = {"meta", "br", "rect", "line", "path", "circle"}  # those that this page writes without an end


class Page(html.parser.HTMLParser):
    """Reads a page strictly: tags must nest; keeps what tests look for."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open = []
        self.tags = []
        self.titles = set()
        self.words = []
        self.cell = None
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "href", "xlink:href", "action", "data"), (tag, name, value)
            if name == "title":
                self.titles.add(value)
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in VOID, tag
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()

    def handle_data(self, text):
        self.words.append(text)


def run(weir, suite, page, *args):
    return output_of(weir, suite, "--report", page, *args)


def check(text, printed):
    """The page as a whole; the return is its parse."""
    assert text.startswith("<!DOCTYPE html>")
    assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link|<iframe|<img", text, re.I), "something from outside"
    page = Page(text)
    assert page.tags.count("h1") == 1 and page.tags.count("main") == 1
    words = " ".join(page.words)
    result = json.loads(printed)
    assert result["trace_hash"] in words
    for row in result["rows"]:
        assert row["policy"] in words
        for name, value in row.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                assert re.search(rf'title="{re.escape(spelled(printed, name, value))}"', text), (name, value)
    assert "nan" not in re.findall(r"[a-z]+", words.lower())
    assert not re.search(r'="[^"]*\b(nan|inf)\b', text), "a place that is no number"
    return page, words


def spelled(printed, name, value):
    """The number as the JSON spells it."""
    for found in re.findall(rf'"{re.escape(name)}":(-?[0-9.e+-]+)', printed):
        if float(found) == value:
            return found
    raise AssertionError((name, value))


def test_a_page_has_every_figure_and_nothing_from_outside(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs, page = pathlib.Path(folder) / "jobs.csv", pathlib.Path(folder) / "r.html"
        made_up_jobs(jobs, 1500, 3)
        printed = run(weir, "starburst", page, "--jobs", jobs, "--nodes", "4,6", "--trim", 100)
        text = page.read_text(encoding="utf-8")
        _, words = check(text, printed)
        assert hashlib.sha256(jobs.read_bytes()).hexdigest() in words, "the input's hash"
        assert "weir sim --suite starburst" in words and str(page) not in words
        assert text.count("<svg") == 2 + 4 * 2, text.count("<svg")  # fronts, and cost, wait, savings and gap to the bound of each size
        run(weir, "starburst", page, "--jobs", jobs, "--nodes", "4,6", "--trim", 100)
        assert page.read_text(encoding="utf-8") == text, "the same command gave other bytes"


def test_a_bound_that_says_little_hides_no_other(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs, page = pathlib.Path(folder) / "jobs.csv", pathlib.Path(folder) / "r.html"
        jobs.write_text("submit_unix,duration_s,gpus\n100,3600,1\n100,3600,8\n100,3600,8\n300,36,1\n500,3600,1\n", encoding="utf-8")
        printed = run(weir, "starburst", page, "--jobs", jobs, "--nodes", "1", "--trim", 0)
        gaps = {row["policy"]: row["gap_to_bound_percent"] for row in json.loads(printed)["rows"]}
        assert gaps["starburst"] > 1000 > gaps["no-wait"], gaps
        text = page.read_text(encoding="utf-8")
        chart = next(part for part in text.split("<figure")[1:] if "Gap to the bound (%)" in part.split("</figure>")[0]).split("</figure>")[0]
        assert "above 1,000" in chart and ">no-wait<" in chart and ">starburst<" not in chart, chart


def test_findings_follow_from_the_rows(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs, page = pathlib.Path(folder) / "jobs.csv", pathlib.Path(folder) / "r.html"
        made_up_jobs(jobs, 3000, 7)
        rows = json.loads(run(weir, "starburst", page, "--jobs", jobs, "--nodes", 6, "--trim", 100, "--policies", "starburst,weir"))["rows"]
        rival = next(row for row in rows if row["policy"] == "starburst")
        front = sorted((row["avg_completion_hours"], row["cloud_gpu_hours"]) for row in rows if row["policy"] == "weir")
        want = []
        for (x1, y1), (x2, y2) in zip(front, front[1:]):
            if x1 <= rival["avg_completion_hours"] <= x2:
                y = y1 + (y2 - y1) * (rival["avg_completion_hours"] - x1) / (x2 - x1)
                want.append(f"{abs(y / rival['cloud_gpu_hours'] - 1) * 100:.1f}\u00a0% {'fewer' if y < rival['cloud_gpu_hours'] else 'more'} cloud GPU-hours")
        assert want, "the rival is beyond the front: draw other jobs"
        assert f"weir: {want[0]} than Starburst at the same average completion time" in page.read_text(encoding="utf-8"), want


def test_every_suite_has_a_report(weir):
    folder_of_data = data(JOBS)
    more = {"cant-be-late": ["--deadlines", "52", "--overheads", "0.02,0.1"], "muri": ["--jobs", folder_of_data / "muri-philly/trace3.csv"],
            "openb": ["--seeds", "42"]}
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        page = pathlib.Path(folder) / "r.html"
        for suite in ["muri", "openb", "cant-be-late", "multizone", "prices", "commitments", "forecast"]:
            printed = run(weir, suite, page, "--data", folder_of_data, *more.get(suite, []))
            _, words = check(page.read_text(encoding="utf-8"), printed)
            assert "SHA-256" in words, suite
            assert page.read_text(encoding="utf-8").count('<div class="card') >= 1, suite


def test_a_replay_without_a_cloud_weighs_none(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs, page = pathlib.Path(folder) / "jobs.csv", pathlib.Path(folder) / "r.html"
        made_up_jobs(jobs, 100, 5)
        run(weir, "replay", page, "--jobs", jobs, "--pools", "A100:8x2")
        text = page.read_text(encoding="utf-8")
        assert "<h1>Recorded work on owned nodes</h1>" in text and "Own, rent, or both" not in text and "and cloud" not in text
        run(weir, "replay", page, "--jobs", jobs, "--pools", "A100:8x2", "--cloud-price", "2")
        text = page.read_text(encoding="utf-8")
        assert "<h1>Recorded work on owned nodes and the cloud</h1>" in text and "Own, rent, or both" in text


def test_a_replay_shows_time_and_money(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs, page = pathlib.Path(folder) / "jobs.csv", pathlib.Path(folder) / "r.html"
        made_up_jobs(jobs, 600, 5)
        printed = run(weir, "replay", page, "--jobs", jobs, "--pools", "V100:8x2", "--cloud-price", "2.5")
        text = page.read_text(encoding="utf-8")
        _, words = check(text, printed)
        for title in ["Over time", "Owned GPUs in use", "Tasks waiting", "Spent by pool", "Spent by project", "Saved against no-wait"]:
            assert title in words, title


def test_a_replay_says_what_to_own_what_rules_are_worth_and_what_it_rests_on(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs, page = pathlib.Path(folder) / "jobs.csv", pathlib.Path(folder) / "r.html"
        made_up_jobs(jobs, 500, 5)
        printed = run(weir, "replay", page, "--jobs", jobs, "--nodes", "0,2,3", "--cloud-price", "2.5", "--rules", "--currency", "EUR", "--seed", 7,
                      "--set", "life_years=4,spot_price=0.4")
        text = page.read_text(encoding="utf-8")
        _, words = check(text, printed)
        result = json.loads(printed)
        rows = result["rows"]
        assert result["currency"] == "EUR" and "EUR" in words and "USD" not in words
        # weir with several values of waiting, since none was asked for; without each rule at the one that is meant
        front = {row["case"]["delay_value"] for row in rows if row["policy"] == "weir" and row["case"]["nodes"] == 2}
        assert len(front) >= 5, front
        for nodes in (0, 2, 3):
            without = [row for row in rows if row["policy"].startswith("weir-without-") and row["case"]["nodes"] == nodes]
            assert {row["policy"] for row in without} == {f"weir-without-{rule}" for rule in ("waiting", "reservations", "yielding", "spot", "experience", "learning")}
            assert len({row["case"]["delay_value"] for row in without}) == 1
            waits = next(row["avg_wait_hours"] for row in rows if row["policy"] == "starburst" and row["case"]["nodes"] == nodes)
            ours = {row["case"]["delay_value"]: row for row in rows if row["policy"] == "weir" and row["case"]["nodes"] == nodes}
            within = [row for row in ours.values() if row["avg_wait_hours"] <= waits] or [min(ours.values(), key=lambda row: row["avg_wait_hours"])]
            meant = min(within, key=lambda row: row["cost"])
            assert without[0]["case"]["delay_value"] == meant["case"]["delay_value"], nodes
            by_rule = {row["policy"]: row for row in without}
            assert by_rule["weir-without-spot"]["cloud_cost"] > meant["cloud_cost"] or meant["cloud_cost"] == 0, nodes
            assert by_rule["weir-without-waiting"]["cost"] >= meant["cost"] * 0.999, nodes
        for title in ["Own, rent, or both", "Cloud alone, at once", "3\u00a0nodes and cloud", "Each further node saves", "What each rule is worth", "Reserved starts",
                      "What was assumed", "Purchase price (gpu_purchase)", "Residual value", "Discount, interest", "--cloud-price 2.5", "Seed (--seed)"]:
            assert title in words, title
        assert "<th>Work</th>" in text and "<th>Margin</th>" not in text, "what nothing was spent on has no column"
        told = {a["name"]: a["text"] for a in result["assumptions"]}
        assert told["Life (life_years)"].startswith("4 years") and told["Seed (--seed)"].startswith("7;"), told
        assert "tasks wait" in words and "In the cloud alone" in words
        assert "Not ranked, since they left work undone: local-only" in words, "tasks of more GPUs than are owned"
        # the same without the front: a value that was said
        said = json.loads(run(weir, "replay", page, "--jobs", jobs, "--nodes", "2", "--cloud-price", "2.5", "--set", "delay-value=3"))["rows"]
        assert len([row for row in said if row["policy"] == "weir"]) == 1


def test_rules_are_for_replay(weir):
    for args in (["--suite", "starburst", "--jobs", "/nowhere", "--rules"], ["--jobs", "/nowhere", "--nodes", "1", "--rules", "--tune", "cost<=1"],
                 ["--jobs", "/nowhere", "--nodes", "1", "--currency", "euro"], ["--suite", "muri", "--currency", "EUR"]):
        result = subprocess.run([weir, "sim", *args], capture_output=True, text=True, timeout=1200, check=False)
        assert result.returncode in (2, 3) and result.stdout == "", (args, result)


def test_a_page_that_cannot_be_written_is_known_before_the_run(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        gone = pathlib.Path(folder) / "no" / "r.html"
        result = subprocess.run([weir, "sim", "--suite", "starburst", "--jobs", "/nowhere", "--report", gone], capture_output=True, text=True,
                                timeout=1200, check=False)
        assert result.returncode == 3 and f"--report: {gone}" in result.stderr, result.stderr
        page = pathlib.Path(folder) / "r.html"
        args = [weir, "sim", "--suite", "starburst", "--jobs", "/nowhere", "--report", page]
        assert subprocess.run(args, capture_output=True, timeout=1200, check=False).returncode == 3
        assert not page.exists(), "an empty page was left"
        page.write_text("of yesterday")
        subprocess.run(args, capture_output=True, timeout=1200, check=False)
        assert page.read_text() == "of yesterday", "a run that failed took the old page away"
        result = subprocess.run([*args[:-1], folder], capture_output=True, text=True, timeout=1200, check=False)
        assert result.returncode == 2 and "is a directory: name a file" in result.stderr, result.stderr
        link = pathlib.Path(folder) / "link.html"
        link.symlink_to("new.html")
        jobs = pathlib.Path(folder) / "jobs.csv"
        jobs.write_text("submit_unix,duration_s,gpus\n0,60,1\n", encoding="utf-8")
        run(weir, "replay", link, "--jobs", jobs, "--nodes", 1, "--policies", "local-only,no-wait", "--set", "delay_value=1")
        assert link.is_symlink() and "</html>" in (pathlib.Path(folder) / "new.html").read_text(encoding="utf-8")


def test_a_run_that_is_broken_off_leaves_no_half_file(weir):
    with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
        jobs, page, schedules = (pathlib.Path(folder) / name for name in ["jobs.csv", "r.html", "s"])
        os.mkfifo(jobs)
        args = [weir, "sim", "--jobs", jobs, "--pools", "V100:8x1", "--cloud-price", "2", "--policies", "no-wait", "--report", page, "--schedule", schedules]
        with subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as run_:
            with open(jobs, "w", encoding="utf-8") as feed:  # from here on it reads
                feed.write("submit_unix,duration_s,gpus\n" + "".join(f"{i},5,1\n" for i in range(70000)))
                feed.flush()
                run_.send_signal(signal.SIGINT)
                assert run_.wait(timeout=600) == -signal.SIGINT, run_.stderr.read()
        assert not page.exists() and list(schedules.iterdir()) == [], list(pathlib.Path(folder).rglob("*"))


def browse(*command):
    """What it says; a browser that did not come up is started again, for that says nothing of the page."""
    for last in (False, False, True):
        try:
            return subprocess.run([*command], capture_output=True, text=True, timeout=300, check=True).stdout
        except subprocess.SubprocessError:
            if last:
                raise
    return None


def test_a_browser_draws_it(weir):
    browser = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    if browser is None:
        raise lib.Skip("no Chromium is installed")
    with tempfile.TemporaryDirectory(prefix="weir-test-", ignore_cleanup_errors=True) as folder:  # it may still write into its profile
        jobs, page, shot = (pathlib.Path(folder) / name for name in ["jobs.csv", "r.html", "r.png"])
        made_up_jobs(jobs, 600, 5)
        run(weir, "starburst", page, "--jobs", jobs, "--nodes", 4, "--trim", 50)
        common = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={folder}/profile"]
        try:
            browse(*common, "--dump-dom", "about:blank")
        except subprocess.SubprocessError as e:
            raise lib.Skip(f"{browser} does not start here: {e}") from None
        browse(*common, f"--screenshot={shot}", "--window-size=1060,1500", page.as_uri())
        assert shot.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" and shot.stat().st_size > 20000
        dom = browse(*common, "--dump-dom", page.as_uri())
        assert dom.count("<svg") == page.read_text(encoding="utf-8").count("<svg")


if __name__ == "__main__":
    sys.exit(lib.main(globals(), at_once=1))
