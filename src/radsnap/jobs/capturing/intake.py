"""Take a photo in: without the owner's marks, on the disk, then examined."""

from __future__ import annotations

import hashlib
import io
import os
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from radsnap.errors import ImageError
from radsnap.imaging import Bounds, encode_jpeg, read_image
from radsnap.imaging.bounds import quiet
from radsnap.imaging.files import sniff
from radsnap.imaging.jpeg import read_jpeg, read_jpeg_header
from radsnap.imaging.radiograph import ByteImage, Radiograph, grey_bytes
from radsnap.jobs.capturing.session import sync_folder

PHOTO_BOUNDS = Bounds(bytes=60_000_000, pixels=110_000_000)
# What of a photo's EXIF is kept: the camera and how it was set. Never place, owner, serial numbers, comments.
_KEPT = {
    271: "make", 272: "model", 33434: "exposure_s", 33437: "f_number", 34855: "iso", 36867: "taken",
    37386: "focal_mm", 41989: "focal_35mm", 37385: "flash", 41987: "white_balance",
}  # fmt: skip
_EXIF_BLOCK = 34665
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_TEXT_PX = 80


@dataclass(frozen=True)
class Taken:
    """A photo on the disk. hash: of the bytes as they came; file: its name; meta: camera and settings."""

    hash: str
    file: str
    meta: dict[str, Any]


def hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def keep_photo(data: bytes, folder: Path, name: str) -> Taken:
    """Clean a photo and put it in the folder, on the disk when this returns. Raises ImageError for no photo."""
    digest = hash_of(data)
    kind = sniff(data, name)
    clean, suffix = clean_photo(data, kind, name)
    meta = read_meta(data, kind)
    file = f"{digest}{suffix}"
    target = folder / file
    partial = folder / f".{uuid.uuid4().hex}.part"
    try:
        with partial.open("wb") as opened:
            opened.write(clean)
            opened.flush()
            os.fsync(opened.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(folder)
    return Taken(digest, file, {**meta, "format": kind, "bytes": len(data)})


def clean_photo(data: bytes, kind: str, name: str) -> tuple[bytes, str]:
    """Give a photo's bytes without metadata, and the suffix of what they are.

    A JPEG keeps its pixels bit for bit: only segments go. Other formats are decoded and written as PNG, a HEIC
    as JPEG. Orientation stays, as the only tag of a new EXIF block. Raises ImageError for what cannot be decoded.
    """
    if kind == "JPEG":
        clean = clean_jpeg(data, name)
        # the sender lets go of the original: a file that lost more than its segments is written anew instead
        if clean == data or _shows_the_same(clean, data, name):
            return clean, ".jpg"
    image = read_image(data, PHOTO_BOUNDS, name=name)
    if isinstance(image, Radiograph):
        raise ImageError(f"{name}: a digital x-ray in DICOM, not a photo; give photos")
    if kind in ("JPEG", "HEIC", "WebP"):
        return encode_jpeg(image.pixels, 97, "4:4:4"), ".jpg"
    done, encoded = cv2.imencode(".png", cv2.cvtColor(image.pixels, cv2.COLOR_RGB2BGR))
    if not done:
        raise ImageError(f"{name}: cannot be written as PNG")
    return bytes(encoded), ".png"


def clean_jpeg(data: bytes, name: str) -> bytes:
    """Take every APPn and comment out of a JPEG but JFIF, Adobe's colour mark and the colour profile.

    What follows the picture goes too: phones append films and previews, with places of their own.
    """
    header = read_jpeg_header(data, name)
    PHOTO_BOUNDS.check_size(name, header.width, header.height)
    out = [data[:2]]
    if 2 <= header.orientation <= 8:  # any other is none, and may be any number
        tiff = (
            b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01"
            + bytes([0, header.orientation])
            + b"\0\0\0\0\0\0"
        )
        out.append(_segment(0xE1, b"Exif\0\0" + tiff))
    at, in_scan = 2, False
    # as read_jpeg_header walks, and the decoder: what is between a segment's end and the next marker is nothing
    while (found := _NEXT_MARKER.search(data, at)) is not None:
        marker = data[found.end() - 1]
        if in_scan:
            out.append(data[at : found.start()])
        in_scan, at = marker == 0xDA, found.end()
        if marker == 0xD9:
            break
        if marker in (0x01, 0xD8):  # no segment follows
            continue
        at += max(int.from_bytes(data[at : at + 2], "big"), 2)
        body = data[found.end() + 2 : at]
        app = 0xE0 <= marker <= 0xEF or marker == 0xFE
        plain = (
            (marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) == 14)
            or (marker == 0xEE and body.startswith(b"Adobe"))
            or (marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"))
        )
        if not app or plain:
            out.append(_segment(marker, body))
    out.append(b"\xff\xd9")
    return b"".join(out)


def _shows_the_same(clean: bytes, data: bytes, name: str) -> bool:
    """Tell whether two JPEGs decode to the same light. Raises ImageError when the second does not decode."""
    with quiet():
        came = read_jpeg(data, name, PHOTO_BOUNDS, True, None)
    try:
        kept = read_jpeg(clean, name, PHOTO_BOUNDS, True, None)
    except ImageError:
        return False
    # two levels: a file with stray bytes goes another way through the decoder, which rounds the luma otherwise
    return kept.size == came.size and float(cv2.absdiff(kept.samples, came.samples).max()) <= 2


def _segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def read_meta(data: bytes, kind: str) -> dict[str, Any]:
    """Read camera and settings from EXIF; nothing that names a person or a place. Broken EXIF is no EXIF."""
    from PIL import ExifTags, Image

    if kind not in ("JPEG", "HEIC", "PNG", "TIFF", "WebP"):
        return {}
    try:
        with quiet():
            exif = Image.Exif()
            exif.load(_exif_bytes(data, kind))
            tags = {**dict(exif), **dict(exif.get_ifd(ExifTags.IFD(_EXIF_BLOCK)))}
        return {name: kept for tag, name in _KEPT.items() if (kept := _plain(tags.get(tag))) is not None}
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        ArithmeticError,
        SyntaxError,
        AttributeError,
        RuntimeError,
    ):
        return {}


def _exif_bytes(data: bytes, kind: str) -> bytes:
    if kind == "JPEG":
        at = data.find(b"Exif\0\0", 0, 1 << 16)
        if at < 4:
            return b""
        return data[at : at - 2 + int.from_bytes(data[at - 2 : at], "big")]
    if kind == "HEIC":
        import pillow_heif

        return bytes(pillow_heif.open_heif(io.BytesIO(data)).info.get("exif") or b"")
    return b""


def _plain(value: Any) -> str | float | int | None:
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if isinstance(value, str):
        text = "".join(letter for letter in value if letter.isprintable()).strip()
        return text[:_TEXT_PX] or None
    if value is None or isinstance(value, tuple | list | dict):
        return None
    number = float(value)
    if not np.isfinite(number):
        return None
    return int(number) if number.is_integer() else number


def read_grey(path: Path) -> ByteImage:
    """Read a kept photo's light: uint8 (H, W), upright."""
    if path.suffix == ".jpg":
        samples = read_jpeg(path.read_bytes(), path.name, PHOTO_BOUNDS, True, None).samples
        return np.asarray(samples, np.uint8)
    return grey_bytes(read_rgb(path))


def read_rgb(path: Path) -> ByteImage:
    """Read a kept photo: uint8 (H, W, 3), upright."""
    image = read_image(path, PHOTO_BOUNDS)
    if isinstance(image, Radiograph):
        raise ImageError(f"{path.name}: not a photo")
    return image.pixels
