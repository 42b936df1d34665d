"""The size and depth that a compressed picture inside a DICOM states itself: JPEG, JPEG-LS, JPEG 2000.

A decoder believes the code stream, not the DICOM header, so both are compared before it runs. A stream is read
from where the decoder starts: what looks like one in a comment or a foreign box is none.
Source: ITU-T T.81 B.2.2, T.87 C.2.2, T.800 A.5.1 and I.4 (the boxes of a JP2 file).
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

_FRAME = re.compile(rb"\xff([\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf\xf7])")
_ALONE = re.compile(rb"\xff[\x01\xd0-\xd7]")  # markers without a length
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"


class Codestream(NamedTuple):
    """What a code stream says of itself; `bits` is the precision of a sample, `samples` how many a pixel has."""

    width: int
    height: int
    bits: int
    samples: int


def read_codestream(stream: bytes) -> Codestream | None:
    """Read the header of the code stream that these bytes start with; None when they start with none."""
    if stream.startswith(b"\xff\xd8\xff"):
        return _jpeg(stream, 2)
    return _jpeg2000(stream) if stream.startswith(b"\xff\x4f\xff\x51") else None


def unboxed(frame: bytes) -> bytes:
    """Take a code stream out of the boxes of a JP2 file, which DICOM forbids and some files have.

    A frame without boxes, or without a stream in them, is given as it is.
    """
    at = 0
    for _ in range(10_000 if frame.startswith(_JP2) else 0):
        length, header = int.from_bytes(frame[at : at + 4], "big"), 8
        if length == 1:
            length, header = int.from_bytes(frame[at + 8 : at + 16], "big"), 16
        if frame[at + 4 : at + 8] == b"jp2c":
            return frame[at + header :]
        if length < header:  # 0 is a box to the end
            break
        at += length
    return frame


def _jpeg2000(data: bytes) -> Codestream | None:
    fields = data[8:43]
    if len(fields) < 35:
        return None
    right, bottom, left, top = struct.unpack(">IIII", fields[:16])
    samples, bits = struct.unpack(">HB", fields[32:])
    return Codestream(right - left, bottom - top, (bits & 0x7F) + 1, samples)


def _jpeg(data: bytes, at: int) -> Codestream | None:
    for _ in range(10_000):  # segments before the frame header
        if data[at : at + 1] != b"\xff" or len(data) < at + 10:
            return None
        if _FRAME.match(data, at):
            bits, height, width, samples = struct.unpack(">BHHB", data[at + 4 : at + 10])
            return Codestream(width, height, bits, samples)
        if data[at + 1 : at + 2] == b"\xff":  # a fill byte
            at += 1
        elif _ALONE.match(data, at):
            at += 2
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
    return None
