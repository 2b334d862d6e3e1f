# SPDX-License-Identifier: Apache-2.0
"""`weir doctor` against mock clouds that are in order, and that are not: what is wrong is named, with what to do, in bounded time."""
import json
import sys
import time

import lib
import rented
from mockcloud import MockCloud

SECONDS_MAX = 40  # also where nobody answers


def doctor(b):
    """The rows of the providers, by name; and all that a person sees."""
    since = time.monotonic()
    said = b.run("doctor", timeout=SECONDS_MAX)
    o = json.loads(b.run("doctor", "--json", timeout=SECONDS_MAX).stdout)
    assert time.monotonic() - since < 2 * SECONDS_MAX
    rows = {}
    for c in o["checks"]:
        rows.setdefault(c["name"], c)
        if c["verdict"] == "bad":
            assert c["text"] in said.stdout and c["remedy"] and f"-> {c['remedy']}" in said.stdout, (c, said.stdout)
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


def test_who_may_not_operate_is_told_so(weir):
    with Cloud(weir, "aws") as (b, _):
        b.ok("user", "add", "vera", "--role", "viewer")
        b.env = {**b.env, "WEIR_TOKEN": b.json("token", "create", "--user", "vera")["token"]}
        rows, _ = doctor(b)
        assert rows["provider checks"]["verdict"] == "note" and "operator" in rows["provider checks"]["text"], rows
        assert not any(name.startswith("aws ") for name in rows), rows


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
