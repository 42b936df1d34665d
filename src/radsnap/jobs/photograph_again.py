"""Make one photo of a finished run again from its row in the manifest, bit for bit."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from radsnap.errors import ManifestError, UsageError
from radsnap.imaging import Bounds, encode_jpeg, read_radiograph
from radsnap.jobs.photograph import SETTINGS
from radsnap.jobs.photograph_record import MANIFEST
from radsnap.jobs.photograph_source import list_xrays
from radsnap.jobs.photograph_work import with_effects
from radsnap.jobs.stores import Store, open_store
from radsnap.photo import Recipe, apply_recipe
from radsnap.photo.shutter import grey_or_colour


@dataclass(frozen=True)
class Again:
    """A photo made again. same: whether the file in the folder has the same bytes; None when there is none."""

    name: str
    data: bytes
    same: bool | None


def photograph_again(
    source: str, output: str, row: str, root: str | None = None, effects: tuple[Path, ...] = ()
) -> Again:
    """Replay a row of a run's manifest: its number from 1, its image_id, or its path.

    source: the x-rays of that run; output: its folder. A photo that is gone from the folder is put there again.
    """
    with_effects(tuple(str(path.absolute()) for path in effects))
    photos = open_store(output)
    given = _row(photos, row)
    xrays = list_xrays(source, root)
    found = xrays.rows.loc[xrays.rows["image_id"] == given["source_image_id"], "path"]
    if not len(found):
        raise ManifestError(
            f"{source} has no x-ray '{given['source_image_id']}', of which this photo was made"
        )
    name = str(found.iloc[0])
    pixels = grey_or_colour(read_radiograph(xrays.store.image(name, Bounds()), name=name))
    picture, _ = apply_recipe(pixels, Recipe.from_json(given["recipe"]))
    data = encode_jpeg(picture, _quality(photos))
    there = photos.read(given["path"])
    if there is None:
        photos.write(given["path"], data)
    return Again(given["path"], data, None if there is None else there == data)


def _row(photos: Store, wanted: str) -> dict[str, str]:
    data = photos.read(MANIFEST)
    if data is None:
        raise UsageError(f"{photos.label} has no {MANIFEST}; name the folder of a finished run")
    rows = csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""))
    for number, row in enumerate(rows, start=1):
        if wanted in (str(number), row.get("image_id"), row.get("path")):
            if ".." in row["path"].split("/") or row["path"].startswith("/"):
                raise ManifestError(f"{MANIFEST}: row {number}, column 'path' leads out of the folder")
            return row
    raise UsageError(f"{photos.label}/{MANIFEST} has no row '{wanted}'; give a number from 1, or an image_id")


def _quality(photos: Store) -> int:
    try:
        return int(json.loads(photos.read(SETTINGS) or b"")["quality"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{photos.label}/{SETTINGS} is missing or broken; it tells the JPEG quality"
        ) from error
