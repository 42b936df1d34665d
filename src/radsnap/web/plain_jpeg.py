"""A JPEG without anything but its pixels: the segments that a decoder needs, copied; the rest left out.

Copying takes a tenth of encoding anew, and later study gets the pixels that the camera gave.
"""

from __future__ import annotations

import re

from radsnap.imaging.raster import exif_orientation

# Frame (baseline, extended, progressive), tables, restart interval. Arithmetic coding is not for browsers.
_NEEDED = frozenset({0xC0, 0xC1, 0xC2, 0xC4, 0xDB, 0xDD})
_FRAMES = frozenset({0xC0, 0xC1, 0xC2})
_NOTES = frozenset({*range(0xE0, 0xF0), 0xFE})  # APPn and comments
_START, _SCAN, _END = 0xD8, 0xDA, 0xD9
# In a scan FF 00 is a data byte and FF D0 to D7 are restarts; anything else ends it.
_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")
# What JFIF and Adobe say of colours, in a form without room for more.
_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


def plain_jpeg(data: bytes) -> bytes | None:
    """Copy a JPEG's frame, tables and scans up to its end; None where it must be encoded anew.

    That is a picture that is not stored upright, has colours that need a note (CMYK, RGB), or holds a
    segment that is not known here.
    """
    if data[:2] != b"\xff\xd8":
        return None
    kept, at = [b"\xff\xd8", _JFIF], 2
    framed = scanned = False
    while True:
        found = _NEXT_MARKER.match(data, at)
        if found is None:
            return None
        marker, at = found[1][0], found.end()
        if marker == _END:
            kept.append(b"\xff\xd9")
            return b"".join(kept) if framed and scanned else None
        length = int.from_bytes(data[at : at + 2], "big")
        segment = data[at : at + length]
        if length < 2 or len(segment) != length:
            return None
        at += length
        if marker == _SCAN:
            ends = _NEXT_MARKER.search(data, at)
            if ends is None:
                return None
            kept += [b"\xff\xda", segment, data[at : ends.start()]]
            at, scanned = ends.start(), True
        elif marker in _NEEDED:
            if marker in _FRAMES:
                if framed or not _is_plain_frame(segment):
                    return None
                framed = True
            kept += [bytes((0xFF, marker)), segment]
        elif marker not in _NOTES or not _may_go(marker, segment):
            return None


def _is_plain_frame(segment: bytes) -> bool:
    """Tell whether a frame is of 8 bits, grey or of three components whose names don't mean RGB."""
    if len(segment) < 8 or segment[2] != 8 or segment[7] not in (1, 3):
        return False
    return segment[7] == 1 or segment[8::3] != b"RGB"


def _may_go(marker: int, segment: bytes) -> bool:
    """Tell whether the picture looks the same without a note."""
    if marker == 0xE1 and segment[2:8] == b"Exif\0\0":
        return exif_orientation(segment[8:]) == 1
    if marker == 0xEE and segment[2:7] == b"Adobe" and len(segment) >= 14:
        return segment[13] == 1  # YCbCr, as JFIF says too
    return True
