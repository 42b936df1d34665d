"""DICOM: what reads as an x-ray or a photo, through which steps, and what is refused for which reason."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import SECONDARY_CAPTURE, dataset, dicom, encoded, lut, saved, scene
from pydicom.encaps import encapsulate, itemize_fragment
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from radsnap.errors import ImageTooLarge, UnreadableImage, UnsupportedImage
from radsnap.imaging import Bounds, Photo, Radiograph, luminance, read_image, read_radiograph

RAMP = np.arange(1024, dtype=np.uint16).reshape(32, 32)


def pixels(data: bytes) -> Any:
    image = read_image(data)
    assert isinstance(image, Radiograph)
    return image.pixels


def steps(data: bytes) -> tuple[str, ...]:
    return read_image(data).provenance.steps


# --- the grey pipeline ---


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("rescale", [(1, 0), (2.5, -300)])
def test_windows_agree_with_pydicom(function: str, rescale: tuple[float, float]) -> None:
    made = dataset(RAMP, BitsStored=12, WindowCenter=500, WindowWidth=400, VOILUTFunction=function)
    made.RescaleSlope, made.RescaleIntercept = rescale
    theirs = apply_voi_lut(apply_modality_lut(RAMP, made), made)
    # pydicom maps the window to the range of the modality's output; ours to [0, 1].
    low, high = rescale[1], 4095 * rescale[0] + rescale[1]
    assert np.abs(pixels(saved(made)) - (theirs - low) / (high - low)).max() < 1e-5


def test_modality_lut_and_voi_lut_agree_with_pydicom() -> None:
    curve = [int(65535 * (entry / 1023) ** 2) for entry in range(1024)]
    by_modality = dataset(RAMP, BitsStored=10, ModalityLUTSequence=[lut(curve, 0, 16)])
    by_modality.WindowCenter, by_modality.WindowWidth, by_modality.VOILUTFunction = (
        32768,
        65536,
        "LINEAR_EXACT",
    )
    expected = apply_modality_lut(RAMP, by_modality) / 65535
    assert np.abs(pixels(saved(by_modality)) - expected).max() < 2e-5
    by_voi = dataset(RAMP, BitsStored=10, VOILUTSequence=[lut(curve, 0, 16)])
    assert np.abs(pixels(saved(by_voi)) - apply_voi_lut(RAMP, by_voi) / 65535).max() < 1e-5


def test_a_voi_lut_that_misstates_its_bits_still_reaches_white() -> None:
    made = dataset(RAMP, BitsStored=10, VOILUTSequence=[lut([4 * entry for entry in range(1024)], 0, 16)])
    assert pixels(saved(made)).max() > 0.99


def test_a_presentation_lut_has_the_last_word() -> None:
    negative = lut(list(range(255, -1, -1)), 0, 8)
    made = dataset(RAMP, BitsStored=10, PresentationLUTSequence=[negative])
    assert np.abs(pixels(saved(made)) - (1 - RAMP / 1023)).max() < 1 / 255


@pytest.mark.parametrize(
    ("elements", "inverted"),
    [
        ({}, False),
        ({"PresentationLUTShape": "IDENTITY"}, False),
        ({"PhotometricInterpretation": "MONOCHROME1"}, True),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, True),
    ],
)
def test_monochrome1_is_inverted_once(elements: dict[str, str], inverted: bool) -> None:
    image = pixels(dicom(RAMP, BitsStored=10, **elements))
    expected = RAMP / 1023
    assert np.abs(image - (1 - expected if inverted else expected)).max() < 1e-6


def test_inversion_comes_after_the_window() -> None:
    made = dicom(
        RAMP, BitsStored=10, WindowCenter=900, WindowWidth=50, PhotometricInterpretation="MONOCHROME1"
    )
    assert pixels(made)[0, 0] == 1.0
    assert pixels(made)[-1, -1] == 0.0


def test_without_a_window_a_dim_deep_picture_spans_black_to_white() -> None:
    dim = dicom((RAMP + 100).astype(np.uint16), BitsStored=16)
    assert (pixels(dim).min(), pixels(dim).max()) == (0.0, 1.0)
    assert steps(dim) == ("no window: 100 to 1123",)


def test_without_a_window_eight_bits_are_taken_as_they_are() -> None:
    image = pixels(dicom((RAMP // 8).astype(np.uint8)))
    np.testing.assert_allclose(image, RAMP // 8 / 255, atol=1e-6)


def test_padding_does_not_count_for_the_range() -> None:
    padded = RAMP.copy()
    padded[:4] = 65535
    image = pixels(dicom(padded, PixelPaddingValue=65535))
    assert image[4, 0] == 0.0
    assert image[-1, -1] == 1.0


def test_a_window_that_shows_nothing_is_passed_over() -> None:
    made = dicom(RAMP, BitsStored=16, WindowCenter=40_000, WindowWidth=100)
    assert steps(made) == ("no window: 0 to 1023",)
    assert steps(dicom(RAMP, BitsStored=16, WindowCenter=40, WindowWidth=0)) == ("no window: 0 to 1023",)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16])
def test_signed_and_unsigned_samples_keep_their_order(kind: Any) -> None:
    ramp = np.linspace(np.iinfo(kind).min, np.iinfo(kind).max, 4096).astype(kind).reshape(64, 64)
    assert (np.diff(pixels(dicom(ramp)).ravel()) >= 0).all()
    assert np.ptp(pixels(dicom(ramp))) == 1.0


def test_overlays_in_unused_bits_do_not_show() -> None:
    dirty = RAMP | (np.arange(1024, dtype=np.uint16).reshape(32, 32) % 2 << 12)
    assert (pixels(dicom(dirty.astype(np.uint16), BitsStored=10)) == pixels(dicom(RAMP, BitsStored=10))).all()
    shifted = dicom((RAMP << 4).astype(np.uint16), BitsStored=10, HighBit=13)
    assert (pixels(shifted) == pixels(dicom(RAMP, BitsStored=10))).all()


@settings(max_examples=40, deadline=None)
@given(
    bits=st.integers(8, 16),
    center=st.floats(-1e6, 1e6),
    width=st.floats(-10, 1e6),
    slope=st.floats(-1e3, 1e3),
    intercept=st.floats(-1e5, 1e5),
)
def test_any_numbers_in_the_header_give_a_radiograph(
    bits: int, center: float, width: float, slope: float, intercept: float
) -> None:
    made = dataset(np.arange(256, dtype=np.uint16).reshape(16, 16), BitsStored=bits)
    for keyword, value in {
        "WindowCenter": center,
        "WindowWidth": width,
        "RescaleSlope": slope,
        "RescaleIntercept": intercept,
    }.items():
        setattr(made, keyword, f"{value:.8g}")
    image = read_image(saved(made))  # Radiograph itself refuses NaN and what is not in [0, 1]
    assert image.pixels.shape == (16, 16)


# --- spacing, provenance ---


def test_spacing_is_the_calibrated_one_then_the_detectors() -> None:
    both = read_radiograph(dicom(RAMP, PixelSpacing=[0.2, 0.3], ImagerPixelSpacing=[0.1, 0.1]))
    assert both.spacing_mm == (0.2, 0.3)
    assert read_radiograph(dicom(RAMP, ImagerPixelSpacing=[0.1, 0.15])).spacing_mm == (0.1, 0.15)
    assert read_radiograph(dicom(RAMP, PixelSpacing=[0, 0])).spacing_mm is None
    assert read_radiograph(dicom(RAMP)).spacing_mm is None


def test_provenance_names_modality_body_and_view_and_no_patient() -> None:
    image = read_image(dicom(RAMP, BodyPartExamined="CHEST", ViewPosition="PA"), name="a.dcm")
    assert (image.provenance.modality, image.provenance.body, image.provenance.view) == ("CR", "CHEST", "PA")
    assert image.provenance.size_px == (32, 32)
    assert "SECRET" not in repr(image.provenance)


# --- colour ---


def test_a_colour_secondary_capture_is_a_photo() -> None:
    image = read_image(dicom(scene(), SOPClassUID=SECONDARY_CAPTURE, Modality="OT"))
    assert isinstance(image, Photo)
    assert (image.pixels == scene()).all()
    with pytest.raises(UnsupportedImage, match="a colour photo in DICOM, not a digital x-ray"):
        read_radiograph(dicom(scene(), SOPClassUID=SECONDARY_CAPTURE, Modality="OT"))


def test_grey_stored_as_colour_is_a_radiograph_only_where_the_modality_is_an_x_ray() -> None:
    grey = np.repeat(scene()[..., :1], 3, axis=2)
    image = read_image(dicom(grey, Modality="DX"))
    assert isinstance(image, Radiograph)
    assert np.abs(image.pixels - luminance(Photo(grey))).max() < 1e-6
    assert isinstance(read_image(dicom(grey, Modality="OT", SOPClassUID=SECONDARY_CAPTURE)), Photo)
    assert isinstance(read_image(dicom(scene(), Modality="DX")), Photo)


def test_palette_colour_is_a_photo() -> None:
    made = dataset((RAMP % 256).astype(np.uint8), PhotometricInterpretation="PALETTE COLOR", Modality="OT")
    made.SOPClassUID = SECONDARY_CAPTURE
    for at, colour in enumerate(("Red", "Green", "Blue")):
        entries = (np.arange(256) * (at + 1) % 256 * 257).astype("<u2")
        made.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        made.add_new(f"{colour}PaletteColorLookupTableData", "OW", entries.tobytes())
    image = read_image(saved(made))
    assert isinstance(image, Photo)
    index = (RAMP % 256).astype(int)
    assert (image.pixels == np.stack([index, index * 2 % 256, index * 3 % 256], axis=2)).all()


def test_jpeg_compressed_colour_comes_out_as_rgb() -> None:
    made = dataset(scene(), SOPClassUID=SECONDARY_CAPTURE, Modality="XC")
    made.PhotometricInterpretation = "YBR_FULL_422"
    made.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.50")
    made.PixelData = encapsulate([encoded(scene(), "JPEG", quality=95)])
    assert np.abs(read_image(saved(made)).pixels.astype(int) - scene()).mean() < 3


# --- syntaxes ---


@pytest.mark.parametrize(
    "syntax",
    ["1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"],
    ids=["RLE", "JPEG-LS", "JPEG 2000"],
)
def test_lossless_syntaxes_give_the_pixels_of_the_plain_file(syntax: str) -> None:
    made = dataset(RAMP, BitsStored=12)
    made.compress(syntax, generate_instance_uid=False)
    assert (pixels(saved(made)) == pixels(dicom(RAMP, BitsStored=12))).all()


def test_deflated_and_big_endian_files_are_read() -> None:
    plain = pixels(dicom(RAMP, BitsStored=12))
    deflated = dataset(RAMP, BitsStored=12)
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert (pixels(saved(deflated)) == plain).all()
    turned = dataset(RAMP.astype(">u2"), BitsStored=12)
    turned.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    turned["PixelData"].VR = "OW"
    assert (pixels(saved(turned)) == plain).all()


def test_a_file_without_preamble_is_read() -> None:
    assert (pixels(dicom(RAMP, BitsStored=12)[132:]) == pixels(dicom(RAMP, BitsStored=12))).all()


def with_deflated(body: bytes) -> bytes:
    """A file whose header says that it is deflated, with this body."""
    made = dataset(RAMP)
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data = saved(made)
    packer = zlib.compressobj(9, wbits=-15)
    return data[: 144 + struct.unpack("<I", data[140:144])[0]] + packer.compress(body) + packer.flush()


@pytest.mark.parametrize("start", [0, 132], ids=["preamble", "no preamble"])
def test_an_inflating_bomb_is_stopped_at_the_bound(start: int) -> None:
    bomb = with_deflated(bytes(4_000_000))[start:]
    with pytest.raises(ImageTooLarge, match=r"\(inflated\): 2,000,001 bytes are over the bound"):
        read_image(bomb, Bounds(bytes=2_000_000))


def test_a_bomb_in_a_deflated_file_does_not_go_off() -> None:
    inner = with_deflated(bytes(4_000_000))[132:]
    with pytest.raises(UnreadableImage, match="its deflated data start with a second file header"):
        read_image(with_deflated(inner), Bounds(bytes=2_000_000))


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.204", "1.2.3.4.5"])
def test_a_syntax_that_no_decoder_takes_is_named(syntax: str) -> None:
    made = dataset(RAMP)
    made.PixelData = encapsulate([b"\0\0\0\1" * 4])
    made["PixelData"].is_undefined_length = True
    made.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.5")
    data = saved(made).replace(b"1.2.840.10008.1.2.5\0", syntax.encode().ljust(20, b"\0"), 1)
    if len(syntax) > 20:
        made.file_meta.TransferSyntaxUID = UID(syntax)
        data = saved(made)
    with pytest.raises(UnsupportedImage, match="no decoder takes the transfer syntax") as caught:
        read_image(data)
    assert UID(syntax).name.upper()[:20] in str(caught.value).upper()


# --- refusals ---


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Modality": "CT", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "this is a CT image"),
        ({"Modality": "US"}, "this is an ultrasound image"),
        ({"Modality": "XA"}, "this is an angiography image"),
        ({"Modality": "QQ"}, "this is an image of the modality QQ"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}, "this is of the class 'MR Image Storage'"),
    ],
)
def test_what_is_no_projection_x_ray_is_refused_by_name(elements: dict[str, str], reason: str) -> None:
    with pytest.raises(UnsupportedImage, match=f"x.dcm: {reason}; radsnap reads projection x-rays") as caught:
        read_image(dicom(RAMP, **elements), name="x.dcm")
    assert "SECRET" not in str(caught.value)


def test_bounds_hold_before_decoding() -> None:
    with pytest.raises(ImageTooLarge, match=r"more than one frame \(40\)"):
        read_image(dicom(RAMP, NumberOfFrames=40))
    with pytest.raises(ImageTooLarge, match="60,000 × 60,000 px are over the bound"):
        read_image(dicom(RAMP, Rows=60_000, Columns=60_000))


def test_a_dicom_without_pixels_is_refused() -> None:
    made = dataset(RAMP)
    del made.PixelData
    with pytest.raises(UnreadableImage, match="a DICOM without pixels; export the image itself"):
        read_image(saved(made))


def test_too_few_pixels_are_refused() -> None:
    with pytest.raises(UnreadableImage, match="a broken DICOM"):
        read_image(dicom(RAMP, Rows=40))


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"])
def test_a_code_stream_of_another_size_than_the_header_is_refused(syntax: str) -> None:
    made = dataset(RAMP, BitsStored=12)
    made.compress(syntax, generate_instance_uid=False)
    made.Rows = 16
    with pytest.raises(
        UnreadableImage, match="its header says 32 × 16 px, its compressed picture 32 × 32 px"
    ):
        read_image(saved(made))


def jpeg2000(side: int, **options: Any) -> bytes:
    return encoded(np.zeros((side, side), dtype=np.uint8), "JPEG2000", **options)


def in_a_box() -> bytes:
    """A JP2 file of 400 × 400 px with the head of a stream of 64 × 64 px in a box that decoders pass over."""
    head, file = jpeg2000(64, no_jp2=True)[:200], jpeg2000(400)
    at = file.index(b"ftyp") - 4
    at += int.from_bytes(file[at : at + 4], "big")
    body = bytes(16) + head
    return encapsulate([file[:at] + struct.pack(">I", 8 + len(body)) + b"uuid" + body + file[at:]])


def in_a_large_box() -> bytes:
    """The same, the box's length in 64 bits."""
    head, file = jpeg2000(64, no_jp2=True)[:200], jpeg2000(400)
    at = file.index(b"jp2h") - 4
    return encapsulate([file[:at] + struct.pack(">I4sQ", 1, b"uuid", 16 + len(head)) + head + file[at:]])


def in_a_fragment_without_offset() -> bytes:
    """Two fragments, of which the table of offsets knows the second."""
    first, second = (itemize_fragment(jpeg2000(side, no_jp2=True)) for side in (64, 400))
    return b"\xfe\xff\x00\xe0" + struct.pack("<II", 4, len(first)) + first + second


@pytest.mark.parametrize("hide", [in_a_box, in_a_large_box, in_a_fragment_without_offset])
def test_a_decoy_hides_no_code_stream_that_is_over_the_bound(hide: Callable[[], bytes]) -> None:
    made = dataset(np.zeros((64, 64), dtype=np.uint8))
    made.file_meta.TransferSyntaxUID = JPEG2000Lossless
    made.PixelData = hide()
    with pytest.raises(ImageTooLarge, match="400 × 400 px are over the bound of 10,000 pixels"):
        read_image(saved(made), Bounds(pixels=10_000))


def test_a_table_of_extended_offsets_hides_no_code_stream_that_is_over_the_bound() -> None:
    first, second = (jpeg2000(side, no_jp2=True) for side in (64, 400))
    made = dataset(np.zeros((64, 64), dtype=np.uint8))
    made.file_meta.TransferSyntaxUID = JPEG2000Lossless
    made.PixelData = encapsulate([first, second], has_bot=False)
    made.ExtendedOffsetTable = struct.pack("<Q", 8 + len(first) + len(first) % 2)
    made.ExtendedOffsetTableLengths = struct.pack("<Q", len(second))
    with pytest.raises(ImageTooLarge, match="400 × 400 px are over the bound of 10,000 pixels"):
        read_image(saved(made), Bounds(pixels=10_000))


def test_a_marker_without_length_hides_no_frame_that_is_over_the_bound() -> None:
    small, large = (encoded(np.zeros((side, side), dtype=np.uint8), "JPEG") for side in (64, 400))
    made = dataset(np.zeros((64, 64), dtype=np.uint8))
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    # taken for a length, 0xFFDB leads over the large picture to the frame header of the small one
    frame = (large[:2] + b"\xff\xd0" + large[20:]).ljust(4 + 0xFFDB, b"\0")
    made.PixelData = encapsulate([frame + small[small.index(b"\xff\xc0") :]])
    with pytest.raises(ImageTooLarge, match="400 × 400 px are over the bound of 10,000 pixels"):
        read_image(saved(made), Bounds(pixels=10_000))


def test_a_jpeg_2000_file_in_a_dicom_is_read() -> None:
    made = dataset(np.zeros((64, 64), dtype=np.uint8))
    made.file_meta.TransferSyntaxUID = JPEG2000Lossless
    made.PixelData = encapsulate([jpeg2000(64)])
    assert pixels(saved(made)).shape == (64, 64)


@pytest.mark.parametrize("before", [b"\0\0", b"\xff\x4f", b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(8)])
def test_what_does_not_start_as_a_code_stream_is_refused(before: bytes) -> None:
    made = dataset(np.zeros((64, 64), dtype=np.uint8))
    made.file_meta.TransferSyntaxUID = JPEG2000Lossless
    made.PixelData = encapsulate([before + jpeg2000(64, no_jp2=True)])
    with pytest.raises(UnreadableImage, match="its pixels are no JPEG and no JPEG 2000"):
        read_image(saved(made))


def test_a_code_stream_of_other_samples_than_the_header_is_refused() -> None:
    made = dataset(np.zeros((64, 64), dtype=np.uint8))
    made.file_meta.TransferSyntaxUID = JPEG2000Lossless
    colour = encoded(np.zeros((64, 64, 3), dtype=np.uint8), "JPEG2000", no_jp2=True)
    made.PixelData = encapsulate([colour])
    with pytest.raises(UnreadableImage, match="its header says 1 samples a pixel, its compressed picture 3"):
        read_image(saved(made))


# --- real files ---

# What each file of the folder `dicom` shows (looked at), or the reason why it is refused.
REAL = {
    "1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm": "chest with surgical clips (CR in SC, JPEG)",
    "331_DDH_1.dcm": "an infant's pelvis (CR, grey stored as RGB, JPEG 2000)",
    "CR-ModalitySequenceLUT.dcm": "a dental panorama on black (CR, modality LUT, MONOCHROME1, JPEG Lossless)",
    "Fake_MONOHR1.dcm": "the first chest again, its header changed to MONOCHROME1: reads as the negative",
    "RG1_J2KI.dcm": "chest with round shadows (CR, 15 bits, MONOCHROME1, JPEG 2000)",
    "RG1_JLSN.dcm": "the same, JPEG-LS near-lossless",
    "RG2_J2KI.dcm": "hip (CR, 10 bits, JPEG 2000)",
    "RG3_J2KR.dcm": "ankle and lower leg (CR, MONOCHROME1, JPEG 2000)",
    "RG3_JLSL.dcm": "the same, JPEG-LS",
    "RG3_JPLL.dcm": "the same, JPEG Lossless",
    "RG3_RLE.dcm": "the same, RLE",
    "gdcm-CR-MONO1-10-chest.dcm": "chest (CR, MONOCHROME1, uncompressed)",
    "mlut_18.dcm": "SMPTE test pattern (OT in SC, modality LUT): grey, left to the gate",
    "vlut_04.dcm": "SMPTE test pattern (OT in SC, VOI LUT): grey, left to the gate",
}
REFUSED = {
    "RG2_JPLY.dcm": r"no decoder takes the transfer syntax JPEG Extended \(Process 2 and 4\) with 12 bits",
    "XA1_J2KI.dcm": "an angiography image",
    "anon_apct.dcm": "a CT image",
    "gdcm-US-RGB-8-epicard.dcm": "an ultrasound image",
}


@pytest.mark.shared
def test_every_real_file_reads_or_is_refused_for_its_true_reason(shared_data: Path) -> None:
    assert {file.name for file in (shared_data / "dicom").glob("*.dcm")} == {*REAL, *REFUSED}
    for name in REAL:
        image = read_image(shared_data / "dicom" / name)
        assert isinstance(image, Radiograph), name
        assert image.pixels.std() > 0.1, name
        assert 0.2 < image.pixels.mean() < 0.8, f"{name} is nearly black or white"
    for name, reason in REFUSED.items():
        with pytest.raises(UnsupportedImage, match=reason):
            read_image(shared_data / "dicom" / name)


@pytest.mark.shared
def test_one_picture_in_four_syntaxes_is_one_picture(shared_data: Path) -> None:
    folder = shared_data / "dicom"
    plain, *others = (
        read_radiograph(folder / f"RG3_{syntax}.dcm").pixels for syntax in ("RLE", "J2KR", "JLSL", "JPLL")
    )
    assert all((plain == other).all() for other in others)
    lossy = (read_radiograph(folder / f"RG1_{syntax}.dcm").pixels for syntax in ("J2KI", "JLSN"))
    assert np.abs(np.subtract(*lossy)).mean() < 0.005


@pytest.mark.shared
def test_a_real_file_and_its_faked_negative_are_opposites(shared_data: Path) -> None:
    names = ("1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm", "Fake_MONOHR1.dcm")
    real, fake = (read_radiograph(shared_data / "dicom" / name).pixels for name in names)
    np.testing.assert_allclose(real + fake, 1, atol=1e-6)


def test_neither_messages_nor_logs_repeat_what_could_name_a_patient(caplog: pytest.LogCaptureFixture) -> None:
    hostile = dicom(RAMP, Modality="QQQQQQQQQQQQ").replace(b"QQQQQQQQQQQQ", b"SECRET^NAME ")
    with pytest.raises(UnsupportedImage, match="an image of an unknown modality") as caught:
        read_image(hostile)
    assert "SECRET" not in str(caught.value)
    for broken in (dicom(RAMP)[:-900], dicom(RAMP, Rows=70), dicom(RAMP, PixelData=b"")):
        with pytest.raises(UnreadableImage) as refused:
            read_image(broken)
        assert "SECRET" not in str(refused.value)
    # pydicom logs a class that is no identifier with its value.
    read_image(dicom(RAMP, SOPClassUID="1.2.3.4.5.67").replace(b"1.2.3.4.5.67", b"SECRET^NAME "))
    assert "SECRET" not in caplog.text
