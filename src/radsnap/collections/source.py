"""What a collection is: frozen data about a public data set, and one function that reads its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from radsnap.errors import ManifestError
from radsnap.findings import known
from radsnap.tables import Manifest, build_manifest
from radsnap.tables.storage import read_text

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".dcm", ".dicom")


@dataclass(frozen=True)
class Collection:
    """A public data set.

    expects: globs under the folder that must find something; "a|b" wants one of them. read: folder → rows
    with the manifest's columns (those left out become blank; domain and origin are `digital` and `real` when
    left out).
    """

    name: str
    title: str
    licence: str
    address: str
    expects: tuple[str, ...]
    read: Callable[[Path], pd.DataFrame]


def import_with(collection: Collection, folder: Path) -> Manifest:
    """Read a folder as this collection. Raises ManifestError with what was expected and what was found."""
    if not folder.is_dir():
        raise ManifestError(f"{folder}: no such folder; give the folder that holds {collection.title}")
    missing = [
        names for names in collection.expects if not any(any(folder.glob(n)) for n in names.split("|"))
    ]
    if missing:
        wanted = ", ".join(" or ".join(names.split("|")) for names in missing)
        raise ManifestError(
            f"{folder} does not look like {collection.title}: expected {wanted}; found {listing(folder)}; "
            f"the data set comes from {collection.address}"
        )
    rows = collection.read(folder)
    if not len(rows):
        raise ManifestError(f"{folder}: {collection.title} without a single image; found {listing(folder)}")
    defaults = {"domain": "digital", "origin": "real"}
    rows = rows.assign(**{name: value for name, value in defaults.items() if name not in rows.columns})
    return build_manifest(rows.assign(collection=collection.name), folder)


def listing(folder: Path, most: int = 8) -> str:
    """Name what a folder holds, for an error message."""
    names = sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir())
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) + more) if names else "an empty folder"


def table(
    folder: Path, globs: str, needs: Iterable[str], names: tuple[str, ...] | None = None
) -> pd.DataFrame:
    """Read the first file that one of the globs ("a|b") finds, as text, and see that it has the columns."""
    found = [path for pattern in globs.split("|") for path in sorted(folder.glob(pattern))]
    if not found:
        raise ManifestError(f"{folder}: expected {' or '.join(globs.split('|'))}; found {listing(folder)}")
    frame = read_text(found[0], ManifestError, names)
    for column in needs:
        if column not in frame.columns:
            raise ManifestError(
                f"{found[0]}: column '{column}' is missing; found {', '.join(map(str, frame.columns[:20]))}"
            )
    return frame


def finding_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Take the columns that are findings in any spelling, under radsnap's names."""
    names = {column: known(str(column)) for column in frame.columns}
    return frame[[column for column, name in names.items() if name]].rename(columns=names)


def from_words(words: pd.Series, meaning: Mapping[str, str]) -> pd.DataFrame:
    """Spread lists of words to finding columns: 1 where a word means the finding, 0 elsewhere.

    words: one list a row. meaning: word → finding; several words may mean one; other words mean none.
    """
    findings = list(dict.fromkeys(meaning.values()))
    said = words.explode().map(meaning)
    table = np.zeros((len(words), len(findings)), dtype=np.float32)
    for k, name in enumerate(findings):
        table[words.index.get_indexer(said.index[said == name]), k] = 1.0
    return pd.DataFrame(table, index=words.index, columns=findings)


def look_up(keys: pd.Series, by: Mapping[str, str], otherwise: str | pd.Series = "") -> pd.Series:
    """Translate keys to text; a key that is not there gives `otherwise` (for all rows, or row by row)."""
    other = otherwise if isinstance(otherwise, pd.Series) else pd.Series(otherwise, keys.index, dtype=str)
    texts = [by.get(key, none) for key, none in zip(keys, other, strict=True)]
    return pd.Series(texts, index=keys.index, dtype=str)


def one_side(split: pd.Series, patient: pd.Series) -> pd.Series:
    """Leave a published split out (blank) for patients that it puts on two sides."""
    return split.where(split.groupby(patient).transform("nunique") == 1, "")


def boxes(image: pd.Series, name: pd.Series, spans: pd.DataFrame) -> dict[str, str]:
    """Write boxes, one row a box, as `Name:x,y,w,h;...` for each image, in pixels of the file.

    spans: four columns, x, y, width and height.
    """
    text: dict[str, list[str]] = {}
    for of, what, span in zip(image, name, spans.to_numpy().tolist(), strict=True):
        text.setdefault(of, []).append(f"{what}:{','.join(map(str, span))}")
    return {of: ";".join(marks) for of, marks in text.items()}


def files_by_name(folder: Path, globs: str) -> dict[str, str]:
    """Map the file names that the globs ("a|b") find to their paths from the folder; the first of a name wins."""
    found: dict[str, str] = {}
    for pattern in globs.split("|"):
        for path in sorted(folder.glob(pattern)):
            found.setdefault(path.name, path.relative_to(folder).as_posix())
    return found
