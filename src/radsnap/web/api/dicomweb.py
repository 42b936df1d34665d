"""DICOMweb: a PACS stores an x-ray here (STOW-RS) and gets, or fetches (WADO-RS), result objects.

What an instance says of its patient passes through: it goes into result objects that are part of the
answer, and nowhere else. What is stored of a case is as anonymous as any other.
"""

from __future__ import annotations

import io
import json
import logging
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from typing import Annotated, Any

import pydicom
from fastapi import APIRouter, Path, Request
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.valuerep import DA, TM
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from radsnap.errors import ImageError, UnreadableImage
from radsnap.imaging.bounds import Bounds, decoding, quiet
from radsnap.imaging.dicom import inflated
from radsnap.serving.uploads import Upload
from radsnap.web.access import CurrentUser
from radsnap.web.api.answers import errors
from radsnap.web.desk import Desk
from radsnap.web.errors import ApiError
from radsnap.web.exports import EXPORTS, Exported, Subject
from radsnap.web.reading import unpack_heat

LOG = logging.getLogger("radsnap.web")
router = APIRouter(prefix="/dicomweb", tags=["DICOMweb"])
Uid = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$", examples=["1.2.840.113619.2.1"])]
_MOST_INSTANCES = 50
_REFUSED = 0xC000  # "cannot understand" (PS3.18, I.2)
_NOT_NOW = 0xA700  # "out of resources"
_FAILED = 0x0110  # "processing failure"
_HEADER = 1 << 20  # bytes from the start of an instance in which it says what it is and whose
_PARTS = ("dcm", "sr.dcm")
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            'multipart/related; type="application/dicom"': {"schema": {"type": "string", "format": "binary"}}
        },
    }
}
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the status of each instance, or with Accept: multipart/related the result objects "
        "and, of status 202, the status of each instance in a part of its own",
        "content": {"application/dicom+json": {}, 'multipart/related; type="application/dicom"': {}},
    },
    202: {"description": "some instances were refused"},
    409: {"description": "no instance was read"},
}


@router.post(
    "/studies",
    summary="Store x-rays",
    response_class=Response,
    responses={**_ANSWER, **errors(413)},
    openapi_extra=_BODY,
)
async def store(request: Request, user: CurrentUser) -> Response:
    """Read every instance sent and keep it as a case."""
    return await _store(request, user, None)


@router.post(
    "/studies/{study}",
    summary="Store x-rays of a study",
    response_class=Response,
    responses={**_ANSWER, **errors(413)},
    openapi_extra=_BODY,
)
async def store_in(request: Request, user: CurrentUser, study: Uid) -> Response:
    """Read every instance sent that is of this study, and keep it as a case."""
    return await _store(request, user, study)


@router.get(
    "/studies/{study}/series/{series}/instances/{instance}",
    summary="Fetch a result object",
    response_class=Response,
    responses=errors(404),
)
async def fetch(request: Request, user: CurrentUser, study: Uid, series: Uid, instance: Uid) -> Response:
    """Fetch a result object of a case by the address that storing gave; it names no patient."""
    desk: Desk = request.app.state.desk
    found = _read_address(study, series, instance)
    if found is None:
        raise ApiError(
            404, "no_instance", "there is no such instance here", "use the address that storing gave"
        )
    data = await _made(desk, user.id, *found, Subject())
    return _related([data])


async def _store(request: Request, user: Any, study: str | None) -> Response:
    desk: Desk = request.app.state.desk
    desk.check_room()
    bounds = Bounds(desk.settings.max_bytes, desk.settings.max_pixels)
    stored: list[pydicom.Dataset] = []
    failed: list[pydicom.Dataset] = []
    objects: list[bytes] = []
    direct = "multipart/related" in request.headers.get("accept", "")
    for part in _parts(await request.body(), request.headers.get("content-type", "")):
        identity = case_id = None
        try:
            identity = await run_in_threadpool(_identity, part, bounds)
            identity.check(study)
            case_id = await _read(desk, user, part)
            if direct:
                objects += [await _made(desk, user.id, case_id, name, identity.subject) for name in _PARTS]
        except Exception as error:  # noqa: BLE001 - what was stored before must be told
            if case_id is not None:  # else it would be there twice when it is sent again
                await run_in_threadpool(desk.cases.delete, user.id, case_id)
            failed.append(_failure(identity, _reason(error)))
            continue
        stored.append(_success(identity, case_id, str(request.base_url)))
    told = pydicom.Dataset()
    if stored:
        told.ReferencedSOPSequence = stored
    if failed:
        told.FailedSOPSequence = failed
    status = 200 if not failed else (202 if stored else 409)
    if objects:
        return _related(objects, told if failed else None, status)
    return JSONResponse(told.to_json_dict(), status, headers=_NO_STORE, media_type="application/dicom+json")


_NO_STORE = {"Cache-Control": "no-store"}
_NAMED = {
    "patient_id": "PatientID", "patient_name": "PatientName", "birth_date": "PatientBirthDate",
    "sex": "PatientSex", "accession_number": "AccessionNumber", "study_uid": "StudyInstanceUID",
    "study_id": "StudyID", "study_date": "StudyDate", "study_time": "StudyTime",
}  # fmt: skip


@dataclass(frozen=True)
class _Identity:
    """What an instance says of itself, for the answer only."""

    sop_class: str
    sop_instance: str
    subject: Subject

    def check(self, study: str | None) -> None:
        """Raise UnreadableImage for an instance without a study, or of another one than is asked for."""
        if self.subject.study_uid is None:
            raise UnreadableImage("the instance names no study; send it with its StudyInstanceUID")
        if study is not None and self.subject.study_uid != study:
            raise UnreadableImage("the instance is of another study than the address; send it there")


def _identity(part: bytes, bounds: Bounds) -> _Identity:
    """Read an instance's header. Raises UnreadableImage for none, ImageTooLarge for one beyond the bounds."""
    tags = ["SOPClassUID", "SOPInstanceUID", *_NAMED.values()]
    with quiet(), decoding("the part", "DICOM", InvalidDicomError, BytesLengthException):
        start = io.BytesIO(inflated(part, "the part", bounds)[:_HEADER])
        header = pydicom.dcmread(start, stop_before_pixels=True, specific_tags=tags)
        said = {ours: str(header.get(theirs) or "").strip() or None for ours, theirs in _NAMED.items()}
        said["sex"] = said["sex"] if said["sex"] in ("M", "F", "O") else None
        for name, kind in (("birth_date", DA), ("study_date", DA), ("study_time", TM)):
            said[name] = _valid(said[name], kind)
        said["study_uid"] = _uid(said["study_uid"]) or None
        sop_class, sop_instance = _uid(header.get("SOPClassUID")), _uid(header.get("SOPInstanceUID"))
        return _Identity(sop_class, sop_instance, Subject(**said))


def _uid(value: object) -> str:
    """Give an identifier, or "" for what is none. Zeros in front, though forbidden, are found in archives."""
    return str(value) if re.fullmatch(r"[0-9.]{1,64}", str(value)) else ""


def _valid(value: str | None, kind: type[DA] | type[TM]) -> str | None:
    """Give a date or time as DICOM spells it today, or None: a result object takes no other."""
    spelled = r"\d{8}" if kind is DA else r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?"
    if value is None or not re.fullmatch(spelled, value, re.ASCII):
        return None
    try:
        kind(value)
    except ValueError:  # February 30th
        return None
    return value


async def _read(desk: Desk, user: Any, part: bytes) -> str:
    path = desk.incoming / f"{uuid.uuid4().hex}.part"
    try:
        await run_in_threadpool(path.write_bytes, part)
        _, case_id = await desk.diagnose(user, Upload(path, "the instance", len(part), "DICOM"), store=True)
    finally:
        path.unlink(missing_ok=True)
    assert case_id is not None
    return case_id


async def _made(desk: Desk, user_id: int, case_id: str, name: str, subject: Subject) -> bytes:
    case = await run_in_threadpool(desk.cases.get, user_id, case_id)
    picture = await run_in_threadpool(desk.cases.file, user_id, case_id, "picture")
    if case is None or picture is None:
        raise ApiError(
            404, "no_instance", "there is no such instance here", "use the address that storing gave"
        )
    heat = await run_in_threadpool(desk.cases.file, user_id, case_id, "heat")
    given = Exported(case, picture[0], {} if heat is None else unpack_heat(heat[0]), subject)
    return await run_in_threadpool(EXPORTS[name].make, given)


def _success(identity: _Identity, case_id: str, base: str) -> pydicom.Dataset:
    item = _item(identity)
    item.RetrieveURL = f"{base}dicomweb{_address(case_id, 'sr.dcm')}"
    return item


def _failure(identity: _Identity | None, reason: int) -> pydicom.Dataset:
    item = pydicom.Dataset() if identity is None else _item(identity)  # a part that is no DICOM names nothing
    item.FailureReason = reason
    return item


def _item(identity: _Identity) -> pydicom.Dataset:
    item = pydicom.Dataset()
    with quiet():
        item.ReferencedSOPClassUID = identity.sop_class
        item.ReferencedSOPInstanceUID = identity.sop_instance
    return item


def _reason(error: Exception) -> int:
    if isinstance(error, ImageError):
        return _REFUSED
    if isinstance(error, ApiError):
        return _NOT_NOW
    # its type only: a message may repeat what the instance says of the patient
    LOG.error("an instance could not be taken in: %s", type(error).__name__)
    return _FAILED


def _address(case_id: str, name: str) -> str:
    """Give a result object's path: its identifiers say which case, so that nothing need be looked up."""
    number, which = uuid.UUID(case_id).int, _PARTS.index(name) + 1
    return f"/studies/2.25.{number}/series/2.25.{number}.{which}/instances/2.25.{number}.{which}.1"


def _read_address(study: str, series: str, instance: str) -> tuple[str, str] | None:
    number = study.removeprefix("2.25.")
    if not (number.isascii() and number.isdigit()) or int(number) >= 1 << 128:
        return None
    case_id = uuid.UUID(int=int(number)).hex
    asked = f"/studies/{study}/series/{series}/instances/{instance}"
    return next(((case_id, name) for name in _PARTS if _address(case_id, name) == asked), None)


def _parts(body: bytes, content_type: str) -> Iterable[bytes]:
    """Cut a multipart/related body into its parts. Raises ApiError 415 or 422."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/related" or not isinstance(boundary, str) or not boundary:
        raise ApiError(
            415, "not_multipart", "this takes multipart/related with a boundary",
            'send Content-Type: multipart/related; type="application/dicom"; boundary=...',
        )  # fmt: skip
    mark = b"\r\n--" + boundary.encode("latin-1", "replace")
    pieces = (b"\r\n" + body).split(mark, _MOST_INSTANCES + 2)
    whole = len(pieces) >= 3 and pieces[-1].startswith(b"--")
    if not whole or len(pieces) > _MOST_INSTANCES + 2:
        raise ApiError(
            422, "broken_multipart", "the body is cut off, empty, or has too many parts",
            f"send 1 to {_MOST_INSTANCES} instances and the closing boundary",
        )  # fmt: skip
    return [piece.partition(b"\r\n\r\n")[2] for piece in pieces[1:-1]]


def _related(objects: list[bytes], told: pydicom.Dataset | None = None, status: int = 200) -> Response:
    """Answer with result objects, and what is told of the instances in a last part."""
    boundary = uuid.uuid4().hex
    parts = [("application/dicom", data) for data in objects]
    if told is not None:
        parts.append(("application/dicom+json", json.dumps(told.to_json_dict()).encode()))
    body = b"".join(
        f"--{boundary}\r\nContent-Type: {kind}\r\n\r\n".encode() + data + b"\r\n" for kind, data in parts
    )
    kind = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
    return Response(body + f"--{boundary}--\r\n".encode(), status, media_type=kind, headers=_NO_STORE)
