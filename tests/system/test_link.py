# SPDX-License-Identifier: Apache-2.0
"""Rented machines that reach the broker by WireGuard alone. The broker stands in a network namespace of its own, with the gateway's interface;
machines are real agents in another one, from which nothing leads out but one UDP port of the gateway. The kernel's tunnel is not needed:
wireguard-go makes it, on both sides."""
import ctypes
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import threading

import lib
from lib import Broker, Skip, until
from mockcloud import MockCloud

NVML = os.environ.get("MOCK_NVML_LIBRARY")
INSIDE = "WEIR_TEST_LINK_INSIDE"
KEY = "secret_test_TESTKEY"
ENDPOINT = "192.0.2.1"
PORT = 7070
CLONE_NEWNET = 0x40000000


def sh(*argv, stdin=None, check=True):
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=120, check=False)
    assert not check or done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout.strip()


def what_is_missing():
    tools = [t for t in ("wg", "wg-quick", "wireguard-go", "ip", "nsenter", "unshare", "bash") if not shutil.which(t)]
    if tools:
        return f"not installed: {', '.join(tools)}"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be opened"
    tried = subprocess.run(["unshare", "-nm", "sh", "-c", "mkdir -p /run/wireguard && mount -t tmpfs tmpfs /run/wireguard && ip tuntap add weir0 mode tun"],
                           capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"no namespaces or tunnels may be made: {tried.stderr.strip()}"


class Outside:
    """The namespace of the machines: its only way out is the gateway's UDP port, which this process passes on."""

    def __init__(self):
        self.process = subprocess.Popen(["unshare", "-n", "sh", "-c", f"ip link set lo up && ip addr add {ENDPOINT}/32 dev lo && echo up && exec sleep infinity"],
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "up\n"
        self.wrap = ["nsenter", "-t", str(self.process.pid), "-n", "unshare", "-m", "sh", "-c", 'mount -t tmpfs tmpfs /run/wireguard && exec "$@"', "sh"]
        self.ends, self.tell_end = os.pipe()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.relay, daemon=True)
        self.thread.start()
        assert self.ready.wait(60)

    def relay(self):
        inner = {}
        with open(f"/proc/{self.process.pid}/ns/net", encoding="utf-8") as there, open("/proc/thread-self/ns/net", encoding="utf-8") as here:
            libc = ctypes.CDLL(None, use_errno=True)
            assert libc.setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            outer.bind((ENDPOINT, 51820))
            assert libc.setns(here.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        self.ready.set()
        while True:
            ready, _, _ = select.select([self.ends, outer, *inner.values()], [], [])
            if self.ends in ready:
                break
            for s in ready:
                try:
                    data, sender = s.recvfrom(65536)
                    if s is outer:
                        if sender not in inner:
                            inner[sender] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                            inner[sender].connect(("127.0.0.1", 51820))
                        inner[sender].send(data)
                    else:
                        outer.sendto(data, next(a for a, i in inner.items() if i is s))
                except OSError:
                    pass  # nobody listens there now: datagrams are lost, as they may be
        for s in (outer, *inner.values()):
            s.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.write(self.tell_end, b"x")
        self.thread.join(60)
        self.process.kill()
        self.process.wait(timeout=60)


class Gateway:
    """The interface wg0 of this namespace, with a peer of somebody else's."""

    def __init__(self):
        self.key = sh("wg", "genkey")
        self.process = None
        self.foreign = sh("wg", "pubkey", stdin=sh("wg", "genkey"))

    def up(self):
        log = open("/dev/null", "w", encoding="utf-8")
        self.process = subprocess.Popen(["wireguard-go", "-f", "wg0"], stdout=log, stderr=log)
        log.close()
        until("the interface", lambda: subprocess.run(["wg", "set", "wg0", "private-key", "/dev/stdin", "listen-port", "51820", "peer", self.foreign,
                                                       "allowed-ips", "10.99.0.0/24"], input=self.key, text=True, capture_output=True, check=False).returncode == 0)
        sh("ip", "addr", "add", "10.77.0.1/32", "dev", "wg0")
        sh("ip", "link", "set", "wg0", "up")
        sh("ip", "route", "add", "10.77.0.0/16", "dev", "wg0")
        return self

    def down(self):
        if self.process:
            self.process.kill()
            self.process.wait(timeout=60)
            self.process = None
            until("the interface to go", lambda: "wg0" not in sh("ip", "-br", "link"))

    def peers(self):
        """Public key -> allowed addresses, but for the foreign one."""
        rows = dict(line.split("\t") for line in sh("wg", "show", "wg0", "allowed-ips").splitlines())
        assert rows.pop(self.foreign) == "10.99.0.0/24", "the foreign peer was touched"
        return rows

    def __enter__(self):
        return self.up()

    def __exit__(self, *exc):
        self.down()


CONFIG = """wireguard:
  endpoint: 192.0.2.1:51820
  url: https://10.77.0.1:7070
  network: 10.77.0.0/16
  dns: [10.77.0.1]
providers:
  digitalocean:
    endpoint: {url}
    poll: 200ms
    calls_per_second: 200
    ssh_keys: [k1]
    regions: [tor1]
    max_gpus: 1
"""


def site(weir, c):
    b = Broker(weir, config=CONFIG.format(url=c.url), gpus="A100:1", env={"DIGITALOCEAN_TOKEN": KEY}, listen="0.0.0.0")
    b.port = PORT
    return b


def cloud(outside):
    return MockCloud("digitalocean", nvml=NVML, options=[f"key={KEY}"], args=["--machine-wrap", json.dumps(outside.wrap)])


def cloud_records():
    return MockCloud("digitalocean", nvml=NVML, options=[f"key={KEY}"])


def rent(b, run="echo here"):
    return b.submit({"name": "spill", "run": run, "max_duration": "10m", "resources": {"accelerators": {"L40S": 1}, "cpus": 1}, "delay_cost": 5000,
                     "placement": {"local": "never", "clouds": ["digitalocean"]}})


def made(c):
    return [i for i in c.inventory()["instances"] if i["state"] != "gone"]


def end_all(b, c, gateway):
    for lease in b.get("/v1/leases")["items"]:
        b.run("leases", "end", lease["id"])  # it may be over by now
    until("all leases to end", lambda: not b.get("/v1/leases")["items"])
    until("the peers to go", lambda: gateway.peers() == {})
    assert not made(c) and not c.inventory()["doubles"], c.inventory()
    b.balanced()


def check_of(b):
    return next(c for c in b.get("/v1/status")["checks"] if c["name"] == "wireguard")


def test_a_machine_joins_by_the_tunnel_alone(weir):
    with Outside() as outside, Gateway() as gateway, cloud(outside) as c, site(weir, c) as b:
        until("the gateway to be known", lambda: "public key" in check_of(b)["text"])
        assert gateway.peers() == {}
        job = rent(b, "sleep 2; echo here")
        until("the task to run", lambda: b.get("/v1/jobs")["items"][0]["state"] == "running")
        (key, address), = gateway.peers().items()
        lease, = b.get("/v1/leases")["items"]
        assert address == f"10.77.0.{2 + int(lease['id'])}/32", address
        home = c.dir / "machines" / made(c)[0]["id"]
        conf = home / "etc/wireguard/weir.conf"
        assert conf.stat().st_mode & 0o777 == 0o600
        own = dict(line.split(" = ") for line in conf.read_text().splitlines() if " = " in line)
        assert sh("wg", "pubkey", stdin=own["PrivateKey"]) == key and own["Address"] == address and own["AllowedIPs"] == "10.77.0.1/32", own.keys()
        assert own["PrivateKey"] not in (b.dir / "serve.log").read_text() and own["PresharedKey"] not in (b.dir / "serve.log").read_text()
        assert "https://10.77.0.1:7070" in (home / "user-data").read_text()
        rented, = [n for n in b.get("/v1/nodes")["items"] if n["lease"]]
        assert rented["address"] == "127.0.0.1", "the link is no way for machines to reach each other"
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        assert {t["pool"] for t in b.tasks(job)} == {"digitalocean"}
        end_all(b, c, gateway)


def test_peers_are_those_of_living_leases_after_a_broker_was_killed(weir):
    with Outside() as outside, Gateway() as gateway, cloud(outside) as c, site(weir, c) as b:
        c.fault("slow_body", on="create", seconds=3)
        job = rent(b, "sleep 600")
        before = until("the peer to be there", gateway.peers)
        b.kill()  # the launch may have gone out, and may not
        c.clear()
        sh("wg", "set", "wg0", "peer", next(iter(before)), "remove")  # as after a new start of the gateway
        b.start()
        until("the task to run", lambda: b.get("/v1/jobs")["items"][0]["state"] == "running")
        after = gateway.peers()
        assert len(after) == 1 and len(made(c)) == 1 and not c.inventory()["doubles"], (after, c.inventory())
        b.ok("cancel", job)
        b.kill()
        for machine in made(c):  # its peer is one too many from now on
            c.end(machine["id"])
        b.start()
        end_all(b, c, gateway)


def test_nothing_is_launched_while_the_gateway_is_away(weir):
    with Outside() as outside, Gateway() as gateway, cloud(outside) as c:
        gateway.down()
        with site(weir, c) as b:
            job = rent(b)
            text = until("the lease to say why it waits", lambda: [x["text"] for x in b.get("/v1/leases")["items"] if x.get("text")])[0]
            assert text.startswith("waits for the link to the site: wg show wg0"), text
            check = check_of(b)
            assert not check["ok"] and "wg-quick@wg0" in check["remedy"], check
            assert "wireguard" in b.run("doctor").stdout
            assert not made(c)
            gateway.up()
            assert b.wait(job)["state"] == "succeeded", b.tasks(job)
            assert check_of(b)["ok"]
            end_all(b, c, gateway)


def test_nothing_is_launched_while_answers_would_go_astray(weir):
    with Outside() as outside, Gateway() as gateway, cloud(outside) as c:
        sh("ip", "route", "del", "10.77.0.0/16", "dev", "wg0")
        sh("ip", "tuntap", "add", "dev", "lan0", "mode", "tun")
        try:
            sh("ip", "link", "set", "lan0", "up")
            sh("ip", "route", "add", "10.77.0.0/16", "dev", "lan0")
            with site(weir, c) as b:
                job = rent(b)
                text = until("the lease to say why it waits", lambda: [x["text"] for x in b.get("/v1/leases")["items"] if x.get("text")])[0]
                assert "the way to 10.77.0.0/16 leads by lan0, not by wg0" in text, text
                assert not made(c)
                alert = until("the alert", lambda: [a for a in b.get("/v1/alerts")["items"] if a["condition"] == "link-down"])[0]
                assert alert["severity"] == "critical" and "ip route add" in alert["text"], alert
                sh("ip", "link", "del", "lan0")
                sh("ip", "route", "add", "10.77.0.0/16", "dev", "wg0")
                assert b.wait(job)["state"] == "succeeded", b.tasks(job)
                end_all(b, c, gateway)
        finally:
            subprocess.run(["ip", "link", "del", "lan0"], capture_output=True, check=False)


def test_a_provider_of_containers_is_refused_or_goes_without(weir):
    config = """wireguard: {{endpoint: "192.0.2.1:51820", url: "https://10.77.0.1:7070", network: 10.77.0.0/16{more}}}
providers: {{runpod: {{}}}}
"""
    for more, starts in (("", False), (", direct: [runpod]", True), (", direct: [runpot]", False)):
        b = Broker(weir, config=config.format(more=more), gpus="A100:1", env={"RUNPOD_API_KEY": "rpa_TESTKEY"})
        if starts:
            with b:
                pass
        else:
            done = subprocess.run([weir, "serve", "--listen", "127.0.0.1:0", "--data", str(b.data), *b.args], env=b.env, capture_output=True, text=True, timeout=120,
                                  check=False)
            shutil.rmtree(b.dir)
            assert done.returncode != 0 and ("rents containers" in done.stderr if not more else "there is no driver 'runpot'" in done.stderr), done.stderr


def test_an_address_that_another_peer_has_stays_theirs(weir):
    with Outside() as outside, Gateway() as gateway, cloud(outside) as c, site(weir, c) as b:
        theirs = sh("wg", "pubkey", stdin=sh("wg", "genkey"))
        sh("wg", "set", "wg0", "peer", theirs, "allowed-ips", "10.77.0.3/32")
        job = rent(b)
        assert b.wait(job)["state"] == "succeeded", b.tasks(job)
        assert gateway.peers().pop(theirs) == "10.77.0.3/32"
        sh("wg", "set", "wg0", "peer", theirs, "remove")
        end_all(b, c, gateway)


def test_the_capability_goes_to_wg_alone(weir):
    if not shutil.which("setpriv"):
        raise Skip("not installed: setpriv")
    with cloud_records() as c, site(weir, c) as b:
        b.stop()
        wg = b.dir / "wg"
        wg.write_text(f"#!/bin/sh\ngrep CapAmb /proc/self/status >> {b.dir}/seen\necho AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")
        wg.chmod(0o700)
        config = b.dir / "weir.yaml"
        config.write_text(config.read_text().replace("wireguard:\n", f"wireguard:\n  command: [{wg}]\n"))
        weir_itself, b.weir = b.weir, str(b.dir / "with-capability")
        (b.dir / "with-capability").write_text(f'#!/bin/sh\nexec setpriv --inh-caps +net_admin --ambient-caps +net_admin {weir_itself} "$@"\n')
        (b.dir / "with-capability").chmod(0o700)
        b.start()
        b.weir = weir_itself
        seen = until("wg to be called", lambda: (b.dir / "seen").exists() and (b.dir / "seen").read_text().splitlines())[0]
        job = b.submit({"name": "look", "run": "grep CapAmb /proc/self/status", "resources": {"cpus": 1}})
        assert b.wait(job)["state"] == "succeeded"
        own = b.ok("logs", job).strip()
        assert int(seen.split()[1], 16) >> 12 & 1 == 1, seen
        assert int(own.split()[1], 16) == 0, own


def skip_all(missing):
    def skip(_):
        raise Skip(missing)

    return {name: skip if name.startswith("test_") else value for name, value in globals().items()}


def main():
    if INSIDE in os.environ:
        sh("mount", "-t", "tmpfs", "tmpfs", "/run/wireguard")
        sh("ip", "link", "set", "lo", "up")
        return lib.main(globals(), at_once=1)  # they share the interface
    missing = what_is_missing()
    if missing:
        return lib.main(skip_all(missing))
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "-nm", sys.executable, *sys.argv])


if __name__ == "__main__":
    sys.exit(main())
