"""The doors for pixels: any file becomes a Radiograph or a Photo, and arrays become files.

What a file is, its first bytes tell; its suffix is never asked. Sizes and frames are held against the
bounds before anything is decoded.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from radsnap.errors import ImageError, UnreadableImage, UnsupportedImage, UsageError
from radsnap.imaging.bounds import Bounds, Source, load_bytes
from radsnap.imaging.formats import read_bmp, read_gif, read_heic, read_png, read_tiff, read_webp
from radsnap.imaging.jpeg import read_jpeg
from radsnap.imaging.radiograph import Photo, Provenance, Radiograph
from radsnap.imaging.raster import Raster

DEFAULT_BOUNDS = Bounds()

_READERS: dict[str, Callable[[bytes, str, Bounds], Raster]] = {
    "PNG": read_png,
    "TIFF": read_tiff,
    "WebP": read_webp,
    "HEIC": read_heic,
    "BMP": read_bmp,
    "GIF": read_gif,
}
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_FOREIGN = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 file outside DICOM",
    b"\xff\x4f\xff\x51": "a JPEG 2000 file outside DICOM",
    b"8BPS": "a Photoshop file",
    b"\x89HDF": "an HDF5 file",
}
_SUBSAMPLINGS = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


def read_image(
    source: Source,
    bounds: Bounds = DEFAULT_BOUNDS,
    *,
    at_least_px: int | None = None,
    name: str | None = None,
) -> Radiograph | Photo:
    """Read a picture from a path or bytes: an x-ray's DICOM becomes a Radiograph, any other raster a Photo.

    `at_least_px` lets a JPEG come out at 1/2, 1/4 or 1/8 of its size, as long as its shorter side keeps
    that many pixels; provenance.size_px is the file's own size. `name` stands for bytes in messages.
    Raises UnreadableImage, ImageTooLarge or UnsupportedImage.
    """
    data, label = load_bytes(source, bounds, name)
    kind = sniff(data, label)
    if kind == "DICOM":
        return _dicom(data, label, bounds)
    raster = _raster(kind, data, label, bounds, False, at_least_px)
    return Photo(raster.rgb(), _provenance(raster, label))


def read_radiograph(
    source: Source,
    bounds: Bounds = DEFAULT_BOUNDS,
    *,
    at_least_px: int | None = None,
    name: str | None = None,
) -> Radiograph:
    """Read a digital x-ray, such as a row of a collection: DICOM, or a raster of 8 or 16 bits.

    A raster's full range becomes [0, 1], colour by its luma; bone must already be bright in it.
    `at_least_px`, `name` and errors as in read_image; a DICOM photo raises UnsupportedImage.
    """
    data, label = load_bytes(source, bounds, name)
    kind = sniff(data, label)
    if kind != "DICOM":
        raster = _raster(kind, data, label, bounds, True, at_least_px)
        return Radiograph(raster.grey(), None, _provenance(raster, label))
    image = _dicom(data, label, bounds)
    if isinstance(image, Photo):
        raise UnsupportedImage(f"{label}: a colour photo in DICOM, not a digital x-ray; read it as a photo")
    return image


def sniff(data: bytes, name: str) -> str:
    """Name a file's format by its first bytes. Raises when it is none that radsnap reads."""
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") and data[128:132] != b"DICM":
        return "TIFF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return "HEIC"
    if data[128:132] == b"DICM" or _bare_dicom(data):
        return "DICOM"
    if data[:2] == b"BM" and data[6:10] == b"\0\0\0\0":
        return "BMP"
    raise _not_an_image(data, name)


def _bare_dicom(data: bytes) -> bool:
    """Tell whether a data set starts without preamble: group 0002 or 0008, a small element, a sane length."""
    if len(data) < 16 or data[:2] not in (b"\x02\0", b"\x08\0") or data[3] != 0:
        return False
    explicit = data[4:6].isalpha() and data[4:6].isupper()
    return explicit or int.from_bytes(data[4:8], "little") < 256


def _not_an_image(data: bytes, name: str) -> ImageError:
    foreign = next((what for magic, what in _FOREIGN.items() if data.startswith(magic)), None)
    if data[4:8] == b"ftyp":
        foreign = "an AVIF picture" if data[8:12] in (b"avif", b"avis") else "a film"
    if foreign:
        return UnsupportedImage(f"{name}: this is {foreign}; save the picture as JPEG, PNG, TIFF or DICOM")
    head = data[:512]
    what = (
        "this is text"
        if head.isascii() and all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)
        else "this"
    )
    what = "this is text, not an image" if what != "this" else "this is no image that radsnap knows"
    return UnreadableImage(f"{name}: {what}; give a JPEG, PNG, TIFF, WebP, HEIC, BMP or DICOM file")


def _raster(kind: str, data: bytes, name: str, bounds: Bounds, grey: bool, at_least_px: int | None) -> Raster:
    if kind == "JPEG":
        return read_jpeg(data, name, bounds, grey, at_least_px)
    return _READERS[kind](data, name, bounds)


def _dicom(data: bytes, name: str, bounds: Bounds) -> Radiograph | Photo:
    from radsnap.imaging.dicom import read_dicom  # pydicom takes 0.3 s to import

    return read_dicom(data, name, bounds)


def _provenance(raster: Raster, name: str) -> Provenance:
    return Provenance(
        source=name, format=raster.format, steps=raster.steps, size_px=raster.size, damage=raster.damage
    )


def encode_jpeg(
    pixels: NDArray[Any], quality: int = 95, subsampling: Literal["4:4:4", "4:2:2", "4:2:0"] = "4:2:0"
) -> bytes:
    """Encode uint8 (H, W) or RGB (H, W, 3) as baseline JPEG; quality 1 to 100 in libjpeg's sense."""
    if not 1 <= quality <= 100 or subsampling not in _SUBSAMPLINGS:
        raise UsageError(
            f"JPEG takes a quality of 1 to 100 and a subsampling of {', '.join(_SUBSAMPLINGS)}; "
            f"got {quality} and {subsampling}"
        )
    if pixels.dtype != np.uint8:
        raise UsageError(f"JPEG holds uint8, got {pixels.dtype}; convert first")
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _SUBSAMPLINGS[subsampling]]
    return _encoded(".jpg", pixels, flags)


def write_image(
    path: str | os.PathLike[str], image: NDArray[Any] | Radiograph | Photo, quality: int = 95
) -> Path:
    """Write pixels to a file whose suffix names the format: .jpg, .png, .tif, .webp or .bmp.

    Pixels are uint8 (H, W) or RGB (H, W, 3), or uint16 for PNG and TIFF. A Radiograph is stored with 16
    bits in PNG and TIFF and 8 bits elsewhere. Folders are made; a killed write leaves no half file under
    the name. `quality` is for JPEG and WebP. Raises UsageError for what the format cannot hold.
    """
    target = Path(path)
    suffix = target.suffix.lower().replace(".jpeg", ".jpg").replace(".tiff", ".tif")
    pixels = _pixels(image, deep=suffix in (".png", ".tif"))
    if pixels.dtype == np.uint16 and suffix not in (".png", ".tif"):
        raise UsageError(f"{target.name}: 16-bit pixels go into .png or .tif; change the suffix")
    if suffix == ".jpg":
        data = encode_jpeg(pixels, quality)
    elif suffix in (".png", ".tif", ".bmp", ".webp"):
        data = _encoded(suffix, pixels, [cv2.IMWRITE_WEBP_QUALITY, quality] if suffix == ".webp" else [])
    else:
        raise UsageError(
            f"{target.name}: no picture format has the suffix '{target.suffix}'; use .jpg, .png or .tif"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        partial.write_bytes(data)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def _pixels(image: NDArray[Any] | Radiograph | Photo, deep: bool) -> NDArray[Any]:
    if isinstance(image, Photo):
        return image.pixels
    if isinstance(image, Radiograph):
        peak, kind = (65535, np.uint16) if deep else (255, np.uint8)
        return np.rint(image.pixels * peak).astype(kind)
    return image


def _encoded(suffix: str, pixels: NDArray[Any], flags: list[int]) -> bytes:
    shape, colour = pixels.shape, pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.size == 0 or pixels.dtype not in (np.uint8, np.uint16) or not (pixels.ndim == 2 or colour):
        raise UsageError(
            f"a picture file holds uint8 or uint16 (H, W) or (H, W, 3), got {pixels.dtype} {shape}"
        )
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if colour else np.ascontiguousarray(pixels)
    try:
        done, buffer = cv2.imencode(suffix, ordered, flags)
    except cv2.error as error:
        raise UsageError(
            f"{shape[1]} × {shape[0]} px do not go into {suffix}; make the picture smaller"
        ) from error
    if not done:
        raise UsageError(f"{shape[1]} × {shape[0]} px do not go into {suffix}; make the picture smaller")
    return bytes(buffer)
