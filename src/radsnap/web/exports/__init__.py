"""Exports of a case: what a reader takes along, or sends to a PACS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from radsnap.web.exports.exported import Exported, Subject
from radsnap.web.exports.tables import to_csv, to_json

__all__ = ["EXPORTS", "Export", "Exported", "Subject"]


@dataclass(frozen=True)
class Export:
    """One format: its media type, and the function that makes it."""

    media_type: str
    make: Callable[[Exported], bytes]


def _pdf(given: Exported) -> bytes:
    from radsnap.web.exports.pdf import to_pdf

    return to_pdf(given)


def _image(given: Exported) -> bytes:
    from radsnap.web.exports.dicom import to_secondary_capture

    return to_secondary_capture(given)


def _report(given: Exported) -> bytes:
    from radsnap.web.exports.dicom import to_structured_report

    return to_structured_report(given)


# By the end of the address. highdicom and fpdf take a second to import, so each comes with its first use.
EXPORTS: Mapping[str, Export] = {
    "json": Export("application/json", lambda given: to_json(given.case)),
    "csv": Export("text/csv; charset=utf-8", lambda given: to_csv(given.case)),
    "pdf": Export("application/pdf", _pdf),
    "dcm": Export("application/dicom", _image),
    "sr.dcm": Export("application/dicom", _report),
}
