"""Diagnose: pictures in, one diagnosis each, in order, as they come."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from radsnap.errors import ImageError, UsageError
from radsnap.imaging import Photo, Radiograph, find_images, read_image, write_image
from radsnap.jobs.progress import Progress, Report, silent
from radsnap.reading.diagnosis import Diagnosis
from radsnap.reading.heatmaps import ByteArray, overlay
from radsnap.reading.pipeline import LUNGS, READERS, Pipeline, load_pipeline
from radsnap.reading.report import ReportWriter, preview, render_case

# A JPEG may come out at half its size or less, as long as its shorter side keeps this many pixels: more
# than the networks take in, and enough to show.
_DECODE_AT_LEAST_PX = 640

Given = TypeVar("Given")
Made = TypeVar("Made")


class DiagnoseConfig(BaseModel):
    """What `radsnap diagnose` is told. Models are cards, folders or names of shipped models."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paths: tuple[str, ...] = Field(min_length=1)
    gate: str = "gate"
    kind: str = "kind"
    model: str = str(READERS["chest_frontal"])
    readers: Mapping[str, str] = {}
    lungs: str | None = LUNGS
    flatten: bool = True
    report: Path | None = None
    heat_maps: Path | None = None
    jobs: int = Field(default_factory=lambda: max(2, min(8, os.cpu_count() or 2)), ge=1, le=64)


def diagnose(
    image: str | os.PathLike[str] | bytes | Radiograph | Photo,
    *,
    heat_maps: bool = False,
    model: str | Path = READERS["chest_frontal"],
    gate: str | Path = "gate",
    kind: str | Path = "kind",
    readers: Mapping[str, str | Path] | None = None,
    lungs: str | Path | None = LUNGS,
    flatten: bool = True,
) -> Diagnosis:
    """Read one picture: is it an x-ray, which, and what is seen.

    image: a path, a file's bytes, or pixels. Not an x-ray, or one without a reader, is a result with its
    reason. `readers` adds networks by kind of x-ray; with `lungs` None they are not looked for.
    `flatten`: whether the x-ray in a photo is found and straightened first. Networks stay loaded for the next call.
    Raises ImageError when the picture cannot be read, WeightsError when a model cannot.
    """
    chain = {**READERS, "chest_frontal": model, **(readers or {})}
    pipeline = _kept_pipeline(
        str(gate),
        str(kind),
        tuple((name, str(path)) for name, path in chain.items()),
        None if lungs is None else str(lungs),
        flatten,
    )
    if isinstance(image, Radiograph | Photo):
        return pipeline.diagnose(image, image.provenance.source or None, heat_maps)
    start = time.perf_counter()
    picture = read_image(image, at_least_px=_DECODE_AT_LEAST_PX)
    path = None if isinstance(image, bytes) else os.fspath(image)
    return pipeline.diagnose(picture, path, heat_maps, (time.perf_counter() - start) * 1000)


def diagnose_files(config: DiagnoseConfig, report: Report = silent) -> Iterator[Diagnosis]:
    """Read files, folders and patterns: one diagnosis a picture, in order, as soon as it is there.

    A picture that cannot be read gives a diagnosis with `ok` False. Memory does not grow with the number
    of pictures. The HTML report is whole when the iterator has ended. Raises WeightsError or UsageError
    before the first diagnosis.
    """
    readers = {**READERS, "chest_frontal": config.model, **config.readers}
    sources = _sources(config.paths)
    with ExitStack() as stack:
        writer = stack.enter_context(ReportWriter(config.report)) if config.report else None
        if config.heat_maps is not None:
            _make_folder(config.heat_maps)
        pipeline = load_pipeline(
            config.gate, config.kind, readers, lungs=config.lungs, flatten=config.flatten
        )

        def read(source: Path | Diagnosis) -> _Read:
            return _read(source, pipeline, config)

        for done, item in enumerate(_ahead(read, sources, config.jobs), start=1):
            if writer is not None:
                writer.add(item.diagnosis, item.case)
            report(Progress(done, len(sources)))
            yield item.diagnosis


@dataclass(frozen=True, eq=False)
class _Read:
    """A diagnosis, and its part of the report."""

    diagnosis: Diagnosis
    case: str = ""


def _read(source: Path | Diagnosis, pipeline: Pipeline, config: DiagnoseConfig) -> _Read:
    if isinstance(source, Diagnosis):
        return _Read(source, render_case(source, None) if config.report else "")
    shown = config.report is not None or config.heat_maps is not None
    start = time.perf_counter()
    try:
        image = read_image(source, at_least_px=_DECODE_AT_LEAST_PX)
    except ImageError as error:
        failed = Diagnosis.failed(str(source), str(error))
        return _Read(failed, render_case(failed, None) if config.report else "")
    diagnosis = pipeline.diagnose(image, str(source), shown, (time.perf_counter() - start) * 1000)
    picture = preview(image) if shown else None
    if config.heat_maps is not None and picture is not None:
        _write_overlays(config.heat_maps, diagnosis, picture)
    return _Read(diagnosis, render_case(diagnosis, picture) if config.report else "")


def _sources(paths: Iterable[str]) -> list[Path | Diagnosis]:
    """List the files that paths mean, each once; a folder or pattern without images is a failed diagnosis."""
    found: dict[Path | Diagnosis, None] = {}
    for path in paths:
        try:
            found.update(dict.fromkeys(find_images([path])))
        except UsageError as error:
            found[Diagnosis.failed(path, str(error))] = None
    return list(found)


def _ahead(function: Callable[[Given], Made], items: Iterable[Given], workers: int) -> Iterator[Made]:
    """Apply a function in threads, a few items ahead of the consumer, and give the results in order.

    While one thread waits for the networks, which use all cores, another decodes.
    """
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[Made]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made a folder ({error.strerror}); name another") from error


def _write_overlays(folder: Path, diagnosis: Diagnosis, picture: ByteArray) -> None:
    """Write a JPEG a finding: FOLDER/NAME-HASH/FINDING.jpg; the hash of the path keeps equal names apart."""
    if diagnosis.heat_maps is None or not diagnosis.heat_maps.maps:
        return
    path = diagnosis.path or ""
    mark = hashlib.sha256(os.fsencode(Path(path).absolute())).hexdigest()[:8]
    place = folder / f"{_slug(Path(path).stem)}-{mark}"
    height, width = picture.shape[:2]
    for name in diagnosis.heat_maps.maps:
        heat = diagnosis.heat_maps.on(name, height, width)
        write_image(place / f"{_slug(name)}.jpg", overlay(picture, heat), quality=90)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80] or "picture"


@lru_cache(maxsize=2)
def _kept_pipeline(
    gate: str, kind: str, readers: tuple[tuple[str, str], ...], lungs: str | None, flatten: bool
) -> Pipeline:
    return load_pipeline(gate, kind, dict(readers), lungs=lungs, flatten=flatten)
