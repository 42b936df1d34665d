"""Data: import a public collection, check a manifest and its files, split it, look at it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from radsnap.collections import import_collection
from radsnap.errors import RadsnapError, UnreadableImage
from radsnap.imaging import Bounds, Radiograph, archive, read_image, read_radiograph, to_photo, write_image
from radsnap.imaging.bounds import load_bytes
from radsnap.jobs.progress import Progress, Report, silent
from radsnap.seeds import stream
from radsnap.tables import Manifest, paths, read_manifest, split_by_patient, write_manifest

COUNTED = ("collection", "split", "body", "view", "domain", "origin")
CAPTION_PX = 34
GAP_PX = 4

ByteImage = NDArray[np.uint8]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ImportConfig(_Config):
    """What `radsnap data import` is told: a collection's name, its folder, and the manifest to write."""

    collection: str
    folder: Path
    output: Path


class CheckConfig(_Config):
    """What `radsnap data check` is told. decode: also decode every image, not only look for its file."""

    manifest: Path
    decode: bool = True
    workers: int = Field(default=2, ge=1, le=64)


class SplitConfig(_Config):
    """What `radsnap data split` is told. stratify: columns to spread alike; keep: splits left as they are."""

    manifest: Path
    output: Path
    train: float = Field(default=0.7, ge=0, le=1)
    val: float = Field(default=0.1, ge=0, le=1)
    test: float = Field(default=0.2, ge=0, le=1)
    seed: int = 0
    stratify: tuple[str, ...] | None = None
    keep: tuple[str, ...] = ()


class ShowConfig(_Config):
    """What `radsnap data show` is told. sheet: where the contact sheet goes; count: pictures on it."""

    manifest: Path
    sheet: Path | None = None
    count: int = Field(default=48, ge=1, le=400)
    tile_px: int = Field(default=160, ge=48, le=512)
    seed: int = 0


@dataclass(frozen=True)
class Failure:
    """A row that cannot be used, counted from 1 without the header, and why."""

    row: int
    image_id: str
    reason: str


@dataclass(frozen=True, eq=False)
class Overview:
    """What a manifest holds. counts: column → value → images; labels: one row a finding; missing: absent files."""

    images: int
    studies: int
    patients: int
    counts: dict[str, dict[str, int]]
    labels: pd.DataFrame
    missing: tuple[str, ...]


def import_data(config: ImportConfig) -> Manifest:
    """Read a collection and write its manifest; nothing is copied."""
    manifest = import_collection(config.collection, config.folder)
    write_manifest(manifest, config.output)
    return manifest


def split_data(config: SplitConfig) -> Manifest:
    """Make the splits of a manifest anew and write it."""
    shares = {name: getattr(config, name) for name in ("train", "val", "test") if name not in config.keep}
    manifest = split_by_patient(
        read_manifest(config.manifest), shares, config.seed, config.stratify, config.keep
    )
    write_manifest(manifest, config.output)
    return manifest


def check_data(config: CheckConfig, report: Report = silent) -> list[Failure]:
    """Validate a manifest, then look at each file: is it there, does it decode, is it in two splits?

    Raises ManifestError when the table itself is wrong; a file that fails is a Failure, and the rest goes on.
    """
    manifest = read_manifest(config.manifest)
    frame = manifest.frame
    masks = frame["mask"] if "mask" in frame.columns else pd.Series("", frame.index)
    rows = list(zip(paths(manifest), frame["domain"], masks, strict=True))
    names, splits = frame["image_id"].tolist(), frame["split"].tolist()
    failures: list[Failure] = []
    first: dict[bytes, int] = {}

    def look(row: tuple[Path, str, str]) -> tuple[str, bytes]:
        path, domain, mask = row
        masks = [manifest.root / name for name in mask.split("|") if name]
        return _look(path, domain == "digital", masks, config.decode)

    pool = ThreadPoolExecutor(config.workers)
    try:
        for at, (reason, digest) in enumerate(pool.map(look, rows)):
            other = first.setdefault(digest, at) if digest else at
            if not reason and splits[other] != splits[at]:
                reason = (
                    f"the same file as '{names[other]}', which is in '{splits[other]}', "
                    f"not '{splits[at]}'; leave one out"
                )
            if reason:
                failures.append(Failure(at + 1, names[at], reason))
            report(Progress(at + 1, len(rows), f"{len(failures)} failed"))
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupted check doesn't read the rest
    return failures


def _look(path: Path, digital: bool, masks: Sequence[Path], decode: bool) -> tuple[str, bytes]:
    """Say what is wrong with a row's files ("" when nothing is), and give the image's hash."""
    absent = next((file for file in (path, *masks) if not archive.holds(file)), None)
    if absent is not None:
        return f"{absent}: no such file", b""
    if not decode:
        return "", b""
    try:
        _read(path, digital)
        return "", hashlib.blake2b(load_bytes(path, Bounds(), None)[0]).digest()
    except (RadsnapError, OSError) as error:
        return str(error), b""


def show_data(config: ShowConfig) -> Overview:
    """Count what a manifest holds, look for its files, and draw a contact sheet where one is asked for."""
    manifest = read_manifest(config.manifest)
    frame = manifest.frame
    missing = tuple(str(path) for path in paths(manifest) if not archive.holds(path))
    if config.sheet is not None:
        write_image(config.sheet, contact_sheet(manifest, config.count, config.tile_px, config.seed))
    return Overview(
        images=len(frame),
        studies=frame["study_id"].nunique(),
        patients=frame["patient_id"].nunique(),
        counts={
            column: {str(k): int(n) for k, n in frame[column].value_counts().items()} for column in COUNTED
        },
        labels=label_table(manifest),
        missing=missing,
    )


def label_table(manifest: Manifest) -> pd.DataFrame:
    """Count the labels of each finding: positive, negative, uncertain, unknown."""
    table = manifest.frame[list(manifest.findings)]
    counts = {
        "positive": (table == 1).sum(),
        "negative": (table == 0).sum(),
        "uncertain": (table == -1).sum(),
        "unknown": table.isna().sum(),
    }
    return pd.DataFrame(counts, index=list(manifest.findings)).astype(int)


def contact_sheet(manifest: Manifest, count: int, tile_px: int, seed: int) -> ByteImage:
    """Draw some images of each body, split and collection in turn, with their names: uint8 (H, W, 3), RGB."""
    frame, files = manifest.frame, paths(manifest)
    chosen = _choose(frame, count, seed)
    columns = min(len(chosen), max(1, round((count * 1.6) ** 0.5)))
    high, wide = tile_px + CAPTION_PX + GAP_PX, tile_px + GAP_PX
    sheet = np.full(
        (-(-len(chosen) // columns) * high + GAP_PX, columns * wide + GAP_PX, 3), 24, dtype=np.uint8
    )
    for k, row in enumerate(chosen):
        y, x = k // columns * high + GAP_PX, k % columns * wide + GAP_PX
        one = frame.iloc[row]
        sheet[y : y + tile_px, x : x + tile_px] = _tile(files[row], one["domain"] == "digital", tile_px)
        second = " ".join(part for part in (one["body"], one["view"], one["split"]) if part)
        for line, text in enumerate((_tail(one["image_id"], tile_px), second)):
            _write(sheet, text, x + 1, y + tile_px + 13 + 15 * line, (225, 225, 225))
    return sheet


def _write(canvas: ByteImage, text: str, x: int, y: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.36, colour, 1, cv2.LINE_AA)


def _choose(frame: pd.DataFrame, count: int, seed: int) -> list[int]:
    """Pick rows at random, from each group in turn."""
    order = stream(seed, "contact sheet").permutation(len(frame))
    groups = frame.iloc[order].groupby(["collection", "body", "split"], sort=True)
    turn = groups.cumcount().reindex(range(len(frame))).to_numpy()
    group = groups.ngroup().reindex(range(len(frame))).to_numpy()
    picked = np.lexsort((group, turn))[:count]
    return [int(row) for row in picked[np.lexsort((turn[picked], group[picked]))]]


def _tail(text: str, tile_px: int) -> str:
    most = max(8, tile_px // 7)
    return text if len(text) <= most else "..." + text[-most + 3 :]


def _tile(path: Path, digital: bool, tile_px: int) -> ByteImage:
    """Fit an image into a square; one that cannot be read is a dark square that says so."""
    tile = np.full((tile_px, tile_px, 3), 0, dtype=np.uint8)
    try:
        pixels = _read(path, digital, tile_px)
    except (RadsnapError, OSError):
        tile[:] = (70, 16, 16)
        word = "unreadable" if archive.holds(path) else "no such file"
        _write(tile, word, 6, tile_px // 2, (255, 200, 200))
        return tile
    scale = tile_px / max(pixels.shape[:2])
    wide, high = (max(1, round(side * scale)) for side in (pixels.shape[1], pixels.shape[0]))
    small = cv2.resize(pixels, (wide, high), interpolation=cv2.INTER_AREA)
    y, x = (tile_px - high) // 2, (tile_px - wide) // 2
    tile[y : y + high, x : x + wide] = small
    return tile


def _read(path: Path, digital: bool, at_least_px: int | None = None) -> ByteImage:
    if not archive.holds(path):
        raise UnreadableImage(f"{path}: no such file")
    image = (
        read_radiograph(path, at_least_px=at_least_px)
        if digital
        else read_image(path, at_least_px=at_least_px)
    )
    return to_photo(image).pixels if isinstance(image, Radiograph) else image.pixels
