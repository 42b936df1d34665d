"""What a photograph run writes down: a journal while it runs, then tables of the photos and of the failures."""

from __future__ import annotations

import csv
import io
import json
import tempfile
import time
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from radsnap.errors import TableError, UsageError
from radsnap.findings import FINDINGS
from radsnap.jobs.photograph_source import XrayList
from radsnap.jobs.photograph_work import Failure
from radsnap.jobs.stores import WORKPLACE, Store
from radsnap.photo import camera_sees
from radsnap.tables import COLUMNS

MANIFEST, FAILURES = "manifest.csv", "failures.csv"
BLOCK = 1000
_OPEN_BLOCKS = 4
_FLUSH_S = 5.0
Record = dict[str, str]
_RECORDED = ("recipe", "corners_px", "homography")


class Journal:
    """Records of photos by their place in the list, kept in files of a thousand; memory holds the open ones.

    Each file is written whole, every few seconds. What a kill loses of it is worked out again from the photos
    that are there; the photos themselves are not made again.
    """

    def __init__(self, store: Store, name: str, total: int) -> None:
        self.store, self.folder, self.total = store, f"{WORKPLACE}/journal-{name}", total
        self.flags = bytearray(total)
        self.open: dict[int, dict[int, Record]] = {}
        self.dirty: set[int] = set()
        self.flushed = time.monotonic()

    def __len__(self) -> int:
        return self.total

    @property
    def count(self) -> int:
        """How many photos are recorded."""
        return self.flags.count(1)

    def has(self, position: int) -> bool:
        return bool(self.flags[position])

    def add(self, position: int, record: Record) -> None:
        """Record a photo; written soon."""
        block = position // BLOCK
        if block not in self.open:
            if len(self.open) == _OPEN_BLOCKS:
                self.flush()
                del self.open[min(self.open)]
            self.open[block] = self._read(block)
        self.open[block][position] = record
        self.flags[position] = 1
        self.dirty.add(block)
        full = len(self.open[block]) == min(BLOCK, self.total - block * BLOCK)
        if full or time.monotonic() - self.flushed > _FLUSH_S:
            self.flush()
        if full:
            del self.open[block]

    def flush(self) -> None:
        """Write the files that are behind."""
        for block in sorted(self.dirty):
            lines = [json.dumps([position, record]) for position, record in sorted(self.open[block].items())]
            self.store.write(self._name(block), "\n".join(lines).encode())
        self.dirty.clear()
        self.flushed = time.monotonic()

    def recover(self, targets: list[str]) -> int:
        """Take up what earlier runs recorded, of photos that are there still. Returns how many."""
        self._recall_finished(targets)
        there = [b for b in range(-(-self.total // BLOCK)) if self.store.exists(self._name(b))]
        for block in there:
            records = self._read(block)
            gone = self.store.missing(targets[position] for position in records)
            kept = {position: r for position, r in records.items() if targets[position] not in gone}
            for position in kept:
                self.flags[position] = 1
            if gone:
                self.open[block] = kept
                self.dirty.add(block)
        self.flush()
        self.open.clear()
        return self.count

    def blocks(self) -> Iterator[list[tuple[int, Record]]]:
        """Give all records in order, a thousand places at a time."""
        for block in range(-(-self.total // BLOCK)):
            records = self.open[block] if block in self.open else self._read(block)
            yield sorted(records.items())

    def _name(self, block: int) -> str:
        return f"{self.folder}/{block:06d}.jsonl"

    def _read(self, block: int) -> dict[int, Record]:
        data = self.store.read(self._name(block))
        rows = [json.loads(line) for line in data.splitlines()] if data else []
        return dict(rows)

    def _recall_finished(self, targets: list[str]) -> None:
        """Take records from the manifest of a run that ended, for places that the journal lacks."""
        data = self.store.read(MANIFEST)
        if data is None:
            return
        places = {target: position for position, target in enumerate(targets)}
        found: dict[int, dict[int, Record]] = {}
        for row in csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")):
            position = places.get(row["path"])
            if position is not None:
                record = {name: row[name] for name in _RECORDED}
                found.setdefault(position // BLOCK, {})[position] = record
        for block, records in found.items():
            self.open[block] = {**records, **self._read(block)}
            self.dirty.add(block)
        self.flush()
        self.open.clear()


def refuse_other_list(xrays: XrayList, targets: list[str], photos: Store) -> None:
    """Raise UsageError when the CSV of this list's name lists photos of another: writing it would drop them."""
    data = photos.read(xrays.name)
    if data is None:
        return
    mine = set(targets)
    listed = (row["Path"] for row in csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))
    other = next((path for path in listed if path.partition("/")[2] not in mine), None)
    if other is not None:
        raise UsageError(
            f"{photos.label}/{xrays.name} lists photos of another list of this name ({other}); rename this list, "
            "or give another folder"
        )


def write_tables(
    xrays: XrayList, targets: list[str], journal: Journal, photos: Store, recipe: str, seed: int, copies: int
) -> tuple[str, ...]:
    """Write the CSV in CheXphoto's columns and radsnap's manifest, a row a photo, in the source's order.

    Rows of other lists in the manifest stay. Returns the two names.
    """
    home = photos.label.rstrip("/").rpartition("/")[2]
    with tempfile.TemporaryDirectory() as folder:
        table, manifest = Path(folder, "table.csv"), Path(folder, "manifest.csv")
        with table.open("w", newline="") as t, manifest.open("w", newline="") as m:
            theirs = csv.DictWriter(t, list(xrays.table.columns), lineterminator="\n")
            theirs.writeheader()
            others, names = _other_rows(photos, set(targets), _manifest_columns(xrays))
            ours = csv.DictWriter(m, names, restval="", lineterminator="\n")
            ours.writeheader()
            ours.writerows(others)
            for block in journal.blocks():
                rows = sorted({position // copies for position, _ in block})
                given, labels = (
                    dict(zip(rows, frame.iloc[rows].to_dict("records"), strict=True))
                    for frame in (xrays.rows, xrays.table)
                )
                for position, record in block:
                    row, copy = divmod(position, copies)
                    theirs.writerow({**labels[row], "Path": f"{home}/{targets[position]}"})  # type: ignore[dict-item]
                    fields = {**_fields(given[row], targets[position]), **record}
                    ours.writerow({**fields, "domain": camera_sees(recipe), "seed": seed, "copy": copy})
        photos.adopt(table, xrays.name)
        photos.adopt(manifest, MANIFEST)
    return xrays.name, MANIFEST


def _manifest_columns(xrays: XrayList) -> list[str]:
    findings = [name for name in FINDINGS if name in xrays.rows.columns]
    kept = [name for name in ("sex", "age") if name in xrays.rows.columns]
    photo = ["source_image_id", "recipe", "corners_px"]
    return [*COLUMNS, *photo, *findings, *kept, "homography", "seed", "copy"]


def _other_rows(photos: Store, mine: set[str], columns: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
    """Give the manifest's rows of other lists, and the columns of both."""
    data = photos.read(MANIFEST)
    if data is None:
        return [], columns
    reader = csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""))
    if reader.fieldnames is None or "path" not in reader.fieldnames:
        raise TableError(f"{photos.label}/{MANIFEST} is no manifest of radsnap's; give a new folder")
    others = [row for row in reader if row["path"] not in mine]
    further = [name for name in reader.fieldnames if name not in columns] if others else []
    return others, [*columns, *further]


def _fields(given: Mapping[Hashable, Any], target: str) -> dict[str, Any]:
    """Turn an x-ray's row into its photo's; marks and masks of the x-ray do not fit the photo and stay behind."""
    fields: dict[str, Any] = {name: given[name] for name in (*COLUMNS, "sex", "age") if name in given}
    for name in FINDINGS:
        if name in given:
            fields[name] = "" if pd.isna(given[name]) else f"{given[name]:g}"
    source = {"source_image_id": given["image_id"], "origin": "synthetic"}
    return {**fields, **source, "image_id": target.removesuffix(".jpg"), "path": target}


def write_failures(failures: list[Failure], photos: Store) -> None:
    """Write failures.csv; without a failure there is none."""
    if not failures:
        photos.remove(FAILURES)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "image_id", "reason"])
    writer.writerows([failure.file, failure.image_id, failure.reason] for failure in failures)
    photos.write(FAILURES, text.getvalue().encode("utf-8", "replace"))
