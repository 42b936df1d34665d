"""Secrets: what is given out, what is kept of it, and how the two are compared.

A token is long and random: its SHA-256 is kept. A code is short, or chosen by a person: scrypt with a salt
of its own is kept. Neither is ever stored or logged as it is.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from radsnap.errors import UsageError

# No letters or digits that are read as one another.
_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_COST = {"n": 1 << 14, "r": 8, "p": 1}  # 16 MB and about 40 ms a guess


def new_token(prefix: str = "") -> str:
    """Make a token: 256 random bits, safe in a URL and a header."""
    return prefix + secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """Give what is kept of a token: SHA-256, hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def new_code(length: int = 8) -> str:
    """Make a code that a person can type: `length` letters and digits, 5 bits each, in groups of four."""
    drawn = "".join(secrets.choice(_ALPHABET) for _ in range(length))
    return "-".join(drawn[at : at + 4] for at in range(0, length, 4))


def tidy(code: str) -> str:
    """Undo what people do to a code that they type: spaces, hyphens, lower case."""
    return "".join(code.split()).replace("-", "").upper()


def hash_code(code: str) -> str:
    """Give what is kept of a code: scrypt with a salt of its own."""
    salt = os.urandom(16)
    return f"scrypt${salt.hex()}${_scrypt(code, salt).hex()}"


def matches(code: str, kept: str) -> bool:
    """Compare a code with what is kept of it, in constant time. A malformed record matches nothing."""
    parts = kept.split("$")
    if len(parts) != 3 or parts[0] != "scrypt":
        return False
    try:
        salt, digest = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
    except ValueError:
        return False
    return hmac.compare_digest(_scrypt(code, salt), digest)


@dataclass(frozen=True)
class Signer:
    """Signs what a browser keeps for us, so that it cannot be made up or changed."""

    secret: bytes

    def sign(self, value: str, purpose: str) -> str:
        """Give `value.signature`."""
        return f"{value}.{self._mac(value, purpose)}"

    def unsign(self, signed: str, purpose: str) -> str | None:
        """Give the value, or None when the signature is not ours."""
        value, dot, mac = signed.rpartition(".")
        right = self._mac(value, purpose)
        good = hmac.compare_digest(mac.encode("utf-8", "replace"), right.encode())
        return value if dot and good else None

    def csrf(self, session_id: str) -> str:
        """Give the token that a page of this session sends along with every change it asks for."""
        return self._mac(session_id, "csrf")

    def csrf_matches(self, session_id: str, token: str | None) -> bool:
        """Compare a page's token with its session's, in constant time."""
        return hmac.compare_digest(self.csrf(session_id).encode(), (token or "").encode("utf-8", "replace"))

    def _mac(self, value: str, purpose: str) -> str:
        text = f"{purpose}\0{value}".encode("utf-8", "surrogatepass")
        return hmac.new(self.secret, text, hashlib.sha256).hexdigest()


def kept_secret(path: str | Path) -> bytes:
    """Read a secret of 32 bytes, or make it at first use; only its owner may read the file."""
    file = Path(path)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
            new.write(os.urandom(32))
    except FileExistsError:
        pass
    except OSError as error:
        raise UsageError(f"{file} cannot be written ({error.strerror}); name another folder") from error
    secret = file.read_bytes()
    if len(secret) != 32:
        raise UsageError(f"{file} holds {len(secret)} bytes, not 32; remove it, and everybody signs in again")
    return secret


def _scrypt(code: str, salt: bytes) -> bytes:
    secret = tidy(code).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, dklen=32, maxmem=64 << 20, **_COST)
