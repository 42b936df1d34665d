"""Take photos of any camera in, in any order: each goes to its row by its codes, the others are named with a reason."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from radsnap.errors import ImageError, TableError, UsageError
from radsnap.imaging import find_images
from radsnap.imaging.bounds import load_bytes
from radsnap.jobs.capturing.chexpeditor import sequence_of
from radsnap.jobs.capturing.intake import PHOTO_BOUNDS, hash_of, keep_photo
from radsnap.jobs.capturing.journal import Photo
from radsnap.jobs.capturing.likenesses import Likeness, Likenesses
from radsnap.jobs.capturing.proving import explain, prove
from radsnap.jobs.capturing.session import Session, open_session
from radsnap.jobs.progress import Progress, Report, silent

REPORT, PROPOSALS = "import.csv", "proposals.csv"
_FIELDS = ("file", "outcome", "number", "image_id", "reason")
_PROPOSED = ("accept", "file", "image_id", "number", "matches", "corners_px")


class ImportConfig(BaseModel):
    """What `radsnap capture import` is told. device: the camera's name, by default what its EXIF says.

    propose: compare photos without codes with the x-rays; accept: a table of proposals that a person has marked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: Path
    photos: tuple[Path, ...] = ()
    device: str = ""
    propose: bool = True
    accept: Path | None = None


@dataclass(frozen=True)
class Line:
    """What became of a file. outcome: attached, by hand, known, double, outdated, foreign, no code, refused, unreadable."""

    file: str
    outcome: str
    number: int | None = None
    image_id: str = ""
    reason: str = ""

    @property
    def fine(self) -> bool:
        return self.outcome in ("attached", "by hand", "known")


@dataclass(frozen=True)
class Imported:
    """What an import did. missing: pictures that have no good photo now."""

    lines: tuple[Line, ...]
    proposals: tuple[Likeness, ...] = ()
    missing: tuple[int, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


def import_photos(config: ImportConfig, report: Report = silent) -> Imported:
    """Import photos into a session; started again, it goes on. Writes import.csv and proposals.csv into its folder.

    Raises UsageError for no photo, or no session; a photo that cannot be used is a line of the report.
    """
    session = open_session(config.session)
    if config.accept is not None:
        lines = [_accepted(session, row, config.device) for row in _read_proposals(config.accept)]
        return _ended(session, lines, [])
    files = find_images(config.photos)
    lines, unknown = [], []
    for done, path in enumerate(files):
        line = _import_one(session, path, config.device)
        lines.append(line)
        if line.outcome == "no code":
            unknown.append(path)
        report(Progress(done + 1, len(files), line.outcome))
    proposals = []
    if config.propose and unknown:
        open_ = [n for n in range(session.count) if n not in session.journal.done()]
        proposals = Likenesses(session, open_).propose(unknown, report)
    return _ended(session, lines, proposals)


def _ended(session: Session, lines: list[Line], proposals: Sequence[Likeness]) -> Imported:
    done, skipped = session.journal.done(), session.journal.skipped()
    missing = tuple(n for n in range(session.count) if n not in done and n not in skipped)
    counts: dict[str, int] = {}
    for line in lines:
        counts[line.outcome] = counts.get(line.outcome, 0) + 1
    _write(session.folder / REPORT, _FIELDS, [vars(line) for line in lines])
    if proposals:
        rows = [
            {
                "accept": "",
                "file": str(one.file),
                "image_id": one.image_id,
                "number": one.number,
                "matches": one.matches,
                "corners_px": json.dumps(one.corners_px),
            }
            for one in proposals
        ]
        _write(session.folder / PROPOSALS, _PROPOSED, rows)
    return Imported(tuple(lines), tuple(proposals), missing, counts)


def _import_one(session: Session, path: Path, device: str) -> Line:
    try:
        data, _ = load_bytes(path, PHOTO_BOUNDS, path.name)
        known = session.journal.photo_of(hash_of(data))
        if known is not None and (known.number is not None or known.showing is not None):
            return _known(session, path, known)
        if known is not None:
            _forget(session, known)  # left by an import that was killed, or unreadable then: it comes anew
        taken = keep_photo(data, session.photos, path.name)
    except ImageError as error:
        return Line(str(path), "unreadable", reason=str(error))
    journal = session.journal
    named = journal.photos("state = 'named' AND name IN (?, ?)", (path.name, path.stem))
    phone = named[0].phone if named else journal.named_phone(device or _device(taken.meta), "import").id
    photo = prove(
        session, journal.receive(taken.hash, phone, None, "single", path.name, taken.file, taken.meta)
    )
    if photo.number is None:
        # it proves nothing of this session: it stays where it came from, and may come again
        _forget(session, photo)
    return _line(session, path, photo)


def _known(session: Session, path: Path, photo: Photo) -> Line:
    """Say that the same bytes came before: the same file again, or a copy under another name."""
    photo = prove(session, photo)
    if photo.name == path.name and photo.state in ("good", "by hand"):
        return Line(str(path), "known", photo.number, _id(session, photo.number), "imported before")
    if photo.name == path.name:
        return _line(session, path, photo)
    why = f"the same photo as {photo.name}, bit for bit"
    return Line(str(path), "double", photo.number, _id(session, photo.number), why)


def _line(session: Session, path: Path, photo: Photo) -> Line:
    image_id = _id(session, photo.number)
    reason = explain(photo.reasons, str(photo.found.get("fault", "")))
    if photo.state == "good":
        said = sequence_of(path.name)
        if said is not None and said != photo.number:
            reason = f"its name says picture {said}, its codes prove {photo.number}: the codes count"
        return Line(str(path), "attached", photo.number, image_id, reason)
    if photo.state == "double":
        first = session.journal.good(photo.number or 0, photo.phone)
        return Line(
            str(path), "double", photo.number, image_id, f"{first[0].name} shows this picture already"
        )
    if photo.state in ("outdated", "void"):
        return Line(str(path), "outdated", photo.number, image_id, "this picture was asked for again later")
    if "foreign_session" in photo.reasons:
        return Line(str(path), "foreign", reason=f"{reason} ({photo.found.get('session', '?'):0>7})")
    if "no_code" in photo.reasons:
        return Line(str(path), "no code", reason=reason)
    if "unreadable" in photo.reasons:
        return Line(str(path), "unreadable", reason=reason)
    return Line(str(path), "refused", photo.number, image_id, reason)


def _forget(session: Session, photo: Photo) -> None:
    with session.journal.change() as db:
        db.execute("DELETE FROM photos WHERE id = ?", (photo.id,))
    (session.photos / photo.file).unlink(missing_ok=True)


def _accepted(session: Session, row: dict[str, str], device: str) -> Line:
    """Attach a photo by a person's word: by hand, never good."""
    path = Path(row["file"])
    try:
        number = int(row["number"])
        corners = _corners(row.get("corners_px") or "")
        data, _ = load_bytes(path, PHOTO_BOUNDS, path.name)
        taken = keep_photo(data, session.photos, path.name)
    except ImageError as error:
        return Line(str(path), "unreadable", reason=str(error))
    except ValueError as error:
        raise UsageError(f"{PROPOSALS}: the row of {path} is broken ({error}); import again") from error
    if not 0 <= number < session.count:
        raise UsageError(f"{PROPOSALS}: the row of {path} names picture {number}, there are {session.count}")
    journal = session.journal
    phone = journal.named_phone(device or _device(taken.meta), "import").id
    photo = journal.receive(taken.hash, phone, None, "single", path.name, taken.file, taken.meta)
    if photo.state != "received":
        return _known(session, path, photo)
    found = {"corners_px": corners} if corners else {}
    journal.settle(photo.id, "by hand", number, journal.round_of(number), (), found)
    return Line(str(path), "by hand", number, _id(session, number), "accepted by a person")


def _corners(text: str) -> list[list[float]]:
    """Read four points out of a proposal, none from a blank. Raises ValueError."""
    if not text.strip():
        return []
    try:
        points = np.array(json.loads(text), np.float64)
    except (TypeError, OverflowError, RecursionError) as error:
        raise ValueError("corners_px is not four points") from error
    if points.shape != (4, 2) or not np.isfinite(points).all():
        raise ValueError("corners_px is not four points")
    corners: list[list[float]] = points.tolist()
    return corners


def _read_proposals(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as opened:
            reader = csv.DictReader(opened)
            if not set(_PROPOSED) <= set(reader.fieldnames or ()):
                raise TableError(f"{path}: a table of proposals has the columns {', '.join(_PROPOSED)}")
            rows = [row for row in reader if (row["accept"] or "").strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path} cannot be read ({error}); name the session's {PROPOSALS}") from error
    files = [row["file"] for row in rows]
    for name in files:
        if files.count(name) > 1:
            raise TableError(
                f"{path}: {name} is accepted {files.count(name)} times; a photo shows one picture"
            )
    return rows


def _device(meta: dict[str, Any]) -> str:
    """Name a camera by its EXIF, as a folder is named."""
    words = f"{meta.get('model') or ''}".lower()
    plain = "".join(letter if letter.isascii() and letter.isalnum() else " " for letter in words).split()
    return "-".join(plain)[:40] or "camera"


def _id(session: Session, number: int | None) -> str:
    return "" if number is None or not 0 <= number < session.count else session.image_id(number)


def _write(path: Path, names: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
