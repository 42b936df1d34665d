"""Named random streams: the same draws whatever the worker, the order and the count."""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """Open the random stream of a seed and names, such as `stream(7, image_id, "moire")`.

    Streams of different names are independent. The names are hashed with their lengths, so that
    ("ab", "c") and ("a", "bc") are different streams, as are 1 and "1".
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in (seed, *names):
        part = f"{type(name).__name__}:{name}".encode()
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest.digest(), "little")))
