"""Predictions: one row an image or study, one column a finding with any real number."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radsnap.errors import PredictionsError, UsageError
from radsnap.findings import FINDINGS, known
from radsnap.tables.manifest import Manifest
from radsnap.tables.storage import read_text, write_table

Key = Literal["image", "study"]
FloatArray = NDArray[np.float64]

# the column that names the rows, by rank: an image says more than its study
KEYS: dict[str, Key] = {"image_id": "image", "path": "image", "study_id": "study", "study": "study"}
_STUDY = re.compile(r"(?:^|/)(patient\d+/study\d+)(/[^/]+?)?(?:\.\w+)?/?$")


@dataclass(frozen=True, eq=False)
class Predictions:
    """Scores by id. frame: index of ids (str), one float64 column a finding; key: what an id names; name: whose."""

    frame: pd.DataFrame
    key: Key
    name: str = ""

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def findings(self) -> tuple[str, ...]:
        """The columns, in the table's order."""
        return tuple(map(str, self.frame.columns))


def read_predictions(
    path: str | Path, findings: Sequence[str] | None = None, *, blank: Literal["refuse", "unknown"] = "refuse"
) -> Predictions:
    """Read predictions, decisions, readers or truth (CSV or Parquet) whose rows are named by `Study`, `Path`,
    `image_id` or `study_id`.

    findings: the columns to take, by name and in this order; by default all of the vocabulary's that are
    there. Other columns are left alone. blank: whether a blank cell is an error, or unknown (NaN), as in
    truth. A CheXpert path becomes its study and view, without data set, split and suffix:
    "CheXpert-v1.0/test/patient1/study1" is "patient1/study1". Raises PredictionsError naming row (from 1,
    without the header) and column.
    """
    path = Path(path)
    table = read_text(path, PredictionsError)
    column, key = _key_column(table, path)
    ids = _ids(table[column], column, path)
    taken = _finding_columns(table, findings, path)
    scores = {name: _numbers(table[source], source, path, blank) for name, source in taken.items()}
    name = re.sub(r"_(predictions|decisions)$", "", path.stem)
    if ids.str.fullmatch(r"patient\d+/study\d+").all():
        key = "study"
    return Predictions(pd.DataFrame(scores, index=pd.Index(ids, name=key)), key, name)


def write_predictions(predictions: Predictions, path: str | Path, beside: pd.DataFrame | None = None) -> None:
    """Write predictions (CSV or Parquet), whole or not at all; numbers come back bit for bit.

    beside: further columns, of the same rows. Raises PredictionsError where a column of both has one name.
    """
    frame = predictions.frame
    bad = ~np.isfinite(frame.to_numpy(dtype=np.float64))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise PredictionsError(
            f"'{frame.index[row]}' has {frame.iloc[row, column]} for '{frame.columns[column]}'; "
            "a prediction is a finite number"
        )
    if beside is not None:
        twice = sorted(set(beside.columns) & set(frame.columns))
        if twice:
            raise PredictionsError(
                f"'{twice[0]}' is a finding and a column beside the findings; rename the finding"
            )
        frame = frame.join(beside)
    write_table(frame.rename_axis(f"{predictions.key}_id").reset_index(), Path(path))


def align(predictions: Predictions, ids: Sequence[str]) -> FloatArray:
    """Give the scores (N, K) of these ids in this order. Raises PredictionsError with the count and first ids missing."""
    places = predictions.frame.index.get_indexer(pd.Index(ids))
    missing = [one for one, place in zip(ids, places, strict=True) if place < 0]
    if missing:
        raise PredictionsError(
            f"{predictions.name or 'predictions'}: {len(missing)} of {len(ids)} {_plural(predictions.key)} are missing "
            f"({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}); predict them, or leave them out of the truth"
        )
    return predictions.frame.to_numpy(dtype=np.float64)[places]


def by_study(
    predictions: Predictions, how: Literal["max", "mean"], manifest: Manifest | None = None
) -> Predictions:
    """Combine the images of a study by the stated rule; predictions by study stay as they are.

    The study is read from a CheXpert path, else looked up in the manifest by image_id.
    """
    if how not in ("max", "mean"):
        raise UsageError(f"images of a study are combined by 'max' or 'mean', got '{how}'")
    if predictions.key == "study":
        return predictions
    ids = predictions.frame.index.to_series()
    if manifest is not None:
        studies = ids.map(manifest.frame.set_index("image_id")["study_id"])
    else:
        studies = ids.str.extract(r"(patient\d+/study\d+)/[^/]+$")[0]
    if studies.isna().any():
        lost = ids[studies.isna()]
        raise PredictionsError(
            f"{predictions.name or 'predictions'}: the study of {len(lost)} images is unknown ({', '.join(lost[:3])}); "
            "give the manifest that they were made from"
        )
    groups = predictions.frame.groupby(studies.to_numpy(), sort=False)
    frame = groups.max() if how == "max" else groups.mean()
    return Predictions(frame.rename_axis("study"), "study", predictions.name)


def _key_column(table: pd.DataFrame, path: Path) -> tuple[str, Key]:
    lower = {str(column).lower(): str(column) for column in table.columns}
    for name, key in KEYS.items():
        if name in lower:
            return lower[name], key
    raise PredictionsError(
        f"{path}: no column names the rows; expected Study, Path, image_id or study_id, found "
        f"{', '.join(map(str, table.columns[:20]))}"
    )


def _ids(column: pd.Series, name: str, path: Path) -> pd.Series:
    given = column.str.strip()
    if (given == "").any():
        row = int((given == "").to_numpy().argmax())
        raise PredictionsError(f"{path}: row {row + 1}, column '{name}' is blank; every row needs its id")
    ids = given if name.lower() == "image_id" else given.map(_plain_id)
    double = ids.duplicated()
    if double.any():
        row = int(double.to_numpy().argmax())
        first = int((ids == ids.iloc[row]).to_numpy().argmax())
        same = "" if given.iloc[row] == given.iloc[first] else f", written '{given.iloc[first]}'"
        raise PredictionsError(
            f"{path}: row {row + 1}, column '{name}': '{given.iloc[row]}' stands in row {first + 1} already{same} "
            f"({int(double.sum())} doubles in all); keep one row each"
        )
    return ids


def _plain_id(text: str) -> str:
    """Leave a CheXpert path's data set, split and suffix out, since they differ between files of one study."""
    match = _STUDY.search(text)
    return match[1] + (match[2] or "") if match else text


def _finding_columns(table: pd.DataFrame, findings: Sequence[str] | None, path: Path) -> dict[str, str]:
    """Map each finding to the column that holds it."""
    there: dict[str, str] = {}
    for column in map(str, table.columns):
        name = known(column) or column
        if name in there and (findings is None or name in findings) and name in FINDINGS:
            raise PredictionsError(
                f"{path}: columns '{there[name]}' and '{column}' are both '{name}'; keep one"
            )
        there.setdefault(name, column)
    wanted = [name for name in there if name in FINDINGS] if findings is None else list(findings)
    if not wanted:
        raise PredictionsError(
            f"{path}: no column is a finding; found {', '.join(map(str, table.columns[:20]))}; name columns such as "
            "'Edema' or 'Pleural Effusion'"
        )
    for name in wanted:
        if name not in there:
            near = difflib.get_close_matches(name, there, 1, 0.7)
            hint = f"; is it '{there[near[0]]}'? then rename that" if near else ""
            raise PredictionsError(f"{path}: column '{name}' is missing{hint}")
    return {name: there[name] for name in wanted}


def _numbers(column: pd.Series, name: str, path: Path, blank: str) -> FloatArray:
    values = pd.to_numeric(column.str.strip(), errors="coerce").to_numpy(dtype=np.float64)
    empty = (column.str.strip() == "").to_numpy()
    bad = ~np.isfinite(values) & ~(empty if blank == "unknown" else np.zeros_like(empty))
    if bad.any():
        row = int(bad.argmax())
        got = "is blank" if empty[row] else f"has '{column.iloc[row]}'"
        more = f" ({int(bad.sum())} rows like it)" if bad.sum() > 1 else ""
        raise PredictionsError(
            f"{path}: row {row + 1}, column '{name}' {got}; write a finite number for every row{more}"
        )
    return np.asarray(values)


def _plural(key: Key) -> str:
    return "images" if key == "image" else "studies"
