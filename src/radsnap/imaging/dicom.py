"""DICOM: projection x-rays become Radiographs, photos in Secondary Capture become Photos.

Everything else is refused by name. Compressed syntaxes are decoded by free decoders: pylibjpeg's
openjpeg and rle, pyjpegls, gdcm and PIL, through pydicom. Messages never repeat a value that could
identify a patient.
"""

from __future__ import annotations

import io
import logging
import re
import zlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, get_frame
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.filewriter import write_file_meta_info
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from radsnap.errors import ImageTooLarge, UnreadableImage, UnsupportedImage
from radsnap.imaging.bounds import DECODER_FAULTS, Bounds, decoding, quiet
from radsnap.imaging.codestream import read_codestream, unboxed
from radsnap.imaging.greyscale import to_grey
from radsnap.imaging.overheard import loss, overheard
from radsnap.imaging.radiograph import ByteImage, Photo, Provenance, Radiograph, grey_bytes

# pydicom's log repeats odd values, and those may name a patient.
logging.getLogger("pydicom").addFilter(lambda record: not quiet().depth)

XRAYS = frozenset({"CR", "DX", "RG", "MG", "IO", "PX"})
PHOTOS = frozenset({"OT", "XC", "SC", "DG", "DOC", ""})  # Secondary Capture and photographs
_FOREIGN = {
    "CT": "a CT image",
    "MR": "an MR image",
    "US": "an ultrasound image",
    "IVUS": "an ultrasound image",
    "XA": "an angiography image",
    "RF": "a fluoroscopy image",
    "PT": "a PET image",
    "NM": "a nuclear medicine image",
    "OP": "an ophthalmic image",
    "OPT": "an ophthalmic image",
    "ES": "an endoscopy image",
    "GM": "a microscopy image",
    "SM": "a slide microscopy image",
    "BMD": "a bone densitometry image",
    "ECG": "an electrocardiogram",
    "SR": "a report without pixels",
    "PR": "a presentation state without pixels",
    "KO": "a selection of keys without pixels",
    "SEG": "a segmentation",
    "RTIMAGE": "a radiotherapy image",
    "RTDOSE": "a radiotherapy dose",
    "RTPLAN": "a radiotherapy plan without pixels",
    "RTSTRUCT": "a set of radiotherapy contours without pixels",
}
_CLASSES = "1.2.840.10008.5.1.4.1.1."
_READ_CLASSES = tuple(
    _CLASSES + ending
    for ending in (
        "1",
        "1.1",
        "1.1.1",
        "1.2",
        "1.2.1",
        "1.3",
        "1.3.1",
        "7",
        "7.1",
        "7.2",
        "7.3",
        "7.4",
        "77.1.4",
    )
)
_DIRECTORY = "1.2.840.10008.1.3.10"
_LONGEST_META = 1 << 18  # bytes; a file's header names a few identifiers
_LARGEST_RLE = 32_000_000  # bytes; run lengths can blow up 64-fold
# The decoders of a syntax, the fastest that fails cleanly first. pylibjpeg-rle panics on broken runs.
_DECODERS = {
    "JPEG 2000": ("pylibjpeg", "pillow"),
    "High-Throughput": ("pylibjpeg",),
    "JPEG-LS": ("gdcm",),  # pyjpegls takes half the time, but 12 s to give up on a broken stream
    "JPEG Lossless": ("gdcm",),
    "JPEG": ("pillow", "gdcm"),
    "RLE": ("pydicom",),
}
_GREY_TOLERANCE = 12  # levels between channels that lossy compression makes of grey


def read_dicom(data: bytes, name: str, bounds: Bounds) -> Radiograph | Photo:
    """Read one DICOM file. Raises UnsupportedImage, ImageTooLarge or UnreadableImage with the true reason."""
    with quiet(), decoding(name, "DICOM", InvalidDicomError, BytesLengthException):
        header = pydicom.dcmread(io.BytesIO(inflated(data, name, bounds)), force=True)
        modality = _word(header.get("Modality"))
        _refuse_foreign(header, modality, name)
        _check_pixels(header, name, bounds)
        stored, damage = _decode(header, name)
        provenance = replace(_provenance(header, modality, name), damage=damage)
        if int(header.get("SamplesPerPixel", 1)) == 1 and header.PhotometricInterpretation != "PALETTE COLOR":
            return _radiograph(stored, header, provenance, name)
        colour = _colour(stored, header)
        if modality in XRAYS and _is_grey(colour):
            pixels = grey_bytes(colour).astype(np.float32) / np.float32(255)
            return Radiograph(pixels, _spacing(header), provenance)
        return Photo(colour, provenance)


def inflated(data: bytes, name: str, bounds: Bounds) -> bytes:
    """Undo the deflated transfer syntax, within the bound on bytes; pydicom would inflate without one.

    Whatever is given to pydicom's dcmread comes through here first. Raises ImageTooLarge, UnreadableImage, and
    what pydicom raises on broken files.
    """
    start = io.BytesIO(data[:_LONGEST_META])
    read_preamble(start, force=True)
    first = start.tell()
    meta = _read_file_meta_info(start)  # as dcmread reads it: another reader may find another syntax
    if start.tell() == _LONGEST_META:
        raise UnreadableImage(
            f"{name}: a broken DICOM: its file header has {_LONGEST_META:,} bytes or more; get the file again"
        )
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return data
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body = inflater.decompress(data[start.tell() :], bounds.bytes + 1)
    bounds.check_bytes(f"{name} (inflated)", len(body))
    if not inflater.eof:
        raise UnreadableImage(
            f"{name}: a truncated DICOM: its deflated data end too early; get the file again"
        )
    if body.startswith(b"\x02\0"):  # it would be read as more of the file's header, with a syntax of its own
        raise UnreadableImage(
            f"{name}: a broken DICOM: its deflated data start with a second file header; get the file again"
        )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole: Any = io.BytesIO()
    whole.write(data[:first])
    write_file_meta_info(whole, meta, enforce_standard=False)
    return bytes(whole.getvalue()) + body


def _refuse_foreign(header: Any, modality: str, name: str) -> None:
    sop_class = header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID")
    if sop_class == _DIRECTORY:
        raise UnsupportedImage(f"{name}: a DICOMDIR, a list of files; name the files or their folder instead")
    if not any(key in header for key in ("Modality", "SOPClassUID", "Rows")):
        raise UnreadableImage(
            f"{name}: a broken DICOM, or no DICOM at all: it describes no image; get it again"
        )
    what = _FOREIGN.get(modality)
    if what is None and modality not in XRAYS | PHOTOS:
        # Longer "codes" may be anything, a name too.
        what = (
            f"an image of the modality {modality}" if len(modality) < 5 else "an image of an unknown modality"
        )
    if what is None and sop_class is not None and sop_class not in _READ_CLASSES:
        official = str(sop_class).startswith(_CLASSES)
        what = f"of the class '{sop_class.name}'" if official and sop_class.name != sop_class else None
    if what is not None:
        raise UnsupportedImage(
            f"{name}: this is {what}; radsnap reads projection x-rays (CR, DX, RG, MG, IO, PX) and photos"
        )


def _check_pixels(header: Any, name: str, bounds: Bounds) -> None:
    """Hold what the header claims against the bounds, before anything is decoded."""
    if "PixelData" not in header or not header.PixelData:
        raise UnreadableImage(f"{name}: a DICOM without pixels; export the image itself")
    rows, columns = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
    bounds.check_size(name, columns, rows)
    bounds.check_frames(name, int(header.get("NumberOfFrames") or 1))
    samples, bits = int(header.get("SamplesPerPixel", 1)), int(header.get("BitsAllocated", 0))
    stored = int(header.get("BitsStored") or bits)
    if samples not in (1, 3) or bits not in (1, 8, 16) or not 1 <= stored <= bits:
        raise UnsupportedImage(
            f"{name}: a DICOM of {samples} samples of {bits} bits ({stored} stored); export 8 or 16 bits"
        )
    header.BitsStored = stored
    if _is_compressed(header):
        _check_compressed(header, name, bounds)


def _check_compressed(header: Any, name: str, bounds: Bounds) -> None:
    """Hold what the code stream claims against the header: decoders believe the former."""
    syntax, size = _syntax(header), (int(header.Columns), int(header.Rows))
    if not _plugins(syntax):
        return
    frame = _keep_first_frame(header)
    samples = int(header.get("SamplesPerPixel", 1))
    if syntax == pydicom.uid.RLELossless:
        plain = size[0] * size[1] * samples * int(header.BitsAllocated) // 8
        if len(frame) > min(_LARGEST_RLE, plain * 5 // 4 + 65536):
            raise ImageTooLarge(f"{name}: {len(frame):,} bytes of run lengths; export it uncompressed")
        return
    stream = read_codestream(frame)
    if stream is None:
        raise UnreadableImage(
            f"{name}: a broken DICOM: its pixels are no JPEG and no JPEG 2000; "
            "get the file again, or export it uncompressed"
        )
    if stream[:2] != size:
        bounds.check_size(name, *stream[:2])
        raise UnreadableImage(
            f"{name}: a broken DICOM: its header says {size[0]} × {size[1]} px, its compressed picture "
            f"{stream.width} × {stream.height} px; export it again"
        )
    if stream.samples != samples:
        raise UnreadableImage(
            f"{name}: a broken DICOM: its header says {samples} samples a pixel, its compressed picture "
            f"{stream.samples}; export it again"
        )
    if syntax == pydicom.uid.JPEGExtended12Bit and stream.bits > 8:
        raise UnsupportedImage(
            f"{name}: no decoder takes {_spelled(syntax)} with {stream.bits} bits; export the file uncompressed"
        )


def _keep_first_frame(header: Any) -> bytes:
    """Leave a compressed DICOM the code stream of its first frame only, and give it.

    So what is checked is what is decoded: tables of offsets and boxes may lead decoders elsewhere.
    """
    tables = tuple(header.get(f"ExtendedOffsetTable{which}") for which in ("", "Lengths"))
    frames = int(header.get("NumberOfFrames") or 1)
    known = tables if all(tables) else None
    frame = unboxed(get_frame(header.PixelData, 0, number_of_frames=frames, extended_offsets=known))
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        header.pop(keyword, None)
    header.NumberOfFrames = 1
    header.PixelData = encapsulate([frame])
    return frame


def _plugins(syntax: Any) -> list[str]:
    """Name the decoders of a syntax that are here, in the order in which they are tried."""
    try:
        available = get_decoder(syntax).available_plugins
    except NotImplementedError:
        return []
    wanted = next((tried for family, tried in _DECODERS.items() if syntax.name.startswith(family)), ())
    return [plugin for plugin in wanted if plugin in available]


def _syntax(header: Any) -> Any:
    meta = getattr(header, "file_meta", None)
    syntax = meta.get("TransferSyntaxUID") if meta is not None else None
    if syntax is None:
        syntax = pydicom.uid.ImplicitVRLittleEndian
        header.file_meta = meta if meta is not None else pydicom.dataset.FileMetaDataset()
        header.file_meta.TransferSyntaxUID = syntax
    return syntax


def _is_compressed(header: Any) -> bool:
    """Tell whether pixels are encapsulated; a private syntax counts as such, as no decoder takes it."""
    syntax = _syntax(header)
    return not syntax.is_transfer_syntax or bool(syntax.is_compressed)


def _decode(header: Any, name: str) -> tuple[NDArray[Any], str | None]:
    """Decode the first frame: stored values (H, W) or samples (H, W, 3), and what the decoder said of lost pixels."""
    syntax = _syntax(header)
    plugins = _plugins(syntax)
    raw = int(header.get("SamplesPerPixel", 1)) == 1
    if not _is_compressed(header):
        return np.asarray(pixel_array(header, index=0, raw=raw, correct_unused_bits=False)), None
    if not plugins:
        raise UnsupportedImage(f"{name}: no decoder takes {_spelled(syntax)}; export the file uncompressed")
    for plugin in plugins:
        try:
            listening: AbstractContextManager[list[str]] = (
                overheard() if plugin == "gdcm" else nullcontext([])
            )
            with listening as lines:
                pixels = pixel_array(
                    header, index=0, raw=raw, decoding_plugin=plugin, allow_excess_frames=False
                )
            return np.asarray(pixels), loss(lines)
        except DECODER_FAULTS as error:
            fault = error
    raise UnreadableImage(
        f"{name}: a broken DICOM: its pixels cannot be decoded ({_spelled(syntax)}); "
        "get the file again, or export it uncompressed"
    ) from fault


def _spelled(syntax: Any) -> str:
    return (
        f"the transfer syntax {syntax.name}"
        if syntax.name != syntax
        else f"the transfer syntax {_word(syntax)}"
    )


def _radiograph(stored: NDArray[Any], header: Any, provenance: Provenance, name: str) -> Radiograph:
    if header.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise UnsupportedImage(f"{name}: a DICOM of one sample that is neither MONOCHROME1 nor MONOCHROME2")
    if not _is_compressed(header):
        stored = _stored_bits(stored, header)
    pixels, steps = to_grey(stored, header, name)
    return Radiograph(
        np.ascontiguousarray(pixels),
        _spacing(header),
        Provenance(**{**vars(provenance), "steps": steps}),
    )


def _stored_bits(stored: NDArray[Any], header: Any) -> NDArray[Any]:
    """Cut out the stored bits: overlays and junk may lie in the others."""
    bits, allocated = int(header.BitsStored), int(header.BitsAllocated)
    if bits == allocated:
        return stored
    high = int(header.get("HighBit", bits - 1))
    kind = np.dtype(f"{'i' if header.get('PixelRepresentation', 0) else 'u'}{stored.dtype.itemsize}")
    width = 8 * stored.dtype.itemsize
    # Left to drop what lies above, right (with the sign) to drop what lies below.
    return (stored.astype(kind, copy=False) << (width - 1 - high)) >> (width - bits)


def _colour(stored: NDArray[Any], header: Any) -> ByteImage:
    if header.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored, header)
        depth = 8 * stored.dtype.itemsize
        return _eight_bits(stored[..., :3], (1 << depth) - 1)
    return _eight_bits(stored, (1 << int(header.BitsStored)) - 1)


def _eight_bits(samples: NDArray[Any], peak: int) -> ByteImage:
    if samples.dtype == np.uint8 and peak == 255:
        return np.ascontiguousarray(samples)
    return np.rint(np.clip(samples * (255 / peak), 0, 255)).astype(np.uint8)


def _is_grey(colour: ByteImage) -> bool:
    """Tell whether a colour picture holds nothing but grey, up to what lossy compression adds."""
    red, green, blue = cv2.split(colour)
    apart = max(float(np.percentile(cv2.absdiff(green, other), 99.9)) for other in (red, blue))
    return apart <= _GREY_TOLERANCE


def _provenance(header: Any, modality: str, name: str) -> Provenance:
    return Provenance(
        source=name,
        format=f"DICOM ({_syntax(header).name})",
        modality=modality or None,
        body=_word(header.get("BodyPartExamined")) or None,
        view=_word(header.get("ViewPosition")) or None,
        size_px=(int(header.Columns), int(header.Rows)),
    )


def _spacing(header: Any) -> tuple[float, float] | None:
    """Give (row, column) spacing in mm: calibrated to the patient if stated, else at the detector."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
        values = header.get(keyword)
        if values is not None and not isinstance(values, str | float) and len(values) == 2:
            rows, columns = float(values[0]), float(values[1])
            if 0 < rows < np.inf and 0 < columns < np.inf:
                return rows, columns
    return None


def _word(value: Any) -> str:
    """Give a code string as at most 32 plain upper-case letters; files put anything there."""
    return re.sub(r"[^A-Z0-9 ._-]", "", str(value or "").upper())[:32].strip()
