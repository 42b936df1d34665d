"""JPEG: read the header, insist on a whole file, decode at full or reduced size.

OpenCV and PIL sit on the same libjpeg-turbo and give the same pixels for 8-bit grey and colour; OpenCV
takes half the time. They differ on CMYK (OpenCV ignores Adobe's inverted inks) and on broken files
(OpenCV fills up with grey), so CMYK goes to PIL and the marker walk here refuses truncated files.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import JpegImagePlugin

from radsnap.errors import UnreadableImage, UnsupportedImage
from radsnap.imaging.bounds import Bounds, decoding
from radsnap.imaging.raster import Raster, exif_orientation

_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOFn; the three others are tables
_DCT = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})  # baseline, extended, progressive; Huffman, arithmetic
_PROGRESSIVE = frozenset({0xC2, 0xCA})
_LONE = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})  # markers without a segment
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_MOST_SCANS = 200  # each scan of a progressive file passes over the whole picture again


@dataclass(frozen=True)
class JpegHeader:
    """What a JPEG says of itself: frame type (SOF marker), bits, size, channels, EXIF orientation."""

    frame: int
    bits: int
    width: int
    height: int
    channels: int
    orientation: int


def read_jpeg_header(data: bytes, name: str) -> JpegHeader:
    """Walk the markers to the end of the picture. Raises UnreadableImage when it ends too early."""
    header, orientation, scans, at = None, 1, 0, 2
    while True:
        found = _NEXT_MARKER.search(data, at)
        if found is None:
            raise _truncated(name)
        marker, at = data[found.end() - 1], found.end()
        if marker == 0xD9:
            break
        if marker in _LONE:
            continue
        segment = data[at + 2 : at + int.from_bytes(data[at : at + 2], "big")]
        at += 2 + len(segment)
        if at >= len(data):
            raise _truncated(name)
        if marker in _SIZES and header is None and len(segment) >= 6:
            bits, height, width, channels = struct.unpack(">BHHB", segment[:6])
            header = JpegHeader(marker, bits, width, height, channels, orientation)
        elif marker == 0xE1 and segment.startswith(b"Exif\0\0") and header is None:
            orientation = exif_orientation(segment[6:])
        scans += marker == 0xDA
        if scans > _MOST_SCANS:
            raise UnreadableImage(f"{name}: a JPEG of more than {_MOST_SCANS} scans; save it again")
    if header is None or scans == 0:
        raise UnreadableImage(f"{name}: a JPEG without a picture in it; get the file again")
    return header


def read_jpeg(data: bytes, name: str, bounds: Bounds, grey: bool, at_least_px: int | None) -> Raster:
    """Decode a JPEG; `grey` decodes the luma alone, `at_least_px` allows 1/2, 1/4 or 1/8 of the size.

    The shorter side of a reduced picture keeps at least `at_least_px` pixels.
    """
    header = read_jpeg_header(data, name)
    bounds.check_size(name, header.width, header.height)
    if header.frame not in _DCT or header.bits != 8 or header.channels not in (1, 3, 4):
        raise UnsupportedImage(
            f"{name}: a JPEG of a rare kind ({header.bits} bits, {header.channels} channels, process "
            f"{header.frame - 0xC0}); save it as baseline JPEG or PNG"
        )
    size = (header.width, header.height)
    with decoding(name, "JPEG"):
        if header.channels == 4:
            with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as file:
                pixels = np.asarray(file.convert("RGB"))  # PIL minds Adobe's inverted inks
            return Raster(pixels, 255, "JPEG", size).turned(header.orientation)
        divisor = _divisor(min(size), at_least_px)
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), _flags(divisor, grey or header.channels == 1))
    expected = (-(-header.height // divisor), -(-header.width // divisor))
    if decoded is None or decoded.shape[:2] != expected:
        raise UnreadableImage(f"{name}: a broken JPEG: its data cannot be decoded; get the file again")
    steps = () if divisor == 1 else (f"decoded at 1/{divisor} of its size",)
    return Raster(np.asarray(decoded, np.uint8), 255, "JPEG", size, steps).turned(header.orientation)


def _divisor(shorter_px: int, at_least_px: int | None) -> int:
    if at_least_px is None:
        return 1
    return next((by for by in (8, 4, 2) if -(-shorter_px // by) >= at_least_px), 1)


def _flags(divisor: int, grey: bool) -> int:
    luma = {
        1: cv2.IMREAD_GRAYSCALE,
        2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
        4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
        8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
    }
    return int(luma[divisor] | (0 if grey else cv2.IMREAD_COLOR_RGB) | cv2.IMREAD_IGNORE_ORIENTATION)


def _truncated(name: str) -> UnreadableImage:
    return UnreadableImage(
        f"{name}: a truncated JPEG: the file ends before the picture does; get it again from its source"
    )
