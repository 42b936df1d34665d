"""CheXpert: 224,316 chest x-rays of 65,240 patients of Stanford Hospital (full size, or small at 390 px).

Licence: Stanford University Dataset Research Use Agreement (research, no redistribution). Get it:
https://stanfordaimi.azurewebsites.net (CheXpert: Chest X-rays); the test set with its labels comes with
CheXlocalize there, the readers' labels from https://github.com/rajpurkarlab/cheXpert-test-set-labels. Labels:
1, 0, -1 (uncertain), blank (not mentioned). Source: Irvin et al. 2019, arXiv:1901.07031.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from radsnap.collections.source import Collection, finding_columns, listing, table
from radsnap.errors import ManifestError

# the tables' names → the split; the first found of each split counts
TABLES = {
    "train": "train.csv|*(validate & csv)/train.csv",
    "val": "valid.csv|val_labels.csv|*(validate & csv)/valid.csv",
    "test": "test_labels.csv|test.csv|groundtruth.csv",
}
ANY_TABLE = "|".join(TABLES.values())
PATH = r"(?P<split>train|valid|val|test)/(?P<patient>patient\d+)/(?P<study>study\d+)"
VIEW = r"/(?P<view>view\d+_(?P<side>frontal|lateral))\.(?:jpg|png)$"


def read(folder: Path) -> pd.DataFrame:
    """Read every table that is there; `Path` may start with any folder ("CheXpert-v1.0-small/")."""
    parts = []
    for split, globs in TABLES.items():
        if any(any(folder.glob(pattern)) for pattern in globs.split("|")):
            labels = table(folder, globs, ())
            if "Path" not in labels.columns and "Study" in labels.columns:
                labels = _images_of(folder, labels)
            parts.append(rows_of(labels, f"the {split} table").assign(split=split))
    rows = pd.concat(parts, ignore_index=True)
    rows["path"] = _in_batches(folder, rows["path"])
    return rows


def rows_of(labels: pd.DataFrame, name: str) -> pd.DataFrame:
    """Turn a table in CheXpert's columns into manifest rows. `path` starts at the folder of the split."""
    if "Path" not in labels.columns:
        raise ManifestError(f"{name}: column 'Path' is missing; found {', '.join(labels.columns[:20])}")
    parts = labels["Path"].str.extract(PATH + VIEW)
    if parts["split"].isna().any():
        row = int(parts["split"].isna().to_numpy().argmax())
        raise ManifestError(
            f"{name}: row {row + 1}, column 'Path' has '{labels['Path'].iloc[row]}'; expected "
            "train|valid|test/patientNNNNN/studyN/viewN_frontal|lateral.jpg"
        )
    tail = parts["patient"] + "/" + parts["study"]
    blank = pd.Series("", labels.index)
    rows = pd.DataFrame(
        {
            "image_id": parts["split"] + "/" + tail + "/" + parts["view"],
            "study_id": tail,
            "patient_id": "chexpert-" + parts["patient"],
            "path": labels["Path"].str.extract(f"({PATH}{VIEW})")[0],
            "view": labels.get("AP/PA", blank).where(parts["side"] == "frontal", "lateral"),
            "body": "chest_" + parts["side"],
            "sex": labels.get("Sex", blank),
            "age": labels.get("Age", blank),
        }
    )
    return rows.join(finding_columns(labels))


def _images_of(folder: Path, truth: pd.DataFrame) -> pd.DataFrame:
    """Give each study of a table with `Study` the images that lie in its folder."""
    keys = truth["Study"].str.extract(PATH)
    found = []
    for row, (split, patient, study) in enumerate(keys.to_numpy().tolist()):
        home = folder / str(split) / str(patient) / str(study)
        found += [(row, path.relative_to(folder).as_posix()) for path in sorted(home.glob("view*.*"))]
    if not found:
        raise ManifestError(f"{folder}: no image of the studies in the test table; found {listing(folder)}")
    images = pd.DataFrame(found, columns=["row", "Path"])
    return images.join(truth, on="row").drop(columns=["row", "Study"])


def _in_batches(folder: Path, paths: pd.Series) -> pd.Series:
    """Find images in the download's own folders, such as "CheXpert-v1.0 batch 2 (train 1)/patient00001"."""
    homes = {
        f"{split}/{home.name}": home.relative_to(folder).as_posix()
        for split, globs in (
            ("train", "*batch*(train*)/patient*"),
            ("valid", "*(validate & csv)/valid/patient*"),
        )
        for home in folder.glob(globs)
    }
    if not homes:
        return paths
    return paths.map(lambda path: re.sub(r"^[^/]+/[^/]+", lambda m: homes.get(m[0], m[0]), path))


CHEXPERT = Collection(
    name="chexpert",
    title="CheXpert",
    licence="Stanford University Dataset Research Use Agreement",
    address="https://stanfordaimi.azurewebsites.net",
    expects=(ANY_TABLE,),
    read=read,
)
