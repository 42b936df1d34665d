"""What is to be photographed: a folder, a manifest or a CheXpert-style CSV becomes one list of x-rays."""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from radsnap.collections.chexpert import PATH, VIEW, rows_of
from radsnap.collections.source import IMAGE_SUFFIXES, finding_columns
from radsnap.errors import ManifestError, UsageError
from radsnap.findings import CHEXPERT_14
from radsnap.jobs.stores import WORKPLACE, LocalStore, Store, is_remote, open_store
from radsnap.seeds import stream
from radsnap.tables import Manifest, build_manifest, read_manifest
from radsnap.tables.storage import read_text

CHEXPHOTO_COLUMNS = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_14)
_KEPT = ("sex", "age")
_PROBES = 16
_STUDY = re.compile(r"(patient\d{1,20})/(study\d{1,20})/(view\d{1,20}_(?:frontal|lateral))")
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_SPLIT_FOLDERS = {"val": "valid", "": "all"}


@dataclass(frozen=True, eq=False)
class XrayList:
    """X-rays to photograph, a row each.

    store: where the images lie, under the paths of the rows; rows: the manifest's columns; table: the columns
    of CheXphoto as text, the source's own labels unchanged; places: split folder and the photo's place in it;
    name: of the CSV that lists the photos.
    """

    store: Store
    rows: pd.DataFrame
    table: pd.DataFrame
    places: tuple[tuple[str, str], ...]
    name: str

    def __len__(self) -> int:
        return len(self.rows)

    def digest(self) -> str:
        """Name the list by what is in it: ids, places and their order."""
        digest = hashlib.blake2b(digest_size=8)
        for image, (split, place) in zip(self.rows["image_id"], self.places, strict=True):
            digest.update(f"{image}\n{split}/{place}\n".encode())
        return digest.hexdigest()

    def only_patients(self, count: int, seed: int) -> XrayList:
        """Keep the x-rays of so many patients, drawn by the seed; more patients include fewer ones'."""
        patients = np.sort(self.rows["patient_id"].unique().astype(object))
        if count > len(patients):
            raise UsageError(f"--patients {count}: the list has {len(patients)} patients; ask for fewer")
        drawn = stream(seed, "patients").permutation(patients)[:count]
        keep = np.flatnonzero(self.rows["patient_id"].isin(drawn).to_numpy())
        return replace(
            self,
            rows=self.rows.iloc[keep].reset_index(drop=True),
            table=self.table.iloc[keep].reset_index(drop=True),
            places=tuple(self.places[row] for row in keep),
        )


def list_xrays(source: str, root: str | None = None) -> XrayList:
    """Read a folder of images, a manifest, or a CSV with CheXpert's column `Path`.

    root: where the images of a table lie, when not beside it. Raises ManifestError or UsageError.
    """
    if not source.lower().endswith((".csv", ".csv.gz", ".parquet")):
        return _from_folder(source)
    with tempfile.TemporaryDirectory() as folder:
        path = _local_table(source, Path(folder))
        frame = read_text(path, ManifestError)
        if "Path" in frame.columns:
            return _from_chexpert(source, frame, root)
        home = None if root is None or is_remote(root) else root
        manifest = read_manifest(path, home)
    if root is not None:
        return _from_manifest(source, manifest, open_store(root))
    if is_remote(source):
        return _from_manifest(source, manifest, open_store(source.rpartition("/")[0]))
    return _from_manifest(source, manifest, LocalStore(manifest.root.absolute()))


def _local_table(source: str, folder: Path) -> Path:
    if not is_remote(source):
        return Path(source)
    home, _, name = source.rpartition("/")
    data = open_store(home).read(name)
    if data is None:
        raise ManifestError(f"{source}: no such file")
    copy = folder / _safe(name)
    copy.write_bytes(data)
    return copy


def _from_folder(source: str) -> XrayList:
    store = open_store(source)
    if isinstance(store, LocalStore) and not store.root.is_dir():
        raise UsageError(
            f"{source}: no such folder; give a folder of images, a manifest, or a CSV with 'Path'"
        )
    names = [
        name
        for name in store.files()
        if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in PurePosixPath(name).parts)
    ]
    if not names:
        raise UsageError(f"{source}: no image in this folder ({', '.join(IMAGE_SUFFIXES)})")
    ids = pd.Series(names, dtype=str)
    frame = pd.DataFrame(
        {"image_id": ids, "study_id": ids, "patient_id": ids, "path": ids, "domain": "digital"}
    )
    rows = build_manifest(frame.assign(collection="folder"), Path()).frame
    return XrayList(store, rows, _chexphoto_table(rows), _places(rows), _named_after(store.label))


def _from_manifest(source: str, manifest: Manifest, store: Store) -> XrayList:
    if not len(manifest):
        raise ManifestError("this manifest has no row; there is nothing to photograph")
    rows = manifest.frame
    return XrayList(store, rows, _chexphoto_table(rows), _places(rows), _named_after(source))


def _from_chexpert(source: str, frame: pd.DataFrame, root: str | None) -> XrayList:
    """Read CheXpert's columns; a row whose path is not CheXpert's is a patient of its own."""
    if not len(frame):
        raise ManifestError(f"{source}: the table has no row; there is nothing to photograph")
    theirs = frame["Path"].str.extract(PATH + VIEW)["split"].notna().to_numpy()
    parts = []
    if theirs.any():
        known = rows_of(frame[theirs], source)
        splits = known["image_id"].str.partition("/")[0].replace({"valid": "val"})
        parts.append(known.assign(split=splits, path=frame["Path"][theirs]))
    if not theirs.all():
        rest = frame[~theirs]
        ids = rest["Path"].str.strip()
        plain = pd.DataFrame({"image_id": ids, "study_id": ids, "patient_id": ids, "path": rest["Path"]})
        parts.append(plain.join(finding_columns(rest)))
    rows = pd.concat(parts).sort_index()
    try:
        rows = build_manifest(
            rows.assign(domain="digital", origin="real", collection="chexpert"), Path()
        ).frame
    except ManifestError as error:
        raise ManifestError(f"{source}: {error}") from error
    store, first = _find_images(source, rows["path"].tolist(), root)
    if first:
        # checked again: what is left of "x//etc/passwd" starts at the root of the disk
        rows = build_manifest(rows.assign(path=rows["path"].str.partition("/")[2]), Path()).frame
    own = {name: frame[name] for name in frame.columns}
    blank = pd.Series("", index=frame.index)
    named = {name: own.get(name, blank) for name in CHEXPHOTO_COLUMNS}
    table = pd.DataFrame({**named, **{name: column for name, column in own.items() if name not in named}})
    return XrayList(store, rows, table.reset_index(drop=True), _places(rows), _named_after(source))


def _named_after(source: str) -> str:
    """Name the CSV of a list's photos after the list, but never as the run's own tables."""
    name = source.replace("\\", "/").rstrip("/").rpartition("/")[2]
    if name.lower().endswith((".csv", ".csv.gz", ".parquet")):
        name = name[:-3].rstrip(".") if name.lower().endswith(".gz") else name
        name = name.rpartition(".")[0]
    taken = name.lower() in ("manifest", "failures")
    return f"{_safe(name)}{'-photos' * taken}.csv"


def _find_images(source: str, paths: list[str], root: str | None) -> tuple[Store, bool]:
    """Find the folder that the paths start from: root, or the table's folder or one above it.

    Gives the folder, and whether the first part of the paths ("CheXpert-v1.0-small/") is to be left out: the
    data set's own folder may have another name here.
    """
    homes = [root] if root is not None else _upwards(source)
    stride = max(len(paths) // _PROBES, 1)
    probes = paths[::stride][:_PROBES]
    for drop in (False, True):
        wanted = [path.partition("/")[2] if drop else path for path in probes]
        for home in homes:
            store = open_store(home)
            if any(store.exists(path) for path in wanted if path):
                return store, drop
    raise UsageError(
        f"{source}: no image such as '{paths[0]}' under {', '.join(homes[:4])}; name their folder with --root"
    )


def _upwards(source: str) -> list[str]:
    if not is_remote(source):
        return [str(folder) for folder in Path(source).absolute().parents]
    protocol, _, path = source.partition("://")
    parts = path.split("/")
    return [f"{protocol}://{'/'.join(parts[:count])}" for count in range(len(parts) - 1, 0, -1)]


def _chexphoto_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Write a manifest's rows in CheXphoto's columns."""
    blank = pd.Series("", index=rows.index)
    body = rows["body"].str.extract("(frontal|lateral)")[0].fillna("").str.title()
    columns = {
        "Path": rows["path"],
        "Sex": rows.get("sex", blank),
        "Age": rows.get("age", blank),
        "Frontal/Lateral": body,
        "AP/PA": rows["view"].where(rows["view"].isin(["AP", "PA"]), ""),
    }
    for name in CHEXPERT_14:
        known = name in rows.columns
        columns[name] = rows[name].map({1.0: "1.0", 0.0: "0.0", -1.0: "-1.0"}).fillna("") if known else blank
    return pd.DataFrame(columns)


def _places(rows: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """Give each row its split's folder and its photo's place: patient/study/view.jpg where it has these."""
    fields = (rows[name].tolist() for name in ("split", "patient_id", "study_id", "image_id"))
    places = [(_SPLIT_FOLDERS.get(split, split), _place(*ids)) for split, *ids in zip(*fields, strict=True)]
    seen: dict[tuple[str, str], int] = {}
    for row, place in enumerate(places):
        if seen.setdefault((place[0], place[1].lower()), row) != row:
            first = seen[place[0], place[1].lower()]
            raise ManifestError(
                f"rows {first + 1} and {row + 1} would both become {'/'.join(place)}; rename one of the two"
            )
    return tuple(places)


def _place(patient: str, study: str, image: str) -> str:
    published = _STUDY.search(image)
    if published:
        return "/".join(published.groups()) + ".jpg"
    stem = image[:-4] if image.lower().endswith(".jpg") else image
    parts = (
        [] if patient == study == image else [patient, *([study] if study not in (patient, image) else [])]
    )
    # a study's id often starts with its patient's, an image's with its study's: folders say it once
    return "/".join([*map(_safe, parts), *map(_safe, stem.strip("/").split("/"))]) + ".jpg"


def _safe(part: str) -> str:
    """Make one part of a path of an id, whatever it holds; different ids stay different."""
    if _PLAIN.fullmatch(part) and not part.endswith(".") and part != WORKPLACE:
        return part
    digest = hashlib.blake2b(part.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return (re.sub(r"[^A-Za-z0-9_-]+", "_", part)[:80].strip("_") or "x") + "-" + digest
