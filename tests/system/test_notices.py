# SPDX-License-Identifier: Apache-2.0
"""A cloud takes a machine back and tells the machine alone, by its metadata service: the agent hears it there, the task saves its work
within the notice, and goes on elsewhere from where it was."""
import sys

import lib
from lib import until
from rented import broker, cloud as mock, leases, made, nothing_left, only_there

# Counts, saves only when it is told to, and ends at its second life.
RUN = """
if [ -f {ck} ]; then echo "from $(cat {ck})" >> {log}; exit 0; fi
trap 'echo 41 > {ck}.new && mv {ck}.new {ck}; echo saved >> {log}; exit 0' USR1
echo begun >> {log}
while :; do sleep 0.1; done
"""


def saved_and_resumed(weir, provider, notice_s):
    # a proxy that answers nothing: what a machine asks of itself never goes there
    proxy = [f"--machine-env={v}=http://127.0.0.1:9" for v in ("http_proxy", "HTTP_PROXY", "all_proxy")]
    with mock(provider, args=proxy) as c, broker(weir, c) as b:
        log, ck = b.dir / "log", b.dir / "ck"
        job = b.submit(only_there(provider, run=RUN.format(ck=ck, log=log), retries=0,
                                  checkpoint={"path": str(ck), "every": "1m", "signal": "USR1", "grace": "20s"}))
        until("the task to run", lambda: log.exists() and b.get(f"/v1/jobs/{job}")["state"] == "running")
        first = made(c)[0]["id"]
        if provider == "aws":
            c.advise(first)
            agent = next((c.dir / "machines" / first).rglob("agent.log"))
            until("the agent to hear of the risk", lambda: "agent.rebalance" in agent.read_text())
            assert made(c)[0]["state"] == "running" and b.get(f"/v1/jobs/{job}")["state"] == "running", "it is a risk and no more"
        c.set(boot_s=3600)  # the next machine, until the job was seen to wait
        c.reclaim(first, notice_s)
        until("the job to wait again", lambda: b.get(f"/v1/jobs/{job}")["state"] == "waiting" and b.json("jobs", "--state", "waiting"))
        c.set(boot_s=0.05)
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        assert log.read_text().splitlines() == ["begun", "saved", "from 41"], log.read_text()
        task = b.tasks(job)[0]
        assert task["attempt"] == 2, task
        old = next(i for i in c.inventory()["instances"] if i["id"] == first)
        assert old["told"] >= 1, old
        kinds = [e["kind"] for e in b.get("/v1/events?limit=1000")["items"]]
        assert kinds.index("task.stopping") < kinds.index("lease.reclaimed") < kinds.index("lease.ending"), kinds
        told = [k for k in kinds if k.startswith("job.")]
        assert told == ["job.submitted", "job.started", "job.waiting", "job.started", "job.succeeded"], told
        for lease in leases(b):
            b.run("leases", "end", lease["id"])
        nothing_left(b, c)


def test_amazon_tells_by_the_instance_action(weir):
    saved_and_resumed(weir, "aws", 120)


def test_google_tells_by_the_preempted_flag(weir):
    saved_and_resumed(weir, "gcp", 30)


def test_azure_tells_by_scheduled_events(weir):
    saved_and_resumed(weir, "azure", 30)


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
