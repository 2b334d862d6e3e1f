#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures weir against the bars of its design and prints each figure beside its bar, as a ratio.

usage: bench.py BUILD [ROW ...]      a ratio of 1 or more meets the bar
"""
import json
import math
import multiprocessing
import os
import pathlib
import random
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

BUILD = pathlib.Path(sys.argv[1]).resolve()
WEIR = str(BUILD / "weir")
ROWS = {}


def row(name, what):
    def add(function):
        ROWS[name] = (what, function)
        return function
    return add


def report(what, value, unit, bar, higher_is_better):
    ratio = value / bar if higher_is_better else bar / value if value else float("inf")
    verdict = "meets" if ratio >= 1 else "MISSES"
    print(f"{what:<66} {value:>12,.1f} {unit:<9} bar {bar:>10,.1f}  {ratio:6.2f}  {verdict}", flush=True)


class Broker:
    def __init__(self, gpus=None, agent=True, cpus=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="weir-bench-"))
        self.args = [WEIR, "serve", "--listen", "127.0.0.1:0", "--data", str(self.dir / "data")]
        self.args += ["--declare-gpus", gpus] if gpus else []
        self.args += [] if agent else ["--no-agent"]
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("WEIR_")}

    def start(self):
        self.process = subprocess.Popen(self.args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=self.env)
        self.url = self.process.stdout.readline().split("serving on ")[1].split(",")[0]
        self.env["WEIR_URL"] = self.url
        return self

    def __enter__(self):
        return self.start()

    def agents(self):
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    argv = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if len(argv) > 1 and argv[1] == b"agent" and any(str(self.dir).encode() in a for a in argv):
                    found.append(int(entry.name))
        return found

    def __exit__(self, *exc):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)
        for pid in self.agents():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=60) as reply:
            return json.load(reply)

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    def until(self, condition, limit_s=300):
        end = time.monotonic() + limit_s
        while not condition():
            if time.monotonic() > end:
                raise SystemExit("a benchmark did not end in time")
            time.sleep(0.01)

    def node_up(self):
        self.until(lambda: self.get("/v1/nodes")["items"])


def rss_mib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@row("core", "decision core: cold plan, one event, memory")
def core():
    subprocess.run([str(BUILD / "tests/bench/bench_core")], check=True)


PHILLY = pathlib.Path("../shared/data/philly-jobs/philly_jobs_2017-09-04_2017-10-31.csv")


@row("sim", "simulator: replay of the Philly jobs by the decision core")
def sim():
    jobs = PHILLY
    if not jobs.exists():
        print(f"{jobs} is not there: not measured")
        return
    for nodes in (48, 64, 80, 100):
        start = time.monotonic()
        rows = json.loads(subprocess.run([WEIR, "sim", "--suite", "starburst", "--policies", "weir", "--jobs", jobs, "--nodes", str(nodes), "--json"],
                                         check=True, capture_output=True).stdout)["rows"]
        report(f"52,849 jobs on {nodes} nodes, mean of {len(rows)} delay values", (time.monotonic() - start) / len(rows), "s", 1, False)


SIZES = [1] * 12 + [2] * 4 + [4] * 3 + [8] * 2 + [16]
GANGS = [1] * 4 + [8] * 4 + [16] * 4 + [32] * 2 + [64] * 2 + [128]


def write_trace(path, tasks, gpus, load, sizes):
    """Work of such sizes that keeps a cluster of so many GPUs so busy; above 1 it queues up."""
    draw = random.Random(1)
    mean_gpu_s = statistics.fmean(sizes) * 1200 * math.exp(1.4 ** 2 / 2)
    now = 1_600_000_000.0
    with open(path, "w", encoding="ascii") as file:
        file.write("submit_unix,duration_s,gpus,vc,user\n")
        for _ in range(tasks):
            now += draw.expovariate(gpus * load / mean_gpu_s)
            took = max(1, int(draw.lognormvariate(math.log(1200), 1.4)))
            file.write(f"{int(now)},{took},{draw.choice(sizes)},p{draw.randrange(20)},u{draw.randrange(200)}\n")


def replay_cost(trace, nodes, *args):
    """Seconds of CPU and MiB of memory of such a replay."""
    process = subprocess.Popen([WEIR, "sim", "--jobs", str(trace), "--nodes", str(nodes), *args, "--policies", "weir", "--json"],
                               stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"weir sim ended with status {status}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def replay_trace(tasks, load, sizes, *args):
    """The same of work made up, on 10,000 owned GPUs."""
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        trace = pathlib.Path(folder) / "trace.csv"
        write_trace(trace, tasks, 10_000, load, sizes)
        return replay_cost(trace, 1250, *args)


@row("replay", "simulator: a million tasks on 10,000 owned GPUs and a cloud, with the bill")
def replay():
    cpu, mib = replay_trace(1_000_000, 0.85, SIZES, "--cloud-price", "2.5")
    report("1,000,000 tasks on 10,000 GPUs", cpu, "s of CPU", 5, False)
    report("1,000,000 tasks on 10,000 GPUs: memory", mib, "MiB", 1024, False)


@row("cloud", "simulator: the Philly jobs on owned nodes and a cloud, with the bill; the fewer nodes, the longer they wait")
def cloud():
    if not PHILLY.exists():
        print(f"{PHILLY} is not there: not measured")
        return
    for nodes in (48, 64, 80, 100):
        report(f"52,849 jobs on {nodes} nodes and a cloud", replay_cost(PHILLY, nodes, "--cloud-price", "2.5")[0], "s of CPU", 1, False)


@row("queues", "simulator: long queues: twice the work that 10,000 owned GPUs can do, and gangs of up to 16 nodes")
def queues():
    report("200,000 tasks, twice what the GPUs can do", replay_trace(200_000, 2, SIZES, "--cloud-price", "2.5")[0], "s of CPU", 20, False)
    report("20,000 tasks, many of them gangs, 0.95 of it", replay_trace(20_000, 0.95, GANGS, "--cloud-price", "2.5")[0], "s of CPU", 5, False)
    report("20,000 tasks, many of them gangs, 1.5 times of it", replay_trace(20_000, 1.5, GANGS, "--cloud-price", "2.5")[0], "s of CPU", 5, False)
    report("200,000 tasks, many of them gangs, 1.5 times of it", replay_trace(200_000, 1.5, GANGS, "--cloud-price", "2.5")[0], "s of CPU", 5, False)


@row("store", "store: rows per second, restart scan, bill query")
def store():
    subprocess.run([str(BUILD / "tests/bench/bench_store")], check=True)


def ledger_figures(*args):
    out = subprocess.run([str(BUILD / "tests/bench/bench_ledger"), *map(str, args)], check=True, capture_output=True, text=True).stdout
    return {line.split()[0]: float(line.split()[1]) for line in out.splitlines()}


def write_invoice(path, lines):
    """A Cost and Usage Report as AWS writes it, with columns that nobody asks for."""
    head = ("bill_billing_entity,bill_bill_type,bill_payer_account_id,identity_line_item_id,identity_time_interval,line_item_line_item_type,"
            "line_item_usage_start_date,line_item_usage_end_date,line_item_product_code,line_item_usage_type,line_item_operation,"
            "line_item_resource_id,line_item_usage_amount,line_item_currency_code,line_item_unblended_rate,line_item_unblended_cost,"
            "line_item_line_item_description,product,pricing_term,pricing_unit,resource_tags,cost_category,discount\n")
    with open(path, "w", encoding="ascii") as file:
        file.write(head)
        for i in range(lines):
            day, hour = i // 24 % 28 + 1, i % 23
            file.write(f"AWS,Anniversary,123456789012,a7x{i:012x},2026-11-{day:02}T{hour:02}:00:00Z/2026-11-{day:02}T{hour + 1:02}:00:00Z,Usage,"
                       f"2026-11-{day:02}T{hour:02}:00:00.000Z,2026-11-{day:02}T{hour + 1:02}:00:00.000Z,AmazonEC2,BoxUsage:p5.48xlarge,RunInstances,"
                       f"i-{i % 5000:017x},1.0000000000,USD,98.3200000000,98.3200000000,$98.32 per On Demand Linux p5.48xlarge Instance Hour,"
                       '"{""instance_type"":""p5.48xlarge"",""region"":""us-east-1"",""product_family"":""Compute Instance""}",OnDemand,Hrs,'
                       f'"{{""user_team"":""perception"",""user_weir"":""{i % 7:032x}""}}",{{}},{{}}\n')


@row("ledger", "ledger: postings in memory and durable, a statement and prices over ten million, a provider's bill")
def ledger():
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        figures = ledger_figures("postings", folder)
        report("postings made and kept in memory", figures["memory"], "postings/s", 200000, True)
        report("postings kept durably, 1,000 machines a commit", figures["durable"], "postings/s", 50000, True)
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        figures = ledger_figures("statement", folder, 10000000)
        report("statement over 10,000,000 postings", figures["statement"], "s of CPU", 2, False)
        report("proof of 10,000,000 postings, and of their prices", figures["proof"], "s of CPU", 20, False)
        report("prices of 10,000,000 open postings by five rules, and their statement", figures["price"], "s of CPU", 2, False)
    with tempfile.TemporaryDirectory(prefix="weir-bench-") as folder:
        file = pathlib.Path(folder) / "cur.csv"
        write_invoice(file, 400000)
        report("reading a provider's bill", ledger_figures("invoice", file)["invoice"], "MB/s of CPU", 100, True)


@row("offers", "50,000 offers ranked for a task")
def offers():
    said = subprocess.run([str(BUILD / "tests/bench/bench_offers")], capture_output=True, text=True, check=True).stdout
    ms = {line.split()[0]: float(line.split()[1]) for line in said.splitlines()}
    report("offers: 50,000 ranked for a task of H100:8", ms["task"], "ms", 5, False)
    report("offers: the same, every excluded one in its place too", ms["whole"], "ms", 50, False)


def traces(name):
    """The folder of public traces beside the project, None where it is not there."""
    return next((p / "shared/data" for p in pathlib.Path(__file__).resolve().parents if (p / "shared/data" / name).is_dir()), None)


@row("openb", "simulator: seven placements of 10,800 tasks on 1,213 nodes, ten seeds each")
def openb():
    data = traces("alibaba-openb")
    if data is None:
        print("openb: shared/data/alibaba-openb is not beside the project")
        return
    begin = time.monotonic()
    subprocess.run([WEIR, "sim", "--suite", "openb", "--data", str(data), "--json"], check=True, stdout=subprocess.DEVNULL)
    report("openb: seven placements, ten seeds", time.monotonic() - begin, "s", 10, False)


@row("cant-be-late", "simulator: 1,080 tasks with deadlines on spot, one policy")
def cant_be_late():
    data = traces("spot-availability")
    if data is None:
        print("cant-be-late: shared/data/spot-availability is not beside the project")
        return
    for policy in ("uniform-progress", "weir"):
        begin = time.monotonic()
        subprocess.run([WEIR, "sim", "--suite", "cant-be-late", "--data", str(data), "--policies", policy, "--json"], check=True,
                       stdout=subprocess.DEVNULL)
        report(f"cant-be-late: 1,080 scenarios, {policy}", time.monotonic() - begin, "s", 1, False)


def read_work(head, line, n):
    """Jobs a second and MiB of memory, for n lines made by line(i)."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
        f.write(head)
        for i in range(0, n, 100000):
            f.write("".join(line(k) for k in range(i, i + 100000)))
        f.flush()
        out = subprocess.run([str(BUILD / "tests/bench/bench_workload"), f.name], check=True, capture_output=True, text=True).stdout.split()
        assert int(out[0]) == n, out
        return n / float(out[1]), float(out[2])


@row("inputs", "simulator: reading work, a million lines and ten million")
def inputs():
    forms = {
        "jobs as CSV": ("submit_unix,duration_s,gpus,vc\n", lambda i: f"{1504521041 + i},{i * 7919 % 100000 + 1},{1 + i % 8},{i % 15:06x}\n", 2e6),
        "Slurm accounting": ("JobID|User|Account|State|Submit|Start|End|ElapsedRaw|Timelimit|AllocTRES\n",
                             lambda i: f"{i}|user{i % 50}|lab{i % 9}|COMPLETED|2026-01-{i // 86400 % 28 + 1:02}T{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}|"
                             f"2026-02-01T00:00:00|2026-02-01T01:00:00|3600|1-00:00:00|billing=8,cpu=8,gres/gpu:a100=2,gres/gpu=2,mem=64G,node=1\n", 5e5),
    }
    for name, (head, line, bar) in forms.items():
        rate, mib = read_work(head, line, 1000000)
        report(f"reading {name}", rate, "rows/s", bar, True)
        report(f"reading {name}: memory", mib, "MiB", 32, False)
    rate, mib = read_work(*forms["jobs as CSV"][:2], 10000000)
    report("reading jobs as CSV, ten million: memory", mib, "MiB", 32, False)


SPEC = '{"name":"bench-{n}","project":"bench","run":"true","resources":{"accelerators":{"A100":1}}}'


@row("submit", "durable submissions over the API")
def submit():
    with Broker(gpus="A100:1") as b:
        b.node_up()
        for pid in b.agents():
            os.kill(pid, signal.SIGSTOP)  # what is measured is accepting, not running
        out = subprocess.run([str(BUILD / "tests/bench/bench_http"), "--url", b.url + "/v1/jobs", "--connections", "64", "--seconds", "5",
                              "--header", "Content-Type: application/json", "--body", SPEC, "--json"],
                             check=True, capture_output=True, text=True).stdout
        result = json.loads(out)
        assert result["not_2xx"] == 0, result
        rate = result["per_second"]
        report("durable submissions over the API, 64 connections", rate, "jobs/s", 20000, True)
        start = time.monotonic()
        b.post("/v1/jobs", {"name": "array", "run": "true", "resources": {"accelerators": {"A100": 1}}, "array": "0-99999"})
        report("durable array submission, tasks", 100000 / (time.monotonic() - start), "tasks/s", 100000, True)
        for pid in b.agents():
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGKILL)


def bare_spawns(n):
    for _ in range(n):
        os.waitpid(os.posix_spawn("/bin/true", ["/bin/true"], {}), 0)


def bare_rate():
    """Spawn-and-wait of the same program on both cores: what this machine gives at this moment, whatever else runs on it."""
    workers = [multiprocessing.Process(target=bare_spawns, args=(1000,)) for _ in range(2)]
    start = time.monotonic()
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    return 2000 / (time.monotonic() - start)


@row("trivial", "2,000 trivial tasks, submission to all ended")
def trivial():
    with Broker(gpus="A100:32") as b:
        b.node_up()
        bare = bare_rate()
        start = time.monotonic()
        job = b.post("/v1/jobs", {"name": "trivial", "argv": ["/bin/true"], "resources": {"accelerators": {"A100": 1}, "cpus": "0.01"},
                                  "array": "0-1999"})["id"]
        b.until(lambda: b.get(f"/v1/jobs/{job}/wait?timeout_s=60")["state"] in ("succeeded", "failed"))
        took = time.monotonic() - start
        state = b.get(f"/v1/jobs/{job}")
        assert state["state"] == "succeeded", state
        report("2,000 trivial tasks, submission to all ended, local pool", 2000 / took, "tasks/s", 1000, True)
        bare = (bare + bare_rate()) / 2
        print(f"    bare spawn-and-wait beside it: {bare:,.0f}/s; tasks per bare spawn: {2000 / took / bare:.2f}")


@row("latency", "idle broker: submit to process start")
def latency():
    with Broker(gpus="A100:4") as b:
        b.node_up()
        took = []
        stamp = b.dir / "stamp"
        for _ in range(100):
            start = time.time_ns()
            job = b.post("/v1/jobs", {"name": "one", "run": f"date +%s%N > {stamp}", "resources": {"accelerators": {"A100": 1}}})["id"]
            b.get(f"/v1/jobs/{job}/wait?timeout_s=30")
            took.append((int(stamp.read_text()) - start) / 1e6)
        took.sort()
        report("idle broker: submit to process start, local, p99", took[98], "ms", 20, False)
        report("idle broker: submit to process start, local, median", statistics.median(took), "ms", 20, False)


@row("cli", "weir submit, whole process")
def cli():
    with Broker(gpus="A100:1") as b:
        b.node_up()
        spec = b.dir / "job.yaml"
        spec.write_text("name: x\nrun: 'true'\n")
        took = []
        for _ in range(50):
            start = time.monotonic()
            subprocess.run([WEIR, "submit", str(spec)], check=True, env=b.env, stdout=subprocess.DEVNULL)
            took.append((time.monotonic() - start) * 1000)
        report("weir submit, whole process, median", statistics.median(took), "ms", 10, False)


@row("idle", "broker and agent with nothing to do")
def idle():
    with Broker(gpus="A100:4") as b:
        b.node_up()
        time.sleep(2)
        agent = b.agents()[0]
        before = cpu_s(b.process.pid), cpu_s(agent)
        time.sleep(10)
        report("broker with nothing to do, resident", rss_mib(b.process.pid), "MiB", 30, False)
        report("agent with nothing to do, resident", rss_mib(agent), "MiB", 10, False)
        report("broker with nothing to do, CPU", max((cpu_s(b.process.pid) - before[0]) * 10, 0.01), "%", 1, False)
        report("agent with nothing to do, CPU", max((cpu_s(agent) - before[1]) * 10, 0.01), "%", 1, False)


@row("restart", "restart with 1,000,000 tasks stored")
def restart():
    with Broker(gpus="A100:1") as b:
        b.node_up()
        template = b.post("/v1/jobs", {"name": "seed", "run": "sleep 3600", "resources": {"accelerators": {"A100": 1}}})["id"]
        waiting = b.post("/v1/jobs", {"name": "seed", "run": "true", "resources": {"accelerators": {"A100": 1}}})["id"]
        b.until(lambda: b.get(f"/v1/jobs/{template}")["state"] == "running")
        for pid in b.agents():
            os.kill(pid, signal.SIGKILL)
        b.process.kill()
        b.process.wait()
        database = sqlite3.connect(b.dir / "data" / "weir.db")
        # a million copies of the waiting job, straight into the store
        for table in [r[0] for r in database.execute("select name from sqlite_master where type='table'")]:
            columns = [r[1] for r in database.execute(f"pragma table_info({table})")]
            key = "id"
            if table in ("job", "job_text"):
                others = [c for c in columns if c != key]
                database.execute(f"with recursive n(i) as (select 1 union all select i+1 from n where i<1000000) "
                                 f"insert into {table}({key},{','.join(others)}) select {waiting}+n.i,{','.join(others)} from {table}, n "
                                 f"where {key}={waiting}")
        database.commit()
        database.close()
        os.sync()  # the copies are no part of what is measured
        start = time.monotonic()
        b.start()
        b.get("/v1/health")
        took = time.monotonic() - start
        report("restart with 1,000,000 tasks stored", took, "s", 5, False)


def main():
    wanted = sys.argv[2:] or list(ROWS)
    print(f"{'what':<66} {'measured':>12} {'':<9} {'bar':>14}  ratio")
    for name in wanted:
        if name not in ROWS:
            raise SystemExit(f"there is no row '{name}'; rows: {', '.join(ROWS)}")
        ROWS[name][1]()


if __name__ == "__main__":
    main()
