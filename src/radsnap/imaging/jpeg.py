"""JPEG: read the header, insist on a whole file, decode at full or reduced size.

OpenCV, PIL and simplejpeg sit on the same libjpeg-turbo and give the same pixels for 8-bit grey and colour. Only
simplejpeg tells what the decoder had to make up: OpenCV writes that to the terminal, PIL keeps it to itself and takes
longer. PIL takes CMYK, for it minds Adobe's inverted inks, and what is too rare for simplejpeg. The marker walk here
refuses files that end before the picture does.
"""

from __future__ import annotations

import io
import re
import struct
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import JpegImagePlugin

from radsnap.errors import UnreadableImage, UnsupportedImage
from radsnap.imaging.bounds import Bounds, decoding
from radsnap.imaging.overheard import loss
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
    divisor = _divisor(min(size), at_least_px)
    reduced = (-(-header.height // divisor), -(-header.width // divisor))
    with decoding(name, "JPEG"):
        if header.channels == 4:
            pixels, damage = _by_pil(data, "RGB"), None
        else:
            pixels, damage = _decoded(data, "GRAY" if grey or header.channels == 1 else "RGB", reduced)
    whole = pixels.shape[:2] == size[::-1]
    if not whole and pixels.shape[:2] != reduced:
        raise UnreadableImage(f"{name}: a broken JPEG: its data cannot be decoded; get the file again")
    steps = () if whole else (f"decoded at 1/{divisor} of its size",)
    return Raster(pixels, 255, "JPEG", size, steps, damage).turned(header.orientation)


def _decoded(data: bytes, colours: str, least: tuple[int, int]) -> tuple[NDArray[np.uint8], str | None]:
    """Decode to the smallest (height, width) of at least these; with the decoder's words where it lost pixels."""
    smallest = {"min_height": least[0], "min_width": least[1]}
    try:
        return _squeezed(simplejpeg.decode_jpeg(data, colours, **smallest, strict=True)), None
    except ValueError as error:
        warning = str(error)
    try:
        pixels = _squeezed(simplejpeg.decode_jpeg(data, colours, **smallest, strict=False))
    except ValueError:  # a rare kind of sampling, or no picture at all, which PIL then says
        return _by_pil(data, "L" if colours == "GRAY" else "RGB"), None
    return pixels, loss([warning])


def _squeezed(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels


def _by_pil(data: bytes, mode: str) -> NDArray[np.uint8]:
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as file:
        return np.asarray(file.convert(mode))


def _divisor(shorter_px: int, at_least_px: int | None) -> int:
    if at_least_px is None:
        return 1
    return next((by for by in (8, 4, 2) if -(-shorter_px // by) >= at_least_px), 1)


def _truncated(name: str) -> UnreadableImage:
    return UnreadableImage(
        f"{name}: a truncated JPEG: the file ends before the picture does; get it again from its source"
    )
