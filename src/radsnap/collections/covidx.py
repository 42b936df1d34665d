"""COVIDx: chest x-rays gathered from several sources to tell COVID-19 from other chests.

Licence: as each source says (the table names it); research. Get it:
https://www.kaggle.com/datasets/andyczhao/covidx-cxr2 (tables of older versions:
https://github.com/lindawangg/COVID-Net/tree/master/labels). Tables have no header: patient, file, class,
source, with a space between; versions A have normal, pneumonia and COVID-19, versions B positive and
negative, old ones no source. The class is kept in `covid` (1, 0) and `labels`. Source and class go hand in
hand here: a network can learn the source. Source: Wang et al. 2020, arXiv:2003.09871.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsnap.collections.source import Collection, listing, one_side
from radsnap.errors import ManifestError

TABLES = {
    "train": "train.txt|train_*COVIDx*.txt|labels/train_*COVIDx*.txt",
    "val": "val.txt|val_*COVIDx*.txt",
    "test": "test.txt|test_*COVIDx*.txt|labels/test_*COVIDx*.txt",
}
CLASSES = ("normal", "pneumonia", "COVID-19", "positive", "negative")
COVID = {"COVID-19": "1", "positive": "1", "normal": "0", "negative": "0", "pneumonia": "0"}


def read(folder: Path) -> pd.DataFrame:
    """Read the tables of train, val and test that are there; the images lie in a folder of the split's name."""
    parts = []
    for split, globs in TABLES.items():
        found = [path for pattern in globs.split("|") for path in sorted(folder.glob(pattern))]
        if found:
            parts.append(_rows(found[0], split))
    rows = pd.concat(parts, ignore_index=True)
    # in some versions a patient's images are in train and test; `official_split` keeps what was published
    return rows.assign(split=one_side(rows["split"], rows["patient_id"]))


def _rows(path: Path, split: str) -> pd.DataFrame:
    cells = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split()
        at = next((i for i in (len(words) - 1, len(words) - 2) if i >= 2 and words[i] in CLASSES), None)
        if words and at is None:
            raise ManifestError(
                f"{path}: row {number} reads '{line[:120]}'; expected patient, file, class ({', '.join(CLASSES)}) "
                f"and source, with spaces between; the folder has {listing(path.parent)}"
            )
        if at is not None:
            # a file name may hold spaces itself
            cells.append((words[0], " ".join(words[1:at]), words[at], " ".join(words[at + 1 :])))
    table = pd.DataFrame(cells, columns=["patient", "file", "class", "source"]).drop_duplicates(
        ignore_index=True
    )
    stem = table["file"].str.replace(r"\.[^.]*$", "", regex=True)
    lungs = table["class"].map({"normal": 0.0, "pneumonia": 1.0, "COVID-19": 1.0})
    return pd.DataFrame(
        {
            "image_id": "covidx/" + split + "/" + stem,
            "study_id": "covidx/" + split + "/" + stem,
            "patient_id": "covidx-" + table["patient"],
            "path": split + "/" + table["file"],
            "body": "chest_frontal",
            "split": split,
            "official_split": split,
            "Pneumonia": lungs,
            "No Finding": 1.0 - lungs,
            "covid": table["class"].map(COVID),
            "labels": table["class"],
            "source": table["source"],
        }
    )


COVIDX = Collection(
    name="covidx",
    title="COVIDx",
    licence="as each source says; research",
    address="https://www.kaggle.com/datasets/andyczhao/covidx-cxr2",
    expects=("|".join(TABLES.values()),),
    read=read,
)
