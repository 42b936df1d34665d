"""Nothing that names a patient is stored, logged or given out, wherever it was hidden in the file."""

from __future__ import annotations

import io
import logging
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import ExifTags, Image, PngImagePlugin
from pydicom.dataset import FileDataset, FileMetaDataset
from starlette.testclient import TestClient
from tests.web.conftest import MakeSettings, running

from radsnap.web.plain_jpeg import plain_jpeg
from radsnap.web.storage.check import check

NAME = "PLANTED DOE JANE"
FORMS = [NAME.encode(), NAME.encode("utf-16-le"), NAME.encode("utf-16-be"), b"PLANTED^DOE^JANE", b"49.123456"]
GREY = np.full((80, 100), 128, dtype=np.uint8)


def exif() -> Image.Exif:
    """EXIF with the name in every text tag, in the maker's note and beside a place."""
    block = Image.Exif()
    for tag in (
        "ImageDescription",
        "Artist",
        "Copyright",
        "Make",
        "Model",
        "Software",
        "HostComputer",
        "DocumentName",
    ):
        block[ExifTags.Base[tag]] = NAME
    block[ExifTags.Base.XPAuthor] = NAME.encode("utf-16-le")
    inner = block.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.UserComment] = b"ASCII\0\0\0" + NAME.encode()
    inner[ExifTags.Base.MakerNote] = NAME.encode()
    inner[ExifTags.Base.CameraOwnerName] = NAME
    place = block.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitudeRef] = "N"
    place[ExifTags.GPS.GPSProcessingMethod] = NAME.encode()
    place[ExifTags.GPS.GPSAreaInformation] = b"49.123456"
    return block


def jpeg() -> bytes:
    data = io.BytesIO()
    Image.fromarray(GREY).save(data, "JPEG", exif=exif(), comment=NAME.encode())
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x>" + NAME.encode() + b"</x>"
    segment = b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp
    body = data.getvalue()
    return body[:2] + segment + body[2:] + NAME.encode()  # and after its end


def png() -> bytes:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Author", NAME)
    notes.add_text("Comment", NAME, zip=True)
    notes.add_itxt("XML:com.adobe.xmp", NAME)
    data = io.BytesIO()
    Image.fromarray(GREY).save(data, "PNG", pnginfo=notes, exif=exif())
    return data.getvalue() + NAME.encode()


def webp() -> bytes:
    data = io.BytesIO()
    Image.fromarray(GREY).convert("RGB").save(data, "WEBP", lossless=True, exif=exif(), xmp=NAME.encode())
    return data.getvalue()


def tiff() -> bytes:
    data = io.BytesIO()
    Image.fromarray(GREY).save(data, "TIFF", tiffinfo={270: NAME, 315: NAME, 700: NAME.encode()})
    return data.getvalue()


def dicom() -> bytes:
    """A DX image with the name in every text element of the patient's, study's and maker's modules."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = "1.2.3.49123456"
    file = FileDataset("", {}, file_meta=meta, preamble=NAME.encode().ljust(128, b"\0"))
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.Modality, file.BodyPartExamined, file.ViewPosition = "DX", NAME, NAME[:16]
    for keyword in (
        "PatientID", "AccessionNumber", "InstitutionName", "ReferringPhysicianName", "StudyDescription",
        "SeriesDescription", "ProtocolName", "StationName", "PatientAddress", "ImageComments", "PatientComments",
        "OperatorsName", "DeviceSerialNumber", "AdditionalPatientHistory", "OtherPatientIDs", "StudyID",
    ):  # fmt: skip
        setattr(
            file, keyword, NAME[:16] if keyword in ("StudyID", "StationName", "AccessionNumber") else NAME
        )
    file.PatientName, file.PatientBirthDate = "PLANTED^DOE^JANE", "19491234"[:8].replace("1234", "0102")
    file.private_block(0x11, "PLANTED", create=True).add_new(1, "LO", NAME)
    file.Rows, file.Columns = GREY.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation = 7, 0
    file.PixelData = GREY.tobytes()
    data = io.BytesIO()
    file.save_as(data, enforce_file_format=True)
    return data.getvalue() + NAME.encode() * 2


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every byte that is kept: files, the database with what it deleted, and what is packed in files."""
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            yield path.name, data
            if data[:2] == b"PK":
                with np.load(path) as packed:
                    yield path.name, b"".join(packed[name].tobytes() for name in packed.files)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "dicom"])
def test_the_plant_is_in_what_is_sent(kind: str) -> None:
    assert any(form in globals()[kind]() for form in FORMS)


def test_no_name_is_stored_logged_or_given_out(
    make_settings: MakeSettings, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    settings = make_settings()
    answers = b""
    with running(settings) as client:
        for data in (jpeg(), png(), webp(), tiff(), dicom()):
            sent = client.post("/api/v1/diagnose", files={"file": (f"{NAME}.jpg", data, NAME)})
            assert sent.status_code == 200, sent.text
            case = client.get(f"/api/v1/cases/{sent.json()['case']['id']}").json()
            answers += sent.content + client.get(case["image_url"]).content
            for url in case["export_urls"].values():
                made = client.get(url)
                assert made.status_code == 200, url
                answers += (
                    made.content + made.headers["Content-Disposition"].encode() + _unpacked(made.content)
                )
        job = client.post("/api/v1/jobs", files=[("file", (f"{NAME}.jpg", jpeg()))]).json()
        answers += client.get(job["events_url"]).content
        broken = dicom()[:600]
        refused = client.post("/api/v1/diagnose", content=broken)
        assert refused.status_code in (415, 422)
        answers += refused.content
        client.get("/api/v1/cases", params={"query": NAME})
        client.get(f"/{NAME}?{NAME}")
    with sqlite3.connect(settings.data / "radsnap.db") as database:
        dumped = "\n".join(database.iterdump()).encode()
    database.close()
    logged = "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("httpx")
    ).encode()
    heard = "".join(capfd.readouterr()).encode()
    for form in FORMS:
        for name, data in everything(settings.data):
            assert form not in data, name
        for where, data in {"answers": answers, "rows": dumped, "captured": heard, "logged": logged}.items():
            assert form not in data, where
    assert check(settings).broken == ()


def _unpacked(data: bytes) -> bytes:
    """What a PDF holds packed."""
    found, at = b"", 0
    while (at := data.find(b"stream\n", at)) >= 0:
        at += 7
        try:
            found += zlib.decompressobj().decompress(data[at:])
        except zlib.error:
            continue
    return found


def test_a_picture_is_stored_upright_without_its_tags(client: TestClient) -> None:
    half = np.full((40, 60), 150, dtype=np.uint8)
    half[:, :30] = 100
    block = exif()
    block[ExifTags.Base.Orientation] = 6  # its right side is up... turned 90° clockwise to be seen
    data = io.BytesIO()
    Image.fromarray(half).save(data, "JPEG", quality=95, exif=block)
    case_id = client.post("/api/v1/diagnose", content=data.getvalue()).json()["case"]["id"]
    kept = client.get(f"/api/v1/cases/{case_id}/image.jpg").content
    with Image.open(io.BytesIO(kept)) as opened:
        assert opened.size == (40, 60)
        assert not opened.getexif()
        assert set(opened.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        pixels = np.asarray(opened.convert("L")).astype(float)
    assert pixels[:25].mean() < 110
    assert pixels[35:].mean() > 140


def test_a_jpeg_is_copied_pixel_for_pixel_without_its_notes() -> None:
    colours = np.random.default_rng(3).integers(0, 255, (40, 56, 3), dtype=np.uint8)
    for options in ({}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_blocks": 2}):
        data = io.BytesIO()
        Image.fromarray(colours).save(data, "JPEG", exif=exif(), comment=NAME.encode(), **options)
        plain = plain_jpeg(data.getvalue() + NAME.encode())
        assert plain is not None
        assert not any(form in plain for form in FORMS)
        assert len(plain) < len(data.getvalue())
        before, after = (np.asarray(Image.open(io.BytesIO(one))) for one in (data.getvalue(), plain))
        np.testing.assert_array_equal(before, after)
        assert plain_jpeg(plain) == plain


def test_a_jpeg_that_needs_its_notes_or_is_broken_is_not_copied() -> None:
    ink = io.BytesIO()
    Image.new("CMYK", (16, 16)).save(ink, "JPEG")
    rgb = io.BytesIO()
    Image.new("RGB", (16, 16)).save(rgb, "JPEG", keep_rgb=True)
    turned = io.BytesIO()
    orientation = Image.Exif()
    orientation[ExifTags.Base.Orientation] = 3
    Image.new("L", (16, 16)).save(turned, "JPEG", exif=orientation)
    whole = jpeg()
    assert plain_jpeg(whole) is not None
    end = whole.rindex(b"\xff\xd9")
    for broken in (
        ink.getvalue(),
        rgb.getvalue(),
        turned.getvalue(),
        png(),
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff\xd9",
    ):
        assert plain_jpeg(broken) is None
    for at in range(2, end, 7):
        assert plain_jpeg(whole[:at]) is None
