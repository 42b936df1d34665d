"""Export a session: CheXphoto's layout and table, radsnap's manifest, marker-free and rectified versions."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from radsnap import imaging
from radsnap.errors import ImageError, UsageError
from radsnap.findings import FINDINGS
from radsnap.flatten.straightening import cut_out
from radsnap.imaging import encode_jpeg, homography, write_image
from radsnap.imaging.homography import corners_of
from radsnap.imaging.radiograph import ByteImage
from radsnap.jobs.capturing.intake import read_rgb
from radsnap.jobs.capturing.journal import Phone, Photo
from radsnap.jobs.capturing.session import Session, open_session
from radsnap.jobs.progress import Progress, Report, silent
from radsnap.jobs.stores import LocalStore
from radsnap.tables import COLUMNS, build_manifest, write_manifest
from radsnap.tables.storage import write_table

MARK = ".radsnap-capture-export"
_MARGIN_FRAC = 0.012  # around the x-ray in a marker-free crop; the bands begin at 0.03 of its side
_TABLES = {"train": "train.csv", "valid": "valid.csv", "test": "test.csv", "all": "photos.csv"}


class ExportConfig(BaseModel):
    """What `radsnap capture export` is told. unverified: take photos too whose codes do not prove them good.

    rectified_px: the longer side of the rectified versions, by default as many as the photo has, at most the x-ray's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: Path
    output: Path
    unverified: bool = False
    rectified_px: int | None = Field(default=None, ge=16, le=8192)
    quality: int = Field(default=95, ge=1, le=100)


@dataclass(frozen=True)
class Exported:
    """What an export wrote. left_out: photos that are not proven, by state; failed: which could not be read, and why."""

    photos: int
    left_out: dict[str, int]
    tables: tuple[str, ...]
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Cut:
    """A photo for use: pixels, where its first pixel lies in the photo, corners of the x-ray (4, 2) in it or None."""

    pixels: ByteImage
    corners: NDArray[np.float64] | None


def export_session(config: ExportConfig, report: Report = silent) -> Exported:
    """Write a session's photos. Raises UsageError for an output that is something else, or nothing to export.

    natural/    the photo without markers: cut close to the x-ray, what reaches into the cut painted over
    marked/     the photo as it was taken, without metadata
    rectified/  the x-ray straightened by its corners
    """
    session = open_session(config.session)
    taken, left_out = _chosen(session, config.unverified)
    if not taken:
        raise UsageError(
            f"{config.session} has no proven photo to export"
            + (f" ({_counted(left_out)}; --unverified takes them)" if left_out else "")
        )
    _begin(session, config.output)
    phones = {phone.id: phone for phone in session.journal.phones()}
    rows, tables, failed = [], [], []
    for done, photo in enumerate(taken):
        try:
            row, table = _one(session, config, photo, phones[photo.phone])
        except ImageError as error:
            failed.append(f"picture {(photo.number or 0) + 1}: {error}")
            continue
        rows.append(row)
        tables.append(table)
        report(Progress(done + 1, len(taken), photo.name))
    if not rows:
        raise UsageError(f"{config.session}: no photo could be exported ({failed[0]})")
    names = _write_tables(config.output, rows, tables)
    return Exported(len(rows), left_out, names, tuple(failed))


def _chosen(session: Session, unverified: bool) -> tuple[list[Photo], dict[str, int]]:
    """Give the photos to export in the plan's order, and what is left out by state."""
    photos = session.journal.photos("phase IN ('single', 'clean') AND file != ''")
    good = [photo for photo in photos if photo.state == "good"]
    taken = {(photo.number, photo.phone) for photo in good}
    others: dict[tuple[int | None, int], Photo] = {}
    for photo in photos:
        place = (photo.number, photo.phone)
        if photo.state in ("by hand", "refused") and photo.number is not None and place not in taken:
            others[place] = photo  # the last one
    more = list(others.values())
    left_out: dict[str, int] = {}
    for photo in [] if unverified else more:
        left_out[photo.state] = left_out.get(photo.state, 0) + 1
    named = len(session.journal.photos("state = 'named'"))
    if named:
        left_out["named, to be imported"] = named
    chosen = good + (more if unverified else [])
    return sorted(chosen, key=lambda photo: (photo.number or 0, photo.phone)), left_out


def _begin(session: Session, output: Path) -> None:
    mark = output / MARK
    if output.exists() and any(output.iterdir()) and not mark.is_file():
        raise UsageError(f"{output} is not empty and holds no export; give a new folder")
    if mark.is_file() and mark.read_text("utf-8").strip() != str(session.number):
        raise UsageError(f"{output} holds the export of another session; give a new folder")
    inside = output.resolve().is_relative_to(session.photos.resolve())
    if inside:
        raise UsageError(f"{output} lies among the session's photos; give a folder outside")
    try:
        output.mkdir(parents=True, exist_ok=True)
        mark.write_text(f"{session.number}\n", "utf-8")
    except OSError as error:
        raise UsageError(f"{output} cannot be written ({error.strerror}); name another folder") from error


def _one(
    session: Session, config: ExportConfig, photo: Photo, phone: Phone
) -> tuple[dict[str, Any], dict[str, Any]]:
    assert photo.number is not None
    row, _ = session.place_of(photo.number)
    split, place = session.xrays.places[row]
    device = device_of(session, photo, phone)
    home = f"{split}/{{}}/{device}/{place}"
    target, marked, rectified = (home.format(kind) for kind in ("natural", "marked", "rectified"))
    # both are read before anything is written
    pixels, xray_px = read_rgb(session.photos / photo.file), session.file_px(row)
    cut = marker_free(pixels, photo)
    write_image(config.output / target, cut.pixels, config.quality)
    files = {"rectified": ""}
    if photo.phase == "single":
        marked = marked.removesuffix(".jpg") + Path(photo.file).suffix
        LocalStore(config.output).adopt(session.photos / photo.file, marked)
        files["marked"] = marked
    if "corners_px" in photo.found:
        corners = np.array(photo.found["corners_px"])
        data = encode_jpeg(straightened(pixels, corners, xray_px, config.rectified_px), config.quality)
        LocalStore(config.output).write(rectified, data)
        files["rectified"] = rectified
    _sweep(config.output)
    table = {**_fields(session.xrays.table, row), "Path": target}
    given = _fields(session.xrays.rows, row)
    return {**_row(session, photo, given, target, cut), "device": device, **files}, table


def _fields(frame: pd.DataFrame, row: int) -> dict[str, Any]:
    return {str(name): frame[name].iloc[row] for name in frame.columns}


def _sweep(output: Path) -> None:
    LocalStore(output).remove(".radsnap")


def device_of(session: Session, photo: Photo, phone: Phone) -> str:
    """Name the folder of a photo: the phone, and the condition it was taken under."""
    assert photo.number is not None
    words = [*(["film"] if session.config.domain == "film" else []), phone.name]
    for name, value in session.condition(photo.number).items():
        values = session.config.vary[name]
        alike = len({_word(one) for one in values}) < len(
            values
        )  # "-20" and "20", or letters that no folder has
        words += [_word(value), *([str(values.index(value) + 1)] if alike else [])]
    return "-".join(word for word in words if word)


def _word(value: str) -> str:
    """Write a condition's value as a part of a folder's name."""
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in value).strip("-")


def marker_free(pixels: ByteImage, photo: Photo) -> _Cut:
    """Cut a photo to the x-ray; what of the bands reaches into the cut takes the colour of the page around it."""
    if "corners_px" not in photo.found:
        return _Cut(pixels, None)
    corners = np.array(photo.found["corners_px"])
    if photo.phase == "clean" or "bands" not in photo.found:
        return _Cut(pixels, corners)
    longer = float(np.hypot(*(np.roll(corners, -1, axis=0) - corners).T).max())
    margin = _MARGIN_FRAC * longer
    low = np.floor(corners.min(axis=0) - margin).astype(int).clip(0)
    high = np.ceil(corners.max(axis=0) + margin).astype(int) + 1
    cut = pixels[low[1] : high[1], low[0] : high[0]].copy()
    bands = np.zeros(cut.shape[:2], np.uint8)
    for outline in photo.found["bands"]:
        cv2.fillConvexPoly(bands, np.rint(_wider(np.array(outline), margin / 2) - low).astype(np.int32), 1)
    if bands.any():
        inside = np.zeros_like(bands)
        cv2.fillConvexPoly(inside, np.rint(_wider(corners, 2) - low).astype(np.int32), 1)
        around = (bands == 0) & (inside == 0)
        colour = np.median(cut[around], axis=0) if around.any() else np.zeros(3)
        cut[(bands == 1) & (inside == 0)] = np.rint(colour).astype(np.uint8)
    return _Cut(cut, corners - low)


def _wider(corners: NDArray[np.float64], by_px: float) -> NDArray[np.float64]:
    """Move corners away from their middle."""
    away = corners - corners.mean(axis=0)
    return np.asarray(corners + away / np.maximum(np.hypot(*away.T)[:, None], 1e-9) * by_px * np.sqrt(2))


def straightened(
    pixels: ByteImage, corners: NDArray[np.float64], xray_px: tuple[int, int], longer_px: int | None
) -> ByteImage:
    """Rectify the x-ray by its corners: uint8 (h, w, 3), in the x-ray's own aspect."""
    edge = float(np.hypot(*(np.roll(corners, -1, axis=0) - corners).T).max())
    longer = longer_px or max(min(round(edge), max(xray_px)), 16)
    scale = longer / max(xray_px)
    size = (max(round(xray_px[0] * scale), 1), max(round(xray_px[1] * scale), 1))
    return cut_out(imaging.Photo(pixels), corners, size)[0]


def _row(session: Session, photo: Photo, given: dict[str, Any], target: str, cut: _Cut) -> dict[str, Any]:
    """Write a photo's row of the manifest; marks and masks of the x-ray do not fit the photo and stay behind."""
    assert photo.number is not None
    kept = {name: given[name] for name in (*COLUMNS, *FINDINGS, "sex", "age") if name in given}
    condition = {f"condition_{name}": value for name, value in session.condition(photo.number).items()}
    notes = {f"note_{name}": value for name, value in session.config.notes.items()}
    found = photo.found
    page = None if photo.round is None else session.journal.page_of(photo.number, photo.round)
    matrix = ""
    if cut.corners is not None:
        size_px = session.file_px(session.place_of(photo.number)[0])
        matrix = json.dumps(homography(corners_of(size_px), cut.corners).tolist())
    measured = (
        "blur_frac",
        "blown_frac",
        "tilt_deg",
        "yaw_deg",
        "pitch_deg",
        "distance_xrays",
        "distance_cm",
    )
    camera = ("make", "model", "exposure_s", "f_number", "iso", "focal_mm", "focal_35mm", "flash")
    return {
        **kept,
        "image_id": target.removesuffix(".jpg"),
        "path": target,
        "domain": session.config.domain,
        "origin": "real",
        "source_image_id": given["image_id"],
        "recipe": "",
        "corners_px": "" if cut.corners is None else json.dumps(np.round(cut.corners, 3).tolist()),
        "homography": matrix,
        "marked_corners_px": json.dumps(found["corners_px"]) if "corners_px" in found else "",
        "verified": {"good": "codes", "by hand": "a person"}.get(
            photo.state, "no: " + ", ".join(photo.reasons)
        ),
        **condition,
        **notes,
        "monitor": session.config.monitor,
        "monitor_cm": "" if session.config.monitor_cm is None else session.config.monitor_cm,
        "page_px": "" if page in (None, (0, 0)) else json.dumps(page),
        **{name: "" if found.get(name) is None else found[name] for name in measured},
        **{name: "" if photo.meta.get(name) is None else photo.meta[name] for name in camera},
        "taken_at": dt.datetime.fromtimestamp(photo.at, dt.UTC).isoformat(timespec="seconds"),
        "sha256": photo.hash,
        "session": f"{session.number:07d}",
        "number": photo.number,
    }


def _write_tables(output: Path, rows: list[dict[str, Any]], tables: list[dict[str, Any]]) -> tuple[str, ...]:
    write_manifest(build_manifest(pd.DataFrame(rows), output), output / "manifest.csv")
    names = ["manifest.csv"]
    for split, part in _by_split(tables):
        frame = pd.DataFrame(part)
        frame["Path"] = [f"{output.resolve().name}/{path}" for path in frame["Path"]]
        write_table(frame, output / _TABLES[split])
        names.append(_TABLES[split])
    return tuple(names)


def _by_split(tables: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for split in _TABLES:
        part = [table for table in tables if str(table["Path"]).startswith(f"{split}/")]
        if part:
            yield split, part


def _counted(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in states.items())
