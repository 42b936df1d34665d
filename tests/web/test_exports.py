"""Exports: each format is read back by a reader that is not ours."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pydicom
import pytest
from starlette.testclient import TestClient
from tests.web.conftest import NO_XRAY, case_of, diagnose, picture

pypdf = pytest.importorskip("pypdf")
pytest.importorskip("fpdf")
hd = pytest.importorskip("highdicom")

NOTE = '=HYPERLINK("https://evil") <script>alert(1)</script> Straße 胸'


@pytest.fixture(scope="module")
def case(client: TestClient) -> dict[str, object]:
    """A judged case with a likely finding."""
    case_id = case_of(client, picture(0.55, 400, 500))
    given = {"verdict": "disagree", "note": NOTE}
    told: dict[str, object] = client.put(f"/api/v1/cases/{case_id}/verdict", json=given).json()
    return told


def export(client: TestClient, case: dict[str, object], name: str) -> bytes:
    answer = client.get(f"/api/v1/cases/{case['id']}/export.{name}")
    assert answer.status_code == 200, answer.text
    assert (
        answer.headers["Content-Disposition"]
        == f'attachment; filename="radsnap-{str(case["id"])[:8]}.{name}"'
    )
    return answer.content


def test_json_holds_the_reading_and_the_verdict(client: TestClient, case: dict[str, object]) -> None:
    told = json.loads(export(client, case, "json"))
    shown = {name: value for name, value in case["diagnosis"].items() if name != "case"}  # type: ignore[attr-defined]
    assert told["diagnosis"] == shown
    assert (told["verdict"], told["note"]) == ("disagree", NOTE)


def test_csv_has_a_row_a_finding_and_no_formula(client: TestClient, case: dict[str, object]) -> None:
    rows = list(csv.DictReader(io.StringIO(export(client, case, "csv").decode("utf-8-sig"))))
    findings = case["diagnosis"]["findings"]  # type: ignore[index]
    assert {row["finding"]: float(row["score"]) for row in rows} == {
        name: finding["score"] for name, finding in findings.items()
    }
    assert {row["note"] for row in rows} == {"'" + NOTE}
    other = {"id": diagnose(client, NO_XRAY)["case"]["id"]}  # type: ignore[index]
    (row,) = csv.DictReader(io.StringIO(export(client, other, "csv").decode("utf-8-sig")))
    assert (row["xray"], row["finding"]) == ("0", "")


def test_pdf_says_what_the_page_says(client: TestClient, case: dict[str, object]) -> None:
    read = pypdf.PdfReader(io.BytesIO(export(client, case, "pdf")))
    text = "\n".join(page.extract_text() for page in read.pages)
    assert len(read.pages[0].images) == 1
    for words in (
        "Likely: Pneumonia",
        "disagrees",
        "<script>alert(1)</script> Straße",
        "not a medical device",
    ):
        assert words in text
    for name, finding in case["diagnosis"]["findings"].items():  # type: ignore[index]
        assert f"{name} {finding['word']} {finding['score']:.2f}" in text
    other = {"id": diagnose(client, NO_XRAY)["case"]["id"]}  # type: ignore[index]
    said = pypdf.PdfReader(io.BytesIO(export(client, other, "pdf"))).pages[0].extract_text()
    assert "Does not look like an x-ray" in said


def test_the_dicom_image_shows_the_picture_with_its_heat(client: TestClient, case: dict[str, object]) -> None:
    image = pydicom.dcmread(io.BytesIO(export(client, case, "dcm")))
    assert image.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
    assert (image.Columns, image.PhotometricInterpretation, image.BurnedInAnnotation) == (400, "RGB", "YES")
    assert "Pneumonia" in image.DerivationDescription
    assert str(image.PatientName) == "Anonymous^"
    pixels = image.pixel_array[:500].astype(int)
    assert np.abs(pixels[..., 0] - pixels[..., 2]).max() > 30  # coloured where hot
    assert image.pixel_array[500:].max() > 100  # the notice
    again = pydicom.dcmread(io.BytesIO(export(client, case, "dcm")))
    assert again.SOPInstanceUID == image.SOPInstanceUID


def test_the_structured_report_tells_every_finding_of_that_image(
    client: TestClient, case: dict[str, object]
) -> None:
    report = hd.sr.srread(io.BytesIO(export(client, case, "sr.dcm")))
    image = pydicom.dcmread(io.BytesIO(export(client, case, "dcm")))
    assert report.StudyInstanceUID == image.StudyInstanceUID
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    groups = report.content.get_image_measurement_groups()
    findings = case["diagnosis"]["findings"]  # type: ignore[index]
    told = {}
    for group in groups:
        assert group.source_images[0].referenced_sop_instance_uid == image.SOPInstanceUID
        if group.finding_type is not None:
            score = next(one for one in group.get_measurements() if one.name.value == "SCORE")
            (word,) = group.get_qualitative_evaluations()
            told[group.finding_type.meaning] = (score.value, word.value.meaning)
    assert told == {name: (finding["score"], finding["word"]) for name, finding in findings.items()}
    other = {"id": diagnose(client, NO_XRAY)["case"]["id"]}  # type: ignore[index]
    short = hd.sr.srread(io.BytesIO(export(client, other, "sr.dcm")))
    (group,) = short.content.get_image_measurement_groups()
    assert group.get_qualitative_evaluations()[0].value.meaning == "No"
