"""Flatten: photos in, straightened x-rays out, with what was found in each."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from radsnap.errors import ImageError, UsageError
from radsnap.flatten import Quad, Quality, Straight, find, quality, straighten
from radsnap.imaging import Photo, Radiograph, find_images, project, read_image, resizing, write_image
from radsnap.imaging.secondary import write_secondary_capture
from radsnap.jobs.progress import Progress, Report, silent
from radsnap.jobs.segment import mask_names
from radsnap.reading.report import preview

Status = Literal["flattened", "cropped already", "not sure", "no x-ray found", "digital", "failed"]
RECORD = "flatten.jsonl"
_FORMATS = {"png": ".png", "jpg": ".jpg", "dicom": ".dcm"}
_OVERLAY = "-overlay.jpg"
_SAID = {
    "flattened": "straightened",
    "cropped already": "shows nothing but the x-ray, left as it is",
    "not sure": "an x-ray may be there, but its corners are not sure; left as it is (--unsure takes them)",
    "no x-ray found": "no x-ray found",
    "digital": "a digital x-ray, left as it is",
}


class FlattenConfig(BaseModel):
    """What `radsnap flatten` is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[str, ...] = Field(min_length=1)
    output: Path
    format: Literal["png", "jpg", "dicom"] = "png"
    longest_px: int = Field(default=2048, ge=64, le=8192)
    turn: bool = True
    unsure: bool = False
    overlay: bool = True
    model: str = "corners"
    jobs: int = Field(default_factory=lambda: max(1, min(8, os.cpu_count() or 1)), ge=1, le=64)


@dataclass(frozen=True, eq=False)
class Flattened:
    """One photo: what became of it, where it lies, and what was found."""

    path: str
    status: Status
    file: Path | None = None
    quad: Quad | None = None
    straight: Straight | None = None
    quality: Quality | None = None
    size_px: tuple[int, int] | None = None
    error: str | None = None

    @property
    def sentence(self) -> str:
        """What to tell a person."""
        return self.error or _SAID[self.status]

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON's types; corners are in pixels of the file."""
        straight, lies = self.straight, None if self.straight is None else self.straight.lies
        return {
            "path": self.path,
            "ok": self.error is None,
            "error": self.error,
            "status": self.status,
            "file": None if self.file is None else str(self.file),
            "quad": None if self.quad is None else self.quad.to_json(),
            "size_px": None if self.size_px is None else list(self.size_px),
            "homography": None if straight is None else np.round(straight.homography, 9).tolist(),
            "orientation": None
            if lies is None
            else {
                "quarter_turns": lies.quarter_turns,
                "mirrored": lies.mirrored,
                "confidence": round(lies.confidence, 4),
                "turned_upright": straight is not None and straight.turned,
            },
            "glare": None if straight is None else round(float(straight.glare.mean()), 4),
            "quality": None if self.quality is None else [_told(m) for m in self.quality.measures],
            "retake": None if self.quality is None else self.quality.retake,
        }


def flatten_files(config: FlattenConfig, report: Report = silent) -> list[Flattened]:
    """Write NAME.png (or .jpg, .dcm) for each photo whose x-ray is found, an overlay, and flatten.jsonl.

    A picture that cannot be read has its error in the list. Raises UsageError when a file would take a
    picture's place, WeightsError when the model cannot be loaded.
    """
    sources, missing = _sources(config.paths)
    names = mask_names(sources)
    _refuse_overwriting(config, names)
    try:
        config.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{config.output} cannot be made a folder ({error.strerror}); name another"
        ) from error
    done: list[Flattened] = []
    with ThreadPoolExecutor(config.jobs) as pool:
        for result in pool.map(lambda source: _flatten(source, names[source], config), sources):
            done.append(result)
            report(Progress(len(done), len(sources)))
    done += missing
    lines = [json.dumps(item.to_json(), allow_nan=False) + "\n" for item in done]
    (config.output / RECORD).write_text("".join(lines), encoding="utf-8")
    return done


def draw_quad(photo: Photo, quad: Quad | None, longest_px: int = 1024) -> NDArray[np.uint8]:
    """Draw a quad over a photo, at most longest_px long: green when sure, orange when not, a dot upper left."""
    shown = preview(photo, longest_px).copy()
    if quad is None:
        return shown
    size = (photo.pixels.shape[1], photo.pixels.shape[0])
    corners = project(resizing(size, (shown.shape[1], shown.shape[0])), quad.corners_px)
    colour = (0, 200, 90) if quad.sure else (230, 159, 0)
    thick = max(2, max(shown.shape[:2]) // 300)
    points = np.rint(corners.clip(-20000, 20000) * 8).astype(np.int32)
    cv2.polylines(shown, [points], True, colour, thick, cv2.LINE_AA, shift=3)
    cv2.circle(shown, (int(points[0, 0]), int(points[0, 1])), 8 * 3 * thick, colour, -1, cv2.LINE_AA, shift=3)
    return np.asarray(shown, np.uint8)


def _flatten(source: Path, name: str, config: FlattenConfig) -> Flattened:
    try:
        # twice the output's size is as much as straightening can use
        image = read_image(source, at_least_px=config.longest_px)
        if isinstance(image, Radiograph):
            return Flattened(str(source), "digital", _write(config, name, image))
        quad = find(image, config.model)
        if config.overlay:
            write_image(config.output / f"{name}{_OVERLAY}", draw_quad(image, quad), quality=90)
        return _straightened(source, name, image, quad, config)
    except ImageError as error:
        return Flattened(str(source), "failed", error=str(error))
    except OSError as error:
        return Flattened(
            str(source), "failed", error=f"{source}: its picture could not be written ({error.strerror})"
        )


def _straightened(
    source: Path, name: str, image: Photo, quad: Quad | None, config: FlattenConfig
) -> Flattened:
    pixels = (image.pixels.shape[1], image.pixels.shape[0])
    size = image.provenance.size_px or pixels
    if quad is None:
        return Flattened(str(source), "no x-ray found", size_px=size)
    onto_file = resizing(pixels, size)
    told = Quad(
        project(onto_file, quad.corners_px),
        quad.confidence,
        quad.cropped_already,
        quad.sides_seen,
        quad.others,
    )
    if quad.cropped_already:
        file = _write(config, name, image)
        return Flattened(
            str(source), "cropped already", file, told, quality=quality(image, quad), size_px=size
        )
    if not (quad.sure or config.unsure):
        return Flattened(str(source), "not sure", quad=told, quality=quality(image, quad), size_px=size)
    straight = straighten(image, quad, config.longest_px, config.turn)
    judged = quality(image, quad, straight=straight)
    file = _write(config, name, straight.radiograph)
    return Flattened(str(source), "flattened", file, told, straight, judged, size)


def _write(config: FlattenConfig, name: str, image: Photo | Radiograph) -> Path:
    target = config.output / f"{name}{_FORMATS[config.format]}"
    if config.format == "dicom":
        return write_secondary_capture(target, image)
    shown = np.rint(image.pixels * 255).astype(np.uint8) if isinstance(image, Radiograph) else image.pixels
    return write_image(target, shown)


def _told(measure: Any) -> dict[str, Any]:
    return {
        "name": measure.name,
        "value": round(measure.value, 4),
        "threshold": measure.threshold,
        "missed": measure.missed,
        "sentence": measure.sentence if measure.missed else None,
    }


def _sources(paths: tuple[str, ...]) -> tuple[list[Path], list[Flattened]]:
    found: dict[Path, None] = {}
    missing = []
    for path in paths:
        try:
            found.update(dict.fromkeys(find_images([path])))
        except UsageError as error:
            missing.append(Flattened(path, "failed", error=str(error)))
    return list(found), missing


def _refuse_overwriting(config: FlattenConfig, names: dict[Path, str]) -> None:
    pictures = {source.resolve() for source in names}
    for name in names.values():
        for end in (_FORMATS[config.format], _OVERLAY):
            if (config.output / f"{name}{end}").resolve() in pictures:
                raise UsageError(
                    f"{config.output / f'{name}{end}'} is one of the pictures, and would be written over; "
                    "give another folder with -o"
                )
