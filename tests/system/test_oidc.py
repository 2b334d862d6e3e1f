#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signed tokens of an OpenID Connect issuer: test_oidc.py WEIR [TEST...]

The issuer is in this process and signs with PyJWT and cryptography, which are installed into a virtual environment beside the program;
where that is not possible the tests are skipped by name. The last test asks a public mock issuer of the npm registry.
"""
import base64
import http.server
import json
import os
import pathlib
import stat
import subprocess
import sys
import threading
import time
import urllib.parse

import lib

try:
    import jwt
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
except ImportError:
    jwt = None
    missing = "PyJWT"


class Issuer:
    """Discovery document and keys over HTTP; counts what it is asked."""

    def __init__(self, port=0):
        self.keys = {}
        self.asked = []
        self.answered = None  # when it last was, in order
        self.broken = False
        self.issuer_says = None
        self.discovery = {}
        self.forms = []  # what was posted
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                if outer.broken:
                    self.send_error(500)
                    return
                body = {"issuer": outer.issuer_says or outer.url, "jwks_uri": outer.url + "/keys", **outer.discovery} if "well-known" in self.path else {"keys": outer.jwks()}
                self.answer(200, body)
                outer.answered = time.monotonic()

            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                outer.forms.append((self.path, form))
                self.answer(*outer.on_form(self.path, form))

            def answer(self, status, body):
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()
        self.add("r1", rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256")
        self.add("e1", ec.derive_private_key(4711, ec.SECP256R1()), "ES256")
        self.add("d1", ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32))), "EdDSA")

    def add(self, kid, key, alg):
        self.keys[kid] = (key, alg)

    def jwks(self):
        """By RFC 7518 and 8037: what PyJWT makes of a key is not the same in each of its versions."""
        def number(n, size):
            return base64.urlsafe_b64encode(n.to_bytes(size, "big")).rstrip(b"=").decode()

        made = []
        for kid, (key, alg) in self.keys.items():
            public = key.public_key()
            if alg == "EdDSA":
                raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
                made.append({"kid": kid, "kty": "OKP", "crv": "Ed25519", "x": number(int.from_bytes(raw, "big"), 32)})
            elif alg == "ES256":
                of = public.public_numbers()
                made.append({"kid": kid, "kty": "EC", "crv": "P-256", "x": number(of.x, 32), "y": number(of.y, 32)})
            else:
                of = public.public_numbers()
                made.append({"kid": kid, "kty": "RSA", "n": number(of.n, 256), "e": number(of.e, 3)})
        return made

    def token(self, kid="r1", key=None, alg=None, header=None, **claims):
        known_key, known_alg = self.keys.get(kid, (None, None))
        payload = {"iss": self.url, "aud": "weir", "exp": int(time.time()) + 600, "iat": int(time.time()), "sub": "ada", **claims}
        payload = {k: v for k, v in payload.items() if v is not None}
        return jwt.encode(payload, key or known_key, algorithm=alg or known_alg, headers={"kid": kid, **(header or {})})

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(timeout=120)


def broker(weir, issuer, more="", **kw):
    config = f"""access:
  oidc:
    - issuer: {issuer.url}
      audience: weir
      groups: groups
      roles: {{weir-admins: admin, money: finance}}
      projects: {{vision-team: vision:user, leads: ["vision:owner", "speech:viewer"]}}
{more}"""
    return lib.Broker(weir, config=config, gpus=None, args=["--no-agent"], **kw)


def who(b, token):
    code, body = b.http("GET", "/v1/whoami", headers={"Authorization": f"Bearer {token}"})
    return code, json.loads(body)


def told(b, token):
    code, body = who(b, token)
    return code, body["error"]["message"] if code >= 400 else body


def needs_jwt():
    if jwt is None:
        raise lib.Skip(f"PyJWT cannot be installed: {missing}")


def test_groups_say_what_somebody_may_do(weir):
    needs_jwt()
    with Issuer() as i, broker(weir, i) as b:
        for kid in ("r1", "e1", "d1"):
            code, body = who(b, i.token(kid, groups=["vision-team"]))
            assert code == 200 and body["user"] == "ada" and body["role"] == "user" and body["projects"] == {"vision": "user"}, (kid, code, body)
        assert who(b, i.token(sub="bob"))[1]["projects"] == {}
        cid = who(b, i.token(sub="cid", groups=["leads", "money"]))[1]
        assert (cid["role"], cid["projects"]) == ("finance", {"vision": "owner", "speech": "viewer"}), cid
        root = i.token(sub="eve", groups="other weir-admins")
        assert who(b, root)[1]["role"] == "admin"
        b.env["WEIR_TOKEN"] = i.token(groups=["vision-team"])
        job = json.loads(b.ok("submit", "--json", "-", input="name: x\nproject: vision\nrun: 'true'\n"))["id"]
        assert b.run("submit", "-", input="name: x\nproject: speech\nrun: 'true'\n").returncode == 77
        assert b.json("show", job)["user"] == "ada"
        b.env["WEIR_TOKEN"] = root
        trail = b.json("audit")
        assert {"job.submit"} <= {r["action"] for r in trail if r["user"] == "ada"}, trail
        assert [r["object"] for r in trail if r["action"] == "user.login" and r["user"] == "ada"] == ["user ada"], trail
        # what an administrator gives counts as well, what he takes is gone at once
        b.ok("project", "set", "speech", "--weight", "1")
        b.ok("project", "add", "speech", "ada", "--role", "owner")
        ada = i.token(groups=["vision-team"])
        assert who(b, ada)[1]["projects"] == {"vision": "user", "speech": "owner"}
        b.ok("user", "set", "ada", "--disable")
        assert [told(b, t)[0] for t in (ada, i.token(), b.env["WEIR_TOKEN"])] == [401, 401, 200]
        b.ok("user", "set", "ada", "--enable")
        assert told(b, ada)[0] == 200
        b.kill()
        b.start()
        assert who(b, ada)[1]["projects"] == {"vision": "user", "speech": "owner"}


def test_what_is_not_signed_for_weir_is_refused(weir):
    needs_jwt()
    with Issuer() as i, broker(weir, i) as b:
        now = int(time.time())
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        rows = [
            (i.token(aud="another"), "audience"), (i.token(iss="http://127.0.0.1:1"), "none of those"), (i.token(exp=now - 61), "expired"),
            (i.token(exp=None), "'exp'"), (i.token(nbf=now + 3600), "not valid yet"), (i.token(iat=now + 3600), "not valid yet"),
            (i.token(key=other), "signature is not"), (i.token(header={"crit": ["exp"]}), "crit"),
            (i.token(key="x" * 64, alg="HS256"), "only RS256"), (jwt.encode({"iss": i.url}, None, algorithm="none"), "only RS256"),
            (i.token(sub="a b"), "blanks"), (i.token(sub=None), "no name"), (i.token(sub="x" * 64), "no name"), (i.token(sub="a/b"), "blanks"),
            ("a.b.c", "header"), ("..", "header"), (i.token(more="x" * 9000), "too long"),
        ]
        for token, text in rows:
            code, message = told(b, token)
            assert code == 401 and text in message, (text, code, message)
        assert told(b, i.token(exp=int(time.time()) - 2))[0] == 200 and told(b, i.token())[0] == 200
        assert len(i.asked) == 2, i.asked  # none of that asked the issuer


def test_keys_change(weir):
    needs_jwt()
    with Issuer() as i, broker(weir, i) as b:
        assert told(b, i.token())[0] == 200
        i.add("r2", rsa.generate_private_key(public_exponent=65537, key_size=2048), "RS256")
        del i.keys["r1"]
        lib.until("the keys to be asked for again", lambda: told(b, i.token("r2"))[0] == 200, every_s=0.5)
        asked, since = len(i.asked), time.monotonic()
        lost = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        for n in range(50):  # strangers' keys do not make the broker ask without end
            code, message = told(b, i.token(f"x{n}", key=lost, alg="RS256"))
            assert code == 401 and "does not publish" in message, message
        asks_max = 1 + int((time.monotonic() - since) / 10)  # each is for two documents
        assert len(i.asked) <= asked + 2 * asks_max, (asks_max, i.asked)


def test_an_issuer_that_is_away(weir):
    needs_jwt()
    i = Issuer()
    i.broken = True
    keep_s = 3
    with i, broker(weir, i, f"      keep: {keep_s}s\n") as b:
        code, message = told(b, i.token())
        assert code == 503 and "cannot be fetched" in message and "500" in message, (code, message)
        i.broken = False
        lib.until("the issuer to be asked again", lambda: told(b, i.token())[0] == 200, every_s=0.5)
        known = i.token()
        assert told(b, known)[0] == 200
        i.broken = True
        fetched = i.answered

        def is_too_old():
            code = told(b, i.token(sub="bob"))[0]
            assert code == 200 or code == 503 and time.monotonic() > fetched + keep_s - 1, "until then the keys go on"
            return code == 503
        lib.until("the keys to be too old", is_too_old, every_s=0.2)
        assert "cannot be fetched" in told(b, i.token())[1]
        assert told(b, known)[0] == 200  # who was let in stays in until their token ends


def test_an_issuer_that_is_another(weir):
    needs_jwt()
    with Issuer() as i, broker(weir, i) as b:
        i.issuer_says = "https://login.example.org"
        b.kill()
        b.start()
        code, message = told(b, i.token())
        assert code == 503 and "another issuer" in message, (code, message)


def test_only_whom_a_group_lets_in(weir):
    needs_jwt()
    with Issuer() as i, broker(weir, i, "      role: none\n      user: email\n") as b:
        assert told(b, i.token(email="ada@example.org"))[0] == 403
        assert told(b, i.token())[0] == 401
        assert told(b, i.token(email="ada@example.org", groups=["vision-team"]))[0] == 200
        assert told(b, i.token(email="bob@example.org", email_verified=False, groups=["vision-team"]))[0] == 401
        b.ok("user", "add", "cid@example.org", "--project", "maps")
        assert who(b, i.token(email="cid@example.org", email_verified=True))[1]["projects"] == {"maps": "user"}


def test_the_configuration_says_where_it_is_wrong(weir):
    for text, want in (("issuer: http://login.example.org\n      audience: weir", "https://"), ("issuer: https://a.example/\n      audience: weir", "slash"),
                       ("issuer: https://a.example", "'audience'"), ("issuer: https://a.example\n      audience: w\n      role: owner", "a role is wanted"),
                       ("issuer: https://a.example\n      audience: w\n      projects: {g: vision}", "PROJECT:ROLE"),
                       ("issuer: https://a.example\n      audience: w\n      skew: 1h", "10m"), ("isuer: https://a.example", "did you mean 'issuer'"),
                       ("issuer: https://a.example\n      audience: w\n      ca: /nowhere", "/nowhere")):
        b = lib.Broker(weir, config="access:\n  oidc:\n    - " + text + "\n", gpus=None)
        try:
            done = subprocess.run([weir, "serve", "--data", str(b.data), "--listen", "127.0.0.1:0", *b.args], capture_output=True, text=True, env=b.env, timeout=120)
            assert done.returncode == (3 if "nowhere" in text else 78), (text, done)
            assert want in done.stderr, (want, done.stderr)
        finally:
            b.__exit__(None, None, None)


def test_a_public_mock_issuer(weir):
    needs_jwt()
    folder = pathlib.Path(weir).parent / "oidc-npm"
    module = folder / "node_modules" / "oauth2-mock-server"
    if not module.exists():
        try:
            subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), "oauth2-mock-server"], check=True,
                           capture_output=True, timeout=100)
        except (OSError, subprocess.SubprocessError) as e:
            raise lib.Skip(f"oauth2-mock-server of npm cannot be installed: {e}") from None
    code = """
import { OAuth2Server } from 'oauth2-mock-server';
const s = new OAuth2Server();
await s.issuer.keys.generate('RS256');
await s.issuer.keys.generate('ES256');
await s.start(0, 'localhost');
const token = (alg) => s.issuer.buildToken({ kid: s.issuer.keys.toJSON().find((k) => k.alg === alg).kid,
  scopesOrTransform: (header, payload) => { Object.assign(payload, { aud: 'weir', sub: 'ada', groups: ['vision-team'] }); } });
console.log(JSON.stringify({ url: s.issuer.url, tokens: [await token('RS256'), await token('ES256')] }));
"""
    (folder / "issuer.mjs").write_text(code)
    with subprocess.Popen(["node", "issuer.mjs"], cwd=folder, stdout=subprocess.PIPE, text=True) as node:
        try:
            line = node.stdout.readline()
            if not line:
                raise lib.Skip("oauth2-mock-server does not start with this node")
            said = json.loads(line)

            class Mock:
                url = said["url"]
            with broker(weir, Mock) as b:
                for token in said["tokens"]:
                    status, body = who(b, token)
                    assert status == 200 and body["projects"] == {"vision": "user"}, (status, body)
        finally:
            node.kill()


class Desk(Issuer):
    """Gives tokens to devices (RFC 8628) as told: a list of what to answer, one after the other."""

    def __init__(self):
        super().__init__()
        self.discovery = {"device_authorization_endpoint": self.url + "/device", "token_endpoint": self.url + "/token",
                          "scopes_supported": ["openid", "groups", "offline_access"]}
        self.answers = []
        self.revoked_status = 200

    def on_form(self, path, form):
        if path == "/device":
            return 200, {"device_code": "d&=1", "user_code": "ABCD-EFGH", "verification_uri": self.url + "/go", "interval": 1, "expires_in": 600}
        if path == "/revoke":
            return self.revoked_status, {}
        answer = self.answers.pop(0)
        return (400, {"error": answer}) if isinstance(answer, str) else (200, answer)


def signed_out(b):
    """The same broker for somebody who is nobody on this host yet."""
    b.env["XDG_DATA_HOME"] = str(b.dir / "home")
    b.env.pop("WEIR_TOKEN", None)
    return b.dir / "home" / "weir" / "login.json"


def desk_broker(weir, issuer, audience="weir", client="weir-cli"):
    config = f"access:\n  loopback: token\n  oidc:\n    - {{issuer: {issuer.url}, audience: {audience}, groups: groups, client_id: {client}, roles: {{weir-admins: admin}}}}\n"
    return lib.Broker(weir, config=config, gpus=None, args=["--no-agent"])


def test_a_person_signs_in_by_a_code(weir):
    needs_jwt()
    with Desk() as i, desk_broker(weir, i) as b:
        file = signed_out(b)
        refused = b.run("jobs")
        assert refused.returncode == 77 and "weir login" in refused.stderr, refused
        i.answers = ["authorization_pending", {"access_token": "opaque", "id_token": i.token(groups=["weir-admins"]), "refresh_token": "r-1"}]
        done = b.run("login")
        assert done.returncode == 0 and "as ada" in done.stdout and "ABCD-EFGH" in done.stderr and i.url + "/go" in done.stderr, done
        forms = [f for _, f in i.forms]
        assert forms[0] == {"client_id": "weir-cli", "scope": "openid groups offline_access"}, forms
        assert all(f == {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": "d&=1", "client_id": "weir-cli"} for f in forms[1:]), forms
        assert len(forms) == 3 and stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        assert b.json("audit") and b.run("jobs").returncode == 0 and len(i.forms) == 3
        b.env["WEIR_TOKEN"] = "other"  # goes before it
        assert b.run("jobs").returncode == 77
        del b.env["WEIR_TOKEN"]
        # one for another broker is no use here, and is not shown to this one
        kept = json.loads(file.read_text())
        assert list(kept) == [b.url]
        file.write_text(json.dumps({"http://127.0.0.1:1": kept[b.url]}))
        assert b.run("jobs").returncode == 77
        file.write_text(json.dumps(kept))
        file.chmod(0o640)
        open_to_all = b.run("jobs")
        assert open_to_all.returncode != 0 and "chmod 600" in open_to_all.stderr, open_to_all
        file.chmod(0o600)
        assert json.loads(b.ok("logout", "--json")) == {"was_signed_in": True, "revoked": False}
        assert json.loads(b.ok("logout", "--json")) == {"was_signed_in": False, "revoked": False}
        assert b.run("jobs").returncode == 77 and "token" not in file.read_text()


def test_a_login_is_renewed_and_ends(weir):
    needs_jwt()
    with Desk() as i, desk_broker(weir, i) as b:
        file = signed_out(b)
        i.answers = [{"access_token": i.token(exp=int(time.time()) + 40), "refresh_token": "r-1"}]
        b.ok("login")
        i.answers = [{"access_token": i.token(exp=int(time.time()) + 30), "refresh_token": "r-2"}, {"access_token": i.token(exp=int(time.time()) + 600)}]
        b.ok("jobs")  # within a minute of its end: twice, as the first is short as well
        b.ok("jobs")
        b.ok("jobs")
        assert [f.get("refresh_token") for p, f in i.forms if f.get("grant_type") == "refresh_token"] == ["r-1", "r-2"], i.forms
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        kept = json.loads(file.read_text())
        assert kept[b.url]["refresh_token"] == "r-2"
        kept[b.url]["expires"] = "2026-01-01T00:00:00Z"
        file.write_text(json.dumps(kept))
        i.answers = ["invalid_grant"]
        ended = b.run("jobs")
        assert ended.returncode == 77 and "weir login" in ended.stderr and "invalid_grant" in ended.stderr, ended
        kept[b.url].pop("refresh_token")
        file.write_text(json.dumps(kept))
        assert "has ended" in b.run("jobs").stderr


def test_signing_out_revokes_at_the_issuer(weir):
    needs_jwt()
    with Desk() as i, desk_broker(weir, i) as b:
        file = signed_out(b)

        def sign_in(refresh):
            i.answers = [{"access_token": i.token(exp=int(time.time()) + 600), **refresh}]
            b.ok("login")
            i.forms.clear()
            i.revoked_status = 200

        sign_in({"refresh_token": "r-1"})
        i.discovery["revocation_endpoint"] = i.url + "/revoke"
        token = json.loads(file.read_text())[b.url]["token"]
        done = b.run("logout")
        assert done.returncode == 0 and "revoked at its issuer" in done.stderr and "copy" not in done.stderr, done
        assert i.forms == [("/revoke", {"token": "r-1", "token_type_hint": "refresh_token", "client_id": "weir-cli"}),
                           ("/revoke", {"token": token, "token_type_hint": "access_token", "client_id": "weir-cli"})], i.forms
        assert "token" not in file.read_text()
        # refused, elsewhere, in the clear, or away: it is forgotten here all the same, and what a copy is good for is said
        for refresh, change, words in (({"refresh_token": "r-2"}, {"revoked_status": 503}, "status 503"), ({}, {"revoked_status": 400}, "status 400"),
                                       ({"refresh_token": "r-3"}, {"revocation_endpoint": "http://login.example.org/revoke"}, "not https"),
                                       ({"refresh_token": "r-4"}, {"issuer": "https://else.example.org"}, "does not describe"),
                                       ({}, {"broken": True}, "status 500")):
            i.discovery["revocation_endpoint"] = i.url + "/revoke"
            sign_in(refresh)
            i.revoked_status = change.get("revoked_status", 200)
            i.discovery["revocation_endpoint"] = change.get("revocation_endpoint", i.url + "/revoke")
            i.issuer_says = change.get("issuer")
            i.broken = change.get("broken", False)
            done = b.run("logout")
            i.issuer_says, i.broken = None, False
            assert done.returncode == 0 and words in done.stderr and "was not revoked" in done.stderr, (words, done)
            assert ("fetch others" in done.stderr) == bool(refresh) and "r-" not in done.stderr, done
            assert "token" not in file.read_text()


def test_a_login_that_cannot_be_says_why(weir):
    needs_jwt()
    with Desk() as i:
        with desk_broker(weir, i) as b:
            file = signed_out(b)
            for answers, words in ((["access_denied"], "refused"), (["expired_token"], "expired"), (["invalid_client"], "invalid_client"),
                                   ([{"access_token": i.token(aud="others"), "id_token": "x.y.z"}], "audience 'weir'"),
                                   ([{"access_token": i.token(kid="r1", key=rsa.generate_private_key(public_exponent=65537, key_size=2048), alg="RS256")}], "run it again")):
                i.answers = answers
                p = b.run("login")
                assert p.returncode != 0 and words in p.stderr and not file.exists(), (words, p)
            assert "--issuer is one of" in b.run("login", "--issuer", "https://x.example.org").stderr
            i.discovery = {"device_authorization_endpoint": "http://login.example.org/device", "token_endpoint": i.url + "/token"}
            assert "not https" in b.run("login").stderr
            i.discovery = {}
            assert "RFC 8628" in b.run("login").stderr
            i.issuer_says = "https://else.example.org"
            assert "does not describe" in b.run("login").stderr
        with desk_broker(weir, i, client='""') as b:
            signed_out(b)
            assert "WEIR_TOKEN" in b.run("login").stderr


if __name__ == "__main__":
    if jwt is None:
        venv, missing = lib.make_venv(str(pathlib.Path(sys.argv[1]).resolve().parent / "oidc"), "oidc")
        if venv and not sys.prefix.endswith("oidc"):
            os.execv(venv, [venv, *sys.argv])
    sys.exit(lib.main(globals()))
