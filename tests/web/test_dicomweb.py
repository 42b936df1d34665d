"""DICOMweb, spoken to by a client that is not ours."""

from __future__ import annotations

import io
import sqlite3
from collections.abc import Iterator

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from starlette.testclient import TestClient
from tests.web.conftest import CHEST

pytest.importorskip("dicomweb_client")
pytest.importorskip("highdicom")


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


def test_result_objects_in_the_answer_belong_to_the_study_and_nothing_of_it_is_kept(
    client: TestClient,
) -> None:
    answer = send(
        client, packed(instance(study="1.2.9")), Accept='multipart/related; type="application/dicom"'
    )
    boundary = answer.headers["Content-Type"].split('boundary="')[1][:-1].encode()  # type: ignore[attr-defined]
    pieces = answer.content.split(b"--" + boundary)[1:-1]  # type: ignore[attr-defined]
    objects = [pydicom.dcmread(io.BytesIO(piece.partition(b"\r\n\r\n")[2])) for piece in pieces]
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
