"""What a worker does with one picture: decode within bounds, read, and leave files that tell nobody's name."""

from __future__ import annotations

import io
import json
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from radsnap.errors import UnreadableImage
from radsnap.imaging import Bounds, encode_jpeg, read_image
from radsnap.imaging.files import sniff
from radsnap.reading.diagnosis import Diagnosis
from radsnap.reading.heatmaps import ByteArray
from radsnap.reading.pipeline import Pipeline, load_pipeline
from radsnap.reading.report import NOTICE, preview
from radsnap.web.plain_jpeg import plain_jpeg
from radsnap.web.settings import Settings
from radsnap.web.storage.new import NewCase, NewFile

# What is kept to look at, pixels on the longer side; the networks read at most 320 of them.
PICTURE_PX = 2048
THUMBNAIL_PX = 320
HEAT_PX = 128
# A JPEG may be decoded at half its size or less as long as its shorter side keeps this many pixels: to be read
# only, or to be looked at too.
_READ_AT_LEAST_PX, _DECODE_AT_LEAST_PX = 640, 1024
# A larger JPEG is encoded anew, smaller.
_COPIED_PX, _COPIED_BYTES = 4096, 8_000_000

_pipeline: Pipeline | None = None


def load(settings: Settings) -> None:
    """Load the networks, once a worker."""
    global _pipeline
    cv2.setNumThreads(1)
    threads = max(1, (os.cpu_count() or 1) // settings.workers)
    _pipeline = load_pipeline(settings.gate, settings.kind, settings.chain, threads, settings.lungs)


@dataclass(frozen=True)
class Limits:
    """What a picture may be; checked before it is decoded."""

    bytes: int
    pixels: int


def read(path: Path, name: str, limits: Limits, folder: Path, keep: bool) -> NewCase:
    """Read a picture's file; with `keep`, write what is stored of it into a folder.

    Raises ImageError, with `name` in its message.
    """
    assert _pipeline is not None, "load() makes a worker ready"
    start = time.perf_counter()
    bounds = Bounds(bytes=limits.bytes, pixels=limits.pixels)
    data = path.read_bytes()
    plain = plain_jpeg(data) if keep and len(data) <= _COPIED_BYTES else None
    at_least = _DECODE_AT_LEAST_PX if plain is None and keep else _READ_AT_LEAST_PX
    image = read_image(data, bounds, at_least_px=at_least, name=name)
    # no name of a file goes on: it may be a patient's
    image = replace(image, provenance=replace(image.provenance, source=""))
    decode_ms = (time.perf_counter() - start) * 1000
    diagnosis = _pipeline.diagnose(image, heat_maps=keep, decode_ms=decode_ms)
    told = {**diagnosis.to_json(), "notice": NOTICE}
    told.pop("path")
    told["heat_maps"] = list(diagnosis.heat_maps.maps) if diagnosis.heat_maps else []
    told["outline"] = diagnosis.outline and diagnosis.outline.to_json()
    if not keep:
        return NewCase(told, 0, 0, ())
    width, height = image.provenance.size_px or image.pixels.shape[1::-1]
    if plain is None or max(width, height) > _COPIED_PX:
        picture = preview(image, PICTURE_PX)
        height, width = picture.shape[:2]
        plain = _jpeg(picture, 90)
    files = [
        _left(folder, "picture", plain, "jpg"),
        _left(folder, "thumbnail", _jpeg(preview(image, THUMBNAIL_PX), 80), "jpg"),
    ]
    heat = pack_heat(diagnosis, width, height)
    if heat is not None:
        files.append(_left(folder, "heat", heat, "npz"))
    return NewCase(told, width, height, tuple(files))


def refuse(path: Path, name: str) -> None:
    """Raise the ImageError that says what a file is, where it is no picture."""
    with path.open("rb") as file:
        head = file.read(4096)
    if not head:
        raise UnreadableImage(f"{name}: the file is empty; get it again from its source")
    sniff(head, name)


def pack_heat(diagnosis: Diagnosis, width: int, height: int) -> bytes | None:
    """Pack the heat maps over a picture of a size; None without any."""
    maps = diagnosis.heat_maps
    if maps is None or not maps.maps:
        return None
    scale = min(1.0, HEAT_PX / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return pack({name: np.rint(maps.on(name, *size) * 255).astype(np.uint8) for name in maps.maps})


def pack(heat: Mapping[str, ByteArray]) -> bytes:
    """Pack heat maps by finding, uint8 (h, w) of one size, for `unpack_heat`."""
    packed = io.BytesIO()
    names = np.frombuffer(json.dumps(list(heat)).encode(), dtype=np.uint8)
    np.savez_compressed(packed, heat=np.stack(list(heat.values())), names=names)
    return packed.getvalue()


def unpack_heat(packed: bytes) -> dict[str, ByteArray]:
    """Give heat maps by finding: uint8 (h, w), of the picture's shape, white where the network looked most."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as stored:
        names = json.loads(bytes(stored["names"]))
        heat: Any = stored["heat"]
    return dict(zip(names, heat, strict=True))


def _jpeg(picture: ByteArray, quality: int) -> bytes:
    red, green, blue = cv2.split(picture)
    grey = bool((red == green).all() and (red == blue).all())
    return encode_jpeg(red if grey else picture, quality)


def _left(folder: Path, role: str, data: bytes, suffix: str) -> NewFile:
    path = folder / f"{uuid.uuid4().hex}.part"
    path.write_bytes(data)
    return NewFile(role, path, suffix)
