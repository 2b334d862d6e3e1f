# SPDX-License-Identifier: Apache-2.0
"""RSA for tests with the standard library alone: a key pair in PKCS #8, and checking RS256 signatures."""
import base64
import hashlib
import secrets

SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")


def _is_prime(n):
    d, r = n - 1, 0
    while d % 2 == 0:
        d, r = d // 2, r + 1
    for _ in range(24):
        x = pow(secrets.randbelow(n - 3) + 2, d, n)
        if x in (1, n - 1):
            continue
        for _ in range(r - 1):
            x = x * x % n
            if x == n - 1:
                break
        else:
            return False
    return True


def _prime(bits, e):
    while True:
        p = secrets.randbits(bits) | (3 << (bits - 2)) | 1
        if all(p % s for s in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)) and (p - 1) % e and _is_prime(p):
            return p


def _der(tag, content):
    n = len(content)
    length = bytes([n]) if n < 128 else bytes([0x80 | (n.bit_length() + 7) // 8]) + n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + length + content


def _integer(v):
    return _der(2, v.to_bytes(v.bit_length() // 8 + 1, "big"))


class Key:
    def __init__(self, bits=2048):
        e = 65537
        p, q = _prime(bits // 2, e), _prime(bits // 2, e)
        self.n, self.e = p * q, e
        d = pow(e, -1, (p - 1) * (q - 1))
        rsa = _der(0x30, b"".join(_integer(v) for v in (0, self.n, e, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p))))
        algorithm = _der(0x30, bytes.fromhex("06092a864886f70d010101") + b"\x05\x00")
        pkcs8 = _der(0x30, _integer(0) + algorithm + _der(4, rsa))
        text = base64.b64encode(pkcs8).decode()
        lines = [text[i:i + 64] for i in range(0, len(text), 64)]
        self.pem = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(lines) + "\n-----END PRIVATE KEY-----\n"

    def verifies(self, signature, message):
        size = (self.n.bit_length() + 7) // 8
        if len(signature) != size:
            return False
        tail = SHA256_PREFIX + hashlib.sha256(message).digest()
        wanted = b"\x00\x01" + b"\xff" * (size - 3 - len(tail)) + b"\x00" + tail
        return pow(int.from_bytes(signature, "big"), self.e, self.n).to_bytes(size, "big") == wanted
