"""The pictures of a session as a browser shows them."""

from __future__ import annotations

import threading
from collections import OrderedDict

import cv2

from radsnap.errors import UsageError
from radsnap.imaging.radiograph import ByteImage
from radsnap.jobs.capturing.session import Session

_KEPT = 3
_MADE: OrderedDict[tuple[int, int], bytes] = OrderedDict()
_LOCK = threading.Lock()


def picture_of(session: Session, showing: int) -> bytes | None:
    """Give a showing's page as PNG, pixel for pixel for the screen; None for a showing that never was."""
    with _LOCK:
        made = _MADE.get((session.number, showing))
    if made is not None:
        return made
    shown = session.journal.showing(showing)
    page = session.journal.page_of(shown.number, shown.round) if shown else None
    if shown is None or page is None or page == (0, 0):
        return None
    data = as_png(session.page(shown.number, shown.round, page, clean=shown.phase == "clean"))
    with _LOCK:
        _MADE[session.number, showing] = data
        while len(_MADE) > _KEPT:
            _MADE.popitem(last=False)
    return data


def as_png(pixels: ByteImage) -> bytes:
    """Encode a page fast: a screen in the same room has the bandwidth."""
    done, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise UsageError(
            f"a page of {pixels.shape[1]} × {pixels.shape[0]} px cannot be drawn; use a smaller window"
        )
    return bytes(encoded)
