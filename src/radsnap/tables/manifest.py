"""The manifest: one row an image. Every collection writes it, every job reads it."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radsnap.errors import ManifestError
from radsnap.findings import FINDINGS, known
from radsnap.tables.labels import parse_labels
from radsnap.tables.storage import as_text, read_text, write_table

REQUIRED = ("image_id", "study_id", "patient_id", "path")
COLUMNS = (*REQUIRED, "view", "body", "domain", "origin", "collection", "split")
PHOTO_COLUMNS = ("source_image_id", "recipe", "corners_px")
# further columns with paths, which move with the images
_MASKS = ("mask", "heart_mask")
ALLOWED = {
    "domain": ("", "digital", "screen", "film"),
    "origin": ("", "real", "synthetic"),
    "split": ("", "train", "val", "test"),
}
SPLITS = ("train", "val", "test")

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Manifest:
    """A table of images and the folder that its paths start from.

    frame: text columns ("" is blank), finding columns float32 with 1, 0, -1 (uncertain) and NaN (unknown).
    root: the folder under which every `path` lies.
    """

    frame: pd.DataFrame
    root: Path

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def findings(self) -> tuple[str, ...]:
        """The finding columns that the table has, in the vocabulary's order."""
        return tuple(name for name in FINDINGS if name in self.frame.columns)

    def where(self, **wanted: str | Iterable[str]) -> Manifest:
        """Keep the rows whose columns have the wanted values: `where(split="train", body=("hand", "knee"))`."""
        keep = np.ones(len(self), dtype=bool)
        for column, values in wanted.items():
            _need_columns(self.frame, [column])
            allowed = [values] if isinstance(values, str) else list(values)
            keep &= self.frame[column].isin(allowed).to_numpy()
        return self.rows(keep)

    def rows(self, keep: Mask) -> Manifest:
        """Keep the rows of a boolean mask (N,)."""
        return Manifest(self.frame[keep].reset_index(drop=True), self.root)

    def validate(self) -> Manifest:
        """Check every row and column. Raises ManifestError naming row, column and what to do; returns itself.

        Rows are counted from 1, without the header.
        """
        _check_columns(self.frame)
        _check_ids(self.frame)
        _check_paths(self.frame)
        _check_values(self.frame)
        _check_nesting(self.frame)
        _check_photos(self.frame)
        return self


def build_manifest(frame: pd.DataFrame, root: Path) -> Manifest:
    """Make a valid manifest from columns at hand: contract columns that are absent become blank.

    Finding columns may hold numbers or text; columns get their order: contract, photos, findings, others.
    """
    columns = {str(name): frame[name] for name in frame.columns}
    for name in COLUMNS:
        if name not in columns and name not in REQUIRED:
            columns[name] = pd.Series("", index=frame.index, dtype=str)
    for name in columns:
        if name in FINDINGS:
            columns[name] = pd.Series(parse_labels(columns[name], name), index=frame.index)
        else:
            columns[name] = as_text(columns[name])
    order = [name for name in (*COLUMNS, *PHOTO_COLUMNS, *FINDINGS) if name in columns]
    order += [name for name in columns if name not in order]
    table = pd.DataFrame({name: columns[name] for name in order})
    return Manifest(table.reset_index(drop=True), root).validate()


def read_manifest(path: str | Path, root: str | Path | None = None) -> Manifest:
    """Read and validate a manifest (CSV or Parquet).

    root: the folder of the images; by default what the table's column `root` says, else the table's folder.
    Finding columns in other spellings ("Effusion") are renamed. Raises ManifestError.
    """
    path = Path(path)
    frame = read_text(path, ManifestError)
    frame, stored = _take_root(frame, path)
    names = [known(name) or name for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            twice = [column for column in frame.columns if known(column) == name]
            raise ManifestError(f"{path}: columns {twice} are all the finding '{name}'; keep one")
    frame.columns = pd.Index(names)
    try:
        return build_manifest(frame, Path(root) if root is not None else stored)
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error


def _take_root(frame: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, Path]:
    if "root" not in frame.columns:
        return frame, path.parent
    values = frame["root"].unique()
    if len(values) > 1:
        raise ManifestError(
            f"{path}: column 'root' has {len(values)} values; it names one folder for all rows"
        )
    stored = Path(str(values[0])) if len(values) else path.parent
    return frame.drop(columns="root"), path.parent / stored


def write_manifest(manifest: Manifest, path: str | Path) -> None:
    """Write a manifest (CSV or Parquet, by the suffix), whole or not at all; the same table, the same bytes.

    Paths are made relative to the file's own folder when the images lie under it, so that table and images
    can move together; otherwise a column `root` keeps the images' folder.
    """
    path = Path(path)
    manifest.validate()
    frame = manifest.frame.copy()
    here, root = path.parent.resolve(), manifest.root.resolve()
    if root.is_relative_to(here):
        prefix = root.relative_to(here).as_posix()
        frame = _moved(frame, prefix)
    else:
        frame["root"] = str(root)
    for name in manifest.findings:
        frame[name] = frame[name].map({1.0: "1", 0.0: "0", -1.0: "-1"}).fillna("")
    write_table(frame, path)


def combine(*manifests: Manifest) -> Manifest:
    """Put manifests under one another; the root becomes the folder that holds all of theirs.

    Findings that one of them lacks are unknown there, other columns blank.
    """
    root = Path(os.path.commonpath([str(manifest.root.resolve()) for manifest in manifests]))
    frames = []
    for manifest in manifests:
        frame = manifest.frame.copy()
        frames.append(_moved(frame, manifest.root.resolve().relative_to(root).as_posix()))
    return build_manifest(pd.concat(frames, ignore_index=True), root)


def _moved(frame: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Write a folder before all paths; a mask's column names no file, one, or several with "|" between them."""
    if prefix != ".":
        frame["path"] = prefix + "/" + frame["path"]
        for column in _masks_in(frame):
            moved = prefix + "/" + frame[column].str.replace("|", f"|{prefix}/", regex=False)
            frame[column] = moved.where(frame[column] != "", "")
    return frame


def _masks_in(frame: pd.DataFrame) -> list[str]:
    return [column for column in _MASKS if column in frame.columns]


def paths(manifest: Manifest) -> list[Path]:
    """Give the image files in the table's order."""
    return [manifest.root / name for name in manifest.frame["path"]]


def _need_columns(frame: pd.DataFrame, names: Iterable[str]) -> None:
    for name in names:
        if name not in frame.columns:
            near = difflib.get_close_matches(name, [str(column) for column in frame.columns], 1, 0.6)
            hint = f"; is it '{near[0]}'? then rename that" if near else ""
            raise ManifestError(f"column '{name}' is missing{hint}; the columns are {_listed(frame.columns)}")


def _check_columns(frame: pd.DataFrame) -> None:
    _need_columns(frame, REQUIRED)
    _need_columns(frame, COLUMNS)
    for column in map(str, frame.columns):
        name = known(column)
        if name is not None and name != column:
            raise ManifestError(f"column '{column}' is the finding '{name}'; rename the column")
        near = difflib.get_close_matches(column.lower().replace("_", " "), _LOWER_FINDINGS, 1, 0.85)
        # short names ("masks" beside "Mass") are near to everything
        if name is None and near and len(column) >= 6:
            right = _LOWER_FINDINGS[near[0]]
            raise ManifestError(
                f"column '{column}' is not a finding that radsnap knows, but nearly '{right}'; "
                "rename it to that, or to something less like it"
            )


_LOWER_FINDINGS = {name.lower(): name for name in FINDINGS}


_WHITE = re.compile(r"[\s\x00-\x1f\x7f]")


def _check_ids(frame: pd.DataFrame) -> None:
    for column in ("image_id", "study_id", "patient_id"):
        _refuse(frame, column, frame[column] == "", "is blank; every image needs one")
        if _WHITE.search(
            "".join(frame[column].to_numpy(dtype=object))
        ):  # one search is much faster than one a row
            spaced = frame[column].str.contains(r"^\s|\s$|[\x00-\x1f\x7f]", regex=True)
            _refuse(frame, column, spaced, "has {value!r}: white space around it, or a control character")
    double = frame["image_id"].duplicated()
    if double.any():
        row = int(double.to_numpy().argmax())
        name = frame["image_id"].iloc[row]
        first = int((frame["image_id"] == name).to_numpy().argmax())
        raise ManifestError(
            f"row {row + 1}, column 'image_id': '{name}' stands in row {first + 1} already "
            f"({int(double.sum())} doubles in all); give every image its own"
        )


_BAD_PATHS = (
    (r"^\s*$", "is blank; give the file's path from the root folder"),
    (r"^(?:[/~]|[A-Za-z]:)", "has {value!r}, an absolute path; give it from the root folder"),
    (r"\\", "has {value!r}; write folders with '/'"),
    (r"(?:^|/)\.\.(?:/|$)", "has {value!r}; '..' may lead out of the root folder and is refused"),
    (r"[\r\n\t\f\v]", "has {value!r}, with a control character in it"),
)


def _check_paths(frame: pd.DataFrame) -> None:
    for pattern, problem in _BAD_PATHS:
        _refuse(frame, "path", frame["path"].str.contains(pattern, regex=True), problem)
    for column in _masks_in(frame):
        masks = frame[column][frame[column] != ""].str.split("|").explode()
        for pattern, problem in _BAD_PATHS:
            bad = masks.index[masks.str.contains(pattern, regex=True)]
            _refuse(frame, column, pd.Series(frame.index.isin(bad)), problem)


def _check_values(frame: pd.DataFrame) -> None:
    for column, allowed in ALLOWED.items():
        words = ", ".join(allowed[1:])
        _refuse(
            frame, column, ~frame[column].isin(allowed), f"has {{value!r}}; write {words} or leave it blank"
        )
    for column in FINDINGS:
        if column in frame.columns:
            parse_labels(frame[column], column)


def _check_nesting(frame: pd.DataFrame) -> None:
    pairs = frame[["study_id", "patient_id"]].drop_duplicates()
    double = pairs["study_id"].duplicated(keep=False)
    if double.any():
        study = pairs.loc[double, "study_id"].iloc[0]
        of = sorted(pairs.loc[pairs["study_id"] == study, "patient_id"])
        raise ManifestError(
            f"column 'study_id': study '{study}' belongs to the patients {_listed(of)}; a study has one patient, "
            "so write the patient into the study's id"
        )
    placed = frame.loc[frame["split"] != "", ["patient_id", "split"]].drop_duplicates()
    double = placed["patient_id"].duplicated(keep=False)
    if double.any():
        patient = placed.loc[double, "patient_id"].iloc[0]
        splits = set(placed.loc[placed["patient_id"] == patient, "split"])
        count = placed.loc[double, "patient_id"].nunique()
        raise ManifestError(
            f"column 'split': patient '{patient}' is in {' and '.join(s for s in SPLITS if s in splits)} "
            f"({count} such patients); make the split again with 'radsnap data split'"
        )


def _check_photos(frame: pd.DataFrame) -> None:
    for column, check in (("recipe", _is_json), ("corners_px", _is_corners)):
        if column in frame.columns:
            good = frame[column].map({text: text == "" or check(text) for text in frame[column].unique()})
            what = "JSON" if column == "recipe" else "JSON of four corners [[x, y], ...]"
            _refuse(frame, column, ~good.astype(bool), f"has {{value!r}}, which is not {what}")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_corners(text: str) -> bool:
    if not _is_json(text):
        return False
    corners = json.loads(text)
    return (
        isinstance(corners, list)
        and len(corners) == 4
        and all(isinstance(point, list) and len(point) == 2 for point in corners)
        # compared, not converted: JSON may hold whole numbers that no float can
        and all(type(x) in (int, float) and abs(x) <= sys.float_info.max for point in corners for x in point)
    )


def _refuse(frame: pd.DataFrame, column: str, bad: pd.Series, problem: str) -> None:
    """Raise for the first bad row; `problem` may use {value!r}."""
    if not bad.any():
        return
    row = int(bad.to_numpy().argmax())
    count = f" ({int(bad.sum())} rows like it)" if bad.sum() > 1 else ""
    value = str(frame[column].iloc[row])[:120]
    raise ManifestError(f"row {row + 1}, column '{column}' {problem.format(value=value)}{count}")


def _listed(names: Iterable[object], most: int = 12) -> str:
    words = [str(name) for name in names]
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
