"""DICOMweb: a PACS stores an x-ray here (STOW-RS) and gets, or fetches (WADO-RS), result objects.

What an instance says of its patient passes through: it goes into result objects that are part of the
answer, and nowhere else. What is stored of a case is as anonymous as any other.
"""

from __future__ import annotations

import io
import re
import uuid
from collections.abc import Iterable
from email.message import Message
from typing import Annotated, Any

import pydicom
from fastapi import APIRouter, Path, Request
from pydicom.errors import InvalidDicomError
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response

from radsnap.errors import ImageError, UnreadableImage
from radsnap.imaging.bounds import DECODER_FAULTS, quiet
from radsnap.serving.uploads import Upload
from radsnap.web.access import CurrentUser
from radsnap.web.api.answers import errors
from radsnap.web.desk import Desk
from radsnap.web.errors import ApiError
from radsnap.web.exports import EXPORTS, Exported, Subject
from radsnap.web.reading import unpack_heat

router = APIRouter(prefix="/dicomweb", tags=["DICOMweb"])
Uid = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$", examples=["1.2.840.113619.2.1"])]
_MOST_INSTANCES = 50
_REFUSED = 0xC000  # "cannot understand" (PS3.18, I.2)
_NOT_NOW = 0xA700  # "out of resources"
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
        "description": "the status of each instance, or with Accept: multipart/related the result objects",
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
    stored: list[pydicom.Dataset] = []
    failed: list[pydicom.Dataset] = []
    objects: list[bytes] = []
    direct = "multipart/related" in request.headers.get("accept", "")
    for part in _parts(await request.body(), request.headers.get("content-type", "")):
        try:
            identity = await run_in_threadpool(_identity, part, study)
            case_id = await _read(desk, user, part)
        except (ImageError, ApiError) as error:
            failed.append(_failure(part, _NOT_NOW if isinstance(error, ApiError) else _REFUSED))
            continue
        stored.append(_success(identity, case_id, str(request.base_url)))
        if direct:
            objects += [await _made(desk, user.id, case_id, name, identity.subject) for name in _PARTS]
    if direct and objects:
        return _related(objects)
    told = pydicom.Dataset()
    if stored:
        told.ReferencedSOPSequence = stored
    if failed:
        told.FailedSOPSequence = failed
    status = 200 if not failed else (202 if stored else 409)
    return JSONResponse(told.to_json_dict(), status, headers=_NO_STORE, media_type="application/dicom+json")


_NO_STORE = {"Cache-Control": "no-store"}


class _Identity:
    """What an instance says of itself, for the answer only."""

    def __init__(self, header: Any) -> None:
        self.sop_class, self.sop_instance = (
            str(header.get("SOPClassUID", "")),
            str(header.get("SOPInstanceUID", "")),
        )
        named = {
            "patient_id": "PatientID", "patient_name": "PatientName", "birth_date": "PatientBirthDate",
            "sex": "PatientSex", "accession_number": "AccessionNumber", "study_uid": "StudyInstanceUID",
            "study_id": "StudyID", "study_date": "StudyDate", "study_time": "StudyTime",
        }  # fmt: skip
        values = {ours: str(header.get(theirs) or "") or None for ours, theirs in named.items()}
        if values["sex"] not in ("M", "F", "O", None):
            values["sex"] = None
        self.subject = Subject(**values)


def _identity(part: bytes, study: str | None) -> _Identity:
    """Read an instance's header. Raises UnreadableImage for none, or one of another study."""
    try:
        with quiet():
            header = pydicom.dcmread(io.BytesIO(part), stop_before_pixels=True)
            identity = _Identity(header)
    except (*DECODER_FAULTS, InvalidDicomError) as error:
        raise UnreadableImage("the part is no DICOM file; send application/dicom") from error
    if not re.fullmatch(r"[0-9.]{1,64}", identity.subject.study_uid or ""):
        raise UnreadableImage("the instance names no study; send it with its StudyInstanceUID")
    if study is not None and identity.subject.study_uid != study:
        raise UnreadableImage("the instance is of another study than the address; send it there")
    return identity


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
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID = identity.sop_class
    item.ReferencedSOPInstanceUID = identity.sop_instance
    item.RetrieveURL = f"{base}dicomweb{_address(case_id, 'sr.dcm')}"
    return item


def _failure(part: bytes, reason: int) -> pydicom.Dataset:
    item = pydicom.Dataset()
    try:
        with quiet():
            header = pydicom.dcmread(io.BytesIO(part), stop_before_pixels=True)
            item.ReferencedSOPClassUID = str(header.get("SOPClassUID", ""))
            item.ReferencedSOPInstanceUID = str(header.get("SOPInstanceUID", ""))
    except (*DECODER_FAULTS, InvalidDicomError):
        item = pydicom.Dataset()  # a part that is no DICOM names nothing
    item.FailureReason = reason
    return item


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


def _related(objects: list[bytes]) -> Response:
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + data + b"\r\n" for data in objects) + f"--{boundary}--\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary="{boundary}"'
    return Response(body, media_type=kind, headers=_NO_STORE)
