"""Codes: what they hold, and that no damage makes one say something else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scenes import KEY, SESSION, SOAK, page_of

from radsnap.errors import UsageError
from radsnap.markers import Claim, Identity, identify, is_proven, read_code, write_code
from radsnap.markers.draw import code_modules
from radsnap.markers.sight import look
from radsnap.seeds import stream


def test_a_code_gives_back_what_was_written_and_proves_it() -> None:
    for identity in (Identity(0, 0, 0), Identity(9_999_999, 999_999, 99), Identity(SESSION, 42, 7)):
        code = write_code(identity, KEY)
        claim = read_code(code)
        assert claim is not None
        assert (len(code), claim.identity) == (24, identity)
        assert is_proven(claim, KEY)


def test_another_key_proves_nothing() -> None:
    claim = read_code(write_code(Identity(SESSION, 42), b"another key of 16 bytes"))
    assert claim is not None
    assert not is_proven(claim, KEY)


def test_no_changed_digit_is_proven() -> None:
    code = write_code(Identity(SESSION, 42), KEY)
    for place in range(24):
        for digit in "0123456789":
            claim = read_code(code[:place] + digit + code[place + 1 :])
            assert claim is not None
            assert is_proven(claim, KEY) == (digit == code[place])


@pytest.mark.parametrize(
    "text", ["", "1" * 23, "1" * 25, "12345678901234567890123x", "１" * 24, "1" * 24 + "\n"]
)
def test_other_texts_are_no_code(text: str) -> None:
    assert read_code(text) is None


@pytest.mark.parametrize(
    "identity", [Identity(10_000_000, 0), Identity(0, 1_000_000), Identity(0, -1), Identity(0, 0, 100)]
)
def test_numbers_out_of_range_are_refused(identity: Identity) -> None:
    with pytest.raises(UsageError, match="a code holds numbers from 0 to"):
        write_code(identity, KEY)


def test_a_short_key_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 16 bytes, got 5"):
        write_code(Identity(1, 1), b"short")


def test_damaged_codes_say_the_truth_or_nothing() -> None:
    """A hundred pages with damaged codes (10,000 in `make soak`): flipped modules, erased blocks, noise."""
    page, frame = page_of(1)
    cells = [band.corners(box) for band in frame.bands for box in band.cells if box.marker is None]
    read = wrong = 0
    for trial in range(100 * SOAK):
        rng = stream(3, "damage", trial)
        identity = Identity(SESSION, int(rng.integers(1000)), int(rng.integers(100)))
        photo = page.astype(np.float64)
        for corners in cells:
            modules = damaged(code_modules(write_code(identity, KEY)), rng)
            (x0, y0), (x1, y1) = np.rint(corners[[0, 2]] + 0.5).astype(int)
            photo[y0:y1, x0:x1] = cv2.resize(
                (1 - modules) * 215, (x1 - x0, y1 - y0), interpolation=cv2.INTER_NEAREST
            )
        photo += rng.normal(0, 25 * rng.random(), photo.shape)
        for claim in look(photo.clip(0, 255).astype(np.uint8)).codes.values():
            read += 1
            wrong += is_proven(claim, KEY) and claim.identity != identity
    assert wrong == 0
    assert 40 * SOAK < read < 360 * SOAK, (
        "some damage is mended and some is not: else this test tries nothing"
    )


def damaged(modules: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Flip modules of a code, and erase a block of half of them."""
    modules = modules.copy()
    flips = rng.integers(0, 18, (int(rng.integers(0, 50)), 2))
    modules[flips[:, 0], flips[:, 1]] ^= 1
    if rng.random() < 0.5:
        at, size = rng.integers(0, 14, 2), int(rng.integers(2, 9))
        modules[at[0] : at[0] + size, at[1] : at[1] + size] = rng.integers(2)
    return modules


def test_identity_needs_agreement() -> None:
    def claim(number: int, session: int = SESSION, key: bytes = KEY) -> Claim:
        made = read_code(write_code(Identity(session, number), key))
        assert made is not None
        return made

    foreign, forged = claim(1, session=7), claim(1, key=b"a forger's key of 16")
    assert identify([], SESSION, KEY, 2) == ("no_code", None)
    assert identify([claim(1)], SESSION, KEY, 2) == ("one_code", Identity(SESSION, 1))
    assert identify([claim(1), claim(1)], SESSION, KEY, 2) == ("", Identity(SESSION, 1))
    assert identify([claim(1), claim(1), claim(2)], SESSION, KEY, 2) == ("codes_disagree", None)
    assert identify([foreign, foreign], SESSION, KEY, 2) == ("foreign_session", None)
    assert identify([claim(1), claim(1), foreign], SESSION, KEY, 2) == ("codes_disagree", None)
    assert identify([forged, forged], SESSION, KEY, 2) == ("unproven", None)
