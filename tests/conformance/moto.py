# SPDX-License-Identifier: Apache-2.0
"""Runs a program against moto, an independent imitation of AWS, with signatures verified.

    moto.py VENV PROGRAM       installs moto into VENV where it is not there; skips by name where it cannot be had
"""
import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "system"))

import lib  # noqa: E402

FREE_CALLS = 7  # before signatures count: CreateUser, PutUserPolicy, CreateAccessKey, twice CreateRole and PutRolePolicy
POLICY = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["ec2:*", "sts:*", "ssm:*", "s3:*"], "Resource": "*"}]}'
LOOK = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["ec2:Describe*", "ssm:*"], "Resource": "*"}]}'
TRUST = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}'
MAKE = f"""
import boto3, sys
iam = boto3.client("iam", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
iam.create_user(UserName="weir")
iam.put_user_policy(UserName="weir", PolicyName="weir", PolicyDocument='{POLICY}')
key = iam.create_access_key(UserName="weir")["AccessKey"]
role = iam.create_role(RoleName="weir", AssumeRolePolicyDocument='{TRUST}')["Role"]["Arn"]
iam.put_role_policy(RoleName="weir", PolicyName="weir", PolicyDocument='{POLICY}')
narrow = iam.create_role(RoleName="look", AssumeRolePolicyDocument='{TRUST}')["Role"]["Arn"]
iam.put_role_policy(RoleName="look", PolicyName="look", PolicyDocument='{LOOK}')
print(key["AccessKeyId"], key["SecretAccessKey"], role, narrow)
"""


def address(log, server):
    """What the server says it serves on: the port is the kernel's choice. None where it ended, or said nothing in time."""
    end = time.monotonic() + 180
    while server.poll() is None and time.monotonic() < end:
        said = re.search(r"Running on (http://127\.0\.0\.1:[1-9][0-9]*)", log.read_text(errors="replace"))
        if said:
            return said[1]
        time.sleep(0.1)
    return None


def main():
    venv, program = sys.argv[1:3]
    python, why = lib.make_venv(venv, "moto")
    if python is None:
        print(f"1..0 # SKIP moto cannot be installed: {why}")
        return 0
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    log = pathlib.Path(venv, f"moto-{os.getpid()}.log")  # a pipe that nobody reads would stop it one day
    with log.open("w", encoding="utf-8") as out:
        server = subprocess.Popen([python, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stdout=out, stderr=out,
                                  env={**env, "PYTHONUNBUFFERED": "1", "INITIAL_NO_AUTH_ACTION_COUNT": str(FREE_CALLS)}, text=True)
    try:
        url = address(log, server)
        if url is None:
            print(f"Bail out! moto does not start: {log.read_text(errors='replace')[-2000:]}")
            return 1
        made = subprocess.run([python, "-c", MAKE, url], capture_output=True, text=True, timeout=200, env=env, check=False)
        if made.returncode != 0:
            print(f"Bail out! no user could be made: {made.stderr[-1500:]}")
            return 1
        key, secret, role, narrow = made.stdout.split()
        return subprocess.run([program], env={**env, "MOTO_URL": url, "MOTO_KEY": key, "MOTO_SECRET": secret, "MOTO_ROLE": role, "MOTO_ROLE_NARROW": narrow},
                              timeout=600, check=False).returncode
    finally:
        server.terminate()
        server.wait(timeout=60)
        log.unlink()


if __name__ == "__main__":
    sys.exit(main())
