"""Files and requests that mean harm. RADSNAP_SOAK multiplies the random ones."""

from __future__ import annotations

import gc
import io
import os
import random
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from starlette.testclient import TestClient
from tests.imaging.pictures import dataset, encoded, saved
from tests.web.conftest import CHEST, case_of, diagnose

SOAK = int(os.environ.get("RADSNAP_SOAK", "1"))
SCRIPT = b"<html><script>alert(document.cookie)</script></html>"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bomb() -> bytes:
    """A header of 40,000 × 40,000 px: 1.6 GB, were it believed."""
    return _png(40_000, 40_000, b"\0" * 40_001 * 50)


def png_lie() -> bytes:
    """A header of 64 × 48 px over data of 100 MB; readers stop after the pixels, so it is one of 64 × 48 px."""
    return _png(64, 48, b"\0" * 100_000_000)


def _png(width: int, height: int, body: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    packed = zlib.compress(body, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def tiff_bomb() -> bytes:
    """A strip of deflated zeros that claims 60,000 × 60,000 px."""
    strip = zlib.compress(b"\0" * 1_000_000)
    entries = [(256, 4, 1, 60_000), (257, 4, 1, 60_000), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1),
               (273, 4, 1, 122), (277, 3, 1, 1), (278, 4, 1, 60_000), (279, 4, 1, len(strip))]  # fmt: skip
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", 0) + strip


def webp_bomb() -> bytes:
    """16,383 × 16,383 px of one colour: 268 megapixels out of kilobytes."""
    data = io.BytesIO()
    Image.new("RGB", (64, 64)).save(data, "WEBP", lossless=True)
    body = bytearray(data.getvalue())
    at = body.index(b"VP8L") + 9
    body[at : at + 4] = struct.pack("<I", 16_382 | 16_382 << 14)
    return bytes(body)


def dicom_bomb() -> bytes:
    """A deflated data set that inflates to 400 MB."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        pydicom.uid.DigitalXRayImageStorageForPresentation,
        "1.2.3",
    )
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID, file.Modality = meta.MediaStorageSOPClassUID, "1.2.3", "DX"
    data = io.BytesIO()
    file.save_as(data, enforce_file_format=True)
    head = data.getvalue()
    start = head.index(b"1.2.840.10008.1.2.1.99") + 22
    start += start % 2
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = b"".join(packer.compress(b"\0" * 1_000_000) for _ in range(400)) + packer.flush()
    return head[:start] + body


def gif_of_many() -> bytes:
    data = io.BytesIO()
    frames = [Image.new("L", (8, 8), shade) for shade in range(200)]
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
    return data.getvalue()


BOMBS = {
    "png": png_bomb,
    "png lie": png_lie,
    "tiff": tiff_bomb,
    "webp": webp_bomb,
    "dicom": dicom_bomb,
    "gif": gif_of_many,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(client: TestClient, name: str) -> None:
    workers = client.app.state.workers  # type: ignore[attr-defined]
    (pid,), replaced = workers.pids, workers.counts.replaced
    before = peak_mb(pid)
    answer = client.post("/api/v1/diagnose", content=BOMBS[name]())
    if name == "png lie":
        assert answer.status_code in (200, 422), answer.text
    else:
        assert answer.json()["error"]["code"] in ("image_too_large", "unsupported_image", "not_an_image")
    assert workers.counts.replaced == replaced
    assert workers.pids == [pid]
    assert peak_mb(pid) - before < 250
    diagnose(client)  # and the worker goes on


def peak_mb(pid: int) -> float:
    """The most memory a process has ever held."""
    return memory_mb(pid, "VmHWM")


def memory_mb(pid: int, what: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(what)).split()[1]) / 1024


def jpeg_and_page() -> bytes:
    """A JPEG whose comment, and what follows its end, is a web page."""
    comment = b"\xff\xfe" + struct.pack(">H", len(SCRIPT) + 2) + SCRIPT
    return CHEST[:2] + comment + CHEST[2:] + SCRIPT


def png_and_page() -> bytes:
    grey = np.full((48, 64), 128, dtype=np.uint8)
    body = bytes(cv2.imencode(".png", grey)[1])
    return body[:33] + chunk(b"tEXt", b"Comment\0" + SCRIPT) + body[33:] + SCRIPT


def gif_and_script() -> bytes:
    data = io.BytesIO()
    Image.new("L", (64, 48), 128).save(data, "GIF")
    return data.getvalue() + b"=1;alert(1)//" + SCRIPT


@pytest.mark.parametrize(
    "make", [jpeg_and_page, png_and_page, gif_and_script], ids=lambda make: make.__name__
)
def test_a_file_that_is_two_things_is_stored_as_one(client: TestClient, make: object) -> None:
    case = case_of(client, make())  # type: ignore[operator]
    for path in ("image.jpg", "thumbnail.jpg"):
        answer = client.get(f"/api/v1/cases/{case}/{path}")
        assert b"alert" not in answer.content
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "name",
    [
        "../../../../tmp/owned.jpg",
        "/etc/passwd",
        "a\0b.jpg",
        "con",
        "x" * 5000,
        "<img src=x onerror=alert(1)>.jpg",
        "",
    ],
)
def test_names_of_files_go_nowhere(client: TestClient, name: str) -> None:
    answer = client.post("/api/v1/diagnose", files={"file": (name, b"no picture", "image/jpeg")})
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/json"
    assert "../" not in answer.text
    assert len(answer.text) < 1000
    settings = client.app.state.settings  # type: ignore[attr-defined]
    assert list((settings.data / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", CHEST),
        ("multipart/form-data; boundary=", CHEST),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n" + CHEST,
        ),
        ("multipart/form-data; boundary=x", b"--x\r\n" * 1000),
        ("multipart/form-data; boundary=" + "x" * 4000, b"--x--"),
        ("multipart/mixed; boundary=x", b"--x--"),
        ("multipart/form-data; boundary=x; charset=utf-7", b"--x\r\n\r\n--x--"),
        *(
            (
                f"multipart/form-data; boundary=x; charset={charset}",
                b'--x\r\nContent-Disposition: form-data; name="file"; filename="\xff.jpg"\r\n\r\n'
                + CHEST
                + b"\r\n--x--\r\n",
            )
            for charset in ("undefined", "punycode")
        ),
    ],
)
# the form parser leaves the temporary file of a part that was cut off to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:Unclosed file:ResourceWarning")
def test_forms_that_lie_are_refused(client: TestClient, kind: str, body: bytes) -> None:
    for path in ("/api/v1/diagnose", "/api/v1/jobs"):
        answer = client.post(path, content=body, headers={"Content-Type": kind})
        gc.collect()
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "not_an_image")


def test_a_picture_under_a_wrong_type_is_read_all_the_same(client: TestClient) -> None:
    for kind in ("text/html", "application/json", "image/png", "x", ""):
        answer = client.post("/api/v1/diagnose", content=CHEST, headers={"Content-Type": kind})
        assert answer.status_code == 200, kind


def test_a_large_upload_is_refused_unread(client: TestClient) -> None:
    taken = 0

    def endless():  # type: ignore[no-untyped-def]
        nonlocal taken
        for _ in range(200):
            taken += 1_000_000
            yield b"\0" * 1_000_000

    declared = client.post("/api/v1/diagnose", content=b"x", headers={"Content-Length": "200000000"})
    assert (declared.status_code, declared.json()["error"]["code"]) == (413, "too_large")
    small = client.put("/api/v1/cases/" + "0" * 32 + "/verdict", content=b"[" * 100_000)
    assert (small.status_code, small.json()["error"]["code"]) == (413, "too_large")
    deep = client.put(
        "/api/v1/cases/" + "0" * 32 + "/verdict",
        content=b"[" * 60_000,
        headers={"Content-Type": "application/json"},
    )
    assert (deep.status_code, deep.json()["error"]["code"]) == (400, "invalid_request")


def whole_files() -> list[bytes]:
    """One small file of each format and of each way to press a DICOM's pixels."""
    grey = np.asarray(np.random.default_rng(7).integers(0, 255, (48, 64)), dtype=np.uint8)
    picture, heic, deflated = Image.fromarray(grey), io.BytesIO(), dataset(grey)
    pillow_heif.from_pillow(picture).save(heic)
    deflated.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    files = [CHEST, heic.getvalue(), saved(deflated)]
    files += [encoded(picture, format) for format in ("PNG", "TIFF", "WEBP", "GIF", "BMP")]
    for syntax in ("RLELossless", "JPEGLSLossless", "JPEG2000Lossless"):
        pressed = dataset(grey)
        pressed.compress(getattr(pydicom.uid, syntax), generate_instance_uid=False)
        files.append(saved(pressed))
    return files


def test_what_was_mutated_is_a_result_or_refused_and_costs_no_worker(client: TestClient) -> None:
    rng, seeds = random.Random(7), whole_files()
    workers = client.app.state.workers  # type: ignore[attr-defined]
    replaced = workers.counts.replaced
    statuses: dict[int, int] = {}
    for _ in range(200 * SOAK):
        body = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(len(body))
            body[at : at + rng.choice((0, 1, 4))] = rng.randbytes(rng.choice((0, 1, 4)))
        status = client.post("/api/v1/diagnose?store=false", content=bytes(body)).status_code
        statuses[status] = statuses.get(status, 0) + 1
    assert set(statuses) <= {200, 413, 415, 422}, statuses
    assert statuses.get(422, 0) > 5
    assert workers.counts.replaced == replaced
    diagnose(client)


def test_memory_stays_flat(client: TestClient) -> None:
    (pid,) = client.app.state.workers.pids  # type: ignore[attr-defined]
    grey = np.full((1200, 1600), 128, dtype=np.uint8)
    photo = bytes(cv2.imencode(".jpg", grey)[1])

    def held_mb() -> dict[str, float]:
        return {"worker": memory_mb(pid, "VmRSS"), "server": memory_mb(os.getpid(), "VmRSS")}

    for _ in range(10):
        client.delete(f"/api/v1/cases/{case_of(client, photo)}")
    before = held_mb()
    for _ in range(20 * SOAK):
        client.delete(f"/api/v1/cases/{case_of(client, photo)}")
    after = held_mb()
    for which, held in before.items():
        assert after[which] - held < 40, which
