"""Hundreds of broken files: each ends as an image or an ImageError, in one line, soon, and never otherwise."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pillow_heif
import pytest
from pictures import dataset, dicom, encoded, lut, saved, scene
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from radsnap.errors import ImageError
from radsnap.imaging import Bounds, Photo, Radiograph, read_image, read_radiograph
from radsnap.seeds import stream

TIGHT = Bounds(bytes=1_000_000, pixels=1_000_000)
EACH = 40 * int(os.environ.get("RADSNAP_SOAK", "1"))


def _files() -> Iterator[tuple[str, bytes]]:
    picture = Image.fromarray(scene(48, 64))
    yield "jpeg", encoded(picture, "JPEG")
    yield "jpeg-progressive", encoded(picture, "JPEG", progressive=True)
    yield "jpeg-cmyk", encoded(picture.convert("CMYK"), "JPEG")
    yield "png", encoded(picture, "PNG")
    deep = cv2.imencode(".png", scene(48, 64).astype(np.uint16) * 257)[1]
    yield "png-16-bit-colour", deep.tobytes()
    yield "png-palette", encoded(picture.quantize(16), "PNG")
    for compression in ("raw", "tiff_lzw", "jpeg", "tiff_adobe_deflate"):
        yield f"tiff-{compression}", encoded(picture, "TIFF", compression=compression)
    yield "tiff-group4", encoded(picture.convert("1"), "TIFF", compression="group4")
    yield "webp", encoded(picture, "WEBP")
    yield "webp-lossless", encoded(picture, "WEBP", lossless=True)
    yield "gif", encoded(picture, "GIF")
    yield "bmp", encoded(picture, "BMP")
    heic = io.BytesIO()
    pillow_heif.from_pillow(picture).save(heic)
    yield "heic", heic.getvalue()
    ramp = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    yield (
        "dicom",
        dicom(
            ramp, BitsStored=12, WindowCenter=500, WindowWidth=900, ModalityLUTSequence=[lut([0, 9], 0, 8)]
        ),
    )
    for syntax in ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"):
        made = dataset(ramp, BitsStored=12)
        made.compress(syntax, generate_instance_uid=False)
        yield f"dicom-{syntax[18:]}", saved(made)
    deflated = dataset(ramp)
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    yield "dicom-deflated", saved(deflated)


FILES = dict(_files())


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut, flip, overwrite or splice; half of the damage goes to the header, where sizes and offsets are."""
    broken = bytearray(data)
    reach = min(len(broken), 400) if rng.random() < 0.5 else len(broken)
    match rng.integers(4):
        case 0:
            del broken[int(rng.integers(1, len(broken))) :]
        case 1:
            for _ in range(rng.integers(1, 12)):
                broken[rng.integers(reach)] = int(rng.integers(256))
        case 2:
            for _ in range(rng.integers(1, 6)):
                broken[rng.integers(reach)] = int(rng.choice([0, 1, 127, 128, 254, 255]))
        case _:
            start = int(rng.integers(reach))
            broken[start : start + int(rng.integers(1, 64))] = rng.bytes(int(rng.integers(0, 80)))
    return bytes(broken)


def outcome(door: Callable[..., Radiograph | Photo], data: bytes) -> str:
    """Give the words of a refusal, or none for an image within the bounds."""
    try:
        image = door(data, TIGHT)
    except ImageError as error:
        return str(error)
    assert image.pixels.shape[0] * image.pixels.shape[1] <= TIGHT.pixels
    return ""


@pytest.mark.parametrize("kind", FILES)
def test_broken_files_end_as_an_image_or_an_image_error_and_nothing_beneath(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert read_image(FILES[kind]).pixels.size > 0, "the file is whole before it is broken"
    for attempt in range(EACH):
        data = mutated(FILES[kind], stream(7, kind, attempt))
        started = time.process_time()
        outcomes = [outcome(door, data) for door in (read_image, read_radiograph)]
        assert all("\n" not in line and len(line) < 300 for line in outcomes)
        assert time.process_time() - started < 2.0, f"attempt {attempt} took too long"
    assert capfd.readouterr() == ("", ""), "decoders write nothing to the terminal"


@pytest.mark.parametrize("kind", FILES)
def test_every_prefix_of_a_few_bytes_is_refused(kind: str) -> None:
    for length in range(1, 40):
        with pytest.raises(ImageError):
            read_image(FILES[kind][:length])
