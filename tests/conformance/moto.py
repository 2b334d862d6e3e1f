# SPDX-License-Identifier: Apache-2.0
"""Runs a program against moto, an independent imitation of AWS, with signatures verified.

    moto.py VENV PROGRAM       installs moto into VENV where it is not there; skips by name where it cannot be had
"""
import os
import pathlib
import socket
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


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def main():
    venv, program = sys.argv[1:3]
    python, why = lib.make_venv(venv, ["moto[server,ec2,iam,s3,ssm]==5.2.5"])
    if python is None:
        print(f"1..0 # SKIP moto cannot be installed: {why}")
        return 0
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
    server = subprocess.Popen([python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              env={**env, "INITIAL_NO_AUTH_ACTION_COUNT": str(FREE_CALLS)}, text=True)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > end:
                    print(f"Bail out! moto does not start: {server.stderr.read()[-2000:] if server.poll() is not None else 'not in time'}")
                    return 1
                time.sleep(0.1)
        made = subprocess.run([python, "-c", MAKE, url], capture_output=True, text=True, timeout=60, env=env, check=False)
        if made.returncode != 0:
            print(f"Bail out! no user could be made: {made.stderr[-1500:]}")
            return 1
        key, secret, role, narrow = made.stdout.split()
        return subprocess.run([program], env={**env, "MOTO_URL": url, "MOTO_KEY": key, "MOTO_SECRET": secret, "MOTO_ROLE": role, "MOTO_ROLE_NARROW": narrow},
                              timeout=200, check=False).returncode
    finally:
        server.terminate()
        server.wait(timeout=20)


if __name__ == "__main__":
    sys.exit(main())
