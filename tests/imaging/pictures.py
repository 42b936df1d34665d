"""Small files made here, since no real image is part of the project."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

CR = "1.2.840.10008.5.1.4.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def scene(height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """A smooth colour picture that is no two ways the same."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    red, green, blue = 230 * x + 10, 200 * y + 30 * np.sin(9 * x), 255 * (1 - x) * (1 - y)
    return np.asarray(np.clip(np.stack([red, green, blue], axis=2), 0, 255), dtype=np.uint8)


def ramp16(height: int = 24, width: int = 64) -> NDArray[np.uint16]:
    """Grey from 0 to 65535."""
    return np.linspace(0, 65535, height * width).round().astype(np.uint16).reshape(height, width)


def encoded(pixels: NDArray[Any] | Image.Image, format: str, **options: Any) -> bytes:
    """A file as PIL writes it: an encoder that is not ours."""
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def huge_png(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes that claims any size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = (
        png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1000))) + png_chunk(b"IEND", b"")
    )
    return b"\x89PNG\r\n\x1a\n" + body


def dataset(pixels: NDArray[Any], **elements: Any) -> pydicom.Dataset:
    """A DICOM data set of one frame, CR unless the elements say otherwise."""
    made = pydicom.Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = CR, "1.2.3", "CR"
    made.PatientName, made.PatientID = "SECRET^NAME", "SECRET-ID"
    made.Rows, made.Columns = pixels.shape[:2]
    made.SamplesPerPixel = 1 if pixels.ndim == 2 else pixels.shape[2]
    made.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = 8 * pixels.dtype.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(pixels.dtype.kind == "i")
    made.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    made.HighBit = elements.get("HighBit", made.BitsStored - 1)
    return made


def dicom(pixels: NDArray[Any], **elements: Any) -> bytes:
    """The file of such a data set."""
    return saved(dataset(pixels, **elements))


def saved(made: pydicom.Dataset) -> bytes:
    """The bytes of a data set, as a file."""
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def lut(entries: list[int], first: int, bits: int) -> pydicom.Dataset:
    """One item of a LUT sequence."""
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return item
