"""A case as DICOM: a Secondary Capture with the overlay, and a structured report that refers to it."""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import cv2
import highdicom as hd
import numpy as np
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from radsnap import __version__
from radsnap.imaging import Photo
from radsnap.imaging.bounds import quiet
from radsnap.reading.heatmaps import ByteArray
from radsnap.reading.report import NOTICE, kind_name, preview
from radsnap.web.exports.exported import Exported
from radsnap.web.exports.overlays import with_heat

_SCHEME = "99RADSNAP"  # 99 marks a private scheme, as PS3.16, 8.2 orders it
_WORD = CodedConcept("WORD", _SCHEME, "Assessment in a word")
_SCORE = CodedConcept("SCORE", _SCHEME, "Network score")
_PROBABILITY = CodedConcept("PROBABILITY", _SCHEME, "Calibrated probability")
_KIND = CodedConcept("KIND", _SCHEME, "Which x-ray it is")
_GATE = CodedConcept("XRAY", _SCHEME, "Is an x-ray")
_REMARK = CodedConcept("QUALITY", _SCHEME, "Remark on the picture's quality")
_LONGEST_PX = 1536


def to_secondary_capture(given: Exported) -> bytes:
    """Make a Secondary Capture of the picture with the foremost finding's heat, and a notice in its pixels."""
    with quiet():  # its warnings repeat names
        return _bytes(_secondary_capture(given))


def to_structured_report(given: Exported) -> bytes:
    """Make an Enhanced SR after TID 1500 of what was read; it refers to the Secondary Capture."""
    with quiet():
        return _bytes(_structured_report(given))


def _structured_report(given: Exported) -> Dataset:
    uids = uids_of(given.case.id, given.subject.study_uid)
    report = hd.sr.EnhancedSR(
        evidence=[_secondary_capture(given)],
        content=_content(given),
        series_instance_uid=uids.report_series,
        series_number=9002,
        sop_instance_uid=uids.report,
        instance_number=1,
        manufacturer="radsnap",
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    report.SeriesDescription = "radsnap findings (research)"
    report.SoftwareVersions = __version__
    return report


@dataclass(frozen=True)
class Uids:
    """The identifiers of a case's objects: the same every time, so that two exports are one object."""

    study: str
    capture_series: str
    capture: str
    report_series: str
    report: str


def uids_of(case_id: str, study: str | None = None) -> Uids:
    """Give the identifiers; objects that go into somebody's study are others than those that name nobody."""
    own = uuid.UUID(case_id) if study is None else uuid.uuid5(uuid.UUID(case_id), study)
    root = f"2.25.{own.int}"
    return Uids(study or root, f"{root}.1", f"{root}.1.1", f"{root}.2", f"{root}.2.1")


def _tracked(case_id: str, what: str) -> str:
    return f"2.25.{uuid.uuid5(uuid.UUID(case_id), what).int}"


def _secondary_capture(given: Exported) -> Dataset:
    pixels, name = with_heat(given)
    subject, case = given.subject, given.case
    uids = uids_of(case.id, subject.study_uid)
    at = datetime.fromtimestamp(case.created_us / 1e6, UTC)
    image = hd.sc.SCImage(
        pixel_array=_noticed(preview(Photo(pixels), _LONGEST_PX)),
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=uids.study,
        series_instance_uid=uids.capture_series,
        series_number=9001,
        sop_instance_uid=uids.capture,
        instance_number=1,
        manufacturer="radsnap",
        patient_id=subject.patient_id or f"radsnap-{case.id[:8]}",
        patient_name=subject.patient_name or "Anonymous^",
        patient_birth_date=subject.birth_date,
        patient_sex=subject.sex,
        accession_number=subject.accession_number,
        study_id=subject.study_id,
        study_date=subject.study_date or at.date(),
        study_time=subject.study_time or at.time(),
        patient_orientation=("L", "F"),
    )
    image.SeriesDescription = "radsnap heat map (research)"
    image.DerivationDescription = (
        f"Heat map of {name} laid over a re-encoded picture" if name else "A re-encoded picture"
    )[:1024]
    image.ImageComments = NOTICE
    image.BurnedInAnnotation = "YES"
    image.SoftwareVersions = __version__
    return image


def _content(given: Exported) -> Any:
    case, sr = given.case, hd.sr
    device = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=_tracked("0" * 32, "device"),
            name="radsnap",
            manufacturer_name="radsnap",
            model_name=__version__,
        ),
    )
    captured = sr.SourceImageForMeasurementGroup(
        SecondaryCaptureImageStorage, uids_of(case.id, given.subject.study_uid).capture
    )
    groups = [_picture(given, captured)]
    for name, finding in (case.diagnosis.get("findings") or {}).items():
        groups.append(_finding(case.id, name, finding, captured))
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=device),
        procedure_reported=CodedConcept("PHOTO", _SCHEME, "Photograph of a radiograph, read by software"),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )


def _picture(given: Exported, captured: Any) -> Any:
    """What was read of the picture as a whole: whether it is an x-ray, which, and what may spoil the reading."""
    case, sr = given.case, hd.sr
    said = [sr.QualitativeEvaluation(_GATE, codes.SCT.Yes if case.xray else codes.SCT.No)]
    if case.kind is not None:
        said.append(sr.QualitativeEvaluation(_KIND, _coded(case.kind, kind_name(case.kind))))
    for remark in case.diagnosis["quality"]:
        said.append(sr.QualitativeEvaluation(_REMARK, _coded(remark["name"], remark["sentence"])))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=_tracked(case.id, "picture"), identifier="Picture"),
        qualitative_evaluations=said,
        source_images=[captured],
    )


def _finding(case_id: str, name: str, finding: dict[str, Any], captured: Any) -> Any:
    sr, unit = hd.sr, codes.UCUM.NoUnits
    figures = [sr.Measurement(_SCORE, float(finding["score"]), unit)]
    if finding["probability"] is not None:
        figures.append(sr.Measurement(_PROBABILITY, float(finding["probability"]), unit))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=_tracked(case_id, f"finding {name}"), identifier=name[:64]
        ),
        finding_type=_coded(name, name),
        measurements=figures,
        qualitative_evaluations=[sr.QualitativeEvaluation(_WORD, _coded(finding["word"], finding["word"]))],
        source_images=[captured],
    )


def _coded(value: str, meaning: str) -> Any:
    """Give a code of ours; DICOM allows 16 letters in its value and 64 in its meaning."""
    plain = "".join(letter for letter in value.upper() if letter.isalnum() and letter.isascii())
    return CodedConcept(plain[:16] or "X", _SCHEME, meaning[:64])


def _noticed(pixels: ByteArray) -> ByteArray:
    """Write into a strip below the picture what it is: a PACS shows pixels, not elements."""
    width = pixels.shape[1]
    scale = min(0.8, max(0.25, width / 900))
    strip = np.zeros((max(14, round(36 * scale)), width, 3), dtype=np.uint8)
    words = "radsnap: research software, not a medical device"
    cv2.putText(
        strip,
        words,
        (4, strip.shape[0] - max(4, round(11 * scale))),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        (230, 200, 120),
        1,
        cv2.LINE_AA,
    )
    return np.ascontiguousarray(np.vstack([pixels, strip]))


def _bytes(dataset: Dataset) -> bytes:
    data = io.BytesIO()
    dataset.SpecificCharacterSet = "ISO_IR 192"  # UTF-8: names come in any script
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(data, enforce_file_format=True)
    return data.getvalue()
