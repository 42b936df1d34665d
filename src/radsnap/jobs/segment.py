"""Segment: pictures in, lung masks at their size out, with areas and a table."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from radsnap.errors import ImageError, UsageError
from radsnap.imaging import Photo, Radiograph, find_images, grey_level, read_image, write_image
from radsnap.jobs.progress import Progress, Report, silent
from radsnap.models.preprocess import to_input
from radsnap.models.runtime import load
from radsnap.reading.lungs import HEAD, Chest, Measures, measure, read_lungs, to_json
from radsnap.reading.report import preview
from radsnap.reading.stages import Runner
from radsnap.tables.storage import write_table

# As in `diagnose`: a JPEG may be decoded reduced, down to this shorter side; its mask has the file's own size.
_DECODE_AT_LEAST_PX = 640
_SHOWN_AT_MOST_PX = 1024
TABLE = "lungs.csv"
_ENDS = (".png", "-overlay.jpg")


class SegmentConfig(BaseModel):
    """What `radsnap segment` is told. `model` is a card, a folder or the name of a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[str, ...] = Field(min_length=1)
    output: Path
    model: str = "lungs"
    overlay: bool = True
    heart: bool = False
    jobs: int = Field(default_factory=lambda: max(2, min(8, os.cpu_count() or 2)), ge=1, le=64)


@dataclass(frozen=True, eq=False)
class Segmented:
    """One picture's masks as files, and what was measured; or the error that kept it from being read."""

    path: str
    mask: Path | None = None
    size_px: tuple[int, int] | None = None
    measures: Measures | None = None
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON's types."""
        return {
            "path": self.path,
            "ok": self.error is None,
            "error": self.error,
            "mask": None if self.mask is None else str(self.mask),
            "size_px": None if self.size_px is None else list(self.size_px),
            "lungs": None if self.measures is None else to_json(self.measures),
        }


def segment(config: SegmentConfig, report: Report = silent) -> list[Segmented]:
    """Write NAME.png (255 in the lungs, the picture's own size) for every picture, and a table of measures.

    A picture that cannot be read has its error in the table. Pictures of one name get their path's hash added
    to it. Raises UsageError when a mask would take a picture's place, WeightsError for a model without lungs.
    """
    sources, missing = _sources(config.paths)
    names = mask_names(sources)
    _refuse_overwriting((config.output / f"{name}{end}" for name in names.values() for end in _ENDS), sources)
    network = load(config.model)
    network.card.head(HEAD)
    _make_folder(config.output)

    def work(source: Path) -> Segmented:
        return _segment(source, names[source], network, config)

    done = []
    with ThreadPoolExecutor(config.jobs) as pool:
        for result in pool.map(work, sources):
            done.append(result)
            report(Progress(len(done), len(sources)))
    done += missing
    write_table(_table(done), config.output / TABLE)
    return done


def mask_names(sources: Iterable[Path]) -> dict[Path, str]:
    """Name each picture's files: its stem; where several share one, the stem and a hash of the path."""
    listed = list(sources)
    # some file systems take A.png and a.png for one
    shared = Counter(source.stem.casefold() for source in listed)
    return {
        source: source.stem if shared[source.stem.casefold()] == 1 else f"{source.stem}-{_mark(source)}"
        for source in listed
    }


def _mark(source: Path) -> str:
    return hashlib.sha256(os.fsencode(source.absolute())).hexdigest()[:8]


def _sources(paths: Iterable[str]) -> tuple[list[Path], list[Segmented]]:
    found: dict[Path, None] = {}
    missing = []
    for path in paths:
        try:
            found.update(dict.fromkeys(find_images([path])))
        except UsageError as error:
            missing.append(Segmented(path, error=str(error)))
    return list(found), missing


def _refuse_overwriting(files: Iterable[Path], sources: Iterable[Path]) -> None:
    pictures = {source.resolve() for source in sources}
    for file in files:
        if file.resolve() in pictures:
            raise UsageError(
                f"{file} is one of the pictures, and a mask would take its place; give another folder with -o"
            )


def _segment(source: Path, name: str, network: Runner, config: SegmentConfig) -> Segmented:
    try:
        image = read_image(source, at_least_px=_DECODE_AT_LEAST_PX)
        chest = read_lungs(network, to_input(grey_level(image), network.card.input))
        mask = _write(config, name, image, chest)
    except ImageError as error:
        return Segmented(str(source), error=str(error))
    except OSError as error:
        return Segmented(str(source), error=f"{source}: its mask could not be written ({error.strerror})")
    width, height = size_of(image)
    spacing = image.spacing_mm if isinstance(image, Radiograph) else None
    return Segmented(str(source), mask, (width, height), measure(chest, height, width, spacing))


def _write(config: SegmentConfig, name: str, image: Radiograph | Photo, chest: Chest) -> Path:
    width, height = size_of(image)
    heart = chest.heart_mask(height, width) if config.heart else None
    if heart is not None:
        write_image(config.output / "heart" / f"{name}.png", heart.astype(np.uint8) * 255)
    if config.overlay:
        write_image(config.output / f"{name}-overlay.jpg", overlay(image, chest), quality=90)
    return write_image(config.output / f"{name}.png", chest.mask(height, width).astype(np.uint8) * 255)


def size_of(image: Radiograph | Photo) -> tuple[int, int]:
    """Give (width, height) of the picture as it lies in its file, upright."""
    return image.provenance.size_px or (image.pixels.shape[1], image.pixels.shape[0])


def overlay(image: Radiograph | Photo, chest: Chest) -> NDArray[np.uint8]:
    """Draw the lungs' outlines and a light tint over a picture: RGB (H, W, 3), not longer than 1024 px.

    The lung on the image's left is blue, the one on its right orange, lungs that are not told apart yellow; the
    heart's outline is white.
    """
    shown = preview(image, _SHOWN_AT_MOST_PX).copy()
    height, width = shown.shape[:2]
    labels, inside = chest.labels(height, width), chest.mask(height, width)
    parts = [((labels == 1), _BLUE), ((labels == 2), _ORANGE), (inside & (labels == 0), _YELLOW)]
    for part, colour in parts:
        shown[part] = np.rint(shown[part] * (1 - _TINT) + np.array(colour) * _TINT).astype(np.uint8)
    heart = chest.heart_mask(height, width)
    for part, colour in [*parts, *([] if heart is None else [(heart, _WHITE)])]:
        outlines, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(shown, outlines, -1, colour, max(1, round(max(height, width) / 400)), cv2.LINE_AA)
    return shown


_BLUE, _ORANGE, _YELLOW, _WHITE = (86, 180, 233), (230, 159, 0), (240, 228, 66), (255, 255, 255)
_TINT = 0.18


def _table(done: list[Segmented]) -> pd.DataFrame:
    """One row a picture; the patient's sides beside the image's, because a mirrored picture swaps them."""
    return pd.DataFrame([_row(item) for item in done], columns=COLUMNS, dtype=object)


COLUMNS = (
    "path", "mask", "width", "height", "area_px", "area_mm2", "share",
    "right_lung_px", "right_lung_mm2", "right_lung_image_side", "left_lung_px", "left_lung_mm2", "left_lung_image_side",
    "sides_reason", "cardiothoracic_ratio", "ratio_reason", "cut_off", "error",
)  # fmt: skip


def _row(item: Segmented) -> dict[str, object]:
    # what a file system allows in a name and a table does not is written as an escape
    row: dict[str, object] = {"path": _plain(item.path), "error": item.error and _plain(item.error)}
    if item.measures is None or item.size_px is None:
        return row
    found = item.measures
    row |= {
        "mask": _plain(str(item.mask)), "width": item.size_px[0], "height": item.size_px[1],
        "area_px": found.area_px, "area_mm2": found.area_mm2, "share": round(found.share, 4),
        "sides_reason": found.sides_reason, "cardiothoracic_ratio": found.cardiothoracic_ratio,
        "ratio_reason": found.ratio_reason, "cut_off": "|".join(found.cut_off),
    }  # fmt: skip
    for lung in found.sides:
        row |= {
            f"{lung.patient_side}_lung_px": lung.area_px,
            f"{lung.patient_side}_lung_mm2": lung.area_mm2,
            f"{lung.patient_side}_lung_image_side": lung.image_side,
        }
    return row


def _plain(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made a folder ({error.strerror}); name another") from error
