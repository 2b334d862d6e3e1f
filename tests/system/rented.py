# SPDX-License-Identifier: Apache-2.0
"""Brokers that rent from mock clouds, whose machines are real agents started from the very script that weir sent."""
import os
import re

from lib import Broker, until
from mockcloud import MockCloud

NVML = os.environ.get("MOCK_NVML_LIBRARY")
AZURE_IDS = "/subscriptions/0-0/resourceGroups/weir/providers/Microsoft.Network"

# Provider: the mock's dialect, its options, the section of weir.yaml, the environment of the broker, the GPU of its cheapest machine.
CLOUDS = {
    "runpod": ("runpod", [], """
    endpoint: {url}
    poll: 200ms
    calls_per_second: 200
    max_gpus: 1
    regions: [EU-RO-1]
    agent: {weir}
""", {"RUNPOD_API_KEY": "rpa_TESTKEY"}, "L4"),
    "gcp": ("gce", ["service_account=DIR/key.json"], """
    endpoint: {url}
    project: weir-test
    image: projects/debian-cloud/global/images/family/debian-12
    service_account_file: {dir}/key.json
    prices_endpoint: {url}
    poll: 200ms
    calls_per_second: 200
    zones: [us-central1-a]
    max_gpus: 1
    agent: {weir}
""", {}, "L4"),
    "aws": ("ec2", ["key=AKIDMOCK"], """
    endpoint: {url}
    regions: [us-east-1]
    types: [g6.xlarge]
    image: ami-0123456789abcdef0
    prices_every: 1s
    agent: {weir}
""", {"AWS_ACCESS_KEY_ID": "AKIDMOCK", "AWS_SECRET_ACCESS_KEY": "a-secret-that-is-never-shown", "AWS_EC2_METADATA_DISABLED": "true"}, "L4"),
    "azure": ("azure", [], f"""
    endpoint: {{url}}
    login_endpoint: {{url}}
    prices_endpoint: {{url}}
    subscription: 00000000-0000-0000-0000-00000000a2e5
    resource_group: weir
    tenant: 11111111-1111-1111-1111-111111111111
    client_id: 22222222-2222-2222-2222-222222222222
    image: "microsoft-dsvm:ubuntu-hpc:2204:latest"
    ssh_key: ssh-ed25519 AAAA me
    networks: {{{{eastus: {{{{subnet: "{AZURE_IDS}/virtualNetworks/v/subnets/s"}}}}}}}}
    poll: 200ms
    calls_per_second: 200
    max_gpus: 1
    agent: {{weir}}
""", {"AZURE_CLIENT_SECRET": "mock-client-secret"}, "T4"),
    "lambda": ("lambda", ["key=secret_test_TESTKEY"], """
    endpoint: {url}
    poll: 200ms
    calls_per_second: 200
    max_gpus: 1
    ssh_key: k
    regions: [us-east-1]
    agent: {weir}
""", {"LAMBDA_API_KEY": "secret_test_TESTKEY"}, "A10"),
    "vast": ("vast", ["key=vast_test_TESTKEY"], """
    endpoint: {url}
    poll: 200ms
    calls_per_second: 200
    max_gpus: 1
    image: registry.example/cuda:12
    agent: {weir}
""", {"VAST_API_KEY": "vast_test_TESTKEY"}, "A10"),
}


def cloud(provider, **kw):
    dialect, options = CLOUDS[provider][:2]
    mock = MockCloud(dialect, nvml=NVML, options=options, **kw)
    mock.provider = provider
    return mock


def broker(weir, *clouds, gpus="A100:4", policy="", max_gpus=None, more=""):
    config = f"policy: {{{policy}}}\n" if policy else ""
    config += "providers:\n"
    env = {}
    for c in clouds:
        _, _, section, variables, _ = CLOUDS[c.provider]
        section = section if max_gpus is None else re.sub(r"max_gpus: \d+", f"max_gpus: {max_gpus}", section)
        config += f"  {c.provider}:" + section.format(url=c.url, dir=c.dir, weir=weir)
        env.update(variables)
    return Broker(weir, config=config + more, gpus=gpus, env=env)


def only_there(provider, **more):
    """A job that only that cloud can run."""
    return {"name": "spill", "run": "echo here", "max_duration": "10m", "resources": {"accelerators": {CLOUDS[provider][4]: 1}, "cpus": 1},
            "delay_cost": 5000, "placement": {"local": "never", "clouds": [provider]}, **more}


def leases(b):
    return b.get("/v1/leases")["items"]


def made(c):
    return [i for i in c.inventory()["instances"] if i["state"] != "gone"]


def nothing_left(b, *clouds):
    """Every lease is over, every cloud's own books say that nothing is there, and that nothing was ever made twice."""
    until("all leases to end", lambda: not leases(b))
    for c in clouds:
        until("the cloud to be empty", lambda c=c: c.inventory()["alive"] == 0)
        assert not c.inventory()["doubles"], c.inventory()["doubles"]
    audit = b.json("leases", "--audit")
    assert audit["clean"] and not any(p["machines"] for p in audit["providers"]), audit
    b.balanced()
    keeps_its_keys(b)


def keeps_its_keys(b):
    """Neither what the broker said nor what it stored has a key of a provider."""
    keys = [v.encode() for k, v in b.env.items() if re.search("KEY|SECRET", k) and k != "AWS_ACCESS_KEY_ID" and any(k in c[3] for c in CLOUDS.values())]
    for path in [b.dir / "serve.log", *(p for p in b.data.rglob("*") if p.is_file())]:
        text = path.read_bytes()
        shown = [k for k in keys if k in text]
        assert not shown, f"{path} has {shown}"
