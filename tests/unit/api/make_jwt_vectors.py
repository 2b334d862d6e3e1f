#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes jwt_vectors.h: tokens made and signed by PyJWT and cryptography, with new keys each time; run where both are installed.

    make_jwt_vectors.py > jwt_vectors.h
"""
import base64
import hashlib
import hmac
import json

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

NOW = 1795377600
ISSUER, AUDIENCE = "https://login.example.org", "weir"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def made(wanted):
    """A key whose point is as wanted."""
    while True:
        key = ec.generate_private_key(ec.SECP256R1())
        if wanted(key.public_key().public_numbers()):
            return key


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RSA_SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)
EC = ec.generate_private_key(ec.SECP256R1())
EC384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
EC_SHORT = made(lambda at: at.x < 1 << 248)
EC_SHORT_Y = made(lambda at: at.y < 1 << 248)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwk(key, kid, **more):
    algorithm = {rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm, ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
                 ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm}
    made = next(a for t, a in algorithm.items() if isinstance(key, t))
    found = json.loads(made.to_jwk(key.public_key()))
    found.pop("key_ops", None)
    return {**found, "kid": kid, **more}


def point(key, kid, size):
    """With coordinates as numbers: of the least bytes that hold them, or of `size`."""
    at = key.public_key().public_numbers()
    x, y = (b64(c.to_bytes(size or (c.bit_length() + 7) // 8, "big")) for c in (at.x, at.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid}


KEYS = {"keys": [jwk(RSA, "r1", use="sig", alg="RS256"), jwk(EC, "e1"), jwk(ED, "d1"), jwk(RSA_SMALL, "small"), jwk(EC384, "e384"),
                 jwk(OTHER, "enc", use="enc"), {"kty": "oct", "k": "c2VjcmV0", "kid": "h1"}, {"kty": 7}, "text",
                 point(EC_SHORT, "ex", 0), point(EC_SHORT_Y, "ey", 0), point(EC, "e33", 33), point(EC, "e34", 34)]}
BASE = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW - 10, "sub": "ada", "groups": ["ml", "vision-team"],
        "realm_access": {"roles": ["weir-admin"]}}


def token(key, alg, kid="?", drop=(), header=None, **claims):
    kid = {"RS256": "r1", "ES256": "e1", "EdDSA": "d1"}.get(alg) if kid == "?" else kid
    head = {**(header or {}), **({"kid": kid} if kid else {})}
    return jwt.encode({k: v for k, v in {**BASE, **claims}.items() if k not in drop}, key, algorithm=alg, headers=head)


def raw(header, claims=BASE, signature=b"x" * 64):
    return ".".join((b64(json.dumps(header).encode()), b64(json.dumps(claims).encode()), b64(signature)))


def hs256():
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    head = b64(json.dumps({"alg": "HS256", "kid": "r1"}).encode()) + "." + b64(json.dumps(BASE).encode())
    return head + "." + b64(hmac.new(pem, head.encode(), hashlib.sha256).digest())


def renamed(text):
    """The same signature over another user's name."""
    parts = text.split(".")
    parts[1] = b64(base64.urlsafe_b64decode(parts[1] + "==").replace(b'"ada"', b'"bob"'))
    return ".".join(parts)


def spoiled(text, part):
    parts = text.split(".")
    data = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    data[len(data) // 2] ^= 1
    parts[part] = b64(bytes(data))
    return ".".join(parts)


good = token(RSA, "RS256")
es = token(EC, "ES256")
ROWS = [
    ("an RSA key's", good, ""),
    ("an elliptic curve key's", es, ""),
    ("an Ed25519 key's", token(ED, "EdDSA"), ""),
    ("the one key of its kind need not be named", token(ED, "EdDSA", kid=None), ""),
    ("audience in a list", token(RSA, "RS256", aud=["other", AUDIENCE]), ""),
    ("times with fractions", token(RSA, "RS256", exp=NOW + 300.5, nbf=NOW - 0.5), ""),
    ("expired within the skew", token(RSA, "RS256", exp=NOW - 59), ""),
    ("begins within the skew", token(RSA, "RS256", nbf=NOW + 59, iat=NOW + 59), ""),
    ("a key's x without its leading zero", token(EC_SHORT, "ES256", kid="ex"), ""),
    ("a key's y without its leading zero", token(EC_SHORT_Y, "ES256", kid="ey"), ""),
    ("a key's numbers with a zero before them", token(EC, "ES256", kid="e33"), ""),
    ("a key's numbers with two zeros before them", token(EC, "ES256", kid="e34"), "does not publish"),
    ("none", raw({"alg": "none"}, signature=b""), "only RS256"),
    ("None", raw({"alg": "None", "kid": "r1"}), "only RS256"),
    ("no alg", raw({"kid": "r1"}), "only RS256"),
    ("HS256 with the public key as the secret", hs256(), "only RS256"),
    ("RS384", token(RSA, "RS384", kid="r1"), "only RS256"),
    ("PS256", token(RSA, "PS256", kid="r1"), "only RS256"),
    ("ES256 by an RSA key", raw({"alg": "ES256", "kid": "r1"}), "not one for ES256"),
    ("RS256 by a curve's key", raw({"alg": "RS256", "kid": "e1"}, signature=b"x" * 256), "not one for RS256"),
    ("EdDSA by a curve's key", raw({"alg": "EdDSA", "kid": "e1"}), "not one for EdDSA"),
    ("crit", token(RSA, "RS256", header={"crit": ["exp"]}), "crit"),
    ("unencoded payload", token(RSA, "RS256", header={"crit": ["b64"], "b64": True}), "crit"),
    ("a key of its own", token(OTHER, "RS256", kid="r1", header={"jwk": jwk(OTHER, "r1")}), "signature is not"),
    ("a key that is not published", token(OTHER, "RS256", kid="x1"), "does not publish the key 'x1'"),
    ("a key that is for encryption", token(OTHER, "RS256", kid="enc"), "does not publish"),
    ("a key of 1024 bits", token(RSA_SMALL, "RS256", kid="small"), "does not publish"),
    ("a key on another curve", raw({"alg": "ES256", "kid": "e384"}), "does not publish"),
    ("a secret as a key", raw({"alg": "RS256", "kid": "h1"}, signature=b"x" * 256), "does not publish"),
    ("kid is a number", raw({"alg": "RS256", "kid": 7}), "'kid'"),
    ("kid is long", raw({"alg": "RS256", "kid": "k" * 300}), "'kid'"),
    ("another claim", renamed(good), "signature is not"),
    ("another signature", spoiled(good, 2), "signature is not"),
    ("another curve signature", spoiled(es, 2), "signature is not"),
    ("a curve signature in DER", ".".join(es.split(".")[:2]) + "." + b64(b"0" * 70), "length"),
    ("a curve signature of zeros", ".".join(es.split(".")[:2]) + "." + b64(bytes(64)), "signature is not"),
    ("no signature", ".".join(good.split(".")[:2]) + ".", "signature is missing"),
    ("a signature of 2 KiB", ".".join(good.split(".")[:2]) + "." + b64(b"x" * 2048), "signature is missing"),
    ("a signature with padding", good + "==", "signature is missing"),
    ("two parts", ".".join(good.split(".")[:2]), "not three parts"),
    ("four parts", good + ".x", "not three parts"),
    ("empty parts", "..", "header is not"),
    ("no base64", "a%.b.c", "header is not"),
    ("claims are a list", ".".join((good.split(".")[0], b64(b"[]"), good.split(".")[2])), "claims are not"),
    ("a claim twice", ".".join((good.split(".")[0], b64(b'{"iss":"a","iss":"b"}'), good.split(".")[2])), "claims are not"),
    ("another issuer", token(RSA, "RS256", iss="https://evil.example.org"), "not of the issuer"),
    ("an issuer with a slash", token(RSA, "RS256", iss=ISSUER + "/"), "not of the issuer"),
    ("no issuer", token(RSA, "RS256", drop=["iss"]), "not of the issuer"),
    ("another audience", token(RSA, "RS256", aud="weirdo"), "audience"),
    ("no audience", token(RSA, "RS256", drop=["aud"]), "audience"),
    ("an empty audience", token(RSA, "RS256", aud=[]), "audience"),
    ("expired", token(RSA, "RS256", exp=NOW - 60), "expired"),
    ("never ends", token(RSA, "RS256", drop=["exp"]), "'exp'"),
    ("exp is text", raw({"alg": "RS256", "kid": "r1"}, {**BASE, "exp": "tomorrow"}), "'exp'"),
    ("exp is negative", token(RSA, "RS256", exp=-5), "'exp'"),
    ("exp is after all time", token(RSA, "RS256", exp=10 ** 15), "'exp'"),
    ("not yet", token(RSA, "RS256", nbf=NOW + 61), "not valid yet"),
    ("made in the future", token(RSA, "RS256", iat=NOW + 61), "not valid yet"),
]


def c_text(text):
    """In pieces: a literal of the language has 4095 bytes at most."""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return "\n     ".join(f'"{text[i:i + 110]}"' for i in range(0, len(text), 110)) or '""'


print("/* SPDX-License-Identifier: Apache-2.0 */\n/* Written by make_jwt_vectors.py. */\n")
print(f"#define VECTOR_NOW_S INT64_C({NOW})\n#define VECTOR_ISSUER \"{ISSUER}\"\n#define VECTOR_AUDIENCE \"{AUDIENCE}\"\n")
keys = json.dumps(KEYS, separators=(",", ":")).replace('"', "'")
print("/* With ' for \". */\nstatic const char vector_keys[] =\n    " + c_text(keys) + ";\n")
print("static const struct {\n    const char *name;\n    const char *token;\n    const char *refusal; /* \"\": see the test */\n} vectors[] = {")
for name, text, refusal in ROWS:
    print(f"    {{{c_text(name)},\n     {c_text(text)},\n     {c_text(refusal)}}},")
print("};")
