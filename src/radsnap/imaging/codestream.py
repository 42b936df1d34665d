"""The size and depth that a compressed picture inside a DICOM states itself: JPEG, JPEG-LS, JPEG 2000.

A decoder believes the code stream, not the DICOM header, so both are compared before it runs.
Source: ITU-T T.81 B.2.2, T.87 C.2.2, T.800 A.5.1.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

_FRAME = re.compile(rb"\xff([\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf\xf7])")


class Codestream(NamedTuple):
    """What a code stream says of itself; `bits` is the precision of a sample."""

    width: int
    height: int
    bits: int


def read_codestream(encapsulated: bytes) -> Codestream | None:
    """Read the header of encapsulated pixel data's first code stream; None when it has none."""
    start = encapsulated.find(b"\xff\x4f\xff\x51")
    jpeg = encapsulated.find(b"\xff\xd8\xff")
    if start >= 0 and (jpeg < 0 or start < jpeg):
        fields = encapsulated[start + 8 : start + 43]
        if len(fields) < 35:
            return None
        right, bottom, left, top = struct.unpack(">IIII", fields[:16])
        return Codestream(right - left, bottom - top, (fields[34] & 0x7F) + 1)
    return _jpeg(encapsulated, jpeg + 2) if jpeg >= 0 else None


def _jpeg(data: bytes, at: int) -> Codestream | None:
    for _ in range(10_000):  # segments before the frame header
        if data[at : at + 1] != b"\xff" or len(data) < at + 9:
            return None
        if _FRAME.match(data, at):
            bits, height, width = struct.unpack(">BHH", data[at + 4 : at + 9])
            return Codestream(width, height, bits)
        fill = data[at + 1 : at + 2] == b"\xff"
        at += 1 if fill else 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None
