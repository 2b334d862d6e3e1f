#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The history of a broker, exported, and read back as work by the simulator."""
import csv
import gzip
import io
import json
import os
import sys

from lib import Broker, main

COLUMNS = ["task", "state", "submit", "start", "end", "duration_s", "expected_s", "max_duration_s", "nodes", "gpus", "gpu_model",
           "gpu_model_used", "cpus", "memory_mib", "priority", "project", "user", "pool", "node", "attempts", "cost_micro"]


def export(b, *args):
    reader = csv.DictReader(io.StringIO(b.ok("export", *args)))
    rows = list(reader)
    assert reader.fieldnames == COLUMNS, reader.fieldnames
    return rows


def demand(b, *args):
    """GPU-hours that a suite sees in the work, and the hash of all it decided."""
    result = json.loads(b.ok("sim", "--suite", "commitments", "--policies", "on-demand", "--json", *args))
    return result["rows"][0]["cost"], result["trace_hash"]


def test_what_ran_is_exported_and_read_back(weir):
    with Broker(weir, gpus="A100:4") as b:
        one = b.submit({"name": "a, \"b\"", "project": "lab-2", "resources": {"accelerators": ["H100:1", "A100:2"], "cpus": 1.5, "memory": "2GiB"},
                        "run": "sleep 0.2", "max_duration": "90m", "expected": "1.5s"})
        array = b.submit({"run": "test $WEIR_TASK_INDEX != 4", "array": "3-5"})
        waiting = b.submit({"resources": {"accelerators": "A100:4"}, "run": "sleep 600"})
        never = b.submit({"resources": {"accelerators": "A100:4"}, "run": "true"})
        for job in (one, array):
            b.wait(job)
        rows = export(b)
        assert [r["task"] for r in rows] == [str(one), f"{array}_3", f"{array}_4", f"{array}_5", str(waiting)], (rows, never)
        assert [r["state"] for r in rows[:4]] == ["succeeded", "succeeded", "failed", "succeeded"], rows
        r = rows[0]
        want = {"expected_s": "1.5", "max_duration_s": "5400", "nodes": "1", "gpus": "2", "gpu_model": "H100|A100", "gpu_model_used": "A100",
                "cpus": "1.5", "memory_mib": "2048", "priority": "50", "project": "lab-2", "pool": "local", "attempts": "1"}
        assert {k: r[k] for k in want} == want, r
        assert 0.2 <= float(r["duration_s"]) < 60 and int(r["cost_micro"]) > 0, r
        assert r["submit"] == b.get(f"/v1/jobs/{one}")["submitted"], r
        assert rows[4]["state"] in ("starting", "running") and rows[4]["end"] == rows[4]["duration_s"] == "", rows[4]
        # JSON says the same, an object a line
        lines = [json.loads(line) for line in b.ok("export", "--json").splitlines()]
        assert [o["task"] for o in lines] == [r["task"] for r in rows], lines
        assert lines[0]["max_duration_ms"] == 5400000 and lines[4]["ended"] is None, lines
        # spans are of the submission, and leave their end out
        later = b.get(f"/v1/jobs/{array}")["submitted"]
        assert [r["task"] for r in export(b, "--to", later)] == [str(one)]
        assert [r["task"] for r in export(b, "--from", later)] == [r["task"] for r in rows[1:]]
        # a file appears whole; the simulator reads it, packed or not, as it reads the broker
        path = os.path.join(b.data, "history.csv")
        b.ok("export", "-o", path)
        assert not os.path.exists(path + ".part")
        with open(path, "rb") as f, gzip.open(path + ".gz", "wb") as z:
            z.write(f.read())
        assert demand(b, "--jobs", path) == demand(b, "--jobs", path + ".gz") == demand(b, "--from-history")
        refused = b.run("sim", "--suite", "commitments", "--from-history", "--jobs", path)
        assert refused.returncode != 0 and "give one" in refused.stderr, refused
        # what waits is not in it, what runs has no end: both are said
        told = b.run("export")
        assert told.returncode == 0 and "1 tasks wait in the queue and are not in it; 1 of those in it have not ended" in told.stderr, told
        told = b.run("sim", "--from-history", "--nodes", "1", "--policies", "weir", "--json")
        result = json.loads(told.stdout)
        assert result["left_out"] == 1 and result["currency"] == "USD" and result["rows"][0]["tasks"] == 4, result
        assert "1 records of the work are left out" in told.stderr and "1 tasks that wait in the broker's queue are left out" in told.stderr, told.stderr
        refused = b.run("export", "--from", "2026-02-01", "--to", "2026-01-01")
        assert refused.returncode == 2 and refused.stdout == "", refused
        assert "--from 2026-02-01T00:00:00Z is not before --to 2026-01-01T00:00:00Z" in refused.stderr, refused.stderr
        refused = b.run("export", "-o", os.path.join(b.data, "none", "x.csv"))
        assert refused.returncode != 0 and "x.csv.part" in refused.stderr, refused


def test_more_than_one_page(weir):
    with Broker(weir, gpus="A100:1") as b:
        array = b.submit({"run": "true", "array": "0-1199"})
        one = b.submit({"run": "true"})
        b.wait(array)
        b.wait(one)
        rows = export(b)
        assert [r["task"] for r in rows] == [f"{array}_{i}" for i in range(1200)] + [str(one)], len(rows)
        assert all(r["state"] == "succeeded" and r["duration_s"] != "" for r in rows)
        # whatever the length of a page, the same tasks once each
        for limit in (1, 7, 400):
            seen, cursor = [], ""
            while cursor is not None and len(seen) < 40 * limit:
                page = b.get(f"/v1/history?limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
                seen += [o["task"] for o in page["items"]]
                cursor = page["next"]
            assert seen == [r["task"] for r in rows[:len(seen)]] and len(seen) >= 40, (limit, seen)


def test_a_stopped_brokers_directory_is_read(weir):
    with Broker(weir, gpus="A100:2") as b:
        array = b.submit({"run": "true", "array": "0-1019", "project": "lab"})
        b.wait(array)
        asked = b.ok("export")
        work = ["--nodes", "1", "--policies", "weir", "--json"]
        replayed = json.loads(b.ok("sim", "--from-history", *work))
        assert b.ok("export", "--data", str(b.data)) == asked, "while the broker runs"
        for end in (b.kill, b.stop):
            end()
            before = sorted(os.listdir(b.data))
            told = b.run("export", "--data", str(b.data))
            assert told.returncode == 0 and told.stdout == asked, told
            read = b.run("sim", "--from-history", "--data", str(b.data), "--currency", "USD", *work)
            assert read.returncode == 0 and json.loads(read.stdout)["trace_hash"] == replayed["trace_hash"], read
            refused = b.run("sim", "--from-history", "--data", str(b.data), "--currency", "EUR", *work)
            assert refused.returncode != 0 and "--currency EUR: the ledger whose history this is is in USD" in refused.stderr, refused
            assert end == b.kill or sorted(os.listdir(b.data)) == before, "nothing is left behind"
            b.start()
        for _ in range(2):
            b.submit({"resources": {"accelerators": "A100:2"}, "run": "sleep 600"})
        b.kill()
        told = b.run("export", "--data", str(b.data))
        assert "1 tasks wait in the queue and are not in it" in told.stderr and told.stdout.startswith(asked), told
        b.start()
        refused = b.run("export", "--data", str(b.dir / "none"))
        assert refused.returncode != 0 and "data directory of a broker" in refused.stderr and "none/weir.db" in refused.stderr, refused
        refused = b.run("sim", "--from-history", "--data", str(b.dir / "none"), "--nodes", "1")
        assert refused.returncode != 0 and "data directory of a broker" in refused.stderr, refused


if __name__ == "__main__":
    sys.exit(main(globals()))
