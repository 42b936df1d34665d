"""DICOMweb, spoken to by a client that is not ours."""

from __future__ import annotations

import io
import os
import random
import sqlite3
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from starlette.testclient import TestClient
from tests.web.conftest import CHEST

from radsnap.web.exports import EXPORTS, Exported

pytest.importorskip("dicomweb_client")
pytest.importorskip("highdicom")

SOAK = int(os.environ.get("RADSNAP_SOAK", "1"))


def instance(
    brightness: float = 0.5, study: str = "1.2.3", number: int = 1, modality: str = "DX"
) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = f"{study}.4.{number}"
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.StudyInstanceUID, file.SeriesInstanceUID, file.Modality = study, f"{study}.4", modality
    file.PatientName, file.PatientID, file.PatientBirthDate, file.PatientSex = (
        "DOE^JANE",
        "P-77",
        "19600102",
        "F",
    )
    file.AccessionNumber = "A-1"
    file.Rows = file.Columns = 64
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation = 7, 0
    file.PixelData = np.full((64, 64), round(255 * brightness), dtype=np.uint8).tobytes()
    return file


@pytest.fixture(scope="module")
def web(client: TestClient) -> Iterator[object]:
    """dicomweb-client, its requests carried to the server in this process."""
    import requests
    from dicomweb_client.api import DICOMwebClient

    class Carried(requests.adapters.BaseAdapter):
        def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:
            body = request.body
            body = body if isinstance(body, bytes | type(None)) else b"".join(body)  # type: ignore[arg-type]
            got = client.request(
                str(request.method), str(request.url), content=body, headers=dict(request.headers)
            )
            answer = requests.Response()
            answer.status_code, answer.raw, answer.url = (
                got.status_code,
                io.BytesIO(got.content),
                str(request.url),
            )
            answer.headers.update(got.headers)
            answer.request, answer.reason = request, got.reason_phrase
            return answer

        def close(self) -> None: ...

    session = requests.Session()
    session.mount("http://", Carried())
    yield DICOMwebClient("http://testserver/dicomweb", session=session)
    session.close()


def test_a_pacs_stores_an_xray_and_fetches_its_report(client: TestClient, web: object) -> None:
    told = web.store_instances([instance(), instance(number=2)])  # type: ignore[attr-defined]
    first, second = told.ReferencedSOPSequence
    assert (first.ReferencedSOPInstanceUID, second.ReferencedSOPInstanceUID) == ("1.2.3.4.1", "1.2.3.4.2")
    study, _, series, _, number = first.RetrieveURL.split("/dicomweb/studies/")[1].split("/")
    report = web.retrieve_instance(study, series, number)  # type: ignore[attr-defined]
    assert (report.StudyInstanceUID, report.SOPInstanceUID) == (study, number)
    assert report.SOPClassUID == pydicom.uid.EnhancedSRStorage
    assert str(report.PatientName) == "Anonymous^"
    capture = web.retrieve_instance(study, series[:-1] + "1", number[:-3] + "1.1")  # type: ignore[attr-defined]
    assert capture.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
    assert len(client.get("/api/v1/cases").json()["cases"]) >= 2


def send(client: TestClient, *parts: bytes, path: str = "", **sent: str) -> object:
    body = b"".join(b"--b\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts)
    kind = 'multipart/related; type="application/dicom"; boundary=b'
    return client.post(
        f"/dicomweb/studies{path}", content=body + b"--b--", headers={"Content-Type": kind, **sent}
    )


def packed(file: FileDataset) -> bytes:
    data = io.BytesIO()
    file.save_as(data, enforce_file_format=True)
    return data.getvalue()


RESULTS = 'multipart/related; type="application/dicom"'


def results(answer: Any) -> tuple[list[pydicom.Dataset], pydicom.Dataset | None]:
    """The result objects of an answer, and what it tells of the instances."""
    boundary = answer.headers["Content-Type"].split('boundary="')[1][:-1].encode()
    objects, told = [], None
    for piece in answer.content.split(b"--" + boundary)[1:-1]:
        head, _, body = piece.partition(b"\r\n\r\n")
        if b"application/dicom+json" in head:
            told = pydicom.Dataset.from_json(body.decode())
        else:
            objects.append(pydicom.dcmread(io.BytesIO(body)))
    return objects, told


def count(client: TestClient) -> int:
    return len(client.get("/api/v1/cases?limit=100").json()["cases"])


def test_result_objects_in_the_answer_belong_to_the_study_and_nothing_of_it_is_kept(
    client: TestClient,
) -> None:
    objects, _ = results(send(client, packed(instance(study="1.2.9")), Accept=RESULTS))
    assert [one.Modality for one in objects] == ["OT", "SR"]
    for one in objects:
        assert (one.StudyInstanceUID, str(one.PatientName), one.PatientID) == ("1.2.9", "DOE^JANE", "P-77")
        assert (one.PatientBirthDate, one.AccessionNumber) == ("19600102", "A-1")
    data = client.app.state.settings.data  # type: ignore[attr-defined]
    with sqlite3.connect(data / "radsnap.db") as database:
        dumped = "\n".join(database.iterdump())
    database.close()
    stored = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    for planted in ("DOE^JANE", "P-77", "1.2.9"):
        assert planted not in dumped
    assert b"DOE^JANE" not in stored


def test_what_is_no_xray_of_the_study_fails_by_itself(client: TestClient) -> None:
    mixed = send(client, packed(instance()), packed(instance(modality="CT", number=7)), CHEST, b"text")
    told = pydicom.Dataset.from_json(mixed.json())  # type: ignore[attr-defined]
    assert mixed.status_code == 202  # type: ignore[attr-defined]
    assert len(told.ReferencedSOPSequence) == 1
    reasons = [(item.get("ReferencedSOPInstanceUID"), item.FailureReason) for item in told.FailedSOPSequence]
    assert reasons == [("1.2.3.4.7", 0xC000), (None, 0xC000), (None, 0xC000)]
    other = send(client, packed(instance()), path="/1.2.4")
    assert other.status_code == 409  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("good", "odd", "keyword"),
    [
        (b"19600102", b"1960    ", "PatientBirthDate"),
        (b"19990203", b"19990230", "StudyDate"),
        (b"101112.0", b"10:11:12", "StudyTime"),
        (b"101112.0", b"251112.0", "StudyTime"),
    ],
)
def test_a_date_that_is_none_is_left_out_of_the_result_objects(
    client: TestClient, caplog: pytest.LogCaptureFixture, good: bytes, odd: bytes, keyword: str
) -> None:
    file = instance(study="1.2.10")
    file.StudyDate, file.StudyTime = "19990203", "101112.0"
    data = packed(file)
    assert data.count(good) == 1
    before = count(client)
    answer: Any = send(client, data.replace(good, odd), Accept=RESULTS)
    assert (answer.status_code, count(client)) == (200, before + 1)
    objects, _ = results(answer)
    assert len(objects) == 2
    for one in objects:
        assert str(one.get(keyword)) != odd.decode().strip()
        assert (one.PatientID, one.StudyInstanceUID) == ("P-77", "1.2.10")
    assert odd.decode().strip() not in caplog.text


@pytest.mark.parametrize(
    "name", ["王^小东", "Παπαδοπούλου^Ελένη", "قباني^لنزار", "Müller^Jürgen", "DOE^JANE"]
)
def test_names_in_any_script_come_back_as_they_were(client: TestClient, name: str) -> None:
    file = instance()
    file.SpecificCharacterSet, file.PatientName = "ISO_IR 192", name
    objects, _ = results(send(client, packed(file), Accept=RESULTS))
    assert [str(one.PatientName) for one in objects] == [name, name]


def test_an_answer_of_result_objects_tells_what_failed(client: TestClient) -> None:
    parts = [packed(instance(study=study, modality=kind)) for study, kind in (("1.2.5", "DX"), ("1.2.5", "CT"), ("1.2.6", "DX"))]  # fmt: skip
    answer: Any = send(client, *parts, path="/1.2.5", Accept=RESULTS)
    assert answer.status_code == 202
    objects, told = results(answer)
    assert [one.Modality for one in objects] == ["OT", "SR"]
    assert told is not None
    assert [item.ReferencedSOPInstanceUID for item in told.ReferencedSOPSequence] == ["1.2.5.4.1"]
    reasons = [(item.ReferencedSOPInstanceUID, item.FailureReason) for item in told.FailedSOPSequence]
    assert reasons == [("1.2.5.4.1", 0xC000), ("1.2.6.4.1", 0xC000)]


def test_an_instance_without_result_objects_leaves_no_case_and_no_name(
    client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(given: Exported) -> bytes:
        raise ValueError(f"Unable to convert '{given.subject.patient_name}'")

    monkeypatch.setitem(EXPORTS, "sr.dcm", replace(EXPORTS["sr.dcm"], make=fails))
    before = count(client)
    answer: Any = send(client, packed(instance()), Accept=RESULTS)
    told = pydicom.Dataset.from_json(answer.json())
    assert (answer.status_code, told.FailedSOPSequence[0].FailureReason) == (409, 0x0110)
    assert count(client) == before
    assert "ValueError" in caplog.text
    assert "DOE" not in caplog.text


def test_no_mutated_instance_makes_the_answer_fail(client: TestClient) -> None:
    file = instance()
    file.StudyDate, file.StudyTime, file.SpecificCharacterSet = "19990203", "101112.0", "ISO_IR 100"
    whole, rng = packed(file), random.Random(7)
    statuses: set[int] = set()
    for _ in range(20 * SOAK):
        body = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            body[rng.randrange(132, len(body) - 4096)] = rng.choice(
                (0, 32, 92, 127, 128, 255, rng.randrange(256))
            )
        before = count(client)
        answer: Any = send(client, bytes(body), Accept=RESULTS)
        statuses.add(answer.status_code)
        kept = count(client)
        assert kept - before == (answer.status_code == 200)
        for case in client.get("/api/v1/cases").json()["cases"]:
            client.delete(f"/api/v1/cases/{case['id']}")
    assert statuses == {200, 409}


def test_a_deflated_bomb_is_refused_within_the_bound(client: TestClient) -> None:
    file = instance()
    file.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    head = packed(file)
    head = head[: 144 + int.from_bytes(head[140:144], "little")]
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    element = b"\x09\0\x10\x10OB\0\0" + (400_000_000).to_bytes(4, "little")
    bomb = head + packer.compress(element)
    bomb += b"".join(packer.compress(bytes(1_000_000)) for _ in range(400)) + packer.flush()
    tracemalloc.start()
    try:
        answer: Any = send(client, bomb)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    told = pydicom.Dataset.from_json(answer.json())
    assert (answer.status_code, told.FailedSOPSequence[0].FailureReason) == (409, 0xC000)
    assert held < 200_000_000


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/dicom", b"x", 415),
        ("multipart/related", b"x", 415),
        ("multipart/related; boundary=", b"x", 415),
        ("multipart/related; boundary=b", b"", 422),
        ("multipart/related; boundary=b", b"--b\r\n\r\nx", 422),
        ("multipart/related; boundary=b", b"--b\r\n\r\n" * 80 + b"--b--", 422),
    ],
)
def test_broken_bodies_are_refused(client: TestClient, kind: str, body: bytes, status: int) -> None:
    answer = client.post("/dicomweb/studies", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, set(answer.json())) == (status, {"error"})


@pytest.mark.parametrize("study", ["2.25.1", "1.2.3", "2.25." + "9" * 50, "2.25.²", "..%2f.."])
def test_addresses_that_are_not_ours_lead_nowhere(client: TestClient, study: str) -> None:
    answer = client.get(f"/dicomweb/studies/{study}/series/{study}.1/instances/{study}.1.1")
    assert answer.status_code in (404, 422)
