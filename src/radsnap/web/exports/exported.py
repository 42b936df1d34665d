"""What exports are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from radsnap.reading.heatmaps import ByteArray
from radsnap.web.storage.cases import Case


@dataclass(frozen=True)
class Subject:
    """Whose x-ray it is, in DICOM's words. A stored case knows nobody; what a PACS sends passes through."""

    patient_id: str | None = None
    patient_name: str | None = None
    birth_date: str | None = None
    sex: str | None = None
    accession_number: str | None = None
    study_uid: str | None = None
    study_id: str | None = None
    study_date: str | None = None
    study_time: str | None = None


@dataclass(frozen=True, eq=False)
class Exported:
    """A case, its picture (JPEG), its heat maps (uint8, by finding), and whose it is where that is known."""

    case: Case
    picture: bytes
    heat: Mapping[str, ByteArray]
    subject: Subject = Subject()
