"""Take in a photo that a phone sends: bounded, on the disk, in the journal, then proven."""

from __future__ import annotations

import sqlite3

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from radsnap.errors import ImageError, ImageTooLarge
from radsnap.jobs.capturing.intake import PHOTO_BOUNDS, hash_of, keep_photo
from radsnap.jobs.capturing.journal import Phone, Photo
from radsnap.jobs.capturing.proving import prove
from radsnap.jobs.capturing.session import Session
from radsnap.serving.uploads import uploads


class Refusal(Exception):
    """What came in is not taken; status and code are HTTP's answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


async def receive_photo(request: Request, session: Session, phone: Phone, showing: int, sha256: str) -> Photo:
    """Take a photo in, and say what became of it. The same bytes give the same answer. Raises Refusal."""
    try:
        async with uploads(request, session.photos, max_bytes=PHOTO_BOUNDS.bytes) as given:
            data = await run_in_threadpool(given[0].read)
            return await run_in_threadpool(take_photo, session, phone, showing, data, sha256)
    except ImageTooLarge as error:
        raise Refusal(413, "too_large", str(error)) from error
    except ImageError as error:
        raise Refusal(422, "no_photo", str(error)) from error
    except (OSError, sqlite3.Error) as error:
        why = f"a photo of {phone.name} cannot be kept ({error}); make room on the disk of {session.folder}"
        raise Refusal(507, "not_kept", why) from error


def take_photo(session: Session, phone: Phone, showing: int, data: bytes, sha256: str = "") -> Photo:
    """Keep a photo and prove it. Raises Refusal for damaged bytes or an unknown showing, ImageError for no photo."""
    digest = hash_of(data)
    if sha256 and sha256 != digest:
        raise Refusal(400, "damaged", "the photo was damaged on its way (another SHA-256 than the phone's)")
    known = session.journal.photo_of(digest)
    if known is not None:
        # sent twice: the answer to the first may have been lost. One that a kill left unproven is proven now.
        return prove(session, known)
    shown = session.journal.showing(showing)
    if shown is None:
        raise Refusal(400, "no_showing", f"this session never had a showing {showing}")
    taken = keep_photo(data, session.photos, f"photo of {phone.name}")
    name = f"{phone.name} {shown.id}"
    photo = session.journal.receive(
        taken.hash, phone.id, shown.id, shown.phase, name, taken.file, {**phone.device, **taken.meta}
    )
    return prove(session, photo)
