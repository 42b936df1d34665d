"""The files of a benchmark, joined: columns by name, studies by id."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radsnap.errors import PredictionsError, UsageError
from radsnap.findings import FINDINGS, known
from radsnap.tables.predictions import Predictions, by_study, read_predictions
from radsnap.tables.storage import SUFFIXES, read_text

Floats = NDArray[np.float64]
Views = Literal["max", "mean"]
Uncertain = Literal["ones", "zeros", "ignore"]
DIGITAL = "digital"
# A column of predictions that says how far each row may be trusted, by rank.
CONFIDENCE = ("confidence", "quality")
_PATIENT = re.compile(r"^(patient\d+)/study")


@dataclass(frozen=True, eq=False)
class Table:
    """One file on the studies of the truth. values: (n, K), NaN where it has none; missing: reason per finding."""

    name: str
    values: Floats
    missing: tuple[str, ...]
    extra: Predictions  # all its rows: validation studies may be among them
    combined: bool = False  # from images to studies
    confidence: Floats | None = None  # (n,), higher is surer, NaN where a study has none


@dataclass(frozen=True, eq=False)
class Inputs:
    """Everything that a benchmark reads. scores and decisions: arm → model → table."""

    ids: tuple[str, ...]
    findings: tuple[str, ...]
    truth: Floats
    clusters: NDArray[Any]
    unit: str
    scores: dict[str, dict[str, Table]]
    decisions: dict[str, dict[str, Table]]
    readers: dict[str, Table]
    warnings: list[str] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """The models in the order in which they were given."""
        tables = [*self.scores.values(), *self.decisions.values()]
        return list(dict.fromkeys(name for arm in tables for name in arm))

    def by_patient(self, marks: Floats) -> Floats:
        """Gather a mark (1, 0, NaN) per study on each patient's first study that has one: 1 if any study has 1."""
        made = np.full(len(marks), np.nan)
        if self.unit != "patients":
            return marks.copy()
        _, patient = np.unique(self.clusters, return_inverse=True)
        known = np.flatnonzero(~np.isnan(marks))
        _, first = np.unique(patient[known], return_index=True)
        highest = np.zeros(int(patient.max()) + 1)
        np.maximum.at(highest, patient[known], marks[known])
        rows = known[first]
        made[rows] = highest[patient[rows]]
        return made

    @property
    def combined(self) -> list[str]:
        """The files whose images were combined to studies, as domain and name."""
        groups = {**self.scores, "readers": self.readers}
        return [
            f"{arm} {name}" for arm, tables in groups.items() for name, one in tables.items() if one.combined
        ]

    @property
    def arms(self) -> list[str]:
        """The domains, digital first."""
        found = dict.fromkeys([*self.scores, *self.decisions])
        return sorted(found, key=lambda arm: arm != DIGITAL)


def unfolded(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Put for each folder the predictions in it, by name: tables that no job named decisions or failures."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        inside = [one for one in sorted(path.iterdir()) if one.name.endswith((*SUFFIXES, ".csv.gz"))]
        kept = [one for one in inside if not one.name.split(".")[0].endswith(("_decisions", "_failures"))]
        if not kept:
            raise UsageError(f"{path}: no predictions (.csv, .csv.gz or .parquet) in this folder")
        found += kept
    return tuple(found)


def sha256_of(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def choose_findings(
    truth: Path, models: Iterable[Path], asked: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Choose the findings: those asked for, else those that truth and every model's file have.

    Returns them in the truth's order, and a warning for each that some models' files lack.
    """
    if asked:
        return tuple(dict.fromkeys(known(name) or name for name in asked)), []
    held = {path: _findings_of(path) for path in models}
    there = _findings_of(truth)
    chosen = tuple(name for name in there if all(name in names for names in held.values()))
    if not chosen:
        path = next((path for path, names in held.items() if not set(names) & set(there)), truth)
        raise PredictionsError(
            f"{path}: no finding is in the truth and in every model's file; truth has "
            f"{', '.join(there) or 'none'}, this file {', '.join(held.get(path, ())) or 'none'}"
        )
    warnings = []
    for name in there:
        lacking = [str(path) for path, names in held.items() if name not in names]
        if lacking and len(lacking) < len(held):
            warnings.append(f"{name} is left out: no such column in {some(lacking)}")
    return chosen, warnings


def _findings_of(path: Path) -> tuple[str, ...]:
    names = [known(name) for name in _columns(path)]
    return tuple(dict.fromkeys(name for name in names if name in FINDINGS))


def _columns(path: Path) -> tuple[str, ...]:
    state = path.stat() if path.is_file() else None
    return _columns_of(path, (state.st_mtime_ns, state.st_size) if state else None)


@lru_cache(maxsize=1024)
def _columns_of(path: Path, state: tuple[int, int] | None) -> tuple[str, ...]:
    """Read a file's header once for each state of the file."""
    return tuple(map(str, read_text(path, PredictionsError).columns))


def remark_straightened(
    files: dict[str, tuple[Path, ...]], plain: Iterable[str], warnings: list[str]
) -> None:
    """Warn of files of plain arms whose photos were straightened, as a column `flatten` says."""
    for arm in plain:
        for path in files[arm]:
            if "flatten" in _columns(path):
                warnings.append(f"{path} ({arm}) was predicted with --flatten; give it by --flattened")


def some(names: Sequence[str], most: int = 3) -> str:
    """List the first few names."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def read_truth(path: Path, findings: Sequence[str], uncertain: Uncertain | None) -> Predictions:
    """Read the truth: 1, 0, blank (unknown) and, with a policy, -1 (uncertain)."""
    table = read_predictions(path, findings, blank="unknown")
    values = table.frame.to_numpy(dtype=np.float64).copy()
    doubtful = values == -1
    if doubtful.any() and uncertain is None:
        row, column = np.argwhere(doubtful)[0]
        raise PredictionsError(
            f"{path}: '{table.frame.index[row]}' is uncertain (-1) for '{findings[column]}' "
            f"({int(doubtful.sum())} in all); say what that means by --uncertain ones, zeros or ignore"
        )
    if uncertain is not None:
        values[doubtful] = {"ones": 1.0, "zeros": 0.0, "ignore": np.nan}[uncertain]
    _refuse_other_than_binary(values, table, path, "truth")
    return Predictions(pd.DataFrame(values, table.frame.index, table.frame.columns), table.key, table.name)


def _refuse_other_than_binary(values: Floats, table: Predictions, path: Path, what: str) -> None:
    wrong = ~np.isnan(values) & (values != 0) & (values != 1)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise PredictionsError(
            f"{path}: '{table.frame.index[row]}' has {values[row, column]:g} for "
            f"'{table.frame.columns[column]}'; {what} is 0 or 1"
        )


def truth_by_study(truth: Predictions, path: Path) -> Predictions:
    """Make one row a study from one row an image. Raises when images of a study disagree."""
    low, high = (
        by_study(Predictions(truth.frame * sign, truth.key, truth.name), "max").frame for sign in (-1, 1)
    )
    split = (-low != high) & high.notna()
    if split.to_numpy().any():
        row, column = np.argwhere(split.to_numpy())[0]
        raise PredictionsError(
            f"{path}: the images of '{high.index[row]}' disagree about '{high.columns[column]}'; "
            "truth is one value a study"
        )
    return Predictions(high, "study", truth.name)


def patients_of(truth: Predictions, path: Path) -> tuple[NDArray[Any], str]:
    """Say which patient each study is of: a column patient_id, else the id itself; else each is its own."""
    table = read_text(path, PredictionsError)
    columns = {str(name).lower(): name for name in table.columns}
    if "patient_id" in columns and len(table) == len(truth):
        patients = table[columns["patient_id"]].to_numpy(dtype=str)
        blank = patients == ""
        if blank.any():
            raise PredictionsError(f"{path}: row {int(blank.argmax()) + 1}, column 'patient_id' is blank")
        return patients, "patients"
    found = [_PATIENT.match(str(one)) for one in truth.frame.index]
    matched = [match[1] for match in found if match]
    if matched and len(matched) == len(found):
        return np.array(matched), "patients"
    return np.arange(len(truth)), "studies"


@dataclass(frozen=True)
class Join:
    """How every file is laid on the studies of the truth."""

    ids: tuple[str, ...]
    key: Literal["image", "study"]
    findings: tuple[str, ...]
    views: Views

    def read(self, path: Path, warnings: list[str], *, binary: str = "") -> Table:
        """Read one file. binary: what it holds ('decisions') when only 0 and 1 are allowed."""
        held = {*_findings_of(path), *_columns(path)}
        there = [name for name in self.findings if name in held]
        absent = [name for name in self.findings if name not in held]
        if absent and not binary:
            raise PredictionsError(
                f"{path}: column '{absent[0]}' is missing; add it, or leave that finding out by --findings"
            )
        if not there:
            raise PredictionsError(f"{path}: none of the findings {', '.join(self.findings)} is a column")
        table = read_predictions(path, there)
        if binary:
            _refuse_other_than_binary(table.frame.to_numpy(dtype=np.float64), table, path, f"a {binary}")
        images = table.key != self.key
        table = self._same_key(table, path)
        frame = table.frame.reindex(list(self.ids))
        self._remark_gaps(frame, table, path, warnings)
        if absent:
            warnings.append(f"{path} has no column {some(absent)}; it is not measured there")
        missing = tuple(f"no column '{f}' in {path.name}" if f in absent else "" for f in self.findings)
        values = frame.reindex(columns=list(self.findings)).to_numpy(dtype=np.float64)
        confidence = None if binary else self._confidence(path, warnings)
        return Table(table.name, values, missing, table, images, confidence)

    def _confidence(self, path: Path, warnings: list[str]) -> Floats | None:
        """Read a column of confidence, or of quality; a study of several images is as sure as the least of them."""
        column = next((one for one in CONFIDENCE if one in _columns(path)), None)
        if column is None:
            return None
        try:
            table = read_predictions(path, [column], blank="unknown")
        except PredictionsError as error:
            warnings.append(f"{path}: column '{column}' is left out: {error}")
            return None
        least = self._same_key(Predictions(-table.frame, table.key, table.name), path, "max").frame
        return np.asarray(-least.reindex(list(self.ids))[column].to_numpy(dtype=np.float64))

    def _same_key(self, table: Predictions, path: Path, views: Views | None = None) -> Predictions:
        if table.key == self.key:
            return table
        if self.key == "image":
            raise PredictionsError(
                f"{path}: its rows are studies, the truth's are images; give truth by study, with a column Study"
            )
        return by_study(table, views or self.views)

    def _remark_gaps(self, frame: pd.DataFrame, table: Predictions, path: Path, warnings: list[str]) -> None:
        given = set(map(str, table.frame.index))
        absent = [one for one in self.ids if one not in given]
        unknown = sorted(given - set(self.ids))
        if len(absent) == len(self.ids):
            raise PredictionsError(
                f"{path}: none of its {len(given)} studies is in the truth; the truth has "
                f"'{self.ids[0]}', this file '{unknown[0] if unknown else ''}'"
            )
        if absent:
            warnings.append(
                f"{path} lacks {len(absent)} of {len(self.ids)} studies ({some(absent)}); "
                "its figures rest on the others, its differences on the studies that both have"
            )
        if unknown:
            warnings.append(
                f"{path} has {len(unknown)} studies that the truth does not have ({some(unknown)}); "
                "they are left out"
            )


def collect(join: Join, files: Sequence[Path], warnings: list[str], binary: str = "") -> dict[str, Table]:
    """Read the files of one arm. Raises when two bear one name."""
    tables: dict[str, Table] = {}
    for path in files:
        table = join.read(path, warnings, binary=binary)
        if table.name in tables:
            raise UsageError(
                f"two files are named '{table.name}' in one arm, the second is {path}; rename one"
            )
        tables[table.name] = table
    return tables
