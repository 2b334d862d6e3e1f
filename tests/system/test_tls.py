#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TLS on what others can reach, certificates that change while the broker runs: test_tls.py WEIR [TEST...]"""
import pathlib
import shutil
import socket
import ssl
import subprocess
import sys
import warnings

import lib

TOKEN_FILE = "token"


def admin(b):
    return {"Authorization": "Bearer " + (b.data / TOKEN_FILE).read_text()}


def own_address():
    """An address of this host that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError as e:
            raise lib.Skip(f"this host has no address but loopback: {e}") from None
        return s.getsockname()[0]


def shown(host, port, context=None):
    """The certificate that a handshake is answered with."""
    context = context or ssl._create_unverified_context()  # noqa: SLF001
    with socket.create_connection((host, port), timeout=120) as s, context.wrap_socket(s, server_hostname="weir.example.org") as t:
        return ssl.DER_cert_to_PEM_cert(t.getpeercert(True)), t.version()


def another(weir, folder):
    """A certificate and key by another authority: that of another broker."""
    with lib.Broker(weir, gpus=None, args=["--no-agent"], listen="0.0.0.0") as b:
        shutil.copy(b.data / "tls" / "server.pem", folder / "cert.pem.new")
        shutil.copy(b.data / "tls" / "server-key.pem", folder / "key.pem.new")
    (folder / "cert.pem.new").rename(folder / "cert.pem")
    (folder / "key.pem.new").rename(folder / "key.pem")
    return ssl.PEM_cert_to_DER_cert((folder / "cert.pem").read_text().split("-----END")[0] + "-----END CERTIFICATE-----\n")


def test_nothing_is_served_in_the_clear_to_others(weir):
    with lib.Broker(weir, gpus=None, args=["--no-agent"], listen="0.0.0.0") as b:
        assert b.http("GET", "/v1/health")[0] == 200
        for path in ("/v1/health", "/v1/status", "/metrics", "/", "/v1/agent/sync"):
            with socket.create_connection(("127.0.0.1", b.port), timeout=120) as s:
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert b"HTTP/" not in s.recv(4096), path
        listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=False).stdout.splitlines() if shutil.which("ss") else []
        own = [line for line in listening if f"pid={b.process.pid}," in line]
        assert all(f":{b.port} " in line for line in own), own  # no other listener
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
                old = ssl._create_unverified_context()  # noqa: SLF001
                old.set_ciphers("ALL:@SECLEVEL=0")
                old.minimum_version = ssl.TLSVersion.TLSv1
                old.maximum_version = version
                try:
                    raise AssertionError(shown("127.0.0.1", b.port, old))
                except (ssl.SSLError, ConnectionError):
                    pass
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            context = ssl._create_unverified_context()  # noqa: SLF001
            context.maximum_version = version
            assert shown("127.0.0.1", b.port, context)[1] == name
        weak = ssl._create_unverified_context()  # noqa: SLF001
        weak.maximum_version = ssl.TLSVersion.TLSv1_2
        for ciphers in ("RC4", "3DES", "NULL", "EXPORT", "aNULL"):
            try:
                weak.set_ciphers(ciphers + ":@SECLEVEL=0")
            except ssl.SSLError:
                continue  # this OpenSSL has none to offer
            try:
                raise AssertionError(f"{ciphers}: {shown('127.0.0.1', b.port, weak)}")
            except (ssl.SSLError, ConnectionError):
                pass


def test_a_given_certificate_is_for_others_and_read_again(weir):
    with lib.Broker(weir, gpus="A100:1", listen="0.0.0.0") as b:
        cert, key = b.dir / "cert.pem", b.dir / "key.pem"
        first = another(weir, b.dir)
        own = shown("127.0.0.1", b.port)[0]
        b.stop()
        b.args += ["--tls-cert", str(cert), "--tls-key", str(key)]
        b.start()
        outside = own_address()
        assert shown("127.0.0.1", b.port)[0] == own
        assert ssl.PEM_cert_to_DER_cert(shown(outside, b.port)[0]) == first
        b.env["WEIR_TOKEN"] = (b.data / TOKEN_FILE).read_text()
        assert b.http("GET", "/v1/whoami", headers=admin(b))[0] == 200
        lib.until("this host's agent to be there", lambda: [n for n in b.json("nodes") if n["state"] == "up"])
        # half of a new pair is passed over, the whole is taken, without a restart
        (b.dir / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nhalf")
        lib.until("the half to be seen", lambda: "PEM" in (b.dir / "serve.log").read_text())
        assert ssl.PEM_cert_to_DER_cert(shown(outside, b.port)[0]) == first
        second = another(weir, b.dir)
        assert second != first
        lib.until("the new certificate", lambda: ssl.PEM_cert_to_DER_cert(shown(outside, b.port)[0]) == second)
        assert shown("127.0.0.1", b.port)[0] == own


def test_what_is_wrong_with_a_given_certificate_is_said(weir):
    folder = lib.Broker(weir, gpus=None).dir
    try:
        another(weir, folder)
        shutil.copy(folder / "key.pem", folder / "old-key.pem")
        another(weir, folder)
        for listen, args, code, want in (
                ("0.0.0.0:0", ["--tls-cert", "cert.pem", "--tls-key", "old-key.pem"], 78, "cannot be used together"),
                ("0.0.0.0:0", ["--tls-cert", "nowhere.pem", "--tls-key", "key.pem"], 3, "nowhere.pem"),
                ("127.0.0.1:0", ["--tls-cert", "cert.pem", "--tls-key", "key.pem"], 78, "other addresses than loopback"),
                ("0.0.0.0:0", ["--tls-cert", "cert.pem"], 2, "--tls-key")):
            done = subprocess.run([weir, "serve", "--no-agent", "--data", str(folder / "data"), "--listen", listen, *args], cwd=folder, timeout=120,
                                  capture_output=True, text=True, check=False)
            assert done.returncode == code and want in done.stderr, (args, done)
    finally:
        shutil.rmtree(pathlib.Path(folder))


if __name__ == "__main__":
    sys.exit(lib.main(globals()))
