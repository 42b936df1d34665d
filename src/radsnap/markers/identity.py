"""What a code says: session, number, round, and a proof that only the session's key can make.

A code holds 24 digits, the most that the smallest fitting Data Matrix (16 × 16 modules) takes: 7 of the session,
6 of the sequence number, 2 of the round (a picture shown again gets another), 9 of a keyed hash of the others.
A code of chance, or one that error correction set right wrongly, passes with a probability of 10⁻⁹, and must
then still name this session and a number that it has.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

from radsnap.errors import UsageError

SESSIONS, NUMBERS, ROUNDS = 10**7, 10**6, 100
_PROOFS = 10**9
_CODE = re.compile(r"(\d{7})(\d{6})(\d{2})(\d{9})", re.ASCII)


@dataclass(frozen=True)
class Identity:
    """Which picture of which session was shown; round counts how often it was begun anew, modulo 100."""

    session: int
    number: int
    round: int = 0


@dataclass(frozen=True)
class Claim:
    """What a code says, not yet proven."""

    identity: Identity
    proof: int


def write_code(identity: Identity, key: bytes) -> str:
    """Write the 24 digits of a picture. Raises UsageError for numbers out of range."""
    parts = ((identity.session, SESSIONS), (identity.number, NUMBERS), (identity.round, ROUNDS))
    for value, bound in parts:
        if not 0 <= value < bound:
            raise UsageError(f"a code holds numbers from 0 to {bound - 1}, got {value} in {identity}")
    body = f"{identity.session:07d}{identity.number:06d}{identity.round:02d}"
    return f"{body}{_proof(body, key):09d}"


def read_code(text: str) -> Claim | None:
    """Read 24 digits; None for any other text, which is not ours."""
    match = _CODE.fullmatch(text)
    if match is None:
        return None
    session, number, round_, proof = (int(part) for part in match.groups())
    return Claim(Identity(session, number, round_), proof)


def is_proven(claim: Claim, key: bytes) -> bool:
    """Tell whether the session's key made this code."""
    return hmac.compare_digest(write_code(claim.identity, key)[-9:], f"{claim.proof:09d}")


def _proof(body: str, key: bytes) -> int:
    if len(key) < 16:
        raise UsageError(f"a session's key has at least 16 bytes, got {len(key)}")
    return int.from_bytes(hmac.digest(key, body.encode("ascii"), "sha256")[:16]) % _PROOFS
