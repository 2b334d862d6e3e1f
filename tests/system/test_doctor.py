# SPDX-License-Identifier: Apache-2.0
"""`weir doctor` against mock clouds that are in order, and that are not: what is wrong is named, with what to do, in bounded time."""
import json
import re
import subprocess
import sys
import time

import lib
import rented
from mockcloud import MockCloud

SECONDS_MAX = 100  # also where nobody answers, on a busy host


def doctor(b):
    """The rows of the providers, by name; and all that a person sees."""
    since = time.monotonic()
    said = b.run("doctor", timeout=SECONDS_MAX)
    o = json.loads(b.run("doctor", "--json", timeout=SECONDS_MAX).stdout)
    assert time.monotonic() - since < 2 * SECONDS_MAX
    rows = {}
    for c in o["checks"]:
        rows.setdefault(c["name"], c)
        if c["verdict"] == "bad" and c["name"].split()[0] in rented.CLOUDS:
            shown = re.search(rf"^bad +{re.escape(c['name'])} +\S.*\n +-> (.*)$", said.stdout, re.M)
            assert shown and c["text"] and shown[1] == c["remedy"], (c, said.stdout)
    assert (said.returncode == 0) == o["ok"] and o["ok"] == all(c["verdict"] != "bad" for c in o["checks"]), o
    return rows, said.stdout


def is_bad(row, text, remedy):
    assert row["verdict"] == "bad" and text in row["text"] and remedy in row["remedy"], row


class Cloud:
    """A broker that has one provider, whose cloud is the mock."""

    def __init__(self, weir, provider, env=None):
        dialect, options, self.section, self.env, _ = rented.CLOUDS[provider]
        self.weir, self.provider = weir, provider
        self.env = {**self.env, **(env or {})}
        self.mock = MockCloud(dialect, options=options)

    def __enter__(self):
        self.mock.__enter__()
        config = f"providers:\n  {self.provider}:" + self.section.format(url=self.mock.url, dir=self.mock.dir, weir=self.weir)
        self.broker = lib.Broker(self.weir, config=config, env=self.env)
        b = self.broker.__enter__()
        lib.until("the own host to be up", lambda: b.get("/v1/status")["nodes"]["up"] == 1)
        return b, self.mock

    def __exit__(self, *exc):
        self.broker.__exit__(*exc)
        self.mock.__exit__(*exc)


def test_ec2_in_order(weir):
    with Cloud(weir, "aws") as (b, mock):
        rows, said = doctor(b)
        for name in ("endpoint", "credentials", "clock", "list", "image", "launch", "terminate", "prices"):
            assert rows[f"aws {name}"]["verdict"] == "ok", (name, said)
        assert mock.inventory()["instances"] == [], "a dry run has made a machine"
        assert "a-secret" not in said


def test_ec2_does_not_know_the_key(weir):
    with Cloud(weir, "aws", {"AWS_ACCESS_KEY_ID": "AKIDWRONG"}) as (b, _):
        rows, said = doctor(b)
        is_bad(rows["aws credentials"], "ExpiredToken", "AWS_ACCESS_KEY_ID")
        assert "aws launch" not in rows and rows["aws endpoint"]["verdict"] == "ok", said


def test_ec2_without_any_key(weir):
    with Cloud(weir, "aws", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": "/nonexistent"}) as (b, _):
        rows, _ = doctor(b)
        is_bad(rows["aws credentials"], "aws:", "AWS_ACCESS_KEY_ID")


def test_ec2_names_the_permissions_that_are_missing(weir):
    with Cloud(weir, "aws") as (b, mock):
        for permission, row, verdict in (("ec2:RunInstances", "launch", "bad"), ("ec2:CreateTags", "launch", "bad"), ("ec2:DescribeInstances", "list", "bad"),
                                         ("ec2:DescribeImages", "image", "note"), ("ec2:TerminateInstances", "terminate", "note")):
            mock.set(denied=[permission])
            rows, said = doctor(b)
            found = rows[f"aws {row}"]
            assert found["verdict"] == verdict and permission in found["text"] and f"allow {permission} " in found["remedy"], (permission, said)
        assert rows["aws launch"]["verdict"] == "ok", said


def test_a_clock_that_is_off(weir):
    with Cloud(weir, "aws") as (b, mock):
        mock.set(skew_s=600)
        rows, said = doctor(b)
        is_bad(rows["aws clock"], "s behind aws's", "timedatectl")
        assert rows["aws launch"]["verdict"] == "ok", said  # weir signs with EC2's time
        mock.set(skew_s=-90)
        rows, _ = doctor(b)
        assert rows["aws clock"]["verdict"] == "note" and "ahead of" in rows["aws clock"]["text"], rows


def test_ec2_has_no_such_image(weir):
    with Cloud(weir, "aws") as (b, mock):
        mock.set(no_images=True)
        rows, _ = doctor(b)
        is_bad(rows["aws image"], "ami-0123456789abcdef0", "'image' of providers.aws")
        is_bad(rows["aws launch"], "InvalidAMIID", "'image' of providers.aws")


def test_ec2_does_not_answer(weir):
    with Cloud(weir, "aws") as (b, mock):
        for fault, param in (("lost_request", {}), ("server_error", {"status": 503})):
            mock.clear()
            mock.fault(fault, times=-1, **param)
            rows, said = doctor(b)
            is_bad(rows["aws endpoint"], "aws: DescribeInstances", "'endpoint' of providers.aws")
            assert "aws credentials" not in rows, said
        mock.clear()
        mock.fault("throttle", on="list", times=-1)
        rows, said = doctor(b)
        assert rows["aws list"]["verdict"] == "note" and "RequestLimitExceeded" in rows["aws list"]["text"], said
        assert rows["aws endpoint"]["verdict"] == "ok" == rows["aws launch"]["verdict"], said


def test_machines_that_could_not_reach_the_broker_are_not_rented(weir):
    """Its address is one of this host alone, and the provider is not on it: 0.0.0.0 leads here, too, and nobody listens there."""
    _, _, section, env, _ = rented.CLOUDS["aws"]
    config = "providers:\n  aws:" + section.format(url="https://0.0.0.0:9", dir="/nonexistent", weir=weir)
    with lib.Broker(weir, config=config, env=env) as b:
        lib.until("the own host to be up", lambda: b.get("/v1/status")["nodes"]["up"] == 1)
        rows, _ = doctor(b)
        is_bad(rows["aws address"], f"machines cannot reach the broker at {b.url}", "public_url")
        b.submit(rented.only_there("aws"))
        lease = lib.until("a launch to be given up", lambda: [x for x in b.get("/v1/leases?all=true")["items"] if x["ended"]])[0]
        assert lease["failure"] == "refused", lease
        assert "machines cannot reach the broker" in b.run("leases", "--all").stdout + json.dumps(lease), lease


def test_who_asks_when_the_broker_stops_is_answered(weir):
    with Cloud(weir, "aws") as (b, mock):
        mock.fault("slow_body", times=-1, on="other", seconds=20)  # DescribeImages
        asked = subprocess.Popen([b.weir, "doctor"], env=b.env, stdout=subprocess.PIPE, text=True)
        lib.until("the look to be under way", lambda: mock.requests("other"))
        b.stop()
        said = asked.communicate(timeout=SECONDS_MAX)[0]
        assert asked.returncode == 1 and "the broker is stopping" in said, said
        b.start()


def test_keys_of_plain_providers(weir):
    for provider, variable in (("runpod", "RUNPOD_API_KEY"), ("lambda", "LAMBDA_API_KEY"), ("vast", "VAST_API_KEY"), ("azure", None)):
        with Cloud(weir, provider) as (b, mock):
            rows, said = doctor(b)
            for name in ("endpoint", "clock", "credentials", "list", "prices"):
                assert rows[f"{provider} {name}"]["verdict"] == "ok", (name, said)
            mock.set(skew_s=-600)
            rows, _ = doctor(b)
            is_bad(rows[f"{provider} clock"], f"ahead of {provider}'s", "timedatectl")
            mock.set(skew_s=0, denied=["list"])
            rows, _ = doctor(b)
            is_bad(rows[f"{provider} list"], provider, f"docs/guide/providers/{provider}.md")
            mock.set(denied=[])
            mock.fault("bad_body", on="list", times=-1)
            rows, _ = doctor(b)
            is_bad(rows[f"{provider} list"], "", f"'endpoint' of providers.{provider}")
            mock.clear()
            mock.fault("lost_request", times=-1)
            rows, _ = doctor(b)
            is_bad(rows[f"{provider} endpoint"], provider, f"'endpoint' of providers.{provider}")
        if variable:
            with Cloud(weir, provider, {variable: "not-a-good-key"}) as (b, _):
                rows, said = doctor(b)
                is_bad(rows[f"{provider} credentials"], provider, f"set {variable}")
                assert f"{provider} list" not in rows and "not-a-good-key" not in said, said


def test_plain_providers_tell_what_the_key_may_and_what_cannot_be_known(weir):
    for provider, denied, row, missing, unknown in (("runpod", "offers", "permissions", "read access to the catalogue", "write access to pods"),
                                                    ("lambda", "k", "ssh_key", "SSH key 'k'", None), ("vast", None, None, None, "instance_write")):
        with Cloud(weir, provider) as (b, mock):
            rows, said = doctor(b)
            if denied:
                assert rows[f"{provider} {row}"]["verdict"] == "ok", said
            if unknown:
                rights = rows[f"{provider} rights"]
                assert rights["verdict"] == "note" and rights["text"].startswith("not checked: ") and unknown in rights["text"], said
            if denied:
                mock.set(denied=[denied])
                rows, _ = doctor(b)
                is_bad(rows[f"{provider} {row}"], missing, "")


def test_google_tells_permissions_and_image(weir):
    with Cloud(weir, "gcp") as (b, mock):
        rows, said = doctor(b)
        for name in ("endpoint", "clock", "credentials", "list", "permissions", "image", "prices"):
            assert rows[f"gcp {name}"]["verdict"] == "ok", (name, said)
        mock.set(denied=["compute.instances.create", "compute.disks.create"])
        rows, _ = doctor(b)
        is_bad(rows["gcp permissions"], "weir-test: compute.instances.create, compute.disks.create", "docs/guide/providers/gcp.md")
        mock.set(denied=["compute.subnetworks.useExternalIp"], no_images=True)
        rows, _ = doctor(b)
        assert rows["gcp network"]["verdict"] == "note" and "compute.subnetworks.useExternalIp" in rows["gcp network"]["text"], rows
        is_bad(rows["gcp image"], "projects/debian-cloud/global/images/family/debian-12", "'image' of providers.gcp")
        mock.set(denied=["permissions", "image"], no_images=False)
        rows, _ = doctor(b)
        assert "cloudresourcemanager" in rows["gcp permissions"]["remedy"] and rows["gcp image"]["verdict"] == "note", rows


def test_azure_tells_permissions(weir):
    with Cloud(weir, "azure") as (b, mock):
        rows, said = doctor(b)
        assert rows["azure permissions"]["verdict"] == "ok" and "resource group weir" in rows["azure permissions"]["text"], said
        mock.set(denied=["Microsoft.Compute/virtualMachines/write", "Microsoft.Network/publicIPAddresses/*"])
        rows, _ = doctor(b)
        is_bad(rows["azure permissions"], "weir: Microsoft.Compute/virtualMachines/write, Microsoft.Network/publicIPAddresses/write", "docs/guide/providers/azure.md")
        assert "virtualMachines/read" not in rows["azure permissions"]["text"], rows
        mock.set(denied=["Microsoft.Network/virtualNetworks/subnets/join/action"])
        rows, _ = doctor(b)
        assert rows["azure network"]["verdict"] == "note" and "subnets/join/action" in rows["azure network"]["text"], rows
        mock.set(denied=["permissions"])
        rows, _ = doctor(b)
        assert rows["azure permissions"]["verdict"] == "note" and "Microsoft.Authorization/permissions/read" in rows["azure permissions"]["remedy"], rows


def test_who_may_not_operate_is_told_so(weir):
    with Cloud(weir, "aws") as (b, _):
        b.ok("user", "add", "vera", "--role", "viewer")
        b.env = {**b.env, "WEIR_TOKEN": b.json("token", "create", "--user", "vera")["token"]}
        rows, _ = doctor(b)
        assert rows["provider checks"]["verdict"] == "note" and "operator" in rows["provider checks"]["text"], rows
        assert not any(name.startswith("aws ") for name in rows), rows


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
