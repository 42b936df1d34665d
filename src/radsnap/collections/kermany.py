"""Kermany's paediatric pneumonia: 5,856 frontal chest x-rays of children of one to five years, Guangzhou.

Licence: CC BY 4.0. Get it: https://data.mendeley.com/datasets/rscbjbr9sj (or the copy on Kaggle,
chest-xray-pneumonia). Layout: chest_xray/{train,val,test}/{NORMAL,PNEUMONIA}/*.jpeg; germ and patient are in
the file's name (person1_bacteria_2.jpeg, BACTERIA-1008087-0001.jpeg, NORMAL2-IM-0927-0001.jpeg). Persons are
numbered for each germ anew, and on through train and test. Kaggle's `val` are 16 images of patients of
`train`, so they count as train; `official_split` keeps the folder. Pneumonia and Lung Opacity are labelled,
nothing else. Source: Kermany et al. 2018, Cell 172(5).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radsnap.collections.source import Collection, one_side

PATIENT = r"^(person\d+_[a-z]+|(?:NORMAL2?-)?IM-\d+|(?:NORMAL|BACTERIA|VIRUS)-\d+)"
GERM = r"(?i)(bacteria|virus)"
SPLIT = {"train": "train", "val": "train", "test": "test"}


def read(folder: Path) -> pd.DataFrame:
    """List the images; split and class are folders, germ and patient are read from the name."""
    home = folder / "chest_xray" if (folder / "chest_xray").is_dir() else folder
    files = [p for pattern in ("*/NORMAL/*.jp*g", "*/PNEUMONIA/*.jp*g") for p in sorted(home.glob(pattern))]
    # the archive holds the shadows ("._x.jpeg") of the machine that packed it
    files = [path for path in files if not path.name.startswith(".") and path.parts[-3] in SPLIT]
    path = pd.Series([one.relative_to(folder).as_posix() for one in files], dtype=str)
    part = pd.Series([one.parts[-3] for one in files], dtype=str)
    stem = pd.Series([one.stem for one in files], dtype=str)
    sick = pd.Series([one.parts[-2] == "PNEUMONIA" for one in files], dtype=bool)
    split = part.map(SPLIT)
    patient = stem.str.extract(PATIENT)[0].fillna(stem)
    germ = stem.str.extract(GERM)[0].str.lower().fillna("")
    return pd.DataFrame(
        {
            "image_id": "kermany/" + part + "/" + stem,
            "study_id": "kermany/" + part + "/" + stem,
            "patient_id": "kermany-" + patient,
            "path": path,
            "body": "chest_frontal",
            "split": one_side(split, patient),
            "official_split": part,
            "Pneumonia": sick.astype(float),
            "Lung Opacity": sick.astype(float),
            "germ": germ,
        }
    )


KERMANY = Collection(
    name="kermany",
    title="Kermany's paediatric chest x-rays",
    licence="CC BY 4.0",
    address="https://data.mendeley.com/datasets/rscbjbr9sj",
    expects=("chest_xray/train/NORMAL|train/NORMAL|chest_xray/test/NORMAL|test/NORMAL",),
    read=read,
)
