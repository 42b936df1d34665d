"""PNG, TIFF, WebP, HEIC, BMP and GIF: header first, then samples.

Each reader takes the file's bytes, holds the size its header claims against the bounds, and only then
decodes. Plugins of PIL are called directly: `Image.open` would consult every plugin and a global limit.
"""

from __future__ import annotations

import ctypes
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    _imaging,
)

from radsnap.errors import UnreadableImage, UnsupportedImage
from radsnap.imaging.bounds import Bounds, decoding, quiet
from radsnap.imaging.overheard import overheard
from radsnap.imaging.raster import Raster, exif_orientation, over_black

_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def read_png(data: bytes, name: str, bounds: Bounds) -> Raster:
    """Decode a PNG of any kind; its critical chunks must be whole (CRC)."""
    kept, orientation = [data[:8]], 1
    for kind, chunk, body in _png_chunks(data, name):
        if kind == b"IHDR":
            width, height, bits, colour = struct.unpack(">IIBB", body[:10])
            bounds.check_size(name, width, height)
        elif kind == b"acTL":
            bounds.check_frames(name, int.from_bytes(body[:4], "big"))
        elif kind == b"eXIf":
            orientation = exif_orientation(body)
        if kind[0] < ord("a") or kind == b"tRNS":  # comments, profiles and their bombs stay behind
            kept.append(chunk)
    clean = b"".join(kept)
    with decoding(name, "PNG"):
        if bits == 16 and colour == 2:  # PIL would give 8 bits of these
            with overheard():
                decoded = cv2.imdecode(np.frombuffer(clean, np.uint8), cv2.IMREAD_UNCHANGED)
            if decoded is None or decoded.shape[:2] != (height, width):
                raise ValueError("OpenCV cannot decode it")
            samples: Any = cv2.cvtColor(decoded[..., :3], cv2.COLOR_BGR2RGB)
            return Raster(samples, 65535, "PNG", (width, height)).turned(orientation)
        with _opened(PngImagePlugin.PngImageFile, clean) as file:
            raster = _raster(file, "PNG", name)
    return raster.turned(orientation)


def read_tiff(data: bytes, name: str, bounds: Bounds) -> Raster:
    """Decode a TIFF of 1 to 16 bits; floats are refused, since they do not say what white is."""
    _hush_libtiff()
    with decoding(name, "TIFF"), _opened(TiffImagePlugin.TiffImageFile, data) as file:
        bounds.check_size(name, *file.size)
        tags = dict(cast(TiffImagePlugin.TiffImageFile, file).tag_v2)
        tile = int(tags.get(322, 1)) * int(tags.get(323, 1))
        if tile > bounds.pixels:
            raise UnreadableImage(f"{name}: a TIFF with tiles of {tile:,} pixels; save it again")
        bounds.check_frames(name, _frames(file, bounds), at_least=True)
        file.seek(0)
        bits = max(int(count) for count in tags.get(258, (1,)))
        raster = _raster(file, "TIFF", name, peak=(1 << bits) - 1 if 8 < bits < 16 else None)
        if tags.get(262) == 0 and raster.samples.dtype == np.uint16:
            # PIL minds "white is zero" up to 8 bits only.
            raster = replace(raster, samples=raster.peak - np.minimum(raster.samples, raster.peak))
    return raster  # PIL has stood it upright


@cache
def _hush_libtiff() -> None:
    """Keep libtiff from writing to the terminal what PIL raises anyway; where PIL is linked with it statically it goes on."""
    library = ctypes.CDLL(_imaging.__file__)
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        with suppress(AttributeError):
            handler = getattr(library, name)
            handler.argtypes, handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            handler(None)


def read_webp(data: bytes, name: str, bounds: Bounds) -> Raster:
    """Decode a WebP; an animated one is refused."""
    bounds.check_size(name, *_webp_size(data, name))
    if data[12:16] == b"VP8X" and data[20] & 2:
        bounds.check_frames(name, data.count(b"ANMF"))
    with decoding(name, "WebP"), _opened(WebPImagePlugin.WebPImageFile, data) as file:
        exif = file.info.get("exif", b"")
        raster = _raster(file, "WebP", name)
    return raster.turned(exif_orientation(exif.removeprefix(b"Exif\0\0")))


def read_bmp(data: bytes, name: str, bounds: Bounds) -> Raster:
    """Decode a Windows bitmap."""
    with decoding(name, "BMP"), _opened(BmpImagePlugin.BmpImageFile, data) as file:
        bounds.check_size(name, *file.size)
        return _raster(file, "BMP", name)


def read_gif(data: bytes, name: str, bounds: Bounds) -> Raster:
    """Decode a GIF of one frame; an animated one is refused."""
    bounds.check_size(name, *struct.unpack("<HH", data[6:10].ljust(4, b"\0")))
    with (
        decoding(name, "GIF", Image.DecompressionBombError),
        _opened(GifImagePlugin.GifImageFile, data) as file,
    ):
        bounds.check_size(name, *file.size)
        bounds.check_frames(name, _frames(file, bounds), at_least=True)
        file.seek(0)
        return _raster(file, "GIF", name)


def read_heic(data: bytes, name: str, bounds: Bounds) -> Raster:
    """Decode a HEIC photo; libheif itself turns it upright, so its EXIF orientation is not applied again."""
    import pillow_heif  # rarely needed, and slow to import

    with decoding(name, "HEIC"):
        with quiet():
            file = pillow_heif.open_heif(data, convert_hdr_to_8bit=True)
        bounds.check_size(name, *file.size)
        bounds.check_frames(name, len(file))
        return _raster(file.to_pillow(), "HEIC", name)


def _png_chunks(data: bytes, name: str) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Walk a PNG's chunks: kind, whole chunk, body. Ancillary chunks with a wrong CRC are left out."""
    at, kind = 8, b""
    while kind != b"IEND":
        length = int.from_bytes(data[at : at + 4], "big")
        chunk = data[at : at + 12 + length]
        kind = chunk[4:8]
        if len(chunk) < 12 + length or len(kind) < 4:
            raise UnreadableImage(
                f"{name}: a truncated PNG: the file ends before the picture does; get it again from its source"
            )
        if (at == 8) != (kind == b"IHDR") or (at == 8 and length != 13):
            raise UnreadableImage(
                f"{name}: a broken PNG: it does not start with one header; get the file again"
            )
        sound = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        if not sound and kind[0] < ord("a"):
            raise UnreadableImage(
                f"{name}: a broken PNG: the checksum (CRC) of its {kind.decode('ascii', 'replace')} chunk is wrong; "
                "get the file again from its source"
            )
        if sound:
            yield kind, chunk, chunk[8:-4]
        at += len(chunk)


def _webp_size(data: bytes, name: str) -> tuple[int, int]:
    kind, body = data[12:16], data[20:30]
    if len(body) == 10 and kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if len(body) == 10 and kind == b"VP8 ":
        return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF
    if len(body) >= 5 and kind == b"VP8L":
        packed = int.from_bytes(body[1:5], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    raise UnreadableImage(f"{name}: a broken WebP: it has no picture; get the file again")


@contextmanager
def _opened(
    plugin: Callable[[io.BytesIO], ImageFile.ImageFile], data: bytes
) -> Iterator[ImageFile.ImageFile]:
    """Open by one plugin of PIL: reads the header only; its warnings on odd metadata are not ours."""
    with quiet(), plugin(io.BytesIO(data)) as file:
        yield file


def _frames(file: ImageFile.ImageFile, bounds: Bounds) -> int:
    """Count frames, but no further than one over the bound."""
    count = 1
    while count <= bounds.frames:
        try:
            file.seek(count)
        except EOFError:
            break
        count += 1
    return count


def _raster(file: Image.Image, format: str, name: str, peak: int | None = None) -> Raster:
    samples: NDArray[Any]
    if file.mode in ("I", "F") or file.mode.endswith(("S", "32")):
        raise UnsupportedImage(
            f"{name}: a {format} of 32-bit or signed samples does not say which value is white; "
            "save it as 8- or 16-bit grey"
        )
    if file.mode.startswith("I;16"):
        samples = np.asarray(file, dtype=np.uint16)
        return Raster(samples, peak or 65535, format, samples.shape[1::-1])
    if file.mode in ("1", "L"):
        samples = np.asarray(file.convert("L"))
    elif file.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in file.info:
        samples = over_black(np.asarray(file.convert("RGBA")))
    else:
        samples = np.asarray(file.convert("RGB"))
    return Raster(np.ascontiguousarray(samples), 255, format, samples.shape[1::-1])
